from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from tests.unit.adapters.host.conftest import start_ticks
from watchdog.adapters.host import LocalHost
from watchdog.discovery.gateway_lock import Processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

Sleeper = Callable[[], "subprocess.Popen[bytes]"]


def test_it_is_what_discovery_asks() -> None:
    processes: Processes = LocalHost()
    assert processes.process_is_alive(os.getpid())


def test_alive_dead_and_reused(host: LocalHost, sleeper: Sleeper) -> None:
    process = sleeper()
    start = start_ticks(process.pid)
    assert host.process_is_alive(process.pid)
    assert host.process_is_alive(process.pid, start)
    assert not host.process_is_alive(process.pid, start + 1)
    process.kill()
    process.wait()
    assert not host.process_is_alive(process.pid)
    assert not host.process_is_alive(process.pid, start)


@pytest.mark.parametrize("pid", [0, -1, 2**31 - 1, 2**40, 2**70])
def test_no_pid_breaks_it(host: LocalHost, pid: int) -> None:
    assert not host.process_is_alive(pid)
    assert host.listening(pid) == ()


def test_a_process_of_somebody_else_is_alive(host: LocalHost) -> None:
    assert host.process_is_alive(1)


def test_a_name_with_parentheses_does_not_shift_the_fields(tmp_path: Path) -> None:
    own = tmp_path / str(os.getpid())
    own.mkdir()
    fields = " ".join(str(number) for number in range(4, 60))
    (own / "stat").write_text(f"1 (a) R ) (b)) S {fields}\n")
    host = LocalHost(proc=tmp_path)
    assert host.process_is_alive(os.getpid(), 22)
    assert not host.process_is_alive(os.getpid(), 21)


def test_a_stat_that_cannot_be_read_leaves_it_alive(tmp_path: Path) -> None:
    assert LocalHost(proc=tmp_path).process_is_alive(os.getpid(), 5)


def test_on_macos_start_times_are_epoch_seconds_and_births_count(sleeper: Sleeper) -> None:
    """2026.9.6 writes ``ps -o lstart`` there, older versions nothing (source)."""
    mac = LocalHost(platform="darwin")
    pid = sleeper().pid
    born = psutil.Process(pid).create_time()
    birth = datetime.fromtimestamp(born, UTC)
    assert mac.process_is_alive(pid, int(born))
    assert not mac.process_is_alive(pid, int(born) - 100)
    assert mac.process_is_alive(pid, None, birth + timedelta(hours=1))
    assert mac.process_is_alive(pid, None, birth - timedelta(minutes=1))
    assert not mac.process_is_alive(pid, None, birth - timedelta(hours=1))
    assert mac.process_is_alive(pid)


def test_where_a_process_listens(host: LocalHost) -> None:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        one.listen()
        two.bind(("127.0.0.1", 0))  # bound, not listening
        mine = host.listening(os.getpid())
        assert ("127.0.0.1", one.getsockname()[1]) in mine
        assert ("127.0.0.1", two.getsockname()[1]) not in mine
