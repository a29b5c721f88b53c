"""What is printed arrives, whatever it is printed on: a terminal that has only ASCII, or nothing at all."""

from __future__ import annotations

import codecs
import io
import os
import sys

_ALIKE = {
    **dict.fromkeys("…·", "."),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("─", "-"),
    **dict.fromkeys("│├", "|"),
    **dict.fromkeys("└", "`"),
    **dict.fromkeys("█", "#"),
    **dict.fromkeys("→", ">"),
    **dict.fromkeys("▏▎▍▌▋▊▉", "+"),
    **dict(zip("▁▂▃▄▅▆▇", "1234567", strict=True)),
    **dict(zip("↑↓", "^v", strict=True)),
    **dict(zip("✓●▲✗", "+*!x", strict=True)),
}
"""What we draw with, one letter for one: a column stays a column."""
_HANDLER = "openclaw-watchdog"


def _replaced(problem: UnicodeError) -> tuple[str | bytes, int]:
    """Ours by what looks like it; what others wrote as ``core.printable`` escapes it, so that a key can be pasted back."""
    assert isinstance(problem, UnicodeEncodeError)
    left = problem.object[problem.start : problem.end]
    escapes = "".join(_ALIKE.get(char) or char.encode("ascii", "backslashreplace").decode() for char in left)
    return escapes, problem.end


def prepare() -> None:
    """Make stdout and stderr take every text. A stream that was closed goes nowhere, and no file takes its number: what
    is written to it by whomever would be written into that file."""
    codecs.register_error(_HANDLER, _replaced)
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif isinstance(stream, io.TextIOWrapper) and name != "stdin":
            stream.reconfigure(errors=_HANDLER)
