"""How each gateway version writes what a case says in short: rows, transcripts, hello, refusals.

Shapes as measured on 2026.3.24, 2026.4.14, 2026.5.18 and 2026.9.6; a version in between writes like the nearest measured
one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any

from tests.incidents.cases import span
from watchdog.core.texts import mark_in
from watchdog.gateway.capabilities import parse_version

Json = dict[str, Any]

ABSENT = "absent"


class Era(IntEnum):
    """Versions that write alike."""

    FILES = 3
    """2026.3.24, 4.14: rows without ``hasActiveRun``, a lock file for the whole run."""
    FLAG = 5
    """2026.5.2 and later: ``hasActiveRun``; from 5.4 on ``gateway.restart.preflight``, too (source; measured on 5.7 to 5.18)."""
    RUN_IDS = 7
    """2026.7.1 and later: ``activeRunIds``, the flag counts channel runs."""
    MODERN = 9
    """2026.9.x: many more fields, ``bootId``, ``inFlightRun``."""


def era_of(version: str) -> Era:
    parsed = parse_version(version) or (2026, 9, 6)
    if parsed < (2026, 5, 2):
        return Era.FILES
    if parsed < (2026, 7, 1):
        return Era.FLAG
    return Era.RUN_IDS if parsed < (2026, 8, 99) else Era.MODERN


def names_recovery(version: str) -> bool:
    """Preflight names the restart recovery while it goes on (measured on 2026.8.2 and 9.6; not on 5.18)."""
    return (parse_version(version) or (2026, 9, 6)) >= (2026, 8, 0)


_METHODS = [
    "health", "status", "config.get", "logs.tail", "sessions.list", "sessions.send",
    "sessions.abort", "sessions.create", "sessions.reset", "sessions.patch", "sessions.delete", "sessions.compact",
    "chat.history", "chat.send", "chat.abort", "agent", "agent.wait", "send", "cron.list", "cron.runs",
]  # fmt: skip


def methods_of(version: str) -> list[str]:
    """``hello-ok.features.methods``, a lower bound as on real gateways."""
    era, parsed = era_of(version), parse_version(version)
    methods = list(_METHODS)
    if parsed is not None and parsed >= (2026, 4, 14):
        methods.append("exec.approval.list")
    if era >= Era.FLAG:
        methods += ["tasks.list", "diagnostics.stability", "gateway.restart.preflight"]
    if era >= Era.MODERN:
        methods += ["sessions.recover", "question.list", "diagnostics.lanes"]
    return methods


# ---------------------------------------------------------------- rows

_ADDRESSES: Mapping[str, Json] = {
    "main": {"channel": "telegram", "to": "telegram:4711", "accountId": "default"},
    "direct": {"channel": "telegram", "to": "telegram:{name}", "accountId": "default"},
    "group": {"channel": "irc", "to": "irc:#{name}", "accountId": "default"},
}
_PEOPLE: Mapping[str, str] = {"main": "4711", "direct": "{name}", "group": "alice!~alice@127.0.0.1"}
"""The chat app's id of who writes to such a session."""
_KEYS: Mapping[str, str] = {
    "main": "agent:main:main",
    "direct": "agent:main:telegram:direct:{name}",
    "group": "agent:main:irc:group:#{name}",
    "web": "agent:main:{name}",
    "cron": "agent:main:cron:{name}",
    "subagent": "agent:main:subagent:{name}",
    "acp": "agent:main:acp:{name}",
    "hook": "agent:main:hook:{name}",
}
_CLASSIFICATIONS = {"web": "custom", "hook": "custom"}


