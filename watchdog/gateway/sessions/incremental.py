"""A poll that asks only for what can have changed, and gives up rather than guess.

Rows come newest first (``updatedAt``, pinned rows before all others), and everything that happens to a session moves its
``updatedAt``. So an incremental poll reads from the top until it is behind the gateway's clock at the last poll, then the
few places further down where rows lie that may change in silence: those that run (``Session.may_change_unseen``), and those
that the watch always reads. All other rows are carried over from the last poll.

Invariant: whenever something does not fit (a row too few, rows out of order, a clock that was set, a running row that is
not where it must be, a row that cannot be read), it is given up, and the caller reads the whole list. Limit: a row
at rest that changes without moving its ``updatedAt`` is noticed by the next sweep. A run that begins moves it (3.24 to 9.6).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, pairwise
from typing import Any

from watchdog.core.model import Moment, Session
from watchdog.gateway.sessions.clock_step import ClockReading
from watchdog.gateway.sessions.pages import BASE, PAGE_SIZE, RowPage

OVERLAP = timedelta(seconds=15)
"""How far behind the last poll an incremental poll reads on: a row may show up that long after its own ``updatedAt``."""
SURPLUS_EVERY = timedelta(minutes=2)
"""Rows that are gone are looked for by a sweep at most this often. They were at rest: what runs is read every time."""
SMALLEST = 10
MARGIN = 5
"""Rows read on either side of where a row is expected."""
NEAR = 60
"""Places that are closer than so many rows are read with one request: a request costs more than the rows between."""
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the last poll left: every row, and the gateway's clock at its beginning."""

    rows: dict[str, Session]
    clock: ClockReading
    swept_at: Moment
    has_offset: bool
    """This gateway lists from an ``offset`` (2026.9.6); without, only from the top (2026.5.18)."""
    churn: int = 0
    """How many rows the last poll found changed."""


