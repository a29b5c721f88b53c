"""A model of the tests' own: an OpenAI-compatible endpoint in this process that behaves as told and forgets nothing
unasked.

How it behaves is chosen by words in the turn: `provider.on("MARKER", Stream(600))` rules every request whose turn (the
person's texts since the last finished answer) contains MARKER; of several the one said last; anything else gets
`provider.default`. Every request is kept as a `Call`, with all its messages, while it is open and after.

Chosen by words and not by request number, because gateways make calls of their own (greetings after `/new`, slugs for
memory files, retries) between those a test thinks of.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.harness.conditions import epoch_ms, until

from .failures import HarnessError

INTERNAL_CONTEXT = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"


@dataclass(frozen=True)
class Answer:
    """A finished answer at once. `None`: a text that names the number of the call, unique within this provider."""

    text: str | None = None


@dataclass(frozen=True)
class Stream:
    """A word a second, for so many seconds, then the answer: slow and healthy."""

    seconds: float
    every: float = 1.0


@dataclass(frozen=True)
class Held:
    """A word every half second until `end` is set, then the answer: several turns that end in the same moment."""

    end: threading.Event = field(default_factory=threading.Event, repr=False)
    every: float = 0.5


@dataclass(frozen=True)
class Silence:
    """No word, ever. With `headers` the response begins (status line and an empty first piece), else not even that."""

    headers: bool = True


@dataclass(frozen=True)
class Tools:
    """Asks for `exec` of a shell command until the turn holds `times` results; then goes on as `then` says."""

    command: str = "sleep 1; echo looped"
    times: int = 1_000_000
    then: Answer | Silence | Stream | Held = Answer()


@dataclass(frozen=True)
class Spawns:
    """Starts a sub-agent with these words and yields, as far as it is offered the tools for that; then goes on as ``then`` says."""

    task: str
    then: Answer | Silence | Stream | Held = Answer()

    def next_tool(self, call: Call) -> tuple[str, dict[str, Any]] | None:
        """The tool that this call asks for, with its arguments; None: it has used all that it has."""
        wanted: dict[str, dict[str, Any]] = {"sessions_spawn": {"task": self.task}, "sessions_yield": {}}
        left = call.tools - call.tools_used
        return next(((name, arguments) for name, arguments in wanted.items() if name in left), None)


@dataclass(frozen=True)
class Status:
    """An HTTP error."""

    code: int


Mode = Answer | Stream | Held | Silence | Tools | Spawns | Status


@dataclass(eq=False)
class Call:
    """One request as the model received it."""

    number: int
    at: int
    """Epoch milliseconds, to be compared with a row's instants."""
    body: Mapping[str, Any] = field(repr=False)
    mode: Mode
    outcome: str = "open"
    """`open`, then `answered`, `tool call`, `status N`, or `client gone`."""
    answer: str | None = None
    pieces: int = 0
    """Words streamed so far."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body.get("messages") or [])

    def texts(self, *roles: str) -> list[str]:
        """The text of every message, or of those in the given roles, oldest first."""
        return [text_of(message) for message in self.messages if not roles or message.get("role") in roles]

    @property
    def turn(self) -> list[dict[str, Any]]:
        """The messages since the last finished answer."""
        finished = [
            index
            for index, message in enumerate(self.messages)
            if message.get("role") == "assistant" and message.get("content") and not message.get("tool_calls")
        ]
        return self.messages[finished[-1] + 1 :] if finished else self.messages

    @property
    def turn_text(self) -> str:
        return "\n".join(text_of(message) for message in self.turn if message.get("role") == "user")

    @property
    def tool_results(self) -> list[str]:
        """The results of this turn that the model is shown."""
        return [text_of(message) for message in self.turn if message.get("role") == "tool"]

    @property
    def tools(self) -> set[str]:
        """The names of the tools that the model was offered."""
        offered = [each.get("function") or each for each in self.body.get("tools") or []]
        return {str(each.get("name")) for each in offered}

    @property
    def tools_used(self) -> set[str]:
        """The names of the tools that were called in this turn so far."""
        asked = [each for message in self.turn for each in message.get("tool_calls") or []]
        return {str((each.get("function") or {}).get("name")) for each in asked}

    @property
    def last_said(self) -> str:
        """What a person (or whoever speaks for one) said last, whatever the gateway adds after it (2026.9.6)."""
        said = (text for text in reversed(self.texts("user")) if not text.startswith(INTERNAL_CONTEXT))
        return next(said, "")

    def shows(self, text: str) -> bool:
        """Whether the model sees this text anywhere."""
        return any(text in each for each in self.texts())

    @property
    def is_open(self) -> bool:
        return self.outcome == "open"

    def __str__(self) -> str:
        return f"call {self.number} [{self.mode}, {self.outcome}] {self.turn_text[-160:]!r}"


def text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content or [] if isinstance(part, dict))


@dataclass
class _Book:
    """What the server thread writes and the tests read."""

    default: Mode = field(default_factory=Answer)
    rules: dict[str, Mode] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, body: Mapping[str, Any]) -> Call:
        with self.lock:
            call = Call(next(self.numbers), epoch_ms(), body, self.default)
            said = call.turn_text
            matching = max((marker for marker in self.rules if marker in said), key=said.rfind, default=None)
            if matching is not None:
                call.mode = self.rules[matching]
            self.calls.append(call)
            return call


class Provider:
    """The server and its book. Use as a context manager, or `start` and `close`."""

    MODEL = "mock-1"

    def __init__(self, *, host: str = "127.0.0.1") -> None:
        """``host``: where to listen; a gateway in a container does not reach this machine's loopback."""
        self._host = host
        self._book = _Book()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mock provider", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.port = 0

    # ------------------------------------------------------------ life

    def start(self) -> Provider:
        self._thread.start()
        self._server = self._in_loop(self._listen)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        self._in_loop(self._unlisten)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> Provider:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    # ------------------------------------------------------------ what tests say and ask

    @property
    def default(self) -> Mode:
        return self._book.default

    @default.setter
    def default(self, mode: Mode) -> None:
        self._book.default = mode

    def on(self, marker: str, mode: Mode) -> None:
        """From now on turns that contain `marker` are answered so. Calls already open keep their mode."""
        with self._book.lock:
            self._book.rules[marker] = mode

    def forget(self, marker: str) -> None:
        """Take the rule away: such turns get the default again."""
        with self._book.lock:
            self._book.rules.pop(marker, None)

    @property
    def calls(self) -> list[Call]:
        with self._book.lock:
            return list(self._book.calls)

    def calls_with(self, text: str, *, after: Call | None = None) -> list[Call]:
        """Calls whose turn contains `text`: begun by it, or going on with it."""
        first = after.number if after else 0
        return [call for call in self.calls if call.number > first and text in call.turn_text]

    def calls_showing(self, text: str) -> list[Call]:
        """Calls in which the model sees `text` anywhere, be it in an old turn."""
        return [call for call in self.calls if call.shows(text)]

    def turns_with(self, mark: str) -> int:
        """How many calls were begun by `mark` or went on with it."""
        return len(self.calls_with(mark))

    def take_finished(self) -> list[Call]:
        """The calls that are over, out of the book: for hours of traffic, whose texts nobody can keep. Who takes them
        notes what will be asked of them."""
        with self._book.lock:
            over = [call for call in self._book.calls if not call.is_open]
            taken = {call.number for call in over}
            self._book.calls = [call for call in self._book.calls if call.number not in taken]
        return over

    def open_calls(self, text: str = "") -> list[Call]:
        return [call for call in self.calls_with(text) if call.is_open]

    def await_call(self, text: str, *, after: Call | None = None, within: float = 60) -> Call:
        """The first call whose turn contains `text` (past `after`), as soon as it is there."""
        return until(
            f"a model call with {text!r}", lambda: next(iter(self.calls_with(text, after=after)), None), within=within
        )

    def await_answer(self, text: str, *, within: float = 60) -> Call:
        """The first finished call whose turn contains `text`, as soon as it is answered."""

        def answered() -> Call | None:
            return next((call for call in self.calls_with(text) if call.answer is not None and not call.is_open), None)

        return until(f"an answer to {text!r}", answered, within=within)

    def describe(self, last: int = 12) -> str:
        return "\n".join(str(call) for call in self.calls[-last:])

    # ------------------------------------------------------------ the server

    def _in_loop(self, work: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, self._host, 0, limit=1 << 26)

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
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
            pass  # the client went away, or the provider closes: both are in the book
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *fields = head.split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in fields)}
        size = int(headers.get("content-length") or 0)
        content = await reader.readexactly(size)
        if not request_line.startswith("POST"):
            listing = {"object": "list", "data": [{"id": self.MODEL, "object": "model"}]}
            await _respond(writer, 200, listing)
            return
        call = self._book.enter(json.loads(content or b"{}"))
        playing = asyncio.ensure_future(_play(call, writer))
        hearing = asyncio.ensure_future(reader.read())  # ends when the client hangs up: it has nothing more to say
        try:
            await asyncio.wait({playing, hearing}, return_when=asyncio.FIRST_COMPLETED)
            call.outcome = playing.result() if playing.done() else "client gone"
        except OSError:
            call.outcome = "client gone"
        finally:
            if call.is_open:
                call.outcome = "provider closed"
            playing.cancel()
            hearing.cancel()
            await asyncio.gather(playing, hearing, return_exceptions=True)


