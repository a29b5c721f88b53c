"""The outbox: messages owed to people, and how their delivery to each target went.

Invariant: a message once committed is due at every target known then, until that target confirmed it or it was given up;
being marked twice changes nothing. Limit: at least once, not exactly once; a crash between delivery and mark delivers
again. A target met for the first time is owed the messages of the last day only, not the whole past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from watchdog.ledger.errors import LedgerRefused
from watchdog.ledger.rows import from_ms, owed_of, to_ms, to_ms_or_none
from watchdog.ledger.store import Operations, Transaction
from watchdog.service.errors import LedgerUnavailable
from watchdog.service.ledger import GIVE_UP_AFTER, Message, MessageKind, OwedMessage, ReminderKey

LONGEST_ERROR = 300

_OWED_COLUMNS = """
    m.id, m.kind, m.gateway, m.title, m.body, m.dedupe_key, m.session, m.incident, m.target AS only_for, m.step, m.created_at,
    d.tries, d.next_try_at, d.last_error
"""


def owe(transaction: Transaction, messages: Sequence[Message], at: datetime) -> int:
    """Write them; a dedupe key already known is left out. Returns how many were new."""
    return sum(
        transaction.execute(
            """
            INSERT INTO messages (dedupe_key, kind, gateway, title, body, session, incident, target, step, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (dedupe_key) DO NOTHING
            """,
            message.dedupe_key,
            message.kind,
            message.gateway,
            message.title,
            message.body,
            message.session,
            message.incident,
            message.target,
            message.step,
            to_ms(at),
        ).rowcount
        for message in messages
    )


def prune(transaction: Transaction, before: datetime) -> int:
    """Drop messages of before that nobody waits for. Those of incidents still kept stay: their keys prevent repeats."""
    return transaction.execute(
        """
        DELETE FROM messages
        WHERE created_at < ?
          AND (incident IS NULL OR incident NOT IN (SELECT id FROM incidents))
          AND (created_at < ? OR NOT EXISTS (
              SELECT 1 FROM targets t LEFT JOIN deliveries d ON d.message = messages.id AND d.target = t.name
              WHERE t.owed_since <= messages.created_at AND coalesce(messages.target, t.name) = t.name AND d.delivered_at IS NULL AND d.given_up_at IS NULL))
        """,
        to_ms(before),
        to_ms(before - GIVE_UP_AFTER),
    ).rowcount


class OutboxOperations(Operations):
    """``service.ledger.OutboxLedger``."""

    def owe(self, messages: Sequence[Message], at: datetime) -> int:
        with self._file.writing() as transaction:
            return owe(transaction, messages, at)

    def told_away(self, gateway: str) -> datetime | None:
        def ask() -> dict[str, datetime]:
            with self._file.reading(is_single=True) as transaction:
                rows = transaction.execute(
                    "SELECT gateway, dedupe_key FROM messages WHERE kind IN (?, ?) ORDER BY id",
                    MessageKind.GATEWAY_DOWN,
                    MessageKind.GATEWAY_UP,
                ).fetchall()
            away: dict[str, datetime] = {}
            for row in rows:
                what = row["dedupe_key"].removeprefix(f"gateway:{row['gateway']}:")
                if what.startswith("down:"):
                    away[row["gateway"]] = datetime.fromisoformat(what.removeprefix("down:"))
                elif what.startswith("up:"):
                    away.pop(row["gateway"], None)
            return away

        return self._lately("told away", ask).get(gateway)

    def due_messages(self, target: str, at: datetime, limit: int = 20) -> Sequence[OwedMessage]:
        """A target asked for the first time is written down; on a ledger that cannot be written it gets the last day's."""
        with self._file.reading(is_single=True) as transaction:
            row = transaction.one("SELECT owed_since FROM targets WHERE name = ?", target)
        since = self._meet(target, at) if row is None else int(row[0])
        with self._file.reading(is_single=True) as transaction:
            rows = transaction.execute(
                f"""
                SELECT {_OWED_COLUMNS}
                FROM messages m LEFT JOIN deliveries d ON d.message = m.id AND d.target = ?
                WHERE m.created_at >= ? AND coalesce(m.target, ?) = ? AND d.delivered_at IS NULL AND d.given_up_at IS NULL
                  AND (d.next_try_at IS NULL OR d.next_try_at <= ?)
                ORDER BY m.id LIMIT ?
                """,  # noqa: S608 - the columns are ours
                target,
                since,
                target,
                target,
                to_ms(at),
                limit,
            )
            return [owed_of(row) for row in rows]

    def _meet(self, target: str, at: datetime) -> int:
        """Write down a target asked for the first time; since when (epoch ms) messages are owed to it."""
        try:
            with self._file.writing() as transaction:
                transaction.execute(
                    "INSERT INTO targets (name, owed_since) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
                    target,
                    to_ms(at - GIVE_UP_AFTER),
                )
        except (LedgerUnavailable, LedgerRefused):
            pass  # full, or opened read-only: asked again next time
        return to_ms(at - GIVE_UP_AFTER)

    def mark_delivered(self, message_id: int, target: str, at: datetime) -> None:
        with self._file.writing() as transaction:
            transaction.execute(
                """
                INSERT INTO deliveries (message, target, tries, last_tried_at, delivered_at)
                SELECT id, ?, 1, ?, ? FROM messages WHERE id = ?
                ON CONFLICT (message, target) DO UPDATE SET
                    tries = deliveries.tries + 1, last_tried_at = excluded.last_tried_at, delivered_at = excluded.delivered_at,
                    next_try_at = NULL, given_up_at = NULL
                WHERE deliveries.delivered_at IS NULL
                """,
                target,
                to_ms(at),
                to_ms(at),
                message_id,
            )

    def mark_failed(self, message_id: int, target: str, at: datetime, error: str, next_try_at: datetime | None) -> None:
        """Never takes back a delivery."""
        with self._file.writing() as transaction:
            transaction.execute(
                """
                INSERT INTO deliveries (message, target, tries, last_tried_at, next_try_at, last_error, given_up_at)
                SELECT id, ?, 1, ?, ?, ?, ? FROM messages WHERE id = ?
                ON CONFLICT (message, target) DO UPDATE SET
                    tries = deliveries.tries + 1, last_tried_at = excluded.last_tried_at, next_try_at = excluded.next_try_at,
                    last_error = excluded.last_error, given_up_at = excluded.given_up_at
                WHERE deliveries.delivered_at IS NULL
                """,
                target,
                to_ms(at),
                to_ms_or_none(next_try_at),
                error[:LONGEST_ERROR],
                to_ms(at) if next_try_at is None else None,
                message_id,
            )

    def reminded(self, target: str) -> Mapping[ReminderKey, datetime]:
        with self._file.reading(is_single=True) as transaction:
            rows = transaction.execute(
                """
                SELECT kind, coalesce(incident, gateway || ' ' || session) AS matter, created_at FROM messages
                WHERE target = ? ORDER BY id
                """,
                target,
            )
            return {(MessageKind(row["kind"]), row["matter"]): from_ms(row["created_at"]) for row in rows}

    def undelivered(self, at: datetime | None = None) -> Sequence[tuple[str, OwedMessage]]:
        """``at``: from when "the last day" is counted back; the wall clock if not given."""
        with self._file.reading() as transaction:
            at = at or self._file.wall_now()
            rows = transaction.execute(
                f"""
                SELECT d.target, {_OWED_COLUMNS}
                FROM deliveries d JOIN messages m ON m.id = d.message
                WHERE d.delivered_at IS NULL AND (d.given_up_at IS NULL OR d.given_up_at >= ?)
                ORDER BY m.id, d.target
                """,  # noqa: S608 - the columns are ours
                to_ms(at - GIVE_UP_AFTER),
            )
            return [(row["target"], owed_of(row)) for row in rows]
