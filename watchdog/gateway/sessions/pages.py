"""``sessions.list`` to its end, whatever paging the version has; whether the end was reached is said, never assumed.

2026.3.24 and 4.14: everything in one answer, no totals. 2026.5.18: default limit 100, ``totalCount`` and ``hasMore``,
no offset: asked again with a larger limit. 2026.9.6: ``offset``/``nextOffset``. Rows come newest first, so stuck rows
are on the last page; ``activeMinutes`` would hide them and is never used.

A page that cannot be read, a list that does not end and one that is too large are reported like a row that cannot be read;
the list is then not whole, so nothing is done by it, and what was read is judged all the same. Where there are offsets
(2026.9.6) a page that cannot be read is asked for in parts, down to the row that is the matter.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from watchdog.core.model import MalformedRow, Session
from watchdog.gateway.sessions.rows import ListEnvelope, decode_rows
from watchdog.gateway.wire.decoder import Undecodable, decode
from watchdog.gateway.wire.hello import LONGEST_KEY
from watchdog.gateway.wire.timestamps import span_ms
from watchdog.service import errors

PAGE_SIZE = 200
"""Rows a page: 30 to 45 ms of the gateway's time at 10,000 sessions (2026.9.6)."""
MAX_PAGES = 2000
MOST_ROWS = 20_000
"""Rows of one gateway. Each takes about 4 KB of memory while the next list is judged; beyond it the daemon, which watches
other gateways, too, would take more than 150 MB. They come newest first: what lies beyond it is old."""
MOST_SURPLUS = 5_000
"""Rows that a page may have beyond those that were asked for. No version measured sends one."""
MOST_TEXT = 16 * 1024 * 1024
"""Bytes that the texts of all rows may take in memory. 10,000 rows of a real gateway take 7 MB."""
MOST_BYTES = 256 * 1024 * 1024
"""Bytes that one reading may receive: 10,000 rows have 18.5 MB (2026.9.6), and may be read three times."""
LONGEST_READING = timedelta(minutes=2)
"""10,000 rows take 3 to 5 s (2026.9.6)."""
MOST_SPLITS = 40
"""Requests for parts of pages that cannot be read. To find one such row in a page of 200 takes 15."""
MOST_FRONTS = 3
"""How often the first page is read once more for rows that moved there while we read."""
BASE: dict[str, Any] = {"includeGlobal": True, "includeUnknown": True}


@dataclass(frozen=True, slots=True)
class RowPage:
    sessions: list[Session]
    malformed: list[MalformedRow]
    count: int
    total: int | None
    has_more: bool | None
    next_offset: int | None
    has_offset: bool
    """The answer speaks of offsets, if only to say that there is no next one (2026.9.6)."""
    clock_ms: float | None
    text_bytes: int = 0
    """What the texts of its rows take in memory."""


_envelope_decoder = msgspec.json.Decoder(ListEnvelope)


def read_page(payload: msgspec.Raw, main_key: str | None, position: int, limit: int | None = None) -> RowPage:
    """One answer of ``sessions.list``. Raises ``AnswerUnreadable`` when it is no such answer at all. ``limit``: the rows that
    were asked for; of many more only the first are decoded."""
    try:
        envelope = decode(_envelope_decoder, payload)
    except Undecodable as problem:
        raise errors.AnswerUnreadable(f"sessions.list gave an answer that cannot be read ({problem}).") from problem
    sessions, malformed = _without_odd_keys(
        *decode_rows(
            envelope.sessions[: MOST_ROWS if limit is None else limit + MOST_SURPLUS], main_key, first_position=position
        ),
        position,
    )
    return RowPage(
        sessions,
        malformed,
        len(envelope.sessions),
        envelope.total_count,
        envelope.has_more,
        envelope.next_offset or None,
        envelope.next_offset is not msgspec.UNSET,
        span_ms(envelope.ts),
        sum(map(_text_bytes, sessions)),
    )


def _without_odd_keys(
    sessions: list[Session], malformed: list[MalformedRow], position: int
) -> tuple[list[Session], list[MalformedRow]]:
    """A key is what is told, logged and kept of a session, and found again by."""
    kept = [row for row in sessions if _can_be_kept(row.key, row.session_id)]  # guard: wire: the length of a key
    why = f"a key or session id has a NUL in it, or more than {LONGEST_KEY} bytes"
    odd = [row if _can_be_kept(row.key) else MalformedRow(row.position, why) for row in malformed]
    return kept, odd + [MalformedRow(position, why)] * (len(sessions) - len(kept))


def _can_be_kept(*names: str | None) -> bool:
    """PostgreSQL has no NUL in a text, and an entry of an index has at most 2,704 bytes (15)."""
    return all("\0" not in name and len(name.encode("utf-8", "replace")) <= LONGEST_KEY for name in names if name)


