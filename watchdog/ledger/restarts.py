"""Restarts of whole gateways, as the ledger keeps them: counted before they are made, settled by a later look.

Invariants: a restart is written down only while fewer than ``limit`` lie within the window and none is waited for (the
guard stands in the insert); an outcome is written once. Limit: a clock set forward lets the window end early; who
restarts also counts on a clock that nobody sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from watchdog.core.policy import Budget
from watchdog.ledger import outbox
from watchdog.ledger.rows import from_ms, to_ms
from watchdog.ledger.store import Store, Transaction
from watchdog.service.ledger import Message
from watchdog.service.restart_record import WINDOW, Restart, RestartOutcome


class LedgerRestarts:
    """``service.restart_record.RestartRecord`` over the ledger's store."""

    def __init__(self, store: Store) -> None:
        self._file = store

    def restarts(self, gateway: str, since: datetime) -> Sequence[Restart]:
        with self._file.reading() as transaction:
            return _select(transaction, gateway, since)

    def begin(self, gateway: str, at: datetime, how: str, limit: Budget) -> Restart | None:
        with self._file.writing() as transaction:
            is_new = transaction.changes_one(
                """
                INSERT INTO gateway_restarts (gateway, at, how)
                SELECT :gateway, :at, :how
                WHERE (SELECT count(*) FROM gateway_restarts WHERE gateway = :gateway AND at >= :since) < :attempts
                  AND NOT EXISTS (SELECT 1 FROM gateway_restarts WHERE gateway = :gateway AND outcome IS NULL)
                """,
                gateway=gateway,
                at=to_ms(at),
                how=how,
                since=to_ms(at - limit.per),
                attempts=limit.attempts,
            )
            return _select(transaction, gateway, at)[-1] if is_new else None

    def settle(self, restart_id: int, outcome: RestartOutcome, at: datetime, messages: Sequence[Message] = ()) -> bool:
        with self._file.writing() as transaction:
            is_settled = transaction.changes_one(
                "UPDATE gateway_restarts SET outcome = ?, settled_at = ? WHERE id = ? AND outcome IS NULL",
                outcome.value,
                to_ms(at),
                restart_id,
            )
            if is_settled:
                outbox.owe(transaction, messages, at)
        return is_settled

    def close_outage(self, gateway: str, at: datetime) -> int:
        with self._file.writing() as transaction:
            return transaction.execute(
                "UPDATE gateway_restarts SET over_at = ? WHERE gateway = ? AND over_at IS NULL", to_ms(at), gateway
            ).rowcount


def prune(transaction: Transaction, before: datetime) -> int:
    """Never one that may still count, however short the retention."""
    return transaction.execute(
        "DELETE FROM gateway_restarts WHERE over_at IS NOT NULL AND at < ?", to_ms(before - WINDOW - timedelta(hours=1))
    ).rowcount


def _select(transaction: Transaction, gateway: str, since: datetime) -> list[Restart]:
    rows = transaction.execute(
        "SELECT * FROM gateway_restarts WHERE gateway = ? AND (at >= ? OR over_at IS NULL) ORDER BY id",
        gateway,
        to_ms(since),
    )
    return [
        Restart(
            id=row["id"],
            gateway=row["gateway"],
            at=from_ms(row["at"]),
            how=row["how"],
            outcome=RestartOutcome(row["outcome"]) if row["outcome"] is not None else None,
            is_over=row["over_at"] is not None,
        )
        for row in rows
    ]
