"""One run is acted on once, whatever its gateway is called: the claim and the key go by what is to be done."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from watchdog.core.policy import Step
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.ledger import schema
from watchdog.ledger.incidents import RUN_HELD_FOR
from watchdog.ledger.ledger import SqliteLedger, SqlLedger
from watchdog.service.ledger import Incident, Outcome

from .support import RUN, at, attempt_now, opened, planned, quarantine_of, query

ENDS = (AttemptState.SUCCEEDED, AttemptState.INEFFECTIVE)


def tried(ledger: SqlLedger, gateway: str, step: Step = Step.RESUME, seconds: float = 1) -> tuple[Incident, Attempt]:
    """An attempt on ``RUN``, planned under this name of its gateway."""
    incident = opened(ledger, gateway=gateway, seconds=seconds)
    return incident, planned(ledger, incident, seconds, step, RUN)


def test_two_names_that_planned_for_one_run_do_not_both_act(ledger: SqlLedger) -> None:
    (one, first), (other, second) = tried(ledger, "home"), tried(ledger, "also-home")
    assert ledger.run_holder(other.id, RUN, at(2)) is None
    assert ledger.claim_attempt(first.id, at(2))
    assert not ledger.claim_attempt(second.id, at(2))
    holder = ledger.run_holder(other.id, RUN, at(2))
    assert holder is not None
    assert holder.id == one.id
    assert ledger.run_holder(one.id, RUN, at(2)) is None, "its own deed is no other's"


@pytest.mark.parametrize("state", ENDS)
def test_a_run_that_was_acted_on_is_held_under_every_other_name(ledger: SqlLedger, state: AttemptState) -> None:
    _, first = tried(ledger, "home")
    ledger.claim_attempt(first.id, at(2))
    ledger.settle_attempt(first.id, state, at(3), reason="Seen")
    _, second = tried(ledger, "renamed", seconds=4)
    assert not ledger.claim_attempt(second.id, at(5))


def test_what_a_crash_left_in_flight_holds_the_run(ledger: SqlLedger) -> None:
    _, first = tried(ledger, "home")
    ledger.claim_attempt(first.id, at(2))
    ledger.settle_start_up(at(3))
    assert attempt_now(ledger, first).state is AttemptState.INDETERMINATE
    _, second = tried(ledger, "renamed", seconds=4)
    assert not ledger.claim_attempt(second.id, at(5))


@pytest.mark.parametrize("state", [AttemptState.REFUSED, AttemptState.ABANDONED])
def test_what_was_surely_not_done_holds_nothing(ledger: SqlLedger, state: AttemptState) -> None:
    _, first = tried(ledger, "home")
    if state is AttemptState.REFUSED:
        ledger.claim_attempt(first.id, at(2))
    ledger.settle_attempt(first.id, state, at(3), reason="No")
    _, second = tried(ledger, "also-home", seconds=4)
    assert ledger.claim_attempt(second.id, at(5))


def test_the_next_rung_of_the_same_incident_goes_on(ledger: SqlLedger) -> None:
    incident, first = tried(ledger, "home")
    ledger.claim_attempt(first.id, at(2))
    ledger.settle_attempt(first.id, AttemptState.INEFFECTIVE, at(3), reason="NothingChanged")
    assert ledger.claim_attempt(planned(ledger, incident, 4, Step.NEW, RUN).id, at(5))


@pytest.mark.parametrize("gateway", ["home", "renamed"])
def test_a_run_begun_later_is_another_matter(ledger: SqlLedger, gateway: str) -> None:
    incident, first = tried(ledger, "home")
    ledger.claim_attempt(first.id, at(2))
    ledger.settle_attempt(first.id, AttemptState.SUCCEEDED, at(3), reason="NewRunDone")
    ledger.close_incident(incident.id, Outcome.RECOVERED, at(3))
    later = replace(RUN, started_at=at(60))
    second = planned(ledger, opened(ledger, gateway=gateway, seconds=90), 90, run=later)
    assert ledger.claim_attempt(second.id, at(91))


def test_a_second_incident_of_the_same_name_may_try_what_did_not_help_again(ledger: SqlLedger) -> None:
    """A person who released it asked for that; what helped, or may be under way, is not done again even so."""
    incident, first = tried(ledger, "home")
    ledger.claim_attempt(first.id, at(2))
    ledger.close_incident(incident.id, Outcome.CLEARED, at(2.5))
    _, second = tried(ledger, "home", seconds=4)
    assert not ledger.claim_attempt(second.id, at(5)), "in flight"
    ledger.settle_attempt(first.id, AttemptState.INEFFECTIVE, at(6), reason="NothingChanged")
    assert ledger.claim_attempt(second.id, at(7))


def test_a_run_that_was_ended_may_be_taken_up(ledger: SqlLedger) -> None:
    """2026.3.24 and 4.14 leave the row of an aborted run running: ending it helped nobody yet."""
    _, first = tried(ledger, "home", Step.ABORT)
    ledger.claim_attempt(first.id, at(2))
    _, too_soon = tried(ledger, "also-home", seconds=3)
    assert not ledger.claim_attempt(too_soon.id, at(3))
    ledger.settle_attempt(first.id, AttemptState.SUCCEEDED, at(4), reason="RunEnded")
    assert ledger.claim_attempt(too_soon.id, at(5))


def test_a_release_frees_the_run(ledger: SqlLedger) -> None:
    _, first = tried(ledger, "home")
    ledger.claim_attempt(first.id, at(2))
    ledger.settle_attempt(first.id, AttemptState.INEFFECTIVE, at(3), reason="NothingChanged")
    _, second = tried(ledger, "renamed", seconds=4)
    ledger.release(None, "main", at(5), who="ann", why="")
    assert ledger.claim_attempt(second.id, at(6))


@pytest.mark.parametrize("state", [AttemptState.STARTED, AttemptState.INEFFECTIVE])
def test_a_name_that_nobody_watches_any_more_does_not_hold_a_run_for_ever(
    ledger: SqlLedger, state: AttemptState
) -> None:
    _, first = tried(ledger, "home")
    ledger.claim_attempt(first.id, at(0))
    if state is not AttemptState.STARTED:
        ledger.settle_attempt(first.id, state, at(3), reason="NothingChanged")
    _, second = tried(ledger, "renamed", seconds=4)
    just_before = at(0) + RUN_HELD_FOR - timedelta(seconds=1)
    assert not ledger.claim_attempt(second.id, just_before)
    assert ledger.claim_attempt(second.id, just_before + timedelta(seconds=1))


def test_a_quarantined_run_is_left_alone_under_every_name_until_it_is_released(ledger: SqlLedger) -> None:
    """Two replicas may each watch one of two names of a gateway, and neither sees the other's."""
    incident, first = tried(ledger, "home")
    ledger.claim_attempt(first.id, at(0))
    ledger.settle_attempt(first.id, AttemptState.INEFFECTIVE, at(3), reason="NothingChanged")
    ledger.quarantine(replace(quarantine_of("main"), incident=incident.id))
    _, second = tried(ledger, "renamed", seconds=4)
    later = at(0) + 2 * RUN_HELD_FOR
    assert not ledger.claim_attempt(second.id, later)
    ledger.release(None, "main", later, who="ann", why="")
    assert ledger.claim_attempt(second.id, later)


