"""The protocol as a sans-I/O server: frames in, frames out, against a :class:`~openclaw_simulator.world.World`.

One :class:`Peer` is one connection. Feed it decoded request frames with :meth:`Peer.receive`; whatever it has to say
piles up in :attr:`Peer.outbox`, at once or later when the world moves on (events, the second answer of ``agent``, a
waiting ``agent.wait``). Sockets, virtual time and faults are other people's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openclaw_simulator import calls
from openclaw_simulator.actions import Refused
from openclaw_simulator.events import event_frames
from openclaw_simulator.handshake import AccessRules, ConnectRefused, admit, challenge
from openclaw_simulator.methods import READ, method_of, missing_scope, problems_with
from openclaw_simulator.process import Phase
from openclaw_simulator.records import Change, ClientInfo
from openclaw_simulator.results import RunResult
from openclaw_simulator.world import World

Frame = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Close:
    """The connection ends here. ``code`` None: without a close frame, as after kill -9."""

    code: int | None
    reason: str = ""


DRIFTED = (
    "Error: Session canonical validation schema is missing or drifted: simulated_trigger; run openclaw doctor --fix to "
    "repair it."
)
"""9.6, without ``retryable`` and without ``details``: it will not pass."""
_WITHOUT_SESSIONS = frozenset({"gateway.restart.preflight"})
_WITHOUT_STORE = _WITHOUT_SESSIONS | {"sessions.list", "health", "status"}
TICK_SECONDS = 30.0
"""``policy.tickIntervalMs``: a sign of life on every connection."""


class SimulatedConnection:
    """One client's connection to the simulated gateway."""

    def __init__(
        self, world: World, access: AccessRules, *, on_output: Callable[[], None] | None = None, ticks: bool = False
    ) -> None:
        self.world = world
        self.access = access
        self.on_output = on_output
        self.ticks = ticks
        """Send ``tick`` events (the socket server does; in virtual time they would cost more than they tell)."""
        self.outbox: deque[Frame | Close] = deque()
        self.client: ClientInfo | None = None
        """Who it is, once it has been let in."""
        self.is_open = True
        self.is_subscribed = False
        self.nonce = world.new_id()
        self._seq = 0
        self._hears_in: list[Callable[[Change], None]] | None = None
        """Which of the world's hearers this connection is one of."""
        world.process.hang_ups.append(self._hang_up)
        self._put(challenge(world, self.nonce))

    # ------------------------------------------------------------ output

    def _put(self, item: Frame | Close) -> None:
        self.outbox.append(item)
        if self.on_output is not None:
            self.on_output()

    def answer(self, request_id: object, payload: object) -> None:
        """A successful response (``agent`` sends two for one request)."""
        if self.is_open:
            self._put({"type": "res", "id": request_id, "ok": True, "payload": payload})

    def refuse(self, request_id: object, error: Mapping[str, Any], payload: object = None) -> None:
        if not self.is_open:
            return
        frame: Frame = {"type": "res", "id": request_id, "ok": False, "error": dict(error)}
        if payload is not None:
            frame["payload"] = payload
        self._put(frame)

    def event(self, name: str, payload: Mapping[str, Any], *, numbered: bool = True) -> None:
        if not self.is_open:
            return
        frame: Frame = {"type": "event", "event": name, "payload": dict(payload)}
        if numbered:
            self._seq += 1
            frame["seq"] = self._seq
        self._put(frame)

    # ------------------------------------------------------------ ends

    def _hang_up(self, code: int | None, reason: str, shutdown: dict[str, object] | None) -> None:
        if shutdown is not None and self.client is not None:
            self.event("shutdown", shutdown)
        self.close(code, reason)

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """End the connection from the gateway's side (or note that the client has left)."""
        if not self.is_open:
            return
        self.is_open = False
        if self._hang_up in self.world.process.hang_ups:
            self.world.process.hang_ups.remove(self._hang_up)
        self._hear_in(None)
        self._put(Close(code, reason))

    # ------------------------------------------------------------ input

    def receive(self, frame: object) -> None:
        """Take one decoded frame from the client."""
        if not self.is_open:
            return
        if not isinstance(frame, Mapping) or frame.get("type") != "req" or not isinstance(frame.get("method"), str):
            self.close(1008, "invalid request frame")
            return
        request_id, method = frame.get("id"), str(frame["method"])
        params = frame.get("params")
        if params is None:
            params = {}
        if self.client is None:
            self._connect(request_id, method, params)
        elif method == "connect":
            self.refuse(request_id, _error("connect is only valid as the first request"))
        elif not isinstance(params, Mapping):
            self.refuse(request_id, _error(f"invalid {method} params: at root: must be object"))
        else:
            self._call(request_id, method, params)

    def _connect(self, request_id: object, method: str, params: object) -> None:
        if method != "connect" or not isinstance(params, Mapping):
            words = "invalid handshake: first request must be connect"
            self.refuse(request_id, _error(words))
            self.close(1008, words)
            return
        try:
            self.client, hello = admit(self.world, self.access, self.nonce, params)
        except ConnectRefused as refused:
            self.refuse(request_id, refused.error)
            self.close(refused.close_code, str(refused))
            return
        except (KeyError, TypeError, ValueError) as problem:
            words = f"invalid connect params: {problem}"
            self.refuse(request_id, _error(words))
            self.close(1008, words)
            return
        self.answer(request_id, hello)
        self.subscribe(on=False)
        if self.ticks:
            self.world.agenda.after(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        if self.is_open:
            self.event("tick", {"ts": self.world.wall_ms})
            self.world.agenda.after(TICK_SECONDS, self._tick)

    def _call(self, request_id: object, name: str, params: Mapping[str, Any]) -> None:
        world = self.world
        client = self.client
        assert client is not None
        if world.process.phase is not Phase.UP and name != "health":
            self.refuse(request_id, _restarting(name))
            return
        if world.process.is_suspended and not name.startswith("gateway.suspend."):
            self.refuse(request_id, _suspending(name))
            return
        if world.has_drifted and name not in (_WITHOUT_STORE if world.lists_from_memory else _WITHOUT_SESSIONS):
            self.refuse(request_id, _error(DRIFTED, "UNAVAILABLE"))
            return
        scope = missing_scope(world.profile, name, params, client.scopes)
        if scope is not None:
            self.refuse(request_id, _missing(scope, forbids=world.profile.forbids))
            return
        method = method_of(world.profile, name)
        if method is None:
            self.refuse(request_id, _error(f"unknown method: {name}"))
            return
        problem = problems_with(world.profile, method, params)
        if problem is not None:
            self.refuse(request_id, _error(f"invalid {name} params: {problem}"))
            return
        try:
            answer = calls.CALLS[name](calls.Call(world, self, client, request_id, params))
        except Refused as refused:
            self.refuse(request_id, refused.refusal.error)
            return
        if answer is not calls.LATER:
            self.answer(request_id, answer)

    # ------------------------------------------------------------ events and later answers

    def subscribe(self, *, on: bool) -> None:
        """``sessions.subscribe``: from now on this connection hears of every session."""
        self.is_subscribed = on
        world = self.world
        if on:
            self._hear_in(world.listeners)
            for session in world.sessions.values():
                world.engine.tell_of_text(session)
        else:
            may_hear = world.profile.tells_all_of_runs and self.client is not None and READ in self.client.scopes
            self._hear_in(world.bystanders if may_hear else None)

    def _hear_in(self, hearers: list[Callable[[Change], None]] | None) -> None:
        if self._hears_in is hearers:
            return
        if self._hears_in is not None:
            self._hears_in.remove(self._heard)
        if hearers is not None:
            hearers.append(self._heard)
        self._hears_in = hearers

    def _heard(self, change: Change) -> None:
        for name, payload, numbered in event_frames(self.world, change):
            self.event(name, payload, numbered=numbered)

    def answer_when_ended(self, request_id: object, run_id: str, shape: Callable[[RunResult], object]) -> None:
        """Answer once more when the run ends (the second response of ``agent``)."""

        def tell(result: RunResult) -> None:
            payload = shape(result)
            if result.status == "done" and not result.has_failed_delivery:
                self.answer(request_id, payload)
            else:
                self.refuse(
                    request_id,
                    {"code": "UNAVAILABLE", "message": result.error or result.delivery_error or "aborted"},
                    payload,
                )

        self.world.results.when_ended(run_id, tell)

    def answer_within(
        self, request_id: object, run_id: str, seconds: float, shape: Callable[[RunResult | None], object]
    ) -> None:
        """Answer when the run ends, or with a time-out after so many seconds (``agent.wait``)."""
        is_answered = False

        def once(result: RunResult | None) -> None:
            nonlocal is_answered
            if not is_answered:
                is_answered = True
                self.answer(request_id, shape(result))

        self.world.results.when_ended(run_id, once)
        if not is_answered:
            self.world.agenda.after(seconds, once, None)


def _error(message: str, code: str = "INVALID_REQUEST") -> Frame:
    return {"code": code, "message": message}


def _missing(scope: str, *, forbids: bool) -> Frame:
    """9.6 says FORBIDDEN with details; the earlier versions INVALID_REQUEST and the words only."""
    if not forbids:
        return _error(f"missing scope: {scope}")
    details = {"code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope]}
    return _error(f"missing scope: {scope}", "FORBIDDEN") | {"details": details}


def _restarting(method: str) -> Frame:
    """What open sockets hear while a 9.6 gateway drains (2026.9.6.md 2)."""
    return {
        "code": "UNAVAILABLE",
        "message": f"{method} unavailable during gateway restart",
        "retryable": True,
        "retryAfterMs": 1000,
        "details": {"method": method, "reason": "gateway-restarting", "phase": "accepting"},
    }


def _suspending(method: str) -> Frame:
    """What every call but those of the suspension itself hears, on old connections and new ones (9.6)."""
    return {
        "code": "UNAVAILABLE",
        "message": f"{method} unavailable during gateway suspension",
        "retryable": True,
        "retryAfterMs": 1000,
        "details": {"method": method, "reason": "gateway-suspending", "phase": "prepared"},
    }
