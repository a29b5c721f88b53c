"""``recover`` by hand while the daemon watches the same gateway: each settles what it sent itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from tests.fakes.builders import dead, lenient, policy
from tests.fakes.gateway import FakeGateway
from tests.fakes.world import World
from watchdog.cli.recover import ManualRecovery
from watchdog.core.model import Status
from watchdog.core.policy import Mode, PolicyBook, Recovery, Step
from watchdog.core.texts import mark_in
from watchdog.service.ledger import Incident, MessageKind, Outcome
from watchdog.service.one_shot import inspect
from watchdog.service.ports import Deed

HERS, BOBS = dead().key, "agent:main:irc:direct:bob"
"""The daemon's deed is done in the first, the one by hand in the second."""
OLD = "2026.5.18"
"""It says what became of an answer on the link that the turn was sent over, once."""
VERIFY_WITHIN = Recovery().verify_within


class Killed(BaseException):
    """The verb's process is gone."""


def _world(version: str = OLD) -> World:
    return World(book=PolicyBook(default=lenient()), version=version)


def _verbs_own_link(world: World) -> FakeGateway:
    """To the same gateway; it hears nothing of what is said on the daemon's."""
    link = FakeGateway(world.clock, world.version)
    link.rows, link.tails = world.gateway.rows, world.gateway.tails
    link.boot_id, link.booted_at = world.gateway.boot_id, world.gateway.booted_at
    return link


async def _by_hand(world: World, link: FakeGateway, step: Step = Step.RESUME) -> dict[str, object]:
    found = await inspect(link, world.watch.book, world.clock, at_most=timedelta(seconds=5))
    judged = found.find(BOBS)
    assert judged is not None
    hand = ManualRecovery(world.clock, link, world.ledger, world.notes, found)
    return await hand.recover(judged, step, confirm=False)


async def _daemons_deed_in_flight(world: World) -> None:
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.hang
    await world.until_deed()
    assert world.states == [("resume", "started")]


def _answered(world: World, key: str, deed: Deed) -> None:
    """The run of the turn ends well: by its row and its transcript."""
    mark = mark_in(deed.message or "")
    world.gateway.finish(key, mark=mark, updated_at=world.clock.now().wall, has_active_run=False)


def _incident(world: World, key: str) -> Incident:
    (found,) = (one for one in world.incidents if one.session == key)
    return found


def _meanwhile(world: World, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[None]]) -> None:
    """What happens each time that the verb waits before it looks again."""
    sleep = world.clock.sleep

    async def while_it_waits(seconds: float) -> None:
        await sleep(seconds)
        await happens()

    monkeypatch.setattr(world.clock, "sleep", while_it_waits)


async def test_a_verb_leaves_the_daemons_deed_to_the_daemon_that_hears_of_its_answer() -> None:
    world = _world()
    world.gateway.delivery = False  # the daemon's link is told
    await _daemons_deed_in_flight(world)
    world.gateway.put(dead(BOBS))
    _answered(world, HERS, world.gateway.performed[0])
    assert (await _by_hand(world, _verbs_own_link(world)))["recovered"] is True
    assert _incident(world, HERS).is_open
    assert [one.outcome for one in world.incidents if one.session == BOBS] == [Outcome.RECOVERED]
    await world.look()
    assert _incident(world, HERS).outcome is Outcome.UNDELIVERED


async def test_a_verb_closes_no_incident_but_its_own() -> None:
    """The daemon's turn was given up as silent, and was answered late: the daemon's link says whether it arrived."""
    world = _world()
    await _daemons_deed_in_flight(world)
    world.gateway.change(HERS, has_active_run=None)
    await world.live(minutes=3)
    assert world.states == [("resume", "ineffective")]
    world.gateway.delivery = False
    world.gateway.put(dead(BOBS))
    _answered(world, HERS, world.gateway.performed[0])
    link = _verbs_own_link(world)
    link.effect = link.fail
    assert (await _by_hand(world, link))["recovered"] is False
    assert _incident(world, BOBS).outcome is Outcome.FAILED, "its own is closed"
    assert _incident(world, HERS).is_open
    await world.look()
    assert _incident(world, HERS).outcome is Outcome.UNDELIVERED


