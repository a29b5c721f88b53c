"""One gateway over as many links as harmlessness needs: who asks for which scope, and what is sent how often."""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fakes.clock import START
from watchdog.core.model import (
    FlagWorth,
    LockSight,
    Look,
    Session,
)
from watchdog.core.policy import Step
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.recovery.deeds import SIGN_IN_SETTLES
from watchdog.gateway.recovery.requests import TELLING_PAUSE, TELLING_TRIES
from watchdog.gateway.recovery.scopes import CHECK_AGAIN
from watchdog.gateway.sessions.pages import PAGE_SIZE
from watchdog.gateway.wire.answers import LARGEST
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.hello import MOST_METHODS
from watchdog.service import errors
from watchdog.service.ports import Deed, Wants

from .scene import ADMIN, LADDER, MAIN, READ, SESSION, V96, V324, V414, V518, WEB, WRITE, granting, scene_with
from .server import CHALLENGE_TS, UPTIME_MS, Answer, Closed, Raw, Refused, Silent, WireGateway
from .shapes import ROW_96_STUCK_CRON, Row
from .support import OURS, STRANGER, TOKEN

# ---------------------------------------------------------------- harmlessness of looking


async def test_watching_asks_for_read_and_nothing_else_whatever_is_looked_up() -> None:
    async with scene_with(state_dir="/s", answers={"chat__history": {"messages": []}, "agent__wait": {}}) as scene:
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


async def test_a_version_newer_than_any_that_was_tried_is_known_as_such() -> None:
    async with scene_with(version="2026.9.7") as scene:
        assert "newer than any release" in str((await scene.client.connect()).untried)
    async with scene_with() as scene:
        assert (await scene.client.connect()).untried is None


@pytest.mark.parametrize("version", [V324, V414, V518, V96], ids=["3.24", "4.14", "5.18", "9.6"])
async def test_watching_never_probes(version: dict[str, Any]) -> None:
    async with scene_with(answers={"sessions__abort": {"status": "no-active-run"}}, **version) as scene:
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
    async with scene_with(steps=LADDER, answers={"sessions__abort": unauthorized}, **version) as scene:
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
    async with scene_with(steps=LADDER, answers={"sessions__abort": answer}, **V324) as scene:
        scene.client._patience = 0.5 if isinstance(answer, Silent) else 5.0
        look = await scene.client.look(SESSION, Wants(abort_probe=True))
    assert look.abort_probe_unauthorized is says
    assert len(look.problems) == problems


async def test_however_many_are_probed_the_stranger_signs_in_once() -> None:
    """Every sign-in disturbs the chat apps of 3.24: a reply on its way to a person may be lost."""
    unauthorized = Refused({"code": "INVALID_REQUEST", "message": "unauthorized"})
    async with scene_with(steps=LADDER, answers={"sessions__abort": unauthorized}, **V324) as scene:
        before = len(scene.link_scopes)
        for _ in range(3):
            assert (await scene.client.look(SESSION, Wants(abort_probe=True))).abort_probe_unauthorized is True
        assert scene.link_scopes[before:] == [(WRITE,)]
        await scene.client.close()
        await scene.client.connect()
        assert (await scene.client.look(SESSION, Wants(abort_probe=True))).abort_probe_unauthorized is True
        assert scene.link_scopes.count((WRITE,)) == 2, "it goes with the watching link"


# ---------------------------------------------------------------- facts


async def test_who_answered() -> None:
    async with scene_with(state_dir="/state") as scene:
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
    async with scene_with(challenge=challenge, uptime_ms=uptime) as scene:
        facts = await scene.client.connect()
    assert facts.booted_at is None


async def test_a_hello_that_says_nothing() -> None:
    async with scene_with(hello={}) as scene:
        facts = await scene.client.connect()
        await scene.client.list_sessions()
    assert (facts.version, facts.booted_at, facts.boot_id, facts.methods) == ("unknown", None, None, frozenset())
    assert facts.capabilities.active_run_flag is FlagWorth.PROVES_LIFE_ONLY


async def test_how_far_the_clocks_are_apart() -> None:
    ours = START.wall
    ahead = int((ours + timedelta(minutes=3)).timestamp() * 1000)
    async with scene_with(challenge={"nonce": "n", "ts": ahead}) as scene:
        assert (await scene.client.connect()).clock_skew == timedelta(minutes=3)
    async with scene_with(challenge={"nonce": "n"}) as scene:
        assert (await scene.client.connect()).clock_skew is None


