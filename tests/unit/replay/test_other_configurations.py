"""What another configuration would have done, and what is assumed where the recorded world went another way."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.builders import V96, V518, budget, dead, policy, tail_of, vague
from tests.fakes.clock import START
from tests.fakes.world import POLL
from tests.unit.replay.tape import TapedWorld, told
from watchdog.core.model import Status, TailKind
from watchdog.core.policy import Match, Mode, Policy, PolicyBook, Recovery, Step, Thresholds
from watchdog.replay.gateway import SessionCourse
from watchdog.replay.player import Played
from watchdog.replay.story import deeds, facts, stories
from watchdog.service.events import Event

KEY = dead().key
MINUTE = timedelta(minutes=1)


def book(*policies: Policy, default: Policy | None = None) -> PolicyBook:
    return PolicyBook(policies, default or Policy("default"))


def after(minutes: float, **recovery: Any) -> PolicyBook:
    return book(default=policy(thresholds={"stuck_after": minutes * MINUTE}, **recovery))


def when(played: Played, name: Event, key: str = KEY, *, was: bool = False) -> list[timedelta]:
    """How long after the recording's beginning, to the pass."""
    return [
        one.at - START.wall for one in (played.was if was else played.would) if one.name is name and one.session == key
    ]


async def a_recovered_session(folder: Path) -> TapedWorld:
    """Stuck from the beginning; resumed after 20 minutes as shipped; watched for an hour."""
    world = TapedWorld.in_folder(folder)
    world.gateway.put(dead())
    world.gateway.see(KEY, tail=tail_of(at=START.wall - MINUTE))
    await world.live(hours=1)
    assert world.steps == [Step.RESUME]
    return world


async def test_a_shorter_threshold_acts_earlier_and_what_follows_is_called_an_assumption(tmp_path: Path) -> None:
    world = await a_recovered_session(tmp_path)
    played = await world.replayed(after(10))
    (at,), (then,) = when(played, Event.RECOVERY_STARTED), when(played, Event.RECOVERY_STARTED, was=True)
    assert 10 * MINUTE <= at < 11 * MINUTE
    assert 20 * MINUTE <= then < 21 * MINUTE
    assert played.worlds == {KEY: {SessionCourse.ASSUMED_RECOVERED}}
    assert [one.is_assumed for one in played.would if one.name is Event.RECOVERY_SUCCEEDED] == [True]
    assert not any(one.is_assumed for one in played.was)
    assert played.lent >= 1


async def test_a_longer_threshold_acts_later_on_the_session_as_it_was(tmp_path: Path) -> None:
    world = await a_recovered_session(tmp_path)
    played = await world.replayed(after(40))
    (at,) = when(played, Event.RECOVERY_STARTED)
    assert 40 * MINUTE <= at < 41 * MINUTE
    assert SessionCourse.HELD_BACK in played.worlds[KEY]


async def test_a_policy_that_only_tells_leaves_it_stuck_to_the_end(tmp_path: Path) -> None:
    world = await a_recovered_session(tmp_path)
    tells = Policy("tells", Thresholds(), Recovery(ladder=(Step.NOTIFY,)), Match(key=(KEY,)))
    played = await world.replayed(book(tells))
    assert deeds(played.would) == {}
    assert deeds(played.was) == {"resume": 1}
    (story,) = [one for one in stories(played) if one.key == KEY]
    assert story.differs
    assert [line.what for line in story.would] == ["suspect", "stuck", "told"]
    assert story.assumptions == [SessionCourse.HELD_BACK]
    assert not when(played, Event.SESSION_CLEARED), "what the resumed turn did then is no part of this story"


async def test_observe_mode_names_what_holds(tmp_path: Path) -> None:
    world = await a_recovered_session(tmp_path)
    played = await world.replayed(after(20, mode=Mode.OBSERVE))
    (held,) = [one for one in played.would if one.name is Event.RECOVERY_HELD]
    assert held.fields["blockers"] == ["observe_mode"]


async def test_a_harsher_step_than_the_recorded_one(tmp_path: Path) -> None:
    world = await a_recovered_session(tmp_path)
    played = await world.replayed(after(20, ladder=(Step.NEW,)))
    assert deeds(played.would) == {"new": 1}
    assert played.worlds[KEY] >= {SessionCourse.ASSUMED_RECOVERED}


