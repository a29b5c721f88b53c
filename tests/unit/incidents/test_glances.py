"""The corpus three times: with every row read in every poll, and with polls that read only what can have changed, or
nothing where nothing has, with and without events. Deed for deed and word for word the same.

Left out: cases in which answers take long, because there another number of requests is another time.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from tests.incidents import wire
from tests.incidents.cases import Case, families
from tests.incidents.player import Played, Player
from tests.incidents.script import ScriptedGateway
from tests.incidents.wire import Era

BYSTANDERS = 60
PASSES = 30
FULL_SWEEP = timedelta(minutes=15)
CHANGES_IN_SILENCE = ("our-own-mark-is-not-foreign",)
"""The script turns a row at rest back to running without touching its ``updatedAt``: found by the next sweep
at the latest, with events and without."""
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
    for hears in (True, False):
        glances = await Player(case, bystanders=BYSTANDERS, hears=hears).play()
        if case.id not in CHANGES_IN_SILENCE:
            assert _course(glances) == _course(everything)
            continue
        pairs = list(zip(glances.sent, everything.sent, strict=True))
        assert all((late.name, late.step, late.method) == (one.name, one.step, one.method) for late, one in pairs)
        assert all(timedelta(0) <= timedelta(seconds=late.t - one.t) <= FULL_SWEEP for late, one in pairs)


@pytest.mark.skipif(bool(os.environ.get("WATCHDOG_CORPUS")), reason="only some cases are played")
async def test_the_polls_compared_are_not_the_same_polls() -> None:
    """Else the test above compares nothing."""
    healthy, stuck = await _first_passes("sleep-1150"), await _first_passes("not-ended-by-the-log")
    for of_healthy, of_stuck in zip(healthy, stuck, strict=True):
        assert max(of_healthy[1], of_stuck[1]) > BYSTANDERS / 2
    assert [is_subscribed for _, _, is_subscribed in stuck] == [True, False]
    (heard, _, _), (unheard, _, _) = healthy
    assert heard < unheard / 1.5 < PASSES / 2


async def _first_passes(name: str) -> list[tuple[int, int, bool]]:
    """With events and without: how many lists were made, how many rows one carried over at most, and whether somebody
    subscribed."""
    case = next(case for case in CASES if name in case.name)
    found = []
    for hears in (True, False):
        player = Player(case, bystanders=BYSTANDERS, hears=hears)
        for _ in range(PASSES):
            await player._pass()
        gateway = player.watch.gateway
        assert isinstance(gateway, ScriptedGateway)
        most = max(len(snapshot.carried) for snapshot in gateway.made)
        found.append((len(gateway.made), most, any(link.is_subscribed for link in player.world.links)))
        await gateway.close()
    return found
