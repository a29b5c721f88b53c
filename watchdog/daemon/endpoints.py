"""Where each configured gateway is: what the file says, completed by what OpenClaw itself has written down.

Looked up afresh before every connect, so a rotated token, a moved port or a restarted gateway is found without a reload.

A section is one of three kinds. Without url: the gateway the environment means. ``LocalGateway``: the gateway of one
OpenClaw configuration, whoever the environment means. With a url of this machine: completed by the profile whose gateway
listens on that port. Limit: one that does not run completes nothing, unless the environment means it, because its port
may be a tunnel to another machine, where its token has no business and its files prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from watchdog.config import Gateway as GatewaySection
from watchdog.config import SecretError, resolve_secret
from watchdog.daemon.addresses import is_local, is_same_place
from watchdog.daemon.local_gateways import LocalGateway
from watchdog.daemon.machine import Machine
from watchdog.gateway.capabilities import READ
from watchdog.gateway.discovery import DiscoveredGateway
from watchdog.gateway.endpoint import Endpoint
from watchdog.gateway.identity import DeviceIdentity, DeviceTokens
from watchdog.gateway.link import Credentials
from watchdog.gateway.openclaw_config import DiscoveryError
from watchdog.gateway.secrets import Secret
from watchdog.service import errors

KeepSecret = Callable[[str], None]


class EndpointFinder:
    """Finds one gateway's endpoint. Every failure is an ``errors.GatewayError`` whose sentence names the way out."""

    def __init__(
        self,
        section: GatewaySection,
        *,
        machine: Machine,
        device: DeviceIdentity,
        tokens: DeviceTokens,
        on_secret: KeepSecret = lambda _secret: None,
    ) -> None:
        self._section = section
        self._machine = machine
        self._device = device
        self._tokens = tokens
        self._on_secret = on_secret

    def __call__(self) -> Endpoint:
        section = self._section
        found = self._discover()
        url = section.url or (found.url if found is not None else None)
        if url is None:
            raise errors.GatewayUnreachable(
                f"{section.name}: no url is configured and no OpenClaw gateway was found on this machine; "
                "set gateways[].url, or start the gateway."
            )
        local = found if found is not None and is_local(found.url) else None
        return Endpoint(
            url=url,
            credentials=self._credentials(url, found),
            state_dir=self._state_dir(local),
            gateway_pid=local.pid if local is not None else None,
            insecure=section.insecure,
            lock_created_at=local.lock_created_at if local is not None else None,
            openclaw=lambda: self._openclaw(url, local),
        )

    def process_started_at(self) -> datetime | None:
        """When the gateway of this section last started, by its live lock file; None: not known, or none lives here."""
        try:
            found = self._discover()
        except errors.GatewayError:
            return None
        return found.lock_created_at if found is not None else None

    def _discover(self) -> DiscoveredGateway | None:
        """What OpenClaw's own files say of this section's gateway; None: nothing, and its url is all there is."""
        section = self._section
        try:
            if isinstance(section, LocalGateway):
                if section.cell is not None:
                    return self._machine.cell(section.cell)
                return self._machine.gateways((section.place,)).of(section.place.config_path)
            if section.url is None:
                return self._machine.meant()
        except DiscoveryError as problem:
            raise errors.GatewayUnreachable(f"{section.name}: {problem}") from problem
        return self._beside(section.url) if is_local(section.url) else None

    def _openclaw(self, url: str, found: DiscoveredGateway | None) -> str | None:
        """How OpenClaw's CLI is run inside the fleet cell that listens there; None: no cell of this user does."""
        if not is_local(url) or (found is not None and found.cell is None):
            return None
        return next((cell.openclaw for cell in self._machine.known_cells() if is_same_place(url, cell.url)), None)

    def _beside(self, url: str) -> DiscoveredGateway | None:
        """The gateway of this machine that listens where ``url`` leads."""
        every = self._machine.gateways()
        for found in every.gateways:
            if is_same_place(url, found.url) and (found.is_alive or found.config_path == every.meant):
                return found
        return None

    def _credentials(self, url: str, found: DiscoveredGateway | None) -> Credentials:
        section = self._section
        try:
            token = Secret.of(resolve_secret(section, "token", self._machine.env))
            password = Secret.of(resolve_secret(section, "password", self._machine.env))
        except SecretError as problem:
            raise errors.AuthenticationRefused(f"{section.name}: {problem}") from problem
        if token is None and password is None and found is not None:
            try:
                token = found.token_source() if found.token_source is not None else None
                password = found.password() if token is None and found.password is not None else None
            except DiscoveryError as problem:
                raise errors.AuthenticationRefused(f"{section.name}: {problem}") from problem
        if token is None and password is None and found is None:
            token = Secret.of(self._machine.env.get("OPENCLAW_GATEWAY_TOKEN"))
        device_token = self._tokens.get(url, self._device.device_id, "operator", (READ,))
        for secret in (token, password, device_token):
            if secret is not None:
                self._on_secret(secret.reveal())
        return Credentials(token, password if token is None else None, device_token if token is None else None)

    def _state_dir(self, found: DiscoveredGateway | None) -> str | None:
        section = self._section
        if section.state_dir == "none":
            return None
        if section.state_dir is not None:
            return str(section.state_dir)
        return str(found.state_dir) if found is not None and found.state_dir is not None else None
