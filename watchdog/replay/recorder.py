"""Notes one gateway's passes and writes them to a tape.

Invariant: what goes wrong here never reaches the pass. The pass that could not be noted is left out, which is told once,
and once when it is over; the next line tells everything again. Limit: a file begins (and goes on, every so often) with
everything that is known, so that it can be read on its own; that costs up to a quarter of its size, and what one whole
line would not fit into is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol

from watchdog import __version__
from watchdog.core.model import GatewayFacts, Look, Moment, Session, Snapshot
from watchdog.core.recovery import Attempt
from watchdog.replay.codec import (
    Scrub,
    error_data,
    facts_data,
    look_data,
    malformed_data,
    micros,
    plain,
    session_data,
    wants_mask,
)
from watchdog.replay.lines import EMPTY, FORMAT, MARK, Base, Plain, Taken, line_of, spelled
from watchdog.service import errors
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Incident, Ledger
from watchdog.service.ports import Clock, Disconnect, Wants

WHOLE_AGAIN = 4
"""A whole line is written again when the lines since the last one are this many times its size."""
PAST = timedelta(hours=72)
"""How far back what was done before is told: the usual window of a session's budget."""
RECORDED_EVENTS = frozenset(
    {
        Event.GATEWAY_CONNECTED,
        Event.GATEWAY_DISCONNECTED,
        Event.GATEWAY_RESTARTED,
        Event.GATEWAY_UNHEALTHY,
        Event.SESSION_SUSPECT,
        Event.SESSION_STUCK,
        Event.SESSION_CLEARED,
        Event.SESSION_LONG_RUNNING,
        Event.SESSION_UNKNOWN,
        Event.SESSION_UNANSWERED,
        Event.SESSION_QUARANTINED,
        Event.SESSION_RELEASED,
        Event.RECOVERY_HELD,
        Event.RECOVERY_STARTED,
        Event.RECOVERY_SUCCEEDED,
        Event.RECOVERY_INEFFECTIVE,
        Event.RECOVERY_REFUSED,
        Event.RECOVERY_INDETERMINATE,
        Event.FLEET_BREAKER_OPENED,
        Event.FLEET_BREAKER_CLOSED,
    }
)
_FIELDS = ("session", "incident", "attempt", "step", "blockers", "verified_by", "outcome", "policy", "sessions")
_OWN_REASONS = RECORDED_EVENTS - {Event.RECOVERY_REFUSED, Event.RECOVERY_INDETERMINATE, Event.RECOVERY_HELD}
"""Events whose reason is ours; the others quote a gateway, or an operator's words at a pause."""


class Tape(Protocol):
    """Where lines go."""

    def is_due_anew(self) -> bool:
        """A file is to begin with the next line: there is none yet, it is full, gone, or could not be written."""
        ...

    def append(self, text: bytes, *, anew: bool) -> bool:
        """Write whole lines, ``anew`` into a file of their own; False when there is no room left in this one.
        Raises ``OSError``, and then nothing of ``text`` is kept."""
        ...

    def close(self) -> None: ...


_P = ParamSpec("_P")


def _harmless(method: Callable[Concatenate[Recorder, _P], None]) -> Callable[Concatenate[Recorder, _P], None]:
    """Have whatever ``method`` raises cost a line of the recording, nothing else. Only ``errors.LedgerError`` goes on:
    it is the ledger that fails there, not the recording."""

    @wraps(method)
    def noted(self: Recorder, /, *args: _P.args, **named: _P.kwargs) -> None:
        try:
            method(self, *args, **named)
        except errors.LedgerError:
            raise
        except Exception as problem:  # noqa: BLE001 - a defect in noting must not stop what is noted
            self.leave_out(problem)

    return noted


