from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.discovery.support import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.home.mkdir()
    machine.tmp.mkdir()
    return machine
