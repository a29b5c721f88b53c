"""What a gateway says while it recovers by itself, has given up, is suspended or refuses: conditions.md and people.md."""

from __future__ import annotations

from typing import Any

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.actions import Refused
from openclaw_simulator.payloads import preflight
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.records import Cause, ClientInfo, GroundTruth, RefusedDeed
from openclaw_simulator.rows import row_of
from openclaw_simulator.sessions import Activity, ActivityStep, Address, Ending, Turn
from openclaw_simulator.world import World
from tests.unit.openclaw_simulator.peers import call, connect
from tests.unit.openclaw_simulator.simulated import make_world

ADMIN = frozenset({"operator.read", "operator.write", "operator.admin"})
BACKEND = ClientInfo(device_id="w", scopes=ADMIN)
CHAT, DASHBOARD = "agent:main:irc:direct:alice", "agent:main:dashboard:d"
KEYS = [f"agent:main:dashboard:{number}" for number in range(3)]
ANSWERED = Turn((ActivityStep(Activity.SILENT, 3.0),), ending=Ending.ANSWERED)


def _names_recovery(world: World) -> bool:
    return any("main-session:startup-recovery" in blocker["message"] for blocker in preflight(world)["blockers"])


def _three_cut(version: str = "2026.9.6", *, breaks_off: int = 0) -> World:
    """Three runs were cut, the gateway is up again, and the model takes ten minutes for each."""
    world = make_world(version)
    for key in KEYS:
        world.begin(key, f"work in {key}", turns.stays_silent())
    world.advance(10)
    world.provider.usual = turns.answers(600)
    world.process.restart(1)
    world.process.breaks_off = breaks_off
    world.advance(1 + world.profile.start_seconds + 3)
    return world


def _waiting(world: World) -> list[str]:
    return [key for key in KEYS if world.truth(key) is GroundTruth.RECOVERING]


class TestWaitingForTheGatewaysOwnRecovery:
    def test_one_goes_and_the_others_look_dead(self) -> None:
        world = _three_cut()
        live, *waiting = sorted(KEYS, key=lambda key: world.truth(key) is GroundTruth.RECOVERING)
        assert world.truth(live) is GroundTruth.LIVE
        for key in waiting:
            row = row_of(world, world.sessions[key])
            assert (row["status"], row["hasActiveRun"], row["abortedLastRun"]) == ("running", False, True)
        assert preflight(world)["counts"] == {
            "queueSize": 2, "pendingReplies": 0, "embeddedRuns": 1, "cronRuns": 0, "backgroundExecSessions": 0,
            "rootRequests": 1, "activeTasks": 1, "totalActive": 5,
        }  # fmt: skip
        assert _names_recovery(world)
        world.advance(1300)
        assert (_waiting(world), _names_recovery(world)) == ([], True)
        world.advance(700)
        assert {session.status for session in world.sessions.values()} == {"done"}
        assert not _names_recovery(world)

    def test_between_two_tries_nothing_names_it(self) -> None:
        world = _three_cut(breaks_off=1)
        assert (len(_waiting(world)), _names_recovery(world)) == (3, False)
        world.advance(5)
        assert (len(_waiting(world)), _names_recovery(world)) == (2, True)

    def test_after_three_tries_it_gives_up_and_the_rows_stay(self) -> None:
        world = _three_cut(breaks_off=3)
        world.advance(60)
        assert [world.truth(key) for key in KEYS] == 3 * [GroundTruth.STUCK]
        assert {row_of(world, world.sessions[key])["abortedLastRun"] for key in KEYS} == {True}

    def test_a_clients_turn_meanwhile_breaks_it(self) -> None:
        world = _three_cut()
        key = _waiting(world)[0]
        deed = world.actions.send(world.sessions[key], BACKEND, "go on", "ours", method="chat.send")
        assert (deed.truth, deed.effect) == (GroundTruth.RECOVERING, "queued behind a live run")
        world.advance(1500)
        assert {(broken.key, broken.run_ids) for broken in world.broken_recoveries} == {(key, ("ours",))}
        assert sum(world.sessions[key].status == "done" for key in KEYS) == 2

    def test_a_persons_words_wait_for_it(self) -> None:
        world = make_world()
        world.chat.join(CHAT, Address("irc", "irc:alice"))
        world.chat.person_writes(CHAT, "the first", turns.stays_silent())
        world.advance(10)
        world.process.restart(1)
        world.process.breaks_off = 1
        world.advance(1 + world.profile.start_seconds + 3)
        world.chat.person_writes(CHAT, "and the second")
        world.advance(60)
        assert not world.broken_recoveries
        assert "and the second" in world.heard[-1].text

    def test_before_96_nobody_waits(self) -> None:
        world = _three_cut("2026.5.18")
        assert [world.truth(key) for key in KEYS] == 3 * [GroundTruth.STUCK]


