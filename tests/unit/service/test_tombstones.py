"""Sessions that their gateway's restart recovery has given up: shut for everybody, reset where somebody writes from a chat app,
recovered where nobody does, told in any case, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.builders import BOOT, budget, dead, lenient, tail_of
from tests.fakes.clock import START
from tests.fakes.world import World
from watchdog.core.model import Session, SessionKind, Status, TailKind
from watchdog.core.policy import Mode, PolicyBook, Step
from watchdog.core.recovery import AttemptState
from watchdog.service import errors
from watchdog.service.events import Event
from watchdog.service.ledger import MessageKind, Outcome
from watchdog.service.ports import Deed, Receipt

KEY = "agent:main:telegram:direct:1001"
DASHBOARD = "agent:main:dashboard:1"
SUCCESSOR = "agent:main:dashboard:2"
SHUT = "ended during restart recovery"


def tombstone(key: str = KEY, **changes: Any) -> Session:
    """As 2026.8.2 and 9.6 list it."""
    ended = START.wall - timedelta(days=2)
    made = dead(
        key,
        status=Status.FAILED,
        started_at=ended - timedelta(hours=1),
        ended_at=ended,
        updated_at=ended,
        restart_recovery_status="tombstoned",
        aborted_last_run=False,
        active_run_ids=(),
    )
    return replace(made, **changes)


def world_of(*rows: Session, ladder: tuple[Step, ...] = (Step.RESUME, Step.NEW), **recovery: Any) -> World:
    world = World(book=PolicyBook(default=lenient(ladder=ladder, **recovery)))
    world.gateway.put(*rows)
    return world


def reset(world: World) -> None:
    """9.6 keeps the session's id, and clears the row."""

    def effect(deed: Deed) -> Receipt:
        world.gateway.change(
            deed.session.key, status=Status.ABSENT, started_at=None, ended_at=None, restart_recovery_status=None
        )
        return Receipt(None, "sessions.reset: ok")

    world.gateway.effect = effect


# ---------------------------------------------------------------- with a chat


async def test_one_with_a_chat_found_at_the_start_is_reset_once_and_told() -> None:
    world = world_of(tombstone())
    reset(world)
    took = await world.until_deed()
    assert timedelta(minutes=5) <= took <= timedelta(minutes=6), (
        "within the grace after we connected nothing is touched"
    )
    await world.live(hours=2)
    assert world.states == [("new", "succeeded")]
    assert world.attempts[0].reason == "RowCleared"
    assert world.told() == ["stuck", "recovered"]
    assert world.owed()[0].title.startswith("Takes no messages")
    assert world.incidents[0].outcome is Outcome.RECOVERED


async def test_nothing_is_said_in_the_chat_and_what_was_asked_is_saved() -> None:
    """The gateway has told them itself; a second message would only say it again."""
    world = world_of(tombstone())
    reset(world)
    await world.until_deed()
    (deed,) = world.gateway.performed
    assert (deed.step, deed.route, deed.notice, deed.message) == (Step.NEW, None, None, None)
    assert len(world.notes.saved) == 1


@pytest.mark.parametrize("kind", [TailKind.ANSWERED, TailKind.TOOL_RESULT, TailKind.EMPTY])
async def test_however_its_conversation_ends_a_reset_takes_nothing_that_can_be_used(kind: TailKind) -> None:
    world = world_of(tombstone())
    world.gateway.see(KEY, tail=tail_of(kind))
    reset(world)
    await world.until_deed()
    assert world.steps == [Step.NEW]


async def test_neither_words_nor_a_recovery_are_ever_sent_to_one_with_a_chat() -> None:
    world = world_of(tombstone(), ladder=(Step.ASK, Step.RESUME, Step.RECOVER))
    world.gateway.be(more_methods=frozenset({"sessions.recover"}))
    await world.live(hours=2)
    assert world.steps == []
    assert world.told() == ["stuck"]
    (message,) = world.owed()
    assert "--step reset" in message.body
    assert "Do not use `sessions.recover`" in message.body


async def test_one_that_is_still_shut_after_the_reset_is_not_called_recovered() -> None:
    world = world_of(tombstone())
    world.gateway.effect = lambda deed: Receipt(None, "sessions.reset: ok")
    await world.until_deed()
    await world.live(hours=1)
    assert world.states == [("new", "ineffective")]
    assert world.attempts[0].reason == "StillGivenUp"
    assert "recovered" not in world.told()
    assert world.told()[-1] == "quarantined"


