"""A whole watch in a box: a scripted gateway, a clock that is told, a ledger in memory, a log that remembers.

Nothing here decides anything: the gateway says what its script says, and the tests look at what was sent to it, what the
ledger holds and what was written down.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.clock import START, ManualClock
from watchdog.core.model import (
    Asked,
    ChatAccount,
    GatewayFacts,
    LockSight,
    LockWorth,
    Look,
    MalformedRow,
    Preflight,
    ReplyAddress,
    Sender,
    SenderKind,
    SenderRights,
    Session,
    SessionKind,
    Snapshot,
    Status,
    TailKind,
    TranscriptTail,
)
from watchdog.core.policy import Budget, FleetBreakerLimits, Policy, PolicyBook, Recovery, Step, Thresholds
from watchdog.core.recovery import Attempt
from watchdog.core.session_key import peer_of
from watchdog.gateway.capabilities import capabilities_of
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service import errors
from watchdog.service.events import Event, MemoryLog
from watchdog.service.ledger import Incident, Message, MessageKind, OwedMessage
from watchdog.service.pass_report import PassReport
from watchdog.service.ports import Deed, Disconnect, Gateway, Receipt, Wants
from watchdog.service.watch import Watch

V324, V414, V518, V96 = "2026.3.24", "2026.4.14", "2026.5.18", "2026.9.6"
BOOT = START.wall - timedelta(days=1)
IRC = ReplyAddress("irc", "irc:alice", "default")
ALICE = Sender(SenderKind.PERSON, "alice!~alice@127.0.0.1", "Alice")
"""The person of the chat that ``IRC`` leads to."""
POLL = timedelta(seconds=30)
REQUEST = "please do the long task LONGTASK-7"
TELL = "pager"
"""The one configured target of messages."""


@dataclass
class FakeNotes:
    """Keeps handoff notes; ``broken`` says that the disk is full."""

    saved: list[tuple[str, int, str]] = field(default_factory=list)
    broken: bool = False

    def save(self, incident: str, number: int, text: str) -> str:
        if self.broken:
            raise errors.LedgerUnavailable("the disk is full")
        self.saved.append((incident, number, text))
        return f"/notes/{incident}-a{number}.md"


@dataclass
class CountingMeter:
    """Remembers what was counted, by name."""

    counted: list[tuple[object, ...]] = field(default_factory=list)

    def polled(self, gateway: str, seconds: float, size_bytes: int) -> None: ...

    def gateway_up(self, gateway: str, *, is_up: bool) -> None:
        self.counted.append(("gateway_up", is_up))

    def sessions(self, gateway: str, verdicts: dict[str, int]) -> None: ...

    def cycle_completed(self, at: datetime) -> None: ...

    def incidents_open(self, gateway: str, count: int) -> None: ...

    def quarantined(self, gateway: str, count: int) -> None: ...

    def attempt(self, gateway: str, step: str, state: str) -> None:
        self.counted.append(("attempt", step, state))

    def held(self, gateway: str, blocker: str) -> None:
        self.counted.append(("held", blocker))

    def detection_delay(self, seconds: float) -> None:
        self.counted.append(("delay", seconds))

    def notification(self, state: str) -> None: ...


def dead(key: str = "agent:main:irc:direct:alice", **changes: Any) -> Session:
    """A row whose run started an hour before the gateway did: nothing can work on it."""
    peer = peer_of(key)
    made = Session(
        key,
        Status.RUNNING,
        session_id=f"sid-{key}",
        kind=SessionKind.DIRECT,
        agent_id="main",
        channel="irc",
        reply_address=IRC if peer is None else ReplyAddress(peer.channel, f"{peer.channel}:{peer.chat}", "default"),
        last_writer=ALICE.id if peer is None else None,
        started_at=BOOT - timedelta(hours=1),
        updated_at=BOOT - timedelta(hours=1),
        has_active_run=False,
    )
    return replace(made, **changes)


def vague(key: str = "agent:main:irc:direct:alice", **changes: Any) -> Session:
    """A row that started after the boot, and about whose run nothing is known."""
    return dead(key, **{"started_at": START.wall - timedelta(minutes=1), "has_active_run": None, **changes})


def person_of(key: str) -> Sender:
    """Who writes to such a session: the person its key names, else Alice."""
    peer = peer_of(key)
    if peer is None or not peer.is_person:
        return ALICE
    return Sender(SenderKind.PERSON, f"{peer.chat}!~{peer.chat}@127.0.0.1", peer.chat.capitalize())


def tail_of(kind: TailKind = TailKind.REQUEST, *, by: Sender = ALICE, **changes: Any) -> TranscriptTail:
    """A transcript that ends with a person's request; ``request=None``: nothing of it is left."""
    at = START.wall - timedelta(minutes=5)
    made = TranscriptTail(kind, "tail-1", request=REQUEST, last_answer="earlier", at=at)
    made = replace(made, **changes)
    if made.request is not None and "asked" not in changes:
        made = replace(made, asked=(Asked(by, made.request, made.at),))
    return made


