"""Recovered means that the person has the answer: blocked bots, a Telegram that is away, and people waiting at deaf sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.conditions import until
from watchdog.core.evidence import KNOCKS

from .conftest import on
from .harness.daemon import Watchdog
from .harness.people import Since, await_held, await_outcome, incident_of, is_held, is_over, strand
from .harness.provider import Call
from .harness.releases import V3_24, V5_18, V9_6
from .harness.routes import TelegramDm, TelegramGroup
from .harness.runs import Run, in_model_call
from .harness.telegram import ALICE, BOB, TEAM, Chat
from .harness.world import World

pytestmark = pytest.mark.e2e

WAITING = Chat(-100502, "Waiting")


def test_who_blocked_the_bot_has_no_answer(world: World, tmp_path: Path) -> None:
    route = TelegramDm(ALICE)
    (session,) = strand(world, [route])
    since = Since.now(world)
    world.telegram.block(ALICE)
    try:
        with Watchdog(world.gateway, tmp_path) as watchdog:
            until("its turn is over", lambda: watchdog.events("recovery.succeeded", session=session.key), within=120)
            if world.release is V3_24:  # where a refused answer looks like one that was taken
                (attempt,) = incident_of(watchdog, session.key)["attempts"]
                assert attempt["delivered"] is not True
            else:
                (attempt,) = await_outcome(watchdog, session.key, "undelivered")["attempts"]
                assert attempt["delivered"] is False
            assert watchdog.stop() == 0
    finally:
        world.telegram.unblock(ALICE)
    assert not since.heard()
    assert len(since.turns_of_ours()) == 1, "no second turn"


@on(V3_24, V5_18)
def test_nothing_is_done_while_telegram_is_away_and_nothing_twice_afterwards(world: World, tmp_path: Path) -> None:
    """2026.5.18 has the request on disk and carries it out by itself once it is connected, after some attempts even while
    Telegram answers 502; there is nothing for us to do."""
    held_by = "channel_down" if world.release is V3_24 else "gateway_recovering"
    route = TelegramGroup(TEAM, BOB)
    run = in_model_call(world, route)
    until("the gateway has received it", lambda: not world.telegram.waiting(), within=20)
    world.kill()
    world.provider.forget(run.marker)
    world.telegram.break_down()
    try:
        world.start()
        since = Since.now(world)
        with Watchdog(world.gateway, tmp_path) as watchdog:
            until(
                "the deed is held, or the gateway does it",
                lambda: is_held(watchdog, run.key, held_by) or carried_out(since, run),
                within=120,
            )
            assert not since.turns_of_ours()
            world.telegram.repair()
            until(f"{run.key} is over", lambda: carried_out(since, run) and is_over(world, run.key), within=180)
            if since.turns_of_ours():
                await_outcome(watchdog, run.key, "recovered")
                assert len(since.heard(route.place)) == 1
            assert watchdog.stop() == 0
            assert since.heard() or not [each for each in watchdog.history() if each["outcome"] == "recovered"]
    finally:
        world.telegram.repair()
    assert len(carried_out(since, run)) == 1
    assert len(since.heard()) <= 1


def carried_out(since: Since, run: Run) -> list[Call]:
    return [call for call in since.calls if call.shows(run.marker)]


@on(V9_6)
def test_who_waits_at_a_deaf_session_is_answered_without_a_turn_of_ours(world: World, tmp_path: Path) -> None:
    route = TelegramGroup(WAITING, ALICE)
    (session,) = strand(world, [route])
    since = Since.now(world)
    marker = world.fresh_marker("HELLO")
    route.say(world, f"are you there? {marker}")
    await_retry(world, route.key)
    assert not since.calls, "the session is deaf"
    watchdog = Watchdog(world.gateway, tmp_path)
    # Her words are tried again more and more rarely, and within these thresholds perhaps once: a resume would be due before
    # the daemon could know that somebody waits.
    assert watchdog.verb("pause").code == 0
    with watchdog:
        await_held(watchdog, session.key, "paused")
        for _ in range(KNOCKS + 1):
            await_retry(world, route.key)
        assert watchdog.verb("unpause").code == 0
        call = world.provider.await_answer(marker, within=120)
        heard = world.telegram.wait_for(str(call.answer), route.place, after=since.said)
        found = await_outcome(watchdog, session.key, "recovered")
        assert "PersonAnswered" in str(found["attempts"][-1]["verified_by"])
        assert watchdog.stop() == 0
    assert since.calls == [call]
    assert since.heard() == [heard]


def await_retry(world: World, key: str) -> None:
    """Until the gateway tries the words that wait at this session once more."""
    seen = world.row(key)["lastInteractionAt"]
    until("they are tried again", lambda: world.row(key)["lastInteractionAt"] > seen, within=240)
