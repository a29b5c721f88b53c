"""One gateway over as many links as harmlessness needs: who asks for which scope, and what is sent how often."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from watchdog.core.model import (
    FlagWorth,
    Lock,
    LockSight,
    ReplyAddress,
    Session,
    SessionKind,
    Status,
    TailKind,
)
from watchdog.core.policy import Step
from watchdog.gateway.client import (
    HISTORY_LONG,
    HISTORY_SHORT,
    SIGN_IN_SETTLES,
    TELLING_PAUSE,
    TELLING_TRIES,
    Endpoint,
    GatewayClient,
)
from watchdog.gateway.link import Credentials
from watchdog.service import errors
from watchdog.service.ports import Deed, Wants

from .server import CHALLENGE_TS, UPTIME_MS, Answer, Answers, Closed, Raw, Refused, Silent, WireGateway, running
from .shapes import ABORTED_SILENT, INJECTED_ABORT, ROW_96_STUCK_CRON, TOOL_RESULT, Row, user
from .support import OURS, STRANGER, TOKEN, StillClock, ToldHost, secret

READ, WRITE, ADMIN = "operator.read", "operator.write", "operator.admin"
V324: dict[str, Any] = {"version": "2026.3.24", "boot_id": None, "methods": ("health", "sessions.list")}
V414: dict[str, Any] = {**V324, "version": "2026.4.14"}
V518: dict[str, Any] = {
    "version": "2026.5.18",
    "boot_id": None,
    "methods": ("health", "sessions.list", "gateway.restart.preflight"),
}
V96: dict[str, Any] = {}
SOON = 0.08
LADDER = frozenset({Step.RESUME, Step.NEW})

IRC = ReplyAddress("irc", "irc:alice", "default")
SESSION = Session(
    "agent:main:irc:direct:alice", Status.RUNNING, "sid-1", SessionKind.DIRECT, agent_id="main", reply_address=IRC
)
MAIN = replace(SESSION, key="agent:main:main", kind=SessionKind.MAIN)
WEB = replace(SESSION, key="agent:main:web", reply_address=None)


@dataclass
class Scene:
    """A gateway, our client on it, and everything the client was given."""

    gateway: WireGateway
    client: GatewayClient
    clock: StillClock
    host: ToldHost
    endpoint: Endpoint
    finds: int = 0
    tokens: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)

    @property
    def link_scopes(self) -> list[tuple[str, ...]]:
        return self.gateway.scopes_asked

    def hurry(self) -> None:
        """Wait for the next answers only a moment. Signing in on a busy machine takes longer, so not from the start."""
        self.client._patience = SOON


def _answers(**changes: Answer) -> Answers:
    made: Answers = {
        "sessions.list": {"sessions": [], "ts": CHALLENGE_TS},
        "health": {"ok": True},
        "config.get": {"parsed": {}},
    }
    return made | {name.replace("__", "."): answer for name, answer in changes.items()}


@contextlib.asynccontextmanager
async def _scene(
    *,
    steps: frozenset[Step] = frozenset(),
    state_dir: str | None = None,
    connect: bool = True,
    answers: dict[str, Answer] | None = None,
    **gateway_changes: Any,
) -> AsyncIterator[Scene]:
    gateway = WireGateway(answers=_answers(**(answers or {})), **gateway_changes)
    clock, host = StillClock(), ToldHost()
    async with running(gateway):
        scene: Scene

        def find() -> Endpoint:
            scene.finds += 1
            return scene.endpoint

        client = GatewayClient(
            "home",
            find,
            device=OURS,
            probe_device=STRANGER,
            clock=clock,
            host=host,
            steps=steps,
            patience=5.0,
            on_device_token=lambda url, scopes, token: scene.tokens.append((url, scopes, token)),
        )
        endpoint = Endpoint(gateway.url, Credentials(token=secret()), state_dir=state_dir, gateway_pid=4711)
        scene = Scene(gateway, client, clock, host, endpoint)
        try:
            if connect:
                await client.connect()
            yield scene
        finally:
            await client.close()
            await gateway.until_open(0)  # every link is closed again


def _session_row(session: Session) -> Row:
    return {"key": session.key, "status": session.status.value, "sessionId": session.session_id}


# ---------------------------------------------------------------- harmlessness of looking


async def test_watching_asks_for_read_and_nothing_else_whatever_is_looked_up() -> None:
    async with _scene(state_dir="/s", answers={"chat__history": {"messages": []}, "agent__wait": {}}) as scene:
        client = scene.client
        await client.list_sessions()
        everything = Wants(tail=True, lock=True, preflight=True, abort_probe=True, pending=True)
        await client.look(SESSION, everything)
        await client.health_problem()
        assert await client.delivered("run-1") is None
        await client.connect()
    assert scene.link_scopes == [(READ,)]
    assert {one.scopes for one in scene.gateway.asked} == {(READ,)}
    assert not {one.method for one in scene.gateway.asked} & {"sessions.abort", "agent.wait", "chat.send", "agent"}


@pytest.mark.parametrize("version", [V324, V414, V518, V96], ids=["3.24", "4.14", "5.18", "9.6"])
async def test_watching_never_probes(version: dict[str, Any]) -> None:
    async with _scene(answers={"sessions__abort": {"status": "no-active-run"}}, **version) as scene:
        look = await scene.client.look(SESSION, Wants(abort_probe=True))
        assert look.abort_probe_unauthorized is None
    assert scene.link_scopes == [(READ,)]
    assert scene.gateway.asked_for("sessions.abort") == []


@pytest.mark.parametrize(
    ("version", "probes"),
    [(V324, True), (V414, True), (V518, False), (V96, False)],
    ids=["3.24", "4.14", "5.18", "9.6"],
)
async def test_the_abort_probe_is_only_sent_where_it_is_harmless(version: dict[str, Any], probes: bool) -> None:
    unauthorized = Refused({"code": "INVALID_REQUEST", "message": "unauthorized"})
    async with _scene(steps=LADDER, answers={"sessions__abort": unauthorized}, **version) as scene:
        before = len(scene.link_scopes)
        look = await scene.client.look(SESSION, Wants(abort_probe=True))
    assert look.abort_probe_unauthorized is (True if probes else None)
    assert scene.gateway.asked_for("sessions.abort") == ([{"key": SESSION.key}] if probes else [])
    assert scene.link_scopes[before:] == ([(WRITE,)] if probes else []), "write alone: admin would kill the run"
    if probes:
        assert scene.gateway.sign_ins[-1]["device"]["id"] == STRANGER.device_id, "our own device might be the owner"


@pytest.mark.parametrize(
    ("answer", "says", "problems"),
    [
        ({"ok": True, "abortedRunId": None, "status": "no-active-run"}, False, 0),
        (Refused({"code": "INVALID_REQUEST", "message": "unauthorized"}), True, 0),
        (Refused({"code": "INVALID_REQUEST", "message": "agent not found"}), False, 0),
        (Refused({"code": "INVALID_REQUEST", "message": "missing scope: operator.write"}), None, 1),
        (Silent(), None, 1),
    ],
)
async def test_what_the_probe_learns(answer: Answer, says: bool | None, problems: int) -> None:
    async with _scene(steps=LADDER, answers={"sessions__abort": answer}, **V324) as scene:
        scene.client._patience = 0.5 if isinstance(answer, Silent) else 5.0
        look = await scene.client.look(SESSION, Wants(abort_probe=True))
    assert look.abort_probe_unauthorized is says
    assert len(look.problems) == problems


# ---------------------------------------------------------------- facts


async def test_who_answered() -> None:
    async with _scene(state_dir="/state") as scene:
        facts = await scene.client.connect()
        assert scene.client.name == "home"
    assert (facts.name, facts.version, facts.boot_id) == ("home", "2026.9.6", "boot-1")
    assert facts.booted_at == datetime.fromtimestamp((CHALLENGE_TS - UPTIME_MS) / 1000, UTC)
    assert facts.main_session_key == "agent:main:main"
    assert facts.state_dir == "/state"
    assert facts.scopes == {READ}
    assert "sessions.list" in facts.methods
    assert facts.capabilities.active_run_flag is FlagWorth.TRUSTED
    assert facts.capabilities.has_preflight
    assert scene.finds == 1


@pytest.mark.parametrize(
    ("challenge", "uptime"),
    [
        ({"nonce": "n"}, 60_000),
        ({"nonce": "n", "ts": CHALLENGE_TS}, None),
        ({"nonce": "n", "ts": CHALLENGE_TS}, -1),
        ({"nonce": "n", "ts": CHALLENGE_TS}, 1e300),
        ({"nonce": "n", "ts": 1e300}, 60_000),
        ({"nonce": "n", "ts": 0}, 60_000),
    ],
)
async def test_a_boot_that_is_not_said_is_unknown_and_never_now(challenge: dict[str, Any], uptime: Any) -> None:
    """Otherwise every running row would have started before it, and be an orphan."""
    async with _scene(challenge=challenge, uptime_ms=uptime) as scene:
        facts = await scene.client.connect()
    assert facts.booted_at is None


async def test_a_hello_that_says_nothing() -> None:
    async with _scene(hello={}) as scene:
        facts = await scene.client.connect()
        await scene.client.list_sessions()
    assert (facts.version, facts.booted_at, facts.boot_id, facts.methods) == ("unknown", None, None, frozenset())
    assert facts.capabilities.active_run_flag is FlagWorth.PROVES_LIFE_ONLY


async def test_how_far_the_clocks_are_apart() -> None:
    ours = StillClock().now().wall
    ahead = int((ours + timedelta(minutes=3)).timestamp() * 1000)
    async with _scene(challenge={"nonce": "n", "ts": ahead}) as scene:
        assert scene.client.clock_skew() == timedelta(minutes=3)
    async with _scene(challenge={"nonce": "n"}) as scene:
        assert scene.client.clock_skew() is None


async def test_a_device_token_is_kept() -> None:
    def issuing(params: dict[str, Any]) -> Answer:
        return {"auth": {"deviceToken": "issued", "scopes": params["scopes"]}, "server": {"version": "2026.9.6"}}

    async with _scene(hello=issuing) as scene:
        pass
    assert scene.tokens == [(scene.gateway.url, (READ,), "issued")]


# ---------------------------------------------------------------- connecting again


async def test_connecting_twice_is_connecting_once() -> None:
    async with _scene() as scene:
        first = await scene.client.connect()
        assert await scene.client.connect() is first
    assert len(scene.gateway.sign_ins) == 1


async def test_after_a_loss_everything_is_looked_up_afresh() -> None:
    async with _scene() as scene:
        first = await scene.client.connect()
        await scene.gateway.end(Closed(1012, shutdown=True))
        with pytest.raises(errors.GatewayDraining):
            await scene.client.list_sessions()
        scene.gateway.boot_id = "boot-2"
        second = await scene.client.connect()
        assert (first.boot_id, second.boot_id) == ("boot-1", "boot-2")
        assert scene.finds == 2


@pytest.mark.parametrize("notices_first", [True, False])
async def test_a_loss_is_said_once(notices_first: bool) -> None:
    async with _scene() as scene:
        assert scene.client.take_loss() is None
        await scene.gateway.end(Closed(None))
        with pytest.raises(errors.GatewayClosed):
            await scene.client.health_problem()
        if notices_first:
            loss = scene.client.take_loss()
            await scene.client.connect()
        else:
            await scene.client.connect()
            loss = scene.client.take_loss()
        assert loss is not None
        assert isinstance(loss.error, errors.GatewayClosed)
        assert loss.at == scene.clock.now()
        assert scene.client.take_loss() is None
        await scene.client.connect()
        assert scene.client.take_loss() is None


async def test_closing_ourselves_is_no_loss() -> None:
    async with _scene() as scene:
        await scene.client.close()
        assert scene.client.take_loss() is None
        with pytest.raises(errors.GatewayClosed):
            await scene.client.list_sessions()


async def test_a_gateway_that_hangs_is_told_from_one_that_is_gone() -> None:
    async with _scene(answers={"health": Silent()}) as scene:
        scene.hurry()
        with pytest.raises(errors.GatewayUnresponsive):
            await scene.client.health_problem()
        scene.client._patience = 5.0
        assert scene.client.take_loss() is None
        scene.gateway.answers["health"] = {"ok": True}
        await scene.client.connect()
        assert await scene.client.health_problem() is None
    assert len(scene.gateway.sign_ins) == 2


@pytest.mark.parametrize(
    ("health", "is_sick"),
    [
        ({"ok": True}, False),
        ({"eventLoop": {"degraded": False}}, False),
        ({"eventLoop": {"degraded": True, "reasons": ["delay"]}}, True),
        ({"eventLoop": None}, False),
        ([], False),
        (None, False),
    ],
)
async def test_what_the_gateway_says_of_its_own_health(health: Answer, is_sick: bool) -> None:
    async with _scene(answers={"health": health}) as scene:
        assert (await scene.client.health_problem() is not None) is is_sick


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"delayP99Ms": 4211.7, "utilization": 0.984}, "is degraded (delay 4212 ms, 98% busy);"),
        ({"delayP99Ms": 21}, "is degraded (delay 21 ms);"),
        ({"delayP99Ms": "much", "utilization": None}, "is degraded;"),
        ({"delayP99Ms": 1e300}, "is degraded;"),
    ],
)
async def test_a_degraded_event_loop_is_told_with_its_figures(figures: dict[str, Any], says: str) -> None:
    async with _scene(answers={"health": {"eventLoop": {"degraded": True, **figures}}}) as scene:
        problem = await scene.client.health_problem()
    assert says in str(problem)


# ---------------------------------------------------------------- listing


@pytest.mark.parametrize(
    ("version", "params"),
    [
        (V324, {"includeGlobal": True, "includeUnknown": True}),
        (V414, {"includeGlobal": True, "includeUnknown": True}),
        (V518, {"includeGlobal": True, "includeUnknown": True, "limit": 250}),
        (V96, {"includeGlobal": True, "includeUnknown": True, "limit": 250}),
        ({"version": "dev"}, {"includeGlobal": True, "includeUnknown": True}),
    ],
    ids=["3.24", "4.14", "5.18", "9.6", "dev"],
)
async def test_how_each_version_is_asked_for_its_list(version: dict[str, Any], params: Row) -> None:
    async with _scene(**version) as scene:
        await scene.client.list_sessions()
    assert scene.gateway.asked_for("sessions.list") == [params]


async def test_a_snapshot() -> None:
    rows = [ROW_96_STUCK_CRON, {"key": 7}, {"key": "agent:main:main"}]
    listed = {"sessions": rows, "ts": CHALLENGE_TS, "totalCount": 3, "hasMore": False}
    async with _scene(answers={"sessions__list": listed}) as scene:
        snapshot = await scene.client.list_sessions()
    assert [row.key for row in snapshot.sessions] == ["agent:main:cron:k1", "agent:main:main"]
    assert [row.position for row in snapshot.malformed] == [1]
    assert snapshot.is_complete
    assert snapshot.size_bytes > 500
    assert snapshot.latency == timedelta(0)
    assert not snapshot.gateway_clock_stepped


async def test_a_list_cut_short_says_so() -> None:
    listed = {"sessions": [{"key": "a"}], "totalCount": 9, "hasMore": False}
    async with _scene(answers={"sessions__list": listed}) as scene:
        assert not (await scene.client.list_sessions()).is_complete


@pytest.mark.parametrize(
    ("elapsed", "stepped"), [(0, False), (4.9, False), (-4.9, False), (5.1, True), (-5.1, True), (3600, True)]
)
async def test_a_clock_that_was_set_while_we_watched(elapsed: float, stepped: bool) -> None:
    """A minute passed here; the gateway's own clock says that much more."""
    async with _scene() as scene:
        scene.clock.pass_(60)
        scene.gateway.answers["sessions.list"] = {"sessions": [], "ts": CHALLENGE_TS + 60_000 + elapsed * 1000}
        assert (await scene.client.list_sessions()).gateway_clock_stepped is stepped


