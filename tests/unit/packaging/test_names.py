"""A public class name means one thing, so that a search for it finds that thing."""

from __future__ import annotations

import ast
import re
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


def test_versions_of_gateways_stand_in_one_place() -> None:
    """A check against a version written elsewhere is a fact nobody finds."""
    strays = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "watchdog").rglob("*.py")
        if re.search(r"\(20\d\d, \d+, \d+\)", path.read_text())
    }
    assert strays == {"watchdog/gateway/capabilities.py"}
