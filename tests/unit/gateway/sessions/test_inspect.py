"""A closer look at one session: what is asked where, and what could not be read is unknown and named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.gateway.scene import ADMIN, LADDER, MAIN, READ, SESSION, V96, V324, V414, V518, WEB, WRITE, scene_with
from tests.unit.gateway.server import CHALLENGE_TS, Answer, Closed, Refused, Silent
from tests.unit.gateway.shapes import ABORTED_SILENT, INJECTED_ABORT, TOOL_RESULT, Row, assistant, user
from watchdog.core.model import ChatAccount, Lock, LockSight, ReplyAddress, Session, TailKind
from watchdog.core.policy import Step
from watchdog.gateway.sessions.inspect import HISTORY_LONG, HISTORY_SHORT
from watchdog.service import errors
from watchdog.service.ports import Wants

from .test_asked_in import entry, prompt


async def test_nothing_is_looked_up_that_is_not_wanted() -> None:
    async with scene_with(state_dir="/s") as scene:
        before = len(scene.gateway.asked)
        look = await scene.client.look(SESSION, Wants())
        assert len(scene.gateway.asked) == before
        assert scene.host.locks_asked == []
    assert (look.lock, look.tail, look.preflight, look.problems) == (None, None, None, ())


async def test_the_lock_is_looked_at_on_the_gateways_own_machine() -> None:
    async with scene_with(state_dir="/state", **V324) as scene:
        scene.host.sight = LockSight(Lock.HELD_BY_OTHER, 99)
        look = await scene.client.look(SESSION, Wants(lock=True))
        assert (await scene.client.look(replace(SESSION, session_id=None), Wants(lock=True))).lock is None
    assert look.lock == LockSight(Lock.HELD_BY_OTHER, 99)
    assert scene.host.locks_asked == [("/state", "main", "sid-1", 4711)]


CLAUDE = {"agents": {"defaults": {"model": {"primary": "anthropic/opus", "fallbacks": ["claude-cli/opus"]}}}}


@pytest.mark.parametrize(("config", "is_taken"), [({}, True), (CLAUDE, False)])
@pytest.mark.parametrize("lock", [Lock.NONE, Lock.OWNER_GONE])
async def test_where_nobody_holds_the_lock_the_configuration_tells_whether_a_program_may_run(
    lock: Lock, config: Row, *, is_taken: bool
) -> None:
    async with scene_with(state_dir="/state", answers={"config__get": {"config": config}}, **V324) as scene:
        scene.host.sight = LockSight(lock)
        at_sign_in = len(scene.gateway.asked_for("config.get"))
        look = await scene.client.look(SESSION, Wants(lock=True))
        await scene.client.look(SESSION, Wants(lock=True))
        assert len(scene.gateway.asked_for("config.get")) == at_sign_in + 1
    assert look.lock == LockSight(lock, is_taken_by_every_run=is_taken)
    assert look.problems == ()


async def test_a_configuration_that_cannot_be_read_may_name_a_program() -> None:
    refused = Refused({"code": "INVALID_REQUEST", "message": "no"})
    async with scene_with(state_dir="/state", answers={"config__get": refused}, **V324) as scene:
        scene.host.sight = LockSight(Lock.NONE)
        look = await scene.client.look(SESSION, Wants(lock=True))
    assert look.lock == LockSight(Lock.NONE, is_taken_by_every_run=False)
    (problem,) = look.problems
    assert problem.startswith("config.get: ")


async def test_where_a_lock_proves_no_end_no_configuration_is_asked_for() -> None:
    async with scene_with(state_dir="/state") as scene:
        scene.host.sight = LockSight(Lock.NONE)
        await scene.client.look(SESSION, Wants(lock=True))
        assert scene.gateway.asked_for("config.get") == []
    async with scene_with(state_dir="/state", **V324) as scene:
        scene.host.sight = LockSight(Lock.HELD_BY_GATEWAY, 4711)
        at_sign_in = len(scene.gateway.asked_for("config.get"))
        await scene.client.look(SESSION, Wants(lock=True))
        assert len(scene.gateway.asked_for("config.get")) == at_sign_in


async def test_no_file_of_another_machine_is_looked_at() -> None:
    async with scene_with(state_dir=None, **V324) as scene:
        assert (await scene.client.look(SESSION, Wants(lock=True))).lock is None
    assert scene.host.locks_asked == []


IDLE_96: Row = {
    "queueSize": 0,
    "pendingReplies": 0,
    "embeddedRuns": 0,
    "cronRuns": 0,
    "backgroundExecSessions": 0,
    "rootRequests": 0,
    "activeTasks": 0,
    "totalActive": 0,
}


@pytest.mark.parametrize(
    ("counts", "total"),
    [
        (IDLE_96, 0),
        ({"queueSize": 2, "pendingReplies": 1, "embeddedRuns": 1, "activeTasks": 0, "totalActive": 4}, 4),
        ({"queueSize": 0, "embeddedRuns": 1, "totalActive": 0}, 1),
        ({"totalActive": 0}, 0),
        ({"totalActive": 3}, 3),
        ({"embeddedRuns": 0}, None),
        ({}, None),
        ({"totalActive": "0"}, None),
        ({"embeddedRuns": {}, "totalActive": -1.5}, None),
        ({"totalActive": False}, None),
        ({"totalActive": 0.5}, 1),
        (None, None),
    ],
)
async def test_what_the_gateway_counts(counts: Row | None, total: int | None) -> None:
    answer: Row = {"safe": True, "counts": counts, "blockers": []}
    async with scene_with(answers={"gateway__restart__preflight": answer}) as scene:
        look = await scene.client.look(SESSION, Wants(preflight=True))
    assert (look.preflight.total_active if look.preflight is not None else None) == total
    assert (look.problems == ()) is (total is not None)


RECOVERY = {"kind": "root-request", "message": "1 active gateway request(s): main-session:startup-recovery"}


def _recovery_by(name: str) -> Row:
    return RECOVERY | {"message": f"1 active gateway request(s): {name}"}


BESIDE_ANOTHER = RECOVERY | {
    "message": "2 active gateway request(s): startup:sidecars.control-ui-assets, main-session:startup-recovery"
}


@pytest.mark.parametrize(
    ("blockers", "counts", "says"),
    [
        ([RECOVERY | {"task": {"title": "please send my salary"}}], IDLE_96, True),
        ([BESIDE_ANOTHER], IDLE_96, True),
        ([_recovery_by("main-session:restart-recovery")], IDLE_96, True),
        ([_recovery_by("main-session:target-recovery")], IDLE_96, True),
        ([{"kind": "root-request", "message": "1 active gateway request(s): chat.send"}], IDLE_96, False),
        ([{"kind": "task", "message": "main-session: what a person wrote"}], IDLE_96, False),
        ([], IDLE_96, False),
        (None, IDLE_96, False),
        ([7, {"kind": "root-request", "message": 7}], IDLE_96, False),
        ([RECOVERY], {"totalActive": 3}, None),
    ],
    ids=[
        "named",
        "named beside another",
        "after a restart, by source",
        "of one target, by source",
        "another request",
        "somebody's words",
        "nothing",
        "no list",
        "nonsense",
        "5.18 counts no root requests",
    ],
)
async def test_whether_the_gateway_names_its_own_recovery(blockers: object, counts: Row, says: bool | None) -> None:
    answer: Row = {"safe": False, "counts": counts, "blockers": blockers}
    async with scene_with(answers={"gateway__restart__preflight": answer}) as scene:
        look = await scene.client.look(SESSION, Wants(preflight=True))
    assert look.preflight is not None
    assert look.preflight.is_recovering is says


@pytest.mark.parametrize("version", [V324, V414], ids=["3.24", "4.14"])
async def test_preflight_is_not_asked_for_where_it_does_not_exist(version: dict[str, Any]) -> None:
    async with scene_with(**version) as scene:
        look = await scene.client.look(SESSION, Wants(preflight=True))
    assert look.preflight is None
    assert scene.gateway.asked_for("gateway.restart.preflight") == []


async def test_the_transcript_is_read_a_little_further_when_the_request_lies_further_back() -> None:
    def grown(params: dict[str, Any]) -> Answer:
        return {"messages": [user("the request"), *[TOOL_RESULT] * 60][-params["limit"] :]}

    async with scene_with() as scene:
        scene.gateway.answers["chat.history"] = grown
        look = await scene.client.look(SESSION, Wants(tail=True))
    assert look.tail is not None
    assert (look.tail.kind, look.tail.request) == (TailKind.TOOL_RESULT, "the request")
    limits = [params["limit"] for params in scene.gateway.asked_for("chat.history")]
    assert limits == [HISTORY_SHORT, HISTORY_LONG]


async def test_it_is_read_further_where_another_may_have_asked_before() -> None:
    """Bob's request and his long tool loop, into which Alice wrote."""
    bobs, hers = user("delete it", senderLabel="Bob (1002)"), user("the weather?", senderLabel="Alice (1001)")
    full = [user("hi"), assistant("hello"), bobs, *[TOOL_RESULT] * 30, hers, TOOL_RESULT]
    async with scene_with() as scene:
        scene.gateway.answers["chat.history"] = lambda params: {"messages": full[-params["limit"] :]}
        look = await scene.client.look(SESSION, Wants(tail=True))
    assert look.tail is not None
    assert [one.sender.id for one in look.tail.asked] == ["1002", "1001"]
    assert look.tail.has_beginning


