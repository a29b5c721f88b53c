"""Whole stories of sessions: what a deed leads to, who may hold it, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
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
from tests.fakes.world import World
from watchdog.core.model import Lock, LockSight, SessionKind, Status, TailKind
from watchdog.core.policy import BACKGROUND_MATCHES, Match, Mode, Policy, PolicyBook, Step
from watchdog.service import errors
from watchdog.service.events import Event
from watchdog.service.ledger import Message, MessageKind, Outcome
from watchdog.service.ports import Deed, Receipt
from watchdog.service.watch import may_act

KEY = dead().key
B = "agent:main:b"


def _world(default: Policy | None = None, *, version: str = V96, **changes: Any) -> World:
    world = World(book=PolicyBook(default=default or lenient()), version=version, **changes)
    world.gateway.put(dead())
    return world


# ---------------------------------------------------------------- what a deed leads to


async def test_a_resume_that_helps() -> None:
    world = _world()
    await world.until_deed()
    (deed,) = world.gateway.performed
    assert (deed.step, deed.session.key, deed.route) == (Step.RESUME, KEY, dead().reply_address)
    assert f"> {REQUEST}" in str(deed.message)
    assert deed.notice is None
    await world.live(minutes=1)
    assert world.attempts[0].verified_by == "NewRunDone"
    (line,) = world.log.of(Event.RECOVERY_SUCCEEDED)
    assert (line["reason"], line["step"], line["run_id"]) == ("NewRunDone", "resume", deed.idempotency_key)
    assert world.verdict_of(KEY) == "healthy"


async def test_on_96_the_delivery_is_proven_too() -> None:
    for delivery, proof in ((True, "NewRunDone, TerminalDeliverySent"), (False, "NewRunDone"), (None, "NewRunDone")):
        world = _world()
        world.gateway.delivery = delivery
        await world.until_deed()
        await world.live(minutes=1)
        assert world.attempts[0].verified_by == proof


async def test_a_proof_of_delivery_that_cannot_be_had_spoils_nothing() -> None:
    world = _world()
    world.gateway.failing["delivered"] = errors.GatewayClosed("home: gone.", 1006)
    await world.until_deed()
    await world.live(minutes=1)
    assert world.states == [("resume", "succeeded")]


async def test_a_fresh_session_tells_the_person_and_keeps_a_note() -> None:
    world = _world(lenient(ladder=(Step.NEW,)))
    await world.until_deed()
    (deed,) = world.gateway.performed
    assert deed.message is None
    assert "fresh session was started" in str(deed.notice)
    assert REQUEST in str(deed.notice)
    await world.live(minutes=1)
    assert world.states == [("new", "succeeded")]


@pytest.mark.parametrize("is_told", [True, None])
async def test_whether_the_person_was_told_of_their_fresh_session_is_said_where_nobody_knows(
    is_told: bool | None,
) -> None:
    """Whoever dies between the step and the notice does not say it again: it may have been heard."""
    world = _world(lenient(ladder=(Step.NEW,)))
    world.gateway.effect = lambda deed: replace(world.gateway.cure(deed), delivered=is_told)
    await world.until_deed()
    await world.live(minutes=1)
    (message,) = world.owed(MessageKind.RECOVERED)
    assert ("Whether they were told so in their chat is not known" in message.body) is (is_told is None)


async def test_a_start_of_the_gateway_ends_no_incident_whose_row_stays_as_it_was() -> None:
    """It was called cleared, and stuck again twenty minutes later; so it was after every start of ours beside a gateway whose clock
    differs."""
    world = _world(lenient(ladder=(Step.NOTIFY,)))
    await world.live(minutes=30)
    assert world.told() == ["stuck"]
    world.gateway.restart()
    await world.live(minutes=1)
    assert world.verdict_of(KEY) == "waiting"
    await world.live(minutes=40)
    assert (world.told(), [incident.outcome for incident in world.incidents]) == (["stuck"], [Outcome.OPEN])
    world.gateway.finish(KEY)
    await world.live(minutes=1)
    assert [incident.outcome for incident in world.incidents] == [Outcome.CLEARED]


async def test_a_turn_that_fails_climbs_the_ladder() -> None:
    """9.6: "restart recovery claim changed before agent adoption" fails the first turn; the row is free again."""
    world = _world()
    world.gateway.effect = world.gateway.fail
    await world.until_deed()
    await world.live(minutes=2)
    assert world.attempts[0].reason == "NewRunFailed"
    assert world.states == [("resume", "ineffective")]
    assert [incident.outcome for incident in world.incidents] == [Outcome.FAILED]
    assert world.told() == ["stuck", "ineffective", "ineffective"], "nobody has an answer: not cleared"


async def test_a_turn_that_hangs_is_not_taken_for_a_recovery() -> None:
    world = _world()
    world.gateway.effect = world.gateway.hang
    await world.until_deed()
    await world.live(minutes=3)
    assert world.attempts[0].reason == "NewRunSilent"
    assert [incident.is_open for incident in world.incidents] == [True], "our own turn is still on it"
    await world.live(minutes=40)
    assert world.steps == [Step.RESUME], "its owner is alive: nothing harsher is done to it"
    mark = f"{world.incidents[0].id}/1"
    world.gateway.see(KEY, tail=tail_of(deed_mark=mark))
    world.gateway.finish(KEY, has_active_run=False)
    await world.live(minutes=1)
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]
    assert world.attempts[0].verified_by == "TurnAnswered"
    assert world.told()[-1] == "recovered", "one word in log, page and message"


async def test_a_turn_that_hangs_and_dies_climbs_the_ladder_of_the_same_incident() -> None:
    world = _world()
    world.gateway.effect = world.gateway.hang
    await world.until_deed()
    await world.live(minutes=5)
    world.gateway.change(KEY, has_active_run=False)
    world.gateway.effect = world.gateway.cure
    await world.until_deed(2)
    await world.live(minutes=1)
    assert world.states == [("resume", "ineffective"), ("new", "succeeded")]
    assert len(world.incidents) == 1


@pytest.mark.parametrize("minutes", [4, 12])
async def test_a_turn_that_is_answered_after_it_was_given_up_is_a_success(minutes: int) -> None:
    """Its row goes on saying ``running``: the session was given up although its person had the answer (9.6)."""
    world = _world()
    world.gateway.effect = world.gateway.hang
    await world.until_deed()
    await world.live(minutes=minutes)
    assert world.attempts[0].reason == "NewRunSilent"
    mark = f"{world.incidents[0].id}/1"
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, deed_mark=mark, at=world.clock.now().wall))
    world.gateway.change(KEY, has_active_run=False)
    await world.live(hours=2)
    assert world.steps == [Step.RESUME]
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]
    assert world.owed(MessageKind.QUARANTINED) == []
    assert world.told()[-1] == "recovered"


async def test_a_session_that_was_given_up_stays_so_whatever_our_turn_says_then() -> None:
    """What is said may be half of an answer, and a fresh budget would begin it all again."""
    world = _world(lenient(ladder=(Step.RESUME,)))
    world.gateway.effect = world.gateway.hang
    await world.until_deed()
    world.gateway.change(KEY, has_active_run=False)
    await world.live(hours=1)
    assert [incident.outcome for incident in world.incidents] == [Outcome.QUARANTINED]
    mark = f"{world.incidents[0].id}/1"
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, deed_mark=mark, at=world.clock.now().wall))
    await world.live(hours=2)
    assert [entry.session for entry in world.ledger.quarantines()] == [KEY]
    world.ledger.note_proof(world.attempts[0].id, "TurnAnswered")
    await world.live(hours=2)
    assert [entry.session for entry in world.ledger.quarantines()] == [KEY], "not by any answer of ours"
    assert world.steps == [Step.RESUME]


@pytest.mark.parametrize(
    "also",
    [
        {"has_pending_input": True},
        {"has_run_in_flight": True},
        {"at": BOOT},  # answered long before the row's run began: another's
    ],
)
async def test_a_late_answer_hides_nothing_that_came_after_it(also: dict[str, Any]) -> None:
    world = _world()
    world.gateway.effect = world.gateway.hang
    await world.until_deed()
    await world.live(minutes=4)
    mark = f"{world.incidents[0].id}/1"
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, deed_mark=mark, **{"at": world.clock.now().wall} | also))
    world.gateway.change(KEY, has_active_run=False)
    await world.live(hours=2)
    assert [incident.outcome for incident in world.incidents] != [Outcome.RECOVERED]


@pytest.mark.parametrize("is_given_up", [False, True])
async def test_what_is_done_and_answered_by_nobody_is_not_called_recovered(is_given_up: bool) -> None:
    """Our turn is cut by the gateway's end, and its next start calls the row done: 2026.6.33 asks its model nothing."""
    world = _world(policy(backoff=(timedelta(minutes=30),)))
    world.gateway.effect = world.gateway.hang
    await world.until_deed()
    await world.live(minutes=4 if is_given_up else 0.5)
    world.gateway.restart()
    world.gateway.change(KEY, status=Status.DONE, has_active_run=False)
    world.gateway.see(KEY, tail=tail_of(TailKind.REQUEST, deed_mark=f"{world.incidents[0].id}/1"))
    await world.live(minutes=10)
    assert [incident.outcome for incident in world.incidents] == [Outcome.CLEARED]
    assert world.steps == [Step.RESUME]
    assert "Nothing is left to do" not in "".join(message.body for message in world.owed())
    assert world.told()[-1] == "cleared"


