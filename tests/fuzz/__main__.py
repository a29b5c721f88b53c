"""``python -m tests.fuzz --cases N --seed S`` (``make fuzz CASES=N``): N broken answers and clocks, on every core.

``--seed S --only`` lives that one life again, for a violation that was printed. Exits 1 on a violation. ``--record`` writes
the figures into docs/evidence.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.figures import record
from tests.fuzz.lives import Life, live

BATCH = 40


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="store_true", help="this one life")
    parser.add_argument("--record", action="store_true", help="into docs/evidence.md")
    asked = parser.parse_args(arguments)
    if asked.record and asked.only:
        parser.error("--record is for many lives")
    began = time.perf_counter()
    found = [live(asked.seed)] if asked.only else _many(asked.cases, asked.seed)
    code = _report(found, time.perf_counter() - began)
    if asked.record and not code:
        record.save("fuzz", cases=asked.cases, violations=sum(len(life.violations) for life in found))
    return code


def _batch(first: int) -> list[Life]:
    return [live(seed) for seed in range(first, first + BATCH)]


def _many(cases: int, seed: int) -> list[Life]:
    """Lives until enough was broken; which ones is decided by ``seed`` and ``cases``, not by the machine's speed."""
    workers = os.cpu_count() or 1
    found: list[Life] = []
    first = seed * 1_000_000
    with ProcessPoolExecutor(workers) as pool:
        while sum(life.broken for life in found) < cases:
            starts = [first + number * BATCH for number in range(workers)]
            first += workers * BATCH
            for done in as_completed([pool.submit(_batch, start) for start in starts]):
                found += done.result()
            broken = sum(life.broken for life in found)
            print(f"\r{broken:,} of {cases:,}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def _report(found: Sequence[Life], seconds: float) -> int:
    kinds: Counter[str] = Counter()
    for life in found:
        kinds.update(life.kinds)
    for kind, number in kinds.most_common():
        print(f"{number:>9,}  {kind}")
    bad = [life for life in found if life.violations]
    for life in bad[:20]:
        print(f"seed {life.seed} ({life.version}): {'; '.join(life.violations)}")
    passes, deeds = sum(life.passes for life in found), sum(life.deeds for life in found)
    print(
        f"{sum(kinds.values()):,} broken answers and clocks in {passes:,} passes of {len(found):,} lives, {seconds:.0f} s: "
        f"{sum(len(life.violations) for life in bad)} violations, {deeds:,} deeds, all of them on what was really stuck"
        if not bad
        else f"{len(bad)} of {len(found)} lives with violations; again: python -m tests.fuzz --only --seed <seed>"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
