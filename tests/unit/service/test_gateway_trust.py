"""May we believe what we see right now? Connections, boots, slow answers and clocks, one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fakes.builders import BOOT, V96, V324, facts
from tests.fakes.clock import START
from watchdog.core.model import GatewayFacts, Moment, Preflight
from watchdog.service import errors
from watchdog.service.gateway_trust import BOOT_TOLERANCE, CLOCK_GAP, CLOCK_SKEW, SLOW_ANSWER, Trust
from watchdog.service.ports import Disconnect

STALL = timedelta(seconds=90)
TICK = timedelta(milliseconds=1)


def _facts(version: str = V96, **changes: object) -> GatewayFacts:
    return facts(version, **{"boot_id": "boot-1", **changes})


OLD = _facts(V324, boot_id=None)


def _at(seconds: float) -> Moment:
    return START.plus(timedelta(seconds=seconds))


def test_nothing_known_is_nothing_said() -> None:
    trust = Trust(STALL)
    assert (trust.boot_age(START), trust.boot_seen_age(START), trust.connected_for(START)) == (None, None, None)
    assert trust.problem() is None


@pytest.mark.parametrize(
    ("monotonic", "wall", "is_gap"),
    [
        (30, 30, False),
        (30, 30 + CLOCK_GAP.total_seconds(), False),
        (30, 30 + CLOCK_GAP.total_seconds() + 1, True),
        (30, 30 - CLOCK_GAP.total_seconds() - 1, True),
        (STALL.total_seconds(), STALL.total_seconds(), False),
        (STALL.total_seconds() + 1, STALL.total_seconds() + 1, True),
        (0, 8 * 3600, True),
    ],
)
def test_gaps_between_passes(monotonic: float, wall: float, is_gap: bool) -> None:
    trust = Trust(STALL)
    assert trust.begin_pass(START) is None
    later = Moment(START.monotonic + monotonic, START.wall + timedelta(seconds=wall))
    assert (trust.begin_pass(later) is not None) is is_gap
    assert trust.begin_pass(later.plus(timedelta(seconds=30))) is None


def test_it_takes_two_fast_answers_to_be_believed_again() -> None:
    trust = Trust(STALL)
    trust.note_answer(SLOW_ANSWER, clock_stepped=False)
    assert trust.problem() is None
    trust.note_answer(SLOW_ANSWER + TICK, clock_stepped=False)
    assert trust.problem() is not None
    trust.note_answer(TICK, clock_stepped=False)
    assert trust.problem() is not None
    trust.note_answer(TICK, clock_stepped=False)
    assert trust.problem() is None
    trust.note_silence()
    assert trust.problem() is not None


def test_a_recovery_is_over_when_it_was_looked_for_and_not_named() -> None:
    """Not when it was not looked for: a slow gateway is asked once a minute, and its recovery is silent between tries."""
    trust = Trust(STALL)
    for seconds, named in ((0, False), (30, None), (60, True), (300, None)):
        trust.note_preflight(Preflight(1, _at(seconds), named))
    assert (trust.has_named_recovery, trust.recovery_unnamed_since) == (True, None)
    for seconds in (360, 420):
        trust.note_preflight(Preflight(1, _at(seconds), is_recovering=False))
    assert trust.recovery_unnamed_since == _at(360)
    trust.note_preflight(None)
    assert trust.recovery_unnamed_since == _at(360)
    trust.note_preflight(Preflight(1, _at(480), is_recovering=True))
    assert trust.recovery_unnamed_since is None


def test_a_recovery_that_was_named_ends_with_the_life_that_named_it() -> None:
    """It died as it recovered, and the next life cannot be asked: its rows would wait for ever."""
    trust = Trust(STALL)
    trust.note_connection(_facts(), START, is_new=True)
    trust.note_preflight(Preflight(1, _at(60), is_recovering=True))
    trust.note_connection(_facts(), _at(90), is_new=True)
    assert trust.has_named_recovery
    trust.note_connection(_facts(boot_id="boot-2"), _at(120), is_new=True)
    assert (trust.has_named_recovery, trust.recovery_unnamed_since) == (False, None)


def test_a_set_clock_is_remembered_until_the_next_connection() -> None:
    trust = Trust(STALL)
    trust.note_connection(_facts(), START, is_new=True)
    trust.note_answer(TICK, clock_stepped=True)
    trust.note_answer(TICK, clock_stepped=False)
    assert trust.clock_stepped
    trust.note_connection(_facts(), _at(5), is_new=False)
    assert trust.clock_stepped
    trust.note_connection(_facts(), _at(5), is_new=True)
    assert not trust.clock_stepped


@pytest.mark.parametrize(
    ("skew", "is_other"),
    [(None, False), (CLOCK_SKEW, False), (CLOCK_SKEW + TICK, True), (-CLOCK_SKEW, False), (-CLOCK_SKEW - TICK, True)],
)
def test_a_clock_that_differs_from_ours_was_set(skew: timedelta | None, is_other: bool) -> None:
    trust = Trust(STALL)
    for seconds in (0, 5):
        trust.note_connection(_facts(V324, clock_skew=skew), _at(seconds), is_new=True)
        trust.note_answer(TICK, clock_stepped=False)
        assert trust.clock_stepped is is_other
    trust.note_connection(_facts(V324), _at(10), is_new=True)
    assert not trust.clock_stepped


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (_facts(), _facts(), None),
        (_facts(), _facts(boot_id="boot-2"), "in_process"),
        (_facts(), _facts(boot_id="boot-2", booted_at=BOOT + timedelta(hours=1)), "process"),
        (_facts(), _facts(boot_id="boot-2", booted_at=None), "process"),
        (OLD, OLD, None),
        (OLD, replace(OLD, booted_at=BOOT + BOOT_TOLERANCE), None),
        (OLD, replace(OLD, booted_at=BOOT + BOOT_TOLERANCE + TICK), "process"),
        (OLD, replace(OLD, booted_at=BOOT - BOOT_TOLERANCE - TICK), None),
        (OLD, replace(OLD, booted_at=BOOT - BOOT_TOLERANCE - TICK, process=1), "process"),
        (OLD, replace(OLD, booted_at=None), None),
        (replace(OLD, booted_at=None), OLD, None),
    ],
)
def test_one_life_or_another(before: GatewayFacts, after: GatewayFacts, change: str | None) -> None:
    trust = Trust(STALL)
    assert trust.note_connection(before, START, is_new=True) is None
    assert trust.note_connection(after, _at(60), is_new=True) == change
    assert trust.connected_for(_at(70)) == timedelta(seconds=10)
    assert trust.boot_seen_age(_at(70)) == timedelta(seconds=10 if change else 70)


def test_the_age_of_a_life_is_the_younger_of_what_it_says_and_what_we_saw() -> None:
    trust = Trust(STALL)
    trust.note_connection(_facts(), START, is_new=True)
    assert trust.boot_age(_at(60)) == timedelta(days=1, seconds=60)
    trust.note_connection(_facts(boot_id="boot-2"), _at(60), is_new=True)
    assert trust.boot_age(_at(90)) == timedelta(seconds=30), "an in-process restart keeps the uptime"


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_is_set_makes_no_boot_younger_or_older(hours: int) -> None:
    trust = Trust(STALL)
    trust.note_connection(_facts(), START, is_new=True)
    set_clock = Moment(_at(60).monotonic, _at(60).wall + timedelta(hours=hours))
    assert trust.boot_age(set_clock) == timedelta(days=1, seconds=60)


def test_a_boot_that_seems_to_come_began_when_we_came() -> None:
    """The gateway's clock is hours ahead of ours."""
    trust = Trust(STALL)
    trust.note_connection(_facts(booted_at=START.wall + timedelta(hours=2)), START, is_new=True)
    assert trust.boot_age(_at(60)) == timedelta(seconds=60)


