"""Whoever asks once (``check``, ``explain``) believes the rows' own ages, but one sight is still no proof."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from tests.incidents.cases import Case
from tests.incidents.script import ScriptedGateway, World
from watchdog.config import parse
from watchdog.core.verdict import Verdict
from watchdog.service.gateway_trust import Trust
from watchdog.service.observer import Observer
from watchdog.service.one_shot import inspect

CASE = msgspec.convert(
    {
        "id": "week-old-orphan",
        "issues": ["59878"],
        "right": "leave",
        "version": "2026.5.18",
        "story": "An orphan of a restart, a week old.",
        "booted": "-6d",
        "rows": {"dm": {"as": "direct", "status": "running", "startedAt": "-7d", "updatedAt": "-7d"}},
        "expect": [],
        "until": "5m",
    },
    Case,
)


async def test_one_sight_is_suspect_two_are_stuck() -> None:
    world = World.of(CASE)
    gateway, book = ScriptedGateway(world, frozenset()), parse("", env={}).policy_book
    trust = Trust(stall_after=timedelta(days=1))
    observer = Observer(gateway, book, trust, believes_rows=True)
    facts = await gateway.connect()
    trust.note_connection(facts, world.now(), is_new=True)

    first = await observer.judge_all(await gateway.list_sessions(), facts)
    assert first[0].judgement.verdict is Verdict.SUSPECT

    inspection = await inspect(gateway, book, world)
    assert [item.judgement.verdict for item in inspection.judged] == [Verdict.STUCK]
    assert world.t >= book.default.thresholds.confirm_for.total_seconds()
