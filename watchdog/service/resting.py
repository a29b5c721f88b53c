"""A pass without a list: when one may be left out, and what is reported then.

Lists are what a watchdog costs a gateway. One is left out only while nothing that the last one showed needs to be seen
again: no incident is open, nothing is in flight, nothing is due, and every run is proven alive (or in quarantine, where
nothing is done for it). Whether anything has happened since is the gateway's to prove (``ports.Gateway.standstill``).

Invariant: a pass without a list judges nothing, and nothing is done in it; what is suspected is looked at in every pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from watchdog.core.evidence import Truth
from watchdog.core.model import GatewayFacts, Moment
from watchdog.core.policy import PolicyBook, Step
from watchdog.service.ledger import Ledger, Quarantine
from watchdog.service.observing import Judged
from watchdog.service.planning import Action
from watchdog.service.ports import Standstill
from watchdog.service.report import PassReport


def may_rest(last: PassReport, facts: GatewayFacts, ledger: Ledger, now: Moment) -> bool:
    """Nothing in the last pass, or in the ledger, asks for a list now. Raises ``errors.LedgerError``."""
    if not last.is_good or last.facts is not facts or not last.is_complete or last.malformed:
        return False
    if last.deeds or last.in_flight or (last.next_due is not None and last.next_due <= now):
        return False
    if ledger.open_incidents(last.gateway) or ledger.attempts_in_flight(last.gateway) or not ledger.is_writable():
        return False
    if any(decision.action is not Action.HOLD for decision in last.decisions):
        return False
    quarantined = ledger.quarantines(last.gateway)
    return not any(_wants_eyes(item, quarantined) for item in last.judged if item.session.may_change_unseen)


def rested(last: PassReport, still: Standstill, poll_every: timedelta, now: Moment) -> PassReport:
    """The report of a pass without a list: what was so at the last one is taken to be so."""
    return replace(
        last,
        at=now,
        latency=still.took,
        size_bytes=still.size_bytes,
        poll_every=poll_every,
        rests_until=still.until,
    )


def shortest_confirm_for(book: PolicyBook) -> timedelta:
    """So long may news wait where a list is dear, and so old may a list become that nothing but a count speaks for: a run
    that was left behind unseen is seen at most so much later, and found within ``stuck_after`` + ``confirm_for``."""
    return min(policy.thresholds.confirm_for for policy in (*book.policies, book.default))


def _wants_eyes(item: Judged, quarantined: Sequence[Quarantine]) -> bool:
    if Step.ABORT in item.policy.recovery.ladder:
        return True  # its silence is measured in its transcript, by looking
    return item.judgement.owner is not Truth.TRUE and not any(one.holds(item.session) for one in quarantined)
