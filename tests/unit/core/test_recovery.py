"""The life of an attempt, the ladder, the back-off, and what a gateway's "no" means."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.policy import Step
from watchdog.core.recovery import (
    IN_FLIGHT,
    LIFE,
    LOST_WITH_GATEWAY,
    REFUSED_FOR_GOOD,
    Attempt,
    AttemptState,
    Refusal,
    backoff_after,
    meaning_of_refusal,
    next_step,
)

PLANNED, STARTED, INDETERMINATE = AttemptState.PLANNED, AttemptState.STARTED, AttemptState.INDETERMINATE
SUCCEEDED, INEFFECTIVE = AttemptState.SUCCEEDED, AttemptState.INEFFECTIVE
REFUSED, ABANDONED = AttemptState.REFUSED, AttemptState.ABANDONED


def _attempt(step: Step, state: AttemptState, *, is_retryable: bool = False, reason: str | None = None) -> Attempt:
    at = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    return Attempt(1, "i1", 1, step, state, "key", at, is_retryable=is_retryable, reason=reason)


# ---------------------------------------------------------------- life


def test_the_life_of_an_attempt() -> None:
    assert {(before.value, after.value) for before, followers in LIFE.items() for after in followers} == {
        ("planned", "started"),
        ("planned", "abandoned"),
        ("started", "succeeded"),
        ("started", "ineffective"),
        ("started", "refused"),
        ("started", "indeterminate"),
        ("indeterminate", "succeeded"),
        ("indeterminate", "ineffective"),
        ("indeterminate", "abandoned"),
    }


def test_what_was_perhaps_sent_is_never_planned_again() -> None:
    """From ``started`` no way leads back to a state from which it could be sent."""
    reached: set[AttemptState] = set()
    edge = {STARTED}
    while edge:
        reached |= edge
        edge = {after for before in edge for after in LIFE.get(before, ())} - reached
    assert not reached & {PLANNED}
    assert [before for before in reached if STARTED in LIFE.get(before, ())] == []


def test_only_an_explicit_no_gives_the_charge_back() -> None:
    """A lost answer can no longer become ``refused``: nobody knows that it was not done."""
    assert REFUSED not in LIFE[INDETERMINATE]


def test_final_states_and_those_in_flight() -> None:
    assert {state for state in AttemptState if state not in LIFE} == {SUCCEEDED, INEFFECTIVE, REFUSED, ABANDONED}
    assert {state for state in AttemptState if _attempt(Step.RESUME, state).is_in_flight} == IN_FLIGHT


# ---------------------------------------------------------------- the ladder


LADDER = (Step.RESUME, Step.NEW)


@pytest.mark.parametrize(
    ("attempts", "step"),
    [
        ([], Step.RESUME),
        ([_attempt(Step.RESUME, INEFFECTIVE)], Step.NEW),
        ([_attempt(Step.RESUME, SUCCEEDED)], Step.NEW),
        ([_attempt(Step.RESUME, REFUSED)], Step.NEW),
        ([_attempt(Step.RESUME, REFUSED, is_retryable=True)], Step.RESUME),
        ([_attempt(Step.RESUME, ABANDONED)], Step.RESUME),
        ([_attempt(Step.RESUME, INDETERMINATE)], Step.RESUME),
        ([_attempt(Step.RESUME, STARTED)], Step.RESUME),
        ([_attempt(Step.NEW, INEFFECTIVE)], Step.RESUME),
        ([_attempt(Step.RESUME, INEFFECTIVE), _attempt(Step.NEW, INEFFECTIVE)], None),
        ([_attempt(Step.RESUME, REFUSED, reason=REFUSED_FOR_GOOD)], None),
        ([_attempt(Step.RESUME, INEFFECTIVE, reason=LOST_WITH_GATEWAY)], Step.RESUME),
        ([_attempt(Step.RESUME, INEFFECTIVE), _attempt(Step.NEW, REFUSED, is_retryable=True)], Step.NEW),
    ],
)
def test_the_gentlest_rung_not_yet_shown_to_be_useless(attempts: Sequence[Attempt], step: Step | None) -> None:
    assert next_step(LADDER, attempts) is step


def test_an_empty_ladder_is_used_up() -> None:
    assert next_step((), ()) is None


@given(
    ladder=st.lists(st.sampled_from(Step), unique=True),
    attempts=st.lists(
        st.builds(_attempt, st.sampled_from(Step), st.sampled_from(AttemptState), is_retryable=st.booleans())
    ),
)
def test_a_rung_that_did_not_help_is_not_climbed_again(ladder: list[Step], attempts: list[Attempt]) -> None:
    step = next_step(ladder, attempts)
    useless = {
        attempt.step
        for attempt in attempts
        # Who was asked once may be asked again.
        if attempt.state is INEFFECTIVE or (attempt.state is SUCCEEDED and attempt.step is not Step.ASK)
    }
    assert step not in useless
    if step is not None:
        assert all(any(attempt.step is gentler for attempt in attempts) for gentler in ladder[: ladder.index(step)]), (
            "no rung is skipped untried"
        )


def test_which_steps_lose_the_conversation() -> None:
    assert {step for step in Step if step.loses_context} == {Step.NEW, Step.RESET}


# ---------------------------------------------------------------- back-off


BACKOFF = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))


@pytest.mark.parametrize(("settled", "minutes"), [(-1, 0), (0, 0), (1, 1), (2, 5), (3, 30), (4, 30), (99, 30)])
def test_the_wait_after_the_nth_attempt(settled: int, minutes: int) -> None:
    assert backoff_after(settled, BACKOFF, 0.0) == timedelta(minutes=minutes)


def test_no_backoff_is_no_wait() -> None:
    assert backoff_after(3, (), 1.0) == timedelta(0)


@given(settled=st.integers(1, 20), jitter=st.floats(0, 1))
def test_jitter_only_lengthens_and_by_a_tenth_at_most(settled: int, jitter: float) -> None:
    base = backoff_after(settled, BACKOFF, 0.0)
    assert base <= backoff_after(settled, BACKOFF, jitter) <= base * 1.1


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("code", "detail", "retryable", "meaning"),
    [
        # words measured on the wire, or quoted in the incident corpus
        ("UNAVAILABLE", "Error: IRC login failed (433): Nickname already in use", True, Refusal.TRY_LATER),
        ("UNAVAILABLE", "sessions.list unavailable during gateway restart", True, Refusal.TRY_LATER),
        ("INVALID_REQUEST", "SESSION_WORK_START_CHANGED", False, Refusal.NEXT_RUNG),
        ("SESSION_WORK_START_CHANGED", "", True, Refusal.NEXT_RUNG),
        ("INVALID_REQUEST", 'Session "agent:main:x" changed while starting work. Retry.', True, Refusal.NEXT_RUNG),
        ("INVALID_REQUEST", "restart recovery claim changed before agent adoption", False, Refusal.NEXT_RUNG),
        (
            "INVALID_REQUEST",
            'Session "agent:main:tomb1" ended during restart recovery. Use /new or /reset to start a replacement session.',
            False,
            Refusal.NEXT_RUNG,
        ),
        ("INVALID_REQUEST", "Session recovery requires a restart-tombstoned session.", False, Refusal.NEXT_RUNG),
        ("INVALID_REQUEST", "unknown method: sessions.recover", False, Refusal.NEXT_RUNG),
        ("INVALID_REQUEST", "invalid chat.send params: at root: unexpected property 'x'", False, Refusal.NEXT_RUNG),
        ("FORBIDDEN", "missing scope: operator.admin", False, Refusal.NEXT_RUNG),
        ("INVALID_REQUEST", "unauthorized", False, Refusal.NEXT_RUNG),
        ("INVALID_REQUEST", "session not found: agent:main:x", False, Refusal.STOP),
        ("INVALID_REQUEST", 'agent "zzz" not found', False, Refusal.STOP),
        ("INTERNAL", "another OpenClaw process owns state-lifecycle", True, Refusal.STOP),
        ("INTERNAL", "lease lost", False, Refusal.STOP),
        ("INVALID_REQUEST", "session is archived", False, Refusal.STOP),
        ("INTERNAL", "something new", True, Refusal.TRY_LATER),
        ("INTERNAL", "something new", False, Refusal.NEXT_RUNG),
        ("", "", False, Refusal.NEXT_RUNG),
    ],
)
def test_what_a_no_means(code: str, detail: str, retryable: bool, meaning: Refusal) -> None:
    assert meaning_of_refusal(code, detail, retryable=retryable) is meaning
