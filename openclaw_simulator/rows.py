"""A row of ``sessions.list`` as each version writes it, field by field as seen on the wire (2026-11-20).

Rows are cached on the session until something changes, so that polling an idle world costs next to nothing. They are
shared: whoever gets one must not change it.
"""

from __future__ import annotations

from typing import Any

from openclaw_simulator.profiles import ActiveFlag, Paging
from openclaw_simulator.sessions import ConversationKind, Origin, SimSession
from openclaw_simulator.world import World

Row = dict[str, Any]

MODEL = {"modelProvider": "mock", "model": "mock-1"}
_THINKING: Row = {
    "thinkingLevels": [{"id": "off", "label": "off"}],
    "thinkingOptions": ["off"],
    "thinkingDefault": "off",
}
_RUNTIME_9: Row = {
    "id": "openclaw",
    "cloudPlacementSupported": True,
    "cloudPlacementExecutionMode": "worker-turn",
    "devicePlacement": {"requiredNodeCommands": [], "consumesWorkerSlot": True},
    "devicePlacementSupported": True,
    "source": "implicit",
}
_DEFAULT_RUNTIME_9: Row = {
    "id": "auto",
    "cloudPlacementSupported": False,
    "devicePlacementSupported": False,
    "source": "implicit",
}
_CLASSIFICATIONS = {
    ConversationKind.MAIN: "main",
    ConversationKind.DIRECT: "direct",
    ConversationKind.GROUP: "group",
    ConversationKind.CRON: "cron",
    ConversationKind.SUBAGENT: "subagent",
    ConversationKind.ACP: "acp",
}


def is_modern(world: World) -> bool:
    """Rows of 2026.9.x: a projection of store and live runs, with many more fields."""
    return world.profile.paging is Paging.OFFSET


def row_of(world: World, session: SimSession) -> Row:
    """The row, cached until the session changes. Read-only."""
    if session.row is None:
        session.row = _modern(world, session) if is_modern(world) else _early(world, session)
        if session.status_word is not None:
            session.row["status"] = session.status_word
    return session.row


def has_active_run(world: World, session: SimSession) -> bool:
    """What ``hasActiveRun`` says, true or not.

    5.18 knows registered controllers only: a live chat-app or cron run reads false (#82382, channels.md 2).
    9.6 knows every run, and words that wait for the gateway's own recovery as one.
    """
    run = session.run
    if world.profile.active_flag is ActiveFlag.TRACKED_ONLY:
        return run is not None and run.is_tracked
    if run is not None:
        return True
    return session.is_in_boot_recovery and any(message.origin is not Origin.CHANNEL for message in session.queue)


def _has_live_child(world: World, session: SimSession) -> bool:
    return any(
        child.run is not None
        for key in world.children.get(session.key, ())
        if (child := world.sessions[key]).kind is ConversationKind.SUBAGENT
    )


def _row_kind(session: SimSession) -> str:
    return "group" if session.kind is ConversationKind.GROUP else "direct"


def _address_fields(session: SimSession) -> Row:
    address = session.address
    if address is None:
        return {}
    context: Row = {"channel": address.channel}
    fields: Row = {"deliveryContext": context, "lastChannel": address.channel}
    if address.to is not None:
        context["to"] = fields["lastTo"] = address.to
    if address.account_id is not None:
        context["accountId"] = fields["lastAccountId"] = address.account_id
    if address.thread_id is not None:
        context["threadId"] = fields["lastThreadId"] = address.thread_id
    return fields


def _origin(session: SimSession) -> Row:
    address = session.address
    if session.created_via != "channel":
        return {"label": session.origin_label, "provider": "webchat", "surface": "webchat", "chatType": "direct"}
    channel = address.channel if address is not None else "irc"
    to = (address.to if address is not None and address.reaches_a_person else None) or session.origin_label or ""
    writer = session.last_writer if session.kind is not ConversationKind.GROUP else None
    said = session.origin_label or ""
    label = said.partition(":")[2] or said
    if address is not None and address.place.thread is not None and not session.has_lost_topic:
        label += f" topic:{address.place.thread}"
    return {
        "label": label,
        "provider": channel,
        "surface": channel,
        "chatType": "group" if session.kind is ConversationKind.GROUP else "direct",
        "from": f"{channel}:{writer.id}" if writer is not None else to,
        "to": to,
        "accountId": address.place.account if address is not None else "default",
    }


