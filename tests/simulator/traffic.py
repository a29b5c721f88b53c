"""Seeded everyday life: people and programs that use sessions, so that long simulations have something to watch.

Every session gets a life of its own: words come in at random times, most turns end well, some are slow, silent, long
tools, fail, wait for a person, or are stopped by one. Nothing here is the gateway's fault; faults come from
``openclaw_simulator.faults``.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from openclaw_simulator import sessions as turns
from openclaw_simulator.process import Phase
from openclaw_simulator.sessions import Address, Origin, Turn

if TYPE_CHECKING:
    from openclaw_simulator.world import World

APPROVED_AFTER = 600.0


@dataclass(slots=True)
class Habits:
    """How busy, and how often what."""

    turns_per_hour: float = 0.5
    stops: float = 0.02
    """Share of turns somebody stops."""
    weights: tuple[tuple[float, str], ...] = (
        (0.62, "answers"),
        (0.10, "streams"),
        (0.10, "tools"),
        (0.06, "long_tool"),
        (0.05, "slow"),
        (0.03, "retries"),
        (0.02, "approval"),
        (0.02, "compacts"),
    )


def turn_of(kind: str, rng: Random) -> Turn:
    """A turn of this kind, drawn by ``rng``; of an unknown kind: an ordinary answer."""
    match kind:
        case "streams":
            return turns.streams(rng.uniform(10, 600))
        case "tools":
            return turns.uses_tools(rng.randint(1, 8), rng.uniform(1, 20))
        case "long_tool":
            return turns.runs_long_tool(rng.uniform(300, 5400))
        case "slow":
            return turns.answers(rng.uniform(120, 1800))
        case "retries":
            return turns.retries(rng.randint(2, 8), rng.uniform(2, 20))
        case "approval":
            return turns.waits_for_approval()
        case "compacts":
            return turns.compacts(rng.uniform(20, 240))
        case _:
            return turns.answers(rng.uniform(2, 40))


class Traffic:
    """People and programs around one world."""

    def __init__(self, world: World, rng: Random, habits: Habits | None = None) -> None:
        self.world = world
        self.rng = rng
        self.habits = habits or Habits()
        self.stopped_runs: set[str] = set()
        self.requests = 0

    def populate(self, count: int) -> list[str]:
        """Make ``count`` sessions of all kinds, and let each live its life from now on."""
        keys: list[str] = []
        for number in range(count):
            key = self._make(number)
            keys.append(key)
            self._plan(key)
        return keys

    def _make(self, number: int) -> str:
        kind = number % 5
        if kind == 0:
            key = f"agent:main:irc:direct:p{number}"
            self.world.chat.join(key, Address("irc", f"irc:p{number}"))
        elif kind == 1:
            key = f"agent:main:irc:group:#g{number}"
            self.world.chat.join(key, Address("irc", f"channel:#g{number}"))
        elif kind == 2:
            key = f"agent:main:thread-{number}"
            self.world.session(key, spawn_depth=1 if number % 2 else 0)
        elif kind == 3:
            key = f"agent:main:cron:c{number}"
            self.world.session(key)
        else:
            key = f"agent:main:dashboard:d{number}"
            self.world.session(key)
        return key

    def _plan(self, key: str) -> None:
        self.world.agenda.outside(self.rng.expovariate(self.habits.turns_per_hour) * 3600, self._speak, key)

    def _speak(self, key: str) -> None:
        self._plan(key)
        world, rng = self.world, self.rng
        if world.process.phase is not Phase.UP or world.process.is_frozen:
            return
        self.requests += 1
        text = f"request {self.requests} for {key}"
        if ":irc:" in key:
            run_id = world.chat.person_writes(key, text, turn_of(self._kind(), rng))
        else:
            origin = Origin.AGENT if rng.random() < 0.1 else Origin.WEB
            run_id = world.begin(key, text, turn_of(self._kind(), rng), origin=origin, device_id="control-ui")
        if run_id is not None and rng.random() < self.habits.stops:
            world.agenda.outside(rng.uniform(1, 60), self._stop, key, run_id)
        world.agenda.outside(APPROVED_AFTER, world.person_approves, key)

    def _kind(self) -> str:
        chance = self.rng.random()
        for weight, kind in self.habits.weights:
            chance -= weight
            if chance < 0:
                return kind
        return "answers"

    def _stop(self, key: str, run_id: str) -> None:
        """Somebody presses Stop, if the run still lives and this version's Stop can find it."""
        session = self.world.sessions[key]
        if session.run is not None and session.run.run_id == run_id and session.run.is_tracked:
            self.stopped_runs.add(run_id)
            self.world.endings.stop(session, session.run)
