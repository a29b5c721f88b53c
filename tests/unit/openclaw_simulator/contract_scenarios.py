"""What every gateway under test is asked. Each scenario returns flat facts, to be compared between gateways.

``measured.json`` holds the facts seen on real 2026.3.24, 4.14, 5.18 and 9.6 gateways on 2026-11-20 (a gateway's own recovery,
suspension and drift: 2026-11-29, answered rows and cut sub-agents: 2026-11-30, both without 4.14): the simulator must return the
same ones, and a conformance suite may run these functions against real gateways again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tests.unit.openclaw_simulator.contract import (
    ALICE,
    READ,
    WRITE,
    Chat,
    Facts,
    GatewayUnderTest,
    author_of,
    ended,
    live,
    messages_of,
    name_of,
    row_of,
    soon,
    stuck,
    tail_of,
    until,
    warm,
)


async def finished_turn(gateway: GatewayUnderTest) -> Facts:
    """A turn that ends well, and the same idempotency key sent again."""
    key = "agent:main:c1"
    row = await warm(gateway, key)
    params = {"key": key, "message": "warm-up c1", "idempotencyKey": f"warm-{key}"}

    async def is_known() -> bool:
        return bool((await gateway.call("sessions.send", params)).payload["status"] != "in_flight")

    await soon(gateway, is_known)  # the row is done a moment before the gateway is done with the message
    again = await gateway.call("sessions.send", params)
    waited = await gateway.call("agent.wait", {"runId": f"warm-{key}", "timeoutMs": 500})
    described = await gateway.call("sessions.describe", {"key": key})
    return {
        "status": row["status"],
        "has ended": "endedAt" in row and "runtimeMs" in row,
        "hasActiveRun": row.get("hasActiveRun"),
        "activeRunIds": row.get("activeRunIds"),
        "sent again": again.payload["status"],
        "waited": waited.payload["status"],
        "tail": await tail_of(gateway, key),
        "describe": "hasActiveRun" in described.payload["session"] if described.ok else described.words,
    }


async def live_web_run(gateway: GatewayUnderTest) -> Facts:
    """A live run started by ``sessions.send``, as every signal shows it; another device may not abort it."""
    key = "agent:main:c2"
    row = await live(gateway, key, run_id="c2-run")
    preflight = await gateway.call("gateway.restart.preflight")
    history = await gateway.call("chat.history", {"sessionKey": key})
    waited = await gateway.call("agent.wait", {"runId": "c2-run", "timeoutMs": 200})
    other = None
    if gateway.version < "2026.9":
        other = await gateway.call("sessions.abort", {"key": key}, scopes=(READ, WRITE), device="two")
    after = await row_of(gateway, key)
    return {
        "status": row["status"],
        "hasActiveRun": row.get("hasActiveRun"),
        "activeRunIds": row.get("activeRunIds", "absent"),
        "preflight": preflight.payload["counts"]["embeddedRuns"] if preflight.ok else preflight.words,
        "safe": preflight.payload["safe"] if preflight.ok else None,
        "inFlightRun": history.payload.get("inFlightRun", {}).get("runId"),
        "waited": waited.payload["status"],
        "abort by another device": other and other.words,
        "still": after["status"],
    }


async def live_agent_run(gateway: GatewayUnderTest) -> Facts:
    """A live run started by the ``agent`` method: 3.24 and 4.14 do not see it."""
    key = "agent:main:c3"
    row = await live(gateway, key, "slow:600", method="agent")
    chat = await gateway.call("chat.abort", {"sessionKey": key})
    await gateway.wait(2)
    after = await row_of(gateway, key)
    return {
        "status": row["status"],
        "hasActiveRun": row.get("hasActiveRun"),
        "chat.abort": chat.payload["aborted"],
        "status after": after["status"],
        "tail": await tail_of(gateway, key),
    }


async def stopped_while_streaming(gateway: GatewayUnderTest) -> Facts:
    """The person's own Stop: what it answers, and what it leaves."""
    key = "agent:main:c4"
    before = await live(gateway, key, "slow:600", run_id="c4-run")
    abort = await gateway.call("sessions.abort", {"key": key})
    row = await ended(gateway, key)
    waited = await gateway.call("agent.wait", {"runId": "c4-run", "timeoutMs": 200})
    return {
        "answer": abort.payload["status"],
        "run": abort.payload["abortedRunId"],
        "status": row["status"],
        "startedAt kept": row["startedAt"] == before["startedAt"],
        "abortedLastRun": row["abortedLastRun"],
        "hasActiveRun": row.get("hasActiveRun"),
        "tail": await tail_of(gateway, key),
        "waited": waited.payload["status"],
    }


