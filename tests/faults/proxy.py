"""A bad network between a watchdog and a gateway: a TCP proxy on loopback that understands websocket frames.

``latency`` and ``loss`` may be set at any time. ``go_silent`` makes every open connection half-open: both ends believe
in it, nothing passes any more, nobody is told (a NAT that forgot, a cable pulled out). New connections work.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random


@dataclass(eq=False)
class _Pair:
    """One connection through the proxy."""

    is_silent: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    """One for each direction."""


class Proxy:
    """Use as a context manager. ``url`` is where the watchdog connects to. ``seed``: for what is lost."""

    def __init__(self, port: int, *, seed: int = 1) -> None:
        self.latency = 0.0
        """Seconds by which everything the gateway says is late."""
        self.loss = 0.0
        """Share of frames that never arrive, in both directions."""
        self.silent_after: bytes | None = None
        """The next frame of the watchdog's that holds these bytes still arrives; then its connection is half-open."""
        self.carried = 0
        self.lost = 0
        self.connections = 0
        self.swallowed = 0
        """Frames that went into half-open connections."""
        self._upstream = port
        self._rng = Random(seed)
        self._pairs: set[_Pair] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 20), self._loop
        ).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def go_silent(self) -> int:
        """Every connection that is open now is half-open from here on; how many there are."""
        pairs = [pair for pair in self._pairs if not pair.is_silent]
        for pair in pairs:
            pair.is_silent = True
        return len(pairs)

    # ------------------------------------------------------------ inside

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        with contextlib.suppress(asyncio.CancelledError):  # the proxy closes
            await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream, limit=1 << 20)
        except OSError:
            await _end(writer)
            return
        pair = _Pair()
        self._pairs.add(pair)
        loop = asyncio.get_running_loop()
        pair.tasks = [
            loop.create_task(self._carry(pair, reader, far_writer, is_watchdogs=True)),
            loop.create_task(self._carry(pair, far_reader, writer, is_watchdogs=False)),
        ]
        try:
            await asyncio.wait(pair.tasks, return_when=asyncio.FIRST_COMPLETED)
            if pair.is_silent:
                await asyncio.Event().wait()  # neither end may learn that the other one is gone
        finally:
            for task in pair.tasks:
                task.cancel()
            await asyncio.gather(*pair.tasks, return_exceptions=True)
            self._pairs.discard(pair)
            await _end(writer)
            await _end(far_writer)

    async def _carry(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_watchdogs: bool
    ) -> None:
        """One direction, in order; what is late is late by the latency of the moment it came in."""
        queue: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
        delivering = asyncio.create_task(self._deliver(queue, writer))
        loop = asyncio.get_running_loop()
        try:
            async for number, (payload, raw) in _numbered(_frames(reader, masked=is_watchdogs)):
                if pair.is_silent:
                    self.swallowed += 1
                    continue
                if number and self.loss and self._rng.random() < self.loss:
                    self.lost += 1
                    continue
                self.carried += 1
                queue.put_nowait((loop.time() + (0 if is_watchdogs else self.latency), raw))
                if is_watchdogs and self.silent_after is not None and self.silent_after in payload:
                    self.silent_after = None
                    pair.is_silent = True
            queue.put_nowait(None)
            with contextlib.suppress(OSError):
                await delivering
        finally:
            delivering.cancel()

    @staticmethod
    async def _deliver(queue: asyncio.Queue[tuple[float, bytes] | None], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while (item := await queue.get()) is not None:
            due, raw = item
            await asyncio.sleep(max(0.0, due - loop.time()))
            writer.write(raw)
            await writer.drain()


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _numbered(frames: AsyncIterator[tuple[bytes, bytes]]) -> AsyncIterator[tuple[int, tuple[bytes, bytes]]]:
    numbers = itertools.count()
    async for frame in frames:
        yield next(numbers), frame


async def _frames(reader: asyncio.StreamReader, *, masked: bool) -> AsyncIterator[tuple[bytes, bytes]]:
    """The HTTP head, then one websocket frame after the other, each with its payload unmasked; ends with the stream."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        head = await reader.readuntil(b"\r\n\r\n")
        # Compressed frames refer to earlier ones: with one lost, all later ones could not be read.
        yield b"", b"\r\n".join(x for x in head.split(b"\r\n") if not x.lower().startswith(b"sec-websocket-extensions"))
        if not masked and b" 101 " not in head.split(b"\r\n", 1)[0]:
            while rest := await reader.read(65536):
                yield b"", rest
            return
        while True:
            start = await reader.readexactly(2)
            length, extended = start[1] & 0x7F, b""
            if length >= 126:
                extended = await reader.readexactly(2 if length == 126 else 8)
                length = int.from_bytes(extended)
            mask = await reader.readexactly(4) if start[1] & 0x80 else b""
            body = await reader.readexactly(length)
            yield _unmasked(body, mask), start + extended + mask + body


def _unmasked(body: bytes, mask: bytes) -> bytes:
    if not mask or not body:
        return body
    key = (mask * (len(body) // 4 + 1))[: len(body)]
    return (int.from_bytes(body) ^ int.from_bytes(key)).to_bytes(len(body))
