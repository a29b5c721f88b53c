"""From the build to the first recovered session of a real gateway in another container, and what the image promises on the way:
beside the gateway in one namespace, and over a bridge. With ``--record`` docs/container.md says what it took.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness.cells import Fleet
from tests.e2e.harness.conditions import until
from tests.e2e.harness.provider import Provider
from tests.e2e.harness.releases import V9_6
from tests.e2e.harness.stuck import CRON_KEY
from tests.figures import record
from watchdog import __version__

from .pod import SOURCE, Pod, labels
from .trial import APPROVE, Clock, is_recovered, leave_stuck

pytestmark = pytest.mark.container


@pytest.fixture(scope="module")
def paths(request: pytest.FixtureRequest) -> Iterator[dict[str, Clock]]:
    """What each test timed, recorded at the end when all did."""
    walked: dict[str, Clock] = {}
    yield walked
    if request.config.getoption("--record") and set(walked) == {"beside", "bridge"}:
        record.save("container", openclaw=V9_6.version, **{name: clock.rows for name, clock in walked.items()})
    else:
        print(json.dumps({name: clock.rows for name, clock in walked.items()}, indent=1))


def test_the_image_says_what_it_is(fleet: Fleet, image: Clock) -> None:
    said = labels(fleet)
    assert said["version"] == __version__
    assert said["source"] == SOURCE
    assert set(said) == {"title", "description", "licenses", "version", "source"}


def test_from_the_build_to_a_recovered_session(
    fleet: Fleet, image: Clock, paths: dict[str, Clock], tmp_path: Path
) -> None:
    clock = Clock()
    clock.rows += image.rows
    with Provider(host="0.0.0.0") as provider, Pod(fleet, provider, tmp_path / "pod") as pod:
        pod.start_network()
        pod.start_gateway()
        pod.gateway.wait_ready()
        left = leave_stuck(pod, provider)

        clock.forget()
        pod.start_watchdog()
        pod.wait_for("gateway.connected")
        clock.took("`podman run …`", "`gateway.connected`: let in, and nobody had to approve it")
        assert pod.lines("gateway.unhealthy") == []
        until("it is healthy", pod.is_healthy, within=30)
        clock.took("`podman healthcheck run …`", "exit status 0")
        is_recovered(pod, provider, clock, left)

        os.kill(pod.pid(), signal.SIGSTOP)
        try:
            assert not pod.is_healthy(), "a daemon that hangs is"
        finally:
            os.kill(pod.pid(), signal.SIGCONT)
        clock.forget()
        assert pod.stop_watchdog() == 0
        clock.took("`podman stop …`", "`daemon.stopped`, exit status 0")
        assert pod.lines("daemon.stopped")

        fleet.podman("rm", pod.watchdog)
        pod.start_watchdog()
        pod.wait_for("gateway.connected")
        assert CRON_KEY in pod.verb("history"), "what was done is remembered in the volume"
        assert pod.lines("recovery.started") == []
    paths["beside"] = clock


def test_over_a_bridge_it_is_let_in_by_one_approval(
    fleet: Fleet, image: Clock, paths: dict[str, Clock], tmp_path: Path
) -> None:
    clock = Clock()
    with Provider(host="0.0.0.0") as provider, Pod(fleet, provider, tmp_path / "pod", is_bridged=True) as pod:
        pod.start_network()
        pod.start_gateway()
        pod.gateway.wait_ready()
        left = leave_stuck(pod, provider)

        clock.forget()
        pod.start_watchdog()
        refused = pod.wait_for("gateway.unhealthy", phase="refused")
        clock.took(
            "`podman run …`",
            "`gateway.unhealthy` with `openclaw devices approve …`, to be typed in the gateway's container",
        )
        (request,) = APPROVE.findall(str(refused))
        assert pod.is_healthy(), "it waits, and is not ill"
        clock.forget()
        pod.gateway.devices("approve", request)
        pod.wait_for("gateway.connected")
        clock.took("`podman exec gateway node dist/index.js devices approve …`", "`gateway.connected`")
        is_recovered(pod, provider, clock, left)
        assert len(APPROVE.findall(str(pod.lines("gateway.unhealthy")))) == 1, "approved once, for good"
    paths["bridge"] = clock
