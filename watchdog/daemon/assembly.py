"""Builds everything a daemon, or one verb, needs out of a loaded configuration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import platformdirs

from watchdog.adapters.clock import SystemClock
from watchdog.adapters.host import Host
from watchdog.adapters.ledger import Ledger
from watchdog.adapters.notes import HandoffNotes
from watchdog.config import Gateway as GatewaySection
from watchdog.config import LoadedConfig
from watchdog.core.policy import PolicyBook, Step
from watchdog.daemon.endpoints import EndpointFinder, KeepSecret
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.identity import DeviceIdentity, DeviceTokens
from watchdog.gateway.secrets import Secret
from watchdog.service.events import Log
from watchdog.service.ports import Clock, Meter, Notes
from watchdog.service.watch import PassReport, Watch, may_act


class Supervisor(Protocol):
    """The service manager, or nobody."""

    def ready(self) -> None: ...

    def stopping(self) -> None: ...

    def watchdog_ping(self) -> None: ...

    def status(self, text: str) -> None: ...


class Unsupervised:
    """No service manager: every word goes nowhere."""

    def ready(self) -> None: ...

    def stopping(self) -> None: ...

    def watchdog_ping(self) -> None: ...

    def status(self, text: str) -> None: ...


async def _nothing(_report: PassReport) -> None: ...


@dataclass(slots=True)
class Parts:
    """A whole watchdog, ready to run."""

    watches: Sequence[Watch]
    ledger: Ledger
    clock: Clock
    log: Log
    meter: Meter
    poll_every: timedelta
    is_observing: bool = False
    supervisor: Supervisor = field(default_factory=Unsupervised)
    side_jobs: Sequence[Callable[[], Coroutine[None, None, None]]] = ()
    after_pass: Callable[[PassReport], Awaitable[None]] = _nothing
    reload: Callable[[], None] = lambda: None

    def close(self) -> None:
        self.ledger.close()


class Identity:
    """The watchdog's own keys and the tokens issued to them, in its state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.device = DeviceIdentity.load_or_create(state_dir / "device.pem")
        self.probe_device = DeviceIdentity.load_or_create(state_dir / "probe-device.pem")
        self.tokens = DeviceTokens(state_dir / "device-tokens.json")

    def keep_token(self, url: str, scopes: tuple[str, ...], token: str) -> None:
        """Remember a token the gateway issued to this device."""
        self.tokens.save(url, self.device.device_id, "operator", scopes, Secret(token))


def state_folder(loaded: LoadedConfig, env: Mapping[str, str]) -> Path:
    """Where ledger and keys live: ``state_dir`` of the file, systemd's ``$STATE_DIRECTORY``, the platform's folder."""
    if loaded.config.state_dir is not None:
        return Path(loaded.config.state_dir)
    if env.get("STATE_DIRECTORY"):
        return Path(env["STATE_DIRECTORY"].split(":")[0])
    return Path(platformdirs.user_state_dir("openclaw-watchdog"))


def ledger_path(state_dir: Path) -> Path:
    return state_dir / "ledger.sqlite"


def make_state_folder(state_dir: Path) -> Path:
    """The folder, 0700."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state_dir


@dataclass(slots=True)
class Builder:
    """Builds clients and watches from one loaded configuration and one environment."""

    loaded: LoadedConfig
    env: Mapping[str, str]
    log: Log
    meter: Meter
    clock: Clock = field(default_factory=SystemClock)
    host: Host = field(default_factory=Host)
    on_secret: KeepSecret = lambda _secret: None

    @property
    def home(self) -> Path:
        return Path(self.env.get("HOME") or Path.home())

    def finder(self, section: GatewaySection, identity: Identity) -> EndpointFinder:
        return EndpointFinder(
            section,
            env=self.env,
            home=self.home,
            host=self.host,
            device=identity.device,
            tokens=identity.tokens,
            on_secret=self.on_secret,
        )

    def client(self, section: GatewaySection, identity: Identity, steps: frozenset[Step]) -> GatewayClient:
        """A client that signs in for ``steps``; with none it can only look."""
        return GatewayClient(
            section.name,
            self.finder(section, identity),
            device=identity.device,
            probe_device=identity.probe_device,
            clock=self.clock,
            host=self.host,
            steps=steps,
            on_device_token=identity.keep_token,
        )

    def watches(
        self,
        identity: Identity,
        ledger: Ledger,
        notes: Notes,
        *,
        is_observing: bool = False,
        believes_rows: bool = False,
        only: str | None = None,
    ) -> list[Watch]:
        book: PolicyBook = self.loaded.policy_book
        steps = frozenset[Step]() if is_observing else may_act(book)
        return [
            Watch(
                gateway=self.client(section, identity, steps),
                book=book,
                ledger=ledger,
                notes=notes,
                clock=self.clock,
                log=self.log,
                meter=self.meter,
                poll_every=self.loaded.config.poll_every,
                is_observing=is_observing,
                believes_rows=believes_rows,
            )
            for section in self.loaded.config.gateways
            if only is None or section.name == only
        ]

    def parts(self, *, is_observing: bool) -> Parts:
        """The daemon's parts. Raises ``LedgerError`` leaves and ``OSError`` when the state folder cannot be used."""
        state_dir = make_state_folder(state_folder(self.loaded, self.env))
        identity = Identity(state_dir)
        ledger = Ledger.open(ledger_path(state_dir), owner=True)
        watches = self.watches(identity, ledger, HandoffNotes(state_dir), is_observing=is_observing)
        return Parts(
            watches=watches,
            ledger=ledger,
            clock=self.clock,
            log=self.log,
            meter=self.meter,
            poll_every=self.loaded.config.poll_every,
            is_observing=is_observing,
        )
