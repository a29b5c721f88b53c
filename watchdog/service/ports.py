"""What the service needs of the outside world, as small Protocols. Adapters implement them; fakes pass the same tests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from watchdog.core.model import (
    GatewayFacts,
    LockSight,
    Look,
    Moment,
    ReplyAddress,
    Session,
    Snapshot,
)
from watchdog.core.policy import Step
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.core.tracking import RunIdentity
from watchdog.service.errors import GatewayError


class Clock(Protocol):
    """Both clocks, and the only way to wait."""

    def now(self) -> Moment: ...

    async def sleep(self, seconds: float) -> None: ...


class Meter(Protocol):
    """Counts what the cycle did. Labels come from closed sets and configured names, never session keys."""

    def polled(self, gateway: str, seconds: float, size_bytes: int) -> None: ...

    def gateway_up(self, gateway: str, *, is_up: bool) -> None: ...

    def sessions(self, gateway: str, verdicts: dict[str, int]) -> None: ...

    def cycle_completed(self, at: datetime) -> None: ...

    def incidents_open(self, gateway: str, count: int) -> None: ...

    def quarantined(self, gateway: str, count: int) -> None: ...

    def attempt(self, gateway: str, step: str, state: str) -> None: ...

    def held(self, gateway: str, blocker: str) -> None: ...

    def detection_delay(self, seconds: float) -> None: ...

    def notification(self, state: str) -> None: ...


# ---------------------------------------------------------------- the gateway


@dataclass(frozen=True, slots=True)
class Wants:
    """What to look up about one suspect beyond its row."""

    tail: bool = False
    lock: bool = False
    preflight: bool = False
    abort_probe: bool = False
    pending: bool = False
    """Pending approvals and questions, and of a cron session the scheduler's log."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One step on one session, ready to be carried out. ``message`` holds a person's words: never logged."""

    step: Step
    session: Session
    idempotency_key: str
    message: str | None = None
    notice: str | None = None
    """What the person reads in their chat after a step that loses context."""
    reply_address: ReplyAddress | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the gateway answered to a deed. Proves nothing about recovery."""

    run_id: str | None
    said: str


@dataclass(frozen=True, slots=True)
class Loss:
    """The end of a connection that we had not ended ourselves."""

    error: GatewayError
    at: Moment


@dataclass(frozen=True, slots=True)
class Standstill:
    """A list would say what the last one said, or can wait. ``until``: when one is needed; None: for the next sweep."""

    took: timedelta
    """How long the gateway took for its part of the proof: it is alive, and this fast."""
    size_bytes: int = 0
    until: Moment | None = None


class Gateway(Protocol):
    """One gateway, connected or not. Every method raises ``errors.GatewayError`` leaves and nothing else."""

    @property
    def name(self) -> str: ...

    async def connect(self) -> GatewayFacts:
        """Connect if not connected; return who answered. Idempotent while the connection lives."""
        ...

    def take_loss(self) -> Loss | None:
        """Why and when the last connection ended, said once; None when it has not ended since last asked."""
        ...

    async def list_sessions(self, keen: Collection[str] | None = None, *, sweep: bool = False) -> Snapshot:
        """Every row.

        ``keen`` None: the whole list, at once. Else a poll of a watch: rows that cannot have changed since its last
        poll may be carried over (``Snapshot.carried``), never one that runs or whose key is in ``keen``; with ``sweep``
        the whole list all the same, in pages with pauses between them.
        """
        ...

    async def standstill(self, within: timedelta) -> Standstill | None:
        """Whether nothing began, ended or was replaced since the last list, for a poll that wants no list then; or whether
        the list that would tell is dear, so many sessions there are, and can wait.

        None: not known, or not so; then list. ``within``: how old a list may become where it is dear, or where only the
        gateway's own count of what is active speaks for it, and no events.
        """
        ...

    async def look(self, session: Session, wants: Wants) -> Look:
        """Look up what ``wants`` names; what cannot be had is None in the Look and named in its ``problems``."""
        ...

    def step_problem(self, step: Step, session: Session) -> str | None:
        """Why this step cannot work on this session here (version, method, address), or None."""
        ...

    def missing_scope(self, step: Step) -> str | None:
        """The sentence to say when the configured credentials lack what ``step`` needs on this version, or None."""
        ...

    async def prepare(self, step: Step, session: Session) -> None:
        """Sign in for the step now, so that nothing but the deed itself lies between the last look and the sending."""
        ...

    async def perform(self, deed: Deed) -> Receipt:
        """Send the deed once. ``RequestRefused``: surely not done. ``OutcomeUnknown``: perhaps done."""
        ...

    async def delivered(self, run_id: str) -> bool | None:
        """Did the answer of this run reach the person's chat app? None where the version cannot say (before 9.x)."""
        ...

    async def health_problem(self) -> str | None:
        """Why this gateway should not be trusted now (slow, event loop degraded), or None."""
        ...

    async def close(self) -> None: ...


