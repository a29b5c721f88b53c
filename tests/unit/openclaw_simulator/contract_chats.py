"""What a gateway with a Telegram channel is asked: who asked, where answers go, with which rights, who stopped.

As in ``contract_scenarios`` each scenario returns flat facts, to be compared between gateways. ``measured_chats.json``
holds what was measured by hand on real 2026.3.24, 5.18 and 9.6 gateways on 2026-11-28, over a Telegram channel whose
``apiRoot`` led to a fake Bot API. ``make conformance`` runs none of these yet: its Telegram is for ``deaf_row`` of
``contract_scenarios`` alone, where the lost turn was answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from tests.unit.openclaw_simulator.contract import (
    ALICE,
    ALL,
    BACKEND,
    READ,
    WRITE,
    Chat,
    Facts,
    GatewayUnderTest,
    Reply,
    Who,
    author_of,
    messages_of,
    row_of,
    soon,
    until,
)

MAIN = "agent:main:main"
CLI = ("cli", "cli")


BOB, NAMELESS = Who("1002", "Bob (1001)"), Who("1004")
GROUP, TOPIC, GENERAL = Chat("-100500"), Chat("-100600", 11), Chat("-100600", 1)
FORUM = "agent:main:telegram:group:-100600"


class ChatGatewayUnderTest(GatewayUnderTest, Protocol):
    """A gateway with a Telegram channel of two bots (``default``, ``work``), everybody allowed in."""

    async def configure(self, settings: Mapping[str, Any]) -> None:
        """More of ``openclaw.json``; the gateway starts anew with it."""
        ...

    async def block(self, chat: Chat) -> None:
        """What a bot says there is refused with 403 from now on."""
        ...

    async def unblock(self, chat: Chat) -> None: ...

    async def delete_topic(self, chat: Chat) -> None: ...

    async def telegram(self, trouble: str | None) -> None:
        """``502``, ``401`` or ``unreachable`` from now on; None: well again."""
        ...

    async def lock_store(self, seconds: float) -> None:
        """2026.9.6: nothing can be written meanwhile."""
        ...

    async def second_answer(self, method: str, params: Mapping[str, Any]) -> Reply:
        """A request that is answered twice: its second answer."""
        ...


# ---------------------------------------------------------------- helpers


async def _answered(gateway: ChatGatewayUnderTest, who: Who, text: str, chat: Chat) -> None:
    """A turn that ends well."""
    count = len(await gateway.heard())
    await gateway.says(who, text, chat)

    async def is_answered() -> bool:
        return len(await gateway.heard()) > count

    await soon(gateway, is_answered)
    await gateway.wait(2)


async def _running(gateway: ChatGatewayUnderTest, who: Who, text: str, chat: Chat, key: str) -> dict[str, Any]:
    before = await row_of(gateway, key)
    await gateway.provider("hang", text)
    await gateway.says(who, text, chat)
    return await until(
        gateway, key, lambda row: row["status"] == "running" and row.get("startedAt", 0) > before["startedAt"]
    )


async def _cut(gateway: ChatGatewayUnderTest, who: Who, text: str, chat: Chat, key: str) -> dict[str, Any]:
    """A run that died: by kill -9, or on 9.6, which takes those up itself, by a lost write. The row as it is left."""
    if gateway.version >= "2026.9":
        await gateway.provider("slow:5", text)
        await gateway.says(who, text, chat)
        await until(gateway, key, lambda row: row["status"] == "running" and "startedAt" in row)
        await gateway.lock_store(40)
        await gateway.wait(45)
    else:
        await _running(gateway, who, text, chat, key)
        await gateway.wait(2)
        await gateway.kill()
        await gateway.start()
        await gateway.wait(10)
    await gateway.provider("none", text)
    return await row_of(gateway, key)


def _words(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


async def _users(gateway: GatewayUnderTest, key: str) -> list[dict[str, Any]]:
    return [message for message in await messages_of(gateway, key) if message["role"] == "user"]


async def _since(gateway: ChatGatewayUnderTest, count: int) -> list[tuple[str, int | None, str]]:
    """Where something was said since then."""
    return [(said.chat, said.thread, said.account) for said in (await gateway.heard())[count:]]


# ---------------------------------------------------------------- scenarios


async def authors(gateway: ChatGatewayUnderTest) -> Facts:
    """Who wrote what, in a session of several people and clients."""
    await _answered(gateway, ALICE, "hello from alice", Chat("1001"))
    await _answered(gateway, BOB, "hello from bob", Chat("1002"))
    await _answered(gateway, NAMELESS, "hello from somebody", Chat("1004"))
    for number, client in enumerate((BACKEND, CLI)):
        run = f"authors-{number}"
        await gateway.call("sessions.send", {"key": MAIN, "message": run, "idempotencyKey": run}, client=client)
        await gateway.call("agent.wait", {"runId": run, "timeoutMs": 40_000})
    await gateway.call("agent", {"sessionKey": MAIN, "message": "a program", "idempotencyKey": "authors-agent"})
    await gateway.call("agent.wait", {"runId": "authors-agent", "timeoutMs": 40_000})
    said = await _users(gateway, MAIN)
    facts = said[0]["__openclaw"]
    return {
        "authors": [author_of(message) for message in said],
        "label": said[0].get("senderLabel"),
        "label of a forger": said[1].get("senderLabel"),
        "label of the nameless": said[2].get("senderLabel"),
        "names": [facts.get("senderName"), facts.get("senderUsername")],
        "identity": facts.get("senderIdentity"),
        "channel": facts.get("transport", {}).get("channel"),
        "owner": facts.get("senderIsOwner"),
    }


async def wrapping(gateway: ChatGatewayUnderTest) -> Facts:
    """What stands in front of a person's words in a group."""
    key = "agent:main:telegram:group:-100500"
    await _answered(gateway, ALICE, "first\nline ```x```", GROUP)
    await _answered(gateway, BOB, "second words\n\nand more", GROUP)
    said = _words((await _users(gateway, key))[-1])
    is_wrapped = said.startswith("Conversation context (untrusted")
    return {"wrapped": is_wrapped, "words": said.partition("\n\n")[2] if is_wrapped else said}


