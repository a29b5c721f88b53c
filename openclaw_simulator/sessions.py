"""The simulated world's own things: a session, the run that owns it, and what that run is going to do.

A run follows a :class:`Turn`: a short list of :class:`ActivityStep`. ``None`` seconds means the step never ends by itself
(a provider that stays silent, a person who does not answer).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from openclaw_simulator.records import ChatPlace, ClientInfo, CronRun, GroundTruth, Person, RefusedDeed, Stall


class ConversationKind(StrEnum):
    """What kind of conversation a session is, read from its key and the row's own classification."""

    MAIN = "main"
    DIRECT = "direct"
    GROUP = "group"
    CRON = "cron"
    SUBAGENT = "subagent"
    ACP = "acp"
    HOOK = "hook"
    OTHER = "other"

    @property
    def is_background(self) -> bool:
        """Nobody is waiting in a chat for this one; its owner (scheduler, parent, editor) retries by itself."""
        return self in (ConversationKind.CRON, ConversationKind.SUBAGENT, ConversationKind.ACP)


class Activity(StrEnum):
    """What a run is at. Every one of them is healthy as long as the run lives."""

    SILENT = "silent"
    """A provider call that streams nothing (slow provider, local prefill, thinking)."""
    STREAM = "stream"
    TOOL = "tool"
    APPROVAL = "approval"
    QUESTION = "question"
    CHILDREN = "children"
    COMPACTION = "compaction"
    RETRY = "retry"
    """A failing provider call that will be tried again: ``startedAt`` is re-stamped each time."""


@dataclass(frozen=True, slots=True)
class ActivityStep:
    activity: Activity
    seconds: float | None


class Ending(StrEnum):
    """How the terminal row is written when a turn is over."""

    WRITTEN = "written"
    LOST = "lost"
    """2026.9.6 under a locked store: the row stays ``running`` for ever."""
    ANSWERED = "answered"
    """2026.9.6, the store locked as the answer is appended: that is written, and the row stays ``running``."""
    LATE = "late"
    """2026.9.6 under a briefly locked store: the row settles 10 to 40 s after the run ended."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one run will do, and how it ends."""

    steps: tuple[ActivityStep, ...]
    answer: str | None = None
    """None: the world invents one that quotes the request."""
    error: str | None = None
    """The run fails with these words instead of answering."""
    repeats: bool = False
    """Start over with the first step when the last is done: a loop without end."""
    ending: Ending = Ending.WRITTEN
    children: tuple[tuple[str, Turn], ...] = ()
    """Sub-agents the run starts and waits for: (session key, their turn)."""
    yields: bool = False
    """It ends its turn instead of waiting for them (2026.9.2 ``sessions_yield``)."""
    is_woken: bool = True
    """... and goes on once the last of them has ended."""
    is_silent: bool = False
    """Its model answers ``NO_REPLY``: it ends well, nothing need be said, and the history shows nothing of it."""


def answers(seconds: float = 4.0, text: str | None = None) -> Turn:
    """Think for a moment, then answer."""
    return Turn((ActivityStep(Activity.SILENT, seconds),), answer=text)


def streams(seconds: float, text: str | None = None) -> Turn:
    """A word a second for ``seconds``, then the answer: a slow but healthy run."""
    return Turn((ActivityStep(Activity.STREAM, seconds),), answer=text)


def stays_silent() -> Turn:
    """The provider accepted the call and never says anything."""
    return Turn((ActivityStep(Activity.SILENT, None),))


def uses_tools(count: int = 3, seconds: float = 2.0) -> Turn:
    """``count`` tool calls of ``seconds`` each, then an answer."""
    return Turn((ActivityStep(Activity.SILENT, 1.0), *[ActivityStep(Activity.TOOL, seconds)] * count))


def loops_over_tools(seconds: float = 2.0) -> Turn:
    """One tool call after the other, without end."""
    return Turn((ActivityStep(Activity.TOOL, seconds),), repeats=True)


def runs_long_tool(seconds: float | None = None) -> Turn:
    """One tool call that takes long (None: it never comes back)."""
    return Turn((ActivityStep(Activity.SILENT, 1.0), ActivityStep(Activity.TOOL, seconds)))