def _early(world: World, session: SimSession) -> Row:
    """2026.3.24 to 2026.5.18: the stored entry as it is, whatever lives. Optional fields are left out, never null."""
    has_flag = world.profile.active_flag is not ActiveFlag.ABSENT
    row: Row = {"key": session.key, "kind": _row_kind(session)}
    if session.label is not None:
        row["label"] = session.label
    if session.origin_label is not None:
        row["displayName"] = session.label or session.origin_label
        if session.created_via == "channel" and session.kind is ConversationKind.GROUP:
            row["channel"] = session.address.channel if session.address is not None else "irc"
        row["chatType"] = "channel" if session.kind is ConversationKind.GROUP else "direct"
        row["origin"] = _origin(session)
    row["updatedAt"] = session.updated_ms
    row["sessionId"] = session.session_id
    if session.system_sent is not None:
        row["systemSent"] = session.system_sent
        row["abortedLastRun"] = bool(session.aborted_last_run)
    if has_flag:
        row |= _THINKING
    _put_tokens(row, session)
    _put_state(row, session.status, session)
    if session.spawned_by is not None:
        row["spawnedBy"] = session.spawned_by
        if has_flag:
            row["hasActiveSubagentRun"] = session.run is not None
    children = world.children.get(session.key)
    if children:
        row["childSessions"] = list(children)
    row |= MODEL
    if has_flag:
        row["agentRuntime"] = {"id": "auto", "source": "implicit"}
    row["contextTokens"] = 128000
    row |= _address_fields(session)
    if has_flag:
        row["hasActiveRun"] = has_active_run(world, session)
    return row


