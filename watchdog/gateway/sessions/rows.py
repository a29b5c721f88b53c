"""Rows of ``sessions.list``, decoded one at a time: one malformed row is reported and never blinds the rest.

Unknown fields are ignored; every field but the key may be missing. Times are epoch milliseconds on the wire
(``int | float``) and datetimes from here on.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec

from watchdog.core.model import MalformedRow, ReplyAddress, Session, SessionKind, Status
from watchdog.core.requester import same_chat
from watchdog.gateway.wire.decoder import Undecodable, decode
from watchdog.gateway.wire.timestamps import Millis, instant

_INTERNAL_CHANNELS = frozenset({"webchat", "internal", "system", "heartbeat", "cron-event"})


class _DeliveryContext(msgspec.Struct):
    channel: str | None = None
    to: str | None = None
    accountId: str | None = None  # noqa: N815
    threadId: str | int | None = None  # noqa: N815


class _Row(msgspec.Struct):
    key: str
    status: str | None = None
    sessionId: str | None = None  # noqa: N815
    kind: str | None = None
    classification: str | None = None
    agentId: str | None = None  # noqa: N815
    channel: str | None = None
    lastChannel: str | None = None  # noqa: N815
    deliveryContext: _DeliveryContext | None = None  # noqa: N815
    origin: Any = None
    """Where the last message from a chat app came from: ``from``, ``to`` (2026.3.24 to 9.6)."""
    lastInteractionAt: Millis = None  # noqa: N815
    startedAt: Millis = None  # noqa: N815
    updatedAt: Millis = None  # noqa: N815
    endedAt: Millis = None  # noqa: N815
    hasActiveRun: bool | None = None  # noqa: N815
    activeRunIds: list[str] | None = None  # noqa: N815
    abortedLastRun: bool | None = None  # noqa: N815
    lastRunId: str | None = None  # noqa: N815
    lastRunError: Any = None  # noqa: N815
    restartRecoveryStatus: str | None = None  # noqa: N815
    lifecycleRevision: Any = None  # noqa: N815
    totalTokens: int | float | None = None  # noqa: N815
    spawnedBy: str | None = None  # noqa: N815
    childSessions: list[Any] | None = None  # noqa: N815
    hasActiveSubagentRun: bool | None = None  # noqa: N815
    subagentRole: str | None = None  # noqa: N815
    archived: bool | None = None
    pinned: bool | None = None
    placement: Any = None
    isMain: bool | None = None  # noqa: N815


class _Key(msgspec.Struct):
    key: Any = None


class ListEnvelope(msgspec.Struct):
    """The answer of ``sessions.list`` without its rows' insides. Paging fields: 2026.5.18 has ``totalCount`` and
    ``hasMore``, 2026.9.6 adds ``nextOffset``; 2026.3.24 and 4.14 have none and send everything. An answer without
    ``sessions`` is no answer: an empty list would say that every session is gone."""

    sessions: list[msgspec.Raw]
    ts: Millis = None
    totalCount: int | None = None  # noqa: N815
    hasMore: bool | None = None  # noqa: N815
    nextOffset: int | msgspec.UnsetType | None = msgspec.UNSET  # noqa: N815


REMEMBERED = 200
"""Rows whose meaning is kept beside their bytes (about 2 KB each), of all gateways together: what a poll reads again and
again are the few rows that lie on top."""

LONGEST_REMEMBERED = 16 * 1024
"""Bytes of a row that is remembered."""

_row_decoder = msgspec.json.Decoder(_Row)
_key_decoder = msgspec.json.Decoder(_Key)


def decode_rows(
    raws: list[msgspec.Raw], main_key: str | None, *, first_position: int = 0
) -> tuple[list[Session], list[MalformedRow]]:
    """All rows that can be read, and a report of each that cannot.

    From one poll to the next most rows are the same to the byte; such a one is the same value, not decoded anew. A list
    longer than what is remembered would only push itself out, and is read plainly.
    """
    read = _remembered if len(raws) <= REMEMBERED else _read
    sessions: list[Session] = []
    malformed: list[MalformedRow] = []
    for position, raw in enumerate(raws, first_position):
        try:
            content = bytes(raw)
            session = (read if len(content) <= LONGEST_REMEMBERED else _read)(content, main_key)
        except Undecodable as problem:
            malformed.append(MalformedRow(position, str(problem), _key_of(raw)))
            continue
        if session is None:
            malformed.append(MalformedRow(position, "the key is empty"))
            continue
        sessions.append(session)
    return sessions, malformed


def _read(raw: bytes, main_key: str | None) -> Session | None:
    """None: its key is empty. Depends on nothing but its arguments."""
    row = decode(_row_decoder, raw)
    return _session(row, main_key) if row.key else None


_remembered = lru_cache(maxsize=REMEMBERED)(_read)


def _key_of(raw: msgspec.Raw) -> str | None:
    try:
        key = decode(_key_decoder, raw).key
    except Undecodable:
        return None
    return key if isinstance(key, str) else None


def _session(row: _Row, main_key: str | None) -> Session:
    address = _reply_address(row.deliveryContext)
    return Session(
        key=row.key,
        status=status_of(row.status),
        session_id=row.sessionId or None,
        kind=kind_of(row.key, main_key, row.classification, row.kind, is_subagent=bool(row.subagentRole)),
        agent_id=row.agentId or agent_of(row.key),
        channel=row.channel or row.lastChannel,
        reply_address=address,
        last_writer=_last_writer(row.origin, address),
        last_interaction_at=instant(row.lastInteractionAt),
        started_at=instant(row.startedAt),
        updated_at=instant(row.updatedAt),
        ended_at=instant(row.endedAt),
        has_active_run=row.hasActiveRun,
        active_run_ids=tuple(row.activeRunIds) if row.activeRunIds is not None else None,
        aborted_last_run=row.abortedLastRun,
        last_run_id=row.lastRunId,
        last_run_error=row.lastRunError if isinstance(row.lastRunError, str) else None,
        restart_recovery_status=row.restartRecoveryStatus,
        lifecycle_revision=str(row.lifecycleRevision) if row.lifecycleRevision is not None else None,
        total_tokens=int(row.totalTokens) if row.totalTokens is not None else None,
        parent_key=row.spawnedBy,
        child_keys=_child_keys(row.childSessions),
        has_active_subagent_run=row.hasActiveSubagentRun,
        is_archived=bool(row.archived),
        is_pinned=bool(row.pinned),
        is_placed_elsewhere=_is_placed_elsewhere(row.placement),
    )


def status_of(word: str | None) -> Status:
    """What a row's ``status`` means; a word we do not know is OTHER."""
    if word is None:
        return Status.ABSENT
    try:
        return Status(word)
    except ValueError:
        return Status.OTHER