async def test_of_an_endless_hello_only_what_a_gateway_may_be_is_believed() -> None:
    def endless(params: dict[str, Any]) -> Answer:
        return {
            "server": {"version": "9" * 10_000, "bootId": "b" * 10_000},
            "features": {"methods": [*(f"m{number}" for number in range(50_000)), "x" * 101]},
            "auth": {"scopes": [f"s{number}" for number in range(50_000)]},
            "snapshot": {"sessionDefaults": {"mainSessionKey": "k" * 10_000}},
        }

    async with scene_with(hello=endless) as scene:
        facts = await scene.client.connect()
    assert (len(facts.methods), len(facts.scopes)) == (MOST_METHODS, MOST_METHODS)
    assert (len(facts.version), len(facts.boot_id or ""), len(facts.main_session_key or "")) == (100, 100, 1000)


async def test_a_device_token_is_kept() -> None:
    def issuing(params: dict[str, Any]) -> Answer:
        return {"auth": {"deviceToken": "issued", "scopes": params["scopes"]}, "server": {"version": "2026.9.6"}}

    async with scene_with(hello=issuing) as scene:
        pass
    assert scene.tokens == [(scene.gateway.url, (READ,), "issued")]


# ---------------------------------------------------------------- connecting again


async def test_connecting_twice_is_connecting_once() -> None:
    async with scene_with() as scene:
        first = await scene.client.connect()
        assert await scene.client.connect() is first
    assert len(scene.gateway.sign_ins) == 1


async def test_a_list_that_is_refused_is_no_lost_connection_and_said_in_the_gateways_words() -> None:
    said = "Error: Session canonical validation schema is missing or drifted: x;\nrun openclaw doctor --fix"
    async with scene_with(answers={"sessions__list": Refused({"code": "UNAVAILABLE", "message": said})}) as scene:
        first = await scene.client.connect()
        for _ in range(2):
            with pytest.raises(errors.ListRefused) as refused:
                await scene.client.list_sessions()
            assert str(refused.value).endswith(f"its list of sessions: UNAVAILABLE: {said.replace(chr(10), ' ')}")
            assert await scene.client.connect() is first


async def test_after_a_loss_everything_is_looked_up_afresh() -> None:
    async with scene_with() as scene:
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
    async with scene_with() as scene:
        assert scene.client.pop_disconnect() is None
        await scene.gateway.end(Closed(None))
        with pytest.raises(errors.GatewayClosed):
            await scene.client.health_problem()
        if notices_first:
            loss = scene.client.pop_disconnect()
            await scene.client.connect()
        else:
            await scene.client.connect()
            loss = scene.client.pop_disconnect()
        assert loss is not None
        assert isinstance(loss.error, errors.GatewayClosed)
        assert loss.at == scene.clock.now()
        assert scene.client.pop_disconnect() is None
        await scene.client.connect()
        assert scene.client.pop_disconnect() is None


async def test_closing_ourselves_is_no_loss() -> None:
    async with scene_with() as scene:
        await scene.client.close()
        assert scene.client.pop_disconnect() is None
        with pytest.raises(errors.GatewayClosed):
            await scene.client.list_sessions()


async def test_a_gateway_that_hangs_is_told_from_one_that_is_gone() -> None:
    async with scene_with(answers={"health": Silent()}) as scene:
        scene.hurry()
        with pytest.raises(errors.GatewayUnresponsive):
            await scene.client.health_problem()
        scene.client._patience = 5.0
        assert scene.client.pop_disconnect() is None
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
    async with scene_with(answers={"health": health}) as scene:
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
    async with scene_with(answers={"health": {"eventLoop": {"degraded": True, **figures}}}) as scene:
        problem = await scene.client.health_problem()
    assert says in str(problem)


# ---------------------------------------------------------------- listing


