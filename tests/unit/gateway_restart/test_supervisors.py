"""systemd, launchd and the operator's command: what is asked of them, what their answers mean, and what is never done."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes.clock import START
from watchdog.adapters.programs import Ran
from watchdog.gateway_restart.decision import Unit
from watchdog.gateway_restart.supervisors import (
    MOST_SAID,
    LaunchdService,
    OperatorsCommand,
    SystemdUnit,
    said,
)

from .support import HOUR, MINUTE

NOW = START
UNIT = "openclaw-gateway.service"
LABEL = "ai.openclaw.gateway"
ENV = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": "/run/ours", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}


@dataclass
class Runner:
    """Answers by the verb, and writes down what it was asked."""

    answers: Mapping[str, Ran] = field(default_factory=dict)
    ran: list[Sequence[str]] = field(default_factory=list)
    envs: list[Mapping[str, str]] = field(default_factory=list)

    async def __call__(self, argv: Sequence[str], env: Mapping[str, str], limit: float) -> Ran:
        self.ran.append(tuple(argv))
        self.envs.append(env)
        assert limit > 0
        return next((answer for verb, answer in self.answers.items() if verb in argv), Ran(0))


# ---------------------------------------------------------------- systemd


def shown(active: str, load: str = "loaded", started: float | None = START.monotonic - 3600, **more: str) -> str:
    lines = {"LoadState": load, "ActiveState": active, "SubState": more.pop("sub", active), **more}
    if started is not None:
        lines["ExecMainStartTimestampMonotonic"] = str(int(started * 1_000_000))
    return "".join(f"{name}={value}\n" for name, value in lines.items())


UNITS: list[tuple[str, Unit]] = [
    (shown("active", sub="running"), Unit.RUNNING),
    (shown("failed"), Unit.FAILED),
    (shown("failed", ExecMainCode="1", ExecMainStatus="1"), Unit.FAILED),
    (shown("failed", ExecMainCode="2", ExecMainStatus="9"), Unit.FAILED),
    (shown("failed", ExecMainCode="1", ExecMainStatus="143"), Unit.STOPPED),
    (shown("failed", ExecMainCode="2", ExecMainStatus="15"), Unit.STOPPED),
    (shown("inactive", sub="dead"), Unit.STOPPED),
    (shown("inactive", "masked"), Unit.STOPPED),
    (shown("inactive", "not-found"), Unit.ABSENT),
    (shown("inactive", "bad-setting"), Unit.ABSENT),
    (shown("activating", sub="auto-restart"), Unit.BUSY),
    (shown("activating", sub="start"), Unit.BUSY),
    (shown("deactivating", sub="stop-sigterm"), Unit.BUSY),
    (shown("reloading"), Unit.BUSY),
    (shown("maintenance"), Unit.BUSY),
    ("", Unit.ABSENT),
]


@pytest.mark.parametrize(("text", "unit"), UNITS)
async def test_what_systemd_says(text: str, unit: Unit) -> None:
    runner = Runner({"show": Ran(0, text)})
    supervision = await SystemdUnit(UNIT, ENV, run=runner).look(NOW)
    assert supervision.unit is unit
    assert UNIT in supervision.words
    assert len(runner.ran) == 1
    assert runner.ran[0][:4] == ("systemctl", "--user", "--no-ask-password", "show")


@pytest.mark.parametrize(
    ("started", "age"),
    [(START.monotonic - 60, MINUTE), (0.0, None), (None, None), (START.monotonic + 4000, timedelta())],
)
async def test_how_old_the_process_is(started: float | None, age: timedelta | None) -> None:
    runner = Runner({"show": Ran(0, shown("active", started=started))})
    assert (await SystemdUnit(UNIT, ENV, run=runner).look(NOW)).age == age


@pytest.mark.parametrize(
    "answer", [Ran(1, err="Failed to connect to bus"), Ran(None, err="no systemctl"), Ran(None, is_late=True)]
)
async def test_systemd_that_cannot_be_asked_restarts_nothing(answer: Ran) -> None:
    assert (await SystemdUnit(UNIT, ENV, run=Runner({"show": answer})).look(NOW)).unit is Unit.ABSENT


@pytest.mark.parametrize(("is_users", "to_whom"), [(True, ["--user"]), (False, [])])
async def test_it_is_systemctl_restart_and_nothing_else(is_users: bool, to_whom: list[str]) -> None:
    runner = Runner()
    asked = await SystemdUnit(UNIT, ENV, is_users=is_users, run=runner).restart()
    assert asked.is_refused is False
    assert runner.ran == [("systemctl", *to_whom, "--no-ask-password", "restart", "--", UNIT)]


# ---------------------------------------------------------------- launchd


def printed(state: str, *lines: str) -> Ran:
    return Ran(0, "\n".join([f"gui/501/{LABEL} = {{", f"\tstate = {state}", *(f"\t{line}" for line in lines), "}"]))


ENABLED = Ran(0, f'disabled services = {{\n\t"com.other" => disabled\n\t"{LABEL}" => enabled\n}}')
SERVICES: list[tuple[dict[str, Ran], Unit]] = [
    ({"print-disabled": ENABLED, "print": printed("running", "pid = 42")}, Unit.RUNNING),
    ({"print-disabled": Ran(1, err="no"), "print": printed("running")}, Unit.RUNNING),
    ({"print-disabled": Ran(0, f'"{LABEL}" => disabled'), "print": printed("running")}, Unit.STOPPED),
    ({"print-disabled": Ran(0, f'"{LABEL}" => true'), "print": printed("running")}, Unit.STOPPED),
    ({"print-disabled": ENABLED, "print": Ran(113, err="Could not find service")}, Unit.STOPPED),
    ({"print-disabled": ENABLED, "print": printed("spawn scheduled")}, Unit.BUSY),
    ({"print-disabled": ENABLED, "print": printed("not running", "last exit code = 0")}, Unit.STOPPED),
    ({"print-disabled": ENABLED, "print": printed("not running", "last exit code = 1")}, Unit.FAILED),
    (
        {"print-disabled": ENABLED, "print": printed("not running", "last terminating signal = Terminated: 15")},
        Unit.STOPPED,
    ),
    ({"print-disabled": Ran(None, err="launchctl cannot be run")}, Unit.ABSENT),
]


@pytest.mark.parametrize(("answers", "unit"), SERVICES)
async def test_what_launchd_says(answers: dict[str, Ran], unit: Unit) -> None:
    assert (await LaunchdService(LABEL, ENV, 501, Runner(answers)).look(NOW)).unit is unit


@pytest.mark.parametrize(
    ("etime", "age"),
    [
        ("01:05\n", timedelta(seconds=65)),
        ("  2-03:00:01", timedelta(days=2, hours=3, seconds=1)),
        ("05:00:00", 5 * HOUR),
        ("", None),
    ],
)
async def test_how_old_a_launchd_process_is(etime: str, age: timedelta | None) -> None:
    runner = Runner({"print-disabled": ENABLED, "print": printed("running", "pid = 42"), "ps": Ran(0, etime)})
    assert (await LaunchdService(LABEL, ENV, 501, runner).look(NOW)).age == age
    assert runner.ran[-1] == ("ps", "-o", "etime=", "-p", "42")


async def test_it_is_kickstart_and_nothing_else() -> None:
    runner = Runner()
    await LaunchdService(LABEL, ENV, 501, runner).restart()
    assert runner.ran == [("launchctl", "kickstart", "-k", f"gui/501/{LABEL}")]


# ---------------------------------------------------------------- the operator's command, for real


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def test_the_command_runs_without_a_shell_and_is_told_the_gateway(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code = (
        "import json, os, sys; json.dump([sys.argv[1:], os.environ['OPENCLAW_WATCHDOG_GATEWAY'], sys.stdin.read(),"
        f"sorted(set(os.environ) & set('NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC'.split()))], open({str(seen)!r}, 'w'))"
    )
    command = OperatorsCommand((*python(code), "$HOME; touch x", "*"), "home", ENV)
    assert (await command.look(NOW)).unit is Unit.UNKNOWN
    asked = await command.restart()
    assert (asked.is_refused, asked.status) == (False, "exit status 0")
    assert seen.read_text() == '[["$HOME; touch x", "*"], "home", "", []]'
    assert command.how == f"the command {Path(sys.executable).name}"
    assert "touch" not in command.how


async def test_what_a_failing_command_says_is_cut_and_its_output_is_not_kept() -> None:
    code = "import sys; print('on the way out ' * 50); sys.stderr.write('first\\n' + 'x' * 5000 + '\\x1b[31m\\n'); sys.exit(3)"
    asked = await OperatorsCommand(python(code), "home", ENV).restart()
    assert (asked.is_refused, asked.status) == (True, "exit status 3")
    assert "first" not in asked.said
    assert "on the way" not in asked.said
    assert len(asked.said) < MOST_SAID + 30
    assert asked.said.isprintable()


@pytest.mark.parametrize(
    ("ran", "words"),
    [
        (Ran(0), "exit status 0"),
        (Ran(-9), "ended by signal 9"),
        (Ran(1, "out", "one\n two. \n\n"), "exit status 1: two"),
        (Ran(None, err="no systemctl"), "no systemctl"),
        (Ran(None), "no reason given"),
    ],
)
def test_words(ran: Ran, words: str) -> None:
    assert said(ran) == words


async def test_a_command_that_is_not_there_is_a_refusal(tmp_path: Path) -> None:
    asked = await OperatorsCommand((str(tmp_path / "nothing"),), "home", ENV).restart()
    assert (asked.is_refused, asked.status) == (True, "could not be run")
    assert "No such file" in asked.said


async def test_a_command_that_does_not_end_is_ended_and_its_outcome_is_left_open() -> None:
    asked = await OperatorsCommand(python("import signal; signal.pause()"), "home", ENV, limit=0.3).restart()
    assert (asked.is_refused, asked.status) == (None, "not ended in time")


async def test_a_gateway_that_the_command_leaves_behind_lives_and_can_go_on_writing(tmp_path: Path) -> None:
    """With pipes we would wait for its end, and it would die of writing after we stopped reading."""
    go, done = tmp_path / "go", tmp_path / "done"
    os.mkfifo(go)
    child = (
        f"import sys; open({str(go)!r}).read(); sys.stderr.write('x' * 100000); open({str(done)!r}, 'w').write('alive')"
    )
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    asked = await OperatorsCommand(python(code), "home", ENV, limit=20).restart()
    assert asked.is_refused is False
    go.write_text("")
    async with asyncio.timeout(60):
        while not done.exists() or done.read_text() != "alive":  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
