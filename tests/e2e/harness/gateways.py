"""One real gateway process on loopback, with a home of its own, to be started and hurt.

The lock file of a gateway lies in `$TMPDIR/openclaw-<uid>/` before 2026.9 (seen to heed TMPDIR on all three) and under the
state folder from then on; every gateway here has a TMPDIR of its own, so that nothing of a killed one is left behind for
the next test to find. Whoever wants to discover the gateway by its lock file needs the same TMPDIR: `environment` has it.

NODE_COMPILE_CACHE must not be set: 2026.5.18 then runs as the child of a launcher, which dies of kill -9 and leaves the
gateway alive.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from tests.e2e.harness.conditions import monotonic, until

from .failures import HarnessError, Hopeless, Refused
from .install import Installation, add_irc_plugin, path_with
from .ports import PortBlock, is_taken
from .provider import Provider
from .settings import Settings, merged, settings_for
from .witness import ADMIN, BACKEND, DeviceKey, Witness

READY_WITHIN = 240.0
"""A cold start takes 2 to 15 s on an idle machine; a machine that builds something beside is not idle."""

_TOO_SLOW = "state lease heartbeat did not become ready"

_LIVING: weakref.WeakSet[Gateway] = weakref.WeakSet()


class Gateway:
    """A gateway: made once, started and ended as often as wanted on the same home, closed at the end."""

    def __init__(
        self,
        installation: Installation,
        root: Path,
        provider: Provider,
        *,
        extra: Mapping[str, Any] | None = None,
        channels: bool = False,
        irc: bool = False,
        run_timeout_seconds: int = 7200,
    ) -> None:
        self.installation = installation
        self.release = installation.release
        self.provider = provider
        self.token = secrets.token_hex(16)
        self.ports = PortBlock()
        self.port = self.ports.first
        self.home = root.resolve()
        self.state_dir = self.home / ".openclaw"
        self.config_path = self.state_dir / "openclaw.json"
        self._output_path = self.home / "gateway.out"
        self._channels = channels
        self._process: subprocess.Popen[bytes] | None = None
        self._begun_at = 0
        self._output: IO[bytes] | None = None
        for folder in (self.home / "workspace", self.state_dir, self.home / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        settings = settings_for(
            self.release,
            port=self.port,
            token=self.token,
            home=self.home,
            provider=provider,
            run_timeout_seconds=run_timeout_seconds,
        )
        self.config_path.write_text(json.dumps(settings, indent=1))
        if irc and not self.release.bundles_irc:
            add_irc_plugin(installation, self.belonging, self.home)
        self.reconfigure(extra or {})
        _LIVING.add(self)

    # ------------------------------------------------------------ facts

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment a program needs to find this gateway by itself, as the gateway has it."""
        foreign = re.compile(r"(OPENCLAW|CLAWDBOT|NODE|npm)_", re.IGNORECASE)
        own = {name: value for name, value in os.environ.items() if not foreign.match(name)}
        return {**own, **self.belonging}

    @property
    def belonging(self) -> dict[str, str]:
        """The variables that make a program of OpenClaw this gateway's and no other's."""
        return {
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "OPENCLAW_STATE_DIR": str(self.state_dir),
            "OPENCLAW_CONFIG_PATH": str(self.config_path),
        }

    @property
    def pid(self) -> int:
        if self._process is None:
            raise HarnessError("the gateway was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def settings(self) -> Settings:
        return dict(json.loads(self.config_path.read_text()))

    def reconfigure(self, extra: Mapping[str, Any]) -> None:
        """Lay `extra` over the config file as it is now (2026.9 adds a `meta` key and wants it kept), in one move: a file
        seen half-written is not reloaded."""
        fresh = self.config_path.with_suffix(".new")
        fresh.write_text(json.dumps(merged(self.settings(), extra), indent=1))
        fresh.replace(self.config_path)

    def reload(self, extra: Mapping[str, Any]) -> None:
        """The same while it runs, for what it reads anew without a restart; waits until it says so."""
        applied = "config change applied"
        before = self._said().count(applied)
        self.reconfigure(extra)
        until("the gateway has reloaded its config", lambda: self._said().count(applied) > before, within=60)

    # ------------------------------------------------------------ life

    def start(self, *, within: float = READY_WITHIN) -> Gateway:
        """Start it on its home and wait until it serves sessions."""
        if self.is_running:
            raise HarnessError("the gateway already runs")
        until(
            "the gateway's ports are free", lambda: not is_taken(self.port) and not is_taken(self.port + 2), within=20
        )
        environment = {
            **self.environment,
            "PATH": path_with(self.installation.node),
            "OPENCLAW_NO_RESPAWN": "1",  # one process, so that a signal reaches the gateway and not a launcher
            "NO_COLOR": "1",
        }
        if not self._channels:
            environment["OPENCLAW_SKIP_CHANNELS"] = "1"
        tries = 3
        while True:
            try:
                self._begin(environment)
                self.wait_ready(within=within)
            except Hopeless:
                tries -= 1
                if not tries or not self._was_too_slow_to_start():
                    raise
            else:
                return self

    def _was_too_slow_to_start(self) -> bool:
        """2026.9.6 gives a helper of its own five seconds to answer, and ends with 78 when a busy machine takes longer. Whatever
        supervises it starts it again."""
        return self._returncode == 78 and _TOO_SLOW in self._output_path.read_text(errors="replace")[self._begun_at :]

    def _begin(self, environment: Mapping[str, str]) -> None:
        self._close_output()
        self._begun_at = self._output_path.stat().st_size if self._output_path.exists() else 0
        self._output = self._output_path.open("ab")
        command = [
            str(self.installation.node),
            str(self.installation.script),
            "gateway",
            "run",
            "--port",
            str(self.port),
        ]
        self._process = subprocess.Popen(
            command,
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    def wait_ready(self, *, within: float = READY_WITHIN) -> None:
        """Until an operator is let in and gets a list of sessions (health answers some seconds earlier)."""
        until(f"gateway {self.release.version} is ready", self._serves, within=within, every=0.3)

    def _serves(self) -> bool:
        if not self.is_running:
            raise Hopeless(f"the gateway ended with {self._returncode}\n{self.report()}")
        with self.witness(patience=10) as witness:
            try:
                witness.call("sessions.list", {"limit": 1})
            except Refused as refusal:
                if refusal.code == "UNAVAILABLE":
                    return False
                raise
        return True

    @property
    def _returncode(self) -> int | None:
        return self._process.poll() if self._process is not None else None

    def kill(self) -> None:
        """kill -9: no time for anything."""
        self._signal(signal.SIGKILL)
        self._await_end(20)

    def terminate(self, patience: float = 20) -> bool:
        """SIGTERM, and after `patience` seconds of draining kill -9. Answers whether it ended by itself."""
        self._signal(signal.SIGTERM)
        try:
            self._await_end(patience)
        except HarnessError:
            self.kill()
            return False
        return True

    def freeze(self) -> None:
        """SIGSTOP: it keeps its port, accepts connections by the kernel's grace, and answers nothing."""
        self._signal(signal.SIGSTOP)
        until("the gateway is frozen", lambda: psutil.Process(self.pid).status() == psutil.STATUS_STOPPED, within=10)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def restart_in_place(self, *, within: float = 240) -> None:
        """SIGUSR1, where that means: restart inside the same process. Returns when the new life serves sessions.

        Told from the old life by a connection held across: the gateway closes it when it goes down.
        """
        if not self.release.restarts_on_sigusr1:
            raise HarnessError(f"{self.release.version} opens a debugger on SIGUSR1")
        pid = self.pid
        with self.witness(scopes=()) as before:
            self._signal(signal.SIGUSR1)
            limit = monotonic() + within
            while monotonic() < limit:
                try:
                    before.listen(5)
                except HarnessError:
                    break
            else:
                raise HarnessError(f"no restart within {within:g} s of SIGUSR1\n{self.report()}")
        self.wait_ready()
        if self.pid != pid or not self.is_running:
            raise HarnessError("the restart was not in the same process")

    def close(self) -> None:
        """End the gateway and everything it started (tools run on after a kill -9), free its ports. May be repeated."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)
        self._end_strays()
        self._close_output()
        self.ports.release()
        _LIVING.discard(self)

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def erase(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)

    # ------------------------------------------------------------ asking it

    def openclaw(self, *words: str, within: float = 120) -> str:
        """A command of OpenClaw's own CLI, typed on the gateway's machine; all that it printed."""
        command = [str(self.installation.node), str(self.installation.script), *words]
        done = subprocess.run(
            command,
            env={**self.environment, "PATH": path_with(self.installation.node), "NO_COLOR": "1"},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within,
        )
        if done.returncode:
            raise HarnessError(f"openclaw {' '.join(words)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def witness(
        self,
        *,
        scopes: tuple[str, ...] = ADMIN,
        client: tuple[str, str] = BACKEND,
        key: DeviceKey | None = None,
        patience: float = 30,
    ) -> Witness:
        """A fresh connection; close it."""
        return Witness(self.url, self.token, scopes=scopes, client=client, key=key, patience=patience)

    def logged(self, text: str) -> bool:
        """Whether the gateway ever said this."""
        return text in self._said()

    def said_count(self, *texts: str) -> int:
        """How many lines it said with all of these in them."""
        return sum(all(text in line for text in texts) for line in self._said().splitlines())

    def forget_received(self) -> None:
        """Take away the messages that 2026.5.18 has received from Telegram and not yet handled. It must not run."""
        for spooled in self.state_dir.glob("telegram/ingress-spool-*/*.json.processing"):
            spooled.unlink()

    def report(self, lines: int = 40) -> str:
        """The end of what the gateway said, for a failure's text. (Its log file has the same lines, as JSON.)"""
        return "\n".join([f"--- gateway {self.release.version}, {self.home} ---", *self._said().splitlines()[-lines:]])

    def _said(self) -> str:
        return self._output_path.read_text(errors="replace") if self._output_path.exists() else ""

    # ------------------------------------------------------------ below

    def _signal(self, number: signal.Signals) -> None:
        if not self.is_running:
            raise HarnessError(f"no {number.name} to a gateway that does not run\n{self.report()}")
        os.kill(self.pid, number)

    def _await_end(self, seconds: float) -> None:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise HarnessError(f"the gateway does not end within {seconds:g} s") from None

    def _close_output(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None

    def _end_strays(self) -> None:
        """End whatever still runs with this gateway's home as its own, in whatever process group."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("OPENCLAW_CONFIG_PATH") == str(self.config_path):
                    process.kill()


@atexit.register
def _close_all() -> None:
    for gateway in list(_LIVING):
        gateway.close()
