"""The ways a turn gets into a gateway, and the session it ends up in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from . import telegram
from .irc import Heard, Human
from .telegram import CLAW, GENERAL, Bot, Chat, Message, Person, Place

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


class Listener(Protocol):
    """A person's ear at one place, for what is said there from now on."""

    def hears(self, text: str) -> Heard | Message | None:
        """What was said with `text` in it, if anything was."""

    def wait_for(self, text: str, *, within: float = 90) -> Heard | Message:
        """The same, as soon as it is said."""


@dataclass(frozen=True)
class IrcListener:
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
    return IrcListener(world.human, place, len(world.human.heard))


# ------------------------------------------------------------ Telegram


@dataclass(frozen=True)
class TelegramListener:
    """Everything that is shown at one place of Telegram from now on."""

    api: telegram.BotApi
    place: Place
    already: int
    """Messages said before, anywhere."""

    @property
    def heard(self) -> list[Message]:
        return self.api.heard(self.place, after=self.already)

    def hears(self, text: str) -> Message | None:
        return self.api.hears(text, self.place, after=self.already)

    def wait_for(self, text: str, *, within: float = 90) -> Message:
        return self.api.wait_for(text, self.place, after=self.already, within=within)


class TelegramRoute:
    """A person who writes at one place of Telegram."""

    @property
    def key(self) -> str:
        raise NotImplementedError

    @property
    def who(self) -> Person:
        raise NotImplementedError

    @property
    def place(self) -> Place:
        raise NotImplementedError

    def say(self, world: World, text: str) -> str | None:
        world.telegram.write(self.who, text, self.place)
        return None

    def listen(self, world: World) -> TelegramListener:
        return TelegramListener(world.telegram, self.place, len(world.telegram.said))


@dataclass(frozen=True)
class TelegramDm(TelegramRoute):
    """A person alone with a bot: the main session, which all of them share, unless `dmScope` is `per-channel-peer`
    (`own_session`). Whoever writes to a second bot has a session of their own in either case."""

    person: Person
    own_session: bool = False
    bot: Bot = CLAW

    @property
    def who(self) -> Person:
        return self.person

    @property
    def key(self) -> str:
        if self.bot != CLAW:
            return f"agent:main:telegram:{self.bot.account}:direct:{self.person.id}"
        return f"agent:main:telegram:direct:{self.person.id}" if self.own_session else "agent:main:main"

    @property
    def place(self) -> Place:
        return Place(self.person.chat, bot=self.bot)


@dataclass(frozen=True)
class TelegramGroup(TelegramRoute):
    """A person in a group with a bot."""

    group: Chat
    person: Person
    bot: Bot = CLAW

    @property
    def who(self) -> Person:
        return self.person

    @property
    def key(self) -> str:
        return f"agent:main:telegram:group:{self.group.id}"

    @property
    def place(self) -> Place:
        return Place(self.group, bot=self.bot)


@dataclass(frozen=True)
class TelegramTopic(TelegramRoute):
    """A person in a topic of a forum, General by default."""

    group: Chat
    person: Person
    topic: int = GENERAL
    bot: Bot = CLAW

    @property
    def who(self) -> Person:
        return self.person

    @property
    def key(self) -> str:
        return f"agent:main:telegram:group:{self.group.id}:topic:{self.topic}"

    @property
    def place(self) -> Place:
        return Place(self.group, self.topic, self.bot)


@dataclass(frozen=True)
class PrivateTopic(TelegramRoute):
    """A topic in a person's private chat with a bot."""

    person: Person
    topic: int
    in_main: bool
    """The release puts it into the main session (`Release.private_topics_in_main`)."""

    @property
    def who(self) -> Person:
        return self.person

    @property
    def key(self) -> str:
        return "agent:main:main" if self.in_main else f"agent:main:main:thread:{self.person.id}:{self.topic}"

    @property
    def place(self) -> Place:
        return Place(self.person.chat, self.topic)
