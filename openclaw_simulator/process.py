"""The gateway's own life: starting, up, draining, frozen, killed, restarted inside its process."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial

from openclaw_simulator.actions import Actions
from openclaw_simulator.admission import SPOOL_SECONDS, Admission
from openclaw_simulator.cron import Cron
from openclaw_simulator.endings import Endings
from openclaw_simulator.outbound import Outbound
from openclaw_simulator.profiles import InProcessRestart
from openclaw_simulator.records import BrokenRecovery, Cause
from openclaw_simulator.sessions import EntryKind, InboundMessage, Origin, SimSession
from openclaw_simulator.state import WorldState

DRAIN_SECONDS = 315.0
"""2026.9.6: how long a stopping gateway waits for its runs (read from its log; never waited out for real)."""
RECOVERY_STARTS_AFTER = 2.0
RECOVERY_GAP = 1.0
RECOVERY_TRIES = 3
RECOVERY_PAUSE = 5.0
"""Before a second try, twice as long before the third; meanwhile nothing names the recovery (9.6, source)."""
GIVEN_UP = "I couldn't continue this session after a gateway restart. Your transcript is safe."
MARKED_BEFORE_READY = 3.4
"""2026.9.6 marks interrupted rows so many seconds before it answers (measured)."""
CONTINUING = "I'm continuing your interrupted request now (the gateway has just restarted)."
RECOVERY_PROMPT = (
    "[System] Your previous turn was interrupted by a gateway restart while OpenClaw was waiting on tool/model work. "
    "Continue from the existing transcript."
)


CUT_CHILD = (
    "Subagent execution was interrupted by a Gateway res ... istory and uncertain tool outcomes, then continue the child with a "
    "follow-up or assign replacement work."
)
"""What a row of 2026.9.6 says, shortened as it is there."""


class Phase(StrEnum):
    DOWN = "down"
    """Nothing listens."""
    BOOTING = "booting"
    """The process is there; nothing listens yet."""
    REFUSING = "refusing"
    """HTTP answers, ``connect`` is refused with UNAVAILABLE ``startup-sidecars`` (9.6)."""
    UP = "up"
    DRAINING = "draining"
    """9.6 after SIGTERM: upgrades get HTTP 503, calls on open sockets UNAVAILABLE."""


class Process:
    """One gateway process after the other, on one state."""

    def __init__(
        self,
        world: WorldState,
        admission: Admission,
        endings: Endings,
        outbound: Outbound,
        cron: Cron,
        actions: Actions,
    ) -> None:
        self.world = world
        self.admission = admission
        self.endings = endings
        self.outbound = outbound
        self.cron = cron
        self.actions = actions
        self.phase = Phase.UP
        self.boot_id = world.new_id()
        self.booted_ms = world.now_ms
        """Start of the operating system's process; an in-process restart does not move it (``uptimeMs``)."""
        self.boots = 1
        self._interrupted: list[SimSession] = []
        """What this process's own recovery will take up."""
        self.is_recovering = False
        """A try of its own recovery goes on."""
        self.breaks_off = 0
        """So many of the next tries end before they have taken anything up."""
        self.suspension_id: str | None = None
        self.hang_ups: list[Callable[[int | None, str, dict[str, object] | None], None]] = []
        """Called when every socket ends: close code (None: no close frame, as after kill -9), reason, and the payload
        of a ``shutdown`` event sent before, if there was one."""

    @property
    def is_frozen(self) -> bool:
        return self.world.agenda.is_frozen

    @property
    def hears_people(self) -> bool:
        return self.phase in (Phase.UP, Phase.DRAINING)

    @property
    def is_answering(self) -> bool:
        return self.phase is Phase.UP and not self.is_frozen

    @property
    def is_suspended(self) -> bool:
        return self.suspension_id is not None

    @property
    def uptime_ms(self) -> int:
        return self.world.now_ms - self.booted_ms

    @property
    def boot_wall_ms(self) -> int:
        """When the gateway's process began, by its own clock."""
        return self.booted_ms + self.world.skew_ms

    # ------------------------------------------------------------ ends

    def kill(self) -> None:
        """kill -9: no close frame, no event; every live run is an orphan."""
        if self.phase is Phase.DOWN:
            return
        self._die(Cause.CRASH, None, "", None)

    def terminate(self) -> None:
        """SIGTERM. Before 9.6 it exits within a second, rows stay ``running`` (older.md 5). 9.6 drains first."""
        if self.phase in (Phase.DOWN, Phase.DRAINING):
            return
        if self.world.profile.drains_on_term and any(s.run is not None for s in self.world.sessions.values()):
            self.phase = Phase.DRAINING
            self.world.agenda.after(1.0, self._watch_drain, self.world.now_ms + round(DRAIN_SECONDS * 1000))
            return
        self._stop_orderly()

    def _watch_drain(self, until_ms: int) -> None:
        world = self.world
        if world.now_ms < until_ms and any(s.run is not None for s in world.sessions.values()):
            world.agenda.after(1.0, self._watch_drain, until_ms)
            return
        self._stop_orderly()

    def _stop_orderly(self) -> None:
        self._die(Cause.CRASH, 1012, "service restart", {"reason": "gateway stopping", "restartExpectedMs": None})

    def _die(self, cause: Cause, code: int | None, reason: str, shutdown: dict[str, object] | None) -> None:
        world = self.world
        self.phase = Phase.DOWN
        self.is_recovering, self.suspension_id = False, None
        world.agenda.end_life()
        self._hang_up(code, reason, shutdown)
        for session in world.sessions.values():
            self.endings.orphan(session, cause)
        self.admission.forget_all()
        world.results.forget()
        self.actions.forget()

    def _hang_up(self, code: int | None, reason: str, shutdown: dict[str, object] | None) -> None:
        for hang_up in tuple(self.hang_ups):
            hang_up(code, reason, shutdown)

    # ------------------------------------------------------------ beginnings

    def start(self) -> None:
        """A new process on the old state; on a drifted one it ends at once ("gateway.maintenance_required", 9.6)."""
        if self.phase is not Phase.DOWN or self.world.has_drifted:
            return
        world, profile = self.world, self.world.profile
        self.phase = Phase.BOOTING
        self._interrupted = []
        self.boots += 1
        self.boot_id = world.new_id()
        self.booted_ms = world.now_ms
        if profile.refuses_before_ready:
            world.agenda.after(profile.start_seconds - profile.refuses_before_ready, self._refuse)
        if profile.recovers_at_boot:
            world.agenda.after(profile.start_seconds - MARKED_BEFORE_READY, self._mark_interrupted)
        world.agenda.after(profile.start_seconds, self._ready)

    def _refuse(self) -> None:
        self.phase = Phase.REFUSING

    def _ready(self) -> None:
        if self.world.has_drifted:
            self.phase = Phase.DOWN
            return
        self.phase = Phase.UP
        self.cron.restart()
        self.actions.say_kept()
        self._recover_interrupted()
        if self.world.profile.fails_cut_children is not None:
            self.world.agenda.after(self.world.profile.fails_cut_children, self._fail_cut_children)
        for session in self.world.sessions.values():
            if session.spool:  # 9.6 keeps what people wrote in a durable store
                self.admission.offer_later(session, RECOVERY_STARTS_AFTER + SPOOL_SECONDS)

    def _fail_cut_children(self) -> None:
        """Sub-agents that died with the process before this one have failed; who waited for them is woken, or forgotten."""
        world = self.world
        for child in [session for session in world.sessions.values() if session.is_cut_child]:
            child.is_cut_child = False
            if child.run is not None or child.status is not None:
                continue
            child.status, child.ended_ms = "failed", world.wall_ms
            child.last_run_error = CUT_CHILD
            world.touch(child)
        for session in world.sessions.values():
            run = session.yielded
            if run is not None and all(world.sessions[key].run is None for key in run.children):
                if world.profile.wakes_after_cut is None:
                    session.yielded = None
                else:
                    world.agenda.after(world.profile.wakes_after_cut, self.endings.children_ended, session, run)

    def restart(self, down_seconds: float = 1.0, *, orderly: bool = False) -> None:
        """Kill (or SIGTERM) now, start again after ``down_seconds``."""
        if orderly:
            self.terminate()
        else:
            self.kill()
        self.world.agenda.outside(down_seconds, self._start_when_down)

    def _start_when_down(self) -> None:
        if self.phase is Phase.DRAINING:
            self.world.agenda.outside(1.0, self._start_when_down)
        else:
            self.start()

    def restart_in_process(self) -> None:
        """Same pid, same ``uptimeMs``, new ``bootId`` (9.6); sockets get ``shutdown`` and close 1012."""
        if self.phase is not Phase.UP:
            return
        world, manner = self.world, self.world.profile.in_process_restart
        live = [s for s in world.sessions.values() if s.run is not None]
        if manner is InProcessRestart.TIMES_OUT:
            for session in live:
                if session.run is not None:
                    self.endings.stop(session, session.run, reason="restart")
        elif manner is InProcessRestart.ORPHANS:
            for session in live:
                self.endings.cut(session)
        self._die(
            Cause.IN_PROCESS_RESTART,
            1012,
            "service restart",
            {"reason": "gateway restarting", "restartExpectedMs": 1500},
        )
        self.phase = Phase.BOOTING
        self.boots += 1
        self.boot_id = world.new_id()
        if world.profile.recovers_at_boot:
            world.agenda.after(0.5, self._mark_interrupted)
        world.agenda.after(min(world.profile.start_seconds, 4.0), self._ready)

    def freeze(self) -> None:
        """SIGSTOP: TCP connects, nothing answers."""
        self.world.agenda.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self.world.agenda.thaw()

    def host_sleeps(self, seconds: float) -> None:
        """The whole machine sleeps: time passes, nothing inside moves; on waking everything due happens."""
        world = self.world
        was_frozen = self.is_frozen
        self.freeze()
        world.advance(seconds)
        if not was_frozen:
            self.thaw()

    # ------------------------------------------------------------ its own restart recovery (9.6)

    def _mark_interrupted(self) -> None:
        """9.6: every interrupted ordinary row is marked at one instant, before any list is answered."""
        world = self.world
        interrupted = [
            s
            for s in world.sessions.values()
            if s.status == "running" and s.run is None and s.is_ordinary and s.ended_ms is None  # that one has yielded
        ]
        self._interrupted = sorted(interrupted, key=lambda s: s.updated_ms, reverse=True)
        for session in self._interrupted:
            session.is_in_boot_recovery = True
            session.aborted_last_run = True
            world.touch(session, moved=True)

    def _recover_interrupted(self) -> None:
        """2026.9.6.md 7: interrupted ordinary sessions are re-run one after the other, each when the one before has ended,
        from 2 to 9 s after ready; until its turn each row reads running / ``hasActiveRun`` false / ``abortedLastRun`` true.
        5.18 takes up those alone that a person stopped after their run had died."""
        world = self.world
        if world.profile.takes_up_stopped:
            self._interrupted = [
                s
                for s in world.sessions.values()
                if s.status == "running" and s.run is None and s.is_ordinary and s.aborted_last_run
            ]
            for session in self._interrupted:
                session.is_in_boot_recovery = True
                world.touch(session)
        if self._interrupted:
            world.agenda.after(RECOVERY_STARTS_AFTER, self._try, 1)

    def _try(self, number: int) -> None:
        """One walk over what is interrupted. Where something was left over there is another, at most three."""
        self.is_recovering = True
        left, self._interrupted = self._interrupted, []
        if self.breaks_off:
            self.breaks_off -= 1
            self._end_try(number, left)
        else:
            self._take_next(number, left, [])

    def _take_next(self, number: int, waiting: list[SimSession], left: list[SimSession]) -> None:
        if not waiting:
            self._end_try(number, left)
            return
        session, *rest = waiting
        goes_on = partial(self._take_next, number, rest, left)
        words = [message.run_id for message in session.queue if message.origin is not Origin.CHANNEL]
        run_id = None
        if words and session.status == "running" and session.is_in_boot_recovery:
            # "failed=1": it finds somebody's turn where it was going to begin its own.
            self.world.broken_recoveries.append(BrokenRecovery(self.world.now_ms, session.key, tuple(words)))
            left.append(session)
        else:
            run_id = self._rerun(session)
        if run_id is None:
            goes_on()
        else:
            self.world.results.when_ended(run_id, lambda _: self.world.agenda.after(RECOVERY_GAP, goes_on))

    def _end_try(self, number: int, left: list[SimSession]) -> None:
        self.is_recovering = False
        if left and number < RECOVERY_TRIES:
            self._interrupted = left
            self.world.agenda.after(RECOVERY_PAUSE * 2 ** (number - 1), self._try, number + 1)
            return
        for session in left:
            session.is_in_boot_recovery = False
            self.world.touch(session)
            self.admission.go_on(session)

    def _rerun(self, session: SimSession) -> str | None:
        """Take one up; None: there is nothing to wait for."""
        world = self.world
        session.is_in_boot_recovery = False
        world.touch(session)
        if session.run is not None or session.status != "running":
            self.admission.go_on(session)
            return None
        if world.profile.gives_up_recovery and session.recovery_charges >= RECOVERY_TRIES:
            self.give_up(session)
            return None
        session.recovery_charges += 1
        session.aborted_last_run = False
        address, cut = session.address, session.cut
        route = address if address is not None and address.reaches_a_person else None
        if cut is not None and cut.route is not None:
            route = cut.route  # a run has a reply route of its own, whoever has written since
        if not world.profile.takes_up_stopped:
            self.outbound.say(route, CONTINUING, session.key, None, "recovery")
        message = InboundMessage(
            RECOVERY_PROMPT, Origin.RECOVERY, world.new_id(), world.wall_ms, route=route, via="recovery"
        )
        message.is_internal = True
        message.author = cut.author if cut is not None else None
        self.admission.submit(session, message)
        return message.run_id

    def give_up(self, session: SimSession) -> None:
        """A tombstone: the row is ended, its person told, and every message refused from now on (8.2, 9.6)."""
        world = self.world
        cut = session.cut
        session.status, session.restart_recovery_status = "failed", "tombstoned"
        session.aborted_last_run = False
        session.ended_ms = session.updated_ms = world.wall_ms
        session.runtime_ms = None if session.started_ms is None else world.wall_ms - session.started_ms
        session.last_run_id = session.last_run_error = None
        world.write(session, EntryKind.MIRROR, GIVEN_UP)
        route = cut.route if cut is not None and cut.route is not None else session.address
        self.outbound.say(route, GIVEN_UP, session.key, None, "notice")
        self.admission.end_stall(session, "tombstoned")
        world.touch(session)

    # ------------------------------------------------------------ suspension

    def suspend(self, seconds: float) -> None:
        """It takes nothing, until it is resumed or the time is over."""
        if self.phase is not Phase.UP or not self.world.profile.may_be_suspended:
            return
        self.suspension_id = mine = self.world.new_id()
        self.world.agenda.after(seconds, self._resume, mine)

    def _resume(self, suspension: str) -> None:
        if self.suspension_id == suspension:
            self.resume()

    def resume(self) -> None:
        self.suspension_id = None
