"""A real gateway with a mock model as a :class:`~tests.unit.openclaw_simulator.contract.GatewayUnderTest`.

Many scenarios share one gateway at a time, because starting one costs more than most scenarios do. What they must not
share is said by :class:`Shared`: a gateway is killed for all of them at once, when every one has come to that point.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.harness.failures import Refused
from tests.e2e.harness.provider import Call, Held, Mode, Silence, Spawns, Status, Stream, Tools
from tests.e2e.harness.stores import database_path
from tests.e2e.harness.stuck import lose_end_after_answer
from tests.e2e.harness.telegram import Chat as TelegramChat
from tests.e2e.harness.telegram import Person, Place
from tests.e2e.harness.witness import DeviceKey, Witness
from tests.e2e.harness.world import World
from tests.unit.openclaw_simulator.contract import ALL, BACKEND, Chat, Reply, Said, Who, name_of

_Who = tuple[tuple[str, ...], str, tuple[str, str]]


def mode_of(behaviour: str) -> Mode:
    """What the provider does, in the words of the scenarios."""
    kind, _, amount = behaviour.partition(":")
    match kind:
        case "hang":
            return Silence()
        case "slow":
            return Stream(float(amount))
        case "tool":
            return Tools()
        case "e400":
            return Status(400)
        case "e500":
            return Status(500)
        case "held":
            return Held()
        case "spawn":
            return Spawns(amount)
    raise ValueError(behaviour)


@dataclass
class Shared:
    """One gateway and the scenarios that are on it together. ``together``: how many of them kill it, all at once."""

    world: World
    together: int = 1
    renewed: str | None = None
    """The session that was last sent ``/new``: a greeting's model call names no session."""
    devices: dict[str, DeviceKey] = field(default_factory=dict)
    _ends: asyncio.Barrier = field(init=False)
    _begins: asyncio.Barrier = field(init=False)
    _dropped: str = field(init=False, default="")
    """The statement that makes the trigger again which was taken out of the store."""

    def __post_init__(self) -> None:
        self._ends, self._begins = asyncio.Barrier(self.together), asyncio.Barrier(self.together)

    async def kill(self) -> None:
        if await self._ends.wait() == 0:
            await asyncio.to_thread(self.world.kill)
        await self._ends.wait()

    async def start(self) -> None:
        if await self._begins.wait() == 0:
            await asyncio.to_thread(self.world.start)
        await self._begins.wait()

    def drift(self, path: Path, *, mends: bool) -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as store:
            if mends:
                store.execute(self._dropped)
                return
            found = "select name, sql from sqlite_master where type = 'trigger' and tbl_name = 'session_nodes' order by name"
            name, self._dropped = store.execute(found).fetchone()
            store.execute(f'drop trigger "{name}"')

    async def give_up(self) -> None:
        """One of them failed: the others need not wait for it."""
        await self._ends.abort()
        await self._begins.abort()

    def device(self, name: str) -> DeviceKey:
        return self.devices.setdefault(name, DeviceKey())


