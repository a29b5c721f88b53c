"""One gateway and all that belongs to it: a model, an operator who watches, and if wanted chat networks with people.

with World.make(V3_24, tmp_path) as world:
    session = stuck.killed_in_model_call(world, "agent:main:lost")
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e.harness.conditions import until

from .failures import HarnessError
from .gateways import Gateway
from .install import installed
from .irc import Human, IrcServer
from .provider import Provider
from .releases import Release
from .settings import irc_channel, merged, telegram_channel
from .telegram import CLAW, Bot, BotApi
from .witness import ADMIN, Row, Witness

PERSON = "alice"
GROUPS = ("#team",)


class World:
    """A running gateway with its surroundings. Close it: nothing it started outlives it."""

    def __init__(
        self,
        release: Release,
        folder: Path,
        *,
        chat: bool = False,
        groups: tuple[str, ...] = GROUPS,
        telegram: bool = False,
        bots: tuple[Bot, ...] = (CLAW,),
        extra: Mapping[str, Any] | None = None,
        run_timeout_seconds: int = 7200,
    ) -> None:
        """``chat``, ``groups``: an IRC network with Alice in these groups. ``telegram``, ``bots``: a Telegram on which
        anybody writes anywhere, and the gateway's accounts there. ``extra``: laid over the gateway's config."""
        self.release = release
        self.groups = groups
        self.provider = Provider().start()
        self._irc: IrcServer | None = None
        self._human: Human | None = None
        self._telegram: BotApi | None = None
        self._witness: Witness | None = None
        self._gateway: Gateway | None = None
        self._numbers = itertools.count(1)
        try:
            wanted = dict(extra or {})
            if chat:
                self._irc = IrcServer(folder / "irc")
                self._human = Human(self._irc, PERSON, groups)
                wanted = merged(irc_channel(self._irc.port, PERSON, groups), wanted)
            if telegram:
                self._telegram = BotApi(bots).start()
                wanted = merged(telegram_channel(self._telegram), wanted)
            self._gateway = Gateway(
                installed(release),
                folder / "home",
                self.provider,
                extra=wanted,
                channels=chat or telegram,
                irc=chat,
                run_timeout_seconds=run_timeout_seconds,
            )
            self.start()
        except BaseException:
            if self._gateway is not None:
                print(self.report(), file=sys.stderr)
            self.close()
            raise

    def close(self) -> None:
        for part in (self._witness, self._human, self._gateway, self._irc, self._telegram, self.provider):
            if part is not None:
                part.close()

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            print(self.report(), file=sys.stderr)
        self.close()

    # ------------------------------------------------------------ the parts

    @property
    def gateway(self) -> Gateway:
        assert self._gateway is not None
        return self._gateway

    @property
    def human(self) -> Human:
        if self._human is None:
            raise HarnessError("this world was made without chat")
        return self._human

    @property
    def telegram(self) -> BotApi:
        if self._telegram is None:
            raise HarnessError("this world was made without Telegram")
        return self._telegram

    @property
    def witness(self) -> Witness:
        """An operator with all scopes, reconnected when the gateway came back in the meantime."""
        if self._witness is not None and self._witness.is_closed:
            self._drop_witness()
        if self._witness is None:
            self._witness = self.gateway.witness(scopes=ADMIN)
        return self._witness

    def _drop_witness(self) -> None:
        if self._witness is not None:
            self._witness.close()
            self._witness = None

    # ------------------------------------------------------------ life

    def start(self) -> None:
        polls = self._polls()
        self.gateway.start()
        self._await_bot(polls)

    def kill(self) -> None:
        self._drop_witness()
        self.gateway.kill()

    def terminate(self) -> bool:
        """SIGTERM; whether the gateway ended by itself within its patience."""
        self._drop_witness()
        return self.gateway.terminate()

    def restart_in_place(self) -> None:
        self._drop_witness()
        polls = self._polls()
        self.gateway.restart_in_place()
        self._await_bot(polls)

    def _has_polled(self, bot: Bot, before: int) -> bool:
        return self.telegram.polls(bot) > before

    def _polls(self) -> dict[Bot, int]:
        return {bot: self._telegram.polls(bot) for bot in self._telegram.bots} if self._telegram else {}

    def _await_bot(self, polls: Mapping[Bot, int]) -> None:
        """Until the gateway hears what people write."""
        for bot, before in polls.items():
            if self.telegram.is_there:
                until(f"{bot.account} polls Telegram", partial(self._has_polled, bot, before), within=90)
        if self._human is not None:
            for group in self.groups:
                self._human.find_bot(group)

    # ------------------------------------------------------------ looking

    def row(self, key: str) -> Row:
        return self.witness.row(key)

    def fresh_marker(self, word: str) -> str:
        """A word no other turn of this world contains."""
        return f"{word}-{next(self._numbers)}-"

    def await_status(self, key: str, *statuses: str, within: float = 90) -> Row:
        return until(
            f"{key} is {' or '.join(statuses)}",
            lambda: row if (row := self.row(key)).get("status") in statuses else None,
            within=within,
        )

    def report(self) -> str:
        """What a failed test should show."""
        parts = [self.gateway.report(), "--- model calls ---", self.provider.describe()]
        if self._human is not None:
            parts += ["--- heard on IRC ---", *map(str, self._human.heard[-15:])]
        if self._telegram is not None:
            parts.append(self._telegram.report())
        return "\n".join(parts)
