"""Notices that the configuration's file was changed, without reading it and without asking the kernel to watch it.

A file is looked at by ``stat`` only: device, inode, size and time of the last write, which an editor that replaces the
file, one that writes into it, and a mounted ConfigMap all change. Limits: a change is taken up only when two looks at
least ``SETTLED`` apart saw the same thing, so that a file is not read while it is being written; and one that is put
back to the very same mark in between is no change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from watchdog.core.model import Moment

SETTLED = timedelta(seconds=2)
"""How long a changed file must have stood still before it is read."""

Mark = tuple[int, int, int, int] | None
"""What ``stat`` says of a file; None: there is none, or nobody may look."""


def mark_of(file: Path) -> Mark:
    """The file's mark. Links are followed: what counts is what would be read."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class FileChange(StrEnum):
    """What a look at the files says."""

    SAME = "same"
    CHANGING = "changing"
    CHANGED = "changed"


@dataclass(slots=True)
class FileWatch:
    """Looks at ``files`` whenever it is asked to. ``taken`` says that what is there now was read, or refused."""

    files: Sequence[Path]
    settled: timedelta = SETTLED
    mark: Callable[[Path], Mark] = mark_of
    _known: tuple[Mark, ...] = field(init=False)
    _seen: tuple[Mark, ...] | None = None
    _seen_at: Moment | None = None

    def __post_init__(self) -> None:
        self._known = self._marks()

    def look(self, now: Moment) -> FileChange:
        """CHANGED: something else than what was taken is there, and has stood still. CHANGING: look again soon."""
        marks = self._marks()
        if marks == self._known:
            self._seen = self._seen_at = None
            return FileChange.SAME
        if marks != self._seen or self._seen_at is None:
            self._seen, self._seen_at = marks, now
            return FileChange.CHANGING
        return FileChange.CHANGED if now.since(self._seen_at) >= self.settled else FileChange.CHANGING

    def taken(self) -> None:
        """Call before reading: a change made while it is read is then seen by the next look."""
        self._known = self._marks()
        self._seen = self._seen_at = None

    def watch(self, files: Sequence[Path]) -> None:
        """Look at these from now on; files that were looked at before keep their mark."""
        if tuple(files) != tuple(self.files):
            known = dict(zip(self.files, self._known, strict=True))
            self.files = tuple(files)
            self._known = tuple(known[file] if file in known else self.mark(file) for file in self.files)

    def _marks(self) -> tuple[Mark, ...]:
        return tuple(self.mark(file) for file in self.files)
