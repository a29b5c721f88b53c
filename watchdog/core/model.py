"""What a gateway said, in our words: sessions, snapshots, and the gateway's own condition.

Values only. Everything here is frozen; instants are aware UTC datetimes, spans are timedeltas, and ``None`` always
means *the gateway did not say*, never *no*. Wire milliseconds become datetimes in ``watchdog.gateway`` and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """One reading of both clocks.

    ``monotonic`` (seconds, never steps, may stop while the host sleeps) measures spans; ``wall`` (aware UTC) names
    instants to people and compares with what gateways wrote down. Ages are always taken from ``monotonic``.
    """

    monotonic: float
    wall: datetime = field(compare=False)

    def since(self, earlier: Moment) -> timedelta:
        """The span from ``earlier`` to here, on the monotonic clock."""
        return timedelta(seconds=self.monotonic - earlier.monotonic)

    def plus(self, span: timedelta) -> Moment:
        """The moment that comes ``span`` later on both clocks."""
        return Moment(self.monotonic + span.total_seconds(), self.wall + span)


class Status(StrEnum):
    """A row's ``status``. ``ABSENT``: the row has none (never ran, or was reset). ``OTHER``: a word we do not know."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    KILLED = "killed"
    TIMEOUT = "timeout"
    ABSENT = "absent"
    OTHER = "other"

    @property
    def is_terminal(self) -> bool:
        """The last run has ended, however it ended."""
        return self in _TERMINAL


TOMBSTONED = "tombstoned"
"""``restartRecoveryStatus`` of a session that the gateway's restart recovery has given up (2026.8.2, 9.6)."""
_TERMINAL = frozenset({Status.DONE, Status.FAILED, Status.KILLED, Status.TIMEOUT})


class SessionKind(StrEnum):
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
        return self in (SessionKind.CRON, SessionKind.SUBAGENT, SessionKind.ACP)


@dataclass(frozen=True, slots=True)
class ReplyAddress:
    """Where the person of this session reads: chat channel, recipient, and which of the bot's accounts."""

    channel: str
    to: str
    account_id: str | None = None
    thread_id: str | None = None


class SenderKind(StrEnum):
    """Who wrote one entry of a transcript, by the gateway's own word; never by what the text says."""

    PERSON = "person"
    """Somebody in a chat app."""
    OPERATOR = "operator"
    """A client of the gateway: the web page, a script, the CLI."""
    NOBODY = "nobody"
    """The gateway names nobody: the ``agent`` method, a cron job."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who wrote one entry. ``id`` is the chat app's own; a ``name`` is whatever its bearer chose, and proves nothing."""

    kind: SenderKind
    id: str | None = None
    name: str | None = None
    channel: str | None = None
    """Chat app (2026.9.x; None before)."""
    account_id: str | None = None
    """Which of the bot's accounts was written to (2026.9.x; None before)."""
    is_owner: bool | None = None
    """The gateway treated this very message as its owner's (2026.9.x; None before)."""
    chat: ReplyAddress | None = None
    """Their private chat, where the gateway's own transcript file says that they wrote there (2026.5.18)."""

    def is_same(self, other: Sender) -> bool:
        """The same person, or both a client: who writes through a client is an operator, whichever client it is."""
        if self.kind is not SenderKind.PERSON or other.kind is not SenderKind.PERSON:
            return self.kind is other.kind
        if self.id is None or other.id is None:
            return False
        return self.id == other.id and (None in (self.channel, other.channel) or self.channel == other.channel)


@dataclass(frozen=True, slots=True)
class Asked:
    """One message that nobody has answered yet. ``words`` go into a resume turn or a handoff note, never into a log."""

    sender: Sender
    words: str
    at: datetime | None = None
    """When; of a request that the gateway wrote down once more as it took it up, when the entry before it was written (2026.5.18)."""


@dataclass(frozen=True, slots=True)
class ChatAccount:
    """One account of a chat app. ``account_id`` None: it has no name of its own."""

    channel: str
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class SenderRights:
    """What the gateway's configuration says of one sender of this session. ``None``: it could not be read."""

    sender_id: str
    is_owner: bool | None = None
    has_own_rules: bool | None = None
    """Rules by sender (``toolsBySender``) may apply that do not apply to everybody alike."""


