"""Asks a gateway, as a device that began nothing there, to stop a session's run: it refuses where one goes on.

``sessions.abort`` with ``operator.write`` alone and from another device than the run's stops nothing (2026.3.24, 4.14;
``Capabilities.has_abort_probe`` says where). The device is known nowhere else, so a gateway that wants devices approved
wants this one approved too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from watchdog.core.model import Moment, Session
from watchdog.gateway.capabilities import APPROVAL_CHECK
from watchdog.gateway.wire.connection import Link
from watchdog.service import errors
from watchdog.service.ports import Clock


class AbortProbe:
    """One link for all probes of a connection, made with the first: every sign-in disturbs the chat apps of 3.24.

    ``open_link`` signs in as the other device, with ``operator.write`` and no more; ``patience``: seconds for an answer.
    """

    def __init__(self, open_link: Callable[[], Awaitable[Link]], clock: Clock, patience: float) -> None:
        self._open_link = open_link
        self._clock = clock
        self._patience = patience
        self._link: Link | None = None
        self._unapproved: tuple[Moment, errors.PairingRequired] | None = None

    async def __call__(self, session: Session) -> bool:
        """A run goes on, and not ours. Raises ``GatewayError`` leaves; ``PairingRequired`` without asking anew for as long
        as ``APPROVAL_CHECK``, because each sign-in announces its request to every operator."""
        if self._link is None or not self._link.is_open:
            self._link = await self._sign_in()
        try:
            await self._link.call("sessions.abort", {"key": session.key}, patience=self._patience)
        except errors.RequestRefused as refused:
            return "unauthorized" in refused.detail
        except errors.GatewayError:
            await self.close()
            raise
        return False

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _sign_in(self) -> Link:
        now = self._clock.now()
        if self._unapproved is not None and now.since(self._unapproved[0]) < APPROVAL_CHECK:
            raise self._unapproved[1]
        try:
            link = await self._open_link()
        except errors.PairingRequired as problem:
            self._unapproved = (now, problem)
            raise
        self._unapproved = None
        return link
