"""A machine with several OpenClaw profiles, each with a simulated gateway on a real socket and a lock of a live process."""

from __future__ import annotations

import os
import shutil
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import demo_world
from openclaw_simulator.server import SimulatedGateway
from tests.unit.discovery.support import Machine
from watchdog.adapters.clock import SystemClock


class LocalProfiles:
    """Profiles with simulated gateways; every lock names this very process, which lives."""

    def __init__(self, root: Path, stack: AsyncExitStack) -> None:
        self.machine, self._stack = Machine(root), stack
        self._started = 0
        self.machine.home.mkdir()
        self.machine.tmp.mkdir()

    async def start(self, folder: str, *, version: str = "2026.9.6") -> SimulatedGateway:
        """``version``: what it calls itself; it does what 2026.9.6 does."""
        self._started += 1  # the seed: two gateways have two boot ids, and no session in common
        profile = replace(PROFILES["2026.9.6"], version=version)
        scenario = demo_world(SystemClock().now().wall, profile, seed=self._started)
        gateway = await self._stack.enter_async_context(SimulatedGateway(scenario.world))
        token = gateway.access.token
        config = self.machine.config({"gateway": {"auth": {"token": token}}}, f"{folder}/openclaw.json")
        self.lock = self.machine.new_lock(config, config.parent, gateway.port, os.getpid(), extra={"startTime": None})
        return gateway

    def delete(self, folder: str) -> None:
        shutil.rmtree(self.machine.home / folder)
