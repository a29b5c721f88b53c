"""Payloads that are more shape than substance: health, counts, lists, results (fields as seen on the wire)."""

from __future__ import annotations

from typing import Any

from openclaw_simulator.profiles import Paging
from openclaw_simulator.records import ClientInfo
from openclaw_simulator.results import RunResult
from openclaw_simulator.rights import channel_settings
from openclaw_simulator.rows import is_modern
from openclaw_simulator.sessions import Origin, SimSession
from openclaw_simulator.state import ChannelOutage
from openclaw_simulator.world import World

Shape = dict[str, Any]
REDACTED = "__OPENCLAW_REDACTED__"
_LAST_ERRORS = {
    ChannelOutage.UNREACHABLE: "Network request for 'getMe' failed!",
    ChannelOutage.BAD_GATEWAY: "Call to 'deleteWebhook' failed! (502: Bad Gateway)",
    ChannelOutage.UNAUTHORIZED: "Call to 'getUpdates' failed! (401: Unauthorized)",
    ChannelOutage.SUPPRESSED: "gateway restart-loop breaker tripped: 3 unclean boot(s) within 300000ms; "
    "suppressing channel/provider account auto-start.",
}


def event_loop(world: World) -> Shape:
    """The event-loop figures of 5.18's and 9.6's health; degraded while somebody blocks the loop (#107415, #76041)."""
    delay = world.event_loop_delay_ms
    is_degraded = delay > 1000
    return {
        "degraded": is_degraded,
        "degradedSinceMs": 5000 if is_degraded else None,
        "reasons": ["event_loop_delay"] if is_degraded else [],
        "intervalMs": 1004.6,
        "delayP99Ms": max(21.7, float(delay)),
        "delayMaxMs": max(21.7, float(delay)),
        "utilization": 1 if is_degraded else 0.005,
        "cpuCoreRatio": 0.95 if is_degraded else 0.006,
    }


def health(world: World, state_dir: str) -> Shape:
    newest = sorted(world.sessions.values(), key=lambda s: s.updated_ms, reverse=True)[:5]
    recent = [{"key": s.key, "updatedAt": s.updated_ms, "age": world.wall_ms - s.updated_ms} for s in newest]
    sessions = {"path": f"{state_dir}/agents/main/sessions", "count": len(world.sessions), "recent": recent}
    answer: Shape = {
        "ok": True,
        "ts": world.wall_ms,
        "durationMs": 0,
        "channels": {name: {"configured": True, "running": True} for name in sorted(world.channels)},
        "channelOrder": sorted(world.channels),
        "channelLabels": {name: name.upper() for name in sorted(world.channels)},
        "heartbeatSeconds": 0,
        "defaultAgentId": "main",
        "agents": [
            {"agentId": name, "isDefault": name == "main", "sessions": sessions} for name in sorted(world.agents)
        ],
        "sessions": sessions,
    }
    if world.profile.paging is not Paging.NONE:
        answer |= {"eventLoop": event_loop(world), "plugins": {"loaded": [], "errors": []}}
    return answer


def status(world: World, state_dir: str) -> Shape:
    """``status``. The task counters did not mention stuck sessions on any version."""
    answer: Shape = {
        "runtimeVersion": world.profile.version,
        "heartbeat": {"defaultAgentId": "main", "agents": []},
        "channelSummary": [],
        "queuedSystemEvents": [],
        "sessions": {"paths": [f"{state_dir}/agents/main/sessions"], "count": len(world.sessions), "recent": []},
    }
    if world.profile.paging is not Paging.NONE:
        kinds = ("queued", "running", "succeeded", "failed", "timed_out", "cancelled", "lost")
        answer["tasks"] = {"total": 0, "active": 0, "terminal": 0, "failures": 0, "byStatus": dict.fromkeys(kinds, 0)}
        answer["eventLoop"] = event_loop(world)
    return answer


