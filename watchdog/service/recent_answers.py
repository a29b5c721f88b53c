"""What one of several replicas read of the ledger a moment ago, so that all its gateways need not wait for the database again.

Each pass asks the same few questions. To a server 200 ms away those of a hundred gateways took ten times as long as there is
between two passes, and the leases ended meanwhile. Invariants: what this process itself has written is seen by the next question;
nothing that cannot be taken back is decided on what was read before (``Ledger.read_anew``). So these answers serve passes that find
nothing to do. On the monotonic clock: after a machine has slept they may be hours old, and serve such a pass once more. Used on the
daemon's loop alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from watchdog.service.ports import Clock

Answer = TypeVar("Answer")

AT_LEAST = 1.0
"""Seconds that an answer lasts from a near server."""
AT_MOST = 30.0
"""From the slowest: the time between two passes, by default."""
TIMES_ITS_COST = 20.0
"""In between, so that no question takes more than a twentieth of the time."""


@dataclass(slots=True)
class RecentAnswers:
    """Of one process, whatever shards its gateways are in."""

    clock: Clock
    at_least: float = AT_LEAST
    """Other than that only in simulations."""
    _known: dict[Hashable, tuple[Any, float]] = field(default_factory=dict)
    """Each with its end, on the monotonic clock."""

    def answer(self, question: Hashable, ask: Callable[[], Answer]) -> Answer:
        """As it was found last, while that lasts; else what ``ask`` returns. What it raises is not kept."""
        began = self.clock.now().monotonic
        known = self._known.get(question)
        if known is not None and began < known[1]:
            found: Answer = known[0]
            return found
        self._known.pop(question, None)
        found = ask()
        ended = self.clock.now().monotonic
        lasts = min(max(self.at_least, TIMES_ITS_COST * (ended - began)), AT_MOST)
        self._known[question] = (found, ended + lasts)
        return found

    def forget(self, *questions: Hashable) -> None:
        """These are asked anew; none named: all."""
        for question in questions or [*self._known]:
            self._known.pop(question, None)
