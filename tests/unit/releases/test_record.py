"""``docs/compatibility.md`` is made of ``tests/releases/record.json``, and says what stands there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.releases import record
from tests.releases.observed import Shapes, disagreements
from tests.releases.published import by_distance, is_stable, place_of, recipe
from watchdog.gateway.capabilities import NEWEST_TRIED, parse_version


def test_the_document_says_what_the_record_holds() -> None:
    assert record.DOCUMENT.read_text() == record.document(record.load()), "run `make releases ARGS=--document`"


def test_two_runs_beside_each_other_lose_nothing_of_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECORD", "DOCUMENT"):
        monkeypatch.setattr(record, name, tmp_path / name)
    versions = [f"2026.4.{number}" for number in range(1, 9)]
    seen = {"fate": "not started", "date": "2026-11-29"}
    with ThreadPoolExecutor(len(versions)) as at_once:
        list(at_once.map(lambda version: record.enter(version, seen, versions), versions))
    assert sorted(record.load()["releases"]) == versions
    assert record.DOCUMENT.read_text() == record.document(record.load())


def test_the_newest_that_was_tried_is_the_newest_that_is_known() -> None:
    """What a gateway's version is held against: ``capabilities.NEWEST_TRIED``."""
    assert parse_version(record.newest_tried(record.load())) == NEWEST_TRIED


def test_a_repaired_release_comes_after_the_one_it_repairs_and_a_beta_before_it() -> None:
    versions = ["2026.10.1", "2026.5.3-1", "2026.5.4", "2026.5.3", "2026.5.3-beta.2"]
    assert sorted(versions, key=place_of) == ["2026.5.3-beta.2", "2026.5.3", "2026.5.3-1", "2026.5.4", "2026.10.1"]
    assert not is_stable("2026.7.1-beta.1")


def test_what_is_tried_next_lies_far_from_what_was_tried() -> None:
    versions = [f"2026.9.{number}" for number in range(9)]
    assert by_distance(versions, ["2026.9.8"])[:3] == ["2026.9.0", "2026.9.4", "2026.9.6"]
    assert sorted(by_distance(versions, ["2026.9.8"])) == versions[:-1]
    assert by_distance(versions, versions) == []


def test_a_beta_has_a_recipe_when_it_is_named() -> None:
    assert recipe("2026.9.7-beta.2").node == 26
    with pytest.raises(ValueError, match="latest"):
        recipe("latest")


def row(**fields: Any) -> dict[str, Any]:
    return {"sessions": [{"key": "agent:main:main", "status": "done", **fields}]}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (row(status="dreaming"), "unknown"),
        (row(startedAt="yesterday"), "cannot be read"),
        (row(deliveryContext={"channel": 7}), "cannot be read"),
    ],
)
def test_what_the_readers_cannot_read_is_found(answer: dict[str, Any], words: str) -> None:
    shapes = Shapes()
    shapes.rows(row())
    assert not shapes.problems
    shapes.rows(answer)
    assert words in "".join(shapes.problems)


def test_an_unreadable_history_is_found() -> None:
    shapes = Shapes()
    shapes.history({"messages": [{"role": "user", "content": "hello", "timestamp": 1}]})
    assert not shapes.problems
    shapes.history({"messages": [{"role": "oracle", "content": "hello"}]})
    shapes.history({"messages": [{"role": 7}]})
    assert len(shapes.problems) == 3
    assert shapes.fields["message.role"] == {"text", "number"}


@pytest.mark.parametrize(
    ("version", "facts", "said"),
    [
        ("2026.9.6", {"flags": {"from a chat": True}, "pages": True, "stop_leaves_running": False}, []),
        ("2026.9.6", {"flags": {"from a chat": False}}, ["trusted"]),
        ("2026.9.6", {"stop_leaves_running": True}, ["opposite"]),
        ("2026.3.24", {"flags": {"from a chat": None}, "locks_whole_run": True, "stop_leaves_running": True}, []),
        ("2026.3.24", {"flags": {"from a chat": True}}, ["hasActiveRun is there"]),
        ("2026.3.24", {"locks_whole_run": False}, ["does not hold"]),
        ("2026.3.24", {"resumes_at_boot": True}, ["takes up runs"]),
        ("2026.5.18", {"flags": {"from a chat": False}, "wraps_words": True}, []),
        ("later", {}, ["cannot be read"]),
    ],
)
def test_what_is_seen_is_held_against_what_is_believed(version: str, facts: dict[str, Any], said: list[str]) -> None:
    found = disagreements(version, [], facts)
    assert len(found) == len(said)
    assert all(words in one for words, one in zip(said, found, strict=True))


def test_neighbours_of_which_the_same_is_to_be_said_stand_together() -> None:
    tried: dict[str, object] = {"fate": "tried", "findings": ["odd"]}
    releases: dict[str, dict[str, object]] = {
        "2026.8.1": tried,
        "2026.8.2": tried,
        "2026.9.1": {"fate": "tried"},
        "2026.9.2": tried,
    }
    notes = {"2026.8.1": "Because.", "2026.8.2": "Because."}
    found = record._findings(sorted(releases), releases, notes)
    assert found == "**2026.9.2**\n\n- odd\n\n**2026.8.2, 2026.8.1**\n\n- odd\n\nBecause."


def test_fields_that_come_go_and_change_are_named() -> None:
    before = {"fields": {"row.a": "text", "row.b": "text", "row.c": "list or null"}, "facts": {"store": "files"}}
    after = {"fields": {"row.a": "number", "row.c": "null", "row.d": "text"}, "facts": {"store": "sqlite"}}
    (line,) = record._changes(["2026.9.5", "2026.9.6"], {"2026.9.5": before, "2026.9.6": after}).splitlines()
    assert "sessions are kept in: files, then sqlite" in line
    assert "new `row.d`" in line
    assert "gone `row.b`, `row.c`" in line
    assert "`row.a` was text and is number" in line
