"""For how much of the last week each gateway answered, hour by hour, as far as it was watched.

Only for people's eyes: nothing is decided by it, so it is kept in a small file beside the ledger, written once an hour and
at the end. Limit: a daemon that is killed forgets the hour; a time in which nobody watched counts neither way.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

from watchdog.status.model import HISTORY, AvailabilityView

FILE = "availability.json"
LONGEST_GAP = timedelta(minutes=10)
"""Passes further apart had nobody between them: the daemon was down, or the machine asleep."""
_HOUR = 3600
_HOURS = int(HISTORY.total_seconds()) // _HOUR

Hours = dict[int, list[float]]
"""By hours since 1970 (UTC): the seconds that were watched, and those of them in which it answered."""


@dataclass(slots=True)
class Availability:
    """``path`` None: kept in memory alone."""

    path: Path | None
    _hours: dict[str, Hours] = field(init=False)
    _last: dict[str, tuple[datetime, bool]] = field(default_factory=dict)
    _written: int | None = None

    def __post_init__(self) -> None:
        self._hours = {}
        with suppress(Exception):  # none yet, or none that can be read: it begins anew, and never stops a start
            self._hours = _read(self.path.read_text("utf-8")) if self.path is not None else {}

    def note(self, gateway: str, at: datetime, *, answered: bool | None) -> None:
        """A pass has ended at ``at``. What it found is taken to hold until the next one; ``answered`` None: it found nothing."""
        before = self._last.pop(gateway, None)
        if answered is not None:
            self._last[gateway] = (at, answered)
        hour = _hour(at)
        if before is not None and timedelta(0) < at - before[0] <= LONGEST_GAP:
            seconds = (at - before[0]).total_seconds()
            counted = self._hours.setdefault(gateway, {}).setdefault(hour, [0.0, 0.0])
            counted[0] += seconds
            counted[1] += seconds if before[1] else 0.0
        if self._written not in (None, hour):
            self.write(at)
        self._written = hour

    def view(self, gateway: str, now: datetime) -> AvailabilityView:
        """The week up to ``now``."""
        hours, last = self._hours.get(gateway, {}), _hour(now)
        week = [hours.get(hour, [0.0, 0.0]) for hour in range(last - _HOURS + 1, last + 1)]
        return AvailabilityView(
            watched_seconds=sum(one[0] for one in week),
            answered_seconds=sum(one[1] for one in week),
            hours=tuple(one[1] / one[0] if one[0] else None for one in week),
            last_hour=datetime.fromtimestamp(last * _HOUR, UTC),
        )

    def write(self, now: datetime) -> None:
        """Keep the last week. Never raises: it is a picture, and the watching goes on without."""
        first = _hour(now) - _HOURS
        kept = {name: {hour: one for hour, one in hours.items() if hour > first} for name, hours in self._hours.items()}
        self._hours = {name: hours for name, hours in kept.items() if hours}
        if self.path is None:
            return
        draft = self.path.with_name(f".{self.path.name}.new")
        try:
            draft.write_text(json.dumps(self._hours), "utf-8")
            draft.replace(self.path)
        except OSError:
            return


def _hour(at: datetime) -> int:
    return int(at.timestamp()) // _HOUR


def _read(text: str) -> dict[str, Hours]:
    """Figures alone: what is not finite is no JSON for a browser."""
    return {
        name: {
            int(hour): [float(min(watched, _HOUR)), float(min(answered, watched, _HOUR))]
            for hour, (watched, answered) in hours.items()
            if 0 <= watched < inf and 0 <= answered < inf
        }
        for name, hours in json.loads(text).items()
    }
