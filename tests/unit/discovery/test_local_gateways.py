"""What ``discover: local`` stands for while gateways come and go: real files, processes and a clock set by hand."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes.clock import ManualClock
from tests.unit.discovery.support import Machine
from tests.unit.discovery.test_fleet_cells import play_runtime, write_registry
from watchdog.config import LoadedConfig, parse
from watchdog.discovery.fleet_cells import read_registry
from watchdog.discovery.found import Cell
from watchdog.discovery.local_gateways import LOCK_GONE_FOR, LocalGateway, LocalGateways
from watchdog.service.events import Event, MemoryLog

LOCAL = "gateways: [{discover: local}]"


class Desk:
    """A machine, and what one daemon remembers of it."""

    def __init__(self, root: Path) -> None:
        self.machine = Machine(root)
        self.machine.home.mkdir()
        self.machine.tmp.mkdir()
        self.clock, self.log = ManualClock(), MemoryLog()
        self.local = LocalGateways(self.machine.here.everything, self.clock, self.log)

    def profile(self, name: str | None, port: int, *, pid: int | None = None) -> Path:
        """Its state folder; with ``pid`` its gateway runs."""
        folder = f".openclaw-{name}" if name else ".openclaw"
        config = self.machine.config({"gateway": {"port": port, "auth": {"token": "t"}}}, f"{folder}/openclaw.json")
        if pid is not None:
            self.machine.new_lock(config, config.parent, port, pid)
        return config.parent

    def elsewhere(self, name: str, port: int, pid: int) -> Path:
        """A gateway whose configuration is nobody's profile; its lock is where versions before 2026.9 put it."""
        config = self.machine.root / "srv" / name / "openclaw.json"
        config.parent.mkdir(parents=True)
        config.write_text(f"{{gateway: {{port: {port}}}}}")
        self.machine.old_lock(config, pid)
        return config

    def stop(self, pid: int) -> None:
        del self.machine.processes.alive[pid]

    def spelled_out(self, text: str = LOCAL, *, with_stopped: bool = False) -> LoadedConfig:
        return self.local.spelled_out(parse(text, env={}), with_stopped=with_stopped)

    def names(self, text: str = LOCAL, *, with_stopped: bool = False) -> list[str]:
        return [section.name for section in self.spelled_out(text, with_stopped=with_stopped).config.gateways]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_without_the_word_nothing_is_spelled_out(desk: Desk) -> None:
    desk.profile(None, 1, pid=11)
    desk.profile("work", 2, pid=12)
    for text in ("", "gateways: [{name: home}]", "gateways: [{url: 'ws://127.0.0.1:9'}]"):
        loaded = parse(text, env={})
        assert desk.local.spelled_out(loaded) is loaded


def test_the_meant_one_keeps_its_section_and_others_are_watched_from_when_they_run(desk: Desk) -> None:
    desk.profile(None, 1)
    desk.profile("old", 2)
    work = desk.profile("work", 3, pid=12)
    loaded = desk.spelled_out("gateways: [{name: home, discover: local, token: '${T}'}]")
    home, other = loaded.config.gateways
    assert (home.name, home.discover, home.token is not None) == ("home", "local", True)
    assert isinstance(other, LocalGateway)
    assert (other.name, other.url, other.token) == ("work", None, None)
    assert other.place.config_path == work / "openclaw.json"
    assert desk.names() == ["local", "work"], "the profile that nobody starts is never watched"
    desk.profile("old", 2, pid=13)
    assert desk.names() == ["local", "work", "old"]


def test_one_that_stops_stays_until_its_configuration_is_gone_in_two_looks(desk: Desk) -> None:
    desk.profile(None, 1)
    work = desk.profile("work", 3, pid=12)
    assert desk.names() == ["local", "work"]
    desk.stop(12)
    desk.clock.advance((10 * LOCK_GONE_FOR).total_seconds())
    assert desk.names() == ["local", "work"], "down, and told as down"
    (work / "openclaw.json").rename(work / "aside")
    assert desk.names() == ["local", "work"], "it may be being replaced"
    (work / "aside").rename(work / "openclaw.json")
    assert desk.names() == ["local", "work"]
    shutil.rmtree(work)
    assert desk.names() == ["local", "work"]
    assert desk.names() == ["local"]


