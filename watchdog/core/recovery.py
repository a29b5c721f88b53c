"""The ladder, and the life of one attempt as a table.

An attempt is sent at most once. What is found ``started`` after a crash becomes ``indeterminate`` and is
settled by looking, never by sending again. A state missing from ``LIFE`` is final.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from watchdog.core.evidence import Truth
from watchdog.core.model import (
    TOMBSTONED,
    Asked,
    ReplyAddress,
    Sender,
    SenderKind,
    Session,
    Status,
    TailKind,
    TranscriptTail,
)
from watchdog.core.policy import Step
from watchdog.core.tracking import RunIdentity
from watchdog.core.unanswered import YIELD, has_yielded


class AttemptState(StrEnum):
    PLANNED = "planned"
    STARTED = "started"
    INDETERMINATE = "indeterminate"
    SUCCEEDED = "succeeded"
    INEFFECTIVE = "ineffective"
    REFUSED = "refused"
    ABANDONED = "abandoned"


LIFE: dict[AttemptState, frozenset[AttemptState]] = {
    AttemptState.PLANNED: frozenset({AttemptState.STARTED, AttemptState.ABANDONED}),
    AttemptState.STARTED: frozenset(
        {AttemptState.SUCCEEDED, AttemptState.INEFFECTIVE, AttemptState.REFUSED, AttemptState.INDETERMINATE}
    ),
    AttemptState.INDETERMINATE: frozenset({AttemptState.SUCCEEDED, AttemptState.INEFFECTIVE, AttemptState.ABANDONED}),
}
"""Which state may follow which. Charged: everything past ``planned``, of what was ``refused`` only what ``counts`` names."""

IN_FLIGHT = frozenset({AttemptState.STARTED, AttemptState.INDETERMINATE})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One execution of one step, unique by (incident, number)."""

    id: int
    incident: str
    number: int
    step: Step
    state: AttemptState
    idempotency_key: str
    planned_at: datetime
    started_at: datetime | None = None
    settled_at: datetime | None = None
    reason: str | None = None
    verified_by: str | None = None
    """What showed how it ended; of a refused one the gateway's own words."""
    run_id: str | None = None
    is_charged: bool = False
    before: RunIdentity | None = None
    before_tail: str | None = None
    """Fingerprint of the transcript's tail before the deed."""
    is_retryable: bool = False
    """Refused for a reason that may pass: the same rung may be tried again."""
    delivered: bool | None = None
    """Whether its words, or the answer to them, reached the requester's chat; None: the gateway does not say."""
    address: ReplyAddress | None = None
    """Where it was to be heard; None: nowhere."""

    @property
    def is_in_flight(self) -> bool:
        return self.state in IN_FLIGHT


REFUSED_FOR_GOOD = "RefusedForGood"
"""Reason of an attempt after whose refusal no rung can help (``Refusal.STOP``)."""
ASKED = "Asked"
"""Reason of an ``ask`` that the gateway took: the requester has been asked, and nothing is proven yet."""
PERHAPS_ASKED = "PerhapsAsked"
"""Reason of an ``ask`` whose answer was lost: never asked again, whatever became of it."""
NEVER_CLAIMED = "NeverClaimed"
"""Reason of an intent that was given up: nothing was sent, and its ledger could not be asked meanwhile whether it may."""
ROW_FREED = "RowFreed"
PERSON_ANSWERED = "PersonAnswered"
"""A run of the session ended well after its requester had been asked, or its row freed."""
TURN_ANSWERED = "TurnAnswered"
"""Our own turn was answered in the transcript; its row may go on saying ``running`` (2026.7.2, #119714)."""
TURN_WAITS = "TurnWaits"
"""Our own turn took the work up and ended well, to wait for its subagents: nobody has an answer yet (2026.9.2 ``sessions_yield``)."""
ANOTHER_RUN_DONE = "AnotherRunDone"
"""Another run than our turn ended well, which perhaps was never sent."""
OLDER_RUN = "OlderRun"
"""The row tells of a run that began before the one that the attempt was for (``is_older_run``)."""
ANOTHER_SESSION = "AnotherSession"
"""Another session, in which nothing has run yet, stands in its place."""
LOST_WITH_GATEWAY = "LostWithGateway"
"""Reason of a turn that the gateway took in and died with before it left a trace: it says nothing about its rung."""


