"""The life of incidents: opened when a session is stuck, attempts verified by later observations, closed once.

"ok" is not recovered: an attempt succeeds only when a later look shows it (``core.recovery.verify``). An incident stays
open while one of our own turns is still running on it, so that a hanging resume turn climbs the ladder instead of
starting over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from watchdog.core.blockers import BlockerName
from watchdog.core.evidence import ANSWER_UNHEARD, Case, Truth, has_unheard_answer
from watchdog.core.model import Moment, Session, Snapshot, Status, TranscriptTail
from watchdog.core.policy import Recovery, Step
from watchdog.core.recovery import (
    ASKED,
    PERSON_ANSWERED,
    REFUSED_FOR_GOOD,
    TURN_ANSWERED,
    TURN_WAITS,
    Attempt,
    AttemptState,
    Proof,
    awaits_person,
    verify,
)
from watchdog.core.verdict import Verdict
from watchdog.service import announcements, errors
from watchdog.service.by_hand import sent_by_hand
from watchdog.service.endings import (
    HelpedIfDelivered,
    RecoveredUnlessLost,
    answered_late,
    answered_turn,
    ending,
    has_been_answered,
    is_left_unanswered,
    last_done,
    late_ending,
    may_be_its_run,
    others,
    outcome_of,
    run_of,
    turns_of,
    was_cut,
)
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
    _owed_at: dict[str, Moment] = field(init=False, default_factory=dict)
    """When the opened message of an incident was owed: each held session would write to the ledger in every pass."""

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
        """Owe the opened message, which says what holds, or that nothing is to be done; written at most once, and looked for now and
        then: the ledger may be an older copy by now."""
        incident = decision.incident
        if incident is None or ((owed_at := self._owed_at.get(incident.id)) and now.since(owed_at) < _OWED_AGAIN):
            return
        self.ledger.owe([opened_message(decision, incident, now)], now.wall)
        self._owed_at = {
            **{known: at for known, at in self._owed_at.items() if now.since(at) < _OWED_AGAIN},
            incident.id: now,
        }

    # ---------------------------------------------------------------- verification

    async def verify_attempts(
        self,
        judged: Mapping[str, Judged],
        now: Moment,
        snapshot: Snapshot,
        foresee: Foresee | None = None,
        *,
        only: str | None = None,
    ) -> int:
        """Settle what later looks prove; returns how many attempts are still in flight. ``foresee``: what follows where one did
        not help, ``plan.foreseen``; None: nothing does. ``only``: the one incident whose deed was sent from here; None: all of the
        gateway, but a verb's to the verb while it is there."""
        still = 0
        in_flight = self.ledger.attempts_in_flight(self.gateway.name)
        if only is not None:  # guard: by hand: a verb settles its own deed alone
            in_flight = [(incident, attempt) for incident, attempt in in_flight if incident.id == only]
        by_hand = sent_by_hand(self.ledger, (one for _, one in in_flight)) if only is None else frozenset[int]()
        self._in_flight = {
            one.idempotency_key: self._in_flight.get(one.idempotency_key) or _first_seen(one, now, self.tenure)
            for _, one in in_flight
        }
        for incident, attempt in in_flight:
            current = _successor_of(attempt, incident.session, judged) or judged.get(incident.session)
            if current is None and not snapshot.lacks(incident.session):
                still += 1
                continue
            # guard: by hand: its sender alone hears what became of the answer
            if (
                attempt.id in by_hand
                # guard: by hand: what its sender left is settled
                and not self._is_late(attempt, current, now)
            ):
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
        known = self._in_flight[attempt.idempotency_key]
        return verify(
            attempt,
            row,
            tail,
            # guard: verify: what waits to be taken up is under way
            is_overdue=self._is_late(attempt, current, now, times=_QUEUED_PATIENCE if is_queued else 1),
            owner=current.judgement.owner if current is not None else Truth.UNKNOWN,
            has_gateway_died=current is not None and _has_died(attempt, known.age_at(now), current.case),
            was_cut=current is not None and was_cut(current),
            is_successor=row is not None and row.key != incident.session,
        )

    def _is_late(self, attempt: Attempt, current: Judged | None, now: Moment, *, times: int = 1) -> bool:
        recovery = current.policy.recovery if current is not None else Recovery()
        return self._in_flight[attempt.idempotency_key].waited_at(now) > recovery.verify_within * times

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
        self.ledger.read_anew()  # guard: shares: what follows a deed is told as things are now
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
        elif proof.state is AttemptState.ABANDONED and not has_been_answered(incident, settled, current, now):
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
            outcome = outcome_of(settled)
            fresh = replace(fresh, attempts=(*others(fresh, settled), settled))
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
        run_id = run_of(attempt)
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

    def was_answered(self, judged: Judged) -> bool:
        """Our own turn answered it and nobody waits: nothing is left to do, although its row goes on saying ``running``."""
        mark = answered_turn(judged)
        if mark is None:
            return False
        incident_id, _, number = mark.partition("/")
        incident = self.ledger.incident(incident_id)
        return incident is not None and any(
            str(attempt.number) == number
            and TURN_ANSWERED in (attempt.reason, attempt.verified_by)
            and may_be_its_run(judged, attempt)
            for attempt in incident.attempts
            if (incident.gateway, incident.session) == (self.gateway.name, judged.session.key)
        )

    # ---------------------------------------------------------------- endings

    async def close_ended(
        self, judged: Mapping[str, Judged], now: Moment, snapshot: Snapshot, *, only: str | None = None
    ) -> None:
        """Close what healed, with or without us; leave open what is still stuck or still in our hands. ``only`` as above."""
        if not self.ledger.open_incidents(self.gateway.name):
            return
        self.ledger.read_anew()  # guard: shares: an incident is closed on what the ledger says now
        in_flight = {incident.id for incident, _ in self.ledger.attempts_in_flight(self.gateway.name)}
        for incident in self.ledger.open_incidents(self.gateway.name):
            if incident.id in in_flight:
                continue
            if only not in (None, incident.id):  # guard: by hand: a verb closes its own incident alone
                continue
            current = judged.get(incident.session)
            if current is None:
                if snapshot.lacks(incident.session):
                    self._close(incident, Outcome.CLEARED, "SessionGone", now, successor=_kept_as(incident, judged))
                continue
            outcome, reason = ending(incident, current, now), current.judgement.reason
            # guard: outcome: a turn answered late is no reason to give the session up
            if outcome is None and (late := answered_late(incident, current)) is not None:
                self.ledger.note_proof(late.id, TURN_ANSWERED)
                outcome, reason = Outcome.RECOVERED, TURN_ANSWERED
            if outcome is None:
                continue
            if outcome is Outcome.RECOVERED and awaits_person(incident.attempts):
                # guard: outcome: what nobody answered is no answer
                if is_left_unanswered(incident, current, await self._tail(current.session)):
                    outcome = Outcome.CLEARED
                else:
                    reason = PERSON_ANSWERED
                    incident = self._note_answer(incident, current.session)  # noqa: PLW2901 - the same one, with its proof
            # guard: outcome: a turn that ended late is asked after
            elif outcome is Outcome.RECOVERED:
                outcome = await self._ending_of_late_turn(incident, current)
                incident = self.ledger.incident(incident.id) or incident  # noqa: PLW2901 - the same one, as noted
            self._close(incident, outcome, reason, now, current.session, successor=_kept_as(incident, judged))

    async def _ending_of_late_turn(self, incident: Incident, current: Judged) -> Outcome:
        late = late_ending(incident, current, await self._tail(current.session) if turns_of(incident) else None)
        if late.proven is not None:
            self.ledger.note_proof(late.proven.id, TURN_ANSWERED)
        match late.comes_to:
            case HelpedIfDelivered(turn):
                if await self._delivered(turn) is not True:
                    return Outcome.CLEARED
                self.ledger.note_proof(turn.id, TURN_ANSWERED)
                return Outcome.RECOVERED
            case RecoveredUnlessLost(turn):
                return Outcome.UNDELIVERED if await self._delivered(turn) is False else Outcome.RECOVERED
            case outcome:
                return outcome

    async def _tail(self, row: Session) -> TranscriptTail | None:
        """None: it cannot be read."""
        try:
            return (await self.gateway.look(row, Wants(tail=True))).tail
        except errors.GatewayError:
            return None

    def _note_answer(self, incident: Incident, row: Session) -> Incident:
        """Who was asked, or had been waiting, has been answered: that is what the deed was for."""
        last = last_done(incident)
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
        return replace(incident, attempts=(*others(incident, last), proven))

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
        if not self.ledger.quarantines(self.gateway.name):
            return
        self.ledger.read_anew()  # guard: shares: what was released is not released again
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


_OWED_AGAIN = timedelta(minutes=10)
"""How long an opened message that was owed counts as owed."""
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
    coming = foresee(current, replace(incident, attempts=(*others(incident, settled), settled)))
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


def _kept_as(incident: Incident, judged: Mapping[str, Judged]) -> str | None:
    """The key under which a recovery of this incident goes on, whether or not its run came to anything."""
    found = (_successor_of(attempt, incident.session, judged) for attempt in incident.attempts)
    return next((current.session.key for current in found if current is not None), None)


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
