"""What several daemons on one database took (``tests.bench.replicas``), and what 10,000 gateways would take by that: arithmetic alone.

Everything is taken to grow with the gateways, but for what a daemon without any takes. That is too much for what does not grow (leases),
and too little for what grows faster; the lateness of polls is not computed at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watchdog.config.targets import MOST_TARGETS
from watchdog.service.descriptors import ENOUGH

ON_PAPER = 10_000
MEANINGFUL = 1_000
"""Gateways; a smaller run says too little of a larger one."""
SCRAPE_TIMEOUT = 10.0
"""Seconds, Prometheus' own default."""
BUSY = 70.0
"""Per cent of a core that one replica is planned with: a look that is not asked for must find room."""

Figures = Mapping[str, Any]
Lines = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that ends somewhere. ``taken``: with as many gateways as were measured."""

    name: str
    taken: float
    most: float
    spell: Callable[[float], str]
    gateways: int

    @property
    def on_paper(self) -> float:
        return self.taken * ON_PAPER / self.gateways

    @property
    def reached_at(self) -> float:
        """Gateways."""
        return self.gateways * self.most / self.taken if self.taken else math.inf


def limits(found: Figures) -> list[Limit]:
    """What breaks first comes first. With as many replicas as were measured."""
    rows, database, gateways = found["rows"], found["database"], int(found["gateways"])
    made = [
        ("event loop of the busiest replica: its CPU, and its waiting for the database", loop_percent(found), 100.0, _percent),
        ("writes of the ledger, one after the other", database["writes_a_s"] * database["write_ms"] / 10, 100.0, _percent),
        ("longest scrape of a replica, Prometheus' time-out", max(row["scrape_most_ms"] for row in rows) / 1000, SCRAPE_TIMEOUT, _seconds),
        ("files open in one replica, `LimitNOFILE`", max(row["descriptors"] for row in rows), ENOUGH, _count),
        ("gateways in one list", gateways, MOST_TARGETS, _count),
    ]  # fmt: skip
    return sorted((Limit(*one, gateways) for one in made), key=lambda limit: limit.reached_at)


def loop_percent(found: Figures) -> float:
    """Of the busiest one's time, with what each waits for the database: for that all gateways of a replica wait together."""
    rows = found["rows"]
    return float(max(row["core_percent"] for row in rows) + found["database"]["active_percent"] / len(rows))


def replicas_for(found: Figures) -> int:
    """Replicas for as many gateways as on paper, none of them busier than planned."""
    return math.ceil(loop_percent(found) * len(found["rows"]) * ON_PAPER / int(found["gateways"]) / BUSY)


def seen(found: Figures) -> Lines:
    """Each replica; the first line is the head."""
    head = (
        f"{found['gateways']:,} gateways of {found['sessions_each']} sessions, a poll every {found['every_s']:g} s",
        "gateways",
        "of one core",
        "resident",
        "files open",
        "a scrape (longest)",
        "its size",
    )
    return [
        head,
        *(
            (
                f"replica {number}, {row['shards']} shards",
                f"{row['gateways']:,}",
                f"{row['core_percent']:.1f} %",
                f"{row['resident_mib']:.0f} MiB",
                f"{row['descriptors']:,}",
                f"{row['scrape_median_ms']:.0f} ms ({row['scrape_most_ms']:,.0f} ms)",
                f"{row['scrape_kib']:,.0f} KiB",
            )
            for number, row in enumerate(found["rows"], 1)
        ),
    ]


def together(found: Figures) -> str:
    """What is said beside the table."""
    database = found["database"]
    said = [
        f"Measured for {found['minutes']:g} min; "
        + ("each gateway was watched" if found["is_settled"] else "NOT each gateway was watched yet")
        + f" {found['settled_after_s']} s after the list had named them",
        f"{found['polls']:,} polls, late by {found['late_median_ms']:.0f} ms (median), {found['late_p99_ms']:,.0f} ms (p99), "
        f"{found['late_most_ms']:,.0f} ms at most"
        + (f", and {found['unpolled']} gateways not polled" if found["unpolled"] else ""),
        (
            f"the database: {database['transactions_a_s']:.1f} transactions a second, {database['writes_a_s']:.1f} of them writes, "
            f"for which the daemons stood still {database['active_percent']:.1f} % of the time, added up; it took "
            f"{database['core_percent']:.1f} % of one core, {database['memory_mib']:.0f} MiB, {database['connections']} connections, "
            f"a ledger of {database['ledger_mib']:.0f} MiB; with nobody beside a write takes {database['write_ms']:.1f} ms"
        ),
    ]
    warnings = ", ".join(f"{count} times `{event}`" for event, count in found["said"].items())
    return f"{'; '.join(said)}. {f'Said meanwhile: {warnings}.' if warnings else 'No warning was logged, and no gateway polled less often.'}"


def on_paper(found: Figures) -> Lines:
    """Each limit, what breaks first at the top; the first line is the head. Empty where too little was measured."""
    if found["gateways"] < MEANINGFUL:
        return []
    gateways = found["gateways"]
    head = (
        "what ends somewhere",
        f"with {gateways:,} gateways",
        f"with {ON_PAPER:,}",
        "it ends at",
        "which is reached at",
    )
    lines = [
        (one.name, one.spell(one.taken), one.spell(one.on_paper), one.spell(one.most), _gateways(one.reached_at))
        for one in limits(found)
    ]
    return [head, *lines]


def conclusion(found: Figures, alone: Figures) -> str:
    """``alone``: one daemon with one gateway, for what does not grow."""
    if found["gateways"] < MEANINGFUL:
        return f"{found['gateways']:,} gateways are too few to compute {ON_PAPER:,} from."
    rows, database, times = found["rows"], found["database"], ON_PAPER / found["gateways"]
    cores = sum(row["core_percent"] for row in rows) / 100 * times
    base = min(alone["resident_mib"], *(row["resident_mib"] for row in rows)) * len(rows)
    memory = base + (sum(row["resident_mib"] for row in rows) - base) * times
    files = sum(row["descriptors"] for row in rows) * times
    first = limits(found)[0]
    return (
        f"On paper, in proportion, {ON_PAPER:,} gateways take {cores:.1f} cores and {memory / 1024:.1f} GiB of memory for the daemons, "
        f"{files:,.0f} open files, and of the database {database['transactions_a_s'] * times:,.0f} transactions a second, "
        f"{database['core_percent'] * times / 100:.2f} cores and {database['connections']} connections. On {len(rows)} replicas the first to "
        f"break is the {first.name}, at {_gateways(first.reached_at)}; with {replicas_for(found)} replicas each is busy for at most "
        f"{BUSY:.0f} % of its time."
    )


def _gateways(count: float) -> str:
    return f"about {float(f'{count:.2g}'):,.0f} gateways" if math.isfinite(count) else "never"


def _percent(value: float) -> str:
    return f"{value:.1f} %"


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _count(value: float) -> str:
    return f"{value:,.0f}"