class Host(Protocol):
    """The gateway's own machine, when that is ours."""

    def lock_sight(
        self, state_dir: str, agent_id: str | None, session_id: str, *, gateway_pid: int | None
    ) -> LockSight: ...

    def transcript_written_at(self, state_dir: str, agent_id: str | None, session_id: str) -> datetime | None:
        """When the session's transcript was last written; None: no file of it was seen."""
        ...


# ---------------------------------------------------------------- the ledger


class Outcome(StrEnum):
    OPEN = "open"
    RECOVERED = "recovered"
    CLEARED = "cleared"
    QUARANTINED = "quarantined"


class MessageKind(StrEnum):
    """What a message to the operator is about; ``notify[].on`` chooses among these."""

    STUCK = "stuck"
    RECOVERED = "recovered"
    INEFFECTIVE = "ineffective"
    QUARANTINED = "quarantined"
    GATEWAY_DOWN = "gateway_down"
    GATEWAY_UP = "gateway_up"
    LONG_RUNNING = "long_running"
    UNKNOWN = "unknown"
    HELD = "held"
    FLEET_BREAKER = "fleet_breaker"
    CLEARED = "cleared"
    LEDGER = "ledger"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Message:
    """Something a person is owed. ``dedupe_key``: at most one message with this key is ever written."""

    kind: MessageKind
    gateway: str
    title: str
    body: str
    dedupe_key: str
    session: str | None = None
    incident: str | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """One stretch of "stuck" of one session."""

    id: str
    gateway: str
    session: str
    session_id: str | None
    opened_at: datetime
    verdict_reason: str
    outcome: Outcome = Outcome.OPEN
    closed_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One deed of an operator: what was switched, and who says so. ``detail``: the scope, and why."""

    at: datetime
    who: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's hold. ``gateway`` and ``session`` None: everything."""

    id: int
    since: datetime
    reason: str
    who: str
    until: datetime | None = None
    gateway: str | None = None
    session: str | None = None

    def covers(self, gateway: str, session: str, at: datetime) -> bool:
        return (
            (self.until is None or at < self.until)
            and self.gateway in (None, gateway)
            and self.session in (None, session)
        )


@dataclass(frozen=True, slots=True)
class Quarantine:
    """No more deeds on this session until it is released, lives again, or gets a new session id."""

    gateway: str
    session: str
    session_id: str | None
    since: datetime
    reason: str
    incident: str | None = None

    def holds(self, session: Session) -> bool:
        """It is about this session as it is now."""
        return self.session == session.key and self.session_id in (None, session.session_id)


@dataclass(frozen=True, slots=True)
class OwedMessage:
    """A message in the outbox and how its delivery to one target went so far."""

    id: int
    message: Message
    created_at: datetime
    tries: int = 0
    next_try_at: datetime | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class HandoffNote:
    """Where the note saved before a context-losing step lies (file of 0600 beside the ledger)."""

    incident: str
    path: str
    created_at: datetime


