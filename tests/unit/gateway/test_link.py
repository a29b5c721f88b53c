"""One websocket to one gateway, over real sockets on loopback: sign-in, endings told apart, answers lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import serve

from watchdog import __version__
from watchdog.gateway.frames import Event, WireError
from watchdog.gateway.link import (
    AS_CLI,
    FRAME_BURST,
    FRAMES_A_SECOND,
    Allowance,
    Credentials,
    Introduction,
    Link,
    check_url,
    is_loopback,
)
from watchdog.gateway.secrets import Secret
from watchdog.service import errors

from .server import CHALLENGE_TS, Answer, Closed, Raw, Refused, Silent, WireGateway, free_port, plain_server, running
from .support import OURS, PASSWORD, TOKEN, StillClock, secret
from .test_refusals import SIGN_IN, Expected

READ = ("operator.read",)
SOON = 0.08
"""Seconds of patience in tests of things that never answer."""


async def _open(url: str, *, patience: float = 5.0, **changes: Any) -> Link:
    made: dict[str, Any] = {
        "introduction": Introduction(READ),
        "credentials": Credentials(token=secret()),
        "device": OURS,
        "clock": StillClock(),
        "patience": patience,
    }
    return await Link.open("home", url, **(made | changes))


@contextlib.asynccontextmanager
async def _linked(gateway: WireGateway, **changes: Any) -> AsyncIterator[Link]:
    async with running(gateway):
        link = await _open(gateway.url, **changes)
        try:
            yield link
        finally:
            await link.close()


async def _refused(url: str, **changes: Any) -> errors.GatewayError:
    """The error with which opening ends; it must be one sentence without the token."""
    with pytest.raises(errors.GatewayError) as refused:
        await _open(url, **changes)
    _is_clean(refused.value)
    return refused.value


def _is_clean(error: BaseException) -> None:
    seen: BaseException | None = error
    while seen is not None:
        assert TOKEN not in f"{seen} {seen!r}"
        assert PASSWORD not in f"{seen} {seen!r}"
        seen = seen.__cause__
    assert str(error).startswith("home: ")
    assert "\n" not in str(error)


# ---------------------------------------------------------------- signing in


async def test_the_sign_in_says_who_we_are_and_proves_it() -> None:
    gateway = WireGateway()
    async with _linked(gateway) as link:
        assert link.is_open
        assert link.end is None
        (params,) = gateway.sign_ins
    assert (params["minProtocol"], params["maxProtocol"]) == (3, 4)
    assert (params["role"], params["scopes"], params["caps"]) == ("operator", ["operator.read"], [])
    assert params["auth"] == {"token": TOKEN}
    assert (params["client"]["id"], params["client"]["mode"]) == ("gateway-client", "backend")
    assert params["client"]["version"] == __version__
    device = params["device"]
    raw_key = base64.urlsafe_b64decode(device["publicKey"] + "==")
    assert device["id"] == hashlib.sha256(raw_key).hexdigest() == OURS.device_id
    assert (device["signedAt"], device["nonce"]) == (CHALLENGE_TS, "nonce-1")
    text = "|".join(
        [
            "v3",
            device["id"],
            "gateway-client",
            "backend",
            "operator",
            "operator.read",
            str(CHALLENGE_TS),
            TOKEN,
            "nonce-1",
            params["client"]["platform"],
            "",
        ]
    )
    signature = base64.urlsafe_b64decode(device["signature"] + "==")
    Ed25519PublicKey.from_public_bytes(raw_key).verify(signature, text.encode())


async def test_what_the_hello_says() -> None:
    async with _linked(WireGateway()) as link:
        assert (link.hello.server.version, link.hello.server.bootId, link.hello.protocol) == ("2026.9.6", "boot-1", 4)
        assert link.hello.snapshot.sessionDefaults.mainSessionKey == "agent:main:main"
        assert link.clock_ms == CHALLENGE_TS


async def test_protocol_3_without_an_auth_part() -> None:
    async with _linked(WireGateway(version="2026.3.24", boot_id=None)) as link:
        assert (link.hello.protocol, link.hello.auth, link.hello.server.bootId) == (3, None, None)


@pytest.mark.parametrize(
    ("credentials", "auth", "signed"),
    [
        (Credentials(token=Secret("shared"), device_token=Secret("device")), {"token": "shared"}, "shared"),
        (Credentials(device_token=Secret("device")), {"token": "device"}, "device"),
        (Credentials(password=Secret(PASSWORD)), {"password": PASSWORD}, ""),
        (Credentials(), {}, ""),
    ],
    ids=["token", "device token", "password", "nothing"],
)
async def test_what_we_sign_in_with(credentials: Credentials, auth: dict[str, str], signed: str) -> None:
    gateway = WireGateway()
    async with _linked(gateway, credentials=credentials):
        (params,) = gateway.sign_ins
    assert params["auth"] == auth
    device = params["device"]
    text = (
        f"v3|{device['id']}|gateway-client|backend|operator|operator.read|{CHALLENGE_TS}|{signed}|nonce-1"
        f"|{params['client']['platform']}|"
    )
    assert device["signature"] == OURS.sign(text)


async def test_as_another_client_with_other_scopes() -> None:
    gateway = WireGateway()
    wider = Introduction(("operator.read", "operator.write"), *AS_CLI)
    async with _linked(gateway, introduction=wider):
        (params,) = gateway.sign_ins
    assert params["scopes"] == ["operator.read", "operator.write"]
    assert (params["client"]["id"], params["client"]["mode"]) == ("cli", "cli")


async def test_a_challenge_without_a_time_is_signed_with_ours() -> None:
    gateway = WireGateway(challenge={"nonce": "n"})
    async with _linked(gateway) as link:
        assert link.clock_ms is None
        assert gateway.sign_ins[0]["device"]["signedAt"] == int(StillClock().now().wall.timestamp() * 1000)


async def test_chatter_before_the_challenge_the_hello_and_an_answer_disturbs_nobody() -> None:
    chatter = (
        '{"type":"event","event":"tick","payload":{"ts":1}}',
        '{"type":"event","event":"presence","payload":{}}',
        '{"type":"res","id":"w99","ok":true,"payload":{"other":true}}',
    )
    gateway = WireGateway(chatter=chatter, answers={"health": {"ok": True}})
    async with _linked(gateway) as link:
        assert link.hello.server.version == "2026.9.6"
        assert msgspec.json.decode(await link.call("health")) == {"ok": True}


@pytest.mark.parametrize(("wire", "expected"), SIGN_IN.values(), ids=SIGN_IN)
async def test_every_refused_sign_in(wire: WireError, expected: Expected) -> None:
    error = {"code": wire.code, "message": wire.message, "details": wire.details}
    error |= {"retryable": wire.retryable, "retryAfterMs": wire.retryAfterMs}
    async with running(WireGateway(hello=Refused(error))) as gateway:
        refused = await _refused(gateway.url)
    kind, words, _ = expected
    assert type(refused) is kind
    assert words in str(refused)


# ---------------------------------------------------------------- not getting in


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", errors.GatewayDraining),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", errors.NotAGateway),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", errors.NotAGateway),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", errors.NotAGateway),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", errors.NotAGateway),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", errors.NotAGateway),
        (b"\x15\x03\x01\x00\x02\x02\x16" * 50, errors.NotAGateway),
        (b"\xff" * 70_000, errors.NotAGateway),
        (b"", errors.NotAGateway),
    ],
    ids=["503", "200", "404", "401", "bad upgrade", "ssh", "tls", "garbage", "hangs up"],
)
async def test_something_else_answers(reply: bytes, kind: type[errors.GatewayError]) -> None:
    async with plain_server(reply) as where:
        refused = await _refused(f"ws://{where}")
    assert type(refused) is kind
    assert where in str(refused)


async def test_nobody_listens() -> None:
    refused = await _refused(f"ws://127.0.0.1:{free_port()}")
    assert type(refused) is errors.GatewayUnreachable
    assert str(refused).endswith("(connection refused); is the gateway running?")


async def test_something_listens_and_never_says_a_word() -> None:
    async with plain_server(None) as where:
        refused = await _refused(f"ws://{where}", patience=SOON)
    assert type(refused) is errors.GatewayUnresponsive


@pytest.mark.parametrize(
    "gateway", [WireGateway(challenge=Silent()), WireGateway(hello=Silent())], ids=["silent", "no hello"]
)
async def test_a_handshake_that_never_ends(gateway: WireGateway) -> None:
    async with running(gateway):
        refused = await _refused(gateway.url, patience=SOON)
        await gateway.until_open(0)
    assert type(refused) is errors.GatewayUnresponsive


def _what_it_says(value: WireGateway | type[errors.GatewayError]) -> str:
    """The same in every process, as running in parallel needs it."""
    return f"{value.challenge}, {value.hello}" if isinstance(value, WireGateway) else value.__name__


@pytest.mark.parametrize(
    ("gateway", "kind"),
    [
        (WireGateway(challenge=Raw("hello?")), errors.NotAGateway),
        (WireGateway(challenge=Raw(b"\xff\xfe")), errors.NotAGateway),
        (
            WireGateway(
                challenge=Raw(b'{"type":"event","event":"connect.challenge","payload":{"nonce":"\xff","ts":1}}')
            ),
            errors.NotAGateway,
        ),
        (WireGateway(challenge={"nonce": 5}), errors.NotAGateway),
        (WireGateway(challenge={}), errors.NotAGateway),
        (WireGateway(challenge=Closed(1013, "starting")), errors.GatewayStarting),
        (WireGateway(challenge=Closed(1012, "service restart")), errors.GatewayDraining),
        (WireGateway(challenge=Closed(1008, "policy")), errors.GatewayClosed),
        (WireGateway(challenge=Closed(None)), errors.GatewayClosed),
        (WireGateway(hello=Raw('{"type":"res","id":"{id}","ok":true,"payload":[]}')), errors.NotAGateway),
        (WireGateway(hello=Raw('{"type":"res","id":"{id}","ok":true,"payload":{"server":5}}')), errors.NotAGateway),
        (
            WireGateway(hello=Raw(b'{"type":"res","id":"w1","ok":true,"payload":{"type":"\xd6\xff"}}')),
            errors.NotAGateway,
        ),
        (WireGateway(hello=Raw('{"type":"res","id":"{id}","ok":false}')), errors.RequestRefused),
        (WireGateway(hello=Closed(1013)), errors.GatewayStarting),
        (WireGateway(hello=Closed(None)), errors.GatewayClosed),
    ],
    ids=_what_it_says,
)
async def test_a_sign_in_that_goes_wrong(gateway: WireGateway, kind: type[errors.GatewayError]) -> None:
    async with running(gateway):
        assert type(await _refused(gateway.url)) is kind
        await gateway.until_open(0)


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    elsewhere = WireGateway()
    async with running(elsewhere):
        location = f"Location: {elsewhere.url}\r\n".encode()
        async with plain_server(b"HTTP/1.1 302 Found\r\n" + location + b"Content-Length: 0\r\n\r\n") as where:
            refused = await _refused(f"ws://{where}")
    assert type(refused) is errors.NotAGateway
    assert elsewhere.sign_ins == []


async def test_a_gateway_that_repeats_the_token_in_no_known_place() -> None:
    """Our own sentences carry no secret; a refusal's words are only quoted where nothing typed fits."""
    for name, (wire, _) in SIGN_IN.items():
        if name == "client id":
            continue
        error = {"code": wire.code, "message": f"{wire.message} {TOKEN}", "details": wire.details}
        async with running(WireGateway(hello=Refused(error))) as gateway:
            await _refused(gateway.url)


