"""What an incident comes to, from its record and what a look shows: nobody is asked here, and nothing is written.

``ending`` reads the row alone. Where that says "recovered", somebody still has to have the answer: ``is_left_unanswered`` of a person
who was asked, or had waited, and ``late_ending`` of a turn of ours that had been given up, each from the transcript. What the gateway
knows of an answer's way to its chat is asked by ``incidents``, which writes down what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from watchdog.core.evidence import Truth, refuses_its_people
from watchdog.core.innocence import BOOT_RECOVERY_WINDOW
from watchdog.core.model import Moment, Session, Status, TailKind, TranscriptTail
from watchdog.core.policy import Step
from watchdog.core.recovery import (
    ANOTHER_RUN_DONE,
    TURN_WAITS,
    Attempt,
    AttemptState,
    awaits_person,
    is_from_who_was_asked,
    is_older_run,
)
from watchdog.core.tracking import RunIdentity
from watchdog.core.unanswered import has_yielded
from watchdog.core.verdict import Verdict
from watchdog.service.ledger import Incident, Outcome
from watchdog.service.observer import Judged
from watchdog.service.plan import is_stalled_but_owned, was_sent


def ending(incident: Incident, current: Judged, now: Moment) -> Outcome | None:
    """What it comes to by its row and what was done; None: it is not over."""
    row, verdict = current.session, current.judgement.verdict
    if awaits_person(incident.attempts):
        return _ending_of_wait(incident, current, now)
    proven = [
        one for one in incident.attempts if one.state is AttemptState.SUCCEEDED and not one.step.nature.opens_only
    ]
    if proven:
        return outcome_of(proven[-1])  # and we died before we could say so
    sent = [attempt for attempt in incident.attempts if was_sent(attempt)]
    if row.is_tombstone:  # guard: tombstone: it has ended, and is not over
        return None
    if row.is_archived_tombstone:
        return Outcome.CLEARED
    if row.status is Status.OTHER:  # guard: ending: an unknown word is none
        return None
    if row.status is not Status.RUNNING:
        if row.status is Status.DONE and any(attempt.before is not None for attempt in sent):
            return Outcome.RECOVERED
        has_failed = row.status in (Status.FAILED, Status.KILLED, Status.TIMEOUT)
        return Outcome.FAILED if has_failed and sent else Outcome.CLEARED
    if _is_another_run(incident, sent, current):
        return Outcome.CLEARED
    if is_stalled_but_owned(current):
        return None
    if verdict is Verdict.HEALTHY and current.judgement.owner is Truth.UNKNOWN:
        return None  # it looks healthy because we have not looked for long, after a restart of ours for example
    # What a gateway refused in its former life it may take now, from the gentlest step on.
    was_refused = any(one.state is AttemptState.REFUSED for one in incident.attempts)
    # guard: ending: a start is no end
    if verdict is Verdict.WAITING and current.judgement.reason == BOOT_RECOVERY_WINDOW and not was_refused:
        return None  # neither the gateway's start, nor ours that cannot tell, has changed anything yet
    if verdict in (Verdict.HEALTHY, Verdict.WAITING, Verdict.LONG_RUNNING) and not sent:
        return Outcome.CLEARED
    return None


def has_been_answered(incident: Incident, settled: Attempt, current: Judged | None, now: Moment) -> bool:
    """Whoever may have been asked wrote again, and has had their answer."""
    asked = replace(incident, attempts=(*others(incident, settled), settled))
    return current is not None and _ending_of_wait(asked, current, now) is Outcome.RECOVERED


def _is_another_run(incident: Incident, sent: Sequence[Attempt], current: Judged) -> bool:
    """Somebody else started a fresh session, and what is stuck there began after the last of our deeds was settled, or before the run
    that they were for, so that it is another gateway's: an incident of its own, that begins with the gentlest step."""
    row = current.session
    if None in (row.session_id, incident.session_id) or row.session_id == incident.session_id:
        return False
    if any(one.step.loses_context for one in sent):
        return False  # the fresh session is ours
    skew = current.case.facts.clock_skew or timedelta(0)
    return row.started_at is not None and all(
        one.settled_at is not None and (row.started_at > one.settled_at + skew or is_older_run(row, one))
        for one in sent
    )