@pytest.mark.parametrize("answer", [{}, [], {"sessions": None}, Raw('{"type":"res","id":"{id}","ok":true}')])
async def test_an_answer_that_is_no_list(answer: Answer) -> None:
    async with _scene(answers={"sessions__list": answer}) as scene:
        with pytest.raises(errors.RequestRefused):
            await scene.client.list_sessions()


# ---------------------------------------------------------------- looking


async def test_nothing_is_looked_up_that_is_not_wanted() -> None:
    async with _scene(state_dir="/s") as scene:
        before = len(scene.gateway.asked)
        look = await scene.client.look(SESSION, Wants())
        assert len(scene.gateway.asked) == before
        assert scene.host.asked == []
    assert (look.lock, look.tail, look.preflight, look.problems) == (None, None, None, ())


async def test_the_lock_is_looked_at_on_the_gateways_own_machine() -> None:
    async with _scene(state_dir="/state", **V324) as scene:
        scene.host.sight = LockSight(Lock.HELD_BY_OTHER, 99)
        look = await scene.client.look(SESSION, Wants(lock=True))
        assert (await scene.client.look(replace(SESSION, session_id=None), Wants(lock=True))).lock is None
    assert look.lock == LockSight(Lock.HELD_BY_OTHER, 99)
    assert scene.host.asked == [("/state", "main", "sid-1", 4711)]


