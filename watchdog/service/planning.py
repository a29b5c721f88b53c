"""From a judgement to a decision: hold, recover or escalate, with every blocker named.

Decisions are values. Nothing here does anything; the executor acts on a decision after one more look.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchdog.core.blockers import FOREIGN_DEED_HOLD, Blocker, BlockerName, Standing, hold_reasons
from watchdog.core.evidence import innocence_of
from watchdog.core.model import Moment, TailKind
from watchdog.core.policy import Recovery, Step
from watchdog.core.recovery import Attempt, AttemptState, backoff_after, next_step
from watchdog.core.spans import span_words
from watchdog.core.verdict import Verdict
from watchdog.service.ledger import Incident, Ledger
from watchdog.service.observing import Judged
from watchdog.service.ports import Gateway
from watchdog.service.trust import Trust


class Action(StrEnum):
    NOTHING = "nothing"
    HOLD = "hold"
    RECOVER = "recover"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one session now, and why. ``blockers`` is empty exactly when ``action`` is RECOVER."""

    judged: Judged
    action: Action
    step: Step | None = None
    blockers: tuple[Blocker, ...] = ()
    incident: Incident | None = None

    @property
    def blocker_names(self) -> list[str]:
        return [blocker.name.value for blocker in self.blockers]


@dataclass(frozen=True, slots=True)
class GatewayStanding:
    """What holds for every session of one gateway in one pass."""

    now: Moment
    trust: Trust
    is_list_complete: bool
    is_ledger_writable: bool
    is_fleet_open: bool
    gateway_problem: str | None = None


def decide(
    judged: Judged, incident: Incident | None, here: GatewayStanding, gateway: Gateway, ledger: Ledger
) -> Decision:
    """The decision on one stuck session."""
    if judged.judgement.verdict is not Verdict.STUCK and not hangs_alive(judged):
        return Decision(judged, Action.NOTHING)
    recovery = judged.policy.recovery
    attempts = incident.attempts if incident is not None else ()
    step = next_step(fitting_steps(recovery.ladder, judged), attempts)
    standing = standing_of(judged, incident, here, gateway, ledger, step)
    if step is None:
        return Decision(judged, Action.ESCALATE, None, (), incident)
    if step is Step.NOTIFY:
        return Decision(judged, Action.HOLD, Step.NOTIFY, (), incident)
    blockers = hold_reasons(
        judged.case, judged.policy.thresholds, recovery, step, standing, is_proven=judged.judgement.is_proven
    )
    if any(blocker.name is BlockerName.SESSION_BUDGET for blocker in blockers) and not standing.in_flight_here:
        return Decision(judged, Action.ESCALATE, step, blockers, incident)
    return Decision(judged, Action.HOLD if blockers else Action.RECOVER, step, blockers, incident)


def hangs_alive(judged: Judged) -> bool:
    """A run whose owner is alive, without any progress for ``long_running_after``, under a policy that asks for abort.

    The one case in which a living run may be ended; without that policy it is only told. What waits for a child, an
    approval or a compaction is not hung."""
    if judged.judgement.verdict is not Verdict.LONG_RUNNING or Step.ABORT not in judged.policy.recovery.ladder:
        return False
    track, now, ceiling = judged.case.track, judged.case.now, judged.policy.thresholds.long_running_after
    # Without looks at the transcript, all that time long, nothing is known about progress.
    return (
        judged.case.look.tail is not None
        and track.tail_unchanged_since is not None
        and now.since(track.tail_unchanged_since) >= ceiling
        and track.quiet_for(now) >= ceiling
        and innocence_of(judged.judgement.evidence) is None
    )


