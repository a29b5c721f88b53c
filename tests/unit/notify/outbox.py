"""A small outbox in memory: as much of the ``Ledger`` port as delivery needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from tests.fakes.clock import START
from watchdog.service.errors import LedgerUnavailable
from watchdog.service.ledger import Ledger, Message, MessageKind, OwedMessage


@dataclass
class Outbox:
    """What is owed, per message and target, as the real ledger keeps it."""

    owed: dict[int, OwedMessage] = field(default_factory=dict)
    delivered: set[tuple[int, str]] = field(default_factory=set)
    failed: dict[tuple[int, str], OwedMessage] = field(default_factory=dict)
    is_readable: bool = True
    is_writable: bool = True

    @property
    def ledger(self) -> Ledger:
        return cast(Ledger, self)

    def put(self, message: Message, at: datetime = START.wall) -> int:
        number = len(self.owed) + 1
        self.owed[number] = OwedMessage(number, message, at)
        return number

    def due_messages(self, target: str, at: datetime, limit: int = 20) -> Sequence[OwedMessage]:
        if not self.is_readable:
            raise LedgerUnavailable("The ledger cannot be read.")
        due = []
        for number, fresh in self.owed.items():
            item = self.failed.get((number, target), fresh)
            is_given_up = item.tries > 0 and item.next_try_at is None
            is_early = item.next_try_at is not None and at < item.next_try_at
            if (number, target) not in self.delivered and not is_given_up and not is_early:
                due.append(item)
        return due[:limit]

    def mark_delivered(self, message_id: int, target: str, at: datetime) -> None:
        self._write()
        self.delivered.add((message_id, target))

    def mark_failed(self, message_id: int, target: str, at: datetime, error: str, next_try_at: datetime | None) -> None:
        self._write()
        item = self.failed.get((message_id, target), self.owed[message_id])
        self.failed[message_id, target] = replace(item, tries=item.tries + 1, next_try_at=next_try_at, last_error=error)

    def _write(self) -> None:
        if not self.is_writable:
            raise LedgerUnavailable("The ledger cannot be written.")


def told(number: int, kind: MessageKind = MessageKind.STUCK) -> Message:
    return Message(
        kind, "home", f"Title {number}", f"Body {number}", f"key-{number}", f"agent:main:{number}", f"i-{number}"
    )
