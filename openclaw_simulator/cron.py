"""Scheduled entries: they start runs by themselves, and keep a log that tells finished work from stuck rows (#56121)."""

from __future__ import annotations

from openclaw_simulator.admission import Admission
from openclaw_simulator.records import CronRun
from openclaw_simulator.sessions import CronEntry, InboundMessage, Origin, Turn, answers
from openclaw_simulator.state import WorldState

KEPT_RUNS = 50


class Cron:
    """One world's schedule."""

    def __init__(self, world: WorldState, admission: Admission) -> None:
        self.world = world
        self.admission = admission
        self.entries: dict[str, CronEntry] = {}
        self._by_key: dict[str, CronEntry] = {}

    def add(self, name: str, every_seconds: float, turn: Turn | None = None, *, agent_id: str = "main") -> CronEntry:
        """Enter a schedule whose session is ``agent:<agent>:cron:<id>``."""
        world = self.world
        entry_id = world.new_id()
        entry = CronEntry(
            id=entry_id,
            name=name,
            every_seconds=every_seconds,
            key=f"agent:{agent_id}:cron:{entry_id}",
            agent_id=agent_id,
            created_ms=world.wall_ms,
            turn=turn or answers(20.0),
            message=f"scheduled: {name}",
        )
        self.entries[entry_id] = self._by_key[entry.key] = entry
        world.agenda.after(every_seconds, self._due, entry)
        return entry

    def restart(self) -> None:
        """A new process arms every schedule anew."""
        for entry in self.entries.values():
            self.world.agenda.after(entry.every_seconds, self._due, entry)

    def _due(self, entry: CronEntry) -> None:
        world = self.world
        session = world.session(entry.key)
        if session.run is None:
            text = f"[cron:{entry.id} {entry.name}] {entry.message}"
            message = InboundMessage(text, Origin.CRON, world.new_id(), world.wall_ms, turn=entry.turn)
            self.admission.submit(session, message)
        world.agenda.after(entry.every_seconds, self._due, entry)

    def log(self, key: str, run_id: str, status: str, error: str | None) -> None:
        """A run of an entry ended."""
        entry = self._by_key.get(key)
        if entry is not None:
            entry.runs.append(CronRun(self.world.wall_ms, entry.id, key, run_id, status, error))
            del entry.runs[:-KEPT_RUNS]
