"""The simulated gateway as a :class:`~tests.unit.openclaw_simulator.contract.GatewayUnderTest`, in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from openclaw_simulator import sessions as turns
from openclaw_simulator.people import is_group, key_of_chat
from openclaw_simulator.process import RECOVERY_TRIES
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.records import Person
from openclaw_simulator.sessions import Activity, ActivityStep, Address, Ending, Turn
from openclaw_simulator.state import ChannelOutage
from openclaw_simulator.world import World
from tests.simulator.inprocess import Connection, InProcessGateway
from tests.unit.openclaw_simulator.contract import ALL, BACKEND, Chat, Reply, Said, Who

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
        case "held":
            return Turn((ActivityStep(Activity.SILENT, None),), ending=Ending.ANSWERED)
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
        rules = self.world.provider.rules
        kind, _, task = behaviour.partition(":")
        if kind == "none":
            rules.pop(match, None)
        elif kind == "spawn":
            rules[match] = turns.yields(
                ((f"agent:main:subagent:{task.replace(' ', '-')}", rules.get(task, turns.answers())),)
            )
        else:
            rules[match] = turn_of(behaviour)

    async def model_saw(self, key: str) -> list[str]:
        return [" ".join(call.said) for call in self.world.model_calls if call.key == key]

    async def tools(self, match: str) -> list[list[str]]:
        return [sorted(call.tools) for call in self.world.model_calls if match in call.said[-1]]

    async def streams(self, match: str) -> bool:
        return bool(await self.tools(match))

    @staticmethod
    def _address(chat: Chat) -> Address:
        return Address("telegram", f"telegram:{chat.id}", chat.account, chat.thread)

    async def says(self, who: Who, text: str, chat: Chat) -> None:
        person, address = Person(who.id, who.name, who.username), self._address(chat)
        key = key_of_chat(self.world, address, person)
        if key not in self.world.homes:
            self.world.chat.join(key, address, None if is_group(address) else person)
        self.world.chat.person_writes(key, text, by=person, chat=address)

    async def heard(self) -> list[Said]:
        places = [(heard.place, heard.text) for heard in self.world.heard]
        return [Said(place.chat, place.thread, place.account, text) for place, text in places if place is not None]

    async def end_unwritten(self, key: str, match: str) -> None:
        session = self.world.sessions[key]
        assert session.run is not None
        self.world.engine.step_over(session, session.run, session.run.step)

    async def kill(self) -> None:
        self.world.process.kill()

    async def start(self) -> None:
        self.world.process.start()
        self.world.advance(self.world.profile.start_seconds + 0.1)

    async def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    async def exhaust_recovery(self, key: str) -> None:
        if self.world.profile.gives_up_recovery:
            self.world.sessions[key].recovery_charges = RECOVERY_TRIES

    async def drift(self, *, mends: bool) -> None:
        self.world.has_drifted = self.world.lists_from_memory = not mends and self.world.profile.goes_deaf


_TROUBLES = {
    "502": ChannelOutage.BAD_GATEWAY,
    "401": ChannelOutage.UNAUTHORIZED,
    "unreachable": ChannelOutage.UNREACHABLE,
}


class SimulatedChats(SimulatedUnderTest):
    """The same with a Telegram channel of two bots."""

    def __init__(self, version: str, seed: int = 1) -> None:
        super().__init__(version, seed)
        self.world.channels = {"telegram"}
        self.world.config = {"channels": {"telegram": {"accounts": {"work": {}}}}}

    async def configure(self, settings: Mapping[str, Any]) -> None:
        for name, value in settings.items():
            self.world.config[name] = {**self.world.config.get(name, {}), **value}

    async def block(self, chat: Chat) -> None:
        self.world.chat.block(self._address(chat))

    async def unblock(self, chat: Chat) -> None:
        self.world.chat.unblock(self._address(chat))

    async def delete_topic(self, chat: Chat) -> None:
        self.world.chat.delete_topic(self._address(chat))

    async def telegram(self, trouble: str | None) -> None:
        if trouble is None:
            self.world.chat.restore("telegram")
        else:
            self.world.chat.fail("telegram", _TROUBLES[trouble])

    async def lock_store(self, seconds: float) -> None:
        self.world.lock_store(seconds)

    async def second_answer(self, method: str, params: Mapping[str, Any]) -> Reply:
        connection = await self.gateway.connect(scopes=ALL, device_id="one")
        await connection.call(method, params)
        frame = await connection.late_answer()
        return Reply(frame.ok, frame.payload, frame.error)
