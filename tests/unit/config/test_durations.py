"""Spans of time: what is read, what is refused and with which words, and that text and span agree."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.config.durations import LONGEST, DurationError, parse, spell, without_unit


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30s", timedelta(seconds=30)),
        ("20m", timedelta(minutes=20)),
        ("72h", timedelta(hours=72)),
        ("1h30m", timedelta(minutes=90)),
        ("90d", timedelta(days=90)),
        ("500ms", timedelta(milliseconds=500)),
        ("1d2h3m4s5ms", timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)),
        ("0s", timedelta()),
        ("90s", timedelta(seconds=90)),
        ("007s", timedelta(seconds=7)),
        ("36500d", LONGEST),
    ],
)
def test_reads(text: str, span: timedelta) -> None:
    assert parse(text) == span


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("30", "'30' has no unit (add a unit, e.g. 30s)"),
        ("22:30", "'22:30' looks like a time of day, not a duration (write 22m30s or 22h30m)"),
        ("0:30", "'0:30' looks like a time of day, not a duration (write 30s or 30m)"),
        ("1:30:05", "'1:30:05' looks like a time of day, not a duration (write 1h30m5s)"),
        ("-5m", "'-5m' is negative (a duration is a length of time, e.g. 30s)"),
        ("20 m", "'20 m' is not a duration (did you mean 20m?)"),
        ("20M", "'20M' is not a duration (did you mean 20m?)"),
        ("20 minutes", "'20 minutes' is not a duration (did you mean 20m?)"),
        ("1 hour, 30 min", "'1 hour, 30 min' is not a duration (did you mean 1h30m?)"),
        ("30m1h", "'30m1h' is not a duration (largest unit first and each once, e.g. 1h30m)"),
        ("1m1m", "'1m1m' is not a duration (largest unit first and each once, e.g. 1h30m)"),
        ("1.5h", "'1.5h' has a fraction (use a smaller unit, e.g. 1h30m for one and a half hours)"),
        ("2w", "'w' in '2w' is not a unit of time (units: ms, s, m, h, d)"),
        ("5 parsecs", "'parsecs' in '5 parsecs' is not a unit of time (units: ms, s, m, h, d)"),
        ("soon", "'soon' is not a duration (durations look like 30s, 20m, 72h, 1h30m or 90d)"),
        ("", "'' is not a duration (durations look like 30s, 20m, 72h, 1h30m or 90d)"),
        ("PT20M", "'PT20M' is not a duration (durations look like 30s, 20m, 72h, 1h30m or 90d)"),
        ("36501d", "'36501d' is too long (at most 36500d)"),
        ("9" * 30 + "d", "'999999999999999999999999999999d' is too long (at most 36500d)"),
        ("9" * 5000 + "d", f"'{'9' * 39}…' is too long (at most 36500d)"),
        ("٣s", "'٣s' is not a duration (did you mean 3s?)"),
    ],
)
def test_refuses_with_the_way_out(text: str, refusal: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse(text)
    assert str(caught.value) == refusal


def test_a_bare_number_is_asked_for_its_unit() -> None:
    assert str(without_unit(30)) == "30 is a number, not a duration (add a unit, e.g. 30s)"
    assert str(without_unit(-1)) == "-1 is a number, not a duration (add a unit, e.g. 30s)"
    assert str(without_unit(0.5)) == "0.5 is a number, not a duration (add a unit, e.g. 30s)"


@pytest.mark.parametrize("text", ["30s", "1m", "90s", "2m", "20m", "1h", "1h30m", "2h", "72h", "90d", "1s500ms", "0s"])
def test_spells_as_people_would(text: str) -> None:
    assert spell(parse(text)) == text


@given(st.integers(min_value=0, max_value=LONGEST // timedelta(milliseconds=1)))
def test_every_span_is_read_back(millis: int) -> None:
    span = timedelta(milliseconds=millis)
    assert parse(spell(span)) == span


@given(st.text(max_size=30))
def test_any_text_is_a_span_or_a_refusal(text: str) -> None:
    with suppress(DurationError):
        assert timedelta() <= parse(text) <= LONGEST
