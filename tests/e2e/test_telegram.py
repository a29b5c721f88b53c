"""Telegram as the gateways speak it, on a Bot API of the tests' own: who writes is answered where they wrote, and the
session that it lands in is the one that the harness says."""

from __future__ import annotations

import pytest

from .conftest import MakeWorld
from .harness.releases import Release
from .harness.routes import PrivateTopic, TelegramDm, TelegramGroup, TelegramRoute, TelegramTopic
from .harness.telegram import ALICE, BOB, CLAW, FORUM, TEAM, WORK_CLAW
from .harness.world import World

pytestmark = pytest.mark.e2e

ONE_BY_ONE = {"session": {"dmScope": "per-channel-peer"}}


def require_answered_in_place(world: World, route: TelegramRoute) -> None:
    marker = world.fresh_marker("HELLO")
    already = len(world.telegram.said)
    route.say(world, f"good morning {marker}")
    answer = str(world.provider.await_answer(marker).answer)
    heard = world.telegram.wait_for(answer, route.place, after=already)
    assert world.await_status(route.key, "done")["key"] == route.key
    assert [each for each in world.telegram.heard(after=already) if each.shows(answer)] == [heard]
    assert world.telegram.waiting(route.place.bot) == 0


def test_who_writes_is_answered_where_they_wrote(release: Release, make_world: MakeWorld) -> None:
    world = make_world(release, telegram=True)
    for route in (
        TelegramDm(ALICE),
        TelegramDm(BOB),
        TelegramGroup(TEAM, ALICE),
        TelegramTopic(FORUM, ALICE, 11),
        TelegramTopic(FORUM, BOB, 12),
        TelegramTopic(FORUM, BOB),
        PrivateTopic(ALICE, 77, in_main=release.private_topics_in_main),
    ):
        require_answered_in_place(world, route)


def test_people_with_sessions_of_their_own_and_a_second_bot(release: Release, make_world: MakeWorld) -> None:
    world = make_world(release, telegram=True, bots=(CLAW, WORK_CLAW), extra=ONE_BY_ONE)
    for route in (
        TelegramDm(ALICE, own_session=True),
        TelegramDm(BOB, own_session=True),
        TelegramDm(ALICE, bot=WORK_CLAW),
        TelegramGroup(TEAM, BOB, bot=WORK_CLAW),
    ):
        require_answered_in_place(world, route)
