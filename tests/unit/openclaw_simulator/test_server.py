"""The simulated gateway over a real socket, spoken to with an ordinary websockets client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, InvalidStatus

from openclaw_simulator import sessions as turns
from openclaw_simulator.faults import Wire
from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.locks import LockFiles
from openclaw_simulator.process import Phase
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.records import GroundTruth
from openclaw_simulator.scenarios import CaseStatus, demo_world
from openclaw_simulator.server import SimulatedGateway
from tests.unit.openclaw_simulator.simulated import make_world

KEY = "agent:main:dashboard:a"


class Client:
    """Enough of a client for these tests."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self._count = 0

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(60):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        return frame

    async def call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        self._count += 1
        request = {"type": "req", "id": str(self._count), "method": method, "params": params or {}}
        await self.socket.send(json.dumps(request))
        while True:
            frame = await self.receive()
            if frame["type"] == "res" and frame["id"] == str(self._count):
                return frame
            self.events.append(frame)


@contextlib.asynccontextmanager
async def client_of(gateway: SimulatedGateway) -> AsyncIterator[Client]:
    async with dial(gateway.url, proxy=None, ping_interval=None, max_size=None) as socket:
        client = Client(socket)
        nonce = (await client.receive())["payload"]["nonce"]
        hello = await client.call(
            "connect",
            {
                "minProtocol": 3,
                "maxProtocol": 4,
                "client": {"id": "gateway-client", "mode": "backend", "version": "1", "platform": "linux"},
                "scopes": ["operator.read", "operator.write", "operator.admin"],
                "auth": {"token": gateway.access.token},
                "device": {
                    "id": "d",
                    "publicKey": "",
                    "signature": "",
                    "signedAt": gateway.world.wall_ms,
                    "nonce": nonce,
                },
            },
        )
        assert hello["ok"], hello
        yield client


async def get(url: str) -> tuple[int, str, str]:
    def fetch() -> tuple[int, str, str]:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.headers["Content-Type"], refused.read().decode()

    return await asyncio.to_thread(fetch)


async def until(is_so: Any, seconds: float = 5.0) -> None:
    for _ in range(int(seconds * 100)):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def quick(version: str = "2026.9.6", pace: float = 1.0, **more: Any) -> SimulatedGateway:
    return SimulatedGateway(make_world(version), pace=pace, access=AccessRules(stale_after_ms=None), **more)


@pytest.mark.parametrize("version", list(PROFILES))
async def test_a_turn_over_a_real_socket(version: str) -> None:
    async with quick(version, pace=50) as gateway, client_of(gateway) as client:
        await client.call("sessions.subscribe")
        sent = await client.call("chat.send", {"sessionKey": KEY, "message": "hello", "idempotencyKey": "k"})
        assert sent["payload"] == {"runId": "k", "status": "started"}
        waited = await client.call("agent.wait", {"runId": "k", "timeoutMs": 60_000})
        assert waited["payload"]["status"] == "ok"
        rows = (await client.call("sessions.list", {"limit": 5}))["payload"]["sessions"]
        assert [(row["key"], row["status"]) for row in rows] == [(KEY, "done")]
        assert {event["event"] for event in client.events} >= {"sessions.changed"}


async def test_agent_answers_twice() -> None:
    async with quick(pace=50) as gateway, client_of(gateway) as client:
        first = await client.call("agent", {"sessionKey": KEY, "message": "hello", "idempotencyKey": "k"})
        while (second := await client.receive())["type"] != "res":
            continue
        assert (first["payload"]["status"], second["payload"]["status"]) == ("accepted", "ok")
        assert first["id"] == second["id"]


async def test_health_checks_need_no_token() -> None:
    async with quick() as gateway:
        status, kind, body = await get(f"{gateway.http_url}/healthz")
        assert (status, kind, json.loads(body)) == (
            200,
            "application/json; charset=utf-8",
            {"ok": True, "status": "live"},
        )
        assert json.loads((await get(f"{gateway.http_url}/readyz"))[2])["ready"] is True
        assert json.loads((await get(f"{gateway.http_url}/startupz"))[2])["status"] == "started"
        status, kind, _ = await get(f"{gateway.http_url}/nosuch")
        assert (status, kind) == (200, "text/html; charset=utf-8"), "a status code alone proves nothing"
    async with quick("2026.3.24") as gateway:
        assert (await get(f"{gateway.http_url}/startupz"))[1].startswith("text/html")


async def test_kill_9_ends_sockets_without_a_close_frame_and_shuts_the_port() -> None:
    async with quick(pace=20) as gateway:
        async with client_of(gateway) as client:
            gateway.world.process.kill()
            gateway.wake()
            with pytest.raises(ConnectionClosed) as ended:
                await client.receive()
            assert ended.value.rcvd is None
        await until(lambda: gateway._server is None)
        with pytest.raises(OSError, match=r"refused|failed"):
            async with dial(gateway.url, proxy=None):
                pass
        port = gateway.port
        gateway.world.process.start()
        gateway.wake()
        await until(lambda: gateway.world.process.phase is Phase.UP and gateway._server is not None)
        assert gateway.port == port
        async with client_of(gateway) as client:
            assert (await client.call("health"))["ok"]


