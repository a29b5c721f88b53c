"""Chat apps: people who write and hear, and the reply addresses that decide whether an answer reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchdog.simulator.profiles import NewEffect
from watchdog.simulator.records import ClientInfo, Heard
from watchdog.simulator.sessions import Address, Message, Origin, Run, SimSession, Turn

if TYPE_CHECKING:
    from watchdog.simulator.world import World

SPOOL_RETRY_SECONDS = 4.0


class ChatApps:
    """One world's chat channels. Every delivery is recorded in ``world.heard``."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.homes: dict[str, Address] = {}
        """Where a session's person really is, whatever became of the row's ``deliveryContext``."""
        self.last_reply: dict[str, str] = {}

    # ------------------------------------------------------------ people

    def join(self, key: str, address: Address) -> SimSession:
        """A person talks to this session from a chat app."""
        session = self.world.session(key, address=address)
        session.address = address
        session.created_via = "channel"
        session.origin_label = address.to
        self.homes[key] = address
        self.world.touch(session)
        return session

    def person_writes(self, key: str, text: str, turn: Turn | None = None) -> str | None:
        """A person writes. Returns the run id, None when the words are lost (gateway down: channels.md 3).

        A frozen gateway reads it when it is thawed. A deaf session (9.6) spools it.
        """
        if not self.world.process.hears_people:
            return None
        run_id = self.world.new_id()
        self.world.agenda.after(0.0, self._take_in, key, text, run_id, turn)
        return run_id

    def _take_in(self, key: str, text: str, run_id: str, turn: Turn | None) -> None:
        world = self.world
        session = world.session(key)
        home = self.homes.get(key)
        if home is not None:
            session.address = home  # a human message restores a ruined address
        if text.startswith("/stop"):
            if session.run is not None:
                world.endings.stop(session, session.run, reason="stop")
            return
        if text.startswith(("/new", "/reset")):
            client = ClientInfo(device_id=None, client_id="chat-app", scopes=frozenset({"operator.admin"}))
            world.actions.start_new(session, client, run_id, text, route=session.address, keeps_address=True)
            return
        message = Message(text, Origin.CHANNEL, run_id, world.wall_ms, route=session.address, turn=turn)
        if session.is_deaf:
            session.spool.append(message)
        else:
            world.engine.submit(session, message)

    def process_spool(self, session: SimSession) -> None:
        """What was written to a deaf session is answered once it hears again (channels.md 3: within about 4 s)."""
        spool, session.spool = session.spool, []
        for message in spool:
            self.world.engine.submit(session, message)

    # ------------------------------------------------------------ answers

    def answer(self, session: SimSession, run: Run, text: str) -> bool | None:
        """Bring a run's answer to where it belongs. None: nobody was to hear it."""
        route = run.message.route
        if route is None:
            return False if run.message.wants_delivery else None
        is_heard = self.say(route, self._signed(run, text), session.key, run.run_id, run.message.via)
        if is_heard:
            self.last_reply[session.key] = text
        return is_heard

    def _signed(self, run: Run, text: str) -> str:
        """5.18 and 9.6 append the run to what a client's turn delivers (channels.md 4)."""
        is_marked = run.message.via == "deliver" and self.world.profile.new_effect is not NewEffect.GREETS
        return f"{text} [reply:{run.run_id}]" if is_marked else text

    def say(self, route: Address | None, text: str, key: str | None, run_id: str | None, via: str) -> bool:
        """A message goes out; False when the address reaches nobody."""
        if route is None or not route.reaches_a_person or route.to is None:
            return False
        self.world.heard.append(Heard(self.world.now_ms, route.channel, route.to, text, key, run_id, via))
        return True

    # ------------------------------------------------------------ routes

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
