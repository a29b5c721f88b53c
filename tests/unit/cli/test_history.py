"""``history``: the small timeline under it, its columns and times, and how it follows."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.cli.gateways import Type, typing, write_config
from watchdog.cli.history import CELLS, News, _Found, _incident_lines, timeline
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.service.announcements.phrases import OUTCOMES
from watchdog.service.ledger import AuditLine, Incident, Outcome

pytestmark = pytest.mark.usefixtures("in_utc")
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
BEGIN = NOW - CELLS * HOUR


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from _in_zone("UTC0", monkeypatch)


@pytest.fixture
def in_the_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from _in_zone("EAST-3", monkeypatch)


def _in_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


def _one(ago: timedelta, lasted: timedelta | None, outcome: Outcome) -> Incident:
    opened = NOW - ago
    closed = opened + lasted if lasted is not None else None
    return Incident("i", "home", "agent:main:main", "sid", opened, "NoActiveRun", outcome, closed)


def _cells(*incidents: Incident) -> str:
    return timeline(incidents, BEGIN, NOW).plain.split()[2]


def test_a_cell_is_as_high_as_incidents_were_open_in_it() -> None:
    early = _one(39.5 * HOUR, HOUR / 4, Outcome.RECOVERED)
    assert _cells(early) == "▁" + "·" * (CELLS - 1)
    assert _cells(early, early, early) == "▃" + "·" * (CELLS - 1)
    assert _cells(*[early] * 30) == "█" + "·" * (CELLS - 1)


def test_what_is_still_open_lasts_until_now() -> None:
    assert _cells(_one(2.5 * HOUR, None, Outcome.OPEN)) == "·" * (CELLS - 3) + "▁▁▁"


def test_the_worst_gives_the_colour() -> None:
    both = [_one(0.5 * HOUR, HOUR / 4, Outcome.RECOVERED), _one(0.5 * HOUR, HOUR / 4, Outcome.QUARANTINED)]
    styles = [str(span.style) for span in timeline(both, BEGIN, NOW).spans]
    assert "bold red" in styles
    assert "green" not in styles


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_colour_and_a_line(outcome: Outcome) -> None:
    incident = _one(0.5 * HOUR, HOUR / 4, outcome)
    assert "▁" in _cells(incident)
    (line,) = _incident_lines(incident, NOW)
    assert OUTCOMES[outcome] in line.plain
    assert "no active run" in line.plain, "words, and no name of a reason"


def test_it_says_what_a_cell_is() -> None:
    said = timeline([_one(HOUR, None, Outcome.OPEN)], BEGIN, NOW).plain
    assert said.startswith("\n2026-11-18 20:00 ")
    assert " now; a cell is 1h, its height " in said


def test_a_moment_is_a_span_too() -> None:
    assert "a cell is" in timeline([_one(timedelta(0), None, Outcome.OPEN)], NOW, NOW).plain


# ---------------------------------------------------------------- as it is typed


@pytest.fixture
def enter(tmp_path: Path) -> Type:
    (tmp_path / "state").mkdir(mode=0o700)
    with SqliteLedger.open(ledger_path(tmp_path / "state")) as ledger:
        for day in (18, 19, 20):
            at = datetime(2026, 11, day, 22, 30, tzinfo=UTC)
            ledger.open_incident(
                gateway="home", session=f"agent:main:{day}", session_id="s", reason="NoActiveRun", at=at
            )
        ledger.audit(datetime(2026, 11, 19, 23, 0, tzinfo=UTC), "ada", "pause", "everything")
    return typing(write_config(tmp_path, "{name: home, url: 'ws://127.0.0.1:1', token: x}"))


def test_the_columns_have_heads_and_the_times_are_this_machines(enter: Type, in_the_east: None) -> None:
    head, newest, *_ = enter("history").stdout.splitlines()
    assert head.split() == ["found,", "EAST", "outcome", "session", "gateway,", "incident,", "why,", "how", "long"]
    assert newest.startswith("2026-11-21 01:30:00  open          agent:main:20  home, ")
    assert [place.index(word) for place, word in ((head, "outcome"), (newest, "open"))] == [21, 21]
    document = json.loads(enter("history", "--json").stdout)
    assert document["incidents"][0]["opened_at"] == "2026-11-20T22:30:00+00:00"


def test_a_ledger_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    done = typing(write_config(tmp_path, "{name: home, url: 'ws://127.0.0.1:1', token: x}"))("history", "--json")
    file = ledger_path(tmp_path / "state")
    assert f"There is no ledger {file} yet: no watchdog has run with this configuration." in done.stderr
    assert json.loads(done.stdout) == {"incidents": [], "operator": []}
    assert not file.exists()


def test_a_day_begins_when_it_does_here(enter: Type, in_the_east: None) -> None:
    """2026-11-20 begins three hours sooner than in Greenwich: the pause at 23:00 UTC of the day before is in it."""
    assert [
        one["what"] for one in json.loads(enter("history", "--since", "2026-11-20", "--json").stdout)["operator"]
    ] == ["pause"]


def test_only_the_newest(enter: Type) -> None:
    document = json.loads(enter("history", "--limit", "2", "--json").stdout)
    assert [one["session"] for one in document["incidents"]] == ["agent:main:20"]
    assert [one["what"] for one in document["operator"]] == ["pause"]
    assert "agent:main:18" not in enter("history", "--limit", "3").stdout
    assert enter("history", "--limit", "0").exit_code == 2


def test_so_many_also_where_all_were_found_at_once() -> None:
    at_once = [replace(_one(HOUR, None, Outcome.OPEN), id=f"i{number}") for number in range(5)]
    assert [one.id for one in _Found(at_once).newest(2).incidents] == ["i0", "i1"]
    assert len(_Found(at_once).newest(None).incidents) == 5


def test_news_is_what_was_not_there_before_or_has_changed() -> None:
    news = News()
    one, line = _one(HOUR, None, Outcome.OPEN), AuditLine(NOW, "ada", "pause", "everything")
    assert [text.plain.split()[2] for text in news.of([one], [line], NOW)] == ["open", "operator"]
    assert news.of([one], [line], NOW) == []
    assert [text.plain.split()[2] for text in news.of([replace(one, outcome=Outcome.CLEARED)], [line], NOW)] == [
        "cleared"
    ]


def test_it_follows_until_it_is_told_to_stop(enter: Type, tmp_path: Path) -> None:
    assert enter("history", "--follow", "--json").exit_code == 2, "a document has an end"
    config = str(tmp_path / "watchdog.yaml")
    argv = [sys.executable, "-m", "watchdog", "history", "--follow", "--limit", "1", "--config", config]
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored in a shell's background, and in all it starts
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, before)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("found, ")
        assert "agent:main:20" in process.stdout.readline()
        enter("pause", "--reason", "just now")
        assert "just now" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
