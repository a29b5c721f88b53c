"""Every command that a document, a message, an alert or a comment shows is one: read by the real command line, values and all, and
run where that touches nothing but a folder of the test's.

A command stands in a shell block, in a message's block, or between backticks; what is between backticks and begins with a verb alone
(``pause --for 2h``) shows options, which must be the verb's.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.core
import typer.main
from typer.testing import CliRunner

from tests.unit.cli.gateways import code_of
from tests.unit.cli.test_help import VERBS
from tests.unit.packaging.test_readme import REPOSITORY, TEXT
from watchdog import PROGRAM
from watchdog.cli.app import app

OTHERS = [
    REPOSITORY / "Containerfile",
    *(one for folder in ("config", "systemd", "launchd") for one in sorted((REPOSITORY / folder).glob("*.*"))),
]
WRAPPED = re.compile(rf"(?:sudo |podman exec \S+ |docker compose exec \S+ |uvx --from \S+ )?(?:\S*/)?{PROGRAM} ")
"""What stands before a command of ours that is typed elsewhere, or as somebody else."""
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
NOT_READ = {("--install-completion",), ("VERB", "--help")}
"""Typer's own, which writes into the home; and no verb but the word for one."""
STAYS_OR_ACTS = {"run", "top", "demo", "init", "service"}
"""Runs on, or is for this machine: each has tests of its own."""
A_YAML = """\
gateways: [{name: home, url: "ws://127.0.0.1:1", token: x, state_dir: none}]
status_page: {listen: "127.0.0.1:9"}
"""

Words = tuple[str, ...]


def _name(file: Path) -> str:
    return str(file.relative_to(REPOSITORY))


def _lines(text: str, *, is_markdown: bool) -> Iterator[str]:
    """Whatever is shown to be typed."""
    for language, block in FENCED.findall(text) if is_markdown else ():
        lines = block.replace("\\\n", " ").splitlines()
        yield from (line.strip() for line in lines if language == "sh" or line.startswith(f"  {PROGRAM} "))
    prose = FENCED.sub("", text) if is_markdown else text
    for code in re.findall(r"`([^`]+)`", prose):
        yield " ".join(re.sub(r"\n *#", "\n", code.replace("\\|", "|")).split())
    if not is_markdown:  # a comment, or the line of a unit
        for command in re.findall(rf"(?:^|[\s/]){PROGRAM} ([a-z]+ ?.*)$", re.sub(r"`[^`]+`", "", text), re.MULTILINE):
            if command.split()[0] in {path[0] for path in VERBS}:
                yield f"{PROGRAM} {command}"


