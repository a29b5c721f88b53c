"""What the service needs of the outside world, as small Protocols. Adapters implement them; fakes pass the same tests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from watchdog.core.model import (
    GatewayFacts,
    LockSight,
    Look,
    Moment,
    ReplyAddress,
    Session,
    Snapshot,
)
from watchdog.core.policy import Step
from watchdog.service.errors import GatewayError
from watchdog.service.ledger import Ledger


class Clock(Protocol):
    """Both clocks, and the only way to wait."""

    def now(self) -> Moment: ...

    async def sleep(self, seconds: float) -> None: ...


class PassRecorder(Protocol):
    """Notes what a pass saw, for ``replay``; the gateway and the log it reads along are given to the watch by whoever
    records."""

    def begin(self, now: Moment, ledger: Ledger) -> None:
        """A pass begins, and ``ledger`` is what it will decide on. Called again when it starts over."""
        ...

    def end(self, *, is_writable: bool) -> None:
        """The pass has ended; ``is_writable``: its ledger could be written."""
        ...


class Meter(Protocol):
    """Counts what the cycle did. Labels come from closed sets and configured names, never session keys."""

    def polled(self, gateway: str, seconds: float, size_bytes: int) -> None: ...

    def gateway_up(self, gateway: str, *, is_up: bool) -> None: ...

    def sessions(self, gateway: str, verdicts: dict[str, int]) -> None: ...

    def cycle_completed(self, at: datetime) -> None: ...

    def incidents_open(self, gateway: str, count: int) -> None: ...

    def quarantined(self, gateway: str, count: int) -> None: ...

    def attempt(self, gateway: str, step: str, state: str) -> None: ...

    def held(self, gateway: str, blocker: str) -> None: ...

    def detection_delay(self, seconds: float) -> None: ...

    def notification(self, state: str) -> None: ...


# ---------------------------------------------------------------- the gateway


@dataclass(frozen=True, slots=True)
class Wants:
    """What to look up about one suspect beyond its row."""

    tail: bool = False
    lock: bool = False
    preflight: bool = False
    abort_probe: bool = False
    people: bool = False
    """Who may do what, of everybody who asked in ``tail``, and which accounts of chat apps there are."""
    pending: bool = False
    """Pending approvals and questions, and of a cron session the scheduler's log."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One step on one session, ready to be carried out. ``message`` holds a person's words: never logged."""

    step: Step
    session: Session
    idempotency_key: str
    message: str | None = None
    notice: str | None = None
    """What the requester reads in their chat after a step that loses context."""
    route: ReplyAddress | None = None
    """The requester's own chat, proven; None: nothing is delivered."""
    is_as_owner: bool = False
    """The turn goes over a connection with admin: its requester is the gateway's owner."""
    send_by: Moment | None = None
    """Not sent any more once either clock is past it. None: whenever it can be."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the gateway answered to a deed. Proves nothing about recovery."""

    run_id: str | None
    said: str
    delivered: bool | None = None
    """Whether the chat app took a literal message; None: it was none, or the gateway does not say."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The end of a connection that we had not ended ourselves."""

    error: GatewayError
    at: Moment


class Gateway(Protocol):
    """One gateway, connected or not. Every method raises ``errors.GatewayError`` leaves and nothing else."""

    @property
    def name(self) -> str: ...

    async def connect(self) -> GatewayFacts:
        """Connect if not connected; return who answered. Idempotent while the connection lives."""
        ...

    def pop_disconnect(self) -> Disconnect | None:
        """Why and when the last connection ended, said once; None when it has not ended since last asked."""
        ...

    async def list_sessions(self, always_read: Collection[str] | None = None, *, sweep: bool = False) -> Snapshot:
        """Every row.

        ``always_read`` None: the whole list, at once. Else a poll of a watch: rows that cannot have changed since its last
        poll may be carried over (``Snapshot.carried``), never one that runs or whose key is in ``always_read``; with ``sweep``
        the whole list all the same, in pages with pauses between them.
        """
        ...

    async def look(self, session: Session, wants: Wants) -> Look:
        """Look up what ``wants`` names; what cannot be had is None in the Look and named in its ``problems``."""
        ...

    def step_problem(self, step: Step, session: Session) -> str | None:
        """Why this step cannot work on this session here (version, method, address), or None."""
        ...

    def want(self, steps: frozenset[Step]) -> None:
        """Deeds may be these from now on; whether they are granted is found out with the next ``connect``."""
        ...

    def missing_scope(self, step: Step) -> str | None:
        """The sentence to say when the configured credentials lack what ``step`` needs on this version, or None."""
        ...

    def may_act_as_admin(self) -> bool:
        """The configured steps have a connection with admin anyway, and it is granted."""
        ...

    async def prepare(
        self, step: Step, session: Session, *, route: ReplyAddress | None = None, is_as_owner: bool = False
    ) -> None:
        """Sign in for the step now, so that nothing but the deed itself lies between the last look and the sending.
        Raises ``ChannelDown`` when the chat app of ``route`` cannot be reached now."""
        ...

    async def perform(self, deed: Deed) -> Receipt:
        """Send the deed once. ``RequestRefused``, ``SentTooLate``: surely not done. ``OutcomeUnknown``: perhaps done."""
        ...

    async def delivered(self, run_id: str) -> bool | None:
        """Did the answer of this run reach the person's chat app? None where the gateway does not say (2026.3.24)."""
        ...

    async def health_problem(self) -> str | None:
        """Why this gateway should not be trusted now (slow, event loop degraded), or None."""
        ...

    async def close(self) -> None: ...


class Host(Protocol):
    """The gateway's own machine, when that is ours."""

    def lock_sight(
        self, state_dir: str, agent_id: str | None, session_id: str, *, gateway_pid: int | None
    ) -> LockSight: ...

    def has_spooled(self, state_dir: str, address: ReplyAddress) -> bool:
        """The chat app's spool holds a message of this chat that was not handled yet (2026.5.18, Telegram)."""
        ...

    def transcript_end(self, state_dir: str, agent_id: str | None, session_id: str) -> bytes | None:
        """The last lines of the session's transcript file; None: there is not exactly one, or it cannot be read."""
        ...

    def transcript_written_at(self, state_dir: str, agent_id: str | None, session_id: str) -> datetime | None:
        """When the session's transcript was last written; None: no file of it was seen."""
        ...