class TestTombstones:
    @pytest.fixture
    def world(self) -> World:
        """A session with a chat whose recovery was cut three times."""
        world = make_world()
        world.chat.join(CHAT, Address("irc", "irc:alice"))
        world.chat.person_writes(CHAT, "a heavy task", turns.stays_silent())
        world.provider.usual = turns.stays_silent()
        for _ in range(4):
            world.advance(20)
            world.process.restart(1)
        world.advance(20)
        world.provider.usual = turns.answers()
        return world

    def test_its_row_and_what_its_person_hears(self, world: World) -> None:
        row = row_of(world, world.sessions[CHAT])
        assert (row["status"], row["restartRecoveryStatus"]) == ("failed", "tombstoned")
        assert (row["abortedLastRun"], row["hasActiveRun"], "lastRunId" in row) == (False, False, False)
        assert world.heard[-1].text.startswith("I couldn't continue this session")
        before = (row["updatedAt"], row["lastInteractionAt"])
        world.chat.person_writes(CHAT, "hello?")
        world.advance(5)
        row = row_of(world, world.sessions[CHAT])
        assert (row["updatedAt"], row["lastInteractionAt"]) == before
        assert "ended" in world.heard[-1].text

    @pytest.mark.parametrize("text", ["go on", "/new"])
    def test_every_client_is_refused(self, world: World, text: str) -> None:
        session = world.sessions[CHAT]
        with pytest.raises(Refused, match="ended during restart recovery"):
            world.actions.send(session, BACKEND, text, "r1", method="sessions.send")
        with pytest.raises(Refused, match="ended during restart recovery"):
            world.actions.run_agent(session, BACKEND, text, "r2", deliver=False, explicit=None)

    def test_a_reset_lets_its_person_in(self, world: World) -> None:
        world.actions.reset(CHAT, BACKEND, "reset")
        world.chat.person_writes(CHAT, "hello again")
        world.advance(20)
        assert (world.sessions[CHAT].status, world.heard[-1].via) == ("done", "reply")

    def test_recover_cuts_its_person_off(self, world: World) -> None:
        world.actions.recover(CHAT, BACKEND)
        world.advance(20)
        with pytest.raises(Refused, match="ended during restart recovery"):
            world.actions.reset(CHAT, BACKEND, "reset")
        world.chat.person_writes(CHAT, "hello?")
        world.advance(20)
        assert "ended" in world.heard[-1].text
        world.chat.person_writes(CHAT, "/new")
        world.chat.person_writes(CHAT, "hello again")
        world.advance(20)
        assert world.heard[-1].via == "reply"


