"""Messages out of the outbox and to their targets, at least once; and the sign of life to an outside monitor.

What this can get wrong: a message may arrive twice (sent, then killed before that was written down), never not at all
without being tried for a day and shown in ``status``. Each target is served on its own, one message after the other; a
slow or dead one holds up nobody else. When a target itself is at fault, everything owed to it waits together, so that it
comes as one digest once the target is back. Nothing here goes through a watched gateway, and no target's URL is ever told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from watchdog import PROGRAM
from watchdog.core.model import Moment
from watchdog.core.printable import unaddressed
from watchdog.notify.senders import (
    HTTP_TIMEOUT,
    DeliveryFailed,
    MessageSender,
    http_problem,
    sender_for,
    service_of,
)
from watchdog.service import descriptors
from watchdog.service.announcements import digest
from watchdog.service.announcements.phrases import as_observing, with_config, with_host
from watchdog.service.errors import LedgerError
from watchdog.service.events import Delivery, Event, Log
from watchdog.service.ledger import GIVE_UP_AFTER, Ledger, Message, MessageKind, OwedMessage
from watchdog.service.ports import Clock, Meter
from watchdog.service.redaction import Secrets
from watchdog.service.reminders import LOOK_EVERY, owe_reminders, reminder_key, unacknowledged

if TYPE_CHECKING:
    import httpx

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)
JITTER = 0.2
FEWEST_TRIES = 3
"""A host that was off for a day still tries this often before it gives a message up."""
SEND_WITHIN = 20.0
"""Seconds for one message to one target, whatever its library thinks."""
DIGEST_ABOVE = 5
APART_EVERY = timedelta(seconds=5)
"""Between two rounds of what a target would not take as a digest, at most ``DIGEST_ABOVE`` messages each."""
MOST_REST = timedelta(seconds=20)
"""Between two questions to a slow ledger; this process may only have stood still."""
ROUND_LIMIT = 200

ALWAYS = frozenset({MessageKind.TEST, MessageKind.LEDGER, MessageKind.FLEET_BREAKER})
"""Told to every target: each says that the watchdog does not do what is expected of it."""
REMINDED = (MessageKind.STUCK, MessageKind.QUARANTINED)
GOES_WITH: Mapping[MessageKind, frozenset[MessageKind]] = {
    MessageKind.CLEARED: frozenset({MessageKind.STUCK, MessageKind.RECOVERED}),
    MessageKind.UNKNOWN: frozenset({MessageKind.STUCK}),
    MessageKind.UNANSWERED: frozenset({MessageKind.STUCK}),
    MessageKind.GATEWAY_UP: frozenset({MessageKind.GATEWAY_DOWN}),
}
"""Kinds that a target also gets when it asked for one of these: who is told of an outage is told of its end."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where messages go. ``name`` is stable and says nothing secret; ``on`` None: every kind."""

    name: str
    url: str = field(repr=False)
    on: frozenset[MessageKind] | None = None
    remind_every: timedelta | None = None
    """How often it is told again of what is still open; None: never."""

    def wants(self, kind: MessageKind) -> bool:
        if self.on is None or kind in self.on or kind in ALWAYS:
            return True
        return bool(GOES_WITH.get(kind, frozenset()) & self.on)


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """A target as it is configured, its secret read. ``on`` None: every kind; ``name`` None: after what it is."""

    url: str = field(repr=False)
    on: Iterable[MessageKind] | None = None
    name: str | None = None
    remind_every: timedelta | None = None


def targets_from(entries: Sequence[TargetEntry]) -> tuple[Target, ...]:
    """Targets by their names, else called after what they are and their place among their kind: ``webhook-1``, ``webhook-2``,
    ``discord-1``."""
    counts: dict[str, int] = {}
    taken = {entry.name for entry in entries}
    found: list[Target] = []
    for entry in entries:
        service = service_of(entry.url)
        counts[service] = counts.get(service, 0) + 1
        name = entry.name or next(free for n in count(counts[service]) if (free := f"{service}-{n}") not in taken)
        taken.add(name)
        found.append(Target(name, entry.url, None if entry.on is None else frozenset(entry.on), entry.remind_every))
    return tuple(found)


