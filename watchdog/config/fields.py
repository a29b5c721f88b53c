"""The kinds of values a setting can have: words of a vocabulary, numbers, spans, text, lists.

Each kind is an annotated type that refuses in our own words (``refusal``) and describes itself in the JSON Schema.
Text that may refer to the environment is in ``watchdog.config.references``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from watchdog.config import durations
from watchdog.config.problems import quoted, suggestion
from watchdog.core.model import SessionKind
from watchdog.core.policy import AskInstead, Mode, Step
from watchdog.core.texts import LANGUAGES
from watchdog.service.events import LogFormat, Severity

REFUSAL = "refusal"
"""The pydantic error type of everything refused in our own words; its context has ``message`` and ``hint``."""


def refusal(message: str, hint: str | None = None) -> PydanticCustomError:
    """The error a validator raises; ``refusals`` turns it into a ``Problem``."""
    return PydanticCustomError(REFUSAL, "{message}", {"message": message, "hint": hint})


def describe(value: object) -> str:
    """What a value of the file is, without saying the value."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return "something else"


def _one_of(
    vocabulary: type[StrEnum], what: str, *, without: StrEnum | None = None, also: Sequence[str] = (), **instead: str
) -> tuple[BeforeValidator, WithJsonSchema]:
    """Reads a word of ``vocabulary``. ``also``: what is no word and would be right in its place. ``instead``: hints for words
    whose nearest neighbour would be the wrong advice."""
    words = [str(word) for word in vocabulary if word is not without]
    right = [*words, *also]

    def read(value: object) -> StrEnum:
        if isinstance(value, str) and value in words:
            return vocabulary(value)
        if not isinstance(value, str):
            raise refusal(f"expected {what}, found {describe(value)}", f"one of: {', '.join(right)}")
        raise refusal(f"{quoted(value)} is not {what}", instead.get(value.lower()) or suggestion(value, right))

    return BeforeValidator(read), WithJsonSchema({"type": "string", "enum": words})


def _one_of_names(names: tuple[str, ...], what: str) -> tuple[BeforeValidator, WithJsonSchema]:
    def read(value: object) -> str:
        if isinstance(value, str) and value in names:
            return value
        found = quoted(value) if isinstance(value, str) else describe(value)
        raise refusal(f"{found} is not {what}", f"one of: {', '.join(names)}")

    return BeforeValidator(read), WithJsonSchema({"type": "string", "enum": list(names)})


class NotifyEvent(StrEnum):
    """What a message can be about."""

    STUCK = "stuck"
    RECOVERED = "recovered"
    INEFFECTIVE = "ineffective"
    QUARANTINED = "quarantined"
    GATEWAY_DOWN = "gateway_down"
    LONG_RUNNING = "long_running"


class Discover(StrEnum):
    """Where to look for a gateway. ``local``: all that this user runs on this machine."""

    LOCAL = "local"


StepWord = Annotated[
    Step,
    *_one_of(
        Step,
        "a step of the ladder",
        without=Step.FREE,
        restart="a gateway that is down is restarted by gateway_restart",
        free="a row that refuses messages is freed by itself, before the step that is due",
    ),
]
AskInsteadWord = Annotated[AskInstead, *_one_of(AskInstead, "a way of asking")]
Language = Annotated[str, *_one_of_names(tuple(LANGUAGES), "a language of the built-in texts")]
ModeWord = Annotated[Mode, *_one_of(Mode, "a mode")]
EventWord = Annotated[NotifyEvent, *_one_of(NotifyEvent, "an event to be told about")]
LogFormatWord = Annotated[LogFormat, *_one_of(LogFormat, "a log format")]
LogLevelWord = Annotated[Severity, *_one_of(Severity, "a log level")]
DiscoverWord = Annotated[Discover, *_one_of(Discover, "a place to discover gateways", also=("{file: …}", "{http: …}"))]
KindWord = Annotated[SessionKind, *_one_of(SessionKind, "a kind of session")]


def _read_span(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        if isinstance(value, str):
            return durations.parse(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise durations.without_unit(value)
    except durations.DurationError as error:
        raise refusal(error.message, error.hint) from None
    hint = "leave the line out for the default" if value is None else "e.g. 30s, 20m, 72h or 1h30m"
    raise refusal(f"expected a duration, found {describe(value)}", hint)


def _above_zero(span: timedelta) -> timedelta:
    if span <= timedelta():
        raise refusal("must be longer than 0s")
    return span


_MOST = 1_000_000_000
"""Of anything that is counted: whoever writes more has slipped."""


def _counted(count: int) -> int:
    if count < 1:
        raise refusal(f"must be at least 1, found {count}")
    if count > _MOST:
        raise refusal(f"must be at most {_MOST}")
    return count


def _share(part: float) -> float:
    if not 0 < part <= 1:
        raise refusal(f"a share is above 0 and at most 1, found {part}", "0.5 is half of the running sessions")
    return part


_SPAN = (
    BeforeValidator(_read_span),
    PlainSerializer(durations.spell, return_type=str),
    WithJsonSchema({"type": "string", "pattern": durations.PATTERN}),
)
Span = Annotated[timedelta, AfterValidator(_above_zero), *_SPAN]
SpanOrZero = Annotated[timedelta, *_SPAN]
Count = Annotated[
    int,
    Strict(),
    AfterValidator(_counted),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": _MOST}),
]
Share = Annotated[
    float,
    Strict(),
    AfterValidator(_share),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
]
Flag = Annotated[bool, Strict()]


def not_empty(text: str) -> str:
    if not text.strip():
        raise refusal("the text is empty", "leave the line out instead")
    return text


def _label(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise refusal("a name is up to 64 letters, digits, '.', '_' and '-'", "it appears in logs and metrics")
    return text


Text = Annotated[str, Strict(), AfterValidator(not_empty)]
Label = Annotated[str, Strict(), AfterValidator(_label)]


def one_or_many(value: object) -> object:
    """``cron`` is ``[cron]``; an empty list is refused, because it would mean nothing, or never."""
    if isinstance(value, list | tuple) and not value:
        raise refusal("the list is empty", "leave the line out instead")
    return value if isinstance(value, list | tuple | dict) else (value,)


def _one_or_many_of(item: Mapping[str, Any]) -> tuple[BeforeValidator, WithJsonSchema]:
    schema = {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}
    return BeforeValidator(one_or_many), WithJsonSchema(schema)


Patterns = Annotated[tuple[Text, ...], *_one_or_many_of({"type": "string"})]
Events = Annotated[
    tuple[EventWord, ...], *_one_or_many_of({"type": "string", "enum": [str(event) for event in NotifyEvent]})
]
Kinds = Annotated[tuple[KindWord, ...], *_one_or_many_of({"type": "string", "enum": [str(k) for k in SessionKind]})]


def _read_command(value: object) -> object:
    if not isinstance(value, str):
        return value
    not_empty(value)
    try:
        return shlex.split(value)
    except ValueError:
        raise refusal("the command has a quote that is never closed", "or write it as a list") from None


Command = Annotated[tuple[Text, ...], *_one_or_many_of({"type": "string"}), BeforeValidator(_read_command)]
