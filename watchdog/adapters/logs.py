"""Logs through structlog: one event a line, JSON for machines, aligned and coloured for a terminal, never a secret.

``configure`` is the one entry: it answers with the ``Log`` the service writes to, sets structlog's own defaults to the same
pipeline, and bridges what libraries say through the standard library's ``logging`` (WARNING and worse, whatever our own
level: below that, websockets writes whole frames, tokens included). Calling it again replaces the former set-up.

Give uvicorn ``log_config=None``, or it puts its own handlers back.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from watchdog.core.printable import json_visible, shown_key, visible
from watchdog.core.spans import span_words
from watchdog.service.errors import WatchdogError
from watchdog.service.events import LEVELS, Event, LogFormat, Severity
from watchdog.service.ports import Clock
from watchdog.service.redaction import Secrets, may_show
from watchdog.service.secret import MASK

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger


FIRST_FIELDS = ("gateway", "session", "session_id", "incident", "attempt", "step", "reason")
"""In this order, before all other fields."""
RESERVED = frozenset({"timestamp", "level", "event"})
LIBRARIES = ("apscheduler", "websockets", "uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "httpcore", "asyncio")
LONGEST_VALUE = 2000
MOST_ITEMS = 100
DEEPEST = 5


class StructuredLog:
    """The ``Log`` port over structlog. Writing never raises: a full disk under the log must not stop the daemon."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        self._logger = logger

    def event(self, name: Event, /, **fields: object) -> None:
        safe = {f"{key}_" if key in RESERVED else key: value for key, value in fields.items()}
        try:
            self._logger.log(LEVELS[name].rank, name.value, **safe)
        except (OSError, ValueError):
            return  # the stream is gone, full, or closed: nobody is left to tell


