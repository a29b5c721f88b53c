"""The life of incidents: opened when a session is stuck, attempts verified by later observations, closed once.

"ok" is not recovered: an attempt succeeds only when a later look shows it (``core.recovery.verify``). An incident stays
open while one of our own turns is still running on it, so that a hanging resume turn climbs the ladder instead of
starting over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from watchdog.core.blockers import BlockerName
from watchdog.core.evidence import ANSWER_UNHEARD, Case, Truth, has_unheard_answer, refuses_its_people
from watchdog.core.innocence import BOOT_RECOVERY_WINDOW
from watchdog.core.model import Moment, Session, Snapshot, Status, TailKind, TranscriptTail
from watchdog.core.policy import Step
from watchdog.core.recovery import (
    ANOTHER_RUN_DONE,
    ASKED,
    PERSON_ANSWERED,
    REFUSED_FOR_GOOD,
    TURN_ANSWERED,
    TURN_WAITS,
    Attempt,
    AttemptState,
    Proof,
    awaits_person,
    is_from_who_was_asked,
    verify,
)
from watchdog.core.tracking import RunIdentity
from watchdog.core.unanswered import has_yielded
from watchdog.core.verdict import Verdict
from watchdog.service import announcements, errors
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Incident, Ledger, Message, Outcome, Quarantine
from watchdog.service.observer import Judged
from watchdog.service.plan import Action, Decision, has_chat, is_stalled_but_owned, was_sent
from watchdog.service.ports import Gateway, Meter, Wants
from watchdog.service.tenure import Tenure

Foresee = Callable[[Judged, Incident | None], Decision]


@dataclass(frozen=True, slots=True)
class _InFlight:
    """An attempt as this life of the daemon first saw it. From then on its age is counted on the monotonic clock: a
    clock that is set, or a host that sleeps, makes no attempt late. ``not_ours``: how much of its age went by under another
    owner, between that one's clock and ours."""

    seen_at: Moment
    age: timedelta
    not_ours: timedelta = timedelta(0)

    def age_at(self, now: Moment) -> timedelta:
        return self.age + now.since(self.seen_at)

    def waited_at(self, now: Moment) -> timedelta:
        """How long its effect is looked for, counted by one clock."""
        return self.age_at(now) - self.not_ours


