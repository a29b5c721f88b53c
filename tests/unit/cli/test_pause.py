"""The operator's switches: what they say, and who switched what and why, afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from watchdog.adapters.clock import SystemClock
from watchdog.cli import pause
from watchdog.cli.app import app
from watchdog.cli.shared import Leave, UnknownGateway
from watchdog.daemon.assembly import StateFolderUnusable
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.service.ledger import Incident, Outcome, Quarantine

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
    assert enter("unpause", "--reason", "upgraded").stdout == "1 pause ended\n"
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


def test_without_a_reason(enter: Type, tmp_path: Path) -> None:
    said = enter("pause").stdout
    assert said == f"paused everything until `openclaw-watchdog unpause --config {tmp_path}/watchdog.yaml`\n"
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


# ---------------------------------------------------------------- ack


def _open(state: Path, session: str = KEY, gateway: str = "home") -> Incident:
    with SqliteLedger.open(ledger_path(state)) as ledger:
        at = datetime(2026, 11, 20, tzinfo=UTC)
        return ledger.open_incident(gateway=gateway, session=session, session_id="sid", reason="OwnerGone", at=at)


def _acks(state: Path) -> list[tuple[str, str, str, bool]]:
    with SqliteLedger.open(ledger_path(state)) as ledger:
        found = ledger.acks(SystemClock().now().wall)
    return [(one.gateway, one.session, one.reason, one.until is not None) for one in found]


def test_an_incident_is_acknowledged_by_its_id_and_by_its_key(enter: Type, state: Path) -> None:
    enter("unpause")
    incident = _open(state)
    done = enter("ack", incident.id, "--for", "24h", "--reason", "I know")
    assert done.stdout == f"acknowledged {KEY} on home: no reminders for 24h\n"
    assert _acks(state) == [("home", KEY, "I know", True)]
    assert enter("ack", KEY).stdout == f"acknowledged {KEY} on home: no reminders until it is over\n"
    assert _acks(state) == [("home", KEY, "", False)]
    history = json.loads(enter("history", "--json").stdout)
    assert [one["what"] for one in history["operator"]] == ["ack", "ack"]
    assert history["operator"][1]["detail"].startswith(f"gateway home session {KEY} until 20")
    (shown,) = history["incidents"]
    assert (shown["acknowledged"]["who"], shown["acknowledged"]["until"]) == ("ada", None)
    assert "    acknowledged by ada\n" in enter("history").stdout


def test_a_quarantine_is_acknowledged_by_its_key_and_by_the_incident_that_ended_in_it(enter: Type, state: Path) -> None:
    enter("unpause")
    incident = _open(state)
    with SqliteLedger.open(ledger_path(state)) as ledger:
        ledger.quarantine(Quarantine("home", KEY, "sid", datetime(2026, 11, 21, tzinfo=UTC), "why", incident.id))
    for name in (incident.id, KEY):
        document = json.loads(enter("ack", name, "--json", "--reason", "x").stdout)
        assert document == {"acknowledged": True, "gateway": "home", "session": KEY, "until": None, "reason": "x"}
    (shown,) = json.loads(enter("history", "--json").stdout)["incidents"]
    assert (shown["outcome"], shown["acknowledged"]["reason"]) == ("quarantined", "x")


def test_what_is_over_is_not_acknowledged(enter: Type, state: Path) -> None:
    enter("unpause")
    incident = _open(state)
    with SqliteLedger.open(ledger_path(state)) as ledger:
        ledger.close_incident(incident.id, Outcome.CLEARED, datetime(2026, 11, 21, tzinfo=UTC))
    done = enter("ack", incident.id)
    assert isinstance(done.exception, Leave)
    assert done.exception.code == 0
    assert done.stderr.endswith(f"nothing is open for {KEY}; `history` shows what was.\n")
    assert json.loads(enter("ack", incident.id, "--json").stdout)["acknowledged"] is False
    assert (_acks(state), _trail(enter)) == ([], [])


def test_names_that_nobody_has_are_not_acknowledged(enter: Type, state: Path) -> None:
    enter("unpause")
    incident = _open(state)
    nobody = enter("ack", "i20261120-0009-abcd")
    assert str(nobody.exception) == "the ledger knows no incident i20261120-0009-abcd; `history` lists them."
    nobody = enter("ack", "agent:main:mian")
    assert str(nobody.exception) == "no incident or quarantine of agent:main:mian is known; `history` lists them."
    elsewhere = enter("ack", incident.id, "--gateway", "work")
    assert str(elsewhere.exception) == f"{incident.id} is an incident of gateway home"
    assert isinstance(enter("ack", KEY, "--gateway", "work").exception, UnknownGateway)
    assert enter("ack", KEY, "--for", "0s").exit_code == 2
    _open(state, gateway="old")
    assert str(enter("ack", KEY).exception) == "home and old have this session; say which with --gateway"
    assert (_acks(state), _trail(enter)) == ([], [])
    assert enter("ack", KEY, "--gateway", "old").exit_code == 0
    assert [place for place, *_ in _acks(state)] == ["old"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give a session's key, or --lost-history"),
        ([KEY, "--lost-history"], "give a session's key or --lost-history, not both"),
        (["--lost-history", "--gateway", "home"], "--lost-history is about the whole ledger, not one gateway"),
    ],
)
def test_what_is_released_is_said_once(enter: Type, state: Path, arguments: list[str], says: str) -> None:
    done = enter("release", *arguments)
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert not state.exists()


@pytest.mark.parametrize("held", [["-g", "gold-7"], ["--session", KEY], ["--session", KEY, "-g", "gold-7"]])
def test_what_a_list_may_name_is_held_while_it_cannot_be_read(tmp_path: Path, held: list[str]) -> None:
    """An outage of the inventory is when one wants to hold something; the daemon goes on with what it has read before."""
    config = tmp_path / "watchdog.yaml"
    config.write_text(
        f"gateways: [{{discover: {{file: '{tmp_path}/lists/*.json'}}}}]\nstate_dir: {tmp_path}/state\n", "utf-8"
    )

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--config", str(config)])

    (tmp_path / "lists").mkdir()
    listed = tmp_path / "lists" / "a.json"
    listed.write_text("[{")
    said = run("pause", *held)
    assert said.exit_code == 0, said.output
    assert said.stdout.startswith("paused ")
    assert "a.json" in said.stderr
    assert "warning: " in said.stderr
    listed.write_text('[{"targets": ["127.0.0.1:1"], "labels": {"name": "a", "token_file": "t"}}]')
    (tmp_path / "lists" / "t").write_text("t" * 16)
    if held[0] == "-g":
        refused = run("pause", *held)
        assert isinstance(refused.exception, UnknownGateway)
