"""A machine made of a temporary folder: homes, lock files, and processes that live or do not."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from watchdog.discovery import machine
from watchdog.discovery.found import DiscoveredGateway
from watchdog.discovery.profiles import Discovery

PADDING = "\n\t\t\t  \t \t\t   \t \n"
"""What 2026.9.6 writes after the JSON of its lock (measured: 147 to 152 characters of blanks and tabs)."""


@dataclass
class FakeAccounts:
    """``private``: account -> its own group. ``unmapped``: ids that say nothing."""

    private: dict[int, int] = field(default_factory=dict)
    unmapped: set[int] = field(default_factory=set)

    def account_name(self, uid: int) -> str:
        return f"uid {uid}"

    def is_private_group(self, gid: int, uid: int) -> bool:
        return self.private.get(uid) == gid

    def is_unmapped(self, uid: int) -> bool:
        return uid in self.unmapped


@dataclass
class FakeProcesses(FakeAccounts):
    """``alive``: pid -> start time. ``sockets``: pid -> where it listens. ``owners``: pid -> account. ``peers``: port ->
    account that answers there."""

    alive: dict[int, int] = field(default_factory=dict)
    sockets: dict[int, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)
    peers: dict[int, int] = field(default_factory=dict)

    def process_is_alive(self, pid: int, start_time: int | None = None, written_at: datetime | None = None) -> bool:
        return pid in self.alive and start_time in (None, self.alive[pid])

    def listening(self, pid: int) -> tuple[tuple[str, int], ...]:
        return self.sockets.get(pid, ())

    def process_owner(self, pid: int) -> int | None:
        return self.owners.get(pid)

    def peer_owner(self, _ours: tuple[str, int], theirs: tuple[str, int]) -> int | None:
        return self.peers.get(theirs[1])


@dataclass
class Machine:
    """``home`` and ``tmp`` are real folders; ``env`` is all the environment there is."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    processes: FakeProcesses = field(default_factory=FakeProcesses)

    def __post_init__(self) -> None:
        self.processes.private[self.uid] = os.getgid()  # whoever runs the tests may have umask 002

    @property
    def uid(self) -> int:
        return os.getuid()

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    def config(self, content: object, where: str = ".openclaw/openclaw.json") -> Path:
        path = self.home / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def old_lock(self, config: Path, pid: int = 4711, start: int = 99, *, is_alive: bool = True) -> Path:
        """As 2026.3.24, 4.14 and 5.18 write it."""
        folder = self.tmp / f"openclaw-{self.uid}"
        folder.mkdir(parents=True, exist_ok=True)
        said = {"pid": pid, "createdAt": "2026-11-20T10:51:40.000Z", "configPath": str(config), "startTime": start}
        path = folder / f"gateway.{sha256(str(config).encode()).hexdigest()[:8]}.lock"
        path.write_text(json.dumps(said, separators=(",", ":")), encoding="utf-8")
        if is_alive:
            self.processes.alive[pid] = start
        return path

    def new_lock(
        self,
        config: Path,
        state_dir: Path,
        port: int,
        pid: int = 8490,
        start: int = 32683,
        *,
        name: str = "gateway.43b18afb.lock",
        is_alive: bool = True,
        extra: Mapping[str, object] | None = None,
    ) -> Path:
        """As 2026.9.6 writes it."""
        folder = state_dir / "tmp" / "openclaw-1000"  # a uid that need not be ours: it is inside the state folder
        folder.mkdir(parents=True, exist_ok=True)
        said = {
            "pid": pid,
            "ownerId": "92993f29-3b9b-4bff-a09b-ff504978498f",
            "cronOwnerProjection": "dynamic-default-v1",
            "createdAt": "2026-11-20T10:51:50.002Z",
            "configPath": str(config),
            "stateDir": str(state_dir),
            "port": port,
            "startTime": start,
            **(extra or {}),
        }
        path = folder / name
        path.write_text(json.dumps(said, indent=2) + PADDING, encoding="utf-8")
        if is_alive:
            self.processes.alive[pid] = start
        return path

    @property
    def here(self) -> machine.Machine:
        return machine.Machine(self.env, self.home, self.processes, (self.tmp,))

    def discover(self) -> DiscoveredGateway:
        return self.here.meant()

    def discover_all(self) -> Discovery:
        return self.here.gateways()
