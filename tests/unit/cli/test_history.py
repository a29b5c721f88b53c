"""``history``: the small timeline under it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from watchdog.cli.history import CELLS, _incident_lines, timeline
from watchdog.service.announcements.phrases import OUTCOMES
from watchdog.service.ledger import Incident, Outcome

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
BEGIN = NOW - CELLS * HOUR


def _one(ago: timedelta, lasted: timedelta | None, outcome: Outcome) -> Incident:
    opened = NOW - ago
    closed = opened + lasted if lasted is not None else None
    return Incident("i", "home", "agent:main:main", "sid", opened, "NoActiveRun", outcome, closed)


def _cells(*incidents: Incident) -> str:
    return timeline(incidents, BEGIN, NOW).plain.split()[2]


def test_a_cell_is_as_high_as_incidents_were_open_in_it() -> None:
    early = _one(39.5 * HOUR, HOUR / 4, Outcome.RECOVERED)
    assert _cells(early) == "▁" + "·" * (CELLS - 1)
    assert _cells(early, early, early) == "▃" + "·" * (CELLS - 1)
    assert _cells(*[early] * 30) == "█" + "·" * (CELLS - 1)


def test_what_is_still_open_lasts_until_now() -> None:
    assert _cells(_one(2.5 * HOUR, None, Outcome.OPEN)) == "·" * (CELLS - 3) + "▁▁▁"


def test_the_worst_gives_the_colour() -> None:
    both = [_one(0.5 * HOUR, HOUR / 4, Outcome.RECOVERED), _one(0.5 * HOUR, HOUR / 4, Outcome.QUARANTINED)]
    styles = [str(span.style) for span in timeline(both, BEGIN, NOW).spans]
    assert "bold red" in styles
    assert "green" not in styles


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_colour_and_a_line(outcome: Outcome) -> None:
    incident = _one(0.5 * HOUR, HOUR / 4, outcome)
    assert "▁" in _cells(incident)
    (line,) = _incident_lines(incident, NOW)
    assert OUTCOMES[outcome] in line.plain
    assert "no active run" in line.plain, "words, and no name of a reason"


def test_it_says_what_a_cell_is() -> None:
    said = timeline([_one(HOUR, None, Outcome.OPEN)], BEGIN, NOW).plain
    assert said.startswith("\n2026-11-18 20:00Z ")
    assert said.endswith((" now; a cell is 1 h", " now; a cell is 1h"))


def test_a_moment_is_a_span_too() -> None:
    assert "a cell is" in timeline([_one(timedelta(0), None, Outcome.OPEN)], NOW, NOW).plain
