"""Somebody who types what a document shows, line by line, into a real bash: an empty home, a simulated gateway with a stuck
session, and the program itself.

Between two lines time passes for a person, and here until the daemon has looked again: conditions, and no sleep. What stays in
the foreground ends by Ctrl-C before the next line. What installs, or belongs to the machine, has a stand-in on the PATH,
``STAND_INS``; ``systemctl`` starts and stops the daemon for real. ``program`` is a way to have ``openclaw-watchdog`` without the second
that each start of Python takes: a process of its own each time, forked from one that has imported everything.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.harness.conditions import until
from tests.fakes.builders import KEY
from tests.fakes.loopback import free_port
from tests.fakes.stuck_gateway import stuck_world
from tests.faults.simulation import Simulation
from watchdog import PROGRAM
from watchdog.adapters.clock import SystemClock
from watchdog.adapters.service_units.files import UNIT
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.ledger import Quarantine

REPOSITORY = Path(__file__).resolve().parents[3]
BASH = "/bin/bash"
WITHIN = 60.0
"""Seconds for a line, or for a condition between two, on a quiet machine."""
WATCHED, QUARANTINED, LOST = "beside its daemon", "a session is quarantined", "the ledger was lost"
STAND_INS = {
    "pipx": "exit 0",
    "git": "exit 0",
    "sudo": 'exec "$@"',
    "openclaw": """[ "$1 $2" = "devices list" ] && echo '{"pending": [], "paired": []}'""",
    # Reads its words and says what it would do: there is no machine to go to.
    "ssh": 'exec /usr/bin/ssh -G "$@"',
    "systemctl": r"""
unit=$HOME/.config/systemd/user/openclaw-watchdog.service
is_up() { [ -e ~/pid ] && kill -0 "$(cat ~/pid)" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$(cat ~/pid)/status"; }
stop() { ! is_up || { kill "$(cat ~/pid)"; while is_up; do sleep 0.02; done; }; }
start() {
  is_up && return
  program=$(sed -n "s,^ExecStart=[^ ]*/,,p" "$unit")
  setsid $program >>~/journal 2>&1 </dev/null & echo $! >~/pid
}
while [ "${1#--}" != "$1" ]; do shift; done
case $1 in
  show) case $* in
    *UnitPath*) dirname "$unit" ;;
    *)
      [ ! -e ~/enabled ] || echo UnitFileState=enabled
      is_up && printf '%s\n' ActiveState=active SubState=running "MainPID=$(cat ~/pid)" || echo ActiveState=inactive ;;
  esac ;;
  is-enabled) [ -e ~/enabled ] && echo enabled ;;
  is-active) is_up && echo active ;;
  enable) touch ~/enabled ;;
  disable) rm -f ~/enabled; stop ;;
  start) start ;;
  stop) stop ;;
  restart) stop; start ;;
  daemon-reload | reset-failed) ;;
  *) echo "no stand-in for systemctl $*" >&2; exit 1 ;;
