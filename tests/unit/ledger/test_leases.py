"""Leases of shards, and the fence before every write, over every store: one contract."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.postgresql import Server
from watchdog.adapters.clock import SystemClock
from watchdog.core.leases import OUTBOX, SHARDS, Lease, LeaseTiming, shard_of
from watchdog.core.model import Moment
from watchdog.core.policy import Step
from watchdog.core.recovery import AttemptState
from watchdog.ledger.incidents import LED_ELSEWHERE
from watchdog.ledger.ledger import SqlLedger
from watchdog.ledger.place import LedgerPlace
from watchdog.service.errors import LeaseLost, LedgerInUse
from watchdog.service.ledger import Outcome, Stop
from watchdog.service.tenure import Tenure

from .support import T0, at, attempt_now, opened, planned, problem_of, quarantine_of, started, stuck

LONG, OVER = timedelta(hours=1), timedelta(0)
"""A term that lasts for all of a test, and one that is over at once, by any clock."""
HOME = shard_of("home")
NOW = Moment(0.0, T0)


def taken(ledger: SqlLedger, replica: str, term: timedelta = LONG, *, timing: timedelta = LONG) -> Tenure:
    """``replica`` takes everything that is nobody's; what it has of ``home``."""
    ledger.leases.beat(replica, replica, {}, term)
    (mine,) = [one for one in ledger.leases.take(replica, SHARDS + 1, term) if one.shard == HOME]
    times = LeaseTiming(timing)
    return Tenure(replica, Lease.taken(HOME, mine.epoch, NOW, times, was_released=mine.was_released), times)


# ---------------------------------------------------------------- leases


def test_every_shard_is_there_and_nobodys_at_first(ledger: SqlLedger) -> None:
    fleet = ledger.leases.fleet()
    assert [one.id for one in fleet.shards] == [OUTBOX, *range(1, SHARDS + 1)]
    assert all(one.owner is None and one.is_expired for one in fleet.shards)
    assert fleet.replicas == []


def test_what_one_has_no_other_takes(ledger: SqlLedger) -> None:
    first = ledger.leases.take("a", 40, LONG)
    assert len({one.shard for one in first}) == 40
    assert {one.epoch for one in first} == {1}
    second = ledger.leases.take("b", SHARDS + 1, LONG)
    assert not {one.shard for one in first} & {one.shard for one in second}
    assert not ledger.leases.take("c", 1, LONG)
    assert ledger.leases.fleet().held_by() == {"a": 40, "b": 25}


def test_an_expired_one_is_taken_with_an_epoch_of_its_own(ledger: SqlLedger) -> None:
    ledger.leases.take("a", 1, OVER)
    (again,) = ledger.leases.take("b", 1, LONG)
    assert (again.shard, again.epoch, again.was_released) == (OUTBOX, 2, False)


def test_expired_ones_can_be_left_to_their_owners(ledger: SqlLedger) -> None:
    held = ledger.leases.take("a", 2, OVER)
    ledger.leases.release("a", {held[1].shard: held[1].epoch})
    found = ledger.leases.take("b", SHARDS + 1, LONG, with_expired=False)
    assert [one.shard for one in found] == list(range(1, SHARDS + 1))
    assert found[0].was_released
    assert [one.shard for one in ledger.leases.take("b", 1, LONG)] == [held[0].shard]


def test_a_released_one_is_taken_and_known_for_it(ledger: SqlLedger) -> None:
    ledger.leases.take("a", 1, LONG)
    ledger.leases.release("a", {OUTBOX: 1})
    (again,) = ledger.leases.take("b", 1, LONG)
    assert (again.epoch, again.was_released) == (2, True)


def test_only_its_owner_of_that_epoch_renews_and_releases(ledger: SqlLedger) -> None:
    ledger.leases.take("a", 1, OVER)
    ledger.leases.take("b", 1, OVER)
    for other, epoch in (("a", 1), ("a", 2), ("b", 1)):
        fleet = ledger.leases.beat(other, other, {OUTBOX: epoch}, LONG)
        assert fleet.shards[OUTBOX].is_expired
        ledger.leases.release(other, {OUTBOX: epoch})
        assert ledger.leases.fleet().shards[OUTBOX].owner == "b"
    fleet = ledger.leases.beat("b", "b", {OUTBOX: 2}, LONG)
    assert not fleet.shards[OUTBOX].is_expired, "it was nobody else's since"


def test_replicas_are_here_by_their_heartbeat(ledger: SqlLedger) -> None:
    ledger.leases.beat("a 1", "ann", {}, LONG)
    fleet = ledger.leases.beat("b 1", "bob", {}, OVER)
    assert [(one.name, one.is_here) for one in fleet.replicas] == [("ann", True), ("bob", False)]
    fleet = ledger.leases.beat("b 1", "bob", {}, LONG)
    assert [(one.name, one.is_here) for one in fleet.replicas] == [("ann", True), ("bob", True)]


