"""What is asked for at one gateway's door: to watch, and to do the configured steps."""

from __future__ import annotations

from watchdog.core.policy import Step
from watchdog.gateway.capabilities import READ, scopes_for
from watchdog.gateway.recovery.scopes import Grants, OpenLink
from watchdog.gateway.wire.connection import Link
from watchdog.service import errors


class SignIn:
    """Outlives connections. ``grants``: what deeds may be, and whether that is granted. ``configured``: what a device asks
    for that the gateway does not know, and what a person is asked to approve at once."""

    def __init__(self, grants: Grants, configured: frozenset[Step]) -> None:
        self.grants = grants
        self._configured = configured
        self._may_not_read = False  # it was refused, and has not been let in since

    def want(self, steps: frozenset[Step]) -> bool:
        """``service.ports.Gateway.want``. False: they are what they were."""
        self._configured = steps
        if steps == self.grants.steps:
            return False
        self.grants.want(steps)
        return True

    async def watch(self, open_link: OpenLink, *, is_known: bool, has_own_token: bool) -> Link:
        """The link that looks, with ``operator.read`` alone. ``is_known``: this device was let in there before.
        ``has_own_token``: it signs in with a token that a gateway issued to it for reading.

        More is asked for first, and let go again at once, because of what gateways do with devices that they do not know.
        Measured on 2026.3.28, 3.31 and 4.2 (by source 4.1 too, and not 4.5 and later): seen to come from its own machine, a
        device is approved silently with what it asks for first, and everything later waits for a person. One that was never
        let in asks for all that the configured steps may need; one that was, for what its deeds need: releases before and
        after let a device in without remembering it, so it is as good as new to such a gateway after an update.

        Where a person has to approve it, one approval is to be enough, and the request that they were told of the one that
        waits. Measured on 2026.3.24 to 5.18: a sign-in with other scopes than the waiting request's replaces it, under another
        id, and adds to its scopes. So after a refusal the same is asked for each time.
        """
        was_refused = self._may_not_read
        first = self._configured if was_refused or not is_known else self.grants.steps
        if has_own_token and not was_refused:  # guard: wire: a token for reading is tried for reading first
            first = frozenset()  # a token for more than it was issued for is no sign-in at all on 2026.3.24
        if first:
            refused = await self.grants.try_sign_in(scopes_for(first, None), open_link)
            if was_refused and isinstance(refused, errors.PairingRequired) and not refused.may_allow((READ,)):
                raise refused
        try:
            link = await open_link((READ,))
        except errors.PairingRequired:
            if self._configured and not was_refused:
                self._may_not_read = True
                if first != self._configured:
                    refused = await self.grants.try_sign_in(scopes_for(self._configured, None), open_link)
                    if refused is not None:
                        raise refused from None
            raise
        self._may_not_read = False
        return link