def next_step(ladder: Sequence[Step], attempts: Sequence[Attempt]) -> Step | None:
    """The gentlest rung not yet shown to be useless in this incident; None when the ladder is used up, or when the
    gateway said that nothing can help."""
    if any(attempt.reason == REFUSED_FOR_GOOD for attempt in attempts):
        return None
    spent = {
        attempt.step
        for attempt in attempts
        if (attempt.state is AttemptState.INEFFECTIVE and attempt.reason != LOST_WITH_GATEWAY)
        # Who was asked once may be asked again when another run of theirs is cut.
        or (attempt.state is AttemptState.SUCCEEDED and attempt.step is not Step.ASK)
        or (attempt.state is AttemptState.REFUSED and not attempt.is_retryable)
    }
    return next((step for step in ladder if step not in spent), None)


def backoff_after(settled: int, backoff: Sequence[timedelta], jitter: float) -> timedelta:
    """How long to wait after the ``settled``-th attempt of an incident: its entry of ``backoff`` (the last one repeats)
    and up to a tenth more (``jitter`` in 0..1), so that many sessions do not come back at one instant."""
    if settled <= 0 or not backoff:
        return timedelta(0)
    base = backoff[min(settled, len(backoff)) - 1]
    return base * (1 + 0.1 * jitter)


class Refusal(StrEnum):
    """What a gateway's "no" means for the ladder."""

    TRY_LATER = "try_later"
    """It may pass: the same rung again after the back-off."""
    NEXT_RUNG = "next_rung"
    """This rung cannot work on this session; a harsher one may."""
    STOP = "stop"
    """No rung can help: a person must."""


_STOP_WORDS = ("another openclaw process owns", "lease lost", "archived", "not found")
_GIVEN_UP = "ended during restart recovery"
"""What every send to a tombstone is refused with (2026.8.2, 9.6)."""
_NEXT_WORDS = (
    "session_work_start_changed",
    "changed while starting work",
    "claim changed before agent adoption",
    _GIVEN_UP,
    "waiting for restart recovery",
    "tombstoned",
    "requires a restart-tombstoned session",
    "unknown method",
    "invalid ",
    "unauthorized",
    "missing scope",
)


def meaning_of_refusal(code: str, detail: str, *, retryable: bool) -> Refusal:
    """Read a refusal's own words (#146692, #117096, #140467; lease lost: measured on 2026.9.6). What we do not know
    climbs the ladder instead of repeating itself."""
    words = f"{code} {detail}".lower()
    if any(word in words for word in _STOP_WORDS):
        return Refusal.STOP
    if any(word in words for word in _NEXT_WORDS):
        return Refusal.NEXT_RUNG
    return Refusal.TRY_LATER if retryable else Refusal.NEXT_RUNG


def counts(attempt: Attempt, attempts: Sequence[Attempt], *, says_retryable: bool) -> bool:
    """Whether a refused ``attempt`` that may be tried again is charged, so that no refusal is free for ever. A refusal the gateway
    calls temporary is free the first time. Any other that may pass is charged at once. (A rung that its refusal spends is free: it
    cannot repeat itself.) What was never sent is no refusal."""
    is_repeated = any(
        other.step is attempt.step
        and other.state is AttemptState.REFUSED
        and other.verified_by is not None
        and other.id != attempt.id
        for other in attempts
    )
    return is_repeated or not says_retryable


def was_never_sent(attempt: Attempt) -> bool:
    """It was claimed and did not leave: its gateway was away when it was due, or something of ours was. The gateway gave no word."""
    return attempt.state is AttemptState.REFUSED and attempt.is_retryable and attempt.verified_by is None


def telling_word(code: str, detail: str) -> str:
    """What ``meaning_of_refusal`` reads out of a refusal, without the rest of the gateway's words; empty: nothing."""
    words = f"{code} {detail}".lower()
    return next((word for word in (*_STOP_WORDS, *_NEXT_WORDS) if word in words), "")


@dataclass(frozen=True, slots=True)
class Proof:
    """What a fresh look says about an attempt: settled as ``state`` for ``reason``, or not yet (state None)."""

    state: AttemptState | None
    reason: str


NOTHING_CHANGED = "NothingChanged"
NOTHING_RAN = "NothingRan"
"""The gateway made the session in which it was to go on, and no run of it is seen."""
NOTHING_PROVEN = "NothingProven"
"""The row's status is a word that we do not know."""
NOT_YET = Proof(None, "NoChangeYet")


