"""A real chat network on loopback: ngircd, and a person on it who writes and listens.

A trap for tests on 2026.3.24: each operator that connects makes the gateway probe its channels, with a short IRC connection
as `claw_`. It delivers under the same second nick and knows no third, so what is to be delivered in that moment fails
("IRC login failed (433)"). Keep one witness open and do not connect another while an answer is on its way.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness.conditions import epoch_ms, until

from .failures import HarnessError
from .install import ngircd
from .ports import PortBlock, is_taken

BOT = "claw"

_CONFIG = """\
[Global]
    Name = irc.e2e.test
    Info = openclaw-watchdog e2e
    Listen = 127.0.0.1
    Ports = {port}
    MotdPhrase = hello
    PidFile = {folder}/ngircd.pid
[Limits]
    MaxConnectionsIP = 0
    MaxNickLength = 30
    MaxPenaltyTime = 0
    PingTimeout = 600
[Options]
    DNS = no
    Ident = no
    PAM = no
"""


class IrcServer:
    """ngircd in the foreground on a port of its own."""

    def __init__(self, folder: Path) -> None:
        program = ngircd()
        folder.mkdir(parents=True, exist_ok=True)
        self._ports = PortBlock()
        self.port = self._ports.first
        config = folder / "ngircd.conf"
        config.write_text(_CONFIG.format(port=self.port, folder=folder))
        with (folder / "ngircd.out").open("wb") as out:
            self._process = subprocess.Popen(
                [program, "--nodaemon", "--config", config], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        try:
            until("ngircd listens", lambda: is_taken(self.port), within=20)
        except HarnessError:
            self.close()
            raise HarnessError((folder / "ngircd.out").read_text(errors="replace")) from None

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._ports.release()

    def __enter__(self) -> IrcServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Heard:
    """One line of somebody else that reached the person."""

    at: int
    speaker: str
    """Nick; the gateway speaks as `claw`, and outside its reply path as `claw_`, `claw_2`, ..."""
    place: str
    """`#group`, or the person's own nick when it was said in private."""
    text: str


class Human:
    """A person with an IRC client: says things, and remembers all that is said to them."""

    def __init__(self, server: IrcServer, nick: str, groups: tuple[str, ...] = ()) -> None:
        self.nick = nick
        self.heard: list[Heard] = []
        self._members: dict[str, set[str]] = {}
        self._welcome = threading.Event()
        self._socket = socket.create_connection(("127.0.0.1", server.port), 10)
        self._socket.settimeout(None)
        self._listener = threading.Thread(target=self._listen, name=f"irc {nick}", daemon=True)
        self._listener.start()
        self._write(f"NICK {nick}", f"USER {nick} 0 * :{nick}")
        if not self._welcome.wait(20):
            self.close()
            raise HarnessError(f"no welcome to {nick} from the IRC server")
        for group in groups:
            self.join(group)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._listener.join(10)
        self._socket.close()

    def __enter__(self) -> Human:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ speaking

    def join(self, group: str) -> None:
        self._write(f"JOIN {group}")
        until(f"{self.nick} is in {group}", lambda: self.nick in self.members(group), within=20)

    def say(self, place: str, text: str) -> None:
        """To a `#group`, or to a nick in private."""
        self._write(f"PRIVMSG {place} :{text}")

    def find_bot(self, group: str, within: float = 90) -> str:
        """The nick under which the gateway sits in the group. After kill -9 it may come back as `claw_`."""

        def sitting() -> str:
            self._write(f"NAMES {group}")
            return min((nick for nick in self.members(group) if nick.startswith(BOT)), key=len, default="")

        return until(f"{BOT} is in {group}", sitting, within=within, every=0.5)

    # ------------------------------------------------------------ listening

    def members(self, group: str) -> set[str]:
        return self._members.get(group, set())

    def hears(self, text: str, *, place: str | None = None, after: int = 0) -> Heard | None:
        """The first line with `text` in it: in that place, among those past the first `after` lines."""
        lines = self.heard[after:]
        return next((line for line in lines if text in line.text and place in (None, line.place)), None)

    def wait_for(self, text: str, *, place: str | None = None, after: int = 0, within: float = 90) -> Heard:
        where = f" in {place}" if place else ""
        try:
            return until(
                f"{self.nick} hears {text!r}{where}",
                lambda: self.hears(text, place=place, after=after),
                within=within,
            )
        except HarnessError as silence:
            lines = "\n".join(map(str, self.heard[-10:]))
            raise HarnessError(f"{silence}\nthe last lines heard:\n{lines}") from None

    # ------------------------------------------------------------ the connection

    def _write(self, *lines: str) -> None:
        self._socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def _listen(self) -> None:
        waiting = b""
        with contextlib.suppress(OSError):
            while data := self._socket.recv(1 << 14):
                *lines, waiting = (waiting + data).split(b"\n")
                for line in lines:
                    self._take(line.decode(errors="replace").strip())

    def _take(self, line: str) -> None:
        source, _, rest = line[1:].partition(" ") if line.startswith(":") else ("", "", line)
        command, *parameters = _words(rest)
        speaker = source.partition("!")[0]
        if command == "PING":
            self._write(f"PONG :{parameters[-1]}")
        elif command == "001":
            self._welcome.set()
        elif command == "353":  # the names in a group, as of now
            group, names = parameters[-2], parameters[-1].split()
            self._members[group] = self._members.get(group, set()) | {name.lstrip("@+~&%") for name in names}
        elif command == "JOIN":
            self._members.setdefault(parameters[0], set()).add(speaker)
        elif command in ("QUIT", "PART"):
            for members in self._members.values():
                members.discard(speaker)
        elif command == "NICK":
            for members in self._members.values():
                if speaker in members:
                    members.remove(speaker)
                    members.add(parameters[0])
        elif command in ("PRIVMSG", "NOTICE") and source:
            self.heard.append(Heard(epoch_ms(), speaker, parameters[0], parameters[-1]))


def _words(line: str) -> list[str]:
    """An IRC line's command and parameters; the last one may have blanks."""
    middle, colon, trailing = line.partition(" :")
    return [*middle.split(), *([trailing] if colon else [])] or [""]
