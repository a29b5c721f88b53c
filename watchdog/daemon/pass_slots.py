"""Many gateways in one process: they begin one after another, and only so many look at the same time.

A turn bounds how much is going on at once (answers in memory, connections being made), and never lets one gateway wait
for another that hangs: who takes longer than ``LONGEST_TURN`` goes on without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta

AT_ONCE = 16
LONGEST_TURN = 0.5
"""Seconds after which a pass no longer counts as going on."""
APART = 0.05
"""Seconds between the first passes of two gateways, on average; all of them begin within one interval."""


class PassSlots:
    """``async with turns.turn():`` around a pass."""

    def __init__(self, at_once: int = AT_ONCE, longest: float = LONGEST_TURN) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._longest = longest

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it until the end or for ``longest`` seconds."""
        await self._free.acquire()
        holding = [True]

        def give_back() -> None:
            if holding:
                holding.clear()
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._longest, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()


def first_after(name: str, among: int, every: timedelta) -> float:
    """Seconds until the first pass of this gateway: by its name, so that every start spreads them the same way."""
    spread = min(every.total_seconds(), APART * (among - 1))
    return spread * zlib.crc32(name.encode()) / 2**32
