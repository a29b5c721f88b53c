"""The rules that keep a watchdog harmless, each as what must not happen.

Every test here fails when the line that implements its rule is taken out; ``make mutants`` takes them out.
``test_a_dead_session_is_recovered`` is the control: without it, doing nothing at all would pass them all.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.builders import (
    BOOT,
    REQUEST,
    V96,
    V324,
    V414,
    V518,
    breaker,
    budget,
    dead,
    lenient,
    policy,
    tail_of,
    vague,
)
from tests.fakes.clock import START
from tests.fakes.world import World
from watchdog.core.model import Lock, LockSight, MalformedRow, Session, SessionKind, Status, TailKind
from watchdog.core.policy import Match, Mode, PolicyBook, Step
from watchdog.core.recovery import Attempt
from watchdog.core.texts import mark
from watchdog.service import errors
from watchdog.service.events import Event
from watchdog.service.ledger import MessageKind, Outcome, Quarantine
from watchdog.service.plan import Action, PassContext, decide
from watchdog.service.ports import Receipt

KEY = dead().key
VERSIONS = [V324, V414, V518, V96]
Change = Callable[[World], object]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_dead_session_is_recovered(version: str) -> None:
    world = World(version=version)
    world.gateway.put(dead())
    took = await world.until_deed()
    assert timedelta(minutes=20) <= took <= timedelta(minutes=21)
    await world.live(minutes=2)
    assert world.steps == [Step.RESUME]
    assert world.states == [("resume", "succeeded")]
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]
    assert world.told() == ["stuck", "recovered"]


async def _is_left_alone(world: World, *, minutes: float = 40) -> None:
    """Twice as long as it takes to act on a dead session."""
    await world.live(minutes=minutes)
    assert world.steps == []


# ---------------------------------------------------------------- 1


UNKNOWNS: dict[str, tuple[World, Change]] = {
    "3.24 from another machine, no restart since": (World(version=V324), lambda w: w.gateway.put(vague())),
    "4.14 from another machine, the probe finds nothing": (
        World(version=V414),
        lambda w: w.gateway.put(vague()).be(probes={KEY: False}),
    ),
    "5.18, a chat-app run, the gateway is busy": (
        World(version=V518),
        lambda w: w.gateway.put(vague(has_active_run=False)).be(busy=4),
    ),
    "9.6, the row does not say": (World(version=V96), lambda w: w.gateway.put(vague())),
    "3.24, the lock cannot be read": (
        World(version=V324, state_dir="/s"),
        lambda w: w.gateway.put(vague()).see(KEY, lock=LockSight(Lock.UNREADABLE)),
    ),
    "3.24, the gateway does not say when it started": (
        World(version=V324),
        lambda w: w.gateway.put(dead()).be(booted_at=None),
    ),
    "5.18, the gateway's clock was set": (
        World(version=V518),
        lambda w: w.gateway.put(dead()).be(clock_stepped=True),
    ),
    "the row does not say when its run started": (
        World(version=V414),
        lambda w: w.gateway.put(dead(started_at=None)),
    ),
}


@pytest.mark.parametrize(("world", "change"), UNKNOWNS.values(), ids=UNKNOWNS)
async def test_rule_01_unknown_is_an_answer_and_is_told(world: World, change: Change) -> None:
    change(world)
    await _is_left_alone(world)
    assert world.verdict_of(KEY) == "unknown"
    assert world.told() == ["unknown"], "once"
    assert world.incidents == []


HALF_KNOWN: dict[str, tuple[Change, str]] = {
    "the transcript cannot be read": (lambda w: w.gateway.tails.update({KEY: None}), "transcript_unknown"),
    "the list is cut short": (lambda w: w.gateway.be(is_complete=False), "incomplete_list"),
    "the row has no session id": (lambda w: w.gateway.change(KEY, session_id=None), "no_session_id"),
    "the lock file cannot be read": (
        lambda w: w.gateway.see(KEY, lock=LockSight(Lock.UNREADABLE)),
        "session_locked",
    ),
}


@pytest.mark.parametrize(("change", "blocker"), HALF_KNOWN.values(), ids=HALF_KNOWN)
async def test_rule_01_a_dead_session_of_which_something_is_unknown_is_held(change: Change, blocker: str) -> None:
    world = World(version=V518, state_dir="/s")
    world.gateway.put(dead())
    change(world)
    await _is_left_alone(world)
    assert blocker in world.held()


async def test_rule_01_a_row_that_cannot_be_read_is_left_alone_and_blinds_nothing() -> None:
    world = World()
    world.gateway.put(dead("agent:main:other"))
    world.gateway.malformed = (MalformedRow(1, "Expected `str`, got `int`", KEY),)
    await world.until_deed()
    await world.live(hours=1)
    assert [deed.session.key for deed in world.gateway.performed] == ["agent:main:other"]


@pytest.mark.parametrize("name", ["malformed", "is_complete"])
async def test_rule_01_a_session_that_could_not_be_seen_is_not_gone(name: str) -> None:
    world = World(book=PolicyBook(default=policy(mode=Mode.OBSERVE)))
    world.gateway.put(dead())
    await world.live(minutes=25)
    row = world.gateway.rows.pop(KEY)
    normal = getattr(world.gateway, name)
    setattr(world.gateway, name, (MalformedRow(0, "?", KEY),) if name == "malformed" else False)
    await world.live(minutes=5)
    assert [incident.is_open for incident in world.incidents] == [True]
    setattr(world.gateway, name, normal)
    world.gateway.put(row)
    await world.live(minutes=25)
    assert len(world.incidents) == 1
    assert MessageKind.CLEARED not in [message.kind for message in world.owed()]


async def test_rule_01_our_own_restart_makes_nobody_healthy() -> None:
    """After it nothing is known of the owner for a while; the open incident is not over for that."""
    world = World(version=V518, book=PolicyBook(default=policy(mode=Mode.OBSERVE)))
    world.gateway.put(vague(has_active_run=False))
    world.gateway.busy = 0
    await world.live(minutes=25)
    world.gateway.busy = 7
    world.die_and_start_again()
    await world.live(minutes=10)
    assert world.verdict_of(KEY) == "healthy"
    assert [incident.is_open for incident in world.incidents] == [True]


# ---------------------------------------------------------------- 2


SIGNS_OF_LIFE: dict[str, tuple[str, Change]] = {
    "3.24 lock": (V324, lambda w: w.gateway.see(KEY, lock=LockSight(Lock.HELD_BY_GATEWAY, 7))),
    "4.14 lock": (V414, lambda w: w.gateway.see(KEY, lock=LockSight(Lock.HELD_BY_GATEWAY, 7))),
    "5.18 flag": (V518, lambda w: w.gateway.change(KEY, has_active_run=True)),
    "9.6 flag": (V96, lambda w: w.gateway.change(KEY, has_active_run=True)),
    "9.6 run ids": (V96, lambda w: w.gateway.change(KEY, active_run_ids=("run-1",))),
    "9.6 other key": (
        V96,
        lambda w: w.gateway.put(dead("agent:main:alias", session_id=f"sid-{KEY}", has_active_run=True)),
    ),
}


@pytest.mark.parametrize(("version", "sign"), SIGNS_OF_LIFE.values(), ids=SIGNS_OF_LIFE)
async def test_rule_02_an_owner_that_lives_is_only_slow(version: str, sign: Change) -> None:
    """Against every proof of death there is: started before the boot, and the gateway counts nothing."""
    world = World(version=version, state_dir="/s")
    world.gateway.put(dead())
    world.gateway.busy = 0
    sign(world)
    await _is_left_alone(world, minutes=70)
    assert world.verdict_of(KEY) == "long_running"
    assert set(world.told()) == {"long_running"}
    assert world.incidents == []


async def test_rule_02_a_run_in_flight_in_the_history_lives() -> None:
    world = World()
    world.gateway.put(dead())
    world.gateway.tails[KEY] = tail_of(has_run_in_flight=True)
    await _is_left_alone(world)


async def test_rule_02_a_live_web_run_on_324_is_found_by_the_probe() -> None:
    world = World(version=V324)
    world.gateway.put(dead())
    world.gateway.probes[KEY] = True
    await _is_left_alone(world)


async def test_rule_02_long_is_told_once_a_run() -> None:
    world = World()
    world.gateway.put(vague(has_active_run=True))
    await world.live(hours=2)
    assert world.told() == ["long_running"]
    world.gateway.change(KEY, started_at=world.clock.now().wall)
    await world.live(hours=2)
    assert world.told() == ["long_running", "long_running"]


ABORTING = PolicyBook(default=policy(ladder=(Step.ABORT,)))


async def test_rule_02_a_living_run_is_ended_only_where_a_policy_says_so() -> None:
    for ladder, steps in (((Step.RESUME, Step.NEW), []), ((Step.RESUME, Step.ABORT), [Step.ABORT])):
        world = World(book=PolicyBook(default=policy(ladder=ladder)))
        world.gateway.put(vague(has_active_run=True))
        await world.live(minutes=70)
        assert world.steps == steps


async def test_rule_02_the_hard_ceiling_counts_silence_that_was_watched() -> None:
    world = World(book=ABORTING)
    world.gateway.put(vague(has_active_run=True))
    await world.live(minutes=40)
    world.gateway.tails[KEY] = tail_of(TailKind.TOOL_RESULT, fingerprint="tail-2")
    await world.live(minutes=59)
    assert world.steps == []
    await world.live(minutes=3)
    assert world.steps == [Step.ABORT]


@pytest.mark.parametrize(
    "excuse",
    [
        lambda w: w.gateway.see(KEY, tail=tail_of(TailKind.COMPACTION, at=None)),
        lambda w: w.gateway.change(KEY, has_active_subagent_run=True),
        lambda w: w.gateway.put(
            vague("agent:main:subagent:1", kind=SessionKind.SUBAGENT, parent_key=KEY, has_active_run=True)
        ),
        lambda w: w.gateway.tails.update({KEY: None}),
    ],
    ids=["compacting", "subagent", "child", "no transcript"],
)
async def test_rule_02_a_living_run_that_waits_is_not_ended_even_then(excuse: Change) -> None:
    background = policy(name="background", ladder=(Step.NOTIFY,), match=Match(kind=("subagent",)))
    world = World(book=PolicyBook((background,), ABORTING.default))
    world.gateway.put(vague(has_active_run=True))
    excuse(world)
    await _is_left_alone(world, minutes=70)


async def test_rule_02_a_hung_run_that_may_not_be_ended_yet_is_one_incident() -> None:
    world = World(book=ABORTING)
    world.gateway.put(vague(has_active_run=True))
    world.ledger.pause(at=world.clock.now().wall, until=None, gateway=None, session=None, reason="deploying", who="me")
    await _is_left_alone(world, minutes=70)
    assert len(world.incidents) == 1
    assert world.told().count("stuck") == 1


# ---------------------------------------------------------------- 3


@pytest.mark.parametrize("days", [0.1, 3, 400])
async def test_rule_03_only_what_we_observed_ages(days: float) -> None:
    """The row may say what it wants: a daemon that has just started knows nothing yet."""
    world = World()
    world.gateway.put(dead(started_at=BOOT - timedelta(days=days), updated_at=BOOT - timedelta(days=days)))
    assert await world.until_deed() >= timedelta(minutes=20)


PROGRESS: dict[str, dict[str, Any]] = {
    "tokens": {"total_tokens": 99},
    "another run": {"last_run_id": "run-2"},
    "started again": {"started_at": BOOT - timedelta(minutes=30)},
    "another session": {"session_id": "sid-2"},
    "another revision": {"lifecycle_revision": "rev-2"},
}


@pytest.mark.parametrize("change", PROGRESS.values(), ids=PROGRESS)
async def test_rule_03_progress_and_another_identity_start_the_clock_again(change: dict[str, Any]) -> None:
    world = World()
    world.gateway.put(dead(total_tokens=1, last_run_id="run-1"))
    await world.live(minutes=19)
    world.gateway.change(KEY, **change)
    assert await world.until_deed() >= timedelta(minutes=20)


async def test_rule_03_a_growing_transcript_is_progress() -> None:
    world = World()
    world.gateway.put(dead())
    await world.live(minutes=19, seconds=30)
    world.gateway.tails[KEY] = tail_of(TailKind.TOOL_RESULT, fingerprint="tail-2")
    assert await world.until_deed() >= timedelta(minutes=20)


async def test_rule_03_a_queued_message_is_no_progress() -> None:
    """#86056: ``updatedAt`` moves when a message is merely queued; the session grows old all the same."""
    world = World()
    world.gateway.put(dead())
    await world.live(minutes=10)
    world.gateway.change(KEY, updated_at=world.clock.now().wall)
    assert await world.until_deed() <= timedelta(minutes=11)


