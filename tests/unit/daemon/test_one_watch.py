"""The whole daemon where two sections lead to one gateway, or a gateway gets another name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import demo_world
from openclaw_simulator.server import SimulatedGateway
from tests.fakes.builders import facts
from tests.unit.status.support import report
from watchdog.adapters.clock import SystemClock
from watchdog.config import LoadedConfig, load, parse
from watchdog.core.model import ProcessSigns
from watchdog.daemon import one_watch
from watchdog.daemon.assembly import Builder, ledger_path
from watchdog.daemon.loop import Daemon
from watchdog.daemon.one_watch import DuplicateGateways, problem_of
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.events import Event, MemoryLog
from watchdog.service.null_meter import NullMeter

CONFIG = """
gateways:
{sections}
poll_every: 200ms
thresholds: {{stuck_after: 10m, confirm_for: 1s, startup_grace: 1s}}
status_page: {{listen: 127.0.0.1:0}}
state_dir: {folder}/state
allow_short_thresholds: true
"""


async def until(probe: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not probe():  # noqa: ASYNC110 - a log is asked, not awaited
            await asyncio.sleep(0.02)


class Desk:
    """A daemon over sections that are given as (name, gateway, path of its url)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, MemoryLog()
        self.file, self.env = folder / "watchdog.yaml", {"HOME": str(folder)}

    def write(self, *sections: tuple[str, SimulatedGateway, str]) -> None:
        lines = [
            f'  - {{name: {name}, url: "{gateway.url}{path}", token: "{gateway.access.token}", state_dir: none}}'
            for name, gateway, path in sections
        ]
        draft = self.file.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(CONFIG.format(sections="\n".join(lines), folder=self.folder), "utf-8")
        draft.replace(self.file)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Daemon]:
        builder = Builder(load(self.file, env=self.env), self.env, self.log, NullMeter())
        self.daemon = Daemon(builder.parts(is_observing=True), seed=1, settled=timedelta(milliseconds=300))
        task = asyncio.create_task(self.daemon.run())
        try:
            yield self.daemon
        finally:
            self.daemon.stop("the test is over")
            await task

    def watched(self) -> list[str]:
        return sorted(self.daemon._runners)

    def refused(self) -> list[object]:
        return [line["gateway"] for line in self.log.of(Event.CONFIG_REFUSED)]

    async def passes(self, name: str, number: int) -> None:
        runner = self.daemon._runners[name]
        for _ in range(number):
            before = runner.last_finished_at
            await until(lambda before=before: runner.last_finished_at != before)  # type: ignore[misc]

    def state(self) -> Mapping[str, Any]:
        return self.daemon.parts.page.document()


@asynccontextmanager
async def gateway_of(version: str, seed: int = 1) -> AsyncIterator[SimulatedGateway]:
    world = demo_world(SystemClock().now().wall, PROFILES[version], seed=seed).world
    async with SimulatedGateway(world) as gateway:
        yield gateway


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("version", ["2026.3.24", "2026.5.18", "2026.9.6"])
async def test_the_later_of_two_names_for_one_gateway_is_not_watched_and_said_once(desk: Desk, version: str) -> None:
    async with gateway_of(version) as gateway:
        desk.write(("home", gateway, ""), ("again", gateway, "/behind-a-proxy"))
        async with desk.running() as daemon:
            await until(lambda: desk.watched() == ["home"])
            await desk.passes("home", 5)
            assert desk.refused() == ["again"]
            (line,) = desk.log.of(Event.CONFIG_REFUSED)
            assert str(line["reason"]).startswith(
                f"{desk.file}:4:5: again reaches the same gateway as home at {desk.file}:3, which watches it; "
            )
            assert line["in_force"] == "the watch as home"
            states = {one["name"]: (one["phase"], one["problem"]) for one in desk.state()["gateways"]}
            assert states["home"][0] == "connected"
            assert states["again"] == ("refused", line["reason"])
            desk.file.write_text(desk.file.read_text("utf-8").replace("10m", "11m"), "utf-8")
            await daemon.reload()
            await until(lambda: len(desk.log.of(Event.CONFIG_LOADED)) == 1)
            await desk.passes("home", 3)
            assert (desk.watched(), desk.refused()) == (["home"], ["again"]), "what did not change is not said again"


@pytest.mark.parametrize("version", ["2026.3.24", "2026.9.6"])
async def test_two_gateways_are_two(desk: Desk, version: str) -> None:
    """Of one version, started together, on one machine, with the same paths."""
    async with gateway_of(version, 1) as one, gateway_of(version, 2) as other:
        desk.write(("home", one, ""), ("work", other, ""))
        async with desk.running():
            await until(lambda: {line["gateway"] for line in desk.log.of(Event.GATEWAY_CONNECTED)} == {"home", "work"})
            for name in ("home", "work"):
                await desk.passes(name, 5)
            assert (desk.watched(), desk.refused()) == (["home", "work"], [])


