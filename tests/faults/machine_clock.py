"""A wall clock of their own for processes, by Debian's libfaketime."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.failures import InstallError
from tests.e2e.harness.install import libfaketime


class MachineClock:
    """The wall clock of every process that has this environment."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set("+0")
        try:
            self._library = libfaketime()
        except InstallError as problem:
            pytest.skip(str(problem))

    def set(self, offset: str) -> None:
        """``+7200``: so many seconds off the true time."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(offset + "\n")
        fresh.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    @property
    def of_many_readings(self) -> dict[str, str]:
        """For a process that reads the clock thousands of times a second: a set clock is noticed within a second."""
        return {**self.environment, "FAKETIME_NO_CACHE": "0", "FAKETIME_CACHE_DURATION": "1"}
