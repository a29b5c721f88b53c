"""What the bench of replicas reads, and what is computed for 10,000 gateways from what it recorded."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests import postgresql
from tests.bench import replicas as bench
from tests.bench.replicas import Database, Lateness, Scrape, Setup, lateness, read, said
from tests.figures import record
from tests.figures.document import _replicas
from tests.figures.replicas import BUSY, conclusion, limits, loop_percent, on_paper, replicas_for, together
from watchdog.service.descriptors import ENOUGH
from watchdog.status.metrics import PrometheusMeter

ALONE = {"resident_mib": 60.0}


def found(**changes: Any) -> dict[str, Any]:
    row = {
        "name": "r1", "shards": 22, "gateways": 1000, "core_percent": 24.0, "resident_mib": 360.0, "descriptors": 2064,
        "scrape_median_ms": 90.0, "scrape_most_ms": 200.0, "scrape_kib": 700.0, "scrapes": 40, "unanswered": 0,
    }  # fmt: skip
    database = {
        "transactions_a_s": 900.0, "writes_a_s": 100.0, "active_percent": 18.0, "core_percent": 40.0, "memory_mib": 60.0,
        "ledger_mib": 9.0, "connections": 6, "write_ms": 2.0,
    }  # fmt: skip
    made = {
        "gateways": 3000, "sessions_each": 100, "every_s": 30.0, "minutes": 10.0, "is_settled": True, "settled_after_s": 120,
        "polls": 60000, "late_median_ms": 3.0, "late_p99_ms": 40.0, "late_most_ms": 200.0, "unpolled": 0,
        "canned_core_percent": 50.0, "canned_processes": 2, "database": database, "said": {},
        "rows": [row, {**row, "core_percent": 22.0}, {**row, "core_percent": 20.0}],
    }  # fmt: skip
    return {**made, **changes}


# ---------------------------------------------------------------- what is read


def test_a_scrape_is_read_as_the_daemon_writes_it() -> None:
    meter = PrometheusMeter("1.0.0")
    meter.share(3, 22)
    for number, is_up in enumerate((True, True, False)):
        meter.gateway_up(f"g{number}", is_up=is_up)
    body = meter.render().decode()
    assert read(body, 0.25) == Scrape(0.25, len(body.encode()), 22, 2)
    assert read("", 0.25) == Scrape(0.25, 0, 0, 0)


def test_a_poll_is_late_by_what_goes_beyond_the_interval() -> None:
    assert lateness([[0.0, 30.0, 61.0, 90.5]], 30.0, 10.0, 100.0) == Lateness(3, 0.0, 1.0, 1.0, 0)


def test_a_poll_that_is_still_awaited_is_late_too() -> None:
    seen = lateness([[0.0, 30.0], [], [5.0]], 30.0, 10.0, 100.0)
    assert (seen.polls, seen.unpolled, seen.most) == (1, 2, 65.0)
    assert lateness([[0.0, 30.0, 60.0, 200.0]], 30.0, 10.0, 80.0).most == 0.0, "what came after the span is not of it"


def test_nothing_was_polled() -> None:
    assert lateness([], 30.0, 0.0, 10.0) == Lateness(0, 0.0, 0.0, 0.0, 0)


def test_warnings_are_counted_and_gateways_that_are_polled_less_often() -> None:
    lines = [
        '{"event": "cycle.finished", "level": "info"}',
        '{"event": "gateway.paced", "level": "info"}',
        '{"event": "ledger.unavailable", "level": "error"}',
        '{"event": "ledger.unavailable", "level": "warning"}',
        "Traceback",
    ]
    assert said(lines) == {"gateway.paced": 1, "ledger.unavailable": 2}


def test_canned_gateways_are_split_among_processes_and_none_is_left_out() -> None:
    parts = Setup(3001, 100, 3, 30.0, 1.0).parts
    assert parts == [(0, 1000), (1000, 1000), (2000, 1001)]
    assert Setup(60, 100, 3, 30.0, 1.0).parts == [(0, 60)]


def test_the_database_is_taken_by_the_second() -> None:
    first, last = Database(100, 10, 1.0, 5.0, 0, 0, 3), Database(700, 70, 4.0, 11.0, 2**20, 2**21, 6)
    assert bench._database(first, last, 60.0, 0.002) == {
        "transactions_a_s": 10.0, "writes_a_s": 1.0, "active_percent": 5.0, "core_percent": 10.0, "memory_mib": 1.0,
        "ledger_mib": 2.0, "connections": 6, "write_ms": 2.0,
    }  # fmt: skip


# ---------------------------------------------------------------- what is computed


def test_what_breaks_first_is_the_limit_with_the_fewest_gateways() -> None:
    made = limits(found())
    assert [one.reached_at for one in made] == sorted(one.reached_at for one in made)
    by_name = {one.name.split()[0]: one for one in made}
    assert by_name["event"].taken == pytest.approx(24 + 18 / 3)
    assert by_name["event"].reached_at == pytest.approx(10_000)
    assert by_name["writes"].taken == pytest.approx(20), "100 a second, 2 ms each"
    assert by_name["writes"].reached_at == pytest.approx(15_000)
    assert by_name["files"].most == ENOUGH
    assert by_name["longest"].on_paper == pytest.approx(0.2 * 10 / 3)
    slow = found(database={**found()["database"], "write_ms": 8.0})
    assert limits(slow)[0].name.startswith("writes")
    assert limits(slow)[0].reached_at == pytest.approx(3750)


def test_a_replica_is_planned_with_room() -> None:
    assert loop_percent(found()) == pytest.approx(30)
    assert replicas_for(found()) == 5, f"300 % of one core, {BUSY:.0f} % each"


def test_memory_of_a_daemon_without_gateways_does_not_grow() -> None:
    text = conclusion(found(), ALONE)
    assert f"{(3 * 60 + 3 * 300 * 10 / 3) / 1024:.1f} GiB" in text
    assert "2.2 cores" in text
    assert "3,000 transactions a second" in text
    assert "event loop of the busiest replica" in text


def test_a_limit_that_nothing_comes_near_is_never_reached() -> None:
    idle = found(database={**found()["database"], "writes_a_s": 0.0})
    assert limits(idle)[-1].name.startswith("writes")
    assert "| never |" in _replicas(idle, {"rows": [ALONE]})


def test_a_small_run_says_nothing_of_a_large_one() -> None:
    small = found(gateways=60)
    assert on_paper(small) == []
    assert conclusion(small, ALONE) == "60 gateways are too few to compute 10,000 from."


def test_trouble_is_told_with_the_figures() -> None:
    assert "No warning was logged" in together(found())
    text = together(found(is_settled=False, unpolled=4, said={"gateway.paced": 8}))
    assert "NOT each gateway was watched yet" in text
    assert "4 gateways not polled" in text
    assert "8 times `gateway.paced`" in text


def test_what_a_run_takes_is_told(monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    monkeypatch.setattr(bench, "measured", lambda setup: found(gateways=setup.gateways))
    monkeypatch.setattr(postgresql, "programs", lambda: kept)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert bench.main(["--gateways", "2000", "--record"]) == 0
    text = record.DOCUMENT.read_text("utf-8")
    assert "| 2,000 gateways of 100 sessions, a poll every 30 s |" in text
    assert "| replica 1, 22 shards | 1,000 | 24.0 % | 360 MiB | 2,064 | 90 ms (200 ms) | 700 KiB |" in text


@pytest.mark.parametrize("words", [["--every", "5"], ["--gateways", "0"], ["--minutes", "0"]])
def test_what_cannot_be_measured_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(words)
