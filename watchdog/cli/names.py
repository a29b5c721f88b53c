"""Which gateway and which session somebody means: a name that nobody has is refused, and none is guessed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from watchdog.cli.check import chosen_sections, identity_of
from watchdog.cli.shared import Setting, SilentLog, UnknownSession, say_error, which
from watchdog.core.printable import meant, read, shown_key
from watchdog.daemon.assembly import Builder, Identity
from watchdog.service import errors
from watchdog.service.null_meter import NullMeter


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has a session of the key that was typed."""

    keys: dict[str, str]
    """The key as it is, by gateway."""
    unasked: dict[str, str]
    """Why a gateway could not be asked."""


def named_session(setting: Setting, gateway: str | None, typed: str) -> str:
    """The key that is meant, asked of the gateways that the configuration names (``gateway``: of this one alone).

    Raises ``UnknownGateway``, and ``UnknownSession`` when each was asked and none has it, or when several have it. Where one
    could not be asked the key is taken as it is, and that is said: a hold must be possible while a gateway is down."""
    found = asyncio.run(holders(setting, gateway, typed))
    if len(found.keys) > 1:
        raise UnknownSession(which(found.keys))
    if found.keys:
        return next(iter(found.keys.values()))
    if not found.unasked:
        raise UnknownSession(f"no session has the key {shown_key(read(typed))}; `check` lists them all.")
    for problem in found.unasked.values():
        say_error(f"warning: whether there is such a session is not known: {problem}")
    return read(typed)


async def holders(setting: Setting, gateway: str | None, typed: str) -> Holders:
    """Ask each gateway for its list. Raises ``UnknownGateway``."""
    builder = Builder(setting.loaded, setting.env, SilentLog(), NullMeter(), secrets=setting.secrets)
    identity = identity_of(setting)
    sections = chosen_sections(setting, gateway)
    lists = await asyncio.gather(*(_keys(builder, identity, section) for section in sections))
    found = Holders({}, {})
    for section, (keys, problem) in zip(sections, lists, strict=True):
        if (key := meant(typed, keys)) in keys:
            found.keys[section.name] = key
        elif problem is not None:
            found.unasked[section.name] = problem
    return found


async def _keys(builder: Builder, identity: Identity, section: Any) -> tuple[set[str], str | None]:
    """The keys it has, and why there may be more."""
    client = builder.client(section, identity, frozenset(), frozenset())
    try:
        await client.connect()
        snapshot = await client.list_sessions()
    except errors.GatewayError as problem:
        return set(), str(problem)
    finally:
        await client.close()
    cut = None if snapshot.is_complete else f"{section.name}: the list could not be read to its end"
    return {row.key for row in snapshot.sessions}, cut
