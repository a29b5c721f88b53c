"""``status`` and ``top`` against a served state, and against nobody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console, ConsoleDimensions
from typer.testing import CliRunner

from tests.fakes.loopback import free_port
from tests.unit.status.support import NOW, Scripted, full_document
from watchdog.cli import status
from watchdog.cli.app import app
from watchdog.cli.render import lost_frame, status_lines, top_frame
from watchdog.cli.shared import Leave, UnknownGateway
from watchdog.status.server import Document, Feed, StatusServer


@contextlib.contextmanager
def served(document: Document, *, is_well: bool = True) -> Iterator[int]:
    """A page that shows ``document``, in a thread of its own; its port."""
    port, ready, over = free_port(), threading.Event(), threading.Event()

    async def serve() -> None:
        server = await StatusServer.start("127.0.0.1", port, Scripted(document, is_well=is_well), Feed())
        ready.set()
        await asyncio.to_thread(over.wait)
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield port
    finally:
        over.set()
        thread.join(10)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path / "watchdog.yaml"


def write(config: Path, page: str) -> None:
    config.write_text(f"gateways:\n  - {{name: home, url: 'ws://127.0.0.1:1'}}\nstatus_page: {page}\n")


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words))
    code = result.exception.code if isinstance(result.exception, Leave) else result.exit_code
    return code, result.stdout, result.stderr


def test_status_json_is_the_document(config: Path) -> None:
    with served(full_document()) as port:
        write(config, f"{{listen: '127.0.0.1:{port}'}}")
        code, out, _ = run("status", "--json", "--config", str(config))
    assert (code, json.loads(out)) == (0, full_document())


def test_status_in_words(config: Path) -> None:
    with served(full_document()) as port:
        write(config, f"{{listen: '127.0.0.1:{port}'}}")
        code, out, _ = run("status", "--config", str(config))
    assert code == 0
    assert out.startswith("▲ Gateway office is down, 1 quarantined, 1 stuck")
    for words in (
        "agent:main:irc:group:#ops",
        "by ada: moving house",
        "HTTP 503",
        "office: nothing listens on 10.0.0.5",
    ):
        assert words in out


def test_status_of_one_gateway(config: Path) -> None:
    shown = dict(full_document())
    (owed,) = shown["undelivered"]
    shown["undelivered"] = [owed, {**owed, "kind": "fleet_breaker", "gateway": ""}]
    with served(shown) as port:
        write(config, f"{{listen: '127.0.0.1:{port}'}}")
        _, out, _ = run("status", "--gateway", "office", "--json", "--config", str(config))
        with pytest.raises(UnknownGateway, match="no gateway is called nope; watched: home, office"):
            status._only(dict(full_document()), "nope")
    document = json.loads(out)
    assert [one["name"] for one in document["gateways"]] == ["office"]
    listed = [one for name in ("incidents", "deeds", "quarantines", "pauses") for one in document[name]]
    assert {one["gateway"] for one in listed} <= {"office", None}
    assert [one["kind"] for one in document["undelivered"]] == ["fleet_breaker"], "what is about everything stays"
    assert document["headline"] == full_document()["headline"], "and what is about everything stays"


def test_live_is_about_the_daemon_and_not_about_its_gateways(config: Path) -> None:
    with served(full_document()) as port:
        write(config, f"{{listen: '127.0.0.1:{port}'}}")
        assert "is down" in str(full_document()["headline"])
        assert run("status", "--live", "--config", str(config)) == (0, "", "")
    assert run("status", "--live", "--config", str(config))[0] == 3, "nobody is there any more"


def test_live_fails_when_the_passes_no_longer_end(config: Path) -> None:
    with served(full_document(), is_well=False) as port:
        write(config, f"{{listen: '127.0.0.1:{port}'}}")
        code, out, err = run("status", "--live", "--json", "--config", str(config))
        assert (code, json.loads(out)["status"]) == (3, "stuck")
        assert "does not work" in err
        assert run("status", "--config", str(config))[0] == 0, "what it knows is still to be had"


def test_live_fails_when_nothing_answers_in_time(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        write(config, f"{{listen: '127.0.0.1:{frozen.getsockname()[1]}'}}")
        code, _, err = run("status", "--live", "--config", str(config))
    assert (code, "does not answer within 0.2 s" in err) == (3, True)


def test_top_once_prints_one_picture(config: Path) -> None:
    with served(full_document()) as port:
        write(config, f"{{listen: '127.0.0.1:{port}'}}")
        code, out, _ = run("top", "--once", "--config", str(config))
    assert code == 0
    assert "agent:main:irc:direct:alice" in out
    assert "last deeds" in out


@pytest.mark.parametrize("verb", [["status"], ["status", "--json"], ["top", "--once"], ["top"]])
def test_nobody_runs(config: Path, verb: list[str]) -> None:
    write(config, f"{{listen: '127.0.0.1:{free_port()}'}}")
    code, out, err = run(*verb, "--config", str(config))
    said = json.loads(out) if "--json" in verb else out
    assert (code, said["running"] if isinstance(said, dict) else said) == (3, False if "--json" in verb else "")
    assert "no daemon answers at http://127.0.0.1:" in err


def test_the_page_is_off(config: Path) -> None:
    write(config, "null")
    code, _, err = run("status", "--config", str(config))
    assert code == 3
    assert "status_page: null" in err


def test_a_port_of_the_systems_choice_is_found(config: Path, tmp_path: Path) -> None:
    write(config, "{listen: '127.0.0.1:0'}")
    code, _, err = run("status", "--config", str(config))
    assert (code, "no daemon runs" in err) == (3, True)
    with served(full_document()) as port:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "status-page.url").write_text(f"http://127.0.0.1:{port}/\n")
        assert run("status", "--config", str(config))[0] == 0


@pytest.mark.parametrize("document", [{"program": "another"}, {}])
def test_somebody_else_has_the_port(config: Path, document: Document) -> None:
    with served(document) as port:
        write(config, f"{{listen: '127.0.0.1:{port}'}}")
        code, _, err = run("status", "--config", str(config))
    assert (code, "another program has that address" in err) == (3, True)


@pytest.mark.parametrize("leaving", [b"q", b"\x03"])
def test_top_lives_in_a_terminal_and_leaves_it_as_it_was(config: Path, leaving: bytes) -> None:
    with served(full_document()) as port:
        write(config, f"{{listen: '127.0.0.1:{port}'}}")
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ |= {"TERM": "xterm-256color", "COLUMNS": "110", "LINES": "40"}
            os.execv(sys.executable, [sys.executable, "-m", "watchdog", "top", "--config", str(config)])
        shown = b""
        while b"q leaves" not in shown:
            shown += os.read(terminal, 65536)
        os.write(terminal, leaving)
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while more := os.read(terminal, 65536):
                shown += more
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"agent:main:irc:direct:alice" in shown
    assert shown.endswith(b"\x1b[?25h\x1b[?1049l")  # the cursor is back, and what was on the screen before
    assert b"Traceback" not in shown


# ---------------------------------------------------------------- pictures


def picture(document: Document, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, record=True, force_terminal=True, color_system=None)
    with console.capture() as shown:
        console.print(top_frame(dict(document), NOW.wall, ConsoleDimensions(width, height)))
    return shown.get().splitlines()


@pytest.mark.parametrize("size", [(80, 24), (80, 40), (120, 30), (200, 60)])
def test_a_picture_fits_the_terminal(size: tuple[int, int]) -> None:
    lines = picture(full_document(), *size)
    assert max(map(len, lines)) <= size[0]
    assert len(lines) <= size[1]
    assert any("agent:main:irc:direct:bob" in line for line in lines)


def test_written_by_others_has_no_power_over_the_terminal() -> None:
    evil = json.loads(json.dumps(full_document()).replace("agent:main:irc:direct:alice", "[bold]x\\u001b[2J\\u202ey"))
    text = "\n".join(picture(evil, 120, 50)) + "\n".join(str(line) for line in status_lines(evil, NOW.wall))
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "[bold]x" in text


def test_a_lost_connection_says_so_above_the_last_picture() -> None:
    console = Console(width=100, record=True, force_terminal=True, color_system=None)
    with console.capture() as shown:
        frame = top_frame(dict(full_document()), NOW.wall, ConsoleDimensions(100, 40))
        console.print(lost_frame(frame, "no daemon answers."))
    assert "what follows is old" in shown.get().splitlines()[0]