async def test_no_file_of_another_machine_is_looked_at() -> None:
    async with _scene(state_dir=None, **V324) as scene:
        assert (await scene.client.look(SESSION, Wants(lock=True))).lock is None
    assert scene.host.asked == []


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
        (None, None),
    ],
)
async def test_what_the_gateway_counts(counts: Row | None, total: int | None) -> None:
    answer: Row = {"safe": True, "counts": counts, "blockers": []}
    async with _scene(answers={"gateway__restart__preflight": answer}) as scene:
        look = await scene.client.look(SESSION, Wants(preflight=True))
    assert (look.preflight.total_active if look.preflight is not None else None) == total
    assert (look.problems == ()) is (total is not None)


@pytest.mark.parametrize("version", [V324, V414], ids=["3.24", "4.14"])
async def test_preflight_is_not_asked_for_where_it_does_not_exist(version: dict[str, Any]) -> None:
    async with _scene(**version) as scene:
        look = await scene.client.look(SESSION, Wants(preflight=True))
    assert look.preflight is None
    assert scene.gateway.asked_for("gateway.restart.preflight") == []


async def test_the_transcript_is_read_a_little_further_when_the_request_lies_further_back() -> None:
    def grown(params: dict[str, Any]) -> Answer:
        return {"messages": [user("the request"), *[TOOL_RESULT] * 60][-params["limit"] :]}

    async with _scene() as scene:
        scene.gateway.answers["chat.history"] = grown
        look = await scene.client.look(SESSION, Wants(tail=True))
    assert look.tail is not None
    assert (look.tail.kind, look.tail.request) == (TailKind.TOOL_RESULT, "the request")
    limits = [params["limit"] for params in scene.gateway.asked_for("chat.history")]
    assert limits == [HISTORY_SHORT, HISTORY_LONG]


