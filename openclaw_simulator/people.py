"""People of chat apps: who is behind a key, where they read, and what ``chat.history`` says of an author.

Measured over Telegram and IRC on 2026.3.24, 5.18 and 9.6; 4.14 *assumed* like 3.24. On 3.24 and 5.18 a message carries
nothing but a label, its last bracket the id. On 9.6 it carries id, names, account and chat.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from openclaw_simulator.profiles import Profile
from openclaw_simulator.records import Person
from openclaw_simulator.sessions import Address, Author
from openclaw_simulator.state import WorldState

Shape = dict[str, Any]
_SOMEBODY = {"telegram": "1001"}
"""Who writes in a group where nobody was named."""


def person_called(channel: str, name: str) -> Person:
    """The person a chat app knows by this id or nick."""
    return Person(f"{name}!~{name}@127.0.0.1", name) if channel == "irc" else Person(name)


def usual_person(key: str, address: Address) -> Person:
    """Who writes to a session where nobody else was named: the peer of its key, or of its direct chat, or a member."""
    parts = key.split(":")
    for word in ("direct", "dm"):
        if word in parts[2:-1]:
            return person_called(address.channel, parts[parts.index(word, 2) + 1])
    chat = address.place.chat
    if is_group(address):
        return person_called(address.channel, _SOMEBODY.get(address.channel, "member"))
    return person_called(address.channel, chat)


def is_group(address: Address) -> bool:
    """A chat of several people: an IRC room, a Telegram id below zero."""
    chat = address.place.chat
    return chat.startswith(("#", "-"))


def direct_chat(channel: str, person: Person, account: str = "default") -> Address:
    """Where a person reads what is said to them alone."""
    return Address(channel, f"{channel}:{person.id.partition('!')[0]}", account)


def key_of_chat(world: WorldState, address: Address, person: Person | None = None) -> str:
    """The session that a message in this chat goes to, with the world's ``session.dmScope``."""
    place = address.place
    account = "" if place.account == "default" else f"{place.account}:"
    if is_group(address):
        topic = "" if place.thread is None and address.thread_id is None else f":topic:{place.thread or 1}"
        return f"agent:main:{place.channel}:group:{place.chat}{topic}"
    scope = world.config.get("session", {}).get("dmScope", "main")
    if scope != "main" or account:
        peer = place.chat if person is None else person.id.partition("!")[0]
        return f"agent:main:{place.channel}:{account}direct:{peer}"
    if place.thread is not None and world.profile.keys_private_topics:
        return f"agent:main:main:thread:{place.chat}:{place.thread}"
    return "agent:main:main"


def row_address(profile: Profile, chat: Address) -> Address:
    """The chat as this version writes it into a row: from 5.18 on a group's topic stands in ``to`` as well."""
    thread = chat.place.thread
    if not profile.names_topic_in_to or thread is None or chat.channel == "irc" or not is_group(chat):
        return chat
    return replace(chat, to=f"{chat.channel}:{chat.place.chat}:topic:{thread}")


# ------------------------------------------------------------ what chat.history says


def sender_label(author: Author) -> str | None:
    """``senderLabel`` (3.24 to 5.18): a person, or a client that sent words; none for ``agent``, cron, the gateway."""
    if author.person is not None:
        return author.person.label
    return author.client.label if author.client is not None else None


def sender_facts(author: Author) -> Shape:
    """The author's part of ``__openclaw`` on 2026.9.6."""
    person, chat = author.person, author.chat
    if person is None:
        if author.client is None:
            return {"senderIsOwner": author.is_owner}
        client: Shape = {"id": author.client.client_id, "mode": author.client.mode}
        if author.client.display_name:
            client["displayName"] = author.client.display_name
        return {"transport": {"clients": [client]}}
    facts: Shape = {"senderId": person.id}
    if person.name:
        facts["senderName"] = person.name
    if person.username:
        facts["senderUsername"] = person.username
    facts["senderIsOwner"] = author.is_owner
    if chat is not None:
        place = chat.place
        kind = "unknown" if place.channel == "irc" else "human"
        facts["senderIdentity"] = {"pluginId": place.channel, "accountId": place.account, "senderKind": kind}
        transport: Shape = {"channel": place.channel, "conversationRef": _opaque(place.account, place.chat)}
        transport["messageId"] = str(author.number)
        if chat.thread_id is not None:
            transport["threadId"] = str(chat.thread_id)
        facts["transport"] = transport
    return facts


def _opaque(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:24]