# ---------------------------------------------------------------- urls


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:18789",
        "http://127.0.0.1:18789",
        "ws://",
        "ws://[::1",
        "ws://127.0.0.1:99999",
        "ws://127.0.0.1:port",
        "ws://127.0.0.1:-1",
        "wss:host",
    ],
)
async def test_urls_that_cannot_work(url: str) -> None:
    assert type(await _refused(url)) is errors.NotAGateway


async def test_a_host_name_that_is_none() -> None:
    refused = await _refused(f"wss://{'a' * 70}.invalid", patience=2)
    assert type(refused) in (errors.NotAGateway, errors.GatewayUnreachable)


@pytest.mark.parametrize("host", ["192.168.1.5", "gateway.local", "8.8.8.8", "[fe80::1]", "127.0.0.1.evil.example"])
async def test_a_token_never_crosses_a_network_in_the_open(host: str) -> None:
    refused = await _refused(f"ws://{host}:18789")
    assert type(refused) is errors.InsecureTransport
    assert not refused.can_wait
    check_url("home", f"wss://{host}:18789", insecure=False)
    check_url("home", f"ws://{host}:18789", insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
def test_loopback_is_not_a_network(host: str) -> None:
    check_url("home", f"ws://{host}:18789", insecure=False)
    assert is_loopback(host.strip("[]"))


async def test_credentials_do_not_belong_in_a_url() -> None:
    refused = await _refused(f"ws://user:{PASSWORD}@127.0.0.1:1")
    assert type(refused) is errors.InsecureTransport


# ---------------------------------------------------------------- TLS


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=3650))
        .not_valid_after(now + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, None)
    )
    assert hashes.SHA256().digest_size == 32
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


