"""What is still open is said again: once in its time, to whom it concerns, until somebody acknowledges it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.clock import START, ManualClock
from tests.unit.notify.test_delivery import FakeSender
from watchdog.core.reminders import is_due
from watchdog.ledger.ledger import SqliteLedger
from watchdog.notify.delivery import Notifier, Target
from watchdog.notify.senders import DeliveryFailed
from watchdog.service.events import MemoryLog
from watchdog.service.ledger import Message, MessageKind, Outcome, Quarantine, ReminderKey
from watchdog.service.null_meter import NullMeter
from watchdog.service.reminders import LOOK_EVERY, unacknowledged

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PHONE = Target("phone", "ntfy://phone", remind_every=DAY)
MAIL = Target("mail", "mailtos://mail", remind_every=2 * HOUR)
SILENT = Target("silent", "ntfy://silent")
KEY = "agent:main:main"


class Desk:
    """A ledger, and a notifier that is started again with every ``die``."""

    def __init__(self, *targets: Target) -> None:
        self.clock = ManualClock(may_sleep=False)
        self.ledger = SqliteLedger.in_memory(wall=lambda: self.clock.now().wall)
        self.targets = targets
        self.senders = {target.url: FakeSender() for target in targets}
        self.watched = {"home", "work"}
        self.said: list[tuple[str, datetime, Message]] = []
        for target in targets:
            self.ledger.due_messages(target.name, self.now)
        self.die()

    @property
    def now(self) -> datetime:
        return self.clock.now().wall

    def die(self) -> None:
        self.notifier = Notifier(
            self.ledger,
            self.targets,
            self.clock,
            Random(7),
            MemoryLog(),
            NullMeter(),
            make_sender=self.senders.__getitem__,
            watched=lambda: self.watched,
        )

    def open(self, gateway: str = "home") -> str:
        return self.ledger.open_incident(
            gateway=gateway, session=KEY, session_id="sid", reason="OwnerGone", at=self.now
        ).id

    def quarantine(self, incident: str | None, gateway: str = "home") -> None:
        entry = Quarantine(gateway, KEY, "sid", self.now, "Every step of the ladder was tried.", incident)
        self.ledger.quarantine(entry)

    def ack(self, lasts: timedelta | None = None, gateway: str = "home") -> None:
        until = self.now + lasts if lasts is not None else None
        self.ledger.acknowledge(at=self.now, until=until, gateway=gateway, session=KEY, reason="", who="ann")

    async def live(self, span: timedelta, step: timedelta = HOUR) -> list[tuple[str, float]]:
        """Rounds for so long; who was told, and how many hours after the start."""
        end, before = self.clock.now().plus(span), len(self.said)
        while self.clock.now() < end:
            self.clock.advance(min(step, end.since(self.clock.now())))
            await self.round()
        return [(name, (at - START.wall) / HOUR) for name, at, _ in self.said[before:]]

    async def round(self) -> None:
        await self.notifier.deliver_due(self.clock.now())
        for target in self.targets:
            taken = self.senders[target.url].taken
            self.said += [(target.name, self.now, message) for message in taken]
            taken.clear()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk(PHONE, SILENT)
    yield made
    made.ledger.close()


async def test_an_open_incident_is_said_once_a_day_whatever_the_daemon_lives_through(desk: Desk) -> None:
    incident = desk.open()
    assert await desk.live(DAY - HOUR) == []
    assert await desk.live(HOUR) == [("phone", 24.0)]
    for _ in range(5):
        desk.die()
        await desk.round()
    assert await desk.live(DAY) == [("phone", 48.0)]
    title, body = desk.said[-1][2].title, desk.said[-1][2].body
    assert title == "Still open: agent:main:main on home"
    assert (desk.said[-1][2].at, desk.said[-1][2].is_reminder) == (desk.now, True)
    assert "was found stuck at 20 Nov 12:00 UTC, 2d ago. It is still open." in body
    assert f"\n  openclaw-watchdog ack {incident} --gateway home" in body
    desk.ledger.close_incident(incident, Outcome.RECOVERED, desk.now)
    assert await desk.live(3 * DAY) == []


async def test_each_target_in_its_own_time_and_of_what_it_wants() -> None:
    desk = Desk(PHONE, MAIL, replace(PHONE, name="grave", url="ntfy://grave", on=frozenset({MessageKind.QUARANTINED})))
    incident = desk.open()
    assert await desk.live(4 * HOUR) == [("mail", 2.0), ("mail", 4.0)]
    desk.quarantine(incident)
    assert await desk.live(5 * HOUR) == [("mail", 6.0), ("mail", 8.0)]
    assert {message.title for _, _, message in desk.said[2:]} == {"Still needs you: agent:main:main on home"}
    assert [at for name, at in await desk.live(20 * HOUR) if name == "grave"] == [28.0]
    desk.ledger.release("home", KEY, desk.now, who="ann", why="")
    assert await desk.live(3 * DAY) == []
    desk.ledger.close()


async def test_who_acknowledges_it_is_left_in_peace_until_then(desk: Desk) -> None:
    incident = desk.open()
    desk.ack(30 * HOUR)
    assert await desk.live(40 * HOUR) == [("phone", 30.0)]
    desk.ack()
    assert await desk.live(3 * DAY) == []
    desk.quarantine(incident)
    assert [name for name, _ in await desk.live(DAY)] == ["phone"], "that is another matter"
    desk.ack()
    assert await desk.live(3 * DAY) == []
    desk.ledger.release("home", KEY, desk.now, who="ann", why="")
    desk.open()
    assert [name for name, _ in await desk.live(DAY)] == ["phone"], "and so is the next incident"


async def test_an_acknowledgement_is_of_what_was_open_then_whatever_the_clock_said(desk: Desk) -> None:
    """The clock was a day ahead when it was given."""
    first = desk.open()
    desk.ledger.acknowledge(at=desk.now + DAY, until=None, gateway="home", session=KEY, reason="", who="ann")
    assert await desk.live(2 * HOUR) == []
    desk.ledger.close_incident(first, Outcome.CLEARED, desk.now)
    second = desk.open()
    assert [matter.key[1] for matter in unacknowledged(desk.ledger, desk.now)] == [second]
    desk.ack()
    desk.quarantine(second)
    assert len(unacknowledged(desk.ledger, desk.now)) == 1, "nobody has acknowledged that"
    desk.ledger.acknowledge(at=desk.now + DAY, until=None, gateway="home", session=KEY, reason="", who="ann")
    assert unacknowledged(desk.ledger, desk.now) == []
    desk.ledger.release("home", KEY, desk.now, who="ann", why="")
    desk.clock.advance(HOUR)
    desk.quarantine(None)
    assert len(unacknowledged(desk.ledger, desk.now)) == 1


async def test_an_acknowledgement_is_of_one_gateways_session(desk: Desk) -> None:
    desk.open("home")
    desk.open("work")
    desk.ack()
    await desk.live(DAY)
    assert [message.gateway for _, _, message in desk.said] == ["work"]


async def test_of_a_gateway_that_is_not_watched_nobody_is_reminded(desk: Desk) -> None:
    desk.open()
    desk.watched = set()
    assert await desk.live(3 * DAY) == []
    desk.watched = {"home"}
    assert [name for name, _ in await desk.live(HOUR)] == ["phone"]


@pytest.mark.parametrize("is_acknowledged", [False, True])
async def test_what_was_over_before_the_target_came_back_is_not_said(desk: Desk, is_acknowledged: bool) -> None:
    incident = desk.open()
    sender = desk.senders[PHONE.url]
    sender.trouble = DeliveryFailed("it cannot be reached")
    await desk.live(DAY + HOUR)
    assert sender.tries >= 1
    sender.trouble = None
    if is_acknowledged:
        desk.ack()
    else:
        desk.ledger.close_incident(incident, Outcome.CLEARED, desk.now)
    assert await desk.live(2 * DAY) == []
    assert desk.ledger.due_messages("phone", desk.now) == []


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_of_each_matter_one_reminder_waits_for_its_target(is_restarted: bool) -> None:
    desk = Desk(replace(PHONE, remind_every=HOUR))
    matters = [desk.open("home"), desk.open("work")]
    sender = desk.senders[PHONE.url]
    sender.trouble = DeliveryFailed("it cannot be reached")
    assert await desk.live(10 * HOUR) == []
    assert sender.tries > 2
    if is_restarted:
        desk.die()
    sender.trouble = None
    while not desk.said:
        await desk.live(HOUR / 60)
    assert [message.incident for _, _, message in desk.said] == matters
    await desk.live(HOUR, step=HOUR / 60)
    later = [message.incident or "" for _, _, message in desk.said[2:]]
    assert sorted(later) == sorted(set(later)), "each once, as its time has come"
    desk.ledger.close()


async def test_a_clock_that_was_wrong_does_not_silence_it_for_years(desk: Desk) -> None:
    desk.clock.step(timedelta(days=1000))
    desk.open()
    assert [name for name, _ in await desk.live(DAY)] == ["phone"]
    desk.clock.step(timedelta(days=-1000))
    assert [name for name, _ in await desk.live(HOUR)] == ["phone"]
    assert await desk.live(DAY - HOUR) == []
    assert [name for name, _ in await desk.live(HOUR)] == ["phone"]


async def test_a_ledger_that_is_out_says_nothing_and_raises_nothing(desk: Desk) -> None:
    desk.open()
    desk.ledger.close()
    assert await desk.live(2 * DAY) == []


def test_when_it_is_due() -> None:
    now = START.wall
    assert is_due(now - DAY, DAY, now)
    assert not is_due(now - DAY + timedelta(milliseconds=1), DAY, now)
    assert not is_due(now + DAY, DAY, now)
    assert is_due(now + DAY + timedelta(milliseconds=1), DAY, now)


DEEDS = st.one_of(
    st.tuples(st.just("pass"), st.integers(1, 40 * 60)),
    st.tuples(st.just("step"), st.integers(-20 * 60, 20 * 60)),
    st.tuples(st.sampled_from(["open", "close", "quarantine", "release", "ack", "die", "break", "heal"]), st.just(0)),
    st.tuples(st.just("ack for"), st.integers(1, 40 * 60)),
)


@settings(max_examples=60)
@given(deeds=st.lists(DEEDS, max_size=40))
async def test_whatever_happens_nobody_is_reminded_twice_in_the_time_or_of_what_is_over(
    deeds: list[tuple[str, int]],
) -> None:
    desk = Desk(PHONE, MAIL)
    incident: str | None = None
    set_back = timedelta()
    """By how much the clock was, in all."""
    written: dict[tuple[str, ReminderKey], tuple[datetime, timedelta]] = {}
    for deed, minutes in deeds:
        span = timedelta(minutes=minutes)
        match deed:
            case "pass":
                desk.clock.advance(span)
            case "step":
                desk.clock.step(span)
                set_back += max(-span, timedelta())
            case "open" if not desk.ledger.quarantines():
                incident = desk.open()
            case "close" if incident is not None:
                desk.ledger.close_incident(incident, Outcome.CLEARED, desk.now)
            case "quarantine" if incident is not None and desk.ledger.open_incidents():
                desk.quarantine(incident)
            case "release":
                desk.ledger.release("home", KEY, desk.now, who="ann", why="")
            case "ack" | "ack for":
                desk.ack(span if deed == "ack for" else None)
            case "die":
                desk.die()
            case "break" | "heal":
                trouble = DeliveryFailed("away") if deed == "break" else None
                for sender in desk.senders.values():
                    sender.trouble = trouble
        before = len(desk.said)
        await desk.round()
        told = desk.said[before:]
        is_open: set[tuple[str, str | None]] = {("stuck", one.id) for one in desk.ledger.open_incidents()}
        is_open |= {("quarantined", one.incident) for one in desk.ledger.quarantines()}
        for name, _, message in told:
            assert (message.kind.value, message.incident) in is_open
            assert message.target == name
        for target in desk.targets:
            for key, at in desk.ledger.reminded(target.name).items():
                then, back = written.get((target.name, key), (at, set_back))
                if at != then:
                    assert target.remind_every is not None
                    assert at - then >= target.remind_every or set_back - back > target.remind_every
                if at != then or (target.name, key) not in written:
                    written[target.name, key] = at, set_back
    desk.ledger.close()


async def test_a_silent_day_is_followed_by_a_reminder_at_the_next_look() -> None:
    desk = Desk(PHONE)
    desk.open()
    await desk.live(DAY - timedelta(minutes=1), timedelta(minutes=1))
    assert desk.said == []
    await desk.live(LOOK_EVERY, timedelta(seconds=5))
    assert len(desk.said) == 1
    desk.ledger.close()
