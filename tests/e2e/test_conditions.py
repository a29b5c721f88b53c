"""What befalls a whole gateway, on a real 2026.9.6: its own breaker after crashes, a suspension. Each is named for what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.conditions import stays, until

from .conftest import MakeWorld
from .harness.daemon import Watchdog
from .harness.releases import V9_6
from .harness.routes import Web
from .harness.runs import in_model_call
from .harness.stuck import CRON_KEY, by_kill
from .harness.world import World

pytestmark = pytest.mark.e2e

SCHEDULED = {"policies": [{"name": "background", "match": {"kind": "cron"}, "recovery": {"ladder": ["resume"]}}]}
MOST_CRASHES = 6
"""2026.9.6 runs no chat app where three lives that began within the last five minutes were killed, and says so wherever it is
asked but in a probe. A busy machine needs more of them."""


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(V9_6, telegram=True)


def test_a_suspended_gateway_is_named_so_and_left_alone_until_it_is_resumed(world: World, tmp_path: Path) -> None:
    (session,) = by_kill(world, [in_model_call(world, Web(CRON_KEY))])
    sent = len(world.provider.calls)
    suspension = _suspend(world)
    with Watchdog(world.gateway, tmp_path, extra=SCHEDULED) as watchdog:
        watchdog.wait_for("gateway.unhealthy", phase="suspended")
        stays("nothing is done", lambda: len(world.provider.calls) == sent, for_seconds=12)
        assert not watchdog.events("session.stuck")
        _resume(world, suspension)
        watchdog.wait_for("recovery.succeeded", session=session.key)
        suspension = _suspend(world)
        watchdog.wait_for("gateway.disconnected", phase="suspended")
        _resume(world, suspension)
        watchdog.wait_for("gateway.connected", count=2)
        assert not [line for line in watchdog.lines if line.get("phase") in ("down", "unresponsive", "draining")]
        assert watchdog.stop() == 0


def _suspend(world: World) -> str:
    def prepared() -> str | None:  # "busy" while anything runs
        said: str | None = world.witness.call("gateway.suspend.prepare", {"requestId": "e2e"}).get("suspensionId")
        return said

    return until("the gateway is suspended", prepared, within=60, every=1)


def _resume(world: World, suspension: str) -> None:
    world.witness.call("gateway.suspend.resume", {"suspensionId": suspension})


def test_chat_apps_that_a_gateway_does_not_start_after_crashes_are_named(world: World, tmp_path: Path) -> None:
    for _ in range(MOST_CRASHES):
        world.kill()
        world.gateway.start()  # not the world's start, which waits for the bot
        (account,) = world.witness.call("channels.status")["channelAccounts"]["telegram"]
        if "restart-loop breaker tripped" in str(account.get("lastError")):
            break
    with Watchdog(world.gateway, tmp_path) as watchdog:
        named = watchdog.wait_for("gateway.unhealthy")
        assert named["reason"] == "it does not run telegram after several crashes"
        (warned,) = _channels_in(watchdog)
        assert "`openclaw gateway call channels.start" in warned
        world.witness.call("channels.start", {"channel": "telegram"})
        until("it is named no more", lambda: not _channels_in(watchdog), within=30)
        assert watchdog.stop() == 0


def _channels_in(watchdog: Watchdog) -> list[str]:
    """What ``doctor`` warns of."""
    return [line for line in watchdog.verb("doctor").out.splitlines() if line.startswith("WARN") and "not run" in line]
