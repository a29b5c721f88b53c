"""Recordings of earlier versions, whose passes left lists out (``still``), are read and decided as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.replay.tape import told
from watchdog.config import parse
from watchdog.replay.player import Player
from watchdog.replay.reader import Recording
from watchdog.replay.story import stories

FILES = sorted((Path(__file__).parent / "before").glob("*.jsonl"))


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_recording_of_before_is_decided_the_same_again(file: Path) -> None:
    lines = _lines(file)
    assert any('"still"' in line for line in lines)
    played = await Player(Recording([file]), parse("", file="none", env={}).policy_book).play()
    assert told(played.would) == told(played.was)
    assert played.was
    assert played.passes == len(lines) - 1
    assert [story.key for story in stories(played) if story.differs] == []
    assert played.notes == []
