"""Deleted, replaced, or vanished while nobody ran: a new ledger, and nobody acts as if the old one were still known."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from watchdog.core.recovery import AttemptState
from watchdog.ledger.ledger import LedgerRefused, SqliteLedger
from watchdog.service.errors import LedgerUnavailable

from .support import T0, at, lost_at, opened, planned, query, started


def remove(path: Path) -> None:
    path.unlink()


def remove_with_companions(path: Path) -> None:
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        path.with_name(name).unlink()


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def replace_by_another(path: Path) -> None:
    with SqliteLedger.open(path.with_name("other.db")):
        pass
    path.with_name("other.db").replace(path)


def replace_by_own_copy(path: Path) -> None:
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as live, closing(sqlite3.connect(copy)) as target:
        live.backup(target)
    copy.replace(path)


GONE = [remove, remove_with_companions, remove_folder, replace_by_another, replace_by_own_copy]


@pytest.mark.parametrize("vanish", GONE)
def test_a_ledger_gone_while_we_run_is_remade_and_the_loss_is_told(
    owned: SqliteLedger, path: Path, vanish: Callable[[Path], None]
) -> None:
    incident = opened(owned)
    attempt = started(owned, incident)
    assert lost_at(owned) is None
    vanish(path)

    with pytest.raises(LedgerUnavailable, match="history is lost"):
        owned.claim_attempt(attempt.id, at(5))

    assert owned.is_writable()
    assert lost_at(owned) == T0
    if vanish is not replace_by_own_copy:
        assert not owned.settle_attempt(attempt.id, AttemptState.SUCCEEDED, at(6), reason="x")
        with pytest.raises(LedgerRefused, match="unknown"):
            planned(owned, incident)
    assert opened(owned, "next").is_open
    assert query(path, "SELECT count(*) FROM incidents WHERE session = 'next'") == [(1,)]
    owned.close()
    with SqliteLedger.open(path, owner=True) as later:
        assert lost_at(later) == T0, "a restart does not forget it"
        assert later.accept_lost_history(at(100), "ann")
        assert lost_at(later) is None
        assert not later.accept_lost_history(at(101), "ann")
        assert later.audit_trail()[0].what == "accept_lost_history"
    with SqliteLedger.open(path, owner=True) as last:
        assert lost_at(last) is None


def test_no_pass_that_began_before_the_loss_goes_on_after_it(owned: SqliteLedger, path: Path) -> None:
    """Every use raises, whatever it is, until somebody tells of it: who passes over one does not hush it up. A caller who asked for
    ``lost_history_at`` has been told."""
    uses: list[Callable[[], object]] = [
        lambda: opened(owned),
        lambda: owned.charges("home", T0),
        lambda: owned.pauses(T0),
        lambda: owned.quarantines(),
    ]
    for use in uses:
        path.unlink()
        with pytest.raises(LedgerUnavailable, match="budgets before this moment are unknown"):
            use()
        with pytest.raises(LedgerUnavailable, match="budgets before this moment are unknown"):
            use()
        owned.told_of_loss()
        use()
    path.unlink()
    assert owned.is_writable()
    assert lost_at(owned) == T0
    opened(owned, "told")


def test_incident_ids_differ_before_and_after_a_loss(owned: SqliteLedger, path: Path) -> None:
    first = opened(owned)
    path.unlink()
    assert owned.is_writable()
    assert lost_at(owned) is not None
    assert opened(owned).id != first.id


def test_a_ledger_that_vanished_while_nobody_ran(path: Path) -> None:
    with SqliteLedger.open(path, owner=True) as ledger:
        opened(ledger)
    path.unlink()
    with SqliteLedger.open(path) as verb:  # an operator's verb makes a new one first
        verb.audit(T0, "ann", "x", "y")
    with SqliteLedger.open(path, owner=True, wall=lambda: T0) as ledger:
        assert lost_at(ledger) == T0
        opened(ledger)


def test_gone_and_no_new_one_can_be_made(owned: SqliteLedger, path: Path) -> None:
    opened(owned)
    shutil.rmtree(path.parent)
    path.parent.write_text("in the way")
    for _ in range(2):
        assert not owned.is_writable()
        with pytest.raises(LedgerUnavailable, match=str(path)):
            opened(owned)
    path.parent.unlink()
    assert owned.is_writable()
    assert lost_at(owned) == T0


def test_the_log_of_a_lost_file_is_not_played_into_its_successor(owned: SqliteLedger, path: Path) -> None:
    opened(owned, "before")
    log = path.with_name("ledger.db-wal").read_bytes()
    assert log
    replace_by_another(path)
    assert owned.is_writable()
    assert lost_at(owned) == T0
    assert owned.open_incidents() == []
    assert path.with_name("ledger.db.lost-wal").read_bytes() == log, "nothing is thrown away"


def test_deleted_in_the_middle_of_a_write(path: Path) -> None:
    """Between BEGIN and COMMIT: the caller is not told that it was written."""
    armed = False

    def trace(statement: str) -> None:
        if armed and statement == "COMMIT":
            path.unlink()

    with SqliteLedger.open(path, owner=True, trace=trace) as ledger:
        attempt = planned(ledger, opened(ledger))
        armed = True
        with pytest.raises(LedgerUnavailable, match="deleted or replaced while it was written"):
            ledger.claim_attempt(attempt.id, at(2))
        armed = False
        assert ledger.is_writable()
        assert lost_at(ledger) is not None


def test_without_a_clock_given_the_loss_is_dated_by_the_system(path: Path) -> None:
    with SqliteLedger.open(path, owner=True) as ledger:
        path.unlink()
        assert ledger.is_writable()
        lost_at = ledger.lost_history_at
        assert lost_at is not None
        assert abs(lost_at.timestamp() - path.stat().st_ctime) < 5


def test_what_was_owed_since_the_start_is_done_in_a_new_ledger_and_hushes_up_no_loss(
    owned: SqliteLedger, path: Path
) -> None:
    def owed() -> None:
        owned.settle_start_up(at(1))
        owned.name_gateways({}, at(1))

    owned.owed_first = owed
    path.unlink()
    assert owned.is_writable(), "or no pass would ever come to tell of the loss"
    with pytest.raises(LedgerUnavailable, match="budgets before this moment are unknown"):
        opened(owned)
