"""Plays a recording through a real watch, on the recorded clock, with a ledger in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watchdog.core.model import Status
from watchdog.core.policy import PolicyBook
from watchdog.core.recovery import AttemptState
from watchdog.ledger.ledger import SqliteLedger
from watchdog.replay.gateway import RecordedClock, ReplayedGateway, SessionCourse
from watchdog.replay.passes import OperatorSwitches, Pass, Past
from watchdog.replay.reader import Head, NotARecording, Recording
from watchdog.replay.recorder import RECORDED_EVENTS
from watchdog.replay.transcript_backfill import TranscriptBackfill
from watchdog.service.events import Event, MemoryLog, Recorded
from watchdog.service.ledger import Outcome, Pause, Quarantine
from watchdog.service.null_meter import NullMeter
from watchdog.service.watch import Watch

_WHO = "the recording"
_PROMPT = timedelta(seconds=1)
"""An answer within this, and clocks no further apart, are no reason to look closer."""
_BEFORE = "(before the recording)"
_ID = re.compile(r"i(?P<day>\d{8})-(?P<number>\d{4})-[0-9a-f]{4}")


class ReplayLedger(SqliteLedger):
    """A ledger in memory that holds what its recorded counterpart held of an operator's decisions."""

    operator: OperatorSwitches = OperatorSwitches()
    is_recorded_writable: bool = True

    def is_writable(self, unless_written_within: timedelta = timedelta(0)) -> bool:  # noqa: ARG002 - as it was then
        return self.is_recorded_writable

    @property
    def lost_history_at(self) -> datetime | None:
        return self.operator.lost_at

    def pauses(self, at: datetime) -> Sequence[Pause]:
        spans = (span for span in self.operator.pauses if span.until is None or at < span.until)
        return [
            Pause(number, span.since, "as recorded", _WHO, span.until, span.gateway, span.session)
            for number, span in enumerate(spans)
        ]


class _NoNotes:
    def save(self, incident: str, number: int, text: str) -> str:  # noqa: ARG002 - nothing is written
        return "(replayed)"


@dataclass(frozen=True, slots=True)
class Happening:
    """One event about a session (or the gateway, ``session`` None), in the pass that began ``at``."""

    at: datetime
    name: Event
    session: str | None
    fields: Mapping[str, object]
    is_assumed: bool = False
    """Nobody saw it: it follows from the assumption that a would-be deed helped."""


@dataclass(slots=True)
class Played:
    """What a configuration would have done (``would``) and what was done (``was``), in order of time."""

    head: Head
    passes: int = 0
    began_at: datetime | None = None
    ended_at: datetime | None = None
    sessions: set[str] = field(default_factory=set)
    would: list[Happening] = field(default_factory=list)
    was: list[Happening] = field(default_factory=list)
    worlds: Mapping[str, set[SessionCourse]] = field(default_factory=dict)
    lent: int = 0
    unknown: int = 0
    lives: int = 0
    notes: Sequence[str] = ()


def play(recording: Recording, book: PolicyBook) -> Played:
    """Play all of it. Raises ``NotARecording`` and ``OSError``."""
    return asyncio.run(Player(recording, book).play())


