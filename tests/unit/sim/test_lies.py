"""What is told is met: by the watchdog as it is without a violation, and with one of its rules taken out with the one that
the rule is there for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.records import Answered, BrokenRecovery, Cause, ClientInfo, GroundTruth, RefusedDeed
from openclaw_simulator.sessions import Activity, ActivityStep, Ending, Turn
from tests.sim import episodes
from tests.sim.episodes import Episode, Setting
from tests.sim.judge import Judge, Rule
from tests.sim.lies import ACTIVE, DISK, INVALID, MUTATED, OURS, REFUSALS, Lie
from tests.sim.lives import Killed
from tests.sim.wire import Asked
from watchdog.config.models import Config
from watchdog.config.policybook import build_policy_book
from watchdog.core import evidence, innocence, recovery
from watchdog.core.model import TailKind
from watchdog.core.policy import AskInstead, Step
from watchdog.core.recovery import Attempt, AttemptState, Proof
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service import announcements, endings, executor, gateway_trust, incidents
from watchdog.service.ledger import MessageKind, Outcome

SETTING = Setting(
    seed=3,
    version="2026.9.6",
    sessions=6,
    hours=1.0,
    turns_per_hour=1e-6,
    troubles_per_hour=1e-6,
    travel=0.002,
    is_remote=True,
    run_timeout=None,
    kills=False,
)
CHAT = "agent:main:irc:group:#g1"
KEYS = (CHAT, "agent:main:irc:direct:p2", "agent:main:dashboard:d5")
LOST = Turn((ActivityStep(Activity.SILENT, 3.0),), ending=Ending.LOST)


def _told(
    doing: Callable[[Episode], object],
    *,
    version: str = "2026.9.6",
    hours: float = 1.0,
    ask: AskInstead = AskInstead.AUTO,
) -> Episode:
    """An episode in which nothing happens but this, ten minutes after its beginning."""
    book = build_policy_book(Config())
    recovery = replace(book.default.recovery, ask_instead_of_resume=ask)
    book = replace(book, default=replace(book.default, recovery=recovery))
    episode = Episode(replace(SETTING, version=version, hours=hours), book)
    episode.world.agenda.outside(600, doing, episode)
    return episode


def _ask(episode: Episode, key: str, turn: Turn | None) -> None:
    episode.lies._ask(episode.world.sessions[key], turn)


def _kinds(episode: Episode) -> list[MessageKind]:
    return [owed.message.kind for owed in episode.judge.messages if owed.message.session is not None]


# ------------------------------------------------------------ the gateway's own recovery


def _recovery_waits(episode: Episode) -> None:
    world = episode.world
    for key in KEYS:
        _ask(episode, key, turns.runs_long_tool(7200.0))
    world.provider.usual = turns.answers(4000.0)
    world.process.breaks_off = 1
    world.agenda.outside(30, world.process.restart, 2.0)
    world.agenda.outside(3 * 3600, episode.lies._provider_recovers)


def test_rows_that_wait_for_the_gateways_own_recovery_are_left_to_it() -> None:
    episode = _told(_recovery_waits, hours=4.0)
    result = episode.run()
    assert result.violations == []
    assert not result.tally.deeds
    assert {episode.world.sessions[key].status for key in KEYS} == {"done"}
    assert MessageKind.LONG_RUNNING in _kinds(episode)


def test_who_does_not_heed_that_it_is_named_interferes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(innocence, "_gateway_recovering", lambda _case: None)
    rules = {violation.rule for violation in _told(_recovery_waits, hours=4.0).run().violations}
    assert Rule.INTERFERED in rules


def test_our_turn_that_breaks_a_recovery_interferes() -> None:
    episode = _told(lambda _: None)
    episode.judge._own_runs.add("ours")
    for run_id in ("somebody's", "ours"):
        episode.world.broken_recoveries.append(BrokenRecovery(0, run_id, (run_id,)))
    assert [(v.rule, v.key) for v in episode.run().violations] == [(Rule.INTERFERED, "ours")]


# ------------------------------------------------------------ what is called recovered


def _blocked(episode: Episode) -> None:
    episode.world.chat.block(episode.world.homes[CHAT])
    _ask(episode, CHAT, LOST)


def test_an_answer_that_reaches_nobody_is_not_called_recovered() -> None:
    episode = _told(_blocked)
    assert episode.run().violations == []
    assert MessageKind.RECOVERED not in _kinds(episode)


@pytest.mark.parametrize("lie", ["undelivered", "unproven"])
def test_who_calls_it_recovered_says_so_although_nobody_has_the_answer(
    lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lie == "undelivered":
        for module in (incidents, endings):
            monkeypatch.setattr(module, "outcome_of", lambda _attempt: Outcome.RECOVERED)
        episode = _told(_blocked)
    else:  # "ok" is taken for an answer

        def proven(attempt: Attempt, *_: object, **__: object) -> Proof:
            return Proof(AttemptState.SUCCEEDED, "NewRunDone")

        monkeypatch.setattr(incidents, "verify", proven)
        episode = _told(_fails)
    assert Rule.UNANSWERED in {violation.rule for violation in episode.run().violations}


def _fails(episode: Episode) -> None:
    _ask(episode, CHAT, LOST)
    episode.world.provider.usual = turns.retries(1, 0.1)


def _cut(episode: Episode) -> None:
    _ask(episode, CHAT, turns.runs_long_tool(7200.0))
    episode.world.agenda.outside(30, episode.world.process.restart, 2.0)


def _asked_and_answered(episode: Episode) -> None:
    """A cut run whose person is asked to send it again, and does."""
    _cut(episode)
    episode.world.agenda.outside(3 * 3600, _ask, episode, CHAT, None)


class _Hushed(deque[Answered]):
    """Of what is answered nobody says whether it was delivered (2026.3.24, a turn of the browser's)."""

    def append(self, answer: Answered) -> None:
        super().append(answer._replace(is_delivered=None))


class _Mute(deque[Answered]):
    def append(self, _answer: Answered) -> None:
        return


@pytest.mark.parametrize(("answers", "rules"), [(_Hushed(), []), (_Mute(), [Rule.UNANSWERED])], ids=["some", "none"])
def test_who_dies_as_it_asks_recovers_with_the_next_answer(
    answers: deque[Answered], rules: list[Rule], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot know whether it was heard, and ends with the next run that ends well, like every other question."""
    episode = _told(_asked_and_answered, version="2026.3.24", hours=4.0)
    recovery = replace(episode.book.default.recovery, ladder=(Step.ASK,))
    episode.book = replace(episode.book, default=replace(episode.book.default, recovery=recovery))
    episode.world.answers = answers

    def dies(_ledger: object, _attempt: int, delivered: bool | None) -> None:
        assert delivered
        episode._life.is_over = True
        raise Killed

    monkeypatch.setattr(SqliteLedger, "note_delivery", dies)
    result = episode.run()
    assert result.lives == 2
    kinds = [MessageKind.STUCK, MessageKind.INEFFECTIVE, MessageKind.CLEARED]
    assert _kinds(episode) == kinds, "not called recovered to anybody"
    assert [violation.rule for violation in result.violations] == rules


@pytest.mark.parametrize("is_told", [True, False])
def test_who_dies_before_it_has_asked_says_that_it_does_not_know(
    is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make sim SEED=38`: nobody was asked, nobody is asked again, and the message before it said that they were being asked."""
    episode = _told(_cut, version="2026.5.18", hours=4.0)
    recovery = replace(episode.book.default.recovery, ladder=(Step.ASK,))
    episode.book = replace(episode.book, default=replace(episode.book.default, recovery=recovery))

    async def dies(*_: object) -> None:
        episode._life.is_over = True
        raise Killed

    monkeypatch.setattr(executor.Executor, "_send", dies)
    if not is_told:
        said = announcements.perhaps_asked
        monkeypatch.setattr(
            announcements, "perhaps_asked", lambda *a, **n: replace(said(*a, **n), kind=MessageKind.TEST)
        )
    result = episode.run()
    assert not any(deed.method == "send" for deed in episode.world.deeds)
    assert (MessageKind.INEFFECTIVE in _kinds(episode)) is is_told
    assert [violation.rule for violation in result.violations] == ([] if is_told else [Rule.UNSETTLED])


# ------------------------------------------------------------ answered, and its row left


def _locked_out(episode: Episode) -> None:
    _ask(episode, CHAT, Turn((ActivityStep(Activity.SILENT, 3.0),), ending=Ending.ANSWERED))
    episode.world.agenda.outside(60, _ask, episode, CHAT, None)


def test_who_is_locked_out_of_an_answered_session_is_let_in_without_a_second_turn() -> None:
    episode = _told(_locked_out)
    result = episode.run()
    assert result.violations == []
    assert result.tally.deeds == {"sessions.send": 1}
    assert episode.world.heard[-1].via == "reply"


def test_nobody_is_let_in_by_who_does_not_see_them_knock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "KNOCKS", 10_000)
    rules = {violation.rule for violation in _told(_locked_out).run().violations}
    assert rules == {Rule.LEFT_WAITING}


def _own_row_left(episode: Episode) -> None:
    episode.world.provider.usual = Turn((ActivityStep(Activity.SILENT, 3.0),), ending=Ending.ANSWERED)
    _ask(episode, CHAT, LOST)


def test_our_own_turn_is_not_asked_again_although_its_row_stays() -> None:
    episode = _told(_own_row_left)
    result = episode.run()
    assert result.violations == []
    assert result.tally.deeds == {"agent": 1}
    assert MessageKind.RECOVERED in _kinds(episode)
    assert episode.world.truth(CHAT) is GroundTruth.FINISHED


# ------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("refusal", "tries"),
    [(DISK, 3), (ACTIVE, 4), (MUTATED, 4), (INVALID, 2)],
    ids=["passes by nobody's account", "says that it passes", "is known to pass", "spends its rung"],
)
@pytest.mark.parametrize("version", ["2026.3.24", "2026.9.6"])
def test_a_deed_that_is_refused_for_good_ends_in_quarantine_with_a_message(
    version: str, refusal: RefusedDeed, tries: int
) -> None:
    """Three tries, and one more where it is called temporary; two where each rung of the ladder is spent at once."""

    def refused(episode: Episode) -> None:
        session = episode.world.sessions[CHAT]
        session.refusal = refusal
        episode.lies._leave_stuck(session)

    episode = _told(refused, version=version)
    result = episode.run()
    assert result.violations == []
    assert sum(result.tally.deeds.values()) == tries
    (message,) = [one.message for one in episode.judge.messages if one.message.kind is MessageKind.QUARANTINED]
    assert message.body.count(f"{refusal.code}: {refusal.message.rstrip('.')}") == tries