async def stopped_while_silent(gateway: GatewayUnderTest) -> Facts:
    """A Stop before a word was streamed: 5.18 and 9.6 leave no mark in the transcript."""
    key = "agent:main:c5"
    await live(gateway, key)
    await gateway.call("sessions.abort", {"key": key})
    row = await ended(gateway, key)
    again = await gateway.call("sessions.abort", {"key": key})
    return {"status": row["status"], "tail": await tail_of(gateway, key), "abort again": again.payload["status"]}


async def stopped_then_agent_failed(gateway: GatewayUnderTest) -> Facts:
    """An ``agent`` turn that fails where a Stop has left the row ``running``: 3.24 puts the stopped run's row back."""
    key = "agent:main:c16"
    before = await live(gateway, key, "slow:600")
    await gateway.call("sessions.abort", {"key": key})
    await ended(gateway, key)
    await gateway.provider("none", "TASK-c16")
    await gateway.provider("e400", "FAIL-c16")
    sent = {"sessionKey": key, "message": "FAIL-c16", "idempotencyKey": "c16-agent"}
    await gateway.call("agent", sent)
    await gateway.call("agent.wait", {"runId": "c16-agent", "timeoutMs": 50_000})
    await gateway.wait(22)  # 4.14 says it 15 s later
    row = await row_of(gateway, key)
    return {
        "status": row["status"],
        "startedAt kept": row["startedAt"] == before["startedAt"],
        "has an end": row.get("endedAt", 0) >= row["startedAt"],
        "tail": await tail_of(gateway, key),
    }


async def queued_behind_live(gateway: GatewayUnderTest) -> Facts:
    """A second message behind a live run, and what an abort does to it."""
    key = "agent:main:c6"
    before = await live(gateway, key, run_id="c6-first")
    second = await gateway.call("sessions.send", {"key": key, "message": "second c6", "idempotencyKey": "c6-second"})
    await gateway.wait(2)
    row = await row_of(gateway, key)
    history = await gateway.call("chat.history", {"sessionKey": key})
    abort = await gateway.call("sessions.abort", {"key": key})
    await gateway.wait(6)
    return {
        "answer": second.payload["status"],
        "updatedAt moved": row["updatedAt"] > before["updatedAt"],
        "startedAt kept": row["startedAt"] == before["startedAt"],
        "pending": [item["state"] for item in history.payload.get("pendingInputs", {}).get("items", [])],
        "aborted run": abort.payload["abortedRunId"],
        "second ran": any("second c6" in words for words in await gateway.model_saw(key)),
    }


async def killed_in_a_call(gateway: GatewayUnderTest) -> Facts:
    """kill -9 in the middle of a model call, start again, wait out any recovery of the gateway's own."""
    key = "agent:main:c7"
    before = await stuck(gateway, key)
    await gateway.wait(20)
    row = await row_of(gateway, key)
    abort = await gateway.call("sessions.abort", {"key": key})
    preflight = await gateway.call("gateway.restart.preflight")

    async def is_safe() -> bool:
        return bool((await gateway.call("gateway.restart.preflight")).payload["safe"])

    return {
        "status": row["status"],
        "startedAt kept": row["startedAt"] == before["startedAt"],
        "hasActiveRun": row.get("hasActiveRun"),
        "abortedLastRun": row["abortedLastRun"],
        "abort": abort.payload["status"],
        # It counts the whole gateway's runs, and other sessions may be at work: those end, a counted dead run would not.
        "all zero": await soon(gateway, is_safe, 90) if preflight.ok else None,
        "tail": await tail_of(gateway, key),
    }


async def killed_on_cron_key(gateway: GatewayUnderTest) -> Facts:
    """The same on a cron key: stuck for good on every version, and a plain message cures it."""
    key = "agent:main:cron:c8"
    before = await stuck(gateway, key)
    await gateway.wait(20)
    row = await row_of(gateway, key)
    resumed = await gateway.call("sessions.send", {"key": key, "message": "go on c8", "idempotencyKey": "c8-resume"})
    cured = await until(
        gateway, key, lambda r: r.get("startedAt", 0) > before["startedAt"] and r.get("status") == "done"
    )
    return {
        "status": row["status"],
        "startedAt kept": row["startedAt"] == before["startedAt"],
        "hasActiveRun": row.get("hasActiveRun"),
        "resume answer": resumed.payload["status"],
        "cured": cured["status"],
        "session kept": cured["sessionId"] == row["sessionId"],
        "model saw the interrupted words": "TASK-c8" in (await gateway.model_saw(key))[-1],
        "model saw the new words": "go on" in (await gateway.model_saw(key))[-1],
    }


async def killed_in_a_tool(gateway: GatewayUnderTest) -> Facts:
    """kill -9 in a tool loop (on a cron key, so that no version recovers it): the resumed turn sees the words."""
    key = "agent:main:cron:c9"
    await stuck(gateway, key, "tool")
    await gateway.wait(10)
    tail = await tail_of(gateway, key)
    roles = {message["role"] for message in await messages_of(gateway, key)}
    calls = len(await gateway.model_saw(key))
    await gateway.call("sessions.send", {"key": key, "message": "go on c9", "idempotencyKey": "c9-resume"})
    await soon(gateway, _called_again(gateway, key, calls))
    saw = (await gateway.model_saw(key))[-1]
    return {
        "tail is a tool's": tail in ("tool call", "toolResult"),
        "has tool results": "toolResult" in roles,
        "model saw the interrupted words": "TASK-c9" in saw,
    }


