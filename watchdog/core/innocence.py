"""Is there a good reason to sit still? A stop by its user, a wait for somebody, the gateway's own recovery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from watchdog.core.evidence import Case, Evidence, Signal, Truth, refuses_its_people
from watchdog.core.model import FlagWorth, Session, Status, TailKind
from watchdog.core.owner_signals import started_before_boot

COMPACTION_LIMIT = timedelta(minutes=20)
"""A compaction times out after 15 minutes (source of 3.24 and 5.18); after that and some grace it explains nothing."""
RECOVERY_IS_SILENT = timedelta(seconds=60)
"""A recovery that was named goes on until no look has found it named for so long: between two of its three tries, 5, 10 and
20 s apart, nothing names it (2026.8.2, 9.6)."""
UNNAMED_RECOVERY = timedelta(hours=1)
"""How long after its start a gateway that never names its recovery (2026.5.7 to 7.35) may still come to a row that it has
marked: it takes one row at a time, and the one before may work for long. One that starts slowly marks rows after its only look
for marked ones, and never comes to them (2026.5.7, 5.12 and 5.28)."""
CHILD_ROWS_RUNNING = "ChildRowsRunning"
CUT_WINDOW = timedelta(seconds=10)
"""Rows cut by an in-process restart are touched 4 s around the end of the connections (measured on 3.24 and 4.14)."""


def innocence_signals(case: Case) -> tuple[Evidence, ...]:
    """Every innocence signal that exists for this session."""
    found = (
        _user_stopped(case),
        _gateway_recovering(case),
        _approval_pending(case),
        _question_pending(case),
        _children_running(case),
        _compacting(case),
        _placed_elsewhere(case),
    )
    return tuple(evidence for evidence in found if evidence is not None)


def was_cut_by_restart(case: Case) -> bool:
    """The transcript looks stopped, but an in-process restart that we saw is what stopped it.

    3.24 and 4.14 write the same tail for both. Told apart by: we saw this very run going before the restart, the row was
    last touched in those seconds, and nothing says that a person asked for the stop.
    """
    tail, row = case.look.tail, case.session
    if case.cut_at is None or tail is None or row.updated_at is None:
        return False
    return (
        not tail.was_stopped_by_request
        and row.aborted_last_run is not True
        and case.track.first_seen < case.cut_at
        and abs(row.updated_at - case.cut_at.wall) <= CUT_WINDOW
    )


def _user_stopped(case: Case) -> Evidence | None:
    """Whoever stopped it may write again; where that is refused, a stop is no reason to leave them shut out (#120315)."""
    tail = case.look.tail
    if refuses_its_people(case):
        return None
    if case.session.is_tombstone:
        return None  # it is to be told, however it ended; a blocker holds the deed
    if tail is not None and tail.kind is TailKind.STOPPED:  # guard: stopped on purpose
        if was_cut_by_restart(case):
            return Evidence(
                Signal.USER_STOPPED,
                Truth.UNKNOWN,
                "CutByRestart",
                "The gateway restarted inside its process just when this run was stopped; the person is asked.",
            )
        return Evidence(
            Signal.USER_STOPPED,
            Truth.TRUE,
            "StoppedOnPurpose",
            "The transcript ends with a run that was stopped (a Stop and a run time-out look the same here).",
        )
    return None


BOOT_RECOVERY_WINDOW = "BootRecoveryWindow"
"""What is said of every run in the first minutes of a gateway's life, or of ours where that may be one."""


def _gateway_recovering(case: Case) -> Evidence | None:
    """Three runs of 12 minutes each, cut together on a real 2026.9.6 with one lane and watched with default thresholds for 41
    minutes: the third waited for 25, was never called stuck, nothing was sent, and the gateway ended all three."""
    if case.facts.capabilities.boot_recovery == timedelta(0):
        return None
    young = case.boot_age is not None and case.boot_age < case.recovery_window
    if young:  # guard: gateway recovers after a boot
        return Evidence(
            Signal.GATEWAY_RECOVERING,
            Truth.TRUE,
            BOOT_RECOVERY_WINDOW,
            "The gateway has just started and may still be recovering interrupted sessions itself.",
        )
    if case.session.aborted_last_run is not True or case.session.status is not Status.RUNNING:
        return None
    preflight, silent_since = case.look.preflight, case.recovery_unnamed_since
    goes_on = silent_since is None or case.now.since(silent_since) <= RECOVERY_IS_SILENT
    if case.has_named_recovery and goes_on:  # guard: the gateway names its recovery
        return Evidence(
            Signal.GATEWAY_RECOVERING,
            Truth.TRUE,
            "RecoveryGoesOn",
            "The gateway is recovering interrupted sessions itself, one after the other, and has marked this one for it.",
        )
    # Where a gateway can name its recovery and does not, it has given up.
    is_named_where_it_is = preflight is not None and preflight.is_recovering is not None
    window = case.recovery_window if is_named_where_it_is else max(case.recovery_window, UNNAMED_RECOVERY)
    # guard: marked for the gateway's recovery
    if case.boot_seen_age is not None and case.boot_seen_age < window:
        return Evidence(
            Signal.GATEWAY_RECOVERING,
            Truth.TRUE,
            "MarkedForRecovery",
            "The gateway has marked this run for its own restart recovery.",
        )
    return None


def _approval_pending(case: Case) -> Evidence | None:
    if case.look.pending_approvals:  # guard: approval pending
        return Evidence(
            Signal.APPROVAL_PENDING, Truth.TRUE, "WaitingForApproval", "A tool call waits for somebody's approval."
        )
    return None


def _question_pending(case: Case) -> Evidence | None:
    if case.look.pending_questions:  # guard: question pending
        return Evidence(
            Signal.QUESTION_PENDING, Truth.TRUE, "WaitingForAnswer", "The agent has asked a person a question."
        )
    return None


def _children_running(case: Case) -> Evidence | None:
    if case.session.has_active_subagent_run:  # guard: subagent flag of the parent
        return Evidence(Signal.CHILDREN_RUNNING, Truth.TRUE, "SubagentActive", "A subagent of this session is running.")
    busy = [
        row for row in case.relatives if row.status in (Status.RUNNING, Status.QUEUED) and not _is_dead_child(case, row)
    ]
    if busy:  # guard: child rows running
        return Evidence(
            Signal.CHILDREN_RUNNING,
            Truth.TRUE,
            CHILD_ROWS_RUNNING,
            "1 child session of this one is still running."
            if len(busy) == 1
            else f"{len(busy)} child sessions of this one are still running.",
        )
    return None


def waits_for_unclear_children(case: Case, evidence: Iterable[Evidence]) -> bool:
    """Nothing but child rows is waited for, and every one of them would be known for dead if the gateway's clock could be believed."""
    innocent = [item for item in evidence if not item.is_about_owner and item.status is Truth.TRUE]
    if not case.gateway_clock_stepped or [item.reason for item in innocent] != [CHILD_ROWS_RUNNING]:
        return False
    believed = replace(case, gateway_clock_stepped=False)
    return _children_running(believed) is None


def _is_dead_child(case: Case, child: Session) -> bool:
    """A child that died with its row running must not hold its parent for ever (#71252)."""
    if child.status is not Status.RUNNING or child.has_active_run or child.active_run_ids:
        return False
    is_denied = case.facts.capabilities.active_run_flag is FlagWorth.TRUSTED and child.has_active_run is False
    # guard: dead children hold nobody
    return is_denied or (started_before_boot(case, child) and not case.gateway_clock_stepped)


def _compacting(case: Case) -> Evidence | None:
    tail = case.look.tail
    if tail is not None and tail.kind is TailKind.COMPACTION:  # guard: compaction within its time
        is_over = tail.at is not None and case.now.wall - tail.at > COMPACTION_LIMIT  # guard: compaction past its time
        if is_over or (started_before_boot(case) and not case.gateway_clock_stepped):
            return None  # nothing compacts for so long, or over a restart (#70334, #76467)
        return Evidence(
            Signal.COMPACTING, Truth.TRUE, "CompactionLast", "The last thing in the transcript is a compaction."
        )
    return None


def _placed_elsewhere(case: Case) -> Evidence | None:
    if case.session.is_placed_elsewhere:  # guard: placed elsewhere
        return Evidence(
            Signal.PLACED_ELSEWHERE,
            Truth.TRUE,
            "PlacedElsewhere",
            "The session's runs are placed outside this gateway.",
        )
    return None
