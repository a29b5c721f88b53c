"""The simulator against real gateways, scenario by scenario (see ``tests.conformance``)."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.comparison import Compared, compare_all
from tests.e2e.harness.releases import V3_24, V5_18, V9_6
from tests.unit.openclaw_simulator.contract_scenarios import SCENARIOS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RELEASES = (V3_24, V5_18, V9_6)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Compared]:
    """All versions side by side, once: most of it is waiting."""
    reports = asyncio.run(compare_all(RELEASES, tmp_path_factory.mktemp("conformance")))
    return {(one.version, one.scenario): one for report in reports for one in report.compared}


@pytest.mark.parametrize("version", [release.version for release in RELEASES])
@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_the_simulator_is_like_the_real_one(
    compared: dict[tuple[str, str], Compared], version: str, scenario: str
) -> None:
    one = compared[version, scenario]
    assert one.trouble is None
    assert not one.differences, "\n".join(map(str, one.differences))
