"""Rows and messages as real gateways sent them (shared/gateway/*.md and wire measurements of 2026-11-20)."""

from __future__ import annotations

from typing import Any

import msgspec

Row = dict[str, Any]

ROW_324_HANG: Row = {
    "key": "agent:main:zombie",
    "status": "running",
    "startedAt": 1795164242020,
    "updatedAt": 1795164257075,
    "abortedLastRun": False,
}
ROW_324_GROUP: Row = {
    "key": "agent:main:irc:group:#g1",
    "kind": "group",
    "displayName": "irc:#g1",
    "channel": "irc",
    "groupChannel": "#g1",
    "chatType": "channel",
    "origin": {"label": "#g1", "provider": "irc", "surface": "irc", "chatType": "group", "accountId": "default"},
    "updatedAt": 1795168161503,
    "sessionId": "1600b4e5-0ebe-4bb3-9d31-a831f987c277",
    "systemSent": True,
    "abortedLastRun": False,
    "status": "done",
    "startedAt": 1795168161337,
    "endedAt": 1795168161343,
    "runtimeMs": 6,
    "modelProvider": "mock",
    "model": "mock-1",
    "contextTokens": 128000,
    "deliveryContext": {"channel": "irc", "to": "irc:#g1", "accountId": "default"},
    "lastChannel": "irc",
    "lastTo": "irc:#g1",
    "lastAccountId": "default",
}
ROW_324_DM: Row = {
    "key": "agent:main:main",
    "kind": "direct",
    "displayName": "alice!~alice@127.0.0.1",
    "chatType": "direct",
    "status": "running",
    "startedAt": 1795168161337,
    "deliveryContext": {"channel": "irc", "to": "irc:alice", "accountId": "default"},
    "lastChannel": "irc",
    "lastTo": "irc:alice",
}
ROW_518_LIVE_CHANNEL: Row = {
    **ROW_324_GROUP,
    "status": "running",
    "endedAt": None,
    "thinkingLevels": [{"id": "off"}],
    "agentRuntime": {"id": "auto", "source": "implicit"},
    "hasActiveRun": False,
}
ROW_96_STUCK_CRON: Row = {
    "key": "agent:main:cron:k1",
    "visibility": "shared",
    "permissionModePending": False,
    "spawnDepth": 0,
    "createdVia": "operator",
    "participants": [{"identity": {"type": "observation", "pluginId": None, "senderKind": "unknown"}}],
    "participantCount": 1,
    "createdAt": 1795163803305,
    "kind": "direct",
    "classification": "cron",
    "agentId": "main",
    "isMain": False,
    "isBackground": True,
    "chatType": "direct",
    "updatedAt": 1795163807279,
    "archived": False,
    "pinned": False,
    "unread": True,
    "lastInteractionAt": 1795163805666,
    "sessionId": "6326df87-87ab-4da9-a483-80d8afb44969",
    "systemSent": True,
    "abortedLastRun": False,
    "thinkingLevels": [{"id": "off", "label": "off"}],
    "fastAutoOnSeconds": 60,
    "totalTokensFresh": False,
    "status": "running",
    "startedAt": 1795163807121,
    "parentSessionKey": "agent:main:main",
    "modelOverrideSource": None,
    "contextTokens": 128000,
    "snapshotAt": 1795164548269,
    "placement": {"state": "local", "generation": 0},
    "hasActiveRun": False,
    "activeRunIds": [],
    "sharingRole": "admin",
}
ROW_96_GROUP: Row = {
    "key": "agent:main:irc:group:#g1",
    "createdVia": "channel",
    "createdActor": {"type": "human", "id": "alice!~alice@127.0.0.1"},
    "kind": "group",
    "classification": "group",
    "peerKind": "group",
    "isMain": False,
    "isBackground": False,
    "channel": "irc",
    "subject": "#g1",
    "chatType": "group",
    "status": "done",
    "lastRunId": "8100060f-",
    "effectiveQueueMode": "steer",
    "deliveryContext": {"channel": "irc", "to": "channel:#g1", "accountId": "default"},
    "lastChannel": "irc",
    "lastTo": "channel:#g1",
    "hasActiveRun": False,
    "activeRunIds": [],
}
ROW_96_FAILED: Row = {
    **ROW_96_GROUP,
    "status": "failed",
    "abortedLastRun": False,
    "lastRunId": "1f4b9767b093",
    "lastRunError": "Error: restart recovery claim changed before agent adoption",
}
ROW_96_TOMBSTONED: Row = {
    "key": "agent:main:tomb1",
    "status": "failed",
    "restartRecoveryStatus": "tombstoned",
    "abortedLastRun": False,
}
ROW_AFTER_RESET: Row = {"key": "agent:main:main", "sessionId": "s", "updatedAt": 1795163807279}


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


