"""The ways a turn gets into a gateway, and the session it ends up in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from .irc import Heard, Human

if TYPE_CHECKING:
    from .world import World


class Route(Protocol):
    """Somebody says something, somewhere."""

    @property
    def key(self) -> str:
        """The session it lands in."""

    def say(self, world: World, text: str) -> str | None:
        """Say it now; the run's id where the gateway tells it."""

    def listen(self, world: World) -> Listener | None:
        """For places where answers can be heard: an ear from this moment on."""


@dataclass(frozen=True)
class Listener:
    """A person's ear at one place, for what is said there from now on."""

    person: Human
    place: str
    already: int
    """Lines heard before."""

    def hears(self, text: str) -> Heard | None:
        return self.person.hears(text, place=self.place, after=self.already)

    def wait_for(self, text: str, *, within: float = 90) -> Heard:
        return self.person.wait_for(text, place=self.place, after=self.already, within=within)


@dataclass(frozen=True)
class Web:
    """`sessions.send`, as the control page in the browser does. There is no chat app to answer to."""

    key: str

    def __post_init__(self) -> None:
        if self.key != self.key.lower():
            raise ValueError(f"gateways keep their keys in lower case, nobody would find {self.key}")

    def say(self, world: World, text: str) -> str | None:
        if not world.row(self.key):
            world.witness.create(self.key)
        return world.witness.send(self.key, text)

    def listen(self, world: World) -> Listener | None:
        return None


@dataclass(frozen=True)
class AgentRpc(Web):
    """The `agent` method, as scripts and other programs do. Before 2026.5 `sessions.abort` does not see such runs."""

    def say(self, world: World, text: str) -> str | None:
        return world.witness.agent(self.key, text)


@dataclass(frozen=True)
class GroupChat:
    """A person in an IRC group with the bot."""

    group: str = "#team"

    @property
    def key(self) -> str:
        return f"agent:main:irc:group:{self.group}"

    def say(self, world: World, text: str) -> str | None:
        world.human.say(self.group, text)
        return None

    def listen(self, world: World) -> Listener | None:
        return _ear(world, self.group)


@dataclass(frozen=True)
class PrivateChat:
    """A person who writes to the bot alone: the main session, or one of their own with `dmScope: per-channel-peer`."""

    own_session: bool = False
    person: str = field(default="alice")

    @property
    def key(self) -> str:
        return f"agent:main:irc:direct:{self.person}" if self.own_session else "agent:main:main"

    def say(self, world: World, text: str) -> str | None:
        world.human.say(world.human.find_bot(world.groups[0]), text)
        return None

    def listen(self, world: World) -> Listener | None:
        return _ear(world, self.person)


def _ear(world: World, place: str) -> Listener:
    return Listener(world.human, place, len(world.human.heard))