def test_who_leaves_leaves_everything_at_once(ledger: SqlLedger) -> None:
    ledger.leases.beat("a", "ann", {}, LONG)
    held = {one.shard: one.epoch for one in ledger.leases.take("a", SHARDS + 1, LONG)}
    ledger.leases.leave("a", held)
    fleet = ledger.leases.fleet()
    assert fleet.replicas == []
    assert all(one.owner is None for one in fleet.shards)


def test_one_that_went_without_a_word_is_forgotten_after_a_day(ledger: SqlLedger) -> None:
    ledger.leases.beat("a", "ann", {}, -timedelta(hours=25))
    ledger.leases.beat("b", "bob", {}, -timedelta(hours=23))
    assert [one.name for one in ledger.leases.beat("c", "cid", {}, LONG).replicas] == ["bob", "cid"]


# ---------------------------------------------------------------- the fence


def every_write(ledger: SqlLedger, attempt: int, incident: str) -> list[Callable[[], object]]:
    return [
        lambda: ledger.open_incident(gateway="home", session="s", session_id="x", reason="r", at=T0),
        lambda: ledger.close_incident(incident, Outcome.CLEARED, T0, [stuck("k")]),
        lambda: ledger.plan_attempt(incident, Step.RESUME, T0, before=None, before_tail=None),
        lambda: ledger.claim_attempt(attempt, T0),
        lambda: ledger.settle_attempt(attempt, AttemptState.ABANDONED, T0, reason="r"),
        lambda: ledger.note_run(attempt, "r"),
        lambda: ledger.note_delivery(attempt, delivered=True),
        lambda: ledger.note_proof(attempt, "p"),
        lambda: ledger.note_stop(Stop("home", "s", "x", T0, T0)),
        lambda: ledger.quarantine(quarantine_of()),
        lambda: ledger.release("home", "main", T0, who="us", why="r"),
        lambda: ledger.owe([stuck("k")], T0),
        lambda: ledger.settle_start_up(T0, "home"),
        lambda: ledger.audit(T0, "us", "what", "d"),
        lambda: ledger.note_texts.save(incident, 1, "what was asked"),
        lambda: ledger.is_writable(),
    ]


def test_who_is_no_longer_the_owner_changes_nothing(ledger: SqlLedger) -> None:
    old = ledger.fenced(taken(ledger, "a", OVER), "home")
    attempt = planned(old, opened(old))
    before = ledger.history(), ledger.quarantines(), ledger.due_messages("pager", T0), ledger.audit_trail()
    taken(ledger, "b")
    for write in every_write(old, attempt.id, attempt.incident):
        with pytest.raises(LeaseLost, match=r"no longer this replica's; nothing was written\."):
            write()
    after = ledger.history(), ledger.quarantines(), ledger.due_messages("pager", T0), ledger.audit_trail()
    assert after == before
    assert not problem_of(ledger), "nothing is wrong with the ledger"
    assert old.history(), "reading needs no lease"


def test_a_shard_lost_and_taken_again_is_another_tenure(ledger: SqlLedger) -> None:
    old = ledger.fenced(taken(ledger, "a", OVER), "home")
    again = ledger.fenced(taken(ledger, "a"), "home")
    with pytest.raises(LeaseLost):
        opened(old)
    assert opened(again).is_open


def test_a_released_shard_is_not_written_to(ledger: SqlLedger) -> None:
    tenure = taken(ledger, "a")
    ledger.leases.release("a", {HOME: tenure.lease.epoch})
    with pytest.raises(LeaseLost):
        opened(ledger.fenced(tenure, "home"))


def test_a_claim_wants_the_lease_to_outlive_the_sending(ledger: SqlLedger) -> None:
    """By the database's clock. What is no deed needs no margin."""
    tenure = taken(ledger, "a", LONG, timing=4 * LONG)
    own = ledger.fenced(tenure, "home")
    attempt = planned(own, opened(own))
    with pytest.raises(LeaseLost, match="ends too soon for a deed"):
        own.claim_attempt(attempt.id, at(2))
    assert attempt_now(own, attempt).state is AttemptState.PLANNED
    ledger.leases.beat("a", "a", {HOME: tenure.lease.epoch}, 2 * LONG)
    assert own.claim_attempt(attempt.id, at(3))


