"""The gateway's machine of tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from watchdog.core.model import Lock, LockSight, ReplyAddress


@dataclass
class FakeHost:
    """``ports.Host`` that sees what it was told to see: nothing, at first."""

    sight: LockSight = LockSight(Lock.NONE)
    locks_asked: list[tuple[str, str | None, str, int | None]] = field(default_factory=list)
    written_at: datetime | None = None
    spooled: bool = False
    transcript: bytes | None = None
    spools_asked: list[tuple[str, ReplyAddress]] = field(default_factory=list)

    def lock_sight(
        self, state_dir: str, agent_id: str | None, session_id: str, *, gateway_pid: int | None
    ) -> LockSight:
        self.locks_asked.append((state_dir, agent_id, session_id, gateway_pid))
        return self.sight

    def transcript_end(self, state_dir: str, agent_id: str | None, session_id: str) -> bytes | None:
        return self.transcript

    def transcript_written_at(self, state_dir: str, agent_id: str | None, session_id: str) -> datetime | None:
        return self.written_at

    def has_spooled(self, state_dir: str, address: ReplyAddress) -> bool:
        self.spools_asked.append((state_dir, address))
        return self.spooled
