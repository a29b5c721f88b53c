"""Lines as people and machines read them, and nothing secret in any of them."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.clock import ManualClock
from tests.unit.hostile import ANY_TEXT, hostile, is_printable
from watchdog.adapters import logs
from watchdog.core.model import Moment
from watchdog.core.printable import shown_key, visible
from watchdog.service.errors import GatewayUnreachable
from watchdog.service.events import Event, Log
from watchdog.service.redaction import Secrets

NOW = datetime(2026, 9, 14, 14, 3, 7, 250_000, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    root.handlers[:] = [handler for handler in root.handlers if type(handler).__module__ != logs.__name__]
    root.setLevel(level)
    structlog.reset_defaults()


def _written(format_: str = "json", level: str = "info", **fields: object) -> str:
    stream = io.StringIO()
    log: Log = logs.configure(
        format_, level, stream, clock=ManualClock(Moment(100.0, NOW), may_sleep=False), environ={}
    )
    log.event(Event.SESSION_STUCK, **fields)
    return stream.getvalue()


# ---------------------------------------------------------------- JSON


def test_a_json_line() -> None:
    line = _written(
        reason="NoActiveRun",
        unattended_for=timedelta(minutes=21, seconds=3),
        session="agent:main:main",
        gateway="home",
        opened_at=datetime(2026, 9, 14, 16, 3, tzinfo=timezone(timedelta(hours=2))),
        blockers=("paused", "cool_down"),
        verdicts={"healthy": 12},
        state_dir=Path("/var/lib/x"),
    )
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "timestamp": "2026-09-14T14:03:07.250000Z",
        "level": "warning",
        "event": "session.stuck",
        "gateway": "home",
        "session": "agent:main:main",
        "reason": "NoActiveRun",
        "unattended_for": 1263.0,
        "opened_at": "2026-09-14T14:03:00.000000Z",
        "blockers": ["paused", "cool_down"],
        "verdicts": {"healthy": 12},
        "state_dir": "/var/lib/x",
    }
    assert list(json.loads(line))[:5] == ["timestamp", "level", "event", "gateway", "session"]


def test_the_system_clock_stamps_in_iso_utc() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream, environ={}).event(Event.DAEMON_STARTED)
    stamp = json.loads(stream.getvalue())["timestamp"]
    assert stamp.endswith("Z")
    assert datetime.fromisoformat(stamp).utcoffset() == timedelta(0)


def test_reserved_names_do_not_overwrite_the_event() -> None:
    line = json.loads(_written(event="mine", timestamp="mine"))
    assert (line["event"], line["level"], line["event_"]) == ("session.stuck", "warning", "mine")


@pytest.mark.parametrize("format_", ["json", "console"])
@given(key=st.text())
def test_one_event_is_one_line_whatever_a_key_holds(format_: str, key: str) -> None:
    line = _written(format_, session=key, where={key: [key]})
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    line.encode("utf-8")
    assert "\x1b" not in line
    if format_ == "json":
        json.loads(line)


def test_levels_below_the_chosen_one_are_silent() -> None:
    assert _written(level="error") == ""
    assert _written(level="debug") != ""
    with pytest.raises(ValueError, match="loud"):
        logs.configure("json", "loud", io.StringIO())


def test_a_lost_stream_never_stops_us() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    logs.configure("json", "info", Full(), environ={}).event(Event.DAEMON_STARTED)
    closed = io.StringIO()
    log = logs.configure("json", "info", closed, environ={})
    closed.close()
    log.event(Event.DAEMON_STARTED)


# ---------------------------------------------------------------- values


class Colour(StrEnum):
    RED = "red"


@dataclass
class Private:
    request: str = "a person's words"


def test_values_become_plain() -> None:
    line = json.loads(
        _written(
            colour=Colour.RED,
            private=Private(),
            raw=b"abc",
            nothing=None,
            odd=float("nan"),
            some={3, 1, 2},
            long="x" * 5000,
            many=list(range(500)),
            deep=[[[[[[[["bottom"]]]]]]]],
        )
    )
    assert line["colour"] == "red"
    assert line["private"] == "<Private>"
    assert line["raw"] == "<3 bytes>"
    assert line["nothing"] is None
    assert line["odd"] == "nan"
    assert line["some"] == [1, 2, 3]
    assert len(line["long"]) == logs.LONGEST_VALUE
    assert len(line["many"]) == logs.MOST_ITEMS
    assert "bottom" not in json.dumps(line["deep"])


def test_errors_are_one_line_ours_without_and_others_with_their_place() -> None:
    def fails() -> None:
        raise KeyError("x\ny")

    try:
        fails()
    except KeyError as error:
        told = logs.one_line(error)
    assert told.startswith("KeyError: 'x\\ny' (at test_logs.py:")
    assert " in fails < test_logs.py:" in told
    assert logs.one_line(GatewayUnreachable("Nothing answers.")) == "GatewayUnreachable: Nothing answers."
    assert logs.one_line(TimeoutError()) == "TimeoutError"


# ---------------------------------------------------------------- console


def test_the_console_as_a_person_sees_it() -> None:
    stream = io.StringIO()
    log = logs.configure("console", "info", stream, clock=ManualClock(Moment(100.0, NOW), may_sleep=False), environ={})
    log.event(Event.DAEMON_STARTED, version="1.0.0", mode="observe")
    log.event(
        Event.SESSION_STUCK, reason="NoActiveRun", gateway="home", session="agent:main:main", age=timedelta(minutes=21)
    )
    log.event(Event.RECOVERY_HELD, gateway="home", session="a b", blockers=["paused", "cool_down"], is_proven=False)
    log.event(Event.SESSION_QUARANTINED, gateway="home", reason='said "no"', took=0.25, run=None, counts={"stuck": 1})
    assert stream.getvalue().splitlines() == [
        "2026-09-14T14:03:07Z info  daemon.started           version=1.0.0 mode=observe",
        "2026-09-14T14:03:07Z warn  session.stuck            home agent:main:main reason=NoActiveRun age=21m",
        "2026-09-14T14:03:07Z info  recovery.held            home 'a b' blockers=[paused, cool_down] is_proven=no",
        '2026-09-14T14:03:07Z error session.quarantined      home reason="said \\"no\\"" took=0.25 run=- counts={stuck:1}',
    ]


def test_auto_is_coloured_console_on_a_terminal_and_json_elsewhere() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    logs.configure("auto", "info", terminal, environ={}).event(Event.DAEMON_STARTED)
    logs.configure("auto", "info", pipe, environ={}).event(Event.DAEMON_STARTED)
    assert "\x1b[32m" in terminal.getvalue()
    json.loads(pipe.getvalue())


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_refused(environ: dict[str, str]) -> None:
    terminal = Terminal()
    logs.configure("auto", "info", terminal, environ=environ).event(Event.DAEMON_STARTED, version="1")
    assert "\x1b" not in terminal.getvalue()
    assert "version=1" in terminal.getvalue()


def test_a_terminal_that_inherited_journal_stream_is_still_a_terminal() -> None:
    terminal = Terminal()
    logs.configure("auto", "info", terminal, environ={"JOURNAL_STREAM": "8:1"}).event(Event.DAEMON_STARTED)
    assert terminal.getvalue().startswith("\x1b[2m")


def test_in_the_journal_each_line_carries_its_priority(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as journal:
        found = os.fstat(journal.fileno())
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        log = logs.configure("auto", "debug", journal, environ=environ)
        log.event(Event.DAEMON_STARTED)
        log.event(Event.SESSION_STUCK)
        log.event(Event.LEDGER_UNAVAILABLE)
        journal.seek(0)
        lines = journal.readlines()
    assert [line[:4] for line in lines] == ["<6>{", "<4>{", "<3>{"]
    assert not logs.is_journal(io.StringIO(), environ)
    assert not logs.is_journal(Terminal(), {})


# ---------------------------------------------------------------- secrets

marked = st.text(min_size=6, max_size=30).map(lambda text: f"§{text}§")
shapes = st.recursive(
    st.builds(lambda before, after: ("SECRET", before, after), st.text(max_size=10), st.text(max_size=10)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _with(secret: str, shape: object) -> object:
    match shape:
        case ("SECRET", str() as before, str() as after):
            return before + secret + after
        case list():
            return [_with(secret, item) for item in shape] + [RuntimeError(f"at {secret}")]
        case dict():
            return {**{key: _with(secret, item) for key, item in shape.items()}, secret: secret}
    raise AssertionError(shape)


@pytest.mark.parametrize("format_", ["json", "console"])
@given(secret=marked, shape=shapes)
def test_a_registered_secret_is_in_no_line(format_: str, secret: str, shape: object) -> None:
    stream = io.StringIO()
    log = logs.configure(format_, "debug", stream, secrets=Secrets([secret]), environ={})
    log.event(Event.CYCLE_FAILED, detail=_with(secret, shape), gateway=secret, error=ValueError(secret))
    line = stream.getvalue()
    assert line
    for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], visible(secret)):
        assert form not in line


def test_secrets_added_later_and_numbers_are_masked_too() -> None:
    stream, secrets = io.StringIO(), Secrets()
    log = logs.configure("json", "info", stream, secrets=secrets, environ={})
    secrets.add("12345678")
    log.event(Event.CYCLE_FINISHED, pin=12345678, other=1234567)
    line = json.loads(stream.getvalue())
    assert (line["pin"], line["other"]) == ("***", 1234567)


def test_fields_named_like_secrets_are_masked_at_any_depth() -> None:
    line = json.loads(
        _written(token="abc", message="hello", nested=[{"password": "x", "text": ["y"]}], url="ws://u:p@h/?token=t")
    )
    assert line["token"] == line["message"] == "***"
    assert line["nested"] == [{"password": "***", "text": "***"}]
    assert line["url"] == "ws://***@h/?token=***"


# ---------------------------------------------------------------- what libraries say


@pytest.mark.parametrize("library", ["apscheduler.scheduler", "websockets.client", "uvicorn.error", "asyncio"])
def test_libraries_are_heard_once_from_warning_on(library: str) -> None:
    stream = io.StringIO()
    foreign = logging.getLogger(library.split(".")[0])
    foreign.addHandler(logging.StreamHandler(stream))  # as uvicorn does
    for _ in range(2):
        logs.configure("json", "debug", stream, environ={})
    logger = logging.getLogger(library)
    logger.debug("a frame with a token")
    logger.info("chatty")
    logger.warning("Run time of %s\nwas missed, ws://u:p@h", "bell")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 1
    assert lines[0]["event"] == "library.warning"
    assert lines[0]["logger"] == library
    assert lines[0]["said"] == "Run time of bell was missed, ws://***@h"


def test_a_librarys_error_keeps_its_exception_on_the_line() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream, environ={})
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("apscheduler.executors.default").exception("Job failed")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"]) == ("library.error", "error")
    assert line["error"].startswith("ValueError: bad (at test_logs.py:")


def test_apprise_is_not_heard_because_it_names_urls() -> None:
    stream = io.StringIO()
    logs.configure("json", "debug", stream, environ={})
    logging.getLogger("apprise").error("Unloadable URL tgram://123:abc/1")
    assert stream.getvalue() == ""


def test_a_broken_library_message_is_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own would choke on it
    stream = io.StringIO()
    logs.configure("json", "info", stream, environ={})
    logging.getLogger("websockets").warning("%d frames", "many")
    assert json.loads(stream.getvalue())["said"] == "%d frames"


def test_plain_structlog_goes_the_same_way() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream, secrets=Secrets(["hunter2-hunter2"]), environ={})
    structlog.get_logger().warning("elsewhere", note="hunter2-hunter2")
    assert json.loads(stream.getvalue())["note"] == "***"


# ---------------------------------------------------------------- what libraries repeat


class Library:
    """Says things through ``logging`` at times of its own."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        logs.configure("json", "info", self.stream, environ={})

    def say(self, text: str, at: float, *args: object, name: str = "asyncio") -> None:
        record = logging.LogRecord(name, logging.ERROR, "x.py", 1, text, args, None)
        record.created = at
        logging.getLogger(name).handle(record)

    @property
    def lines(self) -> list[tuple[str, object]]:
        found = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [(line["said"], line.get("repeated")) for line in found]


