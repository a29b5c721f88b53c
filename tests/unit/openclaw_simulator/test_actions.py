"""Deeds and deliveries, version by version: channels.md section 4 as a table."""

from __future__ import annotations

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.actions import Refused
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.records import ClientInfo, GroundTruth
from openclaw_simulator.rows import row_of
from openclaw_simulator.sessions import Address
from openclaw_simulator.world import World
from tests.unit.openclaw_simulator.simulated import make_world

ADMIN = frozenset({"operator.read", "operator.write", "operator.admin"})
BACKEND = ClientInfo(device_id="w", scopes=ADMIN)
CLI = ClientInfo(device_id="w", client_id="cli", mode="cli", scopes=ADMIN)
GROUP, DIRECT, MAIN = "agent:main:irc:group:#ops", "agent:main:irc:direct:alice", "agent:main:main"
PEOPLE = {GROUP: "channel:#ops", DIRECT: "irc:alice", MAIN: "irc:alice"}


def stuck_chat(version: str, key: str) -> World:
    """A chat-app session that is stuck as this version gets stuck: crash before 9.6, lost write on 9.6."""
    world = make_world(version)
    world.chat.join(key, Address("irc", PEOPLE[key]))
    world.chat.person_writes(key, "hello", turns.answers(1))
    world.advance(10)
    if world.profile.recovers_at_boot:
        world.chat.person_writes(key, "the lost task", turns.answers(5))
        world.advance(2)
        world.lock_store(40)
        world.advance(60)
    else:
        world.chat.person_writes(key, "the lost task", turns.stays_silent())
        world.advance(10)
        world.process.restart(1)
        world.advance(30)
    assert world.truth(key) is GroundTruth.STUCK
    world.heard.clear()
    return world


def chat_send(world: World, key: str, client: ClientInfo, text: str = "go on", *, deliver: bool = True) -> None:
    session = world.sessions[key]
    route = world.outbound.route_of_chat_send(session, client, deliver=deliver, explicit=None)
    world.actions.send(session, client, text, "r1", method="chat.send", route=route)


def heard_by(world: World, key: str) -> list[str]:
    return [heard.text for heard in world.heard if heard.to == PEOPLE[key]]


def _knocks(world: World, text: str, *, seconds: int) -> list[int]:
    """A person writes; the seconds after it at which the row's times move."""
    began = world.wall_ms
    world.chat.person_writes(GROUP, text)
    seen = []
    for _ in range(seconds):
        moved = world.sessions[GROUP].last_interaction_ms
        world.advance(1)
        if world.sessions[GROUP].last_interaction_ms != moved:
            seen.append(round(((world.sessions[GROUP].last_interaction_ms or 0) - began) / 1000))
    return seen


class TestDelivery:
    """Who hears the answer of a resume turn, and is the row cured?"""

    @pytest.mark.parametrize("version", ["2026.3.24", "2026.4.14", "2026.5.18"])
    @pytest.mark.parametrize(
        ("key", "client", "is_heard"),
        [
            (GROUP, BACKEND, True),
            (DIRECT, BACKEND, True),
            (MAIN, BACKEND, False),
            (MAIN, CLI, True),
            (GROUP, CLI, True),
        ],
    )
    def test_chat_send_deliver(self, version: str, key: str, client: ClientInfo, is_heard: bool) -> None:
        world = stuck_chat(version, key)
        chat_send(world, key, client)
        world.advance(30)
        assert bool(heard_by(world, key)) is is_heard
        assert (row_of(world, world.sessions[key])["status"], world.stalls[-1].ended_by) == ("done", "turn:r1")

    @pytest.mark.parametrize("version", list(PROFILES))
    @pytest.mark.parametrize("key", [GROUP, MAIN])
    def test_without_deliver_nobody_hears_it(self, version: str, key: str) -> None:
        world = stuck_chat(version, key)
        chat_send(world, key, CLI, deliver=False)
        world.advance(30)
        assert heard_by(world, key) == []

    @pytest.mark.parametrize("version", list(PROFILES))
    @pytest.mark.parametrize("key", [GROUP, DIRECT, MAIN])
    def test_agent_deliver_is_heard_everywhere_and_cures_from_5_18_on(self, version: str, key: str) -> None:
        world = stuck_chat(version, key)
        started = row_of(world, world.sessions[key])["startedAt"]
        world.actions.run_agent(world.sessions[key], BACKEND, "go on", "r1", deliver=True, explicit=None)
        world.advance(30)
        row = row_of(world, world.sessions[key])
        assert len(heard_by(world, key)) == 1
        if version in ("2026.3.24", "2026.4.14"):
            assert (row["status"], row["startedAt"], world.truth(key)) == ("running", started, GroundTruth.STUCK)
        else:
            assert (row["status"], world.truth(key)) == ("done", GroundTruth.IDLE)

    def test_explicit_originating_route_reaches_main_from_any_client(self) -> None:
        world = stuck_chat("2026.5.18", MAIN)
        session = world.sessions[MAIN]
        explicit = Address("irc", PEOPLE[MAIN])
        assert world.outbound.route_of_chat_send(session, BACKEND, deliver=True, explicit=explicit) == explicit


