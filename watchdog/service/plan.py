"""From a judgement to a decision: hold, act or escalate, with every blocker named.

Decisions are values. Nothing here does anything; the executor acts on a decision after one more look.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchdog.core.blockers import FOREIGN_DEED_HOLD, Blocker, BlockerName, SessionContext, hold_reasons, outside_hours
from watchdog.core.evidence import innocence_of, refuses_its_people
from watchdog.core.model import Moment, ReplyAddress, Session, SessionKind, TailKind, TranscriptTail
from watchdog.core.policy import Recovery, Step
from watchdog.core.recovery import (
    Attempt,
    AttemptState,
    backoff_after,
    next_step,
    was_asked,
    was_freed,
    was_refused_as_given_up,
)
from watchdog.core.requester import Requester, is_waiting_elsewhere, requester_of
from watchdog.core.resume import Choice, choose, why_unreachable
from watchdog.core.session_key import is_of_some_chat, peer_of
from watchdog.core.spans import span_words
from watchdog.core.tracking import RunIdentity
from watchdog.core.verdict import Verdict
from watchdog.service.gateway_trust import Trust
from watchdog.service.ledger import Incident, Ledger
from watchdog.service.observer import Judged
from watchdog.service.ports import Gateway


class Action(StrEnum):
    NOTHING = "nothing"
    HOLD = "hold"
    ACT = "act"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one session now, and why. With ``action`` ACT there are no ``blockers``."""

    judged: Judged
    action: Action
    step: Step | None = None
    blockers: tuple[Blocker, ...] = ()
    incident: Incident | None = None
    requester: Requester | None = None
    """For whom it is done; None: nothing was decided about a step."""
    is_as_owner: bool = False
    """The turn goes over a connection with admin: its requester is proven to be the gateway's owner."""

    @property
    def route(self) -> ReplyAddress | None:
        """Where the step is heard: in the requester's own chat, or nowhere."""
        return _heard_at(self.step, self.requester)

    @property
    def blocker_names(self) -> list[str]:
        return [blocker.name.value for blocker in self.blockers]


@dataclass(frozen=True, slots=True)
class PassContext:
    """What holds for every session of one gateway in one pass."""

    now: Moment
    trust: Trust
    is_list_complete: bool
    is_ledger_writable: bool
    is_fleet_open: bool
    gateway_problem: str | None = None


def decide(judged: Judged, incident: Incident | None, here: PassContext, gateway: Gateway, ledger: Ledger) -> Decision:
    """The decision on one stuck session."""
    if judged.judgement.verdict is not Verdict.STUCK and not is_stalled_but_owned(judged):
        return Decision(judged, Action.NOTHING)
    plan = plan_step(judged, incident, here, gateway)
    if plan.awaits_person:
        return Decision(judged, Action.NOTHING, None, (), incident, plan.requester)
    step = plan.step
    standing = standing_of(judged, incident, here, gateway, ledger, plan)
    if step is None:
        return Decision(judged, Action.ESCALATE, None, (), incident, plan.requester)
    if step is Step.NOTIFY:
        return Decision(judged, Action.HOLD, Step.NOTIFY, (), incident, plan.requester)
    blockers = hold_reasons(
        judged.case, judged.policy.thresholds, limits_of(judged), step, standing, is_proven=judged.judgement.is_proven
    )
    action = Action.HOLD if blockers else Action.ACT
    if any(blocker.name is BlockerName.SESSION_BUDGET for blocker in blockers) and not standing.in_flight_here:
        action = Action.ESCALATE
    return Decision(judged, action, step, blockers, incident, plan.requester, plan.is_as_owner)


