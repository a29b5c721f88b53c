"""The end of a conversation, read from ``chat.history``: interrupted, answered, stopped by its user, compacting?

Shapes measured on 2026.3.24, 4.14, 5.18 and 9.6 with ``operator.read``. Only the kind and a fingerprint leave this
module freely; the words travel in ``TranscriptTail.request`` to the resume turn and the handoff note, and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from watchdog.core.model import TailKind, TranscriptTail
from watchdog.core.texts import MARK
from watchdog.gateway.frames import UNREADABLE
from watchdog.gateway.rows import Millis, instant
from watchdog.service import errors

_UNREADABLE_ROLE = "unreadable"


class _Meta(msgspec.Struct):
    id: Any = None
    seq: Any = None
    kind: Any = None


class _Message(msgspec.Struct):
    role: str = ""
    content: Any = None
    timestamp: Millis = None
    stopReason: str | None = None  # noqa: N815
    errorMessage: str | None = None  # noqa: N815
    openclawAbort: Any = None  # noqa: N815
    model: str | None = None
    customType: str | None = None  # noqa: N815
    meta: _Meta | None = msgspec.field(name="__openclaw", default=None)


class _Pending(msgspec.Struct):
    state: str | None = None


class _PendingInputs(msgspec.Struct):
    items: list[_Pending] = msgspec.field(default_factory=list)


class _Info(msgspec.Struct):
    hasActiveRun: bool | None = None  # noqa: N815


class History(msgspec.Struct):
    """The answer of ``chat.history``. ``inFlightRun``, ``pendingInputs`` and ``sessionInfo`` exist on 2026.9.6 only.
    An answer without ``messages`` is no answer: an empty list would say that nothing was ever asked."""

    messages: list[msgspec.Raw]
    sessionId: str | None = None  # noqa: N815
    totalMessages: int | None = None  # noqa: N815
    inFlightRun: Any = None  # noqa: N815
    pendingInputs: _PendingInputs | None = None  # noqa: N815
    sessionInfo: _Info | None = None  # noqa: N815


_message_decoder = msgspec.json.Decoder(_Message)
_history_decoder = msgspec.json.Decoder(History)


def read_tail(payload: msgspec.Raw) -> TranscriptTail:
    """Judge the end of a transcript.

    Raises ``RequestRefused`` (code SHAPE) when the envelope is unreadable, or the last entry: it may be the one that
    says that a person stopped the run.
    """
    try:
        history = _history_decoder.decode(payload)
    except UNREADABLE as problem:
        raise errors.RequestRefused("chat.history gave an answer that cannot be read.", code="SHAPE") from problem
    everything = [_readable(raw) for raw in history.messages]
    if everything and everything[-1].role == _UNREADABLE_ROLE:
        raise errors.RequestRefused("the last entry of the transcript cannot be read.", code="SHAPE")
    # A delivered text is mirrored into the transcript as an answer nobody's model gave (3.24, 5.18): not an answer.
    messages = [message for message in everything if message.model != "delivery-mirror"]
    in_flight: bool | None = None
    if history.inFlightRun is not None:
        in_flight = True
    elif history.sessionInfo is not None:
        in_flight = history.sessionInfo.hasActiveRun
    pending = None
    if history.pendingInputs is not None:
        pending = any(item.state == "queued" for item in history.pendingInputs.items)
    last = next((message for message in reversed(messages) if not _is_deed(message)), None)
    deed_at, deed_mark = _last_deed(messages)
    return TranscriptTail(
        kind=_kind(messages),
        fingerprint=_fingerprint(history, everything),
        request=_interrupted_request(messages),
        last_answer=_last_answer(messages),
        at=instant(last.timestamp) if last is not None else None,
        has_run_in_flight=in_flight,
        has_pending_input=pending,
        was_stopped_by_request=any(message.openclawAbort is not None for message in messages[-3:]),
        deed_at=deed_at,
        deed_mark=deed_mark,
        overtaken_mark=_overtaken_deed(messages),
    )


def _readable(raw: msgspec.Raw) -> _Message:
    try:
        return _message_decoder.decode(raw)
    except UNREADABLE:
        return _Message(role=_UNREADABLE_ROLE)


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
    return message.role == "assistant" and (message.stopReason == "aborted" or message.openclawAbort is not None)


def _assistant_kind(message: _Message) -> TailKind:
    if _was_aborted(message):
        return TailKind.STOPPED
    if message.stopReason == "toolUse" or any(_is_tool_call(part) for part in _parts(message)):
        return TailKind.TOOL_CALL
    if message.stopReason == "error" or message.errorMessage:
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


def _interrupted_request(messages: Sequence[_Message]) -> str | None:
    """The person's words since the last finished answer or stop, ours left out, in order."""
    words: list[str] = []
    for message in reversed(messages):
        # What was stopped on purpose before the interrupted request must not come back with it.
        if message.role == "assistant" and _assistant_kind(message) in (TailKind.ANSWERED, TailKind.STOPPED) and words:
            break
        if message.role == "user" and (text := _text(message).strip()) and not MARK.search(text):
            words.append(text)
            if len(words) == 3:  # more would be a conversation, not a request
                break
        if message.role == "system" and message.meta is not None and message.meta.kind == "reset":
            break
    return "\n\n".join(reversed(words)) or None


def _last_answer(messages: Sequence[_Message]) -> str | None:
    for message in reversed(messages):
        if message.role == "assistant" and _assistant_kind(message) is TailKind.ANSWERED:
            return _text(message).strip() or None
    return None


def _last_deed(messages: Sequence[_Message]) -> tuple[datetime | None, str | None]:
    for message in reversed(messages):
        if message.role == "user" and (match := MARK.search(_text(message))):
            return instant(message.timestamp), f"{match[1]}/{match[2]}"
    return None, None


def _overtaken_deed(messages: Sequence[_Message]) -> str | None:
    """The mark of the last watchdog's turn that was answered before a person wrote again."""
    found: str | None = None
    asked: str | None = None
    answered: str | None = None
    for message in messages:
        if message.role == "user":
            match = MARK.search(_text(message))
            found = (answered or found) if match is None else found
            asked, answered = (f"{match[1]}/{match[2]}" if match is not None else None), None
        elif asked is not None and message.role == "assistant" and _assistant_kind(message) is TailKind.ANSWERED:
            answered = asked
    return found


def _is_deed(message: _Message) -> bool:
    return message.role == "user" and MARK.search(_text(message)) is not None


def _fingerprint(history: History, messages: Sequence[_Message]) -> str:
    last = messages[-1] if messages else _Message()
    meta = last.meta or _Meta()
    seen = (history.sessionId, history.totalMessages, len(messages), last.role, last.timestamp, meta.id, meta.seq)
    digest = hashlib.sha256(repr(seen).encode())
    digest.update(str(len(_text(last))).encode())
    return digest.hexdigest()[:16]
