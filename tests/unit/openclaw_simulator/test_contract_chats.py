"""Every scenario of chats and people against the simulator, compared with what real gateways answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.openclaw_simulator.contract_chats import CHAT_SCENARIOS, ONLY_ON, ChatGatewayUnderTest
from tests.unit.openclaw_simulator.simulated import SimulatedChats

MEASURED: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("measured_chats.json").read_text(encoding="utf-8")
)
"""version -> scenario -> facts, written down by hand from measurements on real gateways of 2026-11-28."""
CASES = [
    (version, name) for version in MEASURED for name in CHAT_SCENARIOS if version in ONLY_ON.get(name, tuple(MEASURED))
]


@pytest.mark.parametrize(("version", "name"), CASES)
async def test_the_simulator_answers_as_the_real_one(version: str, name: str) -> None:
    gateway: ChatGatewayUnderTest = SimulatedChats(version)
    facts = json.loads(json.dumps(await CHAT_SCENARIOS[name](gateway)))
    assert facts == MEASURED[version][name]


def test_nothing_measured_is_left_unasked() -> None:
    assert {(version, name) for version, facts in MEASURED.items() for name in facts} == set(CASES)