def verify(
    attempt: Attempt,
    session: Session | None,
    tail: TranscriptTail | None,
    *,
    is_overdue: bool,
    owner: Truth,
    has_gateway_died: bool = False,
    was_cut: bool = False,
    is_successor: bool = False,
) -> Proof:
    """Judge an attempt by what a *later* observation shows; an "ok" from the gateway is never enough.

    ``session`` is None when the key is gone from a complete list. ``tail`` is the transcript after the deed.
    Proofs of success: a run that started after the deed and ended well, a row that is terminal or cleared, an answer in
    the transcript. A run that failed, or nothing new within ``verify_within`` (``is_overdue``), is ``ineffective``.
    ``has_gateway_died``: another process of the gateway has begun since the deed was sent. ``was_cut``: the row's run began before
    the gateway did. ``is_successor``: ``session`` is the one in which a ``recover`` goes on.
    """
    if session is None:
        return Proof(AttemptState.INEFFECTIVE, "SessionGone") if is_overdue else NOT_YET
    if attempt.step is Step.ASK:
        if attempt.delivered:  # and we died before we could settle it
            return Proof(AttemptState.SUCCEEDED, ASKED)
        if not is_overdue:
            return NOT_YET
        if attempt.state is AttemptState.STARTED:  # the ledger was out of use when the answer came
            return Proof(AttemptState.INDETERMINATE, "AnswerLost")
        return Proof(AttemptState.ABANDONED, PERHAPS_ASKED)
    # guard: verify: an unknown word proves nothing
    if session.status is Status.OTHER and not attempt.step.nature.is_turn:
        return Proof(AttemptState.INEFFECTIVE, NOTHING_PROVEN) if is_overdue else NOT_YET
    if attempt.step.loses_context:
        return _verify_fresh(attempt, session, is_overdue=is_overdue)
    if attempt.step is Step.FREE:
        return _verify_freed(attempt, session, is_overdue=is_overdue)
    if attempt.step is Step.ABORT:
        if session.status.is_terminal or session.status is Status.ABSENT:
            return Proof(AttemptState.SUCCEEDED, "RowTerminal")
        if owner is Truth.FALSE:
            return Proof(AttemptState.SUCCEEDED, "RunEnded")  # 3.24 and 4.14 leave the row of an aborted run running
        return Proof(AttemptState.INEFFECTIVE, "StillRunning") if is_overdue else NOT_YET
    if is_successor and session.status is Status.ABSENT:  # guard: verify: a successor in which nothing has run
        return Proof(AttemptState.INEFFECTIVE, NOTHING_RAN) if is_overdue else NOT_YET
    proof = _verify_turn(attempt, session, tail, is_overdue=is_overdue, owner=owner, was_cut=was_cut)
    if proof.reason == NOTHING_CHANGED and has_gateway_died and _left_no_trace(attempt, tail):
        return Proof(AttemptState.INEFFECTIVE, LOST_WITH_GATEWAY)
    return proof


def is_older_run(session: Session, attempt: Attempt) -> bool:
    """Its row tells of a run that began before the one that the attempt was for: of a session store that was put back from a copy, or of
    another gateway that answers where this one did. By the gateway's clock alone."""
    cut = attempt.before.started_at if attempt.before is not None else None
    return cut is not None and session.started_at is not None and session.started_at < cut


def was_asked(attempts: Sequence[Attempt], run: RunIdentity) -> bool:
    """The requester of this very run was asked, or may have been: once is all."""
    return any(
        attempt.step is Step.ASK
        and attempt.before == run
        and (attempt.state is AttemptState.SUCCEEDED or attempt.reason == PERHAPS_ASKED or attempt.is_in_flight)
        for attempt in attempts
    )


def was_freed(attempts: Sequence[Attempt], run: RunIdentity) -> bool:
    """This very run's row was freed, or that was tried: once is all. What was never sent, or passingly refused, is no try."""
    return any(
        attempt.step is Step.FREE
        and attempt.before == run
        and attempt.state not in (AttemptState.PLANNED, AttemptState.ABANDONED)
        and not (attempt.state is AttemptState.REFUSED and attempt.is_retryable)
        for attempt in attempts
    )


def was_refused_as_given_up(attempts: Sequence[Attempt], run: RunIdentity) -> bool:
    """The gateway refused words for this very run as one that its restart recovery has ended: that proves a tombstone whatever its
    row says (2026.8.2: for a minute it goes on saying ``running``)."""
    return any(
        attempt.state is AttemptState.REFUSED
        and attempt.before == run
        and _GIVEN_UP in (attempt.verified_by or "").lower()
        for attempt in attempts
    )


def awaits_person(attempts: Sequence[Attempt]) -> bool:
    """What was done last only opens the door: the incident ends when a run of the session ends well."""
    sent = [attempt for attempt in attempts if attempt.started_at is not None]
    return bool(sent) and (
        (sent[-1].step.nature.opens_only and sent[-1].state is AttemptState.SUCCEEDED)
        or sent[-1].reason == PERHAPS_ASKED
    )


