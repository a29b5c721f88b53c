"""Was the answer of a turn of ours delivered? ``agent`` says so itself, in a second answer when its run has ended.

The connection that the turn was sent over is kept for that, for ``KEPT_FOR`` at most. Limit: when it is lost, nothing is
known of the delivery (2026.9.6 can still be asked by ``agent.wait``). To ask for the same turn again would be answered from
memory for some minutes only, and run it once more after that (2026.3.24 and 5.18: source).
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import msgspec

from watchdog.core.model import Moment
from watchdog.gateway.wire.answers import decoded
from watchdog.gateway.wire.connection import Link
from watchdog.service import errors
from watchdog.service.ports import Clock

KEPT_FOR = timedelta(minutes=30)
MOST_KEPT = 8
"""Connections; the oldest goes first."""
SETTLES = 1.0
"""Seconds for the second answer to come once the row says that the run is over."""


class _Final(msgspec.Struct):
    result: Any = None


class DeliveryReports:
    """The turns of ours whose end has not been heard of, one connection each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[Link, Moment]] = {}

    async def keep(self, run_id: str, link: Link) -> bool:
        """Keep the connection until its second answer is asked for. False: none is to come on it."""
        if link.final is None:
            return False
        self._kept[run_id] = (link, self._clock.now())
        await self._drop_old()
        return True

    async def delivered(self, run_id: str) -> bool | None:
        """Whether the answer of this run reached its chat; None: not said."""
        kept = self._kept.pop(run_id, None)
        if kept is None:
            return None
        link = kept[0]
        assert link.final is not None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLES):
                    return _was_delivered(await asyncio.shield(link.final))
        except errors.GatewayError:
            return None
        finally:
            await link.close()
        return None

    async def close(self) -> None:
        kept, self._kept = self._kept, {}
        for link, _ in kept.values():
            await link.close()

    async def _drop_old(self) -> None:
        now = self._clock.now()
        surplus = [*self._kept][: max(0, len(self._kept) - MOST_KEPT)]
        old = [run_id for run_id, (_, since) in self._kept.items() if now.since(since) > KEPT_FOR]
        for run_id in dict.fromkeys((*surplus, *old)):
            link, _ = self._kept.pop(run_id)
            await link.close()


def _was_delivered(payload: msgspec.Raw) -> bool | None:
    try:
        result = decoded(payload, _Final, "agent").result
    except errors.AnswerUnreadable:
        return None
    said = result.get("deliverySucceeded") if isinstance(result, dict) else None
    return said if isinstance(said, bool) else None