async def rows_of_chats(gateway: ChatGatewayUnderTest) -> Facts:
    """Key and address of a group's topic, of General, of a topic in a private chat, of a second bot's direct chat."""
    await _answered(gateway, ALICE, "in a topic", TOPIC)
    await _answered(gateway, ALICE, "in general", GENERAL)
    await _answered(gateway, ALICE, "to the other bot", Chat("1001", account="work"))
    await _answered(gateway, ALICE, "in a private topic", Chat("1001", 77))
    rows = (await gateway.call("sessions.list", {"limit": 100})).payload["sessions"]
    contexts = {row["key"]: row.get("deliveryContext", {}) for row in rows}
    private = MAIN if "agent:main:main:thread:1001:77" not in contexts else "agent:main:main:thread:1001:77"
    work = next(row["key"] for row in rows if row.get("deliveryContext", {}).get("accountId") == "work")
    return {
        "topic": contexts[f"{FORUM}:topic:11"],
        "general": contexts[f"{FORUM}:topic:1"],
        "private": [private, contexts[private]],
        "second bot": work if gateway.version < "2026.9" else "not measured",
    }


async def last_writer(gateway: ChatGatewayUnderTest) -> Facts:
    """Two people on the main session: the row's address is the last writer's, the run is the first one's."""
    await _answered(gateway, ALICE, "hello", Chat("1001"))
    before = await _running(gateway, ALICE, "SECRET", Chat("1001"), MAIN)
    await gateway.says(BOB, "and me?", Chat("1002"))
    await gateway.wait(3)
    row = await row_of(gateway, MAIN)
    return {
        "to": row["deliveryContext"]["to"],
        "status": row["status"],
        "startedAt kept": row["startedAt"] == before["startedAt"],
        "updatedAt moved": row["updatedAt"] > before["updatedAt"],
    }


async def literal_words(gateway: ChatGatewayUnderTest) -> Facts:
    """``send``: what it leaves in row and transcript, and how often one key is said."""
    await _answered(gateway, ALICE, "hello", Chat("1001"))
    before, count = await row_of(gateway, MAIN), len(await gateway.heard())
    params = {"channel": "telegram", "to": "1001", "message": "a line", "idempotencyKey": "l1", "sessionKey": MAIN}
    only_reads = await gateway.call("send", params, scopes=(READ,))
    sent = await gateway.call("send", params, scopes=(READ, WRITE))
    again = await gateway.call("send", {**params, "message": "another line"})
    row = await row_of(gateway, MAIN)
    last = (await messages_of(gateway, MAIN))[-1]
    heard = await _since(gateway, count)
    await gateway.kill()
    await gateway.start()
    await gateway.call("send", params)
    return {
        "read is enough": only_reads.ok,
        "heard": heard,
        "same message": again.payload["messageId"] == sent.payload["messageId"],
        "entry": [last["role"], last["provider"], last["model"], _words(last)],
        "entry has our key": last.get("idempotencyKey") == "l1",
        "updatedAt moved": row["updatedAt"] > before["updatedAt"],
        "said again by the next process": len(await _since(gateway, count)) > len(heard),
    }


