"""A Telegram of the tests' own: a Bot API on loopback that gateways talk to, with people, groups, topics and bots.

    with BotApi() as api:
        api.write(ALICE, "good morning", Place(ALICE.chat))
        api.wait_for("mock answer 1", Place(ALICE.chat))

`channels.telegram.apiRoot` leads the Telegram channel of every release here; no plugin is needed, on 2026.9.6 neither.

As on the real Bot API: updates are handed out by long poll and again until their receipt is confirmed by a higher offset;
General of a forum has no thread id on the way in, and none may be given with what is said there (but with "typing"); a
topic that is gone, or in which nobody ever wrote, is refused with 400, and so is an edit that changes nothing. Methods
it does not know answer `true`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.harness.conditions import epoch_ms, until

from .failures import HarnessError
from .ports import PortBlock

GENERAL = 1
"""The thread of a forum's General topic."""
LONGEST_POLL = 25.0


@dataclass(frozen=True)
class Chat:
    """Somewhere people and bots write: a private chat (its id is the person's), a group, or a forum with topics."""

    id: int
    title: str | None = None
    is_forum: bool = False

    @property
    def is_private(self) -> bool:
        return self.id > 0


@dataclass(frozen=True)
class Person:
    id: int
    name: str
    username: str | None = None

    @property
    def chat(self) -> Chat:
        """Their private chat with whatever bot they write to."""
        return Chat(self.id)


@dataclass(frozen=True)
class Bot:
    """A bot account. The gateway knows it by `account`."""

    account: str
    id: int
    has_topics: bool = True
    """Topics in private chats are switched on."""

    @property
    def token(self) -> str:
        return f"{self.id}:not-a-secret-of-{self.account}"

    @property
    def username(self) -> str:
        return f"claw_{self.account}_bot"


CLAW = Bot("default", 9001)
WORK_CLAW = Bot("work", 9002)
ALICE = Person(1001, "Alice Ames", "alice")
BOB = Person(1002, "Bob Bell", "bob")
TEAM = Chat(-100500, "Team")
FORUM = Chat(-100600, "Forum", is_forum=True)


@dataclass(frozen=True)
class Place:
    """Where a message stands: a chat, a topic of it, and which bot's side of it."""

    chat: Chat
    thread: int | None = None
    bot: Bot = CLAW

    def __post_init__(self) -> None:
        if self.chat.is_forum and self.thread is None:
            raise ValueError(f"every message in {self.chat} stands in a topic; General is {GENERAL}")

    def __str__(self) -> str:
        topic = "" if self.thread is None else f" topic {self.thread}"
        return f"{self.chat.title or self.chat.id}{topic} with {self.bot.account}"


@dataclass(eq=False)
class Message:
    """Something a bot said, as people see it: a text that may be edited, or taken away again."""

    id: int
    at: int
    """Epoch milliseconds at which it was said first."""
    bot: str
    chat: int
    thread: int | None
    """In a forum always a number, 1 for General."""
    texts: list[str]
    """All the texts it has had, the present one last."""
    is_deleted: bool = False
    is_draft: bool = False
    """Shown while the bot still writes (`sendMessageDraft`), no message yet."""

    @property
    def text(self) -> str:
        return self.texts[-1]

    def shows(self, text: str) -> bool:
        """Whether it has ever shown this."""
        return any(text in each for each in self.texts)

    def is_in(self, place: Place) -> bool:
        return (self.chat, self.thread, self.bot) == (place.chat.id, place.thread, place.bot.account)

    def __str__(self) -> str:
        flags = " (deleted)" * self.is_deleted + " (draft)" * self.is_draft
        return f"{self.id} {self.bot} in {self.chat} topic {self.thread}{flags}: {self.text!r}"


@dataclass(frozen=True)
class ApiCall:
    """One call of a gateway, but for its long polls."""

    at: int
    bot: str
    method: str
    parameters: Mapping[str, Any]
    status: int

    @property
    def chat(self) -> int | None:
        return _number(self.parameters.get("chat_id"))

    def __str__(self) -> str:
        return f"{self.bot} {self.method} {dict(self.parameters)} -> {self.status}"[:300]


class _Refusal(Exception):
    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status = status


@dataclass
class _Mailbox:
    """What waits for one bot."""

    updates: list[dict[str, Any]] = field(default_factory=list)
    polls: int = 0