@pytest.mark.parametrize(
    ("version", "params"),
    [
        (V324, {"includeGlobal": True, "includeUnknown": True}),
        (V414, {"includeGlobal": True, "includeUnknown": True}),
        (V518, {"includeGlobal": True, "includeUnknown": True, "limit": PAGE_SIZE}),
        (V96, {"includeGlobal": True, "includeUnknown": True, "limit": PAGE_SIZE}),
        ({"version": "dev"}, {"includeGlobal": True, "includeUnknown": True}),
    ],
    ids=["3.24", "4.14", "5.18", "9.6", "dev"],
)
async def test_how_each_version_is_asked_for_its_list(version: dict[str, Any], params: Row) -> None:
    async with scene_with(**version) as scene:
        await scene.client.list_sessions()
    assert scene.gateway.asked_for("sessions.list") == [params]


async def test_a_snapshot() -> None:
    rows = [ROW_96_STUCK_CRON, {"key": 7}, {"key": "agent:main:main"}]
    listed = {"sessions": rows, "ts": CHALLENGE_TS, "totalCount": 3, "hasMore": False}
    async with scene_with(answers={"sessions__list": listed}) as scene:
        snapshot = await scene.client.list_sessions()
    assert [row.key for row in snapshot.sessions] == ["agent:main:cron:k1", "agent:main:main"]
    assert [row.position for row in snapshot.malformed] == [1]
    assert snapshot.is_complete
    assert snapshot.size_bytes > 500
    assert snapshot.latency == timedelta(0)
    assert not snapshot.gateway_clock_stepped


async def test_a_list_cut_short_says_so() -> None:
    listed = {"sessions": [{"key": "a"}], "totalCount": 9, "hasMore": False}
    async with scene_with(answers={"sessions__list": listed}) as scene:
        assert not (await scene.client.list_sessions()).is_complete


@pytest.mark.parametrize(
    ("elapsed", "stepped"), [(0, False), (4.9, False), (-4.9, False), (5.1, True), (-5.1, True), (3600, True)]
)
async def test_a_clock_that_was_set_while_we_watched(elapsed: float, stepped: bool) -> None:
    """A minute passed here; the gateway's own clock says that much more."""
    async with scene_with() as scene:
        scene.clock.advance(60)
        scene.gateway.answers["sessions.list"] = {"sessions": [], "ts": CHALLENGE_TS + 60_000 + elapsed * 1000}
        assert (await scene.client.list_sessions()).gateway_clock_stepped is stepped


@pytest.mark.parametrize("answer", [{}, [], {"sessions": None}, Raw('{"type":"res","id":"{id}","ok":true}')])
async def test_an_answer_that_is_no_list_is_a_list_that_was_not_read(answer: Answer) -> None:
    async with scene_with(answers={"sessions__list": answer}) as scene:
        snapshot = await scene.client.list_sessions()
    assert (snapshot.sessions, snapshot.is_complete) == ((), False)
    assert "sessions.list" in snapshot.malformed[0].reason


# ---------------------------------------------------------------- answers that cannot be read

BOTTOMLESS = Raw('{"type":"res","id":"{id}","ok":true,"payload":{"x":' + "[" * 100_000 + "]" * 100_000 + "}}")
LATEST: dict[str, Any] = {
    "version": "2026.9.6",
    "methods": ("gateway.restart.preflight", "cron.runs", "exec.approval.list", "question.list"),
}
EVERY_LOOK = Wants(tail=True, preflight=True, pending=True, abort_probe=True)


@pytest.mark.parametrize("broken", [BOTTOMLESS, Raw('{"type":"res","id":"{id}","ok":true,"payl'), Raw("garbage")])
async def test_a_look_that_cannot_be_read_harms_that_look_alone(broken: Raw) -> None:
    cron = replace(SESSION, key="agent:main:cron:nightly")
    methods = ("chat.history", "gateway.restart.preflight", "cron.runs", "exec.approval.list", "question.list")
    answers: dict[str, Answer] = {method.replace(".", "__"): broken for method in methods}
    async with scene_with(answers=answers, hello=_with_lists, **LATEST) as scene:
        look = await scene.client.look(cron, EVERY_LOOK)
        assert sorted(problem.split(":")[0] for problem in look.problems) == sorted(methods)
        assert (look.tail, look.preflight, look.cron_run_ended, look.pending_approvals) == (None, None, None, None)
        assert look.is_waiting_unread
        assert scene.client.pop_disconnect() is None
        assert (await scene.client.list_sessions()).is_complete
    assert len(scene.gateway.sign_ins) == 1, "the connection was kept"


