"""What the link's and the client's tests share: two devices, a host that is told what it sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from watchdog.core.model import Lock, LockSight, ReplyAddress
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.service.secret import Secret

TOKEN = "tok-test-0123456789abcdef"
PASSWORD = "hunter2-hunter2"
OURS = DeviceIdentity.of(b"\1" * 32)
STRANGER = DeviceIdentity.of(b"\2" * 32)


def secret() -> Secret:
    return Secret(TOKEN)


@dataclass
class ToldHost:
    """Sees the lock that it was told to see."""

    sight: LockSight = LockSight(Lock.NONE)
    asked: list[tuple[str, str | None, str, int | None]] = field(default_factory=list)
    written_at: datetime | None = None
    spooled: bool = False
    transcript: bytes | None = None
    spools_asked: list[tuple[str, ReplyAddress]] = field(default_factory=list)

    def lock_sight(
        self, state_dir: str, agent_id: str | None, session_id: str, *, gateway_pid: int | None
    ) -> LockSight:
        self.asked.append((state_dir, agent_id, session_id, gateway_pid))
        return self.sight

    def transcript_end(self, state_dir: str, agent_id: str | None, session_id: str) -> bytes | None:
        return self.transcript

    def transcript_written_at(self, state_dir: str, agent_id: str | None, session_id: str) -> datetime | None:
        return self.written_at

    def has_spooled(self, state_dir: str, address: ReplyAddress) -> bool:
        self.spools_asked.append((state_dir, address))
        return self.spooled