def waits_for_approval() -> Turn:
    return Turn((ActivityStep(Activity.SILENT, 1.0), ActivityStep(Activity.APPROVAL, None)))


def asks_question() -> Turn:
    return Turn((ActivityStep(Activity.SILENT, 1.0), ActivityStep(Activity.QUESTION, None)))


def compacts(seconds: float = 60.0) -> Turn:
    return Turn((ActivityStep(Activity.COMPACTION, seconds), ActivityStep(Activity.SILENT, 2.0)))


def retries(times: int = 8, seconds: float = 8.0, error: str = "500 provider unavailable") -> Turn:
    """A provider that answers errors: ``times`` attempts, then the run fails."""
    return Turn((ActivityStep(Activity.RETRY, seconds),) * times, error=error)


def spawns(children: tuple[tuple[str, Turn], ...], before: float = 1.0) -> Turn:
    """Start sub-agents and wait until the last of them has finished."""
    return Turn((ActivityStep(Activity.SILENT, before), ActivityStep(Activity.CHILDREN, None)), children=children)


def yields(children: tuple[tuple[str, Turn], ...], *, is_woken: bool = True) -> Turn:
    """Start sub-agents and end the turn; the gateway wakes the session when they have ended, or forgets to."""
    return replace(spawns(children), yields=True, is_woken=is_woken)


class Origin(StrEnum):
    """Who started a run. It decides which signals see it (that is most of each version's lies)."""

    WEB = "web"
    """``chat.send`` or ``sessions.send``."""
    AGENT = "agent"
    """The ``agent`` method."""
    CHANNEL = "channel"
    """A person's message in a chat app."""
    CRON = "cron"
    SUBAGENT = "subagent"
    RECOVERY = "recovery"
    """The gateway's own restart recovery (2026.9.6)."""
    HEARTBEAT = "heartbeat"
    """The gateway's own look around in somebody's session, every 30 minutes by default."""


class EntryKind(StrEnum):
    """One line of a transcript."""

    USER = "user"
    ANSWER = "answer"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    PARTIAL = "partial"
    """The text streamed until an abort, marked ``openclawAbort``."""
    ABORTED = "aborted"
    """``stopReason: aborted`` (3.24, 4.14 write it on a stop and on a time-out alike)."""
    ERROR = "error"
    FAILED_BEFORE_REPLY = "failed_before_reply"
    RESET = "reset"
    COMPACTION = "compaction"
    MIRROR = "mirror"
    """What was said in the chat app without a model (``send``): provider ``openclaw``, model ``delivery-mirror``."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a person reads: the row's ``deliveryContext``."""

    channel: str
    to: str | None = None
    account_id: str | None = "default"
    thread_id: int | str | None = None

    @property
    def reaches_a_person(self) -> bool:
        return self.channel != "webchat" and self.to is not None and not self.to.startswith("agent:")

    @property
    def place(self) -> ChatPlace:
        """The chat itself: prefixes and the two ways to write a topic do not matter."""
        chat, _, topic = (self.to or "").removeprefix(f"{self.channel}:").removeprefix("channel:").partition(":topic:")
        written = topic or ("" if self.thread_id is None else str(self.thread_id))
        thread = int(written) if written.isdigit() else None
        return ChatPlace(self.channel, chat, None if thread == 1 else thread, self.account_id or "default")


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote words that reach a session, and what ``chat.history`` may tell of it."""

    person: Person | None = None
    client: ClientInfo | None = None
    is_owner: bool = False
    """The gateway took them for its owner: ``senderIsOwner`` on 2026.9.6."""
    chat: Address | None = None
    """The chat it was written in."""
    number: int = 0
    """The chat app's number of the message."""
    context: str | None = None
    """2026.5.18: what the gateway puts in front of the words (other people's lines)."""


@dataclass(slots=True)
class Entry:
    kind: EntryKind
    text: str
    at_ms: int
    id: str
    run_id: str | None = None
    author: Author | None = None
    is_forgotten: bool = False
    """Shown in the history, never sent to the model again (3.24: "Removed orphaned user message")."""
    is_hidden: bool = False
    """Sent to the model, no longer shown in the history (5.18, once a new message has taken its place)."""
    is_internal: bool = False
    """A user turn the gateway itself wrote (restart recovery)."""


