"""Lives of a watch over a gateway whose answers and clocks break, and what must hold all the time.

- Nothing raises.
- A deed is done on what is really stuck, never on what lives, waits, was stopped by its person, or is finished.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from tests.fakes.notes import FakeNotes
from tests.fuzz.corruption import Corruptor
from tests.incidents.cases import Case, Change
from tests.incidents.script import NAME, ScriptedGateway, ScriptedLink, World
from tests.incidents.wire import Era, era_of
from watchdog.config import parse
from watchdog.gateway.wire.decoder import Undecodable, decode
from watchdog.gateway.wire.hello import Hello
from watchdog.gateway.wire.protocol import Conversation, Malformed, Response
from watchdog.gateway.wire.refusals import refusal
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service import errors
from watchdog.service.events import MemoryLog
from watchdog.service.null_meter import NullMeter
from watchdog.service.watch import Watch, may_act

VERSIONS = ("2026.3.24", "2026.4.14", "2026.5.18", "2026.9.6")
PASSES = 60
SETTINGS = """
poll_every: 30s
allow_short_thresholds: true
thresholds: {stuck_after: 2m, confirm_for: 30s, startup_grace: 30s, long_running_after: 10m}
recovery: {backoff: [1m], max_concurrent: 4}
"""


@dataclass(slots=True)
class Life:
    """How one life went. ``broken``: answers and clocks that were broken on the way."""

    seed: int
    version: str
    passes: int = 0
    broken: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    deeds: int = 0
    """On what was really stuck."""
    violations: list[str] = field(default_factory=list)


def case_of(version: str) -> Case:
    """A gateway with one session of every sort."""
    era = era_of(version)
    locked = {"lock": "gateway"} if era is Era.FILES else {}
    flagged = {"hasActiveRun": True} if era >= Era.FLAG else {}
    chat = flagged if era >= Era.RUN_IDS else {}
    fresh = {"status": "running", "startedAt": "-2m", "updatedAt": "-2m"}
    dead = {"status": "running", "startedAt": "-2h", "updatedAt": "-2h"}
    rows: dict[str, Any] = {
        "web": {"as": "web", **fresh, **locked, **flagged},
        "chat": {"as": "direct", **fresh, **locked, **chat},
        "group": {"as": "group", **fresh, **locked, **chat},
        "done": {"as": "direct", "status": "done", "startedAt": "-2h", "updatedAt": "-1h", "endedAt": "-1h"},
        "stopped": {"as": "direct", **dead, "transcript": [{"user": "do it"}, {"aborted": ""}]},
        "answered": {"as": "direct", **dead, "transcript": [{"user": "do it"}, {"answer": "done"}]},
        "cron": {"as": "cron", **dead},
        "dead": {"as": "direct", **dead},
        "gone": {"as": "web", **dead},
    }
    if era >= Era.MODERN:
        rows["queued"] = {"as": "web", "status": "queued", "updatedAt": "-1m", "hasActiveRun": True}
    document = {
        "id": "fuzz", "class": "fuzz", "issues": [], "right": "leave", "version": version, "story": "", "rows": rows,
        "expect": [], "until": "1h", "booted": "-1h", "config": SETTINGS,
        "gateway": {"running": {"embeddedRuns": 3}},
    }  # fmt: skip
    return msgspec.convert(document, Case)


STUCK = frozenset({"dead", "gone"})


class BrokenLink(ScriptedLink):
    """A link whose answers are frames that break on the way; read by the real protocol core."""

    def __init__(self, world: World, scopes: tuple[str, ...], corruptor: Corruptor, *, is_probe: bool) -> None:
        super().__init__(world, scopes, is_probe=is_probe)
        self._corruptor = corruptor
        self._conversation = Conversation()
        self.clock_ms = corruptor.odd_clock(float(world.gateway_ms))
        payload = self._through("connect", world.hello(scopes))
        try:
            self.hello = decode(msgspec.json.Decoder(Hello), payload)
        except Undecodable as problem:
            raise errors.NotAGateway(f"{NAME}: its hello cannot be read.") from problem

    def _through(self, method: str, payload: Any) -> msgspec.Raw:
        """The payload after a journey as bytes, or the error that the client would see."""
        number, _ = self._conversation.request(method, {})
        taken = self._conversation.receive(self._corruptor.frame(number, payload))
        self._conversation.forget(number)
        if isinstance(taken, Malformed) and taken.answers is not None:
            raise errors.AnswerUnreadable(f"{NAME}: {method} was answered with {taken.reason}.")
        if not isinstance(taken, Response):
            self._world.advance(15)
            raise errors.OutcomeUnknown(f"{NAME}: no answer to {method} within 15 s.")
        if taken.error is not None:
            raise refusal(NAME, method, taken.error)
        assert taken.payload is not None
        return taken.payload

    async def call(self, method: str, params: dict[str, Any] | None = None, *, patience: float = 15.0) -> msgspec.Raw:
        return self._through(method, msgspec.json.decode(await super().call(method, params, patience=patience)))


class BrokenGateway(ScriptedGateway):
    """The real client over broken links: what the script answers is torn on the way."""

    def __init__(self, world: World, corruptor: Corruptor, steps: Any) -> None:
        super().__init__(world, steps)
        self._corruptor = corruptor

    def _link_to(self, world: World, scopes: tuple[str, ...], *, is_probe: bool) -> ScriptedLink:
        return BrokenLink(world, scopes, self._corruptor, is_probe=is_probe)


def _mishaps(rng: Random) -> Change | None:
    """What clocks and connections do between two passes, now and then."""
    draw = rng.random()
    if draw < 0.03:
        return Change(our_clock=rng.choice((-7200, -30, 30, 7200, 10**8)))
    if draw < 0.06:
        return Change(gateway_clock=rng.choice((-7200, -30, 30, 7200)))
    if draw < 0.08:
        return Change(host_sleeps=rng.choice((20, 600, 30000)))
    if draw < 0.10:
        return Change(we_stop=rng.choice((90, 3600)))
    if draw < 0.16:
        return Change(drops=True)
    return None


async def _live(seed: int) -> Life:
    rng = Random(seed)
    life = Life(seed, VERSIONS[seed % len(VERSIONS)])
    corruptor = Corruptor(rng, share=rng.choice((0.1, 0.4, 0.8)))
    world = World.of(case_of(life.version))
    loaded = parse(world.case.config, file="fuzz", env={})
    ledger = SqliteLedger.in_memory(wall=lambda: world.now().wall)
    watch = Watch(
        gateway=BrokenGateway(world, corruptor, may_act(loaded.policy_book)),
        book=loaded.policy_book,
        ledger=ledger,
        notes=FakeNotes(),
        clock=world,
        log=MemoryLog(),
        meter=NullMeter(),
        poll_every=loaded.config.poll_every,
    )
    try:
        for _ in range(PASSES):
            mishap = _mishaps(rng)
            if mishap is not None:
                corruptor.kinds["clock or connection"] = corruptor.kinds.get("clock or connection", 0) + 1
                world.happen(mishap)
            await watch.pass_once()
            life.passes += 1
            world.advance(30)
    except Exception as problem:  # noqa: BLE001 - "nothing raises" is what is tested
        where = traceback.extract_tb(problem.__traceback__)[-1]
        life.violations.append(f"raised {type(problem).__name__}: {problem} ({where.filename}:{where.lineno})")
    finally:
        await watch.gateway.close()
        ledger.close()
    for sent in world.sent:
        if sent.name in STUCK:
            life.deeds += 1
        else:
            life.violations.append(f"{sent.step.value} on {sent.name} ({sent.key}) at {sent.t:.0f} s")
    life.violations += world.violations
    life.kinds, life.broken = corruptor.kinds, corruptor.count
    return life


def live(seed: int) -> Life:
    """One whole life, decided by its seed alone."""
    return asyncio.run(_live(seed))


def lives(first_seed: int, step: int = 1) -> Iterator[Life]:
    """Life after life, with seeds ``first_seed``, ``first_seed + step``, ..."""
    seed = first_seed
    while True:
        yield live(seed)
        seed += step
