"""The page inside the daemon: health on a fake clock, the port it listens on, reloads, what the daemon's parts say."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.loopback import free_port
from tests.unit.status import support as world
from tests.unit.status.support import ALICE, MINUTE, NOW
from watchdog.config import LoadedConfig, parse
from watchdog.core.model import GatewayPhase
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.errors import PassFailed
from watchdog.service.events import Event, MemoryLog
from watchdog.service.ledger import Notes
from watchdog.service.ports import Gateway
from watchdog.service.redaction import Secrets
from watchdog.service.watch import Watch
from watchdog.status.metrics import PrometheusMeter
from watchdog.status.publisher import PagePublisher, address_file
from watchdog.status.server import Health


def loaded(listen: str | None, folder: Path, more: str = "") -> LoadedConfig:
    page = f"{{listen: '{listen}'}}" if listen is not None else "null"
    text = f"gateways:\n  - {{name: home, url: 'ws://127.0.0.1:1', token: abcdefgh}}\nstatus_page: {page}\n{more}"
    return parse(text, file="test", env={"HOME": str(folder)}, folder=folder)


@dataclass
class Daemon:
    """A page with everything around it."""

    folder: Path
    ledger: SqliteLedger
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    log: MemoryLog = field(default_factory=MemoryLog)
    meter: PrometheusMeter = field(default_factory=lambda: PrometheusMeter("1.0.0"))
    watches: list[Watch] = field(default_factory=list)
    pages: list[PagePublisher] = field(default_factory=list)

    def page(self, listen: str | None = "127.0.0.1:0", **changes: Any) -> PagePublisher:
        made = PagePublisher(
            loaded(listen, self.folder), self.ledger, self.clock, self.log, self.meter, Secrets(["s3cret-s3cret"]), **changes
        )  # fmt: skip
        self.pages.append(made)
        self.watches = [self.watch("home")]
        return made

    def watch(self, name: str) -> Watch:
        gateway = cast(Gateway, SimpleNamespace(name=name))
        return Watch(gateway, world.BOOK, self.ledger, cast(Notes, None), self.clock, self.log, self.meter)

    async def open(self, page: PagePublisher) -> None:
        await page.open(lambda: self.watches)

    def passed(self, page: PagePublisher, **changes: Any) -> None:
        """The watch ended a pass."""
        told = world.report([world.seen(world.row(ALICE), 24 * MINUTE)], at=self.clock.now(), **changes)
        self.watches[0].last_report = told
        page.note(told)

    def url(self) -> str:
        return str(self.log.of(Event.STATUS_PAGE_LISTENING)[-1]["url"])


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with SqliteLedger.open(tmp_path / "ledger.sqlite", owner=True, wall=lambda: NOW.wall) as opened:
        yield opened


@pytest.fixture
async def daemon(tmp_path: Path, ledger: SqliteLedger) -> AsyncIterator[Daemon]:
    made = Daemon(tmp_path, ledger)
    yield made
    for page in made.pages:
        await page.close()


async def ask(url: str, path: str = "") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url + path)


# ---------------------------------------------------------------- health


async def test_it_is_alive_while_its_passes_end_whatever_its_gateways_do(daemon: Daemon) -> None:
    page, passing = daemon.page(None), [True]
    await page.open(lambda: daemon.watches, are_passing=lambda: passing[0])
    daemon.passed(page, phase=GatewayPhase.DOWN, problem="nothing listens")
    daemon.clock.advance(3600)
    live = page.liveness()
    assert (live.is_ok, live.facts["status"]) == (True, "ok")
    assert (live.facts["silent_seconds"], live.facts["last_cycle_at"]) == (3600.0, None)
    passing[0] = False
    live = page.liveness()
    assert (live.is_ok, live.facts["status"]) == (False, "stuck")
    assert "restart" in str(live.facts["problem"])


async def test_it_is_ready_once_every_gateway_was_looked_at_or_found_away(daemon: Daemon) -> None:
    page = daemon.page(None)
    daemon.watches.append(daemon.watch("office"))
    await daemon.open(page)
    assert page.readiness() == Health(False, {"status": "starting", "waited_for": ["home", "office"]})
    daemon.passed(page, phase=GatewayPhase.DOWN, problem="nothing listens")
    assert page.readiness() == Health(False, {"status": "starting", "waited_for": ["office"]})
    seen = daemon.watches[0].last_report
    assert seen is not None
    failed = replace(seen, gateway="office", error=PassFailed("office: a defect of ours."))
    page.note(failed)
    assert page.readiness().facts["waited_for"] == ["office"], "a pass that a defect ended has looked at nothing"
    page.note(replace(seen, gateway="office"))
    page.note(failed)
    assert page.readiness() == Health(True, {"status": "ok", "waited_for": []}), "ready once is ready"


# ---------------------------------------------------------------- serving


async def test_it_serves_what_the_watches_saw(daemon: Daemon) -> None:
    page = daemon.page()
    await daemon.open(page)
    daemon.passed(page)
    found = (await ask(daemon.url(), "api/state")).json()
    assert [one["key"] for one in found["gateways"][0]["sessions"]] == [ALICE]
    assert found["headline"]["text"] == "1 stuck."
    metrics = (await ask(daemon.url(), "metrics")).text
    assert "# TYPE openclaw_watchdog_held_total counter" in metrics


async def test_it_says_which_configuration_a_command_has_to_name(daemon: Daemon, tmp_path: Path) -> None:
    page = daemon.page()
    await daemon.open(page)
    page.loaded = replace(page.loaded, to_name=tmp_path / "two.yaml")
    daemon.passed(page)
    assert (await ask(daemon.url(), "api/state")).json()["config_file"] == str(tmp_path / "two.yaml")


async def test_a_pause_by_hand_shows_at_once(daemon: Daemon) -> None:
    page = daemon.page()
    await daemon.open(page)
    daemon.ledger.pause(at=NOW.wall, until=None, gateway=None, session=None, reason="s3cret-s3cret", who="ada")
    found = (await ask(daemon.url(), "api/state")).json()
    assert [one["reason"] for one in found["pauses"]] == ["***"]
    assert found["headline"]["text"] == "Everything is paused."


async def test_a_listener_hears_of_the_next_pass(daemon: Daemon) -> None:
    page = daemon.page()
    await daemon.open(page)
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", f"{daemon.url()}api/events") as answer,
    ):
        lines = answer.aiter_lines()
        told = [await anext(lines) for _ in range(5)]
        assert "Taking the first look." in told[3]
        daemon.passed(page)
        while "1 stuck." not in await asyncio.wait_for(anext(lines), 5):
            pass


async def test_a_taken_port_is_one_clear_line_and_is_tried_again(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        page = daemon.page(f"127.0.0.1:{port}", retry_after=0.0)
        await daemon.open(page)
        for _ in range(3):
            daemon.passed(page)
            await asyncio.sleep(0.02)
        told = daemon.log.of(Event.STATUS_PAGE_UNAVAILABLE)
        assert [line["reason"] for line in told] == [
            f"127.0.0.1:{port} is taken by another program; free it, or choose another status_page.listen"
        ]
    daemon.passed(page)
    for _ in range(100):
        if Event.STATUS_PAGE_LISTENING in daemon.log.names:
            break
        await asyncio.sleep(0.02)
    assert (await ask(daemon.url(), "healthz")).status_code == 200


async def test_an_address_of_another_machine(daemon: Daemon) -> None:
    await daemon.open(daemon.page("192.0.2.1:18795"))
    (told,) = daemon.log.of(Event.STATUS_PAGE_UNAVAILABLE)
    assert "192.0.2.1:18795 is not an address of this machine" in str(told["reason"])


async def test_a_reload_moves_the_page_and_switches_it_off(daemon: Daemon, tmp_path: Path) -> None:
    page = daemon.page()
    await daemon.open(page)
    before = daemon.url()
    await page.configure(loaded(f"127.0.0.1:{free_port()}", tmp_path))
    after = daemon.url()
    assert before != after
    assert (await ask(after, "healthz")).status_code == 200
    await page.configure(loaded(None, tmp_path))
    for url in (before, after):
        with pytest.raises(httpx.ConnectError):
            await ask(url, "healthz")


async def test_a_reload_that_leaves_the_page_alone_keeps_its_streams(daemon: Daemon, tmp_path: Path) -> None:
    page = daemon.page()
    await daemon.open(page)
    await page.configure(loaded("127.0.0.1:0", tmp_path, "poll_every: 1m\n"))
    assert len(daemon.log.of(Event.STATUS_PAGE_LISTENING)) == 1
    assert (await ask(daemon.url(), "api/state")).json()["poll_every_seconds"] == 60


async def test_a_port_of_the_systems_choice_is_written_down_while_it_lasts(daemon: Daemon, tmp_path: Path) -> None:
    page = daemon.page()
    await daemon.open(page)
    file = address_file(tmp_path)
    assert file.read_text() == f"{daemon.url()}\n"
    await page.close()
    assert not file.exists()


async def test_stopping_does_not_wait_for_listeners(daemon: Daemon) -> None:
    page = daemon.page()
    await daemon.open(page)
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", f"{daemon.url()}api/events") as answer,
    ):
        await anext(answer.aiter_lines())
        async with asyncio.timeout(3):
            await page.close()


async def test_switched_off_it_costs_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from watchdog.daemon import loop; "
        "sys.exit(','.join(name for name in ('starlette', 'uvicorn') if name in sys.modules) or 0)"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE)
    _, said = await child.communicate()
    assert (child.returncode, said) == (0, b"")


# ---------------------------------------------------------------- robustness


async def test_a_ledger_not_yet_there_is_said(tmp_path: Path) -> None:
    with SqliteLedger.in_memory(wall=lambda: NOW.wall) as ledger:
        daemon = Daemon(tmp_path, ledger)
        page = daemon.page(None)
        await daemon.open(page)
        assert page.document()["ledger"] == {"problem": None, "lost_history_at": None}
        await page.close()


async def test_looking_does_not_swallow_the_news_of_a_lost_ledger(daemon: Daemon, tmp_path: Path) -> None:
    page = daemon.page(None)
    await daemon.open(page)
    page.document()
    (tmp_path / "ledger.sqlite").unlink()
    page.document()
    with pytest.raises(Exception, match="deleted or replaced"):
        daemon.ledger.open_incidents()


async def test_a_watch_of_an_old_life_shows_nothing(daemon: Daemon) -> None:
    page = daemon.page(None)
    await daemon.open(page)
    daemon.passed(page)
    daemon.watches = [daemon.watch("home")]
    assert page.document()["gateways"][0]["phase"] == "unseen"
    assert page.document()["gateways"][0]["sessions"] == []
