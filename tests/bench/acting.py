"""How soon a deed follows the moment it was allowed, on a real gateway: that moment lies between two polls.

A few runs at a time lose their last write (as in ``finding``), which leaves their sessions running; the daemon resumes them.
The moment is when a session had been seen without an owner for ``stuck_after``.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.spending import settle
from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.provider import Stream
from tests.e2e.harness.routes import Web
from tests.e2e.harness.runs import Run, begin
from tests.e2e.harness.stores import write_lock
from tests.e2e.harness.waiting import until
from tests.e2e.harness.world import World
from tests.faults.promptness import delays, sentence

EVERY, STUCK_AFTER, CONFIRM_FOR = 10, 30, 10
"""Seconds."""
ROUNDS, AT_ONCE = 6, 4
SETTINGS: dict[str, Any] = {
    "poll_every": f"{EVERY}s",
    "thresholds": {"stuck_after": f"{STUCK_AFTER}s", "confirm_for": f"{CONFIRM_FOR}s", "startup_grace": "3s"},
    "recovery": {
        "max_concurrent": AT_ONCE,
        "budget": {"attempts": 100, "per": "72h"},
        "gateway_budget": {"attempts": 1000, "per": "1h"},
    },
}


def _left_running(world: World, number: int) -> list[Run]:
    runs = [
        begin(world, Web(f"agent:main:bench:left:{number}:{one}"), Stream(8), first_turn=True) for one in range(AT_ONCE)
    ]
    with write_lock(world.gateway, runs[0].key):

        def are_left() -> bool:
            rows = {row["key"]: row for row in world.witness.rows()}
            return all(
                rows[run.key].get("status") == "running" and rows[run.key].get("hasActiveRun") is False for run in runs
            )

        until("no end was written", are_left, within=180, every=0.5)
    return runs


def run(out: Console, world: World) -> None:
    """Leave sessions running, a few at a time, and have every one of them resumed."""
    settle(world.gateway.pid)
    folder = Path(tempfile.mkdtemp(prefix="watchdog-bench-"))
    try:
        with Watchdog(world.gateway, folder, extra=SETTINGS) as watchdog:
            watchdog.wait_for("cycle.finished", within=60)
            for number in range(ROUNDS):
                for one in _left_running(world, number):
                    watchdog.wait_for("recovery.succeeded", session=one.key, within=180)
            found = delays(watchdog.lines, STUCK_AFTER)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    out.print(f"{ROUNDS * AT_ONCE} sessions left running, a poll every {EVERY} s; {sentence(found)}")