@pytest.mark.parametrize(
    ("mark", "outcome"),
    [(None, Outcome.CLEARED), ("i20260901-0001-abcd/1", Outcome.CLEARED), ("ours", Outcome.RECOVERED)],
)
@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=-20)])
async def test_what_another_run_ended_is_not_called_our_recovery(
    mark: str | None, outcome: Outcome, ahead: timedelta
) -> None:
    """Our turn came to nothing, and is not to be seen; then somebody else's ended the row. An older deed's mark may stand there still,
    and the gateway's clock may be another."""
    world = _world(policy(backoff=(timedelta(minutes=10),)))
    world.gateway.clock_skew = ahead
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    await world.live(minutes=3)
    assert world.states == [("resume", "ineffective")]
    if mark == "ours":
        mark = f"{world.incidents[0].id}/1"
    settled_at = world.attempts[0].settled_at
    assert settled_at is not None
    began = settled_at + timedelta(seconds=5) + ahead
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, deed_mark=mark, overtaken_mark=mark, at=began))
    world.gateway.change(KEY, status=Status.DONE, started_at=began, ended_at=began)
    await world.live(minutes=1)
    assert [incident.outcome for incident in world.incidents] == [outcome]


async def test_a_session_that_a_person_reset_meanwhile_begins_with_the_gentlest_step() -> None:
    world = _world(policy(backoff=(timedelta(minutes=10),)))
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    await world.live(minutes=3)
    assert world.states == [("resume", "ineffective")]
    world.gateway.change(KEY, session_id="sid-2", started_at=world.clock.now().wall)
    world.gateway.restart()
    await world.until_deed(2)
    assert world.steps == [Step.RESUME, Step.RESUME]
    assert [incident.outcome for incident in world.incidents] == [Outcome.CLEARED, Outcome.OPEN]
    assert [attempt.number for attempt in world.attempts] == [1, 1]


