"""The six verdicts and their exact boundaries."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fakes.builders import BOOT, V324, V518, fresh_track, orphan, preflight, running, tail_of
from tests.fakes.clock import START
from watchdog.core.evidence import Truth
from watchdog.core.model import Look, Moment, Preflight, Session, SessionKind, Status, TailKind
from watchdog.core.policy import Thresholds
from watchdog.core.tracking import Track
from watchdog.core.verdict import Judgement, Verdict, judge

from .support import THRESHOLDS, at, case, passed

TICK = timedelta(microseconds=1)
ALIVE, DEAD, UNKNOWN = running(has_active_run=True), orphan(), running(has_active_run=None)


def _after(session: Session, *moments: Moment, thresholds: Thresholds = THRESHOLDS, version: str = V518) -> Judgement:
    """The judgement of the last of these passes."""
    track: Track = fresh_track(session, moments[0])
    judgement: Judgement | None = None
    for number, now in enumerate(moments):
        subject = case(session, version=version, track=track, now=now)
        if number == 0:
            subject = replace(subject, track=fresh_track(session, now))
        seen, judgement = passed(subject, thresholds)
        track = seen.track
    assert judgement is not None
    return judgement


def test_dead_for_long_enough_is_stuck() -> None:
    judgement = _after(DEAD, at(0), at(minutes=20))
    assert (judgement.verdict, judgement.reason, judgement.owner) == (Verdict.STUCK, "StartedBeforeBoot", Truth.FALSE)
    assert judgement.unattended_for == timedelta(minutes=20)
    assert judgement.is_proven
    assert judgement.changes_at is None


def test_a_microsecond_less_is_suspect() -> None:
    judgement = _after(DEAD, at(0), at(minutes=20).plus(-TICK * 1000))
    assert judgement.verdict is Verdict.SUSPECT
    assert judgement.changes_at == at(minutes=20)


def test_one_look_after_the_threshold_is_not_enough() -> None:
    judgement = _after(DEAD, at(minutes=90))
    assert judgement.verdict is Verdict.SUSPECT
    assert judgement.unattended_for == timedelta(0)


SHORT = replace(THRESHOLDS, stuck_after=timedelta(seconds=2), confirm_for=timedelta(seconds=60))


@pytest.mark.parametrize(
    ("second_look", "verdict"), [(59.999, Verdict.SUSPECT), (60, Verdict.STUCK), (61, Verdict.STUCK)]
)
def test_the_two_looks_lie_confirm_for_apart(second_look: float, verdict: Verdict) -> None:
    assert _after(DEAD, at(0), at(second_look), thresholds=SHORT).verdict is verdict


def test_a_third_look_confirms_what_the_second_came_too_early_for() -> None:
    assert _after(DEAD, at(0), at(30), at(60), thresholds=SHORT).verdict is Verdict.STUCK


def test_the_threshold_counts_from_when_the_owner_was_lost_not_from_when_it_fell_silent() -> None:
    """Silent for an hour with an owner, then without: twenty more minutes."""
    track = passed(case(ALIVE, version=V518, now=at(0)))[0].track
    for now, verdict in [
        (at(minutes=60), Verdict.SUSPECT),
        (at(minutes=79), Verdict.SUSPECT),
        (at(minutes=80), Verdict.STUCK),
    ]:
        gone = replace(ALIVE, has_active_run=False)
        seen, judgement = passed(case(gone, version="2026.9.6", track=track, now=now))
        track = seen.track
        assert judgement.verdict is verdict


def test_progress_starts_the_threshold_again() -> None:
    first = passed(case(orphan(total_tokens=1), now=at(0), version=V518))[0]
    moved = passed(case(orphan(total_tokens=2), track=first.track, now=at(minutes=19), version=V518))
    assert moved[1].changes_at == at(minutes=39)
    later = passed(case(orphan(total_tokens=2), track=moved[0].track, now=at(minutes=38), version=V518))
    assert later[1].verdict is Verdict.SUSPECT


# ---------------------------------------------------------------- alive


@pytest.mark.parametrize(
    ("minutes", "verdict"), [(59.99, Verdict.HEALTHY), (60, Verdict.LONG_RUNNING), (6000, Verdict.LONG_RUNNING)]
)
def test_an_owned_run_is_told_when_long_and_never_stuck(minutes: float, verdict: Verdict) -> None:
    judgement = _after(ALIVE, at(0), at(minutes=minutes))
    assert judgement.verdict is verdict
    assert judgement.owner is Truth.TRUE
    assert judgement.changes_at == (at(minutes=60) if verdict is Verdict.HEALTHY else None)


# ---------------------------------------------------------------- unknown


@pytest.mark.parametrize(
    ("minutes", "verdict", "reason"),
    [
        (19.99, Verdict.HEALTHY, "OwnerUnknownYet"),
        (20, Verdict.UNKNOWN, "OwnerUnknown"),
        (9000, Verdict.UNKNOWN, "OwnerUnknown"),
    ],
)
def test_where_nothing_can_tell_the_verdict_is_unknown(minutes: float, verdict: Verdict, reason: str) -> None:
    judgement = _after(UNKNOWN, at(0), at(minutes=minutes), version=V324)
    assert (judgement.verdict, judgement.reason, judgement.owner) == (verdict, reason, Truth.UNKNOWN)
    assert judgement.changes_at == (at(minutes=20) if verdict is Verdict.HEALTHY else None)


@pytest.mark.parametrize(
    ("stepped", "began", "minutes", "verdict"),
    [
        (True, -timedelta(hours=1), 19.99, Verdict.WAITING),
        (True, -timedelta(hours=1), 20, Verdict.UNKNOWN),
        (True, timedelta(hours=1), 9000, Verdict.WAITING),
        (False, timedelta(hours=1), 9000, Verdict.WAITING),
    ],
)
def test_a_wait_for_children_of_whom_a_set_clock_tells_nothing_is_unknown(
    stepped: bool, began: timedelta, minutes: float, verdict: Verdict
) -> None:
    child = running(key="agent:main:subagent:1", kind=SessionKind.SUBAGENT, started_at=BOOT + began)
    track = fresh_track(DEAD, at(0))
    _, judgement = passed(
        case(DEAD, track=track, now=at(minutes=minutes), relatives=(child,), gateway_clock_stepped=stepped)
    )
    assert judgement.verdict is verdict
    assert judgement.reason == ("ChildrenUnknown" if verdict is Verdict.UNKNOWN else "ChildRowsRunning")
    assert judgement.changes_at == (at(minutes=20) if minutes < 20 else None)


# ---------------------------------------------------------------- not running, waiting


@pytest.mark.parametrize(
    "status", [status for status in Status if status not in (Status.RUNNING, Status.QUEUED, Status.OTHER)]
)
@pytest.mark.parametrize("flag", [None, False, True])
def test_a_row_that_does_not_say_running_is_healthy(status: Status, flag: bool | None) -> None:
    """A terminal status wins over a lingering ``hasActiveRun`` (#120321)."""
    row = orphan(status=status, has_active_run=flag)
    judgement = _after(row, at(0), at(minutes=500))
    assert (judgement.verdict, judgement.reason) == (Verdict.HEALTHY, "NotRunning")


def test_terminal_statuses() -> None:
    assert {status for status in Status if status.is_terminal} == {
        Status.DONE,
        Status.FAILED,
        Status.KILLED,
        Status.TIMEOUT,
    }


def test_queued_behind_other_runs_is_waiting() -> None:
    assert _after(orphan(status=Status.QUEUED), at(0), at(minutes=500)).verdict is Verdict.WAITING


def test_an_innocent_explanation_is_waiting_even_without_an_owner() -> None:
    stopped = case(orphan(), version=V324, look=Look(tail=tail_of(TailKind.STOPPED)), now=at(0))
    track = passed(stopped)[0].track
    judgement = passed(replace(stopped, track=track, now=at(minutes=500)))[1]
    assert (judgement.verdict, judgement.reason) == (Verdict.WAITING, "StoppedOnPurpose")


def test_a_long_wait_for_the_gateways_own_recovery_is_reported_and_left_alone() -> None:
    row = running(has_active_run=False, aborted_last_run=True)
    subject = case(row, look=Look(preflight=Preflight(1, START, is_recovering=True)), has_named_recovery=True)
    alive = replace(subject, session=replace(row, has_active_run=True))
    watched = passed(alive)[0]
    first, judgement = passed(replace(watched, session=row, now=at(minutes=59)))
    assert judgement.verdict is Verdict.WAITING
    assert passed(replace(first, now=at(minutes=118)))[1].verdict is Verdict.WAITING, "a wait, not the run before it"
    late = passed(replace(first, now=at(minutes=120)))[1]
    assert (late.verdict, late.reason) == (Verdict.LONG_RUNNING, "RecoveryGoesOn")


def test_a_proof_of_life_comes_before_an_innocent_explanation() -> None:
    look = Look(tail=tail_of(TailKind.STOPPED), preflight=preflight(3))
    judgement = passed(case(ALIVE, version=V518, look=look))[1]
    assert (judgement.verdict, judgement.reason) == (Verdict.HEALTHY, "GatewaySaysActive")


def test_without_evidence_nobody_knows_of_an_owner() -> None:
    assert judge(case(ALIVE), THRESHOLDS, ()).owner is Truth.UNKNOWN