class TestAnsweredAndStillRunning:
    def test_whoever_writes_next_is_refused_until_a_send_frees_the_row(self) -> None:
        world = make_world()
        world.chat.join(CHAT, Address("irc", "irc:alice"))
        world.chat.person_writes(CHAT, "the question", ANSWERED)
        world.advance(20)
        session = world.sessions[CHAT]
        assert (session.status, world.truth(CHAT)) == ("running", GroundTruth.FINISHED)
        assert "Something went wrong" in world.heard[-1].text
        assert call(connect(world)[0], "chat.history", {"sessionKey": CHAT})["payload"]["messages"][-1]["role"] == (
            "assistant"
        )
        world.chat.person_writes(CHAT, "and this?")
        world.advance(1)
        assert world.truth(CHAT) is GroundTruth.LOCKED_OUT
        first = row_of(world, session)
        world.advance(10)
        later = row_of(world, session)
        assert all(later[name] > first[name] for name in ("updatedAt", "lastInteractionAt"))
        world.actions.send(session, BACKEND, "let them in", "r", method="sessions.send")
        world.advance(20)
        assert (session.status, world.heard[-1].via) == ("done", "reply")

    def test_a_clients_own_turn_is_answered_and_delivered(self) -> None:
        world = make_world()
        world.chat.join(CHAT, Address("irc", "irc:alice"))
        world.provider.usual = ANSWERED
        world.actions.run_agent(
            world.sessions[CHAT], BACKEND, "go on", "r", deliver=True, explicit=Address("irc", "irc:alice")
        )
        world.advance(20)
        assert (world.sessions[CHAT].status, world.heard[-1].via) == ("running", "deliver")
        assert [(stall.cause, stall.truth) for stall in world.stalls] == [(Cause.ANSWERED, GroundTruth.FINISHED)]
        assert not world.sessions[CHAT].is_deaf

    @pytest.mark.parametrize("version", [version for version in PROFILES if version < "2026.9"])
    def test_before_96_a_row_is_written(self, version: str) -> None:
        world = make_world(version)
        world.begin(DASHBOARD, "the question", ANSWERED)
        world.advance(20)
        assert world.sessions[DASHBOARD].status == "done"


class TestYielding:
    @pytest.mark.parametrize("is_woken", [True, False])
    def test_a_parent_that_waits_for_its_children(self, is_woken: bool) -> None:
        world = make_world()
        child = "agent:main:subagent:one"
        world.begin(DASHBOARD, "divide it", turns.yields(((child, turns.answers(30)),), is_woken=is_woken))
        world.advance(10)
        session = world.sessions[DASHBOARD]
        row = row_of(world, session)
        assert (row["status"], row["hasActiveRun"], row["hasActiveSubagentRun"]) == ("running", False, True)
        assert ("endedAt" in row, world.sessions[child].status) == (True, "running")
        tools = [entry.text for entry in session.transcript if entry.kind is turns.EntryKind.TOOL_CALL]
        assert tools == ["sessions_spawn", "sessions_yield"]
        world.advance(60)
        is_answered = session.transcript[-1].kind is turns.EntryKind.ANSWER
        assert (world.sessions[child].status, is_answered) == ("done", is_woken)
        assert session.status == ("done" if is_woken else "running")
        assert world.truth(DASHBOARD) is (GroundTruth.IDLE if is_woken else GroundTruth.STUCK)

    @pytest.mark.parametrize("version", [version for version in PROFILES if version < "2026.9"])
    def test_before_96_its_row_says_done_at_once(self, version: str) -> None:
        world = _yielded(version)
        assert (world.sessions[DASHBOARD].status, world.truth(DASHBOARD)) == ("done", GroundTruth.IDLE)

    @pytest.mark.parametrize(
        ("version", "statuses"),
        [("2026.3.24", ["running", "running"]), ("2026.5.18", [None, "failed"]), ("2026.9.6", ["failed", "failed"])],
    )
    def test_a_child_that_was_cut(self, version: str, statuses: list[str | None]) -> None:
        """What its row says five seconds after the start, and two minutes after it."""
        world = _yielded(version)
        world.process.restart(1)
        world.advance(world.profile.start_seconds + 6)
        early = world.sessions[CHILD].status
        world.advance(120)
        assert [early, world.sessions[CHILD].status] == statuses

    def test_96_wakes_the_parent_of_a_child_that_was_cut_and_takes_it_for_no_cut_run(self) -> None:
        world = _yielded("2026.9.6")
        world.process.restart(1)
        world.advance(world.profile.start_seconds + 5)
        session = world.sessions[DASHBOARD]
        assert (session.status, session.aborted_last_run, session.run) == ("running", False, None)
        world.advance(30)
        assert (session.status, session.transcript[-1].kind) == ("done", turns.EntryKind.ANSWER)

    @pytest.mark.parametrize("version", ["2026.3.24", "2026.5.18"])
    def test_before_it_is_forgotten(self, version: str) -> None:
        world = _yielded(version)
        before = len(world.sessions[DASHBOARD].transcript)
        world.process.restart(1)
        world.advance(300)
        assert len(world.sessions[DASHBOARD].transcript) == before


