"""Which requests carry out a step on which version, so that the answer reaches the requester and nobody else; and each of
them sent once, over the link that was opened for it.

Invariant: a request that does something is never sent twice; an unclear outcome is the caller's to settle by looking.

Measured with real chat channels (IRC and Telegram) on 2026.3.24, 5.18 and 9.6:

- The row's address is the last writer's. ``agent`` with ``channel``, ``to``, ``accountId`` and ``threadId`` speaks in the chat
  that it names, needs ``operator.write`` alone, and leaves the row's address as it was, unless it names a thread that the
  row has not (5.18 and 9.6 keep that one): so a route never names a thread but the row's own (``core.requester``). Where it
  names none, 5.18 adds the row's, which may be the topic of whoever wrote before: then it is told that there is none.
- Up to 5.18 ``chat.send deliver:true`` cures the row as well, where the row's address is the requester's and the session's
  key names the chat. ``agent`` on 3.24 leaves the row ``running`` and writes ``endedAt``, which counts as ended.
- ``sessions.send`` answers into the void everywhere; on a row that refuses its people's messages (8.2, 9.6) it is refused
  itself, before a model is called, and frees the row by that.
- ``sessions.reset`` keeps the address everywhere and clears the row, without a model call and without a word in the chat.
- ``send`` says its text literally, without a model. It wants ``threadId`` as text.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import msgspec

from watchdog.core.address import chat_of, is_same_place, same_chat
from watchdog.core.model import ReplyAddress, Session
from watchdog.core.policy import Step
from watchdog.core.session_key import TELEGRAM, names_its_chat
from watchdog.gateway.capabilities import (
    FIRST_RESUMED_BY_AGENT,
    FIRST_WITH_SERVER_FENCE,
    LAST_KEEPING_REFUSED_MESSAGES,
    Version,
    adds_threads,
)
from watchdog.gateway.wire.answers import decoded
from watchdog.gateway.wire.connection import Link
from watchdog.service import errors
from watchdog.service.ports import Clock, Deed, Receipt

TELLING_TRIES, TELLING_PAUSE = 3, 3.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a deed. ``is_telling``: it only tells the person; its failure does not undo the deed."""

    method: str
    params: dict[str, Any]
    is_telling: bool = False


def requests_for(deed: Deed, version: Version | None) -> tuple[Request, ...]:
    """The requests of one deed, in order. Raises ``ValueError`` for NOTIFY, which asks nothing of a gateway, and for an ASK
    without a chat to ask in."""
    key = deed.session.key
    if deed.step is Step.RESUME:
        return (_resume(deed, version),)
    if deed.step is Step.ASK:
        if deed.route is None:
            raise ValueError("ask needs the requester's own chat")
        return (Request("send", _literal(deed, deed.route, deed.message or "", deed.idempotency_key)),)
    if deed.step is Step.FREE:
        message = {"key": key, "message": deed.message or "", "idempotencyKey": deed.idempotency_key}
        return (Request("sessions.send", message),)
    if deed.step in (Step.NEW, Step.RESET):
        params: dict[str, Any] = {"key": key, "reason": "new" if deed.step is Step.NEW else "reset"}
        if version is not None and version >= FIRST_WITH_SERVER_FENCE and deed.session.session_id:
            params["expectedSessionId"] = deed.session.session_id
        reset = Request("sessions.reset", params)
        if deed.notice and deed.route is not None:
            notice = _literal(deed, deed.route, deed.notice, f"{deed.idempotency_key}-notice")
            return reset, Request("send", notice, is_telling=True)
        return (reset,)
    if deed.step is Step.RECOVER:
        return (Request("sessions.recover", {"key": key}),)
    if deed.step is Step.ABORT:
        return (Request("sessions.abort", {"key": key}),)
    raise ValueError(f"{deed.step.value} asks nothing of a gateway")


def _resume(deed: Deed, version: Version | None) -> Request:
    """A turn whose answer goes to the requester's chat, when there is one."""
    params: dict[str, Any] = {
        "sessionKey": deed.session.key,
        "message": deed.message or "",
        "idempotencyKey": deed.idempotency_key,
    }
    resumes_by_agent = version is not None and version >= FIRST_RESUMED_BY_AGENT
    if deed.route is None:
        return Request("agent" if resumes_by_agent else "chat.send", params)
    params["deliver"] = True
    if not resumes_by_agent and _is_rows_own(deed, deed.route):
        return Request("chat.send", params)
    # Without it 9.6 refuses the turn when the chat app is down, and the session stays stuck for that.
    params |= {"bestEffortDeliver": True, **_place(deed.route)}
    if version is not None and adds_threads(version) and _has_stale_thread(deed.session, deed.route):
        params["threadId"] = NO_THREAD
    return Request("agent", params)