@dataclass(slots=True)
class Recorder:
    """One per watch. ``begin`` and ``end`` enclose a pass; in between the recorded gateway and log report to it."""

    gateway_name: str
    tape: Tape
    clock: Clock
    log: Log
    poll_every: timedelta
    scrub: Scrub
    is_on: bool = True
    _taken: Taken | None = None
    _began: Moment | None = None
    _life: str = ""
    _number: int = 0
    _base: Base = EMPTY
    _is_anew: bool = True
    _is_whole_due: bool = True
    _whole_size: int = 0
    _since_whole: int = 0
    _is_failing: bool = False
    _facts: tuple[GatewayFacts, Plain] | None = None
    _rows: dict[str, tuple[Session, Plain]] = field(default_factory=dict)
    """Rows and their data as of the last listing: most rows of a pass are those of the one before."""
    _scopes: dict[str, str | None] = field(default_factory=dict)
    """What was said of a step's scope since the last whole line."""

    # ---------------------------------------------------------------- a pass

    @_harmless
    def begin(self, now: Moment, ledger: Ledger) -> None:
        """A pass begins; one that never ended is dropped. Raises ``errors.LedgerError``, as any use of the ledger by the
        pass would: what the ledger says only once must not get lost here."""
        if self._taken is not None:
            self._scopes.clear()  # what it said of them is dropped with it
        self._began, self._taken = now, None
        if not self.is_on:
            self._base = EMPTY
            return
        self._life = self._life or str(micros(now.wall))
        self._is_anew = self.tape.is_due_anew()
        self._is_whole_due = self._is_anew or self._base is EMPTY or self._since_whole > WHOLE_AGAIN * self._whole_size
        taken = Taken([now.monotonic, micros(now.wall)])
        # As the ledger is before this pass adds to it: that is what the pass decides on.
        taken.ledger = _ledger_data(ledger, self.gateway_name, now.wall)
        if self._is_whole_due:
            self._scopes.clear()
            taken.past = [_past_data(one) for one in _past(ledger, self.gateway_name, now.wall)]
        self._taken = taken

    @_harmless
    def end(self, *, is_writable: bool) -> None:
        """Write the pass."""
        taken, self._taken = self._taken, None
        if taken is None:
            return
        if self._is_whole_due:
            self._base = EMPTY
        if not is_writable:
            taken.rest["unwritable"] = True
        self._number += 1
        line, after = line_of(taken, self._base, self._number)
        text = spelled(line)
        has_room = self.tape.append(spelled(self._header()) + text if self._is_anew else text, anew=self._is_anew)
        if self._is_failing:
            self._is_failing = False
            self.log.event(Event.RECORDING_RESTORED, gateway=self.gateway_name)
        if self._base is EMPTY:
            self._whole_size, self._since_whole = len(text), 0
        else:
            self._since_whole += len(text)
        self._base = after if has_room else EMPTY

    @_harmless
    def close(self) -> None:
        self.tape.close()

    def leave_out(self, problem: Exception) -> None:
        """This pass cannot be noted. Of a defect only its kind is told: its message may quote what was to be noted."""
        self._taken, self._base = None, EMPTY
        if self._is_failing:
            return
        self._is_failing = True
        reason = problem.strerror if isinstance(problem, OSError) else None
        self.log.event(Event.RECORDING_UNAVAILABLE, gateway=self.gateway_name, reason=reason or type(problem).__name__)

    def _header(self) -> Plain:
        return {
            MARK: FORMAT,
            "program": __version__,
            "gateway": self.gateway_name,
            "life": self._life,
            "poll_every": plain(self.poll_every),
        }

    # ---------------------------------------------------------------- what the gateway and the log report

    def _after(self, now: Moment) -> int:
        """Microseconds since the pass began."""
        return plain(now.since(self._began)) if self._began is not None else 0

    @_harmless
    def connected(self, facts: GatewayFacts, *, is_new: bool) -> None:
        if self._taken is None:
            return
        if self._facts is None or self._facts[0] is not facts:
            self._facts = (facts, facts_data(facts))
        self._taken.facts = self._facts[1]
        if is_new:
            self._taken.rest["new"] = self._after(self.clock.now())

    @_harmless
    def refused(self, problem: errors.GatewayError) -> None:
        if self._taken is not None:
            self._taken.rest["refused"] = error_data(problem, self.scrub)

    @_harmless
    def lost(self, loss: Disconnect) -> None:
        if self._taken is not None:
            at = [loss.at.monotonic, micros(loss.at.wall)]
            self._taken.rest["loss"] = {"at": at, "error": error_data(loss.error, self.scrub)}

    @_harmless
    def add(self, what: str, value: Callable[[], Any]) -> None:
        """One more of several facts of the pass; ``value`` is put into data here, where that can do no harm."""
        if self._taken is not None:
            self._taken.rest.setdefault(what, []).append(value())

    @_harmless
    def scope(self, step: str, missing: str | None) -> None:
        """Whether a step is granted. What a line says holds until another one says something else."""
        if self._taken is not None and self._scopes.get(step, step) != missing:
            self._scopes[step] = missing
            self._taken.rest.setdefault("scope", []).append(
                [step, self.scrub(missing) if missing is not None else None]
            )

    @_harmless
    def listed(self, snapshot: Snapshot) -> None:
        if self._taken is None:
            return
        data: Plain = {"t": [self._after(snapshot.asked_at), self._after(snapshot.answered_at)]}
        self._rows = {row.key: self._known(row) for row in snapshot.sessions}
        data["rows"] = {key: known for key, (_, known) in self._rows.items()}
        if not snapshot.is_complete:
            data["part"] = True
        if snapshot.malformed:
            data["bad"] = [malformed_data(row, self.scrub) for row in snapshot.malformed]
        if snapshot.gateway_clock_stepped:
            data["stepped"] = True
        if not snapshot.is_sweep:
            data["glance"] = True
        if snapshot.slowest_answer is not None:
            data["took"] = round(snapshot.slowest_answer.total_seconds(), 6)
        self._taken.lists.append(data)

    def _known(self, row: Session) -> tuple[Session, Plain]:
        known = self._rows.get(row.key)
        return known if known is not None and known[0] == row else (row, session_data(row))

    @_harmless
    def listing_failed(self, problem: errors.GatewayError) -> None:
        if self._taken is not None:
            self._taken.lists.append({"error": error_data(problem, self.scrub)})

    @_harmless
    def looked(self, session: Session, wants: Wants, answer: Look | errors.GatewayError) -> None:
        if self._taken is None:
            return
        if isinstance(answer, Look):
            data = look_data(answer, session.key, self.scrub)
        else:
            data = {"error": error_data(answer, self.scrub)}
        self._taken.looks.setdefault(session.key, []).append([wants_mask(wants), data])

    @_harmless
    def said(self, name: Event, said: Mapping[str, object]) -> None:
        if self._taken is None or name not in RECORDED_EVENTS:
            return
        kept = {key: said[key] for key in _FIELDS if said.get(key) is not None}
        if name in _OWN_REASONS and isinstance(said.get("reason"), str):
            kept["reason"] = self.scrub(str(said["reason"]))
        self._taken.rest.setdefault("said", []).append([name.value, kept])