def test_a_deleted_configuration_whose_process_lives_is_still_a_gateway(desk: Desk) -> None:
    desk.profile(None, 1)
    work = desk.profile("work", 3, pid=12)
    desk.names()
    (work / "openclaw.json").unlink()
    assert [desk.names() for _ in range(3)] == [["local", "work"]] * 3


def test_one_found_by_its_lock_alone_goes_a_day_after_its_process(desk: Desk) -> None:
    desk.profile(None, 1)
    desk.elsewhere("lab", 5, 15)
    assert desk.names() == ["local", "lab"]
    desk.stop(15)
    desk.clock.advance((LOCK_GONE_FOR - timedelta(minutes=1)).total_seconds())
    assert desk.names() == ["local", "lab"]
    desk.clock.advance((timedelta(minutes=1)).total_seconds())
    assert desk.names() == ["local"]


def test_names_that_sections_have_get_the_port(desk: Desk) -> None:
    desk.profile(None, 1)
    desk.profile("work", 3, pid=12)
    far = "gateways: [{discover: local}, {name: work, url: 'wss://gateway.example'}]"
    assert desk.names(far) == ["local", "work-3", "work"]


def test_a_section_that_comes_later_takes_the_name(desk: Desk) -> None:
    desk.profile(None, 1)
    desk.profile("work", 3, pid=12)
    assert desk.names() == ["local", "work"]
    far = "gateways: [{discover: local}, {name: work, url: 'wss://gateway.example'}]"
    assert desk.names(far) == ["local", "work-3", "work"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_what_another_section_names_by_url_is_not_watched_twice(desk: Desk, host: str) -> None:
    desk.profile(None, 1, pid=11)
    desk.profile("work", 3, pid=12)
    assert desk.names(f"gateways: [{{discover: local}}, {{name: w, url: 'ws://{host}:3'}}]") == ["local", "w"]
    assert desk.names(f"gateways: [{{discover: local}}, {{name: h, url: 'ws://{host}:1'}}]") == ["work", "h"]
    assert desk.names("gateways: [{name: h}, {discover: local}]") == ["h", "work"], "without url it means the same one"


def test_it_stands_for_none_where_other_sections_are_for_all_that_is_here(desk: Desk) -> None:
    """``local`` beside ``h`` would be a second watch over one gateway, whose deeds would be done twice."""
    desk.profile(None, 1, pid=11)
    for other in ("{name: h, url: 'ws://127.0.0.1:1'}", "{name: h}"):
        assert desk.names(f"gateways: [{{discover: local}}, {other}]") == ["h"]
        assert desk.names(f"gateways: [{other}, {{discover: local}}]") == ["h"]


def test_it_stands_for_the_gateway_that_is_yet_to_come(desk: Desk) -> None:
    """Nothing is here: what it finds missing is told under its name."""
    assert desk.names() == ["local"]
    assert desk.names("gateways: [{discover: local}, {name: far, url: 'wss://gateway.example'}]") == ["local", "far"]
    assert desk.names("gateways: [{discover: local}, {name: h}]") == ["h"]


def test_of_two_configurations_on_one_port_the_running_one_is_watched(desk: Desk) -> None:
    desk.profile(None, 3)
    desk.profile("work", 3, pid=12)
    assert desk.names() == ["work"]


def test_where_the_environment_means_nobody_there_is_something_to_watch(desk: Desk) -> None:
    assert desk.names() == ["local"], "and its watch says that no gateway was found"
    desk.profile("work", 3, pid=12)
    assert desk.names() == ["work"]


def test_a_broken_configuration_disturbs_nobody_and_is_said_once(desk: Desk) -> None:
    desk.profile(None, 1)
    work = desk.profile("work", 3, pid=12) / "openclaw.json"
    assert desk.names() == ["local", "work"]
    whole = work.read_text()
    work.write_text("{gateway: ")
    assert [desk.names() for _ in range(3)] == [["local", "work"]] * 3
    (said,) = desk.log.of(Event.CONFIG_REFUSED)
    assert "work/openclaw.json" in str(said["reason"])
    work.write_text(whole)
    desk.names()
    work.write_text("{gateway: ")
    desk.names()
    assert len(desk.log.of(Event.CONFIG_REFUSED)) == 2, "it was whole in between"


def test_the_broken_configuration_of_the_meant_one_is_its_own_watchs_to_say(desk: Desk) -> None:
    (desk.profile(None, 1) / "openclaw.json").write_text("{gateway: ")
    desk.profile("work", 3, pid=12)
    assert desk.names() == ["local", "work"]
    assert desk.log.lines == []


def test_a_person_may_ask_for_one_that_does_not_run(desk: Desk) -> None:
    desk.profile(None, 1)
    desk.profile("old", 2)
    assert desk.names(with_stopped=True) == ["local", "old"]


def test_a_gateway_elsewhere_is_not_one_of_this_machines(desk: Desk) -> None:
    desk.profile(None, 1)
    desk.machine.config({"gateway": {"mode": "remote", "remote": {"url": "wss://far"}}}, ".openclaw-far/openclaw.json")
    assert desk.names(with_stopped=True) == ["local"]


def test_variables_of_the_environment_are_kept_from_the_others(desk: Desk) -> None:
    desk.machine.env.update({"OPENCLAW_PROFILE": "work", "OPENCLAW_GATEWAY_PORT": "7"})
    desk.profile(None, 1, pid=11)
    desk.profile("work", 3)
    loaded = desk.spelled_out()
    assert [section.name for section in loaded.config.gateways] == ["local", "default"], "work is what is meant"


# ---------------------------------------------------------------- fleet cells


def runtime(desk: Desk, *cells: Cell, is_running: bool = True) -> None:
    desk.machine.env["PATH"] = play_runtime(desk.machine.root / "bin", *cells, is_running=is_running)


def test_a_running_cell_is_watched_until_it_is_removed_from_the_registry(desk: Desk) -> None:
    state = desk.profile(None, 1)
    (acme,) = read_registry(write_registry(state, "acme"))
    runtime(desk, acme, is_running=False)
    assert desk.names() == ["local"], "it has not run yet"
    runtime(desk, acme)
    _, section = desk.spelled_out().config.gateways
    assert isinstance(section, LocalGateway)
    assert (section.name, section.cell) == ("acme", acme)
    assert desk.log.lines == []
    runtime(desk, acme, is_running=False)
    assert [desk.names() for _ in range(3)] == [["local", "acme"]] * 3, "stopped, and told as down"
    acme.data_dir.mkdir(parents=True)
    write_registry(state)
    assert [desk.names() for _ in range(2)] == [["local", "acme"], ["local"]], "its folder outlives it"


def test_a_registry_that_cannot_be_read_for_a_while_changes_nothing(desk: Desk) -> None:
    registry = write_registry(desk.profile(None, 1), "acme")
    runtime(desk, *read_registry(registry))
    assert desk.names() == ["local", "acme"]
    registry.write_text("broken " * 1000)
    assert [desk.names() for _ in range(3)] == [["local", "acme"]] * 3
    assert len(desk.log.of(Event.CONFIG_REFUSED)) == 1


def test_a_cell_whose_token_cannot_be_read_is_said_once_and_may_be_named_by_url(desk: Desk) -> None:
    write_registry(desk.profile(None, 1), "acme")
    runtime(desk)
    assert [desk.names() for _ in range(3)] == [["local"]] * 3
    (said,) = desk.log.of(Event.CONFIG_REFUSED)
    assert "fleet cell acme (ws://127.0.0.1:19100)" in str(said["reason"])
    assert "no such container" in str(said["reason"])
    desk.log.lines.clear()
    named = "gateways: [{discover: local}, {name: a, url: 'ws://127.0.0.1:19100', token: t}]"
    assert desk.names(named) == ["local", "a"]
    assert desk.log.lines == []
