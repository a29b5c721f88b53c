"""Which signal is worth what on which version: the table of issue 2, row by row, and every innocent explanation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.builders import BOOT, MEASURED, V96, V324, V414, V518, facts, fresh_track, preflight, running, tail_of
from tests.fakes.clock import START
from watchdog.core.evidence import (
    OWN_PROOFS,
    OWNER_SIGNALS,
    Case,
    Evidence,
    Signal,
    Truth,
    has_own_proof,
    innocence_of,
    owner_of,
)
from watchdog.core.innocence import COMPACTION_LIMIT, CUT_WINDOW, was_cut_by_restart
from watchdog.core.model import Lock, LockSight, Look, Preflight, Session, SessionKind, Status, TailKind
from watchdog.core.owner_signals import BOOT_SLACK
from watchdog.core.tracking import note_owner
from watchdog.core.verdict import gather

from .support import at, case

Found = tuple[Truth, str] | None
TRUE, FALSE, UNKNOWN = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN


def _of(signal: Signal, subject: Case) -> Found:
    """What the signal says, or None when it does not exist here."""
    found = [item for item in gather(subject) if item.signal is signal]
    assert len(found) <= 1, "a signal speaks once"
    return (found[0].status, found[0].reason) if found else None


def _by_version(*values: Found) -> list[tuple[str, Found]]:
    return list(zip(MEASURED, values, strict=True))


NO_FLAG, BLIND, NONE_RUNS = None, (UNKNOWN, "FlagBlindToChatApps"), (FALSE, "NoActiveRun")


@pytest.mark.parametrize(("version", "says"), _by_version(NO_FLAG, NO_FLAG, BLIND, NONE_RUNS))
def test_has_active_run_false(version: str, says: Found) -> None:
    assert _of(Signal.ACTIVE_RUN_FLAG, case(running(has_active_run=False), version=version)) == says


@pytest.mark.parametrize("version", MEASURED)
def test_has_active_run_true_is_a_proof_of_life_everywhere(version: str) -> None:
    assert _of(Signal.ACTIVE_RUN_FLAG, case(running(has_active_run=True), version=version)) == (
        TRUE,
        "GatewaySaysActive",
    )


@pytest.mark.parametrize(
    ("version", "says"), _by_version(None, None, (UNKNOWN, "FlagMissing"), (UNKNOWN, "FlagMissing"))
)
def test_has_active_run_missing_says_nothing(version: str, says: Found) -> None:
    assert _of(Signal.ACTIVE_RUN_FLAG, case(running(has_active_run=None), version=version)) == says


@pytest.mark.parametrize("version", MEASURED)
@pytest.mark.parametrize(("ids", "says"), [(None, None), ((), None), (("run-1",), (TRUE, "RunIdsListed"))])
def test_only_listed_run_ids_say_anything(version: str, ids: tuple[str, ...] | None, says: Found) -> None:
    assert _of(Signal.ACTIVE_RUN_IDS, case(running(active_run_ids=ids), version=version)) == says


@pytest.mark.parametrize("version", MEASURED)
@pytest.mark.parametrize(
    ("unauthorized", "says"),
    [(None, None), (True, (TRUE, "AbortRefusedToStranger")), (False, (UNKNOWN, "AbortFoundNothing"))],
)
def test_the_abort_probe_proves_life_and_never_death(version: str, unauthorized: bool | None, says: Found) -> None:
    look = Look(abort_probe_unauthorized=unauthorized)
    assert _of(Signal.ABORT_PROBE, case(look=look, version=version)) == says


SILENT = None
LOCKS: dict[Lock, tuple[Found, Found, Found, Found]] = {
    Lock.HELD_BY_GATEWAY: ((TRUE, "LockHeldByGateway"),) * 4,
    Lock.HELD_BY_OTHER: ((TRUE, "LockHeldByLiveProcess"),) * 4,
    Lock.UNREADABLE: ((UNKNOWN, "LockUnreadable"),) * 4,
    Lock.NONE: ((FALSE, "NoLock"), (FALSE, "NoLock"), SILENT, SILENT),
    Lock.OWNER_GONE: ((FALSE, "LockOwnerGone"), (FALSE, "LockOwnerGone"), SILENT, SILENT),
}


@pytest.mark.parametrize(
    ("lock", "version", "says"),
    [(lock, version, says) for lock, row in LOCKS.items() for version, says in _by_version(*row)],
)
def test_the_session_lock(lock: Lock, version: str, says: Found) -> None:
    assert _of(Signal.SESSION_LOCK, case(look=Look(lock=LockSight(lock, pid=77)), version=version)) == says


@pytest.mark.parametrize("version", MEASURED)
@pytest.mark.parametrize("lock", [Lock.NONE, Lock.OWNER_GONE])
@pytest.mark.parametrize(
    ("provider", "holds_none"),
    [("claude-cli", True), ("codex-cli", True), ("codex", True), ("openai-codex", False), ("anthropic", False)],
)
def test_a_run_that_another_program_does_holds_no_lock(
    version: str, lock: Lock, provider: str, *, holds_none: bool
) -> None:
    look = Look(lock=LockSight(lock, pid=77))
    said = _of(Signal.SESSION_LOCK, case(running(model_provider=provider), look=look, version=version))
    usual = _of(Signal.SESSION_LOCK, case(look=look, version=version))
    assert said == (_by_a_program(usual) if holds_none else usual)


@pytest.mark.parametrize("version", MEASURED)
@pytest.mark.parametrize("lock", [Lock.NONE, Lock.OWNER_GONE])
def test_where_a_program_may_take_over_no_lock_proves_nothing(version: str, lock: Lock) -> None:
    usual = _of(Signal.SESSION_LOCK, case(look=Look(lock=LockSight(lock, pid=77)), version=version))
    look = Look(lock=LockSight(lock, pid=77, is_taken_by_every_run=False))
    assert _of(Signal.SESSION_LOCK, case(look=look, version=version)) == _by_a_program(usual)


def _by_a_program(usual: Found) -> Found:
    return None if usual is None else (UNKNOWN, "LockNotTakenByPrograms")


def test_every_sight_of_a_lock_is_in_the_table() -> None:
    assert set(LOCKS) == set(Lock)


@pytest.mark.parametrize("version", MEASURED)
def test_somebody_elses_lock_on_an_orphan_neither_proves_life_nor_death(version: str) -> None:
    row = running(started_at=BOOT - timedelta(hours=1))
    look = Look(lock=LockSight(Lock.HELD_BY_OTHER, pid=77))
    assert _of(Signal.SESSION_LOCK, case(row, look=look, version=version)) == (UNKNOWN, "LockHeldByOtherProcess")


@pytest.mark.parametrize("version", MEASURED)
@pytest.mark.parametrize(
    ("started", "says"),
    [
        (BOOT - timedelta(days=7), (FALSE, "StartedBeforeBoot")),
        (BOOT, (FALSE, "StartedBeforeBoot")),
        (BOOT + BOOT_SLACK - timedelta(milliseconds=1), (FALSE, "StartedBeforeBoot")),
        (BOOT + BOOT_SLACK, None),
        (BOOT + timedelta(seconds=2), None),
        (None, (UNKNOWN, "NoStartTime")),
    ],
)
def test_a_run_older_than_its_gateway(version: str, started: Any, says: Found) -> None:
    assert _of(Signal.BOOT_ORPHAN, case(running(started_at=started), version=version)) == says


@pytest.mark.parametrize("version", MEASURED)
def test_an_unknown_boot_proves_no_orphan(version: str) -> None:
    row = running(started_at=BOOT - timedelta(days=7))
    subject = case(row, facts=facts(version, booted_at=None))
    assert _of(Signal.BOOT_ORPHAN, subject) == (UNKNOWN, "NoBootTime")


@pytest.mark.parametrize("version", MEASURED)
def test_a_gateway_whose_clock_was_set_proves_no_orphan(version: str) -> None:
    row = running(started_at=BOOT - timedelta(days=7))
    assert _of(Signal.BOOT_ORPHAN, case(row, version=version, gateway_clock_stepped=True)) == (UNKNOWN, "ClockStepped")


@pytest.mark.parametrize("version", [V518, V96])
@pytest.mark.parametrize(("total", "says"), [(0, (FALSE, "GatewayIdle")), (1, (UNKNOWN, "GatewayBusy"))])
def test_preflight_counts(version: str, total: int, says: Found) -> None:
    assert _of(Signal.NOTHING_RUNS, case(look=Look(preflight=preflight(total)), version=version)) == says


@pytest.mark.parametrize("version", [V324, V414])
def test_without_preflight_the_signal_does_not_exist(version: str) -> None:
    assert _of(Signal.NOTHING_RUNS, case(version=version)) is None


def test_once_idle_stays_proven_while_the_gateway_is_busy_with_others() -> None:
    row = running()
    track = note_owner(fresh_track(row), owner_gone=True, owner_alive=False, gateway_idle=True, now=START)
    subject = case(row, version=V518, track=track, look=Look(preflight=preflight(4)))
    assert _of(Signal.NOTHING_RUNS, subject) == (FALSE, "GatewayWasIdle")


@pytest.mark.parametrize(("in_flight", "says"), [(True, (TRUE, "HistoryShowsRun")), (False, None), (None, None)])
def test_a_run_in_flight_in_the_history(in_flight: bool | None, says: Found) -> None:
    look = Look(tail=tail_of(has_run_in_flight=in_flight))
    assert _of(Signal.RUN_IN_FLIGHT, case(look=look)) == says


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (running(key="agent:main:b", has_active_run=True), (TRUE, "AliveUnderOtherKey")),
        (running(key="agent:main:b", active_run_ids=("r",)), (TRUE, "AliveUnderOtherKey")),
        (running(key="agent:main:b", has_active_run=False), None),
        (running(key="agent:main:b"), None),
    ],
)
def test_what_is_alive_under_another_key_is_alive(other: Session, says: Found) -> None:
    assert _of(Signal.ALIAS, case(aliases=(other,))) == says


# ---------------------------------------------------------------- innocence


STOPPED = (TRUE, "StoppedOnPurpose")


@pytest.mark.parametrize("version", MEASURED)
@pytest.mark.parametrize("kind", TailKind)
def test_only_a_stopped_tail_is_a_stop(version: str, kind: TailKind) -> None:
    says = _of(Signal.USER_STOPPED, case(look=Look(tail=tail_of(kind)), version=version))
    assert says == (STOPPED if kind is TailKind.STOPPED else None)


def _cut(**changes: Any) -> Case:
    """A run seen before an in-process restart at minute 5 that touched its row in that second."""
    row = changes.pop("session", None) or running(updated_at=at(minutes=5).wall)
    look = Look(tail=changes.pop("tail", tail_of(TailKind.STOPPED)))
    made: dict[str, Any] = {"track": fresh_track(row, START), "now": at(minutes=6), "cut_at": at(minutes=5)}
    return case(row, version=V414, look=look, **(made | changes))


def test_a_run_cut_by_a_restart_that_we_saw_is_no_stop_for_sure() -> None:
    assert was_cut_by_restart(_cut())
    assert _of(Signal.USER_STOPPED, _cut()) == (UNKNOWN, "CutByRestart")


@pytest.mark.parametrize(
    "other",
    [
        {"cut_at": None},
        {"tail": tail_of(TailKind.STOPPED, was_stopped_by_request=True)},
        {"session": running(updated_at=at(minutes=5).wall, aborted_last_run=True)},
        {"session": running(updated_at=None)},
        {"session": running(updated_at=at(minutes=5).wall - CUT_WINDOW - timedelta(milliseconds=1))},
        {"session": running(updated_at=at(minutes=5).wall + CUT_WINDOW + timedelta(milliseconds=1))},
        {"track": fresh_track(running(), at(minutes=5))},
    ],
    ids=["no restart", "stop asked for", "stopped in the chat", "no time", "before", "after", "not seen before"],
)
def test_anything_else_stays_a_stop(other: dict[str, Any]) -> None:
    assert _of(Signal.USER_STOPPED, _cut(**other)) == STOPPED


@pytest.mark.parametrize(
    ("version", "young"),
    _by_version(None, None, (TRUE, "BootRecoveryWindow"), (TRUE, "BootRecoveryWindow")),
)
def test_a_gateway_that_recovers_by_itself_is_given_its_time(version: str, young: Found) -> None:
    window = timedelta(minutes=5)
    before_end = case(version=version, boot_age=window - timedelta(milliseconds=1), boot_seen_age=timedelta(0))
    assert _of(Signal.GATEWAY_RECOVERING, before_end) == young
    assert _of(Signal.GATEWAY_RECOVERING, case(version=version, boot_age=window)) is None


@pytest.mark.parametrize(
    ("row", "seen", "says"),
    [
        (running(aborted_last_run=True), timedelta(minutes=4), (TRUE, "MarkedForRecovery")),
        (running(aborted_last_run=True), timedelta(minutes=5), None),
        (running(aborted_last_run=True), None, None),
        (running(aborted_last_run=False), timedelta(minutes=4), None),
        (running(), timedelta(minutes=4), None),
    ],
)
def test_a_row_marked_for_the_gateways_own_recovery(row: Session, seen: timedelta | None, says: Found) -> None:
    """Where the gateway would name its recovery, and does not."""
    look = Look(preflight=Preflight(1, START, is_recovering=False))
    subject = case(row, boot_age=timedelta(hours=9), boot_seen_age=seen, look=look)
    assert _of(Signal.GATEWAY_RECOVERING, subject) == says


@pytest.mark.parametrize(
    ("row", "silent", "says"),
    [
        (running(aborted_last_run=True), None, (TRUE, "RecoveryGoesOn")),
        (running(aborted_last_run=True), 0, (TRUE, "RecoveryGoesOn")),
        (running(aborted_last_run=True), 60, (TRUE, "RecoveryGoesOn")),
        (running(aborted_last_run=True), 61, None),
        (running(aborted_last_run=False), None, None),
    ],
)
def test_the_gateways_recovery_owns_a_row_as_long_as_it_is_named(
    row: Session, silent: float | None, says: Found
) -> None:
    """However long ago the gateway started: one row at a time, and the one before may work for hours (2026.8.2, 9.6)."""
    look = Look(preflight=Preflight(1, START, is_recovering=False))
    since = at(-silent) if silent is not None else None
    subject = case(row, look=look, has_named_recovery=True, recovery_unnamed_since=since)
    assert _of(Signal.GATEWAY_RECOVERING, subject) == says


@pytest.mark.parametrize(("seen", "says"), [(59, (TRUE, "MarkedForRecovery")), (60, None)])
@pytest.mark.parametrize("look", [Look(), Look(preflight=Preflight(1, START))], ids=["not counted", "never named"])
def test_a_recovery_that_is_never_named_is_given_an_hour(look: Look, seen: float, says: Found) -> None:
    subject = case(running(aborted_last_run=True), look=look, boot_seen_age=timedelta(minutes=seen))
    assert _of(Signal.GATEWAY_RECOVERING, subject) == says


@pytest.mark.parametrize(("count", "waits"), [(None, False), (0, False), (1, True)])
def test_somebody_is_asked(count: int | None, waits: bool) -> None:
    approvals = _of(Signal.APPROVAL_PENDING, case(look=Look(pending_approvals=count)))
    questions = _of(Signal.QUESTION_PENDING, case(look=Look(pending_questions=count)))
    assert approvals == ((TRUE, "WaitingForApproval") if waits else None)
    assert questions == ((TRUE, "WaitingForAnswer") if waits else None)


@pytest.mark.parametrize(
    ("status", "waits"), [(status, status in (Status.RUNNING, Status.QUEUED)) for status in Status]
)
def test_a_parent_waits_for_its_child(status: Status, waits: bool) -> None:
    child = running(key="agent:main:subagent:1", status=status, kind=SessionKind.SUBAGENT)
    assert _of(Signal.CHILDREN_RUNNING, case(relatives=(child,))) == ((TRUE, "ChildRowsRunning") if waits else None)


def _child(**changes: Any) -> Session:
    return running(key="agent:main:subagent:1", kind=SessionKind.SUBAGENT, **changes)


BEFORE_BOOT = BOOT - timedelta(hours=1)


@pytest.mark.parametrize(("version", "waits"), [(V324, True), (V414, True), (V518, True), (V96, False)])
def test_a_child_that_is_itself_stuck_holds_its_parent_only_where_nobody_can_tell(version: str, waits: bool) -> None:
    """#71252: a child that died with its row running must not hold its parent for ever."""
    says = _of(Signal.CHILDREN_RUNNING, case(version=version, relatives=(_child(has_active_run=False),)))
    assert says == ((TRUE, "ChildRowsRunning") if waits else None)


