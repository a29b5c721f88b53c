"""Another account of this machine tries to get a gateway's secret: by files it plants, and by listening where we call.

The thief is a real process of another account (``nobody``), so these tests need root. Each has its counterpart with a thief
of our own account, who is let in and hears the secret: so the thief knows its trade, and only the account tells them apart.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.harness.daemon import REPOSITORY
from tests.fakes.loopback import free_port
from watchdog.adapters.host import LocalHost
from watchdog.config import Config, ConfigError, load, parse
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.service.events import Event, MemoryLog
from watchdog.service.null_meter import NullMeter

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="becomes another account, which needs root on Linux"
)

TOKEN = "the-token-of-roots-gateway"
ELSEWHERE = "a-secret-of-root-for-something-else"
NOBODY = 65534
CONFIG = """
gateways: [{{{kind}name: home}}]
poll_every: 200ms
thresholds: {{stuck_after: 10m, confirm_for: 1s, startup_grace: 1s}}
status_page: null
state_dir: {folder}/state
allow_short_thresholds: true
"""


class House:
    """Root's home, and a sticky temp folder that everybody may write, as ``/tmp`` is."""

    def __init__(self, root: Path) -> None:
        self.root, self.home, self.tmp = root, root / "root", root / "tmp"
        self.state = self.home / ".openclaw"
        self.state.mkdir(parents=True)
        self.home.chmod(0o700)
        self.tmp.mkdir()
        self.tmp.chmod(0o1777)
        self.secret_file = self.home / "secret"
        self.secret_file.write_text(ELSEWHERE)
        self.secret_file.chmod(0o644)
        self.heard = self.tmp / "heard"
        self.log = MemoryLog()
        self.env = {"HOME": str(self.home), "OTHER_TOKEN": ELSEWHERE, "OPENCLAW_GATEWAY_TOKEN": ELSEWHERE}
        self._thieves: list[subprocess.Popen[str]] = []

    def gateway(self, port: int) -> Path:
        """Root's gateway, which is down."""
        config = self.state / "openclaw.json"
        config.write_text(json.dumps({"gateway": {"port": port, "auth": {"token": TOKEN}}}))
        config.chmod(0o600)
        return config

    def thief(
        self,
        uid: int,
        *,
        port: int = 0,
        plant: Mapping[Path, str] | None = None,
        links: Mapping[Path, Path] | None = None,
    ) -> int:
        """Starts one of this account; the port it listens on."""
        orders = {
            "uid": uid,
            "port": port,
            "heard": str(self.heard),
            "plant": {str(path): text for path, text in (plant or {}).items()},
            "links": {str(path): str(target) for path, target in (links or {}).items()},
        }
        command = [sys.executable, "-I", str(Path(__file__).with_name("thief.py")), json.dumps(orders)]
        thief = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/")
        self._thieves.append(thief)
        assert thief.stdout is not None
        return int(thief.stdout.readline())

    @property
    def words(self) -> str:
        """All that a thief was sent."""
        return self.heard.read_text(errors="replace") if self.heard.exists() else ""

    @property
    def reasons(self) -> list[str]:
        """What the log says was found and is not used, or not talked to."""
        events = (Event.CONFIG_REFUSED, Event.GATEWAY_UNHEALTHY, Event.GATEWAY_DISCONNECTED)
        return [str(line["reason"]) for event in events for line in self.log.of(event)]

    @asynccontextmanager
    async def watched(self, kind: str) -> AsyncIterator[Daemon]:
        loaded = parse(CONFIG.format(kind=kind, folder=self.root), env=self.env)
        builder = Builder(loaded, self.env, self.log, NullMeter(), tmp_dirs=(self.tmp,))
        daemon = Daemon(builder.parts(is_observing=True), seed=1)
        task = asyncio.create_task(daemon.run())
        try:
            yield daemon
        finally:
            daemon.stop("the test is over")
            await task

    def close(self) -> None:
        for thief in self._thieves:
            thief.kill()
            thief.communicate()


@pytest.fixture
def house() -> Iterator[House]:
    root = Path(tempfile.mkdtemp(prefix="another-account-"))  # everybody may enter it, unlike pytest's own
    root.chmod(0o755)
    house = House(root)
    try:
        yield house
    finally:
        house.close()
        shutil.rmtree(root)