async def test_without_admin_it_is_told_once_with_what_a_person_can_do() -> None:
    world = world_of(tombstone())
    world.gateway.scope_problems[Step.NEW] = "`new` needs operator.admin"
    await world.live(hours=3)
    assert world.steps == []
    assert world.told() == ["stuck"]
    assert f"recover {KEY} --step reset" in world.owed()[0].body
    assert world.held() == ["scope_missing"]


async def test_observed_only_it_is_told_once() -> None:
    world = world_of(tombstone(), mode=Mode.OBSERVE)
    await world.live(hours=1)
    assert (world.steps, world.told()) == ([], ["stuck"])


async def test_a_dozen_found_together_open_no_fleet_breaker_and_are_reset_one_at_a_time() -> None:
    world = world_of(*(tombstone(f"agent:main:telegram:direct:{number}") for number in range(12)))
    reset(world)
    await world.live(hours=2)
    assert len(world.steps) == 12
    assert not world.log.of(Event.FLEET_BREAKER_OPENED)
    assert max(report.in_flight for report in world.reports) == 1


async def test_however_many_there_are_who_is_stuck_now_does_not_wait_for_them() -> None:
    old = [tombstone(f"agent:main:telegram:direct:{number}") for number in range(12)]
    world = world_of(*old, dead("agent:main:telegram:direct:2002"), gateway_budget=budget(4, hours=1))
    reset(world)
    await world.until_deed(3)
    assert world.steps == [Step.NEW, Step.NEW, Step.RESUME]
    await world.live(minutes=20)
    assert len(world.steps) == 3, "what is left of the budget is not for tombstones"


async def test_who_is_stuck_now_comes_first_when_both_may_be_helped() -> None:
    world = world_of(tombstone(), dead("agent:main:telegram:direct:2002"))
    world.ledger.pause(
        at=START.wall, until=START.wall + timedelta(minutes=30), gateway=None, session=None, reason="", who="me"
    )
    await world.until_deed()
    assert world.gateway.performed[0].session.key == "agent:main:telegram:direct:2002"


async def test_what_a_person_has_reset_in_time_is_left_alone() -> None:
    world = world_of(tombstone())
    await world.live(minutes=3)
    world.gateway.change(KEY, status=Status.ABSENT, started_at=None, ended_at=None, restart_recovery_status=None)
    await world.live(hours=1)
    assert world.steps == []
    assert world.incidents[0].outcome is Outcome.CLEARED


async def test_a_person_who_resets_it_at_the_last_moment_keeps_what_they_began() -> None:
    world = world_of(tombstone())
    world.gateway.at_fence = lambda: world.gateway.change(
        KEY, status=Status.RUNNING, started_at=START.wall, has_active_run=True, restart_recovery_status=None
    )
    await world.live(hours=1)
    assert world.steps == []


async def test_a_tombstone_at_work_is_alive() -> None:
    world = world_of(tombstone(has_active_run=True))
    await world.live(minutes=30)
    assert (world.steps, world.told()) == ([], [])


async def test_a_message_that_waits_there_is_not_thrown_away() -> None:
    world = world_of(tombstone())
    world.gateway.see(KEY, tail=tail_of(has_pending_input=True))
    await world.live(hours=1)
    assert (world.steps, world.held()) == ([], ["pending_input"])


async def test_a_stopped_request_is_told_and_its_conversation_is_kept() -> None:
    world = world_of(tombstone())
    world.gateway.see(KEY, tail=tail_of(TailKind.STOPPED))
    await world.live(hours=1)
    assert (world.steps, world.held(), world.told()) == ([], ["stopped_by_person"], ["stuck"])


async def test_a_daemon_that_starts_again_tells_nothing_twice() -> None:
    world = world_of(tombstone(), ladder=(Step.RESUME,))
    await world.live(minutes=10)
    world.die_and_start_again()
    await world.live(minutes=30)
    assert world.told() == ["stuck"]
    assert len(world.incidents) == 1


