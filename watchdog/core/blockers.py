"""Named reasons not to act now. All of them are collected, never just the first: a person wants to see them all.

Each blocker says what holds, in one sentence, and where it is known until when. ``hold_reasons`` is pure; the caller
brings the facts (budgets spent, pauses, attempts in flight) from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from watchdog.core.evidence import Case, refuses_its_people
from watchdog.core.model import Lock, Moment, TailKind
from watchdog.core.owner_signals import BOOT_SLACK, started_before_boot
from watchdog.core.policy import Mode, Recovery, Step, Thresholds
from watchdog.core.spans import span_words
from watchdog.core.tracking import START_LAG


class BlockerName(StrEnum):
    """A closed set: it labels the metric ``held_total``."""

    OBSERVE_MODE = "observe_mode"
    PAUSED = "paused"
    STARTUP_GRACE = "startup_grace"
    GATEWAY_UNTRUSTED = "gateway_untrusted"
    INCOMPLETE_LIST = "incomplete_list"
    RECENTLY_TOUCHED = "recently_touched"
    SESSION_LOCKED = "session_locked"
    AMBIGUOUS_SESSION = "ambiguous_session"
    NO_SESSION_ID = "no_session_id"
    WORK_FINISHED = "work_finished"
    FOREIGN_DEED = "foreign_deed"
    COOL_DOWN = "cool_down"
    SESSION_BUDGET = "session_budget"
    GATEWAY_BUDGET = "gateway_budget"
    QUARANTINED = "quarantined"
    CONCURRENCY = "concurrency"
    FLEET_BREAKER = "fleet_breaker"
    SCOPE_MISSING = "scope_missing"
    STEP_UNAVAILABLE = "step_unavailable"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    IN_FLIGHT = "in_flight"
    PENDING_INPUT = "pending_input"
    TRANSCRIPT_UNKNOWN = "transcript_unknown"
    WAITING_UNKNOWN = "waiting_unknown"
    HISTORY_LOST = "history_lost"
    REQUESTER_UNKNOWN = "requester_unknown"
    STOPPED_BY_PERSON = "stopped_by_person"
    CHANNEL_DOWN = "channel_down"
    GATEWAY_RECOVERING = "gateway_recovering"
    DEEDS_WINDOW = "deeds_window"
    LEASE = "lease"


@dataclass(frozen=True, slots=True)
class Blocker:
    """One reason to hold. ``until``: when it ends by itself, if that is known."""

    name: BlockerName
    message: str
    until: Moment | None = None


CLOCK_SLACK = timedelta(seconds=5)
"""By how much a clock may be corrected in passing; more than that is a step, after which everything is observed anew."""
FOREIGN_DEED_HOLD = timedelta(minutes=15)
"""How long another watchdog's deed in the same session is respected."""


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What the ledger and the gateway's condition say about acting on one session now."""

    is_list_complete: bool = True
    gateway_problem: str | None = None
    """Why the gateway is not to be trusted now (slow, degraded, clock jump), or None."""
    connected_for: timedelta | None = None
    """Since our present connection (and the gateway's present life) began."""
    paused: str | None = None
    paused_until: datetime | None = None
    is_quarantined: bool = False
    attempts_in_incident: int = 0
    last_settled_at: datetime | None = None
    backoff: timedelta = timedelta(0)
    session_charges: int = 0
    gateway_charges: int = 0
    in_flight_here: bool = False
    in_flight_on_gateway: int = 0
    is_fleet_open: bool = False
    is_ledger_writable: bool = True
    lost_history: str | None = None
    """Why what was done before is unknown, or None."""
    missing_scope: str | None = None
    step_problem: str | None = None
    alias_keys: tuple[str, ...] = field(default_factory=tuple)
    own_marks: frozenset[str] = frozenset()
    """``<incident>/<number>`` of every attempt of ours on this session."""
    requester_problem: str | None = None
    """Why nobody's chat is proven for this step, or None."""
    is_deaf: bool = False
    """The row refuses its people's messages, and one of them is seen waiting."""
    was_stopped: bool = False
    """A person stopped this request, as the ledger remembers."""
    run_held_by: str | None = None
    """Which other incident of ours acted on this very run, in words: under another name of the gateway, or an earlier one;
    None: no other did."""


def hold_reasons(
    case: Case, thresholds: Thresholds, recovery: Recovery, step: Step, standing: SessionContext, *, is_proven: bool
) -> tuple[Blocker, ...]:
    """Every reason not to do ``step`` on this session now; empty means: go."""
    found = [
        *_operator(case, recovery, standing),
        *_gateway(case, thresholds, standing, is_proven=is_proven),
        *_session(case, thresholds, step, standing),
        *_ledger(case, recovery, standing),
    ]
    return tuple(found)


