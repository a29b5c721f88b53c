"""What somebody lost with a run that has ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.builders import BOOT, dead, facts, tail_of
from tests.fakes.clock import START
from watchdog.core.model import Asked, Sender, SenderKind, Session, SessionKind, Status, TailKind, TranscriptTail
from watchdog.core.tracking import Track, observe
from watchdog.core.unanswered import has_yielded, is_worth_a_look, left_unanswered

BEGAN = START.wall - timedelta(minutes=5)
ENDED = START.wall
BROKEN_OFF = (Status.FAILED, Status.TIMEOUT, Status.KILLED)
OPEN = (TailKind.REQUEST, TailKind.TOOL_CALL, TailKind.TOOL_RESULT, TailKind.COMPACTION, TailKind.EMPTY)


def _row(status: Status = Status.FAILED, **changes: Any) -> Session:
    return dead(**{"status": status, "started_at": BEGAN, "ended_at": ENDED, **changes})


def _track(row: Session | None = None, **changes: Any) -> Track:
    return replace(observe(None, replace(row or _row(), status=Status.RUNNING), None, START), **changes)


def _reason(row: Session, tail: TranscriptTail, track: Track | None = None, **known: Any) -> str | None:
    found = left_unanswered(row, tail, track or _track(row), **{"was_stopped": False, **known})
    return found.reason if found is not None else None


@pytest.mark.parametrize("status", BROKEN_OFF)
@pytest.mark.parametrize("kind", OPEN)
def test_a_run_that_broke_off_leaves_its_request_unanswered(status: Status, kind: TailKind) -> None:
    assert _reason(_row(status), tail_of(kind)) == "EndedUnanswered"
    assert _reason(_row(Status.DONE), tail_of(kind)) is None, "what is done may have been answered elsewhere"


def test_a_request_of_before_the_start_has_no_answer_though_its_row_says_done() -> None:
    """2026.6.33 once called the cut runs of two web sessions done, and asked its model nothing."""
    asked = Asked(Sender(SenderKind.PERSON, "dm"), "words", BEGAN)
    cut = tail_of(TailKind.REQUEST, asked=(asked,))
    after = BEGAN + timedelta(seconds=1)
    found = left_unanswered(_row(Status.DONE), cut, _track(), was_stopped=False, booted_at=after)
    assert found is not None
    assert found.reason == "EndedUnanswered"
    assert found.message.endswith("its row says done, and the conversation ends with a request that has no answer.")
    assert _reason(_row(Status.DONE), cut, booted_at=BEGAN) is None, "asked since: it may be under way"
    assert _reason(_row(Status.DONE), replace(cut, asked=(replace(asked, at=None),)), booted_at=after) is None
    assert _reason(_row(Status.DONE), replace(cut, asked=()), booted_at=after) is None
    assert _reason(_row(Status.DONE), replace(cut, kind=TailKind.TOOL_RESULT), booted_at=after) is None
    assert _reason(_row(Status.DONE), cut, booted_at=after, was_stopped=True) is None


@pytest.mark.parametrize("kind", sorted(set(TailKind) - set(OPEN)))
def test_a_conversation_that_ends_otherwise_has_nobody_waiting(kind: TailKind) -> None:
    assert _reason(_row(), tail_of(kind)) is None


def test_a_first_request_that_was_never_written_down_is_lost() -> None:
    found = left_unanswered(_row(), tail_of(TailKind.EMPTY, request=None), _track(), was_stopped=False)
    assert found is not None
    assert found.message == "Its row says failed, and the conversation is empty: what was asked is lost."


@pytest.mark.parametrize("status", BROKEN_OFF)
def test_a_cut_request_whose_second_turn_failed_is_told_and_a_persons_own_failed_turn_is_not(status: Status) -> None:
    """The gateway resumes it, the provider refuses, and an error is the transcript's last word. In a person's own turn the chat hears of it."""
    asked = Asked(Sender(SenderKind.PERSON, "dm"), "words", BEGAN)
    failed = tail_of(TailKind.OTHER, asked=(asked,))
    after, before = BEGAN + timedelta(seconds=1), BEGAN - timedelta(seconds=1)
    found = left_unanswered(_row(status), failed, _track(), was_stopped=False, booted_at=after)
    assert found is not None
    assert found.message == "A start of its gateway cut it, and the turn that took it up again ended without an answer."
    assert _reason(_row(status), failed, booted_at=before) is None
    assert _reason(_row(status), failed, booted_at=ENDED + timedelta(seconds=1)) is None, (
        "started again because it had failed"
    )
    assert _reason(_row(status, ended_at=None), failed, booted_at=after) is None
    assert _reason(_row(status), failed) is None
    assert _reason(_row(status), replace(failed, asked=(replace(asked, at=None),)), booted_at=after) is None
    assert _reason(_row(status), replace(failed, asked=()), booted_at=after) is None
    assert _reason(_row(Status.DONE), failed, booted_at=after) is None
    assert _reason(_row(status), failed, booted_at=after, was_stopped=True) is None


@pytest.mark.parametrize("status", BROKEN_OFF)
def test_the_gateways_own_turn_that_failed_is_told_whenever_its_process_began(status: Status) -> None:
    """2026.5.18 writes the request down once more, and restarts inside its process, too."""
    asked = Asked(Sender(SenderKind.PERSON, "dm"), "words", BEGAN)
    failed = tail_of(TailKind.OTHER, asked=(asked,), was_taken_up=True)
    assert _reason(_row(status), failed, booted_at=BEGAN - timedelta(days=1)) == "EndedUnanswered"
    assert _reason(_row(status), replace(failed, asked=())) == "EndedUnanswered"
    assert _reason(_row(Status.DONE), failed) is None
    assert _reason(_row(status), failed, was_stopped=True) is None
    assert _reason(_row(status), replace(failed, kind=TailKind.ANSWERED)) is None


def test_words_that_nobody_said_need_no_answer() -> None:
    assert _reason(_row(), tail_of(TailKind.REQUEST, request=None)) is None
    assert _reason(_row(), tail_of(TailKind.TOOL_RESULT, request=None)) == "EndedUnanswered", "its request is far up"
    assert _reason(_row(), tail_of(TailKind.COMPACTION, request=None)) is None, "compacted after its last answer"


def test_what_a_person_stopped_was_meant_to_end() -> None:
    tail, row = tail_of(dropped_inputs=(ENDED,)), _row()
    assert _reason(row, tail, was_stopped=True) is None
    assert _reason(row, tail, _track(stopped_at=START)) is None
    assert _reason(row, replace(tail, kind=TailKind.STOPPED)) is None
    assert _reason(_row(Status.KILLED, aborted_last_run=True), tail) is None
    assert _reason(_row(Status.KILLED, aborted_last_run=False), tail) == "EndedUnanswered", (
        "lost by 2026.8.2's recovery"
    )
    assert _reason(_row(Status.FAILED, aborted_last_run=True), tail) == "EndedUnanswered", (
        "marked by the gateway itself"
    )


@pytest.mark.parametrize("sign", ["has_run_in_flight", "has_pending_input"])
def test_while_something_goes_on_nothing_is_lost(sign: str) -> None:
    on: dict[str, Any] = {sign: True}
    off: dict[str, Any] = {sign: False}
    assert _reason(_row(), replace(tail_of(), **on)) is None
    assert _reason(_row(), replace(tail_of(), **off)) == "EndedUnanswered"


def test_accepted_words_that_never_ran_are_counted_since_we_watched() -> None:
    earlier = BEGAN - timedelta(minutes=1)
    answered = tail_of(TailKind.ANSWERED, dropped_inputs=(earlier, ENDED, None))
    for status in (Status.DONE, *BROKEN_OFF):
        found = left_unanswered(_row(status), answered, _track(), was_stopped=False)
        assert found is not None
        assert (found.reason, found.message[-4:]) == ("InputsDropped", ": 2.")
    assert _reason(_row(), tail_of(TailKind.ANSWERED, dropped_inputs=(earlier,))) is None
    both = left_unanswered(_row(), tail_of(dropped_inputs=(ENDED,)), _track(), was_stopped=False)
    assert both is not None
    assert both.reason == "EndedUnanswered"
    assert both.message.endswith("will not be run: 1.")


def test_a_parent_that_was_not_woken() -> None:
    tail = tail_of(TailKind.TOOL_RESULT, tools_called=frozenset({"sessions_spawn", "sessions_yield"}))
    row = _row(Status.DONE)
    assert has_yielded(row, tail)
    assert not has_yielded(_row(), tail)
    assert not has_yielded(row, replace(tail, kind=TailKind.ANSWERED))
    assert not has_yielded(row, replace(tail, tools_called=frozenset({"exec"})))
    assert _reason(row, tail, yielded=tail.fingerprint) == "NotWoken"
    assert _reason(row, tail, yielded="before") is None
    assert _reason(row, tail) is None


def test_which_transcripts_are_read_at_all() -> None:
    def is_read(row: Session, *children: Session, **changes: Any) -> bool:
        return is_worth_a_look(row, _track(**changes), children, facts())

    assert all(is_read(_row(status)) for status in BROKEN_OFF)
    done = _row(Status.DONE)
    assert not is_read(done), "most runs end well"
    assert is_read(done, watched_from=BOOT - timedelta(hours=1)), "its gateway has started since"
    assert is_read(done, watched_from=BOOT + timedelta(seconds=1)), "a start is told to the second, and early"
    assert not is_read(done, watched_from=BOOT + timedelta(seconds=11))
    assert not is_read(done, watched_from=None)
    child = dead("agent:main:subagent:c1", kind=SessionKind.SUBAGENT)
    assert is_read(done, child)
    assert is_read(done, replace(child, status=Status.DONE, ended_at=ENDED + timedelta(seconds=1)))
    assert not is_read(done, replace(child, status=Status.DONE, ended_at=ENDED - timedelta(seconds=1)))
    assert not is_read(done, replace(child, status=Status.DONE, ended_at=None))
    assert not is_read(_row(kind=SessionKind.CRON))
    assert not is_read(_row(is_archived=True))
