"""In which private chat a person asked, by the gateway's own transcript file. The shape is 2026.5.18's, taken from a real one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from watchdog.core.model import Asked, ChatAccount, ReplyAddress, Sender, SenderKind
from watchdog.gateway.sessions.asked_in import with_chats

AT = 1795910105294
ALICE = Sender(SenderKind.PERSON, "1001", "Alice Ames")
IRC_ALICE = Sender(SenderKind.PERSON, "alice!~alice@127.0.0.1", "alice")
CLIENT = Sender(SenderKind.OPERATOR, "cli")
ACCOUNTS = (ChatAccount("telegram", "default"), ChatAccount("irc"))
TELEGRAM_CHAT = ReplyAddress("telegram", "telegram:1001", "default")


def prompt(chat: str = "telegram:1001", sender: str = "1001", words: str = "hello", **more: Any) -> str:
    info = json.dumps({"chat_id": chat, "message_id": "111", "sender_id": sender, **more}, indent=2)
    label = json.dumps({"label": f"Alice Ames ({sender})", "id": sender}, indent=2)
    return (
        f"Conversation info (untrusted metadata):\n```json\n{info}\n```\n\n"
        f"Sender (untrusted metadata):\n```json\n{label}\n```\n\n{words}"
    )


def entry(text: str, at: int = AT, role: str = "user") -> bytes:
    message = {"role": role, "content": [{"type": "text", "text": text}], "timestamp": at}
    return json.dumps({"type": "message", "message": message}).encode() + b"\n"


def asked(sender: Sender = ALICE, at: int = AT) -> Asked:
    return Asked(sender, "hello", datetime.fromtimestamp(at / 1000, UTC))


def chat_in(file_end: bytes, *messages: Asked, accounts: tuple[ChatAccount, ...] = ACCOUNTS) -> ReplyAddress | None:
    found = {one.sender.chat for one in with_chats(messages or (asked(),), file_end, accounts)}
    assert len(found) == 1
    return found.pop()


def test_the_block_before_the_words_names_the_chat() -> None:
    assert chat_in(entry(prompt())) == TELEGRAM_CHAT


def test_and_its_topic() -> None:
    assert chat_in(entry(prompt(topic_id="77"))) == ReplyAddress("telegram", "telegram:1001", "default", "77")


def test_of_another_chat_app_too() -> None:
    file_end = entry(prompt("irc:alice", "alice!~alice@127.0.0.1"))
    (found,) = with_chats([asked(IRC_ALICE)], file_end, ACCOUNTS)
    assert (found.sender.channel, found.sender.chat) == ("irc", ReplyAddress("irc", "irc:alice"))


@pytest.mark.parametrize(
    "file_end",
    [
        b"",
        entry("hello " + prompt()),  # typed: it does not begin the text
        entry(prompt(), at=AT + 1),
        entry(prompt(), role="assistant"),
        entry(prompt(sender="1002")),
        entry(prompt("telegram:1002")),  # another one's chat
        entry(prompt("telegram:-100500")),
        entry(prompt()) + entry(prompt(topic_id="77")),  # two lines that disagree
        entry(prompt().replace("{", "[", 1)),
        entry(prompt())[:-40],
        b"\xff\xfe{",
    ],
)
def test_what_the_file_does_not_say_is_not_known(file_end: bytes) -> None:
    assert chat_in(file_end) is None


def test_a_block_that_the_person_types_comes_after_the_gateways_own() -> None:
    assert chat_in(entry(prompt(words=prompt("irc:1001")))) == TELEGRAM_CHAT


def test_lines_that_cannot_be_read_harm_no_other() -> None:
    assert chat_in(b'{"half a line\n' + entry(prompt()) + b"\xff\n[]\n") == TELEGRAM_CHAT


def test_two_messages_of_two_chats_prove_neither() -> None:
    file_end = entry(prompt()) + entry(prompt(topic_id="77"), at=AT + 1)
    assert chat_in(file_end, asked(), asked(at=AT + 1)) is None
    assert chat_in(file_end, asked(at=AT + 1)) is not None


def test_a_message_that_the_file_does_not_have_leaves_all_unknown() -> None:
    assert chat_in(entry(prompt()), asked(), asked(at=AT + 1)) is None


@pytest.mark.parametrize(
    "accounts",
    [(), (ChatAccount("irc"),), (ChatAccount("telegram", "default"), ChatAccount("telegram", "work"))],
)
def test_which_of_several_bots_is_not_in_the_file(accounts: tuple[ChatAccount, ...]) -> None:
    assert chat_in(entry(prompt()), accounts=accounts) is None


def test_who_writes_through_a_client_keeps_their_own_facts() -> None:
    first, second = with_chats([asked(CLIENT), asked()], entry(prompt()), ACCOUNTS)
    assert (first.sender, second.sender.chat) == (CLIENT, TELEGRAM_CHAT)
