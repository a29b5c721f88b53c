"""Builds the state document (``model``) from what the watches saw last and what the ledger says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import nlargest

from watchdog import PROGRAM
from watchdog.core.blockers import Blocker, BlockerName
from watchdog.core.evidence import Truth
from watchdog.core.leases import OUTBOX, shard_of
from watchdog.core.model import GatewayPhase, Moment, Status
from watchdog.core.policy import Budget, Mode, PolicyBook, Step
from watchdog.core.recovery import Attempt, awaits_person
from watchdog.core.verdict import Verdict
from watchdog.service.announcements.phrases import DEEDS, gateway_is, reason_words
from watchdog.service.errors import LedgerError
from watchdog.service.ledger import Ack, AuditLine, Incident, Ledger, OwedMessage, Pause, Quarantine
from watchdog.service.observer import Judged
from watchdog.service.pass_report import PassReport
from watchdog.service.plan import Action, Decision
from watchdog.service.reminders import OpenMatter
from watchdog.service.shares import Shares
from watchdog.service.watch import Watch
from watchdog.status import model as say

UNSEEN = "unseen"
NOT_WATCHED = GatewayPhase.REFUSED.value

_WORST_FIRST = (
    Verdict.STUCK,
    Verdict.UNKNOWN,
    Verdict.SUSPECT,
    Verdict.LONG_RUNNING,
    Verdict.WAITING,
    Verdict.HEALTHY,
)
_OWNERS = {Truth.TRUE: "alive", Truth.FALSE: "gone", Truth.UNKNOWN: "unknown"}


@dataclass(frozen=True, slots=True)
class WatchView:
    """One gateway as its watch knows it. ``seen``: the last pass it answered, ``report`` the last one however it went."""

    name: str
    book: PolicyBook
    report: PassReport | None = None
    seen: PassReport | None = None
    connected_at: Moment | None = None
    distrust: str | None = None
    is_observing: bool = False
    not_granted: Mapping[Step, str] = field(default_factory=dict)
    availability: say.AvailabilityView | None = None
    not_watched: str | None = None
    """Why nobody watches it: it leads to a gateway that another name watches."""


def view_of(watch: Watch, seen: PassReport | None) -> WatchView:
    """What ``watch`` knows now; ``seen`` is the last good report somebody kept of it."""
    return WatchView(
        name=watch.gateway.name,
        book=watch.book,
        report=watch.last_report,
        seen=seen,
        connected_at=watch.trust.connected_at,
        distrust=watch.trust.problem(),
        is_observing=watch.is_observing,
        not_granted=watch.connection.not_granted,
    )


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger says, read at one instant. ``charges`` by (gateway, session), None for the whole gateway."""

    incidents: Sequence[Incident] = ()
    quarantines: Sequence[Quarantine] = ()
    pauses: Sequence[Pause] = ()
    acks: Sequence[Ack] = ()
    trail: Sequence[AuditLine] = ()
    undelivered: Sequence[tuple[str, OwedMessage]] = ()
    charges: Mapping[tuple[str, str | None], int] = field(default_factory=dict)
    problem: str | None = None
    lost_history_at: datetime | None = None

    def marked(self, gateway: str) -> frozenset[str]:
        """Sessions shown whatever their verdict: in quarantine, or with an incident still open."""
        open_ones = {one.session for one in self.incidents if one.is_open and one.gateway == gateway}
        return frozenset(open_ones | {one.session for one in self.quarantines if one.gateway == gateway})

    def sessions(self, gateway: str) -> frozenset[str]:
        """Every session of ``gateway`` that is spoken of."""
        spoken_of: tuple[Incident | Quarantine | Pause, ...] = (
            *self.incidents[: say.MOST_INCIDENTS],
            *self.quarantines,
            *self.pauses,
        )
        return frozenset(one.session for one in spoken_of if one.session and one.gateway in (gateway, None))