def through_gateways(targets: Iterable[Target], gateway_urls: Iterable[str]) -> dict[str, str]:
    """Those that lead to a watched gateway, by name, and why they are left out: they would be silent just when they are needed.
    Below a gateway's path, where it has one: a proxy may have more than a gateway behind one host. Behind a proxy without a path of its
    own only what a gateway takes messages at: who has another service there would be told nothing any more."""
    watched = [
        (host, port, "/hooks" if port in _PORTS.values() and not path else path)
        for host, port, path in filter(None, map(_place, gateway_urls))
    ]
    found = {}
    for target in targets:
        place = _place(target.url)
        if place is not None and any(
            place[:2] == (host, port) and f"{place[2]}/".startswith(f"{path}/") for host, port, path in watched
        ):
            found[target.name] = (
                f"notify target {target.name} is a watched gateway itself, which could not tell of its own outage: it is told "
                "nothing; put another way to be told under notify:"
            )
    return found


_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def _place(url: str) -> tuple[str, int, str] | None:
    try:
        parts: SplitResult = urlsplit(url.strip().removeprefix("json+"))
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not host or port is None:
        return None
    host = "localhost" if host in ("127.0.0.1", "::1", "0.0.0.0") else host  # noqa: S104 - compared, not bound
    return host, port, parts.path.rstrip("/")


