"""Built from the configuration, fed by real passes, replaced on reload, finished on drain."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.fakes.clock import START, ManualClock
from tests.fakes.gateway import FakeGateway
from tests.fakes.ledgers import memory_ledger
from tests.fakes.notes import FakeNotes
from watchdog.config import LoadedConfig, parse
from watchdog.core.model import GatewayPhase
from watchdog.gateway_restart.decision import GatewayCondition, Supervision, condition_of
from watchdog.gateway_restart.restarter import SupervisorAnswer
from watchdog.gateway_restart.restarts import Restarts
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service import errors
from watchdog.service.events import MemoryLog
from watchdog.service.null_meter import NullMeter
from watchdog.service.pass_report import PassReport
from watchdog.service.watch import Watch

from .support import HANGS, MINUTE, NAME, POLL, REFUSED_CONNECTION, RUNNING, failed, good

GATEWAYS = f"gateways: [{{name: {NAME}, url: 'ws://127.0.0.1:1'}}]\n"


def loaded(section: str = "", more: str = "") -> LoadedConfig:
    return parse(GATEWAYS + (f"gateway_restart: {section}\n" if section else "") + more, env={})


@dataclass
class Place:
    """The daemon's part, with a command that leaves a mark each time."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(may_sleep=False))
    log: MemoryLog = field(default_factory=MemoryLog)
    ledger: SqliteLedger = field(init=False)
    restarts: Restarts = field(init=False)
    watch: Watch = field(init=False)
    gateway: FakeGateway = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = memory_ledger(self.clock)
        self.restarts = Restarts(self.ledger, self.clock, self.log, {"PATH": "/usr/bin:/bin"})
        self.gateway = FakeGateway(self.clock)
        self.watch = Watch(
            self.gateway,
            loaded().policy_book,
            self.ledger,
            FakeNotes(),
            self.clock,
            self.log,
            NullMeter(),
        )

    @property
    def section(self) -> str:
        code = f"open({str(self.folder / 'marks')!r}, 'a').write('x')"
        return f'{{command: [{sys.executable}, -c, "{code}"]}}'

    @property
    def marks(self) -> int:
        file = self.folder / "marks"
        return len(file.read_text()) if file.exists() else 0

    async def see(self, report: PassReport) -> None:
        self.restarts.note(self.watch, report)
        if self.restarts._acting is not None:
            await self.restarts._acting

    async def hang(self, passes: int = 14) -> None:
        for _ in range(passes):
            await self.see(failed(HANGS, self.clock.advance(POLL)))

    async def outage(self) -> None:
        await self.see(good(self.clock.advance(POLL)))
        await self.hang()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.ledger.close()


async def test_off_by_default(place: Place) -> None:
    place.restarts.configure(loaded())
    await place.outage()
    assert place.restarts._acting is None
    assert place.log.lines == []


async def test_a_real_command_runs_once(place: Place) -> None:
    place.restarts.configure(loaded(place.section))
    await place.outage()
    assert place.marks == 1
    await place.hang(4)
    assert place.marks == 1


@pytest.mark.parametrize("more", ["recovery: {mode: observe}\n", None])
async def test_observe_mode_however_it_was_asked_for(place: Place, more: str | None) -> None:
    config = loaded(place.section, more or "")
    place.restarts.configure(config)
    place.watch.take_book(config.policy_book)
    place.watch.is_observing = more is None
    await place.outage()
    assert place.marks == 0


@pytest.mark.parametrize(("hours", "restarts"), [("Fri 12:00-13:00 UTC", 1), ("Fri 13:00-12:00 UTC", 0)])
async def test_the_hours_for_deeds(place: Place, hours: str, restarts: int) -> None:
    config = loaded(place.section, f"recovery: {{deeds_between: {hours}}}\n")
    place.restarts.configure(config)
    place.watch.take_book(config.policy_book)
    await place.outage()
    assert place.marks == restarts


async def test_a_pause(place: Place) -> None:
    place.restarts.configure(loaded(place.section))
    place.ledger.pause(at=START.wall, until=None, gateway=None, session=None, reason="x", who="ann")
    await place.outage()
    assert place.marks == 0


async def test_a_ledger_that_is_out(place: Place) -> None:
    place.restarts.configure(loaded(place.section))
    place.watch.ledgers.problem = "The disk is full."
    await place.outage()
    assert place.marks == 0


async def test_a_young_process(place: Place) -> None:
    place.restarts.process_start = lambda _gateway: place.clock.now().wall - MINUTE
    place.restarts.configure(loaded(place.section))
    await place.outage()
    assert place.marks == 0


async def test_another_gateways_trouble_is_not_this_ones(place: Place) -> None:
    two = GATEWAYS.replace("]", ", {name: office, url: 'ws://127.0.0.1:2'}]")
    section = place.section.replace("{command", "{gateway: office, command")
    place.restarts.configure(parse(f"{two}gateway_restart: {section}\n", env={}))
    await place.outage()
    assert place.marks == 0


