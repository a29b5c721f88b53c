"""A small watched world for the page's tests: sessions in every condition, and a ledger that remembers a week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tests.fakes.builders import facts, fresh_track, preflight, tail_of
from tests.fakes.clock import START
from watchdog.core.blockers import Blocker, BlockerName
from watchdog.core.evidence import Case
from watchdog.core.model import GatewayPhase, Look, Moment, Session, SessionKind, Status
from watchdog.core.policy import Policy, PolicyBook, Step
from watchdog.core.recovery import AttemptState
from watchdog.core.tracking import RunIdentity
from watchdog.core.verdict import Judgement, Verdict, gather, judge
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.ledger import Incident, Message, MessageKind, Outcome, Quarantine
from watchdog.service.observer import Judged
from watchdog.service.pass_report import PassReport
from watchdog.service.plan import Action, Decision
from watchdog.status.document import Life, WatchView, build, read_record
from watchdog.status.model import AvailabilityView, document
from watchdog.status.server import Document, Health

NOW = START
BOOK = PolicyBook()
RUN = RunIdentity("sid-1", NOW.wall - timedelta(hours=1), Status.RUNNING)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

ALICE, BOB, OPS = "agent:main:irc:direct:alice", "agent:main:irc:direct:bob", "agent:main:irc:group:#ops"
LONG, UNCLEAR, CHILD = "agent:research:main", "agent:main:telegram:direct:4711", "agent:main:subagent:9f2c"


NAMES = {
    ALICE: "Alice Ames (@alice)",
    OPS: "Ops ”\u202e \x1b[31m<b>all is well</b>",
    "agent:main:irc:direct:quiet3": "Family chat",
}
"""What people call some of them; one means harm."""


def row(key: str, **changes: object) -> Session:
    made = Session(
        key,
        Status.RUNNING,
        session_id=f"sid-{key[-5:]}",
        kind=SessionKind.DIRECT,
        agent_id="main",
        channel="irc",
        name=NAMES.get(key),
        started_at=NOW.wall - HOUR,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def seen(session: Session, quiet: timedelta, *, idle: bool = True, now: Moment = NOW) -> Judged:
    """A session whose run has shown nothing for ``quiet``; ``idle``: the gateway proves that nothing works on it."""
    track = fresh_track(session, now.plus(-quiet))
    if idle:
        track = replace(track, owner_gone_since=track.unchanged_since, owner_gone_polls=9)
    version = "2026.9.6" if idle or session.has_active_run else "2026.5.18"
    look = Look(tail=tail_of(), preflight=preflight(0)) if idle else Look()
    case = Case(now, facts(version), session, track, look)
    return Judged(session, case, judge(case, BOOK.default.thresholds, gather(case)), BOOK.default)


def at_rest(key: str) -> Judged:
    session = row(key, status=Status.DONE)
    case = Case(NOW, facts(), session, fresh_track(session, NOW))
    return Judged(session, case, judge(case, BOOK.default.thresholds, ()), BOOK.default)


def judged_as(item: Judged, verdict: Verdict, reason: str, message: str) -> Judged:
    return replace(item, judgement=Judgement(verdict, reason, message))


def held(item: Judged, incident: Incident | None, *blockers: Blocker) -> Decision:
    return Decision(item, Action.HOLD, Step.RESUME, blockers, incident)


def report(judged: Sequence[Judged], decisions: Sequence[Decision] = (), **changes: object) -> PassReport:
    made = PassReport(
        "home",
        NOW,
        GatewayPhase.CONNECTED,
        facts=facts(),
        judged=tuple(judged),
        decisions=tuple(decisions),
        foreseen=tuple(
            Decision(item, Action.ACT, item.policy.recovery.ladder[0])
            for item in judged
            if item.judgement.verdict is Verdict.SUSPECT
        ),
        latency=timedelta(milliseconds=12),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def sight(latest: PassReport | None, **changes: object) -> WatchView:
    good = latest if latest is not None and latest.is_good else None
    made = WatchView("home", BOOK, latest, good, connected_at=NOW.plus(-3 * DAY))
    return replace(made, **changes)  # type: ignore[arg-type]


def week(away: Mapping[int, float]) -> AvailabilityView:
    """Watched for five days; ``away`` by hours before now: the share of it in which it answered."""
    hours = [None if back >= 120 else away.get(back, 1.0) for back in range(167, -1, -1)]
    watched = [one for one in hours if one is not None]
    return AvailabilityView(5 * 86400.0, sum(watched) * 3600, tuple(hours), NOW.wall)


def life(**changes: object) -> Life:
    made = Life("1.0.0", 4242, NOW.wall - 3 * DAY, timedelta(seconds=30), last_cycle_at=NOW.wall)
    return replace(made, **changes)  # type: ignore[arg-type]


def memory() -> SqliteLedger:
    return SqliteLedger.in_memory(wall=lambda: NOW.wall)


def incident(
    ledger: SqliteLedger,
    key: str,
    ago: timedelta,
    *steps: tuple[Step, AttemptState, str],
    lasted: timedelta | None = None,
    outcome: Outcome = Outcome.RECOVERED,
    gateway: str = "home",
) -> Incident:
    """One that was opened ``ago`` and, unless ``lasted`` is None, closed after it."""
    at = NOW.wall - ago
    opened = ledger.open_incident(gateway=gateway, session=key, session_id="sid-1", reason="GatewayIdle", at=at)
    for number, (step, state, reason) in enumerate(steps):
        begun = at + timedelta(seconds=10 + 100 * number)
        run = replace(RUN, started_at=at)  # every incident has a run of its own
        attempt = ledger.plan_attempt(opened.id, step, begun, before=run, before_tail="t")
        ledger.claim_attempt(attempt.id, begun)
        if state is not AttemptState.STARTED:
            ledger.settle_attempt(attempt.id, state, begun + timedelta(seconds=40), reason=reason)
    if lasted is not None:
        ledger.close_incident(opened.id, outcome, at + lasted)
    now = ledger.incident(opened.id)
    assert now is not None
    return now


WORKED = (Step.RESUME, AttemptState.SUCCEEDED, "NewRunDone")
SILENT = (Step.RESUME, AttemptState.INEFFECTIVE, "NewRunSilent")
FRESH = (Step.NEW, AttemptState.SUCCEEDED, "FreshRunStarted")
SENT = (Step.RESUME, AttemptState.STARTED, "")


def full_ledger() -> SqliteLedger:
    """A week in which something of everything happened."""
    ledger = memory()
    incident(ledger, ALICE, 6 * DAY + HOUR, WORKED, lasted=2 * MINUTE)
    incident(ledger, OPS, 5 * DAY + 3 * HOUR, SILENT, FRESH, lasted=6 * MINUTE)
    incident(ledger, BOB, 5 * DAY + 3 * HOUR, WORKED, lasted=MINUTE)
    incident(ledger, LONG, 3 * DAY, lasted=3 * HOUR, outcome=Outcome.CLEARED)
    for number in range(4):
        incident(ledger, f"agent:main:irc:direct:guest{number}", 2 * DAY + 30 * MINUTE, WORKED, lasted=90 * MINUTE)
    incident(ledger, BOB, 9 * HOUR, SILENT, (Step.NEW, AttemptState.INEFFECTIVE, "StillRunning"), lasted=20 * MINUTE,
             outcome=Outcome.QUARANTINED)  # fmt: skip
    ledger.quarantine(Quarantine("home", BOB, "sid-1", NOW.wall - 9 * HOUR, "Every step of the ladder was tried."))
    asked = "asked the provider"
    ledger.acknowledge(
        at=NOW.wall - 8 * HOUR, until=NOW.wall + 16 * HOUR, gateway="home", session=BOB, reason=asked, who="ada"
    )
    incident(ledger, OPS, MINUTE, SENT)
    ledger.release("home", ALICE, NOW.wall - 2 * DAY, who="ada", why="the provider is back")
    ledger.pause(
        at=NOW.wall - HOUR, until=NOW.wall + HOUR, gateway=None, session=ALICE, reason="moving house", who="ada"
    )
    message = Message(MessageKind.STUCK, "home", "Stuck: secret title", "secret body", "k", ALICE)
    ledger.owe([message], NOW.wall - 10 * MINUTE)
    owed = ledger.due_messages("ntfy-1", NOW.wall)
    ledger.mark_failed(owed[0].id, "ntfy-1", NOW.wall - 5 * MINUTE, "HTTP 503", NOW.wall + 5 * MINUTE)
    return ledger


def full_sight(ledger: SqliteLedger) -> WatchView:
    opened = incident(ledger, ALICE, 4 * MINUTE)
    paused = Blocker(BlockerName.PAUSED, "Paused until 2026-11-20 13:00Z: moving house", NOW.plus(HOUR))
    cooling = Blocker(BlockerName.COOL_DOWN, "Cooling down after attempt 1.", NOW.plus(3 * MINUTE))
    alice, ops = seen(row(ALICE), 24 * MINUTE), seen(row(OPS, kind=SessionKind.GROUP), 21 * MINUTE)
    judged = [
        alice,
        ops,
        seen(row(BOB), 30 * MINUTE),
        seen(row("agent:main:irc:direct:carol"), 8 * MINUTE),
        seen(row(LONG, kind=SessionKind.MAIN, has_active_run=True, channel=None), 95 * MINUTE, idle=False),
        seen(row(UNCLEAR, channel="telegram", has_active_run=False), 50 * MINUTE, idle=False),
        judged_as(seen(row(CHILD, kind=SessionKind.SUBAGENT), MINUTE), Verdict.WAITING, "ApprovalPending",
                  "It waits for somebody to approve a command."),
        *(at_rest(f"agent:main:irc:direct:quiet{number}") for number in range(9)),
    ]  # fmt: skip
    return sight(report(judged, [held(alice, opened, paused, cooling)], next_due=NOW.plus(3 * MINUTE)))


def full_document() -> Document:
    """The whole state of that world, as the page gets it."""
    with full_ledger() as ledger:
        home = replace(full_sight(ledger), availability=week({30: 0.0, 31: 0.7}))
        away = report([], phase=GatewayPhase.DOWN, facts=None, problem="office: nothing listens on 10.0.0.5:18789.")
        office = sight(
            replace(away, gateway="office"),
            name="office",
            connected_at=None,
            availability=week(dict.fromkeys(range(9), 0.0)),
        )
        sights = [home, office]
        return document(build(life(), sights, read_record(ledger, sights, NOW.wall), NOW.wall))


@dataclass(slots=True)
class Scripted:
    """``status.server.Facts`` that say what they are told."""

    shown: Document = field(default_factory=dict)
    is_well: bool = True
    asked: int = 0

    def document(self) -> Document:
        self.asked += 1
        return self.shown

    def liveness(self) -> Health:
        return Health(self.is_well, {"status": "ok" if self.is_well else "stuck"})

    def readiness(self) -> Health:
        return Health(self.is_well, {"status": "ok" if self.is_well else "starting"})

    def metrics(self) -> bytes:
        return b"# HELP x\n"


def policy(**changes: object) -> Policy:
    return replace(BOOK.default, **changes)  # type: ignore[arg-type]
