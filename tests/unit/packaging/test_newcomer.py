"""The mistakes of docs/newcomer.md, made: in the configuration, and at the command line. Each is answered as the table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.cli.gateways import code_of
from tests.unit.packaging.test_readme import REPOSITORY, TEXT
from watchdog.cli.app import app
from watchdog.config import ConfigError

DOCUMENT = REPOSITORY / "docs/newcomer.md"
GATEWAY = "gateways: [{url: 'ws://127.0.0.1:1', token: x, state_dir: none}]\n"
CONFIGURED = {
    "`token: ${NOPE}` and no such variable": 'gateways: [{url: "ws://127.0.0.1:1", state_dir: none, token: "${NOPE}"}]\n',
    "`url: http://…`": "gateways: [{url: 'http://127.0.0.1:1', token: x}]\n",
    "`url: ws://10.0.0.5:18789`": "gateways: [{url: 'ws://10.0.0.5:18789', token: x}]\n",
    "`pol_every: 30s`": "pol_every: 30s\n",
    "`stuck_after: 20`": f"{GATEWAY}thresholds: {{stuck_after: 20}}\n",
    "`confirm_for: 5 parsecs`": f"{GATEWAY}thresholds: {{confirm_for: 5 parsecs}}\n",
    "`ladder: [resum]`": f"{GATEWAY}recovery: {{ladder: [resum]}}\n",
    "`stuck_after: 10s`": f"{GATEWAY}thresholds: {{stuck_after: 10s}}\n",
    "a tab": "gateways:\n\t- url: x\n",
    "`notify: [my-topic]`": f"{GATEWAY}notify: [my-topic]\n",
    "`notify: [foo://bar]`, and then `notify test`": f"{GATEWAY}notify: ['foo://bar']\n",
}
TYPED = {
    "`--config wachdog.yaml`": ("run", "--config", "wachdog.yaml"),
    "`stauts` instead of `status`": ("stauts",),
    "`status` with no daemon": ("status",),
    "`pause --for 2`": ("pause", "--for", "2"),
    "`notify test` without a target": ("notify", "test"),
}


def _answers() -> dict[str, tuple[list[str], list[int]]]:
    """What each mistake is answered with, piece by piece between what is left out or differs; and the exit statuses."""
    section = TEXT[DOCUMENT].partition("## Mistakes made on purpose")[2]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    found = {}
    for mistake, answer, status in rows[1:]:
        said = re.sub(r"^`+|`+$", "", answer)
        said = re.sub(r"^\d+:\d+: |^watchdog\.yaml:\d+:\d+: ", "", said)
        pieces = [piece.strip() for piece in said.split("…")]
        found[mistake] = ([piece for piece in pieces if piece], [int(one) for one in re.findall(r"\d+", status)])
    return found


ANSWERS = _answers()


def _flat(text: str) -> str:
    return " ".join(re.sub(r"[│╭╰─╮╯`]", " ", text).split()).replace(" ;", ";")


def _is_answered(mistake: str, words: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "watchdog.yaml").chmod(0o600)
    env = {
        "HOME": str(folder),
        "OPENCLAW_WATCHDOG_CONFIG": str(folder / "watchdog.yaml"),
        "COLUMNS": "300",
        "NO_COLOR": "1",
    }
    done = CliRunner().invoke(app, list(words), env=env)
    said, (pieces, statuses) = _flat(done.output + str(done.exception or "")), ANSWERS[mistake]
    assert [piece for piece in pieces if _flat(piece) not in said] == [], said
    assert (78 if isinstance(done.exception, ConfigError) else code_of(done)) in statuses


@pytest.mark.parametrize("mistake", CONFIGURED)
def test_a_mistake_in_the_configuration(mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "watchdog.yaml").write_text(CONFIGURED[mistake], "utf-8")
    verb = ("notify", "test") if "notify test" in mistake else ("run",) if ANSWERS[mistake][1] == [78] else ("doctor",)
    _is_answered(mistake, verb, tmp_path, monkeypatch)


@pytest.mark.parametrize("mistake", TYPED)
def test_a_mistake_at_the_command_line(mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "watchdog.yaml").write_text(f"{GATEWAY}state_dir: {tmp_path}/state\n", "utf-8")
    _is_answered(mistake, TYPED[mistake], tmp_path, monkeypatch)
