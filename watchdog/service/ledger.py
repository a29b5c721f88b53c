"""What is remembered: the records of the ledger, the ledger itself and the handoff notes, as the service sees them.

Adapters keep them (``ledger.ledger``: SQLite, PostgreSQL; a spare in memory); all pass the same tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from watchdog.core.model import ReplyAddress, Session
from watchdog.core.policy import Step
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.core.tracking import RunIdentity


class Outcome(StrEnum):
    OPEN = "open"
    RECOVERED = "recovered"
    """The person has the answer, or can have it."""
    UNDELIVERED = "undelivered"
    """Answered, and the gateway says that the answer did not reach the person."""
    ENDED = "ended"
    """Its run was aborted, as a policy or an operator asked for."""
    FAILED = "failed"
    """It runs no more, and nothing shows that the request was answered."""
    CLEARED = "cleared"
    """No longer stuck, and no attempt of ours is proven to be the cause."""
    QUARANTINED = "quarantined"


class MessageKind(StrEnum):
    """What a message to the operator is about. ``notify[].on`` names some of these; the others go with one of them."""

    STUCK = "stuck"
    RECOVERED = "recovered"
    INEFFECTIVE = "ineffective"
    QUARANTINED = "quarantined"
    GATEWAY_DOWN = "gateway_down"
    GATEWAY_UP = "gateway_up"
    LONG_RUNNING = "long_running"
    UNKNOWN = "unknown"
    UNANSWERED = "unanswered"
    FLEET_BREAKER = "fleet_breaker"
    CLEARED = "cleared"
    LEDGER = "ledger"
    TEST = "test"


GIVE_UP_AFTER = timedelta(days=1)
"""How long a message stays worth delivering; also how long a given-up one stays in sight."""


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
    target: str | None = None
    """The only target it is for: a reminder. None: every target that wants its kind."""
    step: Step | None = None
    """Which step it tells of: done now, tried, or next. None: of none."""
    at: datetime | None = field(default=None, compare=False)
    """When it was written; the ledger says it. None: it is not in the ledger."""

    @property
    def is_reminder(self) -> bool:
        return self.target is not None


ReminderKey = tuple[MessageKind, str]
"""What is said again: STUCK or QUARANTINED, and the incident (where there is none, gateway and session)."""


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
class Stop:
    """A person stopped what was going on in a session. ``at``: on the gateway's clock where the row says it."""

    gateway: str
    session: str
    session_id: str | None
    started_at: datetime | None
    """Of the run that was stopped."""
    at: datetime


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
class Ack:
    """An operator knows of what is open in a session: nobody is reminded of it until it is over, or until ``until``.

    ``incident``: the id of the one that was open then; ``quarantined``: since when the session was. None: was not."""

    gateway: str
    session: str
    at: datetime
    who: str
    reason: str
    until: datetime | None = None
    incident: str | None = None
    quarantined: datetime | None = None

    def covers(self, about: Incident | Quarantine) -> bool:
        """It is about this one. By what it is, and not by when it began: a clock that was corrected must not have what came
        since count as acknowledged."""
        if (self.gateway, self.session) != (about.gateway, about.session):
            return False
        return about.id == self.incident if isinstance(about, Incident) else about.since == self.quarantined


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
    """Where the note saved before a context-losing step lies: the path of a file, or which row of the ledger."""

    incident: str
    path: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Charge:
    """One attempt that counts against the budgets of its session and its gateway."""

    gateway: str
    session: str
    started_at: datetime


class IncidentLedger(Protocol):
    """Incidents, their attempts, what an attempt was charged, people's stops, handoff notes."""

    def settle_start_up(self, at: datetime, gateway: str | None = None) -> Sequence[Attempt]:
        """Turn every attempt found ``started`` into ``indeterminate``, every ``planned`` one into ``abandoned``; those of one
        gateway, or all. Returns those now indeterminate. Called once, before any look."""
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

    def history(
        self, *, since: datetime | None = None, session: str | None = None, gateway: str | None = None
    ) -> Sequence[Incident]:
        """Incidents with their attempts, newest first."""
        ...

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
        """Commit the intent. The number is the incident's next; the idempotency key is made of the run and of how many deeds
        there were on it before, so that two ledgers call the same deed the same."""
        ...

    def claim_attempt(self, attempt_id: int, at: datetime, messages: Sequence[Message] = ()) -> bool:
        """planned -> started and charged, by compare-and-set; exactly one caller ever gets True, and owes the messages with it.
        False, too, while another incident holds the run."""
        ...

    def run_holder(self, incident_id: str, run: RunIdentity, at: datetime) -> Incident | None:
        """Another incident, under whatever name of the gateway, that acted on this very run of the same session: its
        attempt is in flight or helped, or it is another name's and did not help. None: the run is free."""
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
        is_refunded: bool = True,
        messages: Sequence[Message] = (),
    ) -> bool:
        """Move along ``recovery.LIFE`` by compare-and-set; REFUSED refunds the charge unless ``is_refunded`` is False.
        False: it was not in a state from which ``to`` may follow."""
        ...

    def note_run(self, attempt_id: int, run_id: str) -> None:
        """Remember the run id the gateway gave to a started attempt."""
        ...

    def note_delivery(self, attempt_id: int, delivered: bool | None) -> None:
        """Remember whether an attempt's words, or the answer to them, reached the requester."""
        ...

    def note_proof(self, attempt_id: int, verified_by: str) -> None:
        """Remember what proved, later, that an attempt already settled as SUCCEEDED, or as INEFFECTIVE, had helped."""
        ...

    def note_stop(self, stop: Stop) -> bool:
        """Remember a person's stop; False when it is known already."""
        ...

    def stops(self, gateway: str, session: str) -> Sequence[Stop]:
        """Every stop remembered of this session, those of a conversation with an id under any name of its gateway."""
        ...

    def attempts_in_flight(self, gateway: str) -> Sequence[tuple[Incident, Attempt]]: ...

    def charges(self, gateway: str, since: datetime, session: str | None = None) -> int:
        """Charged attempts started at or after ``since``, of one session or of the whole gateway."""
        ...

    def charged(self, since: datetime) -> Sequence[Charge]:
        """Those attempts of every gateway, in one question."""
        ...

    def add_note(self, note: HandoffNote) -> None: ...

    def notes(self, incident_id: str) -> Sequence[HandoffNote]: ...