@pytest.mark.parametrize("messages", [[], [user("x"), TOOL_RESULT]])
async def test_one_look_is_enough_mostly(messages: list[Row]) -> None:
    async with _scene(answers={"chat__history": {"messages": messages}}) as scene:
        await scene.client.look(SESSION, Wants(tail=True))
    assert len(scene.gateway.asked_for("chat.history")) == 1


@pytest.mark.parametrize(
    "answer", [{}, {"messages": [7]}, None, Refused({"code": "INTERNAL", "message": "no"})], ids=str
)
async def test_a_transcript_that_cannot_be_read_is_unknown_and_named(answer: Answer) -> None:
    async with _scene(answers={"chat__history": answer}) as scene:
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
    async with _scene(answers=answers, **version) as scene:
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
    async with _scene(answers=answers, **V324) as scene:
        look = await scene.client.look(row, Wants(tail=True))
    assert look.tail is not None
    assert look.tail.kind is TailKind.STOPPED


@pytest.mark.parametrize("version", [V518, V96], ids=["5.18", "9.6"])
async def test_where_a_stop_ends_the_row_the_configuration_is_not_read(version: dict[str, Any]) -> None:
    async with _scene(**version) as scene:
        pass
    assert scene.gateway.asked_for("config.get") == []


async def test_pending_lists_are_only_asked_for_with_the_scope_they_need() -> None:
    methods = ("exec.approval.list", "question.list")
    async with _scene(methods=methods) as scene:
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
    async with _scene(version=version, methods=LISTS, steps=LADDER, answers=PENDING) as scene:
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
    async with _scene(methods=LISTS, steps=LADDER, answers=broken) as scene:
        assert (await scene.client.look(SESSION, Wants(pending=True))).is_waiting_unread
    async with _scene(methods=LISTS, steps=LADDER, answers=PENDING) as scene:
        assert not (await scene.client.look(SESSION, Wants(pending=True))).is_waiting_unread
    async with _scene(steps=LADDER) as scene:
        look = await scene.client.look(SESSION, Wants(pending=True))
        assert not look.is_waiting_unread, "a gateway that has no such lists says nothing with them"


