"""The gateway protocol without any I/O: bytes in, events out; requests as text to send.

``Handshake`` takes the frames of the sign-in, says what to send for them, and judges how far a gateway may go before its
hello. ``Conversation`` knows the three frame types (``req``, ``res``, ``event``), matches responses to requests and decodes
no deeper than it must: payloads stay ``msgspec.Raw`` until somebody asks for a shape. Nothing the other side sends can make
it raise; what cannot be read becomes a ``Malformed`` frame, which names the request that it answers where that can be told.
Frames measured on 2026.3.24, 4.14, 5.18 (protocol 3 and 4) and 2026.9.6 (protocol 4).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from watchdog import __version__
from watchdog.core.model import Moment
from watchdog.gateway.wire.decoder import Undecodable, decode
from watchdog.gateway.wire.hello import Hello
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.gateway.wire.refusals import FindCommand, WireError, refusal
from watchdog.gateway.wire.timestamps import Millis
from watchdog.service import errors
from watchdog.service.redaction import Secrets
from watchdog.service.secret import Secret

MIN_PROTOCOL = 3
MAX_PROTOCOL = 4
MOST_BEFORE_HELLO = 100
"""Frames before the answer to the sign-in. All versions measured send one, the challenge."""
LARGEST_HELLO = 4 * 1024 * 1024
"""Bytes of a frame during the sign-in. A hello of 2026.9.6 has 40 KB, most of it the names of 466 methods."""


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


@dataclass(frozen=True, slots=True)
class SignInSecrets:
    """What to sign in with. At most one of ``token`` and ``password``; ``device_token`` was issued to us earlier."""

    token: Secret | None = None
    password: Secret | None = None
    device_token: Secret | None = None


_CLIENT_ID, _CLIENT_MODE = "gateway-client", "backend"
"""They decide what a gateway lets through."""
_PLATFORM = "darwin" if sys.platform == "darwin" else "linux"


class _Challenge(msgspec.Struct):
    nonce: str
    ts: Millis = None


_challenge_decoder = msgspec.json.Decoder(_Challenge)
_hello_decoder = msgspec.json.Decoder(Hello)


@dataclass(slots=True)
class Handshake:
    """The sign-in at the gateway called ``name``: waits for the challenge, then for the hello, then it is open. Whatever
    ``receive`` raises ends it."""

    name: str
    conversation: Conversation
    scopes: tuple[str, ...]
    credentials: SignInSecrets
    device: DeviceIdentity
    openclaw: FindCommand
    """For the sentence of a refusal."""
    secrets: Secrets = field(default_factory=Secrets)
    """Which it does not repeat."""
    hello: Hello | None = field(init=False, default=None)
    """What the gateway said; from then on it is open."""
    clock_ms: Millis = field(init=False, default=None)
    """The gateway's clock in the challenge, if it told it."""
    _number: str | None = field(init=False, default=None)
    """Of the connect request; None: the challenge is still waited for."""
    _passed_over: int = field(init=False, default=0)
    """Frames of no concern since that wait began."""

    def receive(self, data: str | bytes, now: Moment) -> str | None:
        """Takes the next frame; the text to send for it, or None. ``now`` is signed where the challenge has no time.
        Raises ``NotAGateway``, and what ``refusal`` makes of a refused sign-in."""
        if len(data) > LARGEST_HELLO:  # guard: wire: bytes of a sign-in
            raise errors.NotAGateway(
                f"{self.name}: it answers the sign-in with {len(data)} bytes; a gateway needs a hundredth of that."
            )
        incoming = self.conversation.receive(data)
        if isinstance(incoming, Malformed):
            raise errors.NotAGateway(
                f"{self.name}: what answers there does not speak the gateway protocol ({incoming.reason})."
            )
        if self._number is None and isinstance(incoming, EventFrame) and incoming.name == "connect.challenge":
            return self._answer(incoming, now)
        if isinstance(incoming, Response) and incoming.id == self._number:
            self.hello = self._hello_in(incoming)
            return None
        self._passed_over += 1
        if self._passed_over == MOST_BEFORE_HELLO:  # guard: wire: frames before the hello
            raise errors.NotAGateway(
                f"{self.name}: it says {MOST_BEFORE_HELLO} other things before it answers the sign-in."
            )
        return None

    def _answer(self, event: EventFrame, now: Moment) -> str:
        """The connect request."""
        try:
            challenge = decode(_challenge_decoder, event.payload)
        except Undecodable as problem:
            raise errors.NotAGateway(f"{self.name}: its challenge cannot be read.") from problem
        self.clock_ms = challenge.ts
        token = self.credentials.token or self.credentials.device_token
        auth = {"token": token, "password": self.credentials.password}
        params = {
            "minProtocol": MIN_PROTOCOL,
            "maxProtocol": MAX_PROTOCOL,
            "role": "operator",
            "scopes": list(self.scopes),
            "caps": [],
            "auth": {kind: secret.reveal() for kind, secret in auth.items() if secret is not None},
            "client": {
                "id": _CLIENT_ID,
                "displayName": "openclaw-watchdog",
                "version": __version__,
                "platform": _PLATFORM,
                "mode": _CLIENT_MODE,
            },
            "device": self.device.connect_device(
                client_id=_CLIENT_ID,
                client_mode=_CLIENT_MODE,
                role="operator",
                scopes=self.scopes,
                signed_at_ms=int(challenge.ts if challenge.ts is not None else now.wall.timestamp() * 1000),
                token=token,
                nonce=challenge.nonce,
                platform=_PLATFORM,
            ),
            "userAgent": f"openclaw-watchdog/{__version__}",
            "locale": "en-US",
        }
        self._number, text = self.conversation.request("connect", params)
        self._passed_over = 0
        return text

    def _hello_in(self, answer: Response) -> Hello:
        if answer.error is not None:
            scopes = ", ".join(self.scopes)
            raise refusal(
                self.name, "connect", answer.error, scopes=scopes, openclaw=self.openclaw, secrets=self.secrets
            )
        try:
            return decode(_hello_decoder, answer.payload or b"null")
        except Undecodable as problem:
            raise errors.NotAGateway(f"{self.name}: its hello cannot be read ({problem}).") from problem
