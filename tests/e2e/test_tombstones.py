"""Sessions that the gateway's restart recovery has given up are let in again: by a reset where somebody writes from a chat app, and
under another key, with all that was said, where nobody does.

No release of another kind has tombstones. 2026.8.2 keeps what is written to one in its chat app's spool, and answers it after the
reset; 2026.9.6 tells the person that the session has ended, and forgets what they wrote.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness.conditions import until

from .harness.daemon import Watchdog
from .harness.people import await_outcome
from .harness.releases import V8_2, V9_6, Release
from .harness.routes import TelegramDm, Web
from .harness.runs import in_model_call
from .harness.stores import exhaust_recovery
from .harness.telegram import ALICE
from .harness.world import World

pytestmark = pytest.mark.e2e

ONE_BY_ONE = {"session": {"dmScope": "per-channel-peer"}}
LADDER: dict[str, Any] = {"recovery": {"ladder": ["resume", "recover", "new"]}}


@pytest.mark.parametrize("release", [V9_6, V8_2], ids=lambda release: release.version)
def test_a_tombstone_with_a_chat_is_reset_and_one_without_goes_on_elsewhere(release: Release, tmp_path: Path) -> None:
    with World(release, tmp_path / "gateway", telegram=True, extra=ONE_BY_ONE) as world:
        alice, web = TelegramDm(ALICE, own_session=True), Web("agent:main:lost")
        runs = [in_model_call(world, alice), in_model_call(world, web)]
        world.kill()
        world.gateway.forget_received()
        for run in runs:
            world.provider.forget(run.marker)
            exhaust_recovery(world.gateway, run.key)
        world.start()
        for run in runs:
            until(f"{run.key} is given up", partial(_is_tombstone, world, run.key), within=60)
        ear, waiting = alice.listen(world), world.fresh_marker("WAITING")
        alice.say(world, f"are you there? {waiting}")
        if release is V9_6:
            ear.wait_for("ended during restart recovery")
        sent = len(world.provider.calls)
        with Watchdog(world.gateway, tmp_path / "watchdog", extra=LADDER) as watchdog:
            for run in runs:
                watchdog.wait_for("session.stuck", session=run.key, reason="GivenUpByGateway")
            step, proof = _step(await_outcome(watchdog, alice.key, "recovered", within=150))
            # On 2026.8.2 what waits is taken up at once, and its run may be what the next look sees.
            proofs = ("RowCleared",) if release is V9_6 else ("RowCleared", "FreshRunStarted")
            assert (step, proof in proofs) == ("new", True)
            assert not _is_tombstone(world, alice.key)
            marker = waiting
            if release is V9_6:  # it has told her to write again
                marker = world.fresh_marker("AGAIN")
                alice.say(world, f"and now? {marker}")
            ear.wait_for(str(world.provider.await_answer(marker).answer))
            step, proof = _step(await_outcome(watchdog, web.key, "recovered", within=150))
            assert (step, proof in ("NewRunDone", "NewRunProgresses")) == ("recover", True)
            (successor,) = [row for row in world.witness.rows() if "previousSessionId" in row]
            assert successor["previousSessionId"] == runs[1].session_id
            world.await_status(str(successor["key"]), "done")
            assert not [call for call in world.provider.calls[sent:] if "[openclaw-watchdog" in call.turn_text]
            assert len(ear.heard) == (2 if release is V9_6 else 1), "nothing is said but the answer"
            assert watchdog.stop() == 0


def _is_tombstone(world: World, key: str) -> bool:
    return world.row(key).get("restartRecoveryStatus") == "tombstoned"


def _step(incident: dict[str, Any]) -> tuple[str, str]:
    (attempt,) = incident["attempts"]
    return attempt["step"], attempt["reason"]
