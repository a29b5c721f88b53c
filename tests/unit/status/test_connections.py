"""Silent, slow and very many connections to the page, over real sockets: an honest request is answered all the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.descriptors import none_left
from tests.unit.status.support import Scripted
from watchdog.status.limits import Limits
from watchdog.status.server import Feed, PageUnavailable, StatusServer

REQUEST = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = {"words": "x" * 12_000_000}
"""More than the kernel keeps for a reader that does not read."""


class Site:
    """A page with limits of its own; every socket that a test opens is closed after it."""

    def __init__(self) -> None:
        self.facts, self.feed = Scripted({"words": "all well"}), Feed()
        self.server: StatusServer | None = None
        self._sockets: list[socket.socket] = []

    async def start(self, **limits: Any) -> None:
        self.server = await StatusServer.start("127.0.0.1", 0, self.facts, self.feed, Limits(**limits))

    async def connect(self, said: bytes = b"") -> socket.socket:
        assert self.server is not None
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.setblocking(False)
        self._sockets.append(made)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(made, ("127.0.0.1", self.server.port))
        await loop.sock_sendall(made, said)
        return made

    async def ask(self, path: str = "/healthz") -> int:
        """The status of an honest request on a connection of its own."""
        assert self.server is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(REQUEST % path.encode())
        line = await reader.readline()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return int(line.split()[1])

    async def close(self) -> None:
        for one in self._sockets:
            one.close()
        if self.server is not None:
            await self.server.stop()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    yield made
    await made.close()


async def ended(connection: socket.socket) -> bytes:
    """What came until the page hung up."""
    loop, got = asyncio.get_running_loop(), bytearray()
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionResetError):
            while data := await loop.sock_recv(connection, 1 << 20):
                got += data
    return bytes(got)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


async def test_hundreds_of_silent_connections_keep_nobody_out(site: Site) -> None:
    await site.start(most=20)
    assert await site.ask() == 200  # the server is made for the first caller
    before = open_descriptors()
    silent = [await site.connect() for _ in range(400)]
    async with asyncio.timeout(60):
        assert [await site.ask(path) for path in ("/healthz", "/metrics", "/api/state", "/")] == [200] * 4
    # Each silent socket is one of ours; beyond them the page holds no more than its limit.
    assert open_descriptors() - before - len(silent) <= 20
    assert await ended(silent[0]) == b""


async def test_the_oldest_silent_one_goes_first_and_who_is_served_stays(site: Site) -> None:
    await site.start(most=3)
    stream = await site.connect(REQUEST % b"/api/events")
    loop = asyncio.get_running_loop()
    assert (await loop.sock_recv(stream, 4096)).startswith(b"HTTP/1.1 200")
    first, second, third = [await site.connect() for _ in range(3)]
    assert await ended(first) == b""
    await loop.sock_sendall(second, REQUEST % b"/metrics")
    assert (await loop.sock_recv(second, 4096)).startswith(b"HTTP/1.1 200")
    await loop.sock_sendall(third, REQUEST % b"/metrics")
    assert (await loop.sock_recv(third, 4096)).startswith(b"HTTP/1.1 200")
    site.feed.publish({"words": "news"})
    async with asyncio.timeout(60):
        got = b""
        while b"news" not in got:
            got += await loop.sock_recv(stream, 4096)


async def test_a_silent_connection_is_timed_out(site: Site) -> None:
    await site.start(request_within=0.2)
    assert await ended(await site.connect()) == b""


async def test_a_request_that_comes_in_drops_is_timed_out(site: Site) -> None:
    await site.start(request_within=0.3)
    slow = await site.connect()
    loop, got = asyncio.get_running_loop(), asyncio.create_task(ended(slow))
    with contextlib.suppress(ConnectionError):
        for byte in (REQUEST % b"/healthz" + b"x" * 1000)[:20]:
            await loop.sock_sendall(slow, bytes([byte]))
            await asyncio.wait({got}, timeout=0.05)
    assert await got == b""


async def test_the_next_request_on_a_kept_connection_is_timed_out_too(site: Site) -> None:
    await site.start(request_within=0.3)
    kept = await site.connect(REQUEST % b"/healthz")
    loop = asyncio.get_running_loop()
    assert (await loop.sock_recv(kept, 4096)).startswith(b"HTTP/1.1 200")
    await loop.sock_sendall(kept, b"G")  # stops uvicorn's own timer
    await ended(kept)


async def test_who_does_not_read_the_answer_is_dropped(site: Site) -> None:
    site.facts.shown = LARGE
    await site.start(read_within=0.3)
    slow = await site.connect(REQUEST % b"/api/state")
    assert await arrived(slow)
    before = open_descriptors()
    async with asyncio.timeout(60):
        while open_descriptors() == before:  # noqa: ASYNC110 - the other end of this socket is the page's
            await asyncio.sleep(0.01)
    assert len(await ended(slow)) < len(LARGE["words"])


async def test_who_does_not_read_the_stream_is_dropped_and_no_longer_counted(site: Site) -> None:
    site.facts.shown = LARGE
    await site.start(read_within=0.3)
    await site.connect(REQUEST % b"/api/events")
    async with asyncio.timeout(60):
        while not site.feed.listeners:  # noqa: ASYNC110 - a count is asked, not awaited
            await asyncio.sleep(0.01)
        while site.feed.listeners:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_who_reads_slowly_but_in_time_gets_it_all(site: Site) -> None:
    site.facts.shown = LARGE
    await site.start(read_within=20, request_within=0.3)
    reader = await site.connect(b"GET /api/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    body = (await ended(reader)).partition(b"\r\n\r\n")[2]
    assert json.loads(body) == LARGE


async def test_a_stop_does_not_wait_for_who_does_not_read(site: Site) -> None:
    site.facts.shown = LARGE
    await site.start()
    for path in (b"/api/state", b"/api/events"):
        assert await arrived(await site.connect(REQUEST % path))
    await site.connect(b"GET")
    assert site.server is not None
    async with asyncio.timeout(1.5):
        await site.server.stop()


async def test_without_descriptors_the_page_says_so(site: Site) -> None:
    with none_left(), pytest.raises(PageUnavailable, match=r"^this process has no file descriptors left"):
        await site.start()


async def arrived(connection: socket.socket) -> bool:
    """Something of the answer has come; nothing of it is read."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        async with asyncio.timeout(60):
            await ready.wait()
    finally:
        loop.remove_reader(connection)
    return bool(connection.recv(1, socket.MSG_PEEK))
