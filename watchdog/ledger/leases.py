"""Leases of shards, and the fence before every write of who leases one.

Invariants: a shard has one owner, and its epoch goes up whenever it gets another; only an owner of the row's epoch renews or
releases it; a write that carries an owner and an epoch which are no longer the row's changes nothing. The instants are the
database's own clock's: what replicas think of the time decides nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from watchdog.core.leases import Fleet, Replica, Shard
from watchdog.ledger.store import Access, Answer, Store, Transaction
from watchdog.service.errors import LeaseLost
from watchdog.service.shares import TakenShard
from watchdog.service.tenure import Tenure

_WRITTEN = ("live", "quarantines", "stops")
"""What is asked for all gateways at once and written through a fence. Pauses, a loss of history and whose the shards are is not."""
FORGOTTEN_AFTER = timedelta(days=1)
"""How long a replica that went away without a word is still shown."""


class LedgerLeases:
    """``service.shares.LeaseRecord`` over the ledger's store."""

    def __init__(self, store: Store) -> None:
        self._file = store

    def beat(self, replica: str, name: str, held: Mapping[int, int], term: timedelta) -> Fleet:
        with self._file.writing(tells_loss=False, is_probe=True) as transaction:
            now = self._file.now_ms(transaction)
            until = now + _ms(term)
            transaction.execute(
                """
                INSERT INTO replicas (id, name, expires_at) VALUES (?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at
                """,
                replica,
                name,
                until,
            )
            transaction.execute("DELETE FROM replicas WHERE expires_at < ?", now - _ms(FORGOTTEN_AFTER))
            if held:
                transaction.execute(
                    f"UPDATE shards SET expires_at = ? WHERE owner = ? AND {_these(held)}",  # noqa: S608
                    until,
                    replica,
                    *_numbers(held),
                )
            return _fleet(transaction, now)

    def take(self, replica: str, most: int, term: timedelta, *, with_expired: bool = True) -> Sequence[TakenShard]:
        ended = " OR expires_at <= ?" if with_expired else ""
        with self._file.writing(tells_loss=False, is_probe=True) as transaction:
            now = self._file.now_ms(transaction)
            free = transaction.execute(
                f"SELECT id, epoch, owner FROM shards WHERE owner IS NULL{ended} ORDER BY id LIMIT ?"  # noqa: S608
                f" {self._file.skips_locked}",
                *([now] if with_expired else []),
                most,
            ).fetchall()
            if not free:
                return ()
            shards = [int(row["id"]) for row in free]
            transaction.execute(
                # guard: shares: every owner has an epoch of its own
                f"UPDATE shards SET owner = ?, expires_at = ?, epoch = epoch + 1 WHERE id IN ({_marks(shards)})",  # noqa: S608
                replica,
                now + _ms(term),
                *shards,
            )
            return [TakenShard(int(row["id"]), int(row["epoch"]) + 1, row["owner"] is None) for row in free]

    def release(self, replica: str, held: Mapping[int, int]) -> None:
        with self._file.writing(tells_loss=False, is_probe=True) as transaction:
            _release(transaction, replica, held)

    def leave(self, replica: str, held: Mapping[int, int]) -> None:
        with self._file.writing(tells_loss=False, is_probe=True) as transaction:
            _release(transaction, replica, held)
            transaction.execute("DELETE FROM replicas WHERE id = ?", replica)

    def fleet(self) -> Fleet:
        with self._file.reading(tells_loss=False) as transaction:
            return _fleet(transaction, self._file.now_ms(transaction))


