"""Whose request, whose chat, whose rights, whose stop: what one watch does for people, pass by pass.

Alice (1001) and Bob (1002) write to one bot on Telegram. What reaches whom is read off the deeds that were sent.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.builders import BOOT, V96, V324, V518, dead, lenient, policy, tail_of, vague
from tests.fakes.clock import START
from tests.fakes.world import World
from watchdog.core.model import (
    Asked,
    ReplyAddress,
    Sender,
    SenderKind,
    SenderRights,
    Session,
    SessionKind,
    Status,
    TailKind,
    TranscriptTail,
)
from watchdog.core.policy import AskInstead, PolicyBook, Step
from watchdog.core.recovery import ASKED, PERHAPS_ASKED, AttemptState
from watchdog.service import errors
from watchdog.service.events import Event
from watchdog.service.ledger import MessageKind, Outcome
from watchdog.service.ports import Deed, Receipt

ALICE = Sender(SenderKind.PERSON, "1001", "Alice Ames")
BOB = Sender(SenderKind.PERSON, "1002", "Bob")
WEB = Sender(SenderKind.OPERATOR, "openclaw-control-ui")
HERS = ReplyAddress("telegram", "telegram:1001", "default")
HIS = ReplyAddress("telegram", "telegram:1002", "default")
GROUP_KEY = "agent:main:telegram:group:-100600"
GROUP = ReplyAddress("telegram", "telegram:-100600", "default")
MAIN = "agent:main:main"
SECRET = "her confidential question"
CUT = START.wall - timedelta(minutes=5)


def shared(address: ReplyAddress = HIS, writer: str = "1002", **changes: Any) -> Session:
    """The main session that all private chats lead to."""
    made = dead(MAIN, kind=SessionKind.MAIN, channel="telegram", reply_address=address, last_writer=writer)
    return replace(made, **changes)


def asked(*senders: Sender, kind: TailKind = TailKind.REQUEST, **changes: Any) -> TranscriptTail:
    said = tuple(Asked(one, SECRET, CUT) for one in senders)
    made = TranscriptTail(kind, "tail-1", request=SECRET if said else None, at=CUT, asked=said)
    return replace(made, **changes)


def world_with(row: Session, tail: TranscriptTail, *, version: str = V324, **recovery: Any) -> World:
    world = World(book=PolicyBook(default=lenient(**recovery)), version=version)
    world.gateway.put(row).see(row.key, tail=tail)
    return world


def heard(world: World) -> list[tuple[str, str | None]]:
    """(step, whose chat) of every deed that was sent."""
    return [(deed.step.value, deed.route.to if deed.route is not None else None) for deed in world.gateway.performed]


# ---------------------------------------------------------------- whose chat


@pytest.mark.parametrize("ladder", [(Step.RESUME,), (Step.NEW,), (Step.ASK,), (Step.RESUME, Step.NEW)])
async def test_alice_asked_and_bob_wrote_last_and_nothing_goes_to_bob(ladder: tuple[Step, ...]) -> None:
    told = replace(ALICE, channel="telegram", account_id="default")
    world = world_with(shared(), asked(told), ladder=ladder)
    await world.live(hours=1)
    assert heard(world) == [(ladder[0].value, "telegram:1001")]
    assert world.attempts[0].address == replace(HERS)


@pytest.mark.parametrize(
    ("row", "senders"),
    [
        (shared(), (ALICE,)),
        (shared(), (ALICE, BOB)),
        (shared(HERS, "1001"), (ALICE, BOB)),
        (dead(GROUP_KEY, kind=SessionKind.GROUP, reply_address=GROUP), (WEB,)),
        (dead(GROUP_KEY, kind=SessionKind.GROUP, reply_address=GROUP), (ALICE, WEB)),
        (shared(), (Sender(SenderKind.NOBODY),)),
    ],
)
@pytest.mark.parametrize("step", [Step.RESUME, Step.NEW, Step.RESET, Step.ASK])
async def test_where_no_chat_is_proven_nothing_is_sent_and_the_operator_hears_why(
    row: Session, senders: tuple[Sender, ...], step: Step
) -> None:
    world = world_with(row, asked(*senders), ladder=(step,))
    await world.live(hours=2)
    assert world.steps == []
    assert world.held() == ["requester_unknown"]
    (message,) = world.owed(MessageKind.STUCK)
    assert "is not proven" in message.body
    assert SECRET not in message.body


async def test_a_group_is_answered_in_the_group_with_the_author_named() -> None:
    row = dead(GROUP_KEY, kind=SessionKind.GROUP, reply_address=GROUP)
    world = world_with(row, asked(ALICE))
    await world.until_deed()
    (deed,) = world.gateway.performed
    assert (deed.step, deed.route) == (Step.RESUME, GROUP)
    assert "written by “Alice Ames” (id 1001)" in str(deed.message)


async def test_a_session_of_the_browser_is_resumed_and_delivered_nowhere() -> None:
    row = dead("agent:main:lost", kind=SessionKind.OTHER, channel=None, reply_address=None, last_writer=None)
    world = world_with(row, asked(WEB))
    await world.until_deed()
    assert heard(world) == [("resume", None)]


@pytest.mark.parametrize("step", [Step.NEW, Step.RESET])
async def test_the_notice_after_a_fresh_start_quotes_to_the_requester_alone(step: Step) -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), ladder=(step,))
    await world.until_deed()
    (deed,) = world.gateway.performed
    assert deed.route == HERS
    assert SECRET in str(deed.notice)


# ---------------------------------------------------------------- whose rights


async def test_a_member_with_rules_of_their_own_is_asked_and_nothing_runs() -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE))
    world.gateway.rights["1001"] = SenderRights("1001", is_owner=False, has_own_rules=True)
    await world.live(hours=2)
    assert heard(world) == [("ask", "telegram:1001")]
    assert SECRET not in str(world.gateway.performed[0].message)


async def test_a_turn_goes_over_admin_for_a_proven_owner_alone() -> None:
    for is_owner in (False, True):
        world = world_with(shared(HERS, "1001"), asked(ALICE))
        world.gateway.rights["1001"] = SenderRights("1001", is_owner=is_owner, has_own_rules=False)
        await world.until_deed()
        assert [deed.is_as_owner for deed in world.gateway.performed] == [is_owner]


async def test_rights_that_change_between_decision_and_deed_send_nothing() -> None:
    """The fence looks again: what was signed in for is not what may be done now."""
    world = world_with(shared(HERS, "1001"), asked(ALICE))

    def now_has_rules() -> None:
        world.gateway.rights["1001"] = SenderRights("1001", is_owner=False, has_own_rules=True)

    world.gateway.at_fence = now_has_rules
    await world.live(hours=1)
    assert heard(world) == [("ask", "telegram:1001")]
    assert world.gateway.calls.count("prepare") == 2, "each deed is signed in for, and looked at again after that"


async def test_never_asking_holds_instead() -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), ask_instead_of_resume=AskInstead.NEVER)
    world.gateway.rights["1001"] = SenderRights("1001", is_owner=False, has_own_rules=True)
    await world.live(hours=2)
    assert world.steps == []
    assert world.held() == ["step_unavailable"]


# ---------------------------------------------------------------- the question


def _rules(world: World) -> World:
    world.gateway.rights["1001"] = SenderRights("1001", is_owner=False, has_own_rules=True)
    return world


async def test_a_question_is_asked_once_and_proven_by_the_run_that_follows() -> None:
    world = _rules(world_with(shared(HERS, "1001"), asked(ALICE)))
    await world.live(hours=30)
    assert world.states == [("ask", "succeeded")]
    assert [incident.outcome for incident in world.incidents] == [Outcome.OPEN], "nobody has answered yet"
    assert world.told() == ["stuck"]
    assert not world.log.of(Event.RECOVERY_SUCCEEDED)
    later = world.clock.now().wall
    world.gateway.finish(MAIN, by=ALICE, started_at=later, updated_at=later)
    await world.live(minutes=2)
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]
    assert world.attempts[0].verified_by == "PersonAnswered"
    assert world.told() == ["stuck", "recovered"]
    assert "resum" not in world.owed(MessageKind.RECOVERED)[0].body.lower()


LATER = START.wall + timedelta(hours=1)


@pytest.mark.parametrize(
    "said",
    [
        (Asked(Sender(SenderKind.NOBODY), "Read HEARTBEAT.md", LATER),),
        (Asked(ALICE, SECRET, CUT),),
        (Asked(ALICE, SECRET, CUT), Asked(BOB, "hello", LATER)),
    ],
    ids=["a heartbeat (3.24, 4.14)", "a heartbeat whose prompt is hidden (5.18)", "another member of the group"],
)
@pytest.mark.parametrize("kind", [TailKind.ANSWERED, TailKind.REQUEST], ids=["answered", "without a word"])
async def test_a_run_of_somebody_elses_has_not_answered_who_was_asked(said: tuple[Asked, ...], kind: TailKind) -> None:
    world = _rules(world_with(shared(HERS, "1001"), asked(ALICE)))
    await world.until_deed()
    await world.live(minutes=1)
    world.gateway.change(MAIN, status=Status.DONE, started_at=LATER, updated_at=LATER)
    world.gateway.see(MAIN, tail=asked(kind=kind, asked=said))
    await world.live(minutes=2)
    assert world.told() == ["stuck", "cleared"]
    assert world.attempts[0].verified_by != "PersonAnswered"


@pytest.mark.parametrize(
    ("who", "told"),
    [(ALICE, "recovered"), (WEB, "cleared")],
    ids=["she began a new conversation", "an operator looked"],
)
async def test_where_nothing_is_seen_of_what_she_asked_a_person_who_writes_there_is_she(who: Sender, told: str) -> None:
    world = _rules(world_with(shared(HERS, "1001"), asked(ALICE)))
    await world.until_deed()
    await world.live(minutes=1)
    later = world.clock.now().wall
    world.gateway.finish(MAIN, by=who, started_at=later, updated_at=later)
    await world.live(minutes=2)
    assert world.told() == ["stuck", told]


async def test_a_turn_that_waits_for_its_subagents_has_not_answered_who_was_asked() -> None:
    world = _rules(world_with(shared(HERS, "1001"), asked(ALICE)))
    await world.until_deed()
    later = world.clock.now().wall
    world.gateway.change(MAIN, has_active_run=True, started_at=later, updated_at=later)
    world.gateway.put(vague("agent:main:subagent:1", kind=SessionKind.SUBAGENT, has_active_run=True, parent_key=MAIN))
    await world.live(minutes=2)
    waits = asked(kind=TailKind.TOOL_RESULT, tools_called=frozenset({"sessions_yield"}))
    world.gateway.change(MAIN, has_active_run=False, status=Status.DONE, ended_at=world.clock.now().wall)
    world.gateway.see(MAIN, tail=waits)
    await world.live(minutes=2)
    assert world.attempts[0].verified_by != "PersonAnswered"
    assert world.told() == ["stuck", "cleared"]
    now = world.clock.now().wall
    world.gateway.change("agent:main:subagent:1", has_active_run=False, status=Status.DONE, ended_at=now)
    await world.live(minutes=90)
    assert world.told() == ["stuck", "cleared", "unanswered"], "nobody has woken it"


@pytest.mark.parametrize("dies", [False, True])
async def test_a_turn_of_ours_that_waits_for_its_subagents_has_answered_nobody(
    dies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    child = "agent:main:subagent:1"

    def goes_on(deed: Deed) -> Receipt:
        later = world.clock.now().wall + timedelta(seconds=1)
        world.gateway.put(vague(child, kind=SessionKind.SUBAGENT, has_active_run=True, parent_key=MAIN))
        world.gateway.change(MAIN, status=Status.DONE, started_at=later, updated_at=later, ended_at=later)
        mark = f"{world.attempts[0].incident}/1"
        yielded = frozenset({"sessions_yield"})
        world.gateway.see(MAIN, tail=asked(ALICE, kind=TailKind.TOOL_RESULT, deed_mark=mark, tools_called=yielded))
        return Receipt(deed.idempotency_key, "started")

    world.gateway.effect, world.gateway.delivery = goes_on, False
    await world.until_deed()
    if dies:
        with monkeypatch.context() as patch:
            patch.setattr(world.ledger, "close_incident", _die)
            with pytest.raises(_Killed):
                await world.live(minutes=2)
        world.die_and_start_again()
    await world.live(minutes=30)
    assert world.attempts[0].reason == "TurnWaits"
    assert [incident.outcome for incident in world.incidents] == [Outcome.CLEARED]
    assert world.told() == ["stuck", "cleared"]
    assert "no answer yet" in world.owed(MessageKind.CLEARED)[0].body
    now = world.clock.now().wall
    world.gateway.change(child, has_active_run=False, status=Status.DONE, ended_at=now)
    await world.live(minutes=90)
    assert len(world.steps) == 1
    assert world.told() == ["stuck", "cleared", "unanswered"], "nobody has woken it"


class _Killed(BaseException):
    """As after kill -9."""


def _die(*_: object, **__: object) -> bool:
    raise _Killed


async def test_a_question_survives_the_daemon_and_is_not_asked_again() -> None:
    world = _rules(world_with(shared(HERS, "1001"), asked(ALICE)))
    await world.until_deed()
    world.die_and_start_again()
    await world.live(hours=3)
    assert world.steps == [Step.ASK]


async def test_a_question_whose_answer_is_lost_is_never_repeated() -> None:
    world = _rules(world_with(shared(HERS, "1001"), asked(ALICE)))
    world.gateway.failing["perform"] = errors.OutcomeUnknown("no answer to send")
    await world.until_deed()
    world.gateway.failing.clear()
    await world.live(hours=6)
    assert world.steps == [Step.ASK]
    assert [(one.state, one.reason) for one in world.attempts] == [(AttemptState.ABANDONED, PERHAPS_ASKED)]
    assert [incident.outcome for incident in world.incidents] == [Outcome.OPEN]
    assert [message.title.split(":")[0] for message in world.owed(MessageKind.INEFFECTIVE)] == ["Perhaps not asked"]


async def test_who_wrote_again_and_was_answered_was_asked_well_enough() -> None:
    world = _rules(world_with(shared(HERS, "1001"), asked(ALICE)))
    world.gateway.failing["perform"] = errors.OutcomeUnknown("no answer to send")
    await world.until_deed()
    world.gateway.failing.clear()
    later = world.clock.now().wall
    world.gateway.finish(MAIN, by=ALICE, started_at=later, updated_at=later)
    await world.live(minutes=10)
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]
    assert world.owed(MessageKind.INEFFECTIVE) == []


async def test_what_a_gateway_says_once_of_a_delivery_survives_a_ledger_that_is_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """2026.5.18 says it on the turn's own connection, and never again."""
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    said = [False]
    noted, is_full = world.ledger.note_delivery, True

    async def delivered(_run: str) -> bool | None:
        return said.pop() if said else None

    def note_delivery(*args: Any, **named: Any) -> None:
        if is_full:
            raise errors.LedgerUnavailable("the disk is full")
        noted(*args, **named)

    await world.until_deed()
    monkeypatch.setattr(world.gateway, "delivered", delivered)
    monkeypatch.setattr(world.ledger, "note_delivery", note_delivery)
    with pytest.raises(errors.LedgerUnavailable):
        await world.live(hours=1)
    is_full = False
    await world.live(hours=1)
    assert [incident.outcome for incident in world.incidents] == [Outcome.UNDELIVERED]


