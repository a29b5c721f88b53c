"""Every scenario of the contract against the simulator, compared with what real gateways answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openclaw_simulator.profiles import PROFILES
from tests.conformance.comparison import STAGES
from tests.unit.openclaw_simulator.contract import GatewayUnderTest
from tests.unit.openclaw_simulator.contract_scenarios import NOT_MEASURED, SCENARIOS
from tests.unit.openclaw_simulator.simulated import SimulatedUnderTest

MEASURED: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("measured.json").read_text(encoding="utf-8"))
"""version -> scenario -> facts, written down from real gateways on 2026-11-20."""


CASES = [
    (version, name) for version in PROFILES for name in SCENARIOS if name not in NOT_MEASURED.get(version, frozenset())
]


@pytest.mark.parametrize(("version", "name"), CASES)
async def test_the_simulator_answers_as_the_real_one(version: str, name: str) -> None:
    gateway: GatewayUnderTest = SimulatedUnderTest(version)
    facts = json.loads(json.dumps(await SCENARIOS[name](gateway)))
    assert facts == MEASURED[version][name]


def test_nothing_measured_is_left_unasked() -> None:
    assert {(version, name) for version, facts in MEASURED.items() for name in facts} == set(CASES)


def test_every_scenario_has_its_stage_on_real_gateways() -> None:
    staged = [name for stage in STAGES for name in stage.scenarios]
    assert sorted(staged) == sorted(SCENARIOS)
