"""An event loop whose time is not ours: nobody waits, everything happens at the moment it was planned for."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Nothing to wait for but time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for somebody"
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time`` moves when everybody sleeps. No sockets, no threads."""

    def __init__(self) -> None:
        self._own = _Selector()
        super().__init__(self._own)

    def time(self) -> float:
        return self._own.now

    def advance(self, seconds: float) -> None:
        """Somebody keeps it waiting for so long."""
        self._own.now += seconds

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        try:
            return self.run_until_complete(what)
        finally:
            self.close()