Effect = Callable[[Deed], Receipt]


@dataclass
class FakeGateway:
    """``ports.Gateway`` by script. Every public field may be changed between, and during, passes."""

    clock: ManualClock
    version: str = V96
    state_dir: str | None = None
    name: str = "home"
    rows: dict[str, Session] = field(default_factory=dict)
    tails: dict[str, TranscriptTail | None] = field(default_factory=dict)
    """None: cannot be read. Not listed: an unanswered request."""
    locks: dict[str, LockSight] = field(default_factory=dict)
    probes: dict[str, bool] = field(default_factory=dict)
    busy: int | None = None
    """What preflight counts; None: no answer."""
    malformed: tuple[MalformedRow, ...] = ()
    is_complete: bool = True
    latency: float = 0.0
    clock_skew: timedelta | None = None
    clock_stepped: bool = False
    sickness: str | None = None
    rights: dict[str, SenderRights] = field(default_factory=dict)
    """What the configuration says of a sender; not listed: no rules, and not the owner."""
    has_admin: bool = True
    channel_problem: str | None = None
    """Why the chat app cannot be reached."""
    spooled: set[str] = field(default_factory=set)
    """Keys of sessions whose chat app's spool still holds a message."""
    scope_problems: dict[Step, str] = field(default_factory=dict)
    wanted: list[tuple[frozenset[Step], frozenset[Step]]] = field(default_factory=list)
    """What deeds may be, and what the configuration may ask for, each time it was said anew."""
    step_problems: dict[Step, str] = field(default_factory=dict)
    failing: dict[str, errors.GatewayError] = field(default_factory=dict)
    """Method -> what it raises."""
    effect: Effect | None = None
    """What a deed does; None: the turn is done at once."""
    at_fence: Callable[[], object] = lambda: None
    """Called when we sign in for a deed: what happens between the decision and the last look."""
    delivery: bool | None = None
    performed: list[Deed] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    asked: list[tuple[frozenset[str] | None, bool]] = field(default_factory=list)
    """(``always_read``, ``sweep``) of every list that was asked for."""
    carries: frozenset[str] = frozenset()
    """Keys of rows that a glance carries over; none: every list is a sweep."""
    loss: Disconnect | None = None
    _facts: GatewayFacts | None = None

    def __post_init__(self) -> None:
        self.booted_at: datetime | None = BOOT
        self.boot_id = "boot-1" if self.version == V96 else None

    # ------------------------------------------------ what happens to it

    def put(self, *rows: Session) -> FakeGateway:
        self.rows |= {row.key: row for row in rows}
        return self

    def be(self, **changes: Any) -> FakeGateway:
        """Set public fields."""
        for name, value in changes.items():
            assert hasattr(self, name), name
            setattr(self, name, value)
        return self

    def see(self, key: str, *, tail: TranscriptTail | None = None, lock: LockSight | None = None) -> FakeGateway:
        """What a closer look at this session shows."""
        if tail is not None:
            self.tails[key] = tail
        if lock is not None:
            self.locks[key] = lock
        return self

    def change(self, key: str, **changes: Any) -> None:
        self.rows[key] = replace(self.rows[key], **changes)

    def drop(self, error: errors.GatewayError) -> None:
        """The connection ends, as the client would notice it."""
        self._facts = None
        self.loss = Disconnect(error, self.clock.now())

    def restart(self, *, in_process: bool = False) -> None:
        """A new life; the connection ends with it."""
        self.drop(errors.GatewayDraining("home: the gateway closed the connection to restart or stop."))
        if not in_process:
            self.booted_at = self.clock.now().wall
        if self.boot_id is not None:
            self.boot_id = f"boot-{self.clock.now().monotonic}"

    # ------------------------------------------------ ports.Gateway

    def _say(self, method: str) -> None:
        self.calls.append(method)
        if method in self.failing:
            raise self.failing[method]

    async def connect(self) -> GatewayFacts:
        self._say("connect")
        if self._facts is None:
            methods = frozenset({"gateway.restart.preflight"} if self.version in (V518, V96) else ())
            self._facts = GatewayFacts(
                self.name,
                self.version,
                capabilities_of(self.version, methods),
                self.booted_at,
                self.boot_id,
                methods,
                state_dir=self.state_dir,
                clock_skew=self.clock_skew,
            )
        return self._facts

    def pop_disconnect(self) -> Disconnect | None:
        loss, self.loss = self.loss, None
        return loss

    async def list_sessions(self, always_read: Collection[str] | None = None, *, sweep: bool = False) -> Snapshot:
        self._say("list")
        self.asked.append((frozenset(always_read) if always_read is not None else None, sweep))
        asked_at = self.clock.now()
        self.clock.advance(self.latency)
        return Snapshot(
            asked_at,
            self.clock.now(),
            tuple(self.rows.values()),
            self.is_complete,
            self.malformed,
            gateway_clock_stepped=self.clock_stepped,
            is_sweep=always_read is None or sweep or not self.carries,
            carried=frozenset(self.carries & self.rows.keys())
            if always_read is not None and not sweep
            else frozenset(),
        )

    async def look(self, session: Session, wants: Wants) -> Look:
        self._say("look")
        look = Look()
        assert self._facts is not None
        worth = self._facts.capabilities
        if wants.lock and self.state_dir is not None:
            look = replace(look, lock=self.locks.get(session.key))
        if wants.preflight and worth.has_preflight and self.busy is not None:
            look = replace(look, preflight=Preflight(self.busy, self.clock.now()))
        if wants.tail:
            look = replace(look, tail=self.tails.get(session.key, tail_of(by=person_of(session.key))))
        if wants.people and look.tail is not None:
            people = {one.sender.id for one in look.tail.asked if one.sender.kind is SenderKind.PERSON}
            fair = [self.rights.get(who) or SenderRights(who, False, False) for who in people if who is not None]
            look = replace(look, rights=tuple(fair), will_redeliver=session.key in self.spooled)
            look = replace(look, chat_accounts=(ChatAccount("telegram"), ChatAccount("irc")))
        if wants.abort_probe:
            assert worth.has_abort_probe, "it would kill the run"
            assert worth.lock is LockWorth.WHOLE_RUN
            look = replace(look, abort_probe_unauthorized=self.probes.get(session.key))
        return look

    def step_problem(self, step: Step, session: Session) -> str | None:
        return self.step_problems.get(step)

    def want(self, steps: frozenset[Step], configured: frozenset[Step]) -> None:
        self.wanted.append((steps, configured))

    def missing_scope(self, step: Step) -> str | None:
        return self.scope_problems.get(step)

    def may_act_as_admin(self) -> bool:
        return self.has_admin

    async def prepare(
        self, step: Step, session: Session, *, route: ReplyAddress | None = None, is_as_owner: bool = False
    ) -> None:
        self._say("prepare")
        if route is not None and self.channel_problem is not None:
            raise errors.ChannelDown(self.channel_problem)
        self.at_fence()

    async def perform(self, deed: Deed) -> Receipt:
        self.calls.append("perform")
        self.performed.append(deed)
        if "perform" in self.failing:
            raise self.failing["perform"]
        return (self.effect or self.cure)(deed)

    async def delivered(self, run_id: str) -> bool | None:
        self._say("delivered")
        return self.delivery

    async def health_problem(self) -> str | None:
        self._say("health")
        return self.sickness

    async def close(self) -> None:
        self._facts = None

    # ------------------------------------------------ effects of deeds

    def cure(self, deed: Deed) -> Receipt:
        """The step works as it should: a new run ends well, or the row is cleared."""
        later = self.clock.now().wall + timedelta(seconds=1)
        key = deed.session.key
        if deed.step is Step.ASK:
            return Receipt(None, "send: ok", delivered=True)
        if deed.step is Step.FREE:
            self.change(
                key, status=Status.FAILED, last_run_error="restart recovery claim changed before agent adoption"
            )
        elif deed.step.loses_context:
            self.change(key, status=Status.ABSENT, started_at=None, session_id=f"{deed.session.session_id}-new")
        else:
            self.change(key, status=Status.DONE, started_at=later, updated_at=later)
        return Receipt(deed.idempotency_key, "started")

    def nothing(self, deed: Deed) -> Receipt:
        """It says "started", and nothing comes of it."""
        return Receipt(deed.idempotency_key, "started")

    def hang(self, deed: Deed) -> Receipt:
        """A new run starts, alive and silent."""
        later = self.clock.now().wall + timedelta(seconds=1)
        self.change(deed.session.key, started_at=later, updated_at=later, has_active_run=True)
        return Receipt(deed.idempotency_key, "started")

    def fail(self, deed: Deed) -> Receipt:
        """The new run fails at once."""
        later = self.clock.now().wall + timedelta(seconds=1)
        self.change(deed.session.key, status=Status.FAILED, started_at=later)
        return Receipt(deed.idempotency_key, "started")


def policy(
    *, thresholds: dict[str, Any] | None = None, match: Any = None, name: str = "default", **recovery: Any
) -> Policy:
    made = Policy(name, Thresholds(**(thresholds or {})), Recovery(**recovery))
    return replace(made, match=match) if match is not None else made


def lenient(**recovery: Any) -> Policy:
    """Short waits between attempts, so that stories stay short; everything else as shipped."""
    return policy(**{"backoff": (timedelta(minutes=1),), **recovery})


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
        self.ledger = SqliteLedger.in_memory(wall=lambda: self.clock.now().wall)
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
        """Passes at every bell for so long; the first one now."""
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


def breaker(sessions: int, share: float = 0.5) -> FleetBreakerLimits:
    return FleetBreakerLimits(sessions, share)


def budget(attempts: int, hours: float = 72) -> Budget:
    return Budget(attempts, timedelta(hours=hours))