NO_THREAD = "0"
"""Spoken in the chat itself, and the row's address stays as it was (2026.5.18; nothing, "" and "1" do not do that)."""


def _has_stale_thread(session: Session, route: ReplyAddress) -> bool:
    """The row names a thread of this very chat, and the requester did not ask in it."""
    row = session.reply_address
    is_telegram = route.channel == TELEGRAM and row is not None and same_chat(route, row)
    return is_telegram and chat_of(route)[1] is None and row is not None and chat_of(row)[1] is not None


def _is_rows_own(deed: Deed, route: ReplyAddress) -> bool:
    """``chat.send`` speaks to the row's address, and only where the session's key itself names the chat (its rule in the
    source of 2026.3.24 to 9.6)."""
    return names_its_chat(deed.session.key) and is_same_place(route, deed.session.reply_address)


def _place(route: ReplyAddress) -> dict[str, str]:
    found = {"channel": route.channel, "to": route.to}
    if route.account_id:
        found["accountId"] = route.account_id
    if route.thread_id:
        found["threadId"] = route.thread_id
    return found


def _literal(deed: Deed, route: ReplyAddress, text: str, idempotency_key: str) -> dict[str, Any]:
    return {
        **_place(route),
        "message": text,
        "idempotencyKey": idempotency_key,
        "sessionKey": deed.session.key,
    }


class _Continuation(msgspec.Struct, rename="camel"):
    run_id: str | None = None


class _RunAnswer(msgspec.Struct, rename="camel"):
    run_id: str | None = None
    status: str | None = None
    continuation: _Continuation | None = None
    """Of ``sessions.recover`` (2026.8.2, 9.6): the id of its run ends with that of the session in which it goes on."""


async def send(link: Link, deed: Deed, version: Version | None, *, clock: Clock, patience: float) -> Receipt:
    """Do it. ``patience``: seconds for each answer. Raises what ``Link.call`` raises, but not for a mere telling."""
    run_id: str | None = None
    delivered: bool | None = None
    said: list[str] = []
    for request in requests_for(deed, version):
        try:
            payload = await _call(link, request, clock, patience)
        except errors.GatewayError as problem:
            if not request.is_telling:
                if deed.step is Step.ASK and _may_still_be_sent(problem, version):
                    raise errors.OutcomeUnknown(f"{problem} It may be sent at the gateway's next start.") from problem
                raise
            said.append(f"not told: {problem}")
            delivered = None if isinstance(problem, errors.OutcomeUnknown) else False
            continue
        if request.method == "send":
            delivered = True
        with contextlib.suppress(errors.AnswerUnreadable):  # it was taken, whatever its answer looks like
            answer = decoded(payload, _RunAnswer, request.method)
            began = answer.continuation.run_id if answer.continuation is not None else answer.run_id
            run_id = run_id or (None if request.is_telling else began)
            said.append(f"{request.method}: {answer.status or 'ok'}")
    return Receipt(run_id, "; ".join(said), delivered)


def _may_still_be_sent(problem: errors.GatewayError, version: Version | None) -> bool:
    was_taken = isinstance(problem, errors.RequestRefused) and problem.code == "UNAVAILABLE"
    return was_taken and (version is None or version <= LAST_KEEPING_REFUSED_MESSAGES)


async def _call(link: Link, request: Request, clock: Clock, patience: float) -> msgspec.Raw:
    """Once; a mere telling that the chat app refuses for a moment is repeated under the same idempotency key
    (IRC: "Nickname already in use" while the previous short connection is still there, 3.24)."""
    tries = TELLING_TRIES if request.is_telling else 1
    for left in range(tries - 1, -1, -1):
        try:
            return await link.call(request.method, request.params, patience=patience)
        except errors.RequestRefused as refused:
            if not left or not refused.retryable:
                raise
        await clock.sleep(TELLING_PAUSE)
    raise AssertionError("unreachable")
