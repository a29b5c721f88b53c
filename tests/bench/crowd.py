"""Many sessions in a real gateway, without waiting for as many turns.

One session is made the way sessions are made: created, spoken to, answered. The others are copies of its rows in the
session store, written while the gateway is stopped (it serves lists from memory and would not see them otherwise). Their
transcripts are empty, which no list tells. What counts as done is what the gateway itself says then: ``totalCount``.

With the first turn after that 2026.9.6 thins out its store to ``session.maintenance.maxEntries``, 5,000 as it comes: a world
for more wants ``KEEPS_ALL``.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.harness.conditions import until
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.provider import Silence
from tests.e2e.harness.routes import Web
from tests.e2e.harness.runs import finished
from tests.e2e.harness.stores import database_path
from tests.e2e.harness.world import World

KEEPS_ALL: dict[str, Any] = {"session": {"maintenance": {"maxEntries": 1_000_000}}}
"""Configuration of a gateway that forgets no session because there are many."""
ORIGINAL = "agent:main:bench:original"
_LIVE_WORD = "BENCH-STAYS-LIVE"
_TABLES = ("session_nodes", "session_windows", "session_participants")
"""The tables that a session's row in a list is made of."""


@dataclass(slots=True)
class Crowd:
    """The sessions of one world. ``grow`` restarts its gateway; ``live`` runs end with every growth."""

    world: World
    size: int = field(default=0, init=False)
    _template: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)
    """The original's rows as they were written when its turn ended, by table."""

    def grow(self, size: int) -> None:
        """Have exactly so many sessions in the gateway, all finished."""
        if not self.size:
            finished(self.world, Web(ORIGINAL), word="BENCH")
            self.size = self.total()
        self.world.terminate()
        store = database_path(self.world.gateway, ORIGINAL)
        with contextlib.closing(sqlite3.connect(store, timeout=10)) as connection, connection:
            self._template = self._template or {table: _row_of_original(connection, table) for table in _TABLES}
            for number in range(self.size, size):
                for table, row in self._template.items():
                    _insert(connection, table, _copied(row, number))
            # A trigger marks what is inserted as unchecked, and the gateway checks that once, when it first opens a store.
            connection.execute("update session_nodes set entry_valid = 1 where entry_valid = 0")
        self.world.start()
        self.size = until(f"the gateway lists {size} sessions", lambda: self.total() == size and size, within=60) or 0

    def go_live(self, count: int) -> None:
        """Have runs that stay: the model was asked and says nothing."""
        self.world.provider.on(_LIVE_WORD, Silence())
        keys = [key_of(number) for number in range(self.size - count, self.size)]
        for key in keys:
            self.world.witness.send(key, f"Take your time. {_LIVE_WORD}")

        def all_live() -> bool:
            rows = {row["key"]: row for row in self.world.witness.rows()}
            return all(rows[key].get("status") == "running" and rows[key].get("hasActiveRun") for key in keys)

        until(f"{count} runs are live", all_live, within=90)
        if (left := self.total()) != self.size:
            raise HarnessError(f"of {self.size} sessions the gateway has kept {left}")

    def total(self) -> int:
        """How many sessions the gateway says it has."""
        answer = self.world.witness.call("sessions.list", {"limit": 1, "includeGlobal": True, "includeUnknown": True})
        return int(answer["totalCount"])


def key_of(number: int) -> str:
    return f"agent:main:bench:{number:05d}"


def _row_of_original(connection: sqlite3.Connection, table: str) -> dict[str, Any]:
    cursor = connection.execute(f"select * from {table} where session_key = ?", (ORIGINAL,))
    found = cursor.fetchone()
    if found is None:
        raise HarnessError(f"the gateway stored nothing of {ORIGINAL} in {table}; its store is not what it was")
    return dict(zip((column for column, *_ in cursor.description), found, strict=True))


def _copied(row: dict[str, Any], number: int) -> dict[str, Any]:
    """The original's row as that of another session, so many seconds older."""
    copy = _older(row, number, "_at")
    copy.pop("entry_valid", None)  # the gateway's own verdict, which it comes to by itself
    if "entry_json" in copy:
        copy["entry_json"] = json.dumps(_older(json.loads(copy["entry_json"]), number, "At"))
    old_id = str(row.get("current_session_id") or row.get("session_id"))
    new_id = str(uuid.uuid5(uuid.NAMESPACE_OID, key_of(number)))
    return {
        column: value.replace(old_id, new_id).replace(ORIGINAL, key_of(number)) if isinstance(value, str) else value
        for column, value in copy.items()
    }


def _older(fields: dict[str, Any], seconds: int, ending: str) -> dict[str, Any]:
    """With every instant among the fields moved back. The gateway refuses a row whose column and entry disagree."""
    return {
        name: value - seconds * 1000 if name.endswith(ending) and isinstance(value, int) else value
        for name, value in fields.items()
    }


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"insert into {table} ({columns}) values ({marks})", tuple(row.values()))
