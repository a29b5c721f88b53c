"""Several replicas in the simulation: repeatable, and its judge notices two that act."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from tests.sim import replicas
from tests.sim.episodes import Setting
from tests.sim.judge import Rule
from tests.sim.lives import Life
from tests.sim.replicas import BEAT, Befell, FleetEpisode, Process, run
from watchdog.core.leases import Lease
from watchdog.gateway.recovery import deeds
from watchdog.ledger.leases import FencedStore


def test_the_same_seed_gives_the_same_deeds_and_messages() -> None:
    first, second = run(3, hours=0.5), run(3, hours=0.5)
    assert first.fingerprint == second.fingerprint
    assert first.lives == second.lives >= 3
    assert first.violations == []


@dataclass(slots=True)
class Counted(FleetEpisode):
    """Two replicas, nothing goes wrong."""

    holds: dict[int, int] = field(default_factory=dict)
    """Shards, by replica, as it last followed them."""

    def _strike(self, process: Process) -> None:
        """Nothing."""

    def _follow(self, process: Process) -> bool:
        goes_on = FleetEpisode._follow(self, process)
        self.holds[process.number] = process.shares.held
        return goes_on


def test_who_watches_lets_go_of_the_other_shards_all_the_same() -> None:
    setting = replace(Setting.of(3), sessions=1, hours=0.5, troubles_per_hour=1e-9, kills=False, has_lies=False)
    episode = Counted(setting, replicas=2)
    assert episode.run().violations == []
    assert episode.counts[Befell.TOOK_OVER] >= 1, "somebody watched"
    assert sorted(episode.holds.values()) == [32, 33]


def test_a_deed_of_who_claimed_before_another_is_a_violation() -> None:
    episode = FleetEpisode(replace(Setting.of(1), sessions=1))
    episode._is_calm = True  # nobody is stopped

    async def act() -> None:
        one, other = (episode._begin(number, Life(number), Random(1)) for number in (1, 2))
        episode.claimed(one)
        episode._sends(one, {"method": "chat.send"})
        assert episode.judge.violations == []
        episode.claimed(other)
        episode._sends(one, {"method": "chat.send"})

    asyncio.run(act())
    assert [violation.rule for violation in episode.judge.violations] == [Rule.TWO_OWNERS]
    episode._ledger.close()


def _course(seed: int, *, skips: bool) -> tuple[int, list[float], list[object], list[object], dict[str, int]]:
    """Passes, times of deeds, deeds, messages, what befell the replicas. Killed they are not: an effect more or less, of a connection
    that is made a second later, would kill them elsewhere."""
    setting = Setting.of(seed).stormy(Random(f"replicas {seed}"))
    episode = FleetEpisode(replace(setting, hours=6.0, kills=False, skips=skips))
    result = episode.run()
    assert result.violations == []
    done = episode.world.deeds
    return (
        result.passes,
        [deed.at_ms / 1000 for deed in done],
        [(deed.method, deed.key, deed.truth, deed.effect) for deed in done],
        [(owed.message.kind, owed.message.session) for owed in episode.judge.messages],
        dict(result.befell),
    )


def test_beats_and_passes_that_are_left_out_would_have_changed_nothing() -> None:
    passes, times, done, messages, befell = _course(2, skips=True)
    all_passes, plain_times, plain_done, plain_messages, plain_befell = _course(2, skips=False)
    assert passes < all_passes / 2
    assert done
    assert befell[Befell.TOOK_OVER] > 1
    assert (done, messages, befell) == (plain_done, plain_messages, plain_befell)
    # The wire is slow here, so passes that are left out move those that follow, by what their answers would have taken.
    assert times == pytest.approx(plain_times, abs=BEAT)


STORMY = 349


def _no_fence(_store: FencedStore, _transaction: object, **_: object) -> None:
    """Whoever writes is let."""


def _no_deadline(_now: object, _by: object) -> bool:
    return False


def _no_wait(cls: type[Lease], shard: int, epoch: int, asked_at: Any, timing: Any, *, was_released: bool) -> Lease:
    return cls(shard, epoch, asked_at.plus(timing.term), asked_at, asked_at)


@pytest.mark.parametrize(
    ("where", "name", "instead", "rule"),
    [
        (FencedStore, "_check", _no_fence, Rule.STALE_WRITE),
        (deeds, "_is_past", _no_deadline, Rule.TWO_OWNERS),
        (Lease, "taken", classmethod(_no_wait), Rule.TWO_OWNERS),
    ],
    ids=["fence", "deadline", "wait"],
)
def test_what_keeps_replicas_apart_is_missed(
    where: object, name: str, instead: object, rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken out, each is noticed in one stormy world, here with every claim followed by a stop."""
    monkeypatch.setattr(replicas, "STOPPED", 1.0)
    monkeypatch.setattr(where, name, instead)
    assert rule in {violation.rule for violation in run(STORMY, hours=6.0).violations}


def test_with_all_of_it_nothing_happens_in_that_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "STOPPED", 1.0)
    result = run(STORMY, hours=6.0)
    assert result.violations == []
    assert sum(result.tally.deeds.values()) > 3
    assert result.befell[Befell.OVERTAKEN] > 1
