"""Shards that come and go under a running daemon: what is begun at once, what waits for whose last pass."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import memory_ledger
from watchdog.config import LoadedConfig, load
from watchdog.core.leases import SHARDS, LeaseTiming, shard_of
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.service.events import MemoryLog
from watchdog.service.ledger import Message
from watchdog.service.null_meter import NullMeter
from watchdog.service.shares import Shares
from watchdog.service.tenure import Tenure


def in_shard(shard: int, number: int = 0) -> str:
    """The ``number``-th name that belongs there."""
    names = (f"gateway-{one}" for one in count())
    return next(islice((name for name in names if shard_of(name) == shard), number, None))


SLOW, OTHER, QUICK, STAYS = NAMES = in_shard(64), in_shard(64, 1), in_shard(63), in_shard(5)
TIMING = LeaseTiming(timedelta(seconds=30))


@dataclass
class SlowWatch:
    """Its one pass ends when it is let."""

    name: str
    tenure: Tenure | None
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    begun: bool = False
    ledger_problem: None = None
    last_report: None = None

    def __post_init__(self) -> None:
        self.gateway = SimpleNamespace(name=self.name, close=self._close)

    async def _close(self) -> None:
        """Nothing is open."""

    async def pass_once(self) -> Any:
        self.begun = True
        await self.may_end.wait()
        raise RuntimeError("over")

    def pass_failed(self, _: Exception) -> None:
        """Nobody asks."""


class Desk:
    def __init__(self, folder: Path) -> None:
        sections = "".join(
            f"  - {{name: {name}, url: 'ws://127.0.0.1:{port}', token: t, state_dir: none}}\n"
            for port, name in enumerate(NAMES, 1)
        )
        file, env = folder / "watchdog.yaml", {"HOME": str(folder)}
        file.touch(mode=0o600)
        file.write_text(f"gateways:\n{sections}state_dir: {folder}/state\nstatus_page: null\n")
        self.clock = ManualClock()
        self.ledger = memory_ledger(self.clock)
        self.shares, self.other = (Shares(self.ledger.leases, f"{one} 1", one, TIMING, self.clock) for one in "ab")
        self.watches: dict[str, SlowWatch] = {}
        self.daemon = Daemon(
            Builder(load(file, env=env), env, MemoryLog(), NullMeter()).parts(is_observing=True), seed=1
        )
        self.daemon.parts.shares = self.shares
        self.daemon.parts.build_watches = cast(Any, self._build)
        self.daemon._scheduler = cast(Any, None)

    def _build(self, _: LoadedConfig, only: set[str]) -> list[SlowWatch]:
        ours = {name: self.shares.tenure_of(name) for name in NAMES if name in only}
        found = {name: SlowWatch(name, tenure) for name, tenure in ours.items() if tenure is not None}
        self.watches |= found
        return list(found.values())

    async def beat(self) -> None:
        self.daemon._beat(self.shares)
        await self.turns()

    async def turns(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def free(self) -> set[int]:
        return {one.id for one in self.ledger.leases.fleet().shards if one.owner is None}


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("watchdog.daemon.loop.first_after", lambda *_: 0.0)
    desk = Desk(tmp_path)
    desk.daemon.settled = timedelta(days=1)
    yield desk
    desk.daemon.stop("the test is over")
    for watch in desk.watches.values():
        watch.may_end.set()
    await desk.daemon._drain(())
    desk.daemon.parts.close()


async def shared(desk: Desk) -> set[int]:
    """It watches everything, and another one has come: what it begins to hand over."""
    await desk.beat()
    assert {name for name, watch in desk.watches.items() if watch.begun} == set(NAMES)
    desk.ledger.leases.beat("b 1", "b", {}, TIMING.term)
    await desk.beat()
    return {61, 62, 63, 64}


async def test_who_cannot_read_a_list_takes_nothing_from_those_who_can(desk: Desk) -> None:
    lists = desk.daemon.parts.gateways.lists
    desk.ledger.leases.beat("b 1", "b", {}, TIMING.term)
    lists.is_blind = True
    await desk.beat()
    assert [one.name for one in desk.ledger.leases.fleet().replicas] == ["b"], "b hands nothing over"
    lists.is_blind = False
    await desk.beat()
    assert desk.shares.held == desk.shares.fleet.fair_share()


async def test_who_cannot_read_a_list_watches_what_it_knows_where_nobody_else_is(desk: Desk) -> None:
    desk.daemon.parts.gateways.lists.is_blind = True
    await desk.beat()
    assert desk.shares.held == SHARDS + 1
    await desk.beat()
    assert desk.shares.held == SHARDS + 1


@pytest.mark.parametrize("others_watch", [True, False])
async def test_who_watches_nothing_says_that_it_lives_only_where_others_watch(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, others_watch: bool
) -> None:
    """A list that names no gateway any more must not look like a fleet that is looked after."""
    pings: list[None] = []
    monkeypatch.setattr(type(desk.daemon.parts.teller), "ping", lambda _: pings.append(None))
    if not others_watch:
        config = desk.daemon.parts.loaded.config
        desk.daemon.parts.loaded = replace(desk.daemon.parts.loaded, config=config.model_copy(update={"gateways": []}))
    desk.daemon._beat_alone()
    assert len(pings) == others_watch


async def test_a_slow_last_pass_keeps_its_own_shard_and_no_other(desk: Desk) -> None:
    leaving = await shared(desk)
    assert desk.free() == leaving - {64, 63}, "nobody watches in those"
    desk.watches[QUICK].may_end.set()
    desk.watches[OTHER].may_end.set()
    await desk.turns()
    assert desk.free() == leaving - {64}, "one of its two passes is still going"
    desk.watches[SLOW].may_end.set()
    await desk.turns()
    assert desk.free() == leaving


async def test_a_replica_without_gateways_says_that_it_lives_and_what_its_ledger_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, told = desk.daemon.parts, list[str]()
    monkeypatch.setattr(type(parts.meter), "cycle_completed", lambda *_: told.append("cycle"))
    monkeypatch.setattr(type(parts.teller), "ping", lambda _: told.append("ping"))
    parts.build_watches = cast(Any, lambda *_: [])
    lost_at = parts.clock.now().wall
    monkeypatch.setattr(type(parts.ledger), "lost_history_at", property(lambda _: lost_at))
    owed = list[Message]()

    def owe(_: object, messages: Sequence[Message], __: datetime) -> int:
        owed.extend(messages)
        return len(messages)

    monkeypatch.setattr(type(parts.ledger), "owe", owe)
    await desk.beat()
    assert sorted(told) == ["cycle", "ping"]
    assert [message.kind.value for message in owed] == ["ledger"]


async def test_what_was_taken_is_begun_while_a_last_pass_is_going(desk: Desk) -> None:
    desk.clock.advance(1)
    desk.ledger.leases.beat("b 1", "b", {}, TIMING.term)
    other = {one.shard: one.epoch for one in desk.ledger.leases.take("b 1", 33, TIMING.term)}
    assert shard_of(STAYS) in other
    await desk.beat()
    assert set(desk.watches) == {SLOW, OTHER, QUICK}
    desk.ledger.leases.beat("c 1", "c", {}, TIMING.term)
    await desk.beat()
    assert desk.shares.leaving
    desk.ledger.leases.leave("b 1", other)
    desk.ledger.leases.leave("c 1", {})
    await desk.beat()
    assert desk.watches[STAYS].begun
    assert not desk.watches[SLOW].may_end.is_set()


async def test_in_a_drain_each_shard_goes_when_its_passes_have_ended(desk: Desk) -> None:
    await desk.beat()
    desk.daemon.stop("SIGTERM")
    drain = asyncio.create_task(desk.daemon._drain(()))
    for name in (QUICK, STAYS, OTHER):
        desk.watches[name].may_end.set()
    await desk.turns()
    assert not drain.done()
    assert desk.free() == set(range(1, 64)), "all but the slow one's, and the outbox"
    await desk.beat()
    assert desk.free() == set(range(1, 64)), "and nothing is taken meanwhile"
    desk.watches[SLOW].may_end.set()
    await drain
    assert desk.free() == set(range(1, 65))


async def test_what_has_no_pass_going_is_handed_over_in_one_go(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, a ledger that answers slowly would take a minute for the shards without any gateway."""
    await desk.beat()
    released, release = list[int](), desk.ledger.leases.release

    def noted(replica: str, held: Mapping[int, int]) -> None:
        released.append(len(held))
        release(replica, held)

    monkeypatch.setattr(desk.ledger.leases, "release", noted)
    desk.shares.drain()
    handing = asyncio.ensure_future(desk.daemon._hand_over())
    await desk.turns()
    of_gateways = {shard_of(name) for name in NAMES}
    assert released == [SHARDS - len(of_gateways)]
    assert desk.free() == set(range(1, SHARDS + 1)) - of_gateways
    for watch in desk.watches.values():
        watch.may_end.set()
    for runner in desk.daemon._runners.values():
        runner.stop()
    await handing
    assert desk.free() == set(range(1, SHARDS + 1))
    assert sum(released) == SHARDS
    assert len(released) <= 2 + len(NAMES) // 2, "and what ended together goes together"