class TestDeaf:
    """2026.9.6, a chat-app session after a lost write (channels.md 3)."""

    def test_plain_sends_fail_once_and_that_cures_the_row(self) -> None:
        world = stuck_chat("2026.9.6", GROUP)
        chat_send(world, GROUP, CLI)
        world.advance(0.1)
        row = row_of(world, world.sessions[GROUP])
        assert (row["status"], row["hasActiveRun"], row["lastRunId"]) == ("failed", False, "r1")
        assert row["lastRunError"] == "Error: restart recovery claim changed before agent adoption"
        assert heard_by(world, GROUP) == []
        result = world.results.get("r1")
        assert result is not None
        assert result.status == "failed"
        session = world.sessions[GROUP]
        world.actions.send(session, CLI, "again", "r2", method="chat.send", route=session.address)
        world.advance(30)
        assert (session.status, len(heard_by(world, GROUP))) == ("done", 1)

    def test_what_a_person_writes_is_spooled_and_answered_after_the_cure(self) -> None:
        world = stuck_chat("2026.9.6", GROUP)
        world.chat.person_writes(GROUP, "hello? anybody?")
        world.advance(75)
        assert (heard_by(world, GROUP), world.truth(GROUP)) == ([], GroundTruth.STUCK)
        world.actions.run_agent(world.sessions[GROUP], BACKEND, "go on", "r1", deliver=True, explicit=None)
        world.advance(60)
        assert len(heard_by(world, GROUP)) == 2
        assert any("hello? anybody?" in text for text in heard_by(world, GROUP))

    def test_what_waits_is_offered_again_after_twice_as_long_each_time(self) -> None:
        world = stuck_chat("2026.9.6", GROUP)
        assert _knocks(world, "anybody?", seconds=1200) == [1, 3, 7, 15, 31, 63, 127, 255, 435, 615, 795, 975, 1155]

    def test_freed_it_is_answered_at_the_next_time_and_no_sooner(self) -> None:
        world = stuck_chat("2026.9.6", GROUP)
        assert _knocks(world, "anybody?", seconds=64)[-1] == 63
        chat_send(world, GROUP, CLI)
        world.advance(60)
        assert heard_by(world, GROUP) == []
        world.advance(10)
        assert len(heard_by(world, GROUP)) == 1

    def test_a_new_process_begins_anew_with_what_waited(self) -> None:
        world = stuck_chat("2026.9.6", GROUP)
        assert _knocks(world, "anybody?", seconds=64)[-1] == 63
        world.process.restart(1)
        world.advance(world.profile.start_seconds + 30)
        assert any("anybody?" in text for text in heard_by(world, GROUP))
        session = world.sessions[GROUP]
        assert (session.spool, session.is_retrying) == ([], False)

    def test_a_persons_own_new_works(self) -> None:
        world = stuck_chat("2026.9.6", GROUP)
        world.chat.person_writes(GROUP, "/new")
        world.advance(10)
        assert heard_by(world, GROUP) == ["✅ New session started."]
        assert "status" not in row_of(world, world.sessions[GROUP])

    def test_the_person_was_told_when_it_happened(self) -> None:
        world = make_world("2026.9.6")
        world.chat.join(GROUP, Address("irc", PEOPLE[GROUP]))
        world.chat.person_writes(GROUP, "task", turns.answers(5))
        world.advance(2)
        world.lock_store(40)
        world.advance(60)
        assert heard_by(world, GROUP)[0].startswith("⚠️ Something went wrong")


