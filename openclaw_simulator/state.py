"""What is so in a gateway's world: sessions, chats, time, and what is remembered of them. Data, and what keeps it in step.

The parts act on it (``admission``, ``endings``, ``engine``, ``cron``, ``outbound``, ``actions``, ``process``, ``chatapps``);
it knows none of them. What only one part needs to remember is that part's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any

from openclaw_simulator.agenda import Agenda
from openclaw_simulator.profiles import Profile
from openclaw_simulator.provider import Provider
from openclaw_simulator.records import (
    Answered,
    BrokenRecovery,
    Change,
    ChatPlace,
    ClientEffect,
    ClientInfo,
    GroundTruth,
    Heard,
    ModelCall,
    PendingInput,
    PersonStop,
    Spoken,
    Stall,
)
from openclaw_simulator.results import Results
from openclaw_simulator.sessions import (
    Address,
    Author,
    ConversationKind,
    Entry,
    EntryKind,
    Run,
    SimSession,
    kind_of,
)

KEPT_ENTRIES = 80
"""Transcript entries kept per session; the count of all is kept apart."""
KEPT_RECORDS = 10_000
_FLUSHES = frozenset(EntryKind) - {EntryKind.USER}


class ChannelOutage(StrEnum):
    """What is wrong with a bot's connection to its chat app."""

    UNREACHABLE = "unreachable"
    BAD_GATEWAY = "bad_gateway"
    """The chat app answers 502."""
    UNAUTHORIZED = "unauthorized"
    """The bot's token was taken away: 401."""
    SUPPRESSED = "suppressed"
    """2026.9.6's restart-loop breaker did not start it: nothing runs, although a probe succeeds."""


