"""Whose will: a person who typed /stop is not resumed, whenever they typed it, and no restart changes that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.conditions import until

from .conftest import MakeWorld
from .harness import healthy
from .harness.daemon import Watchdog
from .harness.people import Since, await_held, require_answered_once, strand
from .harness.releases import V5_18, Release
from .harness.routes import TelegramGroup, TelegramRoute, TelegramTopic
from .harness.runs import in_model_call
from .harness.stuck import by_kill
from .harness.telegram import ALICE, BOB, FORUM, TEAM
from .harness.world import World

pytestmark = pytest.mark.e2e

UNHURRIED = {"thresholds": {"stuck_after": "20s"}}
"""A person needs a moment to type, between the first look at a session and the deed."""


def stop_by_hand(world: World, route: TelegramRoute) -> None:
    ear = route.listen(world)
    route.say(world, "/stop")
    ear.wait_for("aborted", within=60)


def test_who_typed_stop_is_not_resumed(release: Release, make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(release, telegram=True)
    alive, unseen, seen = TelegramGroup(TEAM, ALICE), TelegramTopic(FORUM, BOB, 11), TelegramTopic(FORUM, ALICE, 12)
    later = TelegramTopic(FORUM, BOB)

    before = healthy.stopped_by_user(world, alive)
    stuck = strand(world, [unseen, seen])
    stop_by_hand(world, unseen)  # before anybody watches: the flag is true in the first poll of all
    requests = [before.run.marker, *(session.marker for session in stuck)]
    since = Since.now(world)
    with Watchdog(world.gateway, tmp_path, extra=UNHURRIED) as watchdog:
        watchdog.wait_for("session.suspect", session=seen.key)
        stop_by_hand(world, seen)
        # For an hour after its start a mark of 5.18's may be for a recovery of its own, which it names to nobody.
        if release is V5_18:
            watchdog.wait_for("cycle.finished", waiting=len(stuck))
        else:
            await_held(watchdog, seen.key, "stopped_by_person")
        assert not since.turns_of_ours()
        said_to_her = since.heard(seen.place)
        assert len(said_to_her) == 1, "she hears that it was stopped, and nothing else"
        assert not since.chats_shown(stuck[1].marker)

        if release.resumes_on_boot:  # takes stopped requests up by itself; what matters is that we do not join in
            world.kill()
            world.start()
            until("the gateway's own recovery is over", lambda: nothing_runs(world), within=120)
        else:
            with watchdog.held():  # it could be quicker than we are to see that she is stuck
                (fresh,) = by_kill(world, [in_model_call(world, later)])
                afterwards = Since.now(world)
            require_answered_once(afterwards, watchdog, fresh, later.place)  # so it had the time for the others
        for request in requests:
            assert not since.turns_of_ours(request)
        assert watchdog.stop() == 0


def nothing_runs(world: World) -> bool:
    return all(row.get("status") != "running" for row in world.witness.rows())
