"""What the simulated world remembers for those who check it: ground truth beside every deed.

None of this travels over the wire. A gateway row may lie; these records do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who writes in a chat app, as the chat app knows them."""

    id: str
    """Telegram ``1001``; IRC ``alice!~alice@127.0.0.1``."""
    name: str | None = None
    """What they call themselves: any text, another person's id in brackets included."""
    username: str | None = None

    @property
    def label(self) -> str:
        """``senderLabel`` of 2026.3.24 and 2026.5.18: the last bracket is the id, only the last."""
        return f"{self.name} ({self.id})" if self.name else self.id


class ChatPlace(NamedTuple):
    """Where somebody reads, the same however an address writes it. ``thread`` None: no topic, or the General one."""

    channel: str
    chat: str
    thread: int | None = None
    account: str = "default"


class GroundTruth(StrEnum):
    """What is really so with a session, whatever its row says."""

    IDLE = "idle"
    LIVE = "live"
    """A run owns it right now: streaming, silent, in a tool, waiting for a person or for its children."""
    QUEUED = "queued"
    """Its run is admitted and waits for a free lane."""
    STUCK = "stuck"
    """Its row says ``running``, nobody will ever end it, and work was lost."""
    STOPPED = "stopped"
    """Its row says ``running`` because somebody stopped the run and the gateway never wrote that down (3.24, 4.14)."""
    FINISHED = "finished"
    """Its row says ``running`` although the work was done and answered."""
    LOCKED_OUT = "locked_out"
    """The same, and somebody's next words are refused at the door."""
    RECOVERING = "recovering"
    """The gateway itself has it in its own restart recovery (2026.9.6)."""

    @property
    def has_owner(self) -> bool:
        return self in (GroundTruth.LIVE, GroundTruth.QUEUED, GroundTruth.RECOVERING)


class Cause(StrEnum):
    """How a row came to say ``running`` with nobody behind it."""

    CRASH = "crash"
    """The process ended under the run: kill -9, SIGTERM before 2026.9.x, power."""
    IN_PROCESS_RESTART = "in_process_restart"
    TIMEOUT = "timeout"
    """The run ended by its own time limit and its row was not told (3.24, 4.14)."""
    STOPPED = "stopped"
    """Somebody stopped the run and its row was not told (3.24, 4.14)."""
    LOST_WRITE = "lost_write"
    """The store was locked when the run ended (2026.9.6, ``terminal session persistence failed``)."""
    FINISHED = "finished"
    """The run ended well; only its row says otherwise."""
    ANSWERED = "answered"
    """The store was locked as the answer was appended: it is in the transcript, and the row was not told (2026.9.6)."""
    NOT_WOKEN = "not_woken"
    """It yielded to its sub-agents, and nobody woke it when they had ended (2026.9.6)."""


@dataclass(slots=True)
class Stall:
    """One stretch of a row saying ``running`` without an owner: what a watchdog is there for."""

    key: str
    cause: Cause
    since_ms: int
    request: str
    """The words the interrupted run was working on."""
    run_id: str
    session_id: str
    doing: str
    """What the run was at when it was cut: ``silent``, ``stream``, ``tool``, ..."""
    ended_ms: int | None = None
    ended_by: str | None = None
    """``turn:<run id>``, ``reset``, ``new``, ``gateway`` or ``person:<run id>``."""
    person: Person | None = None
    """Who had asked, in a chat app; None: a client, a schedule, or nobody known."""
    client: ClientInfo | None = None
    place: ChatPlace | None = None
    """Where the interrupted run would have answered; None: nowhere."""
    tools: frozenset[str] = frozenset()
    """What the interrupted run was offered."""
    stopped_ms: int | None = None
    """A person typed ``/stop`` after the run had died."""

    @property
    def is_open(self) -> bool:
        return self.ended_ms is None

    @property
    def truth(self) -> GroundTruth:
        if self.cause in (Cause.FINISHED, Cause.ANSWERED):
            return GroundTruth.FINISHED
        return GroundTruth.STOPPED if self.cause is Cause.STOPPED or self.stopped_ms is not None else GroundTruth.STUCK


