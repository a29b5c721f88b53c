"""Handoff notes: whole, durable, ours alone, never overwritten; in files, and in the database of the ledger."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.postgresql import Server
from watchdog.adapters.clock import SystemClock
from watchdog.adapters.notes import HandoffNotes
from watchdog.ledger.ledger import LedgerRefused, SqlLedger
from watchdog.ledger.place import LedgerPlace
from watchdog.service.errors import LedgerError, LedgerUnavailable
from watchdog.service.ledger import Notes, Outcome

from .conftest import SmallDisk
from .support import at, die, in_child, opened, problem_of

INCIDENT = "i20261120-0007-3fa9"
WORDS = "where-is-the-crème-brûlée 🍮"

# ---------------------------------------------------------------- what both promise


@dataclass(slots=True)
class Kept:
    """One place for notes, and a look into it past the program."""

    notes: Notes
    incident: str
    texts: Callable[[], list[str]]
    spoil: Callable[[], object]
    """From now on nothing can be kept there."""
    forget: Callable[[], object]
    """The incident ended longer ago than anything is remembered."""


@pytest.fixture(params=["files", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    if request.param == "files":
        files = HandoffNotes(tmp_path / "state")

        def texts() -> list[str]:
            return [path.read_text("utf-8") for path in sorted(files.folder.glob("*.md"))]

        def spoil() -> None:
            for path in files.folder.glob("*"):
                path.unlink()
            files.folder.rmdir()
            files.folder.write_text("in the way")

        yield Kept(files, INCIDENT, texts, spoil, lambda: files.prune(datetime(2100, 1, 1, tzinfo=UTC)))
        return
    place: LedgerPlace = request.getfixturevalue("place")
    with place.open(owner=True) as ledger:
        incident = opened(ledger).id

        def forget() -> None:
            ledger.close_incident(incident, Outcome.RECOVERED, at(1))
            ledger.prune(at(2))

        yield Kept(
            ledger.note_texts, incident, lambda: table(place), lambda: table(place, "DROP TABLE note_texts"), forget
        )


def table(place: LedgerPlace, sql: str = "SELECT words FROM note_texts ORDER BY created_at, words") -> list[str]:
    with psycopg.connect(place.url or "", autocommit=True, options="-c search_path=openclaw_watchdog") as db:
        cursor = db.execute(sql.encode())
        return [row[0] for row in cursor] if cursor.description is not None else []


def test_a_note_is_kept_word_for_word(kept: Kept) -> None:
    assert kept.notes.save(kept.incident, 1, WORDS)
    assert kept.texts() == [WORDS]


def test_the_same_words_are_one_note_and_others_another(kept: Kept) -> None:
    where = kept.notes.save(kept.incident, 1, "first")
    assert kept.notes.save(kept.incident, 1, "first") == where
    kept.notes.save(kept.incident, 1, "second")
    kept.notes.save(kept.incident, 2, "second")
    assert sorted(kept.texts()) == ["first", "second", "second"]


def test_half_an_emoji_is_kept_as_a_sign(kept: Kept) -> None:
    kept.notes.save(kept.incident, 1, "a\ud83d")
    assert kept.texts() == ["a?"]


def test_a_long_note_is_kept_whole(kept: Kept) -> None:
    kept.notes.save(kept.incident, 1, "words " * 500_000)
    assert [len(text) for text in kept.texts()] == [3_000_000]


def test_what_cannot_be_kept_is_said_without_its_words(kept: Kept) -> None:
    kept.notes.save(kept.incident, 1, "first")
    kept.spoil()
    with pytest.raises(LedgerError) as caught:
        kept.notes.save(kept.incident, 2, WORDS)
    assert WORDS not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {caught.value.__cause__}"


def test_a_note_goes_with_its_incident(kept: Kept) -> None:
    kept.notes.save(kept.incident, 1, WORDS)
    kept.forget()
    assert kept.texts() == []


# ---------------------------------------------------------------- in the database


@pytest.fixture
def owned(place: LedgerPlace) -> Iterator[SqlLedger]:
    with place.open(owner=True) as ledger:
        yield ledger


def test_every_replica_and_every_verb_finds_it(place: LedgerPlace, tmp_path: Path) -> None:
    term = timedelta(seconds=30)
    elsewhere = LedgerPlace(tmp_path / "of another machine", SystemClock(), place.url)
    with place.open(owner=True, share_term=term) as first, elsewhere.open(owner=True, share_term=term) as second:
        incident = opened(first).id
        first.note_texts.save(incident, 1, "of the first")
        second.note_texts.save(incident, 1, "of the second")
        with place.open() as verb:
            verb.note_texts.save(incident, 2, "by hand")
    assert sorted(table(place)) == ["by hand", "of the first", "of the second"]
    assert not list(tmp_path.rglob("handoff"))


def test_it_says_where_the_note_is_without_its_words(owned: SqlLedger, place: LedgerPlace) -> None:
    incident = opened(owned).id
    where = owned.note_texts.save(incident, 1, WORDS)
    assert where == f"table note_texts of {owned.where}, incident {incident}"


def test_a_note_of_an_incident_that_is_gone_is_refused(owned: SqlLedger) -> None:
    with pytest.raises(LedgerRefused):
        owned.note_texts.save("i20200101-0001-ffff", 1, WORDS)
    assert not problem_of(owned)


def test_a_servers_log_has_none_of_its_words(owned: SqlLedger, place: LedgerPlace, server: Server) -> None:
    """As servers are set by default: they log each statement that fails."""
    log = server.folder / "log"
    owned.note_texts.save(opened(owned).id, 1, WORDS)
    before = log.read_text()
    with pytest.raises(LedgerRefused):
        owned.note_texts.save("i20200101-0001-ffff", 1, WORDS)
    table(place, "DROP TABLE note_texts")
    with pytest.raises(LedgerUnavailable):
        owned.note_texts.save("i20200101-0001-ffff", 2, WORDS)
    said = log.read_text().removeprefix(before)
    assert said.count("INSERT INTO note_texts") == 2, "it was logged"
    assert "brûlée" not in said


def test_who_writes_them_need_not_be_able_to_read_them(owned: SqlLedger, place: LedgerPlace, server: Server) -> None:
    owned.close()
    roles = (
        "CREATE ROLE keeper LOGIN",
        "GRANT USAGE ON SCHEMA openclaw_watchdog TO keeper",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA openclaw_watchdog TO keeper",
        "REVOKE SELECT, UPDATE, DELETE ON openclaw_watchdog.note_texts FROM keeper",
    )
    for statement in roles:
        table(place, statement)
    keeper = server.url(table(place, "SELECT current_database()")[0], "keeper")
    try:
        with LedgerPlace(place.folder, SystemClock(), keeper).open(owner=True) as ledger:
            incident = opened(ledger).id
            for _ in range(2):
                ledger.note_texts.save(incident, 1, WORDS)
            with pytest.raises(psycopg.errors.InsufficientPrivilege), closing(psycopg.connect(keeper)) as db:
                db.execute("SELECT words FROM openclaw_watchdog.note_texts")
            assert table(place) == [WORDS]
            ledger.close_incident(incident, Outcome.RECOVERED, at(1))
            assert ledger.prune(at(2)) == 1
        assert table(place) == []
    finally:
        table(place, "DROP OWNED BY keeper")
        table(place, "DROP ROLE keeper")


# ---------------------------------------------------------------- in files


@pytest.fixture
def notes(tmp_path: Path) -> HandoffNotes:
    return HandoffNotes(tmp_path / "state")


def names(notes: HandoffNotes) -> list[str]:
    return sorted(path.name for path in notes.folder.iterdir())


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_note_is_kept_for_us_alone(notes: HandoffNotes, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = Path(notes.save(INCIDENT, 2, "What we spoke of: crème brûlée 🍮\n"))
    finally:
        os.umask(before)
    assert path == notes.folder / f"{INCIDENT}-a2.md"
    assert path.is_absolute()
    assert path.read_text("utf-8") == "What we spoke of: crème brûlée 🍮\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(notes.folder.stat().st_mode) == 0o700
    assert path.stat().st_nlink == 1
    assert names(notes) == [path.name], "nothing half-written is left"


def test_a_loose_folder_is_tightened(notes: HandoffNotes) -> None:
    notes.folder.mkdir(parents=True)
    notes.folder.chmod(0o755)
    notes.save(INCIDENT, 1, "x")
    assert stat.S_IMODE(notes.folder.stat().st_mode) == 0o700


def test_a_note_is_never_overwritten(notes: HandoffNotes) -> None:
    first = notes.save(INCIDENT, 1, "first")
    assert notes.save(INCIDENT, 1, "first") == first, "the same words are the same note"
    second = notes.save(INCIDENT, 1, "second")
    assert second != first
    assert Path(first).read_text() == "first"
    assert Path(second).read_text() == "second"
    assert names(notes) == [f"{INCIDENT}-a1.2.md", f"{INCIDENT}-a1.md"]


def test_a_name_cannot_leave_the_folder(notes: HandoffNotes) -> None:
    assert Path(notes.save("../../etc/x", 1, "x")).parent == notes.folder


def test_text_cut_in_the_middle_of_an_emoji(notes: HandoffNotes) -> None:
    assert Path(notes.save(INCIDENT, 1, "a\ud83d")).read_text() == "a?"


def test_a_full_disk_leaves_no_note_and_says_so(small_disk: SmallDisk) -> None:
    notes = HandoffNotes(small_disk("64k"))
    notes.save(INCIDENT, 1, "small")
    with pytest.raises(LedgerUnavailable, match="make room there"):
        notes.save(INCIDENT, 2, "x" * 100_000)
    assert names(notes) == [f"{INCIDENT}-a1.md"]


def test_something_in_the_way(notes: HandoffNotes) -> None:
    notes.folder.parent.mkdir()
    notes.folder.write_text("a file")
    with pytest.raises(LedgerUnavailable, match="cannot be kept"):
        notes.save(INCIDENT, 1, "x")


def test_a_torn_note_of_a_killed_process_is_no_note(notes: HandoffNotes, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        monkeypatch.setattr(Path, "hardlink_to", lambda *_: die())  # after the text, before its name
        notes.save(INCIDENT, 1, "half")

    assert in_child(body) == -9
    assert [name for name in names(notes) if not name.startswith(".")] == []
    assert Path(notes.save(INCIDENT, 1, "whole")).read_text() == "whole"


def test_old_notes_go_except_those_kept_and_those_not_ours(notes: HandoffNotes) -> None:
    old = Path(notes.save(INCIDENT, 1, "old"))
    kept = Path(notes.save("i20261120-0008-3fa9", 1, "old, still open"))
    torn = notes.folder / f".{INCIDENT}-a9.77.tmp"
    foreign = notes.folder / "readme.txt"
    for path in (torn, foreign):
        path.write_text("x")
    for path in (old, kept, torn, foreign):
        os.utime(path, (0, 0))
    young = Path(notes.save(INCIDENT, 2, "young"))
    before = datetime.fromtimestamp(young.stat().st_mtime, UTC) - timedelta(days=1)

    assert notes.prune(before, lambda incident: incident == "i20261120-0008-3fa9") == 1

    assert names(notes) == sorted([kept.name, foreign.name, young.name])


def test_nothing_to_prune(notes: HandoffNotes) -> None:
    assert notes.prune(datetime(2026, 1, 1, tzinfo=UTC)) == 0
