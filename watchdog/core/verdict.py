"""The verdict on one session: healthy, waiting, long_running, suspect, stuck, unknown.

*Stuck* is: marked running, proven without an owner, no progress for ``stuck_after``, seen so twice and ``confirm_for``
apart, no innocent explanation. What this can get wrong is bounded by the signals (see ``evidence``): it never calls a
session stuck on the absence of information. A *tombstone*, which its gateway has given up after a restart and which takes no
message any more, is stuck as well, as soon as that was seen twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from watchdog.core.evidence import Case, Evidence, Signal, Truth, has_own_proof, innocence_of, owner_of
from watchdog.core.innocence import innocence_signals, waits_for_unclear_children
from watchdog.core.model import Moment, Status, TailKind
from watchdog.core.owner_signals import owner_signals
from watchdog.core.policy import Thresholds
from watchdog.core.tracking import note_owner


class Verdict(StrEnum):
    HEALTHY = "healthy"
    WAITING = "waiting"
    LONG_RUNNING = "long_running"
    SUSPECT = "suspect"
    STUCK = "stuck"
    UNKNOWN = "unknown"


UNKNOWN_STATUS = "UnknownStatus"
"""Reason of a verdict on a row whose status is a word that no release measured here has."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with everything it rests on. ``changes_at``: when it would get worse if nothing moves."""

    verdict: Verdict
    reason: str
    message: str
    evidence: tuple[Evidence, ...] = ()
    owner: Truth = Truth.UNKNOWN
    unattended_for: timedelta | None = None
    changes_at: Moment | None = None
    is_proven: bool = False
    """The run's death has a proof of its own (orphaned by a restart, no lock, nothing running)."""


def gather(case: Case) -> tuple[Evidence, ...]:
    """Every signal that exists for this session, owner signals first."""
    return *owner_signals(case), *innocence_signals(case)


def assess(case: Case, thresholds: Thresholds) -> tuple[Case, Judgement]:
    """The verdict on a session that was just observed, and its case with this pass's owner noted in the track."""
    evidence = gather(case)
    owner, preflight = owner_of(evidence), case.look.preflight
    track = note_owner(
        case.track,
        owner_gone=owner is Truth.FALSE,
        owner_alive=owner is Truth.TRUE,
        gateway_idle=preflight is not None and preflight.total_active == 0,
        now=case.now,
    )
    case = replace(case, track=track)
    return case, judge(case, thresholds, evidence)


def has_ended_in_row(case: Case) -> bool:
    """2026.3.24 leaves a row ``running`` after an ``agent`` turn and writes ``endedAt``: ended, as long as nothing shows that
    a request is still open."""
    tail = case.look.tail
    may_be_left = case.facts.capabilities.leaves_ended_row and case.session.has_end_though_running
    return may_be_left and (tail is None or tail.kind is TailKind.ANSWERED)


def judge(case: Case, thresholds: Thresholds, evidence: tuple[Evidence, ...]) -> Judgement:
    """What ``evidence`` means for a session whose track holds the owners of every pass, this one's too (``assess``)."""
    status = case.session.status
    if status is Status.QUEUED:  # guard: queued is waiting
        return Judgement(Verdict.WAITING, "Queued", "Its run waits for a free lane behind other runs.")
    if status is Status.OTHER:
        word = case.session.unknown_status or "?"
        return Judgement(Verdict.UNKNOWN, UNKNOWN_STATUS, f"Its row says “{word}”, which this watchdog does not know.")
    is_shut = case.session.is_tombstone
    if status is not Status.RUNNING and not is_shut:  # guard: terminal status wins
        # A terminal status wins over a lingering hasActiveRun (#120321).
        return Judgement(Verdict.HEALTHY, "NotRunning", f"Its row says {status.value}.")

    if has_ended_in_row(case):
        return Judgement(
            Verdict.HEALTHY, "EndedInRow", "Its row says running, and when the run ended; it was answered."
        )

    owner = owner_of(evidence)
    quiet = case.track.quiet_for(case.now)
    ran_for = case.now.since(case.track.first_seen)

    if owner is Truth.TRUE:
        proof = next(item for item in evidence if item.is_about_owner and item.status is Truth.TRUE)
        if ran_for >= thresholds.long_running_after:
            return Judgement(Verdict.LONG_RUNNING, proof.reason, proof.message, evidence, owner)
        due = case.track.first_seen.plus(thresholds.long_running_after)
        return Judgement(Verdict.HEALTHY, proof.reason, proof.message, evidence, owner, changes_at=due)

    innocent = innocence_of(evidence)
    if innocent is not None:
        waited = case.now.since(case.track.owner_gone_since or case.now)
        if innocent.signal is Signal.GATEWAY_RECOVERING and waited >= thresholds.long_running_after:
            return Judgement(Verdict.LONG_RUNNING, innocent.reason, innocent.message, evidence, owner)
        if waits_for_unclear_children(case, evidence):
            if quiet >= thresholds.stuck_after:
                return Judgement(
                    Verdict.UNKNOWN,
                    "ChildrenUnknown",
                    "It waits for child sessions marked running, and their rows do not tell whether they are alive: the gateway's "
                    "clock was set, or differs from ours.",
                    evidence,
                    owner,
                )
            due = case.track.unchanged_since.plus(thresholds.stuck_after)
            return Judgement(Verdict.WAITING, innocent.reason, innocent.message, evidence, owner, changes_at=due)
        return Judgement(Verdict.WAITING, innocent.reason, innocent.message, evidence, owner)

    if owner is Truth.UNKNOWN:
        if quiet >= thresholds.stuck_after:
            return Judgement(
                Verdict.UNKNOWN,
                "OwnerUnknown",
                "It has been running without a sign of progress, and nothing here can tell whether it is alive.",
                evidence,
                owner,
            )
        due = case.track.unchanged_since.plus(thresholds.stuck_after)
        return Judgement(
            Verdict.HEALTHY,
            "OwnerUnknownYet",
            "It is running; nothing suggests otherwise.",
            evidence,
            owner,
            changes_at=due,
        )

    return _without_owner(case, thresholds, evidence)


def _without_owner(case: Case, thresholds: Thresholds, evidence: tuple[Evidence, ...]) -> Judgement:
    track, now = case.track, case.now
    proof = next(item for item in evidence if item.is_about_owner and item.status is Truth.FALSE)
    gone_since = track.owner_gone_since or now
    counted_from = max(track.unchanged_since, gone_since)  # guard: counted from the owner's end
    # A dead run only shows over time; a tombstone is declared by the gateway, so nothing needs waiting for.
    patience = timedelta(0) if case.session.is_tombstone else thresholds.stuck_after
    due = max(counted_from.plus(patience), gone_since.plus(thresholds.confirm_for))
    unattended = now.since(counted_from)
    proven = has_own_proof(evidence)
    if (
        now >= due
        # guard: seen twice
        and track.owner_gone_polls >= 2
    ):
        return Judgement(Verdict.STUCK, proof.reason, proof.message, evidence, Truth.FALSE, unattended, None, proven)
    return Judgement(Verdict.SUSPECT, proof.reason, proof.message, evidence, Truth.FALSE, unattended, due, proven)