class Ledger(Protocol):
    """The durable record: written before the deed, settled after it. Single writer, synchronous, one file.

    Every method raises ``errors.LedgerError`` leaves and nothing else. Every change that owes somebody a message takes
    ``messages`` and writes them to the outbox in the same transaction; a ``dedupe_key`` already known is left out.
    """

    def is_writable(self) -> bool:
        """Try a real write; heals by itself (reopens) when the cause of an earlier failure is gone."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it cannot be written now, as far as was noticed; None when all is well."""
        ...

    @property
    def lost_history_at(self) -> datetime | None:
        """When the ledger's history was lost (deleted, replaced): budgets, pauses and quarantines are unknown since.
        Deeds are held until an operator accepts that (``release --lost-history``) or the longest budget has passed."""
        ...

    def settle_start_up(self, at: datetime) -> Sequence[Attempt]:
        """Turn every attempt found ``started`` into ``indeterminate``, every ``planned`` one into ``abandoned``.
        Returns those now indeterminate. Called once, before any look."""
        ...

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
        """The session's open incident: a new one, or the one already open (never two)."""
        ...

    def incident(self, incident_id: str) -> Incident | None: ...

    def open_incidents(self, gateway: str | None = None) -> Sequence[Incident]: ...

    def close_incident(
        self, incident_id: str, outcome: Outcome, at: datetime, messages: Sequence[Message] = ()
    ) -> bool:
        """True when this call closed it (compare-and-set), False when it was closed already."""
        ...

    def plan_attempt(
        self, incident_id: str, step: Step, at: datetime, *, before: RunIdentity | None, before_tail: str | None
    ) -> Attempt:
        """Commit the intent; the number is the incident's next, the idempotency key is stable for (incident, number)."""
        ...

    def claim_attempt(self, attempt_id: int, at: datetime) -> bool:
        """planned -> started and charged, by compare-and-set; exactly one caller ever gets True."""
        ...

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
        """Move along ``recovery.LIFE`` by compare-and-set; REFUSED refunds the charge. False: it was not in a state
        from which ``to`` may follow."""
        ...

    def note_run(self, attempt_id: int, run_id: str) -> None:
        """Remember the run id the gateway gave to a started attempt."""
        ...

    def attempts_in_flight(self, gateway: str) -> Sequence[tuple[Incident, Attempt]]: ...

    def charges(self, gateway: str, since: datetime, session: str | None = None) -> int:
        """Charged attempts started at or after ``since``, of one session or of the whole gateway."""
        ...

    def quarantine(self, entry: Quarantine, messages: Sequence[Message] = ()) -> bool:
        """Leave the session alone from now on, and close ``entry.incident`` as quarantined in the same transaction: a
        release must never find the incident of what it released open. False when it is quarantined already."""
        ...

    def release(self, gateway: str | None, session: str, at: datetime, *, who: str, why: str) -> Sequence[Quarantine]:
        """Lift every quarantine of this key; also forgets its charges, so that the budget starts afresh."""
        ...

    def quarantines(self, gateway: str | None = None) -> Sequence[Quarantine]: ...

    def pause(
        self,
        *,
        at: datetime,
        until: datetime | None,
        gateway: str | None,
        session: str | None,
        reason: str,
        who: str,
    ) -> Pause: ...

    def unpause(
        self, *, at: datetime, gateway: str | None, session: str | None, who: str, why: str = ""
    ) -> Sequence[Pause]:
        """End the pauses of exactly this scope; all of them when both are None."""
        ...

    def pauses(self, at: datetime) -> Sequence[Pause]:
        """Those in force at ``at``."""
        ...

    def owe(self, messages: Sequence[Message], at: datetime) -> int:
        """Write messages that belong to no other change; returns how many were new."""
        ...

    def due_messages(self, target: str, at: datetime, limit: int = 20) -> Sequence[OwedMessage]:
        """Messages not yet delivered to ``target`` (a stable name of the configured target) and due now, oldest first."""
        ...

    def mark_delivered(self, message_id: int, target: str, at: datetime) -> None: ...

    def mark_failed(self, message_id: int, target: str, at: datetime, error: str, next_try_at: datetime | None) -> None:
        """``next_try_at`` None: given up."""
        ...

    def undelivered(self) -> Sequence[tuple[str, OwedMessage]]:
        """(target, message) of every delivery that failed and is still owed or was given up within the last day."""
        ...

    def add_note(self, note: HandoffNote) -> None: ...

    def notes(self, incident_id: str) -> Sequence[HandoffNote]: ...

    def history(
        self, *, since: datetime | None = None, session: str | None = None, gateway: str | None = None
    ) -> Sequence[Incident]:
        """Incidents with their attempts, newest first."""
        ...

    def audit_trail(self, *, since: datetime | None = None, limit: int = 100) -> Sequence[AuditLine]:
        """What operators switched, newest first."""
        ...

    def audit(self, at: datetime, who: str, what: str, detail: str) -> None:
        """One line about an operator's deed: pause, release, recover by hand, mode switched."""
        ...

    def prune(self, before: datetime) -> int:
        """Drop closed incidents, delivered messages, ended pauses older than ``before``; open matters stay."""
        ...

    def close(self) -> None: ...


class Notes(Protocol):
    """Where handoff notes are kept (files of 0600)."""

    def save(self, incident: str, number: int, text: str) -> str:
        """Write the note durably; returns its path."""
        ...
