"""Whatever is a ``ports.Gateway``, each with one chat and with ways to bring it into trouble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import msgspec

from openclaw_simulator import sessions as turns
from openclaw_simulator.faults import Wire
from openclaw_simulator.handshake import AccessRules
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.sessions import Address
from openclaw_simulator.world import World
from tests.effects import DOING
from tests.fakes.builders import KEY, V96, dead
from tests.fakes.clock import START, ManualClock
from tests.fakes.gateway import FakeGateway
from tests.fakes.host import FakeHost
from tests.incidents import script
from tests.incidents.cases import Case, Change
from tests.sim.lives import Life
from tests.sim.wire import Asked, Wiring
from watchdog.core.policy import Step
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.gateway.wire.protocol import SignInSecrets
from watchdog.service import errors
from watchdog.service.ports import Gateway
from watchdog.service.secret import Secret

STEPS = frozenset({Step.RESUME, Step.NEW})
"""What deeds may be. The sign-in is granted what RESUME needs, and not what NEW does."""
GRANTED = ("operator.read", "operator.write")
LOST = errors.GatewayClosed("home: the connection broke without a goodbye.", 1006)
SOON = 0.08
"""Seconds of patience with an answer that never comes."""


@dataclass
class Subject:
    """A gateway that nobody has connected to, and what may happen to it."""

    gateway: Gateway
    break_connection: Callable[[], None]
    refuse: Callable[[], object]
    """Deeds are refused from now on."""
    fall_silent: Callable[[], None]
    """What is asked arrives from now on, and its answer is lost."""
    sent: Callable[[], int]
    """How many deeds have arrived."""


def fake() -> Subject:
    """The one that the service's tests are told by."""
    gateway = FakeGateway(ManualClock(), scope_problems={Step.NEW: "home: not granted operator.admin."}).put(dead(KEY))

    def failing(problem: errors.GatewayError) -> Callable[[], None]:
        return lambda: gateway.failing.update(perform=problem)

    return Subject(
        gateway,
        lambda: gateway.drop(LOST),
        failing(errors.RequestRefused("home: agent was refused: no.", code="INVALID_REQUEST")),
        failing(errors.OutcomeUnknown("home: no answer to agent.")),
        lambda: len(gateway.performed),
    )


def scripted() -> Subject:
    """The real client over the links of a case of the corpus."""
    row = {"as": "direct", "status": "running", "startedAt": "-2h", "updatedAt": "-2h"}
    document = {"id": "1", "issues": [], "right": "leave", "version": V96, "story": "", "rows": {"chat": row}}
    case = msgspec.convert({**document, "expect": [], "until": "1h", "granted": GRANTED}, Case)
    world = script.World.of(case)

    def reacting(reaction: object) -> Callable[[], None]:
        def change() -> None:
            world.case = msgspec.structs.replace(case, deeds={Step.RESUME.value: (reaction,)})

        return change

    return Subject(
        script.ScriptedGateway(world, STEPS),
        lambda: world.happen(Change(drops=True)),
        reacting({"refused": {"code": "INVALID_REQUEST", "message": "no"}}),
        reacting("lost"),
        lambda: len(world.sent),
    )


def simulated() -> Subject:
    """The real client, every byte of it, on the simulated gateway in this process."""
    world = World(PROFILES[V96], START.wall, seed=1)
    world.chat.join(KEY, Address("irc", "irc:alice"))
    world.chat.person_writes(KEY, "hello", turns.answers(1.0))
    world.advance(60)
    ours, strangers = DeviceIdentity.of(b"\1" * 32), DeviceIdentity.of(b"\2" * 32)
    access = AccessRules(stale_after_ms=None, device_tokens={"narrow": (ours.device_id, frozenset(GRANTED))})
    wire, deeds = Wire(Random(1)), list[Asked]()

    def asked(what: Asked) -> None:
        if what.frame["method"] in DOING:
            deeds.append(what)

    wiring = Wiring(world, access, wire, 0.0, asked, lambda _: None, lambda: None, lambda: None)
    client = GatewayClient(
        "home",
        lambda: Endpoint("ws://127.0.0.1:18789", SignInSecrets(Secret("narrow"))),
        device=ours,
        probe_device=strangers,
        clock=ManualClock(),
        host=FakeHost(),
        steps=STEPS,
        dial=wiring.dial_for(Life(0)),
    )

    def fall_silent() -> None:
        wire.drops = 1.0
        client._patience = SOON

    def break_connection() -> None:
        for socket in list(wiring.sockets):
            socket.peer.close(None, "")

    return Subject(client, break_connection, world.agents.clear, fall_silent, lambda: len(deeds))


ALL: tuple[Callable[[], Subject], ...] = (fake, scripted, simulated)
