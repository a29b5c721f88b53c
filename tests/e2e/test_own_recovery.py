"""What the gateway recovers by itself is left to it, however long that takes.

After a crash 2026.9.6 takes up the runs that were cut one after the other. The rows of those that wait for their turn look
like dead ones; that preflight names the restart recovery is all that tells.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.conditions import stays, until

from .harness.daemon import Watchdog
from .harness.provider import Held
from .harness.releases import V9_6
from .harness.routes import Web
from .harness.runs import begin
from .harness.world import World

pytestmark = pytest.mark.e2e

ONE_LANE = {"agents": {"defaults": {"maxConcurrent": 1}}}
LONG = 45.0
"""Seconds for which the first recovered run goes on: longer than any window after a start, and than the thresholds of tests."""


def _waits(world: World, key: str) -> bool:
    row = world.row(key)
    return row.get("status") == "running" and row.get("abortedLastRun") is True and not row.get("hasActiveRun")


def test_rows_that_wait_for_the_gateways_own_recovery_are_left_to_it(tmp_path: Path) -> None:
    with World(V9_6, tmp_path / "gateway") as world:
        held = Held()
        runs = [begin(world, Web(f"agent:main:cut{number}"), held) for number in range(3)]
        keys = [run.route.key for run in runs]
        world.kill()
        world.gateway.reconfigure(ONE_LANE)
        world.start()
        until("two of the three wait", lambda: sum(_waits(world, key) for key in keys) == 2, within=120)
        sent = len(world.provider.calls)
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            watchdog.wait_for("gateway.connected")
            stays(
                "nothing is done for who waits",
                lambda: not watchdog.events("session.stuck") and sum(_waits(world, key) for key in keys) == 2,
                for_seconds=LONG,
                every=2,
            )
            assert (
                "recovering interrupted sessions itself"
                in watchdog.verb("explain", next(key for key in keys if _waits(world, key))).out
            )
            held.end.set()
            until("all three are done", lambda: all(world.row(key)["status"] == "done" for key in keys), within=180)
            assert not watchdog.events("session.stuck")
            assert watchdog.stop() == 0
        assert not [call for call in world.provider.calls[sent:] if "[openclaw-watchdog" in call.turn_text]