def test_each_refusal_is_among_them() -> None:
    assert set(REFUSALS) == {DISK, ACTIVE, MUTATED, INVALID}


def test_a_refusal_that_is_free_for_ever_is_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "counts", lambda *_, **__: False)

    def refused(episode: Episode) -> None:
        episode.world.sessions[CHAT].refusal = DISK
        _ask(episode, CHAT, LOST)

    rules = {violation.rule for violation in _told(refused).run().violations}
    assert Rule.BUDGET in rules


# ------------------------------------------------------------ rows that do not say running, gateways that say nothing


def _tombstone(episode: Episode) -> None:
    world = episode.world
    world.sessions[CHAT].recovery_charges = 3
    _ask(episode, CHAT, turns.runs_long_tool(7200.0))
    world.agenda.outside(60, world.process.restart, 2.0)


def test_a_tombstone_is_not_harmed() -> None:
    episode = _told(_tombstone)
    result = episode.run()
    assert result.violations == []
    assert set(result.tally.deeds) <= {"sessions.reset"}
    assert MessageKind.STUCK in _kinds(episode)


def test_a_recover_where_somebody_writes_from_a_chat_cuts_them_off() -> None:
    episode = _told(_tombstone)
    episode.world.agenda.outside(800, _recover, episode)
    assert Rule.CUT_OFF in {violation.rule for violation in episode.run().violations}


