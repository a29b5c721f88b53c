"""One gateway, pass by pass: observe, judge, verify what is in flight, decide, act, tell.

Order within a pass: connect, list, judge every session on one ``now``, note stops and runs that ended; settle what earlier
passes left open; only then decide and act, on the oldest first, a few at a time, each after one more look. A pass never raises for what a gateway does; only a broken
ledger reaches the caller, and then nothing was done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field, replace
from datetime import timedelta

from watchdog.core.blockers import Blocker, BlockerName, outside_hours
from watchdog.core.model import GatewayFacts, GatewayPhase, Moment, Snapshot
from watchdog.core.policy import Mode, PolicyBook, Step
from watchdog.core.verdict import Verdict
from watchdog.service import errors
from watchdog.service.announcements.phrases import ONLY_OBSERVES
from watchdog.service.ended_runs import EndedRuns
from watchdog.service.events import Event, Log
from watchdog.service.executor import Executor
from watchdog.service.fleet_breaker import FleetBreaker
from watchdog.service.gateway_connection import GatewayConnection
from watchdog.service.gateway_trust import Trust
from watchdog.service.incidents import Incidents, opened_message
from watchdog.service.ledger import Incident, Ledger, Notes, Stop
from watchdog.service.ledger_switch import LedgerSwitch
from watchdog.service.observer import Judged, Observer
from watchdog.service.outages import Outages
from watchdog.service.pass_log import Reporter
from watchdog.service.pass_report import PassReport
from watchdog.service.plan import Action, Decision, PassContext, decide, foreseen, is_stalled_but_owned
from watchdog.service.poll_pace import Pacer
from watchdog.service.ports import Clock, Gateway, Meter, PassRecorder
from watchdog.service.tenure import Tenure


@dataclass(slots=True)
class Watch:
    """The watch over one gateway. Owns its tracks, its trust and its one client; shares the ledger."""

    gateway: Gateway
    book: PolicyBook
    ledger: Ledger
    notes: InitVar[Notes]
    clock: Clock
    log: Log
    meter: InitVar[Meter]
    poll_every: InitVar[timedelta] = timedelta(seconds=30)
    is_observing: bool = False
    """``run --observe``: judge and tell, never act."""
    spare_ledger: InitVar[Ledger | None] = None
    """See ``LedgerSwitch.spare``."""
    recorder: PassRecorder | None = None
    """Is told where a pass begins and ends. None: nothing is recorded."""
    full_sweep_every: InitVar[timedelta] = timedelta(minutes=15)
    """See ``GatewayConnection.full_sweep_every``."""
    tenure: Tenure | None = None
    """The lease under which this gateway is watched, where several replicas share the ledger."""
    trust: Trust = field(init=False)
    pacer: Pacer = field(init=False)
    connection: GatewayConnection = field(init=False)
    observer: Observer = field(init=False)
    incidents: Incidents = field(init=False)
    executor: Executor = field(init=False)
    fleet: FleetBreaker = field(init=False)
    reporter: Reporter = field(init=False)
    ended_runs: EndedRuns = field(init=False)
    last_report: PassReport | None = field(init=False, default=None)
    ledgers: LedgerSwitch = field(init=False)
    """The ledger it was given and the spare one; ``ledger`` and that of every part is the one in force."""

    def __post_init__(
        self,
        notes: Notes,
        meter: Meter,
        poll_every: timedelta,
        spare_ledger: Ledger | None,
        full_sweep_every: timedelta,
    ) -> None:
        name = self.gateway.name
        self.ledgers = LedgerSwitch(self.ledger, spare_ledger)
        self.ledger = self.ledgers.in_force
        self.trust = Trust(stall_after=poll_every)  # the pacer sets it
        self.pacer = Pacer(name, self.trust, self.log, poll_every)
        outages, configured = Outages(name, self.ledger, self.log), may_act(self.book, name)
        self.connection = GatewayConnection(
            self.gateway, self.trust, outages, self.clock, self.log, configured, full_sweep_every
        )
        self.observer = Observer(self.gateway, self.book, self.trust)
        self.incidents = Incidents(self.gateway, self.ledger, self.log, meter, self.tenure)
        self.executor = Executor(
            self.gateway, self.observer, self.ledger, notes, self.clock, self.log, meter, self.tenure
        )
        self.fleet = FleetBreaker(name, self.ledger, self.log)
        self.reporter = Reporter(name, self.ledger, self.clock, self.log, meter)
        self.ended_runs = EndedRuns(self.gateway, self.observer, self.ledger, self.log)

    @property
    def ledger_problem(self) -> str | None:
        """Why the real ledger is out of use, or None."""
        return self.ledgers.problem

    def take_book(self, book: PolicyBook) -> None:
        """Use other policies from the next pass on; what was observed so far stays."""
        self.book = book
        self.observer.book = book
        self.connection.want(may_act(book, self.gateway.name), is_observing=self.is_observing)

    async def pass_once(self) -> PassReport:
        """One whole pass. Raises ``errors.LedgerError`` only, and only where there is no spare ledger, or ``LeaseLost``."""
        self.ledgers.choose(self.clock.now().wall)
        try:
            return await self._pass()
        except errors.LeaseLost:
            raise  # the ledger is well, and this gateway another's
        except errors.LedgerError as problem:
            if not self.ledgers.fall_back(str(problem)):
                raise
            return await self._pass()

    async def _pass(self) -> PassReport:
        now = self.clock.now()
        if self.recorder is not None:
            self.recorder.begin(now, self.ledger)
        gap = self.trust.begin_pass(now)
        if gap is not None:
            self.observer.forget_spans(now)  # guard: spans forgotten after a gap
            self.connection.start_over()
            if not self.ledger.attempts_in_flight(
                self.gateway.name
            ):  # whose deliveries are heard on a link that this would end
                await self.connection.compare_clocks_again()
            self.log.event(Event.GATEWAY_UNHEALTHY, gateway=self.gateway.name, reason=f"starting over: {gap}")
        was_answered = False
        try:
            facts = await self.connection.connect(now)
            snapshot = await self.connection.list(now, self._attended())
            was_answered = True
            self.trust.note_answer(snapshot.latency, clock_stepped=snapshot.gateway_clock_stepped)
            self.pacer.set(self.book)
            judged = await self.observer.judge_all(snapshot, facts)
            self._note_stops(judged)
            await self.ended_runs.tell(judged, snapshot, facts)
            report = await self._decide_and_act(facts, snapshot, judged)
        except errors.LedgerError:
            raise
        except errors.GatewayError as problem:
            report = self.connection.failed(problem, now, was_answered=was_answered)
        self.connection.outages.tell(report, is_ledger_writable=self.ledgers.is_writable)
        self.reporter.cycle(report)
        self.reporter.measure(report)
        if self.recorder is not None:
            self.recorder.end(is_writable=self.ledger_problem is None and self.ledger.problem is None)
        self.last_report = report
        return report

    def _attended(self) -> set[str]:
        """Sessions whose rows are to be read in every pass."""
        in_flight = {incident.session for incident, _ in self.ledger.attempts_in_flight(self.gateway.name)}
        return in_flight | {incident.session for incident in self.ledger.open_incidents(self.gateway.name)}

    def pass_failed(self, defect: Exception) -> PassReport:
        """A pass of this gateway raised what none should: start over, as after an answer that never came. Raises
        ``errors.LedgerError`` only."""
        now = self.clock.now()
        self.connection.start_over()
        self.observer.forget_spans(now)
        problem = errors.PassFailed(
            f"{self.gateway.name}: it cannot be checked: what it says triggers a defect of openclaw-watchdog "
            f"({type(defect).__name__}; the log has more): please report it."
        )
        report = self.connection.failed(problem, now, was_answered=False)
        self.connection.outages.tell(report)
        self.reporter.measure(report)
        self.last_report = report
        return report

    # ---------------------------------------------------------------- deciding and acting

    async def _decide_and_act(self, facts: GatewayFacts, snapshot: Snapshot, judged: Sequence[Judged]) -> PassReport:
        now = snapshot.answered_at
        by_key = {item.session.key: item for item in judged}
        self.reporter.malformed(snapshot)
        self.fleet.note(judged, self.book.default.recovery, now)
        here = PassContext(
            now=now,
            trust=self.trust,
            is_list_complete=snapshot.is_complete,
            is_ledger_writable=self.ledgers.is_writable,
            is_fleet_open=self.fleet.is_open,
            gateway_problem=self.trust.sickness(now),
        )

        def foresee(item: Judged, incident: Incident | None) -> Decision:
            return self._observed(foreseen(item, incident, here, self.gateway, self.ledger))

        in_flight = await self.incidents.verify_attempts(by_key, now, snapshot, foresee)
        await self.incidents.close_ended(by_key, now, snapshot)
        self.incidents.release_recovered(by_key, now)
        decisions, deeds = await self._work(judged, here, facts)
        open_ones = {incident.session: incident for incident in self.ledger.open_incidents(self.gateway.name)}
        suspects = [item for item in judged if item.judgement.verdict is Verdict.SUSPECT]
        self.reporter.verdicts(judged)
        return PassReport(
            gateway=self.gateway.name,
            at=now,
            phase=GatewayPhase.CONNECTED,
            facts=facts,
            judged=tuple(judged),
            decisions=tuple(decisions),
            foreseen=tuple(foresee(item, open_ones.get(item.session.key)) for item in suspects),
            malformed=len(snapshot.malformed),
            is_complete=snapshot.is_complete,
            latency=snapshot.latency,
            size_bytes=snapshot.size_bytes,
            deeds=deeds,
            in_flight=in_flight + deeds,
            poll_every=self.pacer.pace.interval,
            next_due=_next_due(judged, decisions, now, has_in_flight=bool(in_flight + deeds)),
        )

    async def _work(
        self, judged: Sequence[Judged], here: PassContext, facts: GatewayFacts
    ) -> tuple[list[Decision], int]:
        decisions: list[Decision] = []
        deeds = 0
        for item in sorted(judged, key=_oldest_first):
            if item.judgement.verdict is not Verdict.STUCK and not is_stalled_but_owned(item):
                continue
            # guard: shares: what is said of a stuck session is what the ledger says now
            self.ledger.read_anew()
            in_flight = self.ledger.attempts_in_flight(self.gateway.name)
            if any(incident.session == item.session.key for incident, _ in in_flight):
                continue
            if self.incidents.was_answered(item):  # guard: what our turn answered is no new incident
                continue
            if self._is_quarantined(item):
                decisions.append(Decision(item, Action.HOLD, None, (), None))
                continue
            incident = self.incidents.open_for(item, here.now)
            decision = self._observed(decide(item, incident, here, self.gateway, self.ledger))
            if decision.action is Action.ACT:
                decision = await self._carried_out(decision, here, facts)
                here = self._noting_sickness(decision, here)
            if decision.action is Action.ACT:
                deeds += 1  # "now" is owed with its claim, so it is said only of what was done
            elif decision.action is not Action.NOTHING:
                self.incidents.announce_opened(decision, here.now)
            if decision.action is Action.ESCALATE:
                self.incidents.escalate(decision, here.now)
            if decision.action is Action.HOLD:
                self.reporter.held(decision)
            decisions.append(decision)
        return decisions, deeds

    async def _carried_out(self, decision: Decision, here: PassContext, facts: GatewayFacts) -> Decision:
        """What became of a decision to act: itself where it was claimed and sent, else what holds it."""
        try:
            decision = self._observed(await self.executor.fence(decision, here, facts))
        except errors.GatewayError as problem:
            # It ends the pass; the next one may end here, too, and nobody would be told.
            held = Blocker(BlockerName.GATEWAY_UNTRUSTED, str(problem))
            self.incidents.announce_opened(replace(decision, action=Action.HOLD, blockers=(held,)), here.now)
            raise
        if decision.action is not Action.ACT or decision.incident is None:
            return decision
        # The look was waited for, and this process may have been stopped since.
        closed = outside_hours(decision.judged.policy.recovery, self.clock.now())
        if closed is not None:  # guard: the hours are over by the time of the deed
            return replace(decision, action=Action.HOLD, blockers=(closed,))
        unsure = self.tenure.deed_blocker(self.clock.now()) if self.tenure is not None else None
        # guard: shares: no deed without a lease that is good for it
        if unsure is not None:
            return replace(decision, action=Action.HOLD, blockers=(unsure,))
        done = await self.executor.act(decision, [opened_message(decision, decision.incident, here.now)])
        return replace(decision, action=Action.HOLD, blockers=(done,)) if isinstance(done, Blocker) else decision

    def _note_stops(self, judged: Sequence[Judged]) -> None:
        """A person's stop outlives this daemon and this life of the gateway: no turn of ours, ever."""
        for item in judged:
            track, row = item.case.track, item.session
            if track.stopped_at is None:
                continue
            at = row.updated_at or track.stopped_at.wall
            stop = Stop(self.gateway.name, row.key, row.session_id, row.started_at, at)
            if stop not in self.ledger.stops(self.gateway.name, row.key) and self.ledger.note_stop(stop):
                self.log.event(
                    Event.SESSION_STOPPED,
                    gateway=self.gateway.name,
                    session=row.key,
                    session_id=row.session_id,
                    reason="a person stopped it; no turn of ours follows",
                )

    def _noting_sickness(self, decision: Decision, here: PassContext) -> PassContext:
        """What the last look found of the gateway itself holds for every other session, too."""
        sick = next((held for held in decision.blockers if held.name is BlockerName.GATEWAY_UNTRUSTED), None)
        if sick is None:
            return here
        self.trust.note_sickness(sick.message, self.clock.now())
        return replace(here, gateway_problem=sick.message)

    def _observed(self, decision: Decision) -> Decision:
        """In observe mode nothing is ever done, whatever else would allow it, and whoever is told is told so."""
        if not self.is_observing or decision.action is Action.NOTHING:
            return decision
        blockers = decision.blockers
        if BlockerName.OBSERVE_MODE.value not in decision.blocker_names:
            blockers = (
                Blocker(BlockerName.OBSERVE_MODE, ONLY_OBSERVES),
                *blockers,
            )
        return Decision(decision.judged, Action.HOLD, decision.step, blockers, decision.incident)

    def _is_quarantined(self, item: Judged) -> bool:
        return any(entry.holds(item.session) for entry in self.ledger.quarantines(self.gateway.name))


def may_act(book: PolicyBook, gateway: str | None = None) -> frozenset[Step]:
    """Every step that some policy may ask for on this gateway: what the sign-in must be good for. None: on any."""
    steps: set[Step] = set()
    for policy in (*book.policies, book.default):
        if policy.recovery.mode is Mode.RECOVER and (gateway is None or policy.match.may_match_on(gateway)):
            steps.update(policy.recovery.ladder)
    return frozenset(steps - {Step.NOTIFY})


def _oldest_first(item: Judged) -> tuple[bool, float]:
    """Tombstones last: they are the oldest of all, and whoever is stuck now would wait for every one of them."""
    started = item.session.started_at
    return item.session.is_tombstone, started.timestamp() if started is not None else float("inf")


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
