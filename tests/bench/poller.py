"""The daemon's way of polling, alone in a process: ``python -m tests.bench.poller URL POLLS``, token in ``BENCH_TOKEN``.

Connects and warms up, says ``ready``, polls when told to go on, and prints one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from watchdog.adapters.clock import SystemClock
from watchdog.adapters.host import LocalHost
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.gateway.wire.protocol import SignInSecrets
from watchdog.service.secret import Secret

WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Polled:
    """What so many polls took. Seconds and bytes."""

    walls: list[float]
    cpus: list[float]
    sessions: int
    size: int
    resident: int


def client_of(url: str, token: str, folder: Path) -> GatewayClient:
    """The daemon's client of one gateway, only to look."""
    device = DeviceIdentity.load_or_create(folder / "device.pem")
    return GatewayClient(
        "bench",
        lambda: Endpoint(url, SignInSecrets(Secret(token))),
        device=device,
        probe_device=device,
        clock=SystemClock(),
        host=LocalHost(),
    )


async def poll(url: str, token: str, polls: int) -> Polled:
    """Poll one gateway again and again over one connection."""
    with tempfile.TemporaryDirectory(prefix="watchdog-bench-") as folder:
        client = client_of(url, token, Path(folder))
        await client.connect()
        for _ in range(WARM_UP):
            await client.list_sessions()
        print("ready", flush=True)
        sys.stdin.readline()
        walls, cpus, sessions, size = [], [], 0, 0
        for _ in range(polls):
            wall, cpu = time.perf_counter(), time.process_time()
            snapshot = await client.list_sessions()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
            if not snapshot.is_complete:
                raise SystemExit("a poll was not complete")
            sessions, size = len(snapshot.sessions), snapshot.size_bytes
        await client.close()
    return Polled(walls, cpus, sessions, size, psutil.Process().memory_info().rss)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(poll(sys.argv[1], os.environ["BENCH_TOKEN"], int(sys.argv[2]))))))