def _recover(episode: Episode) -> None:
    first = len(episode.world.deeds)
    episode.world.actions.recover(CHAT, ClientInfo(device_id="watchdog"))
    episode.judge.asked(Asked({"method": "sessions.recover", "params": {}}, None, first))


def _as_earlier(episode: Episode) -> Episode:
    """A turn that yields leaves its row ``done``, as those before 2026.9.6 do."""
    episode.world.profile = replace(episode.world.profile, keeps_yielded_running=False)
    return episode


def test_a_parent_whose_row_is_left_running_is_taken_up_once_its_child_has_ended() -> None:
    work = turns.yields((("agent:main:subagent:one", turns.answers(3600)),), is_woken=False)
    episode = _told(lambda episode: _ask(episode, CHAT, work))
    result = episode.run()
    assert result.violations == []
    assert [(stall.cause, stall.ended_by is not None) for stall in episode.world.stalls] == [(Cause.NOT_WOKEN, True)]
    assert all(deed.at_ms >= episode.world.stalls[0].since_ms for deed in episode.world.deeds)
    assert sum(result.tally.deeds.values()) == 1


def test_a_parent_that_nobody_woke_is_told_once() -> None:
    work = turns.yields((("agent:main:subagent:one", turns.answers(300)),), is_woken=False)
    episode = _told(lambda episode: _ask(_as_earlier(episode), CHAT, work))
    result = episode.run()
    assert (result.violations, result.tally.deeds) == ([], {})
    assert _kinds(episode) == [MessageKind.UNANSWERED]


