"""One gateway, pass by pass: observe, judge, verify what is in flight, decide, act, tell.

Order within a pass: settle what earlier passes left open before looking for new work; decide on one ``now``; act on the
oldest first, a few at a time, each after one more look. A pass never raises for what a gateway does; only a broken
ledger reaches the caller, and then nothing was done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from watchdog.core.blockers import BlockerName
from watchdog.core.model import GatewayFacts, GatewayPhase, Moment, Snapshot, Status
from watchdog.core.policy import Mode, PolicyBook, Step
from watchdog.core.verdict import Verdict
from watchdog.service import announcements, errors
from watchdog.service.events import Event, Log
from watchdog.service.executor import Executor
from watchdog.service.incidents import Incidents
from watchdog.service.observing import Judged, Observer
from watchdog.service.pace import Pace, pace
from watchdog.service.planning import Action, Decision, GatewayStanding, decide, fleet_is_suspicious, hangs_alive
from watchdog.service.ports import Clock, Gateway, Ledger, Loss, Message, Meter, Notes
from watchdog.service.recording.recorder import Recorder
from watchdog.service.storms import Storms
from watchdog.service.trust import Trust

REST_WHEN_SICK = timedelta(seconds=10)
"""A gateway that says it is too busy is not asked again, for any session, before this: signing in and looking again for
one deed after the other is what keeps an overloaded 2026.5.18 overloaded."""
DOWN_TOLD_AFTER = timedelta(minutes=2)
"""How long a gateway may be away before a person is told; ordinary restarts take 2 to 20 s."""


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass saw and did. Feeds the log line, the metrics and the status."""

    gateway: str
    at: Moment
    phase: GatewayPhase
    problem: str | None = None
    facts: GatewayFacts | None = None
    judged: tuple[Judged, ...] = ()
    decisions: tuple[Decision, ...] = ()
    malformed: int = 0
    is_complete: bool = True
    latency: timedelta = timedelta(0)
    size_bytes: int = 0
    deeds: int = 0
    in_flight: int = 0
    next_due: Moment | None = None
    """When a verdict or a hold could change if nothing moves; look again then."""
    error: errors.GatewayError | None = None
    """What ended the pass, when ``phase`` is not CONNECTED."""
    was_answered: bool = False
    """The list was answered before that: the gateway lives, and what failed is about one session."""
    poll_every: timedelta | None = None
    """How long until the next poll when nothing is due before: longer than configured while the gateway is slow."""
    parting: Loss | None = None
    """How the last connection ended, as long as there is no new one."""

    @property
    def is_good(self) -> bool:
        return self.phase is GatewayPhase.CONNECTED

    def verdicts(self) -> dict[str, int]:
        counts = Counter(item.judgement.verdict.value for item in self.judged)
        return {verdict.value: counts.get(verdict.value, 0) for verdict in Verdict}


@dataclass(slots=True)
class _Outage:
    since: Moment
    phase: GatewayPhase
    is_told: bool = False


