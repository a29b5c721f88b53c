"""A PostgreSQL server of the tests' own: from Debian's package, in a short folder, on a Unix socket only, gone afterwards.

Nothing of the machine's own server is used. ``fsync`` is off: what a power cut does is PostgreSQL's own promise. Only where its
speed is measured it is as it comes, on the disk.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest

USER = "watchdog"
_DEBIAN = Path("/usr/lib/postgresql")
_ON_A_SOCKET = "-c listen_addresses=''"
_QUICK = "-c fsync=off -c full_page_writes=off -c max_connections=40 -c autovacuum=off"


def programs() -> Path | None:
    """The folder of the newest server's programs here; None: there is none."""
    found = [folder for folder in _DEBIAN.glob("*/bin") if (folder / "initdb").exists()]
    if found:
        return max(found, key=lambda folder: int(folder.parent.name))
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb is not None else None


@dataclass(slots=True)
class Server:
    """One running cluster, for one session of tests."""

    folder: Path
    programs: Path
    account: str | None
    """Under which it runs; None: ours. It refuses to run as root."""
    _numbers: Iterator[int]
    _options: str = f"{_ON_A_SOCKET} {_QUICK}"

    def database(self) -> str:
        """A new, empty database; its URL."""
        name = f"d{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def emptied(self) -> str:
        """The URL of one database that is emptied each time: a file system may take seconds to forget a database."""
        writable = "-c default_transaction_read_only=off"
        with psycopg.connect(self.url("postgres"), autocommit=True, options=writable) as db:
            db.execute("DROP SCHEMA IF EXISTS openclaw_watchdog CASCADE")
            db.execute("ALTER DATABASE postgres RESET ALL")
        return self.url("postgres")

    def url(self, database: str, user: str = USER) -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def start(self) -> None:
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", f"-k {self.folder} {self._options}", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def signal(self, number: signal.Signals, process: int) -> None:
        """To one of its processes."""
        os.kill(process, number)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        done = subprocess.run(
            command, user=self.account, group=self.account, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout


@contextmanager
def running(*, as_it_comes: bool = False) -> Iterator[Server]:
    """A new server, started; stopped and removed in the end. Skips where PostgreSQL is not installed. ``as_it_comes``: with its own
    defaults, in the folder for temporary files."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    account = None
    if os.geteuid() == 0:
        account = next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
    in_memory = Path("/dev/shm")
    base = (
        in_memory if os.access(in_memory, os.W_OK) and not as_it_comes else Path("/tmp")
    )  # a socket's path has room for 107 characters
    folder = Path(tempfile.mkdtemp(prefix="ocw-pg-", dir=base))
    if account is not None:
        shutil.chown(folder, account)
        folder.chmod(0o755)
    server = Server(folder, found, account, count())
    if as_it_comes:
        server._options = _ON_A_SOCKET
    try:
        server._run("initdb", "--username", USER, "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C")
        server.start()
        try:
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
