"""The ledger in a PostgreSQL database: owned by one, lost and found, hung and cut. What it does is in the contract's tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, LiteralString

import psycopg
import pytest

from tests.postgresql import Server
from watchdog.adapters.clock import SystemClock
from watchdog.cli.app import main
from watchdog.core.leases import Lease, LeaseTiming
from watchdog.core.model import Moment
from watchdog.core.recovery import AttemptState
from watchdog.ledger import postgres, schema
from watchdog.ledger.ledger import LedgerRefused, SqliteLedger, SqlLedger
from watchdog.ledger.place import LedgerPlace
from watchdog.ledger.postgres import LongestWaits, PostgresStore
from watchdog.ledger.store import Access
from watchdog.service.errors import LedgerError, LedgerInUse, LedgerMisconfigured, LedgerTooNew, LedgerUnavailable
from watchdog.service.ledger import Stop
from watchdog.service.tenure import Tenure

from .support import T0, at, attempt_now, die, in_child, lost_at, opened, planned, problem_of, started, stuck

HOUR = timedelta(hours=1)
QUICK = LongestWaits(connect=2, answer=1.0, lock=0.3, pause=0.2)


def store_of(
    place: LedgerPlace, access: Access = Access.OWNER, *, url: str | None = None, **more: Any
) -> PostgresStore:
    return PostgresStore(url or place.url or "", access, SystemClock(), place.folder, **{"limits": QUICK, **more})


def ledger_of(place: LedgerPlace, access: Access = Access.OWNER, *, tolerant: bool = False, **more: Any) -> SqlLedger:
    return SqlLedger.connected(store_of(place, access, **more), tolerant=tolerant)


@pytest.fixture
def owned(place: LedgerPlace) -> Iterator[SqlLedger]:
    with ledger_of(place) as made:
        yield made


def psql(place: LedgerPlace, sql: LiteralString) -> list[tuple[Any, ...]]:
    """Past the ledger."""
    assert place.url is not None
    with psycopg.connect(place.url, autocommit=True, options="-c search_path=openclaw_watchdog") as db:
        cursor = db.execute(sql)
        return cursor.fetchall() if cursor.description is not None else []


def until_writable(ledger: SqlLedger, *, seconds: float = 20) -> bool:
    clock = SystemClock()
    end = clock.now().monotonic + seconds
    while not ledger.is_writable():
        if clock.now().monotonic > end:
            return False
    return True


# ---------------------------------------------------------------- one owner


def test_a_second_owner_learns_who_the_first_is(owned: SqlLedger, place: LedgerPlace, tmp_path: Path) -> None:
    elsewhere = LedgerPlace(tmp_path / "of another machine", SystemClock(), place.url)
    for tolerant in (False, True):
        with pytest.raises(LedgerInUse, match=rf"owned by process {os.getpid()} on \S+;") as caught:
            ledger_of(elsewhere, tolerant=tolerant)
        assert caught.value.pid == os.getpid()
    assert owned.is_writable()


def test_who_lost_it_to_another_learns_who_owns_it_now(owned: SqlLedger, place: LedgerPlace, tmp_path: Path) -> None:
    store: Any = owned._file
    store._drop()
    elsewhere = LedgerPlace(tmp_path / "of another machine", SystemClock(), place.url)
    with ledger_of(elsewhere, limits=LongestWaits(lock=5.0)):
        assert not owned.is_writable()
        assert owned.taken is not None
        assert owned.taken.pid == os.getpid()
    assert until_writable(owned)
    assert owned.taken is None


def test_a_state_folder_has_one_owner_whatever_its_ledger_is(
    owned: SqlLedger, place: LedgerPlace, server: Server
) -> None:
    for url in (server.database(), None):
        with pytest.raises(LedgerInUse):
            LedgerPlace(place.folder, SystemClock(), url).open(owner=True)


def test_ownership_ends_with_the_process(place: LedgerPlace) -> None:
    def killed() -> None:
        ledger_of(place)
        die()

    assert in_child(killed) == -9
    with ledger_of(place, limits=LongestWaits(lock=5.0)) as ledger:
        assert ledger.is_writable()


def test_verbs_and_readers_work_beside_the_owner(owned: SqlLedger, place: LedgerPlace) -> None:
    incident = opened(owned)
    with ledger_of(place, Access.WRITER) as verb, ledger_of(place, Access.READER) as reader:
        verb.pause(at=T0, until=None, gateway=None, session=None, reason="upgrade", who="ann")
        with pytest.raises(LedgerRefused, match="Only the owner"):
            verb.settle_start_up(T0)
        assert reader.open_incidents() == [incident]
        assert not reader.is_writable()
        with pytest.raises(LedgerRefused, match="read-only"):
            reader.audit(T0, "ann", "x", "y")
        second = opened(verb, "second", seconds=1)
        assert owned.open_incidents() == reader.open_incidents() == [incident, second], "what is written later is seen"
    assert len(owned.pauses(T0)) == 1
    with owned.reader() as another:
        assert len(another.open_incidents()) == 2


def test_only_the_daemon_makes_a_ledger(place: LedgerPlace) -> None:
    for look in (place.open_read_only, place.open):
        with pytest.raises(LedgerUnavailable, match=r"no ledger at postgresql://.* yet; the daemon makes it"):
            look()
    assert psql(place, "SELECT count(*) FROM pg_namespace WHERE nspname = 'openclaw_watchdog'") == [(0,)]


def test_a_write_waits_for_anothers_write_and_not_for_ever(owned: SqlLedger, place: LedgerPlace) -> None:
    attempt = planned(owned, opened(owned))
    with psycopg.connect(place.url or "") as other:
        other.execute("UPDATE openclaw_watchdog.layout SET commits = commits")
        with pytest.raises(LedgerUnavailable, match="locked by another session"):
            owned.claim_attempt(attempt.id, at(2))
        assert owned.charges("home", T0) == 0, "reading goes on"
        other.rollback()
    assert owned.claim_attempt(attempt.id, at(3))


def test_who_lost_the_session_of_its_lock_writes_nothing(owned: SqlLedger, place: LedgerPlace) -> None:
    """As behind a pooler that gives each transaction another session."""
    attempt = planned(owned, opened(owned))
    store: Any = owned._file
    store._session += 1
    with pytest.raises(LedgerUnavailable, match="pooler"):
        owned.claim_attempt(attempt.id, at(2))
    assert psql(place, "SELECT state FROM attempts") == [("planned",)]


def test_a_session_that_others_share_is_not_taken_for_an_owners(place: LedgerPlace) -> None:
    store: Any = store_of(place)
    own = {"autocommit": True, "cursor_factory": psycopg.ClientCursor, "row_factory": postgres._rows}
    with closing(postgres._Connection.connect(place.url or "", **own)) as shared:  # type: ignore[arg-type]
        shared.ask(b"SELECT pg_advisory_lock(%s, 1)", (schema.APPLICATION_ID,))
        with pytest.raises(LedgerUnavailable, match="pooler"):
            store._own(shared)
    store.close()


# ---------------------------------------------------------------- committed before sent


def test_a_claim_whose_commit_is_not_known_is_none(
    owned: SqlLedger, place: LedgerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = planned(owned, opened(owned))
    ask = postgres._Connection.ask

    def cut_after_commit(self: Any, sql: bytes, params: Any = None) -> Any:
        answer = ask(self, sql, params)
        if sql == b"COMMIT":
            self.pgconn.finish()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(postgres._Connection, "ask", cut_after_commit)
        with pytest.raises(LedgerUnavailable, match="closed the connection"):
            owned.claim_attempt(attempt.id, at(2))
    assert until_writable(owned)
    assert attempt_now(owned, attempt).state is AttemptState.STARTED, "it was written all the same"
    assert not owned.claim_attempt(attempt.id, at(3)), "and is never claimed again"
    assert lost_at(owned) is None


def test_a_transaction_that_the_server_took_back_is_no_success(owned: SqlLedger) -> None:
    def write() -> None:
        with owned._file.writing() as transaction, suppress(psycopg.Error):
            transaction.execute("SELECT 1 / 0")

    with pytest.raises(LedgerUnavailable, match="took a transaction back"):
        write()
    assert owned.is_writable()


def test_a_session_ended_halfway_leaves_nothing(owned: SqlLedger, place: LedgerPlace) -> None:
    def write() -> None:
        with owned._file.writing() as transaction:
            transaction.execute("INSERT INTO audit (at, who, what, detail) VALUES (1, 'a', 'b', 'c')")
            psql(
                place, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'openclaw%'"
            )

    with pytest.raises(LedgerUnavailable):
        write()
    assert until_writable(owned)
    assert owned.audit_trail() == []
    assert lost_at(owned) is None


def test_it_commits_durably_whatever_the_database_has_for_usual(place: LedgerPlace) -> None:
    name = psql(place, "SELECT current_database()")[0][0]
    with psycopg.connect(place.url or "", autocommit=True) as db:
        db.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    with ledger_of(place) as ledger, ledger._file.reading() as transaction:
        assert transaction.execute("SHOW synchronous_commit").fetchone()[0] == "on"


# ---------------------------------------------------------------- away, and back


def test_the_server_stops_and_comes_back(place: LedgerPlace, server: Server, tmp_path: Path) -> None:
    with ledger_of(place) as ledger:
        attempt = planned(ledger, opened(ledger))
        server.stop("immediate")
        try:
            with pytest.raises(LedgerUnavailable):
                ledger.claim_attempt(attempt.id, at(2))
            assert not ledger.is_writable()
            assert "cannot be used" in problem_of(ledger)
            with pytest.raises(LedgerUnavailable):
                LedgerPlace(tmp_path, SystemClock(), place.url).open(owner=True)
        finally:
            server.start()
        assert until_writable(ledger)
        assert not problem_of(ledger)
        assert lost_at(ledger) is None
        assert ledger.claim_attempt(attempt.id, at(3))


def test_a_server_that_is_away_at_the_start_is_waited_for(place: LedgerPlace, server: Server) -> None:
    server.stop("immediate")
    try:
        made = ledger_of(place, tolerant=True)
        assert problem_of(made)
    finally:
        server.start()
    with made as ledger:
        assert until_writable(ledger)
        assert opened(ledger).is_open


def test_a_server_that_hangs_is_given_up_in_time(
    owned: SqlLedger, place: LedgerPlace, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel goes on taking what is sent; and what it was about to do is over before anybody is the owner again."""
    attempt = planned(owned, opened(owned))
    clock = SystemClock()
    store: Any = owned._file
    server.signal(signal.SIGSTOP, store._session)
    stopped = store._session
    try:
        began = clock.now()
        with pytest.raises(LedgerUnavailable, match="did not answer within 1 s"):
            owned.claim_attempt(attempt.id, at(2))
        assert clock.now().since(began).total_seconds() < 2
        while "has not noticed yet" not in problem_of(owned):
            assert not owned.is_writable()
        in_the_pause = replace(clock.now(), monotonic=store._tries_again_at - 0.1)
        tries: list[None] = []
        with monkeypatch.context() as held:
            held.setattr(store, "_clock", SimpleNamespace(now=lambda: in_the_pause))
            held.setattr(type(store), "_opened", lambda _: tries.append(None))
            with pytest.raises(LedgerUnavailable):
                owned.open_incidents()
        assert not tries, "it is not tried at every question"
    finally:
        server.signal(signal.SIGCONT, stopped)
    assert until_writable(owned)
    assert owned.claim_attempt(attempt.id, at(3)) is (attempt_now(owned, attempt).started_at == at(3))


