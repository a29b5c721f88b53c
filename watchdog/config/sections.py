"""The sections of a configuration that say what to do: thresholds, recovery, policies.

Every default here is the core's own (``watchdog.core.policy``). The text under a field is its one documentation: it
becomes the comment in ``watchdog.example.yaml`` and the description in the JSON Schema.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from watchdog.config.deed_window import DeedsBetween
from watchdog.config.fields import (
    AskInsteadWord,
    Count,
    Flag,
    Kinds,
    Label,
    Language,
    ModeWord,
    Patterns,
    Share,
    Span,
    SpanOrZero,
    StepWord,
    Text,
)
from watchdog.core import policy as core

_THRESHOLDS = core.Thresholds()
_RECOVERY = core.Recovery()


class Section(BaseModel):
    """A mapping of the file: frozen, no keys but its own, documented by the text under each field."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True, validate_default=False
    )


def _left_out(value: object) -> object:
    return {} if value is None else value


WHEN_EMPTY = BeforeValidator(_left_out)
"""A section whose lines are all commented out reads as one that was left out."""


def _inherits(schema: dict[str, Any]) -> None:
    """An override has no defaults of its own."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)
        if text := field.get("description"):
            field["description"] = re.sub(r"Default .*\.$", "Default: as outside the policies.", text.strip())


class ThresholdsSection(Section):
    """When a session counts as what. Spans are what the watchdog itself saw go by, not times the gateway wrote down."""

    stuck_after: Span = _THRESHOLDS.stuck_after
    """Marked running, no owner, no progress, for this long: stuck. At least 3 x poll_every, and 2m. Default 20m."""

    confirm_for: SpanOrZero = _THRESHOLDS.confirm_for
    """And seen so in two polls at least this far apart. At least 5s. Default 60s."""

    long_running_after: Span = _THRESHOLDS.long_running_after
    """A run that has an owner and lasts this long is told to a person, not touched. Default 60m."""

    startup_grace: SpanOrZero = _THRESHOLDS.startup_grace
    """No deeds for this long after the gateway (re)started or the watchdog (re)connected. At least 30s. Default 5m."""


class SessionBudget(Section):
    """At most ``attempts`` deeds for one session in any window of length ``per``."""

    attempts: Count = _RECOVERY.budget.attempts
    """Deeds in the window; when they are used up the session is quarantined and a person is told. Default 3."""

    per: Span = _RECOVERY.budget.per
    """Length of the window. Default 72h."""


class GatewayBudget(Section):
    """At most ``attempts`` deeds for all sessions of one gateway in any window of length ``per``."""

    attempts: Count = _RECOVERY.gateway_budget.attempts
    """Deeds in the window; when they are used up the rest wait. Default 20."""

    per: Span = _RECOVERY.gateway_budget.per
    """Length of the window. Default 1h."""


class FleetBreakerSection(Section):
    """Many sessions turning stuck together, without a proof of their own, is the gateway's fault."""

    sessions: Count = _RECOVERY.fleet_breaker.sessions
    """This many sessions of one gateway. Default 10."""

    share: Share = _RECOVERY.fleet_breaker.share
    """And this share of its running ones; above 0, at most 1. Default 0.5."""


class RecoverySection(Section):
    """What may be done about a stuck session, how often, and how it is proved to have helped."""

    mode: ModeWord = _RECOVERY.mode
    """recover: act. observe: judge and tell, never act. Default recover."""

    ladder: tuple[StepWord, ...] = _RECOVERY.ladder
    """Deeds in order, gentlest first; the next one only when the last did not help.
    - ask: a message to the one who asked, in their own chat: please send it again. Runs nothing.
    - resume: go on with the turn, answered to the one who asked; where that may not be done, ask.
    - new: a fresh session, after a handoff note.
    - reset: empty the session.
    - recover: ask the gateway to recover the session itself (2026.8 and later).
    - abort: end the run and start nothing.
    - notify: tell a person and stop. Always last; [notify] alone never touches anything.
    Default [resume, new]."""

    verify_within: Span = _RECOVERY.verify_within
    """A deed has helped when progress is seen within this long; else it was ineffective. Default 90s."""

    backoff: tuple[Span, ...] = _RECOVERY.backoff
    """Wait before the second, third, ... attempt on the same session; the last one repeats. Default [1m, 5m, 30m]."""

    budget: Annotated[SessionBudget, WHEN_EMPTY] = SessionBudget()
    """At most this many deeds per session in any such window. Default {attempts: 3, per: 72h}."""

    gateway_budget: Annotated[GatewayBudget, WHEN_EMPTY] = GatewayBudget()
    """The same for all sessions of one gateway together. Default {attempts: 20, per: 1h}."""

    max_concurrent: Count = _RECOVERY.max_concurrent
    """Deeds in flight per gateway; the rest wait their turn, oldest first. Default 2."""

    fleet_breaker: Annotated[FleetBreakerSection, WHEN_EMPTY] = FleetBreakerSection()
    """This many sessions, and this share of the running ones, turning stuck together without a proof (orphaned by a
    restart, no lock, nothing running): hold every deed and tell once. It counts all sessions of a gateway: in a policy it has
    no effect. Default {sessions: 10, share: 0.5}."""

    resume_max_age: SpanOrZero = _RECOVERY.resume_max_age
    """Interrupted longer ago than this: the work does not go on; the one who asked is asked to send it again. 0s: always
    ask. Default 2h."""

    ask_instead_of_resume: AskInsteadWord = _RECOVERY.ask_instead_of_resume
    """auto: ask where a resume may not be done. always: ask every time. never: hold instead, and report. Default auto."""

    deeds_between: DeedsBetween | None = Field(
        default=_RECOVERY.deeds_between, examples=["Mon-Fri 08:00-20:00 Europe/Berlin"]
    )
    """Deeds only in these hours; outside them they are held, and it is said until when. Days (left out: every day; Sat,Mon-Wed),
    hours (22:00-06:00 ends on the next day) and a time zone. What is under way is still seen to its end; recover by hand is
    never held. Default null: at any hour."""

    resume_message: Text | None = Field(
        default=_RECOVERY.resume_message,
        examples=["The gateway restarted. Say what you were doing, and ask whether to go on."],
    )
    """The older name of texts.resume. Default null: the built-in text."""


