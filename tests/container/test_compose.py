"""The compose file as it is delivered, run by an engine beside a real gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.cells import Fleet
from tests.e2e.harness.conditions import until
from tests.e2e.harness.provider import Provider

from .compose import Composed
from .trial import Clock, is_recovered, leave_stuck

pytestmark = pytest.mark.container


def test_what_the_compose_file_starts_recovers_a_session(fleet: Fleet, image: Clock, tmp_path: Path) -> None:
    """``image``: its layers are there, so that `--build` here builds them once more in no time."""
    with Provider(host="0.0.0.0") as provider, Composed(fleet, provider, tmp_path) as pair:
        pair.compose("up", "--build", "--detach")
        pair.wait_for("gateway.connected", within=240)
        assert pair.lines("gateway.unhealthy", phase="refused") == [], "let in, and nobody had to approve it"
        until("it is healthy", pair.is_healthy, within=30)
        assert pair.compose("exec", "-T", "watchdog", "openclaw-watchdog", "status", "--live") == ""
        assert "gateway" in pair.compose("exec", "-T", "watchdog", "openclaw-watchdog", "status")
        _as_the_file_says(pair)

        left = leave_stuck(pair, provider)
        is_recovered(pair, provider, Clock(), left)

        pair.compose("stop", "watchdog")
        assert pair.inspected("watchdog")["State"]["ExitCode"] == 0
        assert pair.lines("daemon.stopped")
        pair.compose("start", "watchdog")
        pair.wait_for("gateway.connected", count=3)
        pair.compose("down")
        assert pair.fleet.podman("ps", "--all", "--quiet", "--filter", f"name={pair.project}_") == ""


def _as_the_file_says(pair: Composed) -> None:
    """What the engine made of it."""
    network, watchdog = pair.inspected("network"), pair.inspected("watchdog")
    assert network["Config"].get("Healthcheck") in (None, {"Test": ["NONE"]}), (
        "what holds the network is no daemon to ask after"
    )
    for one in (network, watchdog):
        assert one["HostConfig"]["ReadonlyRootfs"]
        assert not one["EffectiveCaps"]
        assert one["Config"]["User"] == "1000:1000"
    assert "no-new-privileges" in str(watchdog["HostConfig"]["SecurityOpt"])
    assert watchdog["HostConfig"]["NetworkMode"] == f"container:{network['Id']}"
    assert {one["Destination"]: one["RW"] for one in watchdog["Mounts"]} == {
        "/var/lib/openclaw-watchdog": True,
        "/etc/openclaw-watchdog": False,
        "/home/node/.openclaw": False,
    }
