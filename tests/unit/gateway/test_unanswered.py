"""Requests a poll can do without: after one that hung it does without for a while, and without that one only."""

from __future__ import annotations

import pytest

from watchdog.gateway.unanswered import AGAIN, Unanswered
from watchdog.service import errors

from .support import StillClock


async def _answers() -> str:
    return "an answer"


async def _hangs() -> str:
    raise errors.GatewayUnresponsive("home: no answer.")


async def _refuses() -> str:
    raise errors.RequestRefused("home: no.", code="NO")


async def test_what_hung_is_not_asked_for_a_while_and_then_again() -> None:
    clock = StillClock()
    unanswered = Unanswered(clock)
    assert await unanswered.ask("a", _answers) == "an answer"
    with pytest.raises(errors.GatewayUnresponsive):
        await unanswered.ask("a", _hangs)
    clock.pass_(AGAIN.total_seconds() - 1)
    assert await unanswered.ask("a", _answers) is None
    assert await unanswered.ask("b", _answers) == "an answer"
    clock.pass_(1)
    assert await unanswered.ask("a", _answers) == "an answer"


async def test_a_refusal_is_an_answer() -> None:
    unanswered = Unanswered(StillClock())
    with pytest.raises(errors.RequestRefused):
        await unanswered.ask("a", _refuses)
    assert await unanswered.ask("a", _answers) == "an answer"
