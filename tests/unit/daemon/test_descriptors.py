"""This process runs out of file descriptors: said once, as ours, and no gateway is called away for it."""

from __future__ import annotations

import asyncio
import errno
import json
import resource
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.loopback import free_port
from tests.unit.descriptors import none_left
from tests.unit.notify.outbox import Outbox, told
from watchdog.config import load
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.notify.delivery import Heartbeat, Notifier, Target
from watchdog.service import descriptors
from watchdog.service.events import Event, MemoryLog
from watchdog.status.metrics import PrometheusMeter

CONFIG = """
gateways:
  - {{name: one, url: "ws://127.0.0.1:{first}", token: abcdefgh, state_dir: none}}
  - {{name: two, url: "ws://127.0.0.1:{second}", token: abcdefgh, state_dir: none}}
poll_every: 1s
status_page: null
state_dir: {folder}/state
"""


async def test_it_is_said_once_as_ours_and_it_ends(tmp_path: Path) -> None:
    file, log, env = tmp_path / "watchdog.yaml", MemoryLog(), {"HOME": str(tmp_path)}
    file.touch(mode=0o600)
    file.write_text(CONFIG.format(first=free_port(), second=free_port(), folder=tmp_path), "utf-8")
    daemon = Daemon(Builder(load(file, env=env), env, log, PrometheusMeter("1.0.0")).parts(is_observing=True), seed=1)
    task = asyncio.create_task(daemon.run())
    watches = daemon.parts.watches

    def phases() -> list[str | None]:
        reports = [one.last_report for one in watches]
        return [one.phase.value if one is not None else None for one in reports]

    async with asyncio.timeout(60):
        while phases() != ["down", "down"]:  # noqa: ASYNC110 - a report is asked, not awaited
            await asyncio.sleep(0.01)
        before = [name for name in log.names if name.value.startswith("gateway.")]
        seen: dict[str, set[float]] = {}
        with none_left():
            while min(len(seen.get(one.gateway.name, ())) for one in watches) < 3:
                for one in watches:
                    if one.last_report is not None and one.last_report.phase.value == "unknown":
                        seen.setdefault(one.gateway.name, set()).add(one.last_report.at.monotonic)
                await asyncio.sleep(0.01)
            while Event.DESCRIPTORS_USED_UP not in log.names:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        while Event.DESCRIPTORS_LEFT not in log.names:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (said,) = log.of(Event.DESCRIPTORS_USED_UP)
    assert str(said["reason"]).startswith("this process has no file descriptors left")
    assert "LimitNOFILE" in str(said["reason"])
    assert [name for name in log.names if name.value.startswith("gateway.")] == before
    daemon.stop("the test is over")
    await task


async def test_a_monitor_that_cannot_be_reached_for_it_is_not_called_silent() -> None:
    log = MemoryLog()
    heartbeat = Heartbeat("http://127.0.0.1:1/x", log)
    with none_left():
        assert not await heartbeat.ping()
    assert not await heartbeat.ping()
    await heartbeat.aclose()
    (line,) = log.of(Event.HEARTBEAT_FAILED)
    assert str(line["reason"]).startswith("this process has no file descriptors left")


async def test_a_target_that_cannot_be_reached_for_it_is_not_called_away() -> None:
    targets = [Target("webhook-1", "http://127.0.0.1:1/x"), Target("json-1", "json://127.0.0.1:1/x")]
    notifier = Notifier(Outbox().ledger, targets, ManualClock(), Random(1), MemoryLog(), PrometheusMeter("1.0.0"))
    with none_left():
        problems = await notifier.send_now(told(1))
    await notifier.aclose()
    assert len(problems) == 2
    assert all(str(one).startswith("this process has no file descriptors left") for one in problems.values())


# ---------------------------------------------------------------- what is a shortage


@pytest.mark.parametrize(
    ("problem", "is_one"),
    [
        (OSError(errno.EMFILE, "Too many open files"), True),
        (OSError(errno.ENFILE, "Too many open files in system"), True),
        (OSError("Multiple exceptions: [Errno 24] Too many open files, [Errno 24] Too many open files"), True),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed"), False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), False),
        (ValueError("24"), False),
    ],
    ids=str,
)
def test_what_is_a_shortage(problem: Exception, is_one: bool) -> None:
    assert descriptors.is_shortage(problem) is is_one
    wrapped = RuntimeError("it cannot be read")
    wrapped.__cause__ = problem
    assert descriptors.is_shortage(wrapped) is is_one


def test_while_none_is_left_any_failure_is_ours() -> None:
    assert descriptors.are_left()
    with none_left():
        assert descriptors.is_shortage(ValueError("unable to open database file"))
    assert not descriptors.is_shortage(ValueError("unable to open database file"))


# ---------------------------------------------------------------- the limit

RAISES = """
import json, resource, sys
from watchdog.service import descriptors
soft, hard = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
said = descriptors.raise_limit()
print(json.dumps([said, *resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((256, 4096), 4096),
        ((4096, 4096), 4096),
        ((256, 256), 256),
        pytest.param(
            (1024, 100_000),
            descriptors.ENOUGH,
            marks=pytest.mark.skipif(
                0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 100_000, reason="the hard limit here is lower"
            ),
        ),
    ],
)
def test_the_soft_limit_is_raised_to_the_hard_one(before: tuple[int, int], after: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RAISES, json.dumps(before)], capture_output=True, text=True, check=True
    )
    found: list[Any] = json.loads(done.stdout)
    assert found == [after, after, before[1]]


def test_two_sockets_a_gateway_and_some_beside() -> None:
    assert descriptors.needed(700) == 1464


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else's limits are told elsewhere")
async def test_run_begins_with_raising_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "watchdog.yaml"
    file.touch(mode=0o600)
    file.write_text(CONFIG.format(first=free_port(), second=free_port(), folder=tmp_path), "utf-8")
    starts = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2048)); os.execv(sys.executable, sys.argv[1:])"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", starts, sys.executable, "-m", "watchdog", "run", "--config", str(file)),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while b"daemon.started" not in (line := await process.stderr.readline()):
                continue
        assert json.loads(line)["descriptors"] == 2048, "and it is said"
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (2048, 2048)
    finally:
        process.terminate()
        await process.communicate()
