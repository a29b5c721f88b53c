"""Polls that do not read everything: when the watch asks for which, and what it never does with rows of yesterday."""

from __future__ import annotations

from datetime import timedelta

from tests.fakes.builders import dead, lenient
from tests.fakes.world import World
from watchdog.core.model import Status
from watchdog.core.policy import PolicyBook
from watchdog.service import errors

KEY = "agent:main:irc:direct:alice"
QUIET = "agent:main:irc:direct:quiet"


def _sweeps(world: World) -> list[bool]:
    return [sweep for keen, sweep in world.gateway.asked if keen is not None]


def _glancing(*, poll_every: float = 30) -> World:
    """A world whose gateway carries a row at rest over from poll to poll."""
    world = World(book=PolicyBook(default=lenient()), poll_every=timedelta(seconds=poll_every))
    world.gateway.put(dead(QUIET, status=Status.DONE)).be(carries=frozenset({QUIET}))
    return world


async def test_everything_is_read_at_the_start_and_again_every_full_sweep() -> None:
    world = _glancing()
    world.watch.connection.full_sweep_every = timedelta(minutes=2)
    await world.live(minutes=5)
    assert _sweeps(world) == [True, False, False, False, True, False, False, False, True, False]


async def test_everything_is_read_after_a_loss_a_failure_and_a_gap() -> None:
    world = _glancing()
    await world.live(minutes=2)
    world.gateway.drop(errors.GatewayClosed("home: gone.", 1006))
    await world.live(minutes=1)
    assert _sweeps(world)[-2:] == [True, False], "a new connection"
    world.gateway.failing["list"] = errors.GatewayUnresponsive("home: no answer.")
    await world.live(seconds=30)
    world.gateway.failing.clear()
    await world.live(minutes=1)
    assert _sweeps(world)[-2:] == [True, False], "a poll that failed"
    world.clock.advance(3600)
    await world.live(minutes=1)
    assert _sweeps(world)[-2:] == [True, False], "the host was asleep"
    world.clock.step(60)
    await world.live(minutes=1)
    assert _sweeps(world)[-2:] == [True, False], "our clock was set"


async def test_a_list_that_was_cut_short_is_asked_for_again_whole() -> None:
    world = _glancing()
    world.gateway.be(is_complete=False)
    await world.live(minutes=2)
    assert _sweeps(world) == [True] * 4


async def test_before_a_deed_everything_is_read_at_once() -> None:
    world = _glancing()
    world.gateway.put(dead(KEY))
    await world.until_deed()
    assert world.gateway.asked[-1] == (None, False)
    assert [asked for asked in world.gateway.asked if asked[0] is None] == [(None, False)]


async def test_what_is_in_our_hands_is_always_read_anew() -> None:
    world = _glancing()
    world.gateway.put(dead(KEY))
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    world.clock.advance(2)
    await world.look()
    keen, _ = world.gateway.asked[-1]
    assert keen == frozenset({KEY})


async def test_a_running_row_of_yesterday_is_not_judged_and_nothing_is_done_to_it() -> None:
    """No gateway of ours may hand one over; one that does is not believed."""
    world = _glancing()
    world.gateway.put(dead(KEY)).be(carries=frozenset({QUIET, KEY}))
    await world.live(minutes=14)
    assert not world.gateway.performed
    assert [item.session.key for item in world.reports[-1].judged] == [QUIET]


async def test_a_session_that_is_not_in_a_glance_is_not_called_gone() -> None:
    world = _glancing()
    world.gateway.put(dead(KEY))
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    del world.gateway.rows[KEY]
    world.clock.advance(2)
    await world.look()
    assert world.reports[-1].judged[0].session.key != KEY
    assert world.states == [("resume", "started")]
    assert [incident.is_open for incident in world.incidents] == [True]


async def test_a_row_at_rest_is_judged_once_and_again_under_other_policies() -> None:
    world = _glancing()
    await world.live(minutes=1)
    before, after = (report.judged[0] for report in world.reports[-2:])
    assert before is after
    world.watch.take_book(PolicyBook(default=lenient()))
    await world.look()
    assert world.reports[-1].judged[0] is not after
