"""What the daemon says of itself: a closed set of event names, each with its level, and the port they go through.

Names are part of the contract with users (dashboards, ``journalctl | jq`` lines): add, never rename. Fields every event may
carry: ``gateway``, ``session`` (the key), ``session_id``, ``incident``, ``attempt``, ``step``, ``reason``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Event(StrEnum):
    """Every line the daemon can write to its log."""

    DAEMON_STARTED = "daemon.started"
    DAEMON_STOPPING = "daemon.stopping"
    DAEMON_STOPPED = "daemon.stopped"
    CONFIG_LOADED = "config.loaded"
    CONFIG_REFUSED = "config.refused"

    GATEWAY_CONNECTED = "gateway.connected"
    GATEWAY_DISCONNECTED = "gateway.disconnected"
    GATEWAY_RESTARTED = "gateway.restarted"
    GATEWAY_UNHEALTHY = "gateway.unhealthy"
    GATEWAY_PACED = "gateway.paced"
    GATEWAY_TEXT_REPAIRED = "gateway.text_repaired"
    """An answer held text that is no Unicode (half an emoji); it was read with a replacement character in its place."""

    CYCLE_FINISHED = "cycle.finished"
    CYCLE_FAILED = "cycle.failed"

    SESSION_SUSPECT = "session.suspect"
    SESSION_STUCK = "session.stuck"
    SESSION_STOPPED = "session.stopped"
    """A person stopped what was left of a run."""
    SESSION_CLEARED = "session.cleared"
    SESSION_LONG_RUNNING = "session.long_running"
    SESSION_UNKNOWN = "session.unknown"
    SESSION_UNANSWERED = "session.unanswered"
    """A run that was watched has ended, and somebody has no answer. It is told; nothing is done."""
    SESSION_QUARANTINED = "session.quarantined"
    SESSION_RELEASED = "session.released"

    RECOVERY_HELD = "recovery.held"
    RECOVERY_STARTED = "recovery.started"
    RECOVERY_SUCCEEDED = "recovery.succeeded"
    RECOVERY_INEFFECTIVE = "recovery.ineffective"
    RECOVERY_REFUSED = "recovery.refused"
    RECOVERY_INDETERMINATE = "recovery.indeterminate"

    FLEET_BREAKER_OPENED = "fleet.breaker_opened"
    FLEET_BREAKER_CLOSED = "fleet.breaker_closed"

    OPERATOR_PAUSED = "operator.paused"
    OPERATOR_UNPAUSED = "operator.unpaused"
    OPERATOR_ACKNOWLEDGED = "operator.acknowledged"

    LEDGER_UNAVAILABLE = "ledger.unavailable"
    LEDGER_RESTORED = "ledger.restored"

    SHARES_CHANGED = "shares.changed"

    RECORDING_UNAVAILABLE = "recording.unavailable"
    RECORDING_RESTORED = "recording.restored"

    NOTIFICATION_DELIVERED = "notification.delivered"
    NOTIFICATION_FAILED = "notification.failed"
    NOTIFICATION_GIVEN_UP = "notification.given_up"
    HEARTBEAT_FAILED = "heartbeat.failed"
    HEARTBEAT_RESTORED = "heartbeat.restored"

    STATUS_PAGE_LISTENING = "status_page.listening"
    STATUS_PAGE_UNAVAILABLE = "status_page.unavailable"

    DESCRIPTORS_USED_UP = "descriptors.used_up"
    """This process can open no more sockets and files: gateways are not looked at until it can."""
    DESCRIPTORS_LEFT = "descriptors.left"

    LIBRARY_WARNING = "library.warning"
    """A library (apscheduler, websockets, uvicorn, asyncio) warned; ``logger`` says which."""
    LIBRARY_ERROR = "library.error"


class Severity(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        return {Severity.DEBUG: 10, Severity.INFO: 20, Severity.WARNING: 30, Severity.ERROR: 40}[self]


class LogFormat(StrEnum):
    """How lines of the log look."""

    AUTO = "auto"
    """Coloured text on a terminal, JSON lines everywhere else (under systemd, in a pipe, in a file)."""
    JSON = "json"
    CONSOLE = "console"


LEVELS: Mapping[Event, Severity] = {
    Event.DAEMON_STARTED: Severity.INFO,
    Event.DAEMON_STOPPING: Severity.INFO,
    Event.DAEMON_STOPPED: Severity.INFO,
    Event.CONFIG_LOADED: Severity.INFO,
    Event.CONFIG_REFUSED: Severity.ERROR,
    Event.GATEWAY_CONNECTED: Severity.INFO,
    Event.GATEWAY_DISCONNECTED: Severity.WARNING,
    Event.GATEWAY_RESTARTED: Severity.WARNING,
    Event.GATEWAY_UNHEALTHY: Severity.WARNING,
    Event.GATEWAY_PACED: Severity.INFO,
    Event.GATEWAY_TEXT_REPAIRED: Severity.INFO,
    Event.CYCLE_FINISHED: Severity.INFO,
    Event.CYCLE_FAILED: Severity.ERROR,
    Event.SESSION_SUSPECT: Severity.INFO,
    Event.SESSION_STUCK: Severity.WARNING,
    Event.SESSION_STOPPED: Severity.INFO,
    Event.SESSION_CLEARED: Severity.INFO,
    Event.SESSION_LONG_RUNNING: Severity.INFO,
    Event.SESSION_UNKNOWN: Severity.INFO,
    Event.SESSION_UNANSWERED: Severity.WARNING,
    Event.SESSION_QUARANTINED: Severity.ERROR,
    Event.SESSION_RELEASED: Severity.INFO,
    Event.RECOVERY_HELD: Severity.INFO,
    Event.RECOVERY_STARTED: Severity.INFO,
    Event.RECOVERY_SUCCEEDED: Severity.INFO,
    Event.RECOVERY_INEFFECTIVE: Severity.WARNING,
    Event.RECOVERY_REFUSED: Severity.WARNING,
    Event.RECOVERY_INDETERMINATE: Severity.WARNING,
    Event.FLEET_BREAKER_OPENED: Severity.ERROR,
    Event.FLEET_BREAKER_CLOSED: Severity.INFO,
    Event.OPERATOR_PAUSED: Severity.WARNING,
    Event.OPERATOR_UNPAUSED: Severity.INFO,
    Event.OPERATOR_ACKNOWLEDGED: Severity.INFO,
    Event.LEDGER_UNAVAILABLE: Severity.ERROR,
    Event.LEDGER_RESTORED: Severity.INFO,
    Event.SHARES_CHANGED: Severity.INFO,
    Event.RECORDING_UNAVAILABLE: Severity.WARNING,
    Event.RECORDING_RESTORED: Severity.INFO,
    Event.NOTIFICATION_DELIVERED: Severity.INFO,
    Event.NOTIFICATION_FAILED: Severity.WARNING,
    Event.NOTIFICATION_GIVEN_UP: Severity.ERROR,
    Event.HEARTBEAT_FAILED: Severity.WARNING,
    Event.HEARTBEAT_RESTORED: Severity.INFO,
    Event.STATUS_PAGE_LISTENING: Severity.INFO,
    Event.STATUS_PAGE_UNAVAILABLE: Severity.WARNING,
    Event.DESCRIPTORS_USED_UP: Severity.ERROR,
    Event.DESCRIPTORS_LEFT: Severity.INFO,
    Event.LIBRARY_WARNING: Severity.WARNING,
    Event.LIBRARY_ERROR: Severity.ERROR,
}
"""``warning``: look when you have time. ``error``: nothing more happens here until somebody does something."""


class Delivery(StrEnum):
    """How a try to deliver a message ended; a closed set: it labels the metric ``notifications_total``."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GIVEN_UP = "given_up"


class Log(Protocol):
    """Where events go. Writing one never raises and never waits."""

    def event(self, name: Event, /, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event as it was logged."""

    name: Event
    fields: Mapping[str, object]


@dataclass(slots=True)
class MemoryLog:
    """A ``Log`` that keeps what it is told, for tests and for ``replay``."""

    lines: list[Recorded] = field(default_factory=list)

    def event(self, name: Event, /, **fields: object) -> None:
        self.lines.append(Recorded(name, fields))

    @property
    def names(self) -> list[Event]:
        return [line.name for line in self.lines]

    def of(self, name: Event) -> list[Mapping[str, object]]:
        """The fields of every line with this name, in order."""
        return [line.fields for line in self.lines if line.name is name]
