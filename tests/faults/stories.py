"""What the rows on real gateways have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.harness.conditions import stays
from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.healthy import Bystander
from tests.e2e.harness.routes import Web
from tests.e2e.harness.runs import Run
from tests.e2e.harness.settings import merged
from tests.e2e.harness.world import World
from tests.faults.tally import Reckoning, reckon

from .webhook import Webhook

OURS = "[openclaw-watchdog "
"""How the model knows a turn of the watchdog's."""


def web(name: str) -> Web:
    return Web(f"agent:main:{name}")


@contextmanager
def watching(
    world: World, folder: Path, hook: Webhook, extra: dict[str, Any] | None = None, **options: Any
) -> Iterator[Watchdog]:
    """The daemon, with somebody who is told."""
    with Watchdog(world.gateway, folder, extra=merged({"notify": [hook.url]}, extra or {}), **options) as watchdog:
        yield watchdog


def forget(world: World, runs: Sequence[Run]) -> None:
    """The model is well again."""
    for run in runs:
        world.provider.forget(run.marker)


def cut(world: World, runs: Sequence[Run]) -> None:
    """kill -9 in the middle of these runs, and started again."""
    world.kill()
    forget(world, runs)
    world.start()


def deeds(watchdog: Watchdog) -> int:
    return len(watchdog.events("recovery.started"))


def turns(world: World) -> int:
    """Turns of any watchdog's that reached the model."""
    return sum(OURS in call.last_said for call in world.provider.calls)


def nothing_for(world: World, watchdog: Watchdog, seconds: float) -> None:
    """No deed and no turn while that lasts."""
    before = (deeds(watchdog), turns(world))
    stays("nothing is done", lambda: (deeds(watchdog), turns(world)) == before, for_seconds=seconds)


def recovered(
    world: World, watchdog: Watchdog, hook: Webhook, keys: Sequence[str], *, within: float = 240
) -> Reckoning:
    """Every one of these is recovered, by its row too."""
    for key in keys:
        watchdog.wait_for("recovery.succeeded", session=key, within=within)
    result = reckon(watchdog, hook, world.provider).require(keys, "recovered")
    for key in keys:
        if (status := world.row(key).get("status")) not in ("done", None):
            result.losses.append(f"{key}: its row says {status}")
    return result


def disturbances(world: World, bystanders: Sequence[Bystander]) -> list[str]:
    return [what for bystander in bystanders for what in bystander.disturbances(world)]
