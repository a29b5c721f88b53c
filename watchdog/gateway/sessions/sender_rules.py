"""Who may do what, out of a gateway's own configuration (``config.get``, readable with ``operator.read`` on every version).

No request answers for a sender (``tools.effective`` is blind to these rules: 2026.3.24, 5.18, 9.6), so the rules are read
where they stand. A rule that may apply counts as one that does: then the requester is asked instead of a turn of ours being
offered what they were not. Places where a version does not heed a rule count all the same; it costs a question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from watchdog.core.address import chat_of
from watchdog.core.model import ChatAccount, Sender, SenderRights, Session
from watchdog.core.session_key import peer_of
from watchdog.gateway.capabilities import FIRST_WITHOUT_OWNERS_BY_ALLOWLIST, Version

Config = Mapping[str, Any]

_RULES = "toolsBySender"
_KEYED = frozenset({"groups", "direct", "dms", "topics", "threads"})
"""Maps from a chat (or ``*``) to its settings."""
_NAMED_AS_IN_KEYS = frozenset({"telegram", "irc"})
"""Chat apps whose maps name a chat as the session's key does (measured). Elsewhere they may go by names, or by the team or
guild that a key does not say; there every chat's rules may apply."""
_DEEPEST = 12
_NO_CHAT_APPS = frozenset({"defaults", "modelByChannel"})
"""Keys of ``channels`` that are settings for all of them (source of 5.18)."""


def config_of(answer: Any) -> Config | None:
    """The configuration in an answer of ``config.get``: as in force (``config``), else as parsed; None: neither is there."""
    if not isinstance(answer, Mapping):
        return None
    for name in ("config", "parsed"):
        found = answer.get(name)
        if isinstance(found, Mapping):
            return found
    return None


def chat_accounts(config: Config) -> tuple[ChatAccount, ...]:
    """Every account of every chat app that is configured and not switched off."""
    found: list[ChatAccount] = []
    for channel, settings in _mapping(config.get("channels")).items():
        if channel in _NO_CHAT_APPS or not isinstance(settings, Mapping) or settings.get("enabled") is False:
            continue
        accounts = {name: one for name, one in _mapping(settings.get("accounts")).items() if isinstance(one, Mapping)}
        names: list[str | None] = [name for name, one in accounts.items() if one.get("enabled") is not False]
        if not accounts or _has_own_login(settings):
            names = [None, *(name for name in names if name != "default")]
        found += [ChatAccount(channel, name) for name in names]
    return tuple(found)


def _has_own_login(settings: Config) -> bool:
    """The channel's own level is an account, too: it carries a token itself, beside those under ``accounts``."""
    return any("token" in name.lower() and settings.get(name) for name in settings)


def rights_of(config: Config, session: Session, sender: Sender, version: Version | None) -> SenderRights:
    """What the configuration says of this sender in this session. ``sender.id`` must be known."""
    assert sender.id is not None
    peer = peer_of(session.key)
    address = session.reply_address
    channel = sender.channel or (peer.channel if peer is not None else address.channel if address is not None else None)
    chats = {sender.id.lower()}
    if peer is not None:
        chats |= {peer.chat.lower(), *(name for name in (peer.thread_id,) if name)}
    if address is not None:
        chat, thread = chat_of(address)
        chats |= {chat, *(name for name in (thread,) if name)}
    rules = [*_rules(config.get("tools"), None), *_agents_rules(config, session.agent_id)]
    for name, settings in _mapping(config.get("channels")).items():
        if channel is None or name == channel or name in _NO_CHAT_APPS:
            rules += _rules(settings, chats if name in _NAMED_AS_IN_KEYS else None)
    return SenderRights(
        sender.id,
        is_owner=_is_owner(config, channel, sender, version),
        has_own_rules=any(_may_apply(rule, sender.id, channel) for rule in rules),
    )


def _agents_rules(config: Config, agent_id: str | None) -> Iterator[Config]:
    agents = _mapping(config.get("agents"))
    yield from _rules(agents.get("defaults"), None)
    listed = agents.get("list")
    for agent in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
        if isinstance(agent, Mapping) and _may_be_agent(agent.get("id"), agent_id):
            yield from _rules(agent, None)
    for name, agent in _mapping(agents.get("entries")).items():  # 8.2 and later
        if _may_be_agent(name, agent_id):
            yield from _rules(agent, None)


def _may_be_agent(said: Any, agent_id: str | None) -> bool:
    """A session's key spells an agent's id in small letters, with hyphens for what else is in it."""
    return agent_id is None or not isinstance(said, str) or _plain(said) == _plain(agent_id)


def _plain(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _rules(settings: Any, chats: set[str] | None, depth: int = 0) -> Iterator[Config]:
    """Every ``toolsBySender`` below here that can be about one of these chats; None: about any chat."""
    if not isinstance(settings, Mapping) or depth > _DEEPEST:
        return
    for name, value in settings.items():
        if name == _RULES:
            if isinstance(value, Mapping):
                yield value
        elif chats is not None and name in _KEYED and isinstance(value, Mapping):
            for chat, inner in value.items():
                if chat == "*" or str(chat).lower() in chats:
                    yield from _rules(inner, chats, depth + 1)
        elif isinstance(value, Mapping):
            yield from _rules(value, chats, depth + 1)


def _may_apply(rule: Config, sender_id: str, channel: str | None) -> bool:
    """One of the rule's keys may name this sender. ``*`` alone treats everybody alike, a client of the gateway too
    (measured). ``username:``, ``name:`` and ``e164:`` cannot be excluded by an id."""
    wanted = sender_id.lower()
    for key in (str(one).strip().lower() for one in rule):
        if key == "*":
            continue
        kind, mark, who = key.partition(":")
        if kind == "channel" and mark:
            chat_app, _, who = who.partition(":")
            names_somebody_else = who != wanted or (channel is not None and chat_app != channel)
        elif (kind == "id" and mark) or key.isdigit():
            names_somebody_else = (who if mark else key) != wanted
        else:
            names_somebody_else = False
        if not names_somebody_else:
            return True
    return False


def _is_owner(config: Config, channel: str | None, sender: Sender, version: Version | None) -> bool:
    """As measured: by ``commands.ownerAllowFrom``; before 2026.9 also by a channel's ``allowFrom`` without ``*``, where no
    ``ownerAllowFrom`` is set. 2026.9 says so of each message."""
    if sender.is_owner is not None:
        return sender.is_owner
    named = _texts(_mapping(config.get("commands")).get("ownerAllowFrom"))
    if named:
        return _is_listed(named, channel, sender)
    if version is None or version >= FIRST_WITHOUT_OWNERS_BY_ALLOWLIST or channel is None:
        return False
    settings = _mapping(_mapping(config.get("channels")).get(channel))
    levels = [settings, *(one for one in _mapping(settings.get("accounts")).values() if isinstance(one, Mapping))]
    allowed = [_texts(level.get("allowFrom")) for level in levels]
    allowed = [names for names in allowed if names]
    return bool(allowed) and all("*" not in names and _is_listed(names, channel, sender) for names in allowed)


def _is_listed(names: Sequence[str], channel: str | None, sender: Sender) -> bool:
    assert sender.id is not None
    known = {sender.id.lower(), f"{channel}:{sender.id}".lower()}
    return any(name.lower() in known for name in names)


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [str(item).strip() for item in items if isinstance(item, str | int) and not isinstance(item, bool)]


def _mapping(value: Any) -> Config:
    return value if isinstance(value, Mapping) else {}