def test_a_boot_that_is_not_said_has_no_age_until_we_see_one() -> None:
    trust = Trust(STALL)
    trust.note_connection(_facts(booted_at=None), START, is_new=True)
    assert trust.boot_age(_at(60)) is None
    trust.note_connection(_facts(booted_at=None, boot_id="boot-2"), _at(60), is_new=True)
    assert trust.boot_age(_at(90)) == timedelta(seconds=30)


DRAINED = Disconnect(errors.GatewayDraining("home: restarts."), _at(5))


@pytest.mark.parametrize(
    ("loss", "after", "is_cut"),
    [
        (DRAINED, OLD, True),
        (DRAINED, replace(OLD, booted_at=BOOT + timedelta(hours=1)), False),
        (DRAINED, replace(OLD, booted_at=BOOT - timedelta(hours=1)), True),  # its clock was set back
        (DRAINED, replace(OLD, booted_at=BOOT - timedelta(hours=1), process=1), False),
        (DRAINED, replace(OLD, booted_at=None), False),
        (Disconnect(errors.GatewayClosed("home: gone.", 1006), _at(5)), OLD, False),
        (None, OLD, False),
    ],
)
def test_an_in_process_restart_is_an_orderly_end_and_the_same_process(
    loss: Disconnect | None, after: GatewayFacts, is_cut: bool
) -> None:
    trust = Trust(STALL)
    trust.note_connection(OLD, START, is_new=True)
    trust.note_loss(loss, after)
    assert trust.cut_at == (_at(5) if is_cut else None)


def test_a_loss_before_anything_was_known_says_nothing() -> None:
    trust = Trust(STALL)
    trust.note_loss(DRAINED, OLD)
    assert trust.cut_at is None


def test_a_cut_is_told_on_the_gateways_clock() -> None:
    trust = Trust(STALL)
    trust.note_connection(OLD, START, is_new=True)
    trust.note_loss(DRAINED, replace(OLD, clock_skew=timedelta(hours=-2)))
    assert trust.cut_at is not None
    assert (trust.cut_at, trust.cut_at.wall) == (_at(5), _at(5).wall - timedelta(hours=2))
