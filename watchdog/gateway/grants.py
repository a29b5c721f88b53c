"""May the configured steps be done on this gateway? Found out at connect time, not at three in the morning.

A sign-in with their scopes is tried and closed again; what it is not granted, or refused for, is remembered per scope, and is
what a step is held with. No answer is no permission, and no reason to stop watching.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from watchdog.core.model import Moment
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import ADMIN, Version, needs_of, scopes_for
from watchdog.gateway.link import Link
from watchdog.service import errors
from watchdog.service.ports import Clock

CHECK_AGAIN = timedelta(minutes=1)
"""How long deeds rest when the gateway gave no answer to whether their scopes are granted, until it is asked again."""


class Grants:
    """What one connection's gateway grants for ``steps``. ``open_link`` signs in with the scopes it is given."""

    def __init__(
        self,
        gateway: str,
        steps: frozenset[Step],
        open_link: Callable[[tuple[str, ...]], Awaitable[Link]],
        clock: Clock,
    ) -> None:
        self._gateway = gateway
        self._steps = steps
        self._open_link = open_link
        self._clock = clock
        self._version: Version | None = None
        self._problems: dict[str, str] = {}
        self._unanswered_since: Moment | None = None

    async def check(self, version: Version | None) -> None:
        """Ask for all scopes that the steps need on this version, then without admin. Never raises ``GatewayError``."""
        self._version, self._problems, self._unanswered_since = version, {}, None
        if not self._steps:
            return
        wanted = scopes_for(self._steps, version)
        for scopes in (wanted, tuple(scope for scope in wanted if scope != ADMIN)):
            missing = [scope for scope in wanted if scope not in scopes]
            try:
                link = await self._open_link(scopes)
            except (errors.ScopeRefused, errors.PairingRequired) as problem:
                for scope in scopes:
                    self._problems[scope] = str(problem)
                continue
            except errors.GatewayError as problem:
                self._unanswered_since = self._clock.now()
                self._problems = dict.fromkeys(wanted, f"It could not be found out: {problem}")
                return
            granted = link.hello.auth.scopes if link.hello.auth is not None else None
            await link.close()
            for scope in scopes:
                self._problems.pop(scope, None)
                if granted is not None and scope not in granted:
                    self._problems[scope] = f"{self._gateway}: this sign-in is not granted {scope}."
            self._problems = {
                scope: text for scope, text in self._problems.items() if scope in missing or scope in scopes
            }
            return

    async def check_again(self) -> None:
        """Where the last check went unanswered, and long enough ago."""
        since = self._unanswered_since
        if since is not None and self._clock.now().since(since) >= CHECK_AGAIN:
            await self.check(self._version)

    def has_admin(self) -> bool:
        """The steps need admin here, and it is granted."""
        return ADMIN in scopes_for(self._steps, self._version) and ADMIN not in self._problems

    def missing_for(self, step: Step) -> str | None:
        """The sentence to say when what ``step`` needs is not granted, or None."""
        needs = needs_of(step, self._version)
        if needs.scope is None or needs.scope not in self._problems:
            return None
        return (
            f"{needs.why}, which this sign-in was not granted. {self._problems[needs.scope]} "
            f"Or take `{step.value}` out of the ladder."
        )
