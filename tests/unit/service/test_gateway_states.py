"""The gateway itself: away, back, restarted, slow, asleep; and what a person hears of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.builders import V96, V324, V414, V518, dead, lenient, vague
from tests.fakes.world import World
from watchdog.core.model import GatewayPhase, MalformedRow, Status
from watchdog.core.policy import Match, PolicyBook, Step
from watchdog.service import errors
from watchdog.service.events import Event
from watchdog.service.outages import (
    DOWN_TOLD_AFTER,
    STORM_RESTARTS,
    STORM_WINDOW,
    SUSPENDED_TOLD_AFTER,
    phase_of,
)

KEY = dead().key
GONE = errors.GatewayUnreachable("home: cannot connect to 127.0.0.1:1; is the gateway running?")
CRASHED = errors.GatewayClosed("home: the connection broke without a goodbye.", 1006)
DRAINS = errors.GatewayDraining("home: the gateway closed the connection to restart or stop.")
HANGS = errors.GatewayUnresponsive("home: it hangs.")
SUSPENDED = errors.GatewaySuspended("home: the gateway is suspended; it takes nothing until it is resumed.")


def _lines(world: World) -> list[Event]:
    """What was logged of the gateway, in order."""
    return [name for name in world.log.names if name.value.startswith("gateway.")]


def _told_of_gateway(world: World) -> list[str]:
    return [kind for kind in world.told() if kind.startswith("gateway_")]


async def _watched(version: str = V96, **changes: Any) -> World:
    world = World(book=PolicyBook(default=lenient()), version=version, **changes)
    world.gateway.put(vague(has_active_run=True))
    await world.live(minutes=6)
    world.log.lines.clear()
    return world


@pytest.mark.parametrize(
    ("problem", "phase"),
    [
        (errors.GatewayStarting("x"), GatewayPhase.STARTING),
        (errors.GatewayDraining("x"), GatewayPhase.DRAINING),
        (errors.GatewaySuspended("x"), GatewayPhase.SUSPENDED),
        (errors.GatewayUnresponsive("x"), GatewayPhase.UNRESPONSIVE),
        (errors.OutcomeUnknown("x"), GatewayPhase.UNRESPONSIVE),
        (errors.AnswerUnreadable("x"), GatewayPhase.REFUSED),
        (errors.GatewayUnreachable("x"), GatewayPhase.DOWN),
        (errors.GatewayClosed("x"), GatewayPhase.DOWN),
        (errors.OutOfDescriptors("x"), GatewayPhase.UNKNOWN),
        (errors.NotAGateway("x"), GatewayPhase.REFUSED),
        (errors.ForeignListener("x"), GatewayPhase.REFUSED),
        (errors.AuthenticationRefused("x"), GatewayPhase.REFUSED),
        (errors.PairingRequired("x"), GatewayPhase.REFUSED),
        (errors.ScopeRefused("x"), GatewayPhase.REFUSED),
        (errors.RateLimited("x"), GatewayPhase.REFUSED),
        (errors.ProtocolMismatch("x"), GatewayPhase.REFUSED),
        (errors.InsecureTransport("x"), GatewayPhase.REFUSED),
        (errors.RequestRefused("x", code="y"), GatewayPhase.REFUSED),
        (errors.ListRefused("x"), GatewayPhase.UNUSABLE),
        (errors.UnknownMethod("x"), GatewayPhase.REFUSED),
        (errors.PassFailed("x"), GatewayPhase.REFUSED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_speaks_of_a_phase(problem: errors.GatewayError, phase: GatewayPhase) -> None:
    assert phase_of(problem) is phase


def test_every_leaf_of_the_tree_is_tried() -> None:
    tried = {
        errors.GatewayStarting,
        errors.GatewayDraining,
        errors.GatewaySuspended,
        errors.ListRefused,
        errors.GatewayUnresponsive,
        errors.OutcomeUnknown,
        errors.GatewayUnreachable,
        errors.GatewayClosed,
        errors.OutOfDescriptors,
        errors.NotAGateway,
        errors.ChannelDown,
        errors.ForeignListener,
        errors.AuthenticationRefused,
        errors.PairingRequired,
        errors.ScopeRefused,
        errors.RateLimited,
        errors.ProtocolMismatch,
        errors.InsecureTransport,
        errors.RequestRefused,
        errors.UnknownMethod,
        errors.PassFailed,
        errors.SentTooLate,  # of a deed alone: ``test_shares``
    }
    kinds = {kind for kind in errors.GatewayError.__subclasses__() if kind.__module__ == errors.__name__}
    assert kinds - {errors.GatewayAway} | set(errors.GatewayAway.__subclasses__()) == tried


@pytest.mark.parametrize("problem", [GONE, CRASHED, HANGS, errors.AuthenticationRefused("home: wrong token.")], ids=str)
async def test_an_absence_is_told_once_each_way(problem: errors.GatewayError) -> None:
    world = await _watched()
    world.gateway.drop(CRASHED)
    world.gateway.failing["connect"] = problem
    await world.live(seconds=DOWN_TOLD_AFTER.total_seconds())
    assert world.told() == []
    await world.live(minutes=30)
    assert world.told() == ["gateway_down"]
    assert str(problem).removeprefix("home: ")[:20] in world.owed()[0].body
    assert world.reports[-1].problem == str(problem)
    del world.gateway.failing["connect"]
    await world.live(minutes=5)
    assert world.told() == ["gateway_down", "gateway_up"]
    assert world.log.names.count(Event.GATEWAY_CONNECTED) == 1


async def test_a_version_that_nobody_has_tried_is_said_once() -> None:
    world = World()
    world.gateway.version = "2026.9.7"
    await world.live(minutes=5)
    world.gateway.restart()
    await world.live(minutes=5)
    world.gateway.version = "2026.9.8"
    world.gateway.restart()
    await world.live(minutes=5)
    said = [str(line.get("reason")) for line in world.log.of(Event.GATEWAY_CONNECTED)]
    assert [words[:17] for words in said] == ["OpenClaw 2026.9.7", "None", "OpenClaw 2026.9.8"]


async def test_our_own_shortage_is_no_outage_of_the_gateway() -> None:
    world = await _watched()
    world.meter.counted.clear()
    world.gateway.failing["connect"] = errors.OutOfDescriptors("home: this process has no file descriptors left.")
    await world.live(minutes=30)
    assert world.reports[-1].phase is GatewayPhase.UNKNOWN
    assert (world.told(), _lines(world)) == ([], [])
    assert ("gateway_up", False) not in world.meter.counted
    del world.gateway.failing["connect"]
    await world.live(minutes=5)
    assert world.reports[-1].is_good
    assert world.told() == []
    assert Event.GATEWAY_CONNECTED not in world.log.names, "it was connected all the time"


async def test_an_outage_is_told_with_what_was_seen_of_the_gateway() -> None:
    world = await _watched()
    world.gateway.drop(CRASHED)
    world.gateway.failing["connect"] = GONE
    await world.live(minutes=1)
    world.gateway.failing["connect"] = errors.OutOfDescriptors("home: this process has no file descriptors left.")
    await world.live(minutes=30)
    assert world.told() == []
    world.gateway.failing["connect"] = GONE
    await world.live(minutes=1)
    assert world.told() == ["gateway_down"]
    assert "is the gateway running" in world.owed()[0].body


async def test_an_ordinary_restart_is_logged_and_not_told() -> None:
    world = await _watched()
    world.gateway.restart()
    world.gateway.failing["connect"] = GONE
    await world.live(minutes=1)
    del world.gateway.failing["connect"]
    await world.live(minutes=5)
    assert world.told() == []
    assert _lines(world) == [
        Event.GATEWAY_DISCONNECTED,
        Event.GATEWAY_UNHEALTHY,
        Event.GATEWAY_RESTARTED,
        Event.GATEWAY_CONNECTED,
    ]
    assert world.log.of(Event.GATEWAY_RESTARTED)[0]["reason"] == "process"
    assert world.log.of(Event.GATEWAY_CONNECTED)[0]["away_seconds"] == 60.0


async def test_a_connection_that_is_back_before_we_look_is_told_in_the_log_once() -> None:
    world = await _watched()
    world.gateway.drop(CRASHED)
    await world.live(minutes=5)
    assert _lines(world) == [Event.GATEWAY_DISCONNECTED, Event.GATEWAY_CONNECTED]
    assert "without a goodbye" in str(world.log.of(Event.GATEWAY_DISCONNECTED)[0]["reason"])


@pytest.mark.parametrize(
    ("version", "in_process", "change"),
    [
        (V96, False, "process"),
        (V96, True, "in_process"),
        (V518, False, "process"),
        (V414, False, "process"),
        (V324, True, None),
    ],
)
async def test_restarts_are_told_apart(version: str, in_process: bool, change: str | None) -> None:
    """Before 9.x there is no ``bootId``, and a restart inside the process keeps the uptime: the closed connection is
    all there is."""
    world = await _watched(version)
    world.gateway.restart(in_process=in_process)
    await world.live(minutes=1)
    assert [line["reason"] for line in world.log.of(Event.GATEWAY_RESTARTED)] == ([change] if change else [])
    assert world.log.names.count(Event.GATEWAY_CONNECTED) == 1


@pytest.mark.parametrize("notices", ["between passes", "in a pass"])
async def test_an_in_process_restart_is_noticed_by_the_end_of_the_connection(notices: str) -> None:
    world = await _watched(V414)
    if notices == "in a pass":
        world.gateway.failing["list"] = DRAINS
        await world.look()
        world.gateway.failing.clear()
    world.gateway.restart(in_process=True)
    cut = world.clock.now()
    world.clock.advance(3)
    await world.live(minutes=2)
    assert world.watch.trust.cut_at == cut


@pytest.mark.parametrize("loss", [CRASHED, HANGS], ids=lambda loss: type(loss).__name__)
async def test_another_end_of_the_connection_is_no_restart(loss: errors.GatewayError) -> None:
    world = await _watched(V414)
    world.gateway.drop(loss)
    await world.live(minutes=2)
    assert world.watch.trust.cut_at is None


async def test_phases_of_one_absence_are_one_absence() -> None:
    world = await _watched()
    world.gateway.drop(DRAINS)
    for problem in (DRAINS, GONE, errors.GatewayStarting("home: starting.")):
        world.gateway.failing["connect"] = problem
        await world.live(minutes=2)
    del world.gateway.failing["connect"]
    await world.live(minutes=1)
    assert world.told() == ["gateway_down", "gateway_up"]
    assert world.log.names.count(Event.GATEWAY_DISCONNECTED) == 1
    assert [line["phase"] for line in world.log.of(Event.GATEWAY_UNHEALTHY)] == ["down", "starting"]


async def test_while_it_is_away_no_session_is_judged_or_closed() -> None:
    world = World(book=PolicyBook(default=lenient()))
    world.gateway.put(dead())
    world.gateway.effect = world.gateway.nothing
    await world.until_deed()
    world.gateway.drop(CRASHED)
    world.gateway.failing["connect"] = GONE
    await world.live(minutes=30)
    assert [incident.is_open for incident in world.incidents] == [True]
    assert world.states == [("resume", "started")]
    assert not world.reports[-1].is_good
    assert ("gateway_up", False) in world.meter.counted


# ---------------------------------------------------------------- suspended on purpose


async def test_a_suspended_gateway_is_called_that_and_nobody_is_told_that_it_is_away() -> None:
    world = await _watched()
    world.gateway.failing["list"] = SUSPENDED  # the connection stays, and connecting works
    await world.live(minutes=10)
    assert {report.phase for report in world.reports[-10:]} == {GatewayPhase.SUSPENDED}
    assert _lines(world) == [Event.GATEWAY_DISCONNECTED], "no line at every try"
    assert world.log.of(Event.GATEWAY_DISCONNECTED)[0]["phase"] == "suspended"
    del world.gateway.failing["list"]
    await world.live(minutes=10)
    assert _lines(world) == [Event.GATEWAY_DISCONNECTED, Event.GATEWAY_CONNECTED]
    assert world.log.of(Event.GATEWAY_CONNECTED)[0]["away_seconds"] == 600.0
    assert world.told() == []


async def test_one_found_suspended_is_connected_when_it_answers() -> None:
    world = World(book=PolicyBook(default=lenient()))
    world.gateway.scope_problems[Step.NEW] = "It needs operator.admin."
    world.gateway.failing["list"] = SUSPENDED
    await world.live(minutes=10)
    assert [line.get("phase", line.get("step")) for line in world.log.of(Event.GATEWAY_UNHEALTHY)] == [
        "new",
        "suspended",
    ]
    del world.gateway.failing["list"]
    await world.live(minutes=10)
    assert _lines(world)[2:] == [Event.GATEWAY_CONNECTED]


async def test_a_suspension_that_may_be_forgotten_is_told_once_each_way_and_never_as_down() -> None:
    world = await _watched()
    world.gateway.failing["list"] = SUSPENDED
    await world.live(minutes=SUSPENDED_TOLD_AFTER.total_seconds() / 60 - 1)
    assert world.told() == []
    await world.live(minutes=120)
    (message,) = world.owed()
    assert message.title == "Gateway home is suspended"
    assert " down" not in message.body
    del world.gateway.failing["list"]
    await world.live(minutes=5)
    assert _told_of_gateway(world) == ["gateway_down", "gateway_up"]


async def test_what_follows_a_suspension_is_an_outage_of_its_own() -> None:
    world = await _watched()
    world.gateway.failing["list"] = SUSPENDED
    await world.live(minutes=30)
    world.gateway.drop(CRASHED)
    world.gateway.failing = {"connect": GONE}
    await world.live(minutes=1)
    assert world.told() == []
    await world.live(minutes=5)
    (message,) = world.owed()
    assert message.title == "Gateway home is down"
    assert "for 2m" in message.body


async def test_a_gateway_that_is_down_after_a_suspension_is_down() -> None:
    world = await _watched()
    world.gateway.failing["list"] = SUSPENDED
    await world.live(minutes=70)
    world.gateway.drop(CRASHED)
    world.gateway.failing = {"connect": GONE}
    await world.live(minutes=5)
    titles = [message.title for message in world.owed()]
    assert titles == ["Gateway home is suspended", "Gateway home is down"]
    world.gateway.failing = {}
    await world.live(minutes=5)
    assert _told_of_gateway(world) == ["gateway_down", "gateway_down", "gateway_up"]


async def test_nothing_is_done_while_it_is_suspended_nor_in_the_grace_after_it() -> None:
    world = World(book=PolicyBook(default=lenient()))
    world.gateway.put(dead())
    world.gateway.failing["list"] = SUSPENDED
    await world.live(minutes=40)
    assert world.steps == []
    del world.gateway.failing["list"]
    await world.live(minutes=4)
    assert world.steps == []
    await world.until_deed()


# ---------------------------------------------------------------- it answers, and refuses

DRIFTED = "Error: Session canonical validation schema is missing or drifted: x; run openclaw doctor --fix"
REFUSES = errors.ListRefused(f"home: the gateway refuses its list of sessions: UNAVAILABLE: {DRIFTED}")


async def test_a_gateway_that_refuses_its_list_is_told_once_with_its_own_words_and_not_as_down() -> None:
    world = await _watched()
    world.gateway.failing["list"] = REFUSES
    await world.live(minutes=60)
    assert world.reports[-1].phase is GatewayPhase.UNUSABLE
    assert _lines(world) == [Event.GATEWAY_DISCONNECTED], "no line at every try"
    assert world.told() == ["gateway_down"]
    (message,) = world.owed()
    assert message.title == "Gateway home refuses its list"
    assert DRIFTED in message.body
    assert "before anybody restarts the gateway" in message.body
    assert " down" not in message.body
    del world.gateway.failing["list"]
    await world.live(minutes=5)
    assert _told_of_gateway(world) == ["gateway_down", "gateway_up"]


# ---------------------------------------------------------------- restarts without end


@pytest.mark.parametrize(("version", "in_process"), [(V96, False), (V96, True), (V518, False), (V324, True)])
async def test_restart_after_restart_is_told_once(version: str, in_process: bool) -> None:
    world = await _watched(version)
    for number in range(8):
        world.gateway.restart(in_process=in_process)
        await world.live(minutes=2)
        assert world.told() == ([] if number < STORM_RESTARTS - 1 else ["gateway_down"])
    (message,) = world.owed()
    assert "keeps restarting" in message.title
    assert f"restarted {STORM_RESTARTS} times in 4m" in message.body
    (line,) = world.log.of(Event.GATEWAY_UNHEALTHY)
    assert line["reason"] == "keeps restarting: 3 times in 4m"
    await world.live(minutes=27.5)
    assert world.told() == ["gateway_down"]
    await world.live(minutes=2)
    assert world.told() == ["gateway_down", "gateway_up"]
    assert "8 restarts in a row" in world.owed()[-1].body


async def test_a_second_storm_is_told_again_and_counts_from_its_own_beginning() -> None:
    world = await _watched()
    for _ in range(2):
        for _ in range(STORM_RESTARTS):
            world.gateway.restart()
            await world.live(minutes=1)
        await world.live(minutes=40)
    assert _told_of_gateway(world) == ["gateway_down", "gateway_up"] * 2
    assert "3 restarts in a row" in world.owed()[-1].body


async def test_restarts_far_apart_are_no_storm() -> None:
    world = await _watched()
    for _ in range(10):
        world.gateway.restart()
        await world.live(seconds=STORM_WINDOW.total_seconds() / 2)
    assert _told_of_gateway(world) == []


async def test_lost_connections_are_no_restarts() -> None:
    world = await _watched()
    for _ in range(10):
        world.gateway.drop(CRASHED)
        await world.live(minutes=1)
    assert world.told() == []


# ---------------------------------------------------------------- clocks


async def test_a_suspended_host_drops_every_span_and_asks_for_two_fast_answers() -> None:
    world = await _watched()
    world.gateway.put(dead("agent:main:b"))
    await world.live(minutes=19)
    world.clock.step(3600)
    report = await world.look()
    (line,) = world.log.of(Event.GATEWAY_UNHEALTHY)
    assert str(line["reason"]).startswith("starting over")
    assert {item.case.track.quiet_for(report.at) for item in report.judged} == {timedelta(0)}
    assert world.watch.trust.problem() is not None
    world.clock.advance(30)
    await world.look()
    assert world.watch.trust.problem() is None


async def test_a_clock_set_back_is_a_gap_too() -> None:
    world = await _watched()
    world.clock.step(-60)
    await world.look()
    assert _lines(world) == [Event.GATEWAY_UNHEALTHY]


@pytest.mark.parametrize("drift", [-4.9, 4.9])
async def test_a_small_step_is_no_gap(drift: float) -> None:
    world = await _watched()
    world.clock.step(drift)
    await world.look()
    assert _lines(world) == []


async def test_a_gateway_whose_clock_was_set_is_not_believed_about_boots_until_it_reconnects() -> None:
    world = World(book=PolicyBook(default=lenient()), version=V324)
    world.gateway.put(dead())
    await world.live(minutes=5)
    world.gateway.clock_stepped = True
    await world.look()
    world.gateway.clock_stepped = False
    await world.live(minutes=30)
    assert world.verdict_of(KEY) == "unknown"
    world.gateway.drop(CRASHED)
    await world.until_deed()


async def test_a_gateway_elsewhere_whose_clock_was_set_before_our_first_look_is_told_of_and_nothing_is_done_there() -> (
    None
):
    """2026.3.24: a run that lives on, silent, began by the clock as it was; the gateway by the clock as it is."""
    world = World(book=PolicyBook(default=lenient()), version=V324)
    world.gateway.clock_skew = timedelta(hours=1)
    world.gateway.put(dead())
    await world.live(minutes=30)
    assert world.verdict_of(KEY) == "unknown"
    assert (world.steps, world.told()) == ([], ["unknown"])
    world.gateway.clock_skew = timedelta(seconds=1)
    world.gateway.drop(CRASHED)
    await world.until_deed()


async def test_once_our_own_clock_is_set_right_the_gateways_is_believed() -> None:
    """A board without a clock of its own: the daemon begins before the time is set, and stays connected for weeks."""
    world = World(book=PolicyBook(default=lenient()), version=V324)
    world.gateway.clock_skew = timedelta(hours=1)
    world.gateway.put(dead())
    await world.live(minutes=30)
    assert (world.verdict_of(KEY), world.steps) == ("unknown", [])
    world.gateway.clock_skew = timedelta(0)
    world.clock.step(3600)
    await world.until_deed()
    assert not world.log.of(Event.GATEWAY_RESTARTED)


# ---------------------------------------------------------------- what may be done there


async def test_what_is_not_granted_is_said_when_connected_and_when_it_changes_and_not_when_it_is_needed() -> None:
    world = World(book=PolicyBook(default=lenient()))
    world.gateway.scope_problems[Step.NEW] = "It needs operator.admin."
    await world.live(minutes=5)
    (line,) = world.log.of(Event.GATEWAY_UNHEALTHY)
    assert (line["reason"], line["step"]) == ("It needs operator.admin.", "new")
    assert dict(world.watch.connection.not_granted) == {Step.NEW: "It needs operator.admin."}
    world.gateway.drop(CRASHED)
    await world.live(minutes=5)
    assert [one["step"] for one in world.log.of(Event.GATEWAY_UNHEALTHY)] == ["new", "new"]
    world.gateway.scope_problems[Step.NEW] = "It needs operator.admin: approve request 2."
    await world.live(minutes=5)
    assert "request 2" in str(world.log.of(Event.GATEWAY_UNHEALTHY)[-1]["reason"])
    assert len(world.log.of(Event.GATEWAY_UNHEALTHY)) == 3
    world.gateway.scope_problems.clear()
    await world.live(minutes=5)
    (granted,) = [line for line in world.log.of(Event.GATEWAY_CONNECTED) if "step" in line]
    assert granted["reason"] == "`new` is granted now"
    assert not world.watch.connection.not_granted
    assert len(world.log.of(Event.GATEWAY_UNHEALTHY)) == 3


async def test_a_configuration_that_comes_in_the_middle_of_a_pass_is_noted_with_the_next() -> None:
    world = World(book=PolicyBook(default=lenient(ladder=(Step.RESUME,))))
    await world.live(minutes=5)
    whole = world.gateway.list_sessions

    # The fake's own list, with a reload in the middle of it: a pass can be met by one nowhere else.
    async def list_sessions(*arguments: Any, **named: Any) -> Any:
        world.gateway.scope_problems[Step.NEW] = "It needs operator.admin."
        world.watch.take_book(PolicyBook(default=lenient(ladder=(Step.RESUME, Step.NEW))))
        world.gateway.list_sessions = whole  # type: ignore[method-assign]
        return await whole(*arguments, **named)

    world.gateway.list_sessions = list_sessions  # type: ignore[method-assign]
    await world.live(minutes=5)
    (line,) = world.log.of(Event.GATEWAY_UNHEALTHY)
    assert line["step"] == "new"


async def test_who_only_observes_wants_nothing_of_another_configuration() -> None:
    world = World(book=PolicyBook(default=lenient()), is_observing=True)
    await world.live(minutes=5)
    world.watch.take_book(PolicyBook(default=lenient(ladder=(Step.RESUME, Step.NEW))))
    assert world.gateway.wanted == [frozenset()]


async def test_a_policy_of_another_gateway_wants_nothing_of_this_one() -> None:
    office = replace(lenient(ladder=(Step.NEW,)), name="office", match=Match(gateway=("office",)))
    world = World(book=PolicyBook((office,), default=lenient(ladder=(Step.RESUME,))))
    world.gateway.scope_problems[Step.NEW] = "It needs operator.admin."
    await world.live(minutes=5)
    assert world.log.of(Event.GATEWAY_UNHEALTHY) == []
    assert not world.watch.connection.not_granted


async def test_another_configuration_asks_for_what_its_ladders_need_and_says_what_is_not_granted() -> None:
    world = World(book=PolicyBook(default=lenient(ladder=(Step.RESUME,))))
    world.gateway.scope_problems[Step.NEW] = "It needs operator.admin."
    await world.live(minutes=5)
    assert world.log.of(Event.GATEWAY_UNHEALTHY) == []
    world.watch.take_book(PolicyBook(default=lenient(ladder=(Step.RESUME, Step.NEW))))
    assert world.gateway.wanted == [frozenset({Step.RESUME, Step.NEW})]
    await world.live(minutes=5)
    (line,) = world.log.of(Event.GATEWAY_UNHEALTHY)
    assert line["step"] == "new"


# ---------------------------------------------------------------- rows


async def test_malformed_rows_are_reported_when_they_change() -> None:
    world = await _watched()
    world.gateway.malformed = (MalformedRow(3, "Expected `str`, got `int` - at `$.status`", "agent:main:x"),)
    await world.live(minutes=5)
    (line,) = world.log.of(Event.GATEWAY_UNHEALTHY)
    assert line["session"] == "agent:main:x"
    assert "1 malformed row" in str(line["reason"])
    assert world.reports[-1].malformed == 1
    world.gateway.malformed += (MalformedRow(9, "the key is empty"),)
    await world.live(minutes=5)
    assert len(world.log.of(Event.GATEWAY_UNHEALTHY)) == 2
    world.gateway.malformed = ()
    await world.live(minutes=5)
    world.gateway.malformed = (MalformedRow(9, "the key is empty"),)
    await world.live(minutes=1)
    assert len(world.log.of(Event.GATEWAY_UNHEALTHY)) == 3


async def test_a_row_that_only_moves_is_no_news_and_another_is() -> None:
    world = await _watched()
    for position in range(4):
        world.gateway.malformed = (MalformedRow(position, "Expected `str`, got `int`", None),)
        await world.live(minutes=1)
    assert len(world.log.of(Event.GATEWAY_UNHEALTHY)) == 1
    world.gateway.malformed += (MalformedRow(9, "the key is empty"),)
    await world.live(minutes=1)
    assert "the first: the key is empty" in str(world.log.of(Event.GATEWAY_UNHEALTHY)[1]["reason"])


async def test_a_page_that_cannot_be_read_is_told_from_a_row() -> None:
    world = await _watched()
    world.gateway.be(is_complete=False, malformed=(MalformedRow(0, "home: sessions.list was answered with ..."),))
    await world.live(minutes=30)
    (line,) = world.log.of(Event.GATEWAY_UNHEALTHY)
    assert "1 part(s) of the list cannot be read; the first: home: sessions.list" in str(line["reason"])
    assert _told_of_gateway(world) == []
    assert world.reports[-1].is_good


async def test_a_connection_given_up_for_an_answer_that_cannot_be_read_is_no_outage() -> None:
    world = await _watched()
    for _ in range(12):
        world.gateway.drop(errors.AnswerUnreadable("home: the gateway sent too much.", ends_connection=True))
        await world.live(minutes=1)
    assert _lines(world) == []
    assert _told_of_gateway(world) == []


async def test_an_incomplete_list_keeps_what_was_known_of_the_missing() -> None:
    world = World(book=PolicyBook(default=lenient()))
    world.gateway.put(dead(), vague("agent:main:b", has_active_run=True))
    await world.live(minutes=15)
    row = world.gateway.rows.pop(KEY)
    world.gateway.is_complete = False
    await world.live(minutes=2)
    assert not world.reports[-1].is_complete
    world.gateway.put(row)
    world.gateway.is_complete = True
    assert await world.until_deed() <= timedelta(minutes=4)


async def test_a_row_gone_from_a_whole_list_is_forgotten() -> None:
    world = World(book=PolicyBook(default=lenient()))
    world.gateway.put(dead())
    await world.live(minutes=15)
    row = world.gateway.rows.pop(KEY)
    await world.look()
    assert world.watch.observer.tracks == {}
    world.gateway.put(row)
    assert await world.until_deed() >= timedelta(minutes=20)


async def test_a_row_at_rest_is_not_tracked() -> None:
    world = World()
    world.gateway.put(dead(status=Status.DONE), dead("agent:main:q", status=Status.QUEUED))
    report = await world.look()
    assert world.watch.observer.tracks == {}
    assert {item.session.key: item.judgement.verdict.value for item in report.judged} == {
        KEY: "healthy",
        "agent:main:q": "waiting",
    }


async def test_no_sessions_at_all() -> None:
    world = World()
    report = await world.look()
    assert report.is_good
    assert report.next_due is None


# ---------------------------------------------------------------- looks are bought dearly


@pytest.mark.parametrize("version", [V324, V414, V518, V96])
async def test_a_young_or_living_session_costs_no_look_at_its_transcript(version: str) -> None:
    world = World(version=version)
    world.gateway.put(*(vague(f"agent:main:s{number}", has_active_run=True) for number in range(50)))
    world.gateway.put(dead())
    await world.live(minutes=5)
    looks = world.gateway.calls.count("look")
    expected = len(world.reports) if version in (V518, V96) else 0
    assert looks == expected, "one preflight a pass where there is one"


async def test_the_transcript_is_looked_at_when_the_verdict_is_near() -> None:
    world = World(version=V324)
    world.gateway.put(dead())
    await world.live(minutes=18, seconds=30)
    assert "look" not in world.gateway.calls
    await world.live(minutes=1)
    assert "look" in world.gateway.calls


async def test_a_gateway_that_says_it_is_too_busy_is_not_asked_for_one_session_after_the_other() -> None:
    """Signing in and reading everything once more for each of them is what kept a 2026.5.18 degraded."""
    world = World(book=PolicyBook(default=lenient()))
    world.gateway.put(*(dead(f"agent:main:irc:direct:{name}") for name in ("alice", "bob", "carol")))
    world.gateway.be(sickness="The gateway says its event loop is degraded.")
    await world.live(minutes=30)
    asked = []
    for seconds in (30, 1, 1, 9):
        world.gateway.calls.clear()
        world.clock.advance(seconds)
        await world.look()
        asked.append(world.gateway.calls.count("prepare"))
    assert asked == [1, 0, 0, 1]
    assert world.steps == []
    assert set(world.held()) == {"gateway_untrusted"}, "every one of them says why it waits"
    world.gateway.be(sickness=None)
    await world.live(minutes=5)
    assert len(world.steps) == 3


# ---------------------------------------------------------------- chat apps that it does not start


async def test_chat_apps_stopped_after_crashes_are_told_once_in_each_life_and_nothing_is_done() -> None:
    world = World()
    world.gateway.put(dead())
    world.gateway.stopped_channels = ("telegram",)
    await world.live(minutes=2)
    world.gateway.drop(errors.GatewayClosed("home: cut"))
    world.die_and_start_again()
    await world.live(minutes=2)
    (message,) = world.owed()
    assert message.title == "Gateway home runs no telegram after crashes"
    assert """channels.start --params '{"channel":"telegram"}'""" in message.body
    assert [line["reason"] for line in world.log.of(Event.GATEWAY_UNHEALTHY)] == [
        "it does not run telegram after several crashes"
    ]
    assert not world.gateway.performed
    world.gateway.restart()
    await world.live(minutes=2)
    assert len(world.owed()) == 2


# ---------------------------------------------------------------- a word that nobody here knows


async def test_a_status_that_we_do_not_know_is_told_once_for_all_who_have_it_and_never_touched() -> None:
    world = World()
    for number in range(5):
        key = f"agent:main:irc:direct:p{number}"
        world.gateway.put(dead(key, status=Status.OTHER, unknown_status="hibernating"))
    await world.live(hours=3)
    world.die_and_start_again()
    await world.live(minutes=10)
    assert world.told() == ["unknown"]
    assert "“hibernating”" in world.owed()[0].body
    assert len(world.log.of(Event.SESSION_UNKNOWN)) == 1
    assert {item.judgement.reason for item in world.reports[-1].judged} == {"UnknownStatus"}
    assert (world.steps, world.incidents) == ([], [])


async def test_a_second_word_is_told_as_well() -> None:
    world = World()
    world.gateway.put(dead(status=Status.OTHER, unknown_status="hibernating"))
    await world.live(minutes=5)
    world.gateway.change(dead().key, unknown_status="parked")
    await world.live(minutes=5)
    assert [message.title for message in world.owed()] == [
        "Unknown status “hibernating” on home",
        "Unknown status “parked” on home",
    ]
