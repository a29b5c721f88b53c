"""Writes ``config/schema.json`` and ``config/watchdog.example.yaml``: ``python -m watchdog.config.generate [FOLDER]``.

Run it after changing a model; a test holds the files and the models equal.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path

from watchdog import PROGRAM
from watchdog.config.schema import json_schema
from watchdog.config.template import render_example

FOLDER = Path(__file__).parents[2] / "config"
RUNBOOKS = "docs/runbooks.md"


def generated() -> dict[str, str]:
    """File name -> content."""
    return {
        "schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
        "watchdog.example.yaml": render_example(),
    }


def delivered(name: str) -> str:
    """A file of ``config/``: from the wheel, which has those that nothing generates, or from the repository."""
    made = generated()
    in_wheel = Path(__file__).with_name("delivered") / name
    text = (
        made[name] if name in made else (in_wheel if in_wheel.exists() else FOLDER / name).read_text(encoding="utf-8")
    )
    return text.replace(RUNBOOKS, _runbooks())


def _runbooks() -> str:
    """Where an alert's runbook is read: at the address that this release was given (``hatch_build.py``), else in the repository."""
    try:
        addresses = metadata.metadata(PROGRAM).get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return RUNBOOKS
    return next((one.removeprefix("Runbooks, ") for one in addresses if one.startswith("Runbooks, ")), RUNBOOKS)


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0]) if arguments else FOLDER
    for name, content in generated().items():
        (folder / name).write_text(content, encoding="utf-8")
        sys.stdout.write(f"wrote {folder / name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