async def test_wss_is_checked_and_works(tmp_path: Path) -> None:
    certificate, private = _certificate(tmp_path)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, private)
    ours = ssl.create_default_context(cafile=str(certificate))
    gateway = WireGateway()
    async with serve(gateway._handle, "127.0.0.1", 0, ssl=theirs) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        link = await _open(f"wss://localhost:{port}", tls=ours)
        assert link.hello.server.version == "2026.9.6"
        await link.close()
        refused = await _refused(f"wss://localhost:{port}")
    assert type(refused) is errors.NotAGateway
    assert "certificate" in str(refused)
    assert len(gateway.sign_ins) == 1


async def test_wss_to_a_gateway_without_tls() -> None:
    async with running(WireGateway()) as gateway:
        refused = await _refused(f"wss://127.0.0.1:{gateway.port}")
    assert type(refused) in (errors.NotAGateway, errors.GatewayUnreachable, errors.GatewayUnresponsive)


# ---------------------------------------------------------------- how a connection ends


async def _ended(link: Link) -> errors.GatewayError:
    assert link._reader is not None
    await asyncio.wait({link._reader}, timeout=5)
    assert not link.is_open
    assert link.end is not None
    _is_clean(link.end)
    return link.end


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [
        (Closed(1012, "service restart"), errors.GatewayDraining, None),
        (Closed(1012, "service restart", shutdown=True), errors.GatewayDraining, None),
        (Closed(None, shutdown=True), errors.GatewayDraining, None),
        (Closed(1000, shutdown=True), errors.GatewayDraining, None),
        (Closed(None), errors.GatewayClosed, 1006),
        (Closed(1013), errors.GatewayStarting, None),
        (Closed(1008, "slow consumer"), errors.GatewayClosed, 1008),
        (Closed(1000), errors.GatewayClosed, 1000),
        (Closed(1011, "internal error"), errors.GatewayClosed, 1011),
    ],
    ids=str,
)
async def test_endings_are_told_apart(how: Closed, kind: type[errors.GatewayError], code: int | None) -> None:
    gateway = WireGateway()
    async with _linked(gateway) as link:
        await gateway.end(how)
        end = await _ended(link)
        assert link.ended_at == StillClock().now()
    assert type(end) is kind
    if code is not None:
        assert isinstance(end, errors.GatewayClosed)
        assert end.code == code
        assert how.reason in str(end)