def test_what_a_library_repeats_is_written_once_a_minute_with_the_count() -> None:
    library = Library()
    for number in range(2000):
        library.say(f"socket.accept() out of system resource, fd={number}", 1000 + number / 100)
    assert library.lines == [("socket.accept() out of system resource, fd=0", None)]
    library.say("something else", 1001)
    library.say("socket.accept() out of system resource, fd=5", 1061)
    assert library.lines[1:] == [("something else", None), ("socket.accept() out of system resource, fd=5", 1999)]
    library.say("socket.accept() out of system resource, fd=6", 1200)
    assert library.lines[-1] == ("socket.accept() out of system resource, fd=6", None)


def test_a_clock_that_was_set_back_silences_nothing_for_long() -> None:
    library = Library()
    library.say("again", 10_000)
    library.say("again", 100)
    assert len(library.lines) == 2


def test_ever_new_lines_are_bounded_too() -> None:
    library = Library()
    for number in range(5000):
        word = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        library.say(f"bad request {word}", 1000 + number / 1000)
    assert len(library.lines) == logs.MOST_KINDS + 1
    library.say("another day", 2000)
    assert library.lines[-1] == ("another day", None)


@hostile
@given(ANY_TEXT)
def test_whatever_others_wrote_a_line_prints_and_stays_one(text: str) -> None:
    for form in ("console", "json"):
        stream = io.StringIO()
        log = logs.configure(form, "info", stream, environ={})
        log.event(Event.SESSION_STUCK, gateway="home", session=text, reason=text, counts={text: text})
        line = stream.getvalue()
        assert line.count("\n") == 1
        assert is_printable(line.rstrip("\n"))
        if form == "console":
            assert f" home {shown_key(text)} reason=" in line
        else:
            assert json.loads(line)["session"] == json.loads(json.dumps(text)), (
                "two halves in a row are one letter in JSON"
            )
