"""What a session's key says: its agent, its kind, and the chat or scheduler's job that it is about.

Keys: ``agent:<id>:main``, ``agent:<id>:<channel>[:<account>]:direct|group|channel:<chat>[:topic:<n>]``,
``agent:<id>:cron:<job>[:run:<session>]``, ``…:subagent:…``, ``…:acp:…``, ``…:hook:…``, and the same without ``agent:<id>:``.
"""

from __future__ import annotations

from dataclasses import dataclass

from watchdog.core.model import SessionKind

TELEGRAM = "telegram"
"""The one chat app of which it is known that a person's id is also the id of their private chat with the bot."""
_PEOPLE = ("direct", "dm")
_ROOMS = ("group", "channel")


@dataclass(frozen=True, slots=True)
class Peer:
    """The chat that a session's key names: ``agent:<id>:<channel>[:<account>]:direct|group|channel:<chat>[:topic:<n>]``."""

    channel: str
    chat: str
    is_person: bool
    """A private chat: only its person writes there."""
    account_id: str | None = None
    thread_id: str | None = None


def agent_of(key: str) -> str | None:
    """``agent:<id>:…`` -> ``<id>``."""
    parts = key.split(":", 2)
    return parts[1] if len(parts) > 2 and parts[0] == "agent" and parts[1] else None


def channel_of(key: str) -> str | None:
    """``agent:<id>:<channel>:direct|group|channel:<peer>`` -> ``<channel>``; None where the key does not say it."""
    tail = _after_agent(key)
    return tail[0] if len(tail) > 2 and tail[0] and tail[1] in _PEOPLE + _ROOMS else None


def kind_of(
    key: str, main_key: str | None, classification: str | None, kind: str | None, *, is_subagent: bool
) -> SessionKind:
    """The session's kind from its key, its row's own words where the key is silent; ``classification`` exists from
    2026.9.x on."""
    tail = _after_agent(key)
    head = tail[0] if tail else ""
    if is_subagent or "subagent" in tail[:2]:
        return SessionKind.SUBAGENT
    by_head = {"cron": SessionKind.CRON, "acp": SessionKind.ACP, "hook": SessionKind.HOOK}
    if head in by_head:
        return by_head[head]
    if classification in ("cron", "acp", "subagent", "hook"):  # guard: kind by classification
        return SessionKind(classification)
    if key == main_key or (len(tail) == 1 and head == "main"):
        return SessionKind.MAIN
    if len(tail) > 1 and tail[1] in _PEOPLE:
        return SessionKind.DIRECT
    if (len(tail) > 1 and tail[1] in _ROOMS) or kind == "group":
        return SessionKind.GROUP
    return SessionKind.DIRECT if kind == "direct" else SessionKind.OTHER


def cron_job_of(key: str) -> str | None:
    """``agent:<id>:cron:<job>`` and ``agent:<id>:cron:<job>:run:<session>`` -> the job's id."""
    parts = key.split(":")
    return parts[3] if len(parts) > 3 and parts[0] == "agent" and parts[2] == "cron" and parts[3] else None


def peer_of(key: str) -> Peer | None:
    """The chat that a key names, or None: a main session, or one without a chat."""
    tail = _after_agent(key)
    if len(tail) == 4 and tail[1] == "thread" and tail[2].isdigit():
        # A topic of a private Telegram chat (2026.3.24, 9.6): agent:main:main:thread:<person>:<topic>.
        return Peer(TELEGRAM, tail[2], is_person=True, thread_id=tail[3])
    at = next((n for n in (1, 2) if n < len(tail) - 1 and tail[n] in _PEOPLE + _ROOMS), None)
    if at is None or not tail[0]:
        return None
    rest = tail[at + 1 :]
    thread = rest[2] if len(rest) == 3 and rest[1] in ("topic", "thread") else None
    chat = rest[0] if thread is not None else ":".join(rest)
    return Peer(
        tail[0],
        chat,
        is_person=tail[at] in _PEOPLE,
        account_id=tail[1] if at == 2 else None,
        thread_id=thread,
    )


def is_of_some_chat(key: str) -> bool:
    """People write to it from a chat app, though the key need not say from which: ``agent:<id>:direct:<person>`` (one session
    for a person on whatever app), and every thread."""
    tail = _after_agent(key)
    return peer_of(key) is not None or "thread" in tail or any(head in _PEOPLE for head in tail[:1])


def names_its_chat(key: str) -> bool:
    """The key itself says which chat the session speaks to; one with a ``thread`` does not (measured on 2026.3.24)."""
    return peer_of(key) is not None and ":thread:" not in key


def _after_agent(key: str) -> list[str]:
    parts = key.split(":")
    return parts[2:] if parts[0] == "agent" else parts
