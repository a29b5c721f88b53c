"""From the build to the first recovered session of a real gateway in another container, and what the image promises on the way:
beside the gateway in one namespace, and over a bridge. With ``--record`` docs/container.md says what it took.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness.cells import Fleet, NoContainers
from tests.e2e.harness.conditions import monotonic, until
from tests.e2e.harness.install import container_runtime
from tests.e2e.harness.provider import Provider, Silence
from tests.e2e.harness.releases import V9_6
from tests.e2e.harness.stores import stored_entry
from tests.e2e.harness.stuck import CRON_KEY
from tests.e2e.harness.witness import Row, Witness
from tests.figures import record
from watchdog import __version__

from .pod import SOURCE, Line, Pod, build, labels

pytestmark = pytest.mark.container
APPROVE = re.compile(r"`openclaw devices approve ([0-9a-f-]+)` on the gateway's machine")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    container_runtime(needs_names=True)
    try:
        made = Fleet(tmp_path_factory.mktemp("containers") / "fleet")
    except NoContainers as problem:
        pytest.skip(str(problem))
    with made:
        yield made


class Clock:
    """How long each step took, as a row of the table."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self._since = monotonic()

    def took(self, typed: str, ends_with: str) -> None:
        now = monotonic()
        self.rows.append({"typed": typed, "took_s": round(now - self._since, 1), "ends": ends_with})
        self._since = now

    def forget(self) -> None:
        """What came since is no part of the path."""
        self._since = monotonic()


@pytest.fixture(scope="module")
def image(fleet: Fleet) -> Clock:
    """The image is built; how long it took."""
    clock = Clock()
    build(fleet)
    clock.took("`podman build …`", "the image")
    return clock


@pytest.fixture(scope="module")
def paths(request: pytest.FixtureRequest) -> Iterator[dict[str, Clock]]:
    """What each test timed, recorded at the end when all did."""
    walked: dict[str, Clock] = {}
    yield walked
    if request.config.getoption("--record") and set(walked) == {"beside", "bridge"}:
        record.save("container", openclaw=V9_6.version, **{name: clock.rows for name, clock in walked.items()})
    else:
        print(json.dumps({name: clock.rows for name, clock in walked.items()}, indent=1))


def turn(pod: Pod, operator: Witness, provider: Provider, text: str, status: str) -> Row:
    """Say it, and wait until the row says so, on disk too, where a kill -9 leaves it."""
    operator.send(CRON_KEY, text)
    provider.await_call(text, within=120)

    def row() -> Row | None:
        found, stored = operator.row(CRON_KEY), stored_entry(pod.gateway, CRON_KEY)
        is_said = any(text in str(message.get("content")) for message in operator.history(CRON_KEY))
        return found if is_said and found.get("status") == stored.get("status") == status else None

    return until(f"the turn {text!r} is {status}", row, within=120)


def leave_stuck(pod: Pod, provider: Provider) -> Row:
    """A session with a turn that ended well and one that the model does not answer; its row."""
    with pod.gateway.operator() as operator:
        operator.create(CRON_KEY)
        turn(pod, operator, provider, "WARMUP-1", "done")
        provider.on("TASK-2", Silence())
        return turn(pod, operator, provider, "TASK-2", "running")


def is_recovered(pod: Pod, provider: Provider, clock: Clock, left: Row) -> Line:
    """The gateway's container is killed and started again: nobody does anything else."""
    connected = len(pod.lines("gateway.connected"))
    pod.gateway.crash()
    provider.forget("TASK-2")
    pod.wait_for("gateway.disconnected")
    assert pod.is_healthy(), "a gateway that is down is no illness of the watchdog"
    clock.forget()
    pod.fleet.podman("start", pod.gateway.container)
    pod.wait_for("gateway.connected", count=connected + 1, within=240)
    clock.took("the gateway's container is killed, and started again", "`gateway.connected`, by itself")
    done = pod.wait_for("recovery.succeeded", session=CRON_KEY, within=240)
    clock.took("(nothing)", f"`recovery.succeeded`, `{done['step']}`, with the thresholds of a trial")
    (call,) = provider.calls_showing(f"[openclaw-watchdog {done['incident']}/1]")
    assert call.shows("TASK-2"), "the model sees what it was asked before it died"
    with pod.gateway.operator() as operator:
        assert operator.row(CRON_KEY)["sessionId"] == left["sessionId"]
    assert CRON_KEY in pod.verb("history")
    return done


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