class TextsSection(Section):
    """What is put into conversations. {request} (not in ask) and {interrupted_at} are filled in. A text changes words, never
    rules: whether a request is gone on with or asked for, the quote, its author and the mark stay as they are."""

    language: Language = _RECOVERY.texts.language
    """Language of the built-in texts: en or zh-CN. A resumed turn is answered in the language of the request. Default en."""

    resume: Text | None = Field(
        default=_RECOVERY.texts.resume,
        examples=["The gateway restarted at {interrupted_at}. Please finish this request: {request}"],
    )
    """The words of a resumed turn, to the model. Default null: the built-in text."""

    ask: Text | None = Field(
        default=_RECOVERY.texts.ask, examples=["Sorry, your last request was cut off. Please send it once more."]
    )
    """What the one who asked reads in place of a resumed turn. Quotes nothing. Default null: the built-in text."""

    fresh_session: Text | None = Field(
        default=_RECOVERY.texts.fresh_session, examples=["I had to start afresh. Your last request was: {request}"]
    )
    """What the one who asked reads after new or reset. Default null: the built-in text."""


class TextsOverride(TextsSection):
    """Any of the texts; what is left out is as outside the policies."""

    model_config = ConfigDict(json_schema_extra=_inherits)


class ThresholdsOverride(ThresholdsSection):
    """Any of the thresholds; what is left out is as outside the policies."""

    model_config = ConfigDict(json_schema_extra=_inherits)


class RecoveryOverride(RecoverySection):
    """Any of the recovery settings; what is left out is as outside the policies."""

    model_config = ConfigDict(json_schema_extra=_inherits)


class MatchSection(Section):
    """Which sessions a policy is for: all fields given must match, any entry of a list is enough."""

    key: Patterns | None = Field(default=None, examples=["agent:main:telegram:*"])
    """Session key, as a glob: * ? and [seq], case-sensitive. Default null: any."""

    kind: Kinds | None = Field(default=None, examples=[["cron", "subagent", "acp"]])
    """main, direct, group, cron, subagent, acp, hook or other. Default null: any."""

    agent: Patterns | None = Field(default=None, examples=["main"])
    """Agent id, as a glob. Default null: any, also a session that names none."""

    channel: Patterns | None = Field(default=None, examples=[["telegram", "discord"]])
    """Chat channel (telegram, discord, ...), as a glob. Default null: any, also a session that names none."""

    gateway: Patterns | None = Field(default=None, examples=["local"])
    """Name of the gateway, as a glob. Default null: any."""

    archived: Flag | None = Field(default=None, examples=[False])
    """true: archived sessions only; false: all others. Default null: both."""


class PolicySection(Section):
    """Other thresholds or another ladder for some sessions. The first policy that matches decides."""

    name: Label | None = Field(default=None, examples=["background"])
    """Shown by explain and in messages. Default null: its place in the list."""

    match: Annotated[MatchSection, WHEN_EMPTY] = MatchSection()
    """Which sessions. At least one field."""

    thresholds: Annotated[ThresholdsOverride, WHEN_EMPTY] = ThresholdsOverride()
    """Any of the thresholds, for these sessions. Left out: as outside the policies."""

    recovery: Annotated[RecoveryOverride, WHEN_EMPTY] = RecoveryOverride()
    """Any of the recovery settings, for these sessions. Left out: as outside the policies."""

    texts: Annotated[TextsOverride, WHEN_EMPTY] = TextsOverride()
    """Any of the texts, for these sessions. Left out: as outside the policies."""
