"""On the wire: the JSON webhook, apprise against a real server, and the heartbeat."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import respx

from tests.unit.notify.outbox import told
from watchdog.core.policy import Step
from watchdog.notify.delivery import Heartbeat
from watchdog.notify.senders import (
    _NATIVE_HOSTS,
    AppriseSender,
    DeliveryFailed,
    WebhookSender,
    sender_for,
    service_of,
)
from watchdog.service.announcements import digest, trial
from watchdog.service.events import Event, MemoryLog
from watchdog.service.ledger import MessageKind
from watchdog.service.redaction import Secrets

# apprise 2.2 looks whether Python still has imghdr; the warning is its own.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

URL = "https://example.org/hooks/s3cret-path"
NOW = datetime(2026, 9, 14, 14, 3, tzinfo=UTC)


# ---------------------------------------------------------------- webhook


@respx.mock
async def test_a_webhook_gets_the_message_as_json() -> None:
    route = respx.post(URL).respond(204)
    sender = WebhookSender(URL, "cellar")
    await sender.send(replace(told(1), step=Step.RESUME, at=NOW))
    await sender.send(told(2, MessageKind.QUARANTINED))
    await sender.send(replace(told(3, MessageKind.RECOVERED), target="phone"))
    await sender.aclose()
    request = route.calls[0].request
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "openclaw-watchdog"
    assert json.loads(request.content) == {
        "kind": "stuck",
        "severity": "warning",
        "time": "2026-09-14T14:03:00+00:00",
        "host": "cellar",
        "gateway": "home",
        "session": "agent:main:1",
        "incident": "i-1",
        "step": "resume",
        "reminder": False,
        "title": "Title 1",
        "body": "Body 1",
        "id": "key-1",
    }
    given_up, well = (json.loads(call.request.content) for call in list(route.calls)[1:])
    assert (given_up["severity"], given_up["step"], given_up["time"]) == ("critical", None, None)
    assert (well["severity"], well["reminder"]) == ("info", True)
    assert WebhookSender(URL)._host == socket.gethostname()


@respx.mock
async def test_a_webhook_gets_any_key_as_it_is_in_ascii() -> None:
    route = respx.post(URL).respond(204)
    keys = ["\ud83d", "\x1b[2J\u202e", "[/x] @everyone", "\u2028"]
    sender = WebhookSender(URL)
    for key in keys:
        await sender.send(replace(told(1), session=key))
    await sender.aclose()
    bodies = [call.request.content for call in route.calls]
    assert [json.loads(body)["session"] for body in bodies] == keys
    assert all(body.decode("ascii").isprintable() for body in bodies)


@respx.mock
async def test_a_digest_carries_its_messages() -> None:
    route = respx.post(URL).respond(200)
    parts = [told(1), told(2, MessageKind.RECOVERED)]
    sender = WebhookSender(URL)
    await sender.send(digest(parts), parts)
    await sender.aclose()
    document = json.loads(route.calls[0].request.content)
    assert document["kind"] == "digest"
    assert document["title"] == "Several at once: 1 stuck, 1 recovered"
    assert [part["id"] for part in document["messages"]] == ["key-1", "key-2"]


@respx.mock
async def test_a_digest_says_what_is_only_said_again() -> None:
    route = respx.post(URL).respond(200)
    again = [replace(told(number), target="phone") for number in range(1, 9)]
    shut = replace(told(9, MessageKind.QUARANTINED), target="phone")
    sender = WebhookSender(URL)
    for parts in (again, [*again, shut], [*again, shut, told(10)]):
        await sender.send(digest(parts), parts)
    await sender.aclose()
    documents = [json.loads(call.request.content) for call in route.calls]
    assert [(document["title"], document["reminder"]) for document in documents] == [
        ("Several at once: 8 still open", True),
        ("Several at once: 1 still quarantined, 8 still open", True),
        ("Several at once: 1 still quarantined, 1 stuck, 8 still open", False),
    ]


@pytest.mark.parametrize(
    ("outcome", "problem", "is_messages_fault"),
    [
        (httpx.Response(503), "it answered 503", False),
        (httpx.Response(302, headers={"location": "https://elsewhere"}), "it answered 302", False),
        (httpx.Response(401), "it answered 401", False),
        (httpx.Response(413), "it answered 413", True),
        (httpx.ConnectError(f"no {URL}"), "it cannot be reached", False),
        (httpx.ConnectTimeout(URL), "it cannot be reached", False),
        (httpx.ReadTimeout(URL), "it did not answer in time", False),
        (httpx.RemoteProtocolError(URL), "the connection broke off", False),
        (httpx.UnsupportedProtocol(URL), "its URL cannot be used", False),
        (httpx.TooManyRedirects(URL), "sending failed (TooManyRedirects)", False),
    ],
)
@respx.mock
async def test_failures_never_name_the_url(
    outcome: httpx.Response | Exception, problem: str, is_messages_fault: bool
) -> None:
    respx.post(URL).mock(side_effect=[outcome])
    sender = WebhookSender(URL)
    with pytest.raises(DeliveryFailed) as failed:
        await sender.send(told(1))
    await sender.aclose()
    assert str(failed.value) == problem
    assert failed.value.is_messages_fault is is_messages_fault
    assert failed.value.__cause__ is None


async def test_an_unusable_url() -> None:
    sender = WebhookSender("http://[nonsense")
    with pytest.raises(DeliveryFailed):
        await sender.send(told(1))
    await sender.aclose()


@pytest.mark.parametrize(
    ("url", "service", "kind"),
    [
        ("https://example.org/x", "webhook", WebhookSender),
        ("http://user:pw@example.org:80/x", "webhook", WebhookSender),
        ("json+https://discord.com/x", "webhook", WebhookSender),
        ("https://discord.com/api/webhooks/1/2", "discord", AppriseSender),
        ("https://hooks.slack.com/services/T/B/X", "slack", AppriseSender),
        (" json://example.org", "json", AppriseSender),
        ("tgram://123:abc/1", "tgram", AppriseSender),
        ("://", "target", AppriseSender),
    ],
)
def test_which_way_a_url_goes(url: str, service: str, kind: type) -> None:
    assert service_of(url) == service
    assert type(sender_for(url)) is kind


@respx.mock
async def test_the_prefix_that_forces_a_plain_post_is_not_sent() -> None:
    route = respx.post("https://discord.com/x").respond(200)
    sender = sender_for("json+https://discord.com/x")
    await sender.send(told(1))
    await sender.aclose()
    assert route.called


# ---------------------------------------------------------------- apprise


@dataclass
class Inbox:
    """A real HTTP server on loopback; the last part of the path is the status it answers with."""

    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def url(self, status: int) -> str:
        return f"json://127.0.0.1:{self.port}/{status}"


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(int(self.path.rstrip("/").rpartition("/")[2]))
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    inbox.port = server.server_port
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield inbox
    server.shutdown()
    server.server_close()
    serving.join()


async def test_apprise_delivers_to_a_real_server(inbox: Inbox) -> None:
    message = trial(now=NOW, host="nas", version="1.0.0")
    await AppriseSender(inbox.url(200)).send(message)
    body = inbox.bodies[0]
    assert body["title"] == message.title
    assert body["message"] == message.body
    assert body["type"] == "info"


async def test_apprise_is_given_the_tone(inbox: Inbox) -> None:
    await AppriseSender(inbox.url(200)).send(told(1, MessageKind.QUARANTINED))
    assert inbox.bodies[0]["type"] == "failure"


@pytest.mark.parametrize(("status", "is_messages_fault"), [(503, False), (404, False), (400, True)])
async def test_what_apprise_says_of_a_failure(inbox: Inbox, status: int, is_messages_fault: bool) -> None:
    with pytest.raises(DeliveryFailed, match=rf"^it answered {status}$") as failed:
        await AppriseSender(inbox.url(status)).send(told(1))
    assert failed.value.is_messages_fault is is_messages_fault


async def test_apprise_cannot_reach_anybody() -> None:
    with pytest.raises(DeliveryFailed, match=r"^it cannot be reached$"):
        await AppriseSender("json://127.0.0.1:1/s3cret").send(told(1))


@pytest.mark.parametrize("url", ["nonsense://s3cret", "discord://s3cret", "s3cret"])
async def test_apprise_does_not_know_this(url: str) -> None:
    with pytest.raises(DeliveryFailed, match=r"^apprise does not understand its URL$"):
        await AppriseSender(url).send(told(1))


NATIVE_URLS = {
    "discord.com": "https://discord.com/api/webhooks/123456789012345678/abcdefghijklmnopqrstuvwxyz",
    "discordapp.com": "https://discordapp.com/api/webhooks/123456789012345678/abcdefghijklmnopqrstuvwxyz",
    "hooks.slack.com": "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "ntfy.sh": "https://ntfy.sh/my-topic",
    "chat.googleapis.com": "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=k&token=t",
}


def test_apprise_really_takes_the_addresses_we_leave_to_it() -> None:
    import apprise

    assert set(NATIVE_URLS) == set(_NATIVE_HOSTS)
    assert all(apprise.Apprise().add(url) for url in NATIVE_URLS.values())


# ---------------------------------------------------------------- heartbeat


@respx.mock
async def test_the_heartbeat_tells_of_a_streak_once_and_of_its_end() -> None:
    route = respx.get(URL)
    route.side_effect = [
        httpx.Response(200),
        httpx.ConnectError(URL),
        httpx.Response(500),
        httpx.ReadTimeout(URL),
        httpx.Response(200),
        httpx.Response(404),
    ]
    log, secrets = MemoryLog(), Secrets()
    heartbeat = Heartbeat(URL, log, secrets=secrets)
    assert [await heartbeat.ping() for _ in range(6)] == [True, False, False, False, True, False]
    await heartbeat.aclose()
    assert log.names == [Event.HEARTBEAT_FAILED, Event.HEARTBEAT_RESTORED, Event.HEARTBEAT_FAILED]
    assert [dict(line.fields) for line in log.lines] == [
        {"reason": "it cannot be reached"},
        {"missed": 3},
        {"reason": "it answered 404"},
    ]
    assert secrets.scrub(URL) == "***"


@pytest.mark.parametrize("url", ["", "not a url", "http://[", "ftp://example.org"])
async def test_a_useless_heartbeat_url_never_raises(url: str) -> None:
    log = MemoryLog()
    heartbeat = Heartbeat(url, log)
    assert not await heartbeat.ping()
    await heartbeat.aclose()
    assert log.of(Event.HEARTBEAT_FAILED) == [{"reason": "its URL cannot be used"}] or url == "http://["