def limits_of(judged: Judged) -> Recovery:
    """The policy's, but for tombstones, of which a gateway may have gathered dozens: one at a time, and never the second half of the
    gateway's budget. The rest is for whoever is stuck now."""
    recovery = judged.policy.recovery
    if not judged.session.is_tombstone:
        return recovery
    half = max(1, recovery.gateway_budget.attempts // 2)
    return replace(recovery, max_concurrent=1, gateway_budget=replace(recovery.gateway_budget, attempts=half))


def foreseen(
    judged: Judged, incident: Incident | None, here: PassContext, gateway: Gateway, ledger: Ledger
) -> Decision:
    """What would be decided if the session were stuck when its verdict may change next, as far as that is known now: what holds
    until then and no longer is left out. Nothing is done by it; what is announced is taken from it."""
    due = judged.judgement.changes_at
    if judged.judgement.verdict is Verdict.STUCK or is_stalled_but_owned(judged):
        return _within_hours(decide(judged, incident, here, gateway, ledger), here.now)
    as_stuck = replace(judged, judgement=replace(judged.judgement, verdict=Verdict.STUCK))
    decision = decide(as_stuck, incident, here, gateway, ledger)
    left = tuple(
        held for held in decision.blockers if held.until is None or due is None or held.until.monotonic > due.monotonic
    )
    return _within_hours(replace(decision, judged=judged, blockers=left), due or here.now)


def _within_hours(decision: Decision, due: Moment) -> Decision:
    """By the time it comes, after its cool-down, the hours for deeds may be over."""
    waits = [held.until for held in decision.blockers if held.name is BlockerName.COOL_DOWN and held.until is not None]
    closed = outside_hours(decision.judged.policy.recovery, max([due, *waits], key=lambda moment: moment.monotonic))
    is_deed = decision.action in (Action.ACT, Action.HOLD) and decision.step is not Step.NOTIFY
    if closed is None or not is_deed or closed.name.value in decision.blocker_names:
        return decision
    return replace(decision, action=Action.HOLD, blockers=(*decision.blockers, closed))


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The next step for one session, for whom it would be done, and what stands against doing it for them."""

    step: Step | None
    requester: Requester
    is_as_owner: bool = False
    requester_problem: str | None = None
    step_problem: str | None = None
    awaits_person: bool = False
    """The requester was asked about this very run: it is theirs now."""
    manner: str = ""
    """How the step is done, in one sentence; empty: as its name says."""

    @property
    def route(self) -> ReplyAddress | None:
        return _heard_at(self.step, self.requester)


def _heard_at(step: Step | None, requester: Requester | None) -> ReplyAddress | None:
    return requester.route if step is not None and step.nature.is_heard and requester is not None else None


def plan_step(judged: Judged, incident: Incident | None, here: PassContext, gateway: Gateway) -> StepPlan:
    """The next rung, as it may be done for the one who asked: a resume may become a question, and a row that refuses a
    waiting person's messages is freed first."""
    row, recovery = judged.session, judged.policy.recovery
    attempts = incident.attempts if incident is not None else ()
    requester = requester_of(row, judged.case.look)
    run = RunIdentity.of(row)
    is_given_up = row.is_tombstone or was_refused_as_given_up(attempts, run)
    rung = next_step(fitting_steps(recovery.ladder, judged, is_given_up=is_given_up), attempts)
    if is_given_up:
        # The gateway has already told them; do not quote or answer anybody here.
        # guard: tombstone: nothing is said in the chat
        return StepPlan(rung, replace(requester, route=None))
    acts = any(step is not Step.NOTIFY and step is not Step.ABORT for step in recovery.ladder)
    is_asked = was_asked(attempts, run)
    if (
        acts
        and judged.judgement.verdict is Verdict.STUCK
        and refuses_its_people(judged.case)
        # guard: free: once per run
        and not was_freed(attempts, run)
    ):
        # Whoever waits is answered once the row is free; a requester who waits is one of them and needs no question.
        if is_asked or not is_waiting_elsewhere(row, requester) or _is_finished(judged):
            return StepPlan(Step.FREE, requester, manner="Somebody's messages are refused at the door.")
        return _asking(Step.ASK, requester, "Somebody else is waiting; the requester is asked first.")
    fresh = _fresh_rung(recovery.ladder, attempts)
    is_shut_out = (
        judged.judgement.verdict is Verdict.STUCK
        and refuses_its_people(judged.case)
        and (is_asked or _is_finished(judged))
    )
    # guard: free: who is shut out for good is given up, and told
    may_begin_anew = any(step.loses_context for step in recovery.ladder)
    if acts and is_shut_out and may_begin_anew:
        # Freeing it did not let them in: a fresh session does, or nothing. Nothing is left to be gone on with in this one.
        return StepPlan(fresh, requester, requester_problem=why_unreachable(requester))
    if is_asked:  # guard: ask: once per interruption
        return StepPlan(None, requester, awaits_person=True)
    if judged.case.look.tail is None:
        return StepPlan(rung, requester)  # held for that (TRANSCRIPT_UNKNOWN), whatever else there is
    match rung:
        case Step.RESUME:
            choice = choose_resume(judged, requester, here, gateway)
            if choice.step is None:
                unclear = choice.message if choice.is_requester_unclear else None
                no = None if choice.is_requester_unclear else choice.message
                return StepPlan(rung, requester, requester_problem=unclear, step_problem=no, manner=choice.message)
            return StepPlan(choice.step, requester, choice.is_as_owner, manner=choice.message)
        case Step.ASK:
            return _asking(rung, requester, "")
        case Step.NEW | Step.RESET:
            return StepPlan(rung, requester, requester_problem=why_unreachable(requester))
        case _:
            return StepPlan(rung, requester)


def _fresh_rung(ladder: Sequence[Step], attempts: Sequence[Attempt]) -> Step | None:
    """The gentlest rung not yet tried in vain that begins anew."""
    return next_step([step for step in ladder if step.loses_context], attempts)


def _asking(step: Step, requester: Requester, manner: str) -> StepPlan:
    problem = why_unreachable(requester)
    if problem is None and requester.route is None:
        problem = f"Nobody's chat is known to ask in. {requester.message}"
    return StepPlan(step, requester, requester_problem=problem, manner=manner)


def choose_resume(judged: Judged, requester: Requester, here: PassContext, gateway: Gateway) -> Choice:
    """Whether the request is gone on with, asked for again, or held."""
    row, tail, recovery = judged.session, judged.case.look.tail, judged.policy.recovery
    now = judged.case.facts.gateway_time(here.now)
    return choose(
        requester,
        tail,
        is_long_ago=is_long_ago(interrupted_at(row, tail), now, recovery.resume_max_age),
        # guard: stop: what may have been one is asked about
        perhaps_stopped=row.aborted_last_run is True or judged.case.track.was_perhaps_stopped,
        ended_gateways=judged.case.track.ended_gateways,
        has_admin=gateway.may_act_as_admin(),
        ask_instead=recovery.ask_instead_of_resume,
    )


def _is_finished(judged: Judged) -> bool:
    """Its last request was answered, or stopped by its person: nothing is left to be gone on with or asked for again."""
    tail = judged.case.look.tail
    return tail is not None and tail.kind in (TailKind.ANSWERED, TailKind.STOPPED)


def interrupted_at(row: Session, tail: TranscriptTail | None) -> datetime | None:
    """When the work was cut, on the gateway's clock, as well as anybody knows: the last thing written, else the run's start.

    The start of a watchdog's own turn says nothing about the person's request, which may be much older."""
    written, started = (tail.at if tail is not None else None), row.started_at
    asked = tail.deed_at if tail is not None else None
    is_ours = started is not None and asked is not None and started >= asked - _STAMPS_APART
    known = [at for at in (written, None if is_ours else started) if at is not None]
    return max(known, default=None)


_STAMPS_APART = timedelta(seconds=10)
"""A turn's words and its run are stamped up to two seconds apart, in either order (5.18, 9.6)."""


def is_long_ago(at: datetime | None, now: datetime, limit: timedelta) -> bool:
    """``now`` on the same clock as ``at``. What is unknown, or still to come, counts as long ago: then the requester is asked
    instead of the work going on."""
    return at is None or now - at > limit or at > now + _STAMPS_APART


def is_stalled_but_owned(judged: Judged) -> bool:
    """A run whose owner is alive, without any progress for ``long_running_after``, under a policy that asks for abort.

    The one case in which a living run may be ended; without that policy it is only told. What waits for a child, an
    approval or a compaction is not hung."""
    if judged.judgement.verdict is not Verdict.LONG_RUNNING or Step.ABORT not in judged.policy.recovery.ladder:
        return False
    track, now, ceiling = judged.case.track, judged.case.now, judged.policy.thresholds.long_running_after
    # Without looks at the transcript, all that time long, nothing is known about progress.
    return (
        judged.case.look.tail is not None
        and track.tail_unchanged_since is not None
        # guard: abort only without progress
        and min(now.since(track.tail_unchanged_since), track.quiet_for(now)) >= ceiling
        and innocence_of(judged.judgement.evidence) is None
    )


def fitting_steps(ladder: Sequence[Step], judged: Judged, *, is_given_up: bool = False) -> tuple[Step, ...]:
    """Rungs that can make sense here: no abort without a live run, no recover without the gateway's own mark.

    ``is_given_up``: every message is refused there, so a tombstone with a chat is reset, which gives up nothing that anybody could
    still use; one without a chat keeps its words and goes on elsewhere (``recover``) or is only told."""
    row, tail = judged.session, judged.case.look.tail
    if judged.judgement.verdict is not Verdict.STUCK:
        return tuple(step for step in ladder if step is Step.ABORT)
    if row.is_tombstone or is_given_up:
        fitting = tuple(
            step
            for step in ladder
            if (step.loses_context and is_written_to(row))  # guard: tombstone: reset only for who writes from a chat
            or (step is Step.RECOVER and _is_for_recover(row))
        )
        return fitting or (Step.NOTIFY,)
    finished = tail is not None and tail.kind is TailKind.ANSWERED
    return tuple(
        step
        for step in ladder
        if step is not Step.ABORT
        and (step is not Step.RECOVER or _is_for_recover(row))
        and not (finished and step.loses_context)  # guard: finished work keeps its context
    )


def _is_for_recover(row: Session) -> bool:
    """Marked by the gateway's restart recovery, and without a chat: ``sessions.recover`` starts a successor under a key of its
    own, archives this one and answers there. Who wrote from a chat hears nothing, and on 2026.8.2 is locked out for good."""
    is_marked = row.restart_recovery_status is not None or row.aborted_last_run is True
    return is_marked and not has_chat(row)


def has_chat(row: Session) -> bool:
    """Somebody may write to it from a chat app."""
    # The main session is everybody's. A dashboard's last words take an address away, and not every key names its chat.
    is_a_chats = row.kind is SessionKind.MAIN or is_of_some_chat(row.key)
    return is_written_to(row) or is_a_chats  # guard: nobody is cut off from their chat


def is_written_to(row: Session) -> bool:
    """It is known that somebody writes to it from a chat app: its key or its address names the chat."""
    return row.reply_address is not None or peer_of(row.key) is not None


def standing_of(
    judged: Judged,
    incident: Incident | None,
    here: PassContext,
    gateway: Gateway,
    ledger: Ledger,
    plan: StepPlan,
) -> SessionContext:
    """What ledger and gateway say about acting on this session."""
    step = plan.step
    row, recovery, now = judged.session, judged.policy.recovery, here.now
    attempts = incident.attempts if incident is not None else ()
    pause = next((entry for entry in ledger.pauses(now.wall) if entry.covers(gateway.name, row.key, now.wall)), None)
    settled = [attempt for attempt in attempts if not attempt.is_in_flight and attempt.settled_at is not None]
    over = {attempt.id for attempt in settled}  # one may be just being settled, and in the ledger not yet
    in_flight = [(of, attempt) for of, attempt in ledger.attempts_in_flight(gateway.name) if attempt.id not in over]
    last = settled[-1] if settled else None
    standing = SessionContext(
        is_list_complete=here.is_list_complete,
        gateway_problem=here.gateway_problem or here.trust.problem(),
        connected_for=here.trust.connected_for(now),
        paused=pause.reason or "by an operator" if pause is not None else None,
        paused_until=pause.until if pause is not None else None,
        is_quarantined=any(entry.holds(row) for entry in ledger.quarantines(gateway.name)),
        attempts_in_incident=len(attempts),
        last_settled_at=last.settled_at if last is not None else None,
        backoff=backoff_after(len(settled), recovery.backoff, _jitter(last)) if last is not None else timedelta(0),
        session_charges=ledger.charges(gateway.name, now.wall - recovery.budget.per, row.key),
        gateway_charges=ledger.charges(gateway.name, now.wall - recovery.gateway_budget.per),
        in_flight_here=any(other.session == row.key for other, _ in in_flight),
        in_flight_on_gateway=len(in_flight),
        is_fleet_open=here.is_fleet_open,
        is_ledger_writable=here.is_ledger_writable,
        lost_history=_lost_history(ledger, recovery, now),
        alias_keys=tuple(other.key for other in judged.case.aliases),
        own_marks=_own_marks(ledger, gateway.name, row.key, now.wall),
        requester_problem=plan.requester_problem,
        is_deaf=step is not None and step.nature.lets_in and refuses_its_people(judged.case),
        was_stopped=was_stopped(judged, gateway.name, ledger),
        run_held_by=run_held_by(ledger, incident, row, now.wall),
    )
    if step is None:
        return standing
    problem = plan.step_problem or gateway.step_problem(step, row)
    return replace(standing, missing_scope=gateway.missing_scope(step), step_problem=problem)


def was_stopped(judged: Judged, gateway: str, ledger: Ledger) -> bool:
    """By the ledger: a person stopped this run, or the request that it still goes on with: nobody has written since. (2026.5.18, 8.2 and
    9.6 take a stopped request up by themselves after a restart.)"""
    row, tail = judged.session, judged.case.look.tail
    asked_at = tail.asked[-1].at if tail is not None and tail.asked else None
    return any(
        stop.session_id == row.session_id
        and (stop.started_at == row.started_at or (asked_at is not None and asked_at <= stop.at))
        for stop in ledger.stops(gateway, row.key)
    )


def _own_marks(ledger: Ledger, gateway: str, key: str, now: datetime) -> frozenset[str]:
    """The marks of every attempt of ours that may still count as somebody's recent deed, closed incidents included."""
    recent = ledger.history(since=now - FOREIGN_DEED_HOLD, session=key, gateway=gateway)
    return frozenset(f"{attempt.incident}/{attempt.number}" for incident in recent for attempt in incident.attempts)


def run_held_by(ledger: Ledger, incident: Incident | None, row: Session, now: datetime) -> str | None:
    """The claim would be refused: said before anything is planned."""
    holder = ledger.run_holder(incident.id, RunIdentity.of(row), now) if incident is not None else None
    if holder is None:  # guard: single: who holds the run is said before anything is planned
        return None
    return (
        f"This very run was acted on as incident {holder.id} of gateway {holder.gateway}; no run is acted on under two "
        "names. `release` lets us try again."
    )


def _lost_history(ledger: Ledger, recovery: Recovery, now: Moment) -> str | None:
    """What the budget window cannot remember might have been spent: hold until that window has passed."""
    lost_at = ledger.lost_history_at
    if lost_at is None or now.wall - lost_at > recovery.budget.per:
        return None
    return (
        f"The ledger was lost at {lost_at:%Y-%m-%d %H:%M}Z, and with it what was done before; deeds go on after "
        f"{span_words(recovery.budget.per)}, or at once with `openclaw-watchdog release --lost-history`."
    )


def _jitter(attempt: Attempt) -> float:
    """0..1, the same for one attempt in every life of the daemon, and another for another watchdog's."""
    return zlib.crc32(f"{attempt.incident}-{attempt.number}".encode()) / 2**32


def was_sent(attempt: Attempt) -> bool:
    """It left this machine, or may have."""
    return attempt.started_at is not None and attempt.state not in (AttemptState.REFUSED, AttemptState.ABANDONED)
