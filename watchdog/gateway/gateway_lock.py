"""The lock file a running gateway keeps: who it is, and since 2026.9.x where it listens.

2026.9.x (measured on 9.6): ``$STATE/tmp/openclaw-<uid>/gateway.<hash8>.lock`` and ``gateway.state.lock`` with ``pid,
ownerId, createdAt, configPath, stateDir, port, startTime``, pretty-printed and followed by padding of blanks and tabs.
``role`` names any owner that is not a gateway (source of 9.6: ``agent-embedded``, ``sqlite-maintenance``, ...); with
OPENCLAW_ALLOW_MULTI_GATEWAY only the state lock exists.
Before (measured on 3.24, 4.14, 5.18): ``<os temp>/openclaw-<uid>/gateway.<hash8>.lock``, one line of ``pid, createdAt,
configPath, startTime`` and no port.

``startTime`` is field 22 of ``/proc/<pid>/stat`` on Linux and whole epoch seconds on macOS (source of 9.6; earlier
versions write none there). Files are left behind by kill -9, so nothing here is believed before the process was checked.
A gateway in a container writes pids of its own namespace: checked here they are somebody else's or nobody's, so such a
lock counts as not alive, which costs its port and pid and does no harm.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from watchdog.gateway.openclaw_config import DiscoveryError, read_text


class Processes(Protocol):
    """What discovery asks about processes. ``watchdog.adapters.host.Host`` is one."""

    def process_is_alive(self, pid: int, start_time: int | None = None, written_at: datetime | None = None) -> bool:
        """Whether the process that wrote ``pid`` (and its start time, at ``written_at``) into a file still lives."""
        ...

    def listening(self, pid: int) -> tuple[tuple[str, int], ...]:
        """(address, port) of every TCP port this process listens on; empty where that cannot be seen."""
        ...


@dataclass(frozen=True, slots=True)
class GatewayLock:
    """One lock file of a gateway, as read. ``is_alive``: its process was checked and is the one that wrote it."""

    path: Path
    pid: int
    config_path: Path
    created_at: datetime | None
    state_dir: Path | None
    port: int | None
    start_time: int | None
    is_alive: bool


def gateway_locks(folders: Iterable[Path], processes: Processes) -> tuple[GatewayLock, ...]:
    """Every gateway lock in these folders, live ones first, newest first among equals."""
    found = [lock for folder in folders for path in _lock_files(folder) if (lock := read_lock(path, processes))]
    oldest = datetime.min.replace(tzinfo=UTC)
    return tuple(sorted(found, key=lambda lock: (lock.is_alive, lock.created_at or oldest), reverse=True))


def lock_folders(state_dirs: Iterable[Path], tmp_dirs: Iterable[Path], uid: int) -> Iterator[Path]:
    """Folders where gateways keep their locks.

    Under a state folder every uid counts (a container's user has its own). In the shared temp folders only folders that
    belong to the user in their name, and only our own unless we are root: anybody may write there.
    """
    for state_dir in dict.fromkeys(state_dirs):
        yield from _glob(state_dir / "tmp", "openclaw-*")
    for tmp_dir in dict.fromkeys(tmp_dirs):
        for folder in _glob(tmp_dir, "openclaw-*" if uid == 0 else f"openclaw-{uid}"):
            owner = _owner_of_real_folder(folder)
            if owner is not None and folder.name == f"openclaw-{owner}":
                yield folder


def read_lock(path: Path, processes: Processes) -> GatewayLock | None:
    """The lock in this file, or None: no such file, not ours to read, half-written, or not a gateway's."""
    try:
        text = read_text(path).lstrip()
    except (FileNotFoundError, DiscoveryError):
        return None
    try:
        said, _end = json.JSONDecoder().raw_decode(text)  # the first object only: padding follows it (9.6)
    except ValueError:
        return None
    if not isinstance(said, dict) or said.get("role", "gateway") != "gateway":
        return None
    pid, config_path = _whole(said.get("pid")), said.get("configPath")
    if not pid or not isinstance(config_path, str) or not config_path:
        return None
    created_at, start_time = _instant(said.get("createdAt")), _whole(said.get("startTime"))
    state_dir, port = said.get("stateDir"), _whole(said.get("port"))
    return GatewayLock(
        path=path,
        pid=pid,
        config_path=Path(config_path),
        created_at=created_at,
        state_dir=Path(state_dir) if isinstance(state_dir, str) and state_dir else None,
        port=port if port is not None and 0 < port < 65536 else None,
        start_time=start_time,
        is_alive=processes.process_is_alive(pid, start_time, created_at),
    )


def _lock_files(folder: Path) -> list[Path]:
    return sorted(_glob(folder, "gateway.*.lock"))


def _glob(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []


def _owner_of_real_folder(folder: Path) -> int | None:
    try:
        info = os.lstat(folder)
    except OSError:
        return None
    return info.st_uid if stat.S_ISDIR(info.st_mode) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
