"""A connection of its own that listens to what happens to sessions, for as long as that costs less than it saves.

Beside the watching link and not on it: whatever the gateway sends here, however much, holds up no answer of a poll, and
2026.9.6 lets nobody end a subscription without ``operator.admin`` but by hanging up (measured). It asks for
``operator.read`` and sends one request, ``sessions.subscribe``.

One turn sends 55 KB on 2026.9.6 and 14 KB on 2026.5.18, 110 and 32 KB with two tool calls (measured); a poll that knows
what has changed reads ten to twenty rows less, 2 KB each, or need not read any (``standstill``). So a gateway is listened
to while little happens on it. Where much happens polls look for themselves, as on gateways without events.

Invariant: nothing that is heard ends up in a verdict, or keeps a poll from finding what was not said. What is lost costs a
poll one more request; what the gateway never said, and does not count as active either, is found by the next sweep.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

from watchdog.core.model import Moment
from watchdog.gateway.events import Heard, Told
from watchdog.gateway.frames import Event
from watchdog.gateway.link import Link
from watchdog.service import errors
from watchdog.service.ports import Clock

WORTH_A_MINUTE = 40_000
"""Bytes of events a minute that are still cheaper than what they save: two polls a minute, ten rows each."""
WORTH_AT_ONCE = 400_000
"""Ten minutes' worth, some turns in a row; beyond it the gateway is too busy to be listened to."""
QUIET_CHURN, QUIET_POLLS = 2, 2
"""Listening begins after so many polls in a row that found no more rows changed than this."""
REST = timedelta(minutes=15)
"""After it was too much, was refused, failed or broke off, listening is not tried again before this."""
GAP_SWEEPS_APART = timedelta(minutes=2)
"""Lost events make a poll read everything at most this often; between, polls look for themselves."""
PATIENCE = 5.0
"""Seconds for the subscription: events are never worth waiting for."""


class Listener:
    """Hears one gateway for one ``Lister``. ``open_link`` signs in with ``operator.read``; None: this gateway offers no
    subscription, or none is wanted. Then it only overhears what the watching link is told anyway."""

    def __init__(self, open_link: Callable[[], Awaitable[Link]] | None, clock: Clock, watching: Link) -> None:
        self._open_link = open_link
        self._clock = clock
        self._watching = watching
        self._missed_by_watching = watching.report.missed_events
        self._link: Link | None = None
        self._missed = 0
        self._heard = Heard()
        self._size = 0
        self._quiet_polls = 0
        self._rests_until: Moment | None = None
        self._left = float(WORTH_AT_ONCE)
        self._left_at = clock.now()
        self._swept_at: Moment | None = None
        self._errands: set[asyncio.Task[None]] = set()
        """Beginning to listen, and hanging up: beside the polls, which wait for neither."""
        watching.on_event = self._overhear

    @property
    def is_listening(self) -> bool:
        return self._link is not None and self._link.is_open

    @property
    def malformed(self) -> int:
        """Events so far that could not be read; they were ignored."""
        return self._heard.malformed

    def told(self) -> Told:
        """What events said since the last poll; begins to listen where that is worth it."""
        self._note_losses()
        size, self._size = self._size, 0
        told = self._heard.take()
        if self._link is None:
            # Nobody listens from here on, or only from some moment later: what is told next is not everything.
            self._heard.blur()
            if not self._errands and self._is_worth_it():
                self._do(self._begin(), "listening link opens")
        return replace(told, has_gap=told.has_gap and self._may_sweep(), size_bytes=size)

    def peek(self) -> Told:
        """What ``told`` would answer, and all of it stays untold; only what it cost is told once."""
        self._note_losses()
        size, self._size = self._size, 0
        return replace(self._heard.peek(), size_bytes=size)

    def set_aside(self, keys: Collection[str]) -> None:
        """These sessions are being asked after: forget that something worked on them, until it is told anew."""
        self._heard.set_aside(keys)

    def bring_back(self, keys: Collection[str]) -> None:
        """Asking after them did not settle it."""
        self._heard.bring_back(keys)

    def note_poll(self, churn: int) -> None:
        """A poll that read only what could have changed found so many rows changed."""
        self._quiet_polls = self._quiet_polls + 1 if churn <= QUIET_CHURN else 0

    async def close(self) -> None:
        self._watching.on_event = None
        for errand in self._errands:
            errand.cancel()
        self._rest()
        await asyncio.gather(*self._errands, return_exceptions=True)

    # ---------------------------------------------------------------- inside

    def _is_worth_it(self) -> bool:
        is_resting = self._rests_until is not None and self._clock.now() < self._rests_until
        return self._open_link is not None and not is_resting and self._quiet_polls >= QUIET_POLLS

    async def _begin(self) -> None:
        assert self._open_link is not None
        self._rests_until = self._clock.now().plus(REST)
        with contextlib.suppress(errors.GatewayError):
            link = await self._open_link()
            self._left, self._left_at = float(WORTH_AT_ONCE), self._clock.now()
            try:
                link.on_event = self._hear
                await link.call("sessions.subscribe", {}, patience=PATIENCE)
            except BaseException:
                await link.close()
                raise
            self._link, self._missed = link, link.report.missed_events

    def _do(self, errand: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(errand, name=name)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _hear(self, event: Event) -> None:
        self._heard.hear(event)
        now, size = self._clock.now(), memoryview(event.payload).nbytes
        self._size += size
        earned = now.since(self._left_at).total_seconds() / 60 * WORTH_A_MINUTE
        self._left, self._left_at = min(WORTH_AT_ONCE, self._left + earned) - size, now
        if self._left < 0:
            self._rest()

    def _overhear(self, event: Event) -> None:
        """On the watching link, which is told of runs without having asked."""
        if event.name == "agent":
            self._heard.hear(event)

    def _note_losses(self) -> None:
        missed = self._watching.report.missed_events
        if missed != self._missed_by_watching:
            self._missed_by_watching = missed
            self._heard.miss()
        if self._link is None:
            return
        if not self._link.is_open:
            self._heard.miss()
            self._rest()
        elif self._link.report.missed_events != self._missed:
            self._missed = self._link.report.missed_events
            self._heard.miss()

    def _may_sweep(self) -> bool:
        now = self._clock.now()
        if self._swept_at is not None and now.since(self._swept_at) < GAP_SWEEPS_APART:
            return False
        self._swept_at = now
        return True

    def _rest(self) -> None:
        """Hang up, now: a gateway that says too much goes on until it is hung up on."""
        link, self._link = self._link, None
        self._quiet_polls = 0
        self._rests_until = self._clock.now().plus(REST)
        self._heard.blur()
        if link is not None:
            link.on_event = None
            self._do(link.close(), "listening link closes")