async def test_a_refused_sign_in_for_the_lists_is_not_repeated_for_every_suspect() -> None:
    async with _scene(methods=LISTS, steps=LADDER, answers=PENDING) as scene:
        before = len(scene.link_scopes)
        scene.gateway.hello = _granting(READ, WRITE)
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


async def test_a_gateway_that_drains_while_it_is_asked_for_the_lists_ends_every_look() -> None:
    drains = Refused({"code": "UNAVAILABLE", "message": "x", "details": {"reason": "gateway-restarting"}})
    async with _scene(methods=LISTS, steps=LADDER, answers={**PENDING, "question__list": drains}) as scene:
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
    async with _scene(version=version, methods=LISTS, steps=steps, answers=PENDING) as scene:
        before = len(scene.link_scopes)
        look = await scene.client.look(SESSION, Wants(pending=True))
        assert (look.pending_approvals, look.pending_questions) == (None, None)
        assert scene.link_scopes[before:] == []


async def test_the_log_of_a_cron_session_is_read_and_of_no_other() -> None:
    cron = replace(SESSION, key="agent:main:cron:job-1", started_at=datetime(2026, 11, 20, 11, 0, tzinfo=UTC))
    entry = {"ts": CHALLENGE_TS * 1.1, "jobId": "job-1", "action": "finished", "status": "ok", "sessionId": "sid-1"}
    methods = ("health", "sessions.list", "cron.runs")
    async with _scene(methods=methods, answers={"cron__runs": {"entries": [entry]}}) as scene:
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
        ({"ok": True}, 0),
        ("text", 0),
    ],
)
async def test_what_is_pending(answer: Answer, count: int) -> None:
    def generous(params: dict[str, Any]) -> Answer:
        return {
            "server": {"version": "2026.9.6"},
            "features": {"methods": ["exec.approval.list"]},
            "auth": {"scopes": ["operator.approvals"]},
        }

    async with _scene(hello=generous, answers={"exec__approval__list": answer}) as scene:
        look = await scene.client.look(SESSION, Wants(pending=True))
    assert look.pending_approvals == count


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        (Closed(None), errors.GatewayClosed),
        (Closed(1012), errors.GatewayDraining),
        (Silent(), errors.GatewayUnresponsive),
    ],
)
async def test_a_lost_connection_ends_the_look(how: Answer, kind: type[errors.GatewayError]) -> None:
    async with _scene(answers={"chat__history": how}) as scene:
        if isinstance(how, Silent):
            scene.hurry()
        with pytest.raises(kind):
            await scene.client.look(SESSION, Wants(tail=True))


