"""Which gateway and which session somebody means: a name that nobody has is refused, and none is guessed."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass
from typing import Any

from watchdog import PROGRAM
from watchdog.cli.check import chosen_sections, identity_of
from watchdog.cli.service import only_observes
from watchdog.cli.shared import Setting, SilentLog, UnknownForNow, UnknownGateway, UnknownSession, say_error, which
from watchdog.core.policy import Step
from watchdog.core.printable import meant, read, shown_key
from watchdog.daemon.assembly import Builder, Identity
from watchdog.service import errors
from watchdog.service.null_meter import NullMeter

HOLD_WITHIN = 5.0
"""Seconds that a hold waits for the gateways' lists."""


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
    return _key_of(found, typed)


def gateway_to_hold(setting: Setting, name: str) -> None:
    """Raises ``UnknownGateway`` for a name that nobody has. A hold must be possible while a list of gateways cannot be read: the daemon
    goes on with what it has read of it before."""
    try:
        chosen_sections(setting, name)
    except UnknownForNow as problem:
        say_error(f"warning: {problem} A list that may name it cannot be read: it is held as it was typed.")


def session_to_hold(setting: Setting, gateway: str | None, typed: str) -> str:
    """The same for a hold, which waits for nothing: a lookup that fails, or that takes longer than ``HOLD_WITHIN``, leaves the key
    as it is.

    Raises ``UnknownGateway``, and ``UnknownSession`` when each was asked and none has it, or when several have it."""
    try:
        found = asyncio.run(holders(setting, gateway, typed, within=HOLD_WITHIN))
    except UnknownForNow as problem:
        found = Holders({}, {"": str(problem)})
    except UnknownGateway:
        raise
    except (errors.WatchdogError, OSError) as problem:
        found = Holders({}, {"": str(problem)})
    if len(found.keys) > 1:
        file = setting.loaded.to_name
        more = f" --config {shlex.quote(str(file))}" if file is not None else ""
        holds = [
            f"`{PROGRAM} pause --session {shown_key(key)} --gateway {shown_key(name)}{more}`"
            for name, key in found.keys.items()
        ]
        raise UnknownSession(f"{which(found.keys)}: {' or '.join(holds)}")
    return _key_of(found, typed)


def _key_of(found: Holders, typed: str) -> str:
    if found.keys:
        return next(iter(found.keys.values()))
    if not found.unasked:
        raise UnknownSession(f"no session has the key {shown_key(read(typed))}; `check` lists them all.")
    for problem in found.unasked.values():
        say_error(f"warning: whether there is such a session is not known: {problem}")
    return read(typed)


async def holders(setting: Setting, gateway: str | None, typed: str, *, within: float | None = None) -> Holders:
    """Ask each gateway for its list, for ``within`` seconds at most. Raises ``UnknownGateway``."""
    builder = Builder(setting.loaded, setting.env, SilentLog(), NullMeter(), secrets=setting.secrets)
    sections = chosen_sections(setting, gateway)
    identity = identity_of(setting)
    lists = await asyncio.gather(*(_keys(builder, identity, section, within) for section in sections))
    found = Holders({}, {})
    for section, (keys, problem) in zip(sections, lists, strict=True):
        if (key := meant(typed, keys)) in keys:
            found.keys[section.name] = key
        elif problem is not None:
            found.unasked[section.name] = problem
    return found


async def _keys(
    builder: Builder, identity: Identity, section: Any, within: float | None
) -> tuple[set[str], str | None]:
    """The keys it has, and why there may be more."""
    asked_for = frozenset[Step]() if only_observes(builder.env) else None  # as ``check``: it may be the first sign-in
    client = builder.client(section, identity, frozenset(), asked_for)
    try:
        async with asyncio.timeout(within):
            await client.connect()
            snapshot = await client.list_sessions()
    except TimeoutError:
        if within is None:
            raise
        return set(), f"{section.name}: no answer within {within:g} s"
    except errors.GatewayError as problem:
        return set(), str(problem)
    finally:
        await client.close()
    cut = None if snapshot.is_complete else f"{section.name}: the list could not be read to its end"
    return {row.key for row in snapshot.sessions}, cut
