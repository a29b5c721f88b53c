"""Incidents and the life of their attempts, as SQL.

Invariants: an attempt changes state only by a statement that names the states it may come from (``recovery.LIFE``), and
only if that statement changed exactly one row. A claim further needs its incident open and no other attempt of it in
flight, so that two programs that planned for one session at once do not both act.

A claim also goes by the run it is for (session key, session id, start), whatever its gateway is called: two sections may
lead to one gateway, and a gateway may be given another name. Session ids are random, so the same run under two names is
the same deed. What holds a run, see ``_HOLDS``. A later rung of the same incident, a run begun later, and a run whose
deeds a person forgave (``release``) are not held.

Limit: these guards see one ledger; another watchdog's ledger is seen through the session, and through the idempotency key
that both give to the same deed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from watchdog.core.model import ReplyAddress
from watchdog.core.policy import Step
from watchdog.core.recovery import IN_FLIGHT, LIFE, NEVER_CLAIMED, Attempt, AttemptState
from watchdog.core.tracking import RunIdentity
from watchdog.ledger import outbox
from watchdog.ledger.errors import LedgerRefused
from watchdog.ledger.rows import (
    address_to_json,
    attempt_of,
    from_ms,
    identity_to_json,
    incident_of,
    note_of,
    stop_of,
    to_ms,
    to_ms_or_none,
)
from watchdog.ledger.store import Access, Operations, Transaction
from watchdog.service.ledger import Charge, HandoffNote, Incident, Message, Outcome, Stop

FOUND_STARTED = "FoundStartedAtStartUp"
LED_ELSEWHERE = "GatewayLedElsewhere"
"""Another address was configured for its gateway while it was in flight."""
FOUND_PLANNED = "FoundPlannedAtStartUp"
RUN_HELD_FOR = timedelta(hours=6)
"""How long a deed under one name of a gateway holds its run under any other: long past every proof and back-off of the
ladder that it belongs to. For ever would be too long, because nobody may be watching that name any more."""

_ONLY_ENDING = ", ".join(f"'{step}'" for step in Step if step.nature.only_ends)
_HOLDS = f"""
    other.run = :run AND other.incident <> :incident
    AND (other.state IN ('started', 'indeterminate') AND (:gateway = their.gateway OR other.started_at > :held_since)
         OR other.forgiven_at IS NULL AND other.state = 'succeeded' AND other.step NOT IN ({_ONLY_ENDING})
         OR other.forgiven_at IS NULL AND other.state = 'ineffective' AND :gateway <> their.gateway
            AND (other.started_at > :held_since
                 OR EXISTS (SELECT 1 FROM quarantines q WHERE q.incident = their.id AND q.released_at IS NULL)))