@pytest.mark.parametrize("version", MEASURED)
@pytest.mark.parametrize(
    ("child", "stepped", "waits"),
    [
        (_child(started_at=BEFORE_BOOT), False, False),
        (_child(started_at=BEFORE_BOOT), True, True),
        (_child(started_at=BEFORE_BOOT, has_active_run=True), False, True),
        (_child(started_at=BEFORE_BOOT, status=Status.QUEUED), False, True),
        (_child(started_at=None), False, True),
    ],
)
def test_a_child_from_before_the_boot_is_gone(version: str, child: Session, stepped: bool, waits: bool) -> None:
    subject = case(version=version, relatives=(child,), gateway_clock_stepped=stepped)
    assert (_of(Signal.CHILDREN_RUNNING, subject) is not None) is waits


@pytest.mark.parametrize(("active", "says"), [(True, (TRUE, "SubagentActive")), (False, None), (None, None)])
def test_a_row_that_names_a_running_subagent(active: bool | None, says: Found) -> None:
    assert _of(Signal.CHILDREN_RUNNING, case(running(has_active_subagent_run=active))) == says


@pytest.mark.parametrize(
    ("row", "age", "stepped", "waits"),
    [
        (running(), timedelta(0), False, True),
        (running(), COMPACTION_LIMIT, False, True),
        (running(), COMPACTION_LIMIT + timedelta(milliseconds=1), False, False),
        (running(), None, False, True),
        (running(started_at=BEFORE_BOOT), timedelta(0), False, False),
        (running(started_at=BEFORE_BOOT), timedelta(0), True, True),
    ],
)
def test_a_compaction_explains_silence_for_as_long_as_one_can_take(
    row: Session, age: timedelta | None, stepped: bool, waits: bool
) -> None:
    end = tail_of(TailKind.COMPACTION, at=START.wall - age if age is not None else None)
    says = _of(Signal.COMPACTING, case(row, look=Look(tail=end), gateway_clock_stepped=stepped))
    assert says == ((TRUE, "CompactionLast") if waits else None)