async def test_a_fresh_session_of_ours_that_hangs_again_stays_in_its_incident() -> None:
    world = _world(lenient(ladder=(Step.NEW, Step.RESUME)))
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    await world.live(minutes=3)
    world.gateway.change(KEY, session_id="sid-2", started_at=world.clock.now().wall)
    world.gateway.restart()
    await world.live(minutes=40)
    assert len(world.incidents) == 1


async def test_a_turn_that_writes_is_progress() -> None:
    world = _world()

    def works(deed: Deed) -> Receipt:
        world.gateway.hang(deed)
        world.gateway.tails[KEY] = tail_of(TailKind.TOOL_CALL, fingerprint="tail-2")
        return Receipt(deed.idempotency_key, "started")

    world.gateway.effect = works
    await world.until_deed()
    await world.live(minutes=1)
    assert world.attempts[0].verified_by == "NewRunProgresses"
    assert world.told() == ["stuck", "recovered"]


async def test_nothing_happens_and_the_next_rung_follows_after_its_wait() -> None:
    world = _world(policy(backoff=(timedelta(minutes=10),)))
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    sent_at = world.clock.now()
    await world.until_deed(2)
    assert world.steps == [Step.RESUME, Step.NEW]
    assert world.clock.now().since(sent_at) >= timedelta(minutes=11, seconds=30), "verify_within, then the back-off"
    assert "cool_down" in str(world.log.of(Event.RECOVERY_HELD))


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_set_makes_no_attempt_late_and_keeps_none_open(hours: int) -> None:
    """A laptop that sleeps beside a working turn, or a clock set back by summer time: the wait is the same."""
    world = _world(policy(backoff=(timedelta(minutes=1),)))
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    await world.live(seconds=30)
    world.clock.step(hours * 3600)
    await world.live(seconds=30)
    assert world.states == [("resume", "started")], "not yet late"
    await world.live(minutes=2)
    assert world.states == [("resume", "ineffective")]
    await world.until_deed(2, minutes=30)
    assert world.steps == [Step.RESUME, Step.NEW]


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_set_before_the_deed_holds_it_no_longer_than_a_full_look(hours: int) -> None:
    world = _world()
    world.gateway.booted_at = world.clock.now().wall - timedelta(hours=1)
    await world.live(minutes=10)
    world.clock.step(hours * 3600)
    assert await world.until_deed(minutes=30) >= timedelta(minutes=20)


async def test_a_session_that_is_gone_after_the_deed() -> None:
    world = _world()

    def deletes(deed: Deed) -> Receipt:
        world.gateway.rows.pop(KEY)
        return Receipt(None, "started")

    world.gateway.effect = deletes
    await world.until_deed()
    await world.live(minutes=3)
    assert world.attempts[0].reason == "SessionGone"
    assert [incident.outcome for incident in world.incidents] == [Outcome.CLEARED]


