"""What we observed of one session over time, on the monotonic clock.

Row times lie: ``startedAt`` is re-stamped on provider retries (2026.9.6), ``updatedAt`` moves when a message is merely
queued (#86056). So a session's age is how long *we* have seen the same run make no progress, and nothing else. A daemon
that has just started knows nothing yet; that is on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from watchdog.core.model import Moment, Session, Status

START_LAG = timedelta(seconds=10)
"""How long a list goes on to show the row before once a lane is free (0.3 to 7 s, measured on 3.24 and 4.14)."""

MARKS_WITHIN = timedelta(minutes=3)
"""After its start a gateway looks for runs that an earlier life of it left, and marks them for its own recovery (2026.5.18: 2 s
after it is ready, on a busy machine a minute and a half after its process began)."""
INSISTENCE = 3
INSISTENCE_SPAN = timedelta(seconds=150)
"""A refused message is tried again after 4, 8, 5, 9, 16 s and then more rarely (2026.9.6): looks up to a minute apart see three
moves within this."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which run of which conversation: the fence. A deed is done only while this is unchanged."""

    session_id: str | None
    started_at: datetime | None
    status: Status
    lifecycle_revision: str | None = None

    @classmethod
    def of(cls, session: Session) -> RunIdentity:
        return cls(session.session_id, session.started_at, session.status, session.lifecycle_revision)


@dataclass(frozen=True, slots=True)
class Track:
    """One run as observed by us. Everything restarts when the identity changes."""

    identity: RunIdentity
    first_seen: Moment
    unchanged_since: Moment
    """Since when neither identity nor any sign of progress changed."""
    total_tokens: int | None = None
    last_run_id: str | None = None
    tail_fingerprint: str | None = None
    tail_unchanged_since: Moment | None = None
    """Since when we have seen the transcript end like this; None: never looked at it."""
    updated_at: datetime | None = None
    touched_at: Moment | None = None
    """When ``updatedAt`` last moved while we watched: perhaps a person just wrote. Not progress, but a reason to wait."""
    owner_gone_since: Moment | None = None
    """First of the consecutive passes in which the owner was proven gone; a proof of life clears it."""
    owner_gone_polls: int = 0
    idle_proof_at: Moment | None = None
    """When the gateway counted no work at all while this run was listed as running (5.18+): it cannot be alive since."""
    alone_since: Moment | None = None
    """First of the consecutive passes in which nothing else could be running on the gateway."""
    lanes_free_at: Moment | None = None
    """When it had last been alone for ``START_LAG``: words that had waited for a lane have begun by then, and show it."""
    boot: str | None = None
    """Which life of the gateway the observations belong to."""
    aborted: bool | None = None
    """What ``abortedLastRun`` said last in this life; None: nothing yet."""
    stopped_at: Moment | None = None
    """When that flag turned from false to true, the row was touched, nothing else changed and the gateway went on living: a
    person's stop. (Measured on 2026.5.18 and 9.6. A gateway that marks rows for its own recovery does so before it first lists
    them, or without a touch.)"""
    was_perhaps_stopped: bool = False
    """It turned so while a gateway that had just started may have marked the row itself. What the next start does to the flag does
    not take that back."""
    last_interaction_at: datetime | None = None
    knocks: tuple[Moment, ...] = ()
    """When ``lastInteractionAt`` moved since the owner was gone and the run showed nothing new, without a run coming of it:
    the last ``INSISTENCE`` times, and once those came close together, those (``is_insistent``)."""
    believes_row: bool = False
    """Its first spans are those of the row's own times."""
    watched_from: datetime | None = None
    """``startedAt`` of the first of the runs of this conversation that we have watched one after the other without a gap."""
    ended_gateways: int = 0
    """How many lives of the gateway ended while one of those runs was, as far as we saw, at work."""

    @property
    def is_insistent(self) -> bool:
        """Somebody knocked in the rhythm of a message that is tried again and again, which no person's own words keep."""
        # guard: knocks: a few within hours are no retries
        return len(self.knocks) >= INSISTENCE and self.knocks[-1].since(self.knocks[0]) <= INSISTENCE_SPAN

    def unattended_for(self, now: Moment) -> timedelta | None:
        """How long the run has had neither progress nor an owner, as seen by us; None while an owner may exist."""
        if self.owner_gone_since is None:
            return None
        return now.since(max(self.unchanged_since, self.owner_gone_since))

    def quiet_for(self, now: Moment) -> timedelta:
        """How long the run has shown no progress, owner or not."""
        return now.since(self.unchanged_since)


def observe(
    track: Track | None,
    session: Session,
    tail_fingerprint: str | None,
    now: Moment,
    *,
    boot: str | None = None,
    is_alone: bool | None = None,
    believes_row: bool = False,
    may_be_marked: bool = False,
) -> Track:
    """The track after one more good observation; ``verdict.assess`` adds what it says of the owner.

    ``tail_fingerprint`` is None when the transcript was not looked at; a missing value is never a change, a value that
    differs from a known one always is, and so is a row's first value where it had none. ``boot`` names the gateway's present
    life. ``is_alone``: no other run can be going; None: this look cannot tell. ``believes_row``: take the row's own times as
    ages, for who looks once and never acts. ``may_be_marked``: the gateway has just started, and may still mark this row.
    """
    track = _seen(track, session, tail_fingerprint, now, boot, believes_row=believes_row, may_be_marked=may_be_marked)
    if is_alone is None:
        return track
    if not is_alone:
        return replace(track, alone_since=None)
    # One pass says little: in the moment a lane becomes free, the row of who waited for it still tells of the run before.
    since = track.alone_since or now
    is_free = now.since(since) >= START_LAG  # guard: a lane is free once it was for as long as a start takes
    return replace(track, alone_since=since, lanes_free_at=now if is_free or believes_row else track.lanes_free_at)


