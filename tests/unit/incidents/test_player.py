"""What a script says is what the real client is told: what a session still holds, and how the gateway takes a deed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.incidents.cases import Case
from tests.incidents.script import NAME, ScriptedGateway, World
from watchdog.core.model import Look, Session, Status, TailKind
from watchdog.core.policy import Step
from watchdog.service import errors
from watchdog.service.ports import Deed, Wants

MINUTE = 60.0


def _world(**said: Any) -> World:
    shape = {
        "id": "one",
        "issues": ["1"],
        "right": "leave",
        "version": "2026.9.6",
        "story": "One row.",
        "rows": {"dm": {"as": "direct", "status": "running", "startedAt": "-5m", "updatedAt": "-5m"}},
        "expect": [],
        "until": "5m",
    }
    return World.of(msgspec.convert(shape | said, Case))


async def _seen(gateway: ScriptedGateway) -> tuple[Session, Look]:
    await gateway.connect()
    (row,) = (await gateway.list_sessions()).sessions
    return row, await gateway.look(row, Wants(tail=True))


async def _after(world: World, step: Step, seconds: float = MINUTE) -> tuple[Session, Look]:
    gateway = ScriptedGateway(world, frozenset({step}))
    row, _ = await _seen(gateway)
    await gateway.prepare(step, row)
    await gateway.perform(Deed(step, row, "k1", "go on"))
    world.advance(seconds)
    return await _seen(gateway)


@pytest.mark.parametrize(
    ("states", "is_pending", "lost"),
    [((), False, 0), (("queued",), True, 0), (("interrupted", "interrupted", "cancelled"), False, 2)],
)
async def test_pending_inputs_by_state(states: tuple[str, ...], is_pending: bool, lost: int) -> None:
    world = _world(gateway={"queued_inputs": {"dm": 1}, "pending_states": {"dm": list(states)}})
    _, look = await _seen(ScriptedGateway(world, frozenset()))
    assert look.tail is not None
    assert (look.tail.has_pending_input, look.tail.lost_inputs) == (is_pending, lost)


async def test_a_turn_is_answered_and_its_row_stays() -> None:
    row, look = await _after(_world(deeds={"resume": [{"answers_row_stays": "5s"}]}), Step.RESUME)
    assert look.tail is not None
    assert (row.status, row.ended_at, row.has_active_run) == (Status.RUNNING, None, False)
    assert (look.tail.kind, look.tail.has_run_in_flight) == (TailKind.ANSWERED, False)


async def test_a_row_that_is_freed_lets_in_who_waited() -> None:
    world = _world()
    row, _ = await _after(world, Step.FREE, 2.0)
    assert row.status is Status.FAILED
    world.advance(MINUTE)
    row, look = await _seen(ScriptedGateway(world, frozenset()))
    assert look.tail is not None
    assert (row.status, look.tail.kind) == (Status.DONE, TailKind.ANSWERED)


async def test_a_suspended_gateway_lets_us_in_and_refuses_everything() -> None:
    world = _world(gateway={"phase": "suspended"})
    gateway = ScriptedGateway(world, frozenset())
    assert (await gateway.connect()).name == NAME
    with pytest.raises(errors.GatewayError):
        await gateway.list_sessions()
    assert world.hello(())["snapshot"]["suspension"] == {"phase": "prepared"}
