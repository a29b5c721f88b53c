"""The daemon under a real systemd user manager: installed, seen, hung, killed, reloaded, stopped, removed.

The manager lives in namespaces of its own (``harness/user_manager``). The gateway is the simulated one, on a real socket.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.server import SimulatedGateway
from openclaw_simulator.world import World
from tests.e2e.harness.conditions import until
from tests.e2e.harness.user_manager import UserManager, missing

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

UNIT = "openclaw-watchdog.service"
PROGRAM = str(Path(sys.executable).parent / "openclaw-watchdog")
SETTINGS = """\
gateways:
  - {{name: home, url: "{url}", token: "${{GATEWAY_TOKEN}}", state_dir: none}}
poll_every: {poll}
status_page: null
"""
DROP_IN = """\
[Service]
WatchdogSec=4
TimeoutAbortSec=2
RestartSec=1
StandardError=append:{log}
"""


class Simulation:
    """A gateway that listens on a real port, in a thread of this process."""

    def __init__(self) -> None:
        self.url = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)

    async def _run(self) -> None:
        world = World(PROFILES["2026.9.6"], datetime.now(UTC), 1)  # noqa: TID251 - what a real gateway would read
        async with SimulatedGateway(world, access=AccessRules(stale_after_ms=None)) as gateway:
            self.url = gateway.url
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> Simulation:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()


class Installed:
    """What an operator sees of the service."""

    def __init__(self, manager: UserManager, url: str) -> None:
        self.manager = manager
        self.folder = manager.home / ".config/systemd/user"
        self.config = manager.home / ".config/openclaw-watchdog/watchdog.yaml"
        self.log = manager.base / "daemon.log"
        self.config.parent.mkdir(parents=True)
        self.write_config("1s", url)
        (self.config.parent / "environment").write_text("GATEWAY_TOKEN=simulated-token\n")
        self.drop_in = self.folder / f"{UNIT}.d/quick.conf"
        self.drop_in.parent.mkdir(parents=True)
        self.drop_in.write_text(DROP_IN.format(log=self.log))
        self.url = url

    def write_config(self, poll: str, url: str) -> None:
        self.config.write_text(SETTINGS.format(url=url, poll=poll))
        self.config.chmod(0o600)

    def type(self, *arguments: str, code: int = 0) -> str:
        done = self.manager.run(PROGRAM, *arguments)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.tail()}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.type("service", "status", "--json"))
        return document

    def show(self, name: str) -> str:
        return self.manager.show(UNIT, name)

    def runs_again(self, than: str) -> bool:
        return self.show("MainPID") not in ("0", than) and self.says_gateway_is_up()

    def says_gateway_is_up(self) -> bool:
        return self.show("ActiveState") == "active" and self.show("StatusText").startswith("1/1 gateways up")

    def lines(self, event: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in found if line.get("event") == event]

    def tail(self) -> str:
        return self.log.read_text()[-3000:] if self.log.exists() else ""


@pytest.fixture(scope="module")
def service() -> Iterator[Installed]:
    with Simulation() as gateway, UserManager() as manager:
        installed = Installed(manager, gateway.url)
        said = installed.type("service", "install")
        assert f"wrote {installed.folder / UNIT}" in said
        assert "enabled it" in said
        assert "started it" in said
        until("the first pass is over", installed.says_gateway_is_up, within=30)
        yield installed


def test_a_useful_status_line(service: Installed) -> None:
    shown = service.manager.systemctl("status", UNIT).stdout
    assert "active (running)" in shown
    assert 'Status: "1/1 gateways up, ' in shown
    status = service.status()
    assert (status["installed"], status["enabled"], status["state"]) == (True, True, "active (running)")
    assert status["status"].startswith("1/1 gateways up, ")
    assert status["drift"] is None
    assert service.show("UnitFileState") == "enabled"


def test_installing_again_changes_nothing(service: Installed) -> None:
    before = service.show("MainPID")
    assert "nothing to do" in service.type("service", "install")
    assert service.show("MainPID") == before


def test_a_changed_file_is_shown_before_it_is_overwritten(service: Installed) -> None:
    path = service.folder / UNIT
    ours = path.read_text()
    path.write_text(ours.replace("RestartSec=15", "RestartSec=99"))
    assert "-RestartSec=99" in service.status()["drift"]
    said = service.type("service", "install", code=1)  # nobody answers the question
    assert "-RestartSec=99\n+RestartSec=15" in said
    assert "RestartSec=99" in path.read_text()
    assert "restarted it" in service.type("service", "install", "--yes")
    assert path.read_text() == ours
    until("it watches again", service.says_gateway_is_up, within=30)


def test_a_hung_daemon_is_restarted_by_the_watchdog_timer(service: Installed) -> None:
    before, restarts = service.show("MainPID"), int(service.show("NRestarts"))
    service.manager.systemctl("kill", "--kill-whom=main", "--signal=STOP", UNIT)
    until("the watchdog timer strikes", lambda: service.show("Result") == "watchdog", within=30, every=0.1)
    until("the hung daemon is replaced", lambda: service.runs_again(before), within=30)
    assert int(service.show("NRestarts")) == restarts + 1


def test_kill_9_is_made_good(service: Installed) -> None:
    before = service.show("MainPID")
    service.manager.systemctl("kill", "--kill-whom=main", "--signal=KILL", UNIT)
    until("a new daemon watches", lambda: service.runs_again(before), within=30)


def test_reload(service: Installed) -> None:
    before = service.show("MainPID")
    loads = len(service.lines("config.loaded"))
    service.write_config("2s", service.url)
    assert service.manager.systemctl("reload", UNIT).returncode == 0
    until("the new file is in force", lambda: len(service.lines("config.loaded")) > loads, within=20)
    assert "poll_every" in json.dumps(service.lines("config.loaded")[-1]["changes"])
    good = service.config.read_text()
    service.config.write_text(good + "pol_every: 3s\n")
    assert service.manager.systemctl("reload", UNIT).returncode == 0
    until("the broken file is refused", lambda: service.lines("config.refused"), within=20)
    service.config.write_text(good)
    until("it is active", service.says_gateway_is_up, within=20)
    assert service.show("MainPID") == before


def test_a_refused_configuration_is_not_tried_again(service: Installed) -> None:
    good = service.config.read_text()
    service.config.write_text("gateways: nonsense\n")
    service.manager.systemctl("restart", UNIT)
    until("it has failed", lambda: service.show("ActiveState") == "failed", within=20)
    assert (service.show("ExecMainStatus"), service.show("NRestarts")) == ("78", "0")
    service.config.write_text(good)
    assert "started it" in service.type("service", "install")
    until("it watches again", service.says_gateway_is_up, within=30)


def test_the_daemon_works_inside_the_sandbox_of_the_system_unit(service: Installed) -> None:
    """Everything but two settings that this manager, which is not process 1, cannot set up (status 226)."""
    unit = "probe.service"
    text = service.type("service", "install", "--system", "--account", "root", "--print")
    path = service.folder / unit
    path.write_text(text)
    drop_in = service.folder / f"{unit}.d/test.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nProtectKernelLogs=no\nProtectKernelTunables=no\n")
    service.manager.systemctl("daemon-reload")
    try:
        started = service.manager.systemctl("start", unit)
        assert started.returncode == 0, started.stderr
        until(
            "it sees the gateway",
            lambda: service.manager.show(unit, "StatusText").startswith("1/1 gateways up"),
            within=20,
        )
        pid = service.manager.show(unit, "MainPID")
        facts = service.manager.run("grep", "-E", "^(CapBnd|NoNewPrivs|Seccomp):", f"/proc/{pid}/status").stdout.split()
        assert facts == ["CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
        mounts = service.manager.run("cat", f"/proc/{pid}/mountinfo").stdout.splitlines()
        assert next(line.split()[5] for line in mounts if line.split()[4] == "/").startswith("ro,")
    finally:
        service.manager.systemctl("stop", unit)
        drop_in.unlink()
        drop_in.parent.rmdir()
        path.unlink()
        service.manager.systemctl("daemon-reload")


def test_a_clean_stop(service: Installed) -> None:
    assert service.manager.systemctl("stop", UNIT).returncode == 0
    assert (service.show("ActiveState"), service.show("Result"), service.show("ExecMainStatus")) == (
        "inactive",
        "success",
        "0",
    )
    assert service.lines("daemon.stopped")
    assert "started it" in service.type("service", "install")


def test_uninstall_leaves_nothing_but_state(service: Installed) -> None:
    service.drop_in.unlink()
    service.drop_in.parent.rmdir()
    said = service.type("service", "uninstall")
    state = service.manager.home / ".local/state/openclaw-watchdog"
    assert f"kept the ledger and the device key in {state}" in said
    assert (state / "ledger.sqlite").exists()
    assert list(service.folder.rglob("*")) == []
    assert service.show("LoadState") == "not-found"
    assert service.show("ActiveState") == "inactive"
    assert "openclaw-watchdog" not in service.manager.systemctl("list-units", "--all").stdout
    assert "no service is installed" in service.type("service", "uninstall")
    assert "not installed" in service.type("service", "status", code=4)
