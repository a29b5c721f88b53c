"""Messages at least once, and one of each."""

from __future__ import annotations

from datetime import timedelta

from watchdog.ledger.ledger import SqliteLedger, SqlLedger

from .support import T0, at, stuck

DAY = 86_400.0


def keys(ledger: SqlLedger, target: str = "phone", seconds: float = 0, limit: int = 20) -> list[str]:
    return [owed.message.dedupe_key for owed in ledger.due_messages(target, at(seconds), limit)]


def ids(ledger: SqlLedger) -> dict[str, int]:
    return {owed.message.dedupe_key: owed.id for owed in ledger.due_messages("phone", at(0))}


def test_a_key_is_written_once(ledger: SqlLedger) -> None:
    assert ledger.owe([stuck("a"), stuck("b"), stuck("a")], T0) == 2
    assert ledger.owe([stuck("a"), stuck("c")], at(1)) == 1
    assert keys(ledger, seconds=1) == ["a", "b", "c"]


def test_a_message_comes_back_whole(ledger: SqlLedger) -> None:
    message = stuck("a", incident="i20261120-0001-0000")
    ledger.owe([message], T0)
    owed = ledger.due_messages("phone", at(1))[0]
    assert owed.message == message
    assert (owed.created_at, owed.tries, owed.next_try_at, owed.last_error) == (T0, 0, None, None)


def test_it_is_due_until_delivered_at_each_target(ledger: SqlLedger) -> None:
    ledger.owe([stuck("a"), stuck("b")], T0)
    first = ids(ledger)["a"]
    assert keys(ledger) == keys(ledger) == ["a", "b"], "looking is not delivering: a crash in between sends again"
    ledger.mark_delivered(first, "phone", at(1))
    ledger.mark_delivered(first, "phone", at(2))
    assert keys(ledger) == ["b"]
    assert keys(ledger, "mail") == ["a", "b"]
    assert keys(ledger, "mail", limit=1) == ["a"]


def test_a_failure_waits_for_its_next_try(ledger: SqlLedger) -> None:
    ledger.owe([stuck("a")], T0)
    first = ids(ledger)["a"]
    ledger.mark_failed(first, "phone", at(1), "HTTP 503", at(61))
    assert keys(ledger, seconds=60.999) == []
    assert keys(ledger, seconds=61) == ["a"]
    owed = ledger.due_messages("phone", at(61))[0]
    assert (owed.tries, owed.last_error, owed.next_try_at) == (1, "HTTP 503", at(61))
    assert keys(ledger, "mail") == ["a"], "another target has its own fate"
    assert [(target, one.message.dedupe_key) for target, one in ledger.undelivered(at(61))] == [("phone", "a")]
    ledger.mark_delivered(first, "phone", at(62))
    assert ledger.undelivered(at(62)) == []


def test_given_up_is_never_due_and_seen_for_a_day(ledger: SqlLedger) -> None:
    ledger.owe([stuck("a")], T0)
    first = ids(ledger)["a"]
    ledger.mark_failed(first, "phone", at(5), "gone", at(6))
    ledger.mark_failed(first, "phone", at(10), "gone for good", None)
    assert keys(ledger, seconds=10 * DAY) == []
    assert [one.tries for _, one in ledger.undelivered(at(10 + DAY))] == [2]
    assert ledger.undelivered(at(11 + DAY)) == []


def test_without_an_instant_the_last_day_ends_at_the_injected_clock() -> None:
    with SqliteLedger.in_memory(wall=lambda: T0 + timedelta(days=3)) as ledger:
        ledger.owe([stuck("a")], T0)
        ledger.mark_failed(ids(ledger)["a"], "phone", at(10), "gone", None)
        assert ledger.undelivered() == []
        assert len(ledger.undelivered(at(11))) == 1


def test_a_delivery_is_never_taken_back(ledger: SqlLedger) -> None:
    ledger.owe([stuck("a")], T0)
    first = ids(ledger)["a"]
    ledger.mark_delivered(first, "phone", at(1))
    ledger.mark_failed(first, "phone", at(2), "late answer", at(3))
    assert keys(ledger, seconds=9) == []
    assert ledger.undelivered(at(9)) == []


def test_delivered_after_all_counts(ledger: SqlLedger) -> None:
    ledger.owe([stuck("a")], T0)
    first = ids(ledger)["a"]
    ledger.mark_failed(first, "phone", at(2), "gone", None)
    ledger.mark_delivered(first, "phone", at(3))
    assert ledger.undelivered(at(3)) == []


def test_marking_an_unknown_message_changes_nothing(ledger: SqlLedger) -> None:
    ledger.mark_delivered(4711, "phone", at(1))
    ledger.mark_failed(4711, "phone", at(1), "x", None)
    assert ledger.undelivered(at(1)) == []


def test_a_new_target_is_owed_the_last_day_only(ledger: SqlLedger) -> None:
    ledger.owe([stuck("old")], T0)
    ledger.owe([stuck("recent")], at(DAY))
    assert keys(ledger, "added later", seconds=DAY + 10) == ["recent"]


def test_a_known_target_is_owed_everything_however_long_we_slept(ledger: SqlLedger) -> None:
    assert keys(ledger) == []
    ledger.owe([stuck("friday")], at(1))
    assert keys(ledger, seconds=5 * DAY) == ["friday"]


def test_a_long_error_is_cut(ledger: SqlLedger) -> None:
    ledger.owe([stuck("a")], T0)
    ledger.mark_failed(ids(ledger)["a"], "phone", at(1), "x" * 5000, at(2))
    error = ledger.undelivered(at(1))[0][1].last_error
    assert error is not None
    assert len(error) == 300
