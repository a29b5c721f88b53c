"""Tells systemd or launchd about the service: write its file, enable, start, stop, remove, and ask how it is.

Invariants: a file is replaced whole or not at all; doing a thing twice is the same as once; ``uninstall`` works without a
running manager too, and removes the file and what enables it, never state. Drop-ins are the operator's own and stay.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from watchdog.adapters.service_units.files import LABEL, UNIT
from watchdog.service.errors import WatchdogError

SYSTEMD_SYSTEM = Path("/etc/systemd/system")
LAUNCH_DAEMONS = Path("/Library/LaunchDaemons")
BOOTSTRAP_TRIES = 10


class ServiceTrouble(WatchdogError):
    """The service manager is not there, or refuses."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def reason(self) -> str:
        return " ".join((self.err or self.out).split()) or f"exit code {self.code}"


Run = Callable[[Sequence[str]], Answer]
"""Runs a command of the service manager. Raises ``ServiceTrouble`` when there is no such program or it does not end."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How the service is, as its manager sees it. ``state`` is the manager's own word."""

    is_installed: bool
    is_enabled: bool
    state: str
    pid: int | None = None
    status: str | None = None
    """The daemon's own line, e.g. ``1/1 gateways up, 12 sessions, 0 stuck, 0 in recovery``."""
    restarts: int | None = None
    last_result: str | None = None


class ServiceControl(Protocol):
    """One service manager. Everything raises ``ServiceTrouble`` leaves and ``OSError`` only."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def logs(self) -> str:
        """The command that shows the daemon's log."""
        ...

    def check(self) -> None:
        """Raises when the manager cannot be reached."""
        ...

    def install(self, text: str) -> Sequence[str]:
        """Write, enable, start; restart when the file changed. Returns what was done, in words."""
        ...

    def uninstall(self) -> Sequence[str]:
        """Stop, disable, remove. Returns what was done; nothing when nothing was there."""
        ...

    def state(self) -> ServiceState: ...


