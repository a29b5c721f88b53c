"""Verdict and tracking."""

from __future__ import annotations

from tests.mutants.mutations import ALWAYS, DROP, NEVER, swap, value

from .kinds import EVIDENCE, TRACKING, VERDICT, Guard

GUARDS: tuple[Guard, ...] = (
    Guard(
        "terminal status wins",
        "finished but flagged",
        value("status is not Status.RUNNING and not is_shut and not case.session.has_active_run"),
        tests=VERDICT,
    ),
    Guard("queued is waiting", "queued behind the lane", NEVER, tests=VERDICT),
    Guard(
        "life outweighs death",
        "long silent tool",
        NEVER,
        ("98257-live-irc-run-3-24", "62981-cli", "run-in-flight"),
        EVIDENCE,
    ),
    Guard("unknown owner is never stuck", "missing fields", ALWAYS, ("98257-live-telegram",), EVIDENCE),
    Guard(
        "counted from the owner's end",
        "event-loop stall",
        value("track.unchanged_since"),
        ("measured-lock-made", "measured-terminal-write"),
        VERDICT,
    ),
    Guard(
        "seen twice", "start-up and restart recovery", DROP, tests=(*VERDICT, "tests/unit/incidents/test_one_look.py")
    ),
    Guard(
        "life starts the count over", "invisible channel run", value("track"), ("measured-life-in-between",), TRACKING
    ),
    Guard("tokens are progress", "long silent tool", DROP, ("85532",), TRACKING),
    Guard("a growing transcript is progress", "long silent tool", DROP, ("87397", "last-moment"), TRACKING),
    Guard("another run is another run", "slow provider", DROP, ("measured-provider-retries",), TRACKING),
    Guard(
        "own ages only",
        "start-up and restart recovery",
        swap("self._believes_rows", "True"),
        ("59878-remote-no-restart", "144574-sleep"),
    ),
)
