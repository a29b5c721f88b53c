"""Rules: which thresholds and which ladder apply to which session. First match wins.

Built by ``watchdog.config`` from the YAML file; plain frozen values here so that judging needs no configuration library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from watchdog.core.deed_window import DeedWindow
from watchdog.core.model import Session


class Step(StrEnum):
    """One deed of the ladder, gentlest first. ``NOTIFY`` tells the operator and touches nothing; ``FREE`` is no rung."""

    ASK = "ask"
    """A literal message to the requester's own chat: please send it again. Runs nothing."""
    FREE = "free"
    """Makes a row that refuses every message take messages again (2026.8 and later). Done before a rung, where somebody
    is seen waiting."""
    RESUME = "resume"
    NEW = "new"
    RESET = "reset"
    RECOVER = "recover"
    ABORT = "abort"
    NOTIFY = "notify"

    @property
    def nature(self) -> StepNature:
        return NATURES[self]

    @property
    def loses_context(self) -> bool:
        return self.nature.loses_context


@dataclass(frozen=True, slots=True)
class StepNature:
    """What a step is, for everything that judges it by its kind. No defaults: whoever adds a step answers all of it."""

    rests_on_request: bool
    """Done only while the last request is undone and not stopped: an answered one is neither resumed nor asked for again."""
    acts_for_requester: bool
    """Done in the requester's interest, so what they stopped stays stopped; the others only clear a row."""
    is_heard: bool
    """Something of it is said in the requester's own chat, where one is proven."""
    is_turn: bool
    """Runs the model: proved by what is in the transcript afterwards. The others are proved by the row, ``ASK`` by the person."""
    opens_only: bool
    """Its success is no end: the incident waits for a run of the session that ends well."""
    loses_context: bool
    """A fresh session follows: only with a note of what is lost on disk, and never while somebody's words wait."""
    lets_in: bool
    """Done where a row refuses its people, to let them in (``ASK``: just before that): their message, which is tried again and
    again and touches the row each time, holds none of these."""


NATURES: Mapping[Step, StepNature] = {
    step: StepNature(*(trait == "yes" for trait in traits.split()))
    for step, traits in {
        #             request requester heard turn opens loses lets-in
        Step.ASK:     "yes    yes       yes   no   yes   no    yes",
        Step.FREE:    "no     no        no    no   yes   no    yes",
        Step.RESUME:  "yes    yes       yes   yes  no    no    no",
        Step.NEW:     "no     yes       yes   no   no    yes   yes",
        Step.RESET:   "no     yes       yes   no   no    yes   yes",
        Step.RECOVER: "no     yes       no    yes  no    no    no",
        Step.ABORT:   "no     no        no    no   no    no    no",
        Step.NOTIFY:  "no     yes       no    no   no    no    no",
    }.items()
}  # fmt: skip


class AskInstead(StrEnum):
    """``ask_instead_of_resume``: whether the requester is asked where a request may not simply be gone on with."""

    AUTO = "auto"
    ALWAYS = "always"
    """Asked every time."""
    NEVER = "never"
    """Held instead."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What is put into conversations. ``language``: of the built-in texts. A text of one's own changes words, never rules.

    Placeholders: ``{request}`` (resume and fresh_session: the quoted request) and ``{interrupted_at}``.
    """

    language: str = "en"
    resume: str | None = None
    ask: str | None = None
    fresh_session: str | None = None


class Mode(StrEnum):
    RECOVER = "recover"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a session counts as what. All spans are observed by us on the monotonic clock."""

    stuck_after: timedelta = timedelta(minutes=20)
    confirm_for: timedelta = timedelta(seconds=60)
    long_running_after: timedelta = timedelta(minutes=60)
    startup_grace: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Budget:
    """At most ``attempts`` in any window of length ``per``."""

    attempts: int
    per: timedelta


@dataclass(frozen=True, slots=True)
class FleetBreakerLimits:
    """That many sessions, and that share of the running ones, turning stuck together without a proof of their own."""

    sessions: int = 10
    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Recovery:
    """What may be done, how often, and how it is verified."""

    mode: Mode = Mode.RECOVER
    ladder: tuple[Step, ...] = (Step.RESUME, Step.NEW)
    verify_within: timedelta = timedelta(seconds=90)
    backoff: tuple[timedelta, ...] = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))
    budget: Budget = Budget(3, timedelta(hours=72))
    gateway_budget: Budget = Budget(20, timedelta(hours=1))
    max_concurrent: int = 2
    fleet_breaker: FleetBreakerLimits = FleetBreakerLimits()
    resume_max_age: timedelta = timedelta(hours=2)
    resume_message: str | None = None
    """The older name of ``texts.resume``."""
    ask_instead_of_resume: AskInstead = AskInstead.AUTO
    texts: Texts = Texts()
    deeds_between: DeedWindow | None = None
    """None: at any hour."""

    @property
    def conversation_texts(self) -> Texts:
        """What is put into conversations, with ``resume_message`` where ``texts.resume`` says nothing."""
        return replace(self.texts, resume=self.texts.resume or self.resume_message)


@dataclass(frozen=True, slots=True)
class Match:
    """Which sessions a policy is for. ``None``: any. Patterns of ``key`` are shell globs, case-sensitive."""

    key: tuple[str, ...] | None = None
    kind: tuple[str, ...] | None = None
    agent: tuple[str, ...] | None = None
    channel: tuple[str, ...] | None = None
    gateway: tuple[str, ...] | None = None
    archived: bool | None = None

    def may_match_on(self, gateway: str) -> bool:
        """Some session of this gateway may match."""
        return _any_glob(self.gateway, gateway)

    def matches(self, gateway: str, session: Session) -> bool:
        return (
            (self.archived is None or self.archived == session.is_archived)
            and _any_glob(self.key, session.key)
            and _any_glob(self.kind, session.kind.value)
            and _any_glob(self.agent, session.agent_id)
            and _any_glob(self.channel, session.channel)
            and _any_glob(self.gateway, gateway)
        )


def _any_glob(patterns: tuple[str, ...] | None, value: str | None) -> bool:
    if patterns is None:
        return True
    return value is not None and any(fnmatchcase(value, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Policy:
    """A named rule with everything it decides already filled in (defaults and overrides merged by the config)."""

    name: str
    thresholds: Thresholds = Thresholds()
    recovery: Recovery = Recovery()
    match: Match = Match()


BACKGROUND_MATCHES = (
    Match(kind=("cron", "subagent", "acp")),  # guard: background is told only
    Match(archived=True),  # guard: archived is told only
)
"""Built in, after the user's own policies: background and archived sessions are reported, not touched."""


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """All policies in order; ``default`` for sessions none of them matches."""

    policies: tuple[Policy, ...] = field(default_factory=tuple)
    default: Policy = field(default_factory=lambda: Policy("default"))

    def policy_for(self, gateway: str, session: Session) -> Policy:
        for policy in self.policies:
            if policy.match.matches(gateway, session):
                return policy
        return self.default
