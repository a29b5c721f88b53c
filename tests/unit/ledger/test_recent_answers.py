"""What all gateways of one replica read at once: who sees which change, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from watchdog.core.leases import SHARDS, Lease, LeaseTiming, shard_of
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.ledger.incidents import IncidentOperations
from watchdog.ledger.ledger import SqlLedger
from watchdog.ledger.place import LedgerPlace
from watchdog.service.errors import LeaseLost, LedgerUnavailable
from watchdog.service.ledger import Outcome, Stop
from watchdog.service.recent_answers import AT_LEAST, RecentAnswers
from watchdog.service.tenure import Tenure

from .support import T0, at, attempt_now, opened, planned, quarantine_of, started

LONG = timedelta(hours=1)
KEY = "agent:main:telegram:direct:4711"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger(kept: LedgerPlace, clock: ManualClock) -> Iterator[SqlLedger]:
    """A replica's; in a file, and in a database."""
    with LedgerPlace(kept.folder, clock, kept.url).open(owner=True) as found:
        yield found


def replica(ledger: SqlLedger, clock: ManualClock, *names: str) -> list[SqlLedger]:
    """As its watches over gateways of these names use it."""
    ledger.leases.beat("a", "a", {}, LONG)
    timing, recent = LeaseTiming(LONG), RecentAnswers(clock)
    held = {
        one.shard: Tenure(
            "a", Lease.taken(one.shard, one.epoch, clock.now(), timing, was_released=True), timing, recent=recent
        )
        for one in ledger.leases.take("a", SHARDS + 1, LONG)
    }
    found = [ledger.fenced(held[shard_of(name)], name) for name in names]
    assert all(one.is_writable() for one in found), "what an earlier owner left is settled"
    return found


def test_what_this_process_wrote_is_seen_at_once(ledger: SqlLedger, clock: ManualClock) -> None:
    (own,) = replica(ledger, clock, "home")
    assert list(own.open_incidents("home")) == []
    incident = opened(own)
    assert [one.id for one in own.open_incidents("home")] == [incident.id]
    assert list(own.attempts_in_flight("home")) == []
    attempt = planned(own, incident)
    assert own.claim_attempt(attempt.id, at(1))
    assert [one.id for _, one in own.attempts_in_flight("home")] == [attempt.id]
    assert attempt_now(own, attempt).state.value == "started"
    assert list(own.stops("home", KEY)) == []
    own.note_stop(Stop("home", KEY, "sid", None, T0))
    assert len(own.stops("home", KEY)) == 1
    assert own.close_incident(incident.id, Outcome.CLEARED, at(2))
    assert list(own.open_incidents("home")) == []
    assert list(own.quarantines("home")) == []
    own.quarantine(quarantine_of())
    assert len(own.quarantines("home")) == 1


def test_what_somebody_else_wrote_is_seen_a_second_later(
    ledger: SqlLedger, kept: LedgerPlace, clock: ManualClock
) -> None:
    home, other = replica(ledger, clock, "home", "other")
    own_entry = quarantine_of()
    home.quarantine(own_entry)
    for one in (home, other):
        assert [list(one.pauses(at(0))), one.lost_history_at] == [[], None]
        assert len(one.quarantines("home")) == 1
        assert list(one.quarantines("other")) == []
    with kept.open(owner=False) as verb:
        verb.release("home", own_entry.session, at(1), who="op", why="fixed")
        verb.pause(at=at(1), until=at(60), gateway=None, session=None, reason="wait", who="op")
    clock.advance(AT_LEAST)
    assert list(home.quarantines("home")) == []
    assert len(home.pauses(at(2))) == 1
    assert list(home.pauses(at(61))) == [], "one that has ended since it was read"


def test_what_nobody_left_open_is_not_settled_gateway_by_gateway(
    ledger: SqlLedger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server 200 ms away a replica that takes over a hundred gateways would write for minutes."""
    names = [f"gateway {number}" for number in range(20)]
    flying = started(ledger, opened(ledger, gateway=names[7]))
    settled, settle = list[str](), IncidentOperations.settle_start_up

    def noted(self: SqlLedger, at: datetime, gateway: str | None = None, **why: str) -> Sequence[Attempt]:
        settled.append(str(gateway))
        return settle(self, at, gateway, **why)

    monkeypatch.setattr(IncidentOperations, "settle_start_up", noted)
    replica(ledger, clock, *names)
    assert settled == [names[7]]
    assert attempt_now(ledger, flying).state is AttemptState.INDETERMINATE


def test_all_gateways_of_a_replica_ask_once(
    ledger: SqlLedger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"gateway {number}" for number in range(40)]
    watches = replica(ledger, clock, *names)
    clock.advance(AT_LEAST)
    asked = Counter[str]()

    def counted(name: str) -> Callable[..., Any]:
        ask = getattr(ledger._file, name)

        def counting(*what: Any, **how: Any) -> Any:
            asked[name] += 1
            return ask(*what, **how)

        return counting

    for name in ("reading", "remembered"):
        monkeypatch.setattr(ledger._file, name, counted(name))
    for name, one in zip(names, watches, strict=True):
        assert one.is_writable(LONG)
        assert not one.open_incidents(name)
        assert not one.attempts_in_flight(name)
        assert not one.quarantines(name)
        assert not one.stops(name, KEY)
        assert not one.pauses(at(0))
        assert one.lost_history_at is None
    assert asked == {"reading": 6}, "each question once"


def test_a_shard_that_was_lost_is_found_lost_whatever_was_read(ledger: SqlLedger, clock: ManualClock) -> None:
    (own,) = replica(ledger, clock, "home")
    assert own.is_writable(LONG)
    shard = shard_of("home")
    ledger.leases.release("a", {shard: 1})
    (again,) = [one for one in ledger.leases.take("b", SHARDS + 1, LONG) if one.shard == shard]
    assert again.epoch == 2
    with pytest.raises(LeaseLost):
        opened(own)
    with pytest.raises(LeaseLost):
        own.is_writable(LONG)


def test_who_first_meets_a_cut_connection_asks_again(
    ledger: SqlLedger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own,) = replica(ledger, clock, "home")
    opened(own)
    reading, cuts = ledger._file.reading, ["server closed the connection unexpectedly"]

    def cut_once(**how: Any) -> Any:
        if cuts:
            raise LedgerUnavailable(cuts.pop())
        return reading(**how)

    monkeypatch.setattr(ledger._file, "reading", cut_once)
    assert len(own.open_incidents("home")) == 1
    cuts += ["gone"] * 2  # not a connection alone
    clock.advance(AT_LEAST)
    with pytest.raises(LedgerUnavailable):
        own.open_incidents("home")


def test_a_loss_is_told_by_who_has_read_it(
    ledger: SqlLedger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier loss that is remembered says nothing of one that was found since."""
    (own,) = replica(ledger, clock, "home")
    with ledger._file.writing() as transaction:
        transaction.execute("UPDATE meta SET lost_history_at = 1")
    told: list[bool] = []
    monkeypatch.setattr(ledger._file, "told_of_loss", lambda: told.append(True))
    clock.advance(AT_LEAST)
    assert [own.lost_history_at is None for _ in range(3)] == [False] * 3
    assert told == [True]
    clock.advance(AT_LEAST)
    assert own.lost_history_at is not None
    assert told == [True, True]