async def test_a_session_that_cannot_be_seen_is_verified_later() -> None:
    world = _world()
    await world.until_deed()
    row = world.gateway.rows.pop(KEY)
    world.gateway.is_complete = False
    await world.live(minutes=5)
    assert world.states == [("resume", "started")]
    world.gateway.put(row)
    world.gateway.is_complete = True
    await world.live(minutes=1)
    assert world.states == [("resume", "succeeded")]


async def test_a_session_that_heals_by_itself() -> None:
    world = _world(policy(mode=Mode.OBSERVE))
    await world.live(minutes=25)
    world.gateway.change(KEY, status=Status.DONE)
    await world.live(minutes=1)
    assert [incident.outcome for incident in world.incidents] == [Outcome.CLEARED]
    assert world.told() == ["stuck", "cleared"]
    assert world.log.names.count(Event.SESSION_CLEARED) == 1


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("refusal", "steps", "outcome"),
    [
        (
            errors.RequestRefused("home: busy.", code="UNAVAILABLE", detail="try later", retryable=True),
            ["resume", "resume"],
            None,
        ),
        (errors.GatewayDraining("home: later."), ["resume", "resume"], None),
        (
            errors.RequestRefused("home: no.", code="INVALID_REQUEST", detail="changed while starting work"),
            ["resume", "new"],
            None,
        ),
        (errors.UnknownMethod("home: no such method."), ["resume", "new"], None),
        (errors.ScopeRefused("home: no scope."), ["resume", "new"], None),
        (
            errors.RequestRefused("home: no.", code="INVALID_REQUEST", detail="session not found: x"),
            ["resume"],
            Outcome.QUARANTINED,
        ),
        (
            errors.RequestRefused("home: no.", code="X", detail="another OpenClaw process owns state-lifecycle"),
            ["resume"],
            Outcome.QUARANTINED,
        ),
    ],
)
async def test_what_a_refusal_leads_to(refusal: errors.GatewayError, steps: list[str], outcome: Outcome | None) -> None:
    world = _world()
    world.gateway.failing["perform"] = refusal
    await world.until_deed()
    del world.gateway.failing["perform"]
    await world.live(minutes=10)
    assert [step.value for step in world.steps] == steps
    assert world.states[0] == ("resume", "refused")
    assert world.incidents[0].outcome is (outcome or Outcome.RECOVERED)
    assert world.log.names.count(Event.RECOVERY_REFUSED) == 1


@pytest.mark.parametrize(
    "kind", [errors.GatewayStarting, errors.GatewayDraining, errors.GatewaySuspended], ids=lambda kind: kind.__name__
)
async def test_who_refuses_each_deed_as_away_is_not_asked_for_ever(kind: type[errors.GatewayAway]) -> None:
    """It lists its sessions all the while: once it may pass, and what repeats is paid for."""
    world = _world()
    world.gateway.failing["perform"] = kind("home: not now.", "UNAVAILABLE: come back later")
    await world.until_deed()
    assert [attempt.is_charged for attempt in world.attempts] == [False]
    await world.live(hours=1)
    assert world.states == [("resume", "refused")] * 4
    assert [attempt.is_charged for attempt in world.attempts] == [False, True, True, True]
    (message,) = world.owed(MessageKind.QUARANTINED)
    assert message.body.count("UNAVAILABLE: come back later") == 4


@pytest.mark.parametrize(
    "away",
    [
        errors.GatewayDraining("home: it closed the connection to restart."),
        errors.GatewayStarting("home: it is still starting."),
        errors.GatewayClosed("home: the connection broke without a goodbye.", 1006),
        errors.GatewayUnreachable("home: it cannot be reached."),
        errors.OutOfDescriptors("home: no descriptor is left."),
    ],
    ids=lambda away: type(away).__name__,
)
async def test_what_is_never_sent_costs_its_session_nothing_and_is_told_once(away: errors.GatewayError) -> None:
    """Nothing was answered, the deed never left; its list is answered all the while. One session, or all of that gateway, is not
    given up for an outage."""
    world = _world()
    world.gateway.failing["perform"] = away
    await world.live(minutes=50)
    assert set(world.states) == {("resume", "refused")}
    assert not any(attempt.is_charged for attempt in world.attempts)
    (message,) = world.owed(MessageKind.INEFFECTIVE)
    assert (message.title.split(":")[0], message.body.count("never sent: ")) == ("Not sent", 2)
    assert "2 times" in message.body
    world.gateway.failing.clear()
    await world.live(hours=1)
    assert world.incidents[0].outcome is Outcome.RECOVERED