def config(world: World, state_dir: str) -> Shape:
    """``config.get`` (operator.read): rules by sender and owners in the open, tokens redacted."""
    said = world.config
    agents = {"defaults": {"timeoutSeconds": world.run_timeout_seconds or 172800}, **said.get("agents", {})}
    parsed: Shape = {
        "gateway": {"mode": "local", "bind": "loopback", "auth": {"mode": "token", "token": REDACTED}},
        **{name: said[name] for name in ("commands", "tools", "session") if name in said},
        "agents": agents,
        "channels": {name: _redacted(channel_settings(world, name)) for name in sorted(world.channels)},
    }
    return {
        "path": f"{state_dir}/openclaw.json",
        "exists": True,
        "raw": None,
        "parsed": parsed,
        "resolved": parsed,
        "valid": True,
        "config": parsed,
        "hash": "0" * 64,
        "issues": [],
        "warnings": [],
        "legacyIssues": [],
    }


def _redacted(settings: Shape) -> Shape:
    return {
        name: REDACTED
        if name in ("botToken", "token", "password")
        else _redacted(value)
        if isinstance(value, dict)
        else value
        for name, value in settings.items()
    }


def channels_status(world: World, *, is_probed: bool) -> Shape:
    """``channels.status`` (operator.read). Without ``probe`` most outages look fine on every version."""
    names = sorted(world.channels)
    accounts = {
        name: [_account(world, name, one, is_probed=is_probed) for one in _accounts(world, name)] for name in names
    }
    return {
        "ts": world.wall_ms,
        "channelOrder": names,
        "channelLabels": {name: name.capitalize() for name in names},
        "channels": {
            name: {"configured": True, **{k: accounts[name][0][k] for k in ("running", "lastError")}} for name in names
        },
        "channelAccounts": accounts,
        "channelDefaultAccountId": dict.fromkeys(names, "default"),
    }


def _accounts(world: World, channel: str) -> list[str]:
    return list(dict.fromkeys(("default", *channel_settings(world, channel).get("accounts", {}))))


def _account(world: World, channel: str, account: str, *, is_probed: bool) -> Shape:
    """One bot. Only a token that was taken away and (9.6) a start that was suppressed stop it; 5.18 *measured* to stop
    after half a minute of 502 as well."""
    profile = world.profile
    outage = world.outages.get((channel, account))
    stops = (
        ChannelOutage.UNAUTHORIZED,
        ChannelOutage.SUPPRESSED,
        *((ChannelOutage.BAD_GATEWAY,) if profile.wraps_words else ()),
    )
    is_running = outage not in stops
    error = None if is_running or outage is None else _LAST_ERRORS[outage]
    shown: Shape = {
        "accountId": account,
        "enabled": True,
        "configured": True,
        "running": is_running,
        "lastError": error,
        "lastStartAt": None if outage is ChannelOutage.SUPPRESSED else world.process.boot_wall_ms,
        "lastStopAt": None,
        "lastInboundAt": world.last_inbound.get((channel, account)),
        "lastOutboundAt": world.last_outbound.get((channel, account)),
    }
    if profile.tells_delivery:
        connected: Shape = {
            "connected": is_running,
            "reconnectAttempts": 0,
            "lastConnectedAt": world.process.boot_wall_ms,
        }
        shown |= connected | {"lastTransportActivityAt": world.wall_ms}
        if not is_running:
            shown["healthState"] = "not-running"
    if is_modern(world):
        lifecycle = {None: "ready", ChannelOutage.UNAUTHORIZED: "blocked", ChannelOutage.SUPPRESSED: "stopped"}.get(
            outage, "ready"
        )
        shown |= {"lifecycle": lifecycle, "healthState": "healthy" if is_running else "not-running"}
        if outage is ChannelOutage.UNAUTHORIZED:
            shown |= {"terminalDisconnect": True, "healthState": "terminal-disconnect"}
    if is_probed:
        shown["probe"] = _probe(outage)
        shown["lastProbeAt"] = world.wall_ms
    return shown


def _probe(outage: ChannelOutage | None) -> Shape:
    """One ``getMe``: what the chat app itself says, at once on every version."""
    if outage in (None, ChannelOutage.SUPPRESSED):
        return {"ok": True, "status": None, "error": None, "elapsedMs": 12}
    status = {ChannelOutage.BAD_GATEWAY: 502, ChannelOutage.UNAUTHORIZED: 401}.get(outage)
    return {"ok": False, "status": status, "error": _LAST_ERRORS[outage], "elapsedMs": 12}


