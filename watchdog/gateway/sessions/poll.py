"""The list of sessions over one connection: whole, or only what can have changed since the last time.

What was read is remembered as long as the connection lives, never longer. A list that failed, could not be read whole, or
says nothing of its time and size (2026.3.24, 4.14), leaves nothing to build upon: then the next poll reads all of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any

import msgspec

from watchdog.core.model import Moment, Snapshot
from watchdog.gateway.sessions.clock_step import ClockReading
from watchdog.gateway.sessions.incremental import IncrementalPoll, Memory
from watchdog.gateway.sessions.pages import LONGEST_READING, MOST_BYTES, MOST_ROWS, Pager, RowPage, read_page
from watchdog.service import errors
from watchdog.service.ports import Clock

LONGEST_PAUSE = 0.05
"""Seconds between two pages of a sweep at most, else as long as the page took: the gateway is never busy for long, and
a sweep of 10,000 sessions still shows one moment (it takes about 3 s)."""

FetchPage = Callable[[dict[str, Any]], Awaitable[msgspec.Raw]]


class SessionPoller:
    """Lists over one connection. ``counts_pages``: the gateway lists in pages and says how much there is. ``clock_base``: the
    gateway's clock at the sign-in."""

    def __init__(
        self,
        fetch: FetchPage,
        clock: Clock,
        *,
        main_key: str | None,
        counts_pages: bool,
        clock_base: ClockReading | None,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._main_key = main_key
        self._counts_pages = counts_pages
        self._clock_base = clock_base
        self._memory: Memory | None = None

    async def whole(self, *, is_hurried: bool = True) -> Snapshot:
        """Every row, paged to the end."""
        return await self._sweep(_Poll(self._clock), is_hurried=is_hurried)

    async def incremental(self, always_read: Collection[str]) -> Snapshot:
        """What can have changed; the whole list when that cannot be told for sure."""
        poll = _Poll(self._clock)
        # guard: glance: nothing is built upon a poll that failed
        memory, self._memory = self._memory, None  # should this fail, the next poll reads everything
        if memory is None:
            return await self._sweep(poll, is_hurried=False)
        reading = IncrementalPoll(memory, always_read, poll.asked_at)
        while (params := reading.next_request()) is not None:
            try:
                page = await self._page(params, reading.position, poll)
            except errors.AnswerUnreadable:
                return await self._sweep(poll, is_hurried=False)
            reading.take(page, self._clock.now())
        if reading.problem is not None or len(reading.sessions) > MOST_ROWS:
            return await self._sweep(poll, is_hurried=False)
        self._memory = reading.memory()
        return poll.snapshot(
            sessions=reading.sessions, is_complete=True, is_sweep=reading.is_whole, carried=reading.carried
        )

    async def _sweep(self, poll: _Poll, *, is_hurried: bool) -> Snapshot:
        pager = Pager(counts_pages=self._counts_pages)
        self._memory = None
        first: tuple[RowPage, Moment] | None = None
        has_offset = False
        while (params := pager.next_request()) is not None:
            if first is not None and not is_hurried:
                await self._clock.sleep(min(poll.last_took.total_seconds(), LONGEST_PAUSE))
            if (why := poll.exhausted()) is not None:  # guard: wire: bytes and time of a reading
                pager.stop(why)
                break
            try:
                page = await self._page(params, pager.position, poll)
            except errors.AnswerUnreadable as problem:
                pager.fail(problem)
                continue
            first = first or (page, self._clock.now())
            has_offset = has_offset or page.has_offset
            pager.take(page)
        if first is not None and pager.is_complete and not pager.malformed:
            page, at = first
            if page.clock_ms is not None and page.total is not None and page.has_more is not None:
                rows = {session.key: session for session in pager.sessions}
                self._memory = Memory(rows, ClockReading(page.clock_ms, at), self._clock.now(), has_offset)
        return poll.snapshot(sessions=pager.sessions, is_complete=pager.is_complete, malformed=pager.malformed)

    async def _page(self, params: dict[str, Any], position: int, poll: _Poll) -> RowPage:
        asked_at = self._clock.now()
        payload = await self._fetch(params)
        took = self._clock.now().since(asked_at)
        poll.note(memoryview(payload).nbytes, took)
        page = read_page(payload, self._main_key, position, params.get("limit"))
        poll.has_stepped = poll.has_stepped or self._has_stepped(page)
        return page

    def _has_stepped(self, page: RowPage) -> bool:
        if self._clock_base is None or page.clock_ms is None:
            return False
        return self._clock_base.has_stepped_by(ClockReading(page.clock_ms, self._clock.now()))


class _Poll:
    """What one poll cost so far."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked_at = clock.now()
        self.size_bytes = self.requests = 0
        self.slowest = self.last_took = timedelta(0)
        self.has_stepped = False

    def note(self, size_bytes: int, took: timedelta) -> None:
        self.size_bytes += size_bytes
        self.requests += 1
        self.last_took = took
        self.slowest = max(self.slowest, took)

    def exhausted(self) -> str | None:
        """Why no more is read in this poll, or None."""
        if self.size_bytes > MOST_BYTES:
            return f"the list is too large: no more is read after {MOST_BYTES >> 20} MiB"
        if self._clock.now().since(self.asked_at) > LONGEST_READING:
            return f"the list takes too long: no more is read after {LONGEST_READING.total_seconds():.0f} s"
        return None

    def snapshot(self, **what: Any) -> Snapshot:
        return Snapshot(
            asked_at=self.asked_at,
            answered_at=self._clock.now(),
            size_bytes=self.size_bytes,
            gateway_clock_stepped=self.has_stepped,
            requests=self.requests,
            slowest_answer=self.slowest,
            **what,
        )
