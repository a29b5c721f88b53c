"""The durable record in SQLite: what was intended, what was done, what is owed to whom.

Invariants: a method that has returned has written durably (one transaction, fsynced); one that raised counts as not done
(and may, after a failed COMMIT, be found done later: an attempt then shows as ``started`` and is looked at, never sent).
An attempt is claimed once. A damaged file is explained and left alone. ``is_writable`` comes back by itself.

Limits: synchronous, a few milliseconds a write, so no call belongs in a hot loop. After the file was deleted while we ran,
or while nobody did, budgets, pauses and quarantines are unknown: ``lost_history_at`` says so, and the first use after such
a loss raises once, so that no pass that began with the old history acts on the new one.

Where things are: ``sqlite`` (transactions, loss and healing), ``sqlite_open``, ``owner_lock`` (one owner), ``schema``
(tables, migrations), ``incidents``, ``outbox``, ``operator``, ``restarts``, ``gateway_names`` (the SQL), ``rows``
(values), ``errors`` (what to say when it is sick).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType

from watchdog.core.model import ReplyAddress
from watchdog.core.policy import Step
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.core.tracking import RunIdentity
from watchdog.ledger import gateway_names, incidents, operator, outbox, restarts
from watchdog.ledger.errors import LedgerRefused
from watchdog.ledger.restarts import LedgerRestarts
from watchdog.ledger.rows import from_ms, from_ms_or_none, note_of, to_ms
from watchdog.ledger.sqlite import BUSY_TIMEOUT, Access, LedgerFile
from watchdog.ledger.sqlite_open import loose_permissions
from watchdog.service.errors import LedgerError, LedgerUnavailable
from watchdog.service.ledger import (
    AuditLine,
    HandoffNote,
    Incident,
    Message,
    Outcome,
    OwedMessage,
    Pause,
    Quarantine,
    Stop,
)

__all__ = ["AuditLine", "LedgerRefused", "SqliteLedger"]


class SqliteLedger:
    """``service.ledger.Ledger`` over one SQLite file. Made by ``open``, ``open_read_only`` or ``in_memory``; a context manager."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file
        self.restarts = LedgerRestarts(file)
        """Restarts of whole gateways."""

    # ------------------------------------------------------------ making and ending

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        owner: bool = False,
        tolerant: bool = False,
        wall: Callable[[], datetime] | None = None,
        busy_timeout: timedelta = BUSY_TIMEOUT,
        trace: Callable[[str], None] | None = None,
    ) -> SqliteLedger:
        """Open for writing; the file is made if there is none.

        ``owner``: be the one daemon of this ledger, or raise ``LedgerInUse`` with the other's pid. Only the owner brings
        an older ledger up to date. ``tolerant``: a sick ledger (``LedgerUnavailable``) is returned all the same; see
        ``problem``, and ``is_writable`` goes on trying. ``wall``: where "now" comes from in the few places that are not
        given an instant. ``trace``: sees every SQL statement before it runs.
        """
        access = Access.OWNER if owner else Access.WRITER
        file = LedgerFile(path.resolve(), access, wall=wall, busy_timeout=busy_timeout, trace=trace)
        return cls._connected(file, tolerant)

    @classmethod
    def open_read_only(cls, path: Path, *, wall: Callable[[], datetime] | None = None) -> SqliteLedger:
        """For verbs that only show. Raises ``LedgerUnavailable`` when there is none; never makes or changes one."""
        return cls._connected(LedgerFile(path.resolve(), Access.READER, wall=wall), False)

    @classmethod
    def in_memory(cls, *, ledger_id: str | None = None, wall: Callable[[], datetime] | None = None) -> SqliteLedger:
        """The same ledger without a file, for simulators. Deterministic: its id (16 hex digits) is all zeros unless
        given; two simulated watchdogs on one gateway need two ids."""
        return cls._connected(LedgerFile(None, Access.OWNER, ledger_id=ledger_id, wall=wall), False)

    @classmethod
    def _connected(cls, file: LedgerFile, tolerant: bool) -> SqliteLedger:
        try:
            file.connect()
        except LedgerUnavailable:
            if not tolerant:
                file.close()
                raise
        except BaseException:
            file.close()
            raise
        return cls(file)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> SqliteLedger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------ its own condition

    @property
    def path(self) -> Path | None:
        return self._file.path

    @property
    def problem(self) -> str | None:
        """Why the ledger could not be used last time, in one sentence with the way out; None when it could."""
        return self._file.problem

    @property
    def lost_history_at(self) -> datetime | None:
        """When the history was found missing (file deleted or replaced): deeds are to be held from then on, until the
        longest budget has passed or an operator accepts. Survives restarts."""
        with self._file.reading(tells_loss=False) as transaction:
            row = transaction.one("SELECT lost_history_at FROM meta")
        lost_at = None if row is None else from_ms_or_none(row[0])
        if lost_at is not None:
            self._file.told_of_loss()
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
        return None if self.path is None else loose_permissions(self.path)

    def is_writable(self) -> bool:
        try:
            with self._file.writing(tells_loss=False, is_probe=True) as transaction:
                transaction.execute("UPDATE meta SET probes = probes + 1")
        except LedgerError:
            return False
        return True

    def _meta(self, column: str) -> str | int:
        with self._file.reading(tells_loss=False) as transaction:
            value: str | int = transaction.execute(f"SELECT {column} FROM meta").fetchone()[0]  # noqa: S608
        return value

    # ------------------------------------------------------------ incidents

    def open_incident(
        self,
        *,
        gateway: str,
        session: str,
        session_id: str | None,
        reason: str,
        at: datetime,
        messages: Sequence[Message] = (),
    ) -> Incident:
        with self._file.writing() as transaction:
            incident, is_new = incidents.opened(transaction, gateway, session, session_id, reason, at)
            if is_new:
                outbox.owe(transaction, messages, at)
        return incident

    def incident(self, incident_id: str) -> Incident | None:
        with self._file.reading() as transaction:
            found = incidents.select(transaction, "id = :id", id=incident_id)
        return found[0] if found else None

    def open_incidents(self, gateway: str | None = None) -> Sequence[Incident]:
        """Oldest first."""
        where = "closed_at IS NULL AND (:gateway IS NULL OR gateway = :gateway)"
        return self._file.remembered(
            ("open_incidents", gateway),
            lambda transaction: incidents.select(transaction, where, gateway=gateway),
        )

    def close_incident(
        self, incident_id: str, outcome: Outcome, at: datetime, messages: Sequence[Message] = ()
    ) -> bool:
        with self._file.writing() as transaction:
            is_closed = incidents.closed(transaction, incident_id, outcome, at)
            if is_closed:
                outbox.owe(transaction, messages, at)
        return is_closed

    def history(
        self, *, since: datetime | None = None, session: str | None = None, gateway: str | None = None
    ) -> Sequence[Incident]:
        """``since``: those that were open at or after it."""
        with self._file.reading() as transaction:
            return incidents.select(
                transaction,
                "(closed_at IS NULL OR closed_at >= :since) AND (:session IS NULL OR session = :session)"
                " AND (:gateway IS NULL OR gateway = :gateway)",
                newest_first=True,
                since=0 if since is None else to_ms(since),
                session=session,
                gateway=gateway,
            )

    # ------------------------------------------------------------ attempts

    def settle_start_up(self, at: datetime) -> Sequence[Attempt]:
        """Returns all that are indeterminate now, those of earlier lives included. Only for the owner: under a running
        daemon it would take away what that one has in flight."""
        if self._file.access is not Access.OWNER:
            raise LedgerRefused(f"Only the owner of {self.path} settles at start-up; open it with owner=True.")
        with self._file.writing() as transaction:
            return incidents.settled_at_start_up(transaction, at)

    def plan_attempt(
        self,
        incident_id: str,
        step: Step,
        at: datetime,
        *,
        before: RunIdentity | None,
        before_tail: str | None,
        address: ReplyAddress | None = None,
    ) -> Attempt:
        """``LedgerRefused`` when the incident is closed, or unknown (the ledger was lost since)."""
        with self._file.writing() as transaction:
            return incidents.planned(transaction, incident_id, step, at, before, before_tail, address)

    def claim_attempt(self, attempt_id: int, at: datetime) -> bool:
        """Also False when the incident was closed meanwhile, another attempt of it is in flight, or another incident holds
        the run (``run_holder``)."""
        with self._file.writing() as transaction:
            return incidents.claimed(transaction, attempt_id, at)

    def run_holder(self, incident_id: str, run: RunIdentity, at: datetime) -> Incident | None:
        with self._file.reading() as transaction:
            return incidents.holder(transaction, incident_id, run, at)

    def settle_attempt(
        self,
        attempt_id: int,
        to: AttemptState,
        at: datetime,
        *,
        reason: str,
        verified_by: str | None = None,
        is_retryable: bool = False,
        messages: Sequence[Message] = (),
    ) -> bool:
        with self._file.writing() as transaction:
            is_settled = incidents.settled(transaction, attempt_id, to, at, reason, verified_by, is_retryable)
            if is_settled:
                outbox.owe(transaction, messages, at)
        return is_settled

    def note_run(self, attempt_id: int, run_id: str) -> None:
        """Nothing happens when the attempt is not in flight."""
        with self._file.writing() as transaction:
            transaction.execute(
                "UPDATE attempts SET run_id = ? WHERE id = ? AND state IN ('started', 'indeterminate')",
                run_id,
                attempt_id,
            )

    def note_delivery(self, attempt_id: int, delivered: bool | None) -> None:
        with self._file.writing() as transaction:
            value = None if delivered is None else int(delivered)
            transaction.execute("UPDATE attempts SET delivered = ? WHERE id = ?", value, attempt_id)

    def note_proof(self, attempt_id: int, verified_by: str) -> None:
        with self._file.writing() as transaction:
            transaction.execute(
                "UPDATE attempts SET verified_by = ? WHERE id = ? AND state = 'succeeded'", verified_by, attempt_id
            )

    def note_stop(self, stop: Stop) -> bool:
        with self._file.writing() as transaction:
            return incidents.note_stop(transaction, stop)

    def stops(self, gateway: str, session: str) -> Sequence[Stop]:
        known: Sequence[Stop] = self._file.remembered(
            ("stops", gateway), lambda transaction: incidents.stops(transaction, gateway)
        )
        return [stop for stop in known if stop.session == session]

    def attempts_in_flight(self, gateway: str) -> Sequence[tuple[Incident, Attempt]]:
        return self._file.remembered(
            ("attempts_in_flight", gateway), lambda transaction: incidents.in_flight(transaction, gateway)
        )

    def charges(self, gateway: str, since: datetime, session: str | None = None) -> int:
        with self._file.reading() as transaction:
            return incidents.charges(transaction, gateway, since, session)

    # ------------------------------------------------------------ names of gateways

    def name_gateways(self, places: Mapping[str, str], at: datetime) -> Sequence[tuple[str, str]]:
        with self._file.writing() as transaction:
            return gateway_names.named(transaction, places, at)

    def take_over(self, before: str, after: str, at: datetime) -> None:
        with self._file.writing() as transaction:
            gateway_names.taken_over(transaction, before, after, at)

    # ------------------------------------------------------------ quarantines, pauses, audit

    def quarantine(self, entry: Quarantine, messages: Sequence[Message] = ()) -> bool:
        with self._file.writing() as transaction:
            is_new = operator.quarantine(transaction, entry)
            if entry.incident is not None:
                incidents.closed(transaction, entry.incident, Outcome.QUARANTINED, entry.since)
            if is_new:
                outbox.owe(transaction, messages, entry.since)
        return is_new

    def release(self, gateway: str | None, session: str, at: datetime, *, who: str, why: str) -> Sequence[Quarantine]:
        """Leaves a line in the audit trail. The forgiven charges count for the gateway's budget no longer either."""
        with self._file.writing() as transaction:
            return operator.release(transaction, gateway, session, at, who, why)

    def quarantines(self, gateway: str | None = None) -> Sequence[Quarantine]:
        return self._file.remembered(
            ("quarantines", gateway), lambda transaction: operator.quarantines(transaction, gateway)
        )

    def pause(
        self,
        *,
        at: datetime,
        until: datetime | None,
        gateway: str | None,
        session: str | None,
        reason: str,
        who: str,
    ) -> Pause:
        with self._file.writing() as transaction:
            return operator.pause(transaction, at, until, gateway, session, reason, who)

    def unpause(
        self, *, at: datetime, gateway: str | None, session: str | None, who: str, why: str = ""
    ) -> Sequence[Pause]:
        with self._file.writing() as transaction:
            return operator.unpause(transaction, at, gateway, session, who, why)

    def pauses(self, at: datetime) -> Sequence[Pause]:
        with self._file.reading() as transaction:
            return operator.pauses(transaction, at)

    def audit(self, at: datetime, who: str, what: str, detail: str) -> None:
        with self._file.writing() as transaction:
            operator.audit(transaction, at, who, what, detail)

    def audit_trail(self, *, since: datetime | None = None, limit: int = 100) -> Sequence[AuditLine]:
        """Newest first."""
        with self._file.reading() as transaction:
            return operator.audit_trail(transaction, since, limit)

    # ------------------------------------------------------------ the outbox

    def owe(self, messages: Sequence[Message], at: datetime) -> int:
        with self._file.writing() as transaction:
            return outbox.owe(transaction, messages, at)

    def due_messages(self, target: str, at: datetime, limit: int = 20) -> Sequence[OwedMessage]:
        """A target asked for the first time is written down; on a ledger that cannot be written it gets the last day's."""
        with self._file.reading() as transaction:
            since = outbox.owed_since(transaction, target)
        if since is None:
            since = self._meet(target, at)
        with self._file.reading() as transaction:
            return outbox.due(transaction, target, since, at, limit)

    def _meet(self, target: str, at: datetime) -> int:
        try:
            with self._file.writing() as transaction:
                outbox.meet_target(transaction, target, at)
        except (LedgerUnavailable, LedgerRefused):
            pass  # full, or opened read-only: asked again next time
        return to_ms(at - outbox.GIVE_UP_AFTER)

    def mark_delivered(self, message_id: int, target: str, at: datetime) -> None:
        with self._file.writing() as transaction:
            outbox.mark_delivered(transaction, message_id, target, at)

    def mark_failed(self, message_id: int, target: str, at: datetime, error: str, next_try_at: datetime | None) -> None:
        with self._file.writing() as transaction:
            outbox.mark_failed(transaction, message_id, target, at, error, next_try_at)

    def undelivered(self, at: datetime | None = None) -> Sequence[tuple[str, OwedMessage]]:
        """``at``: from when "the last day" is counted back; the wall clock if not given."""
        with self._file.reading() as transaction:
            return outbox.undelivered(transaction, at or self._file.wall_now())

    # ------------------------------------------------------------ notes and retention

    def add_note(self, note: HandoffNote) -> None:
        with self._file.writing() as transaction:
            transaction.execute(
                "INSERT INTO notes (incident, path, created_at) VALUES (?, ?, ?) ON CONFLICT (incident, path) DO NOTHING",
                note.incident,
                note.path,
                to_ms(note.created_at),
            )

    def notes(self, incident_id: str) -> Sequence[HandoffNote]:
        with self._file.reading() as transaction:
            rows = transaction.execute("SELECT * FROM notes WHERE incident = ? ORDER BY id", incident_id)
            return [note_of(row) for row in rows]

    def prune(self, before: datetime) -> int:
        """``before`` must lie further back than the longest budget: a dropped attempt charges nothing any more."""
        with self._file.writing() as transaction:
            return (
                incidents.prune(transaction, before)
                + incidents.prune_stops(transaction, before)
                + operator.prune(transaction, before)
                + outbox.prune(transaction, before)
                + restarts.prune(transaction, before)
            )
