"""A gateway's world, without any I/O: sessions, runs, people in chat apps, the process itself, and virtual time.

Drive it with :meth:`World.advance`. Nothing in here reads a clock or a random source of its own: time comes from the
caller, randomness from the seed. Two worlds with the same profile, seed and calls are equal event by event.

A row may lie, :meth:`World.truth` does not: it, :attr:`World.deeds` and :attr:`World.stalls` are for those who check.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from openclaw_simulator.actions import Actions
from openclaw_simulator.admission import Admission
from openclaw_simulator.chatapps import ChatApps
from openclaw_simulator.cron import Cron
from openclaw_simulator.endings import Endings
from openclaw_simulator.engine import Engine
from openclaw_simulator.outbound import Outbound
from openclaw_simulator.process import Process
from openclaw_simulator.profiles import Profile
from openclaw_simulator.records import Cause, ClientInfo, PendingInput, Spoken
from openclaw_simulator.sessions import Address, Author, InboundMessage, Origin, Run, SimSession, Turn
from openclaw_simulator.state import WorldState

BROWSER = ClientInfo(
    client_id="openclaw-control-ui",
    mode="webchat",
    scopes=frozenset({"operator.read", "operator.write", "operator.admin"}),
)
"""An operator at the gateway's own page."""


class World(WorldState):
    """The state and the parts that act on it, each made of those before it."""

    def __init__(self, profile: Profile, now: datetime, seed: int = 0) -> None:
        super().__init__(profile, now, seed)
        self.outbound = Outbound(self)
        self.admission = Admission(self, begin=self._begin)
        self.cron = Cron(self, self.admission)
        self.endings = Endings(self, self.admission, self.outbound, self.cron)
        self.engine = Engine(self, self.admission, self.endings)
        self.actions = Actions(self, self.admission, self.endings, self.outbound)
        self.process = Process(self, self.admission, self.endings, self.outbound, self.cron, self.actions)
        self.chat = ChatApps(self, self.admission, self.endings, self.outbound, self.actions, self.process)

    def _begin(self, session: SimSession, run: Run) -> None:
        """The one way back: an end lets the next run in, and that run comes to an end of its own."""
        self.engine.begin(session, run)

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

        From ``WEB`` they are an operator's words in the browser: answered into the transcript, to nobody's chat. A ``HEARTBEAT``
        is the gateway's own.
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
        self.admission.submit(session, message)
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
        self.admission.stall(session, run, Cause.FINISHED)

    def tombstone(self, key: str) -> None:
        """Restart recovery gave this session up for good (9.6): only ``sessions.recover`` or a reset help."""
        self.process.give_up(self.sessions[key])

    def person_approves(self, key: str) -> bool:
        """A person approves what a session's run waits for."""
        return self._answer(self.approvals, key)

    def person_answers(self, key: str) -> bool:
        """A person answers a session's question."""
        return self._answer(self.questions, key)

    def _answer(self, book: dict[str, PendingInput], key: str) -> bool:
        note = next((n for n, waiting in book.items() if waiting.key == key), None)
        return note is not None and self.engine.answer_person(book, note)