@dataclass(slots=True)
class InboundMessage:
    """Words on their way into a session: a person's, a client's, or the gateway's own."""

    text: str
    origin: Origin
    run_id: str
    at_ms: int
    route: Address | None = None
    """Where the answer will be heard; None: answered into the void (it stays in the transcript)."""
    device_id: str | None = None
    author: Author | None = None
    is_internal: bool = False
    timeout_seconds: float | None = None
    via: str = "reply"
    wants_delivery: bool = False
    """Somebody asked for a delivery, whether or not there is a route (``bestEffortDeliver``)."""
    demands_delivery: bool = False
    """``bestEffortDeliver: false``: a turn whose answer reaches nobody has failed."""
    is_restart_safe: bool = False
    """2026.9.6 ``forceRestartSafeTools``: few tools, none that changes anything."""
    turn: Turn | None = None
    """What to do, where the caller knows; None: the provider decides when it sees the words."""
    pending_id: str = ""

    @property
    def told_author(self) -> Author | None:
        """The author as the transcript keeps it: of an ``agent`` call only whether its sender is the owner."""
        author = self.author
        return Author(is_owner=author.is_owner) if author is not None and self.origin is Origin.AGENT else author


@dataclass(slots=True, eq=False)
class Run:
    """One execution that owns its session from admission to its end."""

    message: InboundMessage
    is_tracked: bool
    """A registered controller exists: ``sessions.abort`` can find it (3.24 to 5.18 look nowhere else)."""
    turn: Turn | None = None
    step: int = -1
    step_began_ms: int = 0
    started_ms: int | None = None
    """Lifecycle start; None between admission and start, and while it waits for a lane."""
    is_waiting_for_lane: bool = False
    is_over: bool = False
    restores: dict[str, Any] | None = None
    """The row as it was at admission, put back at the end (``agent`` runs of 3.24 and 4.14)."""
    children: list[str] = field(default_factory=list)
    tool_calls: int = 0
    answers_to: str = ""
    is_telling: bool = False
    """Its text is on its way to listeners."""
    tools: frozenset[str] = frozenset()
    """What its model is offered."""
    is_steered: bool = False
    """Queued words were taken in: whatever it was going to answer, it answers those instead."""

    @property
    def run_id(self) -> str:
        return self.message.run_id

    @property
    def current(self) -> ActivityStep | None:
        if self.turn is None or self.step < 0:
            return None
        return self.turn.steps[self.step % len(self.turn.steps)]

    def streamed(self, now_ms: int) -> str:
        """The text a streaming run has shown so far: a word a second."""
        step = self.current
        if step is None or step.activity is not Activity.STREAM:
            return ""
        words = (now_ms - self.step_began_ms) // 1000
        return " ".join(f"word{n}" for n in range(min(words, 400)))


ROW_FIELDS = ("status", "started_ms", "ended_ms", "runtime_ms")


