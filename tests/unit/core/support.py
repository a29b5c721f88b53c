"""A small world for the core's tests: cases, and one pass over them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.fakes.builders import V96, facts, fresh_track, running
from tests.fakes.clock import START
from watchdog.core.evidence import Case
from watchdog.core.model import Look, Moment, Session
from watchdog.core.policy import Thresholds
from watchdog.core.tracking import Track, observe
from watchdog.core.verdict import Judgement, assess

THRESHOLDS = Thresholds(
    stuck_after=timedelta(minutes=20),
    confirm_for=timedelta(minutes=1),
    long_running_after=timedelta(minutes=60),
    startup_grace=timedelta(minutes=5),
)


def at(seconds: float = 0, *, minutes: float = 0) -> Moment:
    """So long after the beginning of the story."""
    return START.plus(timedelta(seconds=seconds, minutes=minutes))


def case(
    session: Session | None = None,
    *,
    version: str = V96,
    look: Look | None = None,
    track: Track | None = None,
    now: Moment = START,
    **changes: Any,
) -> Case:
    """One session in one pass. ``facts`` among the changes replaces the version's."""
    row = session if session is not None else running()
    made = Case(
        now=now,
        facts=facts(version),
        session=row,
        track=track if track is not None else fresh_track(row, now),
        look=look if look is not None else Look(),
        boot_age=timedelta(days=1),
        boot_seen_age=timedelta(days=1),
    )
    return replace(made, **changes)


def passed(case_: Case, thresholds: Thresholds = THRESHOLDS) -> tuple[Case, Judgement]:
    """One pass over the case as the service does it: observe, weigh the owner, note it, judge."""
    tail_ = case_.look.tail
    track = observe(case_.track, case_.session, tail_.fingerprint if tail_ is not None else None, case_.now)
    return assess(replace(case_, track=track), thresholds)
