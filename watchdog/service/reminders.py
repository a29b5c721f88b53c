"""What is still open and not acknowledged, and to which target it is said again.

Everything it rests on is in the ledger, so a restart says nothing twice: a reminder is named by the one before it, and the
outbox takes each name once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchdog.core.reminders import is_due
from watchdog.service.announcements import still_open, still_quarantined
from watchdog.service.ledger import Ack, Incident, Ledger, Message, MessageKind, Quarantine, ReminderKey

LOOK_EVERY = timedelta(seconds=60)
"""How often it is looked for, where no target wants to hear sooner."""


@dataclass(frozen=True, slots=True)
class OpenMatter:
    """An open incident, or a session in quarantine."""

    about: Incident | Quarantine

    @property
    def since(self) -> datetime:
        return self.about.opened_at if isinstance(self.about, Incident) else self.about.since

    @property
    def key(self) -> ReminderKey:
        if isinstance(self.about, Incident):
            return MessageKind.STUCK, self.about.id
        return MessageKind.QUARANTINED, self.about.incident or f"{self.about.gateway} {self.about.session}"

    def acknowledged(self, acks: Iterable[Ack]) -> Ack | None:
        """The acknowledgement of those in force that is about it."""
        return next((ack for ack in acks if ack.covers(self.about)), None)


def reminder_key(message: Message) -> ReminderKey:
    """Of what a reminder is about."""
    return message.kind, message.incident or f"{message.gateway} {message.session}"


def open_matters(ledger: Ledger) -> Iterator[OpenMatter]:
    """All there are, acknowledged or not."""
    yield from map(OpenMatter, ledger.open_incidents())
    yield from map(OpenMatter, ledger.quarantines())


def unacknowledged(ledger: Ledger, now: datetime) -> list[OpenMatter]:
    acks = ledger.acks(now)
    return [matter for matter in open_matters(ledger) if matter.acknowledged(acks) is None]  # guard: reminders: ack


def owe_reminders(
    ledger: Ledger,
    target: str,
    every: timedelta,
    kinds: Collection[MessageKind],
    matters: Iterable[OpenMatter],
    now: datetime,
) -> int:
    """Owe ``target`` what of ``matters`` is due and of ``kinds``; how many there were."""
    said = ledger.reminded(target)
    owed = []
    for matter in matters:
        said_at = said.get(matter.key, matter.since)
        if matter.key[0] in kinds and is_due(said_at, every, now):
            owed.append(_message(ledger, matter, target, every, said_at, now))
    return ledger.owe(owed, now) if owed else 0


def _message(
    ledger: Ledger, matter: OpenMatter, target: str, every: timedelta, said_at: datetime, now: datetime
) -> Message:
    about, (kind, name) = matter.about, matter.key
    key = f"remind:{target}:{kind.value}:{name}:{said_at.isoformat()}"
    if isinstance(about, Incident):
        return still_open(about, now=now, every=every, target=target, dedupe_key=key)
    incident = ledger.incident(about.incident) if about.incident is not None else None
    return still_quarantined(about, incident, now=now, every=every, target=target, dedupe_key=key)
