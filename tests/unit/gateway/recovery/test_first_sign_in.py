"""The real client, every byte of it, at the simulated door of a release that approves what a device asks for first."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from openclaw_simulator.faults import Wire
from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.profiles import V2026_4_2
from openclaw_simulator.world import World
from tests.fakes.clock import START, ManualClock
from tests.fakes.host import FakeHost
from tests.sim.lives import Life
from tests.sim.wire import Asked, Wiring
from tests.unit.gateway.scene import ADMIN, LADDER, READ, WRITE
from tests.unit.gateway.support import OURS, STRANGER
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import APPROVAL_CHECK
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.protocol import SignInSecrets
from watchdog.service import errors
from watchdog.service.secret import Secret

ALL = frozenset({READ, WRITE, ADMIN})
NOBODY = frozenset[Step]()


@dataclass
class Door:
    """One gateway, and the programs of one machine in front of it."""

    access: AccessRules = field(default_factory=lambda: AccessRules(stale_after_ms=None))
    asked: list[Asked] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)
    is_known: bool = False

    def __post_init__(self) -> None:
        world = World(V2026_4_2, START.wall, seed=1)
        self._wiring = Wiring(
            world, self.access, Wire(Random(1)), 0.0, self.asked.append, lambda _: None, lambda: None, lambda: None
        )

    def client(self, steps: frozenset[Step], configured: frozenset[Step]) -> GatewayClient:
        secrets = SignInSecrets(Secret(self.access.token))
        return GatewayClient(
            "home",
            lambda: Endpoint("ws://127.0.0.1:18789", secrets, is_known=self.is_known),
            device=OURS,
            probe_device=STRANGER,
            clock=self.clock,
            host=FakeHost(),
            steps=steps,
            configured=configured,
            on_let_in=self._let_in,
            dial=self._wiring.dial_for(Life(0)),
        )

    def _let_in(self, _url: str) -> None:
        self.is_known = True

    @property
    def approved(self) -> frozenset[str]:
        return self.access.paired[OURS.device_id]

    async def may_write(self, client: GatewayClient) -> bool:
        """Asked of the gateway itself, over the connection that polls."""
        try:
            await client._call("sessions.abort", {"key": "agent:main:nobody"})
        except errors.ScopeRefused:
            return False
        return True


@pytest.mark.parametrize("steps", [LADDER, NOBODY], ids=["the daemon", "check"])
async def test_whoever_comes_first_has_all_approved_and_polls_with_reading_alone(steps: frozenset[Step]) -> None:
    door = Door()
    for acting in (steps, LADDER):
        client = door.client(acting, LADDER)
        await client.connect()
        assert door.approved == ALL
        assert not await door.may_write(client)
        assert {client.missing_scope(step) for step in LADDER} == {None}
        await client.close()
    assert not door.access.pending


async def test_after_one_who_observes_a_person_is_asked_once_with_the_command_and_it_watches_on() -> None:
    door = Door()
    observer = door.client(NOBODY, NOBODY)
    await observer.connect()
    await observer.close()
    assert door.approved == {READ}
    client = door.client(LADDER, LADDER)
    said: set[Any] = set()
    for _ in range(20):
        await client.connect()
        await client.list_sessions()
        said.add(tuple(client.missing_scope(step) for step in sorted(LADDER)))
        door.clock.advance(30)
    ((one, other),) = said
    request, _ = door.access.pending[OURS.device_id]
    assert f"`openclaw devices approve {request}`" in one
    assert f"`openclaw devices approve {request}`" in other
    door.access.approve(OURS.device_id)
    door.clock.advance(APPROVAL_CHECK.total_seconds())
    await client.connect()
    assert {client.missing_scope(step) for step in LADDER} == {None}
    assert not await door.may_write(client)
    await client.close()
