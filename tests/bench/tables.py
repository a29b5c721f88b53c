"""The figures, readable: one table per question, ratios beside what they are the ratio of."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.bench.daemon_alone import Watched
from tests.bench.decision_speed import Judged
from tests.bench.one_look import Look
from tests.bench.pages import Paged
from tests.bench.usage import MIB
from tests.e2e.harness.install import Installation

RESIDENT_TARGETS = {1_000: 64, 10_000: 110}
"""MiB, by sessions."""
IDLE_TARGET = 0.2
"""Per cent of one core, at a 30 s interval with 1,000 sessions."""


def heading(console: Console, installation: Installation) -> None:
    """Command and machine."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    memory = psutil.virtual_memory().total / 1024**3
    console.print(f"[bold]python -m tests.bench {' '.join(sys.argv[1:])}[/]", highlight=False)
    console.print(
        f"{platform.system()} {platform.release()} {platform.machine()}, {_processor()}, "
        f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores, "
        f"{memory:.0f} GiB, load {load}; Python {platform.python_version()}; "
        f"OpenClaw {installation.release.version} on Node.js {installation.release.node}",
        highlight=False,
        style="dim",
    )


def polling(console: Console, sessions: int, looks: Sequence[Look]) -> None:
    """The first look is ours; every other one is followed by its ratio to it."""
    table = _table(
        f"One look at {sessions:,} sessions",
        ("way", "runs", "wall", "CPU", "memory", "gateway's CPU", "rows", "bytes"),
    )
    ours = looks[0]
    for look in looks:
        table.add_row(
            look.way,
            str(look.times),
            _ms(look.spent.wall),
            _ms(look.spent.cpu),
            _mib(look.spent.memory),
            _ms(look.gateway_cpu),
            f"{look.rows:,}",
            f"{look.size:,}",
        )
        if look is not ours:
            table.add_row(
                "  times ours",
                "",
                _ratio(look.spent.wall, ours.spent.wall),
                _ratio(look.spent.cpu, ours.spent.cpu),
                _ratio(look.spent.memory, ours.spent.memory),
                _ratio(look.gateway_cpu, ours.gateway_cpu),
                "",
                "",
                style="bold",
            )
    console.print(table)
    console.print(
        "Medians; the gateway's CPU is a mean, less what it uses unasked. Command: the whole process, with its children "
        "and its peak. Ours: a poll in a process that stays.\n",
        style="dim",
    )


def pages(console: Console, sessions: int, lists: Sequence[Paged]) -> None:
    table = _table(
        f"The gateway's side of one whole list of {sessions:,} sessions",
        ("rows a page", "pages", "bytes", "gateway's CPU", "slowest request", "gateway's core at 30 s"),
    )
    for one in lists:
        table.add_row(
            f"{one.limit:,}",
            str(one.pages),
            f"{one.size:,}",
            _ms(one.gateway_cpu),
            _ms(one.longest),
            f"{one.gateway_cpu / 30:.2%}",
        )
    console.print(table, "")


def watching(console: Console, daemons: Sequence[Watched]) -> None:
    sessions = daemons[0].sessions
    target = RESIDENT_TARGETS.get(sessions)
    table = _table(
        f"The daemon, watching {sessions:,} sessions",
        (
            "daemon",
            "passes",
            "resident",
            "peak",
            "private",
            "first verdicts after",
            "CPU s an hour",
            "of a core",
            "files",
        ),
    )
    for one in daemons:
        table.add_row(
            one.name,
            str(one.passes),
            _mib(one.resident),
            _mib(one.peak),
            _mib(one.private) if one.private else "-",
            f"{one.start:.1f} s ({one.start_cpu:.1f} s CPU)",
            f"{one.cpu_an_hour:.1f}",
            f"{one.cpu_an_hour / 3600:.2%}",
            str(one.descriptors),
        )
    console.print(table)
    if target is not None:
        most = max(one.resident for one in daemons) / MIB
        verdict = "[green]kept[/]" if most <= target else f"[red]missed by {most - target:.1f} MiB[/]"
        console.print(
            f"Target: {target} MiB resident ({verdict}); {IDLE_TARGET} % of a core at 30 s.\n", highlight=False
        )


def judging(console: Console, stages: Sequence[Judged]) -> None:
    table = _table("The pure core", ("stage", "rows a second of CPU", "a row", "rows"))
    for one in stages:
        table.add_row(one.stage, f"{one.rows_a_second:,.0f}", f"{1e6 / one.rows_a_second:.1f} µs", f"{one.rows:,}")
    console.print(table)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=None, padding=(0, 2, 0, 0)
    )
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position else "left", no_wrap=position > 0)
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds * 1000:,.0f} ms"


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"


def _ratio(theirs: float, ours: float) -> str:
    return f"x {theirs / ours:,.1f}" if ours and theirs / ours < 10 else f"x {theirs / ours:,.0f}" if ours else "-"


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown processor")
