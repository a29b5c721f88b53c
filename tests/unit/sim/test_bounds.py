"""How soon a session that becomes stuck is found: within ``stuck_after`` + ``confirm_for`` + one poll, whatever else happens,
and without waiting for a full sweep. On 2026.9.6 by a run whose last write was lost, the only row that is left running there
while the gateway lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from openclaw_simulator.sessions import Activity, ActivityStep, Ending, Turn
from tests.sim.episodes import BEGINNING, GATEWAY, Episode, Setting
from tests.sim.timeline import VirtualLoop
from watchdog.core.model import Snapshot
from watchdog.core.policy import Thresholds
from watchdog.gateway.sessions.poll import SessionPoller

KEY = "agent:main:dashboard:one"
OTHERS = 100
POLL = timedelta(seconds=30)
LIMIT = Thresholds().stuck_after + Thresholds().confirm_for + POLL
WARM_UP = 20 * 60
TURNS_EVERY = 20.0
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


@dataclass(slots=True)
class Stuck(Episode):
    """After the warm-up and ``phase`` seconds a run takes ``lasts`` seconds and loses its last write."""

    phase: float = 0.0
    lasts: float = 0.0
    is_busy: bool = False
    """Turns come and go all the time in the other sessions."""
    delay: timedelta | None = field(init=False, default=None)
    """From the end of the run to the opening of its incident."""

    async def _run(self) -> None:
        world = self.world
        for number in range(OTHERS):
            world.finished_turn(f"agent:main:dashboard:{number}")
            world.advance(60)
        world.finished_turn(KEY)
        watching = asyncio.create_task(self._keep_watching())
        chatting = asyncio.create_task(self._chat())
        await self._until(world.now_ms + round((WARM_UP + self.phase) * 1000))
        world.begin(KEY, "list the bridges", Turn((ActivityStep(Activity.SILENT, self.lasts),), ending=Ending.LOST))
        await self._until(world.now_ms + round((self.lasts + 60) * 1000))
        (stall,) = world.stalls
        await self._until(stall.since_ms + 2 * LIMIT // timedelta(milliseconds=1))
        for incident in self._ledger.history(since=BEGINNING, gateway=GATEWAY):
            since = datetime.fromtimestamp(stall.since_ms / 1000, UTC)
            self.delay = incident.opened_at - since
        for task in (watching, chatting):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _chat(self) -> None:
        number = 0
        while self.is_busy:
            await self._until(self.world.now_ms + round(TURNS_EVERY * 1000))
            self.world.begin(f"agent:main:dashboard:{number % OTHERS}", "and now?")
            number += 7


def _played(phase: float, lasts: float, *, is_busy: bool) -> timedelta | None:
    episode = Stuck(SETTING, phase=phase, lasts=lasts, is_busy=is_busy)
    loop = VirtualLoop(episode.timeline)
    try:
        loop.run_until_complete(episode._run())
    finally:
        loop.close()
        episode._ledger.close()
    return episode.delay


@pytest.mark.parametrize("is_busy", [False, True], ids=["quiet", "busy"])
@pytest.mark.parametrize("phase", [0.0, 7.0, 29.0, 31.0, 44.0, 59.0])
@pytest.mark.parametrize("lasts", [1.0, 45.0, 400.0])
def test_it_is_found_in_time(phase: float, lasts: float, is_busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    were_whole: list[bool] = []
    incremental = SessionPoller.incremental

    async def noted(lister: SessionPoller, always_read: Collection[str]) -> Snapshot:
        snapshot = await incremental(lister, always_read)
        were_whole.append(snapshot.is_sweep)
        return snapshot

    monkeypatch.setattr(SessionPoller, "incremental", noted)
    delay = _played(phase, lasts, is_busy=is_busy)
    assert delay is not None
    assert Thresholds().stuck_after <= delay <= LIMIT
    assert were_whole.count(False) > len(were_whole) * 0.9, "else whole lists are measured"
