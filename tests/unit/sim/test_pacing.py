"""Passes that are left out change nothing: the plain runner, which makes every one, does and says the same."""

from __future__ import annotations

import pytest

from tests.sim.episodes import VERSIONS, Episode, Setting


def _setting(version: str, seed: int, *, skips: bool) -> Setting:
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
        skips=skips,
    )


@pytest.mark.parametrize(("version", "seed"), list(zip(VERSIONS, (2, 2, 3, 2), strict=True)))
def test_left_out_passes_would_have_changed_nothing(version: str, seed: int) -> None:
    fast, plain = (Episode(_setting(version, seed, skips=skips)).run() for skips in (True, False))
    assert fast.passes < plain.passes / 2
    assert fast.tally.deeds
    assert (fast.fingerprint, fast.tally.deeds, fast.violations) == (plain.fingerprint, plain.tally.deeds, [])
