"""What a gateway says when somebody signs in, and the facts that follow from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from watchdog.core.model import GatewayFacts, Moment, ProcessSigns
from watchdog.gateway.capabilities import capabilities_of, untried_words
from watchdog.gateway.wire.timestamps import Millis, span_ms

MOST_METHODS = 2000
"""Methods, or scopes, that are believed of a gateway. 2026.9.6 names 466."""
CRASH_BREAKER = "restart-loop breaker tripped"
"""Part of a chat app's ``lastError`` after three crashes in five minutes (2026.9.6)."""
CHANNEL_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
"""What may stand in a command that a person is to type."""
MOST_CHANNELS = 20
LONGEST_WORD, LONGEST_KEY = 100, 1000
"""Characters of a method, a scope, a version, a boot id; of a session's key."""


class _Server(msgspec.Struct, rename="camel"):
    version: str = ""
    boot_id: str | None = None


class _Features(msgspec.Struct):
    methods: list[str] = msgspec.field(default_factory=list)


class _SessionDefaults(msgspec.Struct, rename="camel"):
    main_session_key: str | None = None


class _HelloSnapshot(msgspec.Struct, rename="camel"):
    presence: Any = None
    health: Any = None
    suspension: Any = None
    uptime_ms: Millis = None
    state_dir: str | None = None
    config_path: str | None = None
    session_defaults: _SessionDefaults = msgspec.field(default_factory=_SessionDefaults)


class _Auth(msgspec.Struct, rename="camel"):
    device_token: str | None = None
    scopes: list[str] | None = None


class Hello(msgspec.Struct):
    """The parts of ``hello-ok`` that matter here. ``auth`` is null on 3.24 and 4.14 for backend clients."""

    server: _Server = msgspec.field(default_factory=_Server)
    features: _Features = msgspec.field(default_factory=_Features)
    snapshot: _HelloSnapshot = msgspec.field(default_factory=_HelloSnapshot)
    auth: _Auth | None = None


def facts_of(
    name: str,
    hello: Hello,
    *,
    booted_at: datetime | None,
    state_dir: str | None,
    process: int = 0,
    clock_skew: timedelta | None = None,
    at: Moment | None = None,
) -> GatewayFacts:
    """The facts about the gateway called ``name``, which said ``hello`` ``at`` that moment. What is long in ``hello``, the
    list of methods and that of clients, is taken out of it; what is longer than any gateway's is cut, because facts are
    kept, shown and logged."""
    methods = _shared(_short(hello.features.methods))
    hello.features.methods = []
    signs = signs_of(hello, at)
    hello.snapshot.presence = None
    stopped = stopped_channels(hello.snapshot.health)
    hello.snapshot.health = None
    version = hello.server.version[:LONGEST_WORD]
    return GatewayFacts(
        name=name,
        version=version or "unknown",
        capabilities=capabilities_of(version, methods),
        booted_at=booted_at,
        boot_id=_cut(hello.server.boot_id),
        methods=methods,
        scopes=frozenset(_short(hello.auth.scopes or ()) if hello.auth is not None else ()),
        state_dir=state_dir,
        main_session_key=_cut(hello.snapshot.session_defaults.main_session_key, LONGEST_KEY),
        process=process,
        clock_skew=clock_skew,
        signed_in_at=at,
        signs=signs,
        untried=untried_words(version),
        stopped_channels=stopped,
    )


def is_suspension(said: object) -> bool:
    """``snapshot.suspension`` of a hello, or the payload of a ``gateway.suspension`` event: it takes nothing now, or soon (2026.9.6)."""
    return isinstance(said, dict) and said.get("phase") in ("preparing", "prepared")


def stopped_channels(health: object) -> tuple[str, ...]:
    """Chat apps that the gateway does not start since it crashed several times: ``snapshot.health.channels.<id>.lastError`` says
    so (2026.9.6), whatever a probe says. One that was started since keeps its old words, and says ``running``. Names that may stand
    in a command, a few of them."""
    channels = health.get("channels") if isinstance(health, dict) else None
    named = channels.items() if isinstance(channels, dict) else ()
    return tuple(
        sorted(
            name
            for name, said in named
            if isinstance(said, dict)
            and said.get("running") is not True
            and CRASH_BREAKER in str(said.get("lastError"))
            and CHANNEL_ID.fullmatch(name)
        )[:MOST_CHANNELS]
    )


def signs_of(hello: Hello, at: Moment | None) -> ProcessSigns:
    """What tells this process from others, as told ``at`` that moment (None: its start stays unknown)."""
    snapshot, uptime = hello.snapshot, span_ms(hello.snapshot.uptime_ms)
    return ProcessSigns(
        version=hello.server.version[:LONGEST_WORD],
        boot_id=_cut(hello.server.boot_id),
        host=_cut(_host_of(snapshot.presence)),
        config_path=_cut(snapshot.config_path, LONGEST_KEY),
        state_dir=_cut(snapshot.state_dir, LONGEST_KEY),
        began=at.monotonic - timedelta(milliseconds=uptime).total_seconds()
        if at is not None and uptime is not None
        else None,
    )


def _host_of(presence: object) -> str | None:
    """The machine's name and address, by the gateway's own entry among its clients (3.24 and 5.18: ``reason: self``)."""
    entries = presence if isinstance(presence, list) else []
    own = next((entry for entry in entries if isinstance(entry, dict) and entry.get("reason") == "self"), None)
    return None if own is None else f"{str(own.get('host'))[:256]} {str(own.get('ip'))[:64]}"


def _short(words: Sequence[str]) -> tuple[str, ...]:
    # guard: wire: the words of a hello
    return tuple(word for word in words[:MOST_METHODS] if len(word) <= LONGEST_WORD)


def _cut(text: str | None, longest: int = LONGEST_WORD) -> str | None:
    return text[:longest] if text is not None else None


@lru_cache(maxsize=32)
def _shared(methods: tuple[str, ...]) -> frozenset[str]:
    """One set for all gateways of one kind: 2026.9.6 names 466 methods, and there may be a thousand gateways."""
    return frozenset(methods)
