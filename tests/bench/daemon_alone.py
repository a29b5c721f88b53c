"""The daemon, left alone with many sessions: memory, CPU and descriptors, at every pass.

A pass is noticed by what the daemon tells its service manager after it (``STATUS=`` on ``NOTIFY_SOCKET``): the bench
listens there in systemd's place.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import psutil

from tests.e2e.harness.conditions import until
from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.failures import HarnessError, Hopeless
from tests.e2e.harness.gateways import Gateway

_SESSIONS = re.compile(r"(\d+) sessions")


@dataclass(frozen=True, slots=True)
class Sight:
    """The daemon as it was right after a pass."""

    at: float
    cpu: float
    resident: int
    private: int
    """Of the resident memory what no other process shares (libraries in use elsewhere are not counted); 0: not told here."""
    descriptors: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Watched:
    """What one daemon took. Bytes and seconds."""

    name: str
    passes: int
    sessions: int
    resident: int
    peak: int
    private: int
    start_cpu: float
    """CPU from the start of the process to its first whole pass."""
    start: float
    """From the start of the process to its first verdicts, which are those of that pass."""
    cpu_an_hour: float
    descriptors: int


@dataclass(slots=True)
class Post:
    """A real daemon on observation duty. Use as a context manager; ``result`` after enough passes."""

    name: str
    gateway: Gateway
    every: str
    status_page: Mapping[str, Any] | None
    sights: list[Sight] = field(default_factory=list)
    _began: float = field(init=False)
    _folder: Path = field(init=False)
    _watchdog: _Notifying = field(init=False)
    _ear: socket.socket = field(init=False)
    _listener: threading.Thread = field(init=False)

    def __enter__(self) -> Post:
        self._folder = Path(tempfile.mkdtemp(prefix="watchdog-bench-"))
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(str(self._folder / "notify"))
        self._watchdog = _Notifying(self.gateway, self._folder)
        self._watchdog.notify_at(self._folder / "notify")
        self._watchdog.configure(
            {
                "gateways": [{"name": "bench", "url": self.gateway.url, "token": "${GATEWAY_TOKEN}"}],
                "poll_every": self.every,
                "status_page": dict(self.status_page) if self.status_page is not None else None,
                "state_dir": str(self._folder / "state"),
            }
        )
        self._began = time.perf_counter()
        self._watchdog.start("--observe")
        self._listener = threading.Thread(target=self._listen, name=f"ear of {self.name}", daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(HarnessError):
            self._watchdog.stop()
        self._watchdog.close()
        self._ear.shutdown(socket.SHUT_RD)  # wakes the listener
        self._listener.join(10)
        self._ear.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def await_passes(self, count: int, *, within: float) -> None:
        """Wait for so many passes since its start."""

        def enough() -> bool:
            if not self._watchdog.process.is_running() or self._watchdog.process.status() == psutil.STATUS_ZOMBIE:
                raise Hopeless(f"the daemon ended\n{self._watchdog.report()}")
            return len(self.sights) >= count

        until(f"{self.name}: {count} passes", enough, within=within, every=0.5)

    def result(self) -> Watched:
        """Memory as it is at the end; CPU between the first pass and the last."""
        sights = list(self.sights)
        first, last = sights[0], sights[-1]
        settled = sights[len(sights) // 2 :]
        return Watched(
            name=self.name,
            passes=len(sights),
            sessions=last.sessions,
            resident=int(median(sight.resident for sight in settled)),
            peak=max(sight.resident for sight in sights),
            private=last.private,
            start_cpu=first.cpu,
            start=first.at - self._began,
            cpu_an_hour=(last.cpu - first.cpu) / (last.at - first.at) * 3600,
            descriptors=max(sight.descriptors for sight in settled),
        )

    def _listen(self) -> None:
        process = psutil.Process(self._watchdog.pid)
        while text := self._ear.recv(4096).decode():
            found = _SESSIONS.search(text) if text.startswith("STATUS=") else None
            if found is not None:
                with contextlib.suppress(psutil.Error):
                    self.sights.append(_sight(process, int(found[1])))


class _Notifying(Watchdog):
    """A daemon with a service manager to tell."""

    def notify_at(self, address: Path) -> None:
        self._environment["NOTIFY_SOCKET"] = str(address)


def _sight(process: psutil.Process, sessions: int) -> Sight:
    times, memory = process.cpu_times(), process.memory_full_info()
    return Sight(
        at=time.perf_counter(),
        cpu=float(times.user + times.system),
        resident=int(memory.rss),
        private=int(getattr(memory, "uss", 0)),
        descriptors=int(process.num_fds()),
        sessions=sessions,
    )
