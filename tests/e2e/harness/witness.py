"""An independent operator: its own key, its own connection, none of the watchdog's code.

Blocking, one connection, calls answered in order. Events that arrive in between are kept in `events`.

Seen on the wire:

- `chat.history`: the user's text is a list of parts before 2026.9 and a plain string from then on; only then messages name
  their run (`__openclaw.runId`, on the user's `idempotencyKey` "<run>:user").
- A user's `timestamp` is the row's `startedAt` to the millisecond on 2026.3.24 and 2026.4.14 (one less at times), up to
  1.5 s after it on 2026.5.18, 0.1 to 0.4 s before it on 2026.9.6.
- What is delivered to a chat app is mirrored in the transcript as an assistant message of provider `openclaw`, model
  `delivery-mirror`: no sign of a run.
- `timeoutMs` of `sessions.send` is heeded by 2026.9.6 only.
- `send` (write) says a text in a chat without a model call. 2026.9.6 then takes the `to` it was given as the session's
  address ("#team" for "channel:#team"), so give it `deliveryContext.to` as it is.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from websockets.exceptions import WebSocketException
from websockets.protocol import State
from websockets.sync.client import connect

from tests.e2e.harness.conditions import epoch_ms, monotonic

from .failures import HarnessError, Refused

READ = ("operator.read",)
WRITE = ("operator.read", "operator.write")
ADMIN = ("operator.read", "operator.write", "operator.admin")

BACKEND = ("gateway-client", "backend")
"""Client id and mode of an integration; cannot reach the chat app of a main session."""
CLI = ("cli", "cli")
"""Client id and mode of a person's terminal; paired by the gateway at once when on loopback."""

Row = dict[str, Any]