def new_row(version: str, name: str, said: Mapping[str, Any], origin_ms: int) -> Json:
    """A whole row from a case's few fields. ``as`` names what it is (main, direct, group, web, cron, ...)."""
    era, fields = era_of(version), dict(said)
    what = str(fields.pop("as", "main"))
    row: Json = {
        "key": _KEYS[what].format(name=name),
        "kind": "group" if what == "group" else "direct",
        "sessionId": f"00000000-0000-4000-8000-{sum(map(ord, name)):012d}",
        "systemSent": True,
        "abortedLastRun": False,
        "modelProvider": "mock",
        "model": "mock-1",
        "contextTokens": 128000,
        "totalTokensFresh": False,
        "updatedAt": "-1d",
    }
    if what in _ADDRESSES:
        address = {name_: value.format(name=name) for name_, value in _ADDRESSES[what].items()}
        person = _PEOPLE[what].format(name=name)
        origin = {"from": f"{address['channel']}:{person}", "to": address["to"], "accountId": "default"}
        row |= {"x-person": person, "origin": origin}
        row |= {"displayName": name, "chatType": "group" if what == "group" else "direct"}
        row |= {"deliveryContext": address, "lastChannel": address["channel"], "lastTo": address["to"]}
        if what != "main":
            row["channel"] = address["channel"]
    if era >= Era.FLAG:
        row |= {"thinkingLevels": [{"id": "off", "label": "off"}], "agentRuntime": {"id": "auto", "source": "implicit"}}
        row["hasActiveRun"] = False
    if era >= Era.RUN_IDS:
        row["activeRunIds"] = []
    if era >= Era.MODERN:
        row |= {
            "visibility": "shared",
            "spawnDepth": 1 if what == "subagent" else 0,
            "createdVia": "channel" if what in _ADDRESSES else "operator",
            "classification": _CLASSIFICATIONS.get(what, what),
            "agentId": "main",
            "isMain": what == "main",
            "isBackground": what in ("cron", "subagent", "acp"),
            "archived": False,
            "pinned": False,
            "unread": True,
            "participants": [{"identity": {"type": "observation", "pluginId": None, "senderKind": "unknown"}}],
            "placement": {"state": "local", "generation": 0},
            "modelOverrideSource": None,
            "sharingRole": "admin",
        }
    change_row(row, fields, origin_ms, origin_ms)
    if era < Era.RUN_IDS and row.get("activeRunIds") is not None:
        raise ValueError(f"{version} knows no activeRunIds")
    if era < Era.FLAG and "hasActiveRun" in row:
        raise ValueError(f"{version} knows no hasActiveRun")
    return row


def change_row(row: Json, changes: Mapping[str, Any], origin_ms: int, now_ms: int) -> None:
    """Fields as a case gives them, laid over a row. A live embedded run has no ``activeRunIds`` (2026.9.6)."""
    row.update(changes)
    if changes.get("hasActiveRun") is True and "activeRunIds" not in changes:
        row.pop("activeRunIds", None)
    for name, value in list(row.items()):
        if value == ABSENT:
            del row[name]
        elif name.endswith("At") and isinstance(value, str):
            row[name] = now_ms if value == "now" else origin_ms + round(span(value) * 1000)


# ---------------------------------------------------------------- transcripts

_MODEL: Json = {"api": "openai-completions", "provider": "mock", "model": "mock-1"}


def _text(text: str) -> list[Json]:
    return [{"type": "text", "text": text}]


def _user(text: str, era: Era) -> Json:
    return {"role": "user", "content": text if era >= Era.MODERN else _text(text)}


def _answer(text: str, _: Era) -> Json:
    return {"role": "assistant", "content": _text(text), **_MODEL, "stopReason": "stop"}


def _tool_call(text: str, _: Era) -> Json:
    call = {"type": "toolCall", "id": "call_1", "name": text or "exec", "arguments": {"command": "sleep 1"}}
    return {"role": "assistant", "content": [call], **_MODEL, "stopReason": "toolUse"}


def _tool_result(text: str, _: Era) -> Json:
    return {"role": "toolResult", "toolCallId": "call_1", "toolName": "exec", "content": _text(text), "isError": False}


def _aborted(text: str, era: Era) -> Json:
    """A run that ended with an abort: on 3.24 and 4.14 a Stop, a time-out and an in-process restart all write this."""
    words = "request timed out" if era >= Era.MODERN else "Request was aborted."
    return {"role": "assistant", "content": _text(text) if text else [], **_MODEL, "stopReason": "aborted"} | {
        "errorMessage": words
    }


def _stopped(text: str, _: Era) -> Json:
    mark = {"aborted": True, "origin": "rpc", "runId": "r1"}
    return {"role": "assistant", "content": _text(text or "partial"), "stopReason": "stop", "openclawAbort": mark}


def _error(text: str, _: Era) -> Json:
    return {"role": "assistant", "content": [], **_MODEL, "stopReason": "error", "errorMessage": text or "500"}


