"""Who may run now: the lanes, the words that wait behind a live run or before a deaf session, and rows left behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from openclaw_simulator.profiles import AfterAbort, InterruptedWords
from openclaw_simulator.records import Cause, Stall
from openclaw_simulator.results import RunResult
from openclaw_simulator.sessions import Author, EntryKind, InboundMessage, Origin, Run, SimSession
from openclaw_simulator.state import WorldState

LOCK_SECONDS = 10.0
FIRST_RETRY = 1.0
LONGEST_RETRY = 180.0
"""Seconds after which a message that a deaf session refused is offered again, doubled at each refusal (9.6, read in its
``ingress-retry-policy``): whoever has waited for long waits on after the cure, until the next time (measured from deed to answer: 18,
27, 27, 45, 45, 69 s). After a day it is dropped, which no simulated one lives to see."""
SPOOL_SECONDS = 4.0
"""From an end to what is in the spool, where nobody offers it again by themselves: just after a restart."""
WOKEN = "[System] Your sub-agents have ended. Continue."
MERGED_HEAD = "[Queued user message that arrived while the previous turn was still active]\n\n"
_MAIN_LANE = (Origin.WEB, Origin.AGENT, Origin.CHANNEL, Origin.RECOVERY, Origin.HEARTBEAT)


class Admission:
    """The door of one gateway process. ``begin``: what a run does once it may."""

    def __init__(self, world: WorldState, begin: Callable[[SimSession, Run], None]) -> None:
        self.world = world
        self._begin = begin
        self.lane: set[Run] = set()
        self.waiting: deque[tuple[SimSession, Run]] = deque()

    def submit(self, session: SimSession, message: InboundMessage, *, is_tracked: bool = True) -> str:
        """Take a message in: start a run, or queue it behind the one that lives. Returns what happened, in words."""
        world = self.world
        if session.foreign_lock_pid is not None and world.profile.has_lock_files:
            world.touch(session, moved=True)
            world.agenda.after(LOCK_SECONDS, self._locked_out, session, message)
            return "met a foreign lock"
        if session.run is not None or session.settling is not None or session.is_in_boot_recovery:
            message.pending_id = world.new_id()
            session.queue.append(message)
            world.touch(session, moved=True)
            return "queued behind a live run"
        self._admit(session, message, is_tracked=is_tracked)
        return "started a turn"

    def _locked_out(self, session: SimSession, message: InboundMessage) -> None:
        """Log: "session file locked (timeout 10000ms)": no run, no error to anybody (#62981, older.md Locks)."""
        self.world.results.put(
            RunResult(
                message.run_id, session.key, session.session_id, "failed", self.world.wall_ms, None, "",
                "session file locked (timeout 10000ms)", message.origin, False,
            )
        )  # fmt: skip

    def _admit(self, session: SimSession, message: InboundMessage, *, is_tracked: bool) -> None:
        world, profile = self.world, self.world.profile
        run = Run(message, is_tracked=is_tracked and message.origin in profile.abort_sees)
        session.run = run
        if profile.agent_restores_row and message.origin is Origin.AGENT:
            run.restores = session.row_state()
        if profile.keeps_first_words:
            self.write_words(session, run)
        if message.origin in _MAIN_LANE and len(self.lane) >= world.lane_width:
            run.is_waiting_for_lane = True
            self.waiting.append((session, run))
        else:
            self._launch(session, run)
        # Words that wait for a lane move ``updatedAt`` and nothing else in the row (measured on 3.24, 4.14 and 5.18).
        world.touch(session, moved=run.is_waiting_for_lane)

    def _launch(self, session: SimSession, run: Run) -> None:
        if run.message.origin in _MAIN_LANE:
            self.lane.add(run)
        run.is_waiting_for_lane = False
        self.world.touch(session)
        self.world.agenda.after(self.world.profile.start_lag, self._begin, session, run)

    def write_words(self, session: SimSession, run: Run) -> None:
        """Write the request into the transcript, and do to an interrupted one's words what this version does."""
        world, message = self.world, run.message
        run.answers_to = message.text
        entries = session.transcript
        text = message.text
        taken_up_of: Author | None = None
        tail = entries[-1] if entries else None
        if tail is not None and tail.kind is EntryKind.USER and not tail.is_forgotten:
            manner = world.profile.interrupted_words
            if manner is InterruptedWords.FORGOTTEN:
                tail.is_forgotten = True
            elif manner is InterruptedWords.MERGED:
                tail.is_forgotten = True
                text = f"{MERGED_HEAD}{tail.text}\n\n\n{message.text}"
            elif manner is InterruptedWords.REPLACED:
                tail.is_hidden = True
                if message.origin is Origin.RECOVERY:
                    said = tail.author or Author()
                    context = f"{said.context}\n\n" if said.context is not None else ""
                    text = f"{MERGED_HEAD}{context}{tail.text}\n\n{message.text}"
                    taken_up_of = replace(said, context=None) if tail.author is not None else None
        author = taken_up_of if message.is_internal else message.told_author
        is_hidden = message.origin is Origin.HEARTBEAT and not world.profile.shows_heartbeat_prompts
        world.write(
            session, EntryKind.USER, text, run, is_internal=message.is_internal, author=author, is_hidden=is_hidden
        )

    # ------------------------------------------------------------ lanes

    def retire(self, session: SimSession, run: Run) -> None:
        """Common to every end: the owner is gone, its lane is free, nobody is asked any more."""
        run.is_over = True
        session.run = None
        for book in (self.world.approvals, self.world.questions):
            for note in [n for n, w in book.items() if w.run_id == run.run_id]:
                del book[note]
        if run.is_waiting_for_lane:
            self.waiting = deque(pair for pair in self.waiting if pair[1] is not run)
        elif run in self.lane:
            self.lane.discard(run)
            if self.waiting:
                self._launch(*self.waiting.popleft())
        self.world.touch(session)

    def go_on(self, session: SimSession) -> None:
        """A run has ended: start the next queued message, if there is one (3.24, 4.14: as a run no abort finds)."""
        is_tracked = self.world.profile.after_abort is not AfterAbort.RUNS_UNTRACKED
        if session.run is None and session.settling is None and session.queue:
            self._admit(session, session.queue.popleft(), is_tracked=is_tracked)

    def wake(self, session: SimSession) -> None:
        """The last child of a run that has yielded ended: the session goes on, for the same person."""
        yielded, session.yielded = session.yielded, None
        if yielded is None:
            return
        message = InboundMessage(
            WOKEN, Origin.SUBAGENT, self.world.new_id(), self.world.wall_ms, route=yielded.message.route
        )
        message.is_internal = True
        message.author = yielded.message.author
        self.submit(session, message)

    def forget_all(self) -> None:
        """The process is gone: no lane, nobody waiting."""
        self.lane.clear()
        self.waiting.clear()
        self.world.approvals.clear()
        self.world.questions.clear()

    def keep_outside(self, session: SimSession, message: InboundMessage) -> None:
        """A person wrote to a deaf session: their words are refused, kept, and offered again."""
        session.spool.append(message)
        if not session.is_retrying:
            self._offer(session, 0)

    def offer_later(self, session: SimSession, seconds: float) -> None:
        """A new process begins with what the one before had kept."""
        session.is_retrying = True
        self.world.agenda.after(seconds, self._offer, session, 0)

    def _offer(self, session: SimSession, refusals: int) -> None:
        """Refused once more, all that shows is the row's two times moving; let in where the session hears again."""
        session.is_retrying = session.is_deaf
        if not session.is_deaf:
            self._process_spool(session)
            return
        session.last_interaction_ms = self.world.wall_ms
        self.world.touch(session, moved=True)
        seconds = min(FIRST_RETRY * 2 ** min(refusals, 20), LONGEST_RETRY)  # days of refusals are no number any more
        self.world.agenda.after(seconds, self._offer, session, refusals + 1)

    def _process_spool(self, session: SimSession) -> None:
        spool, session.spool = session.spool, []
        for message in spool:
            self.submit(session, message)

    # ------------------------------------------------------------ rows left running

    def stall(self, session: SimSession, run: Run, cause: Cause) -> Stall:
        """A row is left ``running`` with nobody behind it."""
        if session.stall is not None:
            self.end_stall(session, "interrupted again")
        made = _stall_of(session, run, cause, self.world.now_ms)
        session.stall, session.cut = made, run.message
        self.world.stalls.append(made)
        self.world.touch(session)
        return made

    def end_stall(self, session: SimSession, by: str) -> None:
        """The row is right again (or says at least nothing wrong)."""
        found, session.stall, session.cut = session.stall, None, None
        session.is_deaf = False
        if found is not None:
            found.ended_ms, found.ended_by = self.world.now_ms, by
            self.world.touch(session)
        if session.spool and not session.is_retrying:
            self.offer_later(session, SPOOL_SECONDS)


def _stall_of(session: SimSession, run: Run, cause: Cause, now_ms: int) -> Stall:
    """The record of a row left ``running`` by this run."""
    step = run.current
    doing = step.activity.value if step is not None else "starting"
    made = Stall(session.key, cause, now_ms, run.answers_to or run.message.text, run.run_id, session.session_id, doing)
    author = run.message.author or Author()
    made.person, made.client, made.tools = author.person, author.client, run.tools
    made.place = run.message.route.place if run.message.route is not None else None
    return made
