"""What we observe ourselves: spans on the monotonic clock, of an unchanged run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.builders import fresh_track, orphan, running
from tests.fakes.clock import START
from watchdog.core.model import Moment, Session, Status
from watchdog.core.tracking import RunIdentity, Track, forget_spans, note_owner, observe

from .support import at


def test_a_first_sight_knows_no_age() -> None:
    """A daemon that has just started knows nothing yet, however old the row says it is."""
    track = observe(None, orphan(total_tokens=7), "tail-1", START)
    assert (track.first_seen, track.unchanged_since) == (START, START)
    assert track.quiet_for(START) == timedelta(0)
    assert track.unattended_for(START) is None
    assert track.owner_gone_polls == 0
    assert (track.total_tokens, track.tail_fingerprint) == (7, "tail-1")


def test_an_unchanged_run_grows_old() -> None:
    track = observe(fresh_track(running()), running(), None, at(90))
    assert track.first_seen == track.unchanged_since == START
    assert track.quiet_for(at(100)) == timedelta(seconds=100)


IDENTITY_CHANGES: list[dict[str, Any]] = [
    {"session_id": "sid-2"},
    {"session_id": None},
    {"started_at": START.wall},
    {"started_at": None},
    {"status": Status.QUEUED},
    {"lifecycle_revision": "rev-2"},
]


@pytest.mark.parametrize("change", IDENTITY_CHANGES, ids=str)
def test_another_run_restarts_everything(change: dict[str, Any]) -> None:
    row = running(total_tokens=5, last_run_id="r1")
    track = observe(None, row, "tail-1", START)
    track = note_owner(track, owner_gone=True, owner_alive=False, gateway_idle=True, now=START)
    track = observe(track, replace(row, updated_at=at(1).wall), "tail-1", at(30))
    assert track.touched_at is not None
    assert track.idle_proof_at is not None
    other = replace(row, **change)
    fresh = observe(None, other, "tail-1", at(60))
    goes_on = other.session_id == row.session_id
    assert observe(track, other, "tail-1", at(60)) == replace(
        fresh, watched_from=row.started_at if goes_on else other.started_at
    ), "but since when the conversation was watched"


def test_every_part_of_the_identity_is_tried() -> None:
    assert {name for change in IDENTITY_CHANGES for name in change} == set(RunIdentity.__slots__)


PROGRESS: list[tuple[dict[str, Any], str | None]] = [
    ({"total_tokens": 6}, None),
    ({"total_tokens": 4}, None),
    ({"last_run_id": "r2"}, None),
    ({}, "tail-2"),
]


@pytest.mark.parametrize(("change", "fingerprint"), PROGRESS, ids=str)
def test_a_different_value_is_progress(change: dict[str, Any], fingerprint: str | None) -> None:
    row = running(total_tokens=5, last_run_id="r1")
    track = note_owner(
        observe(None, row, "tail-1", START), owner_gone=True, owner_alive=False, gateway_idle=True, now=START
    )
    moved = observe(track, replace(row, **change), fingerprint, at(60))
    assert moved.unchanged_since == at(60)
    assert moved.first_seen == START
    assert moved.idle_proof_at is None, "what moved after the gateway was idle was not dead then"


@pytest.mark.parametrize("field", ["total_tokens", "last_run_id", "updated_at"])
def test_a_missing_value_is_no_change_and_forgets_nothing(field: str) -> None:
    row = running(total_tokens=5, last_run_id="r1")
    without: dict[str, Any] = {field: None}
    track = observe(None, row, "tail-1", START)
    gap = observe(track, replace(row, **without), None, at(30))
    again = observe(gap, row, "tail-1", at(60))
    assert (gap.unchanged_since, gap.touched_at) == (START, None)
    assert (again.unchanged_since, again.touched_at) == (START, None)


def test_what_changed_during_a_gap_is_noticed_after_it() -> None:
    track = fresh_track(running(total_tokens=5))
    gap = observe(track, running(total_tokens=None), None, at(30))
    assert observe(gap, running(total_tokens=6), None, at(60)).unchanged_since == at(60)


def test_first_tokens_are_progress() -> None:
    assert observe(fresh_track(running()), running(total_tokens=1), None, at(30)).unchanged_since == at(30)


def test_the_first_look_at_a_transcript_is_no_change() -> None:
    track = observe(fresh_track(running()), running(), "tail-1", at(30))
    assert track.unchanged_since == START
    assert observe(track, running(), "tail-2", at(60)).unchanged_since == at(60)


def test_silence_that_nobody_watched_is_no_silence() -> None:
    """How long a transcript has not grown counts from the first look at it, not from the first sight of the row."""
    track = fresh_track(running())
    assert track.tail_unchanged_since is None
    track = observe(track, running(), "tail-1", at(30))
    assert track.tail_unchanged_since == at(30)
    track = observe(track, running(), None, at(60))
    assert track.tail_unchanged_since == at(30)
    track = observe(track, running(), "tail-1", at(90))
    assert track.tail_unchanged_since == at(30)
    track = observe(track, running(), "tail-2", at(120))
    assert track.tail_unchanged_since == at(120)
    assert forget_spans(track, at(9000)).tail_unchanged_since == at(9000)
    assert forget_spans(fresh_track(running()), at(9000)).tail_unchanged_since is None


def test_a_touched_row_is_no_progress_but_is_remembered() -> None:
    """#86056: ``updatedAt`` moves when a message is merely queued."""
    track = observe(fresh_track(running()), running(updated_at=at(40).wall), None, at(45))
    assert track.unchanged_since == START
    assert track.touched_at == at(45)
    assert observe(track, running(updated_at=at(40).wall), None, at(75)).touched_at == at(45)