def _with_lists(params: dict[str, Any]) -> Answer:
    return {
        "server": {"version": "2026.9.6"},
        "features": {"methods": list(LATEST["methods"])},
        "auth": {"scopes": [*params["scopes"], "operator.approvals", "operator.questions"]},
    }


async def test_what_cannot_be_read_of_its_health_is_a_reason_to_do_nothing() -> None:
    async with scene_with(answers={"health": BOTTOMLESS}) as scene:
        problem = await scene.client.health_problem()
    assert problem is not None
    assert "health" in problem


async def test_a_deed_whose_answer_cannot_be_read_is_perhaps_done_and_not_refused() -> None:
    async with scene_with(answers={"agent": Raw('{"type":"res","id":"{id}","ok":tr')}) as scene:
        with pytest.raises(errors.OutcomeUnknown):
            await scene.client.perform(_deed())
    assert len(scene.gateway.asked_for("agent")) == 1


async def test_an_answer_larger_than_is_read_is_unreadable() -> None:
    answers: dict[str, Answer] = {"health": {"eventLoop": {"degraded": False}, "more": "x" * LARGEST}}
    async with scene_with(answers=answers) as scene:
        assert "more than is read" in str(await scene.client.health_problem())


# ---------------------------------------------------------------- scopes for deeds


async def test_scopes_for_deeds_are_tried_at_connect_and_let_go_again() -> None:
    async with scene_with(steps=LADDER) as scene:
        await scene.gateway.until_open(1)
        assert scene.client.missing_scope(Step.RESUME) is None
        assert scene.client.missing_scope(Step.NEW) is None
    assert scene.link_scopes == [(READ, WRITE, ADMIN), (READ,)]
    assert scene.gateway.asked == [], "nothing was sent over it"


@pytest.mark.parametrize(
    ("version", "steps", "scopes"),
    [
        (V324, LADDER, (READ, WRITE, ADMIN)),
        (V414, LADDER, (READ, WRITE, ADMIN)),
        (V518, frozenset({Step.RESUME}), (READ, WRITE)),
        (V96, frozenset({Step.RESUME}), (READ, WRITE)),
        (V96, frozenset({Step.RESET}), (READ, WRITE, ADMIN)),
    ],
)
async def test_the_fewest_scopes_the_configuration_needs(
    version: dict[str, Any], steps: frozenset[Step], scopes: tuple[str, ...]
) -> None:
    async with scene_with(steps=steps, **version) as scene:
        pass
    assert scene.link_scopes == [scopes, (READ,)]


async def test_a_step_without_its_scope_is_refused_up_front_with_the_way_out() -> None:
    async with scene_with(steps=LADDER, hello=granting(READ, WRITE)) as scene:
        assert scene.client.missing_scope(Step.RESUME) is None
        said = scene.client.missing_scope(Step.NEW)
        assert scene.client.missing_scope(Step.NOTIFY) is None
    assert said is not None
    assert "operator.admin" in said
    assert "openclaw devices approve" in said
    assert "take `new` out of the ladder" in said
    assert scene.link_scopes == [(READ, WRITE, ADMIN), (READ,), (READ, WRITE)]


async def test_no_answer_about_the_scopes_is_no_permission_and_asked_for_again() -> None:
    sign_ins = 0

    def deaf_once(params: dict[str, Any]) -> Answer:
        nonlocal sign_ins
        sign_ins += 1
        return Refused({"code": "NO", "message": "such scopes"}) if sign_ins == 1 else None

    async with scene_with(steps=LADDER, hello=deaf_once) as scene:
        said = scene.client.missing_scope(Step.RESUME)
        assert said is not None
        assert "could not be found out" in said
        await scene.client.connect()
        assert sign_ins == 2, "not in every pass"
        scene.clock.advance(CHECK_AGAIN.total_seconds())
        await scene.client.connect()
        assert sign_ins == 3
        assert scene.client.missing_scope(Step.RESUME) is None


async def test_read_alone_leaves_every_step_without_its_scope() -> None:
    async with scene_with(steps=LADDER, hello=granting(READ)) as scene:
        assert scene.client.missing_scope(Step.RESUME) is not None
        assert scene.client.missing_scope(Step.NEW) is not None


