"""Forward only, one transaction a step, each step on a file made by the one before."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from watchdog.core.policy import Step
from watchdog.ledger import schema
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite import LedgerFile
from watchdog.ledger.store import Access
from watchdog.service.errors import LedgerTooNew, LedgerUnavailable
from watchdog.service.ledger import Outcome

from .support import T0, child, die, exit_code, in_child, opened, query

LATEST = len(schema.MIGRATIONS)
ONE_MORE = (*schema.MIGRATIONS, ("ALTER TABLE incidents ADD COLUMN colour TEXT", "CREATE TABLE extra (a TEXT) STRICT"))
ONE_TORN = (*schema.MIGRATIONS, ("CREATE TABLE extra (a TEXT) STRICT", "this is not SQL"))


def made_by(path: Path, version: int) -> None:
    """A file as a program of ``version`` left it."""
    path.parent.mkdir(exist_ok=True, parents=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        schema.migrate(db, schema.MIGRATIONS[:version])
        assert schema.version_of(db) == version


def layout(path: Path) -> list[tuple[object, ...]]:
    return query(path, "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name")


@pytest.mark.parametrize("version", range(LATEST + 1))
def test_each_step_leads_from_the_one_before_to_the_latest(tmp_path: Path, version: int) -> None:
    old, fresh = tmp_path / "old" / "ledger.db", tmp_path / "fresh" / "ledger.db"
    made_by(old, version)
    for path in (old, fresh):
        with SqliteLedger.open(path, owner=True) as ledger:
            assert opened(ledger).is_open
    assert query(old, "PRAGMA user_version") == [(LATEST,)]
    assert layout(old) == layout(fresh)


@pytest.mark.parametrize("version", range(LATEST))
def test_each_single_step_applies(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.db"
    made_by(path, version)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        schema.migrate(db, schema.MIGRATIONS[: version + 1])
        assert schema.version_of(db) == version + 1
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_every_table_is_strict(owned: SqliteLedger, path: Path) -> None:
    tables = query(
        path, "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'"
    )
    assert len(tables) >= 10
    assert all(strict == 1 for _, strict in tables)


def test_what_was_written_survives_a_migration(owned: SqliteLedger, path: Path) -> None:
    incident = opened(owned)
    owned.close()
    file = LedgerFile(path, Access.OWNER, migrations=ONE_MORE)
    file.connect()
    with file.reading() as transaction:
        assert [row["id"] for row in transaction.execute("SELECT id, colour FROM incidents")] == [incident.id]
    file.close()
    assert query(path, "PRAGMA user_version") == [(LATEST + 1,)]


def test_incidents_and_attempts_of_an_older_ledger_are_read(path: Path) -> None:
    """One of before deliveries and addresses were kept."""
    made_by(path, 2)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            """
            INSERT INTO incidents (id, gateway, session, session_id, opened_at, verdict_reason, outcome, closed_at)
            VALUES ('i-1', 'home', 'main', 'sid-1', 1, 'OwnerGone', 'cleared', 9);
            INSERT INTO attempts (incident, number, step, idempotency_key, planned_at, state)
            VALUES ('i-1', 1, 'resume', 'k', 2, 'planned');
            """
        )
    with SqliteLedger.open(path, owner=True) as ledger:
        (incident,) = ledger.history()
        assert incident.outcome is Outcome.CLEARED
        (attempt,) = incident.attempts
        assert (attempt.delivered, attempt.address) == (None, None)
        ledger.note_delivery(attempt.id, False)
    with SqliteLedger.open_read_only(path) as reader:
        assert reader.history()[0].attempts[0].delivered is False


def test_messages_of_an_older_ledger_are_owed_to_every_target(path: Path) -> None:
    """One of before reminders, and before messages named their step."""
    made_by(path, 4)
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "INSERT INTO messages (dedupe_key, kind, gateway, title, body, created_at) VALUES ('k', 'stuck', 'home', 't', 'b', ?)",
            (int(T0.timestamp() * 1000),),
        )
        db.commit()
    with SqliteLedger.open(path, owner=True) as ledger:
        for target in ("phone", "mail"):
            (owed,) = ledger.due_messages(target, T0)
            assert (owed.message.target, owed.message.step, owed.message.at) == (None, None, T0)
        assert ledger.reminded("phone") == {}
        assert ledger.acks(T0) == []


def test_a_reader_of_an_older_ledger_says_what_to_do_and_changes_nothing(path: Path) -> None:
    made_by(path, LATEST - 1)
    with pytest.raises(LedgerUnavailable, match="older version"):
        SqliteLedger.open_read_only(path)
    assert query(path, "PRAGMA user_version") == [(LATEST - 1,)]


def test_a_reader_of_an_empty_file_says_that_it_is_empty(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(0o600)
    with pytest.raises(LedgerUnavailable, match=f"The ledger {path} is empty; start the daemon once"):
        SqliteLedger.open_read_only(path)
    assert path.stat().st_size == 0


def test_a_step_that_fails_leaves_the_file_as_it_was(owned: SqliteLedger, path: Path) -> None:
    owned.close()
    before = layout(path)
    file = LedgerFile(path, Access.OWNER, migrations=ONE_TORN)
    with pytest.raises(LedgerUnavailable):
        file.connect()
    file.close()
    assert layout(path) == before
    assert query(path, "PRAGMA user_version") == [(LATEST,)]


def test_only_the_owner_brings_an_old_ledger_up_to_date(owned: SqliteLedger, path: Path) -> None:
    owned.close()
    for access in (Access.WRITER, Access.READER):
        file = LedgerFile(path, access, migrations=ONE_MORE)
        with pytest.raises(LedgerUnavailable, match="older version"):
            file.connect()
        file.close()
    assert query(path, "PRAGMA user_version") == [(LATEST,)]


def newer(path: Path, *, leaves_wal: bool) -> None:
    """As a newer program would leave it; with ``leaves_wal`` the change stands in the -wal only (it was killed)."""
    with SqliteLedger.open(path, owner=True) as ledger:
        opened(ledger)
    if not leaves_wal:
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA user_version = {LATEST + 1}")
        return

    def killed() -> None:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(f"PRAGMA user_version = {LATEST + 1}")
        die()

    assert in_child(killed) == -9
    assert path.with_name("ledger.db-wal").stat().st_size > 0


@pytest.mark.parametrize("leaves_wal", [False, True])
def test_a_newer_ledger_is_refused_and_not_touched(path: Path, leaves_wal: bool) -> None:
    newer(path, leaves_wal=leaves_wal)
    files = [path, *([path.with_name("ledger.db-wal")] if leaves_wal else [])]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    ways: list[Callable[[], SqliteLedger]] = [
        lambda: SqliteLedger.open(path, owner=True),
        lambda: SqliteLedger.open(path, owner=True, tolerant=True),
        lambda: SqliteLedger.open(path),
        lambda: SqliteLedger.open_read_only(path),
    ]
    for open_it in ways:
        with pytest.raises(LedgerTooNew, match="newer version"):
            open_it()
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before


def test_another_programs_database_is_refused_and_not_touched(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE cookies (a)")
        db.commit()
    before = path.read_bytes()
    ways: list[Callable[[], SqliteLedger]] = [
        lambda: SqliteLedger.open(path, owner=True),
        lambda: SqliteLedger.open_read_only(path),
    ]
    for open_it in ways:
        with pytest.raises(LedgerUnavailable, match="some other program"):
            open_it()
    assert path.read_bytes() == before


def test_several_open_a_new_ledger_at_once(path: Path) -> None:
    path.parent.mkdir()
    go_read, go_write = os.pipe()

    def open_and_write(n: int) -> None:
        os.close(go_write)
        os.read(go_read, 1)
        with SqliteLedger.open(path, owner=n == 0) as mine:
            opened(mine, str(n))

    children = [child(partial(open_and_write, n)) for n in range(4)]
    os.close(go_read)
    os.close(go_write)
    assert [exit_code(pid) for pid in children] == [0] * 4
    with SqliteLedger.open(path, owner=True) as ledger:
        assert sorted(one.session for one in ledger.open_incidents()) == ["0", "1", "2", "3"]
        assert ledger.lost_history_at is None


def test_numbers_of_a_lost_ledger_name_nothing_in_its_successor(tmp_path: Path) -> None:
    with (
        SqliteLedger.open(tmp_path / "a.db", wall=lambda: T0) as one,
        SqliteLedger.open(tmp_path / "b.db", wall=lambda: T0) as two,
    ):
        assert one.id[:6] != two.id[:6], "one in sixteen million"
        ids = [
            ledger.plan_attempt(opened(ledger).id, step, T0, before=None, before_tail=None).id
            for ledger in (one, two)
            for step in Step
        ]
        assert len(set(ids)) == len(ids)
        assert one.created_at == T0


def test_nobody_ever_sees_a_ledger_between_two_versions(tmp_path: Path) -> None:
    """All steps that are missing are one transaction: the last one fails, and nothing of the first is there."""
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as db:
        with pytest.raises(sqlite3.OperationalError):
            schema.migrate(db, (*schema.MIGRATIONS, ("CREATE TABLE broken (",)))
        assert schema.version_of(db) == 0
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
