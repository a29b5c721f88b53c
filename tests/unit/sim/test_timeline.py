"""Virtual time: what waits costs nothing, and the two clocks of a host go as they do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.world import World
from tests.sim.episodes import BEGINNING
from tests.sim.timeline import HostClock, Stalled, Timeline, VirtualLoop


def _timeline() -> Timeline:
    return Timeline(World(PROFILES["2026.9.6"], BEGINNING))


def _run(timeline: Timeline, what: Coroutine[Any, Any, None]) -> None:
    loop = VirtualLoop(timeline)
    try:
        loop.run_until_complete(what)
    finally:
        loop.close()


def test_things_happen_in_their_order_whoever_waits_for_them() -> None:
    timeline, seen = _timeline(), list[str]()
    timeline.world.agenda.outside(3600, seen.append, "world, after an hour")

    async def waits() -> None:
        await asyncio.sleep(1800)
        seen.append("we, after half an hour")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7200):
                await asyncio.Event().wait()
        seen.append("we, after two hours more")

    _run(timeline, waits())
    assert seen == ["we, after half an hour", "world, after an hour", "we, after two hours more"]
    assert timeline.world.now == BEGINNING + timedelta(hours=2.5)


def test_a_host_asleep_stops_the_monotonic_clock_and_not_the_wall() -> None:
    timeline = _timeline()
    clock = HostClock(timeline)
    timeline.world.agenda.outside(60, timeline.sleep_host, 3600)

    async def waits() -> None:
        before = clock.now()
        await clock.sleep(120)
        after = clock.now()
        assert after.since(before) == timedelta(seconds=120)
        assert after.wall - before.wall == timedelta(seconds=3720)

    _run(timeline, waits())


def test_to_wait_for_what_never_comes_is_said() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        _run(_timeline(), waits())
