"""Runs that were watched and ended with somebody unanswered: told once, never touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.builders import REQUEST, dead, lenient, tail_of, vague
from tests.fakes.world import World
from watchdog.core.model import Session, SessionKind, Status, TailKind
from watchdog.core.policy import PolicyBook, Step
from watchdog.service import errors
from watchdog.service.ended_runs import LOOKS_A_PASS
from watchdog.service.events import Event
from watchdog.service.ledger import MessageKind, Quarantine, Stop

KEY = dead().key


def _alive(key: str = KEY, **changes: Any) -> Session:
    return vague(key, **{"has_active_run": True, **changes})


def _end(world: World, status: Status = Status.FAILED, key: str = KEY, **changes: Any) -> None:
    now = world.clock.now().wall
    world.gateway.change(key, **{"status": status, "ended_at": now, "has_active_run": False, **changes})


async def _watched(*rows: Session) -> World:
    world = World()
    world.gateway.put(*(rows or (_alive(),)))
    await world.live(minutes=2)
    return world


async def test_a_watched_run_that_ended_without_an_answer_is_told_once_and_not_touched() -> None:
    world = await _watched()
    _end(world)
    await world.live(minutes=1)
    assert world.told() == [], "no glimpse is told"
    await world.live(hours=2)
    (message,) = world.owed()
    assert (message.kind, message.session, message.gateway) == (MessageKind.UNANSWERED, KEY, "home")
    assert "Its row says failed" in message.body
    assert f"openclaw-watchdog explain {KEY}" in message.body
    assert REQUEST not in message.title + message.body
    (line,) = world.log.of(Event.SESSION_UNANSWERED)
    assert (line["session"], line["reason"]) == (KEY, "EndedUnanswered")
    assert world.steps == []
    assert world.gateway.calls.count("look") == 1, "one look, and no more"


Change = Callable[[World], object]
NOT_TOLD: dict[str, Change] = {
    "answered": lambda world: world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED)),
    "stopped in its transcript": lambda world: world.gateway.see(KEY, tail=tail_of(TailKind.STOPPED)),
    "stopped in its row": lambda world: world.gateway.change(KEY, status=Status.KILLED, aborted_last_run=True),
    "stopped by the ledger": lambda world: world.ledger.note_stop(
        Stop("home", KEY, f"sid-{KEY}", world.gateway.rows[KEY].started_at, world.clock.now().wall)
    ),
    "done": lambda world: world.gateway.change(KEY, status=Status.DONE),
    "reset": lambda world: world.gateway.change(KEY, status=Status.ABSENT),
    "another conversation": lambda world: world.gateway.change(KEY, session_id="sid-2"),
    "gone": lambda world: world.gateway.rows.pop(KEY),
    "not readable": lambda world: world.gateway.tails.update({KEY: None}),
    "quarantined": lambda world: world.ledger.quarantine(
        Quarantine("home", KEY, None, world.clock.now().wall, "spent")
    ),
}


@pytest.mark.parametrize("change", NOT_TOLD.values(), ids=NOT_TOLD)
async def test_not_told(change: Change) -> None:
    world = await _watched()
    _end(world)
    change(world)
    await world.live(minutes=30)
    assert world.log.of(Event.SESSION_UNANSWERED) == []
    assert world.told() == []


async def test_a_stop_that_was_seen_before_the_end() -> None:
    world = await _watched(_alive(aborted_last_run=False))
    world.gateway.change(KEY, aborted_last_run=True, updated_at=world.clock.now().wall)
    await world.live(minutes=1)
    _end(world, aborted_last_run=True)
    await world.live(minutes=5)
    assert world.told() == []


async def test_a_run_that_its_gateway_marks_for_recovery_and_fails_is_nobodys_stop() -> None:
    """2026.5.18 marks what a left-over lock shows it 2 s after it is ready, and fails what it cannot carry on 3 s later."""
    world = await _watched(_alive(aborted_last_run=False))
    world.gateway.change(KEY, aborted_last_run=True)
    await world.live(minutes=1)
    _end(world, aborted_last_run=True)
    await world.live(minutes=5)
    assert world.told() == ["unanswered"]


async def test_a_run_that_is_begun_again_at_once_goes_on() -> None:
    world = await _watched()
    _end(world)
    await world.look()
    world.clock.advance(30)
    world.gateway.put(_alive(started_at=world.clock.now().wall))
    await world.live(minutes=5)
    assert world.told() == []


async def test_words_that_wait_for_a_lane_are_waited_for() -> None:
    world = await _watched()
    _end(world, Status.QUEUED)
    await world.live(minutes=10)
    assert world.told() == []
    _end(world, Status.KILLED)
    await world.live(minutes=3)
    assert world.told() == ["unanswered"]


async def test_background_runs_have_somebody_who_sees_to_them() -> None:
    world = await _watched(_alive(kind=SessionKind.CRON))
    _end(world)
    await world.live(minutes=5)
    assert world.told() == []


async def test_what_ended_before_we_watched_is_not_told_and_nothing_twice() -> None:
    world = World()
    world.gateway.put(_alive(status=Status.FAILED))
    await world.live(minutes=5)
    assert world.told() == []
    world.gateway.put(_alive())
    await world.live(minutes=1)
    _end(world)
    await world.live(minutes=5)
    world.die_and_start_again()
    await world.live(minutes=5)
    world.gateway.change(KEY, status=Status.RUNNING)
    await world.live(minutes=1)
    _end(world)
    await world.live(minutes=5)
    assert world.told() == ["unanswered"]


async def test_a_stuck_run_that_the_gateway_gives_up_is_told_also_over_our_restart() -> None:
    for restarts in (False, True):
        world = World(book=PolicyBook(default=lenient(ladder=(Step.NOTIFY,))))
        world.gateway.put(dead())
        await world.live(minutes=25)
        _end(world)
        if restarts:
            world.die_and_start_again()
        await world.live(minutes=5)
        assert world.told() == ["stuck", "cleared", "unanswered"]


@pytest.mark.parametrize("step", [Step.RESUME, Step.ABORT])
async def test_what_became_of_our_own_deed_is_told_with_its_incident(step: Step) -> None:
    world = World(book=PolicyBook(default=lenient(ladder=(step,))))
    world.gateway.put(dead() if step is Step.RESUME else _alive())
    world.gateway.effect = world.gateway.hang
    await world.until_deed()
    await world.live(seconds=30)
    _end(world, Status.FAILED if step is Step.RESUME else Status.KILLED)
    await world.live(minutes=30)
    assert "unanswered" not in world.told()


async def test_a_run_that_follows_long_after_our_deed_is_told() -> None:
    world = World()
    world.gateway.put(dead())
    await world.until_deed()
    await world.live(minutes=2)
    world.gateway.put(_alive(started_at=world.clock.now().wall))
    world.gateway.see(KEY, tail=tail_of())
    await world.live(minutes=2)
    _end(world)
    await world.live(minutes=5)
    assert world.told() == ["stuck", "recovered", "unanswered"]


async def test_accepted_words_that_never_ran() -> None:
    world = await _watched()
    began = world.gateway.rows[KEY].started_at
    world.gateway.restart()
    await world.live(minutes=1)
    world.gateway.change(KEY, started_at=world.clock.now().wall)
    await world.live(minutes=1)
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, dropped_inputs=(began,)))
    _end(world, Status.DONE)
    await world.live(minutes=5)
    assert world.told() == ["unanswered"]
    assert "will not be run: 1." in world.owed()[0].body


async def _yielded() -> World:
    child = _alive("agent:main:subagent:c1", kind=SessionKind.SUBAGENT, parent_key=KEY)
    world = await _watched(_alive(), child)
    world.gateway.see(KEY, tail=tail_of(TailKind.TOOL_RESULT, tools_called=frozenset({"sessions_yield"})))
    _end(world, Status.DONE)
    await world.live(minutes=30)
    assert world.told() == []
    _end(world, Status.DONE, child.key)
    await world.live(minutes=15)
    assert world.told() == []
    return world


async def test_a_parent_that_was_not_woken_is_told_stuck_after_its_last_child() -> None:
    world = await _yielded()
    looks = world.gateway.calls.count("look")
    await world.live(minutes=30)
    assert world.told() == ["unanswered"]
    assert "not woken" in world.owed()[0].body
    assert world.gateway.calls.count("look") == looks + 1


async def test_a_parent_that_waits_is_told_what_was_dropped_and_later_that_nobody_woke_it() -> None:
    child = _alive("agent:main:subagent:c1", kind=SessionKind.SUBAGENT, parent_key=KEY)
    world = await _watched(_alive(), child)
    now = world.clock.now().wall
    waits = tail_of(TailKind.TOOL_RESULT, tools_called=frozenset({"sessions_yield"}), dropped_inputs=(now,))
    world.gateway.see(KEY, tail=waits)
    _end(world, Status.DONE)
    await world.live(minutes=30)
    assert ["will not be run" in message.body for message in world.owed()] == [True]
    _end(world, Status.DONE, child.key)
    await world.live(minutes=45)
    assert world.told() == ["unanswered", "unanswered"]


async def test_a_parent_that_went_on_is_not() -> None:
    world = await _yielded()
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, fingerprint="tail-2"))
    await world.live(minutes=30)
    assert world.told() == []


async def test_many_at_once_are_looked_at_a_few_a_pass() -> None:
    keys = [f"agent:main:irc:direct:p{number}" for number in range(3 * LOOKS_A_PASS)]
    world = await _watched(*(_alive(key) for key in keys))
    for key in keys:
        _end(world, key=key)
    looks = []
    for _ in range(8):
        before = world.gateway.calls.count("look")
        await world.look()
        looks.append(world.gateway.calls.count("look") - before)
        world.clock.advance(30)
    assert [one for one in looks if one] == [LOOKS_A_PASS] * 3
    assert len(world.told()) == len(keys)


async def test_what_cannot_be_read_is_looked_at_later_and_keeps_nobody_waiting() -> None:
    keys = [f"agent:main:irc:direct:p{number}" for number in range(LOOKS_A_PASS + 1)]
    world = await _watched(*(_alive(key) for key in keys))
    for key in keys:
        _end(world, key=key)
    world.gateway.tails.update(dict.fromkeys(keys[:-1]))
    await world.live(minutes=5)
    assert world.told() == ["unanswered"], "the one that can be read"
    world.gateway.tails.clear()
    await world.live(hours=2)
    assert world.told() == ["unanswered"] * len(keys)


async def test_a_look_that_ends_the_connection_loses_nothing() -> None:
    world = await _watched()
    _end(world)
    await world.live(seconds=60)
    world.gateway.failing["look"] = errors.GatewayClosed("home: gone.", 1006)
    await world.live(seconds=30)
    del world.gateway.failing["look"]
    await world.live(minutes=2)
    assert world.told() == ["unanswered"]
