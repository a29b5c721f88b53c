"""A gateway under test, simulated or real, and the steps its scenarios are made of.

Nothing here knows the simulator: a :class:`GatewayUnderTest` may as well be a real gateway with a mock provider. The
scenarios are in ``contract_scenarios``, what real gateways answered is in ``measured.json``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

READ, WRITE, ADMIN = "operator.read", "operator.write", "operator.admin"
ALL = (READ, WRITE, ADMIN)
BACKEND = ("gateway-client", "backend")

Facts = dict[str, Any]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """One response: ``payload`` or ``error``, with ``late`` for the second answer of ``agent`` when asked for."""

    ok: bool
    payload: Any = None
    error: Mapping[str, Any] | None = None

    @property
    def code(self) -> str:
        return "" if self.error is None else str(self.error["code"])

    @property
    def words(self) -> str:
        return "" if self.error is None else str(self.error["message"])


@dataclass(frozen=True)
class Who:
    """Somebody on Telegram."""

    id: str
    name: str | None = None
    username: str | None = None


@dataclass(frozen=True)
class Chat:
    """A Telegram chat: a person's own (their id), a group (below zero), a topic of either; ``account``: which bot."""

    id: str
    thread: int | None = None
    account: str = "default"


@dataclass(frozen=True)
class Said:
    """One message of a bot, as it was read."""

    chat: str
    thread: int | None
    account: str
    text: str


ALICE = Who("1001", "Alice Ames", "alice")


class GatewayUnderTest(Protocol):
    """A gateway with a mock provider and one agent ``main``, whose process can be killed; for some scenarios with a Telegram."""

    version: str

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        scopes: tuple[str, ...] = ALL,
        device: str = "one",
        client: tuple[str, str] = BACKEND,
    ) -> Reply:
        """One request on a connection of that device, client and scopes."""
        ...

    async def provider(self, behaviour: str, match: str) -> None:
        """Turns whose words contain ``match``: ``hang``, ``slow:600``, ``tool``, ``e400``, ``e500``, ``held`` (until
        ``end_unwritten``), ``spawn:words`` (a sub-agent gets these words, and the turn yields); ``none`` takes it away."""
        ...

    async def model_saw(self, key: str) -> list[str]:
        """For each model call on that session, newest last: the user words of its turn, joined."""
        ...

    async def tools(self, match: str) -> list[list[str]]:
        """The tools of each model call whose last words contain ``match``."""
        ...

    async def streams(self, match: str) -> bool:
        """Some words of an answer to a turn that contains ``match`` are out."""
        ...

    async def says(self, who: Who, text: str, chat: Chat) -> None:
        """A person writes on Telegram."""
        ...

    async def heard(self) -> list[Said]:
        """All that bots have said so far."""
        ...

    async def end_unwritten(self, key: str, match: str) -> None:
        """The ``held`` turn is answered, and the store locked as soon as that is written: the end of the run is lost. Where no
        store can be locked (before 2026.9) it just ends."""
        ...

    async def kill(self) -> None:
        """kill -9."""
        ...

    async def start(self) -> None:
        """Start again on the same state; returns when it answers."""
        ...

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def exhaust_recovery(self, key: str) -> None:
        """While it is stopped: the stored row says that the gateway's own recovery was cut three times. Where there is no
        such count (before 2026.8) nothing is done."""
        ...

    async def drift(self, *, mends: bool) -> None:
        """The store's schema is no longer the version's own, or (``mends``) is again. Where it is no SQLite nothing is done."""
        ...


# ---------------------------------------------------------------- helpers


def name_of(key: str) -> str:
    """The last part of a key; every message of a scenario carries it, so that a shared provider log can be told apart."""
    return key.rpartition(":")[2]


async def row_of(gateway: GatewayUnderTest, key: str) -> dict[str, Any]:
    reply = await gateway.call("sessions.list", {"limit": 500})
    return next((dict(row) for row in reply.payload["sessions"] if row["key"] == key), {})


async def until(
    gateway: GatewayUnderTest, key: str, is_so: Callable[[Row], bool], seconds: float = 40.0
) -> dict[str, Any]:
    """Poll a row until it is as wanted, or the time is over; the last row seen."""
    row = await row_of(gateway, key)
    for _ in range(int(seconds * 2)):
        if is_so(row):
            break
        await gateway.wait(0.5)
        row = await row_of(gateway, key)
    return row


