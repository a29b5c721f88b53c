"""What waits for a person, and what the scheduler's log says of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.model import Session, SessionKind, Status
from watchdog.gateway.sessions.pending import Waiting, cron_run_ended, read_waiting
from watchdog.service import errors

BEGAN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MS = round(BEGAN.timestamp() * 1000)
CRON = Session("agent:main:cron:job-1", Status.RUNNING, "sid-1", SessionKind.CRON, started_at=BEGAN)
ENDED = {"ts": MS + 60_000, "jobId": "job-1", "action": "finished", "status": "ok"}


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({**ENDED, "sessionId": "sid-1"}, "ok"),
        ({**ENDED, "sessionKey": CRON.key}, "ok"),
        ({**ENDED, "sessionId": "sid-1", "status": "error"}, "error"),
        ({**ENDED, "sessionId": "sid-1", "status": None}, "ended"),
        ({**ENDED, "sessionId": "sid-1", "ts": MS}, "ok"),
        ({**ENDED, "sessionId": "sid-1", "ts": MS - 1}, None),
        ({**ENDED, "sessionId": "sid-0", "sessionKey": CRON.key}, None),
        ({**ENDED, "sessionKey": "agent:main:cron:job-2"}, None),
        (ENDED, None),
        ({**ENDED, "sessionId": "sid-1", "action": "started"}, None),
        ({**ENDED, "sessionId": "sid-1", "ts": None}, None),
        ({**ENDED, "sessionId": 5}, None),
        ("text", None),
    ],
)
def test_only_an_entry_of_this_very_run_ends_it(entry: Any, says: str | None) -> None:
    assert cron_run_ended(_raw({"entries": [entry]}), CRON) == says
    assert cron_run_ended(_raw({"entries": ["text", {}, entry]}), CRON) == says


def test_a_row_without_a_start_is_never_said_to_have_ended() -> None:
    assert cron_run_ended(_raw({"entries": [{**ENDED, "sessionId": "sid-1"}]}), replace(CRON, started_at=None)) is None


@given(st.binary(max_size=200))
def test_whatever_the_log_answers_it_is_read_or_says_nothing(data: bytes) -> None:
    assert cron_run_ended(msgspec.Raw(data), CRON) in (None, "ok")


def test_an_earlier_run_of_the_same_session_says_nothing() -> None:
    later = replace(CRON, started_at=BEGAN + timedelta(hours=1))
    assert cron_run_ended(_raw({"entries": [{**ENDED, "sessionId": "sid-1"}]}), later) is None


async def test_a_refused_list_is_named_and_the_others_count() -> None:
    async def call(method: str, _params: dict[str, Any]) -> msgspec.Raw:
        if method == "exec.approval.list":
            raise errors.RequestRefused("home: no.", code="FORBIDDEN")
        return msgspec.Raw(b"\xff") if method == "question.list" else _raw([{"request": {"sessionKey": CRON.key}}])

    waiting = await read_waiting(["exec.approval.list", "plugin.approval.list", "question.list"], call)
    assert waiting.approvals(CRON) == 1
    assert waiting.questions(CRON) is None
    assert [problem.partition(":")[0] for problem in waiting.problems] == ["exec.approval.list", "question.list"]


def test_nothing_answered_is_nothing_known() -> None:
    assert (Waiting({}).approvals(CRON), Waiting({}).questions(CRON)) == (None, None)
    assert Waiting({"question.list": {"questions": []}}).questions(CRON) == 0


@pytest.mark.parametrize("depth", [100, 400, 800])
async def test_a_list_that_is_deeper_than_python_goes_twice_is_looked_through(depth: int) -> None:
    """A decoder goes down to some 900 levels; a function that calls itself for each needs twice as many."""
    raw = b'[{"deep":' + b"[" * depth + b'"agent:main:main"' + b"]" * depth + b"}]"

    async def call(_method: str, _params: dict[str, Any]) -> msgspec.Raw:
        return msgspec.Raw(raw)

    waiting = await read_waiting(["exec.approval.list"], call)
    session = Session("agent:main:main", Status.RUNNING)
    assert waiting.approvals(session) == 1
    assert waiting.approvals(replace(session, key="agent:main:other")) == 0