async def words_into_topics(gateway: ChatGatewayUnderTest) -> Facts:
    """``send`` to General, to a private topic, and to a topic that is gone: heard where, and the row afterwards."""
    await _answered(gateway, ALICE, "in general", GENERAL)
    await _answered(gateway, ALICE, "in a topic", TOPIC)
    count = len(await gateway.heard())
    base = {"channel": "telegram", "to": "telegram:-100600", "sessionKey": f"{FORUM}:topic:1"}
    await gateway.call("send", {**base, "threadId": "1", "message": "x", "idempotencyKey": "w1"})
    general = (await row_of(gateway, f"{FORUM}:topic:1"))["deliveryContext"]
    await gateway.delete_topic(TOPIC)
    lost = {"channel": "telegram", "to": "telegram:-100600", "sessionKey": f"{FORUM}:topic:11", "threadId": "11"}
    gone = await gateway.call("send", {**lost, "message": "y", "idempotencyKey": "w2"})
    return {"heard": await _since(gateway, count), "general": general["to"], "gone topic": gone.ok}


async def refused_words(gateway: ChatGatewayUnderTest) -> Facts:
    """``send`` to somebody who has blocked the bot, and what the next process does with it."""
    await _answered(gateway, ALICE, "hello", Chat("1001"))
    await gateway.block(Chat("1001"))
    params = {"channel": "telegram", "to": "1001", "message": "a line", "idempotencyKey": "r1"}
    refused = await gateway.call("send", params)
    again = await gateway.call("send", params)
    details = (refused.error or {}).get("details")
    count = len(await gateway.heard())
    await gateway.unblock(Chat("1001"))
    await gateway.kill()
    await gateway.start()
    await gateway.wait(5)
    return {
        "code": refused.code,
        "names 403": "403" in refused.words,
        "details": details.get("code") if details else None,
        "same from memory": again.words == refused.words,
        "said by the next process": bool(await _since(gateway, count)),
    }


async def explicit_route(gateway: ChatGatewayUnderTest) -> Facts:
    """Alice's run died, Bob wrote last: an ``agent`` turn with her address, and what it leaves in the row."""
    await _answered(gateway, ALICE, "in a private topic", Chat("1001", 11))
    await _answered(gateway, ALICE, "hello", Chat("1001"))
    await _cut(gateway, ALICE, "SECRET", Chat("1001"), MAIN)
    if gateway.version >= "2026.9":
        await gateway.says(BOB, "me", Chat("1002"))  # refused: the session is deaf
        await gateway.wait(1)
    else:
        await _answered(gateway, BOB, "me", Chat("1002"))
        await _cut(gateway, BOB, "SECOND", Chat("1002"), MAIN)
    before, count = await row_of(gateway, MAIN), len(await gateway.heard())
    route = {"channel": "telegram", "to": "telegram:1001", "accountId": "default", "threadId": "11", "deliver": True}
    call = {"sessionKey": MAIN, "message": "go on", "idempotencyKey": "e1", **route}
    second = await gateway.second_answer("agent", call)
    first_heard = (await _since(gateway, count))[:1]
    calls = len(await gateway.model_saw(MAIN))
    repeated = await gateway.call("agent", call, device="two")
    row = await row_of(gateway, MAIN)
    result = second.payload.get("result", {})
    return {
        "heard": first_heard,
        "address before": before["deliveryContext"]["to"],
        "address": row["deliveryContext"]["to"],
        "stray thread": row["deliveryContext"].get("threadId"),
        "status": row["status"],
        "startedAt kept": row["startedAt"] == before["startedAt"],
        "has an end": "endedAt" in row,
        "updatedAt moved": row["updatedAt"] > before["updatedAt"],
        "succeeded": result.get("deliverySucceeded"),
        "word": result.get("deliveryStatus", {}).get("status"),
        "again on another connection": repeated.payload.get("status") if gateway.version < "2026.9" else "not measured",
        "ran once": len(await gateway.model_saw(MAIN)) == calls,
    }


