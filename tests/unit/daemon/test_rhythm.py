"""When passes begin, in virtual time: at the moment something is due, rarely while a gateway is slow, never in a crowd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from statistics import median, quantiles
from typing import Any

import pytest

from tests.fakes.builders import dead, lenient, vague
from tests.fakes.clock import START, ManualClock
from tests.fakes.world import POLL, World
from tests.unit.daemon.virtual import VirtualLoop
from watchdog.core.model import Moment
from watchdog.core.policy import PolicyBook, Step
from watchdog.daemon.pass_slots import AT_ONCE, PassSlots, first_after
from watchdog.daemon.runner import Runner
from watchdog.service import errors
from watchdog.service.events import Event
from watchdog.service.ledger import MessageKind
from watchdog.service.pass_report import PassReport
from watchdog.service.poll_pace import SLOWEST

KEY = "agent:main:irc:direct:alice"


class LoopClock(ManualClock):
    """The loop's time, on both clocks."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.waited = 0.0

    def now(self) -> Moment:
        return START.plus(timedelta(seconds=self.loop.time() + self.waited))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def advance(self, span: timedelta | float) -> Moment:
        """Time a call took: the loop catches up after it."""
        self.waited += span.total_seconds() if isinstance(span, timedelta) else span
        return self.now()