# ---------------------------------------------------------------- the way to the server


def test_what_is_one_statement_is_one_trip(
    owned: SqlLedger, place: LedgerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = opened(owned)
    tenure = Tenure("a", Lease.taken(1, 1, Moment(0.0, T0), LeaseTiming(HOUR), was_released=True), LeaseTiming(HOUR))
    owned.leases.take("a", 2, HOUR)
    fenced = owned.fenced(tenure, "home")
    questions: list[Callable[[], object]] = [
        lambda: owned.pauses(T0),
        lambda: owned.charges("home", T0),
        lambda: owned.notes(incident.id),
        lambda: owned.lost_history_at,
        lambda: owned.is_writable(HOUR),
        lambda: fenced.open_incidents("home"),
        lambda: fenced.is_writable(HOUR),
    ]
    for _ in range(2):  # what is asked for the first time takes more
        fenced.open_incidents("home")
        fenced.is_writable(HOUR)
    trips = 0
    wait = postgres._Connection.wait

    def counted(*args: Any, **named: Any) -> Any:
        nonlocal trips
        trips += 1
        return wait(*args, **named)

    monkeypatch.setattr(postgres._Connection, "wait", counted)
    for number, ask in enumerate(questions, start=1):
        ask()
        assert trips == number


def test_a_beat_asks_as_often_however_old_its_leases_are(owned: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every owner has an epoch of its own: what was handed to and fro for months is of as many epochs as shards, and a transaction has
    five seconds."""
    for end in range(24, 0, -1):
        owned.leases.take("a", end, timedelta(0))
    epochs = {one.id: one.epoch for one in owned.leases.fleet().shards if one.owner == "a"}
    assert len(set(epochs.values())) == 24
    trips = 0
    ask = postgres._Connection.ask

    def counted(self: Any, *args: Any) -> Any:
        nonlocal trips
        trips += 1
        return ask(self, *args)

    monkeypatch.setattr(postgres._Connection, "ask", counted)
    fleet = owned.leases.beat("a", "ann", epochs, HOUR)
    assert fleet.held_by() == {"a": 24}
    assert trips <= 8
    owned.leases.release("a", epochs)
    assert trips <= 11
    assert not owned.leases.fleet().held_by()


# ---------------------------------------------------------------- lost


def test_a_schema_dropped_under_us_is_a_loss(owned: SqlLedger, place: LedgerPlace) -> None:
    started(owned, opened(owned))
    psql(place, "DROP SCHEMA openclaw_watchdog CASCADE")
    with pytest.raises(LedgerUnavailable):
        opened(owned)
    assert until_writable(owned)
    with pytest.raises(LedgerUnavailable, match="history is lost"):
        opened(owned)
    assert lost_at(owned) is not None
    assert opened(owned).is_open


def test_a_copy_that_lacks_the_end_is_a_loss(owned: SqlLedger, place: LedgerPlace) -> None:
    """As after a fail-over to a standby that had not got everything."""
    attempt = planned(owned, opened(owned))
    psql(place, "UPDATE layout SET commits = commits - 2")
    with pytest.raises(LedgerUnavailable, match="replaced while it was in use"):
        owned.claim_attempt(attempt.id, at(2))
    assert psql(place, "SELECT state FROM attempts") == [("planned",)]
    assert until_writable(owned)
    assert lost_at(owned) is not None


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_loss_is_noticed_however_much_verbs_wrote_since(
    owned: SqlLedger, place: LedgerPlace, *, is_connected: bool
) -> None:
    attempt = planned(owned, opened(owned))
    psql(place, "UPDATE layout SET commits = commits - 1, owner_commits = owner_commits - 1")
    with ledger_of(place, Access.WRITER) as verb:
        for _ in range(3):
            verb.pause(at=T0, until=None, gateway=None, session=None, reason="upgrade", who="ann")
    if is_connected:
        with pytest.raises(LedgerUnavailable, match="replaced while it was in use"):
            owned.claim_attempt(attempt.id, at(2))
    else:
        store: Any = owned._file
        store._drop()
    assert until_writable(owned)
    assert lost_at(owned) is not None


def test_what_verbs_write_is_no_loss(owned: SqlLedger, place: LedgerPlace) -> None:
    with ledger_of(place, Access.WRITER) as verb:
        verb.pause(at=T0, until=None, gateway=None, session=None, reason="upgrade", who="ann")
        opened(owned)
        verb.pause(at=T0, until=None, gateway="g", session=None, reason="upgrade", who="ann")
    assert opened(owned, "second").is_open
    assert lost_at(owned) is None


@pytest.fixture
def shared(place: LedgerPlace, tmp_path: Path) -> Iterator[tuple[SqlLedger, SqlLedger]]:
    """One database, as two replicas have it."""
    elsewhere = LedgerPlace(tmp_path / "of another machine", SystemClock(), place.url)
    with ledger_of(place, is_shared=True) as first, ledger_of(elsewhere, is_shared=True) as second:
        yield first, second


@pytest.mark.parametrize("is_connected", [True, False])
@pytest.mark.parametrize("had_joined", [True, False])
def test_a_loss_is_noticed_however_much_another_replica_wrote_since(
    shared: tuple[SqlLedger, SqlLedger], place: LedgerPlace, *, is_connected: bool, had_joined: bool
) -> None:
    """A standby that had not got the last commit of one, and that the other reached first."""
    first, second = shared
    attempt = planned(first, opened(first))
    psql(place, "CREATE TABLE old_layout AS TABLE layout; CREATE TABLE old_owners AS TABLE owners")
    first.pause(at=T0, until=None, gateway=None, session=None, reason="upgrade", who="ann")
    psql(
        place,
        "UPDATE layout SET (commits, owner_commits) = (SELECT commits, owner_commits FROM old_layout);"
        "UPDATE owners SET commits = o.commits FROM old_owners o WHERE o.id = owners.id",
    )
    if not had_joined:
        psql(place, "DELETE FROM owners WHERE commits = (SELECT max(commits) FROM owners)")
    for number in range(3):
        opened(second, f"of the other {number}")
    assert lost_at(second) is None, "it lacks nothing of its own"
    if is_connected:
        with pytest.raises(LedgerUnavailable, match="replaced while it was in use"):
            first.claim_attempt(attempt.id, at(2))
    else:
        store: Any = first._file
        store._drop()
    assert until_writable(first)
    assert lost_at(first) is not None
    assert lost_at(second) is not None, "everybody holds deeds"
    assert opened(first).is_open


def test_what_another_replica_writes_is_no_loss(shared: tuple[SqlLedger, SqlLedger], place: LedgerPlace) -> None:
    with ledger_of(place, Access.WRITER) as verb:
        for number in range(3):
            for ledger in (*shared, verb):
                opened(ledger, f"{number}")
                store: Any = ledger._file
                store._drop()
    for ledger in shared:
        assert until_writable(ledger)
        assert lost_at(ledger) is None


def test_the_count_of_a_replica_that_is_long_gone_is_deleted(place: LedgerPlace) -> None:
    with ledger_of(place, is_shared=True) as ledger:
        opened(ledger)
    (gone,) = psql(place, "SELECT id FROM owners")
    for more, is_kept in ((postgres.FORGOTTEN_AFTER, True), (1, False)):
        with psycopg.connect(place.url or "", autocommit=True) as db:
            db.execute("UPDATE openclaw_watchdog.layout SET commits = commits + %s - 1", (more,))
        with ledger_of(place, is_shared=True) as ledger:
            assert (gone in psql(place, "SELECT id FROM owners")) is is_kept
            opened(ledger)


def with_an_earlier_ledger(folder: Path) -> LedgerPlace:
    """A state folder whose last ledger was a file."""
    with LedgerPlace(folder, SystemClock()).open(owner=True):
        return LedgerPlace(folder, SystemClock())


def test_a_replica_that_joins_with_an_earlier_ledger_of_its_own_is_no_loss(
    shared: tuple[SqlLedger, SqlLedger], place: LedgerPlace, tmp_path: Path
) -> None:
    joining = with_an_earlier_ledger(tmp_path / "of a third machine")
    for _ in range(2):
        with ledger_of(joining, is_shared=True, url=place.url) as third:
            assert opened(third).is_open
            assert lost_at(third) is None
    assert lost_at(shared[0]) is None


@pytest.mark.parametrize("is_another_here", [True, False])
def test_nobody_who_has_not_looked_says_that_it_is_no_loss(
    place: LedgerPlace, tmp_path: Path, *, is_another_here: bool
) -> None:
    """Two that start at once, after theirs was replaced; and one alone, where others were before."""
    with ledger_of(place, is_shared=True):
        pass
    joining = with_an_earlier_ledger(tmp_path / "of another machine")
    with psycopg.connect(place.url or "", autocommit=True, application_name="openclaw-watchdog 1@there 0123abcd") as db:
        if is_another_here:
            db.execute("SELECT pg_advisory_lock_shared(%s, 1)", (schema.APPLICATION_ID,))
        with ledger_of(joining, is_shared=True, url=place.url) as ledger:
            assert lost_at(ledger) is not None


def test_another_ledger_while_it_runs_is_a_loss_whoever_else_is_there(
    shared: tuple[SqlLedger, SqlLedger], place: LedgerPlace
) -> None:
    first, second = shared
    assert opened(second).is_open
    psql(place, "UPDATE meta SET ledger_id = 'ffff0000ffff0000'")
    assert not first.is_writable()
    assert until_writable(first)
    assert lost_at(first) is not None


def test_another_database_than_last_time_is_a_loss(place: LedgerPlace, server: Server) -> None:
    with ledger_of(place) as ledger:
        assert lost_at(ledger) is None
    for url, is_lost in ((server.database(), True), (None, True)):
        with LedgerPlace(place.folder, SystemClock(), url).open(owner=True) as other:
            assert (lost_at(other) is not None) is is_lost
    with SqliteLedger.open(place.path, owner=True) as file:
        assert lost_at(file) is not None, "until somebody accepts it"


@pytest.mark.parametrize("emptied", ["layout", "meta"])
def test_a_ledger_restored_without_a_row_that_it_needs(place: LedgerPlace, emptied: str) -> None:
    with ledger_of(place) as ledger:
        assert ledger.is_writable()
        psql(place, "DELETE FROM layout" if emptied == "layout" else "DELETE FROM meta")
        assert not ledger.is_writable()
        assert not until_writable(ledger, seconds=1)
        assert "put back a copy" in problem_of(ledger)
        with pytest.raises(LedgerUnavailable):
            ledger.open_incidents()


def test_a_restore_adds_no_second_layout(owned: SqlLedger, place: LedgerPlace) -> None:
    with pytest.raises(psycopg.IntegrityError):
        psql(place, 'INSERT INTO layout ("only", version, commits, owner_commits) VALUES (1, 1, 1, 1)')
    with pytest.raises(psycopg.IntegrityError):
        psql(place, 'INSERT INTO layout ("only", version, commits, owner_commits) VALUES (2, 1, 1, 1)')


# ---------------------------------------------------------------- versions


def test_a_newer_layout_is_refused_and_left_alone(place: LedgerPlace) -> None:
    with ledger_of(place):
        pass
    psql(place, "UPDATE layout SET version = version + 1")
    for access in Access:
        with pytest.raises(LedgerTooNew, match="written by a newer version"):
            ledger_of(place, access)
    assert psql(place, "SELECT version FROM layout") == [(len(schema.MIGRATIONS) + 1,)]


def test_tables_that_a_newer_replica_brought_up_are_not_written_to_by_one_that_runs(place: LedgerPlace) -> None:
    with ledger_of(place) as ledger:
        psql(place, "UPDATE layout SET version = version + 1")
        before = psql(place, "SELECT commits FROM layout")
        for use in (lambda: ledger.owe([], T0), lambda: ledger.prune(T0), ledger.history):
            with pytest.raises(LedgerTooNew, match="written by a newer version") as caught:
                use()
            assert "\n" not in str(caught.value)
        assert not ledger.is_writable()
        assert psql(place, "SELECT commits FROM layout") == before
        psql(place, "UPDATE layout SET version = version - 1")  # put back: nothing of it sticks
        ledger.prune(T0)


def test_a_newer_program_that_was_faster_is_not_undone(place: LedgerPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It brings the layout up between our look and our turn to do it."""
    with closing(store_of(place, migrations=schema.MIGRATIONS[:3])) as store:
        store.connect()
    migrate = PostgresStore._migrate

    def too_late(self: PostgresStore, db: Any) -> None:
        psql(place, "UPDATE layout SET version = 1000")
        migrate(self, db)

    monkeypatch.setattr(PostgresStore, "_migrate", too_late)
    with pytest.raises(LedgerTooNew):
        ledger_of(place)
    assert psql(place, "SELECT version FROM layout") == [(1000,)]


def test_who_finds_it_brought_up_leaves_the_layout_as_it_is(place: LedgerPlace) -> None:
    store: Any = store_of(place)
    with closing(store):
        store.connect()
        made = psql(place, "SELECT xmin::text, version FROM layout")
        store._migrate(store._db)
    assert psql(place, "SELECT xmin::text, version FROM layout") == made


def test_a_new_ledger_is_made_in_a_few_questions(place: LedgerPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes as long as the way to the server, and a transaction has five seconds: one by one, the tables' statements took
    longer than that on a server 200 ms away, and no ledger could be made there."""
    asked, since_the_limit, most = 0, 0, 0
    ask, limited = postgres._Connection.ask, PostgresStore._limited

    def counted(self: Any, *args: Any) -> Any:
        nonlocal asked, since_the_limit, most
        asked, since_the_limit = asked + 1, since_the_limit + 1
        most = max(most, since_the_limit)
        return ask(self, *args)

    def begins(self: Any, db: Any) -> Any:
        nonlocal since_the_limit
        since_the_limit = 0
        return limited(self, db)

    monkeypatch.setattr(postgres._Connection, "ask", counted)
    monkeypatch.setattr(PostgresStore, "_limited", begins)
    with ledger_of(place):
        assert asked < 40
        assert most <= 16


def test_an_older_layout_is_brought_up_by_the_owner_alone(place: LedgerPlace) -> None:
    for_then = schema.MIGRATIONS[:3]
    with closing(store_of(place, migrations=for_then)) as store:
        store.connect()
        with store.writing() as transaction:
            transaction.execute(
                "INSERT INTO incidents (id, gateway, session, opened_at, verdict_reason) VALUES ('i1', 'g', 's', 1, 'r')"
            )
            for number, key in enumerate(("ocw-0123456789abcdef0123-1", "ocw-i20261120-0001-3fa9-2"), start=1):
                transaction.execute(
                    "INSERT INTO attempts (incident, number, step, idempotency_key, planned_at) VALUES ('i1', ?, 'resume', ?, 1)",
                    number,
                    key,
                )
    for access in (Access.READER, Access.WRITER):
        with pytest.raises(LedgerUnavailable, match="of an older version"):
            ledger_of(place, access)
    with ledger_of(place) as ledger:
        assert [one.number for one in ledger.history()[0].attempts] == [1, 2]
        assert lost_at(ledger) is None
    assert psql(place, "SELECT run FROM attempts ORDER BY id") == [("0123456789abcdef0123",), (None,)]


def test_both_have_the_same_tables_columns_and_indexes(owned: SqlLedger, place: LedgerPlace) -> None:
    here: dict[str, set[str]] = {}
    for table, column in psql(
        place, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'openclaw_watchdog'"
    ):
        here.setdefault(table, set()).add(column)
    indexes = {
        name for (name,) in psql(place, "SELECT indexname FROM pg_indexes WHERE schemaname = 'openclaw_watchdog'")
    }
    with SqliteLedger.in_memory() as memory, memory._file.reading() as transaction:
        names = transaction.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        there = {
            row["name"]: {column["name"] for column in transaction.execute(f"PRAGMA table_info({row['name']})")}
            for row in names
            if row["type"] == "table" and not row["name"].startswith("sqlite_")
        }
        made = {row["name"] for row in names if row["type"] == "index" and row["sql"] is not None}
    assert here == {**there, "layout": {"only", "version", "commits", "owner_commits"}}
    assert made <= indexes


# ---------------------------------------------------------------- roles, text, words


class YearAhead(SystemClock):
    def now(self) -> Moment:
        now = super().now()
        return Moment(now.monotonic, now.wall + timedelta(days=365))


def test_a_replica_whose_clock_is_ahead_takes_no_pause_and_no_stop_from_the_others(place: LedgerPlace) -> None:
    ahead = LedgerPlace(place.folder, YearAhead(), place.url)
    with ahead.open(owner=True) as ledger:
        now = SystemClock().now().wall
        ledger.pause(at=now, until=now + timedelta(days=7), gateway="home", session=None, reason="hands off", who="ann")
        ledger.note_stop(Stop("home", "main", "sid", now, now))
        ledger.prune(ahead.clock.now().wall - timedelta(days=90))
        assert [one.reason for one in ledger.pauses(now)] == ["hands off"]
        assert ledger.stops("home", "main")


def test_a_role_without_the_right_to_make_tables_runs_it(owned: SqlLedger, place: LedgerPlace, server: Server) -> None:
    owned.close()
    name = psql(place, "SELECT current_database()")[0][0]
    psql(place, "CREATE ROLE runner LOGIN")
    runner = server.url(name, "runner")
    with pytest.raises(LedgerUnavailable, match="USAGE on it and SELECT"):
        ledger_of(place, url=runner)
    psql(place, "GRANT USAGE ON SCHEMA openclaw_watchdog TO runner")
    psql(place, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA openclaw_watchdog TO runner")
    with ledger_of(place, url=runner) as ledger:
        assert ledger.is_writable()
        started(ledger, opened(ledger))
        ledger.owe([stuck("k")], T0)
        assert ledger.prune(T0) == 0
        assert lost_at(ledger) is None
    psql(place, "DROP OWNED BY runner")
    psql(place, "DROP ROLE runner")


def test_text_that_postgresql_does_not_take(owned: SqlLedger) -> None:
    incident = opened(owned, "half \ud83d an emoji, a \0, a % and a \\ and a '")
    assert incident.session == "half ? an emoji, a \N{SYMBOL FOR NULL}, a % and a \\ and a '"
    assert opened(owned, "half \ud83d an emoji, a \0, a % and a \\ and a '") == incident


def test_text_that_no_index_takes_is_refused_and_ends_nothing(owned: SqlLedger) -> None:
    store: Any = owned._file
    session = store._session
    with pytest.raises(LedgerRefused, match="refused a write"):
        opened(owned, "".join(chr(0x1F300 + 7919 * place % 0x2FF) for place in range(1000)))
    assert not problem_of(owned)
    assert opened(owned).is_open
    assert store._session == session


def test_a_database_that_is_only_read(place: LedgerPlace) -> None:
    name = psql(place, "SELECT current_database()")[0][0]
    with psycopg.connect(place.url or "", autocommit=True) as db:
        db.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    with ledger_of(place, tolerant=True) as ledger:
        assert not ledger.is_writable()
        assert "read-only" in problem_of(ledger)


def test_a_database_in_another_encoding(place: LedgerPlace, server: Server) -> None:
    with psycopg.connect(place.url or "", autocommit=True) as db:
        db.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(LedgerUnavailable, match="not in UTF8"):
        ledger_of(place, url=server.url("latin"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2hunter2@127.0.0.1:1/ledger?sslmode=disable&password=hunter2hunter2",
        "postgresql://ann:hun/hunter2hunter2@127.0.0.1/ledger",
        "postgresql://ann:hun%ter2hunter2@127.0.0.1:hunter2hunter2/ledger?nonsense=hunter2hunter2",
        "postgresql:///?service=of-hunter2-no&passfile=/hunter2hunter2",
    ],
)
def test_a_password_is_never_said(url: str, tmp_path: Path) -> None:
    place = LedgerPlace(tmp_path, SystemClock(), url)
    with pytest.raises(LedgerError) as caught:
        place.open(owner=True)
    chain = f"{caught.value!r} {caught.value} {caught.value.__cause__} {place!r}"
    assert "hunter2hunter2" not in chain
    assert str(caught.value).count(".") >= 1


def test_without_psycopg_it_says_what_to_install(place: LedgerPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchdog.ledger.postgres", None)
    with pytest.raises(LedgerMisconfigured, match=r"install openclaw-watchdog\[postgresql\]"):
        place.open()


@pytest.mark.parametrize("verb", ["run", "history", "pause"])
@pytest.mark.parametrize("lacks", ["psycopg", "a URL"])
def test_what_only_an_edit_or_an_install_mends_ends_with_78(
    verb: str, lacks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """systemd's units start a daemon again after everything else."""
    if lacks == "psycopg":
        monkeypatch.setitem(sys.modules, "watchdog.ledger.postgres", None)
    url = "postgresql://127.0.0.1:1/ledger" if lacks == "psycopg" else "postgresql://127.0.0.1/ledger?nonsense=1"
    config = tmp_path / "watchdog.yaml"
    config.write_text(
        f"gateways: [{{name: home, url: 'ws://127.0.0.1:1'}}]\nledger: {url}\nstate_dir: {tmp_path / 'state'}\n"
    )
    monkeypatch.setattr("watchdog.cli.run.give_large_blocks_back", lambda: None)
    monkeypatch.setattr("sys.argv", ["openclaw-watchdog", verb, "--config", str(config)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 78
    said = [line for line in capsys.readouterr().err.splitlines() if "ledger:" in line]
    assert len(said) == 1
    assert ("install openclaw-watchdog[postgresql]" if lacks == "psycopg" else "this is no URL") in said[0]