async def killed_in_first_turn(gateway: GatewayUnderTest) -> Facts:
    """The first turn of a session: before 9.6 nothing of it is on disk (on a cron key, as above)."""
    key = "agent:main:cron:c10"
    await gateway.call("sessions.create", {"key": key})
    await gateway.provider("hang", "TASK-c10")
    await gateway.call("sessions.send", {"key": key, "message": "please do TASK-c10", "idempotencyKey": "c10"})
    await until(gateway, key, lambda row: row.get("status") == "running" and "startedAt" in row)
    await gateway.wait(3)
    await gateway.kill()
    await gateway.provider("none", "TASK-c10")
    await gateway.start()
    await gateway.wait(5)
    return {"status": (await row_of(gateway, key)).get("status"), "tail": await tail_of(gateway, key)}


async def resumed_by_agent(gateway: GatewayUnderTest) -> Facts:
    """An ``agent`` turn on a stuck row: it runs everywhere, and cures nothing on 3.24 and 4.14."""
    key = "agent:main:cron:c11"
    before = await stuck(gateway, key)
    await gateway.wait(5)
    accepted = await gateway.call("agent", {"sessionKey": key, "message": "go on c11", "idempotencyKey": "c11-resume"})
    waited = await gateway.call("agent.wait", {"runId": "c11-resume", "timeoutMs": 50_000})
    await gateway.wait(3)
    row = await row_of(gateway, key)
    return {
        "accepted": accepted.payload["status"],
        "names the session": accepted.payload.get("sessionKey") == key,
        "status": row["status"],
        "startedAt kept": row["startedAt"] == before["startedAt"],
        "waited": waited.payload["status"],
        "tail": await tail_of(gateway, key),
    }


async def fresh_by_new(gateway: GatewayUnderTest) -> Facts:
    """``sessions.send "/new"`` with admin on a stuck row."""
    key = "agent:main:cron:c12"
    before = await stuck(gateway, key)
    await gateway.wait(5)
    calls = len(await gateway.model_saw(key))
    await gateway.call("sessions.send", {"key": key, "message": "/new", "idempotencyKey": "c12-new"})
    await gateway.wait(8)
    row = await until(gateway, key, lambda r: r.get("status") == "done")  # the greeting's end, where there is one
    return {
        "status": row.get("status"),
        "new sessionId": row["sessionId"] != before["sessionId"],
        "startedAt kept": row.get("startedAt") == before["startedAt"],
        "greeted by the model": len(await gateway.model_saw(key)) > calls,
    }


async def new_without_admin(gateway: GatewayUnderTest) -> Facts:
    """``/new`` from a client with read and write only."""
    key = "agent:main:c13"
    before = await warm(gateway, key)
    calls = len(await gateway.model_saw(key))
    params = {"key": key, "message": "/new", "idempotencyKey": "c13-new"}
    sent = await gateway.call("sessions.send", params, scopes=(READ, WRITE))
    await gateway.wait(8)
    await soon(gateway, _called_again(gateway, key, calls), 20)  # where the model is asked at all
    row = await row_of(gateway, key)
    messages = await messages_of(gateway, key)
    return {
        "answer": sent.payload["status"],
        "new sessionId": row["sessionId"] != before["sessionId"],
        "model called": len(await gateway.model_saw(key)) > calls,
        "told in the transcript": "not authorized" in str(messages[-1]["content"]) if messages else False,
    }


async def reset(gateway: GatewayUnderTest) -> Facts:
    """``sessions.reset`` on a stuck row, without admin, and on a key nobody knows."""
    key = "agent:main:cron:c14"
    before = await stuck(gateway, key)
    await gateway.wait(5)
    refused = await gateway.call("sessions.reset", {"key": key, "reason": "new"}, scopes=(READ, WRITE))
    done = await gateway.call("sessions.reset", {"key": key, "reason": "new"})
    row = await row_of(gateway, key)
    await gateway.call("sessions.reset", {"key": "agent:main:unknown", "reason": "new"})
    return {
        "without admin": (refused.code, refused.words),
        "ok": done.payload["ok"],
        "status": row.get("status"),
        "startedAt": row.get("startedAt"),
        "new sessionId": row["sessionId"] != before["sessionId"],
        "creates unknown keys": bool(await row_of(gateway, "agent:main:unknown")),
    }


