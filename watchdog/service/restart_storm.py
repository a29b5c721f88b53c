"""A gateway that restarts again and again: noticed, and told once for the whole storm.

Every single restart is short and looks ordinary (2 to 20 s), so no outage is ever told; together they mean that nothing
gets done there (#74864: each start resumes the work that kills it). Only told: each start has its grace, in which
nothing is touched, so a gateway that is never up for long is left alone anyway.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta

from watchdog.core.model import Moment
from watchdog.core.spans import span_words
from watchdog.service import announcements
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Message

STORM_RESTARTS = 3
"""So many restarts within ``STORM_WINDOW`` are a storm; somebody who changes a setting restarts once or twice."""
STORM_WINDOW = timedelta(minutes=30)
"""Also how long it must have been quiet until the storm is over."""


@dataclass(slots=True)
class Storms:
    """The restarts of one gateway while we watched. Ages are on our monotonic clock: a sleeping host restarts nothing."""

    gateway: str
    log: Log
    _recent: deque[Moment] = field(default_factory=deque)
    _began_at: Moment | None = None
    """When the present storm began, or None."""
    _restarts: int = 0
    """In the present storm."""

    @property
    def is_on(self) -> bool:
        return self._began_at is not None

    def note_restart(self, now: Moment, *, open_incidents: int) -> Message | None:
        """It restarted; the message owed when that makes a storm of it."""
        self._recent.append(now)
        self._forget(now)
        self._restarts += 1
        if self.is_on or len(self._recent) < STORM_RESTARTS:
            return None
        self._began_at, self._restarts = self._recent[0], len(self._recent)
        self.log.event(
            Event.GATEWAY_UNHEALTHY,
            gateway=self.gateway,
            reason=f"keeps restarting: {self._restarts} times in {span_words(now.since(self._began_at))}",
        )
        return announcements.gateway_keeps_restarting(
            self.gateway,
            since=self._began_at.wall,
            now=now.wall,
            restarts=self._restarts,
            open_incidents=open_incidents,
        )

    def note_quiet(self, now: Moment) -> Message | None:
        """It answers; the message owed when that ends a storm."""
        self._forget(now)
        if self._began_at is None or self._recent:
            return None
        began_at, self._began_at = self._began_at, None
        return announcements.gateway_settled(
            self.gateway, since=began_at.wall, now=now.wall, restarts=self._restarts, quiet_for=STORM_WINDOW
        )

    def _forget(self, now: Moment) -> None:
        while self._recent and now.since(self._recent[0]) >= STORM_WINDOW:
            self._recent.popleft()
