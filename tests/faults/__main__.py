"""``python -m tests.faults [pytest options]``: run the matrix, print its table, answer 0 when nothing was lost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from . import report

NO_TESTS = 5
"""pytest's code for an empty selection."""


def main(options: list[str]) -> int:
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
    return 1 if lost or not run else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
