"""What a look at this machine finds: gateways, and the fleet cells among them. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from watchdog.discovery.credentials import SecretSource
from watchdog.discovery.openclaw_config import ConfigPlace, DiscoveryError, ForeignFile, profile_of


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of a registry."""

    registry: Path
    tenant: str
    runtime: str
    host_port: int
    container_name: str
    data_dir: Path
    account: int | None = field(default=None, compare=False)
    """Whose registry it is, so that only this account's port, or root's, is shown its token; None: not known."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.host_port}"

    @property
    def openclaw(self) -> str:
        """The command that runs OpenClaw's CLI inside it, as fleet itself starts its gateway (2026.9.6)."""
        return f"{self.runtime} exec {self.container_name} node dist/index.js"

    @property
    def config_path(self) -> Path:
        return self.data_dir / "openclaw.json"

    @property
    def owner(self) -> str:
        """What fleet labels the containers of this data folder with."""
        return sha256(str(self.data_dir).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class DiscoveredGateway:
    """One gateway, ready to connect to."""

    name: str
    """The profile's name, ``default`` without one; unique within one discovery and stable across restarts."""
    url: str
    token_source: SecretSource | None
    """Call it at every sign-in; None: this gateway takes no token, or none is configured (see ``notes``)."""
    password: SecretSource | None
    state_dir: Path | None
    """None: not on this machine (``gateway.mode: remote``), or not known before the gateway's hello says it."""
    config_path: Path
    pid: int | None = None
    """The live gateway process, checked; None: not running, or its process cannot be seen from here."""
    lock_created_at: datetime | None = None
    """When the live gateway took its lock: its last start, in-process restarts included."""
    is_elsewhere: bool = False
    """Its place is no profile's: its live lock file, or an earlier look, is all that led to it."""
    notes: tuple[str, ...] = ()
    """What a person should know about how this was found; one sentence each, no secrets."""

    owner: int | None = None
    """The account whose gateway it is: only a port of this account or root's is shown its secret. None: not known."""
    foreign: tuple[ForeignFile, ...] = ()
    """What was found for it and is not used, because of whose it is."""
    cell: Cell | None = None
    """It is this cell of ``openclaw fleet``."""
    is_running_in_container: bool = False
    missing: DiscoveryError | None = None
    """Why nobody can sign in to it with what is found here; None: nothing is missing that is known of."""

    @property
    def is_alive(self) -> bool:
        """Its process was seen and checked, or a container runtime says that its container runs."""
        return self.pid is not None or self.is_running_in_container

    @property
    def place(self) -> ConfigPlace:
        """Where it was found, to look there again."""
        state_dir = self.state_dir or self.config_path.parent
        return ConfigPlace(self.config_path, state_dir, profile_of(state_dir))