async def test_closing_it_ourselves() -> None:
    gateway = WireGateway()
    async with _linked(gateway) as link:
        await link.close()
        await link.close()
        assert isinstance(link.end, errors.GatewayClosed)
        with pytest.raises(errors.GatewayClosed):
            await link.call("health")
        await gateway.until_open(0)
    assert gateway.asked == []


# ---------------------------------------------------------------- asking


async def test_a_request_and_its_answer() -> None:
    gateway = WireGateway(answers={"health": {"ok": True}})
    async with _linked(gateway) as link:
        assert msgspec.json.decode(await link.call("health", {"x": 1})) == {"ok": True}
        before = link.bytes_received
        await link.call("health")
        assert link.bytes_received > before
    assert [one.params for one in gateway.asked] == [{"x": 1}, {}]


async def test_a_refusal_is_typed() -> None:
    error = {"code": "INVALID_REQUEST", "message": "unknown method: nosuch.method"}
    async with _linked(WireGateway(answers={"nosuch.method": Refused(error)})) as link:
        with pytest.raises(errors.UnknownMethod):
            await link.call("nosuch.method")
        assert link.is_open


async def test_a_page_larger_than_the_librarys_default_limit() -> None:
    rows = [{"key": f"k{number}", "filler": "x" * 2000} for number in range(2000)]
    async with _linked(WireGateway(answers={"sessions.list": {"sessions": rows}})) as link:
        payload = await link.call("sessions.list")
    assert len(bytes(payload)) > 4_000_000


LOST: dict[str, Answer] = {
    "killed": Closed(None),
    "restarted": Closed(1012, shutdown=True),
    "closed": Closed(1000),
    "silent": Silent(),
    "garbage instead": Raw("garbage"),
    "half an answer": Raw('{"type":"res","id":"{id}","ok":tr'),
}


@pytest.mark.parametrize("answer", LOST.values(), ids=LOST)
async def test_an_answer_that_never_comes_leaves_the_outcome_unknown(answer: Answer) -> None:
    gateway = WireGateway(answers={"chat.send": answer})
    async with _linked(gateway) as link:
        with pytest.raises(errors.OutcomeUnknown) as lost:
            await link.call("chat.send", {"message": "go on"}, patience=SOON if not isinstance(answer, Closed) else 5)
        _is_clean(lost.value)
        assert not lost.value.can_wait
    assert len(gateway.asked) == 1, "asked once, whatever happened"


