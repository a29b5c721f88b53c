"""Several daemons on one PostgreSQL, and the wire between them and the server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psycopg

from tests.e2e.harness.daemon import Watchdog, Watched
from tests.postgresql import Server
from watchdog.core.leases import shard_of

from .report import Row
from .test_ledger import settings
from .webhook import Webhook

NAMES = ("ann", "bob", "cid")
OUTDATED = 69
"""The exit code of who finds a ledger that it does not know."""
NEWER = "tests.faults.newer_replica"


class Daemons:
    """Several with a state folder each, on one ledger. ``url``: of it; ``more``: laid over all their settings."""

    def __init__(self, gateway: Watched, folder: Path, hook: Webhook, url: str, **more: Any) -> None:
        self.home, self.folder, self.hook, self.url = gateway, folder, hook, url
        self.more = more
        self.made: dict[str, Watchdog] = {}
        self.cut_off: set[str] = set()
        """Of those that run, who cannot reach the ledger: they are asked nothing."""

    def make(self, name: str, *, url: str | None = None, program: str | None = None, **environment: str) -> Watchdog:
        extra = {
            **settings(self.hook),
            "ledger": url or self.url,
            **self.more,
            "replicas": {"name": name, **self.more.get("replicas", {})},
        }
        folder = self.folder / name
        program = program or ("tests.faults.cut_replica" if environment else "watchdog")
        self.made[name] = Watchdog(self.home, folder, extra=extra, program=program, environment=environment)
        return self.made[name].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.made.values():
            with contextlib.suppress(ProcessLookupError):
                one.signal(signal.SIGCONT)
            one.close()

    @property
    def someone(self) -> Watchdog:
        """The last of those that run."""
        here = [one for name, one in self.made.items() if one.is_running and name not in self.cut_off]
        return here[-1]

    def watching(self, gateway: str = "home") -> str | None:
        """Who has the lease on the gateway, as the table says."""
        with psycopg.connect(self.url) as db:
            found = db.execute(
                "SELECT r.name FROM openclaw_watchdog.shards s JOIN openclaw_watchdog.replicas r ON r.id = s.owner "
                "WHERE s.id = %s AND s.expires_at > extract(epoch FROM clock_timestamp()) * 1000",
                (shard_of(gateway),),
            ).fetchone()
        return str(found[0]) if found else None

    def has_moved_from(self, name: str) -> bool:
        return self.watching() not in (None, name)

    def started(self) -> list[tuple[str, Any]]:
        """Who began which attempt."""
        return [
            (name, (line["incident"], line["attempt"]))
            for name, one in self.made.items()
            for line in one.events("recovery.started")
        ]

    def outdated(self, row: Row, olds: Mapping[str, Watchdog], *, within: float) -> None:
        """These are told by the tables that a newer version is there, and end."""
        for name, old in olds.items():
            code = old.wait_for_exit(within=within)
            said = old.events("daemon.stopping")[-1]["reason"]
            row.lost([f"{name} ended with {code}"] if code != OUTDATED else [])
            row.lost([f"{name} said {said}"] if "written by a newer version" not in said else [])

    def incidents(self) -> list[dict[str, Any]]:
        return list(self.someone.verb("history", "--json").json()["incidents"])

    def stop(self, row: Row) -> None:
        for name, one in self.made.items():
            if one.is_running and (code := one.stop()):
                row.lost([f"{name} ended with {code}"])


class Wire:
    """Between daemons and the server's socket; cut, it carries nothing and says nothing. ``slow``: seconds by which every statement
    is late, from now on. ``name``: several have one each."""

    def __init__(self, server: Server, name: str = "wire", *, slow: float = 0.0) -> None:
        self.slow = slow
        self.statements = 0
        """That were late."""
        self._server_folder = server.folder
        self.folder = server.folder / name
        self._upstream = str(server.folder / ".s.PGSQL.5432")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._carries = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Wire:
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        self._thread.start()
        self._carries.set()
        path = str(self.folder / ".s.PGSQL.5432")
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_unix_server(self._accept, path), self._loop
        ).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, url: str) -> str:
        """The same database, through here."""
        return url.replace(str(self._server_folder), str(self.folder))

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._carries.clear)

    def mend(self) -> None:
        self._loop.call_soon_threadsafe(self._carries.set)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_unix_connection(self._upstream)
        try:
            with contextlib.suppress(OSError):  # who was killed, or gave up, closes halfway
                await asyncio.gather(self._carry(reader, back, says=True), self._carry(there, writer))
        finally:
            self._tasks.discard(task)
            for one in (writer, back):
                one.close()
                with contextlib.suppress(OSError):
                    await one.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, says: bool = False) -> None:
        """``says``: from a client, which says one thing and waits for its answer."""
        while data := await reader.read(65536):
            if says and self.slow:
                self.statements += 1
                await asyncio.sleep(self.slow)
            await self._carries.wait()
            writer.write(data)
            await writer.drain()
        writer.close()
