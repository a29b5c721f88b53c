"""Named worlds with a table of truth: which session is in which state, and what a good watchdog does about it.

:func:`demo_world` is what ``make demo`` shows. Each world is made by letting the simulated gateway live through it (runs
started, process killed, store locked), not by writing rows, so every row lies exactly as its version lies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from openclaw_simulator import sessions as turns
from openclaw_simulator.profiles import PROFILES, Profile
from openclaw_simulator.records import ClientEffect, ClientInfo, Stall
from openclaw_simulator.sessions import Address, Origin, Turn
from openclaw_simulator.world import World

LOOKS_ONLY = frozenset({"send"})
"""Deeds that touch no session: a literal message to a chat app."""
ENOUGH_LANES = 32


class Expected(StrEnum):
    RECOVERED = "recovered"
    """By a turn a client sent, that ran and ended well, heard by its person if it has one."""
    UNTOUCHED = "untouched"
    """No client did anything to it."""


class CaseStatus(StrEnum):
    """How it stands with one case right now."""

    PENDING = "pending"
    RIGHT = "right"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class ScenarioCase:
    """One session of a scenario and what should become of it."""

    key: str
    expected: Expected
    label: str
    """For people: "tool loop cut by a crash"."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    case: ScenarioCase
    standing: CaseStatus
    note: str = ""


@dataclass(slots=True)
class Scenario:
    """A world and its table of truth."""

    name: str
    world: World
    cases: list[ScenarioCase] = field(default_factory=list)

    def findings(self) -> list[CaseResult]:
        """How every case stands right now, in the table's order."""
        return [self._finding(case) for case in self.cases]

    @property
    def is_won(self) -> bool:
        """Every stuck session is recovered and every other one untouched."""
        return all(finding.standing is CaseStatus.RIGHT for finding in self.findings())

    @property
    def is_lost(self) -> bool:
        """Something happened that can never be right again."""
        return any(finding.standing is CaseStatus.WRONG for finding in self.findings())

    def deeds_on(self, key: str) -> list[ClientEffect]:
        """What clients did to a session; refusals and probes that came to nothing do not count."""
        return [d for d in self.world.deeds if d.key == key and d.changed and d.method not in LOOKS_ONLY]

    def _finding(self, case: ScenarioCase) -> CaseResult:
        deeds = self.deeds_on(case.key)
        if case.expected is Expected.UNTOUCHED:
            if deeds:
                return CaseResult(case, CaseStatus.WRONG, f"{deeds[0].method}: {deeds[0].effect}")
            return CaseResult(case, CaseStatus.RIGHT)
        if deeds and deeds[0].is_wrong:
            return CaseResult(case, CaseStatus.WRONG, f"{deeds[0].method} while {deeds[0].truth}")
        stall = next((s for s in reversed(self.world.stalls) if s.key == case.key), None)
        if stall is None or stall.is_open:
            return CaseResult(case, CaseStatus.PENDING, deeds[-1].effect if deeds else "")
        return self._recovered(case, stall)

    def _recovered(self, case: ScenarioCase, stall: Stall) -> CaseResult:
        by = stall.ended_by or ""
        if not by.startswith("turn:"):
            return CaseResult(case, CaseStatus.WRONG, f"ended by {by}")
        run_id = by.removeprefix("turn:")
        home = self.world.homes.get(case.key)
        if home is None:
            return CaseResult(case, CaseStatus.RIGHT, "resumed")
        if any(heard.run_id == run_id and heard.place == home.place for heard in self.world.heard):
            return CaseResult(case, CaseStatus.RIGHT, "resumed, and its person heard the answer")
        return CaseResult(case, CaseStatus.WRONG, "resumed, but its person heard nothing")


