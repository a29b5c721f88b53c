""" "ok" is not recovered: what a later look must show, with the shapes measured on each version."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.builders import orphan, tail_of
from tests.fakes.clock import START
from watchdog.core.evidence import Truth
from watchdog.core.model import Asked, ReplyAddress, Sender, SenderKind, Session, Status, TailKind, TranscriptTail
from watchdog.core.policy import Step
from watchdog.core.recovery import (
    NOT_YET,
    Attempt,
    AttemptState,
    Proof,
    counts,
    is_from_who_was_asked,
    verify,
    was_freed,
)
from watchdog.core.tracking import RunIdentity

from .support import at

BEFORE = orphan()
AFTER = START.wall + timedelta(seconds=3)
"""When the turn that the deed made started."""
SUCCEEDED, INEFFECTIVE = AttemptState.SUCCEEDED, AttemptState.INEFFECTIVE


def _attempt(step: Step, **changes: Any) -> Attempt:
    made = Attempt(
        1,
        "i1",
        1,
        step,
        AttemptState.STARTED,
        "ocw-i1-1",
        START.wall,
        started_at=START.wall,
        before=RunIdentity.of(BEFORE),
        before_tail="tail-1",
    )
    return replace(made, **changes)


def _row(**changes: Any) -> Session:
    return replace(BEFORE, **changes)


OURS = tail_of(TailKind.REQUEST, fingerprint="tail-2")
"""Our own turn's words are the last thing in the transcript."""
ANSWERED = tail_of(TailKind.ANSWERED, fingerprint="tail-3")


UNKNOWN, ALIVE, GONE = Truth.UNKNOWN, Truth.TRUE, Truth.FALSE


@pytest.mark.parametrize(
    ("owner", "early", "late"),
    [
        (UNKNOWN, NOT_YET, Proof(SUCCEEDED, "TurnAnswered")),
        (GONE, NOT_YET, Proof(SUCCEEDED, "TurnAnswered")),
    ],
)
def test_our_own_turn_that_was_answered_has_helped_whatever_its_row_says(
    owner: Truth, early: Proof, late: Proof
) -> None:
    """2026.7.2 leaves the row of an `agent` turn running (#119714)."""
    row, tail = _row(started_at=AFTER), replace(ANSWERED, deed_mark="i1/1")
    for is_overdue, proof in ((False, early), (True, late)):
        assert verify(_attempt(Step.RESUME), row, tail, is_overdue=is_overdue, owner=owner) == proof
    other = replace(ANSWERED, deed_mark="i1/2")
    assert verify(_attempt(Step.RESUME), row, other, is_overdue=True, owner=owner).state is INEFFECTIVE


@pytest.mark.parametrize(
    ("changes", "is_tried"),
    [
        ({"state": AttemptState.PLANNED}, False),
        ({"state": AttemptState.ABANDONED}, False),
        ({"state": AttemptState.REFUSED, "is_retryable": True}, False),
        ({"state": AttemptState.REFUSED}, True),
        ({"state": AttemptState.STARTED}, True),
        ({"state": AttemptState.INEFFECTIVE}, True),
    ],
)
def test_freeing_that_never_left_or_may_yet_be_taken_is_no_try(changes: dict[str, Any], is_tried: bool) -> None:
    run = RunIdentity.of(BEFORE)
    assert was_freed([_attempt(Step.FREE, before=run, **changes)], run) is is_tried


@pytest.mark.parametrize(
    ("says_retryable", "refused_before", "is_paid"),
    [(True, 0, False), (True, 1, True), (False, 0, True), (False, 1, True)],
)
def test_no_refusal_is_free_for_ever(says_retryable: bool, refused_before: int, is_paid: bool) -> None:
    said = {"state": AttemptState.REFUSED, "verified_by": "UNAVAILABLE: come back later"}
    never_sent = _attempt(Step.RESUME, id=7, number=7, state=AttemptState.REFUSED, is_retryable=True)
    before = [never_sent, *[_attempt(Step.RESUME, id=9, number=9, **said)] * refused_before]
    of_another_rung = _attempt(Step.NEW, id=8, number=8, state=AttemptState.REFUSED)
    found = counts(_attempt(Step.RESUME), [of_another_rung, *before], says_retryable=says_retryable)
    assert found is is_paid


