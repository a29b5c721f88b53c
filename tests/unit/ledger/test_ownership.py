"""One owner; operators' verbs beside it; readers that change nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from watchdog.ledger.ledger import LedgerRefused, SqliteLedger
from watchdog.service.errors import LedgerInUse, LedgerUnavailable

from .support import T0, at, die, in_child, opened, stuck


def lock_of(path: Path) -> Path:
    return path.with_name("ledger.db.lock")


def test_a_second_owner_learns_who_the_first_is(owned: SqliteLedger, path: Path) -> None:
    for tolerant in (False, True):
        with pytest.raises(LedgerInUse, match=f"process {os.getpid()};") as caught:
            SqliteLedger.open(path, owner=True, tolerant=tolerant)
        assert caught.value.pid == os.getpid()
    assert owned.is_writable()


def test_a_second_owner_in_another_process(owned: SqliteLedger, path: Path) -> None:
    first = os.getpid()

    def second() -> None:
        with pytest.raises(LedgerInUse) as caught:
            SqliteLedger.open(path, owner=True)
        assert caught.value.pid == first

    assert in_child(second) == 0


def test_ownership_ends_with_the_ledger_or_the_process(path: Path) -> None:
    SqliteLedger.open(path, owner=True).close()

    def killed() -> None:
        SqliteLedger.open(path, owner=True)
        die()

    assert in_child(killed) == -9
    with SqliteLedger.open(path, owner=True) as ledger:
        assert ledger.is_writable()
        assert lock_of(path).read_text().splitlines()[0] == str(os.getpid())


def test_operators_verbs_work_beside_the_owner(owned: SqliteLedger, path: Path) -> None:
    with SqliteLedger.open(path) as verb:
        verb.pause(at=T0, until=None, gateway=None, session=None, reason="upgrade", who="ann")
        verb.audit(T0, "ann", "note", "x")
        with pytest.raises(LedgerRefused, match="Only the owner"):
            verb.settle_start_up(T0)
    assert len(owned.pauses(T0)) == 1


def test_a_verb_may_come_before_the_first_daemon(path: Path) -> None:
    with SqliteLedger.open(path) as verb:
        verb.pause(at=T0, until=None, gateway=None, session=None, reason="not yet", who="ann")
    with SqliteLedger.open(path, owner=True) as daemon:
        assert len(daemon.pauses(T0)) == 1
        assert daemon.lost_history_at is None


def test_a_reader_sees_and_changes_nothing(owned: SqliteLedger, path: Path) -> None:
    incident = opened(owned)
    owned.owe([stuck("a")], T0)
    with SqliteLedger.open_read_only(path) as reader:
        assert reader.open_incidents() == [incident]
        assert reader.problem is None
        assert not reader.is_writable()
        assert len(reader.due_messages("never met", at(1))) == 1
        assert reader.lost_history_at is None
        with pytest.raises(LedgerRefused, match="read-only"):
            reader.audit(T0, "ann", "x", "y")
        second = opened(owned, "second", seconds=1)
        assert reader.open_incidents() == [incident, second], "what is written later is seen too"


def test_there_is_nothing_to_read_yet(path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="no ledger at"):
        SqliteLedger.open_read_only(path)
    assert not path.parent.exists()


def test_a_lock_file_removed_under_the_owner_is_taken_again(owned: SqliteLedger, path: Path) -> None:
    lock_of(path).unlink()
    assert owned.is_writable()
    with pytest.raises(LedgerInUse):
        SqliteLedger.open(path, owner=True)


def test_an_owner_whose_lock_was_stolen_stops_writing(owned: SqliteLedger, path: Path) -> None:
    lock_of(path).unlink()
    with SqliteLedger.open(path, owner=True):
        assert not owned.is_writable()
        assert owned.problem is not None
        assert "owned by process" in owned.problem
        with pytest.raises(LedgerInUse):
            opened(owned)
    assert owned.is_writable(), "and comes back when the thief is gone"


def test_a_garbled_lock_file_hinders_nobody(path: Path) -> None:
    path.parent.mkdir()
    lock_of(path).write_bytes(b"\xff\xfe what\n\n\n")
    with SqliteLedger.open(path, owner=True) as ledger:
        assert ledger.is_writable()
        assert ledger.lost_history_at is None


def test_two_ways_to_one_file_have_one_owner(owned: SqliteLedger, path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with pytest.raises(LedgerInUse):
        SqliteLedger.open(link, owner=True)
