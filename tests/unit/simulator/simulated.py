"""The simulated gateway as a :class:`~tests.unit.simulator.contract.GatewayUnderTest`, in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.unit.simulator.contract import ALL, BACKEND, Reply
from watchdog.simulator import sessions as turns
from watchdog.simulator.inprocess import Connection, InProcessGateway
from watchdog.simulator.profiles import PROFILES
from watchdog.simulator.sessions import Turn
from watchdog.simulator.world import World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def make_world(version: str = "2026.9.6", seed: int = 1) -> World:
    return World(PROFILES[version], NOW, seed)


def turn_of(behaviour: str) -> Turn:
    """The lab's words for what the provider does."""
    kind, _, amount = behaviour.partition(":")
    match kind:
        case "ok":
            return turns.answers()
        case "hang":
            return turns.stays_silent()
        case "slow":
            return turns.streams(float(amount))
        case "tool":
            return turns.loops_over_tools()
        case "e400":
            return turns.retries(1, 1.0, "400 not like this")
        case "e500":
            return turns.retries()
        case _:
            raise ValueError(behaviour)


class SimulatedUnderTest:
    """One world, spoken to over in-process connections."""

    def __init__(self, version: str, seed: int = 1) -> None:
        self.version = version
        self.world = make_world(version, seed)
        self.world.advance(600)
        self.gateway = InProcessGateway(self.world)
        self._connections: dict[tuple[tuple[str, ...], str, tuple[str, str]], Connection] = {}

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        scopes: tuple[str, ...] = ALL,
        device: str = "one",
        client: tuple[str, str] = BACKEND,
    ) -> Reply:
        name = (scopes, device, client)
        connection = self._connections.get(name)
        if connection is None or not connection.is_open:
            connection = await self.gateway.connect(scopes=scopes, device_id=device, client=client)
            self._connections[name] = connection
        answer = await connection.call(method, params, patience=60)
        return Reply(answer.ok, answer.payload, answer.error)

    async def provider(self, behaviour: str, match: str) -> None:
        if behaviour == "none":
            self.world.provider.rules.pop(match, None)
        else:
            self.world.provider.rules[match] = turn_of(behaviour)

    async def model_saw(self, key: str) -> list[str]:
        return [" ".join(call.said) for call in self.world.model_calls if call.key == key]

    async def kill(self) -> None:
        self.world.process.kill()

    async def start(self) -> None:
        self.world.process.start()
        self.world.advance(self.world.profile.start_seconds + 0.1)

    async def wait(self, seconds: float) -> None:
        self.world.advance(seconds)
