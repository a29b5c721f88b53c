"""Every rule by itself: the one fact that holds back a restart which all else allows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.clock import START
from watchdog.core.model import GatewayPhase
from watchdog.core.policy import Budget
from watchdog.gateway_restart.decision import (
    BACKOFF,
    FINAL,
    HELPS_WITHIN,
    NOT_YET,
    GatewayCondition,
    HoldName,
    Outage,
    RestartChoice,
    RestartContext,
    Supervision,
    Unit,
    decide,
)
from watchdog.service.restart_record import WINDOW, Restart, RestartOutcome

from .support import HOUR, MINUTE, NAME, RULE, RUNNING

NOW = START.plus(10 * HOUR)
SICK = Outage(NOW.plus(-5 * MINUTE), NOW, GatewayCondition.SICK, GatewayPhase.DOWN, 3, NOW.plus(-5 * MINUTE))
FREE = RestartContext(NOW)
NOBODY = Supervision(Unit.UNKNOWN, "it cannot be asked.")
SECOND = timedelta(seconds=1)


def made(
    ago: timedelta, outcome: RestartOutcome | None = RestartOutcome.DID_NOT_HELP, *, over: bool = False
) -> Restart:
    return Restart(1, NAME, NOW.wall - ago, "x", outcome, over)


def test_all_that_is_needed() -> None:
    assert decide(RULE, SICK, FREE).choice is RestartChoice.LOOK
    for supervision in (RUNNING, NOBODY, Supervision(Unit.FAILED, "it is failed.")):
        assert decide(RULE, SICK, FREE, supervision).choice is RestartChoice.RESTART
    assert decide(RULE, replace(SICK, phase=GatewayPhase.UNRESPONSIVE), FREE, RUNNING).choice is RestartChoice.RESTART


OUTAGES: dict[str, tuple[dict[str, Any], HoldName]] = {
    "starting": ({"sight": GatewayCondition.SPEAKS, "phase": GatewayPhase.STARTING}, HoldName.NOT_SICK),
    "draining": ({"sight": GatewayCondition.SPEAKS, "phase": GatewayPhase.DRAINING}, HoldName.NOT_SICK),
    "wrong token": ({"sight": GatewayCondition.SPEAKS, "phase": GatewayPhase.REFUSED}, HoldName.NOT_SICK),
    "not reached for a reason of ours": ({"sight": GatewayCondition.UNCLEAR}, HoldName.NOT_SICK),
    "two looks": ({"failures": 2}, HoldName.TOO_FEW_LOOKS),
    "not long enough": ({"sick_since": NOW.plus(SECOND - 5 * MINUTE)}, HoldName.TOO_SOON),
}


@pytest.mark.parametrize("case", OUTAGES)
def test_not_for_this_outage(case: str) -> None:
    changes, name = OUTAGES[case]
    decision = decide(RULE, replace(SICK, **changes), FREE, RUNNING)
    assert decision.choice is RestartChoice.HOLD
    assert decision.names == {name}
    assert not decision.is_due
    assert decide(RULE, replace(SICK, **changes), FREE).choice is RestartChoice.HOLD, "nobody is even asked"


def test_both_the_looks_and_the_time_are_needed() -> None:
    many_at_once = replace(SICK, failures=300, sick_since=NOW.plus(-MINUTE))
    assert decide(RULE, many_at_once, FREE).names == {HoldName.TOO_SOON}
    one_long_ago = replace(SICK, failures=1, sick_since=NOW.plus(-10 * HOUR))
    assert decide(RULE, one_long_ago, FREE).names == {HoldName.TOO_FEW_LOOKS}


STANDINGS: dict[str, tuple[dict[str, Any], HoldName]] = {
    "observe": ({"is_observing": True}, HoldName.OBSERVE_MODE),
    "paused": ({"paused": "upgrading"}, HoldName.PAUSED),
    "ledger out": ({"ledger_problem": "The disk is full."}, HoldName.LEDGER_UNAVAILABLE),
    "one is waited for": ({"restarts": [made(HOUR, None)]}, HoldName.AWAITING_OUTCOME),
    "used up": ({"restarts": [made(5 * HOUR, over=True), made(3 * HOUR, over=True)]}, HoldName.USED_UP),
    "used up to the second": ({"restarts": [made(WINDOW, over=True), made(3 * HOUR, over=True)]}, HoldName.USED_UP),
    "used up, the clock was set forward since": (
        {"own": [NOW.plus(-5 * HOUR), NOW.plus(-3 * HOUR)]},
        HoldName.USED_UP,
    ),
    "used up, the clock was set back since": ({"restarts": [made(-HOUR, over=True)] * 2}, HoldName.USED_UP),
    "used up in this outage, however long ago": ({"restarts": [made(50 * HOUR), made(30 * HOUR)]}, HoldName.USED_UP),
    "back-off": ({"restarts": [made(BACKOFF[0] - SECOND)]}, HoldName.BACKOFF),
    "back-off after one that worked": (
        {"restarts": [made(BACKOFF[0] - SECOND, RestartOutcome.WORKED, over=True)]},
        HoldName.BACKOFF,
    ),
    "back-off by our own clock": ({"own": [NOW.plus(SECOND - BACKOFF[0])]}, HoldName.BACKOFF),
    "young process by its lock file": ({"process_age": 5 * MINUTE - SECOND}, HoldName.YOUNG_PROCESS),
    "a lock file from the future": ({"process_age": -HOUR}, HoldName.YOUNG_PROCESS),
    "never reached": ({"was_reached": False}, HoldName.NEVER_REACHED),
}


@pytest.mark.parametrize("case", STANDINGS)
def test_not_as_things_stand(case: str) -> None:
    changes, name = STANDINGS[case]
    decision = decide(RULE, SICK, replace(FREE, **changes), RUNNING)
    assert decision.choice is RestartChoice.HOLD
    assert decision.names == {name}
    assert decision.is_due


ALLOWED: dict[str, dict[str, Any]] = {
    "older than the window": {"restarts": [made(WINDOW + SECOND, over=True), made(3 * HOUR, over=True)]},
    "after the back-off": {"restarts": [made(BACKOFF[0])]},
    "an old process": {"process_age": 5 * MINUTE},
}


@pytest.mark.parametrize("case", ALLOWED)
def test_still_allowed(case: str) -> None:
    assert decide(RULE, SICK, replace(FREE, **ALLOWED[case]), RUNNING).choice is RestartChoice.RESTART


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_back_off_grows(number: int) -> None:
    rule = replace(RULE, limit=Budget(9, WINDOW))
    pause = BACKOFF[min(number, len(BACKOFF)) - 1]

    def choice(ago: timedelta) -> RestartChoice:
        earlier = [made(5 * HOUR, over=True)] * (number - 1)
        return decide(rule, SICK, replace(FREE, restarts=[*earlier, made(ago)]), RUNNING).choice

    assert choice(pause) is RestartChoice.RESTART
    assert choice(pause - SECOND) is RestartChoice.HOLD
    assert sorted(BACKOFF) == list(BACKOFF)
    assert BACKOFF[0] >= 30 * MINUTE


UNITS: list[tuple[Supervision, HoldName]] = [
    (Supervision(Unit.STOPPED, "inactive."), HoldName.STOPPED_ON_PURPOSE),
    (Supervision(Unit.BUSY, "activating."), HoldName.SUPERVISOR_AT_WORK),
    (Supervision(Unit.ABSENT, "not found."), HoldName.NO_SUPERVISOR),
    (Supervision(Unit.RUNNING, "active.", 5 * MINUTE - SECOND), HoldName.YOUNG_PROCESS),
]


@pytest.mark.parametrize(("supervision", "name"), UNITS, ids=lambda value: str(getattr(value, "unit", value)))
def test_not_as_the_supervisor_sees_it(supervision: Supervision, name: HoldName) -> None:
    decision = decide(RULE, SICK, FREE, supervision)
    assert decision.choice is RestartChoice.HOLD
    assert decision.names == {name}
    assert supervision.words in decision.holds[0].message or name is HoldName.YOUNG_PROCESS


def test_a_goodbye_counts_where_nobody_can_be_asked() -> None:
    stopped = replace(SICK, goodbye_at=NOW.wall - 6 * MINUTE)
    assert decide(RULE, stopped, FREE, NOBODY).names == {HoldName.SAID_GOODBYE}
    assert decide(RULE, stopped, FREE, RUNNING).choice is RestartChoice.RESTART, "systemd knows better"


def test_the_goodbye_of_our_own_restart_does_not_count() -> None:
    ours = made(40 * MINUTE)
    standing = replace(FREE, restarts=[ours])
    echo = replace(SICK, goodbye_at=ours.at + HELPS_WITHIN)
    assert decide(RULE, echo, standing, NOBODY).choice is RestartChoice.RESTART
    theirs = replace(SICK, goodbye_at=ours.at + HELPS_WITHIN + SECOND)
    assert decide(RULE, theirs, standing, NOBODY).names == {HoldName.SAID_GOODBYE}


def test_a_failed_unit_is_restarted_even_if_it_was_never_reached() -> None:
    never = replace(FREE, was_reached=False)
    assert decide(RULE, SICK, never, Supervision(Unit.FAILED, "failed.")).choice is RestartChoice.RESTART
    assert decide(RULE, SICK, never, NOBODY).names == {HoldName.NEVER_REACHED}


def test_every_reason_is_named_and_not_only_the_first() -> None:
    standing = replace(FREE, is_observing=True, paused="x", restarts=[made(HOUR), made(2 * HOUR)])
    decision = decide(RULE, replace(SICK, failures=1), standing)
    assert decision.names == {HoldName.TOO_FEW_LOOKS, HoldName.OBSERVE_MODE, HoldName.PAUSED, HoldName.USED_UP}
    assert not decision.leaves_alone
    assert not FINAL & NOT_YET


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("sight", GatewayCondition)
def test_a_gateway_that_says_anything_is_never_restarted(sight: GatewayCondition, unit: Unit) -> None:
    decision = decide(RULE, replace(SICK, sight=sight), FREE, Supervision(unit, "so.", HOUR))
    allows = sight is GatewayCondition.SICK and unit in (Unit.RUNNING, Unit.FAILED, Unit.UNKNOWN)
    assert (decision.choice is RestartChoice.RESTART) is allows
    assert NOW.wall > START.wall
