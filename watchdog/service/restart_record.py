"""Restarts of gateways as they are written down: the record, and where it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from watchdog.core.policy import Budget
from watchdog.service.ledger import Message

WINDOW = timedelta(hours=6)


class RestartOutcome(StrEnum):
    WORKED = "worked"
    DID_NOT_HELP = "did_not_help"
    FAILED = "failed"
    """The supervisor, or the command, refused."""


@dataclass(frozen=True, slots=True)
class Restart:
    """One restart as the ledger has it. ``outcome`` None: still waited for. ``is_over``: the gateway answered since."""

    id: int
    gateway: str
    at: datetime
    how: str
    outcome: RestartOutcome | None = None
    is_over: bool = False


class RestartRecord(Protocol):
    """Where restarts are kept durably. Raises ``errors.LedgerError`` leaves and nothing else."""

    def restarts(self, gateway: str, since: datetime) -> Sequence[Restart]:
        """Those at or after ``since``, and those of an outage that is not over; oldest first."""
        ...

    def begin(self, gateway: str, at: datetime, how: str, limit: Budget) -> Restart | None:
        """Write it down and count it, by compare-and-set; None when the limit is reached or one is waited for."""
        ...

    def settle(
        self, restart_id: int, outcome: RestartOutcome, at: datetime, messages: Sequence[Message] = ()
    ) -> bool: ...

    def close_outage(self, gateway: str, at: datetime) -> int:
        """The gateway answers: every restart so far belongs to an outage that is over."""
        ...
