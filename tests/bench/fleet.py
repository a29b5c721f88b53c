"""A thousand gateways in one process, as cheap as they can be: ``python -m tests.bench.fleet --gateways N ...``.

Each answers on its own path of one port like a 2026.9.6 with so many sessions: two of them run, and at every poll another
one has changed. Nothing is computed but the envelope; the rows are written once. Some gateways hang (they take the
connection, shake hands, and answer no list), some flood (an event of 3 KB, as often as the socket takes it).

Prints the port, and at the end one JSON document: when each gateway was polled, by its number.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.e2e.harness.conditions import epoch_ms

METHODS = ["health", "sessions.list", "gateway.restart.preflight"] + [f"method.number.{one}" for one in range(463)]
FILLER = {"agentRuntime": {"id": "openclaw", "source": "implicit"}, "participants": [{"note": "x" * 1200}]}
COUNTS = json.dumps({"safe": False, "counts": {"embeddedRuns": 2, "totalActive": 2}, "blockers": []})
ONE_POLL = 5.0
"""Seconds within which requests belong to one poll."""
FLOOD = json.dumps({"type": "event", "event": "agent", "payload": {"stream": "assistant", "data": "y" * 3000}})


@dataclass
class Canned:
    """One gateway."""

    number: int
    sessions: int
    is_hanging: bool = False
    is_flooding: bool = False
    polls: list[float] = field(default_factory=list)
    _order: list[int] = field(default_factory=list)
    _touched: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._order = list(range(self.sessions))
        now = epoch_ms()
        self._touched = {number: now - 60_000 * (number + 1) for number in self._order}

    def rows(self, offset: int, limit: int) -> str:
        return ",".join(self._row(number) for number in self._order[offset : offset + limit])

    def _row(self, number: int) -> str:
        lives = number < 2
        row = {
            "key": f"agent:main:irc:direct:{number:05d}",
            "status": "running" if lives else "done",
            "hasActiveRun": lives,
            "sessionId": f"{self.number}-{number}",
            "updatedAt": self._touched[number],
            "startedAt": self._touched[number],
        }
        return json.dumps(row | FILLER)

    def answer(self, method: str, params: dict[str, Any]) -> str | None:
        """A payload, or None: silence."""
        if method == "connect":
            return json.dumps(_hello(params, self.number))
        if method in ("sessions.list", "gateway.restart.preflight"):
            self._note_poll(time.perf_counter())
        if method == "sessions.list":
            return None if self.is_hanging else self._list(params)
        return COUNTS if method == "gateway.restart.preflight" else "{}"

    def _note_poll(self, at: float) -> None:
        if not self.polls or at - self.polls[-1] > ONE_POLL:
            self.polls.append(at)

    def _list(self, params: dict[str, Any]) -> str:
        if params.get("offset", 0) == 0:
            changed = self._order.pop()
            self._order.insert(0, changed)
            self._touched[changed] = epoch_ms()
        offset, limit = params.get("offset", 0), params.get("limit", 100)
        end = min(offset + limit, self.sessions)
        more = end < self.sessions
        envelope = {
            "ts": epoch_ms(),
            "count": end - offset,
            "totalCount": self.sessions,
            "nextOffset": end if more else None,
            "hasMore": more,
        }
        return f'{json.dumps(envelope)[:-1]},"sessions":[{self.rows(offset, limit)}]}}'


def _hello(params: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "type": "hello-ok",
        "protocol": 4,
        "server": {"version": "2026.9.6", "bootId": f"boot-{number}", "connId": "c"},
        "features": {"methods": METHODS},
        "snapshot": {"uptimeMs": 86_400_000, "sessionDefaults": {"mainSessionKey": "agent:main:main"}},
        "auth": {"role": "operator", "scopes": params.get("scopes", [])},
        "policy": {},
    }


async def _converse(gateway: Canned, connection: ServerConnection) -> None:
    challenge = {"type": "event", "event": "connect.challenge", "payload": {"nonce": "n", "ts": epoch_ms()}}
    await connection.send(json.dumps(challenge))
    flood: asyncio.Task[None] | None = None
    try:
        async for text in connection:
            request = json.loads(text)
            payload = gateway.answer(request["method"], request.get("params", {}))
            if payload is not None:
                await connection.send(
                    f'{{"type":"res","id":{json.dumps(request["id"])},"ok":true,"payload":{payload}}}'
                )
            if gateway.is_flooding and flood is None:
                flood = asyncio.create_task(_flood(connection))
    except ConnectionClosed:
        pass
    finally:
        if flood is not None:
            flood.cancel()


async def _flood(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await connection.send(FLOOD)
            await asyncio.sleep(0)


async def _main(options: argparse.Namespace) -> None:
    gateways = [
        Canned(
            number,
            options.sessions,
            is_hanging=number < options.hanging,
            is_flooding=options.hanging <= number < options.hanging + options.flooding,
        )
        for number in range(options.gateways)
    ]

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        await _converse(gateways[int(connection.request.path.strip("/"))], connection)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(handle, "127.0.0.1", 0, ping_interval=None, compression=None, close_timeout=0.2) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await stop.wait()
        json.dump({gateway.number: gateway.polls for gateway in gateways}, sys.stdout)
        sys.stdout.flush()
        server.close(close_connections=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateways", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--hanging", type=int, default=0)
    parser.add_argument("--flooding", type=int, default=0)
    asyncio.run(_main(parser.parse_args()))
