"""Sections of the file -> the core's frozen rules, with defaults and overrides merged in.

An override counts where the file says it, key by key, also inside ``budget``: a policy that gives ``budget: {attempts: 1}``
keeps the ``per`` from outside the policies. ``fleet_breaker`` is the gateway's: every policy has the one outside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from watchdog.config import sections
from watchdog.config.models import Config
from watchdog.core import policy as core

_T = TypeVar("_T", core.Thresholds, core.Recovery, core.Budget, core.FleetBreakerLimits, core.Texts)

DEFAULT_POLICY = "default"
"""The name of the rule for sessions that no policy matches."""
BUILT_IN_NAMES = ("background", "archived")
"""Names of the built-in policies, one for each of ``BACKGROUND_MATCHES``."""


def build_policy_book(config: Config) -> core.PolicyBook:
    """The user's policies in order, then the built-in ones, then the default; each with all its values filled in."""
    thresholds = merged(core.Thresholds(), config.thresholds)
    recovery = replace(merged(core.Recovery(), config.recovery), texts=merged(core.Texts(), config.texts))
    own = tuple(
        core.Policy(
            name=policy_name(policy, position),
            thresholds=merged(thresholds, policy.thresholds),
            recovery=replace(
                merged(recovery, policy.recovery),
                texts=merged(recovery.texts, policy.texts),
                fleet_breaker=recovery.fleet_breaker,
            ),
            match=core_match(policy.match),
        )
        for position, policy in enumerate(config.policies)
    )
    taken = {policy.name for policy in own}
    built_in = tuple(
        core.Policy(
            name=f"built-in-{name}" if name in taken else name,
            thresholds=thresholds,
            recovery=replace(recovery, ladder=(core.Step.NOTIFY,)),
            match=match,
        )
        for name, match in zip(BUILT_IN_NAMES, core.BACKGROUND_MATCHES, strict=True)
    )
    return core.PolicyBook((*own, *built_in), core.Policy(DEFAULT_POLICY, thresholds, recovery))


def policy_name(policy: sections.PolicySection, position: int) -> str:
    """The policy's name, or its place in the list, from 1."""
    return policy.name or f"policy-{position + 1}"


def merged(base: _T, section: sections.Section) -> _T:
    """``base`` with everything the file says in ``section``."""
    said: dict[str, Any] = {}
    for name in section.model_fields_set:
        value = getattr(section, name)
        said[name] = merged(getattr(base, name), value) if isinstance(value, sections.Section) else value
    return replace(base, **said)


def core_match(match: sections.MatchSection) -> core.Match:
    return core.Match(
        key=match.key,
        kind=tuple(str(kind) for kind in match.kind) if match.kind is not None else None,
        agent=match.agent,
        channel=match.channel,
        gateway=match.gateway,
        archived=match.archived,
    )