def _put_tokens(row: Row, session: SimSession) -> None:
    if session.total_tokens is None:
        row["totalTokensFresh"] = False
        return
    row |= {"inputTokens": session.total_tokens * 2 // 3, "outputTokens": session.total_tokens // 3}
    row |= {"totalTokens": session.total_tokens, "totalTokensFresh": True, "estimatedCostUsd": 0}


def _put_state(row: Row, status: str | None, session: SimSession) -> None:
    if status is not None:
        row["status"] = status
    for name, value in (
        ("startedAt", session.started_ms),
        ("endedAt", session.ended_ms),
        ("runtimeMs", session.runtime_ms),
    ):
        if value is not None:
            row[name] = value


def _modern(world: World, session: SimSession) -> Row:
    """2026.9.6: ``status`` is the stored one unless a run lives; ``startedAt`` is missing until the run has begun."""
    run = session.run
    row: Row = {
        "key": session.key,
        "visibility": "shared",
        "permissionModePending": False,
        "spawnDepth": session.spawn_depth,
        "createdVia": session.created_via,
    }
    if session.created_via == "channel":
        by = session.created_by
        row["createdActor"] = {"type": "human", "id": by.id if by is not None else session.origin_label}
    row["createdAt"] = session.created_ms
    row["kind"] = _row_kind(session)
    row["classification"] = _CLASSIFICATIONS.get(
        session.kind, "direct" if session.system_sent is not None else "custom"
    )
    row["agentId"] = session.agent_id
    row["isMain"] = session.kind is ConversationKind.MAIN
    row["isBackground"] = session.kind.is_background
    if session.label is not None:
        row["label"] = session.label
    if session.created_via == "channel":
        row["displayName"] = (session.origin_label or "").partition(":")[2]
        row["channel"] = session.address.channel if session.address is not None else "irc"
        row["origin"] = _origin(session)
    if session.system_sent is not None:
        row["chatType"] = "group" if session.kind is ConversationKind.GROUP else "direct"
    row["updatedAt"] = session.updated_ms
    row |= {"archived": session.is_archived, "pinned": False, "unread": session.system_sent is True}
    if session.system_sent is not None:
        row["lastInteractionAt"] = session.last_interaction_ms or session.updated_ms
    row["sessionId"] = session.session_id
    if session.system_sent is not None:
        row["systemSent"] = session.system_sent
    if session.aborted_last_run is not None:
        row["abortedLastRun"] = session.aborted_last_run
    row |= _THINKING
    row |= {"effectiveFastMode": False, "effectiveFastModeSource": "default", "fastAutoOnSeconds": 60}
    _put_tokens(row, session)
    _put_modern_state(row, session)
    if session.parent_key is not None:
        row["parentSessionKey"] = session.parent_key
    if session.spawned_by is not None:
        row["spawnedBy"] = session.spawned_by
        row["hasActiveSubagentRun"] = run is not None
    elif _has_live_child(world, session):
        row["hasActiveSubagentRun"] = True
    children = world.children.get(session.key)
    if children:
        row["childSessions"] = sorted(children)
    row |= {"effectiveResponseUsage": "off", "effectiveQueueMode": "steer"}
    row |= MODEL
    if run is not None and run.started_ms is not None:
        row |= {"activeModelProvider": "mock", "activeModel": "mock-1"}
    row |= {"modelOverrideSource": None, "runtimeSelectionLocked": False, "agentRuntime": _RUNTIME_9}
    row["contextTokens"] = 128000
    row |= _address_fields(session)
    row["snapshotAt"] = world.wall_ms
    if session.system_sent is not None:
        row["placement"] = {
            "state": "local",
            "generation": 0,
            "createdAtMs": session.created_ms,
            "updatedAtMs": session.updated_ms,
            "stateChangedAtMs": session.created_ms,
        }
    row |= active_fields(world, session)
    row["sharingRole"] = "admin"
    return row


def _put_modern_state(row: Row, session: SimSession) -> None:
    run = session.run
    if run is None:
        status = "running" if session.settling is not None else session.status
        _put_state(row, status, session)
        if session.last_run_id is not None:
            row["lastRunId"] = session.last_run_id
        if session.last_run_error is not None:
            row["lastRunError"] = session.last_run_error
    else:
        row["status"] = "queued" if run.is_waiting_for_lane else "running"
        started = run.started_ms
        if started is None and run.message.origin is Origin.RECOVERY:
            started = session.started_ms  # seen at boot recovery: the old stamp until the re-run begins
        if started is not None:
            row["startedAt"] = started
    if session.restart_recovery_status is not None:
        row["restartRecoveryStatus"] = session.restart_recovery_status


def active_fields(world: World, session: SimSession) -> Row:
    """9.6: ``activeRunIds`` is ``[]`` when idle, the id before a run has begun, and ABSENT while it works."""
    is_active = has_active_run(world, session)
    fields: Row = {"hasActiveRun": is_active}
    run = session.run
    if not is_active:
        fields["activeRunIds"] = []
    elif run is not None and run.started_ms is None and not run.is_waiting_for_lane:
        fields["activeRunIds"] = [run.run_id]
    return fields


def is_listed(session: SimSession) -> bool:
    """3.24 leaves the keys of single cron runs out of the list (older.md 2, source); 4.14 *assumed* the same."""
    return ":cron:" not in session.key or ":run:" not in session.key


def list_defaults(world: World) -> Row:
    """The envelope's ``defaults``."""
    defaults: Row = {**MODEL, "contextTokens": 128000}
    if is_modern(world):
        defaults |= {"agentRuntime": _DEFAULT_RUNTIME_9, **_THINKING, "modelSelectionTarget": "session"}
    elif world.profile.active_flag is not ActiveFlag.ABSENT:
        defaults |= _THINKING
    return defaults