async def test_what_was_said_of_one_attempt_is_said_of_no_other_with_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An older copy of the ledger gives a number out again."""
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    world.gateway.delivery = False
    await world.until_deed()
    with monkeypatch.context() as patch:

        def note_delivery(*_: Any) -> None:
            raise errors.LedgerUnavailable("away")

        patch.setattr(world.ledger, "note_delivery", note_delivery)
        with pytest.raises(errors.LedgerUnavailable):
            await world.live(hours=1)
    with world.ledger._file.writing() as transaction:
        transaction.execute("UPDATE attempts SET idempotency_key = 'ocw-another'")
    world.gateway.delivery = True
    await world.live(hours=1)
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]


async def test_a_question_whose_answer_could_not_be_written_down_is_settled_and_never_repeated() -> None:
    """The ledger was out of use between the question and its answer."""
    world = _rules(world_with(shared(HERS, "1001"), asked(ALICE)))
    settle, is_full = world.ledger.settle_attempt, True

    def settle_attempt(*args: Any, **named: Any) -> bool:
        if is_full:
            raise errors.LedgerUnavailable("the disk is full")
        return settle(*args, **named)

    world.ledger.settle_attempt = settle_attempt  # type: ignore[method-assign]
    with pytest.raises(errors.LedgerUnavailable):
        await world.until_deed()
    assert world.states == [("ask", "started")]
    is_full = False
    await world.live(hours=6)
    assert world.steps == [Step.ASK]
    assert [(one.state, one.reason) for one in world.attempts] == [(AttemptState.SUCCEEDED, ASKED)]
    assert world.owed(MessageKind.INEFFECTIVE) == []
    assert [incident.outcome for incident in world.incidents] == [Outcome.OPEN]
    later = world.clock.now().wall
    world.gateway.finish(MAIN, by=ALICE, started_at=later, updated_at=later)
    await world.live(minutes=2)
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]


async def test_whom_words_cannot_reach_no_harsher_step_is_tried_on() -> None:
    """The person has blocked the bot."""
    world = _rules(world_with(shared(HERS, "1001"), asked(ALICE)))
    world.gateway.failing["perform"] = errors.RequestRefused("403", code="UNAVAILABLE", retryable=True)
    await world.live(hours=6)
    assert world.steps == [Step.ASK]
    assert world.attempts[0].delivered is False
    assert [incident.outcome for incident in world.incidents] == [Outcome.QUARANTINED]


async def test_another_run_that_dies_after_the_question_is_another_interruption() -> None:
    world = _rules(world_with(shared(HERS, "1001"), asked(ALICE)))
    await world.until_deed()
    again = BOOT - timedelta(minutes=1)
    world.gateway.change(MAIN, started_at=again, updated_at=again)
    await world.live(hours=2)
    assert world.steps == [Step.ASK, Step.ASK]


# ---------------------------------------------------------------- rows that refuse their people


def _deaf(world: World, key: str = MAIN, times: int = 2) -> None:
    """A message waits and is refused ``times`` times."""
    for _ in range(times):
        at = world.clock.now().wall
        world.gateway.change(key, last_interaction_at=at, updated_at=at)


async def _knock(world: World, times: int) -> None:
    for _ in range(times):
        _deaf(world, times=1)
        await world.live(seconds=60)


async def test_who_waits_at_a_deaf_row_is_let_in_without_a_turn_of_ours() -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.until_deed()
    assert heard(world) == [("free", None)]
    assert SECRET not in str(world.gateway.performed[0].message)
    await world.live(minutes=2)
    assert world.states == [("free", "succeeded")]
    assert [incident.outcome for incident in world.incidents] == [Outcome.OPEN], "nobody was answered yet"
    later = world.clock.now().wall
    world.gateway.finish(MAIN, by=ALICE, started_at=later, updated_at=later)
    await world.live(minutes=2)
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]
    assert world.attempts[0].verified_by == "PersonAnswered"


async def test_a_run_older_than_the_one_that_was_freed_is_no_answer_to_who_waited() -> None:
    """The session store was put back from a copy."""
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.until_deed()
    await world.live(minutes=2)
    assert world.states == [("free", "succeeded")]
    before = BOOT - timedelta(days=1)
    world.gateway.finish(MAIN, by=ALICE, started_at=before, updated_at=before)
    await world.live(minutes=2)
    assert [incident.outcome for incident in world.incidents] == [Outcome.CLEARED]


async def test_a_freed_row_at_which_nobody_is_answered_is_told() -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.until_deed()
    await world.live(hours=2)
    assert world.states == [("free", "succeeded")]
    assert [incident.outcome for incident in world.incidents] == [Outcome.FAILED]
    assert world.told() == ["stuck", "ineffective"]


@pytest.mark.parametrize(
    ("row", "tail", "steps"),
    [
        (shared(HERS, "1001"), asked(ALICE), [Step.FREE]),
        (shared(HERS, "1001"), asked(ALICE, kind=TailKind.ANSWERED), [Step.FREE, Step.NEW]),
        (shared(), asked(replace(ALICE, channel="telegram", account_id="default")), [Step.ASK]),
    ],
)
async def test_who_knocks_without_a_pause_is_let_in_all_the_same(
    row: Session, tail: TranscriptTail, steps: list[Step]
) -> None:
    """Each retry moves ``updatedAt``: the row is never at rest for as long as a person may be writing to it."""
    world = world_with(row, tail, version=V96)
    world.gateway.effect = world.gateway.nothing
    await world.live(minutes=1)
    for _ in range(180):
        await _knock(world, 1)
        if len(world.steps) == len(steps):
            break
    assert world.steps == steps


async def test_a_turn_waits_until_the_knocks_end() -> None:
    """Freeing the row did not help, and whoever touches it may be writing."""
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96, ladder=(Step.RESUME,))
    world.gateway.effect = world.gateway.nothing
    await world.live(minutes=1)
    await _knock(world, 90)
    assert world.steps == [Step.FREE]
    await world.live(hours=1)
    assert world.steps == [Step.FREE, Step.RESUME]


@pytest.mark.parametrize("knocks", [0, 1])
async def test_without_proof_that_somebody_waits_no_row_is_freed(knocks: int) -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    await world.live(minutes=1)
    await _knock(world, knocks)
    await world.until_deed()
    assert world.steps == [Step.RESUME]


async def test_a_row_is_freed_once() -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    world.gateway.effect = world.gateway.nothing
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.live(hours=3)
    assert world.steps.count(Step.FREE) == 1
    assert world.steps[:2] == [Step.FREE, Step.RESUME]


async def test_a_requester_who_is_not_the_one_waiting_is_asked_before_the_row_is_freed() -> None:
    told = replace(ALICE, channel="telegram", account_id="default")
    world = world_with(shared(), asked(told), version=V96)
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.live(hours=1)
    assert heard(world) == [("ask", "telegram:1001"), ("free", None)]


async def test_an_answered_row_that_refuses_its_people_is_freed() -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE, kind=TailKind.ANSWERED), version=V96)
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.until_deed()
    assert world.steps == [Step.FREE]


async def test_a_row_that_was_not_freed_by_us_and_is_free_later_was_recovered_by_nobody_here() -> None:
    """Ours was never sent, or changed nothing; its gateway died, and who waited was answered after that."""
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96, ladder=(Step.ASK,))
    world.gateway.failing["perform"] = errors.OutcomeUnknown("no answer to sessions.send")
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.until_deed()
    world.gateway.failing.clear()
    while world.states == [("free", "indeterminate")]:
        await world.look()
        world.clock.advance(5)
    assert world.states == [("free", "ineffective")]
    later = world.clock.now().wall
    world.gateway.finish(MAIN, by=ALICE, started_at=later, updated_at=later)
    await world.live(minutes=2)
    assert [incident.outcome for incident in world.incidents] == [Outcome.CLEARED]


@pytest.mark.parametrize(
    ("tail", "is_named"),
    [
        (asked(ALICE, kind=TailKind.ANSWERED), True),
        (asked(ALICE, kind=TailKind.ANSWERED, deed_mark="i-1/1", overtaken_mark="i-1/1"), True),
        (asked(ALICE, kind=TailKind.ANSWERED, deed_mark="i-1/1"), False),
        (asked(ALICE), False),
    ],
    ids=["answered", "answered after a turn of ours", "our own turn was answered", "not answered"],
)
async def test_an_answer_that_nobody_heard_is_named_when_its_row_is_found_and_when_it_is_freed(
    tail: TranscriptTail, is_named: bool
) -> None:
    world = world_with(shared(HERS, "1001"), replace(tail, last_answer=SECRET), version=V96)
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.until_deed()
    await world.live(minutes=2)
    later = world.clock.now().wall
    world.gateway.finish(MAIN, by=ALICE, started_at=later, updated_at=later)
    await world.live(minutes=2)
    assert world.states == [("free", "succeeded")]
    (found,), (over,) = world.owed(MessageKind.STUCK), world.owed(MessageKind.RECOVERED)
    for message in (found, over):
        assert ("did not reach the person" in message.body) is is_named
        assert SECRET not in message.body
    assert ("Nothing is left to do" in over.body) is not is_named


@pytest.mark.parametrize(
    ("ladder", "steps", "is_given_up"),
    [((Step.RESUME, Step.NEW), [Step.FREE, Step.NEW], True), ((Step.RESUME,), [Step.FREE], False)],
)
async def test_where_freeing_an_answered_row_lets_nobody_in_a_fresh_session_does(
    ladder: tuple[Step, ...], steps: list[Step], is_given_up: bool
) -> None:
    """Where the ladder has one, and if that does not either, an operator is told; where it has none, finished work is left to its
    people as before."""
    world = world_with(shared(HERS, "1001"), asked(ALICE, kind=TailKind.ANSWERED), version=V96, ladder=ladder)
    world.gateway.effect = world.gateway.nothing
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.live(minutes=60)
    assert world.steps == steps
    assert bool(world.ledger.quarantines()) is is_given_up


@pytest.mark.parametrize("kind", [TailKind.ANSWERED, TailKind.STOPPED])
async def test_what_was_answered_or_stopped_is_not_quoted_to_be_sent_again(kind: TailKind) -> None:
    over = asked(ALICE, kind=kind, has_pending_input=False)
    world = world_with(shared(HERS, "1001"), over, version=V96, ladder=(Step.NEW,))
    world.gateway.effect = world.gateway.nothing
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.live(hours=1)
    assert world.steps == [Step.FREE, Step.NEW]
    notice = world.gateway.performed[-1].notice
    assert notice is not None
    assert SECRET not in notice
    assert "again" not in notice


@pytest.mark.parametrize(
    ("ladder", "steps"),
    [((Step.RESUME, Step.NEW), [Step.FREE, Step.NEW]), ((Step.RESUME,), [Step.FREE]), ((Step.ASK,), [Step.FREE])],
)
async def test_who_stopped_a_run_and_is_shut_out_is_let_in_and_asked_nothing(
    ladder: tuple[Step, ...], steps: list[Step]
) -> None:
    """9.6: the end of a stopped run could not be written."""
    stopped = asked(ALICE, kind=TailKind.STOPPED, has_pending_input=False)
    world = world_with(shared(HERS, "1001"), stopped, version=V96, ladder=ladder)
    world.gateway.effect = world.gateway.nothing
    await world.live(hours=1)
    for _ in range(4):
        await _knock(world, 2)
        await world.live(minutes=10)
    assert world.steps == [], "so does a person write; a message that is refused knocks again within seconds"
    assert (world.held(), world.told()) == (["stopped_by_person"], ["stuck"]), "whoever it is, somebody is told"
    await _knock(world, 3)
    await world.live(hours=1)
    assert world.steps == steps


@pytest.mark.parametrize(
    ("version", "pending", "held", "told"),
    [
        (V96, True, [], []),
        (V96, None, ["stopped_by_person"], ["stuck"]),
        ("2026.7.2", False, ["stopped_by_person"], ["stuck"]),
    ],
    ids=["their words wait", "perhaps their words wait", "reported alone (#120315)"],
)
async def test_a_row_that_may_take_words_after_all_is_told_alone_once_its_run_was_stopped(
    version: str, pending: bool | None, held: list[str], told: list[str]
) -> None:
    """There the message that frees a row would begin a turn."""
    stopped = asked(ALICE, kind=TailKind.STOPPED, has_pending_input=pending)
    world = world_with(shared(HERS, "1001"), stopped, version=version)
    world.gateway.be(busy=0)
    await world.live(minutes=1)
    await _knock(world, 5)
    await world.live(hours=2)
    assert (world.steps, world.held(), world.told()) == ([], held, told)


async def test_early_gateways_have_no_deaf_rows() -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V324)
    await world.live(minutes=1)
    await _knock(world, 3)
    await world.until_deed()
    assert world.steps == [Step.RESUME]


# ---------------------------------------------------------------- whose stop


async def _stopped(version: str) -> World:
    world = world_with(shared(HERS, "1001", aborted_last_run=False), asked(ALICE), version=version)
    await world.live(minutes=3)
    world.gateway.change(MAIN, aborted_last_run=True, updated_at=world.clock.now().wall)
    await world.live(minutes=1)
    return world


@pytest.mark.parametrize("version", [V324, V96])
async def test_a_stop_typed_at_a_dead_run_is_a_stop(version: str) -> None:
    world = await _stopped(version)
    await world.live(hours=4)
    assert world.steps == []
    assert "stopped_by_person" in world.held()
    assert len(world.log.of(Event.SESSION_STOPPED)) == 1


@pytest.mark.parametrize("restarts", ["ours", "the gateway's", "both"])
async def test_a_stop_outlives_us_and_the_gateway(restarts: str) -> None:
    world = await _stopped(V324)
    if restarts != "ours":
        world.gateway.restart()
        world.gateway.change(MAIN, aborted_last_run=False)
    if restarts != "the gateway's":
        world.die_and_start_again()
    await world.live(hours=4)
    assert world.steps == []
    assert "stopped_by_person" in world.held()


async def test_a_request_that_the_gateway_took_up_again_stays_stopped() -> None:
    """5.18, 8.2 and 9.6 carry a stopped request out themselves after a restart; we do not join in."""
    world = await _stopped(V324)
    world.gateway.restart()
    again = world.clock.now().wall - timedelta(minutes=30)
    world.gateway.change(MAIN, started_at=again, updated_at=again, aborted_last_run=False)
    await world.live(hours=4)
    assert world.steps == []


async def test_words_said_after_a_stop_are_a_new_request() -> None:
    world = await _stopped(V324)
    world.gateway.restart()
    now = world.clock.now().wall
    world.gateway.change(MAIN, started_at=now, updated_at=now, aborted_last_run=False)
    world.gateway.see(MAIN, tail=replace(asked(ALICE), asked=(Asked(ALICE, "something else", now),), at=now))
    world.gateway.restart()
    await world.until_deed()
    assert world.steps == [Step.RESUME]


async def test_a_mark_that_was_there_at_the_first_look_may_be_an_old_stop() -> None:
    """The gateway's own recovery or a stop: nothing tells the two apart. So nothing is gone on with."""
    world = world_with(shared(HERS, "1001", aborted_last_run=True), asked(ALICE), version=V96)
    await world.live(hours=2)
    assert heard(world) == [("ask", "telegram:1001")]