async def test_its_transcript_is_read_once_and_not_at_every_poll() -> None:
    world = world_of(tombstone(), ladder=(Step.RESUME,))
    await world.live(hours=1)
    assert world.gateway.calls.count("look") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("is_waiting_unread", True),
        ("pending_approvals", 1),
        ("pending_questions", 1),
        ("will_redeliver", True),
        ("problems", ("config.get: no answer",)),
        ("tail", tail_of(has_pending_input=True)),
        ("tail", tail_of(has_run_in_flight=True)),
        ("tail", None),
    ],
)
async def test_what_may_pass_is_looked_at_again_until_it_has_passed(field: str, value: object) -> None:
    world = world_of(tombstone(), ladder=(Step.RESUME,))
    world.gateway.shown = {field: value}
    await world.live(minutes=30)
    looks = world.gateway.calls.count("look")
    assert looks > 10
    world.gateway.shown = {}
    await world.live(minutes=30)
    assert world.gateway.calls.count("look") == looks + 1


async def test_lists_that_could_not_be_read_at_the_first_look_hold_it_no_longer_than_that() -> None:
    world = world_of(tombstone())
    reset(world)
    world.gateway.shown = {"is_waiting_unread": True}
    await world.live(minutes=30)
    assert (world.steps, world.held()) == ([], ["waiting_unknown"])
    world.gateway.shown = {}
    await world.live(minutes=5)
    assert world.states == [("new", "succeeded")]


async def test_one_that_was_seen_running_before_is_told_as_what_it_is() -> None:
    """It was stuck, its gateway took it up after a restart and gave it up: the incident goes on, and says so."""
    world = world_of(dead(KEY), ladder=(Step.NOTIFY,))
    await world.live(minutes=40)
    world.gateway.change(
        KEY, status=Status.FAILED, restart_recovery_status="tombstoned", ended_at=world.clock.now().wall
    )
    await world.live(minutes=40)
    assert [message.title.split(":")[0] for message in world.owed()] == ["Stuck", "Takes no messages"]
    assert len(world.incidents) == 1
    assert world.incidents[0].closed_at is None


async def test_a_send_that_is_refused_as_ended_proves_it_whatever_the_row_says() -> None:
    """2026.8.2: the row goes on saying ``running``. Neither the next words nor a question follow, but the reset."""
    world = world_of(dead(KEY), ladder=(Step.RESUME, Step.ASK, Step.NEW))
    refused = f'Session "{KEY}" {SHUT}. Use /new or /reset to start a replacement session.'
    world.gateway.failing["perform"] = errors.RequestRefused("home: refused", code="INVALID_REQUEST", detail=refused)
    await world.until_deed()
    del world.gateway.failing["perform"]
    reset(world)
    await world.live(minutes=30)
    assert world.states == [("resume", "refused"), ("new", "succeeded")]
    assert world.gateway.performed[-1].notice is None


# ---------------------------------------------------------------- without one, or not to be touched


def _recovered(world: World, *, is_answer_lost: bool = False, status: Status = Status.DONE) -> None:
    """The source is archived and leaves the list; its successor names it (2026.8.2, 9.6)."""

    def effect(deed: Deed) -> Receipt:
        began = world.clock.now().wall + timedelta(seconds=1)
        before = world.gateway.rows.pop(deed.session.key)
        world.gateway.see(SUCCESSOR, tail=tail_of(TailKind.ANSWERED))
        world.gateway.put(
            replace(
                before,
                key=SUCCESSOR,
                session_id="sid-successor",
                previous_session_id=before.session_id,
                status=status,
                started_at=began,
                updated_at=began,
                ended_at=began,
                restart_recovery_status=None,
            )
        )
        if is_answer_lost:
            raise errors.OutcomeUnknown("home: the answer was lost.")
        return Receipt("restart-recovery-rollover:sid-successor", "sessions.recover: ok")

    world.gateway.effect = effect


def _web(**changes: Any) -> Session:
    return tombstone(DASHBOARD, reply_address=None, channel=None, kind=SessionKind.OTHER, **changes)


@pytest.mark.parametrize("is_answer_lost", [False, True])
async def test_one_without_a_chat_is_recovered_and_proved_where_it_goes_on(is_answer_lost: bool) -> None:
    world = world_of(_web(), ladder=(Step.RECOVER, Step.NEW))
    world.gateway.be(more_methods=frozenset({"sessions.recover"}))
    _recovered(world, is_answer_lost=is_answer_lost)
    await world.until_deed()
    await world.live(minutes=30)
    assert world.states == [("recover", "succeeded")]
    assert world.attempts[0].reason == "NewRunDone"
    (message,) = world.owed(MessageKind.RECOVERED)
    assert f"It goes on as {SUCCESSOR}" in message.body


