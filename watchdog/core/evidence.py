"""What a row means: one signal each, TRUE, FALSE or UNKNOWN, with a reason and a sentence.

Two families. *Owner* signals answer "does anything still work on this run?" (TRUE: a proof of life, FALSE: a proof that
nothing does). *Innocence* signals answer "is there a good reason to sit still?". A signal that cannot tell says UNKNOWN
and never FALSE: UNKNOWN never leads to a deed.

Which signal is worth what differs by gateway version; that knowledge is in ``Capabilities`` (measured, see
``watchdog.gateway.capabilities``). A proof of life always wins over any number of proofs of death.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from watchdog.core.model import (
    FlagWorth,
    GatewayFacts,
    Lock,
    LockWorth,
    Look,
    Moment,
    Session,
    Status,
    TailKind,
)
from watchdog.core.tracking import Track

BOOT_SLACK = timedelta(seconds=1)
"""A run that started before the gateway's boot, or up to this long after it, is an orphan: no gateway takes work in its
first two seconds (measured: 2 to 14 s), and a slow handshake makes the boot look that much earlier than it was."""
COMPACTION_LIMIT = timedelta(minutes=20)
"""A compaction times out after 15 minutes (source of 3.24 and 5.18); after that and some grace it explains nothing."""
CUT_WINDOW = timedelta(seconds=10)
"""Rows cut by an in-process restart are touched 4 s around the end of the connections (measured on 3.24 and 4.14)."""


class Truth(StrEnum):
    TRUE = "TRUE"
    FALSE = "FALSE"
    UNKNOWN = "UNKNOWN"


class Signal(StrEnum):
    """Owner signals first, innocence signals after them."""

    ACTIVE_RUN_FLAG = "ActiveRunFlag"
    ACTIVE_RUN_IDS = "ActiveRunIds"
    RUN_IN_FLIGHT = "RunInFlight"
    SESSION_LOCK = "SessionLock"
    ABORT_PROBE = "AbortProbe"
    BOOT_ORPHAN = "BootOrphan"
    NOTHING_RUNS = "NothingRuns"
    ALIAS = "Alias"

    USER_STOPPED = "UserStopped"
    GATEWAY_RECOVERING = "GatewayRecovering"
    APPROVAL_PENDING = "ApprovalPending"
    QUESTION_PENDING = "QuestionPending"
    CHILDREN_RUNNING = "ChildrenRunning"
    COMPACTING = "Compacting"
    PLACED_ELSEWHERE = "PlacedElsewhere"


OWNER_SIGNALS = frozenset(
    {
        Signal.ACTIVE_RUN_FLAG,
        Signal.ACTIVE_RUN_IDS,
        Signal.RUN_IN_FLIGHT,
        Signal.SESSION_LOCK,
        Signal.ABORT_PROBE,
        Signal.BOOT_ORPHAN,
        Signal.NOTHING_RUNS,
        Signal.ALIAS,
    }
)

OWN_PROOFS = frozenset({Signal.SESSION_LOCK, Signal.BOOT_ORPHAN, Signal.NOTHING_RUNS})
"""FALSE from one of these is a proof that belongs to the session itself; the fleet breaker does not hold those."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signal's answer. ``reason`` is CamelCase and stable; ``message`` is a sentence for a person, without secrets."""

    signal: Signal
    status: Truth
    reason: str
    message: str

    @property
    def is_about_owner(self) -> bool:
        return self.signal in OWNER_SIGNALS


