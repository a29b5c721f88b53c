"""What every operation of the ledger needs of the database it is kept in.

The operations (``incidents``, ``outbox``, ``operator``, ``gateway_names``, ``restarts``) are written once, in SQL that SQLite
and PostgreSQL both take: ``coalesce``, ``RETURNING``, ``ON CONFLICT`` with the table named, text that sorts by its bytes.
What differs lies below: ``sqlite`` is a file, ``postgres`` a database on a server.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from watchdog.ledger.rows import Row, from_ms
from watchdog.service.errors import LedgerUnavailable
from watchdog.service.recent_answers import RecentAnswers

_CUT_WITHIN = timedelta(seconds=1)
"""A server that does not answer is not asked twice in one call."""

Answer = TypeVar("Answer")
Found = TypeVar("Found")
Param = str | int | None

_SQL_NOW_MS = "SELECT CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"


class Words(str):
    """What a person said. A store binds it apart from its statement."""

    __slots__ = ()


class Access(Enum):
    OWNER = "owner"
    """The daemon: holds the lock, migrates, settles what an earlier life left open."""
    WRITER = "writer"
    """An operator's verb beside a running daemon."""
    READER = "reader"


class Rows(Protocol):
    """What a statement gave: the rows it returned, and how many it changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Statements(Protocol):
    """A connection, as far as a transaction needs it."""

    def execute(self, sql: str, params: Sequence[Param] | Mapping[str, Param], /) -> Rows: ...


class Transaction:
    """SQL inside one transaction. Text that is not valid Unicode (half of an emoji, cut by the gateway) gets a ``?``."""

    def __init__(self, db: Statements) -> None:
        self._db = db

    def execute(self, sql: str, *params: Param, **named: Param) -> Rows:
        """``?`` takes ``params`` in order, ``:word`` takes ``named``; a statement uses one or the other."""
        if named:
            return self._db.execute(sql, {name: _storable(value) for name, value in named.items()})
        return self._db.execute(sql, [_storable(param) for param in params])

    def one(self, sql: str, *params: Param) -> Row | None:
        row: Row | None = self.execute(sql, *params).fetchone()
        return row

    def inserted(self, sql: str, *params: Param) -> Row:
        """The row that an ``INSERT ... RETURNING`` wrote. All is fetched: SQLite's statement ends with its last row."""
        (row,) = self.execute(sql, *params).fetchall()
        found: Row = row
        return found

    def changes_one(self, sql: str, *params: Param, **named: Param) -> bool:
        """Compare-and-set: the guard stands in the statement, and True means that exactly one row passed it."""
        return self.execute(sql, *params, **named).rowcount == 1


class Store(Protocol):
    """One ledger's database. Whatever is wrong with it leaves here as a ``LedgerError`` leaf."""

    access: Access
    recent: RecentAnswers | None
    """What is read for all gateways at once, and lasts for a moment; None: each question is asked for itself, each time."""
    problem: str | None
    """Why the last attempt to use the ledger failed; None once a write (or a read, for a reader) succeeded."""

    @property
    def where(self) -> str:
        """How people call it: a path, or an address without a password."""
        ...

    @property
    def folder(self) -> Path | None:
        """The state folder. None: a store in memory."""
        ...

    def permission_problem(self) -> str | None:
        """What lets other users read or replace it; None when nothing does."""
        ...

    def reader(self) -> Store:
        """Another one to the same, for reading only and not connected yet; of one in memory itself."""
        ...

    @property
    def locks_row(self) -> str:
        """What a SELECT ends with so that nobody else changes the row before this transaction has ended."""
        ...

    @property
    def skips_locked(self) -> str:
        """The same for many rows, without those that somebody else has."""
        ...

    def now_ms(self, transaction: Transaction) -> int:
        """The database's own clock."""
        ...

    def writing(
        self, *, tells_loss: bool = True, is_probe: bool = False, is_deed: bool = False
    ) -> AbstractContextManager[Transaction]:
        """One write transaction, durable when the block has ended without an error; no two at once, whoever writes. An error in
        its end means *perhaps written*. ``tells_loss``: raise as long as a history was found lost and ``told_of_loss`` was not
        said. ``is_probe``: it writes nothing that ``remembered`` ever reads. ``is_deed``: a deed follows it (see
        ``leases.FencedStore``)."""
        ...

    def reading(self, *, tells_loss: bool = True, is_single: bool = False) -> AbstractContextManager[Transaction]:
        """One consistent view. ``is_single``: it is one statement, which is that by itself, so that a server need not be asked three
        times."""
        ...

    def remembered(self, question: Hashable, read: Callable[[Transaction], Sequence[Answer]]) -> list[Answer]:
        """What ``read`` returns, in one consistent view; read once as long as nobody writes. ``question``: equal for equal
        answers, and ``read`` depends on nothing but it and the tables."""
        ...

    def wrote_within(self, span: timedelta) -> bool:
        """A write, whoever in this process asked for it, has ended well less than ``span`` ago, over the connection that there
        still is. (What has gone wrong since: ``problem``.)"""
        ...

    def look(self) -> None:
        """Read once, so that a connection that is gone, or a lease that is over, is noticed now."""
        ...

    def told_of_loss(self) -> None:
        """The caller knows that history was lost, and tells it: no use needs to fail for it any more."""
        ...

    def connect(self) -> None:
        """Open now, so that what is wrong is said now."""
        ...

    def close(self) -> None:
        """Idempotent, never raises."""
        ...

    def wall_now(self) -> datetime:
        """For the few questions that come without an instant."""
        ...


