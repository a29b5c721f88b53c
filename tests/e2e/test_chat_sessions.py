"""A person on a real chat network (IRC): their run is orphaned, the watchdog resumes it, and the answer reaches *them*.

On these gateways a channel-started run that lives and one that is dead look the same in the list (2026.3.24, 2026.5.18), a
stuck one may be deaf to its channel (2026.9.6), and the wrong request answers into the void or ruins the reply address.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.harness.conditions import until

from .harness import healthy
from .harness.daemon import Watchdog
from .harness.people import MARK, await_outcome, is_over
from .harness.releases import V3_24, V4_14, V5_18, V9_6, Release
from .harness.routes import GroupChat, Listener, PrivateChat, Route
from .harness.runs import finished, in_model_call
from .harness.stuck import Stuck, by_kill, by_lost_write
from .harness.world import World

pytestmark = pytest.mark.e2e

TEAM, FRESH, BUSY = GroupChat("#team"), GroupChat("#fresh"), GroupChat("#busy")
GROUPS = ("#team", "#fresh", "#busy")
ALICE_ON_IRC = "alice!~alice@127.0.0.1"
A_MINUTE = 60.0
ONE_BY_ONE = {"session": {"dmScope": "per-channel-peer"}}
DENIED = {"exec", "process", "write", "edit"}
ALICE_HAS_NO_EXEC = {
    "channels": {
        "irc": {
            "groups": {
                TEAM.group: {"requireMention": False, "toolsBySender": {f"id:{ALICE_ON_IRC}": {"deny": sorted(DENIED)}}}
            }
        }
    }
}
START_AFRESH = {
    "policies": [
        {"name": "afresh", "match": {"key": FRESH.key}, "recovery": {"ladder": ["new"], "verify_within": "60s"}}
    ]
}

releases = pytest.mark.parametrize("release", [V3_24, V5_18, V9_6], ids=lambda release: release.version)
every_release = pytest.mark.parametrize("release", [V3_24, V4_14, V5_18, V9_6], ids=lambda release: release.version)


def place_of(address: dict[str, str]) -> tuple[str, str, str]:
    """Where an address leads. 2026.9.6 writes the one it has just used back without its ``channel:``; the person is
    reached by either form, which the test goes on to prove by being heard."""
    return address["channel"], address["accountId"], address["to"].removeprefix("channel:")


def strand(world: World, routes: Sequence[Route]) -> list[Stuck]:
    """Leave a run of each route stuck, in the way of this release."""
    if world.release.resumes_on_boot:
        return [by_lost_write(world, route) for route in routes]
    return by_kill(world, [in_model_call(world, route) for route in routes])


def ears_at(world: World, routes: Sequence[Route]) -> dict[str, Listener]:
    ears = {route.key: route.listen(world) for route in routes}
    return {key: ear for key, ear in ears.items() if ear is not None}


def require_answered(world: World, watchdog: Watchdog, session: Stuck, ear: Listener) -> None:
    """Recovered by one resume turn whose answer the person hears."""
    said = watchdog.wait_for("recovery.succeeded", session=session.key, within=300)
    assert said["step"] == "resume"
    mark = f"[openclaw-watchdog {said['incident']}/1]"
    call = until("the model sees it", lambda: next(iter(world.provider.calls_showing(mark)), None), within=60)
    assert call.shows(session.request)
    ear.wait_for(str(call.answer))
    until(f"{session.key} is over", lambda: is_over(world, session.key), within=90)
    assert world.provider.calls_showing(mark) == [call]
    if world.release is V9_6:
        assert "TerminalDeliverySent" in said["verified_by"]


@every_release
def test_group_and_main_session_are_answered_a_healthy_run_is_left_alone(release: Release, tmp_path: Path) -> None:
    with World(release, tmp_path / "gateway", chat=True, groups=GROUPS) as world:
        routes: list[Route] = [TEAM, PrivateChat()]
        stuck = strand(world, routes)
        busy = healthy.from_chat(world, BUSY)
        ears = ears_at(world, routes)
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            for session in stuck:
                require_answered(world, watchdog, session, ears[session.key])
            healthy.stay_untouched(world, [busy], for_seconds=A_MINUTE)
            assert not watchdog.events("recovery.started", session=busy.key)


@releases
def test_direct_session_is_answered(release: Release, tmp_path: Path) -> None:
    with World(release, tmp_path / "gateway", chat=True, extra=ONE_BY_ONE) as world:
        route = PrivateChat(own_session=True)
        (stuck,) = strand(world, [route])
        ears = ears_at(world, [route])
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            require_answered(world, watchdog, stuck, ears[route.key])


@releases
def test_a_member_gets_no_tool_by_being_interrupted(release: Release, tmp_path: Path) -> None:
    """Alice has no `exec` in the group: she is asked there, and her own words run with her own rights."""
    shown = {"tools": {"toolSearch": False}} if release is V9_6 else {}  # else most tools are hidden behind a search
    with World(release, tmp_path / "gateway", chat=True, groups=GROUPS, extra=ALICE_HAS_NO_EXEC | shown) as world:
        (session,) = strand(world, [TEAM])
        own = session.run.call.tools
        assert own
        assert not own & DENIED
        ear = ears_at(world, [TEAM])[TEAM.key]
        already = len(world.provider.calls)
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            ear.wait_for("please send it again", within=180)
            again = finished(world, TEAM)
            assert again.call.tools == own
            await_outcome(watchdog, session.key, "recovered")
        for call in world.provider.calls[already:]:
            assert MARK not in call.last_said, "a literal message is no turn"


@releases
def test_after_a_fresh_session_the_person_knows_and_can_be_reached(release: Release, tmp_path: Path) -> None:
    with World(release, tmp_path / "gateway", chat=True, groups=GROUPS) as world:
        (stuck,) = strand(world, [FRESH])
        address = world.row(FRESH.key)["deliveryContext"]
        ear = ears_at(world, [FRESH])[FRESH.key]
        with Watchdog(world.gateway, tmp_path / "watchdog", extra=START_AFRESH) as watchdog:
            said = watchdog.wait_for("recovery.succeeded", session=stuck.key, within=300)
            assert said["step"] == "new"
            ear.wait_for("a fresh session was started")
            assert place_of(world.row(FRESH.key)["deliveryContext"]) == place_of(address)
            (note,) = (tmp_path / "watchdog" / "state" / "handoff").iterdir()
            assert stuck.request in note.read_text()

            marker = world.fresh_marker("REACH")
            world.witness.chat(FRESH.key, f"say hello to them {marker}", deliver=True)
            ear.wait_for(str(world.provider.await_call(marker).answer))

            marker = world.fresh_marker("AGAIN")
            FRESH.say(world, f"are you there again? {marker}")
            ear.wait_for(str(world.provider.await_call(marker).answer))
