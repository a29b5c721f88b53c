"""The end of a conversation, read from ``chat.history``: interrupted, answered, stopped by its user, compacting; who asked.

Shapes measured on 2026.3.24, 4.14, 5.18 and 9.6 with ``operator.read``. Only the kind and a fingerprint leave this
module freely; the words travel in ``TranscriptTail`` to the resume turn and the handoff note, and nowhere else.

Who wrote an entry is the gateway's word, never the text's: ``senderLabel`` before 2026.9 (of which only the last bracket is
the id: names are chosen by people), ``__openclaw`` from then on. A watchdog's turn is known by the mark that ends it, and
only where no person wrote it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from watchdog.core.model import Asked, Sender, SenderKind, TailKind, TranscriptTail
from watchdog.core.texts import mark_in
from watchdog.gateway.sessions.taken_up import MERGED, RECOVERY, cut_request
from watchdog.gateway.wire.decoder import Undecodable, decode
from watchdog.gateway.wire.timestamps import Millis, instant
from watchdog.service import errors

_UNREADABLE_ROLE = "unreadable"


class _Meta(msgspec.Struct, rename="camel"):
    id: Any = None
    seq: Any = None
    kind: Any = None
    sender_id: Any = None
    sender_name: Any = None
    sender_is_owner: Any = None
    sender_identity: Any = None
    transport: Any = None


class _Message(msgspec.Struct, rename="camel"):
    role: str = ""
    content: Any = None
    timestamp: Millis = None
    stop_reason: str | None = None
    error_message: str | None = None
    openclaw_abort: Any = None
    model: str | None = None
    sender_label: Any = None
    meta: _Meta | None = msgspec.field(name="__openclaw", default=None)


class _Pending(msgspec.Struct, rename="camel"):
    state: str | None = None
    accepted_at: Millis = None


class _PendingInputs(msgspec.Struct):
    items: list[_Pending] = msgspec.field(default_factory=list)


class _Info(msgspec.Struct, rename="camel"):
    has_active_run: bool | None = None


class History(msgspec.Struct, rename="camel"):
    """The answer of ``chat.history``. ``inFlightRun``, ``pendingInputs`` and ``sessionInfo`` exist on 2026.9.6 only.
    An answer without ``messages`` is no answer: an empty list would say that nothing was ever asked."""

    messages: list[msgspec.Raw]
    session_id: str | None = None
    total_messages: int | None = None
    has_more: Any = None
    in_flight_run: Any = None
    pending_inputs: _PendingInputs | None = None
    session_info: _Info | None = None


_message_decoder = msgspec.json.Decoder(_Message)
_history_decoder = msgspec.json.Decoder(History)


def read_tail(payload: msgspec.Raw, *, wraps_prompts: bool = False, limit: int = 1000) -> TranscriptTail:
    """Judge the end of a transcript. ``wraps_prompts``: this gateway puts a block of its own before a person's words. ``limit``: of
    entries, as it was asked for.

    Raises ``RequestRefused`` (code SHAPE) when the envelope is unreadable, or the last entry: it may be the one that
    says that a person stopped the run.
    """
    try:
        history = decode(_history_decoder, payload)
    except Undecodable as problem:
        raise errors.RequestRefused("chat.history gave an answer that cannot be read.", code="SHAPE") from problem
    everything = [_readable(raw) for raw in history.messages]
    if everything and everything[-1].role == _UNREADABLE_ROLE:
        raise errors.RequestRefused("the last entry of the transcript cannot be read.", code="SHAPE")
    # A delivered text is mirrored into the transcript as an answer nobody's model gave (3.24, 5.18): not an answer.
    messages = _without_commands([message for message in everything if not _is_notice(message)])
    in_flight: bool | None = None
    if history.in_flight_run is not None:
        in_flight = True
    elif history.session_info is not None:
        in_flight = history.session_info.has_active_run
    pending, lost = None, 0
    queued_at: datetime | None = None
    dropped: tuple[datetime | None, ...] = ()
    if history.pending_inputs is not None:
        queued = [instant(item.accepted_at) for item in history.pending_inputs.items if item.state == "queued"]
        pending = bool(queued)
        queued_at = None if None in queued else max((at for at in queued if at is not None), default=None)
        lost = sum(item.state == "interrupted" for item in history.pending_inputs.items)
        never_run = [item for item in history.pending_inputs.items if item.state in ("interrupted", "cancelled")]
        dropped = tuple(instant(item.accepted_at) for item in never_run)
    asked, has_beginning = _asked(messages, wraps_prompts=wraps_prompts)
    # What is not shown is left out of what was cut off before, so fewer than were asked for need not be all (source of 5.18), and
    # ``totalMessages`` counts it (source of 9.6).
    is_all = not history.has_more if isinstance(history.has_more, bool) else len(everything) < limit / 2
    last = next((message for message in reversed(messages) if not _is_deed(message)), None)
    deed_at, deed_mark = _last_deed(messages)
    return TranscriptTail(
        kind=_kind(messages),
        fingerprint=_fingerprint(history, messages, notices=len(everything) - len(messages)),
        request="\n\n".join([one.words for one in asked if one.words][-MOST_WORDS:]) or None,
        asked=asked,
        has_beginning=has_beginning or is_all,
        tools_called=_tools_called(messages),
        lost_inputs=lost,
        queued_at=queued_at,
        dropped_inputs=dropped,
        last_answer=_last_answer(messages),
        at=instant(last.timestamp) if last is not None else None,
        has_run_in_flight=in_flight,
        has_pending_input=pending,
        was_stopped_by_request=any(message.openclaw_abort is not None for message in messages[-3:]),
        deed_at=deed_at,
        deed_mark=deed_mark,
        overtaken_mark=_overtaken_deed(messages),
        was_taken_up=_was_taken_up(messages),
    )


_CUT = "...(truncated)..."
"""Ends a text that ``chat.history`` has cut (3.24 to 9.6)."""


def is_cut(tail: TranscriptTail) -> bool:
    """Words of somebody who asked are not there in full."""
    return any(one.words.endswith(_CUT) for one in tail.asked)


_LEFT_OUT = ("[chat.history omitted: ", "[chat.history unavailable: ")
"""What stands in place of an entry that is too large (over 128 KiB; source of 3.24, 5.18 and 9.6), a tool call's included."""


