"""``status`` and ``top`` against a served state, and against nobody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import socket
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, ConsoleDimensions
from typer.testing import CliRunner

from tests.fakes.loopback import free_port
from tests.unit.status.support import NOW, Scripted, full_document
from watchdog.cli import status
from watchdog.cli.app import app
from watchdog.cli.render import lost_frame, status_lines, top_frame
from watchdog.cli.selection import Selection, keys_of
from watchdog.cli.shared import Leave, UnknownGateway
from watchdog.status.model import GatewayView, IncidentView, QuarantineView, State
from watchdog.status.server import Document, Feed, StatusServer


@contextlib.contextmanager
def served(document: Document, at: int | None = None, *, is_well: bool = True) -> Iterator[int]:
    """A page that shows ``document``, in a thread of its own; its port."""
    port, ready, over = at or free_port(), threading.Event(), threading.Event()

    async def serve() -> None:
        server = await StatusServer.start("127.0.0.1", port, Scripted(document, is_well=is_well), Feed())
        ready.set()
        await asyncio.to_thread(over.wait)
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        yield port
    finally:
        over.set()
        thread.join(60)


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
        "agent:main:irc:group:#ops  “Ops '\\u202e \\x1b[31m<b>all is well</b>”  nothing works",
        "agent:main:irc:direct:alice  “Alice Ames (@alice)”, by ada",
        "by ada: moving house",
        "acknowledged: agent:main:irc:direct:bob on home, by ada: asked the provider, reminders again ",
        "HTTP 503",
        "\n  nothing listens on 10.0.0.5",
    ):
        assert words in out


def test_a_try_that_failed_is_no_poll() -> None:
    shown = dict(full_document())
    home, office = shown["gateways"]
    shown["gateways"] = [home, {**office, "seen_at": home["seen_at"], "last_poll_at": NOW.wall.isoformat()}]
    lines = [one.plain for one in status_lines(shown, NOW.wall)]
    (answered,) = (one for one in lines if one.startswith("home  "))
    (failed,) = (one for one in lines if one.startswith("office  "))
    assert ", polled " in answered
    assert ", polled " not in failed
    assert "tried 0s ago" in failed


def test_status_says_of_how_many_it_says_nothing() -> None:
    shown = dict(full_document())
    home, office = shown["gateways"]
    many = {**home, "sessions": home["sessions"][:1] * 53, "sessions_left_out": 7}
    lines = [one.plain for one in status_lines({**shown, "gateways": [many, office], "open_incidents": 1}, NOW.wall)]
    assert "  and 10 more sessions, none of them worse: `check` lists all" in lines
    assert lines[-1].startswith("1 open incident; ")
    assert not [one for one in status_lines(shown, NOW.wall) if "none of them worse" in one.plain]


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


def test_live_is_not_about_one_gateway(config: Path) -> None:
    with served(full_document()) as port:
        write(config, f"{{listen: '127.0.0.1:{port}'}}")
        code, out, error = run("status", "--live", "--gateway", "home", "--config", str(config))
    assert (code, out) == (2, "")
    assert "--live is about the daemon" in error


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
    assert f"start it with `openclaw-watchdog run --config {config}`" in err


def test_the_page_is_off(config: Path) -> None:
    write(config, "null")
    code, _, err = run("status", "--config", str(config))
    assert code == 3
    assert "status_page: null" in err


def test_a_port_of_the_systems_choice_is_found(config: Path, tmp_path: Path) -> None:
    write(config, "{listen: '127.0.0.1:0'}")
    code, _, err = run("status", "--config", str(config))
    assert (code, f"no daemon runs (start it with `openclaw-watchdog run --config {config}`)" in err) == (3, True)
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


class Terminal:
    """``top`` in a terminal of its own."""

    def __init__(self, config: Path, lines: int = 40) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ |= {"TERM": "xterm-256color", "COLUMNS": "110", "LINES": str(lines)}
            os.execv(sys.executable, [sys.executable, "-m", "watchdog", "top", "--config", str(config)])
        self.shown = b""

    def until(self, words: bytes) -> bytes:
        """What is shown from now on, up to ``words``."""
        before = len(self.shown)
        while words not in self.shown[before:]:
            self.shown += os.read(self._terminal, 65536)
        return self.shown[before:]

    def press(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    @property
    def waits_for_enter(self) -> bool:
        return bool(termios.tcgetattr(self._terminal)[3] & termios.ICANON)

    def leave(self, how: bytes | signal.Signals) -> int:
        """Its exit status."""
        if isinstance(how, signal.Signals):
            os.kill(self.pid, how)
        else:
            self.press(how)
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while more := os.read(self._terminal, 65536):
                self.shown += more
        self.was_put_back = self.waits_for_enter
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.parametrize(
    ("leaving", "code"), [(b"q", 0), (b"\x03", 0), (signal.SIGTERM, 128 + 15), (signal.SIGHUP, 128 + 1)]
)
def test_top_lives_in_a_terminal_and_leaves_it_as_it_was(
    config: Path, leaving: bytes | signal.Signals, code: int
) -> None:
    with served(full_document()) as port:
        write(config, f"{{listen: '127.0.0.1:{port}'}}")
        terminal = Terminal(config)
        terminal.until(b"q leaves")
        assert not terminal.waits_for_enter
        assert terminal.leave(leaving) == code
    assert terminal.was_put_back
    assert b"agent:main:irc:direct:alice" in terminal.shown
    assert b"\x1b[?7l" in terminal.shown, "a line that is too long for this terminal pushes no other off the screen"
    assert terminal.shown.endswith(
        b"\x1b[?25h\x1b[?1049l\x1b[?7h"
    )  # the cursor is back, and what was on the screen before
    assert b"Traceback" not in terminal.shown


def test_top_waits_for_a_daemon_and_takes_keys(config: Path) -> None:
    port = free_port()
    write(config, f"{{listen: '127.0.0.1:{port}'}}")
    terminal = Terminal(config)
    terminal.until(b"waiting for the daemon")
    with served(full_document(), port):
        terminal.until(b"Enter explains")
        terminal.press(b"\x1b[B\r")
        assert b"explain agent:main:irc:direct:alice --gateway home" in terminal.until(b"Enter goes back")
        terminal.press(b"\x1b")
        terminal.until(b"Enter explains")
        terminal.press(b"/FAMILY\r")
        terminal.until(b"filter: family (Esc drops it)")
    terminal.until(b"what follows is old")
    assert terminal.leave(b"q") == 0
    assert b"Traceback" not in terminal.shown


# ---------------------------------------------------------------- pictures


def picture(document: Document, width: int, height: int, selection: Selection | None = None) -> list[str]:
    console = Console(width=width, height=height, record=True, force_terminal=True, color_system=None)
    with console.capture() as shown:
        console.print(top_frame(dict(document), NOW.wall, ConsoleDimensions(width, height), selection))
    return shown.get().splitlines()


def pressed(*keys: str, document: Document | None = None) -> Selection:
    """Each key after a picture, as in the terminal."""
    selection = Selection()
    for key in keys:
        picture(document or full_document(), 80, 24, selection)
        assert selection.take(key)
    return selection


@pytest.mark.parametrize("keys", [(), ("G",), ("j", "e"), ("/", "x")])
@pytest.mark.parametrize("size", [(80, 24), (80, 40), (120, 30), (200, 50), (200, 60)])
def test_a_picture_fits_the_terminal(size: tuple[int, int], keys: tuple[str, ...]) -> None:
    lines = picture(full_document(), *size, pressed(*keys))
    assert max(map(len, lines)) <= size[0]
    assert len(lines) <= size[1]


def test_a_key_too_long_for_the_window_leaves_the_way_back_on_it() -> None:
    shown = full_document()
    home, office = shown["gateways"]
    long = {**home["sessions"][0], "key": "agent:main:irc:group:#" + "long-" * 300}
    document = {**shown, "gateways": [{**home, "sessions": [long]}, office]}
    lines = picture(document, 80, 24, pressed("e", document=document))
    assert len(lines) <= 24
    assert [line.strip() for line in lines[-3:]] == [
        "… a higher window shows the rest",
        "",
        "Enter goes back  / filters  q leaves",
    ]


@pytest.mark.parametrize("size", [(80, 24), (80, 40), (120, 30), (200, 50), (200, 60)])
def test_the_worst_are_in_every_picture(size: tuple[int, int]) -> None:
    lines = picture(full_document(), *size)
    assert max(map(len, lines)) <= size[0]
    assert len(lines) <= size[1]
    assert any("agent:main:irc:direct:bob" in line for line in lines)


NEXT = {
    "bob": "nothing, until it is released",
    "alice": "resuming it, held by paused, cool down",
    "#ops": "waiting for proof that resuming it worked",
    "4711": "nothing: what cannot be told is not touched",
    "carol": "resuming it, if nothing moves",
    "research:main": "nothing: somebody works on it",
}
IN_SHORT = {
    "bob": "30m  -    until it is released",
    "alice": "24m  1h   resume, held by paused, cool down",
    "#ops": "21m  40s  proof that resume worked",
    "4711": "50m  -    what cannot be told is not touched",
    "carol": "8m   12m  resume, if nothing moves",
    "research:main": "1h   -    somebody works on it",
}


@pytest.mark.parametrize(("width", "said"), [(80, IN_SHORT), (100, IN_SHORT), (120, NEXT), (160, NEXT), (200, NEXT)])
def test_what_comes_next_is_read_whole(width: int, said: Mapping[str, str]) -> None:
    lines = picture(full_document(), width, 50)
    table = "\n".join(lines).partition("verdict")[2].partition("\n\n")[0].splitlines()
    for end, words in said.items():
        (line,) = [one for one in table if end in one[:70]]
        assert words in line
    assert ("session on home " in table[0]) == (width < 110), "with a column for it, or all are there"


def test_on_a_narrow_terminal_sessions_of_two_gateways_are_told_apart() -> None:
    shown = full_document()
    home, office = shown["gateways"]
    named = {
        **office,
        "name": "the-office-in-the-harbour",
        "sessions": home["sessions"][:2],
        "seen_at": NOW.wall.isoformat(),
    }
    table = (
        "\n".join(picture({**shown, "gateways": [home, named]}, 80, 50)).partition("verdict")[2].partition("\n\n")[0]
    )
    assert re.search(r"irc:direct:bob +home +30m  -    until it is released", table)
    assert re.search(r"irc:direct:bob +the-offic… +30m  -    until it is released", table), "its instant stands above"
    assert "office-in-the-harbour: its sessions as of 12:00:00 UTC" in "\n".join(
        picture({**shown, "gateways": [home, named]}, 80, 50)
    )


def test_healthy_sessions_take_no_room_from_what_was_stuck() -> None:
    shown = full_document()
    home, office = shown["gateways"]
    many = {**home, "sessions": home["sessions"][:2], "healthy": home["healthy"] * 4}
    document = {**shown, "gateways": [many, office], "quarantines": [], "pauses": [], "undelivered": []}
    lines = picture(document, 80, 24)
    assert len(lines) <= 24
    assert [
        head for head in ("verdict", "incidents", "last deeds") if not any(line.startswith(head) for line in lines)
    ] == []
    assert sum(line.startswith("healthy") for line in lines) == 0
    assert sum(line.startswith(("open", "resume", "new", "release")) for line in lines) >= 4, (
        "what was stuck, and what was done"
    )
    tall = picture(document, 80, 70)
    assert sum(line.startswith("healthy") for line in tall) > 20, "where nobody else wants the room"
    scrolled = picture(document, 80, 24, pressed(*"jjj", document=document))
    assert sum(line.startswith("healthy") for line in scrolled) >= 3, "where one of them is chosen"


def test_scrolling_leads_through_everything() -> None:
    text = "\n".join(picture(full_document(), 80, 24, pressed("G")))
    assert "\nrelease " in text, "the last switch"
    text = "\n".join(picture(full_document(), 80, 24, pressed(*"j" * 12)))
    assert "irc:direct:quiet3" in text
    assert "agent:main:irc:direct:bob" not in text.partition("verdict")[2].partition("incidents")[0]


def test_a_chosen_line_stays_chosen_when_others_come_before_it() -> None:
    before = full_document()
    selection = pressed("j", "j", document=before)
    picture(before, 80, 24, selection)
    home, office = before["gateways"]
    after = {**before, "gateways": [{**home, "sessions": list(reversed(home["sessions"]))}, office]}
    assert selection.take("e")
    assert "explain agent:main:irc:group:#ops --gateway home" in "\n".join(picture(after, 120, 40, selection))


@pytest.mark.parametrize(
    ("words", "found"),
    [("ames", "agent:main:irc:direct:alice"), ("family", "quiet3"), ("unclear", "telegram:direct:4711")],
)
def test_a_filter_finds_by_name_key_and_verdict(words: str, found: str) -> None:
    lines = picture(full_document(), 120, 40, pressed("/", *words, "\r"))
    sessions = "\n".join(lines).partition("verdict")[2].partition("incidents")[0]
    assert found in sessions
    assert sessions.count("agent:") == 1
    kept = picture(full_document(), 120, 40, pressed("/", *words, "\r", "\x1b"))
    assert "\n".join(kept).partition("verdict")[2].count("agent:") > 10


def test_a_wide_terminal_is_used() -> None:
    lines = picture(full_document(), 200, 50)
    assert max(len(line.rstrip()) for line in lines) > 180
    assert any("incidents" in line and "last deeds" in line for line in lines), "beside each other"
    assert sum("healthy" in line[:10] for line in lines) == 9


def test_an_incident_and_a_deed_are_explained_too() -> None:
    lines = "\n".join(picture(full_document(), 120, 40, pressed(*"j" * 18, "e")))
    assert "agent:main:irc:direct:bob  on home" in lines
    assert "2. new at 03:01:50  did not help: the session is still marked running" in lines


def test_every_command_names_the_configuration_that_it_would_not_find() -> None:
    shown = {**full_document(), "config_file": "/srv/my dogs.yaml"}
    shown["ledger"] = {**shown["ledger"], "lost_history_at": NOW.wall.isoformat()}
    shown["pauses"] = [{"gateway": None, "session": None, "who": "ada", "reason": "", "until": None}]
    lines = picture(shown, 200, 60, pressed(*"jj", "e", document=shown))
    text = "\n".join(lines + [line.plain for line in status_lines(dict(shown), NOW.wall)])
    for verb in ("explain", "release", "unpause"):
        (command,) = set(re.findall(rf"openclaw-watchdog {verb}\b[^`\n│]*", text))
        assert command.rstrip().endswith("--config '/srv/my dogs.yaml'")


def test_written_by_others_has_no_power_over_the_terminal() -> None:
    evil = json.loads(json.dumps(full_document()).replace("agent:main:irc:direct:alice", "[bold]x\\u001b[2J\\u202ey"))
    text = "\n".join(picture(evil, 120, 50)) + "\n".join(str(line) for line in status_lines(evil, NOW.wall))
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "[bold]x" in text


def test_a_daemon_from_before_an_upgrade_is_shown_too() -> None:
    """Fields with a default are those that were added since."""

    def before(view: type[Any], said: Document) -> Document:
        added = {one.name for one in fields(view) if (one.default, one.default_factory) != (MISSING, MISSING)}
        return {name: value for name, value in said.items() if name not in added}

    old = before(State, full_document())
    for name, view in (("gateways", GatewayView), ("incidents", IncidentView), ("quarantines", QuarantineView)):
        old = {**old, name: [before(view, one) for one in old[name]]}
    assert "names" not in old["gateways"][0]
    assert any("agent:main:irc:direct:bob" in line.plain for line in status_lines(dict(old), NOW.wall))
    assert any("agent:main:irc:direct:bob" in line for line in picture(old, 120, 50))
    assert "explain agent:main:" in "\n".join(picture(old, 120, 50, pressed("e", document=old)))


def test_a_lost_connection_says_so_above_the_last_picture() -> None:
    console = Console(width=100, record=True, force_terminal=True, color_system=None)
    with console.capture() as shown:
        frame = top_frame(dict(full_document()), NOW.wall, ConsoleDimensions(100, 40))
        console.print(lost_frame(frame, "no daemon answers."))
    assert "what follows is old" in shown.get().splitlines()[0]


def test_an_arrow_is_one_key() -> None:
    assert list(keys_of("j\x1b[B\x1bOA\x1b[5~\x1b/é")) == ["j", "\x1b[B", "\x1bOA", "\x1b[5~", "\x1b", "/", "é"]
    assert list(keys_of("")) == []
