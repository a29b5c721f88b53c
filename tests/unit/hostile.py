"""Text that means harm, or is merely odd, and what every printer makes of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from hypothesis import example
from hypothesis import strategies as st

Test = TypeVar("Test", bound=Callable[..., object])

ANY_TEXT = st.text(
    st.one_of(
        st.characters(),
        st.characters(categories=["Cs"]),
        st.sampled_from(
            "\x00\x07\x1b\r\n\t\x7f\x9b\u2028\u2029\u200e\u202e\u2066\u061c\u200b\ufeff\u3164\ufe0f\\\\xu@<>![]('\"-$`;"
        ),
    ),
    max_size=30,
)
HOSTILE = (
    "[/x]",
    "[alice]",
    ":thread:",
    "agent:main:\x1b[2J\x1b]0;owned\x07",
    "agent:main:\u202egnp.exe",
    "a\nOK   home        connected",
    "half \ud83d",
    "\\x1b",
    "\\\\x1b",
    "\\",
    "\\\x1b",
    "-rf",
    "--all",
    "",
    " ",
    "$(touch /tmp/owned)",
    "a'; rm -rf ~ #",
    "!!",
    "\u0301x",
    "@everyone",
    "@here <!channel> <@U1> [x](http://y)",
    "\U0010ffff",
    "\U000e0041",
    "agent:main:irc:group:#" + "wide界" * 40,
)
ORDINARY = (
    "agent:main:main",
    "agent:main:irc:group:#ops",
    "agent:main:whatsapp:direct:+491511234567",
    "agent:main:whatsapp:group:120363041234567890@g.us",
    "agent:main:main:thread:1001:77",
    "agent:main:telegram:group:-100123:topic:4",
    "agent:main:imessage:direct:alice@example.org",
    "agent:main:cron:9f2c-4711",
)


def hostile(test: Test) -> Test:
    """Every one of ``HOSTILE`` as an example, beside what hypothesis finds."""
    for text in HOSTILE:
        test = example(text)(test)
    return test


def is_printable(text: str) -> bool:
    """By the tables of Unicode, not by the code under test."""
    return all(char == " " or unicodedata.category(char)[0] not in "CZ" for char in text)


CALLS = re.compile(r"(?:^|[^A-Za-z0-9])@\w|@everyone|@here|@\d|<\S|\]\(", re.IGNORECASE)
"""What chat services take for a mention or a link. apprise 2 makes Discord call ``@everyone`` and ``@4711`` in words, too."""
