"""A replica's part in the fleet: its heartbeat, its leases, what it takes and hands over.

It decides and keeps count; whoever runs watches follows (``daemon.loop``): begins those of ``held``, ends the others, and says when a
shard that is being handed over is let go of (``let_go``). Invariant: a lease counts as renewed only when the ledger said so, from
the moment before it was asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from watchdog.core.leases import OUTBOX, Fleet, Lease, LeaseTiming, Pulse, Shard, most_to_take, shard_of, to_give_up
from watchdog.core.model import Moment
from watchdog.service.ports import Clock
from watchdog.service.recent_answers import AT_LEAST, RecentAnswers
from watchdog.service.tenure import Tenure


@dataclass(frozen=True, slots=True)
class TakenShard:
    """``was_released``: nobody had it, or its last owner had said that it is done."""

    shard: int
    epoch: int
    was_released: bool


class LeaseRecord(Protocol):
    """Where leases are kept. Raises ``errors.LedgerError`` leaves and nothing else. ``held``: epochs by shard."""

    def beat(self, replica: str, name: str, held: Mapping[int, int], term: timedelta) -> Fleet:
        """This replica is here, and keeps those of ``held`` that are still its own; the fleet as it is then."""
        ...

    def take(self, replica: str, most: int, term: timedelta, *, with_expired: bool = True) -> Sequence[TakenShard]:
        """Up to ``most`` shards that are nobody's, each with an epoch of its own. ``with_expired``: also those whose owner has not
        renewed its lease."""
        ...

    def release(self, replica: str, held: Mapping[int, int]) -> None:
        """Nothing more is done about these: the next owner may begin at once."""
        ...

    def leave(self, replica: str, held: Mapping[int, int]) -> None:
        """The same, and this replica is here no longer."""
        ...

    def fleet(self) -> Fleet: ...


@dataclass(frozen=True, slots=True)
class ShareChange:
    """What one beat changed: shards."""

    taken: Sequence[int] = ()
    lost: Sequence[int] = ()
    leaving: Sequence[int] = ()


@dataclass(slots=True)
class Shares:
    """``replica``: an id of this life of the process; ``name``: for people."""

    record: LeaseRecord
    replica: str
    name: str
    timing: LeaseTiming
    clock: Clock
    answers_last: float = AT_LEAST
    """Seconds for which what its gateways have read of the ledger counts, at least."""
    fleet: Fleet = field(default_factory=Fleet)
    """As the last beat found it."""
    is_draining: bool = False
    """This process ends: it takes nothing more."""
    _tenures: dict[int, Tenure] = field(default_factory=dict)
    _recent: RecentAnswers = field(init=False)
    _pulse: Pulse = field(init=False)
    _given_up: dict[int, int] = field(default_factory=dict)
    """The last epoch of each shard that was let go of, whether or not the ledger could be told."""

    def __post_init__(self) -> None:
        self._recent = RecentAnswers(self.clock, self.answers_last)
        self._pulse = Pulse.begun(self.clock.now())

    def is_spare(self) -> bool:
        """It holds nothing, and others are here to hold everything. Raises ``LedgerError``."""
        return not self._tenures and any(one.is_here for one in self.record.fleet().replicas if one.id != self.replica)

    def beat(self) -> ShareChange:
        """Call every ``timing.renew_every``. Raises ``LedgerError``; then nothing counts as renewed."""
        asked_at = self.clock.now()
        fleet = self.record.beat(self.replica, self.name, self._epochs(self._tenures), self.timing.term)
        now = self.clock.now()
        self._pulse = self._pulse.came_through(asked_at, now, self.timing)
        lost = self._renew(fleet, asked_at)
        found = self._find(fleet, asked_at)
        waiting = [shard for shard, tenure in self._tenures.items() if not tenure.lease.may_be_released(now)]
        leaving = to_give_up(fleet, self._tenures, self.leaving, waiting)
        for shard in leaving:
            self._tenures[shard].is_leaving = True
        taken: Sequence[TakenShard] = ()
        if most := most_to_take(fleet, self._tenures, is_draining=self.is_draining):
            asked_at = self.clock.now()
            with_expired = self._pulse.takes_expired(asked_at)
            taken = self.record.take(self.replica, most, self.timing.term, with_expired=with_expired)
            for one in taken:
                lease = Lease.taken(one.shard, one.epoch, asked_at, self.timing, was_released=one.was_released)
                self._tenures[one.shard] = Tenure(self.replica, lease, self.timing, recent=self._recent)
        if taken or found:
            self._recent.forget()  # guard: shares: what was read of another's gateways is not what it left behind
        self.fleet = self.record.fleet() if taken else fleet
        return ShareChange([*found, *(one.shard for one in taken)], lost, leaving)

    def _renew(self, fleet: Fleet, asked_at: Moment) -> Sequence[int]:
        rows = {one.id: one for one in fleet.shards}
        lost = []
        for shard, tenure in list(self._tenures.items()):
            row = rows.get(shard)
            if row is None or (row.owner, row.epoch) != (self.replica, tenure.lease.epoch):
                del self._tenures[shard]
                lost.append(shard)
            else:
                tenure.lease = tenure.lease.renewed(asked_at, self.timing)
        return lost

    def _find(self, fleet: Fleet, asked_at: Moment) -> Sequence[int]:
        """What was taken, and the answer was lost on its way."""
        found = (
            [] if self.is_draining else [one for one in fleet.shards if one.owner == self.replica and self._is_new(one)]
        )
        for one in found:
            lease = Lease.found(one.id, one.epoch, asked_at, self.timing)
            self._tenures[one.id] = Tenure(self.replica, lease, self.timing, recent=self._recent)
        return [one.id for one in found]

    def _is_new(self, one: Shard) -> bool:
        return one.id not in self._tenures and one.epoch > self._given_up.get(one.id, 0)

    def tenure_of(self, gateway: str) -> Tenure | None:
        """While this replica watches it; None: it does not, or is handing it over."""
        tenure = self._tenures.get(shard_of(gateway))
        return None if tenure is None or tenure.is_leaving else tenure

    def has(self, shard: int) -> bool:
        """It is this replica's own, as far as that knows now."""
        tenure = self._tenures.get(shard)
        return tenure is not None and not tenure.is_leaving and tenure.lease.lasts(self.clock.now())

    @property
    def held(self) -> int:
        return len(self._tenures)

    @property
    def leaving(self) -> Collection[int]:
        """What is being handed over."""
        return [shard for shard, tenure in self._tenures.items() if tenure.is_leaving]

    def drain(self) -> None:
        """This process ends: no gateway's next pass begins a deed, and each shard can be let go of once its passes have ended. The
        outbox stays until ``leave``, for what the last passes owe."""
        self.is_draining = True
        for shard, tenure in self._tenures.items():
            tenure.is_leaving = tenure.is_leaving or shard != OUTBOX

    def let_go(self, shards: Collection[int]) -> None:
        """Nothing is done about these any more. Raises ``LedgerError``: then the next owner waits for the lease to end, as it does where
        an owner before this one may still send."""
        gone = {shard: self._tenures.pop(shard) for shard in shards if shard in self._tenures}
        if done := self._released(gone):
            self.record.release(self.replica, done)

    def leave(self) -> None:
        """The same of all. Raises ``LedgerError``."""
        gone, self._tenures = self._tenures, {}
        self.record.leave(self.replica, self._released(gone))

    def _released(self, gone: Mapping[int, Tenure]) -> dict[int, int]:
        self._given_up |= self._epochs(gone)
        now = self.clock.now()
        return self._epochs({shard: one for shard, one in gone.items() if one.lease.may_be_released(now)})

    @staticmethod
    def _epochs(tenures: Mapping[int, Tenure]) -> dict[int, int]:
        return {shard: tenure.lease.epoch for shard, tenure in tenures.items()}