@dataclass(slots=True)
class Incidents:
    """Opens, verifies and closes the incidents of one gateway."""

    gateway: Gateway
    ledger: Ledger
    log: Log
    meter: Meter
    tenure: Tenure | None = None
    """Where several replicas share the gateways: under which lease."""
    # By idempotency key: an older copy of the ledger gives out the ids of later attempts once more.
    _in_flight: dict[str, _InFlight] = field(init=False, default_factory=dict)
    _heard: dict[str, bool] = field(init=False, default_factory=dict)
    """What the gateway said of an attempt's delivery, until it is written down."""

    def open_for(self, judged: Judged, now: Moment) -> Incident:
        """The session's open incident; a new one is logged and its message owed in one transaction."""
        row, judgement = judged.session, judged.judgement
        known = {incident.session: incident for incident in self.ledger.open_incidents(self.gateway.name)}
        if row.key in known:
            return known[row.key]
        # guard: message: an answer that nobody heard is named
        is_unheard = has_unheard_answer(judged.case)
        reason = ANSWER_UNHEARD if is_unheard else judgement.reason
        incident = self.ledger.open_incident(
            gateway=self.gateway.name,
            session=row.key,
            session_id=row.session_id,
            reason=reason,
            at=now.wall,
        )
        spare = judgement.unattended_for or judged.case.track.quiet_for(now)
        self.log.event(
            Event.SESSION_STUCK,
            gateway=self.gateway.name,
            session=row.key,
            session_id=row.session_id,
            incident=incident.id,
            reason=reason,
            unattended_seconds=round(spare.total_seconds(), 1),
            policy=judged.policy.name,
        )
        due = judged.policy.thresholds.stuck_after
        self.meter.detection_delay(max(0.0, (spare - due).total_seconds()))
        return incident

    def announce_opened(self, decision: Decision, now: Moment) -> None:
        """Owe the opened message, which says what holds, or that nothing is to be done; written at most once."""
        if decision.incident is not None:
            self.ledger.owe([opened_message(decision, decision.incident, now)], now.wall)

    # ---------------------------------------------------------------- verification

    async def verify_attempts(
        self, judged: Mapping[str, Judged], now: Moment, snapshot: Snapshot, foresee: Foresee | None = None
    ) -> int:
        """Settle what later looks prove; returns how many attempts are still in flight. ``foresee``: what follows where one did
        not help, ``plan.foreseen``; None: nothing does."""
        still = 0
        in_flight = self.ledger.attempts_in_flight(self.gateway.name)
        self._in_flight = {
            one.idempotency_key: self._in_flight.get(one.idempotency_key) or _first_seen(one, now, self.tenure)
            for _, one in in_flight
        }
        for incident, attempt in in_flight:
            current = _successor_of(attempt, incident.session, judged) or judged.get(incident.session)
            if current is None and not snapshot.lacks(incident.session):
                still += 1
                continue
            proof = await self._prove(incident, attempt, current, now)
            if proof.state is None:
                still += 1
                continue
            await self._settle(incident, attempt, proof, current, now, foresee)
        return still

    async def _prove(self, incident: Incident, attempt: Attempt, current: Judged | None, now: Moment) -> Proof:
        row = current.session if current is not None else None
        tail: TranscriptTail | None = None
        if row is not None and attempt.step.nature.is_turn:
            look = await self.gateway.look(row, Wants(tail=True))
            tail = look.tail
        is_queued = attempt.step is Step.RESUME and tail is not None and tail.has_pending_input is True
        verify_within = current.policy.recovery.verify_within if current is not None else timedelta(seconds=90)
        known = self._in_flight[attempt.idempotency_key]
        return verify(
            attempt,
            row,
            tail,
            # guard: verify: what waits to be taken up is under way
            is_overdue=known.waited_at(now) > verify_within * (_QUEUED_PATIENCE if is_queued else 1),
            owner=current.judgement.owner if current is not None else Truth.UNKNOWN,
            has_gateway_died=current is not None and _has_died(attempt, known.age_at(now), current.case),
            was_cut=current is not None and _was_cut(current),
            is_successor=row is not None and row.key != incident.session,
        )

    async def _settle(
        self,
        incident: Incident,
        attempt: Attempt,
        proof: Proof,
        current: Judged | None,
        now: Moment,
        foresee: Foresee | None,
    ) -> None:
        assert proof.state is not None
        row = current.session if current is not None else None
        verified_by, delivered = proof.reason, attempt.delivered
        if proof.state is AttemptState.SUCCEEDED and proof.reason != TURN_WAITS:
            # Before it is settled: whoever dies in between would call it recovered.
            delivered = await self._delivered(attempt)
            if delivered and attempt.step.nature.is_turn:
                verified_by = f"{proof.reason}, {DELIVERED}"
        settled = replace(
            attempt,
            state=proof.state,
            settled_at=now.wall,
            reason=proof.reason,
            verified_by=verified_by,
            delivered=delivered,
        )
        messages: list[Message] = []
        if proof.state is AttemptState.INEFFECTIVE:
            messages = [_did_not_help(incident, settled, current, now, foresee)]
        elif proof.state is AttemptState.ABANDONED and not _has_been_answered(incident, settled, current, now):
            messages = [announcements.perhaps_asked(incident, settled, now=now.wall)]
        done = self.ledger.settle_attempt(
            attempt.id, proof.state, now.wall, reason=proof.reason, verified_by=verified_by, messages=messages
        )
        if not done:
            return
        if proof.state is AttemptState.ABANDONED:
            return  # an `ask` of which nothing more will be known
        if proof.reason == ASKED:  # whether it helped, the requester's next run shows
            self.meter.attempt(self.gateway.name, attempt.step.value, proof.state.value)
            return
        events = {
            AttemptState.SUCCEEDED: Event.RECOVERY_SUCCEEDED,
            AttemptState.INDETERMINATE: Event.RECOVERY_INDETERMINATE,
        }
        event = events.get(proof.state, Event.RECOVERY_INEFFECTIVE)
        self.log.event(
            event,
            gateway=self.gateway.name,
            session=incident.session,
            session_id=row.session_id if row is not None else incident.session_id,
            incident=incident.id,
            attempt=attempt.number,
            step=attempt.step.value,
            reason=proof.reason,
            verified_by=verified_by,
            run_id=attempt.run_id,
            delivered=delivered,
        )
        self.meter.attempt(self.gateway.name, attempt.step.value, proof.state.value)
        if proof.state is AttemptState.SUCCEEDED and not attempt.step.nature.opens_only:
            fresh = self.ledger.incident(incident.id) or incident
            note = next(iter(self.ledger.notes(incident.id)), None)
            outcome = _outcome_of(settled)
            fresh = replace(fresh, attempts=(*_others(fresh, settled), settled))
            message = announcements.closed(
                fresh,
                outcome,
                now=now.wall,
                note_path=note.path if note is not None else None,
                successor=row.key if row is not None and row.key != incident.session else None,
            )
            self.ledger.close_incident(incident.id, outcome, now.wall, [message])

    async def _delivered(self, attempt: Attempt) -> bool | None:
        """Whether its answer reached the chat it was sent to, written down. 5.18 says it once, so what was heard is kept until
        the ledger has it."""
        run_id = _run_of(attempt)
        if attempt.delivered is not None or attempt.address is None or run_id is None:
            return attempt.delivered
        key = attempt.idempotency_key
        if key not in self._heard:
            try:
                said = await self.gateway.delivered(run_id)
            except errors.GatewayError:
                return None
            if said is None:
                return None
            self._heard[key] = said
        self.ledger.note_delivery(attempt.id, self._heard[key])
        return self._heard.pop(key)

    async def _ending_of_late_turn(self, incident: Incident, current: Judged) -> Outcome:
        """Our turn was given up (``NewRunSilent``) and ended well after all: it may only wait for its subagents, or the gateway says
        that its answer did not reach the chat. What was answered after somebody wrote again is theirs. Where our turn is not to be
        seen, and the run began after it was given up, it was another one."""
        row = current.session
        turns = [one for one in incident.attempts if was_sent(one) and _run_of(one) is not None]
        if not turns:
            # guard: outcome: what came to nothing has recovered nobody
            is_ours = any(one.state is AttemptState.SUCCEEDED for one in incident.attempts)
            return Outcome.RECOVERED if is_ours else Outcome.CLEARED
        try:
            tail = (await self.gateway.look(row, Wants(tail=True))).tail
        except errors.GatewayError:
            tail = None
        is_given_up = turns[-1].state is not AttemptState.SUCCEEDED
        # guard: outcome: a late turn that only waits is no answer
        if tail is not None and is_given_up and _is_unanswered(current, tail):
            return Outcome.CLEARED
        seen = tail.deed_mark if tail is not None else None
        is_answered = tail is not None and tail.kind is TailKind.ANSWERED
        own = {f"{one.incident}/{one.number}": one for one in turns}.get(seen or "")
        if own is not None and _began_after(current, own) and tail is not None and tail.overtaken_mark != seen:
            own = None  # ours may stand there unanswered, and what followed is another's
        # guard: outcome: a turn answered after it was given up is what helped
        if is_given_up and own is not None and is_answered:
            self.ledger.note_proof(own.id, TURN_ANSWERED)
        # guard: outcome: what another run ended is not our recovery
        if is_given_up and own is None and (turns[-1].reason == ANOTHER_RUN_DONE or _began_after(current, turns[-1])):
            # A mark that is not seen may stand before what is read of a long transcript.
            if await self._delivered(turns[-1]) is not True:
                return Outcome.CLEARED
            self.ledger.note_proof(turns[-1].id, TURN_ANSWERED)
            return Outcome.RECOVERED
        if tail is not None and (
            tail.kind is not TailKind.ANSWERED or (seen is not None and seen == tail.overtaken_mark)
        ):
            return Outcome.RECOVERED
        # Only the end of a long transcript is read: a mark that is not seen may stand before it, and the run is asked after by its id.
        ours = [one for one in turns if seen in (None, f"{one.incident}/{one.number}")]
        last = max(ours, key=lambda one: one.number, default=None)
        if last is None or (seen is None and _began_after(current, last)):
            return Outcome.RECOVERED
        return Outcome.UNDELIVERED if await self._delivered(last) is False else Outcome.RECOVERED

    def was_answered(self, judged: Judged) -> bool:
        """Our own turn answered it and nobody waits: nothing is left to do, although its row goes on saying ``running``."""
        mark = _answered_turn(judged)
        if mark is None:
            return False
        incident_id, _, number = mark.partition("/")
        incident = self.ledger.incident(incident_id)
        return incident is not None and any(
            str(attempt.number) == number
            and TURN_ANSWERED in (attempt.reason, attempt.verified_by)
            and _may_be_its_run(judged, attempt)
            for attempt in incident.attempts
            if (incident.gateway, incident.session) == (self.gateway.name, judged.session.key)
        )

    # ---------------------------------------------------------------- endings

    async def close_ended(self, judged: Mapping[str, Judged], now: Moment, snapshot: Snapshot) -> None:
        """Close what healed, with or without us; leave open what is still stuck or still in our hands."""
        in_flight = {incident.id for incident, _ in self.ledger.attempts_in_flight(self.gateway.name)}
        for incident in self.ledger.open_incidents(self.gateway.name):
            if incident.id in in_flight:
                continue
            current = judged.get(incident.session)
            if current is None:
                if snapshot.lacks(incident.session):
                    self._close(incident, Outcome.CLEARED, "SessionGone", now, successor=_kept_as(incident, judged))
                continue
            outcome, reason = _ending(incident, current, now), current.judgement.reason
            # guard: outcome: a turn answered late is no reason to give the session up
            if outcome is None and (late := self._answered_late(incident, current)) is not None:
                self.ledger.note_proof(late.id, TURN_ANSWERED)
                outcome, reason = Outcome.RECOVERED, TURN_ANSWERED
            if outcome is None:
                continue
            if outcome is Outcome.RECOVERED and awaits_person(incident.attempts):
                # guard: outcome: what nobody answered is no answer
                if await self._is_left_unanswered(incident, current):
                    outcome = Outcome.CLEARED
                else:
                    reason = PERSON_ANSWERED
                    incident = self._note_answer(incident, current.session)  # noqa: PLW2901 - the same one, with its proof
            # guard: outcome: a turn that ended late is asked after
            elif outcome is Outcome.RECOVERED:
                outcome = await self._ending_of_late_turn(incident, current)
                incident = self.ledger.incident(incident.id) or incident  # noqa: PLW2901 - the same one, as noted
            self._close(incident, outcome, reason, now, current.session, successor=_kept_as(incident, judged))

    def _answered_late(self, incident: Incident, current: Judged) -> Attempt | None:
        """Our last turn of this incident, given up as silent and answered since, while its row goes on saying ``running``. Only
        where it is called stuck: until then what was said may be half of an answer."""
        last = max((one for one in incident.attempts if was_sent(one)), key=lambda one: one.number, default=None)
        if (
            last is None
            or last.state is not AttemptState.INEFFECTIVE
            or current.judgement.verdict is not Verdict.STUCK
            or _answered_turn(current) != f"{incident.id}/{last.number}"
        ):
            return None
        return last if last.step.nature.is_turn and _may_be_its_run(current, last) else None

    async def _is_left_unanswered(self, incident: Incident, current: Judged) -> bool:
        """The row says that its run is over, and its person has no answer yet: the turn waits for its subagents, or it was given up,
        or it was somebody else's. Or nobody can tell."""
        try:
            tail = (await self.gateway.look(current.session, Wants(tail=True))).tail
        except errors.GatewayError:
            return True  # what is not seen is not called an answer
        if tail is None or _is_unanswered(current, tail):
            return True
        last = max((one for one in incident.attempts if one.started_at is not None), key=lambda one: one.number)
        skew = current.case.facts.clock_skew or timedelta(0)
        # guard: outcome: a turn of somebody else's is no answer
        return last.step is Step.ASK and not is_from_who_was_asked(
            tail.asked, last, skew, began=current.session.started_at
        )

    def _note_answer(self, incident: Incident, row: Session) -> Incident:
        """Who was asked, or had been waiting, has been answered: that is what the deed was for."""
        last = max((one for one in incident.attempts if one.started_at is not None), key=lambda one: one.number)
        if last.state is not AttemptState.SUCCEEDED:
            return incident
        self.ledger.note_proof(last.id, PERSON_ANSWERED)
        self.log.event(
            Event.RECOVERY_SUCCEEDED,
            gateway=self.gateway.name,
            session=incident.session,
            session_id=row.session_id,
            incident=incident.id,
            attempt=last.number,
            step=last.step.value,
            reason=last.reason,
            verified_by=PERSON_ANSWERED,
        )
        proven = replace(last, verified_by=PERSON_ANSWERED)
        return replace(incident, attempts=(*_others(incident, last), proven))

    def _close(
        self,
        incident: Incident,
        outcome: Outcome,
        reason: str,
        now: Moment,
        row: Session | None = None,
        *,
        successor: str | None = None,
    ) -> None:
        note = next(iter(self.ledger.notes(incident.id)), None)
        note_path = note.path if note is not None else None
        message = announcements.closed(
            incident,
            outcome,
            now=now.wall,
            note_path=note_path,
            successor=successor,
            is_archived_tombstone=row is not None and row.is_archived_tombstone,
        )
        if self.ledger.close_incident(incident.id, outcome, now.wall, [message]):
            self.log.event(
                Event.SESSION_CLEARED,
                gateway=self.gateway.name,
                session=incident.session,
                session_id=row.session_id if row is not None else incident.session_id,
                incident=incident.id,
                outcome=outcome.value,
                reason=reason,
            )

    def escalate(self, decision: Decision, now: Moment) -> None:
        """The ladder or the budget is used up: quarantine, say so once, and leave the session alone."""
        incident, judged = decision.incident, decision.judged
        if incident is None:
            return
        incident = self.ledger.incident(incident.id) or incident
        spent = next((held for held in decision.blockers if held.name is BlockerName.SESSION_BUDGET), None)
        budget = judged.policy.recovery.budget if spent is not None else None
        why = spent.message if spent is not None else _why_given_up(incident)
        entry = Quarantine(self.gateway.name, incident.session, judged.session.session_id, now.wall, why, incident.id)
        message = announcements.quarantined(incident, now=now.wall, why=why, budget=budget)
        if self.ledger.quarantine(entry, [message]):
            self.log.event(
                Event.SESSION_QUARANTINED,
                gateway=self.gateway.name,
                session=incident.session,
                session_id=judged.session.session_id,
                incident=incident.id,
                reason=why,
            )

    def release_recovered(self, judged: Mapping[str, Judged], now: Moment) -> None:
        """A quarantine ends by itself with a new session id, or with a run that completed after it began."""
        for entry in self.ledger.quarantines(self.gateway.name):
            current = judged.get(entry.session)
            if current is None:
                continue
            row = current.session
            reborn = row.session_id is not None and entry.session_id is not None and row.session_id != entry.session_id
            finished = row.status is Status.DONE and row.started_at is not None and row.started_at > entry.since
            if reborn or finished:
                why = "a new session id" if reborn else "a run completed"
                self.ledger.release(self.gateway.name, entry.session, now.wall, who="openclaw-watchdog", why=why)
                self.log.event(Event.SESSION_RELEASED, gateway=self.gateway.name, session=entry.session, reason=why)


