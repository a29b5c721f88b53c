"""A gateway as one hears it that never says anything of sessions unasked: the events are taken out on the way, and the others
renumbered, so that no hole in the numbers tells of it. It may be made to count for ever what it counted first, too: then
nothing but a list tells of a run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

COUNT = "gateway.restart.preflight"
LOST = ("agent", "chat", "session.message", "sessions.changed")


class DeafRelay:
    """Between a watchdog and its gateway, as long as it is open. ``freezes_count``: what the gateway counts as active stays
    what it was when it was first asked."""

    def __init__(self, upstream: str, *, freezes_count: bool = False) -> None:
        self._upstream = upstream
        self._freezes_count = freezes_count
        self._count: dict[str, Any] | None = None
        """The gateway's first answer. From then on it is not asked any more: a gateway that cannot write is slow to count, too."""
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="relay", daemon=True)
        self.url = ""
        self.lost = 0
        """Events taken out so far."""

    def __enter__(self) -> DeafRelay:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server: Server
        async with serve(self._carry, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
            (address,) = (one.getsockname() for one in server.sockets)
            self.url = f"ws://127.0.0.1:{address[1]}"
            self._ready.set()
            await self._stop.wait()

    async def _carry(self, near: ServerConnection) -> None:
        async with connect(self._upstream, max_size=None, proxy=None, ping_interval=None) as far:
            counting: set[str] = set()  # requests under way on this connection
            there = asyncio.create_task(self._pass_on(near, far, counting))
            with contextlib.suppress(ConnectionClosed):
                missing = 0
                async for text in far:
                    frame: dict[str, Any] = json.loads(text)
                    if frame.get("type") == "event" and frame.get("event") in LOST:
                        missing += isinstance(frame.get("seq"), int)
                        self.lost += 1
                        continue
                    if frame.get("type") == "res" and frame.get("id") in counting:
                        counting.discard(frame["id"])
                        self._count = frame
                    if isinstance(frame.get("seq"), int) and missing:
                        text = json.dumps({**frame, "seq": frame["seq"] - missing})
                    await near.send(text)
            there.cancel()
        await near.close()

    async def _pass_on(self, source: ServerConnection, target: ClientConnection, counting: set[str]) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in source:
                frame: dict[str, Any] = json.loads(text)
                if self._freezes_count and frame.get("method") == COUNT:
                    if self._count is not None:
                        await source.send(json.dumps({**self._count, "id": frame["id"]}))
                        continue
                    counting.add(frame["id"])
                await target.send(text)
        await target.close()
