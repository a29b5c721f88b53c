"""What the gateway recovers by itself is left to it, however long that takes.

After a crash 2026.9.6 takes up the runs that were cut one after the other. The rows of those that wait for their turn look
like dead ones; that preflight names the restart recovery is all that tells. 2026.5.18 takes up those alone whose transcript's
lock was left over, and fails what it cannot carry on.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness.conditions import stays, until

from .harness.daemon import Watchdog
from .harness.failures import HarnessError
from .harness.provider import Held, Status
from .harness.releases import V5_18, V9_6
from .harness.routes import Web
from .harness.runs import Run, after_tool_results, begin, in_first_turn, in_model_call, in_tool
from .harness.stores import lock_path, transcript_path
from .harness.world import World

pytestmark = pytest.mark.e2e

ONE_LANE = {"agents": {"defaults": {"maxConcurrent": 1}}}
LONG = 45.0
"""Seconds for which the first recovered run goes on: longer than any window after a start, and than the thresholds of tests."""

STARTS = 3


def _waits(world: World, key: str) -> bool:
    row = world.row(key)
    return row.get("status") == "running" and row.get("abortedLastRun") is True and not row.get("hasActiveRun")


def _inputs(world: World, key: str) -> list[str]:
    """What became of the words that were sent behind a live run."""
    kept = world.witness.call("chat.history", {"sessionKey": key})["pendingInputs"]["items"]
    return [item["state"] for item in kept]


def test_rows_that_wait_for_the_gateways_own_recovery_are_left_to_it(tmp_path: Path) -> None:
    with World(V9_6, tmp_path / "gateway") as world:
        held = Held()
        runs = [begin(world, Web(f"agent:main:cut{number}"), held) for number in range(3)]
        keys = [run.route.key for run in runs]
        for key in keys:
            world.witness.send(key, "And the ferries, please.")
            until("that is kept behind the run", partial(_inputs, world, key), within=30)
        world.kill()
        world.gateway.reconfigure(ONE_LANE)
        world.start()
        until("two of the three wait", lambda: sum(_waits(world, key) for key in keys) == 2, within=120)
        sent = len(world.provider.calls)
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            watchdog.wait_for("gateway.connected")
            stays(
                "nothing is done for who waits",
                lambda: not watchdog.events("session.stuck") and sum(_waits(world, key) for key in keys) == 2,
                for_seconds=LONG,
                every=2,
            )
            waiting = [key for key in keys if _waits(world, key)]
            assert "recovering interrupted sessions itself" in watchdog.verb("explain", waiting[0]).out
            held.end.set()
            until("all three are done", lambda: all(world.row(key)["status"] == "done" for key in keys), within=180)
            for key in waiting:
                assert _inputs(world, key) == ["interrupted"]
                watchdog.wait_for("session.unanswered", session=key, reason="InputsDropped")
            assert not watchdog.events("session.stuck")
            assert watchdog.stop() == 0
        assert not [call for call in world.provider.calls[sent:] if "[openclaw-watchdog" in call.turn_text]


def test_what_5_18_fails_by_its_recovery_is_told_where_somebody_waits_and_is_nobodys_stop(tmp_path: Path) -> None:
    with World(V5_18, tmp_path / "gateway") as world:
        tool, approval = (
            in_tool(world, Web("agent:main:tool")),
            after_tool_results(world, Web("agent:main:approval"), 1),
        )
        answered, refused = (in_model_call(world, Web(f"agent:main:{name}")) for name in ("answered", "refused"))
        first = in_first_turn(world, Web("agent:main:first"))
        given_up, runs = (tool, approval, answered, first), (tool, approval, answered, first, refused)
        unhurried = {"thresholds": {"stuck_after": "60s"}}
        with Watchdog(world.gateway, tmp_path / "watchdog", extra=unhurried) as watchdog:
            watchdog.wait_for("cycle.finished", running=len(runs))
            world.kill()
            entries = _entries(world, answered)
            answer = next(entry for entry in reversed(entries) if entry.get("message", {}).get("role") == "assistant")
            _write(world, answered, [*entries, answer | {"id": "0ffa11ed", "parentId": entries[-1]["id"]}])
            *before, result = _entries(world, approval)
            result["message"]["details"] = {"status": "approval-pending"}
            _write(world, approval, [*before, result])
            for run in runs:
                world.provider.forget(run.marker)
                _leave_lock(world, run)
            # The one that it does resume fails by its own turn: an error is the last word in its transcript, and the gateway tells nobody.
            sent, world.provider.default = len(world.provider.calls), Status(400)
            _start_until_recovered(world, runs)
            for run in runs:
                assert world.row(run.key)["abortedLastRun"] is (run in given_up)
            for why in ("tail is not resumable", "stale approval-pending tool result"):
                assert world.gateway.logged(why)
            for run in (tool, approval, first, refused):
                watchdog.wait_for("session.unanswered", session=run.key, reason="EndedUnanswered")
            assert not watchdog.events("session.unanswered", session=answered.key)
            assert not watchdog.events("session.stopped")
            assert watchdog.stop() == 0
        assert not [call for call in world.provider.calls[sent:] if "[openclaw-watchdog" in call.turn_text]


def _start_until_recovered(world: World, runs: Sequence[Run]) -> None:
    """What it marks later than 5 s after its start, as on a busy machine, 2026.5.18 takes up at its next start."""
    for _ in range(STARTS):
        world.start()
        try:
            until(
                "the recovery is done",
                lambda: all(world.row(run.key)["status"] == "failed" for run in runs),
                within=40,
            )
        except HarnessError:
            world.kill()
        else:
            return
    raise HarnessError(f"rows that were cut are still running after {STARTS} starts")


def _entries(world: World, run: Run) -> list[dict[str, Any]]:
    path = transcript_path(world.gateway, run.session_id, run.key)
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write(world: World, run: Run, entries: list[dict[str, Any]]) -> None:
    path = transcript_path(world.gateway, run.session_id, run.key)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def _leave_lock(world: World, run: Run) -> None:
    """As a kill in the middle of a write leaves it: the lock of a process that is gone."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    lock = {"pid": gone.pid, "createdAt": "2026-01-01T00:00:00.000Z", "starttime": 1}
    lock_path(world.gateway, run.session_id, run.key).write_text(json.dumps(lock))
