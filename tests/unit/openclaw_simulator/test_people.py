"""Several people to a session, without a wire: who is meant by default, whose answer goes where, what outlives a process.

What real gateways said is held by ``test_contract_chats``."""

from __future__ import annotations

from typing import Any

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.people import usual_person
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.records import ChatPlace, GroundTruth, Person
from openclaw_simulator.rights import EVERYBODY, RESTART_SAFE
from openclaw_simulator.rows import row_of
from openclaw_simulator.sessions import Address
from openclaw_simulator.state import ChannelOutage
from openclaw_simulator.world import World
from tests.unit.openclaw_simulator.contract import author_of
from tests.unit.openclaw_simulator.peers import call, connect, drain
from tests.unit.openclaw_simulator.simulated import make_world

ALICE, BOB = Person("1001", "Alice Ames", "alice"), Person("1002", "Bob")
MAIN, GROUP = "agent:main:main", "agent:main:telegram:group:-100500"
ALICES, GROUPS = Address("telegram", "telegram:1001"), Address("telegram", "telegram:-100500")
VERSIONS = list(PROFILES)


def shared(version: str, key: str = MAIN, chat: Address = ALICES) -> World:
    """A session of Alice and Bob with one finished turn."""
    world = make_world(version)
    world.chat.join(key, chat, ALICE)
    world.chat.meet(key, BOB)
    world.chat.person_writes(key, "hello", turns.answers(1))
    world.advance(30)
    world.heard.clear()
    return world


def users(world: World, key: str) -> list[dict[str, Any]]:
    peer, _, _ = connect(world)
    messages = call(peer, "chat.history", {"sessionKey": key})["payload"]["messages"]
    return [message for message in messages if message["role"] == "user"]


def heard_at(world: World) -> list[str]:
    return [heard.place.chat for heard in world.heard if heard.place is not None]


@pytest.mark.parametrize(
    ("key", "address", "person"),
    [
        ("agent:main:telegram:direct:1007", Address("telegram", "telegram:1007"), "1007"),
        ("agent:main:telegram:work:direct:1007", Address("telegram", "telegram:1007", "work"), "1007"),
        ("agent:main:irc:direct:alice", Address("irc", "irc:alice"), "alice!~alice@127.0.0.1"),
        (MAIN, ALICES, "1001"),
        (MAIN, Address("irc", "irc:carol"), "carol!~carol@127.0.0.1"),
        (GROUP, GROUPS, "1001"),
        ("agent:main:irc:group:#ops", Address("irc", "channel:#ops"), "member!~member@127.0.0.1"),
    ],
)
def test_who_writes_where_nobody_is_named(key: str, address: Address, person: str) -> None:
    assert usual_person(key, address).id == person
    world = make_world("2026.9.6")
    world.chat.join(key, address)
    world.chat.person_writes(key, "hello")
    world.advance(30)
    assert author_of(users(world, key)[0]) == person
    assert world.model_calls[-1].person == world.chat.person_of(key)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_of_several_is_named_and_answered_where_they_wrote(version: str) -> None:
    world = shared(version)
    world.chat.person_writes(MAIN, "and me?", by=BOB)
    world.advance(30)
    assert [author_of(message) for message in users(world, MAIN)] == ["1001", "1002"]
    assert heard_at(world) == ["1002"]
    assert row_of(world, world.sessions[MAIN])["deliveryContext"]["to"] == "telegram:1002"


@pytest.mark.parametrize("version", VERSIONS)
def test_words_typed_in_the_browser_are_an_operators(version: str) -> None:
    world = shared(version, GROUP, GROUPS)
    world.begin(GROUP, "a draft")
    world.advance(30)
    assert author_of(users(world, GROUP)[-1]) == "openclaw-control-ui"
    assert heard_at(world) == []
    assert (world.spoken[-1].person, world.spoken[-1].place) == (None, None)


def test_the_gateways_own_recovery_answers_the_one_who_asked() -> None:
    world = shared("2026.9.6")
    world.chat.person_writes(MAIN, "SECRET", turns.stays_silent(), by=ALICE)
    world.advance(5)
    world.chat.person_writes(MAIN, "and me?", by=BOB)
    world.advance(5)
    world.process.restart(2)
    world.advance(14)
    assert row_of(world, world.sessions[MAIN])["deliveryContext"]["to"] == "telegram:1002"
    world.advance(60)
    assert heard_at(world) == ["1001", "1001", "1002"], "told, answered, and then what Bob wrote meanwhile"
    assert world.model_calls[-2].person == ALICE


