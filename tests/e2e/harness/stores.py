"""A gateway's own files, read only: whether what the wire says has reached the disk, where a kill -9 finds it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from tests.e2e.harness.conditions import epoch_ms, until

from .gateways import Gateway
from .releases import Release

Entry = dict[str, Any]


class Keeper(Protocol):
    """Whoever keeps sessions on this machine: a gateway, or a cell of a fleet."""

    @property
    def release(self) -> Release: ...

    @property
    def state_dir(self) -> Path: ...


def agent_folder(gateway: Keeper, key: str) -> Path:
    agent = key.split(":")[1] if key.startswith("agent:") else "main"
    return gateway.state_dir / "agents" / agent


def stored_entry(gateway: Keeper, key: str) -> Entry:
    """The session as stored; empty when it is not (yet) there or just being written."""
    if gateway.release.keeps_sessions_in_sqlite:
        return _from_sqlite(database_path(gateway, key), key)
    try:
        entries = json.loads((agent_folder(gateway, key) / "sessions" / "sessions.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return dict(entries.get(key) or {})


def transcript_path(gateway: Gateway, session_id: str, key: str) -> Path:
    """The transcript file; before 2026.9 only. That of a Telegram topic has the topic in its name."""
    folder = agent_folder(gateway, key) / "sessions"
    return next(folder.glob(f"{session_id}-topic-*.jsonl"), folder / f"{session_id}.jsonl")


def lock_path(gateway: Gateway, session_id: str, key: str) -> Path:
    """The lock of a session's transcript; before 2026.9 only."""
    path = transcript_path(gateway, session_id, key)
    return path.with_name(path.name + ".lock")


def database_path(gateway: Keeper, key: str) -> Path:
    """The session store; from 2026.9 on."""
    return agent_folder(gateway, key) / "agent" / "openclaw-agent.sqlite"


@contextlib.contextmanager
def write_lock(gateway: Gateway, key: str) -> Iterator[None]:
    """Hold the session store's write lock: whatever the gateway wants to write waits, and is given up after a while."""
    with contextlib.closing(sqlite3.connect(database_path(gateway, key), timeout=10, isolation_level=None)) as store:
        store.execute("begin immediate")
        try:
            yield
        finally:
            store.execute("rollback")


@contextlib.contextmanager
def write_lock_after_answer(gateway: Gateway, key: str, answer: Callable[[], None]) -> Iterator[None]:
    """The same, taken in the moment in which the model's next answer in this session is on disk: some 0.3 s pass until the
    gateway writes the end of the run. ``answer``: has the model answer."""
    path = database_path(gateway, key)
    session_id = _from_sqlite(path, key)["sessionId"]
    spoken = 'select max(seq) from transcript_events where session_id = ? and event_json like \'%"role":"assistant"%\''
    with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as store:

        def last_spoken() -> int:
            return store.execute(spoken, (session_id,)).fetchone()[0] or 0

        before = last_spoken()
        answer()
        until("the answer is on disk", lambda: last_spoken() > before, within=60, every=0.005)
        store.execute("begin immediate")
        try:
            yield
        finally:
            store.execute("rollback")


@contextlib.contextmanager
def refused_writes(gateway: Gateway, key: str) -> Iterator[None]:
    """The session store refuses every write at once, as on a full disk: a trigger on each of its tables. Meanwhile the
    gateway refuses to list sessions too, because it does not know its schema again."""
    path = database_path(gateway, key)
    with contextlib.closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as store:
        found = store.execute("select name, coalesce(sql, '') from sqlite_master where type = 'table'").fetchall()
        tables = [name for name, sql in found if "VIRTUAL" not in sql.upper() and not name.startswith("sqlite_")]
        triggers = [(f"e2e_{name}_{verb}", verb, name) for name in tables for verb in ("insert", "update", "delete")]
        made = []
        store.execute("begin immediate")
        for trigger, verb, table in triggers:
            with contextlib.suppress(sqlite3.OperationalError):  # a table that belongs to another one takes no trigger
                refusal = "select raise(abort, 'database or disk is full')"
                store.execute(f'create trigger "{trigger}" before {verb} on "{table}" begin {refusal}; end')
                made.append(trigger)
        store.execute("commit")
        try:
            yield
        finally:
            store.execute("begin immediate")
            for trigger in made:
                store.execute(f'drop trigger "{trigger}"')
            store.execute("commit")


def exhaust_recovery(gateway: Gateway, key: str) -> None:
    """While the gateway is stopped, its store says that this session was cut and that three recoveries of it have failed: at
    its next start the gateway gives it up. (2026.8.2, 9.6: 4 of 4.)"""
    then = epoch_ms() - 3_600_000
    spent = {"cycleId": "spent", "revision": 1, "chargedAttempts": 3}
    with contextlib.closing(sqlite3.connect(database_path(gateway, key), timeout=20, isolation_level=None)) as store:
        store.execute("begin immediate")
        (stored,) = store.execute("select entry_json from session_nodes where session_key = ?", (key,)).fetchone()
        entry = {name: said for name, said in json.loads(stored).items() if name not in _WRITTEN_AT_AN_END}
        entry |= {"status": "running", "startedAt": then, "updatedAt": then, "abortedLastRun": True}
        entry["mainRestartRecovery"] = spent
        store.execute(
            "update session_nodes set entry_json = ?, status = 'running', updated_at = ? where session_key = ?",
            (json.dumps(entry), then, key),
        )
        store.execute(
            "update session_windows set status = 'running', started_at = ?, ended_at = null, updated_at = ? "
            "where session_id = ?",
            (then, then, entry["sessionId"]),
        )
        store.execute(
            "update session_nodes set entry_valid = 1 where session_key = ?", (key,)
        )  # triggers had cleared it
        store.execute("commit")


_WRITTEN_AT_AN_END = ("endedAt", "runtimeMs", "lastRunId", "lastRunError")


def _from_sqlite(path: Path, key: str) -> Entry:
    if not path.exists():
        return {}
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as store:
        found = store.execute("select entry_json from session_nodes where session_key = ?", (key,)).fetchone()
    return dict(json.loads(found[0])) if found else {}
