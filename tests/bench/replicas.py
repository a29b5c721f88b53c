"""Several daemons on one PostgreSQL and thousands of gateways: ``python -m tests.bench.replicas --gateways 3000 --record``.

The gateways are canned (``fleet.py``; as few processes as keep up, their CPU is counted apart), the daemons are the real ones as
they come: they share the gateways of one list, each with its status page, which is scraped as Prometheus would. The database is one
of its own with PostgreSQL's defaults, on the disk. Nothing is stuck and nothing is done: what is measured is the watching.

First the daemons come to even shares of nothing, then the list names its gateways. Measured is from when each of them is watched and
the shares stand still, for so many minutes. A poll's lateness is what the
gateways saw: by how much more than the interval it came after the one before; a poll that is still awaited at the end counts as late
as it is by then. How long a write takes at least is asked once the daemons are gone, with the ledger's own.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import psutil
import psycopg
from rich.console import Console
from rich.table import Table

from tests import postgresql
from tests.bench.scale import ROOT, _running
from tests.bench.usage import MIB, cpu_of
from tests.fakes.loopback import free_port
from tests.figures import record
from tests.figures.replicas import conclusion, on_paper, together
from watchdog.adapters.clock import SystemClock
from watchdog.core.leases import SHARDS, LeaseTiming
from watchdog.ledger.place import LedgerPlace
from watchdog.ledger.postgres_schema import SCHEMA
from watchdog.service.descriptors import raise_limit

SCRAPE_EVERY = 15.0
A_PROCESS = 1_500
"""Canned gateways, at most: one process answers as many polls a second with less than half a core."""
SETTLED_WITHIN = 10 * 60.0
"""Seconds after which it is measured all the same, and said so."""
TRIALS = 300
"""Transactions of each kind, with which the database's speed is taken."""
SHORTEST = 10.0
"""Seconds between two polls, at least: the canned gateways take what comes within five seconds for one poll."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of ``/metrics``. Seconds and bytes."""

    seconds: float
    size: int
    shards: int
    up: int


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of the polls of a span. Seconds."""

    polls: int
    half: float
    p99: float
    most: float
    unpolled: int
    """Gateways that nobody polled in it."""


@dataclass(frozen=True, slots=True)
class Database:
    """The server's counters at one moment, and what its processes have used. Seconds and bytes."""

    transactions: int
    commits: int
    """Writes of the ledger."""
    active: float
    """For so long statements were carried out, all sessions together: each daemon has one, and stands still meanwhile."""
    cpu: float
    memory: int
    size: int
    connections: int
    """The daemons' own."""


@dataclass(slots=True)
class Post:
    """One daemon and what is seen of it."""

    name: str
    port: int
    process: subprocess.Popen[str]
    log: Path
    scrapes: list[Scrape] = field(default_factory=list)
    resident: int = 0
    descriptors: int = 0
    read_from: int = 0
    """Where in the log the span begins."""

    def forget(self) -> None:
        """What comes now is measured."""
        self.scrapes.clear()
        self.resident = self.descriptors = 0
        self.read_from = self.log.stat().st_size

    def look(self) -> Scrape:
        """A scrape, and what the process has now."""
        self.scrapes.append(made := scraped(self.port))
        process = psutil.Process(self.process.pid)
        self.resident = max(self.resident, process.memory_info().rss)
        self.descriptors = max(self.descriptors, process.num_fds())
        return made


# ---------------------------------------------------------------- what is read


def read(body: str, seconds: float) -> Scrape:
    """Of an exposition what is asked for here; a full parser would take as long as the daemon does to write it."""
    shards = re.search(r"^openclaw_watchdog_shards (\S+)$", body, re.MULTILINE)
    up = re.findall(r"^openclaw_watchdog_gateway_up\{[^}]*\} (\S+)$", body, re.MULTILINE)
    return Scrape(
        seconds, len(body.encode()), int(float(shards[1])) if shards else 0, sum(float(one) > 0 for one in up)
    )


