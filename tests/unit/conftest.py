"""What the folders share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgresql import Server, running


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server; skipped where none is installed."""
    with running() as started:
        yield started
