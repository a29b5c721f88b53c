"""``make sim`` as a person types it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.sim import __main__ as command
from tests.sim import episodes, replicas
from tests.sim.episodes import Setting
from tests.sim.judge import Rule, Violation
from tests.sim.replicas import Befell


def test_figures_and_nothing_to_blame(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seed", "1", "--hours", "6", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "session-hours in 1 worlds" in said
    assert said.splitlines()[-1] == "0 violations"


def test_a_violation_is_told_with_its_seed_and_its_course(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = episodes.run(1, hours=2.0)
    result.violations.append(Violation(Rule.TWICE, "agent:main:main", 12.5, "sent 2 times"))
    result.story["agent:main:main"] = ["      12.5s  DEED chat.send"]
    monkeypatch.setattr(episodes, "run", lambda _seed, **_: result)
    assert command.main(["--seed", "1", "--workers", "1"]) == 1
    said = capsys.readouterr().out
    assert "1 violations" in said
    assert "make sim SEED=1" in said
    assert "deed done twice: agent:main:main at 12.5 s: sent 2 times" in said
    assert "12.5s  DEED chat.send" in said


def test_replicas_of_which_none_took_over_or_acted_prove_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = episodes.run(1, hours=2.0)
    monkeypatch.setattr(replicas, "run", lambda _seed, **_: result)
    words = ["--replicas", "3", "--seeds", "1", "--workers", "1"]
    for deeds, took_over, status in ((0, 2, 1), (1, 1, 1), (1, 2, 0)):
        result.tally.deeds = Counter({"agent": deeds} if deeds else {})
        result.befell = Counter({Befell.TOOK_OVER.value: took_over})
        assert command.main(words) == status
        assert ("proves nothing" in capsys.readouterr().out) is (status == 1)


def test_a_run_ends_with_the_world_in_which_its_minutes_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = episodes.run(1, hours=2.0)
    monkeypatch.setattr(episodes, "run", lambda _seed, **_: result)
    assert command.main(["--minutes", "1e-9"]) == 0
    assert "in 1 worlds" in capsys.readouterr().out


def test_an_episode_that_breaks_is_told_with_its_seed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_seed: int, **_: object) -> None:
        raise ZeroDivisionError("here")

    monkeypatch.setattr(episodes, "run", breaks)
    assert command.main(["--seed", "7", "--workers", "1"]) == 1
    assert "seed 7 (make sim SEED=7) did not come to its end" in capsys.readouterr().out


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "1e9"])
def test_hours_that_make_no_sense_are_refused(hours: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--hours", hours])
    assert "HOURS is how long" in capsys.readouterr().err


def test_as_many_seeds_as_make_so_many_session_hours() -> None:
    seeds = [*command._seeds_of(5000.0, 40)]
    hours = [setting.sessions * setting.hours for setting in map(Setting.of, seeds)]
    assert seeds == [*range(40, 40 + len(seeds))]
    assert sum(hours) >= 5000 > sum(hours[:-1])


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf"])
def test_session_hours_that_make_no_sense_are_refused(hours: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--session-hours", hours])
    assert "--session-hours is more than 0" in capsys.readouterr().err
