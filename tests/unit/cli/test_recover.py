"""``recover``: one deed by hand is fenced like the daemon's, whatever happened while the person was asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.unit.service.world import World, dead, vague
from watchdog.cli.recover import Hand
from watchdog.core.policy import Step
from watchdog.service.one_shot import inspect

KEY = dead().key
Change = Callable[[World], object]


async def _recover(world: World, step: Step = Step.RESUME) -> dict[str, object]:
    found = await inspect(world.gateway, world.watch.book, world.clock, at_most=timedelta(seconds=5))
    judged = found.find(KEY)
    assert judged is not None
    world.gateway.calls.clear()
    return await Hand(world.clock, world.gateway, world.ledger, world.notes, found).recover(judged, step, ask=False)


async def test_a_stuck_session_is_recovered_once_and_the_trail_says_who_asked() -> None:
    world = World()
    world.gateway.put(dead())
    done = await _recover(world)
    assert (done["recovered"], done["state"]) == (True, "succeeded")
    assert world.steps == [Step.RESUME]
    (line,) = world.ledger.audit_trail()
    assert (line.what, line.detail) == ("recover", f"gateway home session {KEY}: resume asked for by hand")


async def test_nothing_but_the_claim_lies_between_the_last_look_and_the_deed() -> None:
    world = World()
    world.gateway.put(dead())
    await _recover(world)
    before = world.gateway.calls[: world.gateway.calls.index("perform")]
    assert before[0] == "prepare"
    assert before.count("prepare") == 1
    assert "list" in before


MEANWHILE: dict[str, tuple[Change, str]] = {
    "a run came to life under the same row": (lambda w: w.gateway.change(KEY, has_active_run=True), "a run is alive"),
    "another run began": (lambda w: w.gateway.change(KEY, session_id="another"), "it moved while we looked"),
    "it is gone": (lambda w: w.gateway.rows.pop(KEY), "it moved while we looked"),
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
async def test_what_changed_while_the_person_was_asked_is_heeded(meanwhile: str) -> None:
    change, why = MEANWHILE[meanwhile]
    world = World()
    world.gateway.put(dead())
    world.gateway.at_fence = lambda: change(world)
    done = await _recover(world)
    assert done["recovered"] is False
    assert why in str(done["reason"])
    assert world.steps == []
    assert world.attempts == [], "and nothing was even planned"


async def test_a_live_run_is_left_alone_from_the_start() -> None:
    world = World()
    world.gateway.put(vague(has_active_run=True))
    done = await _recover(world)
    assert "a run is alive" in str(done["reason"])
    assert world.gateway.calls == [], "not even a sign-in"
