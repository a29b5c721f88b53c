"""Addresses of chats: which chat and thread one leads to, however gateways spell it."""

from __future__ import annotations

from watchdog.core.model import ReplyAddress

_TO_PREFIXES = ("channel:", "group:", "user:", "direct:", "dm:", "chat:")


def chat_of(address: ReplyAddress) -> tuple[str, str | None]:
    """(chat, thread) of an address, without the ways in which gateways spell them: ``telegram:-100600:topic:11``,
    ``channel:#g1``, ``irc:alice``; ``threadId`` may be a number or text."""
    chat, thread = address.to, address.thread_id
    prefixes = (f"{address.channel}:", *_TO_PREFIXES)
    while (
        prefix := next((one for one in prefixes if chat.startswith(one) and len(chat) > len(one)), None)
    ) is not None:
        chat = chat[len(prefix) :]
    stem, mark, topic = chat.rpartition(":topic:")
    if mark and topic.isdigit():
        chat, thread = stem, thread or topic
    return chat.lower(), thread


def same_chat(one: ReplyAddress, other: ReplyAddress) -> bool:
    """The same conversation of the same bot; its threads aside. An account that is not named is the only one."""
    return (
        one.channel == other.channel
        and chat_of(one)[0] == chat_of(other)[0]
        and (None in (one.account_id, other.account_id) or one.account_id == other.account_id)
    )


def same_thread(one: ReplyAddress, other: ReplyAddress) -> bool:
    return chat_of(one)[1] == chat_of(other)[1]


def is_same_place(one: ReplyAddress | None, other: ReplyAddress | None) -> bool:
    """Both lead to the same chat and thread, however they are spelt."""
    if one is None or other is None:
        return one is other
    return same_chat(one, other) and same_thread(one, other)


def is_chat_of(sender_id: str | None, chat: str) -> bool:
    """The id is this private chat's person; IRC: ``nick!user@host`` is the person of the chat ``nick``."""
    if sender_id is None:
        return False
    wanted = sender_id.lower()
    return wanted == chat.lower() or wanted.partition("!")[0] == chat.lower()
