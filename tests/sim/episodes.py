"""One seed, one episode: a world, its people, its weather, and the real watchdog over it, to the end of all trouble."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import cast

from openclaw_simulator.faults import Wire
from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.locks import lock_holder
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.world import World
from tests.fakes.host import FakeHost
from tests.sim import judge as judging
from tests.sim.judge import Judge, Tally, Violation
from tests.sim.lies import Lies
from tests.sim.lives import Killed, Life, LivedLedger, LivedNotes
from tests.sim.paced_runner import SkippingRunner
from tests.sim.people import Company, Habits, People
from tests.sim.timeline import HostClock, Timeline, VirtualLoop
from tests.sim.weather import Weather
from tests.sim.wire import Wiring
from watchdog.config.models import Config
from watchdog.config.policybook import build_policy_book
from watchdog.core.model import Lock, LockSight
from watchdog.core.policy import PolicyBook
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.gateway.wire.protocol import SignInSecrets
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.errors import LedgerError
from watchdog.service.events import Event, MemoryLog
from watchdog.service.ledger import Ledger as LedgerPort
from watchdog.service.ledger import Outcome
from watchdog.service.null_meter import NullMeter
from watchdog.service.pass_report import PassReport
from watchdog.service.secret import Secret
from watchdog.service.watch import Watch, may_act

GATEWAY = "home"
STATE_DIR = "/simulated/.openclaw"
GATEWAY_PID = 4242
BEGINNING = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
VERSIONS = tuple(PROFILES)
STORMS = 0.1
"""Share of seeds whose world is stormy."""
COMPANY = 0.3
"""Share of seeds whose sessions have several people."""
LYING = 0.4
"""Share of seeds whose gateway tells lies (``lies``)."""
LIES_PER_HOUR = 0.15
SAID = frozenset(
    {
        Event.SESSION_STUCK,
        Event.SESSION_CLEARED,
        Event.SESSION_QUARANTINED,
        Event.SESSION_RELEASED,
        Event.SESSION_UNKNOWN,
        Event.SESSION_UNANSWERED,
        Event.SESSION_LONG_RUNNING,
        Event.RECOVERY_HELD,
        Event.RECOVERY_STARTED,
        Event.RECOVERY_SUCCEEDED,
        Event.RECOVERY_INEFFECTIVE,
        Event.RECOVERY_REFUSED,
        Event.RECOVERY_INDETERMINATE,
        Event.GATEWAY_RESTARTED,
        Event.GATEWAY_DISCONNECTED,
        Event.GATEWAY_UNHEALTHY,
        Event.GATEWAY_CONNECTED,
        Event.FLEET_BREAKER_OPENED,
        Event.FLEET_BREAKER_CLOSED,
    }
)
"""Log events that belong into the story of a violation."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that is drawn from the seed before the world begins."""

    seed: int
    version: str
    sessions: int
    hours: float
    turns_per_hour: float
    troubles_per_hour: float
    travel: float
    is_remote: bool
    """The gateway is on another machine: no lock files are seen."""
    run_timeout: float | None
    kills: bool
    """The watchdog is killed after its n-th effect, again and again."""
    has_company: bool = False
    """Several people share sessions, some with fewer rights; operators write into chats' sessions; people type ``/stop``."""
    has_lies: bool = False
    """The gateway tells what ``lies`` has, beside the weather."""
    skips: bool = True
    """Passes that could not see anything new are not made. Off: every one is (slow, for comparison)."""

    @classmethod
    def of(cls, seed: int) -> Setting:
        rng = Random(seed)
        calm = cls(
            seed=seed,
            version=VERSIONS[seed % len(VERSIONS)],
            sessions=rng.choice((6, 14, 28, 40)),
            hours=rng.choice((12.0, 24.0, 48.0, 96.0)),
            turns_per_hour=rng.choice((0.005, 0.01, 0.02, 0.05, 0.1)),
            troubles_per_hour=rng.choice((0.05, 0.1, 0.3)),
            travel=rng.choice((0.0, 0.002, 0.02, 0.2)),
            is_remote=rng.random() < 0.15,
            run_timeout=rng.choice((None, None, 600.0, 3600.0)),
            kills=rng.random() < 0.5,
            has_company=Random(f"company {seed}").random() < COMPANY,
            has_lies=Random(f"lies {seed}").random() < LYING,
        )
        return calm.stormy(rng) if rng.random() < STORMS else calm

    def stormy(self, rng: Random) -> Setting:
        """A small busy world in which something is always going wrong."""
        return replace(
            self,
            sessions=rng.choice((6, 12)),
            hours=rng.choice((12.0, 24.0)),
            turns_per_hour=rng.choice((0.2, 0.5)),
            troubles_per_hour=rng.choice((0.5, 1.0, 2.0)),
            kills=True,
        )


