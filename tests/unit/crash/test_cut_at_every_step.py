"""Cut at every step: a real daemon is killed after its n-th effect, for every n, and started again.

Whatever the moment of the kill: each attempt is sent at most once, the ledger ends settled, the session ends recovered or
quarantined, and a person hears of the beginning and of the end. The first life is cut after effect n, the second one
soon after its start, the third lives on.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psycopg
import pytest

from openclaw_simulator.records import GroundTruth
from tests.fakes.builders import KEY, REQUEST
from tests.fakes.loopback import Listener, listening
from tests.fakes.stuck_gateway import NotingGateway, stuck_world
from tests.postgresql import Server

from .lives import CutAt, Launcher, Life, Record, launching, until

pytestmark = pytest.mark.timeout(1200)

AT_ONCE = 20
"""Daemons at a time; they mostly wait."""
LOOKS = 3
"""Lists asked for by a life that finds nothing left to do."""
SECOND_LIFE = 2
"""Effects of the second life: it dies while it settles what the first one left."""

EVERY_DEED = {
    "open_incident",
    "frame connect",
    "plan_attempt",
    "claim_attempt",
    "settle_attempt",
    "close_incident",
}
DEEDS = {
    "2026.9.6": {
        "resume": {"frame agent"},
        "new": {"frame sessions.reset", "frame send", "note", "add_note"},
    },
    "2026.3.24": {
        "resume": {"frame chat.send"},
        "new": {"frame sessions.reset", "frame send", "note", "add_note"},
    },
}
"""What must be among the effects of an uncut recovery, by version and step."""

CONFIG = """
gateways:
  - {{name: home, url: "{url}", token: "{token}", state_dir: "{folder}/openclaw"}}
