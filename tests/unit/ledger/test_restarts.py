"""What the ledger keeps about restarts: the guards stand in the writes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.fakes.clock import START
from tests.unit.gateway_restart.support import HOUR, NAME
from watchdog.core.policy import Budget
from watchdog.ledger.ledger import SqliteLedger, SqlLedger
from watchdog.service.ledger import Message, MessageKind
from watchdog.service.restart_record import WINDOW, RestartOutcome, RestartRecord

LIMIT = Budget(2, WINDOW)
WORKED = RestartOutcome.WORKED


def begun(ledger: SqlLedger, after: timedelta, gateway: str = NAME) -> int | None:
    restart = ledger.restarts.begin(gateway, START.wall + after, "the unit x", LIMIT)
    return restart.id if restart is not None else None


def test_it_is_the_port(ledger: SqlLedger) -> None:
    record: RestartRecord = ledger.restarts
    assert record.restarts(NAME, START.wall) == []


def test_one_at_a_time(ledger: SqlLedger) -> None:
    first = begun(ledger, timedelta())
    assert first is not None
    assert begun(ledger, HOUR) is None
    assert begun(ledger, HOUR, "office") is not None, "of each gateway"
    assert ledger.restarts.settle(first, WORKED, START.wall + HOUR)
    assert begun(ledger, HOUR) is not None


def test_no_more_than_the_limit_within_the_window(ledger: SqlLedger) -> None:
    for hours in (0, 1):
        number = begun(ledger, hours * HOUR)
        assert number is not None
        assert ledger.restarts.settle(number, RestartOutcome.FAILED, START.wall + hours * HOUR)
    assert begun(ledger, WINDOW) is None, "the first is exactly one window old"
    assert begun(ledger, WINDOW + timedelta(milliseconds=1)) is not None


def test_an_outcome_is_written_once_and_its_message_with_it(ledger: SqlLedger) -> None:
    number = begun(ledger, timedelta())
    assert number is not None
    ledger.due_messages("phone", START.wall)

    def told(key: str) -> list[Message]:
        return [Message(MessageKind.GATEWAY_UP, NAME, "Back", "It is back.", key)]

    assert ledger.restarts.settle(number, WORKED, START.wall, told("a"))
    assert not ledger.restarts.settle(number, RestartOutcome.FAILED, START.wall, told("b"))
    assert [owed.message.dedupe_key for owed in ledger.due_messages("phone", START.wall)] == ["a"]
    (restart,) = ledger.restarts.restarts(NAME, START.wall)
    assert restart.outcome is WORKED


def test_old_ones_are_shown_while_their_outage_lasts(ledger: SqlLedger) -> None:
    number = begun(ledger, timedelta())
    assert number is not None
    ledger.restarts.settle(number, RestartOutcome.DID_NOT_HELP, START.wall)
    later = START.wall + 1000 * HOUR
    assert [one.is_over for one in ledger.restarts.restarts(NAME, later)] == [False]
    assert ledger.restarts.close_outage(NAME, later) == 1
    assert ledger.restarts.close_outage(NAME, later) == 0
    assert ledger.restarts.restarts(NAME, later) == []
    assert [one.is_over for one in ledger.restarts.restarts(NAME, START.wall)] == [True]


def test_pruning_keeps_what_may_still_count(ledger: SqlLedger) -> None:
    for hours in (0, 1):
        number = begun(ledger, hours * HOUR)
        assert number is not None
        ledger.restarts.settle(number, WORKED, START.wall)
    ledger.prune(START.wall + 100 * HOUR)
    assert len(ledger.restarts.restarts(NAME, START.wall)) == 2, "the outage is not over"
    ledger.restarts.close_outage(NAME, START.wall + 2 * HOUR)
    ledger.prune(START.wall + WINDOW)
    assert len(ledger.restarts.restarts(NAME, START.wall)) == 2, "within the window, however short the retention"
    ledger.prune(START.wall + 100 * HOUR)
    assert ledger.restarts.restarts(NAME, START.wall) == []


def test_it_is_still_there_after_a_restart_of_the_watchdog(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with SqliteLedger.open(path, owner=True) as ledger:
        begun(ledger, timedelta())
    with SqliteLedger.open(path, owner=True) as ledger:
        (restart,) = ledger.restarts.restarts(NAME, START.wall)
        assert (restart.at, restart.how, restart.outcome) == (START.wall, "the unit x", None)
