"""The turn by which 2026.5.18 goes on with what its restart cut, as it stands in the conversation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.gateway.shapes import TOOL_CALL, TOOL_RESULT, Row, assistant, history, user
from watchdog.core.model import Sender, SenderKind, TailKind, TranscriptTail
from watchdog.core.texts import mark
from watchdog.gateway.sessions.transcript import read_tail

HEAD = "[Queued user message that arrived while the previous turn was still active]\n\n"
ASKED = "[Mon 2026-11-30 03:53 UTC] Please list the bridges.\n\nAnd the ferries."
WORDS = "Please list the bridges.\n\nAnd the ferries."
OWN_TURN = (
    "[System] Your previous turn was interrupted by a gateway restart while OpenClaw was waiting on tool/model work. "
    "Continue from the existing transcript and finish the interrupted response."
)
STAMPED = f"[Mon 2026-11-30 03:55 UTC] {OWN_TURN}"
CAPTURED = f'{STAMPED}\n\nNote: The interrupted final reply was captured: "There are\n\ntwo"'
ANSWERED, TAKEN_UP = 1796010817473, 1796010935630
EARLIER = (user("hello"), assistant("hi there", timestamp=ANSWERED))
REFUSED = assistant(None, stopReason="error", errorMessage="400 mock status 400")


def _by(label: str | None, text: str, **changes: Any) -> Row:
    return user(text, **{"senderLabel": label, "timestamp": TAKEN_UP, **changes})


def _tail(*messages: Row) -> TranscriptTail:
    return read_tail(history(*messages))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{HEAD}{ASKED}\n\n{STAMPED}", WORDS),
        (f"{HEAD}{WORDS}\n\n{OWN_TURN}", WORDS),
        (f"{HEAD}{ASKED}\n\n{CAPTURED}", WORDS),
        (
            f"[Queued user message from a previous active turn; preserved as context only.]\n{WORDS}\n\n{OWN_TURN}",
            WORDS,
        ),
    ],
)
def test_a_request_that_the_gateway_took_up_is_its_persons_and_older_than_the_start(text: str, words: str) -> None:
    tail = _tail(*EARLIER, _by("Alice (1001)", text), REFUSED)
    (asked,) = tail.asked
    assert (asked.sender, asked.words) == (Sender(SenderKind.PERSON, "1001", "Alice"), words)
    assert asked.at == datetime.fromtimestamp(ANSWERED / 1000, UTC), "a stop between the two was a stop of it"
    assert (tail.kind, tail.was_taken_up, tail.request) == (TailKind.OTHER, True, words)


def test_how_long_ago_is_not_known_where_nothing_stands_before_it() -> None:
    (asked,) = _tail(_by("Alice (1001)", f"{HEAD}{ASKED}\n\n{STAMPED}"), REFUSED).asked
    assert (asked.words, asked.at) == (WORDS, None)


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}{ASKED}\n\nand the tunnels",
        # Taken up, cut again, and then its person wrote.
        f"{HEAD}{ASKED}\n\n{STAMPED}\n\nand the tunnels",
        f"{HEAD}{ASKED} {OWN_TURN}",
        f"{ASKED}\n\n{STAMPED}",
        f"x{HEAD}{ASKED}\n\n{STAMPED}",
        f"{HEAD.strip()} {ASKED}\n\n{STAMPED}",
        OWN_TURN,
    ],
)
def test_a_persons_own_words_are_asked_when_they_were_said(text: str) -> None:
    tail = _tail(*EARLIER, _by("Alice (1001)", text), REFUSED)
    (asked,) = tail.asked
    assert (asked.words, asked.at) == (text, datetime.fromtimestamp(TAKEN_UP / 1000, UTC))
    assert not tail.was_taken_up


def test_who_asks_anew_after_it_has_a_turn_of_their_own() -> None:
    again = _by("Alice (1001)", "once more", timestamp=TAKEN_UP + 9)
    tail = _tail(*EARLIER, _by("Alice (1001)", f"{HEAD}{ASKED}\n\n{STAMPED}"), REFUSED, again, REFUSED)
    assert [one.words for one in tail.asked] == [WORDS, "once more"]
    assert not tail.was_taken_up


def test_behind_tool_results_it_is_a_turn_of_its_own_by_nobody() -> None:
    open_turn = (*EARLIER, _by("Alice (1001)", WORDS, timestamp=ANSWERED + 1), TOOL_CALL, TOOL_RESULT)
    tail = _tail(*open_turn, _by(None, OWN_TURN), REFUSED)
    assert tail.was_taken_up
    assert [one.words for one in tail.asked] == [WORDS]
    assert not _tail(*open_turn, REFUSED).was_taken_up
    assert not _tail(*open_turn, _by(None, "System: woke up"), REFUSED).was_taken_up


def test_a_turn_of_ours_that_carries_the_cut_request_is_ours() -> None:
    tail = _tail(*EARLIER, _by("Alice (1001)", f"{HEAD}{ASKED}\n\ngo on {mark('i1', 2)}"), REFUSED)
    assert (tail.deed_mark, tail.was_taken_up, tail.asked) == ("i1/2", False, ())


def test_an_empty_conversation_was_not_taken_up() -> None:
    assert not _tail().was_taken_up
