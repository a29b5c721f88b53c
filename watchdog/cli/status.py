"""``status`` and ``top``: what the running daemon knows, asked of it over its status page."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from datetime import datetime
from types import FrameType, TracebackType
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.live import Live

from watchdog import PROGRAM
from watchdog.adapters.clock import SystemClock
from watchdog.cli.render import LOST_LINES, lost_frame, status_lines, top_frame, waiting_frame
from watchdog.cli.screen import screen
from watchdog.cli.selection import Selection, keys_of
from watchdog.cli.shared import (
    ConfigOption,
    GatewayOption,
    JsonOption,
    Leave,
    Setting,
    UnknownGateway,
    print_json,
    read_setting,
    say_error,
)
from watchdog.core.model import Moment
from watchdog.core.printable import shown_key, visible
from watchdog.daemon.assembly import state_folder
from watchdog.service.exits import Exit
from watchdog.status.publisher import address_file

READ_EVERY = 1.0
"""Seconds between two looks of ``top``; the picture moves four times as often."""
PATIENCE = 3.0
_BLINK = 0.25
_LOCAL_FLAGS = 3
"""Where ``tcgetattr`` keeps what a terminal makes of keys."""

Document = dict[str, Any]


class NobodyAnswers(Exception):
    """No daemon of ours answers where the configuration says; the text is a sentence."""


def add_to(app: typer.Typer) -> None:
    @app.command()
    def status(
        config: ConfigOption = None,
        gateway: GatewayOption = None,
        live: Annotated[
            bool,
            typer.Option(
                "--live", help="Only whether it works, as /livez says, whatever its gateways do: a health check."
            ),
        ] = False,
        as_json: JsonOption = False,
    ) -> None:
        """What the running daemon sees and does: gateways, sessions by verdict, open incidents, budgets left.

        Exit status 3 if no daemon runs; with --live also if it runs and its passes no longer end.

        Example: `openclaw-watchdog status --json | jq .headline`
        """
        if live and gateway is not None:
            words = "--live is about the daemon, whatever its gateways do: leave one of the two out"
            raise typer.BadParameter(words, param_hint="--gateway")
        with DaemonClient(read_setting(config)) as daemon:
            document = _read_or_leave(daemon.liveness if live else daemon.state, as_json=as_json)
        if live:
            _say_liveness(document, as_json=as_json)
            return
        if gateway is not None:
            document = _only(document, gateway)
        if as_json:
            print_json(document)
            return
        console = screen()
        for line in status_lines(document, SystemClock().now().wall):
            console.print(line)

    @app.command()
    def top(
        config: ConfigOption = None,
        once: Annotated[bool, typer.Option("--once", help="Print one picture and leave.")] = False,
    ) -> None:
        """A live view of the running daemon; waits for one that is not there yet.

        Arrows (or `j`, `k`, Page Up, Page Down) choose a line, Enter explains it, `/` filters by key, name, gateway, verdict
        or outcome, Esc goes back, `q` or Ctrl-C leaves. With `--once` or in a pipe it is one picture, and exit status 3 if
        no daemon runs.

        Example: `openclaw-watchdog top`
        """
        console = screen(is_picture=True)
        setting = read_setting(config)
        with DaemonClient(setting) as daemon:
            if once or not console.is_terminal or setting.loaded.config.status_page is None:
                document = _read_or_leave(daemon.state)
                console.print(top_frame(document, SystemClock().now().wall, console.size, is_once=True))
                return
            with contextlib.suppress(KeyboardInterrupt):
                _live(daemon, console)


class DaemonClient:
    """Reads what the daemon of one configuration says of itself. A context manager."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        # No proxy and no .netrc: the daemon is on this machine, or where the file says.
        self._client = httpx.Client(trust_env=False, timeout=PATIENCE)

    def __enter__(self) -> DaemonClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    @property
    def url(self) -> str:
        """Where it should answer. Raises ``NobodyAnswers`` when there can be no answer."""
        section = self._setting.loaded.config.status_page
        if section is None:
            raise NobodyAnswers(
                "the status page is off (status_page: null), so the daemon cannot be asked; `check` looks for itself."
            )
        if section.port == 0:
            folder = state_folder(self._setting.loaded, self._setting.env)
            try:
                return address_file(folder).read_text("utf-8").strip()
            except OSError:
                raise NobodyAnswers(f"no daemon runs (start it with `{self._setting.typed('run')}`).") from None
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(section.host, section.host)  # noqa: S104 - asked, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{section.port}/"

    def state(self) -> Document:
        """The state document. Raises ``NobodyAnswers``."""
        code, document = self._get("api/state")
        if code != 200 or document.get("program") != PROGRAM:
            raise self._is_another()
        return document

    def liveness(self) -> Document:
        """What ``/livez`` says: status is ok or stuck. Raises ``NobodyAnswers``."""
        code, facts = self._get("livez")
        if (code, facts.get("status")) not in ((200, "ok"), (503, "stuck")):
            raise self._is_another()
        return facts

    def _is_another(self) -> NobodyAnswers:
        return NobodyAnswers(f"what answers at {self.url} is not {PROGRAM}; another program has that address.")

    def _get(self, path: str) -> tuple[int, Document]:
        """Its answer: status code, and the document ({}: none). Raises ``NobodyAnswers``."""
        url = self.url
        try:
            answer = self._client.get(f"{url}{path}")
        except httpx.TimeoutException:
            raise NobodyAnswers(f"the daemon at {url} does not answer within {PATIENCE:g} s.") from None
        except httpx.HTTPError:
            raise NobodyAnswers(
                f"no daemon answers at {url} (start it with `{self._setting.typed('run')}`; `doctor` finds out more)."
            ) from None
        try:
            document = answer.json()
        except ValueError:
            document = None
        return answer.status_code, document if isinstance(document, dict) else {}


