"""The protocol: shapes, paging, rows, calls. Real gateways' field names are in ``wire_fields.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.rows import row_of
from openclaw_simulator.rpc import Close, SimulatedConnection
from openclaw_simulator.sessions import Address
from tests.unit.openclaw_simulator.peers import call, connect, drain
from tests.unit.openclaw_simulator.simulated import make_world

VERSIONS = tuple(PROFILES)
FIELDS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("wire_fields.json").read_text(encoding="utf-8"))
KEY = "agent:main:dashboard:a"


@pytest.mark.parametrize("version", VERSIONS)
class TestShapes:
    """Every field the simulator sends was seen on the wire, and every field of an idle, live or finished row is there."""

    def test_rows(self, version: str) -> None:
        world = make_world(version)
        peer, _, _ = connect(world)
        call(peer, "sessions.create", {"key": "agent:main:dashboard:created"})
        world.advance(1)
        call(peer, "sessions.create", {"key": KEY})
        call(peer, "sessions.send", {"key": KEY, "message": "hello", "idempotencyKey": "1"})
        world.advance(30)
        world.provider.usual = turns.stays_silent()
        live = "agent:main:dashboard:live"
        call(peer, "sessions.create", {"key": live})
        call(peer, "sessions.send", {"key": live, "message": "hello", "idempotencyKey": "2"})
        world.advance(30)
        rows = {row["key"]: set(row) for row in call(peer, "sessions.list")["payload"]["sessions"]}
        seen = set(FIELDS[version]["row_seen"])
        # not simulated: who took part, what the context costs, and (5.18) a field that only cut rows lack
        left_out = {"participants", "expandedParticipants", "participantCount", "contextBudgetStatus", "lastActivityAt"}
        for key, wanted in ((KEY, "row_done"), ("agent:main:dashboard:created", "row_created")):
            assert rows[key] <= seen | {"contextTokens"}, key
            assert set(FIELDS[version][wanted]) - left_out <= rows[key], key
        tokens = {"inputTokens", "outputTokens", "totalTokens", "estimatedCostUsd"}
        assert set(FIELDS[version]["row_live"]) - left_out - tokens <= rows[live]
        assert rows[live] <= seen

    def test_envelope_and_hello(self, version: str) -> None:
        world = make_world(version)
        _, answer, _ = connect(world)
        hello = answer["payload"]
        assert set(hello) <= set(FIELDS[version]["hello"])
        assert set(hello["server"]) <= set(FIELDS[version]["server"])
        assert set(hello["snapshot"]) <= set(FIELDS[version]["snapshot"])
        peer, _, _ = connect(world)
        assert set(call(peer, "sessions.list")["payload"]) == set(FIELDS[version]["envelope"])

    def test_history_messages_and_other_answers(self, version: str) -> None:
        world = make_world(version)
        peer, _, _ = connect(world)
        seen = FIELDS[version]
        call(peer, "sessions.create", {"key": KEY})
        for number, turn in enumerate((turns.uses_tools(2), turns.streams(60), turns.stays_silent())):
            world.provider.usual = turn
            call(peer, "sessions.send", {"key": KEY, "message": "go", "idempotencyKey": f"r{number}"})
            world.advance(30)
            if number:
                call(peer, "sessions.abort", {"key": KEY})
            world.advance(5)
        history = call(peer, "chat.history", {"sessionKey": KEY})["payload"]
        assert set(history) <= set(seen["history_live"])
        for message in history["messages"]:
            assert set(message) <= set(seen["message"][message["role"]]), message["role"]
        world.provider.usual = turns.answers()
        accepted = call(peer, "agent", {"sessionKey": KEY, "message": "go", "idempotencyKey": "a1"})["payload"]
        world.advance(30)
        second = next(item for item in drain(peer) if item.get("id") == "x")
        assert (set(accepted), set(second["payload"])) == (set(seen["agent_accepted"]), set(seen["agent_result"]))
        waited = call(peer, "agent.wait", {"runId": "a1", "timeoutMs": 10})["payload"]
        assert set(waited) <= set(seen["agent_wait"])
        assert set(call(peer, "sessions.reset", {"key": KEY})["payload"]["entry"]) <= set(seen["reset_entry"])
        assert set(call(peer, "config.get")["payload"]) <= set(seen["config"])
        assert set(call(peer, "health")["payload"]) <= set(seen["health"])
        if seen["preflight"] is not None:
            assert sorted(call(peer, "gateway.restart.preflight")["payload"]["counts"]) == seen["preflight"]

    def test_events(self, version: str) -> None:
        world = make_world(version)
        peer, _, _ = connect(world)
        assert call(peer, "sessions.subscribe")["payload"] == {"subscribed": True}
        world.begin(KEY, "go", turns.uses_tools(1))
        world.advance(30)
        events = [item for item in drain(peer) if item["type"] == "event"]
        changed = [item for item in events if item["event"] == "sessions.changed"]
        assert {item["payload"].get("phase") for item in changed} >= {"start", "end"}
        for item in changed:
            assert set(item) <= set(FIELDS[version]["changed_frame"])
            assert set(item["payload"]) <= set(FIELDS[version]["changed"]) | {"activeRunIds"}
        agent = [item for item in events if item["event"] == "agent"]
        assert bool(agent) is (FIELDS[version]["agent_event"] is not None)
        for item in agent:
            assert set(item["payload"]) <= set(FIELDS[version]["agent_event"])

    def test_runs_are_told_to_all_operators_and_sessions_to_those_who_asked(self, version: str) -> None:
        world = make_world(version)
        peer, _, _ = connect(world)
        world.begin(KEY, "go", turns.streams(10))
        world.advance(30)
        told = [item for item in drain(peer) if item["type"] == "event"]
        is_told = version in ("2026.5.18", "2026.9.6")
        assert {item["event"] for item in told} == ({"agent"} if is_told else set())
        assert {item["payload"]["stream"] for item in told} == ({"lifecycle"} if is_told else set())

    def test_who_may_end_a_subscription(self, version: str) -> None:
        peer, hello, _ = connect(make_world(version), scopes=["operator.read"])
        call(peer, "sessions.subscribe")
        answer = call(peer, "sessions.unsubscribe")
        is_free = version != "2026.9.6"
        assert answer["ok"] is is_free
        assert ("sessions.unsubscribe" in hello["payload"]["features"]["methods"]) is is_free
        assert peer.is_subscribed is not is_free


class TestPaging:
    @staticmethod
    def _many(version: str, count: int = 250) -> SimulatedConnection:
        world = make_world(version)
        for number in range(count):
            world.session(f"agent:main:dashboard:{number}")
            world.advance(1)
        return connect(world)[0]

    @pytest.mark.parametrize("version", ["2026.3.24", "2026.4.14"])
    def test_the_old_ones_give_everything(self, version: str) -> None:
        peer = self._many(version)
        payload = call(peer, "sessions.list")["payload"]
        assert (payload["count"], "totalCount" in payload, "hasMore" in payload) == (250, False, False)
        assert call(peer, "sessions.list", {"limit": 10})["payload"]["count"] == 10

    def test_5_18_stops_at_a_hundred_and_knows_no_offset(self) -> None:
        peer = self._many("2026.5.18")
        payload = call(peer, "sessions.list")["payload"]
        facts = {name: payload.get(name) for name in ("count", "totalCount", "limitApplied", "hasMore", "nextOffset")}
        assert facts == {"count": 100, "totalCount": 250, "limitApplied": 100, "hasMore": True, "nextOffset": None}
        assert "unexpected property 'offset'" in call(peer, "sessions.list", {"offset": 100})["error"]["message"]
        assert call(peer, "sessions.list", {"limit": 1000})["payload"]["hasMore"] is False

    def test_96_is_paged_to_the_end(self) -> None:
        peer = self._many("2026.9.6")
        offset: int | None = 0
        keys: list[str] = []
        while offset is not None:
            payload = call(peer, "sessions.list", {"limit": 100, "offset": offset})["payload"]
            keys += [row["key"] for row in payload["sessions"]]
            offset = payload["nextOffset"]
        assert len(keys) == len(set(keys)) == 250
        assert keys[0] == "agent:main:dashboard:249", "newest updatedAt first: old rows fall off the first page"

    @pytest.mark.parametrize("version", VERSIONS)
    def test_active_minutes_hides_old_rows(self, version: str) -> None:
        peer = self._many(version, 10)
        peer.world.advance(7200)
        assert call(peer, "sessions.list", {"activeMinutes": 60})["payload"]["count"] == 0

    def test_single_cron_runs_are_left_out_on_3_24(self) -> None:
        for version, listed in (("2026.3.24", 0), ("2026.5.18", 1)):
            world = make_world(version)
            world.session("agent:main:cron:x:run:y")
            assert call(connect(world)[0], "sessions.list")["payload"]["count"] == listed


class TestRows:
    def test_the_lies_of_has_active_run(self) -> None:
        """Live runs by origin: web and agent are tracked on 5.18, a chat-app run is not; 9.6 knows them all."""
        for version, expected in (("2026.5.18", {"web": True, "agent": True, "channel": False}), ("2026.9.6", None)):
            world = make_world(version)
            world.lane_width = 9
            for origin in (turns.Origin.WEB, turns.Origin.AGENT, turns.Origin.CHANNEL):
                world.begin(f"agent:main:dashboard:{origin.value}", "go", turns.stays_silent(), origin=origin)
            world.advance(10)
            rows = call(connect(world)[0], "sessions.list")["payload"]["sessions"]
            flags = {row["key"].rpartition(":")[2]: row["hasActiveRun"] for row in rows if "status" in row}
            assert flags == (expected or dict.fromkeys(("web", "agent", "channel"), True))

    def test_active_run_ids_come_and_go_on_96(self) -> None:
        world = make_world("2026.9.6")
        peer, _, _ = connect(world)
        world.begin(KEY, "go", turns.answers(5))
        row = call(peer, "sessions.list")["payload"]["sessions"][0]
        assert (row["status"], "startedAt" in row, len(row["activeRunIds"])) == ("running", False, 1)
        world.advance(2)
        row = call(peer, "sessions.list")["payload"]["sessions"][0]
        assert (row["status"], "startedAt" in row, "activeRunIds" in row) == ("running", True, False)
        world.advance(20)
        assert call(peer, "sessions.list")["payload"]["sessions"][0]["activeRunIds"] == []

    @pytest.mark.parametrize("version", ["2026.3.24", "2026.4.14", "2026.5.18"])
    def test_before_96_the_old_row_is_shown_until_the_run_begins(self, version: str) -> None:
        world = make_world(version)
        session = world.finished_turn(KEY)
        world.begin(KEY, "go", turns.stays_silent())
        row = call(connect(world)[0], "sessions.list")["payload"]["sessions"][0]
        assert (row["status"], row["startedAt"]) == ("done", session.started_ms)

    def test_on_96_the_main_session_is_parent_of_all_an_operator_made(self) -> None:
        """Measured: ``parentSessionKey`` and ``childSessions`` do not mean sub-agents there."""
        world = make_world("2026.9.6")
        peer, _, _ = connect(world)
        for key in ("agent:main:main", KEY):
            call(peer, "sessions.create", {"key": key})
        rows = {row["key"]: row for row in call(peer, "sessions.list")["payload"]["sessions"]}
        assert rows["agent:main:main"]["childSessions"] == [KEY]
        assert rows[KEY]["parentSessionKey"] == "agent:main:main"

    def test_describe_does_not_tell_of_runs(self) -> None:
        world = make_world("2026.9.6")
        peer, _, _ = connect(world)
        world.begin(KEY, "go", turns.stays_silent())
        assert "hasActiveRun" not in call(peer, "sessions.describe", {"key": KEY})["payload"]["session"]
        assert call(peer, "sessions.describe", {"key": "agent:main:no"})["payload"] == {"session": None}


class TestCalls:
    def test_idempotency_keys_send_once(self) -> None:
        world = make_world("2026.9.6")
        peer, _, _ = connect(world)
        params = {"sessionKey": KEY, "message": "hi", "idempotencyKey": "k"}
        statuses = [call(peer, "chat.send", params)["payload"]["status"] for _ in range(2)]
        world.advance(30)
        statuses.append(call(peer, "chat.send", params)["payload"]["status"])
        assert statuses == ["started", "in_flight", "ok"]
        assert len([deed for deed in world.deeds if deed.method == "chat.send"]) == 1

    def test_agent_wait_proves_the_delivery_on_96(self) -> None:
        world = make_world("2026.9.6")
        key = "agent:main:irc:direct:alice"
        world.chat.join(key, Address("irc", "irc:alice"))
        peer, _, _ = connect(world)
        call(peer, "agent", {"sessionKey": key, "message": "hi", "deliver": True, "idempotencyKey": "k"})
        world.advance(30)
        drain(peer)
        payload = call(peer, "agent.wait", {"runId": "k", "timeoutMs": 10})["payload"]
        assert payload["terminalDelivery"] == {"status": "sent", "resultCount": 1}
        assert world.heard[-1].run_id == "k"

    def test_agent_wait_answers_when_the_run_ends_or_the_time_is_over(self) -> None:
        world = make_world("2026.5.18")
        peer, _, _ = connect(world)
        run_id = world.begin(KEY, "go", turns.answers(10))
        for timeout in (5_000, 60_000):
            peer.receive(
                {
                    "type": "req",
                    "id": timeout,
                    "method": "agent.wait",
                    "params": {"runId": run_id, "timeoutMs": timeout},
                }
            )
        world.advance(6)
        assert [(f["id"], f["payload"]["status"]) for f in drain(peer) if f["type"] == "res"] == [(5_000, "timeout")]
        world.advance(10)
        assert [(f["id"], f["payload"]["status"]) for f in drain(peer) if f["type"] == "res"] == [(60_000, "ok")]

    def test_best_effort_delivery_runs_without_an_address(self) -> None:
        """Measured on 9.6: ``deliver`` alone is refused there; with ``bestEffortDeliver`` the turn runs unheard."""
        world = make_world("2026.9.6")
        peer, _, _ = connect(world)
        params = {"sessionKey": KEY, "message": "hi", "deliver": True}
        assert "Channel is required" in call(peer, "agent", {**params, "idempotencyKey": "a"})["error"]["message"]
        assert call(peer, "agent", {**params, "bestEffortDeliver": True, "idempotencyKey": "b"})["ok"]
        world.advance(30)
        drain(peer)
        payload = call(peer, "agent.wait", {"runId": "b", "timeoutMs": 10})["payload"]
        assert payload["terminalDelivery"] == {"status": "failed", "resultCount": 0}

    def test_a_refused_delivery_takes_the_status_of_a_killed_row_along(self) -> None:
        world = make_world("2026.9.6")
        peer, _, _ = connect(world)
        world.begin(KEY, "go", turns.stays_silent())
        world.advance(5)
        call(peer, "sessions.abort", {"key": KEY})
        assert row_of(world, world.sessions[KEY])["status"] == "killed"
        call(peer, "agent", {"sessionKey": KEY, "message": "hi", "deliver": True, "idempotencyKey": "a"})
        assert "status" not in row_of(world, world.sessions[KEY])

    def test_a_literal_message_goes_to_the_chat_app(self) -> None:
        world = make_world("2026.9.6")
        peer, _, _ = connect(world)
        params = {"to": "irc:alice", "channel": "irc", "message": "a fresh session was started", "idempotencyKey": "k"}
        payload = call(peer, "send", params)["payload"]
        assert (payload["runId"], payload["channel"]) == ("k", "irc")
        assert (world.heard[-1].to, world.heard[-1].via) == ("irc:alice", "send")
        unknown = call(peer, "send", {**params, "channel": "fax"})
        assert unknown["error"]["message"] == "unsupported channel: fax"

    def test_approvals_and_questions_and_who_may_see_them(self) -> None:
        world = make_world("2026.9.6")
        world.begin(KEY, "deploy", turns.waits_for_approval())
        world.begin("agent:main:dashboard:b", "book", turns.asks_question())
        world.advance(10)
        admin, _, _ = connect(world)
        (approval,) = call(admin, "exec.approval.list")["payload"]
        assert approval["request"]["sessionKey"] == KEY
        (question,) = call(admin, "question.list")["payload"]["questions"]
        assert (question["sessionKey"], question["status"]) == ("agent:main:dashboard:b", "pending")
        writer, _, _ = connect(world, scopes=["operator.write"])
        assert call(writer, "exec.approval.list")["error"]["details"]["missingScope"] == "operator.approvals"
        words = "Session-scoped access requires a verified user profile."
        assert call(writer, "question.list")["error"] == {"code": "FORBIDDEN", "message": words}
        approver, _, _ = connect(world, scopes=["operator.read", "operator.approvals"])
        assert call(approver, "exec.approval.list")["payload"] == [], "only an admin sees what others asked for"

    def test_preflight_counts_every_live_run_whatever_started_it(self) -> None:
        world = make_world("2026.5.18")
        peer, _, _ = connect(world)
        assert call(peer, "gateway.restart.preflight")["payload"]["safe"] is True
        world.begin(KEY, "go", turns.stays_silent(), origin=turns.Origin.CHANNEL)
        world.advance(5)
        payload = call(peer, "gateway.restart.preflight")["payload"]
        assert (payload["safe"], payload["counts"]["embeddedRuns"], payload["counts"]["totalActive"]) == (False, 1, 4)

    def test_cron_lists(self) -> None:
        world = make_world("2026.9.6")
        entry = world.cron.add("digest", 600)
        world.advance(700)
        peer, _, _ = connect(world)
        assert call(peer, "cron.list")["payload"]["jobs"][0]["id"] == entry.id
        assert call(peer, "cron.runs", {"id": entry.id})["payload"]["entries"][0]["status"] == "ok"
        assert "not found" in call(peer, "cron.runs", {"id": "x"})["error"]["message"]

    def test_a_draining_gateway_refuses_everything_on_open_sockets(self) -> None:
        world = make_world("2026.9.6")
        peer, _, _ = connect(world)
        world.begin(KEY, "go", turns.answers(60))
        world.advance(5)
        world.process.terminate()
        error = call(peer, "sessions.list")["error"]
        assert (error["code"], error["retryable"], error["details"]["reason"]) == (
            "UNAVAILABLE",
            True,
            "gateway-restarting",
        )
        world.advance(120)
        *_, shutdown, close = drain(peer)
        assert (shutdown["event"], shutdown["payload"]["reason"]) == ("shutdown", "gateway stopping")
        assert close == Close(1012, "service restart")

    def test_a_kill_ends_connections_without_a_word(self) -> None:
        world = make_world("2026.9.6")
        peer, _, _ = connect(world)
        world.process.kill()
        assert drain(peer) == [Close(None, "")]
        assert not peer.is_open

    @pytest.mark.parametrize(
        "frame", [None, 7, "text", [], {"type": "res"}, {"type": "req"}, {"type": "req", "method": 3}]
    )
    def test_nonsense_frames_close_the_connection(self, frame: object) -> None:
        peer, _, _ = connect(make_world("2026.9.6"))
        peer.receive(frame)
        assert not peer.is_open

    @pytest.mark.parametrize("params", [[], "x", 7])
    def test_nonsense_params_are_refused(self, params: object) -> None:
        peer, _, _ = connect(make_world("2026.9.6"))
        assert "must be object" in call(peer, "sessions.list", params)["error"]["message"]
