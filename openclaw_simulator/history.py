"""``chat.history``: a transcript as each version shows it (shapes from the wire, 2026-11-20).

What its tail says about how a run ended differs by version: 3.24 and 4.14 always write an ``aborted`` entry for a stop
or a time-out; 5.18 and 9.6 mark a stop only where text had been streamed, and leave the bare request otherwise. A first
turn cut before its first answer leaves nothing at all before 9.6.
"""

from __future__ import annotations

from typing import Any

from openclaw_simulator.people import sender_facts, sender_label
from openclaw_simulator.profiles import Paging
from openclaw_simulator.rows import active_fields, is_modern, list_defaults, row_of
from openclaw_simulator.sessions import Activity, Entry, EntryKind, InboundMessage, Origin, SimSession
from openclaw_simulator.world import World

Shape = dict[str, Any]

DEFAULT_LIMIT = 200
_USAGE: Shape = {
    "input": 10,
    "output": 5,
    "totalTokens": 15,
    "cacheRead": 0,
    "cacheWrite": 0,
    "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0},
}
_MODEL: Shape = {"api": "openai-completions", "provider": "mock", "model": "mock-1", "usage": _USAGE}
_ROW_ONLY = ("thinkingLevels", "thinkingOptions", "thinkingDefault", "placement")


def history_of(world: World, key: str, limit: int | None) -> Shape:
    """The whole answer of ``chat.history``."""
    session = world.sessions.get(key)
    modern = is_modern(world)
    shown = _shown(session, modern=modern) if session is not None else []
    total = len(shown)
    keep = shown[-(limit or DEFAULT_LIMIT) :]
    answer: Shape = {"sessionKey": key}
    if session is not None:
        answer["sessionId"] = session.session_id
    first = total - len(keep) + 1
    answer["messages"] = [_message(world, entry, first + n, modern=modern) for n, entry in enumerate(keep)]
    if not modern:
        answer["thinkingLevel"] = "off"
        return answer
    answer["pendingInputs"] = _pending(session)
    answer |= {"hasMore": total > len(keep), "totalMessages": total}
    answer["defaults"] = {k: v for k, v in list_defaults(world).items() if not k.startswith("thinking")}
    answer["sessionInfo"] = _info(world, key, session)
    if session is not None and session.run is not None:
        answer["inFlightRun"] = _in_flight(world, session)
    return answer


def _shown(session: SimSession, *, modern: bool) -> list[Entry]:
    entries = [entry for entry in session.transcript if not entry.is_hidden]
    if modern:
        for place in range(len(entries) - 1, -1, -1):
            if entries[place].kind is EntryKind.RESET:
                return entries[place:]
    return entries


def _message(world: World, entry: Entry, seq: int, *, modern: bool) -> Shape:
    mark: Shape = {"id": entry.id if modern else entry.id[:8], "seq": seq}
    if modern:
        mark["recordTimestampMs"] = entry.at_ms
        if entry.run_id is not None and entry.kind is not EntryKind.USER:
            mark["runId"] = entry.run_id
    if entry.kind is EntryKind.USER:
        message = _user(entry, modern=modern)
    elif entry.kind is EntryKind.ABORTED:
        message = _aborted(entry, modern=modern)
    else:
        message = _SHAPES[entry.kind](entry)
    if entry.kind is EntryKind.MIRROR and world.profile.paging is not Paging.NONE:
        message["idempotencyKey"] = entry.run_id
    if entry.kind is EntryKind.TOOL_CALL and world.profile.paging is Paging.LIMIT:
        message["content"][0]["partialArgs"] = '{"command": "sleep 1"}'
    message["timestamp"] = entry.at_ms
    message["__openclaw"] = mark | message.pop("__openclaw", {})
    return message


def _text(text: str) -> list[Shape]:
    return [{"type": "text", "text": text}]


def _user(entry: Entry, *, modern: bool) -> Shape:
    author = entry.author
    if not modern:
        text = entry.text if author is None or author.context is None else f"{author.context}\n\n{entry.text}"
        message: Shape = {"role": "user", "content": _text(text)}
        if author is not None and (label := sender_label(author)) is not None:
            message["senderLabel"] = label
        return message
    message = {"role": "user", "content": entry.text, "idempotencyKey": f"{entry.run_id}:user"}
    if author is not None:
        message["__openclaw"] = sender_facts(author)
    if entry.is_internal:
        message["provenance"] = {"kind": "internal_system", "sourceTool": "main_session_restart_recovery"}
    return message


def _answer(entry: Entry) -> Shape:
    return {"role": "assistant", "content": _text(entry.text), **_MODEL, "stopReason": "stop"}


def _tool_call(entry: Entry) -> Shape:
    call: Shape = {"type": "toolCall", "id": f"call_{entry.id[:6]}", "name": entry.text, "arguments": {}}
    if entry.text == "exec":
        call["arguments"] = {"command": "sleep 1"}
    return {"role": "assistant", "content": [call], **_MODEL, "stopReason": "toolUse"}


