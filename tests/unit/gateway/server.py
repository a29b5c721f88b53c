"""A gateway made of wire: real sockets on loopback, a sign-in, and a table of answers. It judges nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

CHALLENGE_TS = 1795163416709
UPTIME_MS = 60_000


@dataclass(frozen=True)
class Refused:
    """Answer with this error."""

    error: dict[str, Any]


@dataclass(frozen=True)
class Closed:
    """Close the connection with this code instead of answering; None: break it without a word (kill -9)."""

    code: int | None
    reason: str = ""
    shutdown: bool = False
    """Say ``shutdown`` before, as an orderly stop does."""


@dataclass(frozen=True)
class Silent:
    """Do not answer at all."""


@dataclass(frozen=True)
class Raw:
    """Send exactly this; ``{id}`` in it becomes the request's id."""

    data: str | bytes


Answer = dict[str, Any] | list[Any] | None | Refused | Closed | Silent | Raw
Answers = dict[str, Answer | Callable[[dict[str, Any]], Answer]]


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    scopes: tuple[str, ...]
    method: str
    params: dict[str, Any]


@dataclass
class WireGateway:
    """What it says, and what it was told. Change it at any time; new connections see the change. A table and not the
    simulator: the client is to meet answers that no gateway was ever seen to give."""

    version: str = "2026.9.6"
    boot_id: str | None = "boot-1"
    methods: tuple[str, ...] = ("health", "sessions.list", "gateway.restart.preflight", "sessions.recover")
    challenge: Answer | Raw = field(default_factory=lambda: {"nonce": "nonce-1", "ts": CHALLENGE_TS})
    hello: Answer | Callable[[dict[str, Any]], Answer] = None
    """None: an ordinary hello-ok."""
    uptime_ms: Any = UPTIME_MS
    chatter: tuple[str, ...] = ()
    """Frames said before the challenge, and before every answer."""
    answers: Answers = field(default_factory=dict)
    sign_ins: list[dict[str, Any]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    open_now: int = 0
    port: int = 0
    _sockets: list[ServerConnection] = field(default_factory=list)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def scopes_asked(self) -> list[tuple[str, ...]]:
        return [tuple(params["scopes"]) for params in self.sign_ins]

    def asked_for(self, method: str) -> list[dict[str, Any]]:
        return [one.params for one in self.asked if one.method == method]

    async def until_asked(self, count: int) -> None:
        """Wait until that many requests have arrived."""
        while len(self.asked) < count:
            self._wake.clear()
            await self._wake.wait()

    async def until_open(self, count: int) -> None:
        """Wait until only so many connections are left; the other end notices a close a moment after ours."""
        while self.open_now > count:
            self._wake.clear()
            await self._wake.wait()

    async def say(self, frame: dict[str, Any] | str) -> None:
        """Send an event, or anything, on every open connection."""
        for connection in self._sockets:
            await connection.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def end(self, how: Closed) -> None:
        """End every open connection."""
        for connection in list(self._sockets):
            await _close(connection, how)

    def ordinary_hello(self, params: dict[str, Any]) -> dict[str, Any]:
        auth = {"role": "operator", "scopes": params["scopes"]} if self.boot_id else None
        return {
            "type": "hello-ok",
            "protocol": 4 if self.boot_id else 3,
            "server": {"version": self.version, "bootId": self.boot_id, "connId": "c1"},
            "features": {"methods": list(self.methods), "events": []},
            "snapshot": {
                "uptimeMs": self.uptime_ms,
                "stateDir": "/home/x/.openclaw",
                "sessionDefaults": {"mainSessionKey": "agent:main:main"},
            },
            "auth": auth,
        }

    async def _handle(self, connection: ServerConnection) -> None:
        self.open_now += 1
        self._sockets.append(connection)
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._converse(connection)
        finally:
            self.open_now -= 1
            self._sockets.remove(connection)
            self._wake.set()

    async def _chat(self, connection: ServerConnection) -> None:
        for frame in self.chatter:
            await connection.send(frame)

    async def _converse(self, connection: ServerConnection) -> None:
        await self._chat(connection)
        if isinstance(self.challenge, Raw):
            await connection.send(self.challenge.data)
        elif isinstance(self.challenge, Closed):
            await _close(connection, self.challenge)
        elif isinstance(self.challenge, dict):
            await connection.send(
                json.dumps({"type": "event", "event": "connect.challenge", "payload": self.challenge})
            )
        scopes: tuple[str, ...] = ()
        async for text in connection:
            frame = json.loads(text)
            method, params = frame["method"], frame["params"]
            await self._chat(connection)
            if method == "connect":
                self.sign_ins.append(params)
                scopes = tuple(params["scopes"])
                answer = self.hello(params) if callable(self.hello) else self.hello
                await _answer(connection, frame["id"], self.ordinary_hello(params) if answer is None else answer)
                continue
            self.asked.append(Asked(scopes, method, params))
            self._wake.set()
            unknown = Refused({"code": "INVALID_REQUEST", "message": f"unknown method: {method}"})
            found = self.answers.get(method, unknown)
            await _answer(connection, frame["id"], found(params) if callable(found) else found)


async def _answer(connection: ServerConnection, number: str, answer: Answer) -> None:
    if isinstance(answer, Silent):
        return
    if isinstance(answer, Closed):
        await _close(connection, answer)
    elif isinstance(answer, Raw):
        text = answer.data
        await connection.send(text.replace("{id}", number) if isinstance(text, str) else text)
    elif isinstance(answer, Refused):
        await connection.send(json.dumps({"type": "res", "id": number, "ok": False, "error": answer.error}))
    else:
        await connection.send(json.dumps({"type": "res", "id": number, "ok": True, "payload": answer}))


async def _close(connection: ServerConnection, how: Closed) -> None:
    if how.shutdown:
        await connection.send(
            json.dumps({"type": "event", "event": "shutdown", "payload": {"reason": "gateway stopping"}})
        )
    if how.code is None:
        connection.transport.abort()
    else:
        await connection.close(how.code, how.reason)


@contextlib.asynccontextmanager
async def running(gateway: WireGateway) -> AsyncIterator[WireGateway]:
    """Listen on a free port of loopback."""
    async with serve(gateway._handle, "127.0.0.1", 0, max_size=None, ping_interval=None, close_timeout=1) as server:
        gateway.port = next(iter(server.sockets)).getsockname()[1]
        yield gateway


@contextlib.asynccontextmanager
async def plain_server(reply: bytes | None) -> AsyncIterator[str]:
    """Something else that listens: sends ``reply`` after the request's head and hangs up; None: never says a word.
    Yields ``127.0.0.1:port``."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if reply is None:
            return
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        server.close()
        await server.wait_closed()