def fitting_steps(ladder: Sequence[Step], judged: Judged) -> tuple[Step, ...]:
    """Rungs that can make sense here: no abort without a live run, no recover without the gateway's own mark."""
    if judged.judgement.verdict is not Verdict.STUCK:
        return tuple(step for step in ladder if step is Step.ABORT)
    row, tail = judged.session, judged.case.look.tail
    finished = tail is not None and tail.kind is TailKind.ANSWERED
    return tuple(
        step
        for step in ladder
        if step is not Step.ABORT
        and (step is not Step.RECOVER or row.restart_recovery_status is not None or row.aborted_last_run is True)
        and not (finished and step.loses_context)
    )


def standing_of(
    judged: Judged,
    incident: Incident | None,
    here: GatewayStanding,
    gateway: Gateway,
    ledger: Ledger,
    step: Step | None,
) -> Standing:
    """What ledger and gateway say about acting on this session."""
    row, recovery, now = judged.session, judged.policy.recovery, here.now
    attempts = incident.attempts if incident is not None else ()
    pause = next((entry for entry in ledger.pauses(now.wall) if entry.covers(gateway.name, row.key, now.wall)), None)
    in_flight = ledger.attempts_in_flight(gateway.name)
    settled = [attempt for attempt in attempts if not attempt.is_in_flight and attempt.settled_at is not None]
    last = settled[-1] if settled else None
    standing = Standing(
        is_list_complete=here.is_list_complete,
        gateway_problem=here.gateway_problem or here.trust.problem(),
        connected_for=here.trust.connected_for(now),
        paused=pause.reason or "by an operator" if pause is not None else None,
        paused_until=pause.until if pause is not None else None,
        is_quarantined=any(entry.holds(row) for entry in ledger.quarantines(gateway.name)),
        attempts_in_incident=len(attempts),
        last_settled_at=last.settled_at if last is not None else None,
        backoff=backoff_after(len(settled), recovery.backoff, _jitter(last)) if last is not None else timedelta(0),
        session_charges=ledger.charges(gateway.name, now.wall - recovery.budget.per, row.key),
        gateway_charges=ledger.charges(gateway.name, now.wall - recovery.gateway_budget.per),
        in_flight_here=any(other.session == row.key for other, _ in in_flight),
        in_flight_on_gateway=len(in_flight),
        is_fleet_open=here.is_fleet_open,
        is_ledger_writable=here.is_ledger_writable,
        lost_history=_lost_history(ledger, recovery, now),
        alias_keys=tuple(other.key for other in judged.case.aliases),
        own_marks=_own_marks(ledger, gateway.name, row.key, now.wall),
    )
    if step is None:
        return standing
    return replace(standing, missing_scope=gateway.missing_scope(step), step_problem=gateway.step_problem(step, row))


def _own_marks(ledger: Ledger, gateway: str, key: str, now: datetime) -> frozenset[str]:
    """The marks of every attempt of ours that may still count as somebody's recent deed, closed incidents included."""
    recent = ledger.history(since=now - FOREIGN_DEED_HOLD, session=key, gateway=gateway)
    return frozenset(f"{attempt.incident}/{attempt.number}" for incident in recent for attempt in incident.attempts)


def _lost_history(ledger: Ledger, recovery: Recovery, now: Moment) -> str | None:
    """What the budget window cannot remember might have been spent: hold until that window has passed."""
    lost_at = ledger.lost_history_at
    if lost_at is None or now.wall - lost_at > recovery.budget.per:
        return None
    return (
        f"The ledger was lost at {lost_at:%Y-%m-%d %H:%M}Z, and with it what was done before; deeds go on after "
        f"{span_words(recovery.budget.per)}, or at once with `openclaw-watchdog release --lost-history`."
    )


def _jitter(attempt: Attempt | None) -> float:
    """0..1, the same for one attempt in every life of the daemon, and another for another watchdog's."""
    return zlib.crc32(f"{attempt.incident}-{attempt.number}".encode()) / 2**32 if attempt is not None else 0.0


def was_sent(attempt: Attempt) -> bool:
    """It left this machine, or may have."""
    return attempt.started_at is not None and attempt.state not in (AttemptState.REFUSED, AttemptState.ABANDONED)
