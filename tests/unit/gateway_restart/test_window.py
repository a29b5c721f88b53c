"""Whatever the gateway does, and however often the watchdog itself dies: never more than allowed in any 6 hours."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from watchdog.core.policy import Budget
from watchdog.gateway_restart.decision import BACKOFF
from watchdog.service.restart_record import WINDOW

from .support import HANGS, MINUTE, REFUSED_CONNECTION, RULE, STARTING, Story

POLL = timedelta(minutes=1)
SICK = [HANGS, REFUSED_CONNECTION]
spans = st.integers(1, 240).map(lambda minutes: minutes * MINUTE)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("sick"), spans),
        st.tuples(st.just("well"), spans),
        st.tuples(st.just("starting"), spans),
        st.tuples(st.just("died"), spans),
    ),
    max_size=14,
)


async def lived(course: list[tuple[str, timedelta]], most: int) -> Story:
    story = Story(rule=replace(RULE, limit=Budget(most, WINDOW)))
    await story.well()
    for number, (what, span) in enumerate(course):
        if what == "well":
            await story.well(span)
        elif what == "died":
            story.died()
            await story.well(MINUTE)
        else:
            await story.sick(span, STARTING if what == "starting" else SICK[number % 2], every=POLL)
    return story


@settings(max_examples=50)
@given(course=happenings, most=st.integers(1, 4))
def test_the_limit_holds_in_any_window_and_the_pause_between_any_two(
    course: list[tuple[str, timedelta]], most: int
) -> None:
    story = asyncio.run(lived(course, most))
    times = [at.wall for at in story.restarted_at]
    for first in times:
        assert sum(first <= at <= first + WINDOW for at in times) <= most
    for earlier, later in pairwise(times):
        assert later - earlier >= BACKOFF[0]
    assert [one.at for one in story.record] == times
    story.ledger.close()


def test_the_limit_is_also_reached() -> None:
    """Or the property above would hold for a program that never does anything."""
    story = asyncio.run(lived([("sick", 240 * MINUTE), ("well", MINUTE), ("sick", 240 * MINUTE)], 3))
    first = story.restarted_at[0]
    assert sum(at <= first.plus(WINDOW) for at in story.restarted_at) == 3
    assert len(story.restarted_at) == 5, "two more once the first ones are out of the window"
