"""``python -m tests.faults.soak --minutes 60``: a daemon that polls twice a second beside a busy real gateway.

Sessions of 2026.3.24 start, answer, stream, and die (a model that says nothing runs into the run's time limit, which leaves
the row running for ever); now and then the whole gateway is killed. Every death is written down here (``churn``) and must
come to an end of its own in the ledger (``balance``), by exactly one turn. The daemon's memory, file descriptors, sockets
and threads are measured all the while. However it ends, there is a report.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import psutil

from tests.e2e.harness.conditions import monotonic
from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.failures import HarnessError, Hopeless
from tests.e2e.harness.releases import V3_24
from tests.e2e.harness.shutdown import leave_in_order_when_told
from tests.e2e.harness.world import World
from tests.faults.tally import Reckoning, mark_of, reckon
from tests.figures import record

from .balance import Balance, Fate, balance
from .churn import Churn
from .promptness import delays, sentence
from .webhook import Webhook

RUN_LIMIT = 10
"""Seconds after which a silent run dies."""
PACE = 0.5
"""Seconds between two looks of the people who write."""
SAMPLE_EVERY = 5.0
REST_WITHIN = 200.0
"""Seconds in which everything must be at rest at the end, on a quiet machine."""
RISE_ALLOWED = 2.0
"""MB that the fitted line of the second half may rise from its begin to its end."""
STUCK_AFTER = 4
SETTINGS: dict[str, Any] = {
    "poll_every": "500ms",
    "thresholds": {"stuck_after": f"{STUCK_AFTER}s", "confirm_for": "1s", "startup_grace": "2s"},
    "recovery": {
        "verify_within": "60s",
        "backoff": ["2s"],
        "max_concurrent": 4,
        "budget": {"attempts": 100_000, "per": "72h"},
        "gateway_budget": {"attempts": 100_000, "per": "1h"},
    },
}


@dataclass(frozen=True)
class Sample:
    """The daemon at one instant."""

    at: float
    """Seconds since the begin."""
    rss_mb: float
    descriptors: int
    sockets: int
    threads: int
    cpu: float
    """Seconds of CPU it has used so far."""
    driver_mb: float
    """Resident memory of this very program."""


def sample(watchdog: Watchdog, began: float) -> Sample:
    process = watchdog.process
    with process.oneshot():
        used = process.cpu_times()
        return Sample(
            at=monotonic() - began,
            rss_mb=process.memory_info().rss / 2**20,
            descriptors=process.num_fds(),
            sockets=len(process.net_connections()),
            threads=process.num_threads(),
            cpu=used.user + used.system,
            driver_mb=psutil.Process().memory_info().rss / 2**20,
        )


def slope_per_hour(samples: Sequence[Sample]) -> float:
    """Least squares, MB an hour."""
    times, sizes = [s.at for s in samples], [s.rss_mb for s in samples]
    middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((t - middle) ** 2 for t in times)
    if not spread:
        return 0.0
    return 3600 * sum((t - middle) * (m - mean) for t, m in zip(times, sizes, strict=True)) / spread


@dataclass
class Soak:
    """One run: the churn, and what was measured beside it."""

    churn: Churn
    watchdog: Watchdog
    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why the run did not come to its end."""
    began: float = field(default_factory=monotonic)

    def run(self, seconds: float, kill_every: float) -> None:
        """All of it; what goes wrong stands in ``problems``."""
        try:
            self._work(seconds, kill_every)
            self.churn.drain(REST_WITHIN)
        except (HarnessError, psutil.Error) as problem:
            self.problems.append(str(problem))
        if self.watchdog.is_running:
            self.samples.append(sample(self.watchdog, self.began))
        else:
            self.problems.append(self.watchdog.report())

    def _work(self, seconds: float, kill_every: float) -> None:
        killed_at = sampled_at = self.began
        while (now := monotonic()) - self.began < seconds:
            if now - sampled_at >= SAMPLE_EVERY:
                sampled_at = now
                self.samples.append(sample(self.watchdog, self.began))
            if now - killed_at >= kill_every:
                self.churn.kill_gateway()
                killed_at = monotonic()
            self._step()
            time.sleep(max(0.0, PACE - (monotonic() - now)))  # how often people look; nothing is waited for

    def _step(self) -> None:
        try:
            self.churn.step()
        except Hopeless:
            raise
        except HarnessError as problem:  # a gateway that is busy: asked again
            print(f"[soak] {str(problem)[:300]}", file=sys.stderr)


