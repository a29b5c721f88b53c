"""Fault schedules: seeded, effective, and over when they say so."""

from __future__ import annotations

import json
from random import Random

import pytest

from openclaw_simulator import sessions as turns
from openclaw_simulator.faults import ALL_KINDS, Armed, Fault, FaultKind, Wire, schedule
from openclaw_simulator.process import Phase
from openclaw_simulator.records import GroundTruth
from tests.simulator.inprocess import Dropped, Garbled, InProcessGateway, NoAnswer, Unreachable, WireFailure
from tests.simulator.traffic import Traffic
from tests.unit.openclaw_simulator.simulated import make_world

KEY = "agent:main:dashboard:a"


class TestSchedule:
    def test_the_same_seed_gives_the_same_faults(self) -> None:
        assert schedule(Random(5), 200) == schedule(Random(5), 200)
        assert schedule(Random(5), 200) != schedule(Random(6), 200)

    def test_it_is_in_order_within_its_hours_and_about_as_dense_as_asked(self) -> None:
        faults = schedule(Random(1), 1000, per_hour=0.5)
        assert [f.at for f in faults] == sorted(f.at for f in faults)
        assert faults[-1].at < 1000 * 3600
        assert 400 < len(faults) < 600
        assert {fault.kind for fault in faults} == set(ALL_KINDS)

    def test_none_when_none_are_wanted(self) -> None:
        assert schedule(Random(1), 10, per_hour=0) == ()


class TestStrikes:
    @pytest.mark.parametrize("kind", ALL_KINDS)
    def test_every_fault_strikes_and_passes(self, kind: FaultKind) -> None:
        world = make_world("2026.9.6")
        armed = Armed(world, Wire(Random(1)))
        world.begin(KEY, "go", turns.answers(5))
        amount = 3.0 if kind is FaultKind.SLOW else 0.3
        armed.arm([Fault(10.0, kind, 20.0, amount)])
        world.advance(10.5)
        assert [fault.kind for fault in armed.struck] == [kind]
        world.advance(600)
        assert armed.is_over

    def test_what_each_does(self) -> None:
        world = make_world("2026.9.6")
        wire = Wire(Random(1))
        armed = Armed(world, wire)
        seconds = 10.0
        armed.arm(
            [
                Fault(0, FaultKind.SLOW, seconds, 2.0),
                Fault(20, FaultKind.LOSSY, seconds, 0.3),
                Fault(40, FaultKind.MALFORMED, seconds, 0.4),
                Fault(60, FaultKind.REFUSE, seconds),
                Fault(80, FaultKind.CLOCK_JUMP, -3600.0),
                Fault(100, FaultKind.FREEZE, seconds),
                Fault(120, FaultKind.KILL, seconds),
            ]
        )
        world.advance(1)
        assert (wire.latency, world.event_loop_delay_ms) == (2.0, 2000)
        world.advance(20)
        assert wire.latency == 0.0
        assert wire.drops == pytest.approx(0.1)
        world.advance(20)
        assert wire.malforms == pytest.approx(0.4)
        world.advance(20)
        assert wire.refuses
        world.advance(20)
        assert world.skew_ms == -3_600_000
        world.advance(20)
        assert world.process.is_frozen
        world.advance(20)
        assert world.process.phase is Phase.DOWN
        world.advance(60)
        assert world.process.is_answering


class TestWire:
    def test_a_malformed_row_leaves_the_others_alone(self) -> None:
        wire = Wire(Random(3), malforms=1.0)
        rows = [{"key": f"k{n}", "status": "done", "startedAt": n} for n in range(5)]
        shapes = set()
        for _ in range(60):
            frame = json.loads(wire.carry({"type": "res", "id": "1", "ok": True, "payload": {"sessions": rows}})[0])
            broken = [n for n, row in enumerate(frame["payload"]["sessions"]) if row != rows[n]]
            assert len(broken) == 1
            shapes.add(type(frame["payload"]["sessions"][broken[0]]).__name__)
        assert shapes == {"dict", "str", "NoneType"}
        assert rows[0] == {"key": "k0", "status": "done", "startedAt": 0}, "the world's own rows are not touched"

    def test_events_are_carried_whole(self) -> None:
        wire = Wire(Random(3), drops=1.0)
        assert len(wire.carry({"type": "event", "event": "tick", "payload": {}})) == 1


