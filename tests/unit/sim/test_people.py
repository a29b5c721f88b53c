"""Several people to a session: what the real watchdog does there, and that the judge would see it.

Rules in ``NOT_YET`` are broken by the product of today; as soon as it heeds one, its story here fails and asks to have the
rule taken out. From then on the story must be without a violation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.records import Cause, ClientEffect, ClientInfo
from openclaw_simulator.sessions import Address, EntryKind
from openclaw_simulator.world import World
from tests.sim.episodes import Episode, Result, Setting
from tests.sim.judge import NOT_YET, Rule, _last_kind
from tests.sim.people import ALICE, BOB, EVERYBODY
from tests.sim.wire import Asked

MAIN, GROUP = "agent:main:main", "agent:main:telegram:group:-100500"
ALICES, GROUPS = Address("telegram", "telegram:1001"), Address("telegram", "telegram:-100500")
QUIET = Setting(
    seed=3,
    version="2026.9.6",
    sessions=0,
    hours=3.0,
    turns_per_hour=0.0,
    troubles_per_hour=1e-9,
    travel=0.01,
    is_remote=False,
    run_timeout=None,
    kills=False,
)
EARLY = ("2026.3.24", "2026.5.18")
Story = Callable[[World], None]


def _cut(world: World, key: str, text: str) -> None:
    """Alice asks, and her run dies as runs die on this version: with the process, or (9.6) with a write that was lost."""
    later = world.agenda.outside
    if world.profile.goes_deaf:
        later(60, lambda: world.chat.person_writes(key, text, turns.answers(5), by=ALICE))
        later(62, world.lock_store, 40.0)
    else:
        later(60, lambda: world.chat.person_writes(key, text, turns.stays_silent(), by=ALICE))
        later(120, world.process.restart, 2.0)


def _warm(world: World, key: str, chat: Address) -> None:
    world.chat.join(key, chat, ALICE)
    world.chat.meet(key, BOB)
    world.chat.person_writes(key, "hello", turns.answers(1.0))


def bob_writes_last(world: World) -> None:
    """His words wait behind her run, or (9.6) at her deaf session: the row's address is his.

    On 9.6 each refusal of his words moves the row's ``updatedAt``: today's product takes that for somebody at work."""
    _warm(world, MAIN, ALICES)
    _cut(world, MAIN, "the confidential question")
    world.agenda.outside(110, lambda: world.chat.person_writes(MAIN, "and me?", by=BOB))


def typed_in_the_browser(world: World) -> None:
    """An operator's draft in a group's session: nobody there has heard it."""
    _warm(world, GROUP, GROUPS)
    world.agenda.outside(60, world.begin, GROUP, "a draft for my eyes", turns.stays_silent())
    world.agenda.outside(120, world.process.restart, 2.0)


def stopped_when_dead(world: World) -> None:
    _warm(world, GROUP, GROUPS)
    _cut(world, GROUP, "delete the old photos")
    world.agenda.outside(600, lambda: world.chat.person_writes(GROUP, "/stop", by=ALICE))


def fewer_rights(world: World) -> None:
    """Alice may not run programs in this group."""
    rules = {"-100500": {"toolsBySender": {"id:1001": {"deny": ["exec", "process", "write", "edit"]}}}}
    world.config = {"channels": {"telegram": {"groups": rules}}}
    _warm(world, GROUP, GROUPS)
    _cut(world, GROUP, "clean up the server")


STORIES: list[tuple[Story, Rule, tuple[str, ...]]] = [
    (bob_writes_last, Rule.WRONG_CHAT, EARLY),
    (bob_writes_last, Rule.LEFT_WAITING, ("2026.9.6",)),
    (typed_in_the_browser, Rule.WRONG_CHAT, EARLY),
    (stopped_when_dead, Rule.AFTER_STOP, EARLY),
    (fewer_rights, Rule.RIGHTS, (*EARLY, "2026.9.6")),
]
CASES = [(story, rule, version) for story, rule, versions in STORIES for version in versions]


def _played(story: Story, version: str) -> Result:
    episode = Episode(replace(QUIET, version=version))
    story(episode.world)
    return episode.run()


@pytest.mark.parametrize(("story", "rule", "version"), CASES)
def test_what_a_session_of_several_people_needs(story: Story, rule: Rule, version: str) -> None:
    result = _played(story, version)
    assert [(found.rule, found.note) for found in result.violations] == []
    if rule in NOT_YET:
        assert result.tally.not_yet[rule.value], "the product heeds it now: take the rule out of NOT_YET"


def one_person(world: World) -> None:
    _warm(world, GROUP, GROUPS)
    _cut(world, GROUP, "who is on call?")


@pytest.mark.parametrize("version", [*EARLY, "2026.9.6"])
def test_one_person_and_the_usual_rights_are_nothing_to_blame(version: str) -> None:
    result = _played(one_person, version)
    assert sum(result.tally.deeds.values()) == 1, "recovered once"
    assert (result.violations, result.tally.not_yet) == ([], {})


def test_company_is_drawn_apart_and_lives_by_its_seed() -> None:
    assert {Setting.of(seed).has_company for seed in range(20)} == {True, False}
    busy = replace(QUIET, sessions=9, hours=6.0, turns_per_hour=2.0, troubles_per_hour=0.5, has_company=True)
    episode = Episode(busy)
    first = episode.run()
    assert episode.people.company is not None
    spoken = [words for words in episode.world.spoken if words.key in episode.people.company.shared]
    assert {words.person for words in spoken} == {*EVERYBODY, None}, "several people and, in the browser, an operator"
    assert episode.world.stops != []
    assert Episode(busy).run().fingerprint == first.fingerprint


# ------------------------------------------------------------ the judge can fail


OURS = ClientInfo("watchdog", scopes=frozenset({"operator.read", "operator.write"}))


@pytest.fixture
def episode() -> Iterator[Episode]:
    """Alice's run of a group of hers was cut; the judge counts every rule."""
    made = Episode(replace(QUIET, version="2026.5.18"))
    made.judge.not_yet = frozenset()
    _warm(made.world, GROUP, GROUPS)
    made.world.advance(30)
    made.world.chat.person_writes(GROUP, "the question", turns.stays_silent())
    made.world.advance(30)
    made.world.endings.orphan(made.world.sessions[GROUP], Cause.CRASH)
    yield made
    made._ledger.close()


