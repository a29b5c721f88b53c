"""In which private chat a person asked, out of the gateway's own transcript file (2026.5.18).

There, and nowhere else, the prompt of a chat app's message keeps the block that the gateway puts before the words:

    Conversation info (untrusted metadata):
    ```json
    {"chat_id": "telegram:1001", "sender_id": "1001", "topic_id": "77", ...}

What a person types stands after that block, whatever it looks like, so only what begins the text is read. And it is believed
only of a chat that bears the sender's own id, so that nobody's words could be led to another one's chat by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from watchdog.core.address import chat_of, is_chat_of
from watchdog.core.model import Asked, ChatAccount, ReplyAddress, SenderKind
from watchdog.gateway.wire.decoder import Undecodable, decode
from watchdog.gateway.wire.timestamps import Millis, instant

_HEAD, _END = "Conversation info (untrusted metadata):\n```json\n", "\n```"


class _Message(msgspec.Struct):
    role: str = ""
    content: Any = None
    timestamp: Millis = None


class _Entry(msgspec.Struct):
    message: _Message | None = None


class _Info(msgspec.Struct):
    chat_id: str
    sender_id: str
    topic_id: str | int | None = None


_entry_decoder = msgspec.json.Decoder(_Entry)
_info_decoder = msgspec.json.Decoder(_Info)


def with_chats(asked: Sequence[Asked], file_end: bytes, accounts: Sequence[ChatAccount]) -> tuple[Asked, ...]:
    """The same messages; their senders with chat app, account and chat where the file says in which one chat all of them
    were written, and that chat app has one account. Otherwise as they were."""
    written = _chats_in(file_end)
    chats = [written.get((one.at, one.sender.id)) for one in asked if one.sender.kind is SenderKind.PERSON]
    chat = chats[0] if chats else None
    if chat is None or any(one != chat for one in chats):
        return tuple(asked)
    mine = [one for one in accounts if one.channel == chat.channel]
    if len(mine) != 1:  # guard: asked in: which of several bots is not known
        return tuple(asked)
    route = replace(chat, account_id=mine[0].account_id)
    return tuple(
        replace(one, sender=replace(one.sender, channel=route.channel, account_id=route.account_id, chat=route))
        if one.sender.kind is SenderKind.PERSON
        else one
        for one in asked
    )


def _chats_in(file_end: bytes) -> dict[tuple[datetime | None, str | None], ReplyAddress | None]:
    """(instant, sender id) of each message of a person -> their private chat; None where two lines disagree."""
    found: dict[tuple[datetime | None, str | None], ReplyAddress | None] = {}
    for line in file_end.splitlines():
        try:
            message = decode(_entry_decoder, line).message
            info = _info_of(message) if message is not None and message.role == "user" else None
        except Undecodable:
            continue
        if message is None or info is None:
            continue
        channel, _, _ = info.chat_id.partition(":")
        thread = str(info.topic_id) if info.topic_id is not None else None
        chat = ReplyAddress(channel, info.chat_id, None, thread)
        # guard: asked in: a chat bears its person's id
        known = chat if is_chat_of(info.sender_id, chat_of(chat)[0]) else None
        place = (instant(message.timestamp), info.sender_id)
        found[place] = known if found.get(place, known) == known else None
    return found


def _info_of(message: _Message) -> _Info | None:
    text = message.content if isinstance(message.content, str) else _first_text(message.content)
    before, _, info = text.partition(_HEAD)
    if before:  # guard: asked in: only what begins the text is the gateway's own
        return None
    block, end, _ = info.partition(_END)
    return decode(_info_decoder, block.encode()) if end else None


def _first_text(content: object) -> str:
    first = content[0] if isinstance(content, list) and content else None
    text = first.get("text") if isinstance(first, dict) else None
    return text if isinstance(text, str) else ""