async def test_a_sign_in_that_is_granted_less_than_it_asked_for() -> None:
    def less(params: dict[str, Any]) -> Answer:
        return {"server": {"version": "2026.9.6"}, "auth": {"scopes": [READ, WRITE]}}

    async with scene_with(steps=LADDER, hello=less) as scene:
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
    async with scene_with(methods=methods) as scene:
        assert (scene.client.step_problem(Step.RECOVER, row) is None) is is_possible
        assert scene.client.step_problem(Step.RESUME, row) is None


# ---------------------------------------------------------------- deeds


def _deed(step: Step = Step.RESUME, session: Session = SESSION, *, is_as_owner: bool = False) -> Deed:
    notice = "a fresh session was started"
    return Deed(step, session, "ocw-i1-1", "go on", notice, session.reply_address, is_as_owner)


STARTED: Row = {"runId": "ocw-i1-1", "status": "started"}
ALL_WELL: Row = {
    "channelAccounts": {"irc": [{"accountId": "default", "running": True, "probe": {"ok": True}}]},
}

DEEDS: list[tuple[dict[str, Any], Step, Session, tuple[str, ...], list[str]]] = [
    (V324, Step.RESUME, SESSION, (READ, WRITE), ["chat.send"]),
    (V324, Step.RESUME, MAIN, (READ, WRITE), ["agent"]),
    (V324, Step.RESUME, WEB, (READ, WRITE), ["chat.send"]),
    (V324, Step.ASK, MAIN, (READ, WRITE), ["send"]),
    (V324, Step.NEW, SESSION, (READ, WRITE, ADMIN), ["sessions.reset", "send"]),
    (V324, Step.RESET, MAIN, (READ, WRITE, ADMIN), ["sessions.reset", "send"]),
    (V414, Step.RESUME, MAIN, (READ, WRITE), ["agent"]),
    (V414, Step.NEW, MAIN, (READ, WRITE, ADMIN), ["sessions.reset", "send"]),
    (V518, Step.RESUME, SESSION, (READ, WRITE), ["chat.send"]),
    (V518, Step.RESUME, MAIN, (READ, WRITE), ["agent"]),
    (V518, Step.ASK, SESSION, (READ, WRITE), ["send"]),
    (V518, Step.NEW, SESSION, (READ, WRITE, ADMIN), ["sessions.reset", "send"]),
    (V96, Step.RESUME, SESSION, (READ, WRITE), ["agent"]),
    (V96, Step.RESUME, MAIN, (READ, WRITE), ["agent"]),
    (V96, Step.RESUME, WEB, (READ, WRITE), ["agent"]),
    (V96, Step.ASK, SESSION, (READ, WRITE), ["send"]),
    (V96, Step.FREE, WEB, (READ, WRITE), ["sessions.send"]),
    (V96, Step.NEW, WEB, (READ, WRITE, ADMIN), ["sessions.reset"]),
    (V96, Step.RESET, MAIN, (READ, WRITE, ADMIN), ["sessions.reset", "send"]),
    (V96, Step.RECOVER, WEB, (READ, WRITE), ["sessions.recover"]),
    (V96, Step.ABORT, WEB, (READ, WRITE), ["sessions.abort"]),
]


@pytest.mark.parametrize(("version", "step", "session", "scopes", "methods"), DEEDS)
async def test_a_deed_has_its_own_link_with_exactly_its_scopes_and_is_sent_once(
    version: dict[str, Any], step: Step, session: Session, scopes: tuple[str, ...], methods: list[str]
) -> None:
    answers: dict[str, Answer] = {name.replace(".", "__"): STARTED for name in methods}
    async with scene_with(answers={**answers, "channels__status": ALL_WELL}, **version) as scene:
        before = len(scene.gateway.asked)
        receipt = await scene.client.perform(_deed(step, session))
        is_kept = methods == ["agent"] and session.reply_address is not None
        await scene.gateway.until_open(2 if is_kept else 1)  # the watching link, and one whose second answer is to come
        asked = [one for one in scene.gateway.asked[before:] if one.method != "channels.status"]
    assert [(one.method, one.scopes) for one in asked] == [(method, scopes) for method in methods]
    sign_in = scene.gateway.sign_ins[-1]
    assert tuple(sign_in["scopes"]) == scopes
    assert (sign_in["client"]["id"], sign_in["client"]["mode"]) == ("gateway-client", "backend"), "cli narrows a device"
    assert sign_in["device"]["id"] == OURS.device_id
    assert receipt.run_id == "ocw-i1-1"
    assert receipt.delivered is (True if "send" in methods else None)
    assert len(scene.gateway.sign_ins) == 2


