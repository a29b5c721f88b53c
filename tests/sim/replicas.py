"""Several replicas over one gateway and one store, in virtual time: killed, drained, stopped between claim and sending, cut off
from the store, started again, under the same weather, people and judge as one daemon. ``python -m tests.sim --replicas 3``.

The store's clock is the host's wall clock, which the weather sets. Every pass is made (none is left out, see ``paced_runner``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from random import Random
from typing import Any, cast

from tests.effects import DOING
from tests.sim.episodes import (
    GATEWAY,
    GATEWAY_PID,
    STATE_DIR,
    Episode,
    Result,
    Setting,
    _devices,
    _SimHost,
    _StoryLog,
)
from tests.sim.judge import Rule
from tests.sim.lives import Killed, Life, LivedLedger, LivedNotes
from tests.sim.timeline import HostClock
from watchdog.core.leases import Fleet, LeaseTiming, shard_of
from watchdog.daemon.runner import Runner
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.protocol import SignInSecrets
from watchdog.ledger.leases import LedgerLeases
from watchdog.ledger.ledger import SqliteLedger, SqlLedger
from watchdog.service.errors import LedgerError, LedgerUnavailable
from watchdog.service.ledger import Ledger as LedgerPort
from watchdog.service.null_meter import NullMeter
from watchdog.service.ports import Deed, Receipt
from watchdog.service.secret import Secret
from watchdog.service.shares import Shares, TakenShard
from watchdog.service.tenure import Tenure
from watchdog.service.watch import Watch, may_act

TIMING = LeaseTiming()
BEAT = TIMING.renew_every.total_seconds()
CUT_EVERY = 20_000.0
"""Seconds between two times that a replica is cut off from the store, on average."""


class Befell(StrEnum):
    """What is counted of the replicas."""

    TOOK_OVER = "began to watch"
    KILLED = "killed"
    DRAINED = "drained"
    CUT_OFF = "cut off from the store"
    STOPPED = "stopped after a claim"
    OVERTAKEN = "found another owner when they went on"


@dataclass(slots=True)
class Process:
    """One replica from its start to its end. Instants are the loop's."""

    number: int
    life: Life
    rng: Random
    drains_at: float = math.inf
    next_beat: float = 0.0
    cut_at: float = math.inf
    stands_still_until: float = 0.0
    is_cut_off_until: float = 0.0
    must_beat: bool = False
    """The next beat is now."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    shares: Shares = field(init=False)
    tenure: Tenure | None = None
    """Under which it watches the gateway."""
    runner: Runner | None = None
    task: asyncio.Task[None] | None = None

    async def stand_still(self) -> None:
        """As long as it is stopped, nothing of it goes on."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self.stands_still_until - loop.time()))
        self.life.check()

    async def pause(self, until: float) -> None:
        """Sooner when woken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self.wake.wait()
        self.wake.clear()

    def reach(self) -> None:
        """The store, or raise."""
        self.life.check()
        if asyncio.get_running_loop().time() < self.is_cut_off_until:
            raise LedgerUnavailable("The store cannot be reached.")


class ReachedLedger(LivedLedger):
    """``LivedLedger`` of a replica, which may be cut off from it, and stopped after a claim."""

    def __init__(self, ledger: SqlLedger, process: Process, episode: FleetEpisode) -> None:
        super().__init__(cast(SqliteLedger, ledger), process.life, episode._changed)
        self._process = process
        self._episode = episode

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if not callable(found):
            return found
        process, episode = self._process, self._episode

        def call(*args: Any, **named: Any) -> Any:
            if name == "is_writable":
                try:
                    process.reach()
                except LedgerError:
                    return False
            elif name not in ("told_of_loss", "close"):
                process.reach()
            answer = found(*args, **named)
            if name == "claim_attempt" and answer:
                episode.claimed(process)
            return answer

        setattr(self, name, call)
        return call


@dataclass(slots=True)
class ReachedLeases:
    """``service.shares.LeaseRecord`` of a replica that may be cut off."""

    leases: LedgerLeases
    process: Process

    def beat(self, replica: str, name: str, held: Mapping[int, int], term: timedelta) -> Fleet:
        self.process.reach()
        return self.leases.beat(replica, name, held, term)

    def take(self, replica: str, most: int, term: timedelta, *, with_expired: bool = True) -> Sequence[TakenShard]:
        self.process.reach()
        return self.leases.take(replica, most, term, with_expired=with_expired)

    def release(self, replica: str, held: Mapping[int, int]) -> None:
        self.process.reach()
        self.leases.release(replica, held)

    def leave(self, replica: str, held: Mapping[int, int]) -> None:
        self.process.reach()
        self.leases.leave(replica, held)

    def fleet(self) -> Fleet:
        self.process.reach()
        return self.leases.fleet()


class _Client(GatewayClient):
    process: Process

    async def perform(self, deed: Deed) -> Receipt:
        await self.process.stand_still()  # the claim was the last thing that it did before
        return await super().perform(deed)


@dataclass(slots=True)
class FleetEpisode(Episode):
    """See the module's docstring."""

    replicas: int = 3
    counts: Counter[str] = field(default_factory=Counter)
    """What befell the replicas (``Befell``)."""
    _here: list[Process] = field(default_factory=list)
    _claimer: int | None = None
    """Which process, by its life, claimed last."""

    async def _keep_watching(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self.replicas):
                group.create_task(self._replica(number))

    async def _replica(self, number: int) -> None:
        rng = Random(f"replica {number} {self.setting.seed}")
        await asyncio.sleep(rng.choice((0.0, 3.0, 600.0)))
        while True:
            limit = None
            if self.setting.kills and not self._is_calm:
                limit = rng.choice((None, rng.randint(1, 20), rng.randint(1, 120)))
            process = self._begin(number, Life(self._lives, limit), rng)
            self._lives += 1
            self._here.append(process)
            try:
                await self._run_replica(process)
            except (Killed, asyncio.CancelledError):
                if not process.life.is_over:
                    raise  # the episode ends
                self._count(Befell.KILLED)
                self.judge.note("", f"replica {number} was killed (life {process.life.number})")
            finally:
                process.life.is_over = True
                self._here.remove(process)
                self._wiring.cut(process.life)
            await asyncio.sleep(rng.choice((0.5, 20.0, rng.uniform(5, 1800))))

    def _begin(self, number: int, life: Life, rng: Random) -> Process:
        now = asyncio.get_running_loop().time()
        process = Process(number, life, rng, drains_at=now + rng.uniform(600, 8 * 3600), next_beat=now)
        process.cut_at = now + rng.expovariate(1 / CUT_EVERY)
        leases = ReachedLeases(self._ledger.leases, process)
        process.shares = Shares(leases, f"{number} {life.number}", str(number), TIMING, HostClock(self.timeline))
        return process

    async def _run_replica(self, process: Process) -> None:
        """Until it is killed, or drained."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await process.stand_still()
                if not self._is_calm:
                    self._strike(process)
                if loop.time() >= process.next_beat or process.must_beat:
                    self._beat(process)
                if not self._follow(process):
                    return
                await process.pause(self._planned(process))
        finally:
            if process.task is not None:
                process.task.cancel()
                await asyncio.gather(process.task, return_exceptions=True)

    def _planned(self, process: Process) -> float:
        """When it has something to do again (loop time)."""
        if self._is_calm:
            return process.next_beat
        drains = math.inf if process.shares.is_draining else process.drains_at
        return min(process.next_beat, process.cut_at, drains)

    def _strike(self, process: Process) -> None:
        """What goes wrong with it now."""
        now = asyncio.get_running_loop().time()
        if now >= process.drains_at and not process.shares.is_draining:
            process.shares.drain()
        if now >= process.cut_at:
            process.is_cut_off_until = now + process.rng.choice((5.0, 45.0, process.rng.uniform(30, 1800)))
            process.cut_at = now + process.rng.expovariate(1 / CUT_EVERY)
            self._count(Befell.CUT_OFF)
            self.judge.note("", f"replica {process.number} is cut off from the store")

    def _beat(self, process: Process) -> None:
        process.must_beat = False
        process.next_beat = asyncio.get_running_loop().time() + BEAT
        with contextlib.suppress(LedgerError):  # then nothing is renewed
            process.shares.beat()

    def _follow(self, process: Process) -> bool:
        """As ``daemon.loop`` does: watch what is this replica's and nothing else, and let go of each shard that is being handed over
        as soon as no pass is going of it. False: it is drained."""
        shares = process.shares
        current = shares.tenure_of(GATEWAY)
        if process.task is not None:
            if process.task.done():
                process.task.result()
                process.runner = process.task = process.tenure = None
            elif process.tenure is not current and process.runner is not None:
                process.runner.stop()
        busy = {shard_of(GATEWAY)} if process.task is not None else set()
        with contextlib.suppress(LedgerError):  # the next owner waits until the lease ends
            shares.let_go([shard for shard in shares.leaving if shard not in busy])
        if shares.is_draining and process.task is None:
            self._count(Befell.DRAINED)
            self.judge.note("", f"replica {process.number} was drained")
            with contextlib.suppress(LedgerError):
                shares.leave()
            return False
        if process.task is None and current is not None:
            process.tenure, process.runner = current, self._runner(process, current)
            process.task = asyncio.create_task(process.runner.run())
            process.task.add_done_callback(lambda _: process.wake.set())
            self._count(Befell.TOOK_OVER)
        return True

    def _count(self, what: Befell) -> None:
        self.counts[what.value] += 1

    def _runner(self, process: Process, tenure: Tenure) -> Runner:
        self.judge.started()
        self.judge.note("", f"replica {process.number} (life {process.life.number}) watches")
        clock, log = HostClock(self.timeline), _StoryLog(judge=self.judge)
        device, probe = _devices(self.setting.seed)
        state_dir = None if self.setting.is_remote else STATE_DIR
        endpoint = Endpoint(
            "ws://127.0.0.1:18789", SignInSecrets(Secret(self._wiring.access.token)), state_dir, GATEWAY_PID
        )
        client = _Client(
            GATEWAY,
            lambda: endpoint,
            device=device,
            probe_device=probe,
            clock=clock,
            host=_SimHost(world=self.world),
            steps=may_act(self.book),
            dial=self._dial_for(process),
        )
        client.process = process
        ledger = cast(LedgerPort, ReachedLedger(self._ledger.fenced(tenure, GATEWAY), process, self))
        spare = SqliteLedger.in_memory(wall=lambda: self.timeline.wall)
        watch = Watch(
            client,
            self.book,
            ledger,
            LivedNotes(life=process.life),
            clock,
            log,
            NullMeter(),
            spare_ledger=spare,
            tenure=tenure,
        )
        self._watch = watch

        async def failed(_problem: LedgerError) -> None:
            process.must_beat = True
            process.wake.set()

        async def passed(_report: object) -> None:
            self._passes += 1
            self.judge.after_pass()

        rng = Random(f"{self.setting.seed} {process.life.number}")
        return Runner(watch, watch.pacer.poll_every, clock, log, rng, passed, failed)

    def _dial_for(self, process: Process) -> Any:
        dial = self._wiring.dial_for(process.life)

        async def noted(name: str, url: str, patience: float) -> Any:
            socket = await dial(name, url, patience)
            send = socket.send

            async def sending(text: str) -> None:
                frame = json.loads(text)
                if frame["method"] in DOING:
                    self._sends(process, frame)
                await send(text)

            socket.send = sending
            return socket

        return noted

    def claimed(self, process: Process) -> None:
        """The last owner's claim counts. Some are stopped right after it."""
        self._claimer = process.life.number
        if not self._is_calm and process.rng.random() < 0.25:
            self._count(Befell.STOPPED)
            process.stands_still_until = asyncio.get_running_loop().time() + process.rng.choice(
                (4.0, 31.0, 60.0, 300.0)
            )
            self.judge.note("", f"replica {process.number} stands still after its claim")

    def _sends(self, process: Process, frame: Mapping[str, Any]) -> None:
        row = self._ledger.leases.fleet().shards[shard_of(GATEWAY)]
        key = str((frame.get("params") or {}).get("sessionKey") or (frame.get("params") or {}).get("key") or "")
        if self._claimer != process.life.number:
            self.judge.breach(Rule.TWO_OWNERS, key, f"{frame['method']} by one, and another has claimed since")
        elif (
            row.owner is not None
            and not row.owner.endswith(f" {process.life.number}")
            and self._is_new_owner_able(row.epoch)
        ):
            self.judge.breach(Rule.TWO_OWNERS, key, f"{frame['method']} of who is no longer the owner")

    def _is_new_owner_able(self, epoch: int) -> bool:
        """It may begin deeds of its own already."""
        tenure = self._watch.tenure if self._watch is not None else None
        now = HostClock(self.timeline).now()
        return tenure is not None and tenure.lease.epoch == epoch and tenure.deed_blocker(now) is None

    def _kill_watchdog(self) -> None:
        if self._here:
            victim = self._rng.choice(self._here)
            victim.life.is_over = True
            victim.wake.set()


def run(seed: int, *, hours: float | None = None, replicas: int = 3) -> Result:
    """The episode of one seed, with so many replicas; its world is always a small and stormy one."""
    setting = Setting.of(seed).stormy(Random(f"replicas {seed}"))
    return FleetEpisode(setting if hours is None else replace(setting, hours=hours), replicas=replicas).run()
