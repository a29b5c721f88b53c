"""What goes wrong, seeded: with the gateway, the wire, the host, the provider, the disk, and the watchdog itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from random import Random

from openclaw_simulator import sessions as turns
from openclaw_simulator.faults import ALL_KINDS, Armed, Fault, FaultKind, Wire, schedule
from openclaw_simulator.process import Phase
from openclaw_simulator.world import World
from tests.sim.timeline import Timeline

FOREIGN_PID = 31337


class Trouble(StrEnum):
    """Faults beside those of ``openclaw_simulator.faults``."""

    WATCHDOG_KILLED = "watchdog_killed"
    CLOCKS_SET = "clocks_set"
    """The host's wall clock steps: the watchdog's and the gateway's."""
    PROVIDER_SILENT = "provider_silent"
    """New turns hang, ours too."""
    PROVIDER_FAILS = "provider_fails"
    CLI_LOCKS = "cli_locks"
    """Another process holds a session file's lock (3.24, 4.14)."""
    PAUSE = "pause"
    """An operator's hold."""
    CRASH_WITH_WORK = "crash_with_work"
    """Several turns begin, and the process is killed in the middle of them."""


@dataclass(slots=True)
class Weather:
    """All trouble of one world; over when ``is_over``."""

    world: World
    timeline: Timeline
    wire: Wire
    rng: Random
    kill_watchdog: Callable[[], None]
    pause: Callable[[timedelta, str | None], None]
    lull_seconds: float = 0.0
    """How long the last thing entered here lasts at most, from the start."""
    struck: list[tuple[int, str]] = field(default_factory=list)
    armed: Armed = field(init=False)

    def __post_init__(self) -> None:
        self.armed = Armed(self.world, self.wire)

    def arm(self, hours: float, *, per_hour: float) -> None:
        """Enter everything that will go wrong within ``hours`` from now."""
        rng, later = self.rng, self.world.agenda.outside
        host = (FaultKind.HOST_SLEEP, FaultKind.CLOCK_JUMP)
        for fault in schedule(rng, hours, per_hour=per_hour * 0.6, kinds=ALL_KINDS):
            self._lasts(fault.at + fault.seconds)
            if fault.kind in host:
                later(fault.at, self._host, fault)
            else:
                self.armed.arm((fault,))
                later(fault.at, self._note, fault.kind.value)
        at = rng.expovariate(per_hour * 0.4) * 3600
        while at < hours * 3600:
            later(at, self._strike, rng.choice(tuple(Trouble)))
            at += rng.expovariate(per_hour * 0.4) * 3600

    @property
    def is_over(self) -> bool:
        return self.armed.is_over and self.world.now_ms >= self.lull_seconds * 1000

    def clear_up(self) -> None:
        """The end of all trouble, whatever was going on."""
        world = self.world
        if world.process.is_frozen:
            world.process.thaw()
        self.armed._calm()
        if world.process.phase is Phase.DOWN:
            world.process.start()
        self._provider_recovers()
        for session in world.sessions.values():
            session.foreign_lock_pid = None

    # ------------------------------------------------------------ inside

    def _lasts(self, seconds: float) -> None:
        self.lull_seconds = max(self.lull_seconds, seconds)

    def _note(self, what: str) -> None:
        self.struck.append((self.world.now_ms, what))

    def _host(self, fault: Fault) -> None:
        self._note(fault.kind.value)
        if fault.kind is FaultKind.HOST_SLEEP:
            self.timeline.sleep_host(fault.seconds)
        else:  # the gateway's clock alone: another machine's, or set between two reads
            self.world.skew_ms += round(fault.seconds * 1000)

    def _strike(self, trouble: Trouble) -> None:
        world, rng = self.world, self.rng
        self._note(trouble.value)
        later = world.agenda.outside
        match trouble:
            case Trouble.WATCHDOG_KILLED:
                self.kill_watchdog()
            case Trouble.CLOCKS_SET:
                step = rng.choice((-1, 1)) * rng.uniform(1, 7200)
                self.timeline.wall_skew += timedelta(seconds=step)
                world.skew_ms += round(step * 1000)
            case Trouble.PROVIDER_SILENT:
                world.provider.usual = turns.stays_silent()
                later(rng.uniform(60, 5400), self._provider_recovers)
            case Trouble.PROVIDER_FAILS:
                world.provider.usual = turns.retries(3, 4.0)
                later(rng.uniform(60, 5400), self._provider_recovers)
            case Trouble.CLI_LOCKS:
                session = rng.choice(list(world.sessions.values()))
                session.foreign_lock_pid = FOREIGN_PID
                later(rng.uniform(10, 7200), self._let_go, session.key)
            case Trouble.PAUSE:
                key = rng.choice((None, rng.choice(list(world.sessions))))
                self.pause(timedelta(seconds=rng.uniform(60, 7200)), key)
            case Trouble.CRASH_WITH_WORK:
                self._crash_with_work()

    def _provider_recovers(self) -> None:
        self.world.provider.usual = turns.answers()

    def _let_go(self, key: str) -> None:
        self.world.sessions[key].foreign_lock_pid = None

    def _crash_with_work(self) -> None:
        world, rng = self.world, self.rng
        process = world.process
        if process.phase is not Phase.UP or process.is_frozen:
            return
        keys = rng.sample(sorted(world.sessions), min(len(world.sessions), rng.randint(1, 12)))
        for key in keys:
            if world.sessions[key].created_via == "channel":
                world.chat.person_writes(key, f"work in {key}", turns.runs_long_tool(1800.0))
            else:
                world.begin(key, f"work in {key}", turns.runs_long_tool(1800.0), device_id="control-ui")
        end = rng.choice((process.kill, process.terminate, process.restart_in_process))
        world.agenda.outside(rng.uniform(3, 900), self._end_process, end)

    def _end_process(self, end: Callable[[], None]) -> None:
        end()
        self.world.agenda.outside(self.rng.uniform(1, 60), self._start_again)

    def _start_again(self) -> None:
        if self.world.process.phase is Phase.DRAINING:
            self.world.agenda.outside(1.0, self._start_again)
        else:
            self.world.process.start()
