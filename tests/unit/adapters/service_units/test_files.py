"""What is written: units systemd accepts, a job launchd knows every key of, and the repository's examples."""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from watchdog.adapters.service_units.files import (
    LABEL,
    REPOSITORY,
    STOP_WITHIN,
    UNIT,
    Service,
    examples,
    launchd_job,
    system_unit,
    user_unit,
)
from watchdog.daemon.loop import DRAIN_LIMIT, LAST_DELIVERY

PLAIN = Service(("/opt/w/bin/openclaw-watchdog", "run"))
AWKWARD = Service(
    ("/opt/my tools/watch", "run", "--config", '/home/a "b"/100%/$HOME/w.yaml'),
    environment={"OPENCLAW_STATE_DIR": "/srv/open claw", "OPENCLAW_PROFILE": "work"},
    account="claw",
    home=Path("/Users/a b"),
)
LAUNCHD_KEYS = frozenset(
    re.findall(
        r"\w+",
        """
    AbandonProcessGroup AssociatedBundleIdentifiers BundleProgram Debug Disabled EnableGlobbing EnablePressuredExit
    EnableTransactions EnvironmentVariables ExitTimeOut GroupName HardResourceLimits HopefullyExitsFirst
    HopefullyExitsLast InitGroups KeepAlive Label LaunchEvents LaunchOnlyOnce LegacyTimers LimitLoadFromHosts
    LimitLoadToHardware LimitLoadToHosts LimitLoadToSessionType LowPriorityBackgroundIO LowPriorityIO MachServices
    MaterializeDatalessFiles Nice OnDemand ProcessType Program ProgramArguments QueueDirectories RootDirectory RunAtLoad
    ServiceIPC SessionCreate Sockets SoftResourceLimits StandardErrorPath StandardInPath StandardOutPath
    StartCalendarInterval StartInterval StartOnMount ThrottleInterval TimeOut Umask UserName WaitForDebugger WatchPaths
    WorkingDirectory inetdCompatibility
    """,
    )
)
"""launchd.plist(5)."""
KEEP_ALIVE_KEYS = {"SuccessfulExit", "NetworkState", "PathState", "OtherJobEnabled", "Crashed", "AfterInitialDemand"}


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("name", examples())
def test_the_files_of_the_repository_are_these_texts(name: str) -> None:
    problem = f"{name} is out of date: python -m watchdog.adapters.service_units.files"
    assert (REPOSITORY / name).read_text(encoding="utf-8") == examples()[name], problem


@pytest.mark.parametrize("write", [user_unit, system_unit])
def test_what_every_unit_promises(write: object) -> None:
    assert callable(write)
    said = settings(write(PLAIN))
    expected = {
        "Type": "notify",
        "NotifyAccess": "main",
        "ExecStart": "/opt/w/bin/openclaw-watchdog run",
        "ExecReload": "/bin/kill -HUP $MAINPID",
        "Restart": "on-failure",
        "RestartPreventExitStatus": "78",
        "StartLimitIntervalSec": "0",
        "UMask": "0077",
        "LimitCORE": "0",
        "LimitNOFILE": "65536",
        "NoNewPrivileges": "yes",
    }
    assert {name: said[name][-1] for name in expected} == expected


def test_a_stop_has_time_to_drain() -> None:
    assert STOP_WITHIN > DRAIN_LIMIT + LAST_DELIVERY


@pytest.mark.parametrize(("poll", "seconds"), [(1, 180), (30, 210), (600, 1920)])
def test_the_watchdog_timer_leaves_room_for_slow_polls(poll: int, seconds: int) -> None:
    text = user_unit(Service(("/w", "run"), poll_every=timedelta(seconds=poll)))
    assert settings(text)["WatchdogSec"] == [str(seconds)]


def test_words_come_back_as_they_were() -> None:
    said = settings(user_unit(AWKWARD))
    line = said["ExecStart"][0].replace("%%", "%").replace("$$", "$")
    assert shlex.split(line) == list(AWKWARD.command)
    assert said["Environment"] == ["OPENCLAW_PROFILE=work", '"OPENCLAW_STATE_DIR=/srv/open claw"']


