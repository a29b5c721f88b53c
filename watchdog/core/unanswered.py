"""Has a run that we watched ended, and left somebody without an answer? That is told, and never acted on: what has ended is
not stuck, and nobody can say whether it was meant to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchdog.core.model import GatewayFacts, Session, Status, TailKind, TranscriptTail
from watchdog.core.tracking import Track

YIELD = "sessions_yield"
"""The tool by which a parent ends its turn until its subagents have ended (2026.9.2)."""

_BOOT_IS_READ_EARLY = timedelta(seconds=10)
"""A gateway's start is told by its uptime, and the earliest reading counts: a run that it cut just before seemed to begin 0.2 s
after it (9.6, killed and started again within a second). A look too many costs one transcript."""
_BROKEN_OFF = frozenset({Status.FAILED, Status.TIMEOUT, Status.KILLED})
_OPEN = frozenset({TailKind.REQUEST, TailKind.TOOL_CALL, TailKind.TOOL_RESULT, TailKind.COMPACTION, TailKind.EMPTY})
"""Empty: before 2026.9 a first request is written down with its first answer, and 5.18's recovery fails what it does not find."""
_OPEN_ONLY_IF_ASKED = frozenset({TailKind.REQUEST, TailKind.COMPACTION})


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Who was left how. ``reason`` is CamelCase and stable; ``message`` is a sentence for a person, without anybody's words."""

    reason: str
    message: str


def is_worth_a_look(row: Session, track: Track, children: Sequence[Session], facts: GatewayFacts) -> bool:
    """Its transcript may show somebody without an answer. Most runs end well, and their transcripts are not read: only where
    the run waits for its children, or a start of the gateway may have cost words that were accepted."""
    if row.kind.is_background or row.is_archived:  # guard: unanswered: background runs have an owner
        return False
    if row.status is not Status.DONE:
        return row.status in _BROKEN_OFF
    began, booted = track.watched_from, facts.booted_at
    return (began is not None and booted is not None and began < booted + _BOOT_IS_READ_EARLY) or any(
        is_live(child) or _ended_after(child, row) for child in children
    )


def is_live(child: Session) -> bool:
    """As far as its row says."""
    return child.status in (Status.RUNNING, Status.QUEUED)


def _ended_after(child: Session, row: Session) -> bool:
    return child.ended_at is not None and row.ended_at is not None and child.ended_at >= row.ended_at


def left_unanswered(
    row: Session,
    tail: TranscriptTail,
    track: Track,
    *,
    was_stopped: bool,
    yielded: str | None = None,
    booted_at: datetime | None = None,
) -> Unanswered | None:
    """What somebody lost with a run whose row says that it ended.

    ``was_stopped``: a person's stop is known of it. ``booted_at``: when its gateway began, on the gateway's clock. ``yielded``: the transcript's fingerprint when the run ended its turn to
    wait for its children, which have all ended long ago."""
    if (
        was_stopped  # guard: unanswered: a stop that is remembered
        or track.stopped_at is not None  # guard: unanswered: a stop that was seen
        or tail.kind is TailKind.STOPPED  # guard: unanswered: a stop in the transcript
        # Restart recovery marks `failed` rows so, too; a person's stop leaves `killed` (8.2: without the mark).
        # guard: unanswered: a stop in the row
        or (row.status is Status.KILLED and row.aborted_last_run is True)
    ):
        return None
    if tail.has_run_in_flight or tail.has_pending_input:  # guard: unanswered: something goes on
        return None
    dropped = sum(_is_since(at, track.watched_from) for at in tail.dropped_inputs)
    words = f"Messages that its gateway had accepted meanwhile were dropped, and will not be run: {dropped}."
    if row.status in _BROKEN_OFF and _is_open(tail):
        end = (
            "is empty: what was asked is lost"
            if tail.kind is TailKind.EMPTY
            else "ends with a request that has no answer"
        )
        message = f"Its row says {row.status.value}, and the conversation {end}."
        return Unanswered("EndedUnanswered", f"{message} {words}" if dropped else message)
    if row.status in _BROKEN_OFF and tail.kind is TailKind.OTHER and _was_cut_before(booted_at, row, tail):
        message = "A start of its gateway cut it, and the turn that took it up again ended without an answer."
        return Unanswered("EndedUnanswered", f"{message} {words}" if dropped else message)
    if row.status is Status.DONE and tail.kind is TailKind.REQUEST and _asked_before(booted_at, tail):
        message = "A start of its gateway cut it, its row says done, and the conversation ends with a request that has no answer."
        return Unanswered("EndedUnanswered", f"{message} {words}" if dropped else message)
    if dropped:
        return Unanswered("InputsDropped", words)
    if yielded != tail.fingerprint:  # guard: unanswered: it has gone on since
        return None
    return Unanswered(
        "NotWoken",
        "It ended its turn to wait for its subagents; they have all ended since, and it was not woken to go on.",
    )


def _is_open(tail: TranscriptTail) -> bool:
    """A conversation that ends with words of the gateway's own, or of a watchdog, has nobody waiting; nor has one that was
    compacted after its last answer. A run that breaks off at its compaction leaves whoever asked before (#104857)."""
    return tail.kind in _OPEN and (  # guard: unanswered: what was answered is answered
        tail.kind not in _OPEN_ONLY_IF_ASKED or bool(tail.asked)
    )


def _was_cut_before(booted_at: datetime | None, row: Session, tail: TranscriptTail) -> bool:
    """What failed was no turn of its person's: of such a one the chat hears that it failed. Of the gateway's own that takes up a
    request of an earlier life nobody does."""
    if tail.was_taken_up:  # guard: unanswered: the gateway's own turn tells nobody
        return True
    asked_at = tail.asked[-1].at if tail.asked else None
    if booted_at is None or asked_at is None or row.ended_at is None:
        return False
    # guard: unanswered: a person's own turn that failed has said so
    return asked_at < booted_at < row.ended_at


def _asked_before(booted_at: datetime | None, tail: TranscriptTail) -> bool:
    """What was asked since may be under way in a run that its row does not show (private chats on 2026.6.11 to 7.35)."""
    asked_at = tail.asked[-1].at if tail.asked else None
    # guard: unanswered: what was asked since the start may be under way
    return booted_at is not None and asked_at is not None and asked_at < booted_at


def _is_since(at: datetime | None, watched_from: datetime | None) -> bool:
    """Both on the gateway's clock: what was dropped before we watched is old history."""
    return at is None or watched_from is None or at >= watched_from  # guard: unanswered: no old history


def has_yielded(row: Session, tail: TranscriptTail) -> bool:
    """It ended its turn well, to wait for its children."""
    return row.status is Status.DONE and YIELD in tail.tools_called and _is_open(tail)
