"""What ``ports.Gateway`` promises, kept by the real client over the simulator and by every gateway that stands in for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.unit.fakes.gateways import ALL, LOST, Subject
from watchdog.core.model import Session
from watchdog.core.policy import Step
from watchdog.service import errors
from watchdog.service.ports import Deed, Wants


@pytest.fixture(params=ALL, ids=lambda make: make.__name__)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    made: Subject = request.param()
    yield made
    await made.gateway.close()


async def _connected(subject: Subject) -> Session:
    """The one chat."""
    await subject.gateway.connect()
    (session,) = (await subject.gateway.list_sessions()).sessions
    return session


def _deed(session: Session, step: Step = Step.RESUME) -> Deed:
    return Deed(step, session, "key-1", "please go on")


async def _heard() -> None:
    """Until the client has heard what happened to its connection."""
    await asyncio.sleep(0.01)


async def test_who_connects_hears_who_answered_once(subject: Subject) -> None:
    facts = await subject.gateway.connect()
    assert (facts.name, facts.version) == (subject.gateway.name, "2026.9.6")
    assert await subject.gateway.connect() is facts, "the same connection"


async def test_without_a_connection_nothing_is_seen_and_nothing_is_sent(subject: Subject) -> None:
    session = await _connected(subject)
    await subject.gateway.close()
    for ask in (
        lambda: subject.gateway.list_sessions(),
        lambda: subject.gateway.look(session, Wants(tail=True)),
        lambda: subject.gateway.health_problem(),
        lambda: subject.gateway.prepare(Step.RESUME, session),
        lambda: subject.gateway.perform(_deed(session)),
    ):
        with pytest.raises(errors.GatewayClosed):
            await ask()
    assert subject.gateway.step_problem(Step.RESUME, session) == "There is no connection to the gateway."
    assert subject.sent() == 0


async def test_a_lost_connection_is_told_once_and_another_can_be_made(subject: Subject) -> None:
    await subject.gateway.connect()
    assert subject.gateway.pop_disconnect() is None
    subject.break_connection()
    await _heard()
    with pytest.raises(errors.GatewayClosed) as refused:
        await subject.gateway.list_sessions()
    loss = subject.gateway.pop_disconnect()
    assert loss is not None
    assert (type(loss.error), str(loss.error)) == (type(refused.value), str(refused.value))
    assert isinstance(loss.error, errors.GatewayClosed)
    assert loss.error.code == LOST.code
    assert subject.gateway.pop_disconnect() is None
    await _connected(subject)
    assert subject.gateway.pop_disconnect() is None


async def test_closing_is_no_loss_and_may_be_done_twice(subject: Subject) -> None:
    await subject.gateway.connect()
    await subject.gateway.close()
    await subject.gateway.close()
    assert subject.gateway.pop_disconnect() is None


async def test_a_deed_is_sent_once(subject: Subject) -> None:
    session = await _connected(subject)
    await subject.gateway.prepare(Step.RESUME, session)
    assert subject.sent() == 0, "a sign-in is no deed"
    receipt = await subject.gateway.perform(_deed(session))
    assert receipt.run_id == "key-1"
    assert subject.sent() == 1


async def test_a_deed_that_nobody_prepared_is_signed_in_for(subject: Subject) -> None:
    await subject.gateway.perform(_deed(await _connected(subject)))
    assert subject.sent() == 1


async def test_a_refused_deed_says_so(subject: Subject) -> None:
    session = await _connected(subject)
    await subject.gateway.prepare(Step.RESUME, session)
    subject.refuse()
    with pytest.raises(errors.RequestRefused) as refused:
        await subject.gateway.perform(_deed(session))
    assert refused.value.code == "INVALID_REQUEST"
    assert subject.sent() == 1


async def test_an_answer_that_never_came_is_unknown_and_the_deed_is_never_sent_again(subject: Subject) -> None:
    session = await _connected(subject)
    await subject.gateway.prepare(Step.RESUME, session)
    subject.fall_silent()
    with pytest.raises(errors.OutcomeUnknown):
        await subject.gateway.perform(_deed(session))
    await subject.gateway.close()
    assert subject.sent() == 1


async def test_a_step_whose_scope_is_not_granted_is_named_and_refused(subject: Subject) -> None:
    session = await _connected(subject)
    assert subject.gateway.missing_scope(Step.RESUME) is None
    assert "operator.admin" in (subject.gateway.missing_scope(Step.NEW) or "")
    with pytest.raises(errors.ScopeRefused):
        await subject.gateway.prepare(Step.NEW, session)
    assert subject.sent() == 0


async def test_a_step_that_cannot_work_here_is_named(subject: Subject) -> None:
    session = await _connected(subject)
    assert subject.gateway.step_problem(Step.RESUME, session) is None
    assert "sessions.recover" in (subject.gateway.step_problem(Step.RECOVER, session) or "")
