"""Rows that say `running` although their last request was answered: the store was locked just after the answer had been written.

Only 2026.9.6 keeps its sessions in a store that can be locked. What was answered is asked of nobody again; who waits at such a
row is let in.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.conditions import stays, until

from .harness.daemon import Watchdog
from .harness.people import Since, await_outcome, is_ours
from .harness.provider import Held
from .harness.releases import V9_6
from .harness.routes import TelegramGroup, Web
from .harness.stuck import by_lost_write, by_lost_write_after_answer, lose_end_after_answer
from .harness.telegram import ALICE, Chat
from .harness.world import World

pytestmark = pytest.mark.e2e

WITH_NEW = {"recovery": {"ladder": ["resume", "new"]}}
A_WHILE = 30.0
"""Seconds: more than the longest back-off before a next step."""


def test_our_own_turn_that_was_answered_is_a_success_although_its_row_stays(tmp_path: Path) -> None:
    with World(V9_6, tmp_path / "gateway") as world:
        stuck = by_lost_write(world, Web("agent:main:lost"))
        sent, held = len(world.provider.calls), Held()
        world.provider.on(stuck.marker, held)
        with Watchdog(world.gateway, tmp_path / "watchdog", extra=WITH_NEW) as watchdog:
            watchdog.wait_for("recovery.started", session=stuck.key, step="resume")
            call = until("our turn is at the model", lambda: next(iter(world.provider.calls[sent:]), None), within=60)
            assert is_ours(call)
            until("it is going on", lambda: world.row(stuck.key).get("hasActiveRun"), within=60)
            ours = world.row(stuck.key)["startedAt"]
            lose_end_after_answer(world, stuck.key, stuck.marker, held)
            assert call.outcome == "answered"
            (attempt,) = await_outcome(watchdog, stuck.key, "recovered")["attempts"]
            assert (attempt["step"], attempt["state"]) == ("resume", "succeeded")
            row = world.row(stuck.key)
            assert (row["status"], row["startedAt"]) == ("running", ours)
            stays("nobody is asked again", lambda: world.provider.calls[sent:] == [call], for_seconds=A_WHILE)
            assert len(watchdog.events("recovery.started")) == 1
            assert not watchdog.events("session.quarantined")
            assert watchdog.stop() == 0


def test_who_waits_at_an_answered_row_is_let_in_and_answered(tmp_path: Path) -> None:
    """They heard "Something went wrong" instead of the answer, and every further message is refused at the door. Freed, the row takes
    what waits at the gateway's own next try, which is no further away than the words have waited so far."""
    with World(V9_6, tmp_path / "gateway", telegram=True) as world:
        route = TelegramGroup(Chat(-100502, "Waiting"), ALICE)
        session = by_lost_write_after_answer(world, route)
        assert session.run.call.outcome == "answered"
        assert not [each for each in world.telegram.heard(route.place) if each.shows(str(session.run.call.answer))]
        since, marker = Since.now(world), world.fresh_marker("WAITING")
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            route.say(world, f"are you there? {marker}")
            freed = watchdog.wait_for("recovery.started", session=session.key, within=180)
            assert freed["step"] == "free"
            call = world.provider.await_answer(marker, within=180)
            heard = world.telegram.wait_for(str(call.answer), route.place, after=since.said)
            found = await_outcome(watchdog, session.key, "recovered")
            assert [attempt["step"] for attempt in found["attempts"]] == ["free"]
            assert watchdog.stop() == 0
        assert since.calls == [call], "no turn of ours"
        assert since.heard() == [heard]
