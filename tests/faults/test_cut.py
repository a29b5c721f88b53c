"""Cut at every step, on real gateways: the daemon is killed (SIGKILL) after its n-th effect, for every n, and started again.

One crash of the gateway leaves a session for every n; each gets a daemon, a ledger and three more lives of its own (the
second and third one are cut again, soon after their start). What is sent is counted at the model and at the daemon's own
socket. The fuse is that of ``tests/unit/crash``, where the same is done on simulated gateways.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness.conditions import stays, until
from tests.e2e.harness.daemon import REPOSITORY
from tests.e2e.harness.provider import Silence
from tests.e2e.harness.releases import V3_24, V9_6, Release
from tests.e2e.harness.witness import Row as SessionRow
from tests.e2e.harness.world import World
from tests.unit.crash.lives import CutAt, Launcher, Life, Record, launching
from tests.unit.crash.lives import until as eventually

from .report import Row
from .webhook import Webhook

pytestmark = [pytest.mark.gateways, pytest.mark.timeout(1500)]

AT_ONCE = 4
LATER_CUTS = (2, 1)
"""Effects of the second and third life."""
MOST = 24
"""More effects than any recovery has."""
HANGS = "HANGS-UNTIL-KILLED"

CONFIG = """
gateways:
  - {{name: home, url: "{url}", token: "{token}", state_dir: "{state_dir}"}}
poll_every: 300ms
thresholds: {{stuck_after: 72h, confirm_for: 500ms, long_running_after: 73h, startup_grace: 500ms}}
recovery: {{mode: observe}}
policies:
  - name: this-one
    match: {{key: "{key}"}}
    thresholds: {{stuck_after: 1500ms}}
    recovery: {{mode: recover, ladder: [{step}], verify_within: 15s, backoff: [300ms]}}