def _takes_up_and_waits(episode: Episode) -> None:
    work = turns.yields((("agent:main:subagent:one", turns.answers(300)),), is_woken=False)
    _as_earlier(episode).world.provider.rules[OURS] = work
    _ask(episode, CHAT, LOST)


def test_a_turn_of_ours_that_only_waits_is_not_called_recovered() -> None:
    episode = _told(_takes_up_and_waits, hours=2.0)
    result = episode.run()
    assert result.violations == []
    assert sum(result.tally.deeds.values()) == 1
    assert _kinds(episode) == [MessageKind.STUCK, MessageKind.CLEARED, MessageKind.UNANSWERED]


def test_who_takes_its_end_for_an_answer_says_recovered_although_nobody_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unknown(*_: object) -> None:
        """2026.9.6 says that such a run delivered nothing; the others do not say it."""

    monkeypatch.setattr(recovery, "has_yielded", lambda *_: False)
    monkeypatch.setattr(TailKind, "is_unanswered", property(lambda _: False))
    monkeypatch.setattr(incidents.Incidents, "_delivered", unknown)
    episode = _told(_takes_up_and_waits, hours=2.0)
    assert Rule.UNANSWERED in {violation.rule for violation in episode.run().violations}


@pytest.mark.parametrize("is_suspended", [True, False])
def test_a_gateway_that_takes_nothing_is_told_once_and_left_alone(is_suspended: bool) -> None:
    def refuse(episode: Episode) -> None:
        if is_suspended:
            episode.world.process.suspend(2 * 3600)
        else:
            episode.world.has_drifted = True
            episode.world.agenda.outside(2 * 3600, episode.lies._repair)

    episode = _told(refuse, hours=3.0)
    result = episode.run()
    assert (result.violations, result.tally.deeds) == ([], {})
    kinds = [owed.message.kind for owed in episode.judge.messages]
    assert kinds == [MessageKind.GATEWAY_DOWN, MessageKind.GATEWAY_UP]