class _Stage:
    """Builds a scenario step by step."""

    def __init__(self, name: str, profile: Profile, begin: datetime, seed: int) -> None:
        self.world = World(profile, begin, seed)
        self.world.lane_width = ENOUGH_LANES
        self.scenario = Scenario(name, self.world)

    def expect(self, key: str, expected: Expected, label: str) -> None:
        self.scenario.cases.append(ScenarioCase(key, expected, label))

    def warm(self, key: str, *, person: str | None = None, spawn_depth: int = 0) -> None:
        """A session with one finished turn behind it."""
        world = self.world
        if person is not None:
            world.chat.join(key, Address("irc", person))
            world.chat.person_writes(key, "hello", turns.answers(1.0))
        else:
            world.session(key, spawn_depth=spawn_depth)
            world.begin(key, "hello", turns.answers(1.0))

    def ask(self, key: str, text: str, turn: Turn, origin: Origin = Origin.WEB) -> str:
        """Somebody asks for something."""
        if origin is Origin.CHANNEL:
            return self.world.chat.person_writes(key, text, turn) or ""
        return self.world.begin(key, text, turn, origin=origin, device_id="control-ui")


_STUCK = (
    # key, person, request, what the run was at, origin, label
    ("agent:main:irc:direct:alice", "irc:alice", "summarise the incident from last night",
     turns.stays_silent(), Origin.CHANNEL, "direct chat"),
    ("agent:main:irc:group:#ops", "channel:#ops", "who is on call this weekend?",
     turns.streams(3600), Origin.CHANNEL, "group chat"),
    ("agent:main:main", "irc:carol", "draft the reply to the landlord", turns.stays_silent(), Origin.CHANNEL, "main session"),
    ("agent:main:tool-loop", None, "rename the photos by date", turns.loops_over_tools(), Origin.WEB, "tool loop"),
    ("agent:main:dashboard:report", None, "write the quarterly report", turns.streams(3600), Origin.WEB, "long answer"),
    ("agent:main:agent-call", None, "index the new documents", turns.runs_long_tool(), Origin.AGENT, "run of a program"),
)  # fmt: skip
_FIRST_TURN = ("agent:main:first-turn", "compare the two offers")
_CRON_KEY = ("agent:main:cron:nightly", "nightly digest")


def demo_world(
    now: datetime,
    profile: Profile = PROFILES["2026.9.6"],
    *,
    seed: int = 1,
    recovers_background: bool = True,
) -> Scenario:
    """About twenty sessions on one gateway; ``now`` is the moment the audience comes in.

    Some are stuck for twenty minutes: cut by a crash, or on 2026.9.6 (which recovers ordinary ones by itself) by a
    locked store, or by a crash where its own recovery does not look. The others are healthy, waiting, or stopped on
    purpose. ``recovers_background``: the watchdog at work has a policy that recovers cron sessions (without one they
    are reported, not touched).
    """
    stage = _Stage("demo", profile, now - timedelta(minutes=75), seed)
    world = stage.world
    is_modern = profile.recovers_at_boot
    depth = 1 if is_modern else 0
    for key, person, *_ in _STUCK:
        stage.warm(key, person=person, spawn_depth=depth if person is None else 0)
    stage.warm(_CRON_KEY[0])
    stage.warm("agent:main:dashboard:stopped")
    world.session(_FIRST_TURN[0], spawn_depth=depth)
    world.advance(600)
    _stop_one(stage)
    _crash(stage, is_modern=is_modern)
    if is_modern:
        _lock_store(stage)
    for key, _person, _text, _turn, _origin, label in _STUCK:
        cut = "its last write lost" if is_modern and world.sessions[key].kind.value in _LOCKED else "cut by a crash"
        stage.expect(key, Expected.RECOVERED, f"{label}, {cut}")
    stage.expect(_FIRST_TURN[0], Expected.RECOVERED, "first turn of a session cut by a crash")
    cron = Expected.RECOVERED if recovers_background else Expected.UNTOUCHED
    stage.expect(_CRON_KEY[0], cron, "cron session cut by a crash")
    stage.expect("agent:main:dashboard:stopped", Expected.UNTOUCHED, "stopped by its user")
    world.advance((now - timedelta(minutes=4) - world.now).total_seconds())
    _healthy(stage)
    world.advance(now)
    return stage.scenario


