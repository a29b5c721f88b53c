"""Deeds over links of their own: signed in for beforehand, sent once, and asked afterwards whether the answer arrived."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from watchdog.core.model import Moment, ReplyAddress, Session
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import (
    ADMIN,
    FIRST_QUIET_AT_SIGN_IN,
    FIRST_WAIT_SAYING_DELIVERED,
    READ,
    WRITE,
    Version,
    scopes_for,
)
from watchdog.gateway.recovery.delivery_reports import DeliveryReports
from watchdog.gateway.recovery.requests import send
from watchdog.gateway.wire.answers import decoded
from watchdog.gateway.wire.connection import Link
from watchdog.service import errors
from watchdog.service.ports import Clock, Deed, Receipt

SIGN_IN_SETTLES = 2.0
"""Seconds between signing in and a deed whose answer has to reach a chat app, before ``FIRST_QUIET_AT_SIGN_IN``."""


class _Delivery(msgspec.Struct):
    status: str | None = None


class _WaitAnswer(msgspec.Struct, rename="camel"):
    status: str | None = None
    terminal_delivery: _Delivery | None = None


@dataclass(frozen=True, slots=True)
class _Purpose:
    """What a link was signed in for."""

    step: Step
    key: str
    route: ReplyAddress | None
    is_as_owner: bool


class Deeds:
    """What is prepared for the next deed, and the turns of ours whose end has not been heard of.

    ``open_link`` signs in with the scopes it is given. ``version`` of each method: the gateway's; None: not known.
    ``patience``: seconds for each answer.
    """

    def __init__(self, open_link: Callable[[tuple[str, ...]], Awaitable[Link]], clock: Clock) -> None:
        self._open_link = open_link
        self._clock = clock
        self._prepared: tuple[_Purpose, Link] | None = None
        self._reports = DeliveryReports(clock)

    async def prepare(
        self, step: Step, session: Session, version: Version | None, *, route: ReplyAddress | None, is_as_owner: bool
    ) -> None:
        """Sign in for this deed alone."""
        scopes = scopes_for(frozenset({step}), version)
        if step is Step.RESUME:
            # A turn over a connection with admin has the owner's rights, whoever asked (measured on 3.24, 5.18 and 9.6).
            scopes = (READ, WRITE, ADMIN) if is_as_owner else (READ, WRITE)
        link = await self._open_link(scopes)
        self._prepared = (_Purpose(step, session.key, route, is_as_owner), link)
        if route is not None and (version is None or version < FIRST_QUIET_AT_SIGN_IN):
            await self._clock.sleep(SIGN_IN_SETTLES)

    def is_prepared_for(self, deed: Deed) -> bool:
        """The link that is open was signed in for this deed."""
        wanted = _Purpose(deed.step, deed.session.key, deed.route, deed.is_as_owner)
        return self._prepared is not None and self._prepared[0] == wanted

    async def perform(self, deed: Deed, version: Version | None, *, patience: float) -> Receipt:
        """Send the deed that was prepared, once."""
        assert self._prepared is not None
        link, is_kept = self._prepared[1], False
        try:
            # Nothing is waited for between here and the frame's going out.
            # guard: shares: what is late is not sent
            if deed.send_by is not None and _is_past(self._clock.now(), deed.send_by):
                raise errors.SentTooLate("It came too late after its claim to be sent: another replica may be at it.")
            receipt = await send(link, deed, version, clock=self._clock, patience=patience)
            if deed.step is Step.RESUME and deed.route is not None and receipt.run_id is not None:
                self._prepared, is_kept = None, await self._reports.keep(receipt.run_id, link)
            return receipt
        finally:
            if not is_kept:
                await link.close()
            await self.forget_prepared()

    async def delivered(self, run_id: str, version: Version | None, *, patience: float, may_write: bool) -> bool | None:
        """``service.ports.Gateway.delivered``. ``may_write`` False: we only watch, and ``agent.wait`` needs
        ``operator.write``."""
        said = await self._reports.delivered(run_id)
        if said is not None or not may_write or version is None or version < FIRST_WAIT_SAYING_DELIVERED:
            return said
        try:
            link = await self._open_link((READ, WRITE))
        except errors.GatewayError:
            return None
        try:
            payload = await link.call("agent.wait", {"runId": run_id, "timeoutMs": 1000}, patience=patience)
            answer = decoded(payload, _WaitAnswer, "agent.wait")
        except errors.GatewayError:
            return None
        finally:
            await link.close()
        return answer.terminal_delivery.status == "sent" if answer.terminal_delivery is not None else None

    async def forget_prepared(self) -> None:
        """Close the link of a deed that is not done."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            await prepared[1].close()

    async def close(self) -> None:
        """Close every link that is kept."""
        await self.forget_prepared()
        await self._reports.close()


def _is_past(now: Moment, deadline: Moment) -> bool:
    """On either clock: the monotonic one stands still while the host sleeps, the wall clock may be set back meanwhile."""
    # guard: shares: a machine that slept sends nothing late
    if now.wall > deadline.wall:
        return True
    return now > deadline