class RealUnderTest:
    """One scenario's view of a shared gateway: connections of its own, everything else common."""

    def __init__(self, shared: Shared) -> None:
        self.version = shared.world.release.version
        self._shared = shared
        self._connections: dict[_Who, Witness] = {}
        self._held: dict[str, Held] = {}

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        scopes: tuple[str, ...] = ALL,
        device: str = "one",
        client: tuple[str, str] = BACKEND,
    ) -> Reply:
        asked = dict(params or {})
        if asked.get("message") == "/new":
            self._shared.renewed = str(asked.get("key") or asked.get("sessionKey"))
        return await asyncio.to_thread(self._ask, method, asked, (scopes, device, client))

    def _ask(self, method: str, params: dict[str, Any], who: _Who) -> Reply:
        try:
            return Reply(True, self._connection(who).call(method, params, within=60))
        except Refused as refused:
            extra = {"details": refused.details, "retryable": refused.retryable}
            said = {name: value for name, value in extra.items() if value is not None}
            return Reply(False, error={"code": refused.code, "message": refused.message, **said})

    def _connection(self, who: _Who) -> Witness:
        before = self._connections.get(who)
        if before is not None and not before.is_closed:
            return before
        scopes, device, client = who
        key = self._shared.device(device)
        witness = self._shared.world.gateway.witness(scopes=scopes, client=client, key=key)
        self._connections[who] = witness
        return witness

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    async def provider(self, behaviour: str, match: str) -> None:
        if behaviour == "none":
            self._shared.world.provider.forget(match)
        else:
            mode = mode_of(behaviour)
            if isinstance(mode, Held):
                self._held[match] = mode
            self._shared.world.provider.on(match, mode)

    async def model_saw(self, key: str) -> list[str]:
        return [call.turn_text for call in self._shared.world.provider.calls if self._is_of(call, key)]

    def _is_of(self, call: Call, key: str) -> bool:
        """A session's calls name it, since each of its messages does; a greeting in a fresh session names none."""
        said = "\n".join(call.texts("user", "assistant", "tool"))
        if re.search(rf"\b{re.escape(name_of(key))}\b", said):
            return True
        return self._shared.renewed == key and not re.search(r"\bc\d+\b", said)

    async def tools(self, match: str) -> list[list[str]]:
        return [sorted(call.tools) for call in self._shared.world.provider.calls if match in call.last_said]

    async def streams(self, match: str) -> bool:
        # One a second. 5.18 on a busy machine kept nothing of a stop that came after the first few.
        return any(call.pieces > 8 for call in self._shared.world.provider.calls if match in call.turn_text)

    async def says(self, who: Who, text: str, chat: Chat) -> None:
        person = Person(int(who.id), who.name or "", who.username)
        number = int(chat.id)
        where = person.chat if number == person.id else TelegramChat(number, f"Group {number}")
        self._shared.world.telegram.write(person, text, Place(where, chat.thread))

    async def heard(self) -> list[Said]:
        lasting = self._shared.world.telegram.heard()
        return [Said(str(message.chat), message.thread, message.bot, message.text) for message in lasting]

    async def end_unwritten(self, key: str, match: str) -> None:
        world, held = self._shared.world, self._held[match]
        if world.release.keeps_sessions_in_sqlite:
            await asyncio.to_thread(lose_end_after_answer, world, key, match, held)
        else:
            held.end.set()

    async def kill(self) -> None:
        await self._shared.kill()

    async def start(self) -> None:
        await self._shared.start()

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def exhaust_recovery(self, key: str) -> None:
        if self._shared.world.release.keeps_sessions_in_sqlite:
            await asyncio.to_thread(_exhaust_recovery, database_path(self._shared.world.gateway, key), key)

    async def drift(self, *, mends: bool) -> None:
        world = self._shared.world
        if world.release.keeps_sessions_in_sqlite:
            await asyncio.to_thread(self._shared.drift, database_path(world.gateway, "agent:main:main"), mends=mends)


def _exhaust_recovery(path: Path, key: str) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as store:
        store.execute("begin immediate")
        read = "select entry_json from session_nodes where session_key = ?"
        entry = json.loads(store.execute(read, (key,)).fetchone()[0])
        entry |= {"abortedLastRun": True, "mainRestartRecovery": {"cycleId": "x", "revision": 1, "chargedAttempts": 3}}
        store.execute("update session_nodes set entry_json = ? where session_key = ?", (json.dumps(entry), key))
        store.execute(
            "update session_nodes set entry_valid = 1 where session_key = ?", (key,)
        )  # triggers had cleared it
        store.execute("commit")


async def set_lanes(world: World, width: int | None) -> None:
    """Start the gateway anew, with so many runs side by side; None: as many as it allows by itself."""

    def restart() -> None:
        world.kill()
        settings = world.gateway.settings()
        defaults = settings["agents"]["defaults"]
        defaults.pop("maxConcurrent", None)
        if width is not None:
            defaults["maxConcurrent"] = width
        world.gateway.config_path.write_text(json.dumps(settings, indent=1))
        world.start()

    await asyncio.to_thread(restart)