async def until(holds: Callable[[], bool], house: House) -> None:
    try:
        async with asyncio.timeout(60):
            while not holds():  # noqa: ASYNC110 - a daemon is watched, not awaited
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"heard: {house.words!r}; log: {house.reasons}")


def tried(daemon: Daemon, times: int = 3) -> Callable[[], bool]:
    """Every gateway was called this often."""
    return lambda: bool(daemon._runners) and all(one.failures >= times for one in daemon._runners.values())


def lock(config: Path, state_dir: Path) -> str:
    """As 2026.9.6 writes it, of the thief's own living process, on the thief's port."""
    said = {"configPath": str(config), "stateDir": str(state_dir), "createdAt": "2026-11-20T10:51:50.002Z"}
    return json.dumps(said)[:-1] + ', "pid": {pid}, "startTime": {start}, "port": {port}}'


KINDS = pytest.mark.parametrize("kind", ["", "discover: local, "], ids=["the meant one", "discover: local"])


@KINDS
async def test_a_planted_lock_does_not_lead_to_its_port(house: House, kind: str) -> None:
    config = house.gateway(free_port())
    planted = house.tmp / f"openclaw-{NOBODY}" / "gateway.aaaaaaaa.lock"
    house.thief(NOBODY, plant={planted: lock(config, house.state)})
    async with house.watched(kind) as daemon:
        await until(tried(daemon), house)
    assert house.words == "", "it was not even called"
    (said,) = [reason for reason in house.reasons if str(planted) in reason]
    assert f"it is nobody (uid 65534)'s and names {config}" in said
    assert "is not for nobody (uid 65534) to read" in said


@KINDS
@pytest.mark.parametrize("field", ["configPath", "stateDir"])
@pytest.mark.parametrize("odd", ["/half \ud83d", "/nothing \0", "/" + "x" * 5000, "../" * 3000, "~nobody \ud83d"])
async def test_a_lock_that_names_what_no_file_can_be_called_ends_nothing(
    house: House, odd: str, field: str, kind: str
) -> None:
    """With ``discover: local`` root's daemon did not start any more."""
    said = {"configPath": str(house.gateway(free_port())), "stateDir": str(house.state), field: odd}
    planted = house.tmp / f"openclaw-{NOBODY}" / "gateway.aaaaaaaa.lock"
    house.thief(
        NOBODY, plant={planted: json.dumps(said)[:-1] + ', "pid": {pid}, "startTime": {start}, "port": {port}}'}
    )
    async with house.watched(kind) as daemon:
        await until(tried(daemon, 1), house)
        await asyncio.to_thread(daemon.parts.gateways.spelled_out, daemon.parts.written)
    assert house.log.of(Event.CYCLE_FAILED) == []
    assert TOKEN not in house.words
    assert ELSEWHERE not in house.words


@KINDS
async def test_a_configuration_that_everybody_may_read_does_not_take_a_lock_of_theirs(house: House, kind: str) -> None:
    config = house.gateway(free_port())
    config.write_text(config.read_text().replace(TOKEN, "${GATEWAY}"))
    (house.state / ".env").write_text(f"GATEWAY={TOKEN}\n")
    for path, mode in ((house.home, 0o755), (config, 0o644), (house.state / ".env", 0o600)):
        path.chmod(mode)
    planted = house.tmp / f"openclaw-{NOBODY}" / "gateway.aaaaaaaa.lock"
    house.thief(NOBODY, plant={planted: lock(config, house.state)})
    async with house.watched(kind) as daemon:
        await until(tried(daemon), house)
    assert TOKEN not in house.words


@KINDS
async def test_a_lock_of_our_own_leads_to_its_port(house: House, kind: str) -> None:
    config = house.gateway(free_port())
    house.thief(0, plant={house.tmp / "openclaw-0" / "gateway.aaaaaaaa.lock": lock(config, house.state)})
    async with house.watched(kind):
        await until(lambda: TOKEN in house.words, house)


@KINDS
async def test_a_folder_in_our_name_is_not_used_and_said(house: House, kind: str) -> None:
    config = house.gateway(free_port())
    planted = house.tmp / "openclaw-0" / "gateway.aaaaaaaa.lock"
    house.thief(NOBODY, plant={planted: lock(config, house.state)})
    async with house.watched(kind) as daemon:
        await until(tried(daemon), house)
    assert house.words == ""
    said = [reason for reason in house.reasons if str(planted.parent) in reason]
    assert len(said) == 1, "once"
    assert "it belongs to nobody (uid 65534), and its name says uid 0" in said[0]


