"""The status page in a real Chromium: clean, live, readable on a phone and with a screen reader. No gateway is needed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.harness.browser import Browser, Tab
from tests.e2e.harness.install import axe_core
from tests.unit.status import support as world
from tests.unit.status.support import ALICE, BOB, MINUTE, Scripted
from watchdog.core.model import GatewayPhase
from watchdog.status.document import build, read_record
from watchdog.status.model import document
from watchdog.status.server import Document, Feed, StatusServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

DESK, PHONE = 1280, 390


class Site:
    """The page, served from a thread of its own, showing what it is told."""

    def __init__(self, shown: Document, port: int = 0, further: Sequence[str] = ()) -> None:
        self.facts, self.feed = Scripted(shown), Feed()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        starting = StatusServer.start("127.0.0.1", port, self.facts, self.feed, further=further)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.url, self.port = self._server.url, self._server.port

    def show(self, shown: Document) -> None:
        self.facts.shown = shown
        self._loop.call_soon_threadsafe(self.feed.publish, shown)

    def close(self) -> None:
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()


MakeSite = Callable[..., Site]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture
def serve() -> Iterator[MakeSite]:
    made: list[Site] = []

    def make(shown: Document, port: int = 0, further: Sequence[str] = ()) -> Site:
        made.append(Site(shown, port, further))
        return made[-1]

    yield make
    for site in made:
        if not site._loop.is_closed():
            site.close()


def quiet() -> Document:
    with world.memory() as ledger:
        home = [world.sight(world.report([world.at_rest(ALICE), world.at_rest(BOB)]))]
        return document(build(world.life(), home, read_record(ledger, home, world.NOW.wall), world.NOW.wall))


def stuck(*steps: Any, is_over: bool = False) -> Document:
    """Alice stuck for 24 minutes; with what was done about it so far."""
    with world.memory() as ledger:
        world.incident(ledger, ALICE, MINUTE, *steps, lasted=MINUTE if is_over else None)
        alice = world.at_rest(ALICE) if is_over else world.seen(world.row(ALICE), 24 * MINUTE)
        home = [world.sight(world.report([alice, world.at_rest(BOB)]))]
        return document(build(world.life(), home, read_record(ledger, home, world.NOW.wall), world.NOW.wall))


def away() -> Document:
    """Alice was stuck for 24 minutes when her gateway was last seen, three hours ago."""
    now = world.NOW.plus(3 * world.HOUR)
    last = world.report([], phase=GatewayPhase.DOWN, at=now, problem="home: nothing listens.")
    with world.memory() as ledger:
        home = [world.sight(last, seen=world.report([world.seen(world.row(ALICE), 24 * MINUTE)]))]
        return document(build(world.life(), home, read_record(ledger, home, now.wall), now.wall))


def opened(tab: Tab, site: Site) -> None:
    tab.open(site.url)
    tab.wait_for("document.querySelector('.banner') && document.querySelector('svg.chart')")


def has_clean_record(tab: Tab, site: Site) -> bool:
    assert tab.errors == []
    assert {urlsplit(url).netloc for url in tab.requests} == {f"127.0.0.1:{site.port}"}
    return True


def test_it_loads_without_an_error_or_a_request_to_anybody_else(browser: Browser, serve: MakeSite) -> None:
    site = serve(world.full_document())
    with browser.tab() as tab:
        opened(tab, site)
        tab.wait_for("document.getElementById('live-text').textContent === 'live'")
        assert has_clean_record(tab, site)
        assert {urlsplit(url).path for url in tab.requests} == {"/", "/api/events"}
        assert "Gateway office is down" in tab.text()
        assert "agent:main:irc:direct:alice Alice Ames (@alice) is paused until" in tab.text()
        assert tab.run("document.title").startswith("▲ Gateway office is down")


def test_while_a_gateway_is_away_its_sessions_say_as_of_when_and_get_no_older(
    browser: Browser, serve: MakeSite
) -> None:
    site = serve(away())
    with browser.tab() as tab:
        opened(tab, site)
        card = tab.run("document.querySelector('.session.stuck').textContent")
        assert "when its gateway last answered" in card
        assert "Nothing works on it for 24m, stuck from 20m" in card
        assert "Next: nothing while its gateway is down." in card
        tab.wait_for("document.querySelector('.session.stuck .level').style.width === '100%'")
        assert has_clean_record(tab, site)


def test_a_session_goes_stuck_and_is_recovered_live(browser: Browser, serve: MakeSite) -> None:
    site = serve(quiet())
    with browser.tab() as tab:
        opened(tab, site)
        assert "All is well: 2 sessions, none of them stuck." in tab.text()
        tab.run("window.isTheSamePage = true")

        site.show(stuck())
        tab.wait_for("document.querySelector('.banner.trouble')?.textContent === '1 stuck.'")
        assert tab.run("document.querySelector('.session.stuck .sessionkey').textContent") == ALICE
        assert "Nothing works on it for 24m" in tab.text()
        assert "openclaw-watchdog explain agent:main:irc:direct:alice" in tab.text()

        site.show(stuck(world.SENT))
        tab.wait_for("document.querySelector('.session.recovering')")
        assert "Next: waiting for proof that resuming it worked" in tab.text()

        site.show(stuck(world.WORKED, is_over=True))
        tab.wait_for("document.querySelector('.banner.ok')")
        tab.wait_for("document.querySelector('svg.chart .bar.recovered .deed.worked')")
        assert tab.run("document.querySelectorAll('article.session').length") == 0
        assert tab.run("document.querySelector('#sessions summary').textContent") == "2 healthy"
        assert "Resume worked: a new run finished" in tab.text()
        assert "1 recovered" in tab.run("document.getElementById('timeline-text').textContent")
        assert tab.run("window.isTheSamePage")
        assert has_clean_record(tab, site)


PROXY_NAME, PROXY_PATH = "watchdog.example.org", "/watchdog/"


@contextlib.contextmanager
def proxied(port: int) -> Iterator[str]:
    """The page as a reverse proxy of docs/howto.md hands it on: under a path and a name of its own; its address."""

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            method, path, rest = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
            if not path.startswith(PROXY_PATH.encode()):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            path = path.removeprefix(PROXY_PATH.encode().rstrip(b"/"))
            rest = re.sub(rb"(?mi)^host: .*?\r$", f"Host: {PROXY_NAME}\r".encode(), rest)
            rest = re.sub(rb"(?mi)^connection: .*?\r$", b"Connection: close\r", rest)
            answers, asks = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(asks):
                asks.write(b" ".join((method, path, rest)))
                while part := await answers.read(65536):
                    writer.write(part)
                    await writer.drain()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(hand_on, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PROXY_PATH}"
    finally:
        server.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_behind_a_proxy_it_is_live_under_a_path_and_a_name_of_its_own(browser: Browser, serve: MakeSite) -> None:
    site = serve(quiet(), further=[PROXY_NAME])
    with proxied(site.port) as address, browser.tab() as tab:
        tab.open(address)
        tab.wait_for("document.querySelector('.banner.ok')")
        site.show(stuck())
        tab.wait_for("document.querySelector('.banner.trouble')?.textContent === '1 stuck.'")
        assert tab.errors == []
        assert [url for url in tab.requests if not url.startswith((address, "data:"))] == []
        assert f"{address}api/events" in tab.requests
        links = tab.run("[...document.querySelectorAll('footer a')].map((one) => one.href)")
        assert {f"{address}api/state", f"{address}metrics", f"{address}livez"} <= set(links)


def test_behind_a_proxy_whose_name_is_not_configured_it_says_where_to_put_it(browser: Browser, serve: MakeSite) -> None:
    with proxied(serve(quiet()).port) as address, browser.tab() as tab:
        tab.open(address)
        tab.wait_for("document.body?.textContent.includes('status_page.hosts for further names')")


def test_a_lost_connection_is_said_and_comes_back(browser: Browser, serve: MakeSite) -> None:
    site = serve(quiet())
    with browser.tab() as tab:
        opened(tab, site)
        site.close()
        tab.wait_for("document.getElementById('live-text').textContent.startsWith('no connection')")
        assert tab.run("document.querySelector('.banner.trouble').textContent").startswith(
            "The watchdog does not answer."
        )
        assert tab.run("document.title").startswith("▲ The watchdog does not answer.")
        again = serve(stuck(), site.port)
        tab.wait_for("document.querySelector('.session.stuck')")
        tab.wait_for("document.getElementById('live-text').textContent === 'live'")
        assert tab.run("document.querySelector('.banner').textContent") == "1 stuck."
        again.close()


def test_a_frozen_watchdog_is_not_taken_for_a_quiet_one(browser: Browser, serve: MakeSite) -> None:
    """Stopped or hung, it holds the connection; what the page says then is old."""
    site = serve(quiet())
    with browser.tab() as tab:
        opened(tab, site)
        tab.run("{ const real = Date.now; Date.now = () => real() + 41000; }")
        tab.wait_for("document.querySelector('.banner.trouble')")
        assert tab.text().count("The watchdog does not answer. All of this is from") == 1
        assert tab.run("document.title").startswith("▲ The watchdog does not answer.")
        site.show(stuck())
        tab.wait_for("document.querySelector('.banner').textContent === '1 stuck.'")


def test_the_headline_says_that_what_it_says_is_old(browser: Browser, serve: MakeSite) -> None:
    site = serve({**quiet(), "last_cycle_at": "2026-11-20T11:50:00+00:00"})
    with browser.tab() as tab:
        opened(tab, site)
        tab.wait_for(
            "document.querySelector('.banner.trouble')?.textContent.startsWith('No gateway has answered since')"
        )


def test_sessions_incidents_and_deeds_lead_to_each_other(browser: Browser, serve: MakeSite) -> None:
    site = serve(world.full_document())
    with browser.tab() as tab:
        opened(tab, site)
        for row in ("article.session", "#incidents details", "#deeds li"):
            assert tab.run(
                f"[...document.querySelectorAll('{row}')].every((one) => one.textContent.includes('on home'))"
            )
        tab.run(
            "{ const box = document.getElementById('filter'); box.value = 'ames'; box.dispatchEvent(new Event('input')); }"
        )
        assert tab.run("[...document.querySelectorAll('.session h3 .sessionkey')].map((one) => one.textContent)") == [
            ALICE
        ]
        tab.run("document.querySelector('.session .about a').click()")
        tab.wait_for("document.querySelector('#incidents details[open].reached')")
        tab.run("document.querySelector('#incidents details[open] .inside a').click()")
        tab.wait_for("document.querySelector('article.session.reached h3').textContent.includes('alice')")
        tab.run(
            "{ const box = document.getElementById('filter'); box.value = 'worked'; box.dispatchEvent(new Event('input')); }"
        )
        oldest = "[...document.querySelectorAll('#deeds li')].at(-1)"
        assert tab.run(f"{oldest}.querySelectorAll('a').length") == 2
        tab.run(f"[...{oldest}.querySelectorAll('a')].at(-1).click()")
        tab.wait_for("document.querySelector('#incidents details[open].reached')?.textContent.includes('alice')")
        assert tab.run("document.getElementById('filter').value") == "", "what hides it gives way"
        assert has_clean_record(tab, site)


def test_the_healthy_are_folded_and_found(browser: Browser, serve: MakeSite) -> None:
    site = serve(world.full_document())
    with browser.tab() as tab:
        opened(tab, site)
        assert tab.run("[...document.querySelectorAll('.fold summary')].map((one) => one.textContent)") == [
            "1 waiting",
            "9 healthy",
        ]
        assert not tab.run("Boolean(document.querySelector('.fold[open]'))")
        tab.run(
            "{ const box = document.getElementById('filter'); box.value = 'FAMILY'; box.dispatchEvent(new Event('input')); }"
        )
        assert tab.run("document.querySelector('.fold[open] li').textContent").startswith(
            "agent:main:irc:direct:quiet3 Family chat"
        )
        assert tab.run("document.querySelectorAll('.fold li, article.session').length") == 1


def test_many_messages_not_delivered_leave_room_for_the_rest_and_say_what_to_type(
    browser: Browser, serve: MakeSite
) -> None:
    shown = dict(world.full_document())
    site = serve({**shown, "undelivered": [*shown["undelivered"]] * 9})
    with browser.tab(width=390) as tab:
        opened(tab, site)
        card = (
            "[...document.querySelectorAll('article')].find((one) => one.textContent.includes('9 messages could not'))"
        )
        assert tab.run(f"{card}.querySelectorAll('li').length") == 4
        assert tab.run(f"{card}.querySelector('li').textContent").startswith("“stuck” to ntfy-1, ")
        assert tab.run(f"{card}.querySelector('li:last-child').textContent") == "and 6 more"
        assert tab.run(f"{card}.querySelector('code').textContent") == "openclaw-watchdog notify test"
        assert has_clean_record(tab, site)


def test_a_week_of_each_gateway_is_drawn_and_said(browser: Browser, serve: MakeSite) -> None:
    site = serve(world.full_document())
    with browser.tab() as tab:
        opened(tab, site)
        said = tab.run("[...document.querySelectorAll('.available')].map((one) => one.textContent)")
        assert said[0].endswith("Answered 98.91 % of 5d watched in 7 days.")
        pieces = "[...document.querySelectorAll('.available')[1].querySelectorAll('rect')].map((one) => [one.getAttribute('class'), one.getAttribute('width')])"
        assert tab.run(pieces) == [["unwatched", "48"], ["up", "111"], ["away", "9"]]
        assert "; away from 04:00." in tab.run(
            "document.querySelectorAll('.available svg')[1].getAttribute('aria-label')"
        )


def test_a_day_of_the_week_can_be_looked_at_alone(browser: Browser, serve: MakeSite) -> None:
    site = serve(world.full_document())
    with browser.tab() as tab:
        opened(tab, site)
        assert tab.run("document.querySelectorAll('.chart .bar').length") == 11
        tab.run("[...document.querySelectorAll('.zoom button')].at(-3).click()")
        assert tab.run("document.querySelector('.zoom [aria-pressed=true]').textContent").endswith("18")
        assert tab.run("document.querySelectorAll('.chart .bar').length") == 8, "four, each in two rows"
        assert "4 recovered" in tab.run("document.getElementById('timeline-text').textContent")
        tab.run("document.querySelector('.zoom button').click()")
        assert tab.run("document.querySelectorAll('.chart .bar').length") == 11


def test_a_name_is_text_and_stays_in_its_place(browser: Browser, serve: MakeSite) -> None:
    hostile = "<img src=x onerror=alert(1)>\u202e”" + "Z\u0300\u0301\u0302\u0303" * 10
    shown = world.full_document()
    home = {**shown["gateways"][0], "names": {ALICE: hostile, "__proto__": "x"}}
    site = serve({**shown, "gateways": [home, shown["gateways"][1]]})
    with browser.tab(width=PHONE) as tab:
        opened(tab, site)
        assert tab.run("document.querySelectorAll('img').length") == 0
        name = tab.run("document.querySelector('.session.stuck .name').textContent")
        assert name.startswith("<img src=x onerror=alert(1)>\\u202e”Z")
        assert tab.run("document.documentElement.scrollWidth") <= PHONE
        assert has_clean_record(tab, site)


def test_ages_grow_and_countdowns_fall_by_themselves(browser: Browser, serve: MakeSite) -> None:
    site = serve(world.full_document())
    with browser.tab() as tab:
        opened(tab, site)
        due = "document.querySelector('.session.suspect .next [data-until]').textContent"
        before = tab.run(due)
        tab.wait_for(f"{due} !== {before!r}", 5)
        assert tab.run(due).startswith("in 11m5")
        width = float(tab.run("document.querySelector('.session.suspect .level').style.width").rstrip("%"))
        assert 39 < width < 42


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_phone(browser: Browser, serve: MakeSite, dark: bool) -> None:
    site = serve(json.loads(json.dumps(world.full_document()).replace(BOB, "agent:main:" + "x" * 180)))
    with browser.tab(width=PHONE, dark=dark) as tab:
        opened(tab, site)
        tab.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert tab.run("document.documentElement.scrollWidth") <= PHONE
        too_wide = f"[...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > {PHONE} + 0.5).map((one) => one.outerHTML.slice(0, 90))"
        assert tab.run(too_wide) == []
        options = "[...document.querySelectorAll('.command .option')]"
        assert tab.run(f"{options}.length") > 5
        assert tab.run(f"{options}.filter((one) => one.getClientRects().length > 1).length") == 0, (
            "broken after a hyphen"
        )
        _keep_picture(tab, f"phone-{'dark' if dark else 'light'}")
        assert has_clean_record(tab, site)


@pytest.mark.parametrize("is_dead", [False, True], ids=["live", "dead"])
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, serve: MakeSite, width: int, dark: bool, is_dead: bool) -> None:
    """Also on what is left of it when the daemon has died, which is when it is read."""
    site = serve(world.full_document())
    with browser.tab(width=width, dark=dark) as tab:
        opened(tab, site)
        if is_dead:
            site.close()
            tab.wait_for("document.body.matches('.old')", 10)
        tab.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        tab.run(axe_core().read_text("utf-8") + "; true")
        assert tab.run("axe.run().then((result) => result.passes.map((one) => one.id))").count("color-contrast") == 1
        found = tab.run("axe.run().then((result) => result.violations)")
        told = [(one["id"], one["impact"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found]
        assert told == []
        _keep_picture(tab, f"{'dead' if is_dead else 'full'}-{width}-{'dark' if dark else 'light'}")


def test_the_keyboard_reaches_everything_and_keeps_its_place(browser: Browser, serve: MakeSite) -> None:
    site = serve(world.full_document())
    with browser.tab() as tab:
        opened(tab, site)
        tab.press("Tab", 9)
        assert tab.run("document.activeElement.className") == "skip"
        for _ in range(60):
            tab.press("Tab", 9)
            if tab.run("document.activeElement.tagName") == "SUMMARY":
                break
        key = tab.run("document.activeElement.dataset.key")
        tab.run("document.activeElement.click()")
        changed = world.full_document()
        newest = dict(changed["incidents"][0], id="i-new", session="agent:main:new")
        site.show({**changed, "incidents": [newest, *changed["incidents"]]})
        tab.wait_for("document.getElementById('i-new')")
        assert tab.run("document.activeElement.dataset.key") == key
        assert tab.run("document.activeElement.parentElement.open")


def test_another_origin_cannot_read_it(browser: Browser, serve: MakeSite) -> None:
    site = serve(world.full_document())
    with browser.tab() as tab:
        tab.open("about:blank")
        assert tab.run(f"fetch('{site.url}api/state').then(() => 'read', () => 'refused')") == "refused"


def _keep_picture(tab: Tab, name: str) -> None:
    """``STATUS_PAGE_PICTURES=folder`` keeps what the tests saw, for people's eyes."""
    folder = os.environ.get("STATUS_PAGE_PICTURES")
    if folder:
        tab.run("document.querySelectorAll('details').forEach((one) => { one.open = false; })")
        Path(folder).mkdir(parents=True, exist_ok=True)
        tab.picture(Path(folder) / f"{name}.png")
