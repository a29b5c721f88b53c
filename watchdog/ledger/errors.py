"""What can be wrong with a ledger, said in one sentence with the way out.

Invariant: every ``sqlite3.Error`` and ``OSError`` met by the ledger leaves it as a ``LedgerError`` leaf. Nothing here
touches a file; a damaged ledger is explained, never removed.
"""

from __future__ import annotations

import errno
import os
import shlex
import sqlite3
from pathlib import Path

from watchdog.service import descriptors
from watchdog.service.errors import LedgerError, LedgerUnavailable

NEEDED_SQLITE = (3, 37, 0)
"""STRICT tables."""


class LedgerRefused(LedgerError):
    """The write would break a rule of the ledger (unknown or closed incident, naive instant, not the owner): nothing
    was written. The ledger itself is well; asking again changes nothing."""


_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_SHUT = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY_ERRNOS = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def code_of(error: BaseException) -> int:
    """SQLite's primary result code, 0 where the error has none (misuse of the Python module)."""
    code = getattr(error, "sqlite_errorcode", 0)
    return int(code) & 0xFF


def is_busy(error: BaseException) -> bool:
    return code_of(error) in _BUSY


def needs_fresh_start(error: BaseException) -> bool:
    """Damage; or opened while nothing could be written, which SQLite does not take back for as long as it is open."""
    return code_of(error) in _DAMAGED or code_of(error) == sqlite3.SQLITE_READONLY


def explained(error: Exception, path: Path | None) -> LedgerError:
    """The leaf for what SQLite or the system said. ``path`` None: the ledger in memory."""
    if isinstance(error, LedgerError):
        return error
    if isinstance(error, sqlite3.Error):
        return _explained_sqlite(error, path)
    if isinstance(error, OSError):
        return _explained_system(error, path)
    return LedgerRefused(f"The ledger met a value it does not know ({error}); this is a bug, please report it.")


def _explained_sqlite(error: sqlite3.Error, path: Path | None) -> LedgerError:
    code = code_of(error)
    if code == sqlite3.SQLITE_CONSTRAINT:
        return LedgerRefused(f"The ledger {_shown(path)} refused a write that breaks its rules ({error}).")
    if code in (0, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_MISMATCH):
        return LedgerRefused(f"The ledger was used in a wrong way ({error}); this is a bug, please report it.")
    if path is None:
        return LedgerUnavailable(f"The ledger in memory cannot be used ({error}).")
    if code in _BUSY:
        return LedgerUnavailable(
            f"The ledger {path} is locked by another process; "
            f"it comes back when that one is done (see which with `fuser {shlex.quote(str(path))}`)."
        )
    if code in _DAMAGED:
        return damaged(path, str(error))
    if not descriptors.are_left():
        return _shortage(path)
    if code == sqlite3.SQLITE_FULL or _is_full(path):
        return full(path)
    if code == sqlite3.SQLITE_READONLY:
        return read_only(path)
    if code in _SHUT:
        return LedgerUnavailable(
            f"The ledger {path} cannot be opened; it must be a file, "
            f"and it and its folder must be readable and writable by uid {os.geteuid()}."
        )
    if code == sqlite3.SQLITE_IOERR:
        return LedgerUnavailable(
            f"The ledger {path} cannot be read or written "
            f"({getattr(error, 'sqlite_errorname', error)}); check the disk below {path.parent}."
        )
    return LedgerUnavailable(
        f"The ledger {path} cannot be used ({error}); "
        f"if a restart does not help, move it away with `mv {shlex.quote(str(path))} {shlex.quote(f'{path}.damaged')}`."
    )


def _explained_system(error: OSError, path: Path | None) -> LedgerError:
    if path is None:
        return LedgerUnavailable(f"The ledger cannot be used ({error}).")
    if descriptors.is_shortage(error):
        return _shortage(path)
    if error.errno in _FULL_ERRNOS:
        return full(path)
    if error.errno in _READ_ONLY_ERRNOS:
        return read_only(path)
    return LedgerUnavailable(
        f"The ledger {path} cannot be reached ({error.strerror or error}); check the folder {path.parent}."
    )


def _shortage(path: Path) -> LedgerUnavailable:
    return LedgerUnavailable(f"The ledger {path} cannot be used: {descriptors.shortage()}.")


def damaged(path: Path, what: str) -> LedgerUnavailable:
    """Corrupt, or not a database at all. The file stays where it is until a person moves it."""
    what = " ".join(what.replace("*** in database main ***", "").split())
    quoted, away = shlex.quote(str(path)), shlex.quote(f"{path}.damaged")
    wal, wal_away = shlex.quote(f"{path}-wal"), shlex.quote(f"{path}.damaged-wal")
    return LedgerUnavailable(
        f"The ledger {path} is damaged ({what}); move it away with `mv {quoted} {away}` (and `mv {wal} {wal_away}` if "
        "that exists), a new one is then made by itself."
    )


def full(path: Path) -> LedgerUnavailable:
    return LedgerUnavailable(f"The disk that holds the ledger {path} is full; make room below {path.parent}.")


def read_only(path: Path) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"The ledger {path} cannot be written; "
        f"make the file, its -wal and -shm, and the folder {path.parent} writable by uid {os.geteuid()}."
    )


def _is_full(path: Path) -> bool:
    """SQLite says "I/O error" for some writes that fail for want of room (its shared-memory file on tmpfs)."""
    try:
        room = os.statvfs(path.parent)
    except OSError:
        return False
    return room.f_bavail == 0


def _shown(path: Path | None) -> str:
    return "in memory" if path is None else str(path)
