"""One look at every session: over the daemon's open socket, and the way a script does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.poller import Polled
from tests.bench.usage import Spent, cpu_of, middle, run_to_end
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.gateways import Gateway

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Look:
    """One way of looking, once. ``gateway_cpu``: seconds the gateway itself spent on one such look."""

    way: str
    spent: Spent
    gateway_cpu: float
    rows: int
    size: int
    times: int


def over_socket(gateway: Gateway, polls: int, *, idle: float) -> Look:
    """The real client in a process of its own. ``idle``: the gateway's share of a core when nobody asks."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.poller", gateway.url, str(polls)],
        cwd=ROOT,
        env={**os.environ, "BENCH_TOKEN": gateway.token},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise HarnessError("the polling process did not connect; see above")
            before = cpu_of(gateway.pid)
            process.stdin.write("go\n")
            process.stdin.flush()
            polled = Polled(**json.loads(process.stdout.readline() or "null"))
            used = cpu_of(gateway.pid) - before - idle * sum(polled.walls)
        finally:
            process.kill()
    spent = Spent(median(polled.walls), median(polled.cpus), polled.resident)
    return Look("the whole list over the open socket", spent, max(used, 0) / polls, polled.sessions, polled.size, polls)


def by_command(gateway: Gateway, times: int, params: dict[str, Any], *, idle: float) -> Look:
    """``openclaw gateway call sessions.list``, from the start of its process to the end."""
    script = gateway.installation.script
    words = ["gateway", "call", "sessions.list", "--json", "--params", json.dumps(params)]
    environment = {
        **gateway.environment,
        "PATH": f"{gateway.installation.node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "NO_COLOR": "1",
    }
    output = gateway.home / "call.json"
    before, runs = cpu_of(gateway.pid), []
    for _ in range(times):
        runs.append(
            run_to_end([str(gateway.installation.node), str(script), *words], environment, gateway.home, output)
        )
    used = cpu_of(gateway.pid) - before - idle * sum(run.wall for run in runs)
    rows = len(json.loads(output.read_text())["sessions"])
    way = f"openclaw gateway call … '{json.dumps(params)}'"
    return Look(way, middle(runs), max(used, 0) / times, rows, output.stat().st_size, times)
