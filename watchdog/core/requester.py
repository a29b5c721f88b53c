"""Who asked for the work that was cut, and where an answer of ours may go.

A deed speaks for somebody. It quotes and answers a request only to the person who made it, in the chat where they made it.
Limit: all of this rests on what the gateway says of each message (its sender, its session's key, who wrote last). What it
does not say is unknown, and then nothing is quoted and nothing is delivered. Text never counts: names and signatures are
typed by people. Shapes measured over Telegram and IRC on 2026.3.24, 5.18 and 9.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from watchdog.core.address import is_chat_of, is_same_place, same_chat, same_thread
from watchdog.core.model import (
    Asked,
    ChatAccount,
    Look,
    ReplyAddress,
    Sender,
    SenderKind,
    SenderRights,
    Session,
    SessionKind,
)
from watchdog.core.session_key import TELEGRAM, Peer, peer_of


class RequesterKind(StrEnum):
    """Whose request was cut."""

    PERSON = "person"
    SEVERAL = "several"
    """More than one asked since the last answer."""
    OPERATOR = "operator"
    """It came through a client of the gateway: the web page, a script, the CLI."""
    NOBODY = "nobody"
    """The gateway names nobody: the ``agent`` method, a cron job."""
    LOST = "lost"
    """Nothing of the request is left in the transcript."""
    UNKNOWN = "unknown"
    """The transcript could not be read."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asked, and where. ``route`` None: no chat of theirs is proven. ``message``: why, in one sentence."""

    kind: RequesterKind
    message: str
    sender: Sender | None = None
    route: ReplyAddress | None = None
    is_in_chat: bool = False
    """People read this session in a chat app, so an answer without a proven route could reach somebody else."""
    rights: SenderRights | None = None

    @property
    def has_no_chat(self) -> bool:
        """A session without a chat, asked by a client or by nobody: nothing is delivered anywhere, whoever resumes it."""
        return not self.is_in_chat and self.kind is not RequesterKind.PERSON


def requester_of(session: Session, look: Look) -> Requester:
    """Who asked for what is open in this session, and which chat of theirs is proven."""
    tail, peer = look.tail, peer_of(session.key)
    in_chat = peer is not None or session.reply_address is not None
    if tail is None:
        return Requester(RequesterKind.UNKNOWN, "The transcript could not be read.", is_in_chat=in_chat)
    senders = distinct_senders(tail.asked)
    if not senders:
        route = _key_route(session, peer, None, look.chat_accounts) if peer is not None else None
        return Requester(
            RequesterKind.LOST,
            "Nothing of the request is left in the transcript"
            + ("." if route is None else ", and only one chat leads to this session."),
            route=route,
            is_in_chat=in_chat,
        )
    is_private = peer is not None and peer.is_person
    # guard: requester: who asked first may have been somebody else
    if in_chat and not is_private and not tail.has_beginning:
        return Requester(RequesterKind.UNKNOWN, "The request began further back than is read.", is_in_chat=True)
    if len(senders) > 1:  # guard: requester: several are nobody
        return Requester(
            RequesterKind.SEVERAL, f"{len(senders)} senders asked since the last answer.", is_in_chat=in_chat
        )
    sender = senders[0]
    if sender.kind is SenderKind.OPERATOR:  # guard: requester: a client is no person
        return Requester(
            RequesterKind.OPERATOR, "The request came through a client of the gateway.", sender, is_in_chat=in_chat
        )
    if sender.kind is SenderKind.NOBODY or sender.id is None:
        return Requester(RequesterKind.NOBODY, "The gateway does not say who asked.", sender, is_in_chat=in_chat)
    route, why = _route(session, sender, peer, look.chat_accounts)
    rights = next((one for one in look.rights if one.sender_id == sender.id), None)
    return Requester(RequesterKind.PERSON, why, sender, route, is_in_chat=True, rights=rights)


def distinct_senders(asked: Sequence[Asked]) -> list[Sender]:
    """Each sender once, in the order in which they first asked."""
    found: list[Sender] = []
    for one in asked:
        if not any(one.sender.is_same(known) for known in found):
            found.append(one.sender)
    return found


# ---------------------------------------------------------------- which chat


