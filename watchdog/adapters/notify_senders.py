"""How one message reaches one target: a plain JSON POST, or whatever apprise knows.

Invariant: nothing raised here names a URL or any part of one. Services put their secrets into paths, and a failure's text
ends up in the log, in the ledger and on the status page.

httpx and apprise are imported with the first message: most daemons live long and send seldom, or never.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from watchdog.service.errors import WatchdogError
from watchdog.service.ledger import Message, MessageKind

if TYPE_CHECKING:
    import httpx

HTTP_TIMEOUT = 10.0
"""Seconds, for each of connecting, writing and reading."""
USER_AGENT = "openclaw-watchdog"
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
    MessageKind.QUARANTINED: "failure",
    MessageKind.GATEWAY_DOWN: "failure",
    MessageKind.FLEET_BREAKER: "failure",
    MessageKind.LEDGER: "failure",
}
"""apprise's colour and icon; ``info`` for the rest."""


class DeliveryFailed(WatchdogError):
    """A target did not take a message. ``is_messages_fault``: it would not take this one later either, but others."""

    def __init__(self, problem: str, *, is_messages_fault: bool = False) -> None:
        super().__init__(problem)
        self.is_messages_fault = is_messages_fault


class Sender(Protocol):
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


def sender_for(url: str) -> Sender:
    url = url.strip()
    return WebhookSender(url.removeprefix("json+")) if service_of(url) == "webhook" else AppriseSender(url)


class WebhookSender:
    """POSTs the message as one JSON object."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: httpx.AsyncClient | None = None

    async def send(self, message: Message, parts: Sequence[Message] = ()) -> None:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=HTTP_TIMEOUT, headers={"user-agent": USER_AGENT})
        document = _document(message)
        if parts:
            document |= {"kind": "digest", "messages": [_document(part) for part in parts]}
        try:
            answer = await self._client.post(self._url, json=document)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise DeliveryFailed(http_problem(error)) from None  # the cause holds the URL
        if not answer.is_success:
            raise _refusal(answer.status_code)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def _document(message: Message) -> dict[str, Any]:
    return {
        "kind": message.kind.value,
        "gateway": message.gateway or None,
        "session": message.session,
        "incident": message.incident,
        "title": message.title,
        "body": message.body,
        "id": message.dedupe_key,
    }


def http_problem(error: Exception) -> str:
    """What went wrong on the wire, in words that cannot hold an address."""
    import httpx

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
    """Hands the message to apprise in a thread."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def send(self, message: Message, parts: Sequence[Message] = ()) -> None:  # noqa: ARG002 - the digest has the titles
        await asyncio.to_thread(self._notify, message)

    async def aclose(self) -> None:
        """Nothing is kept open."""

    def _notify(self, message: Message) -> None:
        import apprise

        asset = apprise.AppriseAsset(
            app_id="openclaw-watchdog",
            app_desc="OpenClaw watchdog",
            app_url="",
            image_url_mask="",
            image_url_logo="",
            async_mode=False,
        )
        target = apprise.Apprise(asset=asset)
        if not target.add(self._url):
            raise DeliveryFailed("apprise does not understand its URL")
        result = target.notify(
            title=message.title,
            body=message.body,
            notify_type=_TONES.get(message.kind, "info"),
            body_format=apprise.NotifyFormat.TEXT,
        )
        failed = None if result else _told_by_apprise(result)
        if hasattr(result, "close"):
            result.close()
        if failed is not None:
            raise failed


_STATUS = re.compile(r"error\s*=\s*(\d{3})\b")


def _told_by_apprise(result: object) -> DeliveryFailed:
    """apprise tells why it failed in log lines only, and names hosts in them: the HTTP status is all we take from them.
    Before 2.0 its result is a plain bool without lines."""
    lines = getattr(result, "logs", None)
    said = " ".join(line.message for line in lines()) if lines is not None else ""
    status = _STATUS.search(said)
    if status is not None:
        return _refusal(int(status.group(1)))
    return DeliveryFailed(
        "it cannot be reached" if "connection error" in said.lower() else "apprise could not deliver it"
    )
