"""The status page: what the daemon knows, over HTTP on loopback, read only.

``/`` is one self-contained page; ``/api/state`` the state document it shows, ``/api/events`` the same as server-sent
events; ``/metrics`` for Prometheus; ``/livez`` (the same as ``/healthz``) and ``/readyz`` for whoever starts and restarts it.

Invariants: nothing can be changed here (GET and HEAD only), and a web page of somebody else's cannot read it: no CORS, and
a request whose ``Host`` is neither a loopback name, the configured address nor one of ``status_page.hosts`` is turned away
(DNS rebinding). The page
loads nothing from anywhere and runs only the script it was shipped with (CSP by hash). Limit: there is no password; who can
reach the address can read session keys, what people call their sessions, and times.

starlette and uvicorn are imported when somebody first asks: a page that nobody opens costs one listening socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import re
import socket
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol, cast

from watchdog.core.loopback import is_loopback
from watchdog.service import descriptors
from watchdog.status.limits import Limits
from watchdog.status.page import content_security_policy, page_html

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_LISTENERS = 50
"""Open event streams at once; more get 503."""
PING_EVERY = 15.0
"""Seconds after which a silent event stream says that it is alive; the page waits a little longer than for two."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Document = Mapping[str, Any]


class PageUnavailable(Exception):
    """The configured address cannot be served; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Health:
    """What ``/livez`` or ``/readyz`` says; ``is_ok`` False answers 503."""

    is_ok: bool
    facts: Document


class Facts(Protocol):
    """Where the page gets what it shows."""

    def document(self) -> Document:
        """The state document as of now."""
        ...

    def liveness(self) -> Health:
        """Whether the daemon itself works, whatever its gateways do."""
        ...

    def readiness(self) -> Health:
        """Whether every gateway was looked at once, or its failure established."""
        ...

    def metrics(self) -> bytes: ...


@dataclass(slots=True)
class Feed:
    """The newest state document, and everybody who waits for the next one."""

    listeners: int = 0
    number: int = 0
    is_closed: bool = False
    _newest: Document = field(default_factory=dict)
    _text: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, document: Document) -> bool:
        """Tell everybody, unless nothing but the time changed since the last one."""
        if self.number and {**document, "at": None} == {**self._newest, "at": None}:
            return False
        self._newest, self._text = document, json.dumps(document, separators=(",", ":"))
        self.number += 1
        self._ring()
        return True

    def close(self) -> None:
        """End every stream; a server that stops would otherwise wait for them."""
        self.is_closed = True
        self._ring()

    def _ring(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def stream(self, now: Document) -> AsyncIterator[str]:
        """The document ``now``, then every one published, as text of an event stream."""
        with self._listening():
            number = self.number
            yield f"retry: 2000\nid: {number}\nevent: state\ndata: {json.dumps(now)}\n\n"
            while not self.is_closed:
                if self.number != number:
                    number = self.number
                    yield f"id: {number}\nevent: state\ndata: {self._text}\n\n"
                    continue
                news = self._news
                try:
                    await asyncio.wait_for(news.wait(), PING_EVERY)
                except TimeoutError:
                    yield "event: ping\ndata: still here\n\n"

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        self.listeners += 1
        try:
            yield
        finally:
            self.listeners -= 1


# ---------------------------------------------------------------- who may ask

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>\d{1,5}))?", re.IGNORECASE)


def host_is_ours(header: str, host: str, port: int, further: Collection[str] = ()) -> bool:
    """Whether a ``Host`` header names this server: a loopback name (any port: ``ssh -L``), the configured address, or one of
    the ``further`` names (any port: a proxy has its own).

    An address that stands for all (0.0.0.0, ::) also takes every bare IP address: only names can be rebound.
    """
    found = _HOST.fullmatch(header.strip())
    if found is None:
        return False
    name = found["name"].strip("[]").lower().rstrip(".")
    if is_loopback(name) or name in further:
        return True
    own, address = host.strip("[]").lower(), _address(name)
    if int(found["port"] or 80) != port:
        return False
    listens = _address(own)
    return name == own or (address is not None and listens is not None and listens.is_unspecified)


def _address(name: str) -> Any:
    try:
        return ip_address(name)
    except ValueError:
        return None


_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)
_NOTHING_MAY_LOAD = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class RequestGuard:
    """Stands before everything: Host and method are checked, and every answer carries the security headers."""

    def __init__(self, app: ASGIApp, host: str, port: int, further: Collection[str] = ()) -> None:
        self._app, self._host, self._port, self._further = app, host, port, further

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                known = {name.lower() for name, _ in headers}
                extra = [pair for pair in _ALWAYS if pair[0] not in known]
                if b"content-security-policy" not in known:
                    extra.append((b"content-security-policy", _NOTHING_MAY_LOAD))
                message = {**message, "headers": [*headers, *extra]}
            await send(message)

        app = self._app
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not host_is_ours(hosts[0], self._host, self._port, self._further):
            text = (
                "This page answers to its own address only, for example http://localhost; see status_page.listen, and "
                "status_page.hosts for further names.\n"
            )
            app = PlainTextResponse(text, 403)
        elif scope["method"] not in ("GET", "HEAD"):
            app = PlainTextResponse("This page is read only.\n", 405, {"allow": "GET, HEAD"})
        await app(scope, receive, guarded)


# ---------------------------------------------------------------- what is answered


def application(facts: Facts, feed: Feed, host: str, port: int, further: Collection[str] = ()) -> ASGIApp:
    """The whole site as an ASGI application for the address ``host``:``port``, and the ``further`` names it goes by."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    policy = content_security_policy()

    async def index(_request: Request) -> Response:
        page = page_html(facts.document().get("config_file"))
        return Response(page, media_type="text/html", headers={"content-security-policy": policy})

    async def state(_request: Request) -> Response:
        # In ASCII: what a gateway sent may hold what UTF-8 cannot say (half an emoji).
        return Response(json.dumps(facts.document(), separators=(",", ":")), media_type="application/json")

    async def events(request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if feed.listeners >= MOST_LISTENERS:
            return PlainTextResponse("Too many event streams are open.\n", 503, {"retry-after": "30"})
        return StreamingResponse(feed.stream(facts.document()), media_type="text/event-stream")

    async def metrics(_request: Request) -> Response:
        # Off the loop: with thousands of gateways it takes seconds, in which no pass could go on.
        return Response(await asyncio.to_thread(facts.metrics), headers={"content-type": METRICS_TYPE})

    async def livez(_request: Request) -> Response:
        return answer(facts.liveness())

    async def readyz(_request: Request) -> Response:
        return answer(facts.readiness())

    def answer(health: Health) -> Response:
        return JSONResponse(dict(health.facts), 200 if health.is_ok else 503)

    async def unknown(_request: Request, problem: Exception) -> Response:
        status = problem.status_code if isinstance(problem, HTTPException) else 404
        return PlainTextResponse("There is /, /api/state, /api/events, /metrics, /livez and /readyz here.\n", status)

    routes = [
        Route("/", index),
        Route("/api/state", state),
        Route("/api/events", events),
        Route("/metrics", metrics),
        Route("/livez", livez),
        Route("/healthz", livez),
        Route("/readyz", readyz),
    ]
    return RequestGuard(Starlette(routes=routes, exception_handlers={404: unknown}), host, port, further)


# ---------------------------------------------------------------- serving


class StatusServer:
    """One listening address. Made by ``start``, ended by ``stop``.

    It listens from the start; the server behind the socket (starlette, uvicorn: 6 MiB) is made for the first caller.
    """

    def __init__(
        self,
        host: str,
        listener: socket.socket,
        facts: Facts,
        feed: Feed,
        limits: Limits,
        further: Collection[str] = (),
    ) -> None:
        self.host, self._further = host, further
        self.port: int = listener.getsockname()[1]
        self._listener, self._facts, self._feed, self._limits = listener, facts, feed, limits
        self._server: Any = None
        self._task = asyncio.create_task(self._serve(), name="status page")

    @classmethod
    async def start(
        cls,
        host: str,
        port: int,
        facts: Facts,
        feed: Feed,
        limits: Limits | None = None,
        *,
        further: Collection[str] = (),
    ) -> StatusServer:
        """Listen and serve; ``limits`` None: those for what this process may open; ``further``: names that may stand in a
        request's ``Host``. Raises ``PageUnavailable`` when the address cannot be had."""
        return cls(host, await _listener(host, port), facts, feed, limits or Limits.here(), further)

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    @property
    def problem(self) -> str | None:
        """Why it no longer serves, or None."""
        if not self._task.done() or self._task.cancelled():
            return None
        error = self._task.exception()
        return f"it ended by itself: {error}" if error is not None else "it ended by itself"

    async def _serve(self) -> None:
        await _knocked(self._listener)
        # In a thread: importing it all takes a fraction of a second in which the watching must not stand still.
        self._server = await asyncio.to_thread(
            lambda: _quiet_server(
                application(self._facts, self._feed, self.host, self.port, self._further), self._limits
            )
        )
        await self._server.serve(sockets=[self._listener])

    async def stop(self) -> None:
        """End the streams, let answers under way finish (two seconds), close the address."""
        self._feed.close()
        if self._server is None:
            self._task.cancel()
        else:
            self._server.should_exit = True
        done, _ = await asyncio.wait({self._task}, timeout=5)
        if not done:
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._listener.close()


async def _knocked(listener: socket.socket) -> None:
    """Return when the first caller waits to be let in."""
    loop, knock = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listener, knock.set)
    try:
        await knock.wait()
    finally:
        loop.remove_reader(listener)


