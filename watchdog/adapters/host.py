"""The gateway's own machine: session locks, transcripts, processes. The only place that uses psutil. Never writes.

What a look can get wrong, and what is done about it:

- The lock of a session is beside its *transcript*, and that is what the store says (``sessionFile``), not always
  ``<sessionId>.jsonl``: topics have a suffix (source of 3.24), and 4.14 keeps the old file's name after
  ``sessions.reset`` (measured). So the store, ``sessions.json``, is asked first. ``NONE`` is answered only when this
  folder was seen to know the session; anything else is ``UNREADABLE``, which is no proof of anything.
- A lock is written in two steps (3.24 to 5.18: create, then fill), so an empty or half-written one is ``UNREADABLE``.
- A pid means something in its own pid namespace only. That the owner is gone is said only when the gateway's own pid was
  verified here (``gateway_pid``), which proves that we share its namespace; a container's gateway gives no such pid.
- A pid may be another process by now. On Linux the lock carries ``starttime`` (``/proc/<pid>/stat`` field 22) and decides.
  Without it (1.24, and every version on macOS) a process born clearly after the lock was written is not its owner; on
  Linux that comparison is not made, because a clock set after boot would turn a live owner into a dead one.
- 3.24 and 4.14 take a lock away from a run that outlives its own timeout by more than two minutes (source:
  ``maxHoldMs``), so absence is proof only within a run's time limit.

2026.9.x keeps no session locks (measured): with its SQLite store in place of ``sessions.json`` the answer is ``NONE``,
and ``Capabilities.lock`` says what that is worth. All methods block for at most a few milliseconds of file reading.
"""

from __future__ import annotations

import contextlib
import grp
import ipaddress
import json
import os
import pwd
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import psutil