def _ending_of_wait(incident: Incident, current: Judged, now: Moment) -> Outcome | None:
    """Somebody was asked, or a row freed for who waited: over when a run of the session has ended well, or its row says
    nothing any more. Where nobody is answered at a freed row, that is said after ``_ANSWERED_WITHIN``."""
    row = current.session
    last = last_done(incident)
    if row.status is Status.ABSENT:
        return Outcome.CLEARED
    has_moved = last.before is None or RunIdentity.of(row) != last.before
    is_done = row.status is Status.DONE or (row.has_end_though_running and _ended_since(row, last))
    if has_moved and is_done:
        # guard: outcome: an older run is nobody's answer
        return Outcome.CLEARED if is_older_run(row, last) else Outcome.RECOVERED
    waited = now.wall - last.settled_at if last.settled_at is not None else timedelta(0)
    has_failed = row.status in (Status.FAILED, Status.KILLED, Status.TIMEOUT)
    if last.step is Step.FREE and has_failed and waited >= _ANSWERED_WITHIN:
        return Outcome.FAILED
    return None


_ANSWERED_WITHIN = timedelta(minutes=30)
"""Who waits at a freed row is answered at the next try of their message: after 4 to 5 s where it was sent just before (8.2, 9.6),
later the longer it has waited."""


def last_done(incident: Incident) -> Attempt:
    """The last attempt of it that was begun."""
    return max((one for one in incident.attempts if one.started_at is not None), key=lambda one: one.number)


def is_left_unanswered(incident: Incident, current: Judged, tail: TranscriptTail | None) -> bool:
    """The row says that its run is over, and its person has no answer yet: the turn waits for its subagents, or it was given up,
    or it was somebody else's. ``tail`` None: it could not be read, and what is not seen is not called an answer."""
    if tail is None or _is_unanswered(current, tail):
        return True
    last, skew = last_done(incident), current.case.facts.clock_skew or timedelta(0)
    # guard: outcome: a turn of somebody else's is no answer
    return last.step is Step.ASK and not is_from_who_was_asked(tail.asked, last, skew, began=current.session.started_at)


@dataclass(frozen=True, slots=True)
class HelpedIfDelivered:
    """Recovered by this turn where its answer reached its chat; else what freed the session was something else."""

    turn: Attempt


@dataclass(frozen=True, slots=True)
class RecoveredUnlessLost:
    """Recovered, unless the gateway says that the answer of this turn did not reach its chat."""

    turn: Attempt


@dataclass(frozen=True, slots=True)
class LateEnding:
    """``proven``: this turn of ours is seen to have helped after all."""

    comes_to: Outcome | HelpedIfDelivered | RecoveredUnlessLost
    proven: Attempt | None = None


def turns_of(incident: Incident) -> list[Attempt]:
    """What was sent of it and began a run."""
    return [one for one in incident.attempts if was_sent(one) and run_of(one) is not None]


def late_ending(incident: Incident, current: Judged, tail: TranscriptTail | None) -> LateEnding:
    """Our turn was given up (``NewRunSilent``) and ended well after all: it may only wait for its subagents, or the gateway says
    that its answer did not reach the chat. What was answered after somebody wrote again is theirs. Where our turn is not to be
    seen, and the run began after it was given up, it was another one. ``tail`` None: it could not be read."""
    turns = turns_of(incident)
    if not turns:
        # guard: outcome: what came to nothing has recovered nobody
        is_ours = any(one.state is AttemptState.SUCCEEDED for one in incident.attempts)
        return LateEnding(Outcome.RECOVERED if is_ours else Outcome.CLEARED)
    is_given_up = turns[-1].state is not AttemptState.SUCCEEDED
    # guard: outcome: a late turn that only waits is no answer
    if tail is not None and is_given_up and _is_unanswered(current, tail):
        return LateEnding(Outcome.CLEARED)
    seen = tail.deed_mark if tail is not None else None
    is_answered = tail is not None and tail.kind is TailKind.ANSWERED
    own = {f"{one.incident}/{one.number}": one for one in turns}.get(seen or "")
    if own is not None and _began_after(current, own) and tail is not None and tail.overtaken_mark != seen:
        own = None  # ours may stand there unanswered, and what followed is another's
    # guard: outcome: a turn answered after it was given up is what helped
    proven = own if is_given_up and is_answered else None
    is_others = _began_after(current, turns[-1]) or is_older_run(current.session, turns[-1])
    # guard: outcome: what another run ended is not our recovery
    if is_given_up and own is None and (turns[-1].reason == ANOTHER_RUN_DONE or is_others):
        # A mark that is not seen may stand before what is read of a long transcript.
        return LateEnding(HelpedIfDelivered(turns[-1]))
    if tail is not None and (tail.kind is not TailKind.ANSWERED or (seen is not None and seen == tail.overtaken_mark)):
        return LateEnding(Outcome.RECOVERED, proven)
    # Only the end of a long transcript is read: a mark that is not seen may stand before it, and the run is asked after by its id.
    ours = [one for one in turns if seen in (None, f"{one.incident}/{one.number}")]
    last = max(ours, key=lambda one: one.number, default=None)
    if last is None or (seen is None and _began_after(current, last)):
        return LateEnding(Outcome.RECOVERED, proven)
    return LateEnding(RecoveredUnlessLost(last), proven)


