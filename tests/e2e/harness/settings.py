"""The config document of a gateway under test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .provider import Provider
from .releases import Release
from .telegram import CLAW, TEAM, BotApi

Settings = dict[str, Any]


def merged(base: Mapping[str, Any], extra: Mapping[str, Any]) -> Settings:
    """`base` with `extra` laid over it; objects are merged, everything else is replaced."""
    result = dict(base)
    for key, value in extra.items():
        below = result.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        result[key] = merged(below, value) if both and isinstance(below, Mapping) else value
    return result


def settings_for(
    release: Release, *, port: int, token: str, home: Path, provider: Provider, run_timeout_seconds: int = 7200
) -> Settings:
    """A gateway that talks to the mock model only, on loopback only, and runs many sessions side by side."""
    model = {
        "id": Provider.MODEL,
        "name": Provider.MODEL,
        "reasoning": False,
        "input": ["text"],
        "contextWindow": 128_000,
        "maxTokens": 8192,
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
    }
    defaults: Settings = {
        "workspace": str(home / "workspace"),
        "skipBootstrap": True,
        "heartbeat": {"every": "0m"},
        "model": {"primary": f"mock/{Provider.MODEL}"},
        "models": {f"mock/{Provider.MODEL}": {}},
        "timeoutSeconds": run_timeout_seconds,
        "maxConcurrent": 16,
    }
    if release.agents_without_skills:
        defaults["skills"] = []
    if release.gives_up_after_a_minute:
        defaults["llm"] = {"idleTimeoutSeconds": run_timeout_seconds}
    gateway: Settings = {
        "mode": "local",
        "bind": "loopback",
        "port": port,
        "auth": {"mode": "token", "token": token},
    }
    if release.restarts_on_sigusr1:
        # How long such a restart waits for live runs; 2026.3.24 drains 90 s more whatever it says.
        gateway["reload"] = {"deferralTimeoutMs": 5000}
    patience: Settings = {"timeoutSeconds": run_timeout_seconds} if release.gives_up_silent_models else {}
    stuck_after_ms = run_timeout_seconds * 1000
    diagnostics: Settings = {"diagnostics": {"stuckSessionAbortMs": stuck_after_ms}} if release.ends_silent_runs else {}
    groups: Settings = {"messages": {"groupChat": {"visibleReplies": "automatic"}}} if release.silent_in_groups else {}
    return {
        **diagnostics,
        **groups,
        "gateway": gateway,
        "agents": {"defaults": defaults},
        "models": {
            "mode": "replace",
            "providers": {
                "mock": {
                    "baseUrl": provider.base_url,
                    "apiKey": "not-a-secret",
                    "api": "openai-completions",
                    "models": [model],
                    **patience,
                }
            },
        },
        # Without the `process` tool commands run in the foreground, however long; with it they go to the background
        # after two minutes at most, and the turn moves on.
        "tools": {"deny": ["process"], "exec": {"host": "gateway", "security": "full", "ask": "off"}},
        "plugins": {"entries": {name: {"enabled": False} for name in release.needless_plugins}},
        "logging": {"file": str(home / "gateway.log")},
        "discovery": {"mdns": {"mode": "off"}},
        "update": {"checkOnStart": False},
    }


def irc_channel(port: int, person: str, groups: tuple[str, ...]) -> Settings:
    """OpenClaw's IRC channel, open to everyone in private and to one person in groups.

    Not to everyone in groups: what the gateway says outside the reply path comes from a second nick, which the bot would
    hear as another user and answer, without end on 2026.9.
    """
    return {
        "channels": {
            "irc": {
                "enabled": True,
                "host": "127.0.0.1",
                "port": port,
                "tls": False,
                "nick": "claw",
                "dmPolicy": "open",
                "allowFrom": ["*"],
                "groupPolicy": "open",
                "groupAllowFrom": [f"{person}!~{person}@127.0.0.1"],
                "groups": {"*": {"requireMention": False}},
                "channels": list(groups),
            }
        },
        "plugins": {"entries": {"irc": {"enabled": True}}},
    }


def telegram_channel(api: BotApi) -> Settings:
    """OpenClaw's Telegram channel on our own Bot API, open to everyone everywhere, without having to be mentioned.

    A second bot is a second account. Then each account says for itself in which groups it need not be mentioned: where
    there are several, the channel's own word is not heeded. And a second bot hears only the groups that a binding leads
    to an agent, here `TEAM`; its private chats need none, and have sessions of their own for that. (2026.5.18 and 2026.9.6
    take the account of the first binding for the default one, whatever it is called.)
    """
    groups: Settings = {"groups": {"*": {"requireMention": False}}}
    accounts: Settings = {bot.account: {"enabled": True, "botToken": bot.token, **groups} for bot in api.bots}
    seconds = [bot for bot in api.bots if bot != CLAW]
    in_team = {"peer": {"kind": "group", "id": str(TEAM.id)}}
    bindings = [
        {"agentId": "main", "match": {"channel": "telegram", "accountId": CLAW.account}},
        *(
            {"agentId": "main", "match": {"channel": "telegram", "accountId": bot.account, **in_team}}
            for bot in seconds
        ),
    ]
    return {
        **({"bindings": bindings} if seconds else {}),
        "channels": {
            "telegram": {
                "enabled": True,
                "apiRoot": api.root,
                "botToken": CLAW.token,
                "dmPolicy": "open",
                "allowFrom": ["*"],
                "groupPolicy": "open",
                **groups,
                **({"accounts": accounts} if seconds else {}),
            }
        },
        "plugins": {"entries": {"telegram": {"enabled": True}}},
    }
