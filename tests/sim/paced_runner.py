"""The daemon's own runner, which leaves out passes that could not see anything new.

A pass is left out only if it would be made over the same world as the one before: nothing has happened since (not one
event of the world's agenda), the wire is clean, nothing is in flight, and the last pass said itself that nothing changes
before ``next_due``. What it would have noted, the time of its look and of the answer, is noted. ``test_pacing`` holds this against the
plain runner: the same deeds and messages, within a
second (the runner's shortest pause is a fifth of one).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from openclaw_simulator.world import World
from watchdog.core.blockers import BlockerName
from watchdog.core.model import Moment
from watchdog.core.verdict import Verdict
from watchdog.daemon.runner import Runner
from watchdog.service.observer import is_tracked
from watchdog.service.pass_report import PassReport
from watchdog.service.plan import Action, Decision

TIMELESS = frozenset({"StoppedOnPurpose", "ChildRowsRunning", "SubagentActive", "PlacedElsewhere"})
"""Reasons to wait that do not end by the mere passing of time."""
ENDED_BY_OTHERS = frozenset(
    {
        BlockerName.REQUESTER_UNKNOWN,
        BlockerName.STOPPED_BY_PERSON,
        BlockerName.SESSION_LOCKED,
        BlockerName.WORK_FINISHED,
        BlockerName.AMBIGUOUS_SESSION,
        BlockerName.QUARANTINED,
    }
)
"""Blockers without a known end that only an event of the world, or the watchdog itself, can end."""


@dataclass(slots=True)
class SkippingRunner(Runner):
    """See the module's docstring. ``world`` None: make every pass."""

    world: World | None = None
    is_clear: Callable[[], bool] = field(default=lambda: True)
    """No fault is in effect."""
    troubled_after: Callable[[], float] = field(default=lambda: math.inf)
    """Seconds until something is the matter of which the agenda does not know."""
    note_answer: Callable[[Moment], None] = field(default=lambda _at: None)
    """Told when the gateway would last have answered a pass that is left out."""
    passes: int = 0
    _happened: int = -1

    async def _pass(self) -> PassReport | None:
        self.passes += 1
        if self.world is not None:
            self._happened = self.world.agenda.happened
        return await Runner._pass(self)

    async def _wait(self, report: PassReport | None, begun_at: Moment) -> None:
        await Runner._wait(self, report, begun_at)
        if report is not None and self.world is not None:
            await self._skip(report, self.world)

    async def _skip(self, report: PassReport, world: World) -> None:
        agenda, poll = world.agenda, self.poll_every.total_seconds()
        if agenda.happened != self._happened or not self.is_clear() or not _is_settled(report):
            return
        now = self.clock.now()
        nothing_until = self.troubled_after()
        if (event := agenda.next_at()) is not None:
            nothing_until = (event - agenda.now_ms) / 1000
        if report.next_due is not None:
            nothing_until = min(nothing_until, report.next_due.monotonic - now.monotonic)
        if nothing_until == math.inf:
            return
        left_out = math.ceil(nothing_until / poll)  # at 0, 1, ... polls from now, each before anything is new
        if left_out < 1:
            return
        await self._let_pass((left_out - 1) * poll)
        self.watch.trust.begin_pass(self.clock.now())
        if left_out > 1:
            self.note_answer(self.clock.now())
        # The last one would have waited for what is due, as ``Runner`` does.
        due = report.next_due.monotonic - self.clock.now().monotonic if report.next_due is not None else poll
        await self._let_pass(min(poll, max(due, 0.2)))

    async def _let_pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _is_settled(report: PassReport) -> bool:
    """Time alone changes nothing before ``next_due``."""
    if not report.is_good or report.in_flight or report.deeds or not report.is_complete or report.malformed:
        return False
    return all(
        item.judgement.reason in TIMELESS
        for item in report.judged
        if item.judgement.verdict is Verdict.WAITING and is_tracked(item.session)
    ) and all(_is_timed(decision) for decision in report.decisions)


def _is_timed(decision: Decision) -> bool:
    """What holds it ends at a known moment, or never by itself. Nothing is done of a stuck session whose requester was asked."""
    if decision.action is Action.NOTHING:
        return decision.step is None and decision.requester is not None
    return decision.action is Action.HOLD and all(
        blocker.until is not None or blocker.name in ENDED_BY_OTHERS for blocker in decision.blockers
    )
