"""Between the watchdog and a real gateway lies a proxy of ours: half-open, slow, losing frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness.conditions import until
from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.releases import V3_24
from tests.e2e.harness.runs import Run, in_model_call
from tests.e2e.harness.world import World

from .proxy import Proxy
from .report import Row
from .stories import cut, deeds, nothing_for, recovered, turns, watching, web
from .webhook import Webhook

pytestmark = pytest.mark.gateways
STAGE = f"gateway {V3_24.version} behind a proxy"


@contextmanager
def _cut_behind_a_proxy(
    row: Row, hook: Webhook, folder: Path, *, silent_after: bytes | None = None
) -> Iterator[tuple[World, Proxy, Run, Watchdog]]:
    """One run that a kill -9 cut, on a gateway that the watchdog only reaches through the proxy."""
    row.on(STAGE)
    with World(V3_24, folder / "gateway") as world, Proxy(world.gateway.port) as proxy:
        run = in_model_call(world, web("cut"))
        cut(world, [run])
        proxy.silent_after = silent_after
        with watching(world, folder / "watchdog", hook, url=proxy.url) as watchdog:
            yield world, proxy, run, watchdog


@pytest.mark.faults("TCP half-open while watching")
def test_half_open(row: Row, hook: Webhook, tmp_path: Path) -> None:
    with _cut_behind_a_proxy(row, hook, tmp_path) as (world, proxy, run, watchdog):
        watchdog.wait_for("session.suspect", session=run.key)
        silent = proxy.go_silent()
        said = watchdog.wait_for("gateway.disconnected")
        result = recovered(world, watchdog, hook, [run.key])
        row.saw(f"{silent} connection(s) half-open, noticed as {said['phase']}, connected anew; {result.sentence()}")
        row.lost(result.losses)
        assert watchdog.stop() == 0


@pytest.mark.faults("TCP half-open just before a deed's answer")
def test_lost_answer(row: Row, hook: Webhook, tmp_path: Path) -> None:
    with _cut_behind_a_proxy(row, hook, tmp_path, silent_after=b'"chat.send"') as (world, _, run, watchdog):
        watchdog.wait_for("recovery.indeterminate", session=run.key)
        result = recovered(world, watchdog, hook, [run.key])
        row.saw(f"the attempt was indeterminate, never sent again, settled by looking; {result.sentence()}")
        row.lost([*result.losses, *([] if turns(world) == 1 else [f"{turns(world)} turns"])])
        assert watchdog.stop() == 0


@pytest.mark.faults("5 s latency")
def test_latency(row: Row, hook: Webhook, tmp_path: Path) -> None:
    with _cut_behind_a_proxy(row, hook, tmp_path) as (world, proxy, run, watchdog):
        watchdog.wait_for("session.suspect", session=run.key)
        proxy.latency = 5.0
        held = watchdog.wait_for("recovery.held", session=run.key)
        nothing_for(world, watchdog, 30)
        late = deeds(watchdog)
        proxy.latency = 0.0
        result = recovered(world, watchdog, hook, [run.key])
        row.saw(f"held by {', '.join(held['blockers'])}, {late} deeds; without it: {result.sentence()}")
        row.lost(result.losses)
        assert watchdog.stop() == 0


@pytest.mark.faults("30 % of all frames lost")
def test_loss(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(STAGE)
    with World(V3_24, tmp_path / "gateway") as world, Proxy(world.gateway.port) as proxy:
        runs = [in_model_call(world, web(f"cut-{number}")) for number in range(3)]
        cut(world, runs)
        proxy.loss = 0.3
        with watching(world, tmp_path / "watchdog", hook, url=proxy.url) as watchdog:
            until("enough is lost", lambda: proxy.lost >= 12, within=240, every=1)
            lost, carried, early = proxy.lost, proxy.carried, len(watchdog.events("recovery.succeeded"))
            proxy.loss = 0.0
            result = recovered(world, watchdog, hook, [run.key for run in runs], within=300)
            unclear = len(watchdog.events("recovery.indeterminate"))
            row.saw(
                f"{lost} of {lost + carried} frames lost over {proxy.connections} connections; {early} recovered "
                f"meanwhile, {unclear} attempt(s) unclear; {result.sentence()}"
            )
            row.lost(result.losses)
            assert watchdog.stop() == 0