@dataclass(slots=True)
class _TargetState:
    """One target and what this process remembers about it; the ledger remembers the rest."""

    target: Target
    sender: MessageSender
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    failures: int = 0
    rests_until: Moment | None = None
    asks_from: Moment | None = None
    """Before, the ledger is not asked again: each pass wakes us, and a slow server would be asked all the time."""
    delivered: set[str] = field(default_factory=set)
    """Dedupe keys: sent, but the ledger could not take note, so never sent again by this process. (An older copy of the ledger
    gives out the ids of later messages once more.)"""
    not_before: dict[str, Moment] = field(default_factory=dict)
    apart: set[str] = field(default_factory=set)
    """Dedupe keys of what was refused as part of a digest: sent each on its own."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """What goes out in one go: one message, or a digest of many."""

    message: Message
    owed: tuple[OwedMessage, ...]

    @property
    def parts(self) -> tuple[Message, ...]:
        return tuple(item.message for item in self.owed) if len(self.owed) > 1 else ()


class Notifier:
    """Delivers what the outbox owes. Call ``deliver_due`` after every cycle, in a task of its own: no trouble with the
    network, a target or the ledger makes it raise, but a slow target may keep it busy for a while."""

    def __init__(
        self,
        ledger: Ledger,
        targets: Sequence[Target],
        clock: Clock,
        rng: Random,
        log: Log,
        meter: Meter,
        *,
        secrets: Secrets | None = None,
        make_sender: Callable[[str], MessageSender] = sender_for,
        config_file: Path | None = None,
        watched: Callable[[], Collection[str] | None] = lambda: None,
        is_observing: bool = False,
        host: str | None = None,
        is_ours: Callable[[], bool] = lambda: True,
    ) -> None:
        """``config_file``: what the commands in a message have to name (``LoadedConfig.to_name``). ``watched``: the gateways
        of which anybody is reminded; None: all that the ledger knows. ``is_observing``: every message says that nothing is ever done.
        ``host``: the machine that each names last; None: none does. ``is_ours``: no other process delivers, as far as is known now."""
        self._ledger = ledger
        self._clock = clock
        self._rng = rng
        self._log = log
        self._meter = meter
        self._config_file = config_file
        self._watched = watched
        self._is_observing = is_observing
        self._host = host
        self._is_ours = is_ours
        self._reminds_at: Moment | None = None
        self._secrets = secrets if secrets is not None else Secrets()
        self._targets = [_TargetState(target, make_sender(target.url)) for target in targets]
        for target in targets:
            self._secrets.add_url(target.url)

    async def deliver_due(self, now: Moment, *, is_last: bool = False) -> None:
        """One round: to every target at once, what is due to it. A target still busy with the last round is left out. ``is_last``: the
        ledger is asked, however slow it is."""
        self._remind(now)
        if is_last:
            for state in self._targets:
                state.asks_from = None
        await asyncio.gather(*(self._round(state, now) for state in self._targets if not state.lock.locked()))

    async def send_now(self, message: Message) -> dict[str, str | None]:
        """Past the outbox, once, to every target that wants it: a test, or the news that the ledger cannot be written.

        Answers with each target's problem, None where it went out."""
        targets_state = [state for state in self._targets if state.target.wants(message.kind)]
        outcomes = await asyncio.gather(*(self._send(state, _Batch(message, ())) for state in targets_state))
        for outcome in outcomes:
            self._meter.notification(Delivery.DELIVERED if outcome is None else Delivery.FAILED)
        return {
            state.target.name: None if outcome is None else str(outcome)
            for state, outcome in zip(targets_state, outcomes, strict=True)
        }

    async def aclose(self) -> None:
        for state in self._targets:
            await state.sender.aclose()

    def _remind(self, now: Moment) -> None:
        """Owe what is to be said again. Not at every round: nobody waits for it by the second."""
        spans = [state.target.remind_every for state in self._targets if state.target.remind_every is not None]
        if not spans or (self._reminds_at is not None and now < self._reminds_at):
            return
        self._reminds_at = now.plus(min(LOOK_EVERY, *spans))
        try:
            watched = self._watched()
            matters = [
                matter
                for matter in unacknowledged(self._ledger, now.wall)
                if watched is None or matter.about.gateway in watched
            ]
            for target in (state.target for state in self._targets):
                if target.remind_every is not None:
                    kinds = [kind for kind in REMINDED if target.wants(kind)]
                    owe_reminders(self._ledger, target.name, target.remind_every, kinds, matters, now.wall)
        except LedgerError:
            return  # the cycle tells of the ledger

    # ------------------------------------------------------------ one target

    async def _round(self, state: _TargetState, now: Moment) -> None:
        async with state.lock:
            if state.rests_until is not None and now < state.rests_until:
                return
            if state.asks_from is not None and now < state.asks_from:
                return
            waiting = {item.id: item for item in self._owed(state, now)}
            batches = _batches(list(waiting.values()), state.apart)
            # guard: shares: who has lost the outbox sends no more of its round
            while batches and self._is_ours():
                batch = batches.pop(0)
                failed = await self._send(state, batch)
                if failed is not None and not failed.is_messages_fault:
                    state.failures += 1
                    state.rests_until = self._note_failed(state, tuple(waiting.values()), failed)
                    return
                # guard: digest: one that is refused is taken apart
                if failed is not None and batch.parts:
                    self._take_apart(state, batch, failed)
                    batches = _batches(batch.owed, state.apart)
                    continue
                if failed is None:
                    self._note_delivered(state, batch)
                else:
                    self._note_failed(state, batch.owed, failed)
                for item in batch.owed:
                    del waiting[item.id]
            if waiting:
                state.asks_from = self._clock.now().plus(APART_EVERY)

    def _owed(self, state: _TargetState, now: Moment) -> list[OwedMessage]:
        """What is due and wanted; what is not wanted, or was delivered before, is settled in passing."""
        began = self._clock.now()
        try:
            due = self._ledger.due_messages(state.target.name, now.wall, ROUND_LIMIT)
        except LedgerError:
            return []  # the cycle tells of the ledger; what is owed stays owed
        ended = self._clock.now()
        state.asks_from = ended.plus(min(9 * ended.since(began), MOST_REST))
        owed = []
        needless = self._needless(state.target.name, due, now)
        for item in due:
            key = item.message.dedupe_key
            if key in state.delivered or item.id in needless or not state.target.wants(item.message.kind):
                self._mark_delivered(state, item)
            elif key not in state.not_before or now >= state.not_before[key]:
                owed.append(item)
        return owed

    def _needless(self, target: str, due: Sequence[OwedMessage], now: Moment) -> frozenset[int]:
        """Reminders that waited for their target until what they are about was over, or acknowledged, or said again: one of
        each matter is enough."""
        reminders = [item for item in due if item.message.is_reminder]
        if not reminders:
            return frozenset()
        try:
            still = {matter.key for matter in unacknowledged(self._ledger, now.wall)}
            newest = self._ledger.reminded(target)
        except LedgerError:
            return frozenset()
        # guard: reminders: none of what is over
        return frozenset(
            item.id
            for item in reminders
            if (key := reminder_key(item.message)) not in still or item.created_at != newest.get(key)
        )

    async def _send(self, state: _TargetState, batch: _Batch) -> DeliveryFailed | None:
        message = self._fit_to_send(batch.message)
        parts = [self._fit_to_send(part) for part in batch.parts]
        try:
            async with asyncio.timeout(SEND_WITHIN):
                await state.sender.send(message, parts)
        except DeliveryFailed as failed:
            return failed
        except TimeoutError:
            return DeliveryFailed("it did not answer in time")
        except Exception as surprise:  # noqa: BLE001 - a hundred services' plugins; their surprise is this target's failure
            if descriptors.is_shortage(surprise):
                return DeliveryFailed(descriptors.shortage())
            return DeliveryFailed(f"sending failed ({type(surprise).__name__})")
        return None

    def _fit_to_send(self, message: Message) -> Message:
        """Without secrets, and calling nobody: for every kind of target, and whoever wrote what stands in it."""
        title, body = (unaddressed(self._secrets.scrub(text)) for text in (message.title, message.body))
        # The operator's own path, as it is: escaped, it would name another file.
        body = self._secrets.scrub(with_config(body, self._config_file))
        body = as_observing(body) if self._is_observing else body  # guard: message: who only observes says so
        body = with_host(body, self._host) if self._host is not None else body
        at = message.at if message.at is not None else self._clock.now().wall  # a digest, or past the outbox
        return replace(message, title=" ".join(title.split("\n")), body=body, at=at)

    # ------------------------------------------------------------ taking note

    def _note_delivered(self, state: _TargetState, batch: _Batch) -> None:
        state.failures, state.rests_until = 0, None
        for item in batch.owed:
            state.delivered.add(item.message.dedupe_key)
            state.not_before.pop(item.message.dedupe_key, None)
            self._mark_delivered(state, item)
            self._meter.notification(Delivery.DELIVERED)
        self._log.event(
            Event.NOTIFICATION_DELIVERED,
            gateway=batch.message.gateway or None,
            session=batch.message.session,
            incident=batch.message.incident,
            target=state.target.name,
            kind=batch.message.kind.value,
            count=len(batch.owed),
        )

    def _take_apart(self, state: _TargetState, batch: _Batch, failed: DeliveryFailed) -> None:
        """No failure of any part: the target may refuse digests, or their size, or what one of them says."""
        state.apart |= {item.message.dedupe_key for item in batch.owed}
        self._log.event(
            Event.NOTIFICATION_FAILED,
            reason=f"{failed} to a digest; each message of it is sent on its own",
            target=state.target.name,
            count=len(batch.owed),
        )

    def _mark_delivered(self, state: _TargetState, item: OwedMessage) -> None:
        state.apart.discard(item.message.dedupe_key)
        try:
            self._ledger.mark_delivered(item.id, state.target.name, self._clock.now().wall)
        except LedgerError:
            return  # stays in ``delivered``: noted later, not sent again
        state.delivered.discard(item.message.dedupe_key)

    def _note_failed(self, state: _TargetState, owed: Sequence[OwedMessage], failed: DeliveryFailed) -> Moment:
        """All of ``owed`` wait for the same moment, which is returned."""
        now = self._clock.now()
        rounds = min(item.tries for item in owed)
        wait = self._wait(rounds if failed.is_messages_fault else max(rounds, state.failures - 1))
        again = now.plus(wait)
        lost = [item for item in owed if _is_hopeless(item, now.wall)]
        for item in owed:
            is_lost = item in lost
            state.not_before[item.message.dedupe_key] = again
            try:
                self._ledger.mark_failed(
                    item.id, state.target.name, now.wall, str(failed), None if is_lost else again.wall
                )
            except LedgerError:
                continue  # ``not_before`` keeps the wait
            if is_lost:
                state.not_before.pop(item.message.dedupe_key, None)
                state.apart.discard(item.message.dedupe_key)
            self._meter.notification(Delivery.GIVEN_UP if is_lost else Delivery.FAILED)
        self._log_failed(state, owed, lost, failed, wait)
        return again

    def _log_failed(
        self,
        state: _TargetState,
        owed: Sequence[OwedMessage],
        lost: Sequence[OwedMessage],
        failed: DeliveryFailed,
        wait: timedelta,
    ) -> None:
        name = state.target.name
        if failed.is_messages_fault or state.failures == 1:
            self._log.event(
                Event.NOTIFICATION_FAILED, reason=str(failed), target=name, count=len(owed), next_try_in=wait
            )
        for item in lost:
            self._log.event(
                Event.NOTIFICATION_GIVEN_UP,
                gateway=item.message.gateway or None,
                session=item.message.session,
                incident=item.message.incident,
                reason=str(failed),
                target=name,
                kind=item.message.kind.value,
                tries=item.tries + 1,
            )

    def _wait(self, rounds: int) -> timedelta:
        base = min(FIRST_WAIT * (1 << min(rounds, 16)), LONGEST_WAIT)
        return base * (1 + JITTER * self._rng.random())


