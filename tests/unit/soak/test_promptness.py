"""How soon a deed followed the moment it was allowed, as a daemon's log tells it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.promptness import delays, sentence


def _line(at: float, event: str, incident: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"timestamp": f"2026-11-20T12:00:{at:06.3f}Z", "event": event, "incident": incident, **fields}


def _stuck(at: float, incident: str, unattended: float = 30.0) -> dict[str, Any]:
    return _line(at, "session.stuck", incident, unattended_seconds=unattended)


def test_who_waits_for_anothers_deed_has_waited() -> None:
    lines = [
        _line(1, "cycle.finished"),
        _stuck(10, "a"),
        _line(10.1, "recovery.started", "a"),
        _stuck(12, "b"),
        _line(12.5, "recovery.started", "b"),
        _line(13, "cycle.finished"),
        _stuck(20, "c"),
        _line(20.2, "recovery.started", "c"),
    ]
    assert delays(lines, 30) == pytest.approx([0.1, 2.5, 0.2])


def test_who_was_seen_late_has_waited_as_long() -> None:
    assert delays([_stuck(14, "a", 34.0), _line(14.1, "recovery.started", "a")], 30) == pytest.approx([4.1])


def test_who_was_held_is_not_counted_and_only_the_first_deed_is() -> None:
    lines = [
        _stuck(10, "a"),
        _line(10.1, "recovery.held", "a"),
        _stuck(10.2, "b"),
        _line(10.3, "recovery.started", "b"),
        _line(20, "recovery.started", "a"),
        _line(21, "recovery.started", "b"),
        _line(22, "recovery.started", "unknown"),
    ]
    assert delays(lines, 30) == pytest.approx([0.3])


def test_the_sentence_has_the_middle_and_the_end() -> None:
    assert sentence([0.1]) == "eligible to acted: 1 never held"
    assert sentence([0.1, 0.2, 0.3]) == (
        "eligible to acted, 3 never held: median 0.20 s, p95 0.29 s, p99 0.30 s, most 0.30 s"
    )
