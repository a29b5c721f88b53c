"""The life of a run: admitted, started, step by step to its end, and what its end leaves in the row.

Every difference between versions is read from the :class:`~watchdog.simulator.profiles.Profile`; nothing here knows a
version by name.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from watchdog.core.model import SessionKind
from watchdog.simulator.profiles import AfterAbort, InterruptedWords
from watchdog.simulator.provider import visible_words
from watchdog.simulator.records import Cause, ModelCall, Stall, Waiting
from watchdog.simulator.results import RunResult
from watchdog.simulator.sessions import Activity, Ending, EntryKind, Message, Origin, Run, SimSession, Turn

if TYPE_CHECKING:
    from watchdog.simulator.world import World

SECONDS_BEFORE_GIVING_UP_A_WRITE = 15.0
"""A store locked longer than this across a run's end loses the terminal write; shorter, it only comes late (9.6)."""
STEERED_SECONDS = 3.0
SOMETHING_WENT_WRONG = (
    "⚠️ Something went wrong while processing your request. Please try again, or use /new to start a fresh session."
)
NO_REPLY = "⚠️ OpenClaw couldn't produce or deliver a reply. Please try again."
CLAIM_CHANGED = "Error: restart recovery claim changed before agent adoption"
MERGED_HEAD = "[Queued user message that arrived while the previous turn was still active]\n\n"
_MAIN_LANE = (Origin.WEB, Origin.AGENT, Origin.CHANNEL, Origin.RECOVERY)
_CALLS_THE_MODEL = (Activity.SILENT, Activity.STREAM, Activity.RETRY)


