"""A gateway's world, without any I/O: sessions, runs, people in chat apps, the process itself, and virtual time.

Drive it with :meth:`World.advance`. Nothing in here reads a clock or a random source of its own: time comes from the
caller, randomness from the seed. Two worlds with the same profile, seed and calls are equal event by event.

A row may lie, :meth:`World.truth` does not: it, :attr:`World.deeds` and :attr:`World.stalls` are for those who check.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from openclaw_simulator.actions import Actions, Refused
from openclaw_simulator.agenda import Agenda
from openclaw_simulator.chatapps import SPOOL_SECONDS, ChatApps
from openclaw_simulator.cron import Cron
from openclaw_simulator.endings import Endings, stall_of
from openclaw_simulator.engine import Engine
from openclaw_simulator.process import Process
from openclaw_simulator.profiles import Profile
from openclaw_simulator.provider import Provider
from openclaw_simulator.records import (
    Cause,
    Change,
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
    InboundMessage,
    Origin,
    Run,
    SimSession,
    Turn,
    kind_of,
)

BROWSER = ClientInfo(
    client_id="openclaw-control-ui",
    mode="webchat",
    scopes=frozenset({"operator.read", "operator.write", "operator.admin"}),
)
"""An operator at the gateway's own page."""
KEPT_ENTRIES = 80
"""Transcript entries kept per session; the count of all is kept apart."""
KEPT_RECORDS = 10_000
_FLUSHES = frozenset(EntryKind) - {EntryKind.USER}


