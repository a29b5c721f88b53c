"""Passes that are left out change nothing: the plain runner, which makes every one, does and says the same."""

from __future__ import annotations

import pytest

from tests.sim import episodes
from tests.sim.episodes import VERSIONS, Episode, Setting


def _setting(version: str, seed: int, *, skips: bool, lies: bool) -> Setting:
    return Setting(
        seed=seed,
        version=version,
        sessions=4,
        hours=5.0,
        turns_per_hour=0.1,
        troubles_per_hour=0.6,
        travel=0.0,
        is_remote=False,
        run_timeout=600.0,
        kills=False,
        has_lies=lies,
        skips=skips,
    )


def _course(
    version: str, seed: int, *, skips: bool, lies: bool = False
) -> tuple[int, list[float], list[object], list[object]]:
    """Passes, times of deeds, deeds, messages."""
    episode = Episode(_setting(version, seed, skips=skips, lies=lies))
    result = episode.run()
    assert result.violations == []
    deeds = episode.world.deeds
    return (
        result.passes,
        [deed.at_ms / 1000 for deed in deeds],
        [(deed.method, deed.key, deed.truth, deed.effect) for deed in deeds],
        [(owed.message.kind, owed.message.session) for owed in episode.judge.messages],
    )


@pytest.mark.parametrize(("version", "seed"), list(zip(VERSIONS, (2, 2, 3, 2), strict=True)))
def test_left_out_passes_would_have_changed_nothing(version: str, seed: int) -> None:
    _compare(version, seed, lies=False)


@pytest.mark.parametrize(("version", "seed"), [("2026.3.24", 1), ("2026.4.14", 2), ("2026.5.18", 2), ("2026.9.6", 3)])
def test_nor_would_they_where_the_gateway_lies(version: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "LIES_PER_HOUR", 1.0)
    _compare(version, seed, lies=True)


def _compare(version: str, seed: int, *, lies: bool) -> None:
    passes, times, deeds, messages = _course(version, seed, skips=True, lies=lies)
    all_passes, plain_times, plain_deeds, plain_messages = _course(version, seed, skips=False, lies=lies)
    assert passes < all_passes / 2
    assert deeds
    assert (deeds, messages) == (plain_deeds, plain_messages)
    assert times == pytest.approx(plain_times, abs=1.0)
