"""Whatever gateways and people write into keys, names and reasons: every verb prints it as text, and keys come back."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import ConsoleDimensions, RenderableType
from rich.text import Text
from typer.testing import CliRunner, Result

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import CaseResult, CaseStatus, Expected, ScenarioCase
from openclaw_simulator.server import SimulatedGateway
from openclaw_simulator.world import World as SimulatedWorld
from tests.fakes.builders import V96, dead
from tests.fakes.gateway import FakeGateway
from tests.fakes.world import World
from tests.unit.cli.gateways import served
from tests.unit.hostile import ANY_TEXT, HOSTILE, hostile, is_printable
from tests.unit.status.support import NOW, full_document
from watchdog import cli
from watchdog.adapters.clock import SystemClock
from watchdog.cli import check, demo, doctor, history, replay
from watchdog.cli.app import app
from watchdog.cli.explain import Explained, explanation_lines
from watchdog.cli.render import lost_frame, status_lines, top_frame
from watchdog.cli.screen import screen, text_of
from watchdog.cli.shared import Leave, print_json, say, say_error
from watchdog.core.printable import read, shown_key
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.replay.story import Line, Story
from watchdog.service.ledger import Ack, AuditLine, Incident, Outcome, Quarantine
from watchdog.service.one_shot import Inspection, inspect


@pytest.fixture(scope="module", autouse=True)
def _plain_pipe() -> Iterator[None]:
    """No width is asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        yield


few = settings(max_examples=30)


def printed(show: Callable[[], object]) -> str:
    """What comes out on both streams, in strict UTF-8: a lone surrogate would raise."""
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict", write_through=True)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        show()
    stream.flush()
    buffer = stream.detach()
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


def show(*lines: Text) -> None:
    for line in lines:
        screen().print(line)


def picture_of(frame: Callable[[ConsoleDimensions], RenderableType]) -> None:
    console = screen(is_picture=True)
    console.print(frame(console.size))


def assert_text(out: str) -> None:
    """Nothing but what prints, in lines."""
    for line in out.split("\n"):
        assert is_printable(line), ascii(line)


def holds_key(out: str, key: str) -> bool:
    """The key stands there whole, in the form that is pasted back."""
    (word,) = shlex.split(shown_key(key))
    return read(word) == key and shown_key(key) in out


def inspected(key: str, text: str) -> tuple[World, Inspection]:
    world = World(version=V96)
    world.gateway.put(dead(key, last_run_error=text, parent_key=key, channel=text, name=text))
    world.gateway.name = "home"
    found = asyncio.run(inspect(world.gateway, world.book, world.clock, at_most=timedelta(seconds=2)))
    return world, replace(found, facts=replace(found.facts, version=text or "1"))


@hostile
@few
@given(ANY_TEXT)
def test_check(text: str) -> None:
    _, found = inspected(text, text)
    out = printed(lambda: check._print([found, check.Unreached("away", f"away: {text}")]))
    assert_text(out)
    assert sum(check._for_nagios(shown_key(text)) in line for line in out.split("\n")) >= 1, "whole, on one line"
    (word,) = shlex.split(check._for_nagios(shown_key(text)))
    assert read(word) == text


@hostile
@few
@given(ANY_TEXT)
def test_explain(text: str) -> None:
    world, found = inspected(text, text)
    (judged,) = found.judged
    with SqliteLedger.in_memory(wall=lambda: NOW.wall) as ledger:
        it = Explained.of(found, judged, world.gateway, ledger, text)
        out = printed(lambda: show(*(text_of(line) for line in explanation_lines(it))))
    assert_text(out)
    assert holds_key(out.split("\n", maxsplit=1)[0], text)
    assert isinstance(world.gateway, FakeGateway)


def filled(document: Any, text: str) -> Any:
    """The document with ``text`` for every word that others can write."""
    words = (
        "key",
        "session",
        "name",
        "version",
        "problem",
        "message",
        "reason",
        "who",
        "detail",
        "words",
        "error",
        "text",
    )
    if isinstance(document, list):
        return [filled(one, text) for one in document]
    if isinstance(document, dict):
        return {
            name: text if name in words and isinstance(value, str) else filled(value, text)
            for name, value in document.items()
        }
    return document


