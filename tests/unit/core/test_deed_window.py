"""At which hours deeds may be done, on a clock that is set forward in March and back in October."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.config.deed_window import parse

WORKING = "Mon-Fri 08:00-20:00 Europe/Berlin"
NIGHTS = "Fri,Sat 22:00-06:00 UTC"
CHANGES = "02:30-03:30 Europe/Berlin"
"""Hours that a change of clocks cuts (29 March 2026, 02:00 -> 03:00) and doubles (25 October 2026, 03:00 -> 02:00)."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "now", "until"),
    [
        (WORKING, "2026-11-20 07:00", None),
        (WORKING, "2026-11-20 06:59:59.999", "2026-11-20 07:00"),
        (WORKING, "2026-11-20 18:59:59.999", None),
        (WORKING, "2026-11-20 19:00", "2026-11-23 07:00"),
        (WORKING, "2026-11-22 12:00", "2026-11-23 07:00"),
        # In summer the same reading is an hour earlier, and from one Friday to the next Monday the clock may be changed.
        (WORKING, "2026-07-20 06:00", None),
        (WORKING, "2026-03-27 19:00", "2026-03-30 06:00"),
        (WORKING, "2026-10-23 18:00", "2026-10-26 07:00"),
        (NIGHTS, "2026-11-20 22:00", None),
        (NIGHTS, "2026-11-21 05:59", None),
        (NIGHTS, "2026-11-21 06:00", "2026-11-21 22:00"),
        (NIGHTS, "2026-11-22 05:59", None),
        (NIGHTS, "2026-11-22 06:00", "2026-11-27 22:00"),
        ("Sun 00:00-24:00 UTC", "2026-11-22 23:59:59", None),
        ("Sun 00:00-24:00 UTC", "2026-11-23 00:00", "2026-11-29 00:00"),
        ("00:00-24:00 UTC", "2026-11-23 00:00", None),
        ("Sat-Mon 10:00-11:00 Asia/Kolkata", "2026-11-23 04:45", None),
        ("Sat-Mon 10:00-11:00 Asia/Kolkata", "2026-11-24 04:45", "2026-11-28 04:30"),
        (CHANGES, "2026-03-28 01:30", None),
        (CHANGES, "2026-03-29 01:00", "2026-03-30 00:30"),  # between 03:00 and 03:30: 02:30 never was
        (CHANGES, "2026-10-25 00:45", "2026-10-25 01:30"),  # the first 02:45
        (CHANGES, "2026-10-25 01:45", None),  # the second
        ("Sun 02:10-02:50 Europe/Berlin", "2026-03-23 00:00", "2026-04-05 00:10"),
    ],
)
def test_when_it_opens(words: str, now: str, until: str | None) -> None:
    assert parse(words).closed_until(utc(now)) == (utc(until) if until else None)


MINUTES = st.integers(0, 24 * 60 - 1)


@given(
    begins=MINUTES,
    ends=MINUTES,
    days=st.sets(st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]), min_size=1),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata"]),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants naive ones
)
def test_what_is_said_to_be_open_is_so_by_the_clock_on_the_wall(
    begins: int, ends: int, days: set[str], zone: str, now: datetime
) -> None:
    if begins == ends:
        return
    clock = f"{begins // 60:02}:{begins % 60:02}-{ends // 60:02}:{ends % 60:02}"
    window = parse(f"{','.join(sorted(days))} {clock} {zone}")
    opens_at = window.closed_until(now)
    at = now if opens_at is None else opens_at
    assert at >= now
    assert window.closed_until(at) is None, "what is promised is kept"
    if opens_at is not None:
        assert window.closed_until(opens_at - timedelta(microseconds=1)) == opens_at, "and not a moment earlier"
    local = at.astimezone(ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    begun_today = minute >= begins and (minute < ends or ends < begins)
    day = local if begun_today else local - timedelta(days=1)
    assert begun_today or (ends < begins and minute < ends)
    assert f"{day:%a}" in days
