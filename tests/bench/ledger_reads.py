"""What a pass asks of a ledger in PostgreSQL: statements that wait for the server, and what they cost a thousand gateways.

The watches are real, fenced and recorded as a replica's are; their gateways are fakes without a socket, so what is left of a pass is
thinking and the ledger. The server is the tests' own, on a Unix socket: no network lies between, which is why the statements are
counted, too. In every other row each pass begins after somebody else's commit, as among replicas: what is asked again is read again
then. Clocks are told, so that passes lie ``EVERY`` seconds apart and probes and beats come as often as in life.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from tests import postgresql
from tests.fakes.builders import dead, lenient, running
from tests.fakes.clock import ManualClock
from tests.fakes.gateway import FakeGateway
from tests.fakes.meter import CountingMeter
from tests.fakes.notes import FakeNotes
from watchdog.core.leases import SHARDS, Lease, LeaseTiming, shard_of
from watchdog.core.policy import PolicyBook, Thresholds
from watchdog.ledger import postgres
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.place import LedgerPlace
from watchdog.replay.recorded_gateway import recorded
from watchdog.replay.recorder import Recorder
from watchdog.replay.recordings import RecordingFile
from watchdog.service.events import MemoryLog
from watchdog.service.recent_answers import RecentAnswers
from watchdog.service.tenure import Tenure
from watchdog.service.watch import Watch

GATEWAYS = 1_000
SESSIONS = 10
EVERY = 30
ROUNDS = 1
WARM_UP = 3
TERM = timedelta(seconds=30)
SOON = Thresholds(stuck_after=timedelta(seconds=EVERY), confirm_for=timedelta(seconds=EVERY))
"""Stuck after the rounds that are not counted."""


@dataclass(slots=True)
class Spent:
    """Of so many passes."""

    passes: int = 0
    waits: list[float] = field(default_factory=list)
    """For the server: each statement after which nothing goes on before it has answered, in seconds."""
    by_operation: Counter[str] = field(default_factory=Counter)
    """Those of each operation of the ledger."""


class _Counted:
    """A ledger, with each operation's trips counted."""

    def __init__(self, ledger: Any, spent: Spent) -> None:
        self._ledger = ledger
        self._spent = spent

    def __getattr__(self, name: str) -> Any:
        with self._counting(name):
            found = getattr(self._ledger, name)  # a property asks, too
        if not callable(found):
            return found

        def call(*args: Any, **named: Any) -> Any:
            with self._counting(name):
                return found(*args, **named)

        return call

    @contextmanager
    def _counting(self, name: str) -> Iterator[None]:
        before = len(self._spent.waits)
        yield
        self._spent.by_operation[name] += len(self._spent.waits) - before


