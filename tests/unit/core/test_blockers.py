"""Every reason to hold, one by one: each alone produces exactly itself, and together they are all named."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.builders import BOOT, MEASURED, V324, V414, V518, facts, fresh_track, orphan, tail_of
from tests.fakes.clock import START
from watchdog.core.blockers import FOREIGN_DEED_HOLD, Blocker, BlockerName, SessionContext, hold_reasons
from watchdog.core.deed_window import DeedWindow
from watchdog.core.evidence import Case
from watchdog.core.model import Lock, LockSight, Look, Moment, TailKind
from watchdog.core.policy import Budget, Mode, Recovery, Step, Thresholds

from .support import at, case

THRESHOLDS = Thresholds(confirm_for=timedelta(minutes=1), startup_grace=timedelta(minutes=5))
RECOVERY = Recovery(
    budget=Budget(3, timedelta(hours=72)), gateway_budget=Budget(20, timedelta(hours=1)), max_concurrent=2
)
FREE = SessionContext(connected_for=timedelta(hours=1))
AFTER_BOOT = BOOT + timedelta(hours=1)


class Situation:
    """A stuck session that may be acted on, until something is changed."""

    def __init__(self) -> None:
        self.case: Case = case(orphan(), look=Look(tail=tail_of(), lock=LockSight(Lock.NONE)))
        self.recovery = RECOVERY
        self.standing = FREE
        self.step = Step.RESUME
        self.is_proven = False

    def look(self, **changes: Any) -> Situation:
        return self.see(look=replace(self.case.look, **changes))

    def row(self, **changes: Any) -> Situation:
        return self.see(session=replace(self.case.session, **changes))

    def on(self, version: str) -> Situation:
        return self.see(facts=facts(version))

    def track(self, **changes: Any) -> Situation:
        return self.see(track=replace(self.case.track, **changes))

    def touched(self, when: Moment) -> Situation:
        return self.see(track=replace(fresh_track(self.case.session), touched_at=when))

    def see(self, **changes: Any) -> Situation:
        self.case = replace(self.case, **changes)
        return self

    def stand(self, **changes: Any) -> Situation:
        self.standing = replace(self.standing, **changes)
        return self

    def plan(self, step: Step, *, is_proven: bool = False) -> Situation:
        self.step, self.is_proven = step, is_proven
        return self

    def observe_only(self) -> Situation:
        self.recovery = replace(self.recovery, mode=Mode.OBSERVE)
        return self

    def hours(self, begins: time, ends: time) -> Situation:
        window = DeedWindow(frozenset({START.wall.weekday()}), begins, ends, UTC, "on Fridays")
        self.recovery = replace(self.recovery, deeds_between=window)
        return self

    def blockers(self) -> tuple[Blocker, ...]:
        return hold_reasons(self.case, THRESHOLDS, self.recovery, self.step, self.standing, is_proven=self.is_proven)

    def names(self) -> list[BlockerName]:
        return [blocker.name for blocker in self.blockers()]


Change = Callable[[Situation], Situation]


CHANGES: dict[BlockerName, list[Change]] = {
    BlockerName.OBSERVE_MODE: [lambda s: s.observe_only()],
    BlockerName.PAUSED: [
        lambda s: s.stand(paused="deploying"),
        lambda s: s.stand(paused="", paused_until=at(600).wall),
    ],
    BlockerName.STARTUP_GRACE: [
        lambda s: s.stand(connected_for=timedelta(minutes=4, seconds=59)),
        lambda s: s.see(boot_age=timedelta(minutes=4, seconds=59)),
        lambda s: s.stand(connected_for=None).see(boot_age=None),
        lambda s: s.see(boot_age=timedelta(hours=-1)),
    ],
    BlockerName.GATEWAY_UNTRUSTED: [lambda s: s.stand(gateway_problem="It answers slowly.")],
    BlockerName.INCOMPLETE_LIST: [lambda s: s.stand(is_list_complete=False)],
    BlockerName.RECENTLY_TOUCHED: [
        lambda s: s.touched(START),
        lambda s: s.touched(at(-59.999)),
        # Words that may wait for a lane: written to since the boot, and never alone on the gateway since.
        lambda s: s.on(V324).row(updated_at=AFTER_BOOT),
        lambda s: s.on(V414).row(updated_at=AFTER_BOOT).track(lanes_free_at=None, touched_at=at(-600)),
        lambda s: s.on(V518).row(updated_at=AFTER_BOOT).track(lanes_free_at=at(-591), touched_at=at(-600)),
        lambda s: s.on(V324).row(started_at=START.wall - timedelta(hours=1)).track(touched_at=at(-600)),
    ],
    BlockerName.SESSION_LOCKED: [
        lambda s: s.look(lock=LockSight(Lock.HELD_BY_OTHER, pid=4)),
        lambda s: s.look(lock=LockSight(Lock.HELD_BY_GATEWAY, pid=4)),
        lambda s: s.look(lock=LockSight(Lock.UNREADABLE)),
    ],
    BlockerName.AMBIGUOUS_SESSION: [lambda s: s.stand(alias_keys=("agent:main:b",))],
    BlockerName.NO_SESSION_ID: [lambda s: s.row(session_id=None)],
    BlockerName.WORK_FINISHED: [
        lambda s: s.look(tail=tail_of(TailKind.ANSWERED)),
        lambda s: s.row(started_at=START.wall - timedelta(hours=1)).look(tail=tail_of(TailKind.EMPTY, request=None)),
        lambda s: s.look(cron_run_ended="ok"),
        lambda s: s.look(cron_run_ended="error").plan(Step.NEW),
        lambda s: s.on(V324).row(ended_at=BOOT - timedelta(minutes=10)),
        lambda s: s.on(V414).row(ended_at=BOOT - timedelta(minutes=10)).plan(Step.NEW),
    ],
    BlockerName.FOREIGN_DEED: [
        lambda s: s.look(tail=tail_of(deed_mark="other/1", deed_at=START.wall)),
        lambda s: s.look(
            tail=tail_of(deed_mark="other/1", deed_at=(START.plus(-FOREIGN_DEED_HOLD).wall + timedelta(seconds=1)))
        ),
    ],
    BlockerName.COOL_DOWN: [lambda s: s.stand(last_settled_at=at(-59).wall, backoff=timedelta(minutes=1))],
    BlockerName.SESSION_BUDGET: [lambda s: s.stand(session_charges=3), lambda s: s.stand(session_charges=4)],
    BlockerName.GATEWAY_BUDGET: [lambda s: s.stand(gateway_charges=20)],
    BlockerName.QUARANTINED: [lambda s: s.stand(is_quarantined=True)],
    BlockerName.CONCURRENCY: [lambda s: s.stand(in_flight_on_gateway=2), lambda s: s.stand(in_flight_on_gateway=9)],
    BlockerName.FLEET_BREAKER: [lambda s: s.stand(is_fleet_open=True)],
    BlockerName.SCOPE_MISSING: [lambda s: s.stand(missing_scope="It needs operator.admin.")],
    BlockerName.STEP_UNAVAILABLE: [lambda s: s.stand(step_problem="No such method here.")],
    BlockerName.LEDGER_UNAVAILABLE: [lambda s: s.stand(is_ledger_writable=False)],
    BlockerName.IN_FLIGHT: [lambda s: s.stand(in_flight_here=True, in_flight_on_gateway=1)],
    BlockerName.PENDING_INPUT: [lambda s: s.look(tail=tail_of(has_pending_input=True))],
    BlockerName.TRANSCRIPT_UNKNOWN: [lambda s: s.look(tail=None)],
    BlockerName.WAITING_UNKNOWN: [lambda s: s.look(is_waiting_unread=True)],
    BlockerName.HISTORY_LOST: [lambda s: s.stand(lost_history="The ledger was replaced.")],
    BlockerName.REQUESTER_UNKNOWN: [lambda s: s.stand(requester_problem="Two people asked.")],
    BlockerName.STOPPED_BY_PERSON: [
        lambda s: s.stand(was_stopped=True),
        lambda s: s.track(stopped_at=at(-1)),
        lambda s: s.stand(was_stopped=True).plan(Step.ASK),
        lambda s: s.stand(was_stopped=True).plan(Step.NEW),
    ],
    BlockerName.GATEWAY_RECOVERING: [lambda s: s.look(will_redeliver=True)],
    BlockerName.DEEDS_WINDOW: [
        lambda s: s.hours(time(6), time(12)),
        *(lambda s, step=step: s.hours(time(12, 1), time(6)).plan(step) for step in Step),
    ],
}
EACH = [(name, change) for name, changes in CHANGES.items() for change in changes]


def test_another_watchdogs_turn_that_was_answered_before_somebody_wrote_again_holds_nothing() -> None:
    theirs = tail_of(deed_mark="other/1", deed_at=START.wall, overtaken_mark="other/1")
    assert Situation().look(tail=theirs).names() == []


@pytest.mark.parametrize("step", [Step.FREE, Step.ABORT])
def test_a_stopped_session_may_be_freed_for_other_messages(step: Step) -> None:
    assert Situation().stand(was_stopped=True).plan(step).names() == []


def test_nothing_in_the_way_means_go() -> None:
    assert Situation().blockers() == ()


def test_every_blocker_is_tried() -> None:
    right_before_the_deed = {BlockerName.CHANNEL_DOWN, BlockerName.LEASE}
    assert set(CHANGES) == set(BlockerName) - right_before_the_deed


@pytest.mark.parametrize(("name", "change"), EACH)
def test_each_alone_produces_exactly_itself(name: BlockerName, change: Change) -> None:
    situation = Situation()
    change(situation)
    (blocker,) = situation.blockers()
    assert blocker.name is name
    assert blocker.message.strip()


INNOCENT: dict[str, Change] = {
    "an ended pause is no pause": lambda s: s.stand(paused=None, paused_until=START.wall),
    "exactly past the grace": lambda s: s.stand(connected_for=timedelta(minutes=5)),
    "boot unknown, connected for long": lambda s: s.see(boot_age=None),
    "touched a whole confirm_for ago": lambda s: s.touched(at(-60)),
    "a run that ended with the process, and nobody wrote since": lambda s: s.on(V324).row(updated_at=BOOT),
    "written to, and alone on the gateway since": lambda s: (
        s.on(V324).row(updated_at=AFTER_BOOT).track(touched_at=at(-600), lanes_free_at=at(-590))
    ),
    "written to before we came, and alone on the gateway since": lambda s: (
        s.on(V414).row(updated_at=AFTER_BOOT).track(first_seen=at(-600), lanes_free_at=at(-590))
    ),
    "written to where a waiting row says so": lambda s: s.row(updated_at=AFTER_BOOT).track(touched_at=at(-600)),
    "touched by its own time-out": lambda s: (
        s.on(V324)
        .row(started_at=START.wall - timedelta(hours=1), updated_at=at(-600).wall)
        .look(tail=tail_of(TailKind.TIMED_OUT, at=at(-601).wall))
        .track(touched_at=at(-600))
    ),
    "a row of 9.6 with the end of an earlier run": lambda s: s.row(ended_at=BOOT - timedelta(minutes=10)),
    "an end before this run's start": lambda s: s.on(V324).row(ended_at=BOOT - timedelta(hours=2)),
    "a lock nobody holds": lambda s: s.look(lock=LockSight(Lock.OWNER_GONE, pid=4)),
    "locks not looked at": lambda s: s.look(lock=None),
    "an answered request before a fresh session": lambda s: s.look(tail=tail_of(TailKind.ANSWERED)).plan(Step.NEW),
    "its own lock, when the run is to be ended": lambda s: s.look(lock=LockSight(Lock.HELD_BY_GATEWAY, pid=4)).plan(
        Step.ABORT
    ),
    "our own mark": lambda s: s.look(tail=tail_of(deed_mark="mine/1", deed_at=START.wall)).stand(
        own_marks=frozenset({"mine/1"})
    ),
    "a foreign mark of long ago": lambda s: s.look(
        tail=tail_of(deed_mark="other/1", deed_at=START.plus(-FOREIGN_DEED_HOLD).wall)
    ),
    "cooled down to the second": lambda s: s.stand(last_settled_at=at(-60).wall, backoff=timedelta(minutes=1)),
    "one attempt left": lambda s: s.stand(session_charges=2, gateway_charges=19),
    "room for one more": lambda s: s.stand(in_flight_on_gateway=1),
    "nothing pending": lambda s: s.look(tail=tail_of(has_pending_input=False)),
    "the hours for deeds": lambda s: s.hours(time(12), time(12, 1)),
    "a proof of its own": lambda s: s.stand(is_fleet_open=True).plan(Step.RESUME, is_proven=True),
}


@pytest.mark.parametrize("kind", [TailKind.TIMED_OUT, TailKind.STOPPED])
def test_words_that_came_long_after_a_time_out_may_wait_for_a_lane(kind: TailKind) -> None:
    """2026.3.24 and 4.14: twelve began at once, hers waits behind theirs, and the row still tells of the run before."""
    subject = Situation().on(V414).row(started_at=START.wall - timedelta(hours=1), updated_at=at(-600).wall)
    subject.look(tail=tail_of(kind, at=at(-1800).wall)).track(touched_at=at(-600))
    assert BlockerName.RECENTLY_TOUCHED in subject.names()
    assert BlockerName.RECENTLY_TOUCHED not in subject.track(lanes_free_at=at(-500)).names()


@pytest.mark.parametrize("change", INNOCENT.values(), ids=INNOCENT)
def test_what_does_not_hold(change: Change) -> None:
    situation = Situation()
    change(situation)
    assert situation.names() == []


@pytest.mark.parametrize(
    ("step", "stuck_for", "waits_for", "is_held"),
    [
        (Step.RESUME, 40, 40, False),
        (Step.RESUME, 39, 60, True),
        (Step.RESUME, 600, 39, True),
        (Step.RESUME, 600, None, True),
        (Step.NEW, 600, 600, True),
        (Step.RESET, 600, 600, True),
    ],
    ids=["left", "not yet stuck so long", "words of just now", "nobody knows since when", "new", "reset"],
)
def test_a_message_that_waits_holds_for_a_while_and_is_never_thrown_away(
    step: Step, stuck_for: int, waits_for: int | None, is_held: bool
) -> None:
    now, situation = at(minutes=stuck_for), Situation().plan(step)
    since = now.wall - timedelta(minutes=waits_for) if waits_for is not None else None
    situation.look(tail=tail_of(has_pending_input=True, queued_at=since)).see(now=now)
    situation.track(unchanged_since=START, owner_gone_since=START)
    assert (BlockerName.PENDING_INPUT in situation.names()) is is_held


TAILS = {
    BlockerName.TRANSCRIPT_UNKNOWN,
    BlockerName.WORK_FINISHED,
    BlockerName.PENDING_INPUT,
    BlockerName.FOREIGN_DEED,
}
"""These replace the whole tail: at most one of them at a time here."""


@given(names=st.sets(st.sampled_from(sorted(set(CHANGES) - TAILS))), last=st.sampled_from(sorted(TAILS)))
def test_all_of_them_are_named_never_just_the_first(names: set[BlockerName], last: BlockerName) -> None:
    situation = Situation()
    for name in [*sorted(names - {BlockerName.RECENTLY_TOUCHED}), last]:
        CHANGES[name][0](situation)
    if BlockerName.RECENTLY_TOUCHED in names:
        CHANGES[BlockerName.RECENTLY_TOUCHED][0](situation)
    expected = names | {last}
    # A deed in flight on this very session says more than that some are in flight.
    if BlockerName.IN_FLIGHT in expected:
        expected -= {BlockerName.CONCURRENCY}
    assert sorted(situation.names()) == sorted(expected)


@pytest.mark.parametrize(
    ("name", "until"),
    [
        (BlockerName.STARTUP_GRACE, at(1)),
        (BlockerName.RECENTLY_TOUCHED, at(60)),
        (BlockerName.COOL_DOWN, at(1)),
        (BlockerName.DEEDS_WINDOW, START.plus(timedelta(days=6, hours=18))),
        (BlockerName.PAUSED, None),
        (BlockerName.SESSION_LOCKED, None),
    ],
)
def test_it_is_said_until_when_where_that_is_known(name: BlockerName, until: Moment | None) -> None:
    situation = Situation()
    CHANGES[name][0](situation)
    (blocker,) = situation.blockers()
    assert blocker.until == until


def test_a_pause_says_why_and_until_when() -> None:
    situation = Situation()
    situation.stand(paused="deploying", paused_until=at(600).wall)
    assert [blocker.message for blocker in situation.blockers()] == ["Paused until 2026-11-20 12:10Z: deploying"]


def test_a_held_lock_names_its_process_and_is_never_ours_to_delete() -> None:
    situation = Situation()
    situation.look(lock=LockSight(Lock.HELD_BY_OTHER, pid=4711))
    (blocker,) = situation.blockers()
    assert "4711" in blocker.message
    assert "never deleted" in blocker.message


@pytest.mark.parametrize("step", [step for step in Step if step not in (Step.RESUME, Step.ASK)])
def test_finished_work_only_blocks_a_resume(step: Step) -> None:
    situation = Situation()
    situation.look(tail=tail_of(TailKind.ANSWERED))
    situation.step = step
    assert situation.names() == []


def test_a_transcript_refused_for_a_schema_says_the_way_out() -> None:
    """2026.9.6, whose list is answered from memory meanwhile."""
    said = "chat.history: home: chat.history was refused: UNAVAILABLE: Error: … is missing or drifted: x; run openclaw doctor --fix"
    assert "`openclaw doctor --fix`" in _messages(lambda s: s.look(tail=None, problems=(said,)))
    assert "doctor" not in _messages(lambda s: s.look(tail=None, problems=("chat.history: no answer",)))


def test_no_sentence_repeats_a_persons_words() -> None:
    words = functools.reduce(lambda text, pair: text + _messages(pair[1]), EACH, "")
    assert "do the long task" not in words


def _messages(change: Change) -> str:
    situation = Situation()
    change(situation)
    assert situation.case.facts.version in MEASURED
    return "".join(blocker.message for blocker in situation.blockers())


def test_a_wait_that_begins_in_the_future_is_none() -> None:
    """The clock was set back by two hours since: nobody waits for it to come there again."""
    just_settled = {"last_settled_at": at(2).wall, "backoff": timedelta(minutes=1)}
    assert BlockerName.COOL_DOWN in Situation().stand(**just_settled).names()
    hours_ahead = just_settled | {"last_settled_at": at(7200).wall}
    assert BlockerName.COOL_DOWN not in Situation().stand(**hours_ahead).names()