async def test_a_name_that_was_taken_away_gets_its_watch_back(desk: Desk) -> None:
    async with gateway_of("2026.9.6", 1) as one, gateway_of("2026.9.6", 2) as other:
        desk.write(("home", one, ""), ("again", one, "/2"))
        async with desk.running() as daemon:
            await until(lambda: desk.watched() == ["home"])
            desk.write(("home", one, ""), ("again", other, "/2"))
            await daemon.reload()
            assert desk.watched() == ["again", "home"]
            await desk.passes("again", 3)
            assert desk.refused() == ["again"]


async def test_what_was_found_of_a_name_before_a_reload_is_not_held_against_it(desk: Desk) -> None:
    """A finding that waited for the reload ended the watch over another, honest gateway."""
    async with gateway_of("2026.9.6", 1) as one, gateway_of("2026.9.6", 2) as other:
        desk.write(("home", one, ""), ("again", one, "/2"))
        async with desk.running() as daemon:
            await until(lambda: "again" in daemon._runners)
            before = daemon._runners["again"]
            await until(lambda: "again" in daemon._one_watch.refused)
            found = daemon._one_watch.refused["again"]
            desk.write(("home", one, ""), ("again", other, "/2"))
            await daemon.reload()
            await daemon._refuse(found, before)
            assert desk.watched() == ["again", "home"]
            await desk.passes("again", 2)
            assert desk.refused() == ["again"]


async def test_another_process_of_the_gateway_is_asked_anew(desk: Desk) -> None:
    """The address that it was reached at may lead elsewhere by then."""
    async with gateway_of("2026.9.6") as gateway:
        desk.write(("home", gateway, ""), ("again", gateway, "/2"))
        async with desk.running():
            await until(lambda: desk.refused() == ["again"])
            gateway.world.process.kill()
            gateway.world.agenda.outside(0.5, gateway.world.process.start)
            gateway.wake()
            await until(lambda: desk.refused() == ["again", "again"])
            assert desk.watched() == ["home"]


async def test_what_is_open_under_the_refused_name_goes_on_under_the_other(desk: Desk, tmp_path: Path) -> None:
    async with gateway_of("2026.9.6") as gateway:
        desk.write(("home", gateway, ""), ("again", gateway, "/2"))
        (tmp_path / "state").mkdir(mode=0o700)
        at = SystemClock().now().wall
        with SqliteLedger.open(ledger_path(tmp_path / "state"), owner=True) as ledger:
            ledger.pause(at=at, until=None, gateway="again", session=None, reason="moving house", who="ann")
        async with desk.running() as daemon:
            await until(lambda: desk.refused())
            await until(lambda: [one.gateway for one in daemon.parts.ledger.pauses(at)] == ["home"])


@pytest.mark.parametrize("is_running", [True, False])
async def test_a_gateway_with_another_name_keeps_its_past(desk: Desk, is_running: bool) -> None:
    async with gateway_of("2026.9.6") as gateway:
        desk.write(("home", gateway, ""))
        at = SystemClock().now().wall

        def pauses(daemon: Daemon) -> list[str | None]:
            return [one.gateway for one in daemon.parts.ledger.pauses(at)]

        async with desk.running() as daemon:
            await until(lambda: desk.log.of(Event.GATEWAY_CONNECTED))
            daemon.parts.ledger.pause(at=at, until=None, gateway="home", session=None, reason="moving", who="ann")
            if is_running:
                desk.write(("castle", gateway, "/"))
                await daemon.reload()
                assert pauses(daemon) == ["castle"]
        if not is_running:
            desk.write(("castle", gateway, "/"))
            async with desk.running() as daemon:
                await until(lambda: desk.watched() == ["castle"])
                assert pauses(daemon) == ["castle"]


def test_both_places_are_those_of_the_file(tmp_path: Path) -> None:
    """What ``discover: local`` found has the place of that section."""
    text = "gateways:\n  - {name: h}\n  - {discover: local}\n  - {name: far, url: 'wss://gateway.example'}\n"
    written = parse(text, file="w.yaml", env={})
    assert str(problem_of(written, "far", "work")).startswith(
        "w.yaml:4:5: far reaches the same gateway as work at w.yaml:3, "
    )
    assert str(problem_of(written, "work", "h")).startswith(
        "w.yaml:3:5: work reaches the same gateway as h at w.yaml:2, "
    )


def test_among_thousands_a_pass_is_compared_with_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass went through the names of all for each other one: with 3,000 gateways that took longer than the interval."""
    compared: list[object] = []
    monkeypatch.setattr(one_watch, "are_same", lambda one, other: compared.append((one, other)))
    found, unasked = DuplicateGateways(), LoadedConfig.__new__(LoadedConfig)
    for number in (*range(100), *range(100)):
        made = replace(facts(), signs=ProcessSigns("2026.9.6", f"boot-{number}"))
        assert found.note(report([], gateway=f"g{number}", facts=made), unasked, unasked) is None
    assert compared == []
    assert len(found._alike) == 100
    for number in range(100):
        found.forget(f"g{number}")
    assert (found._last, found._alike) == ({}, {})
