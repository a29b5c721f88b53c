"""A client of ours on a gateway made of wire, with everything that each was told."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes.clock import ManualClock
from tests.fakes.host import FakeHost
from watchdog.core.model import ReplyAddress, Session, SessionKind, Status
from watchdog.core.policy import Step
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.protocol import SignInSecrets

from .server import CHALLENGE_TS, Answer, Answers, Refused, WireGateway, running
from .support import OURS, STRANGER, secret

READ, WRITE, ADMIN = "operator.read", "operator.write", "operator.admin"
V324: dict[str, Any] = {"version": "2026.3.24", "boot_id": None, "methods": ("health", "sessions.list")}
V414: dict[str, Any] = {**V324, "version": "2026.4.14"}
V518: dict[str, Any] = {
    "version": "2026.5.18",
    "boot_id": None,
    "methods": ("health", "sessions.list", "gateway.restart.preflight"),
}
V96: dict[str, Any] = {}
SOON = 0.08
LADDER = frozenset({Step.RESUME, Step.NEW})

IRC = ReplyAddress("irc", "irc:alice", "default")
SESSION = Session(
    "agent:main:irc:direct:alice", Status.RUNNING, "sid-1", SessionKind.DIRECT, agent_id="main", reply_address=IRC
)
MAIN = replace(SESSION, key="agent:main:main", kind=SessionKind.MAIN)
WEB = replace(SESSION, key="agent:main:web", reply_address=None)


@dataclass
class Scene:
    """A gateway, our client on it, and everything the client was given."""

    gateway: WireGateway
    client: GatewayClient
    clock: ManualClock
    host: FakeHost
    endpoint: Endpoint
    finds: int = 0
    tokens: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)

    @property
    def link_scopes(self) -> list[tuple[str, ...]]:
        return self.gateway.scopes_asked

    def hurry(self) -> None:
        """Wait for the next answers only a moment. Signing in on a busy machine takes longer, so not from the start."""
        self.client._patience = SOON


def answers_of(**changes: Answer) -> Answers:
    made: Answers = {
        "sessions.list": {"sessions": [], "ts": CHALLENGE_TS},
        "health": {"ok": True},
        "config.get": {"parsed": {}},
    }
    return made | {name.replace("__", "."): answer for name, answer in changes.items()}


@contextlib.asynccontextmanager
async def scene_with(
    *,
    steps: frozenset[Step] = frozenset(),
    configured: frozenset[Step] | None = None,
    state_dir: str | None = None,
    connect: bool = True,
    answers: dict[str, Answer] | None = None,
    **gateway_changes: Any,
) -> AsyncIterator[Scene]:
    """``answers``: by method, ``.`` written ``__``; ``gateway_changes``: fields of the ``WireGateway``."""
    gateway = WireGateway(answers=answers_of(**(answers or {})), **gateway_changes)
    clock, host = ManualClock(), FakeHost()
    async with running(gateway):
        scene: Scene

        def find() -> Endpoint:
            scene.finds += 1
            return scene.endpoint

        def let_in(url: str) -> None:
            scene.endpoint = replace(scene.endpoint, is_known=True)

        client = GatewayClient(
            "home",
            find,
            device=OURS,
            probe_device=STRANGER,
            clock=clock,
            host=host,
            steps=steps,
            configured=configured,
            patience=5.0,
            on_repair=lambda method: scene.repairs.append(method),
            on_let_in=let_in,
            on_device_token=lambda url, scopes, token: scene.tokens.append((url, scopes, token)),
        )
        endpoint = Endpoint(gateway.url, SignInSecrets(token=secret()), state_dir=state_dir, gateway_pid=4711)
        scene = Scene(gateway, client, clock, host, endpoint)
        try:
            if connect:
                await client.connect()
            yield scene
        finally:
            await client.close()
            await gateway.until_open(0)  # every link is closed again


def granting(*granted: str) -> Any:
    """Refuses a sign-in that asks for more."""

    def hello(params: dict[str, Any]) -> Answer:
        if set(params["scopes"]) <= set(granted):
            return None
        message = "unauthorized: device token scope mismatch"
        return Refused({"code": "INVALID_REQUEST", "message": message, "details": {"code": "AUTH_SCOPE_MISMATCH"}})

    return hello