async def test_a_draining_gateway_ends_the_look() -> None:
    error = {"code": "UNAVAILABLE", "message": "x", "details": {"reason": "gateway-restarting"}}
    async with _scene(answers={"chat__history": Refused(error)}) as scene:
        with pytest.raises(errors.GatewayDraining):
            await scene.client.look(SESSION, Wants(tail=True))


# ---------------------------------------------------------------- scopes for deeds


async def test_scopes_for_deeds_are_tried_at_connect_and_let_go_again() -> None:
    async with _scene(steps=LADDER) as scene:
        await scene.gateway.until_open(1)
        assert scene.client.missing_scope(Step.RESUME) is None
        assert scene.client.missing_scope(Step.NEW) is None
    assert scene.link_scopes == [(READ,), (READ, WRITE, ADMIN)]
    assert scene.gateway.asked == [], "nothing was sent over it"


@pytest.mark.parametrize(
    ("version", "steps", "scopes"),
    [
        (V324, LADDER, (READ, WRITE)),
        (V414, LADDER, (READ, WRITE, ADMIN)),
        (V518, frozenset({Step.RESUME}), (READ, WRITE)),
        (V96, frozenset({Step.RESUME}), (READ, WRITE)),
        (V96, frozenset({Step.RESET}), (READ, WRITE, ADMIN)),
    ],
)
async def test_the_fewest_scopes_the_configuration_needs(
    version: dict[str, Any], steps: frozenset[Step], scopes: tuple[str, ...]
) -> None:
    async with _scene(steps=steps, **version) as scene:
        pass
    assert scene.link_scopes == [(READ,), scopes]


def _granting(*granted: str) -> Any:
    """Refuses a sign-in that asks for more."""

    def hello(params: dict[str, Any]) -> Answer:
        if set(params["scopes"]) <= set(granted):
            return None
        message = "unauthorized: device token scope mismatch"
        return Refused({"code": "INVALID_REQUEST", "message": message, "details": {"code": "AUTH_SCOPE_MISMATCH"}})

    return hello


async def test_a_step_without_its_scope_is_refused_up_front_with_the_way_out() -> None:
    async with _scene(steps=LADDER, hello=_granting(READ, WRITE)) as scene:
        assert scene.client.missing_scope(Step.RESUME) is None
        said = scene.client.missing_scope(Step.NEW)
        assert scene.client.missing_scope(Step.NOTIFY) is None
    assert said is not None
    assert "operator.admin" in said
    assert "openclaw devices approve" in said
    assert "take `new` out of the ladder" in said
    assert scene.link_scopes == [(READ,), (READ, WRITE, ADMIN), (READ, WRITE)]


async def test_read_alone_leaves_every_step_without_its_scope() -> None:
    async with _scene(steps=LADDER, hello=_granting(READ)) as scene:
        assert scene.client.missing_scope(Step.RESUME) is not None
        assert scene.client.missing_scope(Step.NEW) is not None


async def test_a_sign_in_that_is_granted_less_than_it_asked_for() -> None:
    def less(params: dict[str, Any]) -> Answer:
        return {"server": {"version": "2026.9.6"}, "auth": {"scopes": [READ, WRITE]}}

    async with _scene(steps=LADDER, hello=less) as scene:
        assert scene.client.missing_scope(Step.RESUME) is None
        assert scene.client.missing_scope(Step.NEW) is not None


@pytest.mark.parametrize(
    ("methods", "row", "is_possible"),
    [
        ((), replace(SESSION, aborted_last_run=True), False),
        (("sessions.recover",), replace(SESSION, aborted_last_run=True), True),
        (("sessions.recover",), replace(SESSION, restart_recovery_status="tombstoned"), True),
        (("sessions.recover",), SESSION, False),
    ],
)
async def test_when_recover_can_work(methods: tuple[str, ...], row: Session, is_possible: bool) -> None:
    async with _scene(methods=methods) as scene:
        assert (scene.client.step_problem(Step.RECOVER, row) is None) is is_possible
        assert scene.client.step_problem(Step.RESUME, row) is None


# ---------------------------------------------------------------- deeds


def _deed(step: Step = Step.RESUME, session: Session = SESSION) -> Deed:
    return Deed(step, session, "ocw-i1-1", "go on", "a fresh session was started", session.reply_address)


CLI, BACKEND = ("cli", "cli"), ("gateway-client", "backend")
STARTED: Row = {"runId": "ocw-i1-1", "status": "started"}