async def _play(call: Call, writer: asyncio.StreamWriter) -> str:
    """Behave as the call's mode says; answer what became of it."""
    mode, tool = call.mode, _tool_of(call)
    if isinstance(mode, Tools | Spawns) and tool is None:
        mode = mode.then
    if isinstance(mode, Status):
        error = {"error": {"message": f"mock status {mode.code}", "type": "server_error"}}
        await _respond(writer, mode.code, error)
        return f"status {mode.code}"
    if isinstance(mode, Silence) and not mode.headers:
        await asyncio.Event().wait()
    answer = f"mock answer {call.number}"
    if isinstance(mode, Answer) and mode.text is not None:
        answer = mode.text
    if not call.body.get("stream"):
        if isinstance(mode, Silence):
            await asyncio.Event().wait()
        call.answer = answer
        message = {"role": "assistant", "content": answer}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        await _respond(writer, 200, {**_envelope("chat.completion"), "choices": [choice], "usage": _USAGE})
        return "answered"
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    await _piece(writer, {"role": "assistant", "content": ""})
    if isinstance(mode, Silence):
        await asyncio.Event().wait()
    if isinstance(mode, Stream):
        for number in range(max(1, round(mode.seconds / mode.every))):
            await _piece(writer, {"content": f"word{number} "})
            call.pieces += 1
            await asyncio.sleep(mode.every)
    while isinstance(mode, Held) and not mode.end.is_set():
        await _piece(writer, {"content": f"word{call.pieces} "})
        call.pieces += 1
        await asyncio.sleep(mode.every)
    if tool is not None:
        name, arguments = tool
        function = {"name": name, "arguments": json.dumps(arguments)}
        wanted = {"index": 0, "id": f"call_{call.number}", "type": "function", "function": function}
        await _piece(writer, {"tool_calls": [wanted]})
        await _piece(writer, {}, finish="tool_calls")
        outcome = "tool call"
    else:
        call.answer = answer
        await _piece(writer, {"content": answer})
        await _piece(writer, {}, finish="stop")
        outcome = "answered"
    writer.write(b"data: [DONE]\n\n")
    await writer.drain()
    return outcome


