"""Whether the ledger can be written is found out by writing, and not by every watch before every pass."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import psycopg
import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import memory_ledger
from watchdog.core.leases import SHARDS, Lease, LeaseTiming, shard_of
from watchdog.ledger.ledger import SqlLedger
from watchdog.ledger.place import LedgerPlace
from watchdog.service.errors import LeaseLost, LedgerUnavailable
from watchdog.service.ledger_switch import PROOF_LASTS, LedgerSwitch
from watchdog.service.tenure import Tenure

from .support import opened, planned, stuck

LONG = timedelta(hours=1)
GATEWAYS = [f"gateway {number}" for number in range(40)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger(kept: LedgerPlace, clock: ManualClock) -> Iterator[SqlLedger]:
    """A daemon's; in a file, and in a database."""
    with LedgerPlace(kept.folder, clock, kept.url).open(owner=True) as found:
        yield found


def probes(ledger: SqlLedger) -> int:
    return int(ledger._meta("probes"))


def tenures(ledger: SqlLedger, clock: ManualClock, replica: str = "a", term: timedelta = LONG) -> dict[int, Tenure]:
    """Every shard that is free, leased by one replica."""
    ledger.leases.beat(replica, replica, {}, term)
    times = LeaseTiming(LONG)
    return {
        one.shard: Tenure(replica, Lease.taken(one.shard, one.epoch, clock.now(), times, was_released=True), times)
        for one in ledger.leases.take(replica, SHARDS + 1, term)
    }


def can_act(switch: LedgerSwitch, clock: ManualClock) -> bool:
    """As a pass finds it at its beginning."""
    switch.choose(clock.now().wall)
    return switch.is_writable


@contextmanager
def somebody_else_writes(place: LedgerPlace) -> Iterator[None]:
    """For as long as nobody else can."""
    if place.url is None:
        with closing(sqlite3.connect(place.path, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            yield
            file.execute("ROLLBACK")
    else:
        with psycopg.connect(place.url) as db:
            db.execute("UPDATE openclaw_watchdog.layout SET commits = commits")
            yield
            db.rollback()


@pytest.mark.parametrize("is_shared", [False, True])
def test_one_durable_probe_in_half_a_minute_for_all_watches_of_a_process(
    ledger: SqlLedger, clock: ManualClock, *, is_shared: bool
) -> None:
    held = tenures(ledger, clock) if is_shared else {}
    ledgers = [ledger.fenced(held[shard_of(name)], name) if is_shared else ledger for name in GATEWAYS]
    watches = [LedgerSwitch(one, memory_ledger(clock)) for one in ledgers]
    for watch in watches:
        assert can_act(watch, clock), "what an earlier owner left is settled now, whatever was proven"
    before, passes = probes(ledger), 0
    for second in range(600):
        clock.advance(1)
        for watch in watches[second % 10 :: 10]:  # each every ten seconds
            passes += 1
            assert can_act(watch, clock)
    assert passes == 2400
    assert probes(ledger) - before == 600 / PROOF_LASTS.total_seconds()


def test_any_write_is_the_proof(ledger: SqlLedger, clock: ManualClock) -> None:
    watch = LedgerSwitch(ledger)
    assert can_act(watch, clock)
    before = probes(ledger)
    for number in range(10):
        clock.advance(PROOF_LASTS - timedelta(seconds=1))
        ledger.owe([stuck(f"{number}")], clock.now().wall)
        assert can_act(watch, clock)
    assert probes(ledger) == before


def test_a_failed_write_is_noticed_at_once_and_asked_about_in_every_pass(
    ledger: SqlLedger, kept: LedgerPlace, clock: ManualClock
) -> None:
    first, second = (LedgerSwitch(ledger, memory_ledger(clock)) for _ in range(2))
    assert can_act(first, clock)
    with somebody_else_writes(kept):
        assert can_act(second, clock), "nobody has written since"
        with pytest.raises(LedgerUnavailable):
            ledger.owe([stuck("k")], clock.now().wall)
        assert not can_act(first, clock)
        assert not can_act(second, clock), "whoever wrote"
        assert not can_act(first, clock)
        assert first.problem is not None, "the second time in a row"
    before = probes(ledger)
    assert can_act(first, clock), "as soon as it can, and no time has passed"
    assert can_act(second, clock)
    assert probes(ledger) == before + 1


def test_a_lost_lease_is_noticed_before_the_pass_and_in_its_writes(ledger: SqlLedger, clock: ManualClock) -> None:
    held = tenures(ledger, clock, term=timedelta(0))
    own = ledger.fenced(held[shard_of("home")], "home")
    watch = LedgerSwitch(own, memory_ledger(clock))
    assert can_act(watch, clock)
    attempt = planned(own, opened(own))
    before = probes(ledger)
    tenures(ledger, clock, "b")
    with pytest.raises(LeaseLost):
        watch.choose(clock.now().wall)
    with pytest.raises(LeaseLost):
        own.claim_attempt(attempt.id, clock.now().wall)
    assert probes(ledger) == before
