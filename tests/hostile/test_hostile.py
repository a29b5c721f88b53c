"""The real daemon watches a hostile gateway and a healthy one, whose stuck session it recovers as if it were alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.harness.conditions import until
from tests.e2e.harness.daemon import Watchdog
from tests.fakes.stuck_gateway import stuck_world
from tests.faults.simulation import Simulation

from .gateway import METHODS, MODES, TOKEN, HostileGateway, restart_marker

pytestmark = pytest.mark.hostile

HEALTHY = "2026.3.24"
IN_TIME = 30
"""Seconds from the daemon's start until the healthy gateway's session is recovered; 6 without anybody hostile."""
MOST_MEMORY = 150 * 1024 * 1024
MOST_LINES = 6
MOST_LOG = 20_000
MEETINGS = 2
"""So often it was asked for what it answers in its own way, at least, before a test is over."""


def settings(folder: Path, healthy: Simulation, hostile: HostileGateway, *, is_large: bool) -> dict[str, Any]:
    return {
        "gateways": [
            {"name": "hostile", "url": hostile.url, "token": TOKEN, "state_dir": "none"},
            {"name": "home", "url": healthy.url, "token": healthy.token, "state_dir": str(healthy.state_dir)},
        ],
        "poll_every": "1s" if is_large else "300ms",
        "thresholds": {
            "stuck_after": "3s" if is_large else "1s",
            "confirm_for": "1s" if is_large else "500ms",
            "startup_grace": "1s",
            "long_running_after": "30m",
        },
        "recovery": {"verify_within": "1m", "backoff": ["500ms"]},
        "gateway_restart": {
            "gateway": "hostile",
            "command": ["touch", str(restart_marker(folder))],
            "after_failures": 1,
            "min_down": "1s",
        },
        "allow_short_thresholds": True,
        "status_page": None,
        "state_dir": str(folder / "state"),
    }


def peak_memory(pid: int) -> int:
    """The most that the process ever held."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return int(psutil.Process(pid).memory_info().rss)
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize("name", MODES)
def test_a_hostile_gateway_harms_nobody(name: str, tmp_path: Path) -> None:
    mode = MODES[name]
    with (
        Simulation(lambda: stuck_world(HEALTHY), tmp_path / "gateway") as healthy,
        HostileGateway(name) as hostile,
    ):
        watchdog = Watchdog(healthy, tmp_path / "watchdog")
        watchdog.configure(settings(tmp_path, healthy, hostile, is_large=mode.is_large))
        with watchdog:
            watchdog.wait_for("recovery.succeeded", gateway="home", within=IN_TIME / 3)
            met = next((method for method in mode.acts if method in METHODS), "connect")
            until("the hostile gateway was met often enough", lambda: hostile.asked[met] >= MEETINGS, within=20)
            if mode.says is not None:
                said = re.compile(mode.says)
                until("the log says what is wrong", lambda: said.search(watchdog.text), within=10)
            if mode.is_watched:
                watchdog.wait_for("session.suspect", gateway="hostile", within=10)
            memory = peak_memory(watchdog.pid)
            assert watchdog.stop() == 0
        assert len(healthy.ask(lambda noting: noting.sent())) == 1, "recovered once"
        said_of_it = [line for line in watchdog.lines if line.get("gateway") == "hostile"]
        lines = [line for line in said_of_it if line["level"] != "info"]
        print(f"{name}: {memory / 2**20:.0f} MiB, {len(lines)} lines")
        assert memory < MOST_MEMORY
        assert not restart_marker(tmp_path).exists()
        assert "Traceback" not in watchdog.text
        assert [line for line in watchdog.lines if "library" in str(line.get("event"))] == []
        if mode.says is not None:
            assert sum(bool(re.search(mode.says, str(line.get("reason")))) for line in said_of_it) == 1, "said once"
        assert len(lines) <= MOST_LINES, "\n".join(map(str, lines))
        assert len(watchdog.text) < MOST_LOG
