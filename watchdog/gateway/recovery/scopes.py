"""May the configured steps be done on this gateway? Found out at connect time, not at three in the morning.

A sign-in with their scopes is tried and closed again; what it is not granted, or refused for, is remembered per scope, and is
what a step is held with. No answer is no permission, and no reason to stop watching.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from watchdog.core.model import Moment
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import ADMIN, APPROVAL_CHECK, Version, needs_of, scopes_for
from watchdog.gateway.wire.connection import Link
from watchdog.service import errors
from watchdog.service.ports import Clock

OpenLink = Callable[[tuple[str, ...]], Awaitable[Link]]
"""Signs in with these scopes. Raises ``GatewayError`` leaves."""
_Trial = tuple[tuple[str, ...], frozenset[str] | errors.GatewayError | None]
"""Scopes that were tried ahead of a check, and what came of it."""
CHECK_AGAIN = timedelta(minutes=1)
"""How long deeds rest when the gateway gave no answer to whether their scopes are granted, until it is asked again."""


class Grants:
    """What one connection's gateway grants for ``steps``. ``open_link`` signs in with the scopes it is given."""

    def __init__(
        self,
        gateway: str,
        steps: frozenset[Step],
        open_link: OpenLink,
        clock: Clock,
    ) -> None:
        self._gateway = gateway
        self.steps = steps
        self._open_link = open_link
        self._clock = clock
        self._version: Version | None = None
        self._problems: dict[str, str] = {}
        self._unanswered_since: Moment | None = None
        self._unapproved_since: Moment | None = None
        self._is_due = False
        self._trial: _Trial | None = None
        self.awaited: errors.PairingRequired | None = None
        """A person is to approve the scopes that the steps need, as the last check was told."""

    def want(self, steps: frozenset[Step]) -> None:
        """Deeds may be these from now on; ``check_again`` asks for their scopes."""
        self.steps, self._is_due = steps, True

    async def try_sign_in(self, scopes: tuple[str, ...], open_link: OpenLink) -> errors.GatewayError | None:
        """Sign in with these scopes ahead of the ``check`` that follows, which then does not sign in with them again. The
        refusal after which less may still be let in, or None. Raises ``GatewayError`` where any sign-in would have met it."""
        try:
            self._trial = scopes, await _granted(scopes, open_link)
        # guard: wire: where more is refused, reading is asked for
        except (errors.PairingRequired, errors.ScopeRefused, errors.RequestRefused) as refused:
            # guard: wire: who is not served now does not sign in for reading first
            if isinstance(refused, errors.RequestRefused) and refused.code == "UNAVAILABLE":
                raise
            self._trial = scopes, refused
            return refused
        return None

    async def check(self, version: Version | None, *, is_first: bool = True) -> None:
        """Ask for all scopes that the steps need on this version, then without admin. Never raises ``GatewayError``.

        ``is_first`` False: a request for approval waits, and is not to get another id by a sign-in in vain; what was
        granted before counts as granted.
        """
        before = self._problems
        trial, self._trial = self._trial, None
        self._version, self._problems, self._is_due = version, {}, False
        self._unanswered_since = self._unapproved_since = self.awaited = None
        if not self.steps:
            return
        wanted = scopes_for(self.steps, version)
        less = tuple(scope for scope in wanted if scope != ADMIN)
        for scopes in dict.fromkeys((wanted, less)):
            try:
                self._note(scopes, await self._found(scopes, trial))
            except errors.ScopeRefused as problem:
                self._problems |= dict.fromkeys(scopes, str(problem))
            except errors.PairingRequired as problem:
                # Before 2026.9 each of them may give the waiting request another id: the last one is for all of them.
                self._problems = dict.fromkeys(wanted if is_first else before, str(problem))
                self._unapproved_since, self.awaited = self._clock.now(), problem
                if not problem.may_allow(less) or (problem.approved is None and not is_first):
                    return
            except errors.GatewayError as problem:
                if not is_first:
                    self._problems, self._unapproved_since = before, self._clock.now()
                    return
                self._unanswered_since = self._clock.now()
                # guard: no answer is no permission
                self._problems = dict.fromkeys(wanted, f"It could not be found out: {problem}")
                return
            else:
                return

    async def check_again(self) -> None:
        """Where other steps are wanted now, the last check went unanswered, or somebody was to approve the scopes."""
        now = self._clock.now()
        if self._is_due or (self._unanswered_since is not None and now.since(self._unanswered_since) >= CHECK_AGAIN):
            await self.check(self._version)
        elif self._unapproved_since is not None and now.since(self._unapproved_since) >= APPROVAL_CHECK:
            await self.check(self._version, is_first=False)

    async def _found(self, scopes: tuple[str, ...], trial: _Trial | None) -> frozenset[str] | None:
        if trial is None or trial[0] != scopes:
            return await _granted(scopes, self._open_link)
        if isinstance(trial[1], errors.GatewayError):
            raise trial[1]
        return trial[1]

    def _note(self, scopes: tuple[str, ...], granted: frozenset[str] | None) -> None:
        """Which of these scopes are granted (None: all). What is known of others stays."""
        for scope in scopes:
            self._problems.pop(scope, None)
            if granted is not None and scope not in granted:
                self._problems[scope] = f"{self._gateway}: this sign-in is not granted {scope}."

    def has_admin(self) -> bool:
        """The steps need admin here, and it is granted."""
        return not self._is_due and ADMIN in scopes_for(self.steps, self._version) and ADMIN not in self._problems

    def missing_for(self, step: Step) -> str | None:
        """The sentence to say when what ``step`` needs is not granted, or None."""
        needs = needs_of(step, self._version)
        if self._is_due and needs.scope is not None:
            return f"{needs.why}, and whether this sign-in may is not known yet; it is asked at the next poll."
        if needs.scope is None or needs.scope not in self._problems:
            return None
        how = "which this sign-in was not granted"
        if self._unanswered_since is not None:
            how = "and whether this sign-in may is not known"
        return f"{needs.why}, {how}. {self._problems[needs.scope]} Or take `{step.value}` out of the ladder."


async def _granted(scopes: tuple[str, ...], open_link: OpenLink) -> frozenset[str] | None:
    """What is granted to a sign-in with these scopes, which is ended again; None: all, it says nothing."""
    link = await open_link(scopes)
    await link.close()
    granted = link.hello.auth.scopes if link.hello.auth is not None else None
    return frozenset(granted) if granted is not None else None
