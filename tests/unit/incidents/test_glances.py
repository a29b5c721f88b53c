"""The corpus twice: with every row read in every poll, and with polls that read only what can have changed. Deed for deed and
word for word the same.

Left out: cases in which answers take long, because there another number of requests is another time.
"""

from __future__ import annotations

import os

import pytest

from tests.incidents import wire
from tests.incidents.cases import Case, families
from tests.incidents.player import Played, Player
from tests.incidents.script import ScriptedGateway
from tests.incidents.wire import Era

BYSTANDERS = 60
PASSES = 30
_WORDS = os.environ.get("WATCHDOG_CORPUS", "").split("|")


def _is_compared(case: Case) -> bool:
    is_slow = case.gateway.latency is not None or any(change.latency is not None for change in case.play)
    return wire.era_of(case.version) >= Era.FLAG and not is_slow and any(word in case.name for word in _WORDS)


CASES = [case for family in families() for case in family.cases if _is_compared(case)]


def _course(played: Played) -> dict[str, object]:
    return {
        "sent": [(one.name, one.step, one.method, one.message, round(one.t, 1)) for one in played.sent],
        "told": [(told.kind, told.session, round(told.t, 1)) for told in played.told],
        "seen": {name: played.course(name) for name in played.seen},
        "states": played.states,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
async def test_nothing_is_decided_otherwise(case: Case) -> None:
    everything = await Player(case, bystanders=BYSTANDERS, reads_all=True).play()
    glances = await Player(case, bystanders=BYSTANDERS).play()
    assert _course(glances) == _course(everything)


@pytest.mark.skipif(bool(os.environ.get("WATCHDOG_CORPUS")), reason="only some cases are played")
@pytest.mark.parametrize("name", ["sleep-1150", "not-ended-by-the-log"])
async def test_the_polls_compared_are_not_the_same_polls(name: str) -> None:
    """Else the test above compares nothing."""
    case = next(case for case in CASES if name in case.name)
    player = Player(case, bystanders=BYSTANDERS)
    for _ in range(PASSES):
        await player._pass()
    gateway = player.watch.gateway
    assert isinstance(gateway, ScriptedGateway)
    assert max(len(snapshot.carried) for snapshot in gateway.made) > BYSTANDERS / 2
    await gateway.close()
