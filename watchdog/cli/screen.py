"""The one way onto a terminal for text that others wrote: as text, never as markup, and without power over the terminal.

A line is made of parts, each plain or with a style. Lines are not broken here: the terminal does that, and what is
copied from it is whole.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from watchdog.core.printable import visible

Part = str | tuple[str, str]
"""Text, or text and its style."""
Line = tuple[Part, ...]
_WITHOUT_END = 10_000
"""Columns of a pipe."""


def screen(*, stderr: bool = False, is_picture: bool = False) -> Console:
    """A console that takes no markup. ``is_picture``: what is printed is fitted to the terminal, a pipe takes it whole."""
    is_pipe = not (sys.stderr if stderr else sys.stdout).isatty()
    width = _WITHOUT_END if is_picture and is_pipe and not os.environ.get("COLUMNS") else None
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False, soft_wrap=not is_picture)


def text_of(line: Iterable[Part], *, scrub: Callable[[str], str] = str) -> Text:
    """One line, whatever does not print escaped. ``scrub`` takes secrets out of each part first."""
    pairs = ((part, "") if isinstance(part, str) else part for part in line)
    return Text.assemble(*((visible(scrub(words)), style) for words, style in pairs))


def padded(text: str, width: int) -> str:
    """``text`` and blanks up to ``width`` columns of the terminal, as it will be shown."""
    return text + " " * max(0, width - cell_len(visible(text)))


def widest(texts: Iterable[str], at_most: int) -> int:
    """The columns that the widest of ``texts`` takes; longer ones than ``at_most`` stick out."""
    return max((width for text in texts if (width := cell_len(visible(text))) <= at_most), default=0)