def _words(line: str) -> Words | None:
    """What our program is given by this line of a shell; None: it is not ours."""
    found = WRAPPED.match(re.sub(r"\{\{.*?\}\}", "NAME", line))
    if found is None:
        return None
    reader = shlex.shlex(found.string[found.end() :], posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    words: list[str] = []
    for word in reader:
        if set(word) <= set("|&;<>()"):
            break
        words.append(word)
    return tuple(words)


def _shown() -> dict[Words, list[str]]:
    """Every command, and where it is shown."""
    found: dict[Words, list[str]] = {}
    texts = [(_name(file), text, file.suffix == ".md") for file, text in TEXT.items()]
    texts += [(_name(file), file.read_text("utf-8"), False) for file in OTHERS]
    texts += [(f"{' '.join(path)} --help", command.help or "", False) for path, command in VERBS.items()]
    for place, text, is_markdown in texts:
        for line in _lines(text, is_markdown=is_markdown):
            if words := _words(line):
                found.setdefault(words, []).append(place)
    return found


SHOWN = _shown()
READ = [words for words in SHOWN if words not in NOT_READ]
TYPED = [words for words in READ if words[0] not in STAYS_OR_ACTS]


def _parsed(words: Sequence[str]) -> None:
    """Raises what the command line says of wrong use; nothing is done."""
    root = typer.main.get_command(app)
    for command in _leaves(root):
        command.callback = _nothing
    root.main(list(words), prog_name=PROGRAM, standalone_mode=False)


def _nothing(**_: object) -> None: ...


def _leaves(command: Any) -> Iterator[Any]:
    if not isinstance(command, typer.core.TyperGroup):
        yield command
        return
    context = typer.Context(command)
    for name in command.list_commands(context):
        yield from _leaves(command.get_command(context, name))


def test_they_are_found_wherever_they_are_shown() -> None:
    places = {place for places in SHOWN.values() for place in places}
    assert len(SHOWN) > 60
    assert places >= {
        "README.md",
        "docs/container.md",
        "docs/howto.md",
        "docs/messages.md",
        "docs/runbooks.md",
        "docs/zh/quickstart.md",
        ".github/ISSUE_TEMPLATE/1-touched-a-healthy-run.yml",
        "config/prometheus-alerts.yml",
        "config/watchdog.example.yaml",
        "systemd/openclaw-watchdog.service",
        "recover --help",
    }


@pytest.mark.parametrize(
    "wrong", [("stauts",), ("pause", "--fro", "2h"), ("config", "shwo"), ("explain",), ("history", "--limit", "few")]
)
def test_what_is_no_command_is_noticed(wrong: Words) -> None:
    with pytest.raises(Exception, match=r"No such|Missing|valid integer"):
        _parsed(wrong)


@pytest.mark.parametrize("words", READ, ids=" ".join)
def test_every_command_shown_is_one(words: Words) -> None:
    try:
        _parsed(words)
    except Exception as wrong:
        wrong.add_note(f"shown in {', '.join(SHOWN[words])}")
        raise


@pytest.mark.parametrize("words", TYPED, ids=" ".join)
def test_every_command_shown_can_be_typed(words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no gateway answers: what it says then is no traceback and no word of wrong use."""
    monkeypatch.chdir(tmp_path)
    for name in ("watchdog.yaml", "try.yaml", "new.yaml", "NEW.yaml"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(f"{A_YAML}state_dir: {tmp_path}/state\n", "utf-8")
    env = {"HOME": str(tmp_path), "OPENCLAW_WATCHDOG_CONFIG": str(tmp_path / "watchdog.yaml")}
    done = CliRunner().invoke(app, [word for word in words if word != "--follow"], env=env)
    assert code_of(done) != 2, done.output
    assert "Usage:" not in done.output or "--help" in words


def test_every_option_shown_with_its_verb_alone_is_the_verbs() -> None:
    """Such as ``release --lost-history``."""
    count = 0
    for file, text in TEXT.items():
        for line in _lines(text, is_markdown=file.suffix == ".md"):
            path = next((one for one in VERBS if f"{line} ".startswith(f"{' '.join(one)} ")), None)
            if path is None or " --" not in line:
                continue
            known = {name for option in VERBS[path].params for name in option.opts} | {"--help"}
            for option in re.findall(r"(?<=\s)--[a-z-]+", line):
                count += 1
                assert option in known, f"`{line}` in {_name(file)}"
    assert count > 20


def test_every_shell_block_is_one_and_every_target_of_make_is_there() -> None:
    targets = set(re.findall(r"^([a-z0-9.-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    shell = shutil.which("bash") or "sh"
    asked = 0
    for file, text in TEXT.items():
        for language, block in FENCED.findall(text):
            if language == "sh":
                done = subprocess.run([shell, "-n"], input=block, text=True, capture_output=True, check=False)
                assert (done.returncode, done.stderr) == (0, ""), f"{_name(file)}: {done.stderr}"
        for line in _lines(text, is_markdown=file.suffix == ".md"):
            if line.startswith("make "):
                words = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
                asked += 1
                assert set(words) <= targets, f"`{line}` in {_name(file)}"
    assert asked > 20
