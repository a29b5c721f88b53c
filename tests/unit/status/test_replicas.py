"""Who watches what, as any replica shows it."""

from __future__ import annotations

from datetime import timedelta

from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import memory_ledger
from tests.unit.status import support as world
from watchdog.cli.render import _matters
from watchdog.core.leases import LeaseTiming
from watchdog.service.shares import Shares
from watchdog.status.document import build, read_record, replicas_of
from watchdog.status.metrics import PrometheusMeter
from watchdog.status.model import document

NAMES = [f"gateway-{number}" for number in range(12)]


def test_one_line_a_replica_and_what_nobody_watches() -> None:
    clock = ManualClock()
    ledger = memory_ledger(clock)
    ann, bob = (Shares(ledger.leases, f"{name} 1", name, LeaseTiming(), clock) for name in ("ann", "bob"))
    ledger.leases.beat("bob 1", "bob", {}, timedelta(seconds=30))
    ann.beat()
    clock.advance(15)
    ann.beat()
    views, unwatched = replicas_of(ann, NAMES)
    state = document(
        build(
            world.life(replicas=views, unwatched=unwatched),
            (),
            read_record(ledger, (), clock.now().wall),
            clock.now().wall,
        )
    )
    assert [(one["name"], one["is_this"], one["delivers"], one["shards"]) for one in state["replicas"]] == [
        ("ann", True, True, 33),
        ("bob", False, False, 0),
    ]
    mine = state["replicas"][0]["gateways"]
    assert sorted([*mine, *state["unwatched"]]) == sorted(NAMES)
    assert mine
    assert state["unwatched"]
    assert f"{len(state['unwatched'])} gateways are watched by no replica" in state["headline"]["text"]
    lines = [line.plain for line in _matters(state, clock.now().wall)]
    assert lines[0].startswith("replica ann (this one): 33 shards, delivers messages, watches gateway-")
    assert lines[1] == "replica bob: 0 shards"
    assert lines[2].startswith("watched by no replica: gateway-")
    clock.advance(20)
    bob.beat()
    views, unwatched = replicas_of(bob, NAMES)
    assert not unwatched
    told = build(world.life(replicas=views), (), read_record(ledger, (), clock.now().wall), clock.now().wall)
    assert told.headline.text == "The other replicas watch all gateways."


def test_replicas_of_which_none_has_a_gateway_are_not_said_to_watch_any() -> None:
    """Their list came to name none."""
    clock = ManualClock()
    ledger = memory_ledger(clock)
    ann = Shares(ledger.leases, "ann 1", "ann", LeaseTiming(timedelta(seconds=30)), clock)
    ann.beat()
    views, unwatched = replicas_of(ann, [])
    told = build(
        world.life(replicas=views, unwatched=unwatched),
        (),
        read_record(ledger, (), clock.now().wall),
        clock.now().wall,
    )
    assert told.headline.text == "No gateway is watched: the lists name none."


def test_who_is_gone_is_shown_as_gone() -> None:
    clock = ManualClock()
    ledger = memory_ledger(clock)
    ann, bob = (Shares(ledger.leases, f"{name} 1", name, LeaseTiming(), clock) for name in ("ann", "bob"))
    ann.beat()
    bob.beat()
    clock.advance(31)
    bob.beat()
    views, _ = replicas_of(bob, NAMES)
    state = document(build(world.life(replicas=views), (), read_record(ledger, (), clock.now().wall), clock.now().wall))
    lines = [line.plain for line in _matters(state, clock.now().wall)]
    assert lines[0] == "replica ann, gone: 0 shards"


def test_metrics_say_how_many_replicas_and_shards_there_are_only_where_they_share() -> None:
    meter = PrometheusMeter("1")
    assert b"openclaw_watchdog_shards" not in meter.render()
    for replicas, shards in ((1, 65), (3, 22)):
        meter.share(replicas, shards)
        assert f"openclaw_watchdog_replicas {replicas}.0\n".encode() in meter.render()
        assert f"openclaw_watchdog_shards {shards}.0\n".encode() in meter.render()
