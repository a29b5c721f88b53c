"""Chat apps: people who write and hear, and the reply addresses that decide whether an answer reaches them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from openclaw_simulator import rights
from openclaw_simulator.people import direct_chat, is_group, key_of_chat, row_address, usual_person
from openclaw_simulator.profiles import NewEffect
from openclaw_simulator.records import ChatPlace, ClientInfo, Heard, Person, PersonStop, Spoken
from openclaw_simulator.sessions import Address, Author, InboundMessage, Origin, Run, SimSession, Turn

if TYPE_CHECKING:
    from openclaw_simulator.world import World

SPOOL_SECONDS = 4.0
"""From a deaf session's cure to the message that waited there."""
RETRIES = (4.0, 8.0, 5.0, 9.0, 16.0)
"""Seconds between the refusals of a message to a deaf session (9.6); the last one from then on."""
STOPPED = "⚙️ Agent was aborted."
KEPT_LINES = 8
"""Lines of a chat that 2026.5.18 puts in front of a message."""
LINES_OF_A_DM = 3
"""A direct chat has them only after a few messages."""
FIRST_NUMBER = 101


class ChannelOutage(StrEnum):
    """What is wrong with a bot's connection to its chat app."""

    UNREACHABLE = "unreachable"
    BAD_GATEWAY = "bad_gateway"
    """The chat app answers 502."""
    UNAUTHORIZED = "unauthorized"
    """The bot's token was taken away: 401."""
    SUPPRESSED = "suppressed"
    """2026.9.6's restart-loop breaker did not start it: nothing runs, although a probe succeeds."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of something that was to be said. ``error``: the chat app's words."""

    succeeded: bool
    error: str | None = None
    is_attempted: bool = True


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    author: str
    text: str


