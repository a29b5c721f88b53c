"""How one message reaches one target: a plain JSON POST, or whatever apprise knows.

Invariant: nothing raised here names a URL or any part of one. Services put their secrets into paths, and a failure's text
ends up in the log, in the ledger and on the status page.

Neither way waits for more than it must: of a webhook's answer only the status is read, and apprise runs in a process that
is killed when its sender is cancelled. The deadline for the whole is the caller's.

httpx is imported with the first message: most daemons live long and send seldom, or never.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from watchdog import PROGRAM
from watchdog.notify import apprise_process
from watchdog.service import descriptors
from watchdog.service.errors import WatchdogError
from watchdog.service.ledger import Message, MessageKind

if TYPE_CHECKING:
    import httpx

HTTP_TIMEOUT = 10.0
"""Seconds, for each of connecting, writing and reading."""
_MESSAGES_FAULT = frozenset({400, 411, 413, 414, 415, 422})
"""Answers that condemn this message, not the target: the next one may pass."""

_NATIVE_HOSTS = {
    "discord.com": "discord",
    "discordapp.com": "discord",
    "hooks.slack.com": "slack",
    "ntfy.sh": "ntfy",
    "chat.googleapis.com": "googlechat",
}
"""Addresses people copy from these services as they are; a plain POST would not be understood there, apprise is."""

_TONES = {
    MessageKind.RECOVERED: "success",
    MessageKind.CLEARED: "success",
    MessageKind.GATEWAY_UP: "success",
    MessageKind.STUCK: "warning",
    MessageKind.INEFFECTIVE: "warning",
    MessageKind.UNANSWERED: "warning",
    MessageKind.QUARANTINED: "failure",
    MessageKind.GATEWAY_DOWN: "failure",
    MessageKind.FLEET_BREAKER: "failure",
    MessageKind.LEDGER: "failure",
}
"""apprise's colour and icon; ``info`` for the rest."""
_SEVERITIES = {"failure": "critical", "warning": "warning"}
"""The webhook's word for a tone, as in the delivered Prometheus alerts; ``info`` for the rest."""


class DeliveryFailed(WatchdogError):
    """A target did not take a message. ``is_messages_fault``: it would not take this one later either, but others."""

    def __init__(self, problem: str, *, is_messages_fault: bool = False) -> None:
        super().__init__(problem)
        self.is_messages_fault = is_messages_fault


class MessageSender(Protocol):
    async def send(self, message: Message, parts: Sequence[Message] = ()) -> None:
        """Deliver once; ``parts`` are the messages a digest stands for. Raises ``DeliveryFailed``."""
        ...

    async def aclose(self) -> None: ...


def service_of(url: str) -> str:
    """What a target is, without saying where: ``webhook``, ``discord``, ``mailtos``."""
    scheme, separator, rest = url.strip().partition("://")
    scheme = scheme.lower()
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+-]{0,19}", scheme):
        return "target"
    if scheme in ("json+http", "json+https"):
        return "webhook"
    if scheme in ("http", "https"):
        host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2].partition(":")[0].lower()
        return _NATIVE_HOSTS.get(host, "webhook")
    return scheme


def sender_for(url: str) -> MessageSender:
    url = url.strip()
    return WebhookSender(url.removeprefix("json+")) if service_of(url) == "webhook" else AppriseSender(url)


class WebhookSender:
    """POSTs the message as one JSON object: title and body as people read them, the other fields as machines need them."""

    def __init__(self, url: str, host: str | None = None) -> None:
        """``host``: the machine that says so. None: this one."""
        self._url = url
        self._host = host if host is not None else socket.gethostname()
        self._client: httpx.AsyncClient | None = None

    async def send(self, message: Message, parts: Sequence[Message] = ()) -> None:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=HTTP_TIMEOUT, headers={"user-agent": PROGRAM})
        document = self._document(message)
        if parts:
            document |= {"kind": "digest", "messages": [self._document(part) for part in parts]}
        try:
            # In ASCII: a key may hold what UTF-8 cannot say (half an emoji), and whoever shows it raw gets escapes.
            content = json.dumps(document).encode("ascii")
            headers = {"content-type": "application/json"}
            async with self._client.stream("POST", self._url, content=content, headers=headers) as answer:
                pass  # its status is all that counts; a body may be endless
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise DeliveryFailed(http_problem(error)) from None  # the cause holds the URL
        if not answer.is_success:
            raise _refusal(answer.status_code)

    def _document(self, message: Message) -> dict[str, Any]:
        return {
            "kind": message.kind.value,
            "severity": _SEVERITIES.get(_TONES.get(message.kind, ""), "info"),
            "time": message.at.isoformat() if message.at is not None else None,
            "host": self._host,
            "gateway": message.gateway or None,
            "session": message.session,
            "incident": message.incident,
            "step": message.step.value if message.step is not None else None,
            "reminder": message.is_reminder,
            "title": message.title,
            "body": message.body,
            "id": message.dedupe_key,
        }

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def http_problem(error: Exception) -> str:
    """What went wrong on the wire, in words that cannot hold an address."""
    import httpx

    if descriptors.is_shortage(error):
        return descriptors.shortage()
    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return "it cannot be reached"
        case httpx.TimeoutException():
            return "it did not answer in time"
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            return "the connection broke off"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | ValueError():
            return "its URL cannot be used"
    return f"sending failed ({type(error).__name__})"


def _refusal(status: int) -> DeliveryFailed:
    return DeliveryFailed(f"it answered {status}", is_messages_fault=status in _MESSAGES_FAULT)


class AppriseSender:
    """Hands the message to apprise, in a process of its own for each (0.3 s of one core, 45 MiB meanwhile)."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def send(self, message: Message, parts: Sequence[Message] = ()) -> None:  # noqa: ARG002 - the digest has the titles
        order = {
            "url": self._url,
            "title": message.title,
            "body": message.body,
            "type": _TONES.get(message.kind, "info"),
        }
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the folder of the script holds modules of ours, with names that others may use
                str(Path(apprise_process.__file__)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as problem:
            words = f"apprise cannot be started ({problem.strerror or type(problem).__name__})"
            raise DeliveryFailed(descriptors.shortage() if descriptors.is_shortage(problem) else words) from problem
        try:
            answered, _ = await process.communicate(json.dumps(order).encode())
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        _raise_failure(answered)

    async def aclose(self) -> None:
        """Nothing is kept open."""


def _raise_failure(answered: bytes) -> None:
    try:
        answer = json.loads(answered)
    except ValueError:
        raise DeliveryFailed("apprise ended without an answer") from None
    match answer:
        case {"outcome": apprise_process.DELIVERED}:
            return
        case {"outcome": apprise_process.NOT_UNDERSTOOD}:
            raise DeliveryFailed("apprise does not understand its URL")
        case {"outcome": apprise_process.UNREACHABLE}:
            raise DeliveryFailed("it cannot be reached")
        case {"status": int(status)}:
            raise _refusal(status)
    raise DeliveryFailed("apprise could not deliver it")
