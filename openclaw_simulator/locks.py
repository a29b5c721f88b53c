"""``<sessionId>.jsonl.lock`` files of a simulated 2026.3.24 or 2026.4.14 on a real disk.

Those versions hold the file for the whole run (older.md 3), so its presence with a live pid proves life and its
absence proves that nothing runs. A crash leaves it behind; the next start removes those of dead processes.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from openclaw_simulator.process import Phase
from openclaw_simulator.sessions import SimSession
from openclaw_simulator.world import World


def lock_holder(world: World, session: SimSession, gateway_pid: int) -> int | None:
    """Whose pid is in the session's lock file; None: there is no such file. For hosts that are simulated too."""
    if not world.profile.has_lock_files:
        return None
    if session.foreign_lock_pid is not None:
        return session.foreign_lock_pid
    run = session.run
    return gateway_pid if run is not None and run.started_ms is not None else None


class LockFiles:
    """Keeps the lock files of one world in step with its runs."""

    def __init__(self, state_dir: Path, *, gateway_pid: int, start_time: int | None = None) -> None:
        self.state_dir = state_dir
        self.gateway_pid = gateway_pid
        """A process that lives as long as the simulated gateway (the simulation's own will do)."""
        self.start_time = start_time
        self._held: dict[Path, int] = {}
        self._seen_version = -1

    def follow(self, world: World) -> None:
        """Write and remove files so that they say what is true now."""
        if not world.profile.has_lock_files or world.process.phase is not Phase.UP:
            return
        if world.rows_version == self._seen_version:
            return
        self._seen_version = world.rows_version
        wanted: dict[Path, int] = {}
        for session in world.sessions.values():
            pid = lock_holder(world, session, self.gateway_pid)
            if pid is not None:
                wanted[self._path(session)] = pid
        for path in self._held.keys() - wanted.keys():
            path.unlink(missing_ok=True)
        for path, pid in wanted.items():
            if self._held.get(path) != pid:
                self._write(path, pid, world.wall_ms)
        self._held = wanted

    def _path(self, session: SimSession) -> Path:
        return self.state_dir / "agents" / session.agent_id / "sessions" / f"{session.session_id}.jsonl.lock"

    def _write(self, path: Path, pid: int, wall_ms: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        created = datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        content: dict[str, object] = {"pid": pid, "createdAt": created}
        if pid == self.gateway_pid and self.start_time is not None:
            content["starttime"] = self.start_time
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")

    def clear(self) -> None:
        """Remove every file that was written."""
        for path in self._held:
            path.unlink(missing_ok=True)
        self._held.clear()
