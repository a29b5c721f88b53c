"""The fleet breaker: many sessions of one gateway turning stuck together without a proof hold every unproven deed.

It opens and closes with what each pass judges; both are logged and told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from watchdog.core.model import Moment, Status
from watchdog.core.policy import Recovery
from watchdog.core.verdict import Verdict
from watchdog.service import announcements
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Ledger
from watchdog.service.observer import Judged


@dataclass(slots=True)
class FleetBreaker:
    """All sessions of one gateway, and whether the breaker over them is open."""

    gateway: str
    ledger: Ledger
    log: Log
    _opened: tuple[Moment, int] | None = field(init=False, default=None)
    """Since when the breaker is open, and how many sessions opened it."""

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    def note(self, judged: Sequence[Judged], recovery: Recovery, now: Moment) -> None:
        """Open or close the breaker by what this pass judged. ``recovery``: the default policy's, for its numbers."""
        is_suspicious = fleet_is_suspicious(judged, recovery)
        if is_suspicious and self._opened is None:
            stuck = len(_unproven(judged))
            running = sum(item.session.status is Status.RUNNING for item in judged)
            self._opened = (now, stuck)
            self.log.event(
                Event.FLEET_BREAKER_OPENED,
                gateway=self.gateway,
                sessions=stuck,
                running=running,
                reason="many sessions turned stuck together without a proof of their own",
            )
            message = announcements.fleet_breaker_opened(self.gateway, at=now.wall, sessions=stuck, running=running)
            self.ledger.owe([message], now.wall)
        elif not is_suspicious and self._opened is not None:
            opened, count = self._opened
            self._opened = None
            self.log.event(Event.FLEET_BREAKER_CLOSED, gateway=self.gateway, sessions=count)
            left = sum(item.judgement.verdict is Verdict.STUCK for item in judged)
            message = announcements.fleet_breaker_closed(
                self.gateway, opened_at=opened.wall, now=now.wall, sessions=left
            )
            self.ledger.owe([message], now.wall)


def fleet_is_suspicious(judged: Sequence[Judged], recovery: Recovery) -> bool:
    """Many turning stuck together, none with a proof of its own: that is the gateway's fault, not the sessions'."""
    running = [item for item in judged if item.judgement.verdict not in (Verdict.HEALTHY,) or item.judgement.evidence]
    unproven = len(_unproven(judged))
    breaker = recovery.fleet_breaker
    return unproven >= breaker.sessions and unproven >= breaker.share * max(1, len(running))


def _unproven(judged: Sequence[Judged]) -> list[Judged]:
    return [
        item
        for item in judged
        if item.judgement.verdict is Verdict.STUCK
        # guard: proven ones pass the breaker
        and not item.judgement.is_proven
    ]