async def refused_answer(gateway: ChatGatewayUnderTest) -> Facts:
    """The person blocked the bot: what the second answer of ``agent`` and ``agent.wait`` say of it."""
    await _answered(gateway, ALICE, "hello", Chat("1001"))
    await gateway.block(Chat("1001"))
    call = {"sessionKey": MAIN, "message": "go on", "deliver": True, "channel": "telegram", "to": "1001"}
    by_default = await gateway.second_answer("agent", {**call, "idempotencyKey": "b1"})
    waited = await gateway.call("agent.wait", {"runId": "b1", "timeoutMs": 1000})
    row = await row_of(gateway, MAIN)
    strict = await gateway.second_answer("agent", {**call, "idempotencyKey": "b2", "bestEffortDeliver": False})
    after = await row_of(gateway, MAIN)
    result = (by_default.payload or {}).get("result", {})
    return {
        "ok": by_default.ok,
        "succeeded": result.get("deliverySucceeded"),
        "word": result.get("deliveryStatus", {}).get("status"),
        "waited": [waited.payload["status"], waited.payload.get("terminalDelivery", {}).get("status")],
        "status": row["status"],
        "strict": [strict.ok, strict.code, "403" in strict.words],
        "status when strict": after["status"] if gateway.version >= "2026.9" else "not measured",
    }


async def stop_at_a_dead_run(gateway: ChatGatewayUnderTest) -> Facts:
    """``/stop`` typed where nothing runs any more."""
    await _answered(gateway, ALICE, "in a topic", TOPIC)
    key = f"{FORUM}:topic:11"
    before = await _cut(gateway, ALICE, "WORK", TOPIC, key)
    messages, count = len(await messages_of(gateway, key)), len(await gateway.heard())
    await gateway.says(ALICE, "/stop", TOPIC)
    row = await until(gateway, key, lambda r: bool(r.get("abortedLastRun")))
    await gateway.wait(1)
    told = [said.text for said in (await gateway.heard())[count:]]
    calls = len(await gateway.model_saw(key))
    return {
        "flag before": before["abortedLastRun"],
        "flag": row["abortedLastRun"],
        "status": row["status"],
        "updatedAt moved": row["updatedAt"] > before["updatedAt"],
        "startedAt kept": row["startedAt"] == before["startedAt"],
        "threadId": row["deliveryContext"].get("threadId"),
        "label": row["origin"]["label"].rpartition(" ")[2] if "topic:" in row["origin"]["label"] else None,
        "told": told,
        "transcript grew": len(await messages_of(gateway, key)) > messages,
        "no run": len(await gateway.model_saw(key)) == calls,
    }


async def stop_and_restart(gateway: ChatGatewayUnderTest) -> Facts:
    """The same, and a kill -9: some versions carry the stopped request out themselves."""
    await _answered(gateway, ALICE, "in a topic", TOPIC)
    key = f"{FORUM}:topic:11"
    await _cut(gateway, ALICE, "WORK", TOPIC, key)
    await gateway.says(ALICE, "/stop", TOPIC)
    await gateway.wait(3)
    await gateway.kill()
    await gateway.start()
    await gateway.wait(30)
    return {"status": (await row_of(gateway, key))["status"]}


async def deaf_row(gateway: ChatGatewayUnderTest) -> Facts:
    """9.6, after a lost write: a person is refused and waits; ``sessions.send`` frees the session without a model call."""
    await _answered(gateway, ALICE, "hello", Chat("1001"))
    await _cut(gateway, ALICE, "WORK", Chat("1001"), MAIN)
    await gateway.says(BOB, "is anybody there?", Chat("1002"))
    await gateway.wait(1)
    first = await row_of(gateway, MAIN)
    await gateway.wait(20)
    later, history = await row_of(gateway, MAIN), await gateway.call("chat.history", {"sessionKey": MAIN})
    count, calls = len(await gateway.heard()), len(await gateway.model_saw(MAIN))
    words = {"key": MAIN, "message": "FREE", "idempotencyKey": "d1"}
    sent = await gateway.call("sessions.send", words, scopes=(READ, WRITE))
    row = await until(gateway, MAIN, lambda r: r["status"] != "running", seconds=2)
    waited = await gateway.call("agent.wait", {"runId": "d1", "timeoutMs": 1000})

    async def is_answered() -> bool:
        return len(await gateway.heard()) > count

    await soon(gateway, is_answered)
    saw = (await gateway.model_saw(MAIN))[calls:]
    return {
        "to": later["deliveryContext"]["to"],
        "moves": [later[name] > first[name] for name in ("updatedAt", "lastInteractionAt")],
        "pending": history.payload["pendingInputs"]["items"],
        "answer": sent.payload["status"],
        "waited": [waited.payload["status"], waited.payload.get("error")],
        "row": row["status"],
        "model calls": len(saw),
        "of whom": ["is anybody" in words for words in saw],
        "answered": (await _since(gateway, count))[0],
    }


