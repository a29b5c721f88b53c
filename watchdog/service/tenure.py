"""One stretch of owning a shard, as the parts of a watch know it: what their writes carry, and whether a deed may be done.

Invariant: it is of one epoch for its whole life. A shard that was lost and taken again is another tenure, with other watches, so that
no look of before decides on what is done after.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from watchdog.core.blockers import Blocker, BlockerName
from watchdog.core.leases import Lease, LeaseTiming
from watchdog.core.model import Moment
from watchdog.service.recent_answers import RecentAnswers


@dataclass(slots=True)
class Tenure:
    """``lease`` is replaced at every renewal."""

    replica: str
    """The id of the process."""
    lease: Lease
    timing: LeaseTiming
    is_leaving: bool = False
    """It is being handed over: the passes that are going end, and none begins a deed."""
    recent: RecentAnswers | None = None
    """What this process has just read; None: every question is asked."""
    settled: dict[str, str] = field(default_factory=dict)
    """Where each gateway led when what an earlier owner, or this one at another place, had in flight there was settled."""

    def deed_blocker(self, now: Moment) -> Blocker | None:
        """Why no deed may be begun now."""
        if self.is_leaving:
            return Blocker(BlockerName.LEASE, "This gateway is just being handed over to another replica.")
        if now < self.lease.deeds_from:
            return Blocker(
                BlockerName.LEASE,
                "This replica watches the gateway only since another one went away, whose last deed may still be under way.",
                self.lease.deeds_from,
            )
        # guard: shares: no deed on a lease that may end before it is sent
        if not self.lease.lasts(now, self.timing.margin):
            return Blocker(BlockerName.LEASE, "This replica's lease on the gateway could not be renewed in time.")
        return None

    def send_by(self, now: Moment) -> Moment:
        """Until when a deed that is claimed after ``now`` may be sent."""
        return now.plus(self.timing.send_within)
