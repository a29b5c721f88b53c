"""Polls of a real gateway with many sessions: everything every time, only what can have changed, or nothing where nothing
began or ended.

Side by side on one gateway: the same client, the same interval, sessions touched at the same rate (a new label, which moves
``updatedAt``). The gateway's CPU of a poll is what it used in the second from its beginning, less what it used in the second
before, and the median of all polls: now and then a gateway of this size is busy with itself for seconds.
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
from datetime import timedelta
from pathlib import Path
from statistics import mean, median

from rich.console import Console
from rich.table import Table

from tests.bench.crowd import Crowd
from tests.bench.poller import client_of
from tests.bench.spending import settle, threads_of
from tests.e2e.harness.world import World
from watchdog.core.model import Snapshot
from watchdog.gateway.client import GatewayClient
from watchdog.service.ports import Standstill

LIVE = 5
WINDOW = 1.0
"""Seconds that are compared."""
WITHIN = timedelta(seconds=45)
"""So old a list may become while the gateway's own count stays the same: every other poll lists, as the daemon's do, which
comes back in the very moment when a list is ``confirm_for`` (60 s) old."""
SWEEP_EVERY = 900.0
WAYS = ("whole lists", "glances", "as the daemon")


@dataclass(frozen=True, slots=True)
class Glanced:
    """One way of polling. Seconds and bytes a poll; ``slowest``: the longest poll; ``rests``: polls without a list."""

    name: str
    polls: int
    size: float
    most: int
    requests: float
    cpu: float
    slowest: float
    sweeps: int
    rests: int


def compared(world: World, crowd: Crowd, *, polls: int, every: float, churn: float) -> list[Glanced]:
    """Whole lists and glances. ``churn``: the share of sessions touched in a minute."""
    with _touching(world, crowd.size, crowd.size * churn / 60):
        return [_polled(world, way, polls, every) for way in WAYS]


def _polled(world: World, way: str, polls: int, every: float) -> Glanced:
    with tempfile.TemporaryDirectory(prefix="watchdog-bench-") as folder:
        client = client_of(world.gateway.url, world.gateway.token, Path(folder))
        found = asyncio.run(_poll(client, world.gateway.pid, way, polls, every))
    lists = [one for one, _ in found if isinstance(one, Snapshot)]
    sizes = [one.size_bytes for one, _ in found]
    listed = [cpu for one, cpu in found if isinstance(one, Snapshot)]
    rested = [cpu for one, cpu in found if isinstance(one, Standstill)]
    cpu = (median(listed) * len(listed) + (median(rested) * len(rested) if rested else 0.0)) / polls
    return Glanced(
        way,
        polls,
        mean(sizes),
        max(sizes),
        sum(one.requests for one in lists) / polls,
        max(cpu, 0.0),
        max(one.latency.total_seconds() for one in lists),
        sum(one.is_sweep for one in lists),
        len(rested),
    )


async def _poll(
    client: GatewayClient, pid: int, way: str, polls: int, every: float
) -> list[tuple[Snapshot | Standstill, float]]:
    """Every poll, and the CPU seconds it cost the gateway."""
    await client.connect()
    await client.list_sessions(frozenset())
    found: list[tuple[Snapshot | Standstill, float]] = []
    for _ in range(polls):
        await asyncio.sleep(every - 2 * WINDOW)  # the rhythm that is measured
        before = threads_of(pid)
        await asyncio.sleep(WINDOW)
        at = threads_of(pid)
        began = time.perf_counter()
        one: Snapshot | Standstill | None = await client.standstill(WITHIN) if way == WAYS[-1] else None
        if one is None:
            one = await client.list_sessions(frozenset(), sweep=way == WAYS[0])
            if not one.is_complete:
                raise SystemExit("a poll was not complete")
        took = time.perf_counter() - began
        await asyncio.sleep(max(WINDOW - took, 0.0))
        found.append((one, threads_of(pid) - at - (at - before) * max(took, WINDOW) / WINDOW))
    await client.close()
    return found


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
    whole = found[0]
    shown = Table(
        title=f"{sessions:,} sessions, {churn:.0%} touched a minute, polled every {every:g} s", title_justify="left"
    )
    headings = ("", "bytes a poll", "most", "requests", "gateway CPU a poll", "longest poll", "sweeps", "no list")
    for name in headings:
        shown.add_column(name, justify="right" if name else "left")
    for one in found:
        shown.add_row(
            one.name,
            f"{one.size:,.0f} ({one.size / whole.size:.2%})",
            f"{one.most:,}",
            f"{one.requests:.1f}",
            f"{one.cpu * 1000:.1f} ms ({one.cpu / whole.cpu:.1%})" if whole.cpu else f"{one.cpu * 1000:.1f} ms",
            f"{one.slowest * 1000:.0f} ms",
            f"{one.sweeps} of {one.polls}",
            f"{one.rests} of {one.polls}",
        )
    out.print(shown)
    out.print(f"A sweep every {SWEEP_EVERY / 60:g} min adds {every / SWEEP_EVERY:.1%} of whole lists to the last two.")


def run(out: Console, world: World, *, sessions: int, polls: int = 8, every: float = 30.0, churn: float = 0.01) -> None:
    """Fill the gateway and compare."""
    crowd = Crowd(world)
    crowd.grow(sessions)
    crowd.go_live(LIVE)
    settle(world.gateway.pid)
    found = compared(world, crowd, polls=polls, every=every, churn=churn)
    table(out, sessions, found, every=every, churn=churn)
