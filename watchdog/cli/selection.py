"""Which line of ``top`` is chosen, which lines are left by the filter, and what each key changes of that."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

_KEY = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|.", re.DOTALL)
_PAGE = 10
_END = 10**9
_STEPS = {
    **dict.fromkeys(("j", "\x1b[B", "\x1bOB"), 1),
    **dict.fromkeys(("k", "\x1b[A", "\x1bOA"), -1),
    **dict.fromkeys((" ", "\x1b[6~"), _PAGE),
    **dict.fromkeys(("b", "\x1b[5~"), -_PAGE),
    **dict.fromkeys(("G", "\x1b[F", "\x1bOF", "\x1b[4~"), _END),
    **dict.fromkeys(("g", "\x1b[H", "\x1bOH", "\x1b[1~"), -_END),
}
_ENTER, _ESCAPE, _BACKSPACE, _LEAVE = ("\r", "\n"), "\x1b", ("\x7f", "\b"), ("\x03", "\x04")


def keys_of(read: str) -> Iterator[str]:
    """The single keys in what was read from a terminal: an arrow comes as several letters."""
    return iter(_KEY.findall(read))


@dataclass(slots=True)
class Selection:
    """Begins at the first line, without a filter. A chosen line stays chosen when others come before it."""

    words: str = ""
    """What a line has to hold, in lower case."""
    is_typing: bool = False
    is_open: bool = False
    """The chosen line is explained."""
    _at: int = 0
    _chosen: Hashable = None

    def take(self, key: str) -> bool:
        """Do what ``key`` means; False: leave."""
        if key in _LEAVE:
            return False
        if self.is_typing:
            self._type(key)
        elif key in ("q", "Q"):
            return False
        elif key == "/":
            self.is_typing, self.is_open = True, False
        elif key in _ENTER or key == "e":
            self.is_open = not self.is_open
        elif key == _ESCAPE:
            self.words, self.is_open = ("" if not self.is_open else self.words), False
        elif key in _STEPS:
            self._at, self._chosen = max(0, self._at + _STEPS[key]), None
        return True

    def _type(self, key: str) -> None:
        if key in _ENTER or key == _ESCAPE:
            self.is_typing = False
            self.words = "" if key == _ESCAPE else self.words
        elif key in _BACKSPACE:
            self.words = self.words[:-1]
        elif key.isprintable():
            self.words += key.lower()

    def wants(self, *words: str | None) -> bool:
        """Whether the filter leaves a line of these words."""
        return self.words in " ".join(word for word in words if word).lower()

    def place(self, lines: Sequence[Hashable]) -> int:
        """Where the chosen line is among those that there are; -1: there are none."""
        if self._chosen in lines:
            self._at = lines.index(self._chosen)
        self._at = min(self._at, len(lines) - 1) if lines else 0
        self._chosen = lines[self._at] if lines else None
        return self._at if lines else -1