@pytest.mark.parametrize("is_answer_lost", [False, True])
async def test_a_recovery_whose_run_fails_is_not_called_one(is_answer_lost: bool) -> None:
    world = world_of(dead("agent:main:other", status=Status.DONE), _web(), ladder=(Step.RECOVER, Step.NEW))
    world.gateway.be(more_methods=frozenset({"sessions.recover"}))
    _recovered(world, is_answer_lost=is_answer_lost, status=Status.FAILED)
    await world.until_deed()
    await world.live(minutes=30)
    assert world.states == [("recover", "ineffective")]
    assert "recovered" not in world.told()
    (in_vain,), (closed,) = world.owed(MessageKind.INEFFECTIVE), world.owed(MessageKind.CLEARED)
    assert f"No further step follows: the conversation is kept as {SUCCESSOR} now" in in_vain.body
    assert f"its conversation is kept as {SUCCESSOR} now" in closed.body


async def test_a_recovery_after_which_nothing_has_run_is_not_called_one() -> None:
    """The session in which it was to go on is there, and says of no run."""
    world = world_of(_web(), ladder=(Step.RECOVER,))
    world.gateway.be(more_methods=frozenset({"sessions.recover"}))
    _recovered(world, status=Status.ABSENT)
    await world.until_deed()
    world.gateway.change(SUCCESSOR, started_at=None, ended_at=None)
    await world.live(seconds=60)
    assert world.states == [("recover", "started")]
    await world.live(minutes=30)
    assert world.states == [("recover", "ineffective")]
    assert world.attempts[0].reason == "NothingRan"
    assert "recovered" not in world.told()


async def test_one_without_a_chat_keeps_its_words_where_the_ladder_would_begin_afresh() -> None:
    world = world_of(_web())
    await world.live(hours=1)
    assert (world.steps, world.told()) == ([], ["stuck"])
    assert f"recover {DASHBOARD} --step recover" in world.owed()[0].body


async def test_the_main_session_without_an_address_is_nobodys_to_choose() -> None:
    """A chat may lead to it, which a recovery would cut off, or only the dashboard, for which a reset would forget too much."""
    main = tombstone("agent:main:main", kind=SessionKind.MAIN, reply_address=None)
    world = world_of(main, ladder=(Step.RECOVER, Step.NEW))
    await world.live(hours=1)
    assert (world.steps, world.told()) == ([], ["stuck"])
    (message,) = world.owed()
    assert "--step recover" not in message.body, "pasted, it would cut the chat off"
    assert "recover agent:main:main --step reset" in message.body
    assert "Do not use `sessions.recover`" in message.body


@pytest.mark.parametrize(
    "changes",
    [{"is_archived": True}, {"kind": SessionKind.CRON}, {"kind": SessionKind.SUBAGENT}, {"kind": SessionKind.ACP}],
)
async def test_what_was_put_away_and_background_work_is_let_be(changes: dict[str, Any]) -> None:
    world = world_of(tombstone(**changes))
    await world.live(hours=1)
    assert (world.steps, world.told()) == ([], [])


@pytest.mark.parametrize("is_tried", [False, True])
async def test_one_that_a_person_archives_is_called_neither_well_nor_open_to_messages(is_tried: bool) -> None:
    world = world_of(tombstone(), ladder=(Step.NEW, Step.RESET) if is_tried else (Step.NOTIFY,))
    world.gateway.effect = lambda deed: Receipt(None, "sessions.reset: ok")
    if is_tried:
        await world.until_deed()
    await world.live(minutes=4)
    assert bool(world.steps) is is_tried
    assert world.told()[0] == "stuck"
    world.gateway.change(KEY, is_archived=True)
    await world.live(minutes=30)
    (closed,) = world.owed(MessageKind.CLEARED)
    assert "was archived" in closed.body
    assert "it still takes no messages" in closed.body
    assert "no longer stuck" not in closed.body
    assert not world.owed(MessageKind.QUARANTINED)


async def test_it_is_told_by_its_incident_and_not_as_unanswered_too() -> None:
    began = BOOT + timedelta(hours=1)
    world = world_of(dead(KEY, started_at=began, updated_at=began, has_active_run=True), ladder=(Step.RESUME,))
    await world.live(minutes=3)
    world.gateway.change(KEY, status=Status.FAILED, has_active_run=False, restart_recovery_status="tombstoned")
    await world.live(hours=1)
    assert world.told() == ["stuck"]
    assert AttemptState.STARTED not in {attempt.state for attempt in world.attempts}
