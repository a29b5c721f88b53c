"""Hundreds of gateways in one daemon: it stops without a false word, and nothing grows with their number squared."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.server import ServerConnection, serve

from tests.bench.fleet import Canned, _converse
from watchdog.config import load
from watchdog.core.model import ProcessSigns
from watchdog.core.same_process import is_same_process
from watchdog.core.verdict import Verdict
from watchdog.daemon import one_watch
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.service import descriptors
from watchdog.service.events import LEVELS, Event, MemoryLog, Recorded, Severity
from watchdog.status.metrics import PrometheusMeter

GATEWAYS = int(os.environ.get("MANY_GATEWAYS", "300"))
SECTION = '  - {{name: g{number}, url: "{url}/{number}", token: canned-token-0123456789, state_dir: none}}'
SERIES = len(Verdict) + 3
"""Of a gateway on which nothing is stuck: its sessions by verdict, whether it is up, open incidents, quarantined."""
BUSY = ("did not answer within", "passed since the last look")

pytestmark = pytest.mark.timeout(600)


@asynccontextmanager
async def fleet() -> AsyncIterator[str]:
    """So many canned gateways behind one port; its URL."""
    gateways = [Canned(number, 3) for number in range(GATEWAYS)]

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        await _converse(gateways[int(connection.request.path.strip("/"))], connection)

    async with serve(handle, "127.0.0.1", 0, ping_interval=None, compression=None, close_timeout=0.2) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        server.close(close_connections=True)


def daemon_of(folder: Path, url: str, log: MemoryLog) -> Daemon:
    file, env = folder / "watchdog.yaml", {"HOME": str(folder)}
    file.touch(mode=0o600)
    sections = [SECTION.format(url=url, number=number) for number in range(GATEWAYS)]
    lines = ["gateways:", *sections, "poll_every: 5s", "status_page: null", f"state_dir: {folder / 'state'}", ""]
    file.write_text("\n".join(lines))
    return Daemon(Builder(load(file, env=env), env, log, PrometheusMeter("1.0.0")).parts(is_observing=False), seed=1)


async def connected(log: MemoryLog, number: int) -> None:
    async with asyncio.timeout(400):
        while len(log.of(Event.GATEWAY_CONNECTED)) < number:  # noqa: ASYNC110 - a log is asked, not awaited
            await asyncio.sleep(0.02)


def loud(lines: Sequence[Recorded]) -> list[Recorded]:
    """But for what is true of a busy machine, on which both sides of each connection are in this one process."""
    found = [line for line in lines if LEVELS[line.name] in (Severity.WARNING, Severity.ERROR)]
    return [line for line in found if not any(words in str(line.fields.get("reason")) for words in BUSY)]


@pytest.mark.parametrize("share", [1.0, 0.3], ids=["all are watched", "most are still to be signed in to"])
async def test_sigterm_ends_it_without_a_line_that_somebody_would_look_into(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """What libraries say of what was cut off counts too, and what the event loop says of a task that nobody waited for."""
    log, unheard = MemoryLog(), list[Mapping[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    caplog.set_level(logging.WARNING)
    compared: Counter[str] = Counter()

    def counted(one: ProcessSigns, other: ProcessSigns, *, share_session: bool) -> bool:
        compared["once"] += 1
        return is_same_process(one, other, share_session=share_session)

    monkeypatch.setattr(one_watch, "is_same_process", counted)
    before, already_open = set(asyncio.all_tasks()), open_here()
    async with fleet() as url:
        daemon = daemon_of(tmp_path, url, log)
        running = asyncio.create_task(daemon.run())
        await connected(log, int(GATEWAYS * share))
        if share == 1.0:
            assert_nothing_grows(daemon, compared, already_open)
        said = len(log.lines)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(120):
            assert await running == 0
        ours = {one for one in asyncio.all_tasks() - before if "watchdog" in repr(one.get_coro())}
        assert ours == set(), "nothing goes on"
    assert log.of(Event.DAEMON_STOPPING) == [{"reason": "SIGTERM"}]
    assert log.names[-1] is Event.DAEMON_STOPPED
    assert loud(log.lines[said:]) == []
    assert unheard == []
    assert [f"{one.name}: {one.getMessage()}" for one in caplog.records] == []


def assert_nothing_grows(daemon: Daemon, compared: Counter[str], already_open: Counter[str]) -> None:
    assert len(daemon._runners) == GATEWAYS, "none was taken for another"
    assert compared["once"] == 0, "whose boot ids differ are not compared with each other"
    meter = daemon.parts.meter
    assert isinstance(meter, PrometheusMeter)
    families = text_string_to_metric_families(meter.render().decode())
    series = Counter(one.labels.get("gateway") for family in families for one in family.samples)
    assert max(count for gateway, count in series.items() if gateway is not None) <= SERIES
    assert series[None] < 100, "of the process itself"
    kept = open_here() - already_open
    files = sum("/recordings/" in one for one in kept.elements())
    sockets = sum(one.startswith("socket:") for one in kept.elements()) - GATEWAYS  # the other ends are here too
    assert files <= GATEWAYS
    assert files + sockets <= descriptors.needed(GATEWAYS)


def open_here() -> Counter[str]:
    """What this process has open; empty where the system does not tell."""
    found = Path("/proc/self/fd")
    return Counter(str(one.readlink()) for one in found.iterdir() if one.is_symlink()) if found.exists() else Counter()
