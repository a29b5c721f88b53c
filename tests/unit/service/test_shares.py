"""Replicas that share one ledger: who watches, who acts, what a replica that was away may still do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from tests.fakes.builders import dead, lenient
from tests.fakes.clock import START, ManualClock
from tests.fakes.gateway import FakeGateway
from tests.fakes.ledgers import memory_ledger
from tests.fakes.meter import CountingMeter
from tests.fakes.notes import FakeNotes
from watchdog.core.leases import OUTBOX, SHARDS, LeaseTiming, shard_of
from watchdog.core.model import Moment
from watchdog.core.policy import PolicyBook
from watchdog.core.recovery import AttemptState
from watchdog.ledger.ledger import SqliteLedger
from watchdog.notify.notifications import Notifications
from watchdog.service.errors import LeaseLost, LedgerUnavailable, SentTooLate
from watchdog.service.events import Event, MemoryLog
from watchdog.service.ledger import Message, MessageKind
from watchdog.service.ports import Deed, Receipt
from watchdog.service.redaction import Secrets
from watchdog.service.shares import Shares
from watchdog.service.watch import Watch

TIMING = LeaseTiming(timedelta(seconds=30))
HOME = "home"


@dataclass
class Fleet:
    """Some replicas and the database that they share; its clock is theirs until somebody sets it."""

    clock: ManualClock = field(default_factory=ManualClock)
    database: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.ledger: SqliteLedger = memory_ledger(self.database)

    def replica(self, name: str) -> Shares:
        return Shares(self.ledger.leases, f"{name} 1", name, TIMING, self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.database.advance(seconds)

    def settle(self, *replicas: Shares, beats: int = 40) -> None:
        """Beat after beat of each; what one hands over it lets go of at once."""
        for _ in range(beats):
            for one in replicas:
                one.beat()
                one.let_go(one.leaving)
            self.advance(10)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def watchers(fleet: Fleet, *replicas: Shares) -> list[str]:
    return [one.name for one in replicas if one.tenure_of(HOME) is not None]


# ---------------------------------------------------------------- taking, keeping, handing over


def test_one_alone_has_everything_at_once(fleet: Fleet) -> None:
    one = fleet.replica("a")
    change = one.beat()
    assert len(change.taken) == SHARDS + 1
    assert one.tenure_of(HOME) is not None
    assert one.has(OUTBOX)


def test_who_joins_gets_a_share_few_at_a_time(fleet: Fleet) -> None:
    a, b, c = (fleet.replica(name) for name in "abc")
    fleet.settle(a, beats=1)
    handed = []
    for _ in range(40):
        for one in (a, b, c):
            handed.append(len(one.beat().leaving))
            one.let_go(one.leaving)
        fleet.advance(10)
    assert max(handed) <= 4
    assert sorted(one.held for one in (a, b, c)) == [21, 22, 22]
    assert len(watchers(fleet, a, b, c)) == 1
    fleet.settle(a, b, c, beats=5)
    assert not any(len(one.beat().leaving) for one in (a, b, c)), "and then it stays"


def test_what_is_being_handed_over_is_kept_until_it_is_let_go_of(fleet: Fleet) -> None:
    a, b = fleet.replica("a"), fleet.replica("b")
    a.beat()
    fleet.ledger.leases.beat("b 1", "b", {}, TIMING.term)
    leaving = a.beat().leaving
    assert len(leaving) == 4
    for _ in range(10):
        fleet.advance(10)
        a.beat()
        b.beat()
    assert b.held == 0, "its passes may still be going"
    a.let_go(leaving)
    b.beat()
    assert b.held == 4
    assert all(b._tenures[shard].lease.deeds_from == fleet.clock.now() for shard in leaving), (
        "and there is nothing to wait for"
    )


def test_who_leaves_hands_over_at_once(fleet: Fleet) -> None:
    a, b = fleet.replica("a"), fleet.replica("b")
    a.beat()
    b.beat()
    a.leave()
    b.beat()
    tenure = b.tenure_of(HOME)
    assert tenure is not None
    assert tenure.deed_blocker(fleet.clock.now()) is None
    assert [one.name for one in b.fleet.replicas] == ["b"]


def test_what_was_read_of_anothers_gateways_is_not_what_it_left_behind(fleet: Fleet) -> None:
    a, b = fleet.replica("a"), fleet.replica("b")
    a.beat()
    b.beat()
    assert b._recent.answer("live", lambda: "as it was") == "as it was"
    b.beat()
    assert b._recent.answer("live", lambda: "asked again") == "as it was"
    a.leave()
    assert b.beat().taken
    assert b._recent.answer("live", lambda: "as A left it") == "as A left it"


def test_who_goes_without_a_word_is_followed_after_a_term_and_a_wait(fleet: Fleet) -> None:
    a, b = fleet.replica("a"), fleet.replica("b")
    a.beat()
    while b.tenure_of(HOME) is None:
        fleet.advance(1)
        b.beat()
    assert fleet.clock.now().since(START) == TIMING.term
    tenure = b.tenure_of(HOME)
    assert tenure is not None
    held = tenure.deed_blocker(fleet.clock.now())
    assert held is not None
    assert held.until == fleet.clock.now().plus(TIMING.wait)
    for _ in range(35):
        fleet.advance(1)
        b.beat()
    assert tenure.deed_blocker(fleet.clock.now()) is None


def test_after_an_outage_the_first_to_beat_leaves_the_others_theirs(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = (fleet.replica(name) for name in "abc")
    fleet.settle(a, b, c)
    held = [one.held for one in (a, b, c)]
    with monkeypatch.context() as patch:
        patch.setattr(type(fleet.ledger.leases), "beat", away)
        for _ in range(6):
            fleet.advance(10)
            for one in (a, b, c):
                with pytest.raises(LedgerUnavailable):
                    one.beat()
    began = fleet.clock.now()
    assert not a.beat().taken
    b.beat()
    fleet.advance(9)
    assert not c.beat().lost
    assert [one.held for one in (a, b, c)] == held
    c.leave()
    assert a.beat().taken, "what was released need not wait"
    while not b.held > SHARDS / 2 and fleet.clock.now().since(began) < TIMING.term:
        fleet.advance(1)
        b.beat()
    while b.held <= SHARDS:
        fleet.advance(1)
        b.beat()
    assert fleet.clock.now().since(began).total_seconds() == pytest.approx(39, abs=1), "a's leases ended"


def test_who_leaves_takes_nothing_of_others_and_lets_go_shard_by_shard(fleet: Fleet) -> None:
    a, b, c = (fleet.replica(name) for name in "abc")
    fleet.settle(a, b)
    tenure = next(one.tenure_of(HOME) for one in (a, b) if one.tenure_of(HOME) is not None)
    for one in (a, b):
        one.drain()
    assert tenure is not None
    assert tenure.deed_blocker(fleet.clock.now()) is not None, "no pass begins a deed any more"
    assert sum(one.has(OUTBOX) for one in (a, b)) == 1, "what the last passes owe is delivered"
    held = a.held
    b.leave()
    for _ in range(5):
        change = a.beat()
        assert not change.taken
        assert not change.leaving
        fleet.advance(10)
    assert a.held == held
    (first, *_) = a.leaving
    a.let_go([first])
    c.beat()
    assert c._tenures[first].lease.deeds_from == fleet.clock.now()


@pytest.mark.parametrize("way", ["let go", "leave"])
def test_who_still_waits_for_an_earlier_owner_does_not_say_that_all_is_done(fleet: Fleet, way: str) -> None:
    """Its successor would act at once, and the one before both may still send."""
    fleet.replica("a").beat()
    fleet.advance(30)
    b = fleet.replica("b")
    b.beat()
    first = b.tenure_of(HOME)
    assert first is not None
    fleet.advance(1)
    if way == "leave":
        b.leave()
    else:
        b.let_go([shard_of(HOME)])
    c = fleet.replica("c")
    while c.tenure_of(HOME) is None:
        c.beat()
        fleet.advance(1)
    tenure = c.tenure_of(HOME)
    assert tenure is not None
    assert tenure.lease.deeds_from > first.lease.deeds_from
    assert fleet.clock.now() < first.lease.deeds_from, "or there is nothing to see here"


def test_what_cannot_be_released_yet_is_kept_until_it_can(fleet: Fleet) -> None:
    fleet.replica("a").beat()
    fleet.advance(30)
    b, c = fleet.replica("b"), fleet.replica("c")
    b.beat()
    while not b.leaving:
        fleet.advance(1)
        c.beat()
        b.beat()
    assert fleet.clock.now().since(START) >= TIMING.term + TIMING.wait


def test_what_was_taken_and_the_answer_lost_is_found_with_the_next_beat(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = fleet.replica("a")
    take = fleet.ledger.leases.take

    def lost(*args: Any, **named: Any) -> Any:
        take(*args, **named)
        raise LedgerUnavailable("was it committed?")

    with monkeypatch.context() as patch:
        patch.setattr(fleet.ledger.leases, "take", lost)
        with pytest.raises(LedgerUnavailable):
            a.beat()
    assert a.held == 0
    fleet.advance(10)
    assert len(a.beat().taken) == SHARDS + 1
    tenure = a.tenure_of(HOME)
    assert tenure is not None
    assert tenure.deed_blocker(fleet.clock.now()) is not None
    fleet.advance(10)
    a.beat()
    assert a.has(OUTBOX)
    assert tenure.lease.deeds_from == fleet.clock.now().plus(TIMING.wait - timedelta(seconds=10)), (
        "whose it was is not known"
    )


def test_what_was_let_go_of_is_not_found_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    a = fleet.replica("a")
    a.beat()
    with monkeypatch.context() as patch:
        patch.setattr(type(fleet.ledger.leases), "release", away)
        with pytest.raises(LedgerUnavailable):
            a.let_go([shard_of(HOME)])
    for _ in range(2):
        fleet.advance(10)
        assert not a.beat().taken
        assert a.tenure_of(HOME) is None
    fleet.advance(10)
    assert a.beat().taken == [shard_of(HOME)], "its lease has ended"


def away(*_: object) -> Any:
    raise LedgerUnavailable("away")


def test_a_renewal_that_fails_renews_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    a = fleet.replica("a")
    a.beat()
    tenure = a.tenure_of(HOME)
    assert tenure is not None

    with monkeypatch.context() as patch:
        patch.setattr(type(fleet.ledger.leases), "beat", away)
        for seconds, may_act in ((10, True), (9, True), (1, False), (10, False)):
            fleet.advance(seconds)
            with pytest.raises(LedgerUnavailable):
                a.beat()
            assert (tenure.deed_blocker(fleet.clock.now()) is None) is may_act
    assert not a.has(OUTBOX)
    a.beat()
    assert a.tenure_of(HOME) is tenure, "nobody else has had it since"
    assert tenure.deed_blocker(fleet.clock.now()) is None


def test_a_slow_renewal_counts_from_before_it_was_asked_for(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    a = fleet.replica("a")
    a.beat()
    beat = fleet.ledger.leases.beat

    def slow(*args: Any) -> Any:
        answer = beat(*args)
        fleet.advance(4)
        return answer

    monkeypatch.setattr(fleet.ledger.leases, "beat", slow)
    began = fleet.clock.now()
    a.beat()
    tenure = a.tenure_of(HOME)
    assert tenure is not None
    assert tenure.lease.good_until == began.plus(TIMING.term)


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_the_databases_clock_is_set_and_two_never_may_act_at_once(fleet: Fleet, step: float) -> None:
    a, b = fleet.replica("a"), fleet.replica("b")
    a.beat()
    fleet.database.step(step)
    for _ in range(300):
        for one in (b, a):
            one.beat()
            one.let_go(one.leaving)
        tenures = [one.tenure_of(HOME) for one in (a, b)]
        may_act = [one for one in tenures if one is not None and one.deed_blocker(fleet.clock.now()) is None]
        assert len(may_act) <= 1
        fleet.advance(1)


@pytest.mark.parametrize("seed", range(5))
def test_however_they_come_go_and_stand_still_only_one_may_act(seed: int) -> None:
    """A replica that stands still beats no more; what it claims it may send until its deadline. No two have such a claim at once,
    however the database's clock is set."""
    rng, fleet = Random(seed), Fleet()
    here = [fleet.replica(f"r{number}") for number in range(3)]
    claimed: dict[str, Moment] = {}
    claims = 0
    frozen: dict[str, float] = {}
    for second in range(700):
        for one in list(here):
            if second < frozen.get(one.name, 0):
                continue
            match rng.choices(("beat", "stand", "die", "leave", "wait"), (30, 1, 0.3, 0.3, 60))[0]:
                case "beat":
                    one.beat()
                    if shard_of(HOME) in one.leaving:
                        claimed.pop(one.replica, None)  # its passes have ended
                    one.let_go(one.leaving)
                case "stand":
                    frozen[one.name] = second + rng.uniform(5, 90)
                case "die" if len(here) > 1:
                    here.remove(one)
                case "leave" if len(here) > 1:
                    claimed.pop(one.replica, None)
                    one.leave()
                    here.remove(one)
        if len(here) < 3 and rng.random() < 0.02:
            here.append(fleet.replica(f"n{second}"))
        if rng.random() < 0.01:
            fleet.database.step(rng.uniform(-100, 100))
        now = fleet.clock.now()
        for one in here:
            tenure = one.tenure_of(HOME)
            if second < frozen.get(one.name, 0) or tenure is None or tenure.deed_blocker(now) is not None:
                continue
            if _is_owner(fleet, one):
                still = [name for name, until in claimed.items() if name != one.replica and until > now]
                assert not still, (second, one.replica, still)
                claimed[one.replica] = tenure.send_by(now)
                claims += 1
        fleet.advance(1)
    assert claims > 50