@pytest.mark.parametrize("version", [V324, V518, V96], ids=["3.24", "5.18", "9.6"])
@pytest.mark.parametrize(("is_as_owner", "scopes"), [(False, (READ, WRITE)), (True, (READ, WRITE, ADMIN))])
async def test_a_turn_goes_over_admin_for_an_owner_only(
    version: dict[str, Any], is_as_owner: bool, scopes: tuple[str, ...]
) -> None:
    """Also where the ladder has admin anyway: such a turn is the owner's, whoever asked."""
    answers: dict[str, Answer] = {"agent": STARTED, "chat__send": STARTED, "channels__status": ALL_WELL}
    async with scene_with(steps=LADDER, answers=answers, **version) as scene:
        assert scene.client.may_act_as_admin()
        await scene.client.perform(_deed(is_as_owner=is_as_owner))
    (sent,) = [one for one in scene.gateway.asked if one.method in ("agent", "chat.send")]
    assert sent.scopes == scopes


async def test_a_link_prepared_without_admin_does_not_become_an_owners() -> None:
    async with scene_with(answers={"agent": STARTED, "channels__status": ALL_WELL}) as scene:
        await scene.client.prepare(Step.RESUME, SESSION, route=SESSION.reply_address, is_as_owner=True)
        await scene.client.perform(_deed())
    (sent,) = [one for one in scene.gateway.asked if one.method == "agent"]
    assert sent.scopes == (READ, WRITE)


@pytest.mark.parametrize(
    ("steps", "granted", "may"),
    [
        (LADDER, (READ, WRITE, ADMIN), True),
        (LADDER, (READ, WRITE), False),
        (frozenset({Step.RESUME}), (READ, WRITE, ADMIN), False),
    ],
)
async def test_admin_is_there_only_where_the_ladder_has_it(
    steps: frozenset[Step], granted: tuple[str, ...], may: bool
) -> None:
    async with scene_with(steps=steps, hello=granting(*granted)) as scene:
        assert scene.client.may_act_as_admin() is may


# ---------------------------------------------------------------- before a deed that must be heard


DOWN: Row = {"channelAccounts": {"irc": [{"accountId": "default", "running": True, "probe": {"ok": False}}]}}


async def test_nothing_is_signed_in_or_sent_for_a_chat_app_that_is_down() -> None:
    async with scene_with(answers={"agent": STARTED, "channels__status": DOWN}) as scene:
        with pytest.raises(errors.ChannelDown, match="home: irc cannot be reached"):
            await scene.client.prepare(Step.RESUME, SESSION, route=SESSION.reply_address)
        with pytest.raises(errors.ChannelDown):
            await scene.client.perform(_deed())
    assert scene.link_scopes == [(READ,)]
    assert scene.gateway.asked_for("agent") == []
    assert scene.gateway.asked_for("channels.status")[0]["probe"] is True


async def test_a_deed_without_a_chat_asks_for_none() -> None:
    async with scene_with(answers={"agent": STARTED, "channels__status": DOWN}) as scene:
        await scene.client.perform(_deed(session=WEB))
    assert scene.gateway.asked_for("channels.status") == []
    assert len(scene.gateway.asked_for("agent")) == 1


async def test_a_prepared_link_is_used_and_closed() -> None:
    async with scene_with(answers={"agent": STARTED}) as scene:
        await scene.client.prepare(Step.RESUME, WEB)
        assert (scene.gateway.open_now, scene.gateway.asked) == (2, [])
        await scene.client.perform(_deed(session=WEB))
        await scene.gateway.until_open(1)
    assert scene.link_scopes == [(READ,), (READ, WRITE)]


async def test_a_link_prepared_for_something_else_is_not_used() -> None:
    async with scene_with(answers={"agent": STARTED}) as scene:
        await scene.client.prepare(Step.NEW, WEB)
        await scene.client.perform(_deed(session=WEB))
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
    async with scene_with(**version) as scene:
        await scene.client.prepare(Step.RESUME, session, route=session.reply_address)
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
    async with scene_with(answers={"agent": how}) as scene:
        await scene.client.prepare(Step.RESUME, SESSION, route=SESSION.reply_address)
        if isinstance(how, Silent):
            scene.hurry()
        with pytest.raises(kind) as failed:
            await scene.client.perform(_deed())
        assert TOKEN not in str(failed.value)
    assert len(scene.gateway.asked_for("agent")) == 1
    assert scene.clock.slept == []


