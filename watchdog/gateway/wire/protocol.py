"""The gateway protocol without any I/O: bytes in, events out; requests as text to send.

``Conversation`` knows the three frame types (``req``, ``res``, ``event``), matches responses to requests and decodes no
deeper than it must: payloads stay ``msgspec.Raw`` until somebody asks for a shape. Nothing the other side sends can make
it raise; what cannot be read becomes a ``Malformed`` frame, which names the request that it answers where that can be told. Frames measured on 2026.3.24, 4.14, 5.18 (protocol 3 and 4)
and 2026.9.6 (protocol 4).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from watchdog.gateway.wire.decoder import Undecodable, decode

MIN_PROTOCOL = 3
MAX_PROTOCOL = 4


class WireError(msgspec.Struct, rename="camel", frozen=True):
    """The ``error`` of a failed response, as sent."""

    code: str = ""
    message: str = ""
    retryable: bool | None = None
    retry_after_ms: int | float | None = None
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


@dataclass(frozen=True, slots=True)
class Response:
    """A request was answered. Exactly one of ``payload`` and ``error`` is set."""

    id: str
    payload: msgspec.Raw | None
    error: WireError | None
    size: int


@dataclass(frozen=True, slots=True)
class EventFrame:
    """Something the gateway says unasked."""

    name: str
    payload: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that could not be read; ``reason`` carries none of its content.

    ``answers``: the request it is the answer to, by its first words, or because it is the only one that waits.
    ``answers_nothing``: nothing that waits, by its first words. Neither: it may be the answer to anything that waits.
    """

    reason: str
    answers: str | None = None
    answers_nothing: bool = False


Incoming = Response | EventFrame | Malformed

_decoder = msgspec.json.Decoder(_Frame)
_encoder = msgspec.json.Encoder()
_HEAD = re.compile(rb'\s*\{\s*"type"\s*:\s*"(?P<type>res|event)"\s*(?:,\s*"id"\s*:\s*"(?P<id>[^"\\]{1,64})")?')
"""How frames begin on all versions measured."""
_LONGEST_HEAD = 256
MOST_VALUES = 1_000_000
"""Commas in a frame: what stands between them takes 60 bytes of memory, or more, however short it is. The list of 10,000
sessions in one answer has 700,000."""


SECOND_ANSWER = "agent, second answer"


class Conversation:
    """Request numbering and frame decoding for one connection. Holds the ids that still wait for an answer.

    ``on_repair``: is told the method whose answer could be read only after a repair of its text.
    """

    def __init__(self, on_repair: Callable[[str], None] | None = None) -> None:
        self._on_repair = on_repair
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
        commas = data.count(",") if isinstance(data, str) else data.count(b",")
        if commas > MOST_VALUES:  # guard: wire: values in a frame
            return self._malformed(data, f"a frame of more than {MOST_VALUES} values")
        repairs: list[None] = []
        try:
            frame = decode(_decoder, data, lambda: repairs.append(None))
        except Undecodable as problem:
            return self._malformed(data, f"a frame that cannot be read ({_short(problem)})")
        if repairs and self._on_repair is not None and frame.id in self._waiting:
            self._on_repair(self._waiting[frame.id])
        if frame.type == "res":
            return self._response(frame, len(data))
        if frame.type == "event" and frame.event:
            return EventFrame(frame.event, frame.payload)
        if frame.type in ("req", "event", ""):
            return Malformed(f"unexpected frame of type {frame.type!r}", answers_nothing=frame.type != "")
        return None

    def _malformed(self, data: str | bytes, reason: str) -> Malformed:
        start = data[:_LONGEST_HEAD]
        head = _HEAD.match(start.encode("utf-8", "replace") if isinstance(start, str) else start)
        number = head["id"].decode("ascii", "replace") if head is not None and head["id"] is not None else None
        if head is not None and (head["type"] == b"event" or (number is not None and number not in self._waiting)):
            return Malformed(reason, answers_nothing=True)
        if number is None and len(self._waiting) == 1:  # guard: wire: an unreadable frame names its request
            number = next(iter(self._waiting))
        if number is not None:
            self._waiting.pop(number)
        return Malformed(reason, answers=number)

    def _response(self, frame: _Frame, size: int) -> Incoming | None:
        if frame.id is None or frame.id not in self._waiting:
            return None
        if frame.ok is True:
            # `agent` answers twice under one id: "accepted" at once, the outcome when its run ends. The first is the
            # answer we act on; the second says whether the words were delivered.
            if self._waiting[frame.id] == "agent":
                self._waiting[frame.id] = SECOND_ANSWER
            else:
                self._waiting.pop(frame.id, None)
            return Response(frame.id, frame.payload, None, size)
        self._waiting.pop(frame.id, None)
        error = frame.error or WireError(code="UNKNOWN", message="refused without a reason")
        return Response(frame.id, None, error, size)


def _short(problem: Undecodable) -> str:
    """Which field it is depends on the sender, so a reason is cut."""
    said = str(problem)
    return said if len(said) <= 60 else said[:59] + "…"
