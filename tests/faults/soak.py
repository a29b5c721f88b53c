"""``python -m tests.faults.soak --minutes 60``: a daemon that polls twice a second beside a busy real gateway.

Sessions of 2026.3.24 start, answer, stream, and die (a model that says nothing runs into the run's time limit, which leaves
the row running for ever); now and then the whole gateway is killed. Every death is written down here and must be recovered
by exactly one turn. The daemon's memory, file descriptors, sockets and threads are measured all the while.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.provider import Silence, Stream
from tests.e2e.harness.releases import V3_24
from tests.e2e.harness.waiting import monotonic, until
from tests.e2e.harness.world import World

from .reckoning import reckon
from .stories import OURS
from .webhook import Webhook

SESSIONS = 24
RUN_LIMIT = 10
"""Seconds after which a silent run dies."""
DEADLY = 0.2
"""Share of runs that die."""
SAMPLE_EVERY = 5.0
KILL_EVERY = 240.0
SETTINGS: dict[str, Any] = {
    "poll_every": "500ms",
    "thresholds": {"stuck_after": "4s", "confirm_for": "1s", "startup_grace": "2s"},
    "recovery": {
        "verify_within": "60s",
        "backoff": ["2s"],
        "max_concurrent": 4,
        "budget": {"attempts": 100_000, "per": "72h"},
        "gateway_budget": {"attempts": 100_000, "per": "1h"},
    },
}


@dataclass
class Churn:
    """People who write to sessions, one at a time each; what died and what came of it."""

    world: World
    rng: Random
    busy: dict[str, str] = field(default_factory=dict)
    """Marker of the turn that a session is at, by key."""
    doomed: set[str] = field(default_factory=set)
    dead: dict[str, str] = field(default_factory=dict)
    """Marker of a run that has died, by key, until its row is well again."""
    turns: int = 0
    deaths: int = 0
    kills: int = 0

    def step(self) -> None:
        """Note what ended, begin something new somewhere."""
        rows = {str(row["key"]): row for row in self.world.witness.rows()}
        for key, marker in list(self.busy.items()):
            self._look(key, marker, str(rows.get(key, {}).get("status")))
        free = [key for key in KEYS if key not in self.busy and key not in self.dead]
        if free and len(self.busy) < 8:
            self._begin(self.rng.choice(free))
        for key in [key for key in self.dead if rows.get(key, {}).get("status") == "done"]:
            del self.dead[key]

    def _begin(self, key: str) -> None:
        marker = self.world.fresh_marker("TURN")
        kind = self.rng.random()
        if kind < DEADLY:
            self.world.provider.on(marker, Silence())
            self.doomed.add(marker)
        elif kind < 0.4:
            self.world.provider.on(marker, Stream(4))
        self.world.witness.send(key, f"please list the bridges {marker}")
        self.busy[key] = marker
        self.turns += 1

    def _look(self, key: str, marker: str, status: str) -> None:
        calls = self.world.provider.calls_with(marker)
        if not calls or calls[-1].is_open:
            return
        if marker in self.doomed or calls[-1].outcome == "client gone":
            self._died(key, marker)
        elif status == "done":
            del self.busy[key]

    def _died(self, key: str, marker: str) -> None:
        self.world.provider.forget(marker)  # the resumed turn quotes the request
        self.doomed.discard(marker)
        self.busy.pop(key, None)
        self.dead[key] = marker
        self.deaths += 1

    def kill_gateway(self) -> None:
        """Everything that runs dies at once."""
        self.world.kill()
        self.world.start()
        left = {str(row["key"]) for row in self.world.witness.rows() if row.get("status") == "running"}
        for key, marker in list(self.busy.items()):
            if key in left:
                self._died(key, marker)
            else:
                self.world.provider.forget(marker)
                del self.busy[key]
        self.kills += 1

    def drain(self) -> None:
        """Nothing new any more, until nothing is left to happen."""

        def is_over() -> bool:
            rows = {str(row["key"]): row for row in self.world.witness.rows()}
            for key, marker in list(self.busy.items()):
                self._look(key, marker, str(rows.get(key, {}).get("status")))
            return not self.busy and all(row.get("status") != "running" for row in rows.values())

        until("all sessions are at rest", is_over, within=300, every=1)


KEYS = [f"agent:main:soak-{number:02d}" for number in range(SESSIONS)]


@dataclass(frozen=True)
class Sample:
    at: float
    rss_mb: float
    descriptors: int
    sockets: int
    threads: int


def sample(watchdog: Watchdog, began: float) -> Sample:
    process = watchdog.process
    sockets = len(process.net_connections())
    rss = process.memory_info().rss / 2**20
    return Sample(monotonic() - began, rss, process.num_fds(), sockets, process.num_threads())


def slope_per_hour(samples: list[Sample]) -> float:
    """Least squares, MB an hour."""
    times, sizes = [s.at for s in samples], [s.rss_mb for s in samples]
    middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((t - middle) ** 2 for t in times)
    return 3600 * sum((t - middle) * (m - mean) for t, m in zip(times, sizes, strict=True)) / spread


def soak(minutes: float, folder: Path) -> int:
    """Answers 0 when nothing was missed, doubled or leaked."""
    hooked = Webhook()
    with hooked as hook, World(V3_24, folder / "gateway", run_timeout_seconds=RUN_LIMIT) as world:
        for key in KEYS:
            world.witness.create(key)
        churn, samples = Churn(world, Random(1)), list[Sample]()
        extra = {**SETTINGS, "notify": [hook.url]}
        with Watchdog(world.gateway, folder / "watchdog", extra=extra) as watchdog:
            watchdog.wait_for("cycle.finished")
            began = monotonic()
            killed_at = sampled_at = began
            while monotonic() - began < minutes * 60:
                try:
                    churn.step()
                except HarnessError as problem:
                    print(f"[soak] {problem}", file=sys.stderr)
                if monotonic() - sampled_at >= SAMPLE_EVERY:
                    sampled_at = monotonic()
                    samples.append(sample(watchdog, began))
                if monotonic() - killed_at >= KILL_EVERY:
                    churn.kill_gateway()
                    killed_at = monotonic()
            churn.drain()
            samples.append(sample(watchdog, began))
            return report(churn, samples, watchdog, hook, world)


def report(churn: Churn, samples: list[Sample], watchdog: Watchdog, hook: Webhook, world: World) -> int:
    result = reckon(watchdog, hook, world.provider, within=60)
    code = watchdog.stop()
    first, last = samples[0], samples[-1]
    turns = [call.last_said.partition("\n")[0] for call in world.provider.calls if OURS in call.last_said]
    doubled = [mark for mark, count in result.turns().items() if count > 1]
    recovered = result.outcomes["recovered"]
    missed = churn.deaths - recovered
    rises = slope_per_hour(samples[len(samples) // 2 :])
    most_fds, most_sockets = max(s.descriptors for s in samples), max(s.sockets for s in samples)
    lines = [
        f"{last.at / 60:.1f} minutes, {churn.turns} turns, {churn.deaths} deaths ({churn.kills} gateway kills)",
        f"recovered {recovered}, missed {max(0, missed)}, doubled {len(doubled)}; {len(turns)} turns of ours at the model",
        result.sentence(),
        f"memory {first.rss_mb:.1f} -> {last.rss_mb:.1f} MB, slope of the second half {rises:+.2f} MB/h",
        f"file descriptors {first.descriptors} -> {last.descriptors} (most {most_fds})",
        f"sockets {first.sockets} -> {last.sockets} (most {most_sockets}), threads {first.threads} -> {last.threads}",
        *(f"lost: {loss}" for loss in result.losses),
    ]
    print("\n".join(lines))
    leaked = last.descriptors > first.descriptors + 4 or last.sockets > first.sockets + 2
    return 1 if missed or doubled or result.losses or leaked or code else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return soak(wanted.minutes, Path(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
