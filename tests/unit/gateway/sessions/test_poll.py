"""The real client polls the simulated gateway over real sockets: one connection, and what it reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.faults import Wire
from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.server import SimulatedGateway
from openclaw_simulator.world import World
from tests.fakes.host import FakeHost
from tests.unit.gateway.support import OURS, STRANGER
from watchdog.adapters.clock import SystemClock
from watchdog.core.model import Snapshot
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.protocol import SignInSecrets
from watchdog.service.secret import Secret

SESSIONS = 200
VERSIONS = ("2026.5.18", "2026.9.6")
KEY = "agent:main:dashboard:3"


class Noting(Wire):
    """Counts answers and what is said unasked."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.answers = self.unasked = 0

    @property
    def is_faulty(self) -> bool:
        return True

    def carry(self, frame: dict[str, Any]) -> list[str]:
        self.answers += frame["type"] == "res"
        self.unasked += frame["type"] == "event" and frame["event"] == "agent"
        return Wire.carry(self, frame)


class Setup:
    """A gateway with sessions at rest for an hour and more, and a client that polls it."""

    def __init__(self, version: str) -> None:
        self.world = World(PROFILES[version], datetime(2026, 11, 20, 12, 0, tzinfo=UTC), 1)
        for number in range(SESSIONS):
            self.world.session(f"agent:main:dashboard:{number}")
            self.world.advance(30)
        self.world.advance(3600)
        self.wire = Noting(Random(1))
        access = AccessRules(stale_after_ms=None)
        self.gateway = SimulatedGateway(self.world, access=access, wire=self.wire)
        self.client = GatewayClient(
            "home",
            lambda: Endpoint(self.gateway.url, SignInSecrets(Secret(access.token))),
            device=OURS,
            probe_device=STRANGER,
            clock=SystemClock(),
            host=FakeHost(),
        )

    async def poll(self) -> Snapshot:
        self.wire.answers = 0
        await self.client.connect()
        return await self.client.list_sessions(frozenset())

    def says(self, snapshot: Snapshot) -> bool:
        return {row.key: row.status.value for row in snapshot.sessions} == {
            key: session.status or "absent" for key, session in self.world.sessions.items()
        }


@contextlib.asynccontextmanager
async def _polled(version: str) -> AsyncIterator[Setup]:
    setup = Setup(version)
    async with setup.gateway:
        await setup.poll()
        yield setup
        await setup.client.close()


async def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that in ten seconds")


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_poll_goes_over_one_connection_that_asks_for_no_events(version: str) -> None:
    async with _polled(version) as setup:
        for _ in range(5):
            await setup.poll()
            (link,) = setup.gateway._links
            assert not link.peer.is_subscribed


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_poll_of_a_quiet_gateway_reads_a_few_rows_with_one_request(version: str) -> None:
    async with _polled(version) as setup:
        snapshot = await setup.poll()
        assert setup.wire.answers == 1
        assert len(snapshot.sessions) - len(snapshot.carried) < 20
        assert setup.says(snapshot)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_turn_is_seen_by_the_next_poll_while_it_goes_on_and_when_it_is_over(version: str) -> None:
    async with _polled(version) as setup:
        setup.world.begin(KEY, "hello", turns.streams(1.0))
        setup.gateway.wake()
        await _until(lambda: setup.world.sessions[KEY].status == "running")
        snapshot = await setup.poll()
        assert KEY not in snapshot.carried
        assert not snapshot.is_sweep
        await _until(lambda: setup.world.sessions[KEY].status == "done")
        assert setup.says(await setup.poll())


async def test_what_a_gateway_tells_every_operator_of_runs_changes_nothing() -> None:
    async with _polled("2026.9.6") as setup:
        for number in range(3):
            setup.world.begin(f"agent:main:dashboard:{number}", "hello", turns.answers())
        setup.gateway.wake()
        await _until(lambda: setup.wire.unasked >= 3)
        await _until(lambda: sum(one.status == "done" for one in setup.world.sessions.values()) == 3)
        assert setup.says(await setup.poll())
