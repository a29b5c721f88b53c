"""sd_notify against a real datagram socket, by path and by abstract name."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes.clock import START, ManualClock
from watchdog.adapters.sd_notify import Supervisor
from watchdog.core.model import Moment


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5)
        listening.bind(str(tmp_path / "notify"))
        yield listening


def test_every_word_reaches_the_manager(manager: socket.socket) -> None:
    supervisor = Supervisor(
        ManualClock(Moment(12.5, START.wall), may_sleep=False), {"NOTIFY_SOCKET": manager.getsockname()}
    )
    assert supervisor.is_listening
    supervisor.ready()
    supervisor.status("home: 12 sessions,\n1 stuck")
    supervisor.watchdog_ping()
    supervisor.reloading()
    supervisor.stopping()
    assert [manager.recv(4096) for _ in range(5)] == [
        b"READY=1",
        b"STATUS=home: 12 sessions, 1 stuck",
        b"WATCHDOG=1",
        b"RELOADING=1\nMONOTONIC_USEC=12500000",
        b"STOPPING=1",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_an_abstract_socket() -> None:
    name = f"openclaw-watchdog-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(5)
        manager.bind("\0" + name)
        Supervisor(ManualClock(Moment(12.5, START.wall), may_sleep=False), {"NOTIFY_SOCKET": "@" + name}).ready()
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/nowhere/at/all"])
def test_without_a_listener_nothing_happens(address: str) -> None:
    supervisor = Supervisor(ManualClock(Moment(12.5, START.wall), may_sleep=False), {"NOTIFY_SOCKET": address})
    supervisor.ready()
    supervisor.watchdog_ping()
    assert supervisor.is_listening == address.startswith("/")


def test_outside_systemd() -> None:
    supervisor = Supervisor(ManualClock(Moment(12.5, START.wall), may_sleep=False), {})
    supervisor.ready()
    assert not supervisor.is_listening
    assert supervisor.watchdog_interval() is None


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "90000000"}, timedelta(seconds=90)),
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=90)),
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_often_it_wants_to_hear(environ: dict[str, str], interval: timedelta | None) -> None:
    assert Supervisor(ManualClock(Moment(12.5, START.wall), may_sleep=False), environ).watchdog_interval() == interval