async def test_rule_03_a_laptop_asleep_is_not_a_stuck_session() -> None:
    world = World()
    world.gateway.put(dead())
    await world.live(minutes=19)
    world.clock.step(8 * 3600)
    assert await world.until_deed() >= timedelta(minutes=20)
    assert "suspended host" in str(world.log.of(Event.GATEWAY_UNHEALTHY)[0]["reason"])


async def test_rule_03_a_stopped_process_watched_nothing() -> None:
    world = World()
    world.gateway.put(dead())
    await world.live(minutes=5)
    world.clock.advance(3600)
    assert await world.until_deed() >= timedelta(minutes=20)


# ---------------------------------------------------------------- 4


async def test_rule_04_one_look_is_never_enough() -> None:
    thresholds = {"stuck_after": timedelta(0), "confirm_for": timedelta(0), "startup_grace": timedelta(0)}
    world = World(book=PolicyBook(default=policy(thresholds=thresholds)), version=V324)
    world.gateway.put(dead())
    await world.look()
    assert world.steps == []
    world.clock.advance(1)
    await world.look()
    assert world.steps == [Step.RESUME]


@pytest.mark.parametrize("confirm", [3, 10])
async def test_rule_04_two_looks_lie_apart(confirm: int) -> None:
    thresholds = {"stuck_after": timedelta(minutes=2), "confirm_for": timedelta(minutes=confirm)}
    thresholds["startup_grace"] = timedelta(0)
    world = World(book=PolicyBook(default=policy(thresholds=thresholds)), version=V324)
    world.gateway.put(dead())
    assert await world.until_deed() >= timedelta(minutes=confirm)


