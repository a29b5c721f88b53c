"""What will happen next: an event heap on virtual milliseconds.

Time never ticks here. It jumps from one event to the next, so an hour in which nothing happens costs nothing. Events
are either *inside* the gateway process (a provider answers, a tool ends) or outside of it (a person writes, a fault
strikes). Inside events belong to one life of the process: a kill ends that life and with it all of them, and a frozen
process (SIGSTOP) does them late, when it is thawed, as a real one does.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

OUTSIDE = 0
"""The life an outside event belongs to: none, so it survives every restart."""


class Agenda:
    """Events in order of time; equal times keep the order in which they were entered (determinism)."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.life = 1
        """Which life of the gateway process it is. Inside events of an earlier life never happen."""
        self.is_frozen = False
        self.happened = 0
        """How many events took place: the cost of a simulation, and part of its fingerprint."""
        self._heap: list[tuple[int, int, int, Callable[..., object], tuple[object, ...]]] = []
        self._held: list[tuple[int, Callable[..., object], tuple[object, ...]]] = []
        self._entered = 0

    def after(self, seconds: float, do: Callable[..., object], *args: object) -> None:
        """Enter something the gateway process itself will do."""
        self._enter(self.now_ms + round(seconds * 1000), self.life, do, args)

    def outside(self, seconds: float, do: Callable[..., object], *args: object) -> None:
        """Enter something that happens to the gateway from outside, in whatever state it will be."""
        self._enter(self.now_ms + round(seconds * 1000), OUTSIDE, do, args)

    def _enter(self, when_ms: int, life: int, do: Callable[..., object], args: tuple[object, ...]) -> None:
        self._entered += 1
        heappush(self._heap, (when_ms, self._entered, life, do, args))

    def next_at(self) -> int | None:
        """When the next event is due; None when nothing will ever happen again by itself."""
        return self._heap[0][0] if self._heap else None

    def advance(self, to_ms: int) -> None:
        """Let everything happen that is due until ``to_ms``; afterwards it is ``to_ms``. Time never runs backwards."""
        heap = self._heap
        while heap and heap[0][0] <= to_ms:
            when, _, life, do, args = heappop(heap)
            self.now_ms = max(self.now_ms, when)
            if life not in (OUTSIDE, self.life):
                continue
            if life != OUTSIDE and self.is_frozen:
                self._held.append((life, do, args))
                continue
            self.happened += 1
            do(*args)
        self.now_ms = max(self.now_ms, to_ms)

    def end_life(self) -> None:
        """The process is gone: what it still meant to do will not happen."""
        self.life += 1
        self.is_frozen = False
        self._held.clear()

    def freeze(self) -> None:
        """SIGSTOP: nothing inside moves until :meth:`thaw`."""
        self.is_frozen = True

    def thaw(self) -> None:
        """SIGCONT: everything that fell due meanwhile happens now, in its order."""
        self.is_frozen = False
        held, self._held = self._held, []
        for life, do, args in held:
            self._enter(self.now_ms, life, do, args)