@dataclass(frozen=True, slots=True)
class RefusedDeed:
    """What a gateway says instead of doing. ``retryable`` None: the wire does not carry the flag."""

    code: str
    message: str
    retryable: bool | None = None
    retry_after_ms: int | None = None
    details: Mapping[str, str] | None = None

    @property
    def error(self) -> dict[str, object]:
        """As it stands in the frame; what is None is left out."""
        flags = {"retryable": self.retryable, "retryAfterMs": self.retry_after_ms, "details": self.details}
        return {"code": self.code, "message": self.message} | {k: v for k, v in flags.items() if v is not None}


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Who asked: what a connection introduced itself as."""

    device_id: str | None = None
    client_id: str = "gateway-client"
    mode: str = "backend"
    scopes: frozenset[str] = frozenset()
    display_name: str | None = None

    @property
    def is_admin(self) -> bool:
        return "operator.admin" in self.scopes

    @property
    def label(self) -> str:
        """``senderLabel`` of what it sent: ``lab (gateway-client)``."""
        return f"{self.display_name} ({self.client_id})" if self.display_name else self.client_id


@dataclass(slots=True)
class ClientEffect:
    """One effect a client caused on a session (or tried to), with the truth of that instant."""

    number: int
    at_ms: int
    method: str
    key: str
    client: ClientInfo
    truth: GroundTruth
    """How it was with the session the moment the request arrived."""
    text: str = ""
    run_id: str | None = None
    session_id: str | None = None
    owner_run: str | None = None
    """The run that owned the session at that instant."""
    killed_run: str | None = None
    """The live run this deed ended: the worst thing a watchdog can do."""
    effect: str = ""
    """What it did, in plain words."""
    changed: bool = True
    """False: it came to nothing (refused, or an abort that found no run), and no session noticed."""

    def came_to_nothing(self, effect: str) -> None:
        """Note that nothing happened: a refusal, or a probe."""
        self.effect, self.changed = effect, False

    @property
    def hit_an_owner(self) -> bool:
        """Somebody's live (or waiting) run felt it."""
        return self.changed and self.truth.has_owner

    @property
    def is_wrong(self) -> bool:
        """It touched a session nobody should have touched."""
        return self.changed and (self.truth.has_owner or self.truth in (GroundTruth.STOPPED, GroundTruth.FINISHED))


@dataclass(frozen=True, slots=True)
class Heard:
    """One message that reached a person in their chat app."""

    at_ms: int
    channel: str
    to: str
    text: str
    key: str | None = None
    run_id: str | None = None
    via: str = "reply"
    """``reply`` (answer to the person's own message), ``deliver`` (a client's turn with ``deliver: true``),
    ``recovery`` (the gateway's own restart recovery), ``send`` (the ``send`` method), ``notice`` (gateway's own words)."""
    place: ChatPlace | None = None
    """Where it was really read, topic and bot included."""
    client: ClientInfo | None = None
    """Who had it said, of a literal ``send``; ``run_id`` is its idempotency key then."""


class Answered(NamedTuple):
    """A run came to an answer. ``is_delivered``: it reached the requester's chat; None: it was not meant to."""

    at_ms: int
    key: str
    run_id: str
    is_delivered: bool | None


class BrokenRecovery(NamedTuple):
    """The gateway's own recovery could not take up a row, because a client's words lay there."""

    at_ms: int
    key: str
    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spoken:
    """Words that somebody typed: in a chat app, or (``place`` None) in the browser."""

    at_ms: int
    key: str
    text: str
    person: Person | None
    place: ChatPlace | None
    run_id: str


@dataclass(frozen=True, slots=True)
class PersonStop:
    """A person's ``/stop`` in a chat app."""

    at_ms: int
    key: str
    person: Person
    run_id: str | None
    """The run it ended, or the dead one whose row still said ``running``; None: there was neither."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call to the model provider: what the model could see of the person's words."""

    at_ms: int
    key: str
    run_id: str
    said: tuple[str, ...]
    """The user texts since the last finished answer, oldest first."""
    tool_results: int = 0
    person: Person | None = None
    """In whose name: the person, or else the client; neither: a schedule, a parent, the gateway itself."""
    client: ClientInfo | None = None
    tools: frozenset[str] = frozenset()
    """What the model was offered."""


@dataclass(frozen=True, slots=True)
class PendingInput:
    """A pending approval or question: a person has to answer before the run goes on."""

    id: str
    key: str
    run_id: str
    text: str
    created_ms: int
    expires_ms: int
    agent_id: str = "main"


@dataclass(frozen=True, slots=True)
class CronRun:
    """One line of a cron entry's run log."""

    at_ms: int
    entry_id: str
    key: str
    run_id: str
    status: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A session changed: what ``sessions.changed`` and ``agent`` events are made of."""

    key: str
    reason: str | None = None
    phase: str | None = None
    run_id: str | None = None
    stream: str | None = None
    """Set for ``agent`` events: ``lifecycle``, ``assistant``, ``tool``."""
    is_tracked: bool = True
    """The run has a registered controller; 5.18 sends ``agent`` events for no other."""
    data: dict[str, object] = field(default_factory=dict)