async def test_rule_04_a_sign_of_life_between_them_starts_over() -> None:
    world = World()
    world.gateway.put(dead())
    await world.live(minutes=19)
    world.gateway.change(KEY, has_active_run=True)
    await world.look()
    world.gateway.change(KEY, has_active_run=False)
    assert await world.until_deed() >= timedelta(minutes=20)


# ---------------------------------------------------------------- 5


async def _ready(version: str = V96) -> World:
    """A dead session, one look away from its deed."""
    world = World(version=version)
    world.gateway.put(dead())
    await world.live(minutes=19, seconds=30)
    world.clock.advance(30)
    return world


async def test_rule_05_a_slow_gateway_is_not_believed() -> None:
    world = await _ready()
    world.gateway.latency = 6
    await world.live(minutes=10)
    assert world.steps == []
    assert "gateway_untrusted" in world.held()
    world.gateway.latency = 0
    await world.look()
    assert world.steps == [], "one fast answer is not enough"
    world.clock.advance(30)
    await world.look()
    assert world.steps == [Step.RESUME]


async def test_rule_05_a_gateway_that_calls_itself_sick_is_not_believed() -> None:
    world = await _ready()
    world.gateway.sickness = "The gateway says its event loop is degraded."
    await world.live(minutes=10)
    assert world.steps == []
    assert world.held() == ["gateway_untrusted"]


