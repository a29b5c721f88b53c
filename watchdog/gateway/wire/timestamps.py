"""Instants on the wire: epoch milliseconds there, aware datetimes from here on."""

from __future__ import annotations

from datetime import UTC, datetime

Millis = int | float | None


MOST_MILLIS = 7_258_118_400_000
"""The year 2200. JSON has numbers that no float, no span and no calendar holds; whoever reckons with one raises."""


def span_ms(millis: Millis) -> float | None:
    """A number of milliseconds that can be reckoned with, on a clock or as a span; None for nonsense."""
    # guard: wire: a number that no clock says is no time
    return float(millis) if millis is not None and 0 <= millis < MOST_MILLIS else None


def instant(millis: Millis) -> datetime | None:
    """Epoch milliseconds as an aware UTC datetime; None for nonsense: before 2020, as seconds or spans in place of
    milliseconds are, or beyond 2200. Nothing of OpenClaw is older, and an early start would prove an orphan."""
    # guard: seconds are no instant
    # guard: wire: an instant can be reckoned with
    if millis is None or not 1_577_836_800_000 <= millis < MOST_MILLIS:
        return None
    return datetime.fromtimestamp(millis / 1000, UTC)
