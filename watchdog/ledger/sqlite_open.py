"""How a ledger's file is opened: made if missing, tightened, refused if it is not ours, set to WAL, migrated, checked.

Invariant: what is not ours or is newer than this program is looked at read-only and not changed in any byte. What we make
is 0600 in a folder of 0700; a folder that exists already keeps its mode (it may be shared, it may be ``/tmp``), and
``loose_permissions`` says so. No function here closes a file descriptor of a ledger that SQLite has open: that would drop
SQLite's own locks on it.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from watchdog.ledger import schema
from watchdog.ledger.errors import NEEDED_SQLITE, code_of, damaged, is_busy
from watchdog.service.errors import LedgerTooNew, LedgerUnavailable

_PRAGMAS = ("foreign_keys = ON", "synchronous = FULL", "fullfsync = ON", "cache_size = -256")
"""256 KiB of page cache: the default grows with the ledger to 2 MB per connection, for queries that read a few pages."""

_WAL_TRIES = 20


@dataclass(frozen=True, slots=True)
class Opening:
    """What stays the same over all openings of one ledger."""

    busy_timeout: timedelta
    trace: Callable[[str], None] | None
    migrations: Sequence[schema.Migration]

    def connected(self, uri: str) -> sqlite3.Connection:
        db = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=self.busy_timeout.total_seconds(), check_same_thread=False
        )
        try:
            db.row_factory = sqlite3.Row
            for pragma in _PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
        except BaseException:
            db.close()
            raise
        if self.trace is not None:
            db.set_trace_callback(self.trace)
        return db

    def in_memory(self) -> sqlite3.Connection:
        refuse_old_sqlite()
        db = self.connected("file::memory:")
        try:
            schema.migrate(db, self.migrations)
        except BaseException:
            db.close()
            raise
        return db

    def for_writing(self, path: Path, *, migrates: bool) -> sqlite3.Connection:
        """The file at ``path``, made if missing. Without ``migrates`` only a new file gets its tables."""
        refuse_old_sqlite()
        make_file(path)
        _tighten(path)
        if path.stat().st_size > 0:
            self._refuse_what_is_not_ours(path)
        db = self.connected(f"file:{quote(str(path))}?mode=rw")
        try:
            _use_wal(db, path)
            if not migrates and 0 < schema.version_of(db) < len(self.migrations):
                raise self._too_old(path)
            schema.migrate(db, self.migrations)
            _check(db, path)
            _tighten(path)
        except BaseException:
            db.close()
            raise
        return db

    def for_reading(self, path: Path) -> sqlite3.Connection:
        refuse_old_sqlite()
        _refuse_other_than_file(path)
        db = self._readable(path)
        try:
            self._refuse_foreign_or_newer(db, path)
            if schema.version_of(db) == 0:  # made, and the program ended or the disk was full before its tables were
                raise LedgerUnavailable(f"The ledger {path} is empty; start the daemon once, it makes it anew.")
            if schema.version_of(db) < len(self.migrations):
                raise self._too_old(path)
        except BaseException:
            db.close()
            raise
        return db

    def _readable(self, path: Path) -> sqlite3.Connection:
        uri = f"file:{quote(str(path))}?mode=ro"
        try:
            return self.connected(uri)
        except sqlite3.OperationalError as error:
            wal, _ = beside(path)
            if code_of(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or _has_content(wal):
                raise
        # A folder we may not write to, and nobody has the ledger open: SQLite cannot make its -shm there.
        return self.connected(f"{uri}&immutable=1")

    def _refuse_what_is_not_ours(self, path: Path) -> None:
        db = self._readable(path)
        try:
            self._refuse_foreign_or_newer(db, path)
        finally:
            db.close()

    def _refuse_foreign_or_newer(self, db: sqlite3.Connection, path: Path) -> None:
        if schema.is_foreign(db):
            raise LedgerUnavailable(
                f"The file {path} is a database of some other program; name another state_dir, or move that file away."
            )
        version = schema.version_of(db)
        if version > len(self.migrations):
            raise LedgerTooNew(
                f"The ledger {path} was written by a newer version (layout {version}, this program knows "
                f"{len(self.migrations)}); upgrade openclaw-watchdog, or give this one its own state_dir."
            )

    @staticmethod
    def _too_old(path: Path) -> LedgerUnavailable:
        return LedgerUnavailable(
            f"The ledger {path} is of an older version; start the daemon of this version once, it brings it up to date."
        )


def refuse_old_sqlite() -> None:
    if sqlite3.sqlite_version_info < NEEDED_SQLITE:
        raise LedgerUnavailable(
            f"SQLite {sqlite3.sqlite_version} is too old for the ledger; use a Python that brings 3.37 or later."
        )


def identity_at(path: Path) -> tuple[int, int] | None:
    """Which file lies at ``path`` now. While we have it open its number cannot be given to another."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    return there.st_dev, there.st_ino


