"""``doctor`` on a machine without a gateway: the package, the service, and what to type next."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from typer.testing import CliRunner

import watchdog
from tests.fakes.builders import facts
from tests.unit.adapters.service_units.managers import FakeSystemd
from watchdog.adapters.service_units.control import ServiceControl, Systemd
from watchdog.adapters.service_units.files import UNIT
from watchdog.cli import service
from watchdog.cli.app import app
from watchdog.cli.doctor import Grade, _account, _channels, _whose, limit_findings
from watchdog.gateway.client import GatewayClient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the service is systemd's here")
Lines = list[tuple[str, str]]


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemd:
    folders = {False: tmp_path / "user", True: tmp_path / "system"}
    for folder in folders.values():
        folder.mkdir()
    manager = FakeSystemd(folders[False])

    def control_for(_service: object, *, is_system: bool, env: object = None) -> ServiceControl:
        return Systemd(folders[is_system], is_system=is_system, run=manager)

    monkeypatch.setattr(service, "control_for", control_for)
    for name in service.PLACES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return manager


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "watchdog.yaml"
    path.write_text(f'gateways: [{{name: a, url: "ws://127.0.0.1:1"}}]\nstate_dir: {tmp_path}/state\n', "utf-8")
    return path


@pytest.fixture
def service_lines(config: Path, systemd: FakeSystemd) -> Callable[[], Lines]:
    def ask() -> Lines:
        done = CliRunner().invoke(app, ["doctor", "--json", "--config", str(config)])
        findings = json.loads(done.stdout)["findings"]
        return [(one["grade"], one["text"]) for one in findings if one["subject"] == "service"]

    return ask


def _install(config: Path) -> None:
    done = CliRunner().invoke(app, ["service", "install", "--config", str(config)])
    assert done.exit_code == 0, done.output


def test_not_installed_asks_nobody(service_lines: Callable[[], Lines], systemd: FakeSystemd, config: Path) -> None:
    ((grade, text),) = service_lines()
    assert grade == "OK"
    assert f"`openclaw-watchdog service install --config {config}`" in text
    assert systemd.asked == []


def test_installed_enabled_running(service_lines: Callable[[], Lines], systemd: FakeSystemd, config: Path) -> None:
    _install(config)
    assert service_lines() == [("OK", f"{systemd.folder / UNIT} runs as process 42: 1/1 gateways up")]


def test_an_observing_service_is_as_it_would_be_written(
    service_lines: Callable[[], Lines], systemd: FakeSystemd, config: Path
) -> None:
    done = CliRunner().invoke(app, ["service", "install", "--observe", "--config", str(config)])
    assert done.exit_code == 0, done.output
    said = f"{systemd.folder / UNIT} runs as process 42, and only observes (--observe): 1/1 gateways up"
    assert service_lines() == [("OK", said)]
    findings = json.loads(CliRunner().invoke(app, ["doctor", "--json", "--config", str(config)]).stdout)["findings"]
    (mode,) = (one["text"] for one in findings if one["subject"] == "mode")
    assert mode.startswith("it only observes (--observe): ")
    systemd.link.unlink()
    unit = systemd.folder / UNIT
    unit.write_text(unit.read_text() + "# mine\n")
    _, (_, not_enabled), (_, drift) = service_lines()
    assert f"`openclaw-watchdog service install --observe --config {config}` enables it" in not_enabled
    assert f"`openclaw-watchdog service status --config {config}` shows" in drift
    assert f"`openclaw-watchdog service install --observe --config {config}` takes it over" in drift


@pytest.mark.parametrize(
    ("more", "mode", "is_told"),
    [
        ("", "it ACTS: stuck sessions are recovered by themselves (new, resume); `run --observe` only watches", False),
        (
            "recovery: {deeds_between: Mon-Fri 08:00-20:00 UTC}\n",
            (
                "it ACTS: stuck sessions are recovered by themselves (new, resume), Mon-Fri 08:00-20:00 UTC only; "
                "`run --observe` only watches"
            ),
            False,
        ),
        (
            (
                "recovery: {deeds_between: Mon-Fri 08:00-20:00 UTC}\n"
                "policies: [{match: {agent: a}, recovery: {deeds_between: null}}]\n"
            ),
            (
                "it ACTS: stuck sessions are recovered by themselves (new, resume), at hours that differ by policy; "
                "`run --observe` only watches"
            ),
            False,
        ),
        (
            (
                "recovery: {deeds_between: Mon-Fri 08:00-20:00 UTC}\n"
                "policies: [{match: {agent: a}, recovery: {deeds_between: null, mode: observe}}]\n"
            ),
            (
                "it ACTS: stuck sessions are recovered by themselves (new, resume), Mon-Fri 08:00-20:00 UTC only; "
                "`run --observe` only watches"
            ),
            False,
        ),
        (
            (
                "recovery: {deeds_between: Mon-Fri 08:00-20:00 UTC, mode: observe}\n"
                "policies: [{match: {agent: a}, recovery: {deeds_between: null, mode: recover, ladder: [resume]}}]\n"
            ),
            "it ACTS: stuck sessions are recovered by themselves (resume); `run --observe` only watches",
            False,
        ),
        (
            "recovery: {mode: observe}\nnotify: [ntfy://ntfy.sh/topic]\n",
            "it only observes (no policy does anything): sessions are judged and told, nothing is done to them",
            True,
        ),
        (
            "recovery: {mode: observe}\nnotify: [{url: 'ntfy://ntfy.sh/topic', on: [recovered]}]\n",
            "it only observes (no policy does anything): sessions are judged and told, nothing is done to them",
            False,
        ),
    ],
)
def test_the_mode_and_whether_anybody_is_told(
    config: Path, systemd: FakeSystemd, more: str, mode: str, is_told: bool
) -> None:
    config.write_text(config.read_text("utf-8") + more, "utf-8")
    findings = json.loads(CliRunner().invoke(app, ["doctor", "--json", "--config", str(config)]).stdout)["findings"]
    assert [one["text"] for one in findings if one["subject"] == "mode"] == [mode]
    assert [one["grade"] for one in findings if one["subject"] == "notify"] == ([] if is_told else ["WARN"])


def test_a_target_that_is_the_watched_gateway_itself(config: Path, systemd: FakeSystemd) -> None:
    config.write_text(config.read_text("utf-8") + "notify: ['http://127.0.0.1:1/hooks/agent']\n", "utf-8")
    config.chmod(0o600)
    findings = json.loads(CliRunner().invoke(app, ["doctor", "--json", "--config", str(config)]).stdout)["findings"]
    ((grade, text),) = [(one["grade"], one["text"]) for one in findings if one["subject"] == "notify"]
    assert grade == "FAIL"
    assert text.startswith("notify target webhook-1 is a watched gateway itself")


def test_each_thing_that_can_be_wrong(service_lines: Callable[[], Lines], systemd: FakeSystemd, config: Path) -> None:
    _install(config)
    systemd.active, systemd.result = False, "exit-code"
    systemd.link.unlink()
    unit = systemd.folder / UNIT
    unit.write_text(unit.read_text() + "# mine\n")
    grades, texts = zip(*service_lines(), strict=True)
    assert set(grades) == {"WARN"}
    stopped, not_enabled, drift = texts
    assert "not running (inactive (dead), last result: exit-code)" in stopped
    assert "journalctl --user -u openclaw-watchdog -f" in stopped
    assert f"`openclaw-watchdog service install --config {config}` enables it" in not_enabled
    assert f"`openclaw-watchdog service status --config {config}` shows the difference" in drift


def test_a_manager_that_cannot_be_reached(
    service_lines: Callable[[], Lines], systemd: FakeSystemd, config: Path
) -> None:
    _install(config)
    systemd.is_there = False
    ((grade, text),) = service_lines()
    assert grade == "WARN"
    assert "no systemd user manager can be reached" in text


def test_a_system_service_is_compared_as_its_own_account(
    service_lines: Callable[[], Lines], tmp_path: Path, config: Path
) -> None:
    shown = CliRunner().invoke(
        app, ["service", "install", "--system", "--account", "nobody", "--print", "--config", str(config)]
    )
    (tmp_path / "system" / UNIT).write_text(shown.stdout)
    texts = [text for _, text in service_lines()]
    assert not any("is not what `service install` would write" in text for text in texts), texts


def test_the_package_is_ours(config: Path, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch) -> None:
    def first() -> dict[str, str]:
        done = CliRunner().invoke(app, ["doctor", "--json", "--config", str(config)])
        found: dict[str, str] = json.loads(done.stdout)["findings"][0]
        return found

    assert first()["grade"] == "OK"
    monkeypatch.setattr(watchdog, "__file__", "/usr/lib/python3/dist-packages/watchdog/__init__.py")
    other = first()
    assert other["grade"] == "FAIL"
    assert "finds another package at /usr/lib/python3/dist-packages/watchdog" in other["text"]


# ---------------------------------------------------------------- how many files it may open


def test_a_limit_that_is_too_small_for_so_many_gateways_is_warned_of() -> None:
    assert limit_findings(480, 1024) == ()
    (found,) = limit_findings(481, 1024)
    assert (found.subject, found.grade) == ("limits", Grade.WARN)
    assert found.text.startswith(
        "481 gateways need about 1026 file descriptors, and a process started here may have 1024;"
    )


def test_doctor_asks_for_the_limit_of_where_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "watchdog.yaml"
    file.touch(mode=0o600)
    gateways = "".join(
        f"  - {{name: g{number}, url: 'ws://127.0.0.1:1/{number}', token: abcdefgh}}\n" for number in range(40)
    )
    file.write_text(f"state_dir: {tmp_path}/state\nstatus_page: null\ngateways:\n{gateways}")
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)); "
        "from watchdog.cli.app import main; sys.argv = ['w', *sys.argv[1:]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "doctor", "--json", "--gateway", "g0", "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    found = [one for one in json.loads(done.stdout)["findings"] if one["subject"] == "limits"]
    assert [one["grade"] for one in found] == ["WARN"]
    assert found[0]["text"].startswith("40 gateways need about 144 file descriptors")


def test_root_is_remarked_on() -> None:
    assert _account(1000) == ()
    (finding,) = _account(0)
    assert finding.grade is Grade.WARN
    assert "runs as root" in finding.text


def test_chat_apps_that_a_gateway_does_not_start_are_named_with_the_way_out() -> None:
    (line,) = _channels("home", facts(stopped_channels=("telegram",)))
    assert line.grade is Grade.WARN
    assert "does not run telegram" in line.text
    assert """channels.start --params '{"channel":"telegram"}'""" in line.text
    assert not _channels("home", facts())


def _of_ledger(config: Path) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["doctor", "--json", "--config", str(config)])
    (line,) = (one for one in json.loads(done.stdout)["findings"] if one["subject"] == "ledger")
    return line["grade"], line["text"]


@pytest.mark.parametrize("place", ["/etc/passwd", "/proc/nope", "/dev/full", "/proc"])
def test_a_state_folder_that_takes_nothing_fails_before_the_first_run(
    place: str, config: Path, systemd: FakeSystemd
) -> None:
    config.write_text(f'gateways: [{{name: a, url: "ws://127.0.0.1:1"}}]\nstate_dir: {place}\n', "utf-8")
    grade, text = _of_ledger(config)
    assert grade == "FAIL"
    assert f"the state folder {place} " in text
    assert "set state_dir to a folder this user may write" in text


def test_trying_the_state_folder_leaves_nothing_behind(config: Path, systemd: FakeSystemd, tmp_path: Path) -> None:
    assert _of_ledger(config) == ("OK", f"{tmp_path}/state/ledger.sqlite will be made at the first run")
    made = {one.name for one in (tmp_path / "state").iterdir()}
    assert made == {"device.pem", "probe-device.pem"}, "which signing in needs"


def test_it_says_whose_port_was_not_checked_and_why() -> None:
    client = SimpleNamespace(unchecked_peer="the owner of its state_dir is unknown")
    (line,) = _whose("home", cast("GatewayClient", client), facts())
    assert line.text == "not checked which account owns its port: the owner of its state_dir is unknown"