class TestInProcess:
    async def test_calls_take_no_time_unless_something_takes_time(self) -> None:
        world = make_world("2026.9.6")
        connection = await InProcessGateway(world).connect()
        before = world.now_ms
        assert (await connection.call("sessions.list")).ok
        assert world.now_ms == before
        run_id = world.begin(KEY, "go", turns.answers(30))
        answer = await connection.call("agent.wait", {"runId": run_id, "timeoutMs": 90_000}, patience=100)
        assert answer.payload["status"] == "ok"
        assert 30_000 <= world.now_ms - before <= 31_000

    async def test_the_second_answer_of_agent_is_kept(self) -> None:
        world = make_world("2026.9.6")
        connection = await InProcessGateway(world).connect()
        first = await connection.call("agent", {"sessionKey": KEY, "message": "go", "idempotencyKey": "k"})
        request_id = connection.last_request_id
        world.advance(30)
        assert connection.is_open
        assert first.payload["status"] == "accepted"
        assert connection.late[request_id][0]["payload"]["status"] == "ok"

    async def test_a_frozen_gateway_spends_the_callers_patience_and_answers_late(self) -> None:
        world = make_world("2026.9.6")
        gateway = InProcessGateway(world)
        connection = await gateway.connect()
        world.process.freeze()
        with pytest.raises(NoAnswer):
            await connection.call("sessions.list", patience=5)
        with pytest.raises(NoAnswer):
            await gateway.connect(patience=5)
        world.process.thaw()
        world.advance(0.1)
        assert connection.is_open
        assert len(connection.late) == 1

    async def test_a_freeze_shorter_than_the_patience_is_only_slow(self) -> None:
        world = make_world("2026.9.6")
        connection = await InProcessGateway(world).connect()
        world.process.freeze()
        world.agenda.outside(12, world.process.thaw)
        assert (await connection.call("sessions.list", patience=30)).ok

    async def test_ends_are_told_apart(self) -> None:
        world = make_world("2026.9.6")
        gateway = InProcessGateway(world)
        first, second = await gateway.connect(), await gateway.connect()
        world.process.kill()
        with pytest.raises(Dropped) as ended:
            await first.call("health")
        assert ended.value.code is None
        with pytest.raises(Unreachable):
            await gateway.connect()
        world.process.start()
        world.advance(30)
        assert not second.is_open
        third = await gateway.connect()
        world.process.restart_in_process()
        with pytest.raises(Dropped) as ended:
            await third.call("health")
        assert ended.value.code == 1012
        assert [event["event"] for event in third.events] == ["shutdown"]

    async def test_a_draining_gateway_is_unreachable_with_503(self) -> None:
        world = make_world("2026.9.6")
        world.begin(KEY, "go", turns.stays_silent())
        world.advance(5)
        world.process.terminate()
        with pytest.raises(Unreachable) as refused:
            await InProcessGateway(world).connect()
        assert refused.value.http_status == 503

    async def test_wire_faults(self) -> None:
        world = make_world("2026.9.6")
        gateway = InProcessGateway(world)
        connection = await gateway.connect()
        gateway.wire.drops = 1.0
        with pytest.raises(NoAnswer):
            await connection.call("health", patience=3)
        gateway.wire.drops, gateway.wire.truncates = 0.0, 1.0
        with pytest.raises(Garbled):
            await connection.call("health")
        gateway.wire.truncates, gateway.wire.latency = 0.0, 4.0
        before = world.now_ms
        assert (await connection.call("health")).ok
        assert world.now_ms - before == 4000
        with pytest.raises(NoAnswer):
            await connection.call("health", patience=2)

    async def test_a_day_of_faults_and_traffic_ends_well(self) -> None:
        """Faults over, time passed: the gateway answers, and what is still stuck is stuck for a reason."""
        world = make_world("2026.5.18")
        world.lane_width = 64
        gateway = InProcessGateway(world, wire=Wire(Random(4)))
        armed = Armed(world, gateway.wire)
        Traffic(world, Random(2)).populate(40)
        armed.arm(schedule(Random(3), 24, per_hour=1.0))
        connection = None
        failures = 0
        for _ in range(24 * 60):
            try:
                if connection is None or not connection.is_open:
                    connection = await gateway.connect()
                answer = await connection.call("sessions.list", {"limit": 500})
                assert answer.ok
            except WireFailure:
                failures += 1
                if connection is not None:
                    connection.close()
                connection = None
            world.advance(60)
        world.advance(7200)
        assert armed.is_over
        assert failures > 0
        open_stalls = {stall.key for stall in world.stalls if stall.is_open}
        assert {key for key in world.sessions if world.truth(key) is GroundTruth.STUCK} == open_stalls


def test_only_lists_have_rows_to_break() -> None:
    frame = {"type": "res", "id": "w1", "ok": True, "payload": {"sessions": {"count": 3, "recent": []}}}
    assert Wire(Random(1), malforms=1.0).shape(frame) is frame