class DeviceKey:
    """An ed25519 identity as gateways know devices."""

    def __init__(self, pem: bytes | None = None) -> None:
        """A new one; ``pem``: the one in this file of a program's."""
        key = load_pem_private_key(pem, None) if pem is not None else Ed25519PrivateKey.generate()
        assert isinstance(key, Ed25519PrivateKey)
        self._key = key
        self._public = self._key.public_key().public_bytes_raw()
        self.id = hashlib.sha256(self._public).hexdigest()

    def introduce(
        self, client: tuple[str, str], scopes: tuple[str, ...], token: str, nonce: str, platform: str
    ) -> dict[str, object]:
        """The `device` of a connect request: the gateway's challenge, signed (signature version 3)."""
        at = epoch_ms()
        facts = ("v3", self.id, *client, "operator", ",".join(scopes), str(at), token, nonce, platform, "")
        signature = self._key.sign("|".join(facts).encode())
        return {
            "id": self.id,
            "publicKey": _base64url(self._public),
            "signature": _base64url(signature),
            "signedAt": at,
            "nonce": nonce,
        }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Witness:
    """One open connection to a gateway."""

    PLATFORM = "linux"

    def __init__(
        self,
        url: str,
        token: str,
        *,
        scopes: Iterable[str] = ADMIN,
        client: tuple[str, str] = BACKEND,
        key: DeviceKey | None = None,
        patience: float = 30,
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self._ids = itertools.count(1)
        self._patience = patience
        asked = tuple(scopes)
        device = key or DeviceKey()
        self._connection = contextlib.ExitStack()
        with _as_harness_error(f"connecting to {url}"):
            # Gateways announce themselves with frames of several MB when they hold many sessions.
            # No pings: a gateway may hang, and be found where it was. No limit to what waits to be read: beyond it nothing
            # is taken from the socket, and then neither is the news that the gateway has gone.
            opening = connect(
                url,
                open_timeout=patience,
                close_timeout=2,
                max_size=None,
                max_queue=None,
                proxy=None,
                ping_interval=None,
            )
            self._socket = self._connection.enter_context(opening)
        try:
            challenge = self._receive(monotonic() + patience)
            nonce = str(challenge["payload"]["nonce"])
            self.hello: dict[str, Any] = self.call(
                "connect",
                {
                    "minProtocol": 3,
                    "maxProtocol": 4,
                    "role": "operator",
                    "scopes": list(asked),
                    "caps": [],
                    "auth": {"token": token},
                    "client": {
                        "id": client[0],
                        "mode": client[1],
                        "version": "1.0.0",
                        "platform": self.PLATFORM,
                        "displayName": "witness",
                    },
                    "device": device.introduce(client, asked, token, nonce, self.PLATFORM),
                },
            )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with contextlib.suppress(WebSocketException, OSError):
            self._connection.close()

    @property
    def is_closed(self) -> bool:
        return self._socket.state is not State.OPEN

    def __enter__(self) -> Witness:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ calls

    def call(self, method: str, params: dict[str, Any] | None = None, *, within: float | None = None) -> dict[str, Any]:
        """One request and its (first) answer; raises `Refused` with the gateway's words."""
        wanted = f"witness-{next(self._ids)}"
        frame = {"type": "req", "id": wanted, "method": method, "params": params or {}}
        limit = monotonic() + (within or self._patience)
        with _as_harness_error(method):
            self._socket.send(json.dumps(frame))
        while True:
            answer = self._receive(limit)
            if answer.get("type") == "res" and answer.get("id") == wanted:
                if not answer.get("ok"):
                    raise Refused(method, dict(answer.get("error") or {}))
                return dict(answer.get("payload") or {})
            self.events.append(answer)

    def _receive(self, limit: float) -> dict[str, Any]:
        with _as_harness_error("waiting for an answer"):
            frame = json.loads(self._socket.recv(timeout=max(0.05, limit - monotonic())))
        return dict(frame)

    def listen(self, seconds: float) -> None:
        """Take in events for so long, or until the gateway closes the connection (then a `HarnessError`)."""
        limit = monotonic() + seconds
        while monotonic() < limit:
            try:
                with _as_harness_error("listening", except_timeouts=True):
                    frame = self._socket.recv(timeout=max(0.05, limit - monotonic()))
            except TimeoutError:
                return
            self.events.append(json.loads(frame))

    # ------------------------------------------------------------ looking

    def rows(self) -> list[Row]:
        """Every session's row, whole, whatever its kind."""
        return list(
            self.call("sessions.list", {"limit": 10_000, "includeGlobal": True, "includeUnknown": True})["sessions"]
        )

    def row(self, key: str) -> Row:
        """One session's row; empty when the gateway does not list it."""
        return next((row for row in self.rows() if row["key"] == key), {})

    def history(self, key: str, limit: int = 200) -> list[dict[str, Any]]:
        return list(self.call("chat.history", {"sessionKey": key, "limit": limit})["messages"])

    # ------------------------------------------------------------ acting (as the person's other devices do)

    def create(self, key: str) -> None:
        self.call("sessions.create", {"key": key})

    def send(self, key: str, message: str) -> str:
        """`sessions.send`; the run's id. "started" also when it is only queued."""
        return self._begin("sessions.send", {"key": key, "message": message})

    def chat(self, key: str, message: str, *, deliver: bool = False) -> str:
        return self._begin("chat.send", {"sessionKey": key, "message": message, "deliver": deliver})

    def agent(self, key: str, message: str, *, deliver: bool = False) -> str:
        return self._begin("agent", {"sessionKey": key, "message": message, "deliver": deliver})

    def _begin(self, method: str, params: dict[str, Any]) -> str:
        return str(self.call(method, {**params, "idempotencyKey": uuid.uuid4().hex})["runId"])

    def abort(self, key: str) -> str:
        """`sessions.abort`: `aborted` or `no-active-run`. Kills what it finds: from 2026.9 on, whatever started it."""
        return str(self.call("sessions.abort", {"key": key})["status"])

    def reset(self, key: str) -> None:
        self.call("sessions.reset", {"key": key, "reason": "new"})


@contextlib.contextmanager
def _as_harness_error(doing: str, *, except_timeouts: bool = False) -> Iterator[None]:
    try:
        yield
    except TimeoutError as slow:
        if except_timeouts:
            raise
        raise HarnessError(f"{doing}: no answer in time") from slow
    except (OSError, WebSocketException, EOFError) as problem:
        raise HarnessError(f"{doing}: {type(problem).__name__} {problem}") from problem