poll_every: 200ms
thresholds: {{stuck_after: 700ms, confirm_for: 300ms, long_running_after: 30m, startup_grace: 300ms}}
recovery: {{ladder: [{ladder}], verify_within: 3s, backoff: [200ms]}}
notify: ["json+http://127.0.0.1:{port}/hook"]
status_page: null
state_dir: "{folder}/state"
ledger: {ledger}
allow_short_thresholds: true
"""


class Story:
    """One stuck session and the daemon's lives around it."""

    def __init__(
        self,
        folder: Path,
        version: str,
        ladder: str,
        launcher: Launcher,
        listener: Listener,
        database: str | None = None,
    ) -> None:
        """``database``: where the ledger is, as a URL; None: in a file."""
        self.folder = folder
        self.database = database
        self.gateway = NotingGateway(stuck_world(version), folder / "openclaw")
        self.ladder = ladder
        self.launcher = launcher
        self.listener = listener
        self.lives = itertools.count(1)

    @property
    def ledger(self) -> Path | str:
        return self.database or self.folder / "state" / "ledger.sqlite"

    def effects(self, life: int) -> list[str]:
        path = self.folder / f"effects-{life}"
        return path.read_text().splitlines() if path.exists() else []

    def is_over(self) -> bool:
        """The matter is closed, and everything owed about it has arrived and is marked so."""
        record = Record.of(self.ledger)
        owed = {message["dedupe_key"] for message in record.messages}
        marked = {delivery["message"] for delivery in record.deliveries if delivery["delivered_at"] is not None}
        return (
            record.is_settled
            and owed <= self.listener.told()
            and marked >= {message["id"] for message in record.messages}
        )

    async def live(self, cuts: Sequence[CutAt]) -> None:
        """One life after the other, until the matter is over. The last one is stopped in good order."""
        async with self.gateway:
            self._configure()
            for cut in cuts:
                life = await self._start(cut)
                began = self.gateway.looks()
                await until(f"{self.folder.name} comes to an end", partial(self._is_done, life, began), self.report)
                if not life.is_over and cut is None:
                    assert await life.end() == 0, self.report()
                else:
                    await life.end(signal.SIGKILL)
            assert self.is_over(), self.report()
            self.check()

    def _is_done(self, life: Life, looks_before: int) -> bool:
        """Cut; or it looked a few times while the matter was over, so nothing more will come of this life."""
        return life.is_over or (self.gateway.looks() >= looks_before + LOOKS and self.is_over())

    def _configure(self) -> None:
        text = CONFIG.format(
            url=self.gateway.url,
            token=self.gateway.access.token,
            folder=self.folder,
            ladder=self.ladder,
            port=self.listener.port,
            ledger=self.database or "null",
        )
        path = self.folder / "watchdog.yaml"
        path.write_text(text)
        path.chmod(0o600)

    async def _start(self, cut: CutAt) -> Life:
        number = next(self.lives)
        return await self.launcher.start(
            ["run", "--log-format", "json", "--config", str(self.folder / "watchdog.yaml")],
            environ={"HOME": str(self.folder), "PATH": "/usr/bin:/bin"},
            log=self.folder / "log",
            effects=self.folder / f"effects-{number}",
            cut=cut,
        )

    # ------------------------------------------------------------ what must hold

    def check(self) -> None:
        record = Record.of(self.ledger)
        self._check_sends(record)
        self._check_ending(record)
        self._check_told(record)
        self._check_notes(record)

    def _check_sends(self, record: Record) -> None:
        twice = {key: count for key, count in self.gateway.sends_by_key().items() if count > 1}
        assert not twice, self.report()
        begun = Counter(attempt["step"] for attempt in record.attempts if attempt["started_at"] is not None)
        sent = self.gateway.sent()
        resets = [frame for frame in sent if frame["method"] == "sessions.reset"]
        words = [frame for frame in sent if frame["method"] in ("agent", "chat.send")]
        assert len(resets) <= begun["new"], self.report()
        assert len(resets) + len(words) <= begun.total(), self.report()
        keys = {attempt["idempotency_key"] for attempt in record.attempts if attempt["started_at"] is not None}
        assert {key.removesuffix("-notice") for key in self.gateway.sends_by_key()} <= keys, self.report()
        deeds = self.gateway.deeds()
        assert not [deed for deed in deeds if deed.is_wrong and deed.method != "send"], self.report()
        assert max(Counter((deed.method, deed.run_id) for deed in deeds if deed.run_id).values(), default=0) <= 1

    def _check_ending(self, record: Record) -> None:
        is_stuck = self.gateway.world.truth(KEY) is GroundTruth.STUCK
        outcomes = [incident["outcome"] for incident in record.incidents]
        assert "open" not in outcomes, self.report()
        if is_stuck:
            assert outcomes[-1] == "quarantined", self.report()
        if "quarantined" in outcomes:
            assert [entry["session"] for entry in record.quarantines] == [KEY], self.report()
            assert "ineffective" in record.states(), self.report()
        if "succeeded" in record.states():
            assert "recovered" in outcomes, self.report()

    def _check_told(self, record: Record) -> None:
        owed = [message["dedupe_key"] for message in record.messages]
        for incident in record.incidents:
            ending = "quarantined" if incident["outcome"] == "quarantined" else "closed"
            assert owed.count(f"{incident['id']}:opened") == 1, self.report()
            assert owed.count(f"{incident['id']}:{ending}") == 1, self.report()
        assert set(owed) <= self.listener.told(), self.report()

    def _check_notes(self, record: Record) -> None:
        """What lost the context was preceded by a note that has it."""
        if any(attempt["step"] == "new" and attempt["started_at"] is not None for attempt in record.attempts):
            assert any(REQUEST in text for text in self._texts(record)), self.report()

    def _texts(self, record: Record) -> list[str]:
        """The words of the notes that are listed, wherever they lie."""
        if self.database is None:
            return [Path(note["path"]).read_text() for note in record.notes]
        with psycopg.connect(self.database, options="-c search_path=openclaw_watchdog") as db:
            incidents = [note["incident"] for note in record.notes]
            return [row[0] for row in db.execute("SELECT words FROM note_texts WHERE incident = ANY(%s)", (incidents,))]

    def report(self) -> str:
        """Everything a person needs to see why."""
        record = Record.of(self.ledger)
        lives = [f"life {number}: {self.effects(number)}" for number in range(1, 6) if self.effects(number)]
        log = (self.folder / "log").read_text() if (self.folder / "log").exists() else ""
        sent = [(frame["method"], frame["params"].get("idempotencyKey")) for frame in self.gateway.sent()]
        deeds = [(deed.method, deed.truth.value, deed.effect) for deed in self.gateway.deeds()]
        facts = [record.incidents, record.attempts, [one["dedupe_key"] for one in record.messages], record.quarantines]
        return "\n".join([*lives, *map(str, facts), f"sent {sent}", f"deeds {deeds}", log[-6000:]])