@hostile
@few
@given(ANY_TEXT)
def test_status_and_top(text: str) -> None:
    document = filled(full_document(), text)
    for gateway in document["gateways"]:
        gateway["names"] = {text: text}
    out = printed(lambda: show(*status_lines(document, NOW.wall)))
    assert_text(out)
    assert holds_key(out, text)
    picture = printed(lambda: picture_of(lambda size: top_frame(document, NOW.wall, size, is_once=True)))
    assert_text(picture)
    assert holds_key(picture, text), "a pipe takes keys whole"
    assert_text(printed(lambda: picture_of(lambda _: lost_frame("", text))))


@hostile
@few
@given(ANY_TEXT)
def test_history(text: str) -> None:
    incident = Incident(text, text, text, "sid", NOW.wall, text, Outcome.OPEN)
    line, ack = AuditLine(NOW.wall, text, text, text), Ack(text, text, NOW.wall, text, text)
    out = printed(lambda: history._print(history._Found([incident], [line], {text: ack}), NOW.wall))
    assert_text(out)
    assert holds_key(out, text)


@hostile
@few
@given(ANY_TEXT)
def test_replay(text: str) -> None:
    story = Story(text, (Line(NOW.wall, "held", text),), (Line(NOW.wall, text, "resume"),), frozenset())
    out = printed(lambda: replay._print_story(screen(), story, "¹"))
    assert_text(out)
    assert holds_key(out, text)


@hostile
@few
@given(ANY_TEXT)
def test_doctor_demo_and_sentences(text: str) -> None:
    lines = (
        lambda: doctor.show([doctor.ReportLine(text, doctor.Grade.WARN, text)]),
        lambda: screen(is_picture=True).print(
            demo._frame(
                [CaseResult(ScenarioCase(text, Expected.UNTOUCHED, text), CaseStatus.RIGHT, text)], _story(text), "1s"
            )
        ),
        lambda: say(text),
        lambda: say_error(text),
        lambda: print_json({text: [text]}),
    )
    for show in lines:
        assert_text(printed(show))
    assert printed(lambda: say_error(text)).count("\n") == 1, "one sentence stays one line"


def _story(text: str) -> demo._Story:
    story = demo._Story()
    story.lines.append(text)
    return story


@few
@given(st.lists(ANY_TEXT, max_size=4))
def test_json_says_what_it_is(texts: list[str]) -> None:
    assert json.loads(printed(lambda: print_json(texts))) == json.loads(json.dumps(texts))


# ---------------------------------------------------------------- the verbs, as they are typed


