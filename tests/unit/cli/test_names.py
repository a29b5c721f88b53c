"""Names and keys that are typed: one that nobody has is refused, and where several have it none is guessed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.server import SimulatedGateway
from openclaw_simulator.world import World
from tests.unit.cli.gateways import Type, code_of, section, served, typing, write_config
from watchdog.adapters.clock import SystemClock
from watchdog.cli import names
from watchdog.cli.shared import UnknownGateway, UnknownSession
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.service.errors import WatchdogError
from watchdog.service.ledger import Quarantine

BOTH, ONE, NOBODY = "agent:main:main", "agent:main:telegram:direct:42", "agent:main:mian"
AWAY = "{name: away, url: 'ws://127.0.0.1:1', token: x}"
AT = datetime(2026, 11, 20, tzinfo=UTC)


def _gateway(*keys: str) -> World:
    world = World(PROFILES["2026.9.6"], SystemClock().now().wall, 1)
    for key in keys:
        world.session(key)
    return world


@pytest.fixture(scope="module")
def gateways() -> Iterator[tuple[SimulatedGateway, SimulatedGateway]]:
    with served(_gateway(BOTH, ONE)) as home, served(_gateway(BOTH)) as old:
        yield home, old


@pytest.fixture
def enter(gateways: tuple[SimulatedGateway, SimulatedGateway], tmp_path: Path) -> Type:
    home, old = gateways
    typed = typing(write_config(tmp_path, section("home", home), section("old", old)))
    SqliteLedger.open(_ledger(tmp_path)).close()
    return typed


def _ledger(folder: Path) -> Path:
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    return ledger_path(folder / "state")


VERBS = {
    "explain": ("explain", "{}"),
    "pause": ("pause", "--session", "{}"),
    "unpause": ("unpause", "--session", "{}"),
    "release": ("release", "{}"),
    "history": ("history", "--session", "{}"),
}


def _typed(verb: str, key: str) -> list[str]:
    return [word.format(key) for word in VERBS[verb]]


@pytest.mark.parametrize("verb", VERBS)
def test_a_key_that_nobody_has_is_refused(enter: Type, verb: str) -> None:
    done = enter(*_typed(verb, NOBODY))
    said = f"no session has the key {NOBODY}; `check` lists them all."
    if isinstance(done.exception, UnknownSession):
        assert str(done.exception) == said
    else:
        assert code_of(done) == 1
        assert f"home: {said}" in done.stderr
    assert json.loads(enter("history", "--json").stdout)["operator"] == [], "and nothing is written down"


@pytest.mark.parametrize("verb", ["explain", "unpause", "release"])
def test_a_key_on_two_gateways_wants_the_gateway(enter: Type, verb: str) -> None:
    done = enter(*_typed(verb, BOTH))
    assert str(done.exception) == "home and old have this session; say which with --gateway"
    assert code_of(enter(*_typed(verb, BOTH), "--gateway", "old")) == 0


def test_explain_explains_the_one_that_is_named(enter: Type) -> None:
    for name in ("home", "old"):
        assert json.loads(enter("explain", BOTH, "-g", name, "--json").stdout)["gateway"] == name
    assert json.loads(enter("explain", ONE, "--json").stdout)["gateway"] == "home"


@pytest.mark.parametrize(
    "words", [("pause",), ("unpause",), ("history",), ("check",), ("explain", BOTH), ("release", BOTH)], ids=" ".join
)
def test_a_gateway_that_is_not_configured_is_refused(enter: Type, words: tuple[str, ...]) -> None:
    done = enter(*words, "--gateway", "nope")
    if words == ("check",):
        assert code_of(done) == 3
    else:
        assert isinstance(done.exception, UnknownGateway)
    assert "no gateway is called nope; configured: home, old." in f"{done.exception}{done.stderr}"
    assert json.loads(enter("history", "--json").stdout)["operator"] == []


def test_history_without_a_ledger_refuses_a_gateway_that_is_not_configured(tmp_path: Path) -> None:
    enter = typing(write_config(tmp_path, AWAY))
    assert isinstance(enter("history", "--gateway", "nope").exception, UnknownGateway)
    assert json.loads(enter("history", "--gateway", "away", "--json").stdout)["incidents"] == []


def test_a_hold_is_possible_while_the_gateway_is_down(tmp_path: Path) -> None:
    done = typing(write_config(tmp_path, AWAY))("pause", "--session", ONE)
    assert f"paused {ONE} until" in done.stdout
    assert "whether there is such a session is not known: away: cannot connect" in done.stderr


def test_what_two_gateways_have_is_held_where_it_is_said(enter: Type, tmp_path: Path) -> None:
    done = enter("pause", "--session", BOTH)
    hold, file = f"`openclaw-watchdog pause --session {BOTH} --gateway", f"--config {tmp_path}/watchdog.yaml`"
    said = f"home and old have this session; say which with --gateway: {hold} home {file} or {hold} old {file}"
    assert isinstance(done.exception, UnknownSession)
    assert str(done.exception) == said
    assert json.loads(enter("history", "--json").stdout)["operator"] == [], "and nothing is held"
    assert enter("pause", "--session", BOTH, "--gateway", "old").exit_code == 0
    with SqliteLedger.open_read_only(_ledger(tmp_path)) as ledger:
        assert [(one.gateway, one.session) for one in ledger.pauses(AT)] == [("old", BOTH)]


@pytest.mark.parametrize("problem", [OSError("no space left"), WatchdogError("the device key cannot be read")], ids=str)
def test_a_hold_needs_no_identity(enter: Type, problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> NoReturn:
        raise problem

    monkeypatch.setattr(names, "identity_of", fails)
    done = enter("pause", "--session", ONE)
    assert f"paused {ONE} until" in done.stdout
    assert f"whether there is such a session is not known: {problem}" in done.stderr
    assert isinstance(enter("pause", "--session", ONE, "-g", "nope").exception, UnknownGateway)


def test_a_hold_does_not_wait_for_a_gateway_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "HOLD_WITHIN", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hung = f"{{name: hung, url: 'ws://127.0.0.1:{silent.getsockname()[1]}', token: x}}"
        done = typing(write_config(tmp_path, hung))("pause", "--session", ONE)
    assert f"paused {ONE} until" in done.stdout
    assert "is not known: hung: no answer within 0.2 s" in done.stderr


def test_what_the_ledger_keeps_needs_no_gateway(tmp_path: Path) -> None:
    """Quarantines and pauses outlive sections and sessions, and can be ended all the same."""
    with SqliteLedger.open(_ledger(tmp_path)) as ledger:
        for name in ("home", "gone"):
            ledger.quarantine(Quarantine(name, BOTH, "sid", AT, "why", None))
            ledger.pause(at=AT, until=None, gateway=name, session=BOTH, reason="", who="ada")
        ledger.pause(at=AT, until=None, gateway="gone", session=ONE, reason="", who="ada")
    enter = typing(write_config(tmp_path, AWAY))
    for verb in ("release", "unpause"):
        done = enter(*_typed(verb, BOTH))
        assert str(done.exception) == "home and gone have this session; say which with --gateway"
        assert enter(*_typed(verb, BOTH), "-g", "gone").exit_code == 0
    assert enter("unpause", "--session", ONE).stdout == "1 pause ended\n", "the one there is, on whichever gateway"
    with SqliteLedger.open_read_only(_ledger(tmp_path)) as ledger:
        assert [(one.gateway, one.session) for one in ledger.quarantines()] == [("home", BOTH)]
        assert [(one.gateway, one.session) for one in ledger.pauses(AT)] == [("home", BOTH)]


def test_a_session_that_is_paused_everywhere_and_once_more(tmp_path: Path) -> None:
    with SqliteLedger.open(_ledger(tmp_path)) as ledger:
        for name in (None, "home"):
            ledger.pause(at=AT, until=None, gateway=name, session=BOTH, reason="", who="ada")
    enter = typing(write_config(tmp_path, AWAY))
    ended = enter("unpause", "--session", BOTH)
    assert ended.stdout == "1 pause ended\n"
    assert "note: it stays paused on home" in ended.stderr
    ended = enter("unpause", "--session", BOTH)
    assert (ended.stdout, ended.stderr) == ("1 pause ended\n", "")