class Engine:
    """Runs of one gateway process."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lane: set[Run] = set()
        self.waiting: deque[tuple[SimSession, Run]] = deque()

    # ------------------------------------------------------------ admission

    def submit(self, session: SimSession, message: Message, *, is_tracked: bool = True) -> bool:
        """Take a message in: start a run, or queue it behind the one that lives. True if a run was started."""
        world = self.world
        if session.run is not None or session.settling is not None or session.is_in_boot_recovery:
            message.pending_id = world.new_id()
            session.queue.append(message)
            world.touch(session, moved=True)
            return False
        self._admit(session, message, is_tracked=is_tracked)
        return True

    def _admit(self, session: SimSession, message: Message, *, is_tracked: bool) -> None:
        world, profile = self.world, self.world.profile
        run = Run(message, is_tracked=is_tracked and message.origin in profile.abort_sees)
        session.run = run
        if profile.agent_restores_row and message.origin is Origin.AGENT:
            run.restores = session.row_state()
        if profile.keeps_first_words:
            self._write_words(session, run)
        if message.origin in _MAIN_LANE and len(self.lane) >= profile.lane_width:
            run.is_waiting_for_lane = True
            self.waiting.append((session, run))
        else:
            self._launch(session, run)
        world.touch(session)

    def _launch(self, session: SimSession, run: Run) -> None:
        if run.message.origin in _MAIN_LANE:
            self.lane.add(run)
        run.is_waiting_for_lane = False
        self.world.agenda.after(self.world.profile.start_lag, self._begin, session, run)

    def _begin(self, session: SimSession, run: Run) -> None:
        """Lifecycle start: the row says ``running`` and is stamped, the model is asked."""
        if run.is_over:
            return
        world = self.world
        wall = world.wall_ms
        run.started_ms = wall
        session.status = "running"
        session.started_ms = session.updated_ms = wall
        session.ended_ms = session.runtime_ms = None
        session.aborted_last_run = False
        session.last_run_error = None
        session.system_sent = True
        if not world.profile.keeps_first_words:
            self._write_words(session, run)
        run.turn = run.message.turn or world.provider.turn_for(session)
        limit = world.run_timeout_seconds
        if world.profile.honours_timeout and run.message.timeout_seconds is not None:
            limit = run.message.timeout_seconds
        if limit is not None:
            world.agenda.after(limit, self._time_out, session, run)
        world.touch(session)
        world.tell(session.key, phase="start", run_id=run.run_id)
        world.tell(session.key, stream="lifecycle", run_id=run.run_id, data={"phase": "start", "startedAt": wall})
        self._enter(session, run, 0)

    def _write_words(self, session: SimSession, run: Run) -> None:
        """Write the request into the transcript, and do to an interrupted one's words what this version does."""
        world, message = self.world, run.message
        run.answers_to = message.text
        entries = session.transcript
        text = message.text
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
        world.write(session, EntryKind.USER, text, run, is_internal=message.is_internal, sender=message.sender)

    # ------------------------------------------------------------ steps

    def _enter(self, session: SimSession, run: Run, number: int) -> None:
        turn = run.turn
        assert turn is not None
        world = self.world
        step = turn.steps[number % len(turn.steps)]
        run.step = number
        run.step_began_ms = world.now_ms
        if step.activity in _CALLS_THE_MODEL:
            self._call_model(session, run)
        elif step.activity is Activity.TOOL:
            self._call_tool(session, run, "exec")
        elif step.activity is Activity.APPROVAL:
            self._wait_for_person(session, run, world.approvals, "exec", "rm -r build")
        elif step.activity is Activity.QUESTION:
            self._wait_for_person(session, run, world.questions, "ask_user", "Which of the two shall I take?")
        elif step.activity is Activity.CHILDREN:
            self._call_tool(session, run, "sessions_spawn")
            self._start_children(session, run, turn)
        if step.seconds is not None:
            world.agenda.after(step.seconds, self._step_over, session, run, number)

    def _call_model(self, session: SimSession, run: Run) -> None:
        said, tool_results = visible_words(session)
        self.world.model_calls.append(ModelCall(self.world.now_ms, session.key, run.run_id, said, tool_results))

    def _call_tool(self, session: SimSession, run: Run, name: str) -> None:
        run.tool_calls += 1
        self.world.write(session, EntryKind.TOOL_CALL, name, run)
        self.world.tell(session.key, stream="tool", run_id=run.run_id, data={"phase": "start", "name": name})

    def _wait_for_person(self, session: SimSession, run: Run, book: dict[str, Waiting], tool: str, text: str) -> None:
        self._call_tool(session, run, tool)
        world = self.world
        note = world.new_id()
        expires = world.wall_ms + 48 * 3600 * 1000
        book[note] = Waiting(note, session.key, run.run_id, text, world.wall_ms, expires, session.agent_id)

    def _start_children(self, session: SimSession, run: Run, turn: Turn) -> None:
        for key, work in turn.children:
            child = self.world.session(key, spawned_by=session.key)
            run.children.append(key)
            words = Message(f"sub-task of {session.key}", Origin.SUBAGENT, self.world.new_id(), self.world.wall_ms)
            words.turn = work
            self.submit(child, words)
        self.world.touch(session)

    def _step_over(self, session: SimSession, run: Run, number: int) -> None:
        """A step has ended by itself: go on, take queued words in, or finish."""
        turn = run.turn
        if run.is_over or turn is None or run.step != number:
            return
        world = self.world
        activity = turn.steps[number % len(turn.steps)].activity
        if activity in (Activity.TOOL, Activity.APPROVAL, Activity.QUESTION, Activity.CHILDREN):
            world.write(session, EntryKind.TOOL_RESULT, f"result {run.tool_calls}", run)
            world.tell(session.key, stream="tool", run_id=run.run_id, data={"phase": "end"})
        elif activity is Activity.COMPACTION:
            world.write(session, EntryKind.COMPACTION, "", run)
        elif activity is Activity.RETRY:
            self._retry(session, run)
        if world.profile.steers_queued and session.queue:
            self._take_in_queued(session, run)
        elif number + 1 < len(turn.steps) or turn.repeats:
            self._enter(session, run, number + 1)
        elif turn.error is not None:
            self.finish(session, run, status="failed", error=turn.error)
        else:
            self.finish(session, run, status="done")

    def _retry(self, session: SimSession, run: Run) -> None:
        """A provider attempt failed and will be made again: ``startedAt`` is re-stamped (2026.9.6.md 3: five in 34 s);
        3.24 writes ``failed`` although the run goes on."""
        world = self.world
        if not world.profile.keeps_first_words:
            world.write(session, EntryKind.ERROR, run.turn.error or "" if run.turn else "", run)
        if world.profile.fails_row_between_retries:
            session.status, session.ended_ms = "failed", world.wall_ms
        else:
            run.started_ms = session.started_ms = session.updated_ms = world.wall_ms
        world.touch(session)

    def _take_in_queued(self, session: SimSession, run: Run) -> None:
        """Steering (5.18, channels.md 6): queued words join the live run, and its own answer is never given."""
        world = self.world
        while session.queue:
            message = session.queue.popleft()
            world.write(session, EntryKind.USER, message.text, run, sender=message.sender)
            run.answers_to = message.text
            world.results.alias(message.run_id, run.run_id)
        self._call_model(session, run)
        world.agenda.after(STEERED_SECONDS, self._finish_steered, session, run)

    def _finish_steered(self, session: SimSession, run: Run) -> None:
        if not run.is_over:
            self.finish(session, run, status="done")

    def answer_person(self, book: dict[str, Waiting], note: str) -> bool:
        """A person approved or answered: the waiting run goes on. False if nothing waits under that id."""
        waiting = book.pop(note, None)
        if waiting is None:
            return False
        session = self.world.sessions.get(waiting.key)
        if session is not None and session.run is not None and session.run.run_id == waiting.run_id:
            self._step_over(session, session.run, session.run.step)
        return True

    # ------------------------------------------------------------ ends

    def finish(self, session: SimSession, run: Run, *, status: str, error: str | None = None) -> None:
        """The run comes to an end of its own: answer, row, lane, then the next queued message."""
        world = self.world
        self._retire(session, run)
        turn = run.turn
        assert turn is not None
        text = ""
        is_delivered = False
        lost, late_ms = self._fate_of_write(run, turn)
        if status == "done" and not lost:
            text = world.provider.words(turn, run.answers_to)
            world.write(session, EntryKind.ANSWER, text, run)
            session.total_tokens = (session.total_tokens or 0) + 15
            is_delivered = world.chat.answer(session, run, text)
        if lost:
            self._lose_write(session, run)
        elif late_ms is not None:
            session.settling = run
            world.agenda.after((late_ms - world.now_ms) / 1000, self._settle, session, run, status, error)
        else:
            self._write_row(session, run, status, error)
        self._report(session, run, status, error, text, is_delivered=is_delivered)
        self._after_run(session)

    def _retire(self, session: SimSession, run: Run) -> None:
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

    def _fate_of_write(self, run: Run, turn: Turn) -> tuple[bool, int | None]:
        """(is the terminal write lost, when does a late one settle)."""
        world = self.world
        if not world.profile.goes_deaf:
            return False, None
        locked_for = world.store_locked_until_ms - world.now_ms
        if turn.ending is Ending.LOST or locked_for > SECONDS_BEFORE_GIVING_UP_A_WRITE * 1000:
            return True, None
        if turn.ending is Ending.LATE or locked_for > 0:
            wait_ms = locked_for if locked_for > 0 else round(world.rng.uniform(10, 40) * 1000)
            return False, world.now_ms + wait_ms
        return False, None

    def _lose_write(self, session: SimSession, run: Run) -> None:
        """2026.9.6 (2026.9.6.md 7g, channels.md 3): neither answer nor row is written; a chat-app session goes deaf."""
        self.world.stall(session, run, Cause.LOST_WRITE)
        if run.message.origin is Origin.CHANNEL:
            session.is_deaf = True
            self.world.chat.say(run.message.route, SOMETHING_WENT_WRONG, session.key, run.run_id, "notice")

    def _settle(self, session: SimSession, run: Run, status: str, error: str | None) -> None:
        if session.settling is not run:
            return
        session.settling = None
        self._write_row(session, run, status, error)
        self._after_run(session)

    def _write_row(self, session: SimSession, run: Run, status: str, error: str | None) -> None:
        world = self.world
        wall = world.wall_ms
        started = run.started_ms or wall
        session.status, session.started_ms, session.ended_ms = status, started, wall
        session.runtime_ms = wall - started
        session.updated_ms = wall
        session.last_run_id, session.last_run_error = run.run_id, error
        if run.restores is not None:
            for name, value in run.restores.items():
                setattr(session, name, value)
            if not run.restores:
                session.status = session.started_ms = session.ended_ms = session.runtime_ms = None
        if session.status != "running":
            world.end_stall(session, self._ender(run))
        world.touch(session)
        world.tell(session.key, phase="end" if status == "done" else "error", run_id=run.run_id)
        world.tell(
            session.key,
            stream="lifecycle",
            run_id=run.run_id,
            data={"phase": "end", "startedAt": started, "endedAt": wall},
        )

    @staticmethod
    def _ender(run: Run) -> str:
        origin = run.message.origin
        if origin is Origin.RECOVERY:
            return "gateway"
        if run.message.via == "new":
            return "new"
        return f"person:{run.run_id}" if origin is Origin.CHANNEL else f"turn:{run.run_id}"

    def _report(
        self, session: SimSession, run: Run, status: str, error: str | None, text: str, *, is_delivered: bool | None
    ) -> None:
        world = self.world
        result = RunResult(
            run.run_id,
            session.key,
            session.session_id,
            status,
            world.wall_ms,
            run.started_ms,
            text,
            error,
            run.message.origin,
        )
        result.is_delivered = is_delivered
        world.results.put(result)
        if run.message.origin is Origin.CRON:
            world.cron.log(session.key, run.run_id, "ok" if status == "done" else "error", error)
        if run.message.origin is Origin.SUBAGENT and session.spawned_by is not None:
            self._child_ended(session.spawned_by)

    def _child_ended(self, parent_key: str) -> None:
        parent = self.world.sessions.get(parent_key)
        run = parent.run if parent is not None else None
        if parent is None or run is None or run.current is None or run.current.activity is not Activity.CHILDREN:
            return
        if all(self.world.sessions[key].run is None for key in run.children):
            self._step_over(parent, run, run.step)

    def _after_run(self, session: SimSession) -> None:
        is_tracked = self.world.profile.after_abort is not AfterAbort.RUNS_UNTRACKED
        if session.run is None and session.settling is None and session.queue:
            self._admit(session, session.queue.popleft(), is_tracked=is_tracked)

    def _time_out(self, session: SimSession, run: Run) -> None:
        """The run's own limit: 3.24 and 4.14 write what a stop writes and leave the row ``running`` (older.md 5)."""
        if run.is_over:
            return
        world, status = self.world, self.world.profile.status_after_timeout
        self._retire(session, run)
        error = "Request timed out before a response was generated."
        world.write(session, EntryKind.ABORTED, "" if status is None else "request timed out", run)
        if status is not None:
            self._write_row(session, run, status, error)
        elif run.restores is not None:
            self._write_row(session, run, "running", None)
            session.aborted_last_run = True
        else:
            world.stall(session, run, Cause.TIMEOUT)
        self._report(session, run, "timeout", error, "", is_delivered=False)
        self._after_run(session)

    def stop(self, session: SimSession, run: Run, *, reason: str = "rpc") -> None:
        """Somebody stopped the run on purpose: what that leaves in transcript, row and queue is each version's own."""
        world, profile = self.world, self.world.profile
        had_begun = run.started_ms is not None
        self._retire(session, run)
        if had_begun:
            self._write_stop(session, run)
        status = profile.status_after_abort
        if profile.after_abort is AfterAbort.DROPPED and session.queue:
            status = "failed"
            session.queue.clear()
        elif profile.after_abort is AfterAbort.CANCELLED:
            session.cancelled.extend(session.queue)
            session.queue.clear()
        if status is not None:
            run.started_ms = run.started_ms or run.message.at_ms
            self._write_row(session, run, status, None)
            session.aborted_last_run = status == "killed"
            world.end_stall(session, "stopped")
        elif had_begun:
            world.stall(session, run, Cause.STOPPED)
        world.tell(session.key, reason="abort")
        self._report(session, run, "stopped", reason, "", is_delivered=False)
        self._after_run(session)

    def _write_stop(self, session: SimSession, run: Run) -> None:
        """3.24/4.14: an ``aborted`` entry always. 5.18/9.6: only streamed text leaves a mark (measured 2026-11-20)."""
        world = self.world
        streamed = self.streamed(run)
        if streamed:
            world.write(session, EntryKind.PARTIAL, streamed, run)
        if world.profile.status_after_abort is not None:
            return
        if run.current is not None and run.current.activity is Activity.TOOL:
            world.write(session, EntryKind.TOOL_RESULT, "Command aborted by signal SIGTERM", run)
        world.write(session, EntryKind.ABORTED, streamed, run)

    def streamed(self, run: Run) -> str:
        """The text a streaming run has shown so far: a word a second."""
        step = run.current
        if step is None or step.activity is not Activity.STREAM:
            return ""
        words = (self.world.now_ms - run.step_began_ms) // 1000
        return " ".join(f"word{n}" for n in range(min(words, 400)))

    def orphan(self, session: SimSession, cause: Cause) -> None:
        """The process ended under this session: its run is gone without a word, what was only in memory with it."""
        world = self.world
        run = session.run
        session.unflushed.clear()
        session.queue.clear()
        session.cancelled.clear()
        if session.settling is not None:
            session.settles_at_ms = None
        if run is None:
            return
        run.is_over = True
        session.run = None
        if run.started_ms is None:
            pass  # not begun: the stored row knows nothing of it
        elif run.message.origin is Origin.CRON:
            self._orphan_cron(session, run, cause)
        elif session.kind is SessionKind.SUBAGENT and world.profile.recovers_at_boot:
            session.status = "failed"
            session.last_run_error = "subagent run was interrupted before a terminal lifecycle event was persisted"
            world.end_stall(session, "gateway")
        else:
            world.stall(session, run, cause)
        world.touch(session)

    def _orphan_cron(self, session: SimSession, run: Run, cause: Cause) -> None:
        """9.6: "running" was only projected, so nothing is left (2026.9.6.md 7a'''). Before: rows stay (#56121)."""
        if self.world.profile.recovers_at_boot:
            session.status = None
            session.started_ms = session.ended_ms = None
            self.world.cron.log(session.key, run.run_id, "error", "cron: interrupted by gateway restart")
        else:
            self.world.stall(session, run, cause)

    def forget_all(self) -> None:
        """The process is gone: no lane, nobody waiting."""
        self.lane.clear()
        self.waiting.clear()
        self.world.approvals.clear()
        self.world.questions.clear()


def stall_of(session: SimSession, run: Run, cause: Cause, now_ms: int) -> Stall:
    """The record of a row left ``running`` by this run."""
    step = run.current
    doing = step.activity.value if step is not None else "starting"
    return Stall(session.key, cause, now_ms, run.answers_to or run.message.text, run.run_id, session.session_id, doing)
