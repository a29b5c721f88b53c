"""Requests that a poll can do without: one that was left unanswered is not made again for a while.

A gateway may hang in one request and serve all others; a poll that makes it every time would fail every time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from watchdog.core.model import Moment
from watchdog.service import errors
from watchdog.service.ports import Clock

AGAIN = timedelta(hours=1)
"""After which it is made again."""
T = TypeVar("T")


class Unanswered:
    """What one gateway did not answer, for as long as it is watched: a connection is given up for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, Moment] = {}

    async def ask(self, method: str, request: Callable[[], Awaitable[T]]) -> T | None:
        """The answer; None: not asked. Raises what ``request`` raises."""
        since = self._since.get(method)
        if since is not None and self._clock.now().since(since) < AGAIN:
            return None
        try:
            return await request()
        except errors.GatewayUnresponsive:
            self._since[method] = self._clock.now()
            raise
