"""The whole story of an outage: when it is restarted, what is told, and what a crash of the watchdog in between changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from tests.fakes.builders import policy
from tests.fakes.clock import START
from watchdog.config.deed_window import parse
from watchdog.core.blockers import Blocker, outside_hours
from watchdog.core.model import Moment
from watchdog.gateway_restart.decision import Supervision, Unit
from watchdog.gateway_restart.restarter import Circumstances, SupervisorAnswer
from watchdog.service import errors
from watchdog.service.events import Event
from watchdog.service.ledger import MessageKind
from watchdog.service.restart_record import RestartOutcome

from .support import (
    DRAINING,
    HANGS,
    HOUR,
    MINUTE,
    NAME,
    NO_WAY_THERE,
    REFUSED_CONNECTION,
    REFUSES,
    RULE,
    STARTING,
    SUSPENDED,
    WRONG_TOKEN,
    FakeService,
    Story,
    failed,
)


def hours(window: str) -> partial[Blocker | None]:
    return partial(outside_hours, policy(deeds_between=parse(window)).recovery)


async def restarted() -> Story:
    """A gateway that was well, hung for five minutes, and has just been restarted."""
    story = Story()
    await story.well()
    await story.sick(6 * MINUTE)
    assert story.service.restarts == 1
    return story


async def test_it_is_restarted_once_after_the_time_and_the_looks() -> None:
    story = Story()
    await story.well()
    await story.sick(5 * MINUTE)
    assert story.service.restarts == story.service.looks == 0
    await story.sick(MINUTE)
    assert story.service.restarts == 1
    await story.sick(4 * MINUTE)
    assert story.service.restarts == 1, "its outcome is waited for"
    assert story.titles == []
    (line,) = [reason for reason in story.reasons if reason.startswith("restarting")]
    assert line == "restarting it through the command restart-it: unresponsive for 5m, 11 looks in a row"


async def test_a_shortage_of_ours_restarts_nothing_and_proves_nothing() -> None:
    short = errors.OutOfDescriptors("home: this process has no file descriptors left.")
    story = Story()
    await story.well()
    await story.sick(6 * HOUR, short)
    assert story.service.looks == story.service.restarts == 0
    await story.well(MINUTE)
    await story.sick(4 * MINUTE)
    await story.sick(30 * MINUTE, short)
    await story.sick(4 * MINUTE)
    assert story.service.restarts == 0, "nobody looked for half an hour: it counts from the start again"
    await story.sick(2 * MINUTE)
    assert story.service.restarts == 1
    assert story.titles == []


async def test_what_worked_is_told_and_logged() -> None:
    story = await restarted()
    await story.sick(MINUTE, STARTING)
    await story.well(timedelta(seconds=10))
    assert [one.outcome for one in story.record] == [RestartOutcome.WORKED]
    assert [one.is_over for one in story.record] == [True]
    (message,) = story.told
    assert message.kind is MessageKind.GATEWAY_UP
    assert "restart 1 of 2 allowed per 6h), and it answers again." in message.body
    (line,) = story.log.of(Event.GATEWAY_RESTARTED)
    assert line["reason"] == "restarted by us through the command restart-it: it answers again"
    await story.well(MINUTE)
    assert len(story.told) == 1


async def test_what_did_not_help_is_told_then_tried_again_after_the_back_off_then_left_alone() -> None:
    story = await restarted()
    await story.sick(5 * MINUTE)
    assert story.titles == ["Restarting gateway home did not help"]
    await story.sick(24 * MINUTE)
    assert story.service.restarts == 1
    await story.sick(2 * MINUTE)
    assert story.service.restarts == 2
    await story.sick(20 * HOUR)
    assert story.service.restarts == 2, "the window has passed twice, and it is the same outage"
    assert story.titles == ["Restarting gateway home did not help"] * 2 + ["Needs you: gateway home"]
    assert "All 2 restarts allowed per 6h are used up" in story.told[-1].body
    assert [one.outcome for one in story.record] == [RestartOutcome.DID_NOT_HELP] * 2
    assert sum("used up" in reason for reason in story.reasons) == 1


async def test_being_left_alone_is_said_once_even_if_the_watchdog_is_restarted() -> None:
    story = await restarted()
    await story.sick(2 * HOUR)
    told = story.titles
    assert told[-1] == "Needs you: gateway home"
    story.died()
    await story.sick(10 * HOUR)
    assert story.titles == told
    assert story.service.restarts == 2


async def test_after_it_was_back_the_next_outage_may_be_restarted_again() -> None:
    story = await restarted()
    await story.sick(2 * HOUR)
    assert story.service.restarts == 2
    await story.well(MINUTE)
    await story.sick(HOUR)
    assert story.service.restarts == 2, "the window is full"
    await story.well(7 * HOUR)
    await story.sick(10 * MINUTE)
    assert story.service.restarts == 3


@pytest.mark.parametrize(
    "problem", [STARTING, DRAINING, SUSPENDED, REFUSES, WRONG_TOKEN, NO_WAY_THERE, errors.NotAGateway("x")]
)
async def test_never_while_it_speaks_or_the_fault_may_be_ours(problem: errors.GatewayError) -> None:
    story = Story()
    await story.well()
    await story.sick(3 * HOUR, problem)
    assert story.service.looks == story.service.restarts == 0
    assert story.told == []


async def test_never_for_a_sessions_symptom() -> None:
    """The list is answered and the history of one session is not, pass after pass (#95784)."""
    story = Story()
    await story.well()
    await story.sick(3 * HOUR, HANGS, answered=True)
    await story.sick(3 * HOUR, errors.OutcomeUnknown("home: chat.history is not answered."), answered=True)
    assert story.service.looks == story.service.restarts == 0


async def test_a_slow_start_is_not_killed_every_five_minutes() -> None:
    """#74281: the gateway needed four minutes, and a watchdog killed it each time."""
    story = await restarted()
    for _ in range(3):
        await story.sick(4 * MINUTE, REFUSED_CONNECTION)
        await story.sick(2 * MINUTE, STARTING)
    assert story.service.restarts == 1
    await story.well(MINUTE)
    assert story.service.restarts == 1


async def test_while_it_starts_nothing_is_called_in_vain() -> None:
    story = await restarted()
    await story.sick(30 * MINUTE, STARTING)
    assert story.record[0].outcome is None
    await story.well()
    assert story.record[0].outcome is RestartOutcome.WORKED


@pytest.mark.parametrize(
    "circumstances",
    [
        Circumstances(is_observing=True),
        Circumstances(ledger_problem="The disk is full."),
        Circumstances(process_started_at=START.wall + 100 * HOUR),
        Circumstances(outside_hours=hours("Mon 08:00-09:00 UTC")),
    ],
    ids=["observe", "ledger", "young", "hours"],
)
async def test_circumstances_hold_it(circumstances: Circumstances) -> None:
    story = Story()
    await story.well()
    story.circumstances = circumstances
    await story.sick(HOUR)
    assert story.service.looks == story.service.restarts == 0
    assert sum(reason.startswith("not restarted: ") for reason in story.reasons) == 1, "said once, not every pass"
    story.circumstances = Circumstances()
    await story.sick(MINUTE)
    assert story.service.restarts == 1


async def test_the_hours_end_while_the_supervisor_is_asked() -> None:
    class Slow(FakeService):
        async def look(self, now: Moment) -> Supervision:
            story.clock.advance(10 * MINUTE)
            return await super().look(now)

    story = Story(service=Slow(), circumstances=Circumstances(outside_hours=hours("Fri 12:00-12:10 UTC")))
    await story.well()
    await story.sick(10 * MINUTE)
    assert story.service.looks == 1
    assert story.service.restarts == 0
    assert [why for why in story.reasons if why.startswith("not restarted: Outside deeds_between")]


@pytest.mark.parametrize(
    ("gateway", "session", "holds"),
    [(None, None, True), (NAME, None, True), ("other", None, False), (NAME, "main", False)],
)
async def test_a_pause_of_the_gateway_holds_it(gateway: str | None, session: str | None, holds: bool) -> None:
    story = Story()
    await story.well()
    until = START.wall + 2 * HOUR
    story.ledger.pause(at=START.wall, until=until, gateway=gateway, session=session, reason="upgrading", who="ann")
    await story.sick(HOUR)
    assert (story.service.restarts == 0) is holds
    await story.sick(2 * HOUR)
    assert story.service.restarts > 0


async def test_a_deliberate_stop_is_respected_and_nobody_is_called_for_it() -> None:
    story = Story(service=FakeService(Supervision(Unit.STOPPED, "the unit is inactive.")))
    await story.well()
    await story.sick(5 * HOUR, REFUSED_CONNECTION)
    assert story.service.restarts == 0
    assert story.told == []
    assert story.reasons == ["not restarted: It was stopped on purpose: the unit is inactive."]


async def test_without_a_supervisor_a_person_is_told_once() -> None:
    story = Story(service=FakeService(Supervision(Unit.ABSENT, "there is no systemd user unit x.service.")))
    await story.well()
    await story.sick(5 * HOUR, REFUSED_CONNECTION)
    assert story.service.restarts == 0
    assert story.titles == ["Needs you: gateway home"]
    assert "there is no systemd user unit x.service." in story.told[0].body


async def test_what_was_refused_is_told_without_what_the_program_printed() -> None:
    story = Story(
        service=FakeService(asked=SupervisorAnswer(True, "exit status 1", "exit status 1: token s3cr3t is bad"))
    )
    await story.well()
    await story.sick(6 * MINUTE)
    assert [one.outcome for one in story.record] == [RestartOutcome.FAILED]
    (message,) = story.told
    assert "It was refused (exit status 1)" in message.body
    assert "s3cr3t" not in message.body
    assert "restarted by us through the command restart-it: exit status 1: token s3cr3t is bad" in story.reasons
    await story.sick(20 * MINUTE)
    assert story.service.restarts == 1, "a refusal counts and waits as any other"


async def test_what_did_not_end_in_time_is_judged_by_the_gateway_alone() -> None:
    story = Story(service=FakeService(asked=SupervisorAnswer(None, "not ended in time")))
    await story.well()
    await story.sick(6 * MINUTE)
    assert [one.outcome for one in story.record] == [None]
    await story.well(MINUTE)
    assert [one.outcome for one in story.record] == [RestartOutcome.WORKED]


# ---------------------------------------------------------------- crashes and clocks


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("comes_back", [True, False])
@pytest.mark.parametrize("where", ["before the program ran", "after it"])
async def test_killed_in_the_middle_it_is_never_asked_again_only_looked_at(where: str, comes_back: bool) -> None:
    class Deadly(FakeService):
        async def restart(self) -> SupervisorAnswer:
            if where == "after it":
                await super().restart()
            raise Killed

    service = Deadly()
    story = Story(service=service)
    await story.well()
    with pytest.raises(Killed):
        await story.sick(6 * MINUTE)
    story.service = FakeService()
    story.died()
    await story.sick(2 * MINUTE, STARTING)
    assert [one.outcome for one in story.record] == [None]
    if comes_back:
        await story.well(MINUTE)
        assert [one.outcome for one in story.record] == [RestartOutcome.WORKED]
    else:
        await story.sick(20 * MINUTE)
        assert [one.outcome for one in story.record] == [RestartOutcome.DID_NOT_HELP]
    assert len(story.told) == 1
    assert story.service.restarts == 0


async def test_a_new_life_counts_what_an_earlier_one_did() -> None:
    story = await restarted()
    story.died()
    await story.well(MINUTE)
    await story.sick(20 * MINUTE)
    assert story.service.restarts == 1, "the back-off"
    await story.sick(20 * MINUTE)
    assert story.service.restarts == 2
    story.died()
    await story.well(MINUTE)
    await story.sick(3 * HOUR)
    assert story.service.restarts == 2, "the window"


async def test_a_clock_set_forward_does_not_end_the_window() -> None:
    story = await restarted()
    await story.sick(40 * MINUTE)
    assert story.service.restarts == 2
    await story.well(MINUTE)
    story.clock.step(10 * HOUR)
    await story.well(MINUTE)
    await story.sick(2 * HOUR)
    assert story.service.restarts == 2


async def test_a_ledger_that_lost_its_history_holds_it_for_a_window() -> None:
    story = Story()
    await story.well()
    object.__setattr__(story.restarter, "ledger", LostLedger(story))
    await story.sick(5 * HOUR)
    assert story.service.looks == 0
    await story.sick(2 * HOUR)
    assert story.service.restarts > 0


class LostLedger:
    """The story's ledger, whose file was found missing at the start."""

    def __init__(self, story: Story) -> None:
        self._ledger = story.ledger
        self.lost_history_at = START.wall

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)