def _tool_of(call: Call) -> tuple[str, dict[str, Any]] | None:
    """The tool that the model asks for in this call, with its arguments."""
    mode = call.mode
    if isinstance(mode, Spawns):
        return mode.next_tool(call)
    if isinstance(mode, Tools) and len(call.tool_results) < mode.times:
        # yieldMs: else the gateway lets a slow command go on in the background after 10 s and the turn moves on.
        return "exec", {"command": mode.command, "yieldMs": 600_000}
    return None


_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def _envelope(kind: str) -> dict[str, object]:
    return {"id": "mock", "object": kind, "created": epoch_ms() // 1000, "model": Provider.MODEL}


async def _piece(writer: asyncio.StreamWriter, delta: dict[str, object], finish: str | None = None) -> None:
    event = {
        **_envelope("chat.completion.chunk"),
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **({"usage": _USAGE} if finish else {}),
    }
    writer.write(b"data: " + json.dumps(event).encode() + b"\n\n")
    await writer.drain()


async def _respond(writer: asyncio.StreamWriter, status: int, document: object) -> None:
    content = json.dumps(document).encode()
    head = f"HTTP/1.1 {status} Mock\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + content)
    await writer.drain()


def require_no_more_calls(provider: Provider, seen: int) -> None:
    """For "this was not touched": not one model call since the book had `seen` entries."""
    extra = provider.calls[seen:]
    if extra:
        raise HarnessError("model calls nobody should have made:\n" + "\n".join(map(str, extra)))
