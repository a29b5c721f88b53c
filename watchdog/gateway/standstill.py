"""Would a list say anything that the last one did not? Where it would not, the gateway is not asked for one.

The gateway's own count of what is active (``gateway.restart.preflight``, 1.7 ms at 10,000 sessions on 2026.9.6, where the
shortest list takes 11 ms, and 0.7 ms more for every row that has changed) must be, figure by figure, what it was just before
the last list. That alone tells of every run that begins, or ends without a word; not of one that began and was left behind in
between. So it is believed

- for a short while after a list, the caller says how long, where nothing else tells of runs;
- until the next sweep where events are listened to and all that they told is about rows at rest, or where the gateway tells
  every operator of every run (2026.9) and told of none but those that go on. A run in a list that was not told of ends
  that belief for the life of the connection. With runs going on, lists must have shown for a while that all of them are
  counted: 2026.9.6 holds on to a run whose last write waits and does not count it any more (``LAST_WRITE``).

Turns that came and went without a trace in the count are asked after one by one, while they are few: a row of another turn
than the one we knew, and that says that it is over. Where there are ``MANY`` sessions a list is dear, and news that is left
can wait for that short while: nothing is found later by it than is promised.

Invariant: a session that runs is never taken for one at rest, and a deed is never built on a list that was not made: what
this answers is "look", "nothing new" or "not yet", no row. Limit: a run that began and was left behind without an event, or
with one that was lost, and without a trace in the count, is found by the next sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import timedelta

from watchdog.core.model import Moment, Session, Snapshot, Status
from watchdog.core.tracking import RunIdentity
from watchdog.gateway.events import Told, merge

MANY = 2000
"""Sessions from which on a list is dear: whatever is asked for, 2026.9.6 goes through all of them. 150 rows take 2 to 7 ms of
its time with 1,000 sessions and 25 with 10,000, after 100 changes twice that (measured)."""

MOST_ASKED, ASKED_OF = 15, 100
"""Sessions asked after one by one in a poll, at most, and no more than one in so many. One takes 2 ms of 2026.9.6's time; a
list 5 to 35 ms with 1,000 sessions, and 75 to 115 with 10,000 after a minute in which 1 % of them changed (measured)."""

LAST_WRITE = timedelta(minutes=3)
"""How long 2026.9.6 may hold on to a run whose last write waits: 10 to 40 s were measured, and a lock of 139 s was seen."""

Counts = Mapping[str, float]
"""What ``gateway.restart.preflight`` counts, by its own names."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """How things stood at the last list. ``counts`` were asked for before it: what begins or ends meanwhile differs."""

    counts: Counts
    is_at_rest: bool
    """Nothing that it showed may change unseen."""
    uncounted: float | None
    """How many more runs it showed with an owner than the gateway counted; None: it does not count them by themselves."""
    listed_at: Moment
    """When the list was begun: what it says of its first rows is as old as that."""
    known_at: Moment
    """Up to when all that happened is known: from the list, or from a poll since in which nothing was in question."""
    sessions: int
    in_doubt: frozenset[tuple[str, RunIdentity]]
    """The runs with an owner, where not as many are counted: it may be any of them that is not."""
    same_since: Moment
    """The first of the lists on this connection since which ``uncounted`` and ``in_doubt`` are the same."""

    @classmethod
    def of(cls, counts: Counts, snapshot: Snapshot, before: Baseline | None) -> Baseline:
        """``before``: how things stood at the list before this one, on the same connection."""
        running = [row for row in snapshot.sessions if row.may_change_unseen]
        owned = frozenset((row.key, RunIdentity.of(row)) for row in running if _has_owner(row))
        counted = counts.get("embeddedRuns")
        uncounted = len(owned) - counted if counted is not None else None
        baseline = cls(
            counts=counts,
            is_at_rest=not running,
            uncounted=uncounted,
            in_doubt=owned if uncounted else frozenset(),
            listed_at=snapshot.asked_at,
            known_at=snapshot.asked_at,
            sessions=len(snapshot.sessions),
            same_since=snapshot.answered_at,
        )
        return replace(baseline, same_since=before.same_since) if before and baseline._continues(before) else baseline

    def _continues(self, before: Baseline) -> bool:
        is_known = self.uncounted is not None
        return is_known and (self.uncounted, self.in_doubt) == (before.uncounted, before.in_doubt)

    def is_settled(self, within: timedelta) -> bool:
        return self.is_at_rest or self.listed_at.since(self.same_since) >= max(within, LAST_WRITE)


def is_news(rows: Mapping[str, Session], told: Told) -> bool:
    """Do events tell of anything but rows at rest that stay at rest, and runs that go on?"""
    return told.has_gap or _has_changed(rows, told) or bool(_unowned(rows, told))


def to_ask(baseline: Baseline, rows: Mapping[str, Session], told: Told) -> frozenset[str]:
    """The sessions that, when each says that it is at rest, leave no news of what was told; none: only a list can tell, or
    is no dearer."""
    unowned = _unowned(rows, told)
    most = min(MOST_ASKED, baseline.sessions // ASKED_OF)
    if len(unowned) > most or told.has_gap or _has_changed(rows, told):
        return frozenset()
    is_known_at_rest = all(key in rows and not rows[key].may_change_unseen for key in unowned)
    return unowned if is_known_at_rest else frozenset()


def _has_changed(rows: Mapping[str, Session], told: Told) -> bool:
    return any(
        key not in rows or not _is_as_before(rows[key], merge(rows[key], delta)) for key, delta in told.changes.items()
    )


def _unowned(rows: Mapping[str, Session], told: Told) -> frozenset[str]:
    """What something works on, and the last list showed it without an owner or not at all."""
    return frozenset(key for key in told.worked_on if key not in rows or not _has_owner(rows[key]))


def _has_owner(row: Session) -> bool:
    """Work on a row that runs with an owner is no news; on one without, it may be what cures it."""
    return row.may_change_unseen and (row.has_active_run is True or bool(row.active_run_ids))


def _is_as_before(before: Session, now: Session) -> bool:
    if before.may_change_unseen or now.may_change_unseen:
        return before.has_active_run == now.has_active_run and RunIdentity.of(before) == RunIdentity.of(now)
    return before.session_id == now.session_id


def believed_until(baseline: Baseline, told: Told, within: timedelta) -> Moment | None:
    """Until when the count may be believed alone; None: events told of everything else, or of every other run, and it may
    be believed for good. From the list on: what the count cannot tell of may have happened any time since."""
    if baseline.is_settled(within) and (told.is_everything or told.is_every_run):
        return None
    return baseline.listed_at.plus(within)


def can_wait_until(baseline: Baseline, told: Told, within: timedelta, now: Moment) -> Moment | None:
    """Until when a list that would say something new can wait, because it is dear; None: it cannot. From when all was known:
    it has happened since."""
    latest = baseline.known_at.plus(within)
    return latest if baseline.sessions >= MANY and now < latest and not told.has_gap else None


def untold(before: Mapping[str, Session], rows: Mapping[str, Session], worked_on: Set[str]) -> frozenset[str]:
    """Sessions of which a list shows a run that began since the last one, and no event said so."""
    return frozenset(
        key
        for key, row in rows.items()
        if row.status is Status.RUNNING and row.started_at is not None
        if key not in worked_on
        if key not in before or RunIdentity.of(before[key]) != RunIdentity.of(row)
    )
