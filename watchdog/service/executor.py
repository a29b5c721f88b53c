"""Carries out one decision: look again, commit the intent, claim it, send once, record what is known.

Invariant: the gateway is asked at most once per attempt, and only after the ledger holds the claim. Whatever happens
between claim and answer leaves the attempt ``started`` (a crash) or ``indeterminate`` (a lost answer); neither is ever
sent again. Whether a deed helped is not decided here but by later observations (``incidents``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from watchdog.core.blockers import Blocker, BlockerName
from watchdog.core.evidence import Truth, innocence_of, owner_of
from watchdog.core.model import GatewayFacts, Preflight, Session, TailKind, TranscriptTail
from watchdog.core.policy import Step
from watchdog.core.recovery import (
    ASKED,
    NEVER_CLAIMED,
    REFUSED_FOR_GOOD,
    Attempt,
    AttemptState,
    Refusal,
    counts,
    meaning_of_refusal,
    was_never_sent,
)
from watchdog.core.requester import Requester, RequesterKind, quoted_as
from watchdog.core.texts import (
    Interruption,
    ask_text,
    free_text,
    fresh_session_notice,
    handoff_note,
    resume_text,
)
from watchdog.core.tracking import RunIdentity
from watchdog.core.verdict import Verdict
from watchdog.service import announcements, errors
from watchdog.service.by_hand import note_sender
from watchdog.service.events import Event, Log
from watchdog.service.ledger import HandoffNote, Incident, Ledger, Message, Notes
from watchdog.service.observer import Judged, Observer, look_wants
from watchdog.service.plan import Action, Decision, PassContext, decide, interrupted_at, is_stalled_but_owned
from watchdog.service.ports import Clock, Deed, Gateway, Meter
from watchdog.service.tenure import Tenure


@dataclass(slots=True)
class Executor:
    """Acts on one gateway. One instance per watch; never two deeds at once."""

    gateway: Gateway
    observer: Observer
    ledger: Ledger
    notes: Notes
    clock: Clock
    log: Log
    meter: Meter
    tenure: Tenure | None = None
    """Where several replicas share the gateways: under which lease."""
    by_hand_of: str | None = None
    """Who has its deeds done, where a person's verb does them; None: the daemon does."""

    async def fence(self, decision: Decision, here: PassContext, facts: GatewayFacts) -> Decision:
        """Sign in for the deed, then look again: nothing but the ledger's writes lies between that look and the sending."""
        assert decision.step is not None
        try:
            await self.gateway.prepare(
                decision.step, decision.judged.session, route=decision.route, is_as_owner=decision.is_as_owner
            )
        except errors.ChannelDown as down:
            blocker = Blocker(BlockerName.CHANNEL_DOWN, str(down))
            return replace(decision, action=Action.HOLD, blockers=(blocker,))
        except (errors.ScopeRefused, errors.PairingRequired, errors.AuthenticationRefused) as refused:
            blocker = Blocker(BlockerName.SCOPE_MISSING, str(refused))
            return replace(decision, action=Action.HOLD, blockers=(blocker,))
        except errors.NotAGateway as problem:  # it let us in to look: what cannot be read is this sign-in alone
            blocker = Blocker(BlockerName.GATEWAY_UNTRUSTED, str(problem))
            return replace(decision, action=Action.HOLD, blockers=(blocker,))
        fresh = await self.look_again(decision, here, facts)  # guard: fence: look again at all
        is_same = (fresh.step, fresh.is_as_owner) == (decision.step, decision.is_as_owner)
        # guard: fence: signed in for what is done
        if fresh.action is Action.ACT and not (is_same and fresh.route == decision.route):
            # What we signed in for is not what is to be done: the next pass signs in for that.
            return replace(fresh, action=Action.NOTHING)
        return fresh

    async def look_again(self, decision: Decision, here: PassContext, facts: GatewayFacts) -> Decision:
        """The fence: a fresh, complete look; the same run, still without an owner, still nothing in the way.

        Returns the decision as the fresh look makes it; anything but ACT means: not now.
        """
        before = decision.judged
        snapshot = await self.gateway.list_sessions()  # guard: fence: everything is read
        here.trust.note_answer(snapshot.latency, clock_stepped=snapshot.gateway_clock_stepped)
        row = next((row for row in snapshot.sessions if row.key == before.session.key), None)
        if row is None or RunIdentity.of(row) != before.case.track.identity:
            return Decision(before, Action.NOTHING)
        look = await self.gateway.look(row, look_wants(facts))
        if _work_began(before.case.look.preflight, look.preflight):  # guard: fence: work has just begun
            return Decision(before, Action.NOTHING)
        fresh = self.observer.rejudge(row, look, before.policy, facts, snapshot)
        if not _still_so(fresh, decision.step):
            return Decision(fresh, Action.NOTHING)
        problem = await self.gateway.health_problem()
        context = replace(
            here, now=snapshot.answered_at, is_list_complete=snapshot.is_complete, gateway_problem=problem
        )
        # Last of all: while the gateway answered, the others of this process have read.
        self.ledger.read_anew()  # guard: shares: a deed is decided on what the ledger says now
        incident = self.ledger.incident(decision.incident.id) if decision.incident is not None else None
        if incident is not None and not incident.is_open:
            return Decision(fresh, Action.NOTHING)
        return decide(fresh, incident, context, self.gateway, self.ledger)

    async def act(self, decision: Decision, opened: Sequence[Message] = ()) -> Attempt | Blocker:
        """Carry out a fresh decision to act; the attempt as far as it got, or why nothing was sent. ``opened`` says that it is done
        now: owed with the claim, so neither is there without the other."""
        judged, step, incident = decision.judged, decision.step, decision.incident
        assert step is not None
        assert incident is not None
        assert decision.action is Action.ACT
        row, tail = judged.session, judged.case.look.tail
        now = self.clock.now().wall
        requester = decision.requester
        assert requester is not None
        number = max((attempt.number for attempt in incident.attempts), default=0) + 1
        if step.loses_context and (unsaved := self._save_note(incident, number, row, tail, now)) is not None:
            return unsaved
        for left in incident.attempts:  # guard: single: an intent that was never claimed gives its key back
            if left.state is AttemptState.PLANNED:  # the ledger was away then
                self._settle(incident, left, AttemptState.ABANDONED, NEVER_CLAIMED)
        attempt = self.ledger.plan_attempt(
            incident.id,
            step,
            now,
            before=RunIdentity.of(row),
            before_tail=tail.fingerprint if tail is not None else None,
            address=decision.route,
        )
        # guard: by hand: whose it is stands there before the claim
        if self.by_hand_of is not None:
            note_sender(self.ledger, attempt, self.by_hand_of)
        send_by = self.tenure.send_by(self.clock.now()) if self.tenure is not None else None
        if not self.ledger.claim_attempt(attempt.id, self.clock.now().wall, opened):
            self._settle(incident, attempt, AttemptState.ABANDONED, "NotClaimed")
            return Blocker(BlockerName.FOREIGN_DEED, "It could not be claimed: another deed on this run came first.")
        fields = self._fields(incident, attempt, row)
        self.log.event(Event.RECOVERY_STARTED, **fields, reason=judged.judgement.reason)
        self.meter.attempt(self.gateway.name, step.value, AttemptState.STARTED.value)
        deed = replace(self._deed(incident, attempt, decision, requester), send_by=send_by)
        await self._send(incident, attempt, deed, fields)
        return attempt

    async def _send(self, incident: Incident, attempt: Attempt, deed: Deed, fields: dict[str, object]) -> None:
        try:
            receipt = await self.gateway.perform(deed)
        except errors.OutcomeUnknown as unclear:
            self._settle(incident, attempt, AttemptState.INDETERMINATE, "AnswerLost")
            self.log.event(Event.RECOVERY_INDETERMINATE, **fields, reason=str(unclear))
            return
        except errors.GatewayError as refused:
            # Every other error is raised before the request left, or is the gateway's own "no".
            meaning = refusal_of(refused)
            if attempt.step is Step.ASK and isinstance(refused, errors.RequestRefused):
                # If a message cannot reach this person, no harsher step will: stop the ladder.
                self.ledger.note_delivery(attempt.id, delivered=False)
                meaning = Refusal.STOP
            reason = REFUSED_FOR_GOOD if meaning is Refusal.STOP else type(refused).__name__
            words = words_of(refused)
            is_refusal = words is not None and meaning is Refusal.TRY_LATER
            # guard: no refusal is free for ever
            is_paid = is_refusal and counts(attempt, incident.attempts, says_retryable=says_retryable(refused))
            state = self._settle(
                incident,
                attempt,
                AttemptState.REFUSED,
                reason,
                words=words,
                is_retryable=meaning is Refusal.TRY_LATER,
                is_refunded=not is_paid,
                messages=_told_as_never_sent(incident, attempt, reason, self.clock.now().wall)
                if words is None and meaning is Refusal.TRY_LATER
                else (),
            )
            is_noted = state is AttemptState.REFUSED
            event = Event.RECOVERY_REFUSED if is_noted else Event.RECOVERY_INDETERMINATE
            self.log.event(event, **fields, reason=str(refused))
            return
        if receipt.run_id is not None:
            self.ledger.note_run(attempt.id, receipt.run_id)
        if receipt.delivered is not None:
            self.ledger.note_delivery(attempt.id, receipt.delivered)
        if attempt.step is Step.ASK:
            # All of the deed is done. Whether it helped, the requester's next run shows.
            self._settle(incident, attempt, AttemptState.SUCCEEDED, ASKED)

    def _settle(
        self,
        incident: Incident,
        attempt: Attempt,
        to: AttemptState,
        reason: str,
        *,
        words: str | None = None,
        is_retryable: bool = False,
        is_refunded: bool = True,
        messages: Sequence[Message] = (),
    ) -> AttemptState:
        """As what it counts now: what somebody else has settled meanwhile, as unclear, is charged and looked at, whatever was
        answered to us."""
        is_settled = self.ledger.settle_attempt(
            attempt.id,
            to,
            self.clock.now().wall,
            reason=reason,
            verified_by=words,
            is_retryable=is_retryable,
            is_refunded=is_refunded,
            messages=messages,
        )
        state = to if is_settled or to is AttemptState.ABANDONED else AttemptState.INDETERMINATE
        self.meter.attempt(incident.gateway, attempt.step.value, state.value)
        return state

    def _deed(self, incident: Incident, attempt: Attempt, decision: Decision, requester: Requester) -> Deed:
        judged = decision.judged
        row, tail, recovery = judged.session, judged.case.look.tail, judged.policy.recovery
        at = interrupted_at(row, tail)
        message = notice = None
        request = tail.request if tail is not None else None
        match attempt.step:
            case Step.RESUME:
                message = resume_text(
                    Interruption(
                        incident=incident.id,
                        number=attempt.number,
                        request=request,
                        interrupted_at=at,
                        author=quoted_as(requester, row),
                        was_in_tools=tail is not None and tail.kind in (TailKind.TOOL_CALL, TailKind.TOOL_RESULT),
                        lost_inputs=tail.lost_inputs if tail is not None else 0,
                    ),
                    recovery.conversation_texts,
                )
            case Step.ASK:
                message = ask_text(at, recovery.conversation_texts)
            case Step.FREE:
                message = free_text(incident.id, attempt.number, recovery.conversation_texts)
            case Step.NEW | Step.RESET:
                if requester.route is not None:
                    # What was answered, or stopped by its person, is not to be asked for again.
                    is_over = tail is not None and tail.kind in (TailKind.ANSWERED, TailKind.STOPPED)
                    quoted = request if requester.kind is RequesterKind.PERSON else None
                    notice = fresh_session_notice(quoted, at, recovery.conversation_texts, is_over=is_over)
            case Step.RECOVER | Step.ABORT | Step.NOTIFY:
                pass  # nothing is said
            case _:
                assert_never(attempt.step)
        return Deed(
            attempt.step,
            row,
            attempt.idempotency_key,
            message,
            notice,
            decision.route,
            decision.is_as_owner,
        )

    def _save_note(
        self, incident: Incident, number: int, row: Session, tail: TranscriptTail | None, now: datetime
    ) -> Blocker | None:
        """A step that loses context is only done once the note of what is lost lies safely. None: it does."""
        text = handoff_note(
            row.key,
            row.session_id,
            tail.asked if tail is not None else (),
            tail.request if tail is not None else None,
            tail.last_answer if tail is not None else None,
            incident.id,
            now,
        )
        try:
            path = self.notes.save(incident.id, number, text)
            self.ledger.add_note(HandoffNote(incident.id, path, now))
        except (errors.LedgerError, OSError) as problem:
            return Blocker(BlockerName.LEDGER_UNAVAILABLE, f"The handoff note could not be saved: {problem}")
        return None

    def _fields(self, incident: Incident, attempt: Attempt, row: Session) -> dict[str, object]:
        return {
            "gateway": self.gateway.name,
            "session": row.key,
            "session_id": row.session_id,
            "incident": incident.id,
            "attempt": attempt.number,
            "step": attempt.step.value,
        }


