"""WebSockets without a network: the real client's frames to the simulated gateway and back, in virtual time.

The client above is the real one (``Link`` and everything over it). Here stands what ``websockets`` and TCP would do:
a time of travel, order within one connection, closes with and without a frame, and the wire's faults.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close as CloseFrame
from websockets.protocol import State

from openclaw_simulator.faults import Wire
from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.process import Phase
from openclaw_simulator.rpc import Close, Frame, SimulatedConnection
from openclaw_simulator.world import World
from tests.effects import DOING
from tests.sim.lives import Life
from watchdog.service import errors

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


@dataclass(slots=True)
class Asked:
    """One request as it reached the gateway, and what it did to the world."""

    frame: Frame
    device_id: str | None
    first_deed: int
    """Index into ``world.deeds`` of the first deed it caused, if it caused any."""


@dataclass(slots=True)
class Wiring:
    """Everything between the watchdog's process and one gateway."""

    world: World
    access: AccessRules
    wire: Wire
    travel: float
    """Seconds a frame is on its way, in one direction."""
    on_asked: Callable[[Asked], None]
    on_listed: Callable[[frozenset[str]], None]
    """A list was served; the keys of rows that were broken on the way."""
    on_idle: Callable[[], None]
    """``gateway.restart.preflight`` was served, and counted nothing."""
    on_connected: Callable[[], None]
    sockets: set[SimSocket] = field(default_factory=set)

    def dial_for(self, life: Life) -> Callable[[str, str, float], Any]:
        """How the processes of one life open sockets."""

        async def dial(name: str, _url: str, patience: float) -> ClientConnection:
            life.check()
            process = self.world.process
            if self.wire.refuses or process.phase in (Phase.DOWN, Phase.BOOTING):
                raise errors.GatewayUnreachable(f"{name}: connection refused", was_refused=True)
            if process.is_frozen:
                await asyncio.sleep(patience)
                raise errors.GatewayUnresponsive(f"{name}: no answer within {patience:.0f} s")
            if process.phase is Phase.DRAINING:
                raise errors.GatewayDraining(f"{name}: HTTP 503")
            self.on_connected()
            return cast(ClientConnection, SimSocket(self, life))

        return dial

    def cut(self, life: Life) -> None:
        """The process of this life is gone, and its connections with it."""
        for socket in [socket for socket in self.sockets if socket.life is life]:
            socket.peer.close(None, "the client is gone")
            self.sockets.discard(socket)


class SimSocket:
    """What ``Link`` needs of a ``ClientConnection``."""

    def __init__(self, wiring: Wiring, life: Life) -> None:
        self.life = life
        self.state = State.OPEN
        self.transport = self
        self._wiring = wiring
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[str] = deque()
        self._on_its_way: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._closed: ConnectionClosed | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._last_arrival = 0.0
        self._is_made = False
        self.peer = SimulatedConnection(wiring.world, wiring.access, on_output=self._pump)
        self._is_made = True
        self._pump()
        wiring.sockets.add(self)

    # ------------------------------------------------------------ the client's side

    async def send(self, text: str) -> None:
        frame = _decoder.decode(text)
        is_deed = frame["method"] in DOING
        if is_deed:
            self.life.effect()
        if self._closed is not None:
            raise self._closed
        if not self.life.is_over:
            self._loop.call_later(self._wiring.travel, self._arrive, frame)
        if is_deed:
            self.life.effect()

    async def recv(self, decode: bool | None = None) -> str:
        while not self._inbox:
            if self._closed is not None:
                raise self._closed
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._inbox.popleft()

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Both ``close`` and ``transport.abort``: the client leaves."""
        if not self.life.is_over:  # a dead process closes nothing; ``Wiring.cut`` does it
            self.peer.close(1000, "client left")
            self._wiring.sockets.discard(self)
        self._end(ConnectionClosedOK(None, None))

    # ------------------------------------------------------------ the gateway's side

    def _arrive(self, frame: Frame) -> None:
        world = self._wiring.world
        if not self.peer.is_open:
            return
        if world.process.is_frozen:
            world.agenda.after(0.0, self._take, frame)
        else:
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        wiring = self._wiring
        before = len(wiring.world.deeds)
        self.peer.receive(frame)
        client = self.peer.client
        if frame["method"] in DOING or len(wiring.world.deeds) != before:
            wiring.on_asked(Asked(frame, client.device_id if client is not None else None, before))

    def _pump(self) -> None:
        if not self._is_made:  # the first frame comes while the peer is made
            return
        outbox = self.peer.outbox
        while outbox:
            item = outbox.popleft()
            if isinstance(item, Close):
                self._deliver(self._end, _closed_by(item))
            else:
                self._carry(item)

    def _carry(self, frame: Frame) -> None:
        wiring = self._wiring
        payload = frame.get("payload")
        rows = payload.get("sessions") if isinstance(payload, dict) and "count" in payload else None
        texts = wiring.wire.carry(frame) if wiring.wire.is_faulty else [_encoder.encode(frame).decode()]
        if rows is not None and texts:
            wiring.on_listed(_broken(rows, texts[0]) if wiring.wire.malforms else frozenset())
        elif isinstance(payload, dict) and "counts" in payload and payload["counts"].get("totalActive") == 0:
            wiring.on_idle()
        for text in texts:
            self._deliver(self._receive, text)

    def _deliver(self, do: Callable[[Any], None], what: object) -> None:
        """After its time on the wire, and never before what was sent earlier."""
        delay = self._wiring.travel + self._wiring.wire.latency
        self._last_arrival = max(self._last_arrival, self._loop.time() + delay)
        self._on_its_way.append((do, what))
        # What arrives at one time may be called in any order: each call takes what is next.
        self._loop.call_at(self._last_arrival, self._land)

    def _land(self) -> None:
        do, what = self._on_its_way.popleft()
        do(what)

    def _receive(self, text: str) -> None:
        self._inbox.append(text)
        self._wake()

    def _end(self, why: ConnectionClosed) -> None:
        if self._closed is None:
            self._closed = why
            self.state = State.CLOSED
            self._wiring.sockets.discard(self)
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _closed_by(close: Close) -> ConnectionClosed:
    if close.code is None:
        return ConnectionClosedError(None, None)
    return ConnectionClosedError(CloseFrame(close.code, close.reason), None)


def _broken(rows: list[dict[str, Any]], text: str) -> frozenset[str]:
    """Keys of rows that did not arrive as they were sent; all of them when the frame is unreadable."""
    try:
        arrived = _decoder.decode(text)["payload"]["sessions"]
    except msgspec.MsgspecError:
        return frozenset(row["key"] for row in rows)
    return frozenset(row["key"] for row, got in zip(rows, arrived, strict=True) if got != row)
