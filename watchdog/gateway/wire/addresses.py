"""Urls of gateways, compared: is this one on this machine, and are these two the same?"""

from __future__ import annotations

from urllib.parse import urlsplit

from watchdog.core.loopback import is_loopback


def is_same_place(one: str, other: str) -> bool:
    """The same port of this machine, whatever name loopback was given."""
    return port_of(one) == port_of(other) and is_local(one) and is_local(other)


def is_local(url: str) -> bool:
    """It leads to this machine by a name or address of loopback."""
    return is_loopback(_host(url))


def port_of(url: str) -> str:
    """The one it names, or its scheme's."""
    parts = urlsplit(url)
    return str(parts.port if parts.port is not None else 443 if parts.scheme == "wss" else 80)


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")
