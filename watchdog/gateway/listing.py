"""``sessions.list`` to its end, whatever paging the version has; whether the end was reached is said, never assumed.

2026.3.24 and 4.14: everything in one answer, no totals. 2026.5.18: default limit 100, ``totalCount`` and ``hasMore``,
no offset: asked again with a larger limit. 2026.9.6: ``offset``/``nextOffset``. Rows come newest first, so stuck rows
are on the last page; ``activeMinutes`` would hide them and is never used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from watchdog.core.model import MalformedRow, Session
from watchdog.gateway.frames import UNREADABLE
from watchdog.gateway.rows import ListEnvelope, decode_rows
from watchdog.service import errors

PAGE_SIZE = 200
"""Rows a page: 30 to 45 ms of the gateway's time at 10,000 sessions (2026.9.6)."""
MAX_PAGES = 2000
MOST_FRONTS = 3
"""How often the first page is read once more for rows that moved there while we read."""
BASE: dict[str, Any] = {"includeGlobal": True, "includeUnknown": True}


@dataclass(frozen=True, slots=True)
class Page:
    sessions: list[Session]
    malformed: list[MalformedRow]
    count: int
    total: int | None
    has_more: bool | None
    next_offset: int | None
    has_offset: bool
    """The answer speaks of offsets, if only to say that there is no next one (2026.9.6)."""
    clock_ms: float | None


def read_page(payload: msgspec.Raw, main_key: str | None, position: int) -> Page:
    """One answer of ``sessions.list``. Raises ``RequestRefused`` (code SHAPE) when it is no such answer at all."""
    try:
        envelope = msgspec.json.decode(payload, type=ListEnvelope)
    except UNREADABLE as problem:
        raise errors.RequestRefused("sessions.list gave an answer that cannot be read.", code="SHAPE") from problem
    sessions, malformed = decode_rows(envelope.sessions, main_key, first_position=position)
    return Page(
        sessions,
        malformed,
        len(envelope.sessions),
        envelope.totalCount,
        envelope.hasMore,
        envelope.nextOffset or None,
        envelope.nextOffset is not msgspec.UNSET,
        float(envelope.ts) if envelope.ts is not None else None,
    )


class Pager:
    """Asks for pages until the list is whole. Feed it every page; it says what to ask next, or None at the end."""

    def __init__(self, *, counts_pages: bool) -> None:
        self._next: dict[str, Any] | None = {**BASE, "limit": PAGE_SIZE} if counts_pages else dict(BASE)
        self._rows: dict[str, Session] = {}
        self._malformed: list[MalformedRow] = []
        self._pages = 0
        self._restarts = 0
        self._total: int | None = None
        self._has_shrunk = False
        self._is_whole = False
        self._fronts = 0
        self._is_in_front = False
        self.position = 0

    def next_request(self) -> dict[str, Any] | None:
        return self._next

    @property
    def sessions(self) -> tuple[Session, ...]:
        return tuple(self._rows.values())

    @property
    def malformed(self) -> tuple[MalformedRow, ...]:
        return tuple(self._malformed)

    @property
    def is_complete(self) -> bool:
        return self._is_whole

    def take(self, page: Page) -> None:
        """Rows are kept by key, the later sight wins: a row that moved to the front while we paged is seen twice."""
        self._pages += 1
        if self._is_in_front:
            return self._take_front(page)
        for session in page.sessions:
            self._rows[session.key] = session
        self._malformed.extend(page.malformed)
        self.position += page.count
        if page.total is not None and self._total is not None and page.total < self._total:
            self._has_shrunk = True  # rows behind a vanished one moved up, over a border that we had passed already
        self._total = page.total
        if page.has_more and page.next_offset is not None and page.count and self._pages < MAX_PAGES:
            self._next = {**BASE, "limit": PAGE_SIZE, "offset": page.next_offset}
            return None
        if page.has_more or (page.total is not None and page.total > self.position):
            self._ask_again(page)
            return None
        return self._finish(reads_offsets=page.has_offset)

    def _take_front(self, page: Page) -> None:
        """Rows that moved to the top from behind the page that was read then. Its malformed rows may be reported already."""
        self._is_in_front = False
        self._rows.update((session.key, session) for session in page.sessions)
        if page.total is None or self._total is None or page.total < self._total:
            self._has_shrunk = True
        self._total = page.total
        self._finish(reads_offsets=True)

    def _ask_again(self, page: Page) -> None:
        """No offset on this version (2026.5.18): the whole list in one larger answer."""
        if self._restarts >= 3 or page.next_offset is not None:
            self._next, self._is_whole = None, False
            return
        self._restarts += 1
        self._start_over({**BASE, "limit": (page.total or self.position * 4) + PAGE_SIZE})

    def _start_over(self, request: dict[str, Any]) -> None:
        self._rows, self._malformed, self.position = {}, [], 0
        self._total, self._has_shrunk, self._fronts = None, False, 0
        self._next = request

    def _finish(self, *, reads_offsets: bool) -> None:
        seen = len(self._rows) + len(self._malformed)
        is_whole = (self._total is None or seen >= self._total) and not self._has_shrunk
        if not is_whole and not self._has_shrunk and reads_offsets and self._fronts < MOST_FRONTS:
            # What changes moves to the top, past the border of the page that we had come to: it lies there now. In a list
            # of 10,000 of which 1 % changes in a minute that happens in every sweep.
            self._fronts, self._is_in_front = self._fronts + 1, True
            self._next = {**BASE, "limit": PAGE_SIZE}
            return
        if not is_whole and self._restarts < 1:
            # A row moved across a page border while we read: read once more.
            self._restarts += 1
            self._start_over({**BASE, "limit": PAGE_SIZE})
            return
        self._next = None
        self._is_whole = is_whole