async def agent_without_address(gateway: GatewayUnderTest) -> Facts:
    """``agent`` with ``deliver: true`` where no chat app is configured: refused, and 9.6 drops the row's status."""
    key = "agent:main:c15"
    await warm(gateway, key)
    sent = await gateway.call("agent", {"sessionKey": key, "message": "hi", "deliver": True, "idempotencyKey": "c15"})
    await gateway.wait(2)
    row = await row_of(gateway, key)
    return {"code": sent.code, "channel needed": "Channel is required" in sent.words, "status": row.get("status")}


async def full_lane(gateway: GatewayUnderTest) -> Facts:
    """More runs than the main lane takes: the last one waits."""
    width = 8 if gateway.version >= "2026.9" else 4
    await gateway.provider("hang", "LANE")
    keys = [f"agent:main:lane{number}" for number in range(width + 1)]

    for key in keys:
        await gateway.call("sessions.create", {"key": key})
    created = await row_of(gateway, keys[-1])

    async def send(key: str) -> None:
        await gateway.call("sessions.send", {"key": key, "message": f"LANE {name_of(key)}", "idempotencyKey": key})

    for key in keys[:-1]:
        await send(key)
    # Who is sent last takes a lane all the same where an earlier one is still on its way to it.
    await soon(gateway, lambda: _all_asked(gateway, keys[:-1]))
    await send(keys[-1])
    await gateway.wait(15)

    async def are_listed() -> bool:
        return all([(await row_of(gateway, key)).get("status") == "running" for key in keys[:-1]])

    await soon(gateway, are_listed)
    row = await row_of(gateway, keys[-1])
    running = [key for key in keys if (await row_of(gateway, key)).get("status") == "running"]
    abort = await gateway.call("sessions.abort", {"key": keys[-1]})
    return {
        "running": len(running),
        "status of the last": row.get("status"),
        "startedAt of the last": row.get("startedAt"),
        "updatedAt of the last moved": row["updatedAt"] > created["updatedAt"],
        "hasActiveRun of the last": row.get("hasActiveRun"),
        "abort of the last": abort.payload["status"],
    }


async def refusals(gateway: GatewayUnderTest) -> Facts:
    """Parameters, methods and scopes that are not right."""
    unknown = await gateway.call("nosuch.method")
    unknown_plain = await gateway.call("nosuch.method", scopes=(READ, WRITE))
    bogus = await gateway.call("sessions.list", {"bogus": 1})
    zero = await gateway.call("sessions.list", {"limit": 0})
    offset = await gateway.call("sessions.list", {"limit": 1, "offset": 0})
    nokey = await gateway.call("chat.send", {"sessionKey": "agent:main:x"})
    lost = await gateway.call("sessions.send", {"key": "agent:main:nobody", "message": "x"})
    readonly = await gateway.call("sessions.abort", {"key": "agent:main:x"}, scopes=(READ,))
    writes = await gateway.call("sessions.list", {"limit": 1}, scopes=(WRITE,))
    command = await gateway.call(
        "agent", {"sessionKey": "agent:main:x", "message": "/new", "idempotencyKey": "x"}, scopes=(READ, WRITE)
    )
    never = await gateway.call("agent.wait", {"runId": "never", "timeoutMs": 50})
    idle = await gateway.call("sessions.abort", {"key": "agent:main:never"})
    return {
        "unknown method": unknown.words,
        "unknown method, no admin": unknown_plain.words,
        "unexpected": bogus.words,
        "least": zero.words,
        "offset": offset.words,
        "missing": nokey.words,
        "no session": lost.words,
        "scope": (readonly.code, readonly.words),
        "scope details": bool(readonly.error and "details" in readonly.error),
        "write reads": writes.ok,
        "agent /new": command.words,
        "unknown run": never.payload["status"],
        "unknown key": idle.payload["status"],
    }


async def envelope(gateway: GatewayUnderTest) -> Facts:
    """The list's envelope when there is more than one page."""
    for number in range(3):
        await gateway.call("sessions.create", {"key": f"agent:main:page{number}"})
        await gateway.wait(0.3)
    page = await gateway.call("sessions.list", {"limit": 2})
    payload = page.payload
    return {
        "fields": sorted(payload),
        "count": payload["count"],
        "hasMore": payload.get("hasMore"),
        "limitApplied": payload.get("limitApplied"),
        "nextOffset": payload.get("nextOffset"),
        "newest first": [row["key"] for row in payload["sessions"]] == ["agent:main:page2", "agent:main:page1"],
    }


async def who_asked(gateway: GatewayUnderTest) -> Facts:
    """Whom ``chat.history`` names for words that clients sent, and for a run of the ``agent`` method."""
    key = "agent:main:c17"
    await gateway.call("sessions.create", {"key": key})
    for number, client in enumerate((("gateway-client", "backend"), ("cli", "cli"))):
        run = f"c17-{number}"
        await gateway.call(
            "sessions.send", {"key": key, "message": f"c17 {number}", "idempotencyKey": run}, client=client
        )
        await gateway.call("agent.wait", {"runId": run, "timeoutMs": 40_000})
    await gateway.call("agent", {"sessionKey": key, "message": "c17 agent", "idempotencyKey": "c17-agent"})
    await gateway.call("agent.wait", {"runId": "c17-agent", "timeoutMs": 40_000})
    users = [message for message in await messages_of(gateway, key) if message["role"] == "user"]
    return {"authors": [author_of(message) for message in users]}


