"""``recovery.deeds_between``: what is read, and which part of it is wrong."""

from __future__ import annotations

from datetime import UTC, time

import pytest
from pydantic_core import PydanticCustomError

from watchdog.config import ConfigError, diff, effective, parse
from watchdog.config.deed_window import parse as parse_window

WORKING = "Mon-Fri 08:00-20:00 Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "days", "begins", "ends"),
    [
        (WORKING, {0, 1, 2, 3, 4}, time(8), time(20)),
        ("  sat-mon   22:00-06:00   UTC ", {5, 6, 0}, time(22), time(6)),
        ("Tue,thu-Fri 00:00-24:00 UTC", {1, 3, 4}, time(), time()),
        ("09:30-17:05 UTC", set(range(7)), time(9, 30), time(17, 5)),
    ],
)
def test_reads(text: str, days: set[int], begins: time, ends: time) -> None:
    window = parse_window(text)
    assert (window.days, window.begins, window.ends) == (frozenset(days), begins, ends)
    assert parse_window(window.words) == window
    assert window.zone is UTC or str(window.zone) == "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "'' names no hours", "e.g. "),
        ("Mon-Fri", "'Mon-Fri' names no hours", "e.g. "),
        ("Mon-Fri 8 UTC", "'Mon-Fri 8 UTC' names no hours", "e.g. "),
        ("Mno 08:00-20:00 UTC", "'Mno' in 'Mno 08:00-20:00 UTC' is not a day of the week", "did you mean 'Mon'?"),
        ("Mon- 08:00-20:00 UTC", "'' in 'Mon- 08:00-20:00 UTC' is not a day of the week", "one of: Mon"),
        ("Mon 8:00-20:00 UTC", "'8:00' in 'Mon 8:00-20:00 UTC' is not a time of day", "00:00 to 23:59"),
        ("Mon 24:00-06:00 UTC", "'24:00' in 'Mon 24:00-06:00 UTC' is not a time of day", "00:00 to 23:59"),
        ("08:00-08:00 UTC", "'08:00-08:00' in '08:00-08:00 UTC' is no time at all, or the whole day", "00:00-24:00"),
        ("08:00-20:00", "'08:00-20:00' does not end with one time zone, so whose clock is meant is open", "or UTC"),
        ("08:00-20:00 UTC Berlin", "'08:00-20:00 UTC Berlin' does not end with one time zone", "or UTC"),
        ("08:00-20:00 Europe/Bärlin", "this machine knows no time zone 'Europe/Bärlin'", "tzdata"),
        ("08:00-20:00 ../../etc/passwd", "this machine knows no time zone '../../etc/passwd'", "tzdata"),
        ("08:00-20:00 Europe", "this machine knows no time zone 'Europe'", "tzdata"),
    ],
)
def test_says_which_part_is_wrong(text: str, message: str, hint: str) -> None:
    with pytest.raises(PydanticCustomError) as refused:
        parse_window(text)
    assert refused.value.context is not None
    assert refused.value.context["message"].startswith(message)
    assert hint in refused.value.context["hint"]


def test_a_refusal_has_its_line_and_the_rest_is_refused_with_it() -> None:
    text = "recovery:\n  deeds_between: Mon 08:00-20:00 CET/Berlin\npolicies:\n  - match: {kind: cron}\n    recovery: {deeds_between: 3}"
    with pytest.raises(ConfigError) as refused:
        parse(text, file="w.yaml", env={})
    zone, number = map(str, refused.value.problems)
    assert zone.startswith("w.yaml:2:18: deeds_between: this machine knows no time zone 'CET/Berlin'")
    assert number.startswith("w.yaml:5:")
    assert "expected days, hours and a time zone, found a number" in number


def test_a_policy_has_hours_of_its_own_or_none_and_a_reload_names_what_changed() -> None:
    text = f"recovery: {{deeds_between: {WORKING}}}\npolicies:\n"
    text += "  - {name: any, match: {agent: a}, recovery: {deeds_between: null}}\n  - {name: as, match: {agent: b}}"
    loaded = parse(text, file="w.yaml", env={})
    free, same = loaded.policy_book.policies[:2]
    assert free.recovery.deeds_between is None
    assert same.recovery.deeds_between == loaded.policy_book.default.recovery.deeds_between == parse_window(WORKING)
    shown = effective(loaded)
    assert shown["recovery"]["deeds_between"] == WORKING
    assert [policy["recovery"]["deeds_between"] for policy in shown["policies"]] == [None, WORKING, WORKING, WORKING]
    assert diff(
        parse("", file="w.yaml", env={}).config, parse(text.partition("\n")[0], file="w.yaml", env={}).config
    ) == [f"recovery.deeds_between: null -> {WORKING}"]
