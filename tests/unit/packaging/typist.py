"""Types what a document shows into a shell: an empty home, a simulated gateway with a stuck session, and the program itself.

What installs, or belongs to the machine, has a stand-in on the PATH, ``STAND_INS``; ``systemctl`` starts and stops the daemon for
real. ``openclaw-watchdog`` is a process of its own each time, forked from one that has imported everything: two dozen starts of
Python would take longer than all they do.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.loopback import free_port
from tests.fakes.stuck_gateway import stuck_world
from tests.faults.simulation import Simulation
from watchdog import PROGRAM
from watchdog.adapters.service_units.files import UNIT

REPOSITORY = Path(__file__).resolve().parents[3]
BASH = "/bin/bash"
LIMIT = 120.0
"""Seconds for a block."""
STAND_INS = {
    "pipx": "exit 0",
    "git": "exit 0",
    "openclaw": """[ "$1 $2" = "devices list" ] && echo '{"pending": [], "paired": []}'""",
    # Reads its words and says what it would do: there is no machine to go to.
    "ssh": 'exec /usr/bin/ssh -G "$@"',
    "systemctl": r"""
unit=$HOME/.config/systemd/user/openclaw-watchdog.service
is_up() { [ -e ~/pid ] && kill -0 "$(cat ~/pid)" 2>/dev/null; }
stop() { ! is_up || { kill "$(cat ~/pid)"; while is_up; do sleep 0.02; done; }; }
start() {
  is_up && return
  program=$(sed -n "s,^ExecStart=[^ ]*/,,p" "$unit")
  setsid $program >>~/journal 2>&1 </dev/null & echo $! >~/pid
  until curl --silent --fail --output /dev/null "http://127.0.0.1:$PAGE/readyz"; do is_up || exit 1; sleep 0.05; done
}
while [ "${1#--}" != "$1" ]; do shift; done
case $1 in
  show) case $* in
    *UnitPath*) dirname "$unit" ;;
    *) is_up && echo ActiveState=active || echo ActiveState=inactive ;;
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
_CLIENT = """\
import json, os, signal, socket, sys
door = socket.socket(socket.AF_UNIX)
door.connect({door!r})
socket.send_fds(door, [json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\n"], [0, 1, 2])
answers = door.makefile()
child = int(answers.readline())
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
sys.exit(int(answers.readline() or 1))
"""
_FOREGROUND = rf"""
set -euo pipefail
over() {{ [ -z "${{daemon-}}" ] || {{ kill "$daemon"; wait "$daemon"; daemon=; }}; }}
{PROGRAM}() {{ # what stays in the foreground ends when the next daemon starts, or the block is over
  case $1 in
    run)
      over; systemctl --user stop openclaw-watchdog
      : >~/log; command {PROGRAM} "$@" 2>>~/log & daemon=$!
      until grep -q gateway.connected ~/log; do kill -0 "$daemon" || {{ cat ~/log; exit 1; }}; sleep 0.05; done ;;
    init) command {PROGRAM} "$@" && sed -i "$SHORTER" ~/.config/openclaw-watchdog/watchdog.yaml ;;
    check) command {PROGRAM} "$@" || [ $? = 2 ] ;; # one is stuck
    service | recover) over; command {PROGRAM} "$@" <<<y ;;
    *) command {PROGRAM} "$@" ;;
  esac
}}
trap over EXIT
"""


class Home:
    """An empty home on a machine with a gateway. ``types`` raises ``AssertionError`` with all that was said."""

    def __init__(self, folder: Path, door: Path, gateway: Simulation) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        client = _CLIENT.format(door=str(door))
        self.puts("bin/" + PROGRAM, f"#!{sys.executable} -IS\n{client}", 0o755)
        for name, does in STAND_INS.items():
            self.puts(f"bin/{name}", f"#!{BASH}\n{does}\n", 0o755)
        access = {"port": gateway.gateway.port, "auth": {"mode": "token", "token": gateway.token}}
        self.puts(".openclaw/openclaw.json", json.dumps({"gateway": access}))
        self.page = free_port()
        numbers = {"30s": "200ms", "20m": "2s", "60s": "200ms", "5m": "1s", "18795": str(self.page), "false": "true"}
        lines = {"poll_every": "30s", "stuck_after": "20m", "confirm_for": "60s", "startup_grace": "5m",
                 "status_page": "18795", "allow_short_thresholds": "false"}  # fmt: skip
        self.environment = {
            "HOME": str(folder),
            "PATH": f"{folder}/bin:/usr/bin:/bin",
            "PAGE": str(self.page),
            "SHORTER": "; ".join(f"/^ *{name}:/s/{long}/{numbers[long]}/" for name, long in lines.items()),
            "NO_COLOR": "1",
        }

    def puts(self, name: str, text: str, mode: int = 0o600) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode)
        path.write_text(text, "utf-8")

    def types(self, block: str) -> str:
        """All that it says, one after the other."""
        done = subprocess.run(
            [BASH, "-c", _FOREGROUND + block.replace(" && ", "\n")],  # `set -e` lets what stands before `&&` fail
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"ended with {done.returncode}:\n{block}\n{done.stdout}"
        return done.stdout

    def after_the_first_day(self) -> None:
        """Configured, to look on, and the service runs."""
        self.types(
            f"[ -e ~/.config/openclaw-watchdog ] || {{ {PROGRAM} init; sed -i 's/mode: recover/mode: observe/' "
            "~/.config/openclaw-watchdog/watchdog.yaml; }\n"
            f"[ -e ~/.config/systemd/user/{UNIT} ] || {PROGRAM} service install\n"
            f"systemctl --user start {UNIT}"
        )

    def close(self) -> None:
        self.types("systemctl --user stop openclaw-watchdog")


@contextlib.contextmanager
def home(folder: Path, door: Path, version: str = "2026.9.6") -> Iterator[Home]:
    """A gateway with one stuck session, and somebody on its machine."""
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