esac""",
}
SHORTER = {
    "poll_every: 30s": "poll_every: 200ms",
    "stuck_after: 20m": "stuck_after: 2s",
    "confirm_for: 60s": "confirm_for: 200ms",
    "startup_grace: 5m": "startup_grace: 1s",
    "allow_short_thresholds: false": "allow_short_thresholds: true",
}
"""In the file that ``init`` wrote: nobody can wait twenty minutes."""
_CLIENT = """\
import json, os, signal, socket, sys
door = socket.socket(socket.AF_UNIX)
door.connect({door!r})
socket.send_fds(door, [json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\n"], [0, 1, 2])
answers = door.makefile()
child = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: os.kill(child, number))
sys.exit(int(answers.readline() or 1))
"""
State = dict[str, Any]


def lines_of(block: str) -> Iterator[str]:
    """Each command as it stands, its comment with it."""
    for line in block.replace("\\\n", " ").splitlines():
        if shlex.split(line, comments=True):
            yield line.strip()


class Terminal:
    """A bash that is typed into."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._said = folder / f"screen-{len(list(folder.glob('screen-*')))}"
        self._said.touch()
        self._yes = subprocess.Popen(["yes", "y"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        keyboard, self._keys = os.pipe()
        with self._said.open("ab") as screen:
            self._bash = subprocess.Popen(
                [BASH, f"/dev/fd/{keyboard}"],  # what is asked reads from another place than the commands do
                cwd=folder,
                env=environment,
                stdin=self._yes.stdout,
                stdout=screen,
                stderr=subprocess.STDOUT,
                pass_fds=[keyboard],
                start_new_session=True,
            )
        os.close(keyboard)
        self._begun, self._count = 0, 0
        self._type("trap : INT")

    def begin(self, line: str) -> None:
        """Type it and Enter."""
        self._begun = self._said.stat().st_size
        self._count += 1
        self._type(f"{line}\nprintf '\\n<%s ended with %s>\\n' {self._count} $?")

    def _type(self, line: str) -> None:
        os.write(self._keys, f"{line}\n".encode())

    def said(self) -> str:
        with self._said.open("rb") as screen:
            screen.seek(self._begun)
            return screen.read().decode(errors="replace")

    def status(self) -> int | None:
        """Of the line; None: it goes on."""
        found = re.search(rf"^<{self._count} ended with (\d+)>$", self.said(), re.MULTILINE)
        return int(found[1]) if found else None

    def ends(self) -> int:
        until("the line ends", lambda: self.status() is not None, within=WITHIN, every=0.02)
        return self.status() or 0

    def interrupts(self) -> None:
        """Ctrl-C."""
        os.killpg(self._bash.pid, signal.SIGINT)

    def close(self) -> None:
        os.close(self._keys)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGTERM)
        self._bash.wait(20)
        self._yes.kill()
        self._yes.wait(20)
        assert self._yes.stdout is not None
        self._yes.stdout.close()


class Home:
    """An empty home on a machine with a gateway."""

    def __init__(self, folder: Path, door: Path | None, gateway: Simulation) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        if door is None:
            (folder / "bin" / PROGRAM).symlink_to(Path(sys.executable).parent / PROGRAM)
        else:
            self.puts("bin/" + PROGRAM, f"#!{sys.executable} -IS\n{_CLIENT.format(door=str(door))}", 0o755)
        for name, does in STAND_INS.items():
            self.puts(f"bin/{name}", f"#!{BASH}\n{does}\n", 0o755)
        access = {"port": gateway.gateway.port, "auth": {"mode": "token", "token": gateway.token}}
        self.puts(".openclaw/openclaw.json", json.dumps({"gateway": access}))
        self.page = free_port()
        self._environment = {"HOME": str(folder), "PATH": f"{folder}/bin:/usr/bin:/bin", "NO_COLOR": "1"}
        self._terminals: list[Terminal] = []

    def puts(self, name: str, text: str, mode: int = 0o600) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode)
        path.write_text(text, "utf-8")

    def types(self, block: str, statuses: dict[str, int] | None = None) -> str:
        """All that it says. Raises ``AssertionError`` where a line ends otherwise than with 0, or as said in ``statuses``."""
        said: list[str] = []
        with self._terminal() as terminal:
            lines = list(lines_of(block))
            for line, following in zip(lines, [*lines[1:], ""], strict=True):
                words = shlex.split(line, comments=True)
                if words[:2] == [PROGRAM, "run"]:
                    if self._has_service():
                        self._one(terminal, "systemctl --user stop openclaw-watchdog", 0)
                    terminal.begin(line)
                    self._settles(lambda terminal=terminal: terminal.status() is not None)  # type: ignore[misc]
                    if "# in another terminal" in following:
                        with self._terminal() as another:
                            said.append(self._one(another, following, 0))
                    terminal.interrupts()
                    assert terminal.ends() == 0, f"{line}\n{terminal.said()}"
                    said.append(terminal.said())
                elif "# in another terminal" not in line:
                    status = next((one for word, one in (statuses or {}).items() if line.startswith(word)), 0)
                    said.append(self._one(terminal, line, status))
                self._shortens()
                if self._has_service():
                    self._settles(lambda: not self._has_service())
        return "".join(said)

    def supposes(self, situation: str) -> None:
        """Make it so, and wait until the daemon says it: it only looks on, or nothing would stay so."""
        if not (self.folder / ".config/openclaw-watchdog").exists():
            self.types(f"{PROGRAM} init")
            self._configure("mode: recover", "mode: observe")
        if not (self.folder / ".config/systemd/user" / UNIT).exists():
            self.types(f"{PROGRAM} service install")
        self._starts(WATCHED)
        if situation in (LOST, QUARANTINED) and not self._is_so(situation):
            self.types("systemctl --user stop openclaw-watchdog")
            self._quarantine() if situation == QUARANTINED else self.types(
                "rm -f ~/.local/state/openclaw-watchdog/ledger.sqlite{,-wal,-shm}"
            )
            self._starts(situation)

    def _starts(self, situation: str) -> None:
        self.types("systemctl --user start openclaw-watchdog")
        until(situation, lambda: self._is_so(situation), within=WITHIN)

    def _is_so(self, situation: str) -> bool:
        state = self._state()
        if state is None:
            return False
        is_so = {
            WATCHED: state["open_incidents"] or state["quarantines"],
            QUARANTINED: state["quarantines"],
            LOST: state["ledger"]["lost_history_at"],
        }
        return bool(is_so[situation])

    def _quarantine(self) -> None:
        """As after attempts that did not help."""
        with SqliteLedger.open(self.folder / ".local/state/openclaw-watchdog/ledger.sqlite") as ledger:
            (incident,) = [one for one in ledger.history() if one.is_open]
            ledger.quarantine(
                Quarantine(
                    incident.gateway, KEY, incident.session_id, SystemClock().now().wall, "nothing helped", incident.id
                )
            )

    @contextlib.contextmanager
    def _terminal(self) -> Iterator[Terminal]:
        terminal = Terminal(self.folder, self._environment)
        try:
            yield terminal
        finally:
            terminal.close()

    def _one(self, terminal: Terminal, line: str, status: int) -> str:
        terminal.begin(line)
        ended = terminal.ends()
        assert ended == status, f"ended with {ended}: {line}\n{terminal.said()}"
        return terminal.said()

    def _has_service(self) -> bool:
        try:
            daemon = psutil.Process(int((self.folder / "pid").read_text("utf-8")))
            return bool(daemon.status() != psutil.STATUS_ZOMBIE)
        except (OSError, psutil.NoSuchProcess):
            return False

    def _state(self) -> State | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.page}/api/state", timeout=WITHIN) as answer:
                return dict(json.load(answer))
        except (urllib.error.URLError, ConnectionError):
            return None

    def _settles(self, is_over: Callable[[], bool]) -> None:
        """The daemon has begun to look and looked since now, suspects nothing any more, and what it calls stuck has an incident or is
        quarantined; or it is over. (The first pass to end may have begun before.)"""
        since = SystemClock().now().wall
        ended: set[str] = set()

        def has_settled() -> bool:
            if is_over():
                return True
            state = self._state()
            if (
                state is None
                or state["last_cycle_at"] is None
                or datetime.fromisoformat(state["last_cycle_at"]) <= since
            ):
                return False
            ended.add(state["last_cycle_at"])
            if len(ended) < 2:
                return False
            (gateway,) = state["gateways"]
            verdicts = [
                (one["verdict"], one["incident"] is not None or one["is_quarantined"]) for one in gateway["sessions"]
            ]
            # A daemon just started suspects until the session has been so for a while, and opens no incident before.
            return all(verdict != "suspect" and (verdict != "stuck" or is_known) for verdict, is_known in verdicts)

        until("the daemon has looked again", has_settled, within=WITHIN, every=0.05)

    def _configure(self, *changes: str) -> None:
        path = self.folder / ".config/openclaw-watchdog/watchdog.yaml"
        text = path.read_text("utf-8")
        for before, after in zip(changes[::2], changes[1::2], strict=True):
            assert before in text, before
            text = text.replace(before, after, 1)
        path.write_text(text, "utf-8")

    def _shortens(self) -> None:
        path = self.folder / ".config/openclaw-watchdog/watchdog.yaml"
        page = "status_page: {listen: 127.0.0.1:%d"
        if path.exists() and page % 18795 in path.read_text("utf-8"):
            self._configure(*(word for pair in SHORTER.items() for word in pair), page % 18795, page % self.page)

    def close(self) -> None:
        self.types("systemctl --user stop openclaw-watchdog")


