"""The whole daemon while somebody edits its configuration: what is taken up, what is refused, what goes on."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import sys
import threading
import zoneinfo
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import demo_world
from openclaw_simulator.server import SimulatedGateway
from tests.fakes.meter import CountingMeter
from watchdog.adapters.clock import SystemClock
from watchdog.config import load
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.discovery.every_gateway import EveryGateway
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.service.by_hand import TrailMeter
from watchdog.service.events import Event, MemoryLog
from watchdog.service.null_meter import NullMeter

CONFIG = """
gateways:
  - {{name: home, url: "{url}", token: "{token}", state_dir: none}}
poll_every: 200ms
thresholds: {{stuck_after: {stuck_after}, confirm_for: 1s, startup_grace: 1s}}
status_page: null
state_dir: {folder}/state
allow_short_thresholds: true
"""
SECRET = "hunter2-of-the-test"
SETTLED = timedelta(milliseconds=300)


def changes_of(line: Mapping[str, object]) -> list[str]:
    changes = line["changes"]
    assert isinstance(changes, list)
    return changes


@dataclass
class Desk:
    """A running daemon and the file it reads."""

    file: Path
    log: MemoryLog
    daemon: Daemon
    text: Callable[..., str]
    task: asyncio.Task[int]

    async def logged(self, name: Event, number: int = 1) -> Mapping[str, object]:
        """The ``number``-th line of this name."""
        async with asyncio.timeout(60):
            while len(self.log.of(name)) < number:  # noqa: ASYNC110 - a log is asked, not awaited
                await asyncio.sleep(0.02)
        return self.log.of(name)[number - 1]

    async def passes(self, number: int) -> None:
        """So many passes from now on."""
        runner = self.daemon._runners["home"]
        async with asyncio.timeout(60):
            for _ in range(number):
                before = runner.last_finished_at
                while runner.last_finished_at == before:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.02)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    file, log, env = tmp_path / "watchdog.yaml", MemoryLog(), {"HOME": str(tmp_path)}
    scenario = demo_world(SystemClock().now().wall, PROFILES["2026.9.6"])
    async with SimulatedGateway(scenario.world) as gateway:

        def text(stuck_after: str, token: str = gateway.access.token) -> str:
            return CONFIG.format(url=gateway.url, token=token, stuck_after=stuck_after, folder=tmp_path)

        file.touch(mode=0o600)
        file.write_text(text("10m"), "utf-8")
        daemon = Daemon(
            Builder(load(file, env=env), env, log, NullMeter()).parts(is_observing=True), seed=1, settled=SETTLED
        )
        task = asyncio.create_task(daemon.run())
        made = Desk(file, log, daemon, text, task)
        try:
            await made.logged(Event.GATEWAY_CONNECTED)
            yield made
        finally:
            daemon.stop("the test is over")
            await asyncio.wait([task])
            if daemon._taken is None:
                task.result()


async def test_an_edit_is_taken_up_at_a_pass_and_keeps_the_connection(desk: Desk) -> None:
    draft = desk.file.with_suffix(".draft")
    draft.write_text(desk.text("11m"), "utf-8")
    draft.chmod(0o600)
    draft.replace(desk.file)
    told = await desk.logged(Event.CONFIG_LOADED)
    assert told["changes"] == ["thresholds.stuck_after: 10m -> 11m"]
    assert told["asked_by"] == "the file was changed"
    assert desk.daemon._runners["home"].watch.book.default.thresholds.stuck_after == timedelta(minutes=11)
    await desk.passes(3)
    assert len(desk.log.of(Event.CONFIG_LOADED)) == 1, "once, not at every pass"
    assert len(desk.log.of(Event.GATEWAY_CONNECTED)) == 1


@pytest.mark.parametrize("slow", ["read_again", "spelled_out"])
async def test_while_a_long_configuration_is_read_passes_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """With thousands of sections, and lists that answer slowly, it takes seconds."""
    parts, may_go_on = desk.daemon.parts, threading.Event()
    owner: Any = parts if slow == "read_again" else EveryGateway
    quick = getattr(owner, slow)

    def waits(*args: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread(), "the event loop would stand still"
        assert may_go_on.wait(60)
        return quick(*args)

    monkeypatch.setattr(owner, slow, waits)
    desk.file.write_text(desk.text("11m"), "utf-8")
    reload = asyncio.create_task(desk.daemon.reload())
    try:
        await desk.passes(3)
        assert not reload.done()
    finally:
        may_go_on.set()
    await reload
    assert desk.daemon._runners["home"].watch.book.default.thresholds.stuck_after == timedelta(minutes=11)


async def test_a_half_written_file_is_refused_once_and_the_old_one_stays_in_force(desk: Desk) -> None:
    whole = desk.text("11m")
    desk.file.write_text(whole[: whole.index("startup_grace")], "utf-8")
    refused = await desk.logged(Event.CONFIG_REFUSED)
    assert refused["in_force"] == "the old configuration"
    assert "watchdog.yaml" in str(refused["reason"])
    said = len(desk.log.of(Event.CONFIG_REFUSED))
    await desk.passes(3)
    assert len(desk.log.of(Event.CONFIG_REFUSED)) == said
    assert desk.daemon._runners["home"].watch.book.default.thresholds.stuck_after == timedelta(minutes=10)
    desk.file.write_text(whole, "utf-8")
    assert (await desk.logged(Event.CONFIG_LOADED))["changes"] == ["thresholds.stuck_after: 10m -> 11m"]


async def test_a_file_that_is_gone_is_missed_and_not_replaced_by_defaults(desk: Desk) -> None:
    aside = desk.file.with_suffix(".aside")
    desk.file.rename(aside)
    refused = await desk.logged(Event.CONFIG_REFUSED)
    assert "there is no such file" in str(refused["reason"])
    aside.rename(desk.file)
    assert (await desk.logged(Event.CONFIG_LOADED))["changes"] == []
    assert "home" in desk.daemon._runners


async def test_a_new_secret_is_taken_and_never_shown(desk: Desk) -> None:
    desk.file.write_text(desk.text("10m", SECRET), "utf-8")
    told = await desk.logged(Event.CONFIG_LOADED)
    assert [line.partition(":")[0] for line in changes_of(told)] == ["gateways[home].token"]
    assert SECRET not in repr(desk.log.lines)


async def test_a_target_that_is_the_watched_gateway_is_left_out_and_said_once(desk: Desk) -> None:
    """It would be silent just when it is needed."""
    hook = str(desk.daemon.parts.loaded.config.gateways[0].url).replace("ws:", "http:")
    targets = f"notify: [{{name: mine, url: '{hook}/hooks/agent?token={SECRET}'}}, 'json+http://127.0.0.1:9/x']\n"
    desk.file.write_text(desk.text("10m") + targets, "utf-8")
    said = await desk.logged(Event.NOTIFICATION_FAILED)
    assert str(said["reason"]).startswith("notify target mine is a watched gateway itself")
    desk.file.write_text(desk.text("11m") + targets, "utf-8")
    await desk.logged(Event.CONFIG_LOADED, 2)
    await desk.passes(2)
    assert _told(desk.daemon) == ["webhook-2"]
    assert [line for line in desk.log.of(Event.NOTIFICATION_FAILED) if "itself" in str(line["reason"])] == [said]
    assert SECRET not in repr(desk.log.lines)


def _told(daemon: Daemon) -> list[str]:
    notifier = daemon.parts.teller._notifier
    assert notifier is not None
    return [state.target.name for state in notifier._targets]


async def test_fifty_reloads_leave_no_database_open(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by hand: a collected one is closed by Python, which says so from 3.13 on."""
    opened, closed = itertools.count(), itertools.count()

    class Counted(sqlite3.Connection):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            next(opened)

        def close(self) -> None:
            super().close()
            next(closed)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Counted))
    for number in range(50):
        desk.file.write_text(desk.text("10m").replace("poll_every: 200ms", f"poll_every: {201 + number}ms"), "utf-8")
        await desk.daemon.reload()
    assert len(desk.log.of(Event.CONFIG_LOADED)) == 50
    assert next(opened) == next(closed)


