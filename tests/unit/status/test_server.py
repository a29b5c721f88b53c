"""The site as an ASGI application: who may ask, what is answered, and with which headers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.unit.hostile import HOSTILE, ORDINARY
from tests.unit.status.support import Scripted, full_document
from watchdog.core.printable import escaped, shown_key, visible
from watchdog.status import page, server
from watchdog.status.page import page_html
from watchdog.status.server import Feed, application, host_is_ours

PATHS = ("/", "/api/state", "/metrics", "/livez", "/healthz", "/readyz")


@pytest.fixture
def facts() -> Scripted:
    return Scripted(full_document())


@pytest.fixture
async def site(facts: Scripted) -> AsyncIterator[httpx.AsyncClient]:
    wire = httpx.ASGITransport(app=application(facts, Feed(), "127.0.0.1", 18795))
    async with httpx.AsyncClient(transport=wire, base_url="http://127.0.0.1:18795") as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_it_answers_with_the_security_headers(site: httpx.AsyncClient, path: str) -> None:
    answer = await site.get(path)
    assert answer.status_code == 200
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "access-control-allow-origin" not in headers


async def test_state_is_the_document(site: httpx.AsyncClient) -> None:
    assert (await site.get("/api/state")).json() == full_document()


async def test_any_text_gets_through_as_ascii() -> None:
    document = {"key": "half \ud83d \u2028\x1b\u202e"}
    wire = httpx.ASGITransport(app=application(Scripted(document), Feed(), "127.0.0.1", 18795))
    async with httpx.AsyncClient(transport=wire, base_url="http://127.0.0.1:18795") as client:
        answer = await client.get("/api/state")
    assert answer.headers["content-type"] == "application/json"
    assert answer.content.isascii()
    assert answer.json() == document
    feed = Feed()
    feed.publish(document)
    stream = feed.stream(document)
    assert (await anext(stream)).isascii()
    feed.close()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_page_escapes_as_the_verbs_do() -> None:
    """``words.js`` and ``core.printable`` say the same of every text. (Of characters that only one of them knows, nothing.)"""
    texts = [
        *HOSTILE,
        *ORDINARY,
        *(chr(number) for number in range(0x3200) if unicodedata.category(chr(number)) != "Cn"),
    ]
    texts += [
        f"a{chr(number)}\\" for number in (0xD800, 0xDFFF, 0xE000, 0xFEFF, 0xFE0F, 0xFFA0, 0xE0041, 0xE0100, 0x1F600)
    ]
    program = (Path(page.__file__).parent / "words.js").read_text("utf-8") + (
        "\nconst texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "console.log(JSON.stringify(texts.map((text) => [visible(text), escaped(text), shownKey(text)])));"
    )
    done = subprocess.run(["node", "-e", program], input=json.dumps(texts), capture_output=True, text=True, check=True)
    for text, said in zip(texts, json.loads(done.stdout), strict=True):
        assert said == [visible(text), escaped(text), shown_key(text)], ascii(text)


def test_the_page_puts_text_in_at_one_place() -> None:
    """Beside what ``fill`` escapes, only our own words, counted spans and an escaped title are set as text."""
    for path in Path(page.__file__).parent.glob("*.js"):
        source = path.read_text("utf-8")
        assert "innerHTML" not in source
        assert "insertAdjacent" not in source
        set_to = re.findall(r"\.(?:textContent|title) = (.*);", source)
        assert all(re.match(r"[\"`]|span\(|countdown\(|text$", value) for value in set_to), set_to


async def test_metrics_are_prometheus_text(site: httpx.AsyncClient) -> None:
    answer = await site.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text == "# HELP x\n"


async def test_while_metrics_are_put_together_everything_else_goes_on() -> None:
    """They take seconds with thousands of gateways: here until the loop has answered somebody else."""
    may_go_on = threading.Event()

    class Slow(Scripted):
        def metrics(self) -> bytes:
            assert threading.current_thread() is not threading.main_thread(), "the event loop would stand still"
            assert may_go_on.wait(60)
            return super().metrics()

    wire = httpx.ASGITransport(app=application(Slow(full_document()), Feed(), "127.0.0.1", 18795))
    async with httpx.AsyncClient(transport=wire, base_url="http://127.0.0.1:18795") as client:
        metrics = asyncio.create_task(client.get("/metrics"))
        try:
            assert (await client.get("/livez")).status_code == 200
            assert not metrics.done()
        finally:
            may_go_on.set()
        assert (await metrics).text == "# HELP x\n"


async def test_health_decides_the_status(site: httpx.AsyncClient, facts: Scripted) -> None:
    for path in ("/livez", "/healthz", "/readyz"):
        assert (await site.get(path)).status_code == 200
    facts.is_well = False
    said = {path: await site.get(path) for path in ("/livez", "/healthz", "/readyz")}
    assert {path: (answer.status_code, answer.json()["status"]) for path, answer in said.items()} == {
        "/livez": (503, "stuck"),
        "/healthz": (503, "stuck"),
        "/readyz": (503, "starting"),
    }


# ---------------------------------------------------------------- read only, and only for us


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_nothing_can_be_changed(site: httpx.AsyncClient, method: str) -> None:
    for path in (*PATHS, "/api/events", "/nothing"):
        answer = await site.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", [*PATHS, "/api/events"])
async def test_head_is_answered_at_once(site: httpx.AsyncClient, path: str) -> None:
    assert (await site.head(path)).status_code == 200


async def test_unknown_paths_name_the_known_ones(site: httpx.AsyncClient) -> None:
    answer = await site.get("/../etc/passwd")
    assert answer.status_code == 404
    assert "/livez" in answer.text


@pytest.mark.parametrize("path", [*PATHS, "/api/events", "/nothing"])
async def test_another_name_is_turned_away_everywhere(site: httpx.AsyncClient, facts: Scripted, path: str) -> None:
    answer = await site.get(path, headers={"host": "evil.example:18795"})
    assert answer.status_code == 403
    assert facts.asked == 0


async def test_two_hosts_or_none_are_turned_away(facts: Scripted) -> None:
    app = application(facts, Feed(), "127.0.0.1", 18795)
    for hosts in ([], [b"localhost", b"evil.example"]):
        sent: list[dict[str, object]] = []
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [(b"host", host) for host in hosts],
        }

        async def send(message: object, into: list[dict[str, object]] = sent) -> None:
            assert isinstance(message, dict)
            into.append(message)

        async def receive() -> dict[str, object]:
            return {"type": "http.request"}

        await app(scope, receive, send)
        assert sent[0]["status"] == 403


@pytest.mark.parametrize(
    ("header", "host", "ours"),
    [
        ("127.0.0.1:18795", "127.0.0.1", True),
        ("localhost:18795", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("localhost:9000", "127.0.0.1", True),  # ssh -L 9000:localhost:18795
        ("[::1]:18795", "127.0.0.1", True),
        ("127.8.8.8:18795", "127.0.0.1", True),
        ("evil.example:18795", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("10.0.0.7:18795", "127.0.0.1", False),
        ("localhost:18795@evil.example", "127.0.0.1", False),
        ("localhost evil.example", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("[::1", "127.0.0.1", False),
        ("nas.lan:18795", "nas.lan", True),
        ("NAS.lan:18795", "nas.lan", True),
        ("nas.lan:80", "nas.lan", False),
        ("nas.lan", "nas.lan", False),
        ("10.0.0.7:18795", "10.0.0.7", True),
        ("10.0.0.7:18795", "0.0.0.0", True),
        ("[fd00::7]:18795", "::", True),
        ("nas.lan:18795", "0.0.0.0", False),
    ],
)
def test_which_hosts_are_ours(header: str, host: str, ours: bool) -> None:
    assert host_is_ours(header, host, 18795) is ours


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("watchdog.example.org", True),
        ("Watchdog.example.org:8443", True),
        ("watchdog.example.org.", True),
        ("localhost:18795", True),
        ("evil.example", False),
        ("watchdog.example.org.evil.example", False),
        ("sub.watchdog.example.org", False),
        ("10.0.0.7:18795", False),
    ],
)
def test_further_names_are_ours_on_any_port(header: str, ours: bool) -> None:
    assert host_is_ours(header, "127.0.0.1", 18795, ("watchdog.example.org",)) is ours


async def test_a_further_name_is_let_in(facts: Scripted) -> None:
    wire = httpx.ASGITransport(app=application(facts, Feed(), "127.0.0.1", 18795, ("watchdog.example.org",)))
    async with httpx.AsyncClient(transport=wire, base_url="http://watchdog.example.org") as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/livez", headers={"host": "evil.example"})).status_code == 403


# ---------------------------------------------------------------- the page itself


async def test_the_policy_allows_exactly_what_the_page_carries(site: httpx.AsyncClient) -> None:
    answer = await site.get("/")
    policy = answer.headers["content-security-policy"]
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "http:" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_a_browser_without_scripts_gets_a_command_that_finds_the_configuration(
    site: httpx.AsyncClient, facts: Scripted
) -> None:
    assert "<code>openclaw-watchdog status</code>" in (await site.get("/")).text
    facts.shown = {**facts.shown, "config_file": "/srv/<two> & {{script}}.yaml"}
    said = "<code>openclaw-watchdog status --config &#x27;/srv/&lt;two&gt; &amp; {{script}}.yaml&#x27;</code>"
    assert said in (await site.get("/")).text


def test_the_page_names_nothing_outside_itself() -> None:
    text = page_html().decode()
    outside = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s\"'`]*", text))
    assert outside == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval)\b", text)
    assert not re.search(r"\son\w+=|\sstyle=", text.partition("<script>")[0])
    assert "{{" not in text.replace("${{", "")


# ---------------------------------------------------------------- events


async def _events(feed: Feed, first: dict[str, object], count: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    async for text in feed.stream(first):
        found += [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        if len(found) >= count:
            break
    return found


async def test_a_stream_begins_with_the_present_and_hears_every_change() -> None:
    feed = Feed()
    listening = asyncio.create_task(_events(feed, {"n": 0}, 3))
    await asyncio.sleep(0)
    assert feed.listeners == 1
    for number in (1, 1, 2):
        feed.publish({"n": number, "at": f"t{number}"})
        await asyncio.sleep(0.01)
    assert [one["n"] for one in await listening] == [0, 1, 2]


async def test_the_time_alone_is_no_news() -> None:
    feed = Feed()
    assert feed.publish({"at": "1", "x": 1})
    assert not feed.publish({"at": "2", "x": 1})
    assert feed.publish({"at": "3", "x": 2})


async def test_a_closed_feed_ends_its_streams_and_forgets_its_listeners() -> None:
    feed = Feed()
    listening = asyncio.create_task(_events(feed, {"n": 0}, 9))
    await asyncio.sleep(0)
    feed.close()
    assert len(await asyncio.wait_for(listening, 60)) == 1
    assert feed.listeners == 0


async def test_a_silent_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PING_EVERY", 0.01)
    stream = Feed().stream({})
    await anext(stream)
    assert await anext(stream) == "event: ping\ndata: still here\n\n"


async def test_streams_are_limited(facts: Scripted) -> None:
    feed = Feed(listeners=server.MOST_LISTENERS)
    wire = httpx.ASGITransport(app=application(facts, feed, "127.0.0.1", 18795))
    async with httpx.AsyncClient(transport=wire, base_url="http://127.0.0.1:18795") as client:
        assert (await client.get("/api/events")).status_code == 503


LAZY = """
import asyncio, sys, urllib.request
from tests.unit.status.support import Scripted, full_document
from watchdog.status.server import Feed, StatusServer

async def main():
    server = await StatusServer.start("127.0.0.1", 0, Scripted(full_document()), Feed())
    await asyncio.sleep(0)
    print("uvicorn" in sys.modules)
    await asyncio.to_thread(lambda: urllib.request.urlopen(server.url, timeout=20).read())
    print("uvicorn" in sys.modules)
    await server.stop()

asyncio.run(main())
"""


def test_a_page_that_nobody_opens_costs_no_server() -> None:
    root = Path(__file__).parents[3]
    ran = subprocess.run([sys.executable, "-c", LAZY], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
