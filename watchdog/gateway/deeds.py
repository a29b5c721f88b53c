"""Which requests carry out a step on which version, so that the answer reaches the person and their address survives.

Measured with a real chat channel (IRC) on 2026.3.24, 5.18 and 9.6:

- ``sessions.send`` answers into the void everywhere, and ``sessions.send "/new"`` destroys the reply address.
- up to 5.18 ``chat.send deliver:true`` is heard and cures the row; the main session's chat app is reached only by the
  client ``cli``. ``agent`` on 3.24 is heard but leaves the row running.
- on 9.6 a lock-made stuck row fails the first ``chat.send``; ``agent deliver:true`` runs, is heard and cures.
- ``sessions.reset`` keeps the address everywhere and clears the row; ``/new`` leaves the 5.18 row running. After it the
  person is told with ``send``: literally, without a model, and the fresh session's model sees it too. ``to`` must be
  what the row says: 9.6 writes it back as the row's address, at most without its ``channel:`` (both forms reach).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from watchdog.core.model import ReplyAddress, Session
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import FIRST_RESUMED_BY_AGENT, FIRST_WITH_SERVER_FENCE, Version
from watchdog.service.ports import Deed


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a deed. ``is_telling``: it only tells the person; its failure does not undo the deed."""

    method: str
    params: dict[str, Any]
    is_telling: bool = False


def requests_for(deed: Deed, version: Version | None) -> tuple[Request, ...]:
    """The requests of one deed, in order. Raises ``ValueError`` for NOTIFY, which asks nothing of a gateway."""
    key = deed.session.key
    if deed.step is Step.RESUME:
        return (_resume(deed, version),)
    if deed.step in (Step.NEW, Step.RESET):
        params: dict[str, Any] = {"key": key, "reason": "new" if deed.step is Step.NEW else "reset"}
        if version is not None and version >= FIRST_WITH_SERVER_FENCE and deed.session.session_id:
            params["expectedSessionId"] = deed.session.session_id
        reset = Request("sessions.reset", params)
        if deed.step is Step.NEW and starts_by_word(version):
            reset = _say(deed, "/new", "chat.send")
        if deed.notice and deed.reply_address is not None:
            return reset, _tell(deed, deed.reply_address, deed.notice)
        return (reset,)
    if deed.step is Step.RECOVER:
        return (Request("sessions.recover", {"key": key}),)
    if deed.step is Step.ABORT:
        return (Request("sessions.abort", {"key": key}),)
    raise ValueError(f"{deed.step.value} asks nothing of a gateway")


def needs_cli(step: Step, session: Session, version: Version | None) -> bool:
    """Only as ``cli`` does ``chat.send`` reach the main session's chat app (3.24 to 5.18)."""
    talks = step is Step.RESUME or (step is Step.NEW and starts_by_word(version))
    return talks and session.is_main and session.reply_address is not None and not _resumes_by_agent(version)


def starts_by_word(version: Version | None) -> bool:
    """On 2026.3.24 the word ``/new`` starts a fresh session with ``operator.write`` alone, keeps the reply address when
    it is sent with ``deliver`` and clears the row (measured in direct, group and main sessions). Later versions ignore
    it without ``operator.admin`` (5.18, 9.6), leave the row running (5.18), or were not measured (4.14)."""
    return version == (2026, 3, 24)


def _resumes_by_agent(version: Version | None) -> bool:
    return version is not None and version >= FIRST_RESUMED_BY_AGENT


def _resume(deed: Deed, version: Version | None) -> Request:
    return _say(deed, deed.message or "", "agent" if _resumes_by_agent(version) else "chat.send")


def _say(deed: Deed, message: str, method: str) -> Request:
    """A turn whose answer goes to the person's chat app, when there is one."""
    params: dict[str, Any] = {
        "sessionKey": deed.session.key,
        "message": message,
        "idempotencyKey": deed.idempotency_key,
    }
    if deed.reply_address is not None:
        params["deliver"] = True
        if method == "agent":
            # Without it 9.6 refuses the turn when the chat app is down, and the session stays stuck for that.
            params["bestEffortDeliver"] = True
    return Request(method, params)


def _tell(deed: Deed, address: ReplyAddress, text: str) -> Request:
    params: dict[str, Any] = {
        "to": address.to,
        "channel": address.channel,
        "message": text,
        "idempotencyKey": f"{deed.idempotency_key}-notice",
        "sessionKey": deed.session.key,
    }
    if address.account_id:
        params["accountId"] = address.account_id
    if address.thread_id:
        params["threadId"] = address.thread_id
    return Request("send", params, is_telling=True)