async def rules_by_sender(gateway: ChatGatewayUnderTest) -> Facts:
    """``toolsBySender`` in a group: what its member, a client, and a client with admin are offered; seen in ``config.get``."""
    key = "agent:main:telegram:group:-100500"
    rules = {"id:1001": {"deny": ["exec", "process", "write", "edit"]}}
    groups = {"-100500": {"requireMention": False, "toolsBySender": rules}}
    await gateway.configure({"channels": {"telegram": {"groups": groups}}})
    await _answered(gateway, ALICE, "TOOLS-alice", GROUP)
    await _answered(gateway, BOB, "TOOLS-bob", GROUP)
    for name, scopes in (("plain", (READ, WRITE)), ("admin", ALL)):
        call = {"sessionKey": key, "message": f"TOOLS-{name}", "idempotencyKey": f"t-{name}"}
        await gateway.call("agent", call, scopes=scopes)
        await gateway.call("agent.wait", {"runId": f"t-{name}", "timeoutMs": 40_000})
    offered = {name: set((await gateway.tools(f"TOOLS-{name}"))[-1]) for name in ("alice", "bob", "plain", "admin")}
    config = (await gateway.call("config.get", scopes=(READ,))).payload["parsed"]
    return {
        "exec": {name: "exec" in tools for name, tools in offered.items()},
        "the owner's": sorted(offered["admin"] - offered["plain"]),
        "as bob": offered["plain"] == offered["bob"],
        "shown": config["channels"]["telegram"]["groups"]["-100500"]["toolsBySender"],
    }


async def owner_by_allow_list(gateway: ChatGatewayUnderTest) -> Facts:
    """``allowFrom`` without ``*``: its people are owners up to 5.18; a client's turn never has their tools."""
    await gateway.configure({"channels": {"telegram": {"dmPolicy": "allowlist", "allowFrom": ["1001"]}}})
    await _answered(gateway, ALICE, "TOOLS-alice", Chat("1001"))
    call = {"sessionKey": MAIN, "message": "TOOLS-plain", "idempotencyKey": "o1"}
    await gateway.call("agent", call, scopes=(READ, WRITE))
    await gateway.call("agent.wait", {"runId": "o1", "timeoutMs": 40_000})
    own, ours = [set((await gateway.tools(f"TOOLS-{name}"))[-1]) for name in ("alice", "plain")]
    return {"more than ours": sorted(own - ours), "less than ours": sorted(ours - own)}


async def channel_troubles(gateway: ChatGatewayUnderTest) -> Facts:
    """``channels.status``: what it says of a chat app that is away, with a probe and without."""
    await _answered(gateway, ALICE, "hello", Chat("1001"))
    facts: Facts = {}
    for trouble in (None, "unreachable", "401"):
        await gateway.telegram(trouble)
        await gateway.wait(25)
        said = []
        for params in ({}, {"probe": True, "timeoutMs": 3000}):
            reply = await gateway.call("channels.status", params, scopes=(READ,))
            account = reply.payload["channelAccounts"]["telegram"][0]
            said += [account["running"], account.get("probe", {}).get("ok")]
        is_known = trouble != "unreachable" or gateway.version < "2026.9"
        facts[trouble or "well"] = [said[0] if is_known else "not measured", said[3]]
        await gateway.telegram(None)
    return facts


ChatScenario = Callable[[ChatGatewayUnderTest], Awaitable[Facts]]

CHAT_SCENARIOS: dict[str, ChatScenario] = {
    scenario.__name__: scenario
    for scenario in (
        authors, wrapping, rows_of_chats, last_writer, literal_words, words_into_topics, refused_words, explicit_route,
        refused_answer, stop_at_a_dead_run, stop_and_restart, deaf_row, rules_by_sender, owner_by_allow_list,
        channel_troubles,
    )
}  # fmt: skip
ONLY_ON = {
    "deaf_row": ("2026.9.6",),
    "last_writer": ("2026.3.24",),
    "stop_at_a_dead_run": ("2026.5.18", "2026.9.6"),
    "stop_and_restart": ("2026.5.18", "2026.9.6"),
}
"""Scenarios of something that other versions do not have, or that was not measured there."""