class LastWrite:
    """When a store was last written through the connection it has now, on the monotonic clock."""

    __slots__ = ("_at", "_monotonic")

    def __init__(self, monotonic: Callable[[], float] | None) -> None:
        """None: it never knows."""
        self._monotonic = monotonic
        self._at: float | None = None

    def ended_well(self) -> None:
        self._at = None if self._monotonic is None else self._monotonic()

    def is_no_proof(self) -> None:
        """The connection is gone: the next one is to something else, perhaps."""
        self._at = None

    def was_within(self, span: timedelta) -> bool:
        at, now = self._at, self._monotonic
        return at is not None and now is not None and now() - at < span.total_seconds()


class Operations:
    """Some operations of a ledger, each one transaction on its store."""

    def __init__(self, store: Store) -> None:
        self._file = store

    def _lately(self, question: str, ask: Callable[[], Found]) -> Found:
        """What ``ask`` returns, or, where many gateways ask a server, returned a moment ago."""
        recent = self._file.recent
        if recent is None:
            return ask()
        began = recent.clock.now()
        try:
            return recent.answer(question, ask)
        except LedgerUnavailable:
            if recent.clock.now().since(began) > _CUT_WITHIN:
                raise
            # The first to notice that a connection was cut: another one is opened, and no pass need fail for it.
            return recent.answer(question, ask)

    def _of_gateway(
        self,
        question: str,
        gateway: str,
        read: Callable[[Transaction, str | None], Sequence[Answer]],
        gateway_of: Callable[[Answer], str],
        *,
        is_single: bool = False,
    ) -> Sequence[Answer]:
        """What ``read`` finds of one gateway. Where many gateways ask a server, what it finds of all is read once. ``is_single``: in
        one statement."""
        if self._file.recent is None:
            return self._file.remembered((question, gateway), lambda transaction: read(transaction, gateway))

        def ask() -> Mapping[str, Sequence[Answer]]:
            found = defaultdict[str, list[Answer]](list)
            with self._file.reading(is_single=is_single) as transaction:
                for one in read(transaction, None):
                    found[gateway_of(one)].append(one)
            return found

        return list(self._lately(question, ask).get(gateway, ()))


def fresh_id(known: str | None) -> str:
    """A new ledger's id, whose first digits differ from those of the one that is ``known``: they end incident ids."""
    while True:
        fresh = secrets.token_hex(8)
        if known is None or fresh[:4] != known[:4]:
            return fresh


def system_now() -> datetime:
    """SQLite's own reading of the system clock."""
    with closing(sqlite3.connect(":memory:")) as db:
        return from_ms(db.execute(_SQL_NOW_MS).fetchone()[0])


def _storable(param: Param) -> Param:
    if not isinstance(param, str):
        return param
    storable = param.encode("utf-8", "replace").decode("utf-8")
    return Words(storable) if isinstance(param, Words) else storable
