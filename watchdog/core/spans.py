"""Spans in words."""

from __future__ import annotations

from datetime import timedelta


def span_words(span: timedelta) -> str:
    """``3m12s``, ``2h05m``, ``4d03h``: two units are enough for a person. What lies in the future is ``0s``.

    ``config.durations.spell`` is for what the configuration reads back.
    """
    seconds = int(span.total_seconds())
    if seconds < 60:
        return f"{max(seconds, 0)}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}m{seconds:02d}s" if seconds else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes:02d}m" if minutes else f"{hours}h"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h" if hours else f"{days}d"
