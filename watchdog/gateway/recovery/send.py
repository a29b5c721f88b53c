"""One deed over the link that was opened for it: each of its requests once, and what the gateway said to them.

Invariant: a request that does something is never sent twice; an unclear outcome is the caller's to settle by looking.
"""

from __future__ import annotations

import contextlib

import msgspec

from watchdog.core.policy import Step
from watchdog.gateway.capabilities import LAST_KEEPING_REFUSED_MESSAGES, Version
from watchdog.gateway.recovery.requests import Request, requests_for
from watchdog.gateway.wire.answers import decoded
from watchdog.gateway.wire.connection import Link
from watchdog.service import errors
from watchdog.service.ports import Clock, Deed, Receipt

TELLING_TRIES, TELLING_PAUSE = 3, 3.0


class _RunAnswer(msgspec.Struct, rename="camel"):
    run_id: str | None = None
    status: str | None = None


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
            delivered = False
            continue
        if request.method == "send":
            delivered = True
        with contextlib.suppress(errors.AnswerUnreadable):  # it was taken, whatever its answer looks like
            answer = decoded(payload, _RunAnswer, request.method)
            run_id = run_id or (None if request.is_telling else answer.run_id)
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
