"""The named worlds: what they hold, on every version, and that their tables of truth can be met and missed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from openclaw_simulator.profiles import PROFILES, Profile
from openclaw_simulator.records import GroundTruth
from openclaw_simulator.rows import row_of
from openclaw_simulator.scenarios import (
    SCENARIOS,
    CaseStatus,
    Expected,
    Scenario,
    demo_world,
    founding_incident,
    traps_world,
)
from tests.simulator.inprocess import InProcessGateway

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


async def resume_all(scenario: Scenario) -> None:
    """The step that works on each version, on every session the table says to recover."""
    world = scenario.world
    is_modern = world.profile.recovers_at_boot
    connection = await InProcessGateway(world).connect(client=("cli", "cli"))
    for case in scenario.cases:
        if case.expected is not Expected.RECOVERED:
            continue
        address = world.sessions[case.key].address
        params = {"sessionKey": case.key, "message": "go on", "idempotencyKey": case.key}
        if address is not None and address.reaches_a_person:
            params["deliver"] = True  # type: ignore[assignment]
        answer = await connection.call("agent" if is_modern else "chat.send", params)
        assert answer.ok, answer.error
    world.advance(60)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
class TestDemo:
    def test_it_holds_about_twenty_sessions_in_the_states_it_says(self, profile: Profile) -> None:
        scenario = demo_world(NOW, profile)
        world = scenario.world
        assert world.now == NOW
        assert 18 <= len(scenario.cases) <= 24
        for case in scenario.cases:
            truth = world.truth(case.key)
            if case.expected is Expected.RECOVERED:
                assert truth is GroundTruth.STUCK, case.key
                row = row_of(world, world.sessions[case.key])
                assert row["status"] == "running"
                assert row["startedAt"] < NOW.timestamp() * 1000 - 25 * 60_000
            else:
                assert truth in (GroundTruth.LIVE, GroundTruth.IDLE, GroundTruth.STOPPED), case.key
        assert not scenario.is_won
        assert not scenario.is_lost

    def test_the_gateway_has_been_up_for_longer_than_any_grace(self, profile: Profile) -> None:
        assert demo_world(NOW, profile).world.process.uptime_ms > 20 * 60_000

    def test_healthy_ones_stay_as_they_are_for_an_hour(self, profile: Profile) -> None:
        scenario = demo_world(NOW, profile)
        before = {case.key: scenario.world.truth(case.key) for case in scenario.cases}
        scenario.world.advance(3600)
        assert {case.key: scenario.world.truth(case.key) for case in scenario.cases} == before

    async def test_the_right_deeds_win_it(self, profile: Profile) -> None:
        scenario = demo_world(NOW, profile)
        await resume_all(scenario)
        assert {finding.standing for finding in scenario.findings()} == {CaseStatus.RIGHT}, [
            finding for finding in scenario.findings() if finding.standing is not CaseStatus.RIGHT
        ]
        assert scenario.is_won

    async def test_one_wrong_deed_loses_it(self, profile: Profile) -> None:
        scenario = demo_world(NOW, profile)
        await resume_all(scenario)
        connection = await InProcessGateway(scenario.world).connect()
        key = "agent:main:dashboard:thinking"
        await connection.call("chat.send", {"sessionKey": key, "message": "hello?", "idempotencyKey": "x"})
        assert scenario.is_lost
        assert not scenario.is_won

    async def test_harmless_probes_do_not_lose_it(self, profile: Profile) -> None:
        if profile.abort_needs_owner is False:
            pytest.skip("on 9.6 an abort is never a probe")
        scenario = demo_world(NOW, profile)
        connection = await InProcessGateway(scenario.world).connect(scopes=("operator.write",), device_id="second")
        for case in scenario.cases:
            await connection.call("sessions.abort", {"key": case.key})
        assert not scenario.is_lost

    def test_the_same_seed_builds_the_same_world(self, profile: Profile) -> None:
        first, second = demo_world(NOW, profile, seed=4), demo_world(NOW, profile, seed=4)
        rows = [[dict(row_of(s.world, s.world.sessions[case.key])) for case in s.cases] for s in (first, second)]
        assert rows[0] == rows[1]


class TestJudging:
    async def test_a_silent_resume_of_a_persons_session_is_not_enough(self) -> None:
        scenario = demo_world(NOW, PROFILES["2026.5.18"])
        connection = await InProcessGateway(scenario.world).connect()
        key = "agent:main:irc:direct:alice"
        await connection.call("sessions.send", {"key": key, "message": "go on", "idempotencyKey": "x"})
        scenario.world.advance(30)
        finding = next(finding for finding in scenario.findings() if finding.case.key == key)
        assert (finding.standing, finding.note) == (CaseStatus.WRONG, "resumed, but its person heard nothing")

    async def test_a_reset_is_not_a_resume(self) -> None:
        scenario = demo_world(NOW)
        connection = await InProcessGateway(scenario.world).connect()
        await connection.call("sessions.reset", {"key": "agent:main:tool-loop", "reason": "new"})
        finding = next(f for f in scenario.findings() if f.case.key == "agent:main:tool-loop")
        assert (finding.standing, finding.note) == (CaseStatus.WRONG, "ended by reset")

    def test_without_a_policy_cron_is_to_be_left_alone(self) -> None:
        scenario = demo_world(NOW, recovers_background=False)
        case = next(case for case in scenario.cases if ":cron:" in case.key)
        assert case.expected is Expected.UNTOUCHED


class TestOthers:
    def test_the_founding_incident(self) -> None:
        """#59878: eleven rows of several kinds, two restarts, all still ``running``."""
        scenario = founding_incident(NOW)
        assert len(scenario.cases) == 11
        assert all(scenario.world.truth(case.key) is GroundTruth.STUCK for case in scenario.cases)

    @pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
    def test_the_traps_hold_nothing_to_recover(self, profile: Profile) -> None:
        scenario = traps_world(NOW, profile)
        assert all(case.expected is Expected.UNTOUCHED for case in scenario.cases)
        assert not any(scenario.world.truth(case.key) is GroundTruth.STUCK for case in scenario.cases)
        assert scenario.world.truth("agent:main:dashboard:finished") is GroundTruth.FINISHED

    def test_the_full_lane(self) -> None:
        scenario = SCENARIOS["queued"](NOW)
        truths = [scenario.world.truth(case.key) for case in scenario.cases]
        assert (truths.count(GroundTruth.LIVE), truths.count(GroundTruth.QUEUED)) == (8, 2)