PROGRAM = re.compile(r"[\w.-]+-cli|codex", re.IGNORECASE)
"""A provider that is a program beside the gateway: ``claude-cli`` and its like, and the Codex app server."""


@dataclass(frozen=True, slots=True)
class Session:
    """One row of ``sessions.list`` as the gateway said it."""

    key: str
    status: Status
    session_id: str | None = None
    kind: SessionKind = SessionKind.OTHER
    agent_id: str | None = None
    channel: str | None = None
    name: str | None = field(default=None, compare=False)
    """What people call it: words of theirs that prove nothing. On screens alone; never in a log, a metric, a message, the
    ledger or a recording."""
    reply_address: ReplyAddress | None = None
    """The last writer's, not the requester's (measured on 2026.3.24 and 9.6): it proves nothing by itself."""
    last_writer: str | None = None
    """The chat app's id of who wrote last from a chat (``origin.from`` without its channel), when ``reply_address`` is
    the chat of that message."""
    last_interaction_at: datetime | None = None
    """Moves when a person writes, also when their message is refused at the door (2026.8 and later)."""
    started_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    has_active_run: bool | None = None
    active_run_ids: tuple[str, ...] | None = None
    aborted_last_run: bool | None = None
    last_run_id: str | None = None
    last_run_error: str | None = None
    unknown_status: str | None = None
    """The word, where ``status`` is OTHER."""
    restart_recovery_status: str | None = None
    previous_session_id: str | None = None
    """Of the session that this one goes on with (2026.9.6: after ``sessions.recover``)."""
    lifecycle_revision: str | None = None
    total_tokens: int | None = None
    model_provider: str | None = None
    """The provider that the session is set to (``anthropic``, ``claude-cli``)."""
    parent_key: str | None = None
    child_keys: tuple[str, ...] = ()
    has_active_subagent_run: bool | None = None
    is_archived: bool = False
    is_pinned: bool = False
    """Listed before all others, however old (2026.9.6)."""
    is_placed_elsewhere: bool = False
    """The row's ``placement`` names a state other than ``local`` (2026.9.x cloud runs): we cannot see that run."""

    @property
    def has_end_though_running(self) -> bool:
        """The row says ``running`` and when that run ended: what 2026.3.24 leaves behind after an ``agent`` turn (seen so
        and never otherwise; a start clears ``endedAt``)."""
        return (
            self.status is Status.RUNNING
            and self.started_at is not None
            and self.ended_at is not None
            and self.ended_at > self.started_at
        )

    @property
    def is_run_by_a_program(self) -> bool:
        """A program beside the gateway does its work (``claude-cli``, ``codex-cli``; the Codex app server on 2026.4.10 and later):
        such runs hold no lock of the transcript (source of 2026.4.8, 4.14, 4.29 and 5.12)."""
        return self.model_provider is not None and PROGRAM.fullmatch(self.model_provider) is not None

    @property
    def is_tombstone(self) -> bool:
        """Its gateway has given it up after a restart: it has ended, and takes no message until it is reset (2026.8.2, 9.6). Not of
        background work, whose owner begins anew, nor of what was put away, as ``sessions.recover`` does."""
        return (
            self.restart_recovery_status == TOMBSTONED
            and self.status.is_terminal
            and not self.is_archived  # guard: tombstone: what was put away is let be
            and not self.kind.is_background  # guard: tombstone: background work has an owner
        )

    @property
    def is_archived_tombstone(self) -> bool:
        """Put away after its gateway had given it up: nobody waits for it to be reset, and it takes no message all the same."""
        return self.restart_recovery_status == TOMBSTONED and self.status.is_terminal and self.is_archived

    @property
    def may_change_unseen(self) -> bool:
        """Something works on it, or is said to: its row may change without ``updatedAt`` moving, so it is read anew in
        every poll."""
        return (
            self.status in (Status.RUNNING, Status.QUEUED, Status.OTHER)
            or bool(self.has_active_run)
            or bool(self.active_run_ids)
            or bool(self.has_active_subagent_run)
        )


