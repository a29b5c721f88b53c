"""Which methods exist on which version, what scope they ask for, and which parameters they take.

Closed parameter objects: an unknown one is refused, as every measured version does. Scopes as measured on 2026-11-20:
``operator.write`` includes reading, ``operator.admin`` includes everything, an unknown method asks for admin first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openclaw_simulator.profiles import Paging, Profile

READ = "operator.read"
WRITE = "operator.write"
ADMIN = "operator.admin"
APPROVALS = "operator.approvals"
QUESTIONS = "operator.questions"

UNSUBSCRIBE = "sessions.unsubscribe"

V3_24, V4_14, V5_18, V9_6 = "2026.3.24", "2026.4.14", "2026.5.18", "2026.9.6"


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter: its type, and from which version on it exists."""

    kind: type | tuple[type, ...]
    required: bool = False
    least: int | None = None
    choices: tuple[str, ...] = ()
    since: str = V3_24


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the gateway."""

    scope: str | None
    """None: needs none."""
    params: Mapping[str, Param] = field(default_factory=dict)
    since: str = V3_24
    is_closed: bool = True
    is_advertised: bool = True


def _s(*, since: str = V3_24, required: bool = False, choices: tuple[str, ...] = ()) -> Param:
    return Param(str, required, None, choices, since)


def _b(since: str = V3_24) -> Param:
    return Param(bool, since=since)


def _n(least: int, since: str = V3_24) -> Param:
    return Param(int, least=least, since=since)


def _any(since: str = V3_24) -> Param:
    return Param(object, since=since)


_LIST = {
    "limit": _n(1),
    "offset": _n(0, V9_6),
    "activeMinutes": _n(1),
    "includeGlobal": _b(),
    "includeUnknown": _b(),
    "configuredAgentsOnly": _b(V5_18),
    "includeDerivedTitles": _b(),
    "includeLastMessage": _b(),
    "label": _s(),
    "spawnedBy": _s(),
    "agentId": _s(),
    "search": _s(),
    "requireLastInteraction": _b(V9_6),
    "sortBy": _s(since=V9_6),
    "archived": _any(V9_6),
    "ownerId": _s(since=V9_6),
    "creatorId": _s(since=V9_6),
    "includePeople": _b(V9_6),
}
_ORIGINATING = {
    name: _s(since=V4_14)
    for name in ("originatingChannel", "originatingTo", "originatingAccountId", "originatingThreadId")
}
_CHAT_SEND = {
    "sessionKey": _s(required=True),
    "message": _s(required=True),
    "idempotencyKey": _s(required=True),
    "agentId": _s(since=V9_6),
    "sessionId": _s(since=V5_18),
    "thinking": _s(),
    "fastMode": _any(V5_18),
    "queueMode": _s(since=V9_6, choices=("steer", "followup", "collect", "interrupt")),
    "deliver": _b(),
    **_ORIGINATING,
    "replyToId": _s(since=V9_6),
    "attachments": _any(),
    "timeoutMs": _n(0),
    "suppressCommandInterpretation": _b(V9_6),
    "expectedLeafEntryId": _any(V9_6),
    "expectedSessionRoutingContract": _s(since=V9_6),
}
_AGENT = {
    "message": _s(required=True),
    "idempotencyKey": _s(required=True),
    "deliver": _b(),
    "timeout": _n(0),
    "bestEffortDeliver": _b(),
    "attachments": _any(),
    "internalEvents": _any(),
    "inputProvenance": _any(),
    **{
        name: _s()
        for name in (
            "agentId",
            "provider",
            "model",
            "to",
            "replyTo",
            "sessionId",
            "sessionKey",
            "thinking",
            "channel",
            "replyChannel",
            "accountId",
            "replyAccountId",
            "threadId",
            "groupId",
            "groupChannel",
            "groupSpace",
            "lane",
            "extraSystemPrompt",
            "label",
        )
    },
    "expectedExistingSessionId": _s(since=V9_6),
    "forceRestartSafeTools": _b(V9_6),
    "sessionEffects": _s(since=V9_6),
}
_SEND = {
    "to": _s(required=True),
    "message": _s(),
    "idempotencyKey": _s(required=True),
    **{name: _s() for name in ("mediaUrl", "channel", "accountId", "agentId", "threadId", "sessionKey")},
    "replyToId": _s(since=V5_18),
    "silent": _b(V5_18),
    "mediaUrls": _any(),
}
_CRON_PAGE = {"limit": _n(1), "offset": _n(0), "query": _s(), "sortDir": _s(), "agentId": _s(since=V5_18)}
_CRON_LIST = {**_CRON_PAGE, "includeDisabled": _b(), "enabled": _any(), "sortBy": _s(), "sessionKey": _s(since=V9_6)}
_CRON_RUNS = {
    **_CRON_PAGE,
    "scope": _s(choices=("job", "all")),
    "id": _s(),
    "jobId": _s(),
    "runId": _s(since=V5_18),
    "status": _s(),
    "statuses": _any(),
}
_KEY = {"key": _s(required=True)}
_AGENT_ID = {"agentId": _s(since=V9_6)}

METHODS: dict[str, Method] = {
    "health": Method(None, is_closed=False),
    "status": Method(READ, is_closed=False),
    "config.get": Method(READ, {}),
    "channels.status": Method(READ, {"probe": _b(), "timeoutMs": _n(0)}),
    "sessions.list": Method(READ, _LIST),
    "sessions.describe": Method(
        READ, {**_KEY, **_AGENT_ID, "includeDerivedTitles": _b(), "includeLastMessage": _b()}, since=V5_18
    ),
    "sessions.subscribe": Method(READ, {}),
    UNSUBSCRIBE: Method(READ, {}),
    "sessions.create": Method(WRITE, {"key": _s(), "label": _s(), "agentId": _s(), "model": _s(), "message": _s()}),
    "sessions.send": Method(
        WRITE,
        {
            **_KEY,
            "message": _s(required=True),
            "thinking": _s(),
            "attachments": _any(),
            "timeoutMs": _n(0),
            "idempotencyKey": _s(),
            **_AGENT_ID,
        },
    ),
    "sessions.abort": Method(
        WRITE, {"key": _s(required=True), "runId": _s(), "agentId": _s(since=V5_18), "clearQueued": _b(V9_6)}
    ),
    "sessions.reset": Method(
        ADMIN, {**_KEY, **_AGENT_ID, "reason": _s(choices=("new", "reset")), "expectedSessionId": _s(since=V9_6)}
    ),
    "sessions.recover": Method(WRITE, {**_KEY, **_AGENT_ID}, since=V9_6),
    "chat.history": Method(
        READ,
        {
            "sessionKey": _s(required=True),
            "limit": _n(1),
            "maxChars": _n(1, V4_14),
            "offset": _n(0, V9_6),
            "cursor": _s(since=V9_6),
            **_AGENT_ID,
        },
    ),
    "chat.send": Method(WRITE, _CHAT_SEND),
    "chat.abort": Method(
        WRITE, {"sessionKey": _s(required=True), "runId": _s(), "preserveSideRuns": _b(V9_6), **_AGENT_ID}
    ),
    "agent": Method(WRITE, _AGENT),
    "agent.wait": Method(WRITE, {"runId": _s(required=True), "timeoutMs": _n(0)}),
    "send": Method(WRITE, _SEND),
    "gateway.restart.preflight": Method(READ, {}, since=V5_18),
    "gateway.suspend.prepare": Method(ADMIN, {"requestId": _s(required=True)}, since=V9_6),
    "gateway.suspend.resume": Method(ADMIN, {"suspensionId": _s(required=True)}, since=V9_6),
    "exec.approval.list": Method(APPROVALS, since=V4_14, is_closed=False),
    "question.list": Method(QUESTIONS, {}, since=V9_6),
    "cron.list": Method(READ, _CRON_LIST),
    "cron.runs": Method(READ, _CRON_RUNS),
}


def method_of(profile: Profile, name: str) -> Method | None:
    """The method, if this version has it."""
    found = METHODS.get(name)
    return found if found is not None and found.since <= profile.version else None


def advertised(profile: Profile) -> list[str]:
    """``features.methods``: only what is simulated, so a lower bound as on real gateways."""
    return [
        name
        for name, method in METHODS.items()
        if method.since <= profile.version
        and method.is_advertised
        and (name != UNSUBSCRIBE or not profile.forbids_unsubscribing)
    ]


def problems_with(profile: Profile, method: Method, params: Mapping[str, Any]) -> str | None:
    """What is wrong with these parameters, in the gateway's words; None when nothing is.

    9.6 names the first missing property, earlier versions all of them.
    """
    known = {name: param for name, param in method.params.items() if param.since <= profile.version}
    if method.is_closed:
        for name in params:
            if name not in known:
                return f"at root: unexpected property '{name}'"
    missing = [
        f"must have required property '{name}'" for name, p in known.items() if p.required and name not in params
    ]
    if missing:
        return missing[0] if profile.paging is Paging.OFFSET else "; ".join(missing)
    for name, value in params.items():
        if (param := known.get(name)) is not None and (problem := _problem(name, param, value)) is not None:
            return problem
    return None


def _problem(name: str, param: Param, value: object) -> str | None:
    if param.kind is int:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"at /{name}: must be integer"
        if param.least is not None and value < param.least:
            return f"at /{name}: must be >= {param.least}"
    elif param.kind is bool:
        if not isinstance(value, bool):
            return f"at /{name}: must be boolean"
    elif param.kind is str:
        if not isinstance(value, str):
            return f"at /{name}: must be string"
        if param.choices and value not in param.choices:
            return f"at /{name}: must be equal to constant; at /{name}: must match a schema in anyOf"
    return None


def missing_scope(profile: Profile, name: str, params: Mapping[str, Any], scopes: frozenset[str]) -> str | None:
    """The scope a caller lacks for this request; None when it may go on."""
    method = method_of(profile, name)
    if method is None:
        return None if ADMIN in scopes else ADMIN
    needed = method.scope
    if name == "agent" and str(params.get("message", "")).strip().split(" ")[0] in ("/new", "/reset"):
        needed = ADMIN
    if name == UNSUBSCRIBE and profile.forbids_unsubscribing:
        needed = ADMIN
    if needed is None or ADMIN in scopes or needed in scopes:
        return None
    if needed == READ and WRITE in scopes:
        return None
    if needed == QUESTIONS and WRITE in scopes:
        return None  # refused later, with other words
    return needed
