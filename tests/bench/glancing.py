"""Polls of a real gateway with many sessions: everything every time, against only what can have changed.

Side by side on one gateway: the same client, the same interval, sessions touched at the same rate (a new label, which moves
``updatedAt``). The gateway's CPU is what it used more than while sessions were touched and nobody polled.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from rich.console import Console
from rich.table import Table

from tests.bench.crowd import Crowd
from tests.bench.poller import client_of
from tests.bench.spending import cpu_of, settle
from tests.e2e.harness.world import World
from watchdog.core.model import Snapshot
from watchdog.gateway.client import GatewayClient

LIVE = 5


@dataclass(frozen=True, slots=True)
class Glanced:
    """One way of polling. Seconds and bytes a poll; ``slowest``: the longest single answer."""

    name: str
    polls: int
    size: float
    most: int
    requests: float
    cpu: float
    slowest: float
    sweeps: int


def compared(world: World, crowd: Crowd, *, polls: int, every: float, churn: float) -> list[Glanced]:
    """Whole lists and glances. ``churn``: the share of sessions touched in a minute."""
    with _touching(world, crowd.size, crowd.size * churn / 60):
        base = _base(world, 2 * every)
        return [_polled(world, name, polls, every, base) for name in ("whole lists", "glances")]


def _base(world: World, seconds: float) -> float:
    """CPU seconds a second that the gateway uses while nobody polls."""
    used, began = cpu_of(world.gateway.pid), time.perf_counter()
    time.sleep(seconds)  # the span that is measured
    return (cpu_of(world.gateway.pid) - used) / (time.perf_counter() - began)


def _polled(world: World, name: str, polls: int, every: float, base: float) -> Glanced:
    with tempfile.TemporaryDirectory(prefix="watchdog-bench-") as folder:
        client = client_of(world.gateway.url, world.gateway.token, Path(folder))
        found, cpu, seconds = asyncio.run(_poll(client, world.gateway.pid, name == "glances", polls, every))
    sizes = [one.size_bytes for one in found]
    return Glanced(
        name,
        polls,
        median(sizes),
        max(sizes),
        mean(one.requests for one in found),
        max(cpu - base * seconds, 0.0) / polls,
        max(one.latency.total_seconds() for one in found),
        sum(one.is_sweep for one in found),
    )


async def _poll(
    client: GatewayClient, pid: int, is_frugal: bool, polls: int, every: float
) -> tuple[list[Snapshot], float, float]:
    await client.connect()
    await client.list_sessions(frozenset())
    found = []
    used, began = cpu_of(pid), time.perf_counter()
    for _ in range(polls):
        await asyncio.sleep(every)  # the rhythm that is measured
        snapshot = await client.list_sessions(frozenset(), sweep=not is_frugal)
        if not snapshot.is_complete:
            raise SystemExit("a poll was not complete")
        found.append(snapshot)
    cpu, seconds = cpu_of(pid) - used, time.perf_counter() - began
    await client.close()
    return found, cpu, seconds


@contextmanager
def _touching(world: World, sessions: int, a_second: float) -> Iterator[None]:
    """Sessions get a new label, one after another, at this rate."""
    stop = threading.Event()
    numbers = itertools.cycle(range(sessions - LIVE - 1, 0, -7))

    def touch() -> None:
        for turn in itertools.count():
            if stop.wait(1 / a_second):
                return
            world.witness.call(
                "sessions.patch", {"key": f"agent:main:bench:{next(numbers):05d}", "label": f"label {turn}"}
            )

    thread = threading.Thread(target=touch, name="churn", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def table(out: Console, sessions: int, found: list[Glanced], *, every: float, churn: float) -> None:
    """Side by side, and the ratio."""
    whole, glances = found
    shown = Table(
        title=f"{sessions:,} sessions, {churn:.0%} touched a minute, polled every {every:g} s", title_justify="left"
    )
    for name in ("", "bytes a poll", "most", "requests", "gateway CPU a poll", "longest answer", "sweeps"):
        shown.add_column(name, justify="right" if name else "left")
    for one in found:
        shown.add_row(
            one.name,
            f"{one.size:,.0f}",
            f"{one.most:,}",
            f"{one.requests:.1f}",
            f"{one.cpu * 1000:.0f} ms",
            f"{one.slowest * 1000:.0f} ms",
            f"{one.sweeps} of {one.polls}",
        )
    ratio = glances.cpu / whole.cpu if whole.cpu else 0.0
    shown.add_row("ratio", f"{glances.size / whole.size:.2%}", f"{glances.most / whole.most:.2%}", "", f"{ratio:.1%}")
    out.print(shown)


def run(out: Console, world: World, *, sessions: int, polls: int = 4, every: float = 30.0, churn: float = 0.01) -> None:
    """Fill the gateway and compare."""
    crowd = Crowd(world)
    crowd.grow(sessions)
    crowd.go_live(LIVE)
    settle(world.gateway.pid)
    found = compared(world, crowd, polls=polls, every=every, churn=churn)
    table(out, sessions, found, every=every, churn=churn)
