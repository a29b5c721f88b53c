"""Several replicas over one gateway and one store, in virtual time: killed, drained, stopped between claim and sending, cut off
from the store, started again, under the same weather, people and judge as one daemon. ``python -m tests.sim --replicas 3``.

The store has a clock of its own, which is set, too. Passes and beats that could change nothing are left out (``paced_runner``,
``FleetEpisode._rest``); a beat that was left out is made up for before anything happens that could tell the difference, with what
it would have written. ``Setting.skips`` off: every one is made; ``test_replicas`` holds one against the other.
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

from tests.effects import DOING, LEDGER_WRITES
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
from tests.sim.paced_runner import SkippingRunner
from tests.sim.timeline import HostClock, Timeline
from watchdog.core.leases import Fleet, LeaseTiming, shard_of
from watchdog.core.model import Moment
from watchdog.core.recovery import AttemptState
from watchdog.daemon.runner import Runner
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.protocol import SignInSecrets
from watchdog.ledger.leases import LedgerLeases
from watchdog.ledger.ledger import SqliteLedger, SqlLedger
from watchdog.ledger.sqlite import LedgerFile
from watchdog.ledger.store import Access, Transaction
from watchdog.service.errors import LedgerError, LedgerUnavailable
from watchdog.service.ledger import Ledger as LedgerPort
from watchdog.service.null_meter import NullMeter
from watchdog.service.ports import Deed, Receipt
from watchdog.service.recent_answers import AT_LEAST, AT_MOST
from watchdog.service.secret import Secret
from watchdog.service.shares import Shares, TakenShard
from watchdog.service.tenure import Tenure
from watchdog.service.watch import Watch, may_act

TIMING = LeaseTiming()
BEAT = TIMING.renew_every.total_seconds()
STOPPED = 0.25
"""Share of the claims after which the replica is stopped for a while."""
EVER = timedelta(days=3000)
CUT_EVERY = 20_000.0
"""Seconds between two times that a replica is cut off from the store, on average."""


class Befell(StrEnum):
    """What is counted of the replicas."""

    TOOK_OVER = "began to watch"
    KILLED = "killed"
    DRAINED = "drained"
    CUT_OFF = "cut off from the store"
    STORE_CLOCK = "settings of the store's clock"
    STOPPED = "stopped after a claim"
    OVERTAKEN = "found another owner when going on"


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
    is_steady: bool = False
    """Its last beat changed nothing."""
    rests_since: float | None = None
    """When it made its last beat, where those after that are left out."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    shares: Shares = field(init=False)
    tenure: Tenure | None = None
    """Under which it watches the gateway."""
    runner: Runner | None = None
    task: asyncio.Task[None] | None = None
    spare: SqliteLedger | None = None

    async def stand_still(self) -> None:
        """As long as it is stopped, nothing of it goes on."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self.stands_still_until - loop.time()))
        self.life.check()

    def is_undisturbed(self, now: float) -> bool:
        """Nothing is the matter with it, and its next beat would change nothing of its own accord."""
        return (
            self.is_steady
            and not self.must_beat
            and not self.life.is_over
            and now >= self.is_cut_off_until
            and now >= self.stands_still_until
            and not self.shares.is_draining
        )

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


class ApartStore(LedgerFile):
    """In memory, and on another machine: its clock is not the replicas'."""

    skew_ms: int = 0

    def __init__(self, timeline: Timeline) -> None:
        super().__init__(None, Access.OWNER, wall=lambda: timeline.wall)
        self._timeline = timeline

    def now_ms(self, transaction: Transaction) -> int:
        return self.clock_ms()

    def clock_ms(self) -> int:
        return self._timeline.world.now_ms + self.skew_ms