async def test_a_mark_that_came_with_a_restart_is_nobodys_stop() -> None:
    world = world_with(shared(HERS, "1001", aborted_last_run=False), asked(ALICE), version=V96)
    await world.live(minutes=3)
    world.gateway.restart()
    world.gateway.change(MAIN, aborted_last_run=True, updated_at=world.clock.now().wall)
    await world.live(minutes=3)
    assert not world.log.of(Event.SESSION_STOPPED)


@pytest.mark.parametrize(
    ("version", "minutes", "is_stop"), [(V518, 0.5, False), (V518, 10, True), (V324, 0.5, True), (V96, 0.5, True)]
)
async def test_a_mark_and_a_touch_soon_after_a_start_may_be_the_gateways_own(
    version: str, minutes: float, is_stop: bool
) -> None:
    """2026.5.18 on a busy machine: between two looks it marked the row and began to resume it. The others mark nothing, or earlier."""
    world = world_with(shared(HERS, "1001", aborted_last_run=False), asked(ALICE), version=version)
    await world.live(minutes=3)
    world.gateway.restart()
    await world.live(minutes=minutes)
    world.gateway.change(MAIN, aborted_last_run=True, updated_at=world.clock.now().wall)
    await world.live(minutes=3)
    assert bool(world.log.of(Event.SESSION_STOPPED)) is is_stop
    await world.live(hours=4)
    assert Step.RESUME not in world.steps, "it may be a stop all the same"


