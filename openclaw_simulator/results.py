"""How runs ended: what ``agent.wait``, repeated idempotency keys and the second answer of ``agent`` tell."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from openclaw_simulator.sessions import Origin

KEPT = 5_000
"""Results remembered; older ones are forgotten as a real gateway's dedupe map does."""


@dataclass(slots=True)
class RunResult:
    """The end of one run."""

    run_id: str
    key: str
    session_id: str
    status: str
    """``done``, ``failed``, ``timeout`` or ``stopped``."""
    ended_ms: int
    started_ms: int | None
    text: str
    error: str | None
    origin: Origin
    is_delivered: bool | None = None
    """The answer reached a person in their chat app; None: it was not meant to."""
    delivery_error: str | None = None
    """The chat app's words, where it refused the answer."""
    was_attempted: bool = False
    """The chat app was asked to deliver it."""
    is_delivery_demanded: bool = False
    """``bestEffortDeliver: false``."""

    @property
    def has_failed_delivery(self) -> bool:
        """The answer was demanded to reach somebody, and did not."""
        return self.is_delivery_demanded and self.is_delivered is False


class Results:
    """Ended runs by id, and those who wait for one."""

    def __init__(self) -> None:
        self._ended: OrderedDict[str, RunResult] = OrderedDict()
        self._waiting: dict[str, list[Callable[[RunResult], None]]] = {}
        self._aliases: dict[str, list[str]] = {}

    def get(self, run_id: str) -> RunResult | None:
        return self._ended.get(run_id)

    def alias(self, run_id: str, of: str) -> None:
        """``run_id`` was taken in by the run ``of``: it ends when, and as, that one does."""
        self._aliases.setdefault(of, []).append(run_id)

    def put(self, result: RunResult) -> None:
        for run_id in (result.run_id, *self._aliases.pop(result.run_id, ())):
            self._ended[run_id] = result
            for tell in self._waiting.pop(run_id, ()):
                tell(result)
        while len(self._ended) > KEPT:
            self._ended.popitem(last=False)

    def when_ended(self, run_id: str, tell: Callable[[RunResult], None]) -> None:
        """Call ``tell`` once, when the run ends (at once if it has)."""
        result = self._ended.get(run_id)
        if result is not None:
            tell(result)
        else:
            self._waiting.setdefault(run_id, []).append(tell)

    def forget(self) -> None:
        """A new process remembers nothing."""
        self._ended.clear()
        self._waiting.clear()
        self._aliases.clear()
