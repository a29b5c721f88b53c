"""The gateway protocol without any I/O: bytes in, events out; requests as text to send.

``Conversation`` knows the three frame types (``req``, ``res``, ``event``), matches responses to requests and decodes no
deeper than it must: payloads stay ``msgspec.Raw`` until somebody asks for a shape. Nothing the other side sends can make
it raise; what cannot be read becomes a ``Malformed`` event. Frames measured on 2026.3.24, 4.14, 5.18 (protocol 3 and 4)
and 2026.9.6 (protocol 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What reading somebody else's JSON can raise."""

MIN_PROTOCOL = 3
MAX_PROTOCOL = 4


class WireError(msgspec.Struct, frozen=True):
    """The ``error`` of a failed response, as sent."""

    code: str = ""
    message: str = ""
    retryable: bool | None = None
    retryAfterMs: int | float | None = None  # noqa: N815 - wire name
    details: Any = None

    def detail(self, name: str) -> str | None:
        """A string out of ``details``, or None."""
        value = self.details.get(name) if isinstance(self.details, dict) else None
        return value if isinstance(value, str) else None


class _Frame(msgspec.Struct):
    type: str = ""
    id: str | None = None
    ok: bool | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    error: WireError | None = None
    event: str | None = None
    seq: int | float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A request was answered. Exactly one of ``payload`` and ``error`` is set."""

    id: str
    payload: msgspec.Raw | None
    error: WireError | None
    size: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something the gateway says unasked. ``seq`` counts events of one connection; a hole means we missed one."""

    name: str
    payload: msgspec.Raw
    seq: int | None


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that could not be read; ``reason`` carries none of its content."""

    reason: str


Incoming = Response | Event | Malformed

_decoder = msgspec.json.Decoder(_Frame)
_encoder = msgspec.json.Encoder()


SECOND_ANSWER = "agent, second answer"


class Conversation:
    """Request numbering and frame decoding for one connection. Holds the ids that still wait for an answer."""

    def __init__(self) -> None:
        self._next = 1
        self._waiting: dict[str, str] = {}

    def request(self, method: str, params: dict[str, Any]) -> tuple[str, str]:
        """``(id, text to send)`` for one request."""
        number = f"w{self._next}"
        self._next += 1
        self._waiting[number] = method
        frame = {"type": "req", "id": number, "method": method, "params": params}
        return number, _encoder.encode(frame).decode()

    def forget(self, number: str) -> None:
        """Nobody waits for this answer any more; should it still come, it is dropped."""
        self._waiting.pop(number, None)

    def receive(self, data: str | bytes) -> Incoming | None:
        """Decode one frame; None for frames that concern nobody (late answers, unknown types)."""
        try:
            raw = data.encode() if isinstance(data, str) else data
            frame = _decoder.decode(raw)
        except UNREADABLE as problem:
            return Malformed(f"unreadable frame of {len(data)} bytes ({type(problem).__name__})")
        if frame.type == "res":
            return self._response(frame, len(raw))
        if frame.type == "event" and frame.event:
            seq = int(frame.seq) if frame.seq is not None else None
            # Raw is a view into the receive buffer: copy what outlives this call.
            return Event(frame.event, frame.payload.copy(), seq)
        if frame.type in ("req", "event", ""):
            return Malformed(f"unexpected frame of type {frame.type!r}")
        return None

    def _response(self, frame: _Frame, size: int) -> Incoming | None:
        if frame.id is None or frame.id not in self._waiting:
            return None
        if frame.ok is True:
            payload = frame.payload.copy()
            # `agent` answers twice under one id: "accepted" at once, the outcome when its run ends. The first is the
            # answer we act on; the second says whether the words were delivered.
            if self._waiting[frame.id] == "agent":
                self._waiting[frame.id] = SECOND_ANSWER
            else:
                self._waiting.pop(frame.id, None)
            return Response(frame.id, payload, None, size)
        self._waiting.pop(frame.id, None)
        error = frame.error or WireError(code="UNKNOWN", message="refused without a reason")
        return Response(frame.id, None, error, size)