class HoldLedger(Protocol):
    """What operators and endings hold back, and the audit trail of it."""

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

    def acknowledge(
        self, *, at: datetime, until: datetime | None, gateway: str, session: str, reason: str, who: str
    ) -> Ack | None:
        """Of the session's open incident, its quarantine or both; None when it has neither. Takes the place of an earlier one."""
        ...

    def acks(self, at: datetime) -> Sequence[Ack]:
        """Those in force at ``at``."""
        ...

    def audit(self, at: datetime, who: str, what: str, detail: str) -> None:
        """One line about an operator's deed: pause, release, recover by hand, mode switched."""
        ...

    def audit_trail(self, *, since: datetime | None = None, limit: int = 100) -> Sequence[AuditLine]:
        """What operators switched, newest first."""
        ...


class OutboxLedger(Protocol):
    """Messages owed to people."""

    def owe(self, messages: Sequence[Message], at: datetime) -> int:
        """Write messages that belong to no other change; returns how many were new."""
        ...

    def due_messages(self, target: str, at: datetime, limit: int = 20) -> Sequence[OwedMessage]:
        """Messages not yet delivered to ``target`` (a stable name of the configured target) and due now, oldest first."""
        ...

    def told_away(self, gateway: str) -> datetime | None:
        """Since when people were told that it is away, and nothing since that it is back."""
        ...

    def mark_delivered(self, message_id: int, target: str, at: datetime) -> None: ...

    def mark_failed(self, message_id: int, target: str, at: datetime, error: str, next_try_at: datetime | None) -> None:
        """``next_try_at`` None: given up."""
        ...

    def reminded(self, target: str) -> Mapping[ReminderKey, datetime]:
        """When each matter was last said again to ``target``: the last one written, whatever the clock said then."""
        ...

    def undelivered(self) -> Sequence[tuple[str, OwedMessage]]:
        """(target, message) of every delivery that failed and is still owed or was given up within the last day."""
        ...


class NameLedger(Protocol):
    """Under which name a gateway's past is kept."""

    def name_gateways(
        self, places: Mapping[str, str], at: datetime, watched_as: Mapping[str, str] = MappingProxyType({})
    ) -> Sequence[tuple[str, str]]:
        """Remember where every configured name leads (any text that tells places apart). What is kept of a gateway that has
        been given another name goes on under that one; returns those, as (before, after). ``watched_as``: which names were
        found to lead to the gateway of another one. All that is kept of them is that one's, and theirs when it is gone."""
        ...


class Ledger(IncidentLedger, HoldLedger, OutboxLedger, NameLedger, Protocol):
    """The durable record: written before the deed, settled after it. Single writer, synchronous.

    Every method raises ``errors.LedgerError`` leaves and nothing else. Every change that owes somebody a message takes
    ``messages`` and writes them to the outbox in the same transaction; a ``dedupe_key`` already known is left out.
    """

    def is_writable(self, unless_written_within: timedelta = timedelta(0)) -> bool:
        """Try a real write; heals by itself (reopens) when the cause of an earlier failure is gone. Where this process has written
        to it within that span, and nothing has gone wrong since, it is only read."""
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

    def read_anew(self) -> None:
        """Before anything is decided that cannot be taken back: the next questions are asked, whatever was read a moment ago for all
        gateways (``recent_answers``)."""
        ...

    def told_of_loss(self) -> None:
        """Commit to reporting the loss. After one every call raises until a caller does, because many callers swallow
        ``LedgerError``: a pass will report it."""
        ...

    def prune(self, before: datetime) -> int:
        """Drop closed incidents, delivered messages, ended pauses older than ``before``; open matters stay."""
        ...

    def close(self) -> None: ...


class Notes(Protocol):
    """Where handoff notes are kept: in files of 0600, or in the ledger's database."""

    def save(self, incident: str, number: int, text: str) -> str:
        """Write the note durably; returns where it lies, for a person. ``LedgerError``: it is not kept."""
        ...