@dataclass(slots=True)
class Result:
    """What came of one episode."""

    setting: Setting
    session_hours: float
    turns: int
    passes: int
    lives: int
    troubles: Counter[str]
    tally: Tally
    violations: list[Violation]
    story: dict[str, list[str]]
    """The timeline of every session with a violation, and of its gateway."""
    fingerprint: str
    """Of every deed and message: equal for equal seeds."""
    befell: Counter[str] = field(default_factory=Counter)
    """What befell the replicas, where several share the gateway (``replicas.Befell``)."""
    cpu: float = 0.0
    """Seconds that it took, as ``fleet`` measured."""


@dataclass
class _SimHost(FakeHost):
    """Sees the lock files that a simulated gateway holds. Its transcripts are no files; its chat app hands over at once."""

    world: World = field(kw_only=True)

    def lock_sight(
        self, state_dir: str, agent_id: str | None, session_id: str, *, gateway_pid: int | None
    ) -> LockSight:
        session = next((entry for entry in self.world.sessions.values() if entry.session_id == session_id), None)
        pid = lock_holder(self.world, session, GATEWAY_PID) if session is not None else None
        if pid is None:
            return LockSight(Lock.NONE)
        return LockSight(Lock.HELD_BY_GATEWAY if pid == gateway_pid else Lock.HELD_BY_OTHER, pid)


@dataclass(slots=True)
class _StoryLog(MemoryLog):
    """Hands the events of a story to the judge, and keeps none."""

    judge: Judge | None = None

    def event(self, name: Event, /, **fields: object) -> None:
        if self.judge is not None and name in SAID:
            words = [
                f"{field}={fields[field]}"
                for field in ("attempt", "step", "outcome", "verified_by", "blockers", "reason")
                if fields.get(field) is not None
            ]
            self.judge.note(str(fields.get("session", "")), f"{name.value} {' '.join(words)}")


