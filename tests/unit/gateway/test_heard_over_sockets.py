"""Events from the simulated gateway to the real client, over real sockets: what polls then ask for, and what a flood does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from watchdog.adapters.clock import SystemClock
from watchdog.adapters.ledger import Ledger
from watchdog.adapters.unmetered import NoMeter
from watchdog.config.models import Config
from watchdog.config.policybook import build_policy_book
from watchdog.core.model import Snapshot
from watchdog.daemon.runner import Runner
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.endpoint import Endpoint
from watchdog.gateway.events import Heard
from watchdog.gateway.link import Credentials
from watchdog.gateway.listening import QUIET_POLLS, WORTH_AT_ONCE
from watchdog.gateway.secrets import Secret
from watchdog.service.errors import LedgerError
from watchdog.service.events import RecordedLog
from watchdog.service.report import PassReport
from watchdog.service.watch import Watch
from watchdog.simulator import sessions as turns
from watchdog.simulator.faults import Wire
from watchdog.simulator.handshake import Access
from watchdog.simulator.profiles import PROFILES
from watchdog.simulator.server import SimulatedGateway
from watchdog.simulator.world import World

from .support import OURS, STRANGER, ToldHost

SESSIONS = 200
VERSIONS = ("2026.5.18", "2026.9.6")


@dataclass(slots=True)
class Deaf(Wire):
    """Loses events while it is told to; ``served``: every answer that went out."""

    loses: bool = False
    served: list[dict[str, Any]] = field(default_factory=list)

    def carry(self, frame: dict[str, Any]) -> list[str]:
        if frame["type"] == "res":
            self.served.append(frame)
        elif self.loses and frame["event"] != "connect.challenge":
            return []
        return Wire.carry(self, frame)

    @property
    def lists(self) -> int:
        return sum("sessions" in (frame.get("payload") or ()) for frame in self.served)


class Setup:
    """A gateway with sessions at rest for an hour and more, and a client that polls it."""

    def __init__(self, version: str, *, hears: bool = True) -> None:
        self.world = World(PROFILES[version], datetime(2026, 11, 20, 12, 0, tzinfo=UTC), 1)
        for number in range(SESSIONS):
            self.world.session(f"agent:main:dashboard:{number}")
            self.world.advance(30)
        self.world.finished_turn("agent:main:dashboard:7", seconds=5)
        self.world.advance(3600)
        self.wire = Deaf(Random(1))
        access = Access(stale_after_ms=None)
        self.gateway = SimulatedGateway(self.world, access=access, wire=self.wire)
        self.client = GatewayClient(
            "home",
            lambda: Endpoint(self.gateway.url, Credentials(Secret(access.token))),
            device=OURS,
            probe_device=STRANGER,
            clock=SystemClock(),
            host=ToldHost(),
            hears_events=hears,
        )

    @property
    def is_heard(self) -> bool:
        return any(link.peer.is_subscribed for link in self.gateway._links)

    async def poll(self) -> Snapshot:
        self.wire.served.clear()
        await self.client.connect()
        return await self.client.list_sessions(frozenset())

    def heard(self) -> Heard:
        """What the client has heard since its last poll."""
        assert self.client._listener is not None
        return self.client._listener._heard

    def says(self, snapshot: Snapshot) -> bool:
        return {row.key: row.status.value for row in snapshot.sessions} == {
            key: session.status or "absent" for key, session in self.world.sessions.items()
        }


async def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that in ten seconds")


@contextlib.asynccontextmanager
async def _listening(version: str, *, hears: bool = True) -> AsyncIterator[Setup]:
    setup = Setup(version, hears=hears)
    async with setup.gateway:
        for _ in range(QUIET_POLLS + 3):
            await setup.poll()
        if hears:
            await _until(lambda: setup.is_heard)  # listening begins beside the polls
        for _ in range(2):
            await setup.poll()
        yield setup
        await setup.client.close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_poll_of_a_quiet_gateway_reads_one_row(version: str) -> None:
    async with _listening(version) as heard, _listening(version, hears=False) as unheard:
        for setup in (heard, unheard):
            snapshot = await setup.poll()
            assert setup.wire.lists == 1
            assert setup.says(snapshot)
        snapshot, other = await heard.poll(), await unheard.poll()
        assert len(snapshot.sessions) - len(snapshot.carried) == 1
        assert snapshot.size_bytes < other.size_bytes / 4
        assert snapshot.sessions == other.sessions


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_turn_is_heard_of_and_its_row_read(version: str) -> None:
    async with _listening(version) as setup:
        setup.world.begin("agent:main:dashboard:3", "hello", turns.streams(1.0))
        setup.gateway.wake()
        key = "agent:main:dashboard:3"
        await _until(lambda: key in setup.heard()._worked_on and setup.heard()._changes[key]["status"] == "running")
        snapshot = await setup.poll()
        assert setup.wire.lists == 1
        assert key not in snapshot.carried
        await _until(lambda: setup.heard()._changes.get(key, {}).get("status") == "done")
        assert setup.says(await setup.poll())


async def test_a_turn_that_came_and_went_is_asked_after_and_one_that_goes_on_is_listed() -> None:
    key = "agent:main:dashboard:3"
    setup = Setup("2026.9.6")
    async with setup.gateway:
        await setup.poll()  # too young to listen: it overhears
        setup.world.begin(key, "hello", turns.answers())
        setup.gateway.wake()
        await _until(lambda: key in setup.heard()._worked_on and setup.world.sessions[key].status == "done")
        setup.wire.served.clear()
        still = await setup.client.standstill(timedelta(minutes=1))
        assert still is not None
        assert still.until is None
        assert setup.wire.lists == 0
        assert [frame["payload"]["session"]["key"] for frame in setup.wire.served[1:]] == [key]
        setup.world.begin(key, "hello again", turns.stays_silent())
        setup.gateway.wake()
        await _until(lambda: key in setup.heard()._worked_on)
        assert await setup.client.standstill(timedelta(minutes=1)) is None
        await setup.client.close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_not_heard_is_found_by_the_same_poll(version: str) -> None:
    async with _listening(version) as setup:
        setup.wire.loses = True
        setup.world.begin("agent:main:dashboard:3", "hello", turns.stays_silent())
        setup.gateway.wake()
        await asyncio.sleep(1.5)
        snapshot = await setup.poll()
        assert setup.wire.lists == 2
        assert next(row for row in snapshot.sessions if row.key == "agent:main:dashboard:3").status == "running"
        assert not snapshot.is_sweep
        setup.wire.loses = False
        setup.world.begin("agent:main:dashboard:4", "hello", turns.answers())
        setup.gateway.wake()
        await _until(lambda: "agent:main:dashboard:4" in setup.heard()._worked_on)
        assert (await setup.poll()).is_sweep, "the next event shows by its number that some are missing"
        assert not (await setup.poll()).is_sweep


async def test_a_flood_ends_the_listening_and_changes_no_rhythm() -> None:
    every = timedelta(seconds=0.25)
    async with _listening("2026.9.6") as setup:
        book, clock, log = build_policy_book(Config()), SystemClock(), RecordedLog()
        ledger = Ledger.in_memory(wall=lambda: clock.now().wall)
        watch = Watch(setup.client, book, ledger, _NoNotes(), clock, log, NoMeter(), poll_every=every)
        reports: list[PassReport] = []

        async def after(report: PassReport) -> None:
            reports.append(report)

        runner = Runner(watch, every, clock, log, Random(1), after, _no_failure)
        running = asyncio.create_task(runner.run())
        for _ in range(WORTH_AT_ONCE // 500):
            setup.world.tell("agent:main:dashboard:7", reason="patch")
        setup.gateway.wake()
        await asyncio.sleep(2)
        passes = len(reports)
        await _until(lambda: not setup.is_heard)
        runner.stop()
        await running
        ledger.close()
    assert 1 <= passes <= timedelta(seconds=2) / every + 1
    assert all(report.is_good for report in reports)


class _NoNotes:
    def save(self, incident: str, number: int, text: str) -> str:
        raise AssertionError("nothing is done here")


async def _no_failure(problem: LedgerError) -> None:
    raise AssertionError(str(problem))