DEEDS: list[tuple[dict[str, Any], Step, Session, tuple[str, ...], tuple[str, str], list[str]]] = [
    (V324, Step.RESUME, SESSION, (READ, WRITE), BACKEND, ["chat.send"]),
    (V324, Step.RESUME, MAIN, (READ, WRITE), CLI, ["chat.send"]),
    (V324, Step.NEW, SESSION, (READ, WRITE), BACKEND, ["chat.send", "send"]),
    (V324, Step.NEW, MAIN, (READ, WRITE), CLI, ["chat.send", "send"]),
    (V324, Step.RESET, MAIN, (READ, WRITE, ADMIN), BACKEND, ["sessions.reset", "send"]),
    (V414, Step.RESUME, MAIN, (READ, WRITE), CLI, ["chat.send"]),
    (V414, Step.NEW, MAIN, (READ, WRITE, ADMIN), BACKEND, ["sessions.reset", "send"]),
    (V518, Step.RESUME, SESSION, (READ, WRITE), BACKEND, ["chat.send"]),
    (V518, Step.RESUME, MAIN, (READ, WRITE), CLI, ["chat.send"]),
    (V518, Step.NEW, SESSION, (READ, WRITE, ADMIN), BACKEND, ["sessions.reset", "send"]),
    (V96, Step.RESUME, SESSION, (READ, WRITE), BACKEND, ["agent"]),
    (V96, Step.RESUME, MAIN, (READ, WRITE), BACKEND, ["agent"]),
    (V96, Step.RESUME, WEB, (READ, WRITE), BACKEND, ["agent"]),
    (V96, Step.NEW, WEB, (READ, WRITE, ADMIN), BACKEND, ["sessions.reset"]),
    (V96, Step.RESET, MAIN, (READ, WRITE, ADMIN), BACKEND, ["sessions.reset", "send"]),
    (V96, Step.RECOVER, MAIN, (READ, WRITE), BACKEND, ["sessions.recover"]),
    (V96, Step.ABORT, MAIN, (READ, WRITE), BACKEND, ["sessions.abort"]),
]


@pytest.mark.parametrize(("version", "step", "session", "scopes", "client", "methods"), DEEDS)
async def test_a_deed_has_its_own_link_with_exactly_its_scopes_and_is_sent_once(
    version: dict[str, Any],
    step: Step,
    session: Session,
    scopes: tuple[str, ...],
    client: tuple[str, str],
    methods: list[str],
) -> None:
    async with _scene(answers={name.replace(".", "__"): STARTED for name in methods}, **version) as scene:
        before = len(scene.gateway.asked)
        receipt = await scene.client.perform(_deed(step, session))
        await scene.gateway.until_open(1)  # only the watching link is left
        asked = scene.gateway.asked[before:]
    assert [(one.method, one.scopes) for one in asked] == [(method, scopes) for method in methods]
    sign_in = scene.gateway.sign_ins[-1]
    assert tuple(sign_in["scopes"]) == scopes
    assert (sign_in["client"]["id"], sign_in["client"]["mode"]) == client
    assert sign_in["device"]["id"] == OURS.device_id
    assert receipt.run_id == "ocw-i1-1"
    assert len(scene.gateway.sign_ins) == 2


async def test_a_prepared_link_is_used_and_closed() -> None:
    async with _scene(answers={"agent": STARTED}) as scene:
        await scene.client.prepare(Step.RESUME, SESSION)
        assert (scene.gateway.open_now, scene.gateway.asked) == (2, [])
        await scene.client.perform(_deed())
        await scene.gateway.until_open(1)
    assert scene.link_scopes == [(READ,), (READ, WRITE)]


async def test_a_link_prepared_for_something_else_is_not_used() -> None:
    async with _scene(answers={"agent": STARTED}) as scene:
        await scene.client.prepare(Step.NEW, SESSION)
        await scene.client.perform(_deed())
    assert scene.link_scopes == [(READ,), (READ, WRITE, ADMIN), (READ, WRITE)]
    assert [one.scopes for one in scene.gateway.asked] == [(READ, WRITE)]


@pytest.mark.parametrize(
    ("version", "session", "pauses"),
    [
        (V324, SESSION, [SIGN_IN_SETTLES]),
        (V414, SESSION, [SIGN_IN_SETTLES]),
        (V324, WEB, []),
        (V518, SESSION, []),
        (V96, SESSION, []),
    ],
)
async def test_old_gateways_get_a_moment_between_sign_in_and_delivery(
    version: dict[str, Any], session: Session, pauses: list[float]
) -> None:
    async with _scene(**version) as scene:
        await scene.client.prepare(Step.RESUME, session)
    assert scene.clock.slept == pauses


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        (Closed(None), errors.OutcomeUnknown),
        (Closed(1012, shutdown=True), errors.OutcomeUnknown),
        (Silent(), errors.OutcomeUnknown),
        (Refused({"code": "INVALID_REQUEST", "message": "session not found: k"}), errors.RequestRefused),
        (Refused({"code": "FORBIDDEN", "message": "missing scope: operator.write"}), errors.ScopeRefused),
        (Refused({"code": "INVALID_REQUEST", "message": "unknown method: agent"}), errors.UnknownMethod),
        (
            Refused({"code": "UNAVAILABLE", "message": "x", "details": {"reason": "gateway-restarting"}}),
            errors.GatewayDraining,
        ),
        (Refused({"code": "UNAVAILABLE", "message": "try later", "retryable": True}), errors.RequestRefused),
    ],
)
async def test_whatever_becomes_of_a_deed_it_was_sent_once(how: Answer, kind: type[errors.GatewayError]) -> None:
    async with _scene(answers={"agent": how}) as scene:
        await scene.client.prepare(Step.RESUME, SESSION)
        if isinstance(how, Silent):
            scene.hurry()
        with pytest.raises(kind) as failed:
            await scene.client.perform(_deed())
        assert TOKEN not in str(failed.value)
    assert len(scene.gateway.asked_for("agent")) == 1
    assert scene.clock.slept == []