def _seen(
    track: Track | None,
    session: Session,
    tail_fingerprint: str | None,
    now: Moment,
    boot: str | None,
    *,
    believes_row: bool,
    may_be_marked: bool,
) -> Track:
    identity = RunIdentity.of(session)
    is_same_life = track is not None and track.boot == boot
    # An orphan that lies there while its gateway is restarted had no part in it.
    ended_gateways = (
        track.ended_gateways + (not is_same_life and track.owner_gone_since is None) if track is not None else 0
    )
    if (
        track is None
        # guard: another run is another run
        or track.identity != identity
    ):
        goes_on = track is not None and track.identity.session_id == session.session_id
        said = [at for at in (session.started_at, session.updated_at) if at is not None] if believes_row else []
        return Track(
            identity=identity,
            first_seen=_moment_of(session.started_at or max(said), now) if said else now,
            unchanged_since=_moment_of(max(said), now) if said else now,
            believes_row=believes_row,
            total_tokens=session.total_tokens,
            last_run_id=session.last_run_id,
            tail_fingerprint=tail_fingerprint,
            tail_unchanged_since=now if tail_fingerprint is not None else None,
            updated_at=session.updated_at,
            boot=boot,
            aborted=session.aborted_last_run,
            last_interaction_at=session.last_interaction_at,
            watched_from=track.watched_from if track is not None and goes_on else session.started_at,
            ended_gateways=ended_gateways if goes_on else 0,
        )
    moved = (
        _differs(session.total_tokens, track.total_tokens)  # guard: tokens are progress
        or _differs(session.last_run_id, track.last_run_id)
        # guard: a growing transcript is progress
        or (track.tail_fingerprint is not None and _differs(tail_fingerprint, track.tail_fingerprint))
    )
    touched = _differs(session.updated_at, track.updated_at)
    was_aborted = (
        is_same_life  # guard: stop: not across a boot
        and track.aborted is False
        and session.aborted_last_run is True
        # `/stop` moves `updatedAt` (source of 2026.3.24 to 8.2; measured on 5.18, 9.6). 5.18 sets the flag too, 2 s after it is ready
        # and without that, on rows whose transcript's lock it found left over.
        and touched  # guard: stop: a mark of the gateway's own does not touch the row
    )
    # Between two looks it may mark a row and begin to resume it, which touches it (2026.5.18, 13 s apart on a busy machine).
    # guard: stop: what a gateway that has just started marks is not a person's
    was_stopped = was_aborted and not may_be_marked
    knocked = track.owner_gone_since is not None and _differs(session.last_interaction_at, track.last_interaction_at)
    return replace(
        track,
        unchanged_since=now if moved else track.unchanged_since,
        total_tokens=_known(session.total_tokens, track.total_tokens),
        last_run_id=_known(session.last_run_id, track.last_run_id),
        tail_fingerprint=_known(tail_fingerprint, track.tail_fingerprint),
        tail_unchanged_since=now if _differs(tail_fingerprint, track.tail_fingerprint) else track.tail_unchanged_since,
        updated_at=_known(session.updated_at, track.updated_at),
        touched_at=now if touched else track.touched_at,
        idle_proof_at=None if moved else track.idle_proof_at,
        boot=boot,
        aborted=session.aborted_last_run if not is_same_life else _known(session.aborted_last_run, track.aborted),
        stopped_at=now if was_stopped else track.stopped_at,  # guard: stop: the flag that turns is a person's
        # guard: stop: what may have been one stays so across the next start
        was_perhaps_stopped=track.was_perhaps_stopped or (was_aborted and may_be_marked),
        last_interaction_at=_known(session.last_interaction_at, track.last_interaction_at),
        # guard: knocks: what is taken is none
        knocks=() if moved else _knocks(track, now) if knocked else track.knocks,
        ended_gateways=ended_gateways,
    )


def _knocks(track: Track, now: Moment) -> tuple[Moment, ...]:
    return track.knocks if track.is_insistent else (*track.knocks, now)[-INSISTENCE:]


def _moment_of(said: datetime, now: Moment) -> Moment:
    """A row's own time as ours; never later than now."""
    return now.plus(-max(now.wall - said, timedelta(0)))


_Value = TypeVar("_Value")


def _differs(now: object, before: object) -> bool:
    return now is not None and now != before


def _known(now: _Value | None, before: _Value | None) -> _Value | None:
    return now if now is not None else before


def note_owner(track: Track, *, owner_gone: bool, owner_alive: bool, gateway_idle: bool, now: Moment) -> Track:
    """The track after this pass's judgement of the owner: life clears the count, a proof of death adds to it.

    An unknown owner neither adds nor clears; it also never suffices for a verdict (see ``verdict``).
    """
    if owner_alive:
        # guard: life starts the count over
        return replace(track, owner_gone_since=None, owner_gone_polls=0, idle_proof_at=None)
    if gateway_idle and track.idle_proof_at is None:
        track = replace(track, idle_proof_at=now)
    if not owner_gone:
        return track
    return replace(
        track,
        owner_gone_since=track.owner_gone_since or (track.unchanged_since if track.believes_row else now),
        owner_gone_polls=track.owner_gone_polls + 1,
    )


def forget_spans(track: Track, now: Moment) -> Track:
    """After a clock jump or a suspended host: keep who it was, drop how long it lasted."""
    return replace(
        track,
        first_seen=now,
        unchanged_since=now,
        tail_unchanged_since=now if track.tail_fingerprint is not None else None,
        owner_gone_since=None,
        owner_gone_polls=0,
        touched_at=None,
        alone_since=None,
        lanes_free_at=None,
        knocks=(),
    )
