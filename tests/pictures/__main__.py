"""``make pictures``: the pictures of README and documents, drawn by the program itself, into ``docs/``.

Nothing is staged but the world: sessions, gateway and clock are the tests' own, so every picture comes out the same each
time. The page is photographed in a real Chromium (``--no-page`` leaves it out); what a terminal shows is drawn as SVG.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Literal

from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from tests.e2e.harness.browser import Browser, Tab
from tests.fakes.builders import ALICE, dead, lenient, tail_of
from tests.fakes.clock import ManualClock
from tests.fakes.world import World
from tests.unit.status.support import NAMES, NOW, OPS, Scripted, full_document
from watchdog.adapters.logs import configure
from watchdog.cli.render import top_frame
from watchdog.core.policy import PolicyBook, Step
from watchdog.core.texts import ask_text, fresh_session_notice
from watchdog.service.events import Event, LogFormat
from watchdog.service.ledger import Message
from watchdog.status.server import Document, Feed, StatusServer

DOCS = Path(__file__).parents[2] / "docs"
LARGEST = 150_000
"""Bytes of a picture; they are read on phones too."""
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def main(arguments: Sequence[str]) -> int:
    DOCS.mkdir(exist_ok=True)
    write("top.svg", terminal("openclaw-watchdog top", 132, top()))
    log, messages = asyncio.run(a_day())
    write("log.svg", terminal("openclaw-watchdog run", 150, log))
    write("messages.svg", terminal("what arrives on the phone", 84, messages))
    write("chat.svg", terminal("what the person sees", 84, chat()))
    if "--no-page" not in arguments:
        photograph()
    return 0


def write(name: str, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    assert len(data) <= LARGEST, f"{name} is {len(data)} bytes"
    (DOCS / name).write_bytes(data)
    sys.stdout.write(f"wrote docs/{name}, {len(data) // 1000} kB\n")


# ---------------------------------------------------------------- terminals


def terminal(title: str, width: int, content: RenderableType) -> str:
    """A terminal of this width as SVG, without the fonts rich would fetch from elsewhere."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(content, highlight=False, soft_wrap=False)
    drawn = console.export_svg(title=title, unique_id="ocw")
    return _FONT_FACE.sub("", drawn).replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


def shown() -> Document:
    """The tests' world; but nobody who looks at a picture wants to puzzle over a name that means harm."""
    said = json.dumps(full_document())
    return dict(json.loads(said.replace(json.dumps(NAMES[OPS])[1:-1], "Ops room")))


def top() -> RenderableType:
    size = Console(width=132, height=50).size
    return top_frame(dict(shown()), NOW.wall, size, is_once=True)


class Terminal(io.StringIO):
    """Text that is taken for a terminal's."""

    def isatty(self) -> bool:
        return True


async def a_day() -> tuple[RenderableType, RenderableType]:
    """What is logged and what is told while one session is recovered and another one is given up."""
    lines, clock = Terminal(), ManualClock()
    world = World(book=PolicyBook(default=lenient(ladder=(Step.RESUME, Step.NEW))), clock=clock)
    log = configure(LogFormat.CONSOLE, stream=lines, clock=clock, environ={})
    world.log = log  # type: ignore[assignment]
    world.watch = world.new_watch()
    log.event(Event.CONFIG_LOADED, source="watchdog.yaml")
    log.event(
        Event.DAEMON_STARTED,
        version="1.0.0",
        pid=4242,
        gateways=["home"],
        mode="recover",
        unsettled_attempts=0,
        descriptors=524288,
    )
    world.gateway.put(dead())
    await world.until_deed()
    await world.live(minutes=2)
    world.gateway.effect = world.gateway.nothing
    key = "agent:main:telegram:direct:4711"
    world.gateway.put(dead(key, session_id="sid-2", channel="telegram"))
    world.gateway.tails[key] = tail_of(by=replace(ALICE, id="4711"), fingerprint="tail-9")
    await world.until_deed(3, minutes=60)
    await world.live(minutes=5)
    told = [*world.owed()]
    return Group(
        *(Text.from_ansi(line, no_wrap=True, overflow="ellipsis") for line in lines.getvalue().splitlines())
    ), (Group(*(card(message) for message in told)))


def card(message: Message) -> RenderableType:
    return Padding(Panel(Text(message.body), title=Text(message.title, "bold"), title_align="left"), (0, 0, 1, 0))


def chat() -> RenderableType:
    """What becomes of a request that was cut off, as its author reads it."""
    request, at = "Compare the two offers, and mail me what you would take.", NOW.wall
    answer = "I would take the second: the same terms, and delivery a week earlier. The comparison is in your mail."
    ways = (
        ("it is resumed, and answered", answer),
        ("it may not be resumed: perhaps somebody stopped it, or it is long ago", ask_text(at)),
        ("after a fresh session", fresh_session_notice(request, at)),
    )
    return Group(
        *(line for way, said in ways for line in (Text(way, "dim"), bubble(request, "right"), bubble(said, "left")))
    )


def bubble(words: str, side: Literal["left", "right"]) -> RenderableType:
    who = "Alice" if side == "right" else "the agent"
    panel = Panel(Text(words), title=Text(who, "bold"), title_align=side, width=60)
    return Padding(Align(panel, side), (0, 0, 0 if side == "right" else 1, 0))


# ---------------------------------------------------------------- the page


@contextmanager
def served() -> Iterator[str]:
    """The page with the tests' world behind it; its address."""
    ready, over = Flag(), Flag()
    address: list[str] = []

    async def serve() -> None:
        server = await StatusServer.start("127.0.0.1", 0, Scripted(shown()), Feed())
        address.append(server.url)
        ready.set()
        await asyncio.to_thread(over.wait)
        await server.stop()

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield address[0]
    finally:
        over.set()
        thread.join(20)


def photograph() -> None:
    with served() as url, Browser() as browser:
        for name, width, height, dark in (
            ("page-light.webp", 1000, 1560, False),
            ("page-dark.webp", 1000, 1560, True),
            ("page-phone.webp", 390, 1560, False),
        ):
            with browser.tab(width=width, height=height, dark=dark) as tab:
                tab.open(url)
                tab.wait_for("document.querySelectorAll('article.session').length > 3")
                tab.wait_for("document.getAnimations().every((one) => one.effect.getTiming().iterations === Infinity)")
                write(name, shot(tab, {"x": 0, "y": 0, "width": width, "height": height}))
                if name == "page-light.webp":
                    write("page-week.webp", shot(tab, place(tab, "#timeline")))


def place(tab: Tab, selector: str) -> dict[str, float]:
    """Where an element is on the page."""
    rectangle = f"document.querySelector({selector!r}).getBoundingClientRect()"
    found: dict[str, float] = tab.run(f"(({{x, y, width, height}}) => ({{x, y, width, height}}))({rectangle})")
    return found


def shot(tab: Tab, part: dict[str, float]) -> bytes:
    """A part of the page. WebP: the same as PNG would take three times as much."""
    clip = {**part, "scale": 1}
    found = tab.call("Page.captureScreenshot", format="webp", quality=80, captureBeyondViewport=True, clip=clip)
    return base64.b64decode(found["data"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
