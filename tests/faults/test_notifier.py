"""The place where people are told is down for an hour: an hour of virtual time, with the real notifier and ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from random import Random

import pytest

from tests.fakes.builders import dead
from tests.fakes.world import World
from watchdog.notify.delivery import Notifier, TargetEntry, targets_from
from watchdog.notify.senders import DeliveryFailed
from watchdog.service.ledger import Message

from .report import Row


class Pager:
    """A target that can be down."""

    def __init__(self) -> None:
        self.is_down = True
        self.tries = 0
        self.deliveries = 0
        self.heard: Counter[str] = Counter()

    async def send(self, message: Message, parts: Sequence[Message] = ()) -> None:
        if self.is_down:
            self.tries += 1
            raise DeliveryFailed("it cannot be reached")
        self.deliveries += 1
        self.heard.update(part.dedupe_key for part in parts or (message,))

    async def aclose(self) -> None: ...


@pytest.mark.faults("notification target down for an hour")
async def test_an_hour_without_a_pager(row: Row) -> None:
    row.on("virtual time, in one process")
    world, pager = World(), Pager()
    targets = targets_from([TargetEntry("json+http://pager.invalid/hook")])
    notifier = Notifier(
        world.ledger, targets, world.clock, Random(1), world.log, world.meter, make_sender=lambda _url: pager
    )
    keys = [f"agent:main:chat-{number}" for number in range(8)]
    for key in keys:
        world.gateway.put(dead(key))
    began = world.clock.now()

    async def live(span: timedelta) -> None:
        end = world.clock.now().plus(span)
        while world.clock.now() < end:
            await world.look()
            await notifier.deliver_due(world.clock.now())
            world.clock.advance(30)

    await live(timedelta(hours=1))
    owed = {message.dedupe_key for message in world.owed()}
    row.saw(
        f"{len(world.gateway.performed)} recoveries went on, {len(owed)} messages waited through {pager.tries} tries"
    )
    pager.is_down = False
    await live(timedelta(hours=1, minutes=15))
    waited = world.clock.now().since(began)
    missing, doubled = owed - set(pager.heard), [key for key, count in pager.heard.items() if count > 1]
    row.saw(f"up again: {len(pager.heard)} messages in {pager.deliveries} delivery(ies), {len(doubled)} of them twice")
    row.lost([f"{len(missing)} never came in {waited}"] if missing else [])
    row.lost([f"{len(doubled)} came twice"] if doubled else [])
    assert len(owed) >= 2 * len(keys), "opened and closed, for each"
    assert 3 <= pager.tries <= 20, "it is tried, and not hammered"