def test_a_store_that_only_lists_is_left_alone_until_it_is_mended_and_the_way_out_is_said() -> None:
    def refuse(episode: Episode) -> None:
        _ask(episode, CHAT, LOST)
        episode.world.agenda.outside(60, episode.lies._drift_beside_lists)

    episode = _told(refuse)
    result = episode.run()
    assert result.violations == []
    assert len(_kinds(episode)) >= 2
    first = next(owed.message for owed in episode.judge.messages if owed.message.kind is MessageKind.STUCK)
    assert "`openclaw doctor --fix`" in first.body
    assert not [deed for deed in episode.world.deeds if not deed.changed]


@pytest.mark.parametrize("version", PROFILES)
def test_a_row_whose_word_nobody_knows_is_left_alone(version: str) -> None:
    def said(episode: Episode) -> None:
        _ask(episode, CHAT, turns.runs_long_tool(7200.0))
        episode.world.agenda.outside(30, episode.world.process.restart, 2.0)
        episode.world.agenda.outside(60, episode.lies._say_status, CHAT, "hibernating")

    result = _told(said, version=version).run()
    assert result.violations == []


def _cuts_our_turn_and_calls_it_done(episode: Episode) -> None:
    world, later = episode.world, episode.world.agenda.outside
    world.provider.rules[OURS] = turns.stays_silent()
    _ask(episode, CHAT, turns.runs_long_tool(7200.0))
    later(30, world.process.restart, 2.0)
    later(2400, world.process.restart, 2.0)
    later(2460, episode.lies._call_done, world.sessions[CHAT])


def test_done_is_no_answer() -> None:
    episode = _told(_cuts_our_turn_and_calls_it_done, version="2026.5.18", hours=2.0)
    result = episode.run()
    assert result.violations == []
    assert sum(result.tally.deeds.values()) == 1
    assert [stall.ended_by for stall in episode.world.stalls][-1] == "called done"
    assert _kinds(episode)[-1] is MessageKind.CLEARED


def test_who_takes_done_for_an_answer_says_recovered_although_nobody_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TailKind, "is_unanswered", property(lambda _: False))
    episode = _told(_cuts_our_turn_and_calls_it_done, version="2026.5.18", hours=2.0)
    assert Rule.UNANSWERED in {violation.rule for violation in episode.run().violations}


def _asks_and_beats(episode: Episode) -> None:
    """Its person is asked, and a heartbeat ends the row; on 3.24 its prompt is shown, on 5.18 its answer alone."""
    _ask(episode, CHAT, turns.runs_long_tool(7200.0))
    episode.world.agenda.outside(30, episode.world.process.restart, 2.0)
    episode.world.agenda.outside(2400, episode.lies._beat, episode.world.sessions[CHAT])


def _asks_and_another_writes(episode: Episode) -> None:
    _ask(episode, CHAT, turns.runs_long_tool(7200.0))
    episode.world.agenda.outside(30, episode.world.process.restart, 2.0)
    episode.world.agenda.outside(2400, episode.lies._another_writes, episode.world.sessions[CHAT])


BEATING = [version for version, profile in PROFILES.items() if profile.has_heartbeats]


@pytest.mark.parametrize("what", [_asks_and_beats, _asks_and_another_writes])
@pytest.mark.parametrize("version", BEATING)
def test_a_heartbeat_is_no_answer(version: str, what: Callable[[Episode], object]) -> None:
    episode = _told(what, version=version, hours=2.0, ask=AskInstead.ALWAYS)
    result = episode.run()
    assert result.violations == []
    assert _kinds(episode)[-1] is MessageKind.CLEARED