def agent_of(key: str) -> str | None:
    """``agent:<id>:…`` -> ``<id>``."""
    parts = key.split(":", 2)
    return parts[1] if len(parts) > 2 and parts[0] == "agent" and parts[1] else None


def channel_of(key: str) -> str | None:
    """``agent:<id>:<channel>:direct|group|channel:<peer>`` -> ``<channel>``; None where the key does not say it."""
    parts = key.split(":")
    tail = parts[2:] if parts[0] == "agent" else parts
    return tail[0] if len(tail) > 2 and tail[0] and tail[1] in ("direct", "dm", "group", "channel") else None


def kind_of(
    key: str, main_key: str | None, classification: str | None, kind: str | None, *, is_subagent: bool
) -> SessionKind:
    """The session's kind from its key, its row's own words where the key is silent.

    Keys: ``agent:<id>:main``, ``agent:<id>:<channel>:direct|group|channel:<peer>``, ``agent:<id>:cron:…``,
    ``…:subagent:…``, ``…:acp:…``, ``…:hook:…``; ``classification`` exists from 2026.9.x on.
    """
    parts = key.split(":")
    tail = parts[2:] if parts[0] == "agent" else parts
    head = tail[0] if tail else ""
    if is_subagent or "subagent" in tail[:2]:
        return SessionKind.SUBAGENT
    by_head = {"cron": SessionKind.CRON, "acp": SessionKind.ACP, "hook": SessionKind.HOOK}
    if head in by_head:
        return by_head[head]
    if classification in ("cron", "acp", "subagent", "hook"):
        return SessionKind(classification)
    if key == main_key or (len(tail) == 1 and head == "main"):
        return SessionKind.MAIN
    if len(tail) > 1 and tail[1] in ("direct", "dm"):
        return SessionKind.DIRECT
    if (len(tail) > 1 and tail[1] in ("group", "channel")) or kind == "group":
        return SessionKind.GROUP
    return SessionKind.DIRECT if kind == "direct" else SessionKind.OTHER


def _reply_address(context: _DeliveryContext | None) -> ReplyAddress | None:
    if context is None or not context.channel or not context.to or context.channel in _INTERNAL_CHANNELS:
        return None
    if context.to.startswith("agent:"):
        return None  # a ruined address: `sessions.send "/new"` on 2026.9.6 puts the session key here
    thread = str(context.threadId) if context.threadId is not None else None
    return ReplyAddress(context.channel, context.to, context.accountId, thread)


def _last_writer(origin: Any, address: ReplyAddress | None) -> str | None:
    """Who wrote the message that the address comes from: ``telegram:1001`` -> ``1001``, ``irc:alice!~alice@host`` ->
    ``alice!~alice@host``. None for a group, and where origin and address do not speak of the same chat."""
    if address is None or not isinstance(origin, dict):
        return None
    sender, to = origin.get("from"), origin.get("to")
    if not isinstance(sender, str) or not isinstance(to, str):
        return None
    kind, _, who = sender.partition(":")
    if kind != address.channel or not who or who.startswith(("channel:", "group:")):
        return None
    return who if same_chat(replace(address, to=to, thread_id=None), address) else None


def _child_keys(children: list[Any] | None) -> tuple[str, ...]:
    keys = (child.get("key") if isinstance(child, dict) else child for child in children or ())
    return tuple(key for key in keys if isinstance(key, str))


def _is_placed_elsewhere(placement: Any) -> bool:
    return isinstance(placement, dict) and placement.get("state") not in (None, "local")