@dataclass(slots=True)
class Player:
    """One playing of one recording."""

    recording: Recording
    book: PolicyBook
    log: MemoryLog = field(default_factory=MemoryLog)
    ledger: ReplayLedger = field(init=False)
    clock: RecordedClock = field(init=False)
    gateway: ReplayedGateway = field(init=False)
    watch: Watch = field(init=False)
    _quarantined: frozenset[str] = frozenset()
    _idle: Pass | None = None
    """The last pass that was played, when nothing was open after it."""
    _ending: ExitStack = field(default_factory=ExitStack)

    async def play(self) -> Played:
        with self._ending:
            return await self._play()

    async def _play(self) -> Played:
        head = self.recording.head()
        played = Played(head)
        life: str | None = None
        for one in self.recording.passes():
            is_new_life = one.life != life
            if life is None:
                self._begin(head, one)
            elif is_new_life:
                self.clock.at = one.began
                self.ledger.settle_start_up(one.began.wall)
                self.watch = self._new_watch(head)
            life = one.life
            played.lives += is_new_life
            await self._pass(one, played, is_new_life=is_new_life)
        if life is None:
            raise NotARecording(f"{self.recording.paths[-1]} holds no pass that can be read.")
        played.worlds = self.gateway.worlds
        played.lent, played.unknown = self.gateway.lent, self.gateway.unknown
        played.notes = self.recording.notes.lines
        return played

    # ---------------------------------------------------------------- the beginning

    def _begin(self, head: Head, first: Pass) -> None:
        self.clock = RecordedClock(first.began)
        lender, marks, incident = self._survey()
        ledger = ReplayLedger.in_memory(
            ledger_id=f"{incident[-4:]}000000000000" if _ID.fullmatch(incident) else None,
            wall=lambda: self.clock.now().wall,
        )
        assert isinstance(ledger, ReplayLedger)
        self.ledger = ledger
        self._ending.enter_context(ledger)
        self.gateway = ReplayedGateway(head.gateway, self.clock, lender, marks, self._mark_here)
        self.watch = self._new_watch(head)
        for past in first.past:
            self._remember(head.gateway, past)
        for session, session_id, since in first.operator.quarantined:
            self.ledger.quarantine(Quarantine(head.gateway, session, session_id, since, "as recorded"))

    def _survey(self) -> tuple[TranscriptBackfill, frozenset[str], str]:
        """Everything that a pass may need of later ones: looks to lend, the marks that the recorded daemon's own deeds
        left in transcripts, and an incident's id of its ledger (empty: there was none)."""
        lender, marks, incident = TranscriptBackfill(), set[str](), ""
        for one in self.recording.passes():
            lender.take(one)
            for past in one.past:
                incident = past.id
                marks |= {f"{past.id}/{attempt.number}" for attempt in past.attempts}
            for said in one.said:
                incident = str(said.fields.get("incident") or incident)
                if said.name == Event.RECOVERY_STARTED:
                    marks.add(f"{said.fields.get('incident')}/{said.fields.get('attempt')}")
        return lender, frozenset(marks), incident

    def _mark_here(self, mark: str) -> str | None:
        """Incidents are counted by the day alike; the rest of an id is the recorded ledger's own."""
        incident, _, number = mark.partition("/")
        wanted = _ID.fullmatch(incident)
        for one in self.ledger.history() if wanted is not None else ():
            here = _ID.fullmatch(one.id)
            if here is None or wanted is None or here.group("day", "number") != wanted.group("day", "number"):
                continue
            if any(str(attempt.number) == number for attempt in one.attempts):
                return f"{one.id}/{number}"
        return None

    def _new_watch(self, head: Head) -> Watch:
        return Watch(
            gateway=self.gateway,
            book=self.book,
            ledger=self.ledger,
            notes=_NoNotes(),
            clock=self.clock,
            log=self.log,
            meter=NullMeter(),
            poll_every=head.poll_every,
        )

    def _remember(self, gateway: str, past: Past) -> None:
        """What was done before the recording counts: budgets, rungs already tried, cool-downs."""
        self._count_up_to(past.id, past.opened_at)
        incident = self.ledger.open_incident(
            gateway=gateway, session=past.session, session_id=past.session_id, reason=past.reason, at=past.opened_at
        )
        for attempt in past.attempts:
            made = self.ledger.plan_attempt(
                incident.id, attempt.step, attempt.planned_at, before=attempt.before, before_tail=attempt.before_tail
            )
            if attempt.started_at is not None:
                self.ledger.claim_attempt(made.id, attempt.started_at)
            if attempt.state not in (AttemptState.PLANNED, AttemptState.STARTED):
                self.ledger.settle_attempt(
                    made.id,
                    attempt.state,
                    attempt.settled_at or attempt.started_at or attempt.planned_at,
                    reason=attempt.reason or "",
                    verified_by=attempt.verified_by,
                    is_retryable=attempt.is_retryable,
                )
            if attempt.run_id is not None:
                self.ledger.note_run(made.id, attempt.run_id)
        if past.closed_at is not None and past.outcome is not Outcome.OPEN:
            self.ledger.close_incident(incident.id, past.outcome, past.closed_at)

    def _count_up_to(self, incident: str, at: datetime) -> None:
        """Have the next incident of that day get this id: the jitter of back-offs hangs on it."""
        wanted = _ID.fullmatch(incident)
        if wanted is None or wanted["day"] != f"{at:%Y%m%d}":
            return
        of_day = (_ID.fullmatch(one.id) for one in self.ledger.history(since=at - timedelta(days=1)))
        last = max((int(one["number"]) for one in of_day if one and one["day"] == wanted["day"]), default=0)
        for _ in range(last, int(wanted["number"]) - 1):
            made = self.ledger.open_incident(gateway=_BEFORE, session=_BEFORE, session_id=None, reason="", at=at)
            self.ledger.close_incident(made.id, Outcome.CLEARED, at)

    # ---------------------------------------------------------------- pass by pass

    async def _pass(self, one: Pass, played: Played, *, is_new_life: bool) -> None:
        self._operate(one)
        first = next((said for said in one.said if said.name == Event.SESSION_STUCK), None)
        if first is not None:
            self._count_up_to(str(first.fields.get("incident")), one.began.wall)
        at = one.began.wall
        played.passes += 1
        played.began_at, played.ended_at = played.began_at or at, at
        if not is_new_life and self._is_idle(one):
            self.watch.trust.begin_pass(one.began)
            self.watch.trust.note_answer(timedelta(0), clock_stepped=False)
            return
        self._idle = None
        self.gateway.turn_to(one, is_new_life=is_new_life)
        before = len(self.log.lines)
        assumed = {key for key in self.gateway.worlds if self.gateway.world_of(key) is SessionCourse.ASSUMED_RECOVERED}
        report = await self.watch.pass_once()
        self.gateway.leave()
        is_settled = report.is_good and not report.in_flight and self.gateway.follows_the_recording
        if is_settled and one.lists and not self.ledger.open_incidents(self.gateway.name):
            self._idle = one
        played.sessions |= {row.key for listing in one.lists for row in listing.sessions}
        for line in self.log.lines[before:]:
            if line.name in RECORDED_EVENTS:
                played.would.append(_happening(at, line, assumed))
        names = {event.value: event for event in Event}
        for said in one.said:
            if said.name in names:
                played.was.append(_happening(at, Recorded(names[said.name], said.fields), frozenset()))

    def _is_idle(self, one: Pass) -> bool:
        """Nothing runs, nothing is open, and it looks as it did in the last pass that was played: nothing to judge.
        Weeks of a quiet gateway are gone through quickly that way."""
        before, last = self._idle, self.watch.trust.last_pass
        if before is None or last is None or one.said or one.deeds or one.looks or one.scopes:
            return False
        if len(one.lists) != 1:
            return False
        known, listing = before.lists[-1], one.lists[0]
        monotonic, wall = one.began.since(last), one.began.wall - last.wall
        return (
            listing.sessions is known.sessions
            and listing.is_complete
            and listing.error is None
            and not listing.malformed
            and not listing.has_stepped
            and (one.connected_at, one.loss, one.refused) == (None, None, None)
            and one.facts == before.facts
            and one.operator == before.operator
            and listing.answered_at.since(listing.asked_at) < _PROMPT
            and monotonic <= self.watch.trust.stall_after
            and abs(wall - monotonic) < _PROMPT
            and not any(row.status is Status.RUNNING or row.is_tombstone for row in listing.sessions)
        )

    def _operate(self, one: Pass) -> None:
        """What operators did since the pass before, done here too."""
        self.ledger.operator, self.ledger.is_recorded_writable = one.operator, one.is_ledger_writable
        now = frozenset(session for session, _, _ in one.operator.quarantined)
        for session in self._quarantined - now:
            self.ledger.release(self.gateway.name, session, one.began.wall, who=_WHO, why="released at the time")
        self._quarantined = now


def _happening(at: datetime, line: Recorded, assumed: frozenset[str] | set[str]) -> Happening:
    session = line.fields.get("session")
    key = session if isinstance(session, str) else None
    return Happening(at, line.name, key, line.fields, line.name is Event.RECOVERY_SUCCEEDED and key in assumed)
