"""The daemon: start, watch, reload, drain, stop.

Order of a start: open the ledger and settle what an earlier life left open, before the first look at a gateway. Order
of a stop: no new passes, the ones going finish (they may be about to record a deed), then connections and ledger close.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from random import Random

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from watchdog import __version__
from watchdog.daemon.assembly import Parts
from watchdog.daemon.runner import Runner
from watchdog.service.events import Event
from watchdog.service.watch import PassReport

DRAIN_LIMIT = 60.0
"""Seconds a pass may take to finish after SIGTERM; a deed's answer is waited for at most 15 s."""


@dataclass(slots=True)
class Daemon:
    """See the module's docstring. ``seed`` makes every retry and jitter repeatable."""

    parts: Parts
    seed: int | None = None
    _runners: list[Runner] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _why: str = "asked to stop"

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT; 0 after an orderly stop."""
        parts = self.parts
        self._heed_signals()
        left = parts.ledger.settle_start_up(parts.clock.now().wall)
        parts.log.event(
            Event.DAEMON_STARTED,
            version=__version__,
            pid=os.getpid(),
            gateways=[watch.gateway.name for watch in parts.watches],
            mode="observe" if parts.is_observing else "recover",
            unsettled_attempts=len(left),
        )
        scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        rng = Random(self.seed)
        for watch in parts.watches:
            runner = Runner(watch, parts.poll_every, parts.clock, parts.log, Random(rng.random()), self._after_pass)
            self._runners.append(runner)
            scheduler.add_job(runner.ring, "interval", seconds=parts.poll_every.total_seconds())
        scheduler.start()
        parts.supervisor.ready()
        tasks = [asyncio.create_task(runner.run(), name=runner.watch.gateway.name) for runner in self._runners]
        tasks += [asyncio.create_task(job(), name="side job") for job in parts.side_jobs]
        try:
            await self._until_stopped(tasks)
        finally:
            parts.supervisor.stopping()
            parts.log.event(Event.DAEMON_STOPPING, reason=self._why)
            scheduler.shutdown(wait=False)
            await self._drain(tasks)
            parts.close()
            parts.log.event(Event.DAEMON_STOPPED)
        return 0

    async def _until_stopped(self, tasks: list[asyncio.Task[None]]) -> None:
        waiter = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait({waiter, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiter}:
                # A runner only ends by itself through a defect: better to die loudly and be restarted.
                self._why = f"{task.get_name()} ended"
                task.result()
        finally:
            waiter.cancel()

    async def _drain(self, tasks: list[asyncio.Task[None]]) -> None:
        for runner in self._runners:
            runner.stop()
        side = tasks[len(self._runners) :]
        for task in side:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_LIMIT):
                await asyncio.gather(*tasks[: len(self._runners)], return_exceptions=True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _after_pass(self, report: PassReport) -> None:
        parts = self.parts
        if report.is_good:
            parts.meter.cycle_completed(report.at.wall)
            parts.supervisor.watchdog_ping()
        await parts.after_pass(report)

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask_to_stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _ask_to_stop(self, why: str) -> None:
        self._why = why
        self._stop.set()

    def _reload(self) -> None:
        self.parts.reload()
