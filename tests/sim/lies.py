"""What a gateway of each version was seen to say that is not so, or not all of it, seeded: strikes of their own beside the
weather, in a part of the worlds. Each is only told where that version was measured to tell it (``Profile``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random

from openclaw_simulator import sessions as turns
from openclaw_simulator.process import RECOVERY_TRIES, Phase
from openclaw_simulator.records import Person, RefusedDeed
from openclaw_simulator.sessions import Activity, ActivityStep, ConversationKind, Ending, Origin, SimSession, Turn
from openclaw_simulator.world import World

DISK = RefusedDeed("UNAVAILABLE", "Error: disk I/O error")
ACTIVE = RefusedDeed("UNAVAILABLE", "Session is still active; try again.", retryable=True, retry_after_ms=1000)
MUTATED = RefusedDeed("UNAVAILABLE", "Session has another lifecycle mutation in progress; try again.")
INVALID = RefusedDeed("INVALID_REQUEST", "Session worker is gone.")
REFUSALS = (DISK, ACTIVE, MUTATED, INVALID)
"""None of them ever passes here, whatever it says of itself."""
UNKNOWN_WORD = "hibernating"


class Lie(StrEnum):
    """What is told."""

    REFUSES_DEEDS = "refuses_deeds"
    """A session is stuck, and every deed on it is refused for good."""
    RECOVERY_WAITS = "recovery_waits"
    """Several runs are cut, and the gateway takes them up one after the other, for hours; some tries break off."""
    ANSWERED_AND_DEAF = "answered_and_deaf"
    """An answer is written and its row left; mostly somebody writes again, and is refused at the door."""
    OWN_ROW_LEFT = "own_row_left"
    """The same with every turn of a client's, ours too."""
    TOMBSTONE = "tombstone"
    WORDS_DROPPED = "words_dropped"
    """Words that wait behind a run are lost with the process."""
    NOT_WOKEN = "not_woken"
    """A parent has yielded, its child has ended, and nobody wakes it."""
    SUSPENDED = "suspended"
    DRIFTED = "drifted"
    LISTS_ONLY = "lists_only"
    """A session is stuck, and its store has drifted, too: the list is answered from memory, and all else about it refused."""
    UNKNOWN_STATUS = "unknown_status"
    CALLED_DONE = "called_done"
    """A session is stuck, and its row says ``done`` some time later: nobody was answered."""
    HEARTBEATS = "heartbeats"
    """A session is stuck, and heartbeats run in it, and in a group somebody else writes: none of it answers who waits there."""
    SILENT = "silent"
    """Whatever is asked is answered without a word (``NO_REPLY``), and a session is stuck."""
    BLOCKED = "blocked"
    """A session is stuck whose person has blocked the bot."""


ANOTHER = Person("4711", "Zoe Zander")
HEARTBEAT = "Read HEARTBEAT.md if it exists. If nothing needs attention, reply HEARTBEAT_OK."
HEARTBEAT_EVERY = 1800.0
OURS = "[openclaw-watchdog"
"""Begins every turn that a watchdog sends."""


