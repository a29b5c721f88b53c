"""What a hello says of the gateway's chat apps."""

from __future__ import annotations

from typing import Any

import pytest

from watchdog.gateway.wire.hello import MOST_CHANNELS, stopped_channels

TRIPPED = "gateway restart-loop breaker tripped: 3 unclean boot(s) within 300000ms; suppressing channel/provider account auto-start."


def _health(**channels: Any) -> dict[str, Any]:
    return {"ok": True, "channels": channels}


def test_the_ones_that_the_crash_loop_breaker_stopped_are_named() -> None:
    """Measured on 2026.9.6: a probe of them says ok."""
    health = _health(telegram={"running": False, "lastError": TRIPPED, "probe": {"ok": True}}, irc={"lastError": None})
    assert stopped_channels(health) == ("telegram",)
    assert stopped_channels(_health(telegram={"running": False, "lastError": "401 Unauthorized"})) == ()


def test_one_that_runs_again_is_not_named_for_its_old_words() -> None:
    assert stopped_channels(_health(telegram={"running": True, "lastError": TRIPPED})) == ()


@pytest.mark.parametrize("health", [None, 1, "x", [], {}, {"channels": None}, {"channels": []}, {"channels": {"a": 1}}])
def test_a_health_of_any_shape_is_read(health: object) -> None:
    assert stopped_channels(health) == ()


def test_no_name_is_taken_that_a_shell_would_not_take_for_one_and_only_so_many() -> None:
    assert stopped_channels(_health(**{"x'; rm": {"lastError": TRIPPED}, "--all": {"lastError": TRIPPED}})) == ()
    many = _health(**{f"chat{number}": {"lastError": TRIPPED} for number in range(100)})
    assert len(stopped_channels(many)) == MOST_CHANNELS