def read_record(ledger: Ledger, sights: Sequence[WatchView], now: datetime) -> Record:
    """Ask the ledger everything at once. A ledger that cannot be read gives an empty record that says why."""
    try:
        record = Record(
            incidents=ledger.history(since=now - say.HISTORY),
            quarantines=ledger.quarantines(),
            pauses=ledger.pauses(now),
            acks=ledger.acks(now),
            trail=ledger.audit_trail(since=now - say.HISTORY, limit=say.LAST_SWITCHES),
            undelivered=ledger.undelivered(),
            lost_history_at=ledger.lost_history_at,
        )
        spans: dict[tuple[str, str | None], timedelta] = {}
        for sight in sights:
            spans[sight.name, None] = sight.book.default.recovery.gateway_budget.per
            for item in _shown(sight, record)[: say.MOST_SESSIONS]:
                spans[sight.name, item.session.key] = item.policy.recovery.budget.per
        # All in one question: with one for each, a page that is open kept the passes of 400 gateways waiting for the database.
        longest = max(spans.values(), default=timedelta(0))
        charges: Counter[tuple[str, str | None]] = Counter()
        for one in ledger.charged(now - longest):
            for whose in ((one.gateway, None), (one.gateway, one.session)):
                if whose in spans and one.started_at >= now - spans[whose]:
                    charges[whose] += 1
        return replace(record, charges=charges)
    except LedgerError as problem:
        return Record(problem=str(problem))


@dataclass(frozen=True, slots=True)
class Life:
    """This run of the daemon."""

    version: str
    pid: int
    started_at: datetime
    poll_every: timedelta
    is_observing: bool = False
    last_cycle_at: datetime | None = None
    ledger_problem: str | None = None
    """Why the watches cannot use the ledger, whatever reading it says."""
    config_file: str | None = None
    list_problems: Sequence[str] = ()
    replicas: Sequence[say.ReplicaView] = ()
    unwatched: Sequence[str] = ()


def replicas_of(shares: Shares, gateways: Sequence[str]) -> tuple[Sequence[say.ReplicaView], Sequence[str]]:
    """Who watches what of ``gateways``, as the last beat found it, and what nobody does."""
    fleet, owners = shares.fleet, {one.id: one for one in shares.fleet.shards if not one.is_expired}
    watched: dict[str | None, list[str]] = {}
    for name in gateways:
        shard = owners.get(shard_of(name))
        watched.setdefault(shard.owner if shard is not None else None, []).append(name)
    held, outbox = fleet.held_by(), owners.get(OUTBOX)
    views = [
        say.ReplicaView(
            name=one.name,
            is_this=one.id == shares.replica,
            is_here=one.is_here,
            delivers=outbox is not None and outbox.owner == one.id,
            shards=held[one.id],
            gateways=tuple(watched.get(one.id, ())),
        )
        for one in fleet.replicas
    ]
    return views, watched.get(None, ())