def preflight(world: World) -> Shape:
    """``gateway.restart.preflight``: every live run counts, whatever started it; words waiting behind one count on 9.6.

    Measured: per run two queue operations, one reply, one embedded run, and on 9.6 one root request per client's run;
    an ``agent`` run, and one of the gateway's own recovery, counts as a task instead of a reply. That recovery is a root
    request as long as it goes on, and named; the rows that wait for it count nothing (8.2, 9.6).
    """
    runs = [s for s in world.sessions.values() if s.run is not None]
    origins = [s.run.message.origin for s in runs if s.run is not None]
    named = world.profile.names_recovery and world.process.is_recovering
    tasks = origins.count(Origin.AGENT) + (origins.count(Origin.RECOVERY) if named else 0)
    counts = {"queueSize": 2 * len(runs), "pendingReplies": len(runs) - tasks, "embeddedRuns": len(runs)}
    if is_modern(world):
        queued = sum(len(s.queue) for s in runs)
        counts["pendingReplies"] += queued
        counts |= {"cronRuns": origins.count(Origin.CRON), "backgroundExecSessions": 0}
        counts["rootRequests"] = origins.count(Origin.WEB) + origins.count(Origin.AGENT) + queued + named
    counts["activeTasks"] = tasks
    counts["totalActive"] = sum(counts.values())
    words = {
        "queueSize": ("queue", "queued or active operation(s)"),
        "pendingReplies": ("reply", "pending reply delivery operation(s)"),
        "embeddedRuns": ("embedded-run", "active embedded run(s)"),
        "cronRuns": ("cron-run", "active cron run(s)"),
        "rootRequests": ("root-request", "active gateway request(s)"),
        "activeTasks": ("task", "active task(s)"),
    }
    blockers = [
        {"kind": kind, "count": counts[name], "message": f"{counts[name]} {text}"}
        for name, (kind, text) in words.items()
        if counts.get(name)
    ]
    for blocker in blockers:
        if named and blocker["kind"] == "root-request":
            blocker["message"] = f"{blocker['message']}: main-session:startup-recovery"
    is_safe = counts["totalActive"] == 0
    listed = "; ".join(str(blocker["message"]) for blocker in blockers)
    summary = "safe to restart now" if is_safe else f"restart deferred: {listed}"
    return {"safe": is_safe, "counts": counts, "blockers": blockers, "summary": summary}


def approvals(world: World, client: ClientInfo) -> list[Shape]:
    """Pending exec approvals. From 5.18 on only an admin sees those that others asked for (read in the source)."""
    if world.profile.paging is not Paging.NONE and not client.is_admin:
        return []
    return [
        {
            "id": waiting.id,
            "request": {
                "command": waiting.text,
                "cwd": None,
                "host": "gateway",
                "agentId": waiting.agent_id,
                "sessionKey": waiting.key,
                "turnSourceChannel": None,
            },
            "createdAtMs": waiting.created_ms,
            "expiresAtMs": waiting.expires_ms,
        }
        for waiting in world.approvals.values()
    ]


def questions(world: World) -> Shape:
    """Pending questions to a person (9.6)."""
    return {
        "questions": [
            {
                "id": waiting.id,
                "questions": [{"id": "q1", "header": "Question", "question": waiting.text, "options": []}],
                "agentId": waiting.agent_id,
                "sessionKey": waiting.key,
                "runId": waiting.run_id,
                "createdAtMs": waiting.created_ms,
                "expiresAtMs": waiting.expires_ms,
                "status": "pending",
            }
            for waiting in world.questions.values()
        ]
    }


def _page(items: list[Shape], name: str, limit: int, offset: int) -> Shape:
    shown = items[offset : offset + limit]
    has_more = offset + len(shown) < len(items)
    page: Shape = {name: shown, "total": len(items), "offset": offset, "limit": limit, "hasMore": has_more}
    page["nextOffset"] = offset + len(shown) if has_more else None
    return page


def cron_list(world: World) -> Shape:
    items = [
        {
            "id": entry.id,
            "name": entry.name,
            "agentId": entry.agent_id,
            "enabled": True,
            "createdAtMs": entry.created_ms,
            "updatedAtMs": entry.created_ms,
            "schedule": {"kind": "every", "everyMs": round(entry.every_seconds * 1000), "anchorMs": entry.created_ms},
            "sessionTarget": "isolated",
            "wakeMode": "now",
            "payload": {"kind": "agentTurn", "message": entry.message},
            "state": {"lastStatus": entry.runs[-1].status} if entry.runs else {},
        }
        for entry in world.cron.entries.values()
    ]
    return _page(items, "jobs", 50, 0)