@pytest.mark.parametrize("taken_up", [False, True])
async def test_what_may_have_been_a_stop_is_asked_about_after_the_next_start_too(taken_up: bool) -> None:
    """A start clears the flag and nothing else of the row. Another run is another matter."""
    world = world_with(shared(HERS, "1001", aborted_last_run=False), asked(ALICE), version=V518)
    await world.live(minutes=3)
    world.gateway.restart()
    await world.live(minutes=0.5)
    world.gateway.change(MAIN, aborted_last_run=True, updated_at=world.clock.now().wall)
    await world.live(minutes=3)
    world.gateway.restart()
    again = {"started_at": world.clock.now().wall - timedelta(minutes=1)} if taken_up else {}
    world.gateway.change(MAIN, aborted_last_run=False, **again)
    await world.until_deed()
    assert world.steps == ([Step.RESUME] if taken_up else [Step.ASK])
    assert not world.log.of(Event.SESSION_STOPPED)


async def test_a_mark_that_does_not_touch_the_row_is_the_gateways_own() -> None:
    """2026.5.18 marks a row for its own recovery after it has listed it once (its transcript's lock was left over)."""
    world = world_with(shared(HERS, "1001", aborted_last_run=False), asked(ALICE), version=V518)
    await world.live(minutes=3)
    world.gateway.change(MAIN, aborted_last_run=True)
    await world.live(hours=4)
    assert not world.log.of(Event.SESSION_STOPPED)
    assert "stopped_by_person" not in world.held()
    assert heard(world) == [("ask", "telegram:1001")], "it may be a stop of before: nothing is gone on with"


