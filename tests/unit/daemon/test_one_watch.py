"""The whole daemon where two sections lead to one gateway, or a gateway gets another name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import demo_world
from openclaw_simulator.server import SimulatedGateway
from tests.fakes.builders import facts
from tests.unit.status.support import report, row, seen
from watchdog.adapters.clock import SystemClock
from watchdog.config import LoadedConfig, Problem, load, parse
from watchdog.core.model import ProcessSigns
from watchdog.daemon import loop, one_watch
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.daemon.one_watch import DuplicateGateways, Twin, problem_of
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.service.errors import LedgerUnavailable
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


class Tunnel:
    """Leads to one gateway or another one; ``to`` None: nobody answers at its end, ``is_silent``: for ever."""

    def __init__(self, to: SimulatedGateway) -> None:
        self.to: SimulatedGateway | None = to
        self.is_silent = False
        self.access = to.access
        self._going: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Tunnel:
        self._server = await asyncio.start_server(self._lead, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        for one in self._going:
            one.cancel()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._going.add(task)
        if self.is_silent:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        if self.is_silent or self.to is None:
            writer.close()
            return
        there = await asyncio.open_connection("127.0.0.1", urlsplit(self.to.url).port)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.CancelledError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


class Desk:
    """A daemon over sections that are given as (name, gateway, path of its url)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, MemoryLog()
        self.file, self.env = folder / "watchdog.yaml", {"HOME": str(folder)}

    def write(self, *sections: tuple[str, SimulatedGateway | Tunnel, str]) -> None:
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

    async def asked(self) -> None:
        """Every refused name was asked once more."""
        await until(lambda: self.daemon._asks is not None and self.daemon._asks.done())

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
async def test_whoever_keeps_the_name_that_was_not_watched_keeps_the_past(desk: Desk, is_running: bool) -> None:
    """ "keep one", says the message. A pause, and whatever else was open, stayed behind under the one that was taken out."""
    async with gateway_of("2026.9.6") as gateway:
        desk.write(("home", gateway, ""), ("again", gateway, "/2"))
        at = SystemClock().now().wall

        def pauses(daemon: Daemon) -> list[str | None]:
            return [one.gateway for one in daemon.parts.ledger.pauses(at)]

        async with desk.running() as daemon:
            await until(lambda: "again" in daemon._runners)
            daemon.parts.ledger.pause(at=at, until=None, gateway="again", session=None, reason="moving", who="ann")
            await until(lambda: pauses(daemon) == ["home"])
            desk.file.write_text(desk.file.read_text("utf-8").replace("10m", "11m"), "utf-8")
            await daemon.reload()
            assert (desk.watched(), pauses(daemon)) == (["home"], ["home"])
            if is_running:
                desk.write(("again", gateway, "/2"))
                await daemon.reload()
                assert (desk.watched(), pauses(daemon)) == (["again"], ["again"])
        if not is_running:
            desk.write(("again", gateway, "/2"))
            async with desk.running() as daemon:
                await until(lambda: desk.watched() == ["again"])
                assert pauses(daemon) == ["again"]


async def test_what_is_open_is_brought_together_before_any_deed_where_the_ledger_was_away(desk: Desk) -> None:
    async with gateway_of("2026.9.6") as gateway:
        desk.write(("home", gateway, ""), ("again", gateway, "/2"))
        at = SystemClock().now().wall
        async with desk.running() as daemon:
            await until(lambda: "again" in daemon._runners)
            ledger = daemon.parts.ledger
            ledger.pause(at=at, until=None, gateway="again", session=None, reason="moving", who="ann")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(SqliteLedger, "name_gateways", _away)
                await until(desk.refused)
                await until(lambda: ledger.owed_first is not None)
                assert not ledger.is_writable()
            assert ledger.is_writable()
            assert [one.gateway for one in ledger.pauses(at)] == ["home"]


def _away(*_: object) -> None:
    raise LedgerUnavailable("the disk is full")