def cron_runs(world: World, entry_id: str | None, limit: int, offset: int) -> Shape:
    items = []
    for entry in world.cron.entries.values():
        if entry_id in (None, entry.id):
            for run in entry.runs:
                line: Shape = {"ts": run.at_ms, "jobId": run.entry_id, "action": "finished", "status": run.status}
                line |= {"runId": run.run_id, "sessionKey": run.key}
                if run.error is not None:
                    line["error"] = run.error
                items.append(line)
    items.sort(key=lambda line: line["ts"], reverse=True)
    return _page(items, "entries", limit, offset)


def reset(world: World, session: SimSession) -> Shape:
    entry: Shape = {
        "sessionId": session.session_id,
        "updatedAt": session.updated_ms,
        "systemSent": False,
        "abortedLastRun": False,
        "inputTokens": 0,
        "outputTokens": 0,
        "totalTokens": 0,
        "totalTokensFresh": True,
    }
    answer: Shape = {"ok": True, "key": session.key, "entry": entry}
    if is_modern(world):
        entry["lifecycleRevision"] = session.lifecycle_revision
        answer["resolved"] = {"modelProvider": "mock", "model": "mock-1"}
    return answer


def agent_result(world: World, result: RunResult) -> Shape:
    """The second answer of ``agent``. From 5.18 on it says what the chat app did with the answer, where one was asked."""
    if result.status != "done" or result.has_failed_delivery:
        summary = result.error or result.delivery_error or result.status
        return {"runId": result.run_id, "status": "error", "summary": summary}
    duration = result.ended_ms - (result.started_ms or result.ended_ms)
    outcome: Shape = {
        "payloads": [{"text": result.text, "mediaUrl": None}],
        "meta": {"durationMs": duration, "aborted": False, "stopReason": "stop"},
    }
    if world.profile.tells_delivery and result.is_delivered is not None:
        outcome |= {"deliverySucceeded": result.is_delivered, "deliveryStatus": _delivery_status(result)}
    return {"runId": result.run_id, "status": "ok", "summary": "completed", "result": outcome}


def _delivery_status(result: RunResult) -> Shape:
    word = "sent" if result.is_delivered else "failed"
    status: Shape = {
        "requested": True,
        "attempted": result.was_attempted,
        "status": word,
        "succeeded": result.is_delivered,
    }
    if result.delivery_error is not None:
        status["errorMessage"] = result.delivery_error
    status["payloadOutcomes"] = [{"index": 0, "status": word}] if result.was_attempted else []
    return status


def wait_result(world: World, run_id: str, result: RunResult | None) -> Shape:
    """``agent.wait``. Stopped: 3.24/4.14 ``ok``, 5.18 ``timeout``, 9.6 ``error`` (measured)."""
    if result is None:
        return {"runId": run_id, "status": "timeout"}
    modern = is_modern(world)
    answer: Shape = {"runId": run_id, "status": "ok", "endedAt": result.ended_ms}
    if result.status == "stopped":
        if world.profile.paging is not Paging.NONE:
            answer |= {"status": "error" if modern else "timeout", "stopReason": result.error}
        if modern:
            answer["error"] = "aborted"
    elif result.status in ("failed", "timeout"):
        answer |= {"status": "timeout" if result.status == "timeout" else "error", "error": result.error}
        if modern and result.has_failed_delivery:
            answer["terminalDelivery"] = {"status": "failed", "resultCount": 0}
        if modern and result.status == "timeout":
            answer |= {"livenessState": "paused", "timeoutPhase": "provider", "terminalReply": {"disposition": "empty"}}
    else:
        if result.origin is Origin.AGENT and world.profile.paging is not Paging.NONE:
            answer |= {"stopReason": "stop", "livenessState": "working"}
        if modern:
            answer["terminalReply"] = {"disposition": "visible", "text": result.text}
            if result.is_delivered is not None and result.origin is Origin.AGENT:
                outcome = (
                    {"status": "sent", "resultCount": 1}
                    if result.is_delivered
                    else {"status": "failed", "resultCount": 0}
                )
                answer["terminalDelivery"] = outcome
    return answer
