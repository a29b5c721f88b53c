"""What one pass over a gateway saw and did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from watchdog.core.model import GatewayFacts, GatewayPhase, Moment
from watchdog.core.verdict import Verdict
from watchdog.service import errors
from watchdog.service.observer import Judged
from watchdog.service.plan import Decision
from watchdog.service.ports import Disconnect


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass saw and did. Feeds the log line, the metrics and the status."""

    gateway: str
    at: Moment
    phase: GatewayPhase
    problem: str | None = None
    facts: GatewayFacts | None = None
    judged: tuple[Judged, ...] = ()
    decisions: tuple[Decision, ...] = ()
    foreseen: tuple[Decision, ...] = ()
    """What would be decided on each suspect (``plan.foreseen``)."""
    malformed: int = 0
    is_complete: bool = True
    latency: timedelta = timedelta(0)
    size_bytes: int = 0
    deeds: int = 0
    in_flight: int = 0
    next_due: Moment | None = None
    """When a verdict or a hold could change if nothing moves; look again then."""
    error: errors.GatewayError | None = None
    """What ended the pass, when ``phase`` is not CONNECTED."""
    was_answered: bool = False
    """The list was answered before that: the gateway lives, and what failed is about one session."""
    poll_every: timedelta | None = None
    """How long until the next poll when nothing is due before: longer than configured while the gateway is slow."""
    last_disconnect: Disconnect | None = None
    """How the last connection ended, as long as there is no new one."""

    @property
    def is_good(self) -> bool:
        return self.phase is GatewayPhase.CONNECTED

    def verdicts(self) -> dict[str, int]:
        counts = Counter([item.judgement.verdict for item in self.judged])
        return {verdict.value: counts[verdict] for verdict in Verdict}
