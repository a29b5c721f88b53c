"""One real gateway under two names, and a daemon that is killed over and over: at most one turn a run, at the provider.

Found before the watch went by runs: both names resumed every session, three of three.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.conditions import until
from tests.faults.proxy import Proxy

from .harness.daemon import Watchdog
from .harness.releases import V3_24
from .harness.routes import Web
from .harness.runs import in_model_call
from .harness.stuck import by_kill
from .harness.world import World

pytestmark = pytest.mark.e2e

LIVES = 6
"""Daemons that are killed, each at a deed or soon after its start."""
SLOW = 1.5
"""Seconds by which the second way is late: the sign-ins then do not show that both lead to one gateway."""


@pytest.mark.parametrize("latency", [0.0, SLOW])
def test_2026_3_24_killed_in_a_loop_with_two_names_for_it(tmp_path: Path, latency: float) -> None:
    with World(V3_24, tmp_path / "gateway") as world, Proxy(world.gateway.port) as proxy:
        proxy.latency = latency
        stuck = by_kill(world, [in_model_call(world, Web(f"agent:main:call-{number}")) for number in range(3)])
        entry = {"token": "${GATEWAY_TOKEN}", "state_dir": str(world.gateway.state_dir)}
        sections = [
            {"name": "home", "url": world.gateway.url, **entry},
            {"name": "proxied", "url": proxy.url, **entry},
        ]
        watchdog = Watchdog(world.gateway, tmp_path / "watchdog", extra={"gateways": sections})
        with watchdog:
            for life in range(1, LIVES + 1):
                before = len(watchdog.events("recovery.started"))
                if life % 2 and before < len(stuck):
                    watchdog.wait_for("recovery.started", count=before + 1)
                else:
                    watchdog.wait_for("gateway.connected", gateway="home", count=life)
                watchdog.kill()
                watchdog.start()
            # Killed between its claim and its sending, a turn is never sent again: that session is begun afresh instead.
            until(
                "none of them is running",
                lambda: all(world.row(session.key).get("status") != "running" for session in stuck),
                within=180,
            )
            until("nothing is left open", lambda: all(one["closed_at"] for one in watchdog.history()), within=120)
            if not latency:
                watchdog.wait_for("config.refused", gateway="proxied")
            for session in stuck:
                turns = [
                    call for call in world.provider.calls_showing("[openclaw-watchdog") if call.shows(session.request)
                ]
                assert len(turns) <= 1, f"{session.key}: {len(turns)} turns for one run\n{watchdog.report(200)}"