@pytest.mark.parametrize(
    ("version", "is_whole"),
    [(V324, False), (V414, True), (V518, True), ({}, True)],
    ids=["3.24", "4.14", "5.18", "9.6"],
)
async def test_a_long_request_is_read_whole_where_the_gateway_can(version: dict[str, Any], is_whole: bool) -> None:
    """What is not read whole is not whole in the handoff note either. 2026.3.24 refuses the question for it."""
    request = "x" * 30_000

    def cut(params: dict[str, Any]) -> Answer:
        most = params.get("maxChars", 8_000)
        return {
            "messages": [user(request if most >= len(request) else f"{request[:most]}\n...(truncated)..."), TOOL_RESULT]
        }

    async with scene_with(**version) as scene:
        scene.gateway.answers["chat.history"] = cut
        look = await scene.client.look(SESSION, Wants(tail=True))
    assert look.tail is not None
    assert (look.tail.request == request) is is_whole
    assert len(scene.gateway.asked_for("chat.history")) == 1 + is_whole


@pytest.mark.parametrize("messages", [[], [user("x"), TOOL_RESULT]])
async def test_one_look_is_enough_mostly(messages: list[Row]) -> None:
    async with scene_with(answers={"chat__history": {"messages": messages}}) as scene:
        await scene.client.look(SESSION, Wants(tail=True))
    assert len(scene.gateway.asked_for("chat.history")) == 1