@dataclass(frozen=True, slots=True)
class MalformedRow:
    """A row that could not be read. It is reported and never blinds the rest."""

    position: int
    reason: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All rows as of one poll. ``is_complete`` is False when the list could not be read to its end.

    After an incremental poll (``is_sweep`` False) the rows named in ``carried`` were not asked for again: they lie behind everything
    that changed since they were read. What runs, or may run, is never among them.
    """

    asked_at: Moment
    answered_at: Moment
    sessions: tuple[Session, ...]
    is_complete: bool
    malformed: tuple[MalformedRow, ...] = ()
    size_bytes: int = 0
    gateway_clock_stepped: bool = False
    """The gateway's wall clock has moved against a monotonic one since we connected."""
    is_sweep: bool = True
    """The list was read to its end in this very poll."""
    carried: frozenset[str] = frozenset()
    """Keys of rows that an earlier poll read."""
    requests: int = 1
    slowest_answer: timedelta | None = None
    """The longest that one page took; None: there was one page."""

    @property
    def latency(self) -> timedelta:
        """How long the gateway took for one answer, the slowest of this poll."""
        return self.slowest_answer if self.slowest_answer is not None else self.answered_at.since(self.asked_at)

    def lacks(self, key: str) -> bool:
        """The session is surely gone: the list was read whole just now, and no row that could not be read may be its."""
        return (
            self.is_complete
            and self.is_sweep  # guard: only a sweep says that a session is gone
            and all(row.key != key for row in self.sessions)
            and all(row.key not in (None, key) for row in self.malformed)
        )


class FlagWorth(StrEnum):
    """What ``hasActiveRun: false`` proves on a gateway. ``true`` is a proof of life wherever the field exists."""

    ABSENT = "absent"
    PROVES_LIFE_ONLY = "proves_life_only"
    """False is also shown on live chat-app runs (2026.5.2 until 2026.7.1; measured on 2026.5.7 to 6.1)."""
    TRUSTED = "trusted"


class LockWorth(StrEnum):
    """What ``<sessionId>.jsonl.lock`` says. A lock with a live owner is a proof of life wherever it is found."""

    SAYS_NOTHING = "says_nothing"
    """No such file, or not held for the whole run: its absence means nothing (2026.5.18 and later)."""
    WHOLE_RUN = "whole_run"
    """Held from a run's start to its end: its absence proves that no run of the gateway's own is going (measured: 3.24, 4.8,
    4.14; not of one that another program does, see ``Session.is_run_by_a_program``)."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one gateway's answers are worth. Computed in ``watchdog.gateway.capabilities`` from its hello."""

    active_run_flag: FlagWorth
    lock: LockWorth
    has_preflight: bool
    """``gateway.restart.preflight`` exists: all counts at zero mean that nothing at all is running."""
    has_abort_probe: bool
    """``sessions.abort`` from a second, write-only device answers ``unauthorized`` for a live web-started run and
    harms nothing. Only where that was measured and read in the source (3.24 to 4.14); it may end the run on later ones."""
    boot_recovery: timedelta
    """How long after a boot the gateway may still be recovering interrupted sessions by itself (zero: it does not)."""
    row_survives_stop: bool
    """A run its user stopped leaves the row ``running`` (3.24, 4.14): the transcript's tail must be read."""
    has_deaf_rows: bool = False
    """After a lost write a row refuses every message of its people, and tries them again and again (2026.8 and later)."""
    wraps_prompts: bool = False
    """The transcript puts a block of the gateway's own before a person's words (2026.5.18)."""
    has_chat_spool: bool = False
    """A chat app's messages lie in a spool until they are handled, and are taken up again at a start (2026.5.18, Telegram)."""
    names_chats_in_file: bool = False
    """The transcript's file says of each message of a person in which chat it was written (2026.5.18)."""

    # What follows was measured to go with one of the above. It is no field of its own: recordings have none for it.

    @property
    def puts_row_back(self) -> bool:
        """The end of an ``agent`` turn leaves the row ``running`` and writes ``endedAt`` (3.24; 4.14 for 15 s)."""
        return self.row_survives_stop

    @property
    def leaves_ended_row(self) -> bool:
        """A row that says ``running`` and when it ended may be an answered one (measured on 3.24 and 4.14)."""
        return self.row_survives_stop and self.lock is LockWorth.WHOLE_RUN

    @property
    def writes_time_out_as_stop(self) -> bool:
        """The transcript ends alike after a time-out and a person's Stop: only the configured limit tells them apart
        (3.24, 4.14)."""
        return self.row_survives_stop

    @property
    def marks_late(self) -> bool:
        """It marks rows for its own recovery after it has begun to list them (measured on 2026.5.7 to 5.28); 8.2 and 9.6 do so before,
        3.24 and 4.14 never."""
        return self.boot_recovery > timedelta(0) and not self.has_deaf_rows

    @property
    def says_queued(self) -> bool:
        """A row whose words wait for a free lane says ``queued`` (9.6); on 3.24, 4.14 and 5.18 it says what it said before."""
        return self.active_run_flag is FlagWorth.TRUSTED


