"""Handoff notes hold a person's words: they go with their incident."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from tests.unit.daemon.test_lost_ledger import _daemon
from watchdog.service.ledger import Outcome


def test_note_files_go_with_their_incident_and_not_before_it(tmp_path: Path) -> None:
    daemon = _daemon(tmp_path)
    try:
        ledger, files = daemon.parts.ledger, daemon.parts.note_files
        now = daemon.parts.clock.now().wall
        kept = {}
        for name, days, is_closed in (("forgotten", 200, True), ("still open", 200, False), ("of last week", 7, True)):
            at = now - timedelta(days=days)
            incident = ledger.open_incident(
                gateway="home", session=f"agent:main:{name}", session_id=None, reason="NoActiveRun", at=at
            )
            kept[name] = Path(files.save(incident.id, 1, "her words"))
            os.utime(kept[name], (at.timestamp(), at.timestamp()))
            if is_closed:
                ledger.close_incident(incident.id, Outcome.CLEARED, at)
        daemon._prune()
        assert [name for name, path in kept.items() if path.exists()] == ["still open", "of last week"]
    finally:
        daemon.parts.close()
