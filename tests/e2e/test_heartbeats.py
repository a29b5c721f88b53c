"""A heartbeat in the main session of somebody who was asked to send their request again: it ends the row, and answers nobody.

2026.3.24 and 4.14 show what it began with, and name nobody; 2026.5.18 shows its answer alone, and may run one just after its start,
before anybody could be asked: it passed here once, and is left to the simulator. It runs every 30 minutes by default.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.conditions import until

from .harness.daemon import Watchdog
from .harness.people import Since, await_outcome, strand
from .harness.releases import V3_24
from .harness.routes import TelegramDm
from .harness.telegram import ALICE
from .harness.world import World

pytestmark = pytest.mark.e2e

BEATING = {"agents": {"defaults": {"heartbeat": {"every": "3m"}}}}
PROMPT = "HEARTBEAT.md"


def test_2026_3_24_a_heartbeat_is_not_the_answer_of_who_was_asked(tmp_path: Path) -> None:
    alice = TelegramDm(ALICE)
    with World(V3_24, tmp_path / "gateway", telegram=True, extra=BEATING) as world:
        list_of_tasks = world.gateway.home / "workspace" / PROMPT
        list_of_tasks.parent.mkdir(parents=True, exist_ok=True)
        list_of_tasks.write_text("- look whether anything is to be done\n")
        (session,) = strand(world, [alice])
        since = Since.now(world)
        with Watchdog(world.gateway, tmp_path / "watchdog", extra={"recovery": {"ladder": ["ask"]}}) as watchdog:
            watchdog.wait_for("recovery.started", session=session.key, step="ask", within=120)
            (heard,) = until("she is asked", lambda: since.heard(alice.place), within=30)
            until("a heartbeat has run", lambda: world.provider.calls_with(PROMPT), within=300)
            until("its row is free", lambda: world.row(session.key).get("status") == "done", within=60)
            await_outcome(watchdog, session.key, "cleared")
            assert not watchdog.events("recovery.succeeded")
            assert [message for message in since.heard() if message.is_in(alice.place)][:1] == [heard]
            assert watchdog.stop() == 0
