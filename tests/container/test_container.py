"""From the build to the first recovered session of a real gateway in another container, and what the image promises on the way.

What it prints is what docs/container.md says it took.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness.cells import Fleet, NoContainers
from tests.e2e.harness.conditions import monotonic, until
from tests.e2e.harness.provider import Provider, Silence
from tests.e2e.harness.stores import stored_entry
from tests.e2e.harness.stuck import CRON_KEY
from tests.e2e.harness.witness import Row, Witness

from .pod import Pod, build

pytestmark = pytest.mark.container


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    try:
        made = Fleet(tmp_path / "fleet")
    except NoContainers as problem:
        pytest.skip(str(problem))
    with made:
        yield made


class Clock:
    """How long each step took, as a row of the table."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self._since = monotonic()

    def took(self, typed: str, ends_with: str) -> None:
        now = monotonic()
        self.rows.append(f"| {typed} | {now - self._since:.0f} s | {ends_with} |")
        self._since = now

    def forget(self) -> None:
        """What came since is no part of the path."""
        self._since = monotonic()


def turn(pod: Pod, operator: Witness, provider: Provider, text: str, status: str) -> Row:
    """Say it, and wait until the row says so, on disk too, where a kill -9 leaves it."""
    operator.send(CRON_KEY, text)
    provider.await_call(text, within=120)

    def row() -> Row | None:
        found, stored = operator.row(CRON_KEY), stored_entry(pod.gateway, CRON_KEY)
        is_said = any(text in str(message.get("content")) for message in operator.history(CRON_KEY))
        return found if is_said and found.get("status") == stored.get("status") == status else None

    return until(f"the turn {text!r} is {status}", row, within=120)


def test_from_the_build_to_a_recovered_session(
    fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    build(fleet)
    clock.took("`podman build …`", "the image")
    with Provider(host="0.0.0.0") as provider, Pod(fleet, provider, tmp_path / "pod") as pod:
        pod.start_network()
        pod.start_gateway()
        pod.gateway.wait_ready()
        with pod.gateway.operator() as operator:
            operator.create(CRON_KEY)
            turn(pod, operator, provider, "WARMUP-1", "done")
            provider.on("TASK-2", Silence())
            left = turn(pod, operator, provider, "TASK-2", "running")

        clock.forget()
        pod.start_watchdog()
        pod.wait_for("gateway.connected")
        clock.took("`podman run …`", "`gateway.connected`: let in, and nobody had to approve it")
        assert pod.lines("gateway.unhealthy") == []
        until("it is healthy", pod.is_healthy, within=30)
        clock.took("`podman healthcheck run …`", "exit status 0")

        pod.gateway.crash()
        provider.forget("TASK-2")
        pod.wait_for("gateway.disconnected")
        assert pod.is_healthy(), "a gateway that is down is no illness of the watchdog"
        clock.forget()
        fleet.podman("start", pod.gateway.container)
        pod.wait_for("gateway.connected", count=2, within=240)
        clock.took("the gateway's container is killed, and started again", "`gateway.connected`, by itself")
        done = pod.wait_for("recovery.succeeded", session=CRON_KEY, within=240)
        clock.took("(nothing)", f"`recovery.succeeded`, `{done['step']}`, with the thresholds of a trial")
        (call,) = provider.calls_showing(f"[openclaw-watchdog {done['incident']}/1]")
        assert call.shows("TASK-2"), "the model sees what it was asked before it died"
        with pod.gateway.operator() as operator:
            assert operator.row(CRON_KEY)["sessionId"] == left["sessionId"]
        assert CRON_KEY in pod.verb("history")

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
    with capsys.disabled():
        print("\n| typed | took | what it ends with |\n|---|---|---|", *clock.rows, sep="\n")
