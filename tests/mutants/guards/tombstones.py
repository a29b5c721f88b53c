"""Sessions that their gateway has given up: reset only where nothing usable is lost, and proved."""

from __future__ import annotations

from tests.mutants.mutations import DROP, NEVER, swap

from .kinds import SERVICE, Guard

TOMBSTONES = (SERVICE + "test_tombstones.py",)

GUARDS: tuple[Guard, ...] = (
    Guard("tombstone: what was put away is let be", "rule 12", DROP, tests=TOMBSTONES),
    Guard("tombstone: background work has an owner", "rule 12", DROP, tests=TOMBSTONES),
    Guard(
        "tombstone: reset only for who writes from a chat",
        "rule 13",
        swap("is_written_to(row)", "True"),
        ("measured-tombstone-without-a-chat",),
        TOMBSTONES,
    ),
    Guard(
        "tombstone: nothing is said in the chat",
        "rule 14",
        swap("replace(requester, route=None)", "requester"),
        tests=TOMBSTONES,
    ),
    Guard("tombstone: it has ended, and is not over", "rule 18", NEVER, tests=TOMBSTONES),
    Guard("stop: the transcript of a tombstone", "rule 16", DROP, tests=TOMBSTONES),
    Guard("verify: a tombstone that is one still", "rule 9", NEVER, tests=TOMBSTONES),
    Guard("verify: a successor in which nothing has run", "rule 9", NEVER, tests=TOMBSTONES),
    Guard("recover: proved where it goes on", "rule 9", DROP, tests=TOMBSTONES),
    Guard("unanswered: a tombstone is told with its incident", "rule 8", NEVER, tests=TOMBSTONES),
)
