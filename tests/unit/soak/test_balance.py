"""What an hour's soak counts: deaths against incidents, turns of ours by their mark."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.e2e.harness.provider import Answer, Call
from tests.faults.balance import Fate, balance
from tests.faults.churn import Heard, Turn

KEY = "agent:main:soak-00"
MARK = "[openclaw-watchdog abc/1]"
RESUME = f"please continue\n\nThe interrupted request:\n> list the bridges TURN-1-\n\n{MARK}"


def turn(at: int, cause: str | None = None, *, is_well: bool = True) -> Turn:
    return Turn(KEY, f"TURN-{at}-", at * 1000, 0, 0.0, cause=cause, is_well=is_well)


def incident(at: int, outcome: str, *, is_sent: bool = True) -> dict[str, Any]:
    opened = datetime.fromtimestamp(at, UTC).isoformat()
    attempts = [{"number": 1, "started_at": opened}] if is_sent else []
    return {"id": str(at), "session": KEY, "opened_at": opened, "outcome": outcome, "attempts": attempts}


def call(*texts: str) -> Call:
    body = {"messages": [{"role": "user", "content": text} for text in texts]}
    return Call(1, 0, body, Answer(), outcome="answered")


def test_every_death_has_the_end_of_its_own_incident() -> None:
    turns = [turn(0, "run limit"), turn(100), turn(200, "run limit"), turn(300, "cut"), turn(400, "gateway kill")]
    incidents = [
        incident(410, "quarantined"),
        incident(210, "cleared", is_sent=False),
        incident(10, "recovered"),
        incident(310, "open"),
    ]
    found = balance(turns, incidents, kills=[])
    assert found.fates == {Fate.RECOVERED: 1, Fate.CLEARED: 1, Fate.OPEN: 1, Fate.QUARANTINED: 1}
    assert found.losses == [f"{KEY} TURN-300- died (cut) and is open"]


def test_a_death_that_nobody_flagged_is_missed_unless_it_became_well_without_us() -> None:
    found = balance([turn(0, "cut", is_well=True), turn(100, "cut", is_well=False)], [], kills=[])
    assert found.fates == {Fate.CLEARED: 1, Fate.MISSED: 1}
    assert found.losses == [f"{KEY} TURN-100- died (cut) and is missed"]


def test_a_death_that_another_makes_up_for_is_still_missed() -> None:
    """Totals are equal here: one death was not seen, and one turn that lived was resumed."""
    found = balance([turn(0), turn(100, "run limit", is_well=False)], [incident(10, "recovered")], kills=[])
    assert found.fates == {Fate.MISSED: 1}
    assert found.alarms == 1
    assert len(found.losses) == 2


def test_a_session_is_flagged_again_only_when_its_gateway_was_killed_again() -> None:
    incidents = [incident(10, "recovered"), incident(50, "recovered")]
    died = [turn(0, "gateway kill")]
    assert balance(died, incidents, kills=[30_000]).losses == []
    assert balance(died, incidents, kills=[60_000]).losses == [
        f"{KEY} TURN-0- was flagged 1 time(s) again for no reason"
    ]


def test_a_turn_of_ours_is_counted_where_it_was_said_last() -> None:
    heard = Heard()
    heard.note(call("list the bridges TURN-1-", RESUME))
    heard.note(call("list the bridges TURN-1-", RESUME, "and now? TURN-2-"))
    assert heard.turns_with(MARK) == 1
    assert heard.ends == {"TURN-2-": "answered"}


def test_a_turn_of_ours_that_is_said_twice_is_counted_twice() -> None:
    by_calls, by_words = Heard(), Heard()
    by_calls.note(call(RESUME))
    by_calls.note(call(RESUME))
    by_words.note(call(RESUME, RESUME))
    by_words.note(call(RESUME, RESUME, "and now? TURN-2-"))
    assert by_calls.turns_with(MARK) == by_words.turns_with(MARK) == 2