def _compaction(_: str, era: Era) -> Json:
    if era >= Era.MODERN:
        return {"role": "system", "content": _text("Compaction"), "__openclaw": {"kind": "compaction"}}
    return {"role": "compactionSummary", "content": _text("summary")}


def _reset(_: str, __: Era) -> Json:
    return {"role": "system", "content": _text("Reset"), "__openclaw": {"kind": "reset"}}


def _failed(text: str, _: Era) -> Json:
    return {"role": "custom", "customType": "run-failed-before-reply", "content": text, "details": {"runId": "r1"}}


def _mirror(text: str, _: Era) -> Json:
    return {"role": "assistant", "content": _text(text), "stopReason": "stop", **_MODEL, "model": "delivery-mirror"}


_ENTRIES: Mapping[str, Callable[[str, Era], Json]] = {
    "user": _user,
    "answer": _answer,
    "tool_call": _tool_call,
    "tool_result": _tool_result,
    "aborted": _aborted,
    "stopped": _stopped,
    "error": _error,
    "compaction": _compaction,
    "reset": _reset,
    "failed_before_reply": _failed,
    "mirror": _mirror,
}


def entry_of(
    said: Any, version: str, number: int, default_at_ms: int, origin_ms: int, person: str | None = None
) -> Json:
    """One transcript entry. ``{user: "do it", at: -3h}``, ``tool_call``, or a message as it came over the wire. ``by``: who
    wrote it, in place of the session's own ``person``."""
    if isinstance(said, str):
        said = {said: ""}
    fields = dict(said)
    by = fields.pop("by", person)
    at = fields.pop("at", None)
    at_ms = default_at_ms if at is None else origin_ms + round(span(at) * 1000)
    if "role" in fields:
        message = fields
    else:
        ((what, text),) = fields.items()
        message = _ENTRIES[what](str(text or ""), era_of(version))
        if mark_in(str(text or "")) is not None and "by" not in said:
            by = CLIENT  # no person writes a watchdog's turn
    message["timestamp"] = at_ms
    message["__openclaw"] = {"id": f"m{number}", "seq": number} | message.get("__openclaw", {})
    if message["role"] == "user" and by is not None and "senderLabel" not in message:
        _sign(message, by, era_of(version))
    return message


CLIENT = "gateway-client"
"""Who says what comes through a client: an operator, or a watchdog."""


def _sign(message: Json, by: str, era: Era) -> None:
    """Who wrote it, as each version says it."""
    if era < Era.MODERN:
        message["senderLabel"] = f"lab ({by})" if by == CLIENT else f"Somebody ({by})"
    elif by == CLIENT:
        message["__openclaw"]["transport"] = {"clients": [{"id": by, "mode": "backend"}]}
    else:
        channel = "irc" if "!" in by else "telegram"
        message["__openclaw"] |= {"senderId": by, "senderName": "Somebody", "senderIsOwner": False}
        message["__openclaw"]["senderIdentity"] = {"pluginId": channel, "accountId": "default", "senderKind": "human"}
        message["__openclaw"]["transport"] = {"channel": channel}


def history(
    version: str,
    key: str,
    row: Mapping[str, Any] | None,
    entries: Sequence[Json],
    *,
    limit: int,
    in_flight: bool,
    pending: Sequence[str],
    pending_at_ms: int,
    now_ms: int,
) -> Json:
    """The answer of ``chat.history``."""
    answer: Json = {"sessionKey": key, "messages": list(entries[-limit:])}
    if row is not None:
        answer["sessionId"] = row.get("sessionId")
    if era_of(version) < Era.MODERN:
        return answer | {"thinkingLevel": "off"}
    items = [
        {"id": f"p{n}", "acceptedAt": pending_at_ms, "state": state, "runId": f"q{n}"}
        for n, state in enumerate(pending)
    ]
    answer["pendingInputs"] = {"items": items, "total": len(items)}
    answer |= {"totalMessages": len(entries), "hasMore": len(entries) > limit}
    answer["sessionInfo"] = {"key": key, "hasActiveRun": bool(row and row.get("hasActiveRun"))}
    if in_flight:
        answer["inFlightRun"] = {"runId": "r1", "text": "", "startedAt": now_ms, "sessionAbortable": True}
    return answer
