"""Two watches over one gateway: whichever acts, the other one holds, says why, and leaves no plan behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.builders import dead, lenient
from tests.fakes.world import World
from watchdog.core.blockers import Blocker, BlockerName
from watchdog.core.policy import PolicyBook, Step
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.service.events import Event
from watchdog.service.plan import Action, PassContext, decide
from watchdog.service.watch import Watch


class OtherName:
    """The gateway of a world under another name."""

    name = "proxied"

    def __init__(self, world: World) -> None:
        self._inner = world.gateway

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def two_watches(*ladder: Step) -> tuple[World, Watch]:
    world = World(book=PolicyBook(default=lenient(ladder=ladder)))
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    return world, world.new_watch(OtherName(world))


async def test_the_other_name_holds_and_says_why() -> None:
    world, other = two_watches(Step.RESUME, Step.NEW)
    await world.until_deed()
    for _ in range(60):
        await other.pass_once()
        await world.look()
        world.clock.advance(world.poll_every.total_seconds())
    assert world.steps == [Step.RESUME, Step.NEW], "the ladder of one name, once"
    (incident,) = world.ledger.open_incidents("proxied")
    assert incident.attempts == ()
    held = [line for line in world.log.of(Event.RECOVERY_HELD) if line["gateway"] == "proxied"]
    assert any(BlockerName.FOREIGN_DEED.value in str(line["blockers"]) for line in held)


@pytest.mark.parametrize("first", [0, 1])
async def test_both_that_decided_to_act_do_not_both_act(first: int) -> None:
    """Between the decision and the claim lies an await: only the claim is sure."""
    world, other = two_watches(Step.RESUME)
    watches = [world.watch, other]
    for _ in range(80):
        for watch in watches:
            watch.is_observing = True
            await watch.pass_once()
        world.clock.advance(world.poll_every.total_seconds())
    decisions = []
    for watch in watches:
        judged = watch.last_report.judged[0] if watch.last_report is not None else None
        assert judged is not None
        incident = world.ledger.open_incidents(watch.gateway.name)[0]
        here = PassContext(world.clock.now(), watch.trust, True, True, False)
        decisions.append(decide(judged, incident, here, watch.gateway, world.ledger))
    assert [decision.action for decision in decisions] == [Action.ACT, Action.ACT]
    second = 1 - first
    assert isinstance(await watches[first].executor.act(decisions[first]), Attempt)
    assert isinstance(await watches[second].executor.act(decisions[second]), Blocker)
    assert len(world.steps) == 1
    (given_up,) = world.ledger.open_incidents(watches[second].gateway.name)[0].attempts
    assert (given_up.state, given_up.is_charged) == (AttemptState.ABANDONED, False)
