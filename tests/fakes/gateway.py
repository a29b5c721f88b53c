"""The gateway of tests of the service. It keeps what ``ports.Gateway`` promises: ``tests/unit/fakes`` holds it to that."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.builders import BOOT, V96, facts, person_of, tail_of
from tests.fakes.clock import ManualClock
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
    Snapshot,
    Status,
    TailKind,
    TranscriptTail,
)
from watchdog.core.policy import Step
from watchdog.core.texts import mark_in
from watchdog.gateway.capabilities import step_problem_of
from watchdog.service import errors
from watchdog.service.ports import Deed, Disconnect, Receipt, Wants

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
    shown: dict[str, Any] = field(default_factory=dict)
    """What else a closer look at any session shows, by field of ``Look``."""
    spooled: set[str] = field(default_factory=set)
    """Keys of sessions whose chat app's spool still holds a message."""
    scope_problems: dict[Step, str] = field(default_factory=dict)
    wanted: list[frozenset[Step]] = field(default_factory=list)
    """What deeds may be, and what the configuration may ask for, each time it was said anew."""
    stopped_channels: tuple[str, ...] = ()
    more_methods: frozenset[str] = frozenset()
    """What its hello names beside what the version is known for."""
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
    _end: errors.GatewayError = field(init=False)
    """Why there is no connection."""
    _is_prepared: bool = False

    def __post_init__(self) -> None:
        self.booted_at: datetime | None = BOOT
        self.boot_id = "boot-1" if self.version == V96 else None
        self._end = errors.GatewayClosed(f"{self.name}: not connected.")

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
        self._facts, self._end = None, error
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

    def _call(self, method: str) -> GatewayFacts:
        """Over the connection: there must be one."""
        self._say(method)
        if self._facts is None:
            raise self._end
        return self._facts

    async def connect(self) -> GatewayFacts:
        self._say("connect")
        if self._facts is None:
            made = facts(
                self.version,
                name=self.name,
                booted_at=self.booted_at,
                boot_id=self.boot_id,
                state_dir=self.state_dir,
                clock_skew=self.clock_skew,
            )
            self._facts = replace(
                made, methods=made.methods | self.more_methods, stopped_channels=self.stopped_channels
            )
        return self._facts

    def pop_disconnect(self) -> Disconnect | None:
        loss, self.loss = self.loss, None
        return loss

    async def list_sessions(self, always_read: Collection[str] | None = None, *, sweep: bool = False) -> Snapshot:
        self._call("list")
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
        worth = self._call("look").capabilities
        look = Look()
        if wants.lock and self.state_dir is not None:
            look = replace(look, lock=self.locks.get(session.key))
        if wants.preflight and worth.has_preflight and self.busy is not None:
            look = replace(look, preflight=Preflight(self.busy, self.clock.now()))
        if wants.tail:
            look = replace(look, tail=self.tails.get(session.key, tail_of(by=person_of(session.key))))
            look = look if look.tail is not None else replace(look, problems=("chat.history: it was refused.",))
        if wants.people and look.tail is not None:
            people = {one.sender.id for one in look.tail.asked if one.sender.kind is SenderKind.PERSON}
            fair = [self.rights.get(who) or SenderRights(who, False, False) for who in people if who is not None]
            look = replace(look, rights=tuple(fair), will_redeliver=session.key in self.spooled)
            look = replace(look, chat_accounts=(ChatAccount("telegram"), ChatAccount("irc")))
        if wants.pending:
            look = replace(look, **self.shown)
        if wants.abort_probe:
            assert worth.has_abort_probe, "it would kill the run"
            assert worth.lock is LockWorth.WHOLE_RUN
            look = replace(look, abort_probe_unauthorized=self.probes.get(session.key))
        return look

    def step_problem(self, step: Step, session: Session) -> str | None:
        if self._facts is None:
            return "There is no connection to the gateway."
        return self.step_problems.get(step) or step_problem_of(self._facts.methods, step, session)

    def want(self, steps: frozenset[Step]) -> None:
        self.wanted.append(steps)

    def missing_scope(self, step: Step) -> str | None:
        return self.scope_problems.get(step)

    def may_act_as_admin(self) -> bool:
        return self.has_admin

    async def prepare(
        self, step: Step, session: Session, *, route: ReplyAddress | None = None, is_as_owner: bool = False
    ) -> None:
        self._call("prepare")
        if step in self.scope_problems:
            raise errors.ScopeRefused(self.scope_problems[step])
        if route is not None and self.channel_problem is not None:
            raise errors.ChannelDown(self.channel_problem)
        self.at_fence()
        self._is_prepared = True

    async def perform(self, deed: Deed) -> Receipt:
        if not self._is_prepared:
            await self.prepare(deed.step, deed.session, route=deed.route, is_as_owner=deed.is_as_owner)
        self._is_prepared = False
        self.calls.append("perform")
        self.performed.append(deed)
        if "perform" in self.failing:
            raise self.failing["perform"]
        return (self.effect or self.cure)(deed)

    async def delivered(self, run_id: str) -> bool | None:
        self._say("delivered")
        return self.delivery

    async def health_problem(self) -> str | None:
        self._call("health")
        return self.sickness

    async def close(self) -> None:
        self._facts, self._end = None, errors.GatewayClosed(f"{self.name}: not connected.")
        self._is_prepared = False

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
            return Receipt(deed.idempotency_key, "started", delivered=True if deed.notice else None)
        else:
            mark = mark_in(deed.message) if deed.message is not None else None
            self.finish(key, mark=mark, started_at=later, updated_at=later)
        return Receipt(deed.idempotency_key, "started")

    def finish(self, key: str, *, by: Sender | None = None, mark: str | None = None, **changes: Any) -> None:
        """A run ends well: its answer is the last thing said, to what was asked last, to what ``by`` wrote as it began, or to the turn
        of ours that ends with ``mark``."""
        said = self.tails.get(key, tail_of(by=person_of(key)))
        if said is not None:
            asked = said.asked if by is None else (Asked(by, "again", changes["started_at"]),)
            fingerprint = f"{said.fingerprint}, answered"
            seen = replace(said, kind=TailKind.ANSWERED, fingerprint=fingerprint, asked=asked)
            self.see(key, tail=replace(seen, deed_mark=mark or said.deed_mark))
        self.change(key, status=Status.DONE, **changes)

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
