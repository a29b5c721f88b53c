"""Blockers."""

from __future__ import annotations

from tests.mutants.mutations import ALWAYS, DROP, NEVER, swap, value

from .kinds import BLOCKERS, GATEWAY, TRACKING, WAITING, Guard

GUARDS: tuple[Guard, ...] = (
    Guard("untrusted gateway", "event-loop stall", NEVER, ("107415", "slow-answers"), BLOCKERS),
    Guard("start-up grace", "start-up and restart recovery", NEVER, ("grace-after-a-restart",), BLOCKERS),
    Guard("incomplete list", "truncated lists", NEVER, ("list-truncated",), BLOCKERS),
    Guard(
        "completeness is counted",
        "truncated lists",
        swap("False", "True"),
        tests=(GATEWAY + "sessions/test_pages.py",),  # the corpus has a list that without it never ends
    ),
    Guard("fleet breaker", "double recovery", NEVER, ("145152",), BLOCKERS),
    Guard("proven ones pass the breaker", "start-up and restart recovery", DROP, ("measured-crash",)),
    Guard("locked session", "double recovery", NEVER, ("62981-orphan",), BLOCKERS),
    Guard("unreadable lock holds", "missing fields", NEVER, ("60258-orphan-with",), BLOCKERS),
    Guard("no session id, no fence", "missing fields", NEVER, ("no-session-id",), BLOCKERS),
    Guard("two keys, which is right", "one session under two keys", NEVER, ("83484-dead",), BLOCKERS),
    Guard("touched a moment ago", "double recovery", NEVER, ("touched-a-moment-ago",), BLOCKERS),
    Guard("transcript unknown", "missing fields", NEVER, ("transcript-cannot",), BLOCKERS),
    Guard("work finished", "finished but flagged", NEVER, ("91700-answered",), BLOCKERS),
    Guard("pending input", "queued behind the lane", NEVER, ("person-waits",), BLOCKERS),
    Guard("another watchdog's deed", "double recovery", NEVER, ("121570-another",), BLOCKERS),
    Guard("one deed has one key", "double recovery", ALWAYS, tests=("tests/unit/ledger/test_contract.py",)),
    Guard("no answer is no permission", "missing fields", value("{}"), tests=(GATEWAY + "test_client.py",)),
    Guard("no list is not an empty one", "approval pending", NEVER, tests=(GATEWAY + "sessions/test_inspect.py",)),
    Guard("a few at a time", "rule 11", NEVER, ("measured-sigterm",), BLOCKERS),
    Guard("cool-down", "rule 10", NEVER, ("146692-abort", "59878-new-after"), BLOCKERS),
    Guard("session budget", "rule 10", NEVER, ("74864-stuck-again",), BLOCKERS),
    Guard("missing scope", "rule 6", NEVER, tests=BLOCKERS),
    Guard("paused by an operator", "rule 10", NEVER, tests=BLOCKERS),
    Guard(
        "outside the hours for deeds",
        "rule 10",
        NEVER,
        tests=(*BLOCKERS, "tests/unit/service/test_hours_for_deeds.py"),
    ),
    Guard(
        "the hours are over by the time of the deed",
        "rule 10",
        NEVER,
        tests=("tests/unit/service/test_hours_for_deeds.py",),
    ),
    Guard(
        "the hours are over by the time of the restart",
        "rule 10",
        value("None"),
        tests=("tests/unit/gateway_restart/test_restarter.py",),
    ),
    Guard("observe mode", "rule 10", NEVER, tests=BLOCKERS),
    Guard("quarantined", "rule 10", NEVER, tests=BLOCKERS),
    Guard("ledger cannot be written", "rule 10", NEVER, tests=BLOCKERS),
    Guard("attempt in flight", "rule 10", NEVER, tests=BLOCKERS),
    Guard("gateway budget", "rule 10", NEVER, tests=BLOCKERS),
    Guard("ledger lost", "rule 10", NEVER, tests=BLOCKERS),
    Guard("approvals that could not be read", "approval pending", NEVER, tests=BLOCKERS),
    Guard("ended by the scheduler's log", "cron with its own time-out", NEVER, ("56121-ended-by-the-log",), BLOCKERS),
    Guard("the log of this very run", "cron with its own time-out", DROP, ("56121-not-ended-by-the-log",), WAITING),
    Guard(
        "lists read as admin",
        "approval pending",
        NEVER,
        ("150769-approval-of", "153258-question-of"),
        (GATEWAY + "sessions/test_inspect.py",),
    ),
    Guard(
        "seconds are no instant",
        "missing fields",
        swap("1577836800000", "1"),
        ("start-in-seconds",),
        (GATEWAY + "sessions/test_rows.py",),
    ),
    Guard(
        "row touched long after a time-out: that was not its end",
        "queued behind the lane",
        value("None"),
        tests=BLOCKERS,
    ),
    Guard(
        "row touched after the boot: words may wait for a lane",
        "queued behind the lane",
        NEVER,
        ("words-wait-for-a-lane-3-24",),
        BLOCKERS,
    ),
    Guard(
        "a lane is free only when nothing else runs",
        "queued behind the lane",
        value("True"),
        ("words-wait-for-a-lane-3-24",),
    ),
    Guard(
        "a lane is free once it was for as long as a start takes",
        "queued behind the lane",
        value("True"),
        ("words-wait-for-a-lane-3-24",),
        TRACKING,
    ),
    Guard(
        "a row that was put back", "finished but flagged", NEVER, ("row-put-back-after-an-agent-turn-3-24",), BLOCKERS
    ),
)
