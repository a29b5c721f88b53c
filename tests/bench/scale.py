"""One daemon and 1, 100, 1,000 gateways of 100 sessions: CPU, memory, and how punctual its polls are.

The gateways are canned (``fleet.py``, a process of its own); the daemon is the real one with its defaults and without a
status page. A poll's lateness is what the gateways saw: by how much more than the interval it came after the one before.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import psutil
from rich.console import Console
from rich.table import Table

from tests.bench.usage import MIB, cpu_of

EVERY = 30.0
SESSIONS = 100
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Scaled:
    """What one daemon took, once every gateway had been polled. Seconds and bytes; lateness of ordinary gateways only."""

    gateways: int
    hanging: int
    flooding: int
    cpu_share: float
    resident: int
    polls: int
    late_median: float
    late_p99: float


def scaled(gateways: int, *, rounds: int = 4, hanging: int = 0, flooding: int = 0) -> Scaled:
    """Watch so many gateways for so many intervals after the first one."""
    folder = Path(tempfile.mkdtemp(prefix="watchdog-scale-"))
    try:
        with _fleet(gateways, hanging, flooding) as fleet:
            assert fleet.stdout is not None
            url = f"ws://127.0.0.1:{int(fleet.stdout.readline())}"
            with _daemon(folder, url, gateways) as daemon:
                time.sleep(1.5 * EVERY + gateways * 0.01)  # all are connected and read whole
                used, began = cpu_of(daemon.pid), time.perf_counter()
                time.sleep(rounds * EVERY)  # the span that is measured
                spent, ended = cpu_of(daemon.pid) - used, time.perf_counter()
                resident = psutil.Process(daemon.pid).memory_info().rss
            fleet.send_signal(signal.SIGTERM)
            asked = {int(name): times for name, times in json.loads(fleet.stdout.read()).items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    late = []
    for number, times in asked.items():
        inside = [at for at in times if began <= at <= ended]
        if number >= hanging + flooding and inside:
            late += _lateness(inside)
    late.sort()
    return Scaled(
        gateways,
        hanging,
        flooding,
        spent / (ended - began),
        resident,
        len(late),
        median(late),
        late[min(len(late) - 1, int(len(late) * 0.99))],
    )


def _lateness(times: list[float]) -> list[float]:
    """How much later than ``EVERY`` seconds each came after the one before."""
    return [max(0.0, after - before - EVERY) for before, after in pairwise(times)]


@contextlib.contextmanager
def _fleet(gateways: int, hanging: int, flooding: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.bench.fleet", "--gateways", str(gateways), "--sessions", str(SESSIONS)]
    command += ["--hanging", str(hanging), "--flooding", str(flooding)]
    with _running(command, ROOT, stdout=subprocess.PIPE) as process:
        yield process


@contextlib.contextmanager
def _daemon(folder: Path, url: str, gateways: int) -> Iterator[subprocess.Popen[str]]:
    lines = ["gateways:"]
    for number in range(gateways):
        lines += [
            f"  - name: g{number}",
            f"    url: {url}/{number}",
            "    token: canned-token-0123456789",
            "    state_dir: none",
        ]
    config = folder / "watchdog.yaml"
    config.write_text("\n".join([*lines, "status_page: null", f"state_dir: {folder / 'state'}", ""]))
    config.chmod(0o600)
    command = [sys.executable, "-m", "watchdog", "run", "--config", str(config), "--log-format", "json"]
    with (folder / "log").open("w") as log, _running(command, ROOT, stdout=log, stderr=log) as process:
        yield process
        if process.poll() is not None:
            raise RuntimeError(f"the daemon ended: {(folder / 'log').read_text()[-2000:]}")


@contextlib.contextmanager
def _running(command: list[str], cwd: Path, **kwargs: object) -> Iterator[subprocess.Popen[str]]:
    process: subprocess.Popen[str] = subprocess.Popen(command, cwd=cwd, text=True, env=dict(os.environ), **kwargs)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def table(out: Console, found: list[Scaled]) -> None:
    """The runs side by side."""
    shown = Table(title="many gateways of 100 sessions in one daemon, polled every 30 s", title_justify="left")
    for name in (
        "gateways",
        "hanging",
        "flooding",
        "CPU of one core",
        "resident",
        "polls",
        "late, median",
        "late, p99",
    ):
        shown.add_column(name, justify="right")
    for one in found:
        shown.add_row(
            f"{one.gateways:,}",
            str(one.hanging),
            str(one.flooding),
            f"{one.cpu_share:.1%}",
            f"{one.resident / MIB:.0f} MiB",
            f"{one.polls:,}",
            f"{one.late_median * 1000:.0f} ms",
            f"{one.late_p99 * 1000:.0f} ms",
        )
    out.print(shown)


def run(out: Console, sizes: Sequence[int] = (1, 100, 1000)) -> list[dict[str, float]]:
    """Each size, then the largest once more with ten that hang and ten that flood. The figures of each run."""
    found = []
    for size in sizes:
        print(f"[bench] {size} gateways", file=sys.stderr, flush=True)
        found.append(scaled(size))
    if sizes[-1] >= 100:
        print(f"[bench] {sizes[-1]} gateways, ten hanging and ten flooding", file=sys.stderr, flush=True)
        found.append(scaled(sizes[-1], hanging=10, flooding=10))
    table(out, found)
    return [
        {
            "gateways": one.gateways,
            "hanging": one.hanging,
            "flooding": one.flooding,
            "core_percent": round(one.cpu_share * 100, 2),
            "resident_mib": round(one.resident / MIB, 1),
            "late_median_ms": round(one.late_median * 1000, 1),
            "late_p99_ms": round(one.late_p99 * 1000, 1),
        }
        for one in found
    ]
