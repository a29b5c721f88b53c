"""Completion in bash, zsh and fish: the scripts are printed, answer, and are accepted by the shells that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.cli.gateways import write_config
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.service.ledger import Quarantine

PROGRAM = Path(sys.executable).parent / "openclaw-watchdog"
SHELLS = ("bash", "zsh", "fish")
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="the console script is not installed")


def run(*arguments: str, **more: str) -> str:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", **more}
    environment["PATH"] = f"{PROGRAM.parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False, timeout=100)
    return done.stdout


def script(shell: str) -> str:
    return run(str(PROGRAM), "--show-completion", shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed(shell: str) -> None:
    text = script(shell)
    assert "openclaw-watchdog" in text
    assert "_OPENCLAW_WATCHDOG_COMPLETE" in text


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("bash", {"COMP_WORDS": "openclaw-watchdog service in", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "openclaw-watchdog service in"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "openclaw-watchdog service in", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_verbs_are_completed(shell: str, asked: dict[str, str]) -> None:
    answer = run(str(PROGRAM), _OPENCLAW_WATCHDOG_COMPLETE=f"complete_{shell}", **asked)
    assert "install" in answer
    assert "uninstall" not in answer


NO_WORDS = [f"agent:main:x{char}touch" for char in ";$\\'\"`|& \t\n<>(){}[]*?!#~^\x1b\u202e"] + [
    "agent:main:x;touch${IFS}PWNED",
    "--all",
    "=ls",
    "",
]
"""Keys, and names that the ledger has of gateways, that a shell would take for more than a word."""


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A configuration of two gateways, and a ledger that tells of sessions on one of them."""
    (tmp_path / "state").mkdir(mode=0o700)
    with SqliteLedger.open(ledger_path(tmp_path / "state")) as ledger:
        at = datetime(2026, 11, 20, tzinfo=UTC)
        ledger.open_incident(gateway="home", session="agent:main:main", session_id="s", reason="NoActiveRun", at=at)
        ledger.quarantine(Quarantine("old", "agent:ops:main", "s", at, "why", None))
        for key in NO_WORDS:
            ledger.quarantine(Quarantine("old", key, "s", at, "why", None))
        for name in NO_WORDS:
            ledger.quarantine(Quarantine(name, "agent:ops:cron", "s", at, "why", None))
    sections = [f"{{name: {name}, url: 'ws://127.0.0.1:{port}', token: x}}" for name, port in (("home", 1), ("old", 2))]
    return write_config(tmp_path, *sections)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("check --gateway ", {"home", "old"}),
        ("pause -g h", {"home"}),
        ("explain ", {"agent:main:main", "agent:ops:main"}),
        ("recover agent:m", {"agent:main:main"}),
        ("release --gateway old ", {"agent:ops:main"}),
        ("history --session agent:n", set()),
    ],
)
def test_gateways_and_sessions_are_completed(known: Path, typed: str, offered: set[str]) -> None:
    verb, rest = typed.split(" ", 1)
    line = f"openclaw-watchdog {verb} --config {known} {rest}"
    answer = run(
        str(PROGRAM),
        _OPENCLAW_WATCHDOG_COMPLETE="complete_fish",
        _TYPER_COMPLETE_ARGS=line,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert {one.split("\t")[0] for one in answer.splitlines() if one} == offered


@pytest.mark.parametrize("typed", ["explain ", "check --gateway "])
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_what_a_shell_would_take_for_more_than_a_word_is_not_offered(known: Path, shell: str, typed: str) -> None:
    verb, rest = typed.split(" ", 1)
    line = f"openclaw-watchdog {verb} --config {known} {rest}"
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_TYPER_COMPLETE_ARGS": line}
    answer = run(str(PROGRAM), _OPENCLAW_WATCHDOG_COMPLETE=f"complete_{shell}", **asked)
    assert ("agent" if verb == "explain" else "home") in answer
    assert "touch" not in answer
    assert "--all" not in answer
    assert "=ls" not in answer


def test_what_cannot_be_read_completes_nothing_and_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "watchdog.yaml").write_text("nonsense: 1\n")
    asked = {"_TYPER_COMPLETE_ARGS": f"openclaw-watchdog check --config {tmp_path}/watchdog.yaml --gateway "}
    environment = {"_OPENCLAW_WATCHDOG_COMPLETE": "complete_zsh", **asked}
    done = subprocess.run(
        [str(PROGRAM)], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert "home" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_accepts_the_script(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    path = tmp_path / "completion"
    path.write_text(script(shell))
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes_for_real(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    path = tmp_path / "completion"
    path.write_text(script("bash"))
    ask = f'source {path}; COMP_WORDS=(openclaw-watchdog serv); COMP_CWORD=1; _openclaw_watchdog_completion openclaw-watchdog; echo "${{COMPREPLY[@]}}"'
    assert run("bash", "--norc", "-c", ask).split() == ["service"]


def test_fish_completes_for_real(tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("no fish here")
    path = tmp_path / "completion.fish"
    path.write_text(script("fish"))
    answer = run("fish", "--no-config", "-c", f"source {path}; complete -C 'openclaw-watchdog service in'")
    assert [line.split("\t")[0] for line in answer.splitlines()] == ["install"]


def test_zsh_completes_for_real(tmp_path: Path) -> None:
    """The script's own function, with zsh's two completion builtins standing in to show what they are given."""
    if shutil.which("zsh") is None:
        pytest.skip("no zsh here")
    path = tmp_path / "completion.zsh"
    path.write_text(script("zsh"))
    ask = (
        "compdef() { : }; _arguments() { print -r -- $@ }; _describe() { print -r -- $@ }; "
        f"source {path}; words=(openclaw-watchdog service in); CURRENT=3; _openclaw_watchdog_completion"
    )
    answer = run("zsh", "-f", "-c", ask)
    assert "install" in answer
    assert "uninstall" not in answer
