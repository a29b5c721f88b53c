"""The invariants, checked at every deed with the truth of that instant, and once more when all trouble is over.

A deed that meets an owner who came after the watchdog's last look is a *race*: nobody outside the gateway can exclude
those few milliseconds. Races are counted, not hidden; one that began before the last look was served is a violation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from openclaw_simulator.profiles import ActiveFlag, Profile
from openclaw_simulator.records import Cause, ClientEffect, GroundTruth, Heard, ModelCall, Stall
from openclaw_simulator.sessions import EntryKind, SimSession
from openclaw_simulator.world import World
from tests.sim.timeline import Timeline
from tests.sim.wire import Asked
from watchdog.core.policy import PolicyBook, Step
from watchdog.core.recovery import PERHAPS_ASKED, Attempt, AttemptState, awaits_person
from watchdog.core.verdict import Verdict
from watchdog.gateway.sessions.inspect import TIMEOUT_SLACK
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.ledger import Incident, MessageKind, Outcome, OwedMessage

TARGET = "simulated"
SOON = timedelta(minutes=45)
"""Once faults end, a stuck session is told to somebody within this: a restart's grace, ``stuck_after``, two confirming
polls and the time until a first poll."""
AT_LAST = timedelta(hours=3)
"""Once faults end, a stuck session is recovered, quarantined, or left to a person on purpose within this: the ladder with
its back-offs, two at a time, within the hourly budget of a gateway."""
RACE_SLACK_MS = 50
NOTICE = "-notice"
"""How the idempotency key of a message after a fresh session ends."""


class Rule(StrEnum):
    """What must never happen."""

    LIVE_OWNER = "deed on a session with a live owner"
    STOPPED = "user-stopped work resumed"
    FINISHED = "finished work resumed"
    FORESTALLED = "deed during the gateway's own recovery"
    UNKNOWN = "deed without a proof that nothing works there"
    BROKEN_ROW = "deed on a row that could not be read"
    TWICE = "deed done twice"
    NO_ROW = "deed without its ledger row"
    UNTOLD = "deed without a message before or after it"
    BUDGET = "deed beyond a budget"
    CONCURRENCY = "more deeds at once than allowed"
    PAUSED = "deed during an operator's pause"
    BACKGROUND = "deed on a session whose policy only tells"
    EARLY = "deed within the start-up grace"
    LEFT_STUCK = "stuck, and nobody was told"
    UNSETTLED = "stuck and told, then neither recovered nor quarantined"
    TWO_INCIDENTS = "two open incidents of one session"
    WRONG_CHAT = "somebody's words delivered to a chat that is not theirs"
    AFTER_STOP = "deed on work that a person had stopped after its run died"
    RIGHTS = "turn of ours with more tools than its requester had"
    ASKED_TWICE = "asked twice about one interruption"
    LEFT_WAITING = "somebody waits at a deaf session, and it was never freed"
    INTERFERED = "interfered with the gateway's own recovery"
    UNANSWERED = "recovered although nobody has the answer"
    CUT_OFF = "somebody cut off from their chat"
    TWO_OWNERS = "two replicas acted at once"
    STALE_WRITE = "written by a replica that no longer owns the gateway"


NOT_YET: frozenset[Rule] = frozenset()
"""Rules whose breaches are counted in the report and are no violations."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach: what, where, when (seconds from the episode's start)."""

    rule: Rule
    key: str
    at_s: float
    note: str


@dataclass(slots=True)
class Tally:
    """What came of it all."""

    deeds: Counter[str] = field(default_factory=Counter)
    races: int = 0
    stalls: int = 0
    ended_by: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    not_yet: Counter[str] = field(default_factory=Counter)
    """Breaches of rules that are only counted (``NOT_YET``)."""