def is_from_who_was_asked(
    asked: Sequence[Asked], attempt: Attempt, clock_skew: timedelta, *, began: datetime | None
) -> bool:
    """Whether the words that were answered last are its requester's, written after they had been asked: another member of the group
    may have written, or a heartbeat have run (every 30 minutes by default; 3.24 and 4.14 show its prompt and name nobody, 5.18
    shows its answer alone). ``asked``: what was asked since the answer before. ``clock_skew``: the gateway's clock ahead of ours.
    ``began``: when the run began that was answered."""
    assert attempt.started_at is not None
    # A chat app's time of a message is the chat app's own, and in whole seconds.
    since = attempt.started_at + min(clock_skew, timedelta(0)) - _WHOLE_SECONDS
    cut = attempt.before.started_at if attempt.before is not None else None
    # guard: outcome: what the cut run was asked is older, whatever the clocks say
    if cut is not None and cut + _WHOLE_SECONDS > since:
        since = cut + _WHOLE_SECONDS
    last = asked[-1] if asked else None
    if last is None or last.sender.kind is SenderKind.NOBODY or last.at is None or last.at <= since:
        return False
    # guard: outcome: a run that began long after their words was another's
    if began is not None and began - last.at > _BEGINS_WITHIN:
        return False
    before = [one for one in asked if one.at is None or one.at <= since]
    requesters = {_account(one.sender) for one in before if one.sender.kind is SenderKind.PERSON}
    if not requesters:  # nothing is left of what was cut: whose private chat it is was asked there
        return attempt.address is not None and (attempt.address.to or "").rpartition(":")[2] == _account(last.sender)
    return _account(last.sender) in requesters


_WHOLE_SECONDS = timedelta(seconds=2)
_BEGINS_WITHIN = timedelta(minutes=5)
"""From a person's words to the run that answers them, where none goes on; 2026.5.18 hides what a heartbeat was asked."""


def _account(sender: Sender) -> str | None:
    """``alice`` of ``alice!~alice@host``: on IRC somebody may come back from another host."""
    return sender.id.partition("!")[0] if sender.id is not None else None


def took_it_up(attempts: Sequence[Attempt]) -> Attempt | None:
    """The turn of ours after which the work goes on and nobody has an answer yet (``TURN_WAITS``); None: none is that."""
    return next((one for one in reversed(attempts) if one.reason == TURN_WAITS), None)


def _verify_freed(attempt: Attempt, session: Session, *, is_overdue: bool) -> Proof:
    """The refused message of ours makes the row ``failed`` within a second (2026.8.2, 9.6); or who waited is answered
    already, or their run goes on."""
    if (attempt.before is None or RunIdentity.of(session) != attempt.before) and not is_older_run(session, attempt):
        return Proof(AttemptState.SUCCEEDED, ROW_FREED)
    return Proof(AttemptState.INEFFECTIVE, NOTHING_CHANGED) if is_overdue else NOT_YET


def _left_no_trace(attempt: Attempt, tail: TranscriptTail | None) -> bool:
    """Our words are neither in the transcript nor waiting to be taken up: with the process that took them in they are gone,
    and to say them again says them once (3.24, killed half a second after "started")."""
    mark = f"{attempt.incident}/{attempt.number}"
    # guard: a turn died with its gateway only where it left no trace
    return tail is not None and tail.deed_mark != mark and not tail.has_pending_input