def _tool_result(entry: Entry) -> Shape:
    return {
        "role": "toolResult",
        "toolCallId": f"call_{entry.id[:6]}",
        "toolName": "exec",
        "content": _text(entry.text),
        "isError": False,
    }


def _partial(entry: Entry) -> Shape:
    return {
        "role": "assistant",
        "content": _text(entry.text),
        "stopReason": "stop",
        "idempotencyKey": f"{entry.run_id}:assistant",
        "openclawAbort": {"aborted": True, "origin": "rpc", "runId": entry.run_id},
    }


def _aborted(entry: Entry, *, modern: bool) -> Shape:
    if modern or entry.text == "request timed out":
        return {
            "role": "assistant",
            "content": _text(""),
            **_MODEL,
            "stopReason": "aborted",
            "errorMessage": "request timed out",
        }
    content = _text(entry.text + " ") if entry.text else []
    return {
        "role": "assistant",
        "content": content,
        **_MODEL,
        "stopReason": "aborted",
        "errorMessage": "Request was aborted",
    }


def _error(entry: Entry) -> Shape:
    return {"role": "assistant", "content": [], **_MODEL, "stopReason": "error", "errorMessage": entry.text}


def _failed_before_reply(entry: Entry) -> Shape:
    return {
        "role": "custom",
        "customType": "run-failed-before-reply",
        "content": entry.text,
        "details": {"runId": entry.run_id},
    }


def _reset(_: Entry) -> Shape:
    return {"role": "system", "content": _text("Reset"), "__openclaw": {"kind": "reset"}}


def _mirror(entry: Entry) -> Shape:
    mirrored = _MODEL | {"provider": "openclaw", "model": "delivery-mirror"}
    return {"role": "assistant", "content": _text(entry.text), **mirrored, "stopReason": "stop"}


def _compaction(_: Entry) -> Shape:
    return {"role": "system", "content": _text("Compaction"), "__openclaw": {"kind": "compaction"}}


_SHAPES = {
    EntryKind.ANSWER: _answer,
    EntryKind.TOOL_CALL: _tool_call,
    EntryKind.TOOL_RESULT: _tool_result,
    EntryKind.PARTIAL: _partial,
    EntryKind.ERROR: _error,
    EntryKind.FAILED_BEFORE_REPLY: _failed_before_reply,
    EntryKind.RESET: _reset,
    EntryKind.COMPACTION: _compaction,
    EntryKind.MIRROR: _mirror,
}


def _pending_item(message: InboundMessage, state: str) -> Shape:
    facts = sender_facts(message.author) if message.author is not None else {}
    return {
        "id": message.pending_id,
        "acceptedAt": message.at_ms,
        "state": state,
        "message": {
            "role": "user",
            "content": message.text,
            "timestamp": message.at_ms,
            "__openclaw": {"id": f"pending:{message.pending_id}"} | facts,
        },
        "runId": message.run_id,
    }


def _pending(session: SimSession | None) -> Shape:
    """A client's words: queued, cancelled by an abort, or interrupted by the process's end (those never run).

    What a person wrote in a chat app is not shown, whether it waits behind a live run or at a deaf session (9.6).
    """
    if session is None:
        return {"items": [], "total": 0}
    lists = (("queued", session.queue), ("cancelled", session.cancelled), ("interrupted", session.interrupted))
    items = [_pending_item(m, state) for state, words in lists for m in words if m.origin is not Origin.CHANNEL]
    return {"items": items, "total": len(items)}


def _info(world: World, key: str, session: SimSession | None) -> Shape:
    if session is None:
        return {
            "key": key,
            "kind": "direct",
            "classification": "custom",
            "agentId": "main",
            "isMain": False,
            "isBackground": False,
            "updatedAt": None,
            "archived": False,
            "hasActiveRun": False,
            "activeRunIds": [],
            "activeLeafEntryId": None,
        }
    info = {name: value for name, value in row_of(world, session).items() if name not in _ROW_ONLY}
    info |= active_fields(world, session)
    info |= {"snapshotAt": world.wall_ms, "activitySummary": {"state": "unavailable", "canEnsure": True}}
    info["activeLeafEntryId"] = session.transcript[-1].id if session.transcript else None
    return info


def _in_flight(world: World, session: SimSession) -> Shape:
    """The live run; with words queued behind it, the *queued* one's id (measured)."""
    run = session.run
    assert run is not None
    if session.queue:
        queued = session.queue[-1]
        return {"runId": queued.run_id, "text": "", "startedAt": queued.at_ms}
    flight: Shape = {"runId": run.run_id, "text": run.streamed(world.now_ms), "startedAt": run.message.at_ms}
    if run.message.origin in (Origin.CHANNEL, Origin.AGENT):
        flight["sessionAbortable"] = True
    elif run.current is not None and run.current.activity is Activity.SILENT:
        event: Shape = {"runId": run.run_id, "seq": 4, "stream": "run_status", "ts": run.step_began_ms}
        event |= {"data": {"phase": "starting_model"}, "sessionKey": session.key, "agentId": session.agent_id}
        flight["events"] = [event]
    return flight
