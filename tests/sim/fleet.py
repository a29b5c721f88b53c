"""Many episodes in several processes, and what is said of them. Every seed is an episode of its own, so any number of
processes share the work and none changes a result.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.sim import episodes, replicas
from tests.sim.episodes import Result, Setting
from tests.sim.replicas import Befell

SHOWN = 5


@dataclass(slots=True)
class Crashed:
    """An episode that did not come to its end: a defect of product or simulation."""

    seed: int
    trace: str


@dataclass(slots=True)
class Sum:
    """All episodes together."""

    episodes: int = 0
    session_hours: float = 0.0
    passes: int = 0
    turns: int = 0
    lives: int = 0
    races: int = 0
    stalls: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    ended_by: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    by_version: Counter[str] = field(default_factory=Counter)
    not_yet: Counter[str] = field(default_factory=Counter)
    befell: Counter[str] = field(default_factory=Counter)
    """What befell the replicas (``replicas.Befell``)."""
    cpu: float = 0.0
    """Seconds."""
    bad: list[Result] = field(default_factory=list)
    crashed: list[Crashed] = field(default_factory=list)

    def add(self, result: Result | Crashed) -> None:
        if isinstance(result, Crashed):
            self.crashed.append(result)
            return
        self.episodes += 1
        self.session_hours += result.session_hours
        self.passes += result.passes
        self.turns += result.turns
        self.lives += result.lives
        self.races += result.tally.races
        self.stalls += result.tally.stalls
        self.troubles += result.troubles
        self.deeds += result.tally.deeds
        self.ended_by += result.tally.ended_by
        self.told += result.tally.told
        self.not_yet += result.tally.not_yet
        self.befell += result.befell
        self.cpu += result.cpu
        self.by_version[result.setting.version] += sum(result.tally.deeds.values())
        if result.violations:
            self.bad.append(result)

    @property
    def takeovers(self) -> int:
        """How often another replica began to watch a gateway, or the same one again."""
        return self.befell[Befell.TOOK_OVER] - self.episodes


@dataclass(frozen=True, slots=True)
class Order:
    """One episode to run."""

    seed: int
    hours: float | None
    replicas: int = 1
    """More than one: that share the gateway through one store."""

    @property
    def setting(self) -> Setting:
        return replicas.setting_of(self.seed) if self.replicas > 1 else Setting.of(self.seed)


def _run(order: Order) -> Result | Crashed:
    try:
        began = time.process_time()
        if order.replicas > 1:
            result = replicas.run(order.seed, hours=order.hours, replicas=order.replicas)
        else:
            result = episodes.run(order.seed, hours=order.hours)
        result.cpu = time.process_time() - began
        return result
    except Exception:  # noqa: BLE001 - whatever it is, it is told with its seed
        return Crashed(order.seed, traceback.format_exc())


def results(orders: Sequence[Order], workers: int) -> Iterator[Result | Crashed]:
    if workers == 1:
        yield from map(_run, orders)
        return
    # Long ones first, or the last of them is waited for by everybody.
    ordered = sorted(orders, key=lambda order: -_cost(order))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_run, ordered)


def _cost(order: Order) -> float:
    setting = order.setting
    return (order.hours or setting.hours) * setting.sessions * (setting.turns_per_hour + setting.troubles_per_hour / 10)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common()) or "none"


def report(total: Sum, seconds: float) -> str:
    """What is printed at the end. ``seconds``: how long it took."""
    deeds = sum(total.deeds.values())
    violations = sum(len(result.violations) for result in total.bad)
    lines = [
        f"{total.session_hours:,.0f} session-hours in {total.episodes} worlds, {seconds:.0f} s",
        f"  {total.turns:,} turns, {sum(total.troubles.values()):,} faults, {total.lives:,} lives of the watchdog",
        f"  {total.stalls:,} rows left running; ended by: {_counts(total.ended_by)}",
        f"  left at the end, and known to a person as: {_counts(total.told)}",
        f"  {deeds:,} deeds: {_counts(total.deeds)} ({_counts(total.by_version)})",
        f"  {total.races} deeds met an owner that came after the last look",
        *([f"  breaches of rules that are only counted: {_counts(total.not_yet)}"] if total.not_yet else []),
        *([f"  replicas: {total.takeovers:,} takeovers; {_counts(total.befell)}"] if total.befell else []),
        f"  {1000 * total.cpu / max(total.session_hours, 1):.2f} ms of CPU each session-hour",
        f"{violations} violations" + (f", {len(total.crashed)} episodes ended early" if total.crashed else ""),
    ]
    return "\n".join(lines)


def story(result: Result) -> str:
    """Seed, breaches, and the course of each session that had one."""
    setting = result.setting
    lines = [f"\nseed {setting.seed} (make sim SEED={setting.seed}): {setting}"]
    for violation in result.violations[:SHOWN]:
        lines.append(f"  {violation.rule.value}: {violation.key} at {violation.at_s:.1f} s: {violation.note}")
    for key in dict.fromkeys(violation.key for violation in result.violations[:SHOWN]):
        lines.append(f"  course of {key}:")
        lines += [f"  {line}" for line in result.story.get(key, [])]
    return "\n".join(lines)