async def test_rule_05_a_sign_in_for_a_deed_that_cannot_be_read_holds_the_deed_and_ends_no_pass() -> None:
    world = await _ready()
    world.gateway.failing["prepare"] = errors.NotAGateway("home: its hello cannot be read.")
    await world.live(minutes=10)
    assert world.steps == []
    assert world.held() == ["gateway_untrusted"]
    assert all(report.is_good for report in world.reports)


@pytest.mark.parametrize(
    "silence",
    [
        errors.GatewayUnresponsive("home: it hangs."),
        errors.GatewayDraining("home: it drains."),
        errors.GatewaySuspended("home: it is suspended."),
        errors.GatewayStarting("home: it starts."),
        errors.GatewayUnreachable("home: it is down."),
        errors.GatewayClosed("home: it went away.", 1006),
        errors.AuthenticationRefused("home: wrong token."),
    ],
    ids=lambda problem: type(problem).__name__,
)
async def test_rule_05_after_an_absence_it_is_given_its_grace(silence: errors.GatewayError) -> None:
    world = await _ready()
    world.gateway.failing["list"] = silence
    await world.live(minutes=2)
    world.gateway.failing.clear()
    world.gateway.drop(silence)
    took = await world.until_deed()
    assert took >= timedelta(minutes=5)
    assert world.steps == [Step.RESUME]


async def test_rule_05_a_fresh_connection_is_given_its_grace() -> None:
    thresholds = {"stuck_after": timedelta(minutes=2), "startup_grace": timedelta(minutes=5)}
    world = World(book=PolicyBook(default=policy(thresholds=thresholds)))
    world.gateway.put(dead())
    assert await world.until_deed() >= timedelta(minutes=5)


@pytest.mark.parametrize("version", VERSIONS)
async def test_rule_05_a_restarted_gateway_is_given_its_grace(version: str) -> None:
    world = await _ready(version)
    world.gateway.restart()
    await world.live(minutes=4, seconds=30)
    assert world.steps == []
    await world.until_deed()


@pytest.mark.parametrize("version", [V518, V96])
async def test_rule_05_a_gateway_that_recovers_by_itself_comes_first(version: str) -> None:
    """Rows it resumes after a boot look like orphans until it gets to them."""
    world = World(version=version)
    world.gateway.booted_at = START.wall - timedelta(seconds=10)
    world.gateway.put(dead())
    await world.live(minutes=4)
    assert world.verdict_of(KEY) == "waiting"
    world.gateway.change(KEY, status=Status.DONE)
    await _is_left_alone(world)


# ---------------------------------------------------------------- 6


