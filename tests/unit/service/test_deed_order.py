"""In which order a deed happens, and that no crash between two of its effects makes it happen twice.

The crash is cut in after every single effect: each write to the ledger, the note, the sign-in, the sending. Then a new
daemon takes over the ledger, and the story goes on for an hour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.effects import LEDGER_WRITES
from tests.fakes.builders import dead, lenient, policy
from tests.fakes.clock import START
from tests.fakes.world import World
from watchdog.core.model import Status
from watchdog.core.policy import PolicyBook, Step
from watchdog.core.recovery import AttemptState
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service import errors
from watchdog.service.events import Event
from watchdog.service.ledger import Ledger, Message, MessageKind, Notes, Outcome
from watchdog.service.ledger_switch import LedgerSwitch
from watchdog.service.ports import Gateway, Receipt
from watchdog.service.watch import Watch

KEY = dead().key
DEED = frozenset({"prepare", "perform"})


class Crashed(BaseException):
    """kill -9, as far as Python can play it: nothing catches it, nothing is tidied up."""


@dataclass
class Fuse:
    """Lists every effect, and burns through after the ``burns_after``-th."""

    burns_after: int | None = None
    effects: list[str] = field(default_factory=list)

    def burn(self, effect: str) -> None:
        self.effects.append(effect)
        if len(self.effects) == self.burns_after:
            raise Crashed(effect)


class Fused:
    """Anything, with a fuse behind those of its methods that have effects."""

    def __init__(self, inner: object, fuse: Fuse, effects: frozenset[str]) -> None:
        self._inner, self._fuse, self._effects = inner, fuse, effects

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in self._effects:
            return value
        return self._later(name, value) if name in DEED else self._now(name, value)

    def _now(self, name: str, method: Callable[..., object]) -> Callable[..., object]:
        def fused(*args: object, **named: object) -> object:
            result = method(*args, **named)
            # Only writes that changed something are effects: a message already owed, a lost claim are none.
            if result not in (False, 0):
                self._fuse.burn(name)
            return result

        return fused

    def _later(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def fused(*args: object, **named: object) -> object:
            result = await method(*args, **named)
            self._fuse.burn(name)
            return result

        return fused


def _fused(world: World, burns_after: int | None = None) -> Fuse:
    """Put a fuse behind every effect of the world's watch."""
    fuse, watch = Fuse(burns_after), world.watch
    ledger = cast(Ledger, Fused(world.ledger, fuse, LEDGER_WRITES))
    gateway = cast(Gateway, Fused(world.gateway, fuse, DEED))
    watch.ledgers.real = ledger
    watch.gateway = watch.connection.gateway = watch.incidents.gateway = watch.executor.gateway = (
        watch.observer._gateway
    ) = gateway
    watch.executor.notes = cast(Notes, Fused(world.notes, fuse, frozenset({"save"})))
    return fuse


def _world(step: Step = Step.RESUME, **recovery: Any) -> World:
    world = World(book=PolicyBook(default=lenient(ladder=(step,), **recovery)))
    world.gateway.put(dead())
    return world


# ---------------------------------------------------------------- the order


RESUME_ORDER = [
    "open_incident",
    "prepare",
    "plan_attempt",
    "claim_attempt",
    "perform",
    "note_run",
    "settle_attempt",
    "close_incident",
]
NEW_ORDER = [
    "open_incident",
    "prepare",
    "save",
    "add_note",
    "plan_attempt",
    "claim_attempt",
    "perform",
    "note_run",
    "settle_attempt",
    "close_incident",
]


@pytest.mark.parametrize(("step", "order"), [(Step.RESUME, RESUME_ORDER), (Step.NEW, NEW_ORDER)])
async def test_intent_claim_deed_outcome(step: Step, order: list[str]) -> None:
    world = _world(step)
    fuse = _fused(world)
    await world.live(minutes=25)
    assert fuse.effects == order


# ---------------------------------------------------------------- cut after every effect


