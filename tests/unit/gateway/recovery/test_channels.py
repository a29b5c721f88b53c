"""Whether a chat app can be spoken through now, out of ``channels.status``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tests.unit.gateway.shapes import raw
from watchdog.core.model import ReplyAddress
from watchdog.gateway.recovery.channels import PROBE_MILLISECONDS, channel_problem
from watchdog.service import errors
from watchdog.service.redaction import Secrets

ROUTE = ReplyAddress("telegram", "telegram:1001", "default")
WELL: dict[str, Any] = {"accountId": "default", "running": True, "probe": {"ok": True, "status": None}}


async def _problem(answer: object, route: ReplyAddress = ROUTE, secrets: Secrets | None = None) -> str | None:
    asked: list[tuple[str, dict[str, Any]]] = []

    async def call(method: str, params: dict[str, Any]) -> msgspec.Raw:
        asked.append((method, params))
        if isinstance(answer, Exception):
            raise answer
        return raw(answer)

    said = await channel_problem(route, call, secrets)
    assert asked == [("channels.status", {"probe": True, "timeoutMs": PROBE_MILLISECONDS})], "without a probe it lies"
    return said


def _status(*accounts: object) -> dict[str, Any]:
    return {"channelAccounts": {"telegram": list(accounts)}}


@pytest.mark.parametrize(
    "account",
    [
        WELL,
        {"accountId": "default", "running": True},  # it does not probe
        {"accountId": "default", "probe": {"ok": True}},
        {"accountId": "default", "running": None, "probe": None},
    ],
)
async def test_a_chat_app_that_is_there(account: dict[str, Any]) -> None:
    assert await _problem(_status(account)) is None


@pytest.mark.parametrize(
    ("account", "says"),
    [
        ({**WELL, "probe": {"ok": False}}, "telegram cannot be reached"),
        ({**WELL, "probe": {"ok": False, "status": 401}}, "telegram cannot be reached (it answers 401)"),
        # After three crashes the gateway runs it no more, and its probe still says ok (2026.9.6).
        ({**WELL, "running": False}, "telegram is not running"),
        ({**WELL, "running": False, "lastError": " "}, "telegram is not running"),
        ({**WELL, "running": False, "lastError": "login\nfailed"}, "telegram is not running (login failed)"),
    ],
)
async def test_a_chat_app_that_is_away(account: dict[str, Any], says: str) -> None:
    assert await _problem(_status(account)) == says


async def test_the_gateways_own_reason_is_cut_and_carries_no_address() -> None:
    token = "123456:SECRET"
    error = f"Call to https://api.telegram.org/bot{token}/getMe failed {'very ' * 60}badly"
    said = await _problem(_status({**WELL, "running": False, "lastError": error}))
    assert said is not None
    assert said.startswith("telegram is not running (Call to failed very ")
    assert said.endswith("…)")
    assert token not in said
    assert len(said) < 160


async def test_of_a_secret_in_the_gateways_own_reason_no_half_is_left_by_the_cut() -> None:
    secret = "s3cr3t-gateway-token-0123456789"
    error = f"{'very ' * 20}badly: {secret}"
    said = await _problem(_status({**WELL, "running": False, "lastError": error}), secrets=Secrets([secret]))
    assert said is not None
    assert secret[:6] not in said


BREAKER = (
    "gateway restart-loop breaker tripped: 3 unclean boot(s) within 300000ms; suppressing channel/provider account "
    "auto-start. Inspect the stability bundle and fix the startup crash before restarting the service. Start a channel "
    'manually with: openclaw gateway call channels.start --params \'{"channel":"telegram"}\''
)
TRIPPED = {
    "accountId": "default",
    "configured": True,
    "enabled": True,
    "lifecycle": "stopped",
    "lastStartAt": None,
    "healthState": "not-running",
    "lastError": BREAKER,
    "probe": {"ok": True, "status": None},
}
"""2026.9.6 after three kills in 70 seconds, measured; but for ``running``."""


@pytest.mark.parametrize("running", [{"running": False}, {}], ids=["as measured", "by its lifecycle"])
async def test_a_gateway_that_crashed_too_often_runs_no_chat_app_though_its_probe_says_ok(
    running: dict[str, Any],
) -> None:
    said = await _problem(_status(TRIPPED | running))
    assert said is not None
    assert said.startswith("telegram is not running (gateway restart-loop breaker tripped: 3 unclean boot(s)")
    assert said.endswith("""`openclaw gateway call channels.start --params '{"channel":"telegram"}'` starts it""")


async def test_a_command_is_made_of_no_name_that_a_shell_takes_for_more() -> None:
    route = replace(ROUTE, channel="x'; rm -rf ~; '")
    said = await _problem({"channelAccounts": {route.channel: [TRIPPED]}}, route)
    assert said is not None
    assert "breaker tripped" in said
    assert "channels.start" not in said


@pytest.mark.parametrize("answer", [{}, [], None, {"channelAccounts": {}}, {"channelAccounts": {"irc": [WELL]}}, 7])
async def test_a_chat_app_that_the_gateway_does_not_list(answer: object) -> None:
    said = await _problem(answer)
    assert said is not None
    assert "lists no account of telegram" in said


DOWN = {**WELL, "accountId": "second", "probe": {"ok": False}}


@pytest.mark.parametrize(
    ("account_id", "accounts", "says"),
    [
        ("default", (WELL, DOWN), None),
        ("second", (WELL, DOWN), "cannot be reached"),
        ("third", (WELL, DOWN), "lists no account third of telegram"),
        ("third", (WELL,), None),  # the only one, whatever it is called
        (None, (WELL, DOWN), "cannot be reached"),  # any of them may be the one
        (None, (WELL,), None),
        ("default", ("broken", WELL), None),
    ],
)
async def test_the_routes_own_account_counts(
    account_id: str | None, accounts: tuple[object, ...], says: str | None
) -> None:
    said = await _problem(_status(*accounts), replace(ROUTE, account_id=account_id))
    assert (said is None) is (says is None)
    assert says is None or says in str(said)


async def test_a_gateway_that_does_not_know_the_question_is_taken_at_its_word() -> None:
    assert await _problem(errors.UnknownMethod("unknown method: channels.status")) is None


REFUSALS = [errors.RequestRefused("no", code="UNAVAILABLE"), errors.ScopeRefused("no")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["refused", "scope"])
async def test_a_question_that_is_refused_stands_against_it(refusal: Exception) -> None:
    said = await _problem(refusal)
    assert said is not None
    assert "could not be asked" in said


async def test_a_gateway_that_is_gone_is_the_callers_matter() -> None:
    with pytest.raises(errors.GatewayClosed):
        await _problem(errors.GatewayClosed("home: gone", None))
