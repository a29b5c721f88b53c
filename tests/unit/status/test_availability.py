"""For how much of a week a gateway answered, as far as it was watched."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.status.support import NOW
from watchdog.status.availability import FILE, LONGEST_GAP, Availability

NOON = NOW.wall
POLL = timedelta(seconds=30)


def lived(kept: Availability, begin: int, minutes: int, *, answered: bool | None = True) -> None:
    """Passes every 30 seconds from ``begin`` minutes after noon on."""
    for count in range(minutes * 2):
        kept.note("home", NOON + timedelta(minutes=begin) + POLL * count, answered=answered)


def test_what_answered_always_is_whole_and_what_was_not_watched_is_nothing() -> None:
    kept = Availability(None)
    assert kept.view("home", NOON).watched_seconds == 0
    lived(kept, 0, 30)
    seen = kept.view("home", NOON + timedelta(minutes=30))
    assert (seen.answered_seconds, seen.watched_seconds, len(seen.hours)) == (30 * 60 - 30, 30 * 60 - 30, 168)
    assert seen.hours[-2:] == (None, 1.0)
    assert seen.last_hour == NOON


def test_an_outage_counts_from_the_pass_that_found_it_to_the_one_that_found_it_over() -> None:
    kept = Availability(None)
    lived(kept, 0, 15)
    lived(kept, 15, 15, answered=False)
    lived(kept, 30, 30)
    kept.note("home", NOON + timedelta(hours=1), answered=True)
    seen = kept.view("home", NOON + timedelta(minutes=59))
    assert seen.hours[-1] == pytest.approx(45 * 60 / (60 * 60), abs=0.01)


@pytest.mark.parametrize("between", ["asleep", "a defect of ours"])
def test_a_time_in_which_nobody_looked_counts_neither_way(between: str) -> None:
    kept = Availability(None)
    kept.note("home", NOON, answered=False)
    if between == "asleep":
        kept.note("home", NOON + LONGEST_GAP + POLL, answered=True)
    else:
        kept.note("home", NOON + POLL, answered=None)
        kept.note("home", NOON + 2 * POLL, answered=True)
        assert kept.view("home", NOON).watched_seconds == 30
        return
    assert kept.view("home", NOON).watched_seconds == 0


def test_a_clock_that_is_set_back_counts_nothing() -> None:
    kept = Availability(None)
    kept.note("home", NOON, answered=True)
    kept.note("home", NOON - timedelta(hours=1), answered=True)
    assert kept.view("home", NOON).watched_seconds == 0


def test_it_outlives_the_daemon_for_a_week(tmp_path: Path) -> None:
    path = tmp_path / FILE
    kept = Availability(path)
    lived(kept, 0, 60)
    assert not path.exists()
    kept.note("home", NOON + timedelta(hours=1), answered=True)
    assert path.exists(), "once an hour"
    lived(kept, 60, 30)
    kept.write(NOON + timedelta(minutes=90))
    again = Availability(path)
    assert again.view("home", NOON + timedelta(minutes=90)) == kept.view("home", NOON + timedelta(minutes=90))
    week = timedelta(days=7)
    assert again.view("home", NOON + week + timedelta(hours=2)).watched_seconds == 0
    again.write(NOON + week + timedelta(hours=2))
    assert path.read_text() == "{}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"home": 1}',
        '{"home": {"x": [1, 1]}}',
        '{"home": {"1": [1]}}',
        "\x00",
        '{"home": {"1": [1, 1]}, "x": ' + "[" * 200_000,
    ],
)
def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / FILE
    path.write_text(text)
    kept = Availability(path)
    lived(kept, 0, 5)
    assert kept.view("home", NOON).hours[-1] == 1.0


@pytest.mark.parametrize("figures", ["NaN, 1", "1, NaN", "1e999, 1", "1, -1e999", "-Infinity, 1", "-1, -1", "-1, 0"])
def test_only_figures_are_kept(tmp_path: Path, figures: str) -> None:
    path = tmp_path / FILE
    hour = int(NOON.timestamp()) // 3600
    path.write_text(f'{{"home": {{"{hour}": [{figures}], "{hour - 1}": [3600, 900]}}}}')
    seen = Availability(path).view("home", NOON)
    assert (seen.hours[-2:], seen.watched_seconds, seen.answered_seconds) == ((0.25, None), 3600, 900)


def test_no_hour_is_longer_than_an_hour(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text(f'{{"home": {{"{int(NOON.timestamp()) // 3600}": [{10**400}, {10**400}]}}}}')
    assert Availability(path).view("home", NOON).answered_seconds == 3600


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    kept = Availability(tmp_path / "gone" / FILE)
    lived(kept, 0, 5)
    kept.write(NOON)
    assert kept.view("home", NOON).hours[-1] == 1.0