@pytest.mark.parametrize(
    "answer", [{}, {"messages": [7]}, None, Refused({"code": "INTERNAL", "message": "no"})], ids=str
)
async def test_a_transcript_that_cannot_be_read_is_unknown_and_named(answer: Answer) -> None:
    async with scene_with(answers={"chat__history": answer}) as scene:
        look = await scene.client.look(SESSION, Wants(tail=True))
    assert look.tail is None
    (problem,) = look.problems
    assert problem.startswith("chat.history: ")


@pytest.mark.parametrize(
    ("limit", "lasted", "messages", "kind"),
    [
        (10, 10.0, [ABORTED_SILENT], TailKind.TIMED_OUT),
        (10, 10.015, [ABORTED_SILENT], TailKind.TIMED_OUT),
        (10, 11.99, [ABORTED_SILENT], TailKind.TIMED_OUT),
        (10, 12.0, [ABORTED_SILENT], TailKind.STOPPED),
        (10, 9.99, [ABORTED_SILENT], TailKind.STOPPED),
        (10, 10.01, [INJECTED_ABORT, ABORTED_SILENT], TailKind.STOPPED),
        (10, None, [ABORTED_SILENT], TailKind.STOPPED),
        (None, 10.01, [ABORTED_SILENT], TailKind.STOPPED),
        ("ten", 10.01, [ABORTED_SILENT], TailKind.STOPPED),
        (1e300, 10.01, [ABORTED_SILENT], TailKind.STOPPED),
    ],
)
@pytest.mark.parametrize("version", [V324, V414], ids=["3.24", "4.14"])
async def test_a_run_that_hit_its_time_limit_was_not_stopped(
    version: dict[str, Any], limit: Any, lasted: float | None, messages: list[Row], kind: TailKind
) -> None:
    config = {"parsed": {"agents": {"defaults": {} if limit is None else {"timeoutSeconds": limit}}}}
    began = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)
    ended = began + timedelta(seconds=lasted) if lasted is not None else None
    row = replace(SESSION, started_at=began, updated_at=ended)
    answers: dict[str, Answer] = {"config__get": config, "chat__history": {"messages": [user("x"), *messages]}}
    async with scene_with(answers=answers, **version) as scene:
        look = await scene.client.look(row, Wants(tail=True))
    assert look.tail is not None
    assert look.tail.kind is kind


