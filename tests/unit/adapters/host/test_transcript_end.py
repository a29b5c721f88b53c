"""The end of a session's transcript file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from watchdog.adapters.host import LocalHost


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "agents" / "main" / "sessions"
    made.mkdir(parents=True)
    return made


def test_its_lines(tmp_path: Path, folder: Path, host: LocalHost) -> None:
    (folder / "s-1.jsonl").write_bytes(b"one\ntwo\n")
    assert host.transcript_end(tmp_path, "main", "s-1") == b"one\ntwo\n"


def test_of_a_long_one_the_last_whole_lines(tmp_path: Path, folder: Path, host: LocalHost) -> None:
    (folder / "s-1.jsonl").write_bytes(b"x" * 2_000_000 + b"\n" + b"last\n")
    assert host.transcript_end(tmp_path, "main", "s-1") == b"last\n"


def test_one_that_is_not_there_or_no_plain_file_says_nothing(tmp_path: Path, folder: Path, host: LocalHost) -> None:
    assert host.transcript_end(tmp_path, "main", "s-1") is None
    (tmp_path / "secret").write_bytes(b"one\n")
    (folder / "s-2.jsonl").symlink_to(tmp_path / "secret")
    assert host.transcript_end(tmp_path, "main", "s-2") is None
    os.mkfifo(folder / "s-3.jsonl")
    assert host.transcript_end(tmp_path, "main", "s-3") is None


def test_no_id_leads_out_of_the_folder(tmp_path: Path, folder: Path, host: LocalHost) -> None:
    (folder.parent / "x.jsonl").write_bytes(b"one\n")
    assert host.transcript_end(tmp_path, "main", "../x") is None
