"""Is this host this machine?"""

from __future__ import annotations

import ipaddress


def is_loopback(host: str | None) -> bool:
    """By its name or its address, with a final dot or as an IPv4 address in an IPv6 one, too. A name that only resolves to
    loopback is none."""
    bare = (host or "").strip("[]").rstrip(".").lower()
    if bare == "localhost":
        return True
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
