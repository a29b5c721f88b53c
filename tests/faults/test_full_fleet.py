"""Three replicas on one PostgreSQL that watch 300 canned gateways and two real ones, which a kill -9 left with stuck sessions.

While all is paused each gateway comes up at its replica; then the pause ends and the fault comes, at the first deed. What was sent is
counted at the mock models of the two real gateways. ``SETTLED_WITHIN`` is the bound for every stuck session, from the end of the pause.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.bench.replicas import Setup, _fleets, _list
from tests.e2e.harness.conditions import LENIENCE, monotonic, stays, until
from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.releases import V9_6
from tests.e2e.harness.world import World
from tests.faults.tally import Reckoning, reckon
from tests.postgresql import Server, running

from .machine_clock import MachineClock
from .replicas import NAMES, NEWER, Daemons, Wire
from .report import Row
from .stories import turns
from .test_cut import left_stuck
from .webhook import Webhook

CANNED = Setup(gateways=300, sessions=20, replicas=len(NAMES), every=4.0, minutes=1.0)
REAL = ("first", "second")
"""Of different shards."""
STUCK = 4
"""Sessions of each real gateway."""
TERM = 6.0
SETTLED_WITHIN = 450.0
"""For three owners one after the other, each a term, a beat, what it waits for the one before it, and the thresholds: a third of it where
two cores do nothing else."""
SETTLED = ("recovered", "quarantined")
SEND = "frame agent"
pytestmark = [pytest.mark.gateways, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[World]]:
    with ExitStack() as stack:
        yield [stack.enter_context(World(V9_6, tmp_path_factory.mktemp(name))) for name in REAL]


@dataclass
class Models:
    """Both, as one."""

    worlds: Sequence[World]

    def turns_with(self, mark: str) -> int:
        return sum(world.provider.turns_with(mark) for world in self.worlds)

    def turns(self) -> int:
        """Of any watchdog's."""
        return sum(turns(world) for world in self.worlds)