def _told_as_never_sent(incident: Incident, attempt: Attempt, reason: str, now: datetime) -> Sequence[Message]:
    """It costs the session nothing, whoever's fault it is, and is tried again; once is told that it does not come about."""
    # guard: what is never sent is told
    if sum(was_never_sent(one) for one in incident.attempts) != 1:
        return ()
    settled = replace(
        attempt, state=AttemptState.REFUSED, reason=reason, is_retryable=True, started_at=attempt.started_at or now
    )
    return [announcements.never_sent(replace(incident, attempts=(*incident.attempts, settled)), now=now)]


def _work_began(before: Preflight | None, now: Preflight | None) -> bool:
    """An idle gateway has just begun something: perhaps this session's next run, whose row lags up to 7 s behind (3.24
    to 5.18). The next pass knows."""
    return before is not None and now is not None and before.total_active == 0 and now.total_active > 0


def _still_so(fresh: Judged, step: Step | None) -> bool:
    """The fresh look says the same: dead without an excuse, or for ``abort`` alive without progress."""
    if step is Step.ABORT:
        return is_stalled_but_owned(fresh) and fresh.judgement.owner is Truth.TRUE
    evidence = fresh.judgement.evidence
    return (
        fresh.judgement.verdict is Verdict.STUCK
        and owner_of(evidence) is Truth.FALSE
        and innocence_of(evidence) is None
    )


def words_of(error: errors.GatewayError) -> str | None:
    """The gateway's own "no" to a deed; None: it gave none, and the deed never reached it or was refused for want of rights."""
    if isinstance(error, errors.RequestRefused):
        return f"{error.code}: {error.detail}"
    # guard: who answers a deed by being away refuses it
    return error.said if isinstance(error, errors.GatewayAway) else None


def says_retryable(error: errors.GatewayError) -> bool:
    """The gateway itself calls its refusal temporary."""
    return isinstance(error, errors.GatewayAway) or (isinstance(error, errors.RequestRefused) and error.says_retryable)


def refusal_of(error: errors.GatewayError) -> Refusal:
    """What a failed deed means for the ladder."""
    if isinstance(error, errors.RequestRefused):
        return meaning_of_refusal(error.code, error.detail, retryable=error.retryable)
    if isinstance(error, errors.UnknownMethod | errors.ScopeRefused):
        return Refusal.NEXT_RUNG
    return Refusal.TRY_LATER