async def test_what_was_never_sent_makes_no_first_refusal_a_second_one() -> None:
    world = _world()
    world.gateway.failing["perform"] = errors.GatewayClosed("home: the connection broke without a goodbye.", 1006)
    await world.until_deed()
    world.gateway.failing["perform"] = errors.GatewayStarting("home: not now.", "UNAVAILABLE: come back later")
    await world.live(hours=1)
    assert [attempt.is_charged for attempt in world.attempts] == [False, False, True, True, True]


@pytest.mark.parametrize("is_queued", [True, False])
async def test_a_turn_of_ours_that_waits_to_be_taken_up_is_given_ten_times_as_long(is_queued: bool) -> None:
    """9.6: the gateway's own recovery is at work, and our words lie among those that wait."""
    world = _world(lenient(verify_within=timedelta(minutes=2)))

    def wait(deed: Deed) -> Receipt:
        world.gateway.see(KEY, tail=tail_of(has_pending_input=is_queued))
        return world.gateway.nothing(deed)

    world.gateway.effect = wait
    await world.until_deed()
    await world.live(minutes=4)
    assert world.states[0] == ("resume", "started" if is_queued else "ineffective")
    await world.live(minutes=15)
    assert world.states[0] == ("resume", "started" if is_queued else "ineffective")
    await world.live(minutes=3)
    assert world.states[0] == ("resume", "ineffective")


async def test_a_refusal_of_what_was_settled_as_unclear_meanwhile_is_called_unclear() -> None:
    """A deed by hand, while a daemon begins its life."""
    world = _world()

    def refuse(_: Deed) -> Receipt:
        world.ledger.settle_start_up(world.clock.now().wall)
        raise errors.RequestRefused("home: no.", code="UNAVAILABLE", detail="busy", retryable=True)

    world.gateway.effect = refuse
    await world.until_deed()
    assert world.states == [("resume", "indeterminate")]
    assert world.log.names.count(Event.RECOVERY_REFUSED) == 0
    (unclear,) = world.log.of(Event.RECOVERY_INDETERMINATE)
    assert "no." in str(unclear["reason"])
    assert [one[2] for one in world.meter.counted if one[0] == "attempt"] == ["started", "indeterminate"]


@pytest.mark.parametrize(
    "problem",
    [
        errors.ScopeRefused("home: operator.write is not granted."),
        errors.PairingRequired("home: approve this device."),
        errors.AuthenticationRefused("home: wrong token."),
    ],
    ids=lambda problem: type(problem).__name__,
)
async def test_a_sign_in_for_a_deed_that_is_refused_holds_it_with_the_way_out(problem: errors.GatewayError) -> None:
    world = _world()
    world.gateway.failing["prepare"] = problem
    await world.live(minutes=25)
    assert world.steps == []
    assert world.attempts == []
    (line,) = world.log.of(Event.RECOVERY_HELD)
    assert line["blockers"] == ["scope_missing"]
    assert str(problem) in str(line["reason"])


@pytest.mark.parametrize(
    ("name", "blocker"), [("scope_problems", "scope_missing"), ("step_problems", "step_unavailable")]
)
async def test_a_step_that_cannot_work_here_is_not_sent_and_ignored(name: str, blocker: str) -> None:
    world = _world()
    getattr(world.gateway, name)[Step.RESUME] = "It needs operator.write."
    await world.live(minutes=25)
    assert world.steps == []
    assert world.held() == [blocker]
    assert "prepare" not in world.gateway.calls


# ---------------------------------------------------------------- operators


Switch = Callable[[World], object]


def _pause(world: World, *, gateway: str | None = None, session: str | None = None, minutes: float = 0) -> object:
    now = world.clock.now().wall
    until = now + timedelta(minutes=minutes) if minutes else None
    return world.ledger.pause(at=now, until=until, gateway=gateway, session=session, reason="deploying", who="me")


@pytest.mark.parametrize(
    ("scope", "is_held"),
    [
        ({}, True),
        ({"gateway": "home"}, True),
        ({"session": KEY}, True),
        ({"gateway": "other"}, False),
        ({"session": B}, False),
    ],
)
async def test_a_pause_holds_what_it_covers(scope: dict[str, Any], is_held: bool) -> None:
    world = _world()
    _pause(world, **scope)
    await world.live(minutes=25)
    assert (world.steps == []) is is_held
    if is_held:
        assert world.held() == ["paused"]
        assert world.verdict_of(KEY) == "stuck", "watching goes on"
        world.ledger.unpause(at=world.clock.now().wall, gateway=None, session=None, who="me")
        await world.live(minutes=1)
        assert world.steps == [Step.RESUME]


async def test_a_pause_ends_by_itself() -> None:
    world = _world()
    _pause(world, minutes=40)
    assert await world.until_deed() >= timedelta(minutes=40)