MEANWHILE: dict[str, Change] = {
    "the session is gone": lambda w: w.gateway.rows.pop(KEY),
    "it is done": lambda w: w.gateway.change(KEY, status=Status.DONE),
    "a new run started": lambda w: w.gateway.change(KEY, started_at=w.clock.now().wall),
    "another session": lambda w: w.gateway.change(KEY, session_id="sid-2"),
    "it was reset": lambda w: w.gateway.change(KEY, lifecycle_revision="rev-2"),
    "a sign of life": lambda w: w.gateway.change(KEY, has_active_run=True),
    "a run in flight": lambda w: w.gateway.see(KEY, tail=tail_of(has_run_in_flight=True)),
    "the person stopped it": lambda w: w.gateway.see(KEY, tail=tail_of(TailKind.STOPPED)),
    "the transcript grew": lambda w: w.gateway.see(KEY, tail=tail_of(TailKind.TOOL_CALL, fingerprint="tail-2")),
    "tokens were used": lambda w: w.gateway.change(KEY, total_tokens=5),
    "somebody wrote": lambda w: w.gateway.change(KEY, updated_at=w.clock.now().wall),
    "a message waits": lambda w: w.gateway.see(KEY, tail=tail_of(has_pending_input=True)),
    "another watchdog was faster": lambda w: w.gateway.tails.update(
        {KEY: tail_of(deed_mark="other/1", deed_at=w.clock.now().wall)}
    ),
    "a lock appeared": lambda w: w.gateway.see(KEY, lock=LockSight(Lock.HELD_BY_OTHER, 9)),
    "the list is cut short": lambda w: w.gateway.be(is_complete=False),
    "the transcript cannot be read": lambda w: w.gateway.tails.update({KEY: None}),
    "the gateway answers slowly": lambda w: w.gateway.be(latency=6.0),
    "the gateway's clock was set": lambda w: w.gateway.be(clock_stepped=True),
    "the gateway feels sick": lambda w: w.gateway.be(sickness="Degraded."),
    "an operator paused us": lambda w: w.ledger.pause(
        at=w.clock.now().wall, until=None, gateway=None, session=None, reason="wait", who="me"
    ),
    "it was quarantined": lambda w: w.ledger.quarantine(Quarantine("home", KEY, None, w.clock.now().wall, "by hand")),
    "the same session under another key": lambda w: w.gateway.put(dead("agent:main:alias", session_id=f"sid-{KEY}")),
}


@pytest.mark.parametrize("meanwhile", MEANWHILE.values(), ids=MEANWHILE)
async def test_rule_06_look_again_just_before_acting(meanwhile: Change) -> None:
    """Between the decision and the deed, something changed."""
    world = World(version=V518, state_dir="/s")
    world.gateway.put(dead())
    await world.live(minutes=19, seconds=30)
    world.clock.advance(30)
    fences: list[None] = []

    def fence() -> None:
        fences.append(None)
        meanwhile(world)

    world.gateway.at_fence = fence
    await world.look()
    assert len(fences) == 1, "it had been decided"
    assert world.steps == []
    assert world.attempts == [], "and nothing was even planned"


async def test_rule_06_an_idle_gateway_that_begins_something_may_begin_it_here() -> None:
    """A row lags up to seven seconds behind a run that somebody has just started (3.24 to 5.18)."""
    world = World(version=V518)
    world.gateway.put(dead()).be(busy=0)
    await world.live(minutes=19, seconds=30)
    world.clock.advance(30)
    world.gateway.at_fence = lambda: world.gateway.be(busy=4)
    await world.look()
    assert "prepare" in world.gateway.calls
    assert world.steps == []
    world.gateway.at_fence = lambda: None
    world.clock.advance(30)
    await world.look()
    assert world.steps == [Step.RESUME], "it began something else, and goes on with that"


async def test_rule_06_nothing_but_the_claim_lies_between_the_last_look_and_the_deed() -> None:
    world = await _ready()
    world.gateway.calls.clear()
    await world.look()
    fence = world.gateway.calls[world.gateway.calls.index("prepare") :]
    assert fence == ["prepare", "list", "look", "health", "perform"]


# ---------------------------------------------------------------- 7


@pytest.mark.parametrize(
    "lost",
    [errors.OutcomeUnknown("home: no answer."), errors.AnswerUnreadable("home: agent was answered with noise.")],
    ids=lambda problem: type(problem).__name__,
)
async def test_rule_07_a_deed_whose_answer_was_lost_is_never_sent_again(lost: errors.GatewayError) -> None:
    world = await _ready()
    world.gateway.failing["perform"] = lost
    await world.look()
    assert world.states == [("resume", "indeterminate")]
    world.gateway.failing.clear()
    await world.live(hours=2)
    assert world.steps[:1] == [Step.RESUME]
    assert Step.RESUME not in world.steps[1:]
    assert world.states[0] == ("resume", "ineffective")


async def test_rule_07_a_lost_answer_is_settled_by_looking() -> None:
    world = await _ready()

    def cured_but_unheard(deed: Any) -> Receipt:
        world.gateway.cure(deed)
        raise errors.OutcomeUnknown("home: no answer.")

    world.gateway.effect = cured_but_unheard
    await world.live(minutes=2)
    assert world.states == [("resume", "succeeded")]
    assert world.steps == [Step.RESUME]


async def test_rule_07_of_two_that_decided_the_same_only_one_acts() -> None:
    world = await _ready()
    other = world.new_watch()
    await world.watch.connection.connect(world.clock.now())
    facts = await world.gateway.connect()
    other.observer.tracks = dict(world.watch.observer.tracks)
    other.trust.note_connection(facts, START, is_new=True)
    snapshot = await world.gateway.list_sessions()
    decisions = []
    for watch in (world.watch, other):
        (judged,) = await watch.observer.judge_all(snapshot, facts)
        incident = watch.incidents.open_for(judged, world.clock.now())
        here = PassContext(world.clock.now(), watch.trust, True, True, False)
        decisions.append(decide(judged, incident, here, world.gateway, world.ledger))
    assert [decision.action for decision in decisions] == [Action.ACT, Action.ACT]
    acted = [
        await watch.executor.act(decision) for watch, decision in zip((world.watch, other), decisions, strict=True)
    ]
    assert [isinstance(done, Attempt) for done in acted] == [True, False]
    assert len(world.steps) == 1