_QUEUED_PATIENCE = 10
"""How many times ``verify_within`` a turn of ours may lie among the words that wait to be taken up (9.6: while the
gateway's own recovery is at work): it is under way, not ineffective."""

_NOT_STUCK = "as things are now it does not count as stuck"


def _did_not_help(
    incident: Incident, settled: Attempt, current: Judged | None, now: Moment, foresee: Foresee | None
) -> Message:
    """Says what follows only as far as it is known to come."""
    tell = partial(announcements.did_not_help, incident, settled, now=now.wall)
    if current is not None and current.session.key != incident.session:
        return tell(next_step=None, successor=current.session.key)  # what follows there is an incident of its own
    if current is not None and current.session.status in (Status.OTHER, Status.QUEUED):
        return tell(next_step=None, no_more=_NOT_STUCK)
    if current is None or (current.session.status is not Status.RUNNING and not current.session.is_tombstone):
        return tell(next_step=None, no_more="no run is marked as going on any more")
    if foresee is None:
        return tell(next_step=Step.NOTIFY)
    verdict = current.judgement.verdict
    if verdict not in (Verdict.STUCK, Verdict.SUSPECT) and not is_stalled_but_owned(current):
        return tell(next_step=None, no_more=_NOT_STUCK)
    coming = foresee(current, replace(incident, attempts=(*_others(incident, settled), settled)))
    if coming.action is Action.NOTHING:
        return tell(next_step=None, no_more="the one who asked was asked to send it again, and that is waited for")
    due = current.judgement.changes_at if verdict is Verdict.SUSPECT else None
    return tell(next_step=coming.step, blockers=coming.blockers, stuck_at=due.wall if due is not None else None)