# ---------------------------------------------------------------- the answer


async def test_a_chat_app_that_is_away_holds_the_deed_and_is_said() -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE))
    world.gateway.channel_problem = "home: telegram cannot be reached (it answers 502)"
    await world.live(hours=1)
    assert world.steps == []
    assert world.held() == ["channel_down"]
    world.gateway.channel_problem = None
    await world.until_deed()
    assert world.steps == [Step.RESUME]


async def test_what_the_chat_apps_spool_will_bring_again_is_not_resumed() -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE))
    world.gateway.spooled.add(MAIN)
    await world.live(hours=1)
    assert world.steps == []
    assert world.held() == ["gateway_recovering"]
    world.gateway.spooled.clear()
    await world.until_deed()


@pytest.mark.parametrize(
    ("delivered", "outcome"), [(True, Outcome.RECOVERED), (None, Outcome.RECOVERED), (False, Outcome.UNDELIVERED)]
)
async def test_recovered_means_that_the_person_has_the_answer(delivered: bool | None, outcome: Outcome) -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    world.gateway.delivery = delivered
    await world.until_deed()
    await world.live(hours=2)
    assert world.states == [("resume", "succeeded")]
    assert world.attempts[0].delivered is delivered
    assert [incident.outcome for incident in world.incidents] == [outcome]
    assert ("recovered" in world.told()) is (outcome is Outcome.RECOVERED)
    assert world.steps == [Step.RESUME], "it is not said again"