def _text_bytes(row: Session) -> int:
    """One character outside the common ones makes a text take four times its room."""
    address = row.reply_address
    texts = [
        row.key,
        row.session_id,
        row.agent_id,
        row.channel,
        row.last_run_id,
        row.last_run_error,
        row.model_provider,
    ]
    texts += [row.restart_recovery_status, row.lifecycle_revision, row.parent_key, *row.child_keys]
    texts += row.active_run_ids or ()
    if address is not None:
        texts += (address.channel, address.to, address.account_id, address.thread_id)
    return sum(sys.getsizeof(text) for text in texts if text is not None)


class Pager:
    """Asks for pages until the list is whole. Feed it every page, or why one cannot be read; it says what to ask next, or
    None at the end."""

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
        self._has_offset = False
        self._splits = 0
        self._unread_until: int | None = None
        """The end of the smallest part that could not be read; what is the matter lies before it."""
        self._text_bytes = 0
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

    def take(self, page: RowPage) -> None:
        """Rows are kept by key, the later sight wins: a row that moved to the front while we paged is seen twice."""
        assert self._next is not None
        self._pages += 1
        limit, offset = self._next.get("limit"), self._next.get("offset", 0)
        known = len(self._rows)
        # guard: list: what moved to the front is read there
        self._rows.update((session.key, session) for session in page.sessions)
        self._has_offset = self._has_offset or page.has_offset
        self._text_bytes += page.text_bytes
        if limit is not None and page.count > limit + MOST_SURPLUS:  # guard: wire: rows of a page
            return self.stop(f"{page.count} rows came where {limit} were asked for")
        # Another page would be kept beside all that there is room for.
        spare = 1 if page.has_more and not self._is_in_front else 0
        most = MOST_ROWS - spare  # guard: wire: rows of a list
        is_too_long = max(page.count, len(self._rows) + len(self._malformed)) > most
        if is_too_long or self._text_bytes > MOST_TEXT:  # guard: wire: texts of a list
            return self.stop(f"the list is too long: after {len(self._rows)} sessions no more are read")
        if self._is_in_front:
            return self._take_front(page)
        self._malformed.extend(page.malformed)
        self.position += page.count
        if page.has_more and page.next_offset is not None and page.count:
            has_news = len(self._rows) > known or page.malformed
            if page.next_offset <= offset or not has_news:  # guard: wire: a list that goes round
                return self.stop("the list does not end: the same rows come again")
        if page.total is not None and self._total is not None and page.total < self._total:
            self._has_shrunk = True  # rows behind a vanished one moved up, over a border that we had passed already
        self._total = page.total
        if page.has_more and page.next_offset is not None and page.count and self._pages < MAX_PAGES:
            self._next = {**BASE, "limit": self._limit_at(page.next_offset), "offset": page.next_offset}
            return None
        if page.has_more or (page.total is not None and page.total > self.position):
            self._read_in_one(page)
            return None
        return self._finish(reads_offsets=page.has_offset)

    def fail(self, problem: errors.AnswerUnreadable) -> None:
        """What was asked for came and cannot be read: asked for in parts, where that can be."""
        assert self._next is not None
        limit, offset = self._next.get("limit"), self._next.get("offset", 0)
        self._splits += 1
        # guard: wire: one row that cannot be read blinds no other
        if limit is None or self._is_in_front or problem.ends_connection or self._splits > MOST_SPLITS:
            return self.stop(str(problem))
        self._unread_until = offset + limit
        if limit > 1:
            self._next = {**self._next, "limit": limit // 2}
            return None
        if not self._has_offset:
            return self.stop(str(problem))
        self._malformed.append(MalformedRow(offset, str(problem)))
        self.position, self._unread_until = offset + 1, None
        self._next = {**BASE, "limit": PAGE_SIZE, "offset": offset + 1}
        return None

    def _limit_at(self, offset: int) -> int:
        """A page, or half of what is left of a part that could not be read."""
        if self._unread_until is None or offset >= self._unread_until:
            self._unread_until = None
            return PAGE_SIZE
        return max(1, (self._unread_until - offset) // 2)

    def stop(self, reason: str) -> None:
        """No further, for this reason: the list is not whole."""
        self._malformed.append(MalformedRow(self.position, reason))
        self._next, self._is_whole = None, False

    def _take_front(self, page: RowPage) -> None:
        """Rows that moved to the top from behind the page that was read then. Its malformed rows may be reported already."""
        self._is_in_front = False
        if page.total is None or self._total is None or page.total < self._total:
            self._has_shrunk = True
        self._total = page.total
        self._finish(reads_offsets=True)

    def _read_in_one(self, page: RowPage) -> None:
        """No offset on this version (2026.5.18): the whole list in one larger answer."""
        if self._restarts >= 3 or page.next_offset is not None:
            self._next, self._is_whole = None, False  # guard: completeness is counted
            return
        self._restarts += 1
        self._start_over({**BASE, "limit": (page.total or self.position * 4) + PAGE_SIZE})

    def _start_over(self, request: dict[str, Any]) -> None:
        self._rows, self._malformed, self.position = {}, [], 0
        self._total, self._has_shrunk, self._fronts = None, False, 0
        self._text_bytes, self._unread_until = 0, None
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
