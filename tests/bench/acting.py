"""How soon a deed follows the moment it was allowed, on a real gateway: that moment lies between two polls.

Runs are cut a few at a time by the end of their gateway, a 2026.3.24, which leaves their sessions running; the daemon resumes
them. The moment is when it had seen a session without an owner for ``stuck_after``. A session that anything held is not
counted.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.releases import V3_24
from tests.e2e.harness.routes import Web
from tests.e2e.harness.runs import in_model_call
from tests.e2e.harness.stuck import by_kill
from tests.e2e.harness.world import World
from tests.faults.promptness import delays, sentence

EVERY, STUCK_AFTER, CONFIRM_FOR = 10, 30, 10
"""Seconds."""
ROUNDS, AT_ONCE = 8, 4
SETTINGS: dict[str, Any] = {
    "poll_every": f"{EVERY}s",
    "thresholds": {"stuck_after": f"{STUCK_AFTER}s", "confirm_for": f"{CONFIRM_FOR}s", "startup_grace": "3s"},
    "recovery": {
        "max_concurrent": AT_ONCE,
        "budget": {"attempts": 100, "per": "72h"},
        "gateway_budget": {"attempts": 1000, "per": "1h"},
    },
}


def run(out: Console) -> None:
    """Cut runs, a few at a time, and have every one of them resumed."""
    folder = Path(tempfile.mkdtemp(prefix="watchdog-bench-"))
    try:
        with (
            World(V3_24, folder / "gateway") as world,
            Watchdog(world.gateway, folder / "watchdog", extra=SETTINGS) as watchdog,
        ):
            watchdog.wait_for("cycle.finished", within=60)
            for number in range(ROUNDS):
                keys = [f"agent:main:bench:cut:{number}:{one}" for one in range(AT_ONCE)]
                for stuck in by_kill(world, [in_model_call(world, Web(key)) for key in keys]):
                    watchdog.wait_for("recovery.succeeded", session=stuck.key, within=300)
            found = delays(watchdog.lines, STUCK_AFTER)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    out.print(f"{ROUNDS * AT_ONCE} sessions left running, a poll every {EVERY} s; {sentence(found)}")
