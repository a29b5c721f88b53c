"""Any sequence of calls, on a file shared by two connections, against a model that a person can read in one sitting."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.postgresql import Server
from watchdog.adapters.clock import SystemClock
from watchdog.core.policy import Step
from watchdog.core.recovery import IN_FLIGHT, LIFE, AttemptState
from watchdog.ledger.ledger import LedgerRefused, SqlLedger
from watchdog.ledger.place import LedgerPlace
from watchdog.service.ledger import Message, MessageKind, Outcome, Quarantine

from .support import T0

DAY = timedelta(days=1)
GATEWAYS = st.sampled_from(["home", "work"])
SESSIONS = st.sampled_from(["main", "side"])
SCOPES = st.none() | GATEWAYS
TARGETS = ("phone", "mail")
KEYS = st.sampled_from([f"key-{n}" for n in range(6)])
SIDES = st.booleans()


@dataclass
class Tried:
    """An attempt, as the model knows it."""

    id: int
    number: int
    step: Step
    state: AttemptState = AttemptState.PLANNED
    started_at: datetime | None = None
    settled_at: datetime | None = None
    is_charged: bool = False
    is_forgiven: bool = False


@dataclass
class Trouble:
    """An incident."""

    id: str
    gateway: str
    session: str
    opened_at: datetime
    outcome: Outcome = Outcome.OPEN
    closed_at: datetime | None = None
    tried: list[Tried] = field(default_factory=list)


@dataclass(frozen=True)
class Fate:
    """A message at one target."""

    tries: int = 0
    next_try_at: datetime | None = None
    is_delivered: bool = False
    given_up_at: datetime | None = None


@dataclass
class Owed:
    key: str
    created_at: datetime
    incident: str | None = None
    fates: dict[str, Fate] = field(default_factory=lambda: dict.fromkeys(TARGETS, Fate()))


@dataclass
class Held:
    id: int
    gateway: str | None
    session: str | None
    until: datetime | None
    ended_at: datetime | None = None

    def is_in_force(self, now: datetime) -> bool:
        return self.ended_at is None and (self.until is None or now < self.until)


class AgainstAModel(RuleBasedStateMachine):
    """``a`` is the daemon, ``b`` an operator's connection; which of them acts is drawn."""

    def new_database(self) -> str | None:
        """None: a file."""
        return None

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ocw-model-"))
        self.place = LedgerPlace(self.folder, SystemClock(), self.new_database())
        self.a = self.place.open(owner=True)
        self.b = self.place.open()
        self.now = T0
        self.troubles: list[Trouble] = []
        self.owed: dict[str, Owed] = {}
        self.quarantined: dict[tuple[str, str], Quarantine] = {}
        self.held: list[Held] = []
        for target in TARGETS:
            self.a.due_messages(target, self.now - DAY)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.a.close()
            self.b.close()
            shutil.rmtree(self.folder)

    def ledger(self, is_daemon: bool) -> SqlLedger:
        return self.a if is_daemon else self.b

    # ------------------------------------------------------------ time and restarts

    @rule(milliseconds=st.integers(1, 40 * 3600 * 1000))
    def time_passes(self, milliseconds: int) -> None:
        self.now += timedelta(milliseconds=milliseconds)

    @rule()
    def daemon_restarts(self) -> None:
        self.a.close()
        self.a = self.place.open(owner=True)
        owed = self.a.settle_start_up(self.now)
        for one in self.all_tried():
            if one.state is AttemptState.PLANNED:
                one.state, one.settled_at = AttemptState.ABANDONED, self.now
            elif one.state is AttemptState.STARTED:
                one.state = AttemptState.INDETERMINATE
        assert [one.id for one in owed] == [
            one.id
            for one in sorted(self.all_tried(), key=lambda one: one.id)
            if one.state is AttemptState.INDETERMINATE
        ]

    # ------------------------------------------------------------ incidents and attempts

    @rule(is_daemon=SIDES, gateway=GATEWAYS, session=SESSIONS, key=KEYS)
    def open_incident(self, is_daemon: bool, gateway: str, session: str, key: str) -> None:
        found = self.ledger(is_daemon).open_incident(
            gateway=gateway, session=session, session_id=None, reason="r", at=self.now, messages=[message(key)]
        )
        for one in self.troubles:
            if (one.gateway, one.session) == (gateway, session) and one.closed_at is None:
                assert found.id == one.id
                return
        assert found.id not in {one.id for one in self.troubles}
        self.troubles.append(Trouble(found.id, gateway, session, self.now))
        self.note_owed(key)

    @precondition(lambda self: self.troubles)
    @rule(is_daemon=SIDES, data=st.data(), outcome=st.sampled_from([Outcome.RECOVERED, Outcome.CLEARED]), key=KEYS)
    def close_incident(self, is_daemon: bool, data: st.DataObject, outcome: Outcome, key: str) -> None:
        one = data.draw(st.sampled_from(self.troubles))
        done = self.ledger(is_daemon).close_incident(one.id, outcome, self.now, [message(key)])
        assert done is (one.closed_at is None)
        if done:
            self.close(one, outcome)
            self.note_owed(key)

    def close(self, one: Trouble, outcome: Outcome) -> None:
        one.outcome, one.closed_at = outcome, self.now
        for each in one.tried:
            if each.state is AttemptState.PLANNED:
                each.state, each.settled_at = AttemptState.ABANDONED, self.now

    @precondition(lambda self: self.troubles)
    @rule(is_daemon=SIDES, data=st.data(), step=st.sampled_from(Step))
    def plan(self, is_daemon: bool, data: st.DataObject, step: Step) -> None:
        one = data.draw(st.sampled_from(self.troubles))
        ledger = self.ledger(is_daemon)
        if one.closed_at is not None:
            with pytest.raises(LedgerRefused):
                ledger.plan_attempt(one.id, step, self.now, before=None, before_tail=None)
            return
        attempt = ledger.plan_attempt(one.id, step, self.now, before=None, before_tail=None)
        assert attempt.number == len(one.tried) + 1
        assert attempt.idempotency_key == f"ocw-{one.id}-{attempt.number}"
        one.tried.append(Tried(attempt.id, attempt.number, step))

    @precondition(lambda self: any(True for _ in self.all_tried()))
    @rule(is_daemon=SIDES, data=st.data())
    def claim(self, is_daemon: bool, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.all_tried()))
        trouble = next(trouble for trouble in self.troubles if one in trouble.tried)
        is_free = trouble.closed_at is None and not any(other.state in IN_FLIGHT for other in trouble.tried)
        won = self.ledger(is_daemon).claim_attempt(one.id, self.now)
        assert won is (one.state is AttemptState.PLANNED and is_free)
        if won:
            one.state, one.started_at, one.is_charged = AttemptState.STARTED, self.now, True

    @precondition(lambda self: any(True for _ in self.all_tried()))
    @rule(is_daemon=SIDES, data=st.data(), to=st.sampled_from(AttemptState), key=KEYS)
    def settle(self, is_daemon: bool, data: st.DataObject, to: AttemptState, key: str) -> None:
        one = data.draw(st.sampled_from(self.all_tried()))
        is_allowed = to in LIFE.get(one.state, frozenset()) and to is not AttemptState.STARTED
        done = self.ledger(is_daemon).settle_attempt(one.id, to, self.now, reason="r", messages=[message(key)])
        assert done is is_allowed
        if done:
            one.state = to
            one.settled_at = None if to in LIFE else self.now
            one.is_charged = one.is_charged and to is not AttemptState.REFUSED
            self.note_owed(key)

    # ------------------------------------------------------------ operators

    @rule(is_daemon=SIDES, gateway=GATEWAYS, session=SESSIONS, key=KEYS, data=st.data())
    def quarantine(self, is_daemon: bool, gateway: str, session: str, key: str, data: st.DataObject) -> None:
        ids = [one.id for one in self.troubles]
        named = data.draw(st.none() | st.sampled_from(ids) if ids else st.none())
        entry = Quarantine(gateway, session, None, self.now, "r", named)
        is_new = self.ledger(is_daemon).quarantine(entry, [message(key)])
        assert is_new is ((gateway, session) not in self.quarantined)
        for one in self.troubles:
            if one.id == named and one.closed_at is None:
                self.close(one, Outcome.QUARANTINED)
        if is_new:
            self.quarantined[gateway, session] = entry
            self.note_owed(key)

    @rule(is_daemon=SIDES, gateway=SCOPES, session=SESSIONS)
    def release(self, is_daemon: bool, gateway: str | None, session: str) -> None:
        lifted = self.ledger(is_daemon).release(gateway, session, self.now, who="ann", why="x")
        mine = {key for key in self.quarantined if key[1] == session and gateway in (None, key[0])}
        assert {(one.gateway, one.session) for one in lifted} == mine
        for key in mine:
            del self.quarantined[key]
        for trouble in self.troubles:
            if trouble.session == session and gateway in (None, trouble.gateway):
                for one in trouble.tried:
                    one.is_forgiven = one.is_forgiven or one.is_charged

    @rule(is_daemon=SIDES, gateway=SCOPES, session=st.none() | SESSIONS, hours=st.none() | st.integers(1, 50))
    def pause(self, is_daemon: bool, gateway: str | None, session: str | None, hours: int | None) -> None:
        until = None if hours is None else self.now + timedelta(hours=hours)
        made = self.ledger(is_daemon).pause(
            at=self.now, until=until, gateway=gateway, session=session, reason="r", who="ann"
        )
        self.held.append(Held(made.id, gateway, session, until))

    @rule(is_daemon=SIDES, gateway=SCOPES, session=st.none() | SESSIONS)
    def unpause(self, is_daemon: bool, gateway: str | None, session: str | None) -> None:
        ended = self.ledger(is_daemon).unpause(at=self.now, gateway=gateway, session=session, who="ann")
        is_all = gateway is None and session is None
        mine = [
            one
            for one in self.held
            if one.is_in_force(self.now) and (is_all or (one.gateway, one.session) == (gateway, session))
        ]
        assert [one.id for one in ended] == [one.id for one in mine]
        for one in mine:
            one.ended_at = self.now

    # ------------------------------------------------------------ messages

    @rule(is_daemon=SIDES, key=KEYS)
    def owe(self, is_daemon: bool, key: str) -> None:
        assert self.ledger(is_daemon).owe([message(key)], self.now) == int(key not in self.owed)
        self.note_owed(key)

    @rule(
        is_daemon=SIDES,
        data=st.data(),
        place=st.sampled_from(TARGETS),
        how=st.sampled_from(["delivered", "failed", "given up"]),
    )
    def deliver(self, is_daemon: bool, data: st.DataObject, place: str, how: str) -> None:
        ledger = self.ledger(is_daemon)
        due = ledger.due_messages(place, self.now)
        if not due:
            return
        one = data.draw(st.sampled_from(due))
        owed = self.owed[one.message.dedupe_key]
        fate = replace(owed.fates[place], tries=owed.fates[place].tries + 1)
        if how == "delivered":
            ledger.mark_delivered(one.id, place, self.now)
            fate = replace(fate, is_delivered=True, next_try_at=None)
        elif how == "failed":
            ledger.mark_failed(one.id, place, self.now, "x", self.now + timedelta(hours=1))
            fate = replace(fate, next_try_at=self.now + timedelta(hours=1))
        else:
            ledger.mark_failed(one.id, place, self.now, "x", None)
            fate = replace(fate, next_try_at=None, given_up_at=self.now)
        owed.fates[place] = fate

    # ------------------------------------------------------------ retention

    @rule(is_daemon=SIDES, days=st.integers(0, 4))
    def prune(self, is_daemon: bool, days: int) -> None:
        before = self.now - days * DAY
        self.ledger(is_daemon).prune(before)
        named = {one.incident for one in self.quarantined.values()}
        open_states = IN_FLIGHT | {AttemptState.PLANNED}
        self.troubles = [
            one
            for one in self.troubles
            if one.closed_at is None
            or one.closed_at >= before
            or one.id in named
            or any(tried.state in open_states for tried in one.tried)
        ]
        self.owed = {
            key: one
            for key, one in self.owed.items()
            if one.created_at >= before
            or (
                one.created_at >= before - DAY
                and any(not fate.is_delivered and fate.given_up_at is None for fate in one.fates.values())
            )
        }

    # ------------------------------------------------------------ what must hold after every call

    @invariant()
    def both_connections_tell_the_same_story(self) -> None:
        if not hasattr(self, "folder"):
            return
        for ledger in (self.a, self.b):
            self.check_incidents(ledger)
            self.check_budgets(ledger)
            self.check_messages(ledger)
            assert {(one.gateway, one.session) for one in ledger.quarantines()} == set(self.quarantined)
            assert [one.id for one in ledger.pauses(self.now)] == [
                one.id for one in self.held if one.is_in_force(self.now)
            ]

    def check_incidents(self, ledger: SqlLedger) -> None:
        assert {
            (
                one.id,
                one.outcome,
                one.closed_at,
                tuple(
                    (a.id, a.number, a.step, a.state, a.started_at, a.settled_at, a.is_charged) for a in one.attempts
                ),
            )
            for one in ledger.history()
        } == {
            (
                one.id,
                one.outcome,
                one.closed_at,
                tuple((a.id, a.number, a.step, a.state, a.started_at, a.settled_at, a.is_charged) for a in one.tried),
            )
            for one in self.troubles
        }
        assert [one.id for one in ledger.open_incidents()] == [one.id for one in self.troubles if one.closed_at is None]

    def check_budgets(self, ledger: SqlLedger) -> None:
        for since in (T0, self.now - 3 * DAY, self.now):
            counted = [
                (trouble.gateway, trouble.session)
                for trouble in self.troubles
                for one in trouble.tried
                if one.is_charged and not one.is_forgiven and one.started_at is not None and one.started_at >= since
            ]
            for gateway in ("home", "work"):
                assert ledger.charges(gateway, since) == sum(found == gateway for found, _ in counted)
                assert ledger.charges(gateway, since, "main") == counted.count((gateway, "main"))

    def check_messages(self, ledger: SqlLedger) -> None:
        for target in TARGETS:
            assert {
                (one.message.dedupe_key, one.tries, one.next_try_at)
                for one in ledger.due_messages(target, self.now, 100)
            } == {
                (one.key, one.fates[target].tries, one.fates[target].next_try_at)
                for one in self.owed.values()
                if is_due(one.fates[target], self.now)
            }
        assert {(target, one.message.dedupe_key) for target, one in ledger.undelivered(self.now)} == {
            (target, one.key)
            for one in self.owed.values()
            for target, fate in one.fates.items()
            if fate.tries and not fate.is_delivered and (fate.given_up_at is None or fate.given_up_at >= self.now - DAY)
        }

    # ------------------------------------------------------------ the model's own words

    def all_tried(self) -> list[Tried]:
        return [one for trouble in self.troubles for one in trouble.tried]

    def note_owed(self, key: str) -> None:
        if key not in self.owed:
            self.owed[key] = Owed(key, self.now)


def message(key: str) -> Message:
    return Message(MessageKind.STUCK, "home", "t", "b", key)


def is_due(fate: Fate, now: datetime) -> bool:
    return not fate.is_delivered and fate.given_up_at is None and (fate.next_try_at is None or fate.next_try_at <= now)


TestAgainstAModel = AgainstAModel.TestCase
TestAgainstAModel.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    database=None,
)


@pytest.mark.timeout(1200)
def test_against_a_model_in_postgresql(server: Server) -> None:
    class InADatabase(AgainstAModel):
        def new_database(self) -> str | None:
            return server.database()

    few = settings(TestAgainstAModel.settings, max_examples=10)
    run_state_machine_as_test(InADatabase, settings=few)
