"""Under which name a gateway's past is kept: what happens when it gets another one.

A name is remembered with the place it led to (a digest of the address, see ``daemon.places``). A name that was never seen
at a place that belonged to a name nobody watches any more is the same gateway, renamed: its incidents, budgets, pauses,
quarantines, restarts and people's stops go on under the new name. Limit: who changes name and address at once starts
afresh, but for the runs that were acted on and the runs that a person stopped (``incidents``).

Two names that lead to one gateway have one past, under the name that it is watched as. Which one that is stands with the place
of the other, so that either may be taken out of the configuration, also while nobody runs. Where several others are kept one of
them has it, until the next sign-in brings them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from watchdog import PROGRAM
from watchdog.ledger import operator
from watchdog.ledger.incidents import LED_ELSEWHERE, set_in_doubt
from watchdog.ledger.rows import to_ms
from watchdog.ledger.store import Operations, Transaction

_WHY = "its gateway is watched under another name"
_WATCHED_AS = " watched as "
"""Between the place of a name that was found to lead to another one's gateway, and that other one."""


def _take_over(transaction: Transaction, before: str, after: str, at: datetime) -> None:
    """Everything that is kept under ``before`` is ``after``'s from now on, but for messages, whose text has the name of then.
    Of two open incidents of one session the one that has sent something stays: what comes next on its run is up to it."""
    now = to_ms(at)
    for session, mine, yours in transaction.execute(
        """
        SELECT mine.session, mine.id, yours.id FROM incidents mine JOIN incidents yours ON yours.session = mine.session
        WHERE mine.gateway = ? AND yours.gateway = ? AND mine.closed_at IS NULL AND yours.closed_at IS NULL
        """,
        before,
        after,
    ).fetchall():
        over = yours if _has_sent(transaction, mine) and not _has_sent(transaction, yours) else mine
        transaction.execute("UPDATE incidents SET outcome = 'cleared', closed_at = ? WHERE id = ?", now, over)
        operator.audit(transaction, at, PROGRAM, "merge", f"session {session}: incident {over}, {_WHY}")
    transaction.execute("UPDATE incidents SET gateway = ? WHERE gateway = ?", after, before)
    transaction.execute(
        """
        UPDATE quarantines SET released_at = :now, released_by = :who, released_why = :why
        WHERE gateway = :before AND released_at IS NULL
          AND session IN (SELECT session FROM quarantines WHERE gateway = :after AND released_at IS NULL)
        """,
        now=now,
        who=PROGRAM,
        why=_WHY,
        before=before,
        after=after,
    )
    transaction.execute("UPDATE quarantines SET gateway = ? WHERE gateway = ?", after, before)
    transaction.execute("UPDATE pauses SET gateway = ? WHERE gateway = ?", after, before)
    taken = "DELETE FROM acks WHERE gateway = ? AND session IN (SELECT session FROM acks WHERE gateway = ?)"
    transaction.execute(taken, after, before)
    transaction.execute("UPDATE acks SET gateway = ? WHERE gateway = ?", after, before)
    transaction.execute(
        """
        UPDATE gateway_restarts SET outcome = 'failed', settled_at = :now
        WHERE gateway = :before AND outcome IS NULL
          AND EXISTS (SELECT 1 FROM gateway_restarts WHERE gateway = :after AND outcome IS NULL)
        """,
        now=now,
        before=before,
        after=after,
    )
    transaction.execute("UPDATE gateway_restarts SET gateway = ? WHERE gateway = ?", after, before)
    # guard: single: a stop goes along with the name
    transaction.execute(
        """
        INSERT INTO stops (gateway, session, session_id, started_at, at)
        SELECT :after, session, session_id, started_at, at FROM stops WHERE gateway = :before ORDER BY id
        ON CONFLICT DO NOTHING
        """,
        after=after,
        before=before,
    )
    transaction.execute("DELETE FROM stops WHERE gateway = ?", before)
    operator.audit(transaction, at, PROGRAM, "rename", f"gateway {before} is {after} now")


def _has_sent(transaction: Transaction, incident: str) -> bool:
    sent = "SELECT 1 FROM attempts WHERE incident = ? AND started_at IS NOT NULL AND state <> 'refused'"
    return transaction.one(sent, incident) is not None


class NameOperations(Operations):
    """``service.ledger.NameLedger``."""

    def name_gateways(
        self, places: Mapping[str, str], at: datetime, watched_as: Mapping[str, str] = MappingProxyType({})
    ) -> Sequence[tuple[str, str]]:
        leads = {
            name: place + _WATCHED_AS + watched_as[name] if name in watched_as else place
            for name, place in places.items()
        }
        with self._file.writing(tells_loss=False) as transaction:
            led = {row["name"]: row["place"] for row in transaction.execute("SELECT name, place FROM gateway_places")}
            known = {name: lead.partition(_WATCHED_AS)[0] for name, lead in led.items()}
            renamed = {
                before: after
                for after, place in places.items()
                if after not in known
                for before, place_before in known.items()
                if place_before == place and before not in places
            }
            for name, lead in led.items():
                kept, other = renamed.get(name, name), lead.partition(_WATCHED_AS)[2]
                # guard: single: of two names for one gateway either may be kept
                if other in known and other not in places and places.get(kept) == known[name]:
                    renamed.setdefault(other, watched_as.get(kept, kept))
            for before, after in renamed.items():  # guard: single: a gateway with another name keeps its past
                _take_over(transaction, before, after, at)
                transaction.execute("DELETE FROM gateway_places WHERE name = ?", before)
            for name, other in watched_as.items():
                if led.get(name) != leads[name]:  # guard: single: two names for one gateway have one past
                    _take_over(transaction, name, other, at)
            for name in [name for name, place in places.items() if known.get(name, place) != place]:
                # guard: single: what was sent to another place is proven by its mark alone
                set_in_doubt(transaction, name, LED_ELSEWHERE)
            for name, lead in leads.items():
                if led.get(name) != lead:
                    transaction.execute(
                        "INSERT INTO gateway_places (name, place) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET place = excluded.place",
                        name,
                        lead,
                    )
            return list(renamed.items())
