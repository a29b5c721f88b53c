"""The whole daemon beside lists that change, fail and lie, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import demo_world
from openclaw_simulator.server import SimulatedGateway
from tests.unit.daemon.test_local_gateway_changes import Desk as Watched
from tests.unit.discovery.local_profiles import LocalProfiles
from watchdog.adapters.clock import SystemClock
from watchdog.config import parse
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.service.events import Event, MemoryLog
from watchdog.status.metrics import PrometheusMeter

OFTEN = timedelta(milliseconds=200)
CONFIG = """
gateways: [{{discover: {{file: '{folder}/lists/*.json', every: 100ms}}}}]
poll_every: 200ms
thresholds: {{stuck_after: 10m, confirm_for: 1s, startup_grace: 1s}}
status_page: null
state_dir: {folder}/state
allow_short_thresholds: true
"""


class Desk(Watched):
    folder: Path
    started: list[SimulatedGateway]

    def write(self, **names: SimulatedGateway) -> None:
        groups = [
            {"targets": [f"127.0.0.1:{gateway.port}"], "labels": {"name": name, "token_file": f"{gateway.port}"}}
            for name, gateway in names.items()
        ]
        self.write_text(json.dumps(groups))

    def write_text(self, text: str) -> None:
        beside = self.folder / "lists" / "new"
        beside.write_text(text)
        beside.rename(self.folder / "lists" / "a.json")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        host, log, meter = LocalProfiles(tmp_path, stack), MemoryLog(), PrometheusMeter("test")
        (tmp_path / "lists").mkdir()
        started: list[SimulatedGateway] = []
        for seed in (1, 2, 3):
            world = demo_world(SystemClock().now().wall, PROFILES["2026.9.6"], seed=seed).world
            started.append(gateway := await stack.enter_async_context(SimulatedGateway(world)))
            (tmp_path / "lists" / str(gateway.port)).write_text(gateway.access.token)
        env = {"HOME": str(host.machine.home)}
        loaded = parse(CONFIG.format(folder=tmp_path), file="w.yaml", env=env)
        builder = Builder(loaded, env, log, meter, tmp_dirs=(host.machine.tmp,))
        daemon = Daemon(builder.parts(is_observing=True), seed=1, look_around_every=OFTEN)
        desk = Desk(host, daemon, log, meter)
        desk.folder, desk.started = tmp_path, started
        task = asyncio.create_task(daemon.run())
        try:
            yield desk
        finally:
            daemon.stop("the test is over")
            await task


async def test_it_follows_a_list_and_the_others_notice_nothing(desk: Desk) -> None:
    a, b, c = desk.started
    await desk.until(lambda: desk.daemon.parts.page.document()["list_problems"] != [])
    assert desk.watched == []
    headline = desk.daemon.parts.page.document()["headline"]
    assert headline == {"level": "trouble", "text": "A list of gateways cannot be used in full."}

    desk.write(a=a, b=b)
    await desk.until(lambda: sorted(map(str, desk.connected)) == ["a", "b"])
    assert desk.log.of(Event.CONFIG_LOADED)[0]["changes"] == ["gateways[a]: added", "gateways[b]: added"]
    kept = desk.daemon._runners["a"].watch
    desk.write(a=a, b=b, c=c)
    await desk.until(lambda: "c" in desk.connected)

    desk.write_text('[{"targets": ["127.0.0.1:')
    await desk.until(lambda: len(desk.log.of(Event.CONFIG_REFUSED)) == 2)
    assert desk.watched == ["a", "b", "c"]
    desk.write(a=a, c=c)
    await desk.until(lambda: desk.watched == ["a", "c"])
    assert desk.log.of(Event.CONFIG_LOADED)[-1]["changes"] == ["gateways[b]: removed"]
    assert desk.daemon.parts.page.document()["list_problems"] == []

    desk.write(a=a, d=c)
    await desk.until(lambda: "d" in desk.connected)
    assert desk.watched == ["a", "d"]
    await desk.until(lambda: desk.is_up("c") is None)
    assert desk.daemon._runners["a"].watch is kept
    assert desk.connected.count("a") == 1, "one connection all along"


async def test_two_names_for_one_gateway_are_watched_once(desk: Desk) -> None:
    a, b, _ = desk.started
    desk.write(a=a, b=b)
    await desk.until(lambda: sorted(map(str, desk.connected)) == ["a", "b"])
    again = {"targets": [f"ws://127.0.0.1:{a.port}/again"], "labels": {"name": "z", "token_file": f"{a.port}"}}
    (desk.folder / "lists" / "z.json").write_text(json.dumps([again]))
    await desk.until(lambda: any(line.get("gateway") == "z" for line in desk.log.of(Event.CONFIG_REFUSED)))
    assert desk.watched == ["a", "b"]
    assert "z reaches the same gateway as a" in str(desk.log.of(Event.CONFIG_REFUSED)[-1]["reason"])


async def test_a_target_that_a_list_makes_a_watched_gateway_is_left_out_from_then_on(desk: Desk) -> None:
    a, b, _ = desk.started
    parts = desk.daemon.parts
    notify = parse(f"notify: ['json+http://127.0.0.1:{a.port}/hooks']", env={}).config.notify
    for loaded in ("written", "loaded"):
        before = getattr(parts, loaded)
        setattr(parts, loaded, replace(before, config=before.config.model_copy(update={"notify": notify})))
    await parts.teller.configure(parts.loaded)

    def told() -> list[str]:
        notifier = parts.teller._notifier
        return [state.target.name for state in notifier._targets] if notifier is not None else []

    assert told() == ["webhook-1"]
    desk.write(a=a, b=b)
    await desk.until(lambda: told() == [])
    assert "webhook-1 is a watched gateway itself" in str(desk.log.of(Event.NOTIFICATION_FAILED)[-1]["reason"])
    desk.write(b=b)
    await desk.until(lambda: told() == ["webhook-1"])


async def test_who_is_watched_no_longer_takes_no_open_file(desk: Desk) -> None:
    """Gateways that come and go, or move among replicas, would use up what a process may open."""

    def recorded() -> list[str]:
        files = [Path(one.path) for one in psutil.Process().open_files()]
        return sorted(one.stem for one in files if one.parent == desk.folder / "state" / "recordings")

    a, b, _ = desk.started
    desk.write(a=a, b=b)
    await desk.until(lambda: recorded() == ["a", "b"])
    desk.write(a=a)
    await desk.until(lambda: desk.watched == ["a"])
    await desk.until(lambda: recorded() == ["a"])
    desk.write(a=a, b=b)
    await desk.until(lambda: recorded() == ["a", "b"])
