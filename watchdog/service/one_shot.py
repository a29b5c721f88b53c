"""Looks without a daemon: what ``check``, ``explain`` and ``recover`` by hand need to say what is so right now.

A person who asks cannot wait twenty minutes for observed time, so the rows' own times are believed here. That is safe
because nothing that is found this way is acted on without a person, or at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from watchdog.core.model import GatewayFacts, Snapshot, Status
from watchdog.core.policy import PolicyBook
from watchdog.core.verdict import Verdict
from watchdog.service.gateway_trust import Trust
from watchdog.service.observer import Judged, Observer
from watchdog.service.ports import Clock, Gateway

SHORT_WAIT = timedelta(seconds=1)
"""Between the two looks when nothing needs confirming."""


@dataclass(slots=True)
class Inspection:
    """One gateway as seen by at least two looks."""

    facts: GatewayFacts
    snapshot: Snapshot
    judged: Sequence[Judged]
    trust: Trust
    observer: Observer

    def find(self, key: str) -> Judged | None:
        return next((item for item in self.judged if item.session.key == key), None)


Progress = Callable[[timedelta, Sequence[Judged]], Awaitable[None]]


async def inspect(
    gateway: Gateway,
    book: PolicyBook,
    clock: Clock,
    *,
    at_most: timedelta | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Look twice, far enough apart to call a session stuck (``confirm_for``, or ``at_most`` if that is shorter).

    Raises ``errors.GatewayError`` leaves.
    """
    trust = Trust(stall_after=timedelta(days=1), heeds_own_connection=False)
    observer = Observer(gateway, book, trust, believes_rows=True)
    inspection = await _look(gateway, observer, trust, clock)
    wait = max((_wait_for(item) for item in inspection.judged), default=SHORT_WAIT)
    if at_most is not None:
        wait = min(wait, at_most)
    if progress is not None:
        await progress(wait, inspection.judged)
    await clock.sleep(wait.total_seconds())
    return await _look(gateway, observer, trust, clock)


async def look_once_more(inspection: Inspection, gateway: Gateway, clock: Clock) -> Inspection:
    """A further look with everything the earlier ones learned."""
    return await _look(gateway, inspection.observer, inspection.trust, clock)


async def _look(gateway: Gateway, observer: Observer, trust: Trust, clock: Clock) -> Inspection:
    facts = await gateway.connect()
    trust.note_connection(facts, clock.now(), is_new=facts is not trust.facts)
    snapshot = await gateway.list_sessions()
    trust.note_answer(snapshot.latency, clock_stepped=snapshot.gateway_clock_stepped)
    return Inspection(facts, snapshot, await observer.judge_all(snapshot, facts), trust, observer)


def _wait_for(item: Judged) -> timedelta:
    if item.session.status is not Status.RUNNING or item.judgement.verdict is not Verdict.SUSPECT:
        return SHORT_WAIT
    unattended = item.judgement.unattended_for or timedelta(0)
    if unattended + item.policy.thresholds.confirm_for < item.policy.thresholds.stuck_after:
        return SHORT_WAIT  # too young to be stuck after any wait worth making somebody sit through
    return item.policy.thresholds.confirm_for + timedelta(milliseconds=200)
