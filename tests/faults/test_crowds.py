"""Sixty at once: with a proof each they are recovered a few at a time; without one nothing is done to any of them."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness.conditions import stays, until
from tests.e2e.harness.daemon import Watchdog
from tests.faults.tally import reckon

from . import crowds
from .report import Row
from .simulation import Simulation
from .test_ledger import sends, settings, twice
from .webhook import Webhook

MANY = 60
PER_WINDOW = 12
WINDOW = 30
"""Seconds of the gateway budget's window here; an hour as shipped."""
AT_ONCE = 4
"""Two as shipped: the budget would hardly be felt here."""


@pytest.mark.faults("a crash orphans 60 sessions at once")
def test_sixty_orphans(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on("daemon process, simulated 2026.3.24")
    keys = crowds.keys_of(MANY)
    with Simulation(lambda: crowds.orphaned(MANY), tmp_path / "gateway") as gateway:
        budget = {"attempts": PER_WINDOW, "per": f"{WINDOW}s"}
        extra = settings(hook, gateway_budget=budget, max_concurrent=AT_ONCE)
        with Watchdog(gateway, tmp_path / "watchdog", extra=extra) as watchdog:
            until("all are recovered", lambda: len(watchdog.events("recovery.succeeded")) >= MANY, within=300, every=1)
            result = reckon(watchdog, hook, within=60).require(keys, "recovered")
            starts, ends = spans(result.attempts)
            row.saw(result.sentence())
            row.saw(
                f"at most {most_at_once(starts, ends)} in flight, at most {most_within(starts, WINDOW)} begun in any "
                f"{WINDOW} s (budget {PER_WINDOW}), {len(watchdog.events('fleet.breaker_opened'))} breaker"
            )
            row.lost([*result.losses, *twice(gateway)])
            row.lost([] if most_at_once(starts, ends) <= AT_ONCE else ["too many in flight"])
            row.lost([] if most_within(starts, WINDOW) <= PER_WINDOW else ["the gateway budget was overspent"])
            row.lost([] if sends(gateway) == MANY else [f"{sends(gateway)} deeds for {MANY} sessions"])
            assert watchdog.stop() == 0


@pytest.mark.faults("60 turn stuck together without a proof")
def test_sixty_unexplained(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on("daemon process, simulated 2026.9.6")
    with (
        Simulation(lambda: crowds.unexplained(MANY), tmp_path / "gateway") as gateway,
        Watchdog(gateway, tmp_path / "watchdog", extra=settings(hook)) as watchdog,
    ):
        opened = watchdog.wait_for("fleet.breaker_opened")
        until("somebody is told", lambda: hook.of("fleet_breaker"), within=30)
        stays("nothing is done", lambda: sends(gateway) == 0, for_seconds=10)
        held = Counter(tuple(line["blockers"]) for line in watchdog.events("recovery.held"))
        row.saw(
            f"breaker opened on {opened['sessions']} of {opened['running']} running; {sends(gateway)} deeds; "
            f"{len(hook.of('fleet_breaker'))} message of it, told: {len(hook.told)} in {hook.deliveries} deliveries"
        )
        assert sum(count for names, count in held.items() if "fleet_breaker" in names) >= MANY
        row.lost([f"{sends(gateway)} deeds without a proof"] if sends(gateway) else [])
        assert watchdog.stop() == 0


def spans(attempts: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    def seconds(text: str) -> float:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

    return [seconds(a["started_at"]) for a in attempts], [seconds(a["settled_at"]) for a in attempts]


def most_at_once(starts: list[float], ends: list[float]) -> int:
    return max(sum(begun <= moment < end for begun, end in zip(starts, ends, strict=True)) for moment in starts)


def most_within(starts: list[float], window: float) -> int:
    return max(sum(first <= moment < first + window for moment in starts) for first in starts)
