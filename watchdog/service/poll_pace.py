"""How often a gateway is asked: as configured, and less often while it answers slowly.

A gateway that takes long for an answer is busy enough without us: then it is asked so rarely that our questions take
``SHARE`` of its time, but never more rarely than ``SLOWEST`` times the configured interval, and never so rarely that a
session could not be seen three times within the shortest ``stuck_after``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from watchdog.core.policy import PolicyBook
from watchdog.service.events import Event, Log
from watchdog.service.gateway_trust import Trust

SLOW = timedelta(seconds=0.5)
"""A gateway that answers sooner is never asked less often. 2026.9.6 takes 30 to 45 ms for a page of 10,000 sessions."""
SHARE = 0.02
"""Of the gateway's time, at most, while it is slow."""
SLOWEST = 2
"""At most this many times the configured interval: systemd and /healthz tolerate three."""
SOONEST = 0.2
"""Seconds between two passes at least, however much is due."""
BREATH = 5
"""When something is due before the next poll, a slow gateway is still left alone for so many times its answer took."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``interval``: until the next poll. ``soonest``: until a look that something is due for."""

    interval: timedelta
    soonest: timedelta
    is_slowed: bool
    answer: timedelta = timedelta(0)
    """What the gateway took for an answer, as far as it counts."""


@dataclass(slots=True)
class Pacer:
    """The pace of one gateway's passes."""

    gateway: str
    trust: Trust
    log: Log
    poll_every: timedelta
    pace: Pace = field(init=False)
    """How soon the next pass is wanted."""

    def __post_init__(self) -> None:
        self.pace = Pace(self.poll_every, timedelta(seconds=SOONEST), is_slowed=False)
        self.trust.stall_after = _stall_after(self.pace)

    def set(self, book: PolicyBook) -> None:
        """A gateway that answers slowly is asked less often, and a person can see it."""
        before, self.pace = self.pace, pace(self.poll_every, book, self.trust.recent_latencies)
        # A pass that comes late because we wanted it late is no gap.
        self.trust.stall_after = _stall_after(self.pace)
        if before.is_slowed is not self.pace.is_slowed:
            self.log.event(
                Event.GATEWAY_PACED,
                gateway=self.gateway,
                poll_every_seconds=round(self.pace.interval.total_seconds(), 1),
                answer_seconds=round(self.pace.answer.total_seconds(), 3),
                reason="it answers slowly and is asked less often"
                if self.pace.is_slowed
                else "it answers in time again",
            )


def _stall_after(pace: Pace) -> timedelta:
    """A pass later than this is a stall, not our own pacing."""
    return max(3 * pace.interval, timedelta(seconds=60))


def pace(poll_every: timedelta, book: PolicyBook, latencies: Iterable[timedelta]) -> Pace:
    """From the latest answers, newest last. One slow answer is none: the faster of the last two counts."""
    answer = min([*latencies][-2:], default=timedelta(0))
    if answer < SLOW:
        return Pace(poll_every, timedelta(seconds=SOONEST), is_slowed=False)
    interval = max(poll_every, min(answer / SHARE, slowest(poll_every, book)))
    soonest = max(timedelta(seconds=SOONEST), BREATH * answer)
    return Pace(interval, min(soonest, interval), interval > poll_every, answer)


def slowest(poll_every: timedelta, book: PolicyBook) -> timedelta:
    """The longest interval there will be between two polls of a gateway that answers."""
    shortest = min(policy.thresholds.stuck_after for policy in (*book.policies, book.default))
    return max(poll_every, min(SLOWEST * poll_every, shortest / 3))
