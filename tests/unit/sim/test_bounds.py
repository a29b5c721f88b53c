"""How soon a session that becomes stuck is found: within ``stuck_after`` + ``confirm_for`` + 2 s, with events and without;
one whose events are lost, within a full sweep more. On 2026.9.6 by a run whose last write was lost, the only row that is
left running there while the gateway lives."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.sim.episodes import BEGINNING, GATEWAY, Episode, Setting
from tests.sim.timeline import VirtualLoop
from watchdog.core.policy import Thresholds
from watchdog.simulator.faults import Wire
from watchdog.simulator.sessions import Activity, Ending, Step, Turn

KEY = "agent:main:dashboard:one"
OTHERS = 30
PATIENCE = Thresholds().stuck_after + Thresholds().confirm_for + timedelta(seconds=2)
FULL_SWEEP = timedelta(minutes=15)
WARM_UP = 20 * 60
TURNS = 5
SETTING = Setting(
    seed=1,
    version="2026.9.6",
    sessions=OTHERS,
    hours=1.0,
    turns_per_hour=0.0,
    troubles_per_hour=0.0,
    travel=0.001,
    is_remote=True,
    run_timeout=None,
    kills=False,
    skips=False,
)


class Deaf(Wire):
    """Loses every event about sessions, in a way that no gap in their numbers tells of."""

    loses = False

    @property
    def is_faulty(self) -> bool:
        return self.loses

    def carry(self, frame: dict[str, Any]) -> list[str]:
        is_lost = frame["type"] == "event" and frame["event"] in ("sessions.changed", "agent")
        return [] if self.loses and is_lost else Wire.carry(self, frame)


@dataclass(slots=True)
class Stuck(Episode):
    """A quiet world; after the warm-up and ``phase`` seconds a run takes ``lasts`` seconds and loses its last write."""

    phase: float = 0.0
    lasts: float = 0.0
    is_deaf: bool = False
    has_turns: bool = True
    """Turns come now and then until the warm-up is over: then the watch listens on a link of its own."""
    was_heard: bool = field(init=False, default=False)
    delay: timedelta | None = field(init=False, default=None)
    """From the end of the run to the opening of its incident."""

    async def _run(self) -> None:
        world = self.world
        for number in range(OTHERS):
            world.finished_turn(f"agent:main:dashboard:{number}")
            world.advance(60)
        world.finished_turn(KEY)
        wire = self._wiring.wire = Deaf(self._rng)
        watching = asyncio.create_task(self._keep_watching())
        for _ in range(TURNS if self.has_turns else 0):
            await self._until(world.now_ms + 60_000)
            world.begin("agent:main:dashboard:0", "and now?")
        await self._until(world.now_ms + round((WARM_UP + self.phase) * 1000))
        self.was_heard = any(socket.peer.is_subscribed for socket in self._wiring.sockets)
        wire.loses = self.is_deaf
        world.begin(KEY, "list the bridges", Turn((Step(Activity.SILENT, self.lasts),), ending=Ending.LOST))
        await self._until(world.now_ms + round((self.lasts + 60) * 1000))
        (stall,) = world.stalls
        await self._until(stall.since_ms + (PATIENCE + FULL_SWEEP) // timedelta(milliseconds=1))
        for incident in self._ledger.history(since=BEGINNING, gateway=GATEWAY):
            since = datetime.fromtimestamp(stall.since_ms / 1000, UTC)
            self.delay = incident.opened_at - since
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def _played(phase: float, lasts: float, *, hears: bool, is_deaf: bool = False, has_turns: bool = True) -> Stuck:
    setting = replace(SETTING, hears=hears)
    episode = Stuck(setting, phase=phase, lasts=lasts, is_deaf=is_deaf, has_turns=has_turns)
    loop = VirtualLoop(episode.timeline)
    try:
        loop.run_until_complete(episode._run())
    finally:
        loop.close()
    assert episode.was_heard is (hears and has_turns)
    return episode


PHASES = [0.0, 7.0, 29.0, 31.0, 44.0, 59.0]


@pytest.mark.parametrize(
    ("hears", "has_turns"), [(True, True), (True, False), (False, True)], ids=["listens", "overhears", "lists"]
)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("lasts", [1.0, 45.0, 400.0])
def test_it_is_found_in_time(phase: float, lasts: float, hears: bool, has_turns: bool) -> None:
    delay = _played(phase, lasts, hears=hears, has_turns=has_turns).delay
    assert delay is not None
    assert Thresholds().stuck_after <= delay <= PATIENCE


@pytest.mark.parametrize("has_turns", [True, False], ids=["listens", "overhears"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("lasts", [1.0, 45.0, 400.0])
def test_without_its_events_it_is_found_a_full_sweep_later_at_most(phase: float, lasts: float, has_turns: bool) -> None:
    delay = _played(phase, lasts, hears=True, is_deaf=True, has_turns=has_turns).delay
    assert delay is not None
    assert delay <= PATIENCE + FULL_SWEEP