async def agent_sent_again(gateway: GatewayUnderTest) -> Facts:
    """The same ``agent`` call under the same key on another connection, after its end: the final answer, no second run."""
    key = "agent:main:c18"
    await warm(gateway, key)
    call = {"sessionKey": key, "message": "work c18", "idempotencyKey": "c18-agent"}
    await gateway.call("agent", call)
    await gateway.call("agent.wait", {"runId": "c18-agent", "timeoutMs": 40_000})
    await gateway.wait(2)
    calls = len(await gateway.model_saw(key))
    again = await gateway.call("agent", call, device="two")
    await gateway.wait(4)
    return {
        "status": again.payload["status"],
        "has the answer": bool(again.payload.get("result", {}).get("payloads")),
        "ran once": len(await gateway.model_saw(key)) == calls,
    }


async def what_a_reader_sees(gateway: GatewayUnderTest) -> Facts:
    """``config.get`` and ``channels.status`` ask for ``operator.read`` alone; ``send`` does not."""
    config = await gateway.call("config.get", scopes=(READ,))
    status = await gateway.call("channels.status", {"probe": True, "timeoutMs": 3000}, scopes=(READ,))
    line = {"channel": "irc", "to": "irc:nobody", "message": "x", "idempotencyKey": "c19"}
    sent = await gateway.call("send", line, scopes=(READ,))
    return {
        "config": config.ok and "parsed" in config.payload,
        "channels": status.ok and "channelAccounts" in status.payload,
        "send": sent.words,
    }


async def waiting_for_recovery(gateway: GatewayUnderTest) -> Facts:
    """Three runs are cut, and each takes long again: 9.6 takes them up one after the other, and names that."""
    keys = [f"agent:main:c20{letter}" for letter in "abc"]
    await _cut_together(gateway, keys)
    waiting = await _rows_of(gateway, keys)
    preflight = await gateway.call("gateway.restart.preflight")
    root = _root_requests(preflight.payload) if preflight.ok else []
    await soon(gateway, lambda: _none_running(gateway, keys), 300 if gateway.version >= "2026.9" else 5)
    await gateway.wait(5)
    after = await gateway.call("gateway.restart.preflight")
    return {
        "rows": sorted([row["status"], bool(row.get("hasActiveRun")), row["abortedLastRun"]] for row in waiting),
        "counts": _own_counts(preflight.payload["counts"]) if preflight.ok else preflight.words,
        "root requests": root,
        "afterwards": sorted(row["status"] for row in await _rows_of(gateway, keys)),
        "root requests afterwards": _root_requests(after.payload) if after.ok else [],
    }


async def turn_during_recovery(gateway: GatewayUnderTest) -> Facts:
    """A client's turn on a row that waits for the gateway's own recovery, looked at once it runs or is queued."""
    keys = [f"agent:main:c21{letter}" for letter in "ab"]
    await _cut_together(gateway, keys, seconds=60)  # a gateway on a busy machine takes long to answer what follows
    rows = {row["key"]: row for row in await _rows_of(gateway, keys)}
    key = next((key for key in keys if rows[key]["abortedLastRun"]), keys[-1])
    words = {"sessionKey": key, "message": f"go on {name_of(key)}", "idempotencyKey": "c21-ours"}
    await gateway.provider("slow:10", words["message"])
    sent = await gateway.call("chat.send", words)

    async def pending() -> list[object]:
        history = await gateway.call("chat.history", {"sessionKey": key})
        return [item["state"] for item in history.payload.get("pendingInputs", {}).get("items", [])]

    async def runs() -> bool:
        # 5.18 puts the request that was cut behind it.
        return any(words["message"] in said for said in await gateway.model_saw(key))

    async def has_come() -> bool:
        return await runs() or bool(await pending())

    await soon(gateway, has_come)
    row = await row_of(gateway, key)
    facts = {
        "answer": sent.payload["status"],
        "row": [row["status"], bool(row.get("hasActiveRun")), row["abortedLastRun"]],
        "runs": await runs(),
        "pending": await pending(),
    }
    await soon(gateway, lambda: _none_running(gateway, [key]), 240)  # others count on rows that do not move
    return facts


