"""Sessions and verdicts in words and as plain data."""

from __future__ import annotations

from typing import Any

from watchdog.core.evidence import Truth
from watchdog.core.verdict import Verdict
from watchdog.service.observer import Judged

VERDICT_STYLES = {
    Verdict.HEALTHY: "green",
    Verdict.WAITING: "cyan",
    Verdict.LONG_RUNNING: "yellow",
    Verdict.SUSPECT: "yellow",
    Verdict.STUCK: "bold red",
    Verdict.UNKNOWN: "magenta",
}


def session_facts(judged: Judged) -> dict[str, Any]:
    """One session for ``check --json`` and ``explain --json``: without its name, as in every pipe."""
    row, judgement = judged.session, judged.judgement
    return {
        "key": row.key,
        "session_id": row.session_id,
        "kind": row.kind.value,
        "status": row.status.value,
        "started_at": row.started_at.isoformat() if row.started_at is not None else None,
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "message": judgement.message,
        "owner": {Truth.TRUE: "alive", Truth.FALSE: "gone", Truth.UNKNOWN: "unknown"}[judgement.owner],
        "unattended_seconds": round(judgement.unattended_for.total_seconds(), 1)
        if judgement.unattended_for is not None
        else None,
        "policy": judged.policy.name,
    }
