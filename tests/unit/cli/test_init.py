"""``init``: what is found goes into the file, nothing is overwritten, and the next command is told."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.unit.discovery.test_fleet_cells import play_runtime, write_registry
from watchdog.cli.app import app
from watchdog.cli.shared import Leave
from watchdog.config import load
from watchdog.discovery import profiles
from watchdog.discovery.fleet_cells import read_registry


class Desk:
    """A home folder and the command line in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.default = home / ".config/openclaw-watchdog/watchdog.yaml"

    def type(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    def gateway(self, folder: str = ".openclaw", port: int = 18999) -> Path:
        path = self.home / folder / "openclaw.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"gateway": {"port": port, "auth": {"mode": "token", "token": "s3cret-token"}}}))
        return path


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("XDG_CONFIG_HOME", "OPENCLAW_WATCHDOG_CONFIG", "OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "no-container-runtime"))
    monkeypatch.chdir(home)
    # Lock files of gateways that happen to run on this machine are not part of the test.
    monkeypatch.setattr(profiles, "gateway_locks", lambda _folders, _processes, _owner_in: [])
    return Desk(home)


def test_what_is_found_goes_into_the_file(desk: Desk) -> None:
    desk.gateway()
    done = desk.type("init")
    assert done.exit_code == 0, done.output
    assert "Found local: ws://127.0.0.1:18999, not running" in done.stderr
    assert f"wrote {desk.default}" in done.stdout
    assert "next: openclaw-watchdog doctor\n" in done.stdout
    assert "service install" in done.stdout
    assert stat.S_IMODE(desk.default.stat().st_mode) == 0o600
    text = desk.default.read_text()
    assert "s3cret-token" not in text + done.output
    loaded = load(desk.default, env={"HOME": str(desk.home)})
    (gateway,) = loaded.config.gateways
    assert (gateway.name, gateway.url, gateway.discover) == ("local", None, None), "one was found, and it stays one"


def test_editors_find_the_schema(desk: Desk) -> None:
    desk.type("init")
    first = desk.default.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./watchdog.schema.json"
    assert json.loads((desk.default.parent / "watchdog.schema.json").read_text())["$schema"]


def test_several_profiles_are_one_entry_that_follows_the_machine(desk: Desk) -> None:
    desk.gateway()
    desk.gateway(".openclaw-work", 19500)
    done = desk.type("init")
    assert "Found local: ws://127.0.0.1:18999" in done.stderr
    assert "Found work: ws://127.0.0.1:19500" in done.stderr
    assert "discover: local stands for all of them" in done.stderr
    assert "set:" not in done.stdout, "every token is found where it is"
    (local,) = load(desk.default, env={"HOME": str(desk.home)}).config.gateways
    assert (local.name, local.url, local.discover, local.token) == ("local", None, "local", None)
    assert f"work, configured by {desk.home}/.openclaw-work/openclaw.json" in desk.default.read_text()


def test_a_gateway_elsewhere_keeps_its_own_entry(desk: Desk) -> None:
    desk.gateway()
    remote = {"mode": "remote", "remote": {"url": "wss://gateway.example", "token": "t"}}
    desk.gateway(".openclaw-far", 1).write_text(json.dumps({"gateway": remote}))
    done = desk.type("init")
    assert "set:  OPENCLAW_FAR_TOKEN" in done.stdout
    local, far = load(desk.default, env={"HOME": str(desk.home)}).config.gateways
    assert (local.name, local.url, local.discover) == ("local", None, None)
    assert (far.name, far.url, far.discover) == ("far", "wss://gateway.example", None)
    assert far.token is not None
    assert far.token.get_secret_value() == "${OPENCLAW_FAR_TOKEN}"


def test_a_fleet_cell_without_a_readable_token_is_written_with_its_url(desk: Desk) -> None:
    write_registry(desk.gateway().parent, "acme", runtime="podman")
    done = desk.type("init")
    assert "fleet cell acme (ws://127.0.0.1:19100)" in done.stderr
    assert "set:  OPENCLAW_ACME_TOKEN" in done.stdout
    local, acme = load(desk.default, env={"HOME": str(desk.home)}).config.gateways
    assert (local.name, local.discover) == ("local", None)
    assert (acme.name, acme.url) == ("acme", "ws://127.0.0.1:19100")


def test_a_lone_fleet_cell_is_found_with_its_token_at_every_connect(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (acme,) = read_registry(write_registry(desk.home / ".openclaw", "acme"))
    monkeypatch.setenv("PATH", play_runtime(tmp_path / "bin", acme))
    done = desk.type("init")
    assert "Found acme: ws://127.0.0.1:19100, running in its container" in done.stderr
    assert "problem" not in done.stderr, "that nothing else runs here is none"
    assert "set:" not in done.stdout
    (gateway,) = load(desk.default, env={"HOME": str(desk.home)}).config.gateways
    assert (gateway.discover, gateway.url) == ("local", None)


def test_a_cell_beside_a_gateway_elsewhere_that_the_environment_means(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = {"mode": "remote", "remote": {"url": "wss://gateway.example", "token": "s3cret-token"}}
    desk.gateway().write_text(json.dumps({"gateway": remote}))
    (acme,) = read_registry(write_registry(desk.home / ".openclaw", "acme"))
    monkeypatch.setenv("PATH", play_runtime(tmp_path / "bin", acme))
    done = desk.type("init")
    assert done.exit_code == 0, done.output
    (gateway,) = load(desk.default, env={"HOME": str(desk.home)}).config.gateways
    assert (gateway.name, gateway.discover, gateway.url) == ("local", "local", None), "it stands for both"


def test_a_configuration_that_was_named_and_is_not_there_is_told_beside_a_cell(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_registry(desk.home / ".openclaw", "acme")
    monkeypatch.setenv("OPENCLAW_CONFIG_PATH", str(desk.home / "mistyped.json"))
    assert "mistyped.json" in desk.type("init").stderr


def test_nothing_found_says_what_was_looked_for(desk: Desk) -> None:
    done = desk.type("init")
    assert done.exit_code == 0
    assert "No gateway was found" in done.stderr
    assert "$OPENCLAW_STATE_DIR" in done.stderr
    assert "fill in: gateways[0].url" in done.stdout
    (gateway,) = load(desk.default, env={"HOME": str(desk.home)}).config.gateways
    assert gateway.url == "ws://127.0.0.1:18789"


def test_a_broken_openclaw_config_is_told(desk: Desk) -> None:
    desk.gateway().write_text("{ gateway: ")
    done = desk.type("init")
    assert done.exit_code == 0
    assert "openclaw.json" in done.stderr


def test_nothing_is_overwritten_without_force(desk: Desk) -> None:
    desk.default.parent.mkdir(parents=True)
    desk.default.write_text("poll_every: 45s\n")
    done = desk.type("init")
    assert isinstance(done.exception, Leave)
    assert done.exception.code == 1
    assert "--force" in done.stderr
    assert desk.default.read_text() == "poll_every: 45s\n"
    assert desk.type("init", "--force").exit_code == 0
    assert "gateways:" in desk.default.read_text()
    assert desk.default.with_name("watchdog.yaml.bak").read_text() == "poll_every: 45s\n"


def test_what_was_kept_is_kept(desk: Desk) -> None:
    desk.default.parent.mkdir(parents=True)
    desk.default.write_text("poll_every: 45s\n")
    first, second = (desk.type("init", "--force") for _ in range(2))
    bak = desk.default.with_name("watchdog.yaml.bak")
    assert bak.read_text() == "poll_every: 45s\n"
    assert f"the old one is {bak}\n" in first.stdout
    assert "gateways:" in bak.with_name("watchdog.yaml.bak.1").read_text()
    assert f"the old one is {bak}.1\n" in second.stdout


@pytest.mark.parametrize("failing", [0, 1, 2], ids=["schema", "new", "kept"])
def test_a_disk_that_is_full_costs_no_configuration(desk: Desk, failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.default.parent.mkdir(parents=True)
    desk.default.write_text("poll_every: 45s\n")
    synced: list[int] = []

    def full(fd: int) -> None:
        synced.append(fd)
        if len(synced) > failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    done = desk.type("init", "--force")
    assert isinstance(done.exception, Leave)
    assert done.exception.code == 69
    assert f"{desk.default} cannot be written (no space left on device), and nothing was replaced" in done.stderr
    assert desk.default.read_text() == "poll_every: 45s\n"
    assert {one.name for one in desk.default.parent.iterdir()} - {"watchdog.schema.json"} == {"watchdog.yaml"}


def test_a_home_that_takes_no_file_is_told_with_the_way_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.home / "file").touch()
    monkeypatch.setenv("HOME", str(desk.home / "file"))
    done = desk.type("init")
    assert isinstance(done.exception, Leave)
    assert done.exception.code == 69
    assert "cannot be written (not a directory)" in done.stderr
    assert "--output FILE names another place" in done.stderr


@pytest.mark.parametrize("arguments", [["init", "--output", ""], ["check", "--config", ""], ["replay", ""]])
def test_a_file_without_a_name(desk: Desk, arguments: list[str]) -> None:
    done = desk.type(*arguments)
    assert done.exit_code == (3 if arguments[0] == "check" else 2)
    assert "the name of the file is empty" in " ".join(done.output.split())
    assert list(desk.home.iterdir()) == []


def test_print_writes_nothing(desk: Desk) -> None:
    done = desk.type("init", "--print")
    assert done.stdout.startswith("# Configuration of openclaw-watchdog.")
    assert not desk.default.parent.exists()


def test_another_place(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    done = desk.type("init", "--output", str(folder))
    assert (folder / "watchdog.yaml").exists()
    assert f"next: openclaw-watchdog doctor --config {folder / 'watchdog.yaml'}" in done.stdout


def test_a_file_that_comes_first_is_told(desk: Desk) -> None:
    nearer = desk.home / "watchdog.yaml"
    nearer.write_text("poll_every: 45s\n")
    done = desk.type("init")
    assert f"note: {nearer} comes before it" in done.stdout
    assert f"doctor --config {desk.default}" in done.stdout
