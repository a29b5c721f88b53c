"""The SQLite file under the ledger: opened, guarded, lost and found again.

Invariants: a ``writing`` block is one transaction, durable when the block has ended without an error (WAL,
``synchronous=FULL``); it is written to the file that lies at the path now, or it raises; whatever SQLite or the system
says leaves here as a ``LedgerError`` leaf. An error in COMMIT means *perhaps written*: callers treat it as not done and
find out by reading later.

Limits: the file must be on a local disk (WAL, ``flock``). Between the last check and the rename of a file by somebody
else a few microseconds remain. A file overwritten in place by an older copy of itself is not noticed. Tail commits lost
with a damaged ``-wal`` are not noticed either: SQLite takes them for never made.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from watchdog.ledger import schema
from watchdog.ledger.errors import LedgerRefused, code_of, explained, is_busy, needs_fresh_start
from watchdog.ledger.owner_lock import OwnerLock
from watchdog.ledger.rows import to_ms
from watchdog.ledger.sqlite_open import Opening, beside, identity_at, loose_permissions, make_file, make_folder
from watchdog.ledger.store import Access, Answer, LastWrite, Transaction, fresh_id, system_now
from watchdog.service.errors import LeaseLost, LedgerError, LedgerUnavailable
from watchdog.service.recent_answers import RecentAnswers

BUSY_TIMEOUT = timedelta(seconds=1)
"""How long a write waits for another process's write. Short: it blocks the daemon's loop."""


@dataclass(slots=True)
class _Memory:
    """Answers read through one connection, good while no commit of another one and no write of ours came between."""

    version: int = 0
    """``PRAGMA data_version`` in the view that they were read in."""
    answers: dict[Hashable, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Handle:
    db: sqlite3.Connection
    identity: tuple[int, int] | None
    wal: tuple[int, int] | None = None
    memory: _Memory = field(default_factory=_Memory)


class LedgerFile:
    """One ledger, at a path or in memory. Calls from several threads are taken one after the other."""

    def __init__(
        self,
        path: Path | None,
        access: Access,
        *,
        busy_timeout: timedelta = BUSY_TIMEOUT,
        wall: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] | None = None,
        trace: Callable[[str], None] | None = None,
        migrations: Sequence[schema.Migration] = schema.MIGRATIONS,
        ledger_id: str | None = None,
    ) -> None:
        self.path = path
        self.access = access
        self.problem: str | None = None
        self.recent: RecentAnswers | None = None
        self._opening = Opening(busy_timeout, trace, migrations)
        self._wall = wall
        self._wanted_id = ledger_id if path is not None else ledger_id or "0" * 16
        self._lock = OwnerLock(path) if path is not None and access is Access.OWNER else None
        self._mutex = threading.RLock()
        self._handle: _Handle | None = None
        self._is_suspect = False
        self._is_closed = False
        self._last_write = LastWrite(monotonic)
        self._known_id: str | None = None
        self._loss_untold = False

    @property
    def where(self) -> str:
        return str(self.path or "in memory")

    @property
    def folder(self) -> Path | None:
        return None if self.path is None else self.path.parent

    locks_row = skips_locked = ""
    """A transaction that writes has the whole file."""

    def now_ms(self, transaction: Transaction) -> int:  # noqa: ARG002 - a server is asked
        return to_ms(self.wall_now())

    def permission_problem(self) -> str | None:
        return None if self.path is None else loose_permissions(self.path)

    def reader(self) -> LedgerFile:
        return self if self.path is None else LedgerFile(self.path, Access.READER, wall=self._wall)

    # ------------------------------------------------------------ use

    @contextmanager
    def writing(
        self,
        *,
        tells_loss: bool = True,
        is_probe: bool = False,
        is_deed: bool = False,  # noqa: ARG002 - the fence asks
    ) -> Iterator[Transaction]:
        if self.access is Access.READER:
            raise LedgerRefused(f"The ledger {self.path} was opened read-only; open it for writing first.")
        with self._mutex, self._translating():
            handle = self._usable(for_writing=True)
            self._tell_loss(tells_loss=tells_loss)
            if not is_probe:
                handle.memory.answers.clear()  # before it: a COMMIT that failed may be found done
            with _transaction(handle.db, "BEGIN IMMEDIATE") as transaction:
                yield transaction
            if handle.identity is not None and handle.identity != self._identity_at_path():
                raise LedgerUnavailable(
                    f"The ledger {self.path} was deleted or replaced while it was written; the next look opens it anew."
                )
            self.problem = None
            self._last_write.ended_well()

    @contextmanager
    def reading(self, *, tells_loss: bool = True, is_single: bool = False) -> Iterator[Transaction]:  # noqa: ARG002 - nothing is far
        with self._mutex, self._translating():
            handle = self._usable(for_writing=False)
            self._tell_loss(tells_loss=tells_loss)
            with _transaction(handle.db, "BEGIN") as transaction:
                yield transaction
            if self.access is Access.READER:
                self.problem = None

    def remembered(self, question: Hashable, read: Callable[[Transaction], Sequence[Answer]]) -> list[Answer]:
        """A pass asks the same few things a dozen times. Whether another process (an operator's verb) has committed since
        is asked of SQLite every time, and costs a fifth of reading again."""
        with self._mutex, self._translating():
            handle = self._usable(for_writing=False)
            self._tell_loss(tells_loss=True)
            memory = handle.memory
            found = memory.answers.get(question)
            if found is None or memory.version != _data_version(handle.db):
                with _transaction(handle.db, "BEGIN") as transaction:
                    version = _data_version(handle.db)  # of this view: BEGIN alone has not fixed it yet
                    found = tuple(read(transaction))
                if memory.version != version:
                    memory.answers.clear()
                    memory.version = version
                memory.answers[question] = found
            if self.access is Access.READER:
                self.problem = None
            return list(found)

    def wrote_within(self, span: timedelta) -> bool:
        return self._last_write.was_within(span)

    def look(self) -> None:
        with self.reading(tells_loss=False):
            pass

    def told_of_loss(self) -> None:
        self._loss_untold = False

    def connect(self) -> None:
        with self._mutex, self._translating():
            self._usable(for_writing=self.access is not Access.READER)
            self._loss_untold = False

    def close(self) -> None:
        with self._mutex:
            self._is_closed = True
            self._drop()
            if self._lock is not None:
                self._lock.release()

    # ------------------------------------------------------------ lost and found

    def _tell_loss(self, *, tells_loss: bool) -> None:
        if tells_loss and self._loss_untold:
            raise LedgerUnavailable(
                f"The ledger {self.path} had been deleted or replaced and its history is lost; "
                "a new one is in use now, and budgets before this moment are unknown."
            )

    def _usable(self, *, for_writing: bool) -> _Handle:
        if self._is_closed:
            raise LedgerUnavailable("The ledger was closed; open it again to use it.")
        is_gone = self._handle is not None and self._handle.identity != self._identity_at_path()
        if self._lock is not None:
            make_folder(self._lock.path.parent)
            self._lock.hold()
        if self._handle is None or is_gone or (self._is_suspect and for_writing):
            if is_gone:
                self._part_from_lost_file()
            fresh = self._opened(is_replacement=is_gone)
            self._drop()  # only now: with the cause of a failed write still there, reading goes on through the old one
            self._handle = fresh
            self._is_suspect = False
        return self._handle

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, OverflowError, LedgerError) as error:
            said = explained(error, self.path)
            if not isinstance(said, LedgerRefused | LeaseLost):
                self.problem = str(said)
            if isinstance(error, sqlite3.Error) and self.path is not None:
                self._doubt(error)
            if said is error:
                raise
            raise said from error

    def _doubt(self, error: sqlite3.Error) -> None:
        if needs_fresh_start(error):
            self._drop()
        elif not is_busy(error) and code_of(error) != sqlite3.SQLITE_CONSTRAINT:
            self._is_suspect = True

    def _part_from_lost_file(self) -> None:
        """Close it, and move its write-ahead log out of the way: SQLite would play it into whatever lies there now."""
        wal = self._handle.wal if self._handle is not None else None
        self._drop()
        if self.path is not None and wal is not None:
            left, _ = beside(self.path)
            if identity_at(left) == wal:
                left.rename(self.path.with_name(self.path.name + ".lost-wal"))

    def _drop(self) -> None:
        if self._handle is not None:
            with suppress(sqlite3.Error):
                self._handle.db.close()
            self._handle = None
        self._last_write.is_no_proof()

    def _identity_at_path(self) -> tuple[int, int] | None:
        return None if self.path is None else identity_at(self.path)

    # ------------------------------------------------------------ opening

    def _opened(self, *, is_replacement: bool) -> _Handle:
        if self.path is None:
            return self._named(self._opening.in_memory(), None, is_replacement=False)
        if self.access is Access.READER:
            if identity_at(self.path) is None:
                raise LedgerUnavailable(
                    f"There is no ledger at {self.path} yet; the daemon makes it (`openclaw-watchdog run`)."
                )
            identity = identity_at(self.path)
            return _Handle(self._opening.for_reading(self.path), identity)
        make_file(self.path)
        identity = identity_at(self.path)
        db = self._opening.for_writing(self.path, migrates=self.access is Access.OWNER)
        return self._named(db, identity, is_replacement=is_replacement)

    def _named(self, db: sqlite3.Connection, identity: tuple[int, int] | None, *, is_replacement: bool) -> _Handle:
        try:
            ledger_id = schema.name_ledger(db, self._fresh_id(), to_ms(self.wall_now()))
            self._note_loss(db, ledger_id, is_replacement=is_replacement)
            if identity != self._identity_at_path():
                raise LedgerUnavailable(
                    f"The ledger {self.path} was replaced while it was opened; the next look tries again."
                )
        except BaseException:
            db.close()
            raise
        return _Handle(db, identity, None if self.path is None else identity_at(beside(self.path)[0]))

    def _fresh_id(self) -> str:
        if self._wanted_id is not None:
            return self._wanted_id
        return fresh_id(self._expected_id())

    def _expected_id(self) -> str | None:
        return self._known_id or (self._lock.remembered if self._lock is not None else None)

    def _note_loss(self, db: sqlite3.Connection, ledger_id: str, *, is_replacement: bool) -> None:
        """The owner remembers which ledger is its own: another one at the path means that history is missing."""
        if self._lock is not None:
            expected = self._expected_id()
            if is_replacement or expected not in (None, ledger_id):
                db.execute("UPDATE meta SET lost_history_at = ?", (to_ms(self.wall_now()),))
                self._loss_untold = True
            self._lock.remember(ledger_id)
        self._known_id = ledger_id

    def wall_now(self) -> datetime:
        """Injected, or SQLite's own reading of the system clock."""
        return self._wall() if self._wall is not None else system_now()


def _data_version(db: sqlite3.Connection) -> int:
    """Differs from what it was on this connection if another one has committed meanwhile; our own commits leave it."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


@contextmanager
def _transaction(db: sqlite3.Connection, begin: str) -> Iterator[Transaction]:
    db.execute(begin)
    try:
        yield Transaction(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise
