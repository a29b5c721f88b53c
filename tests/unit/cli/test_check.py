"""``check`` as Nagios and a pipe take it: one line that says it all, and no status that it does not mean."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import demo_world
from openclaw_simulator.server import SimulatedGateway
from openclaw_simulator.world import World
from tests.fakes.builders import dead
from tests.fakes.world import World as FakeWorld
from tests.unit.cli.gateways import Type, code_of, section, served, typing, write_config
from watchdog.adapters.clock import SystemClock
from watchdog.cli import check
from watchdog.core.printable import read
from watchdog.service.one_shot import Inspection, inspect

AWAY = "{name: away, url: 'ws://127.0.0.1:1', token: x}"
FIGURE = re.compile(r"[a-z_]+=\d+;\d*;\d*;0(;\d+)?")
"""One of Nagios' performance data: label=value;warn;crit;min;max."""


@pytest.fixture(scope="module")
def busy() -> Iterator[SimulatedGateway]:
    with served(demo_world(SystemClock().now().wall, PROFILES["2026.9.6"]).world) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def quiet() -> Iterator[SimulatedGateway]:
    world = World(PROFILES["2026.9.6"], SystemClock().now().wall, 1)
    world.session("agent:main:main")
    with served(world) as gateway:
        yield gateway


def enter(folder: Path, *sections: str) -> Type:
    return typing(write_config(folder, *sections))


def test_the_first_line_says_it_all_and_has_the_figures(busy: SimulatedGateway, tmp_path: Path) -> None:
    done = enter(tmp_path, section("home", busy))("check")
    words, _, figures = done.stdout.split("\n", 1)[0].partition("|")
    assert code_of(done) == 2
    assert words.startswith("CRITICAL - 8 stuck of 22 sessions: agent:main:")
    assert words.endswith(" on home and 5 more")
    assert all(FIGURE.fullmatch(one) for one in figures.split()), figures
    assert {"sessions=22;;;0", "stuck=8;;0;0", "suspect=0;0;;0", "unreached=0;;;0;1"} <= set(figures.split())


def test_all_is_well_in_one_line(quiet: SimulatedGateway, tmp_path: Path) -> None:
    done = enter(tmp_path, section("home", quiet))("check")
    assert code_of(done) == 0
    assert done.stdout.startswith("OK - 1 session, none of them stuck|sessions=1;;;0 ")
    assert "\nhome  OpenClaw 2026.9.6, 1 session\n" in done.stdout


def test_a_gateway_that_is_away_is_unknown_and_the_line_says_why(quiet: SimulatedGateway, tmp_path: Path) -> None:
    done = enter(tmp_path, section("home", quiet), AWAY)("check")
    assert code_of(done) == 3
    assert done.stdout.startswith("UNKNOWN - 1 session, none of them stuck; away: cannot connect")
    assert " unreached=1;;;0;2\n" in done.stdout
    assert done.stderr.startswith("openclaw-watchdog: away: cannot connect")


WRONG = {
    "an option before it": (("--config", "x"), r"No such option:? '?--config"),
    "an option": (("--gatewy", "home"), r"No such option:? '?--gatewy"),  # click 8.5 puts it in quotes
    "a gateway": (("--gateway", "nope"), r"no gateway is called nope; configured: away\."),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_use_is_no_stuck_session(wrong: str, tmp_path: Path) -> None:
    words, said = WRONG[wrong]
    line = (*words, "check") if wrong.endswith("before it") else ("check", *words)
    done = enter(tmp_path, AWAY)(*line)
    assert code_of(done) == 3
    assert re.match(f"UNKNOWN - {said}", done.stdout)
    document = json.loads(enter(tmp_path, AWAY)(*line, "--json").stdout)
    assert (document["status"], document["exit_code"]) == ("unknown", 3)
    assert re.match(said, document["problems"][0])


def test_wrong_use_of_another_verb_is_wrong_use(tmp_path: Path) -> None:
    assert code_of(enter(tmp_path, AWAY)("--bogus", "explain", "check")) == 2


def test_a_fault_of_its_own_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_inspect_all", lambda *_, **__: {"": 0}["a|b"])
    done = enter(tmp_path, AWAY)("check")
    assert (code_of(done), done.stdout) == (3, "UNKNOWN - a fault of its own (KeyError)\n")
    assert "KeyError: 'a|b'" in done.stderr
    assert json.loads(enter(tmp_path, AWAY)("check", "--json").stdout)["exit_code"] == 3


@pytest.mark.parametrize(
    ("words", "code"), [("check", 0), ("check --json", 0), ("check --bogus", 3), ("check -g nope 2>&1", 3)]
)
def test_a_pipe_that_is_closed_changes_no_status(
    quiet: SimulatedGateway, tmp_path: Path, words: str, code: int
) -> None:
    config = write_config(tmp_path, section("home", quiet))
    watchdog = shlex.join([sys.executable, "-m", "watchdog"])
    verb, _, rest = words.partition(" ")
    # The reader is gone before anything is written: its end of the pipe is closed when the verb is started.
    line = f"(read -r go; {watchdog} {verb} --config {config} {rest}; echo $? >{tmp_path}/status) | exec 0<&-"
    with subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as shell:
        _, said = shell.communicate("go\n", timeout=60)
    assert (tmp_path / "status").read_text("utf-8") == f"{code}\n", said
    assert "BrokenPipe" not in said


def test_a_configuration_that_is_refused_is_unknown(tmp_path: Path) -> None:
    config = write_config(tmp_path, AWAY, more="stauts_page: null\n")
    done = typing(config)("check")
    assert code_of(done) == 3
    assert done.stdout.startswith(f"UNKNOWN - {config}:6:1: ")
    assert done.stdout.count("\n") == 1
    document = json.loads(typing(config)("check", "--json").stdout)
    assert (document["status"], document["exit_code"], document["gateways"]) == ("unknown", 3, [])
    assert "stauts_page" in document["problems"][0]


def test_words_cannot_be_taken_for_figures() -> None:
    (state, words) = check._first_line([check.Unreached("away", "away: x|stuck=0.")], has_figures=False)
    assert (state, words) == (("UNKNOWN", "bold magenta"), r" - away: x\x7cstuck=0")


INJECTED = ("agent:main:x|stuck=0", "agent:main:x\\|stuck=0", "agent:main:x\\x7c\\|stuck=0")


def test_no_line_of_a_pipe_holds_figures_that_a_key_brings(tmp_path: Path) -> None:
    world = World(PROFILES["2026.9.6"], SystemClock().now().wall, 1)
    for key in INJECTED:
        world.session(key)
    with served(world) as gateway:
        done = enter(tmp_path, section("home", gateway), AWAY)("check")
    first, *lines = done.stdout.splitlines()
    assert first.count("|") == 1
    assert [line for line in lines if "|" in line] == []
    assert "|" not in done.stderr
    words = [shlex.split(line)[1] for line in lines if "stuck=0" in line]
    assert sorted(map(read, words)) == sorted(INJECTED), "and each can be pasted back"


class Stream(io.StringIO):
    """Text that is taken for a terminal's, or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def named_sessions() -> Inspection:
    world = FakeWorld()
    world.gateway.put(dead("agent:main:telegram:group:-100:topic:11", name="Family chat (topic: holidays)"))
    world.gateway.put(dead("agent:main:telegram:direct:4711", session_id="s2", name="Eve | stuck=0\u202e ”  \x1b[31m"))
    found = asyncio.run(inspect(world.gateway, world.book, world.clock, at_most=timedelta(seconds=2)))
    return replace(found, facts=replace(found.facts, name="home"))


TALL = """\
stuck         agent:main:telegram:group:-100:topic:11  “Family chat (topic: holidays)”
    25h  The gateway says no run is active.
stuck         agent:main:telegram:direct:4711  “Eve | stuck=0\\u202e '  \\x1b[31m”
    25h  The gateway says no run is active.
"""
WIDE = """\
stuck         agent:main:telegram:group:-100:topic:11  25h  The gateway says no run is active.  “Family chat (topic: holidays)”
stuck         agent:main:telegram:direct:4711          25h  The gateway says no run is active.  “Eve | stuck=0\\u202e '  \\x1b[31m”
"""
PIPE = """\
stuck         agent:main:telegram:group:-100:topic:11  25h  The gateway says no run is active.
stuck         agent:main:telegram:direct:4711          25h  The gateway says no run is active.
"""


@pytest.mark.parametrize(("columns", "shown"), [(40, TALL), (80, TALL), (200, WIDE), (None, PIPE)])
def test_names_stand_beside_keys_on_a_terminal_and_never_in_a_pipe(
    columns: int | None, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Nagios gets it sends to others."""
    monkeypatch.setenv("TERM", "dumb")
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
    stream = Stream(is_terminal=columns is not None)
    monkeypatch.setattr(sys, "stdout", stream)
    check._print([named_sessions()])
    assert re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).endswith(f"2 sessions\n{shown}")


def test_names_are_not_in_json() -> None:
    document = json.dumps(check._document([named_sessions()]))
    assert "agent:main:telegram:direct:4711" in document
    assert "Family" not in document
    assert "Eve" not in document
