"""Daemons started through ``cut_daemon``, life after life, and what their ledger says meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from watchdog.adapters.clock import SystemClock

CutAt = int | str | None
WITHIN = 300.0
"""Seconds for anything to happen on a machine that is busy with other things."""


async def until(what: str, probe: Callable[[], object], report: Callable[[], str] = str) -> None:
    """Wait until ``probe`` answers something true."""
    clock = SystemClock()
    began = clock.now()
    while not probe():
        assert clock.now().since(began).total_seconds() < WITHIN, f"{what}: not within {WITHIN:g} s\n{report()}"
        await asyncio.sleep(0.05)


@dataclass(slots=True)
class Life:
    """One process."""

    pid: asyncio.Future[int]
    code: asyncio.Future[int]

    @property
    def is_over(self) -> bool:
        return self.code.done()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if not self.is_over:
            with contextlib.suppress(ProcessLookupError):
                os.kill(await self.pid, number)
        return await asyncio.wait_for(self.code, WITHIN)


class Launcher:
    """The process that forks daemons. Use ``launching``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count()
        self._lives: dict[int, Life] = {}
        self.answers = asyncio.create_task(self._listen())

    async def start(
        self, argv: Sequence[str], *, environ: Mapping[str, str], log: Path, effects: Path, cut: CutAt
    ) -> Life:
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        life = self._lives[number] = Life(loop.create_future(), loop.create_future())
        wanted = {
            "id": number,
            "argv": list(argv),
            "environ": dict(environ),
            "log": str(log),
            "effects": str(effects),
            "cut": cut,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(wanted)}\n".encode())
        await asyncio.wait_for(life.pid, WITHIN)
        return life

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer: dict[str, int] = json.loads(line)
            life = self._lives[answer["id"]]
            if "pid" in answer:
                life.pid.set_result(answer["pid"])
            else:
                life.code.set_result(answer["code"])


@asynccontextmanager
async def launching() -> AsyncIterator[Launcher]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.unit.crash.cut_daemon",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    launcher = Launcher(process)
    try:
        yield launcher
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), WITHIN)
        await launcher.answers


@dataclass(slots=True)
class Record:
    """What a ledger says right now, read beside a daemon that may be writing it. Empty while there is none."""

    incidents: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    quarantines: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path | str) -> Record:
        """``path``: of the file, or the database's URL."""
        if isinstance(path, str):
            return cls._in_database(path)
        if not path.exists():
            return cls()
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
                db.row_factory = sqlite3.Row
                db.execute("BEGIN")
                return cls(*([dict(row) for row in db.execute(f"SELECT * FROM {name}")] for name in cls.__slots__))
        except sqlite3.OperationalError:
            return cls()  # being made

    @classmethod
    def _in_database(cls, url: str) -> Record:
        kept: Any = {"row_factory": dict_row, "options": "-c search_path=openclaw_watchdog"}
        try:
            with psycopg.connect(url, **kept) as db:
                return cls(*(db.execute(f"SELECT * FROM {name}".encode()).fetchall() for name in cls.__slots__))
        except psycopg.errors.UndefinedTable:
            return cls()  # being made

    def states(self) -> list[str]:
        return [attempt["state"] for attempt in self.attempts]

    @property
    def is_settled(self) -> bool:
        """There was an incident, it is closed, and nothing is left open."""
        return (
            bool(self.incidents)
            and all(incident["closed_at"] is not None for incident in self.incidents)
            and not set(self.states()) & {"planned", "started", "indeterminate"}
        )