def _batches(owed: Sequence[OwedMessage], apart: Collection[str]) -> list[_Batch]:
    """What is ``apart`` goes first, so many at once and no more; what came later waits until that is through, for it may tell the end
    of what is told there."""
    alone = [item for item in owed if item.message.dedupe_key in apart]
    others = [item for item in owed if item.message.dedupe_key not in apart]
    if len(alone) > DIGEST_ABOVE:  # guard: digest: what was one is no storm
        alone, others = alone[:DIGEST_ABOVE], []
    singly = alone if len(others) > DIGEST_ABOVE else [*alone, *others]
    batches = [_Batch(item.message, (item,)) for item in singly]
    if len(others) > DIGEST_ABOVE:
        batches.append(_Batch(digest([item.message for item in others]), tuple(others)))
    return batches


def _is_hopeless(item: OwedMessage, at: datetime) -> bool:
    return at - item.created_at >= GIVE_UP_AFTER and item.tries + 1 >= FEWEST_TRIES


class Heartbeat:
    """The dead-man ping: an outside monitor hears of every completed cycle, and calls when it stops hearing.

    Never raises; a failure is logged once per streak."""

    def __init__(self, url: str, log: Log, *, secrets: Secrets | None = None) -> None:
        self._url = url
        self._log = log
        self._client: httpx.AsyncClient | None = None
        self._failures = 0
        if secrets is not None:
            secrets.add_url(url)

    async def ping(self) -> bool:
        """True when the monitor took it."""
        problem = await self._problem()
        if problem is None:
            if self._failures:
                self._log.event(Event.HEARTBEAT_RESTORED, missed=self._failures)
            self._failures = 0
            return True
        self._failures += 1
        if self._failures == 1:
            self._log.event(Event.HEARTBEAT_FAILED, reason=problem)
        return False

    async def _problem(self) -> str | None:
        try:
            import httpx

            if self._client is None:
                self._client = httpx.AsyncClient(
                    timeout=HTTP_TIMEOUT, follow_redirects=True, headers={"user-agent": PROGRAM}
                )
            async with asyncio.timeout(SEND_WITHIN):
                async with self._client.stream("GET", self._url) as answer:
                    pass  # its status is all that counts; a body may be endless
        except TimeoutError:
            return "it did not answer in time"
        except Exception as error:  # noqa: BLE001 - its failures are many, an import without descriptors among them
            return descriptors.shortage() if descriptors.is_shortage(error) else http_problem(error)
        return None if answer.is_success else f"it answered {answer.status_code}"

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None