async def test_a_run_that_hit_its_time_limit_has_done_so_whatever_touches_its_row_later() -> None:
    """A resume turn that a kill of the gateway swallowed left nothing but another ``updatedAt`` (2026.3.24)."""
    began = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)
    row = replace(SESSION, started_at=began, updated_at=began + timedelta(seconds=10))
    touched = replace(row, updated_at=began + timedelta(seconds=25))
    answers: dict[str, Answer] = {
        "config__get": {"parsed": {"agents": {"defaults": {"timeoutSeconds": 10}}}},
        "chat__history": {"messages": [user("x"), ABORTED_SILENT]},
    }

    async def kind_of(session: Session) -> TailKind:
        tail = (await scene.client.look(session, Wants(tail=True))).tail
        assert tail is not None
        return tail.kind

    async with scene_with(answers=answers, **V324) as scene:
        assert await kind_of(touched) is TailKind.STOPPED, "nobody saw how long it lasted"
        assert await kind_of(row) is TailKind.TIMED_OUT
        assert await kind_of(touched) is TailKind.TIMED_OUT
        await scene.client.close()
        await scene.client.connect()
        assert await kind_of(touched) is TailKind.TIMED_OUT, "in another life of the gateway, too"
        scene.gateway.answers["chat.history"] = {"messages": [user("x"), INJECTED_ABORT, ABORTED_SILENT]}
        assert await kind_of(touched) is TailKind.STOPPED, "a person's Stop writes itself down"
        scene.gateway.answers["chat.history"] = answers["chat__history"]
        assert await kind_of(touched) is TailKind.STOPPED


@pytest.mark.parametrize(
    ("row_says", "file_says", "kind"),
    [
        (13.7, 10.01, TailKind.TIMED_OUT),
        (0.4, 10.01, TailKind.TIMED_OUT),
        (10.01, 25.0, TailKind.TIMED_OUT),
        (13.7, 12.2, TailKind.TIMED_OUT),
        (13.7, 15.0, TailKind.STOPPED),
        (10.01, 5.0, TailKind.STOPPED),
        (10.01, 9.97, TailKind.STOPPED),
        (13.7, 9.995, TailKind.TIMED_OUT),
    ],
    ids=[
        "row late",
        "row lost",
        "file touched",
        "file slow",
        "both late",
        "Stop, then touched",
        "Stop, just before",
        "tick early",
    ],
)
async def test_the_transcripts_file_says_when_a_run_ended(row_says: float, file_says: float, kind: TailKind) -> None:
    """Seen in an hour of churn on a busy machine (2026.3.24): rows written 2 to 4 s after the run had hit its limit, and
    two never, because the gateway was killed in between."""
    began = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)
    row = replace(SESSION, started_at=began, updated_at=began + timedelta(seconds=row_says))
    answers: dict[str, Answer] = {
        "config__get": {"parsed": {"agents": {"defaults": {"timeoutSeconds": 10}}}},
        "chat__history": {"messages": [user("x"), ABORTED_SILENT]},
    }
    async with scene_with(answers=answers, state_dir="/state", **V324) as scene:
        scene.host.written_at = began + timedelta(seconds=file_says)
        look = await scene.client.look(row, Wants(tail=True))
    assert look.tail is not None
    assert look.tail.kind is kind


async def test_no_time_limit_is_believed_that_an_agent_overrides() -> None:
    agents = {"defaults": {"timeoutSeconds": 10}, "list": [{"id": "main", "timeoutSeconds": 99}]}
    began = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)
    row = replace(SESSION, started_at=began, updated_at=began + timedelta(seconds=10))
    answers: dict[str, Answer] = {
        "config__get": {"parsed": {"agents": agents}},
        "chat__history": {"messages": [user("x"), ABORTED_SILENT]},
    }
    async with scene_with(answers=answers, **V324) as scene:
        look = await scene.client.look(row, Wants(tail=True))
    assert look.tail is not None
    assert look.tail.kind is TailKind.STOPPED


