"""docs/evidence.md: the words of ``evidence.md``, with every figure taken from the records or from the code; and the tables of
other documents, each between ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.figures import replicas
from tests.hostile.gateway import MODES
from watchdog.config.durations import spell
from watchdog.config.models import Config
from watchdog.core import policy

TEMPLATE = Path(__file__).with_name("evidence.md")
SIZES = (35, 1_000, 10_000)
"""Sessions with which ``tests.bench`` measures; each has a record of its own, because the largest is seldom measured."""
BLOCK = re.compile(
    r"(?<=^<!-- figures: )(?P<name>[a-z_]+)( -->\n).*?(?=^<!-- end of figures -->$)", re.DOTALL | re.MULTILINE
)
Records = Mapping[str, Mapping[str, Any]]


def document(records: Records) -> str:
    """The whole text. Raises ``KeyError`` for a figure that nobody recorded."""
    bench = [records[f"bench_{size}"] for size in SIZES]
    return TEMPLATE.read_text("utf-8").format_map(
        {
            **records,
            "settings": settings(),
            "hostile": len(MODES),
            "when": {"faults": _when(records["faults"]["rows"]), "bench": _when(bench)},
            "tables": {
                "faults": _faults(records["faults"]["rows"]),
                "looks": _looks(bench),
                "daemons": _daemons(bench),
                "polls": _polls(records["glances"]),
                "requests": _requests(records["glances"]["requests"]),
                "scale": _scale(records["scale"]),
                "replicas": _replicas(records["replicas"], records["scale"]),
            },
        }
    )


def blocks(records: Records) -> dict[str, str]:
    """What stands between the marks, by name. Raises ``KeyError`` for a figure that nobody recorded."""
    container, newcomer = records["container"], records["newcomer"]
    return {
        "ledger_reads": _ledger_reads(records["ledger_reads"]),
        "container": f"{_path(container['beside'])}\n\n(beside a real {container['openclaw']}, {_measured(container)})",
        "container_bridge": f"{_path(container['bridge'])}\n\n(the same gateway, {_measured(container)})",
        "newcomer_demo": f"{_path(newcomer['demo'])}\n\n({_measured(newcomer)}; most of the first `make demo` is installing, once)",
        "newcomer_gateway": f"{_path(newcomer['gateway'])}\n\n(a simulated {newcomer['openclaw']}, {_measured(newcomer)})",
    }


def filled(text: str, records: Records) -> str:
    """A document with its blocks as they are now. Raises ``KeyError`` for one that nobody makes."""
    made = blocks(records)
    return BLOCK.sub(lambda found: f"{found['name']}{found[2]}\n{made[found['name']]}\n\n", text)


def _path(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was typed, one after the other."""
    return _table(
        ("typed", "took", "what it ends with"), *((row["typed"], _took(row["took_s"]), row["ends"]) for row in rows)
    )


def _took(seconds: float) -> str:
    if seconds >= 60:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _measured(one: Mapping[str, Any]) -> str:
    """When, and how busy the machine was: most of what is timed here waits for something to start."""
    return f"{one['cores']} cores at a load of {one['load']:.0f}, {one['measured']}"


def settings() -> dict[str, object]:
    """Bounds that are the product's defaults."""
    recovery = policy.Recovery()
    return {
        "attempts": recovery.budget.attempts,
        "per": spell(recovery.budget.per),
        "gateway_attempts": recovery.gateway_budget.attempts,
        "gateway_per": spell(recovery.gateway_budget.per),
        "in_flight": recovery.max_concurrent,
        "full_sweep_every": spell(Config.model_fields["full_sweep_every"].default),
    }


def _when(parts: Iterable[Mapping[str, Any]]) -> str:
    dates = sorted(str(part["measured"]) for part in parts)
    return dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"


def _table(*lines: Sequence[str]) -> str:
    """As Markdown; the first line is the head."""
    head, *rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rows])


def _faults(rows: Sequence[Mapping[str, str]]) -> str:
    cells = [
        tuple(row[key].replace("|", "\\|").replace("\n", " ") for key in ("fault", "on", "what", "verdict"))
        for row in rows
    ]
    return _table(("fault", "on", "what happened", "lost nothing?"), *cells)


