"""What an incident comes to where rows, words and runs do not tell the same: silent answers, cut turns, other people's runs.

``chat.history`` leaves out an answer of ``NO_REPLY`` and what the ``message`` tool said, so that the request or the tool's result is the
last thing seen though its person was answered (2026.3.24 to 9.6).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.fakes.builders import dead, lenient, policy, tail_of
from tests.fakes.world import World
from watchdog.core.model import Status, TailKind
from watchdog.core.policy import AskInstead, Policy, PolicyBook, Step
from watchdog.core.recovery import AttemptState
from watchdog.service import errors
from watchdog.service.ledger import Outcome
from watchdog.service.ports import Deed, Receipt

KEY = dead().key
SILENT = pytest.mark.parametrize("kind", [TailKind.REQUEST, TailKind.TOOL_RESULT])


def _world(default: Policy | None = None) -> World:
    world = World(book=PolicyBook(default=default or policy()))
    world.gateway.put(dead())
    return world


def _says_nothing(world: World, kind: TailKind) -> Callable[[Deed], Receipt]:
    """The turn is done, and its answer is not in the transcript that is shown."""

    def effect(deed: Deed) -> Receipt:
        later = world.clock.now().wall + timedelta(seconds=1)
        seen = tail_of(
            kind, fingerprint="tail-2", deed_mark=_mark(world), deed_at=later, tools_called=frozenset({"message"})
        )
        world.gateway.see(KEY, tail=seen)
        world.gateway.change(KEY, status=Status.DONE, started_at=later, updated_at=later)
        return Receipt(deed.idempotency_key, "started")

    return effect


def _mark(world: World) -> str:
    return f"{world.incidents[0].id}/1"


def _outcomes(world: World) -> list[Outcome]:
    return [incident.outcome for incident in world.incidents]


# ------------------------------------------------------------ answered, and nothing to be seen of it


@SILENT
@pytest.mark.parametrize("delivery", [None, True])
async def test_a_turn_that_answers_silently_has_helped(kind: TailKind, delivery: bool | None) -> None:
    world = _world()
    world.gateway.delivery = delivery
    world.gateway.effect = _says_nothing(world, kind)
    await world.until_deed()
    await world.live(minutes=5)
    assert _outcomes(world) == [Outcome.RECOVERED]


@SILENT
@pytest.mark.parametrize("is_woken", [False, True])
async def test_what_follows_a_silent_answer_begins_with_the_gentlest_step(kind: TailKind, is_woken: bool) -> None:
    """Its person writes again at once, or its subagent's end wakes it; and that run is lost."""
    world = _world()
    world.gateway.effect = _says_nothing(world, kind)
    await world.until_deed()
    await world.live(minutes=1)
    later = world.clock.now().wall
    world.gateway.change(KEY, status=Status.RUNNING, started_at=later, updated_at=later, has_active_run=True)
    world.gateway.see(KEY, tail=tail_of(fingerprint="tail-3", at=later, deed_mark=_mark(world)))
    await world.live(minutes=3)
    if is_woken:
        world.gateway.restart()
    world.gateway.change(KEY, has_active_run=False)
    world.gateway.effect = world.gateway.cure
    await world.until_deed(2)
    assert world.steps == [Step.RESUME, Step.RESUME]


async def test_who_was_asked_and_is_answered_silently_has_the_answer() -> None:
    world = _world(policy(ask_instead_of_resume=AskInstead.ALWAYS))
    await world.until_deed()
    await world.live(minutes=1)
    later = world.clock.now().wall
    silent = tail_of(TailKind.TOOL_RESULT, fingerprint="x", tools_called=frozenset({"message"}), at=later)
    world.gateway.see(KEY, tail=silent)
    world.gateway.change(KEY, status=Status.DONE, started_at=later, updated_at=later)
    await world.live(minutes=2)
    assert (world.steps, _outcomes(world)) == ([Step.ASK], [Outcome.RECOVERED])


async def test_a_row_seen_a_moment_before_its_words_takes_no_answer_away() -> None:
    world = _world(policy(ask_instead_of_resume=AskInstead.ALWAYS))
    await world.until_deed()
    await world.live(minutes=1)
    later = world.clock.now().wall
    world.gateway.change(KEY, status=Status.DONE, started_at=later, updated_at=later)
    world.gateway.see(KEY, tail=tail_of(fingerprint="asked", at=later))
    await world.look()
    world.clock.advance(2)
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, at=world.clock.now().wall))
    await world.live(minutes=2)
    assert _outcomes(world) == [Outcome.RECOVERED]


# ------------------------------------------------------------ not answered, or not by us


async def test_who_was_asked_is_not_called_answered_because_the_cut_run_is_called_done() -> None:
    world = _world(policy(ask_instead_of_resume=AskInstead.ALWAYS))
    await world.until_deed()
    await world.live(minutes=3)
    world.gateway.restart()
    world.gateway.change(KEY, status=Status.DONE)
    world.gateway.see(KEY, tail=tail_of())
    await world.live(minutes=10)
    assert _outcomes(world) == [Outcome.CLEARED]