BUSY = Refused({"code": "UNAVAILABLE", "message": "try again in a moment", "retryable": True})


BROKEN = {"valid": False, "config": {}, "parsed": {}, "issues": [{"path": "", "message": "JSON5 parse failed"}]}
"""Somebody is editing the file; the gateway goes on with what it read before."""


@pytest.mark.parametrize(
    ("unread", "words"), [(BUSY, "try again in a moment"), (BROKEN, "not valid")], ids=["busy", "broken"]
)
async def test_what_stopped_a_run_is_unknown_while_the_time_limit_cannot_be_read(unread: Answer, words: str) -> None:
    """A life of the watchdog whose first question for it came to nothing closed a timed-out session as stopped (simulated)."""
    began = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)
    row = replace(SESSION, started_at=began, updated_at=began + timedelta(seconds=10))
    answers: dict[str, Answer] = {"config__get": unread, "chat__history": {"messages": [user("x"), ABORTED_SILENT]}}
    async with scene_with(answers=answers, **V324) as scene:
        look = await scene.client.look(row, Wants(tail=True))
        assert look.tail is None
        (problem,) = look.problems
        assert words in problem
        scene.gateway.answers["config.get"] = {"parsed": {"agents": {"defaults": {"timeoutSeconds": 10}}}}
        look = await scene.client.look(row, Wants(tail=True))
        assert look.tail is not None
        assert look.tail.kind is TailKind.TIMED_OUT
        scene.gateway.answers["config.get"] = unread
        assert scene.client._connected is not None
        scene.client._connected.inspector.forget_waiting()
        look = await scene.client.look(row, Wants(tail=True))
    assert look.tail is not None, "what was seen of a run stays so"
    assert look.tail.kind is TailKind.TIMED_OUT


async def test_a_configuration_that_is_kept_from_us_names_no_time_limit() -> None:
    answers: dict[str, Answer] = {
        "config__get": Refused({"code": "INVALID_REQUEST", "message": "no"}),
        "chat__history": {"messages": [user("x"), ABORTED_SILENT]},
    }
    async with scene_with(answers=answers, **V324) as scene:
        look = await scene.client.look(SESSION, Wants(tail=True))
    assert look.tail is not None
    assert look.tail.kind is TailKind.STOPPED


@pytest.mark.parametrize("version", [V518, V96], ids=["5.18", "9.6"])
async def test_where_a_stop_ends_the_row_the_configuration_is_not_read(version: dict[str, Any]) -> None:
    async with scene_with(**version) as scene:
        pass
    assert scene.gateway.asked_for("config.get") == []


async def test_pending_lists_are_only_asked_for_with_the_scope_they_need() -> None:
    methods = ("exec.approval.list", "question.list")
    async with scene_with(methods=methods) as scene:
        look = await scene.client.look(SESSION, Wants(pending=True))
    assert (look.pending_approvals, look.pending_questions) == (None, None)
    assert scene.gateway.asked == []


PENDING: dict[str, Answer] = {
    "exec__approval__list": [{"id": "a", "request": {"sessionKey": SESSION.key}}],
    "question__list": {"questions": []},
}
LISTS = ("health", "sessions.list", "exec.approval.list", "question.list")


@pytest.mark.parametrize("version", ["2026.5.18", "2026.9.6"])
async def test_what_waits_for_a_person_is_asked_for_as_admin_where_the_ladder_has_it(version: str) -> None:
    """5.18 shows other people's approvals to nobody else. One short connection, however many suspects."""
    async with scene_with(version=version, methods=LISTS, steps=LADDER, answers=PENDING) as scene:
        before = len(scene.link_scopes)
        for _ in range(3):
            look = await scene.client.look(SESSION, Wants(pending=True))
            assert (look.pending_approvals, look.pending_questions, look.problems) == (1, 0, ())
        assert scene.link_scopes[before:] == [(READ, WRITE, ADMIN)]
        other = await scene.client.look(WEB, Wants(pending=True))
        assert other.pending_approvals == 0
        assert {one.method for one in scene.gateway.asked if ADMIN in one.scopes} == {
            "exec.approval.list",
            "question.list",
        }
        await scene.client.list_sessions()
        await scene.client.look(SESSION, Wants(pending=True))
        assert scene.link_scopes[before:] == [(READ, WRITE, ADMIN)] * 2, "asked anew for each list of sessions"


