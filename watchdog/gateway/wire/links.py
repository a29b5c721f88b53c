"""How links to one gateway are opened: as which device, over which socket, and who hears of what comes with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from watchdog.gateway.wire.connection import Link
from watchdog.gateway.wire.dial import Dial
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.gateway.wire.protocol import Introduction
from watchdog.service.ports import Clock


@dataclass(slots=True)
class Links:
    """Opens links to the gateway called ``name``; keeps none of them."""

    name: str
    device: DeviceIdentity
    clock: Clock
    dial: Dial | None = None
    """How the socket is opened; None: over the network."""
    on_device_token: Callable[[str, tuple[str, ...], str], None] | None = None
    """Is told the url, the scopes and the token when the gateway issues one to ``device``."""
    on_repair: Callable[[str], None] | None = None
    """Is told each method once whose answer held text that had to be repaired."""
    _repaired: set[str] = field(init=False, default_factory=set)

    async def open(
        self, endpoint: Endpoint, scopes: tuple[str, ...], *, device: DeviceIdentity | None, patience: float
    ) -> Link:
        """Sign in there with ``scopes``, as ``device`` (None: as our own). Raises what ``Link.open`` raises."""
        link = await Link.open(
            self.name,
            endpoint.url,
            introduction=Introduction(scopes),
            credentials=endpoint.credentials,
            device=device or self.device,
            clock=self.clock,
            patience=patience,
            insecure=endpoint.insecure,
            dial=self.dial,
            check_peer=endpoint.check_peer,
            openclaw=endpoint.openclaw,
            on_repair=self._note_repair,
        )
        issued = link.hello.auth.device_token if link.hello.auth is not None else None
        if issued and device is None and self.on_device_token is not None:
            self.on_device_token(endpoint.url, scopes, issued)
        return link

    def _note_repair(self, method: str) -> None:
        """Once for each method: a text that was cut badly stays as it is, and is read again every time."""
        if method not in self._repaired and self.on_repair is not None:
            self.on_repair(method)
        self._repaired.add(method)
