"""The PostgreSQL database under the ledger: connected, owned, lost and found again.

Invariants, as of the SQLite file: a ``writing`` block is one transaction, and it is durable when the block has ended without an
error (``synchronous_commit``); no two write at once, whoever they are (each begins by counting up ``layout.commits``, whose row
it then holds). An error in COMMIT means *perhaps written*: callers treat it as not done and find out by reading later. The
owner holds an advisory lock of the session that it writes through, so what it writes is written as the owner or not at all: a
connection that was lost took the lock along, and until the server has ended that session, and whatever it was about to commit,
nobody is the owner. Whatever libpq or the server says leaves here as a ``LedgerError`` leaf.

How long a call can block: ``LongestWaits``. Limits: a name is looked up by the system's resolver, in its own time; a server that
confirms what it does not keep (``fsync = off``) is believed; an older copy is noticed by the daemon that wrote what it lacks, and by
no later life of it, no other replica, nor where it lacks writes of verbs alone. A pooler that shares sessions (pgbouncer in transaction mode) cannot
carry the lock, and is refused where it shows.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import psycopg
from psycopg import conninfo

from watchdog import PROGRAM
from watchdog.ledger import schema
from watchdog.ledger.errors import LedgerRefused, explained
from watchdog.ledger.owner_lock import OwnerLock
from watchdog.ledger.postgres_schema import FOUNDATION, SCHEMA, placed, said_here
from watchdog.ledger.rows import Row, to_ms
from watchdog.ledger.sqlite_open import ledger_path, make_folder
from watchdog.ledger.store import Access, Answer, LastWrite, Param, Transaction, Words, fresh_id
from watchdog.service.errors import (
    LeaseLost,
    LedgerError,
    LedgerInUse,
    LedgerMisconfigured,
    LedgerTooNew,
    LedgerUnavailable,
)
from watchdog.service.ports import Clock
from watchdog.service.recent_answers import RecentAnswers

NEEDED_SERVER = 140000
"""The oldest that is supported by its makers; what was tried here is 15."""

_LOCK_CLASS = schema.APPLICATION_ID
_OWNER, _MIGRATION = 1, 2

FORGOTTEN_AFTER = 100_000_000
"""Commits of all, since an owner that shares the database last wrote, after which its count is deleted. They are weeks of a large
fleet. A replica that lived through them without the database takes the missing count for a loss."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class LongestWaits:
    """How long one call may block the daemon's loop, in seconds."""

    connect: int = 3
    """To reach one server and be signed in."""
    answer: float = 5.0
    """One transaction, all its statements and its COMMIT. The connection is given up after that."""
    lock: float = 1.0
    """Of that, waiting for somebody else's write."""
    pause: float = 20.0
    """Between two tries to connect; what is asked meanwhile fails at once."""


class _NoAnswer(psycopg.OperationalError):
    """The server, or the network to it, did not answer in time."""


class _Row:
    """One row, by the names of its columns or by their numbers."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: Sequence[Any]) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, key: int | str, /) -> Any:
        return self._values[self._places[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)


def _rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], _Row]:
    places = {column.name: number for number, column in enumerate(cursor.description or ())}
    return lambda values: _Row(places, values)


class _Connection(psycopg.Connection[_Row]):
    """Gives up when its time is over: neither a kernel that goes on saying "received" for a server that hangs, nor a
    network that drops everything, ends a wait."""

    now: Callable[[], float]
    ends_at: float | None = None
    """On the monotonic clock; None: it waits for nothing."""

    def wait(self, gen: Generator[Any, Any, Found], *how: Any, **named: Any) -> Found:
        return super().wait(self._in_time(gen), *how, **named)

    def _in_time(self, gen: Generator[Any, Any, Found]) -> Generator[Any, Any, Found]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and self.ends_at is not None and self.now() > self.ends_at:
                    gen.close()
                    self.pgconn.finish()
                    raise _NoAnswer("no answer in time")
                wanted = gen.send(ready)
        except StopIteration as end:
            found: Found = end.value
            return found

    def ask(self, sql: bytes, params: Sequence[Param] | Mapping[str, Param] | None = None) -> psycopg.Cursor[_Row]:
        return self.execute(sql, params)

    def ask_apart(self, sql: bytes, params: Sequence[Param]) -> psycopg.Cursor[_Row]:
        """``params`` travel beside the statement: what a server logs of one that failed, or was slow to fail, is the statement."""
        return psycopg.Cursor(self, row_factory=_rows).execute(sql, params, prepare=False)


class _Statements:
    """``store.Statements``; a NUL, which PostgreSQL's text does not take, becomes a sign of its own."""

    def __init__(self, db: _Connection) -> None:
        self._db = db

    def execute(self, sql: str, params: Sequence[Param] | Mapping[str, Param], /) -> psycopg.Cursor[_Row]:
        if isinstance(params, Mapping):
            return self._db.ask(placed(sql), {name: _storable(value) for name, value in params.items()})
        values = [_storable(value) for value in params]
        if any(isinstance(value, Words) for value in params):  # guard: note: a server logs no person's words
            return self._db.ask_apart(placed(sql), values)
        return self._db.ask(placed(sql), values)