def _early(step: Step, row: Session | None, seen: TranscriptTail | None = None, *, owner: Truth = UNKNOWN) -> Proof:
    return verify(_attempt(step), row, seen, is_overdue=False, owner=owner)


def _late(step: Step, row: Session | None, seen: TranscriptTail | None = None, *, owner: Truth = UNKNOWN) -> Proof:
    return verify(_attempt(step), row, seen, is_overdue=True, owner=owner)


CASES: dict[str, tuple[Step, Session | None, Proof, Proof]] = {
    # name: step, the row afterwards, the proof within verify_within, and past it
    "3.24, 4.14, 5.18 resume: done with a new start": (
        Step.RESUME,
        _row(status=Status.DONE, started_at=AFTER),
        Proof(SUCCEEDED, "NewRunDone"),
        Proof(SUCCEEDED, "NewRunDone"),
    ),
    "3.24 resume: acknowledged, the row still old": (
        Step.RESUME,
        _row(),
        NOT_YET,
        Proof(INEFFECTIVE, "NothingChanged"),
    ),
    "4.14 resume against a foreign lock: only updatedAt moves": (
        Step.RESUME,
        _row(updated_at=AFTER),
        NOT_YET,
        Proof(INEFFECTIVE, "NothingChanged"),
    ),
    "resume that hangs: running with a new start": (
        Step.RESUME,
        _row(started_at=AFTER),
        NOT_YET,
        Proof(INEFFECTIVE, "NewRunSilent"),
    ),
    "9.6 resume of a lock-made row: failed": (
        Step.RESUME,
        _row(
            status=Status.FAILED,
            started_at=AFTER,
            last_run_error="Error: restart recovery claim changed before agent adoption",
        ),
        Proof(INEFFECTIVE, "NewRunFailed"),
        Proof(INEFFECTIVE, "NewRunFailed"),
    ),
    "9.6 resume after the gateway lost its lease: failed with the old start": (
        Step.RESUME,
        _row(status=Status.FAILED),
        Proof(INEFFECTIVE, "NewRunFailed"),
        Proof(INEFFECTIVE, "NewRunFailed"),
    ),
    "5.18 resume: timed out": (
        Step.RESUME,
        _row(status=Status.TIMEOUT, started_at=AFTER),
        Proof(INEFFECTIVE, "NewRunTimeout"),
        Proof(INEFFECTIVE, "NewRunTimeout"),
    ),
    "9.6 resume: stopped by the person": (
        Step.RESUME,
        _row(status=Status.KILLED, started_at=AFTER, aborted_last_run=True),
        Proof(INEFFECTIVE, "NewRunKilled"),
        Proof(INEFFECTIVE, "NewRunKilled"),
    ),
    "resume, and the person reset the session meanwhile": (
        Step.RESUME,
        _row(status=Status.ABSENT, started_at=None),
        Proof(SUCCEEDED, "RowCleared"),
        Proof(SUCCEEDED, "RowCleared"),
    ),
    "9.6 recover: done": (
        Step.RECOVER,
        _row(status=Status.DONE, started_at=AFTER),
        Proof(SUCCEEDED, "NewRunDone"),
        Proof(SUCCEEDED, "NewRunDone"),
    ),
    "3.24 /new: a new session id, greeting done": (
        Step.NEW,
        _row(session_id="sid-2", status=Status.DONE, started_at=AFTER),
        Proof(SUCCEEDED, "RowCleared"),
        Proof(SUCCEEDED, "RowCleared"),
    ),
    "3.24 /new while the old run is live: new session id, old start": (
        Step.NEW,
        _row(session_id="sid-2"),
        NOT_YET,
        Proof(INEFFECTIVE, "StillRunning"),
    ),
    "5.18 /new: a new session id, the row stays running with its old start": (
        Step.NEW,
        _row(session_id="sid-2", has_active_run=False),
        NOT_YET,
        Proof(INEFFECTIVE, "StillRunning"),
    ),
    "5.18, 9.6 /new without operator.admin: nothing happens": (
        Step.NEW,
        _row(),
        NOT_YET,
        Proof(INEFFECTIVE, "StillRunning"),
    ),
    "every version sessions.reset: status and times gone": (
        Step.RESET,
        _row(status=Status.ABSENT, started_at=None),
        Proof(SUCCEEDED, "RowCleared"),
        Proof(SUCCEEDED, "RowCleared"),
    ),
    "9.6 sessions.reset: same session id, new lifecycle revision": (
        Step.NEW,
        _row(status=Status.ABSENT, started_at=None, lifecycle_revision="rev-2"),
        Proof(SUCCEEDED, "RowCleared"),
        Proof(SUCCEEDED, "RowCleared"),
    ),
    "reset, and somebody already works in the fresh session": (
        Step.RESET,
        _row(session_id="sid-2", started_at=AFTER),
        Proof(SUCCEEDED, "FreshRunStarted"),
        Proof(SUCCEEDED, "FreshRunStarted"),
    ),
    "3.24, 4.14 abort: the row stays running, and nobody can tell": (
        Step.ABORT,
        _row(),
        NOT_YET,
        Proof(INEFFECTIVE, "StillRunning"),
    ),
    "9.6 abort: killed": (
        Step.ABORT,
        _row(status=Status.KILLED, aborted_last_run=True),
        Proof(SUCCEEDED, "RowTerminal"),
        Proof(SUCCEEDED, "RowTerminal"),
    ),
    "the key is gone": (Step.RESUME, None, NOT_YET, Proof(INEFFECTIVE, "SessionGone")),
    "the key is gone after a reset": (Step.RESET, None, NOT_YET, Proof(INEFFECTIVE, "SessionGone")),
}


