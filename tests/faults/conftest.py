"""Rows: begun with a test, written down when it is over, however it ended."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.harness.conditions import monotonic
from tests.e2e.harness.shutdown import leave_in_order_when_told

from . import report
from .report import Row
from .webhook import Webhook

_ROW = pytest.StashKey[Row]()


def pytest_configure(config: pytest.Config) -> None:
    leave_in_order_when_told()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    test_report = yield
    row = item.stash.get(_ROW, None)
    if row is not None and call.excinfo is not None:
        row.is_skipped = call.excinfo.errisinstance(pytest.skip.Exception)
        row.problem = " ".join(str(call.excinfo.value).split())[:300]
    return test_report


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Iterator[Row]:
    """The test's row; a row with a loss fails its test."""
    marker = request.node.get_closest_marker("faults")
    assert marker is not None, "a row needs the name of its fault: @pytest.mark.faults(...)"
    made = Row(marker.args[0])
    request.node.stash[_ROW] = made
    began = monotonic()
    yield made
    made.seconds = monotonic() - began
    wanted = os.environ.get("FAULTS_ROWS")
    if wanted:
        report.write(made, Path(wanted))
    print(report.table([made]))
    assert not made.losses, made.verdict


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """Somebody who is told."""
    with Webhook() as made:
        yield made
