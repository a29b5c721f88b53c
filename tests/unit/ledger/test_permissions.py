"""0600 for every file, 0700 for a folder we make; what others made is not opened wide and not chmodded blindly."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from watchdog.ledger.ledger import SqliteLedger

from .support import opened, query


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_and_folder_are_ours_alone(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with SqliteLedger.open(path, owner=True) as ledger:
            opened(ledger)
            files = sorted(path.parent.iterdir())
            assert [file.name for file in files] == [
                "ledger.db", "ledger.db-shm", "ledger.db-wal", "ledger.db.lock",
            ]  # fmt: skip
            assert {file.name: oct(mode(file)) for file in files} == {file.name: "0o600" for file in files}
            assert oct(mode(path.parent)) == "0o700"
            assert ledger.permission_problem() is None
    finally:
        os.umask(before)


def test_loose_files_of_ours_are_tightened(path: Path) -> None:
    with SqliteLedger.open(path, owner=True) as ledger:
        opened(ledger)
    for file in path.parent.iterdir():
        file.chmod(0o644)
    with SqliteLedger.open(path, owner=True) as ledger:
        opened(ledger, "second")
        assert {mode(file) for file in path.parent.iterdir()} == {0o600}


def test_a_folder_that_was_there_keeps_its_mode_and_is_told_about(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)
    with SqliteLedger.open(path, owner=True) as ledger:
        assert mode(path.parent) == 0o777
        problem = ledger.permission_problem()
        assert problem is not None
        assert "chmod go-w" in problem
        path.parent.chmod(0o1777)
        assert ledger.permission_problem() is None, "as /tmp: nobody else can replace it"
        path.chmod(0o640)
        problem = ledger.permission_problem()
        assert problem is not None
        assert "chmod 600" in problem


def test_writes_are_synced_in_full(owned: SqliteLedger, path: Path) -> None:
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert owned._meta("(SELECT synchronous FROM pragma_synchronous)") == 2
    assert owned._meta("(SELECT foreign_keys FROM pragma_foreign_keys)") == 1


def test_the_ledger_in_memory_has_no_place() -> None:
    with SqliteLedger.in_memory() as ledger:
        assert ledger.folder is None
        assert ledger.permission_problem() is None