async def test_a_tool_that_never_answered_is_no_answer_even_where_no_start_was_seen() -> None:
    """A life too short to be told from the next one: its gateway seems to have begun before the run."""
    world = _world(policy(ask_instead_of_resume=AskInstead.ALWAYS))
    await world.until_deed()
    await world.live(minutes=3)
    later = world.clock.now().wall
    world.gateway.change(KEY, status=Status.DONE, started_at=later, ended_at=later)
    world.gateway.see(KEY, tail=tail_of(TailKind.TOOL_CALL, tools_called=frozenset({"exec"}), at=later))
    await world.live(minutes=10)
    assert _outcomes(world) == [Outcome.CLEARED]


async def test_an_answer_to_somebody_else_is_not_called_our_turns() -> None:
    """Ours hung, was given up, and died with its gateway; then its person wrote again, and was answered."""
    world = _world(policy(backoff=(timedelta(minutes=30),)))
    world.gateway.effect = world.gateway.hang
    await world.until_deed()
    await world.live(minutes=4)
    world.gateway.see(KEY, tail=tail_of(deed_mark=_mark(world)))
    world.gateway.restart()
    world.gateway.change(KEY, has_active_run=False)
    await world.live(minutes=1)
    later = world.clock.now().wall
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, deed_mark=_mark(world), at=later))
    world.gateway.change(KEY, status=Status.DONE, started_at=later, ended_at=later)
    await world.live(minutes=2)
    assert (world.told()[-1], _outcomes(world)) == ("cleared", [Outcome.CLEARED])


@pytest.mark.parametrize(
    ("delivery", "outcome"), [(True, Outcome.RECOVERED), (None, Outcome.CLEARED), (False, Outcome.CLEARED)]
)
async def test_where_our_mark_is_out_of_sight_the_gateway_is_asked_after_our_run(
    delivery: bool | None, outcome: Outcome
) -> None:
    """That our answer did not reach somebody says nothing of who was answered since."""
    world = _world(policy(backoff=(timedelta(minutes=30),)))
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    await world.live(minutes=3)
    world.gateway.delivery = delivery
    later = world.clock.now().wall
    world.gateway.see(KEY, tail=tail_of(TailKind.ANSWERED, at=later))
    world.gateway.change(KEY, status=Status.DONE, started_at=later, ended_at=later)
    await world.live(minutes=2)
    assert (world.told()[-1], _outcomes(world)) == (outcome.value, [outcome])


# ------------------------------------------------------------ a gateway's next life, another program, a key of one word


async def test_a_step_refused_in_a_former_life_of_the_gateway_is_the_first_in_the_next() -> None:
    world = _world()
    refused = errors.RequestRefused("sessions.send: the session is waiting for restart recovery", code="UNAVAILABLE")
    world.gateway.failing["perform"] = refused
    await world.until_deed()
    del world.gateway.failing["perform"]
    world.clock.advance(10)
    world.gateway.restart()
    world.gateway.performed.clear()
    await world.until_deed(minutes=120)
    assert world.steps == [Step.RESUME]


@pytest.mark.parametrize("skew", [0, -10, 10])
async def test_a_fresh_session_is_told_from_the_one_before_by_the_gateways_clock(skew: int) -> None:
    """Our step did not help, its person typed `/new`, and what they asked there is cut: the gentlest step comes first again."""
    world = _world(lenient(ladder=(Step.RESUME, Step.NEW)))
    world.gateway.clock_skew = timedelta(minutes=skew)
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    while world.states != [("resume", "ineffective")]:
        await world.look()
        world.clock.advance(5)
    world.clock.advance(60)
    began = world.clock.now().wall + world.gateway.clock_skew
    world.gateway.change(KEY, session_id="a-fresh-one", status=Status.RUNNING, started_at=began, updated_at=began)
    world.gateway.see(KEY, tail=tail_of(TailKind.REQUEST, fingerprint="new words", at=began))
    world.clock.advance(20)
    world.gateway.restart()
    world.gateway.effect = world.gateway.cure
    await world.until_deed(2)
    assert world.steps == [Step.RESUME, Step.RESUME]


async def test_an_intent_that_another_program_claimed_and_sent_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the same ledger, and hears no answer: then something is in flight, and nothing more is sent."""
    world = _world()
    await world.live(minutes=20)
    claim = world.ledger.claim_attempt

    def is_away(*_: object) -> bool:
        raise errors.LedgerUnavailable("the connection is lost")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.ledger), "claim_attempt", is_away)
        with pytest.raises(errors.LedgerUnavailable):
            await world.look()
    (left,) = world.attempts
    settle = type(world.ledger).settle_attempt

    def late(*words: object, **named: object) -> bool:
        now = world.clock.now().wall
        if claim(left.id, now):
            settle(world.ledger, left.id, AttemptState.INDETERMINATE, now, reason="AnswerLost")
        return settle(*words, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(type(world.ledger), "settle_attempt", late)
    await world.live(minutes=1)
    assert world.steps == []


@pytest.mark.parametrize("key", ["agent:main", "agent"])
async def test_a_key_of_one_word_ends_no_pass(key: str) -> None:
    world = _world()
    world.gateway.put(dead(key, status=Status.FAILED, restart_recovery_status="tombstoned"))
    await world.live(minutes=25)
    assert Step.RESUME in world.steps