@dataclass(frozen=True, slots=True)
class ProcessSigns:
    """What a gateway's process said of itself at one sign-in, see ``core.same_process``. None: it did not say."""

    version: str
    boot_id: str | None = None
    """As in ``GatewayFacts``."""
    host: str | None = None
    """Name and address of its machine (the entry of its own in ``snapshot.presence``)."""
    config_path: str | None = None
    state_dir: str | None = None
    """Of the gateway itself, on its own machine. 2026.3.24 tells everybody, 2026.5.18 and later only admins."""
    began: float | None = None
    """Its start in seconds of *our* monotonic clock: when we were told, minus ``uptimeMs``."""


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """Who answered: what a gateway's hello said of itself."""

    name: str
    version: str
    capabilities: Capabilities
    booted_at: datetime | None
    """When the gateway process started, on the *gateway's* clock; perhaps earlier, never later: what says it (its time
    at the hello minus ``uptimeMs``) leaves out the host's sleep, see ``watchdog.gateway.wire.boot_time``."""
    boot_id: str | None = None
    """Changes with every start, in-process restarts included (2026.9.x; None before)."""
    methods: frozenset[str] = frozenset()
    """Advertised methods: a lower bound, not all (2026.3.24 hides ``sessions.get``)."""
    scopes: frozenset[str] = frozenset()
    state_dir: str | None = None
    main_session_key: str | None = None
    process: int = 0
    """Counts the processes that answered under this name: another number is surely another process."""
    clock_skew: timedelta | None = None
    """How far the gateway's clock was ahead of ours at the sign-in; None when it did not say (no ``ts``)."""
    signed_in_at: Moment | None = None
    stopped_channels: tuple[str, ...] = ()
    """Chat apps that it does not run since it crashed several times, as it said at the sign-in (2026.9.6)."""
    signs: ProcessSigns | None = None
    """What tells its process from others. Never recorded."""
    untried: str | None = None
    """What to say of a version newer than any that this program was tried on; None for the others. Never recorded."""

    def gateway_time(self, now: Moment) -> datetime:
        """What the gateway's clock says now, at least: counted on from the sign-in on the monotonic clock, which stands
        still while the host sleeps, or by the wall clock, which can be set; the later of the two."""
        by_wall = now.wall + (self.clock_skew or timedelta(0))
        if self.signed_in_at is None or self.clock_skew is None:
            return by_wall
        return max(by_wall, self.signed_in_at.wall + self.clock_skew + now.since(self.signed_in_at))


class Lock(StrEnum):
    """What was found at a session's lock file."""

    NONE = "none"
    HELD_BY_GATEWAY = "held_by_gateway"
    HELD_BY_OTHER = "held_by_other"
    """A live process that is not the gateway holds it, for example the CLI (#62981)."""
    OWNER_GONE = "owner_gone"
    """The pid is dead or was reused by another process."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class LockSight:
    """A look at one session's lock file on the gateway's own machine."""

    lock: Lock
    pid: int | None = None
    created_at: datetime | None = None
    is_taken_by_every_run: bool = True
    """Whether each run of this gateway takes one, as far as its configuration tells: a program's run does not."""


class TailKind(StrEnum):
    """What the last entry of a transcript tells about how the run ended."""

    EMPTY = "empty"
    REQUEST = "request"
    """A person's (or a tool's) words nobody answered: interrupted."""
    TOOL_RESULT = "tool_result"
    TOOL_CALL = "tool_call"
    ANSWERED = "answered"
    """A finished answer: the work was done, only the row was left behind."""
    STOPPED = "stopped"
    """The run was aborted on purpose; or timed out, where nothing tells the two apart (3.24 and 4.14)."""
    TIMED_OUT = "timed_out"
    """Aborted by its own time limit: it lasted exactly the configured ``agents.defaults.timeoutSeconds``."""
    COMPACTION = "compaction"
    OTHER = "other"

    @property
    def is_unanswered(self) -> bool:
        """The last words are a person's or a tool's, and the model has said nothing to them."""
        return self in (TailKind.REQUEST, TailKind.TOOL_CALL, TailKind.TOOL_RESULT)


