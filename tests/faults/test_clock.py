"""The machine's clock is set by two hours, and winter time begins, while a session is being watched and recovered.

Gateway (simulated) and daemon are processes of their own under Debian's libfaketime, which reads the wall clock's offset
from a file; the monotonic clock stays the real one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.harness.conditions import epoch_ms
from tests.e2e.harness.daemon import Line, Watchdog
from tests.fakes.builders import KEY
from tests.faults.tally import reckon

from .machine_clock import MachineClock
from .report import Row
from .simulation import SimulationProcess
from .test_ledger import settings
from .webhook import Webhook

STAGE = "daemon process under libfaketime, simulated 2026.3.24"
HOURS_2 = 7200
STUCK_AFTER = 8.0
BERLIN = ZoneInfo("Europe/Berlin")
WINTER_TIME = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
"""When clocks in Berlin are set back from three to two."""


def patient(hook: Webhook) -> dict[str, Any]:
    wanted = settings(
        hook, resume_max_age="1d"
    )  # who was interrupted two hours ago, as the set clock says, is only asked
    wanted["thresholds"] |= {"stuck_after": f"{STUCK_AFTER:g}s", "confirm_for": "2s"}
    return wanted


@pytest.mark.faults("clock set by two hours")
@pytest.mark.parametrize("first", [HOURS_2, -HOURS_2], ids=["forward", "back"])
def test_step(row: Row, hook: Webhook, tmp_path: Path, first: int) -> None:
    row.fault = f"clock set {'forward' if first > 0 else 'back'} by two hours"
    row.on(STAGE)
    clock = MachineClock(tmp_path)
    with (
        SimulationProcess(tmp_path / "gateway", clock.environment) as gateway,
        Watchdog(gateway, tmp_path / "watchdog", extra=patient(hook), environment=clock.environment) as watchdog,
    ):
        watchdog.wait_for("cycle.finished")
        clock.set(f"{first:+d}")
        said = watchdog.wait_for("gateway.unhealthy")
        row.saw(f"said: {str(said['reason']).split(': ')[0]}")
        stuck = watchdog.wait_for("session.stuck")
        row.saw(f"stuck only after {stuck['unattended_seconds']} s seen anew (threshold {STUCK_AFTER:g} s)")
        row.lost([] if float(str(stuck["unattended_seconds"])) >= STUCK_AFTER else ["spans from before were believed"])
        watchdog.wait_for("recovery.succeeded")
        result = reckon(watchdog, hook).require([KEY], "recovered")
        row.saw(f"{result.sentence()}; {len(gateway.sent())} deed(s) sent")
        row.lost([*result.losses, *([] if len(gateway.sent()) == 1 else [f"{len(gateway.sent())} deeds"])])
        assert watchdog.stop() == 0


@pytest.mark.faults("winter time begins")
def test_winter_time(row: Row, hook: Webhook, tmp_path: Path) -> None:
    """02:59:59 is followed by 02:00:00 on every clock on the wall: nobody may notice."""
    row.on(f"{STAGE}, TZ={BERLIN.key}")
    clock = MachineClock(tmp_path)
    environment = {**clock.environment, "TZ": BERLIN.key}
    clock.set(
        _before_winter_time(minutes=2)
    )  # the request is of that night, too: one still to come is only asked about
    with SimulationProcess(tmp_path / "gateway", environment) as gateway:
        clock.set(_before_winter_time(seconds=8))
        with Watchdog(gateway, tmp_path / "watchdog", extra=patient(hook), environment=environment) as watchdog:
            seen = instant(watchdog.wait_for("gateway.connected"))
            recovered = instant(watchdog.wait_for("recovery.succeeded"))
            result = reckon(watchdog, hook).require([KEY], "recovered")
            jumps = watchdog.events("gateway.unhealthy")
            row.saw(
                f"connected at {seen:%H:%M:%S %Z}, recovered at {recovered:%H:%M:%S %Z}; {len(jumps)} alarm(s) about the "
                f"clock; {result.sentence()}; {len(gateway.sent())} deed(s) sent"
            )
            assert seen < WINTER_TIME < recovered, "the change fell outside the story"
            row.lost([*result.losses, *(["the change was taken for a jump"] if jumps else [])])
            assert watchdog.stop() == 0


def _before_winter_time(**span: float) -> str:
    return f"{(WINTER_TIME - timedelta(**span)).timestamp() - epoch_ms() / 1000:+.3f}"


def instant(line: Line) -> datetime:
    return datetime.fromisoformat(str(line["timestamp"]).replace("Z", "+00:00")).astimezone(BERLIN)
