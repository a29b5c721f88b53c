"""``recover``: one deed by hand is fenced like the daemon's, whatever happened while the person was asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.world import World as SimulatedWorld
from tests.fakes.builders import dead, person_of, policy, tail_of, vague
from tests.fakes.world import World
from tests.unit.cli.gateways import section, served, typing, write_config
from watchdog.adapters.clock import SystemClock
from watchdog.cli.app import app
from watchdog.cli.recover import _BY_HAND, ManualRecovery, next_rung
from watchdog.core.model import TailKind
from watchdog.core.policy import PolicyBook, Step
from watchdog.core.recovery import AttemptState
from watchdog.core.tracking import RunIdentity
from watchdog.service.by_hand import ATTEMPT
from watchdog.service.errors import LedgerError
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
        judged, step, confirm=False
    )


async def test_a_stuck_session_is_recovered_once_and_the_trail_says_who_asked() -> None:
    world = World()
    world.gateway.put(dead())
    done = await _recover(world)
    assert (done["recovered"], done["state"]) == (True, "succeeded")
    assert world.steps == [Step.RESUME]
    (incident,) = world.incidents
    assert [(line.what, line.detail) for line in reversed(world.ledger.audit_trail())] == [
        ("recover", f"gateway home session {KEY}: resume asked for by hand"),
        ("recover", f"attempt 1 of incident {incident.id}: resume by hand"),
        ("attempt", "gateway home: resume started"),
        ("attempt", "gateway home: resume succeeded"),
    ]


async def test_a_deed_is_done_although_it_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.gateway.put(dead())
    audit = world.ledger.audit

    def fails(at: datetime, who: str, what: str, detail: str) -> None:
        if what == ATTEMPT:
            raise LedgerError("no space left")
        audit(at, who, what, detail)

    monkeypatch.setattr(world.ledger, "audit", fails)
    assert (await _recover(world))["recovered"] is True


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


# ---------------------------------------------------------------- without --step


async def _rung(world: World) -> Step | str:
    found = await inspect(world.gateway, world.watch.book, world.clock, at_most=timedelta(seconds=5))
    judged = found.find(KEY)
    assert judged is not None
    incident = next(iter(world.ledger.open_incidents("home")), None)
    return next_rung(judged, incident, found, world.gateway)


def _tried(world: World, step: Step, state: AttemptState) -> None:
    at = world.clock.now().wall
    incident = world.ledger.open_incident(gateway="home", session=KEY, session_id="x", reason="NoActiveRun", at=at)
    attempt = world.ledger.plan_attempt(incident.id, step, at, before=RunIdentity.of(dead()), before_tail=None)
    world.ledger.claim_attempt(attempt.id, at)
    world.ledger.settle_attempt(attempt.id, state, at, reason="NothingChanged")


async def test_the_first_rung_of_its_ladder_is_offered_and_then_the_next() -> None:
    world = World()
    world.gateway.put(dead())
    assert await _rung(world) is Step.RESUME
    _tried(world, Step.RESUME, AttemptState.INEFFECTIVE)
    assert await _rung(world) is Step.NEW
    _tried(world, Step.NEW, AttemptState.INEFFECTIVE)
    assert await _rung(world) == "every step of its ladder was tried; name one with --step"


async def test_nobody_is_asked_twice_without_being_named() -> None:
    world = World()
    world.gateway.put(dead())
    _tried(world, Step.ASK, AttemptState.SUCCEEDED)
    assert str(await _rung(world)).startswith("the one who asked was asked to send it again")


async def test_a_live_run_has_no_next_step() -> None:
    world = World()
    world.gateway.put(vague(has_active_run=True))
    assert str(await _rung(world)).startswith("a run is alive there")


async def test_a_policy_that_only_tells_has_no_next_step() -> None:
    world = World(PolicyBook((), policy(ladder=(Step.NOTIFY,))))
    world.gateway.put(dead())
    assert await _rung(world) == "its policy default only tells a person; name a step with --step"


def test_it_is_typed_without_a_step_and_the_help_says_what_each_does(tmp_path: Path) -> None:
    world = SimulatedWorld(PROFILES["2026.9.6"], SystemClock().now().wall, 1)
    world.session("agent:main:main")
    with served(world) as gateway:
        enter = typing(write_config(tmp_path, section("home", gateway)))
        done = enter("recover", "agent:main:main", "--yes")
        unknown = enter("recover", "agent:main:mian", "--yes")
    assert "not recovered: it is not stuck: " in done.stderr
    assert "not recovered: home: no session has the key agent:main:mian" in unknown.stderr
    said = CliRunner().invoke(app, ["recover", "--help"], env={"COLUMNS": "200"}).stdout
    for step in _BY_HAND:
        assert f" {step.value}: " in said


@pytest.mark.parametrize("step", [Step.RESUME, Step.NEW, Step.ASK])
async def test_what_nobody_could_read_is_neither_gone_on_with_nor_thrown_away(step: Step) -> None:
    world = World()
    world.gateway.put(dead())
    world.gateway.tails[KEY] = None
    done = await _recover(world, step)
    assert "its transcript could not be read" in str(done["reason"])
    assert (world.steps, world.attempts) == ([], [])


async def test_what_was_answered_is_not_asked_for_again() -> None:
    world = World()
    world.gateway.put(dead())
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, by=person_of(KEY)))
    done = await _recover(world, Step.RESUME)
    assert "its last request was answered" in str(done["reason"])
    assert world.steps == []
    await _recover(world, Step.NEW)
    assert world.steps == [Step.NEW]


async def test_who_waits_does_not_lose_their_words() -> None:
    world = World()
    world.gateway.put(dead())
    world.gateway.see(KEY, tail=tail_of(by=person_of(KEY), has_pending_input=True))
    done = await _recover(world, Step.NEW)
    assert "a message waits there" in str(done["reason"])
    assert world.steps == []


async def test_who_was_only_asked_to_send_it_again_is_not_recovered() -> None:
    world = World()
    world.gateway.put(dead())
    world.gateway.see(KEY, tail=tail_of(by=person_of(KEY)))
    done = await _recover(world, Step.ASK)
    assert (done["state"], done["recovered"]) == ("succeeded", False)
    assert world.steps == [Step.ASK]
    assert [incident.is_open for incident in world.incidents] == [True]