def _operator(case: Case, recovery: Recovery, standing: SessionContext) -> Sequence[Blocker]:
    found: list[Blocker] = []
    if recovery.mode is Mode.OBSERVE:  # guard: observe mode
        found.append(Blocker(BlockerName.OBSERVE_MODE, "Observe mode: nothing is ever done."))
    if standing.paused is not None:  # guard: paused by an operator
        until = f" until {standing.paused_until:%Y-%m-%d %H:%MZ}" if standing.paused_until else ""
        found.append(Blocker(BlockerName.PAUSED, f"Paused{until}: {standing.paused}"))
    closed = outside_hours(recovery, case.now)
    if closed is not None:  # guard: outside the hours for deeds
        found.append(closed)
    if standing.is_quarantined:  # guard: quarantined
        found.append(
            Blocker(BlockerName.QUARANTINED, "Quarantined: earlier attempts did not help; `release` lets us try again.")
        )
    return found


def outside_hours(recovery: Recovery, at: Moment) -> Blocker | None:
    """What holds a deed at that hour (``deeds_between``), or None."""
    window = recovery.deeds_between
    opens_at = window.closed_until(at.wall) if window is not None else None
    if window is None or opens_at is None:
        return None
    words = f"Outside deeds_between, {window.words}."
    return Blocker(BlockerName.DEEDS_WINDOW, words, at.plus(opens_at - at.wall))


def _gateway(case: Case, thresholds: Thresholds, standing: SessionContext, *, is_proven: bool) -> Sequence[Blocker]:
    found: list[Blocker] = []
    if standing.gateway_problem is not None:  # guard: untrusted gateway
        found.append(Blocker(BlockerName.GATEWAY_UNTRUSTED, standing.gateway_problem))
    known_for = standing.connected_for
    ages = [age for age in (known_for, case.boot_age) if age is not None]
    youngest = min(ages, default=None)
    if youngest is None or youngest < thresholds.startup_grace:  # guard: start-up grace
        left = thresholds.startup_grace - (youngest or timedelta(0))
        found.append(
            Blocker(
                BlockerName.STARTUP_GRACE,
                f"The gateway started, or we connected, less than {span_words(thresholds.startup_grace)} ago.",
                case.now.plus(left),
            )
        )
    if not standing.is_list_complete:  # guard: incomplete list
        found.append(Blocker(BlockerName.INCOMPLETE_LIST, "The list of sessions could not be read to its end."))
    if standing.is_fleet_open and not is_proven:  # guard: fleet breaker
        found.append(
            Blocker(
                BlockerName.FLEET_BREAKER,
                "Too many sessions turned stuck together without a proof of their own: that is the gateway's fault.",
            )
        )
    if standing.missing_scope is not None:  # guard: missing scope
        found.append(Blocker(BlockerName.SCOPE_MISSING, standing.missing_scope))
    if standing.step_problem is not None:
        found.append(Blocker(BlockerName.STEP_UNAVAILABLE, standing.step_problem))
    return found


