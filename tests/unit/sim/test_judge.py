"""Every rule of the judge can fail: an episode with deeds, judged by somebody who expects something else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.records import Cause, ClientEffect, ClientInfo, GroundTruth
from openclaw_simulator.sessions import EntryKind, InboundMessage, Origin, Run
from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import memory_ledger
from tests.sim.episodes import GATEWAY, Episode, Setting
from tests.sim.judge import NOTICE, Judge, Rule
from tests.sim.wire import Asked
from watchdog.core.policy import Budget, PolicyBook
from watchdog.ledger.ledger import SqliteLedger

SETTING = Setting(
    seed=4,
    version="2026.3.24",
    sessions=14,
    hours=48.0,
    turns_per_hour=0.005,
    troubles_per_hour=0.3,
    travel=0.2,
    is_remote=False,
    run_timeout=None,
    kills=True,
)
KEY = "agent:main:dashboard:d5"


def _rules(episode: Episode) -> set[Rule]:
    return {violation.rule for violation in episode.run().violations}


def test_an_episode_with_deeds_and_nothing_to_blame() -> None:
    result = Episode(SETTING).run()
    assert sum(result.tally.deeds.values()) >= 2
    assert (result.violations, result.story) == ([], {})
    assert result.lives > 1
    assert Episode(SETTING).run().fingerprint == result.fingerprint, "equal seeds, equal deeds"


def _stricter(book: PolicyBook) -> PolicyBook:
    default = book.default
    recovery = replace(default.recovery, budget=Budget(0, timedelta(hours=1)), max_concurrent=0)
    thresholds = replace(default.thresholds, startup_grace=timedelta(days=9))
    return replace(book, default=replace(default, recovery=recovery, thresholds=thresholds))


def test_budgets_concurrency_and_grace_are_counted() -> None:
    episode = Episode(SETTING)
    episode.judge.book = _stricter(episode.book)
    assert _rules(episode) == {Rule.BUDGET, Rule.CONCURRENCY, Rule.EARLY}


def test_deeds_are_held_against_the_ledger() -> None:
    episode = Episode(SETTING)
    episode.judge.ledger = memory_ledger(ManualClock())
    assert Rule.NO_ROW in _rules(episode)


def test_background_sessions_are_nobodys_business() -> None:
    setting = replace(SETTING, turns_per_hour=0.1, troubles_per_hour=0.6)
    episode = Episode(setting)
    episode.book = replace(episode.book, policies=())
    assert Rule.BACKGROUND in _rules(episode)


def test_who_never_looks_leaves_somebody_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_episode: Episode) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Episode, "_live", never)
    episode = Episode(replace(SETTING, hours=2.0))
    episode.world.agenda.outside(60, _crash, episode)
    assert _rules(episode) == {Rule.LEFT_STUCK}


def _crash(episode: Episode) -> None:
    episode.world.begin(KEY, "work", turns.runs_long_tool(1800.0))
    episode.world.agenda.outside(600, episode.world.process.restart, 2.0)


@pytest.fixture
def episode() -> Iterator[Episode]:
    made = Episode(replace(SETTING, version="2026.5.18"))
    made.people.populate(6)
    yield made
    made._ledger.close()


def _deed(episode: Episode, **changes: object) -> ClientEffect:
    made = ClientEffect(
        1, episode.world.now_ms, "chat.send", KEY, ClientInfo("watchdog"), GroundTruth.STUCK, run_id="r"
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def _ask(judge: Judge, *deeds: ClientEffect, key: str = "r") -> set[Rule]:
    first = len(judge.world.deeds)
    judge.world.deeds.extend(deeds)
    judge.asked(Asked({"method": "chat.send", "params": {"idempotencyKey": key}}, None, first))
    return {violation.rule for violation in judge.violations}


@pytest.mark.parametrize(
    ("truth", "rule"),
    [
        (GroundTruth.LIVE, Rule.LIVE_OWNER),
        (GroundTruth.QUEUED, Rule.LIVE_OWNER),
        (GroundTruth.STOPPED, Rule.STOPPED),
        (GroundTruth.FINISHED, Rule.FINISHED),
        (GroundTruth.RECOVERING, Rule.FORESTALLED),
    ],
)
def test_what_must_be_left_alone(episode: Episode, truth: GroundTruth, rule: Rule) -> None:
    assert rule in _ask(episode.judge, _deed(episode, truth=truth))


@pytest.mark.parametrize("truth", [GroundTruth.LIVE, GroundTruth.QUEUED])
def test_who_is_asked_to_send_again_what_goes_on_is_touched(episode: Episode, truth: GroundTruth) -> None:
    assert Rule.LIVE_OWNER in _ask(episode.judge, _deed(episode, method="send", truth=truth))


def test_who_is_told_of_a_fresh_session_is_not_asked_anything(episode: Episode) -> None:
    notice = _deed(episode, method="send", truth=GroundTruth.LIVE, run_id=f"r{NOTICE}")
    assert Rule.LIVE_OWNER not in _ask(episode.judge, notice)


def test_an_owner_that_came_after_the_last_look_is_a_race(episode: Episode) -> None:
    episode.judge.listed(frozenset())
    episode.world.advance(5)
    run_id = episode.world.begin(KEY, "work", turns.stays_silent())
    assert Rule.LIVE_OWNER not in _ask(episode.judge, _deed(episode, truth=GroundTruth.LIVE, owner_run=run_id))
    assert episode.judge.tally.races == 1
    episode.world.advance(5)
    episode.judge.listed(frozenset())
    assert Rule.LIVE_OWNER in _ask(episode.judge, _deed(episode, truth=GroundTruth.LIVE, owner_run=run_id), key="s")


def _stuck(episode: Episode) -> None:
    episode.world.begin(KEY, "work", turns.stays_silent())
    episode.world.advance(30)
    episode.world.endings.orphan(episode.world.sessions[KEY], Cause.TIMEOUT)


Preparation = Callable[[Episode], object]


@pytest.mark.parametrize(
    ("prepare", "rule"),
    [
        (_stuck, Rule.UNKNOWN),
        (lambda e: e.judge.listed(frozenset({KEY})), Rule.BROKEN_ROW),
        (lambda e: e._pause(timedelta(hours=1), None), Rule.PAUSED),
        (lambda e: _ask(e.judge), Rule.TWICE),
    ],
    ids=["no proof", "broken row", "paused", "twice"],
)
def test_what_forbids_a_deed(episode: Episode, prepare: Preparation, rule: Rule) -> None:
    assert rule not in _ask(episode.judge, _deed(episode, run_id="other"), key="other")
    prepare(episode)
    assert rule in _ask(episode.judge, _deed(episode))


def test_two_incidents_of_one_session(episode: Episode, monkeypatch: pytest.MonkeyPatch) -> None:
    now = episode.timeline.wall
    incident = episode.judge.ledger.open_incident(
        gateway=GATEWAY, session=KEY, session_id=None, reason="NoActiveRun", at=now
    )
    episode.judge.after_pass()
    assert episode.judge.violations == []
    monkeypatch.setattr(SqliteLedger, "open_incidents", lambda _self, _gateway: [incident, incident])
    episode.judge.after_pass()
    assert [violation.rule for violation in episode.judge.violations] == [Rule.TWO_INCIDENTS]


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_turn_of_ours_that_ends_like_a_stop_is_left_like_one(episode: Episode, is_ours: bool) -> None:
    """4.14 writes the same for a Stop and for a time-out, and puts the row of the run before back after a turn by ``agent``."""
    judge, world = episode.judge, episode.world
    _stuck(episode)
    _ask(judge, _deed(episode, run_id="ours"))
    world.advance(600)
    words = InboundMessage("go on", Origin.AGENT, "ours" if is_ours else "a person's", world.now_ms)
    world.write(world.sessions[KEY], EntryKind.ABORTED, "", Run(words, is_tracked=False))
    judge.explain = lambda _key: "verdict waiting (StoppedOnPurpose)"
    assert judge._is_held_as_stop(world.stalls[-1]) is is_ours
    judge.explain = lambda _key: "verdict stuck (NoLock)"
    assert not judge._is_held_as_stop(world.stalls[-1])
