"""The life of a run: started (once ``admission`` lets it), and step by step on to its end (which is in ``endings``).

Every difference between versions is read from the :class:`~openclaw_simulator.profiles.Profile`; nothing here knows a
version by name.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from openclaw_simulator import rights
from openclaw_simulator.admission import Admission
from openclaw_simulator.endings import Endings
from openclaw_simulator.provider import visible_words
from openclaw_simulator.records import ModelCall, PendingInput
from openclaw_simulator.sessions import Activity, Author, EntryKind, InboundMessage, Origin, Run, SimSession, Turn
from openclaw_simulator.state import WorldState

STEERED_SECONDS = 3.0
DELTA_SECONDS = 5.0
"""How often a streaming run tells listeners of new text. Nothing is entered when nobody listens."""
_CALLS_THE_MODEL = (Activity.SILENT, Activity.STREAM, Activity.RETRY)


class Engine:
    """Runs of one gateway process."""

    def __init__(self, world: WorldState, admission: Admission, endings: Endings) -> None:
        self.world = world
        self.admission = admission
        self.endings = endings

    def begin(self, session: SimSession, run: Run) -> None:
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
            self.admission.write_words(session, run)
        run.turn = run.message.turn or world.provider.turn_for(session)
        message = run.message
        run.tools = rights.offered(world, session, message.author, restart_safe=message.is_restart_safe)
        limit = world.run_timeout_seconds
        if world.profile.honours_timeout and run.message.timeout_seconds is not None:
            limit = run.message.timeout_seconds
        if limit is not None:
            world.agenda.after(limit, self.endings.time_out, session, run)
        world.touch(session)
        world.tell(session.key, phase="start", run_id=run.run_id)
        world.tell(session.key, stream="lifecycle", run=run, data={"phase": "start", "startedAt": wall})
        self._enter(session, run, 0)

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
            self.tell_of_text(session)
        elif step.activity is Activity.TOOL:
            self._call_tool(session, run, "exec")
        elif step.activity is Activity.APPROVAL:
            self._wait_for_person(session, run, world.approvals, "exec", "rm -r build")
        elif step.activity is Activity.QUESTION:
            self._wait_for_person(session, run, world.questions, "ask_user", "Which of the two shall I take?")
        elif step.activity is Activity.CHILDREN:
            self._call_tool(session, run, "sessions_spawn")
            self._start_children(session, run, turn)
            if turn.yields:
                world.write(session, EntryKind.TOOL_RESULT, "started", run)
                self._call_tool(session, run, "sessions_yield")
                world.write(session, EntryKind.TOOL_RESULT, "yielded", run)
                session.yielded = run
                self.endings.finish(session, run, status="done")
                return
        if step.seconds is not None:
            world.agenda.after(step.seconds, self.step_over, session, run, number)

    def _call_model(self, session: SimSession, run: Run) -> None:
        said, tool_results = visible_words(session)
        author = run.message.author or Author()
        call = ModelCall(self.world.now_ms, session.key, run.run_id, said, tool_results)
        self.world.model_calls.append(replace(call, person=author.person, client=author.client, tools=run.tools))

    def tell_of_text(self, session: SimSession) -> None:
        """Begin to send ``assistant`` events for a streaming run, if somebody listens."""
        run = session.run
        if run is None or run.is_telling or not self.world.listeners:
            return
        if run.current is not None and run.current.activity is Activity.STREAM:
            run.is_telling = True
            self.world.agenda.after(DELTA_SECONDS, self._delta, session, run)

    def _delta(self, session: SimSession, run: Run) -> None:
        run.is_telling = False
        text = "" if run.is_over else run.streamed(self.world.now_ms)
        if text:
            self.world.tell(session.key, stream="assistant", run=run, data={"text": text, "delta": text.split()[-1]})
            self.tell_of_text(session)

    def _call_tool(self, session: SimSession, run: Run, name: str) -> None:
        run.tool_calls += 1
        self.world.write(session, EntryKind.TOOL_CALL, name, run)
        self.world.tell(session.key, stream="tool", run=run, data={"phase": "start", "name": name})

    def _wait_for_person(
        self, session: SimSession, run: Run, book: dict[str, PendingInput], tool: str, text: str
    ) -> None:
        self._call_tool(session, run, tool)
        world = self.world
        note = world.new_id()
        expires = world.wall_ms + 48 * 3600 * 1000
        book[note] = PendingInput(note, session.key, run.run_id, text, world.wall_ms, expires, session.agent_id)

    def _start_children(self, session: SimSession, run: Run, turn: Turn) -> None:
        for key, work in turn.children:
            child = self.world.session(key, spawned_by=session.key)
            run.children.append(key)
            words = InboundMessage(
                f"sub-task of {session.key}", Origin.SUBAGENT, self.world.new_id(), self.world.wall_ms
            )
            words.turn = work
            self.world.results.when_ended(words.run_id, lambda _: self._child_ended(session.key, run))
            self.admission.submit(child, words)
        self.world.touch(session)

    def _child_ended(self, parent_key: str, by: Run) -> None:
        parent = self.world.sessions.get(parent_key)
        if parent is not None and by.is_over and by.turn is not None and by.turn.yields:
            if all(self.world.sessions[key].run is None for key in by.children):
                self.endings.children_ended(parent, by)
            return
        run = parent.run if parent is not None else None
        if parent is None or run is None or run.current is None or run.current.activity is not Activity.CHILDREN:
            return
        if all(self.world.sessions[key].run is None for key in run.children):
            self.step_over(parent, run, run.step)

    def step_over(self, session: SimSession, run: Run, number: int) -> None:
        """A step has ended by itself: go on, take queued words in, or finish."""
        turn = run.turn
        if run.is_over or turn is None or run.step != number:
            return
        world = self.world
        activity = turn.steps[number % len(turn.steps)].activity
        if activity in (Activity.TOOL, Activity.APPROVAL, Activity.QUESTION, Activity.CHILDREN):
            world.write(session, EntryKind.TOOL_RESULT, f"result {run.tool_calls}", run)
            world.tell(session.key, stream="tool", run=run, data={"phase": "end"})
        elif activity is Activity.COMPACTION:
            world.write(session, EntryKind.COMPACTION, "", run)
        elif activity is Activity.RETRY:
            self._retry(session, run)
        if world.profile.steers_queued and any(self._joins(run, message) for message in session.queue):
            self._take_in_queued(session, run)
        elif number + 1 < len(turn.steps) or turn.repeats:
            self._enter(session, run, number + 1)
        elif turn.error is not None:
            self.endings.finish(session, run, status="failed", error=turn.error)
        else:
            self.endings.finish(session, run, status="done")

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

    @staticmethod
    def _joins(run: Run, message: InboundMessage) -> bool:
        """Words of another chat are not steered into a run: they would be answered where that one is (*assumed*)."""
        route, own = message.route, run.message.route
        return route is None or own is None or route.place == own.place

    def _take_in_queued(self, session: SimSession, run: Run) -> None:
        """Steering (5.18, channels.md 6): queued words join the live run, and its own answer is never given."""
        world = self.world
        waiting, session.queue = session.queue, deque()
        for message in waiting:
            if not self._joins(run, message):
                session.queue.append(message)
                continue
            world.write(session, EntryKind.USER, message.text, run, author=message.told_author)
            run.answers_to = message.text
            run.is_steered = True
            world.results.alias(message.run_id, run.run_id)
        self._call_model(session, run)
        world.agenda.after(STEERED_SECONDS, self._finish_steered, session, run)

    def _finish_steered(self, session: SimSession, run: Run) -> None:
        if not run.is_over:
            self.endings.finish(session, run, status="done")

    def answer_person(self, book: dict[str, PendingInput], note: str) -> bool:
        """A person approved or answered: the waiting run goes on. False if nothing waits under that id."""
        waiting = book.pop(note, None)
        if waiting is None:
            return False
        session = self.world.sessions.get(waiting.key)
        if session is not None and session.run is not None and session.run.run_id == waiting.run_id:
            self.step_over(session, session.run, session.run.step)
        return True
