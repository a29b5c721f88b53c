"""The whole daemon on a machine whose gateways come and go, over real sockets, with real lock files and processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.discovery.local_profiles import LocalProfiles
from watchdog.config import parse
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.service.events import Event, MemoryLog
from watchdog.status.metrics import PrometheusMeter

CONFIG = """
gateways: [{{discover: local}}]
poll_every: 200ms
thresholds: {{stuck_after: 10m, confirm_for: 1s, startup_grace: 1s}}
status_page: null
state_dir: {folder}/state
allow_short_thresholds: true
"""
OFTEN = timedelta(milliseconds=200)


class Desk:
    def __init__(self, host: LocalProfiles, daemon: Daemon, log: MemoryLog, meter: PrometheusMeter) -> None:
        self.host, self.daemon, self.log, self.meter = host, daemon, log, meter

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():  # noqa: ASYNC110 - a daemon is watched, not awaited
                await asyncio.sleep(0.02)

    @property
    def watched(self) -> list[str]:
        return [runner.watch.gateway.name for runner in self.daemon._runners.values()]

    @property
    def connected(self) -> list[object]:
        return [line["gateway"] for line in self.log.of(Event.GATEWAY_CONNECTED)]

    @property
    def shown(self) -> list[object]:
        return [gateway["name"] for gateway in self.daemon.parts.page.document()["gateways"]]

    def is_up(self, gateway: str) -> float | None:
        return self.meter.registry.get_sample_value("openclaw_watchdog_gateway_up", {"gateway": gateway})


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        host, log, meter = LocalProfiles(tmp_path, stack), MemoryLog(), PrometheusMeter("test")
        await host.start(".openclaw")
        await host.start(".openclaw-work")
        host.machine.config({"gateway": {"port": 1}}, ".openclaw-old/openclaw.json")
        env = {"HOME": str(host.machine.home)}
        builder = Builder(parse(CONFIG.format(folder=tmp_path), env=env), env, log, meter, tmp_dirs=(host.machine.tmp,))
        daemon = Daemon(builder.parts(is_observing=True), seed=1, look_around_every=OFTEN)
        task = asyncio.create_task(daemon.run())
        try:
            yield Desk(host, daemon, log, meter)
        finally:
            daemon.stop("the test is over")
            await task


async def test_a_gateway_that_appears_is_watched_and_a_deleted_one_goes(desk: Desk) -> None:
    await desk.until(lambda: sorted(map(str, desk.connected)) == ["local", "work"])
    local = desk.daemon._runners["local"].watch
    await desk.host.start(".openclaw-third")
    await desk.until(lambda: "third" in desk.connected)
    (came,) = desk.log.of(Event.CONFIG_LOADED)
    assert came["changes"] == ["gateways[third]: added"]
    assert came["asked_by"] == "the gateways that discover stands for have changed"
    await desk.until(lambda: desk.is_up("third") == 1)
    assert desk.shown == ["local", "work", "third"]

    desk.host.delete(".openclaw-work")
    await desk.until(lambda: desk.watched == ["local", "third"])
    assert desk.log.of(Event.CONFIG_LOADED)[-1]["changes"] == ["gateways[work]: removed"]
    await desk.until(lambda: desk.is_up("work") is None)
    assert desk.shown == ["local", "third"]

    assert desk.daemon._runners["local"].watch is local, "the others noticed nothing"
    assert sorted(map(str, desk.connected)) == ["local", "third", "work"], "one connection each"
    assert not any("old" in str(line.fields.get("gateway")) for line in desk.log.lines), "nobody ever started it"


async def test_one_that_stops_is_down_and_stays(desk: Desk) -> None:
    await desk.until(lambda: sorted(map(str, desk.connected)) == ["local", "work"])
    gateway = await desk.host.start(".openclaw-third")
    await desk.until(lambda: desk.is_up("third") == 1)
    desk.host.lock.unlink()
    gateway.world.process.kill()
    gateway.wake()
    await desk.until(lambda: desk.is_up("third") == 0)
    await asyncio.sleep(3 * OFTEN.total_seconds())
    assert "third" in desk.watched
    assert desk.shown == ["local", "work", "third"]


async def test_a_reload_without_the_word_leaves_the_one_the_environment_means(desk: Desk) -> None:
    await desk.until(lambda: sorted(map(str, desk.connected)) == ["local", "work"])
    written = desk.daemon.parts.written
    config = written.config.model_copy(update={"gateways": parse("", env={}).config.gateways})
    desk.daemon.parts.read_again = lambda: type(written)(config, written.policy_book)
    await desk.daemon.reload()
    assert desk.watched == ["local"]
    assert "gateways[work]: removed" in str(desk.log.of(Event.CONFIG_LOADED)[-1]["changes"])
    await desk.daemon.look_around()
    assert desk.watched == ["local"]