async def _cut_after(effect: int, world: World) -> str:
    """Live until the crash, start again, live on; what the last effect was."""
    fuse = _fused(world, burns_after=effect)
    with pytest.raises(Crashed):
        await world.live(minutes=25)
    world.die_and_start_again()
    await world.live(minutes=60)
    return fuse.effects[-1]


def _is_in_order(world: World) -> None:
    """Whatever happened: settled, closed, told once each, and nothing is left lying about."""
    assert world.ledger.attempts_in_flight("home") == []
    assert [incident.is_open for incident in world.incidents] == [False]
    kinds = Counter(world.told())
    assert kinds["stuck"] == 1
    assert kinds["recovered"] + kinds["cleared"] + kinds["quarantined"] == 1
    keys = Counter(message.dedupe_key for message in world.owed())
    assert set(keys.values()) == {1}


@pytest.mark.parametrize("step", [Step.RESUME, Step.NEW])
@pytest.mark.parametrize("effect", range(1, len(NEW_ORDER) + 1))
async def test_a_crash_after_any_effect_sends_no_deed_twice(step: Step, effect: int) -> None:
    order = RESUME_ORDER if step is Step.RESUME else NEW_ORDER
    if effect > len(order):
        return
    world = _world(step)
    last = await _cut_after(effect, world)
    assert last == order[effect - 1]
    keys = [deed.idempotency_key for deed in world.gateway.performed]
    assert len(set(keys)) == len(keys), "no attempt was sent twice"
    _is_in_order(world)
    if last == "claim_attempt":
        # It is not known whether it had left: nothing is sent, and a person is told.
        assert world.steps == []
        assert world.states == [(step.value, "ineffective")]
        assert world.told()[-1] == "quarantined"
        return
    assert world.steps == [step], "sent once in both lives together"
    assert world.states[-1] == (step.value, "succeeded")
    abandoned = [(step.value, "abandoned")] if last == "plan_attempt" else []
    assert world.states == [*abandoned, (step.value, "succeeded")]
    assert world.told() == ["stuck", "recovered"]
    assert ("/notes/" in world.owed(MessageKind.RECOVERED)[0].body) is step.loses_context
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]


GIVEN_UP_ORDER = [*RESUME_ORDER[: RESUME_ORDER.index("close_incident")], "quarantine"]


@pytest.mark.parametrize("effect", range(1, len(GIVEN_UP_ORDER) + 1))
async def test_a_crash_with_a_deed_that_does_not_help_sends_nothing_twice_either(effect: int) -> None:
    world = _world()
    world.gateway.effect = world.gateway.nothing
    fuse = _fused(world, burns_after=effect)
    with pytest.raises(Crashed):
        await world.live(minutes=40)
    assert fuse.effects == GIVEN_UP_ORDER[:effect]
    world.die_and_start_again()
    await world.live(minutes=60)
    assert len(world.steps) == (0 if fuse.effects[-1] == "claim_attempt" else 1)
    assert world.ledger.attempts_in_flight("home") == []
    assert len(world.ledger.quarantines()) == 1
    assert Counter(world.told())["quarantined"] == 1
    assert [incident.outcome for incident in world.incidents] == [Outcome.QUARANTINED]


@pytest.mark.parametrize("lives", [2, 5])
async def test_any_number_of_crashes_before_the_claim_spends_nothing(lives: int) -> None:
    world = _world()
    for _ in range(lives):
        fuse = _fused(world, burns_after=None)
        fuse.burns_after = RESUME_ORDER.index("plan_attempt") + 1 if not world.incidents else 2
        with pytest.raises(Crashed):
            await world.live(minutes=40)
        world.die_and_start_again()
    assert world.steps == []
    assert world.ledger.charges("home", START.wall) == 0
    await world.live(minutes=40)
    assert len(world.steps) == 1


