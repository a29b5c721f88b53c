"""Everything that somebody else sent as JSON is decoded here: frames, payloads, rows, histories.

A lone surrogate (``"\\ud83d"``, what JavaScript's ``slice`` leaves of half an emoji; 2026.3.24 and 5.18 cut the texts of a
history at 12,000 characters) makes msgspec refuse the whole document, also where the field is skipped or stays ``Raw``.
``json.loads`` accepts it, and hands out text that no file, log or database takes. So the text is repaired, U+FFFD in its
place, as ``errors="replace"`` does in UTF-16; bytes that are no UTF-8 are replaced likewise. Invariant: only a document that
cannot be decoded as it is is ever repaired, once; sound ones cost nothing. Limit: what is larger than ``MOST_REPAIRED``, or
takes more than ``MOST_STEPS``, stays undecodable: nobody may keep us busy with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

MOST_REPAIRED = 20 * 1024 * 1024
"""Bytes of the largest document that is repaired, as large as a frame may be (``dial.MAX_FRAME``): 3 ms a MB."""
MOST_STEPS = 200_000
"""Escapes and backslashes that are looked at one by one in a document: 0.05 to 1 microsecond each. A gateway escapes only
the surrogates that are alone, and cuts a text once."""

_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_LOW = re.compile(rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HIGH_DIGITS = frozenset(b"89abAB")
_BACKSLASH = 0x5C
_REPLACEMENT = "�".encode()

T = TypeVar("T")


class Undecodable(ValueError):
    """It cannot be read. ``str`` says why: names of types and places, never content."""


def decode(
    decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw | str, on_repair: Callable[[], None] | None = None
) -> T:
    """What ``decoder`` makes of ``data``. Raises ``Undecodable``, and nothing else. ``on_repair``: called when it could be
    read, but only after a repair."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as problem:
        raise Undecodable(str(problem)) from problem
    except (msgspec.MsgspecError, UnicodeError) as problem:
        better = repaired(data)  # guard: wire: half an emoji is repaired
        if better is None:
            raise Undecodable(type(problem).__name__) from problem
    except RecursionError as problem:  # guard: wire: deep nesting is an unreadable answer
        raise Undecodable("nested too deeply") from problem
    try:
        found = decoder.decode(better)
    except msgspec.ValidationError as problem:
        raise Undecodable(str(problem)) from problem
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
        raise Undecodable(type(problem).__name__) from problem
    if on_repair is not None:
        on_repair()
    return found


def repaired(data: bytes | msgspec.Raw | str, most_steps: int = MOST_STEPS) -> bytes | None:
    """``data`` with U+FFFD for every lone surrogate and for bytes that are no UTF-8; None: nothing to repair, or too much."""
    raw = _utf8(data)
    if len(raw) > MOST_REPAIRED:  # guard: wire: no repair of what is larger than a frame
        return None
    pieces: list[bytes] = []
    done = kept = steps = 0
    for escape in _ESCAPE.finditer(raw):
        start = escape.start()
        if start < done:
            continue  # the low half of a pair
        # An odd number of backslashes before it: it is one of theirs. They are counted once, for the next escape begins
        # behind the letters of this one.
        before = start
        while before > done and raw[before - 1] == _BACKSLASH:
            before -= 1
        if (steps := steps + 1 + start - before) > most_steps:  # guard: wire: a repair looks at so much and no more
            return None
        if (start - before) % 2 == 1:
            continue
        done = escape.end()
        if raw[start + 3] in _HIGH_DIGITS and (low := _LOW.match(raw, done)) is not None:
            done = low.end()
            continue
        pieces += (raw[kept:start], _REPLACEMENT)
        kept = done
    if not pieces and raw == data:
        return None
    return b"".join((*pieces, raw[kept:]))


def _utf8(data: bytes | msgspec.Raw | str) -> bytes:
    if isinstance(data, str):  # through UTF-16, which joins the halves of a pair as their escapes are joined
        return data.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    return bytes(data).decode("utf-8", "replace").encode()
