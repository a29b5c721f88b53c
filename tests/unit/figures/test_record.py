"""What ``--record`` of the measuring commands keeps, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import reaction, scale
from tests.bench.daemon_alone import Watched
from tests.bench.one_look import Look
from tests.bench.partial_polls import SWEEP_EVERY, Glanced, Swept, _a_minute
from tests.bench.usage import MIB, Spent
from tests.faults.__main__ import merged
from tests.faults.balance import Balance
from tests.faults.report import Row
from tests.faults.soak import Sample, _figures
from tests.faults.tally import Reckoning
from tests.figures import record
from tests.figures.document import document
from tests.sim import __main__ as sim
from tests.sim import episodes
from tests.sim.judge import Rule, Violation


def test_a_run_is_recorded_with_its_date_and_told(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = episodes.run(1, hours=2.0)
    monkeypatch.setattr(episodes, "run", lambda _seed, **_: result)
    assert sim.main(["--workers", "1"]) == 0
    assert "`make sim ARGS=--record` writes it anew" in capsys.readouterr().out
    assert sim.main(["--workers", "1", "--record"]) == 0
    seen = record.load()["sim"]
    assert seen["measured"] == record.today()
    assert seen["session_hours"] == round(sim.FIXED_SEEDS * result.session_hours)
    assert f"{seen['session_hours']:,} session-hours in {sim.FIXED_SEEDS} worlds" in record.DOCUMENT.read_text("utf-8")
    assert record.DOCUMENT.read_text("utf-8") == document(record.load())
    capsys.readouterr()
    assert sim.main(["--workers", "1"]) == 0
    assert "writes it anew" not in capsys.readouterr().out


def test_a_run_with_a_violation_is_not_recorded(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = episodes.run(1, hours=2.0)
    result.violations.append(Violation(Rule.TWICE, "agent:main:main", 12.5, "sent 2 times"))
    monkeypatch.setattr(episodes, "run", lambda _seed, **_: result)
    before = record.load()
    assert sim.main(["--workers", "1", "--record"]) == 1
    assert record.load() == before
    assert not record.DOCUMENT.exists()


@pytest.mark.parametrize("words", [["--seed", "7"], ["--seeds", "3"], ["--first", "9"], ["--hours", "2"]])
def test_what_somebody_chose_is_not_recorded(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sim.main([*words, "--record"])
    assert "--record is for the fixed seeds" in capsys.readouterr().err


def test_faults_that_were_run_again_take_the_place_of_what_was_kept_of_them() -> None:
    old = [
        {"fault": fault, "on": "2026.3.24", "what": "before", "verdict": "yes", "measured": "2026-11-21"}
        for fault in ("kill -9", "cut", "cut", "latency")
    ]
    run = [Row("cut", stage=on, facts=["now"], losses=lost) for on, lost in (("one", []), ("two", ["a turn"]))]
    rows = merged(old, [*run, Row("new", stage="one")])
    assert [(row["fault"], row["on"], row["verdict"]) for row in rows] == [
        ("kill -9", "2026.3.24", "yes"),
        ("cut", "one", "yes"),
        ("cut", "two", "no: a turn"),
        ("latency", "2026.3.24", "yes"),
        ("new", "one", "yes"),
    ]
    assert [row["measured"] for row in rows if row["what"] == "before"] == ["2026-11-21"] * 2
    assert rows[1]["measured"] == record.today()


def test_a_minute_of_polls_has_its_share_of_a_sweep() -> None:
    ways, share = _a_minute(
        [Glanced("whole", 1000.0, 0.1), Glanced("changed", 10.0, 0.001)], Swept(3000, 0.15, 51), polls=2
    )
    sweeps = 60 / SWEEP_EVERY
    assert ways["whole"] == {"bytes": 2000, "gateway_ms": 200.0}
    assert ways["daemon"] == {"bytes": 20 + 3000 * sweeps, "gateway_ms": 2.0 + 150 * sweeps}
    assert share == {"requests": 51, "bytes_percent": 10.0, "gateway_percent": 5.0}


def test_a_soak_is_told_whole() -> None:
    """Every figure of it that the document has."""
    samples = [Sample(900.0 * n, 60.0 + n, 12, 1, 1, float(n), 50.0) for n in range(8)]
    found = _figures(samples, Balance((), ()), Reckoning((), None))
    assert found["minutes"] == 105.0
    assert found["memory_mb"] == [60.5, 62.5, 64.5, 66.5]
    assert found["rise_mb_an_hour"] == 4.0
    assert {*found, "measured", "cores", "python"} == set(record.load()["soak"])


def test_what_a_bench_takes_is_told(kept: Path) -> None:
    looks = [Look(way, Spent(0.5, 0.25, 64 * MIB), 0.125, 35, 1, 1) for way in ("ours", "call", "call all")]
    daemons = [Watched("every 30 s", 3, 35, 77 * MIB, 0, 0, 0.0, 4.5, 36.0, 9)]
    bench._keep(35, looks, daemons)
    text = record.DOCUMENT.read_text("utf-8")
    assert "| 35 sessions, ours | 500 ms | 250 ms | 64 MiB | 125 ms |" in text
    assert "| 35 sessions, `call all` | 500 ms (x 1.0) | 250 ms (x 1.0) | 64 MiB | 125 ms (x 1.0) |" in text
    assert "| 35 sessions, a poll every 30 s | 77 MiB | 4.5 s | 1.00 % |" in text


def test_what_many_gateways_take_is_told(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scaled(gateways: int, *, hanging: int = 0, flooding: int = 0) -> scale.Scaled:
        return scale.Scaled(gateways, hanging, flooding, 0.25, 300 * MIB, 9, 0.001, 0.04)

    monkeypatch.setattr(scale, "scaled", scaled)
    monkeypatch.setattr("sys.argv", ["bench", "--scale", "--record"])
    assert bench.main() == 0
    text = record.DOCUMENT.read_text("utf-8")
    assert "| 1 gateway | 25.0 % | 300 MiB | 1 ms | 40 ms |" in text
    assert "| 1,000 gateways, 10 of them hanging and 10 flooding | 25.0 % | 300 MiB | 1 ms | 40 ms |" in text


def test_how_soon_deeds_follow_is_told(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = [reaction._figures(at_once, [0.5, 0.75, 1.0]) for at_once in reaction.ROUNDS]
    monkeypatch.setattr(reaction, "run", lambda _out: rounds)
    monkeypatch.setattr("sys.argv", ["bench", "--acted", "--record"])
    assert bench.main() == 0
    assert "after 0.75 s (median of 3 sessions" in record.DOCUMENT.read_text("utf-8")
