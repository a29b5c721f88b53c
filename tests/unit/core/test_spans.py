"""Spans as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from watchdog.core.spans import span_words


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=-90), "0s"),
        (timedelta(seconds=0.4), "0s"),
        (timedelta(seconds=45), "45s"),
        (timedelta(minutes=21), "21m"),
        (timedelta(minutes=21, seconds=3), "21m03s"),
        (timedelta(hours=3, minutes=5), "3h05m"),
        (timedelta(hours=47), "47h"),
        (timedelta(days=2), "2d"),
        (timedelta(days=4, hours=3), "4d03h"),
    ],
)
def test_two_units_are_enough(span: timedelta, words: str) -> None:
    assert span_words(span) == words
