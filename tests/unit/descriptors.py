"""File descriptors run out in this very process, for a while."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def none_left() -> Iterator[None]:
    """What is open stays open; nothing more can be opened."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(entry.name) for entry in Path("/dev/fd").iterdir()}
    free = min(number for number in range(max(taken) + 2) if number not in taken or _is_shut(number))
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _is_shut(number: int) -> bool:
    """The one that looking itself took is free again."""
    return not Path(f"/dev/fd/{number}").exists()