def _only(document: Document, gateway: str) -> Document:
    """What it says of one gateway; the headline and what is about everything stay. Raises ``UnknownGateway``."""
    names = [one["name"] for one in document["gateways"]]
    if gateway not in names:
        raise UnknownGateway(
            f"no gateway is called {shown_key(gateway)}; watched: {', '.join(map(visible, names)) or 'none yet'}."
        )
    about = {
        name: [one for one in entries if one["gateway"] in (gateway, None, "")]
        for name, entries in document.items()
        if name in ("incidents", "deeds", "quarantines", "pauses", "undelivered")
    }
    return {**document, **about, "gateways": [one for one in document["gateways"] if one["name"] == gateway]}


def _read_or_leave(read: Callable[[], Document], *, as_json: bool = False) -> Document:
    try:
        return read()
    except NobodyAnswers as problem:
        if as_json:
            print_json({"program": PROGRAM, "running": False, "problem": str(problem)})
        say_error(str(problem))
        raise Leave(Exit.NO_DAEMON) from None


def _say_liveness(facts: Document, *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    if facts["status"] == "ok":
        return
    say_error(str(facts.get("problem", "it does not work.")))
    raise Leave(Exit.NO_DAEMON)


def _live(daemon: DaemonClient, console: Console) -> None:
    clock, selection = SystemClock(), Selection()
    read_at = clock.now()
    document, problem = _read_again(daemon, None)
    frame = _frame(document, problem, read_at, console, selection)
    with _keys() as pressed, _unwrapped(console), Live(frame, console=console, screen=True, auto_refresh=False) as live:
        while all(selection.take(key) for key in keys_of(pressed(_BLINK))):
            now = clock.now()
            if now.since(read_at).total_seconds() >= READ_EVERY:
                read_at, (document, problem) = now, _read_again(daemon, document)
            live.update(_frame(document, problem, now, console, selection), refresh=True)


def _read_again(daemon: DaemonClient, before: Document | None) -> tuple[Document | None, str | None]:
    try:
        return daemon.state(), None
    except NobodyAnswers as problem:
        return before, str(problem)


def _frame(
    document: Document | None, problem: str | None, now: Moment, console: Console, selection: Selection
) -> RenderableType:
    if document is None:
        return waiting_frame(problem or "")
    if problem is None:
        return top_frame(document, now.wall, console.size, selection)
    # Ages stand still once nobody tells us any more.
    at = datetime.fromisoformat(document["at"])
    smaller = ConsoleDimensions(console.width, console.height - LOST_LINES)
    return lost_frame(top_frame(document, at, smaller, selection), problem)


class _Keys:
    """Waits a moment and says what was typed, if anything. Raises ``SystemExit`` where somebody ended us (SIGTERM, SIGHUP)."""

    def __init__(self, has_keyboard: bool) -> None:
        self._has_keyboard = has_keyboard
        self._ended_by: int | None = None
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._end)

    def _end(self, number: int, _: FrameType | None) -> None:
        self._ended_by = number  # raised here it could cut a picture in two, or the change to its screen

    def __call__(self, seconds: float) -> str:
        ready, _, _ = select.select([sys.stdin] if self._has_keyboard else [], [], [], seconds)
        if self._ended_by is not None:
            raise SystemExit(128 + self._ended_by)
        if not ready:
            return ""
        # Past Python's buffer, which would keep the rest of an arrow from ``select``.
        typed = os.read(sys.stdin.fileno(), 1024)
        return typed.decode(errors="ignore") if typed else "\x04"  # the terminal is gone


@contextlib.contextmanager
def _unwrapped(console: Console) -> Iterator[None]:
    """A letter that this terminal draws wider than others do (a flag, a skin tone) costs its line the end. Wrapped, that line
    would push the first ones off the screen: whoever names a session could hide the headline."""
    if console.is_dumb_terminal:
        yield
        return
    console.file.write("\x1b[?7l")
    try:
        yield
    finally:
        console.file.write("\x1b[?7h")
        console.file.flush()


@contextlib.contextmanager
def _keys() -> Iterator[_Keys]:
    """Single keys without Enter; the terminal is put back as it was, also where somebody ends us from outside."""
    if not sys.stdin.isatty():
        yield _Keys(False)
        return
    keys, before = _Keys(True), termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        # Ctrl-C comes as a key: as a signal it could cut a picture in two and leave the terminal in a mess.
        mode = termios.tcgetattr(sys.stdin)
        mode[_LOCAL_FLAGS] &= ~termios.ISIG
        termios.tcsetattr(sys.stdin, termios.TCSANOW, mode)
        yield keys
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
