"""Many sessions in a real gateway, without waiting for as many turns.

One session is made the way sessions are made: created, spoken to, answered. The others are copies of its rows in the
session store, written while the gateway is stopped (it serves lists from memory and would not see them otherwise). Their
transcripts are empty, which no list tells. What counts as done is what the gateway itself says then: ``totalCount``.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.provider import Silence
from tests.e2e.harness.routes import Web
from tests.e2e.harness.runs import finished
from tests.e2e.harness.stores import database_path
from tests.e2e.harness.waiting import until
from tests.e2e.harness.world import World

ORIGINAL = "agent:main:bench:original"
_LIVE_WORD = "BENCH-STAYS-LIVE"
_KEYED = ("session_nodes", "session_windows", "session_participants")
"""The tables a session's list row is made of; the first names its session id in ``entry_json`` too."""


@dataclass(slots=True)
class Crowd:
    """The sessions of one world. ``grow`` restarts its gateway; ``live`` runs end with every growth."""

    world: World
    size: int = field(default=0, init=False)

    def grow(self, size: int) -> None:
        """Have exactly so many sessions in the gateway, all finished."""
        if not self.size:
            finished(self.world, Web(ORIGINAL), word="BENCH")
            self.size = self.total()
        self.world.terminate()
        store = database_path(self.world.gateway, ORIGINAL)
        with contextlib.closing(sqlite3.connect(store, timeout=10)) as connection, connection:
            connection.row_factory = sqlite3.Row
            for number in range(self.size, size):
                _copy_original(connection, number)
        self.world.start()
        self.size = until(f"the gateway lists {size} sessions", lambda: self.total() == size and size, within=60) or 0

    def go_live(self, count: int) -> None:
        """Have runs that stay: the model was asked and says nothing."""
        self.world.provider.on(_LIVE_WORD, Silence())
        keys = [_key_of(number) for number in range(self.size - count, self.size)]
        for key in keys:
            self.world.witness.send(key, f"Take your time. {_LIVE_WORD}")

        def all_live() -> bool:
            rows = {row["key"]: row for row in self.world.witness.rows()}
            return all(rows[key].get("status") == "running" and rows[key].get("hasActiveRun") for key in keys)

        until(f"{count} runs are live", all_live, within=90)

    def total(self) -> int:
        """How many sessions the gateway says it has."""
        answer = self.world.witness.call("sessions.list", {"limit": 1, "includeGlobal": True, "includeUnknown": True})
        return int(answer["totalCount"])


def _key_of(number: int) -> str:
    return f"agent:main:bench:{number:05d}"


def _copy_original(connection: sqlite3.Connection, number: int) -> None:
    """One more session like the original, so many seconds older."""
    new_key, new_id = _key_of(number), str(uuid.uuid4())
    old_id = str(_only(connection, "session_nodes")["current_session_id"])
    for table in _KEYED:
        row: dict[str, Any] = {}
        for column, value in dict(_only(connection, table)).items():
            if column == "entry_json":
                row[column] = json.dumps(_older(json.loads(value), number, "At"))
            else:
                row |= _older({column: value}, number, "_at")
            if isinstance(row[column], str):
                row[column] = row[column].replace(old_id, new_id).replace(ORIGINAL, new_key)
        row.pop("entry_valid", None)  # the gateway's own verdict, which it comes to by itself
        _insert(connection, table, row)


def _older(fields: dict[str, Any], seconds: int, ending: str) -> dict[str, Any]:
    """With every instant among the fields moved back. The gateway refuses a row whose column and entry disagree."""
    return {
        name: value - seconds * 1000 if name.endswith(ending) and isinstance(value, int) else value
        for name, value in fields.items()
    }


def _only(connection: sqlite3.Connection, table: str) -> sqlite3.Row:
    found: sqlite3.Row | None = connection.execute(
        f"select * from {table} where session_key = ?", (ORIGINAL,)
    ).fetchone()
    if found is None:
        raise HarnessError(f"the gateway stored nothing of {ORIGINAL} in {table}; its store is not what it was")
    return found


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"insert into {table} ({columns}) values ({marks})", tuple(row.values()))