class World:
    """One gateway and everybody around it."""

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
        self.event_loop_delay_ms = 0
        """A blocked event loop, as health tells it (5.18, 9.6)."""
        self.lane_width = profile.lane_width
        """``agents.defaults.maxConcurrent``: runs at once; set it before the first one starts."""
        self.provider = Provider()
        self.results = Results()
        self.run_timeout_seconds: float | None = None
        """``agents.defaults.timeoutSeconds``; None: 48 hours, that is never here."""
        self.store_locked_until_ms = 0
        self.approvals: dict[str, PendingInput] = {}
        self.questions: dict[str, PendingInput] = {}
        self.listeners: list[Callable[[Change], None]] = []
        """Who has subscribed to sessions."""
        self.bystanders: list[Callable[[Change], None]] = []
        """Who has not, and is told of runs all the same (``Profile.tells_all_of_runs``), but for the words of an answer."""
        self.model_calls: deque[ModelCall] = deque(maxlen=KEPT_RECORDS)
        self.heard: deque[Heard] = deque(maxlen=KEPT_RECORDS)
        self.spoken: deque[Spoken] = deque(maxlen=KEPT_RECORDS)
        self.stops: list[PersonStop] = []
        self.sent: dict[str, str | Refused] = {}
        """What this process has said by ``send``, by idempotency key: the message's id, or the refusal."""
        self.kept_sends: list[tuple[Address, str, str | None, str, ClientInfo]] = []
        """What was refused and is kept on disk for the next process (3.24)."""
        self.deeds: list[ClientEffect] = []
        self.stalls: list[Stall] = []
        self.engine = Engine(self)
        self.endings = Endings(self, self.engine)
        self.chat = ChatApps(self)
        self.cron = Cron(self)
        self.process = Process(self)
        self.actions = Actions(self)

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
    def boot_wall_ms(self) -> int:
        """When the gateway's process began, by its own clock."""
        return self.process.booted_ms + self.skew_ms

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
        author: Author | None = None,
    ) -> None:
        """Append to a transcript. Before 9.6 the words of a first turn wait in memory for its first answer."""
        entry = Entry(
            kind, text, self.wall_ms, self.new_id(), run.run_id if run else None, author, is_internal=is_internal
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

    def stall(self, session: SimSession, run: Run, cause: Cause) -> Stall:
        """A row is left ``running`` with nobody behind it."""
        if session.stall is not None:
            self.end_stall(session, "interrupted again")
        made = stall_of(session, run, cause, self.now_ms)
        session.stall, session.cut = made, run.message
        self.stalls.append(made)
        self.touch(session)
        return made

    def end_stall(self, session: SimSession, by: str) -> None:
        """The row is right again (or says at least nothing wrong)."""
        found, session.stall, session.cut = session.stall, None, None
        session.is_deaf = False
        if found is not None:
            found.ended_ms, found.ended_by = self.now_ms, by
            self.touch(session)
        if session.spool:
            self.agenda.after(SPOOL_SECONDS, self.chat.process_spool, session)

    # ------------------------------------------------------------ shortcuts for scenarios and tests

    def begin(
        self,
        key: str,
        text: str,
        turn: Turn | None = None,
        *,
        origin: Origin = Origin.WEB,
        device_id: str | None = "somebody",
    ) -> str:
        """A person (or program) other than the watchdog starts a turn. Returns the run id.

        From ``WEB`` they are an operator's words in the browser: answered into the transcript, to nobody's chat.
        """
        session = self.session(key)
        run_id = self.new_id()
        message = InboundMessage(text, origin, run_id, self.wall_ms, device_id=device_id, turn=turn)
        if origin is Origin.CHANNEL:
            message.route, message.device_id = session.address, None
            message.author = Author(self.chat.person_of(key), chat=session.address)
        elif origin in (Origin.WEB, Origin.AGENT):
            message.author = Author(client=replace(BROWSER, device_id=device_id), is_owner=True)
            session.last_interaction_ms = self.wall_ms
        if origin in (Origin.WEB, Origin.CHANNEL):
            person = message.author.person if message.author is not None else None
            place = session.address.place if person is not None and session.address is not None else None
            self.spoken.append(Spoken(self.now_ms, key, text, person, place, run_id))
        if origin in (Origin.WEB, Origin.AGENT) and session.address is None and not self.profile.keeps_first_words:
            session.address = Address("webchat", None, None)
            session.origin_label = "control-ui"
        self.engine.submit(session, message)
        self.tell(key, reason="send")
        return run_id

    def finished_turn(self, key: str, text: str = "warm-up", seconds: float = 1.0) -> SimSession:
        """A first turn that ends well, so that a transcript exists; time passes until it is over."""
        self.begin(key, text, Turn((), answer=None) if seconds <= 0 else None)
        for _ in range(10_000):
            if self.sessions[key].run is None or not self.advance_to_next():
                break
        return self.sessions[key]

    def lock_store(self, seconds: float) -> None:
        """The store's write lock is held by somebody (9.6): runs that end meanwhile lose or delay their last write."""
        self.store_locked_until_ms = self.now_ms + round(seconds * 1000)

    def edit_row(self, key: str, *, hours: float = 3.0, spawn_depth: int = 0) -> None:
        """The lab's mode ``edit``: the work was finished, the stored row is made to say ``running`` since ``hours``."""
        session = self.sessions[key]
        then = self.wall_ms - round(hours * 3600 * 1000)
        session.status, session.started_ms, session.updated_ms = "running", then, then
        session.ended_ms = session.runtime_ms = None
        session.aborted_last_run = False
        session.spawn_depth = spawn_depth
        run = Run(InboundMessage("", Origin.WEB, self.new_id(), then), is_tracked=False, started_ms=then)
        self.stall(session, run, Cause.FINISHED)

    def tombstone(self, key: str) -> None:
        """Restart recovery gave this session up for good (9.6): only ``sessions.recover`` or a reset help."""
        session = self.sessions[key]
        session.status, session.restart_recovery_status = "failed", "tombstoned"
        session.aborted_last_run = False
        self.end_stall(session, "tombstoned")
        self.touch(session)

    def person_approves(self, key: str) -> bool:
        """A person approves what a session's run waits for."""
        return self._answer(self.approvals, key)

    def person_answers(self, key: str) -> bool:
        """A person answers a session's question."""
        return self._answer(self.questions, key)

    def _answer(self, book: dict[str, PendingInput], key: str) -> bool:
        note = next((n for n, waiting in book.items() if waiting.key == key), None)
        return note is not None and self.engine.answer_person(book, note)