class IncrementalPoll:
    """Feed it every page; ``next_request`` says what to ask next, None at the end. Then ``problem`` is None, or says why
    the whole list has to be read."""

    def __init__(self, memory: Memory, always_read: Collection[str], now: Moment) -> None:
        self._memory = memory
        self._always_read = always_read
        self._now = now
        self._fresh: dict[str, Session] = {}
        self._front: list[Session] = []
        self._rows: dict[str, Session] = {}
        self._windows: list[tuple[int, int]] = []
        self._is_in_front = True
        self._clock: ClockReading | None = None
        self._watermark = datetime.fromtimestamp(memory.clock.clock_ms / 1000, UTC) - OVERLAP  # guard: glance: overlap
        self._next: dict[str, Any] | None = {**BASE, "limit": self._first_limit()}
        self.problem: str | None = None

    def next_request(self) -> dict[str, Any] | None:
        return self._next

    @property
    def position(self) -> int:
        return 0 if self._next is None else int(self._next.get("offset", 0))

    @property
    def sessions(self) -> tuple[Session, ...]:
        return tuple(self._rows.values())

    @property
    def carried(self) -> frozenset[str]:
        return frozenset(self._rows.keys() - self._fresh.keys())

    @property
    def is_whole(self) -> bool:
        """Nothing was carried over: the list is so short, or so busy, that all of it was read."""
        return self.problem is None and len(self._fresh) == len(self._rows)

    def memory(self) -> Memory:
        """What the next poll builds upon."""
        assert self.problem is None
        assert self._clock is not None
        old = self._memory
        changed = sum(old.rows.get(row.key) != row for row in self._fresh.values())
        swept_at = self._now if self.is_whole else old.swept_at
        return Memory(self._rows, self._clock, swept_at, old.has_offset, changed)

    def take(self, page: RowPage, at: Moment) -> None:
        """One answer, received ``at``."""
        if page.malformed:
            return self._give_up("a row cannot be read")
        if page.total is None or page.clock_ms is None or page.has_more is None:
            return self._give_up("the answer does not say how much there is, or when it was given")
        if self._is_in_front:
            self._take_front(page, page.total, ClockReading(page.clock_ms, at))
        else:
            self._fresh.update((row.key, row) for row in page.sessions)
            self._next = self._window()
            if self._next is None:
                self._finish()
        return None

    # ---------------------------------------------------------------- the front: what has changed

    def _take_front(self, page: RowPage, total: int, clock: ClockReading) -> None:
        if self._clock is None:
            if self._memory.clock.has_stepped_by(clock):  # guard: glance: a clock that was set
                return self._give_up("the gateway's clock was set")
            self._clock = clock
        if self._next is None or "offset" not in self._next:
            self._front = []
        self._front += page.sessions
        if not _is_newest_first(self._front):  # guard: glance: newest first or not at all
            return self._give_up("rows do not come newest first")
        if page.has_more and not self._is_behind(page.sessions):
            read = len(self._front)
            if 2 * read > total:
                return self._give_up("most of the list has changed")
            if page.next_offset is not None:
                self._next = {**BASE, "limit": min(max(read, SMALLEST), PAGE_SIZE), "offset": page.next_offset}
            else:
                self._next = {**BASE, "limit": min(4 * max(read, SMALLEST), total)}
            return None
        self._fresh = {row.key: row for row in self._front}
        self._rows = {**self._memory.rows, **self._fresh}
        return self._after_front(total, is_all=not page.has_more)

    def _is_behind(self, rows: list[Session]) -> bool:
        """The page ends with a row that was there, like this, at the last poll."""
        return bool(rows) and not rows[-1].is_pinned and (rows[-1].updated_at or _NEVER) < self._watermark

    def _after_front(self, total: int, *, is_all: bool) -> None:
        if is_all:
            self._rows, self._next = self._fresh, None
            return None if len(self._fresh) == total else self._give_up("the list moved while it was read")
        if total > len(self._rows):  # guard: glance: rows that no poll has read
            return self._give_up("there are rows that no poll has read")
        surplus = len(self._rows) - total
        if surplus and self._now.since(self._memory.swept_at) >= SURPLUS_EVERY:
            return self._give_up("rows are gone")
        wanted = self._wanted()
        if any(key not in self._rows for key in wanted):
            return self._give_up("a session is gone")
        self._is_in_front = False
        self._windows = self._windows_of(wanted, surplus)
        if self._costs_too_much(self._windows, total):
            return self._give_up("what runs is spread over the list")
        self._next = self._window()
        if self._next is None:
            self._finish()
        return None

    # ---------------------------------------------------------------- further down: what runs

    def _wanted(self) -> list[str]:
        """What must be read and was not in front."""
        # guard: glance: what runs is read every time
        running = [key for key, row in self._rows.items() if row.may_change_unseen and key not in self._fresh]
        # guard: glance: what we are keen on is read every time
        return running + [key for key in self._always_read if key not in self._fresh and key not in running]

    def _windows_of(self, keys: list[str], surplus: int) -> list[tuple[int, int]]:
        windows = _windows(self._rows, [self._rows[key] for key in keys], surplus)
        return [(0, windows[-1][1])] if windows and not self._memory.has_offset else windows

    @staticmethod
    def _costs_too_much(windows: list[tuple[int, int]], total: int) -> bool:
        return 2 * sum(max(end - start, PAGE_SIZE) for start, end in windows) > max(total, 2 * PAGE_SIZE)

    def _window(self) -> dict[str, Any] | None:
        if not self._windows:
            return None
        start, end = self._windows.pop(0)
        request = {**BASE, "limit": end - start}
        return {**request, "offset": start} if start else request

    def _finish(self) -> None:
        self._next = None
        if self._wanted():  # guard: glance: a running row that is not found
            return self._give_up("a running session is not where it was")
        self._rows = {**self._rows, **self._fresh}
        return None

    # ---------------------------------------------------------------- inside

    def _first_limit(self) -> int:
        """So many rows that, as a rule, one request is enough."""
        rows = self._memory.rows
        recent = sum(row.is_pinned or (row.updated_at or _NEVER) >= self._watermark for row in rows.values())
        limit = recent + self._memory.churn * 5 // 4 + SMALLEST
        running = [row for row in rows.values() if row.may_change_unseen or row.key in self._always_read]
        for _, end in _windows(rows, running, 0):
            deep = end + self._memory.churn + MARGIN
            if not self._memory.has_offset or deep <= max(limit, NEAR):
                limit = max(limit, deep)
        if 2 * limit > len(rows):
            limit = max(limit, len(rows) + SMALLEST)  # one request for all of it is cheaper than two for most of it
        return min(limit, PAGE_SIZE)

    def _give_up(self, why: str) -> None:
        self.problem, self._next = why, None


def _is_newest_first(rows: list[Session]) -> bool:
    """Pinned rows first, then by ``updatedAt``."""
    rest = dropwhile(lambda row: row.is_pinned, rows)
    return all(above >= below for above, below in pairwise(row.updated_at or _NEVER for row in rest))


def _windows(rows: dict[str, Session], wanted: list[Session], surplus: int) -> list[tuple[int, int]]:
    """(first, end) of the places where these rows must lie, top to bottom; near ones in one."""
    windows: list[tuple[int, int]] = []
    for place in _places(rows, wanted):
        start, end = max(0, place - surplus - MARGIN), place + MARGIN + 1
        if windows and start <= windows[-1][1] + NEAR and end - windows[-1][0] <= PAGE_SIZE:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows


def _places(rows: dict[str, Session], wanted: list[Session]) -> list[int]:
    """How many rows lie above each of these, top to bottom."""
    if not wanted:
        return []
    places = {row.key: place for place, row in enumerate(sorted(rows.values(), key=_place))}
    return sorted(places[row.key] for row in wanted)


def _place(row: Session) -> tuple[bool, float, str]:
    updated = row.updated_at.timestamp() if row.updated_at is not None else 0.0
    return (not row.is_pinned, -updated, row.key)
