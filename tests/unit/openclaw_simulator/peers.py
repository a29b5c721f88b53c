"""A connection to a simulated gateway, frame by frame."""

from __future__ import annotations

from typing import Any

from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.rpc import Close, SimulatedConnection
from openclaw_simulator.world import World

SCOPES = ["operator.read", "operator.write", "operator.admin"]


def drain(peer: SimulatedConnection) -> list[Any]:
    items = list(peer.outbox)
    peer.outbox.clear()
    return items


def hello_params(peer: SimulatedConnection, **changes: Any) -> dict[str, Any]:
    device = {"id": "d1", "publicKey": "", "signature": "", "signedAt": peer.world.wall_ms, "nonce": peer.nonce}
    params: dict[str, Any] = {
        "minProtocol": 3,
        "maxProtocol": 4,
        "client": {"id": "gateway-client", "mode": "backend", "version": "1", "platform": "linux"},
        "role": "operator",
        "scopes": SCOPES,
        "auth": {"token": peer.access.token},
        "device": device,
    }
    params |= changes
    return {name: value for name, value in params.items() if value is not None}


def connect(
    world: World, access: AccessRules | None = None, **changes: Any
) -> tuple[SimulatedConnection, dict[str, Any], list[Any]]:
    """(peer, the answer to connect, what came after it)."""
    peer = SimulatedConnection(world, access or AccessRules())
    drain(peer)
    peer.receive({"type": "req", "id": "1", "method": "connect", "params": hello_params(peer, **changes)})
    answer, *rest = drain(peer)
    return peer, answer, rest


def call(peer: SimulatedConnection, method: str, params: object = None) -> dict[str, Any]:
    peer.receive({"type": "req", "id": "x", "method": method, "params": params if params is not None else {}})
    frames = [item for item in drain(peer) if not isinstance(item, Close) and item["type"] == "res"]
    answer: dict[str, Any] = frames[0]
    return answer