@dataclass(slots=True)
class Lies:
    """Those of one world. ``struck``: where each is noted with its time, for the story of a violation."""

    world: World
    rng: Random
    struck: list[tuple[int, str]]
    numbers: int = field(init=False, default=0)
    _is_over: bool = field(init=False, default=False)

    @property
    def told_here(self) -> tuple[Lie, ...]:
        """What this version can tell."""
        profile = self.world.profile
        kinds = [Lie.REFUSES_DEEDS, Lie.UNKNOWN_STATUS]
        kinds.append(Lie.SILENT)
        if profile.has_heartbeats:
            kinds.append(Lie.HEARTBEATS)
        if profile.calls_cut_runs_done:
            kinds.append(Lie.CALLED_DONE)
        if profile.names_recovery:
            kinds += 3 * [Lie.RECOVERY_WAITS]
        if profile.gives_up_recovery:
            kinds.append(Lie.TOMBSTONE)
        if profile.may_be_suspended:
            kinds.append(Lie.SUSPENDED)
        if profile.goes_deaf:
            # The store in one file, and ``agent.wait`` that tells of a delivery, came with the same version.
            kinds += [Lie.ANSWERED_AND_DEAF, Lie.OWN_ROW_LEFT, Lie.WORDS_DROPPED, Lie.NOT_WOKEN, Lie.DRIFTED]
            kinds += [Lie.BLOCKED, Lie.LISTS_ONLY]
        return tuple(kinds)

    def arm(self, hours: float, per_hour: float) -> None:
        """Enter everything that will be told within ``hours`` from now."""
        at = self.rng.expovariate(per_hour) * 3600
        while at < hours * 3600:
            self.world.agenda.outside(at, self._strike, self.rng.choice(self.told_here))
            at += self.rng.expovariate(per_hour) * 3600

    def clear_up(self) -> None:
        """An end to what has one. A refused deed stays refused, a tombstone a tombstone."""
        world, self._is_over = self.world, True
        self._repair()
        world.process.breaks_off = 0
        if world.process.is_suspended:
            world.process.resume()
        for key in world.sessions:
            self._say_status(key, None)
        world.blocked.clear()

    # ------------------------------------------------------------ inside

    def _strike(self, lie: Lie) -> None:
        process = self.world.process
        if process.phase is not Phase.UP or process.is_frozen or process.is_suspended or self.world.has_drifted:
            return
        if self._tell(lie):
            self.struck.append((self.world.now_ms, lie.value))

    def _tell(self, lie: Lie) -> bool:
        world, rng, later = self.world, self.rng, self.world.agenda.outside
        match lie:
            case Lie.SUSPENDED:
                if any(session.run is not None for session in world.sessions.values()):
                    return False
                world.process.suspend(rng.choice((120.0, rng.uniform(120, 7200))))
                return True
            case Lie.DRIFTED:
                world.has_drifted = True
                later(rng.uniform(300, 7200), self._repair)
                return True
            case Lie.RECOVERY_WAITS:
                return self._cut_several()
            case Lie.OWN_ROW_LEFT:
                world.provider.usual = replace(turns.answers(4.0), ending=Ending.ANSWERED)
                later(rng.uniform(1800, 7200), self._provider_recovers)
        session = self._idle(needs_chat=lie in (Lie.ANSWERED_AND_DEAF, Lie.BLOCKED))
        return session is not None and self._tell_of(lie, session)

    def _tell_of(self, lie: Lie, session: SimSession) -> bool:
        world, rng, later = self.world, self.rng, self.world.agenda.outside
        match lie:
            case Lie.REFUSES_DEEDS:
                session.refusal = rng.choice(REFUSALS)
                self._leave_stuck(session)
            case Lie.OWN_ROW_LEFT:
                self._leave_stuck(session)
            case Lie.HEARTBEATS:
                self._leave_stuck(session)
                for number in range(1, rng.randint(2, 8)):
                    later(HEARTBEAT_EVERY * number, self._beat, session)
                    if session.kind is ConversationKind.GROUP:
                        later(HEARTBEAT_EVERY * (number + 0.5), self._another_writes, session)
            case Lie.SILENT:
                self._leave_stuck(session)
                later(90.0, self._answer_silently)
                later(rng.uniform(1800, 7200), self._provider_recovers)
            case Lie.CALLED_DONE:
                self._leave_stuck(session)
                later(rng.uniform(60, 7200), self._call_done, session)
            case Lie.LISTS_ONLY:
                self._leave_stuck(session)
                later(rng.uniform(5, 3600), self._drift_beside_lists)
            case Lie.BLOCKED:
                world.chat.block(world.homes[session.key])
                self._leave_stuck(session)
            case Lie.ANSWERED_AND_DEAF:
                self._ask(session, Turn((ActivityStep(Activity.SILENT, 3.0),), ending=Ending.ANSWERED))
                if rng.random() < 0.8:
                    later(rng.choice((rng.uniform(5, 60), rng.uniform(60, 5400))), self._ask, session, None)
            case Lie.TOMBSTONE:
                session.recovery_charges = RECOVERY_TRIES
                self._ask(session, turns.runs_long_tool(3600.0))
                later(rng.uniform(5, 60), world.process.restart, rng.uniform(1, 60))
            case Lie.WORDS_DROPPED:
                self._ask(session, turns.stays_silent())
                later(rng.uniform(5, 30), self._ask, session, None)
                later(rng.uniform(30, 600), world.process.restart, rng.uniform(1, 60))
            case Lie.NOT_WOKEN:
                child = f"agent:main:subagent:forgotten-{self._number()}"
                work = turns.answers(rng.uniform(5, 3600))
                waits = turns.yields(((child, work),), is_woken=rng.random() < 0.3)
                if rng.random() < 0.7:
                    self._ask(session, waits)
                else:  # the turn that a watchdog sends is the one that waits
                    world.provider.rules[OURS] = waits
                    later(rng.uniform(600, 10_800), world.provider.rules.pop, OURS, None)
                    self._leave_stuck(session)
            case Lie.UNKNOWN_STATUS:
                self._ask(session, rng.choice((turns.answers(rng.uniform(60, 3600)), turns.stays_silent())))
                later(rng.uniform(1, 60), self._say_status, session.key, UNKNOWN_WORD)
                later(rng.uniform(600, 10_800), self._say_status, session.key, None)
        return True

    def _idle(self, *, needs_chat: bool) -> SimSession | None:
        """A session of somebody's where nothing is going on; None: there is none."""
        found = [
            session
            for session in self.world.sessions.values()
            if session.is_ordinary
            and session.run is None
            and session.stall is None
            and session.settling is None
            and not session.is_tombstoned
            and not session.is_archived
            and (session.created_via == "channel" or not needs_chat)
        ]
        return self.rng.choice(found) if found else None

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    def _ask(self, session: SimSession, turn: Turn | None) -> None:
        """Whoever uses it says something."""
        world, text = self.world, f"matter {self._number()} for {session.key}"
        if not world.process.is_answering:
            return
        if session.created_via == "channel":
            world.chat.person_writes(session.key, text, turn)
        else:
            world.begin(session.key, text, turn, origin=Origin.WEB, device_id="control-ui")

    def _leave_stuck(self, session: SimSession) -> None:
        """As this version leaves sessions stuck: by a write that is lost, before 9.6 by a crash."""
        if self.world.profile.goes_deaf:
            self._ask(session, Turn((ActivityStep(Activity.SILENT, 3.0),), ending=Ending.LOST))
            return
        self._ask(session, turns.runs_long_tool(3600.0))
        self.world.agenda.outside(self.rng.uniform(10, 60), self.world.process.restart, self.rng.uniform(1, 60))

    def _cut_several(self) -> bool:
        world, rng = self.world, self.rng
        ordinary = [s for s in world.sessions.values() if s.is_ordinary and s.run is None and not s.is_tombstoned]
        if len(ordinary) < 2:
            return False
        for session in rng.sample(ordinary, min(len(ordinary), rng.randint(2, 6))):
            self._ask(session, turns.runs_long_tool(3600.0))
        world.provider.usual = turns.answers(rng.uniform(600, 5400))
        world.process.breaks_off = rng.choice((0, 0, 0, 1, 2, 3))
        world.agenda.outside(rng.uniform(10, 60), world.process.restart, rng.uniform(1, 60))
        world.agenda.outside(rng.uniform(2, 5) * 3600, self._provider_recovers)
        return True

    def _provider_recovers(self) -> None:
        self.world.provider.usual = turns.answers()

    def _drift_beside_lists(self) -> None:
        if self._is_over:
            return
        self.world.has_drifted = self.world.lists_from_memory = True
        self.world.agenda.outside(self.rng.uniform(300, 7200), self._repair)

    def _repair(self) -> None:
        """``openclaw doctor --fix``."""
        if self.world.has_drifted:
            self.world.has_drifted = self.world.lists_from_memory = False
            self.world.process.start()

    def _answer_silently(self) -> None:
        self.world.provider.usual = replace(turns.answers(), is_silent=True)

    def _beat(self, session: SimSession) -> None:
        process = self.world.process
        if process.is_answering and session.run is None and not session.is_tombstoned and not self._is_over:
            self.world.begin(session.key, HEARTBEAT, turns.answers(2.0, "HEARTBEAT_OK"), origin=Origin.HEARTBEAT)

    def _another_writes(self, session: SimSession) -> None:
        if self.world.process.is_answering and not session.is_tombstoned and not self._is_over:
            self.world.chat.person_writes(session.key, f"hello {self._number()}", turns.answers(2.0), by=ANOTHER)

    def _call_done(self, session: SimSession) -> None:
        if session.stall is not None and session.run is None and not self._is_over:
            session.status, session.ended_ms = "done", self.world.now_ms
            self.world.admission.end_stall(session, "called done")

    def _say_status(self, key: str, word: str | None) -> None:
        session = self.world.sessions[key]
        if session.status_word != word:
            session.status_word = word
            self.world.touch(session)