def installed_text(control: ServiceControl) -> str | None:
    try:
        return control.path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def write_whole(path: Path, text: str) -> None:
    """Replace the file at once, readable by all: service files hold no secrets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    try:
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.chmod(0o644)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


class Systemd:
    """``systemctl --user``, or ``systemctl`` for a system unit."""

    def __init__(self, folder: Path, *, is_system: bool, run: Run) -> None:
        self.path = folder / UNIT
        self._is_system = is_system
        self._run = run
        self._systemctl = ["systemctl"] if is_system else ["systemctl", "--user"]

    @property
    def logs(self) -> str:
        return f"journalctl {'-u' if self._is_system else '--user -u'} {UNIT.removesuffix('.service')} -f"

    def check(self) -> None:
        answer = self._ask("show", "--property=UnitPath", "--value")
        if answer.code != 0:
            raise ServiceTrouble(self._not_reached(answer))
        read = answer.out.split()
        if read and str(self.path.parent) not in read:
            raise ServiceTrouble(
                f"the service manager does not read {self.path.parent}; it reads {', '.join(read[:3])}, …: "
                "is XDG_CONFIG_HOME set in this shell only?"
            )

    def _not_reached(self, answer: Answer) -> str:
        if self._is_system:
            return (
                f"systemd does not run this machine ({answer.reason}); in a container, run `openclaw-watchdog run` "
                "as its command instead"
            )
        return (
            f"no systemd user manager can be reached ({answer.reason}); sign in as this user itself (ssh, not su or "
            "sudo), or let it run without a login: `sudo loginctl enable-linger $USER`, then "
            "`export XDG_RUNTIME_DIR=/run/user/$(id -u)`"
        )

    def install(self, text: str) -> Sequence[str]:
        done: list[str] = []
        is_new, before = not self.path.exists(), installed_text(self)
        if before != text:
            write_whole(self.path, text)
            done.append(f"wrote {self.path}" if is_new else f"replaced {self.path}")
        self._must("daemon-reload")
        if self._word("is-enabled") != "enabled":
            self._must("enable", UNIT)
            done.append("enabled it: it starts " + ("at boot" if self._is_system else "with your session"))
        is_active = self._word("is-active") in ("active", "reloading", "activating")
        if not is_active or before != text:
            self._must("restart", UNIT)
            done.append("restarted it" if is_active else "started it")
        return done

    def uninstall(self) -> Sequence[str]:
        done: list[str] = []
        is_there = self.path.exists()
        is_reachable = self._ask("show", "--property=UnitPath", "--value").code == 0
        if is_there and is_reachable:
            answer = self._ask("disable", "--now", UNIT)
            done.append("stopped and disabled it" if answer.code == 0 else f"could not stop it: {answer.reason}")
        for link in sorted(self.path.parent.glob(f"*.wants/{UNIT}")):
            link.unlink(missing_ok=True)
            done.append(f"removed {link}")
        for wants in ("default.target.wants", "multi-user.target.wants"):
            with contextlib.suppress(OSError):
                (self.path.parent / wants).rmdir()  # only when nothing else is in it
        if is_there:
            self.path.unlink()
            done.append(f"removed {self.path}")
        if is_reachable:
            self._ask("daemon-reload")
            self._ask("reset-failed", UNIT)
        drop_ins = self.path.with_name(f"{UNIT}.d")
        if done and drop_ins.exists():
            done.append(f"left your own drop-ins in {drop_ins}")
        return done

    def state(self) -> ServiceState:
        names = ("ActiveState", "SubState", "UnitFileState", "MainPID", "StatusText", "NRestarts", "Result")
        answer = self._ask("show", UNIT, f"--property={','.join(names)}")
        if answer.code != 0:
            raise ServiceTrouble(self._not_reached(answer))
        said = dict(line.split("=", 1) for line in answer.out.splitlines() if "=" in line)
        pid = int(said.get("MainPID", "0") or 0)
        is_installed = self.path.exists()
        word = said.get("ActiveState", "unknown")
        sub = said.get("SubState", "")
        return ServiceState(
            is_installed=is_installed,
            is_enabled=said.get("UnitFileState") == "enabled",
            state=f"{word} ({sub})" if sub and sub != word else word,
            pid=pid or None,
            status=said.get("StatusText") or None,
            restarts=int(said["NRestarts"]) if said.get("NRestarts", "").isdecimal() and is_installed else None,
            last_result=said.get("Result") or None if is_installed else None,
        )

    def _ask(self, *arguments: str) -> Answer:
        return self._run([*self._systemctl, *arguments])

    def _word(self, verb: str) -> str:
        return self._ask(verb, UNIT).out.strip()

    def _must(self, *arguments: str) -> None:
        answer = self._ask(*arguments)
        if answer.code != 0:
            raise ServiceTrouble(f"`systemctl {' '.join(arguments)}` failed: {answer.reason} Look at `{self.logs}`.")


class Launchd:
    """A launch agent of this user, or a launch daemon of the machine."""

    def __init__(
        self,
        folder: Path,
        *,
        is_system: bool,
        uid: int,
        log_folder: Path,
        run: Run,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = folder / f"{LABEL}.plist"
        self._is_system = is_system
        self._uid = uid
        self._log_folder = log_folder
        self._run = run
        self._pause = pause
        self._known_domain = "system" if is_system else ""

    @property
    def logs(self) -> str:
        return f"tail -f {shlex.quote(str(self._log_folder / 'watchdog.log'))}"

    @property
    def _domain(self) -> str:
        """``gui/501`` when this user has a desktop, else ``user/501``."""
        if not self._known_domain:
            gui = f"gui/{self._uid}"
            self._known_domain = gui if self._run(["launchctl", "print", gui]).code == 0 else f"user/{self._uid}"
        return self._known_domain

    @property
    def _target(self) -> str:
        return f"{self._domain}/{LABEL}"

    def check(self) -> None:
        answer = self._run(["launchctl", "print", self._domain])
        if answer.code != 0:
            raise ServiceTrouble(f"launchd cannot be reached: {answer.reason}")

    def install(self, text: str) -> Sequence[str]:
        done: list[str] = []
        self._log_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new, before = not self.path.exists(), installed_text(self)
        if before != text:
            write_whole(self.path, text)
            done.append(f"wrote {self.path}" if is_new else f"replaced {self.path}")
        is_loaded = self._is_loaded()
        if is_loaded and before != text:
            self._boot_out()
        self._must("enable", self._target)
        if not is_loaded or before != text:
            self._bootstrap()
            done.append("restarted it" if is_loaded else "enabled and started it")
        elif self.state().pid is None:
            self._must("kickstart", self._target)
            done.append("started it")
        return done

    def _bootstrap(self) -> None:
        """launchd refuses for a moment after a bootout of the same label (errors 5 and 37)."""
        for left in reversed(range(BOOTSTRAP_TRIES)):
            answer = self._run(["launchctl", "bootstrap", self._domain, str(self.path)])
            if answer.code == 0:
                return
            if left == 0 or answer.code not in (5, 37):
                raise ServiceTrouble(f"`launchctl bootstrap {self._domain}` failed: {answer.reason}")
            self._pause(0.5)

    def _boot_out(self) -> Answer:
        answer = self._run(["launchctl", "bootout", self._target])
        for _ in range(2 * BOOTSTRAP_TRIES):
            if not self._is_loaded():
                break
            self._pause(0.5)
        return answer

    def uninstall(self) -> Sequence[str]:
        done: list[str] = []
        if self._is_loaded():
            answer = self._boot_out()
            done.append("stopped it" if answer.code in (0, 36) else f"could not stop it: {answer.reason}")
        if self.path.exists():
            self.path.unlink()
            done.append(f"removed {self.path}")
        if done:
            done.append(f"left the logs in {self._log_folder}")
        return done

    def _is_loaded(self) -> bool:
        return self._run(["launchctl", "print", self._target]).code == 0

    def state(self) -> ServiceState:
        answer = self._run(["launchctl", "print", self._target])
        is_installed = self.path.exists()
        if answer.code != 0:
            return ServiceState(is_installed, is_enabled=False, state="not loaded")
        said: dict[str, str] = {}
        for line in answer.out.splitlines():
            name, found, value = line.strip().partition(" = ")
            if found:
                said.setdefault(name, value)
        pid = said.get("pid", "")
        runs = said.get("runs", "")
        return ServiceState(
            is_installed=is_installed,
            is_enabled=True,
            state=said.get("state", "unknown"),
            pid=int(pid) if pid.isdecimal() else None,
            restarts=max(0, int(runs) - 1) if runs.isdecimal() else None,
            last_result=said.get("last exit code"),
        )

    def _must(self, *arguments: str) -> None:
        answer = self._run(["launchctl", *arguments])
        if answer.code != 0:
            raise ServiceTrouble(f"`launchctl {' '.join(arguments)}` failed: {answer.reason}")


def systemd_user_folder(env: Mapping[str, str], home: Path) -> Path:
    base = env.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else home / ".config") / "systemd/user"
