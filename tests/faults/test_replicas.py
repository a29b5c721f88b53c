"""Three replicas on one PostgreSQL: killed after each effect, stopped between claim and sending, cut off, drained.

All of it on simulated gateways; what was sent is counted at them. Bounds follow from the settings: ``TERM`` until a lease of who went
without a word ends, a beat until somebody takes it, then the wait, the grace after connecting and the thresholds.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.harness.conditions import LENIENCE, monotonic, stays, until
from tests.fakes.stuck_gateway import stuck_world
from tests.faults.tally import reckon
from tests.postgresql import Server, running

from .replicas import NAMES, NEWER, OUTDATED, Daemons, Wire
from .report import Row
from .simulation import Simulation
from .test_ledger import KEYS, REQUESTS, VERSION, sends, twice
from .webhook import Webhook

TERM = 3.0
TAKEN_OVER_WITHIN = 4 * TERM + 8
"""Lease (a term), beat (a third), the earlier owner's last deed (a term and a sixth), start of the watch."""
SETTLED_WITHIN = 180.0
"""Twice the longest start of a watch, its thresholds and an attempt that is verified; a tenth of it where the machine does nothing else."""
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture
def gateway(tmp_path: Path, row: Row) -> Iterator[Simulation]:
    row.on(f"three daemons on PostgreSQL, simulated {VERSION}")
    with Simulation(lambda: stuck_world(VERSION, REQUESTS), tmp_path / "gateway") as made:
        yield made


class Replicas(Daemons):
    """Of one simulated gateway with two stuck sessions."""

    def __init__(self, gateway: Simulation, folder: Path, hook: Webhook, url: str, **more: Any) -> None:
        super().__init__(gateway, folder, hook, url, **{"replicas": {"term": f"{TERM:g}s"}, **more})
        self.gateway = gateway

    def settle(self, row: Row, *, within: float = SETTLED_WITHIN, is_ledger_failing: bool = False) -> None:
        """Everybody who is stuck is recovered ``within`` these seconds, at most one send an attempt, no attempt begun by two.
        ``is_ledger_failing``: an attempt may be planned and never claimed; nothing of it is sent, and the next owner abandons it."""
        began = monotonic()

        def recovered() -> bool:
            done = {line["session"] for one in self.made.values() for line in one.events("recovery.succeeded")}
            return done >= set(KEYS) or sum(i["outcome"] == "recovered" for i in self.incidents()) >= len(KEYS)

        until("both are recovered", recovered, within=within / LENIENCE)
        took = monotonic() - began
        result = reckon(self.someone, self.hook).require(KEYS, "recovered")
        attempts = [attempt for _, attempt in self.started()]
        row.saw(f"{result.sentence()}; settled after {took:.0f} s (bound {within:.0f} s)")
        unclaimed = [one for one in result.losses if is_ledger_failing and one == "an attempt is left planned"]
        if unclaimed:
            row.saw(f"{len(unclaimed)} attempt(s) planned and never claimed")
        row.lost([*(one for one in result.losses if one not in unclaimed), *twice(self.gateway)])
        row.lost([f"{one} was begun twice" for one in set(attempts) if attempts.count(one) > 1])
        row.lost(["more was sent than begun"] if sends(self.gateway) > len(result.attempts) else [])


@pytest.mark.faults("three replicas: one is drained, one killed")
def test_drain_and_kill(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path) -> None:
    extra = {"thresholds": {"stuck_after": "1s", "confirm_for": "500ms", "startup_grace": "30s"}}
    with Replicas(gateway, tmp_path, hook, server.database(), **extra) as fleet:
        for name in NAMES:
            fleet.make(name).wait_for("daemon.started")
        first = fleet.watching()
        assert first is not None
        began = monotonic()
        assert fleet.made[first].stop() == 0
        until("another has it", lambda: fleet.watching() not in (None, first), within=TERM)
        row.saw(f"drained: another after {monotonic() - began:.1f} s")
        second = fleet.watching()
        assert second is not None
        fleet.made[second].wait_for("gateway.connected", within=30)
        began = monotonic()
        fleet.made[second].kill()
        until("the third has it", lambda: fleet.watching() not in (None, second), within=TAKEN_OVER_WITHIN)
        row.saw(f"killed: another after {monotonic() - began:.1f} s")
        fleet.settle(row)
        fleet.stop(row)


