"""The pods of the Kubernetes manifests, run by ``podman kube play`` beside a real gateway, with the configuration in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.cells import Fleet
from tests.e2e.harness.conditions import until
from tests.e2e.harness.provider import Provider

from .kubernetes import MANIFESTS, Played
from .trial import APPROVE, Clock

pytestmark = pytest.mark.container


def test_the_side_car_is_let_in_by_its_pods_gateway(fleet: Fleet, image: Clock, tmp_path: Path) -> None:
    with Provider(host="0.0.0.0") as provider, Played(fleet, provider, MANIFESTS["sidecar"], tmp_path) as pair:
        pair.play()
        pair.wait_for("gateway.connected", within=240)
        assert pair.lines("gateway.unhealthy", phase="refused") == [], "let in, and nobody had to approve it"
        assert pair.probes() == {"startupProbe": 200, "livenessProbe": 200}
        assert "gateway" in pair.verb("status")
        _is_confined(pair)

        pair.crash()
        pair.wait_for("gateway.disconnected")
        assert pair.is_healthy(), "a gateway that is down is no illness of the watchdog"
        pair.wait_for("gateway.connected", count=2, within=240)
        assert pair.inspected("watchdog")["RestartCount"] == 0
        assert pair.stop() == 0
        assert pair.lines("daemon.stopped")


def test_the_stateful_sets_pod_is_let_in_by_one_approval(fleet: Fleet, image: Clock, tmp_path: Path) -> None:
    with Provider(host="0.0.0.0") as provider, Played(fleet, provider, MANIFESTS["statefulset"], tmp_path) as pair:
        pair.start_gateway()
        pair.gateway.wait_ready()
        pair.play()
        refused = pair.wait_for("gateway.unhealthy", phase="refused")
        (request,) = APPROVE.findall(str(refused))
        every = {"startupProbe": 200, "livenessProbe": 200, "readinessProbe": 200}
        until("it is ready: the gateway was found to refuse", lambda: pair.probes() == every, within=30)
        _is_confined(pair)

        pair.gateway.devices("approve", request)
        pair.wait_for("gateway.connected")
        assert pair.stop() == 0
        pair.start()
        pair.wait_for("gateway.connected", count=2)
        assert len(APPROVE.findall(str(pair.lines("gateway.unhealthy")))) == 1, (
            "approved once: the claim keeps the device"
        )


def _is_confined(pair: Played) -> None:
    """What the engine made of the manifest."""
    made = pair.inspected("watchdog")
    assert made["HostConfig"]["ReadonlyRootfs"]
    assert not made["EffectiveCaps"]
    assert made["Config"]["User"] == "1000:1000"
    assert "no-new-privileges" in made["HostConfig"]["SecurityOpt"]
    assert made["HostConfig"]["Memory"] == 256 * 1024 * 1024
    writable = [one["Destination"] for one in made["Mounts"] if one["RW"]]
    assert writable == ["/var/lib/openclaw-watchdog"]