def configure(
    format: LogFormat | str = LogFormat.AUTO,  # noqa: A002 - the config's own word
    level: Severity | str = Severity.INFO,
    stream: TextIO | None = None,
    *,
    secrets: Secrets | None = None,
    clock: Clock | None = None,
    environ: Mapping[str, str] = os.environ,
) -> StructuredLog:
    """Set up logging to ``stream`` (stderr when None). ``secrets`` stays shared: what is added later is masked too.

    ``clock``: stamps lines with its time instead of the system's (accelerated demos, tests).
    """
    stream = sys.stderr if stream is None else stream
    is_console = _wants_console(LogFormat(format), stream)
    line = ConsoleLine(colours=_wants_colours(stream, environ)) if is_console else JsonLine()
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        _stamper(clock),
        Redactor(secrets or Secrets()),
        line,
    ]
    if is_journal(stream, environ):
        processors.append(_journal_priority)
    wrapper = structlog.make_filtering_bound_logger(Severity(level).rank)
    structlog.configure(
        processors=processors,
        wrapper_class=wrapper,
        context_class=dict,
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logger = structlog.wrap_logger(
        structlog.WriteLogger(stream), processors=processors, wrapper_class=wrapper, context_class=dict
    )
    log = StructuredLog(logger)
    _bridge(log)
    return log


def _wants_console(chosen: LogFormat, stream: TextIO) -> bool:
    # JOURNAL_STREAM alone says nothing here: terminals opened by a systemd session inherit it. A stream that really is
    # the journal is a socket, never a terminal.
    return stream.isatty() if chosen is LogFormat.AUTO else chosen is LogFormat.CONSOLE


def _wants_colours(stream: TextIO, environ: Mapping[str, str]) -> bool:
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def is_journal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether ``stream`` itself goes to systemd's journal: its device and inode are the ones JOURNAL_STREAM names."""
    named = environ.get("JOURNAL_STREAM")
    if not named:
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{found.st_dev}:{found.st_ino}"


# ---------------------------------------------------------------- processors


def _stamper(clock: Clock | None) -> Processor:
    if clock is None:
        return structlog.processors.TimeStamper(fmt="iso", utc=True)

    def stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["timestamp"] = _instant(clock.now().wall)
        return event

    return stamp


class Redactor:
    """Turns every value into plain data and masks what must not be shown. Unknown objects become their type's name:
    a dataclass may hold a person's words, and nobody looks inside before printing it."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {str(name): self._field(str(name), value, 0) for name, value in event.items()}

    def _field(self, name: str, value: object, depth: int) -> object:
        return self._plain(value, depth) if may_show(name, value) else MASK

    def _plain(self, value: object, depth: int) -> object:
        match value:
            case None | bool() | timedelta():
                return value
            case Enum():
                return self._plain(value.value, depth)
            case float() if not math.isfinite(value):
                return str(value)
            case int() | float():
                return value if self._secrets.scrub(str(value)) == str(value) else MASK
            case str():
                return self._text(value)
            case datetime():
                return _instant(value)
            case PurePath():
                return self._text(str(value))
            case BaseException():
                return self._text(one_line(value))
            case bytes() | bytearray():
                return f"<{len(value)} bytes>"
            case _ if depth >= DEEPEST:
                return "…"
            case Mapping():
                pairs = list(value.items())[:MOST_ITEMS]
                return {self._text(str(key)): self._field(str(key), item, depth + 1) for key, item in pairs}
            case list() | tuple() | set() | frozenset():
                items = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
                return [self._plain(item, depth + 1) for item in items[:MOST_ITEMS]]
            case _:
                return f"<{type(value).__name__}>"

    def _text(self, text: str) -> str:
        clean = self._secrets.scrub(text, LONGEST_VALUE)
        return clean if len(clean) <= LONGEST_VALUE else clean[: LONGEST_VALUE - 1] + "…"


def one_line(error: BaseException) -> str:
    """An exception as one line. Ours are a sentence already; for any other, where it came from, innermost call first."""
    said = " ".join(str(error).split())
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if isinstance(error, WatchdogError):
        return text
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = [f"{PurePath(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in reversed(frames)]
    return f"{text} (at {' < '.join(places)})" if places else text


def _journal_priority(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """journald takes ``<4>`` off the line and keeps it as the priority, so that ``journalctl -p warning`` works."""
    return f"<{_PRIORITIES.get(_method, 6)}>{line}"


_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}


# ---------------------------------------------------------------- lines


def _ordered(event: EventDict) -> list[tuple[str, object]]:
    first = [(name, event[name]) for name in FIRST_FIELDS if name in event]
    return first + [(name, value) for name, value in event.items() if name not in {*RESERVED, *FIRST_FIELDS}]


class JsonLine:
    """One JSON object a line; spans are seconds."""

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        head = {"timestamp": event.get("timestamp"), "level": event.get("level"), "event": event.get("event")}
        text = json.dumps(head | dict(_ordered(event)), ensure_ascii=False, default=_json_value)
        return json_visible(text)


def _json_value(value: object) -> object:
    return round(value.total_seconds(), 3) if isinstance(value, timedelta) else str(value)


class ConsoleLine:
    """``time level event gateway session key=value …`` in columns, for eyes."""

    def __init__(self, *, colours: bool) -> None:
        self._paint: Callable[[str, str], str] = _painted if colours else _unpainted

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        paint = self._paint
        level = str(event.get("level", "info"))
        colour = _COLOURS.get(level, "")
        fields = dict(_ordered(event))
        where = [shown_key(str(fields.pop(name))) for name in ("gateway", "session") if fields.get(name) is not None]
        parts = [
            paint(_DIM, str(event.get("timestamp", ""))[:19] + "Z"),
            paint(colour, f"{_SHORT_LEVELS.get(level, level):<5}"),
            paint(_BOLD + colour, f"{visible(str(event.get('event', ''))):<24}"),
            *(paint(_BOLD, place) for place in where),
            *(f"{paint(_DIM, visible(name) + '=')}{shown(value)}" for name, value in fields.items()),
        ]
        return " ".join(parts).rstrip()


_DIM, _BOLD, _RESET = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_SHORT_LEVELS = {"warning": "warn"}


def _painted(style: str, text: str) -> str:
    return f"{style}{text}{_RESET}" if style else text


def _unpainted(_style: str, text: str) -> str:
    return text


def shown(value: object) -> str:
    """A plain value as it stands after ``key=``: bare where one can, quoted where it would run into the next."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3f}".rstrip("0").rstrip(".")
        case timedelta():
            return span_words(value)
        case Mapping():
            return "{" + " ".join(f"{visible(str(key))}:{shown(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(shown(item) for item in value) + "]"
    text = visible(str(value))
    return '"' + text.replace('"', '\\"') + '"' if not text or set(text) & set(' ="') else text


def _instant(at: datetime) -> str:
    at = at.astimezone(UTC) if at.tzinfo else at
    return f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"


# ---------------------------------------------------------------- what libraries say


REPEATS_WITHIN = 60.0
"""Seconds in which a library's line is written once; the next one says how many there were."""
MOST_KINDS = 64
"""Lines that are told apart for that; what comes beyond shares one count."""
_NUMBERS = re.compile(r"\d+")


class _Repeats:
    """Which of a library's lines is worth writing: a process out of file descriptors got 46 MB of them in 35 s."""

    def __init__(self) -> None:
        self._written: dict[tuple[object, ...], tuple[float, int]] = {}
        """By kind: when it was last written, and how many were left out since."""

    def take(self, record: logging.LogRecord) -> int | None:
        """How many like it were left out before; None: leave this one out too."""
        at = record.created
        kind: tuple[object, ...] = (record.name, record.levelno, _NUMBERS.sub("0", str(record.msg)[:100]))
        if kind not in self._written and len(self._written) >= MOST_KINDS:
            self._written = {one: last for one, last in self._written.items() if abs(at - last[0]) < REPEATS_WITHIN}
            if len(self._written) >= MOST_KINDS:
                kind = ()
        last, left_out = self._written.get(kind, (None, 0))
        if last is not None and abs(at - last) < REPEATS_WITHIN:  # a clock set back must not silence it for long
            self._written[kind] = last, left_out + 1
            return None
        self._written[kind] = at, 0
        return left_out


class _Bridge(logging.Handler):
    """Standard-library records as our events. apprise is left out: its warnings name URLs; ``notify.delivery`` tells
    its failures.

    What a library repeats is written once a minute, with the count."""

    def __init__(self, log: StructuredLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._repeats = _Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] == "apprise":
            return
        left_out = self._repeats.take(record)
        if left_out is None:
            return
        try:
            said = record.getMessage()
        except (TypeError, ValueError):
            said = str(record.msg)
        name = Event.LIBRARY_ERROR if record.levelno >= logging.ERROR else Event.LIBRARY_WARNING
        error = record.exc_info[1] if record.exc_info else None
        extra: dict[str, object] = {"error": error} if error is not None else {}
        if left_out:
            extra["repeated"] = left_out
        self._log.event(name, logger=record.name, said=" ".join(said.split()), **extra)


def _bridge(log: StructuredLog) -> None:
    root = logging.getLogger()
    _drop(root, [handler for handler in root.handlers if type(handler) in (_Bridge, logging.StreamHandler)])
    root.addHandler(_Bridge(log))
    root.setLevel(logging.WARNING)
    for name in LIBRARIES:
        library = logging.getLogger(name)
        _drop(library, list(library.handlers))
        library.propagate = True
        library.setLevel(logging.WARNING)


def _drop(logger: logging.Logger, handlers: Sequence[logging.Handler]) -> None:
    for handler in handlers:
        logger.removeHandler(handler)
