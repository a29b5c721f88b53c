"""May the gateway itself be restarted now? Facts in, a decision out: no clock, no ledger, no process is touched here.

Invariants: without a rule of the operator's nothing is ever restarted; only what was seen of the gateway itself counts,
never what a session does; a gateway that says anything (starting, draining, suspended, refusals, an answered list) is not restarted;
who cannot be sure that the gateway was not stopped on purpose leaves it alone; ``limit`` holds in any window of its length
and for any one outage, whoever restarted this program in between.

Limits: over a network, a gateway that hangs and packets that are dropped look the same. With a command of the operator's
nobody can be asked whether the gateway was stopped on purpose; then only its goodbye, heard while connected, tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchdog.core.model import GatewayPhase, Moment
from watchdog.core.policy import Budget
from watchdog.core.spans import span_words
from watchdog.service import errors
from watchdog.service.gateway_trust import CLOCK_GAP
from watchdog.service.pass_report import PassReport
from watchdog.service.restart_record import Restart

BACKOFF = (timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2))
"""Least time from the n-th restart within the window to the next (the last one repeats). Restarting every 15 to 30 min
made the fault come back each time; waiting longer ended it (#71127)."""
HELPS_WITHIN = timedelta(minutes=5)
"""How long a restarted gateway may take to answer; starts of 3 to 4 min were seen (#74281)."""
_BROKE_OFF = (None, 1006)
"""Close codes of a connection that ended without a word."""
_GOODBYES = (GatewayPhase.DRAINING, GatewayPhase.SUSPENDED)
"""Who goes away after saying so was stopped on purpose: a suspension comes before its host stops it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the operator allows. ``how``: the supervisor in words, ``the systemd user unit openclaw-gateway.service``."""

    gateway: str
    after_failures: int
    min_down: timedelta
    limit: Budget
    how: str


# ---------------------------------------------------------------- what was seen


class GatewayCondition(StrEnum):
    """What one pass says of the gateway as a whole."""

    ANSWERS = "answers"
    """It answered the list; whatever failed afterwards is about one session."""
    SPEAKS = "speaks"
    """Not usable, and alive: starting, draining, suspended, not letting us in, or refusing its list."""
    SICK = "sick"
    """Nothing listens, it broke off without a word, or it does not answer in time."""
    UNCLEAR = "unclear"
    """Not reached, and perhaps for a reason of ours: no url, no route, no file handles."""


def condition_of(report: PassReport) -> GatewayCondition:
    if report.is_good or report.was_answered:
        return GatewayCondition.ANSWERS
    match report.phase:
        case GatewayPhase.UNRESPONSIVE:
            return GatewayCondition.SICK
        case GatewayPhase.DOWN:
            error = report.error
            is_proven = (isinstance(error, errors.GatewayUnreachable) and error.was_refused) or (
                isinstance(error, errors.GatewayClosed) and error.code in _BROKE_OFF
            )
            return GatewayCondition.SICK if is_proven else GatewayCondition.UNCLEAR
        case GatewayPhase.UNKNOWN:
            return GatewayCondition.UNCLEAR
        case _:
            return GatewayCondition.SPEAKS


@dataclass(frozen=True, slots=True)
class Outage:
    """The stretch without a good pass that is going on. ``failures`` and ``sick_since`` count from the last sign of life."""

    since: Moment
    last: Moment
    sight: GatewayCondition
    phase: GatewayPhase
    failures: int = 0
    sick_since: Moment | None = None
    goodbye_at: datetime | None = None
    """When the gateway last said that it stops, restarts or is suspended."""


def observe(before: Outage | None, report: PassReport, stall_after: timedelta) -> Outage | None:
    """The outage after one more pass; None when there is none. Time in which we did not look proves nothing."""
    sight, now = condition_of(report), report.at
    if sight is GatewayCondition.ANSWERS:
        return None
    outage = before or Outage(now, now, sight, report.phase)
    slept = now.since(outage.last)
    if (
        slept > stall_after
        or abs((now.wall - outage.last.wall) - slept) > CLOCK_GAP
        or sight is GatewayCondition.SPEAKS
    ):
        outage = replace(outage, failures=0, sick_since=None)
    if sight is GatewayCondition.SICK:
        outage = replace(outage, failures=outage.failures + 1, sick_since=outage.sick_since or now)
    goodbye = now.wall if report.phase in _GOODBYES else outage.goodbye_at
    if report.last_disconnect is not None and isinstance(report.last_disconnect.error, errors.GatewayDraining):
        goodbye = max(goodbye or report.last_disconnect.at.wall, report.last_disconnect.at.wall)
    return replace(outage, last=now, sight=sight, phase=report.phase, goodbye_at=goodbye)


# ---------------------------------------------------------------- what the supervisor says, what was done before


class Unit(StrEnum):
    """How the gateway's service is, as its supervisor sees it."""

    RUNNING = "running"
    FAILED = "failed"
    BUSY = "busy"
    """Being started, stopped or restarted by the supervisor itself."""
    STOPPED = "stopped"
    """Stopped, disabled or masked by somebody."""
    ABSENT = "absent"
    """The supervisor knows no such service, or cannot be asked."""
    UNKNOWN = "unknown"
    """Nobody to ask: a command of the operator's."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """One answer of the supervisor. ``age``: how long its process has been there, where that is known."""

    unit: Unit
    words: str
    age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RestartContext:
    """Everything else that bears on it. ``restarts``: of the window and of this outage, oldest first; ``own``: when this
    process restarted it, on the clock that nobody sets."""

    now: Moment
    restarts: Sequence[Restart] = ()
    own: Sequence[Moment] = ()
    is_observing: bool = False
    paused: str | None = None
    outside_hours: str | None = None
    """Why nothing is done at this hour (``deeds_between``), or None."""
    ledger_problem: str | None = None
    process_age: timedelta | None = None
    """How old the gateway's process is by its own lock file; None: not known, or none lives."""
    was_reached: bool = True
    """It answered at this address at least once since this program started."""


# ---------------------------------------------------------------- the decision


class HoldName(StrEnum):
    NOT_SICK = "not_sick"
    TOO_FEW_LOOKS = "too_few_looks"
    TOO_SOON = "too_soon"
    OBSERVE_MODE = "observe_mode"
    PAUSED = "paused"
    DEEDS_WINDOW = "deeds_window"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    AWAITING_OUTCOME = "awaiting_outcome"
    USED_UP = "used_up"
    BACKOFF = "backoff"
    YOUNG_PROCESS = "young_process"
    SUPERVISOR_AT_WORK = "supervisor_at_work"
    STOPPED_ON_PURPOSE = "stopped_on_purpose"
    SAID_GOODBYE = "said_goodbye"
    NO_SUPERVISOR = "no_supervisor"
    NEVER_REACHED = "never_reached"


FINAL = frozenset({HoldName.USED_UP, HoldName.SAID_GOODBYE, HoldName.NO_SUPERVISOR, HoldName.NEVER_REACHED})
"""Holds that no waiting ends: a person is told, once."""
NOT_YET = frozenset({HoldName.NOT_SICK, HoldName.TOO_FEW_LOOKS, HoldName.TOO_SOON})
"""Holds that are not worth a line: no restart is due."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One reason not to restart it now, in one sentence."""

    name: HoldName
    message: str


class RestartChoice(StrEnum):
    HOLD = "hold"
    LOOK = "look"
    """Nothing is against it; the supervisor must be asked first."""
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class RestartDecision:
    """``holds`` is empty exactly when ``choice`` is not HOLD."""

    choice: RestartChoice
    holds: tuple[Hold, ...] = ()

    @property
    def names(self) -> frozenset[HoldName]:
        return frozenset(hold.name for hold in self.holds)

    @property
    def is_due(self) -> bool:
        """The gateway is sick enough for a restart, whatever else holds it."""
        return not self.names & NOT_YET

    @property
    def leaves_alone(self) -> bool:
        """Only a person can help: nothing but final reasons is left."""
        return bool(self.holds) and self.names <= FINAL


def decide(
    rule: Rule, outage: Outage, standing: RestartContext, supervision: Supervision | None = None
) -> RestartDecision:
    """Hold, ask the supervisor (while ``supervision`` is None), or restart."""
    holds = [*_of_sight(rule, outage, standing), *_of_operator(standing), *_of_record(rule, standing)]
    if standing.process_age is not None and standing.process_age < rule.min_down:
        holds.append(_young(standing.process_age))
    if not holds and supervision is None:
        return RestartDecision(RestartChoice.LOOK)
    if supervision is not None:
        holds += _of_supervisor(rule, outage, standing, supervision)
    return RestartDecision(RestartChoice.HOLD, tuple(holds)) if holds else RestartDecision(RestartChoice.RESTART)


def _of_sight(rule: Rule, outage: Outage, standing: RestartContext) -> Sequence[Hold]:
    if outage.sight is not GatewayCondition.SICK or outage.sick_since is None:
        return [Hold(HoldName.NOT_SICK, f"It is {outage.phase.value}, which is not a reason to restart it.")]
    holds = []
    if outage.failures < rule.after_failures:
        looks = f"{outage.failures} of {rule.after_failures} looks in a row found it {outage.phase.value}."
        holds.append(Hold(HoldName.TOO_FEW_LOOKS, looks))
    sick_for = standing.now.since(outage.sick_since)
    if sick_for < rule.min_down:
        words = f"It has been so for {span_words(sick_for)} of {span_words(rule.min_down)}."
        holds.append(Hold(HoldName.TOO_SOON, words))
    return holds


def _of_operator(standing: RestartContext) -> Sequence[Hold]:
    holds = []
    if standing.is_observing:
        holds.append(Hold(HoldName.OBSERVE_MODE, "Observe mode: nothing is ever done."))
    if standing.paused is not None:
        holds.append(Hold(HoldName.PAUSED, f"Paused: {standing.paused}"))
    if standing.outside_hours is not None:
        holds.append(Hold(HoldName.DEEDS_WINDOW, standing.outside_hours))
    return holds


def _of_record(rule: Rule, standing: RestartContext) -> Sequence[Hold]:
    if standing.ledger_problem is not None:
        return [Hold(HoldName.LEDGER_UNAVAILABLE, standing.ledger_problem)]
    if any(restart.outcome is None for restart in standing.restarts):
        return [Hold(HoldName.AWAITING_OUTCOME, "It was restarted, and has not had the time to come back.")]
    now, limit = standing.now, rule.limit
    recent = [restart for restart in standing.restarts if now.wall - restart.at <= limit.per]
    own = [at for at in standing.own if now.since(at) <= limit.per]
    here = [restart for restart in standing.restarts if not restart.is_over]
    if max(len(recent), len(own), len(here)) >= limit.attempts:
        return [Hold(HoldName.USED_UP, f"All {limit.attempts} restarts within {span_words(limit.per)} are used up.")]
    waits = [now.wall - restart.at for restart in standing.restarts[-1:]] + [now.since(at) for at in own[-1:]]
    made = max(len(recent), len(own), len(here))
    if made and min(waits) < (pause := BACKOFF[min(made, len(BACKOFF)) - 1]):
        words = f"The last restart was {span_words(min(waits))} ago; the next comes after {span_words(pause)}."
        return [Hold(HoldName.BACKOFF, words)]
    return []


def _of_supervisor(rule: Rule, outage: Outage, standing: RestartContext, supervision: Supervision) -> Sequence[Hold]:
    match supervision.unit:
        case Unit.STOPPED:
            return [Hold(HoldName.STOPPED_ON_PURPOSE, f"It was stopped on purpose: {supervision.words}")]
        case Unit.BUSY:
            return [Hold(HoldName.SUPERVISOR_AT_WORK, f"Its supervisor is at work on it: {supervision.words}")]
        case Unit.ABSENT:
            return [Hold(HoldName.NO_SUPERVISOR, f"It cannot be restarted: {supervision.words}")]
        case Unit.UNKNOWN if _said_goodbye(outage, standing):
            words = (
                "It said goodbye before it went, so somebody stopped or restarted it; its supervisor cannot be asked."
            )
            return [Hold(HoldName.SAID_GOODBYE, words)]
        case Unit.RUNNING | Unit.UNKNOWN if not standing.was_reached:
            words = "It has not answered once since this watchdog started, so its address may be wrong."
            return [Hold(HoldName.NEVER_REACHED, words)]
        case _ if supervision.age is not None and supervision.age < rule.min_down:
            return [_young(supervision.age)]
    return []


def _said_goodbye(outage: Outage, standing: RestartContext) -> bool:
    """A goodbye soon after a restart of ours is the echo of that one."""
    if outage.goodbye_at is None:
        return False
    ours = [restart.at for restart in standing.restarts if not restart.is_over]
    return not any(at <= outage.goodbye_at <= at + HELPS_WITHIN for at in ours)


def _young(age: timedelta) -> Hold:
    return Hold(HoldName.YOUNG_PROCESS, f"Its process is only {span_words(age)} old and may still be starting.")
