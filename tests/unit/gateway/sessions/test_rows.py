"""Rows of ``sessions.list``, real ones of every version and broken ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.gateway.shapes import (
    ROW_96_FAILED,
    ROW_96_GROUP,
    ROW_96_STUCK_CRON,
    ROW_96_TOMBSTONED,
    ROW_324_DM,
    ROW_324_GROUP,
    ROW_324_HANG,
    ROW_518_LIVE_CHANNEL,
    ROW_AFTER_RESET,
    Row,
    raw,
)
from watchdog.core.model import ReplyAddress, Session, SessionKind, Status
from watchdog.gateway.sessions.rows import REMEMBERED, decode_rows
from watchdog.gateway.wire.timestamps import instant

MAIN = "agent:main:main"


def _read(row: object) -> Session:
    sessions, malformed = decode_rows([raw(row)], MAIN)
    assert malformed == []
    (session,) = sessions
    return session


def test_the_row_of_a_hang_on_324() -> None:
    session = _read(ROW_324_HANG)
    assert (session.key, session.status) == ("agent:main:zombie", Status.RUNNING)
    assert session.started_at == datetime(2026, 11, 20, 8, 44, 2, 20_000, tzinfo=UTC)
    assert session.updated_at is not None
    assert session.started_at is not None
    assert (session.updated_at - session.started_at).total_seconds() == pytest.approx(15.055)
    assert session.aborted_last_run is False
    assert (session.has_active_run, session.active_run_ids, session.session_id) == (None, None, None)
    assert session.agent_id == "main"


def test_a_group_and_a_direct_chat() -> None:
    group, direct = _read(ROW_324_GROUP), _read(ROW_324_DM)
    assert (group.kind, group.status, group.channel) == (SessionKind.GROUP, Status.DONE, "irc")
    assert group.reply_address == ReplyAddress("irc", "irc:#g1", "default")
    assert group.ended_at is not None
    assert (direct.kind, direct.channel) == (SessionKind.MAIN, "irc")
    assert direct.reply_address == ReplyAddress("irc", "irc:alice", "default")


def test_the_live_chat_app_run_of_518_that_looks_dead() -> None:
    session = _read(ROW_518_LIVE_CHANNEL)
    assert (session.status, session.has_active_run, session.active_run_ids) == (Status.RUNNING, False, None)


def test_the_stuck_row_of_96_whole() -> None:
    session = _read(ROW_96_STUCK_CRON)
    assert (session.kind, session.status) == (SessionKind.CRON, Status.RUNNING)
    assert (session.has_active_run, session.active_run_ids) == (False, ())
    assert session.session_id == "6326df87-87ab-4da9-a483-80d8afb44969"
    assert session.parent_key is None, "parentSessionKey alone makes no child: every created session has it"
    assert not session.is_placed_elsewhere
    assert not session.is_archived


def test_other_rows_of_96() -> None:
    group, failed, tomb = _read(ROW_96_GROUP), _read(ROW_96_FAILED), _read(ROW_96_TOMBSTONED)
    assert group.last_run_id == "8100060f-"
    assert group.reply_address == ReplyAddress("irc", "channel:#g1", "default"), "exactly as the row says it"
    assert failed.last_run_error == "Error: restart recovery claim changed before agent adoption"
    assert tomb.restart_recovery_status == "tombstoned"
    strange = _read({**ROW_96_GROUP, "status": "hibernating" * 9})
    assert (strange.status, strange.unknown_status) == (Status.OTHER, ("hibernating" * 9)[:40])
    assert group.unknown_status is None


def test_a_row_without_a_status_never_ran_or_was_reset() -> None:
    assert _read(ROW_AFTER_RESET).status is Status.ABSENT
    assert _read({"key": "k", "status": None}).status is Status.ABSENT


@pytest.mark.parametrize("word", ["queued", "running", "done", "failed", "killed", "timeout"])
def test_every_status(word: str) -> None:
    assert _read({"key": "k", "status": word}).status == word


def test_a_status_to_come() -> None:
    assert _read({"key": "k", "status": "blocked"}).status is Status.OTHER


# ---------------------------------------------------------------- broken rows


BROKEN: list[tuple[object, str | None]] = [
    (None, None),
    ([], None),
    ("agent:main:x", None),
    ({}, None),
    ({"key": None}, None),
    ({"key": 7}, None),
    ({"key": ""}, None),
    ({"key": "k", "status": 7}, "k"),
    ({"key": "k", "startedAt": "yesterday"}, "k"),
    ({"key": "k", "hasActiveRun": "false"}, "k"),
    ({"key": "k", "hasActiveRun": 0}, "k"),
    ({"key": "k", "activeRunIds": [None]}, "k"),
    ({"key": "k", "deliveryContext": "irc"}, "k"),
    ({"key": "k", "sessionId": {"id": "secret-text"}}, "k"),
]


@pytest.mark.parametrize(("row", "key"), BROKEN)
def test_a_row_that_cannot_be_read_is_reported_and_blinds_nothing(row: object, key: str | None) -> None:
    sessions, (report,) = decode_rows([raw(ROW_324_HANG), raw(row), raw(ROW_96_GROUP)], MAIN, first_position=250)
    assert [session.key for session in sessions] == ["agent:main:zombie", "agent:main:irc:group:#g1"]
    assert report.position == 251
    assert report.key == key
    assert report.reason
    assert "secret" not in report.reason


def test_documents_that_are_cut_and_documents_without_a_bottom() -> None:
    rows = [
        msgspec.Raw(b'{"key":"\xff"'),
        msgspec.Raw(b'{"key":"k","placement":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        msgspec.Raw(b"{"),
    ]
    sessions, malformed = decode_rows(rows, MAIN)
    assert sessions == []
    assert [report.position for report in malformed] == [0, 1, 2]


def test_unknown_fields_and_those_that_nobody_reads_are_ignored() -> None:
    assert _read({"key": "k", "isMain": 1, "status": "running"}).status is Status.RUNNING
    assert _read({"key": "k", "brandNew": {"deep": [1]}, "status": "running"}).status is Status.RUNNING


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"startedAt": 1795164242020.75}, datetime(2026, 11, 20, 8, 44, 2, 20_750, tzinfo=UTC)),
        ({"startedAt": 1_577_836_800_000}, datetime(2020, 1, 1, tzinfo=UTC)),
        ({"startedAt": 1_577_836_799_999}, None),
        ({"startedAt": 1_795_168_161}, None),  # seconds
        ({"startedAt": 0}, None),
        ({"startedAt": -5}, None),
        ({"startedAt": 1e300}, None),
        ({"startedAt": 10**30}, None),
        ({"startedAt": 253_402_300_798_000}, None),  # whoever adds a span to it raises
        ({"startedAt": 7_258_118_400_000}, None),
        ({"startedAt": 10**400}, None),
    ],
)
def test_times_may_be_floats_and_nonsense_is_unknown(row: Row, expected: datetime | None) -> None:
    assert _read({"key": "k", **row}).started_at == expected


@given(millis=st.none() | st.integers() | st.floats(allow_nan=True))
def test_any_number_is_a_time_or_unknown(millis: float | None) -> None:
    at = instant(millis)
    assert at is None or at.tzinfo is UTC


@pytest.mark.parametrize(
    ("context", "address"),
    [
        (None, None),
        ({}, None),
        ({"channel": "irc"}, None),
        ({"to": "irc:alice"}, None),
        ({"channel": "webchat", "to": "x"}, None),
        ({"channel": "irc", "to": ""}, None),
        ({"channel": "irc", "to": "agent:main:irc:group:#k11"}, None),
        ({"channel": "telegram", "to": "7", "threadId": 12}, ReplyAddress("telegram", "7", None, "12")),
        ({"channel": "telegram", "to": "7", "threadId": "t"}, ReplyAddress("telegram", "7", None, "t")),
    ],
)
def test_where_the_person_reads(context: Row | None, address: ReplyAddress | None) -> None:
    assert _read({"key": "k", "deliveryContext": context}).reply_address == address


TELEGRAM: Row = {"channel": "telegram", "to": "telegram:1001", "accountId": "default"}


@pytest.mark.parametrize(
    ("origin", "context", "writer"),
    [
        ({"from": "telegram:1001", "to": "telegram:1001"}, TELEGRAM, "1001"),
        ({"from": "telegram:1002", "to": "telegram:1001"}, TELEGRAM, "1002"),
        (
            {"from": "irc:alice!~alice@host", "to": "irc:alice"},
            {"channel": "irc", "to": "irc:alice", "accountId": "default"},
            "alice!~alice@host",
        ),
        # Not of the chat that the address leads to.
        ({"from": "telegram:1001", "to": "telegram:1002"}, TELEGRAM, None),
        ({"from": "irc:1001", "to": "telegram:1001"}, TELEGRAM, None),
        # A chat of several says the chat, not the person.
        ({"from": "telegram:group:-100600", "to": "telegram:-100600"}, {**TELEGRAM, "to": "telegram:-100600"}, None),
        ({"from": "telegram:channel:7", "to": "telegram:1001"}, TELEGRAM, None),
        ({"from": "telegram:", "to": "telegram:1001"}, TELEGRAM, None),
        ({"from": 1001, "to": "telegram:1001"}, TELEGRAM, None),
        ({"from": "telegram:1001"}, TELEGRAM, None),
        ({"from": "telegram:1001", "to": "telegram:1001"}, None, None),
        (None, TELEGRAM, None),
        ("telegram:1001", TELEGRAM, None),
    ],
)
def test_who_wrote_last_is_known_where_it_is_the_addresss_own_chat(
    origin: object, context: Row | None, writer: str | None
) -> None:
    assert _read({"key": "agent:main:main", "origin": origin, "deliveryContext": context}).last_writer == writer


def test_when_a_person_wrote_last() -> None:
    at = _read(ROW_96_STUCK_CRON).last_interaction_at
    assert at == datetime(2026, 11, 20, 8, 36, 45, 666_000, tzinfo=UTC)
    assert _read(ROW_324_GROUP).last_interaction_at is None


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"lastRunError": {"message": "x"}}, ("last_run_error", None)),
        ({"lifecycleRevision": 7}, ("lifecycle_revision", "7")),
        ({"totalTokens": 12.9}, ("total_tokens", 12)),
        ({"modelProvider": "claude-cli"}, ("model_provider", "claude-cli")),
        ({"modelProvider": ["mock"]}, ("model_provider", None)),
        ({"sessionId": ""}, ("session_id", None)),
        ({"childSessions": ["a", {"key": "b"}, 7, {}]}, ("child_keys", ("a", "b"))),
        ({"spawnedBy": "agent:main:main"}, ("parent_key", "agent:main:main")),
        ({"archived": True}, ("is_archived", True)),
        ({"placement": {"state": "cloud"}}, ("is_placed_elsewhere", True)),
        ({"placement": {"state": "failed"}}, ("is_placed_elsewhere", False)),
        ({"placement": {"state": "reclaimed"}}, ("is_placed_elsewhere", False)),
        ({"placement": {}}, ("is_placed_elsewhere", False)),
        ({"placement": "local"}, ("is_placed_elsewhere", False)),
        ({"agentId": "ops"}, ("agent_id", "ops")),
        ({"kind": "group", "displayName": "", "label": " the\n move ", "subject": "x"}, ("name", "the move")),
        ({"subject": "Team"}, ("name", "Team")),
        ({"kind": "group", "displayName": "irc:K"}, ("name", None)),
        ({"kind": "group", "displayName": ["a"], "label": 7}, ("name", None)),
        ({"kind": "group", "displayName": "x" * 61}, ("name", "x" * 59 + "…")),
        ({"derivedTitle": "my words", "lastMessagePreview": "my words"}, ("name", None)),
        ({"channel": "irc", "lastChannel": "telegram"}, ("channel", "irc")),
        ({"lastChannel": "telegram"}, ("channel", "telegram")),
    ],
)
def test_single_fields(row: Row, expected: tuple[str, Any]) -> None:
    name, value = expected
    assert getattr(_read({"key": "k", **row}), name) == value


@pytest.mark.parametrize(
    ("key", "said", "origin", "name"),
    [
        ("agent:main:telegram:group:-100", "telegram:g-team", "Team id:-100", "telegram:g-team"),
        ("agent:main:telegram:group:-100:topic:11", "Team / holidays", None, "Team / holidays"),
        ("agent:main:slack:channel:c1", "Slack thread #room: my words", "Slack thread #room: my words", "the move"),
        ("agent:main:slack:channel:c1:thread:17.5", "Slack thread #room: my words", "#room", "the move"),
        ("agent:main:main", "+4915112345678", "+4915112345678", "the move"),
        ("agent:main:whatsapp:direct:+49151", "Alice Ames", "another writer by now", "the move"),
        ("agent:main:dashboard:x", "How to tell my boss", None, "the move"),
    ],
)
def test_a_name_is_what_people_call_it_and_never_a_persons_words_or_number(
    key: str, said: str, origin: str | None, name: str
) -> None:
    row = {"key": key, "displayName": said, "origin": {"label": origin}, "label": "the move"}
    assert _read(row).name == name
    del row["label"]
    assert _read(row).name == (None if name == "the move" else name)


@pytest.mark.parametrize(
    ("key", "row", "kind"),
    [
        ("agent:main:main", {}, SessionKind.MAIN),
        ("agent:ops:main", {}, SessionKind.MAIN),
        ("agent:main:irc:direct:alice", {}, SessionKind.DIRECT),
        ("agent:main:telegram:dm:7", {}, SessionKind.DIRECT),
        ("agent:main:irc:group:#g1", {}, SessionKind.GROUP),
        ("agent:main:discord:channel:9", {}, SessionKind.GROUP),
        ("agent:main:cron:k1", {"kind": "direct"}, SessionKind.CRON),
        ("agent:main:acp:x", {}, SessionKind.ACP),
        ("agent:main:hook:x", {}, SessionKind.HOOK),
        ("agent:main:subagent:x", {}, SessionKind.SUBAGENT),
        ("agent:main:x:subagent:y", {}, SessionKind.SUBAGENT),
        ("agent:main:x", {"subagentRole": "worker"}, SessionKind.SUBAGENT),
        ("agent:main:x", {"spawnDepth": 1}, SessionKind.OTHER),
        ("agent:main:x", {"classification": "cron"}, SessionKind.CRON),
        ("agent:main:x", {"kind": "direct"}, SessionKind.DIRECT),
        ("agent:main:x", {"kind": "group"}, SessionKind.GROUP),
        ("global", {"kind": "global"}, SessionKind.OTHER),
        ("cron:k", {}, SessionKind.CRON),
        ("agent", {}, SessionKind.OTHER),
    ],
)
def test_kinds(key: str, row: Row, kind: SessionKind) -> None:
    assert _read({"key": key, **row}).kind is kind


def test_a_row_that_is_the_same_to_the_byte_is_the_same_value() -> None:
    assert _read(ROW_96_GROUP) is _read(ROW_96_GROUP)


def test_a_row_read_before_means_what_its_bytes_and_the_main_key_say() -> None:
    row = {"key": "agent:main:home", "status": "done"}
    kinds = [decode_rows([raw(row)], key)[0][0].kind for key in (None, "agent:main:home", None, "agent:main:other")]
    assert kinds == [SessionKind.OTHER, SessionKind.MAIN, SessionKind.OTHER, SessionKind.OTHER]
    assert _read({**row, "status": "running"}).status is Status.RUNNING


def test_a_row_that_cannot_be_read_is_told_every_time() -> None:
    for position in (3, 4):
        sessions, malformed = decode_rows(
            [raw({"key": "k", "status": 7}), raw({"key": ""})], MAIN, first_position=position
        )
        assert sessions == []
        assert [(bad.position, bad.key) for bad in malformed] == [(position, "k"), (position + 1, None)]


def test_a_list_longer_than_what_is_remembered_is_read_whole() -> None:
    raws = [raw({"key": f"agent:main:s{number}", "totalTokens": number}) for number in range(REMEMBERED + 1)]
    for _ in range(2):
        sessions, malformed = decode_rows(raws, MAIN)
        assert [session.total_tokens for session in sessions] == list(range(REMEMBERED + 1))
        assert malformed == []
