"""The simulated gateway without sockets, in virtual time.

The same :class:`~openclaw_simulator.rpc.Peer` as behind the socket server, called directly. ``await`` costs nothing:
where a real client would wait (for ``agent.wait``, for a frozen gateway, for a slow wire), the world's time moves on
until the answer is there or the patience is spent. One driver per world moves the time.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from openclaw_simulator.faults import Wire
from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.process import Phase
from openclaw_simulator.rpc import Close, SimulatedConnection

if TYPE_CHECKING:
    from openclaw_simulator.world import World

Frame = dict[str, Any]


class WireFailure(ConnectionError):
    """The root of everything that goes wrong between client and gateway."""


class Unreachable(WireFailure):
    """Nobody listens, or the upgrade was refused (``http_status`` 503 while draining)."""

    def __init__(self, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status


class Dropped(WireFailure):
    """The connection has ended. ``code`` None: without a close frame (kill -9, seen as 1006)."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"closed {code} {reason}".strip())
        self.code = code
        self.reason = reason


class NoAnswer(WireFailure):
    """The patience is spent: frozen, blocked, or the frame was lost."""


class Garbled(WireFailure):
    """What arrived is not JSON."""


class ConnectDenied(WireFailure):
    """``connect`` was answered with an error."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message")))
        self.error = dict(error)


@dataclass(frozen=True, slots=True)
class Answer:
    """One response frame."""

    ok: bool
    payload: Any = None
    error: Frame | None = None


class InProcessGateway:
    """Where in-process clients connect to one world. No ``ports.Gateway``: the simulator's own tests ask for single answers
    as they came, which the real client (over ``tests.sim.wire``) does not hand out."""

    def __init__(self, world: World, access: AccessRules | None = None, wire: Wire | None = None) -> None:
        self.world = world
        self.access = access or AccessRules(stale_after_ms=None)
        self.wire = wire or Wire(Random(0))

    async def connect(
        self,
        *,
        scopes: tuple[str, ...] = ("operator.read", "operator.write", "operator.admin"),
        device_id: str | None = "watchdog",
        client: tuple[str, str] = ("gateway-client", "backend"),
        role: str = "operator",
        token: str | None = None,
        patience: float = 10.0,
    ) -> Connection:
        """Open a connection and shake hands; raises a :class:`WireFailure` as a real one would fail."""
        world = self.world
        phase = world.process.phase
        if self.wire.refuses or phase in (Phase.DOWN, Phase.BOOTING):
            raise Unreachable("connection refused")
        if world.process.is_frozen:
            world.advance(patience)
            raise NoAnswer("the gateway accepted the connection and says nothing")
        if phase is Phase.DRAINING:
            raise Unreachable("HTTP 503", http_status=503)
        connection = Connection(self)
        params: Frame = {
            "minProtocol": 3,
            "maxProtocol": 4,
            "client": {"id": client[0], "mode": client[1], "version": "1", "platform": "simulated"},
            "role": role,
            "scopes": list(scopes),
            "caps": [],
            "auth": {"token": token if token is not None else self.access.token},
        }
        if device_id is not None:
            nonce = connection.peer.nonce
            params["device"] = {
                "id": device_id,
                "publicKey": "",
                "signature": "",
                "signedAt": world.wall_ms,
                "nonce": nonce,
            }
        answer = await connection.call("connect", params, patience=patience)
        if not answer.ok:
            raise ConnectDenied(answer.error or {})
        connection.hello = answer.payload
        return connection


class Connection:
    """One open in-process connection."""

    def __init__(self, gateway: InProcessGateway) -> None:
        self.gateway = gateway
        self.peer = SimulatedConnection(gateway.world, gateway.access)
        self.hello: Frame = {}
        self.events: deque[Frame] = deque(maxlen=10_000)
        """Event frames, oldest first; take them as you like."""
        self.late: dict[object, deque[Frame]] = {}
        """Response frames nobody was waiting for: the second answer of ``agent``, duplicates."""
        self._requests = 0
        self.last_request_id = ""
        self._closed: Close | None = None
        self._collect()
        self.events.clear()  # the challenge has been seen

    @property
    def is_open(self) -> bool:
        self._collect()
        return self._closed is None

    async def call(self, method: str, params: Mapping[str, Any] | None = None, *, patience: float = 30.0) -> Answer:
        """One request and its first answer. The world's time moves while it takes time."""
        world, wire = self.gateway.world, self.gateway.wire
        if self._closed is not None or not self.is_open:
            raise self._ended()
        self._requests += 1
        request_id = self.last_request_id = f"r{self._requests}"
        frame = {"type": "req", "id": request_id, "method": method, "params": dict(params or {})}
        deadline = world.now_ms + round(patience * 1000)
        if world.process.is_frozen:
            world.agenda.after(0.0, self.peer.receive, frame)
        else:
            self.peer.receive(frame)
        answer = self._take(request_id)
        while answer is None:
            if self._closed is not None:
                raise self._ended()
            due = world.agenda.next_at()
            if due is None or due > deadline:
                world.advance((deadline - world.now_ms) / 1000)
                answer = self._take(request_id)
                if answer is not None:
                    break
                raise NoAnswer(f"{method}: no answer within {patience:g} s")
            world.advance_to_next()
            answer = self._take(request_id)
        if wire.latency:
            world.advance(min(wire.latency, patience))
            if wire.latency > patience:
                raise NoAnswer(f"{method}: no answer within {patience:g} s")
        return await self._carried(method, answer, patience)

    async def _carried(self, method: str, frame: Frame, patience: float) -> Answer:
        """Let the wire do to the answer what it does."""
        wire = self.gateway.wire
        if wire.is_faulty:
            texts = wire.carry(frame)
            if not texts:
                self.gateway.world.advance(patience)
                raise NoAnswer(f"{method}: the answer was lost")
            try:
                frame = json.loads(texts[0])
            except ValueError as problem:
                raise Garbled(str(problem)) from problem
        return Answer(bool(frame["ok"]), frame.get("payload"), frame.get("error"))

    async def late_answer(self, *, patience: float = 60.0) -> Answer:
        """The next further answer to the last request (the second one of ``agent``)."""
        world = self.gateway.world
        deadline = world.now_ms + round(patience * 1000)
        frame = self._take(self.last_request_id)
        while frame is None:
            if self._closed is not None:
                raise self._ended()
            due = world.agenda.next_at()
            if due is None or due > deadline:
                raise NoAnswer(f"no second answer within {patience:g} s")
            world.advance_to_next()
            frame = self._take(self.last_request_id)
        return Answer(bool(frame["ok"]), frame.get("payload"), frame.get("error"))

    def close(self) -> None:
        """The client leaves."""
        self.peer.close(1000, "client left")
        self._collect()

    def _collect(self) -> None:
        outbox = self.peer.outbox
        while outbox:
            item = outbox.popleft()
            if isinstance(item, Close):
                self._closed = item
            elif item["type"] == "event":
                self.events.append(item)
            else:
                self.late.setdefault(item["id"], deque()).append(item)

    def _take(self, request_id: str) -> Frame | None:
        self._collect()
        waiting = self.late.get(request_id)
        if not waiting:
            return None
        frame = waiting.popleft()
        if not waiting:
            del self.late[request_id]
        return frame

    def _ended(self) -> Dropped:
        closed = self._closed or Close(None)
        return Dropped(closed.code, closed.reason)