def _storable(param: Param) -> Param:
    return param.replace("\0", "\N{SYMBOL FOR NULL}") if isinstance(param, str) else param


def parameters(url: str) -> dict[str, Any]:
    """What a URL says, and the environment says in its place. Raises ``LedgerMisconfigured``; libpq's own words are not repeated, they
    may quote a part of a password that was taken for a port."""
    try:
        found = conninfo.conninfo_to_dict(url)
        # Else a password with a / in it was taken for a port and the name of a database, which are shown.
        if "@" not in f"{found.get('host')}{found.get('dbname')}" and re.fullmatch(
            r"[\d,]*", str(found.get("port") or "")
        ):
            return found
    except psycopg.Error:
        pass
    raise LedgerMisconfigured(
        "ledger: this is no URL that PostgreSQL's own programs take; write @ : / ? # and % in names and "
        "passwords as %40 %3A %2F %3F %23 and %25, or leave them to PGPASSFILE."
    )


def shown(params: Mapping[str, Any]) -> str:
    """The address for people: never a password, a key, or an option."""
    service = params.get("service") or os.environ.get("PGSERVICE")
    host = params.get("host") or params.get("hostaddr") or os.environ.get("PGHOST") or ""
    port = params.get("port") or os.environ.get("PGPORT")
    name = params.get("dbname") or os.environ.get("PGDATABASE") or ""
    where = f"{quote(str(host), safe=',:[]')}{f':{port}' if port else ''}/{quote(str(name))}"
    return f"postgresql://{where}" if where != "/" or not service else f"postgresql:///?service={quote(str(service))}"