@pytest.mark.parametrize("how", ["run --observe", "mode: observe"])
async def test_observing_never_acts_never_signs_in_for_a_deed_and_gives_nobody_up(how: str) -> None:
    book = PolicyBook(default=policy(mode=Mode.OBSERVE if how == "mode: observe" else Mode.RECOVER))
    world = World(book=book, is_observing=how == "run --observe")
    world.gateway.put(dead())
    await world.live(hours=1)
    assert world.steps == []
    assert world.attempts == []
    assert "prepare" not in world.gateway.calls
    assert world.held() == ["observe_mode"]
    (message,) = world.owed(MessageKind.STUCK)
    assert "nothing is ever done" in message.body
    assert "Now:" not in message.body
    assert world.told() == ["stuck"]
    assert world.ledger.quarantines() == []


@pytest.mark.parametrize("spent", [0, 3])
async def test_observing_gives_nobody_up_even_with_a_spent_budget(spent: int) -> None:
    world = _world(lenient(budget=budget(spent or 1)))
    world.gateway.effect = world.gateway.nothing
    if spent:
        await world.until_deed()
        world.die_and_start_again()
    world.watch.is_observing = True
    await world.live(hours=1)
    assert world.ledger.quarantines() == []


async def test_the_background_is_told_and_not_touched() -> None:
    policies = tuple(
        policy(name=f"background {number}", ladder=(Step.NOTIFY,), match=match)
        for number, match in enumerate(BACKGROUND_MATCHES)
    )
    world = World(book=PolicyBook(policies))
    world.gateway.put(
        dead("agent:main:cron:k1", kind=SessionKind.CRON),
        dead("agent:main:acp:x", kind=SessionKind.ACP),
        dead("agent:main:subagent:y", kind=SessionKind.SUBAGENT),
        dead("agent:main:old", is_archived=True),
    )
    await world.live(hours=1)
    assert world.steps == []
    assert world.told() == ["stuck"] * 4
    assert {line["blockers"][0] for line in world.log.of(Event.RECOVERY_HELD)} == {"notify_only"}  # type: ignore[index]
    assert ("held", "notify_only") in world.meter.counted


async def test_a_users_own_policy_comes_before_the_built_in_ones() -> None:
    mine = policy(name="mine", ladder=(Step.RESUME,), match=Match(key=("agent:main:cron:*",)))
    built_in = policy(name="background", ladder=(Step.NOTIFY,), match=Match(kind=("cron",)))
    world = World(book=PolicyBook((mine, built_in)))
    world.gateway.put(dead("agent:main:cron:k1", kind=SessionKind.CRON))
    await world.until_deed()


async def test_other_policies_from_the_next_pass_on() -> None:
    world = _world(policy(mode=Mode.OBSERVE))
    await world.live(minutes=25)
    world.watch.take_book(PolicyBook(default=policy()))
    await world.look()
    assert world.steps == [Step.RESUME], "what was observed so far stays"


# ---------------------------------------------------------------- quarantine


async def _quarantined() -> World:
    world = _world(lenient(budget=budget(1)))
    world.gateway.effect = world.gateway.nothing
    await world.live(minutes=40)
    assert len(world.ledger.quarantines()) == 1
    world.gateway.effect = world.gateway.cure
    return world


async def test_a_quarantined_session_is_left_alone_and_that_is_said_once() -> None:
    world = await _quarantined()
    await world.live(hours=1)
    assert len(world.steps) == 1
    assert world.told().count("quarantined") == 1
    assert world.log.names.count(Event.SESSION_QUARANTINED) == 1
    assert len(world.incidents) == 1, "no new incident is opened for it"


async def test_a_quarantine_says_what_was_used_up() -> None:
    """Not what else held at that moment: it is always still cooling down then."""
    world = await _quarantined()
    (entry,) = world.ledger.quarantines()
    assert entry.reason == "1 attempts within 3d are used up."
    assert "Cooling" not in world.owed(MessageKind.QUARANTINED)[0].body
    climbed = _world(lenient(ladder=(Step.RESUME,)))
    climbed.gateway.effect = climbed.gateway.nothing
    await climbed.live(minutes=40)
    assert climbed.ledger.quarantines()[0].reason == "Every step of the ladder was tried."


async def test_a_quarantine_survives_the_daemon() -> None:
    world = await _quarantined()
    world.die_and_start_again()
    await world.live(hours=1)
    assert len(world.steps) == 1