def _session(case: Case, thresholds: Thresholds, step: Step, standing: SessionContext) -> Sequence[Blocker]:
    found: list[Blocker] = [*_person(case, step, standing)]
    lock, tail = case.look.lock, case.look.tail
    ends_live_run = step is Step.ABORT  # its own lock is no reason not to end it
    # guard: locked session
    if not ends_live_run and lock is not None and lock.lock in (Lock.HELD_BY_OTHER, Lock.HELD_BY_GATEWAY):
        found.append(
            Blocker(
                BlockerName.SESSION_LOCKED,
                f"A live process (pid {lock.pid}) holds the session file's lock. Locks are never deleted here; "
                "the session is recovered once that process lets go or ends.",
            )
        )
    if not ends_live_run and lock is not None and lock.lock is Lock.UNREADABLE:  # guard: unreadable lock holds
        found.append(Blocker(BlockerName.SESSION_LOCKED, "The session file's lock is there and cannot be read."))
    if case.session.session_id is None:  # guard: no session id, no fence
        found.append(Blocker(BlockerName.NO_SESSION_ID, "The row has no session id, so the deed could not be fenced."))
    if standing.alias_keys:  # guard: two keys, which is right
        found.append(
            Blocker(
                BlockerName.AMBIGUOUS_SESSION,
                f"The same session is listed under {len(standing.alias_keys)} other key{'s' if len(standing.alias_keys) > 1 else ''}; which one is right is unclear.",
            )
        )
    if case.look.cron_run_ended is not None:  # guard: ended by the scheduler's log
        found.append(
            Blocker(
                BlockerName.WORK_FINISHED,
                f"The scheduler's log says that this run has ended ({case.look.cron_run_ended}); only its row was left.",
            )
        )
    if case.look.is_waiting_unread:  # guard: approvals that could not be read
        found.append(
            Blocker(
                BlockerName.WAITING_UNKNOWN,
                "The lists of approvals and questions could not be read, so it may be waiting for a person.",
            )
        )
    if not standing.is_deaf:  # there each retry of the message that is refused touches the row
        found += _touches(case, thresholds)
    if _is_put_back(case):  # guard: a row that was put back
        found.append(
            Blocker(
                BlockerName.WORK_FINISHED,
                f"The row says running, and when a run ended: a later `agent` turn is over, and {case.facts.version} puts "
                "back the row of the run before it. What became of that one is not known.",
            )
        )
    if tail is None:  # guard: transcript unknown
        found.append(
            Blocker(
                BlockerName.TRANSCRIPT_UNKNOWN,
                f"The end of the transcript could not be read, so a run its user stopped cannot be ruled out.{_way_out(case)}",
            )
        )
    else:
        if tail.kind is TailKind.ANSWERED and step.nature.rests_on_request:  # guard: work finished
            found.append(
                Blocker(BlockerName.WORK_FINISHED, "The last request was answered: there is nothing to resume.")
            )
        is_stopped = tail.kind is TailKind.STOPPED and refuses_its_people(case)
        # If the row might accept messages after all (reported and not measured, or its queue not shown), the freeing message
        # would start a model turn. Then we only report.
        is_proven = (
            # guard: stop: let in only where its row is sure to refuse them
            (case.facts.capabilities.has_deaf_rows and tail.has_pending_input is False)
            # guard: stop: kept unless somebody is proven to be shut out
            and case.track.is_insistent
        )
        # guard: stop: who is shut out is let in, and not asked about it
        if is_stopped and (not is_proven or step.nature.rests_on_request):
            found.append(Blocker(BlockerName.STOPPED_BY_PERSON, "A person stopped this request; it stays stopped."))
        if tail.kind is TailKind.EMPTY and step.nature.rests_on_request and not started_before_boot(case):
            found.append(
                Blocker(
                    BlockerName.WORK_FINISHED,
                    "The conversation is empty, and no crash has emptied it: there is nothing to go on with.",
                )
            )
        if tail.has_pending_input and not _is_left_waiting(case, step, thresholds):  # guard: pending input
            found.append(Blocker(BlockerName.PENDING_INPUT, "A person's message is waiting to be taken up."))
        # A turn that was answered before somebody wrote again was about another interruption.
        is_over = tail.deed_mark == tail.overtaken_mark
        is_foreign = tail.deed_mark is not None and tail.deed_mark not in standing.own_marks and not is_over
        # guard: another watchdog's deed
        if is_foreign and tail.deed_at is not None and case.now.wall - tail.deed_at < FOREIGN_DEED_HOLD:
            found.append(Blocker(BlockerName.FOREIGN_DEED, "Another watchdog acted on this session a moment ago."))
    return found


def _way_out(case: Case) -> str:
    """2026.9.6 with another schema than its own goes on to list its sessions, and refuses all else about them in these words."""
    if not any("openclaw doctor" in problem for problem in case.look.problems):
        return ""
    return " The gateway asks for `openclaw doctor --fix`: do that before anybody restarts it, it may not start again."


def _person(case: Case, step: Step, standing: SessionContext) -> Iterator[Blocker]:
    """Whose request it is, and whose will."""
    tail = case.look.tail
    if standing.requester_problem is not None:
        yield Blocker(BlockerName.REQUESTER_UNKNOWN, standing.requester_problem)
    is_for_requester = step.nature.acts_for_requester
    if is_for_requester and (
        standing.was_stopped  # guard: stop: kept over restarts
        or case.track.stopped_at is not None
        # guard: stop: the transcript of a tombstone
        or (case.session.is_tombstone and tail is not None and tail.kind is TailKind.STOPPED)
    ):
        yield Blocker(
            BlockerName.STOPPED_BY_PERSON, "A person stopped this request after its run had died; it stays stopped."
        )
    # guard: spool: what the chat app brings again is not resumed
    if is_for_requester and case.look.will_redeliver:
        yield Blocker(
            BlockerName.GATEWAY_RECOVERING,
            "The chat app's spool still holds a message of this chat; the gateway takes it up by itself.",
        )


def _is_left_waiting(case: Case, step: Step, thresholds: Thresholds) -> bool:
    """The message waits behind nothing: neither its run nor itself was taken up for twice ``stuck_after`` (#117756). A turn may
    drain the queue then. A fresh session would lose it: what waits is read by nobody, so no note would hold it."""
    tail, waited, patience = case.look.tail, case.track.unattended_for(case.now), 2 * thresholds.stuck_after
    if step.loses_context or tail is None or tail.queued_at is None or waited is None:
        return False
    return waited >= patience and case.facts.gateway_time(case.now) - tail.queued_at >= patience