@dataclass(slots=True, eq=False)
class SimSession:
    """One conversation: its stored row, its transcript, and (if any) the run that owns it."""

    key: str
    session_id: str
    kind: ConversationKind
    created_ms: int
    updated_ms: int
    agent_id: str = "main"
    status: str | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    runtime_ms: int | None = None
    aborted_last_run: bool | None = None
    last_run_id: str | None = None
    last_run_error: str | None = None
    restart_recovery_status: str | None = None
    lifecycle_revision: str = ""
    total_tokens: int | None = None
    system_sent: bool | None = None
    label: str | None = None
    is_archived: bool = False
    address: Address | None = None
    origin_label: str | None = None
    created_via: str = "operator"
    created_by: Person | None = None
    last_writer: Person | None = None
    """Who wrote last from a chat app: ``origin.from`` of a direct chat (3.24 to 9.6)."""
    last_interaction_ms: int | None = None
    """When somebody last wrote, answered or not (2026.9.6 ``lastInteractionAt``)."""
    has_stray_thread: bool = False
    """An ``agent`` call's thread was left beside another chat's address (2026.5.18, 2026.9.6)."""
    has_lost_topic: bool = False
    """A ``/stop`` took the topic out of the row's label (2026.5.18)."""
    parent_key: str | None = None
    spawned_by: str | None = None
    spawn_depth: int = 0
    transcript: list[Entry] = field(default_factory=list)
    unflushed: list[Entry] = field(default_factory=list)
    """Not yet on disk: before 2026.9.x a first turn's words are only written with its first answer."""
    messages_total: int = 0
    run: Run | None = None
    queue: deque[InboundMessage] = field(default_factory=deque)
    cancelled: list[InboundMessage] = field(default_factory=list)
    """Queued words an abort threw away (2026.9.6 keeps them in ``pendingInputs`` as ``cancelled``)."""
    interrupted: list[InboundMessage] = field(default_factory=list)
    """Queued words the process died with: 2026.9.6 shows them as ``interrupted`` and never runs them."""
    spool: list[InboundMessage] = field(default_factory=list)
    """What a person wrote to a session that cannot hear (2026.9.6 after a lost write on a channel run)."""
    is_deaf: bool = False
    is_retrying: bool = False
    """What waits in the spool is offered again and again, and refused."""
    is_in_boot_recovery: bool = False
    recovery_charges: int = 0
    """How often the gateway's own recovery has begun this work; the third one that is cut is the last."""
    refusal: RefusedDeed | None = None
    """What every client's deed on it is answered with, for good."""
    status_word: str | None = None
    """What its row says instead of a status: a word of some later version."""
    stall: Stall | None = None
    cut: InboundMessage | None = None
    """The words of the run that left the row ``running``."""
    yielded: Run | None = None
    """This run has ended and waits to be woken, once its sub-agents have ended."""
    is_cut_child: bool = False
    """A sub-agent whose run died with the process, and whose row says no status until the next one has looked."""
    foreign_lock_pid: int | None = None
    settling: Run | None = None
    """This run has ended and its terminal write is still pending (2026.9.6, ``Ending.LATE``)."""
    row: dict[str, Any] | None = None
    """The row as last built; None when something changed since."""

    @property
    def truth(self) -> GroundTruth:
        if self.run is not None:
            return GroundTruth.QUEUED if self.run.is_waiting_for_lane else GroundTruth.LIVE
        if self.is_in_boot_recovery:
            return GroundTruth.RECOVERING
        if self.settling is not None:
            return GroundTruth.LIVE
        if self.stall is not None:
            is_locked_out = self.is_deaf and bool(self.spool) and self.stall.truth is GroundTruth.FINISHED
            return GroundTruth.LOCKED_OUT if is_locked_out else self.stall.truth
        return GroundTruth.IDLE

    @property
    def is_tombstoned(self) -> bool:
        """The restart recovery has given it up: it refuses every message."""
        return self.restart_recovery_status == "tombstoned"

    @property
    def is_ordinary(self) -> bool:
        """The gateway's own restart recovery takes care of it (2026.9.6 leaves the background kinds out)."""
        return not self.kind.is_background and self.spawn_depth == 0

    def row_state(self) -> dict[str, Any]:
        """The four fields an ``agent`` run of 3.24 and 4.14 puts back, those that are set."""
        return {name: value for name in ROW_FIELDS if (value := getattr(self, name)) is not None}


@dataclass(slots=True)
class CronEntry:
    """A scheduled entry: ``cron.list`` shows it, ``cron.runs`` its log."""

    id: str
    name: str
    every_seconds: float
    key: str
    agent_id: str
    created_ms: int
    turn: Turn
    message: str
    runs: list[CronRun] = field(default_factory=list)


def kind_of(key: str) -> ConversationKind:
    """What a key says about its session. Keys look like ``agent:<agent>:<rest>``."""
    parts = key.split(":")
    rest = parts[2:] if len(parts) > 2 and parts[0] == "agent" else parts
    words = set(rest[:3])
    for word, kind in (
        ("cron", ConversationKind.CRON),
        ("subagent", ConversationKind.SUBAGENT),
        ("acp", ConversationKind.ACP),
        ("hook", ConversationKind.HOOK),
        ("group", ConversationKind.GROUP),
        ("channel", ConversationKind.GROUP),
        ("direct", ConversationKind.DIRECT),
        ("dm", ConversationKind.DIRECT),
    ):
        if word in words:
            return kind
    return ConversationKind.MAIN if rest == ["main"] else ConversationKind.OTHER
