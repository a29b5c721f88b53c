"""Text that others wrote, made fit to be shown: session keys, names, versions, reasons, errors, paths.

Whatever does not print is escaped: ``\\xNN``, ``\\uNNNN``, ``\\UNNNNNNNN``. Nothing then moves a cursor, begins a line, turns
the direction of what follows, or hides. Four forms:

- ``visible``: words. Done twice it is the same as done once, so a sentence may hold what was escaped before.
- ``escaped``: a key, so that ``read`` gives the key back, whatever it is. Ordinary keys stay as they are.
- ``shown_key``: a key as screens and messages show it: escaped, and in quotes where a shell would take it for more than
  a word. Pasted behind ``explain`` it means that session; ``meant`` finds it.
- ``shown_name``: what people call the session, behind its key. Words of theirs: never in what leaves this machine.

``unaddressed`` is for messages that go to chat services: nothing in them calls anybody, links anywhere or is markup.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Collection

_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Printable to Python, blank or nothing to an eye: fillers and variation selectors."""
_ESCAPE = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4})|U(000[0-9a-f]{5}|0010[0-9a-f]{4}))")
_WORD = re.compile(r"[A-Za-z0-9_@%+=:,./-][A-Za-z0-9_@%+=:,./#-]*")
"""What no shell takes for more than a word: what ``shlex`` says, and ``#`` inside (chat groups have it)."""
_QUOTES = str.maketrans(dict.fromkeys('“”"', "'"))
"""What would end a name's quotes; on a terminal that has only ASCII they are plain ones (``cli.streams``)."""
_CALL = re.compile(
    r"(?<![A-Za-z0-9])@|@(?![A-Za-z])|@(?=everyone|here|(?:channel|all|room|team|online)\b)|[<>]|(?<=\])\(",
    re.IGNORECASE,
)
"""What calls somebody or links somewhere: ``@`` but for an address's (``120363@g.us``), ``<@U1>``, ``<!channel>``,
``<a href=…>``, ``[x](…)``. apprise 2 looks for ``@`` inside of words, too, and has Discord call whom it finds there."""


def is_seen(char: str) -> bool:
    """Whether it stands on a screen as itself: printable, and not blank (but for the space)."""
    return char.isprintable() and not _UNSEEN.match(char)


def visible(text: str) -> str:
    """``text`` on one line, whatever does not print escaped."""
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(char if is_seen(char) else _escape(char) for char in text)


def escaped(text: str, *, is_message: bool = False) -> str:
    """``text`` so that ``read`` gives it back, on one line, never an option of a command (``-x``).

    ``is_message``: what chat services take for a call is escaped, too.
    """
    places = {place for place, char in enumerate(text) if not is_seen(char)}
    if text[:1] == "-" or unicodedata.category(text[:1] or " ").startswith("M"):
        places.add(0)  # a mark would sit on what stands before
    if is_message:
        places |= {call.start() for call in _CALL.finditer(text)}
    if not places and read(text) == text:
        return text
    return "".join(_escape(char) if place in places else _double(char) for place, char in enumerate(text))


def read(text: str) -> str:
    """What ``escaped`` stands for. Text without such escapes is itself."""
    return _ESCAPE.sub(_unescape, text)


def shown_key(key: str, *, is_message: bool = False) -> str:
    """A session's key (or a gateway's name, or a path) as a person reads it and pastes it into a command."""
    text = escaped(key, is_message=is_message)
    return text if _WORD.fullmatch(text) else shlex.quote(text)


def shown_name(name: str | None) -> str:
    """What people call a session, to stand behind its key: in quotes that it cannot end. Nothing without a name."""
    return f"  “{visible(name).translate(_QUOTES)}”" if name else ""


def meant(typed: str, keys: Collection[str]) -> str:
    """The key that somebody typed or pasted, among those that there are.

    What was printed always means what it was printed for; only where nobody has that key are the letters taken as typed.
    """
    key = read(typed)
    return typed if key not in keys and typed in keys else key


def unaddressed(text: str) -> str:
    """``text`` for a chat service, its line ends kept: nothing calls anybody or links, whatever was put into it."""
    return "\n".join(_CALL.sub(lambda call: _escape(call[0]), visible(line)) for line in text.split("\n"))


def json_visible(text: str) -> str:
    """A JSON text whose strings hold nothing unprintable. The same document to whoever parses it."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(char if char == "\n" or is_seen(char) else _json_escape(char) for char in text)


def _escape(char: str) -> str:
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _double(char: str) -> str:
    return char * 2 if char == "\\" else char


def _unescape(found: re.Match[str]) -> str:
    digits = found[1] or found[2] or found[3]
    return chr(int(digits, 16)) if digits else "\\"


def _json_escape(char: str) -> str:
    number = ord(char)
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"