async def test_what_happened_after_the_assumed_recovery_is_followed_again(tmp_path: Path) -> None:
    """A later run of the session hangs too: that is judged from the recording, not assumed."""
    world = TapedWorld.in_folder(tmp_path, book=after(20, mode=Mode.OBSERVE))
    world.gateway.put(dead())
    world.gateway.see(KEY, tail=tail_of(at=START.wall - MINUTE))
    await world.live(minutes=40)
    again = world.clock.now().wall
    world.gateway.change(KEY, started_at=again, updated_at=again, has_active_run=True, status=Status.RUNNING)
    await world.live(minutes=5)
    world.gateway.change(KEY, has_active_run=False)
    world.gateway.see(KEY, tail=tail_of(fingerprint="later", at=world.clock.now().wall))
    await world.live(minutes=40)
    played = await world.replayed(after(20))
    first, second = when(played, Event.RECOVERY_STARTED)
    assert 20 * MINUTE <= first < 21 * MINUTE
    assert 64 * MINUTE <= second < 67 * MINUTE
    assert deeds(played.was) == {}


async def test_a_look_that_nobody_made_and_nobody_can_know_holds_the_deed(tmp_path: Path) -> None:
    """The transcript grew after the moment this configuration asks about: how it ended then is not known."""
    world = TapedWorld.in_folder(tmp_path)
    world.gateway.put(dead())
    world.gateway.see(KEY, tail=tail_of(TailKind.REQUEST, at=START.wall + 18 * MINUTE))
    await world.live(minutes=25)
    played = await world.replayed(after(5))
    held = [one.fields["blockers"] for one in played.would if one.name is Event.RECOVERY_HELD]
    assert held[0] == ["transcript_unknown"]
    assert played.unknown
    (at,) = when(played, Event.RECOVERY_STARTED)
    assert at >= 18 * MINUTE


async def test_deeds_before_the_recording_count_against_the_budget(tmp_path: Path) -> None:
    tight = book(default=policy(budget=budget(1)))
    world = TapedWorld.in_folder(tmp_path, book=tight)
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    assert world.steps == [Step.RESUME]
    world.file.unlink()
    world.die_and_start_again()
    await world.live(minutes=30)
    played = await world.replayed()
    assert told(played.would) == told(played.was)
    assert deeds(played.would) == {}
    assert deeds((await world.replayed(book(default=policy(budget=budget(3))))).would) != {}


@pytest.mark.parametrize("version", [V518, V96])
async def test_a_restart_of_the_daemon_and_a_pause_are_played_too(tmp_path: Path, version: str) -> None:
    world = TapedWorld.in_folder(tmp_path, version=version)
    world.gateway.put(dead())
    await world.live(minutes=10)
    world.ledger.pause(
        at=world.clock.now().wall, until=None, gateway=None, session=None, reason="our secret launch", who="ann"
    )
    await world.live(minutes=15)
    world.die_and_start_again()
    await world.live(minutes=25)
    world.ledger.unpause(at=world.clock.now().wall, gateway=None, session=None, who="ann")
    await world.live(minutes=10)
    played = await world.replayed()
    assert played.lives == 2
    assert told(played.would) == told(played.was)
    assert deeds(played.would) == {"resume": 1}
    assert "our secret launch" not in world.file.read_text()


async def test_a_quarantine_that_somebody_released_is_released_here_too(tmp_path: Path) -> None:
    world = TapedWorld.in_folder(tmp_path, book=book(default=policy(ladder=(Step.RESUME,))))
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    await world.live(minutes=40)
    assert world.ledger.quarantines()
    world.ledger.release(None, KEY, world.clock.now().wall, who="ann", why="try again")
    await world.live(minutes=40)
    played = await world.replayed()
    assert told(played.would) == told(played.was)
    assert deeds(played.would)["resume"] == len(world.steps) > 1


async def test_healthy_sessions_have_no_story(tmp_path: Path) -> None:
    world = TapedWorld.in_folder(tmp_path)
    world.gateway.put(vague(has_active_run=True))
    await world.live(minutes=10)
    played = await world.replayed()
    assert [story.key for story in stories(played)] == []
    document = facts(played, stories(played))
    assert (document["passes"], document["sessions_seen"]) == (20, 1)
    assert document["to"] == (START.wall + 19 * POLL).isoformat()
