"""Does anything still work on the run? Each signal that can tell, and what it is worth on which version."""

from __future__ import annotations

from datetime import timedelta

from watchdog.core.evidence import Case, Evidence, Signal, Truth
from watchdog.core.model import FlagWorth, GatewayFacts, Lock, LockWorth, Session

LOCK_SLACK = timedelta(seconds=10)
"""A run's lock is made at its start, on the same clock as its row is written."""
BOOT_SLACK = timedelta(seconds=1)
"""A run that started before the gateway's boot, or up to this long after it, is an orphan: no gateway takes work in its
first two seconds (measured: 2 to 14 s), and a slow handshake makes the boot look that much earlier than it was."""


def owner_signals(case: Case) -> tuple[Evidence, ...]:
    """Every owner signal that exists for this session."""
    found = (
        _given_up(case),
        _active_run_flag(case),
        _active_run_ids(case),
        _run_in_flight(case),
        _boot_orphan(case),
        _session_lock(case),
        _nothing_runs(case),
        _abort_probe(case),
        _alias(case),
    )
    return tuple(evidence for evidence in found if evidence is not None)


def _given_up(case: Case) -> Evidence | None:
    if not case.session.is_tombstone:
        return None
    return Evidence(
        Signal.GIVEN_UP,
        Truth.FALSE,
        "GivenUpByGateway",
        "Its gateway tried to go on with it after a restart, and gave it up.",
    )


def _active_run_flag(case: Case) -> Evidence | None:
    flag, worth = case.session.has_active_run, case.facts.capabilities.active_run_flag
    if flag is True:  # guard: active flag is life
        return Evidence(Signal.ACTIVE_RUN_FLAG, Truth.TRUE, "GatewaySaysActive", "The gateway says a run is active.")
    if worth is FlagWorth.ABSENT:
        return None
    if flag is None:  # guard: missing flag is unknown
        return Evidence(
            Signal.ACTIVE_RUN_FLAG, Truth.UNKNOWN, "FlagMissing", "The row does not say whether a run is active."
        )
    if worth is FlagWorth.PROVES_LIFE_ONLY:  # guard: blind flag is unknown
        return Evidence(
            Signal.ACTIVE_RUN_FLAG,
            Truth.UNKNOWN,
            "FlagBlindToChatApps",
            f"The row says no run is active, but {case.facts.version} says so of live chat-app runs too.",
        )
    return Evidence(Signal.ACTIVE_RUN_FLAG, Truth.FALSE, "NoActiveRun", "The gateway says no run is active.")


def _active_run_ids(case: Case) -> Evidence | None:
    # Only a non-empty list says anything: it is omitted while an embedded run is live (2026.9.6, #123189).
    if case.session.active_run_ids:  # guard: listed run ids are life
        return Evidence(Signal.ACTIVE_RUN_IDS, Truth.TRUE, "RunIdsListed", "The gateway lists active run ids.")
    return None


def _run_in_flight(case: Case) -> Evidence | None:
    if case.look.tail is not None and case.look.tail.has_run_in_flight:  # guard: run in flight by history
        return Evidence(
            Signal.RUN_IN_FLIGHT, Truth.TRUE, "HistoryShowsRun", "The conversation's history shows a run in flight."
        )
    return None


def started_before_boot(case: Case, row: Session | None = None) -> bool:
    """The run of the case's session, or of ``row``, began before this life of the gateway did, as the gateway says."""
    return is_older_than_boot(row or case.session, case.facts)


def is_older_than_boot(row: Session, facts: GatewayFacts) -> bool:
    started, booted = row.started_at, facts.booted_at
    return started is not None and booted is not None and started < booted + BOOT_SLACK


def _boot_orphan(case: Case) -> Evidence | None:
    started, booted = case.session.started_at, case.facts.booted_at
    if started is None:
        return Evidence(Signal.BOOT_ORPHAN, Truth.UNKNOWN, "NoStartTime", "The row does not say when its run started.")
    if booted is None:
        return Evidence(Signal.BOOT_ORPHAN, Truth.UNKNOWN, "NoBootTime", "The gateway does not say when it started.")
    if not started_before_boot(case):
        return None
    if case.gateway_clock_stepped:  # guard: set clock of the gateway
        return Evidence(
            Signal.BOOT_ORPHAN,
            Truth.UNKNOWN,
            "ClockStepped",
            "The gateway's clock was set while we watched, or differs from ours.",
        )
    return Evidence(
        Signal.BOOT_ORPHAN,
        Truth.FALSE,
        "StartedBeforeBoot",
        f"The run started at {_clock(started)}, before this gateway process did ({_clock(booted)}).",
    )


_BY_A_PROGRAM = Evidence(
    Signal.SESSION_LOCK,
    Truth.UNKNOWN,
    "LockNotTakenByPrograms",
    "No live run holds the session file's lock, but a program beside the gateway may do this one, and those take none.",
)


def _session_lock(case: Case) -> Evidence | None:
    sight, worth = case.look.lock, case.facts.capabilities.lock
    if sight is None:
        return None
    if sight.lock is Lock.HELD_BY_GATEWAY:  # guard: lock of the gateway is life
        return Evidence(
            Signal.SESSION_LOCK,
            Truth.TRUE,
            "LockHeldByGateway",
            "The gateway holds the session file's lock: a run is going.",
        )
    if sight.lock is Lock.HELD_BY_OTHER:  # guard: lock of another process is life
        if started_before_boot(case):
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
    if sight.lock is Lock.UNREADABLE:  # guard: unreadable lock is unknown
        return Evidence(Signal.SESSION_LOCK, Truth.UNKNOWN, "LockUnreadable", "The session file's lock cannot be read.")
    # A lock whose holder is gone was held as the run died (4.15). One from before this run says nothing of it; and where the
    # flag counts runs, a run without a lock may be going beside such a file.
    began = case.session.started_at
    is_of_run = began is not None and sight.created_at is not None and sight.created_at >= began - LOCK_SLACK
    is_flagless = case.facts.capabilities.active_run_flag is FlagWorth.ABSENT
    was_held = sight.lock is Lock.OWNER_GONE and is_flagless and is_of_run
    if worth is not LockWorth.WHOLE_RUN and not was_held:  # guard: no lock proves nothing since 5.18
        return None
    if case.session.is_run_by_a_program:  # guard: a program's run holds no lock
        return _BY_A_PROGRAM
    if not sight.is_taken_by_every_run:  # guard: a program may take over without a word in the row
        return _BY_A_PROGRAM
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
    if (
        preflight is not None
        # guard: busy gateway proves nothing
        and preflight.total_active == 0
    ):
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
    if unauthorized:  # guard: refused abort is life
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
        if other.has_active_run or other.active_run_ids:  # guard: alive under another key
            return Evidence(Signal.ALIAS, Truth.TRUE, "AliveUnderOtherKey", "The same session runs under another key.")
    return None


def _clock(instant: object) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%SZ}"
