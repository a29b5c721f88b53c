"""Which runs may be done by a program beside the gateway, by its configuration.

Such runs (``claude-cli``, ``codex-cli``, any name under ``agents.defaults.cliBackends``; the Codex app server from 2026.4.10)
hold no lock of their transcript (source of 2026.4.8, 4.14, 4.29 and 5.12). Their row names that program once it has answered,
and the model that was asked first before (a fallback, an override of one session), so the row alone does not tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from watchdog.core.model import PROGRAM
from watchdog.gateway.sessions.sender_rules import Config

_DEEPEST = 32


def may_run_programs(config: Config) -> bool:
    """Whether this configuration names such a program anywhere, or gives a name of its own to one. Too deep to be read counts."""
    agents = config.get("agents")
    defaults = agents.get("defaults") if isinstance(agents, Mapping) else None
    if isinstance(defaults, Mapping) and defaults.get("cliBackends"):
        return True
    # A provider, or a model of one (`claude-cli/opus`), as a value and as a key of `agents.defaults.models`.
    return any(PROGRAM.fullmatch(word.partition("/")[0]) for word in _words(config))


def _words(value: Any, depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        yield "codex"
    elif isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _words(name, depth + 1)
            yield from _words(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            yield from _words(one, depth + 1)