async def test_a_deed_that_cannot_sign_in_is_not_sent() -> None:
    async with _scene(hello=_granting(READ)) as scene:
        with pytest.raises(errors.ScopeRefused):
            await scene.client.perform(_deed())
    assert scene.gateway.asked == []


async def test_a_deed_on_a_link_that_ended_meanwhile_is_surely_not_sent() -> None:
    async with _scene(answers={"agent": STARTED}) as scene:
        await scene.client.prepare(Step.RESUME, SESSION)
        await scene.gateway.end(Closed(None))
        with pytest.raises(errors.GatewayError) as failed:
            await scene.client.perform(_deed())
    assert isinstance(failed.value, errors.GatewayClosed | errors.OutcomeUnknown)
    assert scene.gateway.asked == []


@pytest.mark.parametrize("answer", [{}, [], {"runId": 7}, None])
async def test_a_deed_that_was_taken_is_taken_whatever_its_answer_looks_like(answer: Answer) -> None:
    async with _scene(answers={"agent": answer}) as scene:
        receipt = await scene.client.perform(_deed())
    assert receipt.run_id is None


async def test_telling_the_person_may_fail_and_the_deed_stays_done() -> None:
    answers: dict[str, Answer] = {"sessions__reset": {"ok": True}, "send": Closed(None)}
    async with _scene(answers=answers) as scene:
        receipt = await scene.client.perform(_deed(Step.NEW))
    assert "not told" in receipt.said
    assert len(scene.gateway.asked_for("sessions.reset")) == 1


async def test_a_chat_app_that_is_busy_is_told_again_under_the_same_key() -> None:
    busy = Refused({"code": "UNAVAILABLE", "message": "Error: IRC login failed (433): Nickname already in use"})
    async with _scene(answers={"sessions__reset": {"ok": True}, "send": busy}) as scene:
        await scene.client.perform(_deed(Step.NEW))
    told = scene.gateway.asked_for("send")
    assert len(told) == TELLING_TRIES
    assert {params["idempotencyKey"] for params in told} == {"ocw-i1-1-notice"}
    assert scene.clock.slept == [TELLING_PAUSE] * (TELLING_TRIES - 1)
    assert len(scene.gateway.asked_for("sessions.reset")) == 1


async def test_a_refused_reset_tells_nobody_that_it_was_done() -> None:
    answers: dict[str, Answer] = {
        "sessions__reset": Refused({"code": "FORBIDDEN", "message": "missing scope: operator.admin"}),
        "send": {},
    }
    async with _scene(answers=answers) as scene:
        with pytest.raises(errors.ScopeRefused):
            await scene.client.perform(_deed(Step.NEW))
    assert scene.gateway.asked_for("send") == []


# ---------------------------------------------------------------- proof of delivery


@pytest.mark.parametrize(
    ("answer", "delivered"),
    [
        ({"status": "ok", "terminalDelivery": {"status": "sent", "resultCount": 1}}, True),
        ({"status": "ok", "terminalDelivery": {"status": "failed"}}, False),
        ({"status": "timeout"}, None),
        (Refused({"code": "X", "message": "no"}), None),
        (Closed(None), None),
        ([], None),
    ],
)
async def test_whether_the_answer_reached_the_person(answer: Answer, delivered: bool | None) -> None:
    async with _scene(steps=LADDER, answers={"agent__wait": answer}) as scene:
        assert await scene.client.delivered("run-1") is delivered


@pytest.mark.parametrize("version", [V324, V414, V518], ids=["3.24", "4.14", "5.18"])
async def test_older_versions_cannot_say(version: dict[str, Any]) -> None:
    async with _scene(steps=LADDER, **version) as scene:
        assert await scene.client.delivered("run-1") is None
    assert scene.gateway.asked_for("agent.wait") == []


# ---------------------------------------------------------------- secrets


async def test_nothing_of_it_shows_the_token() -> None:
    async with _scene(steps=LADDER) as scene:
        shown = f"{scene.client!r} {scene.endpoint!r} {await scene.client.connect()!r}"
    assert TOKEN not in shown
