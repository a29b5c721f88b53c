"""What is wrong with a configuration, as facts: where, what, and the way out.

A ``Problem`` never carries the value of a secret setting: messages are built from key names, types and vocabulary only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

KeyPath = tuple[str | int, ...]
"""Where a setting stands in the document: ``("policies", 0, "match", "kind")``."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct. ``line`` and ``column`` count from 1; ``None``: the whole file, or no file at all."""

    file: str
    line: int | None
    column: int | None
    key_path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        place = [self.file, *(str(number) for number in (self.line, self.column) if number is not None)]
        return f"{':'.join(place)}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(Exception):
    """A configuration that cannot be used, with every problem found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class SecretError(ConfigError):
    """A secret the configuration refers to is not there: a missing variable, or a file that cannot be used."""

    def __init__(self, key_path: str, message: str, hint: str | None = None) -> None:
        self.key_path = key_path
        super().__init__([Problem(key_path, None, None, key_path, message, hint)])


def dotted(path: KeyPath) -> str:
    """``("policies", 0, "match")`` as people write it: ``policies[0].match``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def quoted(text: str) -> str:
    """A word from the file inside a message: in quotes, on one line, not longer than a glance."""
    flat = " ".join(text.split())
    return f"'{flat if len(flat) <= 40 else flat[:39] + '…'}'"


def closest(word: str, known: Sequence[str]) -> str | None:
    """The known word this one was probably meant to be."""
    by_plain = {_plain(candidate): candidate for candidate in known}
    found = get_close_matches(_plain(word), list(by_plain), n=1, cutoff=0.6)
    return by_plain[found[0]] if found else None


def suggestion(word: str, known: Sequence[str]) -> str:
    """``did you mean 'x'?``, or all that would have been right."""
    near = closest(word, known)
    return f"did you mean '{near}'?" if near else f"one of: {', '.join(known)}"


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_")
