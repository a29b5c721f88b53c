"""A session store put back from a copy, or a name that leads to another gateway: what is seen there is no proof of what was done here."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fakes.builders import V96, V324, V518, dead, tail_of
from tests.fakes.clock import START
from tests.fakes.gateway import FakeGateway
from tests.fakes.world import World
from watchdog.core.model import Session, Status, TailKind
from watchdog.core.policy import Step
from watchdog.core.recovery import AttemptState
from watchdog.service.ledger import Outcome

KEY = dead().key
_BEGAN = dead().started_at or START.wall


def _at(world: World, **ago: float) -> Session:
    """A run of that long ago which ended well."""
    then = world.clock.now().wall - timedelta(**ago)
    return replace(dead(), status=Status.DONE, started_at=then, updated_at=then, ended_at=then)


def _another(world: World) -> FakeGateway:
    made = FakeGateway(world.clock, world.version, None, name="home")
    if made.boot_id is not None:
        made.boot_id = "boot-of-another-machine"
    made.booted_at = world.clock.now().wall - timedelta(days=9)
    return made


def _led_to(world: World, gateway: FakeGateway) -> None:
    world.ledger.name_gateways({"home": "place-2"}, world.clock.now().wall)
    world.watch = world.new_watch(gateway)


def _unanswered() -> World:
    world = World()
    world.ledger.name_gateways({"home": "place-1"}, world.clock.now().wall)
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    return world


@pytest.mark.parametrize("version", [V324, V518, V96])
@pytest.mark.parametrize("session_id", [dead().session_id, "of-before"])
async def test_a_store_put_back_from_a_copy_is_no_recovery(version: str, session_id: str) -> None:
    world = World(version=version)
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    world.gateway.restart()
    old = _BEGAN - timedelta(hours=3)
    world.gateway.change(KEY, session_id=session_id, status=Status.DONE, started_at=old, updated_at=old, ended_at=old)
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, fingerprint="older", at=old))
    await world.live(minutes=4)
    assert "recovered" not in world.told()
    assert [one.outcome for one in world.incidents] == [Outcome.CLEARED]
    assert len(world.gateway.performed) == 1


async def test_what_a_person_gets_answered_elsewhere_proves_nothing_of_our_turn() -> None:
    """Its run began after our deed: only the mark of ours would prove it."""
    world = _unanswered()
    await world.until_deed()
    there = _another(world)
    world.clock.advance(10)
    there.put(replace(_at(world, seconds=2), session_id="quite-another"))
    there.see(KEY, tail=tail_of(TailKind.ANSWERED, fingerprint="theirs", at=world.clock.now().wall))
    _led_to(world, there)
    assert world.states == [("resume", "indeterminate")]
    await world.live(minutes=4)
    assert "recovered" not in world.told()
    assert [one.outcome for one in world.incidents] == [Outcome.CLEARED]
    assert there.performed == []


async def test_who_is_stuck_there_gets_the_gentlest_step_first() -> None:
    world = _unanswered()
    await world.until_deed()
    await world.live(minutes=3)
    assert world.states == [("resume", AttemptState.INEFFECTIVE)]
    there = _another(world)
    there.put(replace(dead(), session_id="quite-another", started_at=_BEGAN - timedelta(minutes=30)))
    _led_to(world, there)
    await world.live(minutes=60)
    assert [deed.step for deed in there.performed][:1] == [Step.RESUME]
    assert world.incidents[0].outcome is Outcome.CLEARED
