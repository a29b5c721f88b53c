"""Listening changes what a poll asks for, and whether it lists at all, never what is done: the same deeds and messages with
events and without, no further apart than a list may be old without them.

In a world whose wire loses or breaks answers the two differ in which answers these are; there only the deeds are compared.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.sim.episodes import Episode, Setting
from watchdog.core.policy import Thresholds
from watchdog.gateway.events import Told
from watchdog.gateway.listening import Listener
from watchdog.simulator.faults import FaultKind

APART_MS = Thresholds().confirm_for / timedelta(milliseconds=1)
BREAKS_ANSWERS = {FaultKind.LOSSY.value, FaultKind.MALFORMED.value}


def _setting(version: str, seed: int) -> Setting:
    return Setting(
        seed=seed,
        version=version,
        sessions=6,
        hours=5.0,
        turns_per_hour=0.3,
        troubles_per_hour=1.5,
        travel=0.0,
        is_remote=False,
        run_timeout=600.0,
        kills=False,
        skips=False,
    )


def _course(setting: Setting) -> tuple[list[Any], list[Any], set[str]]:
    """Deeds, messages, and what went wrong."""
    episode = Episode(setting)
    result = episode.run()
    assert result.violations == []
    deeds = [(round(deed.at_ms, -2), deed.method, deed.key, deed.truth, deed.effect) for deed in episode.world.deeds]
    messages = [(owed.message.kind, owed.message.session) for owed in episode.judge.messages]
    return deeds, messages, set(result.troubles)


WORLDS = [("2026.5.18", seed) for seed in (22, 24, 25, 36)] + [("2026.9.6", seed) for seed in (24, 25, 36, 40)]
"""Worlds in which something is done; in the last of the first and in the last two answers break."""


@pytest.mark.parametrize(("version", "seed"), WORLDS)
def test_the_same_is_done_and_told_with_events_and_without(
    version: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: Counter[str] = Counter()

    def told(listener: Listener) -> Told:
        said = tell(listener)
        heard.update(polls=1, everything=said.is_everything, changes=len(said.changes))
        return said

    tell = Listener.told
    monkeypatch.setattr(Listener, "told", told)
    setting = _setting(version, seed)
    deeds, messages, troubles = _course(setting)
    assert heard["everything"] > heard["polls"] / 2, "else lists are compared with lists"
    assert heard["changes"] > 5
    without, messages_without, _ = _course(replace(setting, hears=False))
    assert [deed[1:] for deed in deeds] == [deed[1:] for deed in without]
    if not troubles & BREAKS_ANSWERS:
        assert messages == messages_without
        assert all(abs(one[0] - other[0]) <= APART_MS for one, other in zip(deeds, without, strict=True))
    assert deeds
