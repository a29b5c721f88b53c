"""The durable record: what was intended, what was done, what is owed to whom; in SQLite, or in PostgreSQL (``postgres``).

Invariants: a method that has returned has written durably (one transaction, fsynced); one that raised counts as not done
(and may, after a failed COMMIT, be found done later: an attempt then shows as ``started`` and is looked at, never sent).
An attempt is claimed once. A damaged file is explained and left alone. ``is_writable`` comes back by itself.

Limits: synchronous, a few milliseconds a write, so no call belongs in a hot loop. After the file was deleted while we ran,
or while nobody did, budgets, pauses and quarantines are unknown: ``lost_history_at`` says so, and every use after such
a loss raises until somebody tells of it (``told_of_loss``), so that no pass that began with the old history acts on the new one.

Where things are: ``place`` (which of the two), ``store`` (what both are to the operations), ``sqlite`` (transactions, loss and
healing), ``sqlite_open``, ``owner_lock`` (one owner), ``schema`` (tables, migrations), ``incidents``, ``outbox``, ``operator``, ``gateway_names`` (the operations, inherited from there),
``restarts``, ``leases``, ``note_texts`` (records of their own), ``rows`` (values), ``errors`` (what to say when it is sick).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.ledger import incidents, operator, outbox, restarts
from watchdog.ledger.errors import LedgerRefused
from watchdog.ledger.gateway_names import NameOperations
from watchdog.ledger.incidents import FOUND_STARTED, LED_ELSEWHERE, IncidentOperations
from watchdog.ledger.leases import FencedStore, LedgerLeases
from watchdog.ledger.note_texts import LedgerNotes
from watchdog.ledger.operator import HoldOperations
from watchdog.ledger.outbox import OutboxOperations
from watchdog.ledger.restarts import LedgerRestarts
from watchdog.ledger.rows import from_ms, from_ms_or_none
from watchdog.ledger.sqlite import BUSY_TIMEOUT, LedgerFile
from watchdog.ledger.store import Access, Store
from watchdog.service.errors import LeaseLost, LedgerError, LedgerInUse, LedgerUnavailable
from watchdog.service.ledger import AuditLine
from watchdog.service.tenure import Tenure

__all__ = ["AuditLine", "LedgerRefused", "SqlLedger", "SqliteLedger"]


class SqlLedger(IncidentOperations, HoldOperations, OutboxOperations, NameOperations):
    """``service.ledger.Ledger`` over a store; a context manager."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.restarts = LedgerRestarts(store)
        """Restarts of whole gateways."""
        self.leases = LedgerLeases(store)
        """Who watches what, where several share it."""
        self.note_texts = LedgerNotes(store)
        """Handoff notes, where they are not files beside it."""
        self.owed_first: Callable[[], object] | None = None
        """What has to be done before any deed, where the ledger was away when it was due: ``is_writable`` does it, and is not
        true before it is done. Raises ``LedgerError``."""
        self.taken: LedgerInUse | None = None
        """Another daemon owns it now, as ``is_writable`` last found."""

    @classmethod
    def connected(cls, store: Store, *, tolerant: bool = False) -> Self:
        """``tolerant``: also over a store that cannot be used now (``LedgerUnavailable``)."""
        try:
            store.connect()
        except LedgerUnavailable:
            if not tolerant:
                store.close()
                raise
        except BaseException:
            store.close()
            raise
        return cls(store)

    def reader(self) -> SqlLedger:
        """Another one to the same, for who only shows, also where it cannot be used now; of a ledger in memory itself."""
        store = self._file.reader()
        return self if store is self._file else SqlLedger.connected(store, tolerant=True)

    def fenced(self, tenure: Tenure, gateway: str, place: str = "") -> SqlLedger:
        """The same ledger as the owner of a shard uses it for one gateway in it: every write carries the tenure, and raises ``LeaseLost``
        where that is over. What an earlier owner left of the gateway is settled before any deed, once: what this one has in flight
        outlives a reload that does not lead ``gateway`` to another ``place``."""
        own = SqlLedger(FencedStore(self._file, tenure))

        def settle() -> None:
            # guard: shares: what was sent to another place is proven by its mark alone
            if tenure.settled.get(gateway) != place:
                is_moved = gateway in tenure.settled
                if is_moved:
                    own.read_anew()  # it was this owner's own a moment ago
                if own.is_left_open(gateway):
                    why = LED_ELSEWHERE if is_moved else FOUND_STARTED
                    own.settle_start_up(self._file.wall_now(), gateway, why=why)
                tenure.settled[gateway] = place

        own.owed_first = settle
        return own

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------ its own condition

    @property
    def where(self) -> str:
        """How people call it: a path, or the address of a database without a password."""
        return self._file.where

    @property
    def folder(self) -> Path | None:
        """The state folder. None: a ledger in memory."""
        return self._file.folder

    @property
    def problem(self) -> str | None:
        """Why the ledger could not be used last time, in one sentence with the way out; None when it could."""
        return self._file.problem

    @property
    def lost_history_at(self) -> datetime | None:
        """When the history was found missing (file deleted or replaced): deeds are to be held from then on, until the
        longest budget has passed or an operator accepts. Survives restarts."""
        return self._lately("lost_history_at", self._lost_at)

    def read_anew(self) -> None:
        if self._file.recent is not None:
            self._file.recent.forget()

    def _lost_at(self) -> datetime | None:
        with self._file.reading(tells_loss=False, is_single=True) as transaction:
            row = transaction.one("SELECT lost_history_at FROM meta")
        lost_at = None if row is None else from_ms_or_none(row[0])
        if lost_at is not None:
            self._file.told_of_loss()  # by who has read it now: another loss may have been found since an earlier reading
        return lost_at

    def accept_lost_history(self, at: datetime, who: str) -> bool:
        """An operator takes the loss: deeds may go on with fresh budgets. False when there was none."""
        with self._file.writing(tells_loss=False) as transaction:
            if not transaction.changes_one("UPDATE meta SET lost_history_at = NULL WHERE lost_history_at IS NOT NULL"):
                return False
            operator.audit(transaction, at, who, "accept_lost_history", "budgets start afresh")
        self._file.told_of_loss()
        return True

    @property
    def id(self) -> str:
        """This ledger's own id; its first four digits end every incident id."""
        return str(self._meta("ledger_id"))

    @property
    def created_at(self) -> datetime:
        return from_ms(int(self._meta("created_at")))

    def permission_problem(self) -> str | None:
        """What lets other users read or replace the ledger; None when nothing does. For ``doctor``."""
        return self._file.permission_problem()

    def told_of_loss(self) -> None:
        self._file.told_of_loss()

    def is_writable(self, unless_written_within: timedelta = timedelta(0)) -> bool:
        try:
            # guard: single: a write that failed since is no proof
            is_known = self._file.problem is None and self._file.wrote_within(unless_written_within)
            if is_known:
                self._file.look()
            else:
                with self._file.writing(tells_loss=False, is_probe=True) as transaction:
                    transaction.execute("UPDATE meta SET probes = probes + 1")
            if self.owed_first is not None:  # guard: single: no deed before an earlier life is settled
                self.owed_first()
                self.owed_first = None
        except LeaseLost:
            raise
        except LedgerError as problem:
            self.taken = problem if isinstance(problem, LedgerInUse) else None
            return False
        self.taken = None
        return True

    def _meta(self, column: str) -> str | int:
        with self._file.reading(tells_loss=False) as transaction:
            value: str | int = transaction.execute(f"SELECT {column} FROM meta").fetchone()[0]  # noqa: S608
        return value

    def prune(self, before: datetime) -> int:
        """``before`` must lie further back than the longest budget: a dropped attempt charges nothing any more. It lies as far behind
        the database's clock as it is said to lie behind ours."""
        kept_for = self._file.wall_now() - before
        with self._file.writing() as transaction:
            # guard: shares: no clock that is ahead takes a pause or a stop from the others
            before = min(before, from_ms(self._file.now_ms(transaction)) - kept_for)
            return (
                incidents.prune(transaction, before)
                + incidents.prune_stops(transaction, before)
                + operator.prune(transaction, before)
                + outbox.prune(transaction, before)
                + restarts.prune(transaction, before)
            )