def _is_owner(fleet: Fleet, one: Shares) -> bool:
    tenure = one.tenure_of(HOME)
    row = fleet.ledger.leases.fleet().shards[shard_of(HOME)]
    return tenure is not None and (row.owner, row.epoch) == (one.replica, tenure.lease.epoch)


# ---------------------------------------------------------------- what a watch does under a lease


@dataclass
class Watched:
    """One replica's watch over the gateway of all."""

    fleet: Fleet
    shares: Shares
    gateway: FakeGateway
    log: MemoryLog = field(default_factory=MemoryLog)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.shares.beat()
        tenure = self.shares.tenure_of(HOME)
        assert tenure is not None
        self.watch = Watch(
            gateway=self.gateway,
            book=PolicyBook(default=lenient()),
            ledger=self.fleet.ledger.fenced(tenure, HOME),
            notes=FakeNotes(),
            clock=self.fleet.clock,
            log=self.log,
            meter=CountingMeter(),
            spare_ledger=memory_ledger(self.fleet.clock),
            tenure=tenure,
        )

    async def live(self, *, minutes: float, until_sent: bool = False) -> None:
        end = self.fleet.clock.now().plus(timedelta(minutes=minutes))
        while self.fleet.clock.now() < end and not (until_sent and self.gateway.performed):
            self.shares.beat()
            await self.watch.pass_once()
            self.fleet.advance(10)

    def states(self) -> list[str]:
        return [attempt.state.value for one in self.fleet.ledger.history() for attempt in one.attempts]

    def held(self) -> list[object]:
        return [name for line in self.log.of(Event.RECOVERY_HELD) for name in line["blockers"]]  # type: ignore[attr-defined]


