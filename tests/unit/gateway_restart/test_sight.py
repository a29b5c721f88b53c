"""What one pass says of the gateway as a whole, and how long it has said so."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes.clock import START
from watchdog.adapters.clock import SystemClock
from watchdog.core.model import GatewayPhase, Moment
from watchdog.gateway.wire.connection import Links
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.gateway_restart.decision import GatewayCondition, Outage, condition_of, observe
from watchdog.service import errors
from watchdog.service.ports import Disconnect

from .support import (
    DRAINING,
    HANGS,
    MINUTE,
    NO_WAY_THERE,
    POLL,
    REFUSED_CONNECTION,
    REFUSES,
    STALL,
    STARTING,
    SUSPENDED,
    WRONG_TOKEN,
    failed,
    good,
)

SIGHTS: list[tuple[errors.GatewayError, GatewayCondition]] = [
    (REFUSED_CONNECTION, GatewayCondition.SICK),
    (HANGS, GatewayCondition.SICK),
    (errors.OutcomeUnknown("x"), GatewayCondition.SICK),
    (errors.PassFailed("x"), GatewayCondition.SPEAKS),
    (errors.AnswerUnreadable("x"), GatewayCondition.SPEAKS),
    (errors.GatewayClosed("killed", 1006), GatewayCondition.SICK),
    (errors.GatewayClosed("broke off", None), GatewayCondition.SICK),
    (errors.GatewayClosed("policy: it may be about our token", 1008), GatewayCondition.UNCLEAR),
    (NO_WAY_THERE, GatewayCondition.UNCLEAR),
    (errors.OutOfDescriptors("x"), GatewayCondition.UNCLEAR),
    (STARTING, GatewayCondition.SPEAKS),
    (DRAINING, GatewayCondition.SPEAKS),
    (SUSPENDED, GatewayCondition.SPEAKS),
    (REFUSES, GatewayCondition.SPEAKS),
    (WRONG_TOKEN, GatewayCondition.SPEAKS),
    (errors.PairingRequired("x"), GatewayCondition.SPEAKS),
    (errors.ScopeRefused("x"), GatewayCondition.SPEAKS),
    (errors.RateLimited("x"), GatewayCondition.SPEAKS),
    (errors.NotAGateway("x"), GatewayCondition.SPEAKS),
    (errors.ForeignListener("x"), GatewayCondition.SPEAKS),
    (errors.ProtocolMismatch("x"), GatewayCondition.SPEAKS),
    (errors.RequestRefused("x", code="UNAVAILABLE"), GatewayCondition.SPEAKS),
    (errors.UnknownMethod("x"), GatewayCondition.SPEAKS),
    (errors.InsecureTransport("x"), GatewayCondition.SPEAKS),
    (errors.ChannelDown("x"), GatewayCondition.SPEAKS),
    (errors.SentTooLate("x"), GatewayCondition.SPEAKS),
]


@pytest.mark.parametrize(
    ("problem", "sight"),
    SIGHTS,
    ids=lambda value: str(value) if isinstance(value, GatewayCondition) else type(value).__name__,
)
def test_only_silence_is_sickness(problem: errors.GatewayError, sight: GatewayCondition) -> None:
    assert condition_of(failed(problem, START)) is sight


def test_every_phase_and_every_error_was_thought_of() -> None:
    kinds = {kind for kind in errors.GatewayError.__subclasses__() if kind.__module__ == errors.__name__}
    leaves = kinds - {errors.GatewayAway} | set(errors.GatewayAway.__subclasses__())
    assert {type(problem) for problem, _ in SIGHTS} == leaves | {errors.AnswerUnreadable}
    assert condition_of(good(START)) is GatewayCondition.ANSWERS
    silent = {GatewayPhase.DOWN, GatewayPhase.UNRESPONSIVE, GatewayPhase.UNKNOWN}
    for phase in set(GatewayPhase) - silent - {GatewayPhase.CONNECTED}:
        assert condition_of(replace(good(START), phase=phase)) is GatewayCondition.SPEAKS


@pytest.mark.parametrize("problem", [problem for problem, sight in SIGHTS if sight is GatewayCondition.SICK])
def test_what_fails_after_the_list_was_answered_is_a_sessions_symptom(problem: errors.GatewayError) -> None:
    assert condition_of(failed(problem, START, answered=True)) is GatewayCondition.ANSWERS


# ---------------------------------------------------------------- the stretch


def after(*problems: errors.GatewayError | None, every: timedelta = POLL) -> Outage | None:
    outage: Outage | None = None
    for number, problem in enumerate(problems):
        at = START.plus(number * every)
        outage = observe(outage, good(at) if problem is None else failed(problem, at), STALL)
    return outage


@pytest.mark.parametrize(
    ("problems", "failures", "sick_since"),
    [
        ((HANGS,), 1, 0),
        ((HANGS, HANGS, REFUSED_CONNECTION), 3, 0),
        ((HANGS, HANGS, STARTING), 0, None),
        ((HANGS, HANGS, STARTING, HANGS), 1, 3),
        ((HANGS, HANGS, DRAINING, HANGS), 1, 3),
        ((HANGS, HANGS, WRONG_TOKEN, HANGS), 1, 3),
        ((HANGS, HANGS, NO_WAY_THERE, HANGS), 3, 0),
        ((NO_WAY_THERE, NO_WAY_THERE), 0, None),
        ((HANGS, HANGS, None, HANGS), 1, 3),
    ],
)
def test_a_sign_of_life_starts_the_count_over(
    problems: tuple[errors.GatewayError | None, ...], failures: int, sick_since: int | None
) -> None:
    outage = after(*problems)
    assert outage is not None
    assert outage.failures == failures
    assert outage.sick_since == (None if sick_since is None else START.plus(sick_since * POLL))


def test_an_answer_ends_it() -> None:
    assert after(HANGS, HANGS, None) is None


def test_time_in_which_nobody_looked_proves_nothing() -> None:
    outage = after(HANGS, HANGS, every=STALL + MINUTE)
    assert outage is not None
    assert (outage.failures, outage.since) == (1, START)


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_host_that_slept_or_a_clock_that_was_set_starts_the_count_over(step: timedelta) -> None:
    first = observe(None, failed(HANGS, START), STALL)
    later = START.plus(POLL)
    outage = observe(first, failed(HANGS, Moment(later.monotonic, later.wall + step)), STALL)
    assert outage is not None
    assert outage.failures == 1


def test_a_goodbye_is_remembered_however_it_was_heard() -> None:
    for goodbye in (DRAINING, SUSPENDED):
        outage = after(goodbye, REFUSED_CONNECTION)
        assert outage is not None
        assert outage.goodbye_at == START.wall
    heard = Disconnect(DRAINING, START.plus(-MINUTE))
    outage = observe(None, failed(REFUSED_CONNECTION, START, last_disconnect=heard), STALL)
    assert outage is not None
    assert outage.goodbye_at == START.wall - MINUTE
    crashed = Disconnect(errors.GatewayClosed("x", 1006), START)
    outage = observe(None, failed(REFUSED_CONNECTION, START, last_disconnect=crashed), STALL)
    assert outage is not None
    assert outage.goodbye_at is None


# ---------------------------------------------------------------- the proof that nothing listens


async def test_a_port_where_nothing_listens_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        with pytest.raises(errors.GatewayUnreachable) as caught:
            await Links("home", DeviceIdentity.load_or_create(tmp_path / "device.pem"), SystemClock()).open(
                Endpoint(f"ws://127.0.0.1:{taken.getsockname()[1]}"), (), device=None, patience=10
            )
    assert caught.value.was_refused
