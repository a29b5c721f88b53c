"""Whether the answer of a turn of ours was delivered, as the second answer of ``agent`` says, over real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.fakes.clock import ManualClock
from tests.unit.gateway.links import linked, open_link
from tests.unit.gateway.scene import LADDER, MAIN, V96, V324, V518, WEB, scene_with
from tests.unit.gateway.server import Answer, Closed, Raw, WireGateway, running
from tests.unit.gateway.test_client import ALL_WELL, _deed
from watchdog.gateway.recovery.delivery_reports import KEPT_FOR, MOST_KEPT, DeliveryReports

ACCEPTED = Raw('{"type":"res","id":"{id}","ok":true,"payload":{"status":"accepted","runId":"r1"}}')


def _second(payload: object) -> str:
    said = msgspec.json.encode(payload).decode()
    return f'{{"type":"res","id":"w2","ok":true,"payload":{said}}}'


@contextlib.asynccontextmanager
async def _kept() -> AsyncIterator[tuple[DeliveryReports, WireGateway]]:
    """One turn was taken, and its connection is kept."""
    gateway, reports = WireGateway(answers={"agent": ACCEPTED}), DeliveryReports(ManualClock())
    async with running(gateway):
        link = await open_link(gateway.url)
        await link.call("agent")
        assert await reports.keep("r1", link)
        try:
            yield reports, gateway
        finally:
            await reports.close()
            await gateway.until_open(0)


@pytest.mark.parametrize(
    ("payload", "delivered"),
    [
        ({"status": "ok", "result": {"deliverySucceeded": True}}, True),
        ({"status": "ok", "result": {"deliverySucceeded": False}}, False),
        ({"status": "ok", "result": {"deliverySucceeded": "yes"}}, None),
        ({"status": "ok", "result": {}}, None),  # 2026.3.24
        ({"status": "ok", "result": None}, None),
        ({"status": "ok", "result": 7}, None),
        ({"status": "ok"}, None),
        ([], None),
    ],
)
async def test_what_the_second_answer_says_of_the_delivery(payload: object, delivered: bool | None) -> None:
    async with _kept() as (reports, gateway):
        await gateway.say(_second(payload))
        assert await reports.delivered("r1") is delivered
        await gateway.until_open(0)  # it is needed no more
        assert await reports.delivered("r1") is None, "told once"


async def test_a_turn_that_ended_badly_says_nothing_of_its_delivery() -> None:
    async with _kept() as (reports, gateway):
        await gateway.say('{"type":"res","id":"w2","ok":false,"error":{"code":"X","message":"ended badly"}}')
        assert await reports.delivered("r1") is None


async def test_a_connection_that_was_lost_leaves_the_delivery_unknown() -> None:
    async with _kept() as (reports, gateway):
        await gateway.end(Closed(None))
        assert await reports.delivered("r1") is None


async def test_a_second_answer_that_does_not_come_is_not_waited_for_long() -> None:
    async with _kept() as (reports, gateway):
        assert await reports.delivered("r1") is None
        await gateway.until_open(0)


async def test_another_turn_is_unknown() -> None:
    async with _kept() as (reports, gateway):
        assert await reports.delivered("r2") is None
        assert gateway.open_now == 1, "and disturbs nobody"


async def test_a_connection_without_a_second_answer_to_come_is_not_kept() -> None:
    async with linked(WireGateway(answers={"chat.send": {"status": "started"}})) as link:
        await link.call("chat.send")
        reports = DeliveryReports(ManualClock())
        assert not await reports.keep("r1", link)
        assert link.is_open, "its owner closes it"


async def test_connections_are_kept_for_a_while_and_only_so_many() -> None:
    gateway, clock = WireGateway(answers={"agent": ACCEPTED}), ManualClock()
    reports = DeliveryReports(clock)
    async with running(gateway):

        async def keep(run_id: str) -> None:
            link = await open_link(gateway.url)
            await link.call("agent")
            await reports.keep(run_id, link)

        for number in range(MOST_KEPT + 2):
            await keep(f"r{number}")
        await gateway.until_open(MOST_KEPT)
        assert "r1" not in reports._kept, "the oldest goes first"
        assert "r2" in reports._kept
        clock.advance(KEPT_FOR.total_seconds() + 1)
        await keep("late")
        await gateway.until_open(1)
        assert list(reports._kept) == ["late"]
        await reports.close()
        await gateway.until_open(0)


# ---------------------------------------------------------------- the client


@pytest.mark.parametrize("version", [V518, V96], ids=["5.18", "9.6"])
@pytest.mark.parametrize("said", [True, False])
async def test_a_turn_with_a_route_is_heard_to_its_end(version: dict[str, Any], said: bool) -> None:
    answers: dict[str, Answer] = {"agent": ACCEPTED, "channels__status": ALL_WELL}
    async with scene_with(answers=answers, **version) as scene:
        receipt = await scene.client.perform(_deed(session=MAIN))
        assert receipt.run_id == "r1"
        await scene.gateway.say(_second({"result": {"deliverySucceeded": said}}))
        assert await scene.client.delivered("r1") is said
        await scene.gateway.until_open(1)
    assert scene.gateway.asked_for("agent.wait") == [], "it was said already"


async def test_where_the_second_answer_is_silent_2026_9_is_asked() -> None:
    terminal = {"status": "ok", "terminalDelivery": {"status": "failed"}}
    answers: dict[str, Answer] = {"agent": ACCEPTED, "channels__status": ALL_WELL, "agent__wait": terminal}
    async with scene_with(steps=LADDER, answers=answers) as scene:
        await scene.client.perform(_deed())
        await scene.gateway.say(_second({"result": {}}))
        assert await scene.client.delivered("r1") is False


@pytest.mark.parametrize("version", [V324, V96], ids=["3.24", "9.6"])
async def test_a_turn_without_a_route_keeps_no_connection(version: dict[str, Any]) -> None:
    answers: dict[str, Answer] = {"agent": ACCEPTED, "chat__send": {"status": "started", "runId": "r1"}}
    async with scene_with(answers=answers, **version) as scene:
        await scene.client.perform(_deed(session=WEB))
        await scene.gateway.until_open(1)