class TestPersonMeetsStuck:
    @pytest.mark.parametrize(("version", "is_known"), [("2026.3.24", False), ("2026.4.14", True), ("2026.5.18", True)])
    def test_an_ordinary_message_is_answered_at_once(self, version: str, is_known: bool) -> None:
        """channels.md 5: answered, the row cured; 3.24 forgets what was interrupted."""
        world = stuck_chat(version, DIRECT)
        world.chat.person_writes(DIRECT, "are you there?")
        world.advance(30)
        assert len(heard_by(world, DIRECT)) == 1
        assert world.stalls[-1].ended_by is not None
        assert world.stalls[-1].ended_by.startswith("person:")
        assert any("the lost task" in text for text in world.model_calls[-1].said) is is_known

    def test_a_message_to_a_gateway_that_is_down_is_lost(self) -> None:
        world = stuck_chat("2026.5.18", DIRECT)
        world.process.kill()
        assert world.chat.person_writes(DIRECT, "hello?") is None


class TestNew:
    """``/new``: the row, the session id, the reply address, and who is told."""

    @pytest.mark.parametrize(
        ("version", "status", "keeps_id", "address"),
        [
            ("2026.3.24", "done", False, {"channel": "irc"}),
            ("2026.5.18", "running", False, {"channel": "irc"}),
            ("2026.9.6", None, True, {"channel": "irc", "to": GROUP, "accountId": "default"}),
        ],
    )
    def test_sessions_send_new_destroys_the_address(
        self, version: str, status: str | None, keeps_id: bool, address: dict[str, str]
    ) -> None:
        world = stuck_chat(version, GROUP)
        session = world.sessions[GROUP]
        before = session.session_id
        world.actions.send(session, BACKEND, "/new", "r1", method="sessions.send")
        world.advance(30)
        row = row_of(world, session)
        assert row.get("status") == status
        assert (session.session_id == before) is keeps_id
        assert row["deliveryContext"] == address
        assert heard_by(world, GROUP) == []
        chat_send(world, GROUP, CLI, "hello")
        world.actions.run_agent(session, BACKEND, "hello", "r3", deliver=True, explicit=None)
        world.advance(30)
        assert heard_by(world, GROUP) == [], "silent until the person writes again"
        world.chat.person_writes(GROUP, "hi")
        world.advance(30)
        assert heard_by(world, GROUP)

    def test_main_loses_its_address_altogether(self) -> None:
        for version, left in (
            ("2026.3.24", {"channel": "webchat"}),
            ("2026.5.18", {"channel": "webchat"}),
            ("2026.9.6", None),
        ):
            world = stuck_chat(version, MAIN)
            world.actions.send(world.sessions[MAIN], BACKEND, "/new", "r1", method="sessions.send")
            world.advance(30)
            assert row_of(world, world.sessions[MAIN]).get("deliveryContext") == left

    @pytest.mark.parametrize(
        ("version", "status"), [("2026.3.24", "done"), ("2026.5.18", "running"), ("2026.9.6", None)]
    )
    def test_chat_send_new_deliver_is_heard_and_keeps_the_address(self, version: str, status: str | None) -> None:
        world = stuck_chat(version, GROUP)
        chat_send(world, GROUP, BACKEND, "/new")
        world.advance(30)
        assert heard_by(world, GROUP)[0].startswith("✅ New session started")
        row = row_of(world, world.sessions[GROUP])
        assert (row.get("status"), row["deliveryContext"]["to"]) == (status, PEOPLE[GROUP])

    def test_on_5_18_the_row_still_lies_after_new_and_the_next_message_cures_it(self) -> None:
        world = stuck_chat("2026.5.18", GROUP)
        chat_send(world, GROUP, BACKEND, "/new")
        world.advance(10)
        assert world.stalls[-1].is_open
        world.actions.send(world.sessions[GROUP], BACKEND, "hello", "r2", method="sessions.send")
        world.advance(30)
        assert world.sessions[GROUP].status == "done"

    def test_new_text_resets_and_runs_the_text(self) -> None:
        world = stuck_chat("2026.9.6", DIRECT)
        world.actions.send(world.sessions[DIRECT], BACKEND, "/new count to ten", "r1", method="sessions.send")
        world.advance(30)
        assert world.model_calls[-1].said == ("count to ten",)


