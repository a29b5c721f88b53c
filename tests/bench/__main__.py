"""``python -m tests.bench``: the whole run, on a real OpenClaw 2026.9.6. ``--large`` adds 10,000 sessions.

``--record`` writes what was measured into docs/evidence.md.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from tests.bench import detection, ledger_reads, partial_polls, reaction, scale, tables
from tests.bench.crowd import KEEPS_ALL, ORIGINAL, Crowd
from tests.bench.daemon_alone import Post, Watched
from tests.bench.decision_speed import judged
from tests.bench.one_look import Look, by_command, over_socket
from tests.bench.pages import paged
from tests.bench.usage import MIB, idle_share, settle
from tests.e2e.harness.conditions import monotonic
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.releases import V9_6
from tests.e2e.harness.world import World
from tests.figures import record
from watchdog.gateway.sessions.pages import PAGE_SIZE

SMALL, MANY, LARGE = 35, 1_000, 10_000
LIVE = 5
"""Of many sessions so many have a run going, as in life."""
PAGE_SIZES = (100, PAGE_SIZE, 1_000)
PASSES_AT_30_S = 3
ANY_PORT: dict[str, Any] = {"listen": "127.0.0.1:0"}


class Bench:
    """One run. Progress goes to stderr, the tables to stdout at the end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.crowd = Crowd(world)
        self._began = monotonic()

    def say(self, text: str) -> None:
        print(f"[bench {monotonic() - self._began:4.0f} s] {text}", file=sys.stderr, flush=True)

    def grow(self, sessions: int, live: int = 0) -> float:
        """Have so many sessions; the gateway's idle share of a core then."""
        self.say(f"{sessions:,} sessions: filling the gateway")
        self.crowd.grow(sessions)
        if live:
            self.crowd.go_live(live)
        pid = self.world.gateway.pid
        settle(pid)
        return idle_share([pid])

    def looks(self, polls: int, calls: int, idle: float) -> list[Look]:
        gateway, size = self.world.gateway, self.crowd.size
        self.say(f"{size:,} sessions: {polls} polls over one socket")
        found = [over_socket(gateway, polls, idle=idle)]
        everything: list[dict[str, Any]] = [{}, {"limit": size}] if size > 100 else [{}]
        for params in everything:
            self.say(f"{size:,} sessions: openclaw gateway call, {calls} times")
            found.append(by_command(gateway, calls, params, idle=idle))
        return found

    def daemons(self) -> list[Watched]:
        """Side by side: as configured by default, polling every second, and without the status page."""
        gateway = self.world.gateway
        posts = [
            Post("every 30 s", gateway, "30s", ANY_PORT),
            Post("every 30 s, no status page", gateway, "30s", None),
            Post("every 1 s", gateway, "1s", ANY_PORT),
        ]
        self.say(f"{self.crowd.size:,} sessions: three daemons, {PASSES_AT_30_S} passes at 30 s")
        with ExitStack() as stack:
            for post in posts:
                stack.enter_context(post)
            for post in posts:
                post.await_passes(PASSES_AT_30_S, within=60 + 35 * PASSES_AT_30_S)
            return [post.result() for post in posts]


def run(bench: Bench, *, large: bool, is_recorded: bool = False) -> None:
    """Measure everything, then show it, and keep it where ``is_recorded``."""
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    looks = {}
    idle = bench.grow(SMALL)
    row = bench.world.row(ORIGINAL)
    looks[SMALL] = bench.looks(200, 5, idle)
    watched = [bench.daemons()]

    idle = bench.grow(MANY, LIVE)
    looks[MANY] = bench.looks(60, 4, idle)
    bench.say("pages of several sizes")
    lists = {MANY: [paged(bench.world, limit, 20, idle=idle) for limit in PAGE_SIZES]}
    watched.append(bench.daemons())

    if large:
        idle = bench.grow(LARGE, LIVE)
        looks[LARGE] = bench.looks(15, 3, idle)
        lists[LARGE] = [paged(bench.world, limit, 5, idle=idle) for limit in PAGE_SIZES]
        watched.append(bench.daemons())

    bench.say("the pure core")
    stages = judged(row)
    bench.say("done")

    tables.heading(out, bench.world.gateway.installation)
    out.print()
    for size, found in looks.items():
        tables.polling(out, size, found)
    for size, one in lists.items():
        tables.pages(out, size, one)
    for daemons in watched:
        tables.watching(out, daemons)
    tables.judging(out, stages)
    if is_recorded:
        for (size, found), daemons in zip(looks.items(), watched, strict=True):
            _keep(size, found, daemons)


def _keep(sessions: int, looks: Sequence[Look], daemons: Sequence[Watched]) -> None:
    kept_looks = [
        {
            "way": look.way if look is looks[0] else f"`{look.way}`",
            "wall_ms": round(look.spent.wall * 1000, 2),
            "cpu_ms": round(look.spent.cpu * 1000, 2),
            "memory_mib": round(look.spent.memory / MIB, 1),
            "gateway_ms": round(look.gateway_cpu * 1000, 2),
        }
        for look in (looks[0], looks[-1])  # a command without a limit is told of a hundred sessions at most
    ]
    kept_daemons = [
        {
            "name": one.name,
            "resident_mib": round(one.resident / MIB, 1),
            "start_s": round(one.start, 1),
            "core_percent": round(one.cpu_an_hour / 36, 2),
        }
        for one in daemons
    ]
    record.save(f"bench_{sessions}", openclaw=V9_6.version, sessions=sessions, looks=kept_looks, daemons=kept_daemons)


@contextlib.contextmanager
def temporary_world() -> Iterator[World]:
    """A gateway that leaves nothing behind, not even when this process is told to stop."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    folder = Path(tempfile.mkdtemp(prefix="watchdog-bench-world-"))
    try:
        with World(V9_6, folder, extra=KEEPS_ALL) as world:
            yield world
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """0 unless something could not be run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--large", action="store_true", help="also with 10,000 sessions (some minutes more)")
    parser.add_argument("--glances", action="store_true", help="only: ways of polling, 35, 1,000 and 10,000 sessions")
    parser.add_argument("--scale", action="store_true", help="only: 1, 100 and 1,000 canned gateways in one daemon")
    parser.add_argument("--ledger", action="store_true", help="only: what passes ask of a ledger in PostgreSQL")
    parser.add_argument("--found", action="store_true", help="only: how soon a stuck session is found among 10,000")
    parser.add_argument("--acted", action="store_true", help="only: how soon a deed follows the moment it is allowed")
    parser.add_argument("--record", action="store_true", help="write the figures into docs/evidence.md")
    options = parser.parse_args()
    if options.record and options.found:
        parser.error("no document tells what --found measures")
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    if options.scale:
        rows = scale.run(out)
        if options.record:
            record.save("scale", every_s=scale.EVERY, sessions_each=scale.SESSIONS, rows=rows)
        return 0
    if options.ledger:
        figures = ledger_reads.run(out)
        if options.record:
            record.save("ledger_reads", **figures)
        return 0
    print("[bench] a real gateway is being started (and installed, the first time)", file=sys.stderr, flush=True)
    try:
        if options.acted:
            alone, together = reaction.run(out)
            if options.record:
                record.save("acted", alone=alone, together=together)
            return 0
        with temporary_world() as world:
            if options.glances:
                figures = partial_polls.run(out, world, sizes=(SMALL, MANY, LARGE))
                if options.record:
                    record.save("glances", **figures)
            elif options.found:
                detection.run(out, world, sessions=LARGE)
            else:
                run(Bench(world), large=options.large, is_recorded=options.record)
    except HarnessError as problem:
        print(f"[bench] {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
