"""What a change of the configuration's file looks like from outside, with real files and a clock set by hand."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from watchdog.core.model import Moment
from watchdog.daemon.file_watch import SETTLED, FileChange, FileWatch, mark_of

START = Moment(1000.0, datetime(2026, 9, 14, tzinfo=UTC))
A_LITTLE = timedelta(milliseconds=100)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "watchdog.yaml"
    place.write_text("poll_every: 30s\n", "utf-8")
    return place


def _settles(watch: FileWatch) -> None:
    assert watch.look(START) is FileChange.CHANGING
    assert watch.look(START.plus(SETTLED - A_LITTLE)) is FileChange.CHANGING
    assert watch.look(START.plus(SETTLED)) is FileChange.CHANGED
    watch.taken()
    assert watch.look(START.plus(2 * SETTLED)) is FileChange.SAME


def test_a_file_left_alone(file: Path) -> None:
    watch = FileWatch([file])
    assert {watch.look(START.plus(timedelta(seconds=second))) for second in range(10)} == {FileChange.SAME}


def test_written_in_place(file: Path) -> None:
    watch = FileWatch([file])
    file.write_text("poll_every: 31s\n", "utf-8")
    _settles(watch)


def test_replaced_by_an_editor_with_the_very_same_size_and_time(file: Path) -> None:
    watch = FileWatch([file])
    before = file.stat()
    draft = file.with_suffix(".new")
    draft.write_text("poll_every: 31s\n", "utf-8")
    os.utime(draft, ns=(before.st_atime_ns, before.st_mtime_ns))
    draft.replace(file)
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    _settles(watch)


def test_a_link_that_points_elsewhere_now(tmp_path: Path) -> None:
    """How a mounted ConfigMap changes."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "watchdog.yaml").write_text("poll_every: 30s\n", "utf-8")
    data, file = tmp_path / "data", tmp_path / "watchdog.yaml"
    data.symlink_to("one")
    file.symlink_to("data/watchdog.yaml")
    watch = FileWatch([file])
    swap = tmp_path / "swap"
    swap.symlink_to("two")
    swap.replace(data)
    _settles(watch)


def test_while_it_is_being_written_nobody_reads_it(file: Path) -> None:
    watch = FileWatch([file])
    now = START
    for line in range(5):
        with file.open("a", encoding="utf-8") as stream:
            stream.write(f"# {line}\n")
        assert watch.look(now) is FileChange.CHANGING
        now = now.plus(SETTLED - A_LITTLE)
    assert watch.look(now) is FileChange.CHANGING
    assert watch.look(now.plus(A_LITTLE)) is FileChange.CHANGED


def test_put_back_before_anybody_read_it(file: Path) -> None:
    watch = FileWatch([file])
    aside = file.with_suffix(".aside")
    file.rename(aside)
    assert watch.look(START) is FileChange.CHANGING
    aside.rename(file)
    assert watch.look(START.plus(SETTLED)) is FileChange.SAME


def test_gone_and_made_anew(file: Path) -> None:
    watch = FileWatch([file])
    file.unlink()
    assert mark_of(file) is None
    _settles(watch)
    file.write_text("poll_every: 30s\n", "utf-8")
    _settles(watch)


def test_a_file_that_was_not_there_at_the_start(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    watch = FileWatch([first, second])
    second.write_text("x", "utf-8")
    _settles(watch)


def test_other_files_from_now_on(file: Path, tmp_path: Path) -> None:
    """A file that was looked at before keeps its mark, so that a change made meanwhile is not lost."""
    watch, other = FileWatch([file]), tmp_path / "other.yaml"
    file.write_text("poll_every: 99s\n", "utf-8")
    watch.watch([other, file])
    assert watch.look(START) is FileChange.CHANGING
    other.write_text("x", "utf-8")
    assert watch.look(START.plus(SETTLED)) is FileChange.CHANGING
    assert watch.look(START.plus(2 * SETTLED)) is FileChange.CHANGED


def test_a_path_nobody_can_look_at() -> None:
    assert mark_of(Path("/proc/self/mem/none")) is None
    assert mark_of(Path("nul\0byte")) is None
