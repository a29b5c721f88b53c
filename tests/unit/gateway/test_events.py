"""What events say of sessions: merged as the protocol says, kept within bounds, and never able to raise."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.model import Session, Status
from watchdog.gateway.events import MOST_KEYS, Heard, Told, merge
from watchdog.gateway.frames import Event
from watchdog.gateway.rows import decode_rows

KEY = "agent:main:main"
MILLIS = st.integers(1_600_000_000_000, 1_900_000_000_000)
FLAGS = st.booleans()
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(["running", "queued", "done", "failed", "killed", "timeout", "thinking"]),
    "sessionId": st.sampled_from(["s1", "s2"]),
    "startedAt": MILLIS,
    "updatedAt": MILLIS,
    "endedAt": MILLIS,
    "hasActiveRun": FLAGS,
    "activeRunIds": st.lists(st.sampled_from(["r1", "r2", "r3"]), max_size=3),
    "abortedLastRun": FLAGS,
    "lastRunId": st.sampled_from(["r1", "r2"]),
    "archived": FLAGS,
    "pinned": FLAGS,
}
ATTRIBUTES = {
    "status": "status",
    "sessionId": "session_id",
    "startedAt": "started_at",
    "updatedAt": "updated_at",
    "endedAt": "ended_at",
    "hasActiveRun": "has_active_run",
    "activeRunIds": "active_run_ids",
    "abortedLastRun": "aborted_last_run",
    "lastRunId": "last_run_id",
    "archived": "is_archived",
    "pinned": "is_pinned",
}
WIRE_ROWS = st.fixed_dictionaries({"key": st.just(KEY)}, optional=FIELDS)
DELTAS = st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in FIELDS.items()})


def session_of(row: dict[str, Any]) -> Session:
    (session,), _ = decode_rows([msgspec.Raw(msgspec.json.encode(row))], None)
    return session


def changed(payload: object, name: str = "sessions.changed") -> Event:
    return Event(name, msgspec.Raw(msgspec.json.encode(payload)), None)


def told(*payloads: object) -> Told:
    heard = Heard()
    heard.take()
    for payload in payloads:
        heard.hear(changed(payload))
    return heard.take()


# ---------------------------------------------------------------- merging


@given(row=WIRE_ROWS, delta=DELTAS)
def test_what_is_left_out_stays_as_it_was(row: dict[str, Any], delta: dict[str, Any]) -> None:
    before = session_of(row)
    after = merge(before, delta)
    for wire, name in ATTRIBUTES.items():
        if wire not in delta:
            assert getattr(after, name) == getattr(before, name)
    assert after.key == before.key


@given(row=WIRE_ROWS, names=st.sets(st.sampled_from(sorted(FIELDS))))
def test_null_clears(row: dict[str, Any], names: set[str]) -> None:
    after = merge(session_of(row), dict.fromkeys(names))
    never_had_them = session_of({name: value for name, value in row.items() if name not in names})
    assert after == never_had_them


@given(row=WIRE_ROWS, runs=st.lists(st.sampled_from(["r1", "r2", "r3"]), max_size=3))
def test_an_array_replaces_what_was_there(row: dict[str, Any], runs: list[str]) -> None:
    assert merge(session_of(row), {"activeRunIds": runs}).active_run_ids == tuple(runs)


@given(row=WIRE_ROWS, first=DELTAS, second=DELTAS)
def test_two_changes_are_one_change(row: dict[str, Any], first: dict[str, Any], second: dict[str, Any]) -> None:
    before = session_of(row)
    assert merge(merge(before, first), second) == merge(before, {**first, **second})


@given(row=WIRE_ROWS, now=WIRE_ROWS)
def test_an_event_with_the_whole_row_says_what_a_list_would(row: dict[str, Any], now: dict[str, Any]) -> None:
    """Nulls beside the row for what the row has no more, as 2026.9.6 sends them."""
    cleared = {name: None for name in FIELDS if name not in now}
    said = told({"sessionKey": KEY, "reason": "patch", **cleared, "session": now})
    assert merge(session_of(row), said.changes[KEY]) == session_of(now)


# ---------------------------------------------------------------- as gateways sent them

AT = 1_795_280_000_000
V9_6_TURN: list[tuple[dict[str, Any], tuple[object, ...]]] = [
    (
        {
            "sessionKey": KEY, "agentId": "main", "reason": "send", "ts": AT + 776336, "updatedAt": AT + 773899,
            "sessionId": "778cba42", "archived": False, "pinned": False, "label": None, "status": "running",
            "lastRunId": None, "hasActiveRun": True, "activeRunIds": None, "endedAt": None, "placement": None,
            "session": {
                "key": KEY, "agentId": "main", "updatedAt": AT + 773899, "archived": False, "pinned": False,
                "sessionId": "778cba42", "abortedLastRun": False, "status": "running", "hasActiveRun": True,
            },
        },
        (Status.RUNNING, True, None, None, False),
    ),
    (
        {
            "sessionKey": KEY, "phase": "end", "runId": "65f30dee", "ts": AT + 786859, "updatedAt": AT + 786923,
            "status": "done", "lastRunId": "65f30dee", "hasActiveRun": False, "activeRunIds": [],
            "session": {
                "key": KEY, "updatedAt": AT + 786923, "sessionId": "778cba42", "abortedLastRun": False,
                "status": "done", "startedAt": AT + 786703, "endedAt": AT + 786859, "lastRunId": "65f30dee",
                "hasActiveRun": False, "activeRunIds": [],
            },
        },
        (Status.DONE, False, (), "65f30dee", False),
    ),
    (
        {
            "sessionKey": KEY, "reason": "abort", "ts": AT + 821406, "status": "killed", "abortedLastRun": True,
            "lastRunId": "91446064", "hasActiveRun": False, "activeRunIds": [], "endedAt": AT + 821331,
        },
        (Status.KILLED, False, (), "91446064", True),
    ),
    (
        {"sessionKey": KEY, "sessionId": "778cba42", "agentId": "main", "reason": "delete", "ts": AT + 836364},
        (Status.KILLED, False, (), "91446064", True),
    ),
]  # fmt: skip
V5_18_TURN: list[tuple[dict[str, Any], tuple[object, ...]]] = [
    (
        {
            "sessionKey": KEY, "reason": "send", "ts": AT + 902593, "updatedAt": AT + 900296, "status": "done",
            "abortedLastRun": False, "hasActiveRun": True, "startedAt": AT + 898762, "endedAt": AT + 899503,
        },
        (Status.DONE, True, None, None, False),
    ),
    (
        {
            "sessionKey": KEY, "phase": "start", "runId": "91a1f018", "ts": AT + 904378, "status": "running",
            "session": {"key": KEY, "updatedAt": AT + 904378, "status": "running", "startedAt": AT + 904378},
        },
        (Status.RUNNING, True, None, None, False),
    ),
    (
        {
            "sessionKey": KEY, "phase": "message", "ts": AT + 904551, "updatedAt": AT + 902618, "status": "done",
            "session": {"key": KEY, "updatedAt": AT + 902618, "status": "done", "endedAt": AT + 899503},
        },
        (Status.DONE, True, None, None, False),  # it ran until 904776
    ),
]  # fmt: skip


@pytest.mark.parametrize("turn", [V9_6_TURN, V5_18_TURN], ids=["2026.9.6", "2026.5.18"])
def test_events_as_gateways_sent_them(turn: list[tuple[dict[str, Any], tuple[object, ...]]]) -> None:
    """Left out here: fields that no place and no verdict depends on. The rows of 5.18 leave out ``hasActiveRun``."""
    row = Session(KEY, Status.ABSENT)
    for payload, expected in turn:
        said = told(payload)
        assert said.is_everything
        row = merge(row, said.changes[KEY])
        seen = (row.status, row.has_active_run, row.active_run_ids, row.last_run_id, bool(row.aborted_last_run))
        assert seen == expected, payload


# ---------------------------------------------------------------- hearing


def test_the_row_inside_is_newer_than_the_fields_beside_it() -> None:
    """``phase: start`` on 2026.9.6 carries the run's start as ``updatedAt``, the row inside the store's later write."""
    flat = {"updatedAt": 1795280782880, "endedAt": None, "activeRunIds": None}
    row = {"key": KEY, "status": "running", "updatedAt": 1795280782926}
    said = told({"sessionKey": KEY, "phase": "start", "runId": "r1", **flat, "session": row})
    assert said.changes == {
        KEY: {"status": "running", "updatedAt": 1795280782926, "endedAt": None, "activeRunIds": None}
    }
    assert said.is_everything


def test_changes_of_a_session_add_up() -> None:
    said = told(
        {"sessionKey": KEY, "status": "running", "hasActiveRun": True},
        {"sessionKey": KEY, "session": {"status": "done"}},
        {"sessionKey": "other", "reason": "send"},
    )
    assert said.changes == {KEY: {"status": "done", "hasActiveRun": True}, "other": {}}
    assert merge(Session("x", Status.RUNNING), said.changes["other"]) == Session("x", Status.RUNNING)


def test_without_a_key_anything_may_have_changed() -> None:
    said = told({"reason": "cron-bindings-loaded", "ts": 1795280738491})
    assert (said.changes, said.is_everything) == ({}, False)


def test_somebody_works_on_it() -> None:
    heard = Heard()
    heard.hear(changed({"sessionKey": KEY, "stream": "lifecycle", "data": {"phase": "start"}}, "agent"))
    heard.hear(changed({"stream": "lifecycle"}, "agent"))
    heard.hear(changed({"sessionKey": "other"}, "chat"))
    assert heard.take().worked_on == {KEY}
    assert heard.take() == Told(is_everything=True, is_every_run=True)


def test_runs_are_told_of_where_other_changes_are_not() -> None:
    """What works on sessions is told to every operator; whose rows are not subscribed to is told of nothing else."""
    heard = Heard()
    assert not heard.take().is_every_run, "nobody listened before"
    heard.blur()
    told = heard.take()
    assert (told.is_every_run, told.is_everything) == (True, False)


@pytest.mark.parametrize("loss", ["missed", "unreadable", "of no session", "one too many"])
def test_runs_may_have_begun_that_nobody_told_of(loss: str) -> None:
    heard = Heard()
    heard.take()
    match loss:
        case "missed":
            heard.miss()
        case "unreadable":
            heard.hear(changed({"sessionKey": 7}, "agent"))
        case "of no session":
            heard.hear(changed({"stream": "lifecycle"}, "agent"))
        case _:
            for number in range(MOST_KEYS + 1):
                heard.hear(changed({"sessionKey": f"agent:main:{number}"}, "agent"))
    assert not heard.take().is_every_run
    assert heard.take().is_every_run


def test_at_first_and_after_a_loss_it_is_not_everything() -> None:
    heard = Heard()
    assert not heard.take().is_everything
    assert heard.take().is_everything
    heard.miss()
    said = heard.take()
    assert (said.is_everything, said.has_gap) == (False, True)
    heard.blur()
    said = heard.take()
    assert (said.is_everything, said.has_gap) == (False, False)
    assert heard.take().is_everything


def test_what_is_remembered_is_bounded_and_says_so() -> None:
    heard = Heard()
    heard.take()
    for number in range(MOST_KEYS + 10):
        heard.hear(changed({"sessionKey": f"k{number}", "status": "running"}))
        heard.hear(changed({"sessionKey": f"k{number}"}, "agent"))
    heard.hear(changed({"sessionKey": "k0", "status": "done"}))
    said = heard.take()
    assert (len(said.changes), len(said.worked_on), said.is_everything) == (MOST_KEYS, MOST_KEYS - 1, False)
    assert said.changes["k0"] == {"status": "done"}


def test_work_that_ended_is_work_no_more_until_somebody_works_again() -> None:
    heard = Heard()
    heard.hear(changed({"sessionKey": "k1"}, "agent"))
    heard.hear(changed({"sessionKey": "k1", "session": {"status": "done"}}))
    assert heard.peek().worked_on == frozenset()
    heard.hear(changed({"sessionKey": "k1"}, "agent"))  # 2026.5.18 says done in the middle of a run
    heard.hear(changed({"sessionKey": "k1", "label": "another name"}))
    assert heard.peek().worked_on == {"k1"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sessionKey", *FIELDS]), inner),
    max_leaves=8,
)


@given(payload=JSON, name=st.sampled_from(["sessions.changed", "agent"]))
def test_nothing_that_is_said_can_raise(payload: Any, name: str) -> None:
    heard = Heard()
    heard.take()
    heard.hear(changed(payload, name))
    said = heard.take()
    assert said.is_everything or not said.changes or heard.malformed == 0
    for delta in said.changes.values():
        merge(Session(KEY, Status.RUNNING), delta)


@given(raw=st.binary(max_size=40))
def test_what_cannot_be_read_is_counted_and_left_out(raw: bytes) -> None:
    heard = Heard()
    heard.take()
    heard.hear(Event("sessions.changed", msgspec.Raw(b"{" + raw), None))
    heard.hear(changed({"sessionKey": KEY, "status": 7}))
    said = heard.take()
    assert heard.malformed >= 1
    assert KEY not in said.changes
    assert not said.is_everything


def test_what_is_asked_after_is_forgotten_until_it_is_told_again() -> None:
    heard = Heard()
    heard.take()
    for key in (KEY, "agent:main:other"):
        heard.hear(changed({"sessionKey": key}, "agent"))
    heard.set_aside({KEY})
    assert heard.peek().worked_on == {"agent:main:other"}
    heard.bring_back({KEY})
    assert heard.peek().worked_on == {KEY, "agent:main:other"}
    assert heard.peek().is_every_run