@dataclass
class Stage:
    """All that takes part in one fault."""

    fleet: Daemons
    worlds: Sequence[World]
    keys: Sequence[str]
    earlier: int
    """Turns of earlier faults."""
    canned: subprocess.Popen[str]
    began: float = 0.0
    term: float = TERM
    within: float = SETTLED_WITHIN
    """The bound of this fault."""
    dead: list[Watchdog] = field(default_factory=list)

    @property
    def models(self) -> Models:
        return Models(self.worlds)

    def sent(self) -> int:
        return self.models.turns() - self.earlier

    def owners(self) -> set[str]:
        """Of the real gateways."""
        return {name for gateway in REAL if (name := self.fleet.watching(gateway)) is not None}

    # ------------------------------------------------------------ what happens

    def begin(self, make: Callable[[str], Watchdog] | None = None) -> None:
        """Everybody watches, then the pause ends. ``make``: starts one, by its name."""
        make = make or self.fleet.make
        first, *others = NAMES
        make(first).wait_for("daemon.started")
        assert self.fleet.made[first].verb("pause", "--reason", "until all is up").code == 0
        for name in others:
            make(name)
        until("the shares are even", self._is_even, within=max(120.0, 5 * self.term))
        until("every gateway is watched", lambda: self._watched() == CANNED.gateways + len(REAL), within=90, every=1)
        assert self.sent() == 0
        assert self.fleet.someone.verb("unpause").code == 0
        self.began = monotonic()

    def _is_even(self) -> bool:
        with psycopg.connect(self.fleet.url) as db:
            rows = db.execute("SELECT owner FROM openclaw_watchdog.shards WHERE owner IS NOT NULL").fetchall()
        held = Counter(owner for (owner,) in rows)
        return len(held) == len(NAMES) and min(held.values()) >= sum(held.values()) // len(NAMES)

    def _watched(self) -> int:
        return len({line["gateway"] for one in self.fleet.made.values() for line in one.events("gateway.connected")})

    def bury(self, name: str) -> Watchdog:
        one = self.fleet.made.pop(name)
        one.close()
        self.dead.append(one)
        return one

    def first_sent(self) -> str:
        """By whom, or by one of them."""
        until("something is sent", self.sent, within=self.within / LENIENCE)
        return until("and somebody says so", self.fleet.started, within=30)[0][0]

    # ------------------------------------------------------------ what must hold

    def is_settled(self) -> bool:
        """What was claimed and is too late to be sent is given up and told, for there is no second rung."""
        done = {i["session"] for i in self.fleet.incidents() if i["outcome"] in SETTLED}
        return done >= set(self.keys)

    def settle(
        self,
        row: Row,
        tend: Callable[[], object] = lambda: None,
        is_over: Callable[[], bool] = lambda: True,
    ) -> None:
        """``tend``: done again and again until everybody is settled and the fault ``is_over``."""
        took = 0.0

        def all_settled() -> bool:
            nonlocal took
            tend()
            took = took or (monotonic() - self.began if self.is_settled() else 0.0)
            return took > 0 and is_over()

        with contextlib.suppress(HarnessError):  # what is missing stands in the losses
            until("all are settled", all_settled, within=self.within / LENIENCE, every=1)
        took = took or monotonic() - self.began
        stays("all is still", lambda: True, for_seconds=self.term)  # who was late would have sent by then
        result = reckon(self.fleet.someone, self.fleet.hook, self.models).require(self.keys, *SETTLED)
        row.saw(f"{result.sentence()}; settled after {took:.0f} s (bound {self.within:.0f} s)")
        row.lost(result.losses)
        row.lost([f"settled after {took:.0f} s, not within {self.within:.0f} s"] if took > self.within else [])
        row.lost(self._sent_twice(result))
        for name, one in self.fleet.made.items():
            row.lost([f"{name} ended with {code}"] if one.is_running and (code := one.stop()) else [])
        polls = self._polls()
        row.saw(f"canned gateways polled {sum(map(len, polls)):,} times")
        row.lost([f"{unpolled} canned gateways were not polled"] if (unpolled := polls.count([])) else [])

    def _sent_twice(self, result: Reckoning) -> list[str]:
        """At most one turn a stuck run, and none that no attempt tells of."""
        found = result.turns()
        by_run = {
            i["session"]: sum(found[f"[openclaw-watchdog {i['id']}/{a['number']}]"] for a in i["attempts"])
            for i in result.incidents
        }
        losses = [f"{key}: {count} turns" for key, count in by_run.items() if count > 1]
        return losses + ([f"{self.sent()} turns for {found.total()}"] if self.sent() != found.total() else [])

    def _polls(self) -> list[list[float]]:
        """The canned gateways end with it."""
        self.canned.terminate()
        assert self.canned.stdout is not None
        return list(json.loads(self.canned.stdout.read()).values())


@pytest.fixture
def stage(
    row: Row,
    hook: Webhook,
    server: Server,
    worlds: list[World],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Stage]:
    row.on(f"three daemons on PostgreSQL, {CANNED.gateways} canned gateways and two real {V9_6.version}")
    name = request.node.originalname.removeprefix("test_")
    term = getattr(request, "param", TERM)
    keys = [key for number, world in enumerate(worlds, 1) for key in left_stuck(world, STUCK, f"{name}-{number}")]
    with _fleets(CANNED) as ((canned, port, _),):
        token, listed = tmp_path / "token", tmp_path / "gateways.json"
        token.touch(mode=0o600)
        token.write_text("canned-token-0123456789\n")
        listed.write_text(_list(CANNED, [port]))
        with Daemons(
            worlds[0].gateway, tmp_path, hook, server.database(), **_settings(worlds, listed, token, hook, term)
        ) as fleet:
            made = Stage(fleet, worlds, keys, Models(worlds).turns(), canned, term=term)
            try:
                yield made
            finally:
                for one in made.dead:
                    one.close()
                assert canned.stdout is not None
                canned.stdout.close()
                _leave_nothing(worlds, keys)


