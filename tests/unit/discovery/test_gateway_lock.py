from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.discovery.support import PADDING, FakeProcesses, Machine
from watchdog.discovery.gateway_lock import gateway_locks, lock_folders, misplaced_folders, read_lock
from watchdog.service.ownership import Owner

CONFIG = Path("/root/.openclaw/openclaw.json")
STATE = Path("/root/.openclaw")


def test_the_lock_of_2026_9_6_is_read_past_its_padding(machine: Machine) -> None:
    lock = read_lock(machine.new_lock(CONFIG, machine.home / ".openclaw", 20060), machine.processes)
    assert lock is not None
    assert (lock.pid, lock.port, lock.start_time, lock.is_alive) == (8490, 20060, 32683, True)
    assert lock.config_path == CONFIG
    assert lock.state_dir == machine.home / ".openclaw"
    assert lock.created_at == datetime(2026, 11, 20, 10, 51, 50, 2000, tzinfo=UTC)


def test_the_lock_of_older_versions_is_one_line_without_port_or_state_dir(machine: Machine) -> None:
    lock = read_lock(machine.old_lock(CONFIG, pid=8507, start=32717), machine.processes)
    assert lock is not None
    assert (lock.pid, lock.port, lock.state_dir, lock.start_time, lock.is_alive) == (8507, None, None, 32717, True)


def test_a_dead_or_reused_pid_is_not_alive(machine: Machine) -> None:
    dead = read_lock(machine.old_lock(CONFIG, is_alive=False), machine.processes)
    assert dead is not None
    assert not dead.is_alive
    machine.processes.alive[4711] = 100
    reused = read_lock(machine.old_lock(CONFIG, pid=4711, start=99, is_alive=False), machine.processes)
    assert reused is not None
    assert not reused.is_alive


@pytest.mark.parametrize("role", ["agent-embedded", "sqlite-maintenance", "skill-workshop-apply", "something-new"])
def test_owners_that_are_no_gateway_are_passed_over(machine: Machine, role: str) -> None:
    path = machine.new_lock(CONFIG, STATE_OF(machine), 1, extra={"role": role})
    assert read_lock(path, machine.processes) is None


def STATE_OF(machine: Machine) -> Path:  # noqa: N802 - reads as a constant of the machine
    return machine.home / ".openclaw"


GOOD = {"pid": 1, "createdAt": "2026-11-20T10:51:40.000Z", "configPath": "/c", "startTime": 2}


@pytest.mark.parametrize(
    "text",
    ["", "{", PADDING, "null", "[]", "7", '{"pid": 1}', '{"pid": true, "configPath": "/c"}', '{"pid": 0, "configPath": "/c"}',
     '{"pid": -4, "configPath": "/c"}', '{"pid": "1", "configPath": "/c"}', '{"pid": 1, "configPath": ""}',
     json.dumps(GOOD)[:-1]],
)  # fmt: skip
def test_a_half_written_or_foreign_file_is_no_lock(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gateway.x.lock"
    path.write_text(text)
    assert read_lock(path, FakeProcesses()) is None


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"port": 70000}, "port", None),
        ({"port": "20060"}, "port", None),
        ({"port": True}, "port", None),
        ({"createdAt": "yesterday"}, "created_at", None),
        ({"createdAt": 5}, "created_at", None),
        ({"startTime": None}, "start_time", None),
        ({"startTime": 1.5}, "start_time", None),
        ({"stateDir": ""}, "state_dir", None),
    ],
)
def test_a_bad_field_is_left_out(tmp_path: Path, change: dict[str, object], field: str, expected: object) -> None:
    path = tmp_path / "gateway.x.lock"
    path.write_text(json.dumps(GOOD | change))
    assert getattr(read_lock(path, FakeProcesses()), field) == expected


@given(st.binary(max_size=100))
def test_any_bytes_are_a_lock_or_none(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("l") / "gateway.x.lock"
    path.write_bytes(content)
    assert read_lock(path, FakeProcesses()) is None


def test_a_lock_that_vanished_is_no_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "gone", FakeProcesses()) is None


