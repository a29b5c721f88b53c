"""The gateway is killed, drained, frozen, restarted and starved; real ones, each with work going on."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import healthy
from tests.e2e.harness.conditions import stays
from tests.e2e.harness.releases import V3_24, V4_14, V9_6
from tests.e2e.harness.runs import after_tool_results, in_model_call, in_stream
from tests.e2e.harness.stuck import by_restart_in_place, frozen
from tests.e2e.harness.world import World

from .report import Row
from .stories import cut, deeds, disturbances, forget, nothing_for, recovered, turns, watching, web
from .webhook import Webhook

pytestmark = pytest.mark.gateways


@pytest.mark.faults("gateway kill -9")
def test_kill(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(f"gateway {V3_24.version}")
    with World(V3_24, tmp_path / "gateway") as world:
        makers = (in_model_call, in_stream, after_tool_results)
        runs = [maker(world, web(f"cut-{number}")) for number, maker in enumerate(makers)]
        with watching(world, tmp_path / "watchdog", hook) as watchdog:
            watchdog.wait_for("cycle.finished", running=len(runs))
            cut(world, runs)
            lively = healthy.slow_stream(world, web("lively"))
            result = recovered(world, watchdog, hook, [run.key for run in runs])
            touched = disturbances(world, [lively])
            row.saw(f"{len(runs)} runs cut; {result.sentence()}; {len(touched)} disturbance(s) of a live run beside")
            row.lost([*result.losses, *touched])
            assert watchdog.stop() == 0


@pytest.mark.faults("gateway SIGTERM, drains and resumes by itself")
def test_drain(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(f"gateway {V9_6.version}")
    with World(V9_6, tmp_path / "gateway") as world:
        run = in_model_call(world, web("drained"))
        with watching(world, tmp_path / "watchdog", hook) as watchdog:
            watchdog.wait_for("cycle.finished", running=1)
            ended_itself = world.terminate()
            watchdog.wait_for("gateway.disconnected")
            forget(world, [run])
            world.start()
            watchdog.wait_for("gateway.connected", count=2)
            world.await_status(run.key, "done", within=120)
            nothing_for(world, watchdog, 10)
            phases = {str(line.get("phase")) for line in watchdog.events("gateway.disconnected")}
            phases |= {str(line.get("phase")) for line in watchdog.events("gateway.unhealthy") if line.get("phase")}
            row.saw(
                f"{'ended by itself' if ended_itself else 'killed after 20 s of draining'}, seen as "
                f"{', '.join(sorted(phases))}; the gateway resumed the run itself; {deeds(watchdog)} deeds of ours"
            )
            row.lost([f"{turns(world)} turns of ours on top"] if turns(world) else [])
            assert watchdog.stop() == 0


@pytest.mark.faults("gateway SIGTERM, leaves its runs behind")
def test_termination(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(f"gateway {V3_24.version}")
    with World(V3_24, tmp_path / "gateway") as world:
        runs = [in_model_call(world, web("left-0")), in_stream(world, web("left-1"))]
        with watching(world, tmp_path / "watchdog", hook) as watchdog:
            watchdog.wait_for("cycle.finished", running=2)
            ended_itself = world.terminate()
            forget(world, runs)
            world.start()
            result = recovered(world, watchdog, hook, [run.key for run in runs])
            row.saw(f"{'ended by itself' if ended_itself else 'killed after 20 s'}; {result.sentence()}")
            row.lost(result.losses)
            assert watchdog.stop() == 0


@pytest.mark.faults("gateway SIGSTOP for 60 s")
def test_frozen(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(f"gateway {V3_24.version}")
    with World(V3_24, tmp_path / "gateway") as world:
        run = in_model_call(world, web("cut"))
        cut(world, [run])
        lively = healthy.slow_stream(world, web("lively"))
        with watching(world, tmp_path / "watchdog", hook) as watchdog:
            watchdog.wait_for("session.suspect", session=run.key)
            with frozen(world):
                stays("nothing is done", lambda: not deeds(watchdog), for_seconds=60)
            unwell = watchdog.wait_for("gateway.disconnected")
            result = recovered(world, watchdog, hook, [run.key])
            touched = disturbances(world, [lively])
            row.saw(
                f"seen as {unwell['phase']}, no deed while frozen; then {result.sentence()}; "
                f"{len(touched)} disturbance(s) of the run that lived through it"
            )
            row.lost([*result.losses, *touched])
            assert watchdog.stop() == 0


@pytest.mark.faults("gateway restarted inside its process")
def test_in_place(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(f"gateway {V4_14.version}")
    with World(V4_14, tmp_path / "gateway") as world:
        runs = [in_model_call(world, web("cut-0")), in_stream(world, web("cut-1"))]
        patient = {"thresholds": {"startup_grace": "45s"}}
        with watching(world, tmp_path / "watchdog", hook, patient) as watchdog:
            watchdog.wait_for("cycle.finished", running=2)
            pid = world.gateway.pid
            stuck = by_restart_in_place(world, runs)
            stopped = healthy.stopped_by_user(world, web("stopped"))
            for session in stuck:
                watchdog.wait_for("recovery.held", session=session.key, within=300)
            touched = disturbances(world, [stopped])
            begun = [f"{each['session']} was gone on with" for each in watchdog.events("recovery.started")]
            row.saw(
                f"same pid {world.gateway.pid == pid}; {len(stuck)} told and held, for they look like a Stop and in the browser "
                f"nobody can be asked; {len(begun)} deeds; a run its user stopped: {len(touched)} changes"
            )
            row.lost([*begun, *touched])
            assert watchdog.stop() == 0


@contextmanager
def no_descriptors(pid: int) -> Iterator[int]:
    """The process can open nothing more; answers the limit."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    limit = min(set(range(max(taken) + 2)) - taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield limit
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@pytest.mark.faults("gateway out of file descriptors")
def test_descriptors(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(f"gateway {V3_24.version}")
    with World(V3_24, tmp_path / "gateway") as world:
        run = in_model_call(world, web("cut"))
        cut(world, [run])
        with watching(world, tmp_path / "watchdog", hook) as watchdog:
            watchdog.wait_for("session.suspect", session=run.key)
            with no_descriptors(world.gateway.pid) as limit:
                # The connection that is open goes on; what is new (the one for the deed, a restarted daemon) gets none.
                watchdog.kill()
                watchdog.start()
                unwell = watchdog.wait_for("gateway.unhealthy")
                stays("nothing is done", lambda: not deeds(watchdog), for_seconds=12)
            result = recovered(world, watchdog, hook, [run.key])
            row.saw(f"limit {limit}: {unwell['phase']}, no deed; with descriptors again: {result.sentence()}")
            row.lost(result.losses)
            assert watchdog.stop() == 0


OPENS = """
import os, sys
for _ in sys.stdin:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
        print("opened", flush=True)
    except OSError as problem:
        print(problem.strerror, flush=True)
"""


def test_a_limit_is_taken_back() -> None:
    """The fault itself, on a process that tries to open something whenever it is asked."""
    with subprocess.Popen(
        [sys.executable, "-c", OPENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def asked() -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("?\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        assert asked() == "opened"
        with no_descriptors(process.pid):
            assert asked() == "Too many open files"
        assert asked() == "opened"
        process.stdin.close()