@pytest.mark.parametrize(("step", "row", "early", "late"), CASES.values(), ids=CASES)
def test_measured_endings(step: Step, row: Session | None, early: Proof, late: Proof) -> None:
    seen = ANSWERED if row is not None and row.status is Status.DONE else OURS
    assert _early(step, row, seen) == early
    assert _late(step, row, seen) == late


@pytest.mark.parametrize("step", [Step.RESUME, Step.RECOVER])
@pytest.mark.parametrize("kind", [TailKind.REQUEST, TailKind.TOOL_CALL, TailKind.TOOL_RESULT])
@pytest.mark.parametrize("row", [_row(status=Status.DONE), _row(status=Status.DONE, started_at=AFTER)])
def test_a_run_that_is_called_done_and_answered_nobody_has_not_helped(step: Step, kind: TailKind, row: Session) -> None:
    """2026.6.33 calls cut runs done at its start, without a call to the model."""
    seen, attempt = replace(OURS, kind=kind), _attempt(step)
    for is_overdue, proof in ((False, NOT_YET), (True, Proof(INEFFECTIVE, "NewRunUnanswered"))):
        assert verify(attempt, row, seen, is_overdue=is_overdue, owner=UNKNOWN, was_cut=True) == proof
    # Where nothing cut it, it may have answered by the `message` tool, or had nothing to say.
    assert _early(step, row, seen) == Proof(SUCCEEDED, "NewRunDone")


def test_a_run_that_ended_well_proves_no_turn_that_perhaps_was_never_sent() -> None:
    """We died between the claim and the answer, and a heartbeat ended the row."""
    done, lost = _row(status=Status.DONE, started_at=AFTER), {"state": AttemptState.INDETERMINATE}
    theirs = replace(ANSWERED, deed_mark=None)
    for seen, early, late in (
        (theirs, NOT_YET, Proof(INEFFECTIVE, "AnotherRunDone")),
        (replace(theirs, deed_mark="i1/1"), Proof(SUCCEEDED, "NewRunDone"), Proof(SUCCEEDED, "TurnAnswered")),
        (replace(theirs, asked=()), Proof(SUCCEEDED, "NewRunDone"), Proof(SUCCEEDED, "NewRunDone")),
    ):
        for is_overdue, proof in ((False, early), (True, late)):
            attempt = _attempt(Step.RESUME, **lost)
            assert verify(attempt, done, seen, is_overdue=is_overdue, owner=UNKNOWN) == proof
    taken_in = _attempt(Step.RESUME)
    assert verify(taken_in, done, theirs, is_overdue=True, owner=UNKNOWN) == Proof(SUCCEEDED, "NewRunDone")


