"""The daemon: start, watch, reload, drain, stop.

Order of a start: open the ledger and settle what an earlier life left open, before the first look at a gateway. Order
of a stop: no new passes, the ones going finish (they may be about to record a deed), what is owed is delivered once
more, then connections and ledger close.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from watchdog import PROGRAM, __version__
from watchdog.config import ConfigError, LoadedConfig, diff
from watchdog.core.leases import OUTBOX, shard_of
from watchdog.core.model import GatewayPhase, Moment
from watchdog.core.recovery import Attempt
from watchdog.daemon.assembly import Parts
from watchdog.daemon.file_watch import SETTLED, FileChange, FileWatch
from watchdog.daemon.one_watch import DuplicateGateways, Twin
from watchdog.daemon.pass_slots import PassSlots, first_after
from watchdog.daemon.places import places_of
from watchdog.daemon.runner import Runner
from watchdog.daemon.throttle import Throttle
from watchdog.discovery.every_gateway import is_followed
from watchdog.service import announcements, descriptors
from watchdog.service.by_hand import ATTEMPT, counted
from watchdog.service.errors import (
    LeaseLost,
    LedgerError,
    LedgerInUse,
    LedgerTooNew,
    OutOfDescriptors,
    PassFailed,
)
from watchdog.service.events import Event
from watchdog.service.exits import Exit
from watchdog.service.ledger import AuditLine
from watchdog.service.pass_report import PassReport
from watchdog.service.ports import Gateway
from watchdog.service.shares import ShareChange, Shares
from watchdog.service.watch import Watch, may_act

DRAIN_LIMIT = 60.0
"""Seconds a pass may take to finish after SIGTERM; a deed's answer is waited for at most 15 s."""
LAST_DELIVERY = 3.0
"""Seconds for the messages owed at the end; what is not delivered then is delivered by the next life."""
DAY = 24 * 3600
PRUNES_AFTER = timedelta(minutes=10)
PASS_LIMIT = timedelta(minutes=3)
"""A pass on a gateway that answers nothing: connecting, listing and looking each run into their time-outs."""

LOSS_IS_NEWS = timedelta(days=7)
"""A history that was lost longer ago is told nobody at a start: the longest budget looks back 72 hours unless set otherwise."""
LOOK_AROUND_EVERY = timedelta(seconds=60)
"""How often this machine, and the lists that are due, are looked at for gateways that came or went."""
ASK_AGAIN_EVERY = timedelta(minutes=5)
"""How often a name that is not watched, because it leads to another's gateway, is asked whether it still does: where a tunnel was
mended nothing tells us. It costs a tenth of a watch, and whoever waits for it has ``stuck_after`` before them anyway."""
MISSED_IS_NEWS = 2
"""Beats in a row that did not reach the ledger, after which it is told: as with passes, once is nothing."""
SWITCHES_READ = 20
"""Lines of the operators' audit trail that are read after a pass: more than are written between two."""
_SWITCHES = {
    "pause": Event.OPERATOR_PAUSED,
    "unpause": Event.OPERATOR_UNPAUSED,
    "release": Event.SESSION_RELEASED,
    "ack": Event.OPERATOR_ACKNOWLEDGED,
}
"""Lines of the audit trail that are worth one in the log; a deed by hand is counted, and shows as its attempt."""


