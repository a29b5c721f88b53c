"""Runs that were watched and have ended with somebody unanswered: each is told once, and nothing is done about it.

Where a row stops saying ``running`` one look at its transcript is due, ``confirm_for`` later: what it says then is no
glimpse of a row and a transcript that are written one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from watchdog.core.model import GatewayFacts, Look, Moment, Session, Snapshot, Status
from watchdog.core.tracking import RunIdentity, Track
from watchdog.core.unanswered import (
    Unanswered,
    has_yielded,
    is_live,
    is_worth_a_look,
    left_unanswered,
)
from watchdog.service import announcements
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Ledger, Outcome
from watchdog.service.observer import Judged, Observer
from watchdog.service.plan import was_sent, was_stopped
from watchdog.service.ports import Gateway, Wants

LOOKS_A_PASS = 8
"""Transcripts read of ended runs in one pass; the rest waits for the next. More than are told as messages of their own."""


@dataclass(frozen=True, slots=True)
class _Ended:
    track: Track
    at: Moment
    """When its row was first seen not to say ``running``."""
    due: Moment | None = None
    """When to look; None: ``confirm_for`` after ``at``."""
    yielded: str | None = None
    """Fingerprint of a transcript that ends with a wait for children."""


@dataclass(slots=True)
class EndedRuns:
    """The ended runs of one gateway that may still have to be told. Kept in memory: a daemon that has just started tells
    nothing of what ended before, incidents excepted that were open then."""

    gateway: Gateway
    observer: Observer
    ledger: Ledger
    log: Log
    _waiting: dict[str, _Ended] = field(init=False, default_factory=dict)
    _has_begun: bool = field(init=False, default=False)

    async def tell(self, judged: Sequence[Judged], snapshot: Snapshot, facts: GatewayFacts) -> None:
        """Take up what has ended in this pass, look at what is due, owe what is found.

        Before incidents are closed in this pass. Raises ``errors.GatewayError`` where a look ends the connection: nothing is
        lost by that.
        """
        now = snapshot.answered_at
        while self.observer.ended:
            key, track = self.observer.ended.popitem()
            self._waiting[key] = _Ended(track, now)
        if not self._waiting and self._has_begun:
            return
        rows = {item.session.key: item for item in judged}
        if not self._has_begun:
            self._take_up_incidents(rows, now)
        looks = 0
        for key, ended in [*self._waiting.items()]:
            here = rows.get(key)
            if here is None:
                if snapshot.lacks(key):
                    del self._waiting[key]
                continue
            if not self._may_be_told(here, ended, facts):
                del self._waiting[key]
                continue
            if not here.session.status.is_terminal or here.session.has_active_run:
                continue  # its words wait for a lane, or it is not over yet
            ended = self._waiting[key] = self._timed(here, ended, now)  # noqa: PLW2901 - the same one, with its time
            if ended.due is None or now < ended.due:  # guard: unanswered: no glimpse
                continue
            if looks == LOOKS_A_PASS:  # guard: unanswered: a few looks a pass
                break
            looks += 1
            await self._look(here, ended, now, facts.booted_at)

    def _take_up_incidents(self, rows: Mapping[str, Judged], now: Moment) -> None:
        """A run of which an earlier life of this daemon said that it was stuck was watched, too."""
        for incident in self.ledger.open_incidents(self.gateway.name):
            here = rows.get(incident.session)
            is_its = here is not None and incident.session_id in (None, here.session.session_id)
            if here is not None and is_its and here.session.status is not Status.RUNNING:
                self._waiting.setdefault(incident.session, _Ended(here.case.track, now))
        self._has_begun = True

    def _may_be_told(self, here: Judged, ended: _Ended, facts: GatewayFacts) -> bool:
        row, before = here.session, ended.track.identity
        if row.status in (Status.RUNNING, Status.ABSENT) or row.session_id != before.session_id:
            return False  # it goes on, and is tracked anew; or somebody has begun afresh
        if row.is_tombstone:  # guard: unanswered: a tombstone is told with its incident
            return False
        return not row.status.is_terminal or is_worth_a_look(row, ended.track, self._children(row), facts)

    def _children(self, row: Session) -> Sequence[Session]:
        return self.observer.relatives.get(row.key, ())

    def _timed(self, here: Judged, ended: _Ended, now: Moment) -> _Ended:
        if ended.due is None:
            return replace(ended, due=ended.at.plus(here.policy.thresholds.confirm_for))
        if ended.yielded is not None and any(is_live(child) for child in self._children(here.session)):
            return replace(ended, due=now.plus(here.policy.thresholds.stuck_after))
        return ended

    async def _look(self, here: Judged, ended: _Ended, now: Moment, booted_at: datetime | None) -> None:
        row = here.session
        look = await self.gateway.look(row, Wants(tail=True))
        if look.tail is None and look.problems:  # looked at again later: others wait for their look
            self._waiting[row.key] = replace(ended, due=now.plus(here.policy.thresholds.stuck_after))
            return
        self.ledger.read_anew()  # guard: shares: who is told of once is told of by what the ledger says now
        found = self._found(here, look, ended, booted_at)
        waits = look.tail is not None and has_yielded(row, look.tail)
        if found is not None and not self._is_told_by_incident(row, ended, waits=waits or ended.yielded is not None):
            self._owe(row, ended, found, now)
        if look.tail is not None and waits and ended.yielded is None:
            due = now.plus(here.policy.thresholds.stuck_after)
            self._waiting[row.key] = replace(ended, yielded=look.tail.fingerprint, due=due)
        else:
            self._waiting.pop(row.key, None)

    def _found(self, here: Judged, look: Look, ended: _Ended, booted_at: datetime | None) -> Unanswered | None:
        if look.tail is None:
            return None
        seen = replace(here, case=replace(here.case, look=look))
        stopped = was_stopped(seen, self.gateway.name, self.ledger)
        return left_unanswered(
            here.session,
            look.tail,
            ended.track,
            was_stopped=stopped,
            yielded=ended.yielded,
            booted_at=booted_at,
        )

    def _is_told_by_incident(self, row: Session, ended: _Ended, *, waits: bool) -> bool:
        """A deed of ours was sent, and what became of it is told with its incident; or it is given up, and told so.
        Of a turn that only waits for its subagents an incident says no more than that."""
        # guard: unanswered: given up is told
        if any(entry.holds(row) for entry in self.ledger.quarantines(self.gateway.name)):
            return True
        seen, at = ended.track.first_seen.wall, ended.at.wall
        # guard: unanswered: a deed of ours is told with its incident
        return any(
            was_sent(attempt)
            and not (incident.outcome is Outcome.CLEARED and waits)
            and (
                incident.closed_at is None
                or incident.closed_at >= at
                or (attempt.started_at is not None and attempt.started_at >= seen)
            )
            for incident in self.ledger.history(session=row.key, gateway=self.gateway.name)
            for attempt in incident.attempts
        )

    def _owe(self, row: Session, ended: _Ended, found: Unanswered, now: Moment) -> None:
        message = announcements.unanswered(
            self.gateway.name,
            row.key,
            RunIdentity.of(row),
            now=now.wall,
            ended_at=ended.at.wall,
            explanation=found.message,
            has_waited=ended.yielded is not None,
        )
        if self.ledger.owe([message], now.wall):
            self.log.event(
                Event.SESSION_UNANSWERED,
                gateway=self.gateway.name,
                session=row.key,
                session_id=row.session_id,
                reason=found.reason,
            )