@pytest.mark.parametrize("unread", ["exec__approval__list", "question__list"])
async def test_a_list_that_is_offered_and_cannot_be_read_is_not_an_empty_one(unread: str) -> None:
    broken: dict[str, Answer] = {**PENDING, unread: Refused({"code": "UNAVAILABLE", "message": "try later"})}
    async with scene_with(methods=LISTS, steps=LADDER, answers=broken) as scene:
        assert (await scene.client.look(SESSION, Wants(pending=True))).is_waiting_unread
    async with scene_with(methods=LISTS, steps=LADDER, answers=PENDING) as scene:
        assert not (await scene.client.look(SESSION, Wants(pending=True))).is_waiting_unread
    async with scene_with(steps=LADDER) as scene:
        look = await scene.client.look(SESSION, Wants(pending=True))
        assert not look.is_waiting_unread, "a gateway that has no such lists says nothing with them"


async def test_a_failed_sign_in_for_the_lists_is_not_repeated_for_every_suspect() -> None:
    async with scene_with(methods=LISTS, steps=LADDER, answers=PENDING) as scene:
        before = len(scene.link_scopes)
        scene.gateway.hello = lambda _params: Refused({"code": "INTERNAL", "message": "something broke"})
        for session in (SESSION, MAIN, WEB):
            look = await scene.client.look(session, Wants(pending=True))
            assert look.is_waiting_unread
            assert (look.pending_approvals, look.pending_questions) == (None, None)
            assert [problem.partition(":")[0] for problem in look.problems] == ["pending approvals and questions"]
        assert scene.link_scopes[before:] == [(READ, WRITE, ADMIN)]
        scene.gateway.hello = None
        await scene.client.list_sessions()
        look = await scene.client.look(SESSION, Wants(pending=True))
        assert (look.pending_approvals, look.is_waiting_unread) == (1, False), "tried anew for each list of sessions"


@pytest.mark.parametrize("code", ["AUTH_SCOPE_MISMATCH", "PAIRING_REQUIRED"])
async def test_who_is_no_longer_granted_admin_does_without_the_lists_as_who_never_was(code: str) -> None:
    """2026.5.18, after a deed as CLI: the device is paired with fewer scopes, and each sign-in as admin would leave a
    request for approval behind."""
    async with scene_with(methods=LISTS, steps=LADDER, answers=PENDING) as scene:
        before = len(scene.link_scopes)
        refused = {"code": "INVALID_REQUEST", "message": "not approved", "details": {"code": code}}
        scene.gateway.hello = lambda _params: Refused(refused)
        for _ in range(2):
            await scene.client.list_sessions()
            look = await scene.client.look(SESSION, Wants(pending=True))
            assert (look.pending_approvals, look.pending_questions, look.is_waiting_unread) == (None, None, False)
        assert scene.link_scopes[before:] == [(READ, WRITE, ADMIN)], "once on this connection"
        scene.gateway.hello = None


async def test_a_gateway_that_drains_while_it_is_asked_for_the_lists_ends_every_look() -> None:
    drains = Refused({"code": "UNAVAILABLE", "message": "x", "details": {"reason": "gateway-restarting"}})
    async with scene_with(methods=LISTS, steps=LADDER, answers={**PENDING, "question__list": drains}) as scene:
        for _ in range(2):
            with pytest.raises(errors.GatewayDraining):
                await scene.client.look(SESSION, Wants(pending=True))