@dataclass
class Place:
    """A watch and its runner, in virtual time."""

    book: PolicyBook = field(default_factory=PolicyBook)
    latency: float = 0.02
    loop: VirtualLoop = field(default_factory=VirtualLoop)
    reports: list[PassReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = LoopClock(self.loop)
        self.world = World(book=self.book, clock=self.clock)
        self.world.gateway.latency = self.latency
        self.runner = Runner(
            self.world.watch, POLL, self.clock, self.world.log, Random(1), self._after, self._ledger_failed
        )

    async def _after(self, report: PassReport) -> None:
        self.reports.append(report)
        behind, self.clock.waited = self.clock.waited, 0.0
        await asyncio.sleep(behind)

    async def _ledger_failed(self, problem: errors.LedgerError) -> None:
        raise AssertionError(str(problem))

    def live(self, seconds: float, *events: tuple[float, Callable[[], object]]) -> None:
        """So long, with things happening at their seconds."""

        async def life() -> None:
            task = asyncio.create_task(self.runner.run())
            for at, event in events:
                self.loop.call_later(at, event)
            await asyncio.sleep(seconds)
            self.runner.stop()
            await task

        self.loop.run(life())

    def passes(self) -> list[float]:
        """When each pass was answered, in seconds from the start."""
        return [report.at.since(START).total_seconds() for report in self.reports]


# ---------------------------------------------------------------- at the moment, not at the next tick


def _delay(seed: int, make: Callable[..., Any]) -> float:
    """From the first moment at which a deed was allowed to its sending, for a session found dead at some moment."""
    place = Place(book=PolicyBook(default=lenient()))
    at = 400 + Random(seed).random() * 300
    deeds: list[float] = []

    def cure(deed: Any) -> Any:
        deeds.append(place.clock.now().since(START).total_seconds())
        return place.world.gateway.cure(deed)

    place.world.gateway.effect = cure
    place.live(at + 1500, (at, lambda: place.world.gateway.put(make(KEY))))
    first_seen = next(when for when in place.passes() if when >= at)
    thresholds = place.book.default.thresholds
    return deeds[0] - (first_seen + thresholds.stuck_after.total_seconds())


def test_a_deed_is_done_when_it_becomes_due() -> None:
    """Eligible to acted: median under 0.5 s, 99 of 100 under 2 s, with polls every 30 s."""
    delays = [_delay(seed, dead) for seed in range(60)]
    assert min(delays) >= 0, "never before it is due"
    assert median(delays) < 0.5
    assert quantiles(delays, n=100)[98] < 2


def test_polls_keep_their_distance_however_long_a_pass_takes() -> None:
    """From beginning to beginning: what spread many gateways at the start spreads them still."""
    place = Place(latency=0.4)
    place.live(900)
    gaps = [after - before for before, after in zip(place.passes(), place.passes()[1:], strict=False)]
    assert len(gaps) == 29
    assert all(gap == pytest.approx(POLL.total_seconds(), abs=0.01) for gap in gaps)


# ---------------------------------------------------------------- a slow gateway


def test_a_slow_gateway_is_asked_less_often_and_it_is_said() -> None:
    place = Place(latency=2.0)
    place.live(1800)
    gaps = [after - before for before, after in zip(place.passes()[3:], place.passes()[4:], strict=False)]
    assert gaps
    assert all(gap == pytest.approx(62, abs=0.5) for gap in gaps), "60 s of rest, 2 s of answer"
    assert [line["poll_every_seconds"] for line in place.world.log.of(Event.GATEWAY_PACED)] == [60.0]
    assert place.reports[-1].poll_every == timedelta(seconds=60)


def test_in_between_it_is_asked_as_often_as_it_can_bear() -> None:
    place = Place(latency=0.8)
    place.live(900)
    assert place.reports[-1].poll_every == timedelta(seconds=40), "50 times what an answer takes"


def test_there_is_a_floor_however_slow_it_is() -> None:
    place = Place(latency=40.0)
    place.live(3600)
    gaps = [after - before for before, after in zip(place.passes()[3:], place.passes()[4:], strict=False)]
    assert gaps
    assert max(gaps) <= SLOWEST * POLL.total_seconds() + 41


def test_one_slow_answer_changes_nothing_and_two_fast_ones_end_it() -> None:
    place = Place()
    place.live(
        1200,
        (95, lambda: place.world.gateway.be(latency=3.0)),
        (125, lambda: place.world.gateway.be(latency=0.02)),
    )
    assert not place.world.log.of(Event.GATEWAY_PACED)
    place = Place()
    place.live(
        1200,
        (95, lambda: place.world.gateway.be(latency=3.0)),
        (400, lambda: place.world.gateway.be(latency=0.02)),
    )
    assert [line["reason"] for line in place.world.log.of(Event.GATEWAY_PACED)] == [
        "it answers slowly and is asked less often",
        "it answers in time again",
    ]
    gaps = [after - before for before, after in zip(place.passes()[-8:], place.passes()[-7:], strict=False)]
    assert max(gaps) < 31


def test_what_is_stuck_on_a_slow_gateway_is_still_found_and_recovered() -> None:
    """Polls that we wanted late are no gap: what was seen before still counts."""
    place = Place(book=PolicyBook(default=lenient()), latency=2.0)
    place.world.gateway.put(vague(KEY, has_active_run=False))
    place.live(2400)
    assert [deed.session.key for deed in place.world.gateway.performed] == [KEY]
    assert not [line for line in place.world.log.of(Event.GATEWAY_UNHEALTHY) if "starting over" in str(line["reason"])]


def test_a_slow_gateway_is_left_alone_between_looks_at_a_deed_in_flight() -> None:
    place = Place(book=PolicyBook(default=lenient()), latency=2.0)
    place.world.gateway.put(dead(KEY))
    place.world.gateway.effect = place.world.gateway.nothing
    place.live(1500)
    assert place.world.gateway.performed
    gaps = [after - before for before, after in zip(place.passes(), place.passes()[1:], strict=False)]
    assert min(gaps[2:]) >= 10


# ---------------------------------------------------------------- many gateways


def test_one_gateway_begins_at_once_and_a_thousand_within_one_interval() -> None:
    assert first_after("home", 1, POLL) == 0
    starts = sorted(first_after(f"gw{number}", 1000, POLL) for number in range(1000))
    assert starts[-1] <= POLL.total_seconds()
    crowd = max(sum(second <= start < second + 1 for start in starts) for second in range(30))
    assert crowd <= 70, "33 a second on average"
    assert starts == sorted(first_after(f"gw{number}", 1000, POLL) for number in range(1000)), "the same every time"


def test_passes_that_hang_hold_up_nobody() -> None:
    """More of them than there are turns: each gives its turn away, and the others begin within seconds."""
    loop = VirtualLoop()

    async def scene() -> list[float]:
        turns = PassSlots()
        began: list[float] = []

        async def hang() -> None:
            async with turns.turn():
                await asyncio.sleep(30)

        async def look() -> None:
            async with turns.turn():
                began.append(loop.time())
                await asyncio.sleep(0.01)

        hanging = [asyncio.create_task(hang()) for _ in range(2 * AT_ONCE)]
        await asyncio.gather(*(look() for _ in range(200)))
        await asyncio.gather(*hanging)
        return began

    began = loop.run(scene())
    assert len(began) == 200
    assert max(began) < 2


def test_so_many_at_once_and_no_more() -> None:
    loop = VirtualLoop()

    async def scene() -> int:
        turns, going, most = PassSlots(at_once=4), 0, 0

        async def look() -> None:
            nonlocal going, most
            async with turns.turn():
                going += 1
                most = max(most, going)
                await asyncio.sleep(0.1)
                going -= 1

        await asyncio.gather(*(look() for _ in range(50)))
        return most

    assert loop.run(scene()) == 4


def test_who_waits_for_a_turn_when_told_to_stop_looks_no_more() -> None:
    """Else a stop of a thousand would take as many passes."""
    place = Place()

    async def scene() -> None:
        async with place.runner.turns.turn():
            running = asyncio.create_task(place.runner.run())
            await asyncio.sleep(0.1)
            place.runner.stop()
        await running

    place.runner.turns = PassSlots(at_once=1)
    place.loop.run(scene())
    assert place.reports == []
    assert place.world.gateway.calls == []


# ---------------------------------------------------------------- what no pass should raise


def test_a_defect_that_one_gateway_brings_out_is_said_once_and_its_watch_goes_on() -> None:
    place = Place(book=PolicyBook(default=lenient()))
    world = place.world
    world.gateway.put(dead(KEY))
    world.gateway.failing["list"] = OverflowError("int too large to convert to float")  # type: ignore[assignment]
    place.live(3600, (900, world.gateway.failing.clear))
    (said,) = world.log.of(Event.CYCLE_FAILED)
    assert (said["gateway"], type(said["error"])) == ("home", OverflowError)
    assert not place.reports[0].is_good
    assert isinstance(place.reports[0].error, errors.PassFailed)
    (down,) = world.owed(MessageKind.GATEWAY_DOWN)
    assert down.title == "Gateway home is not watched"
    assert "please report it" in down.body
    assert world.steps == [Step.RESUME], "as soon as it can be looked at"
