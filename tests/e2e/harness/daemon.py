"""The watchdog itself, as an operator runs it: a process, a configuration file, lines of JSON on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
from ruamel.yaml import YAML

from tests.e2e.harness.conditions import until

from .failures import HarnessError, Hopeless
from .settings import merged

Line = Mapping[str, Any]
REPOSITORY = Path(__file__).resolve().parents[3]

QUICK: dict[str, Any] = {
    "poll_every": "1s",
    "thresholds": {"stuck_after": "6s", "confirm_for": "3s", "long_running_after": "30m", "startup_grace": "3s"},
    "recovery": {"verify_within": "90s", "backoff": ["2s", "4s", "8s"]},
    "status_page": None,
    "allow_short_thresholds": True,
}
"""Thresholds for a test that cannot wait twenty minutes; everything else as it comes."""


class Watched(Protocol):
    """What a watchdog has to know of a gateway, be it real or simulated."""

    @property
    def url(self) -> str: ...

    @property
    def token(self) -> str: ...

    @property
    def state_dir(self) -> Path: ...

    @property
    def belonging(self) -> dict[str, str]:
        """The variables by which its owner's programs find it."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb that was run to its end."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Watchdog:
    """One configuration and state folder; a daemon that can be started, killed and asked; verbs on the same state.

    ``url``: where to connect to instead of the gateway itself. ``environment``: laid over the daemon's own. ``program``:
    the module that is run."""

    def __init__(
        self,
        gateway: Watched,
        folder: Path,
        *,
        extra: Mapping[str, Any] | None = None,
        is_local: bool = True,
        name: str = "home",
        url: str | None = None,
        environment: Mapping[str, str] | None = None,
        program: str = "watchdog",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config_path = folder / "watchdog.yaml"
        self.log_path = folder / "watchdog.log"
        self._program = program
        self._environment = {**os.environ, **gateway.belonging, "GATEWAY_TOKEN": gateway.token, "NO_COLOR": "1"}
        self._environment |= {"PYTHONPATH": str(REPOSITORY), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: list[Line] = []
        self._raw: list[str] = []
        self._reader: threading.Thread | None = None
        entry: dict[str, Any] = {"name": name, "url": url or gateway.url, "token": "${GATEWAY_TOKEN}"}
        entry["state_dir"] = str(gateway.state_dir) if is_local else "none"
        settings = merged({**QUICK, "gateways": [entry], "state_dir": str(folder / "state")}, dict(extra or {}))
        self.settings = settings
        self.configure(settings)

    def configure(self, settings: Mapping[str, Any]) -> None:
        with self.config_path.open("w") as stream:
            YAML().dump(dict(settings), stream)
        self.config_path.chmod(0o600)

    def __enter__(self) -> Watchdog:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ the daemon

    def start(self, *options: str) -> Watchdog:
        self._process = subprocess.Popen(
            [*self._command("run"), "--log-format", "json", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._environment,
            cwd=self.folder,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with self.log_path.open("a", buffering=1) as copy:
            for raw in process.stderr:
                text = raw.decode(errors="replace").rstrip("\n")
                copy.write(text + "\n")
                self._raw.append(text)
                with contextlib.suppress(ValueError):
                    self._lines.append(json.loads(text))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.pid)

    def wait_for_exit(self, within: float = 90) -> int:
        assert self._process is not None
        return self._process.wait(within)

    def stop(self) -> int:
        """SIGTERM and wait; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(90)
        self._hear_out()
        return code

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        self._hear_out()

    def _hear_out(self) -> None:
        """Read what is left, and let go of the pipe."""
        if self._reader is not None:
            self._reader.join(30)
            self._reader = None
        if self._process is not None and self._process.stderr is not None:
            self._process.stderr.close()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The daemon does nothing inside (SIGSTOP), and goes on afterwards."""
        self.signal(signal.SIGSTOP)
        try:
            until("the daemon is held", lambda: self.process.status() == psutil.STATUS_STOPPED, within=10)
            yield
        finally:
            self.signal(signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)
        self._hear_out()

    # ------------------------------------------------------------ what it says

    @property
    def lines(self) -> list[Line]:
        return list(self._lines)

    @property
    def text(self) -> str:
        return "\n".join(self._raw)

    def events(self, name: str, **fields: Any) -> list[Line]:
        """Every line of this event whose fields have these values."""
        return [
            line
            for line in self.lines
            if line.get("event") == name and all(line.get(field) == value for field, value in fields.items())
        ]

    def wait_for(self, name: str, *, within: float = 120, count: int = 1, **fields: Any) -> Line:
        """The first such line (the ``count``-th when more are wanted)."""

        def said() -> Line | None:
            found = self.events(name, **fields)
            if len(found) >= count:
                return found[count - 1]
            if self._process is not None and self._process.poll() is not None:
                raise Hopeless(f"the watchdog ended with {self._process.returncode}:\n{self.report()}")
            return None

        try:
            return until(f"the watchdog says {name} {fields}", said, within=within)
        except HarnessError as problem:
            raise HarnessError(f"{problem}\n{self.report()}") from None

    def report(self, last: int = 40) -> str:
        return "--- watchdog ---\n" + "\n".join(self._raw[-last:])

    # ------------------------------------------------------------ verbs

    def verb(self, *words: str, within: float = 300) -> Verb:
        done = subprocess.run(
            self._command(*words),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self._environment,
            cwd=self.folder,
            timeout=within,
        )
        return Verb(done.returncode, done.stdout.decode(), done.stderr.decode())

    def history(self) -> list[dict[str, Any]]:
        """Incidents, newest first."""
        found: list[dict[str, Any]] = self.verb("history", "--json").json()["incidents"]
        return found

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", self._program, *words, "--config", str(self.config_path)]
