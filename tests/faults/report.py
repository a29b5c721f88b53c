"""Rows of the matrix: written by the tests while they run, read back for the table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

COLUMNS = ("fault", "on", "what happened", "lost nothing?", "s")


@dataclass
class Row:
    """One fault and what came of it. ``facts`` are measured sentences; every entry of ``losses`` is something lost."""

    fault: str
    stage: str = ""
    """What was real: ``2026.3.24``, ``simulated gateway``, ``virtual time``."""
    facts: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    problem: str | None = None
    """Why the test itself ended early, or None."""
    is_skipped: bool = False
    seconds: float = 0.0

    def on(self, stage: str) -> None:
        self.stage = stage

    def saw(self, *facts: str) -> None:
        self.facts += facts

    def lost(self, losses: Iterable[str]) -> None:
        self.losses += losses

    @property
    def verdict(self) -> str:
        if self.is_skipped:
            return "not run"
        if self.losses:
            return f"no: {'; '.join(self.losses)}"
        return "the test failed" if self.problem else "yes"

    def cells(self) -> tuple[str, ...]:
        story = "; ".join([*self.facts, *([self.problem] if self.problem else [])])
        return (self.fault, self.stage, story, self.verdict, f"{self.seconds:.0f}")


def write(row: Row, path: Path) -> None:
    with path.open("a") as stream:
        stream.write(json.dumps(asdict(row)) + "\n")


def read(path: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *(row.cells() for row in rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
