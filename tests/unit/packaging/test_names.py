"""A public class name means one thing, so that a search for it finds that thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _public_classes() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for package in ("watchdog", "openclaw_simulator"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(str(path.relative_to(ROOT)))
    return found


def test_no_public_class_name_has_two_meanings() -> None:
    found = _public_classes()
    assert len(found) > 300, "the packages are here"
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_files_are_nouns() -> None:
    """``tracking`` is the field's word for it; an approval is pending."""
    gerunds = {
        path.stem for package in ("watchdog", "openclaw_simulator") for path in (ROOT / package).rglob("*ing.py")
    }
    assert gerunds <= {"tracking", "pending"}
