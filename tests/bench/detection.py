"""How soon a session that becomes stuck among many is found, on a real gateway, by the daemon.

The run's last write is lost (the store is locked by somebody else while it ends), which is how 2026.9.6 leaves a session
running without a restart. What counts is from the moment its own list shows the row without a run to the line
``session.stuck``; ``LIMIT`` is what the daemon promises for it.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from tests.bench.crowd import Crowd, key_of
from tests.bench.usage import settle
from tests.e2e.harness.conditions import epoch_ms, until
from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.provider import Stream
from tests.e2e.harness.routes import Web
from tests.e2e.harness.runs import begin
from tests.e2e.harness.stores import write_lock
from tests.e2e.harness.world import World

STUCK_AFTER, CONFIRM_FOR, EVERY = 120, 60, 30
"""Seconds. ``poll_every`` and ``confirm_for`` as they come; ``stuck_after`` shorter, or nothing would be learned for long."""
LIMIT = STUCK_AFTER + CONFIRM_FOR + EVERY
LIVE = 5
TIMES = 3


@dataclass(frozen=True, slots=True)
class Found:
    """One session that was left running, beside so many others. Seconds from then until it was called stuck."""

    after: float
    sessions: int


def found(world: World, folder: Path, number: int) -> Found:
    """Let one session become stuck beside a daemon that polls, and wait for what it says."""
    settings = {
        "poll_every": f"{EVERY}s",
        "thresholds": {"stuck_after": f"{STUCK_AFTER}s", "confirm_for": f"{CONFIRM_FOR}s", "startup_grace": "5s"},
        "recovery": {"mode": "observe"},
    }
    with Watchdog(world.gateway, folder, extra=settings) as watchdog:
        sessions = int(watchdog.wait_for("cycle.finished", within=120)["sessions"])
        run = begin(world, Web(key_of(number + 1)), Stream(6), first_turn=True)
        with write_lock(world.gateway, run.key):

            def left_running() -> int | None:
                row = world.row(run.key)
                return epoch_ms() if row.get("status") == "running" and row.get("hasActiveRun") is False else None

            since = until("its end is not written", left_running, within=120, every=0.5)
        line = watchdog.wait_for("session.stuck", session=run.key, within=2 * LIMIT)
    said_at = datetime.fromisoformat(str(line["timestamp"])).timestamp() * 1000
    return Found((said_at - since) / 1000, sessions)


def run(out: Console, world: World, *, sessions: int) -> None:
    """Fill the gateway, lose some writes, one after another."""
    crowd = Crowd(world)
    crowd.grow(sessions)
    crowd.go_live(LIVE)
    settle(world.gateway.pid)
    for number in range(TIMES):
        folder = Path(tempfile.mkdtemp(prefix="watchdog-bench-"))
        try:
            one = found(world, folder, number)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        out.print(
            f"{one.sessions:,} sessions: left running, called stuck {one.after:.1f} s later (promised: {LIMIT} s at most)"
        )