class Paced(SkippingRunner):
    """``SkippingRunner`` of a replica: stopped, it rests no longer."""

    async def _let_pass(self, seconds: float) -> None:
        await self._sleep(seconds)


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
            if name in LEDGER_WRITES:
                episode.written(process, name)
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
    episode: FleetEpisode

    async def perform(self, deed: Deed) -> Receipt:
        was_stopped = self.process.stands_still_until > asyncio.get_running_loop().time()
        await self.process.stand_still()  # the claim was the last thing that it did before
        if was_stopped:
            self.episode.goes_on(self.process)
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
    _store: ApartStore = field(init=False)

    def __post_init__(self) -> None:
        Episode.__post_init__(self)
        self._ledger.close()
        self._store = ApartStore(self.timeline)
        self._ledger = SqliteLedger.connected(self._store)
        self.judge.take_ledger(self._ledger)
        self.timeline.before_sleep = self._stir
        # The store's clock was set, and the next owner has settled for *perhaps sent* what this one may send for some seconds yet.
        self.judge.sent_in |= {AttemptState.INDETERMINATE}

    async def _keep_watching(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self.replicas):
                group.create_task(self._replica(number))

    def _living(self) -> list[Life]:
        return [process.life for process in self._here]

    async def _replica(self, number: int) -> None:
        rng = Random(f"replica {number} {self.setting.seed}")
        await asyncio.sleep(rng.choice((0.0, 3.0, 600.0)))
        while True:
            limit = None
            if self.setting.kills and not self._is_calm:
                limit = rng.choice((None, rng.randint(1, 20), rng.randint(1, 120)))
            process = self._begin(number, Life(self._lives, limit), rng)
            self._lives += 1
            self._stir()  # everybody's share is another one now
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
                self._stir()
                self._here.remove(process)
                self._wiring.cut(process.life)
            await asyncio.sleep(rng.choice((0.5, 20.0, rng.uniform(5, 1800))))

    def _begin(self, number: int, life: Life, rng: Random) -> Process:
        now = asyncio.get_running_loop().time()
        process = Process(number, life, rng, drains_at=now + rng.uniform(600, 8 * 3600), next_beat=now)
        process.cut_at = now + rng.expovariate(1 / CUT_EVERY)
        leases = ReachedLeases(self._ledger.leases, process)
        clock = HostClock(self.timeline)
        # Half of them as if their store were the slowest one: what they read may be as old as a pass is long.
        lasts = rng.choice((AT_LEAST, AT_MOST))
        process.shares = Shares(leases, f"{number} {life.number}", str(number), TIMING, clock, answers_last=lasts)
        return process

    async def _run_replica(self, process: Process) -> None:
        """Until it is killed, or drained."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await process.stand_still()
                if not self._is_calm:
                    self._strike(process)
                is_due = process.rests_since is None and loop.time() >= process.next_beat
                if is_due or process.must_beat:
                    self._beat(process)
                if not self._follow(process):
                    return
                if self.setting.skips:
                    self._rest(process)
                await process.pause(self._planned(process))
        finally:
            if process.task is not None:
                process.task.cancel()
                await asyncio.gather(process.task, return_exceptions=True)
            if process.spare is not None:
                process.spare.close()

    def _planned(self, process: Process) -> float:
        """When it has something to do again (loop time)."""
        beats = process.next_beat if process.rests_since is None else math.inf
        return min(beats, self._troubled(process))

    def _troubled(self, process: Process) -> float:
        """When the next thing goes wrong with it (loop time)."""
        if self._is_calm:
            return math.inf
        return min(process.cut_at, math.inf if process.shares.is_draining else process.drains_at)

    def _strike(self, process: Process) -> None:
        """What goes wrong with it now."""
        now = asyncio.get_running_loop().time()
        if now >= process.drains_at and not process.shares.is_draining:
            self._stir()
            process.shares.drain()
        if now >= process.cut_at:
            self._stir()
            process.is_cut_off_until = now + process.rng.choice((5.0, 45.0, process.rng.uniform(30, 1800)))
            process.cut_at = now + process.rng.expovariate(1 / CUT_EVERY)
            self._count(Befell.CUT_OFF)
            self.judge.note("", f"replica {process.number} is cut off from the store")

    def _beat(self, process: Process) -> None:
        now = asyncio.get_running_loop().time()
        if now >= process.is_cut_off_until and (process.must_beat or not process.is_steady):
            self._stir()
        process.must_beat = process.is_steady = False
        process.next_beat = now + BEAT
        with contextlib.suppress(LedgerError):  # then nothing is renewed
            change = process.shares.beat()
            process.is_steady = not (change.taken or change.lost or change.leaving)

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

    # ------------------------------------------------------------ beats that are left out

    def _rest(self, process: Process) -> None:
        """Leave out its beats from here on, if none of anybody's would change anything: its leases are taken for endless until
        ``_stir``."""
        now = asyncio.get_running_loop().time()
        if process.rests_since is not None or not self._is_even(now):
            return
        process.rests_since = process.next_beat - BEAT
        self._lease_until(process, HostClock(self.timeline).now().plus(EVER), self._store.clock_ms() + _ms(EVER))

    def _is_even(self, now: float) -> bool:
        """Everybody is well and has their share, and nobody else is taken for being here: who is cut off from the store has lost all,
        and comes back later."""
        joined = [process for process in self._here if now >= process.is_cut_off_until]
        if not joined or not all(process.is_undisturbed(now) for process in joined):
            return False
        by_id = {process.shares.replica: process.shares for process in joined}
        fleet = self._ledger.leases.fleet()
        if {one.id for one in fleet.replicas if one.is_here} != set(by_id):
            return False
        if any(one.held > fleet.fair_share() or one.leaving for one in by_id.values()):
            return False
        return all(
            row.owner is not None
            and not row.is_expired
            and row.owner in by_id
            and row.id in (held := by_id[row.owner]._tenures)
            and held[row.id].lease.epoch == row.epoch
            for row in fleet.shards
        )

    def _stir(self) -> None:
        """Something happens: whoever rests has made all beats until now."""
        now = asyncio.get_running_loop().time()
        for process in self._here:
            if process.rests_since is None:
                continue
            last = process.rests_since + math.floor((now - process.rests_since) / BEAT + 1e-6) * BEAT
            ago = timedelta(seconds=now - last)
            asked_at = HostClock(self.timeline).now().plus(-ago)
            process.shares._pulse = replace(process.shares._pulse, last=asked_at)
            self._lease_until(process, asked_at.plus(TIMING.term), self._store.clock_ms() - _ms(ago) + _ms(TIMING.term))
            process.rests_since, process.next_beat = None, last + BEAT
            process.wake.set()

    def _lease_until(self, process: Process, until: Moment, until_ms: int) -> None:
        """``until``: as it believes; ``until_ms``: by the store's clock."""
        for tenure in process.shares._tenures.values():
            tenure.lease = replace(tenure.lease, good_until=until)
        with self._store.writing(tells_loss=False, is_probe=True) as transaction:
            for what in ("shards SET expires_at = ? WHERE owner = ?", "replicas SET expires_at = ? WHERE id = ?"):
                transaction.execute(f"UPDATE {what}", until_ms, process.shares.replica)

    def _set_store_clock(self, skew: timedelta) -> None:
        self._stir()
        self._store.skew_ms = _ms(skew)
        self._count(Befell.STORE_CLOCK)
        self.judge.note("", f"the store's clock is {skew.total_seconds():.0f} s off")

    # ------------------------------------------------------------ what befalls them

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
        client.process, client.episode = process, self
        ledger = cast(LedgerPort, ReachedLedger(self._ledger.fenced(tenure, GATEWAY), process, self))
        if process.spare is None:
            process.spare = SqliteLedger.in_memory(wall=lambda: self.timeline.wall)
        watch = Watch(
            client,
            self.book,
            ledger,
            LivedNotes(life=process.life),
            clock,
            log,
            NullMeter(),
            spare_ledger=process.spare,
            tenure=tenure,
        )
        self._watch = watch

        async def failed(_problem: LedgerError) -> None:
            process.must_beat = True
            process.wake.set()

        async def passed(_report: object) -> None:
            self._passes += 1
            self.judge.after_pass()

        loop = asyncio.get_running_loop()
        rng = Random(f"{self.setting.seed} {process.life.number}")
        runner = Paced(watch, watch.pacer.poll_every, clock, log, rng, passed, failed)
        runner.world = self.world if self.setting.skips else None
        runner.note_answer = client.boots.note_answer
        runner.is_clear = lambda: self.weather.armed.is_over and process.is_undisturbed(loop.time())
        runner.troubled_after = lambda: self._troubled(process) - loop.time()
        return runner

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
        """The last owner's claim counts. Some are stopped right after it, and meanwhile the store's clock is set."""
        self._claimer = process.life.number
        if self._is_calm or process.rng.random() >= STOPPED:
            return
        self._stir()
        self._count(Befell.STOPPED)
        span = process.rng.choice((4.0, 31.0, 60.0, 300.0))
        process.stands_still_until = asyncio.get_running_loop().time() + span
        self.judge.note("", f"replica {process.number} stands still after its claim")
        if process.rng.random() < 0.5:
            self._set_store_clock(timedelta(seconds=process.rng.choice((0, 60, 600, process.rng.uniform(-600, 7200)))))

    def goes_on(self, process: Process) -> None:
        """After it was stopped."""
        owner, _ = self._owner()
        if owner != process.shares.replica:
            self._count(Befell.OVERTAKEN)

    def written(self, process: Process, what: str) -> None:
        """The ledger has taken a write of its."""
        owner, epoch = self._owner()
        tenure = process.tenure
        if tenure is None or (owner, epoch) != (process.shares.replica, tenure.lease.epoch):
            self.judge.breach(Rule.STALE_WRITE, "", f"{what} by replica {process.number}, and {owner} is the owner")

    def _owner(self) -> tuple[str | None, int]:
        """Of the gateway, by the store's rows: replica and epoch."""
        with self._store.reading(tells_loss=False) as transaction:
            row = transaction.one("SELECT owner, epoch FROM shards WHERE id = ?", shard_of(GATEWAY))
        assert row is not None
        return row["owner"], int(row["epoch"])

    def _sends(self, process: Process, frame: Mapping[str, Any]) -> None:
        if frame["method"] == "sessions.abort":
            return  # it only asks whether a run goes on, and is no deed (``Judge._judge``)
        owner, epoch = self._owner()
        params = frame.get("params") or {}
        key = str(params.get("sessionKey") or params.get("key") or "")
        if self._claimer != process.life.number:
            self.judge.breach(Rule.TWO_OWNERS, key, f"{frame['method']} by one, and another has claimed since")
        elif owner != process.shares.replica and self._is_new_owner_able(epoch):
            self.judge.breach(Rule.TWO_OWNERS, key, f"{frame['method']} of who is no longer the owner")

    def _is_new_owner_able(self, epoch: int) -> bool:
        """It may begin deeds of its own already."""
        now = HostClock(self.timeline).now()
        tenures = [process.tenure for process in self._here if process.tenure is not None]
        return any(one.lease.epoch == epoch and one.deed_blocker(now) is None for one in tenures)

    def _kill_watchdog(self) -> None:
        if self._here:
            victim = self._rng.choice(self._here)
            self._stir()
            victim.life.is_over = True
            victim.wake.set()

    def _result(self) -> Result:
        return replace(Episode._result(self), befell=self.counts)


def setting_of(seed: int) -> Setting:
    """Every second world is a small and stormy one; the others are as large and calm as one daemon's."""
    setting = Setting.of(seed)
    return setting.stormy(Random(f"replicas {seed}")) if seed % 2 else setting


def run(seed: int, *, hours: float | None = None, replicas: int = 3) -> Result:
    """The episode of one seed, with so many replicas."""
    setting = setting_of(seed)
    return FleetEpisode(setting if hours is None else replace(setting, hours=hours), replicas=replicas).run()


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