ON_A_GATEWAY = [key for key in HOSTILE if key.strip() and "\ud83d" not in key]
"""Half of an emoji is no JSON that a gateway can send as UTF-8; other tests send it as an escape."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[SimulatedGateway]:
    """A gateway that has a session under every hostile key, in a thread of its own."""
    world = SimulatedWorld(PROFILES["2026.9.6"], SystemClock().now().wall - timedelta(hours=1), 1)
    for key in ON_A_GATEWAY:
        world.session(key)
    with served(world) as gateway:
        yield gateway


@pytest.fixture
def enter(gateway: SimulatedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = tmp_path / "watchdog.yaml"
    config.write_text(
        f"gateways: [{{name: home, url: '{gateway.url}', token: {gateway.access.token}, state_dir: none}}]\n"
        f"poll_every: 100ms\nthresholds: {{confirm_for: 100ms, startup_grace: 1s}}\nallow_short_thresholds: true\n"
        f"state_dir: {tmp_path}/state\n",
        "utf-8",
    )

    def run(*arguments: str) -> Result:
        done = CliRunner().invoke(app, [*arguments, "--config", str(config)])
        assert done.exception is None or isinstance(done.exception, SystemExit | Leave), done.exception
        assert_text(done.output)
        return done

    return run


def test_check_lists_every_key_and_explain_takes_each_as_it_is_printed(enter: Callable[..., Result]) -> None:
    lines = enter("check").stdout.split("\n")
    for key in ON_A_GATEWAY:
        (line,) = [line for line in lines if f" {shown_key(key)} " in line]
        assert line.startswith(("healthy", "waiting", "unknown"))
    assert {one["key"] for one in json.loads(enter("check", "--json").stdout)["gateways"][0]["sessions"]} == set(
        ON_A_GATEWAY
    )
    for key in ("\\x1b", "\\\x1b", "-rf", "agent:main:\u202egnp.exe", "@here <!channel> <@U1> [x](http://y)"):
        (word,) = shlex.split(shown_key(key))
        assert json.loads(enter("explain", word, "--json").stdout)["key"] == key
    assert enter("explain", "[/x]").stdout.startswith("'[/x]'  on home (OpenClaw 2026.9.6)")
    assert r"no session has the key '\x1b[2J'" in enter("explain", "\x1b[2J").stderr
    assert enter("explain", "\x1b[2J").stderr.endswith("; `check` lists them all.\n")
    assert r"no session has the key '\x1b[2J'" in enter("recover", "\x1b[2J", "--step", "resume", "--yes").stderr
    assert "connected to OpenClaw" in enter("doctor").stdout


@pytest.mark.parametrize("key", ON_A_GATEWAY)
def test_switches_take_a_key_as_it_is_printed(enter: Callable[..., Result], tmp_path: Path, key: str) -> None:
    (word,) = shlex.split(shown_key(key))
    assert f"paused {shown_key(key)} until" in enter("pause", "--session", word).stdout
    path = ledger_path(tmp_path / "state")
    with SqliteLedger.open(path) as ledger:
        assert [one.session for one in ledger.pauses(SystemClock().now().wall)] == [key]
        ledger.quarantine(Quarantine("home", key, "sid", datetime(2026, 11, 20, tzinfo=UTC), "why", "i-1"))
    assert "1 pause ended" in enter("unpause", "--session", word).stdout
    assert f"released {shown_key(key)}" in enter("release", word).stdout
    assert f"session {shown_key(key)}" in enter("history").stdout


def test_what_is_typed_as_it_is_counts_where_nobody_has_the_other(enter: Callable[..., Result], tmp_path: Path) -> None:
    enter("pause")
    with SqliteLedger.open(ledger_path(tmp_path / "state")) as ledger:
        ledger.quarantine(Quarantine("home", "a\\x41", "sid", datetime(2026, 11, 20, tzinfo=UTC), "why", "i-1"))
    assert r"released a\\x41" in enter("release", "a\\x41").stdout.replace("'", "")


# ---------------------------------------------------------------- no other way onto a screen


def calls_in(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))


def test_nothing_is_printed_past_the_screen() -> None:
    """One place makes consoles (without markup), one module echoes; no markup is written anywhere."""
    for path in Path(cli.__file__).parent.glob("*.py"):
        assert "rich.markup" not in path.read_text("utf-8"), path
        for call in calls_in(path):
            name = ast.unparse(call.func)
            if name == "Console":
                assert path.name == "screen.py"
                assert {"markup", "emoji", "highlight"} <= {word.arg for word in call.keywords}
            elif name in ("typer.echo", "print", "click.echo"):
                is_version = path.name == "app.py" and "__version__" in ast.unparse(call)
                assert path.name == "shared.py" or is_version, f"{path.name}:{call.lineno}"
            elif name.endswith("from_markup"):
                raise AssertionError(f"{path.name}:{call.lineno}")
            elif name == "Panel":
                titles = [word.value for word in call.keywords if word.arg in ("title", "subtitle")]
                assert all(isinstance(title, ast.Constant) for title in titles), "rich takes a panel's title for markup"


def test_the_screen_takes_no_markup() -> None:
    assert sys.stdout is not None
    assert printed(lambda: screen().print("[bold]x[/] :thread: [/y]")) == "[bold]x[/] :thread: [/y]\n"
