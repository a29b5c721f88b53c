"""Delivery of owed messages and the sign of life to the outside, beside the passes and never in their way.

Nothing here waits for a target but ``finish``, which says for how long: a round that a slow target keeps busy goes on beside
the next ones, which leave that target out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from watchdog.config import GatewaySection, LoadedConfig, SecretError, resolve_secret
from watchdog.core.model import Moment
from watchdog.ledger.ledger import SqlLedger
from watchdog.notify.delivery import Heartbeat, Notifier, TargetEntry, targets_from, through_gateways
from watchdog.service.errors import LedgerError
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Message, MessageKind
from watchdog.service.ledger_switch import carry_over
from watchdog.service.ports import Clock, Meter
from watchdog.service.redaction import Secrets

ROUND_EVERY = timedelta(seconds=5)


@dataclass(slots=True)
class Notifications:
    """Owns the notifier and the heartbeat of one configuration; ``configure`` replaces both."""

    ledger: SqlLedger
    clock: Clock
    log: Log
    meter: Meter
    secrets: Secrets
    env: Mapping[str, str]
    rng: Random
    watched: Callable[[], Collection[str] | None] = lambda: None
    """The gateways that are watched now. None: all."""
    is_ours: Callable[[], bool] = lambda: True
    """Whether it is for this process to deliver what is owed: of several replicas it is for one."""
    spare: SqlLedger | None = None
    """Whose messages are owed in ``ledger`` once that is back, whoever watches their gateways by then. None: each watch sees to that
    when it goes back to the real one (``LedgerSwitch``)."""
    url_of: Callable[[GatewaySection], str | None] = lambda section: section.url
    """Where a gateway is; None: not known. May block."""
    is_observing: bool = False
    """``run --observe``: every message says so."""
    _notifier: Notifier | None = None
    _heartbeat: Heartbeat | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _under_way: set[asyncio.Task[Any]] = field(default_factory=set)
    _pinging: asyncio.Task[Any] | None = None
    _in_force: object = None
    """What notifier and heartbeat were made of."""
    _said: tuple[object, set[str]] = ((), set())
    """What was said to be left out, and of which targets."""

    async def configure(self, loaded: LoadedConfig) -> None:
        """Take the targets of a configuration. One whose secret is not there, or that is a watched gateway itself, is left
        out, and that is said once.

        Where nothing of it changed, what is being sent goes on; else it is cut, and comes again from the ledger."""
        entries: list[TargetEntry] = []
        left_out: list[str] = []
        for target in loaded.config.notify:
            try:
                url = resolve_secret(target, "url", self.env)
            except SecretError as problem:
                left_out.append(str(problem))
                continue
            if url is not None:
                kinds = tuple(MessageKind(event.value) for event in target.on)
                entries.append(TargetEntry(url, kinds, target.name, target.remind_every))
        try:
            ping = resolve_secret(loaded.config, "heartbeat_url", self.env)
        except SecretError as problem:
            self.log.event(Event.HEARTBEAT_FAILED, reason=str(problem))
            ping = None
        targets = targets_from(entries)
        silent = through_gateways(targets, await asyncio.to_thread(self._urls, loaded)) if targets else {}
        targets = tuple(target for target in targets if target.name not in silent)
        self._say_left_out(loaded, [*left_out, *silent.values()])
        if self._in_force == (targets, ping, loaded.to_name):
            return
        await self.close()
        self._notifier = Notifier(
            self.ledger,
            targets,
            self.clock,
            self.rng,
            self.log,
            self.meter,
            secrets=self.secrets,
            config_file=loaded.to_name,
            watched=self.watched,
            is_observing=self.is_observing,
            host=socket.gethostname(),
            is_ours=self.is_ours,
        )
        self._heartbeat = Heartbeat(ping, self.log, secrets=self.secrets) if ping is not None else None
        self._in_force = (targets, ping, loaded.to_name)

    def _urls(self, loaded: LoadedConfig) -> list[str]:
        return [url for url in map(self.url_of, loaded.config.gateways) if url is not None]

    def _say_left_out(self, loaded: LoadedConfig, problems: list[str]) -> None:
        """Gateways come and go; what stands under ``notify`` is still the same."""
        said = self._said[1] if self._said[0] == loaded.config.notify else set()
        for problem in problems:
            if problem not in said:
                self.log.event(Event.NOTIFICATION_FAILED, reason=problem)
        self._said = loaded.config.notify, set(problems)

    async def run(self) -> None:
        """Deliver what is due, round after round, until cancelled."""
        while True:
            for task in [one for one in self._under_way if one.done()]:
                self._under_way.discard(task)
                task.result()  # a defect ends the daemon loudly, not one message silently
            self._begin(self.deliver(self.clock.now()))
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND_EVERY.total_seconds()):
                    await self._wake.wait()

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name="messages")
        self._under_way.add(task)
        return task

    def wake(self) -> None:
        """Something new may be owed."""
        self._wake.set()

    async def deliver(self, now: Moment, *, is_last: bool = False) -> None:
        """One round, to its end."""
        if self.spare is not None and self.ledger.problem is None:
            with contextlib.suppress(LedgerError):  # said by the passes
                carry_over(self.spare, self.ledger, now.wall)
        if self._notifier is not None and self.is_ours():  # guard: shares: one replica delivers
            with contextlib.suppress(LedgerError):
                await self._notifier.deliver_due(now, is_last=is_last)

    async def finish(self, now: Moment, within: float) -> None:
        """Deliver once more, and let what is under way end, for ``within`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                before = set(self._under_way)
                await self.deliver(now, is_last=True)
                if before:
                    await asyncio.wait(before)
                    await self.deliver(now, is_last=True)  # to those that were busy

    def send_unqueued(self, message: Message) -> None:
        """Past the outbox: the news that the outbox itself is out of order."""
        if self._notifier is not None:
            self._begin(self._notifier.send_now(message))

    def ping(self) -> None:
        """Left out while the last one is under way."""
        if self._heartbeat is not None and (self._pinging is None or self._pinging.done()):
            self._pinging = self._begin(self._heartbeat.ping())

    async def close(self) -> None:
        """Cut what is under way."""
        tasks, self._under_way = self._under_way, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._notifier is not None:
            await self._notifier.aclose()
        if self._heartbeat is not None:
            await self._heartbeat.aclose()
        self._notifier = self._heartbeat = self._in_force = None
