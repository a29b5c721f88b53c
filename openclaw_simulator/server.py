"""The simulated gateway on a real socket: websockets around :mod:`~openclaw_simulator.rpc`, plus the HTTP answers.

World time follows the event loop's clock, ``pace`` times as fast. The process's states are real here: down means that
nothing listens on the port, kill -9 ends sockets without a close frame, frozen accepts TCP and says nothing (not even
to pings), draining answers upgrades with HTTP 503, a restart sends ``shutdown`` and closes with 1012.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from http import HTTPStatus
from random import Random
from types import TracebackType
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from openclaw_simulator.faults import Wire
from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.locks import LockFiles
from openclaw_simulator.payloads import event_loop
from openclaw_simulator.process import Phase
from openclaw_simulator.profiles import Paging
from openclaw_simulator.rpc import Close, SimulatedConnection
from openclaw_simulator.world import World

LONGEST_NAP = 0.25
"""Seconds between two looks at the world when nothing is due."""
MAX_FRAME = 26_214_400
CONTROL_UI = "<!doctype html>\n<html><head><title>OpenClaw Control</title></head></html>\n"


class SimulatedGateway:
    """One world, listening on 127.0.0.1. Use as ``async with``."""

    def __init__(
        self,
        world: World,
        *,
        port: int = 0,
        access: AccessRules | None = None,
        wire: Wire | None = None,
        pace: float = 1.0,
        locks: LockFiles | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.world = world
        self.port = port
        """The port; known once it listens, and kept over restarts."""
        self.access = access or AccessRules()
        self.wire = wire or Wire(Random(0))
        self.pace = pace
        self.locks = locks
        self._clock = clock
        if pace != 1.0:
            self.access.stale_after_ms = None
        self._server: Server | None = None
        self._retired: list[Server] = []
        self._links: set[_Link] = set()
        self._began = 0.0
        self._world_began = world.now_ms
        self._wake = asyncio.Event()
        self._thawed = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        if self._clock is None:
            self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._world_began = self.world.now_ms
        self._thawed.set()
        await self._listen()
        self._pump = asyncio.create_task(self._run(), name="simulated gateway")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thawed.set()
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
        for link in tuple(self._links):
            link.peer.close(1001, "simulation over")
        self._unlisten()
        for server in self._retired:
            await server.wait_closed()
        if self.locks is not None:
            self.locks.clear()

    # ------------------------------------------------------------ time

    def catch_up(self) -> None:
        """Bring the world to the present."""
        assert self._clock is not None
        elapsed = self._clock() - self._began
        due_ms = self._world_began + round(elapsed * self.pace * 1000)
        self.world.advance((due_ms - self.world.now_ms) / 1000)
        if self.locks is not None:
            self.locks.follow(self.world)

    def wake(self) -> None:
        """Something was changed from outside (a kill, a freeze): look at once."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self.catch_up()
            await self._follow_process()
            due = self.world.agenda.next_at()
            nap = LONGEST_NAP
            if due is not None:
                nap = min(nap, max(0.0, (due - self.world.now_ms) / 1000 / self.pace))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(nap, 0.001))
            self._wake.clear()

    async def _follow_process(self) -> None:
        """Open and shut the port, stop and wake the sockets, as the process's state asks."""
        process = self.world.process
        should_listen = process.phase not in (Phase.DOWN, Phase.BOOTING) and not self.wire.refuses
        if should_listen and self._server is None:
            await self._listen()
        elif not should_listen and self._server is not None:
            self._unlisten()
        if process.is_frozen and self._thawed.is_set():
            self._thawed.clear()
            for link in self._links:
                link.pause()
        elif not process.is_frozen and not self._thawed.is_set():
            self._thawed.set()
            for link in self._links:
                link.resume()

    # ------------------------------------------------------------ the port

    async def _listen(self) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            process_request=self._http,
            max_size=MAX_FRAME,
            ping_interval=None,
            compression=None,
            server_header=None,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    def _unlisten(self) -> None:
        """Shut the port. Sockets that are open live on, unless the process has died under them."""
        if self._server is not None:
            self._server.close(close_connections=False)
            self._retired.append(self._server)
            self._server = None

    async def _http(self, connection: ServerConnection, request: Request) -> Response | None:
        """Health checks and refusals; None lets the upgrade go on."""
        await self._thawed.wait()
        self.catch_up()
        phase = self.world.process.phase
        if request.headers.get("Upgrade", "").lower() == "websocket":
            if phase is Phase.DRAINING:
                return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable\n")
            return None
        return self._page(request.path.partition("?")[0], is_draining=phase is Phase.DRAINING)

    def _page(self, path: str, *, is_draining: bool) -> Response:
        profile, uptime = self.world.profile, self.world.process.uptime_ms
        is_starting = self.world.process.phase is Phase.REFUSING
        status = HTTPStatus.SERVICE_UNAVAILABLE if is_draining or is_starting else HTTPStatus.OK
        if path in ("/health", "/healthz"):
            return _json(HTTPStatus.OK, {"ok": True, "status": "live"})
        if path in ("/ready", "/readyz"):
            failing = ["gateway-draining"] if is_draining else ["startup-sidecars"] if is_starting else []
            body: dict[str, object] = {"ready": not failing, "failing": failing, "uptimeMs": uptime}
            if profile.paging is not Paging.NONE:
                body["eventLoop"] = event_loop(self.world)
            return _json(status, body)
        if path in ("/startup", "/startupz") and profile.has_boot_id:
            word = "draining" if is_draining else "starting" if is_starting else "started"
            body = {"ok": status is HTTPStatus.OK, "status": word, "version": profile.version, "uptimeMs": uptime}
            return _json(status, body)
        return _response(HTTPStatus.OK, "text/html; charset=utf-8", CONTROL_UI)

    # ------------------------------------------------------------ connections

    async def _serve(self, connection: ServerConnection) -> None:
        self.catch_up()
        link = _Link(self, connection)
        self._links.add(link)
        writer = asyncio.create_task(link.write(), name="simulated gateway writer")
        try:
            async for text in connection:
                await self._thawed.wait()
                self.catch_up()
                try:
                    frame = json.loads(text)
                except ValueError:
                    link.peer.close(1007, "invalid JSON")
                    break
                link.peer.receive(frame)
                self._wake.set()
        except ConnectionClosed:
            pass
        finally:
            link.peer.close(None)
            await writer
            self._links.discard(link)


