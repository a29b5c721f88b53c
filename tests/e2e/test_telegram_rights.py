"""Whose rights: no turn of ours is offered a tool that its requester was not, judged by what the model was offered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.conditions import until

from .conftest import MakeWorld
from .harness.daemon import Watchdog
from .harness.people import Since, await_outcome, require_answered_once, strand
from .harness.releases import V9_6, Release
from .harness.routes import TelegramDm, TelegramGroup
from .harness.runs import finished
from .harness.stuck import Stuck
from .harness.telegram import ALICE, BOB, TEAM
from .harness.world import World

pytestmark = pytest.mark.e2e

DENIED = {"exec", "write", "edit"}
OWNER_ALICE_MEMBER_BOB = {
    "channels": {
        "telegram": {
            "dmPolicy": "allowlist",
            "allowFrom": [str(ALICE.id)],
            "groups": {
                str(TEAM.id): {
                    "requireMention": False,
                    "toolsBySender": {f"id:{BOB.id}": {"deny": ["process", *sorted(DENIED)]}},
                }
            },
        }
    }
}
EVERY_TOOL_SHOWN = {"tools": {"toolSearch": False}}
"""2026.9.6 hides most tools behind a search, and what the model is offered would prove nothing."""


def test_a_member_gets_no_tool_by_being_interrupted_and_an_owner_is_resumed(
    release: Release, make_world: MakeWorld, tmp_path: Path
) -> None:
    """Alice alone is in `allowFrom`, which makes her the owner on 2026.3.24 and 2026.5.18. Bob has no `exec` in the group."""
    shown = EVERY_TOOL_SHOWN if release is V9_6 else {}
    world = make_world(release, telegram=True, extra=OWNER_ALICE_MEMBER_BOB | shown)
    owner, member = strand(world, [TelegramDm(ALICE), TelegramGroup(TEAM, BOB)])
    hers, his = owner.run.call.tools, member.run.call.tools
    assert "exec" in hers
    assert his
    assert not his & DENIED
    if release is not V9_6:
        assert {"cron", "gateway"} <= hers
    since = Since.now(world)
    with Watchdog(world.gateway, tmp_path) as watchdog:
        require_answered_once(since, watchdog, owner, TelegramDm(ALICE).place)
        place = member.run.route.place  # type: ignore[attr-defined]
        until("Bob is answered or asked", lambda: since.heard(place), within=120)
        require_no_other_rights(world, since, owner, hers)
        require_no_other_rights(world, since, member, his)
        if not since.turns_of_ours(member.marker):  # asked: his own words run with his own rights
            again = finished(world, member.run.route)
            assert again.call.tools == his
            found = await_outcome(watchdog, member.key, "recovered")
            assert "PersonAnswered" in str(found["attempts"][-1]["verified_by"])


def require_no_other_rights(world: World, since: Since, session: Stuck, own: set[str]) -> None:
    """Every model call of ours in which this request is seen."""
    for call in since.turns_of_ours():
        if call.shows(session.marker):
            assert call.tools <= own, f"{session.key}: offered beyond its requester's rights: {call.tools - own}"