@dataclass(frozen=True, slots=True)
class Case:
    """Everything one judgement may use: one session, seen in one pass, at one ``now``."""

    now: Moment
    facts: GatewayFacts
    session: Session
    track: Track
    look: Look = Look()
    relatives: tuple[Session, ...] = ()
    """Subagent rows spawned by this session, or rows that it names as its children. Not ``parentSessionKey`` alone:
    2026.9.6 puts the main session there for every session made by ``sessions.create``."""
    aliases: tuple[Session, ...] = ()
    """Other rows with the same ``session_id``."""
    boot_age: timedelta | None = None
    """How long ago the gateway (re)started as far as we know: its own uptime, or our first sight of a new ``bootId``."""
    boot_seen_age: timedelta | None = None
    """How long we have known the gateway's present life; an in-process restart before that cannot be excluded."""
    recovery_window: timedelta = timedelta(minutes=5)
    cut_at: Moment | None = None
    """When the gateway restarted inside its process while we watched, or None."""
    gateway_clock_stepped: bool = False
    """The gateway's wall clock moved against its uptime while we watched: ``startedAt`` before boot proves nothing."""


def gather(case: Case) -> tuple[Evidence, ...]:
    """Every signal that exists for this session, owner signals first."""
    found = (
        _active_run_flag(case),
        _active_run_ids(case),
        _run_in_flight(case),
        _boot_orphan(case),
        _session_lock(case),
        _nothing_runs(case),
        _abort_probe(case),
        _alias(case),
        _user_stopped(case),
        _gateway_recovering(case),
        _approval_pending(case),
        _question_pending(case),
        _children_running(case),
        _compacting(case),
        _placed_elsewhere(case),
    )
    return tuple(evidence for evidence in found if evidence is not None)


def owner_of(evidence: Iterable[Evidence]) -> Truth:
    """Is anything working on the run? One proof of life outweighs everything; without any proof: UNKNOWN."""
    answers = {item.status for item in evidence if item.is_about_owner}
    if Truth.TRUE in answers:
        return Truth.TRUE
    return Truth.FALSE if Truth.FALSE in answers else Truth.UNKNOWN


def innocence_of(evidence: Iterable[Evidence]) -> Evidence | None:
    """The first good reason to sit still, or None."""
    return next((item for item in evidence if not item.is_about_owner and item.status is Truth.TRUE), None)


def has_own_proof(evidence: Iterable[Evidence]) -> bool:
    """The death of this very run is proven, whatever happens to the rest of the fleet."""
    return any(item.signal in OWN_PROOFS and item.status is Truth.FALSE for item in evidence)


# ---------------------------------------------------------------- owner signals


def _active_run_flag(case: Case) -> Evidence | None:
    flag, worth = case.session.has_active_run, case.facts.capabilities.active_run_flag
    if flag is True:
        return Evidence(Signal.ACTIVE_RUN_FLAG, Truth.TRUE, "GatewaySaysActive", "The gateway says a run is active.")
    if worth is FlagWorth.ABSENT:
        return None
    if flag is None:
        return Evidence(
            Signal.ACTIVE_RUN_FLAG, Truth.UNKNOWN, "FlagMissing", "The row does not say whether a run is active."
        )
    if worth is FlagWorth.PROVES_LIFE_ONLY:
        return Evidence(
            Signal.ACTIVE_RUN_FLAG,
            Truth.UNKNOWN,
            "FlagBlindToChatApps",
            f"The row says no run is active, but {case.facts.version} says so of live chat-app runs too.",
        )
    return Evidence(Signal.ACTIVE_RUN_FLAG, Truth.FALSE, "NoActiveRun", "The gateway says no run is active.")


def _active_run_ids(case: Case) -> Evidence | None:
    # Only a non-empty list says anything: it is omitted while an embedded run is live (2026.9.6, #123189).
    if case.session.active_run_ids:
        return Evidence(Signal.ACTIVE_RUN_IDS, Truth.TRUE, "RunIdsListed", "The gateway lists active run ids.")
    return None


def _run_in_flight(case: Case) -> Evidence | None:
    if case.look.tail is not None and case.look.tail.has_run_in_flight:
        return Evidence(
            Signal.RUN_IN_FLIGHT, Truth.TRUE, "HistoryShowsRun", "The conversation's history shows a run in flight."
        )
    return None


def _started_before_boot(case: Case, row: Session | None = None) -> bool:
    started, booted = (row or case.session).started_at, case.facts.booted_at
    return started is not None and booted is not None and started < booted + BOOT_SLACK