@contextmanager
def _waits_counted(spent: Spent) -> Iterator[None]:
    kind: Any = postgres._Connection
    original = kind.wait

    def wait(db: Any, gen: Generator[Any, Any, Any], *how: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return original(db, gen, *how, **named)
        finally:
            spent.waits.append(time.perf_counter() - began)

    kind.wait = wait
    try:
        yield
    finally:
        kind.wait = original


class Fleet:
    """One replica with all the gateways, each with one stuck session if ``is_stuck``, which a pause holds."""

    def __init__(self, place: LedgerPlace, clock: ManualClock, *, is_stuck: bool) -> None:
        self.clock = clock
        self.spent = Spent()
        self.ledger = place.open(owner=True, share_term=TERM)
        self._is_stuck = is_stuck
        self._folder = place.folder
        self._files: list[RecordingFile] = []
        self.ledger.leases.beat("bench", "bench", {}, TERM)
        taken = self.ledger.leases.take("bench", SHARDS + 1, TERM)
        self._epochs = {one.shard: one.epoch for one in taken}
        timing, recent = LeaseTiming(TERM), RecentAnswers(clock)
        leases = (Lease.taken(one.shard, one.epoch, clock.now(), timing, was_released=True) for one in taken)
        self._tenures = {lease.shard: Tenure("bench", lease, timing, recent=recent) for lease in leases}
        if is_stuck:
            self.ledger.pause(
                at=clock.now().wall, until=None, gateway=None, session=None, reason="a bench", who="the bench"
            )
        self.watches = [self._watch(f"g{number}") for number in range(GATEWAYS)]

    def _watch(self, name: str) -> Watch:
        gateway = FakeGateway(self.clock, name=name)
        for number in range(SESSIONS):
            key = f"agent:main:irc:direct:{number}"
            is_stuck = self._is_stuck and number == 0
            gateway.rows[key] = dead(key) if is_stuck else running(key, updated_at=self.clock.now().wall)
        tape = RecordingFile(self._folder / "recordings", name)
        self._files.append(tape)
        recorder = Recorder(name, tape, self.clock, MemoryLog(), timedelta(seconds=EVERY), str)
        seen, log = recorded(gateway, MemoryLog(), recorder)
        return Watch(
            gateway=seen,
            book=PolicyBook(default=replace(lenient(), thresholds=SOON)),
            ledger=self.ledger.fenced(self._tenures[shard_of(name)], name),
            notes=FakeNotes(),
            clock=self.clock,
            log=log,
            meter=CountingMeter(),
            spare_ledger=SqliteLedger.in_memory(),
            recorder=recorder,
            tenure=self._tenures[shard_of(name)],
        )

    def beat(self) -> None:
        self.ledger.leases.beat("bench", "bench", self._epochs, TERM)

    async def once_round(self, spent: Spent | None, others: psycopg.Connection[Any] | None) -> None:
        """A pass over each gateway, spread over ``EVERY`` seconds. ``spent`` None: nothing is counted."""
        for number, watch in enumerate(self.watches):
            self.clock.advance(EVERY / GATEWAYS)
            if number % (GATEWAYS // 3) == 0:
                self.beat()
            if others is not None:
                others.execute("UPDATE openclaw_watchdog.layout SET commits = commits + 1")
            if spent is None:
                await watch.pass_once()
                continue
            kept, watch.ledgers.real = watch.ledgers.real, _Counted(watch.ledgers.real, spent)
            with _waits_counted(spent):
                await watch.pass_once()
            watch.ledgers.real = kept
            spent.passes += 1

    def close(self) -> None:
        for one in self._files:
            one.close()
        self.ledger.close()


def measured(*, is_stuck: bool, is_shared: bool) -> Spent:
    """``ROUNDS`` rounds, after some that are not counted: connections, and what an earlier owner left."""
    folder = Path(tempfile.mkdtemp(prefix="watchdog-reads-"))
    try:
        with postgresql.running() as server, ExitStack() as stack:
            clock, url = ManualClock(), server.database()
            fleet = Fleet(LedgerPlace(folder, clock, url), clock, is_stuck=is_stuck)
            stack.callback(fleet.close)
            others = stack.enter_context(psycopg.connect(url, autocommit=True)) if is_shared else None
            spent = Spent()

            async def play() -> None:
                for number in range(WARM_UP + ROUNDS):
                    await fleet.once_round(spent if number >= WARM_UP else None, others)

            asyncio.run(play())
            assert len(fleet.ledger.open_incidents()) == (GATEWAYS if is_stuck else 0)
            return spent
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(out: Console) -> dict[str, Any]:
    """The figures of a record."""
    rows = []
    for is_stuck in (False, True):
        for is_shared in (False, True):
            what = "one session is stuck, and held" if is_stuck else "nothing is open"
            whose = "after somebody else's commit" if is_shared else "nobody else writes"
            print(f"[bench] {GATEWAYS} gateways: {what}, {whose}", file=sys.stderr, flush=True)
            spent = measured(is_stuck=is_stuck, is_shared=is_shared)
            rows.append(_row(what, whose, spent))
    table(out, rows)
    return {"gateways": GATEWAYS, "every_s": EVERY, "rows": rows}


def _row(what: str, whose: str, spent: Spent) -> dict[str, Any]:
    """A trip's median is of a moment in which nothing else was in the way."""
    trips, trip = len(spent.waits) / spent.passes, median(spent.waits)
    return {
        "what": what,
        "whose": whose,
        "trips": round(trips, 1),
        "trip_ms": round(trip * 1000, 3),
        "share_percent": round(trips * trip * GATEWAYS / EVERY * 100, 1),
        "share_a_ms_away_percent": round(trips * (trip + 0.001) * GATEWAYS / EVERY * 100, 1),
        "by_operation": {
            name: round(of_it / spent.passes, 1) for name, of_it in spent.by_operation.most_common() if of_it
        },
    }


def table(out: Console, rows: Sequence[dict[str, Any]]) -> None:
    shown = Table(
        title=f"a ledger in PostgreSQL under {GATEWAYS:,} gateways, a pass every {EVERY} s", title_justify="left"
    )
    for name in (
        "",
        "",
        "trips to the server a pass",
        "a trip",
        "of the daemon's time",
        "1 ms further away",
        "of which",
    ):
        shown.add_column(name)
    for row in rows:
        each = ", ".join(f"{name} {trips}" for name, trips in row["by_operation"].items())
        shares = (f"{row['share_percent']} %", f"{row['share_a_ms_away_percent']} %")
        shown.add_row(row["what"], row["whose"], f"{row['trips']}", f"{row['trip_ms']} ms", *shares, each)
    out.print(shown)
