"""The simulated gateway on a real socket, with stuck sessions, and every frame it gets."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from websockets.asyncio.server import ServerConnection

from openclaw_simulator import sessions as turns
from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.locks import LockFiles
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.records import ClientEffect
from openclaw_simulator.server import SimulatedGateway
from openclaw_simulator.sessions import Address
from openclaw_simulator.world import World
from tests.effects import DOING
from tests.fakes.builders import KEY, REQUEST
from watchdog.adapters.clock import SystemClock
from watchdog.core.session_key import agent_of


def stuck_world(version: str, requests: Mapping[str, str] = {KEY: REQUEST}, answer: str | None = None) -> World:
    """Chats (requests by session key) that have been stuck for an hour in the way their version gets stuck: cut by a
    crash, or on 2026.9.6 (which recovers those by itself) by a store that was locked when their runs ended."""
    now = SystemClock().now().wall
    world = World(PROFILES[version], now - timedelta(minutes=75), seed=1)
    for key in requests:
        world.chat.join(key, Address("irc", f"irc:{key.rpartition(':')[2]}"))
        world.chat.person_writes(key, f"hello, this is about: {requests[key]}", turns.answers(1.0, answer))
    world.advance(600)
    if world.profile.recovers_at_boot:
        for key, request in requests.items():
            world.chat.person_writes(key, request, turns.answers(6.0, answer))
        world.advance(3)
        world.lock_store(40)
        world.advance(60)
    else:
        for key, request in requests.items():
            world.chat.person_writes(key, request, turns.stays_silent())
        world.advance(45)
        world.process.kill()
        world.agenda.outside(2.0, world.process.start)
        world.advance(120)
    world.provider.usual = turns.answers(0.3, answer)
    world.advance(SystemClock().now().wall)
    return world


class _Noted:
    """A connection whose incoming frames are written down before the gateway sees them."""

    def __init__(self, connection: ServerConnection, frames: list[dict[str, Any]]) -> None:
        self._connection = connection
        self._frames = frames

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        async for text in self._connection:
            self._frames.append(json.loads(text))
            yield text

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class NotingGateway(SimulatedGateway):
    """A simulated gateway on a real socket that keeps every request it was sent, answered or not: for daemons that are
    processes of their own."""

    def __init__(self, world: World, state_dir: Path, *, access: AccessRules | None = None) -> None:
        for key, session in world.sessions.items():
            transcript = state_dir / "agents" / (agent_of(key) or "main") / "sessions" / f"{session.session_id}.jsonl"
            transcript.parent.mkdir(parents=True, exist_ok=True)
            transcript.touch()
        super().__init__(world, access=access, locks=LockFiles(state_dir, gateway_pid=os.getpid()))
        self.frames: list[dict[str, Any]] = []

    async def _serve(self, connection: ServerConnection) -> None:
        await super()._serve(cast(ServerConnection, _Noted(connection, self.frames)))

    def sent(self) -> list[dict[str, Any]]:
        """Requests that do something, in order. A stranger's abort that early gateways are asked about does nothing."""
        return [frame for frame in self.frames if frame.get("method") in DOING]

    def looks(self) -> int:
        """How often the sessions were listed, or the gateway was asked whether a list would say anything new."""
        return sum(frame.get("method") in ("sessions.list", "gateway.restart.preflight") for frame in self.frames)

    def sends_by_key(self) -> Counter[str]:
        """How often each idempotency key was sent."""
        keys = (frame["params"].get("idempotencyKey") for frame in self.sent())
        return Counter(key for key in keys if key is not None)

    def deeds(self) -> list[ClientEffect]:
        return [deed for deed in self.world.deeds if deed.key == KEY and deed.client.display_name is not None]