def scraped(port: int) -> Scrape:
    """As Prometheus does it, but for its time-out. Nothing where nobody answers yet."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/metrics")
        body = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return Scrape(time.perf_counter() - began, 0, 0, 0)
    finally:
        connection.close()
    return read(body, time.perf_counter() - began)


def lateness(polls: Iterable[Sequence[float]], every: float, began: float, ended: float) -> Lateness:
    """``polls``: the instants of each gateway's."""
    late: list[float] = []
    asked = unpolled = 0
    for times in polls:
        last: float | None = None
        count = 0
        for at in (one for one in times if one <= ended):
            if at >= began:
                count += 1
                if last is not None:
                    late.append(max(0.0, at - last - every))
            last = at
        unpolled += not count
        asked += count
        if (waited := ended - (last if last is not None else began) - every) > 0:
            late.append(waited)
    late.sort()
    if not late:
        return Lateness(asked, 0.0, 0.0, 0.0, unpolled)
    return Lateness(asked, median(late), late[min(len(late) - 1, int(len(late) * 0.99))], late[-1], unpolled)


def said(logs: Iterable[str]) -> Counter[str]:
    """How often each event stands in these lines that is a warning or worse, and ``gateway.paced``."""
    found: Counter[str] = Counter()
    for text in logs:
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            if line.get("event") == "gateway.paced" or line.get("level") in ("warning", "error", "critical"):
                found[str(line.get("event"))] += 1
    return found


def sampled(url: str, server: postgresql.Server) -> Database:
    postmaster = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
    process = psutil.Process(postmaster)
    memory = 0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            full = one.memory_full_info()
            memory += int(getattr(full, "pss", full.rss))  # what is shared counts once
    with psycopg.connect(url) as db:
        row = db.execute(
            f"""
            SELECT xact_commit + xact_rollback, (SELECT commits FROM {SCHEMA}.layout), active_time / 1000, pg_database_size(datname),
                (SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid())
            FROM pg_stat_database WHERE datname = current_database()
            """.encode()
        ).fetchone()
    assert row is not None
    return Database(row[0], row[1], row[2], cpu_of(postmaster), memory, row[3], row[4])


def speed(url: str, folder: Path) -> float:
    """Seconds that the write at the beginning of each pass takes with nobody beside; the median."""
    ledger = LedgerPlace(folder, SystemClock(), url).open(owner=True, share_term=LeaseTiming().term)
    taken = []
    try:
        for _ in range(TRIALS):
            began = time.perf_counter()
            assert ledger.is_writable()
            taken.append(time.perf_counter() - began)
    finally:
        ledger.close()
    return median(taken)


# ---------------------------------------------------------------- what is started


