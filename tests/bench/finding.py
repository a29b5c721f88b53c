"""How soon a session that becomes stuck among many is found, on a real gateway: by the daemon, resting and glancing as it does.

The run's last write is lost (the store is locked by somebody else while it ends), which is how 2026.9.6 leaves a session
running without a restart. What counts is from the moment its own list shows the row without a run to the line
``session.stuck``; ``LIMIT`` is what the daemon promises for it, ``FULL_SWEEP`` more where no event tells of sessions. Without
events the gateway's count still tells of the run; where that is kept from the daemon too, nothing but the sweep does.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from pathlib import Path

from rich.console import Console

from tests.bench.crowd import Crowd, key_of
from tests.bench.relay import DeafRelay
from tests.bench.spending import settle
from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.provider import Stream
from tests.e2e.harness.routes import Web
from tests.e2e.harness.runs import begin
from tests.e2e.harness.stores import write_lock
from tests.e2e.harness.waiting import epoch_ms, until
from tests.e2e.harness.world import World
from watchdog.gateway.standstill import LAST_WRITE

STUCK_AFTER, CONFIRM_FOR, EVERY = 120, 60, 30
"""Seconds. ``poll_every`` and ``confirm_for`` as they come; ``stuck_after`` shorter, or nothing would be learned for long."""
LIMIT = STUCK_AFTER + CONFIRM_FOR + 2
FULL_SWEEP = 210
"""Seconds; 15 minutes as it comes. Not one that would come while the run is going on."""
LIVE = 5
SETTLES = LAST_WRITE.total_seconds() + CONFIRM_FOR + EVERY
"""Seconds after the first pass. A poll without a list is not logged, so there is nothing to wait for but its time."""


class Heard(Enum):
    """What of it the daemon is told unasked, or can ask for without a list."""

    ALL = "as it comes"
    COUNT = "without its events"
    NOTHING = "without its events, and counting what it counted first"


@dataclass(frozen=True, slots=True)
class Found:
    """One session that was left running, beside so many others. Seconds from then until it was called stuck."""

    after: float
    sessions: int
    limit: float
    lost: int = 0
    """Events that were kept from the daemon."""


def found(world: World, folder: Path, number: int, heard: Heard) -> Found:
    """Let one session become stuck beside a daemon that has come to rest, and wait for what it says."""
    relayed = DeafRelay(world.gateway.url, freezes_count=heard is Heard.NOTHING)
    with relayed if heard is not Heard.ALL else contextlib.nullcontext() as relay:
        one = _found(world, folder, number, relay.url if relay is not None else None)
        if relay is None:
            return one
        if not relay.lost:
            raise HarnessError("no event was kept from the daemon")
        return replace(one, limit=LIMIT + FULL_SWEEP, lost=relay.lost)


def _found(world: World, folder: Path, number: int, url: str | None) -> Found:
    route = Web(key_of(number + 1))
    settings = {
        "poll_every": f"{EVERY}s",
        "thresholds": {"stuck_after": f"{STUCK_AFTER}s", "confirm_for": f"{CONFIRM_FOR}s", "startup_grace": "5s"},
        "recovery": {"mode": "observe"},
        "full_sweep_every": f"{FULL_SWEEP}s",
    }
    with Watchdog(world.gateway, folder, extra=settings, url=url) as watchdog:
        sessions = int(watchdog.wait_for("cycle.finished", within=120)["sessions"])
        # Time itself is the condition: the daemon believes the count after so long, and does not say.
        time.sleep(SETTLES)
        run = begin(world, route, Stream(6), first_turn=True)
        with write_lock(world.gateway, run.key):

            def left_running() -> int | None:
                row = world.row(run.key)
                return epoch_ms() if row.get("status") == "running" and row.get("hasActiveRun") is False else None

            since = until("its end is not written", left_running, within=120, every=0.5)
        line = watchdog.wait_for("session.stuck", session=run.key, within=2 * (LIMIT + FULL_SWEEP))
    said_at = datetime.fromisoformat(str(line["timestamp"])).timestamp() * 1000
    return Found((said_at - since) / 1000, sessions, LIMIT)


def run(out: Console, world: World, *, sessions: int) -> None:
    """Fill the gateway, lose some writes, one after another."""
    crowd = Crowd(world)
    crowd.grow(sessions)
    crowd.go_live(LIVE)
    settle(world.gateway.pid)
    for number, heard in enumerate(Heard):
        folder = Path(tempfile.mkdtemp(prefix="watchdog-bench-"))
        try:
            one = found(world, folder, number, heard)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        lost = f" ({one.lost} events kept back)" if one.lost else ""
        out.print(
            f"{one.sessions:,} sessions, {heard.value}{lost}: left running, called stuck {one.after:.1f} s later "
            f"(promised: {one.limit:g} s at most)"
        )
