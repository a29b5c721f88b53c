"""Event frames of a subscribed connection: ``sessions.changed`` and ``agent``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openclaw_simulator.profiles import ActiveFlag
from openclaw_simulator.records import Change
from openclaw_simulator.rows import is_modern, row_of
from openclaw_simulator.world import World

_FLAT = (
    "updatedAt",
    "sessionId",
    "kind",
    "systemSent",
    "abortedLastRun",
    "totalTokens",
    "totalTokensFresh",
    "status",
    "startedAt",
    "endedAt",
    "runtimeMs",
    "hasActiveRun",
    "activeRunIds",
    "lastRunId",
    "deliveryContext",
    "lastChannel",
)

_CLEARED = ("endedAt", "activeRunIds", "lastRunId", "runtimeMs")
"""2026.9.6 says null beside the row for those of these that the row has not."""


def event_frames(world: World, change: Change) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(event name, payload, does the frame carry a ``seq``) for one change.

    5.18 sends no ``agent`` events for chat-app runs, only ``sessions.changed`` (channels.md 2; web runs measured
    2026-11-20); before 9.6 ``sessions.changed`` frames carry no ``seq``.
    """
    session = world.sessions.get(change.key)
    if session is None:
        return
    modern = is_modern(world)
    if change.stream is not None:
        if change.is_tracked or world.profile.active_flag is not ActiveFlag.TRACKED_ONLY:
            payload: dict[str, Any] = {"runId": change.run_id, "stream": change.stream, "data": dict(change.data)}
            payload |= {"sessionKey": change.key, "ts": world.wall_ms}
            if world.profile.protocol >= 4:
                payload["isHeartbeat"] = False
            if modern:
                payload |= {"sessionId": session.session_id, "agentId": session.agent_id}
            yield "agent", payload, True
        return
    row = row_of(world, session)
    payload = {"sessionKey": change.key}
    if modern:
        payload["agentId"] = session.agent_id
    if change.reason is not None:
        payload["reason"] = change.reason
    else:
        payload |= {"phase": change.phase, "runId": change.run_id}
    payload["ts"] = world.wall_ms
    if change.reason is None or modern:
        payload["session"] = row
    if modern:
        payload |= dict.fromkeys(_CLEARED)
    payload |= {name: row[name] for name in _FLAT if name in row}
    yield "sessions.changed", payload, modern