class PostgresStore:
    """``store.Store``: one ledger in one database. Calls from several threads are taken one after the other."""

    def __init__(
        self,
        url: str,
        access: Access,
        clock: Clock,
        folder: Path,
        *,
        limits: LongestWaits = LongestWaits(),
        migrations: Sequence[schema.Migration] = schema.MIGRATIONS,
        is_shared: bool = False,
    ) -> None:
        """``is_shared``: an owner leaves room for others that share it, and none for one who does not."""
        self.access = access
        self.problem: str | None = None
        self.recent: RecentAnswers | None = None
        self._params = parameters(url)
        self._where = shown(self._params)
        self._url = url
        self._clock = clock
        self._folder = folder
        self._limits = limits
        self._migrations = migrations
        self._is_shared = is_shared
        # Of the state folder, whatever its ledger is kept in: one daemon for its keys, and what it remembers is the last ledger.
        self._lock = OwnerLock(ledger_path(folder), self._where) if access is Access.OWNER else None
        self._mutex = threading.RLock()
        self._db: _Connection | None = None
        life = secrets.token_hex(4)
        self._name = f"{PROGRAM} {os.getpid()}@{socket.gethostname()[:24]} {life}"
        # guard: shares: what one replica has lost no other makes good for
        self._life = life if is_shared else None
        """Of an owner that shares the database: its row in ``owners``."""
        self._tries_again_at: float | None = None
        self._refusal: LedgerError | None = None
        self._is_closed = False
        self._known_id: str | None = None
        self._session: int | None = None
        """The server's process that holds the owner's lock."""
        self._commits = 0
        """What ``layout.commits`` was when a write of ours, or the opening, last saw it: it never goes back."""
        self._owner_commits = 0
        """The same of ``layout.owner_commits``, which nobody but an owner counts up, or of the own row in ``owners``: verbs and
        other replicas cannot make good for what is lost."""
        self._loss_untold = False
        self._last_write = LastWrite(lambda: clock.now().monotonic)
        self._version = -1
        self._answers: dict[Hashable, tuple[Any, ...]] = {}

    @property
    def where(self) -> str:
        return self._where

    @property
    def folder(self) -> Path | None:
        return self._folder

    locks_row, skips_locked = "FOR SHARE", "FOR UPDATE SKIP LOCKED"

    def now_ms(self, transaction: Transaction) -> int:
        return int(
            transaction.execute(
                "SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)"
            ).fetchone()[0]
        )

    def permission_problem(self) -> str | None:
        return None

    def reader(self) -> PostgresStore:
        return PostgresStore(self._url, Access.READER, self._clock, self._folder, limits=self._limits)

    def wall_now(self) -> datetime:
        return self._clock.now().wall

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
            raise LedgerRefused(f"The ledger {self.where} was opened read-only; open it for writing first.")
        with self._mutex, self._translating():
            db = self._usable()
            self._tell_loss(tells_loss=tells_loss)
            if not is_probe:
                self._answers.clear()  # before it: a COMMIT that failed may be found done
            with self._transaction(db, self._begin_writing()) as (transaction, begun):
                commits = self._checked(begun)
                yield transaction
            if is_probe and self._version == commits - 1:
                self._version = commits
            self._commits, self._owner_commits = commits, int(begun["owner_commits"])
            self.problem = None
            self._last_write.ended_well()

    @contextmanager
    def reading(self, *, tells_loss: bool = True, is_single: bool = False) -> Iterator[Transaction]:
        with self._mutex, self._translating():
            db = self._usable()
            self._tell_loss(tells_loss=tells_loss)
            if is_single:
                with self._limited(db):
                    yield Transaction(_Statements(db))
            else:
                with self._transaction(db, _BEGIN_READING) as (transaction, _):
                    yield transaction
            if self.access is Access.READER:
                self.problem = None

    def remembered(self, question: Hashable, read: Callable[[Transaction], Sequence[Answer]]) -> list[Answer]:
        with self._mutex, self._translating():
            db = self._usable()
            self._tell_loss(tells_loss=True)
            found = self._answers.get(question)
            if found is None or self._version != self._commits_in(db):
                with self._transaction(db, _BEGIN_READING) as (transaction, begun):
                    found = tuple(read(transaction))
                if self._version != begun["commits"]:
                    self._answers.clear()
                    self._version = begun["commits"]
                self._answers[question] = found
            if self.access is Access.READER:
                self.problem = None
            return list(found)

    def wrote_within(self, span: timedelta) -> bool:
        return self._last_write.was_within(span)

    def look(self) -> None:
        with self._mutex, self._translating():
            self._commits_in(self._usable())

    def told_of_loss(self) -> None:
        self._loss_untold = False

    def connect(self) -> None:
        with self._mutex, self._translating():
            self._usable()
            self._loss_untold = False

    def close(self) -> None:
        with self._mutex:
            self._is_closed = True
            self._drop()
            if self._lock is not None:
                self._lock.release()

    # ------------------------------------------------------------ transactions

    def _begin_writing(self) -> bytes:
        if self._life is not None:
            return _BEGIN_SHARING.replace(b"$life", self._life.encode())
        return _BEGIN_OWNING if self.access is Access.OWNER else _BEGIN_WRITING

    @contextmanager
    def _transaction(self, db: _Connection, begin: bytes) -> Iterator[tuple[Transaction, Row]]:
        """``begin``: BEGIN and one statement, whose row is given along."""
        with self._limited(db):
            try:
                cursor = db.ask(begin)
                cursor.nextset()
                begun = self._one(cursor)
                # guard: shares: an older program does nothing to tables that it does not know
                if begun["version"] > len(self._migrations):
                    raise self._too_new(begun["version"])
                yield Transaction(_Statements(db)), begun
                # A transaction in which something failed ends with ROLLBACK, and says so only here.
                # guard: single: a transaction that the server took back is no success
                if db.ask(b"COMMIT").statusmessage != "COMMIT":
                    raise LedgerUnavailable(
                        f"The ledger {self.where} took a transaction back; the next look tries again."
                    )
            except BaseException:
                with suppress(psycopg.Error):
                    db.ask(b"ROLLBACK")
                raise

    def _one(self, cursor: psycopg.Cursor[_Row]) -> _Row:
        row = cursor.fetchone()
        if row is None:
            raise LedgerUnavailable(
                f"The ledger {self.where} has lost the row of its table layout or meta; put back a copy of it, or drop the schema "
                f"{SCHEMA}: a new one is then made by itself."
            )
        return row

    def _commits_in(self, db: _Connection) -> int:
        with self._limited(db):
            return int(self._one(db.ask(b"SELECT commits FROM layout"))[0])

    @contextmanager
    def _limited(self, db: _Connection) -> Iterator[None]:
        db.ends_at = self._clock.now().monotonic + self._limits.answer
        try:
            yield
        finally:
            db.ends_at = None

    def _checked(self, begun: Row) -> int:
        """This is still the ledger that was opened, none older than what was written, and its session is the one that holds the
        lock."""
        commits = int(begun["commits"])
        is_older = commits <= self._commits or int(begun["owner_commits"]) < self._owner_commits + (
            self._lock is not None
        )
        # guard: single: a database replaced, or an older copy of it, is not written to
        if begun["ledger_id"] != self._known_id or is_older:
            self._drop()
            raise LedgerUnavailable(
                f"The ledger {self.where} was replaced while it was in use; the next look opens it anew."
            )
        if self._session not in (None, begun["session"]):  # guard: single: only the session that holds the lock writes
            self._drop()
            raise LedgerUnavailable(self._of_a_pooler())
        return commits

    def _of_a_pooler(self) -> str:
        return (
            f"The ledger {self.where} is behind a pooler that shares the server's sessions, so nobody can own it; "
            "connect to the server itself, or let it pool by session."
        )

    # ------------------------------------------------------------ lost and found

    def _tell_loss(self, *, tells_loss: bool) -> None:
        if tells_loss and self._loss_untold:
            raise LedgerUnavailable(
                f"The ledger {self.where} had been replaced, or put back from a copy, and history is lost; "
                "what is there is in use now, and budgets before this moment are unknown."
            )

    def _usable(self) -> _Connection:
        if self._is_closed:
            raise LedgerUnavailable("The ledger was closed; open it again to use it.")
        if self._lock is not None:
            make_folder(self._lock.path.parent)
            self._lock.hold()
        if self._db is not None and self._db.closed:
            self._drop()
        if self._db is None:
            now = self._clock.now().monotonic
            if self._refusal is not None and self._tries_again_at is not None and now < self._tries_again_at:
                raise self._refusal.with_traceback(None)
            try:
                self._db = self._opened()
            except (psycopg.Error, LedgerError) as error:
                self._refusal = self._explained(error)
                self._tries_again_at = self._clock.now().monotonic + self._limits.pause
                raise
            self._refusal = None
        return self._db

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, OSError, ValueError, OverflowError, LedgerError) as error:
            said = self._explained(error)
            if not isinstance(said, LedgerRefused | LeaseLost):
                self.problem = str(said)
            # What the session itself is well after; all else may have ended it, or left it in an unknown state.
            if isinstance(error, psycopg.Error) and not isinstance(error, _HARMLESS):
                self._drop()
            if said is error:
                raise
            raise said from error

    def _drop(self) -> None:
        if self._db is not None:
            with suppress(psycopg.Error):
                self._db.close()
            self._db = None
        self._session = None
        self._answers.clear()
        self._last_write.is_no_proof()

    # ------------------------------------------------------------ opening

    def _opened(self) -> _Connection:
        own: dict[str, Any] = {
            "connect_timeout": self._limits.connect,
            "tcp_user_timeout": self._limits.connect * 1000,
            "application_name": self._name,
            "client_encoding": "utf8",
        }
        if self.access is not Access.READER and "target_session_attrs" not in self._params:
            own["target_session_attrs"] = "read-write"  # of several, the one that is no standby
        db = _Connection.connect(
            self._url, autocommit=True, cursor_factory=psycopg.ClientCursor, row_factory=_rows, **own
        )
        db.now = lambda: self._clock.now().monotonic
        try:
            # Each part has its own time, as each transaction has: a far server's statements add up.
            for part in (self._settle, self._make_own, self._bring_up, self._note_loss):
                with self._limited(db):
                    part(db)
        except BaseException:
            with suppress(psycopg.Error):
                db.close()
            self._session = None
            raise
        return db

    def _settle(self, db: _Connection) -> None:
        if db.info.server_version < NEEDED_SERVER:
            raise LedgerUnavailable(
                f"PostgreSQL {db.info.server_version // 10000} is too old for the ledger {self.where}; it needs 14 or later."
            )
        if db.info.parameter_status("server_encoding") != "UTF8":
            raise LedgerUnavailable(
                f"The database of the ledger {self.where} is not in UTF8; make one with `createdb --encoding UTF8`."
            )
        db.ask(_SETTINGS.format(lock=self._limits.lock, answer=self._limits.answer, schema=SCHEMA).encode())
        if self.access is Access.READER:
            db.ask(b"SET default_transaction_read_only = on")

    def _make_own(self, db: _Connection) -> None:
        if self.access is Access.OWNER:  # guard: single: a database has one owner
            self._own(db)

    def _bring_up(self, db: _Connection) -> None:
        """To the version that we know: the owner's to do."""
        version = self._known_version(db)
        if version < len(self._migrations):
            if version == 0 and self.access is not Access.OWNER:
                raise LedgerUnavailable(
                    f"There is no ledger at {self.where} yet; the daemon makes it (`openclaw-watchdog run`)."
                )
            if self.access is not Access.OWNER:
                raise LedgerUnavailable(
                    f"The ledger {self.where} is of an older version; start the daemon of this version once, "
                    "it brings it up to date."
                )
            self._migrate(db)

    def _own(self, db: _Connection) -> None:
        db.ask(b"BEGIN")  # in one session, whatever is in between
        # And we have asked for nothing yet.
        if any(row["is_mine"] for row in db.ask(_HELD)):  # guard: single: a session that others share is nobody's lock
            raise LedgerUnavailable(self._of_a_pooler())
        try:
            owning = db.ask(_OWN_SHARED if self._is_shared else _OWN, (_LOCK_CLASS, _OWNER))
        except psycopg.errors.LockNotAvailable:
            db.ask(b"ROLLBACK")
            raise self._in_use(db.ask(_HELD).fetchall()) from None
        self._session = int(self._one(owning)[0])
        db.ask(b"COMMIT")

    def _in_use(self, held: Sequence[Row]) -> LedgerError:
        name = next((str(row["name"] or "") for row in held), "")
        if name == self._name:
            return LedgerUnavailable(
                f"The server of the ledger {self.where} has not noticed yet that an earlier connection of ours was lost; "
                "it does within a minute."
            )
        process, _, host = name.removeprefix(f"{PROGRAM} ").split(" ")[0].partition("@")
        pid = int(process) if process.isdecimal() else None
        who = f"process {pid} on {host}" if pid is not None else "another session"
        return LedgerInUse(
            f"The ledger {self.where} is owned by {who}; stop that watchdog first, or give this one its own database.",
            pid,
        )

    def _known_version(self, db: _Connection) -> int:
        """0: there is none. Raises ``LedgerTooNew``."""
        if not self._one(db.ask(b"SELECT to_regclass(%s) IS NOT NULL", (f"{SCHEMA}.layout",)))[0]:
            return 0
        version = int(self._one(db.ask(b"SELECT version FROM layout"))[0])
        if version > len(self._migrations):
            raise self._too_new(version)
        return version

    def _too_new(self, version: int) -> LedgerTooNew:
        return LedgerTooNew(
            f"The ledger {self.where} was written by a newer version (layout {version}, this program knows "
            f"{len(self._migrations)}); upgrade openclaw-watchdog, or give this one its own database."
        )

    def _migrate(self, db: _Connection) -> None:
        """What is missing, in one transaction; of several who try at once, the others find it done."""
        db.ask(b"BEGIN")
        db.ask(b"SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK_CLASS, _MIGRATION))
        if not self._one(db.ask(b"SELECT to_regnamespace(%s) IS NOT NULL", (SCHEMA,)))[0]:
            db.ask(f"CREATE SCHEMA {SCHEMA}".encode())
        version = self._known_version(db)  # again: a newer program may have been here since
        statements = [*FOUNDATION] if version == 0 else []
        for migration in self._migrations[version:]:
            statements += said_here(migration)
        if statements:
            db.ask(
                ";\n".join(statements).encode()
            )  # in one go: a hundred ways to a far server take longer than there is time
        if version < len(self._migrations):
            db.ask(b"UPDATE layout SET version = %s", (len(self._migrations),))
        if version == 0:
            ledger_id = fresh_id(self._expected_id())
            made = (ledger_id, to_ms(self._clock.now().wall))
            db.ask(b'INSERT INTO meta ("only", ledger_id, created_at) VALUES (1, %s, %s)', made)
            first = int(ledger_id[:6], 16) * schema.SERIALS_PER_LEDGER
            for table in ("attempts", "messages"):
                db.ask(b"SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", (table, max(first, 1)))
        db.ask(b"COMMIT")

    def _expected_id(self) -> str | None:
        return self._known_id or (self._lock.remembered if self._lock is not None else None)

    def _note_loss(self, db: _Connection) -> None:
        """The owner remembers which ledger is its own, and how far it was: another one in its place, or an older copy of it (a
        standby that had not got everything), means that history is missing."""
        if self.access is Access.READER:
            return
        db.ask(b"BEGIN ISOLATION LEVEL READ COMMITTED")
        found = self._one(self._counted(db))
        ledger_id, commits, owner_commits = str(found["ledger_id"]), int(found["commits"]), int(found["owner_commits"])
        is_lost = self._lock is not None and (
            self._is_another(db, ledger_id) or commits < self._commits or owner_commits < self._owner_commits
        )
        # guard: single: another database than last time is a loss
        if is_lost:
            db.ask(b"UPDATE meta SET lost_history_at = %s", (to_ms(self._clock.now().wall),))
            self._loss_untold = True
        db.ask(b"COMMIT")
        if self._lock is not None:
            self._lock.remember(ledger_id)
        self._known_id = ledger_id
        self._commits, self._owner_commits = commits, owner_commits

    def _counted(self, db: _Connection) -> psycopg.Cursor[_Row]:
        if self._life is None:
            return db.ask(b"SELECT ledger_id, commits, owner_commits FROM meta, layout")
        db.ask(b"DELETE FROM owners WHERE last_commit < (SELECT commits FROM layout) - %s", (FORGOTTEN_AFTER,))
        own = (self._life,)
        db.ask(b"INSERT INTO owners SELECT %s, 0, commits FROM layout ON CONFLICT (id) DO NOTHING", own)
        return db.ask(
            b"SELECT ledger_id, layout.commits, owners.commits AS owner_commits FROM meta, layout, owners WHERE id = %s",
            own,
        )

    def _is_another(self, db: _Connection, ledger_id: str) -> bool:
        """Than this life had, or than was owned from this state folder before. A machine that joins others brings the id of an
        earlier ledger of its own: that is no loss of theirs."""
        if self._known_id is not None:  # guard: shares: another ledger while it runs is a loss, whoever else is there
            return self._known_id != ledger_id
        return self._expected_id() not in (None, ledger_id) and not self._joins(db)

    def _joins(self, db: _Connection) -> bool:
        """Another replica owns it now, and was through with ``_note_loss``: of two that start at once neither counts on the other."""
        if self._life is None:
            return False
        known = {row["id"] for row in db.ask(b"SELECT id FROM owners WHERE id <> %s", (self._life,))}
        lives = {str(row["name"]).rpartition(" ")[2] for row in db.ask(_HELD)}
        return not known.isdisjoint(lives)  # guard: shares: who has not looked at the ledger vouches for nothing

    # ------------------------------------------------------------ what is wrong, in one sentence

    def _explained(self, error: Exception) -> LedgerError:
        if isinstance(error, LedgerError):
            return error
        if not isinstance(error, psycopg.Error):
            return explained(error, self._lock.path if self._lock is not None else None)
        where, said = self.where, _said(error)
        # A program's limit: a text too long for an index.
        if isinstance(error, (psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)):
            return LedgerRefused(f"The ledger {where} refused a write that breaks its rules ({said}).")
        if isinstance(error, psycopg.DataError):
            return LedgerRefused(f"The ledger was used in a wrong way ({said}); this is a bug, please report it.")
        if isinstance(error, _NoAnswer):
            return LedgerUnavailable(
                f"The server of the ledger {where} did not answer within {self._limits.answer:g} s; "
                f"it is tried again every {self._limits.pause:g} s."
            )
        if isinstance(error, psycopg.errors.LockNotAvailable):
            return LedgerUnavailable(
                f"The ledger {where} is locked by another session; it comes back when that one is done."
            )
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            return LedgerUnavailable(f"The ledger {where} is on a standby, or set to be only read ({said}).")
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            return LedgerUnavailable(
                f"The ledger {where} may not be used as this role ({said}); who makes or upgrades it owns the schema "
                f"{SCHEMA}, and the others are granted USAGE on it and SELECT, INSERT, UPDATE, DELETE on its tables."
            )
        return LedgerUnavailable(f"The ledger {where} cannot be used ({said}).")


_HARMLESS = (
    psycopg.IntegrityError,
    psycopg.DataError,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.ProgramLimitExceeded,
)

_BEGIN_WRITING = b"""
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    UPDATE layout SET commits = commits + 1
    RETURNING version, commits, owner_commits, (SELECT ledger_id FROM meta) AS ledger_id, pg_backend_pid() AS session
"""
_BEGIN_OWNING = _BEGIN_WRITING.replace(b"commits + 1", b"commits + 1, owner_commits = owner_commits + 1")
# A row of its own that is missing was never so low.
_BEGIN_SHARING = _BEGIN_WRITING.replace(
    b"UPDATE",
    b"""WITH own AS (
        UPDATE owners SET commits = commits + 1, last_commit = (SELECT commits FROM layout) WHERE id = '$life'
        RETURNING commits
    )
    UPDATE""",
).replace(b" owner_commits,", b" coalesce((SELECT commits FROM own), -1) AS owner_commits,")
_OWN = b"SELECT pg_backend_pid() FROM pg_advisory_lock(%s, %s)"
_OWN_SHARED = b"SELECT pg_backend_pid() FROM pg_advisory_lock_shared(%s, %s)"
_BEGIN_READING = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT version, commits FROM layout"

# A daemon whose machine is gone stops being the owner within half a minute, and one that was frozen halfway lets others write.
_SETTINGS = """
    SET search_path = {schema};
    SET lock_timeout = '{lock}s';
    SET statement_timeout = '{answer}s';
    SET idle_in_transaction_session_timeout = '{answer}s';
    SET idle_session_timeout = 0;
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = '25s';
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
"""

_HELD = f"""
    SELECT a.application_name AS name, l.pid = pg_backend_pid() AS is_mine
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.classid = {_LOCK_CLASS} AND l.objid = {_OWNER} AND l.objsubid = 2
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
""".encode()  # noqa: S608 - numbers of ours


def _said(error: psycopg.Error) -> str:
    """The server's own words, or libpq's, on one line; neither has ever a password in it."""
    return " ".join((error.diag.message_primary or str(error) or type(error).__name__).split())[:300].rstrip(".")
