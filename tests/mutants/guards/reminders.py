"""Reminders: never twice in their time, never of what is over or acknowledged."""

from __future__ import annotations

from tests.mutants.mutations import ALWAYS, value

from .kinds import Guard

_TESTS = ("tests/unit/notify/test_reminders.py",)

GUARDS: tuple[Guard, ...] = (
    Guard("reminders: at most once in their time", "rule 8", value("True"), tests=_TESTS),
    Guard("reminders: ack", "rule 8", ALWAYS, tests=_TESTS),
    Guard("reminders: none of what is over", "rule 8", value("frozenset()"), tests=_TESTS),
)
