"""What one of several replicas has just read of the ledger: how long it lasts, who sees what, and what no deed is decided on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.fakes.builders import dead, lenient, vague
from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import memory_ledger
from tests.fakes.world import POLL, World
from watchdog.core.leases import SHARDS, Lease, LeaseTiming, shard_of
from watchdog.core.model import Status
from watchdog.core.policy import Budget, PolicyBook, Step
from watchdog.core.recovery import Attempt
from watchdog.core.tracking import RunIdentity
from watchdog.service.errors import LedgerUnavailable
from watchdog.service.ledger import MessageKind, Outcome, Quarantine, Stop
from watchdog.service.ports import Gateway
from watchdog.service.recent_answers import AT_MOST, RecentAnswers
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
    """A watch of one of several replicas, on a slow server. ``World.ledger`` is what everybody else writes to."""

    book: PolicyBook = field(default_factory=lambda: PolicyBook(default=lenient()))

    def new_watch(self, gateway: Gateway | None = None) -> Watch:
        name, timing = self.gateway.name, LeaseTiming(LONG)
        self.ledger.leases.beat("a", "a", {}, LONG)
        taken = {one.shard: one for one in self.ledger.leases.take("a", SHARDS + 1, LONG)}
        mine = taken[shard_of(name)]
        self.recent = RecentAnswers(self.clock, AT_MOST)
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
            spare_ledger=memory_ledger(self.clock),
        )

    @property
    def now(self) -> datetime:
        return self.clock.now().wall

    def pause(self) -> None:
        self.ledger.pause(at=self.now, until=None, gateway=None, session=None, reason="wait", who="an operator")

    def others_read(self) -> None:
        """Another gateway's pass: from now on its answers are everybody's."""
        self.recent.forget()
        own = self.watch.ledger
        own.open_incidents("other")
        own.quarantines("other")
        own.stops("other", KEY)
        own.pauses(self.now)
        assert own.lost_history_at is None

    def by_hand(self, step: Step = Step.RESUME) -> Attempt:
        """Somebody sends a deed from another machine; its answer is awaited."""
        (incident,) = self.ledger.open_incidents("home")
        run = RunIdentity.of(self.gateway.rows[KEY])
        attempt = self.ledger.plan_attempt(incident.id, step, self.now, before=run, before_tail="tail-1")
        assert self.ledger.claim_attempt(attempt.id, self.now)
        return attempt


async def _held(budget: Budget | None = None) -> Replica:
    """A stuck session that a pause holds."""
    world = Replica(book=PolicyBook(default=lenient() if budget is None else lenient(budget=budget)))
    world.gateway.rows[KEY] = dead(KEY)
    world.pause()
    await world.live(minutes=45)
    assert "paused" in world.held()
    return world


def _paused(world: Replica) -> None:
    world.pause()


def _quarantined(world: Replica) -> None:
    world.ledger.quarantine(Quarantine("home", KEY, None, world.now, "by hand"))


@pytest.mark.parametrize("change", [_paused, _quarantined])
async def test_what_an_operator_says_at_the_last_moment_holds_the_deed(change: Callable[[Replica], Any]) -> None:
    """Whatever was read a moment before, by this gateway's pass or by another's while this one answered."""
    world = Replica()
    world.gateway.rows[KEY] = dead(KEY)

    def at_last() -> None:
        world.others_read()
        change(world)

    world.gateway.at_fence = at_last
    await world.live(minutes=60)
    assert world.steps == []
    assert world.held() != []


async def test_a_pause_that_is_over_is_not_named_when_a_session_is_found_stuck() -> None:
    world = Replica()
    world.gateway.rows[KEY] = dead(KEY)
    while not world.incidents:
        world.pause()
        world.others_read()
        world.ledger.unpause(at=world.now, gateway=None, session=None, who="an operator")
        await world.look()
        world.clock.advance(POLL.total_seconds())
    assert world.steps == [Step.RESUME]
    assert not any("aused" in message.body for message in world.owed())


async def test_no_incident_is_closed_under_a_deed_that_was_sent_elsewhere() -> None:
    world = await _held()
    world.others_read()
    attempt = world.by_hand()
    world.gateway.change(KEY, started_at=world.now, updated_at=world.now, has_active_run=True)  # its turn runs
    await world.look()
    (incident,) = world.incidents
    assert incident.is_open
    world.clock.advance(20)
    world.gateway.finish(KEY, mark=f"{incident.id}/{attempt.number}", updated_at=world.now)
    await world.live(minutes=3)
    (incident,) = world.incidents
    assert incident.outcome is Outcome.RECOVERED


async def test_nobody_is_given_up_under_a_deed_that_was_sent_elsewhere() -> None:
    """It was the last of the budget, and its proof is still awaited."""
    world = await _held(Budget(1, timedelta(hours=24)))
    world.others_read()
    world.by_hand()
    world.clock.advance(3)
    await world.look()
    assert world.ledger.quarantines("home") == []


async def test_an_incident_that_was_closed_elsewhere_is_no_fault_of_the_ledger() -> None:
    world = await _held()
    world.ledger.unpause(at=world.now, gateway=None, session=None, who="an operator")
    world.others_read()
    (incident,) = world.ledger.open_incidents("home")
    world.ledger.close_incident(incident.id, Outcome.CLEARED, world.now)
    await world.look()
    assert world.watch.ledger_problem is None


async def test_what_was_released_is_not_released_again() -> None:
    """Else what was charged since would be forgiven, too."""
    world = Replica()
    world.gateway.rows[KEY] = dead(KEY)
    world.ledger.quarantine(Quarantine("home", KEY, f"sid-{KEY}", world.now, "used up"))
    await world.look()
    world.clock.advance(POLL.total_seconds())
    world.others_read()
    world.ledger.release("home", KEY, world.now, who="an operator", why="mended")
    world.ledger.open_incident(gateway="home", session=KEY, session_id=f"sid-{KEY}", reason="x", at=world.now)
    world.by_hand(Step.NEW)
    world.gateway.change(KEY, status=Status.ABSENT, started_at=None, session_id="sid-new")
    await world.look()
    assert world.ledger.charges("home", world.now - LONG) == 1
    assert [line.who for line in world.ledger.audit_trail() if line.what == "release"] == ["an operator"]


async def _ended() -> Replica:
    """A run that ended without an answer a moment before that is told."""
    world = Replica()
    world.gateway.put(vague(KEY, has_active_run=True))
    await world.live(minutes=2)
    world.gateway.change(KEY, status=Status.FAILED, ended_at=world.now, has_active_run=False)
    await world.live(seconds=55)
    world.others_read()
    return world


async def test_a_stop_that_was_noted_elsewhere_is_no_unanswered_run() -> None:
    world = await _ended()
    row = world.gateway.rows[KEY]
    world.ledger.note_stop(Stop("another name", KEY, row.session_id, row.started_at, world.now))
    await world.live(minutes=30)
    assert world.told() == []


async def test_without_it_the_run_is_told() -> None:
    world = await _ended()
    await world.live(minutes=30)
    assert world.told() == ["unanswered"]


async def test_what_follows_a_deed_that_did_not_help_is_told_as_things_are_now() -> None:
    world = Replica()
    world.gateway.rows[KEY] = dead(KEY)
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    while "ineffective" not in world.told():
        world.clock.advance(POLL.total_seconds())
        world.pause()
        world.others_read()
        world.ledger.unpause(at=world.now, gateway=None, session=None, who="an operator")
        await world.look()
    (message,) = world.owed(MessageKind.INEFFECTIVE)
    assert "aused" not in message.body