async def test_the_daemons_deed_in_vain_is_told_by_the_daemon_which_knows_what_it_does_next() -> None:
    world = _world()
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    world.gateway.put(dead(BOBS))
    world.clock.advance(VERIFY_WITHIN.total_seconds())
    await _by_hand(world, _verbs_own_link(world))
    assert world.owed(MessageKind.INEFFECTIVE) == []
    await world.look()
    (message,) = world.owed(MessageKind.INEFFECTIVE)
    assert "starting a fresh session" in message.body


async def test_what_follows_a_deed_by_hand_in_vain_is_announced_and_comes() -> None:
    world = _world()
    await world.look()
    world.gateway.put(dead(BOBS))
    link = _verbs_own_link(world)
    link.effect = link.nothing
    link.scope_problems[Step.NEW] = "Only the deed by hand was signed in for."
    assert (await _by_hand(world, link))["recovered"] is False
    (message,) = world.owed(MessageKind.INEFFECTIVE)
    assert "Next: starting a fresh session." in message.body, "not when: the daemon counts from its own first look"
    await world.until_deed()
    assert world.steps == [Step.NEW]


async def test_what_does_not_follow_a_deed_by_hand_is_not_announced() -> None:
    world = World(PolicyBook((), policy(ladder=(Step.RESUME, Step.NEW), mode=Mode.OBSERVE)), version=OLD)
    world.gateway.put(dead(BOBS))
    link = _verbs_own_link(world)
    link.effect = link.nothing
    assert (await _by_hand(world, link))["recovered"] is False
    (message,) = world.owed(MessageKind.INEFFECTIVE)
    assert "Next would be starting a fresh session, but that is held back:" in message.body


async def test_the_daemon_leaves_a_deed_by_hand_to_the_verb_that_hears_of_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = _world()
    world.gateway.put(dead(BOBS))
    await world.look()
    link = _verbs_own_link(world)
    link.delivery, link.effect = False, link.hang

    async def the_daemon_looks_first() -> None:
        if link.performed and world.gateway.rows[BOBS].status is Status.RUNNING:
            _answered(world, BOBS, link.performed[0])
            await world.look()

    _meanwhile(world, monkeypatch, the_daemon_looks_first)
    done = await _by_hand(world, link)
    assert (done["state"], done["recovered"]) == ("succeeded", False)
    assert _incident(world, BOBS).outcome is Outcome.UNDELIVERED
    assert MessageKind.RECOVERED.value not in world.told()


async def _killed_after_its_deed(world: World, link: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def killed() -> None:
        if link.performed:
            raise Killed

    with monkeypatch.context() as patch:
        _meanwhile(world, patch, killed)
        with pytest.raises(Killed):
            await _by_hand(world, link)
    assert world.states == [("resume", "started")]


@pytest.mark.parametrize("daemon", ["goes on", "begins anew"])
async def test_what_a_killed_verb_left_is_settled_by_the_daemon_once_the_verb_would_have(
    daemon: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = _world()
    world.gateway.put(dead(BOBS))
    await world.look()
    link = _verbs_own_link(world)
    link.effect = link.hang
    await _killed_after_its_deed(world, link, monkeypatch)
    _answered(world, BOBS, link.performed[0])
    if daemon == "begins anew":
        world.die_and_start_again()
    sent_at = world.attempts[0].started_at
    assert sent_at is not None
    while world.clock.now().wall - sent_at <= VERIFY_WITHIN:
        report = await world.look()
        assert report.in_flight == 1
        world.clock.advance(5)
    assert world.attempts[0].is_in_flight
    await world.look()
    assert _incident(world, BOBS).outcome is Outcome.RECOVERED
    assert world.steps == [], "and nothing is done for it again"


async def test_what_a_killed_verb_left_in_vain_is_gone_on_with_and_never_done_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = _world()
    world.gateway.put(dead(BOBS))
    await world.look()
    link = _verbs_own_link(world)
    link.effect = link.nothing
    await _killed_after_its_deed(world, link, monkeypatch)
    await world.until_deed()
    assert world.steps == [Step.NEW]
    assert world.states == [("resume", "ineffective"), ("new", "started")]


async def test_it_stands_in_the_trail_before_it_is_claimed_that_a_person_sends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = _world()
    world.gateway.put(dead(BOBS))
    found: list[str] = []
    claim = world.ledger.claim_attempt

    def claims(*arguments: object) -> bool:
        found.extend(line.detail for line in world.ledger.audit_trail())
        return claim(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(world.ledger, "claim_attempt", claims)
    await _by_hand(world, _verbs_own_link(world))
    (attempt,) = world.attempts
    assert f"attempt 1 of incident {attempt.incident}: resume by hand" in found
