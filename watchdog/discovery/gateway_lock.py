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

Whose a lock is decides what it may lead to: the folder, the lock and its process must be of one account, or root's.
2026.3.24 to 8.2 write their lock group-writable under umask 002, 9.6 does not (measured).
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from watchdog.discovery.openclaw_config import DiscoveryError, ForeignFile, open_text
from watchdog.service.ownership import Accounts, NotTrusted, Owner, shown

Address = tuple[str, int]


class Processes(Accounts, Protocol):
    """What discovery asks about processes and accounts. ``watchdog.adapters.host.LocalHost`` is one."""

    def process_is_alive(self, pid: int, start_time: int | None = None, written_at: datetime | None = None) -> bool:
        """Whether the process that wrote ``pid`` (and its start time, at ``written_at``) into a file still lives."""
        ...

    def listening(self, pid: int) -> tuple[tuple[str, int], ...]:
        """(address, port) of every TCP port this process listens on; empty where that cannot be seen."""
        ...

    def process_owner(self, pid: int) -> int | None:
        """Whose process this is; None: it is gone, or that cannot be seen."""
        ...

    def peer_owner(self, ours: Address, theirs: Address) -> int | None:
        """Whose the far end of a connection of ours is; None: not on this machine, or that cannot be seen."""
        ...


OwnerIn = Callable[[Path], Owner | None]
"""Whose locks count in this folder; None: whoever's."""


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
    owner: int
    """The account whose lock it is."""
    foreign: ForeignFile | None = None
    """Why a live one is not used."""


def gateway_locks(
    folders: Iterable[Path], processes: Processes, owner_in: OwnerIn = lambda _folder: None
) -> tuple[GatewayLock, ...]:
    """Every gateway lock in these folders, live ones first, newest first among equals."""
    found = [
        lock
        for folder in folders
        for path in _lock_files(folder)
        if (lock := read_lock(path, processes, owner_in(folder)))
    ]
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


def misplaced_folders(tmp_dirs: Iterable[Path], uid: int, accounts: Accounts) -> Iterator[ForeignFile]:
    """Lock folders in the shared temp folders whose name says one account and whose owner is another."""
    for tmp_dir in dict.fromkeys(tmp_dirs):
        for folder in _glob(tmp_dir, "openclaw-*" if uid == 0 else f"openclaw-{uid}"):
            said = folder.name.removeprefix("openclaw-")
            info = _lstat(folder)
            if (
                info is None
                or not (said.isascii() and said.isdecimal())
                or (stat.S_ISDIR(info.st_mode) and str(info.st_uid) == said)
            ):
                continue
            what = "it" if stat.S_ISDIR(info.st_mode) else "it is no folder and"
            yield ForeignFile(
                shown(folder),
                f"{what} belongs to {accounts.account_name(info.st_uid)}, and its name says uid {said}",
                "no lock in it is used: remove it",
            )


def read_lock(path: Path, processes: Processes, owner: Owner | None = None) -> GatewayLock | None:
    """The lock in this file, or None: no such file, not ours to read, half-written, or not a gateway's.

    ``owner``: whose it must be, and whose its process; None: whoever's. A dead one is nobody's concern.
    """
    try:
        text, info = open_text(path)
    except (FileNotFoundError, DiscoveryError):
        return None
    try:
        said, _end = json.JSONDecoder().raw_decode(text.lstrip())  # the first object only: padding follows it (9.6)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("role", "gateway") != "gateway":
        return None
    pid, config_path = _whole(said.get("pid")), _path(said.get("configPath"))
    if not pid or config_path is None:
        return None
    created_at, start_time = _instant(said.get("createdAt")), _whole(said.get("startTime"))
    port = _whole(said.get("port"))
    is_alive = processes.process_is_alive(pid, start_time, created_at)
    foreign = _foreign(path, info, pid, processes, owner) if is_alive and owner is not None else None
    return GatewayLock(
        path=path,
        pid=pid,
        config_path=config_path,
        created_at=created_at,
        state_dir=_path(said.get("stateDir")),
        port=port if port is not None and 0 < port < 65536 else None,
        start_time=start_time,
        is_alive=is_alive and foreign is None,
        owner=info.st_uid if owner is None else owner.uid,
        foreign=foreign,
    )


def _foreign(path: Path, info: os.stat_result, pid: int, processes: Processes, owner: Owner) -> ForeignFile | None:
    """Why this lock is not used; None: lock and process are of one hand."""
    try:
        owner.judge(path, info)
    except NotTrusted as reason:
        return ForeignFile.of(path, reason)
    holder = processes.process_owner(pid)
    if holder is None or owner.is_hand(holder):
        return None
    return ForeignFile(
        shown(path),
        f"it is {owner}'s and names process {pid} of {processes.account_name(holder)}",
        "the lock is not used: remove it",
    )


def _lock_files(folder: Path) -> list[Path]:
    return sorted(_glob(folder, "gateway.*.lock"))


def _glob(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []


def _owner_of_real_folder(folder: Path) -> int | None:
    info = _lstat(folder)
    return info.st_uid if info is not None and stat.S_ISDIR(info.st_mode) else None


def _lstat(folder: Path) -> os.stat_result | None:
    try:
        return os.lstat(folder)
    except OSError:
        return None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _path(value: object) -> Path | None:
    """None too for what no file can be called: whoever asks the system for it raises, and anybody may plant a lock."""
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    try:
        os.fsencode(value)
    except UnicodeError:
        return None
    return Path(value)


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