OLDER = BEFORE.started_at - timedelta(hours=3) if BEFORE.started_at is not None else None


@pytest.mark.parametrize("session_id", [BEFORE.session_id, "sid-of-before"])
@pytest.mark.parametrize("step", [Step.RESUME, Step.RECOVER, Step.NEW, Step.RESET])
def test_a_run_older_than_the_one_that_was_cut_proves_nothing(step: Step, session_id: str) -> None:
    """The session store was put back from a copy, or another gateway answers there."""
    done = _row(session_id=session_id, status=Status.DONE, started_at=OLDER)
    theirs = replace(ANSWERED, deed_mark=None)
    assert _early(step, done, theirs) == NOT_YET
    assert _late(step, done, theirs) == Proof(INEFFECTIVE, "OlderRun")
    if step.nature.is_turn:  # the gateway's clock was set back
        works = _row(session_id=session_id, started_at=OLDER)
        assert _late(step, works, theirs, owner=ALIVE) == Proof(INEFFECTIVE, "OlderRun")
        assert _early(step, done, replace(theirs, deed_mark="i1/1")) == Proof(SUCCEEDED, "NewRunDone")
    else:
        running = _row(session_id=session_id, started_at=OLDER)
        assert _late(step, running, theirs) == Proof(INEFFECTIVE, "StillRunning")


def test_a_run_that_works_proves_no_turn_that_perhaps_never_arrived() -> None:
    """It was sent to another address: only its own mark proves it."""
    works, theirs = _row(session_id="sid-2", started_at=AFTER), replace(ANSWERED, deed_mark=None)
    assert _early(Step.RESUME, works, theirs, owner=ALIVE) == Proof(SUCCEEDED, "NewRunProgresses")
    lost = _attempt(Step.RESUME, state=AttemptState.INDETERMINATE)
    for is_overdue, proof in ((False, NOT_YET), (True, Proof(INEFFECTIVE, "NewRunSilent"))):
        assert verify(lost, works, theirs, is_overdue=is_overdue, owner=ALIVE) == proof


def test_a_session_put_in_the_place_of_the_cut_one_is_nobodys_recovery() -> None:
    row = _row(session_id="sid-2", status=Status.ABSENT, started_at=None)
    assert _early(Step.RESUME, row, OURS) == NOT_YET
    assert _late(Step.RESUME, row, OURS) == Proof(INEFFECTIVE, "AnotherSession")


@pytest.mark.parametrize("step", [Step.RESUME, Step.RECOVER, Step.NEW, Step.RESET, Step.FREE, Step.ABORT])
def test_a_status_that_we_do_not_know_proves_nothing(step: Step) -> None:
    row = _row(status=Status.OTHER, started_at=AFTER)
    assert _early(step, row, OURS) == NOT_YET
    assert _late(step, row, OURS) == Proof(INEFFECTIVE, "NothingProven")


def test_an_abort_that_ends_nothing_is_ineffective() -> None:
    assert _early(Step.ABORT, _row(), OURS, owner=ALIVE) == NOT_YET
    assert _late(Step.ABORT, _row(), OURS, owner=ALIVE) == Proof(INEFFECTIVE, "StillRunning")


MOVING = _row(started_at=AFTER)


def test_a_turn_that_yields_to_its_subagents_has_answered_nobody_while_its_row_says_running() -> None:
    """2026.9.6: it says so, with an end, until it was woken and has ended."""
    seen = tail_of(TailKind.TOOL_RESULT, fingerprint="tail-3", tools_called=frozenset({"sessions_yield"}))
    yielded = replace(MOVING, ended_at=AFTER + timedelta(seconds=2))
    assert _early(Step.RESUME, yielded, seen, owner=ALIVE) == Proof(SUCCEEDED, "TurnWaits")
    assert _early(Step.RESUME, MOVING, seen, owner=ALIVE) == NOT_YET
    # The cut turn may have called it, and ours works.
    assert _late(Step.RESUME, MOVING, seen, owner=ALIVE) == Proof(SUCCEEDED, "NewRunProgresses")


