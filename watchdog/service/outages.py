"""The gateway's own outages and restarts: logged as they happen, told when one lasts or when they follow one another.

An outage is told once, and its end once if it was told. Every single restart is short and looks ordinary (2 to 20 s), so
many that follow one another are told as a storm: together they mean that nothing gets done there (#74864: each start
resumes the work that kills it). Only told: each start has its grace, in which nothing is touched, so a gateway that is
never up for long is left alone anyway.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from watchdog.core.model import GatewayFacts, GatewayPhase, Moment
from watchdog.core.spans import span_words
from watchdog.service import announcements, errors
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Ledger, Message
from watchdog.service.pass_report import PassReport

DOWN_TOLD_AFTER = timedelta(minutes=2)
"""How long a gateway may be away before a person is told; ordinary restarts take 2 to 20 s."""
SUSPENDED_TOLD_AFTER = timedelta(hours=1)
"""How long one may be suspended: somebody did that on purpose, and knows; after an hour it may be forgotten."""
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


@dataclass(slots=True)
class _Outage:
    since: Moment
    phase: GatewayPhase
    is_told: bool = False
    owes_return: bool = False
    """A suspension was told, and it has turned into this: its end is told, too."""

    def is_due(self, now: Moment) -> bool:
        """A person is to be told of it now."""
        is_suspended = self.phase is GatewayPhase.SUSPENDED
        patience = SUSPENDED_TOLD_AFTER if is_suspended else DOWN_TOLD_AFTER
        return not self.is_told and now.since(self.since) >= patience


@dataclass(slots=True)
class Outages:
    """Those of one gateway while we watched."""

    gateway: str
    ledger: Ledger
    log: Log
    _storms: Storms = field(init=False)
    _outage: _Outage | None = field(init=False, default=None)
    _has_answered: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._storms = Storms(self.gateway, self.log)

    @property
    def away_since(self) -> Moment | None:
        """When the present outage was first seen; None while there is none."""
        return self._outage.since if self._outage is not None else None

    def note_failure(self, problem: errors.GatewayError, now: Moment, *, was_connected: bool) -> None:
        """The gateway could not be looked at; logged when that is new, or of another phase than before."""
        phase = phase_of(problem)
        if self._outage is not None and self._outage.phase is phase:
            return
        before = self._outage
        if before is None or before.phase is GatewayPhase.SUSPENDED:
            # What comes after a suspension has not lasted since that began, and is nobody's intention.
            self._outage = _Outage(now, phase, owes_return=before is not None and before.is_told)
        else:
            before.phase = phase
        self.log.event(
            Event.GATEWAY_DISCONNECTED if was_connected else Event.GATEWAY_UNHEALTHY,
            gateway=self.gateway,
            phase=phase.value,
            reason=str(problem),
        )

    def note_restart(self, now: Moment) -> None:
        """Every restart is logged; many in a row are told, once, until it has been quiet for as long again."""
        self._owe(self._storms.note_restart(now, open_incidents=self._open_incidents()), now)

    def note_stopped_channels(self, facts: GatewayFacts, now: Moment) -> None:
        """It answers, and runs some chat apps no more: told once in each of its lives, and nothing is done."""
        if not facts.stopped_channels:
            return
        life = facts.boot_id or (f"{facts.booted_at:%Y-%m-%dT%H:%M}" if facts.booted_at is not None else "?")
        message = announcements.channels_stopped(self.gateway, facts.stopped_channels, life=life)
        if self.ledger.owe([message], now.wall):
            reason = f"it does not run {', '.join(facts.stopped_channels)} after several crashes"
            self.log.event(Event.GATEWAY_UNHEALTHY, gateway=self.gateway, reason=reason)

    def tell(self, report: PassReport, *, is_ledger_writable: bool = True) -> None:
        """Owe what a person is to hear after this pass: that the gateway is away, is back, has settled."""
        now = report.at
        if report.is_good:
            self._owe(self._storms.note_quiet(now), now)
            # guard: message: the spare ledger does not know what was told before
            if is_ledger_writable:
                self._end_what_was_told_before(now)
        outage = self._outage
        if outage is None or report.phase is GatewayPhase.UNKNOWN:
            return
        if report.is_good:
            if outage.is_told or outage.owes_return:
                up = announcements.gateway_up(
                    self.gateway, since=outage.since.wall, now=now.wall, open_incidents=self._open_incidents()
                )
                self._owe(up, now)
            self._outage = None
        elif outage.is_due(now):
            is_ours = isinstance(report.error, errors.PassFailed)
            down = announcements.gateway_down(
                self.gateway,
                GatewayPhase.UNKNOWN if is_ours else outage.phase,
                since=outage.since.wall,
                now=now.wall,
                problem=report.problem or "",
                open_incidents=self._open_incidents(),
            )
            self._owe(down, now)
            outage.is_told = True

    def _end_what_was_told_before(self, now: Moment) -> None:
        """By an earlier life of the daemon, or by the replica that watched it then."""
        if self._has_answered:
            return
        is_told_here = self._outage is not None and (self._outage.is_told or self._outage.owes_return)
        # guard: message: who was told that a gateway is away is told that it is back, whoever watches it then
        since = None if is_told_here else self.ledger.told_away(self.gateway)
        if since is not None:
            open_incidents = self._open_incidents()
            up = announcements.gateway_up(
                self.gateway, since=since, now=now.wall, open_incidents=open_incidents, is_seen=False
            )
            self._owe(up, now)
        self._has_answered = True

    def _open_incidents(self) -> int:
        return len(self.ledger.open_incidents(self.gateway))

    def _owe(self, message: Message | None, now: Moment) -> None:
        if message is not None:
            self.ledger.owe([message], now.wall)


def phase_of(problem: errors.GatewayError) -> GatewayPhase:
    """Which state of the gateway an error speaks of."""
    phases: Mapping[type[errors.GatewayError], GatewayPhase] = {
        errors.GatewayStarting: GatewayPhase.STARTING,
        errors.GatewayDraining: GatewayPhase.DRAINING,
        errors.GatewaySuspended: GatewayPhase.SUSPENDED,
        errors.GatewayUnresponsive: GatewayPhase.UNRESPONSIVE,
        errors.OutcomeUnknown: GatewayPhase.UNRESPONSIVE,
        errors.GatewayUnreachable: GatewayPhase.DOWN,
        errors.GatewayClosed: GatewayPhase.DOWN,
        errors.ListRefused: GatewayPhase.UNUSABLE,
        errors.OutOfDescriptors: GatewayPhase.UNKNOWN,
    }
    # guard: wire: an unreadable answer counts towards no restart
    return phases.get(type(problem), GatewayPhase.REFUSED)