@pytest.mark.parametrize("version", ["2026.3.24", "2026.9.6"])
@pytest.mark.parametrize("is_asked_for", [True, False])
async def test_a_name_whose_tunnel_was_mended_is_watched(
    desk: Desk, version: str, is_asked_for: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the file had changed, and no gateway: nobody looked there again, whatever was stuck."""
    async with gateway_of(version, 1) as home, gateway_of(version, 2) as work, Tunnel(home) as tunnel:
        desk.write(("home", home, ""), ("work", tunnel, ""))
        async with desk.running() as daemon:
            await until(lambda: desk.refused() == ["work"])
            tunnel.to = work
            if is_asked_for:
                await daemon.reload()
            else:
                monkeypatch.setattr(loop, "ASK_AGAIN_EVERY", timedelta(seconds=1))
            await until(lambda: desk.watched() == ["home", "work"])
            await desk.passes("work", 3)
            assert (desk.watched(), desk.refused()) == (["home", "work"], ["work"])
            tunnel.to = home
            tunnel.cut()
            await until(lambda: desk.refused() == ["work", "work"])  # it had been right in between
            assert desk.watched() == ["home"]


@pytest.mark.parametrize("version", ["2026.3.24", "2026.9.6"])
async def test_who_still_leads_to_the_other_is_asked_and_neither_watched_nor_said_again(
    desk: Desk, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway_of(version) as gateway:
        desk.write(("home", gateway, ""), ("again", gateway, "/2"))
        async with desk.running() as daemon:
            await until(desk.refused)
            said = len(desk.log.lines)
            started: list[str] = []
            monkeypatch.setattr(Daemon, "_start", lambda _, watch, among: started.append(watch.gateway.name))
            monkeypatch.setattr(loop, "ASK_AGAIN_EVERY", timedelta(milliseconds=300))
            monkeypatch.setattr(daemon, "_asked_at", daemon.parts.clock.now())
            for _ in range(3):
                before = daemon._asks
                await until(lambda before=before: daemon._asks is not before)  # type: ignore[misc]
                await desk.asked()
            assert (started, desk.watched(), desk.refused()) == ([], ["home"], ["again"])
            assert [line for line in desk.log.lines[said:] if line.fields.get("gateway") == "again"] == []


async def test_who_answers_no_more_is_watched_and_the_same_is_not_said_twice(desk: Desk) -> None:
    """It may be another gateway that is down, or one that has to let us in first."""
    async with gateway_of("2026.9.6") as gateway, Tunnel(gateway) as tunnel:
        desk.write(("home", gateway, ""), ("again", tunnel, ""))
        async with desk.running() as daemon:
            await until(desk.refused)
            tunnel.to = None
            await daemon.reload()
            await until(lambda: desk.watched() == ["again", "home"])
            tunnel.to = gateway
            await until(lambda: desk.watched() == ["home"])
            await until(lambda: "again" in daemon._one_watch.refused)
            await desk.passes("home", 2)
            assert desk.refused() == ["again"]


async def test_while_nobody_answers_under_either_name_the_refused_one_waits(desk: Desk) -> None:
    async with gateway_of("2026.9.6") as gateway, Tunnel(gateway) as first, Tunnel(gateway) as second:
        desk.write(("home", first, ""), ("again", second, ""))
        async with desk.running() as daemon:
            await until(desk.refused)
            first.to = second.to = None
            first.cut()
            await until(lambda: desk.log.of(Event.GATEWAY_DISCONNECTED))
            await desk.passes("home", 1)
            await daemon.reload()
            await desk.asked()
            assert desk.watched() == ["home"]
            assert list(daemon._one_watch.refused) == ["again"]


async def test_a_stop_waits_for_no_refused_name(desk: Desk) -> None:
    async with gateway_of("2026.9.6") as gateway, Tunnel(gateway) as tunnel:
        desk.write(("home", gateway, ""), ("again", tunnel, ""))
        async with asyncio.timeout(8), desk.running() as daemon:
            await until(desk.refused)
            tunnel.is_silent = True
            await daemon.reload()
            assert daemon._asks is not None
            await asyncio.sleep(0.2)
            assert not daemon._asks.done()
        assert daemon._asks.cancelled()


def test_without_a_boot_id_a_session_of_both_keeps_a_name_refused_however_far_the_starts_seem_apart() -> None:
    """They were read long after each other; a machine that slept in between counts less."""
    signs = ProcessSigns("2026.3.24", host="box 10.0.0.1", config_path="/c", began=100.0)
    loaded = LoadedConfig.__new__(LoadedConfig)
    found, twin = DuplicateGateways(), Twin("again", "home", signs, Problem("w.yaml", None, None, "", "the same"))
    home = report(
        [seen(row("agent:main:main", session_id="sid-1"), timedelta(0))],
        gateway="home",
        facts=replace(facts(), signs=signs),
    )
    assert found.note(home, loaded, loaded) is None
    slept = replace(signs, began=160.0)
    assert not found.leads_elsewhere(twin, slept, {"sid-1"})
    assert found.leads_elsewhere(twin, slept, {"sid-2"})
    assert found.leads_elsewhere(twin, replace(signs, host="other 10.0.0.2"), {"sid-1"})
    assert found.leads_elsewhere(twin, None, ())
    found.forget("home")
    assert not found.leads_elsewhere(twin, slept, {"sid-2"}), "nobody knows what the other one lists"


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
