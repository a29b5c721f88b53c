"""The clock of tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from watchdog.core.model import Moment

START = Moment(100_000.0, datetime(2026, 11, 20, 12, 0, tzinfo=UTC))
"""When stories begin."""


@dataclass
class ManualClock:
    """``ports.Clock`` that moves when told, and when somebody sleeps."""

    at: Moment = START
    may_sleep: bool = True
    """False: what is tested never waits, and fails when it does."""
    slept: list[float] = field(default_factory=list)
    """Seconds, in order."""

    def now(self) -> Moment:
        return self.at

    async def sleep(self, seconds: float) -> None:
        assert self.may_sleep, f"nobody waits here ({seconds} s)"
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, span: timedelta | float) -> Moment:
        """Let a span, or so many seconds, pass on both clocks."""
        self.at = self.at.plus(_span(span))
        return self.at

    def step(self, span: timedelta | float) -> None:
        """Somebody sets the wall clock; the monotonic one goes on."""
        self.at = Moment(self.at.monotonic, self.at.wall + _span(span))


def _span(span: timedelta | float) -> timedelta:
    return span if isinstance(span, timedelta) else timedelta(seconds=span)