def _why_given_up(incident: Incident) -> str:
    if any(attempt.reason == REFUSED_FOR_GOOD for attempt in incident.attempts):
        return "The gateway said that no step can help."
    if not any(was_sent(attempt) or attempt.state is AttemptState.REFUSED for attempt in incident.attempts):
        return "No step of its ladder fits it."
    return "Every step of the ladder was tried."


def _successor_of(attempt: Attempt, session: str, judged: Mapping[str, Judged]) -> Judged | None:
    """The session in which ``sessions.recover`` goes on: under a key of its own, and its row names the session before (2026.8.2, 9.6)."""
    before = attempt.before.session_id if attempt.before is not None else None
    if attempt.step is not Step.RECOVER or before is None:
        return None
    return next(
        (
            one
            for one in judged.values()
            if one.session.key != session
            and one.session.previous_session_id == before  # guard: recover: proved where it goes on
            and (attempt.run_id is None or (one.session.session_id or "?") in attempt.run_id)
        ),
        None,
    )


def _answered_turn(judged: Judged) -> str | None:
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


def _may_be_its_run(judged: Judged, attempt: Attempt) -> bool:
    """The row tells of the run that our turn began, and not of one that began after its answer and left no word."""
    began, tail = judged.session.started_at, judged.case.look.tail
    if began is None or attempt.settled_at is None:
        return attempt.settled_at is not None
    answered_at = tail.at if tail is not None else None
    return began <= attempt.settled_at and (answered_at is None or began <= answered_at + _STAMPS_APART)


