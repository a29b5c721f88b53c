"""Single decisions: which rung fits, what a refusal means, when work was cut, and what a person who asks is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.fakes.builders import ALICE, BOOT, V96, V324, breaker, budget, dead, lenient, policy, tail_of, vague
from tests.fakes.clock import START
from tests.fakes.world import World
from watchdog.core.evidence import Case, Evidence, Signal, Truth
from watchdog.core.model import Look, SenderRights, Session, SessionKind, Status, TailKind, TranscriptTail
from watchdog.core.policy import Mode, Policy, PolicyBook, Step
from watchdog.core.recovery import Attempt, AttemptState, Refusal
from watchdog.core.tracking import observe
from watchdog.core.verdict import Judgement, Verdict
from watchdog.service import errors
from watchdog.service.executor import refusal_of
from watchdog.service.fleet_breaker import fleet_is_suspicious
from watchdog.service.gateway_trust import Trust
from watchdog.service.observer import Judged
from watchdog.service.one_shot import inspect, look_once_more
from watchdog.service.plan import (
    Action,
    Decision,
    PassContext,
    decide,
    fitting_steps,
    interrupted_at,
    is_long_ago,
    is_stalled_but_owned,
    was_sent,
)

KEY = dead().key
NOW = START.plus(timedelta(hours=2))
RIGHTS = (SenderRights(str(ALICE.id), is_owner=False, has_own_rules=False),)


async def _judged(
    row: Session | None = None,
    *,
    verdict: Verdict = Verdict.STUCK,
    default: Policy | None = None,
    tail: TranscriptTail | None = None,
    evidence: tuple[Evidence, ...] = (),
    is_proven: bool = False,
) -> Judged:
    session = row or dead()
    facts = await World().gateway.connect()
    end = tail if tail is not None else tail_of(at=NOW.wall - timedelta(minutes=5))
    track = observe(None, session, end.fingerprint, START)
    case = Case(NOW, facts, session, track, Look(tail=end, rights=RIGHTS), boot_age=timedelta(days=1))
    return Judged(
        session, case, Judgement(verdict, "Reason", "A sentence.", evidence, is_proven=is_proven), default or policy()
    )


# ---------------------------------------------------------------- rungs


DASHBOARD = "agent:main:dashboard:0d1f"
EVERY_STEP = tuple(step for step in Step if step is not Step.FREE)


@pytest.mark.parametrize(
    ("row", "tail", "fitting"),
    [
        (dead(), tail_of(), {Step.ASK, Step.RESUME, Step.NEW, Step.RESET, Step.NOTIFY}),
        (dead(), tail_of(TailKind.ANSWERED), {Step.ASK, Step.RESUME, Step.NOTIFY}),
        (
            dead(DASHBOARD, reply_address=None, aborted_last_run=True),
            tail_of(),
            {Step.ASK, Step.RESUME, Step.NEW, Step.RESET, Step.RECOVER, Step.NOTIFY},
        ),
        (
            dead(DASHBOARD, reply_address=None, restart_recovery_status="tombstoned"),
            tail_of(),
            {Step.ASK, Step.RESUME, Step.NEW, Step.RESET, Step.RECOVER, Step.NOTIFY},
        ),
        # Everybody's: who last spoke to it from the dashboard took its address away.
        (
            dead("agent:main:main", kind=SessionKind.MAIN, reply_address=None, restart_recovery_status="tombstoned"),
            tail_of(),
            {Step.ASK, Step.RESUME, Step.NEW, Step.RESET, Step.NOTIFY},
        ),
        # Whoever writes from a chat would be cut off from it (measured on 2026.8.2 and 9.6).
        (
            dead(DASHBOARD, restart_recovery_status="tombstoned"),
            tail_of(),
            {Step.ASK, Step.RESUME, Step.NEW, Step.RESET, Step.NOTIFY},
        ),
        (
            dead(reply_address=None, restart_recovery_status="tombstoned"),
            tail_of(),
            {Step.ASK, Step.RESUME, Step.NEW, Step.RESET, Step.NOTIFY},
        ),
        # One session for a person on whatever app, and a thread of the main one: their keys name no chat.
        (
            dead("agent:main:direct:alice", reply_address=None, restart_recovery_status="tombstoned"),
            tail_of(),
            {Step.ASK, Step.RESUME, Step.NEW, Step.RESET, Step.NOTIFY},
        ),
        (
            dead("agent:main:main:thread:42", reply_address=None, aborted_last_run=True),
            tail_of(),
            {Step.ASK, Step.RESUME, Step.NEW, Step.RESET, Step.NOTIFY},
        ),
    ],
)
async def test_rungs_that_make_sense_for_a_dead_session(row: Session, tail: TranscriptTail, fitting: set[Step]) -> None:
    assert set(fitting_steps(EVERY_STEP, await _judged(row, tail=tail))) == fitting


async def test_the_only_rung_for_a_living_run() -> None:
    judged = await _judged(verdict=Verdict.LONG_RUNNING)
    assert fitting_steps(EVERY_STEP, judged) == (Step.ABORT,)


ABORTING = policy(ladder=(Step.RESUME, Step.ABORT))


@pytest.mark.parametrize(
    ("changes", "hangs"),
    [
        ({}, True),
        ({"verdict": Verdict.HEALTHY}, False),
        ({"verdict": Verdict.STUCK}, False),
        ({"default": policy()}, False),
        ({"evidence": (Evidence(Signal.APPROVAL_PENDING, Truth.TRUE, "WaitingForApproval", "It waits."),)}, False),
        ({"evidence": (Evidence(Signal.ACTIVE_RUN_FLAG, Truth.TRUE, "GatewaySaysActive", "It runs."),)}, True),
    ],
)
async def test_what_counts_as_hung_alive(changes: dict[str, Any], hangs: bool) -> None:
    made: dict[str, Any] = {"verdict": Verdict.LONG_RUNNING, "default": ABORTING}
    assert is_stalled_but_owned(await _judged(**(made | changes))) is hangs


async def test_silence_must_have_been_watched_for_the_whole_ceiling() -> None:
    judged = await _judged(verdict=Verdict.LONG_RUNNING, default=ABORTING)
    for since, hangs in (
        (NOW.plus(-timedelta(minutes=60)), True),
        (NOW.plus(-timedelta(minutes=59)), False),
        (None, False),
    ):
        track = replace(judged.case.track, tail_unchanged_since=since)
        assert is_stalled_but_owned(replace(judged, case=replace(judged.case, track=track))) is hangs
    unseen = replace(judged, case=replace(judged.case, look=Look()))
    assert not is_stalled_but_owned(unseen)


# ---------------------------------------------------------------- fleets


@pytest.mark.parametrize(
    ("unproven", "proven", "healthy", "is_suspicious"),
    [
        (0, 0, 0, False),
        (4, 0, 0, False),
        (5, 0, 0, True),
        (5, 0, 5, True),
        (5, 0, 6, False),
        (0, 50, 0, False),
        (5, 6, 0, False),
        (5, 5, 0, True),
    ],
)
async def test_when_many_are_too_many(unproven: int, proven: int, healthy: int, is_suspicious: bool) -> None:
    running = (Evidence(Signal.ACTIVE_RUN_FLAG, Truth.TRUE, "GatewaySaysActive", "It runs."),)
    judged = [await _judged() for _ in range(unproven)]
    judged += [await _judged(is_proven=True) for _ in range(proven)]
    judged += [await _judged(verdict=Verdict.HEALTHY, evidence=running) for _ in range(healthy)]
    judged += [await _judged(dead(status=Status.DONE), verdict=Verdict.HEALTHY) for _ in range(20)]
    assert fleet_is_suspicious(judged, policy(fleet_breaker=breaker(5)).recovery) is is_suspicious


# ---------------------------------------------------------------- decisions


async def _decided(world: World, judged: Judged, **here: Any) -> Decision:
    await world.gateway.connect()
    trust = Trust(timedelta(minutes=2))
    trust.note_connection(await world.gateway.connect(), START, is_new=True)
    made: dict[str, Any] = {"now": NOW, "trust": trust, "is_list_complete": True, "is_ledger_writable": True}
    standing = PassContext(**(made | {"is_fleet_open": False} | here))
    incident = world.ledger.open_incident(
        gateway="home", session=judged.session.key, session_id="s", reason="Reason", at=START.wall
    )
    return decide(judged, incident, standing, world.gateway, world.ledger)


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.STUCK])
async def test_only_the_stuck_are_decided_about(verdict: Verdict) -> None:
    assert (await _decided(World(), await _judged(verdict=verdict))).action is Action.NOTHING


async def test_go() -> None:
    decision = await _decided(World(), await _judged())
    assert (decision.action, decision.step, decision.blockers) == (Action.ACT, Step.RESUME, ())


async def test_hold_names_every_reason() -> None:
    world = World()
    world.ledger.pause(at=START.wall, until=None, gateway=None, session=None, reason="", who="me")
    decision = await _decided(
        world, await _judged(), is_list_complete=False, is_fleet_open=True, gateway_problem="Sick."
    )
    assert decision.action is Action.HOLD
    assert set(decision.blocker_names) == {"paused", "incomplete_list", "fleet_breaker", "gateway_untrusted"}


async def test_told_only() -> None:
    decision = await _decided(World(), await _judged(default=policy(ladder=(Step.NOTIFY, Step.RESUME))))
    assert (decision.action, decision.step, decision.blockers) == (Action.HOLD, Step.NOTIFY, ())


async def test_no_rung_left() -> None:
    assert (await _decided(World(), await _judged(default=policy(ladder=())))).action is Action.ESCALATE


async def test_a_spent_budget_waits_for_what_is_still_in_flight() -> None:
    world = World(book=PolicyBook(default=lenient(budget=budget(1))))
    judged = await _judged(default=lenient(budget=budget(1)))
    first = await _decided(world, judged)
    assert first.incident is not None
    attempt = world.ledger.plan_attempt(first.incident.id, Step.RESUME, START.wall, before=None, before_tail=None)
    assert world.ledger.claim_attempt(attempt.id, START.wall)
    waiting = await _decided(world, judged)
    assert (waiting.action, set(waiting.blocker_names)) == (Action.HOLD, {"in_flight", "session_budget"})
    world.ledger.settle_attempt(attempt.id, AttemptState.INEFFECTIVE, START.wall, reason="NothingChanged")
    assert (await _decided(world, judged)).action is Action.ESCALATE


@pytest.mark.parametrize(
    ("state", "sent"),
    [
        (AttemptState.PLANNED, False),
        (AttemptState.STARTED, True),
        (AttemptState.INDETERMINATE, True),
        (AttemptState.SUCCEEDED, True),
        (AttemptState.INEFFECTIVE, True),
        (AttemptState.REFUSED, False),
        (AttemptState.ABANDONED, False),
    ],
)
def test_what_has_left_us(state: AttemptState, sent: bool) -> None:
    started = None if state is AttemptState.PLANNED else START.wall
    assert was_sent(Attempt(1, "i", 1, Step.RESUME, state, "k", START.wall, started_at=started)) is sent


# ---------------------------------------------------------------- small judgements of the executor


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (errors.RequestRefused("x", code="UNAVAILABLE", retryable=True), Refusal.TRY_LATER),
        (errors.RequestRefused("x", code="INVALID_REQUEST", detail="changed while starting work"), Refusal.NEXT_RUNG),
        (errors.RequestRefused("x", code="INVALID_REQUEST", detail="session not found: k"), Refusal.STOP),
        (errors.UnknownMethod("x"), Refusal.NEXT_RUNG),
        (errors.ScopeRefused("x"), Refusal.NEXT_RUNG),
        (errors.GatewayDraining("x"), Refusal.TRY_LATER),
        (errors.GatewaySuspended("x"), Refusal.TRY_LATER),
        (errors.GatewayClosed("x"), Refusal.TRY_LATER),
        (errors.AuthenticationRefused("x"), Refusal.TRY_LATER),
        (errors.RateLimited("x"), Refusal.TRY_LATER),
    ],
)
def test_what_an_error_means_for_the_ladder(error: errors.GatewayError, meaning: Refusal) -> None:
    assert refusal_of(error) is meaning


HOUR = timedelta(hours=1)
CUT = START.wall - HOUR


@pytest.mark.parametrize(
    ("started", "tail", "at"),
    [
        (CUT, None, CUT),
        (CUT, tail_of(at=CUT + timedelta(minutes=9)), CUT + timedelta(minutes=9)),
        (CUT, tail_of(at=CUT - HOUR), CUT),
        (CUT, tail_of(at=None), CUT),
        (None, tail_of(at=CUT), CUT),
        (None, tail_of(at=None), None),
        (None, None, None),
        (CUT, tail_of(at=CUT - 9 * HOUR, deed_at=CUT - timedelta(seconds=2)), CUT - 9 * HOUR),
        (CUT, tail_of(at=CUT - 9 * HOUR, deed_at=CUT + timedelta(seconds=2)), CUT - 9 * HOUR),
        (CUT, tail_of(at=None, deed_at=CUT), None),
        (CUT - HOUR, tail_of(at=CUT - 9 * HOUR, deed_at=CUT), CUT - HOUR),
    ],
)
def test_when_the_work_was_cut(started: datetime | None, tail: TranscriptTail | None, at: datetime | None) -> None:
    assert interrupted_at(dead(started_at=started), tail) == at


@pytest.mark.parametrize(
    ("at", "is_long"),
    [
        (None, True),
        (START.wall, False),
        (START.wall - HOUR, False),
        (START.wall - HOUR - timedelta(microseconds=1), True),
    ],
)
def test_long_ago(at: datetime | None, is_long: bool) -> None:
    assert is_long_ago(at, START.wall, HOUR) is is_long


# ---------------------------------------------------------------- for a person who asks


async def test_a_person_who_asks_is_shown_what_the_rows_say_after_two_looks() -> None:
    world = World(book=PolicyBook(default=policy(mode=Mode.RECOVER)))
    world.gateway.put(dead(), vague("agent:main:c", has_active_run=True), dead("agent:main:d", status=Status.DONE))
    waits: list[timedelta] = []

    async def progress(wait: timedelta, _judged: object) -> None:
        waits.append(wait)

    found = await inspect(world.gateway, world.book, world.clock, progress=progress)
    verdicts = {item.session.key: item.judgement.verdict for item in found.judged}
    assert verdicts == {KEY: Verdict.STUCK, "agent:main:c": Verdict.HEALTHY, "agent:main:d": Verdict.HEALTHY}
    assert waits == [timedelta(minutes=1, milliseconds=200)]
    assert world.gateway.calls.count("list") == 2
    assert world.steps == []
    assert found.find(KEY) is not None
    assert found.find("nobody") is None


@pytest.mark.parametrize(
    ("row", "wait"),
    [
        (dead(status=Status.DONE), 1),
        (vague(has_active_run=True), 1),
        (dead(started_at=START.wall - timedelta(minutes=5), updated_at=None, has_active_run=False), 1),
        (dead(), 5),
    ],
    ids=["at rest", "alive", "too young to be stuck after any wait", "dead"],
)
async def test_nobody_is_made_to_wait_for_nothing(row: Session, wait: float) -> None:
    world = World()
    world.gateway.put(row)
    await inspect(world.gateway, world.book, world.clock, at_most=timedelta(seconds=5))
    assert world.clock.now().since(START) == timedelta(seconds=wait)


async def test_one_look_is_not_believed_even_then() -> None:
    world = World()
    world.gateway.put(dead())
    found = await inspect(world.gateway, world.book, world.clock, at_most=timedelta(seconds=5))
    assert [item.judgement.verdict for item in found.judged] == [Verdict.STUCK]
    world.gateway.change(KEY, started_at=BOOT - timedelta(minutes=1))
    again = await look_once_more(found, world.gateway, world.clock)
    assert [item.judgement.verdict for item in again.judged] == [Verdict.SUSPECT], "another run, seen once"


async def test_a_gateway_that_cannot_be_reached_says_so() -> None:
    world = World(version=V324)
    world.gateway.failing["connect"] = errors.GatewayUnreachable("home: is the gateway running?")
    with pytest.raises(errors.GatewayUnreachable):
        await inspect(world.gateway, world.book, world.clock)
    assert world.version != V96
