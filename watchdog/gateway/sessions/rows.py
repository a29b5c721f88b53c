"""Rows of ``sessions.list``, decoded one at a time: one malformed row is reported and never blinds the rest.

Unknown fields are ignored; every field but the key may be missing. Times are epoch milliseconds on the wire
(``int | float``) and datetimes from here on.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec

from watchdog.core.address import same_chat
from watchdog.core.model import MalformedRow, ReplyAddress, Session, SessionKind, Status
from watchdog.core.session_key import agent_of, kind_of
from watchdog.gateway.wire.decoder import Undecodable, decode
from watchdog.gateway.wire.timestamps import Millis, instant

_INTERNAL_CHANNELS = frozenset({"webchat", "internal", "system", "heartbeat", "cron-event"})


class _DeliveryContext(msgspec.Struct, rename="camel"):
    channel: str | None = None
    to: str | None = None
    account_id: str | None = None
    thread_id: str | int | None = None


class _Row(msgspec.Struct, rename="camel"):
    key: str
    status: str | None = None
    session_id: str | None = None
    kind: str | None = None
    classification: str | None = None
    agent_id: str | None = None
    channel: str | None = None
    last_channel: str | None = None
    delivery_context: _DeliveryContext | None = None
    display_name: Any = None
    label: Any = None
    subject: Any = None
    origin: Any = None
    """Where the last message from a chat app came from: ``from``, ``to``, ``label`` (2026.3.24 to 9.6)."""
    last_interaction_at: Millis = None
    started_at: Millis = None
    updated_at: Millis = None
    ended_at: Millis = None
    has_active_run: bool | None = None
    active_run_ids: list[str] | None = None
    aborted_last_run: bool | None = None
    last_run_id: str | None = None
    last_run_error: Any = None
    restart_recovery_status: str | None = None
    previous_session_id: str | None = None
    lifecycle_revision: Any = None
    total_tokens: int | float | None = None
    model_provider: Any = None
    spawned_by: str | None = None
    child_sessions: list[Any] | None = None
    has_active_subagent_run: bool | None = None
    subagent_role: str | None = None
    archived: bool | None = None
    pinned: bool | None = None
    placement: Any = None


class _Key(msgspec.Struct):
    key: Any = None


class ListEnvelope(msgspec.Struct, rename="camel"):
    """The answer of ``sessions.list`` without its rows' insides. Paging fields: 2026.5.18 has ``totalCount`` and
    ``hasMore``, 2026.9.6 adds ``nextOffset``; 2026.3.24 and 4.14 have none and send everything. An answer without
    ``sessions`` is no answer: an empty list would say that every session is gone."""

    sessions: list[msgspec.Raw]
    ts: Millis = None
    total_count: int | None = None
    has_more: bool | None = None
    next_offset: int | msgspec.UnsetType | None = msgspec.UNSET


REMEMBERED = 200
"""Rows whose meaning is kept beside their bytes (about 2 KB each), of all gateways together: what a poll reads again and
again are the few rows that lie on top."""

LONGEST_REMEMBERED = 16 * 1024
"""Bytes of a row that is remembered."""

LONGEST_STATUS = 40
"""Characters of a status that we do not know."""

LONGEST_NAME = 60
"""Characters of a session's name, the last of them an ellipsis."""

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
        except Undecodable as problem:  # guard: one bad row blinds nothing
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
    address = _reply_address(row.delivery_context)
    status = status_of(row.status)
    kind = kind_of(row.key, main_key, row.classification, row.kind, is_subagent=bool(row.subagent_role))
    return Session(
        key=row.key,
        status=status,
        unknown_status=(row.status or "")[:LONGEST_STATUS] if status is Status.OTHER else None,
        session_id=row.session_id or None,
        kind=kind,
        agent_id=row.agent_id or agent_of(row.key),
        channel=row.channel or row.last_channel,
        name=_name(row, kind),
        reply_address=address,
        last_writer=_last_writer(row.origin, address),
        last_interaction_at=instant(row.last_interaction_at),
        started_at=instant(row.started_at),
        updated_at=instant(row.updated_at),
        ended_at=instant(row.ended_at),
        has_active_run=row.has_active_run,
        active_run_ids=tuple(row.active_run_ids) if row.active_run_ids is not None else None,
        aborted_last_run=row.aborted_last_run,
        last_run_id=row.last_run_id,
        last_run_error=row.last_run_error if isinstance(row.last_run_error, str) else None,
        restart_recovery_status=row.restart_recovery_status,
        previous_session_id=row.previous_session_id,
        lifecycle_revision=str(row.lifecycle_revision) if row.lifecycle_revision is not None else None,
        total_tokens=int(row.total_tokens) if row.total_tokens is not None else None,
        model_provider=row.model_provider if isinstance(row.model_provider, str) else None,
        parent_key=row.spawned_by,
        child_keys=_child_keys(row.child_sessions),
        has_active_subagent_run=row.has_active_subagent_run,
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


def _name(row: _Row, kind: SessionKind) -> str | None:
    """What people call it; None where that says no more than the key.

    ``displayName`` (2026.3.24 to 9.6) is a room's name in a room alone, and where it is not what the last message calls its
    origin: else it can be somebody's phone number, the first words of a thread, or a title made of the first message
    (a dashboard's on 9.6). ``derivedTitle`` is a message's words."""
    origin_label = row.origin.get("label") if isinstance(row.origin, dict) else None
    is_room = kind is SessionKind.GROUP and ":thread:" not in row.key
    display_name = row.display_name if is_room and row.display_name != origin_label else None
    for said in (display_name, row.label, row.subject):
        name = " ".join(said[: 4 * LONGEST_NAME].split()) if isinstance(said, str) else ""
        if name:
            short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
            # irc:#g1 is agent:main:irc:group:#g1
            return short if name.rpartition(":")[2].lower() not in row.key.lower().split(":") else None
    return None


def _reply_address(context: _DeliveryContext | None) -> ReplyAddress | None:
    if context is None or not context.channel or not context.to or context.channel in _INTERNAL_CHANNELS:
        return None
    if context.to.startswith("agent:"):
        return None  # a ruined address: `sessions.send "/new"` on 2026.9.6 puts the session key here
    thread = str(context.thread_id) if context.thread_id is not None else None
    return ReplyAddress(context.channel, context.to, context.account_id, thread)


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
    # A placement that failed, or was taken back, runs nothing anywhere.
    return isinstance(placement, dict) and placement.get("state") not in (None, "local", "failed", "reclaimed")