class Theatre:
    """Plays stories, many at a time: daemons mostly wait."""

    def __init__(
        self, folder: Path, version: str, launcher: Launcher, listener: Listener, server: Server | None = None
    ) -> None:
        """``server``: has a database for each of their ledgers."""
        self._server = server
        self._folder = folder
        self._version = version
        self._launcher = launcher
        self._listener = listener
        self._room = asyncio.Semaphore(AT_ONCE)

    async def cut_everywhere(self, ladder: str, before: Sequence[CutAt] = ()) -> list[str]:
        """Once uncut, to see the effects of the life in question; then once for each of them. Returns their names."""
        whole = await self.play(ladder, "whole", [*before, None])
        effects = whole.effects(len(before) + 1)
        async with asyncio.TaskGroup() as group:
            for number in range(1, len(effects) + 1):
                group.create_task(self.play(ladder, f"cut-{number}", [*before, number, SECOND_LIFE, None]))
        return effects

    async def play(self, ladder: str, name: str, cuts: Sequence[CutAt]) -> Story:
        folder = self._folder / ladder.replace(", ", "-") / name
        folder.mkdir(parents=True)
        database = self._server.database() if self._server is not None else None
        story = Story(folder, self._version, ladder, self._launcher, self._listener, database)
        async with self._room:
            await story.live(cuts)
        return story


@pytest.mark.parametrize("version", DEEDS)
async def test_a_kill_after_any_effect_of_a_recovery(version: str, tmp_path: Path) -> None:
    async with launching() as launcher, listening() as listener:
        theatre = Theatre(tmp_path, version, launcher, listener)
        resume, new = await asyncio.gather(theatre.cut_everywhere("resume, new"), theatre.cut_everywhere("new"))
    assert set(resume) >= EVERY_DEED | DEEDS[version]["resume"]
    assert set(new) >= EVERY_DEED | DEEDS[version]["new"]


async def test_a_kill_after_any_effect_of_giving_up(tmp_path: Path) -> None:
    """The deed was claimed and never sent: the next life finds that nothing changed, and hands over to a person."""
    async with launching() as launcher, listening() as listener:
        effects = await Theatre(tmp_path, "2026.9.6", launcher, listener).cut_everywhere("new", ["claim_attempt"])
    assert set(effects) >= {"settle_start_up", "settle_attempt", "quarantine"}


@pytest.mark.parametrize(
    ("ladder", "cut"),
    [
        *(("resume, new", cut) for cut in ("plan_attempt", "claim_attempt", "frame agent", "settle_attempt")),
        ("new", "save"),  # of the note's text
        ("new", "add_note"),
    ],
)
async def test_a_kill_around_the_deed_with_the_ledger_in_postgresql(
    ladder: str, cut: str, server: Server, tmp_path: Path
) -> None:
    """What differs there is when a write is known, and who is the owner after a kill."""
    async with launching() as launcher, listening() as listener:
        theatre = Theatre(tmp_path, "2026.9.6", launcher, listener, server)
        story = await theatre.play(ladder, "cut", [cut, SECOND_LIFE, None])
    assert story.effects(1)[-1] == cut