@dataclass(slots=True)
class Watch:
    """The watch over one gateway. Owns its tracks, its trust and its one client; shares the ledger."""

    gateway: Gateway
    book: PolicyBook
    ledger: Ledger
    notes: Notes
    clock: Clock
    log: Log
    meter: Meter
    poll_every: timedelta = timedelta(seconds=30)
    is_observing: bool = False
    """``run --observe``: judge and tell, never act."""
    spare_ledger: Ledger | None = None
    """Kept in memory: watching and telling go on with it while the real one cannot be used, and no deed is done."""
    recorder: Recorder | None = None
    """Notes what every pass saw, for ``replay``. None: nothing is recorded."""
    full_sweep_every: timedelta = timedelta(minutes=15)
    """How long at most rows that seem to be at rest are believed without reading them again."""
    pace: Pace = field(init=False)
    """How soon the next pass is wanted."""
    trust: Trust = field(init=False)
    observer: Observer = field(init=False)
    incidents: Incidents = field(init=False)
    executor: Executor = field(init=False)
    storms: Storms = field(init=False)
    last_report: PassReport | None = field(init=False, default=None)
    ledger_problem: str | None = field(init=False, default=None)
    """Why the real ledger is out of use, or None."""
    _real_ledger: Ledger = field(init=False)
    _swept_at: Moment | None = field(init=False, default=None)
    """When the list was last read whole, on this connection and without a gap since."""
    _sickness: tuple[str, Moment] | None = field(init=False, default=None)
    """What the gateway said of itself just before a deed, and when."""
    _outage: _Outage | None = field(init=False, default=None)
    _lost: Loss | None = field(init=False, default=None)
    _was_connected: bool = field(init=False, default=False)
    _fleet_opened: tuple[Moment, int] | None = field(init=False, default=None)
    _said: dict[tuple[str, str], object] = field(init=False, default_factory=dict)
    _cycle_line: object = field(init=False, default=None)
    _reported_rows: frozenset[str] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        self._real_ledger = self.ledger
        if self.recorder is not None:
            self.gateway, self.log = self.recorder.around(self.gateway), self.recorder.beside(self.log)
        self.pace = pace(self.poll_every, self.book, ())
        self.trust = Trust(stall_after=_stall_after(self.pace))
        self.storms = Storms(self.gateway.name, self.log)
        self.observer = Observer(self.gateway, self.book, self.trust)
        self.incidents = Incidents(self.gateway, self.ledger, self.log, self.meter)
        self.executor = Executor(self.gateway, self.observer, self.ledger, self.notes, self.clock, self.log, self.meter)

    def take_book(self, book: PolicyBook) -> None:
        """Use other policies from the next pass on; what was observed so far stays."""
        self.book = book
        self.observer.book = book

    async def pass_once(self) -> PassReport:
        """One whole pass. Raises ``errors.LedgerError`` only, and only where there is no spare ledger."""
        if self.spare_ledger is None:
            return await self._pass()
        if self.ledger_problem is not None and self._real_ledger.is_writable():
            self._use(self._real_ledger, None)
        try:
            return await self._pass()
        except errors.LedgerError as problem:
            if self.ledger_problem is not None:
                raise
            self._use(self.spare_ledger, str(problem))
            return await self._pass()

    def _use(self, ledger: Ledger, problem: str | None) -> None:
        self.ledger = self.incidents.ledger = self.executor.ledger = ledger
        self.ledger_problem = problem

    async def _pass(self) -> PassReport:
        now = self.clock.now()
        if self.recorder is not None:
            self.recorder.begin(now, self.ledger)
        gap = self.trust.begin_pass(now)
        if gap is not None:
            self.observer.forget_spans(now)
            self.trust.note_silence()
            self._swept_at = None
            self.log.event(Event.GATEWAY_UNHEALTHY, gateway=self.gateway.name, reason=f"starting over: {gap}")
        was_answered = False
        try:
            facts = await self._connect(now)
            snapshot = await self._list(now)
            was_answered = True
            self.trust.note_answer(snapshot.latency, clock_stepped=snapshot.gateway_clock_stepped)
            self._set_pace()
            judged = await self.observer.judge_all(snapshot, facts)
            report = await self._decide_and_act(facts, snapshot, judged)
        except errors.LedgerError:
            raise
        except errors.GatewayError as problem:
            report = self._gateway_failed(problem, now, was_answered=was_answered)
        self._tell_gateway(report)
        self._say_cycle(report)
        self._measure(report)
        if self.recorder is not None:
            self.recorder.end(is_writable=self.ledger_problem is None and self.ledger.problem is None)
        self.last_report = report
        return report

    async def _list(self, now: Moment) -> Snapshot:
        """What can have changed; everything after a start, a gap, a loss, an incomplete list, and every
        ``full_sweep_every``."""
        is_due = self._swept_at is None or now.since(self._swept_at) >= self.full_sweep_every
        in_flight = {incident.session for incident, _ in self.ledger.attempts_in_flight(self.gateway.name)}
        incidents = {incident.session for incident in self.ledger.open_incidents(self.gateway.name)}
        snapshot = await self.gateway.list_sessions(in_flight | incidents, sweep=is_due)
        if snapshot.is_sweep:
            self._swept_at = snapshot.answered_at if snapshot.is_complete else None
        return snapshot

    def _set_pace(self) -> None:
        """A gateway that answers slowly is asked less often, and a person can see it."""
        before, self.pace = self.pace, pace(self.poll_every, self.book, self.trust.recent_latencies)
        # A pass that comes late because we wanted it late is no gap.
        self.trust.stall_after = _stall_after(self.pace)
        if before.is_slowed is not self.pace.is_slowed:
            self.log.event(
                Event.GATEWAY_PACED,
                gateway=self.gateway.name,
                poll_every_seconds=round(self.pace.interval.total_seconds(), 1),
                answer_seconds=round(self.pace.answer.total_seconds(), 3),
                reason="it answers slowly and is asked less often"
                if self.pace.is_slowed
                else "it answers in time again",
            )

    # ---------------------------------------------------------------- the gateway itself

    async def _connect(self, now: Moment) -> GatewayFacts:
        before = self.trust.facts if self._was_connected else None
        lost = self.gateway.take_loss()
        if lost is not None:
            if self._was_connected:
                # It may be back before we look: a connection that ended is told even when the next one succeeds at once.
                self._note_outage(lost.error, now, was_connected=True)
                self._was_connected = False
            self._lost = lost
        facts = await self.gateway.connect()
        was_cut = self.trust.note_loss(self._lost, facts)
        self._lost = None
        is_new = facts is not before
        change = self.trust.note_connection(facts, self.clock.now(), is_new=is_new)
        if is_new:
            if change is not None or was_cut:
                self._note_restart(now)
            self._was_connected = True
            self._swept_at = None
            if change is not None:
                self.log.event(
                    Event.GATEWAY_RESTARTED,
                    gateway=self.gateway.name,
                    reason=change,
                    version=facts.version,
                    booted_at=facts.booted_at.isoformat(timespec="seconds") if facts.booted_at is not None else None,
                )
            fields = {}
            if self._outage is not None:
                fields["away_seconds"] = round(now.since(self._outage.since).total_seconds(), 1)
            if facts.booted_at is not None:
                fields["uptime_seconds"] = round((self.clock.now().wall - facts.booted_at).total_seconds())
            self.log.event(
                Event.GATEWAY_CONNECTED,
                gateway=self.gateway.name,
                version=facts.version,
                **fields,
            )
        return facts

    def _gateway_failed(self, problem: errors.GatewayError, now: Moment, *, was_answered: bool) -> PassReport:
        phase = phase_of(problem)
        if phase is GatewayPhase.UNRESPONSIVE:
            self.trust.note_silence()
        was_connected, self._was_connected = self._was_connected, False
        self._note_outage(problem, now, was_connected=was_connected)
        return PassReport(
            self.gateway.name, now, phase, str(problem), error=problem, was_answered=was_answered, parting=self._lost
        )

    def _note_outage(self, problem: errors.GatewayError, now: Moment, *, was_connected: bool) -> None:
        phase = phase_of(problem)
        if self._outage is not None and self._outage.phase is phase:
            return
        if self._outage is None:
            self._outage = _Outage(now, phase)
        self._outage.phase = phase
        self.log.event(
            Event.GATEWAY_DISCONNECTED if was_connected else Event.GATEWAY_UNHEALTHY,
            gateway=self.gateway.name,
            phase=phase.value,
            reason=str(problem),
        )

    def _note_restart(self, now: Moment) -> None:
        """Every restart is logged; many in a row are told, once, until it has been quiet for as long again."""
        open_incidents = len(self.ledger.open_incidents(self.gateway.name))
        self._owe(self.storms.note_restart(now, open_incidents=open_incidents), now)

    def _owe(self, message: Message | None, now: Moment) -> None:
        if message is not None:
            self.ledger.owe([message], now.wall)

    def _tell_gateway(self, report: PassReport) -> None:
        if report.is_good:
            self._owe(self.storms.note_quiet(report.at), report.at)
        outage = self._outage
        if outage is None:
            return
        now = report.at
        open_incidents = len(self.ledger.open_incidents(self.gateway.name))
        if report.is_good:
            if outage.is_told:
                up = announcements.gateway_up(
                    self.gateway.name, since=outage.since.wall, now=now.wall, open_incidents=open_incidents
                )
                self.ledger.owe([up], now.wall)
            self._outage = None
        elif not outage.is_told and now.since(outage.since) >= DOWN_TOLD_AFTER:
            down = announcements.gateway_down(
                self.gateway.name,
                outage.phase,
                since=outage.since.wall,
                now=now.wall,
                problem=report.problem or "",
                open_incidents=open_incidents,
            )
            self.ledger.owe([down], now.wall)
            outage.is_told = True

    # ---------------------------------------------------------------- deciding and acting

    async def _decide_and_act(self, facts: GatewayFacts, snapshot: Snapshot, judged: Sequence[Judged]) -> PassReport:
        now = snapshot.answered_at
        by_key = {item.session.key: item for item in judged}
        self._report_rows(snapshot)
        is_writable = self.ledger_problem is None and self.ledger.is_writable()
        in_flight = await self.incidents.verify_attempts(by_key, now, snapshot)
        self.incidents.close_ended(by_key, now, snapshot)
        self.incidents.release_recovered(by_key, now)
        self._watch_fleet(judged, now)
        here = GatewayStanding(
            now=now,
            trust=self.trust,
            is_list_complete=snapshot.is_complete,
            is_ledger_writable=is_writable,
            is_fleet_open=self._fleet_opened is not None,
        )
        decisions, deeds = await self._work(judged, here, facts)
        self._say_verdicts(judged)
        return PassReport(
            gateway=self.gateway.name,
            at=now,
            phase=GatewayPhase.CONNECTED,
            facts=facts,
            judged=tuple(judged),
            decisions=tuple(decisions),
            malformed=len(snapshot.malformed),
            is_complete=snapshot.is_complete,
            latency=snapshot.latency,
            size_bytes=snapshot.size_bytes,
            deeds=deeds,
            in_flight=in_flight + deeds,
            poll_every=self.pace.interval,
            next_due=_next_due(judged, decisions, now, has_in_flight=bool(in_flight + deeds)),
        )

    async def _work(
        self, judged: Sequence[Judged], here: GatewayStanding, facts: GatewayFacts
    ) -> tuple[list[Decision], int]:
        decisions: list[Decision] = []
        deeds = 0
        if self._sickness is not None and here.now.since(self._sickness[1]) < REST_WHEN_SICK:
            here = replace(here, gateway_problem=self._sickness[0])
        being_verified = {incident.session for incident, _ in self.ledger.attempts_in_flight(self.gateway.name)}
        for item in sorted(judged, key=_oldest_first):
            is_case = item.judgement.verdict is Verdict.STUCK or hangs_alive(item)
            if not is_case or item.session.key in being_verified:
                continue
            if self._is_quarantined(item):
                decisions.append(Decision(item, Action.HOLD, None, (), None))
                continue
            incident = self.incidents.open_for(item, here.now)
            decision = self._observed(decide(item, incident, here, self.gateway, self.ledger))
            self.incidents.announce_opened(decision, here.now)
            if decision.action is Action.RECOVER:
                decision = self._observed(await self.executor.fence(decision, here, facts))
                here = self._noting_sickness(decision, here)
                if decision.action is Action.RECOVER and await self.executor.act(decision) is not None:
                    deeds += 1
            if decision.action is Action.ESCALATE:
                self.incidents.escalate(decision, here.now)
            if decision.action is Action.HOLD:
                self._say_held(decision)
            decisions.append(decision)
        return decisions, deeds

    def _noting_sickness(self, decision: Decision, here: GatewayStanding) -> GatewayStanding:
        """What the last look found of the gateway itself holds for every other session, too."""
        sick = next((held for held in decision.blockers if held.name is BlockerName.GATEWAY_UNTRUSTED), None)
        if sick is None:
            return here
        self._sickness = (sick.message, self.clock.now())
        return replace(here, gateway_problem=sick.message)

    def _observed(self, decision: Decision) -> Decision:
        """In observe mode nothing is ever done, whatever else would allow it."""
        if not self.is_observing or decision.action not in (Action.RECOVER, Action.ESCALATE):
            return decision
        return Decision(decision.judged, Action.HOLD, decision.step, decision.blockers, decision.incident)

    def _is_quarantined(self, item: Judged) -> bool:
        return any(
            entry.session == item.session.key and entry.session_id in (None, item.session.session_id)
            for entry in self.ledger.quarantines(self.gateway.name)
        )

    def _watch_fleet(self, judged: Sequence[Judged], now: Moment) -> None:
        recovery = self.book.default.recovery
        suspicious = fleet_is_suspicious(judged, recovery)
        if suspicious and self._fleet_opened is None:
            stuck = sum(item.judgement.verdict is Verdict.STUCK and not item.judgement.is_proven for item in judged)
            running = sum(item.session.status is Status.RUNNING for item in judged)
            self._fleet_opened = (now, stuck)
            self.log.event(
                Event.FLEET_BREAKER_OPENED,
                gateway=self.gateway.name,
                sessions=stuck,
                running=running,
                reason="many sessions turned stuck together without a proof of their own",
            )
            message = announcements.fleet_breaker_opened(
                self.gateway.name, at=now.wall, sessions=stuck, running=running
            )
            self.ledger.owe([message], now.wall)
        elif not suspicious and self._fleet_opened is not None:
            opened, count = self._fleet_opened
            self._fleet_opened = None
            self.log.event(Event.FLEET_BREAKER_CLOSED, gateway=self.gateway.name, sessions=count)
            message = announcements.fleet_breaker_closed(
                self.gateway.name, opened_at=opened.wall, now=now.wall, sessions=count
            )
            self.ledger.owe([message], now.wall)

    # ---------------------------------------------------------------- saying

    def _say_held(self, decision: Decision) -> None:
        """A hold is logged when its set of blockers changes, and metered every time."""
        names = decision.blocker_names
        if decision.step is Step.NOTIFY:
            names = ["notify_only"]
        elif decision.incident is None:
            names = [BlockerName.QUARANTINED.value]
        elif self.is_observing and BlockerName.OBSERVE_MODE.value not in names:
            names = [BlockerName.OBSERVE_MODE.value, *names]
        for name in names:
            self.meter.held(self.gateway.name, name)
        row, incident = decision.judged.session, decision.incident
        if not self._is_news("held", row.key, tuple(names)):
            return
        self.log.event(
            Event.RECOVERY_HELD,
            gateway=self.gateway.name,
            session=row.key,
            session_id=row.session_id,
            incident=incident.id if incident is not None else None,
            step=decision.step.value if decision.step is not None else None,
            blockers=names,
            reason="; ".join(blocker.message for blocker in decision.blockers) or "the policy only tells",
        )

    def _say_verdicts(self, judged: Sequence[Judged]) -> None:
        events = {
            Verdict.SUSPECT: Event.SESSION_SUSPECT,
            Verdict.LONG_RUNNING: Event.SESSION_LONG_RUNNING,
            Verdict.UNKNOWN: Event.SESSION_UNKNOWN,
        }
        now = self.clock.now().wall
        being_verified = {incident.session for incident, _ in self.ledger.attempts_in_flight(self.gateway.name)}
        for item in judged:
            verdict, row = item.judgement.verdict, item.session
            if not self._is_news("verdict", row.key, (verdict, item.judgement.reason, item.case.track.identity)):
                continue
            is_glimpse = verdict is Verdict.SUSPECT and item.case.track.owner_gone_polls < 2
            if is_glimpse or row.key in being_verified:
                # A terminal write may still be on its way (2026.9.6); one sight of it is not worth a line.
                self._said.pop(("verdict", row.key), None)
                continue
            if verdict in events:
                self.log.event(
                    events[verdict],
                    gateway=self.gateway.name,
                    session=row.key,
                    session_id=row.session_id,
                    reason=item.judgement.reason,
                )
            self._owe_verdict(item, now)
        present = {item.session.key for item in judged}
        self._said = {key: value for key, value in self._said.items() if key[1] in present}

    def _owe_verdict(self, item: Judged, now: datetime) -> None:
        track, judgement = item.case.track, item.judgement
        if judgement.verdict is Verdict.LONG_RUNNING:
            message = announcements.long_running(
                self.gateway.name,
                item.session.key,
                track.identity,
                now=now,
                running_for=item.case.now.since(track.first_seen),
                explanation=judgement.message,
            )
        elif judgement.verdict is Verdict.UNKNOWN:
            message = announcements.unknown(
                self.gateway.name,
                item.session.key,
                track.identity,
                now=now,
                quiet_for=track.quiet_for(item.case.now),
                explanation=judgement.message,
            )
        else:
            return
        self.ledger.owe([message], now)

    def _say_cycle(self, report: PassReport) -> None:
        """The canonical line of a pass, written when it differs from the one before: silent while nothing changes."""
        if not report.is_good:
            self._cycle_line = None
            return
        counts = {verdict: number for verdict, number in report.verdicts().items() if number}
        running = sum(item.session.status is Status.RUNNING for item in report.judged)
        line = (len(report.judged), running, tuple(counts.items()), report.is_complete, report.malformed)
        if line == self._cycle_line:
            return
        self._cycle_line = line
        self.log.event(
            Event.CYCLE_FINISHED,
            gateway=self.gateway.name,
            sessions=len(report.judged),
            running=running,
            **counts,
            complete=report.is_complete,
            poll_ms=round(report.latency.total_seconds() * 1000, 1),
        )

    def _report_rows(self, snapshot: Snapshot) -> None:
        seen = frozenset(f"{row.position}:{row.reason}" for row in snapshot.malformed)
        if seen and seen != self._reported_rows:
            first = snapshot.malformed[0]
            self.log.event(
                Event.GATEWAY_UNHEALTHY,
                gateway=self.gateway.name,
                reason=f"{len(snapshot.malformed)} malformed row(s) left out of the list; the first: {first.reason}",
                session=first.key,
            )
        self._reported_rows = seen

    def _is_news(self, what: str, key: str, value: object) -> bool:
        if self._said.get((what, key)) == value:
            return False
        self._said[what, key] = value
        return True

    def _measure(self, report: PassReport) -> None:
        name = self.gateway.name
        self.meter.gateway_up(name, is_up=report.is_good)
        if not report.is_good:
            return
        self.meter.polled(name, report.latency.total_seconds(), report.size_bytes)
        self.meter.sessions(name, report.verdicts())
        self.meter.incidents_open(name, len(self.ledger.open_incidents(name)))
        self.meter.quarantined(name, len(self.ledger.quarantines(name)))


