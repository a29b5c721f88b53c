"""``recover``: one deed by hand is fenced like the daemon's, whatever happened while the person was asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.fakes.builders import dead, tail_of, vague
from tests.fakes.world import World
from watchdog.cli.recover import ManualRecovery
from watchdog.core.model import TailKind
from watchdog.core.policy import Step
from watchdog.service.ledger import Stop
from watchdog.service.one_shot import inspect

KEY = dead().key
Change = Callable[[World], object]


async def _recover(world: World, step: Step = Step.RESUME) -> dict[str, object]:
    found = await inspect(world.gateway, world.watch.book, world.clock, at_most=timedelta(seconds=5))
    judged = found.find(KEY)
    assert judged is not None
    world.gateway.calls.clear()
    return await ManualRecovery(world.clock, world.gateway, world.ledger, world.notes, found).recover(
        judged, step, ask=False
    )


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


async def test_what_a_person_stopped_stays_stopped_by_hand_too() -> None:
    """Also where this process did not see it: the daemon did, before."""
    world = World()
    row = dead()
    world.gateway.put(row)
    world.ledger.note_stop(Stop("home", KEY, row.session_id, row.started_at, world.clock.now().wall))
    for step in (Step.RESUME, Step.NEW, Step.ASK):
        done = await _recover(world, step)
        assert (done["recovered"], done["reason"]) == (False, "a person stopped this request; it stays stopped")
    assert world.gateway.calls == []
    assert world.attempts == []


async def test_what_the_gateway_will_carry_out_by_itself_is_not_done_twice() -> None:
    world = World()
    world.gateway.put(dead()).be(spooled={KEY})
    done = await _recover(world)
    assert done["reason"] == "the gateway still holds this message and will carry it out by itself"
    assert world.gateway.calls == []


async def test_a_session_that_waits_for_good_reason_is_not_stuck() -> None:
    world = World()
    world.gateway.put(vague(has_active_run=False)).see(
        KEY, tail=tail_of(TailKind.COMPACTION, at=world.clock.now().wall)
    )
    done = await _recover(world)
    assert str(done["reason"]).startswith("it is not stuck: ")
    assert world.gateway.calls == []
