"""When a gateway started, told so that it is never later than the truth.

A gateway says how long it has been up (``uptimeMs``, Node's ``process.uptime``). On Linux that clock stands still while the
host sleeps, so "its time now minus its uptime" comes out later after every sleep, and later too after its wall clock was
set forward: a run that lives on over the sleep would look older than its gateway, which is the proof of an orphan.

Two things say better, and the earliest counts:

- the gateway's own lock file, when it is on our machine: written once at the start, on the gateway's wall clock;
- what the same life of it said before. Only an uptime that is shorter than one already reached is surely another process.

Limit: a process elsewhere whose host slept, or whose clock was set right, between its start and our first look at it is
believed. One whose clock is wrong then is not (``service.gateway_trust.CLOCK_SKEW``). Its own ``/readyz`` would tell: its
``uptimeMs`` follows the wall clock (source of 2026.3.24); it says so only to who shows the shared token there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from watchdog.core.model import Moment
from watchdog.gateway.wire.hello import Hello
from watchdog.gateway.wire.timestamps import Millis, instant, span_ms

NOISE = timedelta(seconds=5)
"""What network, slow handshakes and slow starts make of one boot: two readings further apart than this differ."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one sign-in said. ``booted_at``: its wall clock minus its uptime. ``lock_created_at``: None when not here."""

    at: Moment
    booted_at: datetime | None
    uptime: timedelta | None
    lock_created_at: datetime | None = None


def boot_reading(hello: Hello, clock_ms: Millis, at: Moment, *, lock_created_at: datetime | None) -> Reading:
    """What this sign-in, received ``at``, says of the gateway's start. ``clock_ms``: its clock in the challenge, never ours
    in its place: clocks differ."""
    clock, uptime = span_ms(clock_ms), span_ms(hello.snapshot.uptime_ms)
    return Reading(
        at=at,
        booted_at=instant(clock - uptime) if clock is not None and uptime is not None else None,
        uptime=timedelta(milliseconds=uptime) if uptime is not None else None,
        lock_created_at=lock_created_at,
    )


@dataclass(slots=True)
class Boots:
    """Remembers one gateway's present life from one sign-in to the next."""

    processes: int = 0
    """How many times another process surely answered than the one before. Boot times cannot tell it where the gateway's
    clock is set: set back, one process seems to have started earlier than it did."""
    _before: tuple[Moment, timedelta, datetime] | None = None
    _answered_at: Moment | None = None

    def note_answer(self, at: Moment) -> None:
        """It answered on the present connection: that much longer it has been up."""
        self._answered_at = at

    def booted_at(self, reading: Reading) -> datetime | None:
        """The latest start that all we know allows; None when this gateway does not say."""
        if reading.booted_at is None or reading.uptime is None:
            return None
        booted = reading.booted_at
        # guard: a start is no later than the gateway's lock file
        if reading.lock_created_at is not None and booted - reading.lock_created_at > NOISE:
            booted = reading.lock_created_at
        if self._before is not None and self._is_another(reading.uptime):
            self.processes += 1
        elif self._before is not None:  # guard: a start is no later than it was before
            said = self._before[2]
            booted = said if booted - said > NOISE else booted
        self._before, self._answered_at = (reading.at, reading.uptime, booted), None
        return booted

    def _is_another(self, uptime: timedelta) -> bool:
        """Surely another process: it has not been up for as long as we have already seen the one before."""
        assert self._before is not None
        at, reached, _ = self._before
        if self._answered_at is not None:
            reached += max(self._answered_at.since(at), timedelta(0))
        return uptime < reached - NOISE  # guard: an uptime that began anew is another start