async def test_a_ledger_that_fails_now_means_no_restart_and_no_noise() -> None:
    story = Story()
    await story.well()
    story.ledger.close()
    for _ in range(60):
        await story.see(failed(HANGS, story.clock.advance(MINUTE)))
    assert story.service.restarts == 0


async def test_two_deeds_never_run_at_once_and_a_withdrawn_rule_does_nothing() -> None:
    class Reentrant(FakeService):
        async def restart(self) -> SupervisorAnswer:
            await story.restarter.act()
            return await super().restart()

    story = Story(service=Reentrant())
    await story.well()
    await story.sick(6 * MINUTE)
    assert story.service.restarts == 1

    later = Story()
    await later.well()
    later.restarter.is_withdrawn = True
    await later.sick(HOUR)
    assert later.service.restarts == 0


async def test_what_recovers_while_the_supervisor_is_asked_is_not_restarted() -> None:
    class Slow(FakeService):
        async def look(self, now: object) -> Supervision:
            await story.well(timedelta(seconds=1))
            return self.supervision

    story = Story(service=Slow())
    await story.well()
    await story.sick(6 * MINUTE)
    assert story.service.restarts == 0


async def test_a_rule_of_one_restart_allows_one() -> None:
    story = Story(rule=replace(RULE, limit=replace(RULE.limit, attempts=1)))
    await story.well()
    await story.sick(10 * HOUR)
    assert story.service.restarts == 1
    assert story.titles == ["Restarting gateway home did not help", "Needs you: gateway home"]