@pytest.mark.parametrize("effect", range(1, 11))
@pytest.mark.faults("three replicas: kill -9 of each after its n-th effect")
def test_cut(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path, effect: int) -> None:
    with Replicas(gateway, tmp_path, hook, server.database()) as fleet:
        fleet.make(NAMES[0], CUT_AFTER=str(effect))
        fleet.made[NAMES[0]].wait_for("daemon.started")
        for name in NAMES[1:]:
            fleet.make(name, CUT_AFTER=str(effect))
        deaths = 0
        end = monotonic() + 60
        while monotonic() < end and not all(
            any(i["session"] == key and i["outcome"] == "recovered" for i in fleet.incidents()) for key in KEYS
        ):
            for name, one in list(fleet.made.items()):
                if not one.is_running:
                    deaths += 1
                    fleet.made.pop(name).close()
                    fleet.make(name)
        row.saw(f"effect {effect}: {deaths} killed")
        fleet.settle(row)
        fleet.stop(row)


@pytest.mark.faults("a replica stands still for twice its term between claim and sending")
def test_stopped(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path) -> None:
    with Replicas(gateway, tmp_path, hook, server.database()) as fleet:
        first = fleet.make("ann", CUT_AFTER="claim_attempt", CUT_HOW="SIGSTOP")
        until("it has claimed", lambda: "claim_attempt" in _read(tmp_path / "ann" / "effects"), within=60)
        (claimed,) = [one for i in fleet.incidents() for one in i["attempts"] if one["started_at"] is not None]
        for name in NAMES[1:]:
            fleet.make(name)
        until("another has it", lambda: fleet.watching() in NAMES[1:], within=TAKEN_OVER_WITHIN)
        stays("and the first stands still", lambda: fleet.watching() != "ann", for_seconds=TERM)
        first.signal(signal.SIGCONT)
        fleet.settle(row)
        row.lost(["what was claimed before was sent after"] if _sent_as(fleet, claimed) else [])
        row.saw(f"the attempt that it had claimed: {_now(fleet, claimed)['state']}, {_now(fleet, claimed)['reason']}")
        fleet.stop(row)


@pytest.mark.faults("a replica is cut off from PostgreSQL")
def test_partition(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path) -> None:
    url = server.database()
    extra = {"thresholds": {"stuck_after": "1s", "confirm_for": "500ms", "startup_grace": "8s"}}
    with Wire(server) as wire, Replicas(gateway, tmp_path, hook, url, **extra) as fleet:
        first = fleet.make("ann", url=wire.url(url))
        first.wait_for("gateway.connected")
        wire.cut()
        for name in NAMES[1:]:
            fleet.make(name)
        until("another has it", lambda: fleet.watching() in NAMES[1:], within=TAKEN_OVER_WITHIN)
        first.wait_for("ledger.unavailable")
        looks = gateway.ask(lambda noting: noting.looks())
        fleet.settle(row)
        row.lost(["who was cut off acted"] if first.events("recovery.started") else [])
        row.lost(["it stopped looking"] if gateway.ask(lambda noting: noting.looks()) == looks else [])
        wire.mend()
        first.wait_for("ledger.restored", within=60)
        row.saw("and it is back by itself")
        fleet.stop(row)


@pytest.mark.faults("three replicas: PostgreSQL stops at once for two terms, and starts again")
def test_server_away(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path) -> None:
    extra = {"thresholds": {"stuck_after": "1s", "confirm_for": "500ms", "startup_grace": "40s"}}
    with Replicas(gateway, tmp_path, hook, server.database(), **extra) as fleet:
        for name in NAMES:
            fleet.make(name).wait_for("daemon.started")
        first = fleet.watching()
        assert first is not None
        fleet.made[first].wait_for("session.stuck", count=2)
        assert sends(gateway) == 0
        server.stop("immediate")
        try:
            fleet.made[first].wait_for("ledger.unavailable")
            stays("nothing is sent", lambda: sends(gateway) == 0, for_seconds=3 * TERM)
        finally:
            server.start()
        fleet.settle(row)
        fleet.stop(row)


SLOW = 0.2
SLOW_TERM = 30.0
"""The default."""
SETTLED_SLOWLY_WITHIN = 4 * SLOW_TERM + 240
"""As above, and a dozen passes of up to twenty seconds: each asks the ledger dozens of times, and all writes wait for each other."""