def _verify_turn(
    attempt: Attempt,
    session: Session,
    tail: TranscriptTail | None,
    *,
    is_overdue: bool,
    owner: Truth,
    was_cut: bool,
) -> Proof:
    moved = attempt.before is None or RunIdentity.of(session) != attempt.before
    mark = f"{attempt.incident}/{attempt.number}"
    answers_us = tail is not None and tail.kind is TailKind.ANSWERED and tail.deed_mark == mark
    is_left = is_overdue and owner is not Truth.TRUE  # guard: verify: our own turn was answered, whatever its row says
    if answers_us and (session.has_end_though_running or is_left):
        return Proof(AttemptState.SUCCEEDED, TURN_ANSWERED)
    # guard: verify: a run older than the one that was cut is nobody's recovery
    if moved and is_older_run(session, attempt) and not answers_us:
        return Proof(AttemptState.INEFFECTIVE, OLDER_RUN) if is_overdue else NOT_YET
    # guard: verify: a turn that waits for its subagents has answered nobody
    if moved and tail is not None and has_yielded(session, tail):
        return Proof(AttemptState.SUCCEEDED, TURN_WAITS)
    is_doubtful = attempt.state is AttemptState.INDETERMINATE and not _may_have_arrived(attempt, tail)
    if moved and session.status is Status.DONE:  # guard: ok is not recovered
        # A busy 2026.6.33 called two of three cut runs done at its start, and asked its model nothing; a quiet one takes them up.
        # guard: verify: done is not answered
        if was_cut and tail is not None and tail.kind.is_unanswered and tail.overtaken_mark != mark:
            return Proof(AttemptState.INEFFECTIVE, "NewRunUnanswered") if is_overdue else NOT_YET
        # Whoever died between the claim and the answer cannot know whether it was sent; a heartbeat may have ended the row.
        # guard: verify: what another run ended is no proof of a turn that perhaps was never sent
        if is_doubtful:
            return Proof(AttemptState.INEFFECTIVE, ANOTHER_RUN_DONE) if is_overdue else NOT_YET
        return Proof(AttemptState.SUCCEEDED, "NewRunDone")
    if moved and session.status is Status.ABSENT:
        # guard: verify: another session that has not run yet is nobody's recovery
        if attempt.before is not None and session.session_id != attempt.before.session_id:
            return Proof(AttemptState.INEFFECTIVE, ANOTHER_SESSION) if is_overdue else NOT_YET
        return Proof(AttemptState.SUCCEEDED, "RowCleared")
    # guard: verify: a turn that was answered and overtaken has helped
    if moved and tail is not None and tail.overtaken_mark == mark and (session.status.is_terminal or is_overdue):
        # Seen between two polls of a busy 2026.3.24: our turn was answered, a person wrote again, and that run died. The
        # next rung would have taken the conversation away from a person who was helped.
        return Proof(AttemptState.SUCCEEDED, TURN_ANSWERED)
    if moved and session.status.is_terminal:
        # The row is free again, but the turn did not do its work (2026.9.6: "restart recovery claim changed before
        # agent adoption" fails the first turn of a lock-made stuck row).
        return Proof(AttemptState.INEFFECTIVE, f"NewRun{session.status.value.capitalize()}")
    grown = tail is not None and attempt.before_tail is not None and tail.fingerprint != attempt.before_tail
    working = tail is not None and tail.kind in (TailKind.ANSWERED, TailKind.TOOL_CALL, TailKind.TOOL_RESULT)
    if moved and owner is Truth.TRUE and grown and working and not is_doubtful:
        # Its subagents own it now, or will in a moment: the row goes on saying running, and when it ended (2026.9.6).
        # guard: verify: a turn that yields makes no progress of its own
        if tail is not None and YIELD in tail.tools_called:
            if session.has_end_though_running:
                return Proof(AttemptState.SUCCEEDED, TURN_WAITS)
            if not is_overdue:  # the turn that was cut may have called it
                return NOT_YET
        return Proof(AttemptState.SUCCEEDED, "NewRunProgresses")
    if is_overdue:
        if moved and session.status is Status.RUNNING:
            return Proof(AttemptState.INEFFECTIVE, "NewRunSilent")
        if session.status is Status.OTHER:
            return Proof(AttemptState.INEFFECTIVE, NOTHING_PROVEN)
        return Proof(AttemptState.INEFFECTIVE, NOTHING_CHANGED)
    return NOT_YET


def _may_have_arrived(attempt: Attempt, tail: TranscriptTail | None) -> bool:
    """Its words stand in the transcript, or so little of that was read that they may stand before it. ``recover`` has none."""
    mark = f"{attempt.incident}/{attempt.number}"
    return (
        attempt.step is not Step.RESUME
        or tail is None
        or not tail.asked
        or mark in (tail.deed_mark, tail.overtaken_mark)
    )


def _verify_fresh(attempt: Attempt, session: Session, *, is_overdue: bool) -> Proof:
    before = attempt.before
    # guard: verify: a tombstone that is one still
    if session.restart_recovery_status == TOMBSTONED:  # it was terminal before: that proves nothing
        return Proof(AttemptState.INEFFECTIVE, "StillGivenUp") if is_overdue else NOT_YET
    if session.status is Status.ABSENT or session.status.is_terminal:
        if is_older_run(session, attempt):
            return Proof(AttemptState.INEFFECTIVE, OLDER_RUN) if is_overdue else NOT_YET
        return Proof(AttemptState.SUCCEEDED, "RowCleared")
    if (
        before is not None
        and session.started_at is not None
        and session.started_at != before.started_at
        and not is_older_run(session, attempt)
    ):
        return Proof(AttemptState.SUCCEEDED, "FreshRunStarted")
    if is_overdue:
        # 2026.5.18 gives a new session id and leaves the row running with its old start.
        return Proof(AttemptState.INEFFECTIVE, "StillRunning")
    return NOT_YET
