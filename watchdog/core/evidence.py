"""What a row means: one signal each, TRUE, FALSE or UNKNOWN, with a reason and a sentence.

Two families. *Owner* signals answer "does anything still work on this run?" (TRUE: a proof of life, FALSE: a proof that
nothing does; ``owner_signals``). *Innocence* signals answer "is there a good reason to sit still?" (``innocence``). A signal that cannot tell is
absent or says UNKNOWN, never FALSE: UNKNOWN never leads to a deed.

Which signal is worth what differs by gateway version; that knowledge is in ``Capabilities`` (measured, see
``watchdog.gateway.capabilities``). A proof of life always wins over any number of proofs of death.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from watchdog.core.model import GatewayFacts, Look, Moment, Session, Status, TailKind
from watchdog.core.tracking import Track


class Truth(StrEnum):
    TRUE = "TRUE"
    FALSE = "FALSE"
    UNKNOWN = "UNKNOWN"


class Signal(StrEnum):
    """Owner signals first, innocence signals after them."""

    ACTIVE_RUN_FLAG = "ActiveRunFlag"
    ACTIVE_RUN_IDS = "ActiveRunIds"
    RUN_IN_FLIGHT = "RunInFlight"
    SESSION_LOCK = "SessionLock"
    ABORT_PROBE = "AbortProbe"
    BOOT_ORPHAN = "BootOrphan"
    NOTHING_RUNS = "NothingRuns"
    ALIAS = "Alias"
    GIVEN_UP = "GivenUp"

    USER_STOPPED = "UserStopped"
    GATEWAY_RECOVERING = "GatewayRecovering"
    APPROVAL_PENDING = "ApprovalPending"
    QUESTION_PENDING = "QuestionPending"
    CHILDREN_RUNNING = "ChildrenRunning"
    COMPACTING = "Compacting"
    PLACED_ELSEWHERE = "PlacedElsewhere"


OWNER_SIGNALS = frozenset(
    {
        Signal.ACTIVE_RUN_FLAG,
        Signal.ACTIVE_RUN_IDS,
        Signal.RUN_IN_FLIGHT,
        Signal.SESSION_LOCK,
        Signal.ABORT_PROBE,
        Signal.BOOT_ORPHAN,
        Signal.NOTHING_RUNS,
        Signal.ALIAS,
        Signal.GIVEN_UP,
    }
)

OWN_PROOFS = frozenset({Signal.SESSION_LOCK, Signal.BOOT_ORPHAN, Signal.NOTHING_RUNS, Signal.GIVEN_UP})
"""FALSE from one of these is a proof that belongs to the session itself; the fleet breaker does not hold those."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signal's answer. ``reason`` is CamelCase and stable; ``message`` is a sentence for a person, without secrets."""

    signal: Signal
    status: Truth
    reason: str
    message: str

    @property
    def is_about_owner(self) -> bool:
        return self.signal in OWNER_SIGNALS


@dataclass(frozen=True, slots=True)
class Case:
    """Everything one judgement may use: one session, seen in one pass, at one ``now``."""

    now: Moment
    facts: GatewayFacts
    session: Session
    track: Track
    look: Look = Look()
    relatives: tuple[Session, ...] = ()
    """Subagent rows spawned by this session, or rows that it names as its children. Not ``parentSessionKey`` alone:
    2026.9.6 puts the main session there for every session made by ``sessions.create``."""
    aliases: tuple[Session, ...] = ()
    """Other rows with the same ``session_id``."""
    boot_age: timedelta | None = None
    """How long ago the gateway (re)started as far as we know: its own uptime, or our first sight of a new ``bootId``."""
    boot_seen_age: timedelta | None = None
    """How long we have known the gateway's present life; an in-process restart before that cannot be excluded."""
    recovery_window: timedelta = timedelta(minutes=5)
    has_named_recovery: bool = False
    """The gateway has named its own restart recovery among what is active, while we watched (``Preflight.is_recovering``)."""
    recovery_unnamed_since: Moment | None = None
    """The first look after that in which it did not."""
    cut_at: Moment | None = None
    """When the gateway restarted inside its process while we watched, or None; its wall clock is the gateway's."""
    gateway_clock_stepped: bool = False
    """The gateway's wall clock moved against its uptime while we watched, or was seen to have: ``startedAt`` before boot proves
    nothing."""


KNOCKS = 2
"""A message that is taken moves ``lastInteractionAt`` once, and a run comes of it; one that is refused moves it at every
retry (2026.9.6: 1 s after the first refusal, then twice as long each time, at most 3 min)."""


def refuses_its_people(case: Case) -> bool:
    """The row refuses every message of its people: one that waits is tried again and again, and no run comes of it (2026.8
    and later, after a lost write).

    So does a row whose answer was written before the store was locked (2026.9.6, Telegram, twice): its person heard "Something
    went wrong" instead of the answer, nothing is resumed, and the second knock that we see has it freed, 4 s and 42 s after it was
    called stuck. Whoever waits is answered at the gateway's own next retry: 18, 27, 28, 45, 45 and 69 s after that deed (in all
    but the first the words were refused six or seven times). Its time is kept in the gateway's queue with the words, and nothing in
    the gateway's source brings it nearer: no deed, no further message, no restart."""
    tail, preflight, worth = case.look.tail, case.look.preflight, case.facts.capabilities
    # Reported of 7.2 (#111862, #120315), and not measured there: who waits behind nothing at all waits for no lane.
    is_reported = worth.says_queued and preflight is not None and preflight.total_active == 0
    return (
        (worth.has_deaf_rows or is_reported)
        and case.session.status is Status.RUNNING
        and len(case.track.knocks) >= KNOCKS  # guard: free: only on proof that somebody waits
        and tail is not None
        and not tail.has_pending_input
        and not tail.has_run_in_flight
    )


ANSWER_UNHEARD = "AnswerUnheard"
"""Reason of an incident whose session ``has_unheard_answer``."""


def has_unheard_answer(case: Case) -> bool:
    """Its last request was answered, and the answer did not reach the person as far as is known: the row refuses its people, as one
    does whose answer was written before the store was locked. Where such rows are only reported (2026.7.2) nothing is known of it;
    what a turn of ours was answered is judged by its delivery."""
    tail = case.look.tail
    return (
        tail is not None
        and tail.kind is TailKind.ANSWERED
        and tail.deed_mark == tail.overtaken_mark
        and case.facts.capabilities.has_deaf_rows
        and refuses_its_people(case)
    )


def owner_of(evidence: Iterable[Evidence]) -> Truth:
    """Is anything working on the run? One proof of life outweighs everything; without any proof: UNKNOWN."""
    answers = {item.status for item in evidence if item.is_about_owner}
    if Truth.TRUE in answers:  # guard: life outweighs death
        return Truth.TRUE
    return Truth.FALSE if Truth.FALSE in answers else Truth.UNKNOWN  # guard: unknown owner is never stuck


def innocence_of(evidence: Iterable[Evidence]) -> Evidence | None:
    """The first good reason to sit still, or None."""
    return next((item for item in evidence if not item.is_about_owner and item.status is Truth.TRUE), None)


def has_own_proof(evidence: Iterable[Evidence]) -> bool:
    """The death of this very run is proven, whatever happens to the rest of the fleet."""
    return any(item.signal in OWN_PROOFS and item.status is Truth.FALSE for item in evidence)
