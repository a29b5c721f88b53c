"""Polls of a real gateway, side by side: everything every time, and only what can have changed, as the daemon does it.

The same client, the same interval, sessions touched at the same rate (a new label, which moves ``updatedAt``) on one gateway.
The gateway's CPU of a poll is what it used in the second from its beginning, less what it used in the second before, and the
median of all polls of a kind: now and then a gateway of this size is busy with itself for seconds. The sweep that comes every
``full_sweep_every`` is measured for itself and added. How long a request keeps a gateway busy is what its main thread used
from asking to the whole answer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from tests.bench.crowd import Crowd, key_of
from tests.bench.poller import client_of
from tests.bench.usage import loop_of, settle, threads_of
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.witness import Witness
from tests.e2e.harness.world import World
from watchdog.core.model import Snapshot
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.sessions.pages import BASE, PAGE_SIZE

LIVE = 5
WINDOW = 1.0
"""Seconds that are compared."""
SWEEP_EVERY = 900.0
WHOLE, CHANGED = "whole lists", "what can have changed"
DEAR = 2_000
"""Sessions from which on the single requests are measured, too."""
SWEEPS = 5
MOST = 1_000_000
"""More sessions than there are."""
T = TypeVar("T")
REQUESTS, PAUSE = 15, 2.0
"""How often each kind of request is made to see how long it keeps the gateway busy."""


@dataclass(frozen=True, slots=True)
class Glanced:
    """One way of polling. Seconds and bytes a poll."""

    name: str
    size: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Swept:
    """One sweep as the daemon does it: in pages, with pauses. Bytes and seconds."""

    size: int
    cpu: float
    requests: int


@dataclass(frozen=True, slots=True)
class Kept:
    """How long one kind of request keeps the gateway busy. Seconds."""

    name: str
    middle: float
    ninth: float
    """Nine of ten take no longer."""


def compared(world: World, crowd: Crowd, *, polls: int, every: float, churn: float) -> tuple[list[Glanced], Swept]:
    """Both ways of polling, and a sweep. ``churn``: the share of sessions touched in a minute."""
    with _touching(world, crowd.size * churn / 60, crowd.size):
        return asyncio.run(_compared(world, crowd, polls, every))


async def _compared(world: World, crowd: Crowd, polls: int, every: float) -> tuple[list[Glanced], Swept]:
    async with _client(world) as client:
        await client.list_sessions(frozenset(), sweep=True)
        found = [await _polled(world, client, way, polls, every) for way in (WHOLE, CHANGED)]
    return found, await _swept(world, SWEEPS)


async def _polled(world: World, client: GatewayClient, way: str, polls: int, every: float) -> Glanced:
    found: list[tuple[int, float]] = []
    with world.gateway.witness() as naive:
        for _ in range(polls):
            await asyncio.sleep(every - WINDOW)  # the rhythm that is measured

            async def poll() -> int:
                if way == WHOLE:
                    return await asyncio.to_thread(_whole_list, naive)
                one = await client.list_sessions(frozenset())
                if not one.is_complete:
                    raise HarnessError("a poll was not complete")
                return one.size_bytes

            found.append(await _costs(world.gateway.pid, poll))
    return Glanced(way, mean(size for size, _ in found), max(median(cpu for _, cpu in found), 0.0))


def _whole_list(naive: Witness) -> int:
    """As a script does it: everything at once. Bytes."""
    return len(json.dumps(naive.call("sessions.list", {**BASE, "limit": MOST}), separators=(",", ":")))


async def _swept(world: World, times: int) -> Swept:
    """The median of some sweeps."""
    found: list[tuple[Snapshot, float]] = []
    async with _client(world) as client:
        for _ in range(times):
            await asyncio.sleep(5)  # the gateway has something new to tell
            found.append(await _costs(world.gateway.pid, lambda: client.list_sessions(frozenset(), sweep=True)))
    one = found[0][0]
    return Swept(one.size_bytes, median(cpu for _, cpu in found), one.requests)


async def _costs(pid: int, ask: Callable[[], Awaitable[T]]) -> tuple[T, float]:
    """What is answered, and the gateway's CPU for it, above what it used just before."""
    before = threads_of(pid)
    await asyncio.sleep(WINDOW)
    at, began = threads_of(pid), time.perf_counter()
    answer = await ask()
    await asyncio.sleep(max(WINDOW - (time.perf_counter() - began), 0.0))
    took = time.perf_counter() - began
    return answer, threads_of(pid) - at - (at - before) * took / WINDOW


@asynccontextmanager
async def _client(world: World) -> AsyncIterator[GatewayClient]:
    with tempfile.TemporaryDirectory(prefix="watchdog-bench-") as folder:
        client = client_of(world.gateway.url, world.gateway.token, Path(folder))
        await client.connect()
        try:
            yield client
        finally:
            await client.close()


