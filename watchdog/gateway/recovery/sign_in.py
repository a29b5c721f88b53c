"""What is asked for at one gateway's door: to watch, and to do the configured steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from watchdog.core.policy import Step
from watchdog.gateway.capabilities import READ, scopes_for
from watchdog.gateway.recovery.scopes import Grants
from watchdog.gateway.wire.connection import Link
from watchdog.service import errors

OpenLink = Callable[[tuple[str, ...]], Awaitable[Link]]
"""Signs in with these scopes. Raises ``GatewayError`` leaves."""


class SignIn:
    """Outlives connections. ``grants``: what deeds may be, and whether that is granted. ``configured``: what a person is
    asked to approve at once."""

    def __init__(self, grants: Grants, configured: frozenset[Step]) -> None:
        self.grants = grants
        self._configured = configured
        self._may_not_read = False  # it was refused, and has not been let in since

    def want(self, steps: frozenset[Step], configured: frozenset[Step]) -> bool:
        """``service.ports.Gateway.want``. False: ``steps`` are what they were."""
        self._configured = configured
        if steps == self.grants.steps:
            return False
        self.grants.want(steps)
        return True

    async def watch(self, open_link: OpenLink) -> Link:
        """The link that looks.

        A device that was never approved asks for all that the configured steps may need, and for the same each time: then
        one approval is enough, and the request a person was told of is the one that waits. Measured on 2026.3.24 to 5.18: a
        sign-in with other scopes than the waiting request's replaces it, under another id.
        """
        was_refused = self._may_not_read
        if not was_refused:
            try:
                return await open_link((READ,))
            except errors.PairingRequired:
                if not self._configured:
                    raise
                self._may_not_read = True
        try:
            link = await open_link(scopes_for(self._configured, None))
        except errors.PairingRequired as wanted:
            if not was_refused or not wanted.may_allow((READ,)):
                raise
        except errors.ScopeRefused:
            if not was_refused:
                raise
        else:
            await link.close()
        link = await open_link((READ,))
        self._may_not_read = False
        return link
