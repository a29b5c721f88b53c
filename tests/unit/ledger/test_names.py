"""A gateway that gets another name keeps what was done, what is held, and what is owed to budgets."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from watchdog.core.policy import Budget, Step
from watchdog.core.recovery import AttemptState
from watchdog.ledger.ledger import SqliteLedger, SqlLedger
from watchdog.service.ledger import Outcome, Stop

from .support import T0, at, attempt_now, opened, planned, quarantine_of, started, stuck

STOP = Stop("home", "main", None, at(-60), at(0))
STAYS = {"messages"}
"""Their text has the name of then."""


def found_to_be_one(ledger: SqlLedger, when: datetime) -> None:
    """``home`` leads to the gateway that is watched as ``castle``."""
    ledger.name_gateways({"castle": "p1", "home": "p2"}, when, {"home": "castle"})


def test_the_same_place_under_a_new_name_is_the_same_gateway(ledger: SqlLedger) -> None:
    assert ledger.name_gateways({"home": "p1", "work": "p2"}, at(0)) == []
    incident = opened(ledger)
    attempt = started(ledger, incident)
    opened(ledger, gateway="work")
    ledger.quarantine(quarantine_of("side"))
    ledger.pause(at=at(3), until=None, gateway="home", session="main", reason="r", who="ann")

    assert ledger.name_gateways({"castle": "p1", "work": "p2"}, at(4)) == [("home", "castle")]

    assert [one.id for one in ledger.open_incidents("castle")] == [incident.id]
    assert [found.id for _, found in ledger.attempts_in_flight("castle")] == [attempt.id]
    assert (ledger.charges("castle", T0), ledger.charges("home", T0)) == (1, 0)
    assert [(one.gateway, one.session) for one in ledger.quarantines()] == [("castle", "side")]
    assert [one.gateway for one in ledger.pauses(at(5))] == ["castle"]
    assert len(ledger.open_incidents("work")) == 1
    assert ledger.name_gateways({"castle": "p1", "work": "p2"}, at(6)) == [], "once"
    ledger.settle_attempt(attempt.id, AttemptState.INEFFECTIVE, at(7), reason="NothingChanged")
    next_rung = planned(ledger, incident, 8, Step.NEW)
    assert ledger.claim_attempt(next_rung.id, at(9))


def test_another_place_is_another_gateway(ledger: SqlLedger) -> None:
    ledger.name_gateways({"home": "p1"}, at(0))
    incident = opened(ledger)
    assert ledger.name_gateways({"castle": "p2"}, at(1)) == []
    assert [one.id for one in ledger.open_incidents("home")] == [incident.id]


def test_a_name_that_is_still_watched_keeps_its_past(ledger: SqlLedger) -> None:
    ledger.name_gateways({"home": "p1"}, at(0))
    incident = opened(ledger)
    assert ledger.name_gateways({"home": "p3", "castle": "p1"}, at(1)) == []
    assert [one.id for one in ledger.open_incidents("home")] == [incident.id]


def test_what_was_sent_to_another_place_is_proven_by_its_mark_alone(ledger: SqlLedger) -> None:
    ledger.name_gateways({"home": "p1", "work": "p2"}, at(0))
    moved, stays = started(ledger, opened(ledger)), started(ledger, opened(ledger, gateway="work"))
    ledger.name_gateways({"home": "p3", "work": "p2"}, at(1))
    states = [attempt_now(ledger, one).state for one in (moved, stays)]
    assert states == [AttemptState.INDETERMINATE, AttemptState.STARTED]


def test_a_name_seen_before_takes_over_nothing(ledger: SqlLedger) -> None:
    ledger.name_gateways({"home": "p1", "castle": "p2"}, at(0))
    assert ledger.name_gateways({"castle": "p1"}, at(1)) == []


def test_a_gateway_that_was_away_for_a_while_is_remembered(ledger: SqlLedger) -> None:
    ledger.name_gateways({"home": "p1"}, at(0))
    ledger.name_gateways({}, at(1))
    assert ledger.name_gateways({"castle": "p1"}, at(2)) == [("home", "castle")]


def test_of_two_names_for_one_gateway_whichever_is_kept_has_the_past(ledger: SqlLedger) -> None:
    both = {"castle": "p1", "home": "p2"}
    ledger.name_gateways(both, at(0))
    incident = opened(ledger)
    ledger.pause(at=at(1), until=None, gateway="home", session=None, reason="r", who="ann")
    assert ledger.name_gateways(both, at(2), {"home": "castle"}) == []
    assert [one.id for one in ledger.open_incidents("castle")] == [incident.id]
    mine = opened(ledger, "side")
    assert ledger.name_gateways(both, at(3), {"home": "castle"}) == []
    assert [one.id for one in ledger.open_incidents("home")] == [mine.id], "they are brought together once"
    assert ledger.name_gateways({"home": "p2"}, at(4)) == [("castle", "home")]
    assert {one.id for one in ledger.open_incidents("home")} == {incident.id, mine.id}
    assert [one.gateway for one in ledger.pauses(at(5))] == ["home"]
    assert ledger.name_gateways({"home": "p2"}, at(6)) == [], "once"


def test_a_name_that_was_kept_and_renamed_at_once_has_the_past_too(ledger: SqlLedger) -> None:
    found_to_be_one(ledger, at(0))
    incident = opened(ledger, gateway="castle")
    assert set(ledger.name_gateways({"hut": "p2"}, at(1))) == {("home", "hut"), ("castle", "hut")}
    assert [one.id for one in ledger.open_incidents("hut")] == [incident.id]


def test_of_one_gateway_the_name_at_the_same_place_goes_on_before_the_other_one(ledger: SqlLedger) -> None:
    found_to_be_one(ledger, at(0))
    assert ledger.name_gateways({"hut": "p1", "home": "p2"}, at(1)) == [("castle", "hut")]


def test_who_leads_elsewhere_since_takes_over_nothing(ledger: SqlLedger) -> None:
    found_to_be_one(ledger, at(0))
    ledger.name_gateways({"castle": "p1", "home": "p2"}, at(1))
    assert ledger.name_gateways({"home": "p2"}, at(2)) == []
    found_to_be_one(ledger, at(3))
    assert ledger.name_gateways({"home": "p3"}, at(4)) == []


def test_of_two_open_incidents_the_one_that_has_sent_something_stays(ledger: SqlLedger) -> None:
    mine, yours = opened(ledger, gateway="castle"), opened(ledger)
    attempt = started(ledger, yours)
    found_to_be_one(ledger, at(3))
    assert [one.id for one in ledger.open_incidents("castle")] == [yours.id]
    over = ledger.incident(mine.id)
    assert over is not None
    assert over.outcome is Outcome.CLEARED
    assert attempt_now(ledger, attempt).state is AttemptState.STARTED


def test_where_both_have_sent_something_the_watched_name_goes_on_and_both_are_proven(ledger: SqlLedger) -> None:
    mine, yours = opened(ledger, gateway="castle"), opened(ledger)
    attempts = [started(ledger, mine), started(ledger, yours)]
    found_to_be_one(ledger, at(3))
    assert [one.id for one in ledger.open_incidents("castle")] == [mine.id]
    assert {found.id for _, found in ledger.attempts_in_flight("castle")} == {one.id for one in attempts}


def test_a_session_in_quarantine_under_both_names_is_so_once(ledger: SqlLedger) -> None:
    ledger.quarantine(quarantine_of())
    ledger.quarantine(quarantine_of(gateway="castle"))
    found_to_be_one(ledger, at(60))
    assert [one.gateway for one in ledger.quarantines()] == ["castle"]


def test_a_run_that_a_person_stopped_stays_stopped(ledger: SqlLedger) -> None:
    both = replace(STOP, started_at=at(-30))
    for stop in (STOP, both, replace(both, gateway="castle")):
        ledger.note_stop(stop)
    found_to_be_one(ledger, at(3))
    assert sorted(ledger.stops("castle", "main"), key=lambda stop: stop.started_at or T0) == [
        replace(STOP, gateway="castle"),
        replace(both, gateway="castle"),
    ]
    assert ledger.stops("home", "main") == []


def test_nothing_is_left_under_the_name_of_before(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with SqliteLedger.open(path) as ledger:
        started(ledger, opened(ledger))
        ledger.quarantine(quarantine_of(), [stuck("k")])
        ledger.pause(at=at(3), until=None, gateway="home", session="main", reason="r", who="ann")
        ledger.restarts.begin("home", at(3), "systemd", Budget(1, timedelta(hours=1)))
        ledger.note_stop(STOP)
        ledger.acknowledge(at=at(3), until=None, gateway="home", session="main", reason="r", who="ann")
        found_to_be_one(ledger, at(4))
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        named = [
            name for name in tables if any(row[1] == "gateway" for row in db.execute(f"PRAGMA table_info({name})"))
        ]
        under = {name: {row[0] for row in db.execute(f"SELECT gateway FROM {name}")} for name in named}
    assert under == {name: {"home" if name in STAYS else "castle"} for name in named}
    assert set(named) > STAYS
