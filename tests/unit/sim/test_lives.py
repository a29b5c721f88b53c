"""A watchdog killed on either side of its n-th effect."""

from __future__ import annotations

import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import memory_ledger
from tests.sim.episodes import BEGINNING
from tests.sim.lives import Killed, Life, LivedLedger, LivedNotes
from watchdog.core.policy import Step


def _open_and_plan(ledger: LivedLedger) -> None:
    incident = ledger.open_incident(gateway="home", session="k", session_id=None, reason="NoActiveRun", at=BEGINNING)
    ledger.plan_attempt(incident.id, Step.RESUME, BEGINNING, before=None, before_tail=None)


@pytest.mark.parametrize(("sides", "incidents", "attempts"), [(1, 0, 0), (2, 1, 0), (3, 1, 0), (4, 1, 1)])
def test_a_death_falls_before_or_after_a_change_and_never_inside(sides: int, incidents: int, attempts: int) -> None:
    ledger = memory_ledger(ManualClock())
    with pytest.raises(Killed):
        _open_and_plan(LivedLedger(ledger, Life(0, effects_left=sides)))
    opened = ledger.open_incidents()
    assert len(opened) == incidents
    assert sum(len(incident.attempts) for incident in opened) == attempts


def test_the_dead_do_nothing_more() -> None:
    life = Life(0, effects_left=1)
    notes = LivedNotes(life=life)
    lived = LivedLedger(memory_ledger(ManualClock()), life)
    with pytest.raises(Killed):
        notes.save("i", 1, "words")
    for do in (lived.is_writable, lambda: lived.lost_history_at, lambda: lived.owe([], BEGINNING)):
        with pytest.raises(Killed):
            do()
    assert notes.saved == []