@pytest.mark.parametrize(
    "rebirth",
    [
        lambda w: w.gateway.change(KEY, session_id="sid-2", status=Status.ABSENT),
        lambda w: w.gateway.change(KEY, status=Status.DONE, started_at=w.clock.now().wall),
    ],
    ids=["a new session", "a run that completed"],
)
async def test_a_quarantine_ends_when_the_session_lives_again(rebirth: Switch) -> None:
    world = await _quarantined()
    rebirth(world)
    await world.live(minutes=1)
    assert world.ledger.quarantines() == []
    assert world.log.names.count(Event.SESSION_RELEASED) == 1
    world.gateway.put(dead(session_id=world.gateway.rows[KEY].session_id))
    await world.until_deed(2)


@pytest.mark.parametrize(
    "change",
    [
        {"status": Status.FAILED},
        {"status": Status.DONE},
        {"started_at": BOOT - timedelta(minutes=1)},
        {"session_id": None},
    ],
    ids=str,
)
async def test_a_quarantine_does_not_end_for_less(change: dict[str, Any]) -> None:
    world = await _quarantined()
    world.gateway.change(KEY, **change)
    await world.live(minutes=1)
    assert len(world.ledger.quarantines()) == 1


# ---------------------------------------------------------------- several at once


async def test_at_most_so_many_deeds_are_in_flight_and_the_oldest_go_first() -> None:
    world = World(book=PolicyBook(default=lenient(max_concurrent=2)))
    rows = [dead(f"agent:main:s{number}", started_at=BOOT - timedelta(minutes=number)) for number in (1, 2, 3)]
    world.gateway.put(*rows)
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    assert [deed.session.key for deed in world.gateway.performed] == ["agent:main:s3", "agent:main:s2"]
    assert world.held() == ["concurrency"]
    assert world.reports[-1].in_flight == 2
    await world.live(minutes=1)
    assert len(world.steps) == 2


async def test_the_breaker_lets_proven_deaths_pass_and_closes_when_it_is_over() -> None:
    default = policy(fleet_breaker=breaker(3))
    world = World(book=PolicyBook(default=default))
    suspects = [vague(f"agent:main:s{number}", has_active_run=False) for number in range(4)]
    world.gateway.put(*suspects, dead("agent:main:orphan"))
    await world.live(minutes=23)
    assert [deed.session.key for deed in world.gateway.performed] == ["agent:main:orphan"]
    for row in suspects[:2]:
        world.gateway.change(row.key, has_active_run=True)
    await world.live(minutes=3)
    assert world.log.names.count(Event.FLEET_BREAKER_CLOSED) == 1
    assert world.told().count("fleet_breaker") == 2
    assert {deed.session.key for deed in world.gateway.performed} == {
        "agent:main:orphan",
        "agent:main:s2",
        "agent:main:s3",
    }


@pytest.mark.parametrize(("healthy", "is_open"), [(3, True), (4, False)])
async def test_the_breaker_looks_at_the_share_too(healthy: int, is_open: bool) -> None:
    world = World(book=PolicyBook(default=policy(fleet_breaker=breaker(3), mode=Mode.OBSERVE)))
    world.gateway.put(*(vague(f"agent:main:s{number}", has_active_run=False) for number in range(3)))
    world.gateway.put(*(vague(f"agent:main:h{number}", has_active_run=True) for number in range(healthy)))
    await world.live(minutes=22)
    assert (Event.FLEET_BREAKER_OPENED in world.log.names) is is_open


async def test_sessions_do_not_disturb_each_other() -> None:
    world = _world()
    world.gateway.put(dead(B), vague("agent:main:c", has_active_run=True))
    world.gateway.tails[KEY] = tail_of(TailKind.STOPPED)
    await world.live(minutes=25)
    assert [deed.session.key for deed in world.gateway.performed] == [B]


async def test_a_session_listed_under_two_keys_is_held() -> None:
    world = _world()
    world.gateway.put(dead(B, session_id=dead().session_id))
    await world.live(minutes=25)
    assert world.steps == []
    assert world.held() == ["ambiguous_session"]


# ---------------------------------------------------------------- what is seen of it


async def test_a_pass_reports_what_it_saw() -> None:
    world = _world()
    world.gateway.put(
        vague("agent:main:c", has_active_run=True), vague("agent:main:d"), dead("agent:main:e", status=Status.DONE)
    )
    report = await world.look()
    assert report.is_good
    assert report.verdicts() == {
        "healthy": 3,
        "suspect": 1,
        "waiting": 0,
        "long_running": 0,
        "stuck": 0,
        "unknown": 0,
    }
    assert report.next_due == world.clock.now().plus(timedelta(minutes=20))
    await world.live(minutes=21)
    assert world.reports[-1].verdicts()["stuck"] == 0, "it was recovered"


async def test_after_a_deed_it_looks_again_soon() -> None:
    world = _world()
    await world.until_deed()
    due = world.reports[-1].next_due
    assert due is not None
    assert due.since(world.clock.now()) <= timedelta(seconds=2)


