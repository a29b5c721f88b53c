"""``service``: what would be written, asked before it is overwritten, refused in one sentence."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.unit.adapters.service_units.managers import FakeSystemd
from tests.unit.cli.gateways import code_of
from watchdog.adapters.service_units.control import ServiceControl, ServiceTrouble, Systemd
from watchdog.adapters.service_units.files import UNIT, Service
from watchdog.cli import service
from watchdog.cli.app import app

Type = Callable[..., Result]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the text is systemd's")


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemd:
    folder = tmp_path / "systemd/user"
    folder.mkdir(parents=True)
    manager = FakeSystemd(folder)

    def control_for(_service: object, *, is_system: bool, env: object = None) -> ServiceControl:
        return Systemd(folder, is_system=is_system, run=manager)

    monkeypatch.setattr(service, "control_for", control_for)
    for name in service.PLACES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return manager


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "my watchdog.yaml"
    path.write_text("poll_every: 60s\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def enter(config: Path) -> Type:
    def run(*arguments: str, answers: str = "") -> Result:
        return CliRunner().invoke(app, ["service", *arguments, "--config", str(config)], input=answers)

    return run


def test_print_only_prints(systemd: FakeSystemd, enter: Type, config: Path) -> None:
    done = enter("install", "--print")
    assert done.exit_code == 0, done.output
    program = " ".join(service.program())
    assert f'ExecStart={program} run --config "{config}"' in done.stdout
    assert Path(service.program()[0]).is_absolute()
    assert "WatchdogSec=300" in done.stdout
    assert systemd.asked == []
    assert not (systemd.folder / UNIT).exists()


def test_install_then_nothing_to_do(systemd: FakeSystemd, enter: Type, config: Path) -> None:
    first = enter("install")
    assert first.exit_code == 0, first.output
    assert "started it" in first.stdout
    assert f"next:  openclaw-watchdog service status --config '{config}'\n" in first.stdout
    assert f"`openclaw-watchdog service install --observe --config '{config}'` makes it watch only" in first.stdout
    assert "nothing to do" in enter("install").stdout


def test_drift_is_shown_and_asked_about(systemd: FakeSystemd, enter: Type) -> None:
    enter("install")
    unit = systemd.folder / UNIT
    unit.write_text(unit.read_text().replace("RestartSec=15", "RestartSec=1"))
    no = enter("install", answers="n\n")
    assert no.exit_code == 1
    assert "-RestartSec=1\n+RestartSec=15" in no.stdout
    assert "RestartSec=1\n" in unit.read_text()
    assert enter("install", answers="y\n").exit_code == 0
    assert "RestartSec=15" in unit.read_text()


def test_status_in_words_and_in_json(systemd: FakeSystemd, enter: Type, config: Path) -> None:
    missing = enter("status").stdout
    assert missing.startswith("not installed")
    assert f"`openclaw-watchdog service install --config '{config}'` does it" in missing
    enter("install")
    said = enter("status").stdout
    assert "active (running), enabled, pid 42\n1/1 gateways up\n" in said
    document = json.loads(enter("status", "--json").stdout)
    assert (document["installed"], document["enabled"], document["pid"], document["drift"]) == (True, True, 42, None)
    unit = systemd.folder / UNIT
    unit.write_text(unit.read_text() + "# mine\n")
    assert "-# mine" in json.loads(enter("status", "--json").stdout)["drift"]
    assert "differs from what `service install` would write" in enter("status").stdout


def test_the_exit_status_tells_running_from_stopped_from_not_there(systemd: FakeSystemd, enter: Type) -> None:
    assert code_of(enter("status")) == 4
    assert code_of(enter("status", "--json")) == 4
    enter("install")
    assert code_of(enter("status")) == 0
    systemd.active, systemd.last_words = False, "1/1 gateways up"
    stopped = enter("status")
    assert code_of(stopped) == 3
    assert stopped.stdout.startswith("inactive (dead), enabled\n")
    assert "gateways up" not in stopped.stdout, "the last words of a dead one"
    assert json.loads(enter("status", "--json").stdout)["pid"] is None


def test_an_observing_service(systemd: FakeSystemd, enter: Type) -> None:
    done = enter("install", "--observe")
    assert "mode:  it only observes (--observe): " in done.stdout
    assert systemd.seen_text is not None
    assert " --observe\n" in systemd.seen_text
    document = json.loads(enter("status", "--json").stdout)
    assert (document["observe"], document["drift"]) == (True, None), "that is no drift"
    assert "mode:  it only observes (--observe)" in enter("status").stdout
    again = enter("install")
    assert "note: the installed service only observes, and so will this one; --act makes it act" in again.stderr
    assert "nothing to do" in again.stdout
    assert " --observe\n" in enter("install", "--print").stdout
    acting = enter("install", "--act", answers="y\n")
    assert " --observe" in acting.stdout, "what changes is shown"
    assert "mode:  it ACTS: stuck sessions are recovered by themselves (new, resume); " in acting.stdout
    assert json.loads(enter("status", "--json").stdout)["observe"] is False
    assert "note: the installed" not in enter("install").stderr
    assert json.loads(enter("status", "--json").stdout)["observe"] is False


def test_that_nobody_is_told_is_said(systemd: FakeSystemd, enter: Type, config: Path) -> None:
    assert "note: nobody is told: `notify:` names no target" in enter("install").stderr
    config.write_text("poll_every: 60s\nnotify: [ntfy://ntfy.sh/topic]\nrecovery: {mode: observe}\n")
    done = enter("install")
    assert "nobody is told" not in done.stderr
    assert "mode:  it only observes (no policy does anything)" in done.stdout


def test_of_what_nobody_is_told_is_said(systemd: FakeSystemd, enter: Type, config: Path) -> None:
    config.write_text("notify: [{url: 'ntfy://a', on: stuck}, {url: 'ntfy://b', on: [stuck, recovered]}]\n")
    words = "note: nobody is told of quarantined or gateway_down: no target under `notify:` has it in `on`"
    assert words in enter("install").stderr


def test_uninstall_keeps_state_and_says_where(systemd: FakeSystemd, enter: Type, tmp_path: Path) -> None:
    enter("install")
    state = tmp_path / ".local/state/openclaw-watchdog"
    state.mkdir(parents=True)
    said = enter("uninstall").stdout
    assert f"kept the ledger and the device key in {state}" in said
    assert list(systemd.folder.rglob("*")) == []
    assert "no service is installed" in enter("uninstall").stdout


def test_uninstall_with_a_broken_configuration(systemd: FakeSystemd, enter: Type, config: Path) -> None:
    enter("install")
    config.write_text("nonsense: 1\n")
    assert enter("uninstall").exit_code == 0
    assert not (systemd.folder / UNIT).exists()


def test_a_secret_the_service_will_not_see(systemd: FakeSystemd, enter: Type, config: Path, tmp_path: Path) -> None:
    config.write_text('gateways: [{name: a, url: "ws://127.0.0.1:1", token: "${MY_TOKEN}"}]\n')
    done = enter("install")
    assert "MY_TOKEN" in done.stderr
    environment = tmp_path / ".config/openclaw-watchdog/environment"
    assert str(environment) in done.stderr
    environment.parent.mkdir(parents=True)
    environment.write_text("# secrets\nMY_TOKEN=abc\n\n")
    assert "MY_TOKEN" not in enter("install").stderr


def test_places_of_this_shell_go_along(systemd: FakeSystemd, enter: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCLAW_STATE_DIR", "/srv/open claw")
    monkeypatch.setenv("OPENCLAW_GATEWAY_TOKEN", "never-in-a-unit")
    said = enter("install", "--print").stdout
    assert 'Environment="OPENCLAW_STATE_DIR=/srv/open claw"' in said
    assert "never-in-a-unit" not in said


def test_without_a_manager(systemd: FakeSystemd, enter: Type) -> None:
    systemd.is_there = False
    done = enter("install")
    assert isinstance(done.exception, ServiceTrouble)
    assert "no systemd user manager can be reached" in str(done.exception)
    assert not (systemd.folder / UNIT).exists()


def test_a_system_service_runs_as_who_runs_openclaw(
    systemd: FakeSystemd, enter: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "nobody")
    assert "User=nobody\n" in enter("install", "--system", "--print").stdout
    assert "\nUser=" not in enter("install", "--system", "--print", "--account", "root").stdout
    missing = enter("install", "--system", "--print", "--account", "no-such-account")
    assert "there is no account no-such-account" in str(missing.exception)
    monkeypatch.delenv("SUDO_USER")
    if os.geteuid() == 0:
        unnamed = enter("install", "--system", "--print")
        assert unnamed.exit_code == 2
        assert "--account USER" in unnamed.stderr
    assert enter("install", "--account", "nobody").exit_code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="tries as another account")
def test_a_configuration_the_account_cannot_read(systemd: FakeSystemd, enter: Type) -> None:
    done = enter("install", "--system", "--account", "nobody")
    assert isinstance(done.exception, ServiceTrouble)
    assert "nobody may not read" in str(done.exception)


def test_a_system_service_needs_root(systemd: FakeSystemd, enter: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("SUDO_USER", "nobody")
    assert "needs root" in str(enter("install", "--system").exception)
    assert "run it with sudo" in str(enter("uninstall", "--system").exception)


def test_an_unknown_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    with pytest.raises(ServiceTrouble, match="no service manager is known for plan9"):
        service.control_for(Service(("/w",)), is_system=False)


def test_no_such_program() -> None:
    with pytest.raises(ServiceTrouble, match="there is no /nowhere/systemctl"):
        service.run_command(["/nowhere/systemctl"])


def test_a_service_manager_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "COMMAND_WITHIN", 0.2)
    with pytest.raises(ServiceTrouble, match="`sleep 20` did not end within 0 s"):
        service.run_command(["sleep", "20"])


def test_a_program_that_may_not_be_run(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        service.run_command([str(tmp_path)])
