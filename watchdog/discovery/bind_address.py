"""Where a gateway listens: the port and address its configuration gives it, and what the sockets of its process say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

DEFAULT_PORT = 18789
LOOPBACK = "127.0.0.1"
_DEV_PORT = 19001
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound
_REACHED_BY_LOOPBACK = (LOOPBACK, *_ANY_ADDRESS)


def configured_port(gateway: Mapping[str, object], env: Mapping[str, str], profile: str | None) -> int:
    """OPENCLAW_GATEWAY_PORT, gateway.port, then the default: a profile has its own (source of 2026.9.6)."""
    said = (env.get("OPENCLAW_GATEWAY_PORT") or "").strip()
    if match := re.fullmatch(r"(?:\[[^\]]+\]:|[^:]+:)?(\d{1,5})", said):
        port = int(match[1])
        if 0 < port < 65536:
            return port
    configured = gateway.get("port")
    if isinstance(configured, int) and not isinstance(configured, bool) and 0 < configured < 65536:
        return configured
    if profile is None:
        return DEFAULT_PORT
    if profile == "dev":
        return _DEV_PORT
    digest = 2166136261  # FNV-1a, 32 bits
    for byte in profile.encode():
        digest = ((digest ^ byte) * 16777619) & 0xFFFFFFFF
    return 20000 + digest % 40000


def configured_host(gateway: Mapping[str, object]) -> str:
    """127.0.0.1 is right for every bind but ``custom``, which before 2026.9 listens on its one address only."""
    custom = gateway.get("customBindHost")
    if gateway.get("bind") != "custom" or not isinstance(custom, str) or custom.strip() in ("", *_ANY_ADDRESS):
        return LOOPBACK
    return custom.strip()


def heard(sockets: Iterable[tuple[str, int]], configured: int) -> tuple[str, int] | None:
    """Where a gateway without a port in its lock listens: it also holds port + 2 for its browser (3.24, 4.14, 5.18)."""
    hosts: dict[int, set[str]] = {}
    for host, port in sockets:
        hosts.setdefault(port, set()).add(host)
    pairs = [port for port in sorted(hosts) if port + 2 in hosts]
    if configured in hosts:
        port = configured
    elif len(pairs) == 1:
        port = pairs[0]
    elif len(hosts) == 1:
        port = next(iter(hosts))
    else:
        return None
    if any(host in hosts[port] for host in _REACHED_BY_LOOPBACK):
        return LOOPBACK, port
    return min(hosts[port]), port
