"""What a process spends: wall clock, CPU with its children's, memory at its peak."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from tests.e2e.harness.conditions import until
from tests.e2e.harness.failures import HarnessError

MIB = 1024 * 1024
PATIENCE = 180.0
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Spent:
    """One run of something. Seconds and bytes."""

    wall: float
    cpu: float
    memory: int = 0
    """Resident at its peak."""


def middle(runs: Sequence[Spent]) -> Spent:
    """The median of each figure: one disturbed run does not count."""
    return Spent(
        median(run.wall for run in runs), median(run.cpu for run in runs), int(median(run.memory for run in runs))
    )


def run_to_end(command: Sequence[str], environment: Mapping[str, str], cwd: Path, output: Path) -> Spent:
    """Run a program and count all of it, from its start to its end, children included. Raises when it fails."""
    with output.open("wb") as out, (errors := output.with_suffix(".err")).open("wb") as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=dict(environment), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        guard = threading.Timer(PATIENCE, process.kill)
        guard.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            guard.cancel()
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = errors.read_text(errors="replace")[-1000:]
        raise HarnessError(f"{' '.join(command)} ended with {process.returncode}: {said}")
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS_UNIT)


def cpu_of(pid: int) -> float:
    """CPU seconds a process has used so far, with those of its children."""
    process = psutil.Process(pid)
    return sum(map(_cpu, (process, *process.children(recursive=True))))


def _cpu(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def threads_of(pid: int) -> float:
    """CPU seconds the threads of a process have used that live now: to the nanosecond on Linux, where ``cpu_of`` counts in
    hundredths of a second."""
    tasks = [*Path(f"/proc/{pid}/task").glob("*/schedstat")]
    if not tasks:
        return cpu_of(pid)
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def loop_of(pid: int) -> float:
    """CPU seconds of a process's main thread: in a gateway, the one that answers. Linux; elsewhere as ``threads_of``."""
    main = Path(f"/proc/{pid}/task/{pid}/schedstat")
    return int(main.read_text().split()[0]) / 1e9 if main.exists() else threads_of(pid)


def settle(pid: int, *, share: float = 0.1, within: float = 60) -> None:
    """Wait until a process that has just started is done with it: a second in which it hardly uses the CPU."""
    process = psutil.Process(pid)
    with contextlib.suppress(HarnessError):  # a busy gateway is measured as it is
        until("the gateway is idle", lambda: process.cpu_percent(interval=1) < share * 100, within=within, every=0)


def idle_share(pids: Iterable[int], seconds: float = 5) -> float:
    """The share of a core these processes use while nobody asks them anything; to be taken off what asking costs."""
    watched = list(pids)
    before, began = sum(map(cpu_of, watched)), time.perf_counter()
    time.sleep(seconds)  # the span that is measured, not a wait for something
    return (sum(map(cpu_of, watched)) - before) / (time.perf_counter() - began)
