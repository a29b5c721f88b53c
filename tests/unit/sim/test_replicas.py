"""Several replicas in the simulation: repeatable, and its judge notices two that act."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from random import Random

from tests.sim.episodes import Setting
from tests.sim.judge import Rule
from tests.sim.lives import Life
from tests.sim.replicas import Befell, FleetEpisode, Process, run


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
    one, other = (Process(number, Life(number), Random(1)) for number in (1, 2))
    episode._is_calm = True  # nobody is stopped

    async def act() -> None:
        episode.claimed(one)
        episode._sends(one, {"method": "chat.send"})
        assert episode.judge.violations == []
        episode.claimed(other)
        episode._sends(one, {"method": "chat.send"})

    asyncio.run(act())
    assert [violation.rule for violation in episode.judge.violations] == [Rule.TWO_OWNERS]
    episode._ledger.close()