def _readable(raw: msgspec.Raw) -> _Message:
    try:
        message = decode(_message_decoder, raw)
    except Undecodable:
        return _Message(role=_UNREADABLE_ROLE)
    # guard: what a gateway leaves out is no answer
    if message.role == "assistant" and _text(message).startswith(_LEFT_OUT):
        return _Message(role=_UNREADABLE_ROLE)
    return message


def _kind(messages: Sequence[_Message]) -> TailKind:
    if not messages:
        return TailKind.EMPTY
    last = messages[-1]
    if last.role == "system":
        kind = last.meta.kind if last.meta is not None else None
        return TailKind.EMPTY if kind == "reset" else TailKind.COMPACTION if kind == "compaction" else TailKind.OTHER
    if last.role in ("compactionSummary", "compaction"):
        return TailKind.COMPACTION
    if last.role == "user":
        # A Stop in a first turn writes the injected "aborted" answer before the person's words (2026.3.24).
        return TailKind.STOPPED if _is_stopped_first_turn(messages) else TailKind.REQUEST
    if last.role in ("toolResult", "tool"):
        return TailKind.TOOL_RESULT
    if last.role == "assistant":
        return _assistant_kind(last)
    return TailKind.OTHER


def _is_stopped_first_turn(messages: Sequence[_Message]) -> bool:
    return len(messages) >= 2 and _was_aborted(messages[-2]) and not any(m.role == "user" for m in messages[:-1])


def _was_aborted(message: _Message) -> bool:
    return message.role == "assistant" and (
        message.stop_reason == "aborted"
        # guard: abort mark is a stop
        or message.openclaw_abort is not None
    )


def _assistant_kind(message: _Message) -> TailKind:
    if _was_aborted(message):
        return TailKind.STOPPED
    if message.stop_reason == "toolUse" or any(_is_tool_call(part) for part in _parts(message)):
        return TailKind.TOOL_CALL
    if message.stop_reason == "error" or message.error_message:
        return TailKind.OTHER
    return TailKind.ANSWERED if _text(message).strip() else TailKind.OTHER


