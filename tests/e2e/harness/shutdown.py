"""A test run that is told to stop still stops what it started."""

from __future__ import annotations

import signal
from types import FrameType

import pytest


def leave_in_order_when_told() -> None:
    """SIGTERM ends the run as an interrupt does: fixtures are torn down, and gateways with them."""

    def leave(number: int, frame: FrameType | None) -> None:
        pytest.exit("told to stop", returncode=128 + number)

    signal.signal(signal.SIGTERM, leave)
