"""Installing and removing, told to a manager that remembers: twice is the same as once, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.adapters.service_units.managers import FakeLaunchd, FakeSystemd
from watchdog.adapters.service_units.control import Launchd, ServiceTrouble, Systemd, systemd_user_folder
from watchdog.adapters.service_units.files import LABEL, UNIT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "systemd/user"


@pytest.fixture
def systemd(folder: Path) -> FakeSystemd:
    folder.mkdir(parents=True)
    return FakeSystemd(folder)


def control_of(manager: FakeSystemd, *, is_system: bool = False) -> Systemd:
    return Systemd(manager.folder, is_system=is_system, run=manager)


def test_install_writes_enables_and_starts(systemd: FakeSystemd, folder: Path) -> None:
    control = control_of(systemd)
    control.check()
    assert control.install("one") == [
        f"wrote {folder / UNIT}",
        "enabled it: it starts with your session",
        "started it",
    ]
    assert (folder / UNIT).read_text() == "one"
    assert (folder / UNIT).stat().st_mode & 0o777 == 0o644
    assert systemd.running_text == "one"
    state = control.state()
    assert (state.is_installed, state.is_enabled, state.state, state.pid) == (True, True, "active (running)", 42)
    assert state.status == "1/1 gateways up"


def test_install_twice_is_install_once(systemd: FakeSystemd) -> None:
    control = control_of(systemd)
    control.install("one")
    systemd.asked.clear()
    assert control.install("one") == []
    assert "restart" not in systemd.asked


def test_a_new_text_restarts(systemd: FakeSystemd, folder: Path) -> None:
    control = control_of(systemd)
    control.install("one")
    assert control.install("two") == [f"replaced {folder / UNIT}", "restarted it"]
    assert systemd.running_text == "two"


def test_a_stopped_service_is_started_again(systemd: FakeSystemd) -> None:
    control = control_of(systemd)
    control.install("one")
    systemd.active = False
    assert control.install("one") == ["started it"]


def test_uninstall_leaves_nothing(systemd: FakeSystemd, folder: Path) -> None:
    control = control_of(systemd)
    control.install("one")
    assert control.uninstall() == ["stopped and disabled it", f"removed {folder / UNIT}"]
    assert list(folder.rglob("*")) == []
    assert not systemd.active
    assert control.uninstall() == []
    assert not control.state().is_installed


def test_uninstall_without_a_manager_still_removes_the_files(systemd: FakeSystemd, folder: Path) -> None:
    control = control_of(systemd)
    control.install("one")
    systemd.is_there = False
    assert control.uninstall() == [f"removed {systemd.link}", f"removed {folder / UNIT}"]
    assert list(folder.rglob("*")) == []


def test_drop_ins_and_links_of_others_stay(systemd: FakeSystemd, folder: Path) -> None:
    control = control_of(systemd)
    control.install("one")
    other = systemd.link.with_name("other.service")
    other.touch()
    drop_in = folder / f"{UNIT}.d/mine.conf"
    drop_in.parent.mkdir()
    drop_in.touch()
    assert control.uninstall()[-1] == f"left your own drop-ins in {drop_in.parent}"
    assert other.exists()
    assert drop_in.exists()


def test_no_user_manager(systemd: FakeSystemd) -> None:
    systemd.is_there = False
    with pytest.raises(ServiceTrouble, match="enable-linger"):
        control_of(systemd).check()
    with pytest.raises(ServiceTrouble, match="in a container"):
        control_of(systemd, is_system=True).check()


def test_a_folder_the_manager_does_not_read(systemd: FakeSystemd, tmp_path: Path) -> None:
    with pytest.raises(ServiceTrouble, match="XDG_CONFIG_HOME"):
        Systemd(tmp_path / "elsewhere", is_system=False, run=systemd).check()


def test_a_start_that_fails_names_the_log(systemd: FakeSystemd) -> None:
    systemd.fails["restart"] = "Job for openclaw-watchdog.service failed."
    with pytest.raises(ServiceTrouble, match="journalctl --user -u openclaw-watchdog"):
        control_of(systemd).install("one")


def test_a_file_that_cannot_be_written_is_not_half_written(systemd: FakeSystemd, folder: Path) -> None:
    (folder / UNIT).mkdir()  # in the way: replacing a folder by a file fails
    with pytest.raises(OSError, match="directory"):
        control_of(systemd).install("one")
    assert [path.name for path in folder.iterdir()] == [UNIT]


def test_where_user_units_are(tmp_path: Path) -> None:
    assert systemd_user_folder({}, tmp_path) == tmp_path / ".config/systemd/user"
    assert systemd_user_folder({"XDG_CONFIG_HOME": "relative"}, tmp_path) == tmp_path / ".config/systemd/user"
    assert systemd_user_folder({"XDG_CONFIG_HOME": "/x"}, tmp_path) == Path("/x/systemd/user")


# ---------------------------------------------------------------- launchd


def agent(tmp_path: Path, manager: FakeLaunchd) -> Launchd:
    return Launchd(
        tmp_path / "LaunchAgents",
        is_system=False,
        uid=501,
        log_folder=tmp_path / "Logs",
        run=manager,
        pause=lambda _seconds: None,
    )


def test_launchd_install_twice(tmp_path: Path) -> None:
    manager = FakeLaunchd()
    control = agent(tmp_path, manager)
    control.check()
    assert control.install("one") == [f"wrote {control.path}", "enabled and started it"]
    assert manager.asked[-2:] == [["enable", f"gui/501/{LABEL}"], ["bootstrap", "gui/501", str(control.path)]]
    assert (tmp_path / "Logs").is_dir()
    assert control.install("one") == []
    assert control.state().pid == 77
    assert control.state().restarts == 2


def test_launchd_reloads_a_changed_job_and_waits_for_the_old_one(tmp_path: Path) -> None:
    manager = FakeLaunchd()
    control = agent(tmp_path, manager)
    control.install("one")
    manager.busy = 3
    assert control.install("two") == [f"replaced {control.path}", "restarted it"]
    assert manager.loaded == "two"
    manager.busy = 99
    with pytest.raises(ServiceTrouble, match="Input/output error"):
        control.install("three")


def test_launchd_starts_a_stopped_job(tmp_path: Path) -> None:
    manager = FakeLaunchd()
    control = agent(tmp_path, manager)
    control.install("one")
    manager.is_running = False
    assert control.install("one") == ["started it"]


def test_launchd_without_a_desktop_and_uninstall(tmp_path: Path) -> None:
    manager = FakeLaunchd(has_desktop=False)
    control = agent(tmp_path, manager)
    control.install("one")
    assert ["bootstrap", "user/501", str(control.path)] in manager.asked
    assert control.uninstall()[:2] == ["stopped it", f"removed {control.path}"]
    assert not control.path.exists()
    assert manager.loaded is None
    assert control.uninstall() == []
    assert control.state().state == "not loaded"