class TestReset:
    @pytest.mark.parametrize("version", list(PROFILES))
    def test_it_clears_the_row_and_keeps_the_address(self, version: str) -> None:
        world = stuck_chat(version, GROUP)
        session = world.sessions[GROUP]
        world.actions.reset(GROUP, BACKEND, "new")
        world.advance(5)
        row = row_of(world, session)
        assert "status" not in row
        assert "startedAt" not in row
        assert row["deliveryContext"]["to"] == PEOPLE[GROUP]
        assert world.stalls[-1].ended_by == "reset"
        assert heard_by(world, GROUP) == []
        route = world.outbound.route_of_chat_send(session, BACKEND, deliver=True, explicit=None)
        world.actions.send(session, BACKEND, "a fresh session was started", "r2", method="chat.send", route=route)
        world.advance(30)
        assert len(heard_by(world, GROUP)) == 1

    @pytest.mark.parametrize(
        ("version", "words"), [("2026.3.24", "reply 1 to: hello"), ("2026.5.18", "Request was aborted.")]
    )
    def test_it_kills_a_healthy_run_and_the_person_reads_nonsense(self, version: str, words: str) -> None:
        """channels.md 6: the cost of a false positive."""
        world = make_world(version)
        world.chat.join(DIRECT, Address("irc", PEOPLE[DIRECT]))
        world.chat.person_writes(DIRECT, "hello", turns.answers(1))
        world.advance(10)
        world.chat.person_writes(DIRECT, "task", turns.streams(600))
        world.advance(10)
        world.actions.reset(DIRECT, BACKEND, "new")
        assert heard_by(world, DIRECT)[-1] == words
        assert (world.deeds[-1].truth, world.deeds[-1].killed_run is not None) == (GroundTruth.LIVE, True)


class TestFalsePositives:
    """What a resume turn does to a healthy run (channels.md 6)."""

    @staticmethod
    def _healthy(version: str) -> World:
        world = make_world(version)
        world.chat.join(GROUP, Address("irc", PEOPLE[GROUP]))
        world.chat.person_writes(GROUP, "the question", turns.streams(25, "the answer"))
        world.advance(5)
        chat_send(world, GROUP, CLI, "continue")
        world.advance(60)
        return world

    def test_3_24_gives_the_answer_and_then_an_extra_reply(self) -> None:
        world = self._healthy("2026.3.24")
        assert heard_by(world, GROUP)[0] == "the answer"
        assert len(heard_by(world, GROUP)) == 2

    def test_5_18_never_gives_the_answer_to_the_question(self) -> None:
        """The words join the live run, which then speaks to them."""
        world = self._healthy("2026.5.18")
        assert [text for text in heard_by(world, GROUP) if "continue" in text] == heard_by(world, GROUP) != []
        assert world.model_calls[-1].said == ("the question", "continue")

    def test_96_kills_a_live_chat_app_run_for_anybody_who_aborts(self) -> None:
        world = make_world("2026.9.6")
        world.chat.join(GROUP, Address("irc", PEOPLE[GROUP]))
        world.chat.person_writes(GROUP, "the question", turns.stays_silent())
        world.advance(5)
        plain = ClientInfo(device_id="other", scopes=frozenset({"operator.write"}))
        aborted = world.actions.abort(world.sessions[GROUP], plain, GROUP)
        assert (aborted.status, aborted.run_id) == ("aborted", None)
        assert heard_by(world, GROUP)[-1].startswith("⚠️ OpenClaw couldn't produce or deliver a reply")
        assert row_of(world, world.sessions[GROUP])["status"] == "killed"


class TestRecover:
    def test_only_tombstoned_sessions_are_recovered(self) -> None:
        world = stuck_chat("2026.9.6", DIRECT)
        with pytest.raises(Refused, match="restart-tombstoned"):
            world.actions.recover(DIRECT, BACKEND)
        with pytest.raises(Refused, match="not found"):
            world.actions.recover("agent:main:nobody", BACKEND)
        world.tombstone(DIRECT)
        row = row_of(world, world.sessions[DIRECT])
        assert (row["status"], row["restartRecoveryStatus"]) == ("failed", "tombstoned")
        with pytest.raises(Refused, match="ended during restart recovery"):
            world.actions.send(world.sessions[DIRECT], BACKEND, "go on", "r1", method="chat.send")
        follower, run_id = world.actions.recover(DIRECT, BACKEND)
        world.advance(30)
        assert follower.key.startswith("agent:main:dashboard:")
        assert run_id.startswith("restart-recovery-rollover:")
        assert (follower.status, world.sessions[DIRECT].is_archived) == ("done", True)