async def test_a_deed_that_cannot_sign_in_is_not_sent() -> None:
    async with scene_with(hello=granting(READ)) as scene:
        with pytest.raises(errors.ScopeRefused):
            await scene.client.perform(_deed(session=WEB))
    assert scene.gateway.asked == []


async def test_a_deed_on_a_link_that_ended_meanwhile_is_surely_not_sent() -> None:
    async with scene_with(answers={"agent": STARTED}) as scene:
        await scene.client.prepare(Step.RESUME, WEB)
        await scene.gateway.end(Closed(None))
        with pytest.raises(errors.GatewayError) as failed:
            await scene.client.perform(_deed(session=WEB))
    assert isinstance(failed.value, errors.GatewayClosed | errors.OutcomeUnknown)
    assert scene.gateway.asked == []


@pytest.mark.parametrize("answer", [{}, [], {"runId": 7}, None])
async def test_a_deed_that_was_taken_is_taken_whatever_its_answer_looks_like(answer: Answer) -> None:
    async with scene_with(answers={"agent": answer}) as scene:
        receipt = await scene.client.perform(_deed())
    assert receipt.run_id is None


async def test_telling_the_person_may_fail_and_the_deed_stays_done() -> None:
    answers: dict[str, Answer] = {"sessions__reset": {"ok": True}, "send": Closed(None)}
    async with scene_with(answers=answers) as scene:
        receipt = await scene.client.perform(_deed(Step.NEW))
    assert "not told" in receipt.said
    assert len(scene.gateway.asked_for("sessions.reset")) == 1


async def test_a_chat_app_that_is_busy_is_told_again_under_the_same_key() -> None:
    busy = Refused({"code": "UNAVAILABLE", "message": "Error: IRC login failed (433): Nickname already in use"})
    async with scene_with(answers={"sessions__reset": {"ok": True}, "send": busy}) as scene:
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
    async with scene_with(answers=answers) as scene:
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
    async with scene_with(steps=LADDER, answers={"agent__wait": answer}) as scene:
        assert await scene.client.delivered("run-1") is delivered


@pytest.mark.parametrize("version", [V324, V414, V518], ids=["3.24", "4.14", "5.18"])
async def test_older_versions_cannot_say(version: dict[str, Any]) -> None:
    async with scene_with(steps=LADDER, **version) as scene:
        assert await scene.client.delivered("run-1") is None
    assert scene.gateway.asked_for("agent.wait") == []


# ---------------------------------------------------------------- secrets


async def test_nothing_of_it_shows_the_token() -> None:
    async with scene_with(steps=LADDER) as scene:
        shown = f"{scene.client!r} {scene.endpoint!r} {await scene.client.connect()!r}"
    assert TOKEN not in shown


async def test_what_cannot_be_read_for_want_of_descriptors_is_not_the_gateways_fault() -> None:
    async with scene_with(connect=False) as scene:

        def cannot_read() -> Endpoint:
            try:
                raise OSError(errno.EMFILE, "Too many open files")
            except OSError as problem:
                raise errors.GatewayUnreachable("home: openclaw.json cannot be read.") from problem

        client = GatewayClient(
            "home", cannot_read, device=OURS, probe_device=STRANGER, clock=scene.clock, host=scene.host
        )
        with pytest.raises(errors.OutOfDescriptors, match=r"^home: this process has no file descriptors left"):
            await client.connect()


async def test_text_that_had_to_be_repaired_is_told_once_for_each_method() -> None:
    listed = {"sessions": [{"key": "agent:main:web", "label": "half \ud83d"}], "ts": 1}
    async with scene_with(**V324, answers={"sessions__list": listed}) as scene:
        assert scene.repairs == []
        for _ in range(2):
            assert [row.key for row in (await scene.client.list_sessions()).sessions] == ["agent:main:web"]
        await scene.client.close()
        await scene.client.connect()
        await scene.client.list_sessions()
        assert scene.repairs == ["sessions.list"]


HUGE = (10**400, -(10**400), 1e300, -1e300, 10**17)
"""What JSON has and no float, no span or no calendar holds."""