def test_no_time_zone_database_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small container has none."""
    for name in ("tzdata", "tzdata.zoneinfo"):  # the second is found without the first, once a test has read a zone
        monkeypatch.setitem(sys.modules, name, None)
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    try:
        with pytest.raises(zoneinfo.ZoneInfoNotFoundError):
            zoneinfo.ZoneInfo("UTC")
        file = tmp_path / "watchdog.yaml"
        file.touch(mode=0o600)
        file.write_text(CONFIG.format(url="ws://127.0.0.1:1", token=SECRET, stuck_after="10m", folder=tmp_path))
        env = {"HOME": str(tmp_path)}
        daemon = Daemon(Builder(load(file, env=env), env, MemoryLog(), NullMeter()).parts(is_observing=True))
        daemon.parts.close()
    finally:
        zoneinfo.reset_tzpath()


async def test_reloads_asked_for_at_once_come_one_after_the_other(desk: Desk) -> None:
    desk.file.write_text(desk.text("10m").replace("name: home", "name: elsewhere"), "utf-8")
    await asyncio.gather(*(desk.daemon.reload() for _ in range(3)))
    assert [bool(changes_of(line)) for line in desk.log.of(Event.CONFIG_LOADED)] == [True, False, False]
    assert list(desk.daemon._runners) == ["elsewhere"]


async def test_what_an_operator_switches_is_in_the_log_with_who_and_why(desk: Desk) -> None:
    """Another process writes it into the ledger; the daemon sees it at its next pass."""
    state = desk.file.parent / "state"
    now = desk.daemon.parts.clock.now().wall
    with SqliteLedger.open(ledger_path(state)) as ledger:
        ledger.pause(at=now, until=None, gateway="home", session=None, reason="upgrade", who="ada")
    assert await desk.logged(Event.OPERATOR_PAUSED) == {"who": "ada", "reason": "gateway home: upgrade"}
    with SqliteLedger.open(ledger_path(state)) as ledger:
        ledger.unpause(at=now, gateway=None, session=None, who="bob")
        ledger.release(None, "agent:main:main", now, who="ada", why="by hand")
    assert await desk.logged(Event.OPERATOR_UNPAUSED) == {"who": "bob", "reason": "gateway home"}
    released = {"who": "ada", "reason": "session agent:main:main: by hand"}
    assert await desk.logged(Event.SESSION_RELEASED) == released
    await desk.passes(2)
    assert len(desk.log.of(Event.OPERATOR_PAUSED)) == 1, "said once"


async def test_what_became_of_a_deed_by_hand_is_counted_once(desk: Desk) -> None:
    """Another process did it and writes so; a gateway that this daemon does not watch is another's to count."""
    meter = desk.daemon.parts.meter = CountingMeter()
    clock, state = desk.daemon.parts.clock, desk.file.parent / "state"
    with SqliteLedger.open(ledger_path(state)) as ledger:
        by_hand = TrailMeter(ledger, clock, "ada")
        for gateway, end in (("home", "started"), ("elsewhere", "started"), ("home", "succeeded")):
            by_hand.attempt(gateway, "resume", end)
        ledger.audit(clock.now().wall, "ada", "recover", "gateway home session x: resume succeeded")
        ledger.pause(at=clock.now().wall, until=None, gateway="home", session=None, reason="", who="ada")
    await desk.logged(Event.OPERATOR_PAUSED)
    await desk.passes(2)
    by_hands = [one for one in meter.counted if one[:2] == ("attempt", "resume")]
    assert by_hands == [("attempt", "resume", "started"), ("attempt", "resume", "succeeded")]


async def test_another_place_for_the_ledger_takes_a_restart_and_that_is_said(desk: Desk) -> None:
    text = desk.text("10m")
    desk.file.write_text(text.replace("/state\n", "/elsewhere\n"), "utf-8")
    said = await desk.logged(Event.CONFIG_REFUSED)
    assert "takes a restart" in str(said["reason"])
    assert said["in_force"] == f"the ledger {ledger_path(desk.file.parent / 'state')}"
    desk.file.write_text(text, "utf-8")
    await desk.logged(Event.CONFIG_LOADED, 2)
    assert len(desk.log.of(Event.CONFIG_REFUSED)) == 1
