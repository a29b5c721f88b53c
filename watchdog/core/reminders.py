"""When what is still open is said again."""

from __future__ import annotations

from datetime import datetime, timedelta


def is_due(said_at: datetime, every: timedelta, now: datetime) -> bool:
    """``said_at``: when it was said last, or when it began, on the wall clock.

    Limit: later than ``now`` by more than ``every`` it was written by a clock that was wrong then, and is not waited for; so
    at most once per ``every``, but for a clock that is set back by more than that."""
    return now - said_at >= every or said_at - now > every  # guard: reminders: at most once in their time