# ---------------------------------------------------------------- owners


def _noted(track: Track, now: Moment, *, gone: bool = False, alive: bool = False, idle: bool = False) -> Track:
    return note_owner(track, owner_gone=gone, owner_alive=alive, gateway_idle=idle, now=now)


def test_passes_without_an_owner_are_counted_from_the_first() -> None:
    track = _noted(fresh_track(running()), at(30), gone=True)
    track = _noted(track, at(60), gone=True)
    assert (track.owner_gone_since, track.owner_gone_polls) == (at(30), 2)
    assert track.unattended_for(at(90)) == timedelta(seconds=60)


def test_life_clears_the_count_and_the_old_proof() -> None:
    track = _noted(fresh_track(running()), at(30), gone=True, idle=True)
    track = _noted(track, at(60), alive=True, idle=True)
    assert (track.owner_gone_since, track.owner_gone_polls, track.idle_proof_at) == (None, 0, None)


def test_an_unknown_owner_neither_adds_nor_clears() -> None:
    track = _noted(fresh_track(running()), at(30), gone=True)
    assert _noted(track, at(60)) == track


def test_the_first_idle_moment_is_kept() -> None:
    track = _noted(fresh_track(running()), at(30), gone=True, idle=True)
    assert _noted(track, at(60), gone=True, idle=True).idle_proof_at == at(30)


def test_unattended_counts_from_the_later_of_silence_and_loss() -> None:
    track = _noted(fresh_track(running(total_tokens=1)), at(10), gone=True)
    moved = observe(track, running(total_tokens=2), None, at(40))
    assert moved.unattended_for(at(100)) == timedelta(seconds=60)


# ---------------------------------------------------------------- clock gaps


def test_forgetting_spans_keeps_who_it_was() -> None:
    row = running(total_tokens=5)
    track = _noted(observe(None, row, "tail-1", START), START, gone=True)
    track = observe(track, replace(row, updated_at=at(5).wall), None, at(30))
    forgotten = forget_spans(track, at(40_000))
    assert forgotten.identity == track.identity
    assert (forgotten.total_tokens, forgotten.tail_fingerprint) == (5, "tail-1")
    assert forgotten.quiet_for(at(40_000)) == timedelta(0)
    assert forgotten.unattended_for(at(40_000)) is None
    assert (forgotten.owner_gone_polls, forgotten.touched_at) == (0, None)


@given(
    rows=st.lists(
        st.builds(
            running,
            session_id=st.sampled_from(["sid-1", "sid-2"]),
            total_tokens=st.none() | st.integers(0, 2),
            last_run_id=st.none() | st.sampled_from(["r1", "r2"]),
            updated_at=st.none() | st.just(START.wall),
        ),
        min_size=1,
    ),
    gap=st.floats(0, 3600),
)
def test_no_span_is_longer_than_we_have_watched(rows: list[Session], gap: float) -> None:
    track: Track | None = None
    now = START
    for row in rows:
        track = _noted(observe(track, row, None, now), now, gone=True)
        assert START <= track.first_seen <= track.unchanged_since <= now
        assert track.owner_gone_since is not None
        assert track.first_seen <= track.owner_gone_since <= now
        assert track.identity == RunIdentity.of(row)
        now = now.plus(timedelta(seconds=gap))


# ---------------------------------------------------------------- both clocks


def test_spans_come_from_the_monotonic_clock() -> None:
    later = Moment(START.monotonic + 60, START.wall + timedelta(days=1))
    assert later.since(START) == timedelta(minutes=1)
    assert START.plus(timedelta(seconds=5)) == Moment(START.monotonic + 5, START.wall)
    assert START.plus(timedelta(seconds=5)).wall == START.wall + timedelta(seconds=5)
    assert later > START


