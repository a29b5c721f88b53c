"""The rhythm of one gateway: a pass at every interval, sooner when something is due, later when the gateway is away.

It sleeps on the monotonic clock, so that a step of the machine's own time makes no pass late. A pass is never cut in
the middle: ``stop`` lets the one that is going finish.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from watchdog.core.model import Moment
from watchdog.daemon.pass_slots import PassSlots
from watchdog.service import errors
from watchdog.service.events import Event, Log
from watchdog.service.pass_report import PassReport
from watchdog.service.poll_pace import SOONEST
from watchdog.service.ports import Clock
from watchdog.service.watch import Watch

AfterPass = Callable[[PassReport], Awaitable[None]]
OnLedgerFailure = Callable[[errors.LedgerError], Awaitable[None]]

_FIRST_RETRY = 1.0
_LAST_RETRY = 60.0


@dataclass(slots=True)
class Runner:
    """Runs passes of one watch until ``stop``. ``rng`` spreads retries; give each runner its own, seeded."""

    watch: Watch
    poll_every: timedelta
    clock: Clock
    log: Log
    rng: Random
    after_pass: AfterPass
    on_ledger_failure: OnLedgerFailure
    turns: PassSlots = field(default_factory=PassSlots)
    first_after: float = 0.0
    """Seconds until the first pass: many gateways do not all begin at once."""
    failures: int = 0
    last_finished_at: Moment = field(init=False)
    """When the last pass ended, however it ended."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _ledger_is_out: bool = False
    _defect: str | None = None
    """What ended the last pass, if it was what no pass should raise."""

    def __post_init__(self) -> None:
        self.last_finished_at = self.clock.now()

    def stop(self) -> None:
        """Let the pass that is going be the last one."""
        self._stopping.set()

    async def run(self) -> None:
        """Pass after pass. Returns after ``stop``, with the pass that was going finished."""
        try:
            if self.first_after:
                await self._sleep(self.first_after)
            while not self._stopping.is_set():
                async with self.turns.turn():
                    if self._stopping.is_set():
                        break  # while it waited: with hundreds that wait, a stop would take as many passes
                    begun_at = self.clock.now()
                    report = await self._pass()
                self.last_finished_at = self.clock.now()
                if report is not None:
                    await self.after_pass(report)
                await self._wait(report, begun_at)
        finally:
            await self.watch.gateway.close()

    async def _pass(self) -> PassReport | None:
        try:
            report = await self.watch.pass_once()
        except errors.LeaseLost as lost:
            self.failures += 1
            await self.on_ledger_failure(lost)  # whoever made this runner ends it
            return None
        except errors.LedgerError as problem:
            if not self._ledger_is_out:
                self.log.event(Event.LEDGER_UNAVAILABLE, gateway=self.watch.gateway.name, reason=str(problem))
            self._ledger_is_out = True
            self.failures += 1
            await self.on_ledger_failure(problem)
            return None
        # guard: wire: what one gateway brings out in us ends no other watch
        except Exception as defect:  # noqa: BLE001 - what one gateway says must not end the watch over the others
            return await self._give_up(defect)
        self._defect = None
        trouble = self.watch.ledger_problem
        if trouble is not None:
            if not self._ledger_is_out:
                self._ledger_is_out = True
                self.log.event(Event.LEDGER_UNAVAILABLE, gateway=self.watch.gateway.name, reason=trouble)
                await self.on_ledger_failure(errors.LedgerUnavailable(trouble))
        elif self._ledger_is_out:
            self.log.event(Event.LEDGER_RESTORED, gateway=self.watch.gateway.name)
            self._ledger_is_out = False
        self.failures = 0 if report.is_good else self.failures + 1
        return report

    async def _give_up(self, defect: Exception) -> PassReport | None:
        """Said when it is another than before. The connection is ended: what was read over it may be the matter."""
        self.failures += 1
        if (what := f"{type(defect).__name__} {defect}") != self._defect:
            self._defect = what
            self.log.event(Event.CYCLE_FAILED, gateway=self.watch.gateway.name, error=defect)
        with contextlib.suppress(Exception):
            await self.watch.gateway.close()
        with contextlib.suppress(errors.LedgerError):
            return self.watch.pass_failed(defect)
        return None

    async def _wait(self, report: PassReport | None, begun_at: Moment) -> None:
        await self._sleep(self._rest(report, begun_at))

    def _rest(self, report: PassReport | None, begun_at: Moment) -> float:
        """Seconds until the next pass."""
        if report is None or not report.is_good:
            return self.retry_after()
        now, pace = self.clock.now(), self.watch.pacer.pace
        # From beginning to beginning, so that many gateways stay as spread as they began; a slow one rests after its answer.
        rests_from = now if pace.is_slowed else begun_at
        wait = pace.interval - now.since(rests_from)
        if report.next_due is not None:
            # A due moment that has passed is looked at again only with the next poll: nothing changed by waiting.
            due = timedelta(seconds=report.next_due.monotonic - now.monotonic)
            wait = min(wait, max(due, pace.soonest))
        return max(wait.total_seconds(), SOONEST)

    def retry_after(self) -> float:
        """Seconds until the next try: doubling from 1 s up to the poll interval (at most 60 s), half of it jitter."""
        ceiling = min(self.poll_every.total_seconds(), _LAST_RETRY)
        step: float = min(ceiling, _FIRST_RETRY * 2 ** min(self.failures - 1, 10))
        return max(SOONEST, step * (0.5 + 0.5 * self.rng.random()))

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
