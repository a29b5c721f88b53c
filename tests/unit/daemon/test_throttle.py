"""What is wanted after every pass is done at most once a second, and never forgotten."""

from __future__ import annotations

import asyncio

from tests.unit.daemon.virtual import VirtualLoop
from watchdog.daemon.throttle import MOST_REST, Throttle


def _done_at(wanted_at: list[float], *, close_at: float | None = None, until: float = 10.0) -> list[float]:
    """When it was done, if it is wanted at these times."""
    loop, done = VirtualLoop(), list[float]()
    seldom = Throttle(lambda: done.append(round(loop.time(), 3)), every=1.0)

    async def live() -> None:
        for at in wanted_at:
            loop.call_at(at, seldom.wanted)
        if close_at is not None:
            loop.call_at(close_at, seldom.close)
        await asyncio.sleep(until)

    loop.run(live())
    return done


def test_what_is_wanted_after_a_pause_is_done_at_once() -> None:
    assert _done_at([0.5, 3.0, 7.25]) == [0.5, 3.0, 7.25]


def test_a_crowd_is_served_once_a_second_and_once_after_the_last() -> None:
    assert _done_at([2.0 + number / 100 for number in range(150)]) == [2.0, 3.0, 4.0]


def test_one_want_that_comes_too_early_is_kept() -> None:
    assert _done_at([2.0, 2.4]) == [2.0, 3.0]


def test_what_takes_long_is_done_seldom() -> None:
    """A question to a slow server keeps the whole loop waiting: it gets a tenth of the time."""
    loop, done = VirtualLoop(), list[float]()

    def ask() -> None:
        done.append(round(loop.time(), 3))
        loop.advance(0.5)

    seldom = Throttle(ask)

    async def live() -> None:
        for number in range(200):
            loop.call_at(number / 10, seldom.wanted)
        await asyncio.sleep(20.0)

    loop.run(live())
    assert done == [0.0, 5.5, 11.0, 16.5]


def test_who_stood_still_goes_on_soon() -> None:
    """systemd's watchdog is pinged by what is done."""
    loop, done = VirtualLoop(), list[float]()

    def stands_still() -> None:
        done.append(round(loop.time()))
        if len(done) == 1:
            loop.advance(100)

    seldom = Throttle(stands_still)

    async def live() -> None:
        for number in range(300):
            loop.call_at(float(number), seldom.wanted)
        await asyncio.sleep(300)

    loop.run(live())
    assert done[1] - 100 <= MOST_REST + 1


def test_nothing_is_done_after_the_end() -> None:
    assert _done_at([2.0, 2.4], close_at=2.5) == [2.0]
