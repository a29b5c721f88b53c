"""What befalls a whole gateway, on a real 2026.9.6: its own breaker after crashes, a suspension. Each is named for what it is,
nothing is done while it lasts, and what was held is done once afterwards.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.conditions import stays, until

from .conftest import MakeWorld
from .harness.daemon import Watchdog
from .harness.people import await_held, await_outcome
from .harness.releases import V9_6
from .harness.routes import TelegramDm, Web
from .harness.runs import in_model_call
from .harness.stores import exhaust_recovery
from .harness.stuck import CRON_KEY, by_kill
from .harness.telegram import ALICE
from .harness.world import World

pytestmark = pytest.mark.e2e

ONE_BY_ONE = {"session": {"dmScope": "per-channel-peer"}}
SCHEDULED = {"policies": [{"name": "background", "match": {"kind": "cron"}, "recovery": {"ladder": ["resume"]}}]}
CRASHES = 3
"""Within five minutes: at the start after the third 2026.9.6 runs no chat app, and says so wherever it is asked but in a probe."""


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(V9_6, telegram=True, extra=ONE_BY_ONE)


def test_chat_apps_that_a_gateway_does_not_start_after_crashes_are_named_and_not_spoken_through(
    world: World, tmp_path: Path
) -> None:
    alice = TelegramDm(ALICE, own_session=True)
    run = in_model_call(world, alice)
    for crash in range(CRASHES):
        world.kill()
        if crash == CRASHES - 1:
            world.provider.forget(run.marker)
            exhaust_recovery(world.gateway, alice.key)
        world.gateway.start()  # not the world's start, which waits for the bot
    until("it is given up", lambda: world.row(alice.key).get("restartRecoveryStatus") == "tombstoned", within=60)
    with Watchdog(world.gateway, tmp_path) as watchdog:
        named = watchdog.wait_for("gateway.unhealthy")
        assert named["reason"] == "it does not run telegram after several crashes"
        warned = [line for line in watchdog.verb("doctor").out.splitlines() if line.startswith("WARN home")]
        assert any("does not run telegram" in line and "channels.start" in line for line in warned), warned
        await_held(watchdog, alice.key, "channel_down")
        world.witness.call("channels.start", {"channel": "telegram"})
        await_outcome(watchdog, alice.key, "recovered", within=150)
        assert watchdog.stop() == 0


def test_a_suspended_gateway_is_named_so_and_left_alone_until_it_is_resumed(world: World, tmp_path: Path) -> None:
    (session,) = by_kill(world, [in_model_call(world, Web(CRON_KEY))])
    sent = len(world.provider.calls)
    suspension = _suspend(world)
    with Watchdog(world.gateway, tmp_path, extra=SCHEDULED) as watchdog:
        watchdog.wait_for("gateway.unhealthy", phase="suspended")
        stays("nothing is done", lambda: len(world.provider.calls) == sent, for_seconds=12)
        assert not watchdog.events("session.stuck")
        _resume(world, suspension)
        await_outcome(watchdog, session.key, "recovered")
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