@pytest.mark.parametrize("version", [V324, V518, V96], ids=lambda version: version.get("version", "2026.9.6"))
@pytest.mark.parametrize("huge", HUGE)
async def test_numbers_that_nobody_can_reckon_with_are_no_times_and_no_counts(
    huge: float, version: dict[str, Any]
) -> None:
    row = {"key": "agent:main:web", "status": "running", "updatedAt": huge, "startedAt": huge, "totalTokens": huge}
    listed = {"sessions": [row], "ts": huge, "totalCount": 1, "hasMore": False}
    counted = {"counts": {"totalActive": huge, "odd": huge, "more": 1.5}}
    scene_of = scene_with(
        **version,
        uptime_ms=huge,
        challenge={"nonce": "n", "ts": CHALLENGE_TS + 0.5},
        answers={"sessions__list": listed, "gateway__restart__preflight": counted},
    )
    async with scene_of as scene:
        for _ in range(3):
            (found,) = (await scene.client.list_sessions(frozenset())).sessions
        assert found.started_at is None
        look = await scene.client.look(found, Wants(preflight=True))
        assert not look.is_waiting_unread, "it was looked at: only the count is not known"
        assert look.preflight is None
        assert (await scene.client.connect()).booted_at is None


@pytest.mark.parametrize("problem", [OverflowError("int too large"), ValueError("no year 9999"), RecursionError()])
async def test_a_look_that_cannot_be_used_leaves_its_session_unknown_and_the_others_alone(problem: Exception) -> None:
    async with scene_with(**V324, state_dir="/state") as scene:

        def lock_sight(*_: object, **__: object) -> LockSight:
            raise problem

        scene.host.lock_sight = lock_sight  # type: ignore[method-assign]
        look = await scene.client.look(SESSION, Wants(lock=True))
        assert look == Look(
            is_waiting_unread=True, problems=(f"what was answered cannot be used ({type(problem).__name__})",)
        )


# ---------------------------------------------------------------- suspended on purpose


def _suspended(phase: str) -> dict[str, Any]:
    hello = WireGateway().ordinary_hello({"scopes": [READ]})
    return {**hello, "snapshot": {**hello["snapshot"], "suspension": {"phase": phase}}}


@pytest.mark.parametrize("phase", ["preparing", "prepared"])
async def test_a_suspended_gateway_is_called_so_at_the_sign_in_and_asked_nothing(phase: str) -> None:
    async with scene_with(connect=False, steps=LADDER, hello=_suspended(phase), **V96) as scene:
        for _ in range(2):
            with pytest.raises(errors.GatewaySuspended):
                await scene.client.connect()
        assert scene.gateway.asked == []
        scene.gateway.hello = None
        await scene.client.connect()


async def test_nothing_is_begun_on_a_gateway_that_was_suspended_since_the_last_look() -> None:
    async with scene_with(steps=LADDER, **V96) as scene:
        scene.gateway.hello = _suspended("prepared")
        with pytest.raises(errors.GatewaySuspended):
            await scene.client.prepare(Step.RESUME, SESSION)
        assert scene.gateway.asked_for("agent") == []


@pytest.mark.parametrize("payload", ['{"phase":"preparing"}', '{"phase":"prepared"}'])
async def test_who_is_told_of_a_suspension_signs_in_anew_and_is_told_how_it_stands(payload: str) -> None:
    async with scene_with(**V96) as scene:
        await scene.gateway.say(f'{{"type":"event","event":"gateway.suspension","payload":{payload}}}')
        await scene.client.list_sessions()
        scene.gateway.hello = _suspended("prepared")
        with pytest.raises(errors.GatewaySuspended):
            await scene.client.connect()
        scene.gateway.hello = None
        await scene.client.connect()
        assert scene.client.pop_disconnect() is None


@pytest.mark.parametrize("payload", ['{"phase":"accepting"}', "{}", "1", "null", '"prepared"'])
async def test_what_says_nothing_of_a_suspension_costs_no_connection(payload: str) -> None:
    async with scene_with(**V96) as scene:
        await scene.gateway.say(f'{{"type":"event","event":"gateway.suspension","payload":{payload}}}')
        await scene.client.list_sessions()
        await scene.client.connect()
        assert len(scene.link_scopes) == 1
