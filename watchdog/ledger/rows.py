"""Rows into values and back: instants, run identities, incidents, attempts, messages.

Invariant: instants in columns are whole milliseconds (what is finer is cut off, downwards); a ``RunIdentity`` comes back
exactly as it went in, to the microsecond, because it is compared for equality.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from watchdog.core.model import ReplyAddress, Status
from watchdog.core.policy import Step
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.core.tracking import RunIdentity
from watchdog.ledger.errors import LedgerRefused
from watchdog.service.ledger import (
    Ack,
    HandoffNote,
    Incident,
    Message,
    MessageKind,
    Outcome,
    OwedMessage,
    Pause,
    Quarantine,
    Stop,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Row(Protocol):
    """One row, by the names of its columns or by their numbers."""

    def __getitem__(self, key: int | str, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


def to_ms(at: datetime) -> int:
    """Epoch milliseconds of an aware instant."""
    if at.tzinfo is None:
        raise LedgerRefused(
            f"The ledger takes aware instants only, not {at.isoformat()}; this is a bug, please report it."
        )
    return (at - EPOCH) // _MILLISECOND


def to_ms_or_none(at: datetime | None) -> int | None:
    return None if at is None else to_ms(at)


def from_ms(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


def from_ms_or_none(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)


def identity_to_json(identity: RunIdentity | None) -> str | None:
    if identity is None:
        return None
    return json.dumps(
        {
            "session_id": identity.session_id,
            "started_at": None if identity.started_at is None else identity.started_at.isoformat(),
            "status": identity.status.value,
            "lifecycle_revision": identity.lifecycle_revision,
        }
    )


def identity_from_json(text: str | None) -> RunIdentity | None:
    if text is None:
        return None
    found = json.loads(text)
    started_at = found["started_at"]
    return RunIdentity(
        session_id=found["session_id"],
        started_at=None if started_at is None else datetime.fromisoformat(started_at),
        status=Status(found["status"]),
        lifecycle_revision=found["lifecycle_revision"],
    )


def attempt_of(row: Row) -> Attempt:
    return Attempt(
        id=row["id"],
        incident=row["incident"],
        number=row["number"],
        step=Step(row["step"]),
        state=AttemptState(row["state"]),
        idempotency_key=row["idempotency_key"],
        planned_at=from_ms(row["planned_at"]),
        started_at=from_ms_or_none(row["started_at"]),
        settled_at=from_ms_or_none(row["settled_at"]),
        reason=row["reason"],
        verified_by=row["verified_by"],
        run_id=row["run_id"],
        is_charged=bool(row["is_charged"]),
        before=identity_from_json(row["before"]),
        before_tail=row["before_tail"],
        is_retryable=bool(row["is_retryable"]),
        delivered=None if row["delivered"] is None else bool(row["delivered"]),
        address=address_from_json(row["address"]),
    )


def address_to_json(address: ReplyAddress | None) -> str | None:
    if address is None:
        return None
    said = {"channel": address.channel, "to": address.to, "account": address.account_id, "thread": address.thread_id}
    return json.dumps(said)


def address_from_json(text: str | None) -> ReplyAddress | None:
    if text is None:
        return None
    said = json.loads(text)
    return ReplyAddress(said["channel"], said["to"], said["account"], said["thread"])


def stop_of(row: Row) -> Stop:
    return Stop(
        gateway=row["gateway"],
        session=row["session"],
        session_id=row["session_id"],
        started_at=from_ms_or_none(row["started_at"]),
        at=from_ms(row["at"]),
    )


def incident_of(row: Row, attempts: Iterable[Attempt] = ()) -> Incident:
    return Incident(
        id=row["id"],
        gateway=row["gateway"],
        session=row["session"],
        session_id=row["session_id"],
        opened_at=from_ms(row["opened_at"]),
        verdict_reason=row["verdict_reason"],
        outcome=Outcome(row["ending"] or row["outcome"]),
        closed_at=from_ms_or_none(row["closed_at"]),
        attempts=tuple(attempts),
    )


def quarantine_of(row: Row) -> Quarantine:
    return Quarantine(
        gateway=row["gateway"],
        session=row["session"],
        session_id=row["session_id"],
        since=from_ms(row["since"]),
        reason=row["reason"],
        incident=row["incident"],
    )


def pause_of(row: Row) -> Pause:
    return Pause(
        id=row["id"],
        since=from_ms(row["since"]),
        reason=row["reason"],
        who=row["who"],
        until=from_ms_or_none(row["until"]),
        gateway=row["gateway"],
        session=row["session"],
    )


def ack_of(row: Row) -> Ack:
    return Ack(
        gateway=row["gateway"],
        session=row["session"],
        at=from_ms(row["at"]),
        who=row["who"],
        reason=row["reason"],
        until=from_ms_or_none(row["until"]),
        incident=row["incident"],
        quarantined=from_ms_or_none(row["quarantined"]),
    )


def owed_of(row: Row) -> OwedMessage:
    """Of ``messages`` joined with ``deliveries``, whose columns may all be NULL."""
    return OwedMessage(
        id=row["id"],
        message=Message(
            kind=MessageKind(row["kind"]),
            gateway=row["gateway"],
            title=row["title"],
            body=row["body"],
            dedupe_key=row["dedupe_key"],
            session=row["session"],
            incident=row["incident"],
            target=row["only_for"],
            step=Step(row["step"]) if row["step"] is not None else None,
            at=from_ms(row["created_at"]),
        ),
        created_at=from_ms(row["created_at"]),
        tries=row["tries"] or 0,
        next_try_at=from_ms_or_none(row["next_try_at"]),
        last_error=row["last_error"],
    )


def note_of(row: Row) -> HandoffNote:
    return HandoffNote(incident=row["incident"], path=row["path"], created_at=from_ms(row["created_at"]))