@KINDS
async def test_who_listens_on_the_port_of_a_gateway_that_is_down_hears_no_secret(house: House, kind: str) -> None:
    port = free_port()
    house.gateway(port)
    house.thief(NOBODY, port=port)
    async with house.watched(kind) as daemon:
        await until(tried(daemon), house)
    assert "GET / HTTP/1.1" in house.words
    assert '"connect"' not in house.words
    assert TOKEN not in house.words
    assert ELSEWHERE not in house.words
    (said,) = [reason for reason in house.reasons if "nobody (uid 65534) answers on port" in reason]
    assert "the gateway there is of root (uid 0): nothing secret was sent" in said


async def test_a_listener_of_our_own_hears_the_secret(house: House) -> None:
    port = free_port()
    house.gateway(port)
    house.thief(0, port=port)
    async with house.watched(""):
        await until(lambda: TOKEN in house.words, house)


def theirs(house: House, name: str) -> tuple[dict[Path, str], dict[Path, Path]]:
    """A gateway of the thief's own, with a lock that is sound, whose configuration reaches for something of root's."""
    folder = house.tmp / "home-of-nobody"
    config, token = folder / "openclaw.json", "${WORK}"
    plant = {house.tmp / f"openclaw-{NOBODY}" / "gateway.bbbbbbbb.lock": lock(config, folder)}
    links: dict[Path, Path] = {}
    settings: dict[str, object] = {}
    match name:
        case "a variable of ours":
            token = "${OTHER_TOKEN}"
        case "a file of ours":
            settings["secrets"] = {
                "providers": {"f": {"source": "file", "path": str(house.secret_file), "mode": "singleValue"}}
            }
            settings["gateway"] = {"auth": {"token": {"source": "file", "provider": "f", "id": "value"}}}
        case "a file that cannot be called so":
            settings["secrets"] = {"providers": {"f": {"source": "file", "path": "/a\0b", "mode": "singleValue"}}}
            settings["gateway"] = {"auth": {"token": {"source": "file", "provider": "f", "id": "value"}}}
        case "our .env, linked":
            (house.state / ".env").write_text(f"WORK={ELSEWHERE}\n")
            links[folder / ".env"] = house.state / ".env"
        case "our .env, as its state folder":
            (house.state / ".env").write_text(f"WORK={ELSEWHERE}\n")
            plant = {
                path: text.replace(f'"stateDir": "{folder}"', f'"stateDir": "{house.state}"')
                for path, text in plant.items()
            }
        case "our configuration, linked":
            links[config] = house.state / "openclaw.json"
        case "our configuration, included":
            settings["$include"] = "ours.json"
            links[folder / "ours.json"] = house.state / "openclaw.json"
        case "no token":
            settings["gateway"] = {"auth": {}}
    if config not in links:
        plant[config] = json.dumps({"gateway": {"auth": {"token": token}}} | settings)
        if name == "our configuration, included":
            plant[config] = json.dumps(settings)
    return plant, links


REACHES = (
    "a variable of ours",
    "a file of ours",
    "a file that cannot be called so",
    "our .env, linked",
    "our .env, as its state folder",
    "our configuration, linked",
    "our configuration, included",
    "no token",
)


@pytest.mark.parametrize("reach", REACHES)
async def test_root_reads_nothing_of_its_own_for_another_account(house: House, reach: str) -> None:
    house.gateway(free_port())
    plant, links = theirs(house, reach)
    house.thief(NOBODY, plant=plant, links=links)
    async with house.watched("discover: local, ") as daemon:
        await until(tried(daemon), house)
        await asyncio.to_thread(daemon.parts.gateways.spelled_out, daemon.parts.written)
    assert ELSEWHERE not in house.words
    assert TOKEN not in house.words
    assert len(house.reasons) >= 2, "root's own is down, and theirs cannot be signed in to or used"


async def test_the_one_gateway_that_runs_here_may_be_theirs_and_gets_nothing_of_ours(house: House) -> None:
    plant, links = theirs(house, "no token")
    house.thief(NOBODY, plant=plant, links=links)
    async with house.watched("") as daemon:
        await until(tried(daemon), house)
    assert '"connect"' in house.words, "it is the one that runs"
    assert ELSEWHERE not in house.words