@pytest.mark.parametrize(
    ("version", "steps"),
    [
        ("2026.4.14", LADDER),  # a sign-in costs a chat app's delivery there
        ("dev", LADDER),
        ("2026.9.6", frozenset({Step.RESUME})),
        ("2026.9.6", frozenset()),
    ],
)
async def test_nobody_signs_in_as_admin_for_a_list_alone(version: str, steps: frozenset[Step]) -> None:
    async with scene_with(version=version, methods=LISTS, steps=steps, answers=PENDING) as scene:
        before = len(scene.link_scopes)
        look = await scene.client.look(SESSION, Wants(pending=True))
        assert (look.pending_approvals, look.pending_questions) == (None, None)
        assert scene.link_scopes[before:] == []


async def test_the_log_of_a_cron_session_is_read_and_of_no_other() -> None:
    cron = replace(SESSION, key="agent:main:cron:job-1", started_at=datetime(2026, 11, 20, 11, 0, tzinfo=UTC))
    entry = {"ts": CHALLENGE_TS * 1.1, "jobId": "job-1", "action": "finished", "status": "ok", "sessionId": "sid-1"}
    methods = ("health", "sessions.list", "cron.runs")
    async with scene_with(methods=methods, answers={"cron__runs": {"entries": [entry]}}) as scene:
        assert (await scene.client.look(SESSION, Wants(pending=True))).cron_run_ended is None
        assert scene.gateway.asked_for("cron.runs") == []
        assert (await scene.client.look(cron, Wants(pending=True))).cron_run_ended == "ok"
    assert [params["id"] for params in scene.gateway.asked_for("cron.runs")] == ["job-1"]


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ([], 0),
        ([{"sessionKey": SESSION.key}, {"sessionKey": "other"}], 1),
        ({"items": [{"request": {"session": {"key": SESSION.key}}}]}, 1),
        ({"ok": True}, None),
        ("text", None),
    ],
)
async def test_what_is_pending(answer: Answer, count: int | None) -> None:
    def generous(params: dict[str, Any]) -> Answer:
        return {
            "server": {"version": "2026.9.6"},
            "features": {"methods": ["exec.approval.list"]},
            "auth": {"scopes": ["operator.approvals"]},
        }

    async with scene_with(hello=generous, answers={"exec__approval__list": answer}) as scene:
        look = await scene.client.look(SESSION, Wants(pending=True))
    assert look.pending_approvals == count
    assert look.is_waiting_unread is (count is None), "no list is not an empty one"


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        (Closed(None), errors.GatewayClosed),
        (Closed(1012), errors.GatewayDraining),
        (Silent(), errors.GatewayUnresponsive),
    ],
)
async def test_a_lost_connection_ends_the_look(how: Answer, kind: type[errors.GatewayError]) -> None:
    async with scene_with(answers={"chat__history": how}) as scene:
        if isinstance(how, Silent):
            scene.hurry()
        with pytest.raises(kind):
            await scene.client.look(SESSION, Wants(tail=True))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("gateway-restarting", errors.GatewayDraining), ("gateway-suspending", errors.GatewaySuspended)],
)
async def test_a_draining_or_suspended_gateway_ends_the_look(reason: str, kind: type[errors.GatewayError]) -> None:
    error = {"code": "UNAVAILABLE", "message": "x", "details": {"reason": reason}}
    async with scene_with(answers={"chat__history": Refused(error)}) as scene:
        with pytest.raises(kind):
            await scene.client.look(SESSION, Wants(tail=True))


# ---------------------------------------------------------------- who may do what

ALICE: Row = user("do it", senderLabel="Alice (1001)")
RULES: Row = {"tools": {"toolsBySender": {"id:1001": {"deny": ["exec"]}}}, "channels": {"telegram": {"botToken": "x"}}}
PEOPLE = Wants(tail=True, people=True)


async def test_the_rights_of_everybody_who_asked() -> None:
    messages = [ALICE, user("and that", senderLabel="Bob (1002)"), user("ours?")]
    answers: dict[str, Answer] = {"chat__history": {"messages": messages}, "config__get": {"config": RULES}}
    async with scene_with(answers=answers, **V518) as scene:
        look = await scene.client.look(MAIN, PEOPLE)
    assert [(one.sender_id, one.has_own_rules) for one in look.rights] == [("1001", True), ("1002", False)]
    assert look.chat_accounts == (ChatAccount("telegram"),)
    assert {one.scopes for one in scene.gateway.asked} == {(READ,)}