def _turn(episode: Episode, text: str, route: Address | None, client: ClientInfo = OURS) -> ClientEffect:
    world = episode.world
    deed = world.actions.run_agent(world.sessions[GROUP], client, text, "ours", deliver=True, explicit=route)
    episode.judge.asked(Asked({"method": "agent", "params": {"idempotencyKey": "ours"}}, None, len(world.deeds) - 1))
    world.advance(30)
    return deed


def _found(episode: Episode) -> set[Rule]:
    episode.judge.violations.clear()
    episode.judge.check_people()
    return {violation.rule for violation in episode.judge.violations}


@pytest.mark.parametrize(
    ("to", "text", "rules"),
    [
        (GROUPS, "you were asked: the question", set()),
        (Address("telegram", "telegram:1002"), "you were asked: the question", {Rule.WRONG_CHAT}),
        (Address("telegram", "telegram:1002"), "go on", {Rule.WRONG_CHAT}),
        (replace(GROUPS, thread_id=12), "go on", {Rule.WRONG_CHAT}),
    ],
    ids=["at home", "quoted elsewhere", "carried on elsewhere", "another topic"],
)
def test_words_are_heard_where_they_were_typed(episode: Episode, to: Address, text: str, rules: set[Rule]) -> None:
    _turn(episode, text, to)
    assert _found(episode) == rules


def test_a_turn_over_an_administrators_connection_has_more_than_alice_had(episode: Episode) -> None:
    _turn(episode, "go on", GROUPS, replace(OURS, scopes=OURS.scopes | {"operator.admin"}))
    assert _found(episode) == {Rule.RIGHTS}


def _say(episode: Episode, key: str, text: str, route: Address = GROUPS) -> None:
    episode.world.actions.say(route, OURS, text, key=GROUP, idempotency_key=key)


def test_one_interruption_is_asked_about_once(episode: Episode) -> None:
    _say(episode, "a", "please send it again")
    _say(episode, "b-notice", "a fresh session was started")
    assert _found(episode) == set()
    _say(episode, "c", "please send it again")
    assert _found(episode) == {Rule.ASKED_TWICE}


def test_a_literal_message_may_quote_nobody_elsewhere(episode: Episode) -> None:
    _say(episode, "a", "you asked: the question", Address("telegram", "telegram:1002"))
    assert _found(episode) == {Rule.WRONG_CHAT}


def test_a_stop_typed_after_the_run_died_is_a_stop(episode: Episode) -> None:
    world = episode.world
    world.chat.person_writes(GROUP, "/stop", by=BOB)
    world.advance(1)
    assert world.sessions[GROUP].aborted_last_run
    world.advance(600)
    episode.judge.listed(frozenset())
    _turn(episode, "go on", GROUPS)
    assert Rule.AFTER_STOP in {violation.rule for violation in episode.judge.violations}


def test_what_was_only_said_is_not_the_last_entry_that_counts(episode: Episode) -> None:
    _say(episode, "a", "please send it again")
    assert episode.world.sessions[GROUP].transcript[-1].kind is EntryKind.MIRROR
    assert _last_kind(episode.world.sessions[GROUP]) is not EntryKind.ANSWER


def test_who_waits_at_a_deaf_session_is_not_left_there() -> None:
    episode = Episode(QUIET)
    episode.judge.not_yet = frozenset()
    bob_writes_last(episode.world)
    rules = [violation.rule for violation in episode.run().violations]
    assert set(rules) <= {Rule.LEFT_WAITING}
    assert bool(rules) is (Rule.LEFT_WAITING in NOT_YET)