@pytest.mark.parametrize("kind", [TailKind.ANSWERED, TailKind.TOOL_CALL, TailKind.TOOL_RESULT])
def test_a_run_that_writes_more_than_our_words_progresses(kind: TailKind) -> None:
    seen = tail_of(kind, fingerprint="tail-3")
    assert _early(Step.RESUME, MOVING, seen, owner=ALIVE) == Proof(SUCCEEDED, "NewRunProgresses")


@pytest.mark.parametrize(
    ("row", "seen", "owner"),
    [
        (_row(), ANSWERED, ALIVE),
        (MOVING, OURS, ALIVE),
        (MOVING, None, ALIVE),
        (MOVING, replace(ANSWERED, fingerprint="tail-1"), ALIVE),
        (MOVING, ANSWERED, GONE),
        (MOVING, ANSWERED, UNKNOWN),
        (MOVING, tail_of(TailKind.STOPPED, fingerprint="tail-3"), ALIVE),
        (MOVING, tail_of(TailKind.EMPTY, fingerprint="tail-3"), ALIVE),
    ],
    ids=["old run", "our words", "no look", "nothing written", "nobody alive", "perhaps nobody", "stopped", "empty"],
)
def test_progress_needs_a_new_run_alive_that_wrote_something(
    row: Session, seen: TranscriptTail | None, owner: Truth
) -> None:
    assert _early(Step.RESUME, row, seen, owner=owner) == NOT_YET


def test_growth_cannot_be_claimed_without_a_look_before_the_deed() -> None:
    attempt = _attempt(Step.RESUME, before_tail=None)
    assert verify(attempt, MOVING, ANSWERED, is_overdue=False, owner=ALIVE) == NOT_YET


def test_a_proof_in_time_counts_even_when_it_is_seen_late() -> None:
    assert _late(Step.RESUME, MOVING, ANSWERED, owner=ALIVE) == Proof(SUCCEEDED, "NewRunProgresses")


rows = st.none() | st.builds(
    _row,
    status=st.sampled_from(Status),
    started_at=st.sampled_from([None, BEFORE.started_at, AFTER]),
    session_id=st.sampled_from(["sid-1", "sid-2"]),
)
tails = st.none() | st.builds(tail_of, st.sampled_from(TailKind), fingerprint=st.sampled_from(["tail-1", "tail-2"]))
steps = st.sampled_from([Step.RESUME, Step.NEW, Step.RESET, Step.RECOVER, Step.ABORT])


@given(step=steps, row=rows, seen=tails, owner=st.sampled_from(Truth))
def test_an_overdue_attempt_is_always_settled_and_only_by_looking(
    step: Step, row: Session | None, seen: TranscriptTail | None, owner: Truth
) -> None:
    assert _late(step, row, seen, owner=owner).state in (SUCCEEDED, INEFFECTIVE)


@given(step=steps, seen=tails, owner=st.sampled_from(Truth))
def test_an_unchanged_row_is_never_a_success(step: Step, seen: TranscriptTail | None, owner: Truth) -> None:
    if step is Step.ABORT and owner is GONE:
        return  # ending a run may leave its row as it is (3.24, 4.14)
    assert _early(step, BEFORE, seen, owner=owner) == NOT_YET
    assert _late(step, BEFORE, seen, owner=owner).state is INEFFECTIVE


@given(step=steps, row=rows, seen=tails, owner=st.sampled_from(Truth))
def test_waiting_longer_never_turns_success_into_failure(
    step: Step, row: Session | None, seen: TranscriptTail | None, owner: Truth
) -> None:
    early = _early(step, row, seen, owner=owner)
    if early.state is not None:
        assert _late(step, row, seen, owner=owner) == early


def test_the_answer_to_the_request_is_no_part_of_the_judgement() -> None:
    """``verify`` takes no receipt: what the gateway said to the deed cannot make it a success."""
    assert _early(Step.RESUME, _row(last_run_id="ocw-i1-1"), OURS) == NOT_YET
    assert at(0) == START


