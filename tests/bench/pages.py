"""The whole list in pages of several sizes: what it costs the gateway, and how long one request keeps it busy."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from statistics import median

from tests.bench.usage import cpu_of
from tests.e2e.harness.witness import Witness
from tests.e2e.harness.world import World


@dataclass(frozen=True, slots=True)
class Paged:
    """One whole list in pages of ``limit`` rows. Bytes and seconds."""

    limit: int
    pages: int
    size: int
    gateway_cpu: float
    longest: float
    """The slowest request of a list, from asking to the whole answer; the median over all lists."""


def paged(world: World, limit: int, times: int, *, idle: float) -> Paged:
    """Ask for the whole list so many times."""
    pid = world.gateway.pid
    with world.gateway.witness() as witness:  # its own: a gateway drops a connection on which nobody reads for minutes
        _whole_list(witness, limit)
        before, began = cpu_of(pid), time.perf_counter()
        lists = [_whole_list(witness, limit) for _ in range(times)]
        used = cpu_of(pid) - before - idle * (time.perf_counter() - began)
    size = sum(length for length, _ in lists[0])
    return Paged(limit, len(lists[0]), size, max(used, 0) / times, median(max(s for _, s in one) for one in lists))


def _whole_list(witness: Witness, limit: int) -> list[tuple[int, float]]:
    """(bytes, seconds) of every page."""
    pages, offset = [], 0
    while True:
        params = {"limit": limit, "offset": offset, "includeGlobal": True, "includeUnknown": True}
        began = time.perf_counter()
        page = witness.call("sessions.list", params)
        seconds = time.perf_counter() - began
        pages.append((len(json.dumps(page, separators=(",", ":"), ensure_ascii=False).encode()), seconds))
        if not page.get("hasMore"):
            return pages
        offset = int(page["nextOffset"])
