"""Which policy decides for a session, and why: for ``explain`` and ``replay``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from watchdog.config import sections
from watchdog.config.changes import setting_text
from watchdog.config.loader import LoadedConfig
from watchdog.core.model import Session, SessionKind, Status
from watchdog.core.policy import Match, Policy


@dataclass(frozen=True, slots=True)
class Why:
    """The policy that decides for one session, and the road to it."""

    policy: Policy
    origin: str
    """Where it comes from: ``watchdog.yaml:12``, ``built in``, or ``default``."""
    matched: tuple[str, ...]
    """One phrase per field of its match: ``kind cron is one of cron, subagent, acp``. Empty for the default."""
    overrides: tuple[str, ...]
    """What it changes: ``recovery.ladder: [notify]``. Empty: nothing."""
    passed_over: tuple[tuple[str, str], ...]
    """Policies before it, each with the first field that did not match."""

    def __str__(self) -> str:
        because = "; ".join(self.matched) or "no policy matches"
        changes = f"; it sets {', '.join(self.overrides)}" if self.overrides else ""
        return f"policy '{self.policy.name}' ({self.origin}): {because}{changes}"


def why(
    loaded: LoadedConfig,
    *,
    gateway: str,
    key: str,
    kind: SessionKind | str = SessionKind.OTHER,
    agent: str | None = None,
    channel: str | None = None,
    archived: bool = False,
) -> Why:
    """Which policy a session of this description falls under. ``None``: the gateway did not say."""
    session = Session(key, Status.ABSENT, kind=SessionKind(kind), agent_id=agent, channel=channel, is_archived=archived)
    return why_session(loaded, gateway, session)


def why_session(loaded: LoadedConfig, gateway: str, session: Session) -> Why:
    """Which policy this session of this gateway falls under. Agrees with ``PolicyBook.policy_for`` by construction."""
    book, own = loaded.policy_book, len(loaded.config.policies)
    chosen = book.policy_for(gateway, session)
    passed_over: list[tuple[str, str]] = []
    for position, policy in enumerate(book.policies):
        fields = tuple(_fields(policy.match, gateway, session))
        if policy is chosen:
            origin = _origin(loaded, position) if position < own else "built in"
            changes = _said(loaded.config.policies[position]) if position < own else ("recovery.ladder: [notify]",)
            return Why(policy, origin, tuple(text for _, text in fields), changes, tuple(passed_over))
        passed_over.append((policy.name, next(text for matches, text in fields if not matches)))
    return Why(chosen, "default", (), (), tuple(passed_over))


def _origin(loaded: LoadedConfig, position: int) -> str:
    line, _ = loaded.document.locate(("policies", position))
    name = loaded.source.name if loaded.source else loaded.document.file
    return f"{name}:{line}" if line else name


def _fields(match: Match, gateway: str, session: Session) -> Iterator[tuple[bool, str]]:
    """Each field of a match: whether it matches, and that in words."""
    values = {
        "key": session.key,
        "kind": session.kind.value,
        "agent": session.agent_id,
        "channel": session.channel,
        "gateway": gateway,
    }
    for name, value in values.items():
        patterns: tuple[str, ...] | None = getattr(match, name)
        if patterns is None:
            continue
        hit = next((pattern for pattern in patterns if value is not None and fnmatchcase(value, pattern)), None)
        if value is None:
            yield False, f"its {name} is not known, and {_any_of(patterns)} is asked for"
        elif hit is None:
            yield False, f"{name} {value} is not {_any_of(patterns)}"
        else:
            yield True, f"{name} is {value}" if hit == value else f"{name} {value} matches {hit}"
    if match.archived is not None:
        is_so = "archived" if session.is_archived else "not archived"
        yield match.archived == session.is_archived, f"it is {is_so}"


def _any_of(patterns: tuple[str, ...]) -> str:
    return " or ".join(patterns)


def _said(policy: sections.PolicySection) -> tuple[str, ...]:
    """What an override says, setting by setting, but for the fleet breaker: that is every session's."""
    return tuple(
        f"{label}.{name}: {setting_text(getattr(section, name))}"
        for label, section in (("thresholds", policy.thresholds), ("recovery", policy.recovery))
        for name in type(section).model_fields
        if name in section.model_fields_set and name != "fleet_breaker"
    )