async def test_what_was_found_started_is_settled_by_looking_and_can_have_worked() -> None:
    world = _world()
    fuse = _fused(world, burns_after=RESUME_ORDER.index("perform") + 1)
    with pytest.raises(Crashed):
        await world.live(minutes=25)
    assert fuse.effects[-1] == "perform"
    world.die_and_start_again()
    assert [attempt.state for attempt in world.attempts] == [AttemptState.INDETERMINATE]
    await world.live(minutes=2)
    assert world.states == [("resume", "succeeded")]
    assert [incident.outcome for incident in world.incidents] == [Outcome.RECOVERED]


# ---------------------------------------------------------------- what is said of it


async def test_of_a_deed_that_could_not_be_claimed_no_one_is_told_that_it_is_done() -> None:
    world = _world()
    refusing = Fused(world.ledger, Fuse(), frozenset())
    refusing.claim_attempt = lambda *_args: False  # type: ignore[attr-defined]
    world.watch.executor.ledger = cast(Ledger, refusing)
    await world.live(minutes=22)
    assert (world.steps, world.told()) == ([], ["stuck"])
    assert "Now: " not in world.owed()[0].body
    assert "another deed on this run came first" in world.owed()[0].body
    assert world.reports[-1].deeds == 0


@pytest.mark.parametrize("method", ["prepare", "health"])
async def test_a_last_look_that_breaks_off_each_time_leaves_nobody_untold(method: str) -> None:
    world = _world()
    world.gateway.failing[method] = errors.GatewayUnresponsive("home: no answer within 10s.")
    await world.live(minutes=30)
    assert world.steps == []
    (message,) = world.owed(MessageKind.STUCK)
    assert "Now: " not in message.body
    assert "no answer within 10s" in message.body
    del world.gateway.failing[method]
    await world.until_deed()
    await world.live(minutes=2)
    assert Counter(world.told())["stuck"] == 1
    assert world.states == [("resume", "succeeded")]


# ---------------------------------------------------------------- a ledger that fails


@pytest.mark.parametrize("method", ["plan_attempt", "claim_attempt", "open_incident", "is_writable"])
async def test_without_the_ledger_nothing_is_sent(method: str) -> None:
    world = _world()
    await world.live(minutes=19, seconds=30)
    world.clock.advance(30)

    def broken(*_args: object, **_named: object) -> bool:
        if method == "is_writable":
            return False
        raise errors.LedgerUnavailable("the disk is full")

    watch = world.watch
    broken_ledger = Fused(world.ledger, Fuse(), frozenset())
    setattr(broken_ledger, method, broken)
    watch.ledgers.real = cast(Ledger, broken_ledger)
    if method == "is_writable":
        await world.look()
        assert world.held() == ["ledger_unavailable"]
    else:
        with pytest.raises(errors.LedgerUnavailable):
            await world.look()
    assert world.steps == []


async def test_an_outcome_that_cannot_be_written_down_is_looked_at_later_and_not_sent_again() -> None:
    world = _world()

    def sent_and_refused(deed: Any) -> Receipt:
        world.gateway.cure(deed)
        raise errors.OutcomeUnknown("home: no answer.")

    world.gateway.effect = sent_and_refused
    await world.live(minutes=19, seconds=30)
    world.clock.advance(30)

    def broken(*_args: object, **_named: object) -> bool:
        raise errors.LedgerUnavailable("the disk is full")

    watch = world.watch
    broken_ledger = Fused(world.ledger, Fuse(), frozenset())
    broken_ledger.settle_attempt = broken  # type: ignore[attr-defined]
    watch.executor.ledger = cast(Ledger, broken_ledger)
    with pytest.raises(errors.LedgerUnavailable):
        await world.look()
    assert world.states == [("resume", "started")]
    watch.executor.ledger = world.ledger
    await world.live(minutes=5)
    assert world.steps == [Step.RESUME]
    assert world.states == [("resume", "succeeded")]


