"""Who watches which gateways, where several replicas share them: the rules, as values.

A gateway belongs to a shard by its name; a replica leases shards. A lease is a row of the ledger's (owner, epoch, expiry); the
epoch goes up with every owner. What is decided here: how many shards a replica takes and gives up, and when a lease is good enough
for a deed. Expiry is the database's clock's; what a replica believes of its own lease is the monotonic clock's, and counts from
before the renewal was sent, so it ends sooner than the row's.

Limit: a replica that is stopped between its last look at the clock and the kernel's taking of the frame, and goes on later than
everything below allows for, sends late. Then the gateway's own idempotency key is what is left.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from watchdog.core.model import Moment

SHARDS = 64
"""Fixed, because a gateway must have one shard for all: several for each replica, so that shares come out even."""
OUTBOX = 0
"""The shard that has no gateways: who leases it delivers the messages of all."""
HANDED_OVER_AT_ONCE = 4
"""Shards that a replica may be handing over at any time to make the shares even."""


def shard_of(gateway: str) -> int:
    """1 to ``SHARDS``, the same for everybody and for ever."""
    digest = hashlib.blake2s(gateway.encode("utf-8", "replace"), digest_size=4).digest()
    return 1 + int.from_bytes(digest, "big") % SHARDS


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """How long things take, all of them out of ``term``: how long a lease lasts after its renewal."""

    term: timedelta = timedelta(seconds=30)

    @property
    def renew_every(self) -> timedelta:
        return self.term / 3

    @property
    def margin(self) -> timedelta:
        """How long a lease must still last for a deed to be claimed. One renewal may fail without holding deeds."""
        return self.term / 3

    @property
    def send_within(self) -> timedelta:
        """How long after its claim, at most, a deed may be sent: half the margin, the rest is for clocks that run apart, and for the way."""
        return self.term / 6

    @property
    def wait(self) -> timedelta:
        """How long a new owner does no deed where the earlier one has not said that it is done: as long as that one, whatever the
        database's clock did meanwhile, may believe in its lease, and then send."""
        return self.term + self.send_within

    @property
    def gap(self) -> timedelta:
        """Beats that came through longer apart than this had a missed or slow one between them."""
        return self.term / 2


@dataclass(frozen=True, slots=True)
class Lease:
    """A shard as its owner knows it. ``good_until`` and ``deeds_from``: on the owner's monotonic clock."""

    shard: int
    epoch: int
    good_until: Moment
    deeds_from: Moment
    taken_at: Moment
    """From when on it is known to be this owner's."""

    @classmethod
    def taken(cls, shard: int, epoch: int, asked_at: Moment, timing: LeaseTiming, *, was_released: bool) -> Lease:
        """``was_released``: its last owner, if there was one, said that it is done."""
        # guard: shares: a new owner waits until the earlier one cannot send any more
        deeds_from = asked_at if was_released else asked_at.plus(timing.wait)
        return cls(shard, epoch, asked_at.plus(timing.term), deeds_from, asked_at)

    @classmethod
    def found(cls, shard: int, epoch: int, asked_at: Moment, timing: LeaseTiming) -> Lease:
        """It is the row's owner, and does not know since when: good for watching, and for deeds once renewed and waited for."""
        return cls(shard, epoch, asked_at, asked_at.plus(timing.wait), asked_at)

    def renewed(self, asked_at: Moment, timing: LeaseTiming) -> Lease:
        """``asked_at``: before the renewal was sent."""
        return replace(self, good_until=asked_at.plus(timing.term))

    def lasts(self, now: Moment, span: timedelta = timedelta(0)) -> bool:
        """As far as its owner knows, it is good for ``span`` from now."""
        return self.good_until > now.plus(span)

    def may_be_released(self, now: Moment) -> bool:
        """Its owner can say that all is done: nobody before it may still send. Otherwise the lease is left to end."""
        # guard: shares: who still waits for an earlier owner does not say that all is done
        return now >= self.deeds_from


@dataclass(frozen=True, slots=True)
class Pulse:
    """When this replica's beats came through, and what follows for the leases of the others. ``last``: when the last one that did
    was asked for, at first the start of this life; ``takes_expired_from``: before that, expired leases are left to their owners."""

    last: Moment
    takes_expired_from: Moment

    @classmethod
    def begun(cls, now: Moment) -> Pulse:
        return cls(now, now)

    def came_through(self, asked_at: Moment, now: Moment, timing: LeaseTiming) -> Pulse:
        """A beat was answered. After an outage of the ledger all leases have ended, and that proves nobody gone: whoever is there renews
        its own within a term."""
        # guard: shares: after an outage everybody first gets the time to renew
        if now.since(self.last) > timing.gap:
            return Pulse(asked_at, now.plus(timing.term))
        return Pulse(asked_at, self.takes_expired_from)

    def takes_expired(self, now: Moment) -> bool:
        return now >= self.takes_expired_from


@dataclass(frozen=True, slots=True)
class Shard:
    """A row. ``owner`` None: released, or never taken. ``is_expired``: by the database's clock."""

    id: int
    owner: str | None
    epoch: int
    is_expired: bool


@dataclass(frozen=True, slots=True)
class Replica:
    """One process that shares the gateways. ``id``: of this life of it; ``name``: for people. ``is_here``: by its heartbeat."""

    id: str
    name: str
    is_here: bool


@dataclass(frozen=True, slots=True)
class Fleet:
    """Every replica and every shard, read at one instant."""

    replicas: Sequence[Replica] = ()
    shards: Sequence[Shard] = ()

    def held_by(self) -> Counter[str]:
        """How many shards each replica (by its id) holds, expired ones left out."""
        return Counter(one.owner for one in self.shards if one.owner is not None and not one.is_expired)

    def fair_share(self) -> int:
        """The most that one of those that are here should hold."""
        here = sum(one.is_here for one in self.replicas)
        return -(-len(self.shards) // max(1, here))


def most_to_take(fleet: Fleet, held: Collection[int], *, is_draining: bool = False) -> int:
    """How many of the shards that are nobody's a replica takes that holds ``held``."""
    if is_draining:  # guard: shares: who is leaving takes nothing
        return 0
    return max(0, fleet.fair_share() - len(held))


def to_give_up(
    fleet: Fleet, held: Collection[int], leaving: Collection[int], waiting: Collection[int] = ()
) -> Sequence[int]:
    """Which of ``held`` a replica begins to hand over, with ``leaving`` under way: what is beyond its share, a few at a time.
    ``waiting``: of those an earlier owner may still send, so they are kept until they can be released."""
    excess = len(held) - len(leaving) - fleet.fair_share()
    few = min(excess, HANDED_OVER_AT_ONCE - len(leaving))
    return sorted(set(held) - set(leaving) - set(waiting), reverse=True)[: max(0, few)]
