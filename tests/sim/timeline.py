"""One world's time as an event loop: whatever waits, waits in virtual time, and everything due happens in its order.

The loop never asks the operating system for anything. Where a real one would sleep in ``select``, the world moves on to
the next thing that happens, in it or in the loop. A host asleep stops the loop's (monotonic) clock and not the world's.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from openclaw_simulator.world import World
from watchdog.core.model import Moment


class Stalled(Exception):
    """Somebody waits, and nothing will ever happen again: a defect of the simulation."""


class Timeline:
    """True time (the world's) and the host's two clocks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.wall_skew = timedelta(0)
        """The host's wall clock minus true time."""
        self.slept_ms = 0
        self.before_sleep: Callable[[], None] = lambda: None
        self._asleep_since: int | None = None
        self._origin_ms = world.now_ms

    @property
    def monotonic(self) -> float:
        """Seconds; stands still while the host sleeps."""
        now = self.world.now_ms if self._asleep_since is None else self._asleep_since
        return (now - self._origin_ms - self.slept_ms) / 1000

    @property
    def wall(self) -> datetime:
        return datetime.fromtimestamp(self.world.now_ms / 1000, UTC) + self.wall_skew

    def sleep_host(self, seconds: float) -> None:
        """The whole machine sleeps: gateway and watchdog stand still, the world does not."""
        process = self.world.process
        if self._asleep_since is not None or process.is_frozen:
            return
        self.before_sleep()
        self._asleep_since = self.world.now_ms
        process.freeze()
        self.world.agenda.outside(seconds, self._wake)

    def _wake(self) -> None:
        assert self._asleep_since is not None
        self.slept_ms += self.world.now_ms - self._asleep_since
        self._asleep_since = None
        self.world.process.thaw()

    def pass_by(self, seconds: float | None) -> None:
        """Let time pass until something happens in the world, at most ``seconds`` (None: for ever)."""
        agenda = self.world.agenda
        due = agenda.next_at()
        if self._asleep_since is not None or seconds is None:
            if due is None:
                raise Stalled
            agenda.advance(max(due, agenda.now_ms))
            return
        limit = agenda.now_ms + math.ceil(seconds * 1000)
        agenda.advance(limit if due is None else min(limit, max(due, agenda.now_ms)))


class HostClock:
    """``ports.Clock`` of a host in a simulated world."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def now(self) -> Moment:
        return Moment(1000.0 + self._timeline.monotonic, self._timeline.wall)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Jumps(selectors.SelectSelector):
    """Passes virtual time where a selector would wait. Nothing real is ever waited for."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._timeline.pass_by(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a :class:`Timeline`."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        super().__init__(_Jumps(timeline))

    def time(self) -> float:
        return self._timeline.monotonic
