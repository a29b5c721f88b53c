"""A gateway that completes the sign-in and then misbehaves, one way a mode. ``python -m tests.hostile.gateway MODE`` is one.

``MODES`` is the list. A mode overrides what is done for one request, or at one moment of a connection; everything else is
answered as a gateway of 2026.9.6 with one session that waits for its answer does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from tests.e2e.harness.daemon import REPOSITORY
from watchdog.adapters.clock import SystemClock

VERSION = "2026.9.6"
TOKEN = "hostile-shared-token"
KEY = "agent:main:irc:direct:mallory"
METHODS = ("health", "sessions.list", "chat.history", "config.get")
MIB = 1024 * 1024
Params = Mapping[str, Any]


def now_ms() -> int:
    return round(SystemClock().now().wall.timestamp() * 1000)


BEGAN_MS = now_ms() - 3_600_000
"""When the run of every session here began: before the gateway did, so nobody owns it."""


def row(key: str = KEY, **fields: Any) -> dict[str, Any]:
    """A session whose run nobody owns any more: it is looked at closely."""
    at = BEGAN_MS
    made = {"key": key, "sessionId": f"id-{key[-40:]}", "kind": "direct", "status": "running", "hasActiveRun": False}
    return {**made, "startedAt": at, "updatedAt": at, "label": "an hour ago", **fields}


def page(rows: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    total = {"totalCount": len(rows), "hasMore": False, "nextOffset": None}
    return {"ts": now_ms(), "count": len(rows), **total, "sessions": rows, **fields}


def history(text: str = "please look into it") -> dict[str, Any]:
    message = {"role": "user", "content": text, "timestamp": now_ms() - 3_600_000, "__openclaw": {"id": "m1", "seq": 1}}
    return {"sessionId": "id", "messages": [message]}


@dataclass
class Talk:
    """One connection, from the side of the gateway."""

    connection: ServerConnection
    number: str = ""
    """Of the request that is being answered."""

    async def send(self, frame: str | bytes) -> None:
        await self.connection.send(frame)

    async def answer(self, payload: Any) -> None:
        await self.send(self.frame(json.dumps(payload)))

    def frame(self, payload: str) -> str:
        return f'{{"type":"res","id":"{self.number}","ok":true,"payload":{payload}}}'

    async def refuse(self, message: str, **error: Any) -> None:
        body = {"code": "INVALID_REQUEST", "message": message, **error}
        await self.send(json.dumps({"type": "res", "id": self.number, "ok": False, "error": body}))

    async def event(self, name: str, payload: Any) -> None:
        await self.send(json.dumps({"type": "event", "event": name, "payload": payload}))

    async def write(self, data: bytes) -> None:
        """Bytes below the WebSocket protocol."""
        self.connection.transport.write(data)
        while self.connection.transport.get_write_buffer_size() > MIB:
            await asyncio.sleep(0.01)
            if self.connection.transport.is_closing():
                raise ConnectionClosed(None, None)

    async def announce(self, size: int) -> None:
        """The head of a text frame, and then its bytes, none of which is kept here."""
        await self.write(struct.pack("!BBQ", 0x81, 127, size))
        for _ in range(0, size, 65536):
            await self.write(b"x" * 65536)


Act = Callable[[Talk, Params], Awaitable[None]]


@dataclass(frozen=True)
class Mode:
    """One kind of misbehaviour. ``acts``: by method, or ``challenge``, ``signed in``. ``says``: what the log must say of it,
    in a regular expression; None: it is nothing to speak of. ``is_watched``: its sessions are judged all the same.
    ``is_large``: reading it takes a second of work, which is not to be had three times a second."""

    acts: Mapping[str, Act]
    says: str | None = None
    is_watched: bool = False
    is_large: bool = False
    methods: tuple[str, ...] = METHODS


async def challenge(talk: Talk, _params: Params) -> None:
    await talk.event("connect.challenge", {"nonce": "n", "ts": now_ms()})


def hello(params: Params, methods: tuple[str, ...] = METHODS, **auth: Any) -> dict[str, Any]:
    return {
        "type": "hello-ok",
        "protocol": 4,
        "server": {"version": VERSION, "bootId": "boot-1", "connId": "c1"},
        "features": {"methods": list(methods), "events": []},
        "snapshot": {"uptimeMs": 1_800_000, "sessionDefaults": {"mainSessionKey": "agent:main:main"}},
        "auth": {"role": "operator", "scopes": params["scopes"], **auth},
    }


class HostileGateway:
    """One mode as a process of its own, so that its work is not the healthy gateway's. Use as a context manager. It shares
    nothing with the other gateways of tests: it sends bytes that none of them could."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.asked: Counter[str] = Counter()
        """How often each method was called."""
        self.port = 0

    def __enter__(self) -> HostileGateway:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.gateway", self._name],
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self._reader = threading.Thread(target=self._count, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        return self

    def _count(self, lines: IO[str]) -> None:
        for line in lines:
            self.asked[line.strip()] += 1

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(30)
        self._reader.join(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@dataclass
class _Server:
    """Says its port, and every method that is called, on standard output."""

    mode: Mode

    async def _run(self) -> None:
        async with serve(
            self._handle, "127.0.0.1", 0, max_size=None, ping_interval=None, close_timeout=0.1, compression=None
        ) as server:
            print(next(iter(server.sockets)).getsockname()[1], flush=True)
            await server.serve_forever()

    async def _handle(self, connection: ServerConnection) -> None:
        talk, beside = Talk(connection), set[asyncio.Task[None]]()
        try:
            with contextlib.suppress(ConnectionClosed, ConnectionError):
                await self._acts.get("challenge", challenge)(talk, {})
                async for text in connection:
                    frame = json.loads(text)
                    method, talk.number = frame["method"], frame["id"]
                    print(method, flush=True)
                    await self._acts.get(method, self._otherwise(method))(talk, frame["params"])
                    if method == "connect" and "signed in" in self._acts:
                        beside.add(asyncio.create_task(self._beside(talk)))
        finally:
            for task in beside:
                task.cancel()

    async def _beside(self, talk: Talk) -> None:
        with contextlib.suppress(ConnectionClosed, ConnectionError):
            await self._acts["signed in"](talk, {})

    @property
    def _acts(self) -> Mapping[str, Act]:
        return self.mode.acts

    def _otherwise(self, method: str) -> Act:
        """What an honest gateway says."""
        answers: dict[str, Callable[[Params], Any]] = {
            "connect": lambda params: hello(params, self.mode.methods),
            "health": lambda _: {"ok": True},
            "sessions.list": lambda _: page([row()]),
            "chat.history": lambda _: history(),
            "config.get": lambda _: {"parsed": {}},
        }

        async def act(talk: Talk, params: Params) -> None:
            if method in answers:
                await talk.answer(answers[method](params))
            else:
                await talk.refuse(f"unknown method: {method}")

        return act


# ---------------------------------------------------------------- what they do


def saying(payload: Callable[[Params], Any] | Any) -> Act:
    """Answer with this document."""

    async def act(talk: Talk, params: Params) -> None:
        await talk.answer(payload(params) if callable(payload) else payload)

    return act


def repeating(payload: Callable[[], str]) -> Act:
    """Answer with this text, made once."""
    text = cache(payload)
    return sending(lambda talk: talk.frame(text()))


def sending(make: Callable[[Talk], str | bytes], *, as_text: bool = False) -> Act:
    """Send this frame; ``as_text``: bytes as a text frame, whatever they are."""

    async def act(talk: Talk, _params: Params) -> None:
        frame = make(talk)
        if as_text and isinstance(frame, bytes):
            await talk.connection.send(frame, text=True)
        else:
            await talk.send(frame)

    return act


def in_a_row(odd: str) -> Callable[[Talk], str]:
    """The list with ``odd`` (raw JSON) in a field that nobody reads."""

    def make(talk: Talk) -> str:
        return talk.frame(json.dumps(page([row(title="ODD"), row("agent:main:main")])).replace('"ODD"', odd))

    return make


def paged(rows: Callable[[int], list[dict[str, Any]]], size: int, **fields: Any) -> Act:
    """Pages for ever; ``rows`` makes one, given its offset."""

    async def act(talk: Talk, params: Params) -> None:
        offset = params.get("offset", 0)
        more = {"hasMore": True, "nextOffset": offset + size, "totalCount": offset + 2 * size}
        await talk.answer(page(rows(offset), **{**more, **fields}))

    return act


def numbered(offset: int, size: int, **fields: Any) -> list[dict[str, Any]]:
    return [row(f"agent:main:web:{number}", status="done", **fields) for number in range(offset, offset + size)]


async def huge_frame(talk: Talk, _params: Params) -> None:
    await talk.announce(500 * MIB)


async def storm(talk: Talk, _params: Params) -> None:
    """Events as fast as they go, 100 KB each."""
    for number in itertools.count(1):
        payload = {"sessionKey": f"agent:main:web:{number}", "reason": "send", "filler": "x" * 100_000}
        await talk.send(json.dumps({"type": "event", "event": "sessions.changed", "seq": number, "payload": payload}))


async def chatter_before_hello(talk: Talk, _params: Params) -> None:
    while True:
        await talk.event("tick", {"ts": now_ms()})


async def half_a_list(talk: Talk, _params: Params) -> None:
    await talk.send(talk.frame(json.dumps(page([row()])))[:-40])


async def bad_close(talk: Talk, _params: Params) -> None:
    """A close frame whose code and reason no library would write."""
    reason = b"\xff\xfe\x1b[2J" + "\u202e".encode()
    await talk.write(struct.pack("!BBH", 0x88, 2 + len(reason), 4999) + reason)


async def odd_close(talk: Talk, _params: Params) -> None:
    close = Close(4001, "\x1b[2J\u202e://a:b@c [bold]" + "\n" * 60)
    await talk.connection.close(close.code, close.reason)


async def broken_protocol(talk: Talk, _params: Params) -> None:
    await talk.write(b"\xf7\x7f" + b"\x00" * 200)


async def bombs(talk: Talk, _params: Params) -> None:
    await talk.refuse("://" * 62_000, code="://" * 62_000, details={"code": "://" * 62_000})


def many_rows(count: int, **fields: Any) -> Act:
    """One page of so many, whatever was asked for."""
    return repeating(lambda: json.dumps(page(numbered(0, count), **fields)))


async def half_a_millisecond(talk: Talk, _params: Params) -> None:
    await talk.event("connect.challenge", {"nonce": "n", "ts": BEGAN_MS + 0.5})


def up_for_ever(params: Params) -> dict[str, Any]:
    said = hello(params)
    said["snapshot"]["uptimeMs"] = HUGE
    return said


async def quiet_for_ever(talk: Talk, _params: Params) -> None:
    await talk.refuse("rate limit", details={"code": "RATE_LIMITED"}, retryAfterMs=HUGE)


HUGE = 10**400
"""A number that no float holds."""
changing = itertools.count()

MODES: dict[str, Mode] = {
    "half an emoji in a row": Mode(
        {"sessions.list": sending(in_a_row('"half \\ud83d"'))},
        says="answer to sessions.list held text that is no Unicode",
        is_watched=True,
    ),
    "half an emoji in a key that is skipped": Mode(
        {"sessions.list": sending(in_a_row('{"deep":["\\ude00"],"\\ud83d":1}'))},
        says="answer to sessions.list held text that is no Unicode",
        is_watched=True,
    ),
    "half an emoji in a history": Mode(
        {"chat.history": sending(lambda talk: talk.frame(json.dumps(history("cut here: \ud83d"))))},
        says="answer to chat.history held text that is no Unicode",
        is_watched=True,
    ),
    "bytes that are no text": Mode(
        {
            "sessions.list": sending(
                lambda talk: in_a_row('"X"')(talk).encode().replace(b"X", b"\xed\xa0\xbd\xff"), as_text=True
            )
        },
        is_watched=True,
    ),
    "a list without a bottom": Mode(
        {"sessions.list": sending(in_a_row("[" * 50_000 + "]" * 50_000))}, says="part\\(s\\) of the list cannot be read"
    ),
    "a history without a bottom": Mode(
        {"chat.history": sending(lambda talk: talk.frame("[" * 50_000 + "]" * 50_000))}, is_watched=True
    ),
    "half an answer": Mode(
        {"sessions.list": half_a_list}, says="sessions.list was answered with a frame that cannot be read"
    ),
    "garbage in place of a history": Mode({"chat.history": sending(lambda _: "garbage")}, is_watched=True),
    "a frame of 500 MB": Mode({"sessions.list": huge_frame}, says="a frame of more than 20 MiB"),
    "a frame of 20 MB": Mode(
        {"sessions.list": repeating(lambda: json.dumps(page([row(title="x" * 20_900_000)])))},
        is_watched=True,
        is_large=True,
    ),
    "millions of values": Mode(
        {"sessions.list": repeating(lambda: '{"sessions":[' + "{}," * 6_900_000 + "{}]}")},
        says="a frame of more than 1000000 values",
        is_large=True,
    ),
    "an enormous page": Mode(
        {"sessions.list": many_rows(60_000)}, says="60000 rows came where 200 were asked for", is_large=True
    ),
    "enormous pages for ever": Mode(
        {"sessions.list": many_rows(20_000, hasMore=True, nextOffset=20_000, totalCount=40_000)},
        says="20000 rows came where 200 were asked for",
        is_large=True,
    ),
    "pages for ever": Mode(
        {"sessions.list": paged(lambda offset: numbered(offset, 1000), 1000)},
        says="the list is too long",
        is_large=True,
    ),
    "pages of long texts": Mode(
        {"sessions.list": paged(lambda offset: numbered(offset, 100, lastRunError="😀" + "x" * 50_000), 100)},
        says="the list is too long",
        is_large=True,
    ),
    "the same page for ever": Mode(
        {"sessions.list": paged(lambda _: numbered(0, 200), 200)}, says="the same rows come again"
    ),
    "totals that lie": Mode({"sessions.list": saying(lambda _: page([row()], totalCount=10**9, hasMore=True))}),
    "pages that change": Mode(
        {"sessions.list": paged(lambda _: numbered(next(changing) * 1000, 1000), 1000)},
        says="the list is too long",
        is_large=True,
    ),
    "rows of another shape each time": Mode(
        {
            "sessions.list": saying(
                lambda _: page([{"key": next(changing)}, {"key": "k", "status": next(changing)}, row()])
            )
        },
        says="2 malformed row",
        is_watched=True,
    ),
    "an endless hello": Mode(
        {"connect": saying(lambda params: hello(params, tuple(f"m{number}" for number in range(1_000_000))))},
        says="it answers the sign-in with",
    ),
    "a long hello": Mode(
        {"connect": saying(lambda params: hello(params, tuple(f"m{number}" for number in range(200_000))))},
    ),
    "everything but a hello": Mode(
        {"connect": chatter_before_hello}, says="100 other things before it answers the sign-in"
    ),
    "a device token of 2 MB": Mode(
        {"connect": saying(lambda params: hello(params, deviceToken="x" * 2_000_000))},
        says="the device token that it issues",
        is_watched=True,
    ),
    "a time that no float holds": Mode({"sessions.list": saying(lambda _: page([row()], ts=HUGE))}, is_watched=True),
    "a time that no calendar holds": Mode(
        {"sessions.list": saying(lambda _: page([row()], ts=1e300))}, is_watched=True
    ),
    "an uptime that no float holds": Mode(
        {"challenge": half_a_millisecond, "connect": saying(up_for_ever)}, is_watched=True
    ),
    "a wait that no float holds": Mode({"connect": quiet_for_ever}, says="too many failed sign-ins"),
    "a storm of events": Mode({"signed in": storm}, is_watched=False),
    "an odd goodbye": Mode({"sessions.list": odd_close}, says="closed the connection with code 4001"),
    "a goodbye that is none": Mode({"sessions.list": bad_close}, says="cannot be read"),
    "no WebSocket any more": Mode({"sessions.list": broken_protocol}, says="breaks the WebSocket protocol"),
    "bombs for the log": Mode({"sessions.list": bombs}, says="refuses its list of sessions"),
    "keys that are bombs for the log": Mode(
        {"sessions.list": saying(lambda _: page([row("://" * 62_000), row("://" * 300), row()]))},
        says="a key or session id has",
        is_watched=True,
    ),
}


def restart_marker(folder: Path) -> Path:
    """Where the command leaves its trace that would restart the hostile gateway."""
    return folder / "restarted"


if __name__ == "__main__":
    logging.disable()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_Server(MODES[sys.argv[1]])._run())