"""  # noqa: S608 - the names of steps
"""Which attempt (``other``, of the incident ``their``) keeps every other incident from acting on its run. Any in flight. One that
succeeded, unless it only ends the run: that helps nobody yet. One of a gateway of another name that did not help: what comes next
is for that incident to decide. Of this name it holds nothing: that incident is over, and whoever tries again was asked to."""


def _next_id(transaction: Transaction, at: datetime) -> str:
    """``i20261120-0007-3fa9``: day (UTC), the how-manieth of that day in this ledger, and which ledger."""
    day = f"{at.astimezone(UTC):%Y%m%d}"
    transaction.execute(
        "INSERT INTO incident_days (day, last) VALUES (?, 1)"
        " ON CONFLICT (day) DO UPDATE SET last = incident_days.last + 1",
        day,
    )
    row = transaction.execute(
        "SELECT last, substr(ledger_id, 1, 4) FROM incident_days, meta WHERE day = ?", day
    ).fetchone()
    return f"i{day}-{row[0]:04d}-{row[1]}"


def close(transaction: Transaction, incident_id: str, outcome: Outcome, at: datetime) -> bool:
    if outcome is Outcome.OPEN:
        raise LedgerRefused(f"Incident {incident_id} cannot be closed as open; this is a bug, please report it.")
    is_finer = outcome in (Outcome.UNDELIVERED, Outcome.ENDED, Outcome.FAILED)
    is_closed = transaction.changes_one(
        "UPDATE incidents SET outcome = ?, ending = ?, closed_at = ? WHERE id = ? AND closed_at IS NULL",
        Outcome.CLEARED if is_finer else outcome,
        outcome if is_finer else None,
        to_ms(at),
        incident_id,
    )
    if is_closed:  # guard: single: an intent that was never claimed ends with its incident
        _abandon_planned(transaction, "incident = :incident", at, NEVER_CLAIMED, incident=incident_id)
    return is_closed


def _abandon_planned(
    transaction: Transaction, where: str, at: datetime, reason: str, **named: str | int | None
) -> None:
    """Nothing of them was sent, and from now on nothing can be: a claim wants them planned."""
    transaction.execute(
        f"""
        UPDATE attempts SET state = 'abandoned', settled_at = :at, reason = :reason, idempotency_key = {_NEVER_SENT}
        WHERE state = 'planned' AND {where}
        """,  # noqa: S608 - of ours
        at=to_ms(at),
        reason=reason,
        **named,
    )


def set_in_doubt(transaction: Transaction, gateway: str | None, reason: str) -> None:
    """What is started and in flight: from now on its own mark alone proves that it arrived. ``gateway`` None: of all."""
    transaction.execute(
        f"UPDATE attempts SET state = 'indeterminate', reason = :reason WHERE state = 'started' AND {_OF_GATEWAY}",  # noqa: S608
        reason=reason,
        gateway=gateway,
    )


def select(
    transaction: Transaction, where: str, *, newest_first: bool = False, **named: str | int | None
) -> list[Incident]:
    """Incidents with their attempts. ``where`` is SQL of ours over ``incidents``, its values are in ``named``."""
    # Those of one instant are of one day, and numbered.
    order = "opened_at DESC, length(id) DESC, id DESC" if newest_first else "opened_at, length(id), id"
    rows = transaction.execute(f"SELECT * FROM incidents WHERE {where} ORDER BY {order}", **named).fetchall()  # noqa: S608
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for row in transaction.execute(
        f"SELECT * FROM attempts WHERE incident IN (SELECT id FROM incidents WHERE {where}) ORDER BY incident, number",  # noqa: S608
        **named,
    ):
        attempts[row["incident"]].append(attempt_of(row))
    return [incident_of(row, attempts[row["id"]]) for row in rows]


def run_digest(session: str, run: RunIdentity | None) -> str | None:
    """Which run of which conversation, without the name of its gateway. None: the run is not known."""
    if run is None:  # guard: one deed has one key
        return None
    named = "\n".join((session, run.session_id or "", "" if run.started_at is None else str(to_ms(run.started_at))))
    return hashlib.blake2s(named.encode("utf-8", "replace"), digest_size=10).hexdigest()


def _idempotency_key(transaction: Transaction, run: str) -> str:
    """What two watchdogs with two ledgers call the same deed, so that the gateway does it once: the run it is about, and
    how many deeds there were on it before. Gateways answer a key that they know with what they said first (measured on
    2026.3.24 to 2026.9.6). An intent that was never sent has given its key back, see ``_NEVER_SENT``."""
    stem = f"ocw-{run}-"
    last = transaction.execute(
        """
        SELECT coalesce(max(CAST(substr(idempotency_key, length(?) + 1) AS INTEGER)), 0) FROM attempts
        WHERE idempotency_key BETWEEN ? AND ? || ':'
        """,
        stem,
        stem,
        stem,
    )
    return f"{stem}{int(last.fetchone()[0]) + 1}"


_OF_GATEWAY = "(:gateway IS NULL OR incident IN (SELECT id FROM incidents WHERE gateway = :gateway))"

_NEVER_SENT = "'unsent-' || id || '-' || idempotency_key"
"""What a planned attempt that is abandoned is called from then on: another watchdog's ledger counts only what was sent, and
both must go on to call the same deed the same."""


def _holder(transaction: Transaction, incident_id: str, gateway: str, run: str | None, at: datetime) -> str | None:
    row = transaction.execute(
        f"SELECT their.id FROM attempts other JOIN incidents their ON their.id = other.incident WHERE {_HOLDS}"  # noqa: S608
        " ORDER BY other.started_at DESC",
        run=run,
        incident=incident_id,
        gateway=gateway,
        held_since=to_ms(at - RUN_HELD_FOR),
    ).fetchone()
    return None if row is None else str(row["id"])


def _live(transaction: Transaction, gateway: str | None) -> list[Incident]:
    """Open, or with an attempt in flight: those of closed incidents too, somebody has to settle them."""
    return select(
        transaction,
        "(:gateway IS NULL OR gateway = :gateway) AND id IN (SELECT id FROM incidents WHERE closed_at IS NULL"
        " UNION SELECT incident FROM attempts WHERE state IN ('started', 'indeterminate'))",
        gateway=gateway,
    )


def _stops(transaction: Transaction) -> list[Stop]:
    return [stop_of(row) for row in transaction.execute("SELECT * FROM stops ORDER BY id")]


def prune_stops(transaction: Transaction, before: datetime) -> int:
    return transaction.execute("DELETE FROM stops WHERE at < ?", to_ms(before)).rowcount


def prune(transaction: Transaction, before: datetime) -> int:
    """Drop incidents closed before, with their attempts and notes. One that a quarantine names, or with an attempt
    not yet settled, is an open matter."""
    return transaction.execute(
        """
        DELETE FROM incidents
        WHERE closed_at < ?
          AND id NOT IN (SELECT incident FROM quarantines WHERE released_at IS NULL AND incident IS NOT NULL)
          AND id NOT IN (SELECT incident FROM attempts WHERE state IN ('planned', 'started', 'indeterminate'))
        """,
        to_ms(before),
    ).rowcount


class IncidentOperations(Operations):
    """``service.ledger.IncidentLedger``."""

    def open_incident(
        self,
        *,
        gateway: str,
        session: str,
        session_id: str | None,
        reason: str,
        at: datetime,
        messages: Sequence[Message] = (),
    ) -> Incident:
        with self._file.writing() as transaction:
            found = select(
                transaction,
                "closed_at IS NULL AND gateway = :gateway AND session = :session",
                gateway=gateway,
                session=session,
            )
            if found:
                return found[0]
            incident_id = _next_id(transaction, at)
            transaction.execute(
                "INSERT INTO incidents (id, gateway, session, session_id, opened_at, verdict_reason) VALUES (?, ?, ?, ?, ?, ?)",
                incident_id,
                gateway,
                session,
                session_id,
                to_ms(at),
                reason,
            )
            outbox.owe(transaction, messages, at)
            return select(transaction, "id = :id", id=incident_id)[0]

    def incident(self, incident_id: str) -> Incident | None:
        with self._file.reading() as transaction:
            found = select(transaction, "id = :id", id=incident_id)
        return found[0] if found else None

    def open_incidents(self, gateway: str | None = None) -> Sequence[Incident]:
        """Oldest first."""
        live: Sequence[Incident]
        if gateway is None:
            live = self._file.remembered(("live", None), lambda transaction: _live(transaction, None))
        else:
            live = self._live(gateway)
        return [incident for incident in live if incident.is_open]

    def close_incident(
        self, incident_id: str, outcome: Outcome, at: datetime, messages: Sequence[Message] = ()
    ) -> bool:
        with self._file.writing() as transaction:
            is_closed = close(transaction, incident_id, outcome, at)
            if is_closed:
                outbox.owe(transaction, messages, at)
        return is_closed

    def history(
        self, *, since: datetime | None = None, session: str | None = None, gateway: str | None = None
    ) -> Sequence[Incident]:
        """``since``: those that were open at or after it."""
        with self._file.reading() as transaction:
            return select(
                transaction,
                "(closed_at IS NULL OR closed_at >= :since) AND (:session IS NULL OR session = :session)"
                " AND (:gateway IS NULL OR gateway = :gateway)",
                newest_first=True,
                since=0 if since is None else to_ms(since),
                session=session,
                gateway=gateway,
            )

    def settle_start_up(
        self, at: datetime, gateway: str | None = None, *, why: str = FOUND_STARTED
    ) -> Sequence[Attempt]:
        """``gateway`` None: of all. ``why``: the reason given to what was sent. Returns all that are indeterminate now, those of
        earlier lives included. Only for the owner: under a running daemon it would take away what that one has in flight."""
        if self._file.access is not Access.OWNER:
            raise LedgerRefused(f"Only the owner of {self._file.where} settles at start-up; open it with owner=True.")
        with self._file.writing(tells_loss=False) as transaction:  # it may be found by this very use
            _abandon_planned(transaction, _OF_GATEWAY, at, FOUND_PLANNED, gateway=gateway)
            set_in_doubt(transaction, gateway, why)
            rows = transaction.execute(
                f"SELECT * FROM attempts WHERE state = 'indeterminate' AND {_OF_GATEWAY} ORDER BY id",  # noqa: S608
                gateway=gateway,
            )
            return [attempt_of(row) for row in rows]

    def is_left_open(self, gateway: str) -> bool:
        """Whether ``settle_start_up`` would change something of it. One question for all that a replica has just taken over."""

        def ask() -> set[str]:
            left = "SELECT incident FROM attempts WHERE state IN ('planned', 'started')"
            with self._file.reading(is_single=True) as transaction:
                return {
                    row["gateway"]
                    for row in transaction.execute(f"SELECT DISTINCT gateway FROM incidents WHERE id IN ({left})")  # noqa: S608
                }

        return gateway in self._lately("left open", ask)

    def plan_attempt(
        self,
        incident_id: str,
        step: Step,
        at: datetime,
        *,
        before: RunIdentity | None,
        before_tail: str | None,
        address: ReplyAddress | None = None,
    ) -> Attempt:
        """``LedgerRefused`` when the incident is closed, or unknown (the ledger was lost since)."""
        with self._file.writing() as transaction:
            incident = transaction.one("SELECT session, closed_at FROM incidents WHERE id = ?", incident_id)
            if incident is None or incident["closed_at"] is not None:
                raise LedgerRefused(
                    f"Incident {incident_id} is {'unknown to this ledger' if incident is None else 'closed'}; "
                    "nothing can be planned for it, look at the session again."
                )
            row = transaction.execute(
                "SELECT coalesce(max(number), 0) + 1 FROM attempts WHERE incident = ?", incident_id
            )
            number = int(row.fetchone()[0])
            run = run_digest(incident["session"], before)
            inserted = transaction.inserted(
                """
                INSERT INTO attempts
                    (incident, number, step, idempotency_key, planned_at, before, before_tail, address, run)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *
                """,
                incident_id,
                number,
                step,
                # guard: single: one key for one deed
                f"ocw-{incident_id}-{number}" if run is None else _idempotency_key(transaction, run),
                to_ms(at),
                identity_to_json(before),
                before_tail,
                address_to_json(address),
                run,
            )
            return attempt_of(inserted)

    def claim_attempt(self, attempt_id: int, at: datetime, messages: Sequence[Message] = ()) -> bool:
        """Also False when the incident was closed meanwhile, another attempt of it is in flight, or another incident holds
        the run (``run_holder``)."""
        with self._file.writing(is_deed=True) as transaction:
            mine = transaction.one(
                "SELECT a.incident, a.run, i.gateway FROM attempts a JOIN incidents i ON i.id = a.incident WHERE a.id = ?",
                attempt_id,
            )
            if (
                mine is None
                # guard: single: a claim goes by the run
                or _holder(transaction, mine["incident"], mine["gateway"], mine["run"], at) is not None
            ):
                return False
            is_claimed = transaction.changes_one(
                """
                UPDATE attempts SET state = 'started', started_at = ?, is_charged = 1
                WHERE id = ? AND state = 'planned'
                  AND EXISTS (SELECT 1 FROM incidents i WHERE i.id = attempts.incident AND i.closed_at IS NULL)
                  AND NOT EXISTS (SELECT 1 FROM attempts other
                                  WHERE other.incident = attempts.incident AND other.state IN ('started', 'indeterminate'))
                """,
                to_ms(at),
                attempt_id,
            )
            if is_claimed:
                outbox.owe(transaction, messages, at)
            return is_claimed

    def run_holder(self, incident_id: str, run: RunIdentity, at: datetime) -> Incident | None:
        with self._file.reading() as transaction:
            mine = transaction.one("SELECT session, gateway FROM incidents WHERE id = ?", incident_id)
            if mine is None:
                return None
            held_by = _holder(transaction, incident_id, mine["gateway"], run_digest(mine["session"], run), at)
            return select(transaction, "id = :id", id=held_by)[0] if held_by is not None else None

    def settle_attempt(
        self,
        attempt_id: int,
        to: AttemptState,
        at: datetime,
        *,
        reason: str,
        verified_by: str | None = None,
        is_retryable: bool = False,
        is_refunded: bool = True,
        messages: Sequence[Message] = (),
    ) -> bool:
        with self._file.writing() as transaction:
            if to is AttemptState.STARTED:
                return False  # only a claim starts, because only a claim charges
            sources = [state for state, following in LIFE.items() if to in following]
            if reason == NEVER_CLAIMED:  # another program may have claimed it since it was read
                sources = [AttemptState.PLANNED]
            if not sources:
                return False
            is_settled = transaction.changes_one(
                f"""
                UPDATE attempts SET state = ?, settled_at = ?, reason = ?, verified_by = coalesce(?, verified_by),
                    is_retryable = ?, is_charged = CASE WHEN ? = 1 THEN 0 ELSE is_charged END,
                    idempotency_key = CASE state WHEN 'planned' THEN {_NEVER_SENT} ELSE idempotency_key END
                WHERE id = ? AND state IN ({", ".join("?" * len(sources))})
                """,  # noqa: S608 - question marks only
                to,
                to_ms(at) if to not in LIFE else None,
                reason,
                verified_by,
                int(is_retryable),
                int(to is AttemptState.REFUSED and is_refunded),
                attempt_id,
                *sources,
            )
            if is_settled:
                outbox.owe(transaction, messages, at)
        return is_settled

    def note_run(self, attempt_id: int, run_id: str) -> None:
        """Nothing happens when the attempt is not in flight."""
        with self._file.writing() as transaction:
            transaction.execute(
                "UPDATE attempts SET run_id = ? WHERE id = ? AND state IN ('started', 'indeterminate')",
                run_id,
                attempt_id,
            )

    def note_delivery(self, attempt_id: int, delivered: bool | None) -> None:
        with self._file.writing() as transaction:
            value = None if delivered is None else int(delivered)
            transaction.execute("UPDATE attempts SET delivered = ? WHERE id = ?", value, attempt_id)

    def note_proof(self, attempt_id: int, verified_by: str) -> None:
        with self._file.writing() as transaction:
            transaction.execute(
                "UPDATE attempts SET verified_by = ? WHERE id = ? AND state IN ('succeeded', 'ineffective')",
                verified_by,
                attempt_id,
            )

    def note_stop(self, stop: Stop) -> bool:
        with self._file.writing() as transaction:
            return transaction.changes_one(
                "INSERT INTO stops (gateway, session, session_id, started_at, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                stop.gateway,
                stop.session,
                stop.session_id,
                to_ms_or_none(stop.started_at),
                to_ms(stop.at),
            )

    def stops(self, gateway: str, session: str) -> Sequence[Stop]:
        """Of this gateway, and of conversations that have an id, which no other gateway gives: those under any name."""
        known = self._lately("stops", self._all_stops)
        # guard: single: a stopped conversation is stopped under any name
        meant = [stop for stop in known if stop.gateway == gateway or stop.session_id is not None]
        return [stop for stop in meant if stop.session == session]

    def _all_stops(self) -> Sequence[Stop]:
        if self._file.recent is None:
            return self._file.remembered("stops", _stops)
        with self._file.reading(is_single=True) as transaction:
            return _stops(transaction)

    def attempts_in_flight(self, gateway: str) -> Sequence[tuple[Incident, Attempt]]:
        """Oldest claim first."""
        pairs = [
            (incident, attempt)
            for incident in self._live(gateway)
            for attempt in incident.attempts
            if attempt.state in IN_FLIGHT
        ]
        return sorted(pairs, key=lambda pair: pair[1].id)

    def _live(self, gateway: str) -> Sequence[Incident]:
        return self._of_gateway("live", gateway, _live, lambda incident: incident.gateway)

    def charges(self, gateway: str, since: datetime, session: str | None = None) -> int:
        with self._file.reading(is_single=True) as transaction:
            row = transaction.execute(
                """
                SELECT count(*) FROM attempts a JOIN incidents i ON i.id = a.incident
                WHERE a.is_charged = 1 AND a.forgiven_at IS NULL AND a.started_at >= :since
                  AND i.gateway = :gateway AND (:session IS NULL OR i.session = :session)
                """,
                since=to_ms(since),
                gateway=gateway,
                session=session,
            )
            return int(row.fetchone()[0])

    def charged(self, since: datetime) -> Sequence[Charge]:
        with self._file.reading(is_single=True) as transaction:
            rows = transaction.execute(
                """
                SELECT i.gateway, i.session, a.started_at FROM attempts a JOIN incidents i ON i.id = a.incident
                WHERE a.is_charged = 1 AND a.forgiven_at IS NULL AND a.started_at >= ?
                """,
                to_ms(since),
            )
            return [Charge(row["gateway"], row["session"], from_ms(row["started_at"])) for row in rows]

    def add_note(self, note: HandoffNote) -> None:
        with self._file.writing() as transaction:
            transaction.execute(
                "INSERT INTO notes (incident, path, created_at) VALUES (?, ?, ?) ON CONFLICT (incident, path) DO NOTHING",
                note.incident,
                note.path,
                to_ms(note.created_at),
            )

    def notes(self, incident_id: str) -> Sequence[HandoffNote]:
        with self._file.reading(is_single=True) as transaction:
            rows = transaction.execute("SELECT * FROM notes WHERE incident = ? ORDER BY id", incident_id)
            return [note_of(row) for row in rows]