class FencedStore:
    """``store.Store`` as the owner of one shard writes to it: what is no longer its own it does not change."""

    def __init__(self, store: Store, tenure: Tenure) -> None:
        self._store = store
        self._tenure = tenure
        self.access: Access = store.access
        self.recent = tenure.recent

    @contextmanager
    def writing(
        self, *, tells_loss: bool = True, is_probe: bool = False, is_deed: bool = False
    ) -> Iterator[Transaction]:
        # All: a COMMIT without an answer may be done, and who lost a lease knows nothing any more.
        changed: Sequence[str] = ()
        try:
            with self._store.writing(tells_loss=tells_loss, is_probe=is_probe) as transaction:
                self._check(transaction, is_deed=is_deed, locks=self._store.locks_row)
                yield transaction
            changed = _WRITTEN
        finally:
            if self.recent is not None and not is_probe:
                self.recent.forget(*changed)  # guard: shares: what this process wrote it sees

    def _check(self, transaction: Transaction, *, is_deed: bool, locks: str) -> None:
        """In the very transaction of a write, whose row of ``shards`` nobody else changes until it has ended."""
        tenure = self._tenure
        lease = tenure.lease
        row = transaction.one(
            f"SELECT expires_at FROM shards WHERE id = ? AND owner = ? AND epoch = ? {locks}",  # noqa: S608
            lease.shard,
            tenure.replica,
            lease.epoch,
        )
        if row is None:  # guard: shares: who is no longer the owner writes nothing
            raise LeaseLost(f"Shard {lease.shard} is no longer this replica's; nothing was written.")
        ends_in = int(row["expires_at"]) - self._store.now_ms(transaction) if is_deed else 0
        # guard: shares: a claim wants the lease to outlive the sending
        if is_deed and ends_in <= _ms(tenure.timing.margin):
            raise LeaseLost(f"The lease on shard {lease.shard} ends too soon for a deed; nothing was written.")

    @property
    def problem(self) -> str | None:
        return self._store.problem

    @problem.setter
    def problem(self, said: str | None) -> None:
        self._store.problem = said

    @property
    def where(self) -> str:
        return self._store.where

    @property
    def folder(self) -> Path | None:
        return self._store.folder

    @property
    def locks_row(self) -> str:
        return self._store.locks_row

    @property
    def skips_locked(self) -> str:
        return self._store.skips_locked

    def now_ms(self, transaction: Transaction) -> int:
        return self._store.now_ms(transaction)

    def permission_problem(self) -> str | None:
        return self._store.permission_problem()

    def reader(self) -> Store:
        return self._store.reader()

    @contextmanager
    def reading(self, *, tells_loss: bool = True, is_single: bool = False) -> Iterator[Transaction]:
        with self._store.reading(tells_loss=tells_loss, is_single=is_single) as transaction:
            yield transaction

    def remembered(self, question: Hashable, read: Callable[[Transaction], Sequence[Answer]]) -> list[Answer]:
        return self._store.remembered(question, read)

    def wrote_within(self, span: timedelta) -> bool:
        return self._store.wrote_within(span)

    def look(self) -> None:
        lease = self._tenure.lease
        if self.recent is not None and (lease.shard, lease.epoch) in self.recent.answer("leases", self._own):
            return
        with self._store.reading(tells_loss=False, is_single=True) as transaction:
            self._check(transaction, is_deed=False, locks="")

    def _own(self) -> frozenset[tuple[int, int]]:
        """Shard and epoch of all that is this replica's."""
        with self._store.reading(tells_loss=False, is_single=True) as transaction:
            rows = transaction.execute("SELECT id, epoch FROM shards WHERE owner = ?", self._tenure.replica)
            return frozenset((int(row["id"]), int(row["epoch"])) for row in rows)

    def told_of_loss(self) -> None:
        self._store.told_of_loss()

    def connect(self) -> None:
        self._store.connect()

    def close(self) -> None:
        """The store is everybody's."""

    def wall_now(self) -> datetime:
        return self._store.wall_now()


def _release(transaction: Transaction, replica: str, held: Mapping[int, int]) -> None:
    if held:
        transaction.execute(
            f"UPDATE shards SET owner = NULL, expires_at = 0 WHERE owner = ? AND {_these(held)}",  # noqa: S608
            replica,
            *_numbers(held),
        )


def _fleet(transaction: Transaction, now: int) -> Fleet:
    replicas = [
        Replica(row["id"], row["name"], int(row["expires_at"]) > now)
        for row in transaction.execute("SELECT id, name, expires_at FROM replicas ORDER BY name, id")
    ]
    shards = [
        Shard(int(row["id"]), row["owner"], int(row["epoch"]), int(row["expires_at"]) <= now)
        for row in transaction.execute("SELECT id, owner, epoch, expires_at FROM shards ORDER BY id")
    ]
    return Fleet(replicas, shards)


def _these(held: Mapping[int, int]) -> str:
    """In one statement, however many epochs they are of: the longer a fleet lives the more, and to a slow server each trip counts."""
    return f"(id, epoch) IN (VALUES {', '.join(['(?, ?)'] * len(held))})"


def _numbers(held: Mapping[int, int]) -> list[int]:
    return [number for one in sorted(held.items()) for number in one]


def _marks(values: Sequence[int]) -> str:
    return ", ".join("?" * len(values))


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
