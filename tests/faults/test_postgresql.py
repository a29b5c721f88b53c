"""The same, where the ledger is in a PostgreSQL database of the tests' own: the server goes away, hangs, and comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.harness.conditions import stays, until
from tests.e2e.harness.daemon import Watchdog
from tests.fakes.stuck_gateway import stuck_world
from tests.faults.tally import reckon
from tests.postgresql import Server, running
from watchdog.ledger.schema import APPLICATION_ID

from .report import Row
from .simulation import Simulation
from .test_ledger import KEYS, REQUESTS, STAGE, VERSION, sends, settings, twice
from .webhook import Webhook


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture
def gateway(tmp_path: Path, row: Row) -> Iterator[Simulation]:
    row.on(f"{STAGE}, PostgreSQL")
    with Simulation(lambda: stuck_world(VERSION, REQUESTS), tmp_path / "gateway") as made:
        yield made


def in_database(hook: Webhook, server: Server, **recovery: Any) -> dict[str, Any]:
    return {**settings(hook, **recovery), "ledger": server.database()}


def owner_of(url: str) -> int:
    """The server's process that the daemon writes through."""
    with psycopg.connect(url) as db:
        (found,) = db.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s", (APPLICATION_ID,)
        )
    return int(found[0])


@pytest.mark.faults("PostgreSQL stops at once, and starts again")
def test_server_away(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path) -> None:
    extra = in_database(hook, server)
    extra["thresholds"]["startup_grace"] = "6s"
    with Watchdog(gateway, tmp_path / "watchdog", extra=extra) as watchdog:
        watchdog.wait_for("session.stuck", count=2)
        server.stop("immediate")
        try:
            watchdog.wait_for("ledger.unavailable")
            until("somebody is told of it", lambda: hook.of("ledger"), within=30)
            looks = gateway.ask(lambda noting: noting.looks())
            stays("nothing is sent", lambda: sends(gateway) == 0, for_seconds=8)
            looked = gateway.ask(lambda noting: noting.looks()) - looks
            row.saw(f"away: {sends(gateway)} deeds, {looked} looks meanwhile, {len(hook.of('ledger'))} message of it")
        finally:
            server.start()
        watchdog.wait_for("ledger.restored")
        for key in KEYS:
            watchdog.wait_for("recovery.succeeded", session=key)
        result = reckon(watchdog, hook).require(KEYS, "recovered")
        row.saw(f"back: {result.sentence()}")
        row.lost([*result.losses, *twice(gateway)])
        row.lost([] if looked else ["it stopped looking"])
        assert watchdog.stop() == 0


@pytest.mark.faults("PostgreSQL hangs")
def test_server_hangs(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path) -> None:
    extra = in_database(hook, server)
    extra["thresholds"]["startup_grace"] = "6s"
    with Watchdog(gateway, tmp_path / "watchdog", extra=extra) as watchdog:
        watchdog.wait_for("session.stuck", count=2)
        process = owner_of(extra["ledger"])
        os.kill(process, signal.SIGSTOP)
        try:
            watchdog.wait_for("ledger.unavailable")
            stays("nothing is sent", lambda: sends(gateway) == 0, for_seconds=8)
            row.saw(f"hangs: {sends(gateway)} deeds; {watchdog.events('ledger.unavailable')[0]['reason']}")
        finally:
            os.kill(process, signal.SIGCONT)
        watchdog.wait_for("ledger.restored")
        for key in KEYS:
            watchdog.wait_for("recovery.succeeded", session=key)
        result = reckon(watchdog, hook).require(KEYS, "recovered")
        row.saw(f"goes on: {result.sentence()}")
        row.lost([*result.losses, *twice(gateway)])
        assert watchdog.stop() == 0


@pytest.mark.faults("two daemons on one database; kill -9 of the first")
def test_two_daemons(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path) -> None:
    extra = in_database(hook, server)
    with Watchdog(gateway, tmp_path / "watchdog", extra=extra) as first:
        first.wait_for("daemon.started")
        elsewhere = Watchdog(gateway, tmp_path / "elsewhere", extra=extra)
        second = elsewhere.verb("run", within=60)
        assert str(first.pid) in second.err, second.err
        assert second.code == 69
        for key in KEYS:
            first.wait_for("recovery.succeeded", session=key)
        row.saw(f"the second, with a state folder of its own, ended with {second.code} and named the first's pid")
        first.kill()
        first.start()
        first.wait_for("daemon.started", count=2)
        for words in (("history",), ("doctor",), ("explain", KEYS[0])):
            said = first.verb(*words)
            assert extra["ledger"] not in said.err + said.out + first.text
        paused = first.verb("pause", "--reason", "by hand")
        assert paused.code == 0, paused.err
        first.wait_for("operator.paused")
        assert first.verb("unpause").code == 0
        result = reckon(first, hook).require(KEYS, "recovered")
        row.saw(f"{result.sentence()}; after kill -9 of the first a third took over, its verbs work beside it")
        row.lost([*result.losses, *twice(gateway)])
        assert first.stop() == 0
