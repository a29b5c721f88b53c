"""Sessions that say `running` while nothing runs, each made by what really makes them, each proved before it is given out.

A recipe has two halves: begin one turn or several (`runs.py`), then do to the gateway what leaves them stuck:

    runs = [in_model_call(world, Web("agent:main:a")), after_tool_results(world, GroupChat())]
    stuck = by_kill(world, runs)

so that many sessions of several kinds share one crash, as they do in life. A kill or restart ends every other run of that
gateway as well: make healthy ones afterwards.

Which recipes work where, as seen on real gateways:

                          2026.3.24   2026.4.14   2026.5.18            2026.9.6
    by_kill               yes         yes         yes                  background keys (`cron`) only: resumes the others
    by_termination        yes         yes         yes                  no: drains, then resumes
    by_restart_in_place   95 s        13 s        no: status `timeout` no: SIGUSR1 opens a debugger
    by_run_timeout        yes         yes         no: status `timeout` no: status `timeout`
    by_freeze             yes         yes         yes                  background keys only
    by_lost_write         -           -           -                    yes
    … _after_answer       -           -           -                    yes
    by_refused_writes     -           -           -                    yes
    lock_transcript       yes         yes         -                    -
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from tests.e2e.harness.conditions import epoch_ms, stays, until

from .failures import HarnessError
from .provider import Held, Silence, Stream
from .routes import Route, TelegramRoute
from .runs import PATIENCE, Run, begin, warm_up
from .stores import lock_path, refused_writes, stored_entry, write_lock, write_lock_after_answer
from .witness import WRITE, DeviceKey, Row
from .world import World

CRON_KEY = "agent:main:cron:nightly"
"""2026.9 leaves interrupted sessions of such keys alone at boot."""


@dataclass(frozen=True)
class Stuck:
    """A proved stuck session."""

    run: Run
    row: Row
    """The row as it was when proved."""
    cause: str

    @property
    def key(self) -> str:
        return self.run.key

    @property
    def marker(self) -> str:
        return self.run.marker

    @property
    def request(self) -> str:
        return self.run.request


# ------------------------------------------------------------ what leaves runs stuck


def by_kill(world: World, runs: Sequence[Run]) -> list[Stuck]:
    """kill -9, and started again.

    2026.5.18 keeps a Telegram message on disk until it is handled, and takes it up again by itself. That is taken away
    here: what is left is what a webhook leaves, which keeps nothing.
    """
    world.kill()
    world.gateway.forget_received()
    return _come_back(world, runs, "kill -9")


def by_termination(world: World, runs: Sequence[Run]) -> list[Stuck]:
    """SIGTERM (killed after 20 s of draining), and started again."""
    ended_itself = world.terminate()
    return _come_back(world, runs, "SIGTERM" if ended_itself else "SIGTERM, then kill -9")


def by_restart_in_place(world: World, runs: Sequence[Run]) -> list[Stuck]:
    """SIGUSR1: the gateway waits a little for its runs, drains (5 s on 2026.4.14, always 90 s on 2026.3.24), aborts them
    and starts again in the same process.

    Seen: no transcript lock is left behind, `snapshot.uptimeMs` goes on counting, `updatedAt` is the moment of the
    restart, and the transcripts end as if the user had pressed Stop (assistant, `stopReason` aborted).
    """
    world.restart_in_place()
    for run in runs:
        world.provider.forget(run.marker)
    return _prove(world, runs, "SIGUSR1")


def by_freeze(world: World, runs: Sequence[Run], *, seconds: float = 6) -> list[Stuck]:
    """The gateway hangs for a while (SIGSTOP: connections are accepted by the kernel, handshakes time out), until
    somebody kills and starts it."""
    with frozen(world):
        stays("the gateway answers nobody", lambda: not _lets_in(world), for_seconds=seconds, every=1)
        world.kill()
    return _come_back(world, runs, "frozen, then kill -9")


def by_run_timeout(world: World, route: Route, *, streaming: bool = False) -> Stuck:
    """The run hits its own time limit; the gateway was never restarted.

    The limit is the world's own if that is short. Otherwise it is 8 s for this run only (the gateway reloads its config,
    which says afterwards what it said before).

    Seen on 2026.3.24 and 2026.4.14: `updatedAt - startedAt` of the row is the limit plus some 10 ms, and the transcript
    ends like one whose user pressed Stop.
    """
    warm_up(world, route)
    usual = int(world.gateway.settings()["agents"]["defaults"]["timeoutSeconds"])
    with _run_limit(world, 8) if usual > 60 else contextlib.nullcontext():
        run = begin(world, route, Stream(7200) if streaming else Silence())
        until(f"the run of {run.marker} times out", lambda: not world.provider.open_calls(run.marker), within=PATIENCE)
    world.provider.forget(run.marker)
    return _prove(world, [run], "run timeout")[0]


@contextlib.contextmanager
def _run_limit(world: World, seconds: int) -> Iterator[None]:
    usual = world.gateway.settings()["agents"]["defaults"]["timeoutSeconds"]
    world.gateway.reload({"agents": {"defaults": {"timeoutSeconds": seconds}}})
    try:
        yield
    finally:
        world.gateway.reload({"agents": {"defaults": {"timeoutSeconds": usual}}})


def by_lost_write(world: World, route: Route, *, limit: float = 55, pasted: str = "") -> Stuck:
    """The store's SQLite write lock is held by somebody else while the run ends, so its last write is given up.

    The gateway waits in steps of 5 s with its only thread, so everything is slow meanwhile. `limit`: a lock of 139 s made
    a gateway lose its own lease, and every later turn failed.
    """
    warm_up(world, route)
    held = Held()
    run = begin(world, route, held, pasted=pasted)
    with write_lock(world.gateway, run.key):
        held.end.set()
        until(
            f"the end of {run.marker} is not written", lambda: is_ownerless(world.row(run.key)), within=limit, every=1
        )
    world.provider.forget(run.marker)
    return _prove(world, [run], "lost write")[0]


def by_lost_write_after_answer(world: World, route: Route) -> Stuck:
    """The store is locked in the moment in which the answer has been written to the transcript: the end of the run is not
    written, and where a person asked in a chat app the answer is not delivered.

    Seen on 2026.9.6: the person hears "Something went wrong", and the row is as deaf as after any lost write.
    """
    warm_up(world, route)
    held = Held()
    run = begin(world, route, held)
    lose_end_after_answer(world, run.key, run.marker, held)
    return _prove(world, [run], "lost write after the answer")[0]


def lose_end_after_answer(world: World, key: str, marker: str, held: Held, *, limit: float = 55) -> None:
    """Let the model answer what is going on in this session, and have the end of that run not written."""
    with write_lock_after_answer(world.gateway, key, held.end.set):
        until(f"the end of {marker} is not written", lambda: is_ownerless(world.row(key)), within=limit, every=1)
    world.provider.forget(marker)


def by_refused_writes(
    world: World, routes: Sequence[TelegramRoute], *, meanwhile: Callable[[Sequence[Run]], None] | None = None
) -> list[Stuck]:
    """The store refuses every write while the runs of several chats end, as a full disk does, so that none of their last
    writes is made. ``meanwhile``: done while the runs go on.

    Seen on 2026.9.6: the same rows as after a lock, deaf to their chats, in a moment instead of half a minute each; the
    transcripts end with the person's words, and the person hears "Something went wrong".
    """
    for route in routes:
        warm_up(world, route)
    held = Held()
    runs = [begin(world, route, held) for route in routes]
    if meanwhile is not None:
        meanwhile(runs)
    failures = {run.key: _failures(world, run.key) for run in runs}
    with refused_writes(world.gateway, runs[0].key):
        held.end.set()
        until(
            f"the end of {len(runs)} runs is not written",
            lambda: all(_failures(world, key) > before for key, before in failures.items()),
            within=60,
        )
    for run in runs:
        world.provider.forget(run.marker)
    return _prove(world, runs, "refused write")


def _failures(world: World, key: str) -> int:
    """How many messages of this chat the gateway says it could not process."""
    return world.gateway.said_count("message processed", f"sessionKey={key} outcome=error")


@contextlib.contextmanager
def frozen(world: World) -> Iterator[None]:
    """The gateway is stopped (SIGSTOP) inside; goes on afterwards unless it was killed."""
    world.gateway.freeze()
    try:
        yield
    finally:
        if world.gateway.is_running:
            world.gateway.thaw()


@dataclass(frozen=True)
class ForeignLock:
    """A transcript lock that names a living process which is not the gateway."""

    path: Path
    pid: int


@contextlib.contextmanager
def lock_transcript(world: World, session: Stuck, *, age: timedelta = timedelta(0)) -> Iterator[ForeignLock]:
    """Somebody else holds the session's transcript, and lives. Ends with the holder's death; the lock file stays, as it
    does in life. Past 30 minutes of `age` gateways take such a lock away from its holder."""
    holder = subprocess.Popen(["sleep", "3600"], stdin=subprocess.DEVNULL)
    try:
        path = lock_path(world.gateway, str(session.row["sessionId"]), session.key)
        created = datetime.fromtimestamp(epoch_ms() / 1000, UTC) - age
        owner = {
            "pid": holder.pid,
            "createdAt": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "starttime": _kernel_start_time(holder.pid),
        }
        with path.open("x") as lock:
            json.dump(owner, lock, indent=2)
        yield ForeignLock(path, holder.pid)
    finally:
        holder.kill()
        holder.wait()


# ------------------------------------------------------------ proving it


def _come_back(world: World, runs: Sequence[Run], cause: str) -> list[Stuck]:
    for run in runs:
        world.provider.forget(run.marker)
    world.start()
    return _prove(world, runs, cause)


def _prove(world: World, runs: Sequence[Run], cause: str) -> list[Stuck]:
    """Nothing runs, and the rows say otherwise, and that stays so for longer than a gateway's own recovery takes.

    Whether anything runs is asked of the model, not of the gateway: no call of such a turn is open, and none comes.
    """
    calls = {run.marker: len(world.provider.calls_showing(run.marker)) for run in runs}

    def all_stuck() -> bool:
        rows = {row["key"]: row for row in world.witness.rows()}
        for run in runs:
            row = rows.get(run.key, {})
            as_left = row.get("sessionId") == run.session_id and row.get("startedAt") == run.row.get("startedAt")
            more_calls = len(world.provider.calls_showing(run.marker)) - calls[run.marker]
            if not is_ownerless(row) or not as_left or more_calls or world.provider.open_calls(run.marker):
                facts = f"{more_calls} more model calls, row {json.dumps(row)[:700]}"
                raise HarnessError(f"{run.key} ({run.marker}) is not stuck after {cause}: {facts}")
        return True

    until(f"{len(runs)} sessions are stuck after {cause}", all_stuck, within=30)
    stays("so they stay", all_stuck, for_seconds=_own_recovery_takes(world), every=1)
    for run in runs:
        if (stored := stored_entry(world.gateway, run.key).get("status")) != "running":
            raise HarnessError(f"{run.key} is not stuck after {cause}: its stored status is {stored}")
    if not world.release.keeps_sessions_in_sqlite:
        _require_nothing_to_abort(world, runs)
    return [Stuck(run, world.row(run.key), cause) for run in runs]


def _require_nothing_to_abort(world: World, runs: Sequence[Run]) -> None:
    """Harmless before 2026.9: a second device without admin scope may not stop anything, and there is nothing to stop."""
    with world.gateway.witness(scopes=WRITE, key=DeviceKey()) as stranger:
        for run in runs:
            if (answer := stranger.abort(run.key)) != "no-active-run":
                raise HarnessError(f"{run.key} is not stuck: sessions.abort answers {answer}")


def is_ownerless(row: Row) -> bool:
    return row.get("status") == "running" and not row.get("hasActiveRun") and not row.get("abortedLastRun")


def _own_recovery_takes(world: World) -> float:
    """2026.9 resumes 2 to 9 s after it is ready, 2026.5 fails what it found locked after 5 s, older ones do nothing."""
    if world.release.resumes_on_boot:
        return 14
    return 8 if world.release.tells_active_runs else 2


def _lets_in(world: World) -> bool:
    try:
        world.gateway.witness(patience=1.5).close()
    except HarnessError:
        return False
    return True


def _kernel_start_time(pid: int) -> int:
    """As the gateway writes it: clock ticks since boot on Linux."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        return int(stat.read_text().rpartition(")")[2].split()[19])
    return int(psutil.Process(pid).create_time() * os.sysconf("SC_CLK_TCK"))