@pytest.mark.parametrize("is_there", [False, True], ids=["the claim is not", "the claim is in the ledger"])
async def test_what_could_not_be_claimed_is_settled_by_the_same_watch_when_the_ledger_is_back(is_there: bool) -> None:
    """Nothing of it was sent; of a claim that is there after all nobody knows that, so it is looked at, and given its time."""
    world = _world()
    await world.live(minutes=19, seconds=30)
    world.clock.advance(30)

    def lost(*args: Any) -> bool:
        if is_there:
            assert world.ledger.claim_attempt(*args)
        raise errors.LedgerUnavailable("the connection is lost")

    watch = world.watch
    broken_ledger = Fused(world.ledger, Fuse(), frozenset())
    broken_ledger.claim_attempt = lost  # type: ignore[attr-defined]
    watch.executor.ledger = cast(Ledger, broken_ledger)
    with pytest.raises(errors.LedgerUnavailable):
        await world.look()
    assert (world.steps, world.states) == ([], [("resume", "started" if is_there else "planned")])
    (first,) = world.attempts
    watch.executor.ledger = world.ledger
    await world.live(minutes=5)
    left, *others = world.attempts
    sent = [deed.idempotency_key for deed in world.gateway.performed]
    if is_there:
        assert (left.state, left.reason) == (AttemptState.INEFFECTIVE, "NothingChanged")
        assert left.idempotency_key not in sent
    else:
        assert (left.state, left.reason) == (AttemptState.ABANDONED, "NeverClaimed")
        assert sent == [first.idempotency_key], "another watchdog's ledger calls this deed the same"
        assert [one.state for one in others] == [AttemptState.SUCCEEDED]


def _problem_of(watch: Watch) -> str | None:
    return watch.ledger_problem


async def test_while_the_ledger_is_out_watching_goes_on_and_nothing_is_done() -> None:
    world = _world()
    world.watch.ledgers.spare = World().ledger
    await world.live(minutes=10)

    def broken(*_args: object, **_named: object) -> bool:
        raise errors.LedgerUnavailable("the disk is full")

    sick = Fused(world.ledger, Fuse(), frozenset())
    for method in ("open_incidents", "attempts_in_flight"):
        setattr(sick, method, broken)
    sick.is_writable = lambda _: False  # type: ignore[attr-defined]
    sick.problem = "the disk is full"  # type: ignore[attr-defined]
    watch = world.watch
    watch.ledgers.real = cast(Ledger, sick)
    await world.live(minutes=20)
    assert world.verdict_of(KEY) == "stuck"
    assert world.steps == []
    assert _problem_of(watch) == "the disk is full"
    assert "ledger_unavailable" in world.held()
    watch.ledgers.real = world.ledger
    await world.live(minutes=2)
    assert _problem_of(watch) is None
    assert world.steps == [Step.RESUME]
    assert world.gateway.rows[KEY].status is Status.DONE


async def test_a_full_disk_is_known_before_anything_is_to_be_written() -> None:
    world = World(book=PolicyBook(default=lenient(ladder=(Step.RESUME,))))
    world.watch.ledgers.spare = World().ledger
    await world.live(minutes=2)
    sick = Fused(world.ledger, Fuse(), frozenset())
    sick.is_writable = lambda _: False  # type: ignore[attr-defined]
    sick.problem = "the disk is full"  # type: ignore[attr-defined]
    world.watch.ledgers.real = cast(Ledger, sick)
    await world.look()
    assert _problem_of(world.watch) is None, "a moment's trouble is none"
    await world.look()
    assert world.reports[-1].is_good
    assert _problem_of(world.watch) == "the disk is full"
    world.watch.ledgers.real = world.ledger
    await world.look()
    assert _problem_of(world.watch) is None


