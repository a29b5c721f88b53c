"""One gateway under two names, and a daemon that is killed after any effect: at most one turn a run, whatever happens.

The second name leads through a TCP relay. Where the sign-in shows that both lead to one gateway, one of them is dropped;
a relay that is slow at first hides it, and then the ledger alone keeps the two watches from acting on one run twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from openclaw_simulator.records import GroundTruth
from tests.fakes.builders import KEY
from tests.fakes.loopback import Listener, listening

from .lives import CutAt, Launcher, Life, Record, launching, until
from .test_cut_at_every_step import AT_ONCE, LOOKS, SECOND_LIFE, Story

pytestmark = pytest.mark.timeout(1200)

SLOW = 1.4
"""Seconds by which a relay is late with what the gateway says first: the two sign-ins then tell of two starts."""
LAST_LOOKS = 60
"""Lists asked for by a life that comes to no end, because a name that nobody watches holds the run."""

CONFIG = """
gateways:
{sections}
poll_every: 200ms
thresholds: {{stuck_after: 700ms, confirm_for: 300ms, long_running_after: 30m, startup_grace: 300ms}}
recovery: {{ladder: [resume], verify_within: 3s, backoff: [200ms]}}
status_page: null
state_dir: "{folder}/state"
allow_short_thresholds: true
"""


@asynccontextmanager
async def relaying(port: int, *, late_by: float) -> AsyncIterator[int]:
    """A port that leads to ``port``; what comes back on a connection comes ``late_by`` seconds late at first."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(wait)
                wait = 0
                writer.write(data)
                await writer.drain()
        writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, far_writer, 0), carry(far_reader, writer, late_by))

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class TwoNames(Story):
    """``names``: for each life the names and how each is reached (a path, or ``relay``); the last entry stays."""

    def __init__(
        self,
        folder: Path,
        version: str,
        launcher: Launcher,
        listener: Listener,
        names: Sequence[dict[str, str]],
        late_by: float,
    ) -> None:
        super().__init__(folder, version, "resume", launcher, listener)
        self.names, self.late_by = names, late_by
        self.watched: set[str] = set()

    async def live(self, cuts: Sequence[CutAt]) -> None:
        async with self.gateway, relaying(self.gateway.port, late_by=self.late_by) as port:
            self.ports = {"relay": port}
            for number, cut in enumerate(cuts):
                self._write(self.names[min(number, len(self.names) - 1)])
                life = await self._start(cut)
                await self._until_done(life)
                await life.end()
            self.check()

    async def _until_done(self, life: Life) -> None:
        began = self.gateway.looks()
        await until(f"{self.folder.name} comes to an end", partial(self._is_done, life, began), self.report)

    def _is_done(self, life: Life, looks_before: int) -> bool:
        looks = self.gateway.looks() - looks_before
        return life.is_over or (looks >= LOOKS and self.is_over()) or looks >= LAST_LOOKS

    def _write(self, names: dict[str, str]) -> None:
        self.watched = set(names)
        token, home = self.gateway.access.token, self.folder / "openclaw"
        sections = [
            f'  - {{name: {name}, token: "{token}", state_dir: "{home}", '
            f'url: "ws://127.0.0.1:{self.ports.get(how, self.gateway.port)}{"" if how in self.ports else how}"}}'
            for name, how in names.items()
        ]
        path = self.folder / "watchdog.yaml"
        path.touch(mode=0o600)
        path.write_text(CONFIG.format(sections="\n".join(sections), folder=self.folder))

    def is_over(self) -> bool:
        """Nothing is in flight under a name that is watched, and the session is free, or left to a person."""
        record = Record.of(self.ledger)
        watched = {one["id"] for one in record.incidents if one["gateway"] in self.watched}
        in_flight = [one for one in record.attempts if one["incident"] in watched and one["settled_at"] is None]
        is_left = bool(record.quarantines) or self.gateway.world.truth(KEY) is not GroundTruth.STUCK
        return bool(record.incidents) and not in_flight and is_left

    def check(self) -> None:
        turns = [frame for frame in self.gateway.sent() if frame["method"] in ("agent", "chat.send")]
        assert len(turns) <= 1, self.report()
        deeds = self.gateway.deeds()
        assert not [deed for deed in deeds if deed.is_wrong and deed.method != "send"], self.report()
        record = Record.of(self.ledger)
        begun = Counter(one["run"] for one in record.attempts if one["started_at"] is not None)
        assert max(begun.values(), default=0) <= 1, self.report()


async def cut_everywhere(folder: Path, version: str, names: Sequence[dict[str, str]], late_by: float) -> None:
    """Once uncut, to see the effects; then once for each of them from the first intent on: before it nothing is done."""
    room = asyncio.Semaphore(AT_ONCE)
    async with launching() as launcher, listening() as listener:

        async def play(name: str, cuts: Sequence[CutAt]) -> TwoNames:
            (folder / name).mkdir()
            story = TwoNames(folder / name, version, launcher, listener, names, late_by)
            async with room:
                await story.live(cuts)
            return story

        whole = await play("whole", [None])
        assert whole.gateway.world.truth(KEY) is not GroundTruth.STUCK, whole.report()
        effects = whole.effects(1)
        assert {"claim_attempt", "frame connect"} <= set(effects)
        async with asyncio.TaskGroup() as group:
            for number in range(effects.index("plan_attempt") + 1, len(effects) + 1):
                group.create_task(play(f"cut-{number}", [number, SECOND_LIFE, None]))


@pytest.mark.parametrize(
    ("order", "late_by"), [(("home", "proxied"), 0.0), (("home", "proxied"), SLOW), (("proxied", "home"), SLOW)]
)
async def test_two_names_at_once(order: tuple[str, str], late_by: float, tmp_path: Path) -> None:
    ways = {"home": "", "proxied": "relay"}
    await cut_everywhere(tmp_path, "2026.3.24", [{name: ways[name] for name in order}], late_by)


@pytest.mark.parametrize("way", ["/", "relay"])
async def test_a_gateway_that_is_renamed_between_two_lives(way: str, tmp_path: Path) -> None:
    """At the same address its past goes on; with another address, too, the run that was acted on is held."""
    names = [{"home": ""}, {"castle": way}]
    await cut_everywhere(tmp_path, "2026.3.24", names, 0.0)