_STAMPS_APART = timedelta(seconds=2)
"""A run and its words are stamped up to two seconds apart, in either order (5.18, 9.6)."""


def _kept_as(incident: Incident, judged: Mapping[str, Judged]) -> str | None:
    """The key under which a recovery of this incident goes on, whether or not its run came to anything."""
    found = (_successor_of(attempt, incident.session, judged) for attempt in incident.attempts)
    return next((current.session.key for current in found if current is not None), None)


def _others(incident: Incident, attempt: Attempt) -> list[Attempt]:
    return [other for other in incident.attempts if other.id != attempt.id]


def _ending(incident: Incident, current: Judged, now: Moment) -> Outcome | None:
    row, verdict = current.session, current.judgement.verdict
    if awaits_person(incident.attempts):
        return _ending_of_wait(incident, current, now)
    proven = [
        one for one in incident.attempts if one.state is AttemptState.SUCCEEDED and not one.step.nature.opens_only
    ]
    if proven:
        return _outcome_of(proven[-1])  # and we died before we could say so
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
    if _is_another_run(incident, sent, row):
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


def _has_been_answered(incident: Incident, settled: Attempt, current: Judged | None, now: Moment) -> bool:
    """Whoever may have been asked wrote again, and has had their answer."""
    asked = replace(incident, attempts=(*_others(incident, settled), settled))
    return current is not None and _ending_of_wait(asked, current, now) is Outcome.RECOVERED


