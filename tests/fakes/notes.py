"""The handoff notes of tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from watchdog.service.errors import LedgerUnavailable


@dataclass
class FakeNotes:
    """Keeps handoff notes; ``broken`` says that the disk is full."""

    saved: list[tuple[str, int, str]] = field(default_factory=list)
    broken: bool = False

    def save(self, incident: str, number: int, text: str) -> str:
        if self.broken:
            raise LedgerUnavailable("the disk is full")
        self.saved.append((incident, number, text))
        return f"/notes/{incident}-a{number}.md"
