"""One websocket to one gateway: how it is opened, the sign-in, then requests matched to answers until it ends.

A link is granted its scopes once, at the handshake, and cannot gain more. The link that polls has ``operator.read`` and
is thereby unable to do harm; deeds open their own (see ``client``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from watchdog.core.model import Moment
from watchdog.gateway.wire.decoder import Undecodable, decode
from watchdog.gateway.wire.dial import MAX_FRAME, CheckPeer, Dial, check_url, dial_network
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.hello import Hello, is_suspension
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.gateway.wire.protocol import (
    Conversation,
    EventFrame,
    Handshake,
    Malformed,
    Response,
)
from watchdog.gateway.wire.refusals import clip, refusal
from watchdog.service import errors
from watchdog.service.ports import Clock
from watchdog.service.redaction import Secrets

FRAMES_A_SECOND, FRAME_BURST = 200, 1000
"""What a link reads in the long run, and at once. A link of an operator is sent a frame or two in 30 s, and 16 with every
turn (2026.9.6)."""
LARGE_FRAME = 64 * 1024
"""Bytes for which a frame counts as one more: so 12 MB a second are read in the long run, and 60 MB at once."""
FLOOD_PAUSE = 0.25
_any_decoder = msgspec.json.Decoder()
_UNREADABLE_CODES = {
    1002: "a frame that breaks the WebSocket protocol",
    1007: "a frame whose text cannot be read",
    1009: f"a frame of more than {MAX_FRAME >> 20} MiB",
}
"""By the code that our own side closes a connection with."""


@dataclass(slots=True)
class _Call:
    """A request that waits for its answer."""

    method: str
    answer: asyncio.Future[Response]
    unreadable: str | None = None
    """A frame came meanwhile that cannot be read and may have been the answer: what is wrong with it."""


class Allowance:
    """How many frames a link may take: a gateway that floods us waits (TCP holds it back), and the others do not."""

    def __init__(self, now: float) -> None:
        self._left = float(FRAME_BURST)
        self._at = now

    def spend(self, now: float, size_bytes: int = 0) -> float:
        """One frame was taken; seconds to wait before the next."""
        cost = 1 + size_bytes // LARGE_FRAME
        self._left = min(FRAME_BURST, self._left + (now - self._at) * FRAMES_A_SECOND) - cost
        self._at = now
        return 0.0 if self._left > 0 else max(FLOOD_PAUSE, -self._left / FRAMES_A_SECOND)


def _was_taken(future: asyncio.Future[Response]) -> bool:
    if not future.done() or future.cancelled() or future.exception() is not None:
        return False
    return future.result().error is None


def _ends_of(socket: ClientConnection) -> tuple[tuple[str, int], tuple[str, int]]:
    """Our end and the far one, without what only IPv6 adds."""
    ours, theirs = socket.local_address, socket.remote_address
    return (ours[0], ours[1]), (theirs[0], theirs[1])


class Link:
    """A connection, open once it is signed in. ``Links`` opens it; every failure is an ``errors.GatewayError`` leaf."""

    is_suspending = False
    """The gateway has said since the sign-in that it is suspended, or about to be (event ``gateway.suspension``, 2026.9.6)."""

    def __init__(
        self,
        name: str,
        socket: ClientConnection,
        conversation: Conversation,
        clock: Clock,
        secrets: Secrets | None = None,
    ) -> None:
        """``secrets``: what no error repeats, though the gateway says it."""
        self._name = name
        self._secrets = secrets if secrets is not None else Secrets()
        self._clock = clock
        self._socket = socket
        self._conversation = conversation
        self._waiting: dict[str, _Call] = {}
        self._reader: asyncio.Task[None] | None = None
        self._end: errors.GatewayError | None = None
        self._shutdown_reason: str | None = None
        self.ended_at: Moment | None = None
        """When the link ended, or None while it is open."""
        self.hello = Hello()
        self.unchecked_peer: str | None = None
        """Why nobody looked up whose the port is; None: it is the gateway's own account's, or root's."""
        self.clock_ms: float | None = None
        self.bytes_received = 0
        self.final: asyncio.Future[msgspec.Raw] | None = None
        """The second answer of the last ``agent`` request, which comes when its run has ended; None: there was none.
        Raises ``GatewayError`` leaves."""
        self._final_id: str | None = None

    async def sign_in(self, handshake: Handshake, check_peer: CheckPeer | None, patience: float) -> None:
        """Once, within ``patience`` seconds, after ``check_peer`` had its look. Whatever is raised, the socket is closed."""
        try:
            if check_peer is not None:
                self.unchecked_peer = await asyncio.to_thread(check_peer, *_ends_of(self._socket))
            async with asyncio.timeout(patience):
                while handshake.hello is None:
                    text = handshake.receive(await self._receive_raw(), self._clock.now())
                    if text is not None:
                        await self._send_raw(text)
                self.hello, self.clock_ms = handshake.hello, handshake.clock_ms
        except TimeoutError:
            await self._drop()
            raise errors.GatewayUnresponsive(
                f"{self._name}: it accepted the connection but did not finish the handshake within {patience:.0f} s; it "
                "hangs, or its event loop is blocked."
            ) from None
        except BaseException as problem:
            await self._drop()
            if isinstance(problem, errors.PairingRequired) and check_peer is not None:
                problem.unchecked_peer = self.unchecked_peer
            raise
        self._reader = asyncio.create_task(self._read(), name=f"link-{self._name}")

    @property
    def is_open(self) -> bool:
        return self._end is None and self._reader is not None and not self._reader.done()

    @property
    def end(self) -> errors.GatewayError | None:
        """Why the link ended, or None while it is open."""
        return self._end

    async def call(self, method: str, params: dict[str, Any] | None = None, *, patience: float = 15.0) -> msgspec.Raw:
        """Send one request and return its payload.

        Raises ``OutcomeUnknown`` when the request left this machine and no answer came: whoever asked for a deed must
        not ask again. For mere looks that is as good as ``GatewayUnresponsive``, but for its leaf ``AnswerUnreadable``: one
        came and cannot be read.
        """
        if self._end is not None:
            raise self._end
        number, text = self._conversation.request(method, params or {})
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        call = self._waiting[number] = _Call(method, future)
        if method == "agent":
            self._await_final(number)
        could_leave = self._socket.state is State.OPEN
        try:
            async with asyncio.timeout(patience):
                await self._socket.send(text)
                response = await future
        except TimeoutError:
            # guard: wire: a call that an unreadable frame may have answered was not met with silence
            if call.unreadable is not None:
                raise self._unreadable(call.method, call.unreadable) from None
            raise errors.OutcomeUnknown(
                f"{self._name}: no answer to {method} within {patience:.0f} s; the gateway hangs or is overloaded."
            ) from None
        except ConnectionClosed as closed:
            self._fail(self._closed(closed))
            if could_leave:  # it broke while we wrote: the other side may have it all
                raise self._lost(method) from closed
            raise self._closed(closed) from closed
        finally:
            self._waiting.pop(number, None)
            if not (method == "agent" and _was_taken(future)):
                self._conversation.forget(number)
                if self._final_id == number:
                    self.final = self._final_id = None
            if future.done() and not future.cancelled():
                future.exception()  # nobody else waits for it
        if response.error is not None:
            raise refusal(self._name, method, response.error, secrets=self._secrets)
        assert response.payload is not None
        return response.payload

    def _await_final(self, number: str) -> None:
        """From the sending on: the second answer may follow the first at once, before anybody has read that one."""
        self.final, self._final_id = asyncio.get_running_loop().create_future(), number
        self.final.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody asks for it

    async def close(self) -> None:
        """End the link politely; never raises."""
        if self._end is None:
            self._end = errors.GatewayClosed(f"{self._name}: closed by us.", 1000)
        await self._drop()

    # ---------------------------------------------------------------- inside

    async def _drop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2):
                await self._socket.close()
        self._socket.transport.abort()

    async def _send_raw(self, text: str) -> None:
        try:
            await self._socket.send(text)
        except ConnectionClosed as closed:
            raise self._closed(closed) from closed

    async def _receive_raw(self) -> str | bytes:
        try:
            return await self._socket.recv(decode=False)
        except ConnectionClosed as closed:
            ended = self._closed(closed)
            if isinstance(ended, errors.AnswerUnreadable):
                raise errors.NotAGateway(str(ended)) from closed
            raise ended from closed

    async def _read(self) -> None:
        allowance = Allowance(asyncio.get_running_loop().time())
        try:
            while True:
                # Undecoded: text that is no UTF-8 would end the connection.
                data = await self._socket.recv(decode=False)
                self.bytes_received += len(data)
                self._take(self._conversation.receive(data))
                wait = allowance.spend(asyncio.get_running_loop().time(), len(data))
                del data  # it may be large, and the next one long in coming
                if wait:  # guard: wire: who floods us waits
                    await asyncio.sleep(wait)
        except ConnectionClosed as closed:
            self._fail(self._closed(closed))
        except asyncio.CancelledError:
            self._fail(self._end or errors.GatewayClosed(f"{self._name}: closed by us.", 1000))
            raise

    def _take(self, incoming: Response | EventFrame | Malformed | None) -> None:
        if isinstance(incoming, Response):
            call = self._waiting.get(incoming.id)
            if call is not None and not call.answer.done():
                call.answer.set_result(incoming)
            elif incoming.id == self._final_id and self.final is not None and not self.final.done():
                self._set_final(self.final, incoming)
        elif isinstance(incoming, EventFrame):
            if incoming.name == "shutdown":
                self._shutdown_reason = "the gateway said that it stops or restarts"
            elif incoming.name == "gateway.suspension":
                with contextlib.suppress(Undecodable):  # then the next request is refused, and says so
                    self.is_suspending = is_suspension(decode(_any_decoder, incoming.payload))
        elif isinstance(incoming, Malformed):
            self._note_unreadable(incoming)

    def _note_unreadable(self, frame: Malformed) -> None:
        if frame.answers is not None:
            call = self._waiting.get(frame.answers)
            if call is not None and not call.answer.done():
                # guard: wire: an unreadable answer ends its call at once
                call.answer.set_exception(self._unreadable(call.method, frame.reason))
        elif not frame.answers_nothing:
            for call in self._waiting.values():
                call.unreadable = frame.reason

    def _unreadable(self, method: str, reason: str) -> errors.AnswerUnreadable:
        return errors.AnswerUnreadable(f"{self._name}: {method} was answered with {reason}.")

    def _set_final(self, final: asyncio.Future[msgspec.Raw], incoming: Response) -> None:
        if incoming.error is not None:
            final.set_exception(refusal(self._name, "agent", incoming.error, secrets=self._secrets))
        elif incoming.payload is not None:
            final.set_result(incoming.payload)

    def _closed(self, closed: ConnectionClosed) -> errors.GatewayError:
        code = closed.rcvd.code if closed.rcvd is not None else None
        reason = closed.rcvd.reason if closed.rcvd is not None else ""
        if self._shutdown_reason is not None or code == 1012:
            return errors.GatewayDraining(f"{self._name}: the gateway closed the connection to restart or stop.")
        # guard: wire: a connection that we gave up is not one that broke
        if code is None and closed.sent is not None and closed.sent.code in _UNREADABLE_CODES:
            what = _UNREADABLE_CODES[closed.sent.code]
            return errors.AnswerUnreadable(
                f"{self._name}: the gateway sent {what}, and the connection was given up for it.", ends_connection=True
            )
        if code is None:
            return errors.GatewayClosed(
                f"{self._name}: the connection broke without a goodbye; the gateway was killed or crashed.", 1006
            )
        if code == 1013:
            return errors.GatewayStarting(f"{self._name}: the gateway is still starting; waiting for it.")
        detail = f" ({clip(reason, self._secrets)})" if reason else ""
        return errors.GatewayClosed(f"{self._name}: the gateway closed the connection with code {code}{detail}.", code)

    def _fail(self, error: errors.GatewayError) -> None:
        if self._end is None:
            self._end = error
        self.ended_at = self.ended_at or self._clock.now()
        for call in self._waiting.values():
            if not call.answer.done():
                call.answer.set_exception(self._lost(call.method))
        if self.final is not None and not self.final.done():
            self.final.set_exception(self._lost("agent"))

    def _lost(self, method: str) -> errors.OutcomeUnknown:
        if isinstance(self._end, errors.AnswerUnreadable):
            return errors.AnswerUnreadable(f"{self._end} It was asked for {method}.", ends_connection=True)
        lost = errors.OutcomeUnknown(f"{self._name}: the connection ended before an answer came.")
        lost.__cause__ = self._end
        return lost


