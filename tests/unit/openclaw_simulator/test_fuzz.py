"""Whatever arrives, the simulated gateway answers or closes; it never breaks."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.methods import METHODS
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.rpc import Close, SimulatedConnection
from tests.unit.openclaw_simulator.peers import connect, drain, hello_params
from tests.unit.openclaw_simulator.simulated import make_world

ODD: tuple[Any, ...] = (None, True, 0, -1, 10**15, 1.5, "", "x" * 50, [], {}, {"a": 1}, [None])
FITTING = ("agent:main:a", "agent:main:irc:direct:bob", "hi", "/new", "/new x", "irc", "irc:bob", "new")


def some_params(rng: Random, names: list[str], number: int) -> Any:
    if rng.random() < 0.03:
        return rng.choice(ODD)
    chosen = [name for name in names if rng.random() < 0.6] + (["bogus"] if rng.random() < 0.05 else [])
    words = (*FITTING, f"k{number}")
    return {name: rng.choice(words) if rng.random() < 0.7 else rng.choice(ODD) for name in chosen}


@pytest.mark.parametrize("version", list(PROFILES))
def test_any_request_is_answered(version: str) -> None:
    rng = Random(1)
    world = make_world(version)
    world.lane_width = 100
    peer, _, _ = connect(world)
    for number in range(3000):
        if not peer.is_open:
            peer, _, _ = connect(world)
        method = rng.choice(list(METHODS))
        params = some_params(rng, list(METHODS[method].params), number)
        peer.receive({"type": "req", "id": number, "method": method, "params": params})
        answers = [item for item in drain(peer) if not isinstance(item, Close) and item["type"] == "res"]
        assert method == "agent.wait" or any(answer["id"] == number for answer in answers)
        if rng.random() < 0.05:
            world.advance(rng.uniform(0, 20))
        if rng.random() < 0.002:
            world.process.restart(1)
            world.advance(30)


@pytest.mark.parametrize("version", list(PROFILES))
def test_any_introduction_is_answered_or_refused(version: str) -> None:
    rng = Random(2)
    world = make_world(version)
    for _ in range(1000):
        peer = SimulatedConnection(world, AccessRules())
        params = hello_params(peer)
        for _ in range(rng.randrange(3)):
            part = rng.choice((params, params["client"], params["device"]))
            target = part if isinstance(part, dict) and part else params
            target[rng.choice(list(target))] = rng.choice(ODD)
            if not isinstance(params.get("client"), dict) or not isinstance(params.get("device"), dict):
                break
        drain(peer)
        peer.receive({"type": "req", "id": 1, "method": "connect", "params": params})
        answer, *rest = drain(peer)
        assert answer["ok"] or isinstance(rest[-1], Close)
        peer.close()
