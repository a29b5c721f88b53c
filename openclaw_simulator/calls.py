"""One function per method: a request in, a payload out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from openclaw_simulator import payloads
from openclaw_simulator.actions import Refused
from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.history import history_of
from openclaw_simulator.methods import QUESTIONS
from openclaw_simulator.profiles import Paging
from openclaw_simulator.records import ClientInfo
from openclaw_simulator.results import RunResult
from openclaw_simulator.rows import is_listed, is_modern, list_defaults, row_of
from openclaw_simulator.sessions import Address, SimSession
from openclaw_simulator.world import World

DEFAULT_LIMIT = 100
SUSPENSION_SECONDS = 120.0
LATER = object()
"""Returned by a call that answers by itself, later or more than once."""


class Caller(Protocol):
    """Whoever made a call, on the connection it came over; the methods are those of ``rpc.SimulatedConnection``."""

    access: AccessRules

    def subscribe(self, *, on: bool) -> None: ...

    def answer(self, request_id: object, payload: object) -> None: ...

    def answer_when_ended(self, request_id: object, run_id: str, shape: Callable[[RunResult], object]) -> None: ...

    def answer_within(
        self, request_id: object, run_id: str, seconds: float, shape: Callable[[RunResult | None], object]
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    world: World
    peer: Caller
    client: ClientInfo
    request_id: object
    params: Mapping[str, Any]

    def text(self, name: str, default: str = "") -> str:
        return str(self.params.get(name, default))


# ------------------------------------------------------------ looking


def _health(call: Call) -> object:
    return payloads.health(call.world, call.peer.access.state_dir)


def _status(call: Call) -> object:
    return payloads.status(call.world, call.peer.access.state_dir)


def _config_get(call: Call) -> object:
    return payloads.config(call.world, call.peer.access.state_dir)


def _sessions_list(call: Call) -> object:
    """Newest ``updatedAt`` first, so old stuck rows fall off a first page; ``activeMinutes`` hides them (older.md 2)."""
    world, params = call.world, call.params
    rows = _sorted_rows(world)
    if params.keys() - {"limit", "offset", "includeGlobal", "includeUnknown", "configuredAgentsOnly"}:
        rows = [row for row in rows if _matches(world, row, params)]
    total = len(rows)
    paging = world.profile.paging
    limit = params.get("limit")
    offset = params.get("offset", 0)
    applied = limit if limit is not None else (None if paging is Paging.NONE else DEFAULT_LIMIT)
    shown = rows[offset : offset + applied] if applied is not None else rows
    answer: dict[str, Any] = {"ts": world.wall_ms, "path": "(multiple)", "count": len(shown)}
    if paging is not Paging.NONE:
        has_more = offset + len(shown) < total
        answer |= {"totalCount": total, "limitApplied": applied}
        if paging is Paging.OFFSET:
            if offset:
                answer["offset"] = offset
            answer["nextOffset"] = offset + len(shown) if has_more else None
        answer["hasMore"] = has_more
        if paging is Paging.OFFSET:
            answer["owners"] = []
    answer["defaults"] = list_defaults(world)
    answer["sessions"] = shown
    return answer


def _sorted_rows(world: World) -> list[dict[str, Any]]:
    """All rows in order; rebuilt only when some row changed."""
    if world.sorted_rows is None or world.sorted_rows[0] != world.rows_version:
        listed = (s for s in world.sessions.values() if not s.is_archived)
        if world.profile.paging is Paging.NONE:
            listed = (s for s in listed if is_listed(s))
        rows = [s.row or row_of(world, s) for s in listed]
        rows.sort(key=lambda row: row["updatedAt"], reverse=True)
        world.sorted_rows = (world.rows_version, rows)
    return world.sorted_rows[1]


def _matches(world: World, row: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    minutes = params.get("activeMinutes")
    if minutes is not None and row["updatedAt"] < world.wall_ms - minutes * 60_000:
        return False
    for name in ("label", "spawnedBy"):
        if name in params and row.get(name) != params[name]:
            return False
    if "agentId" in params and row["key"].split(":")[1:2] != [params["agentId"]]:
        return False
    return "search" not in params or params["search"] in row["key"]


def _sessions_describe(call: Call) -> object:
    """The row without ``hasActiveRun`` and ``activeRunIds`` (5.18, 9.6: measured)."""
    session = call.world.sessions.get(call.text("key"))
    if session is None:
        return {"session": None}
    hidden = ("hasActiveRun", "activeRunIds")
    return {"session": {name: value for name, value in row_of(call.world, session).items() if name not in hidden}}


def _chat_history(call: Call) -> object:
    return history_of(call.world, call.text("sessionKey"), call.params.get("limit"))


def _preflight(call: Call) -> object:
    return payloads.preflight(call.world)


def _suspend(call: Call) -> object:
    """Granted while nothing runs; ends by itself after two minutes (9.6). What it answers meanwhile is *assumed*."""
    world = call.world
    runs = sum(session.run is not None for session in world.sessions.values())
    if runs:
        return {"status": "busy", "activeCount": runs, "blockers": payloads.preflight(world)["blockers"]}
    world.process.suspend(SUSPENSION_SECONDS)
    expires = world.wall_ms + round(SUSPENSION_SECONDS * 1000)
    suspension = {"suspensionId": world.process.suspension_id, "expiresAtMs": expires}
    return {"status": "ready", **suspension, "activeCount": 0, "blockers": [], "writeCustody": []}


def _resume(call: Call) -> object:
    call.world.process.resume()
    return {"ok": True, "status": "resumed"}


def _approvals(call: Call) -> object:
    return payloads.approvals(call.world, call.client)


def _questions(call: Call) -> object:
    if not call.client.is_admin and QUESTIONS not in call.client.scopes:
        raise Refused("FORBIDDEN", "Session-scoped access requires a verified user profile.")
    return payloads.questions(call.world)


def _cron_list(call: Call) -> object:
    return payloads.cron_list(call.world)


def _cron_runs(call: Call) -> object:
    wanted = call.params.get("id") or call.params.get("jobId")
    if wanted is not None and wanted not in call.world.cron.entries and is_modern(call.world):
        raise Refused("INVALID_REQUEST", f"Automation not found: {wanted}.")
    return payloads.cron_runs(call.world, wanted, call.params.get("limit", 50), call.params.get("offset", 0))


def _subscribe(call: Call) -> object:
    call.peer.subscribe(on=True)
    return {"subscribed": True}


def _unsubscribe(call: Call) -> object:
    call.peer.subscribe(on=False)
    return {"subscribed": False}


# ------------------------------------------------------------ doing


def _check_agent(call: Call, key: str) -> None:
    """9.6 knows its agents: a key of another one is refused."""
    parts = key.split(":")
    if is_modern(call.world) and parts[0] == "agent" and len(parts) > 1 and parts[1] not in call.world.agents:
        raise Refused("INVALID_REQUEST", f'agent "{parts[1]}" not found')


def _sessions_create(call: Call) -> object:
    world = call.world
    key = call.text("key") or f"agent:main:dashboard:{world.new_id()}"
    deed = world.record("sessions.create", key, call.client)
    deed.effect = "adopted a session" if key in world.sessions else "created a session"
    session = world.session(key, label=call.params.get("label"))
    world.touch(session, moved=True)
    entry = {"sessionId": session.session_id, "updatedAt": session.updated_ms}
    answer: dict[str, Any] = {
        "ok": True,
        "key": key,
        "sessionId": session.session_id,
        "entry": entry,
        "runStarted": False,
    }
    if is_modern(world):
        answer["resolved"] = {"modelProvider": "mock", "model": "mock-1"}
    return answer


def _sent_before(call: Call, run_id: str) -> str | None:
    """A repeated idempotency key: ``in_flight`` while it runs, then ``ok``. Nothing is sent a second time."""
    if call.world.results.get(run_id) is not None:
        return "ok"
    is_known = any(
        (s.run is not None and s.run.run_id == run_id) or any(m.run_id == run_id for m in s.queue)
        for s in call.world.sessions.values()
    )
    return "in_flight" if is_known else None


def _started(call: Call, session: SimSession, run_id: str, *, numbered: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"runId": run_id, "status": "started"}
    if numbered and not is_modern(call.world):
        answer["messageSeq"] = session.messages_total + len(session.queue) + 1
    return answer


def _seconds(call: Call, name: str) -> float | None:
    value = call.params.get(name)
    return None if value is None else value / 1000


def _sessions_send(call: Call) -> object:
    """Answered into the void on every version: the words and the reply stay in the transcript."""
    key = call.text("key")
    session = call.world.sessions.get(key)
    if session is None:
        raise Refused("INVALID_REQUEST", f"session not found: {key}")
    run_id = call.text("idempotencyKey") or call.world.new_id()
    if (before := _sent_before(call, run_id)) is not None:
        return {"runId": run_id, "status": before}
    answer = _started(call, session, run_id, numbered=True)
    seconds = _seconds(call, "timeoutMs")
    text = call.text("message")
    call.world.actions.send(session, call.client, text, run_id, method="sessions.send", timeout_seconds=seconds)
    return answer


def _explicit(call: Call, channel: str, to: str, account: str, thread: str) -> Address | None:
    if not call.params.get(channel) or not call.params.get(to):
        return None
    return _address(call, call.text(channel), call.text(to), account, thread)


def _address(call: Call, channel: str, to: str, account: str = "accountId", thread: str = "threadId") -> Address:
    """An address as a caller writes it: ``1001`` and ``telegram:1001`` are one, a topic stands in ``to`` or beside it."""
    written = call.params.get(thread)
    prefixed = to if channel != "telegram" or to.startswith("telegram:") else f"telegram:{to}"
    thread_id = int(written) if isinstance(written, str) and written.isdigit() else None
    return Address(channel, prefixed, call.params.get(account, "default"), thread_id)


def _chat_send(call: Call) -> object:
    world = call.world
    key, run_id, text = call.text("sessionKey"), call.text("idempotencyKey"), call.text("message")
    if not text and not call.params.get("attachments"):
        raise Refused("INVALID_REQUEST", "message or attachment required")
    if (before := _sent_before(call, run_id)) is not None:
        return {"runId": run_id, "status": before}
    _check_agent(call, key)
    session = world.session(key)
    explicit = _explicit(call, "originatingChannel", "originatingTo", "originatingAccountId", "originatingThreadId")
    deliver = bool(call.params.get("deliver"))
    route = world.outbound.route_of_chat_send(session, call.client, deliver=deliver, explicit=explicit)
    interrupts = call.params.get("queueMode") == "interrupt" and session.run is not None
    answer = _started(call, session, run_id, numbered=False)
    if interrupts:
        answer["interruptedActiveRun"] = True
    world.actions.send(
        session, call.client, text, run_id,
        method="chat.send", route=route, timeout_seconds=_seconds(call, "timeoutMs"), interrupts=interrupts,
    )  # fmt: skip
    return answer


def _sessions_abort(call: Call) -> object:
    key = call.text("key")
    _check_agent(call, key)
    aborted = call.world.actions.abort(call.world.sessions.get(key), call.client, key)
    return {"ok": True, "abortedRunId": aborted.run_id, "status": aborted.status}


def _chat_abort(call: Call) -> object:
    key = call.text("sessionKey")
    aborted = call.world.actions.abort(call.world.sessions.get(key), call.client, key, method="chat.abort")
    is_aborted = aborted.status == "aborted"
    return {"ok": True, "aborted": is_aborted, "runIds": [aborted.run_id] if is_aborted and aborted.run_id else []}


def _sessions_reset(call: Call) -> object:
    key = call.text("key")
    session = call.world.actions.reset(key, call.client, call.text("reason", "reset"))
    return payloads.reset(call.world, session)


def _sessions_recover(call: Call) -> object:
    session, run_id = call.world.actions.recover(call.text("key"), call.client)
    continuation = {"status": "started", "runId": run_id}
    return {"ok": True, "key": session.key, "sessionId": session.session_id, "continuation": continuation}


def _agent(call: Call) -> object:
    """Two answers for one request: ``accepted`` at once, the result when the run has ended. The same key once more gives
    the final answer, on any connection, without a second run (measured on 3.24 and 5.18; 9.6 *assumed*)."""
    world = call.world
    run_id, text = call.text("idempotencyKey"), call.text("message")
    key = call.text("sessionKey") or f"agent:{call.text('agentId', 'main')}:main"
    _check_agent(call, key)
    if (before := _sent_before(call, run_id)) is not None:
        if before == "ok":
            call.peer.answer_when_ended(call.request_id, run_id, lambda result: payloads.agent_result(world, result))
            return LATER
        return {"runId": run_id, "status": before}
    session = world.session(key)
    explicit = _explicit(call, "channel", "to", "accountId", "threadId") or _explicit(
        call, "replyChannel", "replyTo", "replyAccountId", "threadId"
    )
    if explicit is not None and explicit.thread_id is None and world.profile.keeps_stray_threads:
        address = session.address
        if address is not None and address.thread_id is not None:
            here = replace(explicit, thread_id=address.thread_id)
            explicit = (
                here if here.place == address.place else explicit
            )  # 5.18: the row's thread, where the chat is the same
    world.actions.run_agent(
        session,
        call.client,
        text,
        run_id,
        deliver=bool(call.params.get("deliver")),
        explicit=explicit,
        is_best_effort=call.params.get("bestEffortDeliver"),
        is_restart_safe=bool(call.params.get("forceRestartSafeTools")),
    )
    accepted: dict[str, Any] = {"runId": run_id}
    if is_modern(world):
        accepted |= {"sessionKey": key, "agentId": session.agent_id}
    call.peer.answer(call.request_id, accepted | {"status": "accepted", "acceptedAt": world.wall_ms})
    call.peer.answer_when_ended(call.request_id, run_id, lambda result: payloads.agent_result(world, result))
    return LATER


def _agent_wait(call: Call) -> object:
    """``timeout`` also for a run nobody ever heard of (older.md 3)."""
    world, run_id = call.world, call.text("runId")
    seconds = call.params.get("timeoutMs", 30_000) / 1000
    call.peer.answer_within(
        call.request_id, run_id, seconds, lambda result: payloads.wait_result(world, run_id, result)
    )
    return LATER


def _send(call: Call) -> object:
    """A literal message to a chat app: to the named one, or the only one there is."""
    world = call.world
    text, channel, key = call.text("message"), call.text("channel"), call.text("idempotencyKey")
    if not text:
        raise Refused("INVALID_REQUEST", "invalid send params: text or media is required")
    if not channel and len(world.channels) == 1:
        (channel,) = world.channels
    if not channel:
        raise Refused("INVALID_REQUEST", "Error: Channel is required (no configured channels detected).")
    if channel not in world.channels:
        raise Refused("INVALID_REQUEST", f"unsupported channel: {channel}")
    route = _address(call, channel, call.text("to"))
    message_id = world.actions.say(route, call.client, text, key=call.params.get("sessionKey"), idempotency_key=key)
    return {"runId": key, "messageId": message_id, "channel": channel}


def _channels_status(call: Call) -> object:
    return payloads.channels_status(call.world, is_probed=bool(call.params.get("probe")))


CALLS: dict[str, Callable[[Call], object]] = {
    "health": _health,
    "status": _status,
    "config.get": _config_get,
    "channels.status": _channels_status,
    "sessions.list": _sessions_list,
    "sessions.describe": _sessions_describe,
    "sessions.subscribe": _subscribe,
    "sessions.unsubscribe": _unsubscribe,
    "sessions.create": _sessions_create,
    "sessions.send": _sessions_send,
    "sessions.abort": _sessions_abort,
    "sessions.reset": _sessions_reset,
    "sessions.recover": _sessions_recover,
    "chat.history": _chat_history,
    "chat.send": _chat_send,
    "chat.abort": _chat_abort,
    "agent": _agent,
    "agent.wait": _agent_wait,
    "send": _send,
    "gateway.restart.preflight": _preflight,
    "gateway.suspend.prepare": _suspend,
    "gateway.suspend.resume": _resume,
    "exec.approval.list": _approvals,
    "question.list": _questions,
    "cron.list": _cron_list,
    "cron.runs": _cron_runs,
}
