"""What the gateway says in chat apps, and the reply addresses that decide whether it reaches anybody."""

from __future__ import annotations

from dataclasses import dataclass, replace

from openclaw_simulator.people import is_group, key_of_chat
from openclaw_simulator.profiles import NewEffect
from openclaw_simulator.records import ClientInfo, Heard
from openclaw_simulator.sessions import Address, Run, SimSession
from openclaw_simulator.state import ChannelOutage, WorldState

_WORDS = {
    ChannelOutage.UNREACHABLE: "Network request for 'sendMessage' failed!",
    ChannelOutage.BAD_GATEWAY: "502: Bad Gateway",
    ChannelOutage.UNAUTHORIZED: "401: Unauthorized",
    ChannelOutage.SUPPRESSED: "channel is not running",
}


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of something that was to be said. ``error``: the chat app's words."""

    succeeded: bool
    error: str | None = None
    is_attempted: bool = True


class Outbound:
    """One world's way out. Every delivery is recorded in ``world.heard``."""

    def __init__(self, world: WorldState) -> None:
        self.world = world
        self.last_reply: dict[str, str] = {}

    def refusal_of(self, route: Address) -> str | None:
        """Why the chat app takes nothing for this address; None: it does."""
        place = route.place
        name = place.channel.capitalize()
        outage = self.world.outage_of(place)
        if outage is not None:
            return f"{name} send failed: {_WORDS[outage]}"
        if (place.channel, place.chat) in self.world.blocked:
            return f"{name} send failed: 403: Forbidden: bot was blocked by the user"
        if (place in self.world.gone_topics or self._is_stray(route)) and not self.world.profile.falls_back_to_general:
            return f"{name} send failed: 400: Bad Request: message thread not found"
        return None

    def _is_stray(self, route: Address) -> bool:
        """A topic of a private chat that is not there: what is said to it is lost."""
        place = route.place
        return place.thread is not None and not is_group(route) and place not in self.world.private_topics

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
        if place in self.world.gone_topics or self._is_stray(route):
            place = place._replace(thread=None)  # 3.24 speaks in General instead
        if via in ("deliver", "send") or self.world.profile.goes_deaf:
            self.world.last_outbound[place.channel, place.account] = self.world.wall_ms
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
