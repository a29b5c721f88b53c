from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from watchdog.ledger.ledger import SqliteLedger

from .support import T0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture(params=["memory", "file"])
def ledger(request: pytest.FixtureRequest, path: Path) -> Iterator[SqliteLedger]:
    """The same contract for both."""
    opened = (
        SqliteLedger.in_memory(wall=lambda: T0) if request.param == "memory" else SqliteLedger.open(path, owner=True)
    )
    with opened:
        yield opened


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
