"""The world itself: time, truth, determinism, deeds, and what a simulated hour costs."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.agenda import Agenda
from openclaw_simulator.faults import Armed, Wire, schedule
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.records import Cause, Change, ClientInfo, GroundTruth
from openclaw_simulator.rows import row_of
from openclaw_simulator.sessions import Address, Origin
from openclaw_simulator.world import World
from tests.simulator.traffic import Habits, Traffic
from tests.unit.openclaw_simulator.simulated import NOW, make_world

KEY = "agent:main:dashboard:a"
SOMEBODY = ClientInfo(device_id="watchdog", scopes=frozenset({"operator.read", "operator.write"}))
VERSIONS = tuple(PROFILES)


class TestAgenda:
    def test_events_happen_in_order_of_time_then_of_entry(self) -> None:
        agenda = Agenda(0)
        seen: list[str] = []
        agenda.after(2, seen.append, "later")
        agenda.after(1, seen.append, "first")
        agenda.after(1, seen.append, "second")
        agenda.advance(3000)
        assert seen == ["first", "second", "later"]
        assert agenda.now_ms == 3000

    def test_a_killed_process_does_nothing_any_more(self) -> None:
        agenda = Agenda(0)
        seen: list[str] = []
        agenda.after(1, seen.append, "inside")
        agenda.outside(1, seen.append, "outside")
        agenda.end_life()
        agenda.advance(2000)
        assert seen == ["outside"]

    def test_a_frozen_process_does_everything_late(self) -> None:
        agenda = Agenda(0)
        seen: list[tuple[str, int]] = []
        agenda.after(1, lambda: seen.append(("inside", agenda.now_ms)))
        agenda.outside(2, lambda: seen.append(("outside", agenda.now_ms)))
        agenda.freeze()
        agenda.advance(5000)
        agenda.thaw()
        agenda.advance(5000)
        assert seen == [("outside", 2000), ("inside", 5000)]

    def test_time_never_runs_backwards(self) -> None:
        agenda = Agenda(5000)
        agenda.advance(1000)
        assert agenda.now_ms == 5000


@pytest.mark.parametrize("version", VERSIONS)
class TestTruth:
    def test_a_live_run_is_live_whatever_the_row_says(self, version: str) -> None:
        world = make_world(version)
        world.begin(KEY, "go", turns.stays_silent())
        world.advance(3600)
        assert world.truth(KEY) is GroundTruth.LIVE

    def test_a_crash_leaves_a_stuck_session_except_where_the_gateway_recovers(self, version: str) -> None:
        world = make_world(version)
        world.begin(KEY, "go", turns.answers(30))
        world.advance(5)
        world.process.restart(2)
        world.advance(120)
        stall = world.stalls[-1]
        assert (stall.cause, stall.request, stall.doing) == (Cause.CRASH, "go", "silent")
        if world.profile.recovers_at_boot:
            assert (world.truth(KEY), stall.ended_by) == (GroundTruth.IDLE, "gateway")
        else:
            assert (world.truth(KEY), stall.is_open) == (GroundTruth.STUCK, True)
            assert row_of(world, world.sessions[KEY])["status"] == "running"

    def test_a_run_timing_out_leaves_its_row_running_on_the_old_ones(self, version: str) -> None:
        world = make_world(version)
        world.run_timeout_seconds = 60
        world.begin(KEY, "go", turns.stays_silent())
        world.advance(120)
        status = row_of(world, world.sessions[KEY])["status"]
        if version in ("2026.3.24", "2026.4.14"):
            assert (status, world.stalls[-1].cause) == ("running", Cause.TIMEOUT)
        else:
            assert (status, world.stalls) == ("timeout", [])

    def test_a_stop_is_not_a_stall_to_recover(self, version: str) -> None:
        world = make_world(version)
        world.begin(KEY, "go", turns.streams(600))
        world.advance(10)
        session = world.sessions[KEY]
        assert session.run is not None
        world.endings.stop(session, session.run)
        expected = GroundTruth.STOPPED if world.profile.status_after_abort is None else GroundTruth.IDLE
        assert world.truth(KEY) is expected

    def test_the_provider_retrying_restamps_or_fails_the_row_of_a_live_run(self, version: str) -> None:
        world = make_world(version)
        world.begin(KEY, "go", turns.retries(5, 4))
        world.advance(2)
        first = row_of(world, world.sessions[KEY])
        world.advance(5)
        second = row_of(world, world.sessions[KEY])
        assert world.truth(KEY) is GroundTruth.LIVE
        if version == "2026.3.24":
            assert second["status"] == "failed"
        else:
            assert second["startedAt"] > first["startedAt"]
        world.advance(60)
        assert row_of(world, world.sessions[KEY])["status"] == "failed"


class TestWaiting:
    def test_an_approval_waits_for_a_person(self) -> None:
        world = make_world("2026.9.6")
        world.begin(KEY, "deploy", turns.waits_for_approval())
        world.advance(7200)
        assert (world.truth(KEY), len(world.approvals)) == (GroundTruth.LIVE, 1)
        assert world.person_approves(KEY)
        world.advance(60)
        assert (world.truth(KEY), world.approvals, world.sessions[KEY].status) == (GroundTruth.IDLE, {}, "done")

    def test_a_question_waits_for_a_person(self) -> None:
        world = make_world("2026.9.6")
        world.begin(KEY, "book", turns.asks_question())
        world.advance(7200)
        assert len(world.questions) == 1
        assert world.person_answers(KEY)
        assert not world.person_answers(KEY)
        world.advance(60)
        assert world.sessions[KEY].status == "done"

    def test_a_parent_waits_for_all_its_children(self) -> None:
        world = make_world("2026.9.6")
        children = (("agent:main:subagent:x", turns.answers(60)), ("agent:main:subagent:y", turns.answers(300)))
        world.begin(KEY, "research", turns.spawns(children))
        world.advance(120)
        assert (world.truth(KEY), world.truth("agent:main:subagent:x")) == (GroundTruth.LIVE, GroundTruth.IDLE)
        assert row_of(world, world.sessions[KEY])["childSessions"] == ["agent:main:subagent:x", "agent:main:subagent:y"]
        world.advance(300)
        assert world.sessions[KEY].status == "done"

    def test_the_full_lane_lets_the_next_one_in_when_a_run_ends(self) -> None:
        world = make_world("2026.9.6")
        world.lane_width = 1
        world.begin(KEY, "first", turns.answers(30))
        world.begin("agent:main:dashboard:b", "second", turns.answers(30))
        world.advance(10)
        assert world.truth("agent:main:dashboard:b") is GroundTruth.QUEUED
        world.advance(30)
        assert world.truth("agent:main:dashboard:b") is GroundTruth.LIVE

    def test_a_compaction_ends_and_the_turn_goes_on(self) -> None:
        world = make_world("2026.5.18")
        world.begin(KEY, "go", turns.compacts(90))
        world.advance(60)
        assert world.truth(KEY) is GroundTruth.LIVE
        world.advance(60)
        assert world.sessions[KEY].status == "done"


class TestDeeds:
    def test_every_effect_is_recorded_with_the_truth_of_its_instant(self) -> None:
        world = make_world("2026.9.6")
        world.begin(KEY, "go", turns.stays_silent())
        world.advance(5)
        deed = world.actions.send(world.sessions[KEY], SOMEBODY, "go on", "r1", method="chat.send")
        assert (deed.truth, deed.hit_an_owner, deed.is_wrong) == (GroundTruth.LIVE, True, True)
        assert deed.effect == "queued behind a live run"
        world.actions.abort(world.sessions[KEY], SOMEBODY, KEY)
        assert world.deeds[-1].killed_run is not None
        assert [d.number for d in world.deeds] == [1, 2]

    def test_a_probe_that_found_nothing_is_no_wrong(self) -> None:
        world = make_world("2026.5.18")
        world.chat.join("agent:main:irc:direct:bob", Address("irc", "irc:bob"))
        world.chat.person_writes("agent:main:irc:direct:bob", "go", turns.stays_silent())
        world.advance(5)
        aborted = world.actions.abort(
            world.sessions["agent:main:irc:direct:bob"], SOMEBODY, "agent:main:irc:direct:bob"
        )
        assert aborted.status == "no-active-run", "channels.md 2: a live chat-app run is not found"
        assert (world.deeds[-1].changed, world.deeds[-1].is_wrong) == (False, False)
        assert world.truth("agent:main:irc:direct:bob") is GroundTruth.LIVE

    def test_a_resume_of_stopped_or_finished_work_is_wrong(self) -> None:
        world = make_world("2026.4.14")
        world.finished_turn(KEY)
        world.edit_row(KEY)
        assert world.truth(KEY) is GroundTruth.FINISHED
        assert world.actions.send(world.sessions[KEY], SOMEBODY, "go on", "r1", method="chat.send").is_wrong


class TestDeterminism:
    @staticmethod
    def _fingerprint(seed: int) -> tuple[object, ...]:
        world = World(PROFILES["2026.9.6"], NOW, seed)
        traffic = Traffic(world, Random(seed), Habits(turns_per_hour=4))
        traffic.populate(25)
        world.agenda.outside(5000, world.process.restart, 3.0)
        world.advance(timedelta(hours=6))
        rows = tuple((s.key, s.session_id, s.status, s.updated_ms, s.messages_total) for s in world.sessions.values())
        return rows, world.agenda.happened, len(world.heard), tuple(s.run_id for s in world.stalls)

    def test_the_same_seed_gives_the_same_world(self) -> None:
        assert self._fingerprint(3) == self._fingerprint(3)

    def test_another_seed_gives_another(self) -> None:
        assert self._fingerprint(3) != self._fingerprint(4)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cached_row_is_never_stale(version: str) -> None:
    """Rows are cached until something changes; after any amount of life each equals a freshly built one."""
    world = World(PROFILES[version], NOW, 5)

    def listen(change: Change) -> None:
        row_of(world, world.sessions[change.key])

    world.listeners.append(listen)
    keys = Traffic(world, Random(5), Habits(turns_per_hour=10, stops=0.2)).populate(30)
    Armed(world, Wire(Random(1))).arm(schedule(Random(6), 12, per_hour=3))
    rng = Random(7)
    for step in range(300):
        world.advance(60)
        session = world.sessions[rng.choice(keys)]
        if step % 7 == 0 and world.process.is_answering:
            world.actions.send(session, SOMEBODY, rng.choice(("go on", "/new")), world.new_id(), method="chat.send")
        for one in world.sessions.values():
            cached = {name: value for name, value in row_of(world, one).items() if name != "snapshotAt"}
            one.row = None
            fresh = {name: value for name, value in row_of(world, one).items() if name != "snapshotAt"}
            assert cached == fresh, one.key


class TestCost:
    def test_an_idle_day_costs_nothing(self) -> None:
        world = make_world("2026.9.6")
        for number in range(200):
            world.session(f"agent:main:dashboard:{number}")
        world.advance(timedelta(days=365))
        assert world.agenda.happened == 0

    def test_a_busy_hour_costs_a_handful_of_events(self) -> None:
        """A million session-hours in minutes: about four events per session-hour at this pace, at 10 us each."""
        world = World(PROFILES["2026.9.6"], NOW, 1)
        Traffic(world, Random(1), Habits(turns_per_hour=0.5)).populate(100)
        world.advance(timedelta(hours=20))
        assert world.agenda.happened < 100 * 20 * 6


class TestCron:
    def test_a_schedule_runs_and_logs(self) -> None:
        world = make_world("2026.9.6")
        entry = world.cron.add("digest", 600, turns.answers(30))
        world.advance(1300)
        assert [run.status for run in entry.runs] == ["ok", "ok"]
        assert world.truth(entry.key) is GroundTruth.IDLE

    @pytest.mark.parametrize(("version", "status"), [("2026.4.14", "running"), ("2026.9.6", None)])
    def test_a_crash_in_a_scheduled_run(self, version: str, status: str | None) -> None:
        """#56121: rows stay running before 9.6; 9.6 only projected them and logs the interruption."""
        world = make_world(version)
        entry = world.cron.add("digest", 600, turns.answers(60))
        world.advance(610)
        world.process.restart(1)
        world.advance(60)
        assert world.sessions[entry.key].status == status
        assert [run.status for run in entry.runs] == ([] if status else ["error"])

    def test_a_crash_in_a_scheduled_run_ends_what_an_older_run_had_left_behind(self) -> None:
        world = make_world("2026.9.6")
        entry = world.cron.add("digest", 600, turns.answers(60))
        world.session(entry.key)
        world.edit_row(entry.key)
        assert world.truth(entry.key) is GroundTruth.FINISHED
        world.advance(610)
        world.process.restart(1)
        world.advance(60)
        assert world.sessions[entry.key].status is None
        assert world.truth(entry.key) is GroundTruth.IDLE
        assert [stall.ended_ms is not None for stall in world.stalls] == [True]


def test_a_foreign_lock_swallows_messages_silently() -> None:
    """#62981: a live foreign pid holds the session's file; "started" is answered and nothing runs."""
    world = make_world("2026.4.14")
    world.finished_turn(KEY)
    world.sessions[KEY].foreign_lock_pid = 4711
    deed = world.actions.send(world.sessions[KEY], SOMEBODY, "go on", "r1", method="sessions.send")
    world.advance(60)
    assert deed.effect == "met a foreign lock"
    assert world.sessions[KEY].status == "done"
    result = world.results.get("r1")
    assert result is not None
    assert "session file locked" in (result.error or "")


def test_words_cut_in_the_first_turn_are_gone_before_96() -> None:
    for version, shown in (("2026.3.24", 0), ("2026.5.18", 0), ("2026.9.6", 1)):
        world = make_world(version)
        world.begin(KEY, "compare the offers", turns.stays_silent(), origin=Origin.WEB)
        world.advance(5)
        assert len(world.sessions[KEY].transcript) == shown