def watched(fleet: Fleet, shares: Shares) -> Watched:
    gateway = FakeGateway(fleet.clock)
    gateway.put(dead())
    return Watched(fleet, shares, gateway)


async def test_under_a_lease_a_stuck_session_is_recovered_as_without_one(fleet: Fleet) -> None:
    one = watched(fleet, fleet.replica("a"))
    await one.live(minutes=40)
    assert one.states() == ["succeeded"]
    (deed,) = one.gateway.performed
    assert deed.send_by is not None


async def test_the_one_that_takes_over_watches_at_once_and_acts_after_the_wait(fleet: Fleet) -> None:
    gone = fleet.replica("a")
    gone.beat()
    fleet.advance(31)
    one = watched(fleet, fleet.replica("b"))
    tenure = one.watch.tenure
    assert tenure is not None
    tenure.lease = replace(tenure.lease, deeds_from=START.plus(timedelta(hours=2)))
    await one.live(minutes=60)
    assert one.gateway.performed == []
    assert "lease" in one.held()
    assert one.watch.last_report is not None
    assert one.watch.last_report.is_good


async def test_a_lease_that_is_not_renewed_holds_deeds_and_watching_goes_on(fleet: Fleet) -> None:
    one = watched(fleet, fleet.replica("a"))
    for _ in range(360):
        report = await one.watch.pass_once()
        assert report.is_good
        fleet.advance(10)
    assert one.gateway.performed == []
    assert "lease" in one.held()
    await one.live(minutes=10)
    assert one.states() == ["succeeded"]


