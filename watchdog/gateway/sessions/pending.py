"""What waits for a person: lists of approvals and questions, and whose session each entry is about.

From 2026.5.18 on only ``operator.admin`` sees approvals that others asked for (read in the source of 5.18; with
``operator.approvals`` alone one sees one's own), so these lists are asked for where the configured steps were granted
admin anyway, on a short connection of its own that asks for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from watchdog.core.model import Session
from watchdog.gateway.wire.answers import Call, decoded
from watchdog.gateway.wire.decoder import Undecodable, decode
from watchdog.gateway.wire.timestamps import Millis, instant
from watchdog.service import errors

APPROVALS = {
    "exec.approval.list": "operator.approvals",
    "plugin.approval.list": "operator.approvals",
    "openclaw.approval.list": "operator.approvals",
}
"""Method -> the scope that it needs. 5.18 has the first two, 9.6 all."""
QUESTIONS = {"question.list": "operator.questions"}
CRON_RUNS_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Waiting:
    """The lists as they were answered; a method that was not answered is missing."""

    answers: dict[str, Any]
    problems: tuple[str, ...] = ()

    def approvals(self, session: Session) -> int | None:
        """How many approvals of this session are pending; None when no list of them was answered."""
        return self._count(APPROVALS, session.key)

    def questions(self, session: Session) -> int | None:
        return self._count(QUESTIONS, session.key)

    def _count(self, methods: dict[str, str], key: str) -> int | None:
        said = [self.answers[method] for method in methods if method in self.answers]
        return sum(_mentions(answer, key) for answer in said) if said else None


async def read_waiting(methods: list[str], call: Call) -> Waiting:
    """Ask for each list; one that is refused or cannot be read is named in ``problems``."""
    answers: dict[str, Any] = {}
    problems: list[str] = []
    for method in methods:
        try:
            answer = decoded(await call(method, {}), object, method)
            if _items(answer) is None:  # guard: no list is not an empty one
                problems.append(f"{method}: the answer holds no list")
            else:
                answers[method] = answer
        except (errors.RequestRefused, errors.AnswerUnreadable) as problem:
            problems.append(f"{method}: {problem}")
    return Waiting(answers, tuple(problems))


def _items(document: Any) -> list[Any] | None:
    """The items of a pending list: approvals come bare (5.18, 9.6), questions under a name (9.6). None: there is no list,
    which is not the same as an empty one."""
    if isinstance(document, list):
        return document
    values = document.values() if isinstance(document, dict) else ()
    return next((value for value in values if isinstance(value, list)), None)


def _mentions(document: Any, key: str) -> int:
    """How many items of a pending list belong to the session: its key may sit at any depth (shapes differ)."""
    return sum(_holds(item, key) for item in _items(document) or ())


def _holds(item: Any, key: str) -> bool:
    """Without recursion: as deep as a decoder goes, Python does not go twice."""
    values = [item]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list):
            values += value
        elif value == key:
            return True
    return False


# ---------------------------------------------------------------- the scheduler's log


class _CronRun(msgspec.Struct, rename="camel"):
    ts: Millis = None
    action: str | None = None
    status: str | None = None
    session_id: str | None = None
    session_key: str | None = None


class _CronRuns(msgspec.Struct):
    entries: list[msgspec.Raw] = msgspec.field(default_factory=list)


_run_decoder = msgspec.json.Decoder(_CronRun)


def cron_run_ended(payload: msgspec.Raw, session: Session) -> str | None:
    """How the scheduler's log says that this very run ended (``ok``, ``error``, ...); None when it does not say.

    Only an entry that names the session (by id or key) and was written after the row's run began speaks of it.
    """
    if session.started_at is None:
        return None
    try:
        entries = decoded(payload, _CronRuns, "cron.runs").entries
    except errors.AnswerUnreadable:
        return None
    for raw in entries:
        try:
            run = decode(_run_decoder, raw)
        except Undecodable:
            continue
        at: datetime | None = instant(run.ts)
        is_its = session.session_id is not None and run.session_id == session.session_id
        is_its = is_its or (run.session_id is None and run.session_key == session.key)
        if (
            run.action == "finished"
            and is_its
            and at is not None
            # guard: the log of this very run
            and at >= session.started_at
        ):
            return run.status or "ended"
    return None