def test_another_conversation_is_not_held(ledger: SqlLedger) -> None:
    _, first = tried(ledger, "home")
    ledger.claim_attempt(first.id, at(2))
    elsewhere = planned(ledger, opened(ledger, gateway="work"), run=replace(RUN, session_id="sid-2"))
    assert ledger.claim_attempt(elsewhere.id, at(3))


def test_an_unknown_run_is_not_held(ledger: SqlLedger) -> None:
    for gateway in ("home", "work"):
        incident = opened(ledger, gateway=gateway)
        bare = ledger.plan_attempt(incident.id, Step.ABORT, at(1), before=None, before_tail=None)
        assert ledger.claim_attempt(bare.id, at(2))


@pytest.mark.parametrize("how", ["closed", "quarantined"])
def test_an_intent_that_was_never_claimed_ends_with_its_incident(ledger: SqlLedger, how: str) -> None:
    """Its ledger was away when it was to be claimed, and the session healed by itself."""
    incident, left = tried(ledger, "home")
    if how == "closed":
        ledger.close_incident(incident.id, Outcome.CLEARED, at(2))
    else:
        ledger.quarantine(quarantine_of(incident=incident.id))
    now = attempt_now(ledger, left)
    assert (now.state, now.reason) == (AttemptState.ABANDONED, "NeverClaimed")
    assert not ledger.claim_attempt(left.id, at(3))
    _, other = tried(ledger, "renamed", seconds=4)
    assert other.idempotency_key == left.idempotency_key, "what was not sent has no key"


@pytest.mark.parametrize("how", ["settled", "found at start-up"])
def test_an_intent_that_was_never_sent_gives_its_key_back(ledger: SqlLedger, how: str) -> None:
    """Else two watchdogs with two ledgers would call the same deed by two keys after one of them was cut."""
    incident, first = tried(ledger, "home")
    if how == "settled":
        ledger.settle_attempt(first.id, AttemptState.ABANDONED, at(2), reason="NotClaimed")
    else:
        ledger.settle_start_up(at(2))
    again = planned(ledger, incident, 3, run=RUN)
    assert again.idempotency_key == first.idempotency_key
    ledger.claim_attempt(again.id, at(4))
    ledger.settle_attempt(again.id, AttemptState.REFUSED, at(5), reason="Busy", is_retryable=True)
    assert planned(ledger, incident, 6, run=RUN).idempotency_key != first.idempotency_key, "that one was sent"


def test_what_an_older_program_had_in_flight_holds_the_run(path: Path) -> None:
    """The digest stands in the keys that it gave."""
    with SqliteLedger.open(path, owner=True) as ledger:
        _, first = tried(ledger, "home")
        ledger.claim_attempt(first.id, at(2))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP INDEX attempts_by_run")
        db.execute("ALTER TABLE attempts DROP COLUMN run")
        db.execute("DROP TABLE note_texts")
        db.execute("DROP TABLE gateway_places")
        db.execute("DROP TABLE acks")
        db.execute("DROP TABLE shards")
        db.execute("DROP TABLE replicas")
        db.execute("DROP TABLE owners")
        db.execute("DROP INDEX reminders_by_target")
        db.execute("ALTER TABLE messages DROP COLUMN target")
        db.execute("ALTER TABLE messages DROP COLUMN step")
        db.execute("PRAGMA user_version = 3")
    with SqliteLedger.open(path, owner=True) as ledger:
        assert query(path, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
        _, second = tried(ledger, "renamed", seconds=4)
        assert not ledger.claim_attempt(second.id, at(5))
