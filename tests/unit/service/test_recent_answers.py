"""What one of several replicas has just read of the ledger: how long it lasts, who sees what, and what no deed is decided on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.builders import dead, lenient
from tests.fakes.clock import ManualClock
from tests.fakes.world import World
from watchdog.core.leases import SHARDS, Lease, LeaseTiming, shard_of
from watchdog.core.policy import PolicyBook
from watchdog.service.errors import LedgerUnavailable
from watchdog.service.ledger import Quarantine
from watchdog.service.ports import Gateway
from watchdog.service.recent_answers import RecentAnswers
from watchdog.service.tenure import Tenure
from watchdog.service.watch import Watch

LONG = timedelta(days=1)
KEY = "agent:main:telegram:direct:4711"


@dataclass
class Asked:
    """A server so far away, and how often it was asked."""

    clock: ManualClock
    seconds: float = 0.0
    count: int = 0

    def __call__(self) -> int:
        self.clock.advance(self.seconds)
        self.count += 1
        return self.count


@pytest.mark.parametrize(
    ("seconds", "lasts"), [(0.0, 1.0), (0.01, 1.0), (0.2, 4.0), (0.8, 16.0), (60.0, 30.0)], ids=str
)
def test_an_answer_lasts_as_long_as_asking_is_dear(seconds: float, lasts: float) -> None:
    clock = ManualClock()
    recent, ask = RecentAnswers(clock), Asked(clock, seconds)
    assert recent.answer("q", ask) == 1
    clock.advance(lasts * 0.99)
    assert recent.answer("q", ask) == 1
    clock.advance(lasts * 0.02)
    assert recent.answer("q", ask) == 2
    recent.forget()
    assert recent.answer("q", ask) == 3


def test_no_answer_is_kept_where_there_was_none() -> None:
    recent, ask = RecentAnswers(ManualClock()), Asked(ManualClock())

    def fails() -> int:
        raise LedgerUnavailable("away")

    with pytest.raises(LedgerUnavailable):
        recent.answer("q", fails)
    assert recent.answer("q", ask) == 1


# ---------------------------------------------------------------- in a watch


@dataclass
class Replica(World):
    """A watch of one of several replicas; ``World.ledger`` is what everybody else writes to."""

    book: PolicyBook = field(default_factory=lambda: PolicyBook(default=lenient()))

    def new_watch(self, gateway: Gateway | None = None) -> Watch:
        name, timing = self.gateway.name, LeaseTiming(LONG)
        self.ledger.leases.beat("a", "a", {}, LONG)
        taken = {one.shard: one for one in self.ledger.leases.take("a", SHARDS + 1, LONG)}
        mine = taken[shard_of(name)]
        self.recent = RecentAnswers(self.clock)
        lease = Lease.taken(mine.shard, mine.epoch, self.clock.now(), timing, was_released=True)
        tenure = Tenure("a", lease, timing, recent=self.recent)
        return Watch(
            gateway=gateway or self.gateway,
            book=self.book,
            ledger=self.ledger.fenced(tenure, name),
            notes=self.notes,
            clock=self.clock,
            log=self.log,
            meter=self.meter,
            poll_every=self.poll_every,
            tenure=tenure,
        )

    def pause(self) -> None:
        now = self.clock.now().wall
        self.ledger.pause(at=now, until=None, gateway=None, session=None, reason="wait", who="an operator")


def _paused(world: Replica) -> None:
    world.pause()


def _quarantined(world: Replica) -> None:
    now = world.clock.now().wall
    world.ledger.quarantine(Quarantine("home", KEY, None, now, "by hand"))


@pytest.mark.parametrize("change", [_paused, _quarantined])
async def test_what_an_operator_says_at_the_last_moment_holds_the_deed(change: Callable[[Replica], Any]) -> None:
    """Whatever was read a moment before, by this gateway's pass or by another's while this one answered."""
    world = Replica()
    world.gateway.rows[KEY] = dead(KEY)

    def at_last() -> None:
        for question in ("pauses", "quarantines"):  # another gateway's pass
            getattr(world.watch.ledger, question)(*[world.clock.now().wall] if question == "pauses" else ["home"])
        change(world)

    world.gateway.at_fence = at_last
    await world.live(minutes=60)
    assert world.steps == []
    assert world.held() != []