# ---------------------------------------------------------------- reload and drain


async def test_a_reload_takes_the_section_away_and_brings_it_back(place: Place) -> None:
    place.restarts.configure(loaded(place.section))
    await place.see(good(place.clock.advance(POLL)))
    await place.hang(9)
    place.restarts.configure(loaded())
    await place.hang(9)
    assert place.marks == 0
    place.restarts.configure(loaded(place.section))
    await place.outage()
    assert place.marks == 1


async def test_a_reload_of_something_else_keeps_what_was_seen(place: Place) -> None:
    place.restarts.configure(loaded(place.section))
    await place.see(good(place.clock.advance(POLL)))
    await place.hang(9)
    place.restarts.configure(loaded(place.section, "log: {level: debug}\n"))
    await place.hang(3)
    assert place.marks == 1
    place.restarts.configure(loaded(place.section, "log: {level: info}\n"))
    await place.hang(3)
    assert place.marks == 1


async def test_a_gateway_that_moved_is_another_one(place: Place) -> None:
    place.restarts.configure(loaded(place.section))
    await place.see(good(place.clock.advance(POLL)))
    await place.hang(9)
    elsewhere = GATEWAYS.replace("127.0.0.1:1", "127.0.0.1:9")
    place.restarts.configure(parse(f"{elsewhere}gateway_restart: {place.section}\n", env={}))
    await place.hang()
    assert place.marks == 0, "it was never reached there"


async def test_a_longer_patience_counts_from_the_reload_on(place: Place) -> None:
    place.restarts.configure(loaded(place.section))
    await place.see(good(place.clock.advance(POLL)))
    await place.hang(9)
    place.restarts.configure(loaded(place.section.replace("{command", "{min_down: 30m, command")))
    await place.hang(20)
    assert place.marks == 0


@dataclass
class Standstill:
    """A supervisor that takes its time."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    is_done: bool = False

    async def __call__(self) -> SupervisorAnswer:
        self.asked.set()
        await self.go_on.wait()
        self.is_done = True
        return SupervisorAnswer(False, "exit status 0")


class SlowService:
    how = "a slow one"

    def __init__(self, still: Standstill) -> None:
        self.restart = still

    async def look(self, _now: object) -> Supervision:
        return RUNNING


async def slowly(place: Place) -> Standstill:
    place.restarts.configure(loaded(place.section))
    still = Standstill()
    assert place.restarts._restarter is not None
    place.restarts._restarter.service = cast(Any, SlowService(still))
    place.restarts.note(place.watch, good(place.clock.advance(POLL)))
    for _ in range(14):
        place.restarts.note(place.watch, failed(HANGS, place.clock.advance(POLL)))
        await asyncio.sleep(0)
    await still.asked.wait()
    return still


async def test_passes_go_on_while_the_supervisor_works_and_a_drain_lets_it_finish(place: Place) -> None:
    still = await slowly(place)
    for _ in range(20):
        place.restarts.note(place.watch, failed(HANGS, place.clock.advance(POLL)))
    asyncio.get_running_loop().call_soon(still.go_on.set)
    await place.restarts.close(20)
    assert still.is_done
    (restart,) = place.ledger.restarts.restarts(NAME, START.wall)
    assert restart.outcome is None, "what it answers, a later look finds out"


async def test_a_drain_does_not_wait_for_ever(place: Place) -> None:
    still = await slowly(place)
    await place.restarts.close(0.05)
    assert not still.is_done
    assert len(place.ledger.restarts.restarts(NAME, START.wall)) == 1


# ---------------------------------------------------------------- what a real pass reports


async def test_a_pass_reports_what_ended_it(place: Place) -> None:
    place.gateway.failing["connect"] = REFUSED_CONNECTION
    report = await place.watch.pass_once()
    assert (report.error, report.was_answered, report.last_disconnect) == (REFUSED_CONNECTION, False, None)
    assert condition_of(report) is GatewayCondition.SICK


async def test_a_pass_reports_how_the_connection_ended_until_there_is_a_new_one(place: Place) -> None:
    place.gateway.drop(errors.GatewayDraining("home: it stops."))
    goodbye = place.gateway.loss
    place.gateway.failing["connect"] = REFUSED_CONNECTION
    for _ in range(3):
        assert (await place.watch.pass_once()).last_disconnect == goodbye
    place.gateway.failing.clear()
    assert (await place.watch.pass_once()).is_good
    place.gateway.failing["connect"] = REFUSED_CONNECTION
    assert (await place.watch.pass_once()).last_disconnect is None


async def test_a_pass_that_fails_on_one_session_says_that_the_list_was_answered(place: Place) -> None:
    class Choking:
        async def judge_all(self, *_: object) -> None:
            raise HANGS

    place.watch.observer = cast(Any, Choking())
    report = await place.watch.pass_once()
    assert (report.phase, report.was_answered) == (GatewayPhase.UNRESPONSIVE, True)
    assert condition_of(report) is GatewayCondition.ANSWERS