_LOCKED = ("direct", "group", "main")


def _stop_one(stage: _Stage) -> None:
    """A run its user stopped. On 3.24 and 4.14 its row says ``running`` ever after."""
    key = "agent:main:dashboard:stopped"
    stage.ask(key, "count to a million", turns.streams(3600))
    stage.world.advance(20)
    session = stage.world.sessions[key]
    if session.run is not None:
        stage.world.endings.stop(session, session.run)
    stage.world.advance(20)


def _crash(stage: _Stage, *, is_modern: bool) -> None:
    """Work begins, the process is killed in the middle of it and started again."""
    world = stage.world
    for key, person, text, turn, origin, _label in _STUCK:
        if person is None or not is_modern:
            stage.ask(key, text, turn, origin)
    stage.ask(_FIRST_TURN[0], _FIRST_TURN[1], turns.stays_silent())
    stage.ask(_CRON_KEY[0], _CRON_KEY[1], turns.stays_silent())
    if is_modern:
        key = "agent:main:dashboard:self-healed"
        stage.warm(key)
        world.advance(10)
        stage.ask(key, "tidy the notes", turns.stays_silent())
        stage.expect(key, Expected.UNTOUCHED, "cut by the crash, resumed by the gateway itself")
    world.advance(45)
    world.process.kill()
    world.agenda.outside(2.0, world.process.start)
    world.advance(120)


def _lock_store(stage: _Stage) -> None:
    """2026.9.6's everyday kind: the store is locked while runs end, their rows are never finished (and they go deaf)."""
    world = stage.world
    for key, person, text, _turn, origin, _label in _STUCK:
        if person is not None:
            stage.ask(key, text, turns.answers(6.0), origin)
    world.advance(3)
    world.lock_store(40)
    world.advance(60)


def _healthy(stage: _Stage) -> None:
    """Everything that looks a little like stuck and is not."""
    world = stage.world
    untouched = Expected.UNTOUCHED
    healthy: list[tuple[str, str, Turn, Origin, str]] = [
        (
            "agent:main:dashboard:essay",
            "write a long essay",
            turns.streams(7200),
            Origin.WEB,
            "streaming a long answer",
        ),
        ("agent:main:dashboard:thinking", "prove the lemma", turns.stays_silent(), Origin.WEB, "silent provider"),
        (
            "agent:main:dashboard:build",
            "build the project",
            turns.runs_long_tool(),
            Origin.WEB,
            "tool running for minutes",
        ),
        ("agent:main:dashboard:deploy", "deploy it", turns.waits_for_approval(), Origin.WEB, "waiting for an approval"),
        ("agent:main:agent-live", "crawl the site", turns.streams(7200), Origin.AGENT, "run of a program, alive"),
        ("agent:main:dashboard:compacting", "go on", turns.compacts(7200), Origin.WEB, "compacting its context"),
    ]
    if world.profile.recovers_at_boot:
        healthy.append(
            ("agent:main:dashboard:ask", "book a table", turns.asks_question(), Origin.WEB, "waiting for an answer")
        )
    for key, text, turn, origin, label in healthy:
        stage.warm(key)
        world.advance(3)
        stage.ask(key, text, turn, origin)
        stage.expect(key, untouched, label)
    stage.warm("agent:main:irc:direct:bob", person="irc:bob")
    world.advance(3)
    stage.ask("agent:main:irc:direct:bob", "read the whole book", turns.stays_silent(), Origin.CHANNEL)
    stage.expect("agent:main:irc:direct:bob", untouched, "chat-app run, alive")
    stage.warm("agent:main:dashboard:busy")
    world.advance(3)
    stage.ask("agent:main:dashboard:busy", "first request", turns.streams(7200))
    stage.ask("agent:main:dashboard:busy", "and a second one", turns.answers())
    stage.expect("agent:main:dashboard:busy", untouched, "a message queued behind a live run")
    _family(stage)
    stage.warm("agent:main:dashboard:done")
    stage.expect("agent:main:dashboard:done", untouched, "finished")