def ledger_path(folder: Path) -> Path:
    """Of the ledger in a state folder."""
    return folder / "ledger.sqlite"


def make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_file(path: Path) -> None:
    make_folder(path.parent)
    with suppress(FileExistsError):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(fd)
        sync_folder(path.parent)
    _refuse_other_than_file(path)


def _refuse_other_than_file(path: Path) -> None:
    if not path.is_file():
        raise LedgerUnavailable(
            f"The ledger {path} is not a file; move away what lies there, or name another state_dir."
        )


def sync_folder(folder: Path) -> None:
    """Make a new name in ``folder`` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def loose_permissions(path: Path) -> str | None:
    """What about the ledger's place lets other users read or replace it, in one sentence; None when nothing does."""
    try:
        folder, file = path.parent.stat(), path.stat()
    except OSError as error:
        return f"The ledger {path} cannot be looked at ({error.strerror})."
    if stat.S_IMODE(folder.st_mode) & 0o022 and not folder.st_mode & stat.S_ISVTX:
        return f"Other users can replace the ledger: run `chmod go-w {shlex.quote(str(path.parent))}`."
    if file.st_uid != os.geteuid():
        return f"The ledger {path} belongs to uid {file.st_uid}, not to us (uid {os.geteuid()})."
    if stat.S_IMODE(file.st_mode) & 0o077:
        return f"Other users can read the ledger: run `chmod 600 {shlex.quote(str(path))}`."
    return None


def _use_wal(db: sqlite3.Connection, path: Path) -> None:
    """Several may open a new file at once, and the busy timeout does not hold for this one change: it holds for a lock of the whole
    file, so that one is waited for between two tries."""
    for tries_left in range(_WAL_TRIES - 1, -1, -1):
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if not tries_left or not is_busy(error):
                raise
            db.execute("BEGIN EXCLUSIVE")
            db.execute("ROLLBACK")
            continue
        if mode != "wal":
            raise LedgerUnavailable(
                f"The ledger {path} cannot use a write-ahead log (it says {mode!r}); put state_dir on a local disk."
            )
        return


def _check(db: sqlite3.Connection, path: Path) -> None:
    said = [str(row[0]) for row in db.execute("PRAGMA quick_check(1)")]
    if said != ["ok"]:
        raise damaged(path, "; ".join(said)[:200])


def beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def _tighten(path: Path) -> None:
    """0600 for what is ours, by name (see above). A ledger made read-only by its owner stays so; a -shm that SQLite made
    read-only in such a time does not, or the ledger would never be writable again."""
    found = path.stat()
    if found.st_uid != os.geteuid():
        return
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(stat.S_IMODE(found.st_mode) & 0o600)
    if found.st_mode & stat.S_IWUSR:
        for name in beside(path):
            with suppress(FileNotFoundError):
                if stat.S_IMODE(name.stat().st_mode) != 0o600:
                    name.chmod(0o600)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
