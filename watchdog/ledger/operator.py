"""What operators and endings wrote: quarantines, releases, pauses, acknowledgements, and the audit trail of all.

Invariant: one active quarantine per (gateway, session); a release and an end of a pause leave their line in the audit
trail in the same transaction. Limit: the trail names who the caller says it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from watchdog.core.printable import shown_key
from watchdog.ledger import incidents, outbox
from watchdog.ledger.rows import ack_of, from_ms, from_ms_or_none, pause_of, quarantine_of, to_ms, to_ms_or_none
from watchdog.ledger.store import Operations, Transaction
from watchdog.service.ledger import Ack, AuditLine, Message, Outcome, Pause, Quarantine


def audit(transaction: Transaction, at: datetime, who: str, what: str, detail: str) -> None:
    transaction.execute("INSERT INTO audit (at, who, what, detail) VALUES (?, ?, ?, ?)", to_ms(at), who, what, detail)


def _quarantines(transaction: Transaction, gateway: str | None, session: str | None = None) -> list[Quarantine]:
    rows = transaction.execute(
        """
        SELECT gateway, session, session_id, since, reason, incident FROM quarantines
        WHERE released_at IS NULL
          AND (:gateway IS NULL OR gateway = :gateway) AND (:session IS NULL OR session = :session)
        ORDER BY id
        """,
        gateway=gateway,
        session=session,
    )
    return [quarantine_of(row) for row in rows]


def _pauses(transaction: Transaction, at: datetime) -> list[Pause]:
    """In force at ``at``. One that begins later than ``at`` is too: only a clock set back makes such, and it holds."""
    rows = transaction.execute(
        "SELECT * FROM pauses WHERE ended_at IS NULL AND (until IS NULL OR until > ?) ORDER BY id", to_ms(at)
    )
    return [pause_of(row) for row in rows]


def prune(transaction: Transaction, before: datetime) -> int:
    """Drop what is over: ended or expired pauses, released quarantines, old lines of the trail."""
    return sum(
        transaction.execute(sql, before=to_ms(before)).rowcount
        for sql in (
            "DELETE FROM pauses WHERE ended_at < :before OR until < :before",
            "DELETE FROM quarantines WHERE released_at < :before",
            "DELETE FROM audit WHERE at < :before",
            """
            DELETE FROM acks WHERE at < :before
              AND NOT EXISTS (SELECT 1 FROM incidents i
                              WHERE i.closed_at IS NULL AND (i.gateway, i.session) = (acks.gateway, acks.session))
              AND NOT EXISTS (SELECT 1 FROM quarantines q
                              WHERE q.released_at IS NULL AND (q.gateway, q.session) = (acks.gateway, acks.session))
            """,
        )
    )


def _scope(gateway: str | None, session: str | None) -> str:
    if gateway is None and session is None:
        return "everything"
    return " ".join(
        part
        for part in (
            None if gateway is None else f"gateway {gateway}",
            None if session is None else f"session {shown_key(session)}",
        )
        if part is not None
    )


def _with(scope: str, why: str) -> str:
    return f"{scope}: {why}" if why else scope


class HoldOperations(Operations):
    """``service.ledger.HoldLedger``."""

    def quarantine(self, entry: Quarantine, messages: Sequence[Message] = ()) -> bool:
        with self._file.writing() as transaction:
            is_new = transaction.changes_one(
                """
                INSERT INTO quarantines (gateway, session, session_id, since, reason, incident) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (gateway, session) WHERE released_at IS NULL DO NOTHING
                """,
                entry.gateway,
                entry.session,
                entry.session_id,
                to_ms(entry.since),
                entry.reason,
                entry.incident,
            )
            if entry.incident is not None:
                incidents.close(transaction, entry.incident, Outcome.QUARANTINED, entry.since)
            if is_new:
                outbox.owe(transaction, messages, entry.since)
        return is_new

    def release(self, gateway: str | None, session: str, at: datetime, *, who: str, why: str) -> Sequence[Quarantine]:
        """Leaves a line in the audit trail. The forgiven charges count for the gateway's budget no longer either."""
        with self._file.writing() as transaction:
            lifted = _quarantines(transaction, gateway, session)
            transaction.execute(
                """
                UPDATE quarantines SET released_at = :at, released_by = :who, released_why = :why
                WHERE released_at IS NULL AND session = :session AND (:gateway IS NULL OR gateway = :gateway)
                """,
                gateway=gateway,
                session=session,
                at=to_ms(at),
                who=who,
                why=why,
            )
            transaction.execute(
                """
                UPDATE attempts SET forgiven_at = :at
                WHERE is_charged = 1 AND forgiven_at IS NULL
                  AND incident IN (SELECT id FROM incidents WHERE session = :session
                                   AND (:gateway IS NULL OR gateway = :gateway))
                """,
                gateway=gateway,
                session=session,
                at=to_ms(at),
            )
            audit(transaction, at, who, "release", _with(_scope(gateway, session), why))
            return lifted

    def quarantines(self, gateway: str | None = None) -> Sequence[Quarantine]:
        if gateway is None:
            return self._file.remembered(("quarantines", None), lambda transaction: _quarantines(transaction, None))
        return self._of_gateway("quarantines", gateway, _quarantines, lambda one: one.gateway, is_single=True)

    def pause(
        self,
        *,
        at: datetime,
        until: datetime | None,
        gateway: str | None,
        session: str | None,
        reason: str,
        who: str,
    ) -> Pause:
        with self._file.writing() as transaction:
            inserted = transaction.inserted(
                "INSERT INTO pauses (since, until, gateway, session, reason, who) VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
                to_ms(at),
                to_ms_or_none(until),
                gateway,
                session,
                reason,
                who,
            )
            audit(transaction, at, who, "pause", _with(_scope(gateway, session), reason))
            return pause_of(inserted)

    def unpause(
        self, *, at: datetime, gateway: str | None, session: str | None, who: str, why: str = ""
    ) -> Sequence[Pause]:
        with self._file.writing() as transaction:
            ended = [
                one
                for one in _pauses(transaction, at)
                if (gateway is None and session is None) or (one.gateway, one.session) == (gateway, session)
            ]
            for one in ended:
                transaction.execute("UPDATE pauses SET ended_at = ?, ended_by = ? WHERE id = ?", to_ms(at), who, one.id)
                audit(transaction, at, who, "unpause", _with(_scope(one.gateway, one.session), why))
            return ended

    def pauses(self, at: datetime) -> Sequence[Pause]:
        def ask() -> Sequence[Pause]:
            with self._file.reading(is_single=True) as transaction:
                return _pauses(transaction, at)

        return [one for one in self._lately("pauses", ask) if one.until is None or at < one.until]

    def acknowledge(
        self, *, at: datetime, until: datetime | None, gateway: str, session: str, reason: str, who: str
    ) -> Ack | None:
        with self._file.writing() as transaction:
            incident, since = transaction.execute(
                """
                SELECT
                    (SELECT id FROM incidents WHERE gateway = :gateway AND session = :session AND closed_at IS NULL),
                    (SELECT since FROM quarantines WHERE gateway = :gateway AND session = :session AND released_at IS NULL)
                """,
                gateway=gateway,
                session=session,
            ).fetchone()
            if incident is None and since is None:
                return None
            transaction.execute(
                """
                INSERT INTO acks (gateway, session, at, until, who, reason, incident, quarantined)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (gateway, session) DO UPDATE SET
                    at = excluded.at, until = excluded.until, who = excluded.who, reason = excluded.reason,
                    incident = excluded.incident, quarantined = excluded.quarantined
                """,
                gateway,
                session,
                to_ms(at),
                to_ms_or_none(until),
                who,
                reason,
                incident,
                since,
            )
            limit = f" until {until:%Y-%m-%d %H:%MZ}" if until is not None else ""
            audit(transaction, at, who, "ack", _with(_scope(gateway, session) + limit, reason))
            return Ack(gateway, session, at, who, reason, until, incident, from_ms_or_none(since))

    def acks(self, at: datetime) -> Sequence[Ack]:
        with self._file.reading(is_single=True) as transaction:
            rows = transaction.execute(
                "SELECT * FROM acks WHERE until IS NULL OR until > ? ORDER BY gateway, session", to_ms(at)
            )
            return [ack_of(row) for row in rows]

    def audit(self, at: datetime, who: str, what: str, detail: str) -> None:
        with self._file.writing() as transaction:
            audit(transaction, at, who, what, detail)

    def audit_trail(self, *, since: datetime | None = None, limit: int = 100) -> Sequence[AuditLine]:
        """Newest first."""
        with self._file.reading(is_single=True) as transaction:
            rows = transaction.execute(
                "SELECT at, who, what, detail FROM audit WHERE at >= ? ORDER BY id DESC LIMIT ?",
                0 if since is None else to_ms(since),
                limit,
            )
            return [AuditLine(from_ms(row["at"]), row["who"], row["what"], row["detail"]) for row in rows]