async def test_why_it_was_lost_is_chained() -> None:
    async with _linked(WireGateway(answers={"chat.send": Closed(1012)})) as link:
        with pytest.raises(errors.OutcomeUnknown) as lost:
            await link.call("chat.send")
    assert isinstance(lost.value.__cause__, errors.GatewayDraining)


async def test_all_that_wait_when_it_ends_learn_it() -> None:
    gateway = WireGateway(answers={"chat.send": Silent(), "health": Silent()})
    async with _linked(gateway) as link:
        calls = [asyncio.create_task(link.call(method)) for method in ("chat.send", "health")]
        await gateway.until_asked(2)
        await gateway.end(Closed(None))
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [errors.OutcomeUnknown, errors.OutcomeUnknown]


async def test_after_the_end_nothing_is_sent_and_that_is_said() -> None:
    """Not ``OutcomeUnknown``: this request surely never left."""
    gateway = WireGateway(answers={"chat.send": {"status": "started"}})
    async with _linked(gateway) as link:
        await gateway.end(Closed(None))
        await _ended(link)
        with pytest.raises(errors.GatewayClosed):
            await link.call("chat.send")
    assert gateway.asked == []


async def test_a_connection_that_breaks_while_we_write_leaves_the_outcome_unknown() -> None:
    """The other side may have read it all before it went away."""
    gateway = WireGateway(answers={"chat.send": {"status": "started"}})
    async with _linked(gateway) as link:
        link._socket.transport.abort()
        assert link.is_open, "we do not know it yet"
        with pytest.raises(errors.OutcomeUnknown):
            await link.call("chat.send", {"message": "x" * 100})
        assert not link.is_open


async def test_an_answer_that_comes_too_late_disturbs_nobody() -> None:
    gateway = WireGateway(answers={"slow": Silent(), "health": {"ok": True}})
    async with _linked(gateway) as link:
        with pytest.raises(errors.OutcomeUnknown):
            await link.call("slow", patience=SOON)
        for number in ("w1", "w2"):
            await gateway.say(f'{{"type":"res","id":"{number}","ok":true,"payload":{{"late":true}}}}')
        assert msgspec.json.decode(await link.call("health")) == {"ok": True}


async def test_the_two_answers_of_agent() -> None:
    twice = Raw('{"type":"res","id":"{id}","ok":true,"payload":{"status":"accepted","runId":"r1"}}')
    gateway = WireGateway(answers={"agent": twice, "health": {"ok": True}})
    async with _linked(gateway) as link:
        assert msgspec.json.decode(await link.call("agent"))["status"] == "accepted"
        await gateway.say('{"type":"res","id":"w2","ok":false,"error":{"code":"X","message":"ended badly"}}')
        assert msgspec.json.decode(await link.call("health")) == {"ok": True}


# ---------------------------------------------------------------- what else arrives


async def test_events_reach_whoever_listens_and_holes_are_counted() -> None:
    heard: list[str] = []
    gateway = WireGateway(answers={"health": {}})

    def hear(event: Event) -> None:
        heard.append(event.name)

    async with _linked(gateway) as link:
        link.on_event = hear
        for seq in (1, 2, 5, 6):
            await gateway.say({"type": "event", "event": "tick", "payload": {}, "seq": seq})
        await gateway.say({"type": "event", "event": "health", "payload": {}})
        await gateway.say("garbage")
        await link.call("health")
        assert (link.report.missed_events, link.report.malformed_frames) == (2, 1)
    assert heard == ["tick"] * 4 + ["health"]


# ---------------------------------------------------------------- secrets


def test_nothing_shows_a_secret() -> None:
    credentials = Credentials(token=secret(), password=Secret(PASSWORD), device_token=secret())
    shown = f"{credentials} {credentials!r} {Introduction(READ)!r} {OURS!r}"
    assert TOKEN not in shown
    assert PASSWORD not in shown


# ---------------------------------------------------------------- floods


def test_a_flood_is_held_back_and_an_ordinary_link_is_not() -> None:
    now, taken = 1000.0, 0
    allowance = Allowance(now)
    while now < 1060.0:
        wait = allowance.spend(now)
        taken += 1
        now += wait or 0.0001  # as fast as this machine can
    assert taken <= FRAME_BURST + 61 * FRAMES_A_SECOND
    assert taken >= 60 * FRAMES_A_SECOND, "it goes on, however slowly"
    ordinary = Allowance(now)
    assert not any(ordinary.spend(now + second / 50) for second in range(5000)), "50 frames a second are no flood"
