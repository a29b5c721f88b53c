"""With whose rights a turn runs: who is the gateway's owner, and which tools a model is offered for a sender.

Computed from the world's own configuration, as ``config.get`` shows it. Measured on 2026.3.24, 5.18 and 9.6 by the tools
that a mock model was offered; 4.14 *assumed* like 3.24. Fewer tools than a real gateway has, one of each kind.

- ``commands.ownerAllowFrom`` names the owner everywhere. Up to 5.18, without it, a channel's ``allowFrom`` without ``*``
  makes its people owners. A client is the owner where its connection has ``operator.admin``, on every version.
- ``toolsBySender`` holds for the sender of a turn. A client is nobody of those named there: only ``*`` holds for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from openclaw_simulator.sessions import Author, SimSession
from openclaw_simulator.state import WorldState

Settings = Mapping[str, Any]

RESTART_SAFE = frozenset({"read", "session_status", "sessions_list", "web_fetch"})
"""What ``forceRestartSafeTools`` leaves (9.6: 4 of 11)."""
EVERYBODY = RESTART_SAFE | {"edit", "exec", "message", "process", "sessions_spawn", "sessions_yield", "write"}
_OPEN: dict[str, Any] = {"enabled": True, "dmPolicy": "open", "groupPolicy": "open", "allowFrom": ["*"]}


def channel_settings(world: WorldState, channel: str) -> dict[str, Any]:
    """``channels.<channel>``: open to everybody, without rules by sender, unless the world's ``config`` says more."""
    return {**_OPEN, **world.config.get("channels", {}).get(channel, {})}


def is_owner(world: WorldState, author: Author | None) -> bool:
    """Does the gateway take this sender for its owner?"""
    if author is None or author.person is None:
        return author is not None and author.client is not None and author.client.is_admin
    channel = author.chat.channel if author.chat is not None else ""
    named = world.config.get("commands", {}).get("ownerAllowFrom")
    if named:
        return f"{channel}:{author.person.id}" in named
    allowed = channel_settings(world, channel).get("allowFrom", [])
    return world.profile.owner_by_allow_from and "*" not in allowed and author.person.id in map(str, allowed)


def offered(
    world: WorldState, session: SimSession, author: Author | None, *, restart_safe: bool = False
) -> frozenset[str]:
    """The tools of a turn in this session, in this sender's name (None: a schedule, a parent)."""
    tools = EVERYBODY | world.profile.owner_tools if is_owner(world, author) else EVERYBODY
    for limits in _limits(world, session, author):
        tools -= frozenset(limits.get("deny", ()))
        if "allow" in limits:
            tools &= frozenset(limits["allow"])
    return tools & RESTART_SAFE if restart_safe else tools


def _limits(world: WorldState, session: SimSession, author: Author | None) -> Iterator[Settings]:
    """Every ``{deny, allow}`` that holds: a place's plain ``tools``, and its rule for this sender."""
    for place in _places(world, session, author):
        for name in ("tools", "toolsBySender"):
            rule = place.get(name)
            if name == "toolsBySender" and rule is not None:
                rule = _rule_for(world, rule, author)
            if rule is not None:
                yield rule


def _places(world: WorldState, session: SimSession, author: Author | None) -> Iterator[Settings]:
    """Where this version heeds rules: groups everywhere, direct chats on 9.6, the agent and all agents from 5.18 on."""
    profile, config = world.profile, world.config
    home = (author.chat if author is not None else None) or world.homes.get(session.key) or session.address
    if home is not None and home.reaches_a_person:
        settings, chat = channel_settings(world, home.channel), home.place.chat
        if ":group:" in session.key:
            groups = settings.get("groups", {})
            yield groups.get(chat) or groups.get("*") or {}
        elif profile.heeds_direct_rules:
            yield settings.get("direct", {}).get(chat, {})
    if not profile.heeds_global_rules:
        return
    yield {"toolsBySender": config.get("tools", {}).get("toolsBySender")}
    agents = config.get("agents", {})
    listed = [agent for agent in agents.get("list", ()) if agent.get("id") == session.agent_id]
    for agent in (*listed, agents.get("entries", {}).get(session.agent_id, {})):
        yield {"toolsBySender": agent.get("tools", {}).get("toolsBySender")}


def _rule_for(world: WorldState, rules: Settings, author: Author | None) -> Settings | None:
    person = author.person if author is not None else None
    if author is not None and person is not None:
        names = [f"id:{person.id}", person.id]
        if person.username:
            names += [f"username:{person.username}"]
        if person.name:
            names += [f"name:{person.name}"]
        if world.profile.heeds_global_rules and author.chat is not None:
            names += [f"channel:{author.chat.channel}:{person.id}"]
        for name in names:
            if name in rules:
                found: Settings = rules[name]
                return found
    usual: Settings | None = rules.get("*")
    return usual