def answered_late(incident: Incident, current: Judged) -> Attempt | None:
    """Our last turn of this incident, given up as silent and answered since, while its row goes on saying ``running``. Only
    where it is called stuck: until then what was said may be half of an answer."""
    last = max((one for one in incident.attempts if was_sent(one)), key=lambda one: one.number, default=None)
    if (
        last is None
        or last.state is not AttemptState.INEFFECTIVE
        or current.judgement.verdict is not Verdict.STUCK
        or answered_turn(current) != f"{incident.id}/{last.number}"
    ):
        return None
    return last if last.step.nature.is_turn and may_be_its_run(current, last) else None


def answered_turn(judged: Judged) -> str | None:
    """The mark of our own turn, where its answer is the last thing said and nobody waits for another."""
    tail = judged.case.look.tail
    if (
        tail is None
        or tail.kind is not TailKind.ANSWERED
        or refuses_its_people(judged.case)
        or judged.session.is_tombstone
    ):
        return None
    # guard: what waits behind our answered turn is told
    return tail.deed_mark if not (tail.has_pending_input or tail.has_run_in_flight) else None


def may_be_its_run(judged: Judged, attempt: Attempt) -> bool:
    """The row tells of the run that our turn began, and not of one that began after its answer and left no word."""
    began, tail = judged.session.started_at, judged.case.look.tail
    if began is None or attempt.settled_at is None:
        return attempt.settled_at is not None
    answered_at = tail.at if tail is not None else None
    return began <= attempt.settled_at and (answered_at is None or began <= answered_at + _STAMPS_APART)


_STAMPS_APART = timedelta(seconds=2)
"""A run and its words are stamped up to two seconds apart, in either order (5.18, 9.6)."""


def was_cut(current: Judged) -> bool:
    """The row tells of a run that a start of the gateway cut, by the gateway's own clock."""
    began, booted = current.session.started_at, current.case.facts.booted_at
    return began is not None and booted is not None and began < booted


def _is_unanswered(current: Judged, tail: TranscriptTail) -> bool:
    """Its turn waits for its subagents, or was cut and only called done: a tool that never answered tells so as well. Elsewhere
    nothing need be said aloud: an answer by the ``message`` tool, or none at all (``NO_REPLY``), is left out of the transcript
    that a gateway shows."""
    if tail.kind is TailKind.TOOL_CALL:  # guard: outcome: a tool that never answered is no end
        return True
    return (was_cut(current) and tail.kind.is_unanswered) or has_yielded(current.session, tail)


def _began_after(current: Judged, attempt: Attempt) -> bool:
    """The row tells of another run, begun since ours was settled: by the gateway's clock."""
    began, skew = current.session.started_at, current.case.facts.clock_skew or timedelta(0)
    return began is not None and attempt.settled_at is not None and began > attempt.settled_at + skew


def _ended_since(row: Session, attempt: Attempt) -> bool:
    return row.ended_at is not None and attempt.started_at is not None and row.ended_at > attempt.started_at


def run_of(attempt: Attempt) -> str | None:
    """The run that an attempt started; None: it starts none, or the gateway did not name it. A turn's own is named by its key, so it
    is known where the answer to the deed was lost, too (``agent``: 3.24 to 9.6)."""
    # guard: outcome: a turn whose answer was lost is asked after
    return attempt.run_id or (attempt.idempotency_key if attempt.step is Step.RESUME else None)


def outcome_of(attempt: Attempt) -> Outcome:
    """What an incident comes to whose attempt has done what it should."""
    if attempt.step.nature.only_ends:
        return Outcome.ENDED
    if attempt.reason == TURN_WAITS:  # guard: outcome: a turn that only waits is no answer
        return Outcome.CLEARED
    # guard: outcome: not delivered is not recovered
    return Outcome.UNDELIVERED if attempt.delivered is False else Outcome.RECOVERED


def others(incident: Incident, attempt: Attempt) -> list[Attempt]:
    return [other for other in incident.attempts if other.id != attempt.id]