def test_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        user_unit(Service(("/w", "run\nExecStartPre=/bin/evil")))


def test_the_user_unit_keeps_its_state_where_the_verbs_look() -> None:
    said = settings(user_unit(PLAIN))
    assert "StateDirectory" not in said
    assert said["WantedBy"] == ["default.target"]
    assert not {"ProtectHome", "ProtectSystem", "PrivateUsers", "PrivateTmp"} & set(said)


def test_the_system_unit_sees_the_gateway_and_changes_nothing_of_it() -> None:
    said = settings(system_unit(AWKWARD))
    assert said["User"] == ["claw"]
    assert said["StateDirectory"] == ["openclaw-watchdog"]
    assert (said["ProtectSystem"], said["ProtectHome"]) == (["strict"], ["read-only"])
    # each would hide, or take from the gateway, something that is evidence or its own
    assert not {"PrivateTmp", "PrivateUsers", "ProcSubset", "RemoveIPC", "PrivateNetwork", "ReadWritePaths"} & set(said)
    assert said["WantedBy"] == ["multi-user.target"]


def test_a_state_folder_of_the_configuration_can_be_written() -> None:
    text = system_unit(Service(("/w", "run"), writes_to=Path("/srv/watch dog")))
    assert settings(text)["ReadWritePaths"] == ['"/srv/watch dog"']
    assert "User" not in settings(text)


def _systemd(folder: Path) -> Mapping[str, str]:
    """systemd-analyze wants a runtime folder."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "LC_ALL": "C"}


def verified(unit: Path, *, is_user: bool, after: str = "") -> list[str]:
    """What ``systemd-analyze verify`` has to say about the unit, with these lines added."""
    probe = unit.with_name(f"probe{len(after)}.service")
    probe.write_text(unit.read_text() + after)
    command = ["systemd-analyze", "verify", "--man=no", *(["--user"] if is_user else []), str(probe)]
    done = subprocess.run(command, capture_output=True, text=True, env=_systemd(probe.parent), check=False)
    return [line for line in done.stderr.splitlines() if probe.name in line]


needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")


@needs_analyze
@pytest.mark.parametrize("is_user", [True, False])
def test_systemd_understands_every_line(tmp_path: Path, is_user: bool) -> None:
    unit = tmp_path / UNIT
    unit.write_text((user_unit if is_user else system_unit)(Service(("/bin/true", "run"))))
    if not verified(unit, is_user=is_user, after="[Service]\nNoSuchSetting=1\n"):
        pytest.skip("this systemd-analyze cannot verify here")
    assert verified(unit, is_user=is_user) == []


@needs_analyze
def test_the_system_unit_is_exposed_to_little() -> None:
    unit = REPOSITORY / "systemd/openclaw-watchdog-system.service"
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    if "Unknown" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at files")
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert score is not None, done.stderr
    assert float(score[1]) <= 2.0
    assert done.returncode == 0


@pytest.mark.parametrize("service", [PLAIN, AWKWARD])
def test_launchd_knows_every_key(service: Service) -> None:
    job = plistlib.loads(launchd_job(service).encode())
    assert set(job) <= LAUNCHD_KEYS
    assert set(job["KeepAlive"]) <= KEEP_ALIVE_KEYS
    assert job["Label"] == LABEL
    assert job["ProgramArguments"] == list(service.command)
    assert job["KeepAlive"] == {"SuccessfulExit": False}
    for path in (job["ProgramArguments"][0], job["StandardOutPath"], job["StandardErrorPath"], job["WorkingDirectory"]):
        assert path.startswith("/"), path
        assert "~" not in path


def test_launchd_gets_the_places_and_the_account() -> None:
    job = plistlib.loads(launchd_job(AWKWARD).encode())
    assert job["EnvironmentVariables"] == dict(AWKWARD.environment)
    assert job["UserName"] == "claw"
    assert job["StandardErrorPath"] == "/Users/a b/Library/Logs/openclaw-watchdog/watchdog.log"
    assert job["Umask"] == 0o077
