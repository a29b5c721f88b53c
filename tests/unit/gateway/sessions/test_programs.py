"""Where a configuration names a program that does a run beside its gateway."""

from __future__ import annotations

from typing import Any

import pytest

from watchdog.gateway.sessions.programs import may_run_programs


def _nested(value: Any, depth: int) -> dict[str, Any]:
    for _ in range(depth):
        value = {"x": value}
    return {"agents": value}


NAMING: dict[str, dict[str, Any]] = {
    "the model of an agent": {"agents": {"list": [{"id": "a", "model": "claude-cli/opus"}]}},
    "a fallback": {"agents": {"defaults": {"model": {"primary": "x/y", "fallbacks": ["codex-cli/gpt-5"]}}}},
    "a model a person may choose": {"agents": {"defaults": {"models": {"google-gemini-cli/flash": {"alias": "f"}}}}},
    "the Codex app server": {"agents": {"defaults": {"model": "Codex/gpt-5"}}},
    "a harness": {"agents": {"defaults": {"embeddedHarness": {"runtime": "codex"}}}},
    "a name of one's own": {"agents": {"defaults": {"cliBackends": {"mine": {"command": "/opt/mine"}}}}},
    "the model of a channel": {"channels": {"modelByChannel": {"telegram": {"-100": "claude-cli/opus"}}}},
    "too deep to be read": _nested({}, 40),
}
OTHERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "an API": {"agents": {"defaults": {"model": "anthropic/opus", "cliBackends": {}}}},
    "a provider that is called alike": {"agents": {"defaults": {"model": "openai-codex/gpt-5"}}},
    "words of a person": {"channels": {"irc": {"prompt": "Use codex or claude-cli where it helps."}}},
    "no shape of a configuration": {"agents": ["x"], "channels": None, "n": 3},
}


@pytest.mark.parametrize("name", NAMING)
def test_a_program_is_named(name: str) -> None:
    assert may_run_programs(NAMING[name])


@pytest.mark.parametrize("name", OTHERS)
def test_no_program_is_named(name: str) -> None:
    assert not may_run_programs(OTHERS[name])
