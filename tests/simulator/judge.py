"""Was it right, what the clients did? Invariants over deeds and stalls, with the truth of each instant.

What only the watchdog knows (its ledger, its budgets, its messages) is checked elsewhere; here stands what the world saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from openclaw_simulator.records import ClientEffect, GroundTruth
from openclaw_simulator.world import World

PASSIVE = frozenset({"send", "sessions.create"})
"""Methods that touch nobody's run."""


class Wrong(StrEnum):
    HIT_AN_OWNER = "hit_an_owner"
    """A deed on a session with a live (or waiting) run that was not the doer's own."""
    RESUMED_STOPPED = "resumed_stopped"
    """A deed on a run its user had stopped."""
    REDID_FINISHED = "redid_finished"
    """A deed on work that was done; only the row said otherwise."""
    FORESTALLED_RECOVERY = "forestalled_recovery"
    """A deed while the gateway's own restart recovery had the session."""
    LEFT_STUCK = "left_stuck"
    """A session stuck for longer than the bound."""


@dataclass(frozen=True, slots=True)
class Violation:
    what: Wrong
    key: str
    at_ms: int
    note: str


_BY_TRUTH = {
    GroundTruth.STOPPED: Wrong.RESUMED_STOPPED,
    GroundTruth.FINISHED: Wrong.REDID_FINISHED,
    GroundTruth.RECOVERING: Wrong.FORESTALLED_RECOVERY,
    GroundTruth.LIVE: Wrong.HIT_AN_OWNER,
    GroundTruth.QUEUED: Wrong.HIT_AN_OWNER,
}


def wrong_deeds(
    world: World, *, by: Callable[[ClientEffect], bool] = lambda _: True, since: int = 0
) -> list[Violation]:
    """Deeds (from number ``since`` on, of the clients ``by`` picks) that should not have been done."""
    own = {deed.run_id for deed in world.deeds if deed.run_id is not None and by(deed)}
    found: list[Violation] = []
    for deed in world.deeds[since:]:
        what = _BY_TRUTH.get(deed.truth)
        if what is None or not deed.changed or deed.method in PASSIVE or not by(deed):
            continue
        if deed.owner_run is not None and deed.owner_run in own:
            continue  # a next step on its own earlier turn
        found.append(Violation(what, deed.key, deed.at_ms, f"{deed.method}: {deed.effect}"))
    return found


def left_stuck(world: World, bound_seconds: float) -> list[Violation]:
    """Sessions that have been stuck for longer than the bound. Stopped and finished ones are nobody's duty."""
    return [
        Violation(Wrong.LEFT_STUCK, stall.key, stall.since_ms, f"{stall.cause} at {stall.doing}")
        for stall in world.stalls
        if stall.is_open and stall.truth is GroundTruth.STUCK and world.now_ms - stall.since_ms > bound_seconds * 1000
    ]
