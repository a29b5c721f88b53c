"""How fast the part is that only thinks: rows decoded, rows judged. No gateway, no clock, no I/O in what is measured."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, cast

import msgspec

from watchdog.config import Config, build_policy_book
from watchdog.core.evidence import Case
from watchdog.core.model import GatewayFacts, Look, Moment, Session, Snapshot
from watchdog.core.policy import Policy
from watchdog.core.tracking import observe
from watchdog.core.verdict import assess
from watchdog.gateway.capabilities import capabilities_of
from watchdog.gateway.sessions.pages import read_page
from watchdog.service.gateway_trust import Trust
from watchdog.service.observer import Observer
from watchdog.service.ports import Gateway, Wants

ROWS = 10_000
RUNNING_OF_A_HUNDRED = 10
TIMES = 7
_NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Judged:
    """How many rows a second of CPU a stage gets through."""

    stage: str
    rows_a_second: float
    rows: int


def judged(row: dict[str, Any]) -> list[Judged]:
    """Each stage on ``ROWS`` copies of a real row, one in ten of them running, and of those every second without a run."""
    payload = msgspec.Raw(json.dumps({"sessions": [_copy(row, number) for number in range(ROWS)]}).encode())
    sessions = read_page(payload, None, 0).sessions
    running = [session for session in sessions if session.has_active_run is not None and session.status == "running"]
    facts = _facts()
    snapshot = Snapshot(_moment(0), _moment(1), tuple(sessions), is_complete=True)
    observer = Observer(cast(Gateway, _Silent()), build_policy_book(Config()), Trust(timedelta(seconds=90)))
    return [
        _timed("decode a row", ROWS, lambda: read_page(payload, None, 0)),
        _timed("judge a running row: signals, owner, verdict", len(running), lambda: _judge_all(running, facts)),
        _timed(
            "judge a whole list: policies, relations, tracks, verdicts",
            ROWS,
            lambda: asyncio.run(observer.judge_all(snapshot, facts)),
        ),
    ]


def _timed(stage: str, rows: int, work: Callable[[], object]) -> Judged:
    work()
    spans = []
    for _ in range(TIMES):
        began = time.process_time()
        work()
        spans.append(time.process_time() - began)
    return Judged(stage, rows / median(spans), rows)


def _judge_all(sessions: list[Session], facts: GatewayFacts) -> None:
    thresholds, now = Policy("bench").thresholds, _moment(2)
    for session in sessions:
        assess(Case(now, facts, session, observe(None, session, None, now)), thresholds)


def _copy(row: dict[str, Any], number: int) -> dict[str, Any]:
    key, session_id = f"agent:main:bench:{number:05d}", f"00000000-0000-4000-8000-{number:012d}"
    is_running = number % 100 < RUNNING_OF_A_HUNDRED
    state = {"status": "running", "hasActiveRun": number % 2 == 0} if is_running else {"status": "done"}
    return {**row, "key": key, "sessionId": session_id, **state}


def _facts() -> GatewayFacts:
    return GatewayFacts("bench", "2026.9.6", capabilities_of("2026.9.6", frozenset()), _NOW - timedelta(days=1))


def _moment(seconds: float) -> Moment:
    return Moment(1000.0 + seconds, _NOW + timedelta(seconds=seconds))


class _Silent:
    """A gateway where a closer look shows nothing more; not the fake one, whose work would be measured too."""

    async def look(self, session: Session, wants: Wants) -> Look:
        return Look()