async def soon(gateway: GatewayUnderTest, is_so: Callable[[], Awaitable[bool]], seconds: float = 40.0) -> bool:
    """Ask until it is so, or the time is over: how it was at last. For what is not in a session's row."""
    for _ in range(int(seconds * 2)):
        if await is_so():
            return True
        await gateway.wait(0.5)
    return await is_so()


async def ended(gateway: GatewayUnderTest, key: str) -> dict[str, Any]:
    """The row after a Stop: at rest, or as it is left (2026.3.24 and 2026.4.14 leave some running)."""
    await until(gateway, key, lambda row: row.get("status") != "running", seconds=15)
    await gateway.wait(4)
    return await row_of(gateway, key)


async def messages_of(gateway: GatewayUnderTest, key: str) -> list[dict[str, Any]]:
    reply = await gateway.call("chat.history", {"sessionKey": key})
    return list(reply.payload["messages"])


async def tail_of(gateway: GatewayUnderTest, key: str) -> str:
    """The last transcript entry, in one word or two."""
    messages = await messages_of(gateway, key)
    if not messages:
        return "empty"
    last = messages[-1]
    if "openclawAbort" in last:
        return "partial, aborted"
    if last["role"] == "assistant" and any(part.get("type") == "toolCall" for part in last["content"]):
        return "tool call"
    return f"{last['role']}{' ' + last['stopReason'] if 'stopReason' in last else ''}"


def author_of(message: Mapping[str, Any]) -> str:
    """Who wrote an entry, in words: a person's id, a client, or nobody that is named."""
    label, facts = message.get("senderLabel"), message["__openclaw"]
    if label is not None:
        return str(label).rpartition("(")[2].removesuffix(")")
    if "senderId" in facts:
        return str(facts["senderId"])
    clients = facts.get("transport", {}).get("clients")
    return str(clients[0]["id"]) if clients else "nobody"


async def warm(gateway: GatewayUnderTest, key: str) -> dict[str, Any]:
    """A session with one finished turn, its run let go; its row.

    Since 2026.5.18 the row says ``done`` a moment before the gateway lets go of the run; a message sent meanwhile is not
    a run of its own but queued behind it.
    """
    run = f"warm-{key}"
    await gateway.call("sessions.create", {"key": key})
    await gateway.call("sessions.send", {"key": key, "message": f"warm-up {name_of(key)}", "idempotencyKey": run})
    await gateway.call("agent.wait", {"runId": run, "timeoutMs": 40_000})
    return await until(gateway, key, lambda row: row.get("status") == "done" and not row.get("hasActiveRun"))


async def live(
    gateway: GatewayUnderTest,
    key: str,
    behaviour: str = "hang",
    *,
    method: str = "sessions.send",
    run_id: str | None = None,
) -> dict[str, Any]:
    """A warmed session with a live run; its row once the run has begun, the model was asked, and has said something if it is to."""
    before = await warm(gateway, key)
    match = f"TASK-{name_of(key)}"
    await gateway.provider(behaviour, match)
    target = {"sessionKey": key} if method == "agent" else {"key": key}
    words = f"please do {match}"
    await gateway.call(method, {**target, "message": words, "idempotencyKey": run_id or f"live-{key}"})
    row = await until(
        gateway, key, lambda r: r.get("status") == "running" and r.get("startedAt", 0) > before["startedAt"]
    )

    async def was_asked() -> bool:
        return any(match in words for words in await gateway.model_saw(key))

    await soon(gateway, was_asked)
    if behaviour.startswith("slow"):
        await soon(gateway, lambda: gateway.streams(match))
    await gateway.wait(3)
    return row


async def stuck(gateway: GatewayUnderTest, key: str, behaviour: str = "hang") -> dict[str, Any]:
    """A session whose run was killed with the process; its row from before the kill."""
    row = await live(gateway, key, behaviour)
    await gateway.wait(2)
    await gateway.kill()
    await gateway.provider("none", f"TASK-{name_of(key)}")
    await gateway.start()
    return row
