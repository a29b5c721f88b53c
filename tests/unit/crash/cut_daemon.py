"""Starts real daemons that SIGKILL themselves after their n-th effect. For tests only; the package knows nothing of it.

``python -m tests.unit.crash.cut_daemon`` imports the package once and then forks one process per line of JSON on stdin
(``argv``, ``environ``, ``log``, ``effects``, ``cut``): each runs the package's own ``main`` as ``python -m watchdog``
would, without paying for the imports again. Answers on stdout: ``{"id", "pid"}``, later ``{"id", "code"}``. When stdin
ends, what still runs is killed.

An effect is what the outside world, or the next life, can find: every ledger commit that changed something (but not the
probe of ``is_writable``, nor a replica's heartbeat), every frame sent on a deed link, every note saved. The kill comes when the effect is complete
and before the daemon's own code goes on. Effects are written down by name, one a line, so that a test can say where a
life ended. ``cut`` is null (live on), a number n (after the n-th effect), or a name (after the first effect so called).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from watchdog.adapters.notes import HandoffNotes
from watchdog.cli import main as watchdog_main
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.connection import Link
from watchdog.ledger import postgres, sqlite
from watchdog.ledger.store import Param, Rows, Statements, Store, Transaction

PROBES = ("is_writable", "beat")
_is_deed_link: ContextVar[bool] = ContextVar("_is_deed_link", default=False)


class Cut:
    """Counts effects and ends the process after the one it was given; or does to it what ``how`` says."""

    def __init__(self, after: int | str | None, record: int, how: signal.Signals = signal.SIGKILL) -> None:
        self._how = how
        self._after = after
        self._record = record
        self._count = 0

    def effect(self, name: str) -> None:
        self._count += 1
        os.write(self._record, f"{name}\n".encode())
        if self._after in (self._count, name):
            self._after = None  # who goes on afterwards is not stopped again
            os.kill(os.getpid(), self._how)

    def install(self) -> None:
        """Wrap what makes effects, in this process."""
        self._watch_ledger()
        self._watch_notes()
        self._watch_deed_links()

    def _watch_ledger(self) -> None:
        for kind in (sqlite.LedgerFile, postgres.PostgresStore):
            self._watch_store(kind)

    def _watch_store(self, kind: type[sqlite.LedgerFile | postgres.PostgresStore]) -> None:
        original: Callable[..., Any] = kind.writing
        cut = self

        @contextlib.contextmanager
        def writing(store: Store, **how: bool) -> Iterator[Transaction]:
            frame = sys._getframe(2)  # contextlib's __enter__ lies between, and with replicas the fence
            while frame.f_back is not None and frame.f_code.co_name in ("writing", "__enter__"):
                frame = frame.f_back
            caller = frame.f_code.co_name
            with original(store, **how) as transaction:
                watched = _Changing(transaction._db)
                yield Transaction(watched)
                is_changed = watched.is_changed
            if store.folder is not None and caller not in PROBES and is_changed:
                cut.effect(caller)

        setattr(kind, "writing", writing)  # noqa: B010 - mypy refuses the plain assignment

    def _watch_notes(self) -> None:
        original = HandoffNotes.save

        def save(notes: HandoffNotes, incident: str, number: int, text: str) -> str:
            path = original(notes, incident, number, text)
            self.effect("note")
            return path

        setattr(HandoffNotes, "save", save)  # noqa: B010

    def _watch_deed_links(self) -> None:
        prepare: Callable[..., Any] = GatewayClient.prepare
        init: Callable[..., None] = Link.__init__

        async def prepared(client: GatewayClient, *args: Any, **how: Any) -> None:
            token = _is_deed_link.set(True)
            try:
                await prepare(client, *args, **how)
            finally:
                _is_deed_link.reset(token)

        def made(link: Link, name: str, socket: Any, *args: Any) -> None:
            init(link, name, _Heard(socket, self) if _is_deed_link.get() else socket, *args)

        setattr(GatewayClient, "prepare", prepared)  # noqa: B010
        setattr(Link, "__init__", made)  # noqa: B010


class _Changing:
    """A transaction's statements, and whether one of them changed anything."""

    def __init__(self, db: Statements) -> None:
        self._db = db
        self._is_changed = False
        self._before = db.total_changes if isinstance(db, sqlite3.Connection) else 0

    @property
    def is_changed(self) -> bool:
        if isinstance(self._db, sqlite3.Connection):
            return self._db.total_changes != self._before
        return self._is_changed

    def execute(self, sql: str, params: Sequence[Param] | Mapping[str, Param], /) -> Rows:
        rows = self._db.execute(sql, params)
        if not sql.lstrip().startswith("SELECT") and rows.rowcount > 0:
            self._is_changed = True
        return rows


class _Heard:
    """A deed link's socket: every frame sent is an effect."""

    def __init__(self, socket: Any, cut: Cut) -> None:
        self._socket = socket
        self._cut = cut

    async def send(self, text: str) -> None:
        await self._socket.send(text)
        self._cut.effect(f"frame {json.loads(text)['method']}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


# ---------------------------------------------------------------- the launcher


def _live(wanted: dict[str, Any]) -> int:
    """In the child: be the daemon."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for old, new in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    record = os.open(wanted["effects"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.environ.clear()
    os.environ.update(wanted["environ"])
    sys.argv = ["openclaw-watchdog", *wanted["argv"]]
    Cut(wanted["cut"], record).install()
    try:
        watchdog_main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - a child of a fork must not run into its parent's code
        traceback.print_exc()
        return 1
    return 0


class Launcher:
    """Forks on demand, tells of ends."""

    def __init__(self) -> None:
        self._living: dict[int, object] = {}

    def run(self) -> None:
        ends, rings = os.pipe()
        os.set_blocking(rings, False)
        os.set_blocking(ends, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(rings)
        pending = b""
        while True:
            ready, _, _ = select.select([0, ends], [], [])
            if ends in ready:
                os.read(ends, 4096)
                self._reap()
            if 0 in ready:
                data = os.read(0, 65536)
                if not data:
                    break
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._start(json.loads(line))
        for pid in self._living:
            os.kill(pid, signal.SIGKILL)

    def _start(self, wanted: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            code = _live(wanted)
            sys.stderr.flush()
            os._exit(code)
        self._living[pid] = wanted["id"]
        self._say({"id": wanted["id"], "pid": pid})

    def _reap(self) -> None:
        while self._living:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._say({"id": self._living.pop(pid), "code": os.waitstatus_to_exitcode(status)})

    @staticmethod
    def _say(document: dict[str, object]) -> None:
        os.write(1, f"{json.dumps(document)}\n".encode())


if __name__ == "__main__":
    Launcher().run()