def _boot_orphan(case: Case) -> Evidence | None:
    started, booted = case.session.started_at, case.facts.booted_at
    if started is None:
        return Evidence(Signal.BOOT_ORPHAN, Truth.UNKNOWN, "NoStartTime", "The row does not say when its run started.")
    if booted is None:
        return Evidence(Signal.BOOT_ORPHAN, Truth.UNKNOWN, "NoBootTime", "The gateway does not say when it started.")
    if not _started_before_boot(case):
        return None
    if case.gateway_clock_stepped:
        return Evidence(
            Signal.BOOT_ORPHAN, Truth.UNKNOWN, "ClockStepped", "The gateway's clock was set while we watched."
        )
    return Evidence(
        Signal.BOOT_ORPHAN,
        Truth.FALSE,
        "StartedBeforeBoot",
        f"The run started at {_clock(started)}, before this gateway process did ({_clock(booted)}).",
    )


def _session_lock(case: Case) -> Evidence | None:
    sight, worth = case.look.lock, case.facts.capabilities.lock
    if sight is None:
        return None
    if sight.lock is Lock.HELD_BY_GATEWAY:
        return Evidence(
            Signal.SESSION_LOCK,
            Truth.TRUE,
            "LockHeldByGateway",
            "The gateway holds the session file's lock: a run is going.",
        )
    if sight.lock is Lock.HELD_BY_OTHER:
        if _started_before_boot(case):
            # The row's run is dead, and somebody else uses the file: no proof about the run, but a reason not to
            # act (#62981); ``blockers`` holds every deed until the lock is released.
            return Evidence(
                Signal.SESSION_LOCK,
                Truth.UNKNOWN,
                "LockHeldByOtherProcess",
                f"Another live process (pid {sight.pid}) holds the session file's lock.",
            )
        return Evidence(
            Signal.SESSION_LOCK,
            Truth.TRUE,
            "LockHeldByLiveProcess",
            f"A live process (pid {sight.pid}) holds the session file's lock.",
        )
    if sight.lock is Lock.UNREADABLE:
        return Evidence(Signal.SESSION_LOCK, Truth.UNKNOWN, "LockUnreadable", "The session file's lock cannot be read.")
    if worth is not LockWorth.WHOLE_RUN:
        return None
    if sight.lock is Lock.OWNER_GONE:
        return Evidence(
            Signal.SESSION_LOCK,
            Truth.FALSE,
            "LockOwnerGone",
            f"The process that held the lock (pid {sight.pid}) is gone.",
        )
    return Evidence(
        Signal.SESSION_LOCK,
        Truth.FALSE,
        "NoLock",
        f"{case.facts.version} locks the session file for the whole run, and there is no lock.",
    )


def _nothing_runs(case: Case) -> Evidence | None:
    preflight = case.look.preflight
    if preflight is not None and preflight.total_active == 0:
        return Evidence(
            Signal.NOTHING_RUNS, Truth.FALSE, "GatewayIdle", "The gateway counts no running or queued work at all."
        )
    if case.track.idle_proof_at is not None:
        return Evidence(
            Signal.NOTHING_RUNS,
            Truth.FALSE,
            "GatewayWasIdle",
            "The gateway counted no work at all at a time when this run should already have been going.",
        )
    if preflight is not None:
        return Evidence(
            Signal.NOTHING_RUNS,
            Truth.UNKNOWN,
            "GatewayBusy",
            f"The gateway counts {preflight.total_active} pieces of running or queued work; which ones, it does not say.",
        )
    return None


def _abort_probe(case: Case) -> Evidence | None:
    unauthorized = case.look.abort_probe_unauthorized
    if unauthorized is None:
        return None
    if unauthorized:
        return Evidence(
            Signal.ABORT_PROBE, Truth.TRUE, "AbortRefusedToStranger", "A live run refused to be aborted by a stranger."
        )
    # no-active-run is also what live chat-app, agent and queued runs answer here: it proves nothing.
    return Evidence(
        Signal.ABORT_PROBE,
        Truth.UNKNOWN,
        "AbortFoundNothing",
        f"sessions.abort knows no run, but {case.facts.version} says so of live chat-app and agent runs too.",
    )