from watchdog.core.address import chat_of
from watchdog.core.model import Lock, LockSight, ReplyAddress

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What OpenClaw itself accepts as a session id (source of 3.24); nothing in it can leave its folder."""
_AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%-]{0,250}\.jsonl")

_MAX_LOCK_BYTES = 64 * 1024
_MAX_STORE_BYTES = 256 * 1024 * 1024
_BORN_LATER = timedelta(minutes=2)
_STRENGTH = (Lock.HELD_BY_GATEWAY, Lock.HELD_BY_OTHER, Lock.UNREADABLE, Lock.OWNER_GONE, Lock.NONE)


@dataclass(frozen=True, slots=True)
class _Store:
    """One ``sessions.json``: which transcript files each session id has."""

    stamp: tuple[int, int, int]
    files: dict[str, frozenset[Path]]


class _Unreadable(ValueError):
    """There is something, and it cannot be read as what it should be."""


_MOST_OF_TRANSCRIPT = 1 << 20
_SPOOL = "ingress-spool-"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MOST_SPOOLED = 500
_MAX_UPDATE_BYTES = 1 << 20


def _speaks_in(path: Path, chat: str) -> bool:
    try:
        with _open_plain(path, _MAX_UPDATE_BYTES) as (file, _info):
            update: object = json.loads(file.read())
    except FileNotFoundError:
        return False  # handled meanwhile
    except (OSError, ValueError, RecursionError):
        return True
    return chat in _chats_in(update)


def _chats_in(value: object, depth: int = 0) -> set[str]:
    """The ids of every ``chat`` in a Telegram update, however deep it is wrapped."""
    if isinstance(value, list):
        return {found for one in value for found in _chats_in(one, depth + 1)} if depth < 12 else set()
    if not isinstance(value, dict) or depth >= 12:
        return set()
    chat = value.get("chat")
    here = {str(chat.get("id")).lower()} if isinstance(chat, dict) else set()
    return here | {found for one in value.values() for found in _chats_in(one, depth + 1)}


class LocalHost:
    """This machine. Also what ``watchdog.discovery.profiles`` asks about processes and accounts."""

    def __init__(self, *, proc: Path = Path("/proc"), platform: str = sys.platform) -> None:
        self._proc = proc
        self._is_linux = platform == "linux"
        self._stores: dict[Path, _Store] = {}
        self._unmapped = _unmapped_uid(proc) if self._is_linux else None

    # ------------------------------------------------------------ locks and transcripts

    def has_spooled(self, state_dir: str | Path, address: ReplyAddress) -> bool:
        """``<state>/<channel>/ingress-spool-<account>/NNN.json.processing`` holds what a chat app's poll brought until it is
        handled, and the gateway takes it up again by itself when the channel connects (2026.5.18, Telegram, measured). What
        cannot be read counts: it may be this chat's."""
        wanted = chat_of(address)[0]
        if not _WORD.fullmatch(address.channel):  # guard: wire: a channel is a name and leads nowhere else
            return False  # no folder of the gateway's is called so
        of_account = f"{_SPOOL}{address.account_id}" if address.account_id else None
        root = Path(state_dir, address.channel)
        folders = [
            root / name
            for name in _names_in(root)
            if name == of_account or (not of_account and name.startswith(_SPOOL))
        ]
        files = [folder / name for folder in folders for name in _names_in(folder) if ".json" in name]
        return any(_speaks_in(path, wanted) for path in files[:_MOST_SPOOLED])

    def lock_sight(
        self, state_dir: str | Path, agent_id: str | None, session_id: str, *, gateway_pid: int | None
    ) -> LockSight:
        """What lies at the session's lock file. ``gateway_pid``: the live gateway as verified on this machine, or None.

        A live owner is told from the gateway by its pid; without ``gateway_pid`` it counts as another process.
        ``agent_id`` None: every agent's folder is looked through.
        """
        is_known = False
        sights = [LockSight(Lock.NONE)]
        for folder in self._session_folders(state_dir, agent_id, session_id):
            transcripts: frozenset[Path] = frozenset()
            try:
                transcripts = self._transcripts(folder, session_id)
            except _Unreadable:
                sights.append(LockSight(Lock.UNREADABLE))
            is_known = is_known or bool(transcripts)
            for path in transcripts | {folder / f"{session_id}.jsonl"}:
                sights.append(self._read_lock(path.with_name(f"{path.name}.lock"), gateway_pid))
        if not is_known:
            sights.append(LockSight(Lock.UNREADABLE))
        return min(sights, key=lambda sight: _STRENGTH.index(sight.lock))

    def transcript_written_at(self, state_dir: str | Path, agent_id: str | None, session_id: str) -> datetime | None:
        """``service.ports.Host``. Of several files the one written last; None too where the file system keeps whole seconds."""
        files = self._transcript_paths(state_dir, agent_id, session_id)
        latest = max((info.st_mtime_ns for _, info in files), default=0)
        if latest % 10**9 == 0:
            return None
        try:
            return datetime.fromtimestamp(latest / 10**9, UTC)
        except (ValueError, OverflowError, OSError):
            return None  # a time that no calendar has

    def transcript_end(self, state_dir: str | Path, agent_id: str | None, session_id: str) -> bytes | None:
        """``service.ports.Host``. Whole lines, the last MiB of them."""
        files = [path for path, _ in self._transcript_paths(state_dir, agent_id, session_id)]
        if len(files) != 1:
            return None
        try:
            with _open_plain(files[0], sys.maxsize) as (file, info):
                file.seek(max(0, info.st_size - _MOST_OF_TRANSCRIPT))
                end = file.read(_MOST_OF_TRANSCRIPT)
        except (OSError, _Unreadable):
            return None
        return end if info.st_size <= _MOST_OF_TRANSCRIPT else end.partition(b"\n")[2]

    def _transcript_paths(
        self, state_dir: str | Path, agent_id: str | None, session_id: str
    ) -> Iterator[tuple[Path, os.stat_result]]:
        for folder in self._session_folders(state_dir, agent_id, session_id):
            transcripts: frozenset[Path] = frozenset()
            with contextlib.suppress(_Unreadable):
                transcripts = self._transcripts(folder, session_id)
            for path in sorted(transcripts | {folder / f"{session_id}.jsonl"}):
                info = _lstat(path)
                if info is not None and stat.S_ISREG(info.st_mode):
                    yield path, info

    def _session_folders(self, state_dir: str | Path, agent_id: str | None, session_id: str) -> list[Path]:
        """The session folders to look in; none when an id could name a place outside them."""
        agents = Path(state_dir) / "agents"
        if not _SESSION_ID.fullmatch(session_id):
            return []
        if agent_id is not None:
            return [agents / agent_id.lower() / "sessions"] if _AGENT_ID.fullmatch(agent_id) else []
        return [agents / name / "sessions" for name in _names_in(agents) if _AGENT_ID.fullmatch(name)]

    def _transcripts(self, folder: Path, session_id: str) -> frozenset[Path]:
        """The session's transcript files; empty: this folder was not seen to know the session."""
        store = self._store(folder / "sessions.json")
        if store is not None and session_id in store.files:
            names = (name.removesuffix(".lock") for name in _names_in(folder) if name.endswith(".lock"))
            topics = {folder / name for name in names if name.startswith(f"{session_id}-topic-")}
            return store.files[session_id] | topics
        default = folder / f"{session_id}.jsonl"
        database = _lstat(folder.parent / "agent" / "openclaw-agent.sqlite")
        if database is not None and (store is None or database.st_mtime_ns >= store.stamp[1]):
            return frozenset({default})  # 2026.9.x: no session has a lock file here
        if store is None and _lstat(default) is not None:
            return frozenset({default})
        return frozenset()

    def _store(self, path: Path) -> _Store | None:
        """The store at ``path``, read again only when it changed; None when there is none."""
        try:
            with _open_plain(path, _MAX_STORE_BYTES) as (file, info):
                stamp = (info.st_ino, info.st_mtime_ns, info.st_size)
                known = self._stores.get(path)
                if known is not None and known.stamp == stamp:
                    return known
                entries: object = json.loads(file.read())
        except FileNotFoundError:
            self._stores.pop(path, None)
            return None
        except (OSError, ValueError, RecursionError):
            raise _Unreadable from None
        if not isinstance(entries, dict):
            raise _Unreadable
        files: dict[str, set[Path]] = {}
        for entry in entries.values():
            session_id = entry.get("sessionId") if isinstance(entry, dict) else None
            if isinstance(session_id, str) and _SESSION_ID.fullmatch(session_id):
                files.setdefault(session_id, set()).update(
                    _transcripts_of(entry.get("sessionFile"), path.parent, session_id)
                )
        self._stores[path] = store = _Store(stamp, {key: frozenset(paths) for key, paths in files.items()})
        return store

    def _read_lock(self, path: Path, gateway_pid: int | None) -> LockSight:
        try:
            with _open_plain(path, _MAX_LOCK_BYTES) as (file, _info):
                said: object = json.loads(file.read())
        except (FileNotFoundError, NotADirectoryError):
            return LockSight(Lock.NONE)
        except (OSError, ValueError, RecursionError):
            return LockSight(Lock.UNREADABLE)
        pid = _whole(said.get("pid")) if isinstance(said, dict) else None
        if not isinstance(said, dict) or not pid:
            return LockSight(Lock.UNREADABLE)
        created_at = _instant(said.get("createdAt"))
        if not self.process_is_alive(pid, _whole(said.get("starttime")), created_at):
            shares_namespace = gateway_pid is not None and self.process_is_alive(gateway_pid)
            return LockSight(Lock.OWNER_GONE if shares_namespace else Lock.UNREADABLE, pid, created_at)
        return LockSight(Lock.HELD_BY_GATEWAY if pid == gateway_pid else Lock.HELD_BY_OTHER, pid, created_at)

    # ------------------------------------------------------------ processes

    def process_is_alive(self, pid: int, start_time: int | None = None, written_at: datetime | None = None) -> bool:
        """Whether the process that wrote ``pid`` into a file, with its start time, at ``written_at``, still lives.

        ``start_time`` as OpenClaw writes it: clock ticks since boot on Linux, whole epoch seconds on macOS (9.6).
        True where it cannot be told: believing in a dead owner costs time, doubting a live one costs work.
        """
        if pid <= 0:
            return False
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if self._is_linux:
                now = self._start_ticks(pid)
                return start_time is None or now is None or now == start_time
            born = process.create_time()
        except psutil.NoSuchProcess:
            return False
        except psutil.Error:
            return True
        if start_time is not None:
            return abs(int(born) - start_time) <= 1
        return written_at is None or datetime.fromtimestamp(born, UTC) - _BORN_LATER <= written_at

    def listening(self, pid: int) -> tuple[tuple[str, int], ...]:
        """(address, port) of every TCP port this process listens on; empty where that cannot be seen."""
        try:
            sockets = psutil.Process(pid).net_connections("tcp")
        except (psutil.Error, OSError, ValueError):
            return ()
        return tuple(sorted((s.laddr.ip, s.laddr.port) for s in sockets if s.status == psutil.CONN_LISTEN and s.laddr))

    def process_owner(self, pid: int) -> int | None:
        """Whose process this is, by the rights that it has; None: it is gone, or that cannot be seen."""
        try:
            return int(psutil.Process(pid).uids().effective)
        except (psutil.Error, OSError, ValueError, OverflowError):
            return None

    # ------------------------------------------------------------ accounts

    def account_name(self, uid: int) -> str:
        """``alice (uid 1000)``, or ``uid 1000`` where it has no name here."""
        try:
            return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
        except (KeyError, OverflowError):
            return f"uid {uid}"

    def is_private_group(self, gid: int, uid: int) -> bool:
        """The group is this account's own (its primary one) and has no other members but root.

        Debian and Ubuntu give every account one, and then umask 002. An account without a name here (a container's) has
        the group that this process has, if it is ours.
        """
        try:
            primary = pwd.getpwuid(uid).pw_gid
        except (KeyError, OverflowError):
            primary = os.getgid() if uid == os.getuid() else -1
        if primary != gid:
            return False
        with contextlib.suppress(KeyError, OverflowError):
            for name in grp.getgrgid(gid).gr_mem:
                try:
                    if pwd.getpwnam(name).pw_uid not in (uid, 0):
                        return False
                except KeyError:
                    continue  # a name without an account
        return all(account.pw_uid in (uid, 0) for account in pwd.getpwall() if account.pw_gid == gid)

    def is_unmapped(self, uid: int) -> bool:
        """The id stands for every account that our user namespace does not map; in the first namespace none does."""
        return uid == self._unmapped

    def peer_owner(self, ours: tuple[str, int], theirs: tuple[str, int]) -> int | None:
        """Whose the far end of a connection of ours is, by the kernel's own table, which shows that to every account.

        None: the far end is not on this machine (or in another network namespace of it), or the table cannot be read.
        """
        if not self._is_linux:
            return None
        try:
            sought = [(name, _table_words(theirs, words) + b" " + _table_words(ours, words)) for name, words in _TABLES]
        except ValueError:
            return None
        for _try in range(_PEER_TRIES):  # the table is read piece by piece, and others may change it in between
            for name, ends in sought:
                try:
                    rows = (self._proc / "net" / name).read_bytes()
                except OSError:
                    continue
                at = rows.find(b": " + ends + b" ")
                fields = rows[at : rows.find(b"\n", at)].split() if at >= 0 else []
                if len(fields) > _INODE and fields[_INODE] != b"0":  # without an inode nobody has it open
                    return int(fields[_UID])
        return None

    def _start_ticks(self, pid: int) -> int | None:
        """Field 22 of ``/proc/<pid>/stat``, counted after the last parenthesis: the name before it may hold anything."""
        try:
            fields = (self._proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
            return int(fields[19])
        except (OSError, ValueError, IndexError):
            return None


# ---------------------------------------------------------------- accounts and sockets

_TABLES = (("tcp", 1), ("tcp6", 4))
"""Each table of the kernel, and how many words of four bytes an address has in it."""
_UID, _INODE = 7, 9
"""Fields of a row, counted from the colon after its number."""
_PEER_TRIES = 3
_WHOLE_MAP = ("0", "0", "4294967295")


def _unmapped_uid(proc: Path) -> int | None:
    """What ids that our user namespace does not map read as; None: it maps them all, so that ``nobody`` is an account."""
    try:
        lines = [tuple(line.split()) for line in (proc / "self" / "uid_map").read_text().splitlines()]
    except OSError:
        return None
    if lines == [_WHOLE_MAP]:
        return None
    try:
        return int((proc / "sys" / "kernel" / "overflowuid").read_text())
    except (OSError, ValueError):
        return 65534


def _table_words(end: tuple[str, int], words: int) -> bytes:
    """An address and port as ``/proc/net/tcp`` writes them: words of four bytes in the machine's own order."""
    address = ipaddress.ip_address(end[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else address
    if words == 1:
        packed = mapped.packed if mapped is not None else b""
    else:
        packed = address.packed if address.version == 6 else b"\0" * 10 + b"\xff" * 2 + address.packed
    shown = (f"{int.from_bytes(packed[at : at + 4], sys.byteorder):08X}" for at in range(0, len(packed), 4))
    return f"{''.join(shown)}:{end[1]:04X}".encode()


# ---------------------------------------------------------------- files


def _transcripts_of(said: object, folder: Path, session_id: str) -> set[Path]:
    """Where the transcript of a store entry may lie, after the rules of 3.24 (``resolveSessionFilePath``, source).

    A bare file name is in ``folder``. A path of the shape ``agents/<agent>/sessions/<file>`` counts wherever it is
    rooted: as it stands, and in our own tree too (a container or a moved folder has other roots). Any other path is not
    used by OpenClaw, which then falls back to ``<sessionId>.jsonl``.
    """
    path = Path(said.strip()) if isinstance(said, str) else Path()
    if _FILE_NAME.fullmatch(path.name):
        if path.parent == Path():
            return {folder / path.name}
        agents, agent, sessions = ("", "", "", *path.parent.parts)[-3:]
        if (agents, sessions) == ("agents", "sessions") and _AGENT_ID.fullmatch(agent):
            mapped = folder.parent.parent / agent.lower() / "sessions" / path.name
            return {mapped, path} if path.is_absolute() else {mapped}
    return {folder / f"{session_id}.jsonl"}


@contextlib.contextmanager
def _open_plain(path: Path, limit: int) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """A regular file, opened without following a link in its place and without waiting for a FIFO."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > limit:
            raise _Unreadable
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file, info
    finally:
        os.close(descriptor)


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted, not paths
    except OSError:
        return []


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _instant(value: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return instant.replace(tzinfo=UTC) if instant is not None and instant.tzinfo is None else instant
