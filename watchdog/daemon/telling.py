"""Delivery of owed messages and the sign of life to the outside, beside the passes and never in their way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from watchdog.adapters.ledger import Ledger
from watchdog.adapters.notify import Heartbeat, Notifier, targets_from
from watchdog.config import LoadedConfig, SecretError, resolve_secret
from watchdog.core.model import Moment
from watchdog.service.errors import LedgerError
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Message, MessageKind
from watchdog.service.ports import Clock, Meter
from watchdog.service.redaction import Secrets

ROUND_EVERY = timedelta(seconds=5)


@dataclass(slots=True)
class Teller:
    """Owns the notifier and the heartbeat of one configuration; ``configure`` replaces both."""

    ledger: Ledger
    clock: Clock
    log: Log
    meter: Meter
    secrets: Secrets
    env: Mapping[str, str]
    rng: Random
    _notifier: Notifier | None = None
    _heartbeat: Heartbeat | None = None
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    async def configure(self, loaded: LoadedConfig, gateway_urls: Iterable[str] = ()) -> None:
        """Take the targets of a configuration. A secret that is not there leaves out its target, and says so."""
        await self.close()
        entries: list[tuple[str, Iterable[MessageKind] | None]] = []
        for target in loaded.config.notify:
            try:
                url = resolve_secret(target, "url", self.env)
            except SecretError as problem:
                self.log.event(Event.NOTIFICATION_FAILED, reason=str(problem))
                continue
            if url is not None:
                entries.append((url, tuple(MessageKind(event.value) for event in target.on)))
        self._notifier = Notifier(
            self.ledger,
            targets_from(entries, gateway_urls),
            self.clock,
            self.rng,
            self.log,
            self.meter,
            secrets=self.secrets,
        )
        try:
            ping = resolve_secret(loaded.config, "heartbeat_url", self.env)
        except SecretError as problem:
            self.log.event(Event.HEARTBEAT_FAILED, reason=str(problem))
            ping = None
        self._heartbeat = Heartbeat(ping, self.log, secrets=self.secrets) if ping is not None else None

    async def run(self) -> None:
        """Deliver what is due, round after round, until cancelled."""
        while True:
            await self.deliver(self.clock.now())
            self._bell.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND_EVERY.total_seconds()):
                    await self._bell.wait()

    def wake(self) -> None:
        """Something new may be owed."""
        self._bell.set()

    async def deliver(self, now: Moment) -> None:
        if self._notifier is not None:
            with contextlib.suppress(LedgerError):
                await self._notifier.deliver_due(now)

    async def shout(self, message: Message) -> None:
        """Past the outbox: the news that the outbox itself is out of order."""
        if self._notifier is not None:
            await self._notifier.send_now(message)

    async def ping(self) -> None:
        if self._heartbeat is not None:
            await self._heartbeat.ping()

    async def close(self) -> None:
        if self._notifier is not None:
            await self._notifier.aclose()
        if self._heartbeat is not None:
            await self._heartbeat.aclose()
        self._notifier = self._heartbeat = None