async def test_rule_07_the_key_of_an_attempt_is_its_own() -> None:
    world = World(book=PolicyBook(default=lenient()))
    world.gateway.put(dead(), dead("agent:main:b"))
    world.gateway.effect = world.gateway.nothing
    await world.until_deed(4)
    keys = [deed.idempotency_key for deed in world.gateway.performed]
    assert len(set(keys)) == 4
    assert keys == [attempt.idempotency_key for attempt in sorted(world.attempts, key=lambda one: one.id)]


# ---------------------------------------------------------------- 8


async def test_rule_08_messages_are_written_down_with_what_they_are_about_and_once() -> None:
    world = World(book=PolicyBook(default=lenient()))
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    await world.live(hours=2)
    assert world.told() == ["stuck", "ineffective", "ineffective", "quarantined"]
    assert len({message.dedupe_key for message in world.owed()}) == 4


async def test_rule_08_what_is_owed_survives_us() -> None:
    world = await _ready()
    await world.look()
    world.die_and_start_again()
    await world.live(minutes=30)
    assert world.told() == ["stuck", "recovered"]


# ---------------------------------------------------------------- 9


async def test_rule_09_ok_is_not_recovered() -> None:
    world = await _ready()
    world.gateway.effect = world.gateway.nothing
    await world.look()
    assert world.states == [("resume", "started")]
    await world.live(seconds=91)
    assert world.states == [("resume", "started")], "not yet"
    await world.look()
    assert world.states == [("resume", "ineffective")]
    assert world.attempts[0].reason == "NothingChanged"
    assert world.told() == ["stuck", "ineffective"]


async def test_rule_09_a_turn_that_died_with_its_gateway_is_tried_again() -> None:
    world = await _ready()
    world.gateway.effect = world.gateway.nothing
    await world.look()
    world.clock.advance(1)
    world.gateway.restart()
    world.gateway.effect = world.gateway.cure
    await world.live(minutes=30)
    assert world.states == [("resume", "ineffective"), ("resume", "succeeded")], "not a harsher step"
    assert world.attempts[0].reason == "LostWithGateway"
    assert world.attempts[1].planned_at - world.attempts[0].planned_at > timedelta(minutes=5), "after the grace"


async def test_rule_09_a_clock_that_was_set_is_no_death_of_the_gateway() -> None:
    world = await _ready()
    world.gateway.effect = world.gateway.nothing
    await world.look()
    world.clock.advance(1)
    world.gateway.clock_skew = timedelta(hours=-30)  # by these clocks it began after the deed
    world.gateway.drop(errors.GatewayClosed("home: gone.", 1006))
    await world.live(minutes=3)
    assert world.attempts[0].reason == "NothingChanged"


# ---------------------------------------------------------------- 10


async def test_rule_10_the_charge_is_written_down_before_the_deed_is_sent() -> None:
    world = await _ready()
    charged: list[int] = []

    def count(deed: Any) -> Receipt:
        charged.append(world.ledger.charges("home", START.wall, KEY))
        return world.gateway.nothing(deed)

    world.gateway.effect = count
    await world.look()
    assert charged == [1]


