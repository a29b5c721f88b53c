"""May we believe what we see right now? Connections, boots, slow answers and clocks of one gateway.

Invariant: whenever this says "no", nothing is done (``BlockerName.GATEWAY_UNTRUSTED``). Limits: an in-process
restart before our first connection cannot be told from a long uptime (gateways before 2026.9 have no ``bootId``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import timedelta

from watchdog.core.model import GatewayFacts, Moment, Preflight
from watchdog.service import errors
from watchdog.service.ports import Disconnect

SLOW_ANSWER = timedelta(seconds=5)
"""A list that takes longer says that the gateway's event loop is blocked (#76953: 16 to 66 s on sick ones)."""
FAST_IN_A_ROW = 2  # guard: two fast answers in a row
"""How many answers in time it takes after a slow one until the gateway is believed again."""
CLOCK_GAP = timedelta(seconds=5)
"""Wall and monotonic clock apart by more than this since the last pass: suspended host, or a clock step."""
CLOCK_SKEW = timedelta(seconds=30)
"""A gateway's clock further from ours is wrong, or ours is: it was set since that process started, or will be."""
BOOT_TOLERANCE = timedelta(seconds=10)
"""Two readings of one boot differ by network and clock noise; two boots differ by more."""

REST_WHEN_SICK = timedelta(seconds=10)
"""A gateway that says it is too busy is not asked again, for any session, before this: signing in and looking again for
one deed after the other is what keeps an overloaded 2026.5.18 overloaded."""


