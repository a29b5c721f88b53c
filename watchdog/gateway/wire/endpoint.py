"""What a connection to one gateway needs to know before it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from watchdog.gateway.wire.dial import CheckPeer, TlsTrust
from watchdog.gateway.wire.protocol import SignInSecrets


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a gateway is and how to sign in, looked up afresh before every connect so that rotations are noticed."""

    url: str
    credentials: SignInSecrets = SignInSecrets()
    state_dir: str | None = None
    """The gateway's state folder when it is on this machine; None: never look at files."""
    gateway_pid: int | None = None
    insecure: bool = False
    tls: TlsTrust | None = None
    """None: its certificate is checked by what this machine trusts."""
    lock_created_at: datetime | None = None
    """When the gateway wrote its own lock file, when it is on this machine: it started no later than that."""
    check_peer: CheckPeer | None = None
    """Asked on every connection before the credentials are sent; None: whoever answers there is shown them."""
    openclaw: Callable[[], str | None] = lambda: None
    """The command that runs OpenClaw's CLI for this gateway on this machine, or None; asked for when a person needs it."""
    is_known: bool = False
    """Our device was let in there before."""
