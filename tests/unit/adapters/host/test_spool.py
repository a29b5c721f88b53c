"""What a chat app's spool still holds: the gateway takes it up by itself (2026.5.18, Telegram)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from watchdog.adapters.host import LocalHost
from watchdog.core.model import ReplyAddress

ALICE = ReplyAddress("telegram", "telegram:1001", "default")
GROUP = ReplyAddress("telegram", "telegram:-100600:topic:11", "default", "11")


def _spool(root: Path, content: object, *, account: str = "default", name: str = "000000042.json.processing") -> Path:
    folder = root / "telegram" / f"ingress-spool-{account}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def _update(chat: object) -> object:
    return {"updateId": 42, "update": {"update_id": 42, "message": {"chat": {"id": chat}, "text": "hello"}}}


@pytest.mark.parametrize("name", ["000000042.json", "000000042.json.processing"])
def test_a_message_of_this_chat_waits(tmp_path: Path, host: LocalHost, name: str) -> None:
    _spool(tmp_path, _update(1001), name=name)
    assert host.has_spooled(tmp_path, ALICE)
    assert not host.has_spooled(tmp_path, GROUP)


def test_a_groups_is_known_by_its_chat_whatever_the_topic(tmp_path: Path, host: LocalHost) -> None:
    _spool(tmp_path, _update(-100600))
    assert host.has_spooled(tmp_path, GROUP)
    assert not host.has_spooled(tmp_path, ALICE)


@pytest.mark.parametrize(
    "update",
    [
        {"update": {"edited_message": {"chat": {"id": 1001}}}},
        {"update": {"callback_query": {"message": {"chat": {"id": "1001"}}}}},
        [{"message": {"chat": {"id": 1001}}}],
    ],
)
def test_however_deep_the_chat_lies(tmp_path: Path, host: LocalHost, update: object) -> None:
    _spool(tmp_path, update)
    assert host.has_spooled(tmp_path, ALICE)


def test_another_bots_spool_does_not_count_where_the_account_is_known(tmp_path: Path, host: LocalHost) -> None:
    _spool(tmp_path, _update(1001), account="second")
    assert not host.has_spooled(tmp_path, ALICE)
    assert host.has_spooled(tmp_path, ReplyAddress("telegram", "1001", "second"))
    assert host.has_spooled(tmp_path, ReplyAddress("telegram", "1001", None)), "any of them may be the one"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_cannot_be_read_may_be_this_chats(tmp_path: Path, host: LocalHost, content: bytes) -> None:
    _spool(tmp_path, content)
    assert host.has_spooled(tmp_path, ALICE)


@pytest.mark.parametrize("update", [{}, [], 7, {"chat": 1001}, {"chat": {}}, {"from": {"id": 1001}}])
def test_what_names_another_chat_or_none_is_not_this_chats(tmp_path: Path, host: LocalHost, update: object) -> None:
    _spool(tmp_path, update)
    assert not host.has_spooled(tmp_path, ALICE)


def test_without_a_spool_nothing_waits(tmp_path: Path, host: LocalHost) -> None:
    assert not host.has_spooled(tmp_path, ALICE)
    assert not host.has_spooled(tmp_path / "nowhere", ALICE)
    _spool(tmp_path, _update(1001), name="offset.txt")
    assert not host.has_spooled(tmp_path, ALICE)


@pytest.mark.parametrize(
    "address",
    [
        ReplyAddress("telegram", "1001", "**x"),
        ReplyAddress("telegram", "1001", "*"),
        ReplyAddress("telegram", "1001", "second/../ingress-spool-default"),
        ReplyAddress("telegram", "1001", "\0"),
        ReplyAddress("../telegram", "1001", "default"),
        ReplyAddress("..", "1001", None),
        ReplyAddress("\0", "1001", None),
        ReplyAddress("half \ud83d", "1001", "half \ud83d"),
        ReplyAddress("x" * 5000, "1001", "x" * 5000),
    ],
)
def test_a_channel_and_an_account_are_names_and_lead_nowhere_else(
    tmp_path: Path, host: LocalHost, address: ReplyAddress
) -> None:
    """They come from the gateway; ``**x`` made the glob raise, which ended every watch."""
    _spool(tmp_path / "state", _update(1001))
    _spool(tmp_path, _update(1001))
    assert not host.has_spooled(tmp_path / "state", address)


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path, host: LocalHost) -> None:
    folder = tmp_path / "telegram" / "ingress-spool-default"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "000000042.json")
    assert host.has_spooled(tmp_path, ALICE), "nobody knows what is in it"
