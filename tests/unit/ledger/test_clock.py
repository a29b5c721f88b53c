from __future__ import annotations

from datetime import timedelta

from watchdog.adapters.clock import SystemClock
from watchdog.service import ports


async def test_both_clocks_go_forward_and_the_wall_is_aware() -> None:
    clock: ports.Clock = SystemClock()
    first = clock.now()
    await clock.sleep(0)
    second = clock.now()
    assert second.monotonic >= first.monotonic
    assert second.wall.utcoffset() == timedelta(0)
    assert second.since(first) < timedelta(seconds=30)