CHILD = "agent:main:subagent:one"


def _yielded(version: str) -> World:
    """A session that waits for a sub-agent that is still at work."""
    world = make_world(version)
    world.begin(DASHBOARD, "divide it", turns.yields(((CHILD, turns.stays_silent()),)))
    world.advance(10)
    assert world.sessions[CHILD].run is not None
    return world


def _error(answer: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = answer["error"]
    return error


class TestRefusals:
    @pytest.mark.parametrize(
        ("refusal", "said"),
        [
            (RefusedDeed("UNAVAILABLE", "Error: disk I/O error"), {}),
            (
                RefusedDeed("UNAVAILABLE", "Session is still active; try again.", retryable=True, retry_after_ms=1000),
                {"retryable": True, "retryAfterMs": 1000},
            ),
        ],
    )
    def test_a_deed_is_refused_for_good_with_what_the_wire_says(
        self, refusal: RefusedDeed, said: dict[str, Any]
    ) -> None:
        world = make_world()
        world.finished_turn(DASHBOARD)
        world.sessions[DASHBOARD].refusal = refusal
        peer, _, _ = connect(world)
        for method, params in (
            ("sessions.send", {"key": DASHBOARD, "message": "go on"}),
            ("chat.send", {"sessionKey": DASHBOARD, "message": "go on", "idempotencyKey": "b"}),
            ("agent", {"sessionKey": DASHBOARD, "message": "go on", "idempotencyKey": "c"}),
            ("sessions.reset", {"key": DASHBOARD}),
        ):
            assert _error(call(peer, method, params)) == {"code": "UNAVAILABLE", "message": refusal.message} | said
        assert not any(deed.changed for deed in world.deeds)

    def test_a_suspended_gateway_takes_nothing_until_it_is_resumed(self) -> None:
        world = make_world()
        peer, _, _ = connect(world)
        answer = call(peer, "gateway.suspend.prepare", {"requestId": "r"})["payload"]
        assert (answer["status"], answer["activeCount"]) == ("ready", 0)
        error = _error(call(peer, "sessions.list"))
        assert (error["retryable"], error["details"]["reason"]) == (True, "gateway-suspending")
        _, hello, _ = connect(world)
        assert hello["payload"]["snapshot"]["suspension"] == {"phase": "prepared"}
        call(peer, "gateway.suspend.resume", {"suspensionId": answer["suspensionId"]})
        assert call(peer, "sessions.list")["ok"]

    def test_a_suspension_ends_by_itself(self) -> None:
        world = make_world()
        world.process.suspend(120)
        world.advance(119)
        assert world.process.is_suspended
        world.advance(2)
        assert not world.process.is_suspended

    def test_a_busy_gateway_is_not_suspended(self) -> None:
        world = make_world()
        world.begin(DASHBOARD, "work", turns.stays_silent())
        world.advance(5)
        answer = call(connect(world)[0], "gateway.suspend.prepare", {"requestId": "r"})["payload"]
        assert (answer["status"], world.process.is_suspended) == ("busy", False)

    def test_a_drifted_store_refuses_all_but_preflight_and_no_process_starts_on_it(self) -> None:
        world = make_world()
        world.has_drifted = True
        peer, hello, _ = connect(world)
        assert hello["ok"]
        for method in ("sessions.list", "health", "status"):
            error = _error(call(peer, method))
            assert (error["code"], set(error)) == ("UNAVAILABLE", {"code", "message"})
            assert "drifted" in error["message"]
        assert call(peer, "gateway.restart.preflight")["ok"]
        world.process.restart(1)
        world.advance(60)
        assert not world.process.is_answering
        world.has_drifted = False
        world.process.start()
        world.advance(60)
        assert world.process.is_answering

    @pytest.mark.parametrize("version", PROFILES)
    def test_a_status_word_of_some_later_version(self, version: str) -> None:
        world = make_world(version)
        world.begin(DASHBOARD, "work", turns.stays_silent())
        world.advance(10)
        session = world.sessions[DASHBOARD]
        session.status_word = "hibernating"
        world.touch(session)
        assert row_of(world, session)["status"] == "hibernating"
