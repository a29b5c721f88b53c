"""Simulated gateways for verbs that are typed: served in a thread of their own, because a verb has its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from openclaw_simulator.server import SimulatedGateway
from openclaw_simulator.world import World
from watchdog.cli.app import app
from watchdog.cli.shared import Leave
from watchdog.config import ConfigError
from watchdog.service.errors import WatchdogError

Type = Callable[..., Result]


@contextlib.contextmanager
def served(world: World) -> Iterator[SimulatedGateway]:
    """A gateway of ``world``."""
    started: list[SimulatedGateway] = []
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with SimulatedGateway(world) as gateway:
            started.append(gateway)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        yield started[0]
    finally:
        over.set()
        thread.join(60)


def section(name: str, gateway: SimulatedGateway) -> str:
    """How the configuration names it."""
    return f"{{name: {name}, url: '{gateway.url}', token: {gateway.access.token}, state_dir: none}}"


def write_config(folder: Path, *sections: str, more: str = "") -> Path:
    """A configuration with short thresholds, and its ledger beside it."""
    path = folder / "watchdog.yaml"
    path.write_text(
        f"gateways: [{', '.join(sections)}]\npoll_every: 100ms\n"
        "thresholds: {stuck_after: 2s, confirm_for: 100ms, startup_grace: 1s}\nallow_short_thresholds: true\n"
        f"state_dir: {folder}/state\n{more}",
        "utf-8",
    )
    path.chmod(0o600)
    return path


def typing(config: Path, env: Mapping[str, str] | None = None) -> Type:
    """Types a verb with this configuration; only what a user is to see may come out of it."""

    def enter(*words: str) -> Result:
        done = CliRunner().invoke(app, [*words, "--config", str(config)], env=env)
        expected = SystemExit | Leave | ConfigError | WatchdogError
        assert done.exception is None or isinstance(done.exception, expected), done.exception
        return done

    return enter


def code_of(done: Result) -> int:
    """The exit status: ``main`` makes it of what a verb leaves with."""
    return done.exception.code if isinstance(done.exception, Leave) else done.exit_code
