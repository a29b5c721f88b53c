"""What a message says of the next step: only what will come by all that is known then, else what it waits for."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from tests.fakes.builders import dead, lenient, policy
from tests.fakes.world import World
from watchdog.core.model import Status
from watchdog.core.policy import Budget, PolicyBook, Step
from watchdog.service import errors
from watchdog.service.ledger import Message, MessageKind, Outcome

KEY = dead().key


async def _after_a_resume_in_vain(world: World) -> Message:
    """The message that the first step did not help; its turn left the row as it was."""
    world.gateway.effect = world.gateway.nothing
    for _ in range(90):
        await world.live(seconds=30)
        if told := world.owed(MessageKind.INEFFECTIVE):
            return told[0]
    raise AssertionError(world.told())


async def test_what_follows_a_step_in_vain_is_announced_with_its_time_and_comes_then() -> None:
    world = World(book=PolicyBook(default=policy(ladder=(Step.RESUME, Step.NEW))))
    world.gateway.put(dead())
    message = await _after_a_resume_in_vain(world)
    found = re.search(r"Next, at (\d\d:\d\d) UTC if nothing moves until then: starting a fresh session\.", message.body)
    assert found is not None, message.body
    assert await world.until_deed(2) > timedelta(0)
    assert f"{world.attempts[1].planned_at:%H:%M}" in (
        found[1],
        f"{world.attempts[1].planned_at - timedelta(minutes=1):%H:%M}",
    )


@pytest.mark.parametrize(
    ("held_by", "words"),
    [
        ("pause", "- Paused: deploying."),
        ("scope", "- It needs operator.admin."),
        ("observe", "- This watchdog only observes: nothing is ever done."),
        ("budget", "- 1 attempts within 3d are used up."),
    ],
)
async def test_what_will_not_come_is_not_announced_but_what_it_waits_for(held_by: str, words: str) -> None:
    budget = Budget(1, timedelta(hours=72)) if held_by == "budget" else Budget(3, timedelta(hours=72))
    world = World(book=PolicyBook(default=policy(ladder=(Step.RESUME, Step.NEW), budget=budget)))
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    if held_by == "pause":
        world.ledger.pause(
            at=world.clock.now().wall, until=None, gateway=None, session=None, reason="deploying", who="me"
        )
    if held_by == "scope":
        world.gateway.scope_problems[Step.NEW] = "It needs operator.admin."
    if held_by == "observe":
        world.watch.is_observing = True
    message = await _after_a_resume_in_vain(world)
    assert "Next, " not in message.body
    assert "Next:" not in message.body
    assert "Next would be starting a fresh session, but that is held back:" in message.body
    assert words in message.body


async def test_a_turn_that_failed_announces_no_further_step() -> None:
    """The row is free again: the fresh session that the ladder has next is not for it."""
    world = World(book=PolicyBook(default=policy(ladder=(Step.RESUME, Step.NEW))))
    world.gateway.put(dead())
    await world.until_deed()
    world.gateway.change(KEY, status=Status.FAILED, started_at=world.clock.now().wall, ended_at=world.clock.now().wall)
    await world.live(minutes=3)
    message = world.owed(MessageKind.INEFFECTIVE)[0]
    assert "Next" not in message.body
    assert "No further step follows: no run is marked as going on any more." in message.body


@pytest.mark.parametrize("status", [Status.OTHER, Status.QUEUED])
async def test_of_a_row_that_may_go_on_nothing_is_claimed(status: Status) -> None:
    world = World(book=PolicyBook(default=policy(ladder=(Step.RESUME, Step.NEW))))
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    world.gateway.change(KEY, status=status)
    message = await _after_a_resume_in_vain(world)
    assert "No further step follows: as things are now it does not count as stuck." in message.body


async def test_a_word_that_we_do_not_know_ends_no_incident() -> None:
    world = World(book=PolicyBook(default=policy(ladder=(Step.NOTIFY,))))
    world.gateway.put(dead())
    await world.live(minutes=40)
    assert world.told() == ["stuck"]
    world.gateway.change(KEY, status=Status.OTHER)
    await world.live(minutes=10)
    assert [one.outcome for one in world.incidents] == [Outcome.OPEN]


async def test_now_is_said_only_of_what_has_passed_the_last_look() -> None:
    world = World(book=PolicyBook(default=lenient()))
    world.gateway.put(dead())
    world.gateway.failing["prepare"] = errors.ChannelDown("home: telegram is down.")
    await world.live(minutes=25)
    (message,) = world.owed(MessageKind.STUCK)
    assert world.steps == []
    assert "Now:" not in message.body
    assert "- Home: telegram is down." in message.body or "- home: telegram is down." in message.body