def _leave_nothing(worlds: Sequence[World], keys: Sequence[str]) -> None:
    """What a fault has left stuck is no matter of the next one's fleet."""
    for world in worlds:
        for one in world.witness.rows():
            if one["key"] in keys and one.get("status") == "running":
                world.witness.reset(str(one["key"]))


def _settings(worlds: Sequence[World], listed: Path, token: Path, hook: Webhook, term: float) -> dict[str, Any]:
    real = [
        {"name": name, "url": one.gateway.url, "token": one.gateway.token, "state_dir": str(one.gateway.state_dir)}
        for name, one in zip(REAL, worlds, strict=True)
    ]
    policy = {"name": "cron", "match": {"kind": ["cron"]}, "recovery": {"ladder": ["resume"]}}
    return {
        "gateways": [*real, {"discover": {"file": str(listed)}, "token_file": str(token)}],
        "poll_every": f"{CANNED.every:g}s",
        "thresholds": {"stuck_after": "12s", "confirm_for": "2s", "long_running_after": "30m", "startup_grace": "3s"},
        "recovery": {"verify_within": "30s", "backoff": ["2s"]},
        "policies": [policy],
        "notify": [hook.url],
        "replicas": {"term": f"{term:g}s"},
    }


FAULT = "three replicas, 300 canned gateways and two real ones: "


@pytest.mark.faults(f"{FAULT}kill -9 of each after its first sending")
def test_killed(row: Row, stage: Stage) -> None:
    stage.begin(partial(stage.fleet.make, CUT_AFTER=SEND))
    until(
        "all three are dead",
        lambda: not any(one.is_running for one in stage.fleet.made.values()),
        within=stage.within / LENIENCE,
    )
    row.saw(f"killed after {monotonic() - stage.began:.0f} s, {stage.sent()} sent by then")
    for name in NAMES:
        stage.bury(name)
        stage.fleet.make(name)
    stage.settle(row)


@pytest.mark.faults(f"{FAULT}each stands still for twice the term between claim and sending")
def test_stopped(row: Row, stage: Stage) -> None:
    stage.begin(partial(stage.fleet.make, CUT_AFTER="claim_attempt", CUT_HOW="SIGSTOP"))
    since: dict[str, float] = {}
    woken: list[str] = []

    def tend() -> None:
        for name, one in stage.fleet.made.items():
            if name in woken or one.process.status() != psutil.STATUS_STOPPED:
                continue
            if monotonic() - since.setdefault(name, monotonic()) >= 2 * TERM:
                one.signal(signal.SIGCONT)
                woken.append(name)

    stage.settle(row, tend, lambda: bool(woken) and len(woken) == len(since))
    row.saw(f"{len(woken)} stood still")


@pytest.mark.faults(f"{FAULT}PostgreSQL stops at once for two terms after the first sending")
def test_server_away(row: Row, server: Server, stage: Stage) -> None:
    stage.begin()
    stage.first_sent()
    server.stop("immediate")
    try:
        for one in stage.fleet.made.values():
            one.wait_for("ledger.unavailable")
        begun = len(stage.fleet.started())
        stays("nothing is begun", lambda: len(stage.fleet.started()) == begun, for_seconds=2 * TERM)
        before = stage.sent()
        row.lost([f"{before} turns for {begun} claims"] if before > begun else [])
    finally:
        server.start()
    row.saw(f"{before} sent before it was away, none begun meanwhile")
    stage.settle(row)


