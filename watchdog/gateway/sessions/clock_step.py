"""Whether the gateway's clock was set between two of its answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from watchdog.core.model import Moment

CLOCK_STEP = timedelta(seconds=5)
"""The gateway's clock and ours moved apart by more: it was set, and its times before and after cannot be compared."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The gateway's clock, in milliseconds since 1970, as it was received at a moment of ours."""

    clock_ms: float
    at: Moment

    def has_stepped_by(self, later: ClockReading) -> bool:
        """It was set between this reading and ``later``."""
        expected = self.clock_ms + later.at.since(self.at).total_seconds() * 1000
        return abs(later.clock_ms - expected) > CLOCK_STEP.total_seconds() * 1000
