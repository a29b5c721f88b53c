"""A small world for the core's tests: one instant, the four measured versions, short makers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from watchdog.core.evidence import Case
from watchdog.core.model import GatewayFacts, Look, Moment, Preflight, Session, Status, TailKind, TranscriptTail
from watchdog.core.policy import Thresholds
from watchdog.core.tracking import Track, observe
from watchdog.core.verdict import Judgement, assess
from watchdog.gateway.capabilities import capabilities_of

T0 = Moment(50_000.0, datetime(2026, 11, 20, 12, 0, tzinfo=UTC))
BOOT = T0.wall - timedelta(days=1)
KEY = "agent:main:irc:direct:alice"

V324, V414, V518, V96 = "2026.3.24", "2026.4.14", "2026.5.18", "2026.9.6"
MEASURED = (V324, V414, V518, V96)

THRESHOLDS = Thresholds(
    stuck_after=timedelta(minutes=20),
    confirm_for=timedelta(minutes=1),
    long_running_after=timedelta(minutes=60),
    startup_grace=timedelta(minutes=5),
)


def at(seconds: float = 0, *, minutes: float = 0) -> Moment:
    """So long after the beginning of the story."""
    return T0.plus(timedelta(seconds=seconds, minutes=minutes))


def facts(version: str = V96, **changes: Any) -> GatewayFacts:
    """A gateway of that version, up for a day."""
    methods = frozenset({"gateway.restart.preflight"} if version in (V518, V96) else ())
    made = GatewayFacts("home", version, capabilities_of(version, methods), BOOT, methods=methods)
    return replace(made, **changes)


def running(**changes: Any) -> Session:
    """A row that says running, started ten minutes before the story, and nothing about a run."""
    made = Session(
        KEY,
        Status.RUNNING,
        session_id="sid-1",
        started_at=T0.wall - timedelta(minutes=10),
        updated_at=T0.wall - timedelta(minutes=10),
    )
    return replace(made, **changes)


def orphan(**changes: Any) -> Session:
    """A row whose run started an hour before the gateway did."""
    began = BOOT - timedelta(hours=1)
    return running(**{"started_at": began, "updated_at": began, **changes})


def tail(kind: TailKind = TailKind.REQUEST, **changes: Any) -> TranscriptTail:
    return replace(TranscriptTail(kind, "tail-1", request="do the long task", at=T0.wall), **changes)


def preflight(total: int) -> Preflight:
    return Preflight(total, T0)


def fresh_track(session: Session, now: Moment = T0) -> Track:
    return observe(None, session, None, now)


def case(
    session: Session | None = None,
    *,
    version: str = V96,
    look: Look | None = None,
    track: Track | None = None,
    now: Moment = T0,
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