def build(life: Life, sights: Sequence[WatchView], record: Record, now: datetime) -> say.State:
    """The whole state at ``now``."""
    most_healthy = min(say.MOST_SESSIONS, say.MOST_HEALTHY // max(1, len(sights)))
    gateways = tuple(_gateway(sight, record, most_healthy) for sight in sights)
    incidents = tuple(_incident(one, record) for one in record.incidents[: say.MOST_INCIDENTS])
    quarantines = tuple(
        say.QuarantineView(one.gateway, one.session, one.since, one.reason, one.incident, _ack(one, record))
        for one in record.quarantines
    )
    pauses = tuple(
        say.PauseView(one.since, one.until, one.gateway, one.session, one.reason, one.who) for one in record.pauses
    )
    undelivered = tuple(_undelivered(target, owed) for target, owed in record.undelivered)
    ledger = say.LedgerView(life.ledger_problem or record.problem, record.lost_history_at)
    return say.State(
        program=PROGRAM,
        schema=say.SCHEMA,
        version=life.version,
        pid=life.pid,
        at=now,
        started_at=life.started_at,
        mode=Mode.OBSERVE.value if life.is_observing else Mode.RECOVER.value,
        poll_every_seconds=life.poll_every.total_seconds(),
        last_cycle_at=life.last_cycle_at,
        headline=say.headline(
            gateways,
            pauses,
            quarantines,
            undelivered,
            ledger,
            life.list_problems,
            is_shared=any(one.gateways for one in life.replicas),
            unwatched=life.unwatched,
        ),
        gateways=gateways,
        open_incidents=sum(one.is_open for one in record.incidents),
        incidents=incidents,
        incidents_left_out=max(0, len(record.incidents) - say.MOST_INCIDENTS),
        deeds=_last_deeds(record.incidents),
        quarantines=quarantines,
        pauses=pauses,
        operator=tuple(say.OperatorView(one.at, one.who, one.what, one.detail) for one in record.trail),
        undelivered=undelivered,
        ledger=ledger,
        config_file=life.config_file,
        list_problems=tuple(life.list_problems),
        replicas=tuple(life.replicas),
        unwatched=tuple(life.unwatched),
    )


# ---------------------------------------------------------------- gateways


def _held_back_by(sight: WatchView) -> str | None:
    """What keeps deeds back on a gateway that is connected."""
    return sight.distrust or next(iter(sight.not_granted.values()), None)


def _gateway(sight: WatchView, record: Record, most_healthy: int) -> say.GatewayView:
    report, seen = sight.report, sight.seen
    is_connected = _is_connected(sight)
    facts = seen.facts if seen is not None else None
    recovery = sight.book.default.recovery
    shown = _shown(sight, record)
    sessions = tuple(_session(item, sight, record) for item in shown[: say.MOST_SESSIONS])
    judged = seen.judged if seen is not None else ()
    healthy = _healthy(judged, shown, most_healthy)
    decisions = seen.decisions if seen is not None else ()
    return say.GatewayView(
        name=sight.name,
        phase=_phase(sight),
        problem=sight.not_watched
        or (report.problem or (_held_back_by(sight) if is_connected else None) if report is not None else None),
        not_granted=tuple(step.value for step in sight.not_granted) if is_connected else (),
        mode=Mode.OBSERVE.value if sight.is_observing else recovery.mode.value,
        version=facts.version if facts is not None else None,
        booted_at=facts.booted_at if facts is not None else None,
        connected_since=sight.connected_at.wall if is_connected and sight.connected_at is not None else None,
        last_poll_at=report.at.wall if report is not None else None,
        seen_at=seen.at.wall if seen is not None else None,
        latency_seconds=seen.latency.total_seconds() if seen is not None else None,
        is_list_complete=seen.is_complete if seen is not None else True,
        malformed_rows=seen.malformed if seen is not None else 0,
        session_count=len(judged),
        running_count=sum(item.session.status is Status.RUNNING for item in judged),
        verdicts=seen.verdicts() if seen is not None else {verdict.value: 0 for verdict in Verdict},
        in_recovery=sum(one.is_in_recovery for one in sessions),
        next_look_at=report.next_due.wall if report is not None and report.next_due is not None else None,
        is_fleet_breaker_open=any(
            blocker.name is BlockerName.FLEET_BREAKER for decision in decisions for blocker in decision.blockers
        ),
        budget=_budget(recovery.gateway_budget, record.charges.get((sight.name, None), 0)),
        sessions=sessions,
        sessions_left_out=max(0, len(shown) - say.MOST_SESSIONS),
        poll_every_seconds=seen.poll_every.total_seconds()
        if seen is not None and seen.poll_every is not None
        else None,
        healthy=healthy,
        healthy_left_out=len(judged) - len(shown) - len(healthy),
        names=_names(
            judged, {one.key for one in sessions} | {one.key for one in healthy} | record.sessions(sight.name)
        ),
        availability=sight.availability,
        untried=facts.untried if facts is not None else None,
    )


def _shown(sight: WatchView, record: Record) -> list[Judged]:
    """Every session that is not simply healthy, the worst and the longest first."""
    judged = sight.seen.judged if sight.seen is not None else ()
    marked = record.marked(sight.name)
    wanted = [item for item in judged if item.judgement.verdict is not Verdict.HEALTHY or item.session.key in marked]
    return sorted(wanted, key=lambda item: (_WORST_FIRST.index(item.judgement.verdict), _age(item).since))


def _healthy(judged: Sequence[Judged], shown: Sequence[Judged], most: int) -> tuple[say.HealthyView, ...]:
    listed = {item.session.key for item in shown}
    rest = (item.session for item in judged if item.session.key not in listed)
    last = nlargest(most, rest, key=lambda row: (row.updated_at is not None, row.updated_at, row.key))
    return tuple(say.HealthyView(row.key, row.kind.value, row.status.value, row.updated_at) for row in last)


def _names(judged: Sequence[Judged], keys: Collection[str]) -> dict[str, str]:
    rows = (item.session for item in judged)
    return {row.key: row.name for row in rows if row.name is not None and row.key in keys}


def _budget(budget: Budget, used: int) -> say.BudgetLeft:
    return say.BudgetLeft(budget.attempts, used, max(0, budget.attempts - used), budget.per.total_seconds())


# ---------------------------------------------------------------- sessions


def _session(item: Judged, sight: WatchView, record: Record) -> say.SessionView:
    row, judgement, policy = item.session, item.judgement, item.policy
    incident = next(
        (one for one in record.incidents if one.is_open and (one.gateway, one.session) == (sight.name, row.key)), None
    )
    decision = _decision_on(item, sight)
    if incident is None and decision is not None and decision.incident is not None and record.problem is not None:
        incident = decision.incident  # the ledger is out; the pass knew of it
    attempts = incident.attempts if incident is not None else ()
    in_flight = next((attempt for attempt in attempts if attempt.is_in_flight), None)
    is_quarantined = any((one.gateway, one.session) == (sight.name, row.key) for one in record.quarantines)
    blockers = decision.blockers if decision is not None and in_flight is None else ()
    age = _age(item)
    return say.SessionView(
        key=row.key,
        session_id=row.session_id,
        kind=row.kind.value,
        agent=row.agent_id,
        channel=row.channel,
        policy=policy.name,
        status=row.status.value,
        verdict=judgement.verdict.value,
        reason=judgement.reason,
        message=judgement.message,
        owner=_OWNERS[judgement.owner],
        started_at=row.started_at,
        since=age.since,
        since_what=age.what,
        limit_seconds=age.limit.total_seconds() if age.limit is not None else None,
        incident=incident.id if incident is not None else None,
        attempts=tuple(_attempt(attempt) for attempt in attempts),
        blockers=tuple(_blocker(blocker) for blocker in blockers),
        next=_next(item, sight, attempts, in_flight, decision, is_quarantined=is_quarantined),
        budget=_budget(policy.recovery.budget, record.charges.get((sight.name, row.key), 0)),
        is_quarantined=is_quarantined,
        is_in_recovery=in_flight is not None,
    )


def _decision_on(item: Judged, sight: WatchView) -> Decision | None:
    decisions = (*sight.seen.decisions, *sight.seen.foreseen) if sight.seen is not None else ()
    return next((one for one in decisions if one.judged.session.key == item.session.key), None)


@dataclass(frozen=True, slots=True)
class _Age:
    since: datetime
    what: str
    limit: timedelta | None


def _age(item: Judged) -> _Age:
    """What its age bar shows. Spans are ours (monotonic); the instant is where they lead back to on the wall clock."""
    judgement, case, thresholds = item.judgement, item.case, item.policy.thresholds
    if judgement.owner is Truth.TRUE:
        ran = case.now.since(case.track.first_seen)
        return _Age(case.now.wall - ran, "running", thresholds.long_running_after)
    if judgement.unattended_for is not None:
        return _Age(case.now.wall - judgement.unattended_for, "no_owner", thresholds.stuck_after)
    quiet = case.track.quiet_for(case.now)
    limit = None if judgement.verdict in (Verdict.WAITING, Verdict.HEALTHY) else thresholds.stuck_after
    return _Age(case.now.wall - quiet, "silent", limit)


def _next(
    item: Judged,
    sight: WatchView,
    attempts: Sequence[Attempt],
    in_flight: Attempt | None,
    decision: Decision | None,
    *,
    is_quarantined: bool,
) -> say.NextDeed:
    """Only what comes by all that is known; else what it waits for."""
    verdict, recovery = item.judgement.verdict, item.policy.recovery
    away = f"its gateway {gateway_is(_phase(sight))}" if not _is_connected(sight) else None
    if in_flight is not None:
        by = (in_flight.started_at or in_flight.planned_at) + recovery.verify_within
        words = f"waiting for proof that {DEEDS[in_flight.step]} worked"
        return say.NextDeed(in_flight.step.value, by, words) if away is None else _nothing(f"{words}, while {away}")
    if is_quarantined:
        return _nothing("nothing, until it is released")
    if away is not None:
        return _nothing(f"nothing while {away}")
    if verdict is Verdict.LONG_RUNNING and decision is None:
        is_alive = item.judgement.owner is Truth.TRUE
        return _nothing("nothing: somebody works on it" if is_alive else "nothing: its gateway is to recover it")
    if verdict is Verdict.UNKNOWN:
        return _nothing("nothing: what cannot be told is not touched")
    if verdict not in (Verdict.STUCK, Verdict.SUSPECT, Verdict.LONG_RUNNING):
        return _nothing("nothing: there is no reason to")
    if decision is not None and decision.step is Step.NOTIFY:
        return say.NextDeed(Step.NOTIFY.value, None, "nothing: its policy is to tell you and touch nothing")
    if sight.is_observing or recovery.mode is Mode.OBSERVE:
        return _nothing("nothing: observe mode")
    if decision is None:
        return _nothing("nothing is decided yet")
    if decision.action is Action.NOTHING:
        is_asked = awaits_person(attempts)
        return _nothing("nothing: the person's message is waited for" if is_asked else "nothing now: it has just moved")
    due = item.judgement.changes_at if verdict is Verdict.SUSPECT else None
    unless = ", if nothing moves" if verdict is Verdict.SUSPECT else ""
    step, blockers = decision.step, decision.blockers
    if step is None or decision.action is Action.ESCALATE:
        return say.NextDeed(None, due.wall if due is not None else None, f"quarantine and a message{unless}")
    names = ", ".join(blocker.name.value.replace("_", " ") for blocker in blockers)
    ends = [blocker.until.wall for blocker in blockers if blocker.until is not None]
    known = [*ends, *([due.wall] if due is not None else [])]
    at = max(known, default=None) if len(ends) == len(blockers) else None
    return say.NextDeed(step.value, at, f"{DEEDS[step]}{f', held by {names}' if blockers else ''}{unless}")


def _nothing(words: str) -> say.NextDeed:
    return say.NextDeed(None, None, words)


def _is_connected(sight: WatchView) -> bool:
    return _phase(sight) == GatewayPhase.CONNECTED


def _phase(sight: WatchView) -> str:
    if sight.not_watched:
        return NOT_WATCHED
    return sight.report.phase.value if sight.report is not None else UNSEEN


# ---------------------------------------------------------------- values of the ledger


def _blocker(blocker: Blocker) -> say.BlockerView:
    return say.BlockerView(
        blocker.name.value, blocker.message, blocker.until.wall if blocker.until is not None else None
    )


def _ack(about: Incident | Quarantine, record: Record) -> say.AckView | None:
    ack = OpenMatter(about).acknowledged(record.acks)
    return say.AckView(ack.at, ack.until, ack.who, ack.reason) if ack is not None else None


def _incident(incident: Incident, record: Record) -> say.IncidentView:
    return say.IncidentView(
        id=incident.id,
        gateway=incident.gateway,
        session=incident.session,
        session_id=incident.session_id,
        opened_at=incident.opened_at,
        closed_at=incident.closed_at,
        verdict_reason=incident.verdict_reason,
        outcome=incident.outcome.value,
        attempts=tuple(_attempt(attempt) for attempt in incident.attempts),
        acknowledged=_ack(incident, record) if incident.is_open else None,
    )


def _attempt(attempt: Attempt) -> say.AttemptView:
    return say.AttemptView(
        number=attempt.number,
        step=attempt.step.value,
        state=attempt.state.value,
        planned_at=attempt.planned_at,
        started_at=attempt.started_at,
        settled_at=attempt.settled_at,
        reason=attempt.reason,
        verified_by=attempt.verified_by,
        words=reason_words(attempt.verified_by or attempt.reason),
    )


def _last_deeds(incidents: Sequence[Incident]) -> tuple[say.DeedView, ...]:
    done = [(attempt, one) for one in incidents for attempt in one.attempts if attempt.started_at is not None]
    done.sort(key=lambda pair: (pair[0].started_at or pair[0].planned_at, pair[0].id), reverse=True)
    return tuple(
        say.DeedView(one.gateway, one.session, one.id, _attempt(attempt)) for attempt, one in done[: say.LAST_DEEDS]
    )


def _undelivered(target: str, owed: OwedMessage) -> say.UndeliveredView:
    return say.UndeliveredView(
        target=target,
        kind=owed.message.kind.value,
        gateway=owed.message.gateway,
        session=owed.message.session,
        created_at=owed.created_at,
        tries=owed.tries,
        next_try_at=owed.next_try_at,
        error=owed.last_error,
    )
