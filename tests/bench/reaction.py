"""How soon a deed follows the moment it was allowed, on a real gateway: that moment lies between two polls.

Runs are cut a few at a time by the end of their gateway, a 2026.3.24, which leaves their sessions running; the daemon resumes
them. The moment is when it had seen a session without an owner for ``stuck_after``. A session that anything held is not
counted.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from statistics import median, quantiles
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
ROUNDS = {1: 10, 4: 6}
"""Sessions cut at once, and how often. A gateway that takes up one resumed turn is slow to answer what is asked before the
next deed."""
SETTINGS: dict[str, Any] = {
    "poll_every": f"{EVERY}s",
    "thresholds": {"stuck_after": f"{STUCK_AFTER}s", "confirm_for": f"{CONFIRM_FOR}s", "startup_grace": "3s"},
    "recovery": {
        "max_concurrent": max(ROUNDS),
        "budget": {"attempts": 100, "per": "72h"},
        "gateway_budget": {"attempts": 1000, "per": "1h"},
    },
}


def run(out: Console) -> list[dict[str, float]]:
    """Cut runs, one or some at a time, and have every one of them resumed. What came of each of ``ROUNDS``."""
    figures = []
    folder = Path(tempfile.mkdtemp(prefix="watchdog-bench-"))
    try:
        with World(V3_24, folder / "gateway") as world:
            for at_once, rounds in ROUNDS.items():
                found = _delays(world, folder / f"watchdog-{at_once}", at_once, rounds)
                out.print(f"cut {at_once} at a time, a poll every {EVERY} s; {sentence(found)}")
                figures.append(_figures(at_once, found))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return figures


def _figures(at_once: int, found: list[float]) -> dict[str, float]:
    last = quantiles(found, n=100, method="inclusive")[98]
    return {"at_once": at_once, "sessions": len(found), "median_s": round(median(found), 3), "p99_s": round(last, 3)}


def _delays(world: World, folder: Path, at_once: int, rounds: int) -> list[float]:
    with Watchdog(world.gateway, folder, extra=SETTINGS) as watchdog:
        watchdog.wait_for("cycle.finished", within=60)
        for number in range(rounds):
            keys = [f"agent:main:bench:cut:{at_once}:{number}:{one}" for one in range(at_once)]
            for stuck in by_kill(world, [in_model_call(world, Web(key)) for key in keys]):
                watchdog.wait_for("recovery.succeeded", session=stuck.key, within=300)
        return delays(watchdog.lines, STUCK_AFTER)