# ---------------------------------------------------------------- chat.history


def user(text: str = "please do the long task LONGTASK-7", **changes: Any) -> Row:
    return {
        "role": "user",
        "content": [{"type": "text", "text": text}],
        "timestamp": 1795172461928,
        "__openclaw": {"id": "84b4a022", "seq": 3},
        "senderLabel": "lab (gateway-client)",
        **changes,
    }


def user_96(text: str = "please do the long task LONGTASK-8", **changes: Any) -> Row:
    return {
        "role": "user",
        "content": text,
        "timestamp": 1795172962022,
        "idempotencyKey": "run-1:user",
        "__openclaw": {
            "senderIsOwner": True,
            "transport": {"kind": "ws"},
            "id": "m1",
            "recordTimestampMs": 1795172962083,
            "transcriptPosition": {"seq": 3},
            "seq": 3,
        },
        **changes,
    }


def assistant(text: str | None, **changes: Any) -> Row:
    return {
        "role": "assistant",
        "content": [] if text is None else [{"type": "text", "text": text}],
        "api": "openai-completions",
        "provider": "mock",
        "model": "mock-1",
        "usage": {"input": 1},
        "stopReason": "stop",
        "timestamp": 1795172471844,
        "responseId": "mock",
        **changes,
    }


TOOL_CALL: Row = assistant(
    None,
    content=[{"type": "toolCall", "id": "call_26", "name": "exec", "arguments": {"command": "sleep 1; echo loop26"}}],
    stopReason="toolUse",
)
TOOL_RESULT: Row = {
    "role": "toolResult",
    "toolCallId": "call_25",
    "toolName": "exec",
    "content": [{"type": "text", "text": "loop25"}],
    "isError": False,
    "timestamp": 1795172471800,
}
TOOL_KILLED: Row = {**TOOL_RESULT, "content": [{"type": "text", "text": "Command aborted by signal SIGTERM"}]}
ABORTED_SILENT: Row = assistant(None, stopReason="aborted", errorMessage="Request was aborted")
ABORTED_IN_TOOLS: Row = assistant(None, stopReason="aborted", errorMessage="Request was aborted.")
ABORTED_PARTIAL: Row = assistant("word0 word1 ", stopReason="aborted", errorMessage="Request was aborted")
INJECTED_ABORT: Row = assistant(
    "word0 word1",
    api="openai-responses",
    provider="openclaw",
    model="gateway-injected",
    idempotencyKey="run-1:assistant",
    openclawAbort={"aborted": True, "origin": "rpc", "runId": "run-1"},
)
TIMED_OUT_96: Row = assistant("", stopReason="aborted", errorMessage="request timed out")
MIRROR: Row = assistant("literal", provider="openclaw", model="delivery-mirror", idempotencyKey="k")
RESET_96: Row = {"role": "system", "content": [{"type": "text", "text": "Reset"}], "__openclaw": {"kind": "reset"}}
COMPACTION_96: Row = {"role": "system", "content": "Compaction", "__openclaw": {"kind": "compaction"}}
FAILED_BEFORE_REPLY_96: Row = {
    "role": "custom",
    "customType": "run-failed-before-reply",
    "content": "This turn ended before a reply: Error: restart recovery claim changed before agent adoption",
    "details": {"runId": "45ee594b47bf"},
}


def history(*messages: Row, **changes: Any) -> msgspec.Raw:
    """``chat.history`` of 2026.3.24 to 5.18; 9.6 has more around it."""
    return raw({"sessionKey": "k", "sessionId": "sid-1", "messages": messages, "thinkingLevel": "off", **changes})