async def dropped_words(gateway: GatewayUnderTest) -> Facts:
    """Words that waited behind a live run when the process was killed (on a cron key, so that no version recovers it)."""
    key = "agent:main:cron:c22"
    await live(gateway, key, run_id="c22-first")
    await gateway.call("sessions.send", {"key": key, "message": "second c22", "idempotencyKey": "c22-second"})
    await gateway.wait(3)
    await gateway.kill()
    await gateway.provider("none", "TASK-c22")
    await gateway.start()
    await gateway.wait(15)
    history = await gateway.call("chat.history", {"sessionKey": key})
    return {
        "pending": [item["state"] for item in history.payload.get("pendingInputs", {}).get("items", [])],
        "second ran": any("second c22" in words for words in await gateway.model_saw(key)),
        "status": (await row_of(gateway, key))["status"],
    }


async def tombstoned(gateway: GatewayUnderTest) -> Facts:
    """A session whose recovery was cut three times, without a chat: what it refuses, and what ``sessions.recover`` makes."""
    key = "agent:main:c23"
    await live(gateway, key)
    await gateway.kill()
    await gateway.exhaust_recovery(key)
    await gateway.provider("none", "TASK-c23")
    await gateway.start()
    row = await until(gateway, key, lambda row: row.get("status") != "running", 30 if gateway.version > "2026.9" else 5)
    facts: Facts = {
        "row": [row["status"], row.get("restartRecoveryStatus"), row["abortedLastRun"], row.get("hasActiveRun")],
        "has a last run": "lastRunId" in row,
    }
    if gateway.version < "2026.8":
        return facts
    send = {"key": key, "message": "go on c23"}
    agent = {"sessionKey": key, "message": "/new", "idempotencyKey": "c23-agent"}
    chat = {"sessionKey": key, "message": "/new", "idempotencyKey": "c23-chat"}
    for name, reply in (
        ("send", await gateway.call("sessions.send", send)),
        ("/new by chat.send", await gateway.call("chat.send", chat)),
        ("/new by agent", await gateway.call("agent", agent)),
    ):
        facts[name] = [reply.code, reply.words, sorted(reply.error or {})]
    recovered = await gateway.call("sessions.recover", {"key": key}, scopes=(READ, WRITE))
    follower = str(recovered.payload["key"])
    facts["successor"] = follower.startswith("agent:main:dashboard:")
    facts["its run"] = (await until(gateway, follower, lambda row: row.get("status") == "done")).get("status")
    facts["still listed"] = bool(await row_of(gateway, key))
    reset = await gateway.call("sessions.reset", {"key": key, "reason": "reset"})
    facts["reset then"] = [reset.code, reset.words]
    return facts


async def suspended(gateway: GatewayUnderTest) -> Facts:
    """A gateway that is told to take nothing, and to take up again."""
    prepared = await gateway.call("gateway.suspend.prepare", {"requestId": "c24"})
    if not prepared.ok:
        return {"prepare": prepared.words}
    for _ in range(60):  # a gateway that has just started is busy with itself
        if "suspensionId" in prepared.payload:
            break
        await gateway.wait(1)
        prepared = await gateway.call("gateway.suspend.prepare", {"requestId": "c24"})
    refused = await gateway.call("sessions.list", {"limit": 1})
    health = await gateway.call("health")
    suspension = {"suspensionId": prepared.payload["suspensionId"]}
    await gateway.call("gateway.suspend.resume", suspension)
    error = refused.error or {}
    return {
        "prepare": [prepared.payload["status"], prepared.payload["activeCount"]],
        "list": [refused.code, error.get("retryable"), error.get("details", {}).get("reason")],
        "health": health.code,
        "list afterwards": (await gateway.call("sessions.list", {"limit": 1})).ok,
    }


async def drifted(gateway: GatewayUnderTest) -> Facts:
    """A store whose schema is not the version's own: what is refused, and with which words."""
    key = "agent:main:c25"
    await warm(gateway, key)
    await gateway.drift(mends=False)
    facts: Facts = {}
    for method, params in (
        ("sessions.list", {"limit": 1}),
        ("health", {}),
        ("chat.history", {"sessionKey": key}),
        ("sessions.send", {"key": key, "message": "more c25"}),
    ):
        reply = await gateway.call(method, params)
        is_named = "schema is missing or drifted" in reply.words
        facts[method] = "ok" if reply.ok else [reply.code, is_named, sorted(reply.error or {})]
    preflight = await gateway.call("gateway.restart.preflight")
    await gateway.drift(mends=True)
    return {
        **facts,
        "preflight": preflight.ok or preflight.words,
        "list afterwards": (await gateway.call("sessions.list", {"limit": 1})).ok,
    }