def soak(minutes: float, kill_every: float, folder: Path, *, is_recorded: bool = False) -> int:
    """Answers 0 when nothing was missed, doubled or leaked. ``is_recorded``: then the figures are written into
    docs/evidence.md."""
    settings = {**SETTINGS}
    with Webhook() as hook, World(V3_24, folder / "gateway", run_timeout_seconds=RUN_LIMIT) as world:
        settings["notify"] = [hook.url]
        with Watchdog(world.gateway, folder / "watchdog", extra=settings) as watchdog:
            watchdog.wait_for("cycle.finished")
            one = Soak(Churn(world, watchdog, Random(1)), watchdog)
            one.run(minutes * 60, kill_every)
            return report(one, hook, is_recorded=is_recorded)


def report(one: Soak, hook: Webhook, *, is_recorded: bool = False) -> int:
    result = reckon(one.watchdog, hook, one.churn, within=20)
    code = one.watchdog.stop() if one.watchdog.is_running else one.watchdog.wait_for_exit()
    found = balance(one.churn.turns, result.incidents, one.churn.kills)
    failures = [*one.problems, *dict.fromkeys([*found.losses, *result.losses, *_unproved(result)])]
    failures += [
        f"a turn of ours that no attempt is written down for: {mark}" for mark in _strays(result, one.churn.heard.turns)
    ]
    failures += _leaks(one.samples)
    failures += [f"the watchdog ended with {code}"] if code else []
    failures += [] if found.fates else ["nothing died, so nothing was proved"]
    lines = [*_traffic(one, found, result), *_resources(one.samples)]
    verdict = [f"FAILED: {failure}" for failure in failures] or ["nothing was missed, doubled or leaked"]
    print("\n".join([*lines, *verdict]), flush=True)
    if is_recorded and not failures:
        record.save("soak", **_figures(one.samples, found, result))
    return 1 if failures else 0