async def test_who_stood_still_between_claim_and_sending_sends_nothing_and_the_next_owner_asks_no_second_time(
    fleet: Fleet,
) -> None:
    """The check is the client's (``recovery/test_late_deeds``); the fake does the same."""
    one = watched(fleet, fleet.replica("a"))
    other = fleet.replica("b")
    cure = one.gateway.cure

    def stand_still(deed: Deed) -> Receipt:
        fleet.settle(other, beats=6)
        assert deed.send_by is not None
        assert fleet.clock.now() > deed.send_by
        raise SentTooLate("too late")

    one.gateway.effect = stand_still
    with pytest.raises(LeaseLost):
        await one.live(minutes=60, until_sent=True)
    assert one.states() == ["started"]
    assert one.watch.ledger_problem is None, "nothing is wrong with the ledger"
    one.gateway.effect = cure
    successor = Watched(fleet, other, one.gateway)
    await successor.watch.pass_once()
    assert successor.states() == ["indeterminate"]
    sent = len(one.gateway.performed)
    await successor.live(minutes=1)
    assert len(one.gateway.performed) == sent


async def test_a_deed_that_came_late_is_known_for_not_sent_where_the_lease_is_still_ours(fleet: Fleet) -> None:
    one = watched(fleet, fleet.replica("a"))

    def late(_: Deed) -> Receipt:
        one.gateway.effect = None
        raise SentTooLate("too late")

    one.gateway.effect = late
    await one.live(minutes=60)
    assert one.states() == [AttemptState.REFUSED.value, AttemptState.SUCCEEDED.value]
    assert fleet.ledger.charges(HOME, START.wall) == 1, "what was not sent costs nothing"


