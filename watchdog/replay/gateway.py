"""A gateway that answers a watch out of a recording, one pass at a time, and never does anything.

What was asked at the time is answered as it was then; what was not asked is lent (``transcript_backfill``) or unknown.
How each session stands to the recorded world is in ``_Turn``; see the package's docstring for the three ways.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchdog.core.model import GatewayFacts, Look, Moment, ReplyAddress, Session, Snapshot, Status
from watchdog.core.policy import Step
from watchdog.core.tracking import RunIdentity
from watchdog.gateway.capabilities import step_problem_of
from watchdog.replay.passes import Done, Listing, Pass
from watchdog.replay.transcript_backfill import TranscriptBackfill
from watchdog.service import errors
from watchdog.service.ports import Deed, Disconnect, Receipt, Wants


@dataclass(slots=True)
class RecordedClock:
    """``ports.Clock`` that stands where the recording is; it only ever goes forward."""

    at: Moment

    def now(self) -> Moment:
        return self.at

    def set(self, at: Moment) -> None:
        self.at = max(self.at, at)

    async def sleep(self, seconds: float) -> None:
        """Nobody waits in a recording."""


class SessionCourse(StrEnum):
    """How a session's further course comes about."""

    RECORDED = "recorded"
    ASSUMED_RECOVERED = "assumed_recovered"
    """A would-be deed that was not done then: taken to have helped, until the recording shows another run."""
    HELD_BACK = "held_back"
    """A deed that was done then and not now: the row stays as it was before."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """Where a session left the recorded world: with which row, by what, when."""

    world: SessionCourse
    row: Session
    step: Step
    at: datetime


@dataclass(slots=True)
class ReplayedGateway:
    """``ports.Gateway`` over a recording. ``turn_to`` a pass before the watch does; ``leave`` it afterwards."""

    gateway_name: str
    clock: RecordedClock
    lender: TranscriptBackfill
    own_marks: frozenset[str] = frozenset()
    """``<incident>/<number>`` of the recorded daemon's own deeds: not another watchdog's."""
    mark_here: Callable[[str], str | None] = lambda _mark: None
    """What such a deed is called in this replay; None: it is not done in it."""
    lent: int = 0
    """How many looks were lent."""
    unknown: int = 0
    """How many could not be."""
    _pass: Pass | None = None
    _facts: GatewayFacts | None = None
    _listed: int = 0
    _asked: dict[tuple[str, Wants], int] = field(default_factory=lambda: defaultdict(int))
    _health: int = 0
    _done: list[Done] = field(default_factory=list)
    _turns: dict[str, _Turn] = field(default_factory=dict)
    _scopes: dict[Step, str | None] = field(default_factory=dict)
    worlds: dict[str, set[SessionCourse]] = field(default_factory=lambda: defaultdict(set))
    """Every way in which a session's course has left the recorded one."""

    # ---------------------------------------------------------------- the recording's side

    def turn_to(self, one: Pass, *, is_new_life: bool) -> None:
        self._pass = one
        self._listed = self._health = 0
        self._asked.clear()
        self._done = []
        self._scopes.update(one.scopes)
        if is_new_life:
            self._facts = None
            self.clock.at = one.began  # another boot of the machine may have begun its clock afresh
        self.clock.set(one.began)

    def leave(self) -> None:
        """The watch is through with the pass: whom did the recorded daemon help that we did not?"""
        assert self._pass is not None
        for deed in self._pass.deeds:
            was_sent = deed.error is None or isinstance(deed.error, errors.OutcomeUnknown)
            if deed in self._done or not was_sent or deed.session in self._turns:
                continue
            row = next(
                (row for listing in self._pass.lists for row in listing.sessions if row.key == deed.session), None
            )
            if row is not None:
                self._turn(SessionCourse.HELD_BACK, row, deed.step)

    def world_of(self, key: str) -> SessionCourse:
        turn = self._turns.get(key)
        return turn.world if turn is not None else SessionCourse.RECORDED

    @property
    def follows_the_recording(self) -> bool:
        """No session's course is assumed or held back now."""
        return not self._turns

    def _turn(self, world: SessionCourse, row: Session, step: Step) -> None:
        self._turns[row.key] = _Turn(world, row, step, self.clock.now().wall)
        self.worlds[row.key].add(world)

    @property
    def _now(self) -> Pass:
        assert self._pass is not None
        return self._pass

    # ---------------------------------------------------------------- ports.Gateway

    @property
    def name(self) -> str:
        return self.gateway_name

    async def connect(self) -> GatewayFacts:
        one = self._now
        if one.refused is not None:
            self._facts = None
            raise one.refused
        if one.facts is None:
            raise errors.GatewayUnreachable(f"{self.name}: the recording does not say who answered.")
        if one.connected_at is not None:
            self.clock.set(one.connected_at)
        if self._facts != one.facts or one.connected_at is not None:
            self._facts = replace(one.facts)  # a new object is a new connection to whoever compares
        assert self._facts is not None
        return self._facts

    def pop_disconnect(self) -> Disconnect | None:
        return self._now.loss

    async def list_sessions(self, always_read: Collection[str] | None = None, *, sweep: bool = False) -> Snapshot:
        del always_read, sweep  # what was read then is what there is
        lists = self._now.lists
        if not lists:
            raise errors.GatewayUnresponsive(f"{self.name}: the sessions were not listed in this pass.")
        number, self._listed = self._listed, self._listed + 1
        if number < len(lists):
            listing = lists[number]
            if listing.error is not None:
                raise listing.error
            self.clock.set(listing.answered_at)
        else:
            # A last look that nobody took at the time: the list of this pass, once more.
            listing = next((one for one in reversed(lists) if one.error is None), lists[-1])
            if listing.error is not None:
                raise listing.error
            listing = replace(listing, asked_at=self.clock.now(), answered_at=self.clock.now())
        return Snapshot(
            asked_at=listing.asked_at,
            answered_at=listing.answered_at,
            sessions=self._sessions(listing),
            is_complete=listing.is_complete,
            malformed=listing.malformed,
            gateway_clock_stepped=listing.has_stepped,
            is_sweep=listing.is_sweep,
            slowest_answer=listing.slowest,
        )

    def _sessions(self, listing: Listing) -> tuple[Session, ...]:
        if not self._turns:
            return listing.sessions
        if listing.is_complete:
            present = {row.key for row in listing.sessions}
            self._turns = {key: turn for key, turn in self._turns.items() if key in present}
        return tuple(self._row(row) for row in listing.sessions)

    def _row(self, row: Session) -> Session:
        turn = self._turns.get(row.key)
        if turn is None:
            return row
        if turn.world is SessionCourse.HELD_BACK:
            return turn.row
        if RunIdentity.of(row) != RunIdentity.of(turn.row):
            del self._turns[row.key]
            return row
        return _as_recovered(row, turn.step, turn.at)

    async def look(self, session: Session, wants: Wants) -> Look:
        made = self._now.looks.get(session.key, ())
        if self.world_of(session.key) is SessionCourse.RECORDED:
            same = [one for one in made if one.wants == wants]
            number = self._asked[session.key, wants]
            self._asked[session.key, wants] += 1
            if number < len(same):
                answer = same[number]
                if answer.error is not None:
                    raise answer.error
                return self._marked(answer.look or Look())
        return self._marked(self._composed(session, wants))

    def _composed(self, session: Session, wants: Wants) -> Look:
        """What was not asked for at the time, put together from what was."""
        is_followed = self.world_of(session.key) is SessionCourse.RECORDED
        here = [one.look for one in self._now.looks.get(session.key, ()) if one.look is not None]
        look = Look()
        if wants.lock and is_followed:
            look = replace(look, lock=next((one.lock for one in reversed(here) if one.lock is not None), None))
        if wants.preflight:
            counts = [
                one.look.preflight
                for looks in self._now.looks.values()
                for one in looks
                if one.look is not None and one.look.preflight is not None
            ]
            look = replace(look, preflight=counts[-1] if counts else None)
        if not (wants.tail or wants.pending or wants.abort_probe):
            return look
        closer = self._closer(session, here if is_followed else [])
        if closer is None:
            self.unknown += session.status is Status.RUNNING
            return replace(look, problems=("chat.history: not recorded at this time",)) if wants.tail else look
        return replace(
            look,
            tail=closer.tail if wants.tail else None,
            rights=closer.rights if wants.people else (),
            chat_accounts=closer.chat_accounts if wants.people else None,
            will_redeliver=wants.people and closer.will_redeliver,
            abort_probe_unauthorized=closer.abort_probe_unauthorized if wants.abort_probe else None,
            pending_approvals=closer.pending_approvals if wants.pending else None,
            pending_questions=closer.pending_questions if wants.pending else None,
            is_waiting_unread=wants.pending and closer.is_waiting_unread,
            cron_run_ended=closer.cron_run_ended if wants.pending else None,
        )

    def _closer(self, session: Session, here: list[Look]) -> Look | None:
        known = next((one for one in reversed(here) if one.tail is not None), None)
        if known is not None:
            return known
        turn = self._turns.get(session.key)
        if turn is not None:
            return self.lender.last_before(session, turn.at)
        lent = self.lender.closer_look(session, self.clock.now().wall)
        self.lent += lent is not None
        return lent

    def _marked(self, look: Look) -> Look:
        tail = look.tail
        if look.preflight is not None:  # what was recorded when it changed is answered anew
            look = replace(look, preflight=replace(look.preflight, asked_at=self.clock.now()))
        if tail is None or tail.deed_mark is None or tail.deed_mark not in self.own_marks:
            return look
        return replace(look, tail=replace(tail, deed_mark=self.mark_here(tail.deed_mark)))

    def step_problem(self, step: Step, session: Session) -> str | None:
        return step_problem_of(self._facts.methods if self._facts is not None else frozenset(), step, session)

    def want(self, steps: frozenset[Step]) -> None:
        """What was granted then is in the recording."""

    def missing_scope(self, step: Step) -> str | None:
        return self._scopes.get(step)

    def may_act_as_admin(self) -> bool:
        """As far as the recording tells: nothing was said to be missing for the steps that need admin."""
        return all(self._scopes.get(step) is None for step in (Step.NEW, Step.RESET))

    async def prepare(
        self,
        step: Step,
        session: Session,
        *,
        route: ReplyAddress | None = None,  # noqa: ARG002 - nothing is said to anybody
        is_as_owner: bool = False,  # noqa: ARG002
    ) -> None:
        for one in self._now.signed_in:
            if (one.step, one.session) == (step, session.key) and one.error is not None:
                raise one.error

    async def perform(self, deed: Deed) -> Receipt:
        """Nothing is sent. What was done then in this pass is answered as it was then."""
        key = deed.session.key
        counterpart = next((one for one in self._now.deeds if (one.step, one.session) == (deed.step, key)), None)
        if counterpart is not None and self.world_of(key) is SessionCourse.RECORDED:
            self._done.append(counterpart)
            if counterpart.error is not None:
                raise counterpart.error
            return Receipt(counterpart.run_id, "as recorded")
        self._turn(SessionCourse.ASSUMED_RECOVERED, deed.session, deed.step)
        return Receipt(None, "assumed")

    async def delivered(self, run_id: str) -> bool | None:
        return self._now.delivered.get(run_id)

    async def health_problem(self) -> str | None:
        number, self._health = self._health, self._health + 1
        answer = self._now.health[number] if number < len(self._now.health) else None
        if isinstance(answer, errors.GatewayError):
            raise answer
        return answer

    async def close(self) -> None:
        """There is nothing to close."""


def _as_recovered(row: Session, step: Step, at: datetime) -> Session:
    """The row as the step leaves it when it helps."""
    ended = {
        Step.NEW: Status.ABSENT,
        Step.RESET: Status.ABSENT,
        Step.ABORT: Status.KILLED,
    }.get(step, Status.DONE)
    return replace(
        row,
        status=ended,
        started_at=at + timedelta(seconds=1) if ended is not Status.ABSENT else None,
        has_active_run=False,
        active_run_ids=None,
        aborted_last_run=None,
        restart_recovery_status=None,
    )