def _looks(bench: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for one in bench:
        ours = one["looks"][0]
        for look in one["looks"]:
            figures = [_ms(look[key]) + _times(look, ours, key) for key in ("wall_ms", "cpu_ms")]
            figures += [f"{look['memory_mib']:.0f} MiB", _ms(look["gateway_ms"]) + _times(look, ours, "gateway_ms")]
            lines.append((f"{one['sessions']:,} sessions, {look['way']}", *figures))
    return _table(("one look at every session", "wall", "CPU", "memory", "CPU of the gateway"), *lines)


def _times(look: Mapping[str, Any], ours: Mapping[str, Any], key: str) -> str:
    """How many times as much as the look that the daemon takes."""
    if look is ours or not ours[key]:
        return ""
    times = look[key] / ours[key]
    return f" (x {times:,.0f})" if times >= 10 else f" (x {times:.1f})"


def _ms(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"


def _daemons(bench: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        (
            f"{one['sessions']:,} sessions, a poll {daemon['name']}",
            f"{daemon['resident_mib']:.0f} MiB",
            f"{daemon['start_s']:.1f} s",
            f"{daemon['core_percent']:.2f} %",
        )
        for one in bench
        for daemon in one["daemons"]
    ]
    return _table(("the daemon", "resident", "first verdicts after its start", "of one core"), *lines)


def _polls(glances: Mapping[str, Any]) -> str:
    head = f"a poll every {glances['every_s']:.0f} s, a label set in {glances['touched_percent']:.0f} % of the sessions a minute"
    lines = []
    for size, ways in glances["sizes"].items():
        whole = ways["whole"]
        for name, way in ways.items():
            what = "whole lists, each in one request" if name == "whole" else "the daemon"
            figures = [f"{way['bytes']:,}", _ms(way["gateway_ms"])]
            if name != "whole":
                figures[0] += f" ({way['bytes'] / whole['bytes']:.1%})".replace("%", " %")
                figures[1] += f" ({way['gateway_ms'] / whole['gateway_ms']:.1%})".replace("%", " %")
            lines.append((f"{int(size):,} sessions, {what}", *figures))
    return _table((head, "bytes a minute", "CPU of the gateway a minute"), *lines)


def _requests(requests: Mapping[str, Any]) -> str:
    head = f"one request, {requests['sessions']:,} sessions, {requests['touched_a_minute']} touched a minute"
    lines = [(one["name"], _ms(one["median_ms"]), _ms(one["ninth_ms"])) for one in requests["kinds"]]
    return _table((head, "keeps the gateway busy", "nine of ten for at most"), *lines)


def _scale(scale: Mapping[str, Any]) -> str:
    head = f"one daemon, gateways of {scale['sessions_each']} sessions, a poll every {scale['every_s']:.0f} s"
    lines = [
        (
            f"{row['gateways']:,} gateway{'s' if row['gateways'] > 1 else ''}{_trouble(row)}",
            f"{row['core_percent']:.1f} %",
            f"{row['resident_mib']:.0f} MiB",
            f"{row['late_median_ms']:.0f} ms",
            f"{row['late_p99_ms']:.0f} ms",
        )
        for row in scale["rows"]
    ]
    return _table((head, "of one core", "resident", "polls late, median", "p99"), *lines)


def _replicas(found: Mapping[str, Any], scale: Mapping[str, Any]) -> str:
    parts = [_table(*replicas.seen(found)), replicas.together(found), replicas.conclusion(found, scale["rows"][0])]
    if lines := replicas.on_paper(found):
        parts.append(_table(*lines))
    return "\n\n".join(parts)


def _ledger_reads(reads: Mapping[str, Any]) -> str:
    head = f"one replica with {reads['gateways']:,} gateways, a pass every {reads['every_s']} s"
    lines = [
        (
            f"{row['what']}, {row['whose']}",
            f"{row['trips']:.1f}",
            _ms(row["trip_ms"]),
            f"{row['share_percent']:.1f} %",
            f"{row['share_a_ms_away_percent']:.1f} %",
        )
        for row in reads["rows"]
    ]
    columns = (
        head,
        "trips to the server a pass",
        "a trip here, median",
        "of the replica's time",
        "a server 1 ms away",
    )
    return f"{_table(columns, *lines)}\n\n(`python -m tests.bench --ledger`, {_measured(reads)})"


def _trouble(row: Mapping[str, Any]) -> str:
    return f", {row['hanging']} of them hanging and {row['flooding']} flooding" if row["hanging"] else ""
