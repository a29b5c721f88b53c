"""Marks: the comments in the product that say which statement is which guard.

``# guard: <name>`` stands at the end of the line on which the statement begins, or alone on the line above it. Where an
operand of ``and`` and ``or``, an argument or an element has a line to itself, a mark there means that alone.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PRODUCT = "watchdog"
_MARK = re.compile(r"# guard: (.+)")
_EMPTY = frozenset({tokenize.NL, tokenize.COMMENT})


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a guard is. ``file``: from the root of the repository; ``line``: that on which what is marked begins."""

    name: str
    file: str
    line: int


def marks_under(root: Path) -> list[Mark]:
    """Every mark of the product, in a copy of the repository at ``root``."""
    return [
        Mark(name, file.relative_to(root).as_posix(), line)
        for file in sorted((root / PRODUCT).rglob("*.py"))
        for name, line in marks_in(file.read_text())
    ]


def marks_in(source: str) -> Iterator[tuple[str, int]]:
    """The name of each mark, and the line that it means."""
    if _MARK.search(source) is None:
        return  # reading words takes long, and few files have marks
    above: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = _MARK.fullmatch(token.string) if token.type == tokenize.COMMENT else None
        if name is not None and token.line.lstrip().startswith("#"):
            above.append(name[1])
        elif name is not None:
            yield name[1], token.start[0]
        elif token.type not in _EMPTY and token.string.strip():
            yield from ((name, token.start[0]) for name in above)
            above.clear()
