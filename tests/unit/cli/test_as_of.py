"""While a gateway is away, what is shown of its sessions says as of when, and gets no older."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console, ConsoleDimensions, RenderableType

from tests.unit.status import support as world
from tests.unit.status.support import ALICE, HOUR, MINUTE, NOW
from watchdog.cli.render import status_lines, top_frame
from watchdog.core.model import GatewayPhase
from watchdog.status.document import build, read_record
from watchdog.status.model import document

LATER = NOW.plus(HOUR).wall


def _document(phase: GatewayPhase) -> dict[str, Any]:
    """A session seen stuck for 24 minutes at noon; an hour later its gateway is in ``phase``."""
    good = world.report([world.seen(world.row(ALICE), 24 * MINUTE)])
    is_well = phase is GatewayPhase.CONNECTED
    last = good if is_well else world.report([], phase=phase, at=NOW.plus(HOUR), problem="home: it is away.")
    with world.memory() as ledger:
        sights = [world.sight(last, seen=good)]
        return dict(document(build(world.life(), sights, read_record(ledger, sights, LATER), LATER)))


def _text(*drawn: RenderableType) -> str:
    console = Console(width=160, file=io.StringIO(), record=True, markup=False, highlight=False)
    for one in drawn:
        console.print(one)
    return console.export_text()


@pytest.mark.parametrize("phase", [one for one in GatewayPhase if one is not GatewayPhase.CONNECTED])
def test_status_says_as_of_when(phase: GatewayPhase) -> None:
    text = _text(*status_lines(_document(phase), LATER))
    assert "its sessions as of 12:00:00 UTC, 1h ago, when it last answered" in text
    assert "nothing works on it for 24m" in text
    assert "next: nothing while its gateway " in text


def test_top_says_as_of_when_beside_each_session() -> None:
    text = _text(top_frame(_document(GatewayPhase.DOWN), LATER, ConsoleDimensions(160, 50)))
    assert "home: its sessions as of 12:00:00 UTC, 1h ago" in text
    assert "24m at 12:00:00" in text
    assert "1h24m" not in text
    assert "nothing while its gateway is down" in text


def test_of_a_gateway_that_answers_ages_go_on_and_nothing_is_as_of() -> None:
    shown = _document(GatewayPhase.CONNECTED)
    later = NOW.wall + timedelta(minutes=1)
    text = _text(*status_lines(shown, later), top_frame(shown, later, ConsoleDimensions(160, 50)))
    assert "as of" not in text
    assert text.count("25m") == 2
