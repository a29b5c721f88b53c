from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.adapters.host.conftest import SESSION, State, start_ticks
from watchdog.adapters.host import LocalHost
from watchdog.core.model import Lock, LockSight
from watchdog.service import ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

Sleeper = Callable[[], "subprocess.Popen[bytes]"]


def sight(host: LocalHost, state: State, gateway_pid: int | None = None, agent: str | None = "main") -> LockSight:
    return host.lock_sight(str(state.root), agent, SESSION, gateway_pid=gateway_pid)


def test_it_is_the_port() -> None:
    host: ports.Host = LocalHost()
    assert host is not None


# ---------------------------------------------------------------- who holds it


def test_no_lock(host: LocalHost, state: State) -> None:
    assert sight(host, state) == LockSight(Lock.NONE)


def test_held_by_the_gateway(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    gateway = sleeper().pid
    state.lock_of(gateway)
    assert sight(host, state, gateway) == LockSight(
        Lock.HELD_BY_GATEWAY, gateway, datetime(2026, 11, 20, 8, 32, 11, 799000, tzinfo=UTC)
    )


def test_held_by_another_live_process(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    """For example the CLI (#62981)."""
    gateway, cli = sleeper().pid, sleeper().pid
    state.lock_of(cli)
    assert sight(host, state, gateway).lock is Lock.HELD_BY_OTHER
    assert sight(host, state, None).lock is Lock.HELD_BY_OTHER


def test_the_owner_died(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    gateway, cli = sleeper().pid, sleeper()
    state.lock_of(cli.pid)
    cli.kill()
    cli.wait()
    assert (sight(host, state, gateway).lock, sight(host, state, gateway).pid) == (Lock.OWNER_GONE, cli.pid)


def test_the_owner_is_dead_and_not_yet_reaped(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    gateway, cli = sleeper().pid, sleeper()
    state.lock_of(cli.pid)
    cli.kill()
    os.waitid(os.P_PID, cli.pid, os.WEXITED | os.WNOWAIT)  # dead for sure, and still in the process table
    assert sight(host, state, gateway).lock is Lock.OWNER_GONE


def test_the_pid_is_another_process_now(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    gateway, other = sleeper().pid, sleeper().pid
    state.lock({"pid": other, "createdAt": "2026-11-20T08:32:11.799Z", "starttime": start_ticks(other) - 1})
    assert sight(host, state, gateway).lock is Lock.OWNER_GONE
    state.lock({"pid": gateway, "createdAt": "2026-11-20T08:32:11.799Z", "starttime": start_ticks(gateway) - 1})
    assert sight(host, state, gateway).lock is Lock.OWNER_GONE  # a container's gateway has the same pid in every life


def test_a_dead_owner_is_believed_only_beside_a_verified_gateway(
    host: LocalHost, state: State, sleeper: Sleeper
) -> None:
    """A gateway in a container writes pids of its own namespace: to us they are nobody's."""
    gone = sleeper()
    gateway = sleeper()
    state.lock_of(gone.pid)
    gone.kill()
    gone.wait()
    assert sight(host, state, None).lock is Lock.UNREADABLE
    assert sight(host, state, gateway.pid).lock is Lock.OWNER_GONE
    gateway.kill()
    gateway.wait()
    assert sight(host, state, gateway.pid).lock is Lock.UNREADABLE


def test_without_a_start_time_a_live_pid_counts_as_the_owner_on_linux(
    host: LocalHost, state: State, sleeper: Sleeper
) -> None:
    """1.24 writes none. A clock set after boot must not turn a live owner into a dead one."""
    gateway = sleeper().pid
    state.lock({"pid": gateway, "createdAt": "2001-01-01T00:00:00.000Z"})
    assert sight(host, state, gateway).lock is Lock.HELD_BY_GATEWAY


@pytest.mark.parametrize(
    "content",
    ["", "{", '{"pid": 1', "[]", "null", "7", "{}", '{"pid": 0}', '{"pid": -1}', '{"pid": "1"}', '{"pid": true}',
     '{"pid": 1.5}', "\x00\x00", "[" * 100_000],
)  # fmt: skip
def test_a_half_written_lock_is_no_proof_of_anything(host: LocalHost, state: State, content: str) -> None:
    """Locks are created empty and filled after that (source of 3.24 to 5.18)."""
    state.lock(content)
    assert sight(host, state, os.getpid()).lock is Lock.UNREADABLE


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_bytes_are_no_proof_of_absence(host: LocalHost, state: State, content: bytes) -> None:
    state.lock_path.write_bytes(content)
    assert sight(host, state, os.getpid()).lock is Lock.UNREADABLE


@pytest.mark.parametrize("created", [None, 5, "yesterday", "2026-11-20T08:32:11"])
def test_a_bad_creation_time_is_left_out(host: LocalHost, state: State, created: object) -> None:
    state.lock({"pid": os.getpid(), "createdAt": created, "starttime": start_ticks(os.getpid())})
    found = sight(host, state, os.getpid())
    assert found.lock is Lock.HELD_BY_GATEWAY
    assert found.created_at is None or found.created_at.tzinfo is UTC


def test_links_folders_fifos_and_huge_files_are_not_read(host: LocalHost, state: State, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    state.lock_of(os.getpid(), elsewhere)
    state.lock_path.symlink_to(elsewhere)
    assert sight(host, state, os.getpid()).lock is Lock.UNREADABLE
    state.lock_path.unlink()
    state.lock_path.mkdir()
    assert sight(host, state, os.getpid()).lock is Lock.UNREADABLE
    state.lock_path.rmdir()
    os.mkfifo(state.lock_path)
    assert sight(host, state, os.getpid()).lock is Lock.UNREADABLE
    state.lock_path.unlink()
    state.lock('{"pid": 1' + " " * 70_000 + "}")
    assert sight(host, state, os.getpid()).lock is Lock.UNREADABLE


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_lock_we_may_not_read(host: LocalHost, state: State) -> None:
    state.lock_of(os.getpid()).chmod(0)
    assert sight(host, state, os.getpid()).lock is Lock.UNREADABLE


# ---------------------------------------------------------------- which file is the session's


def test_the_lock_is_beside_the_transcript_the_store_names(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    """4.14 keeps the old file's name after sessions.reset (measured): the lock is there, not at ``<sessionId>``."""
    gateway = sleeper().pid
    old = state.sessions / "ca8fc6b0-2d2a-41d3-a353-3ade4ebf00da.jsonl"
    state.store({"sessionId": SESSION, "sessionFile": str(old)})
    state.lock_of(gateway, old.with_name(f"{old.name}.lock"))
    assert sight(host, state, gateway).lock is Lock.HELD_BY_GATEWAY


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        f"{SESSION}.jsonl",
        f"/home/node/.openclaw/agents/main/sessions/{SESSION}.jsonl",  # a container's path
        "/etc/passwd",
        "../../../../etc/x.jsonl",
        5,
    ],
)
def test_other_shapes_of_session_file_lead_to_the_session_s_own(
    host: LocalHost, state: State, sleeper: Sleeper, said: object
) -> None:
    gateway = sleeper().pid
    state.store({"sessionId": SESSION, "sessionFile": said})
    assert sight(host, state, gateway).lock is Lock.NONE
    state.lock_of(gateway)
    assert sight(host, state, gateway).lock is Lock.HELD_BY_GATEWAY


def test_a_moved_state_folder_whose_store_still_names_the_old_place(
    host: LocalHost, state: State, sleeper: Sleeper, tmp_path: Path
) -> None:
    """3.24 goes on using the named path as it stands (source: resolveStructuralSessionFallbackPath)."""
    gateway = sleeper().pid
    old = tmp_path / "old" / "agents" / "main" / "sessions" / f"{SESSION}.jsonl"
    state.store({"sessionId": SESSION, "sessionFile": str(old)})
    assert sight(host, state, gateway).lock is Lock.NONE
    state.lock_of(gateway, old.with_name(f"{old.name}.lock"))
    assert sight(host, state, gateway).lock is Lock.HELD_BY_GATEWAY


def test_another_agent_s_folder(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    gateway = sleeper().pid
    other = state.root / "agents" / "ops" / "sessions" / f"{SESSION}.jsonl"
    state.store({"sessionId": SESSION, "sessionFile": str(other)})
    state.lock_of(gateway, other.with_name(f"{other.name}.lock"))
    assert sight(host, state, gateway).lock is Lock.HELD_BY_GATEWAY


def test_the_lock_of_a_topic(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    gateway = sleeper().pid
    state.lock_of(gateway, state.sessions / f"{SESSION}-topic-42.jsonl.lock")
    assert sight(host, state, gateway).lock is Lock.HELD_BY_GATEWAY
    assert host.lock_sight(state.root, "main", "other-session", gateway_pid=gateway).lock is Lock.UNREADABLE


def test_one_live_owner_among_dead_ones_is_life(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    gateway, gone = sleeper().pid, sleeper()
    state.lock_of(gone.pid)
    gone.kill()
    gone.wait()
    state.lock_of(gateway, state.sessions / f"{SESSION}-topic-1.jsonl.lock")
    assert sight(host, state, gateway).lock is Lock.HELD_BY_GATEWAY


def test_absence_is_told_only_by_a_folder_that_knows_the_session(host: LocalHost, state: State, tmp_path: Path) -> None:
    """The wrong state folder, the wrong agent, a store that cannot be read: no lock there proves nothing."""
    assert host.lock_sight(tmp_path / "nowhere", "main", SESSION, gateway_pid=None).lock is Lock.UNREADABLE
    assert sight(host, state, agent="ops").lock is Lock.UNREADABLE
    store = state.store({"sessionId": "another"})
    assert sight(host, state).lock is Lock.UNREADABLE
    for content in ("{", "[]", ""):
        store.write_text(content)
        assert sight(host, state).lock is Lock.UNREADABLE
    store.unlink()
    assert sight(host, state).lock is Lock.UNREADABLE
    (state.sessions / f"{SESSION}.jsonl").write_text("{}\n")
    assert sight(host, state).lock is Lock.NONE


def test_a_lock_is_seen_whatever_the_store_says(host: LocalHost, state: State) -> None:
    state.lock_of(os.getpid())
    (state.sessions / "sessions.json").write_text("{")
    assert sight(host, state, os.getpid()).lock is Lock.HELD_BY_GATEWAY


def test_2026_9_keeps_no_locks(host: LocalHost, state: State) -> None:
    """SQLite in place of sessions.json (measured on 9.6); an old store may still lie there after an upgrade."""
    database = state.root / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    database.parent.mkdir()
    store = state.store({"sessionId": "of-before-the-upgrade"})
    os.utime(store, (1, 1))
    database.write_bytes(b"")
    assert sight(host, state).lock is Lock.NONE
    store.unlink()
    assert sight(host, state).lock is Lock.NONE
    state.store({"sessionId": "of-after-a-downgrade"})
    os.utime(database, (1, 1))
    assert sight(host, state).lock is Lock.UNREADABLE


def test_without_an_agent_every_agent_is_looked_through(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    gateway = sleeper().pid
    state.store({"sessionId": "x"}, agent="ops")
    (state.root / "agents" / "not a folder").write_text("")
    assert sight(host, state, gateway, agent=None).lock is Lock.NONE
    state.lock_of(gateway)
    assert sight(host, state, gateway, agent=None).lock is Lock.HELD_BY_GATEWAY


def test_the_agent_s_folder_is_lower_case(host: LocalHost, state: State) -> None:
    assert sight(host, state, agent="MAIN").lock is Lock.NONE


def test_a_changed_store_is_read_again(host: LocalHost, state: State, sleeper: Sleeper) -> None:
    gateway = sleeper().pid
    assert sight(host, state, gateway).lock is Lock.NONE
    old = state.sessions / "old-file.jsonl"
    state.store({"sessionId": SESSION, "sessionFile": str(old)}, {"sessionId": SESSION, "sessionFile": None})
    state.lock_of(gateway, old.with_name(f"{old.name}.lock"))
    assert sight(host, state, gateway).lock is Lock.HELD_BY_GATEWAY


# ---------------------------------------------------------------- nothing outside, nothing written


@pytest.mark.parametrize(
    "session_id",
    ["..", ".", "", "../main/sessions/x", "a/b", "/etc/passwd", "a\0b", ".hidden", "x" * 200, "a b", "ä"],
)
def test_an_id_cannot_leave_its_folder(host: LocalHost, state: State, session_id: str) -> None:
    found = host.lock_sight(str(state.root), "main", session_id, gateway_pid=os.getpid())
    assert found == LockSight(Lock.UNREADABLE)
    assert host.transcript_written_at(str(state.root), "main", session_id) is None


@pytest.mark.parametrize("agent", ["..", "../main", "a/b", "", ".", "/etc", "a.b", "a\0b"])
def test_an_agent_cannot_leave_its_folder(host: LocalHost, state: State, agent: str) -> None:
    state.lock_of(os.getpid())
    assert sight(host, state, os.getpid(), agent=agent) == LockSight(Lock.UNREADABLE)


@given(st.text(max_size=30), st.one_of(st.none(), st.text(max_size=30)))
def test_no_ids_break_it(session_id: str, agent: str | None) -> None:
    host = LocalHost()
    assert host.lock_sight("/nonexistent", agent, session_id, gateway_pid=None).lock is Lock.UNREADABLE


def test_looking_changes_nothing(host: LocalHost, state: State) -> None:
    state.lock({"pid": 2**22 + 7, "createdAt": "2026-11-20T08:32:11.799Z", "starttime": 1})
    (state.sessions / f"{SESSION}.jsonl").write_text("{}\n")

    def all_of_it() -> list[tuple[str, int, int, bytes]]:
        return [
            (str(path), path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes() if path.is_file() else b"")
            for path in sorted(state.root.rglob("*"))
        ]

    before = all_of_it()
    sight(host, state, os.getpid())
    sight(host, state, None, agent=None)
    host.transcript_written_at(state.root, "main", SESSION)
    assert all_of_it() == before


# ---------------------------------------------------------------- transcripts


def test_when_a_transcript_was_written_is_told_by_its_file(host: LocalHost, state: State) -> None:
    assert host.transcript_written_at(state.root, "main", SESSION) is None
    path = state.sessions / f"{SESSION}.jsonl"
    path.write_text("x")
    os.utime(path, ns=(1, 1_795_293_867_178_000_000))
    written = host.transcript_written_at(str(state.root), None, SESSION)
    assert written == datetime(2026, 11, 21, 20, 44, 27, 178_000, tzinfo=UTC)
    os.utime(path, ns=(1, 1_795_293_867_000_000_000))
    assert host.transcript_written_at(state.root, "main", SESSION) is None, "whole seconds: too coarse to tell"
    os.utime(path, ns=(1, 10**18 * 9 + 1))
    host.transcript_written_at(state.root, "main", SESSION)  # no year of ours, and no error
    named = state.sessions / "old-file.jsonl"
    state.store({"sessionId": SESSION, "sessionFile": str(named)})
    named.write_text("later")
    os.utime(named, ns=(1, 1_795_293_868_500_000_000))
    path.unlink()
    assert host.transcript_written_at(state.root, "main", SESSION) == written + timedelta(seconds=1.322)


def test_a_broken_store_leaves_the_plain_name(host: LocalHost, state: State) -> None:
    path = state.sessions / f"{SESSION}.jsonl"
    path.write_text("x")
    os.utime(path, ns=(1, 1_795_293_867_178_000_000))
    (state.sessions / "sessions.json").write_text("{")
    assert host.transcript_written_at(state.root, "main", SESSION) is not None


def test_a_large_store_is_read_once(host: LocalHost, state: State) -> None:
    entries: list[dict[str, object]] = [{"sessionId": f"s-{number}", "skills": "x" * 5000} for number in range(1000)]
    store = state.store(*entries, {"sessionId": SESSION})
    assert sight(host, state).lock is Lock.NONE
    stamp = store.stat()
    store.write_text("?" * stamp.st_size)  # the same inode, size and time: as if not changed
    os.utime(store, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert sight(host, state).lock is Lock.NONE
