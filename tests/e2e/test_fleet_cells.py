"""A cell of `openclaw fleet`, from its creation to `fleet rm`: found with its token, approved by the command that the log
gives, a session that died inside it recovered, told as down while it is stopped, and let go of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness.conditions import until

from .harness.cells import Cell, Fleet, NoContainers
from .harness.daemon import Watchdog
from .harness.provider import Provider, Silence
from .harness.stores import stored_entry
from .harness.stuck import CRON_KEY
from .harness.witness import Row, Witness

pytestmark = pytest.mark.e2e

NIGHTLY = {"name": "nightly", "match": {"kind": "cron"}, "recovery": {"ladder": ["resume"]}}
"""2026.9 resumes what a restart interrupted by itself, but for such keys."""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    try:
        made = Fleet(tmp_path / "fleet")
    except NoContainers as problem:
        # podman is installed by then: it is the machine that lets nobody run a container, which no test can mend.
        pytest.skip(str(problem))
    with made:
        yield made


def turn(cell: Cell, operator: Witness, provider: Provider, text: str, status: str) -> Row:
    """Say it, and wait until the row says so, on disk too, where a kill -9 leaves it."""
    operator.send(CRON_KEY, text)
    provider.await_call(text, within=120)

    def row() -> Row | None:
        found, stored = operator.row(CRON_KEY), stored_entry(cell, CRON_KEY)
        is_said = any(text in str(message.get("content")) for message in operator.history(CRON_KEY))
        return found if is_said and found.get("status") == stored.get("status") == status else None

    return until(f"the turn {text!r} is {status}", row, within=120)


def test_a_cell_is_found_approved_watched_recovered_and_let_go_of(fleet: Fleet, tmp_path: Path) -> None:
    with Provider(host="0.0.0.0") as provider:
        cell = fleet.create("acme", provider)
        extra = {"gateways": [{"discover": "local"}], "policies": [NIGHTLY]}
        with Watchdog(cell, tmp_path / "watchdog", extra=extra) as watchdog:
            wanted = str(watchdog.wait_for("gateway.unhealthy", gateway="acme", phase="refused")["reason"])
            command = re.search(r"run `([^`]+)`", wanted)
            assert command is not None, wanted
            fleet.run(command[1])
            watchdog.wait_for("gateway.connected", gateway="acme")
            assert not [line for line in watchdog.events("gateway.unhealthy") if "step" in line], "one approval does it"

            with cell.operator() as operator:
                operator.create(CRON_KEY)
                turn(cell, operator, provider, "WARMUP-1", "done")
                provider.on("TASK-2", Silence())
                left = turn(cell, operator, provider, "TASK-2", "running")
            cell.crash()
            provider.forget("TASK-2")
            watchdog.wait_for("gateway.disconnected", gateway="acme")
            fleet.openclaw("fleet", "start", "acme")

            watchdog.wait_for("session.stuck", gateway="acme", session=CRON_KEY, within=240)
            done = watchdog.wait_for("recovery.succeeded", gateway="acme", session=CRON_KEY, within=240)
            assert done["step"] == "resume"
            (incident,) = watchdog.history()
            assert [attempt["state"] for attempt in incident["attempts"]] == ["succeeded"]
            (call,) = provider.calls_showing(f"[openclaw-watchdog {incident['id']}/1]")
            assert call.shows("TASK-2"), "the model sees what it was asked before it died"
            with cell.operator() as operator:
                row = operator.row(CRON_KEY)
                assert row["sessionId"] == left["sessionId"]

            away = len(watchdog.events("gateway.disconnected", gateway="acme"))
            fleet.openclaw("fleet", "stop", "acme")
            watchdog.wait_for("gateway.disconnected", gateway="acme", count=away + 1)
            known = len(watchdog.events("config.loaded"))
            fleet.openclaw("fleet", "rm", "acme", "--force")
            watchdog.wait_for("config.loaded", count=known + 1, within=300)
            assert cell.token not in watchdog.text
            assert watchdog.stop() == 0