@dataclass(frozen=True, slots=True)
class Setup:
    gateways: int
    sessions: int
    replicas: int
    every: float
    minutes: float

    @property
    def parts(self) -> list[tuple[int, int]]:
        """The canned gateways' processes: the first one's number, and how many."""
        processes = -(-self.gateways // A_PROCESS)
        ends = [self.gateways * number // processes for number in range(processes + 1)]
        return [(first, end - first) for first, end in itertools.pairwise(ends)]


@contextlib.contextmanager
def _fleets(setup: Setup) -> Iterator[list[tuple[subprocess.Popen[str], int, int]]]:
    """Each process with its port and its first gateway's number."""
    with ExitStack() as stack:
        made = []
        for first, count in setup.parts:
            command = [sys.executable, "-m", "tests.bench.fleet", "--gateways", str(count), "--first", str(first)]
            command += ["--sessions", str(setup.sessions)]
            process = stack.enter_context(_running(command, ROOT, stdout=subprocess.PIPE))
            assert process.stdout is not None
            made.append((process, int(process.stdout.readline()), first))
        yield made


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _list(setup: Setup, ports: Sequence[int]) -> str:
    """As an inventory would say it."""
    return json.dumps(
        [
            {"targets": [f"127.0.0.1:{port}/{number}"], "labels": {"name": f"g{number:05d}"}}
            for port, (first, count) in zip(ports, setup.parts, strict=True)
            for number in range(first, first + count)
        ]
    )


def _config(setup: Setup, folder: Path, name: str, url: str, port: int) -> str:
    document = {
        "gateways": [{"discover": {"file": str(folder / "gateways.json")}, "token_file": str(folder / "token")}],
        "ledger": url,
        "replicas": {"name": name},
        "poll_every": f"{setup.every:g}s",
        "status_page": {"listen": f"127.0.0.1:{port}"},
        "state_dir": str(folder / name / "state"),
    }
    return json.dumps(document)  # is YAML


@contextlib.contextmanager
def _daemons(setup: Setup, folder: Path, url: str) -> Iterator[list[Post]]:
    """With a list of no gateways yet."""
    _write(folder / "token", "canned-token-0123456789\n")
    _write(folder / "gateways.json", "[]")
    with ExitStack() as stack:
        posts = []
        for number in range(1, setup.replicas + 1):
            name, port = f"r{number}", free_port()
            config = _write(folder / name / "watchdog.yaml", _config(setup, folder, name, url, port))
            log = folder / name / "log"
            stream = stack.enter_context(log.open("w"))
            command = [sys.executable, "-m", "watchdog", "run", "--config", str(config), "--log-format", "json"]
            process = stack.enter_context(_running(command, ROOT, stdout=stream, stderr=stream))
            posts.append(Post(name, port, process, log))
        yield posts
        for post in posts:
            post.process.terminate()  # all at once: nobody is to take over what another one leaves


def _alive(posts: Sequence[Post]) -> None:
    for post in posts:
        if post.process.poll() is not None:
            raise RuntimeError(f"{post.name} ended: {post.log.read_text()[-2000:]}")


def _scrape_all(posts: Sequence[Post], until: float) -> None:
    """Every ``SCRAPE_EVERY`` seconds, one after the other, until that moment."""
    while (now := time.perf_counter()) < until:
        _alive(posts)
        for post in posts:
            post.look()
        time.sleep(max(0.0, min(now + SCRAPE_EVERY, until) - time.perf_counter()))


def _settle(posts: Sequence[Post], gateways: int, replicas: int) -> bool:
    """Each of them is watched by somebody, and the shares are even and stand still."""
    limit = time.perf_counter() + SETTLED_WITHIN
    before: list[int] = []
    while time.perf_counter() < limit:
        began = time.perf_counter()
        _alive(posts)
        looks = [post.look() for post in posts]
        shards, up = [one.shards for one in looks], sum(one.up for one in looks)
        print(f"[bench] shards {shards}, {up:,} of {gateways:,} gateways up", file=sys.stderr, flush=True)
        is_even = sum(shards) == SHARDS + 1 and max(shards) <= -(-(SHARDS + 1) // replicas)
        if shards == before and is_even and up == gateways:
            return True
        before = shards
        time.sleep(max(0.0, began + SCRAPE_EVERY - time.perf_counter()))
    return False


# ---------------------------------------------------------------- the run


def measured(setup: Setup) -> dict[str, Any]:
    """All of it; what ``--record`` keeps."""
    raise_limit()  # of those that we start
    folder = Path(tempfile.mkdtemp(prefix="watchdog-replicas-"))
    try:
        with postgresql.running(as_it_comes=True) as server:
            return _measured(setup, folder, server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(setup: Setup, folder: Path, server: postgresql.Server) -> dict[str, Any]:
    url = server.database()
    with _fleets(setup) as fleets:
        with _daemons(setup, folder, url) as posts:
            _settle(posts, 0, setup.replicas)  # so the first one to start need not watch everything for a while
            (folder / "gateways.json").write_text(_list(setup, [port for _, port, _ in fleets]))
            listed = time.perf_counter()
            is_settled = _settle(posts, setup.gateways, setup.replicas)
            settled_after = time.perf_counter() - listed
            _scrape_all(posts, time.perf_counter() + setup.every)  # the last ones that joined are read whole
            print(f"[bench] measuring for {setup.minutes:g} min", file=sys.stderr, flush=True)
            for post in posts:
                post.forget()
            used, first = [cpu_of(post.process.pid) for post in posts], sampled(url, server)
            canned = sum(cpu_of(process.pid) for process, *_ in fleets)
            began = time.perf_counter()
            _scrape_all(posts, began + setup.minutes * 60)
            ended = time.perf_counter()
            spent = [cpu_of(post.process.pid) - before for post, before in zip(posts, used, strict=True)]
            last = sampled(url, server)
            canned = sum(cpu_of(process.pid) for process, *_ in fleets) - canned
            _alive(posts)
        polls: list[list[float]] = []
        for process, *_ in fleets:
            process.send_signal(signal.SIGTERM)
            assert process.stdout is not None
            polls += json.loads(process.stdout.read()).values()
    write = speed(url, folder / "speed")
    late = lateness(polls, setup.every, began, ended)
    events: Counter[str] = Counter()
    for post in posts:
        with post.log.open() as lines:
            lines.seek(post.read_from)
            events += said(lines)
    span = ended - began
    return {
        "gateways": setup.gateways,
        "sessions_each": setup.sessions,
        "every_s": setup.every,
        "minutes": setup.minutes,
        "is_settled": is_settled,
        "settled_after_s": round(settled_after),
        "polls": late.polls,
        "late_median_ms": round(late.half * 1000, 1),
        "late_p99_ms": round(late.p99 * 1000, 1),
        "late_most_ms": round(late.most * 1000, 1),
        "unpolled": late.unpolled,
        "canned_core_percent": round(canned / span * 100, 1),
        "canned_processes": len(fleets),
        "rows": [_row(post, cpu, span) for post, cpu in zip(posts, spent, strict=True)],
        "database": _database(first, last, span, write),
        "said": dict(sorted(events.items())),
    }


def _row(post: Post, cpu: float, span: float) -> dict[str, Any]:
    answered = [one for one in post.scrapes if one.size] or [Scrape(0.0, 0, 0, 0)]
    return {
        "name": post.name,
        "shards": answered[-1].shards,
        "gateways": answered[-1].up,
        "core_percent": round(cpu / span * 100, 2),
        "resident_mib": round(post.resident / MIB, 1),
        "descriptors": post.descriptors,
        "scrape_median_ms": round(median(one.seconds for one in answered) * 1000, 1),
        "scrape_most_ms": round(max(one.seconds for one in answered) * 1000, 1),
        "scrape_kib": round(answered[-1].size / 1024, 1),
        "scrapes": len(post.scrapes),
        "unanswered": sum(not one.size for one in post.scrapes),
    }


def _database(first: Database, last: Database, span: float, write: float) -> dict[str, Any]:
    return {
        "transactions_a_s": round((last.transactions - first.transactions) / span, 2),
        "writes_a_s": round((last.commits - first.commits) / span, 3),
        "active_percent": round((last.active - first.active) / span * 100, 2),
        "core_percent": round((last.cpu - first.cpu) / span * 100, 2),
        "memory_mib": round(last.memory / MIB, 1),
        "ledger_mib": round(last.size / MIB, 1),
        "connections": last.connections,
        "write_ms": round(write * 1000, 3),
    }


def show(out: Console, found: Mapping[str, Any]) -> None:
    shown = Table(
        title=f"{found['gateways']:,} gateways of {found['sessions_each']} sessions, a poll every {found['every_s']:g} s, "
        f"measured for {found['minutes']:g} min, {found['settled_after_s']} s after the list"
        + ("" if found["is_settled"] else " (NOT settled)"),
        title_justify="left",
    )
    columns = (
        "replica",
        "shards",
        "gateways",
        "of a core",
        "resident",
        "files",
        "scrape",
        "at most",
        "size",
        "unanswered",
    )
    for name in columns:
        shown.add_column(name, justify="right")
    for row in found["rows"]:
        shown.add_row(
            row["name"],
            str(row["shards"]),
            f"{row['gateways']:,}",
            f"{row['core_percent']:.1f} %",
            f"{row['resident_mib']:.0f} MiB",
            f"{row['descriptors']:,}",
            f"{row['scrape_median_ms']:.0f} ms",
            f"{row['scrape_most_ms']:.0f} ms",
            f"{row['scrape_kib']:.0f} KiB",
            f"{row['unanswered']} of {row['scrapes']}",
        )
    out.print(shown)
    out.print(together(found), markup=False)
    out.print(
        f"Canned gateways: {found['canned_processes']} processes, {found['canned_core_percent']:.0f} % of one core.\n"
    )
    for line in on_paper(found):
        out.print(" | ".join(line), markup=False)
    out.print(conclusion(found, record.load()["scale"]["rows"][0]), markup=False)


def main(words: Sequence[str] | None = None) -> int:
    """0 unless something could not be run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replicas", description=__doc__)
    parser.add_argument("--gateways", type=int, default=3000)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to measure, after all has settled")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two polls of a gateway (30)")
    parser.add_argument("--record", action="store_true", help="write the figures into docs/evidence.md")
    options = parser.parse_args(words)
    if options.every < SHORTEST:
        parser.error(f"--every: {SHORTEST:g} seconds at least")
    if min(options.gateways, options.replicas) < 1 or options.minutes <= 0:
        parser.error("at least one gateway, one replica and some time")
    if postgresql.programs() is None:
        print("[bench] PostgreSQL is not installed (Debian: apt-get install postgresql)", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _leave)
    setup = Setup(options.gateways, options.sessions, options.replicas, options.every, options.minutes)
    found = measured(setup)
    show(Console(highlight=False, width=None if sys.stdout.isatty() else 150), found)
    if options.record:
        record.save("replicas", **found)
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    """Told to stop: what was started is stopped, too."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
