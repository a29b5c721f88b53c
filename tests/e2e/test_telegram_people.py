"""Whose request, whose chat: a request that was cut off comes back to the one who made it, where they made it, once, and
nothing of it is said anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.e2e.harness.conditions import until

from .conftest import MakeWorld, on
from .harness.daemon import Watchdog
from .harness.people import (
    Since,
    await_held,
    ends_with_words_of,
    is_over,
    require_answered_once,
    require_going_on,
    start_afresh,
    strand,
)
from .harness.releases import V3_24, V5_18, V9_6, Release
from .harness.routes import PrivateTopic, TelegramDm, TelegramGroup, TelegramRoute, TelegramTopic, Web
from .harness.runs import Run, finished, in_model_call, warm_up
from .harness.stuck import Stuck, by_kill, by_lost_write
from .harness.telegram import ALICE, BOB, CLAW, FORUM, TEAM, WORK_CLAW, Chat, Person, Place
from .harness.world import World

pytestmark = pytest.mark.e2e

ONE_BY_ONE = {"session": {"dmScope": "per-channel-peer"}}
OPERATORS = Chat(-100501, "Operators")
MALLORY = Person(1003, "Bob Bell (1002)", "mallory")


@dataclass
class Scene:
    """Requests cut off in every kind of place, and a watchdog at work on them."""

    world: World
    watchdog: Watchdog
    stuck: Sequence[Stuck]
    since: Since


def watchdog_on(world: World, ladder: Sequence[str] = ("resume", "new")) -> Watchdog:
    """One watchdog for all tests of a world: another one, with a ledger of its own, would take the turns of the first for
    those of a stranger, and hold its own."""
    recovery = {"ladder": list(ladder), "budget": {"attempts": 100, "per": "72h"}}
    return Watchdog(world.gateway, world.gateway.home / "watchdog", extra={"recovery": recovery})


@contextmanager
def at_work(world: World, routes: Sequence[TelegramRoute]) -> Iterator[Scene]:
    stuck = strand(world, routes)
    since = Since.now(world)
    with watchdog_on(world) as watchdog:
        yield Scene(world, watchdog, stuck, since)
        assert watchdog.stop() == 0


def require_everybody_answered_in_place(scene: Scene) -> None:
    heard = {
        session.key: require_answered_once(scene.since, scene.watchdog, session, place_of(session))
        for session in scene.stuck
    }
    assert set(scene.since.heard()) == set(heard.values()), "nothing else is said anywhere"
    for session in scene.stuck:
        require_going_on(scene.world, session)


def place_of(session: Stuck) -> Place:
    route = session.run.route
    assert isinstance(route, TelegramRoute)
    return route.place


def test_requests_come_back_to_their_places(world: World) -> None:
    finished(world, TelegramDm(BOB))
    routes: list[TelegramRoute] = [
        TelegramDm(ALICE),
        TelegramGroup(TEAM, ALICE),
        TelegramTopic(FORUM, ALICE, 11),
        TelegramTopic(FORUM, BOB, 12),
        TelegramTopic(FORUM, BOB),
    ]
    if not world.release.private_topics_in_main:
        routes.append(PrivateTopic(ALICE, 77, in_main=False))
    with at_work(world, routes) as scene:
        require_everybody_answered_in_place(scene)


@on(V5_18)
def test_a_private_topic_in_the_main_session_is_answered_there(world: World) -> None:
    with at_work(world, [PrivateTopic(ALICE, 77, in_main=True)]) as scene:
        require_everybody_answered_in_place(scene)


@pytest.mark.parametrize("ladder", [["resume"], ["new"], ["ask"]], ids="+".join)
@on(V3_24, V9_6)
def test_not_one_word_of_hers_reaches_who_wrote_last(world: World, ladder: list[str]) -> None:
    """One main session: Alice asks, Bob writes last, and the row's address is his. On 2026.3.24 his words wait behind
    her run and die with it; on 2026.9.6 they wait at a session that is deaf."""
    alice, bob = TelegramDm(ALICE), TelegramDm(BOB)
    start_afresh(world, alice.key)
    finished(world, bob)
    warm_up(world, alice)
    marker = world.fresh_marker("BOBS")

    def he_writes(_: Sequence[Run] = ()) -> None:
        bob.say(world, f"and the ferries? {marker}")
        until("the row's address is his", lambda: str(BOB.id) in world.row(bob.key)["deliveryContext"]["to"], within=60)

    is_deaf = world.release is V9_6
    (session,) = strand(world, [alice], meanwhile=None if is_deaf else he_writes)
    since = Since.now(world)
    if is_deaf:
        he_writes()
    with watchdog_on(world, ladder) as watchdog:
        until("Alice is answered or asked", lambda: since.heard(alice.place), within=120)
        if is_deaf:
            world.telegram.wait_for(str(world.provider.await_answer(marker).answer), bob.place, after=since.said)
        until(f"{session.key} is over", lambda: is_over(world, session.key) or ladder == ["ask"], within=60)
        assert watchdog.stop() == 0
    assert since.chats_shown(session.marker) <= {ALICE.id}
    answers_to_him = {call.answer for call in since.calls if ends_with_words_of(call, marker)}
    for message in since.heard():
        assert message.is_in(alice.place) or (message.is_in(bob.place) and message.text in answers_to_him), message
    assert len(since.heard(alice.place)) == 1
    if ladder == ["ask"]:
        assert not since.turns_of_ours(), "a literal message is no turn"


def test_a_name_that_ends_like_somebody_elses_label_is_nobody_elses(world: World) -> None:
    start_afresh(world, TelegramDm(BOB).key)
    finished(world, TelegramDm(BOB))
    with at_work(world, [TelegramDm(MALLORY)]) as scene:
        require_everybody_answered_in_place(scene)
        assert scene.since.chats_shown(scene.stuck[0].marker) <= {MALLORY.id}


def test_words_typed_in_the_browser_are_not_published_to_the_group(world: World) -> None:
    group = TelegramGroup(OPERATORS, BOB)
    finished(world, group)
    browser = Web(group.key)
    is_deaf = world.release is V9_6
    session = by_lost_write(world, browser) if is_deaf else by_kill(world, [in_model_call(world, browser)])[0]
    since = Since.now(world)
    with watchdog_on(world) as watchdog:
        await_held(watchdog, session.key, "requester_unknown")
        assert watchdog.stop() == 0
    assert not since.chats_shown(session.marker)
    assert not since.heard()
    assert not since.turns_of_ours()


def test_requests_come_back_to_sessions_of_their_own_and_by_the_second_bot(
    release: Release, make_world: MakeWorld
) -> None:
    world = make_world(release, telegram=True, bots=(CLAW, WORK_CLAW), extra=ONE_BY_ONE)
    routes: list[TelegramRoute] = [
        TelegramDm(ALICE, own_session=True),
        TelegramDm(BOB, own_session=True),
        TelegramDm(ALICE, bot=WORK_CLAW),
        TelegramGroup(TEAM, BOB, bot=WORK_CLAW),
    ]
    with at_work(world, routes) as scene:
        require_everybody_answered_in_place(scene)