@dataclass(slots=True)
class Episode:
    """One run of the simulation. ``book``: another configuration than the default one."""

    setting: Setting
    book: PolicyBook = field(default_factory=lambda: build_policy_book(Config()))
    world: World = field(init=False)
    timeline: Timeline = field(init=False)
    judge: Judge = field(init=False)
    weather: Weather = field(init=False)
    people: People = field(init=False)
    lies: Lies = field(init=False)
    _wiring: Wiring = field(init=False)
    _ledger: SqliteLedger = field(init=False)
    _life: Life = field(init=False)
    _lives: int = field(init=False, default=0)
    _passes: int = field(init=False, default=0)
    _task: asyncio.Task[None] | None = field(init=False, default=None)
    _rng: Random = field(init=False)
    _is_calm: bool = field(init=False, default=False)
    _watch: Watch | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        setting = self.setting
        self.world = World(PROFILES[setting.version], BEGINNING, setting.seed)
        self.world.run_timeout_seconds = setting.run_timeout
        self.timeline = Timeline(self.world)
        self._rng = Random(setting.seed + 1)
        self._ledger = SqliteLedger.in_memory(wall=lambda: self.timeline.wall)
        self.judge = Judge(self.world, self.timeline, self._ledger, self.book, GATEWAY)
        self.judge.explain = self._explain
        self._life = Life(0)
        wire = Wire(Random(setting.seed + 2))
        self._wiring = Wiring(
            self.world,
            AccessRules(stale_after_ms=None),
            wire,
            setting.travel,
            self.judge.asked,
            self.judge.listed,
            self.judge.idle,
            self.judge.connected,
        )
        company = Company(self.world, Random(setting.seed + 5)) if setting.has_company else None
        self.people = People(self.world, Random(setting.seed + 3), Habits(setting.turns_per_hour), company)
        self.weather = Weather(
            self.world, self.timeline, wire, Random(setting.seed + 4), self._kill_watchdog, self._pause
        )
        self.lies = Lies(self.world, Random(setting.seed + 6), self.weather.struck)

    def run(self) -> Result:
        """To the end of all trouble, and ``AT_LAST`` beyond it."""
        loop = VirtualLoop(self.timeline)
        try:
            loop.run_until_complete(self._run())
        finally:
            loop.close()
            self._ledger.close()
        return self._result()

    # ------------------------------------------------------------ the course of things

    async def _run(self) -> None:
        setting = self.setting
        self.people.populate(setting.sessions)
        self.weather.arm(setting.hours, per_hour=setting.troubles_per_hour)
        if setting.has_lies:
            self.lies.arm(setting.hours, LIES_PER_HOUR)
        watching = asyncio.create_task(self._keep_watching())
        await self._until(self.world.now_ms + round(max(setting.hours * 3600, self.weather.lull_seconds) * 1000))
        self.people.go_home()
        self.lies.clear_up()
        self.weather.clear_up()
        self._is_calm = True
        for life in self._living():
            life.effects_left = None  # its end is trouble, too
        calm_ms = self.world.now_ms
        await self._until(calm_ms + round(judging.SOON.total_seconds() * 1000))
        self.judge.check_told()
        await self._until(calm_ms + round(judging.AT_LAST.total_seconds() * 1000))
        self.judge.check_settled()
        self.judge.check_people()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError, Killed):
            await watching

    def _living(self) -> list[Life]:
        return [self._life]

    async def _until(self, when_ms: int) -> None:
        """True time, not the loop's: a host may have slept meanwhile."""
        then = asyncio.Event()
        self.world.agenda.outside((when_ms - self.world.now_ms) / 1000, then.set)
        await then.wait()

    async def _keep_watching(self) -> None:
        """What the service manager does: start it, and start it again."""
        while True:
            self._task = asyncio.create_task(self._live())
            try:
                await self._task
            except (Killed, asyncio.CancelledError):
                if not self._life.is_over:
                    raise  # the episode ends
            self.judge.note("", f"the watchdog was killed (life {self._life.number}, effect {self._life.effects})")
            self._wiring.cut(self._life)
            await asyncio.sleep(self._rng.choice((0.5, 5.0, self._rng.uniform(5, 1800))))

    async def _live(self) -> None:
        """One life of the watchdog, from start to kill."""
        limit = None
        if self.setting.kills and not self._is_calm:
            limit = self._rng.choice((None, self._rng.randint(1, 20), self._rng.randint(1, 120)))
        self._life = life = Life(self._lives, limit)
        self._lives += 1
        self.judge.started()
        clock = HostClock(self.timeline)
        ledger = cast(LedgerPort, LivedLedger(self._ledger, life, self._changed))
        self._ledger.settle_start_up(clock.now().wall)
        log = _StoryLog(judge=self.judge)
        device, probe = _devices(self.setting.seed)
        state_dir = None if self.setting.is_remote else STATE_DIR
        endpoint = Endpoint(
            "ws://127.0.0.1:18789", SignInSecrets(Secret(self._wiring.access.token)), state_dir, GATEWAY_PID
        )
        client = GatewayClient(
            GATEWAY,
            lambda: endpoint,
            device=device,
            probe_device=probe,
            clock=clock,
            host=_SimHost(world=self.world),
            steps=may_act(self.book),
            dial=self._wiring.dial_for(life),
        )
        watch = Watch(client, self.book, ledger, LivedNotes(life=life), clock, log, NullMeter())
        self._watch = watch
        runner = SkippingRunner(
            watch,
            watch.pacer.poll_every,
            clock,
            log,
            Random(self.setting.seed + life.number),
            self._after_pass,
            _no_failure,
        )
        runner.world = self.world if self.setting.skips else None
        runner.note_answer = client.boots.note_answer
        runner.is_clear = lambda: self.weather.armed.is_over
        try:
            await runner.run()
        finally:
            self._passes += runner.passes

    async def _after_pass(self, _report: PassReport) -> None:
        self.judge.after_pass()

    def _explain(self, key: str) -> str:
        report = self._watch.last_report if self._watch is not None else None
        if report is None or not report.is_good:
            return "no good pass"
        words = [
            f"verdict {item.judgement.verdict.value} ({item.judgement.reason})"
            for item in report.judged
            if item.session.key == key
        ]
        words += [
            f"{decision.action.value}: {', '.join(decision.blocker_names) or decision.step}"
            for decision in report.decisions
            if decision.judged.session.key == key
        ]
        return ", ".join(words) or "not in the list"

    def _changed(self, name: str, args: object, _named: object) -> None:
        if name == "release" and isinstance(args, tuple):
            self.judge.released(str(args[1]))
        elif name == "close_incident" and isinstance(args, tuple):
            self.judge.closed(str(args[0]), Outcome(args[1]))

    # ------------------------------------------------------------ what the weather may do

    def _kill_watchdog(self) -> None:
        if self._task is not None and not self._task.done() and not self._life.is_over:
            self._life.is_over = True
            self._task.cancel()

    def _pause(self, span: timedelta, session: str | None) -> None:
        wall = self.timeline.wall
        self._ledger.pause(
            at=wall, until=wall + span, gateway=GATEWAY, session=session, reason="simulated", who="an operator"
        )
        self.judge.note(session or "", f"paused for {span}")

    # ------------------------------------------------------------ the end

    def _result(self) -> Result:
        judge, world = self.judge, self.world
        hours = (world.now_ms - BEGINNING.timestamp() * 1000) / 3_600_000
        keys = {violation.key for violation in judge.violations}
        return Result(
            self.setting,
            hours * self.setting.sessions,
            self.people.turns,
            self._passes,
            self._lives,
            Counter(what for _, what in self.weather.struck),
            judge.tally,
            judge.violations,
            {key: self._story(key) for key in sorted(keys)},
            self._fingerprint(),
        )

    def _story(self, key: str) -> list[str]:
        """Everything that bears on one session in the hours before its first violation, oldest first."""
        began = round(BEGINNING.timestamp() * 1000)
        first = min(violation.at_s for violation in self.judge.violations if violation.key == key) * 1000 + began
        stalls = [
            (stall.since_ms, f"STALL {stall.cause.value} while {stall.doing}")
            for stall in self.world.stalls
            if stall.key == key
        ]
        ends = [
            (stall.ended_ms, f"stall ended by {stall.ended_by}")
            for stall in self.world.stalls
            if stall.key == key and stall.ended_ms is not None
        ]
        said = [(at, words) for at, where, words in self.judge.timeline_notes if where in ("", key)]
        weather = [(at, f"weather: {what}") for at, what in self.weather.struck]
        lines = sorted([*stalls, *ends, *said, *weather], key=lambda line: line[0])
        kept = [line for line in lines if line[0] <= first + 60_000][-60:]
        return [f"{(at - began) / 1000:>10.1f}s  {words}" for at, words in kept]

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for deed in self.world.deeds:
            digest.update(f"{deed.at_ms} {deed.method} {deed.key} {deed.truth} {deed.effect}\n".encode())
        for owed in self.judge.messages:
            digest.update(f"{owed.created_at} {owed.message.kind} {owed.message.session}\n".encode())
        return digest.hexdigest()[:16]


async def _no_failure(_problem: LedgerError) -> None:
    raise AssertionError("the ledger in memory cannot fail")


def _devices(seed: int) -> tuple[DeviceIdentity, DeviceIdentity]:
    keys = [hashlib.sha256(f"{seed} {name}".encode()).digest() for name in ("device", "probe")]
    device, probe = (DeviceIdentity.of(key) for key in keys)
    return device, probe


def run(seed: int, *, hours: float | None = None, skips: bool = True) -> Result:
    """The episode of one seed; ``hours``: of faulty life, instead of what the seed draws."""
    setting = replace(Setting.of(seed), skips=skips)
    return Episode(setting if hours is None else replace(setting, hours=hours)).run()
