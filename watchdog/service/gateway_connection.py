"""One gateway, signed in to and listed: whether it is there, since when, and what it lets us do.

Order within a pass: ``connect``, then ``list``; ``failed`` when either raised. What ended or restarted meanwhile is told to
``Trust`` and ``Outages`` here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from watchdog.core.model import GatewayFacts, GatewayPhase, Moment, Snapshot
from watchdog.core.policy import Step
from watchdog.service import errors
from watchdog.service.events import Event, Log
from watchdog.service.gateway_trust import Trust
from watchdog.service.outages import Outages, phase_of
from watchdog.service.pass_report import PassReport
from watchdog.service.ports import Clock, Disconnect, Gateway


@dataclass(slots=True)
class GatewayConnection:
    """``configured``: every step that some policy may ask for on this gateway."""

    gateway: Gateway
    trust: Trust
    outages: Outages
    clock: Clock
    log: Log
    configured: frozenset[Step]
    full_sweep_every: timedelta
    """How long at most rows that seem to be at rest are believed without reading them again."""
    not_granted: Mapping[Step, str] = field(init=False, default_factory=dict)
    """The configured steps that the gateway does not let us do, and why; as of the last pass."""
    _swept_at: Moment | None = field(init=False, default=None)
    """When the list was last read whole, on this connection and without a gap since."""
    _lost: Disconnect | None = field(init=False, default=None)
    _was_connected: bool = field(init=False, default=False)
    _is_new: bool = field(init=False, default=False)
    """Signed in, and to be said so once the list is answered: who lets us in and answers nothing is not connected."""
    _may_want_more: bool = field(init=False, default=False)
    """Nobody has said yet what is not granted of what is configured."""
    _untried: str | None = field(init=False, default=None)
    """What was last said of a version that nobody has tried."""

    def want(self, configured: frozenset[Step], *, is_observing: bool) -> None:
        """Other steps are configured from now on."""
        self.configured = configured
        self.gateway.want(frozenset() if is_observing else configured)
        self._may_want_more = not is_observing

    def start_over(self) -> None:
        """What was listed so far is not to be relied on: the next list is whole, and no verdict before two good answers."""
        self.trust.note_silence()
        self._swept_at = None  # guard: sweep after a gap

    async def compare_clocks_again(self) -> None:
        """After a gap. They are compared at the sign-in, and the clock that was wrong then may have been ours."""
        if self.trust.clock_stepped:
            await self.gateway.close()
            self._was_connected = False

    async def connect(self, now: Moment) -> GatewayFacts:
        """Sign in where we are not. Raises ``GatewayError`` leaves."""
        before = self.trust.facts if self._was_connected else None
        lost = self.gateway.pop_disconnect()
        was_given_up = lost is not None and isinstance(lost.error, errors.AnswerUnreadable)
        if lost is not None:
            # Given up for an answer that cannot be read, the gateway was not away: the look that it harmed says so.
            if (
                self._was_connected
                # guard: wire: no outage begins with an unreadable answer
                and not was_given_up
            ):
                # It may be back before we look: a connection that ended is told even when the next one succeeds at once.
                self.outages.note_failure(lost.error, now, was_connected=True)
                self._was_connected = False
            self._lost = lost
        facts = await self.gateway.connect()
        is_other_link = facts is not self.trust.facts
        was_cut = self.trust.note_loss(self._lost, facts)
        self._lost = None
        is_new = facts is not before
        change = self.trust.note_connection(facts, self.clock.now(), is_new=is_new)
        if is_new:
            if change is not None or was_cut:
                self.outages.note_restart(now)
            self._is_new, self._was_connected = not was_given_up, was_given_up
            self._swept_at = None  # guard: sweep on every new connection
            if change is not None:
                self.log.event(
                    Event.GATEWAY_RESTARTED,
                    gateway=self.gateway.name,
                    reason=change,
                    version=facts.version,
                    booted_at=facts.booted_at.isoformat(timespec="seconds") if facts.booted_at is not None else None,
                )
            self.outages.note_stopped_channels(facts, now)
        if is_new or self.not_granted or self._may_want_more:
            self._note_what_is_granted(is_new=is_new and is_other_link)
        return facts

    async def list(self, now: Moment, always_read: Collection[str]) -> Snapshot:
        """What can have changed; everything after a start, a gap, a loss, an incomplete list, and every
        ``full_sweep_every``. ``always_read``: keys of rows that are read either way."""
        is_due = (
            self._swept_at is None
            # guard: sweep every so often
            or now.since(self._swept_at) >= self.full_sweep_every
        )
        snapshot = await self.gateway.list_sessions(always_read, sweep=is_due)
        if snapshot.is_sweep:
            self._swept_at = snapshot.answered_at if snapshot.is_complete else None
        if self._is_new:
            self._is_new, self._was_connected = False, True
            self._say_connected(now)
        return snapshot

    def _say_connected(self, now: Moment) -> None:
        facts = self.trust.facts
        fields: dict[str, object] = {}
        if (away_since := self.outages.away_since) is not None:
            fields["away_seconds"] = round(now.since(away_since).total_seconds(), 1)
        if facts is not None and facts.booted_at is not None:
            fields["uptime_seconds"] = round((self.clock.now().wall - facts.booted_at).total_seconds())
        if facts is not None and facts.untried != self._untried:
            self._untried = facts.untried
            fields |= {"reason": facts.untried} if facts.untried is not None else {}
        version = facts.version if facts is not None else None
        self.log.event(Event.GATEWAY_CONNECTED, gateway=self.gateway.name, version=version, **fields)

    def failed(self, problem: errors.GatewayError, now: Moment, *, was_answered: bool) -> PassReport:
        """The report of a pass that ended with ``problem``. ``was_answered``: after the list had been read."""
        phase = phase_of(problem)
        if phase is GatewayPhase.UNKNOWN:
            # Ours: no outage begins, and who was connected still is. The daemon says it, once for all gateways.
            return PassReport(self.gateway.name, now, phase, str(problem), error=problem, was_answered=was_answered)
        if phase is GatewayPhase.UNRESPONSIVE:
            self.trust.note_silence()
        was_connected, self._was_connected = self._was_connected, False
        self.outages.note_failure(problem, now, was_connected=was_connected)
        return PassReport(
            self.gateway.name,
            now,
            phase,
            str(problem),
            error=problem,
            was_answered=was_answered,
            last_disconnect=self._lost,
        )

    def _note_what_is_granted(self, *, is_new: bool) -> None:
        """Said when connected and when it changes, and not when the first deed is held for it at three in the morning."""
        before, name = self.not_granted, self.gateway.name
        self._may_want_more = False
        missing = {step: self.gateway.missing_scope(step) for step in sorted(self.configured)}
        self.not_granted = {step: reason for step, reason in missing.items() if reason is not None}
        for step, reason in self.not_granted.items():
            if is_new or before.get(step) != reason:
                self.log.event(Event.GATEWAY_UNHEALTHY, gateway=name, reason=reason, step=step.value)
        for step in before:
            if step in missing and step not in self.not_granted:
                self.log.event(
                    Event.GATEWAY_CONNECTED, gateway=name, reason=f"`{step}` is granted now", step=step.value
                )