def test_runs_placed_elsewhere() -> None:
    assert _of(Signal.PLACED_ELSEWHERE, case(running(is_placed_elsewhere=True))) == (TRUE, "PlacedElsewhere")
    assert _of(Signal.COMPACTING, case(look=Look(tail=tail_of()))) is None
    assert _of(Signal.PLACED_ELSEWHERE, case()) is None


# ---------------------------------------------------------------- weighing


def _say(signal: Signal, status: Truth) -> Evidence:
    return Evidence(signal, status, "Reason", "A sentence.")


def test_the_signals_are_two_families() -> None:
    owners = {signal for signal in Signal if _say(signal, TRUE).is_about_owner}
    assert owners == OWNER_SIGNALS
    assert OWN_PROOFS < OWNER_SIGNALS


@pytest.mark.parametrize(
    ("statuses", "owner"),
    [((), UNKNOWN), ((UNKNOWN,), UNKNOWN), ((FALSE, UNKNOWN), FALSE), ((TRUE,), TRUE), ((FALSE, FALSE, TRUE), TRUE)],
)
def test_one_proof_of_life_outweighs_everything(statuses: tuple[Truth, ...], owner: Truth) -> None:
    assert owner_of([_say(Signal.SESSION_LOCK, status) for status in statuses]) is owner