def test_live_ones_come_first_then_the_newest(machine: Machine) -> None:
    state = STATE_OF(machine)
    early = {"createdAt": "2026-01-01T00:00:00Z"}
    machine.new_lock(CONFIG, state, 1, pid=1, name="gateway.a.lock", is_alive=False)
    machine.new_lock(CONFIG, state, 2, pid=2, name="gateway.b.lock", extra=early)
    machine.new_lock(CONFIG, state, 3, pid=3, name="gateway.state.lock")
    (state / "tmp" / "openclaw-1000" / "gateway.state.lock.sqlite").write_bytes(b"")
    (state / "tmp" / "openclaw-1000" / "device-identity.x.lock").write_text(json.dumps(GOOD))
    locks = gateway_locks(lock_folders([state], [], machine.uid), machine.processes)
    assert [lock.port for lock in locks] == [3, 2, 1]


# ---------------------------------------------------------------- whose folders count


def test_in_a_shared_temp_folder_only_our_own_counts(tmp_path: Path) -> None:
    uid = os.getuid()
    (tmp_path / f"openclaw-{uid}").mkdir()
    (tmp_path / "openclaw-99999").mkdir()  # says another user, belongs to us: somebody made it up
    (tmp_path / "openclaw").mkdir()
    found = list(lock_folders([], [tmp_path, tmp_path], uid))
    assert found == [tmp_path / f"openclaw-{uid}"]
    assert list(lock_folders([], [tmp_path], uid + 1)) == []


def test_a_link_in_the_shared_temp_folder_is_not_followed(tmp_path: Path) -> None:
    uid = os.getuid()
    (tmp_path / "real").mkdir()
    (tmp_path / f"openclaw-{uid}").symlink_to(tmp_path / "real")
    assert list(lock_folders([], [tmp_path], uid)) == []


def test_inside_a_state_folder_every_uid_counts(tmp_path: Path) -> None:
    (tmp_path / "tmp" / "openclaw-1000").mkdir(parents=True)
    assert list(lock_folders([tmp_path], [], 0)) == [tmp_path / "tmp" / "openclaw-1000"]


# ---------------------------------------------------------------- of one hand


def owner(machine: Machine) -> Owner:
    return Owner(machine.uid, machine.uid, machine.processes)


def test_the_lock_of_one_account_must_name_a_process_of_the_same(machine: Machine) -> None:
    path = machine.old_lock(CONFIG, pid=4711)
    for holder in (machine.uid, 0, None):
        machine.processes.owners = {4711: holder} if holder is not None else {}
        lock = read_lock(path, machine.processes, owner(machine))
        assert lock is not None
        assert (lock.is_alive, lock.foreign, lock.owner) == (True, None, machine.uid)
    machine.processes.owners = {4711: machine.uid + 1}
    lock = read_lock(path, machine.processes, owner(machine))
    assert lock is not None
    assert not lock.is_alive
    assert f"names process 4711 of uid {machine.uid + 1}" in str(lock.foreign)
    machine.processes.unmapped = {machine.uid + 1}
    lock = read_lock(path, machine.processes, owner(machine))
    assert lock is not None
    assert lock.is_alive, "a user namespace says nothing of it"


def test_a_lock_that_others_may_write_is_not_used_and_a_dead_one_is_nobodys_concern(machine: Machine) -> None:
    path = machine.old_lock(CONFIG)
    path.chmod(0o666)
    lock = read_lock(path, machine.processes, owner(machine))
    assert lock is not None
    assert not lock.is_alive
    assert str(lock.foreign).startswith(f"{path}: the file {path} can be written by everybody")
    machine.processes.alive.clear()
    lock = read_lock(path, machine.processes, owner(machine))
    assert lock is not None
    assert lock.foreign is None


def test_a_folder_whose_name_lies_is_said(tmp_path: Path) -> None:
    uid = os.getuid()
    (tmp_path / f"openclaw-{uid}").mkdir()
    assert list(misplaced_folders([tmp_path], uid, FakeProcesses())) == []
    (tmp_path / f"openclaw-{uid + 1}").mkdir()
    (said,) = misplaced_folders([tmp_path, tmp_path], uid + 1, FakeProcesses())
    assert f"it belongs to uid {uid}, and its name says uid {uid + 1}" in str(said)
    (tmp_path / f"openclaw-{uid + 2}").symlink_to(tmp_path)
    (said,) = misplaced_folders([tmp_path], uid + 2, FakeProcesses())
    assert "it is no folder and belongs to" in str(said)
