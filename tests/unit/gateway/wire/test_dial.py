"""Which urls are refused before anything is sent, and what each failure to open a socket is taken for."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import serve

from tests.fakes.loopback import free_port
from tests.unit.descriptors import none_left
from tests.unit.gateway.links import SOON, open_link, refused_by
from tests.unit.gateway.server import WireGateway, plain_server, running
from tests.unit.gateway.support import PASSWORD
from watchdog.core.loopback import is_loopback
from watchdog.gateway.wire import dial
from watchdog.gateway.wire.dial import TlsTrust, check_url
from watchdog.service import errors


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
    assert type(await refused_by(url)) is errors.NotAGateway


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_without_descriptors_it_is_not_the_gateways_fault(host: str) -> None:
    port = free_port()
    with none_left():
        refused = await refused_by(f"ws://{host}:{port}")
    assert type(refused) is errors.OutOfDescriptors
    assert str(refused).startswith("home: this process has no file descriptors left")


async def test_a_host_name_that_is_none() -> None:
    refused = await refused_by(f"wss://{'a' * 70}.invalid", patience=2)
    assert type(refused) in (errors.NotAGateway, errors.GatewayUnreachable)


@pytest.mark.parametrize("host", ["192.168.1.5", "gateway.local", "8.8.8.8", "[fe80::1]", "127.0.0.1.evil.example"])
async def test_a_token_never_crosses_a_network_in_the_open(host: str) -> None:
    refused = await refused_by(f"ws://{host}:18789")
    assert type(refused) is errors.InsecureTransport
    check_url("home", f"wss://{host}:18789", insecure=False)
    check_url("home", f"ws://{host}:18789", insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
def test_loopback_is_not_a_network(host: str) -> None:
    check_url("home", f"ws://{host}:18789", insecure=False)
    assert is_loopback(host.strip("[]"))


async def test_credentials_do_not_belong_in_a_url() -> None:
    refused = await refused_by(f"ws://user:{PASSWORD}@127.0.0.1:1")
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
    gateway = WireGateway()
    async with serve(gateway._handle, "127.0.0.1", 0, ssl=theirs) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        link = await open_link(f"wss://localhost:{port}", tls=TlsTrust(ca_file=str(certificate)))
        assert link.hello.server.version == "2026.9.6"
        await link.close()
        refused = await refused_by(f"wss://localhost:{port}")
    assert type(refused) is errors.NotAGateway
    assert "certificate" in str(refused)
    assert len(gateway.sign_ins) == 1


@contextlib.asynccontextmanager
async def _tls_gateway(folder: Path) -> AsyncIterator[tuple[WireGateway, int, Path, str]]:
    """A gateway with a certificate of its own: it, its port, the certificate, and its fingerprint."""
    certificate, private = _certificate(folder)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, private)
    made = x509.load_pem_x509_certificate(certificate.read_bytes())
    gateway = WireGateway()
    async with serve(gateway._handle, "127.0.0.1", 0, ssl=theirs) as server:
        yield gateway, next(iter(server.sockets)).getsockname()[1], certificate, made.fingerprint(hashes.SHA256()).hex()


async def test_a_fingerprint_alone_lets_that_certificate_in_and_no_other(tmp_path: Path) -> None:
    async with _tls_gateway(tmp_path) as (gateway, port, _, fingerprint):
        # By address: the certificate's name does not fit, and need not.
        link = await open_link(f"wss://127.0.0.1:{port}", tls=TlsTrust(fingerprint=fingerprint))
        await link.close()
        refused = await refused_by(f"wss://127.0.0.1:{port}", tls=TlsTrust(fingerprint="0" * 64))
        assert type(refused) is errors.NotAGateway
        assert "nothing secret was sent" in str(refused)
    assert len(gateway.sign_ins) == 1


async def test_an_authority_and_a_fingerprint_must_both_fit(tmp_path: Path) -> None:
    async with _tls_gateway(tmp_path) as (gateway, port, certificate, fingerprint):
        both = TlsTrust(str(certificate), fingerprint)
        link = await open_link(f"wss://localhost:{port}", tls=both)
        await link.close()
        other_name = await refused_by(f"wss://127.0.0.1:{port}", tls=both)
        other_print = await refused_by(f"wss://localhost:{port}", tls=TlsTrust(str(certificate), "0" * 64))
    assert "certificate" in str(other_name)
    assert "tls.fingerprint" in str(other_print)
    assert len(gateway.sign_ins) == 1


async def test_who_names_a_certificate_is_not_spoken_to_without_one() -> None:
    """A gateway that is discovered may listen without TLS, whatever its section asks for."""
    async with running(WireGateway()) as gateway:
        for tls in (TlsTrust(fingerprint="0" * 64), TlsTrust(ca_file="/nowhere/ca.pem")):
            refused = await refused_by(f"ws://127.0.0.1:{gateway.port}", tls=tls)
            assert type(refused) is errors.InsecureTransport
    assert not gateway.sign_ins


@pytest.mark.parametrize(
    ("content", "why"), [(None, "no such file or directory"), ("no certificate", "no certificate in PEM")]
)
async def test_a_file_of_authorities_that_cannot_be_used_is_named(
    tmp_path: Path, content: str | None, why: str
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    refused = await refused_by("wss://127.0.0.1:1", tls=TlsTrust(ca_file=str(path)))
    assert type(refused) is errors.NotAGateway
    assert str(path) in str(refused)
    assert why in str(refused)


async def test_wss_to_a_gateway_without_tls() -> None:
    async with running(WireGateway()) as gateway:
        refused = await refused_by(f"wss://127.0.0.1:{gateway.port}")
    assert type(refused) in (errors.NotAGateway, errors.GatewayUnreachable, errors.GatewayUnresponsive)


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
        (b"", errors.GatewayUnreachable),
    ],
    ids=["503", "200", "404", "401", "bad upgrade", "ssh", "tls", "garbage", "hangs up"],
)
async def test_something_else_answers(reply: bytes, kind: type[errors.GatewayError]) -> None:
    async with plain_server(reply) as where:
        refused = await refused_by(f"ws://{where}")
    assert type(refused) is kind
    assert where in str(refused)


async def test_nobody_listens() -> None:
    refused = await refused_by(f"ws://127.0.0.1:{free_port()}")
    assert type(refused) is errors.GatewayUnreachable
    assert str(refused).endswith("(connection refused); is the gateway running?")


async def test_something_listens_and_never_says_a_word() -> None:
    async with plain_server(None) as where:
        refused = await refused_by(f"ws://{where}", patience=SOON)
    assert type(refused) is errors.GatewayUnresponsive


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    elsewhere = WireGateway()
    async with running(elsewhere):
        location = f"Location: {elsewhere.url}\r\n".encode()
        async with plain_server(b"HTTP/1.1 302 Found\r\n" + location + b"Content-Length: 0\r\n\r\n") as where:
            refused = await refused_by(f"ws://{where}")
    assert type(refused) is errors.NotAGateway
    assert elsewhere.sign_ins == []


@pytest.mark.parametrize(
    ("problem", "was_refused"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), True),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed"), True),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 113] No route to host"), False),
        (OSError(errno.EMFILE, "Too many open files"), False),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), False),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (OSError("something"), False),
    ],
)
@pytest.mark.skipif(errno.ECONNREFUSED != 111, reason="numbers of Linux")
def test_trouble_of_ours_is_not_taken_for_theirs(problem: OSError, was_refused: bool) -> None:
    assert dial._was_refused(problem) is was_refused