def test_a_new_owner_settles_what_the_last_one_left_of_its_gateway_before_any_deed(ledger: SqlLedger) -> None:
    old = ledger.fenced(taken(ledger, "a", OVER, timing=OVER), "home")
    ledger.leases.beat("a", "a", {HOME: 1}, LONG)
    flying, meant = started(old, opened(old)), planned(old, opened(old, "second"))
    elsewhere = started(ledger, opened(ledger, gateway="work"))
    ledger.leases.beat("a", "a", {HOME: 1}, OVER)
    new = ledger.fenced(taken(ledger, "b"), "home")
    assert attempt_now(new, flying).state is AttemptState.STARTED
    assert new.is_writable()
    assert [attempt_now(new, one).state for one in (flying, meant, elsewhere)] == [
        AttemptState.INDETERMINATE,
        AttemptState.ABANDONED,
        AttemptState.STARTED,
    ]
    assert not new.claim_attempt(planned(new, opened(new)).id, at(9)), "it is in flight until a look has settled it"


def test_what_an_owner_has_in_flight_itself_outlives_a_reload(ledger: SqlLedger) -> None:
    tenure = taken(ledger, "a", LONG)
    own = ledger.fenced(tenure, "home")
    assert own.is_writable()
    flying = started(own, opened(own))
    again = ledger.fenced(tenure, "home")
    assert again.is_writable()
    assert attempt_now(again, flying).state is AttemptState.STARTED


def test_what_was_sent_to_where_a_name_led_before_is_in_doubt(ledger: SqlLedger) -> None:
    """Another machine under the name: a run that ends there proves nothing of what was sent to the first."""
    tenure = taken(ledger, "a", LONG)
    own = ledger.fenced(tenure, "home", "the first machine")
    assert own.is_writable()
    flying = started(own, opened(own))
    moved = ledger.fenced(tenure, "home", "another machine")
    assert moved.is_writable()
    seen = attempt_now(moved, flying)
    assert (seen.state, seen.reason) == (AttemptState.INDETERMINATE, LED_ELSEWHERE)
    later = started(moved, opened(moved, "second"))
    assert ledger.fenced(tenure, "home", "another machine").is_writable()
    assert attempt_now(moved, later).state is AttemptState.STARTED


def test_budgets_and_holds_are_the_fleets(ledger: SqlLedger) -> None:
    old = ledger.fenced(taken(ledger, "a", OVER, timing=OVER), "home")
    ledger.leases.beat("a", "a", {HOME: 1}, LONG)
    started(old, opened(old))
    old.quarantine(quarantine_of("other"))
    ledger.pause(at=T0, until=None, gateway=None, session=None, reason="upgrade", who="ann")
    ledger.leases.beat("a", "a", {HOME: 1}, OVER)
    new = ledger.fenced(taken(ledger, "b"), "home")
    assert new.charges("home", T0) == 1
    assert [one.session for one in new.quarantines("home")] == ["other"]
    assert [one.reason for one in new.pauses(T0)] == ["upgrade"]


# ---------------------------------------------------------------- several processes on one PostgreSQL


def test_owners_that_share_leave_no_room_for_one_that_does_not(place: LedgerPlace, tmp_path: Path) -> None:
    other = LedgerPlace(tmp_path / "of another machine", SystemClock(), place.url)
    third = LedgerPlace(tmp_path / "of a third machine", SystemClock(), place.url)
    with place.open(owner=True, share_term=LONG) as first, other.open(owner=True, share_term=LONG) as second:
        assert first.is_writable()
        assert second.is_writable()
        with pytest.raises(LedgerInUse):
            third.open(owner=True)
        opened(first)
        assert len(second.open_incidents()) == 1
    with third.open(owner=True), pytest.raises(LedgerInUse):
        place.open(owner=True, share_term=LONG)


def test_two_who_take_at_once_share(place: LedgerPlace, server: Server, tmp_path: Path) -> None:
    """What another transaction is just taking is left to it."""
    with place.open(owner=True, share_term=LONG) as ledger, psycopg.connect(place.url or "") as other:
        other.execute("SELECT id FROM openclaw_watchdog.shards WHERE id < 40 FOR UPDATE")
        assert [one.shard for one in ledger.leases.take("b", SHARDS + 1, LONG)] == list(range(40, SHARDS + 1))


def test_a_write_holds_its_shard_until_it_has_ended(place: LedgerPlace) -> None:
    with place.open(owner=True, share_term=LONG) as ledger, closing(psycopg.connect(place.url or "")) as other:
        fenced: Any = ledger.fenced(taken(ledger, "a"), "home")._file
        other.execute("SET lock_timeout = '100ms'")
        with fenced.writing(), pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("UPDATE openclaw_watchdog.shards SET owner = 'b'")
        other.rollback()
        other.execute("UPDATE openclaw_watchdog.shards SET owner = 'b'")
