from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from watchdog.adapters.host import LocalHost

SESSION = "6326df87-87ab-4da9-a483-80d8afb44969"


def start_ticks(pid: int) -> int:
    """Field 22 of the process's stat: what OpenClaw writes as ``starttime``."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@dataclass
class State:
    """A state folder of 2026.3.24: ``agents/main/sessions`` with its store and one session."""

    root: Path

    @property
    def sessions(self) -> Path:
        return self.root / "agents" / "main" / "sessions"

    @property
    def lock_path(self) -> Path:
        return self.sessions / f"{SESSION}.jsonl.lock"

    def store(self, *entries: dict[str, object], agent: str = "main") -> Path:
        folder = self.root / "agents" / agent / "sessions"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "sessions.json"
        path.write_text(json.dumps({f"agent:{agent}:{number}": entry for number, entry in enumerate(entries)}))
        return path

    def lock(self, content: object, path: Path | None = None) -> Path:
        path = path or self.lock_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return path

    def lock_of(self, pid: int, path: Path | None = None) -> Path:
        """As 3.24, 4.14 write it (measured)."""
        return self.lock({"pid": pid, "createdAt": "2026-11-20T08:32:11.799Z", "starttime": start_ticks(pid)}, path)


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / ".openclaw")
    state.store({"sessionId": SESSION, "sessionFile": str(state.sessions / f"{SESSION}.jsonl"), "status": "running"})
    return state


@pytest.fixture
def host() -> LocalHost:
    return LocalHost()


@pytest.fixture
def sleeper() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts processes that only sleep; all are gone afterwards."""
    with ExitStack() as stack:

        def start() -> subprocess.Popen[bytes]:
            process = stack.enter_context(subprocess.Popen(["sleep", "120"]))
            stack.callback(process.kill)
            return process

        yield start
