"""The whole daemon with its page, against a simulated gateway: start, show, reload, stop."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import httpx

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import demo_world
from openclaw_simulator.server import SimulatedGateway
from tests.fakes.loopback import free_port
from watchdog.adapters.clock import SystemClock
from watchdog.config import load
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.service.events import Event, MemoryLog
from watchdog.status.metrics import PrometheusMeter

CONFIG = """
gateways:
  - {{name: home, url: "{url}", token: {token}, state_dir: none}}
poll_every: 1s
thresholds: {{stuck_after: 3s, confirm_for: 1s, startup_grace: 1s}}
status_page: {page}
state_dir: {folder}/state
allow_short_thresholds: true
"""


async def test_from_start_to_stop(tmp_path: Path) -> None:
    file, log = tmp_path / "watchdog.yaml", MemoryLog()
    env = {"HOME": str(tmp_path)}
    scenario = demo_world(SystemClock().now().wall, PROFILES["2026.9.6"])
    async with SimulatedGateway(scenario.world) as gateway, httpx.AsyncClient(trust_env=False) as client:

        def configure(page: str) -> None:
            file.touch(mode=0o600)
            file.write_text(
                CONFIG.format(url=gateway.url, token=gateway.access.token, page=page, folder=tmp_path), "utf-8"
            )

        async def state(url: str) -> dict[str, Any]:
            found: dict[str, Any] = (await client.get(f"{url}api/state")).json()
            return found

        configure(f"{{listen: '127.0.0.1:{free_port()}'}}")
        builder = Builder(load(file, env=env), env, log, PrometheusMeter("1.0.0"))
        daemon = Daemon(builder.parts(is_observing=True), seed=1)
        task = asyncio.create_task(daemon.run())
        try:
            async with asyncio.timeout(60):
                while Event.STATUS_PAGE_LISTENING not in log.names:  # noqa: ASYNC110 - a log is asked, not awaited
                    await asyncio.sleep(0.05)
                (told,) = log.of(Event.STATUS_PAGE_LISTENING)
                url = str(told["url"])
                while (found := await state(url))["headline"]["level"] != "trouble":  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            home = found["gateways"][0]
            assert (home["phase"], home["mode"], found["mode"]) == ("connected", "observe", "observe")
            assert home["verdicts"]["stuck"] > 0
            coming = {one["next"]["words"] for one in home["sessions"] if one["verdict"] == "stuck"}
            assert "nothing: observe mode" in coming
            assert all(words.startswith("nothing") for words in coming)
            assert (await client.get(f"{url}healthz")).json()["status"] == "ok"
            assert 'sessions{gateway="home",verdict="stuck"}' in (await client.get(f"{url}metrics")).text

            configure(f"{{listen: '127.0.0.1:{free_port()}'}}")
            await daemon.reload()
            moved = str(log.of(Event.STATUS_PAGE_LISTENING)[-1]["url"])
            assert moved != url
            assert (await state(moved))["gateways"][0]["name"] == "home"
            configure("null")
            await daemon.reload()
            with contextlib.suppress(httpx.ConnectError):
                await state(moved)
                raise AssertionError("the page is still there")
        finally:
            daemon.stop("the test is over")
            await task
    assert log.of(Event.STATUS_PAGE_UNAVAILABLE) == []