def test_a_watchdog_yaml_of_theirs_in_the_working_folder_is_not_obeyed(house: House) -> None:
    folder = house.tmp / "project"
    house.thief(NOBODY, plant={folder / "watchdog.yaml": "poll_every: 7s\n"})
    system, env = house.home / "etc", {"HOME": str(house.home)}
    with pytest.raises(ConfigError) as refused:
        load(env=env, cwd=folder, system_folder=system, accounts=LocalHost())
    assert str(refused.value) == (
        f"{folder}/watchdog.yaml: it belongs to nobody (uid 65534), not to root (uid 0), so it is not read "
        "(name it with --config if it is meant)"
    )
    own = house.home / ".config/openclaw-watchdog/watchdog.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("poll_every: 9s\n")
    loaded = load(env=env, cwd=folder, system_folder=system, accounts=LocalHost())
    assert (loaded.source, loaded.config.poll_every.total_seconds()) == (own, 9)
    assert [problem.file for problem in loaded.warnings] == [str(folder / "watchdog.yaml")]
    named = load(folder / "watchdog.yaml", env=env, cwd=folder, system_folder=system)
    assert named.config.poll_every.total_seconds() == 7


def test_a_watchdog_yaml_of_ours_in_a_folder_of_theirs_is_not_obeyed(house: House) -> None:
    folder = house.tmp / "project"
    house.thief(NOBODY, plant={folder / "notes": ""})
    (folder / "watchdog.yaml").write_text("poll_every: 7s\n")
    with pytest.raises(ConfigError, match=r"its folder .*/project belongs to nobody"):
        load(env={}, cwd=folder, system_folder=house.home / "etc", accounts=LocalHost())
    shared = house.tmp / "watchdog.yaml"  # everybody's sticky folder, and root's file
    shared.write_text("poll_every: 8s\n")
    assert load(env={}, cwd=house.tmp, system_folder=house.home / "etc").config != Config()


def test_a_file_that_was_found_is_judged_at_every_reading(house: House) -> None:
    file = house.tmp / "watchdog.yaml"
    file.write_text("poll_every: 8s\n")
    loaded = load(env={}, cwd=house.tmp, system_folder=house.home / "etc")
    assert loaded.was_found
    file.unlink()
    house.thief(NOBODY, plant={file: "poll_every: 7s\n"})
    with pytest.raises(ConfigError, match="belongs to"):
        load(loaded.source, env={}, cwd=house.tmp, was_found=loaded.was_found)


def run_in(folder: Path, house: House) -> tuple[int, str]:
    """The program itself, started there as a person would, until it has a configuration: how it ended, what it said."""
    env = {"HOME": str(house.home), "PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"}
    command = [sys.executable, "-P", "-m", "watchdog", "run", "--observe", "--log-format", "json"]
    said = []
    with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        for line in program.stderr:
            said.append(line)
            if '"config.loaded"' in line:
                program.terminate()
    return program.returncode, "".join(said)


def test_the_program_says_which_file_it_does_not_obey_and_which_is_in_force(house: House) -> None:
    folder, marker = house.tmp / "project", house.tmp / "obeyed"
    orders = (
        f"gateways: [{{name: home, url: 'ws://127.0.0.1:{free_port()}'}}]\npoll_every: 2s\nallow_short_thresholds: true\n"
        f"gateway_restart: {{command: [touch, '{marker}'], after_failures: 1, min_down: 1s}}\n"
    )
    house.thief(NOBODY, plant={folder / "watchdog.yaml": orders})
    said = f"{folder}/watchdog.yaml: it belongs to nobody (uid 65534), not to root (uid 0), so it is not read"
    code, log = run_in(folder, house)
    assert (code, log.count(said)) == (78, 1), log
    own = house.home / ".config/openclaw-watchdog/watchdog.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(f"poll_every: 9s\nstatus_page: null\nstate_dir: {house.root}/state\n")
    _, log = run_in(folder, house)
    assert log.count(said) == 1, log
    loaded = next(line for line in log.splitlines() if '"config.loaded"' in line)
    assert json.loads(loaded)["source"] == str(own)
    assert not marker.exists()
