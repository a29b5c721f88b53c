"""``python -m tests.sim`` (``make sim``): fixed seeds for about a minute, or ``SEED=… HOURS=…``, or as many seeds as make so
many session-hours (``--session-hours``).

Prints simulated session-hours, deeds and violations; a violation with its seed and the course of its session. Exits 1 on
a violation, and with ``--replicas`` if nothing was done or no replica ever took over from another: that would prove nothing.
``--record`` writes the figures of the fixed seeds, or of so many session-hours, into docs/evidence.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count

from tests.figures import record
from tests.sim.fleet import SHOWN, Crashed, Order, Sum, report, results, story
from tests.sim.replicas import Befell

REPLICAS = 3
"""With so many is recorded."""
FIXED_SEEDS = 120
"""Seeds of a plain ``make sim``: about a minute on two cores."""


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="this episode only")
    parser.add_argument(
        "--hours", type=float, help="hours of faulty life of each world, instead of what its seed draws"
    )
    parser.add_argument("--first", type=int, default=0, help="first seed of the range")
    parser.add_argument("--seeds", type=int, default=FIXED_SEEDS, help="how many seeds")
    parser.add_argument(
        "--session-hours", type=float, help="as many seeds from the first as make so many session-hours"
    )
    parser.add_argument("--minutes", type=float, help="begin no further world after so many; in one process")
    parser.add_argument("--record", action="store_true", help="into docs/evidence.md; not for chosen seeds")
    parser.add_argument("--workers", type=int, default=max(1, os.cpu_count() or 1), help="processes")
    parser.add_argument("--replicas", type=int, default=1, help="how many share the gateway through one store")
    asked = parser.parse_args(words)
    if asked.hours is not None and not 0 < asked.hours <= 10_000:
        parser.error("HOURS is how long the world lives with faults: more than 0, at most 10000")
    if asked.session_hours is not None and not 0 < asked.session_hours <= 100_000_000:
        parser.error("--session-hours is more than 0, at most 100000000")
    is_chosen = (asked.seed, asked.hours, asked.first, asked.seeds) != (None, None, 0, FIXED_SEEDS)
    is_chosen = is_chosen or asked.replicas not in (1, REPLICAS)
    if asked.record and is_chosen:
        parser.error(
            f"--record is for the fixed seeds, or for --session-hours from the first on; {REPLICAS} replicas or one"
        )
    if asked.minutes is not None:
        if not asked.minutes > 0:
            parser.error("--minutes is more than 0")
        asked.workers = 1  # then what was done is the first seeds, whoever looks on
    seeds: Sequence[int] = range(asked.first, asked.first + asked.seeds)
    if asked.seed is not None:
        seeds = [asked.seed]
    elif asked.session_hours is not None:
        seeds = [*_seeds_of(asked.session_hours, asked.first, asked.replicas)]
    orders = [Order(seed, asked.hours, asked.replicas) for seed in seeds]
    total, began = Sum(), time.perf_counter()
    for done, result in enumerate(results(orders, min(asked.workers, len(orders))), 1):
        total.add(result)
        if isinstance(result, Crashed) or result.violations:  # the end may be hours away
            seed = result.seed if isinstance(result, Crashed) else result.setting.seed
            print(f"seed {seed} went wrong, {total.session_hours:,.0f} session-hours from the start", file=sys.stderr)
        if sys.stderr.isatty():
            print(f"\r{done} of {len(orders)}", end="", file=sys.stderr, flush=True)
        if asked.minutes is not None and time.perf_counter() - began >= asked.minutes * 60:
            orders = orders[:done]
            break
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(report(total, time.perf_counter() - began))
    for bad in total.bad[:SHOWN]:
        print(story(bad))
    for crashed in total.crashed[:SHOWN]:
        print(f"\nseed {crashed.seed} (make sim SEED={crashed.seed}) did not come to its end:\n{crashed.trace}")
    if total.bad or total.crashed:
        return 1
    if asked.replicas > 1 and asked.seed is None and not (total.deeds and total.takeovers):
        print("no deed, or no takeover: this run proves nothing")
        return 1
    figures = _figures(total, orders)
    if asked.replicas > 1:
        if asked.record:
            record.save("sim_replicas", **figures, **_of_replicas(total))
    elif asked.record:
        record.save("sim" if asked.session_hours is None else "sim_long", **figures)
    elif not is_chosen and asked.session_hours is None and record.differs("sim", **figures):
        print("docs/evidence.md tells otherwise; `make sim ARGS=--record` writes it anew")
    return 0


def _figures(total: Sum, orders: Sequence[Order]) -> dict[str, int]:
    return {
        "session_hours": round(total.session_hours),
        "worlds": total.episodes,
        "lying": sum(order.setting.has_lies for order in orders),
        "faults": sum(total.troubles.values()),
        "lives": total.lives,
        "deeds": sum(total.deeds.values()),
        "violations": sum(len(result.violations) for result in total.bad),
    }


def _of_replicas(total: Sum) -> dict[str, int | float]:
    return {
        "replicas": REPLICAS,
        "takeovers": total.takeovers,
        "killed": total.befell[Befell.KILLED],
        "drained": total.befell[Befell.DRAINED],
        "cut_off": total.befell[Befell.CUT_OFF],
        "store_clock": total.befell[Befell.STORE_CLOCK],
        "stopped": total.befell[Befell.STOPPED],
        "overtaken": total.befell[Befell.OVERTAKEN],
        "cpu_ms": round(1000 * total.cpu / total.session_hours, 1),
    }


def _seeds_of(session_hours: float, first: int, replicas: int = 1) -> Iterator[int]:
    """Without the hours after all trouble, of which each world has a few: it becomes rather more."""
    for seed in count(first):
        if session_hours <= 0:
            return
        setting = Order(seed, None, replicas).setting
        session_hours -= setting.sessions * setting.hours
        yield seed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