@dataclass(slots=True)
class Links:
    """Opens links to the gateway called ``name``; keeps none of them."""

    name: str
    device: DeviceIdentity
    clock: Clock
    dial: Dial | None = None
    """How the socket is opened; None: over the network."""
    on_device_token: Callable[[str, tuple[str, ...], str], None] | None = None
    """Is told the url, the scopes and the token when the gateway issues one to ``device``."""
    on_repair: Callable[[str], None] | None = None
    """Is told each method once whose answer held text that had to be repaired."""
    secrets: Secrets = field(default_factory=Secrets)
    """What no error repeats, though a gateway says it."""
    _repaired: set[str] = field(init=False, default_factory=set)

    async def open(
        self, endpoint: Endpoint, scopes: tuple[str, ...], *, device: DeviceIdentity | None, patience: float
    ) -> Link:
        """Connect there and sign in with ``scopes``, as ``device`` (None: as our own), within ``patience`` seconds for each
        of the two. Raises ``errors.GatewayError`` leaves."""
        check_url(self.name, endpoint.url, insecure=endpoint.insecure)
        dial = self.dial or partial(dial_network, tls=endpoint.tls)
        socket = await dial(self.name, endpoint.url, patience)
        conversation = Conversation(self._note_repair)
        link = Link(self.name, socket, conversation, self.clock, self.secrets)
        signer = device or self.device
        handshake = Handshake(
            self.name, conversation, scopes, endpoint.credentials, signer, endpoint.openclaw, self.secrets
        )
        await link.sign_in(handshake, endpoint.check_peer, patience)
        if is_suspension(link.hello.snapshot.suspension):  # guard: wire: nothing is begun while it is suspended
            await link.close()
            raise errors.GatewaySuspended(
                f"{self.name}: the gateway is suspended; it takes nothing until it is resumed."
            )
        issued = link.hello.auth.device_token if link.hello.auth is not None else None
        if issued and device is None and self.on_device_token is not None:
            self.on_device_token(endpoint.url, scopes, issued)
        return link

    def _note_repair(self, method: str) -> None:
        """Once for each method: a text that was cut badly stays as it is, and is read again every time."""
        if method not in self._repaired and self.on_repair is not None:
            self.on_repair(method)
        self._repaired.add(method)
