"""Looks that the daemon did not make at the time, lent from those it made later.

Transcripts are read only shortly before a session could be called stuck, so another threshold asks for looks that were
never made. A transcript only grows: when a later look at the same run shows a last entry that is older than the moment
asked about, the transcript ended the same way then. Anything else stays unknown, and unknown never leads to a deed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from watchdog.core.model import Look, Session, TranscriptTail
from watchdog.replay.passes import Pass


@dataclass(frozen=True, slots=True)
class _Made:
    at: datetime
    session_id: str | None
    look: Look


@dataclass(slots=True)
class TranscriptBackfill:
    """Every closer look of a recording, by session."""

    made: dict[str, list[_Made]] = field(default_factory=lambda: defaultdict(list))

    def take(self, one: Pass) -> None:
        """Remember the closer looks of a pass."""
        ids: dict[str, str | None] = {}
        for key, looks in one.looks.items():
            for looked in looks:
                if looked.look is None or looked.look.tail is None:
                    continue
                ids = ids or {row.key: row.session_id for listing in one.lists for row in listing.sessions}
                self.made[key].append(_Made(one.began.wall, ids.get(key), looked.look))

    def closer_look(self, session: Session, at: datetime) -> Look | None:
        """What a closer look at ``at`` would have shown, or None where nobody can know."""
        made = [one for one in self.made.get(session.key, ()) if one.session_id == session.session_id]
        later = next((one for one in made if one.at >= at), None)
        if later is None or later.look.tail is None:
            return None
        before = next((one for one in reversed(made) if one.at < at), None)
        is_same = before is not None and before.look.tail is not None and _same(before.look.tail, later.look.tail)
        return later.look if is_same or _was_so(later.look.tail, at) else None

    def last_before(self, session: Session, at: datetime) -> Look | None:
        """The last closer look at this session until ``at``."""
        made = self.made.get(session.key, ())
        return next((one.look for one in reversed(made) if one.at <= at and one.session_id == session.session_id), None)


def _same(one: TranscriptTail, other: TranscriptTail) -> bool:
    return one.fingerprint == other.fingerprint


def _was_so(tail: TranscriptTail, at: datetime) -> bool:
    written = [moment for moment in (tail.at, tail.deed_at) if moment is not None]
    return bool(written) and max(written) <= at
