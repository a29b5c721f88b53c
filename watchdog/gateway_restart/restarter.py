"""Restarts one gateway through its supervisor when ``decision.decide`` says so, and finds out whether that helped.

Order: counted in the ledger, then asked of the supervisor, then believed only when the gateway answers a later look. What
is found begun and not settled (this program died in between) is never asked again, only looked at. Nothing here waits in
a pass: ``note`` takes what a pass saw and returns at once; ``act`` is awaited beside the passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from watchdog.core.blockers import Blocker
from watchdog.core.model import GatewayPhase, Moment
from watchdog.core.spans import span_words
from watchdog.gateway_restart.decision import (
    HELPS_WITHIN,
    GatewayCondition,
    HoldName,
    Outage,
    RestartChoice,
    RestartContext,
    RestartDecision,
    Rule,
    Supervision,
    decide,
    observe,
)
from watchdog.service import announcements
from watchdog.service.errors import LedgerError
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Ledger
from watchdog.service.pass_report import PassReport
from watchdog.service.ports import Clock
from watchdog.service.restart_record import WINDOW, Restart, RestartOutcome, RestartRecord


@dataclass(frozen=True, slots=True)
class SupervisorAnswer:
    """What came of asking the supervisor. ``is_refused`` None: it did not say in time, only the gateway can tell.

    ``status`` is ours and goes to people; ``said`` holds a few words of a program's output, for the log alone."""

    is_refused: bool | None
    status: str = ""
    said: str = ""


class GatewayService(Protocol):
    """The supervisor of one gateway. Neither method raises for what the outside does, nor blocks the event loop."""

    async def look(self, now: Moment) -> Supervision: ...

    async def restart(self) -> SupervisorAnswer:
        """Once."""
        ...


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the daemon knows at the end of a pass. ``ledger_problem``: why the real ledger is out of use, or None.
    ``outside_hours``: what holds a deed at a moment; asked anew before each restart, which the supervisor's answer may delay."""

    is_observing: bool = False
    ledger_problem: str | None = None
    process_started_at: datetime | None = None
    outside_hours: Callable[[Moment], Blocker | None] = lambda _at: None


