"""The words put into a conversation, and the mark by which they are known again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.texts import (
    MARK,
    QUOTE_LIMIT,
    Interruption,
    fresh_session_notice,
    handoff_note,
    mark,
    quote,
    resume_text,
)

AT = datetime(2026, 11, 20, 9, 30, 12, tzinfo=UTC)


def _interruption(**changes: Any) -> Interruption:
    made: dict[str, Any] = {
        "incident": "i20261120-0007-3fa9",
        "number": 2,
        "request": "book the train\nand tell Anna",
        "interrupted_at": AT,
        "is_long_ago": False,
    }
    return Interruption(**(made | changes))


def test_the_mark_is_found_again() -> None:
    match = MARK.search(f"words\n\n{mark('i20261120-0007-3fa9', 12)}")
    assert match is not None
    assert match.groups() == ("i20261120-0007-3fa9", "12")


@pytest.mark.parametrize(
    "interruption",
    [
        _interruption(),
        _interruption(is_long_ago=True),
        _interruption(request=None),
        _interruption(interrupted_at=None, is_long_ago=True),
        _interruption(was_in_tools=True),
    ],
)
@pytest.mark.parametrize("template", [None, "Go on with {request} from {interrupted_at}.", ""])
def test_every_text_ends_with_the_mark(interruption: Interruption, template: str | None) -> None:
    assert resume_text(interruption, template).endswith("\n\n[openclaw-watchdog i20261120-0007-3fa9/2]")


def test_the_turn_quotes_the_request_and_guards_against_doing_things_twice() -> None:
    text = resume_text(_interruption())
    assert "> book the train\n> and tell Anna\n" in text
    assert "Do not repeat side effects" in text
    assert "2026-11-20 09:30 UTC" in text
    assert "tool calls" not in text


def test_results_of_tools_are_to_be_used() -> None:
    assert "Results of tool calls you already made" in resume_text(_interruption(was_in_tools=True))


def test_what_was_cut_long_ago_is_asked_about_and_not_carried_out() -> None:
    text = resume_text(_interruption(is_long_ago=True))
    assert "Do not carry the request out now." in text
    assert "continue and finish" not in text
    assert "> book the train" in text


@pytest.mark.parametrize("is_long_ago", [True, False])
def test_a_first_turn_killed_before_it_was_saved(is_long_ago: bool) -> None:
    text = resume_text(_interruption(request=None, is_long_ago=is_long_ago))
    assert "ask them to send it again" in text
    assert "Do nothing else." in text
    assert ">" not in text


def test_an_unknown_time_is_said_to_be_unknown() -> None:
    assert "at an unknown time" in resume_text(_interruption(interrupted_at=None))


def test_a_template_of_ones_own() -> None:
    text = resume_text(_interruption(), "Weiter mit: {request} ({interrupted_at}) {other}")
    assert text.startswith("Weiter mit: book the train\nand tell Anna (2026-11-20 09:30 UTC) {other}\n\n[")


@given(request=st.text(max_size=QUOTE_LIMIT + 50))
def test_every_line_of_a_quotation_is_quoted(request: str) -> None:
    lines = quote(request).split("\n")
    assert all(line.startswith("> ") for line in lines)


def test_a_long_request_is_cut_and_says_so() -> None:
    assert quote("x" * QUOTE_LIMIT) == "> " + "x" * QUOTE_LIMIT
    assert quote("x" * (QUOTE_LIMIT + 1)) == "> " + "x" * QUOTE_LIMIT + " […cut]"


def test_the_notice_after_a_fresh_start() -> None:
    text = fresh_session_notice("book the\n  train", AT)
    assert "“book the train”" in text
    assert "2026-11-20 09:30 UTC" in text
    assert MARK.search(text) is None, "a person reads this one"
    assert "Your last request" not in fresh_session_notice(None, AT)
    assert "interrupted" not in fresh_session_notice("x", None)
    assert len(fresh_session_notice("y" * 5000, AT)) < 700


def test_the_handoff_note_keeps_the_request_whole() -> None:
    note = handoff_note("agent:main:main", "sid-1", "r" * 9000, "a" * 9000, "i1", AT)
    assert "r" * 9000 in note
    assert "a" * 1999 + "…" in note
    assert "agent:main:main" in note
    assert "old session id: sid-1" in note
    assert "incident: i1" in note


def test_a_handoff_note_of_nothing() -> None:
    note = handoff_note("k", None, None, None, "i1", AT)
    assert "(not in the transcript)" in note
    assert "(none)" in note
    assert "old session id: unknown" in note
