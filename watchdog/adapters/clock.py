"""The system's clocks: the one place that asks the machine what time it is.

Limit first: ``monotonic`` is ``time.monotonic()``, which is CLOCK_MONOTONIC on Linux and the mach absolute time on macOS.
Both stand still while the host sleeps and never step. So a laptop asleep ages nothing, and ``wall`` running ahead of
``monotonic`` between two moments is how a suspend (or a clock step) shows. CLOCK_BOOTTIME is left alone on purpose: it
would count the sleep as time in which a session made no progress.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from watchdog.core.model import Moment


class SystemClock:
    """``ports.Clock`` over the real clocks."""

    def now(self) -> Moment:
        """Both clocks, read one right after the other."""
        return Moment(
            monotonic=time.monotonic(),  # noqa: TID251 - this is the Clock the rule sends everybody else to
            wall=datetime.now(UTC),  # noqa: TID251 - this is the Clock the rule sends everybody else to
        )

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop's clock, which is the same monotonic one; a suspended host makes this longer."""
        await asyncio.sleep(seconds)