@contextlib.contextmanager
def home(folder: Path, door: Path | None, version: str = "2026.9.6") -> Iterator[Home]:
    """A gateway with one stuck session, and somebody on its machine. ``door``: see ``program``; None: what is installed."""
    with Simulation(lambda: stuck_world(version), folder / "machine") as gateway:
        made = Home(folder / "home", door, gateway)
        try:
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def program(folder: Path) -> Iterator[Path]:
    """Where ``openclaw-watchdog`` is forked from."""
    door = folder / "door"
    server = subprocess.Popen([sys.executable, "-m", __name__, str(door)], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == b"ready\n"
        yield door
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
        server.stdout.close()


def _serve(place: str) -> None:
    from watchdog.cli import main
    from watchdog.cli.app import VERBS

    for module in {*VERBS.values()}:
        __import__(f"watchdog.cli.{module}")
    door = socket.socket(socket.AF_UNIX)
    door.bind(place)
    door.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        asked, _ = door.accept()
        if os.fork():
            asked.close()
            continue
        door.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        text, streams, _, _ = socket.recv_fds(asked, 1 << 16, 3)
        words, folder, environment = json.loads(text)
        child = os.fork()
        if child:
            for stream in streams:
                os.close(stream)
            asked.sendall(f"{child}\n".encode())
            _, status = os.waitpid(child, 0)
            with contextlib.suppress(OSError):
                asked.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        asked.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [PROGRAM, *words]
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        main()


if __name__ == "__main__":
    _serve(sys.argv[1])
