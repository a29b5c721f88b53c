"""Spans of time as people write them: ``30s``, ``20m``, ``72h``, ``1h30m``, ``90d``.

Units are ms, s, m, h and d, largest first, each at most once. A bare number is refused: 30 of what?
"""

from __future__ import annotations

import re
from datetime import timedelta

from watchdog.config.problems import quoted

UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
PATTERN = r"^(?=\d)(\d+d)?(\d+h)?(\d+m(?!s))?(\d+s)?(\d+ms)?$"
"""For the JSON Schema: the same rule as ``parse``, so an editor underlines what ``parse`` refuses."""
LONGEST = timedelta(days=36500)

_SHAPE = re.compile(PATTERN, re.ASCII)
_PART = re.compile(r"(\d+)(ms|[dhms])", re.ASCII)
_LOOSE_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([^\W\d_]+)")
_WORDS = {
    "d": ("day", "days", "dy"),
    "h": ("hour", "hours", "hr", "hrs"),
    "m": ("min", "mins", "minute", "minutes"),
    "s": ("sec", "secs", "second", "seconds"),
    "ms": ("msec", "msecs", "millisecond", "milliseconds", "millis"),
}
_UNIT_OF_WORD = {word: unit for unit, words in _WORDS.items() for word in (unit, *words)}


class DurationError(ValueError):
    """Text that is no span of time. ``hint`` says what would be one."""

    def __init__(self, message: str, hint: str) -> None:
        self.message, self.hint = message, hint
        super().__init__(f"{message} ({hint})")


def parse(text: str) -> timedelta:
    """The span ``text`` names. Raises ``DurationError``."""
    if not _SHAPE.match(text) or text.endswith("\n"):
        raise _refusal(text)
    try:
        span = sum((int(count) * UNITS[unit] for count, unit in _PART.findall(text)), timedelta())
    except (OverflowError, ValueError):
        span = timedelta.max
    if span > LONGEST:
        raise DurationError(f"{quoted(text)} is too long", "at most 36500d")
    return span


def spell(span: timedelta) -> str:
    """The text ``parse`` reads back as ``span``, in the unit people would choose: ``90s``, ``20m``, ``72h``, ``90d``."""
    total = span // timedelta(milliseconds=1)
    seconds, millis = divmod(total, 1000)
    if not millis:
        if seconds < 120 and seconds != 60:
            return f"{seconds}s"
        if seconds % 3600 == 0 and seconds < 7 * 86400:
            return f"{seconds // 3600}h"
    text = ""
    for unit, size in UNITS.items():
        count, total = divmod(total, size // timedelta(milliseconds=1))
        text += f"{count}{unit}" if count else ""
    return text


def without_unit(number: float) -> DurationError:
    """The refusal of a bare number."""
    hint = f"add a unit, e.g. {number}s" if isinstance(number, int) and number > 0 else "add a unit, e.g. 30s"
    return DurationError(f"{number} is a number, not a duration", hint)


def _refusal(text: str) -> DurationError:
    shown = quoted(text)
    bare = text.strip()
    if re.fullmatch(r"\d+", bare, re.ASCII):
        return DurationError(f"{shown} has no unit", f"add a unit, e.g. {bare}s")
    if clock := re.fullmatch(r"(\d{1,4}):(\d{1,2})(?::(\d{1,2}))?", bare, re.ASCII):
        first, second, third = clock.groups()
        short, long = _joined((first, "m"), (second, "s")), _joined((first, "h"), (second, "m"), (third or "0", "s"))
        meant = long if third else f"{short} or {long}"
        return DurationError(f"{shown} looks like a time of day, not a duration", f"write {meant}")
    if bare.startswith("-"):
        return DurationError(f"{shown} is negative", "a duration is a length of time, e.g. 30s")
    return _loose(bare, shown)


def _loose(bare: str, shown: str) -> DurationError:
    parts = _LOOSE_PART.findall(bare)
    example = "durations look like 30s, 20m, 72h, 1h30m or 90d"
    if not parts or _LOOSE_PART.sub("", bare).strip(" ,"):
        return DurationError(f"{shown} is not a duration", example)
    units = [_UNIT_OF_WORD.get(word) or _UNIT_OF_WORD.get(word.lower()) for _, word in parts]
    for unit, (_, word) in zip(units, parts, strict=True):
        if unit is None:
            return DurationError(f"{quoted(word)} in {shown} is not a unit of time", "units: ms, s, m, h, d")
    if any("." in count for count, _ in parts):
        return DurationError(f"{shown} has a fraction", "use a smaller unit, e.g. 1h30m for one and a half hours")
    meant = _joined(*((count, unit) for (count, _), unit in zip(parts, units, strict=True) if unit))
    if _SHAPE.match(meant):
        return DurationError(f"{shown} is not a duration", f"did you mean {meant}?")
    return DurationError(f"{shown} is not a duration", "largest unit first and each once, e.g. 1h30m")


def _joined(*parts: tuple[str, str]) -> str:
    return "".join(f"{int(count)}{unit}" for count, unit in parts if int(count)) or "0s"