@dataclass
class _Book:
    """What the server thread writes and the tests read."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(101))
    update_numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(500_001))
    chats: dict[int, Chat] = field(default_factory=dict)
    mailboxes: dict[str, _Mailbox] = field(default_factory=dict)
    said: list[Message] = field(default_factory=list)
    calls: list[ApiCall] = field(default_factory=list)
    blocked: set[int] = field(default_factory=set)
    topics: set[tuple[int, int]] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    broken: int | None = None


class BotApi:
    """The server and its book. Use as a context manager, or `start` and `close`."""

    def __init__(self, bots: Iterable[Bot] = (CLAW,)) -> None:
        self.bots = tuple(bots)
        self._by_token = {bot.token: bot for bot in self.bots}
        self._book = _Book(mailboxes={bot.account: _Mailbox() for bot in self.bots})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="telegram", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._ports = PortBlock()  # a port of its own: it has to be the same one after being away
        self.port = self._ports.first

    # ------------------------------------------------------------ life

    def start(self) -> BotApi:
        self._thread.start()
        self.come_back()
        return self

    def close(self) -> None:
        if self._thread.is_alive():
            self.go_away()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()
        self._ports.release()

    def __enter__(self) -> BotApi:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def root(self) -> str:
        """For `channels.telegram.apiRoot`."""
        return f"http://127.0.0.1:{self.port}"

    # ------------------------------------------------------------ people write

    def write(self, person: Person, text: str, place: Place | None = None) -> None:
        """A person writes to a bot, in their private chat with the first one unless told otherwise."""
        place = place or Place(person.chat, bot=self.bots[0])
        names = {"username": person.username} if person.username else {}
        message: dict[str, Any] = {
            "date": epoch_ms() // 1000,
            "chat": _chat_facts(place.chat, person),
            "from": {"id": person.id, "is_bot": False, "first_name": person.name, "language_code": "en", **names},
            "text": text,
        }
        if place.thread is not None and not (place.chat.is_forum and place.thread == GENERAL):
            message |= {"message_thread_id": place.thread, "is_topic_message": True}
            self._book.topics.add((place.chat.id, place.thread))
        if text.startswith("/"):
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
        book = self._book
        with book.lock:
            book.chats[place.chat.id] = place.chat
            message["message_id"] = next(book.numbers)
            update = {"update_id": next(book.update_numbers), "message": message}
            book.mailboxes[place.bot.account].updates.append(update)

    def waiting(self, bot: Bot = CLAW) -> int:
        """Updates whose receipt the gateway has not confirmed."""
        with self._book.lock:
            return len(self._book.mailboxes[bot.account].updates)

    def polls(self, bot: Bot = CLAW) -> int:
        """How often the gateway has asked for updates."""
        with self._book.lock:
            return self._book.mailboxes[bot.account].polls

    # ------------------------------------------------------------ what was said

    @property
    def said(self) -> list[Message]:
        """Everything the bots have said, drafts and deleted messages included, oldest first."""
        with self._book.lock:
            return list(self._book.said)

    @property
    def calls(self) -> list[ApiCall]:
        """Every call but long polls, refused ones included, oldest first."""
        with self._book.lock:
            return list(self._book.calls)

    def heard(self, place: Place | None = None, *, after: int = 0) -> list[Message]:
        """Messages past the first `after` ones, without drafts and deleted ones: in one place, or anywhere."""
        lasting = [each for each in self.said[after:] if not each.is_draft and not each.is_deleted]
        return [each for each in lasting if place is None or each.is_in(place)]

    def hears(self, text: str, place: Place | None = None, *, after: int = 0) -> Message | None:
        """The first message past the first `after` ones that has shown `text`: in one place, or anywhere."""
        return next((each for each in self.heard(place, after=after) if each.shows(text)), None)

    def wait_for(self, text: str, place: Place | None = None, *, after: int = 0, within: float = 90) -> Message:
        try:
            return until(f"{text!r} is said in {place}", lambda: self.hears(text, place, after=after), within=within)
        except HarnessError as silence:
            raise HarnessError(f"{silence}\n{self.report()}") from None

    def chats_shown(self, text: str, *, after: int = 0) -> set[int]:
        """The chats to which anything with `text` in it was sent by any method, drafts, edits and refused ones too, past
        the first `after` calls. For "not one word of hers reaches him"."""
        return {
            call.chat
            for call in self.calls[after:]
            if call.chat is not None and text in json.dumps(call.parameters, ensure_ascii=False)
        }

    def report(self, last: int = 15) -> str:
        lines = ["--- said on Telegram ---", *map(str, self.said[-last:])]
        return "\n".join([*lines, "--- calls of the Bot API ---", *map(str, self.calls[-last:])])

    # ------------------------------------------------------------ what can go wrong

    def block(self, person: Person) -> None:
        """The person blocks the bots: 403 for whatever is sent to them."""
        self._book.blocked.add(person.id)

    def unblock(self, person: Person) -> None:
        self._book.blocked.discard(person.id)

    def drop_topic(self, place: Place) -> None:
        """The topic is deleted: 400 for whatever is sent to it."""
        assert place.thread is not None
        self._book.topics.discard((place.chat.id, place.thread))

    def revoke(self, bot: Bot) -> None:
        """Its token is worth nothing any more: 401."""
        self._book.revoked.add(bot.account)

    def restore(self, bot: Bot) -> None:
        self._book.revoked.discard(bot.account)

    def break_down(self, status: int = 502) -> None:
        """Whatever is asked is answered with this status, until `repair`."""
        self._book.broken = status

    def repair(self) -> None:
        self._book.broken = None

    def go_away(self) -> None:
        """Nobody listens on the port any more, until `come_back`. What people write meanwhile is kept for later."""
        self._in_loop(self._unlisten)

    def come_back(self) -> None:
        self._in_loop(self._listen)

    @property
    def is_there(self) -> bool:
        """It serves: neither away nor broken down."""
        return self._server is not None and self._book.broken is None

    # ------------------------------------------------------------ the methods

    def _answer(self, bot: Bot, method: str, parameters: dict[str, Any]) -> object:
        """The result of a call; the book is locked."""
        book = self._book
        chat_id, thread = _number(parameters.get("chat_id")), _number(parameters.get("message_thread_id"))
        chat = book.chats.get(chat_id, Chat(chat_id)) if chat_id is not None else None
        if chat is not None and method.startswith(("send", "edit", "delete", "copy", "forward")):
            self._require_open(chat, thread, method)
        text = str(parameters.get("text") or parameters.get("caption") or "")
        if method == "getMe":
            return _bot_facts(bot)
        if method == "getWebhookInfo":
            return {"url": "", "has_custom_certificate": False, "pending_update_count": 0}
        if chat is None:
            return True
        if method == "getChat":
            return {**_chat_facts(chat), "accent_color_id": 0, "max_reaction_count": 11}
        if method == "getChatMember":
            return {"status": "administrator", "user": {"id": _number(parameters.get("user_id")), "is_bot": False}}
        message_id = _number(parameters.get("message_id"))
        if method in ("editMessageText", "editMessageCaption", "deleteMessage"):
            known = next((each for each in book.said if (each.chat, each.id) == (chat.id, message_id)), None)
            if known is None or known.is_draft or known.is_deleted:
                raise _Refusal(400, "Bad Request: message to edit not found")
            if method == "deleteMessage":
                known.is_deleted = True
                return True
            if text == known.text:
                raise _Refusal(400, "Bad Request: message is not modified")
            known.texts.append(text)
            return _message_facts(known, chat, bot)
        if not method.startswith("send") or method == "sendChatAction":
            return True
        shown_in = GENERAL if chat.is_forum and thread is None else thread
        number = next(book.numbers)
        said = Message(
            number, epoch_ms(), bot.account, chat.id, shown_in, [text], is_draft=method == "sendMessageDraft"
        )
        book.said.append(said)
        return True if said.is_draft else _message_facts(said, chat, bot)

    def _require_open(self, chat: Chat, thread: int | None, method: str) -> None:
        if chat.id in self._book.blocked:
            raise _Refusal(403, "Forbidden: bot was blocked by the user")
        if chat.is_forum and thread == GENERAL and method == "sendChatAction":
            return
        if thread is not None and (chat.id, thread) not in self._book.topics:
            raise _Refusal(400, "Bad Request: message thread not found")

    async def _updates(self, bot: Bot, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Those from `offset` on, as soon as there is one; earlier ones are confirmed by it and forgotten."""
        offset, patience = _number(parameters.get("offset")) or 0, _number(parameters.get("timeout")) or 0
        box = self._book.mailboxes[bot.account]
        with self._book.lock:
            box.polls += 1
            box.updates = [update for update in box.updates if update["update_id"] >= offset]
        limit = self._loop.time() + min(patience, LONGEST_POLL)
        while True:
            self._require_service(bot)
            with self._book.lock:
                found = list(box.updates)
            if found or self._loop.time() >= limit:
                return found
            await asyncio.sleep(0.05)

    def _require_service(self, bot: Bot) -> None:
        if self._book.broken is not None:
            raise _Refusal(self._book.broken, "Bad Gateway")
        if bot.account in self._book.revoked:
            raise _Refusal(401, "Unauthorized")

    async def _perform(self, bot: Bot, method: str, parameters: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            if method == "getUpdates":
                return 200, {"ok": True, "result": await self._updates(bot, parameters)}
            self._require_service(bot)
            with self._book.lock:
                result = self._answer(bot, method, parameters)
        except _Refusal as refusal:
            return refusal.status, {"ok": False, "error_code": refusal.status, "description": str(refusal)}
        return 200, {"ok": True, "result": result}

    # ------------------------------------------------------------ the server

    def _in_loop(self, work: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=1 << 24)

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the gateway hung up or was killed, or we go away
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_line, headers, content = await _read_request(reader)
        url = urllib.parse.urlsplit(request_line.split()[1])
        _, _, rest = url.path.partition("/bot")
        token, _, method = rest.partition("/")
        bot = self._by_token.get(urllib.parse.unquote(token))
        if bot is None:
            await _respond(writer, 404, {"ok": False, "error_code": 404, "description": "Not Found"})
            return
        parameters = {**dict(urllib.parse.parse_qsl(url.query)), **_parse(headers.get("content-type", ""), content)}
        playing = asyncio.ensure_future(self._perform(bot, method, parameters))
        hanging_up = asyncio.ensure_future(reader.read())
        try:
            if method == "getUpdates":  # a poller that was killed must not be handed what its successor should get
                await asyncio.wait({playing, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
                if not playing.done():
                    return
            status, document = await playing
        finally:
            playing.cancel()
            hanging_up.cancel()
            await asyncio.gather(playing, hanging_up, return_exceptions=True)
        if method != "getUpdates":
            with self._book.lock:
                self._book.calls.append(ApiCall(epoch_ms(), bot.account, method, parameters, status))
        await _respond(writer, status, document)


def _bot_facts(bot: Bot) -> dict[str, Any]:
    return {
        "id": bot.id,
        "is_bot": True,
        "first_name": "Claw",
        "username": bot.username,
        "can_join_groups": True,
        "can_read_all_group_messages": True,
        "supports_inline_queries": False,
        "has_topics_enabled": bot.has_topics,
    }


def _chat_facts(chat: Chat, person: Person | None = None) -> dict[str, Any]:
    if chat.is_private:
        return {"id": chat.id, "type": "private", **({"first_name": person.name} if person else {})}
    forum = {"is_forum": True} if chat.is_forum else {}
    return {"id": chat.id, "type": "supergroup", "title": chat.title, **forum}


def _message_facts(said: Message, chat: Chat, bot: Bot) -> dict[str, Any]:
    topic = {} if said.thread is None else {"message_thread_id": said.thread, "is_topic_message": True}
    author = {"id": bot.id, "is_bot": True, "first_name": "Claw", "username": bot.username}
    return {
        "message_id": said.id,
        "date": said.at // 1000,
        "chat": _chat_facts(chat),
        "from": author,
        "text": said.text,
        **topic,
    }


def _number(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


# ------------------------------------------------------------ HTTP


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *fields = head.split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in fields)}
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return request_line, headers, await reader.readexactly(int(headers.get("content-length") or 0))
    content = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        content += await reader.readexactly(size)
        await reader.readexactly(2)
    return request_line, headers, content


def _parse(kind: str, content: bytes) -> dict[str, Any]:
    """The parameters of a call, however they are written."""
    if kind.startswith("application/x-www-form-urlencoded"):
        return dict(urllib.parse.parse_qsl(content.decode()))
    if kind.startswith("multipart/form-data"):
        boundary = kind.partition("boundary=")[2].strip('"').encode()
        found: dict[str, Any] = {}
        for part in content.split(b"--" + boundary)[1:-1]:
            head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n")
            name = head.decode(errors="replace").partition('name="')[2].partition('"')[0]
            found[name] = value.decode(errors="replace")
        return found
    with contextlib.suppress(ValueError):
        document = json.loads(content or b"{}")
        return document if isinstance(document, dict) else {}
    return {}


async def _respond(writer: asyncio.StreamWriter, status: int, document: object) -> None:
    content = json.dumps(document).encode()
    head = f"HTTP/1.1 {status} Telegram\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + content)
    await writer.drain()
