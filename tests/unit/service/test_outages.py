"""An outage that one life of the daemon, or one replica, told of, and another sees the end of."""

from __future__ import annotations

from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import memory_ledger
from watchdog.core.model import GatewayPhase
from watchdog.service import errors
from watchdog.service.events import MemoryLog
from watchdog.service.ledger import Message
from watchdog.service.outages import Outages
from watchdog.service.pass_report import PassReport

AWAY = errors.GatewayUnreachable("connection refused")


class Desk:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ledger = memory_ledger(self.clock)

    def begun(self, gateway: str = "home") -> Outages:
        return Outages(gateway, self.ledger, MemoryLog())

    def pass_of(self, outages: Outages, *, is_there: bool) -> None:
        now = self.clock.advance(30)
        if is_there:
            outages.tell(PassReport(outages.gateway, now, GatewayPhase.CONNECTED))
            return
        outages.note_failure(AWAY, now, was_connected=False)
        outages.tell(PassReport(outages.gateway, now, GatewayPhase.DOWN, str(AWAY), error=AWAY))

    def told(self) -> list[Message]:
        return [one.message for one in self.ledger.due_messages("pager", self.clock.now().wall)]

    def titles(self) -> list[str]:
        return [message.title for message in self.told()]


def _passes(desk: Desk, outages: Outages, count: int, *, is_there: bool = False) -> None:
    for _ in range(count):
        desk.pass_of(outages, is_there=is_there)


def test_who_was_told_that_it_is_away_is_told_that_it_is_back() -> None:
    desk = Desk()
    _passes(desk, desk.begun(), 10)
    second = desk.begun()
    _passes(desk, second, 2)
    _passes(desk, second, 3, is_there=True)
    assert desk.titles() == ["Gateway home is down", "Gateway home is back"]
    assert "is back (away since " in desk.told()[1].body, "for how long, nobody saw"
    _passes(desk, desk.begun(), 3, is_there=True)
    assert len(desk.told()) == 2, "once"


def test_a_life_that_begins_without_its_ledger_says_so_when_it_has_it() -> None:
    desk = Desk()
    _passes(desk, desk.begun(), 10)
    second = Outages("home", memory_ledger(desk.clock), MemoryLog())
    second.tell(PassReport("home", desk.clock.advance(30), GatewayPhase.CONNECTED), is_ledger_writable=False)
    second.ledger = desk.ledger
    _passes(desk, second, 2, is_there=True)
    assert desk.titles() == ["Gateway home is down", "Gateway home is back"]


def test_an_outage_told_again_by_the_next_life_ends_once() -> None:
    desk = Desk()
    _passes(desk, desk.begun(), 10)
    second = desk.begun()
    _passes(desk, second, 10)
    _passes(desk, second, 3, is_there=True)
    _passes(desk, desk.begun(), 3, is_there=True)
    assert desk.titles() == ["Gateway home is down"] * 2 + ["Gateway home is back"]


def test_nothing_is_said_of_one_that_nobody_was_told_of() -> None:
    desk = Desk()
    _passes(desk, desk.begun("work"), 10)
    first = desk.begun()
    _passes(desk, first, 2)
    _passes(desk, desk.begun(), 3, is_there=True)
    assert desk.titles() == ["Gateway work is down"]