async def test_a_restart_says_shutdown_and_closes_1012() -> None:
    async with quick(pace=20) as gateway, client_of(gateway) as client:
        gateway.world.process.restart_in_process()
        gateway.wake()
        event = await client.receive()
        assert (event["event"], event["payload"]["reason"]) == ("shutdown", "gateway restarting")
        with pytest.raises(ConnectionClosed) as ended:
            await client.receive()
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1012, "service restart")


async def test_a_draining_gateway_answers_upgrades_with_503() -> None:
    async with quick(pace=5) as gateway:
        gateway.world.begin(KEY, "go", turns.stays_silent())
        gateway.world.advance(5)
        gateway.world.process.terminate()
        with pytest.raises(InvalidStatus) as refused:
            async with dial(gateway.url, proxy=None):
                pass
        assert refused.value.response.status_code == 503
        assert (await get(f"{gateway.http_url}/readyz"))[0] == 503
        assert (await get(f"{gateway.http_url}/healthz"))[0] == 200, "liveness only"


async def test_a_starting_gateway_refuses_connect() -> None:
    async with quick() as gateway:
        gateway.world.process.phase = Phase.REFUSING
        async with dial(gateway.url, proxy=None) as socket:
            client = Client(socket)
            await client.receive()
            params = {
                "minProtocol": 4,
                "maxProtocol": 4,
                "client": {"id": "cli", "mode": "cli"},
                "auth": {"token": "x"},
            }
            answer = await client.call("connect", params)
            assert (answer["error"]["code"], answer["error"]["retryAfterMs"]) == ("UNAVAILABLE", 500)
            with pytest.raises(ConnectionClosed) as ended:
                await client.receive()
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 1013


async def test_a_frozen_gateway_accepts_and_says_nothing_until_thawed() -> None:
    async with quick() as gateway, client_of(gateway) as client:
        gateway.world.process.freeze()
        gateway.wake()
        await until(lambda: not gateway._thawed.is_set())
        await client.socket.send(json.dumps({"type": "req", "id": "late", "method": "health"}))
        pong = asyncio.ensure_future(await client.socket.ping())
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.socket.recv()
        assert not pong.done(), "a stopped process answers no ping"
        writer.close()
        gateway.world.process.thaw()
        gateway.wake()
        assert (await client.receive())["id"] == "late"
        await pong


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"drops": 1.0}, "nothing"),
        ({"duplicates": 1.0}, "twice"),
        ({"truncates": 1.0}, "garbage"),
        ({"latency": 0.2}, "late"),
    ],
)
async def test_faults_on_the_wire(fault: dict[str, float], expected: str) -> None:
    wire = Wire(Random(1))
    async with quick(wire=wire) as gateway, client_of(gateway) as client:
        for name, value in fault.items():
            setattr(wire, name, value)
        began = asyncio.get_running_loop().time()
        await client.socket.send(json.dumps({"type": "req", "id": "1", "method": "health"}))
        if expected == "nothing":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.socket.recv()
        elif expected == "garbage":
            with pytest.raises(ValueError, match=r"."):
                await client.receive()
        else:
            assert (await client.receive())["id"] == "1"
            if expected == "twice":
                assert (await client.receive())["id"] == "1"
            else:
                assert asyncio.get_running_loop().time() - began >= 0.2


async def test_lock_files_follow_the_runs(tmp_path: Path) -> None:
    """older.md 3: held from begin to end of every run, whatever started it; left behind by a crash, swept at start."""
    locks = LockFiles(tmp_path, gateway_pid=4711, start_time=99)
    async with quick("2026.3.24", pace=20, locks=locks) as gateway:
        world = gateway.world
        folder = tmp_path / "agents/main/sessions"
        world.begin(KEY, "go", turns.stays_silent(), origin=turns.Origin.CHANNEL)
        await until(lambda: folder.exists() and list(folder.iterdir()))
        (path,) = folder.iterdir()
        assert path.name == f"{world.sessions[KEY].session_id}.jsonl.lock"
        assert json.loads(path.read_text(encoding="utf-8"))["pid"] == 4711
        world.process.kill()
        gateway.wake()
        await asyncio.sleep(0.3)
        assert path.exists()
        world.process.start()
        gateway.wake()
        await until(lambda: not path.exists())
        assert world.truth(KEY) is GroundTruth.STUCK


async def test_the_demo_is_won_by_resuming_what_is_stuck_and_nothing_else() -> None:
    """A naive but well-informed client on a real socket: enough to win, so the table of truth can be met."""
    scenario = demo_world(datetime(2026, 11, 20, 12, 0, tzinfo=UTC))
    async with SimulatedGateway(scenario.world, pace=40) as gateway, client_of(gateway) as client:
        assert not scenario.is_won
        rows = (await client.call("sessions.list", {"limit": 500}))["payload"]["sessions"]
        for row in rows:
            if row.get("status") == "running" and row["hasActiveRun"] is False:
                deliver = row.get("deliveryContext", {}).get("to") is not None
                params = {
                    "sessionKey": row["key"],
                    "message": "go on",
                    "deliver": deliver,
                    "idempotencyKey": row["key"],
                }
                assert (await client.call("agent", params))["ok"]
        await until(lambda: scenario.is_won, 10)
        assert not scenario.is_lost
        assert {finding.standing for finding in scenario.findings()} == {CaseStatus.RIGHT}