async def deaf_row(gateway: GatewayUnderTest) -> Facts:
    """A turn is answered, and the store locked before its end is written (9.6): the row stays ``running``, and whoever writes is
    refused at the door, again and again, until a ``sessions.send`` has freed it; then they are answered, and that was no turn."""
    chat, key = Chat("-100529"), "agent:main:telegram:group:-100529"
    await gateway.says(ALICE, "hello c29", chat)
    await until(gateway, key, lambda row: row.get("status") == "done" and not row.get("hasActiveRun"))
    await gateway.wait(2)
    await gateway.provider("held", "TASK-c29")
    await gateway.says(ALICE, "please do TASK-c29", chat)
    await soon(gateway, lambda: _were_said(gateway, "TASK-c29"))
    await until(gateway, key, lambda row: row.get("status") == "running" and "startedAt" in row)
    await gateway.wait(3)
    before = await _kinds_heard(gateway)
    await gateway.end_unwritten(key, "TASK-c29")
    await gateway.provider("none", "TASK-c29")

    async def is_told() -> bool:
        return len(await _kinds_heard(gateway)) > len(before)

    await soon(gateway, is_told)
    row = await until(gateway, key, lambda row: not row.get("hasActiveRun"))
    told = await _kinds_heard(gateway)
    tail = await tail_of(gateway, key)
    await gateway.says(ALICE, "again c29", chat)
    await gateway.wait(3)
    first = await row_of(gateway, key)

    async def has_moved() -> bool:
        later = await row_of(gateway, key)
        return all(later.get(name, 0) > first.get(name, 0) for name in ("updatedAt", "lastInteractionAt"))

    # The next refusal was seen: the one after it is twice as far away, and what the row says till then is ours.
    is_refused = await soon(gateway, has_moved, 20) and not await _were_said(gateway, "again c29")
    history = await gateway.call("chat.history", {"sessionKey": key})
    free = {"key": key, "message": "free c29", "idempotencyKey": "c29-free"}
    sent = await gateway.call("sessions.send", free, scopes=(READ, WRITE))
    waited = await gateway.call("agent.wait", {"runId": "c29-free", "timeoutMs": 40_000})
    then = await until(gateway, key, lambda row: row.get("status") != "running", seconds=10)
    await soon(gateway, lambda: _were_said(gateway, "again c29"), 90)
    last = await until(gateway, key, lambda row: row.get("status") == "done" and not row.get("hasActiveRun"))
    await gateway.wait(2)
    return {
        "told": told[len(before) :],
        "row": [row["status"], bool(row.get("hasActiveRun")), row["abortedLastRun"]],
        "tail": tail,
        "refused at the door": is_refused,
        "pending": [item["state"] for item in history.payload.get("pendingInputs", {}).get("items", [])],
        "freed": [sent.payload["status"], waited.payload["status"], waited.payload.get("error")],
        "row then": then["status"],
        "ours was a turn": await _were_said(gateway, "free c29"),
        "told at last": (await _kinds_heard(gateway))[len(told) :],
        "row at last": last["status"],
    }


async def not_woken(gateway: GatewayUnderTest) -> Facts:
    """A turn starts a sub-agent and yields; kill -9 cuts the sub-agent. What the rows say after the start, and whether anybody wakes
    the one who waits."""
    key = "agent:main:c30"
    await warm(gateway, key)
    await gateway.provider("hang", "dig c30child")
    await gateway.provider("spawn:dig c30child", "TASK-c30")
    await gateway.call("sessions.send", {"key": key, "message": "please do TASK-c30", "idempotencyKey": "c30"})
    await gateway.call("agent.wait", {"runId": "c30", "timeoutMs": 40_000})
    offered = (await gateway.tools("TASK-c30"))[0]
    facts: Facts = {"offered": [tool for tool in ("sessions_spawn", "sessions_yield") if tool in offered]}

    async def has_child() -> bool:
        return (await _child_of(gateway, key)).get("status") == "running"

    if not await soon(gateway, has_child):
        return facts
    await gateway.wait(5)
    waiting, child = await row_of(gateway, key), await _child_of(gateway, key)
    calls = len(await gateway.model_saw(key))
    await gateway.kill()
    await gateway.provider("none", "dig c30child")
    await gateway.provider("none", "TASK-c30")
    await gateway.start()
    started = await row_of(gateway, key)
    # 5.18 looks once a minute for such sub-agents.
    cut = await until(gateway, child["key"], lambda row: row.get("status") not in (None, "running"), 80)
    is_woken = await soon(gateway, _called_again(gateway, key, calls), 30)
    row = await until(gateway, key, lambda row: row.get("status") == "done" and not row.get("hasActiveRun"), 20)
    return {
        **facts,
        "waiting": [waiting["status"], bool(waiting.get("hasActiveRun")), waiting["abortedLastRun"]],
        "waits for": bool(waiting.get("hasActiveSubagentRun")),
        "has ended": "endedAt" in waiting,
        "its child": [child["status"], bool(child.get("hasActiveRun"))],
        "taken for cut": started["abortedLastRun"],
        "child": [cut.get("status"), bool(cut.get("hasActiveRun")), bool(cut.get("abortedLastRun"))],
        "child's startedAt kept": cut.get("startedAt") == child.get("startedAt"),
        "child's error": cut.get("lastRunError"),
        "woken": is_woken,
        "parent": [row["status"], bool(row.get("hasActiveRun")), row["abortedLastRun"]],
        "parent's startedAt kept": row["startedAt"] == waiting["startedAt"],
        "tail": await tail_of(gateway, key),
    }


