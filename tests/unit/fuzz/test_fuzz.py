"""A few lives of ``make fuzz``, and that its ways of breaking answers break them."""

from __future__ import annotations

import json
from random import Random

import pytest

from tests.fuzz.corruption import Corruptor, paths_of
from tests.fuzz.lives import VERSIONS, live
from watchdog.gateway.wire.protocol import Conversation, Malformed, Response

LIVES = 16
MENDED = (1_000_374,)
"""Lives in which something alive was touched, once: a negative count taken for an idle gateway."""


@pytest.mark.parametrize("seed", [*range(LIVES), *MENDED])
def test_nothing_raises_and_nothing_alive_is_touched(seed: int) -> None:
    assert live(seed).violations == []


def test_there_are_deeds_to_be_had() -> None:
    """Otherwise "nothing alive was touched" would be told of worlds in which nothing is touched at all."""
    found = [live(seed) for seed in range(LIVES)]
    assert {life.version for life in found} == set(VERSIONS)
    assert sum(life.deeds for life in found) >= LIVES / 4
    assert sum(life.broken for life in found) >= 50 * LIVES


def test_what_is_broken_is_not_what_it_was() -> None:
    corruptor = Corruptor(Random(1), share=1.0)
    payload = {"sessions": [{"key": "agent:main:main", "hasActiveRun": True, "startedAt": 1_795_168_161_337}]}
    whole = {"type": "res", "id": "w1", "ok": True, "payload": payload}
    conversation = Conversation()
    unread = 0
    for _ in range(500):
        number, _ = conversation.request("sessions.list", {})
        taken = conversation.receive(corruptor.frame(number, payload))
        conversation.forget(number)
        if not isinstance(taken, Response) or taken.payload is None:
            unread += 1
            assert taken is None or isinstance(taken, Malformed | Response) or taken.name
    assert unread > 50
    assert corruptor.count > 300
    assert json.loads(json.dumps(whole))["payload"] == payload, "the sound answer itself stays sound"


def test_every_place_is_found() -> None:
    assert list(paths_of({"a": [1, {"b": 2}]})) == [("a",), ("a", 0), ("a", 1), ("a", 1, "b")]


def test_the_same_seed_is_the_same_life() -> None:
    assert live(7) == live(7)