async def _listener(host: str, port: int) -> socket.socket:
    where = f"{f'[{host}]' if ':' in host else host}:{port}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        both = host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(address[:2], family=family, dualstack_ipv6=both)
    except UnicodeError as problem:
        raise PageUnavailable(f"{where} is not an address; correct status_page.listen") from problem
    except OSError as problem:
        raise PageUnavailable(_why(where, problem)) from problem
    listener.setblocking(False)
    return listener


def _why(where: str, problem: OSError) -> str:
    match problem.errno:
        case errno.EADDRINUSE:
            return f"{where} is taken by another program; free it, or choose another status_page.listen"
        case errno.EADDRNOTAVAIL:
            return f"{where} is not an address of this machine; correct status_page.listen"
        case errno.EACCES:
            return f"{where} may not be used by this user; choose a port from 1024 on in status_page.listen"
        case errno.EMFILE | errno.ENFILE:
            return descriptors.shortage()
    return f"{where} cannot be used ({problem.strerror or problem}); see status_page.listen"


def _quiet_server(app: ASGIApp, limits: Limits) -> Any:
    import uvicorn

    from watchdog.status import connections

    class Server(uvicorn.Server):
        """Leaves signals to the daemon: uvicorn would take SIGTERM and SIGINT for itself."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            http=cast(Any, partial(connections.BoundedProtocol, limits=limits)),
            ws="none",
            backlog=connections.ACCEPT_AT_ONCE,
            timeout_keep_alive=connections.KEEP_ALIVE,
            timeout_graceful_shutdown=2,
        )
    )
