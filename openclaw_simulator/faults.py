"""What can go wrong with a gateway and with the wire to it: a seeded schedule, entered into a world as outside events.

Process faults act on the world itself (kill, freeze, clock). Wire faults are a :class:`Wire` that whoever carries
frames (socket server, in-process driver) asks before it hands one on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from openclaw_simulator.world import World


@dataclass(slots=True)
class Wire:
    """The state of the wire. Probabilities are per answer frame."""

    rng: Random
    latency: float = 0.0
    """Seconds every answer takes (a blocked event loop, a slow host)."""
    drops: float = 0.0
    duplicates: float = 0.0
    truncates: float = 0.0
    """The frame ends in the middle."""
    malforms: float = 0.0
    """One row of a list is nonsense."""
    refuses: bool = False
    """Nobody listens, although the process lives."""
    mangled: int = 0
    """How many frames were touched."""

    def carry(self, frame: dict[str, Any]) -> list[str]:
        """The texts that really arrive for this frame: none, one, or two of them, perhaps broken."""
        if not self.is_faulty:
            return [json.dumps(frame, separators=(",", ":"), ensure_ascii=False)]
        shaped = self.shape(frame)
        text = json.dumps(shaped, separators=(",", ":"), ensure_ascii=False)
        if frame.get("type") != "res":
            return [text]
        chance = self.rng.random()
        if chance < self.drops:
            self.mangled += 1
            return []
        if chance < self.drops + self.duplicates:
            self.mangled += 1
            return [text, text]
        if chance < self.drops + self.duplicates + self.truncates:
            self.mangled += 1
            return [text[: max(1, len(text) // 2)]]
        return [text]

    @property
    def is_faulty(self) -> bool:
        return bool(self.drops or self.duplicates or self.truncates or self.malforms)

    def shape(self, frame: dict[str, Any]) -> dict[str, Any]:
        """The frame, with one row of a list made nonsense if chance says so."""
        payload = frame.get("payload")
        if not self.malforms or not isinstance(payload, dict):
            return frame
        if not payload.get("sessions") or not isinstance(payload["sessions"], list):
            return frame  # ``health`` has an object of that name
        if self.rng.random() >= self.malforms:
            return frame
        rows = list(payload["sessions"])
        place = self.rng.randrange(len(rows))
        rows[place] = self.rng.choice(
            (
                None,
                "not a row",
                {"key": 7},
                {**rows[place], "startedAt": "yesterday"},
                {**rows[place], "status": ["running"]},
                {name: value for name, value in rows[place].items() if name != "key"},
            )
        )
        self.mangled += 1
        return {**frame, "payload": {**payload, "sessions": rows}}


class FaultKind(StrEnum):
    KILL = "kill"
    """kill -9, start again after ``seconds``."""
    TERM = "term"
    IN_PROCESS_RESTART = "in_process_restart"
    FREEZE = "freeze"
    """SIGSTOP for ``seconds``."""
    HOST_SLEEP = "host_sleep"
    """The same seen from outside; a watchdog on that host should sleep with it."""
    CLOCK_JUMP = "clock_jump"
    """The gateway's wall clock steps by ``seconds`` (may be negative)."""
    STORE_LOCK = "store_lock"
    """The store is locked for ``seconds`` (9.6: lost or late terminal writes)."""
    SLOW = "slow"
    """Every answer takes ``amount`` seconds, for ``seconds``."""
    LOSSY = "lossy"
    """Frames are dropped, doubled and cut with probability ``amount`` each, for ``seconds``."""
    MALFORMED = "malformed"
    """Rows are nonsense with probability ``amount``, for ``seconds``."""
    REFUSE = "refuse"
    """Nobody listens for ``seconds``."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: when (seconds from the start of the schedule), what, for how long, how bad."""

    at: float
    kind: FaultKind
    seconds: float = 0.0
    amount: float = 0.0


ALL_KINDS = tuple(FaultKind)


def schedule(
    rng: Random, hours: float, *, per_hour: float = 0.5, kinds: tuple[FaultKind, ...] = ALL_KINDS
) -> tuple[Fault, ...]:
    """A seeded schedule: about ``per_hour`` faults an hour, in order of time."""
    faults: list[Fault] = []
    at = rng.expovariate(per_hour) * 3600 if per_hour > 0 else hours * 3600
    while at < hours * 3600:
        faults.append(_one(rng, at, rng.choice(kinds)))
        at += rng.expovariate(per_hour) * 3600
    return tuple(faults)


def _one(rng: Random, at: float, kind: FaultKind) -> Fault:
    seconds, amount = rng.uniform(1, 30), 0.0
    if kind in (FaultKind.FREEZE, FaultKind.HOST_SLEEP):
        seconds = rng.choice((rng.uniform(5, 60), rng.uniform(60, 1800)))
    elif kind is FaultKind.CLOCK_JUMP:
        seconds = rng.choice((-1, 1)) * rng.uniform(60, 7200)
    elif kind is FaultKind.STORE_LOCK:
        seconds = rng.choice((rng.uniform(1, 14), rng.uniform(20, 60)))
    elif kind is FaultKind.SLOW:
        seconds, amount = rng.uniform(30, 600), rng.uniform(0.5, 20)
    elif kind in (FaultKind.LOSSY, FaultKind.MALFORMED):
        seconds, amount = rng.uniform(30, 600), rng.uniform(0.05, 0.5)
    elif kind is FaultKind.REFUSE:
        seconds = rng.uniform(10, 300)
    return Fault(at, kind, seconds, amount)


@dataclass(slots=True)
class Armed:
    """A schedule at work on one world and one wire."""

    world: World
    wire: Wire
    struck: list[Fault] = field(default_factory=list)

    def arm(self, faults: Iterable[Fault]) -> None:
        """Enter every fault into the world's agenda, counted from now."""
        for fault in faults:
            self.world.agenda.outside(fault.at, self._strike, fault)

    @property
    def is_over(self) -> bool:
        """No fault is in effect any more (the gateway is up, the wire is clean)."""
        wire = self.wire
        return self.world.process.is_answering and not wire.is_faulty and not wire.refuses and wire.latency == 0.0

    def _strike(self, fault: Fault) -> None:
        world, wire, process = self.world, self.wire, self.world.process
        self.struck.append(fault)
        later = world.agenda.outside
        match fault.kind:
            case FaultKind.KILL:
                process.restart(fault.seconds)
            case FaultKind.TERM:
                process.restart(fault.seconds, orderly=True)
            case FaultKind.IN_PROCESS_RESTART:
                process.restart_in_process()
            case FaultKind.FREEZE | FaultKind.HOST_SLEEP:
                process.freeze()
                later(fault.seconds, process.thaw)
            case FaultKind.CLOCK_JUMP:
                world.skew_ms += round(fault.seconds * 1000)
            case FaultKind.STORE_LOCK:
                world.lock_store(fault.seconds)
            case FaultKind.SLOW:
                wire.latency = fault.amount
                world.event_loop_delay_ms = round(fault.amount * 1000)
                later(fault.seconds, self._calm)
            case FaultKind.LOSSY:
                wire.drops = wire.duplicates = wire.truncates = fault.amount / 3
                later(fault.seconds, self._calm)
            case FaultKind.MALFORMED:
                wire.malforms = fault.amount
                later(fault.seconds, self._calm)
            case FaultKind.REFUSE:
                wire.refuses = True
                later(fault.seconds, self._calm)

    def _calm(self) -> None:
        wire = self.wire
        wire.latency = wire.drops = wire.duplicates = wire.truncates = wire.malforms = 0.0
        wire.refuses = False
        self.world.event_loop_delay_ms = 0
