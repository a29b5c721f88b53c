"""A deed that comes too late after its claim is not sent: with replicas another one may look after the gateway by then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.gateway.scene import V96, V324, WEB, scene_with
from tests.unit.gateway.server import Answer
from tests.unit.gateway.test_client import STARTED, _deed
from watchdog.service.errors import SentTooLate


@pytest.mark.parametrize("version", [V324, V96], ids=["3.24", "9.6"])
@pytest.mark.parametrize("late_by", [-0.5, 0.5])
async def test_what_is_late_is_not_sent(version: dict[str, Any], late_by: float) -> None:
    answers: dict[str, Answer] = {"chat__send": STARTED, "agent": STARTED}
    async with scene_with(answers=answers, **version) as scene:
        deed = replace(_deed(session=WEB), send_by=scene.clock.now())
        await scene.client.prepare(deed.step, deed.session)
        scene.clock.advance(late_by)
        before = len(scene.gateway.asked)
        if late_by > 0:
            with pytest.raises(SentTooLate):
                await scene.client.perform(deed)
            assert len(scene.gateway.asked) == before
        else:
            assert (await scene.client.perform(deed)).run_id is not None
        await scene.gateway.until_open(1)


@pytest.mark.parametrize("asleep", [-3600.0, 0.0, 3600.0])
async def test_a_machine_that_slept_between_claim_and_sending_sends_nothing(asleep: float) -> None:
    """Its monotonic clock stood still. One that was set back is not late."""
    async with scene_with(answers={"agent": STARTED}, **V96) as scene:
        deed = replace(_deed(session=WEB), send_by=scene.clock.now().plus(timedelta(seconds=5)))
        await scene.client.prepare(deed.step, deed.session)
        scene.clock.step(asleep)
        before = len(scene.gateway.asked)
        if asleep > 0:
            with pytest.raises(SentTooLate):
                await scene.client.perform(deed)
            assert len(scene.gateway.asked) == before
        else:
            assert (await scene.client.perform(deed)).run_id is not None
        await scene.gateway.until_open(1)
