"""The list of sessions over one connection: whole, or only what can have changed since the last time.

What was read is remembered as long as the connection lives, never longer. A list that failed, could not be read whole, or
says nothing of its time and size (2026.3.24, 4.14), leaves nothing to build upon: then the next poll reads all of it. What
events said meanwhile (``listening``) tells a poll where to look and how many rows to ask for, and lost events make it read
all. A poll may find that there is nothing to list at all (``standstill``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from watchdog.core.model import Moment, Snapshot
from watchdog.gateway.clock_step import ClockReading
from watchdog.gateway.events import NOTHING_HEARD, Told
from watchdog.gateway.glance import Glance, Memory
from watchdog.gateway.listening import Listener
from watchdog.gateway.listing import LONGEST_READING, MOST_BYTES, MOST_ROWS, Page, Pager, read_page
from watchdog.gateway.standstill import Baseline, Counts, believed_until, can_wait_until, is_news, to_ask, untold
from watchdog.service import errors
from watchdog.service.ports import Clock, Standstill

LONGEST_PAUSE = 0.05
"""Seconds between two pages of a sweep at most, else as long as the page took: the gateway is never busy for long, and
a sweep of 10,000 sessions still shows one moment (it takes about 3 s)."""

Ask = Callable[[dict[str, Any]], Awaitable[msgspec.Raw]]
Count = Callable[[], Awaitable[Counts | None]]
Ended = Callable[[str], Awaitable[datetime | None]]


class Lister:
    """Lists over one connection. ``clock_base``: the gateway's clock at the sign-in. ``count``: what the gateway says is
    active, None where it does not say; without it every poll lists. ``ended``: when the turn began that a session's row says
    is over, where one can be asked for by itself. ``tells_runs``: the gateway tells whoever watches of every run."""

    def __init__(
        self,
        ask: Ask,
        clock: Clock,
        *,
        main_key: str | None,
        counts_pages: bool,
        clock_base: ClockReading | None,
        listener: Listener | None = None,
        count: Count | None = None,
        ended: Ended | None = None,
        tells_runs: bool = False,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._main_key = main_key
        self._counts_pages = counts_pages
        self._clock_base = clock_base
        self._listener = listener
        self._count = count
        self._ended = ended
        self._tells_runs = tells_runs
        self._untold: frozenset[str] = frozenset()
        """Runs that the last list showed and no event had told of by then."""
        self._worked_on: frozenset[str] = frozenset()
        """What had been told of at the last list: a run may be told of before its row says when it started."""
        self._over: dict[str, datetime] = {}
        """Sessions asked after since the last list, and when the turn began that was over."""
        self._memory: Memory | None = None
        self._baseline: Baseline | None = None
        self._last_baseline: Baseline | None = None
        """Of the last list that has one; ``_baseline`` is it while it may be rested on."""
        self.why_swept: str | None = None
        """Why the last glance was given up, or None."""

    async def whole(self, *, is_hurried: bool = True) -> Snapshot:
        """Every row, paged to the end."""
        if is_hurried:
            self._baseline = None
            return await self._sweep(_Poll(self._clock), is_hurried=True)
        counts = await self._counted()
        before, told = self._memory, self._told()
        snapshot = await self._sweep(_Poll(self._clock, told.size_bytes), is_hurried=False)
        self._note_list(counts, snapshot, before, told)
        return snapshot

    async def glance(self, keen: Collection[str]) -> Snapshot:
        """What can have changed; the whole list when that cannot be told for sure."""
        counts = await self._counted()
        before, told = self._memory, self._told()
        snapshot = await self._glance(keen, told)
        self._note_list(counts, snapshot, before, told)
        return snapshot

    async def standstill(self, within: timedelta) -> Standstill | None:
        """``service.ports.Gateway.standstill``."""
        baseline = self._baseline
        if baseline is None or self._memory is None or self._count is None:
            return None
        told = self._checked(self._listener.peek() if self._listener is not None else NOTHING_HEARD)
        until = believed_until(baseline, told, within)
        asked_at = self._clock.now()
        latest = can_wait_until(baseline, told, within, asked_at)
        is_too_old = until is not None and until <= asked_at
        can_ask = self._ended is not None and not is_too_old
        in_question = to_ask(baseline, self._memory.rows, told) if can_ask else frozenset()
        has_news = is_too_old or is_news(self._memory.rows, told)
        if has_news and latest is None and not in_question:
            return None
        answer = await self._asked(baseline.counts, in_question)
        has_news = not answer.is_as_counted or (has_news and not answer.are_over)
        if has_news and latest is None:
            return None
        if not has_news and until is None and not in_question:
            # A run in question may have been counted in place of one that was lost.
            self._baseline = replace(baseline, known_at=asked_at)
        return Standstill(answer.took, told.size_bytes, latest if has_news else until)

    async def _asked(self, counts: Counts, keys: frozenset[str]) -> _Answer:
        """In this order: what began before the sessions are set aside is counted or over, what begins after is told anew."""
        if not keys:
            return await self._compared(counts)
        assert self._listener is not None
        self._listener.set_aside(keys)
        over: dict[str, datetime] = {}
        try:
            answer = await self._compared(counts)
            if answer.is_as_counted:
                over = await self._those_over(keys)
        finally:
            self._listener.bring_back(keys - over.keys())
        self._over |= over
        return replace(answer, are_over=len(over) == len(keys))

    async def _those_over(self, keys: frozenset[str]) -> dict[str, datetime]:
        """Which of these had a turn that is over, up to the first that cannot be told: the row of a turn that has only just
        begun may still speak of the one before (``glance.OVERLAP``)."""
        assert self._ended is not None
        assert self._memory is not None
        over: dict[str, datetime] = {}
        for key in sorted(keys):
            began = await self._ended(key)
            if began is None or began == self._over.get(key, self._memory.rows[key].started_at):
                break
            over[key] = began
        return over

    async def _compared(self, counts: Counts) -> _Answer:
        assert self._count is not None
        asked_at = self._clock.now()
        is_as_counted = await self._count() == counts
        return _Answer(self._clock.now().since(asked_at), is_as_counted)

    async def _counted(self) -> Counts | None:
        self._baseline = None
        return await self._count() if self._count is not None else None

    def _note_list(self, counts: Counts | None, snapshot: Snapshot, before: Memory | None, told: Told) -> None:
        if before is not None and self._memory is not None and told.is_every_run:
            known = told.worked_on | self._worked_on | self._over.keys()
            self._untold = untold(before.rows, self._memory.rows, known)
        self._worked_on = told.worked_on | self._over.keys()
        self._over = {}
        if counts is not None and self._memory is not None:
            self._baseline = self._last_baseline = Baseline.of(counts, snapshot, self._last_baseline)

    def _checked(self, told: Told) -> Told:
        """Not believed to tell of every run once it did not. An event may come after the list that showed its run."""
        if self._untold - told.worked_on - told.ended:
            self._tells_runs = False
        self._untold = frozenset()
        return told if self._tells_runs else replace(told, is_every_run=False)

    async def _glance(self, keen: Collection[str], told: Told) -> Snapshot:
        poll, self.why_swept = _Poll(self._clock, told.size_bytes), None
        if told.has_gap:
            self.why_swept = "events were lost"
        memory, self._memory = self._memory, None  # should this fail: what was told is told only once
        if memory is None or told.has_gap:
            return await self._sweep(poll, is_hurried=False)
        glance = Glance(memory, keen, poll.asked_at, told)
        while (params := glance.next_request()) is not None:
            try:
                page = await self._page(params, glance.position, poll)
            except errors.AnswerUnreadable as problem:
                self.why_swept = str(problem)
                return await self._sweep(poll, is_hurried=False)
            glance.take(page, self._clock.now())
        if glance.problem is not None or len(glance.sessions) > MOST_ROWS:
            self.why_swept = glance.problem or "the list is too long"
            return await self._sweep(poll, is_hurried=False)
        self._memory = glance.memory()
        if self._listener is not None:
            self._listener.note_poll(self._memory.churn)
        return poll.snapshot(
            sessions=glance.sessions, is_complete=True, is_sweep=glance.is_whole, carried=glance.carried
        )

    def _told(self) -> Told:
        return self._checked(self._listener.told() if self._listener is not None else NOTHING_HEARD)

    async def _sweep(self, poll: _Poll, *, is_hurried: bool) -> Snapshot:
        pager = Pager(counts_pages=self._counts_pages)
        self._memory = None
        first: tuple[Page, Moment] | None = None
        has_offset = False
        while (params := pager.next_request()) is not None:
            if first is not None and not is_hurried:
                await self._clock.sleep(min(poll.last_took.total_seconds(), LONGEST_PAUSE))
            if (why := poll.exhausted()) is not None:
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

    async def _page(self, params: dict[str, Any], position: int, poll: _Poll) -> Page:
        asked_at = self._clock.now()
        payload = await self._ask(params)
        took = self._clock.now().since(asked_at)
        poll.note(memoryview(payload).nbytes, took)
        page = read_page(payload, self._main_key, position, params.get("limit"))
        poll.has_stepped = poll.has_stepped or self._has_stepped(page)
        return page

    def _has_stepped(self, page: Page) -> bool:
        if self._clock_base is None or page.clock_ms is None:
            return False
        return self._clock_base.has_stepped_by(ClockReading(page.clock_ms, self._clock.now()))


@dataclass(frozen=True, slots=True)
class _Answer:
    took: timedelta
    """For the count."""
    is_as_counted: bool
    """The gateway counts what it counted at the last list."""
    are_over: bool = False
    """Every session that was asked after, one at least, says that its turn is over."""


class _Poll:
    """What one poll cost so far."""

    def __init__(self, clock: Clock, size_bytes: int = 0) -> None:
        self._clock = clock
        self.asked_at = clock.now()
        self.size_bytes = size_bytes
        self.requests = 0
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
