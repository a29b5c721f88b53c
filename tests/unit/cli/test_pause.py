"""The operator's switches: what they say, and who switched what and why, afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from watchdog.cli import pause
from watchdog.cli.app import app
from watchdog.daemon.assembly import StateFolderUnusable, ledger_path
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.ledger import Quarantine

Type = Callable[..., Result]
KEY = "agent:main:main"


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    config = tmp_path / "watchdog.yaml"
    away = "gateways: [{name: home, url: 'ws://127.0.0.1:1', token: x}]"
    config.write_text(f"{away}\nstate_dir: {tmp_path}/state\n", "utf-8")
    monkeypatch.setattr(pause, "who", lambda: "ada")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--config", str(config)])

    return run


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def _trail(enter: Type) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(enter("history", "--json").stdout)["operator"]
    return found


def test_who_switched_what_and_why(enter: Type, state: Path) -> None:
    assert "paused gateway home for 2h" in enter("pause", "-g", "home", "--for", "2h", "--reason", "upgrade").stdout
    assert enter("unpause", "--reason", "upgraded").stdout == "1 pause(s) ended\n"
    with SqliteLedger.open(ledger_path(state)) as ledger:
        ledger.quarantine(Quarantine("home", KEY, "sid", datetime(2026, 11, 20, tzinfo=UTC), "why", None))
    enter("release", KEY, "--reason", "provider is back")
    trail = _trail(enter)
    assert [(one["what"], one["who"], one["detail"]) for one in trail] == [
        ("release", "ada", f"gateway home session {KEY}: provider is back"),
        ("unpause", "ada", "gateway home: upgraded"),
        ("pause", "ada", "gateway home: upgrade"),
    ]
    words = enter("history").stdout
    assert "Nothing has been stuck." in words
    assert f"operator      release gateway home session {KEY}: provider is back  by ada" in words
    assert words.index("release") < words.index("upgraded") < words.index("gateway home: upgrade ")


def test_without_a_reason(enter: Type) -> None:
    enter("pause")
    enter("unpause")
    assert [one["detail"] for one in _trail(enter)] == ["everything", "everything"]


def test_of_one_session_only_its_incidents(enter: Type) -> None:
    """A line of the trail may be about everything; the whole history shows it."""
    enter("pause", "--reason", "x")
    assert json.loads(enter("history", "--session", KEY, "--json").stdout) == {"incidents": [], "operator": []}


def test_a_reason_cannot_forge_lines(enter: Type) -> None:
    enter("pause", "--reason", "x\x1b[2J\nrecovered agent:main:main")
    said = enter("history").stdout
    assert "\x1b" not in said
    assert not any(line.startswith("recovered") for line in said.splitlines())


def test_nothing_to_switch(enter: Type) -> None:
    assert enter("unpause").stdout == "nothing was paused\n"
    assert "is not quarantined" in enter("release", KEY).stderr
    assert _trail(enter) == [], "nothing was released, so no release is written down"
    assert enter("release").exit_code == 2


@pytest.mark.parametrize("span", ["0s", "0m"])
def test_no_time_at_all_is_no_pause(enter: Type, span: str) -> None:
    done = enter("pause", "--for", span)
    assert done.exit_code == 2
    assert _trail(enter) == []


def test_a_state_folder_that_cannot_be_made(enter: Type, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file", "utf-8")
    done = enter("pause")
    assert isinstance(done.exception, StateFolderUnusable)
    assert f"the state folder {tmp_path}/state cannot be made (file exists); set state_dir" in str(done.exception)
