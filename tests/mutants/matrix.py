"""Every class of false positives beside what stands against it: unit tables, corpus cases, and guards whose removal is
noticed. ``make mutants ARGS=--matrix`` prints it; ``tests/unit/incidents/test_matrix.py`` asks that nothing is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.incidents.cases import Family
from tests.mutants.guards import GUARDS, Guard


@dataclass(frozen=True, slots=True)
class FalsePositive:
    """A way to take something healthy for stuck. ``corpus``: the class of its cases; ``against``: how guards name it."""

    name: str
    corpus: str
    against: tuple[str, ...]


CLASSES = (
    FalsePositive("runs that hasActiveRun does not count", "invisible channel run", ("invisible channel run",)),
    FalsePositive("long silent tool call", "long silent tool", ("long silent tool",)),
    FalsePositive("subagent wait, yielded parent", "subagent wait", ("subagent wait",)),
    FalsePositive("approval pending", "approval or question pending", ("approval pending",)),
    FalsePositive("question pending", "approval or question pending", ("human question",)),
    FalsePositive("slow provider, prefill, deep thinking", "slow provider", ("slow provider",)),
    FalsePositive("compaction", "compaction", ("compaction",)),
    FalsePositive("cron with its own time-out", "cron with its own time-out", ("cron with its own time-out",)),
    FalsePositive("queued behind the global lane", "queued behind the lane", ("queued behind the lane",)),
    FalsePositive("host sleep, clock jump", "host sleep or clock jump", ("host sleep or clock jump",)),
    FalsePositive("event-loop stall, slow RPC", "event-loop stall or slow RPC", ("event-loop stall",)),
    FalsePositive("start-up and restart recovery", "start-up and restart recovery", ("start-up and restart recovery",)),
    FalsePositive("double recovery", "double recovery", ("double recovery",)),
    FalsePositive("finished but flagged", "finished but flagged", ("finished but flagged",)),
    FalsePositive("one session under two keys", "one session under two keys", ("one session under two keys",)),
    FalsePositive("truncated lists", "truncated lists, missing fields", ("truncated lists",)),
    FalsePositive("missing or unknown fields", "truncated lists, missing fields", ("missing fields",)),
)
"""Section 4 of the incident list. Its "audit noise" is left out: audit findings are not read at all."""


@dataclass(frozen=True, slots=True)
class Line:
    """One class and what there is for it."""

    false_positive: FalsePositive
    cases: tuple[str, ...]
    guards: tuple[Guard, ...]

    @property
    def unit_tests(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(test for guard in self.guards for test in guard.tests))

    @property
    def guarded_cases(self) -> tuple[str, ...]:
        """The corpus cases that fail without one of the guards."""
        words = [word for guard in self.guards for word in guard.cases]
        return tuple(case for case in self.cases if any(word in case for word in words))

    @property
    def lacks(self) -> list[str]:
        """What this class still needs."""
        found = {
            "a unit table": self.unit_tests,
            "a corpus case": self.cases,
            "a guard": self.guards,
            "a case that needs a guard": self.guarded_cases,
        }
        return [what for what, there in found.items() if not there]


def lines(families: Sequence[Family]) -> list[Line]:
    """One line per class."""
    names = {family.cls: tuple(case.name for case in family.cases) for family in families}
    return [
        Line(one, names.get(one.corpus, ()), tuple(guard for guard in GUARDS if guard.against in one.against))
        for one in CLASSES
    ]