async def test_the_configuration_is_read_once_for_each_list_of_sessions() -> None:
    """An owner may have changed the rules meanwhile."""
    answers: dict[str, Answer] = {"chat__history": {"messages": [ALICE]}, "config__get": {"config": RULES}}
    async with scene_with(answers=answers) as scene:
        for session in (SESSION, MAIN):
            assert (await scene.client.look(session, PEOPLE)).rights[0].has_own_rules
        assert len(scene.gateway.asked_for("config.get")) == 1
        scene.gateway.answers["config.get"] = {"config": {}}
        await scene.client.list_sessions()
        assert not (await scene.client.look(SESSION, PEOPLE)).rights[0].has_own_rules


@pytest.mark.parametrize("messages", [[], [user("by a client")], [user("by nobody", senderLabel=None)]])
async def test_where_no_person_asked_the_configuration_is_not_read(messages: list[Row]) -> None:
    async with scene_with(answers={"chat__history": {"messages": messages}}) as scene:
        look = await scene.client.look(MAIN, PEOPLE)
    assert scene.gateway.asked_for("config.get") == []
    assert (look.rights, look.chat_accounts) == ((), None)


@pytest.mark.parametrize("answer", [Refused({"code": "INTERNAL", "message": "no"}), {"raw": None}, [], None], ids=str)
async def test_a_configuration_that_cannot_be_read_is_unknown_and_named(answer: Answer) -> None:
    answers: dict[str, Answer] = {"chat__history": {"messages": [ALICE]}, "config__get": answer}
    async with scene_with(answers=answers) as scene:
        look = await scene.client.look(MAIN, PEOPLE)
    assert (look.rights, look.chat_accounts) == ((), None), "no rule is not to be concluded from it"
    (problem,) = look.problems
    assert problem.startswith("config.get: ")


@pytest.mark.parametrize(
    ("version", "state_dir", "session", "asks"),
    [
        (V518, "/state", SESSION, True),
        (V518, None, SESSION, False),  # of another machine
        (V518, "/state", WEB, False),
        (V324, "/state", SESSION, False),
        (V96, "/state", SESSION, False),
    ],
)
@pytest.mark.parametrize("spooled", [True, False])
async def test_what_the_chat_apps_spool_still_holds(
    version: dict[str, Any], state_dir: str | None, session: Session, asks: bool, spooled: bool
) -> None:
    async with scene_with(
        answers={"chat__history": {"messages": [user("x")]}}, state_dir=state_dir, **version
    ) as scene:
        scene.host.spooled = spooled
        look = await scene.client.look(session, PEOPLE)
    assert look.will_redeliver is (asks and spooled)
    assert scene.host.spools_asked == ([("/state", SESSION.reply_address)] if asks else [])


@pytest.mark.parametrize(
    ("version", "state_dir", "session", "chat"),
    [
        (V518, "/state", MAIN, ReplyAddress("telegram", "telegram:1001")),
        (V518, None, MAIN, None),  # of another machine
        (V518, "/state", SESSION, None),  # its key says it
        (V324, "/state", MAIN, None),
        (V96, "/state", MAIN, None),
    ],
)
async def test_in_which_chat_a_person_asked_is_read_from_the_gateways_own_file(
    version: dict[str, Any], state_dir: str | None, session: Session, chat: ReplyAddress | None
) -> None:
    answers: dict[str, Answer] = {"chat__history": {"messages": [ALICE]}, "config__get": {"config": RULES}}
    async with scene_with(answers=answers, state_dir=state_dir, **version) as scene:
        scene.host.transcript = entry(prompt(), at=ALICE["timestamp"])
        look = await scene.client.look(session, PEOPLE)
    assert look.tail is not None
    assert look.tail.asked[0].sender.chat == chat


@pytest.mark.parametrize(("version", "words"), [(V518, "do it"), (V324, "Context (untrusted):\nBob: x\n\ndo it")])
async def test_the_gateways_own_block_is_cut_where_that_version_puts_one(version: dict[str, Any], words: str) -> None:
    wrapped = user("Context (untrusted):\nBob: x\n\ndo it", senderLabel="Alice (1001)")
    async with scene_with(answers={"chat__history": {"messages": [wrapped]}}, **version) as scene:
        look = await scene.client.look(SESSION, Wants(tail=True))
    assert look.tail is not None
    assert look.tail.request == words
