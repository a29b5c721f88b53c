"""Polls that list nothing, because the gateway shows that nothing has changed: when the watch asks for that, and when not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from watchdog.core.model import MalformedRow, Status
from watchdog.core.policy import PolicyBook, Step
from watchdog.core.verdict import Verdict
from watchdog.service import errors
from watchdog.service.ledger import Quarantine
from watchdog.service.ports import Standstill

from .world import POLL, World, dead, lenient

KEY = "agent:main:irc:direct:alice"
QUIET = "agent:main:irc:direct:quiet"
STILL = Standstill(timedelta(milliseconds=2), size_bytes=700)


def _still(book: PolicyBook | None = None) -> World:
    """A gateway where nothing ever happens, and that shows it; its one list of the start is behind us."""
    world = World(book=book or PolicyBook(default=lenient()), poll_every=POLL)
    world.gateway.put(dead(QUIET, status=Status.DONE)).be(carries=frozenset({QUIET}), still=STILL)
    return world


def _lists(world: World) -> int:
    return len(world.gateway.asked)


async def _lists_in_next_pass(world: World) -> int:
    before = _lists(world)
    world.clock.advance(POLL.total_seconds())
    await world.look()
    return _lists(world) - before


async def test_while_nothing_changes_nothing_is_listed_until_the_next_sweep() -> None:
    world = _still()
    world.watch.full_sweep_every = timedelta(minutes=15)
    await world.live(minutes=31)
    assert _lists(world) == 3


async def test_what_was_so_at_the_last_list_is_reported_and_how_fast_the_gateway_is_now() -> None:
    world = _still()
    listed = await world.look()
    world.clock.advance(30)
    report = await world.look()
    assert _lists(world) == 1
    assert report.judged == listed.judged
    assert (report.at, report.latency, report.size_bytes) == (world.clock.now(), STILL.took, 700)
    assert report.is_good
    assert not report.deeds


async def test_a_proof_that_ends_is_due_then() -> None:
    world = _still()
    await world.look()
    until = world.clock.now().plus(timedelta(seconds=50))
    world.gateway.still = Standstill(timedelta(0), until=until)
    world.clock.advance(30)
    assert (await world.look()).wakes_at == until
    world.clock.advance(20)
    before = _lists(world)
    await world.look()
    assert _lists(world) == before + 1


async def test_what_could_wait_and_was_settled_meanwhile_is_due_no_more() -> None:
    world = _still()
    await world.look()
    world.gateway.still = replace(STILL, until=world.clock.now().plus(2 * POLL))
    assert await _lists_in_next_pass(world) == 0
    world.gateway.still = STILL
    assert await _lists_in_next_pass(world) == 0
    assert await _lists_in_next_pass(world) == 0
    assert (await world.look()).wakes_at is None


async def test_a_gateway_that_does_not_answer_even_that_is_told_as_one() -> None:
    world = _still()
    await world.look()
    world.gateway.failing["standstill"] = errors.GatewayUnresponsive("home: no answer.")
    world.clock.advance(30)
    assert not (await world.look()).is_good


async def test_a_run_that_is_proven_alive_is_left_alone_until_it_is_long() -> None:
    world = _still()
    world.gateway.put(dead(KEY, has_active_run=True, started_at=world.clock.now().wall))
    listed = await world.look()
    (alive,) = [item for item in listed.judged if item.session.key == KEY]
    assert alive.judgement.verdict is Verdict.HEALTHY
    assert await _lists_in_next_pass(world) == 0
    assert alive.judgement.changes_at is not None
    world.clock.advance(alive.judgement.changes_at.since(world.clock.now()).total_seconds() - POLL.total_seconds())
    world.watch.full_sweep_every = timedelta(days=1)
    world.watch.trust.last_pass = world.clock.now()
    assert await _lists_in_next_pass(world) == 1, "a threshold is reached"


Spoil = Callable[[World], object]


def _quarantine(world: World, session_id: str) -> None:
    world.ledger.quarantine(Quarantine("home", KEY, session_id, world.clock.now().wall, "nothing helped"))


REASONS: dict[str, Spoil] = {
    "a run whose owner is gone": lambda world: world.gateway.put(dead(KEY)),
    "a run nobody can tell of": lambda world: world.gateway.put(dead(KEY, has_active_run=None)),
    "a queued run": lambda world: world.gateway.put(dead(KEY, status=Status.QUEUED)),
    "a list cut short": lambda world: world.gateway.be(is_complete=False),
    "a row nobody can read": lambda world: world.gateway.be(malformed=(MalformedRow(0, "x", "no key"),)),
    "a slow gateway": lambda world: world.gateway.be(latency=9.0),
}


@pytest.mark.parametrize("reason", REASONS)
async def test_what_has_to_be_seen_again_is(reason: str) -> None:
    world = _still()
    REASONS[reason](world)
    await world.look()
    assert await _lists_in_next_pass(world) == 1
    assert "standstill" not in world.gateway.calls


async def test_while_an_incident_is_open_every_poll_lists() -> None:
    world = _still()
    await world.look()
    world.ledger.open_incident(
        gateway="home", session=KEY, session_id=None, reason="NoActiveRun", at=world.clock.now().wall
    )
    assert await _lists_in_next_pass(world) == 1


async def test_a_ledger_that_cannot_be_written_is_noticed_as_soon_as_with_lists() -> None:
    world = _still()
    await world.look()
    world.ledger.is_writable = lambda: False  # type: ignore[method-assign]  # a full disk, which memory never has
    assert await _lists_in_next_pass(world) == 1


async def test_a_quarantined_run_is_not_looked_at_all_the_time_and_a_released_one_is() -> None:
    world = _still()
    world.gateway.put(dead(KEY))
    _quarantine(world, f"sid-{KEY}")
    await world.look()
    assert await _lists_in_next_pass(world) == 0
    world.ledger.release("home", KEY, world.clock.now().wall, who="op", why="try again")
    assert await _lists_in_next_pass(world) == 1


async def test_the_silence_of_a_run_that_may_be_aborted_is_watched() -> None:
    world = _still(PolicyBook(default=lenient(ladder=(Step.ABORT, Step.RESUME))))
    world.gateway.put(dead(KEY, has_active_run=True, started_at=world.clock.now().wall))
    await world.look()
    assert await _lists_in_next_pass(world) == 1


async def test_other_policies_judge_a_list_of_their_own() -> None:
    world = _still()
    await world.look()
    world.watch.take_book(PolicyBook(default=lenient()))
    assert await _lists_in_next_pass(world) == 1
    assert await _lists_in_next_pass(world) == 0


async def test_after_a_new_connection_and_a_gap_everything_is_read() -> None:
    world = _still()
    await world.look()
    world.gateway.drop(errors.GatewayClosed("home: gone.", 1006))
    assert await _lists_in_next_pass(world) == 1
    assert await _lists_in_next_pass(world) == 0
    world.clock.step(60)
    assert await _lists_in_next_pass(world) == 1, "our clock was set"