class SqliteLedger(SqlLedger):
    """In one SQLite file. Made by ``open``, ``open_read_only`` or ``in_memory``."""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        owner: bool = False,
        tolerant: bool = False,
        wall: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] | None = None,
        busy_timeout: timedelta = BUSY_TIMEOUT,
        trace: Callable[[str], None] | None = None,
    ) -> Self:
        """Open for writing; the file is made if there is none.

        ``owner``: be the one daemon of this ledger, or raise ``LedgerInUse`` with the other's pid. Only the owner brings
        an older ledger up to date. ``tolerant``: a sick ledger (``LedgerUnavailable``) is returned all the same; see
        ``problem``, and ``is_writable`` goes on trying. ``wall``: where "now" comes from in the few places that are not
        given an instant. ``monotonic``: seconds, by which ``is_writable`` knows when the last write was; None: it never
        does, and tries. ``trace``: sees every SQL statement before it runs.
        """
        access = Access.OWNER if owner else Access.WRITER
        file = LedgerFile(
            path.resolve(), access, wall=wall, monotonic=monotonic, busy_timeout=busy_timeout, trace=trace
        )
        return cls.connected(file, tolerant=tolerant)

    @classmethod
    def open_read_only(cls, path: Path, *, wall: Callable[[], datetime] | None = None) -> Self:
        """For verbs that only show. Raises ``LedgerUnavailable`` when there is none; never makes or changes one."""
        return cls.connected(LedgerFile(path.resolve(), Access.READER, wall=wall))

    @classmethod
    def in_memory(cls, *, ledger_id: str | None = None, wall: Callable[[], datetime] | None = None) -> Self:
        """The same ledger without a file, for simulators. Deterministic: its id (16 hex digits) is all zeros unless
        given; two simulated watchdogs on one gateway need two ids."""
        return cls.connected(LedgerFile(None, Access.OWNER, ledger_id=ledger_id, wall=wall))
