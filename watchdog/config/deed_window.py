"""``Mon-Fri 08:00-20:00 Europe/Berlin`` -> ``core.deed_window.DeedWindow``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, time, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema

from watchdog.config.fields import describe, refusal
from watchdog.config.problems import quoted, suggestion
from watchdog.core.deed_window import DeedWindow

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EXAMPLE = 'e.g. "Mon-Fri 08:00-20:00 Europe/Berlin"'
_WHOLE_DAY = "for whole days: 00:00-24:00"


def parse(text: str) -> DeedWindow:
    """Raises ``refusal``, which names the part that is wrong. Without days it is for every day; the zone is never guessed."""
    words = text.split()
    days = words.pop(0) if words and ":" not in words[0] else "Mon-Sun"
    if not words or "-" not in words[0]:
        raise refusal(f"{quoted(text)} names no hours", _EXAMPLE)
    begins, _, ends = words[0].partition("-")
    first, last = _clock(begins, text), _clock(ends, text, is_end=True)
    if first == last and ends != "24:00":
        raise refusal(f"{quoted(words[0])} in {quoted(text)} is no time at all, or the whole day", _WHOLE_DAY)
    if len(words) != 2:
        raise refusal(
            f"{quoted(text)} does not end with one time zone, so whose clock is meant is open",
            "e.g. Europe/Berlin, or UTC",
        )
    return DeedWindow(frozenset(_weekdays(days, text)), first, last, _zone(words[1]), " ".join(text.split()))


def _weekdays(words: str, text: str) -> Iterator[int]:
    for part in words.split(","):
        first, dash, last = part.partition("-")
        begin, end = _weekday(first, text), _weekday(last if dash else first, text)
        yield from ((begin + n) % 7 for n in range((end - begin) % 7 + 1))


def _weekday(word: str, text: str) -> int:
    name = word.capitalize()
    if name not in _DAYS:
        raise refusal(f"{quoted(word)} in {quoted(text)} is not a day of the week", suggestion(name, list(_DAYS)))
    return _DAYS.index(name)


def _clock(word: str, text: str, *, is_end: bool = False) -> time:
    if is_end and word == "24:00":
        return time()
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", word, re.ASCII):
        raise refusal(f"{quoted(word)} in {quoted(text)} is not a time of day", "00:00 to 23:59; the end may be 24:00")
    return time.fromisoformat(word)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC  # known where no time zone database is
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "e.g. Europe/Berlin, or UTC; if that name is right, install the system's tzdata"
        raise refusal(f"this machine knows no time zone {quoted(name)}", hint) from None


def _read(value: object) -> DeedWindow:
    if isinstance(value, DeedWindow):
        return value
    if not isinstance(value, str):
        raise refusal(f"expected days, hours and a time zone, found {describe(value)}", _EXAMPLE)
    return parse(value)


DeedsBetween = Annotated[
    InstanceOf[DeedWindow],
    BeforeValidator(_read),
    PlainSerializer(lambda window: window.words, return_type=str),
    WithJsonSchema({"type": "string"}),
]