class ChatApps:
    """One world's chat channels. Every delivery is recorded in ``world.heard``."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.homes: dict[str, Address] = {}
        """Where a session's usual person really is, whatever became of the row's ``deliveryContext``."""
        self.people: dict[str, Person] = {}
        """A session's usual person: who writes where nobody else is named."""
        self.chats: dict[tuple[str, str], Address] = {}
        """Where a person writes to a session, by (key, person's id)."""
        self.last_reply: dict[str, str] = {}
        self.blocked: set[tuple[str, str]] = set()
        """Chats (channel, chat) that refuse the bot: 403."""
        self.gone_topics: set[ChatPlace] = set()
        self.outages: dict[tuple[str, str], ChannelOutage] = {}
        """By (channel, account)."""
        self.last_inbound: dict[tuple[str, str], int] = {}
        self.last_outbound: dict[tuple[str, str], int] = {}
        self._private_topics: set[ChatPlace] = set()
        self._lines: dict[tuple[str, str, int | None], deque[_Line]] = {}
        self._number = FIRST_NUMBER - 1
        self._held: list[tuple[str, str, str, Turn | None, Person, Address]] = []
        """What was written while the bot was away; it reads it when it is back."""

    # ------------------------------------------------------------ people

    def join(self, key: str, address: Address, person: Person | None = None) -> SimSession:
        """A person talks to this session from a chat app. ``person`` None: the one its key or chat names."""
        session = self.world.session(key, address=address)
        session.address = row_address(self.world.profile, address)
        session.created_via = "channel"
        session.origin_label = address.to
        self.homes[key] = address
        self.world.channels.add(address.channel)
        session.created_by = session.last_writer = self.people[key] = person or usual_person(key, address)
        self._know(key, self.people[key], address)
        self.world.touch(session)
        return session

    def meet(self, key: str, person: Person, chat: Address | None = None) -> Address:
        """Another person talks to this session too. ``chat`` None: the group's, or a direct chat of their own."""
        if chat is None:
            home = self.homes[key]
            account = home.account_id or "default"
            chat = home if is_group(home) else direct_chat(home.channel, person, account)
        self._know(key, person, chat)
        return chat

    def _know(self, key: str, person: Person, chat: Address) -> None:
        self.chats[key, person.id] = chat
        if chat.thread_id is not None and not is_group(chat):
            self._private_topics.add(chat.place)

    def person_of(self, key: str) -> Person:
        """Who writes to this session where nobody else is named."""
        person = self.people.get(key)
        if person is None:
            address = self.world.session(key).address or Address("irc", "irc:somebody")
            person = self.people[key] = usual_person(key, address)
        return person

    def person_writes(
        self, key: str, text: str, turn: Turn | None = None, *, by: Person | None = None, chat: Address | None = None
    ) -> str | None:
        """A person writes. Returns the run id, None when the words are lost (gateway down: channels.md 3).

        ``by``: who, None: the usual person. ``chat``: where, None: where they always write to this session (a group's
        chat, or their own direct chat). A frozen gateway reads it when it is thawed, a bot that is away when it is back.
        A deaf session (9.6) spools it.
        """
        if not self.world.process.hears_people:
            return None
        person = by or self.person_of(key)
        if chat is not None:
            self._know(key, person, chat)
        elif (known := self.chats.get((key, person.id))) is not None:
            chat = known
        elif key in self.homes:
            chat = self.meet(key, person)
        else:
            chat = self.world.session(key).address or Address("irc", f"irc:{person.name or person.id}")
        run_id = self.world.new_id()
        if self._outage(chat.place) is not None:
            self._held.append((key, text, run_id, turn, person, chat))
        else:
            self.world.agenda.after(0.0, self._take_in, key, text, run_id, turn, person, chat)
        return run_id

    def _take_in(self, key: str, text: str, run_id: str, turn: Turn | None, person: Person, chat: Address) -> None:
        world = self.world
        session = world.session(key)
        self._note_writer(session, person, chat)
        if text.startswith("/stop"):
            self._stop(session, person)
            return
        if text.startswith(("/new", "/reset")):
            author = Author(person, chat=chat)
            client = ClientInfo(device_id=None, client_id="chat-app", scopes=frozenset({"operator.admin"}))
            world.actions.start_new(session, client, run_id, text, route=chat, keeps_address=True, author=author)
            return
        author = self._author(person, chat, text)
        world.spoken.append(Spoken(world.now_ms, key, text, person, chat.place, run_id))
        message = InboundMessage(text, Origin.CHANNEL, run_id, world.wall_ms, route=chat, turn=turn, author=author)
        if session.is_deaf:
            session.spool.append(message)
            if not session.is_retrying:
                session.is_retrying = True
                self._refuse_again(session, 0)
        else:
            world.engine.submit(session, message)

    def _note_writer(self, session: SimSession, person: Person, chat: Address) -> None:
        """The row's address is the last writer's at once, whoever the run speaks for; that also restores a ruined one."""
        world, profile = self.world, self.world.profile
        before = session.address
        session.address, session.last_writer = row_address(profile, chat), person
        if session.has_stray_thread and chat.thread_id is None and profile.keeps_stray_threads and before is not None:
            session.address = replace(session.address, thread_id=before.thread_id)
        else:
            session.has_stray_thread = False
        session.last_interaction_ms = world.wall_ms
        self.last_inbound[chat.channel, chat.place.account] = world.wall_ms
        world.touch(session)

    def _author(self, person: Person, chat: Address, text: str) -> Author:
        self._number += 1
        place = chat.place
        lines = self._lines.setdefault((place.channel, place.chat, place.thread), deque(maxlen=KEPT_LINES))
        context = None
        if self.world.profile.wraps_words and len(lines) >= (1 if is_group(chat) else LINES_OF_A_DM):
            said = [f"#{line.number} {line.author}: {line.text}" for line in lines]
            head = "Conversation context (untrusted, chronological, selected for current message):"
            context = "\n".join([head, *said])
        lines.append(_Line(self._number, _flat(person.name or person.id), _flat(text)))
        author = Author(person, chat=chat, number=self._number, context=context)
        return replace(author, is_owner=rights.is_owner(self.world, author))

    def _stop(self, session: SimSession, person: Person) -> None:
        """A person types ``/stop``: the live run ends; of a dead one the row is marked (5.18, 9.6; before *assumed*)."""
        world = self.world
        stall = session.stall
        run_id = session.run.run_id if session.run is not None else stall.run_id if stall is not None else None
        world.stops.append(PersonStop(world.now_ms, session.key, person, run_id))
        if session.run is not None:
            world.endings.stop(session, session.run, reason="stop")
            return
        if session.status != "running":
            return
        session.aborted_last_run = True
        if stall is not None:
            stall.stopped_ms = world.now_ms
        session.has_lost_topic = world.profile.keeps_stray_threads
        address = session.address
        if world.profile.keeps_first_words and address is not None and address.thread_id is not None:
            session.address = replace(address, thread_id=str(address.thread_id))
        world.touch(session, moved=True)  # and nothing else: no event, no transcript entry
        self.say(address, STOPPED, session.key, None, "notice")

    def _refuse_again(self, session: SimSession, number: int) -> None:
        """A deaf session refuses what waits for it, again and again: all that shows is the row's two times moving."""
        if not session.is_deaf or not session.spool:
            session.is_retrying = False
            return
        session.last_interaction_ms = self.world.wall_ms
        self.world.touch(session, moved=True)
        seconds = RETRIES[min(number, len(RETRIES) - 1)]
        self.world.agenda.after(seconds, self._refuse_again, session, number + 1)

    # ------------------------------------------------------------ what is wrong with a chat app

    def block(self, chat: Address) -> None:
        """The person blocked the bot, or the group threw it out: whatever it says there is refused with 403."""
        self.blocked.add((chat.channel, chat.place.chat))

    def unblock(self, chat: Address) -> None:
        self.blocked.discard((chat.channel, chat.place.chat))

    def delete_topic(self, chat: Address) -> None:
        """A forum topic is gone."""
        self.gone_topics.add(chat.place)

    def fail(self, channel: str, outage: ChannelOutage, account: str = "default") -> None:
        """The bot loses its chat app. What people write meanwhile it reads when it is back."""
        self.outages[channel, account] = outage

    def restore(self, channel: str, account: str = "default") -> None:
        """The bot is back."""
        self.outages.pop((channel, account), None)
        held, self._held = self._held, []
        for key, text, run_id, turn, person, chat in held:
            if self._outage(chat.place) is not None or not self.world.process.hears_people:
                self._held.append((key, text, run_id, turn, person, chat))
            else:
                self.world.agenda.after(0.0, self._take_in, key, text, run_id, turn, person, chat)

    def _outage(self, place: ChatPlace) -> ChannelOutage | None:
        return self.outages.get((place.channel, place.account))

    def refusal_of(self, route: Address) -> str | None:
        """Why the chat app takes nothing for this address; None: it does."""
        place = route.place
        name = place.channel.capitalize()
        outage = self._outage(place)
        if outage is not None:
            return f"{name} send failed: {_WORDS[outage]}"
        if (place.channel, place.chat) in self.blocked:
            return f"{name} send failed: 403: Forbidden: bot was blocked by the user"
        if (place in self.gone_topics or self._is_stray(route)) and not self.world.profile.falls_back_to_general:
            return f"{name} send failed: 400: Bad Request: message thread not found"
        return None

    def _is_stray(self, route: Address) -> bool:
        """A topic of a private chat that is not there: what is said to it is lost."""
        place = route.place
        return place.thread is not None and not is_group(route) and place not in self._private_topics

    def process_spool(self, session: SimSession) -> None:
        """What was written to a deaf session is answered once it hears again (channels.md 3: within about 4 s)."""
        spool, session.spool = session.spool, []
        for message in spool:
            self.world.engine.submit(session, message)

    # ------------------------------------------------------------ answers

    def answer(self, session: SimSession, run: Run, text: str) -> SendResult | None:
        """Bring a run's answer to where it belongs. None: nobody was to hear it."""
        route = run.message.route
        if route is None:
            return SendResult(False, is_attempted=False) if run.message.wants_delivery else None
        via = run.message.via
        delivery = self.deliver(route, self._signed(run, text), session.key, run.run_id, via)
        if delivery.succeeded:
            self.last_reply[session.key] = text
        return delivery

    def _signed(self, run: Run, text: str) -> str:
        """5.18 and 9.6 append the run to what a client's turn delivers (channels.md 4)."""
        is_marked = run.message.via == "deliver" and self.world.profile.new_effect is not NewEffect.GREETS
        return f"{text} [reply:{run.run_id}]" if is_marked else text

    def say(self, route: Address | None, text: str, key: str | None, run_id: str | None, via: str) -> bool:
        """A message goes out; False when the address reaches nobody."""
        return route is not None and self.deliver(route, text, key, run_id, via).succeeded

    def deliver(
        self,
        route: Address,
        text: str,
        key: str | None,
        run_id: str | None,
        via: str,
        client: ClientInfo | None = None,
    ) -> SendResult:
        """The same, with the chat app's answer. ``client``: who had it said, of a literal ``send``."""
        if not route.reaches_a_person or route.to is None:
            return SendResult(False, is_attempted=False)
        error = self.refusal_of(route)
        if error is not None:
            return SendResult(False, error)
        place = route.place
        if place in self.gone_topics or self._is_stray(route):
            place = place._replace(thread=None)  # 3.24 speaks in General instead
        if via in ("deliver", "send") or self.world.profile.goes_deaf:
            self.last_outbound[place.channel, place.account] = self.world.wall_ms
        self.world.heard.append(
            Heard(self.world.now_ms, route.channel, route.to, text, key, run_id, via, place, client)
        )
        return SendResult(True)

    # ------------------------------------------------------------ routes

    def key_of_send(self, route: Address) -> str | None:
        """The session whose transcript a ``send`` without ``sessionKey`` goes to; None: nobody's.

        Measured: none for General without a thread, for a private topic (3.24, 5.18), for a second bot's direct chat (9.6).
        """
        place, profile = route.place, self.world.profile
        if is_group(route):
            is_forum = any(f":group:{place.chat}:topic:" in key for key in self.world.sessions)
            return (
                None
                if is_forum and place.thread is None and route.thread_id is None
                else key_of_chat(self.world, route)
            )
        if place.thread is not None and not profile.goes_deaf:
            return None
        return None if place.account != "default" and profile.goes_deaf else key_of_chat(self.world, route)

    def address_after_send(self, route: Address) -> Address:
        """9.6 takes the route of a ``send`` for the row's address: a thread given goes into ``to``, one left out is lost."""
        if route.channel != "telegram":
            return route
        place = route.place
        thread = place.thread if place.thread is not None else 1 if route.thread_id is not None else None
        topic = "" if thread is None else f":topic:{thread}"
        return replace(route, to=f"{place.channel}:{place.chat}{topic}", thread_id=thread)

    def route_of_chat_send(
        self, session: SimSession, client: ClientInfo, *, deliver: bool, explicit: Address | None
    ) -> Address | None:
        """``chat.send``'s own rule, the same on 3.24, 5.18 and 9.6 (source ``resolveChatSendOriginatingRoute``).

        A group or direct key is reached by anyone; the main session only by a client of mode ``cli``.
        """
        if not deliver or client.mode == "webchat":
            return None
        if explicit is not None:
            return explicit
        if session.address is None or not session.address.reaches_a_person:
            return None
        parts = session.key.split(":")
        rest = parts[2:] if parts[0] == "agent" else parts
        if {"direct", "dm", "group", "channel"} & set(rest[1:3]):
            return session.address
        return session.address if rest[:1] == ["main"] and client.mode == "cli" else None

    def route_of_agent(self, session: SimSession, *, deliver: bool, explicit: Address | None) -> Address | None:
        """``agent`` with ``deliver: true`` reaches every session that still has an address (channels.md 4)."""
        if not deliver:
            return None
        if explicit is not None:
            return explicit
        address = session.address
        return address if address is not None and address.channel != "webchat" else None

    def ruin_address(self, session: SimSession) -> None:
        """``/new`` without a route destroys the reply address (channels.md 4, all versions measured).

        3.24/5.18: a group keeps the bare channel, main becomes webchat. 9.6: a group's ``to`` becomes its own key,
        main loses it altogether. 4.14 *assumed* like 3.24.
        """
        address = session.address
        if address is None or not address.reaches_a_person:
            return
        is_main = session.key.endswith(":main")
        if self.world.profile.new_effect is NewEffect.CLEARS_ROW:
            session.address = None if is_main else Address(address.channel, session.key, address.account_id)
        else:
            session.address = Address("webchat" if is_main else address.channel, None, None)
        self.world.touch(session)


_WORDS = {
    ChannelOutage.UNREACHABLE: "Network request for 'sendMessage' failed!",
    ChannelOutage.BAD_GATEWAY: "502: Bad Gateway",
    ChannelOutage.UNAUTHORIZED: "401: Unauthorized",
    ChannelOutage.SUPPRESSED: "channel is not running",
}


def _flat(text: str) -> str:
    """How 2026.5.18 writes another person's line: one line, its fences broken."""
    return " ".join(text.split("\n")).replace("```", "`\u200b``")
