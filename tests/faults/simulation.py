"""A simulated gateway on a real socket: in a thread beside a test, or as a process of its own with a clock of its own.

``python -m tests.faults.simulation FOLDER`` serves one stuck session; it writes what a watchdog has to know into
``FOLDER/place.json`` and, whenever something was done to it, into ``FOLDER/deeds.json``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.world import World
from tests.e2e.harness.conditions import until
from tests.e2e.harness.daemon import REPOSITORY
from tests.fakes.stuck_gateway import NotingGateway, stuck_world
from watchdog.adapters.clock import SystemClock

T = TypeVar("T")


class Simulation:
    """One world behind a socket. Use as a context manager; ``ask`` runs in the thread that owns the world."""

    def __init__(self, make: Callable[[], World], folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._make = make
        self._loop = asyncio.new_event_loop()
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self.gateway: NotingGateway

    async def _run(self) -> None:
        self.gateway = NotingGateway(self._make(), self.state_dir, access=AccessRules(stale_after_ms=None))
        async with self.gateway:
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> Simulation:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self._loop.close()

    def ask(self, question: Callable[[NotingGateway], T]) -> T:
        """What the world answers, between two of its steps."""

        async def answer() -> T:
            self.gateway.catch_up()
            return question(self.gateway)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(30)

    # ------------------------------------------------------------ for a watchdog

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def token(self) -> str:
        return self.gateway.access.token

    @property
    def state_dir(self) -> Path:
        return self.folder / "openclaw"

    @property
    def belonging(self) -> dict[str, str]:
        return {"HOME": str(self.folder)}


class SimulationProcess:
    """The same, with one stuck session, as a process: for what concerns a machine's clock."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.simulation", str(folder)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            cwd=REPOSITORY,
        )

    def __enter__(self) -> SimulationProcess:
        until("the simulated gateway listens", (self.folder / "place.json").exists, within=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)

    def _place(self, name: str) -> str:
        return str(json.loads((self.folder / "place.json").read_text())[name])

    @property
    def url(self) -> str:
        return self._place("url")

    @property
    def token(self) -> str:
        return self._place("token")

    @property
    def state_dir(self) -> Path:
        return self.folder / "openclaw"

    @property
    def belonging(self) -> dict[str, str]:
        return {"HOME": str(self.folder)}

    def sent(self) -> list[dict[str, Any]]:
        """Requests that did something."""
        path = self.folder / "deeds.json"
        return list(json.loads(path.read_text())) if path.exists() else []


def _replace(path: Path, document: object) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document))
    fresh.replace(path)


async def _serve(folder: Path) -> None:
    over, clock = asyncio.Event(), SystemClock()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    gateway = NotingGateway(stuck_world("2026.3.24"), folder / "openclaw", access=AccessRules(stale_after_ms=None))
    async with gateway:
        _replace(folder / "place.json", {"url": gateway.url, "token": gateway.access.token})
        while not over.is_set():
            # Gateway and watchdog live on one machine: its clock is set for both of them.
            gateway.world.skew_ms = round(clock.now().wall.timestamp() * 1000) - gateway.world.now_ms
            _replace(folder / "deeds.json", gateway.sent())
            try:
                async with asyncio.timeout(0.2):
                    await over.wait()
            except TimeoutError:
                continue


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