def _route(
    session: Session, sender: Sender, peer: Peer | None, accounts: tuple[ChatAccount, ...] | None
) -> tuple[ReplyAddress | None, str]:
    if peer is not None:
        if peer.is_person and not is_chat_of(sender.id, peer.chat):  # guard: route: a private chat is its person's
            return None, "The session belongs to another person's chat than the one who asked."
        route = _key_route(session, peer, sender, accounts)
        if route is None:
            return None, "The session's key names its chat, and its row does not lead there."
        return route, "The session's key names the chat of the request."
    address = session.reply_address
    if sender.chat is not None:
        is_row = address is not None and is_same_place(sender.chat, address)
        return address if is_row else sender.chat, "The gateway's own transcript file names the chat they asked in."
    if (
        sender.channel == TELEGRAM
        and sender.id is not None
        # guard: route: a bot that is not named is one of several
        and (sender.account_id is not None or _is_one_bot(accounts))
    ):
        theirs = ReplyAddress(TELEGRAM, f"{TELEGRAM}:{sender.id}", sender.account_id)
        return _theirs_or_row(theirs, address), "The gateway says from which account and chat app they asked."
    if address is not None and _is_last_writer(session, sender):
        return address, "The one who asked is also the one who wrote last, and the row leads to them."
    # guard: route: a bare id is a chat for one Telegram bot alone
    only = accounts[0] if accounts is not None and len(accounts) == 1 else None
    is_telegram_alone = only is not None and only.channel == TELEGRAM and sender.channel in (None, TELEGRAM)
    if is_telegram_alone and only is not None and sender.id is not None and sender.id.isdigit():
        theirs = ReplyAddress(TELEGRAM, f"{TELEGRAM}:{sender.id}", only.account_id)
        return _theirs_or_row(theirs, address), "One Telegram bot is all that leads here, and their id is their chat."
    return None, "Which chat they asked in is not known: several chats lead to this session."


def _is_last_writer(session: Session, sender: Sender) -> bool:
    address = session.reply_address
    return (
        address is not None
        and session.last_writer is not None
        and session.last_writer == sender.id  # guard: route: the row's address is the last writer's
        and sender.channel in (None, address.channel)
        and sender.account_id in (None, address.account_id)
    )


def _theirs_or_row(theirs: ReplyAddress, row: ReplyAddress | None) -> ReplyAddress:
    """The row's own address where it is the same chat: with its thread, and in its own spelling. 2026.5.18 and 9.6 would
    keep a thread that the row has not."""
    if row is not None and same_chat(theirs, row) and theirs.account_id in (None, row.account_id):
        return row
    return theirs


def _key_route(
    session: Session, peer: Peer, sender: Sender | None, accounts: tuple[ChatAccount, ...] | None
) -> ReplyAddress | None:
    """The chat that the key names, as the row spells it; for Telegram also where the row leads elsewhere, but for a key
    without an account on a gateway of several bots: which of them it belongs to depends on the bindings (2026.5.18, 9.6)."""
    named = ReplyAddress(peer.channel, f"{peer.channel}:{peer.chat}", peer.account_id, peer.thread_id)
    address = session.reply_address
    # A private chat's key names no topic of it (2026.5.18).
    any_thread = peer.is_person and peer.thread_id is None
    if address is not None and same_chat(named, address) and (any_thread or same_thread(named, address)):
        return address
    if peer.channel != TELEGRAM:
        return None
    if named.account_id is None and sender is not None and sender.account_id is not None:
        return replace(named, account_id=sender.account_id)
    return named if named.account_id is not None or accounts is None or _is_one_bot(accounts) else None


def _is_one_bot(accounts: tuple[ChatAccount, ...] | None) -> bool:
    """No second Telegram bot could be the one that was written to. Accounts that could not be read say nothing."""
    return accounts is not None and sum(one.channel == TELEGRAM for one in accounts) <= 1


def is_waiting_elsewhere(session: Session, requester: Requester) -> bool:
    """Somebody wrote last from another chat than the requester's."""
    route = requester.route
    return route is not None and session.reply_address is not None and not same_chat(route, session.reply_address)


def quoted_as(requester: Requester, session: Session) -> Sender | None:
    """Whose words a quote is, where a session has several people; None: nobody else can be meant."""
    sender = requester.sender
    if requester.kind is not RequesterKind.PERSON or sender is None:
        return None
    return replace(sender) if session.kind in (SessionKind.GROUP, SessionKind.MAIN) else None