@pytest.mark.parametrize(
    ("answer", "charges"),
    [
        (errors.RequestRefused("home: no.", code="INVALID_REQUEST", detail="no"), 0),
        (errors.ScopeRefused("home: no."), 0),
        (errors.GatewayDraining("home: later."), 0),
        (errors.GatewayClosed("home: it never left.", 1006), 0),
        (errors.OutcomeUnknown("home: perhaps."), 1),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_rule_10_only_an_explicit_no_gives_the_charge_back(answer: errors.GatewayError, charges: int) -> None:
    world = await _ready()
    world.gateway.failing["perform"] = answer
    await world.look()
    assert len(world.steps) == 1
    assert world.ledger.charges("home", START.wall, KEY) == charges


async def test_rule_10_a_spent_budget_is_a_quarantine_that_says_so_once_and_has_a_way_back() -> None:
    world = World(book=PolicyBook(default=lenient(budget=budget(1))))
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    await world.live(hours=2)
    assert len(world.steps) == 1
    (entry,) = world.ledger.quarantines()
    assert (entry.session, entry.gateway) == (KEY, "home")
    assert [incident.outcome for incident in world.incidents] == [Outcome.QUARANTINED]
    assert world.told() == ["stuck", "ineffective", "quarantined"]
    world.ledger.release("home", KEY, world.clock.now().wall, who="me", why="looked at it")
    world.gateway.effect = world.gateway.cure
    await world.live(minutes=30)
    assert world.states[-1] == ("ask", "succeeded"), "the request is hours old by then"


async def test_rule_10_a_budget_outlives_the_daemon_and_the_incident() -> None:
    world = World(book=PolicyBook(default=lenient(budget=budget(2), ladder=(Step.RESUME,))))
    for number in range(4):
        world.gateway.put(dead(started_at=BOOT - timedelta(hours=9 - number)))
        world.gateway.see(KEY, tail=tail_of())
        await world.live(minutes=24)
        world.die_and_start_again()
    assert len(world.steps) == 2
    assert world.ledger.quarantines() != []


async def test_rule_10_the_whole_gateways_budget_holds_and_blames_no_session() -> None:
    world = World(book=PolicyBook(default=lenient(gateway_budget=budget(3, hours=1), max_concurrent=10)))
    world.gateway.put(*(dead(f"agent:main:s{number}") for number in range(5)))
    await world.live(minutes=50)
    assert len(world.steps) == 3
    assert "gateway_budget" in world.held()
    assert world.ledger.quarantines() == []
    await world.live(minutes=60)
    assert len(world.steps) == 5, "and then they had their turn"


# ---------------------------------------------------------------- 11


def _unproven(count: int) -> list[Session]:
    """Rows of 9.6 of which only the gateway's own flag says that they are dead."""
    return [vague(f"agent:main:s{number}", has_active_run=False) for number in range(count)]


async def test_rule_11_many_at_once_without_a_proof_are_the_gateways_fault() -> None:
    world = World(book=PolicyBook(default=policy(fleet_breaker=breaker(5))))
    world.gateway.put(*_unproven(6))
    await _is_left_alone(world)
    assert world.held() == ["fleet_breaker"]
    assert world.told().count("fleet_breaker") == 1
    assert world.log.names.count(Event.FLEET_BREAKER_OPENED) == 1


async def test_rule_11_a_crash_explains_its_orphans_and_they_are_recovered_a_few_at_a_time() -> None:
    world = World(book=PolicyBook(default=policy(fleet_breaker=breaker(5), max_concurrent=2)), version=V324)
    orphans = [dead(f"agent:main:s{number}", started_at=BOOT - timedelta(minutes=20 - number)) for number in range(11)]
    world.gateway.put(*reversed(orphans))
    await world.until_deed()
    assert [deed.session.key for deed in world.gateway.performed] == ["agent:main:s0", "agent:main:s1"], "oldest first"
    await world.live(minutes=10)
    assert len(world.steps) == 11
    assert "fleet_breaker" not in world.told()


# ---------------------------------------------------------------- 12


INTENT: dict[str, tuple[Change, str]] = {
    "stopped by its user": (lambda w: w.gateway.see(KEY, tail=tail_of(TailKind.STOPPED)), ""),
    "already answered": (lambda w: w.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED)), "work_finished"),
    "a message waits": (lambda w: w.gateway.see(KEY, tail=tail_of(has_pending_input=True)), "pending_input"),
    "somebody else's lock": (
        lambda w: w.gateway.see(KEY, lock=LockSight(Lock.HELD_BY_OTHER, 9)),
        "session_locked",
    ),
}


@pytest.mark.parametrize(
    ("version", "name"),
    # There are no lock files on 9.6.
    [(version, name) for version in VERSIONS for name in INTENT if (version, name) != (V96, "somebody else's lock")],
)
async def test_rule_12_intent_is_respected(version: str, name: str) -> None:
    intent, blocker = INTENT[name]
    world = World(version=version, state_dir="/s")
    world.gateway.put(dead())
    intent(world)
    await _is_left_alone(world)
    if blocker:
        assert blocker in world.held()
    else:
        assert world.verdict_of(KEY) == "waiting"
        assert world.told() == []


async def test_rule_12_finished_work_is_not_thrown_away_either() -> None:
    world = World(book=PolicyBook(default=policy(ladder=(Step.NEW, Step.RESET))))
    world.gateway.put(dead())
    world.gateway.tails[KEY] = tail_of(TailKind.ANSWERED)
    await _is_left_alone(world)


async def test_rule_12_a_session_that_somebody_just_wrote_to_is_theirs() -> None:
    world = await _ready()
    for _ in range(20):
        world.gateway.change(KEY, updated_at=world.clock.now().wall)
        await world.look()
        world.clock.advance(30)
    assert world.steps == []
    assert world.held() == ["recently_touched"]
    await world.live(minutes=2)
    assert world.steps == [Step.RESUME]


async def test_rule_12_another_watchdog_is_given_its_time() -> None:
    world = await _ready()
    world.gateway.tails[KEY] = tail_of(
        fingerprint="tail-1", deed_mark="i20261120-0001-ffff/1", deed_at=world.clock.now().wall
    )
    await world.live(minutes=14)
    assert world.steps == []
    assert world.held() == ["foreign_deed"]
    await world.live(minutes=2)
    assert world.steps == [Step.RESUME]


