"""The guards, one by one: how each is taken out, and what must notice.

Where a guard stands, its mark in the product says (``tests/mutants/marks.py``): ``# guard: <name>``. One whose mark is gone,
or stands on something else, is reported as stale, never skipped.
``cases``: words out of the names of the corpus cases that need the guard. ``tests``: unit tests that do.

Not here, because another guard stands behind each and takes its place when it goes (taken out alone, nothing changes):

- the fence's comparison of the run's identity, and its second reading of the evidence: the fresh look is judged anew, a
  changed run starts its own count, and ``decide`` does nothing for what is not stuck ("fence: look again at all" is here);
- the observer's and the verdict's tests of the row's status, each behind the other;
- the ladder's test in ``plan.is_stalled_but_owned``: without ``abort`` in the ladder the transcript of a living run is never
  watched, and no rung fits it.
"""

from __future__ import annotations

from tests.mutants.guards import (
    blockers,
    ended_runs,
    innocence,
    lists,
    owner_signals,
    people,
    plan,
    polls,
    reminders,
    shares,
    single,
    telling,
    tombstones,
    trust,
    verdict,
    wire,
)

from .kinds import Guard

__all__ = ["GUARDS", "Guard"]

GUARDS = (
    *owner_signals.GUARDS,
    *innocence.GUARDS,
    *verdict.GUARDS,
    *trust.GUARDS,
    *blockers.GUARDS,
    *plan.GUARDS,
    *people.GUARDS,
    *ended_runs.GUARDS,
    *polls.GUARDS,
    *reminders.GUARDS,
    *shares.GUARDS,
    *single.GUARDS,
    *lists.GUARDS,
    *telling.GUARDS,
    *tombstones.GUARDS,
    *wire.GUARDS,
)
