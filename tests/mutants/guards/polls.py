"""Polls that do not read everything."""

from __future__ import annotations

from tests.mutants.mutations import DROP, NEVER, swap, value

from .kinds import GATEWAY, GLANCE, GLANCES, Guard

GUARDS: tuple[Guard, ...] = (
    Guard("glance: what runs is read every time", "truncated lists", NEVER, tests=GLANCE),
    Guard("glance: what we are keen on is read every time", "truncated lists", NEVER, tests=GLANCE),
    Guard("glance: a running row that is not found", "truncated lists", NEVER, tests=GLANCE),
    Guard("glance: rows that no poll has read", "truncated lists", NEVER, tests=GLANCE),
    Guard("glance: newest first or not at all", "truncated lists", NEVER, tests=GLANCE),
    Guard("glance: a clock that was set", "host sleep or clock jump", NEVER, tests=GLANCE),
    Guard("glance: overlap", "truncated lists", swap("OVERLAP", "timedelta(0)"), tests=GLANCE),
    Guard("only a sweep says that a session is gone", "truncated lists", DROP, tests=(*GLANCE, *GLANCES)),
    Guard("a running row of an earlier poll is not judged", "truncated lists", NEVER, tests=GLANCES),
    Guard(
        "fence: everything is read",
        "double recovery",
        value("await self.gateway.list_sessions(frozenset())"),
        tests=GLANCES,
    ),
    Guard("sweep after a gap", "host sleep or clock jump", DROP, tests=GLANCES),
    Guard("sweep on every new connection", "truncated lists", DROP, tests=GLANCES),
    Guard("sweep every so often", "truncated lists", DROP, tests=GLANCES),
    Guard(
        "glance: nothing is built upon a poll that failed",
        "truncated lists",
        swap("None", "self._memory"),
        tests=GLANCE,
    ),
    Guard(
        "list: what moved to the front is read there",
        "truncated lists",
        DROP,
        tests=(GATEWAY + "sessions/test_pages.py",),
    ),
)
