"""A daemon that stops in the very moment in which a gateway is due says nothing of an error."""

from __future__ import annotations

import asyncio
from datetime import UTC

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tests.fakes.clock import START
from watchdog.daemon.loop import end_rings


@pytest.mark.parametrize("is_orderly", [True, False], ids=["ends its rings", "only shuts down"])
async def test_a_ring_that_is_under_way_comes_through(is_orderly: bool, caplog: pytest.LogCaptureFixture) -> None:
    rung, stopping = asyncio.Event(), asyncio.Event()

    async def ring() -> None:
        rung.set()

    async def told_to_stop() -> None:
        stopping.set()
        scheduler.resume()  # wakes up in the turn of the event loop in which the daemon goes on to stop

    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True})
    scheduler.start(paused=True)
    await asyncio.sleep(0)
    scheduler.add_job(ring, "interval", seconds=100, next_run_time=START.wall)
    await asyncio.sleep(0)
    task = asyncio.create_task(told_to_stop())
    await stopping.wait()
    if is_orderly:
        await end_rings(scheduler)
    else:
        scheduler.shutdown(wait=False)
    await task
    for _ in range(5):
        await asyncio.sleep(0)
    assert not scheduler.running
    said = [record.getMessage() for record in caplog.records if record.name == "apscheduler.executors.default"]
    assert bool(said) is not is_orderly