def test_alone_for_a_moment_is_not_yet_a_free_lane() -> None:
    def seen(track: Track | None, seconds: float, *, is_alone: bool) -> Track:
        return observe(track, running(), None, at(seconds), is_alone=is_alone)

    track = seen(None, 0, is_alone=True)
    assert track.lanes_free_at is None
    assert seen(track, 9.9, is_alone=True).lanes_free_at is None
    free = seen(track, 10, is_alone=True)
    assert free.lanes_free_at == at(10)
    busy = seen(free, 40, is_alone=False)
    assert (busy.alone_since, busy.lanes_free_at) == (None, at(10))
    assert seen(busy, 70, is_alone=True).lanes_free_at == at(10), "counted anew"


def test_who_looks_once_believes_the_row() -> None:
    """``check`` can wait for nothing, and never acts: the row's own times are ages, and a lane is free as it looks."""
    row = replace(orphan(), started_at=at(-600).wall, updated_at=at(-60).wall)
    track = observe(None, row, None, START, is_alone=True, believes_row=True)
    assert (track.first_seen.since(START), track.unchanged_since.since(START)) == (
        timedelta(minutes=-10),
        timedelta(minutes=-1),
    )
    assert track.lanes_free_at == START
    assert note_owner(track, owner_gone=True, owner_alive=False, gateway_idle=False, now=START).owner_gone_since == at(
        -60
    )
    ahead = replace(row, started_at=at(60).wall, updated_at=at(70).wall)
    assert observe(None, ahead, None, START, believes_row=True).unchanged_since == START, "never later than now"


def test_gateways_that_ended_with_it_at_work_are_counted() -> None:
    """#115424: each start resumes the run, and the run ends the gateway."""

    def seen(track: Track | None, seconds: float, boot: str, **changes: Any) -> Track:
        return observe(track, running(**changes), None, at(seconds), boot=boot)

    track = seen(None, 0, "one")
    assert track.ended_gateways == 0
    track = seen(track, 30, "two")
    assert track.ended_gateways == 1
    track = seen(track, 60, "two", started_at=at(50).wall)
    assert track.ended_gateways == 1, "resumed: another run of the same conversation"
    track = seen(track, 90, "three", started_at=at(50).wall)
    assert track.ended_gateways == 2
    assert seen(track, 95, "three", session_id="another").ended_gateways == 0
    orphan = _noted(track, at(90), gone=True)
    assert seen(orphan, 120, "four", started_at=at(50).wall).ended_gateways == 2, "it was not at work there"


def _knocking(*seconds: int) -> Track:
    row = running(last_interaction_at=START.wall)
    track = observe(None, row, "tail-1", START)
    track = note_owner(track, owner_gone=True, owner_alive=False, gateway_idle=False, now=START)
    for second in seconds:
        row = replace(row, last_interaction_at=at(second).wall)
        track = observe(track, row, "tail-1", at(second))
    return track


@pytest.mark.parametrize(
    ("seconds", "is_insistent"),
    [
        ((10, 20), False),
        ((10, 20, 30), True),
        ((5, 65, 125), True),
        ((5, 95, 185, 275), False),
        ((5, 600, 1200, 1230, 1260), True),
        ((5, 35, 65, 4000, 9000), True),
    ],
)
def test_who_knocks_again_and_again_within_minutes_is_refused(seconds: tuple[int, ...], is_insistent: bool) -> None:
    assert _knocking(*seconds).is_insistent is is_insistent


def test_a_knock_that_the_transcript_answers_is_none_and_a_jump_forgets_all() -> None:
    track = _knocking(10, 20, 30)
    assert observe(track, running(last_interaction_at=at(40).wall), "tail-2", at(40)).knocks == ()
    assert forget_spans(track, at(40)).knocks == ()


@pytest.mark.parametrize("may_be_marked", [False, True])
def test_a_flag_that_turns_is_a_stop_or_while_the_gateway_may_mark_rows_perhaps_one(may_be_marked: bool) -> None:
    row = running(aborted_last_run=False)
    marked = replace(row, aborted_last_run=True, updated_at=START.wall + timedelta(seconds=30))
    track = observe(
        observe(None, row, None, START, boot="b"), marked, None, at(30), boot="b", may_be_marked=may_be_marked
    )
    assert (track.stopped_at, track.was_perhaps_stopped) == ((None, True) if may_be_marked else (at(30), False))
    cleared = observe(track, replace(marked, aborted_last_run=False), None, at(90), boot="c")
    assert cleared.was_perhaps_stopped is may_be_marked, "a start clears the flag"
    again = observe(cleared, replace(marked, started_at=START.wall), None, at(100), boot="c")
    assert not again.was_perhaps_stopped, "another run"
