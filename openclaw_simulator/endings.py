"""How runs end, and what each end leaves in row, transcript and chat app.

The heart of every version's lies: most stuck rows are the work of an ending that was not written down.
"""

from __future__ import annotations

from openclaw_simulator.admission import Admission
from openclaw_simulator.cron import Cron
from openclaw_simulator.outbound import Outbound, SendResult
from openclaw_simulator.profiles import AfterAbort
from openclaw_simulator.records import Answered, Cause
from openclaw_simulator.results import RunResult
from openclaw_simulator.sessions import (
    Activity,
    ConversationKind,
    Ending,
    EntryKind,
    Origin,
    Run,
    SimSession,
    Turn,
)
from openclaw_simulator.state import WorldState

SECONDS_BEFORE_GIVING_UP_A_WRITE = 15.0
"""A store locked longer than this across a run's end loses the terminal write; shorter, it only comes late (9.6)."""
SOMETHING_WENT_WRONG = (
    "⚠️ Something went wrong while processing your request. Please try again, or use /new to start a fresh session."
)
NO_REPLY = "⚠️ OpenClaw couldn't produce or deliver a reply. Please try again."


class Endings:
    """The ends of one gateway's runs."""

    def __init__(self, world: WorldState, admission: Admission, outbound: Outbound, cron: Cron) -> None:
        self.world = world
        self.admission = admission
        self.outbound = outbound
        self.cron = cron

    def finish(self, session: SimSession, run: Run, *, status: str, error: str | None = None) -> None:
        """The run comes to an end of its own: answer, row, lane, then the next queued message."""
        world = self.world
        self.admission.retire(session, run)
        turn = run.turn
        assert turn is not None
        text = ""
        is_delivered: bool | None = False
        delivery: SendResult | None = None
        lost, late_ms = self._fate_of_write(turn)
        is_left = status == "done" and not lost and turn.ending is Ending.ANSWERED and world.profile.goes_deaf
        if status == "done" and not lost and turn.is_silent:
            world.answers.append(Answered(world.now_ms, session.key, run.run_id, True))
        elif status == "done" and not lost and not turn.yields:
            text = world.provider.words(run.answers_to, None if run.is_steered else turn.answer)
            world.write(session, EntryKind.ANSWER, text, run)
            session.total_tokens = (session.total_tokens or 0) + 15
            if not (is_left and run.message.origin is Origin.CHANNEL):
                delivery = self.outbound.answer(session, run, text)
                is_delivered = None if delivery is None else delivery.succeeded
            if run.message.origin is not Origin.HEARTBEAT:  # that one answers nobody
                world.answers.append(Answered(world.now_ms, session.key, run.run_id, is_delivered))
            if is_delivered is False and run.message.demands_delivery and world.profile.goes_deaf:
                status, error = "failed", delivery.error if delivery is not None else None
        elif status == "failed" and not lost and world.profile.keeps_first_words:
            # 9.6 writes it once, at the end; earlier versions at each attempt.
            world.write(session, EntryKind.ERROR, error or "", run)
        if lost or is_left:
            self._lose_write(session, run, Cause.ANSWERED if is_left else Cause.LOST_WRITE)
        elif late_ms is not None:
            session.settling = run
            world.touch(session)
            world.agenda.after((late_ms - world.now_ms) / 1000, self._settle, session, run, status, error)
        elif turn.yields and world.profile.keeps_yielded_running:
            self._write_yield(session, run)
        else:
            self._write_row(session, run, status, error)
        self._report(session, run, status, error, text, is_delivered=is_delivered, delivery=delivery)
        self.admission.go_on(session)

    def _fate_of_write(self, turn: Turn) -> tuple[bool, int | None]:
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

    def _lose_write(self, session: SimSession, run: Run, cause: Cause) -> None:
        """2026.9.6 (2026.9.6.md 7g, channels.md 3): the row is not written, of the answer nothing or (``ANSWERED``) all; a
        chat-app session goes deaf."""
        self.admission.stall(session, run, cause)
        if run.message.origin is Origin.CHANNEL:
            session.is_deaf = True
            self.outbound.say(run.message.route, SOMETHING_WENT_WRONG, session.key, run.run_id, "notice")

    def _settle(self, session: SimSession, run: Run, status: str, error: str | None) -> None:
        if session.settling is not run:
            return
        session.settling = None
        self._write_row(session, run, status, error)
        self.admission.go_on(session)

    def _write_row(
        self, session: SimSession, run: Run, status: str, error: str | None, *, is_aborted: bool = False
    ) -> None:
        world = self.world
        wall = world.wall_ms
        started = run.started_ms or wall
        session.status, session.started_ms, session.ended_ms = status, started, wall
        session.runtime_ms = wall - started
        session.updated_ms = wall
        session.last_run_id, session.last_run_error = run.run_id, error
        session.aborted_last_run = is_aborted
        if run.restores is not None:
            for name, value in run.restores.items():
                setattr(session, name, value)
            if not run.restores:
                session.status = session.started_ms = session.ended_ms = session.runtime_ms = None
            lag = world.profile.agent_failure_lag
            if status == "failed" and lag is not None:
                session.ended_ms = run.restores.get("ended_ms")
                world.agenda.after(lag, self._show_failure, session, run, wall)
        if session.status != "running":
            session.recovery_charges = 0
            self.admission.end_stall(session, self._ender(run) if status == "done" else f"{status}:{run.run_id}")
        world.touch(session)
        world.tell(session.key, phase="end" if status == "done" else "error", run_id=run.run_id)
        world.tell(
            session.key,
            stream="lifecycle",
            run=run,
            data={"phase": "end", "startedAt": started, "endedAt": wall},
        )

    def _write_yield(self, session: SimSession, run: Run) -> None:
        """9.6: the end is written, the status is not."""
        wall = self.world.wall_ms
        session.ended_ms = session.updated_ms = wall
        session.runtime_ms = wall - (run.started_ms or wall)
        self.admission.end_stall(session, self._ender(run))
        self.world.touch(session)

    def children_ended(self, session: SimSession, run: Run) -> None:
        """The last sub-agent of a run that has yielded ended: the session is woken, or forgotten."""
        if session.yielded is not run or run.turn is None:
            return
        if run.turn.is_woken:
            self.admission.wake(session)
            return
        session.yielded = None
        if self.world.profile.keeps_yielded_running and session.run is None and session.status == "running":
            self.admission.stall(session, run, Cause.NOT_WOKEN)

    def _show_failure(self, session: SimSession, run: Run, ended_ms: int) -> None:
        if session.run is None and session.last_run_id == run.run_id:
            session.status, session.ended_ms, session.updated_ms = "failed", ended_ms, self.world.wall_ms
            self.admission.end_stall(session, f"failed:{run.run_id}")
            self.world.touch(session)

    @staticmethod
    def _ender(run: Run) -> str:
        origin = run.message.origin
        if origin is Origin.RECOVERY:
            return "gateway"
        if run.message.via == "new":
            return "new"
        return f"person:{run.run_id}" if origin is Origin.CHANNEL else f"turn:{run.run_id}"

    def _report(
        self,
        session: SimSession,
        run: Run,
        status: str,
        error: str | None,
        text: str,
        *,
        is_delivered: bool | None,
        delivery: SendResult | None = None,
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
        result.delivery_error = delivery.error if delivery is not None else None
        result.was_attempted = delivery is not None and delivery.is_attempted
        result.is_delivery_demanded = run.message.demands_delivery
        world.results.put(result)
        if run.message.origin is Origin.CRON:
            self.cron.log(session.key, run.run_id, "ok" if status == "done" else "error", error)

    def time_out(self, session: SimSession, run: Run) -> None:
        """The run's own limit: 3.24 and 4.14 write what a stop writes and leave the row ``running`` (older.md 5)."""
        if run.is_over:
            return
        world, status = self.world, self.world.profile.status_after_timeout
        self.admission.retire(session, run)
        error = "Request timed out before a response was generated."
        world.write(session, EntryKind.ABORTED, "" if status is None else "request timed out", run)
        if status is not None:
            self._write_row(session, run, status, error)
        elif run.restores is not None:
            self._write_row(session, run, "running", None, is_aborted=True)
        else:
            session.updated_ms = world.wall_ms  # older.md 5: "updatedAt = moment of the run timeout"
            self.admission.stall(session, run, Cause.TIMEOUT)
        self._report(session, run, "timeout", error, "", is_delivered=False)
        self.admission.go_on(session)

    def stop(self, session: SimSession, run: Run, *, reason: str = "rpc") -> None:
        """Somebody stopped the run on purpose: what that leaves in transcript, row and queue is each version's own."""
        world, profile = self.world, self.world.profile
        had_begun = run.started_ms is not None
        streamed = run.streamed(self.world.now_ms)
        self.admission.retire(session, run)
        if had_begun:
            self._write_stop(session, run, streamed)
        status = profile.status_after_abort
        if profile.after_abort is AfterAbort.DROPPED:
            if session.queue or (streamed and run.message.origin is Origin.WEB):
                status = "failed"  # 5.18: ``timeout`` at first, ``failed`` a moment later (measured)
            session.queue.clear()
        elif profile.after_abort is AfterAbort.CANCELLED:
            session.cancelled.extend(session.queue)
            session.queue.clear()
        if status is not None:
            if not had_begun or run.message.origin is Origin.AGENT or profile.after_abort is AfterAbort.DROPPED:
                run.started_ms = run.message.at_ms  # stamped back to when it was accepted (measured)
            self._write_row(session, run, status, None, is_aborted=status == "killed")
        elif had_begun:
            self.admission.stall(session, run, Cause.STOPPED)
        world.tell(session.key, reason="abort")
        self._report(session, run, "stopped", reason, "", is_delivered=False)
        self.admission.go_on(session)

    def _write_stop(self, session: SimSession, run: Run, streamed: str) -> None:
        """3.24/4.14: an ``aborted`` entry always. 5.18/9.6: only streamed text leaves a mark (measured 2026-11-20)."""
        world = self.world
        if streamed:
            world.write(session, EntryKind.PARTIAL, streamed, run)
        if world.profile.status_after_abort is not None:
            return
        if run.current is not None and run.current.activity is Activity.TOOL:
            world.write(session, EntryKind.TOOL_RESULT, "Command aborted by signal SIGTERM", run)
        world.write(session, EntryKind.ABORTED, streamed, run)

    def cut(self, session: SimSession) -> None:
        """An in-process restart ends a run (3.24, 4.14): transcript and row look as after a Stop (measured 2026-11-20)."""
        run = session.run
        if run is None or run.started_ms is None:
            return
        self._write_stop(session, run, run.streamed(self.world.now_ms))
        session.updated_ms = self.world.wall_ms

    def orphan(self, session: SimSession, cause: Cause) -> None:
        """The process ended under this session: its run is gone without a word, what was only in memory with it."""
        world = self.world
        run = session.run
        world.touch(session)
        session.unflushed.clear()
        self._drop_queue(session)
        session.cancelled.clear()
        session.is_retrying = False
        session.is_in_boot_recovery = False
        settling, session.settling = session.settling, None
        if settling is not None:
            self.admission.stall(session, settling, Cause.FINISHED)
        if run is None:
            return
        run.is_over = True
        session.run = None
        if run.started_ms is None:
            pass  # not begun: the stored row knows nothing of it
        elif run.message.origin is Origin.CRON:
            self._orphan_cron(session, run, cause)
        elif session.spawned_by is not None and world.profile.fails_cut_children is not None:
            session.is_cut_child = True
            session.status, session.aborted_last_run = None, None
            self.admission.end_stall(session, "gateway")
        elif session.kind is ConversationKind.SUBAGENT and world.profile.recovers_at_boot:
            session.status = "failed"
            session.last_run_error = "subagent run was interrupted before a terminal lifecycle event was persisted"
            self.admission.end_stall(session, "gateway")
        else:
            self.admission.stall(session, run, cause)
        world.touch(session)

    def _drop_queue(self, session: SimSession) -> None:
        """9.6 keeps what people wrote in a durable store and gives it to the next process; a client's words it shows as
        ``interrupted`` and never runs. Before, all of them are gone."""
        queued = list(session.queue)
        session.queue.clear()
        if self.world.profile.goes_deaf:
            session.spool += [message for message in queued if message.origin is Origin.CHANNEL]
            session.interrupted += [message for message in queued if message.origin is not Origin.CHANNEL]

    def _orphan_cron(self, session: SimSession, run: Run, cause: Cause) -> None:
        """9.6: "running" was only projected, so nothing is left (2026.9.6.md 7a'''). Before: rows stay (#56121)."""
        if self.world.profile.recovers_at_boot:
            session.status = None
            session.started_ms = session.ended_ms = None
            self.admission.end_stall(
                session, "gateway"
            )  # if an older run had left the row running, it no longer says so
            self.cron.log(session.key, run.run_id, "error", "cron: interrupted by gateway restart")
        else:
            self.admission.stall(session, run, cause)
