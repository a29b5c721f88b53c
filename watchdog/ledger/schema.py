"""The ledger's tables, as the list of migrations that made them.

Invariants the tables themselves keep, whoever writes: one open incident per (gateway, session); attempts unique by
(incident, number); at most one attempt in flight per incident; one active quarantine per (gateway, session); one message
per dedupe key; one delivery per (message, target); one restart per gateway whose outcome is still awaited. Limit: a
migration already released is never edited, only followed by another; each runs in one transaction together with its
``user_version``, and only forward.

Instants are INTEGER epoch milliseconds UTC; run identities are JSON.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from watchdog.core.leases import SHARDS

Migration = tuple[str, ...]

APPLICATION_ID = 0x6F637764
"""``ocwd`` in the file's header: tells our file from any other SQLite database."""

_LEDGER_1: Migration = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    """
    CREATE TABLE meta (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        ledger_id TEXT NOT NULL CHECK (length(ledger_id) >= 4),
        created_at INTEGER NOT NULL,
        lost_history_at INTEGER,
        probes INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    # One row a day with incidents, never pruned: an id is never given twice, not even after the clock was set back.
    "CREATE TABLE incident_days (day TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE incidents (
        id TEXT PRIMARY KEY,
        gateway TEXT NOT NULL,
        session TEXT NOT NULL,
        session_id TEXT,
        opened_at INTEGER NOT NULL,
        verdict_reason TEXT NOT NULL,
        outcome TEXT NOT NULL DEFAULT 'open' CHECK (outcome IN ('open', 'recovered', 'cleared', 'quarantined')),
        closed_at INTEGER,
        CHECK ((outcome = 'open') = (closed_at IS NULL))
    ) STRICT
    """,
    "CREATE UNIQUE INDEX one_open_incident ON incidents (gateway, session) WHERE closed_at IS NULL",
    "CREATE INDEX incidents_by_opening ON incidents (opened_at)",
    """
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
        number INTEGER NOT NULL CHECK (number >= 1),
        step TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'planned' CHECK (state IN
            ('planned', 'started', 'indeterminate', 'succeeded', 'ineffective', 'refused', 'abandoned')),
        idempotency_key TEXT NOT NULL UNIQUE,
        planned_at INTEGER NOT NULL,
        started_at INTEGER,
        settled_at INTEGER,
        reason TEXT,
        verified_by TEXT,
        run_id TEXT,
        is_charged INTEGER NOT NULL DEFAULT 0 CHECK (is_charged IN (0, 1)),
        forgiven_at INTEGER,
        before TEXT CHECK (before IS NULL OR json_valid(before)),
        before_tail TEXT,
        is_retryable INTEGER NOT NULL DEFAULT 0 CHECK (is_retryable IN (0, 1)),
        UNIQUE (incident, number),
        CHECK (state NOT IN ('started', 'indeterminate', 'succeeded', 'ineffective', 'refused') OR started_at IS NOT NULL),
        CHECK (is_charged = 0 OR started_at IS NOT NULL),
        CHECK ((settled_at IS NULL) = (state IN ('planned', 'started', 'indeterminate')))
    ) STRICT
    """,
    "CREATE UNIQUE INDEX one_attempt_in_flight ON attempts (incident) WHERE state IN ('started', 'indeterminate')",
    "CREATE INDEX charges_by_start ON attempts (started_at) WHERE is_charged = 1 AND forgiven_at IS NULL",
    """
    CREATE TABLE quarantines (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        gateway TEXT NOT NULL,
        session TEXT NOT NULL,
        session_id TEXT,
        since INTEGER NOT NULL,
        reason TEXT NOT NULL,
        incident TEXT,
        released_at INTEGER,
        released_by TEXT,
        released_why TEXT
    ) STRICT
    """,
    "CREATE UNIQUE INDEX one_active_quarantine ON quarantines (gateway, session) WHERE released_at IS NULL",
    """
    CREATE TABLE pauses (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        since INTEGER NOT NULL,
        until INTEGER,
        gateway TEXT,
        session TEXT,
        reason TEXT NOT NULL,
        who TEXT NOT NULL,
        ended_at INTEGER,
        ended_by TEXT
    ) STRICT
    """,
    """
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dedupe_key TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        gateway TEXT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        session TEXT,
        incident TEXT,
        created_at INTEGER NOT NULL
    ) STRICT
    """,
    # Since when a target is known: one added to the config later is not sent the messages of last month.
    "CREATE TABLE targets (name TEXT PRIMARY KEY, owed_since INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE deliveries (
        message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
        target TEXT NOT NULL,
        tries INTEGER NOT NULL,
        last_tried_at INTEGER NOT NULL,
        next_try_at INTEGER,
        last_error TEXT,
        delivered_at INTEGER,
        given_up_at INTEGER,
        PRIMARY KEY (message, target)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE notes (
        id INTEGER PRIMARY KEY,
        incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
        path TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        UNIQUE (incident, path)
    ) STRICT
    """,
    """
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT
    """,
)

_LEDGER_2: Migration = (
    """
    CREATE TABLE gateway_restarts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        gateway TEXT NOT NULL,
        at INTEGER NOT NULL,
        how TEXT NOT NULL,
        outcome TEXT CHECK (outcome IN ('worked', 'did_not_help', 'failed')),
        settled_at INTEGER,
        over_at INTEGER,
        CHECK ((outcome IS NULL) = (settled_at IS NULL))
    ) STRICT
    """,
    "CREATE UNIQUE INDEX one_restart_awaited ON gateway_restarts (gateway) WHERE outcome IS NULL",
    "CREATE INDEX restarts_by_gateway ON gateway_restarts (gateway, at)",
)

_LEDGER_3: Migration = (
    "ALTER TABLE attempts ADD COLUMN delivered INTEGER CHECK (delivered IN (0, 1))",
    "ALTER TABLE attempts ADD COLUMN address TEXT CHECK (address IS NULL OR json_valid(address))",
    # A finer word for an outcome that the older column knows as 'cleared'; SQLite cannot widen that one's CHECK in place.
    "ALTER TABLE incidents ADD COLUMN ending TEXT CHECK (ending IN ('undelivered', 'ended', 'failed'))",
    """
    CREATE TABLE stops (
        id INTEGER PRIMARY KEY,
        gateway TEXT NOT NULL,
        session TEXT NOT NULL,
        session_id TEXT,
        started_at INTEGER,
        at INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX one_stop_per_run ON stops (gateway, session, ifnull(session_id, ''), ifnull(started_at, 0))",
)