async def test_what_was_to_be_told_while_the_ledger_was_out_is_told_when_it_is_back() -> None:
    world = World(book=PolicyBook(default=lenient(ladder=(Step.RESUME,))))
    watch = world.watch
    watch.ledgers.spare = spare = World().ledger
    await world.look()
    assert watch.ledgers.fall_back("the disk is full")
    about_gateway = Message(MessageKind.GATEWAY_DOWN, "home", "Down", "It is.", "gateway:home:down")
    spare.owe([about_gateway], START.wall)
    assert world.owed() == []
    await world.look()
    assert _problem_of(watch) is None
    assert [one.dedupe_key for one in world.owed()] == ["gateway:home:down"]
    assert watch.ledgers.fall_back("the disk is full")
    await world.look()
    assert len(world.owed()) == 1


def test_a_ledger_replaced_while_the_spare_is_in_use_is_taken_back_and_holds_deeds(tmp_path: Path) -> None:
    """Moved away, as the message about a damaged one says, and made anew."""
    path = tmp_path / "ledger.db"
    with SqliteLedger.open(path, owner=True) as real:
        switch = LedgerSwitch(real, World().ledger)
        assert switch.fall_back("The ledger is damaged.")
        about_gateway = Message(MessageKind.GATEWAY_DOWN, "home", "Down", "It is.", "gateway:home:down")
        switch.in_force.owe([about_gateway], START.wall)
        for file in tmp_path.glob("ledger.db*"):
            if file.suffix != ".lock":
                file.unlink()
        switch.choose(START.wall)
        assert (switch.is_writable, "history is lost" in str(switch.problem)) == (False, True)
        switch.choose(START.wall)
        assert (switch.is_writable, switch.problem) == (True, None)
        assert [one.message for one in real.due_messages("phone", START.wall)] == [about_gateway]
        assert real.lost_history_at is not None


async def test_every_part_of_a_watch_follows_it_to_the_other_ledger_and_back() -> None:
    watch, spare = _world().watch, World().ledger
    parts = {name: getattr(watch, name, None) for name in watch.__slots__} | {"outages": watch.connection.outages}
    parts = {name: part for name, part in parts.items() if hasattr(part, "ledger")}
    assert {"executor", "fleet", "incidents", "outages", "reporter"} <= set(parts)
    assert {name: part is not None and part.ledger is watch.ledger for name, part in parts.items()} == dict.fromkeys(
        parts, True
    )
    watch.ledgers.spare = spare
    assert watch.ledgers.fall_back("the disk is full")
    assert not watch.ledgers.fall_back("the disk is full")
    watch.ledger.audit(START.wall, "somebody", "in the spare", "")
    watch.ledgers.choose(START.wall)
    watch.ledger.audit(START.wall, "somebody", "in the real", "")
    assert [line.what for line in spare.audit_trail()] == ["in the spare"]
    assert [line.what for line in watch.ledgers.real.audit_trail()] == ["in the real"]


def test_every_operation_reaches_the_ledger_in_force() -> None:
    in_force = LedgerSwitch(World().ledger).in_force
    operations = {name for group in Ledger.__mro__ for name in vars(group) if name[0] != "_"}
    assert "open_incident" in operations
    assert not {name for name in operations if name in dir(type(in_force))}


# ---------------------------------------------------------------- defects are loud


async def test_a_defect_in_the_client_is_not_taken_for_a_refusal() -> None:
    world = _world()

    def defect(_deed: Any) -> Receipt:
        raise RuntimeError("a bug")

    world.gateway.effect = defect
    with pytest.raises(RuntimeError):
        await world.live(minutes=25)
    assert world.states == [("resume", "started")], "it may have been sent, and is looked at in the next life"
    world.die_and_start_again()
    await world.live(minutes=5)
    assert len(world.steps) == 1


async def test_what_is_logged_names_the_attempt_and_no_words() -> None:
    world = World(book=PolicyBook(default=policy()))
    world.gateway.put(dead())
    await world.until_deed()
    (line,) = world.log.of(Event.RECOVERY_STARTED)
    assert set(line) >= {"gateway", "session", "session_id", "incident", "attempt", "step", "reason"}
    assert "LONGTASK" not in str(world.log.lines)