def phase_of(problem: errors.GatewayError) -> GatewayPhase:
    """Which state of the gateway an error speaks of."""
    phases: Mapping[type[errors.GatewayError], GatewayPhase] = {
        errors.GatewayStarting: GatewayPhase.STARTING,
        errors.GatewayDraining: GatewayPhase.DRAINING,
        errors.GatewayUnresponsive: GatewayPhase.UNRESPONSIVE,
        errors.OutcomeUnknown: GatewayPhase.UNRESPONSIVE,
        errors.GatewayUnreachable: GatewayPhase.DOWN,
        errors.GatewayClosed: GatewayPhase.DOWN,
    }
    return phases.get(type(problem), GatewayPhase.REFUSED)


def may_act(book: PolicyBook) -> frozenset[Step]:
    """Every step that some policy may ask for: what the sign-in must be good for."""
    steps: set[Step] = set()
    for policy in (*book.policies, book.default):
        if policy.recovery.mode is Mode.RECOVER:
            steps.update(policy.recovery.ladder)
    return frozenset(steps - {Step.NOTIFY})


def _oldest_first(item: Judged) -> float:
    started = item.session.started_at
    return started.timestamp() if started is not None else float("inf")


def _stall_after(pace: Pace) -> timedelta:
    """A pass later than this was not us being patient."""
    return max(3 * pace.interval, timedelta(seconds=60))


_LOOK_BACK = timedelta(seconds=2)
"""How soon to look again while a deed is in flight."""


def _next_due(
    judged: Sequence[Judged], decisions: Sequence[Decision], now: Moment, *, has_in_flight: bool
) -> Moment | None:
    due = [item.judgement.changes_at for item in judged if item.judgement.changes_at is not None]
    for decision in decisions:
        due += [blocker.until for blocker in decision.blockers if blocker.until is not None]
    if has_in_flight:
        due.append(now.plus(_LOOK_BACK))
    later = [moment for moment in due if moment > now]
    return min(later, default=None)
