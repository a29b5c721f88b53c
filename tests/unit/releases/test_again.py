"""One release of the record, tried once more: what it shows is held against what is written, and nothing is written."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.e2e.harness.releases import RELEASES
from tests.releases import again, record

GOOD = {"fate": "tried", "date": "2026-11-29", "findings": [], "disagreements": []}
NEW = "a lost write: 2 deeds, asked again 2 times"


def tried(monkeypatch: pytest.MonkeyPatch, **seen: Any) -> int:
    """What ``main`` answers when the release shows this."""
    text = record.RECORD.read_bytes()
    monkeypatch.setattr(sys, "argv", ["again"])
    monkeypatch.setattr(again, "try_one", lambda version, *, is_kept, within: GOOD | seen)
    try:
        return again.main()
    finally:
        assert record.RECORD.read_bytes() == text


def test_the_good_ones_take_turns_but_for_those_that_are_tried_every_day_anyway() -> None:
    every_day = {release.version: GOOD for release in RELEASES}
    bad = {
        "2026.4.1": {**GOOD, "fate": "not started"},
        "2026.4.5": {**GOOD, "findings": [NEW]},
        "2026.4.7": {**GOOD, "disagreements": [NEW]},
        "2026.9.7-beta.1": GOOD,
    }
    good = ["2026.4.2", "2026.9.4", "2026.10.1"]
    releases = {**every_day, **bad, **dict.fromkeys(reversed(good), GOOD)}
    turns = range(3, 3 + again.DAYS_PER_TURN * len(good), again.DAYS_PER_TURN)
    assert [again.of_the_day(releases, day) for day in turns] == good


@pytest.mark.parametrize("day", range(20_786, 20_786 + 8 * again.DAYS_PER_TURN))
def test_each_day_has_one_of_the_record(day: int) -> None:
    releases = record.load()["releases"]
    assert not record.remarks(releases[again.of_the_day(releases, day)])


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ({}, 0),
        ({"findings": [NEW]}, 1),
        ({"disagreements": ["a person's words are wrapped: it is not so, and the opposite is believed"]}, 1),
        ({"fate": "not started", "reason": "no such plugin"}, 1),
        ({"fate": "cut short", "reason": "not done within 1200 s"}, 1),
        ({"fate": "not installed", "reason": "npm error code ETARGET"}, 0),
    ],
)
def test_what_is_new_fails_and_what_npm_does_not_give_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seen: dict[str, Any], code: int
) -> None:
    assert tried(monkeypatch, **seen) == code
    said = capsys.readouterr().err
    for words in [*seen.get("findings", ()), seen.get("reason")] if seen else ["nothing is new"]:
        assert words is None or words in said


def test_what_the_record_says_is_not_new() -> None:
    assert again.news({**GOOD, "findings": [NEW]}, {**GOOD, "findings": [NEW]}) == []