def _is_another_run(incident: Incident, sent: Sequence[Attempt], row: Session) -> bool:
    """Somebody else started a fresh session, and what is stuck there began after the last of our deeds was settled: an
    incident of its own, that begins with the gentlest step."""
    if None in (row.session_id, incident.session_id) or row.session_id == incident.session_id:
        return False
    if any(one.step.loses_context for one in sent):
        return False  # the fresh session is ours
    settled = [one.settled_at for one in sent]
    return row.started_at is not None and all(at is not None and row.started_at > at for at in settled)


def _ending_of_wait(incident: Incident, current: Judged, now: Moment) -> Outcome | None:
    """Somebody was asked, or a row freed for who waited: over when a run of the session has ended well, or its row says
    nothing any more. Where nobody is answered at a freed row, that is said after ``_ANSWERED_WITHIN``."""
    row = current.session
    last = max((one for one in incident.attempts if one.started_at is not None), key=lambda one: one.number)
    if row.status is Status.ABSENT:
        return Outcome.CLEARED
    has_moved = last.before is None or RunIdentity.of(row) != last.before
    is_done = row.status is Status.DONE or (row.has_end_though_running and _ended_since(row, last))
    if has_moved and is_done:
        return Outcome.RECOVERED
    waited = now.wall - last.settled_at if last.settled_at is not None else timedelta(0)
    has_failed = row.status in (Status.FAILED, Status.KILLED, Status.TIMEOUT)
    if last.step is Step.FREE and has_failed and waited >= _ANSWERED_WITHIN:
        return Outcome.FAILED
    return None