@pytest.mark.timeout(900)
@pytest.mark.faults("three replicas: every statement takes PostgreSQL 200 ms longer; the one that watches is drained")
def test_slow_server(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path) -> None:
    url = server.database()
    extra: dict[str, Any] = {
        "poll_every": "1s",
        "thresholds": {"stuck_after": "3s", "confirm_for": "1s", "startup_grace": "8s"},
        "recovery": {"verify_within": "60s", "backoff": ["500ms"]},
        "replicas": {"term": f"{SLOW_TERM:g}s"},
    }
    with (
        Wire(server, slow=SLOW) as wire,
        Replicas(gateway, tmp_path, hook, url, **extra) as fleet,
    ):
        for name in NAMES:
            fleet.make(name, url=wire.url(url))
        for one in fleet.made.values():
            one.wait_for("daemon.started")
        until("somebody watches", fleet.watching, within=2 * SLOW_TERM)
        first = fleet.watching()
        assert first is not None
        fleet.made[first].wait_for("session.stuck")
        assert fleet.made[first].stop() == 0
        fleet.settle(row, within=SETTLED_SLOWLY_WITHIN, is_ledger_failing=True)
        row.saw(f"{wire.statements} statements of {SLOW * 1000:g} ms more each; term {SLOW_TERM:g} s")
        fleet.stop(row)


@pytest.mark.faults("three replicas: one after the other is drained and started anew, as for an upgrade")
def test_rolling_upgrade(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path) -> None:
    extra = {"thresholds": {"stuck_after": "1s", "confirm_for": "500ms", "startup_grace": "4s"}}
    with Replicas(gateway, tmp_path, hook, server.database(), **extra) as fleet:
        for name in NAMES:
            fleet.make(name).wait_for("daemon.started")
        until("somebody watches", fleet.watching, within=2 * TERM)
        for name in NAMES:
            watched = fleet.watching()
            began = monotonic()
            row.lost([f"{name} ended with {code}"] if (code := fleet.made[name].stop()) else [])
            if watched == name:
                until("another has it", partial(fleet.has_moved_from, name), within=2 * TERM)
                row.saw(f"{name} watched: another after {monotonic() - began:.1f} s")
            fleet.made[name].start().wait_for("daemon.started", count=2)
        fleet.settle(row)
        refused = [line for one in fleet.made.values() for line in one.events("ledger.unavailable")]
        row.lost([f"the ledger was away: {line['reason']}" for line in refused])
        fleet.stop(row)


@pytest.mark.faults("three replicas: the first of a newer version brings the tables up beside two older ones")
def test_upgrade_of_the_tables(row: Row, hook: Webhook, server: Server, gateway: Simulation, tmp_path: Path) -> None:
    extra = {"thresholds": {"stuck_after": "1s", "confirm_for": "500ms", "startup_grace": "4s"}}
    with Replicas(gateway, tmp_path, hook, server.database(), **extra) as fleet:
        for name in NAMES:
            fleet.make(name).wait_for("daemon.started")
        until("somebody watches", fleet.watching, within=2 * TERM)
        old = dict(fleet.made)
        row.lost([f"ann ended with {code}"] if (code := old["ann"].stop()) else [])
        fleet.make("ann", program=NEWER).wait_for("daemon.started")
        began = monotonic()
        fleet.outdated(row, {name: old[name] for name in NAMES[1:]}, within=4 * TERM)
        said = old["cid"].events("daemon.stopping")[-1]["reason"].split(" was ")[-1]
        row.saw(f"the older ones ended with {OUTDATED} within {monotonic() - began:.0f} s: {said}")
        again = old["bob"].verb("run", within=60)
        row.lost([] if again.code == OUTDATED and "newer version" in again.err else ["an older one started again"])
        until("the newer one has it", lambda: fleet.watching() == "ann", within=TAKEN_OVER_WITHIN)
        for name in NAMES[1:]:
            fleet.make(name, program=NEWER).wait_for("daemon.started")
        fleet.settle(row)
        begun = [(name, line["attempt"]) for name, one in old.items() for line in one.events("recovery.started")]
        row.saw(f"{len(begun)} attempt(s) begun by older ones")
        fleet.stop(row)
        for one in old.values():
            one.close()


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _now(fleet: Replicas, attempt: dict[str, Any]) -> dict[str, Any]:
    return next(one for i in fleet.incidents() for one in i["attempts"] if one["started_at"] == attempt["started_at"])


def _sent_as(fleet: Replicas, attempt: dict[str, Any]) -> bool:
    """The first of its run."""
    with psycopg.connect(fleet.url) as db:
        rows = db.execute("SELECT idempotency_key, state FROM openclaw_watchdog.attempts ORDER BY id").fetchall()
    keys = fleet.gateway.ask(lambda noting: noting.sends_by_key())
    return attempt["number"] == 1 and keys.get(rows[0][0], 0) > 0