async def test_a_glimpse_of_a_suspect_is_not_worth_a_line() -> None:
    """A terminal write may still be on its way (2026.9.6)."""
    world = _world()
    await world.look()
    assert Event.SESSION_SUSPECT not in world.log.names
    await world.live(minutes=5)
    assert world.log.names.count(Event.SESSION_SUSPECT) == 1


async def test_a_verdict_that_comes_and_goes_is_worth_one_line_for_each_run() -> None:
    """2026.5.18: the lock file of one healthy run was there and gone every 4 s, 15 lines a minute."""
    world = _world()
    for number in range(12):
        world.gateway.change(KEY, has_active_run=number % 4 < 2)
        await world.live(minutes=1)
    assert world.log.names.count(Event.SESSION_SUSPECT) == 1
    world.gateway.change(KEY, started_at=world.clock.now().wall - timedelta(days=3), has_active_run=False)
    await world.live(minutes=5)
    assert world.log.names.count(Event.SESSION_SUSPECT) == 2, "another run"


async def test_a_hold_is_logged_when_its_reasons_change() -> None:
    world = _world()
    _pause(world)
    await world.live(minutes=30)
    world.gateway.scope_problems[Step.RESUME] = "It needs operator.write."
    await world.live(minutes=10)
    assert [line["blockers"] for line in world.log.of(Event.RECOVERY_HELD)] == [["paused"], ["paused", "scope_missing"]]
    assert world.meter.counted.count(("held", "paused")) > 10, "and counted every time"


async def test_the_opened_message_says_what_will_be_done_or_why_not() -> None:
    acting, held = _world(), _world()
    _pause(held)
    await acting.live(minutes=21)
    await held.live(minutes=21)
    (first,) = acting.owed(MessageKind.STUCK)
    (second,) = held.owed(MessageKind.STUCK)
    assert "Paused" not in first.body
    assert "Paused: deploying" in second.body
    assert REQUEST not in first.body + second.body


async def test_detection_is_measured_from_when_it_was_due() -> None:
    world = _world()
    await world.until_deed()
    (delay,) = [entry[1] for entry in world.meter.counted if entry[0] == "delay"]
    assert delay == 0.0


def test_the_steps_a_sign_in_must_be_good_for() -> None:
    book = PolicyBook(
        (policy(name="a", ladder=(Step.NOTIFY,)), policy(name="b", ladder=(Step.RESET,), mode=Mode.OBSERVE)),
        policy(ladder=(Step.RESUME, Step.NEW)),
    )
    assert may_act(book) == {Step.RESUME, Step.NEW}
    assert may_act(PolicyBook(default=policy(mode=Mode.OBSERVE))) == frozenset()


@pytest.mark.parametrize("version", [V324, V518, V96])
async def test_ages_come_from_us_and_dates_from_the_row(version: str) -> None:
    world = World(version=version)
    world.gateway.put(replace(dead(), started_at=BOOT - timedelta(days=3)))
    await world.live(minutes=10)
    (judged,) = world.reports[-1].judged
    assert judged.judgement.unattended_for == timedelta(minutes=9, seconds=30)


async def test_a_child_found_stuck_holds_its_parent_no_longer() -> None:
    """#71252 without a restart: both runs timed out on 4.14, and neither has a lock. The child is told, the parent
    recovered."""
    child = vague("agent:main:subagent:1", kind=SessionKind.SUBAGENT, parent_key=KEY)
    background = policy(name="background", ladder=(Step.NOTIFY,), match=Match(kind=("subagent",)))
    world = World(version=V414, book=PolicyBook((background,), lenient()), state_dir="/gateway")
    world.gateway.put(vague(), child)
    for key in (KEY, child.key):
        world.gateway.see(key, lock=LockSight(Lock.NONE))
    await world.live(minutes=30)
    assert world.steps == [Step.RESUME]
    assert {incident.session for incident in world.incidents} == {child.key, KEY}


async def test_a_held_session_is_not_written_down_in_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message is owed once, and looked for now and then: a copy of the ledger from before may be in its place."""
    world = _world()
    world.ledger.pause(
        at=world.clock.now().wall, until=None, gateway=None, session=None, reason="wait", who="an operator"
    )
    await world.live(minutes=60)
    assert world.told() == ["stuck"]
    owed, owe = list[str](), world.ledger.owe

    def counted(messages: Sequence[Message], at: datetime) -> int:
        owed.extend(message.kind.value for message in messages)
        return owe(messages, at)

    monkeypatch.setattr(world.ledger, "owe", counted)
    with world.ledger._file.writing() as transaction:
        transaction.execute("DELETE FROM messages")
    await world.live(minutes=21)
    assert owed == ["stuck"] * 3, "in 42 passes"
    assert world.told() == ["stuck"]