@dataclass(slots=True)
class Trust:
    """What we know of one gateway's present life. ``stall_after``: a pass later than this is a stall, not our own pacing."""

    stall_after: timedelta
    connected_at: Moment | None = None
    boot_seen_at: Moment | None = None
    facts: GatewayFacts | None = None
    slow_streak: int = 0
    fast_streak: int = FAST_IN_A_ROW
    clock_stepped: bool = False
    """Its clock was set while we were connected, or differs from ours so that it was set before: a run that began before that
    looks older than its gateway (2026.3.24 on another machine: nothing else there tells a live one from an orphan)."""
    last_pass: Moment | None = None
    has_seen_restart: bool = False
    """A restart happened while we watched: its age is ours to count (in-process restarts keep the uptime)."""
    cut_at: Moment | None = None
    """When the gateway last restarted inside its process, as seen by the end of our connection: the runs it cut then
    look like runs their users stopped (3.24, 4.14). Its wall clock is the gateway's: rows are compared with it."""
    heeds_own_connection: bool = True
    """False where a person asks: how fresh our own connection is says nothing then."""
    recent_latencies: deque[timedelta] = field(default_factory=lambda: deque(maxlen=20))
    has_named_recovery: bool = False
    """It has named its own restart recovery among what is active, while we watched."""
    recovery_unnamed_since: Moment | None = None
    """The first look after that in which it did not; None: it goes on."""
    _sickness: tuple[str, Moment] | None = field(init=False, default=None)

    def begin_pass(self, now: Moment) -> str | None:
        """Note a pass; the reason to drop every span observed so far, or None."""
        last, self.last_pass = self.last_pass, now
        if last is None:
            return None
        monotonic, wall = now.since(last), now.wall - last.wall
        if abs(wall - monotonic) > CLOCK_GAP:  # guard: clocks apart start over
            return f"the clocks moved apart by {abs(wall - monotonic)}: suspended host, or the time was set"
        if monotonic > self.stall_after:  # guard: a stopped process starts over
            return f"{monotonic} passed since the last look: this process, or the whole machine, was stopped"
        return None

    def note_connection(self, facts: GatewayFacts, now: Moment, *, is_new: bool) -> str | None:
        """Note who answered; how this life of the gateway differs from the last one we knew, or None."""
        before, self.facts = self.facts, facts
        if not is_new:
            return None
        self.connected_at = now
        self.clock_stepped = abs(facts.clock_skew or timedelta(0)) > CLOCK_SKEW  # guard: a clock that differs from ours
        if before is None:
            self.boot_seen_at = now
            return None
        change = _boot_change(before, facts)
        if change is not None:
            self.boot_seen_at = now
            self.has_seen_restart = True
            # guard: the recovery of a life that is over
            self.has_named_recovery, self.recovery_unnamed_since = False, None
        return change

    def note_loss(self, loss: Disconnect | None, facts: GatewayFacts) -> bool:
        """The connection ended with ``loss`` and ``facts`` answered afterwards: was that an in-process restart?"""
        if loss is None or self.facts is None or not isinstance(loss.error, errors.GatewayDraining):
            return False
        if not _same_process(self.facts, facts):
            return False
        self.cut_at = replace(loss.at, wall=loss.at.wall + (facts.clock_skew or timedelta(0)))
        return True

    def note_answer(self, latency: timedelta, *, clock_stepped: bool) -> None:
        self.recent_latencies.append(latency)
        self.clock_stepped = self.clock_stepped or clock_stepped
        if latency > SLOW_ANSWER:  # guard: slow answers are not believed
            self.slow_streak, self.fast_streak = self.slow_streak + 1, 0
        else:
            self.slow_streak, self.fast_streak = 0, min(self.fast_streak + 1, FAST_IN_A_ROW)

    def note_silence(self) -> None:
        """A request was not answered at all."""
        self.slow_streak, self.fast_streak = self.slow_streak + 1, 0

    def note_preflight(self, preflight: Preflight | None) -> None:
        """What it said of its own restart recovery."""
        if preflight is None or preflight.is_recovering is None:
            return
        if preflight.is_recovering:
            self.has_named_recovery, self.recovery_unnamed_since = True, None
        elif self.recovery_unnamed_since is None:
            self.recovery_unnamed_since = preflight.asked_at

    def note_sickness(self, said: str, now: Moment) -> None:
        """What the gateway said of itself just before a deed."""
        self._sickness = (said, now)

    def sickness(self, now: Moment) -> str | None:
        """What it said so, if that was within ``REST_WHEN_SICK``."""
        return (
            self._sickness[0] if self._sickness is not None and now.since(self._sickness[1]) < REST_WHEN_SICK else None
        )

    def problem(self) -> str | None:
        """Why this gateway is not to be believed now."""
        if self.fast_streak < FAST_IN_A_ROW:
            return "The gateway answers slowly; its event loop may be blocked, so what it says is not acted on."
        return None

    def boot_age(self, now: Moment) -> timedelta | None:
        """How long ago the gateway (re)started, as far as we know. A clock that is set since we signed in changes
        nothing: set back, it would make every boot a recent one, or one yet to come."""
        if self.facts is None or self.boot_seen_at is None or self.connected_at is None:
            return None
        known = []
        if self.facts.booted_at is not None:
            at_sign_in = max(self.connected_at.wall - self.facts.booted_at, timedelta(0))
            known.append(at_sign_in + now.since(self.connected_at))
        if self.has_seen_restart:
            known.append(now.since(self.boot_seen_at))
        return min(known, default=None)

    def boot_seen_age(self, now: Moment) -> timedelta | None:
        return now.since(self.boot_seen_at) if self.boot_seen_at is not None else None

    def connected_for(self, now: Moment) -> timedelta | None:
        if self.connected_at is None or not self.heeds_own_connection:
            return None
        return now.since(self.connected_at)


def _boot_change(before: GatewayFacts, after: GatewayFacts) -> str | None:
    if before.boot_id is not None and after.boot_id is not None and before.boot_id != after.boot_id:
        return "in_process" if _same_process(before, after) else "process"
    if before.boot_id is None and _same_process(before, after) is False:
        return "process"
    return None


def _same_process(before: GatewayFacts, after: GatewayFacts) -> bool | None:
    """Did the same process answer both times? None when either did not say when it started."""
    if before.booted_at is None or after.booted_at is None:
        return None
    # No process starts before the one it follows: an earlier boot is the same one, on a clock that was set back.
    # guard: another process only by its uptime
    return after.process == before.process and after.booted_at - before.booted_at <= BOOT_TOLERANCE
