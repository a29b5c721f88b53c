"""Where each watched name leads, as a digest: what the ledger knows a gateway by that gets another name."""

from __future__ import annotations

import hashlib
import os

from watchdog.config import GatewaySection, LoadedConfig
from watchdog.config.checks import address_of
from watchdog.discovery.local_gateways import LocalGateway


def places_of(loaded: LoadedConfig) -> dict[str, str]:
    """Digests by name. An address may hold a path that is nobody's business, so it is not kept itself."""
    return {section.name: _digest(_place(section)) for section in loaded.config.gateways}


def _place(section: GatewaySection) -> str:
    if isinstance(section, LocalGateway):
        if section.cell is not None:
            return f"cell {section.cell.registry} {section.cell.tenant}"
        return f"config {os.path.realpath(section.place.config_path)}"
    address = address_of(section)
    return "meant" if address is None else f"address {address}"


def _digest(place: str) -> str:
    return hashlib.blake2s(place.encode("utf-8", "replace"), digest_size=10).hexdigest()
