"""One JSON file for each measuring command, and the documents that are made of all of them."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.figures.document import document, filled
from watchdog.adapters.clock import SystemClock

FOLDER = Path(__file__).parent / "records"
DOCUMENT = Path(__file__).parents[2] / "docs" / "evidence.md"
FILLED = tuple(DOCUMENT.parent / name for name in ("container.md", "newcomer.md", "decisions/0014-shares.md"))
"""Documents with figures between marks."""


def load() -> dict[str, dict[str, Any]]:
    """Every record, by name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def today() -> str:
    return SystemClock().now().wall.date().isoformat()


def save(name: str, **figures: Any) -> None:
    """Keep what was measured just now, in place of what was measured before, and write the documents anew.

    For runs that succeeded: the documents' words rely on it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = ".".join(platform.python_version_tuple()[:2])
    kept = {"measured": today(), "cores": cores, "load": round(os.getloadavg()[2], 1), "python": python, **figures}
    _replace(FOLDER / f"{name}.json", text_of(kept))
    write()
    print(f"recorded: tests/figures/records/{name}.json, and the documents", file=sys.stderr)


def text_of(kept: Mapping[str, Any]) -> str:
    return json.dumps(kept, indent=1, ensure_ascii=False) + "\n"


def write() -> None:
    """The documents, of the records as they are."""
    records = load()
    _replace(DOCUMENT, document(records))
    for path in FILLED:
        _replace(path, filled(path.read_text("utf-8"), records))


def differs(name: str, **figures: Any) -> bool:
    """Whether what comes out the same in every run is not what was recorded."""
    kept = load().get(name, {})
    return any(kept.get(key) != value for key, value in figures.items())


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