OVERTAKEN = tail_of(TailKind.REQUEST, fingerprint="tail-4", overtaken_mark="i1/1")
SUPERSEDED = Proof(SUCCEEDED, "TurnAnswered")


@pytest.mark.parametrize(
    ("row", "seen", "early", "late"),
    [
        (_row(started_at=AFTER), OVERTAKEN, NOT_YET, SUPERSEDED),
        (_row(started_at=AFTER, status=Status.TIMEOUT), OVERTAKEN, SUPERSEDED, SUPERSEDED),
        (_row(started_at=AFTER, status=Status.DONE), OVERTAKEN, Proof(SUCCEEDED, "NewRunDone"), None),
        (_row(), OVERTAKEN, NOT_YET, Proof(INEFFECTIVE, "NothingChanged")),
        (
            _row(started_at=AFTER),
            replace(OVERTAKEN, overtaken_mark="i9/1"),
            NOT_YET,
            Proof(INEFFECTIVE, "NewRunSilent"),
        ),
        (_row(started_at=AFTER), ANSWERED, NOT_YET, Proof(INEFFECTIVE, "NewRunSilent")),
    ],
    ids=["silent", "timed out", "done", "the old run", "another's turn", "not overtaken"],
)
def test_what_dies_after_our_turn_was_answered_is_another_run(
    row: Session, seen: TranscriptTail, early: Proof, late: Proof | None
) -> None:
    assert _early(Step.RESUME, row, seen) == early
    assert _late(Step.RESUME, row, seen) == (late or early)


LOST = Proof(INEFFECTIVE, "LostWithGateway")
NOTHING = Proof(INEFFECTIVE, "NothingChanged")


@pytest.mark.parametrize(
    ("seen", "died", "proof"),
    [
        (tail_of(), True, LOST),
        (tail_of(deed_mark="i9/1"), True, LOST),
        (tail_of(), False, NOTHING),
        (tail_of(deed_mark="i1/1"), True, NOTHING),
        (tail_of(has_pending_input=True), True, NOTHING),
        (None, True, NOTHING),
    ],
    ids=["gone with it", "another's words", "it lives", "our words are there", "waiting", "unread"],
)
def test_a_turn_that_died_with_its_gateway_says_nothing_about_its_rung(
    seen: TranscriptTail | None, died: bool, proof: Proof
) -> None:
    attempt = _attempt(Step.RESUME)
    assert verify(attempt, _row(), seen, is_overdue=True, owner=GONE, has_gateway_died=died) == proof
    assert verify(attempt, _row(), seen, is_overdue=False, owner=GONE, has_gateway_died=died) == NOT_YET


def test_only_a_turn_that_changed_nothing_can_have_died_with_its_gateway() -> None:
    row = _row(started_at=AFTER)
    proof = verify(_attempt(Step.RESUME), row, tail_of(), is_overdue=True, owner=GONE, has_gateway_died=True)
    assert proof.reason == "NewRunSilent"


# ------------------------------------------------------------ who was asked

ALICE = Sender(SenderKind.PERSON, "1001", "Alice")
BOB = Sender(SenderKind.PERSON, "1002", "Bob")
NOBODY = Sender(SenderKind.NOBODY)
MINUTE = timedelta(minutes=1)
CUT = Asked(ALICE, "what the cut run was asked", START.wall - 5 * MINUTE)


HERS = ReplyAddress("telegram", "telegram:1001", "default")
AGAIN = Asked(ALICE, "again", START.wall + MINUTE)


def _is_theirs(asked: list[Asked], attempt: Attempt | None = None, **changes: Any) -> bool:
    known: dict[str, Any] = {"clock_skew": timedelta(0), "began": START.wall + MINUTE, **changes}
    return is_from_who_was_asked(asked, attempt or _attempt(Step.ASK, address=HERS), **known)


