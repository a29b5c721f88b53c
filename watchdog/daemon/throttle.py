"""What is due after every pass, and need not be done for each of a thousand gateways that pass within one second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_REST = 20.0
"""Seconds: systemd's watchdog is pinged by what is done, and this process may only have stood still."""


@dataclass(slots=True)
class Throttle:
    """Calls ``do`` when wanted, at most once within ``every`` seconds, and for no more than a tenth of the time: it may ask a slow
    server. A want that comes too early is remembered, and kept when the time is over. ``close`` forgets it."""

    do: Callable[[], None]
    every: float = 1.0
    _done_at: float = field(default=float("-inf"), init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def wanted(self) -> None:
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        wait = self._done_at + self.every - loop.time()
        if wait > 0:
            self._timer = loop.call_later(wait, self._now)
        else:
            self._now()

    def _now(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer, began = None, loop.time()
        self._done_at = began
        self.do()
        self._done_at += min(9 * (loop.time() - began), MOST_REST)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