@pytest.mark.faults(f"{FAULT}the first to send is cut off from PostgreSQL until the others have settled all")
def test_partition(row: Row, server: Server, stage: Stage) -> None:
    with ExitStack() as stack:
        wires = {name: stack.enter_context(Wire(server, f"wire-{name}")) for name in NAMES}
        stage.begin(lambda name: stage.fleet.make(name, url=wires[name].url(stage.fleet.url)))
        first = stage.first_sent()
        cut_off = stage.fleet.made[first]
        wires[first].cut()
        stage.fleet.cut_off.add(first)
        since = monotonic()
        cut_off.wait_for("ledger.unavailable")
        until("the others have the real ones", lambda: len(stage.owners()) and first not in stage.owners(), within=60)
        row.saw(f"others have what it watched after {monotonic() - since:.0f} s")
        begun = len(cut_off.events("recovery.started"))

        def tend() -> None:
            if stage.fleet.cut_off and stage.is_settled():
                row.lost(["who is cut off acts"] if len(cut_off.events("recovery.started")) > begun else [])
                wires[first].mend()
                stage.fleet.cut_off.clear()

        stage.settle(row, tend, lambda: bool(cut_off.events("ledger.restored")))
        row.saw("and it is back by itself")


SLOW = 0.2
SLOW_TERM = 30.0
"""The default: in a shorter one no deed is claimed and sent on such a server."""
SLOW_WITHIN = 2 * SETTLED_WITHIN
"""Each deed waits for some thirty statements, and the writes of all three for each other."""


@pytest.mark.parametrize("stage", [SLOW_TERM], indirect=True, ids=["its-term"])
@pytest.mark.faults(f"{FAULT}every statement takes PostgreSQL 200 ms longer from the first sending on")
def test_slow_server(row: Row, server: Server, stage: Stage) -> None:
    stage.within = SLOW_WITHIN
    with Wire(server) as wire:
        stage.begin(lambda name: stage.fleet.make(name, url=wire.url(stage.fleet.url)))
        stage.first_sent()
        before, wire.slow = wire.statements, SLOW
        stage.settle(row)
        row.saw(f"{wire.statements - before:,} statements of {SLOW * 1000:g} ms more each")


HOURS_2 = 7200


@pytest.mark.faults(
    f"{FAULT}the clock of one is set forward by two hours at the first sending, and back two terms later"
)
def test_clock(row: Row, tmp_path: Path, stage: Stage) -> None:
    clock = MachineClock(tmp_path)
    odd, *others = NAMES

    def make(name: str) -> Watchdog:
        return stage.fleet.make(name, program="watchdog", **({} if name in others else clock.of_many_readings))

    stage.begin(make)
    one = stage.fleet.made[odd]
    assert odd in stage.owners(), "shares are given away from the highest on: the first to start keeps the lowest"
    stage.first_sent()
    clock.set(f"{HOURS_2:+d}")
    said = until("it says so", partial(_jumped, one, 1), within=60)
    stays("its clock is off", lambda: one.is_running, for_seconds=2 * TERM)
    clock.set("+0")
    until("and again", partial(_jumped, one, 2), within=60)
    row.saw(f"said each time: {said}")
    stage.settle(row)


def _jumped(one: Watchdog, count: int) -> str | None:
    """What it says of the machine's clock, once it has said it so often of one gateway."""
    said = [line for line in one.events("gateway.unhealthy") if "the clocks moved apart" in str(line["reason"])]
    of_one = Counter(line["gateway"] for line in said)
    return str(said[0]["reason"]).removeprefix("starting over: ") if max(of_one.values(), default=0) >= count else None


@pytest.mark.faults(f"{FAULT}a rolling upgrade, whose first newer replica brings the tables up")
def test_upgrade(row: Row, stage: Stage) -> None:
    stage.begin()
    first = stage.first_sent()
    olds = dict(stage.fleet.made)
    row.lost([f"{first} ended with {code}"] if (code := olds[first].stop()) else [])
    stage.bury(first)
    stage.fleet.make(first, program=NEWER).wait_for("daemon.started")
    since = monotonic()
    others = [name for name in NAMES if name != first]
    stage.fleet.outdated(row, {name: olds[name] for name in others}, within=60)
    row.saw(
        f"{stage.sent()} sent before; the older ones ended within {monotonic() - since:.0f} s of the newer one's start"
    )
    for name in others:
        stage.bury(name)
        stage.fleet.make(name, program=NEWER)
    stage.settle(row)