@pytest.mark.parametrize(
    ("asked", "is_theirs"),
    [
        ([], False),
        ([CUT], False),
        ([CUT, AGAIN], True),
        ([AGAIN], True),
        ([Asked(ALICE, "again", START.wall - timedelta(seconds=1))], True),  # a chat app's whole seconds
        ([CUT, Asked(ALICE, "taken up, nobody knows since when")], False),
        ([CUT, Asked(BOB, "hello", START.wall + MINUTE)], False),
        ([CUT, Asked(NOBODY, "Read HEARTBEAT.md", START.wall + MINUTE)], False),
        ([Asked(NOBODY, "Read HEARTBEAT.md", START.wall + MINUTE)], False),
        # Her turn failed, and then somebody else's was answered.
        ([CUT, AGAIN, Asked(NOBODY, "Read HEARTBEAT.md", START.wall + 2 * MINUTE)], False),
        ([CUT, AGAIN, Asked(BOB, "hello", START.wall + 2 * MINUTE)], False),
        ([CUT, Asked(BOB, "hello", START.wall + MINUTE), AGAIN], True),
        ([Asked(Sender(SenderKind.OPERATOR, "openclaw-control-ui"), "alive?", START.wall + MINUTE)], False),
    ],
)
def test_who_was_asked_wrote_again(asked: list[Asked], is_theirs: bool) -> None:
    assert _is_theirs(asked) is is_theirs


@pytest.mark.parametrize(
    ("to", "is_theirs"),
    [("telegram:1001", True), ("1001", True), ("telegram:1002", False), ("telegram:-100600", False)],
)
def test_where_nothing_is_left_of_what_was_cut_she_is_who_was_asked_in_her_own_chat(to: str, is_theirs: bool) -> None:
    """In a group, and in a main session where the other's chat was asked in, nobody is known to be the one."""
    attempt = _attempt(Step.ASK, address=ReplyAddress("telegram", to, "default"))
    assert _is_theirs([AGAIN], attempt) is is_theirs
    assert _is_theirs([CUT, AGAIN], attempt)


def test_what_the_cut_run_was_asked_is_no_new_request_whatever_our_clock_says() -> None:
    """Our clock was set back an hour between the cut and the asking."""
    assert BEFORE.started_at is not None
    attempt = _attempt(Step.ASK, address=HERS, started_at=BEFORE.started_at - 60 * MINUTE)
    assert not _is_theirs([replace(CUT, at=BEFORE.started_at)], attempt, began=BEFORE.started_at)
    assert _is_theirs([CUT, AGAIN], attempt)


def test_a_run_that_begins_long_after_her_words_is_not_hers() -> None:
    """Her turn failed, and 2026.5.18 hides what the heartbeat after it was asked."""
    assert not _is_theirs([CUT, AGAIN], began=START.wall + 31 * MINUTE)
    assert _is_theirs([CUT, AGAIN], began=None)


def test_on_irc_she_may_come_back_from_another_host() -> None:
    here, there = (Sender(SenderKind.PERSON, f"alice!~alice@{host}") for host in ("here", "there"))
    assert _is_theirs([replace(CUT, sender=here), replace(AGAIN, sender=there)])
    assert not _is_theirs(
        [replace(CUT, sender=here), replace(AGAIN, sender=Sender(SenderKind.PERSON, "al!~alice@here"))]
    )


@pytest.mark.parametrize("skew", [-10 * MINUTE, 10 * MINUTE])
def test_a_gateway_whose_clock_differs_keeps_no_answer_from_them(skew: timedelta) -> None:
    at = START.wall + skew + MINUTE
    assert _is_theirs([replace(AGAIN, at=at)], clock_skew=skew, began=at)


def test_a_chat_apps_time_is_its_own_though_the_gateway_is_ahead() -> None:
    assert _is_theirs([AGAIN], clock_skew=4 * MINUTE, began=START.wall + 5 * MINUTE)


def test_what_the_cut_run_was_asked_is_no_answer_though_the_clock_was_set_back_since() -> None:
    hour = timedelta(hours=1)
    attempt = _attempt(Step.ASK, before=RunIdentity.of(_row(started_at=START.wall + hour)))
    assert not _is_theirs([replace(CUT, at=START.wall + hour)], attempt, began=None)
