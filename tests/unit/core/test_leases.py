"""Who watches what among replicas: shares, leases, waits."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from tests.fakes.clock import START
from watchdog.core.leases import (
    HANDED_OVER_AT_ONCE,
    OUTBOX,
    SHARDS,
    Fleet,
    Lease,
    LeaseTiming,
    Pulse,
    Replica,
    Shard,
    most_to_take,
    shard_of,
    to_give_up,
)
from watchdog.core.model import Moment

TIMING = LeaseTiming(timedelta(seconds=30))


def fleet(*here: str, held: dict[int, str] | None = None, gone: tuple[str, ...] = ()) -> Fleet:
    owners = held or {}
    return Fleet(
        [*(Replica(one, one, is_here=True) for one in here), *(Replica(one, one, is_here=False) for one in gone)],
        [Shard(number, owners.get(number), 1, is_expired=number not in owners) for number in range(SHARDS + 1)],
    )


def test_a_name_has_one_shard_for_ever() -> None:
    """Another one in another version would let two versions watch one gateway."""
    assert [shard_of(name) for name in ("home", "gateway-7", "half \ud83d an emoji", "")] == [19, 44, 38, 7]


def test_names_spread_over_all_shards_and_never_over_the_outbox() -> None:
    found = Counter(shard_of(f"gateway-{number}") for number in range(10_000))
    assert set(found) == set(range(1, SHARDS + 1))
    assert OUTBOX not in found
    assert max(found.values()) < 2 * min(found.values())


def test_the_times_of_a_lease_fit_into_each_other() -> None:
    for seconds in (15, 30, 31, 120):
        timing = LeaseTiming(timedelta(seconds=seconds))
        assert timing.send_within < timing.margin, "what was claimed in time is sent before the lease ends"
        assert timing.renew_every + timing.margin < timing.term, "one renewal may fail"
        assert timing.wait >= timing.term + timing.send_within


def test_a_new_owner_waits_unless_the_last_one_said_that_it_is_done() -> None:
    for was_released in (True, False):
        lease = Lease.taken(1, 7, START, TIMING, was_released=was_released)
        assert lease.deeds_from == (START if was_released else START.plus(timedelta(seconds=35)))
        assert lease.renewed(START.plus(timedelta(seconds=10)), TIMING).deeds_from == lease.deeds_from


def test_a_lease_ends_a_term_after_its_renewal_was_asked_for() -> None:
    lease = Lease.taken(1, 7, START, TIMING, was_released=True)
    assert lease.lasts(START.plus(timedelta(seconds=29.9)))
    assert not lease.lasts(START.plus(timedelta(seconds=30)))
    assert not lease.lasts(START.plus(timedelta(seconds=20)), timedelta(seconds=10))
    assert lease.renewed(START.plus(timedelta(seconds=10)), TIMING).lasts(START.plus(timedelta(seconds=39.9)))


def test_only_who_waits_for_nobody_says_that_all_is_done() -> None:
    for was_released in (True, False):
        lease = Lease.taken(1, 7, START, TIMING, was_released=was_released)
        assert lease.may_be_released(START.plus(timedelta(seconds=34))) is was_released
        assert lease.may_be_released(START.plus(timedelta(seconds=35)))


def test_expired_leases_are_left_alone_for_a_term_after_a_missed_beat() -> None:
    def after(seconds: float) -> Moment:
        return START.plus(timedelta(seconds=seconds))

    pulse = Pulse.begun(START)
    for seconds in (0, 10, 20):
        pulse = pulse.came_through(after(seconds), after(seconds), TIMING)
        assert pulse.takes_expired(after(seconds))
    for asked, answered in ((40, 40), (30, 60)):
        missed = pulse.came_through(after(asked), after(answered), TIMING)
        for seconds in range(0, 30, 10):
            missed = missed.came_through(after(answered + seconds), after(answered + seconds), TIMING)
            assert not missed.takes_expired(after(answered + seconds)), (
                "one that was not sent, and one that was answered late"
            )
        assert missed.takes_expired(after(answered + 30))


def test_who_is_leaving_takes_nothing() -> None:
    assert most_to_take(fleet("a", "b"), (), is_draining=True) == 0


def test_one_alone_takes_everything_and_three_a_third_each() -> None:
    assert most_to_take(fleet("a"), ()) == SHARDS + 1
    assert most_to_take(fleet("a", "b", "c"), ()) == 22
    assert most_to_take(fleet("a", "b", "c", gone=("d",)), range(16)) == 6
    assert most_to_take(fleet("a", "b", "c"), range(24)) == 0
    assert most_to_take(fleet(gone=("a",)), ()) == SHARDS + 1, (
        "its own heartbeat is among what is read, but be it missing"
    )


@pytest.mark.parametrize("already", [0, 1, HANDED_OVER_AT_ONCE])
def test_what_is_beyond_the_share_is_handed_over_a_few_at_a_time(already: int) -> None:
    held = range(SHARDS + 1)
    leaving = list(held)[-already:] if already else []
    given = to_give_up(fleet("a", "b", held=dict.fromkeys(held, "a")), held, leaving)
    assert len(given) + already == HANDED_OVER_AT_ONCE
    assert not set(given) & set(leaving)
    assert OUTBOX not in given


def test_who_has_its_share_gives_up_nothing() -> None:
    assert not to_give_up(fleet("a", "b"), range(33), ())
    assert to_give_up(fleet("a", "b"), range(34), ()) == [33]
    assert not to_give_up(fleet("a", "b"), range(34), (33,))
    assert to_give_up(fleet("a", "b"), range(34), (), (33, 31)) == [32], "what cannot be released yet is kept"


def test_who_holds_how_much() -> None:
    assert fleet("ann", held={shard_of("home"): "ann"}).held_by() == {"ann": 1}
