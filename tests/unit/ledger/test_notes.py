"""Handoff notes: whole, durable, ours alone, never overwritten."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from watchdog.adapters.notes import HandoffNotes
from watchdog.service.errors import LedgerUnavailable

from .conftest import SmallDisk
from .support import die, in_child

INCIDENT = "i20261120-0007-3fa9"


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

    assert notes.prune(before, keep={"i20261120-0008-3fa9"}) == 1

    assert names(notes) == sorted([kept.name, foreign.name, young.name])


def test_nothing_to_prune(notes: HandoffNotes) -> None:
    assert notes.prune(datetime(2026, 1, 1, tzinfo=UTC)) == 0
