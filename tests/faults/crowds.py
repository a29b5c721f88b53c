"""Many sessions of one simulated gateway that are stuck together, each in the way its version gets stuck."""

from __future__ import annotations

from datetime import timedelta

from openclaw_simulator import sessions as turns
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.sessions import Address
from openclaw_simulator.world import World
from watchdog.adapters.clock import SystemClock

REQUEST = "list the bridges of the town"


def keys_of(count: int) -> list[str]:
    return [f"agent:main:irc:direct:person{number:02d}" for number in range(count)]


def orphaned(count: int, version: str = "2026.3.24") -> World:
    """One crash cut all of them; the gateway is up again. Their proof: they started before it did."""
    world = _with_chats(version, count)
    for number, key in enumerate(keys_of(count)):
        world.chat.person_writes(key, f"{REQUEST}, number {number}", turns.stays_silent())
        world.advance(0.5)
    world.advance(45)
    world.process.kill()
    world.agenda.outside(2.0, world.process.start)
    return _until_now(world)


def unexplained(count: int, version: str = "2026.9.6") -> World:
    """The store was locked while all of them ended, and one that lives keeps the gateway from being idle: their rows
    say running, the gateway says nothing runs them, and no restart explains it."""
    world = _with_chats(version, count)
    lively = "agent:main:irc:direct:lively"
    world.chat.join(lively, Address("irc", "irc:lively"))
    world.chat.person_writes(lively, "write a long book", turns.streams(36_000))
    world.advance(30)
    for number, key in enumerate(keys_of(count)):
        world.chat.person_writes(key, f"{REQUEST}, number {number}", turns.answers(6.0))
    world.advance(3)
    world.lock_store(40)
    return _until_now(world)


def _with_chats(version: str, count: int) -> World:
    # What follows happens in the past of whoever watches.
    world = World(PROFILES[version], SystemClock().now().wall - timedelta(hours=1), seed=1)
    world.lane_width = 4 * count
    for number, key in enumerate(keys_of(count)):
        world.chat.join(key, Address("irc", f"irc:person{number:02d}"))
        world.chat.person_writes(key, "hello", turns.answers(1.0))
    world.advance(300)
    return world


def _until_now(world: World) -> World:
    world.advance(60)
    world.provider.usual = turns.answers(0.3)
    world.advance(SystemClock().now().wall)
    return world