_ANSWERED_WITHIN = timedelta(minutes=30)
"""Who waits at a freed row is answered at the next try of their message: after 4 to 5 s where it was sent just before (8.2, 9.6),
later the longer it has waited."""


def _was_cut(current: Judged) -> bool:
    """The row tells of a run that a start of the gateway cut, by the gateway's own clock."""
    began, booted = current.session.started_at, current.case.facts.booted_at
    return began is not None and booted is not None and began < booted


def _is_unanswered(current: Judged, tail: TranscriptTail) -> bool:
    """Its turn waits for its subagents, or was cut and only called done: a tool that never answered tells so as well. Elsewhere
    nothing need be said aloud: an answer by the ``message`` tool, or none at all (``NO_REPLY``), is left out of the transcript
    that a gateway shows."""
    if tail.kind is TailKind.TOOL_CALL:  # guard: outcome: a tool that never answered is no end
        return True
    return (_was_cut(current) and tail.kind.is_unanswered) or has_yielded(current.session, tail)


def _began_after(current: Judged, attempt: Attempt) -> bool:
    """The row tells of another run, begun since ours was settled: by the gateway's clock."""
    began, skew = current.session.started_at, current.case.facts.clock_skew or timedelta(0)
    return began is not None and attempt.settled_at is not None and began > attempt.settled_at + skew


def _ended_since(row: Session, attempt: Attempt) -> bool:
    return row.ended_at is not None and attempt.started_at is not None and row.ended_at > attempt.started_at


def _run_of(attempt: Attempt) -> str | None:
    """The run that an attempt started; None: it starts none, or the gateway did not name it. A turn's own is named by its key, so it
    is known where the answer to the deed was lost, too (``agent``: 3.24 to 9.6)."""
    # guard: outcome: a turn whose answer was lost is asked after
    return attempt.run_id or (attempt.idempotency_key if attempt.step is Step.RESUME else None)


def _outcome_of(attempt: Attempt) -> Outcome:
    """What an incident comes to whose attempt has done what it should."""
    if attempt.step.nature.only_ends:
        return Outcome.ENDED
    if attempt.reason == TURN_WAITS:  # guard: outcome: a turn that only waits is no answer
        return Outcome.CLEARED
    # guard: outcome: not delivered is not recovered
    return Outcome.UNDELIVERED if attempt.delivered is False else Outcome.RECOVERED


DELIVERED = "TerminalDeliverySent"
"""Part of ``verified_by``: the gateway says that the answer reached the chat."""


def _has_died(attempt: Attempt, age: timedelta, case: Case) -> bool:
    """The gateway's process is younger than the deed: on its own clock, and we saw it begin since. Either clock may have been
    set; a life that we have known for longer than the deed is the one that took the deed in."""
    booted, known_for = case.facts.booted_at, case.boot_seen_age
    if (
        attempt.started_at is None
        or booted is None
        or known_for is None
        # guard: a life known for longer than the deed took it in
        or known_for >= age
    ):
        return False
    return booted > attempt.started_at + (case.facts.clock_skew or timedelta(0))


def _first_seen(attempt: Attempt, now: Moment, tenure: Tenure | None) -> _InFlight:
    """What another replica began is given its time anew: that one's clock may differ from ours by more than the wait."""
    began = attempt.started_at or attempt.planned_at
    age = max(now.wall - began, timedelta(0))
    # guard: shares: another owner's attempt is given its time
    if tenure is not None and began <= tenure.lease.taken_at.wall:
        return _InFlight(now, age, age)
    return _InFlight(now, age)


def opened_message(decision: Decision, incident: Incident, now: Moment) -> Message:
    """Says what is found, and what is done now or what holds it."""
    judged = decision.judged
    if judged.session.is_tombstone:
        return announcements.given_up(
            incident,
            now=now.wall,
            explanation=judged.judgement.message,
            next_step=decision.step if decision.step is not Step.NOTIFY else None,
            blockers=decision.blockers,
            has_chat=has_chat(judged.session),
        )
    return announcements.stuck(
        incident,
        now=now.wall,
        unattended_for=judged.judgement.unattended_for or timedelta(0),
        explanation=judged.judgement.message,
        next_step=decision.step,
        blockers=decision.blockers,
    )