def _alias(case: Case) -> Evidence | None:
    # One conversation under two keys (#83484): what is alive under the other key is alive here too.
    for other in case.aliases:
        if other.has_active_run or other.active_run_ids:
            return Evidence(Signal.ALIAS, Truth.TRUE, "AliveUnderOtherKey", "The same session runs under another key.")
    return None


# ---------------------------------------------------------------- innocence signals


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
    tail = case.look.tail
    if tail is not None and tail.kind is TailKind.STOPPED:
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


def _gateway_recovering(case: Case) -> Evidence | None:
    if case.facts.capabilities.boot_recovery == timedelta(0):
        return None
    young = case.boot_age is not None and case.boot_age < case.recovery_window
    if young:
        return Evidence(
            Signal.GATEWAY_RECOVERING,
            Truth.TRUE,
            "BootRecoveryWindow",
            "The gateway has just started and may still be recovering interrupted sessions itself.",
        )
    marked = case.session.aborted_last_run is True and case.session.status is Status.RUNNING
    if marked and case.boot_seen_age is not None and case.boot_seen_age < case.recovery_window:
        return Evidence(
            Signal.GATEWAY_RECOVERING,
            Truth.TRUE,
            "MarkedForRecovery",
            "The gateway has marked this run for its own restart recovery.",
        )
    return None


def _approval_pending(case: Case) -> Evidence | None:
    if case.look.pending_approvals:
        return Evidence(
            Signal.APPROVAL_PENDING, Truth.TRUE, "WaitingForApproval", "A tool call waits for somebody's approval."
        )
    return None


def _question_pending(case: Case) -> Evidence | None:
    if case.look.pending_questions:
        return Evidence(
            Signal.QUESTION_PENDING, Truth.TRUE, "WaitingForAnswer", "The agent has asked a person a question."
        )
    return None


def _children_running(case: Case) -> Evidence | None:
    if case.session.has_active_subagent_run:
        return Evidence(Signal.CHILDREN_RUNNING, Truth.TRUE, "SubagentActive", "A subagent of this session is running.")
    busy = [
        row for row in case.relatives if row.status in (Status.RUNNING, Status.QUEUED) and not _is_dead_child(case, row)
    ]
    if busy:
        return Evidence(
            Signal.CHILDREN_RUNNING,
            Truth.TRUE,
            "ChildRowsRunning",
            f"{len(busy)} child session(s) of this one are still running.",
        )
    return None


def _is_dead_child(case: Case, child: Session) -> bool:
    """A child that died with its row running must not hold its parent for ever (#71252)."""
    if child.status is not Status.RUNNING or child.has_active_run or child.active_run_ids:
        return False
    is_denied = case.facts.capabilities.active_run_flag is FlagWorth.TRUSTED and child.has_active_run is False
    return is_denied or (_started_before_boot(case, child) and not case.gateway_clock_stepped)


def _compacting(case: Case) -> Evidence | None:
    tail = case.look.tail
    if tail is not None and tail.kind is TailKind.COMPACTION:
        is_over = tail.at is not None and case.now.wall - tail.at > COMPACTION_LIMIT
        if is_over or (_started_before_boot(case) and not case.gateway_clock_stepped):
            return None  # nothing compacts for so long, or over a restart (#70334, #76467)
        return Evidence(
            Signal.COMPACTING, Truth.TRUE, "CompactionLast", "The last thing in the transcript is a compaction."
        )
    return None


def _placed_elsewhere(case: Case) -> Evidence | None:
    if case.session.is_placed_elsewhere:
        return Evidence(
            Signal.PLACED_ELSEWHERE,
            Truth.TRUE,
            "PlacedElsewhere",
            "The session's runs are placed outside this gateway.",
        )
    return None


def _clock(instant: object) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%SZ}"