@dataclass(slots=True)
class Restarter:
    """One rule for one gateway. ``stall_after``: time between two passes that counts as not having looked."""

    rule: Rule
    service: GatewayService
    record: RestartRecord
    ledger: Ledger
    clock: Clock
    log: Log
    stall_after: timedelta
    is_withdrawn: bool = False
    """The configuration has changed since: nothing more may be begun."""
    _outage: Outage | None = field(init=False, default=None)
    _circumstances: Circumstances = field(init=False, default=Circumstances())
    _was_reached: bool = field(init=False, default=False)
    _own: list[Moment] = field(init=False, default_factory=list)
    _is_acting: bool = field(init=False, default=False)
    _has_open_matters: bool = field(init=False, default=True)
    """The ledger may hold restarts of an outage that is not over: surely after a start, until a look shows otherwise."""
    _said: frozenset[HoldName] = field(init=False, default=frozenset())
    _is_left_alone: bool = field(init=False, default=False)

    @property
    def _name(self) -> str:
        return self.rule.gateway

    def take_memory(self, before: Restarter, *, is_same_place: bool) -> None:
        """Go on with what was done under an earlier rule for the same gateway, and seen if it is where it was."""
        self._own = before._own
        if is_same_place:
            self._outage, self._was_reached = before._outage, before._was_reached

    # ---------------------------------------------------------------- after every pass

    def note(self, report: PassReport, circumstances: Circumstances) -> bool:
        """Take what a pass saw; True when ``act`` is wanted. Never raises for a ledger that is out."""
        if report.phase is GatewayPhase.UNKNOWN:
            return (
                False  # nobody looked; when somebody does again, the time in between proves nothing (``stall_after``)
            )
        before, self._circumstances = self._outage, circumstances
        self._outage = observe(before, report, self.stall_after)
        try:
            if self._outage is None:
                self._was_reached = True
                self._note_life(before, report.at)
                return False
            self._note_no_help(self._outage)
            decision = self._decide(self._outage)
            self._say(self._outage, decision)
        except LedgerError:
            return False
        return decision.choice is RestartChoice.LOOK and not self._is_acting

    def _decide(self, outage: Outage, supervision: Supervision | None = None) -> RestartDecision:
        return decide(self.rule, outage, self._standing(), supervision)

    def _standing(self) -> RestartContext:
        now, at_hand = self.clock.now(), self._circumstances
        born = at_hand.process_started_at
        problem = at_hand.ledger_problem or self._ledger_problem(now.wall)
        closed = at_hand.outside_hours(now)  # guard: the hours are over by the time of the restart
        return RestartContext(
            now=now,
            restarts=() if problem is not None else self._restarts(now.wall),
            own=tuple(self._own),
            is_observing=at_hand.is_observing,
            paused=None if problem is not None else self._paused(now.wall),
            outside_hours=closed.message if closed is not None else None,
            ledger_problem=problem,
            process_age=now.wall - born if born is not None else None,
            was_reached=self._was_reached,
        )

    def _restarts(self, now: datetime) -> Sequence[Restart]:
        return self.record.restarts(self._name, now - WINDOW)

    def _ledger_problem(self, now: datetime) -> str | None:
        lost_at = self.ledger.lost_history_at
        if lost_at is not None and now - lost_at <= WINDOW:
            return f"The ledger was lost at {lost_at:%Y-%m-%d %H:%M}Z, so how often it was restarted is not known."
        return None

    def _paused(self, now: datetime) -> str | None:
        for pause in self.ledger.pauses(now):
            if pause.session is None and pause.gateway in (None, self._name):
                return pause.reason or "by an operator"
        return None

    # ---------------------------------------------------------------- did it help?

    def _note_life(self, before: Outage | None, at: Moment) -> None:
        self._said, self._is_left_alone = frozenset(), False
        if before is None and not self._has_open_matters:
            return
        restarts = self._restarts(at.wall)
        for restart in restarts:
            if restart.outcome is None:
                self._settle(restart, RestartOutcome.WORKED, before, restarts, None)
        if any(not restart.is_over for restart in restarts):
            self.record.close_outage(self._name, at.wall)
        self._has_open_matters = False

    def _note_no_help(self, outage: Outage) -> None:
        if self._is_acting or self._circumstances.ledger_problem is not None or outage.sight is GatewayCondition.SPEAKS:
            return  # while it starts nobody knows yet
        now = self.clock.now()
        restarts = self._restarts(now.wall)
        for restart in restarts:
            if restart.outcome is None and self._waited(restart, now) >= HELPS_WITHIN:
                why = f"It has not answered within {span_words(HELPS_WITHIN)} after that."
                self._settle(restart, RestartOutcome.DID_NOT_HELP, outage, restarts, why)

    def _waited(self, restart: Restart, now: Moment) -> timedelta:
        mine = [at for at in self._own if at.wall == restart.at]
        return now.since(mine[-1]) if mine else now.wall - restart.at

    def _settle(
        self,
        restart: Restart,
        outcome: RestartOutcome,
        outage: Outage | None,
        restarts: Sequence[Restart],
        why_not: str | None,
        detail: str = "",
    ) -> None:
        now, limit = self.clock.now().wall, self.rule.limit
        number = 1 + sum(one.id < restart.id and now - one.at <= limit.per for one in restarts)
        message = announcements.gateway_restarted(
            self._name,
            since=outage.since.wall if outage is not None else restart.at,
            now=now,
            how=restart.how,
            number=min(number, limit.attempts),
            limit=limit,
            why_not=why_not,
        )
        if self.record.settle(restart.id, outcome, now, [message]):
            self.log.event(
                Event.GATEWAY_RESTARTED if why_not is None else Event.GATEWAY_UNHEALTHY,
                gateway=self._name,
                reason=f"restarted by us through {restart.how}: {detail or why_not or 'it answers again'}",
                outcome=outcome.value,
                after_seconds=round((now - restart.at).total_seconds(), 1),
            )

    # ---------------------------------------------------------------- the deed

    async def act(self) -> None:
        """Ask the supervisor how the gateway is and, if that is no reason against it, to restart it."""
        if self._is_acting:
            return
        self._is_acting = True
        try:
            supervision = await self.service.look(self.clock.now())
            restart = self._begin(supervision)
            if restart is None:
                return
            answer = await self.service.restart()
            if answer.is_refused:
                restarts = self._restarts(restart.at)
                why = f"It was refused ({answer.status}); the log says more."
                self._settle(restart, RestartOutcome.FAILED, self._outage, restarts, why, answer.said)
        except LedgerError:
            return  # said by the passes; what was begun is settled by a later look
        finally:
            self._is_acting = False

    def _begin(self, supervision: Supervision) -> Restart | None:
        outage = self._outage
        if outage is None or self.is_withdrawn:
            return None
        decision = self._decide(outage, supervision)
        self._say(outage, decision)
        if decision.choice is not RestartChoice.RESTART or not self.ledger.is_writable():
            return None
        now = self.clock.now()
        restart = self.record.begin(self._name, now.wall, self.rule.how, self.rule.limit)
        if restart is None:
            return None
        self._own = [at for at in self._own if now.since(at) <= WINDOW] + [Moment(now.monotonic, restart.at)]
        self._has_open_matters = True
        self.log.event(
            Event.GATEWAY_UNHEALTHY,
            gateway=self._name,
            phase=outage.phase.value,
            reason=(
                f"restarting it through {self.rule.how}: {outage.phase.value} for "
                f"{span_words(now.since(outage.sick_since or outage.since))}, {outage.failures} looks in a row"
            ),
        )
        return restart

    # ---------------------------------------------------------------- saying

    def _say(self, outage: Outage, decision: RestartDecision) -> None:
        """Why a restart that is due is not made: a line when the reasons change, a message when they are final."""
        if decision.choice is not RestartChoice.HOLD or not decision.is_due:
            return
        if decision.names != self._said and HoldName.AWAITING_OUTCOME not in decision.names:
            self._said = decision.names
            reasons = " ".join(hold.message for hold in decision.holds)
            self.log.event(Event.GATEWAY_UNHEALTHY, gateway=self._name, reason=f"not restarted: {reasons}")
        if decision.leaves_alone and not self._is_left_alone:
            now = self.clock.now().wall
            here = [restart for restart in self._restarts(now) if not restart.is_over]
            is_in_vain = HoldName.USED_UP in decision.names and bool(here)
            message = announcements.gateway_left_alone(
                self._name,
                since=min([outage.since.wall, *(restart.at for restart in here)]),
                now=now,
                limit=self.rule.limit,
                why=None if is_in_vain else " ".join(hold.message for hold in decision.holds),
                matter=f"restart-{here[-1].id}" if here else None,
            )
            self.ledger.owe([message], now)
            self._is_left_alone = True
