"""One recorded pass, and everything in it, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchdog.core.model import GatewayFacts, Look, MalformedRow, Moment, Session
from watchdog.core.policy import Step
from watchdog.core.recovery import Attempt
from watchdog.service import errors
from watchdog.service.ledger import Outcome
from watchdog.service.ports import Disconnect, Wants


@dataclass(frozen=True, slots=True)
class Listing:
    """One answer to ``sessions.list``, or the error that came instead."""

    asked_at: Moment
    answered_at: Moment
    sessions: tuple[Session, ...] = ()
    is_complete: bool = True
    malformed: tuple[MalformedRow, ...] = ()
    has_stepped: bool = False
    is_sweep: bool = True
    slowest: timedelta | None = None
    error: errors.GatewayError | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    wants: Wants
    look: Look | None
    error: errors.GatewayError | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A sign-in for a deed, or a deed."""

    step: Step
    session: str
    run_id: str | None = None
    error: errors.GatewayError | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One event of the daemon's log."""

    name: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Past:
    """An incident from before the recording, with what was tried."""

    id: str
    session: str
    session_id: str | None
    opened_at: datetime
    closed_at: datetime | None
    reason: str
    outcome: Outcome
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class PauseSpan:
    since: datetime
    until: datetime | None
    gateway: str | None
    session: str | None


@dataclass(frozen=True, slots=True)
class OperatorSwitches:
    """What an operator had decided when the pass began."""

    lost_at: datetime | None = None
    pauses: tuple[PauseSpan, ...] = ()
    quarantined: tuple[tuple[str, str | None, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """One recorded pass, everything in it."""

    life: str
    began: Moment
    facts: GatewayFacts | None
    connected_at: Moment | None
    """A new connection was made in this pass; None: the one from before."""
    refused: errors.GatewayError | None
    loss: Disconnect | None
    lists: tuple[Listing, ...]
    looks: Mapping[str, tuple[Looked, ...]]
    health: tuple[str | errors.GatewayError | None, ...]
    signed_in: tuple[Done, ...]
    deeds: tuple[Done, ...]
    delivered: Mapping[str, bool | None]
    scopes: Mapping[Step, str | None]
    operator: OperatorSwitches
    is_ledger_writable: bool
    past: tuple[Past, ...]
    said: tuple[Said, ...]