@pytest.mark.parametrize("what", [_asks_and_beats, _asks_and_another_writes])
@pytest.mark.parametrize("version", BEATING)
def test_who_takes_a_heartbeat_for_an_answer_says_recovered_although_nobody_has_one(
    version: str, what: Callable[[Episode], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "is_from_who_was_asked", lambda *_, **__: True)
    episode = _told(what, version=version, hours=2.0, ask=AskInstead.ALWAYS)
    assert Rule.UNANSWERED in {violation.rule for violation in episode.run().violations}


# ------------------------------------------------------------ which are told where


@pytest.mark.parametrize("version", PROFILES)
def test_each_version_tells_its_own(version: str) -> None:
    episode = Episode(replace(SETTING, version=version))
    episode._ledger.close()
    told = set(episode.lies.told_here)
    everywhere = {Lie.REFUSES_DEEDS, Lie.UNKNOWN_STATUS, Lie.SILENT}
    assert (
        told
        == {
            "2026.3.24": {*everywhere, Lie.HEARTBEATS},
            "2026.4.14": {*everywhere, Lie.HEARTBEATS},
            "2026.5.18": {*everywhere, Lie.HEARTBEATS, Lie.CALLED_DONE},
            "2026.9.6": set(Lie) - {Lie.HEARTBEATS, Lie.CALLED_DONE},
        }[version]
    )


def test_a_run_that_was_cut_between_two_tries_reads_like_an_error_that_was_said() -> None:
    """3.24 writes ``failed`` between the tries: the row holds nobody up, and nobody is told."""
    result = episodes.run(556)
    assert result.violations == []
    assert result.tally.told == {"incident": 1, "looks like an error": 1}


def test_a_cut_that_only_a_dead_watchdog_had_watched_looks_like_a_stop() -> None:
    """Asked about the run before it, killed, and 4.14 writes the same for a Stop and for an in-process restart."""
    result = episodes.run(1121)
    assert result.violations == []
    assert result.tally.told == {"looks like a stop": 2}


def test_one_that_a_living_watchdog_had_watched_is_no_excuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judge, "started", lambda _judge: None)
    assert {violation.rule for violation in episodes.run(1121).violations} == {Rule.UNSETTLED}


@pytest.mark.parametrize(
    ("seed", "sessions", "hours", "troubles"),
    [
        # Killed as it asked: 5.18. A tombstone of which its gateway could tell nobody: 9.6. A run that lives on elsewhere, on a
        # host whose clock was set before a watchdog's first look, and is cut later: 3.24.
        (50010, 4, 8.0, 1.0),
        (50031, 8, 16.0, 0.3),
        (50036, 8, 8.0, 1.0),
    ],
)
def test_worlds_that_were_breaches(
    seed: int, sessions: int, hours: float, troubles: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes, "LIES_PER_HOUR", 1.0)
    result = _breached(seed, sessions, hours, troubles).run()
    assert result.tally.told["incident"] or result.tally.deeds
    assert result.violations == []


def test_who_believes_a_start_by_a_clock_that_differs_asks_about_a_run_that_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(episodes, "LIES_PER_HOUR", 1.0)
    monkeypatch.setattr(gateway_trust, "CLOCK_SKEW", timedelta.max)
    first = _breached(50036, 8, 8.0, 1.0).run().violations[0]
    assert (first.rule, first.note) == (Rule.LIVE_OWNER, "send: ")


def _breached(seed: int, sessions: int, hours: float, troubles: float) -> Episode:
    setting = replace(Setting.of(seed), sessions=sessions, hours=hours, turns_per_hour=0.05, kills=True, has_lies=True)
    return Episode(replace(setting, troubles_per_hour=troubles))


def test_they_are_armed_in_a_part_of_the_worlds() -> None:
    shares = [Setting.of(seed).has_lies for seed in range(400)]
    assert 0.3 < sum(shares) / len(shares) < 0.5
    episode = Episode(replace(SETTING, has_lies=True, hours=24.0))
    episode.lies.rng = Random(7)
    struck = {what for _, what in _struck(episode)}
    assert len(struck & {lie.value for lie in Lie}) >= 3


def _struck(episode: Episode) -> list[tuple[int, str]]:
    assert episode.run().violations == []
    return episode.weather.struck
