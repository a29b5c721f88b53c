"""A gateway that is sick in every way, a supervisor that only writes down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from tests.fakes.clock import START, ManualClock
from tests.fakes.ledgers import memory_ledger
from watchdog.core.model import GatewayPhase, Moment
from watchdog.core.policy import Budget
from watchdog.gateway_restart.decision import Rule, Supervision, Unit
from watchdog.gateway_restart.restarter import Circumstances, Restarter, SupervisorAnswer
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service import errors
from watchdog.service.events import Event, MemoryLog
from watchdog.service.ledger import Message
from watchdog.service.outages import phase_of
from watchdog.service.pass_report import PassReport
from watchdog.service.ports import Disconnect
from watchdog.service.restart_record import WINDOW, Restart

NAME = "home"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
POLL = timedelta(seconds=30)
STALL = timedelta(minutes=3)
RULE = Rule(NAME, 3, 5 * MINUTE, Budget(2, WINDOW), "the command restart-it")
RUNNING = Supervision(Unit.RUNNING, "it is active.", 10 * HOUR)

REFUSED_CONNECTION = errors.GatewayUnreachable("home: nothing listens.", was_refused=True)
NO_WAY_THERE = errors.GatewayUnreachable("home: cannot connect (Too many open files).")
HANGS = errors.GatewayUnresponsive("home: it hangs.")
STARTING = errors.GatewayStarting("home: it starts.")
DRAINING = errors.GatewayDraining("home: it drains.")
SUSPENDED = errors.GatewaySuspended("home: it is suspended.")
REFUSES = errors.ListRefused("home: the gateway refuses its list of sessions.")
WRONG_TOKEN = errors.AuthenticationRefused("home: wrong token.")


def failed(
    problem: errors.GatewayError, at: Moment, *, answered: bool = False, last_disconnect: Disconnect | None = None
) -> PassReport:
    """A pass as ``Watch`` reports it when it ended with ``problem``."""
    return PassReport(
        NAME, at, phase_of(problem), str(problem), error=problem, was_answered=answered, last_disconnect=last_disconnect
    )


def good(at: Moment) -> PassReport:
    return PassReport(NAME, at, GatewayPhase.CONNECTED)


@dataclass
class FakeService:
    """Answers as told; ``restarts`` counts how often it was asked to restart."""

    supervision: Supervision = RUNNING
    asked: SupervisorAnswer = field(default_factory=lambda: SupervisorAnswer(False, "exit status 0"))
    looks: int = 0
    restarts: int = 0

    async def look(self, now: Moment) -> Supervision:
        self.looks += 1
        return self.supervision

    async def restart(self) -> SupervisorAnswer:
        self.restarts += 1
        return self.asked


@dataclass
class Story:
    """One gateway, watched pass by pass. ``died`` is a new life of the daemon on the same ledger."""

    rule: Rule = RULE
    clock: ManualClock = field(default_factory=lambda: ManualClock(may_sleep=False))
    service: FakeService = field(default_factory=FakeService)
    log: MemoryLog = field(default_factory=MemoryLog)
    circumstances: Circumstances = field(default_factory=Circumstances)
    ledger: SqliteLedger = field(init=False)
    restarter: Restarter = field(init=False)
    restarted_at: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = memory_ledger(self.clock)
        self.ledger.due_messages("phone", START.wall)
        self.died()

    def died(self) -> None:
        self.restarter = Restarter(
            self.rule, self.service, self.ledger.restarts, self.ledger, self.clock, self.log, STALL
        )

    async def see(self, report: PassReport) -> None:
        before = self.service.restarts
        if self.restarter.note(report, self.circumstances):
            await self.restarter.act()
        self.restarted_at += [self.clock.now()] * (self.service.restarts - before)

    async def well(self, span: timedelta = timedelta()) -> None:
        await self.see(good(self.clock.advance(span)))

    async def sick(
        self, span: timedelta, problem: errors.GatewayError = HANGS, *, answered: bool = False, every: timedelta = POLL
    ) -> None:
        """Passes that fail so, for ``span``."""
        end = self.clock.now().plus(span)
        while self.clock.now() < end:
            await self.see(failed(problem, self.clock.advance(every), answered=answered))

    @property
    def record(self) -> Sequence[Restart]:
        return self.ledger.restarts.restarts(NAME, START.wall - 1000 * HOUR)

    @property
    def told(self) -> list[Message]:
        return [owed.message for owed in self.ledger.due_messages("phone", self.clock.now().wall, 100)]

    @property
    def titles(self) -> list[str]:
        return [message.title for message in self.told]

    @property
    def reasons(self) -> list[str]:
        names = (Event.GATEWAY_UNHEALTHY, Event.GATEWAY_RESTARTED)
        return [str(line.fields["reason"]) for line in self.log.lines if line.name in names]
