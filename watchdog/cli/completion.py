"""What a shell offers behind Tab: the names of gateways, and the sessions of which something is known.

Only the configuration and the ledger are read. No gateway is asked: Tab must not sign in anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from watchdog.config import LoadedConfig

Offer = tuple[str, str]
"""A word, and what it is."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_:.,@%+=/-]*")
"""What no shell gives a meaning, on the line or in the ``eval`` of zsh's script. What is offered is put onto the line as it
is, and whoever may write to an agent may have chosen it: anything else is not offered."""


def gateways(context: typer.Context, incomplete: str) -> list[Offer]:
    """Names of gateways: as configured, and as the ledger knows them."""
    loaded = _loaded(context)
    if loaded is None:
        return []
    sections = [section.name for section in loaded.config.gateways if section.target_list is None]
    names = sections + [gateway for gateway, _, _ in _kept(loaded)]
    return [
        (name, "gateway") for name in dict.fromkeys(names) if name.startswith(incomplete) and _PLAIN.fullmatch(name)
    ]


def sessions(context: typer.Context, incomplete: str) -> list[Offer]:
    """Keys that the ledger tells of; of one gateway, if it was named."""
    loaded = _loaded(context)
    if loaded is None:
        return []
    wanted = context.params.get("gateway")
    found: dict[str, Offer] = {}
    for gateway, key, what in _kept(loaded):
        is_plain = _PLAIN.fullmatch(key) and _PLAIN.fullmatch(gateway)
        if wanted in (None, gateway) and key.startswith(incomplete) and is_plain:
            found.setdefault(key, (key, f"{what} on {gateway}"))
    return list(found.values())


def matters(context: typer.Context, incomplete: str) -> list[Offer]:
    """Keys of sessions in quarantine or with an open incident; of one gateway, if it was named."""
    return [
        offer for offer in sessions(context, incomplete) if offer[1].partition(" on ")[0] in ("quarantined", "open")
    ]


def _loaded(context: typer.Context) -> LoadedConfig | None:
    from watchdog.adapters.host import LocalHost
    from watchdog.config import ConfigError, load

    with suppress(ConfigError, OSError):
        return load(context.params.get("config"), env=os.environ, accounts=LocalHost())
    return None


def _kept(loaded: LoadedConfig) -> Iterator[tuple[str, str, str]]:
    """Gateway, session, and how that stands."""
    from watchdog.config import ConfigError
    from watchdog.daemon.assembly import ledger_place
    from watchdog.service.errors import WatchdogError

    with suppress(WatchdogError, ConfigError, OSError):
        place = ledger_place(loaded, os.environ)
        if place.exists:
            with place.open_read_only() as ledger:
                yield from [(one.gateway, one.session, "quarantined") for one in ledger.quarantines()]
                yield from [(one.gateway, one.session, one.outcome.value) for one in ledger.history()]