def _is_put_back(case: Case) -> bool:
    """A running row with an end in it. A start clears ``endedAt``; the end of an ``agent`` turn writes it and then puts
    back the status and start that the row had before (measured on 3.24; 4.14 says ``failed`` 15 s later)."""
    return case.facts.capabilities.puts_row_back and case.session.has_end_though_running


def _touches(case: Case, thresholds: Thresholds) -> Iterator[Blocker]:
    touched = case.track.touched_at
    if touched is not None and case.now.since(touched) < thresholds.confirm_for:  # guard: touched a moment ago
        yield Blocker(
            BlockerName.RECENTLY_TOUCHED,
            "The row was touched a moment ago: perhaps a person just wrote.",
            touched.plus(thresholds.confirm_for),
        )
        return
    came, free = _words_came_at(case), case.track.lanes_free_at
    # guard: row touched after the boot: words may wait for a lane
    if came is not None and (free is None or free < came.plus(START_LAG)):
        yield Blocker(
            BlockerName.RECENTLY_TOUCHED,
            "The row was touched after its run died, and other runs have been going ever since: somebody's words may "
            "wait for one of them to end.",
        )


def _words_came_at(case: Case) -> Moment | None:
    """Since when somebody's words may wait for a free lane of the gateway: the row then says what it said before, and only
    ``updatedAt`` has moved (measured on 3.24, 4.14, 5.18; 9.6 says ``queued``)."""
    row, track, tail = case.session, case.track, case.look.tail
    booted = case.facts.booted_at
    if case.facts.capabilities.says_queued or row.updated_at is None:
        return None
    if booted is not None and started_before_boot(case):
        return (track.touched_at or track.first_seen) if row.updated_at > booted + BOOT_SLACK else None
    if tail is None or tail.kind not in (TailKind.TIMED_OUT, TailKind.STOPPED) or tail.at is None:
        return track.touched_at
    # guard: row touched long after a time-out: that was not its end
    return track.touched_at if row.updated_at > tail.at + _STAMPED_WITH_ITS_END else None


_STAMPED_WITH_ITS_END = timedelta(seconds=10)
"""A run's last words and its row are stamped up to two seconds apart (5.18, 9.6), on a busy machine more."""


def _ledger(case: Case, recovery: Recovery, standing: SessionContext) -> Sequence[Blocker]:
    found: list[Blocker] = []
    if not standing.is_ledger_writable:  # guard: ledger cannot be written
        found.append(Blocker(BlockerName.LEDGER_UNAVAILABLE, "The ledger cannot be written, so nothing may be done."))
    if standing.lost_history is not None:  # guard: ledger lost
        found.append(Blocker(BlockerName.HISTORY_LOST, standing.lost_history))
    if standing.run_held_by is not None:
        found.append(Blocker(BlockerName.FOREIGN_DEED, standing.run_held_by))
    if standing.in_flight_here:  # guard: attempt in flight
        found.append(Blocker(BlockerName.IN_FLIGHT, "An attempt on this session is still being verified."))
    elif standing.in_flight_on_gateway >= recovery.max_concurrent:  # guard: a few at a time
        found.append(
            Blocker(
                BlockerName.CONCURRENCY,
                f"{standing.in_flight_on_gateway} deeds are in flight on this gateway; others go first.",
            )
        )
    if standing.last_settled_at is not None:
        wait = standing.last_settled_at + standing.backoff - case.now.wall
        # Settled later than now: the clock was set back. Then nothing is known of the wait, except that everything was
        # observed anew since; a hold of as many hours as the clock was set by would help nobody.
        if timedelta(0) < wait <= standing.backoff + CLOCK_SLACK:  # guard: cool-down
            found.append(
                Blocker(
                    BlockerName.COOL_DOWN,
                    f"Cooling down after attempt {standing.attempts_in_incident}.",
                    case.now.plus(wait),
                )
            )
    budget, gateway_budget = recovery.budget, recovery.gateway_budget
    if standing.session_charges >= budget.attempts:  # guard: session budget
        found.append(
            Blocker(
                BlockerName.SESSION_BUDGET, f"{budget.attempts} attempts within {span_words(budget.per)} are used up."
            )
        )
    if standing.gateway_charges >= gateway_budget.attempts:  # guard: gateway budget
        found.append(
            Blocker(
                BlockerName.GATEWAY_BUDGET,
                f"{gateway_budget.attempts} attempts on this gateway within {span_words(gateway_budget.per)} are used up.",
            )
        )
    return found