async def test_rule_12_our_own_turn_of_an_incident_that_is_over_is_not_another_watchdogs() -> None:
    thresholds = {"stuck_after": timedelta(minutes=2)}
    world = World(book=PolicyBook(default=policy(thresholds=thresholds)))
    world.gateway.put(dead())
    await world.until_deed()
    await world.live(minutes=1)
    ours = world.attempts[0]
    world.gateway.tails[KEY] = tail_of(deed_mark=f"{ours.incident}/{ours.number}", deed_at=world.clock.now().wall)
    world.gateway.put(dead(started_at=BOOT - timedelta(minutes=5)))
    assert await world.until_deed(2) <= timedelta(minutes=5)


@pytest.mark.parametrize(
    ("age", "goes_on"),
    [(timedelta(hours=1), True), (timedelta(hours=3), False), (timedelta(days=9), False), (None, False)],
)
async def test_rule_12_a_request_cut_long_ago_is_asked_about(age: timedelta | None, goes_on: bool) -> None:
    world = World(version=V324)
    world.gateway.booted_at = START.wall - timedelta(minutes=1)
    cut = START.wall - age if age is not None else None
    world.gateway.put(dead(started_at=(cut or START.wall - timedelta(days=9)) - timedelta(minutes=3)))
    world.gateway.tails[KEY] = tail_of(at=cut)
    await world.until_deed()
    (deed,) = world.gateway.performed
    assert deed.message is not None
    assert deed.step is (Step.RESUME if goes_on else Step.ASK)
    assert ("Please continue and finish it now" in deed.message) is goes_on
    assert (REQUEST in deed.message) is goes_on, "a question quotes nothing"
    assert deed.message.endswith(mark(world.incidents[0].id, 1)) is goes_on


async def test_rule_12_asking_about_an_old_request_does_not_make_it_a_new_one() -> None:
    """The turn that asks is itself cut by a crash: the request is still as old as it was."""
    world = World(version=V324)
    now = START.wall
    world.gateway.booted_at = now - timedelta(minutes=1)
    asked = now - timedelta(minutes=10)
    world.gateway.put(dead(started_at=asked + timedelta(seconds=1)))
    world.gateway.tails[KEY] = tail_of(at=now - timedelta(hours=9), deed_at=asked, deed_mark="i20261120-0001-0000/1")
    await world.until_deed()
    assert world.steps == [Step.ASK]


async def test_rule_12_what_a_restart_cut_like_a_stop_is_asked_about() -> None:
    """3.24 and 4.14 write the same transcript for both."""
    world = World(version=V414, state_dir="/s")
    world.gateway.put(vague())
    world.gateway.locks[KEY] = LockSight(Lock.HELD_BY_GATEWAY, 7)
    await world.live(minutes=3)
    world.gateway.restart(in_process=True)
    world.gateway.change(KEY, updated_at=world.clock.now().wall)
    world.gateway.locks[KEY] = LockSight(Lock.NONE)
    world.gateway.tails[KEY] = tail_of(TailKind.STOPPED)
    await world.until_deed()
    assert world.steps == [Step.ASK]


# ---------------------------------------------------------------- 13


async def test_rule_13_the_gentlest_first_and_each_rung_once() -> None:
    world = World(book=PolicyBook(default=lenient(ladder=(Step.RESUME, Step.NEW, Step.RESET))))
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    await world.live(hours=2)
    assert world.steps == [Step.RESUME, Step.NEW, Step.RESET]


@pytest.mark.parametrize("step", [Step.NEW, Step.RESET])
async def test_rule_13_what_is_lost_is_written_down_first(step: Step) -> None:
    world = World(book=PolicyBook(default=policy(ladder=(step,))))
    world.gateway.put(dead())
    world.notes.broken = True
    await _is_left_alone(world)
    assert world.attempts == []
    assert world.held() == ["ledger_unavailable"]
    (message,) = world.owed()
    assert "Now: " not in message.body
    assert "The handoff note could not be saved" in message.body
    world.notes.broken = False
    await world.until_deed()
    ((incident, number, text),) = world.notes.saved
    assert (incident, number) == (world.incidents[0].id, 1)
    assert REQUEST in text
    assert f"sid-{KEY}" in text
    assert [note.path for note in world.ledger.notes(incident)] == [f"/notes/{incident}-a1.md"]
    await world.live(minutes=2)
    assert world.told() == ["stuck", "recovered"]
    assert f"/notes/{incident}-a1.md" in world.owed(MessageKind.RECOVERED)[0].body


async def test_rule_13_a_resume_needs_no_note() -> None:
    world = await _ready()
    await world.look()
    assert world.steps == [Step.RESUME]
    assert world.notes.saved == []