async def _child_of(gateway: GatewayUnderTest, key: str) -> dict[str, Any]:
    reply = await gateway.call("sessions.list", {"limit": 500})
    return next((dict(row) for row in reply.payload["sessions"] if row.get("spawnedBy") == key), {})


async def _were_said(gateway: GatewayUnderTest, words: str) -> bool:
    """The model was asked with these words as the last ones."""
    return bool(await gateway.tools(words))


async def _kinds_heard(gateway: GatewayUnderTest) -> list[str]:
    """What bots have said in chats, in a word each: an ``answer``, or that it ``went wrong``."""
    kinds = {"went wrong": "went wrong", "mock answer": "answer", "reply ": "answer"}
    texts = [said.text for said in await gateway.heard()]
    return [kind for text in texts for words, kind in kinds.items() if words in text]


async def _cut_together(gateway: GatewayUnderTest, keys: Sequence[str], *, seconds: int = 30) -> None:
    """Runs that are cut by one kill, and take ``seconds`` each when they are taken up; looked at while the first does."""
    for key in keys:
        await live(gateway, key)
    await gateway.kill()
    for key in keys:
        await gateway.provider(f"slow:{seconds}", f"TASK-{name_of(key)}")
    await gateway.start()

    async def is_one_taken_up() -> bool:
        return any(row.get("hasActiveRun") and not row["abortedLastRun"] for row in await _rows_of(gateway, keys))

    await soon(gateway, is_one_taken_up, 40 if gateway.version >= "2026.9" else 5)
    await gateway.wait(5)


async def _rows_of(gateway: GatewayUnderTest, keys: Sequence[str]) -> list[dict[str, object]]:
    return [await row_of(gateway, key) for key in keys]


async def _none_running(gateway: GatewayUnderTest, keys: Sequence[str]) -> bool:
    return all(row["status"] != "running" for row in await _rows_of(gateway, keys))


def _own_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Without what counts root requests: a gateway that has just started on a busy machine may still be at something else,
    ``startup:sidecars.control-ui-assets`` (9.6)."""
    return {name: count for name, count in counts.items() if name not in ("rootRequests", "totalActive")}


def _root_requests(preflight: Mapping[str, Any]) -> list[str]:
    """Which recoveries are named: ``1 active gateway request(s): main-session:startup-recovery``, or several after commas."""
    said = [str(item["message"]) for item in preflight["blockers"] if item["kind"] == "root-request"]
    named = [name for message in said for name in message.partition(": ")[2].split(", ")]
    return [name for name in named if name.startswith("main-session:")]


async def _all_asked(gateway: GatewayUnderTest, keys: Sequence[str]) -> bool:
    """The model was asked for each of these sessions: each has its lane."""
    return all([await gateway.model_saw(key) for key in keys])


def _called_again(gateway: GatewayUnderTest, key: str, calls: int) -> Callable[[], Awaitable[bool]]:
    """The model was asked for this session since there were so many calls."""

    async def is_so() -> bool:
        return len(await gateway.model_saw(key)) > calls

    return is_so


Scenario = Callable[[GatewayUnderTest], Awaitable[Facts]]

SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        finished_turn, live_web_run, live_agent_run, stopped_while_streaming, stopped_while_silent,
        stopped_then_agent_failed, queued_behind_live, killed_in_a_call, killed_on_cron_key, killed_in_a_tool,
        killed_in_first_turn, resumed_by_agent, fresh_by_new, new_without_admin, reset, agent_without_address, full_lane,
        refusals, envelope, who_asked, agent_sent_again, what_a_reader_sees, waiting_for_recovery, turn_during_recovery,
        dropped_words, tombstoned, suspended, drifted, deaf_row, not_woken,
    )
}  # fmt: skip

PEOPLE = frozenset({"who_asked", "agent_sent_again", "what_a_reader_sees"})
OWN_RECOVERY = frozenset(
    {"waiting_for_recovery", "turn_during_recovery", "dropped_words", "tombstoned", "suspended", "drifted"}
)
NOT_MEASURED = {"2026.4.14": PEOPLE | OWN_RECOVERY | {"deaf_row", "not_woken"}}
"""Scenarios whose answer of that version nobody has seen.

Where a version has no such thing, that is what was seen, and what is recorded. 2026.3.24 and 5.18 take up nothing by themselves
after a kill (``waiting_for_recovery``, ``turn_during_recovery``: the rows stay as they were cut, and a client's turn runs at once),
tell nothing of words that waited (``dropped_words``), make no tombstones, know no ``gateway.suspend.prepare``, and keep their
sessions in files that cannot drift and are not locked as an answer is written (``deaf_row``: the turn just ends)."""