notify: ["{hook}"]
status_page: null
state_dir: "{folder}/state"
allow_short_thresholds: true
"""


@dataclass
class Story:
    """One stuck session and the lives of its daemon."""

    world: World
    key: str
    step: str
    folder: Path
    hook: Webhook
    launcher: Launcher
    cuts: Sequence[CutAt]
    losses: list[str] = field(default_factory=list)
    _starts: int = 0

    @property
    def record(self) -> Record:
        """The ledger as it is, without what is not about this session."""
        whole = Record.of(self.folder / "state" / "ledger.sqlite")
        whole.incidents = [incident for incident in whole.incidents if incident["session"] == self.key]
        return whole

    def effects(self) -> list[list[str]]:
        """By life."""
        paths = sorted(self.folder.glob("effects-*"))
        return [path.read_text().splitlines() for path in paths]

    async def live(self) -> Story:
        self.folder.mkdir(parents=True)
        path = self.folder / "watchdog.yaml"
        gateway = self.world.gateway
        facts = {"url": gateway.url, "token": gateway.token, "state_dir": gateway.state_dir, "hook": self.hook.url}
        path.write_text(CONFIG.format(**facts, key=self.key, step=self.step, folder=self.folder))
        path.chmod(0o600)
        for number, cut in enumerate(self.cuts, start=1):
            self._starts = self.log.count('"daemon.started"')
            life = await self.launcher.start(
                ["run", "--log-format", "json", "--config", str(path)],
                environ={**gateway.belonging, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)},
                log=self.folder / "log",
                effects=self.folder / f"effects-{number}",
                cut=cut,
            )
            is_last = cut is None
            await eventually(
                f"{self.folder.name}, life {number}",
                partial(self._is_done, life),
                self.report,
            )
            code = await life.end(signal.SIGTERM if is_last else signal.SIGKILL)
            if is_last and code:
                self.losses.append(f"it ended with {code}")
        self.judge()
        return self

    def _is_done(self, life: Life) -> bool:
        """Cut; or started, and the matter is over, so that nothing more will come of this life (or the next one)."""
        return life.is_over or (self.is_over and self.log.count('"daemon.started"') > self._starts)

    @property
    def is_over(self) -> bool:
        record = self.record
        owed = {m["dedupe_key"] for m in record.messages if m["session"] == self.key}
        return record.is_settled and owed <= set(self.hook.ids())

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    # ------------------------------------------------------------ what must hold

    def judge(self) -> None:
        record = self.record
        begun = [attempt for attempt in record.attempts if attempt["started_at"] is not None]
        sent = Counter(name for life in self.effects() for name in life if name in SENDS)
        turns = self.turns(record)
        ids = self.hook.ids()
        if sum(sent.values()) > len(begun):
            self.losses.append(f"{dict(sent)} for {len(begun)} attempts")
        self.losses += [f"{mark} reached the model {count} times" for mark, count in turns.items() if count > 1]
        for incident in record.incidents:
            ending = "quarantined" if incident["outcome"] == "quarantined" else "closed"
            self.losses += [
                f"nobody was told that it {what}" for what in ("opened", ending) if not ids[f"{incident['id']}:{what}"]
            ]
        if not self.is_over:
            self.losses.append("left unsettled")

    def turns(self, record: Record) -> Counter[str]:
        marks = [f"[openclaw-watchdog {a['incident']}/{a['number']}]" for a in record.attempts]
        said = [call.last_said for call in self.world.provider.calls]
        return Counter({mark: sum(mark in words for words in said) for mark in marks})

    @property
    def outcome(self) -> str:
        incidents = self.record.incidents
        return str(incidents[-1]["outcome"]) if incidents else "never flagged"

    def report(self) -> str:
        record = self.record
        return "\n".join([*map(str, self.effects()), str(record.incidents), str(record.attempts), self.log[-4000:]])


SENDS = {"frame agent", "frame chat.send", "frame sessions.reset"}


def left_stuck(world: World, count: int, name: str = "cut") -> list[str]:
    """Sessions whose first turn a kill -9 cut. 2026.9.6 resumes ordinary ones by itself, background ones not."""
    prefix = f"agent:main:cron:{name}" if world.release.resumes_on_boot else f"agent:main:{name}"
    keys = [f"{prefix}-{number:02d}" for number in range(count)]
    world.provider.on(HANGS, Silence())
    for key in keys:
        world.witness.create(key)
        world.witness.send(key, f"Please list the bridges of the town. {HANGS} {key}")
    for key in keys:
        world.provider.await_call(key, within=240)

    def rows() -> dict[str, SessionRow]:
        return {str(row["key"]): row for row in world.witness.rows()}

    def all_running() -> bool:
        found = rows()
        return all(found.get(key, {}).get("status") == "running" for key in keys)

    until("all of them run", all_running, within=120)
    world.kill()
    world.provider.forget(HANGS)
    world.start()
    until("all say running", all_running, within=30)
    stays("and nothing runs", lambda: all_running() and not world.provider.open_calls(HANGS), for_seconds=3)
    return keys


async def cut_everywhere(
    world: World, keys: Sequence[str], step: str, folder: Path, hook: Webhook
) -> tuple[list[str], list[Story]]:
    """Once uncut, to see the effects; then once for each of them. Answers the effects' names and all stories."""
    free = iter(keys)
    room = asyncio.Semaphore(AT_ONCE)
    async with launching() as launcher:

        def story(name: str, *cuts: CutAt) -> Story:
            return Story(world, next(free), step, folder / name, hook, launcher, cuts)

        whole = await story("whole", None).live()
        (effects,) = whole.effects()
        assert len(effects) < len(keys), f"{len(effects)} effects need as many sessions"

        async def play(number: int) -> Story:
            async with room:
                return await story(f"cut-{number:02d}", number, *LATER_CUTS, None).live()

        cut = await asyncio.gather(*(play(number) for number in range(1, len(effects) + 1)))
    return effects, [whole, *cut]


@pytest.mark.parametrize("step", ["resume", "new"])
@pytest.mark.parametrize("release", [V9_6, V3_24], ids=lambda release: release.version)
@pytest.mark.faults("watchdog killed after every effect")
def test_cut(row: Row, hook: Webhook, tmp_path: Path, release: Release, step: str) -> None:
    row.fault = f"watchdog killed after every effect of a `{step}`"
    row.on(f"gateway {release.version}")
    with World(release, tmp_path / "gateway", extra=CROWDED) as world:
        keys = left_stuck(world, MOST)
        effects, stories = asyncio.run(cut_everywhere(world, keys, step, tmp_path / "stories", hook))
        outcomes = Counter(story.outcome for story in stories)
        sent = [sum(name in SENDS for life in story.effects() for name in life) for story in stories]
        attempts = sum(len(story.record.attempts) for story in stories)
        lives = sum(len(story.effects()) for story in stories)
        row.saw(
            f"killed at each of {len(effects)} effects, {lives} lives; {attempts} attempts, {sum(sent)} sent, at most "
            f"{max(sent)} per session; {', '.join(f'{count} {name}' for name, count in sorted(outcomes.items()))}; "
            f"all told"
        )
        row.lost(f"{story.folder.name}: {loss}" for story in stories for loss in story.losses)
        losers = [story for story in stories if story.losses]
        assert not losers, losers[0].report()
        assert set(effects) & SENDS, effects


CROWDED: dict[str, Any] = {"agents": {"defaults": {"maxConcurrent": 4 * MOST}}}
