"""A whole watch in a box: a scripted gateway, a clock that is told, a ledger in memory, a log that remembers.

Nothing here decides anything: the gateway says what its script says, and the tests look at what was sent to it, what the
ledger holds and what was written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from tests.fakes.builders import V96
from tests.fakes.clock import ManualClock
from tests.fakes.gateway import FakeGateway
from tests.fakes.ledgers import memory_ledger
from tests.fakes.meter import CountingMeter
from tests.fakes.notes import FakeNotes
from watchdog.core.policy import PolicyBook, Step
from watchdog.core.recovery import Attempt
from watchdog.service import errors
from watchdog.service.events import Event, MemoryLog
from watchdog.service.ledger import Incident, Message, MessageKind, OwedMessage
from watchdog.service.pass_report import PassReport
from watchdog.service.ports import Gateway
from watchdog.service.watch import Watch

POLL = timedelta(seconds=30)
TELL = "pager"
"""The one configured target of messages."""


@dataclass
class World:
    """See the module's docstring."""

    book: PolicyBook = field(default_factory=PolicyBook)
    version: str = V96
    state_dir: str | None = None
    poll_every: timedelta = POLL
    is_observing: bool = False
    clock: ManualClock = field(default_factory=ManualClock)
    notes: FakeNotes = field(default_factory=FakeNotes)
    meter: CountingMeter = field(default_factory=CountingMeter)
    log: MemoryLog = field(default_factory=MemoryLog)
    reports: list[PassReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gateway = FakeGateway(self.clock, self.version, self.state_dir)
        self.ledger = memory_ledger(self.clock)
        self.ledger.due_messages(TELL, self.clock.now().wall)
        self.watch = self.new_watch()

    def new_watch(self, gateway: Gateway | None = None) -> Watch:
        return Watch(
            gateway=gateway or self.gateway,
            book=self.book,
            ledger=self.ledger,
            notes=self.notes,
            clock=self.clock,
            log=self.log,
            meter=self.meter,
            poll_every=self.poll_every,
            is_observing=self.is_observing,
        )

    # ------------------------------------------------ time

    async def look(self) -> PassReport:
        """One pass, now."""
        report = await self.watch.pass_once()
        self.reports.append(report)
        return report

    async def live(self, *, minutes: float = 0, hours: float = 0, seconds: float = 0) -> None:
        """Passes at every interval for so long; the first one now."""
        end = self.clock.now().plus(timedelta(minutes=minutes, hours=hours, seconds=seconds))
        while self.clock.now() < end:
            await self.look()
            self.clock.advance(self.poll_every.total_seconds())

    async def until_deed(self, count: int = 1, *, minutes: float = 90) -> timedelta:
        """Live until so many deeds were sent; how long that took."""
        began = self.clock.now()
        end = began.plus(timedelta(minutes=minutes))
        while len(self.gateway.performed) < count:
            assert self.clock.now() < end, f"no deed within {minutes} minutes; held by {self.held()}"
            await self.look()
            if len(self.gateway.performed) < count:
                self.clock.advance(self.poll_every.total_seconds())
        return self.clock.now().since(began)

    def die_and_start_again(self) -> None:
        """The daemon is gone without a word, and a new one takes over the ledger."""
        self.gateway.drop(errors.GatewayClosed("home: closed by us.", 1000))
        self.gateway.pop_disconnect()
        self.watch = self.new_watch()
        self.ledger.settle_start_up(self.clock.now().wall)

    # ------------------------------------------------ what came of it

    @property
    def steps(self) -> list[Step]:
        """Every deed that left us, in order."""
        return [deed.step for deed in self.gateway.performed]

    @property
    def incidents(self) -> Sequence[Incident]:
        """Oldest first."""
        return list(reversed(self.ledger.history()))

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for incident in self.incidents for attempt in incident.attempts]

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(attempt.step.value, attempt.state.value) for attempt in self.attempts]

    def owed(self, kind: MessageKind | None = None) -> list[Message]:
        """Every message that a person would get, in order."""
        found: list[OwedMessage] = list(self.ledger.due_messages(TELL, self.clock.now().wall, limit=1000))
        return [one.message for one in found if kind is None or one.message.kind is kind]

    def told(self) -> list[str]:
        return [message.kind.value for message in self.owed()]

    def held(self) -> list[str]:
        """The blockers named when a deed was last held."""
        lines = self.log.of(Event.RECOVERY_HELD)
        names = lines[-1]["blockers"] if lines else []
        assert isinstance(names, list)
        return names

    def verdict_of(self, key: str) -> str:
        judged = next(item for item in self.reports[-1].judged if item.session.key == key)
        return judged.judgement.verdict.value