class WorldState:
    """One gateway and everybody around it, as they are at this instant."""

    def __init__(self, profile: Profile, now: datetime, seed: int = 0) -> None:
        self.profile = profile
        self.rng = Random(seed)
        self._ids = Random(seed)
        """Apart from what happens by chance: one connection more, and its ids, change nothing else."""
        self.agenda = Agenda(round(now.timestamp() * 1000))
        self.skew_ms = 0
        """The gateway's wall clock minus the true time (a stepped clock); spans are not affected."""
        self.sessions: dict[str, SimSession] = {}
        self.children: dict[str, list[str]] = {}
        """Keys by parent. On 9.6 every session an operator created counts as a child of the main session."""
        self.rows_version = 0
        """Changes with every change of any row, so that an unchanged list need not be built again."""
        self.sorted_rows: tuple[int, list[dict[str, Any]]] | None = None
        """The last list built, with the ``rows_version`` it was built for."""
        self.agents = {"main"}
        self.channels = {"irc"}
        """Chat apps that are configured, each with the bot ``default`` and those of its ``accounts``."""
        self.config: dict[str, Any] = {}
        """What ``openclaw.json`` says beyond the usual: ``channels``, ``commands``, ``tools``, ``agents``, ``session``. Empty:
        every chat app open to everybody, no rules by sender, all direct chats in the main session."""
        self.homes: dict[str, Address] = {}
        """Where a session's usual person really is, whatever became of the row's ``deliveryContext``."""
        self.private_topics: set[ChatPlace] = set()
        """Topics of direct chats in which somebody has written."""
        self.blocked: set[tuple[str, str]] = set()
        """Chats (channel, chat) that refuse the bot: 403."""
        self.gone_topics: set[ChatPlace] = set()
        self.outages: dict[tuple[str, str], ChannelOutage] = {}
        """By (channel, account)."""
        self.last_inbound: dict[tuple[str, str], int] = {}
        self.last_outbound: dict[tuple[str, str], int] = {}
        self.event_loop_delay_ms = 0
        """A blocked event loop, as health tells it (5.18, 9.6)."""
        self.lane_width = profile.lane_width
        """``agents.defaults.maxConcurrent``: runs at once; set it before the first one starts."""
        self.provider = Provider()
        self.results = Results()
        self.run_timeout_seconds: float | None = None
        """``agents.defaults.timeoutSeconds``; None: 48 hours, that is never here."""
        self.store_locked_until_ms = 0
        self.has_drifted = False
        """The store's schema is not this version's: all but preflight is refused, and no next process starts (9.6)."""
        self.lists_from_memory = False
        """... but what needs no look into the store is answered: the list, health and status (9.6, 4 of 4 on 2026-11-29, for at
        least 35 s; on 2026-11-28 these were refused, too)."""
        self.approvals: dict[str, PendingInput] = {}
        self.questions: dict[str, PendingInput] = {}
        self.listeners: list[Callable[[Change], None]] = []
        """Who has subscribed to sessions."""
        self.bystanders: list[Callable[[Change], None]] = []
        """Who has not, and is told of runs all the same (``Profile.tells_all_of_runs``), but for the words of an answer."""
        self.model_calls: deque[ModelCall] = deque(maxlen=KEPT_RECORDS)
        self.heard: deque[Heard] = deque(maxlen=KEPT_RECORDS)
        self.spoken: deque[Spoken] = deque(maxlen=KEPT_RECORDS)
        self.answers: deque[Answered] = deque(maxlen=KEPT_RECORDS)
        self.broken_recoveries: list[BrokenRecovery] = []
        self.stops: list[PersonStop] = []
        self.deeds: list[ClientEffect] = []
        self.stalls: list[Stall] = []

    # ------------------------------------------------------------ time

    @property
    def now_ms(self) -> int:
        """True time, epoch milliseconds."""
        return self.agenda.now_ms

    @property
    def wall_ms(self) -> int:
        """What the gateway's own clock says; rows carry this."""
        return self.agenda.now_ms + self.skew_ms

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.agenda.now_ms / 1000, UTC)

    def advance(self, to: datetime | timedelta | float) -> None:
        """Let time pass: until an instant, or by a span (seconds or timedelta)."""
        if isinstance(to, datetime):
            self.agenda.advance(round(to.timestamp() * 1000))
        else:
            seconds = to.total_seconds() if isinstance(to, timedelta) else to
            self.agenda.advance(self.agenda.now_ms + round(seconds * 1000))

    def advance_to_next(self) -> bool:
        """Jump to the next event; False when nothing is going to happen by itself."""
        due = self.agenda.next_at()
        if due is None:
            return False
        self.agenda.advance(max(due, self.agenda.now_ms))
        return True

    # ------------------------------------------------------------ sessions

    def session(
        self,
        key: str,
        *,
        address: Address | None = None,
        spawned_by: str | None = None,
        spawn_depth: int = 0,
        label: str | None = None,
    ) -> SimSession:
        """The session of that key; created if it does not exist."""
        found = self.sessions.get(key)
        if found is not None:
            return found
        parts = key.split(":")
        kind = kind_of(key)
        made = SimSession(
            key=key,
            session_id=self.new_id(),
            kind=kind,
            created_ms=self.wall_ms,
            updated_ms=self.wall_ms,
            agent_id=parts[1] if parts[0] == "agent" and len(parts) > 1 else "main",
            address=address,
            label=label,
            lifecycle_revision=self.new_id(),
            spawned_by=spawned_by,
            spawn_depth=max(spawn_depth, 1 if kind is ConversationKind.SUBAGENT else 0),
            parent_key=spawned_by,
        )
        if address is not None and address.reaches_a_person:
            made.created_via = "channel"
            made.origin_label = address.to
        elif made.parent_key is None and self.profile.shows_queued and kind is not ConversationKind.MAIN:
            made.parent_key = f"agent:{made.agent_id}:main"
        self.sessions[key] = made
        self.touch(made)
        if made.parent_key is not None:
            self.children.setdefault(made.parent_key, []).append(key)
            if made.parent_key in self.sessions:
                self.touch(self.sessions[made.parent_key])
        self.tell(key, reason="create")
        return made

    def truth(self, key: str) -> GroundTruth:
        """What is really so with a session. Unknown keys are idle."""
        session = self.sessions.get(key)
        return session.truth if session is not None else GroundTruth.IDLE

    def touch(self, session: SimSession, *, moved: bool = False) -> None:
        """Something about this row changed. ``moved``: a store write that also moves ``updatedAt``."""
        if moved:
            session.updated_ms = self.wall_ms
        session.row = None
        self.rows_version += 1
        if session.spawned_by is not None and session.spawned_by in self.sessions:
            self.sessions[session.spawned_by].row = None

    def write(
        self,
        session: SimSession,
        kind: EntryKind,
        text: str,
        run: Run | None = None,
        *,
        is_internal: bool = False,
        is_hidden: bool = False,
        author: Author | None = None,
    ) -> None:
        """Append to a transcript. Before 9.6 the words of a first turn wait in memory for its first answer."""
        entry = Entry(
            kind,
            text,
            self.wall_ms,
            self.new_id(),
            run.run_id if run else None,
            author,
            is_hidden=is_hidden,
            is_internal=is_internal,
        )
        session.messages_total += 1
        if not self.profile.keeps_first_words and not session.transcript and kind not in _FLUSHES:
            session.unflushed.append(entry)
            return
        if session.unflushed:
            session.transcript.extend(session.unflushed)
            session.unflushed.clear()
        session.transcript.append(entry)
        if len(session.transcript) > 2 * KEPT_ENTRIES:
            del session.transcript[:-KEPT_ENTRIES]

    def new_id(self) -> str:
        """A uuid from the seed."""
        text = f"{self._ids.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def outage_of(self, place: ChatPlace) -> ChannelOutage | None:
        """What is wrong with the bot of a chat; None: nothing."""
        return self.outages.get((place.channel, place.account))

    # ------------------------------------------------------------ records

    def tell(
        self,
        key: str,
        *,
        reason: str | None = None,
        phase: str | None = None,
        run_id: str | None = None,
        run: Run | None = None,
        stream: str | None = None,
        data: dict[str, object] | None = None,
    ) -> None:
        """Let listeners (connections) know; costs nothing when nobody listens."""
        hearers = self.listeners + self.bystanders if stream not in (None, "assistant") else self.listeners
        if hearers:
            if run is not None:
                run_id = run.run_id
            is_tracked = run is None or run.is_tracked
            change = Change(key, reason, phase, run_id, stream, is_tracked, data or {})
            for hearer in tuple(hearers):
                hearer(change)

    def record(
        self, method: str, key: str, client: ClientInfo, text: str = "", run_id: str | None = None
    ) -> ClientEffect:
        """Note what a client does, with the truth of this instant."""
        session = self.sessions.get(key)
        deed = ClientEffect(len(self.deeds) + 1, self.now_ms, method, key, client, self.truth(key), text, run_id)
        if session is not None:
            deed.session_id = session.session_id
            deed.owner_run = session.run.run_id if session.run is not None else None
        self.deeds.append(deed)
        return deed