async def test_what_an_earlier_owner_began_has_its_time_from_the_first_look_of_the_next(fleet: Fleet) -> None:
    """The next owner's clock is two minutes ahead of that of the one who began it."""
    one = watched(fleet, fleet.replica("a"))
    one.gateway.effect = one.gateway.nothing
    await one.live(minutes=60, until_sent=True)
    one.shares.leave()
    fleet.clock.step(120)
    successor = Watched(fleet, fleet.replica("b"), one.gateway)
    began = fleet.clock.now()
    while successor.states() == ["indeterminate"] or fleet.clock.now() == began:
        await successor.live(minutes=1 / 6)
    assert successor.states() == ["ineffective"], "no longer than it would be anyway"
    assert timedelta(seconds=90) < fleet.clock.now().since(began) <= timedelta(seconds=120)


async def test_a_pass_of_who_lost_the_gateway_changes_nothing_and_uses_no_spare(fleet: Fleet) -> None:
    one = watched(fleet, fleet.replica("a"))
    await one.live(minutes=1)
    fleet.advance(60)
    fleet.replica("b").beat()
    for _ in range(3):
        with pytest.raises(LeaseLost):
            await one.watch.pass_once()
    assert one.watch.ledger_problem is None
    assert one.shares.beat().lost
    assert one.shares.tenure_of(HOME) is None