def _figures(samples: Sequence[Sample], found: Balance, result: Reckoning) -> dict[str, Any]:
    first, last = _begin_and_end(samples)
    names = ("descriptors", "sockets", "threads")
    return {
        "minutes": round(last.at / 60, 1),
        "stuck": found.fates.total(),
        **{str(fate): found.fates[fate] for fate in Fate},
        "doubled": sum(count > 1 for count in result.turns().values()),
        **{name: [getattr(first, name), getattr(last, name)] for name in names},
        "memory_mb": _by_quarters(samples),
        "rise_mb_an_hour": round(slope_per_hour(samples[len(samples) // 2 :]), 2),
    }


# ------------------------------------------------------------ what was counted


def _traffic(one: Soak, found: Balance, result: Reckoning) -> Iterable[str]:
    churn, fates = one.churn, found.fates
    causes = ", ".join(f"{count} {cause}" for cause, count in sorted(churn.causes.items()))
    yield (
        f"{one.samples[-1].at / 60 if one.samples else 0:.1f} minutes, {len(churn.turns)} turns, {churn.fresh} fresh sessions, "
        f"{len(churn.kills)} gateway kills"
    )
    ends = ", ".join(f"{fates[fate]} {fate}" for fate in Fate)
    yield f"{fates.total()} stuck sessions ({causes}): {ends}"
    turns = result.turns()
    doubled = sum(count > 1 for count in turns.values())
    yield f"doubled {doubled}; {len(turns)} turns of ours at the model, {turns.total()} calls of theirs"
    yield (
        f"flagged without a death {found.alarms}; resumed runs that were cut and recovered again {found.cut_again}; "
        f"still running at the end, given up {len(churn.given_up)}"
    )
    states = Counter(f"{attempt['step']} {attempt['state']}" for attempt in result.attempts)
    yield "attempts: " + ", ".join(f"{count} {state}" for state, count in states.most_common())
    yield result.sentence()
    yield sentence(delays(one.watchdog.lines, STUCK_AFTER))
    yield from (_given_up(incident) for incident in result.incidents if incident["outcome"] == "quarantined")


def _given_up(incident: dict[str, Any]) -> str:
    tried = ", ".join(f"{a['step']} {a['state']} ({a['reason']})" for a in incident["attempts"])
    return f"quarantined: {incident['session']} at {incident['opened_at']}, {tried or 'no attempt'}"


def _unproved(result: Reckoning) -> list[str]:
    """Resume turns that are called a success and never reached the model."""
    turns = result.turns()
    marks = [
        mark_of(incident, attempt)
        for incident in result.incidents
        for attempt in incident["attempts"]
        if attempt["step"] == "resume" and attempt["state"] == "succeeded"
    ]
    return [f"{mark} succeeded without a model call" for mark in marks if not turns[mark]]


def _strays(result: Reckoning, turns: Iterable[str]) -> list[str]:
    known = {mark_of(incident, attempt) for incident in result.incidents for attempt in incident["attempts"]}
    return sorted(set(turns) - known)


# ------------------------------------------------------------ what was measured


def _resources(samples: Sequence[Sample]) -> Iterable[str]:
    if not samples:
        return
    first, last = _begin_and_end(samples)
    sizes = ", ".join(map(str, _by_quarters(samples)))
    rise = slope_per_hour(samples[len(samples) // 2 :])
    yield f"memory by quarters {sizes} MB, most {max(s.rss_mb for s in samples):.1f}; slope of the second half {rise:+.2f} MB/h"
    for name in ("descriptors", "sockets", "threads"):
        most = max(getattr(s, name) for s in samples)
        yield f"{name} {getattr(first, name)} -> {getattr(last, name)} (most {most})"
    seconds = samples[-1].at - samples[0].at or 1.0
    used = samples[-1].cpu - samples[0].cpu
    yield f"CPU of the daemon {used:.0f} s, {100 * used / seconds:.1f} % of a core"
    yield f"(memory of the driver itself {samples[0].driver_mb:.0f} -> {samples[-1].driver_mb:.0f} MB)"


def _by_quarters(samples: Sequence[Sample]) -> list[float]:
    """MB, the median of each quarter of the time."""
    quarters = [samples[len(samples) * i // 4 : len(samples) * (i + 1) // 4] or [samples[-1]] for i in range(4)]
    return [round(median(s.rss_mb for s in quarter), 1) for quarter in quarters]


def _leaks(samples: Sequence[Sample]) -> Iterable[str]:
    if len(samples) < 4:
        return
    first, last = _begin_and_end(samples)
    for name, allowed in (("descriptors", 4), ("sockets", 2), ("threads", 2)):
        before, after = getattr(first, name), getattr(last, name)
        if after > before + allowed:
            yield f"{name} leak: {before} -> {after}"
    half = samples[len(samples) // 2 :]
    rise = slope_per_hour(half) * (half[-1].at - half[0].at) / 3600
    if rise > RISE_ALLOWED:
        yield f"memory rose by {rise:.1f} MB in the second half"


def _begin_and_end(samples: Sequence[Sample]) -> tuple[Sample, Sample]:
    """The first quarter's middle, and the instant after everything came to rest."""
    quarter = sorted(samples[: max(1, len(samples) // 4)], key=lambda s: s.descriptors)
    return quarter[len(quarter) // 2], samples[-1]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--kill-every", type=float, default=240, metavar="SECONDS", help="of the gateway; default 240")
    parser.add_argument("--folder", type=Path, help="keep the logs and the ledger here; default: nothing is kept")
    parser.add_argument("--record", action="store_true", help="write the figures into docs/evidence.md")
    wanted = parser.parse_args(arguments)
    leave_in_order_when_told()
    with tempfile.TemporaryDirectory() as temporary:
        folder = wanted.folder or Path(temporary)
        return soak(wanted.minutes, wanted.kill_every, folder, is_recorded=wanted.record)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
