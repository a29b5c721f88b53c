"""A poll's rows come in any order (newest first, and the newest changes): what is made of each does not depend on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.builders import V96, V324, V414, V518, dead, lenient, vague
from tests.fakes.world import World
from watchdog.core.model import Session, SessionKind, Status
from watchdog.core.policy import PolicyBook
from watchdog.service.plan import Action

PARENT = vague("agent:main:parent")
ROWS: tuple[Session, ...] = (
    dead("agent:main:a"),
    dead("agent:main:b"),
    vague("agent:main:live", has_active_run=True),
    replace(vague("agent:main:twin", has_active_run=True), session_id="shared"),
    replace(dead("agent:main:other-twin"), session_id="shared"),
    PARENT,
    replace(vague("agent:main:subagent:c"), kind=SessionKind.SUBAGENT, parent_key=PARENT.key),
    replace(dead("agent:main:done"), status=Status.DONE),
)


def _seen(version: str, rows: Sequence[Session], order: Sequence[Session]) -> dict[str, tuple[str, str]]:
    """What two long-apart polls made of each session, the second one in another order."""

    async def watch() -> dict[str, tuple[str, str]]:
        world = World(book=PolicyBook(default=lenient()), version=version)
        world.watch.is_observing = True
        world.gateway.put(*rows)
        await world.live(minutes=19)
        world.gateway.rows.clear()
        world.gateway.put(*order)
        await world.live(minutes=12)
        report = world.reports[-1]
        assert not any(decision.action is Action.ACT for decision in report.decisions)
        return {item.session.key: (item.judgement.verdict.value, item.judgement.reason) for item in report.judged}

    return asyncio.run(watch())


@settings(max_examples=12)
@given(version=st.sampled_from([V324, V414, V518, V96]), order=st.permutations(ROWS))
def test_the_order_of_rows_does_not_matter(version: str, order: list[Session]) -> None:
    assert _seen(version, ROWS, order) == _seen(version, ROWS, ROWS)