def _is_tool_call(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in ("toolCall", "toolUse", "tool_use")


def _parts(message: _Message) -> list[Any]:
    return message.content if isinstance(message.content, list) else []


def _text(message: _Message) -> str:
    if isinstance(message.content, str):
        return message.content
    texts = (part.get("text") for part in _parts(message) if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


MOST_WORDS = 3
"""Messages that make one request; more would be a conversation."""
_NOT_ANSWERED = ("Something went wrong while processing your request", "⚠️ Something went wrong while processing your")
"""What a gateway says in place of an answer after a lost write (2026.8.2)."""


def _is_notice(message: _Message) -> bool:
    """Said to a person, and no model's answer: a literal ``send``, mirrored into the transcript (3.24, 5.18, 9.6), or the
    gateway's own apology."""
    if message.role != "assistant":
        return False
    return (
        message.model == "delivery-mirror"  # guard: mirrored delivery is no answer
        or _text(message).startswith(_NOT_ANSWERED)
    )


_ASKS_THE_GATEWAY = re.compile(
    r"/(status|help|commands|usage|context|whoami|id|tools|models?|think|verbose|reasoning)\b"
)


def _without_commands(messages: Sequence[_Message]) -> list[_Message]:
    """Without what was asked of the gateway itself on its web page, whose reply no model gave: ``/status`` leaves its words and a
    ``gateway-injected`` reply on 2026.9.6, the reply alone on 5.18; ``/stop`` leaves neither. Any other that follows somebody's words stays:
    they may have been a stop, in whatever language."""
    kept: list[_Message] = []
    for message in messages:
        is_reply = message.model == "gateway-injected" and not _was_aborted(message)
        follows_words = not kept or kept[-1].role == "user"
        is_question = bool(kept) and follows_words and _ASKS_THE_GATEWAY.match(_text(kept[-1]).strip()) is not None
        # guard: a command's reply is no answer
        if is_reply and (is_question or not follows_words):
            kept = kept[:-1] if is_question else kept
            continue
        kept.append(message)
    return kept


def _asked(messages: Sequence[_Message], *, wraps_prompts: bool) -> tuple[tuple[Asked, ...], bool]:
    """What people and clients said since the last finished answer or stop, ours and the gateway's own left out; whether that answer,
    that stop or a fresh start was seen."""
    found: list[Asked] = []
    has_turn = has_work = has_beginning = False
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        # What was answered, or stopped on purpose, before the interrupted turn must not come back with it; a turn of ours
        # that was cut is one, too.
        is_end = message.role == "assistant" and _assistant_kind(message) in (TailKind.ANSWERED, TailKind.STOPPED)
        # guard: requester: a turn whose prompt is not shown is nobody's request
        if is_end and has_work and not has_turn:
            return (Asked(Sender(SenderKind.NOBODY), "", None),), True
        if is_end and has_turn:
            has_beginning = True
            break
        has_turn = has_turn or message.role == "user"
        has_work = has_work or _is_work(message)
        if message.role == "user" and not _is_deed(message) and not _is_gateways_own(message):
            words, at = _text(message).strip(), instant(message.timestamp)
            if (cut := cut_request(words)) is not None:
                # guard: taken up: a stop before the start was a stop of it
                words, at = cut, _before(messages, position)
            words = _unwrapped(words) if wraps_prompts else words
            sender = _sender(message)
            # guard: requester: who sent a picture has asked, too
            if words or sender.kind is not SenderKind.NOBODY:
                found.append(Asked(sender, words, at))
        if message.role == "system" and message.meta is not None and message.meta.kind == "reset":
            has_beginning = True
            break
    return tuple(reversed(found)), has_beginning


def _is_work(message: _Message) -> bool:
    """Of a turn that goes on. Where nobody's words stand before it, its prompt is one that ``chat.history`` leaves out: a
    heartbeat, what a sub-agent announces (2026.5.18, 9.6; source), a cron event of the main session."""
    is_unfinished = message.role == "assistant" and _assistant_kind(message) is TailKind.TOOL_CALL
    return is_unfinished or message.role in ("toolResult", "tool")


def _before(messages: Sequence[_Message], position: int) -> datetime | None:
    """When the entry before this one was written, whose own time is that of the gateway's start: somewhere between the two the
    request was made, and a stop in between was a stop of it."""
    return instant(messages[position - 1].timestamp) if position else None


def _was_taken_up(messages: Sequence[_Message]) -> bool:
    last = next((message for message in reversed(messages) if message.role == "user"), None)
    if last is None:
        return False
    text = _text(last).strip()
    # guard: taken up: a person may type the gateway's words
    is_turn_of_its_own = text.startswith(RECOVERY) and _sender(last).kind is SenderKind.NOBODY
    return is_turn_of_its_own or cut_request(text) is not None


_WRAPPING = re.compile(r"[A-Z][^\n(]{2,80} \(untrusted[^\n)]{0,80}\):")
"""``Conversation context (untrusted, chronological, selected for current message):`` and its like (2026.5.18)."""


def _unwrapped(words: str) -> str:
    """Without the gateway's own leading block, which ends at the first blank line; once, because what follows is typed by
    people, who may type such a block, too. Other people's lines in it have their line breaks taken out (2026.5.18)."""
    if _WRAPPING.match(words) is None:
        return words
    _, _, rest = words.partition("\n\n")
    is_all_block = not rest and words.endswith(_CUT)  # so long a block that the words behind it were cut with it
    return _CUT if is_all_block else rest.strip()


def _tools_called(messages: Sequence[_Message]) -> frozenset[str]:
    """Names of the tools called since the last finished answer or stop."""
    names: set[str] = set()
    for message in reversed(messages):
        if message.role == "assistant" and _assistant_kind(message) is TailKind.ANSWERED:
            break
        names |= {part["name"] for part in _parts(message) if _is_tool_call(part) and isinstance(part.get("name"), str)}
    return frozenset(names)


# ---------------------------------------------------------------- who wrote it

_CLIENTS = frozenset({"cli", "gateway-client", "webchat", "node-host", "test", "fingerprint"})
_CLIENT_PREFIXES = ("openclaw-", "webchat-")
"""What clients call themselves (source of 2026.3.24 and 9.6). No chat app gives such ids to people."""
_OUR_CLIENTS = (None, "gateway-client", "cli")
"""As what a watchdog signs in; None: the ``agent`` method leaves no name."""


def _sender(message: _Message) -> Sender:
    meta, label = message.meta, message.sender_label
    if isinstance(label, str) and label.strip():
        return _labelled(label)
    if meta is None:
        return Sender(SenderKind.NOBODY)
    transport = meta.transport if isinstance(meta.transport, dict) else {}
    clients = transport.get("clients")
    if isinstance(clients, list) and clients:
        first = clients[0].get("id") if isinstance(clients[0], dict) else None
        return Sender(SenderKind.OPERATOR, _said(first))
    if (who := _said(meta.sender_id)) is None:
        return Sender(SenderKind.NOBODY)
    if _is_client(who):
        return Sender(SenderKind.OPERATOR, who)
    identity = meta.sender_identity if isinstance(meta.sender_identity, dict) else {}
    return Sender(
        SenderKind.PERSON,
        who,
        _said(meta.sender_name),
        channel=_said(transport.get("channel")) or _said(identity.get("pluginId")),
        account_id=_said(identity.get("accountId")),
        is_owner=meta.sender_is_owner if isinstance(meta.sender_is_owner, bool) else None,
    )


def _labelled(label: str) -> Sender:
    """``Alice Ames (1001)``, ``Bob (1002) (1003)``, ``1004``: the last bracket is the id, and nothing else of it is sure."""
    text, name = label.strip(), None
    if text.endswith(")") and (at := text.rfind("(")) >= 0:
        name, text = text[:at].strip() or None, text[at + 1 : -1].strip()
    if not text:
        return Sender(SenderKind.NOBODY)
    if _is_client(text):
        return Sender(SenderKind.OPERATOR, text)
    return Sender(SenderKind.PERSON, text, name)


def _is_client(who: str) -> bool:
    return who in _CLIENTS or who.startswith(_CLIENT_PREFIXES)


def _said(value: Any) -> str | None:
    """Text or a number as text; None for nothing."""
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _is_deed(message: _Message) -> bool:
    return _mark(message) is not None


def _mark(message: _Message) -> str | None:
    """``<incident>/<number>`` of a watchdog's turn. A person who types or quotes a mark has written no such turn."""
    if message.role != "user" or (mark := mark_in(_text(message))) is None:
        return None
    sender = _sender(message)
    is_merged = _text(message).startswith(MERGED)
    # guard: mark: no person writes one
    return mark if is_merged or (sender.kind is not SenderKind.PERSON and sender.id in _OUR_CLIENTS) else None


_GATEWAYS_OWN = (RECOVERY, "System: ")


def _is_gateways_own(message: _Message) -> bool:
    """The turn of its own restart recovery (2026.5.18), or an event that it puts into the conversation: nobody's request."""
    return _text(message).startswith(_GATEWAYS_OWN) and _sender(message).kind is SenderKind.NOBODY


def _last_answer(messages: Sequence[_Message]) -> str | None:
    for message in reversed(messages):
        if message.role == "assistant" and _assistant_kind(message) is TailKind.ANSWERED:
            return _text(message).strip() or None
    return None


def _last_deed(messages: Sequence[_Message]) -> tuple[datetime | None, str | None]:
    for message in reversed(messages):
        if (mark := _mark(message)) is not None:
            return instant(message.timestamp), mark
    return None, None


def _overtaken_deed(messages: Sequence[_Message]) -> str | None:
    """The mark of the last watchdog's turn that was answered before a person wrote again."""
    found: str | None = None
    asked: str | None = None
    answered: str | None = None
    for message in messages:
        if message.role == "user":
            mark = _mark(message)
            found = (answered or found) if mark is None else found
            asked, answered = mark, None
        elif asked is not None and message.role == "assistant" and _assistant_kind(message) is TailKind.ANSWERED:
            answered = asked
    return found


def _fingerprint(history: History, messages: Sequence[_Message], *, notices: int) -> str:
    """Of all but the ``notices``: a question of ours that the gateway mirrors is no progress of the run. (A run that writes to a
    chat by a tool leaves the call and its result as well.)"""
    last = messages[-1] if messages else _Message()
    meta = last.meta or _Meta()
    total = history.total_messages - notices if history.total_messages is not None else len(messages)
    seen = (history.session_id, total, last.role, last.timestamp, meta.id, meta.seq)
    digest = hashlib.sha256(repr(seen).encode())
    digest.update(str(len(_text(last))).encode())
    return digest.hexdigest()[:16]
