"""Targets and a monitor that answer a byte a second hold up nothing: other targets, passes, page, reload, stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import demo_world
from openclaw_simulator.server import SimulatedGateway
from tests.fakes.loopback import Listener, listening
from tests.unit.notify.outbox import told
from watchdog.adapters.clock import SystemClock
from watchdog.config import load
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.notify.apprise_process import __file__ as apprise_script
from watchdog.notify.delivery import SEND_WITHIN
from watchdog.notify.senders import AppriseSender, WebhookSender
from watchdog.service.events import Event, MemoryLog
from watchdog.status.metrics import PrometheusMeter

CONFIG = """
gateways:
  - {{name: home, url: "{url}", token: {token}, state_dir: none}}
poll_every: 1s
thresholds: {{stuck_after: {stuck_after}, confirm_for: 1s, startup_grace: 1s}}
status_page: {{listen: "127.0.0.1:0"}}
state_dir: {folder}/state
allow_short_thresholds: true
heartbeat_url: "http://127.0.0.1:{slow}/heartbeat"
notify:
  - "http://127.0.0.1:{slow}/webhook"
  - "json://127.0.0.1:{slow}/apprise"
  - "http://127.0.0.1:{good}/webhook"
"""
AT_ONCE = SEND_WITHIN * 3 / 4
"""Seconds for what waits for no slow target: less than what such a one is given up after, and enough on a busy machine."""


@dataclass
class Dripping:
    """A server that answers a byte a second, for ever; ``head`` is sent at once before that."""

    head: bytes = b""
    port: int = 0
    asked_for: list[str] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.asked_for.append((await reader.readuntil(b"\r\n\r\n")).decode().split()[1])
            writer.write(self.head)
            while True:
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(1)
        writer.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def dripping(head: bytes = b"") -> AsyncIterator[Dripping]:
    made = Dripping(head)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()


def apprise_processes() -> list[psutil.Process]:
    found = []
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if apprise_script in one.cmdline():
                found.append(one)
    return found


@dataclass
class Running:
    """The daemon with its slow and its good target."""

    daemon: Daemon
    log: MemoryLog
    slow: Dripping
    good: Listener
    file: Path
    texts: dict[str, str]

    def configure(self, stuck_after: str) -> None:
        self.file.touch(mode=0o600)
        self.file.write_text(self.texts[stuck_after], "utf-8")

    def owe(self, number: int) -> str:
        """A message to every target, as a pass would owe it; returns its id."""
        message, parts = told(number), self.daemon.parts
        parts.ledger.owe([message], parts.clock.now().wall)
        parts.teller.wake()
        return message.dedupe_key

    async def until_good_has(self, key: str) -> None:
        async with asyncio.timeout(AT_ONCE):
            while key not in self.good.told():  # noqa: ASYNC110 - a server is asked, not awaited
                await asyncio.sleep(0.02)

    async def until_slow_was_asked(self) -> None:
        async with asyncio.timeout(60):
            while not {"/heartbeat", "/webhook"} <= set(self.slow.asked_for) or not any(  # noqa: ASYNC110
                "apprise" in path for path in self.slow.asked_for
            ):
                await asyncio.sleep(0.02)

    @property
    def passes(self) -> float:
        meter = self.daemon.parts.meter
        assert isinstance(meter, PrometheusMeter)
        return meter.registry.get_sample_value("openclaw_watchdog_poll_seconds_count") or 0


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    log, env = MemoryLog(), {"HOME": str(tmp_path)}
    scenario = demo_world(SystemClock().now().wall, PROFILES["2026.9.6"])
    async with SimulatedGateway(scenario.world) as gateway, dripping() as slow, listening() as good:
        places = {"url": gateway.url, "token": gateway.access.token, "folder": tmp_path}
        texts = {one: CONFIG.format(stuck_after=one, slow=slow.port, good=good.port, **places) for one in ("9m", "8m")}
        file = tmp_path / "watchdog.yaml"
        file.touch(mode=0o600)
        file.write_text(texts["9m"], "utf-8")
        daemon = Daemon(
            Builder(load(file, env=env), env, log, PrometheusMeter("1.0.0")).parts(is_observing=True), seed=1
        )
        task = asyncio.create_task(daemon.run())
        try:
            yield Running(daemon, log, slow, good, file, texts)
        finally:
            daemon.stop("the test is over")
            await task
            assert apprise_processes() == []


async def test_nothing_waits_for_targets_that_answer_a_byte_a_second(running: Running) -> None:
    await running.until_good_has(running.owe(1))
    await running.until_slow_was_asked()
    # The slow ones are now in the middle of it.
    await running.until_good_has(running.owe(2))
    url = str(running.log.of(Event.STATUS_PAGE_LISTENING)[0]["url"])
    async with httpx.AsyncClient(trust_env=False, timeout=AT_ONCE) as client:
        assert (await client.get(f"{url}healthz")).status_code == 200
    running.configure("8m")
    async with asyncio.timeout(AT_ONCE):
        await running.daemon.reload()
    assert running.log.of(Event.CONFIG_LOADED)[-1]["changes"]
    await running.until_good_has(running.owe(3))
    running.owe(4)
    running.daemon.stop("asked to")
    async with asyncio.timeout(AT_ONCE):
        while Event.DAEMON_STOPPED not in running.log.names:  # noqa: ASYNC110 - a log is asked, not awaited
            await asyncio.sleep(0.02)
    assert {told(number).dedupe_key for number in (1, 2, 3, 4)} <= running.good.told()


async def test_passes_go_on_while_the_monitor_drips(running: Running) -> None:
    async with asyncio.timeout(60):
        while "/heartbeat" not in running.slow.asked_for:  # noqa: ASYNC110 - a server is asked, not awaited
            await asyncio.sleep(0.02)
    before = running.passes
    async with asyncio.timeout(AT_ONCE):
        while running.passes < before + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert running.slow.asked_for.count("/heartbeat") == 1


async def test_an_apprise_target_that_drips_is_cut_and_leaves_nothing_behind() -> None:
    async with dripping() as slow:
        sending = asyncio.create_task(AppriseSender(f"json://127.0.0.1:{slow.port}/x").send(told(1)))
        async with asyncio.timeout(60):
            while not slow.asked_for:  # noqa: ASYNC110 - a server is asked, not awaited
                await asyncio.sleep(0.02)
        assert len(apprise_processes()) == 1
        sending.cancel()
        async with asyncio.timeout(AT_ONCE):
            await asyncio.gather(sending, return_exceptions=True)
        assert apprise_processes() == []


async def test_the_body_of_a_webhooks_answer_is_not_waited_for() -> None:
    async with dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") as slow:
        sender = WebhookSender(f"http://127.0.0.1:{slow.port}/x")
        async with asyncio.timeout(AT_ONCE):
            await sender.send(told(1))
        await sender.aclose()
