"""``demo``: filled in once the simulated gateway stands."""

from __future__ import annotations

import typer


def add_to(app: typer.Typer) -> None:
    """Nothing yet."""