@contextmanager
def _touching(world: World, a_second: float, sessions: int) -> Iterator[None]:
    """Sessions get a new label, one after another, at this rate."""
    stop = threading.Event()
    numbers = itertools.cycle(range(sessions - LIVE - 1, 0, -7))

    def touch() -> None:
        with world.gateway.witness() as toucher:
            for turn in itertools.count():
                if stop.wait(1 / a_second):
                    return
                toucher.call("sessions.patch", {"key": key_of(next(numbers)), "label": f"label {sessions}.{turn}"})

    thread = threading.Thread(target=touch, name="churn", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def kept_busy(world: World, sessions: int) -> list[Kept]:
    """The kinds of requests that polls consist of, one at a time. To be asked while sessions are touched, or not."""
    requests: dict[str, tuple[str, dict[str, Any]]] = {
        "the smallest list, 1 row": ("sessions.list", {**BASE, "limit": 1}),
        "what can have changed, 150 rows": ("sessions.list", {**BASE, "limit": 150}),
        f"a page of a sweep, {PAGE_SIZE} rows": (
            "sessions.list",
            {**BASE, "limit": PAGE_SIZE, "offset": sessions // 2},
        ),
        "everything at once": ("sessions.list", {**BASE, "limit": MOST}),
    }
    pid, found = world.gateway.pid, []
    with world.gateway.witness() as witness:
        for name, (method, params) in requests.items():
            spent = []
            for _ in range(REQUESTS if params.get("limit") != MOST else REQUESTS // 2):
                time.sleep(PAUSE)  # what happens meanwhile is what is measured
                before = loop_of(pid)
                witness.call(method, params)
                spent.append(loop_of(pid) - before)
            spent.sort()
            found.append(Kept(name, median(spent), spent[len(spent) * 9 // 10]))
    return found


def table(out: Console, sessions: int, found: list[Glanced], swept: Swept, *, every: float, churn: float) -> None:
    """Side by side, and the ratio to whole lists."""
    whole = found[0]
    shown = Table(
        title=f"{sessions:,} sessions, {churn:.0%} touched a minute, polled every {every:g} s", title_justify="left"
    )
    for name in ("", "bytes a poll", "gateway CPU a poll", "a minute, with its share of a sweep in 15"):
        shown.add_column(name, justify="right" if name else "left")
    for one in found:
        sweeps, polls = (60 / SWEEP_EVERY if one is not whole else 0.0), 60 / every
        size, cpu = one.size * polls + swept.size * sweeps, one.cpu * polls + swept.cpu * sweeps
        shown.add_row(
            one.name,
            f"{one.size:,.0f} ({one.size / whole.size:.2%})",
            f"{one.cpu * 1000:.1f} ms ({one.cpu / whole.cpu:.1%})",
            f"{size:,.0f} bytes ({size / whole.size / polls:.1%}), "
            f"{cpu * 1000:,.1f} ms ({cpu / whole.cpu / polls:.1%})",
        )
    out.print(shown)
    out.print(f"A sweep: {swept.requests} requests, {swept.size:,} bytes, {swept.cpu * 1000:.0f} ms of gateway CPU.")


def busy_table(out: Console, sessions: int, at_rest: list[Kept], touched: list[Kept]) -> None:
    """How long each kind of request keeps the gateway busy."""
    shown = Table(title=f"{sessions:,} sessions: how long one request keeps the gateway busy", title_justify="left")
    for name in ("", "at rest", "nine of ten within", "while touched", "nine of ten within"):
        shown.add_column(name, justify="right" if name else "left")
    for one, other in zip(at_rest, touched, strict=True):
        figures = (one.middle, one.ninth, other.middle, other.ninth)
        shown.add_row(one.name, *(f"{seconds * 1000:.1f} ms" for seconds in figures))
    out.print(shown)


def run(
    out: Console, world: World, *, sizes: Sequence[int], polls: int = 6, every: float = 30.0, churn: float = 0.01
) -> dict[str, Any]:
    """Fill the gateway and compare, at each of these sizes. The figures of all of them; of sweep and single requests those of
    the last."""
    crowd = Crowd(world)
    figures: dict[str, Any] = {"every_s": every, "touched_percent": churn * 100, "sizes": {}}
    for sessions in sizes:
        crowd.grow(sessions)
        crowd.go_live(LIVE)
        settle(world.gateway.pid)
        if sessions > DEAR:
            at_rest = kept_busy(world, sessions)
            with _touching(world, sessions * churn / 60, sessions):
                touched = kept_busy(world, sessions)
            busy_table(out, sessions, at_rest, touched)
            figures["requests"] = {
                "sessions": sessions,
                "touched_a_minute": round(sessions * churn),
                "kinds": [
                    {"name": one.name, "median_ms": _thousandths(one.middle), "ninth_ms": _thousandths(one.ninth)}
                    for one in touched
                ],
            }
        found, swept = compared(world, crowd, polls=polls, every=every, churn=churn)
        table(out, sessions, found, swept, every=every, churn=churn)
        figures["sizes"][str(sessions)], figures["sweep"] = _a_minute(found, swept, polls=60 / every)
    return figures


def _a_minute(
    found: Sequence[Glanced], swept: Swept, *, polls: float
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """What both ways cost in a minute of so many polls; and the daemon's share of a sweep, which is in its own."""
    (whole, changed), sweeps = found, 60 / SWEEP_EVERY
    size, cpu = whole.size * polls, whole.cpu * polls
    ways = {
        "whole": {"bytes": round(size), "gateway_ms": _thousandths(cpu)},
        "daemon": {
            "bytes": round(changed.size * polls + swept.size * sweeps),
            "gateway_ms": _thousandths(changed.cpu * polls + swept.cpu * sweeps),
        },
    }
    share = {
        "requests": swept.requests,
        "bytes_percent": round(100 * swept.size * sweeps / size, 1),
        "gateway_percent": round(100 * swept.cpu * sweeps / cpu, 1),
    }
    return ways, share


def _thousandths(seconds: float) -> float:
    return round(seconds * 1000, 1)
