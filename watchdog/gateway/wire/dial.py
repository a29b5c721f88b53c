"""How the socket to a gateway is opened: which urls are refused beforehand, and what each failure means.

Nothing is followed or guessed: what was checked, and what the token is for, is the configured url and nothing else.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI

from watchdog import __version__
from watchdog.core.loopback import is_loopback
from watchdog.service import descriptors, errors

MAX_FRAME = 20 * 1024 * 1024
"""The longest answer measured is the list of 10,000 sessions in one (18.5 MB); the library's default of 1 MiB is too small
for a page. A frame takes nearly four times its size of memory until it is read."""
MAX_QUEUE = 1
"""Frames that wait to be read; then TCP holds the gateway back. Each may be as large as ``MAX_FRAME``."""


Dial = Callable[[str, str, float], Awaitable[ClientConnection]]
"""(gateway's name, url, patience in seconds) -> an open WebSocket; raises ``errors.GatewayError`` leaves only."""


CheckPeer = Callable[[tuple[str, int], tuple[str, int]], str | None]
"""(our end, the far end) of an open connection -> None: the far end may be shown the secret; text: why that was not looked
up. Raises ``errors.ForeignListener``. Blocks for some milliseconds of reading."""


@dataclass(frozen=True, slots=True)
class TlsTrust:
    """What a gateway's certificate is checked by, in place of what this machine trusts."""

    ca_file: str | None = None
    """PEM file of the authority (or of the certificate itself) that it must come from; its name must fit, too."""
    fingerprint: str | None = None
    """SHA-256 of the certificate itself, 64 hex digits in small letters. Without ``ca_file`` nothing else is asked of it."""


def check_url(name: str, url: str, *, insecure: bool) -> None:
    """Refuse urls that cannot work or would show the token to a network."""
    way_out = f"{name}: the url must look like ws://127.0.0.1:18789 or wss://host."
    try:
        parts = urlsplit(url)
        _ = parts.port  # out of range, or no number
    except ValueError:
        raise errors.NotAGateway(way_out) from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise errors.NotAGateway(way_out)
    if parts.username or parts.password:
        raise errors.InsecureTransport(f"{name}: credentials do not belong in the url; use gateways[].token.")
    if parts.scheme == "ws" and not is_loopback(parts.hostname) and not insecure:
        raise errors.InsecureTransport(
            f"{name}: ws:// to {parts.hostname} would send the token unencrypted; use wss://, an SSH tunnel to "
            "127.0.0.1, or set insecure: true for this gateway."
        )


class _Connect(connect):
    """Follows no redirects: what was checked, and what the token is for, is the configured url and nothing else."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def dial_network(name: str, url: str, patience: float, tls: TlsTrust | None = None) -> ClientConnection:
    """``Dial`` over the network. ``tls`` None: certificates are checked by what this machine trusts."""
    host = urlsplit(url).netloc
    is_encrypted = url.lower().startswith("wss:")
    if tls is not None and not is_encrypted:  # guard: wire: who names a certificate is not spoken to without one
        raise errors.InsecureTransport(
            f"{name}: tls names a certificate, and {host} is spoken to without one (ws://); give the gateway's wss:// url, or "
            "leave tls out."
        )
    context = _tls_context(name, tls) if is_encrypted else None
    try:
        connection = await _Connect(
            url,
            max_size=MAX_FRAME,
            max_queue=MAX_QUEUE,
            open_timeout=patience,
            close_timeout=2,
            ping_interval=None,  # polls are our sign of life, and a hung gateway is told apart by them
            compression=None,
            proxy=None,
            ssl=context,
            user_agent_header=f"openclaw-watchdog/{__version__}",
        )
        if tls is not None and tls.fingerprint is not None:
            await _check_fingerprint(name, host, connection, tls.fingerprint)
        return connection
    except InvalidStatus as refused:
        status = refused.response.status_code
        if status == 503:
            raise errors.GatewayDraining(
                f"{name}: {host} is draining or restarting (HTTP 503); waiting for it."
            ) from refused
        raise errors.NotAGateway(
            f"{name}: {host} answered HTTP {status} instead of opening a WebSocket; check the url."
        ) from refused
    except (InvalidMessage, InvalidHandshake, InvalidURI, UnicodeError) as problem:
        if _hung_up(problem):
            raise errors.GatewayUnreachable(
                f"{name}: {host} takes the connection and hangs up without a word; the gateway has run out of file "
                "descriptors, or is just starting or stopping. If that stays so, check the url."
            ) from problem
        raise errors.NotAGateway(
            f"{name}: {host} does not answer like an OpenClaw gateway ({type(problem).__name__}); check the url."
        ) from problem
    except TimeoutError:
        raise errors.GatewayUnresponsive(
            f"{name}: {host} did not answer within {patience:.0f} s; the gateway hangs, or a firewall drops packets."
        ) from None
    except ssl.SSLError as problem:
        raise errors.NotAGateway(
            f"{name}: no TLS with {host} ({problem.reason or type(problem).__name__}); check wss:// and the certificate."
        ) from problem
    except OSError as problem:
        if descriptors.is_shortage(problem):
            raise errors.OutOfDescriptors(f"{name}: {descriptors.shortage()}.") from problem
        raise errors.GatewayUnreachable(
            f"{name}: cannot connect to {host} ({_said_by_the_system(problem)}); is the gateway running?",
            was_refused=_was_refused(problem),
        ) from problem


def _tls_context(name: str, tls: TlsTrust | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file if tls is not None else None)
    except (OSError, ssl.SSLError) as problem:
        why = _said_by_the_system(problem) if problem.errno in errno.errorcode else "it holds no certificate in PEM"
        raise errors.NotAGateway(
            f"{name}: tls.ca_file {tls.ca_file if tls is not None else ''} cannot be used ({why})."
        ) from problem
    if tls is not None and tls.fingerprint is not None and tls.ca_file is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # its fingerprint is checked instead, before anything is said to it
    return context


async def _check_fingerprint(name: str, host: str, connection: ClientConnection, expected: str) -> None:
    """Before the first frame: all that was sent so far is the request for a WebSocket."""
    shown = connection.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    # guard: wire: a certificate is the one that was named
    if shown is None or hashlib.sha256(shown).hexdigest() != expected:
        await connection.close()
        raise errors.NotAGateway(
            f"{name}: {host} shows another certificate than tls.fingerprint names: nothing secret was sent. If the gateway was "
            "given a new one, put its fingerprint there: openssl x509 -noout -fingerprint -sha256 -in CERTIFICATE."
        )


def _hung_up(problem: Exception) -> bool:
    """The connection ended before a single byte came (2026.3.24 without a free file descriptor does that)."""
    ended = problem.__cause__
    return isinstance(ended, EOFError) and "after 0 bytes" in str(ended.__cause__)


def _was_refused(problem: OSError) -> bool:
    """Every address of the host said that nothing listens. asyncio puts the answers of several addresses in one text."""
    if problem.errno is not None:
        return problem.errno == errno.ECONNREFUSED
    answers = re.findall(r"\[Errno (\d+)\]", str(problem))
    return bool(answers) and set(answers) == {str(errno.ECONNREFUSED)}


def _said_by_the_system(problem: OSError) -> str:
    """``connection refused``; asyncio puts its own words, with addresses as Python prints them, into ``strerror``."""
    if problem.errno is not None and problem.errno in errno.errorcode:
        return os.strerror(problem.errno).lower()
    return problem.strerror or type(problem).__name__