# ---------------------------------------------------------------- the outbox


async def test_one_replica_delivers(fleet: Fleet) -> None:
    delivered: list[str] = []

    class Notifier:
        def __init__(self, name: str) -> None:
            self.name = name

        async def deliver_due(self, _now: object, *, is_last: bool) -> None:
            delivered.append(self.name)

    tellers = []
    replicas = [fleet.replica("a"), fleet.replica("b")]
    for one in replicas:
        one.beat()
        teller = Notifications(
            fleet.ledger, fleet.clock, MemoryLog(), CountingMeter(), Secrets(), {}, Random(1), is_ours=_has_outbox(one)
        )
        teller._notifier = Notifier(one.name)  # type: ignore[assignment]
        tellers.append(teller)
    for teller in tellers:
        await teller.deliver(fleet.clock.now())
    assert delivered == ["a"]
    replicas[0].leave()
    replicas[1].beat()
    for teller in tellers:
        await teller.deliver(fleet.clock.now())
    assert delivered == ["a", "b"]


def _has_outbox(one: Shares) -> Any:
    return lambda: one.has(OUTBOX)


async def test_what_was_owed_while_the_database_was_away_is_owed_in_it_afterwards_whoever_watches_the_gateway(
    fleet: Fleet,
) -> None:
    """The one who owed it has lost the gateway meanwhile, and does not deliver."""
    one = watched(fleet, fleet.replica("a"))
    spare = one.watch.ledgers.spare
    assert isinstance(spare, SqliteLedger)
    teller = Notifications(
        fleet.ledger,
        fleet.clock,
        MemoryLog(),
        CountingMeter(),
        Secrets(),
        {},
        Random(1),
        is_ours=lambda: False,
        spare=spare,
    )
    await teller.deliver(fleet.clock.now())
    assert _owed(fleet) == [], "and the target is known from now on: it is owed all that comes"
    assert one.watch.ledgers.fall_back("away")
    fleet.ledger._file.problem = "away"
    one.watch.ledger.owe([_about_gateway("down long ago")], fleet.clock.now().wall)
    fleet.advance(timedelta(hours=25).total_seconds())
    written_at = fleet.clock.now().wall
    one.watch.ledger.owe([_about_gateway("down"), replace(_about_gateway("stuck"), incident="i-1")], written_at)
    fleet.advance(60)
    await teller.deliver(fleet.clock.now())
    assert _owed(fleet) == [], "still away"
    fleet.replica("b").beat()
    for _ in range(2):
        with pytest.raises(LeaseLost):
            await one.watch.pass_once()
        await teller.deliver(fleet.clock.now())
        assert _owed(fleet) == [("down", written_at)], "its incident is opened anew by who watches now"


def _about_gateway(what: str) -> Message:
    return Message(MessageKind.GATEWAY_DOWN, HOME, what, "It is.", f"gateway:{HOME}:{what}")


def _owed(fleet: Fleet) -> list[tuple[str, datetime]]:
    due = fleet.ledger.due_messages("phone", fleet.clock.now().wall)
    return [(one.message.title, one.created_at) for one in due]
