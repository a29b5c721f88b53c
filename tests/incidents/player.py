"""Plays a case through the real watch in virtual time, and compares what it decided with what the case expects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from tests.fakes.ledgers import memory_ledger
from tests.fakes.notes import FakeNotes
from tests.incidents.cases import Case, Expect, Right, See, names_like, span
from tests.incidents.script import BYSTANDER, NAME, ScriptedGateway, Sent, World
from watchdog.config import parse
from watchdog.core.policy import Step
from watchdog.core.verdict import Verdict
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.events import MemoryLog
from watchdog.service.ledger import MessageKind
from watchdog.service.null_meter import NullMeter
from watchdog.service.pass_report import PassReport
from watchdog.service.plan import Action, Decision
from watchdog.service.watch import Watch, may_act

SOONEST = 0.2
"""Seconds between two passes at least, as in the daemon."""
_TARGET = "corpus"
_TOLD = {See.NOTIFY: MessageKind.STUCK, See.LONG: MessageKind.LONG_RUNNING, See.UNKNOWN: MessageKind.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one pass decided about one session. ``why``: the judgement's reason."""

    t: float
    see: See
    detail: tuple[str, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        return f"{self.see.value}{' ' + '+'.join(self.detail) if self.detail else ''}{f' ({self.why})' if self.why else ''}"


@dataclass(frozen=True, slots=True)
class Told:
    """A message owed to a person."""

    t: float
    kind: MessageKind
    session: str | None


@dataclass(slots=True)
class Played:
    """A case as it went."""

    case: Case
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    sent: Sequence[Sent] = ()
    told: list[Told] = field(default_factory=list)
    passes: int = 0
    problems: list[str] = field(default_factory=list)
    states: dict[str, list[str]] = field(default_factory=dict)
    """How each attempt ended, by session."""

    @property
    def is_as_expected(self) -> bool:
        return not self.problems

    @property
    def is_untouched(self) -> bool:
        return not self.sent

    @property
    def first_step_is_right(self) -> bool:
        """Every recoverable session of the case got the first deed it should, and when it should."""
        first: dict[str, Expect] = {}
        for line in self.case.expect:
            if line.see is See.RECOVER:
                for name in names_like(line.session or next(iter(self.seen)), self.seen):
                    first.setdefault(name, line)
        return bool(first) and all(self._is_first(name, line) for name, line in first.items())

    def _is_first(self, name: str, line: Expect) -> bool:
        sent = next((one for one in self.sent if one.name == name), None)
        to = span(line.to) if line.to is not None else self.case.lasts()
        return sent is not None and sent.does(line.step) and span(line.since) <= sent.t <= to

    @property
    def is_won(self) -> bool:
        """The bar of the scoreboard: the right first step where one is due, hands off where none is."""
        if self.case.right is Right.RECOVER or self.case.tries_first:
            return self.first_step_is_right
        return self.is_untouched

    def course(self, name: str) -> list[str]:
        """What was seen of one session, equal passes put together."""
        lines: list[str] = []
        last = ""
        for seen in self.seen.get(name, ()):
            if str(seen) != last:
                last = str(seen)
                lines.append(f"{clock(seen.t)} {last}")
        return lines


def clock(t: float) -> str:
    return str(timedelta(seconds=round(t)))


@dataclass(slots=True)
class Player:
    """One playing of one case."""

    case: Case
    bystanders: int = 0
    """See ``World.bystanders``."""
    reads_all: bool = False
    """Every poll reads every row, as on a gateway whose lists cannot be read in part."""
    world: World = field(init=False)
    watch: Watch = field(init=False)
    ledger: SqliteLedger = field(init=False)
    log: MemoryLog = field(init=False, default_factory=MemoryLog)
    played: Played = field(init=False)
    _failures: int = field(init=False, default=0)
    _poll: float = field(init=False)

    def __post_init__(self) -> None:
        self.world = World.of(self.case)
        self.world.bystanders = self.bystanders
        loaded = parse(self.case.config, file=f"{self.case.name}.config", env={})
        self._poll = loaded.config.poll_every.total_seconds()
        self.ledger = memory_ledger(self.world)
        self.watch = Watch(
            gateway=ScriptedGateway(self.world, may_act(loaded.policy_book), reads_all=self.reads_all),
            book=loaded.policy_book,
            ledger=self.ledger,
            notes=FakeNotes(),
            clock=self.world,
            log=self.log,
            meter=NullMeter(),
            poll_every=loaded.config.poll_every,
        )
        self.played = Played(self.case, seen={name: [] for name in self.world.sessions})

    async def play(self) -> Played:
        try:
            self._collect(0.0)
            while self.world.t <= self.case.lasts():
                await self._pass()
        finally:
            await self.watch.gateway.close()
            for incident in self.ledger.history(gateway=NAME):
                name = self._names().get(incident.session, incident.session)
                states = [f"{one.step.value}:{one.state.value}:{one.reason}" for one in incident.attempts]
                self.played.states.setdefault(name, []).extend(states)
            self.ledger.close()
        self.played.sent = tuple(self.world.sent)
        self.played.problems = [*self.world.violations, *_compare(self.played)]
        return self.played

    async def _pass(self) -> None:
        began, sent_before = self.world.t, len(self.world.sent)
        report = await self.watch.pass_once()
        self.played.passes += 1
        # A pass belongs to the instant it ended: slow answers and sign-ins take time.
        self._note(report, self.world.t if report.is_good else began, self.world.sent[sent_before:])
        self._collect(self.world.t)
        self.world.advance(self._wait(report))

    def _wait(self, report: PassReport) -> float:
        """As ``daemon.runner`` waits: an interval, or until something is due; after failures 1 s, doubling."""
        if not report.is_good:
            self._failures += 1
            return max(SOONEST, min(self._poll, 60.0, 2.0 ** min(self._failures - 1, 10)))
        self._failures = 0
        if report.next_due is None:
            return self._poll
        return min(self._poll, max(SOONEST, report.next_due.monotonic - self.world.now().monotonic))

    def _names(self) -> dict[str, str]:
        return {one.row["key"]: name for name, one in self.world.sessions.items()}

    def _note(self, report: PassReport, t: float, sent: Sequence[Sent]) -> None:
        names = self._names()
        if not report.is_good:
            for name in self.world.sessions:
                self.played.seen.setdefault(name, []).append(Seen(t, See.AWAY, (report.phase.value,)))
            return
        decisions = {decision.judged.session.key: decision for decision in report.decisions}
        in_flight = {incident.session for incident, _ in self.ledger.attempts_in_flight(NAME)}
        for item in report.judged:
            if item.session.key.startswith(BYSTANDER):
                continue
            name = names[item.session.key]
            verdict, why = item.judgement.verdict, item.judgement.reason
            see, detail = _see(decisions.get(item.session.key), verdict, item.session.key in in_flight)
            mine = [one for one in sent if one.name == name]
            if mine:
                see, detail = See.RECOVER, (mine[0].step.value,)
            self.played.seen.setdefault(name, []).append(Seen(t, see, detail, why))

    def _collect(self, t: float) -> None:
        names, now = self._names(), self.world.now().wall
        for owed in self.ledger.due_messages(_TARGET, now, limit=500):
            self.ledger.mark_delivered(owed.id, _TARGET, now)
            session = owed.message.session
            self.played.told.append(Told(t, owed.message.kind, names.get(session, session) if session else None))


def _see(decision: Decision | None, verdict: Verdict, is_in_flight: bool) -> tuple[See, tuple[str, ...]]:
    if decision is not None:
        if decision.action is Action.ESCALATE:
            return See.QUARANTINE, ()
        if decision.action is Action.HOLD and decision.step is Step.NOTIFY:
            return See.NOTIFY, ()
        if decision.action is Action.HOLD and decision.incident is None:
            return See.HOLD, ("quarantined",)
        if decision.action is Action.HOLD:
            return See.HOLD, tuple(sorted(set(decision.blocker_names)))
        return See.NOTHING, ()
    if is_in_flight:
        return See.VERIFYING, ()
    return {Verdict.UNKNOWN: See.UNKNOWN, Verdict.LONG_RUNNING: See.LONG}.get(verdict, See.NOTHING), ()


# ---------------------------------------------------------------- comparing


def _compare(played: Played) -> list[str]:
    case = played.case
    problems: list[str] = []
    expected: list[tuple[str, Expect]] = []
    for line in case.expect:
        names = names_like(line.session or next(iter(played.seen)), played.seen)
        if not names:
            problems.append(f"no session is called {line.session}")
        for name in names:
            if line.see is See.RECOVER:
                expected.append((name, line))
            else:
                problems += _differs(played, name, line)
    problems += _deeds(played, expected)
    if case.right is Right.TELL and not any(
        told.session in played.seen or told.session is None for told in played.told
    ):
        problems.append("nobody was told anything")
    problems += [
        f"told {told.kind.value} at {clock(told.t)}" for told in played.told if told.kind.value in case.not_told
    ]
    return problems


def _window(played: Played, line: Expect) -> tuple[float, float]:
    return span(line.since), span(line.to) if line.to is not None else played.case.lasts()


def _differs(played: Played, name: str, line: Expect) -> list[str]:
    begin, end = _window(played, line)
    inside = [seen for seen in played.seen[name] if begin <= seen.t <= end]
    where = f"{name} {clock(begin)}..{clock(end)}"
    want = f"{line.see.value}{' ' + '+'.join(sorted(line.blockers)) if line.blockers else ''}"
    if not inside:
        return [f"{where}: no pass at all, expected {want}"]
    wrong = next((seen for seen in inside if not _fits(seen, line)), None)
    if wrong is not None:
        return [f"{where}: expected {want} [{line.why}], got {wrong} at {clock(wrong.t)}"]
    kind = _TOLD.get(line.see)
    if kind is not None and not any(
        told.session == name and told.kind is kind and told.t <= end for told in played.told
    ):
        return [f"{where}: expected {want} to be told to a person as {kind.value}"]
    return []


def _fits(seen: Seen, line: Expect) -> bool:
    if line.see is See.HOLD:
        return seen.see is See.HOLD and set(seen.detail) == set(line.blockers)
    if line.see is See.NOTHING:
        return seen.see in (See.NOTHING, See.AWAY)
    return seen.see is line.see


def _deeds(played: Played, expected: list[tuple[str, Expect]]) -> list[str]:
    problems: list[str] = []
    left = list(played.sent)
    for name, line in expected:
        begin, end = _window(played, line)
        sent = next((one for one in left if one.name == name), None)
        want = f"{name}: expected {line.step} between {clock(begin)} and {clock(end)} [{line.why}]"
        if sent is None:
            problems.append(f"{want}, got no deed; it went: {'; '.join(played.course(name)[-4:])}")
            continue
        left.remove(sent)
        if not sent.does(line.step) or not begin <= sent.t <= end:
            problems.append(f"{want}, got {sent.step.value} at {clock(sent.t)}")
        if line.method is not None and sent.method != line.method:
            problems.append(f"{want} by {line.method}, got {sent.method}")
        if line.asks is not None and sent.asks is not line.asks:
            problems.append(f"{want} {'that asks' if line.asks else 'that goes on'}, got the other text")
    problems += [f"{one.name}: {one.step.value} at {clock(one.t)} that nobody expected" for one in left]
    return problems


def play(case: Case) -> Played:
    """The whole case, at once."""
    return asyncio.run(Player(case).play())
