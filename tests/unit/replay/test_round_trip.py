"""The same configuration decides the same: every incident of the corpus, recorded and replayed, deed for deed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.incidents.cases import Case, families
from tests.incidents.player import Player
from tests.unit.replay.tape import recorded, told
from watchdog.replay.codec import error_data, error_of
from watchdog.replay.player import Player as Replay
from watchdog.replay.reader import Recording
from watchdog.replay.story import stories
from watchdog.service import errors

CASES = [case for family in families() for case in family.cases]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
async def test_a_recorded_incident_is_decided_the_same_again(case: Case, tmp_path: Path) -> None:
    player = Player(case)
    player.watch = recorded(player.watch, tmp_path)
    await player.play()
    recording = Recording([tmp_path / f"{player.watch.gateway.name}.jsonl"])
    played = await Replay(recording, player.watch.book).play()
    assert told(played.would) == told(played.was)
    assert played.passes == player.played.passes
    assert [story.key for story in stories(played) if story.differs] == []
    assert not played.worlds, "nothing may be assumed where the same is done"
    assert played.notes == []


@pytest.mark.parametrize("said", [None, "UNAVAILABLE: not now"])
def test_who_answered_that_it_is_away_answers_so_again(said: str | None) -> None:
    """Only what was answered is paid for when it repeats."""
    back = error_of(error_data(errors.GatewayDraining("home: draining.", said), str))
    assert isinstance(back, errors.GatewayDraining)
    assert (back.said is None) is (said is None)
