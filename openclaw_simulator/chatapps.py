"""Chat apps: people who write to sessions, and what can be wrong between them and the gateway."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from openclaw_simulator import rights
from openclaw_simulator.actions import Actions
from openclaw_simulator.admission import Admission
from openclaw_simulator.endings import Endings
from openclaw_simulator.outbound import Outbound
from openclaw_simulator.people import direct_chat, is_group, row_address, usual_person
from openclaw_simulator.process import Process
from openclaw_simulator.records import ClientInfo, Person, PersonStop, Spoken
from openclaw_simulator.sessions import Address, Author, InboundMessage, Origin, SimSession, Turn
from openclaw_simulator.state import ChannelOutage, WorldState

ROOM_ENDED = "My session in this room ended during a gateway restart. Use /reset or /new to start another one."
STOPPED = "⚙️ Agent was aborted."
KEPT_LINES = 8
"""Lines of a chat that 2026.5.18 puts in front of a message."""
LINES_OF_A_DM = 3
"""A direct chat has them only after a few messages."""
FIRST_NUMBER = 101


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    author: str
    text: str


class ChatApps:
    """The people around one world's chat channels."""

    def __init__(
        self,
        world: WorldState,
        admission: Admission,
        endings: Endings,
        outbound: Outbound,
        actions: Actions,
        process: Process,
    ) -> None:
        self.world = world
        self.admission = admission
        self.endings = endings
        self.outbound = outbound
        self.actions = actions
        self.process = process
        self.people: dict[str, Person] = {}
        """A session's usual person: who writes where nobody else is named."""
        self.chats: dict[tuple[str, str], Address] = {}
        """Where a person writes to a session, by (key, person's id)."""
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
        self.world.homes[key] = address
        self.world.channels.add(address.channel)
        session.created_by = session.last_writer = self.people[key] = person or usual_person(key, address)
        self._know(key, self.people[key], address)
        self.world.touch(session)
        return session

    def meet(self, key: str, person: Person, chat: Address | None = None) -> Address:
        """Another person talks to this session too. ``chat`` None: the group's, or a direct chat of their own."""
        if chat is None:
            home = self.world.homes[key]
            account = home.account_id or "default"
            chat = home if is_group(home) else direct_chat(home.channel, person, account)
        self._know(key, person, chat)
        return chat

    def _know(self, key: str, person: Person, chat: Address) -> None:
        self.chats[key, person.id] = chat
        if chat.thread_id is not None and not is_group(chat):
            self.world.private_topics.add(chat.place)

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
        if not self.process.hears_people:
            return None
        person = by or self.person_of(key)
        if chat is not None:
            self._know(key, person, chat)
        elif (known := self.chats.get((key, person.id))) is not None:
            chat = known
        elif key in self.world.homes:
            chat = self.meet(key, person)
        else:
            chat = self.world.session(key).address or Address("irc", f"irc:{person.name or person.id}")
        run_id = self.world.new_id()
        if self.world.outage_of(chat.place) is not None:
            self._held.append((key, text, run_id, turn, person, chat))
        else:
            self.world.agenda.after(0.0, self._take_in, key, text, run_id, turn, person, chat)
        return run_id

    def _take_in(self, key: str, text: str, run_id: str, turn: Turn | None, person: Person, chat: Address) -> None:
        world = self.world
        session = world.session(key)
        if (session.is_tombstoned or session.is_archived) and not text.startswith(("/new", "/reset")):
            # Neither ``lastInteractionAt`` nor ``updatedAt`` moves (9.6).
            world.spoken.append(Spoken(world.now_ms, key, text, person, chat.place, run_id))
            self.outbound.say(chat, ROOM_ENDED, key, None, "notice")
            return
        session.is_archived = False
        self._note_writer(session, person, chat)
        if text.startswith("/stop"):
            self._stop(session, person)
            return
        if text.startswith(("/new", "/reset")):
            author = Author(person, chat=chat)
            client = ClientInfo(device_id=None, client_id="chat-app", scopes=frozenset({"operator.admin"}))
            self.actions.start_new(session, client, run_id, text, route=chat, keeps_address=True, author=author)
            return
        author = self._author(person, chat, text)
        world.spoken.append(Spoken(world.now_ms, key, text, person, chat.place, run_id))
        message = InboundMessage(text, Origin.CHANNEL, run_id, world.wall_ms, route=chat, turn=turn, author=author)
        if session.is_deaf:
            self.admission.keep_outside(session, message)
        else:
            self.admission.submit(session, message)

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
        self.world.last_inbound[chat.channel, chat.place.account] = world.wall_ms
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
            self.endings.stop(session, session.run, reason="stop")
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
        self.outbound.say(address, STOPPED, session.key, None, "notice")

    # ------------------------------------------------------------ what is wrong with a chat app

    def block(self, chat: Address) -> None:
        """The person blocked the bot, or the group threw it out: whatever it says there is refused with 403."""
        self.world.blocked.add((chat.channel, chat.place.chat))

    def unblock(self, chat: Address) -> None:
        self.world.blocked.discard((chat.channel, chat.place.chat))

    def delete_topic(self, chat: Address) -> None:
        """A forum topic is gone."""
        self.world.gone_topics.add(chat.place)

    def fail(self, channel: str, outage: ChannelOutage, account: str = "default") -> None:
        """The bot loses its chat app. What people write meanwhile it reads when it is back."""
        self.world.outages[channel, account] = outage

    def restore(self, channel: str, account: str = "default") -> None:
        """The bot is back."""
        self.world.outages.pop((channel, account), None)
        held, self._held = self._held, []
        for key, text, run_id, turn, person, chat in held:
            if self.world.outage_of(chat.place) is not None or not self.process.hears_people:
                self._held.append((key, text, run_id, turn, person, chat))
            else:
                self.world.agenda.after(0.0, self._take_in, key, text, run_id, turn, person, chat)


def _flat(text: str) -> str:
    """How 2026.5.18 writes another person's line: one line, its fences broken."""
    return " ".join(text.split("\n")).replace("```", "`\u200b``")
