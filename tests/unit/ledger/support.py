"""A small world for the ledger's tests: fixed instants, short makers, real child processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from watchdog.core.model import Status
from watchdog.core.policy import Step
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.core.tracking import RunIdentity
from watchdog.ledger.ledger import SqlLedger
from watchdog.service.ledger import Incident, Message, MessageKind, Quarantine

T0 = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RUN = RunIdentity("sid-1", datetime(2026, 11, 20, 11, 0, 0, 123456, tzinfo=UTC), Status.RUNNING, "rev-9")


def at(seconds: float) -> datetime:
    """``seconds`` after the beginning of the story."""
    return T0 + timedelta(seconds=seconds)


def stuck(key: str, *, incident: str | None = None, gateway: str = "home") -> Message:
    return Message(MessageKind.STUCK, gateway, "Stuck", "A session is stuck.", key, session="main", incident=incident)


def opened(ledger: SqlLedger, session: str = "main", gateway: str = "home", seconds: float = 0) -> Incident:
    return ledger.open_incident(
        gateway=gateway, session=session, session_id="sid-1", reason="OwnerGone", at=at(seconds)
    )


def planned(
    ledger: SqlLedger,
    incident: Incident,
    seconds: float = 1,
    step: Step = Step.RESUME,
    run: RunIdentity | None = None,
) -> Attempt:
    """``run`` None: one that no other gateway has."""
    if run is None:
        run = RUN if incident.gateway == "home" else replace(RUN, session_id=f"sid-{incident.gateway}")
    return ledger.plan_attempt(incident.id, step, at(seconds), before=run, before_tail="tail-1")


def started(ledger: SqlLedger, incident: Incident, seconds: float = 2) -> Attempt:
    attempt = planned(ledger, incident, seconds)
    assert ledger.claim_attempt(attempt.id, at(seconds))
    return attempt


def attempt_now(ledger: SqlLedger, attempt: Attempt) -> Attempt:
    """The attempt as the ledger knows it now."""
    incident = ledger.incident(attempt.incident)
    assert incident is not None
    return next(one for one in incident.attempts if one.id == attempt.id)


def brought_to(ledger: SqlLedger, attempt: Attempt, state: AttemptState) -> None:
    """A planned attempt, led to ``state`` by the shortest allowed way."""
    if state is AttemptState.PLANNED:
        return
    if state is AttemptState.ABANDONED:
        assert ledger.settle_attempt(attempt.id, state, at(5), reason="Cancelled")
        return
    assert ledger.claim_attempt(attempt.id, at(5))
    if state is not AttemptState.STARTED:
        assert ledger.settle_attempt(attempt.id, state, at(6), reason="Seen")


def problem_of(ledger: SqlLedger) -> str:
    """What it says is wrong with it; empty when nothing is. (A call: a type checker takes a property for constant.)"""
    return ledger.problem or ""


def lost_at(ledger: SqlLedger) -> datetime | None:
    return ledger.lost_history_at


def quarantine_of(session: str = "main", gateway: str = "home", incident: str | None = None) -> Quarantine:
    return Quarantine(gateway, session, "sid-1", at(50), "BudgetExhausted", incident)


def in_child(body: Callable[[], None]) -> int:
    """Run ``body`` in a real process of its own to its end; its exit code, negative when a signal ended it."""
    return exit_code(child(body))


def child(body: Callable[[], None]) -> int:
    """Start ``body`` in a process of its own; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        except BaseException:  # noqa: BLE001 - a child must never go on as a second test run
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die() -> None:
    """As the OOM killer does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Straight into the file, past the ledger."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()
