"""``python -m tests.conformance`` (``make conformance``): every scenario on real gateways, beside the simulator.

Words as arguments choose versions (``2026.9.6``) and scenarios (``reset``). ``--record`` writes what the real gateways said
into ``measured.json``, which the hermetic suite compares the simulator with, and, where nothing was chosen and nothing
differs, the figures into docs/evidence.md. Exits 1 where anything differs.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.conformance.comparison import RECORD, Report, compare_all
from tests.e2e.harness.releases import RELEASES, V4_14, Release
from tests.figures import record
from tests.unit.openclaw_simulator.contract_scenarios import SCENARIOS


def main(words: Sequence[str]) -> int:
    chosen = [word for word in words if not word.startswith("-")]
    unknown = [word for word in chosen if not releases_like([word]) and word not in SCENARIOS]
    if unknown:
        print(f"no version and no scenario: {', '.join(unknown)}", file=sys.stderr)
        return 2
    releases = releases_like(chosen) or [release for release in RELEASES if release is not V4_14]
    names = [word for word in chosen if word in SCENARIOS]
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        reports = asyncio.run(
            compare_all(releases, Path(folder), names=names, say=lambda line: print(line, file=sys.stderr, flush=True))
        )
    console.print(_board(reports))
    for report in reports:
        for one in report.compared:
            for line in [f"could not be asked: {one.trouble}"] if one.trouble else map(str, one.differences):
                console.print(f"[red]✗[/] {one.version} {one.scenario}: ", end="")
                console.print(line, markup=False, soft_wrap=True)
    if "--record" in words:
        _record(reports)
    count = sum(len(report.compared) for report in reports)
    equal = sum(one.is_equal for report in reports for one in report.compared)
    console.print(f"{equal} of {count} scenarios alike on {', '.join(report.version for report in reports)}")
    if "--record" in words and not chosen and equal == count:
        versions = ", ".join(report.version for report in reports)
        record.save("conformance", alike=equal, scenarios=count, versions=versions)
    return 0 if equal == count else 1


def releases_like(words: Sequence[str]) -> list[Release]:
    """The known releases whose version ends like one of the words."""
    return [release for release in RELEASES if any(release.version.endswith(word) for word in words)]


def _board(reports: Sequence[Report]) -> Table:
    table = Table(title="simulator and real gateways", title_style="bold")
    table.add_column("scenario")
    for report in reports:
        table.add_column(report.version, justify="center")
    found = {(one.version, one.scenario): one for report in reports for one in report.compared}
    for name in SCENARIOS:
        cells = [found.get((report.version, name)) for report in reports]
        if any(cells):
            marks = ["" if one is None else "[green]=[/]" if one.is_equal else "[bold red]≠[/]" for one in cells]
            alone = [" alone" if one is not None and one.was_alone else "" for one in cells]
            table.add_row(name, *(f"{mark}{also}" for mark, also in zip(marks, alone, strict=True)))
    table.add_section()
    table.add_row("seconds", *(f"{report.seconds:.0f}" for report in reports))
    return table


def _record(reports: Sequence[Report]) -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    for report in reports:
        for one in report.compared:
            if one.trouble is None:
                record[one.version][one.scenario] = one.facts
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
