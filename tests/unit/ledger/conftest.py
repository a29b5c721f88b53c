from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgresql import Server
from watchdog.adapters.clock import SystemClock
from watchdog.ledger.ledger import SqliteLedger, SqlLedger
from watchdog.ledger.place import LedgerPlace

from .support import T0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def place(server: Server, tmp_path: Path) -> LedgerPlace:
    """An empty database."""
    return LedgerPlace(tmp_path / "state", SystemClock(), server.emptied())


@pytest.fixture(params=["file", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerPlace:
    """Where several can open one ledger."""
    if request.param == "file":
        return LedgerPlace(tmp_path / "state", SystemClock())
    database: LedgerPlace = request.getfixturevalue("place")
    return database


KINDS = ("memory", "file", "postgresql")


@pytest.fixture(params=KINDS)
def ledger(request: pytest.FixtureRequest, path: Path) -> Iterator[SqlLedger]:
    """The same contract for all."""
    with made(request.param, request, path) as opened:
        yield opened


def made(kind: str, request: pytest.FixtureRequest, path: Path) -> SqlLedger:
    """A daemon's new ledger."""
    if kind == "memory":
        return SqliteLedger.in_memory(wall=lambda: T0)
    if kind == "file":
        return SqliteLedger.open(path, owner=True)
    database: LedgerPlace = request.getfixturevalue("place")
    return database.open(owner=True)


@pytest.fixture
def owned(path: Path) -> Iterator[SqliteLedger]:
    """A daemon's ledger in a file; its wall clock stands at T0."""
    with SqliteLedger.open(path, owner=True, wall=lambda: T0) as opened:
        yield opened


SmallDisk = Callable[[str], Path]


@pytest.fixture
def small_disk() -> Iterator[SmallDisk]:
    """Mounts a tmpfs of a given size; skipped where that is not allowed."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        place = Path(tempfile.mkdtemp(prefix="ocw-disk-"))
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(place)],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            place.rmdir()
            pytest.skip("needs the right to mount a tmpfs")
        mounted.append(place)
        return place

    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()