_BY_TRUTH: Mapping[GroundTruth, Rule] = {
    GroundTruth.LIVE: Rule.LIVE_OWNER,
    GroundTruth.QUEUED: Rule.LIVE_OWNER,
    GroundTruth.STOPPED: Rule.STOPPED,
    GroundTruth.FINISHED: Rule.FINISHED,
    GroundTruth.LOCKED_OUT: Rule.FINISHED,
    GroundTruth.RECOVERING: Rule.FORESTALLED,
}
_LETS_IN = frozenset({"sessions.send", "sessions.reset"})
"""What frees a row whose work was answered and whose people are refused at the door. A turn would ask for it again."""
_ANSWERING = frozenset({MessageKind.RECOVERED, MessageKind.INEFFECTIVE, MessageKind.QUARANTINED, MessageKind.CLEARED})
"""Kinds that say what came of a deed."""


@dataclass(slots=True)
class Judge:
    """Watches one episode. It knows the world's truth; the watchdog does not know the judge."""

    world: World
    timeline: Timeline
    ledger: SqliteLedger
    book: PolicyBook
    gateway: str
    explain: Callable[[str], str] = field(default=lambda _key: "")
    """What the watchdog itself thinks of a session now, in words."""
    violations: list[Violation] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    not_yet: frozenset[Rule] = NOT_YET
    sent_in: frozenset[AttemptState] = frozenset({AttemptState.STARTED})
    """What an attempt may be when its deed arrives."""
    timeline_notes: list[tuple[int, str, str]] = field(default_factory=list)
    """(when, key, words): what the story of a violation is told from."""
    messages: list[OwedMessage] = field(default_factory=list)
    _own_runs: set[str] = field(default_factory=set)
    _refusals: dict[str, list[str]] = field(default_factory=dict)
    """Methods refused for good, by incident."""
    _done: dict[int, int] = field(default_factory=dict)
    """Times each attempt's deed reached the gateway, by attempt id."""
    _keys: Counter[str] = field(default_factory=Counter)
    _charged: list[tuple[float, datetime, str]] = field(default_factory=list)
    """On both clocks of the watchdog's host: what is counted for days is counted on the one that may be set."""
    _deeds: list[tuple[ClientEffect, Incident, datetime]] = field(default_factory=list)
    _listed_ms: int = 0
    _broken: frozenset[str] = frozenset()
    _idle_ms: int | None = None
    _life_of_gateway: int = -1
    _known_since_ms: int = 0
    _life_began_ms: int = 0
    """Of the watchdog's present process."""
    _began_ms: int = field(init=False)

    def __post_init__(self) -> None:
        self._began_ms = self.world.now_ms
        self.take_ledger(self.ledger)

    def take_ledger(self, ledger: SqliteLedger) -> None:
        self.ledger = ledger
        self.ledger.due_messages(TARGET, self.timeline.wall)  # from now on everything is owed to us

    # ------------------------------------------------------------ what the wiring tells

    def started(self) -> None:
        """A process of the watchdog begins: what an earlier one had seen is forgotten."""
        self._life_began_ms = self.world.now_ms

    def listed(self, broken: frozenset[str]) -> None:
        self._listed_ms, self._broken = self.world.now_ms, broken

    def idle(self) -> None:
        self._idle_ms = self.world.now_ms

    def connected(self) -> None:
        boots = self.world.process.boots
        if boots != self._life_of_gateway:
            self._life_of_gateway, self._known_since_ms = boots, self.world.now_ms

    def asked(self, asked: Asked) -> None:
        """A request that does something has reached the gateway."""
        deeds = self.world.deeds[asked.first_deed :]
        params = asked.frame.get("params") or {}
        key = params.get("idempotencyKey")
        if key is not None and asked.frame["method"] != "send":
            self._keys[key] += 1
            if self._keys[key] > 1:
                self._breach(Rule.TWICE, str(params.get("sessionKey")), f"idempotency key sent {self._keys[key]} times")
        for deed in deeds:
            if deed.method != "send":
                self._judge(deed)
            else:
                self._own_send(deed)

    def released(self, session: str) -> None:
        """A quarantine ended: the session's charges are forgiven."""
        self._charged = [entry for entry in self._charged if entry[2] != session]

    # ------------------------------------------------------------ one deed

    def _judge(self, deed: ClientEffect) -> None:
        if deed.method == "sessions.abort":
            if deed.changed:
                self._breach(Rule.LIVE_OWNER, deed.key, "a probe killed a run")
            return
        self._note(deed.key, f"DEED {deed.method} while {deed.truth.value}: {deed.effect}")
        self.tally.deeds[deed.method] += 1
        attempt = self._ledger_row(deed)
        if not deed.changed:
            if attempt is not None:
                self._refused(deed, attempt)
            return  # nobody felt it
        if deed.run_id is not None:
            self._own_runs.add(deed.run_id)
        self._truth(deed)
        self._proof(deed)
        self._chat(deed)
        self._permission(deed)
        if attempt is not None:
            self._budget(deed)

    def _refused(self, deed: ClientEffect, attempt: Attempt) -> None:
        """No refusal is free for ever: of each rung the first one, at most."""
        methods = self._refusals.setdefault(attempt.incident, [])
        methods.append(deed.method)
        limit = self.book.default.recovery.budget.attempts + len(set(methods))
        if len(methods) > limit:
            self._breach(Rule.BUDGET, deed.key, f"refused {len(methods)} times, and asked again")

    def _chat(self, deed: ClientEffect) -> None:
        if deed.method == "sessions.recover" and deed.key in self.world.homes:
            self._breach(Rule.CUT_OFF, deed.key, deed.effect)

    def _own_send(self, deed: ClientEffect) -> None:
        """A question, or a notice after a fresh session: only ever with an attempt behind it, and never where the gateway
        is about to do the work itself."""
        if not self._attempts(deed.key):
            self._breach(Rule.NO_ROW, deed.key, "a notice without an attempt in flight")
        if deed.truth is GroundTruth.RECOVERING:
            self._breach(Rule.INTERFERED, deed.key, "somebody was asked to send again what it is about to do")
        elif deed.changed and not (deed.run_id or "").endswith(NOTICE):
            self._truth(deed)

    def _attempts(self, key: str) -> list[tuple[Incident, Attempt]]:
        return [pair for pair in self.ledger.attempts_in_flight(self.gateway) if pair[0].session == key]

    def _ledger_row(self, deed: ClientEffect) -> Attempt | None:
        pairs = self._attempts(deed.key)
        if not pairs:
            self._breach(Rule.NO_ROW, deed.key, f"{deed.method} with no attempt in flight")
            return None
        incident, attempt = pairs[-1]
        if attempt.state not in self.sent_in or not attempt.is_charged:
            self._breach(Rule.NO_ROW, deed.key, f"{deed.method} with an attempt that is {attempt.state.value}")
        if deed.run_id is not None and deed.run_id != attempt.idempotency_key:
            self._breach(Rule.NO_ROW, deed.key, f"{deed.method} under a key that the ledger does not hold")
        self._done[attempt.id] = self._done.get(attempt.id, 0) + 1
        if self._done[attempt.id] > 1:
            self._breach(Rule.TWICE, deed.key, f"attempt {attempt.number} reached the gateway twice")
        in_flight = len(self.ledger.attempts_in_flight(self.gateway))
        limit = self.book.default.recovery.max_concurrent
        if in_flight > limit:
            self._breach(Rule.CONCURRENCY, deed.key, f"{in_flight} in flight, {limit} allowed")
        self.collect()
        if not any(owed.message.incident == incident.id for owed in self.messages):
            self._breach(Rule.UNTOLD, deed.key, "the incident was not told before the deed")
        if deed.changed:
            self._deeds.append((deed, incident, self.timeline.wall))
        return attempt

    def _truth(self, deed: ClientEffect) -> None:
        session = self.world.sessions.get(deed.key)
        rule = _BY_TRUTH.get(deed.truth)
        if rule is None or (deed.owner_run is not None and deed.owner_run in self._own_runs):
            if session is not None and deed.method == "sessions.reset" and session.queue:
                self._breach(Rule.LIVE_OWNER, deed.key, "a person's queued words were thrown away")
            return
        if deed.truth is GroundTruth.LOCKED_OUT and deed.method in _LETS_IN:
            return
        since = self._owner_since(deed)
        if since is not None and since > self._listed_ms - RACE_SLACK_MS - round(self._lag * 1000):
            self.tally.races += 1
            self._note(deed.key, "RACE: the owner came after the last look")
            return
        stall = self._last_stall(deed.key)
        if rule is Rule.STOPPED and stall is not None and stall.stopped_ms is not None:
            if deed.method == "send" and stall.stopped_ms < self._life_began_ms:
                return  # nobody watched as it was stopped: what may have been a stop is asked about
            rule = Rule.AFTER_STOP
        self._breach(rule, deed.key, f"{deed.method}: {deed.effect}")

    @property
    def _lag(self) -> float:
        """How long this version's list goes on to show the row before (older.md 2)."""
        profile = self.world.profile
        return 0.0 if profile.shows_live_at_once else profile.start_lag

    def _owner_since(self, deed: ClientEffect) -> int | None:
        """When the owner of that instant came (true time)."""
        session = self.world.sessions.get(deed.key)
        run = session.run if session is not None else None
        if run is None or run.run_id != deed.owner_run:
            return None
        return run.message.at_ms - self.world.skew_ms

    def _proof(self, deed: ClientEffect) -> None:
        """An outside watcher's proof, worked out anew from what this version can be trusted to show."""
        if deed.key in self._broken:
            self._breach(Rule.BROKEN_ROW, deed.key, "its row in the last list was nonsense")
        session = self.world.sessions.get(deed.key)
        if session is not None and session.status_word is not None:
            self._breach(Rule.UNKNOWN, deed.key, f"its row says {session.status_word}")
        stall = self._last_stall(deed.key)
        if stall is None or deed.truth is not GroundTruth.STUCK:
            return
        profile, process = self.world.profile, self.world.process
        if self._flag_is_honest(profile) or profile.has_lock_files:
            return  # the row's own flag, or the lock file; what they said is checked against the truth above
        died_before_boot = stall.since_ms <= process.booted_ms + 1000
        was_idle = self._idle_ms is not None and self._idle_ms >= stall.since_ms
        if not died_before_boot and not was_idle:
            self._breach(Rule.UNKNOWN, deed.key, f"{profile.version} cannot tell this run from a live chat-app run")

    @staticmethod
    def _flag_is_honest(profile: Profile) -> bool:
        return profile.active_flag is ActiveFlag.TRUTHFUL

    def _last_stall(self, key: str) -> Stall | None:
        return next((stall for stall in reversed(self.world.stalls) if stall.key == key), None)

    def _permission(self, deed: ClientEffect) -> None:
        wall = self.timeline.wall
        session = self.world.sessions.get(deed.key)
        if session is not None and session.kind.is_background:
            self._breach(Rule.BACKGROUND, deed.key, session.kind.value)
        if any(pause.covers(self.gateway, deed.key, wall) for pause in self.ledger.pauses(wall)):
            self._breach(Rule.PAUSED, deed.key, "an operator had paused it")
        grace = self.book.default.thresholds.startup_grace.total_seconds()
        known_for = (self.world.now_ms - self._known_since_ms) / 1000
        if known_for < grace - 1:
            self._breach(Rule.EARLY, deed.key, f"the gateway's life was known for {known_for:.0f} s")

    def _budget(self, deed: ClientEffect) -> None:
        recovery, now = self.book.default.recovery, self.timeline.monotonic
        self._charged.append((now, self.timeline.wall, deed.key))

        def within(span: timedelta) -> list[str]:
            begun = self.timeline.wall - span + timedelta(seconds=1)
            return [key for at, wall, key in self._charged if now - at < span.total_seconds() - 1 and wall > begun]

        own = within(recovery.budget.per).count(deed.key)
        of_all = len(within(recovery.gateway_budget.per))
        if own > recovery.budget.attempts:
            self._breach(Rule.BUDGET, deed.key, f"{own} deeds on one session within {recovery.budget.per}")
        if of_all > recovery.gateway_budget.attempts:
            self._breach(Rule.BUDGET, deed.key, f"{of_all} deeds on the gateway within {recovery.gateway_budget.per}")

    # ------------------------------------------------------------ what is said of it

    def closed(self, incident_id: str, outcome: Outcome) -> None:
        """An incident was closed. ``recovered`` is only said where somebody has the answer, or can have it."""
        incident = self.ledger.incident(incident_id)
        if outcome is not Outcome.RECOVERED or incident is None:
            return
        # Who died before they could say so may say it after the next interruption began, which is an incident of its own.
        deeds = [deed.at_ms for deed, about, _ in self._deeds if about.id == incident_id]
        stall = self._interruption(incident.session, max(deeds, default=self.world.now_ms))
        if stall is not None and not self._has_answer(stall, incident):
            self._breach(Rule.UNANSWERED, stall.key, f"{stall.cause.value} while {stall.doing}")

    def _has_answer(self, stall: Stall, incident: Incident) -> bool:
        sent = [attempt for attempt in incident.attempts if attempt.state is AttemptState.SUCCEEDED]
        if sent and sent[-1].step.loses_context:  # the request is given up, and its person was told so
            # Of a tombstone its gateway has told them, or could not: there nothing is ours to say.
            # Who died between the step and telling them cannot know whether they heard it, and says so.
            has_died = stall.ended_ms is not None and self._life_began_ms > stall.ended_ms
            return (
                stall.place is None
                or stall.ended_by == "tombstoned"
                or (has_died and sent[-1].delivered is None)
                or any(heard.place == stall.place and heard.at_ms >= stall.since_ms for heard in self.world.heard)
            )
        if self.world.sessions[stall.key].run is not None:
            return True  # on its way
        # Of a run of their own the gateway tells nobody whether its answer was delivered.
        # Nor does it where we died as we asked and cannot know whether they heard it.
        is_theirs = awaits_person(incident.attempts)
        answers = [
            answer for answer in self.world.answers if answer.key == stall.key and answer.at_ms >= stall.since_ms
        ]
        if is_theirs and incident.attempts[-1].step is Step.ASK and stall.person is not None:
            authors = {spoken.run_id: spoken.person for spoken in self.world.spoken}
            return any(authors.get(answer.run_id, stall.person) == stall.person for answer in answers)
        return any(
            answer.is_delivered or is_theirs or (answer.is_delivered is None and stall.place is None)
            for answer in answers
        )

    # ------------------------------------------------------------ after every pass, and at the end

    def after_pass(self) -> None:
        """What must hold whenever a pass is over."""
        sessions = [incident.session for incident in self.ledger.open_incidents(self.gateway)]
        for key, count in Counter(sessions).items():
            if count > 1:
                self._breach(Rule.TWO_INCIDENTS, key, f"{count} open incidents")

    def collect(self) -> None:
        """Take every message owed so far."""
        wall = self.timeline.wall + timedelta(days=400)  # whatever the clocks did meanwhile
        while batch := self.ledger.due_messages(TARGET, wall, limit=500):
            for owed in batch:
                self.messages.append(owed)
                self.ledger.mark_delivered(owed.id, TARGET, wall)

    def check_told(self) -> None:
        """``SOON`` after all trouble: every stuck session has been told to somebody."""
        self.collect()
        for stall in self._left():
            if not self._is_older(stall, SOON):
                continue
            looks_known = self._looks_like_a_stop(stall) or self._looks_like_an_error(stall)
            if self._was_told(stall) is None and not looks_known:
                self._breach(Rule.LEFT_STUCK, stall.key, self._age(stall))

    def check_settled(self) -> None:
        """``AT_LAST`` after all trouble: recovered, quarantined, or told because nothing more may be done."""
        self.collect()
        self.tally.stalls = len(self.world.stalls)
        for stall in self.world.stalls:
            self.tally.ended_by[self._ended_by(stall)] += 1
        for stall in self._left():
            told = self._was_told(stall)
            if told is None and self._looks_like_a_stop(stall):
                told = "looks like a stop"
            if told is None and self._looks_like_an_error(stall):
                told = "looks like an error"
            if told is None:
                if self._is_older(stall, SOON):
                    self._breach(Rule.LEFT_STUCK, stall.key, self._age(stall))
                continue
            if told == "incident" and self._is_held_as_stop(stall):
                told = "looks like a stop"
            self.tally.told[told] += 1
            is_due = self._is_older(stall, AT_LAST) and not self._is_left_on_purpose(stall)
            if told == "incident" and is_due:
                session = self.world.sessions[stall.key]
                rule = Rule.LEFT_WAITING if session.is_deaf and session.spool else Rule.UNSETTLED
                self._breach(rule, stall.key, self._age(stall))
        for broken in self.world.broken_recoveries:
            if self._own_runs.intersection(broken.run_ids):
                self._breach(Rule.INTERFERED, broken.key, "it found our turn there, and failed", broken.at_ms)
        for deed, incident, _ in self._deeds:
            said = {owed.message.kind for owed in self.messages if owed.message.incident == incident.id}
            is_open = any(one.id == incident.id for one in self.ledger.open_incidents(self.gateway))
            is_on_its_way = is_open and self.world.sessions[deed.key].run is not None  # nothing has come of it yet
            if not said & _ANSWERING and not is_on_its_way:
                self._breach(Rule.UNTOLD, deed.key, f"nothing was said of what came of {deed.method}")

    # ------------------------------------------------------------ whose words, whose rights

    def check_people(self) -> None:
        """What all that was said, and every turn of ours, meant for the people: from the gateway's own records."""
        deeds = {deed.run_id: deed for deed in self.world.deeds if deed.run_id is not None}
        for heard in self.world.heard:
            deed = deeds.get(heard.run_id or "")
            if deed is not None and (heard.client is not None or heard.run_id in self._own_runs):
                self._words(heard, deed)
        for call in self.world.model_calls:
            deed = deeds.get(call.run_id)
            if deed is not None and call.run_id in self._own_runs:
                self._rights(call, deed)
        self._asks()

    def _words(self, heard: Heard, deed: ClientEffect) -> None:
        """What we said, quoted, or had carried on is heard by the one alone who typed it, where they typed it."""
        stall = self._interruption(deed.key, deed.at_ms) if heard.client is None else None
        for spoken in self.world.spoken:
            is_ours_to_say = spoken.key == deed.key or not deed.key
            if not is_ours_to_say or spoken.at_ms > heard.at_ms or spoken.place == heard.place:
                continue
            is_resumed = stall is not None and spoken.text == stall.request
            if is_resumed or spoken.text in deed.text or spoken.text in heard.text:
                whose = spoken.person.id if spoken.person is not None else "an operator"
                self._breach(Rule.WRONG_CHAT, deed.key, f"{deed.method}: the words of {whose}", heard.at_ms)

    def _rights(self, call: ModelCall, deed: ClientEffect) -> None:
        """The requester is who was cut first: a turn of ours that is cut in its turn speaks for the same one."""
        stall = self._interruption(deed.key, deed.at_ms)
        more = call.tools - stall.tools if stall is not None and stall.tools else frozenset()
        if more:
            self._breach(Rule.RIGHTS, deed.key, f"{deed.method}: {', '.join(sorted(more))}", call.at_ms)

    def _asks(self) -> None:
        """Literal messages that were read, those after a fresh session left out."""
        asked: Counter[tuple[str, str]] = Counter()
        for heard in self.world.heard:
            if heard.client is None or heard.key is None or (heard.run_id or "").endswith(NOTICE):
                continue
            stall = self._interruption(heard.key, heard.at_ms)
            if stall is None:
                continue
            asked[heard.key, stall.run_id] += 1
            if asked[heard.key, stall.run_id] > 1:
                self._breach(Rule.ASKED_TWICE, heard.key, f"{asked[heard.key, stall.run_id]} times", heard.at_ms)

    def _interruption(self, key: str, at_ms: int) -> Stall | None:
        """The cut of somebody else's run that a deed of that instant was about."""
        stalls = (s for s in reversed(self.world.stalls) if s.key == key and s.since_ms <= at_ms)
        return next((s for s in stalls if s.run_id not in self._own_runs), None)

    def _is_left_on_purpose(self, stall: Stall) -> bool:
        """Told and left to a person: background sessions, and those where something was answered since the work was lost
        (a turn of 2026.3.24 or 4.14 by ``agent`` answers and leaves the row ``running``)."""
        session = self.world.sessions[stall.key]
        last = _last_kind(session)
        is_deaf = session.is_deaf and bool(session.spool)
        is_answered = last is EntryKind.ANSWER or any(  # or without a word
            answer.key == stall.key and answer.at_ms >= stall.since_ms for answer in self.world.answers
        )
        if session.kind.is_background or (is_answered and not is_deaf):
            return True
        return not is_deaf and (self._was_asked(stall) or self._is_nobodys_for_sure(stall))

    def _was_asked(self, stall: Stall) -> bool:
        """The requester has been asked to send it again, and has not yet; or we died as we asked, and an operator knows."""
        is_sent = any(
            deed.method == "send" and deed.key == stall.key and deed.at_ms >= stall.since_ms
            for deed in self.world.deeds
        )
        return is_sent or any(
            self._is_perhaps_asked(incident)
            for incident in self.ledger.open_incidents(self.gateway)
            if incident.session == stall.key and awaits_person(incident.attempts)
        )

    def _is_perhaps_asked(self, incident: Incident) -> bool:
        """It was told that nobody knows whether they were asked."""
        last = max((one for one in incident.attempts if one.started_at is not None), key=lambda one: one.number)
        about = [owed.message for owed in self.messages if owed.message.incident == incident.id]
        return last.reason == PERHAPS_ASKED and any(
            message.kind is MessageKind.INEFFECTIVE and message.dedupe_key.endswith(":unclear") for message in about
        )

    def _is_nobodys_for_sure(self, stall: Stall) -> bool:
        """Held because nobody's chat is proven; allowed where several people or the browser lead to the session, where a
        stop may have been said, or where nothing of the request was written down before the crash."""
        held = self.explain(stall.key)
        if "stopped_by_person" in held:
            return any(stop.key == stall.key for stop in self.world.stops)
        if "requester_unknown" not in held:
            return False
        if not any(stall.request in entry.text for entry in self.world.sessions[stall.key].transcript):
            return True
        here = [spoken for spoken in self.world.spoken if spoken.key == stall.key]
        people = {spoken.person.id if spoken.person is not None else None for spoken in here}
        return len(people) != 1 or None in people or stall.person is None

    def _left(self) -> Sequence[Stall]:
        """What is stuck now. A turn that hangs on a session cut before (ours, when the provider is silent) is alive."""
        return [
            stall
            for stall in self.world.stalls
            if stall.is_open
            and (stall.truth, self.world.truth(stall.key)) in _LEFT
            and not _has_ended_in_row(self.world.sessions[stall.key])
        ]

    def _is_older(self, stall: Stall, span: timedelta) -> bool:
        """Runs also time out when all trouble is over: each has its own bound."""
        return self.world.now_ms - stall.since_ms >= span.total_seconds() * 1000

    def _age(self, stall: Stall) -> str:
        minutes = (self.world.now_ms - stall.since_ms) / 60_000
        return f"{stall.cause.value} while {stall.doing}, {minutes:.0f} minutes ago; {self.explain(stall.key)}"

    def _was_told(self, stall: Stall) -> str | None:
        """How a person knows of a session that is stuck now."""
        if any(entry.session == stall.key for entry in self.ledger.quarantines(self.gateway)):
            return "quarantined"
        incidents = [entry for entry in self.ledger.open_incidents(self.gateway) if entry.session == stall.key]
        is_told = any(owed.message.incident == incident.id for incident in incidents for owed in self.messages)
        is_unclear = any(
            owed.message.session == stall.key and owed.message.kind is MessageKind.UNKNOWN for owed in self.messages
        )
        # An incident of an earlier run stays open while nobody can tell what became of the one that followed it.
        if is_unclear and (not is_told or self.explain(stall.key).startswith(f"verdict {Verdict.UNKNOWN.value}")):
            return "unknown"
        if is_told:
            return "incident"
        children = self.world.children.get(stall.key, ())
        return "child told" if any(self._knows_of(child) for child in children) else None

    def _knows_of(self, child: str) -> bool:
        """A person was told of a child that is stuck, or cannot be told from a live one: its parent waits for it."""
        stall = self._last_stall(child)
        return stall is not None and stall.is_open and self._was_told(stall) is not None

    def _looks_like_a_stop(self, stall: Stall) -> bool:
        """3.24 and 4.14 write the same for a Stop, a time-out and a run cut by an in-process restart. A time-out is told by
        how long the run lasted, which a clock set meanwhile or a retry hides; a cut, by having watched the run before. Where
        neither can be, it is left alone like a Stop (counted, not hidden)."""
        session = self.world.sessions[stall.key]
        if _last_kind(session) is not EntryKind.ABORTED:
            return False
        is_later = session.transcript[-1].at_ms > stall.since_ms  # of a run that followed this one
        if stall.cause is Cause.IN_PROCESS_RESTART or is_later:
            return True
        limit = self.world.run_timeout_seconds
        if stall.cause is not Cause.TIMEOUT or limit is None or session.started_ms is None:
            return False
        lasted = (session.updated_ms - session.started_ms) / 1000
        return not limit <= lasted < limit + TIMEOUT_SLACK.total_seconds()

    def _looks_like_an_error(self, stall: Stall) -> bool:
        """3.24 writes ``failed`` between two tries of a provider. A run cut just then has a row that holds nobody up, and reads like
        an error that its person heard (counted, not hidden)."""
        is_between = stall.doing == "retry" and self.world.profile.fails_row_between_retries
        return is_between and self.world.sessions[stall.key].status == "failed"

    def _is_held_as_stop(self, stall: Stall) -> bool:
        """Told when an earlier run was cut, and no longer known for a cut since the watchdog that had watched this run died; or a
        turn of ours did not help, was told so, and ended later as if a person had stopped that one."""
        has_died_since = self._life_began_ms > stall.since_ms
        is_ours = any(entry.run_id in self._own_runs for entry in self.world.sessions[stall.key].transcript[-1:])
        is_excused = has_died_since or is_ours
        return is_excused and self._looks_like_a_stop(stall) and "StoppedOnPurpose" in self.explain(stall.key)

    def _ended_by(self, stall: Stall) -> str:
        if stall.is_open:
            return f"open, {stall.truth.value}"
        by, _, run_id = (stall.ended_by or "").partition(":")
        if run_id in self._own_runs or by in ("reset", "new"):
            return "watchdog"
        return {"turn": "person", "person": "person"}.get(by, by)

    # ------------------------------------------------------------ notes

    def _note(self, key: str, words: str) -> None:
        self.timeline_notes.append((self.world.now_ms, key, words))

    def breach(self, rule: Rule, key: str, note: str) -> None:
        """What the wiring itself has seen."""
        self._breach(rule, key, note)

    def note(self, key: str, words: str) -> None:
        """Remember something for the story of a violation."""
        self._note(key, words)

    def _breach(self, rule: Rule, key: str, note: str, at_ms: int | None = None) -> None:
        """``at_ms`` None: now."""
        when = self.world.now_ms if at_ms is None else at_ms
        if rule in self.not_yet:
            self.tally.not_yet[rule.value] += 1
            return
        self.timeline_notes.append((when, key, f"VIOLATION {rule.value}: {note}"))
        self.violations.append(Violation(rule, key, (when - self._began_ms) / 1000, note))


_LEFT = (
    (GroundTruth.STUCK, GroundTruth.STUCK),
    (GroundTruth.FINISHED, GroundTruth.LOCKED_OUT),
)


def _has_ended_in_row(session: SimSession) -> bool:
    """2026.3.24 leaves a row ``running`` after an answered turn by ``agent``, with the end of that turn in it."""
    is_marked = (
        session.started_ms is not None and session.ended_ms is not None and session.ended_ms > session.started_ms
    )
    return is_marked and _last_kind(session) is EntryKind.ANSWER


def _last_kind(session: SimSession) -> EntryKind | None:
    """The last entry of a transcript; what was only said in the chat app is none."""
    kinds = (entry.kind for entry in reversed(session.transcript))
    return next((kind for kind in kinds if kind is not EntryKind.MIRROR), None)