# ---------------------------------------------------------------- the ledger


def _ledger_data(ledger: Ledger, gateway: str, at: datetime) -> Plain:
    """What an operator decided, and what is known of the past. No operator's words."""
    pauses = [
        [micros(pause.since), micros(pause.until) if pause.until is not None else None, pause.gateway, pause.session]
        for pause in ledger.pauses(at)
        if pause.gateway in (None, gateway)
    ]
    quarantined = [[one.session, one.session_id, micros(one.since)] for one in ledger.quarantines(gateway)]
    lost_at = ledger.lost_history_at
    return {
        "lost_at": micros(lost_at) if lost_at is not None else None,
        "pauses": pauses,
        "quarantined": quarantined,
    }


def _past(ledger: Ledger, gateway: str, at: datetime) -> list[Incident]:
    recent = list(reversed(ledger.history(since=at - PAST, gateway=gateway)))
    known = {incident.id for incident in recent}
    return [*(one for one in ledger.open_incidents(gateway) if one.id not in known), *recent]


def _past_data(incident: Incident) -> Plain:
    return {
        "id": incident.id,
        "session": incident.session,
        "session_id": incident.session_id,
        "opened_at": micros(incident.opened_at),
        "closed_at": micros(incident.closed_at) if incident.closed_at is not None else None,
        "reason": incident.verdict_reason,
        "outcome": incident.outcome.value,
        "attempts": [_attempt_data(attempt) for attempt in incident.attempts],
    }


def _attempt_data(attempt: Attempt) -> Plain:
    data: Plain = plain(attempt)
    return {name: value for name, value in data.items() if name not in ("id", "incident", "idempotency_key")}
