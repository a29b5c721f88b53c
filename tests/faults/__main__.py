"""``python -m tests.faults [pytest options]``: run the matrix, print its table, answer 0 when nothing was lost.

``--record`` writes the rows that were run into docs/evidence.md, in place of those of the same faults.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.figures import record

from . import report

NO_TESTS = 5
"""pytest's code for an empty selection."""


def main(options: list[str]) -> int:
    is_recorded = "--record" in options
    options = [option for option in options if option != "--record"]
    with tempfile.TemporaryDirectory() as folder:
        rows_path = Path(folder) / "rows"
        command = [sys.executable, "-m", "pytest", "tests/faults", "--timeout=1800", "-p", "no:cacheprovider", "-q"]
        environment = {**os.environ, "FAULTS_ROWS": str(rows_path)}
        code = subprocess.run([*command, *options], env=environment).returncode
        rows = report.read(rows_path)
    print(report.table(rows))
    lost = sum(bool(row.losses) for row in rows)
    run = [row for row in rows if not row.is_skipped]
    print(
        f"\n{len(run)} faults, {len(rows) - len(run)} not run, {lost} with a loss, {sum(r.seconds for r in rows):.0f} s"
    )
    if is_recorded and run and not code:
        record.save("faults", rows=merged(record.load().get("faults", {}).get("rows", ()), run))
    return 1 if lost or not run else code


def merged(kept: Sequence[Mapping[str, str]], run: Sequence[report.Row]) -> list[dict[str, str]]:
    """The rows of the document, in their order; a fault may have several."""
    rows: dict[str, list[dict[str, str]]] = {}
    for row in kept:
        rows.setdefault(row["fault"], []).append(dict(row))
    rows |= {one.fault: [] for one in run}
    for one in run:
        fault, on, what, verdict, _ = one.cells()
        rows[fault].append({"fault": fault, "on": on, "what": what, "verdict": verdict, "measured": record.today()})
    return [row for each in rows.values() for row in each]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