@dataclass(frozen=True, slots=True)
class TranscriptTail:
    """The end of a session's transcript: enough to tell an interrupted turn from a finished or a stopped one."""

    kind: TailKind
    fingerprint: str
    """Changes whenever the transcript does; carries no text."""
    request: str | None = None
    """The words of the last request, in full. Goes into the resume turn and the handoff note, never into a log."""
    asked: tuple[Asked, ...] = ()
    """What was asked since the last finished answer and who asked it, oldest first; ours left out. Without words: a picture, or a
    prompt that the gateway does not show."""
    has_beginning: bool = True
    """What was asked first since then is among what was read."""
    tools_called: frozenset[str] = frozenset()
    """Names of the tools that the open turn has called."""
    lost_inputs: int = 0
    """Messages that the gateway had accepted, dropped with an interruption, and will not run (2026.9.6)."""
    queued_at: datetime | None = None
    """When the newest message that waits to be taken up was accepted; None: it does not say, or none waits."""
    dropped_inputs: tuple[datetime | None, ...] = ()
    """When each of these was accepted, and each that was cancelled; None: it does not say."""
    last_answer: str | None = None
    at: datetime | None = None
    """When the last entry was written that is not a watchdog's turn."""
    has_run_in_flight: bool | None = None
    """``chat.history`` says so (2026.9.x ``inFlightRun``); None where the version cannot tell."""
    has_pending_input: bool | None = None
    was_stopped_by_request: bool = False
    """The transcript says that somebody asked for the stop (``openclawAbort``)."""
    deed_at: datetime | None = None
    """When a watchdog's turn, ours or another's, was last written here (its mark is in the text)."""
    deed_mark: str | None = None
    """``<incident>/<number>`` of that turn."""
    overtaken_mark: str | None = None
    """The same, of the last such turn that was answered and after whose answer somebody wrote again: what runs now, or has
    failed since, is not that turn."""
    was_taken_up: bool = False
    """The last turn is the gateway's own, by which it went on with what a start of it had cut."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """``gateway.restart.preflight`` counts, all added up."""

    total_active: int
    asked_at: Moment
    is_recovering: bool | None = None
    """It names its own restart recovery among what is active, silent for 5 to 20 s between two tries (2026.8.2, 9.6). None:
    this release never names it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was looked up about one suspect beyond its row. ``None``: not looked up, or no answer."""

    lock: LockSight | None = None
    tail: TranscriptTail | None = None
    preflight: Preflight | None = None
    abort_probe_unauthorized: bool | None = None
    pending_approvals: int | None = None
    pending_questions: int | None = None
    is_waiting_unread: bool = False
    """A list of approvals or questions that this gateway offers us could not be read: it may be waiting for a person."""
    cron_run_ended: str | None = None
    """How the scheduler's own log says that this cron run ended; None: it does not say so."""
    rights: tuple[SenderRights, ...] = ()
    """Of every person in ``tail.asked``."""
    chat_accounts: tuple[ChatAccount, ...] | None = None
    """Every account of every chat app that the gateway's configuration names; None: not looked up, or unreadable."""
    will_redeliver: bool = False
    """The chat app's spool still holds a message of this chat, which the gateway takes up by itself (2026.5.18)."""
    problems: tuple[str, ...] = ()
    """One short sentence per thing that could not be looked up."""


class GatewayPhase(StrEnum):
    """A gateway's own state, as far as an outside process can tell."""

    CONNECTED = "connected"
    STARTING = "starting"
    DRAINING = "draining"
    SUSPENDED = "suspended"
    """Told on purpose to take nothing until it is resumed (2026.9.6): it lets us in and refuses every request."""
    UNRESPONSIVE = "unresponsive"
    """Connected or connectable, but it does not answer in time (hung, SIGSTOP, event loop blocked)."""
    DOWN = "down"
    REFUSED = "refused"
    """It answers and does not let us in: token, scope, pairing, protocol."""
    UNUSABLE = "unusable"
    """It lets us in and refuses its own list of sessions (2026.9.6: its database has another schema)."""
    UNKNOWN = "unknown"
    """Nobody looked, for a reason of ours: this process has no file descriptors left."""
