"""Every scenario on real gateways, in stages, and what differs from the simulator.

Stages and not one scenario after the other: most of a scenario is waiting, and a start of a gateway takes 2 to 15 s. What
differs in company is run again alone on a fresh gateway, and only that answer counts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.real import RealUnderTest, Shared, set_lanes
from tests.e2e.harness.conditions import monotonic
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.releases import Release
from tests.e2e.harness.world import World
from tests.unit.openclaw_simulator.contract import Facts
from tests.unit.openclaw_simulator.contract_scenarios import SCENARIOS
from tests.unit.openclaw_simulator.simulated import SimulatedUnderTest

RECORD = Path(__file__).parents[1] / "unit" / "openclaw_simulator" / "measured.json"
PATIENCE = 480.0
"""Seconds for one stage; the longest takes one on an idle machine."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Scenarios that may be on one gateway at the same time."""

    why: str
    scenarios: tuple[str, ...]
    is_one_by_one: bool = False
    has_default_lanes: bool = False
    kills: bool = False
    is_apart: bool = False
    """On a gateway of its own, with a Telegram, where the model is offered every tool (2026.9.6 hides most behind a search)."""


STAGES = (
    Stage("nothing else may run: it counts the gateway's runs", ("live_web_run", "refusals")),
    Stage(
        "sessions of their own",
        (
            "finished_turn", "live_agent_run", "stopped_while_streaming", "stopped_while_silent",
            "stopped_then_agent_failed", "queued_behind_live", "new_without_admin", "agent_without_address",
            "who_asked", "agent_sent_again", "what_a_reader_sees",
        ),
    ),
    Stage(
        "one kill -9 for all of them",
        (
            "killed_in_a_call", "killed_on_cron_key", "killed_in_a_tool", "killed_in_first_turn", "resumed_by_agent",
            "fresh_by_new", "reset", "dropped_words",
        ),
        kills=True,
    ),
    Stage(
        "each has the gateway's own recovery to itself", ("waiting_for_recovery", "turn_during_recovery", "tombstoned"),
        True, kills=True,
    ),
    Stage("the whole gateway refuses", ("suspended", "drifted"), True),
    Stage("the gateway's own width, and no other rows moving", ("envelope", "full_lane"), True, has_default_lanes=True),
    Stage("people and sub-agents", ("deaf_row", "not_woken"), True, kills=True, is_apart=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is not the same. ``recorded``: what the hermetic suite believes of this version."""

    fact: str
    real: object
    simulated: object
    recorded: object

    def __str__(self) -> str:
        record = "as recorded" if self.recorded == self.real else f"recorded {_words(self.recorded)}"
        return f"{self.fact}: real {_words(self.real)} ({record}), simulator {_words(self.simulated)}"


@dataclass(frozen=True, slots=True)
class Compared:
    """One scenario on one version. ``trouble``: why the real one could not be asked."""

    version: str
    scenario: str
    facts: Facts = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    trouble: str | None = None
    was_alone: bool = False

    @property
    def is_equal(self) -> bool:
        return not self.differences and self.trouble is None


@dataclass(frozen=True, slots=True)
class Report:
    """One version, with how long it took."""

    version: str
    compared: tuple[Compared, ...]
    seconds: float


Say = Callable[[str], None]


async def compare_all(
    releases: Sequence[Release], folder: Path, *, names: Sequence[str] = (), say: Say = lambda _line: None
) -> list[Report]:
    """All these versions at the same time. ``names``: only these scenarios."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(16 * len(releases), "conformance"))
    return list(await asyncio.gather(*(compare(release, folder, names=names, say=say) for release in releases)))


async def compare(
    release: Release, folder: Path, *, names: Sequence[str] = (), say: Say = lambda _line: None
) -> Report:
    """Every scenario on one version."""
    began = monotonic()
    found: dict[str, Compared] = {}
    for is_apart in (False, True):
        stages = [stage for stage in STAGES if stage.is_apart is is_apart and _chosen(stage, names)]
        if not stages:
            continue
        world = await asyncio.to_thread(_make, release, folder / f"{release.version}{'-apart' * is_apart}", stages[0])
        say(f"{release.version}: started")
        try:
            for stage in stages:
                chosen = _chosen(stage, names)
                if stage.has_default_lanes:
                    await set_lanes(world, None)
                for group in [[name] for name in chosen] if stage.is_one_by_one else [chosen]:
                    for one in await _together(world, group, kills=stage.kills):
                        found[one.scenario] = one
                say(f"{release.version}: {', '.join(chosen)} ({monotonic() - began:.0f} s)")
        finally:
            await asyncio.to_thread(_end, world)
    for name, one in [(name, one) for name, one in found.items() if not one.is_equal]:
        say(
            f"{release.version}: {name} differs, once more alone ({one.trouble or '; '.join(map(str, one.differences))})"
        )
        found[name] = await _alone(release, folder / f"{release.version}-{name}", name)
    return Report(release.version, tuple(found.values()), monotonic() - began)


def _chosen(stage: Stage, names: Sequence[str]) -> list[str]:
    return [name for name in stage.scenarios if not names or name in names]


def _make(release: Release, folder: Path, stage: Stage) -> World:
    if not stage.is_apart:
        return World(release, folder)
    shown = {"tools": {"toolSearch": False}} if release.keeps_sessions_in_sqlite else {}
    return World(release, folder, telegram=True, extra=shown)


async def _alone(release: Release, folder: Path, name: str) -> Compared:
    stage = next(stage for stage in STAGES if name in stage.scenarios)
    world = await asyncio.to_thread(_make, release, folder, stage)
    try:
        if stage.has_default_lanes:
            await set_lanes(world, None)
        (one,) = await _together(world, [name], kills=stage.kills)
        return Compared(one.version, one.scenario, one.facts, one.differences, one.trouble, was_alone=True)
    finally:
        await asyncio.to_thread(_end, world)


def _end(world: World) -> None:
    world.close()
    world.gateway.erase()


async def _together(world: World, names: Sequence[str], *, kills: bool) -> list[Compared]:
    if kills:
        await _let_go(world)
    shared = Shared(world, together=len(names) if kills else 1)
    return list(await asyncio.gather(*(_one(shared, name) for name in names)))


async def _let_go(world: World) -> None:
    """End what earlier stages left hanging, or the gateway would take it up again when it starts. A scenario that failed may
    have left it killed, or starting."""

    def end() -> None:
        if not world.gateway.is_running:
            world.start()
        world.gateway.wait_ready()
        for row in world.witness.rows():
            if row.get("status") == "running":
                world.witness.abort(str(row["key"]))

    await asyncio.to_thread(end)


async def _one(shared: Shared, name: str) -> Compared:
    version = shared.world.release.version
    gateway = RealUnderTest(shared)
    try:
        async with asyncio.timeout(PATIENCE):
            facts = _plain(await SCENARIOS[name](gateway))
    except (HarnessError, LookupError, TypeError, AssertionError, TimeoutError, RuntimeError) as problem:
        await shared.give_up()
        return Compared(version, name, trouble=f"{type(problem).__name__}: {problem}")
    finally:
        await asyncio.to_thread(gateway.close)
    return Compared(version, name, facts, await differences(version, name, facts))


async def differences(version: str, name: str, facts: Facts) -> tuple[Difference, ...]:
    """What of these facts the simulator says otherwise."""
    simulated = _plain(await SCENARIOS[name](SimulatedUnderTest(version)))
    before = recorded(version, name)
    return tuple(
        Difference(fact, facts.get(fact), simulated.get(fact), before.get(fact))
        for fact in dict.fromkeys((*facts, *simulated))
        if facts.get(fact) != simulated.get(fact)
    )


def _plain(facts: Facts) -> Facts:
    plain: Facts = json.loads(json.dumps(facts))
    return plain


def _words(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def recorded(version: str, name: str) -> Mapping[str, Any]:
    """What was measured and written down."""
    record: dict[str, dict[str, dict[str, Any]]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record.get(version, {}).get(name, {})
