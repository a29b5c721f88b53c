"""The connection that listens: when it is opened and ended, and what a poll is told. Links are played, time stands still."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from watchdog.gateway.events import Told
from watchdog.gateway.frames import Event
from watchdog.gateway.link import Link, LinkReport
from watchdog.gateway.listening import (
    GAP_SWEEPS_APART,
    QUIET_CHURN,
    QUIET_POLLS,
    REST,
    WORTH_A_MINUTE,
    WORTH_AT_ONCE,
    Listener,
)
from watchdog.service import errors

from .support import StillClock

KEY = "agent:main:main"


@dataclass
class PlayedLink:
    """What a ``Listener`` needs of a ``Link``."""

    refusal: Exception | None = None
    waits: asyncio.Event | None = None
    report: LinkReport = field(default_factory=LinkReport)
    on_event: Any = None
    is_open: bool = True
    asked: list[str] = field(default_factory=list)

    async def call(self, method: str, params: dict[str, Any], *, patience: float) -> msgspec.Raw:
        self.asked.append(method)
        if self.waits is not None:
            await self.waits.wait()
        if self.refusal is not None:
            raise self.refusal
        return msgspec.Raw(b'{"subscribed":true}')

    async def close(self) -> None:
        self.is_open = False

    def say(self, name: str = "sessions.changed", *, size: int = 0, **payload: Any) -> None:
        if self.on_event is not None:
            body = {"sessionKey": KEY, "pad": "x" * size, **payload}
            self.on_event(Event(name, msgspec.Raw(msgspec.json.encode(body)), None))


@dataclass
class Ears:
    """A listener, its clock, and every link it opened."""

    is_offered: bool = True
    refusal: Exception | None = None
    waits: asyncio.Event | None = None
    clock: StillClock = field(default_factory=StillClock)
    watching: PlayedLink = field(default_factory=PlayedLink)
    opened: list[PlayedLink] = field(default_factory=list)
    listener: Listener = field(init=False)

    def __post_init__(self) -> None:
        self.listener = Listener(self._open if self.is_offered else None, self.clock, cast(Link, self.watching))

    async def _open(self) -> Link:
        self.opened.append(PlayedLink(self.refusal, self.waits))
        return cast(Link, self.opened[-1])

    async def poll(self, churn: int = 0, after: float = 30.0) -> Told:
        self.clock.pass_(after)
        told = self.listener.told()
        self.listener.note_poll(churn)
        await _settled()
        return told

    async def listening(self) -> PlayedLink:
        """Quiet polls until it listens, and the first thing it is told is all there is."""
        while not self.opened or not self.opened[-1].is_open:
            await self.poll()
        await self.poll()
        assert (await self.poll()).is_everything
        return self.opened[-1]


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- beginning


async def test_it_listens_where_little_happens() -> None:
    ears = Ears()
    for _ in range(QUIET_POLLS):
        await ears.poll(QUIET_CHURN)
        assert not ears.opened
    await ears.poll()
    assert [link.asked for link in ears.opened] == [["sessions.subscribe"]]
    await ears.poll()
    assert len(ears.opened) == 1


async def test_it_does_not_where_much_happens_or_nothing_is_offered() -> None:
    busy, silent = Ears(), Ears(is_offered=False)
    for number in range(40):
        await busy.poll(QUIET_CHURN + 1 if number % QUIET_POLLS == 0 else 0)
        assert not (await silent.poll()).is_everything
    assert not busy.opened
    assert not silent.opened


async def test_what_came_before_it_listened_was_not_heard() -> None:
    ears = Ears()
    for _ in range(QUIET_POLLS + 1):
        assert not (await ears.poll()).is_everything
    assert ears.opened
    assert not (await ears.poll()).is_everything, "part of the time since the last poll nobody listened"
    assert (await ears.poll()).is_everything


async def test_polls_do_not_wait_for_it() -> None:
    ears = Ears(waits=asyncio.Event())
    for _ in range(QUIET_POLLS + 5):
        assert not (await ears.poll()).is_everything
    assert len(ears.opened) == 1
    await ears.listener.close()
    assert not ears.opened[0].is_open


@pytest.mark.parametrize(
    "refusal",
    [
        errors.RequestRefused("home: no", code="INVALID_REQUEST"),
        errors.ScopeRefused("home: missing scope"),
        errors.OutcomeUnknown("home: no answer"),
        errors.GatewayUnreachable("home: refused"),
    ],
)
async def test_refused_means_lists_alone(refusal: Exception) -> None:
    ears = Ears(refusal=refusal)
    for _ in range(20):
        assert not (await ears.poll()).is_everything
    assert [link.is_open for link in ears.opened] == [False]
    ears.clock.pass_(REST.total_seconds())
    ears.refusal = None
    await ears.listening()


# ---------------------------------------------------------------- hearing


async def test_a_poll_is_told_what_was_said_since_the_last() -> None:
    ears = Ears()
    link = await ears.listening()
    link.say(status="running", size=1000)
    told = await ears.poll()
    assert (told.changes, told.is_everything, told.has_gap) == ({KEY: {"status": "running"}}, True, False)
    assert told.size_bytes > 1000
    assert await ears.poll() == Told(is_everything=True, is_every_run=True)


async def test_the_watching_link_is_told_of_runs_without_asking() -> None:
    ears = Ears(is_offered=False)
    ears.watching.say("agent")
    ears.watching.say("sessions.changed", status="running")
    told = await ears.poll()
    assert told == Told(worked_on=frozenset({KEY}))


async def test_events_that_cannot_be_read_are_counted_and_nothing_else() -> None:
    ears = Ears()
    link = await ears.listening()
    link.say(status=7)
    told = await ears.poll()
    assert (told.changes, told.is_everything, told.has_gap, ears.listener.malformed) == ({}, False, False, 1)
    assert (await ears.poll()).is_everything


# ---------------------------------------------------------------- losing


@pytest.mark.parametrize("where", ["listening", "watching"])
async def test_a_hole_in_the_numbering_is_a_gap_once(where: str) -> None:
    ears = Ears()
    link = await ears.listening()
    (link if where == "listening" else ears.watching).report.missed_events += 3
    told = await ears.poll()
    assert (told.has_gap, told.is_everything) == (True, False)
    assert await ears.poll() == Told(is_everything=True, is_every_run=True)


async def test_gaps_without_end_do_not_make_every_poll_read_everything() -> None:
    ears = Ears()
    link = await ears.listening()
    gaps = []
    for _ in range(20):
        link.report.missed_events += 1
        told = await ears.poll()
        gaps.append(told.has_gap)
        assert not told.is_everything
    assert sum(gaps) == 20 * 30 / GAP_SWEEPS_APART.total_seconds()


async def test_a_broken_connection_is_a_gap_and_a_rest() -> None:
    ears = Ears()
    link = await ears.listening()
    link.is_open = False
    assert (await ears.poll()).has_gap
    for _ in range(10):
        told = await ears.poll()
        assert (told.has_gap, told.is_everything) == (False, False)
    assert len(ears.opened) == 1
    ears.clock.pass_(REST.total_seconds())
    assert (await ears.listening()) is not link


# ---------------------------------------------------------------- costing too much


async def test_a_flood_is_hung_up_on_at_once_and_for_a_while() -> None:
    ears = Ears()
    link = await ears.listening()
    for _ in range(WORTH_AT_ONCE // 4000 + 1):
        link.say(size=4000)
    await _settled()
    assert not link.is_open
    assert not (await ears.poll()).is_everything
    for _ in range(int(REST / timedelta(seconds=30)) - 2):
        assert not (await ears.poll()).is_everything
        assert len(ears.opened) == 1
    assert (await ears.listening()) is not link


async def test_an_hour_of_a_turn_now_and_then_is_worth_it() -> None:
    ears = Ears()
    link = await ears.listening()
    for _ in range(60):
        link.say(size=int(WORTH_A_MINUTE * 0.9))
        await ears.poll(after=60.0)
    assert link.is_open
    for _ in range(300):
        link.say(size=int(WORTH_A_MINUTE * 1.1))
        await ears.poll(churn=9, after=60.0)
    assert not link.is_open


async def test_close_ends_everything() -> None:
    ears = Ears()
    link = await ears.listening()
    await ears.listener.close()
    assert not link.is_open
    assert ears.watching.on_event is None
    assert [task for task in asyncio.all_tasks() if "listening" in task.get_name()] == []