async def test_a_turn_whose_answer_was_lost_is_asked_after_by_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make sim SEED=1151`: 9.6, killed before the run was noted, and the person had blocked the bot."""
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    world.gateway.delivery = False
    runs: list[str] = []

    async def delivered(run_id: str) -> bool | None:
        runs.append(run_id)
        return world.gateway.delivery

    def lost(deed: Deed) -> Receipt:
        world.gateway.cure(deed)
        raise errors.OutcomeUnknown("home: no answer.")

    monkeypatch.setattr(world.gateway, "delivered", delivered)
    world.gateway.effect = lost
    await world.until_deed()
    await world.live(hours=2)
    assert runs == [world.attempts[0].idempotency_key]
    assert [incident.outcome for incident in world.incidents] == [Outcome.UNDELIVERED]


async def test_who_dies_between_proof_and_closing_remembers_that_it_was_not_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    world.gateway.delivery = False
    settle = world.ledger.settle_attempt

    class Killed(BaseException):
        pass

    def killed(*args: Any, **named: Any) -> bool:
        settle(*args, **named)
        raise Killed

    await world.until_deed()
    monkeypatch.setattr(world.ledger, "settle_attempt", killed)
    with pytest.raises(Killed):
        await world.live(hours=1)
    monkeypatch.undo()
    world.die_and_start_again()
    await world.live(hours=1)
    assert [incident.outcome for incident in world.incidents] == [Outcome.UNDELIVERED]


@pytest.mark.parametrize(
    ("delivered", "mark", "outcome"),
    [
        (False, "its own", Outcome.UNDELIVERED),
        (True, "its own", Outcome.RECOVERED),
        (None, "its own", Outcome.RECOVERED),
        (False, "further up", Outcome.UNDELIVERED),
        (False, "unreadable", Outcome.UNDELIVERED),
        (False, "another's", Outcome.RECOVERED),
        (False, "overtaken", Outcome.RECOVERED),
        (False, "waits", Outcome.CLEARED),
    ],
)
async def test_a_turn_that_ended_after_it_was_given_up_is_asked_after(
    delivered: bool | None, mark: str, outcome: Outcome
) -> None:
    """`make sim SEED=1263`: 9.6, a provider that took ten minutes, and the person had blocked the bot."""
    world = world_with(shared(HERS, "1001"), asked(ALICE), version=V96)
    world.gateway.effect = world.gateway.hang
    world.gateway.delivery = delivered
    await world.until_deed()
    await world.live(minutes=3)
    (attempt,) = world.attempts
    assert attempt.reason == "NewRunSilent"
    own = f"{attempt.incident}/{attempt.number}"
    written = {"further up": None, "another's": "i9/1"}.get(mark, own)
    overtaken = own if mark == "overtaken" else None
    world.gateway.see(MAIN, tail=asked(ALICE, kind=TailKind.ANSWERED, deed_mark=written, overtaken_mark=overtaken))
    if mark == "waits":
        waits = asked(ALICE, kind=TailKind.TOOL_RESULT, deed_mark=own, tools_called=frozenset({"sessions_yield"}))
        world.gateway.see(MAIN, tail=waits)
    if mark == "unreadable":
        world.gateway.failing["look"] = errors.GatewayUnresponsive("home: no answer within 10s.")
    world.gateway.change(MAIN, status=Status.DONE, has_active_run=False)
    await world.live(minutes=3)
    assert [incident.outcome for incident in world.incidents] == [outcome]
    titles = [message.title for message in world.owed(MessageKind.INEFFECTIVE)]
    assert any(title.startswith("Not delivered") for title in titles) is (outcome is Outcome.UNDELIVERED)


async def test_a_fresh_session_that_its_person_was_not_told_of_is_not_recovered() -> None:
    world = world_with(shared(HERS, "1001"), asked(ALICE), ladder=(Step.NEW,))

    def reset_unheard(deed: Deed) -> Receipt:
        world.gateway.cure(deed)
        return Receipt(None, "sessions.reset: ok; not told: 403", delivered=False)

    world.gateway.effect = reset_unheard
    await world.until_deed()
    await world.live(minutes=2)
    assert [incident.outcome for incident in world.incidents] == [Outcome.UNDELIVERED]


async def test_an_aborted_run_is_ended_and_not_recovered() -> None:
    book = PolicyBook(default=policy(ladder=(Step.ABORT,)))
    world = World(book=book, version=V96)
    world.gateway.put(dead(started_at=START.wall - timedelta(minutes=1), has_active_run=True))

    def kill(deed: Deed) -> Receipt:
        world.gateway.change(deed.session.key, status=Status.KILLED, has_active_run=False)
        return Receipt(None, "aborted")

    world.gateway.effect = kill
    await world.until_deed(minutes=180)
    await world.live(minutes=2)
    assert [incident.outcome for incident in world.incidents] == [Outcome.ENDED]
    assert "works again" not in world.owed()[-1].body


async def test_a_row_that_324_leaves_running_after_our_turn_counts_as_ended() -> None:
    world = world_with(shared(), asked(replace(ALICE, channel="telegram")))

    def agent(deed: Deed) -> Receipt:
        mark = f"{world.incidents[0].id}/1"
        ended = world.clock.now().wall + timedelta(seconds=3)
        world.gateway.change(MAIN, ended_at=ended, updated_at=ended)
        world.gateway.see(
            MAIN, tail=tail_of(TailKind.ANSWERED, by=ALICE, deed_mark=mark, deed_at=ended, fingerprint="t2")
        )
        return Receipt("run-1", "accepted")

    world.gateway.effect = agent
    await world.until_deed()
    await world.live(hours=3)
    assert world.states == [("resume", "succeeded")]
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]
    assert len(world.incidents) == 1, "what is left of the row is no new case"


async def test_an_empty_conversation_is_never_sent_a_turn() -> None:
    world = world_with(shared(HERS, "1001"), asked(kind=TailKind.EMPTY))
    await world.live(hours=1)
    assert world.steps == []
