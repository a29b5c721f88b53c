"""What the folders share. Drawn cases are not timed: the machine these run on is often busy with real gateways."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.postgresql import Server, running

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server; skipped where none is installed."""
    with running() as started:
        yield started