def test_interrupted_rows_are_marked_at_one_instant_before_any_list_is_answered() -> None:
    world = make_world("2026.9.6")
    keys = ["agent:main:dashboard:a", "agent:main:dashboard:b"]
    for key in [*keys, "agent:main:cron:c"]:
        world.finished_turn(key)
        world.begin(key, "work", turns.stays_silent())
    world.advance(60)
    world.process.kill()
    world.advance(5)
    world.process.start()
    world.advance(world.profile.start_seconds + 0.1)
    rows = [row_of(world, world.sessions[key]) for key in keys]
    assert [row["abortedLastRun"] for row in rows] == [True, True]
    assert len({row["updatedAt"] for row in rows}) == 1
    assert rows[0]["updatedAt"] == world.process.boot_wall_ms + 5600
    assert [world.truth(key) for key in keys] == [GroundTruth.RECOVERING] * 2
    assert row_of(world, world.sessions["agent:main:cron:c"])["abortedLastRun"] is False


def test_what_a_client_had_queued_is_shown_as_interrupted_and_never_runs() -> None:
    world = make_world("2026.9.6")
    key = "agent:main:cron:c"
    world.finished_turn(key)
    world.begin(key, "work", turns.stays_silent())
    world.begin(key, "and then this")
    world.advance(5)
    world.process.restart(1)
    world.advance(120)
    peer, _, _ = connect(world)
    (item,) = call(peer, "chat.history", {"sessionKey": key})["payload"]["pendingInputs"]["items"]
    assert (item["state"], item["message"]["content"]) == ("interrupted", "and then this")
    assert not any("and then this" in words for made in world.model_calls for words in made.said)


@pytest.mark.parametrize(("version", "is_kept"), [("2026.5.18", True), ("2026.9.6", False)])
def test_a_thread_that_an_explicit_route_left_behind(version: str, is_kept: bool) -> None:
    """5.18 keeps it beside the next person's address, and what is delivered to the row is lost."""
    world = shared(version)
    world.chat.person_writes(MAIN, "in a topic", by=ALICE, chat=Address("telegram", "telegram:1001", thread_id=11))
    world.advance(30)
    world.chat.person_writes(MAIN, "me again", by=BOB)
    world.advance(30)
    peer, _, _ = connect(world)
    route = {"channel": "telegram", "to": "1001", "threadId": "11", "deliver": True}
    call(peer, "agent", {"sessionKey": MAIN, "message": "go on", "idempotencyKey": "a", **route})
    world.advance(30)
    assert row_of(world, world.sessions[MAIN])["deliveryContext"]["threadId"] == "11"
    world.chat.person_writes(MAIN, "me once more", by=BOB)
    world.advance(30)
    context = row_of(world, world.sessions[MAIN])["deliveryContext"]
    assert ("threadId" in context) is is_kept
    world.heard.clear()
    call(peer, "agent", {"sessionKey": MAIN, "message": "go on", "idempotencyKey": "b", "deliver": True})
    world.advance(30)
    assert heard_at(world) == ([] if is_kept else ["1002"])


def test_restart_safe_tools_are_few() -> None:
    world = shared("2026.9.6")
    peer, _, _ = connect(world, scopes=["operator.write"])
    for number, flag in enumerate((False, True)):
        params = {"sessionKey": MAIN, "message": "go on", "idempotencyKey": str(number), "forceRestartSafeTools": flag}
        call(peer, "agent", params)
        world.advance(30)
    assert [made.tools for made in list(world.model_calls)[-2:]] == [EVERYBODY, RESTART_SAFE]


@pytest.mark.parametrize(("version", "can_exec"), [("2026.3.24", True), ("2026.5.18", True), ("2026.9.6", False)])
def test_rules_of_a_direct_chat_are_heeded_on_96_alone(version: str, can_exec: bool) -> None:
    world = shared(version)
    rule = {"toolsBySender": {"id:1001": {"deny": ["exec"]}}}
    world.config = {"channels": {"telegram": {"direct": {"1001": rule}}}}
    world.chat.person_writes(MAIN, "go on", by=ALICE)
    world.advance(30)
    assert ("exec" in world.model_calls[-1].tools) is can_exec


