"""Who may do what, out of a gateway's configuration: where rules by sender stand, whom they name, who is the owner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from watchdog.core.model import ChatAccount, ReplyAddress, Sender, SenderKind, Session, SessionKind, Status
from watchdog.gateway.capabilities import Version
from watchdog.gateway.sessions.sender_rules import chat_accounts, config_of, rights_of

V324, V518, V96 = (2026, 3, 24), (2026, 5, 18), (2026, 9, 6)
VERSIONS: list[Version | None] = [V324, V518, V96, None]
GROUP = Session(
    "agent:main:telegram:group:-100600:topic:11",
    Status.RUNNING,
    kind=SessionKind.GROUP,
    agent_id="main",
    reply_address=ReplyAddress("telegram", "telegram:-100600:topic:11", "default", "11"),
)
MAIN = Session("agent:main:main", Status.RUNNING, kind=SessionKind.MAIN, agent_id="main")
ALICE = Sender(SenderKind.PERSON, "1001", "Alice")
RULE = {"toolsBySender": {"id:1001": {"deny": ["exec"]}}}


def _has_rules(config: dict[str, Any], session: Session = GROUP, sender: Sender = ALICE) -> bool:
    found = rights_of(config, session, sender, V518)
    assert found.sender_id == sender.id
    assert found.has_own_rules is not None
    return found.has_own_rules


# ---------------------------------------------------------------- where a rule stands


PLACES: dict[str, dict[str, Any]] = {
    "tools": {"tools": RULE},
    "below tools": {"tools": {"exec": RULE}},
    "every agent": {"agents": {"defaults": {"tools": RULE}}},
    "this agent, in a list": {"agents": {"list": [{"id": "other"}, {"id": "main", "tools": RULE}]}},
    "an agent without an id": {"agents": {"list": [{"tools": RULE}]}},
    "this agent, spelt otherwise": {"agents": {"list": [{"id": "Main ", "tools": RULE}]}},
    "this agent, by name (8.2)": {"agents": {"entries": {"main": {"tools": RULE}}}},
    "the chat app": {"channels": {"telegram": RULE}},
    "an account of it": {"channels": {"telegram": {"accounts": {"second": RULE}}}},
    "the group": {"channels": {"telegram": {"groups": {"-100600": RULE}}}},
    "every group": {"channels": {"telegram": {"groups": {"*": RULE}}}},
    "the group of an account": {"channels": {"telegram": {"accounts": {"second": {"groups": {"-100600": RULE}}}}}},
    "the topic": {"channels": {"telegram": {"groups": {"-100600": {"topics": {"11": RULE}}}}}},
    "every topic": {"channels": {"telegram": {"groups": {"-100600": {"topics": {"*": RULE}}}}}},
    "their private chat": {"channels": {"telegram": {"direct": {"1001": RULE}}}},
    "all chat apps": {"channels": {"defaults": RULE}},
}


@pytest.mark.parametrize("config", PLACES.values(), ids=PLACES)
def test_a_rule_is_found_wherever_it_stands(config: dict[str, Any]) -> None:
    assert _has_rules(config)


ELSEWHERE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "another group": {"channels": {"telegram": {"groups": {"-100700": RULE}}}},
    "another topic": {"channels": {"telegram": {"groups": {"-100600": {"topics": {"12": RULE}}}}}},
    "another's private chat": {"channels": {"telegram": {"direct": {"1002": RULE}}}},
    "another chat app": {"channels": {"irc": RULE}},
    "another agent": {"agents": {"list": [{"id": "other", "tools": RULE}], "entries": {"other": {"tools": RULE}}}},
    "another place that is not about tools": {"hooks": RULE},
}


@pytest.mark.parametrize("config", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_rule_for_others_does_not_count(config: dict[str, Any]) -> None:
    assert not _has_rules(config)


def test_where_the_chat_app_is_not_known_every_chat_apps_rules_may_apply() -> None:
    """A main session of 2026.3.24, whose row leads nowhere."""
    config = {"channels": {"irc": RULE}}
    assert _has_rules(config, MAIN)
    assert not _has_rules(config, MAIN, replace(ALICE, channel="telegram"))


@pytest.mark.parametrize(
    "discord",
    [
        {"guilds": {"9001": RULE}},  # the session's key names the channel, not its guild
        {"guilds": {"9001": {"channels": {"general": RULE}}}},  # by name
        {"groups": {"#general": RULE}},
    ],
)
def test_where_chats_go_by_other_names_every_chats_rules_may_apply(discord: dict[str, Any]) -> None:
    session = Session("agent:main:discord:channel:7001", Status.RUNNING, agent_id="main")
    assert _has_rules({"channels": {"discord": discord}}, session)
    assert not _has_rules({"channels": {"discord": {"guilds": {"9001": {"toolsBySender": {"*": {}}}}}}}, session)


def test_where_the_agent_is_not_known_every_agents_rules_may_apply() -> None:
    config = {"agents": {"list": [{"id": "other", "tools": RULE}]}}
    assert _has_rules(config, replace(MAIN, agent_id=None))


# ---------------------------------------------------------------- whom a rule names


@pytest.mark.parametrize(
    ("key", "may_apply"),
    [
        ("*", False),  # everybody alike, and a turn of ours, too (measured)
        ("1001", True),
        ("id:1001", True),
        (" ID:1001 ", True),
        ("1002", False),
        ("id:1002", False),
        ("channel:telegram:1001", True),
        ("channel:telegram:1002", False),
        ("channel:irc:1001", False),
        ("username:alice", True),  # cannot be excluded by an id
        ("name:Alice", True),
        ("e164:+15550001", True),
        ("@alice", True),
        ("", True),
    ],
)
def test_a_key_that_may_name_the_sender_counts(key: str, may_apply: bool) -> None:
    assert _has_rules({"tools": {"toolsBySender": {key: {"deny": ["exec"]}}}}) is may_apply
    assert _has_rules({"tools": {"toolsBySender": {"id:1002": {}, "*": {}, key: {}}}}) is may_apply


def test_a_chat_apps_own_id_is_compared_whole() -> None:
    sender = Sender(SenderKind.PERSON, "Alice!~alice@host", channel="irc")
    session = Session("agent:main:irc:group:#g1", Status.RUNNING, agent_id="main")
    assert _has_rules({"tools": {"toolsBySender": {"channel:irc:alice!~alice@host": {}}}}, session, sender)
    assert not _has_rules({"tools": {"toolsBySender": {"channel:irc:bob!~bob@host": {}}}}, session, sender)


@pytest.mark.parametrize("broken", [None, 7, "text", [], {"toolsBySender": 7}, {"toolsBySender": ["1001"]}])
def test_what_is_no_rule_is_none(broken: object) -> None:
    config = {"tools": broken, "agents": broken, "channels": {"telegram": broken}, "commands": broken}
    assert not _has_rules(config)


def test_a_configuration_without_an_end_is_read_to_a_depth() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    assert not _has_rules({"tools": endless})


# ---------------------------------------------------------------- who is the owner


def _is_owner(config: dict[str, Any], version: Version | None, sender: Sender = ALICE, session: Session = GROUP) -> Any:
    return rights_of(config, session, sender, version).is_owner


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("names", "is_owner"),
    [
        (["1001"], True),
        ([1001], True),
        (["telegram:1001"], True),
        (["Telegram:1001"], True),
        (["1002", "1001"], True),
        (["1002"], False),
        (["irc:1001"], False),
    ],
)
def test_an_owner_by_name(names: list[str | int], is_owner: bool, version: Version | None) -> None:
    assert _is_owner({"commands": {"ownerAllowFrom": names}}, version) is is_owner


@pytest.mark.parametrize("version", [V324, V518])
@pytest.mark.parametrize(
    ("telegram", "is_owner"),
    [
        ({"allowFrom": ["1001"]}, True),
        ({"allowFrom": [1001, 1002]}, True),
        ({"allowFrom": ["telegram:1001"]}, True),
        ({"allowFrom": ["1002"]}, False),
        ({"allowFrom": ["1001", "*"]}, False),
        ({"allowFrom": []}, False),
        ({}, False),
        ({"accounts": {"second": {"allowFrom": ["1001"]}}}, True),
        # Which of the accounts was written to is not said: an owner of one only is no proven owner.
        ({"allowFrom": ["1001"], "accounts": {"second": {"allowFrom": ["*"]}}}, False),
        ({"allowFrom": ["1001"], "accounts": {"second": {"allowFrom": ["1002"]}}}, False),
    ],
)
def test_before_2026_9_a_channels_allow_list_makes_owners(
    telegram: dict[str, Any], is_owner: bool, version: Version
) -> None:
    assert _is_owner({"channels": {"telegram": telegram}}, version) is is_owner


@pytest.mark.parametrize("version", [V96, None])
def test_later_or_on_an_unknown_version_it_does_not(version: Version | None) -> None:
    assert _is_owner({"channels": {"telegram": {"allowFrom": ["1001"]}}}, version) is False


def test_a_named_owner_is_the_only_one() -> None:
    config = {"commands": {"ownerAllowFrom": ["1002"]}, "channels": {"telegram": {"allowFrom": ["1001"]}}}
    assert _is_owner(config, V324) is False


def test_the_allow_list_of_another_chat_app_makes_nobody_an_owner_here() -> None:
    assert _is_owner({"channels": {"irc": {"allowFrom": ["1001"]}}}, V324) is False
    assert _is_owner({"channels": {"telegram": {"allowFrom": ["1001"]}}}, V324, session=MAIN) is False, (
        "not known which"
    )


@pytest.mark.parametrize("said", [True, False])
def test_what_the_gateway_says_of_the_message_itself_counts_first(said: bool) -> None:
    config = {"commands": {"ownerAllowFrom": ["1002" if said else "1001"]}}
    assert _is_owner(config, V96, replace(ALICE, is_owner=said)) is said


# ---------------------------------------------------------------- accounts


@pytest.mark.parametrize(
    ("channels", "accounts"),
    [
        ({}, []),
        ({"telegram": {"botToken": "t"}}, [("telegram", None)]),
        ({"telegram": {"enabled": True}}, [("telegram", None)]),
        ({"telegram": {"botToken": "t", "enabled": False}}, []),
        ({"telegram": {"accounts": {"a": {}, "b": {}}}}, [("telegram", "a"), ("telegram", "b")]),
        ({"telegram": {"accounts": {"a": {}, "b": {"enabled": False}}}}, [("telegram", "a")]),
        # A token beside the accounts is one more bot.
        ({"telegram": {"botToken": "t", "accounts": {"a": {}}}}, [("telegram", None), ("telegram", "a")]),
        ({"telegram": {"tokenFile": "/t", "accounts": {"a": {}}}}, [("telegram", None), ("telegram", "a")]),
        ({"telegram": {"botToken": "t", "accounts": {"default": {}}}}, [("telegram", None)]),
        ({"telegram": {"botToken": "t"}, "irc": {"host": "h"}}, [("telegram", None), ("irc", None)]),
        ({"defaults": {"groupPolicy": "open"}, "modelByChannel": {"telegram": {}}}, []),
        ({"telegram": 7}, []),
    ],
)
def test_which_accounts_of_chat_apps_there_are(
    channels: dict[str, Any], accounts: list[tuple[str, str | None]]
) -> None:
    assert chat_accounts({"channels": channels}) == tuple(ChatAccount(*one) for one in accounts)


@pytest.mark.parametrize(
    ("answer", "config"),
    [
        ({"config": {"a": 1}, "parsed": {"b": 1}}, {"a": 1}),
        ({"parsed": {"b": 1}}, {"b": 1}),
        ({"config": {}, "parsed": {"b": 1}}, {}),
        ({"config": None, "parsed": {"b": 1}}, {"b": 1}),
        ({"raw": "{}"}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_the_configuration_in_force_counts_before_the_one_in_the_file(answer: object, config: object) -> None:
    assert config_of(answer) == config
