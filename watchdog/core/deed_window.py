"""``recovery.deeds_between``: at which hours of the week deeds may be done.

Limit: it is the wall clock's, as the operator's own clock shows it. A span of hours that a change of clocks cuts or doubles
counts only where every reading of its ends agrees: too short rather than too long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

_DAY = timedelta(days=1)
_LOOK_AHEAD = 15
"""Days. Two weeks, and one day for a span that a change of clocks has left nothing of."""


@dataclass(frozen=True, slots=True)
class DeedWindow:
    """Deeds from ``begins`` to ``ends`` on each of ``days``, on the clock of ``zone``; ``ends`` before ``begins``: on the next day."""

    days: frozenset[int]
    """As ``date.weekday``: Monday is 0. The day on which the span begins."""
    begins: time
    ends: time
    """``00:00``: the day's end."""
    zone: tzinfo
    words: str
    """As the configuration says it."""

    def closed_until(self, now: datetime) -> datetime | None:
        """When deeds may be done again, or None: now."""
        for begins, ends in self._spans(now):
            if ends > now:
                return begins if begins > now else None
        raise AssertionError(f"{self.words} never comes")

    def _spans(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Those from yesterday's on, in order."""
        first = now.astimezone(self.zone).date() - _DAY
        for day in (first + n * _DAY for n in range(_LOOK_AHEAD + 1)):
            if day.weekday() in self.days:
                begins = max(self._readings(day, self.begins))
                ends = min(self._readings(day if self.ends > self.begins else day + _DAY, self.ends))
                if begins < ends:
                    yield begins, ends

    def _readings(self, day: date, at: time) -> tuple[datetime, datetime]:
        """The instants that a clock's reading may mean: two where the clock is set back, or where it leaves the reading out."""
        local = datetime.combine(day, at, self.zone)
        return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