def test_innocence_does_not_speak_about_owners() -> None:
    stopped = _say(Signal.USER_STOPPED, TRUE)
    assert owner_of([stopped]) is UNKNOWN
    assert innocence_of([_say(Signal.SESSION_LOCK, TRUE), _say(Signal.COMPACTING, UNKNOWN), stopped]) is stopped
    assert innocence_of([_say(Signal.SESSION_LOCK, TRUE)]) is None


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("status", Truth)
def test_whose_death_is_proven_by_itself(signal: Signal, status: Truth) -> None:
    assert has_own_proof([_say(signal, status)]) is (signal in OWN_PROOFS and status is FALSE)


def test_the_flag_alone_is_no_proof_of_its_own() -> None:
    """When 2026.9.6 says so of many at once, it may be the gateway that is wrong."""
    evidence = gather(case(running(has_active_run=False, active_run_ids=()), version=V96))
    assert owner_of(evidence) is FALSE
    assert not has_own_proof(evidence)


# ---------------------------------------------------------------- rows as they were seen


@pytest.mark.parametrize(
    ("version", "row", "look", "owner"),
    [
        # issue 2: on 3.24 from another machine and without a restart nothing can decide
        (V324, running(), Look(), UNKNOWN),
        (V414, running(), Look(abort_probe_unauthorized=False), UNKNOWN),
        # channels.md 2, exp_6: a live chat-app run on 5.18
        (V518, running(has_active_run=False), Look(preflight=preflight(12)), UNKNOWN),
        # the same on 3.24: the lock is there, whatever abort says
        (V324, running(), Look(lock=LockSight(Lock.HELD_BY_GATEWAY), abort_probe_unauthorized=False), TRUE),
        # a live chat-app run on 9.6: flag true, ids omitted
        (V96, running(has_active_run=True), Look(preflight=preflight(4)), TRUE),
        # channels.md 3: the live-made stuck row of 9.6
        (V96, running(has_active_run=False, active_run_ids=()), Look(preflight=preflight(0)), FALSE),
        # kill -9 and restart on each
        (V324, running(started_at=BOOT - timedelta(minutes=1)), Look(lock=LockSight(Lock.NONE)), FALSE),
        (
            V518,
            running(started_at=BOOT - timedelta(minutes=1), has_active_run=False),
            Look(preflight=preflight(4)),
            FALSE,
        ),
        # 3.24 time-out or lost end without a restart: no lock
        (V324, running(), Look(lock=LockSight(Lock.NONE)), FALSE),
        # older.md: hasActiveRun true during retries
        (
            V518,
            running(started_at=BOOT - timedelta(minutes=1), has_active_run=True),
            Look(preflight=preflight(0)),
            TRUE,
        ),
    ],
)
def test_measured_rows(version: str, row: Session, look: Look, owner: Truth) -> None:
    assert owner_of(gather(case(row, version=version, look=look))) is owner


@pytest.mark.parametrize(
    ("created", "says"),
    [(-600.0, (Truth.FALSE, "LockOwnerGone")), (-609.0, (Truth.FALSE, "LockOwnerGone")), (-700.0, None), (None, None)],
    ids=["of this run", "a moment before", "of an earlier run", "not said"],
)
def test_the_lock_of_a_process_that_is_gone_proves_a_death_where_it_is_this_runs(
    created: float | None, says: Found
) -> None:
    """2026.4.15 to 5.11: no flag, and a lock is not held for the whole run. A live run may go beside an earlier one's file."""
    made = at(created).wall if created is not None else None
    row = running(started_at=at(-600).wall, has_active_run=None)
    subject = case(row, version="2026.4.15", look=Look(lock=LockSight(Lock.OWNER_GONE, 7, made)))
    assert _of(Signal.SESSION_LOCK, subject) == says
