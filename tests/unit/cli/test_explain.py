"""``explain``, read by somebody who is woken at night: what is so, what comes next and when, what holds it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.builders import V96, V324, breaker, dead, policy, tail_of, vague
from tests.fakes.clock import START
from tests.fakes.gateway import FakeGateway
from tests.fakes.world import World
from watchdog.cli import screen
from watchdog.cli.explain import Explained, explanation_facts, explanation_lines
from watchdog.core.blockers import BlockerName
from watchdog.core.evidence import Signal
from watchdog.core.model import Lock, LockSight, SessionKind, Status, TailKind
from watchdog.core.policy import BACKGROUND_MATCHES, Match, Mode, Policy, PolicyBook, Recovery, Step
from watchdog.core.recovery import AttemptState
from watchdog.service.one_shot import inspect

KEY = dead().key
AN_HOUR: dict[str, Any] = {"started_at": START.wall - timedelta(hours=1), "updated_at": START.wall - timedelta(hours=1)}
BACKGROUND = Policy("background", recovery=Recovery(ladder=(Step.NOTIFY,)), match=BACKGROUND_MATCHES[0])


async def explained(world: World, health: str | None = None) -> Explained:
    found = await inspect(world.gateway, world.book, world.clock, at_most=timedelta(seconds=2))
    judged = found.find(KEY)
    assert judged is not None
    return Explained.of(found, judged, world.gateway, world.ledger, health)


def world_of(session: Any, *, version: str = V96, default: Policy | None = None, **changes: Any) -> World:
    world = World(PolicyBook((BACKGROUND,), default or Policy("default")), version=version, **changes)
    world.gateway.put(session)
    return world


def text_of(it: Explained) -> str:
    return "\n".join(screen.text_of(line).plain for line in explanation_lines(it))


async def test_a_healthy_run_says_what_would_come_if_its_owner_were_gone() -> None:
    it = await explained(
        world_of(vague(has_active_run=True, **{**AN_HOUR, "started_at": START.wall - timedelta(minutes=5)}))
    )
    assert it.next_words() == (
        "nothing while it shows a sign of life; told as long-running in 54m59s if it goes on. "
        "If it lost its owner now: would resume 20m later if nothing moves"
    )


async def test_a_suspect_says_in_how_long() -> None:
    recent = START.wall - timedelta(minutes=15)
    it = await explained(world_of(vague(has_active_run=False, started_at=recent, updated_at=recent)))
    assert (
        it.next_words()
        == "would resume in 4m59s if nothing moves (it goes on with the request, answered in the requester's chat)"
    )


async def test_a_stuck_one_says_what_it_will_do() -> None:
    it = await explained(world_of(vague(has_active_run=False, **AN_HOUR)))
    assert it.next_words() == "would resume now (it goes on with the request, answered in the requester's chat)"
    assert "stuck" in text_of(it)
    assert "No progress for 1h" in text_of(it)
    assert "counts from when it first saw this run" in text_of(it)


async def test_long_ago_means_that_the_person_is_asked() -> None:
    old = START.wall - timedelta(hours=5)
    world = world_of(vague(has_active_run=False, started_at=old, updated_at=old))
    world.gateway.see(KEY, tail=tail_of(at=old))
    it = await explained(world)
    assert it.next_words() == "would ask now (the requester is asked to send it again: it was interrupted long ago)"


async def test_what_holds_is_named_with_its_end_and_stands_first() -> None:
    world = world_of(dead(), version=V324, state_dir="/there")
    world.gateway.booted_at = START.wall - timedelta(minutes=2)
    world.gateway.see(KEY, lock=LockSight(Lock.HELD_BY_OTHER, pid=7))
    world.ledger.pause(at=START.wall, until=None, gateway=None, session=None, reason="maintenance", who="ann")
    it = await explained(world, "The gateway says its event loop is degraded.")
    assert it.next_words().endswith(
        "; held by paused, gateway_untrusted, startup_grace (ends in 2m58s), session_locked"
    )
    first = it.guards()[:4]
    assert [(guard.name.value, guard.holds) for guard in first] == [
        ("paused", True),
        ("startup_grace", True),
        ("gateway_untrusted", True),
        ("session_locked", True),
    ]
    assert "maintenance" in first[0].words
    assert "(pid 7)" in first[3].words


async def test_the_fleet_breaker_holds_here_as_in_the_daemon_by_the_default_s_numbers() -> None:
    default = policy(fleet_breaker=breaker(3), thresholds={"startup_grace": timedelta(0)})
    unheeded = replace(default, name="own", match=Match(key=("*",)), recovery=policy(fleet_breaker=breaker(9)).recovery)
    world = World(PolicyBook((unheeded,), default), version=V96)
    others = [vague(f"agent:main:s{number}", has_active_run=False, **AN_HOUR) for number in range(2)]
    world.gateway.put(vague(has_active_run=False, **AN_HOUR), *others)
    await world.live(minutes=23)
    assert world.held() == ["fleet_breaker"]
    it = await explained(world)
    assert "fleet_breaker" in it.next_words().partition("; held by ")[2]
    assert [guard.name.value for guard in it.guards() if guard.holds] == ["fleet_breaker"]

    world.gateway.change("agent:main:s1", has_active_run=True)
    it = await explained(world)
    assert "fleet_breaker" not in it.next_words()
    (words,) = [guard.words for guard in it.guards() if guard.name is BlockerName.FLEET_BREAKER]
    assert words.endswith("limit 3 and 50%")


async def test_what_has_a_proof_passes_an_open_fleet_breaker() -> None:
    world = world_of(dead(), default=policy(fleet_breaker=breaker(3)))
    world.gateway.put(*(vague(f"agent:main:s{number}", has_active_run=False, **AN_HOUR) for number in range(3)))
    it = await explained(world)
    (guard,) = [guard for guard in it.guards() if guard.name is BlockerName.FLEET_BREAKER]
    assert (guard.holds, guard.words) == (
        False,
        "it holds those without a proof of their own, and this one has a proof",
    )


async def test_a_wait_that_will_be_told_as_unclear_says_when() -> None:
    """A child from before a boot on a clock that was set: nobody can tell whether it is alive."""
    child = dead("agent:main:subagent:c1", kind=SessionKind.SUBAGENT, parent_key=KEY)
    world = world_of(dead(updated_at=START.wall - timedelta(minutes=5)), version=V324)
    world.gateway.put(child)
    world.gateway.clock_stepped = True
    it = await explained(world)
    assert it.judged.judgement.reason == "ChildRowsRunning"
    assert it.next_words().startswith("nothing, as long as that is so; told as unclear in ")


async def test_a_stopped_one_is_left_alone_and_says_why() -> None:
    world = world_of(dead(), version=V324)
    world.gateway.see(KEY, tail=tail_of(TailKind.STOPPED))
    it = await explained(world)
    assert it.judged.judgement.verdict.value == "waiting"
    assert it.next_words() == "nothing, as long as that is so"
    assert ("transcript", "ends with a run that was stopped (5m01s ago)") in it.row_facts()
    says = {signal: words for signal, words, _ in it.signals()}
    assert (says[Signal.USER_STOPPED], says[Signal.BOOT_ORPHAN]) == ("yes", "gone")


async def test_a_long_running_one_is_told_not_touched() -> None:
    it = await explained(world_of(vague(has_active_run=True, **AN_HOUR)))
    assert it.next_words().startswith("a person is told that it takes long; it is not touched")


async def test_at_rest_there_is_nothing_to_ask() -> None:
    it = await explained(world_of(dead(status=Status.DONE, last_run_error=f"provider said 500 {'x' * 300}")))
    assert it.next_words() == "nothing: no run is marked as going on"
    assert text_of(it).count("not asked: no run is marked as going on") == 2
    (error,) = [text for name, text in it.row_facts() if name == "last error"]
    assert error.startswith("provider said 500")
    assert len(error) < 170


async def test_a_policy_that_only_tells() -> None:
    it = await explained(world_of(vague(kind=SessionKind.CRON, has_active_run=False, **AN_HOUR)))
    assert it.next_words() == "a person is told now; policy background touches nothing"
    assert "policy background only tells: there is no deed to hold" in text_of(it)


async def test_observe_mode_says_what_it_would_do_otherwise() -> None:
    it = await explained(world_of(vague(has_active_run=False, **AN_HOUR), default=policy(mode=Mode.OBSERVE)))
    assert it.next_words().startswith("nothing: observe mode (else would resume now")


async def test_attempts_and_budgets_are_values_beside_limits() -> None:
    world = world_of(vague(has_active_run=False, **AN_HOUR))
    incident = world.ledger.open_incident(
        gateway="home", session=KEY, session_id="x", reason="NoActiveRun", at=START.wall - timedelta(minutes=30)
    )
    at = START.wall - timedelta(minutes=20)
    attempt = world.ledger.plan_attempt(incident.id, Step.RESUME, at, before=None, before_tail=None)
    world.ledger.claim_attempt(attempt.id, at)
    world.ledger.settle_attempt(attempt.id, AttemptState.INEFFECTIVE, at, reason="NothingChanged")
    it = await explained(world)
    assert it.next_words() == "would new now (the context is lost; a handoff note is saved first)"
    words = {guard.name: guard.words for guard in it.guards()}
    assert words[BlockerName.SESSION_BUDGET] == "1 of 3 used in 3d"
    assert words[BlockerName.COOL_DOWN] == "over, after 1 attempt"
    assert "1. resume 20m02s ago: did not help (nothing changed)" in text_of(it)


async def test_a_child_named_from_both_ends_is_one_child() -> None:
    world = world_of(vague(has_active_run=True, child_keys=("agent:main:subagent:a",), **AN_HOUR))
    world.gateway.put(vague("agent:main:subagent:a", kind=SessionKind.SUBAGENT, parent_key=KEY, has_active_run=True))
    it = await explained(world)
    assert ("children", "1 sub-sessions, 1 running: agent:main:subagent:a") in it.row_facts()


STATES = {
    "healthy": vague(has_active_run=True),
    "stuck": vague(has_active_run=False, **AN_HOUR),
    "orphan": dead(),
    "unknown": vague(**AN_HOUR),
    "at rest": dead(status=Status.DONE),
    "queued": dead(status=Status.QUEUED),
    "no times": dead(started_at=None, updated_at=None),
    "cron": vague(kind=SessionKind.CRON, has_active_run=False, **AN_HOUR),
}


@pytest.mark.parametrize("version", ["2026.3.24", "2026.5.18", "2026.9.6", "dev"])
@pytest.mark.parametrize("state", STATES)
async def test_every_signal_and_every_guard_is_there_and_the_guards_are_the_real_ones(state: str, version: str) -> None:
    it = await explained(world_of(STATES[state], version=version))
    document = explanation_facts(it)
    assert [entry["signal"] for entry in document["signals"]] == [signal.value for signal in Signal]
    assert {entry["name"] for entry in document["guards"]} == {
        name.value for name in set(BlockerName) - {BlockerName.LEASE}
    }
    holding = {guard.name for guard in it.guards() if guard.holds}
    assert holding <= {blocker.name for blocker in it.blockers}
    if it.judged.judgement.verdict.value in ("suspect", "stuck"):
        assert holding == {blocker.name for blocker in it.blockers}
    assert all(words for _, _, words in it.signals())
    assert "None" not in text_of(it)


async def test_a_name_stands_in_words_and_not_in_json() -> None:
    it = await explained(world_of(dead(name="Family chat")))
    assert "“Family chat”" in text_of(it)
    assert "Family" not in str(explanation_facts(it))


async def test_a_key_with_brackets_is_printed_as_it_is() -> None:
    world = world_of(dead())
    it = await explained(world)
    odd = replace(it, judged=replace(it.judged, session=replace(it.judged.session, key="agent:main:irc:group:[red]")))
    assert text_of(odd).startswith("'agent:main:irc:group:[red]'  on home")
    assert isinstance(world.gateway, FakeGateway)