def _family(stage: _Stage) -> None:
    """A parent that waits for its sub-agent."""
    parent, child = "agent:main:dashboard:parent", "agent:main:subagent:researcher"
    stage.warm(parent)
    stage.world.advance(3)
    stage.ask(parent, "research it in depth", turns.spawns(((child, turns.streams(7200)),)))
    stage.expect(parent, Expected.UNTOUCHED, "waiting for its sub-agent")
    stage.expect(child, Expected.UNTOUCHED, "sub-agent at work")


def founding_incident(now: datetime, *, seed: int = 1) -> Scenario:
    """#59878: eleven rows of several kinds left ``running`` on 2026.3.24 by runs that died; a restart clears none."""
    stage = _Stage("59878", PROFILES["2026.3.24"], now - timedelta(hours=3), seed)
    world = stage.world
    keys = [f"agent:main:dashboard:w{n}" for n in range(5)] + [f"agent:home:room-{n}" for n in range(3)]
    keys += [f"agent:main:cron:c{n}" for n in range(3)]
    for key in keys:
        stage.warm(key)
    world.advance(300)
    for key in keys:
        stage.ask(key, f"work on {key}", turns.stays_silent())
    world.advance(60)
    world.process.restart(2.0)
    world.advance(600)
    world.process.restart(2.0)
    world.advance(now)
    for key in keys:
        expected = Expected.UNTOUCHED if ":cron:" in key else Expected.RECOVERED
        stage.expect(key, expected, "cron row left running" if ":cron:" in key else "row left running")
    return stage.scenario


def traps_world(now: datetime, profile: Profile = PROFILES["2026.5.18"], *, seed: int = 1) -> Scenario:
    """Nothing here may be resumed: finished work, stopped work, and live runs whose rows deny them."""
    stage = _Stage("traps", profile, now - timedelta(hours=2), seed)
    world = stage.world
    stage.warm("agent:main:dashboard:finished")
    stage.warm("agent:main:dashboard:stopped")
    world.advance(60)
    _stop_one(stage)
    world.edit_row("agent:main:dashboard:finished", hours=1.0)
    stage.expect("agent:main:dashboard:finished", Expected.UNTOUCHED, "answered, only its row says running")
    stage.expect("agent:main:dashboard:stopped", Expected.UNTOUCHED, "stopped by its user")
    world.advance((now - timedelta(minutes=30) - world.now).total_seconds())
    _healthy(stage)
    world.advance(now)
    return stage.scenario


def queued_world(now: datetime, profile: Profile = PROFILES["2026.9.6"], *, seed: int = 1) -> Scenario:
    """The main lane is full: two sessions wait their turn, untouched."""
    stage = _Stage("queued", profile, now - timedelta(hours=1), seed)
    world = stage.world
    world.lane_width = profile.lane_width
    keys = [f"agent:main:dashboard:q{n}" for n in range(profile.lane_width + 2)]
    for key in keys:
        stage.warm(key)
        world.advance(5)
    for key in keys:
        stage.ask(key, f"work on {key}", turns.streams(14400))
        world.advance(1)
        label = "waits for a lane" if key in keys[-2:] else "streaming"
        stage.expect(key, Expected.UNTOUCHED, label)
    world.advance(now)
    return stage.scenario


SCENARIOS: dict[str, Callable[[datetime], Scenario]] = {
    "demo": demo_world,
    "59878": founding_incident,
    "traps": traps_world,
    "queued": queued_world,
}

WATCHDOG = ClientInfo(device_id="watchdog", scopes=frozenset({"operator.read", "operator.write"}))
"""A client as the watchdog introduces itself, for tests that act without a wire."""
