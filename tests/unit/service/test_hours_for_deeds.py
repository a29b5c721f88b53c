"""``deeds_between``: outside it nothing is begun, what was begun is seen to its end, and who is told hears until when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fakes.builders import dead, lenient, policy
from tests.fakes.clock import START
from tests.fakes.world import World
from watchdog.config.deed_window import parse
from watchdog.core.policy import Policy, PolicyBook, Step
from watchdog.service.events import Event
from watchdog.service.ledger import MessageKind, Outcome

KEY = dead().key


def _world(policy: Policy) -> World:
    world = World(book=PolicyBook(default=policy))
    world.gateway.put(dead())
    return world


async def test_a_deed_waits_for_its_hours_and_comes_then() -> None:
    world = _world(lenient(deeds_between=parse("Fri 14:00-15:00 Europe/Berlin")))
    await world.live(minutes=59.5)
    assert world.steps == []
    assert world.held() == ["deeds_window"]
    (message,) = world.owed(MessageKind.STUCK)
    assert "- Outside deeds_between, Fri 14:00-15:00 Europe/Berlin (until 13:00 UTC)." in message.body
    assert f"openclaw-watchdog recover {KEY} --gateway home" in message.body
    assert await world.until_deed() <= timedelta(minutes=1)
    await world.live(minutes=1)
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]


async def test_what_was_begun_is_seen_to_its_end() -> None:
    world = _world(lenient(deeds_between=parse("Fri 12:00-12:25 UTC")))
    await world.until_deed()
    world.clock.advance(START.wall + timedelta(minutes=25) - world.clock.now().wall)
    await world.live(minutes=2)
    assert world.states == [("resume", "succeeded")]
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]


async def test_the_last_look_sees_that_the_hours_are_over() -> None:
    world = _world(lenient(deeds_between=parse("Fri 12:00-12:30 UTC")))
    world.gateway.at_fence = lambda: world.clock.advance(timedelta(minutes=10))
    await world.live(minutes=40)
    assert world.steps == []
    assert world.held() == ["deeds_window"]
    assert world.attempts == []


async def test_the_hours_end_after_the_last_look() -> None:
    """The gateway is slow to say how it is, or this process was stopped meanwhile."""
    world = _world(lenient(deeds_between=parse("Fri 12:00-12:30 UTC")))
    health = world.gateway.health_problem

    async def late() -> str | None:
        if "prepare" in world.gateway.calls:
            world.clock.advance(timedelta(minutes=10))
        return await health()

    world.gateway.health_problem = late  # type: ignore[method-assign]
    await world.live(minutes=40)
    assert "prepare" in world.gateway.calls
    assert world.steps == []
    assert world.held() == ["deeds_window"]
    assert world.attempts == []
    (message,) = world.owed(MessageKind.STUCK)
    assert "- Outside deeds_between" in message.body


@pytest.mark.parametrize(("until", "comes"), [("13:00", True), ("12:23", False)])
async def test_the_next_step_is_not_announced_for_an_hour_without_deeds(until: str, comes: bool) -> None:
    window = parse(f"Fri 12:00-{until} UTC")
    world = _world(policy(ladder=(Step.RESUME, Step.NEW), deeds_between=window))
    world.gateway.effect = world.gateway.nothing
    await world.live(minutes=24.5)
    (message,) = world.owed(MessageKind.INEFFECTIVE)
    assert ("Next, at " in message.body) is comes
    held = "- Outside deeds_between, Fri 12:00-12:23 UTC (until 27 Nov 12:00 UTC)."
    assert (held in message.body) is not comes


async def test_a_ladder_that_is_used_up_is_told_at_any_hour() -> None:
    world = _world(lenient(ladder=(Step.RESUME,), deeds_between=parse("Fri 12:00-12:25 UTC")))
    world.gateway.effect = world.gateway.nothing
    await world.live(hours=2)
    assert world.steps == [Step.RESUME]
    assert world.log.of(Event.SESSION_QUARANTINED)
