"""The gateway's own life, the store under it, and judging what clients did meanwhile."""

from __future__ import annotations

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.records import Cause, ClientInfo, GroundTruth
from openclaw_simulator.rows import row_of
from tests.simulator.judge import Wrong, left_stuck, wrong_deeds
from tests.unit.openclaw_simulator.simulated import NOW, make_world

KEY = "agent:main:dashboard:a"
SOMEBODY = ClientInfo(device_id="watchdog", scopes=frozenset({"operator.read", "operator.write"}))


class TestProcess:
    def test_a_host_that_slept_finds_its_work_where_it_was(self) -> None:
        world = make_world("2026.9.6")
        world.begin(KEY, "go", turns.answers(60))
        world.advance(5)
        world.process.host_sleeps(3600)
        assert world.truth(KEY) is GroundTruth.LIVE
        world.advance(1)
        assert world.sessions[KEY].status == "done"

    def test_boot_recovery_shows_aborted_last_run_until_its_turn(self) -> None:
        """2026.9.6.md 7: running, no active run, ``abortedLastRun`` true for some seconds, one after the other."""
        world = make_world("2026.9.6")
        for number in range(4):
            world.begin(f"agent:main:dashboard:{number}", "go", turns.answers(20))
        world.advance(5)
        world.process.restart(1)
        world.advance(1 + world.profile.start_seconds + 0.5)
        rows = [row_of(world, session) for session in world.sessions.values()]
        assert {(r["status"], r["hasActiveRun"], r["abortedLastRun"]) for r in rows} == {("running", False, True)}
        assert {world.truth(key) for key in world.sessions} == {GroundTruth.RECOVERING}
        world.advance(4)
        assert sorted(world.truth(key) for key in world.sessions) == [GroundTruth.LIVE] + 3 * [GroundTruth.RECOVERING]
        world.advance(60)
        assert {session.status for session in world.sessions.values()} == {"done"}
        assert all(stall.ended_by == "gateway" for stall in world.stalls)

    @pytest.mark.parametrize(
        ("version", "status"),
        [("2026.3.24", "running"), ("2026.4.14", "running"), ("2026.5.18", "timeout"), ("2026.9.6", "done")],
    )
    def test_an_in_process_restart(self, version: str, status: str) -> None:
        """#3245 and older.md 5: orphans, time-outs, or the gateway's own recovery; ``uptimeMs`` is not reset."""
        world = make_world(version)
        world.begin(KEY, "go", turns.answers(20))
        world.advance(10)
        boot, uptime = world.process.boot_id, world.process.uptime_ms
        world.process.restart_in_process()
        world.advance(60)
        assert world.sessions[KEY].status == status
        assert world.process.boot_id != boot
        assert world.process.uptime_ms > uptime

    def test_sigterm_drains_on_96_and_orphans_before(self) -> None:
        for version, is_draining in (("2026.5.18", False), ("2026.9.6", True)):
            world = make_world(version)
            world.begin(KEY, "go", turns.answers(60))
            world.advance(5)
            world.process.terminate()
            assert (world.process.phase.value == "draining") is is_draining
            world.advance(120)
            assert world.process.phase.value == "down"
            assert world.sessions[KEY].status == ("done" if is_draining else "running")

    def test_a_drain_gives_up_after_its_budget(self) -> None:
        world = make_world("2026.9.6")
        world.begin(KEY, "go", turns.stays_silent())
        world.advance(5)
        world.process.terminate()
        world.advance(310)
        assert world.process.phase.value == "draining"
        world.advance(10)
        assert world.process.phase.value == "down"

    def test_a_stepped_clock_moves_rows_and_not_spans(self) -> None:
        world = make_world("2026.9.6")
        world.skew_ms = -3_600_000
        world.begin(KEY, "go", turns.stays_silent())
        world.advance(5)
        row = row_of(world, world.sessions[KEY])
        assert row["startedAt"] < round(NOW.timestamp() * 1000) - 3_500_000
        assert world.process.uptime_ms == 5000


class TestStore:
    def test_a_long_lock_loses_the_row_of_a_run_that_ends_under_it(self) -> None:
        world = make_world("2026.9.6")
        world.begin(KEY, "go", turns.answers(5))
        world.advance(2)
        world.lock_store(40)
        world.advance(60)
        row = row_of(world, world.sessions[KEY])
        assert (row["status"], row["hasActiveRun"], row["activeRunIds"]) == ("running", False, [])
        assert (world.stalls[-1].cause, world.truth(KEY)) == (Cause.LOST_WRITE, GroundTruth.STUCK)
        world.advance(86_400)
        assert world.truth(KEY) is GroundTruth.STUCK, "nothing heals it by itself"

    def test_a_short_lock_only_delays_it_and_looks_the_same_meanwhile(self) -> None:
        world = make_world("2026.9.6")
        world.begin(KEY, "go", turns.answers(5))
        world.advance(2)
        world.lock_store(12)
        world.advance(6)
        row = row_of(world, world.sessions[KEY])
        assert (row["status"], row["hasActiveRun"], world.truth(KEY)) == ("running", False, GroundTruth.LIVE)
        world.advance(10)
        assert row_of(world, world.sessions[KEY])["status"] == "done"
        assert world.stalls == []

    def test_the_files_of_older_versions_know_no_such_lock(self) -> None:
        world = make_world("2026.5.18")
        world.begin(KEY, "go", turns.answers(5))
        world.lock_store(600)
        world.advance(30)
        assert world.sessions[KEY].status == "done"


class TestJudge:
    def test_a_deed_on_a_live_run_is_found_and_a_next_step_on_ones_own_is_not(self) -> None:
        world = make_world("2026.5.18")
        world.provider.usual = turns.stays_silent()
        world.begin(KEY, "go")
        world.advance(5)
        world.actions.send(world.sessions[KEY], SOMEBODY, "go on", "r1", method="chat.send")
        other = "agent:main:dashboard:b"
        world.begin(other, "go")
        world.advance(5)
        world.process.restart(1)
        world.advance(60)
        world.actions.send(world.sessions[other], SOMEBODY, "go on", "r2", method="chat.send")
        world.advance(60)
        world.actions.reset(other, SOMEBODY, "new")
        assert [(v.what, v.key) for v in wrong_deeds(world)] == [(Wrong.HIT_AN_OWNER, KEY)]

    def test_stopped_finished_and_recovering_each_have_their_name(self) -> None:
        world = make_world("2026.9.6")
        world.finished_turn(KEY)
        world.edit_row(KEY)
        world.actions.send(world.sessions[KEY], SOMEBODY, "go on", "r1", method="chat.send")
        key = "agent:main:dashboard:b"
        world.begin(key, "go", turns.answers(30))
        world.advance(5)
        world.process.restart(1)
        world.advance(world.profile.start_seconds + 1.5)
        world.actions.send(world.sessions[key], SOMEBODY, "go on", "r2", method="chat.send")
        assert [v.what for v in wrong_deeds(world)] == [Wrong.REDID_FINISHED, Wrong.FORESTALLED_RECOVERY]

    def test_what_stays_stuck_is_told_after_the_bound(self) -> None:
        world = make_world("2026.4.14")
        world.begin(KEY, "go", turns.stays_silent())
        world.advance(5)
        world.process.restart(1)
        world.advance(1800)
        assert left_stuck(world, 3600) == []
        world.advance(3600)
        assert [violation.key for violation in left_stuck(world, 3600)] == [KEY]