@pytest.mark.parametrize("version", VERSIONS)
def test_a_rule_for_everybody_holds_for_clients_too(version: str) -> None:
    world = shared(version, GROUP, GROUPS)
    groups = {"*": {"toolsBySender": {"*": {"deny": ["exec"]}, "id:1002": {}}, "tools": {"deny": ["write"]}}}
    world.config = {"channels": {"telegram": {"groups": groups, "botToken": "1:secret"}}}
    peer, _, _ = connect(world, scopes=["operator.read", "operator.write"])
    call(peer, "agent", {"sessionKey": GROUP, "message": "go on", "idempotencyKey": "a"})
    world.advance(30)
    assert world.model_calls[-1].tools == EVERYBODY - {"exec", "write"}
    world.chat.person_writes(GROUP, "hi", by=BOB)
    world.advance(30)
    assert world.model_calls[-1].tools == EVERYBODY - {"write"}
    drain(peer)
    said = call(peer, "config.get")["payload"]["parsed"]["channels"]["telegram"]
    assert (said["groups"], said["botToken"], said["allowFrom"]) == (groups, "__OPENCLAW_REDACTED__", ["*"])


def test_a_named_owner_has_the_owners_tools() -> None:
    world = shared("2026.9.6")
    world.config = {"commands": {"ownerAllowFrom": ["telegram:1002"]}}
    for person in (ALICE, BOB):
        world.chat.person_writes(MAIN, "go on", by=person)
        world.advance(30)
    alices, bobs = list(world.model_calls)[-2:]
    assert bobs.tools - alices.tools == {"openclaw"}
    assert [message["__openclaw"]["senderIsOwner"] for message in users(world, MAIN)[-2:]] == [False, True]


def test_what_is_written_to_a_bot_that_is_away_is_read_when_it_is_back() -> None:
    world = shared("2026.5.18")
    world.chat.fail("telegram", ChannelOutage.UNREACHABLE)
    world.chat.person_writes(MAIN, "hello?", by=BOB)
    world.advance(60)
    assert heard_at(world) == []
    world.chat.restore("telegram")
    world.advance(30)
    assert heard_at(world) == ["1002"]


def test_a_bot_that_was_not_started_after_a_crash_loop() -> None:
    """9.6: the probe says nothing of it, ``running`` does."""
    world = shared("2026.9.6")
    world.chat.fail("telegram", ChannelOutage.SUPPRESSED)
    peer, _, _ = connect(world, scopes=["operator.read"])
    status = call(peer, "channels.status", {"probe": True})["payload"]
    account = status["channelAccounts"]["telegram"][0]
    assert (account["running"], account["lifecycle"], account["probe"]["ok"]) == (False, "stopped", True)
    assert "breaker tripped" in account["lastError"]


def test_a_literal_message_without_a_channel_goes_to_the_only_one() -> None:
    world = shared("2026.5.18")
    peer, _, _ = connect(world)
    params = {"to": "1001", "message": "x", "idempotencyKey": "a"}
    refused = call(peer, "send", params)
    assert "Channel is required" in refused["error"]["message"], "there are two: irc and telegram"
    world.channels = {"telegram"}
    assert call(peer, "send", params)["ok"]
    assert world.heard[-1].place == ChatPlace("telegram", "1001")


@pytest.mark.parametrize(
    ("route", "thread", "key"),
    [
        (Address("telegram", "telegram:-100500"), None, GROUP),
        (Address("telegram", "telegram:1001"), None, MAIN),
        (Address("telegram", "telegram:-100600", thread_id=11), 11, "agent:main:telegram:group:-100600:topic:11"),
        (Address("telegram", "telegram:-100600:topic:11"), 11, "agent:main:telegram:group:-100600:topic:11"),
    ],
)
def test_whose_transcript_a_literal_message_joins(route: Address, thread: int | None, key: str) -> None:
    world = make_world("2026.5.18")
    world.chat.join(GROUP, GROUPS)
    world.chat.join(MAIN, ALICES)
    world.chat.join("agent:main:telegram:group:-100600:topic:11", Address("telegram", "telegram:-100600", thread_id=11))
    for session in world.sessions:
        world.chat.person_writes(session, "hello")
    world.advance(60)
    assert route.place.thread == thread
    peer, _, _ = connect(world)
    params = {"channel": "telegram", "to": route.to, "message": "x", "idempotencyKey": "a"}
    call(peer, "send", params if route.thread_id is None else {**params, "threadId": str(route.thread_id)})
    drain(peer)
    mirrored = [session.key for session in world.sessions.values() if session.transcript[-1].kind.value == "mirror"]
    assert mirrored == [key]