_LEDGER_4: Migration = (
    # Which run of which conversation a deed is for, whatever its gateway is called: the digest in its idempotency key.
    "ALTER TABLE attempts ADD COLUMN run TEXT",
    """
    UPDATE attempts SET run = substr(idempotency_key, 5, 20)
    WHERE idempotency_key GLOB 'ocw-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]*'
    """,
    "CREATE INDEX attempts_by_run ON attempts (run) WHERE run IS NOT NULL",
    # Where each name led when it was last watched (a digest), so that a gateway that is given another name keeps its past.
    "CREATE TABLE gateway_places (name TEXT PRIMARY KEY, place TEXT NOT NULL) STRICT, WITHOUT ROWID",
)

_LEDGER_5: Migration = (
    # A reminder is for one target; every other message is for all.
    "ALTER TABLE messages ADD COLUMN target TEXT",
    "ALTER TABLE messages ADD COLUMN step TEXT",
    "CREATE INDEX reminders_by_target ON messages (target) WHERE target IS NOT NULL",
    """
    CREATE TABLE acks (
        gateway TEXT NOT NULL,
        session TEXT NOT NULL,
        at INTEGER NOT NULL,
        until INTEGER,
        who TEXT NOT NULL,
        reason TEXT NOT NULL,
        -- What was open then: an incident, a quarantine by its beginning, or both.
        incident TEXT,
        quarantined INTEGER,
        PRIMARY KEY (gateway, session)
    ) STRICT, WITHOUT ROWID
    """,
)

_LEDGER_6: Migration = (
    # Who watches which gateways, where several replicas share them (``core.leases``). One owner alone never touches these.
    """
    CREATE TABLE shards (
        id INTEGER PRIMARY KEY,
        owner TEXT,
        epoch INTEGER NOT NULL DEFAULT 0,
        expires_at INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    f"INSERT INTO shards (id) VALUES {', '.join(f'({number})' for number in range(SHARDS + 1))}",  # noqa: S608 - numbers
    "CREATE TABLE replicas (id TEXT PRIMARY KEY, name TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    # How much each life of an owner has written, where several share a database, and which of all commits its last one was
    # (``postgres``): what one has lost no other makes good for.
    "CREATE TABLE owners (id TEXT PRIMARY KEY, commits INTEGER NOT NULL, last_commit INTEGER NOT NULL) STRICT, WITHOUT ROWID",
)

_LEDGER_7: Migration = (
    # Handoff notes, where the ledger is in PostgreSQL; beside a file they are files, and this stays empty. A table of its own, so that
    # not everybody who may read the rest may read these. No CHECK may look at the words: a server logs the row that fails it.
    """
    CREATE TABLE note_texts (
        incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        digest TEXT NOT NULL,
        words TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (incident, number, digest)
    ) STRICT, WITHOUT ROWID
    """,
)

MIGRATIONS: tuple[Migration, ...] = (_LEDGER_1, _LEDGER_2, _LEDGER_3, _LEDGER_4, _LEDGER_5, _LEDGER_6, _LEDGER_7)
"""Entry n (from 0) leads from ``user_version`` n to n + 1."""

SERIALS_PER_LEDGER = 1_000_000
"""Row ids of attempts and messages start at a multiple of this, drawn from the ledger's id: a number remembered from a
ledger that has since been lost then names nothing in the one that took its place."""


def version_of(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def is_foreign(db: sqlite3.Connection) -> bool:
    """It holds tables, and they are not ours."""
    if db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
        return False
    return int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]) > 0


def migrate(db: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Apply what is missing, in one transaction: whoever opens the ledger meanwhile sees all of it or nothing. The version
    is read again inside, so two may try at once."""
    if version_of(db) >= len(migrations):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        missing = migrations[version_of(db) :]
        for statements in missing:
            for statement in statements:
                db.execute(statement)
        if missing:
            db.execute(f"PRAGMA user_version = {len(migrations)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def name_ledger(db: sqlite3.Connection, ledger_id: str, created_at_ms: int) -> str:
    """Give a new ledger its id and the start of its serial numbers, once; returns the id it has."""
    found = db.execute("SELECT ledger_id FROM meta").fetchone()
    if found is not None:
        return str(found[0])
    db.execute("BEGIN IMMEDIATE")
    try:
        found = db.execute("SELECT ledger_id FROM meta").fetchone()
        if found is None:
            db.execute("INSERT INTO meta (only, ledger_id, created_at) VALUES (1, ?, ?)", (ledger_id, created_at_ms))
            first = int(ledger_id[:6], 16) * SERIALS_PER_LEDGER
            for table in ("attempts", "messages"):
                db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, first))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return ledger_id if found is None else str(found[0])