@dataclass(slots=True)
class Daemon:
    """See the module's docstring. ``seed`` makes every retry and jitter repeatable; ``settled`` is how long a changed
    configuration must have stood still before it is read; ``look_around_every`` as ``LOOK_AROUND_EVERY``."""

    parts: Parts
    seed: int | None = None
    settled: timedelta = SETTLED
    look_around_every: timedelta = LOOK_AROUND_EVERY
    _runners: dict[str, Runner] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _ending: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """Whose last pass is still going: until it has ended, nobody else is to watch under that name."""
    _scheduler: AsyncIOScheduler = field(init=False)
    _rng: Random = field(init=False)
    _turns: PassSlots = field(default_factory=PassSlots)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _why: str = "asked to stop"
    _taken: LedgerInUse | LedgerTooNew | None = None
    _ledger_out_since: datetime | None = None
    _is_loss_told: bool = False
    """Whoever has to know that the ledger has lost its history is told, or nothing was lost."""
    _background: set[asyncio.Task[None]] = field(default_factory=set)
    _said_switches: set[AuditLine] | None = None
    _started_with: LoadedConfig = field(init=False)
    _file: FileWatch = field(init=False)
    _round: Throttle = field(init=False)
    _looks_again: bool = False
    _looks_around: bool = False
    _is_short: bool = False
    _beats: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: the next beat is now."""
    _missed_beats: int = 0
    _follows: bool = False
    _reloading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _one_watch: DuplicateGateways = field(default_factory=DuplicateGateways)
    _asked_at: Moment = field(init=False)
    _asks: asyncio.Task[None] | None = None
    """Refused names are being asked."""

    def __post_init__(self) -> None:
        self._asked_at = self.parts.clock.now()
        self._started_with = self.parts.loaded
        self._rng = Random(self.seed)
        self._round = Throttle(self._look_round)
        self._file = FileWatch(self.parts.loaded.searched, self.settled)
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )

    async def run(self) -> Exit:
        """Run until SIGTERM or SIGINT; ``DONE`` after an orderly stop. Raises ``LedgerInUse`` after one because another daemon owns
        the ledger now: two that watch tell everything twice; ``LedgerTooNew`` where a newer replica has brought the tables up."""
        parts = self.parts
        self._heed_signals()
        left = self._settle_earlier_life() if parts.shares is None else ()
        self._say_switches()
        parts.log.event(
            Event.DAEMON_STARTED,
            version=__version__,
            pid=os.getpid(),
            gateways=[watch.gateway.name for watch in parts.watches],
            mode="observe" if parts.is_observing or not may_act(parts.loaded.policy_book) else "recover",
            unsettled_attempts=len(left),
            descriptors=descriptors.limit(),
        )
        parts.teller.watched = self._runners.keys if parts.shares is None else self._every_name
        if parts.shares is not None:
            parts.teller.is_ours = lambda: parts.shares is None or parts.shares.has(OUTBOX)
        await parts.teller.configure(parts.loaded)
        parts.restarts.configure(parts.written)
        for watch in parts.watches:
            self._start(watch, len(parts.watches))
        await parts.page.open(
            lambda: [runner.watch for runner in self._runners.values()],
            lambda: {name: str(twin) for name, twin in self._one_watch.refused.items()},
            self._all_are_passing,
            lambda: parts.gateways.lists.problems,
        )
        soon = parts.clock.now().wall + PRUNES_AFTER  # also a daemon that is started anew each night
        self._scheduler.add_job(self._prune, "interval", seconds=DAY, next_run_time=soon)
        self._scheduler.add_job(self._ring_look_around, "interval", seconds=self.look_around_every.total_seconds())
        self._scheduler.start()
        sides = [asyncio.create_task(parts.teller.run(), name="messages")]
        if parts.shares is not None:
            sides.append(asyncio.create_task(self._keep_leases(parts.shares), name="leases"))
        parts.supervisor.ready()
        try:
            await self._until_stopped(sides)
        finally:
            parts.supervisor.stopping()
            parts.log.event(Event.DAEMON_STOPPING, reason=self._why)
            await end_rings(self._scheduler)
            self._round.close()
            await self._drain(sides)
            if parts.shares is not None:
                with contextlib.suppress(LedgerError):  # then the others wait until the leases end
                    parts.shares.leave()
            await parts.teller.close()
            await parts.page.close()
            parts.close()
            parts.log.event(Event.DAEMON_STOPPED)
        if self._taken is not None:
            raise self._taken
        return Exit.DONE

    def _settle_earlier_life(self) -> Sequence[Attempt]:
        try:
            left = self._settled()
        except LedgerError:
            self.parts.ledger.owed_first = self._settled
            return ()  # the passes find out, say so, and watch without it
        self._tell_of_loss()
        return left

    def _settled(self) -> Sequence[Attempt]:
        """A gateway that was given another name keeps its past. Raises ``LedgerError``."""
        left = self.parts.ledger.settle_start_up(self.parts.clock.now().wall)
        self._name()
        return left

    def _name(self) -> None:
        watched_as = {twin.name: twin.watched_as for twin in self._one_watch.refused.values()}
        self.parts.ledger.name_gateways(places_of(self.parts.loaded), self.parts.clock.now().wall, watched_as)

    def _name_before_any_deed(self) -> None:
        if self.parts.shares is not None:
            return  # others may still watch it under the name that it had
        try:
            self._name()
        except LedgerError:  # said by the passes
            self.parts.ledger.owed_first = self.parts.ledger.owed_first or self._name

    # ---------------------------------------------------------------- runners

    def _start(self, watch: Watch, among: int) -> None:
        name = watch.gateway.name
        every = self.parts.loaded.config.poll_every
        runner = Runner(
            watch,
            every,
            self.parts.clock,
            self.parts.log,
            Random(self._rng.random()),
            self._after_pass,
            self._ledger_failed,
            turns=self._turns,
            first_after=first_after(name, among, every),
        )
        self._runners[name] = runner
        self._tasks[name] = asyncio.create_task(runner.run(), name=name)
        self._changed.set()

    async def _end(self, name: str) -> None:
        self._begin_to_end(name)
        await self._ended(name)

    def _begin_to_end(self, name: str) -> None:
        self._runners.pop(name).stop()
        self._ending[name] = self._tasks.pop(name)

    async def _ended(self, name: str) -> None:
        try:
            await self._ending[name]
        finally:
            del self._ending[name]
            self.parts.recordings.end(name)
        self._one_watch.forget(
            name
        )  # its last pass, too, which may have led elsewhere than the next one under this name

    async def _until_stopped(self, sides: Sequence[asyncio.Task[None]]) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            waiters = {asyncio.create_task(event.wait()) for event in (self._stop, self._changed)}
            tasks = {*sides, *self._tasks.values()}
            try:
                done, _ = await asyncio.wait(waiters | tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for waiter in waiters:
                    waiter.cancel()
            for task in done & {*sides, *self._tasks.values()}:
                # A runner only ends by itself through a defect: better to die loudly and be started again.
                self._why = f"{task.get_name()} ended by itself"
                task.result()

    async def _drain(self, sides: Sequence[asyncio.Task[None]]) -> None:
        if self.parts.shares is not None:
            self.parts.shares.drain()
        for runner in self._runners.values():
            runner.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_LIMIT), self._reloading:  # a change under way ends runners of its own
                restarts = self.parts.restarts.close(DRAIN_LIMIT - 5)
                await asyncio.gather(restarts, *self._tasks.values(), self._hand_over(), return_exceptions=True)
        asks = () if self._asks is None else (self._asks,)
        left = (*sides, *self._tasks.values(), *self._ending.values(), *asks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.parts.teller.finish(self.parts.clock.now(), LAST_DELIVERY)

    # ---------------------------------------------------------------- shares

    async def _keep_leases(self, shares: Shares) -> None:
        """Beat by beat, until cancelled; sooner where a pass has found that its lease is gone."""
        while True:
            self._beat(shares)
            self._beats.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(shares.timing.renew_every.total_seconds()):
                    await self._beats.wait()

    def _beat(self, shares: Shares) -> None:
        try:
            # guard: shares: who cannot read a list takes no gateway of it from those who can
            change = ShareChange() if self.parts.gateways.lists.is_blind and shares.is_spare() else shares.beat()
        except LedgerError as problem:
            if isinstance(problem, LedgerInUse | LedgerTooNew):
                self._taken = problem
                self.stop(str(problem))
            self._missed_beats += 1
            if self._missed_beats == MISSED_IS_NEWS:
                self.parts.log.event(Event.LEDGER_UNAVAILABLE, reason=str(problem))
                self._spawn(partial(self._ledger_failed, problem))
            return
        if self._missed_beats >= MISSED_IS_NEWS:
            self.parts.log.event(Event.LEDGER_RESTORED)
        self._missed_beats = 0
        self._tell_if_ledger_is_back()
        if not self._runners:
            self._beat_alone()
        if change.taken or change.lost or change.leaving:
            self.parts.log.event(
                Event.SHARES_CHANGED,
                taken=len(change.taken),
                lost=len(change.lost),
                leaving=len(change.leaving),
                holds=shares.held,
            )
        self._round.wanted()
        if not self._follows:
            self._follows = True
            self._spawn(partial(self._follow, shares))

    def _beat_alone(self) -> None:
        """What passes say and do, where there are no gateways to pass over: that this replica lives, and what its ledger lost."""
        self._tell_of_loss()
        if self.parts.loaded.config.gateways:  # else nobody watches anything
            self.parts.meter.cycle_completed(self.parts.clock.now().wall)
            self.parts.teller.ping()

    async def _follow(self, shares: Shares) -> None:
        """Run what is this replica's, and nothing else. What was taken is begun at once, whatever the last passes of what goes take;
        each shard is let go of as soon as its own have ended. Beside the beats, which must not wait for a pass to end."""
        try:
            async with self._reloading:
                if shares.is_draining:
                    return  # ``_drain`` ends what runs
                for name, runner in list(self._runners.items()):
                    if runner.watch.tenure is not shares.tenure_of(name):
                        self._begin_to_end(name)
                        self._spawn(partial(self._end_and_let_go, shares, name))
                loaded = self.parts.loaded
                names = {section.name for section in loaded.config.gateways}
                busy = {*self._runners, *self._ending, *self._one_watch.refused}
                begun = self.parts.build_watches(loaded, names - busy)
                for watch in begun:
                    self._start(watch, len(begun))
                self._let_go(shares)
            await self.parts.page.configure(self.parts.loaded)
        finally:
            self._follows = False

    async def _end_and_let_go(self, shares: Shares, name: str) -> None:
        await self._ended(name)
        self._let_go(shares)

    def _let_go(self, shares: Shares) -> None:
        """Of what is being handed over, whatever no pass is going of."""
        # guard: shares: a shard is let go of when its last pass has ended
        busy = {shard_of(name) for name, task in (*self._tasks.items(), *self._ending.items()) if not task.done()}
        with contextlib.suppress(LedgerError):  # the next owner waits until the lease ends
            shares.let_go([shard for shard in shares.leaving if shard not in busy])

    async def _hand_over(self) -> None:
        """In a drain: what nobody passes over any more, again and again until all passes have ended. All at once of what ended while
        the ledger took its time: a slow one takes as long for a shard as for all."""
        shares = self.parts.shares
        if shares is None:
            return
        left = {*self._tasks.values(), *self._ending.values()}
        while True:
            self._let_go(shares)
            if not left:
                return
            _, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)

    def _every_name(self) -> set[str]:
        return {section.name for section in self.parts.loaded.config.gateways}

    # ---------------------------------------------------------------- after a pass

    async def _after_pass(self, report: PassReport) -> None:
        parts = self.parts
        if parts.ledger.taken is not None and self._taken is None:
            self._taken = parts.ledger.taken
            self.stop(str(self._taken))
        self._tell_if_ledger_is_back()
        if not self._is_loss_told:
            self._tell_of_loss()
        self._round.wanted()
        parts.teller.wake()
        parts.page.note(report)
        if (runner := self._runners.get(report.gateway)) is not None:
            parts.restarts.note(runner.watch, report)
        await parts.after_pass(report)
        self._look_for_twins(report)
        if report.is_good:
            parts.meter.cycle_completed(report.at.wall)
        if not isinstance(report.error, PassFailed) and self._all_are_passing():
            parts.teller.ping()  # we are here and at work; what is away is told by messages

    def _tell_if_ledger_is_back(self) -> None:
        if self._ledger_out_since is not None and not self._is_ledger_out():
            with contextlib.suppress(LedgerError):  # said by the passes
                self._tell_ledger_is_back(self._ledger_out_since)

    def _tell_ledger_is_back(self, since: datetime) -> None:
        """A new one in its place is no good news: then that is told instead."""
        if not self._owe_loss():
            now = self.parts.clock.now().wall
            self.parts.teller.send_unqueued(announcements.ledger_restored(since=since, now=now))
        self._ledger_out_since = None

    def _tell_of_loss(self) -> None:
        """At the start, and after later passes until the ledger takes it."""
        with contextlib.suppress(LedgerError):  # said by the passes
            self._owe_loss()
            self._is_loss_told = True

    def _owe_loss(self) -> bool:
        """Whether the ledger has lost its history and nobody had been told yet."""
        lost_at, now = self.parts.ledger.lost_history_at, self.parts.clock.now().wall
        if lost_at is None or now - lost_at > LOSS_IS_NEWS:
            return False
        message = announcements.ledger_lost(self.parts.ledger.where, lost_at=lost_at, now=now)
        return self.parts.ledger.owe([message], now) == 1

    def _look_for_twins(self, report: PassReport) -> None:
        """Not from here: it may be this very pass's runner that has to end."""
        twin = self._one_watch.note(report, self.parts.loaded, self.parts.written)
        if twin is not None and (runner := self._runners.get(twin.name)) is not None:
            self._spawn(partial(self._refuse, twin, runner))
        for freed in self._one_watch.freed(report):
            self._spawn(partial(self._watch_again, freed))

    async def _refuse(self, twin: Twin, runner: Runner) -> None:
        """Two names lead to one gateway: the later one, which ``runner`` watches, is not watched, and its open matters go on
        under the other. After a reload meanwhile the name may lead elsewhere: then it has another runner."""
        async with self._reloading:
            is_as_found = self._runners.get(twin.name) is runner and twin.watched_as in self._runners
            if self._stop.is_set() or not is_as_found:
                return
            await self._end(twin.name)
            if self._one_watch.refuse(twin):
                self.parts.log.event(
                    Event.CONFIG_REFUSED,
                    gateway=twin.name,
                    reason=str(twin),
                    in_force=f"the watch as {twin.watched_as}",
                )
            if self.parts.shares is not None:
                return  # both names may be others' by now; no run is acted on under two names anyway
            self._name_before_any_deed()
            await self.parts.page.configure(self.parts.loaded)

    async def _watch_again(self, twin: Twin) -> None:
        """A name that was refused leads elsewhere, or may: the gateway that it was taken for is another process now."""
        async with self._reloading:
            if self._stop.is_set() or self._one_watch.refused.get(twin.name) is not twin:
                return
            del self._one_watch.refused[twin.name]
            self._name_before_any_deed()
            for watch in self.parts.build_watches(self.parts.loaded, {twin.name}):
                self._start(watch, 1)
            await self.parts.page.configure(self.parts.loaded)

    def _ask_refused(self) -> None:
        """Beside the passes: where nobody answers it takes as long as a pass."""
        if self._stop.is_set() or (self._asks is not None and not self._asks.done()):
            return
        self._asked_at = self.parts.clock.now()
        if self._one_watch.refused:
            self._asks = asyncio.get_running_loop().create_task(self._ask_each(), name="refused names")

    async def _ask_each(self) -> None:
        await asyncio.gather(*map(self._ask, list(self._one_watch.refused.values())))

    async def _ask(self, twin: Twin) -> None:
        """Sign in without watching: nothing is said, judged or done before it is known that it is not the other's gateway."""
        is_free = False
        async with self._turns.turn():
            if self._one_watch.refused.get(twin.name) is not twin:
                return  # while it waited
            for watch in self.parts.build_watches(self.parts.loaded, {twin.name}):
                self.parts.recordings.end(twin.name)  # no pass
                # guard: single: a refused name is asked before it is watched again
                is_free = await self._leads_elsewhere(twin, watch.gateway)
        if is_free:
            await self._watch_again(twin)

    async def _leads_elsewhere(self, twin: Twin, gateway: Gateway) -> bool:
        """Where it does not answer as the other does, it is watched, and said to be what it is."""
        ids: set[str] = set()
        try:
            signs = (await gateway.connect()).signs
            if signs is not None and signs.boot_id is None:
                rows = (await gateway.list_sessions((), sweep=True)).sessions
                ids = {row.session_id for row in rows if row.session_id is not None}
        except Exception as problem:  # noqa: BLE001 - of a defect, too, the watch says it
            watched = self._runners.get(twin.watched_as)
            last = None if watched is None else watched.watch.last_report
            return last is not None and last.is_good and not isinstance(problem, OutOfDescriptors)
        finally:
            await gateway.close()
        return self._one_watch.leads_elsewhere(twin, signs, ids)

    def _is_ledger_out(self) -> bool:
        if self._missed_beats >= MISSED_IS_NEWS:
            return True
        return any(runner.watch.ledger_problem is not None for runner in self._runners.values())

    def _look_round(self) -> None:
        """What concerns all gateways together."""
        # The loop works, whatever the gateway does: an outage of theirs must not get us restarted.
        if self._all_are_passing():
            self.parts.supervisor.watchdog_ping()
        self.parts.supervisor.status(self._status_line())
        self._say_shortage()
        self._say_switches()
        self._look_at_file()
        if self.parts.clock.now().since(self._asked_at) >= ASK_AGAIN_EVERY:
            self._ask_refused()

    def _say_shortage(self) -> None:
        """Once when this process runs out of file descriptors, not for each gateway; and when no gateway lacks one any more."""
        reports = [runner.watch.last_report for runner in self._runners.values()]
        short = [one.gateway for one in reports if one is not None and one.phase is GatewayPhase.UNKNOWN]
        if bool(short) is self._is_short:
            return
        self._is_short = bool(short)
        if short:
            self.parts.log.event(
                Event.DESCRIPTORS_USED_UP,
                reason=descriptors.shortage(),
                gateways_now=len(self._runners),
                limit_needed=descriptors.needed(len(self._runners)),
            )
        else:
            self.parts.log.event(Event.DESCRIPTORS_LEFT)

    def _say_switches(self) -> None:
        """What operators switched and did since the last pass, with who and why; what stood there at the start is old news."""
        try:
            trail = self.parts.ledger.audit_trail(limit=SWITCHES_READ)
        except LedgerError:
            return
        said, self._said_switches = self._said_switches, set(trail)
        if said is None:
            return
        for line in reversed([one for one in trail if one not in said]):
            event = _SWITCHES.get(line.what)
            if event is not None and line.who != PROGRAM:
                self.parts.log.event(event, who=line.who, reason=line.detail)
            by_hand = counted(line.detail) if line.what == ATTEMPT else None
            if by_hand is not None and by_hand[0] in self._runners:  # each gateway's by the replica that watches it
                self.parts.meter.attempt(*by_hand)

    async def _ledger_failed(self, problem: LedgerError) -> None:
        if isinstance(problem, LeaseLost):
            self._beats.set()
            return
        if self._ledger_out_since is None:
            self._ledger_out_since = self.parts.clock.now().wall
            since, where = self._ledger_out_since, self.parts.ledger.where
            self.parts.teller.send_unqueued(announcements.ledger_unavailable(where, since=since, problem=str(problem)))

    def _all_are_passing(self) -> bool:
        """One gateway's hanging runner must not hide behind the others' pings."""
        now, limit = self.parts.clock.now(), self._longest_pass()
        return all(now.since(runner.last_finished_at) <= limit for runner in self._runners.values())

    def _longest_pass(self) -> timedelta:
        """How long a runner may go without finishing a pass: its interval, and every time-out of one pass."""
        return 3 * self.parts.loaded.config.poll_every + PASS_LIMIT

    def _status_line(self) -> str:
        reports = [runner.watch.last_report for runner in self._runners.values()]
        good = [report for report in reports if report is not None and report.is_good]
        sessions = sum(len(report.judged) for report in good)
        stuck = sum(report.verdicts()["stuck"] for report in good)
        flight = sum(report.in_flight for report in good)
        return f"{len(good)}/{len(reports)} gateways up, {sessions} sessions, {stuck} stuck, {flight} in recovery"

    def _prune(self) -> None:
        parts = self.parts
        before = parts.clock.now().wall - parts.loaded.config.ledger_retention
        with contextlib.suppress(LedgerError):
            parts.ledger.prune(before)
            # A person's words go with their incident.
            parts.note_files.prune(before, lambda incident: parts.ledger.incident(incident) is not None)

    # ---------------------------------------------------------------- signals

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._spawn, self.reload)

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(work(), name="reload")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def stop(self, why: str) -> None:
        """Ask for an orderly stop."""
        self._why = why
        self._stop.set()
        if self.parts.shares is not None:
            self.parts.shares.drain()

    # ---------------------------------------------------------------- reload

    def _look_at_file(self) -> None:
        """At every pass: a file that was changed is read again once it stands still."""
        match self._file.look(self.parts.clock.now()):
            case FileChange.CHANGED:
                # Not from here: a reload may end the very runner whose pass this is.
                self._spawn(self._reload_changed)
            case FileChange.CHANGING if not self._looks_again:
                self._looks_again = True
                self._spawn(self._look_again)

    async def _look_again(self) -> None:
        """The next pass may be minutes away."""
        await self.parts.clock.sleep(self.settled.total_seconds())
        self._looks_again = False
        if not self._stop.is_set():
            self._look_at_file()

    async def _reload_changed(self) -> None:
        await self.reload("the file was changed")

    async def reload(self, why: str = "SIGHUP") -> None:
        """Read the configuration again; a broken one is refused whole and the old one stays in force."""
        async with self._reloading:
            self.parts.supervisor.reloading()
            try:
                await self._reload(why)
            finally:
                self.parts.supervisor.ready()
        self._ask_refused()  # whoever mended what is not in the file asks for it this way

    async def _reload(self, why: str) -> None:
        parts = self.parts
        self._file.taken()
        try:
            # Off the loop, like what it stands for: with thousands of sections it takes seconds.
            loaded: LoadedConfig = await asyncio.to_thread(parts.read_again)
        except ConfigError as refused:
            for problem in refused.problems:
                parts.log.event(
                    Event.CONFIG_REFUSED, reason=str(problem), in_force="the old configuration", asked_by=why
                )
            return
        parts.written = loaded
        self._file.watch(loaded.searched)
        before, parts.loaded = parts.loaded, await asyncio.to_thread(parts.gateways.spelled_out, loaded)
        changes = self._say_loaded(before, why)
        self._say_kept(before)
        if not changes and before.config == parts.loaded.config:
            return
        parts.restarts.configure(loaded)
        await self._apply_gateways(before)
        parts.recordings.configure(loaded)
        await parts.teller.configure(parts.loaded)
        parts.supervisor.expect_ping_within(self._longest_pass())
        await parts.page.configure(parts.loaded)

    def _say_kept(self, before: LoadedConfig) -> None:
        """Where the ledger and the keys are kept is read at the start alone."""
        started, was, now = (
            (one.config.ledger, one.config.state_dir, one.config.replicas)
            for one in (self._started_with, before, self.parts.loaded)
        )
        if now not in (was, started):
            self.parts.log.event(
                Event.CONFIG_REFUSED,
                reason="another ledger, state_dir or replicas takes a restart; until then verbs already use the new one, and this daemon not",
                in_force=f"the ledger {self.parts.ledger.where}",
            )

    async def _ring_look_around(self) -> None:
        """The scheduler cuts what it runs itself when it is shut down; this must not end a runner halfway."""
        self._round.wanted()  # with no gateway at all there is no pass that would ask for it
        self._spawn(self.look_around)

    async def look_around(self) -> None:
        """Follow this machine and the lists: watch the gateways that came, let go of those that went. The others notice
        nothing."""
        parts = self.parts
        if self._looks_around or not is_followed(parts.written):
            return  # lists that nobody answers with may take longer than the time between two looks
        self._looks_around = True
        try:
            await self._look_around()
        finally:
            self._looks_around = False

    async def _look_around(self) -> None:
        parts = self.parts
        async with self._reloading:
            after = await asyncio.to_thread(parts.gateways.spelled_out, parts.written)
            before = parts.loaded
            if self._stop.is_set() or after.config.gateways == before.config.gateways:
                return
            parts.loaded = after
            self._say_loaded(before, "the gateways that discover stands for have changed")
            await self._apply_gateways(before)
            await parts.teller.configure(after)
            await parts.page.configure(after)

    def _say_loaded(self, before: LoadedConfig, why: str) -> list[str]:
        loaded = self.parts.loaded
        source = str(loaded.source) if loaded.source is not None else "built-in defaults"
        changes = diff(before.config, loaded.config)
        self.parts.log.event(Event.CONFIG_LOADED, source=source, changes=changes, asked_by=why)
        return changes

    async def _apply_gateways(self, before: LoadedConfig) -> None:
        """Runners as the configuration has them now; those whose section and rhythm are unchanged go on as they are."""
        loaded = self.parts.loaded
        old = {section.name: section for section in before.config.gateways}
        new = {section.name: section for section in loaded.config.gateways}
        same_pace = before.config.poll_every == loaded.config.poll_every
        self._one_watch.keep(old, new)
        kept = {name for name in new if new[name] == old.get(name) and same_pace and name in self._runners}
        for name in [name for name in self._runners if name not in kept]:
            await self._end(name)
        for name in kept:
            self._runners[name].watch.take_book(loaded.policy_book)
            self._runners[name].watch.connection.full_sweep_every = loaded.config.full_sweep_every
        if self._stop.is_set():
            return
        self._name_before_any_deed()
        fresh = set(new) - kept - set(self._one_watch.refused) - set(self._ending)
        for watch in self.parts.build_watches(loaded, fresh):
            self._start(watch, len(fresh))


async def end_rings(scheduler: AsyncIOScheduler) -> None:
    """Shut it down with no ring under way. It cancels one that has not come through, and logs that as an error of the job;
    each needs one turn of the event loop to ring, and one to be over."""
    scheduler.remove_all_jobs()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    scheduler.shutdown(wait=False)