class _Link:
    """One socket and its peer."""

    def __init__(self, gateway: SimulatedGateway, connection: ServerConnection) -> None:
        self.gateway = gateway
        self.connection = connection
        self._ready = asyncio.Event()
        self.peer = SimulatedConnection(gateway.world, gateway.access, on_output=self._ready.set, ticks=True)

    def pause(self) -> None:
        """A stopped process reads nothing, so not even a ping is answered."""
        self.connection.transport.pause_reading()

    def resume(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.connection.transport.resume_reading()

    async def write(self) -> None:
        """Carry the outbox to the client until the connection ends."""
        wire = self.gateway.wire
        outbox = self.peer.outbox
        while True:
            await self._ready.wait()
            self._ready.clear()
            while outbox:
                item = outbox.popleft()
                if isinstance(item, Close):
                    await self._end(item)
                    return
                if wire.latency:
                    await asyncio.sleep(wire.latency)
                with contextlib.suppress(ConnectionClosed):
                    for text in wire.carry(item):
                        await self.connection.send(text)

    async def _end(self, close: Close) -> None:
        if close.code is None:
            self.connection.transport.abort()
        else:
            await self.connection.close(close.code, close.reason)


def _response(status: HTTPStatus, kind: str, text: str) -> Response:
    body = text.encode()
    headers = Headers([("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")])
    return Response(status.value, status.phrase, headers, body)


def _json(status: HTTPStatus, body: object) -> Response:
    return _response(status, "application/json; charset=utf-8", json.dumps(body, separators=(",", ":")))
