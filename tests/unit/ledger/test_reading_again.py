"""What a pass asks again and again is read once, and anew as soon as anybody has written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from watchdog.core.recovery import AttemptState
from watchdog.ledger.ledger import SqliteLedger, SqlLedger
from watchdog.service.errors import LedgerUnavailable
from watchdog.service.ledger import Outcome

from .support import T0, at, child, exit_code, opened, planned, quarantine_of, started


def asked(ledger: SqlLedger) -> tuple[list[str], list[int], list[str]]:
    """The three questions that are remembered."""
    return (
        [incident.id for incident in ledger.open_incidents("home")],
        [attempt.id for _, attempt in ledger.attempts_in_flight("home")],
        [entry.session for entry in ledger.quarantines("home")],
    )


@pytest.fixture
def traced(path: Path) -> Iterator[tuple[SqliteLedger, list[str]]]:
    """A daemon's ledger, and every statement it runs."""
    statements: list[str] = []
    with SqliteLedger.open(path, owner=True, trace=statements.append, wall=lambda: T0) as ledger:
        yield ledger, statements


def test_asked_again_no_table_is_read(traced: tuple[SqliteLedger, list[str]]) -> None:
    ledger, statements = traced
    started(ledger, opened(ledger))
    first = asked(ledger)
    statements.clear()
    assert asked(ledger) == first
    assert ledger.is_writable()
    assert asked(ledger) == first
    assert [said for said in statements if "FROM" in said] == []


def test_other_gateways_have_other_answers(ledger: SqlLedger) -> None:
    here, there = opened(ledger, gateway="home"), opened(ledger, gateway="away")
    for _ in range(2):
        assert [one.id for one in ledger.open_incidents("home")] == [here.id]
        assert [one.id for one in ledger.open_incidents("away")] == [there.id]
        assert [one.id for one in ledger.open_incidents()] == [here.id, there.id]


def test_own_writes_are_seen_at_once(ledger: SqlLedger) -> None:
    assert asked(ledger) == ([], [], [])
    incident = opened(ledger)
    assert asked(ledger) == ([incident.id], [], [])
    attempt = planned(ledger, incident)
    assert asked(ledger) == ([incident.id], [], [])
    assert ledger.open_incidents("home")[0].attempts == (attempt,)
    assert ledger.claim_attempt(attempt.id, at(2))
    assert asked(ledger) == ([incident.id], [attempt.id], [])
    ledger.note_run(attempt.id, "run-1")
    assert ledger.attempts_in_flight("home")[0][1].run_id == "run-1"
    assert ledger.settle_attempt(attempt.id, AttemptState.INEFFECTIVE, at(3), reason="Seen")
    assert asked(ledger) == ([incident.id], [], [])
    assert ledger.quarantine(quarantine_of(incident=incident.id))
    assert asked(ledger) == ([], [], ["main"])
    ledger.release("home", "main", at(60), who="somebody", why="")
    assert asked(ledger) == ([], [], [])


def _verbs(path: Path) -> list[Callable[[], None]]:
    """What another process may write, one after the other."""

    def write(do: Callable[[SqliteLedger], object]) -> Callable[[], None]:
        def verb() -> None:
            with SqliteLedger.open(path, wall=lambda: T0) as beside:
                do(beside)

        return verb

    return [
        write(lambda ledger: started(ledger, opened(ledger, "by-hand"))),
        write(lambda ledger: ledger.quarantine(quarantine_of("by-hand"))),
        write(lambda ledger: ledger.release("home", "by-hand", at(60), who="somebody", why="")),
        write(lambda ledger: ledger.close_incident(ledger.open_incidents("home")[0].id, Outcome.CLEARED, at(61))),
    ]


def test_what_another_process_wrote_is_seen_at_once(owned: SqliteLedger, path: Path) -> None:
    before = asked(owned)
    for verb in _verbs(path):
        assert exit_code(child(verb)) == 0
        after = asked(owned)
        assert after != before
        with SqliteLedger.open_read_only(path) as fresh:
            assert after == asked(fresh)
        before = after


def test_what_another_connection_wrote_is_seen_by_each_question(owned: SqliteLedger, path: Path) -> None:
    """A question asked later than another one must not hide from it that somebody wrote between the two."""
    incident = opened(owned)
    assert asked(owned) == ([incident.id], [], [])
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE incidents SET outcome = 'cleared', closed_at = ? WHERE id = ?", (1, incident.id))
        db.commit()
    assert owned.quarantines("home") == []
    assert owned.open_incidents("home") == []


def test_an_open_write_of_another_connection_is_not_seen_before_its_end(owned: SqliteLedger, path: Path) -> None:
    incident = opened(owned)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE incidents SET outcome = 'cleared', closed_at = 1")
        assert [one.id for one in owned.open_incidents("home")] == [incident.id]
        db.execute("COMMIT")
    assert owned.open_incidents("home") == []


def test_a_write_that_failed_leaves_what_was_known(owned: SqliteLedger) -> None:
    incident = opened(owned)
    assert not owned.close_incident("unknown", Outcome.CLEARED, at(5))
    assert asked(owned) == ([incident.id], [], [])


def test_a_caller_may_do_with_an_answer_what_it_likes(ledger: SqlLedger) -> None:
    opened(ledger)
    answer = ledger.open_incidents("home")
    assert isinstance(answer, list)
    answer.clear()
    assert len(ledger.open_incidents("home")) == 1


def test_nothing_is_remembered_of_a_ledger_that_is_gone(owned: SqliteLedger, path: Path) -> None:
    opened(owned)
    assert len(owned.open_incidents("home")) == 1
    path.unlink()
    with pytest.raises(LedgerUnavailable):
        owned.open_incidents("home")
    owned.told_of_loss()
    assert owned.open_incidents("home") == []
